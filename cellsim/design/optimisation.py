"""The best plan under a clinic's rules: enumerate what they allow, race it on common draws, in all mechanisms at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.design.clinic_rules import Candidate, ClinicRules, rules_given
from cellsim.design.optimum import Optimum
from cellsim.design.racing import Contender, race, rounds_of
from cellsim.errors import CellsimError, Problem, did_you_mean, is_finite_number, unusable
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import approximation_of, together
from cellsim.predictions.measures import (
    AllInRange,
    Area,
    DaysBelow,
    InRange,
    Measure,
    PeakLoad,
    Value,
    measure_of_outcome,
)
from cellsim.predictions.own_measures import Formula, measures_given
from cellsim.predictions.predictor import Sample, draws_at_once
from cellsim.predictions.reactions import STOP, Reaction, Reading, branches_of
from cellsim.sweeps.averaged_sweep import weighting_of
from cellsim.sweeps.decisions import place_of
from cellsim.sweeps.learned import effective_draws
from cellsim.sweeps.sweep_question import Asking, Settled, settled
from cellsim.sweeps.sweep_running import measured
from cellsim.sweeps.trust_region import Beyond, beyond_given

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Schedule
    from cellsim.likelihood.objective import Objective
    from cellsim.predictions.measures import Asked
    from cellsim.predictions.own_measures import AnyMeasure

    Array = NDArray[np.float64]

__all__ = ["optimise"]

# combinations that are enumerated; of more, a differential evolution proposes
_ENUMERATED = 100_000
# plans that it hands to the race, its draws, members and generations
_PROPOSED, _SCOUT_DRAWS, _MEMBERS, _GENERATIONS = 2000, 16, 15, 40
# measures that need no course between the days they ask for, and do not look at the plan itself
_WITHOUT_COURSE = (AllInRange, Area, DaysBelow, Formula, InRange, PeakLoad, Value)


def optimise(
    posterior: Any,
    rules: ClinicRules | str | PathLike[str] | dict[str, Any] | None = None,
    *,
    until: float,
    measure: AnyMeasure | None = None,
    better: str | None = None,
    cost: float = 0.0,
    eps: float = 0.0,
    probability: float = 0.95,
    draws: int = 500,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    **keywords: Any,
) -> Optimum:
    """The plans that cannot be told from the best, among all that a clinic's rules allow.

    Parameters
    ----------
    posterior : Calibration or Posterior, or a list of these or of pairs (posterior, weight)
        Several mechanisms are averaged by their evidence or weight, and each is looked at by itself.
    rules : ClinicRules, path of a TOML file, or mapping, optional
        See :class:`cellsim.design.clinic_rules.ClinicRules`; its fields as keywords otherwise.
    until : float
        Last day looked at; plans with doses after it are left out, and a doubt counts them.
    measure : Measure, str or callable, optional
        The benefit, one number a draw (see :func:`cellsim.sweep`); by default the first outcome of the case that says what is better.
    better : {"higher", "lower"}, optional
        Of a measure that is no outcome of the case.
    cost : float
        What one unit of a product (one cell) costs, in the unit of the benefit: utility is the benefit less cost times amount.
    eps : float
        Differences of expected utility that do not matter.
    probability : float
        Of each certificate.
    draws, seed : int
        Draws of each mechanism, the same for all plans; few for all plans, all for those that may still be best. Of a posterior whose draws are
        worth w independent ones about 4 w at most: more are the same drawn again.
    history, background
        As for :func:`cellsim.sweep`.
    strict : bool
        Whether plans outside what the patient was given are left out.
    **keywords
        Fields of the rules.

    Returns
    -------
    Optimum
        ``.table()``, ``.certificate()``, ``.front()``, ``.report()``, ``.plans``, ``.best``.

    Raises
    ------
    CellsimError
        For rules that allow nothing, a benefit of which nobody says what is better, and settings that are none, all at once.

    Notes
    -----
    Up to 100 000 combinations of levels all allowed plans are raced (:mod:`cellsim.design.racing`). Of more,
    ``scipy.optimize.differential_evolution`` over the places of the levels proposes two thousand, and the certificate says so.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> fit = cs.calibrate(case, starts=1)
    >>> found = cs.optimise(fit, until=260, draws=8, product="rfib", cells=5e7, doses=[2, 4], interval=[14, 28])
    >>> len(found.candidates), found.complete
    (4, True)
    """
    rules = rules_given(rules, keywords)
    problems = unusable(
        counts={"draws": (draws, 4)}, seeds={"seed": seed}, levels={"probability": probability}
    )
    problems += [
        Problem(what=f"{name} = {value!r}: a number from 0 on is needed.")
        for name, value in (("cost", cost), ("eps", eps))
        if not (is_finite_number(value) and value >= 0)
    ]
    if problems:
        raise CellsimError(problems)
    weighting = weighting_of(posterior if isinstance(posterior, list | tuple) else [(posterior, 1.0)])
    case = objective_given(next(iter(weighting.sources.values())), "optimise").case
    _known_products(rules, case)
    shares = np.exp(weighting.log_weights - weighting.log_weights.max())
    weights = dict(zip(weighting.sources, (shares / shares.sum()).tolist(), strict=True))
    if cost and any(each is not None for each in rules.visit):
        raise CellsimError(
            "cost= counts what a plan gives, which of a plan that reacts to a visit is another amount in each draw: leave out cost=, and read "
            ".front(), which has what it gives at most."
        )
    chosen = _benefit_of(case, measure)
    asking = Asking(until, [chosen], draws, seed, history, background)
    arena = _Arena(rules, case, chosen, better, cost, asking, strict)
    contenders = {
        name: arena.contender(name, source, weights[name]) for name, source in weighting.sources.items()
    }
    complete = rules.count <= _ENUMERATED
    if complete:
        arena.add(rules.candidates(case.day_zero))
    else:
        _propose(arena, contenders, seed)
    if not arena.candidates:
        why = (
            "it has doses after the last day"
            if arena.late
            else "it lies outside what was given (strict=True)"
        )
        first = rules.of(levels[0] for levels in rules.levels)
        raise CellsimError(
            f"the rules allow no plan: of {rules.count} combinations none. The first, {first.words(arena.unit(first))}: "
            f"{rules.forbids(first, case.day_zero) or why}."
        )
    amounts = np.array([rules.amount(each, case.day_zero) for each in arena.candidates])
    contenders |= {
        name: _of_one(contenders[name], cost * amounts)
        for name, sample in arena.samples.items()
        if arena.cannot_differ(sample)
    }
    raced = race(
        contenders,
        amounts,
        draws=draws,
        eps=eps,
        probability=probability,
        chance=arena.asked.chance,
        benefit=(lambda values: values + cost * amounts[:, None]) if cost else None,
    )
    answer = {arena.names[k]: arena.candidates[k] for k in np.flatnonzero(raced.average).tolist()}
    return Optimum(
        case=case,
        rules=rules,
        measure=f"{arena.asked.measure} {arena.asked.quantity}",
        sign=arena.sign,
        cost=float(cost),
        until=float(until),
        candidates=tuple(arena.candidates),
        names=tuple(arena.names),
        weights=weights,
        worth={name: each.worth for name, each in contenders.items()},
        alike=tuple(name for name, each in contenders.items() if each.alike),
        raced=raced,
        eps=float(eps),
        probability=float(probability),
        complete=complete,
        allowed=len(arena.candidates) if complete else rules.count,
        chance=arena.asked.chance,
        approximation=together(
            {name: approximation_of(source) for name, source in weighting.sources.items()}
        ).also(
            *weighting.doubts,
            *arena.doubts,
            f"{len(arena.late)} allowed plans have doses after day {until:g}, of which nothing is seen, and are left out: give a later "
            "until."
            if arena.late
            else "",
            f"interrupted: the race of {len(arena.candidates)} plans ended after {int(raced.drawn.max())} of {draws} draws."
            if raced.interrupted
            else "",
        ),
        beyond={
            name: found for name, one in answer.items() if (found := arena.beyond(rules.schedule(one, case)))
        },
    )


def _of_one(contender: Contender, costs: Array) -> Contender:
    """A mechanism in which plans differ by what they cost alone: one of them is simulated for all."""

    def utility(plans: NDArray[np.intp], first: int, last: int) -> Array:
        one = contender.utility(np.zeros(1, np.intp), first, last)
        return np.asarray(one + (costs[0] - costs[plans])[:, None])

    return replace(contender, utility=utility, alike=True)


def _known_products(rules: ClinicRules, case: Case) -> None:

    known = [each.name for each in case.products]
    if known and (
        problems := [
            Problem(what=f"the rules name product {name!r}.", remedy=did_you_mean(name, known))
            for name in dict.fromkeys(
                [
                    *rules.product,
                    *(each for each in rules.otherwise if isinstance(each, str) and each != STOP),
                ]
            )
            if name not in known
        ]
    ):
        raise CellsimError(problems)


def _benefit_of(case: Case, measure: AnyMeasure | None) -> Measure:
    """The measure of the benefit: what was asked, or the case's first outcome that says what is better."""
    if measure is not None:
        [found] = measures_given([measure])
        return found
    for outcome in case.outcomes:
        if outcome.better:
            of_analyte: Measure = (InRange if outcome.chance else Value)(analytes=(outcome.quantity,))
            return measure_of_outcome(outcome, ()) or of_analyte
    raise CellsimError(
        f"{case.name} has no outcome that says what is better: give measure= and better='higher' or 'lower'."
    )


class _Arena:
    """The plans that are raced, and how a mechanism gives their utility."""

    def __init__(
        self,
        rules: ClinicRules,
        case: Case,
        measure: Measure,
        better: str | None,
        cost: float,
        asking: Asking,
        strict: bool,
    ) -> None:
        self.rules, self.case, self.measure, self.better = rules, case, measure, better
        self.cost, self.asking, self.strict = cost, asking, strict
        self.candidates: list[Candidate] = []
        self.names: list[str] = []
        self.schedules: dict[str, Schedule | Reaction] = {}
        self.settled: dict[str, Schedule] = {}
        self.reactions: dict[str, Reaction] = {}
        self.doubts: list[str] = []
        self.late: set[Candidate] = set()
        self.samples: dict[str, Sample] = {}
        self.asked: Asked
        self.sign = 1.0
        self.question: Settled

    def unit(self, one: Candidate) -> str:
        """Of a product's doses."""
        return next((each.unit for each in self.case.products if each.name == one.product), "cells")

    def add(self, candidates: Any) -> list[int]:
        """Let plans take part; their places, those that are there already among them."""
        known, places = {each: k for k, each in enumerate(self.candidates)}, []
        for one in candidates:
            if one in known:
                places.append(known[one])
                continue
            if self.rules.days(one, self.case.day_zero)[-1] > self.question.until:
                self.late.add(one)
                continue
            plan = self.rules.schedule(one, self.case)
            if self.strict and self.beyond(plan):
                continue
            known[one] = len(self.candidates)
            places.append(len(self.candidates))
            self.candidates.append(one)
            name = one.words(self.unit(one))
            if name in self.schedules:  # sizes alike to the digits shown
                name = f"{name} ({one.cells!r})"
            self.names.append(name)
            self.schedules[name] = plan
        return places

    def beyond(self, plan: Schedule | Reaction) -> tuple[Beyond, ...]:
        """In what a plan, or what it may become, lies outside what was given."""
        found = [
            beyond_given(each, self.question.before, self.case, self.question.until)
            for each in branches_of(plan)
        ]
        return tuple(dict.fromkeys(each for several in found for each in several))

    def contender(self, name: str, source: Any, weight: float) -> Contender:
        """A mechanism, with what it says of plans."""
        objective = objective_given(source, "optimise")
        approximation_of(source).warn("optimise")
        empty = {"nothing": replace(self.case.schedule, infusions=())}
        question = settled(objective, empty, self.asking)
        asked = self.measure.asked(self.case, objective.model, question.until)
        place, sign = place_of(asked, self.case, asked[0].measure, asked[0].quantity, None, self.better)
        self.asked, self.sign = asked[place], sign
        readings = self.readings(objective)
        sample = Sample(objective, (*question.measures, *readings), question.before, question.until)
        if isinstance(self.measure, _WITHOUT_COURSE):
            looked = [day for each in (self.measure, *readings) for day in each.days(question.until)]
            days = [day for day in looked if day <= question.until]
            sample.times = np.unique([0.0, question.until, *days])
        self.samples[name] = sample
        thetas = source.draws(self.asking.draws, seed=self.asking.seed)

        def utility(plans: NDArray[np.intp], first: int, last: int) -> Array:
            now = self._question_of([self.names[k] for k in plans.tolist()], objective)
            parts = []
            for begin in range(first, last, draws_at_once()):
                some = thetas[begin : min(begin + draws_at_once(), last)]
                found = measured(sample, now, some, self.asking.seed, begin)
                if found.why:
                    said = f"{name}: a plan could not be simulated in some draws, which are left out there: {found.why}"
                    self.doubts += [said] if said not in self.doubts else []
                parts.append(np.where(found.fine, found.numbers[:, place], np.nan))
            values = sign * np.concatenate(parts, axis=1)
            if self.cost:
                some_plans = [self.candidates[k] for k in plans.tolist()]
                amounts = np.array([self.rules.amount(each, self.case.day_zero) for each in some_plans])
                values = values - self.cost * amounts[:, None]
            return np.asarray(values)

        self.question = question
        return Contender(weight, effective_draws(source, int(self.asking.draws)), utility)

    def cannot_differ(self, sample: Sample) -> bool:
        """Whether the benefit cannot depend on which plan is given: no dose in which plans differ reaches it."""
        if not isinstance(self.measure, _WITHOUT_COURSE):  # others may look at the plan itself
            return False
        question = self._question_of(self.names, sample.objective)
        others = [each.otherwise for each in question.reactions.values()]
        return sample.cannot_differ([*question.plans.values(), *others])

    def _question_of(self, names: Sequence[str], objective: Objective) -> Settled:
        """The question about some plans; what is wrong with a plan is looked for once."""
        if fresh := {name: self.schedules[name] for name in names if name not in self.settled}:
            found = settled(objective, fresh, self.asking)
            self.settled.update(found.plans)
            self.reactions.update(found.reactions)
        return replace(
            self.question,
            plans={name: self.settled[name] for name in names},
            alone={name: branches_of(self.schedules[name])[0] for name in names},
            reactions={name: self.reactions[name] for name in names if name in self.reactions},
        )

    def readings(self, objective: Objective) -> tuple[Reading, ...]:
        """What plans that react are decided by.

        Raises
        ------
        CellsimError
            If there is none such, or a visit comes after the last day.
        """
        until = float(self.asking.until)
        found = tuple(Reading(float(day), self.rules.measured) for day in self.rules.visit if day is not None)
        names = [each.name for each in objective.model.quantities]
        if problems := [each for reading in found for each in reading.problems(self.case, names, until)]:
            raise CellsimError(problems)
        return found


def _propose(arena: _Arena, contenders: dict[str, Contender], seed: int) -> None:
    """Plans that a differential evolution over the places of the levels comes across, the best of them for the race."""
    from scipy.optimize import differential_evolution

    rules, day_zero = arena.rules, arena.case.day_zero
    last = min(_SCOUT_DRAWS, rounds_of(int(arena.asking.draws))[0])
    known: dict[int, float] = {}
    free = [k for k, levels in enumerate(rules.levels) if len(levels) > 1]

    def loss(places: Array) -> Array:
        columns = places.reshape(len(free), -1).round().astype(int).T
        wanted: list[Candidate | None] = []
        for column in columns.tolist():
            chosen = dict(zip(free, column, strict=True))
            one = rules.of(levels[chosen.get(k, 0)] for k, levels in enumerate(rules.levels))
            wanted.append(None if rules.forbids(one, day_zero) else one)
        where: list[list[int]] = [arena.add([] if one is None else [one]) for one in wanted]
        fresh = np.array(sorted({k for each in where for k in each} - set(known)), np.intp)
        if fresh.size:
            found = sum(
                each.weight * np.nanmean(each.utility(fresh, 0, last), axis=1)
                for each in contenders.values()
                if each.weight > 0
            )
            known.update(zip(fresh.tolist(), np.asarray(found).tolist(), strict=True))
        return np.array([-known[each[0]] if each else np.inf for each in where])

    differential_evolution(
        loss,
        [(0, len(rules.levels[k]) - 1) for k in free],
        integrality=[True] * len(free),
        vectorized=True,
        updating="deferred",
        popsize=_MEMBERS,
        maxiter=_GENERATIONS,
        polish=False,
        rng=np.random.default_rng(seed),
    )
    best: Sequence[int] = sorted(known, key=lambda k: -known[k])[:_PROPOSED]
    arena.candidates = [arena.candidates[k] for k in best]
    arena.names = [arena.names[k] for k in best]
