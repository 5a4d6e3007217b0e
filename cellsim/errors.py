"""What can go wrong, said as a short letter: what was seen, what was expected, what to try."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any, TypeGuard

__all__ = [
    "ApproximationWarning",
    "CalibrationError",
    "CaseError",
    "CellsimError",
    "CutShortError",
    "ModelError",
    "Problem",
    "ScheduleError",
    "SimulationError",
    "UnitError",
    "did_you_mean",
    "equal_fields",
    "hash_fields",
    "is_finite_number",
    "is_number",
    "unusable",
]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong in what the user wrote, and where.

    Parameters
    ----------
    what : str
        What was seen and what was expected, with name, value and unit.
    remedy : str
        What to try; empty when the sentence above says it already.
    file : str
        The file (or table) it stands in; empty for something made in a script.
    row : int or None
        The line of that file as an editor counts it (the header is line 1).
    column : str
        The column of the table, by its name in the header; empty where no single one is at fault.
    severity : str
        ``"error"`` (refused) or ``"doubt"`` (accepted, and said aloud).
    """

    what: str
    remedy: str = ""
    file: str = ""
    row: int | None = None
    column: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        told = [
            self.file,
            f"row {self.row}" if self.row is not None else "",
            f"column {self.column}" if self.column else "",
        ]
        place = ", ".join(filter(None, told)) if self.file or self.row is not None else ""
        return (f"{place}: " if place else "") + self.what + (f" {self.remedy}" if self.remedy else "")


class CellsimError(Exception):
    """Any refusal of this library; ``problems`` holds every complaint found, not only the first.

    Parameters
    ----------
    complaint : str or iterable of Problem
        One sentence, or all problems at once.

    Examples
    --------
    >>> from cellsim.errors import CaseError, Problem
    >>> error = CaseError([Problem(what="no unit.", file="visits.tsv", row=2)])
    >>> print(error)
    visits.tsv, row 2: no unit.
    """

    def __init__(self, complaint: str | Iterable[Problem]) -> None:
        if isinstance(complaint, str):
            complaint = [Problem(what=complaint)]
        self.problems: tuple[Problem, ...] = tuple(complaint)
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"{len(lines)} problems:")
        super().__init__("\n".join(lines))


class ModelError(CellsimError):
    """A model that cannot be read, changed or trusted."""


class CaseError(CellsimError):
    """A case folder with missing, contradicting or impossible content."""


class ScheduleError(CellsimError):
    """A dose that cannot be given as written."""


class UnitError(CellsimError):
    """A unit that is unknown or does not fit."""


class SimulationError(CellsimError):
    """A simulation that could not be carried to its end."""


class CalibrationError(CellsimError):
    """A calibration that cannot be set up or read."""


class CutShortError(CalibrationError):
    """An interrupt came before there was anything to keep."""


class ApproximationWarning(UserWarning):
    """Numbers were drawn from an approximation that is known not to stand for the posterior."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say what exists and which of it was probably meant.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        What exists.

    Returns
    -------
    str
        A sentence or two, ready to end an error message.

    Examples
    --------
    >>> did_you_mean("uptke", ["death", "uptake"])
    "Did you mean 'uptake'? Known: death, uptake."
    """
    names = sorted(set(known))
    lowered = {each.lower(): each for each in names}
    close = get_close_matches(name.lower(), lowered, n=1)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    question = f"Did you mean {lowered[close[0]]!r}? " if close else ""
    return f"{question}Known: {shown}." if names else "There is none."


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, finite or not; as for :func:`is_finite_number`."""
    return isinstance(value, Real) and not isinstance(value, bool) and _kind(value) not in "mM"


def equal_fields(one: Any, other: object) -> bool:
    """Equality of two records (dataclasses) in which a number that is not there, NaN, is the same as another.

    Python compared records as tuples up to 3.12, in which one NaN equals itself; from 3.13 on it compares field by field,
    and a record with a NaN equals nothing, not even itself. To be set as the ``__eq__`` of a record that can hold one, beside
    :func:`hash_fields`.

    Examples
    --------
    >>> from dataclasses import dataclass, fields
    >>> @dataclass(frozen=True)
    ... class Limit:
    ...     lower: float
    ...     upper: float = float("nan")
    ...     __eq__ = equal_fields
    >>> Limit(1.0) == Limit(1.0, float("nan")), Limit(1.0) == Limit(1.0, 2.0)
    (True, False)
    """
    names = [each.name for each in fields(one) if each.compare]
    if other.__class__ is not one.__class__:
        return NotImplemented

    def same(a: Any, b: Any) -> bool:
        return bool(a is b or a == b or (isinstance(a, float) and isinstance(b, float) and a != a and b != b))

    return all(same(getattr(one, name), getattr(other, name)) for name in names)


def hash_fields(one: Any) -> int:
    """The hash that goes with :func:`equal_fields`.

    Python hashes a NaN by where it stands in memory, so that a record that was sent to another process, or copied, is in no set of its
    like. To be set as the ``__hash__`` of a record that has that equality.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Limit:
    ...     lower: float
    ...     upper: float = float("nan")
    ...     __eq__ = equal_fields
    ...     __hash__ = hash_fields
    >>> Limit(1.0) in {Limit(1.0, float("nan"))}
    True
    """
    values = [getattr(one, each.name) for each in fields(one) if each.compare]
    return hash(tuple(None if isinstance(each, float) and each != each else each for each in values))


def is_finite_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number: no truth value, no text, and no span of time (NumPy counts these as integers).

    Examples
    --------
    >>> import numpy as np
    >>> [is_finite_number(each) for each in (3, np.float64(0.5), True, "3", np.timedelta64(3, "D"))]
    [True, True, False, False, False]
    """
    if not is_number(value):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def unusable(
    *,
    counts: Mapping[str, tuple[object, int]] | None = None,
    seeds: Mapping[str, object] | None = None,
    levels: Mapping[str, object] | None = None,
    days: Mapping[str, object] | None = None,
) -> list[Problem]:
    """What is wrong with the settings of a question, all of it, each by its name.

    Parameters
    ----------
    counts : mapping of str to (value, int)
        Whole numbers, each with the least that makes sense.
    seeds : mapping of str to value
        Whole numbers from 0 on: without one nothing could be had again.
    levels : mapping of str to value
        Shares between 0 and 1.
    days : mapping of str to value
        Finite days, counted from day 0.

    Returns
    -------
    list of Problem
        Empty when all can be used.

    Examples
    --------
    >>> [str(each) for each in unusable(counts={"draws": (2.5, 1)}, seeds={"seed": 3})]
    ['draws = 2.5: a whole number, at least 1, is needed.']
    """
    wrong = [
        (name, value, f"a whole number, at least {least}, is needed.")
        for name, (value, least) in (counts or {}).items()
        if not _whole(value, least)
    ]
    wrong += [
        (name, value, "a whole number, at least 0, is needed, so that the same can be had again.")
        for name, value in (seeds or {}).items()
        if not _whole(value, 0)
    ]
    wrong += [
        (name, value, "a share between 0 and 1 is needed, 0.9 say.")
        for name, value in (levels or {}).items()
        if not (is_finite_number(value) and 0 < value < 1)
    ]
    wrong += [
        (name, value, "not a finite day; a number, counted from day 0, is needed.")
        for name, value in (days or {}).items()
        if not is_finite_number(value)
    ]
    return [Problem(what=f"{name} = {_shown(value)}: {needed}") for name, value, needed in wrong]


def _whole(value: object, least: int) -> bool:
    if isinstance(value, bool) or _kind(value) in "bmM":
        return False
    try:
        return operator.index(value) >= least  # type: ignore[arg-type]
    except TypeError:
        return False


def _kind(value: object) -> str:
    """NumPy's letter for what a value is; a blank for what is not NumPy's."""
    return str(getattr(getattr(value, "dtype", None), "kind", " "))


def _shown(value: object) -> str:
    text = str(value) if is_number(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
