"""Where the shipped models and cases stand: beside the package in a clone, inside it once installed."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

__all__ = ["case_folder", "is_shipped", "model_file", "shipped_cases", "shipped_models"]

_PACKAGE = Path(__file__).resolve().parent


def _shelf(name: str) -> Path:
    """The data folder `name`: inside the package once installed, else beside it, as in a clone."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def _models() -> Path:
    return _shelf("models")


def _cases() -> Path:
    return _shelf("calibration")


def shipped_models() -> tuple[str, ...]:
    """Names of the models that come with the library.

    Examples
    --------
    >>> "sjogren_rfib" in shipped_models()
    True
    """
    return tuple(sorted(path.stem for path in _models().glob("*.ant")))


def shipped_cases() -> tuple[str, ...]:
    """Names of the cases that come with the library.

    Examples
    --------
    >>> shipped_cases()
    ('cytopenia_synthetic', 'sjogren_rfib')
    """
    return tuple(sorted(path.parent.name for path in _cases().glob("*/problem.yaml")))


def model_file(name: str) -> Path:
    """The Antimony file of a shipped model (it may not exist: the caller says so in its own words)."""
    return _models() / f"{name}.ant"


def case_folder(name: str) -> Path:
    """The folder of a shipped case (it may not exist: the caller says so in its own words)."""
    return _cases() / name


def is_shipped(path: str | PathLike[str]) -> bool:
    """Whether a file is one of those that come with the library.

    Examples
    --------
    >>> is_shipped(model_file("persistence")), is_shipped("persistence.ant")
    (True, False)
    """
    whole = Path(path).resolve()
    return any(shelf in whole.parents for shelf in (_models(), _cases()))
