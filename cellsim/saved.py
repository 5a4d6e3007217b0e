"""Results saved as JSON, read back: a file that is not what it should be is refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellsim.errors import CalibrationError

__all__ = ["read_saved", "whole"]


def read_saved(path: str | Path) -> Any:
    """What a JSON file says.

    Raises
    ------
    CalibrationError
        If it is not there, no JSON, gives a name twice, or nests too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
        return found

    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=once)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise CalibrationError(f"{path} is not JSON: {error}.") from None
    except RecursionError:
        raise CalibrationError(f"{path} nests too deeply for anything that was saved here.") from None


@contextmanager
def whole(content: Any, path: str | Path, expected: str, called: str) -> Iterator[None]:
    """Refuse saved content of another format, or with parts missing or of other kinds.

    Parameters
    ----------
    content : object
        What the file says.
    path : path
        Where it was found.
    expected, called : str
        The format as the file should state it, and what a result of it is called.
    """
    if not isinstance(content, dict) or content.get("format") != expected:
        raise CalibrationError(f"{path} is not {called} (format {expected!r} expected).")
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise CalibrationError(
            f"{path} is {called} with parts missing or changed ({what}); was it cut off or edited?"
        ) from None
