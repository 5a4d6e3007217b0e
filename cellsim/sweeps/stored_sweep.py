"""A sweep that is made block by block in a folder, by this process or by the workers of a Dask cluster, and can be gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.posterior.approximation import approximation_of
from cellsim.predictions.bands import quantiles
from cellsim.predictions.predictor import RTOL, Source
from cellsim.sweeps.kept_numbers import KeptNumbers
from cellsim.sweeps.prior_draws import PriorDraws
from cellsim.sweeps.store import Block, SweepStore, digest, shown_courses
from cellsim.sweeps.sweep_question import Asking, Settled, settled
from cellsim.sweeps.sweep_result import BANDS
from cellsim.sweeps.sweep_running import Numbers, answered, drawing, measured, objective_drawn, sample_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.dosing.schedule import Schedule
    from cellsim.likelihood.objective import Objective
    from cellsim.sweeps.sweep_result import Sweep

    Array = NDArray[np.float64]

__all__ = ["Work", "ask_stored"]

# draws whose courses are kept, and numbers that these may be
_WITH_COURSES, _MOST_KEPT = 256, 2**24
# a worker that is killed takes its block with it, which another one then makes
_RETRIES = 5


def ask_stored(
    source: Source, schedules: Any, asking: Asking, path: str | Path, *, client: Any = None
) -> Sweep:
    """Make what is missing of a sweep in a folder, and answer from all that is there.

    Parameters
    ----------
    source, schedules, asking
        As :func:`cellsim.sweep` takes them.
    path : path
    client : dask.distributed.Client, optional
        Whose workers make the blocks, each writing its own; they must see the same folder.

    Returns
    -------
    Sweep
        Of the blocks that are there; after an interrupt of those that are done.

    Raises
    ------
    CellsimError
        See :class:`cellsim.sweeps.store.SweepStore`; and for measures that no later run could compare.
    """
    objective = objective_drawn(source)
    if asking.error is not None or asking.budget is not None:
        raise CellsimError(
            "a sweep on disk has as many draws as were asked for: error= and budget= belong to one in memory. Give draws=."
        )
    question = settled(objective, schedules, asking)
    approximation_of(source).warn("sweep", inside=1)
    both = drawing(source, asking)(asking.draws, asking.seed)
    work = Work(objective, question, asking)
    store = work.store(path, both)
    missing = store.missing()
    if missing:
        store.open()
    interrupted = False
    try:
        if client is None:
            for block in missing:
                _make(work, store, block, [each[store.draws_of(block)] for each in both])
        elif missing:
            _on_workers(client, work, store, missing, both)
    except KeyboardInterrupt:
        if next(store.batches(), None) is None:
            raise
        interrupted = True
    numbers = _joined(store, work, interrupted)
    few = (
        f"courses are drawn from the first {work.with_courses} draws."
        if work.with_courses < int(asking.draws)
        else ""
    )
    return answered(source, asking, question, numbers, few)


class Work:
    """What makes a block of draws."""

    def __init__(self, objective: Objective, question: Settled, asking: Asking) -> None:
        self.objective, self.question, self.asking = objective, question, asking
        self.plans = tuple(question.plans.values())
        self.sample = sample_of(objective, question)
        self.n_asked = len(question.asked)
        names = tuple(self.sample.formulas)
        first = [outcome.course for outcome in objective.case.outcomes if outcome.course in names]
        self.with_courses = min(int(asking.draws), _WITH_COURSES)
        self.shown = shown_courses(
            tuple(dict.fromkeys([*first, *names])),
            n_plans=len(self.plans),
            n_times=len(self.sample.times),
            draws=self.with_courses,
            most=_MOST_KEPT,
        )

    def store(self, path: str | Path, both: Sequence[Array]) -> SweepStore:
        """The store of this question."""
        return SweepStore(
            path,
            _question(self.objective, self.question, self.asking, both),
            n_plans=len(self.plans),
            n_asked=self.n_asked,
            n_draws=int(self.asking.draws),
            courses=dict.fromkeys(self.shown, len(self.sample.times)),
            with_courses=self.with_courses,
        )

    def made(self, plans: slice, batch: int, both: Sequence[Array], *, courses: bool) -> Block:
        """Some plans under the posterior and prior draws of a batch."""
        question = self.question.only(list(self.question.plans)[plans])
        first, second = (
            measured(self.sample, question, thetas, int(self.asking.seed), batch, kept)
            for thetas, kept in zip(both, (self.shown if courses else (), ()), strict=True)
        )
        return Block(
            first.numbers,
            second.numbers,
            first.fine,
            second.fine,
            {
                name: first.courses[first.places, :, k].swapaxes(1, 2)
                for k, name in enumerate(self.shown if courses else ())
            },
            (first.why, second.why),
        )


def _make(work: Work, store: SweepStore, block: int, both: Sequence[Array]) -> None:
    """One block, made and written where this runs."""
    made = work.made(store.plans_of(block), store.batch_of(block), both, courses=store.has_courses(block))
    store.write(block, made)


def _on_workers(
    client: Any, work: Work, store: SweepStore, missing: Sequence[int], both: Sequence[Array]
) -> None:
    """Blocks made by the workers of a Dask cluster, each of which writes its own.

    Raises
    ------
    CellsimError
        The package distributed is missing, or a block could not be made; those that were are there.
    """
    try:
        from distributed import as_completed
    except ImportError:
        raise CellsimError(
            "workers of a cluster need the package distributed. Install it: pip install 'cellsim[cluster]'."
        ) from None
    # sent to every worker once, which compiles it anew
    [shared] = client.scatter([(work, store)], broadcast=True)
    futures = {
        client.submit(
            _make_shared,
            shared,
            block,
            [each[store.draws_of(block)] for each in both],
            pure=False,
            retries=_RETRIES,
        ): block
        for block in missing
    }
    try:
        for future in as_completed(futures):
            if (error := future.exception()) is not None:
                raise CellsimError(
                    f"block {futures[future] + 1} could not be made by any worker: {error}. What is done is in {store.path}; ask "
                    "again to go on."
                )
    finally:
        client.cancel(list(futures))


def _make_shared(shared: tuple[Work, SweepStore], block: int, both: Sequence[Array]) -> None:
    _make(*shared, block, both)


def _question(
    objective: Objective, question: Settled, asking: Asking, both: Sequence[Array]
) -> dict[str, str]:
    """By what can change, a digest of it."""
    told = {repr(each) for each in question.measures}
    if nameless := [each for each in told if " at 0x" in each]:
        raise CellsimError(
            f"a sweep on disk compares its measures with those of a later run, and {nameless[0]} has no lasting name; write it as a "
            "formula text or as a class with a name."
        )
    files = [part for name, text in sorted(objective.case.files.items()) for part in (name, text)]
    asked: dict[str, str] = {
        "case": digest(*files),
        "model": digest(objective.model.to_sbml()),
        "variant": objective.variant,
        "posterior draws": digest(both[0]),
        "prior draws": digest(both[1]),
        "draws": str(asking.draws),
        "seed": str(asking.seed),
        "last day": repr(question.until),
        "relative tolerance": repr(RTOL),
        "measures": digest(*sorted(told)),
        "history": digest(*_given(question.before)),
    }
    for name, plan in question.plans.items():
        asked[f"schedule {name!r}"] = digest(*_given(plan))
    for name, each in question.reactions.items():
        rule = repr((each.day, each.measured, each.below))
        asked[f"reaction of {name!r}"] = digest(rule, *_given(each.otherwise))
    return asked


def _given(plan: Schedule) -> list[str]:
    return [repr(plan.infusions), *([repr(plan.restarts)] if plan.restarts else [])]


def _joined(store: SweepStore, work: Work, interrupted: bool) -> Numbers:
    """Everything that a store holds of draws that are whole."""
    kept = [KeptNumbers(len(work.plans), work.n_asked, store.n_draws, store.path) for _ in range(2)]
    courses: dict[str, list[Array]] = {}
    why, count = ["", ""], 0
    for block in store.batches():
        count += block.prior.shape[2]
        both = (block.posterior, block.posterior_simulated), (block.prior, block.prior_simulated)
        for which, (values, fine) in enumerate(both):
            kept[which].add(values, np.asarray(fine.all(axis=0)))
            why[which] = why[which] or block.why[which]
        for name, each in block.courses.items():
            courses.setdefault(name, []).append(each[:, block.posterior_simulated.all(axis=0)])
    posterior, prior = (each.numbers for each in kept)
    if not posterior.shape[2]:
        raise CellsimError(f"none of {count} draws could be simulated: {why[0]}")
    beside = PriorDraws.of(prior, lost=count - prior.shape[2], why=why[1])
    lost = count - posterior.shape[2]
    curves = {}
    for name in list(courses):
        parts = courses.pop(name)
        curves[name] = np.array(
            [
                quantiles(np.concatenate([each[plan] for each in parts]).T, BANDS)
                for plan in range(len(work.plans))
            ]
        )
    return Numbers(posterior, beside, lost, why[0], work.sample.times, curves, count, interrupted)
