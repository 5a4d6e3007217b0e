"""Many draws under many schedules: every quantity that measures ask for, with what plans share integrated once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cellsim.compiler.llvm import aligned, padded
from cellsim.dosing.schedule import Schedule
from cellsim.predictions.measures import Measure, Runs
from cellsim.predictions.part import part_behind
from cellsim.threads import CORES

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.compiler.kernels import Kernels
    from cellsim.likelihood.objective import Objective
    from cellsim.model.model import Model
    from cellsim.solver.breakpoints import Doses

    Array = NDArray[np.float64]

__all__ = [
    "DRAWS_A_STREAM",
    "RTOL",
    "AskedModel",
    "Sample",
    "Simulated",
    "Source",
    "Workspace",
    "asked_model",
    "draws_at_once",
    "with_areas",
]

# hours after a dose that a daily grid would miss: where what follows it at once has its top
_AFTER_DOSE = np.array([1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 18.0, 36.0]) / 24
RTOL = 1e-3
"""Relative tolerance of a prediction by many draws. In a model of 47 states nine of ten measures are then off by less than a hundred
thousandth of their scatter over draws and all by less than a thousandth, as bands of courses are of their width (docs/large_sweeps.md); 400
draws leave a median uncertain by a sixteenth of the scatter."""
# of a state's largest value so far what need not be known better
_PEAK_SHARE = 1e-2
# of a model's states: a part of it that has more is not worth to be compiled by itself
_SMALLER = 0.75
# how many draws are carried at once by each thread: eight groups of the widest lanes, so that memory stays small
_DRAWS_A_THREAD = 64

DRAWS_A_STREAM = 64
"""Draws that share a stream of random numbers, which so does not depend on how many are simulated at once."""


def draws_at_once() -> int:
    """How many draws are simulated together on this machine: whole streams."""
    return -(-_DRAWS_A_THREAD * CORES // DRAWS_A_STREAM) * DRAWS_A_STREAM


class Source(Protocol):
    """What a sweep asks of the thing it draws from; a Calibration and a Posterior answer."""

    @property
    def case(self) -> Case:
        """Whose doses and reference ranges."""

    @property
    def objective(self) -> Objective:
        """What the draws are parameters of."""

    @property
    def variant(self) -> str:
        """The mechanism's id."""

    def draws(self, n: int, *, seed: int) -> Array:
        """Prior-whitened parameters, shape (n, n_parameters)."""


class Workspace:
    """Memory that blocks of simulations use one after another: to be given new pages takes as long as to fill them.

    Rows of draws, the last axis, begin where lines of the processor's memory do: threads that write groups of them would wait for one
    another where one line held parts of two.
    """

    def __init__(self) -> None:
        self._all = np.empty(0)

    def of(self, *shape: int) -> Array:
        """An array of that shape; what the last one held is gone."""
        *rows, draws = shape
        apart = padded(draws)
        size = math.prod(rows) * apart
        if size > self._all.size:
            self._all = aligned(size, blank=False)
        return self._all[:size].reshape(*rows, apart)[..., :draws]


@dataclass(frozen=True, eq=False)
class Simulated:
    """All draws of one schedule; failed ones still among them.

    Attributes
    ----------
    times : array, shape (n_times,)
        Days.
    names, integrals : tuple of str
        What measures record, and what is integrated for them.
    outputs : array, shape (n_times, n_names + n_integrals, n_draws)
        Each in its own unit; integrals since the start of the simulation, in that of the state times time. Draws come last: whatever is
        asked of them, they are read together.
    peaks : dict of str to array, shape (n_draws,)
        Greatest values from day 0 on.
    fine : array of bool, shape (n_draws,)
        Which could be simulated.
    why : str
        What stopped the first that could not.
    """

    times: Array
    names: tuple[str, ...]
    integrals: tuple[str, ...]
    outputs: Array
    peaks: dict[str, Array]
    fine: NDArray[np.bool_]
    why: str

    @property
    def values(self) -> dict[str, Array]:
        """What measures record, shape (n_draws, n_times)."""
        return {name: self.outputs[:, k].T for k, name in enumerate(self.names)}

    @property
    def areas(self) -> dict[str, Array]:
        """Integrals, shape (n_draws, n_times)."""
        first = len(self.names)
        return {name: self.outputs[:, first + k].T for k, name in enumerate(self.integrals)}

    @classmethod
    def joined(cls, parts: Sequence[Simulated]) -> Simulated:
        """The draws of several parts, one after the other."""
        return replace(
            parts[0],
            outputs=np.concatenate([each.outputs for each in parts], axis=2),
            peaks={name: np.concatenate([each.peaks[name] for each in parts]) for name in parts[0].peaks},
            fine=np.concatenate([each.fine for each in parts]),
            why=next((each.why for each in parts if each.why), ""),
        )

    def part(self, some: slice) -> Simulated:
        """The same of some draws."""
        return replace(
            self,
            outputs=self.outputs[..., some],
            peaks={name: each[some] for name, each in self.peaks.items()},
            fine=self.fine[some],
        )

    def only(self, fine: NDArray[np.bool_] | NDArray[np.intp] | slice, seed: int) -> Runs:
        """The draws wanted, by a mask, by their places or by a slice, as measures take them."""
        return Runs(
            self.times,
            {name: each[fine] for name, each in self.values.items()},
            {name: each[fine] for name, each in self.areas.items()},
            {name: each[fine] for name, each in self.peaks.items()},
            np.random.default_rng(seed),
        )


def with_areas(model: Model, formulas: Mapping[str, sp.Expr]) -> tuple[Model, dict[str, sp.Expr]]:
    """A sibling that integrates formulas too, and the integrals as outputs, by names that no quantity of the model has."""
    import sympy as sp

    from cellsim.model.content import State

    # a space keeps them apart from every name a model can have
    integrals = {f"area of {name}": formula for name, formula in formulas.items()}
    states = tuple(
        State(
            integral,
            sp.Integer(0),
            formula,
            # a formula that is no quantity of the model is a share of the time
            f"{model[formula.name].unit} {model.time_unit}" if formula.is_Symbol else model.time_unit,
        )
        for integral, formula in integrals.items()
    )
    return replace(model, states=(*model.states, *states)), {name: sp.Symbol(name) for name in integrals}


@dataclass(frozen=True, eq=False)
class AskedModel:
    """A model with its integrals, and the part of it that what is asked depends on.

    Attributes
    ----------
    whole : Model
    outputs : mapping of str to sympy.Expr
        What is recorded, the integrals among it.
    part : Model
        The part, or the whole where it is nearly all of it.
    reached : frozenset of str
        The states that reach the outputs.
    """

    whole: Model
    outputs: Mapping[str, sp.Expr]
    part: Model
    reached: frozenset[str]

    def seen(self, several: Sequence[Doses]) -> tuple[list[Doses], Model]:
        """What reaches anything asked of each course of doses, and the equations that tell it.

        Where doses set states anew, all states take part: a steady state is one of them all.
        """
        from cellsim.solver.breakpoints import Doses

        if any(each.anew for each in several):
            return list(several), self.whole
        return [
            Doses(
                tuple(each for each in one.jumps if each[1] in self.reached),
                tuple(each for each in one.rates if each[2] in self.reached),
            )
            for one in several
        ], self.part


def asked_model(
    objective: Objective, formulas: Mapping[str, sp.Expr], areas: Mapping[str, sp.Expr] | None = None
) -> AskedModel:
    """The model of an objective as some formulas, and areas under others, depend on it; what is fixed at 0 reaches nothing."""
    zero = tuple(name for name, value in objective.fixed.items() if value == 0)
    return _asked_model(objective.model, tuple(formulas.items()), tuple((areas or {}).items()), zero)


@lru_cache(maxsize=32)
def _asked_model(
    model: Model,
    formulas: tuple[tuple[str, sp.Expr], ...],
    areas: tuple[tuple[str, sp.Expr], ...],
    zero: tuple[str, ...],
) -> AskedModel:
    """Found out once: it takes as long as the simulations of a question about one schedule."""
    whole, integrals = with_areas(model, dict(areas))
    outputs = {**dict(formulas), **integrals}
    part = part_behind(whole, outputs.values(), zero)
    reached = frozenset(each.name for each in part.states)
    # nearly all of it is the same work, and would be compiled for every mechanism anew
    smaller = len(part.states) <= _SMALLER * len(whole.states)
    return AskedModel(whole, outputs, part if smaller else whole, reached)


class Sample:
    """The compiled question: which quantities are recorded, when, and how draws become parameters."""

    def __init__(
        self, objective: Objective, measures: Sequence[Measure], history: Schedule, until: float
    ) -> None:

        self.objective, self.until = objective, until
        self._before = Schedule((), objective.case.products) + history
        self.formulas: dict[str, sp.Expr] = {}
        for measure in measures:
            self.formulas.update(measure.formulas(objective.case))
        areas = {name: each for measure in measures for name, each in measure.areas(objective.case).items()}
        self.areas = tuple(areas)
        self.peaks = tuple(
            dict.fromkeys(name for measure in measures for name in measure.peaks(objective.case))
        )
        self.asked = asked_model(objective, self.formulas, areas)
        self.outputs = self.asked.outputs
        wanted = [day for measure in measures for day in measure.days(until)]
        self.asked_times = np.unique([0.0, until, *(day for day in wanted if 0 <= day <= until)])
        self.times = np.unique([*self.asked_times, *np.arange(0.0, until)])
        self.whole_course = any(getattr(measure, "whole_course", True) for measure in measures)

    def see_doses(self, plans: Sequence[Schedule]) -> None:
        """Record both sides of every dose of every plan, its end, and the hours after both: all plans share their days."""
        given = [each for plan in plans for each in plan.infusions]
        days = np.array(
            sorted({*(each.day for each in given), *(each.day + each.duration for each in given)})
        )
        hours = (days[:, None] + _AFTER_DOSE).ravel()
        # a sample at the instant of a dose is read after it: the one before stands beside it, so that no line crosses a dose
        before = np.nextafter(days, -np.inf)
        more = np.concatenate([hours, before, days])
        self.times = np.unique([*self.times, *more[(more > 0) & (more < self.until)]])

    def all_runs(
        self, plans: Sequence[Schedule], several: Sequence[Array]
    ) -> tuple[list[list[Simulated]], bool]:
        """:meth:`runs` of equally many draws from several approximations, and whether an interrupt came before all were done.

        The approximations go side by side, so that what is done of each is as many draws.
        """
        size = draws_at_once()
        parts: list[list[list[Simulated]]] = []
        interrupted = False
        for begin in range(0, len(several[0]), size):
            try:
                parts.append([self.runs(plans, thetas[begin : begin + size]) for thetas in several])
            except KeyboardInterrupt:
                if not parts:
                    raise
                interrupted = True
                break
        return [
            [Simulated.joined([part[approximation][plan] for part in parts]) for plan in range(len(plans))]
            for approximation in range(len(several))
        ], interrupted

    @cached_property
    def _kernels(self) -> dict[int, Kernels]:
        """Machine code of the part that is asked about, and of the whole model, once it was needed."""
        return {}

    def _kernels_of(self, model: Model) -> Kernels:
        """To look it up by all that a model is would take longer than a group of draws."""
        if id(model) not in self._kernels:
            self._kernels[id(model)] = self.objective.kernels_of(self.outputs, model)
        return self._kernels[id(model)]

    def __getstate__(self) -> dict[str, object]:
        """Without machine code, which another process makes anew."""
        return {name: each for name, each in self.__dict__.items() if name != "_kernels"}

    def _recorded(self, courses: bool) -> Array:
        return self.times if courses or self.whole_course else self.asked_times

    def shape(self, n_plans: int, n_draws: int, *, courses: bool = True) -> tuple[int, int, int, int]:
        """Of everything that is recorded: plans, times, what is recorded and integrated, draws."""
        return n_plans, len(self._recorded(courses)), len(self.outputs), n_draws

    def runs(
        self, plans: Sequence[Schedule], thetas: Array, *, courses: bool = True, into: Array | None = None
    ) -> list[Simulated]:
        """All draws of every plan; what the plans have in common is integrated once.

        Without `courses` only the days that measures ask for are recorded, unless one of them looks at all. The numbers of plans stand in
        `into` where that is given, of the shape that :meth:`shape` tells: of those that do not differ in what is asked the first's.
        """
        from cellsim.predictions.streaming import stream

        case, threads = self.objective.case, CORES
        timelines = [self.timeline(each) for each in plans]
        doses, model = self.seen(timelines)
        kernels = self._kernels_of(model)
        different = {each: place for place, each in enumerate(dict.fromkeys(doses))}
        # plans that do not differ in what is asked are simulated once
        which = [different[each] for each in doses]
        vectors = self.objective.vector_of(thetas, kernels.equations.parameters)
        times, names = self._recorded(courses), tuple(self.formulas)
        shape = self.shape(len(different), len(vectors), courses=courses)
        found = Workspace().of(*shape) if into is None else into[: len(different)]
        peaks = np.empty((len(different), len(self.peaks), len(vectors)))
        fine = np.empty((len(different), len(vectors)), bool)
        why, begin = [""] * len(different), 0
        for solution in stream(
            kernels,
            vectors,
            list(different),
            times,
            chunk=draws_at_once(),
            into=found.transpose(0, 3, 1, 2),
            start=min([case.start, *(each.day for timeline in timelines for each in timeline.infusions)]),
            threads=threads,
            rtol=RTOL,
            peak_share=_PEAK_SHARE,
            keep_states=False,
            peaks=self.peaks,
            since=0.0,
            resume_at=0.0,
        ):
            end = begin + len(solution.status) // len(different)
            greatest = solution.greatest.reshape(len(different), end - begin, len(self.peaks))
            peaks[:, :, begin:end] = np.swapaxes(greatest, 1, 2)
            fine[:, begin:end] = solution.status.reshape(len(different), -1) == 0
            if any(solution.messages):
                said = np.array(solution.messages).reshape(len(different), -1)
                why = [one or next(filter(None, more), "") for one, more in zip(why, said, strict=True)]
            begin = end
        simulated = [
            Simulated(
                times, names, self.areas, each, dict(zip(self.peaks, highest, strict=True)), carried, reason
            )
            for each, highest, carried, reason in zip(found, peaks, fine, why, strict=True)
        ]
        return [simulated[each] for each in which]

    def seen(self, timelines: Sequence[Schedule]) -> tuple[list[Doses], Model]:
        """What reaches anything asked of each timeline, and the equations that tell it."""
        from cellsim.dosing.delivery import deliver
        from cellsim.solver.breakpoints import Doses

        return self.asked.seen([Doses.of(deliver(each, self.asked.whole)) for each in timelines])

    def cannot_differ(self, plans: Sequence[Schedule]) -> bool:
        """Whether nothing that is asked can depend on which of these plans is given: their doses do not reach it."""
        doses, _ = self.seen([self.timeline(each) for each in plans])
        return len(set(doses)) == 1

    def timeline(self, plan: Schedule) -> Schedule:
        """Everything given, before day 0 and after."""
        return self._before + plan
