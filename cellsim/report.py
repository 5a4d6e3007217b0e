"""The main job on one case: audit, every variant, other schedules, and a page that shows it all.

Each result is written the moment it is ready, so that a later failure loses nothing; a step that fails is said on
the page where its result would have stood.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from cellsim.errors import CellsimError, did_you_mean
from cellsim.report_job import Desk, Job
from cellsim.report_sections import Sections
from cellsim.report_words import listed

if TYPE_CHECKING:
    from cellsim.case import Case
    from cellsim.fitted import Calibration
    from cellsim.sweeps import Sweep

__all__ = ["Report", "write_report"]


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
    failures : mapping of str to str
        What could not be done, and why.
    """

    folder: Path
    index: Path
    fits: Mapping[str, Calibration]
    sweeps: Mapping[str, Sweep]
    failures: Mapping[str, str]


def write_report(
    case: Case,
    folder: str | PathLike[str],
    *,
    starts: int = 8,
    draws: int = 200,
    seed: int = 1,
    variants: Sequence[str] | None = None,
    progress: bool | None = None,
) -> Report:
    """Audit a case, calibrate its variants, compare other schedules, and write it all down.

    Parameters
    ----------
    case : Case
    folder : path
        Made when missing; files of the same names are written anew, others are left alone.
    starts : int
        Of each calibration.
    draws : int
        Posterior draws of every comparison and band, and as many of the prior.
    seed : int
        Of everything.
    variants : sequence of str, optional
        All of the case's model space by default.
    progress : bool, optional
        Show what is being done; by default only on a terminal.

    Returns
    -------
    Report

    Raises
    ------
    CellsimError
        For unknown variants and numbers that are no counts, before anything is computed.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.report import write_report
    >>> made = write_report(cs.load_case("sjogren_rfib"), "report", starts=1, draws=20)  # doctest: +SKIP
    >>> made.index.name  # doctest: +SKIP
    'index.html'
    """
    chosen = _chosen(case, variants, starts, draws)
    desk = Desk(Path(folder))
    desk.folder.mkdir(parents=True, exist_ok=True)
    job = Job(case, desk, starts, draws, seed, chosen)
    begun = monotonic()
    with _Steps(2 * len(chosen) + 2, progress) as step:
        step("case")
        job.inputs()
        for name in chosen:
            step(f"calibrating {name}")
            job.calibrate(name, progress)
        for name in list(job.fits):
            step(f"schedules under {name}")
            job.ask(name)
        step("page")
        index = desk.folder / desk.put("index.html", Sections(job).page())
    job.manifest(monotonic() - begun)
    return Report(desk.folder, index, job.fits, job.sweeps, desk.failures)


def _chosen(case: Case, variants: Sequence[str] | None, starts: int, draws: int) -> tuple[str, ...]:
    known = [each.id for each in case.variants] or [""]
    chosen = tuple(dict.fromkeys(known if variants is None else variants))
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise CellsimError(
            f"no variant {listed([repr(name) for name in unknown])}. {did_you_mean(unknown[0], known)}"
        )
    if not chosen:
        raise CellsimError("no variant to calibrate.")
    for name, count in (("starts", starts), ("draws", draws)):
        if count < 1:
            raise CellsimError(f"{name} = {count}: at least one is needed.")
    return chosen


class _Steps:
    """A bar over the steps, on a terminal."""

    def __init__(self, count: int, progress: bool | None) -> None:
        from tqdm import tqdm

        show = sys.stderr.isatty() if progress is None else progress
        self._bar = tqdm(
            total=count, disable=not show, bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"
        )
        self._first = True

    def __enter__(self) -> Callable[[str], None]:
        return self._next

    def _next(self, what: str) -> None:
        if not self._first:
            self._bar.update()
        self._first = False
        self._bar.set_description_str(what)

    def __exit__(self, *_: object) -> None:
        self._bar.update()
        self._bar.close()
