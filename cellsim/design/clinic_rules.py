"""What a clinic can do: doses, gaps, weekdays, visits and the making of a product; every plan that these rules allow."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from itertools import product as every_combination
from os import PathLike
from typing import TYPE_CHECKING, Any

from cellsim.delimited import file_text
from cellsim.dosing.infusions import Infusion, amount_text
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, Problem, did_you_mean, is_finite_number
from cellsim.predictions.reactions import STOP, Reaction, otherwise_of

if TYPE_CHECKING:
    from datetime import date

    from cellsim.case.case import Case

__all__ = ["Candidate", "ClinicRules", "rules_given"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SLACK = 1e-9
_MOST_LEVELS = 10_000
_FACTORS = (
    "product", "cells", "doses", "interval", "start", "loading", "loading_interval", "visit", "below", "otherwise"
)  # fmt: skip
_COUNTS = ("doses", "loading")
_NEVER = "never"  # a plan that does not react, where there is no none


@dataclass(frozen=True)
class Candidate:
    """One plan: equal doses at equal intervals, after a loading phase or none.

    Attributes
    ----------
    product : str
    cells : float
        Of each dose, in the product's unit.
    doses : int
        All of them, those of loading among them.
    interval, start : float
        Days; `start` is the first dose's.
    loading : int
        Doses given `loading_interval` days apart before those at `interval`; 0 for none.
    loading_interval : float
    visit : float, optional
        Day on which it is decided whether to go on; without it always.
    measured : str
        By what, if it is below `below`.
    below : float
    otherwise : str or float
        ``"stop"``, a product given instead from then on, or a factor of every later dose.
    """

    product: str
    cells: float
    doses: int
    interval: float
    start: float = 0.0
    loading: int = 0
    loading_interval: float = 0.0
    visit: float | None = None
    measured: str = ""
    below: float = math.inf
    otherwise: str | float = STOP

    @property
    def planned(self) -> tuple[float, ...]:
        """The days of the doses, before any is moved to a weekday on which the clinic is open."""
        days, day = [], self.start
        for k in range(self.doses):
            days.append(day)
            day += self.loading_interval if k + 1 < self.loading else self.interval
        return tuple(days)

    @property
    def simplicity(self) -> tuple[float, ...]:
        """What a simpler plan has less of: visits, a loading phase, cells, haste."""
        reacts = self.visit is not None
        return (self.doses, self.loading > 0, reacts, self.doses * self.cells, -self.interval, self.start)

    @property
    def factor(self) -> float:
        """Of doses after the visit at most."""
        return max(float(self.otherwise), 1.0) if not isinstance(self.otherwise, str) else 1.0

    def words(self, unit: str) -> str:
        """A name that says all of it."""
        said = f"{amount_text(self.cells, unit)} {self.product}, {self.doses} dose{'s' * (self.doses > 1)}"
        if self.doses > max(self.loading, 1):
            said += f" every {self.interval:g} d"
        if self.loading:
            said += f", first {self.loading} every {self.loading_interval:g} d"
        said += f", from day {self.start:g}" if self.start else ""
        if self.visit is not None:
            change = self.otherwise
            else_ = change if change == STOP else f"{change if isinstance(change, str) else f'{change:g} x'}"
            said += f"; on if {self.measured} < {self.below:g} on day {self.visit:g}, else {else_}"
        return said


@dataclass(frozen=True, kw_only=True)
class ClinicRules:
    """What a clinic can do. What is named in the plural or as a range of levels is a choice; the others are limits.

    Parameters
    ----------
    product : str or iterable of str
    cells : float or iterable of float
        Sizes of a dose that can be given, in the product's unit.
    doses : int or iterable of int
        Numbers of doses.
    interval : float or iterable of float
        Days from one dose to the next.
    start : float or iterable of float
        Days of the first dose.
    loading : int or iterable of int
        Numbers of doses of a loading phase; 0, the default, is none.
    loading_interval : float or iterable of float
        Days between these.
    weekdays : iterable of str
        On which doses can be given, such as ``("monday", "thursday")``; a dose on another day is moved to the next one. Any day when empty.
    least_gap : float
        Days between doses, after moving.
    largest_dose, total_cells : float, optional
        Of one dose, and of all.
    visits : int, optional
        The greatest number of doses.
    last_day : float, optional
        By which all are given.
    lead_time : float
        Days that a batch takes to be made, one after the other from day 0: the first is there on day `lead_time`, the second
        on day 2 `lead_time`.
    batch_size : float, optional
        How much a batch holds; the doses up to a day must not need more than the batches that are there. Without it one batch is enough for all.
        With a `lead_time` of 0 it is the most that one dose can be.
    visit : float or iterable of float, optional
        Days of a visit at which a plan reacts (:class:`cellsim.Reaction`): it goes on if what is `measured` there is `below` a value, before
        that day's dose. Together with plans that do not react: ``visit=[None, 28]``; TOML, which has no none, writes ``visit = ["never", 28]``.
    measured : str
        An analyte of the case (its measured value decides, with the error of a new sample) or a quantity or formula of its model.
    below : float or iterable of float
        In its unit; infinite for going on whatever is found.
    otherwise : str, float or iterable of these
        What is done where it is not below: ``"stop"``, a product to be given instead, or a factor of every later dose.

    Raises
    ------
    CellsimError
        All problems at once.

    Examples
    --------
    >>> rules = ClinicRules(product="rfib", cells=[5e7, 7.5e7], doses=range(4, 9), interval=[7, 14, 28], total_cells=4e8)
    >>> rules.count, len(list(rules.candidates()))
    (30, 21)
    """

    product: Any
    cells: Any
    doses: Any
    interval: Any
    start: Any = 0.0
    loading: Any = 0
    loading_interval: Any = 7.0
    weekdays: Any = ()
    least_gap: float = 0.0
    largest_dose: float | None = None
    total_cells: float | None = None
    visits: int | None = None
    last_day: float | None = None
    lead_time: float = 0.0
    batch_size: float | None = None
    visit: Any = None
    measured: str = ""
    below: Any = math.inf
    otherwise: Any = STOP
    _closed: frozenset[int] = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        for name in _FACTORS:
            given = getattr(self, name)
            levels = (
                tuple(given)
                if isinstance(given, Iterable) and not isinstance(given, str | Mapping)
                else (given,)
            )
            if name == "visit":
                levels = tuple(None if each == _NEVER else each for each in levels)
            if nested := [
                each for each in levels if isinstance(each, Iterable) and not isinstance(each, str)
            ]:
                problems.append(
                    Problem(what=f"{name} holds {nested[0]!r}: a level is one number or one name.")
                )
                levels = ()
            else:
                problems += _level_problems(name, levels)
            object.__setattr__(self, name, tuple(dict.fromkeys(levels)))
        for name in (
            "least_gap",
            "largest_dose",
            "total_cells",
            "visits",
            "last_day",
            "lead_time",
            "batch_size",
        ):
            value = getattr(self, name)
            if value is not None and not (is_finite_number(value) and value >= 0):
                problems.append(Problem(what=f"{name} = {value!r}: a number from 0 on is needed."))
        if any(each is not None for each in self.visit) and not (
            isinstance(self.measured, str) and self.measured
        ):
            problems.append(
                Problem(
                    what=f"plans react on day {self.visit[-1]}, and measured = {self.measured!r}.",
                    remedy="Name the analyte or quantity that is to be below `below`.",
                )
            )
        several = isinstance(self.weekdays, Iterable) and not isinstance(self.weekdays, str)
        given = tuple(self.weekdays) if several else (self.weekdays,)
        names = tuple(str(each).lower() for each in given)
        problems += [
            Problem(what=f"no weekday {each!r}.", remedy=did_you_mean(each, WEEKDAYS))
            for each in names
            if each not in WEEKDAYS
        ]
        object.__setattr__(self, "weekdays", names)
        if names:
            object.__setattr__(
                self, "_closed", frozenset(k for k, each in enumerate(WEEKDAYS) if each not in names)
            )
        if problems:
            raise CellsimError(problems)

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> ClinicRules:
        """Rules from a TOML file: names as above, a level, a list of levels, or ``{from = 4, to = 12, step = 2}``.

        Raises
        ------
        CellsimError
            If it cannot be read, names what there is none of, or leaves out what is needed; all problems at once.
        """
        try:
            content = tomllib.loads(file_text(path))
        except OSError as error:
            raise CellsimError(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise CellsimError(f"{path} is not TOML: {error}.") from None
        except RecursionError:
            raise CellsimError(f"{path} nests too deeply for anything that rules hold.") from None
        return cls._of(content, str(path))

    @classmethod
    def _of(cls, content: Mapping[str, Any], file: str) -> ClinicRules:
        known = [each.name for each in fields(cls) if each.init]
        problems = [
            Problem(what=f"no rule {name!r}.", remedy=did_you_mean(name, known), file=file)
            for name in content
            if name not in known
        ]
        problems += [
            Problem(what=f"{name} is missing.", file=file)
            for name in ("product", "cells", "doses", "interval")
            if name not in content
        ]
        spread = {}
        for name, value in content.items():
            try:
                spread[name] = _range(value)
            except ValueError as error:
                problems.append(Problem(what=f"{name}: {error}.", file=file))
        if problems:
            raise CellsimError(problems)
        try:
            return cls(**spread)
        except CellsimError as error:
            raise CellsimError(
                [Problem(what=each.what, remedy=each.remedy, file=file) for each in error.problems]
            ) from None

    @property
    def count(self) -> int:
        """Combinations of all levels, those that the limits forbid among them."""
        return math.prod(len(each) for each in self.levels)

    @cached_property
    def levels(self) -> tuple[tuple[Any, ...], ...]:
        """The levels of what is a choice, in the order of the fields."""
        return tuple(getattr(self, name) for name in _FACTORS)

    def of(self, combination: Iterable[Any]) -> Candidate:
        """The plan of one level of each factor; what makes no difference is left out of it."""
        one = dict(zip(_FACTORS, combination, strict=True))
        loading = min(int(one["loading"]), int(one["doses"]))
        loading = 0 if loading < 2 or one["loading_interval"] == one["interval"] else loading
        interval = float(one["interval"])
        if one["doses"] <= max(loading, 1):  # no dose is given at it
            interval = float(self.interval[0])
        plain = Candidate(
            product=str(one["product"]),
            cells=float(one["cells"]),
            doses=int(one["doses"]),
            interval=interval,
            start=float(one["start"]),
            loading=loading,
            loading_interval=float(one["loading_interval"]) if loading else 0.0,
        )
        change = one["otherwise"]
        # no dose is left to be changed, or the change is none
        if one["visit"] is None or plain.planned[-1] < one["visit"] or change in (plain.product, 1):
            return plain
        return replace(
            plain,
            visit=float(one["visit"]),
            measured=self.measured,
            below=float(one["below"]),
            otherwise=change if isinstance(change, str) else float(change),
        )

    def days(self, candidate: Candidate, day_zero: date | None) -> tuple[float, ...]:
        """The days of a plan's doses, each on a weekday on which the clinic is open."""
        return tuple(self._open(day, day_zero) for day in candidate.planned)

    def _open(self, day: float, day_zero: date | None) -> float:
        if not self._closed:
            return day
        if day_zero is None:
            raise CellsimError(
                "weekdays need the date of day 0, which this case does not have: leave weekdays out, or give day_zero."
            )
        while (day_zero + timedelta(days=math.floor(day))).weekday() in self._closed:
            day = math.floor(day) + 1.0
        return day

    def amount(self, candidate: Candidate, day_zero: date | None = None) -> float:
        """All that a plan gives; of one that reacts the most."""
        return sum(_amounts(candidate, self.days(candidate, day_zero)))

    def forbids(self, candidate: Candidate, day_zero: date | None = None) -> str:
        """Why a plan is not allowed; empty when it is.

        Examples
        --------
        >>> rules = ClinicRules(product="x", cells=2.0, doses=3, interval=7, lead_time=5, batch_size=3.0)
        >>> rules.forbids(Candidate("x", 2.0, 3, 7.0, start=5.0))
        ''
        >>> rules.forbids(Candidate("x", 2.0, 3, 2.0, start=5.0))
        '4 by day 7 needs 2 batches of 3, and 1 is made by then'
        """
        largest = candidate.cells * candidate.factor
        if self.largest_dose is not None and largest > self.largest_dose * (1 + _SLACK):
            return f"a dose of {largest:g} is more than {self.largest_dose:g}"
        days = self.days(candidate, day_zero)
        total = sum(_amounts(candidate, days))
        if self.total_cells is not None and total > self.total_cells * (1 + _SLACK):
            return f"{total:g} in all is more than {self.total_cells:g}"
        if self.visits is not None and candidate.doses > self.visits:
            return f"{candidate.doses} visits are more than {self.visits}"
        if gaps := [later - earlier for earlier, later in pairwise(days)]:
            if min(gaps) < self.least_gap - _SLACK:
                return f"doses {min(gaps):g} days apart are nearer than {self.least_gap:g}"
            if min(gaps) <= 0:
                return "two doses fall on one day"
        if self.last_day is not None and days[-1] > self.last_day + _SLACK:
            return f"the last dose on day {days[-1]:g} is after day {self.last_day:g}"
        return self._unmade(candidate, days)

    def _unmade(self, candidate: Candidate, days: tuple[float, ...]) -> str:
        if self.batch_size is not None and self.lead_time == 0:
            if (largest := candidate.cells * candidate.factor) > self.batch_size * (1 + _SLACK):
                return f"a dose of {largest:g} is more than a batch of {self.batch_size:g}"
            return ""
        if days[0] < self.lead_time - _SLACK:
            return f"the first dose on day {days[0]:g} is before the first batch, on day {self.lead_time:g}"
        if self.batch_size is None:
            return ""
        for day, needed in zip(days, accumulate(_amounts(candidate, days)), strict=True):
            made = math.floor(day / self.lead_time + _SLACK)
            batches = math.ceil(needed / self.batch_size - _SLACK)
            if batches > made:
                is_are = "is" if made == 1 else "are"
                return f"{needed:g} by day {day:g} needs {batches} batches of {self.batch_size:g}, and {made} {is_are} made by then"
        return ""

    def candidates(self, day_zero: date | None = None) -> Iterator[Candidate]:
        """Every plan that is allowed, each once."""
        seen = set()
        for combination in every_combination(*self.levels):
            one = self.of(combination)
            if one not in seen:
                seen.add(one)
                if not self.forbids(one, day_zero):
                    yield one

    def schedule(self, candidate: Candidate, case: Case) -> Schedule | Reaction:
        """A plan as a schedule of a case, or as two between which a visit decides."""
        days = self.days(candidate, case.day_zero)
        doses = tuple(_dose(day, candidate.product, candidate.cells) for day in days)
        plan = Schedule(doses, case.products, case.day_zero)
        if candidate.visit is None:
            return plan
        day, change = candidate.visit, candidate.otherwise
        return Reaction(
            go_on=plan,
            otherwise=otherwise_of(plan, day, change),
            day=day,
            measured=candidate.measured,
            below=candidate.below,
        )


@lru_cache(maxsize=2**16)
def _dose(day: float, product: str, cells: float) -> Infusion:
    """A dose that thousands of plans have in common, looked over once."""
    return Infusion(day, product, cells)


def _amounts(candidate: Candidate, days: tuple[float, ...]) -> list[float]:
    """Of each dose; of a plan that reacts at most."""
    visit = math.inf if candidate.visit is None else candidate.visit
    return [candidate.cells * (candidate.factor if day >= visit else 1.0) for day in days]


def _level_problems(name: str, levels: tuple[Any, ...]) -> Iterator[Problem]:
    if not levels:
        yield Problem(what=f"{name} has no level.", remedy="Give one value, or several.")
    for each in levels:
        if name == "product":
            if not isinstance(each, str) or not each:
                yield Problem(what=f"product {each!r} is no name.")
            continue
        if name == "otherwise" and isinstance(each, str) and each:
            continue
        if name == "visit" and each is None:
            continue
        if name == "below":
            if isinstance(each, bool) or not isinstance(each, int | float) or math.isnan(each):
                yield Problem(what=f"below = {each!r}: a number is needed, or infinity.")
            continue
        least = 1 if name == "doses" else 0
        above = name in ("cells", "interval", "loading_interval")
        if name in _COUNTS:
            fine = is_finite_number(each) and float(each).is_integer() and each >= least
            needed = f"a whole number, at least {least}, is needed"
        else:
            fine = is_finite_number(each) and (each > 0 if above else each >= 0)
            needed = f"a number {'above 0' if above else 'from 0 on'} is needed"
        if not fine:
            yield Problem(what=f"{name} = {each!r}: {needed}.")


def _range(value: Any) -> Any:
    """Levels of a range as TOML writes it."""
    if not isinstance(value, Mapping):
        return value
    step = value.get("step", 1)
    if set(value) - {"from", "to", "step"} or not {"from", "to"} <= set(value):
        raise ValueError("a range is written {from = 4, to = 12, step = 2}")
    if not all(is_finite_number(each) for each in (value["from"], value["to"], step)) or not step > 0:
        raise ValueError("from, to and step of a range are numbers, step above 0")
    if not (value["to"] - value["from"]) / step < _MOST_LEVELS:
        raise ValueError(f"a range has at most {_MOST_LEVELS} levels")
    count = math.floor((value["to"] - value["from"]) / step + _SLACK) + 1
    return [value["from"] + k * step for k in range(max(count, 0))]


def rules_given(rules: Any, more: Mapping[str, Any]) -> ClinicRules:
    """Rules from what was given as such: rules, a TOML file, a mapping, or keywords alone.

    Raises
    ------
    CellsimError
        For anything else, and for both at once.
    """
    if rules is None:
        return ClinicRules._of(more, "")
    if more:
        raise CellsimError(f"rules are given, and {', '.join(more)} beside them: give one of both.")
    if isinstance(rules, ClinicRules):
        return rules
    if isinstance(rules, Mapping):
        return ClinicRules._of(rules, "")
    if isinstance(rules, str | PathLike):
        return ClinicRules.from_toml(rules)
    raise CellsimError(
        f"rules are a {type(rules).__name__}: give cs.ClinicRules(...), a TOML file, a mapping, or keywords like cells=[5e7]."
    )
