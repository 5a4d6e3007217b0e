"""What can go wrong, said as a short letter: what was seen, what was expected, what to try."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

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
    severity : str
        ``"error"`` (refused) or ``"doubt"`` (accepted, and said aloud).
    """

    what: str
    remedy: str = ""
    file: str = ""
    row: int | None = None
    severity: str = "error"

    def __str__(self) -> str:
        place = self.file + (f", row {self.row}" if self.row is not None else "")
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
