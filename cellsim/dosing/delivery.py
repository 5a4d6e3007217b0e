"""A schedule brought to a model: which state receives how much, when, in the model's own unit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cellsim.dosing.restarts import Reset, SteadyState
from cellsim.errors import Problem, ScheduleError, UnitError, did_you_mean
from cellsim.units import Unit, parse_unit

if TYPE_CHECKING:
    from cellsim.dosing.infusions import Infusion
    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import Model

__all__ = ["Anew", "Delivery", "arriving", "cells_per_unit", "deliver"]

_COUNT = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)?\s*\*?\s*([A-Za-z_]\w*)\s*")
_CELL = ("item", "items", "cell", "cells")


@dataclass(frozen=True)
class Anew:
    """States that do not follow from those before: a reset, or the steady state of a course.

    Parameters
    ----------
    day : float
        Before any dose of that day.
    length : float
        Days of one cycle of the course; infinite for a constant inflow, 0 for a reset to the initial values.
    boluses : tuple of (day, state, amount)
        Of one cycle, counted from its beginning.
    inflows : tuple of (on, off, state, rate)
        The same.
    added : bool
        Whether the steady state is added to what is there.
    said : str
        Which dose of which place, for messages.
    """

    day: float
    length: float = 0.0
    boluses: tuple[tuple[float, str, float], ...] = ()
    inflows: tuple[tuple[float, float, str, float], ...] = ()
    added: bool = False
    said: str = ""


@dataclass(frozen=True)
class Delivery:
    """Doses as the solvers want them; amounts in the unit of the state that receives them.

    Parameters
    ----------
    boluses : tuple of (day, state, amount)
        Jumps, in order of the schedule. Jumps at one instant add up.
    inflows : tuple of (on, off, state, rate)
        Constant inflow between two days; rate in the state's unit per day. Overlapping ones add up.
    anew : tuple of Anew
        In order of time; those of one instant in the order of the schedule.
    """

    boluses: tuple[tuple[float, str, float], ...]
    inflows: tuple[tuple[float, float, str, float], ...]
    anew: tuple[Anew, ...] = ()


def arriving(schedule: Schedule) -> tuple[Infusion, ...]:
    """The infusions as they reach their states: lags and shares applied, and what a reset stops left out.

    A reset, or a steady state that takes the place of what is there, cancels what was given on an earlier day: what runs
    ends there, what is late never comes.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Infusion, Schedule
    >>> arriving(Schedule((Infusion(0, "drug", 8, 4, lag=1, bioavailability=0.5),), restarts=(Reset(2),)))
    (Infusion(day=1.0, product='drug', cells=1.0, duration=1.0, label=''),)
    """
    ends = [each.day for each in schedule.restarts if isinstance(each, Reset) or not each.added]
    found = []
    for each in schedule.infusions:
        stop = min((day for day in ends if day > each.day), default=math.inf)
        begin, amount, duration = (each.arrival, each.cells * each.bioavailability, each.duration)
        if begin >= stop:
            continue
        if each.end > stop:
            amount, duration = amount * ((stop - begin) / duration), stop - begin
        found.append(
            each
            if (begin, amount, duration) == (each.day, each.cells, each.duration)
            else replace(each, day=begin, cells=amount, duration=duration, lag=0.0, bioavailability=1.0)
        )
    return tuple(found)


def _tails(schedule: Schedule) -> Iterator[Infusion]:
    """What is left, after a steady state, of doses of its course that take longer than their interval."""
    from cellsim.dosing.infusions import Infusion

    for each in schedule.restarts:
        if not isinstance(each, SteadyState) or not each.interval:
            continue
        behind = each.interval - each.lag  # since the last dose of the course arrived
        while (left := each.duration - behind) > 0:
            share = each.bioavailability * left / each.duration
            yield Infusion(each.day, each.product, each.cells * share, left)
            behind += each.interval


def _cycle(each: SteadyState, state: str, scale: float) -> Anew:
    """One cycle of a course, which ends at the instant of the steady state."""
    said = f"{each} ({each.file}, row {each.row})" if each.row else str(each)
    amount = each.cells * each.bioavailability / scale
    if not each.interval:
        inflow = ((0.0, math.inf, state, amount),)
        return Anew(each.day, math.inf, (), inflow, each.added, said)
    if not each.duration:
        return Anew(each.day, each.interval, ((each.lag, state, amount),), (), each.added, said)
    inflows, begin = [], each.lag
    while (off := min(begin + each.duration, each.interval)) > 0:
        inflows.append((max(begin, 0.0), off, state, amount / each.duration))
        begin -= each.interval
    return Anew(each.day, each.interval, (), tuple(inflows), each.added, said)


def cells_per_unit(unit: str, definitions: dict[str, str]) -> float | None:
    """How many cells one of `unit` is; None when it does not count cells.

    Parameters
    ----------
    unit : str
        A unit of the model.
    definitions : dict of str to str
        What the model's own units mean.

    Examples
    --------
    >>> cells_per_unit("Mcell", {"Mcell": "1e6 item"})
    1000000.0
    >>> cells_per_unit("pg_per_mL", {"pg_per_mL": "1e-9 gram / litre"}) is None
    True
    """
    meaning = _meaning(unit, definitions)
    return meaning.factor if meaning is not None and meaning.dimensions == (("cell", 1.0),) else None


def _meaning(text: str, definitions: dict[str, str]) -> Unit | None:
    """What a unit of the model means, its own definitions looked up; None when it means nothing to us."""
    scale = 1.0
    for _ in range(len(definitions) + 2):  # a definition may use another one, never itself
        if text in _CELL:  # the usual case, without the machinery of units
            return Unit(scale, (("cell", 1.0),))
        match = _COUNT.fullmatch(definitions.get(text, text))
        if match is None or match[2] not in (*definitions, *_CELL) or match[2] == text:
            break
        scale, text = scale * float(match[1] or 1.0), match[2]
    try:
        found = parse_unit(definitions.get(text, text))
    except UnitError:
        return None
    return Unit(scale * found.factor, found.dimensions)


def _clock_problem(model: Model) -> Problem | None:
    """A schedule counts days: a model whose clock counts something else would read them wrongly."""
    if model.time_unit in ("", "day"):
        return None
    clock = _meaning(model.time_unit, dict(model.units))
    if clock is None or clock == Unit(86400.0, (("second", 1.0),)):
        return None
    what = f"a schedule counts days, but the clock of {model.name} counts in {model.time_unit}."
    return Problem(what=what, remedy="Write the model in days (unit time_unit = 86400 second).")


def deliver(schedule: Schedule, model: Model) -> Delivery:
    """Resolve every infusion of a schedule in a model.

    A product is looked up among ``schedule.products`` first, then among the model's states. A state
    that counts cells receives cells in its unit; for a state in any other unit the schedule's number
    is taken as an amount in that unit.

    Parameters
    ----------
    schedule : Schedule
    model : Model

    Returns
    -------
    Delivery
        One entry for each infusion that arrives, none merged.

    Raises
    ------
    ScheduleError
        All at once: products that are neither known nor a state, entry states the model does not have,
        a model whose clock does not count days.
    """
    if not schedule.infusions and not schedule.restarts:
        return Delivery((), (), ())
    states = {state.name: state.unit for state in model.states}
    definitions = dict(model.units)
    products = {product.name: product for product in schedule.products}
    clock = _clock_problem(model)
    problems, boluses, inflows = [clock] if clock else [], [], []
    entries: dict[str, tuple[str, float]] = {}
    courses = [each for each in schedule.restarts if isinstance(each, SteadyState)]
    given = {each.product for each in schedule.infusions} | {each.product for each in courses}
    for name in sorted(given):
        state = products[name].state if name in products else name
        if state not in states:
            if name in products:
                what = f"product {name!r} enters {state!r}, which is no state of {model.name}."
                remedy = did_you_mean(state, states)
            else:
                what = f"{name!r} is neither a product of the schedule nor a state of {model.name}."
                remedy = did_you_mean(name, [*products, *states])
            problems.append(Problem(what=what, remedy=remedy))
            continue
        entries[name] = state, cells_per_unit(states[state], definitions) or 1.0
    if problems:
        raise ScheduleError(problems)
    coming = arriving(schedule)
    if courses:
        coming += arriving(replace(schedule, infusions=tuple(_tails(schedule))))
    for infusion in coming:
        state, scale = entries[infusion.product]
        amount = infusion.cells / scale
        length = infusion.end - infusion.day  # what is left of the duration in floats, so that all is given
        if length > 0:
            inflows.append((infusion.day, infusion.end, state, amount / length))
        else:
            boluses.append((infusion.day, state, amount))
    anew = tuple(
        Anew(each.day) if isinstance(each, Reset) else _cycle(each, *entries[each.product])
        for each in schedule.restarts
    )
    return Delivery(tuple(boluses), tuple(inflows), anew)
