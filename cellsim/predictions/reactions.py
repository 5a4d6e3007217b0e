"""Plans that react to a visit: go on if what is measured there is below a value, and otherwise stop, or change product or dose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import numpy as np

from cellsim.dosing.restarts import SteadyState
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, Problem, did_you_mean, is_finite_number
from cellsim.likelihood.observations import prediction_of
from cellsim.model.formulas import parse_formula
from cellsim.predictions.chances import sampled, spread_at, spread_name, unknown_spread

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.case.case import Analyte, Case
    from cellsim.model.model import Model
    from cellsim.predictions.measures import Asked, Runs
    from cellsim.predictions.predictor import Simulated

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Reaction", "Reading", "branches_of", "chosen", "otherwise_of", "reactions_in", "readings_of"]

STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """A plan that is decided at a visit, by the value measured there, before that day's dose.

    Parameters
    ----------
    go_on, otherwise : Schedule
        What is given where the value lies below `below`, and where it does not; alike before `day`.
    day : float
        Of the visit, from day 0 on.
    measured : str
        An analyte of the case, whose measured value decides: the predicted one with the error of a new sample (its own spread, and the
        effect that its panel shares), a new one in each draw and the same for all plans that ask at this visit. Or a quantity or formula
        of the model, which nobody measures: it decides without error.
    below : float
        In the unit of what is measured; infinite for going on whatever is found.

    Raises
    ------
    CellsimError
        All problems at once.

    Examples
    --------
    >>> plan = Schedule.every(7, cells=5e7, doses=8, product="rfib")
    >>> reacts = Reaction.to(plan, day=28, measured="IL6", below=40.0)
    >>> reacts.go_on.count, reacts.otherwise.count
    (8, 4)
    """

    go_on: Schedule
    otherwise: Schedule
    day: float
    measured: str
    below: float

    def __post_init__(self) -> None:
        problems = [
            Problem(what=f"{name} is a {type(each).__name__}, and no schedule.", remedy="Schedule() is one without doses.")
            for name, each in (("go_on", self.go_on), ("otherwise", self.otherwise))
            if not isinstance(each, Schedule)
        ]  # fmt: skip
        if not (is_finite_number(self.day) and self.day >= 0):
            problems.append(Problem(what=f"day = {self.day!r}: the day of a visit from day 0 on is needed."))
        if not isinstance(self.measured, str) or not self.measured:
            problems.append(
                Problem(what=f"measured = {self.measured!r}: the name of what is measured is needed.")
            )
        if isinstance(self.below, bool) or not isinstance(self.below, int | float) or np.isnan(self.below):
            problems.append(Problem(what=f"below = {self.below!r}: a number is needed, or infinity."))
        if not problems:
            first, second = (
                (
                    [each for each in plan.infusions if each.day < self.day],
                    [each for each in plan.restarts if each.day < self.day],
                )
                for plan in (self.go_on, self.otherwise)
            )
            if first != second:
                problems.append(
                    Problem(
                        what=f"the two plans differ before the visit on day {self.day:g}.",
                        remedy="Give the same doses in both until then: nobody knows before it which is followed.",
                    )
                )
        if problems:
            raise CellsimError(problems)

    @classmethod
    def to(
        cls, plan: Schedule, *, day: float, measured: str, below: float, otherwise: str | float = STOP
    ) -> Reaction:
        """A plan that is gone on with if what is measured is below a value.

        Parameters
        ----------
        plan : Schedule
        day, measured, below
            As above.
        otherwise : str or float
            ``"stop"``; the name of a product that is given in place of the plan's; or a factor of every later dose.
        """
        return cls(
            go_on=plan,
            otherwise=otherwise_of(plan, float(day), otherwise),
            day=day,
            measured=measured,
            below=below,
        )


def otherwise_of(plan: Schedule, day: float, change: str | float) -> Schedule:
    """A plan with everything from a day on left out, given of another product, or changed by a factor.

    Examples
    --------
    >>> plan = Schedule.at([0, 7, 14], cells=4.0, product="a")
    >>> [each.cells for each in otherwise_of(plan, 7, 0.5)], [each.product for each in otherwise_of(plan, 7, "b")]
    ([4.0, 2.0, 2.0], ['a', 'b', 'b'])
    """
    if not isinstance(change, str) and not (is_finite_number(change) and change >= 0):
        raise CellsimError(f"otherwise = {change!r}: 'stop', a product, or a factor from 0 on is needed.")
    before = tuple(each for each in plan.infusions if each.day < day)
    after = tuple(each for each in plan.infusions if each.day >= day)
    steady = [each for each in plan.restarts if isinstance(each, SteadyState) and each.day >= day]
    if change in (STOP, 0):
        kept = tuple(each for each in plan.restarts if each not in steady)
        return replace(plan, infusions=before, restarts=kept)
    if steady:
        raise CellsimError(
            f"otherwise = {change!r}: the plan starts anew in a steady state on day {steady[0].day:g}, which is changed by no rule. Write both "
            "schedules: cs.Reaction(go_on=..., otherwise=...)."
        )
    if isinstance(change, str):
        return replace(plan, infusions=before + tuple(replace(each, product=change) for each in after))
    return replace(
        plan, infusions=before + tuple(replace(each, cells=each.cells * float(change)) for each in after)
    )


def branches_of(plan: Schedule | Reaction) -> tuple[Schedule, ...]:
    """The schedules that a plan may become."""
    return (plan.go_on, plan.otherwise) if isinstance(plan, Reaction) else (plan,)


def reactions_in(schedules: Any) -> dict[str, Reaction]:
    """Those of plans that react, by name."""
    if isinstance(schedules, Reaction):
        return {"schedule": schedules}
    if not isinstance(schedules, Mapping):
        return {}
    return {str(name): each for name, each in schedules.items() if isinstance(each, Reaction)}


@dataclass(frozen=True)
class Reading:
    """What is recorded for the decision at a visit, like a measure that is asked for no number."""

    whole_course: ClassVar[bool] = False

    day: float
    measured: str

    def _analyte(self, case: Case) -> Analyte | None:
        return next((each for each in case.analytes if each.id == self.measured), None)

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        """What is measured, and its spread where draws tell it."""
        about = self._analyte(case)
        if about is None:
            return {self.measured: parse_formula(self.measured)}
        found = {about.id: prediction_of(about)}
        return found | ({spread_name(about): parse_formula(about.noise)} if unknown_spread(about) else {})

    def areas(self, case: Case) -> dict[str, sp.Expr]:
        """None."""
        return {}

    def peaks(self, case: Case) -> tuple[str, ...]:
        """None."""
        return ()

    def days(self, until: float) -> tuple[float, ...]:
        """Just before a dose of that day."""
        return (float(np.nextafter(self.day, -np.inf)) if self.day > 0 else 0.0,)

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        """No number."""
        return ()

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        """No number."""
        return np.empty((0, len(next(iter(runs.values.values())))))

    def problems(self, case: Case, names: Iterable[str], until: float) -> list[Problem]:
        """What of it there is not."""
        found = []
        if self.day > until:
            found.append(
                Problem(what=f"the visit on day {self.day:g} is after the last day, {until:g}.", remedy="Give a later until.")
            )  # fmt: skip
        if self._analyte(case) is None:
            known = [*(each.id for each in case.analytes), *names]
            unknown = [
                str(each) for each in parse_formula(self.measured).free_symbols if str(each) not in known
            ]
            found += [
                Problem(
                    what=f"no analyte or quantity {each!r} to decide by.", remedy=did_you_mean(each, known)
                )
                for each in unknown
            ]
        return found

    def values(self, simulated: Simulated, case: Case, seed: int) -> Array:
        """What is measured in each draw, shape (n_draws,): the noise is that of this visit, whatever the plan."""
        place = int(np.searchsorted(simulated.times, self.days(np.inf)[0]))
        value, about = simulated.values[self.measured][:, place], self._analyte(case)
        if about is None:
            return value
        spreads = {name: each[:, place] for name, each in simulated.values.items()}
        visit = crc32(f"{self.measured} {self.day!r}".encode())
        random = np.random.default_rng([seed, visit]).standard_normal(value.shape)
        return sampled(case, about, value, spread_at(case, about, spreads), random)


def chosen(go: Mask, first: Simulated, second: Simulated) -> Simulated:
    """Draw by draw one of two simulations."""

    return replace(
        first,
        outputs=np.where(go, first.outputs, second.outputs),
        peaks={name: np.where(go, each, second.peaks[name]) for name, each in first.peaks.items()},
        fine=np.where(go, first.fine, second.fine),
        why=first.why or second.why,
    )


def readings_of(reactions: Iterable[Reaction]) -> Sequence[Reading]:
    """What is recorded for plans that react, each once."""
    return tuple(dict.fromkeys(Reading(float(each.day), each.measured) for each in reactions))
