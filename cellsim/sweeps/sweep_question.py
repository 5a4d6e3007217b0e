"""What a sweep is asked: its settings, checked with the plans and measures; what of the plans is cut off or improbable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellsim.case.plausibility import dose_doubt
from cellsim.dosing.infusions import amounts_text, dose_noun
from cellsim.dosing.schedule import Schedule
from cellsim.errors import Problem, ScheduleError, is_finite_number, unusable
from cellsim.predictions.measures import Asked, Measure, default_measures
from cellsim.predictions.own_measures import measures_given
from cellsim.predictions.plan_tables import plans_given
from cellsim.predictions.plans import background_given, delivered, history_given, on_background, plan_problems
from cellsim.predictions.reactions import Reaction, Reading, reactions_in, readings_of
from cellsim.sweeps.trust_region import Beyond, beyond_given

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Objective

__all__ = ["Asking", "Settled", "improbable", "not_reached", "settled"]

# draws allowed for an error that is asked for, as a multiple of the first ones
_BUDGET = 20


@dataclass(frozen=True)
class Asking:
    """The settings of a sweep; see :func:`cellsim.sweep`."""

    until: Any
    measures: Any = None
    draws: Any = 400
    seed: Any = 0
    history: Any = "case"
    background: Any = "case"
    strict: bool = False
    error: Any = None
    budget: Any = None

    def problems(self) -> list[Problem]:
        """What is wrong with them, apart from plans."""
        counts: dict[str, tuple[object, int]] = {"draws": (self.draws, 1)}
        if self.budget is not None:
            counts["budget"] = (self.budget, 1)
        found = unusable(counts=counts, seeds={"seed": self.seed})
        if self.error is not None and not (is_finite_number(self.error) and 0 < self.error < 0.5):
            found.append(
                Problem(
                    what=f"error = {self.error!r}: the Monte Carlo error of a chance is asked for, 0.01 say; a number above 0 and below "
                    "0.5 is needed."
                )
            )
        return found

    @property
    def most_draws(self) -> int:
        """How many draws may be taken."""
        if self.error is None:
            return int(self.draws)
        return max(int(self.draws), int(_BUDGET * self.draws if self.budget is None else self.budget))


@dataclass(frozen=True)
class Settled:
    """A question about plans in which nothing is wrong; of plans that react, `plans` and `alone` have what going on gives.

    `asked` is what each number of the measures is, in their order.
    """

    plans: dict[str, Schedule]
    alone: dict[str, Schedule]
    before: Schedule
    kept: Schedule
    measures: tuple[Measure, ...]
    asked: tuple[Asked, ...]
    until: float
    levels: Mapping[str, Mapping[str, Any]]
    beyond: dict[str, tuple[Beyond, ...]]
    reactions: dict[str, Reaction] = field(default_factory=dict)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What is recorded to decide."""
        return tuple(readings_of(self.reactions.values()))

    def only(self, names: Sequence[str]) -> Settled:
        """The same question about some of the plans."""
        return replace(
            self,
            plans={name: self.plans[name] for name in names},
            alone={name: self.alone[name] for name in names},
            reactions={name: each for name, each in self.reactions.items() if name in names},
        )


def settled(objective: Objective, schedules: Any, asking: Asking) -> Settled:
    """Plans and measures as they will be simulated.

    Raises
    ------
    ScheduleError
        All problems at once.
    """
    case = objective.case
    if problems := asking.problems():
        raise ScheduleError(problems)
    before, kept = (history_given(asking.history, case), background_given(asking.background, case))
    reacting = reactions_in(schedules)
    if reacting:
        several = {"schedule": schedules} if isinstance(schedules, Reaction) else schedules
        schedules = {
            name: each.go_on if isinstance(each, Reaction) else each for name, each in several.items()
        }
    alone = plans_given(schedules, case)
    plans = on_background(alone, kept, case.products)
    reactions = {name: _on_background(each, kept, case) for name, each in reacting.items()}
    plans |= {name: each.go_on for name, each in reactions.items()}
    others = {f"{name}, otherwise": each.otherwise for name, each in reactions.items()}
    measures = (
        default_measures(objective.model, case=case)
        if asking.measures is None
        else measures_given(asking.measures)
    )
    if problems := plan_problems({**plans, **others}, before, case, asking.until, measures):
        raise ScheduleError(problems)
    until = float(asking.until)
    named = [each.name for each in objective.model.quantities] if reactions else []
    if problems := [
        each for reading in readings_of(reactions.values()) for each in reading.problems(case, named, until)
    ]:
        raise ScheduleError(problems)
    beyond = {
        name: found
        for name, plan in {**plans, **others}.items()
        if (found := beyond_given(delivered(plan, until), before, case, until))
    }
    if asking.strict and beyond:
        raise ScheduleError(
            [
                Problem(
                    what=f"{name!r} lies outside what was given: {'; '.join(str(each) for each in found)}.",
                    remedy="Ask without strict=True to see what the model says there all the same.",
                )
                for name, found in beyond.items()
            ]
        )
    levels = getattr(schedules, "levels", {})
    asked = tuple(each for measure in measures for each in measure.asked(case, objective.model, until))
    return Settled(plans, alone, before, kept, measures, asked, until, levels, beyond, reactions)


def _on_background(plan: Reaction, kept: Schedule, case: Case) -> Reaction:
    """Both its branches with the background products that neither gives, so that they stay alike before the visit."""
    own = {each.product for branch in (plan.go_on, plan.otherwise) for each in branch.infusions}
    more = replace(kept, infusions=tuple(each for each in kept.infusions if each.product not in own))
    both = on_background({"go on": plan.go_on, "otherwise": plan.otherwise}, more, case.products)
    return replace(plan, go_on=both["go on"], otherwise=both["otherwise"])


def not_reached(plans: Mapping[str, Schedule], until: float) -> list[str]:
    """Doses of a plan that `until` cuts off."""
    said = []
    for name, plan in plans.items():
        given = delivered(plan, until)
        if given.infusions != plan.infusions:
            said.append(
                f"{name}: only {given.count} of {plan.count} {dose_noun(plan, plan.products)}s "
                f"({amounts_text(given, given.products) or 'nothing'} of {amounts_text(plan, plan.products)}) are given by day "
                f"{until:g}: the numbers are those of what was given."
            )
    return said


def improbable(plans: Mapping[str, Schedule], case: Case) -> list[str]:
    """Doses of a plan a thousandfold off those that the patient was given of the same product."""
    said = []
    for name, plan in plans.items():
        for product in dict.fromkeys(each.product for each in plan.infusions):
            about = next((each for each in case.products if each.name == product), None)
            unit = about.unit if about is not None else ""
            given = [each.cells for each in case.timeline if each.product == product]
            sizes = dict.fromkeys(each.cells for each in plan.infusions if each.product == product)
            whys = [
                why for size in sizes if (why := dose_doubt(size, given, counted=unit == "cells", unit=unit))
            ]
            said += [f"{name}, {product}: {why}" for why in whys[:1]]
    return said
