"""Families of schedules: every combination of a few intervals, doses and counts, each by a name that says what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product as every_combination
from typing import TYPE_CHECKING, Any

from cellsim.dosing.infusions import amount_text
from cellsim.errors import Problem, ScheduleError

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.dosing.schedule import Schedule

__all__ = ["Family", "grid"]

# combinations of one call: more are a slip of a range
_MOST = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class Family(Mapping[str, "Schedule"]):
    """Schedules by name, with the levels of the factors each was made from; made by ``Schedule.grid``.

    Parameters
    ----------
    schedules : mapping of str to Schedule
    levels : mapping of str to mapping
        By the name of the schedule: the value of each factor that has several.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> family = Schedule.grid(interval=[7, 28], cells=5e7, doses=[4, 8], product="rfib")
    >>> list(family)[0], family.factors
    ('every 7 d, 4 doses', ('interval', 'doses'))
    """

    schedules: Mapping[str, Schedule]
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Schedule:
        return self.schedules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.schedules)

    def __len__(self) -> int:
        return len(self.schedules)

    @property
    def factors(self) -> tuple[str, ...]:
        """Names of the factors that have several levels."""
        return tuple(next(iter(self.levels.values()), ()))

    def table(self) -> pd.DataFrame:
        """One row a schedule: its name, the level of each factor, infusions and the amount of all of them."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"schedule": name, **self.levels[name], "infusions": each.count, "amount": each.total()}
                for name, each in self.schedules.items()
            ]
        )

    def __repr__(self) -> str:
        return f"<Family of {len(self)} schedules" + (
            f" by {', '.join(self.factors)}>" if self.factors else ">"
        )


def grid(make: Callable[..., Schedule], factors: Mapping[str, Any], rest: Mapping[str, Any]) -> Family:
    """Every combination of the levels of factors; see :meth:`cellsim.Schedule.grid`.

    Parameters
    ----------
    make : callable
        Makes one schedule: ``make(interval, cells=..., doses=..., product=..., start=..., duration=...)``.
    factors : mapping of str to one level or an iterable of them
    rest : mapping
        The same for all.

    Raises
    ------
    ScheduleError
        For a factor without levels or with one twice, for more than a hundred thousand combinations, and for what `make` refuses
        of any of them.
    """
    levels = {name: _levels(given) for name, given in factors.items()}
    problems = [
        Problem(what=f"{name} has no level.", remedy="Give one value, or several: [7, 14].")
        for name, given in levels.items()
        if not given
    ]
    problems += [
        Problem(what=f"{name} has the level {each!r} twice.", remedy="Give each once.")
        for name, given in levels.items()
        for k, each in enumerate(given)
        if each in given[:k]
    ]
    count = 1
    for given in levels.values():
        count *= max(len(given), 1)
    if count > _MOST:
        problems.append(Problem(what=f"{count} combinations; {_MOST} at most are made at once."))
    if problems:
        raise ScheduleError(problems)
    made: dict[str, Schedule] = {}
    by_name: dict[str, dict[str, Any]] = {}
    several = [name for name, given in levels.items() if len(given) > 1]
    units = {each.name: each.unit for each in rest.get("products", ())}
    for combination in every_combination(*levels.values()):
        one = dict(zip(levels, combination, strict=True))
        try:
            plan = make(one["interval"], **{k: v for k, v in one.items() if k != "interval"}, **rest)
        except ScheduleError as error:
            problems += [each for each in error.problems if each not in problems]
            continue
        shown = ", ".join(_words(name, one, units) for name in several) or "schedule"
        if shown in made:  # levels that are alike to the digits shown
            shown = ", ".join(f"{name} {one[name]!r}" for name in several)
        made[shown] = plan
        by_name[shown] = {name: one[name] for name in several}
    if problems:
        raise ScheduleError(problems)
    return Family(made, by_name)


def _levels(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def _words(name: str, one: Mapping[str, Any], units: Mapping[str, str]) -> str:
    level = one[name]
    if name == "interval":
        return f"every {level:g} d"
    if name == "cells":
        return amount_text(float(level), units.get(one["product"], "cells"))
    if name == "doses":
        return f"{level} dose{'s' * (level != 1)}"
    if name == "start":
        return f"from {f'day {level:g}' if not isinstance(level, str) and isinstance(level, int | float) else level}"
    return f"over {level:g} d" if name == "duration" else str(level)
