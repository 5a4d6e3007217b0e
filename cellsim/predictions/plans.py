"""Schedules to compare: those a report makes of what was given, what stands before and beside them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cellsim.dosing.infusions import Product, amount_text, amounts, dose_noun
from cellsim.dosing.restarts import SteadyState
from cellsim.dosing.schedule import Schedule
from cellsim.errors import Problem, ScheduleError, did_you_mean, unusable
from cellsim.predictions.measures import refuse_days

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.predictions.measures import Measure

__all__ = [
    "AS_GIVEN",
    "LAST_DAY",
    "Plan",
    "amounts_by_product",
    "background_given",
    "delivered",
    "dropped",
    "history_given",
    "last_day_problems",
    "on_background",
    "plan_problems",
    "plans_of",
]

AS_GIVEN = "as given"
LAST_DAY = 100_000.0
"""The last day that can be looked at: every day up to it is kept, of every draw."""


@dataclass(frozen=True)
class Plan:
    """A schedule with what it asks.

    Parameters
    ----------
    name : str
        Short, for figures.
    schedule : Schedule
        From day 0 on.
    words : str
        What it is, in a sentence.
    other : str
        The product given instead of the patient's own, on the same days and in the same amounts; empty otherwise.
    """

    name: str
    schedule: Schedule
    words: str
    other: str = ""


def plans_of(case: Case) -> tuple[Plan, ...]:
    """What was given from day 0 on and the usual alternatives to it.

    Parameters
    ----------
    case : Case

    Returns
    -------
    tuple of Plan
        As given; then, of one product, the same amount weekly and every 8 weeks over the same time, and as a block
        of daily doses; of several, without each of them; stopping after four; the same days and amounts of the product
        that a question of the case sets against it, or of another source; nothing at all. Those that make no sense for a
        case are left out.

    Examples
    --------
    >>> import cellsim as cs
    >>> for plan in plans_of(cs.load_case("sjogren_rfib")):
    ...     print(f"{plan.name}: {plan.schedule.count} infusions, {plan.schedule.total():.3g} cells")
    as given: 12 infusions, 7.25e+08 cells
    weekly, same cells: 36 infusions, 7.25e+08 cells
    every 8 weeks, same cells: 5 infusions, 7.25e+08 cells
    block of 12 days, same cells: 12 infusions, 7.25e+08 cells
    stop after 4: 4 infusions, 2e+08 cells
    same days and cells, ucmsc: 12 infusions, 7.25e+08 cells
    nothing: 0 infusions, 0 cells
    """
    given = case.schedule
    if not given.count:
        return ()
    noun = dose_noun(given, case.products)
    found = [Plan(AS_GIVEN, given, "What was given from day 0 on.")]
    names = list(dict.fromkeys(each.product for each in given.infusions))
    known = {each.name: each for each in case.products}
    found += _spread_out(given, case, names[0]) if len(names) == 1 else []
    for name in names if len(names) > 1 else ():
        kept = tuple(each for each in given.infusions if each.product != name)
        words = f"What was given, without {known[name].label or name if name in known else name}."
        found.append(Plan(f"without {name}", Schedule(kept, given.products, given.day_zero), words))
    if given.count > 4:
        few = Schedule(given.infusions[:4], given.products, given.day_zero)
        kept_of, all_of = (amounts(each, given.products) for each in (few, given))
        fewer = [
            "fewer cells" if unit == "cells" else f"less {unit}".rstrip()
            for unit, amount in all_of.items()
            if kept_of.get(unit, 0.0) < amount
        ]
        words = f"The first four {noun}s only: {' and '.join(fewer)}."
        if few not in [each.schedule for each in found]:
            found.append(Plan("stop after 4", few, words))
    if len(names) == 1 and (other := _other_product(case, names[0])) is not None:
        words = f"The same days and {_what(other)}, of {other.label or other.name} ({other.source})."
        found.append(
            Plan(
                f"same days and {_what(other)}, {other.name}", given.as_product(other.name), words, other.name
            )
        )
    nothing = Schedule((), given.products, given.day_zero)
    found.append(
        Plan("nothing", nothing, f"No {noun} from day 0 on: what the model expects without treatment.")
    )
    return tuple(found)


def _what(product: Product | None) -> str:
    """What a plan keeps equal: cells, or the amount of anything else."""
    return "cells" if product is None or product.unit == "cells" else "amounts"


def _other_product(case: Case, given: str) -> Product | None:
    """What is asked about instead of a product: by a question of the case, or else that of another source."""
    known = {each.name: each for each in case.products}
    own = known.get(given)
    for each in case.questions:
        if each.kind == "products" and given in (each.first, each.second):
            return known[each.second if given == each.first else each.first]
    return next(
        (
            each
            for each in case.products
            if own is not None and each.source and each.source != own.source and each.unit == own.unit
        ),
        None,
    )


def _spread_out(given: Schedule, case: Case, product: str) -> list[Plan]:
    """All of one product, in other doses over the same time."""
    last, total = given.infusions[-1].day, given.total()
    what = (
        "cells"
        if _what(next((each for each in case.products if each.name == product), None)) == "cells"
        else "amount"
    )

    def spread(interval: float, doses: int) -> Schedule:
        return Schedule.every(
            interval,
            cells=total / doses,
            doses=doses,
            product=product,
            products=case.products,
            day_zero=given.day_zero,
        )

    found = []
    for interval, name in ((7.0, "weekly"), (56.0, "every 8 weeks")):
        doses = int(last // interval) + 1
        words = f"The same {what} in {doses} equal doses every {interval:g} days, ending by day {last:g} as given."
        found.append(Plan(f"{name}, same {what}", spread(interval, doses), words))
    words = f"The same {what} in {given.count} equal doses on {given.count} consecutive days from day 0."
    found.append(Plan(f"block of {given.count} days, same {what}", spread(1.0, given.count), words))
    return found


def history_given(history: Any, case: Case) -> Schedule:
    """What came before day 0: a schedule, none for None, the case's own for ``"case"``.

    Raises
    ------
    ScheduleError
        For anything else.
    """
    if isinstance(history, str) and history == "case":
        return case.history
    if history is None:
        return Schedule()
    if not isinstance(history, Schedule):
        shown = repr(history) if isinstance(history, str) else f"a {type(history).__name__}"
        raise ScheduleError(f"history is {shown}; give a Schedule, None, or leave it out for the case's own.")
    return history


def background_given(background: Any, case: Case) -> Schedule:
    """What every plan keeps: a schedule, none for None, that of the case's background products for ``"case"``.

    Raises
    ------
    ScheduleError
        For anything else, and for doses before day 0, which are history.
    """
    if isinstance(background, str) and background == "case":
        kept = tuple(each for each in case.schedule.infusions if each.product in case.background)
        return Schedule(kept, case.schedule.products, case.day_zero)
    if background is None:
        return Schedule()
    if not isinstance(background, Schedule):
        shown = repr(background) if isinstance(background, str) else f"a {type(background).__name__}"
        raise ScheduleError(
            f"background is {shown}; give a Schedule, None, or leave it out for the case's own."
        )
    if early := [each for each in background.infusions if each.day < 0]:
        raise ScheduleError(
            f"the background has a dose on day {early[0].day:g}; what came before day 0 belongs into history."
        )
    return background


def on_background(
    plans: Mapping[str, Schedule], background: Schedule, products: Sequence[Product] = ()
) -> dict[str, Schedule]:
    """Every plan with the doses of background products that it does not give itself.

    A plan that has doses of a background product has its own of it. One made without products counts its doses in the units of
    `products`, the case's.
    """
    known = {each.name for each in products}
    out = {}
    for name, plan in plans.items():
        own = {each.product for each in plan.infusions}
        more = tuple(each for each in background.infusions if each.product not in own)
        told = {each.name for each in plan.products}
        if not told and own <= known:
            about = tuple(products)
        elif told:
            names = {each.product for each in more} - told
            about = (*plan.products, *(each for each in products if each.name in names))
        else:
            about = ()
        out[name] = replace(plan, infusions=(*plan.infusions, *more), products=about)
    return out


def dropped(plans: Mapping[str, Schedule], background: Schedule, case: Case) -> list[str]:
    """Products that were given from day 0 on beside others, and that a plan leaves out without saying so.

    `plans` as they were asked for, without the background. A plan of nothing says it, and so does one that gives another product in place of the only one.
    """
    given = amounts_by_product(case.schedule)
    said = []
    for name, plan in plans.items():
        own = amounts_by_product(plan)
        lost = [each for each in given if each not in own | amounts_by_product(background)]
        if own and lost and len(given) > 1:
            shown = ", ".join(f"{each} ({amount_text(given[each], _unit_of(case, each))})" for each in lost)
            said.append(
                f"{name}: what was also given from day 0 on is left out: {shown}. Add it to the plan, or mark it as background in "
                "products.tsv, which every plan keeps."
            )
    return said


def amounts_by_product(plan: Schedule) -> dict[str, float]:
    """How much of each product a plan gives, in its unit."""
    out: dict[str, float] = {}
    for each in plan.infusions:
        out[each.product] = out.get(each.product, 0.0) + each.cells
    return out


def _unit_of(case: Case, product: str) -> str:
    return next((each.unit for each in case.products if each.name == product), "cells")


def last_day_problems(until: Any) -> list[Problem]:
    """What is wrong with the last day to be looked at; nothing has been made for it yet."""
    if problems := unusable(days={"until": until}):
        return problems
    if until <= 0:
        return [Problem(what=f"until = {until}; a day after day 0 is needed.")]
    if until > LAST_DAY:
        return [Problem(what=f"until = {until:g}; every day up to it is looked at, {LAST_DAY:g} at most.")]
    return []


def plan_problems(
    plans: Mapping[str, Schedule], history: Schedule, case: Case, until: Any, measures: Sequence[Measure]
) -> list[Problem]:
    """Everything wrong with a question about plans after a history."""
    problems = [] if plans else [Problem(what="no schedules to compare.")]
    problems += last_day_problems(until) or refuse_days(measures, until)
    if late := [each for each in history.infusions if each.day >= 0]:
        problems.append(
            Problem(
                what=f"the history has a dose on day {late[0].day:g}; a history ends before day 0, and one that goes on "
                "would be added to every plan.",
                remedy="Give doses from day 0 on in the plans: history.only(before=0) is what came before.",
            )
        )
    for name, plan in plans.items():
        if plan.count and plan.infusions[0].day < 0:
            problems.append(
                Problem(
                    what=f"{name!r} has a dose on day {plan.infusions[0].day:g}; plans begin on day 0.",
                    remedy="Give earlier doses as history=.",
                )
            )
        problems += [
            Problem(what=f"{name!r}: {each}; plans begin on day 0.") for each in plan.restarts if each.day < 0
        ]
        known = {product.name for product in (*case.products, *plan.products)}
        named = {each.product for each in plan.infusions}
        named |= {each.product for each in plan.restarts if isinstance(each, SteadyState)}
        unknown = named - known if known else set()
        for product in sorted(unknown):
            problems.append(
                Problem(what=f"{name!r} uses product {product!r}.", remedy=did_you_mean(product, known))
            )
    return problems


def delivered(plan: Schedule, until: float) -> Schedule:
    """What of a plan is given by a day: boluses up to it, and of an infusion that then still runs its part so far.

    Examples
    --------
    >>> plan = Schedule.at([0, 38, 70], cells=100, product="x", duration=[0, 4, 0])
    >>> delivered(plan, 40).count, delivered(plan, 40).total()
    (2, 150.0)
    """
    given = []
    for each in plan.infusions:
        if each.end <= until:
            given.append(each)
        elif each.arrival < until:
            share = (until - each.arrival) / each.duration
            given.append(replace(each, cells=each.cells * share, duration=until - each.arrival))
    restarts = tuple(each for each in plan.restarts if each.day <= until)
    return replace(plan, infusions=tuple(given), restarts=restarts)
