"""Steps of a report, and chains of them that are done side by side, each in a process of its own.

A process does the whole chain: it writes down what it makes, tables too, so that this one has its hands free for the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from cellsim.processes import MANY_PARAMETERS, in_a_process

if TYPE_CHECKING:
    from cellsim.report.steps import Job

__all__ = ["ReportStep", "follow"]

# results of a job by variant, and those of all together
_OF_VARIANTS = ("fits", "posteriors", "sweeps")
_OF_ALL = (
    "profiles", "predictions", "seen", "comparison", "robustness", "optimum", "visits", "explorer",
)  # fmt: skip


@dataclass(frozen=True)
class ReportStep:
    """One thing to do.

    Attributes
    ----------
    words : str
        What it is, for a bar.
    cost : float
        About how long it takes beside the others.
    work : callable
        Takes the :class:`Job` whose results it needs and adds its own to them.
    page : bool
        Whether the page is written after it.
    variant : str or None
        The one variant of which it needs results; None where it may need those of all.
    """

    words: str
    cost: float
    work: Callable[[Job], None]
    page: bool = False
    variant: str | None = None


@dataclass(frozen=True)
class _Followed:
    """What a chain has made: results by the attribute of the job, of those by variant what is new; failures, empty for what is one no more."""

    results: Mapping[str, Any]
    failures: Mapping[str, str]
    seconds: Mapping[str, float]
    stopped: str


def follow(job: Job, chain: Sequence[ReportStep]) -> Mapping[str, float]:
    """Do the steps of a chain one after another, beside others: in a process of its own where that is worth it.

    Parameters
    ----------
    job : Job
        Which has what it made afterwards; of a chain that was interrupted what was ready, and says that it stopped.
    chain : sequence of ReportStep

    Returns
    -------
    mapping of str to float
        How long each step took.
    """
    size = max((len(each.objective.names) for each in job.fits.values()), default=0)
    part, steps = _part(job, chain), tuple(chain)
    try:
        found = in_a_process(_followed, part, steps) if size >= MANY_PARAMETERS else _followed(part, steps)
    except KeyboardInterrupt:  # before it had begun
        job.stop(chain[0].words)
        return {}
    for name, made in found.results.items():
        if name in _OF_VARIANTS:
            getattr(job, name).update(made)
        else:
            setattr(job, name, made)
    for what, why in found.failures.items():
        job.output.tell(what, why)
    if found.stopped:
        job.stop(found.stopped)
    return found.seconds


def _part(job: Job, chain: Sequence[ReportStep]) -> Job:
    """What the steps of a chain need of a report."""
    found = job.as_it_stands()
    found.progress, found.waiting = False, ()  # bars of several chains at once would write over each other
    names = {step.variant for step in chain}
    if None not in names:
        for name in _OF_VARIANTS:
            setattr(found, name, {each: one for each, one in getattr(found, name).items() if each in names})
    return found


def _followed(job: Job, chain: Sequence[ReportStep]) -> _Followed:
    """Do the steps of a chain on a part of a report, and say what is new in it."""
    before, told = job.as_it_stands(), dict(job.output.failures)
    seconds: dict[str, float] = {}
    step = chain[0]
    try:
        for step in chain:
            begun = monotonic()
            went_on = job.run(step)
            seconds[step.words] = monotonic() - begun
            if not went_on:
                break
    except KeyboardInterrupt:  # between two steps
        job.stop(step.words)
    results: dict[str, Any] = {}
    for name in _OF_VARIANTS:
        known = getattr(before, name)
        results[name] = {each: one for each, one in getattr(job, name).items() if known.get(each) is not one}
    results |= {name: one for name in _OF_ALL if (one := getattr(job, name)) is not getattr(before, name)}
    now = job.output.failures
    failures = {what: now.get(what, "") for what in {*told, *now} if told.get(what, "") != now.get(what, "")}
    return _Followed(results, failures, seconds, job.stopped)
