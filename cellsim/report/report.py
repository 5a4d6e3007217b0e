"""The main job on one case: audit, every variant, profiles, other schedules, robustness, and one page.

Each result is written the moment it is ready, so that a later failure loses nothing; a step that fails is said on
the page where its result would have stood, and an interrupt (Ctrl-C, or the SIGTERM of a cluster) goes straight to
the page; a second one ends at once.

Chains of steps that need nothing of each other are done side by side, each in a process of its own. Beside them this one makes the
first page, and the one that has every figure of the mechanism shown, so that the last page has few left to draw. No number depends on
it: each step has its own seed and its own results to start from.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from cellsim.errors import ApproximationWarning, CellsimError, did_you_mean, unusable
from cellsim.interrupts import brought_home, interrupts_heard
from cellsim.likelihood.compatibility import variants_chosen
from cellsim.report.chains import ReportStep, follow
from cellsim.report.overview import write_pages
from cellsim.report.page import ReportFolder
from cellsim.report.steps import LONG, Job
from cellsim.streams import progress_bar
from cellsim.threads import SideBySide, one_thread_of_blas

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["Report", "write_report"]

_PAGE = ReportStep("page", 25, lambda _: None)


@dataclass(frozen=True)
class Report:
    """What :func:`write_report` made.

    Attributes
    ----------
    folder, index : Path
        Where everything stands; the page.
    fits : mapping of str to Calibration
        By variant.
    sweeps : mapping of str to Sweep
        By variant.
    posteriors : mapping of str to Posterior
        Of the variants that were sampled.
    profiles, predictions, comparison, robustness : Profiles, Profiles, Comparison, Robustness or None
        Of parameters and of predictions, the variants, the alterations; None where left out, interrupted or failed.
    failures : mapping of str to str
        What could not be done, and why.
    interrupted : str
        The step an interrupt ended; empty when there was none.
    """

    folder: Path
    index: Path
    fits: Mapping[str, Calibration]
    sweeps: Mapping[str, Sweep]
    failures: Mapping[str, str]
    posteriors: Mapping[str, Posterior]
    profiles: Profiles | None = None
    predictions: Profiles | None = None
    comparison: Comparison | None = None
    robustness: Robustness | None = None
    interrupted: str = ""

    def __repr__(self) -> str:
        return f"<Report {self.index}: {len(self.fits)} variants, {len(self.failures)} failures>"


def write_report(
    case: Case,
    folder: str | PathLike[str],
    *,
    starts: int = 8,
    draws: int = 200,
    effective: int = 400,
    seed: int = 1,
    variants: Sequence[str] | None = None,
    without: Sequence[str] = (),
    progress: bool | None = None,
) -> Report:
    """Do everything with a case and write it all down.

    Audit, calibration and draws of every variant, other schedules, profiles of parameters and predictions, the variants
    against each other, every conclusion again under what may have been otherwise, one page.

    Parameters
    ----------
    case : Case
    folder : path
        Made when missing; files of the same names are written anew, others are left alone.
    starts : int
        Of each calibration; at most four of the variants not shown, one of which begins at the optimum of the one that is.
    draws : int
        Posterior draws of every comparison and band, and as many of the prior.
    effective : int
        Effective draws asked for of the variant shown, for a hundred of which the first page waits; of each other one a quarter of
        them, but forty at least: enough for its evidence to a tenth or a fifth of a nat.
    seed : int
        Of everything.
    variants : sequence of str, optional
        All of the case's model space by default.
    without : sequence of str
        What to leave out of what takes minutes: ``"leave-out"``, ``"robustness"``. The page says so.
    progress : bool, optional
        Show what is being done and about how long it still takes; by default only on a terminal.

    Returns
    -------
    Report
        Of what was ready, after an interrupt.

    Raises
    ------
    CellsimError
        For unknown variants or steps and numbers that are no counts, before anything is computed.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.report.report import write_report
    >>> made = write_report(cs.load_case("sjogren_rfib"), "report", starts=1, draws=20)  # doctest: +SKIP
    >>> made.index.name  # doctest: +SKIP
    'index.html'
    """
    chosen = _chosen(
        case,
        variants,
        without,
        {"starts": (starts, 1), "draws": (draws, 1), "effective": (effective, 1)},
        seed,
    )
    output = ReportFolder(Path(folder))
    output.folder.mkdir(parents=True, exist_ok=True)
    job = Job(
        case,
        output,
        starts=starts,
        draws=draws,
        effective=effective,
        seed=seed,
        variants=chosen,
        without=without,
        progress=progress,
    )
    stages, steps = job.stages(), job.steps()
    seconds: dict[str, float] = {}

    def done(step: ReportStep) -> bool:
        begun = monotonic()
        went_on = job.run(step)
        seconds[step.words] = monotonic() - begun
        return went_on

    def followed(chain: Sequence[ReportStep]) -> bool:
        seconds.update(follow(job, chain))
        return not job.stopped

    def early_page(*, hurried: bool) -> None:
        """What is there so far, which says what is still to come."""
        here = job.as_it_stands()
        here.waiting = tuple(step for step in steps if step.words not in seconds)
        output.hurried = hurried
        write_pages(here, dict(seconds))
        output.hurried = False

    def side_by_side(number: int) -> bool:
        return number < len(stages) and len(stages[number]) > 1

    # the page says of every number what it rests on, and doubts first
    with interrupts_heard(), warnings.catch_warnings(), _Bar([*steps, _PAGE], progress) as bar:
        warnings.simplefilter("ignore", ApproximationWarning)
        due = False
        try:
            for number, stage in enumerate(stages):
                if len(stage) == 1:
                    for step in stage[0]:
                        bar.say(step.words)
                        if not done(step):
                            break
                        bar.done(step)
                        # made beside what comes next where that leaves this thread free
                        due = step.page and step is stage[0][-1] and side_by_side(number + 1)
                        if step.page and not due:
                            early_page(hurried=True)
                else:
                    with one_thread_of_blas(), SideBySide(followed, [[chain] for chain in stage]) as beside:
                        bar.say("several steps side by side")
                        if due:
                            early_page(hurried=True)
                        if number == 1 and job.shown_is_drawn:
                            early_page(hurried=False)
                        due = False
                        for chain in beside:
                            for step in chain:
                                bar.done(step)
                if job.stopped:
                    break
        except KeyboardInterrupt:  # between two steps, or beside several
            job.stop(next((step.words for step in steps if step.words not in seconds), _PAGE.words))
        bar.say(_PAGE.words)

        def page() -> Path:
            index = output.folder / write_pages(job, seconds)
            job.manifest(seconds)
            return index

        index, interrupted = brought_home(page, bool(job.stopped))
        if interrupted and not job.stopped:
            job.stopped = _PAGE.words
    return Report(
        folder=output.folder,
        index=index,
        fits=job.fits,
        sweeps=job.sweeps,
        failures=output.failures,
        posteriors=job.posteriors,
        profiles=job.profiles,
        predictions=job.predictions,
        comparison=job.comparison,
        robustness=job.robustness,
        interrupted=job.stopped,
    )


def _chosen(
    case: Case,
    variants: Sequence[str] | None,
    without: Sequence[str],
    counts: Mapping[str, tuple[int, int]],
    seed: int,
) -> tuple[str, ...]:
    chosen = variants_chosen(case, variants) or ("",)
    for each in without:
        if each not in LONG:
            raise CellsimError(f"no step {each!r} that can be left out. {did_you_mean(each, LONG)}")
    if problems := unusable(counts=counts, seeds={"seed": seed}):
        raise CellsimError(problems)
    return chosen


class _Bar:
    """A bar over steps of known proportions, with the time left they suggest, on a terminal."""

    def __init__(self, steps: Sequence[ReportStep], progress: bool | None) -> None:
        self._bar = progress_bar(
            title="",
            total=sum(step.cost for step in steps),
            progress=progress,
            # the rate of all so far: what a step costs beside the others is known
            smoothing=0,
            bar_format="{desc} {percentage:3.0f} %|{bar}| {elapsed}, about {remaining} left",
        )

    def __enter__(self) -> _Bar:
        return self

    def say(self, words: str) -> None:
        self._bar.set_description_str(words)

    def done(self, step: ReportStep) -> None:
        self._bar.update(step.cost)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
