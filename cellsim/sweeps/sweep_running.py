"""How a sweep is carried out: plans in blocks that fit into memory, draws batch by batch until there are enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import approximation_of
from cellsim.predictions.bands import AveragedBands, CourseBands
from cellsim.predictions.plans import delivered, dropped
from cellsim.predictions.predictor import DRAWS_A_STREAM, Sample, Simulated, Source, Workspace, draws_at_once
from cellsim.predictions.reactions import Reaction, chosen, readings_of
from cellsim.sweeps.decisions import beats
from cellsim.sweeps.kept_numbers import KeptNumbers, let_go
from cellsim.sweeps.learned import effective_draws, mean_error
from cellsim.sweeps.prior_draws import PriorDraws, left_out
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

# numbers held at once while a block of plans is simulated, of courses until their bands are known, and of courses in an answer of
# which nobody has asked for bands yet
_MOST_AT_ONCE, _MOST_KEPT, _MOST_WAITING = 2**25, 2**26, 2**22
# draws of a batch whose bands are averaged: few enough that plans which begin alike are simulated together
_DRAWS_A_BAND = 128
# simulations of the prior that wait until somebody asks for what it says: of no more than a second or two
_MOST_LATER = 2**12
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
    approximation_of(source).warn("sweep", inside=1)
    drawn = _Drawn(objective, question, asking)
    more = drawing(source, asking)
    drawn.add(more(asking.draws, asking.seed))
    chances = [k for k, each in enumerate(question.asked) if each.chance]
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
    posterior = drawn.posterior()
    numbers = Numbers(
        posterior,
        drawn.prior(),
        drawn.count - posterior.shape[2],
        drawn.why,
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
    posterior : array, shape (n_plans, n_asked, n_draws)
        Of draws that could be simulated under every plan.
    prior : PriorDraws
        The same of the prior.
    lost : int
        Posterior draws left out.
    why : str
        What stopped the first of them.
    times : array, shape (n_times,)
    curves : mapping of str to array, shape (n_plans, 5, n_times)
        Bands of the posterior.
    count : int
        Draws taken, those left out among them.
    interrupted : bool
    """

    posterior: Array
    prior: PriorDraws
    lost: int
    why: str
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
        asked=question.asked,
        posterior=numbers.posterior,
        prior_draws=numbers.prior,
        posterior_lost=numbers.lost,
        times=numbers.times,
        curves=numbers.curves,
        interrupted=numbers.interrupted,
        background=question.kept,
        effective=effective_draws(source, draws),
        levels=question.levels,
        beyond=question.beyond,
        rests_on=approximation_of(source).also(
            f"interrupted: {draws} of {asking.draws} draws are in." if numbers.interrupted else "",
            *doubts,
            *(dropped(question.alone, question.kept, case) if asking.background is not None else ()),
            *improbable(plans, case),
            *not_reached(plans, until),
            *(
                f"{name} reacts on day {each.day:g} (on if {each.measured} is below {each.below:g}): what it gives in all is said of going on."
                for name, each in question.reactions.items()
            ),
            left_out(numbers.lost, numbers.count, "posterior", numbers.why),
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
    posterior = drawn.posterior()
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
        self.parts: list[_Batch] = []
        self.courses: list[Array] = []
        self.streams = 0
        self.room = len(self.plans), len(question.asked), int(asking.draws)
        self.kept, self.kept_prior = KeptNumbers(*self.room), KeptNumbers(*self.room)
        # of a short question the prior waits for who asks: most of what is tried is looked at by the posterior alone
        self.prior_waits = asking.error is None and len(self.plans) * int(asking.draws) <= _MOST_LATER
        self.waiting: tuple[Array, int] | None = None
        self.interrupted = False
        self.why, self.why_prior = "", ""

    def _courses(self, draws: int) -> tuple[tuple[str, ...], AveragedBands | None]:
        """What is drawn over time, and, where the courses of all draws are too much to keep, what averages their bands.

        That is everything recorded, unless the bands alone are too much: then what outcomes are of comes first.
        """
        names = tuple(self.sample.formulas)
        each = len(self.plans) * len(self.sample.times)
        if draws * each * len(names) <= _MOST_KEPT:
            return names, None
        first = [outcome.course for outcome in self.sample.objective.case.outcomes if outcome.course in names]
        most = max(_MOST_KEPT // (each * len(BANDS)), 1)
        return tuple(dict.fromkeys([*first, *names]))[:most], AveragedBands(several=draws > _DRAWS_A_BAND)

    @property
    def count(self) -> int:
        """How many draws there are, those that could not be simulated among them."""
        return sum(each.fine.shape[1] for each in self.parts)

    def add(self, both: Sequence[Array]) -> None:
        """Simulate more draws, posterior and prior; an interrupt keeps the batches that are whole."""
        size, count = draws_at_once(), len(both[0])
        if self.bands is not None:  # batches alike, and none so small that its tails are only its ends
            size = -(-count // -(-count // _DRAWS_A_BAND))
        into = None
        if self.shown and self.bands is None:
            into = Workspace().of(*self.sample.shape(len(self.plans), count))
        done = 0
        for begin in range(0, count, size):
            some = slice(begin, begin + size)
            place = None if into is None else into[..., some]
            try:
                batch = self._measured(both[0][some], self.shown, into=place)
                beside = None if self.prior_waits else self._measured(both[1][some])
            except KeyboardInterrupt:
                if not self.parts:
                    raise
                self.interrupted = True
                break
            done = min(begin + size, count)
            if self.bands is not None:
                self.bands.add(batch.courses, int(batch.fine.all(axis=0).sum()))
            self.kept.add(batch.numbers, np.asarray(batch.fine.all(axis=0)))
            self.why = self.why or batch.why
            if beside is not None:
                self.kept_prior.add(beside.numbers, np.asarray(beside.fine.all(axis=0)))
                self.why_prior = self.why_prior or beside.why
            self.streams += -(-batch.fine.shape[1] // DRAWS_A_STREAM)
            self.parts.append(replace(batch, numbers=_NONE, courses=_NONE))
        if into is not None:
            self.courses.append(into[..., : len(self.shown), :done])
        if self.prior_waits:
            self.waiting = both[1][:done], size

    def _measured(self, thetas: Array, shown: Sequence[str] = (), *, into: Array | None = None) -> _Batch:
        return measured(
            self.sample, self.question, thetas, self.seed, self.streams, shown, bands=self.bands, into=into
        )

    def fine(self) -> NDArray[np.bool_]:
        """Posterior draws that could be simulated under every plan."""
        return np.concatenate([each.fine.all(axis=0) for each in self.parts])

    def posterior(self) -> Array:
        """Numbers of the posterior, (n_plans, n_asked, n_draws).

        Raises
        ------
        CellsimError
            If no draw could be simulated.
        """
        if not self.kept.count:
            raise CellsimError(f"none of {self.count} draws could be simulated: {self.why}")
        return self.kept.numbers

    def prior(self) -> PriorDraws:
        """Numbers of the prior, or what makes them."""
        if self.waiting is None:
            lost = self.count - self.kept_prior.count
            return PriorDraws.of(self.kept_prior.numbers, lost=lost, why=self.why_prior)
        thetas, size = self.waiting
        return PriorDraws(partial(_prior, self.sample, self.question, self.seed, thetas, size))

    def curves(self) -> Mapping[str, Array]:
        """Posterior bands of what is shown."""
        if self.bands is not None:
            found = self.bands.means()
            return {name: found[..., k] for k, name in enumerate(self.shown)}
        if not self.shown:
            return {}
        bands = CourseBands(self.shown, self.courses, self.parts[0].places, self.fine())
        # few courses may wait for who asks; of many the bands are made now, and the courses forgotten
        return bands if sum(each.size for each in self.courses) <= _MOST_WAITING else dict(bands)


def _prior(sample: Sample, question: Settled, seed: int, thetas: Array, size: int) -> tuple[Array, int, str]:
    """Numbers of prior draws batch by batch, with the streams that the posterior's had; how many are left out, and why."""
    kept = KeptNumbers(len(question.plans), len(question.asked), len(thetas))
    stream, why = 0, ""
    for begin in range(0, len(thetas), size):
        batch = measured(sample, question, thetas[begin : begin + size], seed, stream)
        kept.add(batch.numbers, np.asarray(batch.fine.all(axis=0)))
        stream += -(-batch.fine.shape[1] // DRAWS_A_STREAM)
        why = why or batch.why
    return kept.numbers, len(thetas) - kept.count, why


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some draws under every plan.

    Numbers (n_plans, n_asked, n_draws), fine (n_plans, n_draws), and courses (n_plans, n_times, n_shown, n_draws), in which `places` tells
    where each plan stands, or their bands (n_plans, 5, n_times, n_shown).
    """

    numbers: Array
    fine: NDArray[np.bool_]
    courses: Array
    places: list[int]
    why: str


def measured(
    sample: Sample,
    question: Settled,
    thetas: Array,
    seed: int,
    stream: int = 0,
    shown: Sequence[str] = (),
    *,
    bands: AveragedBands | None = None,
    into: Array | None = None,
) -> _Batch:
    """Measures of draws under every plan, in blocks of plans that fit into memory.

    Parameters
    ----------
    sample : Sample
    question : Settled
    thetas : array, shape (n_draws, n_parameters)
    seed, stream : int
        Of what measures add at random, the same for every plan; each 64 draws have the next stream.
    shown : sequence of str
        Quantities whose courses are kept.
    bands : AveragedBands, optional
        What makes bands of these, which are then kept in their place.
    into : array, optional
        Where everything recorded of all plans stands if courses are kept, of the shape that the sample tells.
    """
    names, plans = tuple(question.plans), tuple(question.plans.values())
    with_courses = bool(shown) or sample.whole_course
    reacts, keeps = bool(question.reactions), bool(shown) and bands is None
    block, order = len(plans), list(range(len(plans)))
    if not keeps:
        block = max(_MOST_AT_ONCE // math.prod(sample.shape(1, len(thetas), courses=with_courses)), 1)
        # plans that begin alike are simulated together, whatever their order
        order.sort(key=lambda k: _course_of_doses(plans[k]))
    whole = _NONE
    if keeps:
        whole = into if into is not None else Workspace().of(*sample.shape(len(plans), len(thetas)))
    numbers = np.empty((len(plans), len(question.asked), len(thetas)))
    fine, found_bands = np.empty((len(plans), len(thetas)), bool), [_NONE] * len(plans)
    recorded = tuple(sample.formulas)
    kept = [recorded.index(name) for name in shown]
    why, workspace, places = "", Workspace(), list(range(len(plans)))
    for begin in range(0, len(plans), block):
        some = order[begin : begin + block]
        reacting = [question.reactions.get(names[k]) for k in some]
        others = [each.otherwise for each in reacting if each is not None]
        place = whole
        if not keeps and not reacts:
            place = workspace.of(*sample.shape(len(some), len(thetas), courses=with_courses))
        found = sample.runs(
            [*(plans[k] for k in some), *others],
            thetas,
            courses=with_courses,
            into=None if reacts else place,
        )
        instead = iter(found[len(some) :])
        # plans that do not differ stand in one place
        distinct = list({id(each): each for each in found}.values())
        for k, reaction, first in zip(some, reacting, found, strict=False):
            simulated, going_on = first, np.ones(len(thetas), bool)
            if reaction is not None:
                going_on = _going_on(reaction, first, sample, seed, stream)
                simulated = chosen(going_on, first, next(instead))
            places[k] = next(row for row, each in enumerate(distinct) if each is first)
            if keeps and reacts:
                places[k], whole[k] = k, simulated.outputs
            _measure(sample, question, names[k], simulated, going_on, thetas, seed, stream, numbers[k])
            fine[k] = simulated.fine
            why = why or simulated.why
            if bands is not None and shown:
                found_bands[k] = bands.of(_picked(simulated.outputs, kept), simulated.fine)
        del found, first, simulated, instead, distinct  # before the next plans take as much
    courses = np.array(found_bands) if bands is not None and shown else _NONE
    return _Batch(numbers, fine, _picked(whole, kept) if keeps else courses, places, why)


def _picked(outputs: Array, places: Sequence[int]) -> Array:
    """Some of what is recorded, shape (..., n_times, n_places, n_draws): as it lies there where that is the first ones."""
    first = len(places)
    return outputs[..., :first, :] if list(places) == list(range(first)) else outputs[..., places, :]


def _course_of_doses(plan: Schedule) -> list[tuple[float, str, float, float]]:
    return [(each.day, each.product, each.cells, each.duration) for each in plan.infusions]


def _streams(count: int, seed: int, stream: int) -> Iterator[tuple[slice, int]]:
    """Draws that share a stream of random numbers, and its seed."""
    for k, begin in enumerate(range(0, count, DRAWS_A_STREAM)):
        yield (slice(begin, min(begin + DRAWS_A_STREAM, count)), seed + 104_729 * (stream + k))


def _going_on(
    reaction: Reaction, simulated: Simulated, sample: Sample, seed: int, stream: int
) -> NDArray[np.bool_]:
    """In which draws a plan that reacts to a visit goes on."""
    [reading] = readings_of([reaction])
    parts = [
        reading.values(simulated.part(some), sample.objective.case, own)
        for some, own in _streams(len(simulated.fine), seed, stream)
    ]
    # whoever is sure to go on does so whatever is measured
    return np.asarray((np.concatenate(parts) < reaction.below) | np.isposinf(reaction.below))


def _measure(
    sample: Sample,
    question: Settled,
    name: str,
    simulated: Simulated,
    going_on: NDArray[np.bool_],
    thetas: Array,
    seed: int,
    stream: int,
    numbers: Array,
) -> None:
    """Write what is asked of one plan, shape (n_asked, n_draws)."""
    if not simulated.fine.any():
        numbers[:] = np.nan
        return
    case, reaction, plan = (sample.objective.case, question.reactions.get(name), question.plans[name])
    given = delivered(question.alone[name], question.until)
    # a draw that was lost is measured as another one, and left out later, so that draws stay paired
    places = np.arange(len(thetas))
    places[~simulated.fine] = int(np.argmax(simulated.fine))
    whole = bool(simulated.fine.all())
    for some, own in _streams(len(thetas), seed, stream):
        mine = places[some]
        runs = replace(
            simulated.only(some if whole else mine, own),
            plan=given,
            reacts=reaction is not None,
            trajectory=_trajectory(
                sample,
                question,
                [plan if reaction is None or on else reaction.otherwise for on in going_on[mine].tolist()],
                thetas[mine],
            ),
        )
        np.concatenate(
            [measure.of(runs, case, question.until) for measure in question.measures], out=numbers[:, some]
        )


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
