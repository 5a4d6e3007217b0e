"""Public names of a folder, resolved when first used, so that importing a folder does no work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy_names", "upstairs"]


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Parameters
    ----------
    package : str
        Its ``__name__``.
    homes : mapping
        Public name -> the module that has it, without ``cellsim.`` before it.

    Raises
    ------
    AttributeError
        From the returned function, for a name that is not public here.

    Examples
    --------
    >>> get, _ = lazy_names("cellsim.dosing", {"Schedule": "dosing.schedule"})
    >>> get("Schedule").__name__
    'Schedule'
    """

    def get(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"cellsim.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted(homes)

    return get, names


def upstairs(module: str) -> Any:
    """A module that stands above, for a method whose answer is worked out there.

    An object of a lower module knows only the name of the method; this is the one way up.

    Parameters
    ----------
    module : str
        Without ``cellsim.`` before it.

    Examples
    --------
    >>> upstairs("likelihood.answers").__name__
    'cellsim.likelihood.answers'
    """
    return import_module(f"cellsim.{module}")
