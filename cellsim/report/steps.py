"""The computing half of a report: each result is written down the moment it is ready."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from shlex import join
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.case.records import variant_names
from cellsim.errors import CalibrationError, CutShortError
from cellsim.files import file_name
from cellsim.predictions.plan_tables import plans_table
from cellsim.predictions.plans import Plan, plans_of
from cellsim.report.chains import ReportStep
from cellsim.report.elements import count_words
from cellsim.report.page import ReportFolder, copy_case
from cellsim.report.planning import AHEAD

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.design.optimum import Optimum
    from cellsim.design.visit_table import VisitPlan
    from cellsim.identifiability.identification import Identifiability
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.sweeps.sweep_result import Sweep

Made = TypeVar("Made")

__all__ = ["FEWEST_EFFECTIVE", "LONG", "Job"]

LONG = ("leave-out", "robustness")
"""What takes minutes and can be left out."""

FEWEST_EFFECTIVE = 100
"""Effective draws that the first page waits for, and all that a quick report asks for."""

# of a mechanism that is not shown: effective draws, this part of those of the one shown but so many at least, which tell an evidence to a fifth
# of a nat; and starts of its calibration
_PART_OF_OTHERS, _FEWEST_OF_OTHERS, _STARTS_OF_OTHERS = 4, 40, 4

# draws that are handed out (of each chain, where nothing is nearly linear), and those dropped before
_DRAWS, _TUNE = 400, 400
# with fewer draws in half the chains than this many a parameter no bridge can be built
_BRIDGE = 4


class Job:
    """Everything about one report.

    Parameters
    ----------
    case : Case
    output : ReportFolder
    starts, draws, effective, seed : int
        Of calibrations; of comparisons and bands; effective draws of each posterior; of everything.
    variants : tuple of str
    without : collection of str
        Which of :data:`LONG` are left out.
    progress : bool, optional
        Whether what takes long shows a bar of its own.
    """

    def __init__(
        self,
        case: Case,
        output: ReportFolder,
        *,
        starts: int,
        draws: int,
        effective: int,
        seed: int,
        variants: tuple[str, ...],
        without: Collection[str] = (),
        progress: bool | None = None,
    ) -> None:
        self.case, self.output, self.progress = case, output, progress
        self.starts, self.draws, self.effective, self.seed = starts, draws, effective, seed
        self.variants, self.without = variants, tuple(each for each in LONG if each in without)
        self.fits: dict[str, Calibration] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.posteriors: dict[str, Posterior] = {}
        self.profiles: Profiles | None = None
        self.predictions: Profiles | None = None
        self.seen: Identifiability | None = None
        self.comparison: Comparison | None = None
        self.robustness: Robustness | None = None
        self.optimum: Optimum | None = None
        self.visits: VisitPlan | None = None
        self.explorer = ""
        self.stopped = ""
        self.waiting: tuple[ReportStep, ...] = ()
        self.plans: tuple[Plan, ...] = plans_of(case)
        self.until = max(
            [visit.latest for visit in case.visits] + [each.end for each in case.schedule.infusions]
        )
        self.home = ""

    # ---- what is done, in which order -------------------------------------------------------------

    def steps(self) -> list[ReportStep]:
        """Everything but the page; costs are seconds of a case with a hundred parameters on two cores, for their proportions."""
        return [step for stage in self.stages() for chain in stage for step in chain]

    def stages(self) -> list[list[list[ReportStep]]]:
        """The steps as stages, one after another, of chains: no step needs anything of another chain of its stage."""
        left_out = "leave-out" not in self.without
        shown = self.case.default_variant
        first = [shown] if shown in self.variants else list(self.variants)
        others = [name for name in self.variants if name not in first]
        early = min(self.effective, FEWEST_EFFECTIVE)
        # what a reader waits for: the fit and the schedules of the mechanism that is shown
        waited = [ReportStep("case", 1, Job.inputs)]
        waited += [step for name in first for step in self._of_variant(name, early)]
        waited[-1] = replace(waited[-1], page=True)
        fewer = min(self.effective, max(self.effective // _PART_OF_OTHERS, _FEWEST_OF_OTHERS))
        chains = [self._of_variant(name, fewer) for name in others]
        if early < self.effective:
            chains = [*(self._of_variant(name, self.effective, fitted=True) for name in first), *chains]
        chains += [[ReportStep("profiles", 3, Job.profile)]]
        chains += [[ReportStep("predictions", 10, Job.predict)]]
        ahead = [[ReportStep(words, 4, work)] for words, work in AHEAD.items()]
        words, cost = "variants held against each other", 400 if left_out else 12
        # it has processes of its own; and where it takes minutes a bar of its own
        compared = [[ReportStep(words, cost, Job.compare, page=left_out)]]
        last = [ahead, compared] if left_out else [compared, ahead]
        if "robustness" not in self.without:
            last += [[[ReportStep("robustness", 120, Job.robustness_step)]]]
        return [[waited], chains, *last]

    def _of_variant(self, name: str, effective: int, *, fitted: bool = False) -> list[ReportStep]:
        sample = partial(Job.sample, name=name, effective=effective)
        kinds: list[tuple[str, float, Callable[[Job], None]]] = [
            ("calibrating", 6, partial(Job.calibrate, name=name)),
            (f"{effective} effective draws of", 10 + effective / 8, sample),
            ("schedules under", 5, partial(Job.ask, name=name)),
        ]
        return [
            ReportStep(f"{words} {self.called(name)}", cost, work, variant=name)
            for words, cost, work in kinds[fitted:]
        ]

    def run(self, step: ReportStep) -> bool:
        """Do one step; False when an interrupt has ended it, with what was ready kept."""
        try:
            step.work(self)
        except KeyboardInterrupt:
            self.stop(step.words)
        return not self.stopped

    def stop(self, words: str) -> None:
        """Note what an interrupt has ended: of steps side by side the one that heard it first."""
        self.stopped = self.stopped or words

    @property
    def shown_is_drawn(self) -> bool:
        """Whether the first page has all the draws of the variant shown that were asked for, so that its figures stay as they are."""
        return self.effective <= FEWEST_EFFECTIVE

    def as_it_stands(self) -> Job:
        """What there is now, for a page that is made while steps go on."""
        found = copy(self)
        found.fits, found.sweeps, found.posteriors = dict(self.fits), dict(self.sweeps), dict(self.posteriors)
        return found

    def inputs(self) -> None:
        """Copy the case so that the report can be made again from its own folder."""
        self.home = self.output.attempt("Copy of the case", lambda: copy_case(self.case, self.output)) or ""
        self.output.attempt("Audit", lambda: self.output.put("audit.txt", self.case.audit()))
        if self.plans:
            self.output.attempt("Plans", lambda: self.output.csv("tables/plans.csv", plans_table(self.plans)))

    def calibrate(self, name: str) -> None:
        """One variant, saved at once."""
        from cellsim.posterior.fitting import calibrate

        def work() -> Calibration:
            fit = calibrate(
                self.case,
                variant=name or None,
                starts=self._starts(name),
                seed=self.seed,
                progress=self.progress,
            )
            self._folder("calibrations")
            fit.save(self.output.folder / f"calibrations/{file_name(name)}.json")
            if fit.interrupted:
                self.stop(f"calibrating {self.called(name)}")
            return fit

        fit = self.output.attempt(f"Calibration of {self.called(name)}", work)
        if fit is None:
            return
        self.fits[name] = fit
        self._tables(name, {"parameters": fit.table, "rows": fit.rows})

    def _starts(self, name: str) -> int:
        """How many starts a calibration has: of mechanisms that are not shown in detail few, for one of them begins at the optimum of the one that is."""
        shown = self.case.default_variant
        other = shown in self.variants and name != shown
        return min(self.starts, _STARTS_OF_OTHERS) if other else self.starts

    def ask(self, name: str) -> None:
        """The schedules under one variant, written at once."""
        from cellsim.sweeps.sweeps import sweep

        if not self.plans or name not in self.fits:
            return
        schedules = {each.name: each.schedule for each in self.plans}

        def work() -> Sweep:
            # these plans say in their names what they leave out
            options: dict[str, Any] = {"until": self.until, "draws": self.draws, "seed": self.seed}
            return sweep(self.source(name), schedules, background=None, **options)

        result = self.output.attempt(f"Schedules under {self.called(name)}", work)
        if result is None:
            return
        if result.interrupted:
            self.stop(f"schedules under {self.called(name)}")
        self.sweeps[name] = result
        self._tables(name, {"what_if": result.table, "contrasts": result.contrasts})
        self.output.attempt(f"Draws of the plans under {self.called(name)}", partial(self._plan_draws, name))

    def profile(self) -> None:
        """What cells do, held at other values, in the variant shown in detail."""
        from cellsim.identifiability.profiles import profile

        name = self.main
        if name is None or not self.fits[name].objective.names:
            return

        def work() -> Profiles:
            found = profile(self.fits[name], progress=self.progress)
            if found.interrupted:
                self.stop("profiles")
            self.output.csv(f"tables/{file_name(name)}_profiles.csv", found.table())
            return found

        self.profiles = self.output.attempt("Profiles", work)

    def predict(self) -> None:
        """What the rows can see at all, and predictions held at other values, in the variant shown in detail."""
        from cellsim.identifiability.identification import identify
        from cellsim.identifiability.profiles import profile
        from cellsim.report.profiles import predicted_of

        name = self.main
        if name is None or not self.fits[name].objective.names:
            return
        fit = self.fits[name]

        def work() -> Profiles | None:
            asked = predicted_of(fit, self.plans, self.until)
            if not asked:
                return None
            found = profile(fit, predictions=asked, progress=self.progress)
            if found.interrupted:
                self.stop("predictions")
            self.output.csv(f"tables/{file_name(name)}_predictions.csv", found.table())
            return found

        self.seen = self.output.attempt("What the rows can see", lambda: identify(fit, seed=self.seed))
        self.predictions = self.output.attempt("Predictions", work)

    def sample(self, name: str, *, effective: int) -> None:
        """Draws of one variant, saved at once.

        Spreads of hierarchies are held as in a calibration, so that all evidences are of the same priors. Chains walk
        where nothing is nearly linear.
        """
        from cellsim.posterior.posterior import sample

        fit = self.fits.get(name)
        if fit is None or not fit.objective.names:
            return

        def drawn() -> Posterior:
            options: dict[str, Any] = {
                "draws": max(_DRAWS, self.draws),
                "seed": self.seed,
                "hierarchy": False,
                "progress": self.progress,
            }
            try:
                return sample(fit, method="collapsed", effective=effective, **options)
            except CutShortError:
                raise
            except CalibrationError:
                return sample(fit, method="nuts", tune=_TUNE, **options)

        def work() -> Posterior | None:
            try:
                post = drawn()
            except CutShortError:
                self.stop(f"draws of {self.called(name)}")
                return None
            self._folder("posteriors")
            post.save(self.output.folder / f"posteriors/{file_name(name)}.nc")
            if post.interrupted:
                self.stop(f"draws of {self.called(name)}")
            return post

        post = self.output.attempt(f"Draws of {self.called(name)}", work)
        before = self.posteriors.get(name)
        if post is not None and (before is None or post.effective >= before.effective):
            self.posteriors[name] = post
            self._tables(name, {"posterior": post.table})

    def compare(self) -> None:
        """The variants against each other: evidence, left-out rows, other priors."""
        from cellsim.comparison.variants import comparison_of

        if not (known := self.known):
            return

        def work() -> Comparison:
            found = comparison_of(
                known,
                posteriors={name: post for name, post in self.posteriors.items() if name in known},
                leave_out="leave-out" not in self.without,
                seed=self.seed,
                progress=self.progress,
            )
            if found.interrupted:
                self.stop("variants held against each other")
            found.save(self.output.folder / "comparison.json")
            self.output.csv("tables/left_out.csv", found.left_out())
            return found

        self.comparison = self.output.attempt("Comparison of the variants", work)

    def robustness_step(self) -> None:
        """Every conclusion again under everything that may have been otherwise."""
        from cellsim.comparison.robustness_analysis import robustness

        if not self.fits:
            return

        def work() -> Robustness:
            found = robustness(
                self.case,
                variants=list(self.fits)
                if self.case.variants and len(self.fits) < len(self.case.variants)
                else None,
                fits=self.fits,
                posteriors=self.posteriors,
                compared=self.comparison,
                starts=self.starts,
                seed=self.seed,
                progress=self.progress,
            )
            if found.interrupted:
                self.stop("robustness")
            found.save(self.output.folder / "robustness.json")
            self.output.csv("tables/robustness.csv", found.table())
            return found

        self.robustness = self.output.attempt("Robustness", work)

    def _tables(self, name: str, tables: Mapping[str, Callable[[], pd.DataFrame]]) -> None:
        for kind, make in tables.items():
            self.output.attempt(
                f"Table of {kind} of {self.called(name)}", partial(self._table, name, kind, make)
            )

    def _table(self, name: str, kind: str, make: Callable[[], pd.DataFrame]) -> str:
        return self.output.csv(f"tables/{file_name(name)}_{kind}.csv", make())

    def _plan_draws(self, name: str) -> None:
        from cellsim.sweeps.sweep_text import draws_text

        # at the usual effort half of the time would go into a tenth of its size; of no time, so that it is the same again
        packed = gzip.compress(draws_text(self.sweeps[name]).encode(), compresslevel=3, mtime=0)
        self.output.put(f"tables/{file_name(name)}_draws.csv.gz", packed)

    def _words(self) -> dict[str, int]:
        """How long the page is, open and folded."""
        index = self.output.folder / "index.html"
        return count_words(index.read_text(encoding="utf-8")) if index.is_file() else {}

    def _folder(self, name: str) -> None:
        (self.output.folder / name).mkdir(parents=True, exist_ok=True)

    # ---- what there is ----------------------------------------------------------------------------

    @property
    def main(self) -> str | None:
        """The variant shown in detail: the case's default, or the best of those that could be calibrated."""
        if self.case.default_variant in self.fits:
            return self.case.default_variant
        return max(self.fits, key=lambda name: self.fits[name].log_evidence, default=None)

    @property
    def compared(self) -> Comparison:
        """The comparison; where there is none, the evidences of :attr:`known` alone."""
        from cellsim.comparison.comparison import Comparison

        if self.comparison is not None:
            return self.comparison
        from cellsim.comparison.evidence import evidence_and_draws

        of = {name: (fit, self.posteriors.get(name)) for name, fit in self.known.items()}
        return Comparison(self.known, {name: evidence_and_draws(*each)[0] for name, each in of.items()})

    @property
    def known(self) -> dict[str, Calibration]:
        """Variants whose evidence is known, the one shown first: by draws, but for chains that are too short for a bridge, or as only
        sampling days are estimated."""
        from cellsim.likelihood.marginal_days import WithoutDays

        def told(name: str, fit: Calibration) -> bool:
            post = self.posteriors.get(name)
            if post is None:
                return not WithoutDays(fit.objective, fit.objective.rtol).columns.size
            chains, length, size = post.thetas.shape
            return post.method == "collapsed" or chains * (length // 2) >= _BRIDGE * size

        shown_first = sorted(self.fits.items(), key=lambda item: item[0] != self.main)
        return {name: fit for name, fit in shown_first if told(name, fit)}

    def source(self, name: str) -> Calibration | Posterior:
        """What every posterior number of a variant is drawn from, its schedules, bands and tables alike.

        Its draws with every doubt about them, or the Laplace approximations when there are none.
        """
        return self.posteriors.get(name, self.fits[name])

    def called(self, name: str) -> str:
        """What a variant is called in a sentence; the case where it has no variants."""
        return variant_names(self.case.variants).get(name, name) or self.case.name

    def drawn_from(self, *names: str) -> list[str]:
        """The files of draws behind numbers of these variants: of their plans, and of their parameters; as far as there are any."""
        files = [
            f"{folder}/{file_name(name)}{ending}"
            for name in names
            for folder, ending in (("tables", "_draws.csv.gz"), ("posteriors", ".nc"))
        ]
        return [each for each in files if (self.output.folder / each).is_file()]

    @property
    def command(self) -> str:
        """What makes this report again, from its own folder."""
        words = ["cellsim", "report", self.home or self.case.name, "--out", "again", "--seed", str(self.seed)]
        words += ["--starts", str(self.starts), "--draws", str(self.draws)]
        words += ["--effective", str(self.effective)]
        if self.without == LONG:
            words += ["--quick"]
        else:
            words += [word for each in self.without for word in ("--without", each)]
        if self.variants != tuple(each.id for each in self.case.variants) and self.variants != ("",):
            for name in self.variants:
                words += ["--variant", name]
        return join(words)

    def manifest(self, seconds: Mapping[str, float]) -> None:
        """What was done, for a machine to read."""
        from cellsim.posterior.calibration import versions

        content = {
            "case": self.case.name,
            "command": self.command,
            "seed": self.seed,
            "starts": self.starts,
            "draws": self.draws,
            "effective": self.effective,
            "without": self.without,
            "variants": list(self.variants),
            "shown_in_detail": self.main,
            "until": self.until,
            "approximations": {name: self.source(name).approximation.content() for name in self.fits},
            "versions": dict(versions()),
            "words": self._words(),
            "seconds": {name: round(each, 1) for name, each in seconds.items()},
            "interrupted": self.stopped,
            "failures": self.output.failures,
        }
        self.output.put("report.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
