"""Instants at which states do not follow from what was before: resets, and steady states of endless courses."""

from __future__ import annotations

from dataclasses import dataclass, field

from cellsim.dosing.infusions import amount_text, dose_complaints, number_complaints
from cellsim.errors import Problem, ScheduleError

__all__ = ["Reset", "Restart", "SteadyState"]


@dataclass(frozen=True)
class Reset:
    """Every state goes back to its initial value (EVID 3): what runs is stopped, what is late never comes.

    Parameters
    ----------
    day : float
        In days from day 0. Doses of that day come after it.
    row : int
        Of the table it was read from, for messages; 0 for none.

    Raises
    ------
    ScheduleError
        For a day that is not a finite number.

    Examples
    --------
    >>> print(Reset(28))
    reset on day 28
    """

    day: float
    row: int = field(default=0, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        if complaints := [*number_complaints("day", self.day)]:
            raise ScheduleError([Problem(what=what) for what in complaints])
        object.__setattr__(self, "day", float(self.day) + 0.0)

    def __str__(self) -> str:
        return f"reset on day {self.day:.10g}"


@dataclass(frozen=True)
class SteadyState:
    """States are those that an endless course of equal doses has led to, an instant before its next dose (SS of NONMEM).

    The next dose itself is an :class:`~cellsim.dosing.infusions.Infusion` of its own on the same day.

    Parameters
    ----------
    day : float
        In days from day 0. Doses of that day come after it.
    product : str
        Name of a product, or of a state of the model.
    cells : float
        How much each dose of the course is; with `interval` 0, how much flows in a day, without end until `day`.
    interval : float
        Days between two doses; 0 for a constant inflow.
    duration : float
        Days each dose takes; 0 for a bolus. It may be longer than the interval.
    added : bool
        Whether the states are added to those that are there (SS 2, in linear models only) instead of taking their place
        (SS 1), in which case what runs is stopped and what is late never comes.
    lag, bioavailability : float
        Of each dose, as for an infusion; the lag is shorter than the interval.
    file, row : str, int
        Where it is written, for messages.

    Raises
    ------
    ScheduleError
        All complaints at once.

    Examples
    --------
    >>> print(SteadyState(0, "drug", 100, interval=0.5))
    steady state on day 0 of 100 drug every 0.5 days
    """

    day: float
    product: str
    cells: float
    interval: float = field(kw_only=True)
    duration: float = field(default=0.0, kw_only=True)
    added: bool = field(default=False, kw_only=True)
    lag: float = field(default=0.0, kw_only=True)
    bioavailability: float = field(default=1.0, kw_only=True)
    file: str = field(default="", kw_only=True, compare=False, repr=False)
    row: int = field(default=0, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        complaints = dose_complaints(
            self.day, self.product, self.cells, self.duration, "", self.lag, self.bioavailability
        )
        of_interval = [*number_complaints("interval", self.interval)]
        if not of_interval and self.interval < 0:
            of_interval = [f"interval {self.interval:g} days is negative."]
        if not complaints and not of_interval:
            if self.interval == 0 and (self.duration or self.lag or self.bioavailability != 1.0):
                complaints = ["a constant inflow (interval 0) has no duration, lag or bioavailability."]
            elif self.interval and not self.lag < self.interval:
                complaints = [
                    f"a lag of {self.lag:g} days is not shorter than the interval of {self.interval:g} days."
                ]
            elif self.interval and self.duration > _LONGEST * self.interval:
                complaints = [f"more than {_LONGEST} doses of the course run at once."]
        if complaints := complaints + of_interval:
            raise ScheduleError([Problem(what=what) for what in complaints])
        for name in ("day", "cells", "interval", "duration", "lag", "bioavailability"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)

    def __str__(self) -> str:
        much = f"{amount_text(self.cells, '')} {self.product}"
        course = (
            f"{much} a day without end" if not self.interval else f"{much} every {self.interval:.6g} days"
        )
        lasting = f" over {self.duration:.6g} days" if self.duration else ""
        return f"{'added ' * self.added}steady state on day {self.day:.10g} of {course}{lasting}"


Restart = Reset | SteadyState
_LONGEST = 1000
"""Doses of one course that may run at once."""
