"""How a sweep is carried out: plans in blocks that fit into memory, draws batch by batch until there are enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import approximation_of
from cellsim.predictions.bands import quantiles
from cellsim.predictions.plans import (
    delivered,
    dropped,
)
from cellsim.predictions.predictor import Sample, Simulated, Source, draws_at_once
from cellsim.predictions.reactions import chosen, readings_of
from cellsim.sweeps.decisions import beats
from cellsim.sweeps.kept_numbers import KeptNumbers, let_go
from cellsim.sweeps.learned import effective_draws, mean_error
from cellsim.sweeps.sweep_question import Asking, Settled, improbable, not_reached, settled
from cellsim.sweeps.sweep_result import BANDS, Sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.solver.trajectory import Trajectory

    Array = NDArray[np.float64]

__all__ = [
    "Numbers",
    "answered",
    "ask",
    "drawing",
    "measured",
    "objective_drawn",
    "sample_of",
]

# numbers held at once while a block of plans is simulated, and of courses until their bands are known
_MOST_AT_ONCE, _MOST_KEPT = 2**24, 2**26
# draws of a batch whose bands are averaged
_DRAWS_A_BAND = 256
# plans up to which the hours after every dose are recorded beside every day
_FEW_PLANS = 24
# the numbers of a batch whose numbers are kept elsewhere
_NONE = np.empty((0, 0, 0))
# pairs of plans whose chance to beat one another is followed until it is known to the error asked
_FOLLOWED = 500


def objective_drawn(source: Source) -> Objective:
    """The objective of something that has draws.

    Raises
    ------
    CellsimError
        If it has none.
    """
    objective = objective_given(source, "sweep")
    if not hasattr(source, "draws"):
        raise CellsimError(
            "sweep draws from a calibration or a sampled posterior; an objective has no draws. Make one: "
            "cs.calibrate(case)."
        )
    return objective


def ask(source: Source, schedules: Any, asking: Asking) -> Sweep:
    """One sweep of one mechanism; see :func:`cellsim.sweep`."""
    objective = objective_drawn(source)
    question = settled(objective, schedules, asking)
    asked = [
        each
        for measure in question.measures
        for each in measure.asked(objective.case, objective.model, question.until)
    ]
    approximation_of(source).warn("sweep", inside=1)
    drawn = _Drawn(objective, question, asking)
    more = drawing(source, asking)
    drawn.add(more(asking.draws, asking.seed))
    chances = [k for k, each in enumerate(asked) if each.chance]
    reached = _error(drawn, chances, source) if asking.error is not None else 0.0
    step = 0
    while asking.error is not None and reached > asking.error and not drawn.interrupted:
        worth, step = effective_draws(source, drawn.count), step + 1
        needed = int(np.ceil(worth * (reached / asking.error) ** 2 * 1.05))
        extra = min(max(needed - drawn.count, draws_at_once()), asking.most_draws - drawn.count)
        # draws of a posterior that are drawn again say nothing new
        if extra <= 0 or worth < drawn.count:
            break
        drawn.add(more(extra, asking.seed + 7919 * step))
        reached = _error(drawn, chances, source)
    posterior, prior, lost = drawn.numbers()
    numbers = Numbers(
        posterior,
        prior,
        lost,
        (drawn.why[0], drawn.why[1]),
        drawn.sample.times,
        drawn.curves(),
        drawn.count,
        drawn.interrupted,
    )
    short = (
        f"the Monte Carlo error of chances is {reached:.2g} where {asking.error:g} was asked: {drawn.count} draws, worth "
        f"{effective_draws(source, drawn.count):.0f}, were taken."
        if asking.error is not None and reached > asking.error
        else ""
    )
    known = "" if drawn.bands is None else drawn.bands.error()
    return answered(source, asking, question, numbers, short, known)


@dataclass(frozen=True, eq=False)
class Numbers:
    """What came out of the simulations of a sweep.

    Attributes
    ----------
    posterior, prior : array, shape (n_plans, n_asked, n_draws)
        Of draws that could be simulated under every plan.
    lost : (int, int)
        Posterior and prior draws left out.
    why : (str, str)
        What stopped the first of them.
    times : array, shape (n_times,)
    curves : mapping of str to array, shape (n_plans, 5, n_times)
        Bands of the posterior.
    count : int
        Draws taken, those left out among them.
    interrupted : bool
    """

    posterior: Array
    prior: Array
    lost: tuple[int, int]
    why: tuple[str, str]
    times: Array
    curves: Mapping[str, Array]
    count: int
    interrupted: bool


def answered(source: Source, asking: Asking, question: Settled, numbers: Numbers, *doubts: str) -> Sweep:
    """The numbers of a sweep with everything that is to be known of them."""
    objective = objective_given(source, "sweep")
    case, plans, until = objective.case, question.plans, question.until
    draws = numbers.posterior.shape[2]
    return Sweep(
        case=case,
        variant=source.variant,
        seed=asking.seed,
        schedules=plans,
        history=question.before,
        until=until,
        asked=tuple(
            each for measure in question.measures for each in measure.asked(case, objective.model, until)
        ),
        posterior=numbers.posterior,
        prior=numbers.prior,
        lost=numbers.lost,
        times=numbers.times,
        curves=numbers.curves,
        interrupted=numbers.interrupted,
        background=question.kept,
        effective=effective_draws(source, draws),
        levels=question.levels,
        beyond=question.beyond,
        approximation=approximation_of(source).also(
            f"interrupted: {draws} of {asking.draws} draws are in." if numbers.interrupted else "",
            *doubts,
            *(dropped(question.alone, question.kept, case) if asking.background is not None else ()),
            *improbable(plans, case),
            *not_reached(plans, until),
            *(
                f"{name} reacts on day {each.day:g} (on if {each.measured} is below {each.below:g}): what it gives in all is said of going on."
                for name, each in question.reactions.items()
            ),
            *(
                f"{count} of {numbers.count} {which} draws could not be simulated and are left out: {why}"
                for count, which, why in zip(numbers.lost, ("posterior", "prior"), numbers.why, strict=True)
                if count
            ),
        ),
    )


def drawing(source: Source, asking: Asking) -> Callable[[int, int], tuple[Array, Array]]:
    """What gives as many posterior and prior draws as asked for, by a seed."""
    random = np.random.default_rng(asking.seed + 1)
    size = len(source.objective.names)

    def more(count: int, seed: int) -> tuple[Array, Array]:
        return source.draws(count, seed=seed), random.standard_normal((count, size))

    return more


def _error(drawn: _Drawn, chances: Sequence[int], source: Source) -> float:
    """The greatest Monte Carlo error of a chance: of those asked, and of one plan to beat another."""
    posterior, _, _ = drawn.numbers()
    worth = effective_draws(source, posterior.shape[2])
    found = [0.0]
    for k in chances:
        found += mean_error(posterior[:, k], worth).tolist()
        let_go(posterior)
    plans = range(len(posterior))
    pairs = [(i, j) for i in plans for j in plans if i < j][:_FOLLOWED]
    found += [float(np.max(beats(posterior[i], posterior[j], worth)[1])) for i, j in pairs]
    return float(np.nanmax(found))


def sample_of(objective: Objective, question: Settled) -> Sample:
    """What is simulated of every plan; of few plans the hours after every dose are recorded too."""
    sample = Sample(objective, (*question.measures, *question.readings), question.before, question.until)
    if len(question.plans) <= _FEW_PLANS:
        sample.see_doses(
            (*question.plans.values(), *(each.otherwise for each in question.reactions.values()))
        )
    return sample


class _Drawn:
    """Numbers of all draws made so far."""

    def __init__(self, objective: Objective, question: Settled, asking: Asking) -> None:
        self.question, self.seed = question, int(asking.seed)
        self.plans = tuple(question.plans.values())
        self.sample = sample_of(objective, question)
        self.shown, self.bands = self._courses(asking.most_draws)
        self.parts: list[tuple[_Batch, _Batch]] = []
        count = _count_asked(self.sample, question)
        self.kept = [KeptNumbers(len(self.plans), count, int(asking.draws)) for _ in range(2)]
        self.interrupted = False
        self.why = ["", ""]

    def _courses(self, draws: int) -> tuple[tuple[str, ...], _AveragedBands | None]:
        """What is drawn over time, and, where the courses of all draws are too much to keep, what averages their bands.

        That is everything recorded, unless the bands alone are too much: then what outcomes are of comes first.
        """
        names = tuple(self.sample.formulas)
        each = len(self.plans) * len(self.sample.times)
        if draws * each * len(names) <= _MOST_KEPT:
            return names, None
        first = [outcome.course for outcome in self.sample.objective.case.outcomes if outcome.course in names]
        most = max(_MOST_KEPT // (each * len(BANDS)), 1)
        return tuple(dict.fromkeys([*first, *names]))[:most], _AveragedBands()

    @property
    def count(self) -> int:
        """How many draws there are, those that could not be simulated among them."""
        return sum(first.fine.shape[1] for first, _ in self.parts)

    def add(self, both: Sequence[Array]) -> None:
        """Simulate more draws, posterior and prior; an interrupt keeps the batches that are whole."""
        size, count = draws_at_once(), len(both[0])
        if self.bands is not None:  # batches alike, and none so small that its tails are only its ends
            size = -(-count // -(-count // _DRAWS_A_BAND))
        for begin in range(0, count, size):
            try:
                first, second = (
                    measured(
                        self.sample,
                        self.question,
                        thetas[begin : begin + size],
                        self.seed,
                        len(self.parts),
                        shown,
                        banded=self.bands is not None,
                    )
                    for thetas, shown in zip(both, (self.shown, ()), strict=True)
                )
            except KeyboardInterrupt:
                if not self.parts:
                    raise
                self.interrupted = True
                return
            if self.bands is not None:
                self.bands.add(first)
            for kept, batch in zip(self.kept, (first, second), strict=True):
                kept.add(batch.numbers, np.asarray(batch.fine.all(axis=0)))
            self.parts.append((replace(first, numbers=_NONE), replace(second, numbers=_NONE)))
            self.why = [old or new.why for old, new in zip(self.why, (first, second), strict=True)]

    def fine(self) -> NDArray[np.bool_]:
        """Posterior draws that could be simulated under every plan."""
        return np.concatenate([first.fine.all(axis=0) for first, _ in self.parts])

    def numbers(self) -> tuple[Array, Array, tuple[int, int]]:
        """Posterior and prior numbers, (n_plans, n_asked, n_draws), and how many draws of each are left out."""
        posterior, prior = (each.numbers for each in self.kept)
        if not posterior.shape[2]:
            raise CellsimError(f"none of {self.count} draws could be simulated: {self.why[0]}")
        return posterior, prior, (self.count - posterior.shape[2], self.count - prior.shape[2])

    def curves(self) -> dict[str, Array]:
        """Posterior bands of what is shown."""
        if self.bands is not None:
            return self.bands.means()
        fine = self.fine()
        out = {}
        for name in self.shown:
            of_plans = (
                np.concatenate([part[0].courses[name][k].T for part in self.parts], axis=1)
                for k in range(len(self.plans))
            )
            out[name] = np.array(
                [quantiles(each if fine.all() else each[:, fine], BANDS) for each in of_plans]
            )
        return out


class _AveragedBands:
    """Bands of courses that nobody could keep: the mean over batches of the bands of each.

    A quantile of a batch of n draws is off by a part of its Monte Carlo error that falls with 1/n, and the mean over batches has the
    error of all draws; how far batches lie apart tells it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}
        self._squares: dict[str, Array] = {}
        self._weight, self._batches = 0, 0

    def add(self, batch: _Batch) -> None:
        """Take the bands of a batch, by its draws that could be simulated under every plan, and leave it without."""
        weight = int(batch.fine.all(axis=0).sum())
        for name in list(batch.courses):
            bands = np.array(batch.courses.pop(name))
            if weight:
                self._sums[name] = self._sums.get(name, 0.0) + weight * bands
                self._squares[name] = self._squares.get(name, 0.0) + weight * bands**2
        self._weight, self._batches = self._weight + weight, self._batches + bool(weight)

    def means(self) -> dict[str, Array]:
        """The bands of each course, shape (n_plans, 5, n_times)."""
        return {name: each / self._weight for name, each in self._sums.items()}

    def error(self) -> str:
        """How well they are known; empty for one batch, whose bands are exact."""
        if self._batches < 2:
            return ""
        shares = []
        for name, mean in self.means().items():
            spread = np.sqrt(
                np.maximum(self._squares[name] / self._weight - mean**2, 0) / (self._batches - 1)
            )
            width = mean[:, -1:] - mean[:, :1]
            shares.append((spread / np.where(width > 0, width, np.inf)).ravel())
        known = np.concatenate(shares)
        middle, high = np.quantile(known[np.isfinite(known)], [0.5, 0.95])
        return (
            f"bands of courses are means over {self._batches} batches of draws; their standard error is {middle:.1g} of the width of "
            f"the 90 % band in the middle, and below {high:.1g} in 95 of 100 places."
        )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some draws under every plan: numbers (n_plans, n_asked, n_draws), fine (n_plans, n_draws), courses or bands a plan."""

    numbers: Array
    fine: NDArray[np.bool_]
    courses: dict[str, list[Array]]
    why: str


def measured(
    sample: Sample,
    question: Settled,
    thetas: Array,
    seed: int,
    batch: int = 0,
    shown: Sequence[str] = (),
    *,
    banded: bool = False,
) -> _Batch:
    """Measures of draws under every plan, in blocks of plans that fit into memory.

    Parameters
    ----------
    sample : Sample
    question : Settled
    thetas : array, shape (n_draws, n_parameters)
    seed, batch : int
        Of what measures add at random: the same for every plan.
    shown : sequence of str
        Quantities whose courses are kept.
    banded : bool
        Only the bands of these, of draws that could be simulated, shape (5, n_times).
    """
    case = sample.objective.case
    names, plans = tuple(question.plans), tuple(question.plans.values())
    with_courses = bool(shown) or sample.whole_course
    recorded = len(sample.times if with_courses else sample.asked_times)
    width = len(thetas) * recorded * max(len(sample.formulas) + len(sample.areas), 1)
    block = max(_MOST_AT_ONCE // width, 1)
    numbers: list[Array] = []
    fine: list[NDArray[np.bool_]] = []
    courses: dict[str, list[Array]] = {name: [] for name in shown}
    why = ""
    for begin in range(0, len(plans), block):
        some = plans[begin : begin + block]
        own = list(question.alone.values())[begin : begin + block]
        reacting = [question.reactions.get(name) for name in names[begin : begin + block]]
        others = [each.otherwise for each in reacting if each is not None]
        found = sample.runs([*some, *others], thetas, courses=with_courses)
        instead = iter(found[len(some) :])
        for plan, alone, reaction, going_on in zip(some, own, reacting, found, strict=False):
            simulated, follows = going_on, np.ones(len(thetas), bool)
            if reaction is not None:
                [reading] = readings_of([reaction])
                follows = reading.values(going_on, case, seed + 104_729 * batch) < reaction.below
                # whoever is sure to go on does so whatever is measured
                follows |= np.isposinf(reaction.below)
                simulated = chosen(follows, going_on, next(instead))
            # a draw that was lost is measured as another one, and left out later, so that draws stay paired
            places, whole = np.arange(len(thetas)), bool(simulated.fine.all())
            if not whole and simulated.fine.any():
                places[~simulated.fine] = int(np.argmax(simulated.fine))
            runs = replace(
                simulated.only(slice(None) if whole else places, seed + 104_729 * batch),
                plan=delivered(alone, question.until),
                reacts=reaction is not None,
                trajectory=_trajectory(
                    sample,
                    question,
                    [
                        plan if reaction is None or on else reaction.otherwise
                        for on in follows[places].tolist()
                    ],
                    thetas[places],
                ),
            )
            numbers.append(
                np.concatenate([measure.of(runs, case, question.until) for measure in question.measures])
                if simulated.fine.any()
                else _nothing(sample, question, simulated)
            )
            fine.append(simulated.fine)
            why = why or simulated.why
            for name in shown:
                course = simulated.values[name]
                kept = course.T if whole else course.T[:, simulated.fine]
                courses[name].append(
                    course
                    if not banded
                    else quantiles(kept, BANDS)
                    if kept.size
                    else np.full((5, len(course.T)), np.nan)
                )
        del found, going_on, instead, simulated, runs  # before the next plans take as much
    return _Batch(np.array(numbers), np.array(fine), courses, why)


def _count_asked(sample: Sample, question: Settled) -> int:
    case, model = sample.objective.case, sample.objective.model
    return sum(len(each.asked(case, model, question.until)) for each in question.measures)


def _nothing(sample: Sample, question: Settled, simulated: Simulated) -> Array:
    return np.full((_count_asked(sample, question), len(simulated.fine)), np.nan)


def _trajectory(
    sample: Sample, question: Settled, plans: Sequence[Schedule], thetas: Array
) -> Callable[[int], Trajectory]:
    """The simulation of one draw, made when a measure asks for it."""

    def made(draw: int) -> Trajectory:
        from cellsim.solver.simulation import simulate

        objective = sample.objective
        timeline = Schedule((), objective.case.products) + question.before + plans[draw]
        days = np.unique([0.0, *np.arange(0.0, question.until), question.until])
        start = min([objective.case.start, *(each.day for each in timeline)])
        return simulate(objective.model, timeline, days, values=objective.values(thetas[draw]), start=start)

    return made
