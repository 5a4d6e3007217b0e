"""The computing half of a report: each result is written down the moment it is ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from shlex import join
from typing import TYPE_CHECKING, Any

from cellsim.errors import CalibrationError, CutShortError
from cellsim.files import file_name
from cellsim.predictions.plans import Plan, plans_of, plans_table
from cellsim.report.page import ReportFolder, copy_case

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.identifiability.identification import Identifiability
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.posterior.variational import VariationalApproximation
    from cellsim.predictions.sweeps import Sweep

__all__ = ["LONG", "Job", "ReportStep"]

LONG = ("sample", "leave-out", "robustness")
"""What takes minutes and can be left out."""

_TUNE = 400
# with fewer draws in half the chains than this many a parameter no bridge can be built
_BRIDGE = 4


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
    page : bool
        Whether the page is written after it.
    one_variant : bool
        Whether it is done for each variant.
    """

    words: str
    cost: float
    work: Callable[[], None]
    page: bool = False
    one_variant: bool = False


class Job:
    """Everything about one report.

    Parameters
    ----------
    case : Case
    output : ReportFolder
    starts, draws, length, seed : int
        Of calibrations; of comparisons and bands; of each of four chains; of everything.
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
        length: int,
        seed: int,
        variants: tuple[str, ...],
        without: Collection[str] = (),
        progress: bool | None = None,
    ) -> None:
        self.case, self.output, self.progress = case, output, progress
        self.starts, self.draws, self.length, self.seed = starts, draws, length, seed
        self.variants, self.without = variants, tuple(each for each in LONG if each in without)
        self.fits: dict[str, Calibration] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.approximations: dict[str, VariationalApproximation] = {}
        self.before_chains: dict[str, Sweep] = {}
        self.posteriors: dict[str, Posterior] = {}
        self.profiles: Profiles | None = None
        self.predictions: Profiles | None = None
        self.seen: Identifiability | None = None
        self.comparison: Comparison | None = None
        self.robustness: Robustness | None = None
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
        sampled, left_out = "sample" not in self.without, "leave-out" not in self.without
        shown = self.case.default_variant
        first = [shown] if shown in self.variants else list(self.variants)
        others = [name for name in self.variants if name not in first]
        out = [ReportStep("case", 1, self.inputs), *self._of_variants(first)]
        # what a reader waits for: the fit and the schedules of the mechanism that is shown
        out[-1] = replace(out[-1], page=True)
        out += self._of_variants(others)
        out += [ReportStep("profiles", 3, self.profile), ReportStep("predictions", 10, self.predict)]
        if sampled:
            out[-1] = replace(out[-1], page=True)
            out += [
                ReportStep("chains of the mechanism shown", 400, lambda: self.sample(self.main), page=True)
            ]
            out += [ReportStep("chains of the null", 350, lambda: self.sample(self.null))]
        out += [
            ReportStep(
                "variants held against each other", 560 if left_out else 40, self.compare, page=left_out
            )
        ]
        if "robustness" not in self.without:
            out += [ReportStep("robustness", 600, self.robustness_step)]
        return out

    def _of_variants(self, names: Sequence[str]) -> list[ReportStep]:
        kinds = (
            ("calibrating", 6, self.calibrate),
            ("variational approximation of", 10, self.near),
            ("schedules under", 7, self.ask),
        )
        return [
            ReportStep(f"{words} {name}", cost, partial(work, name), one_variant=True)
            for words, cost, work in kinds
            for name in names
        ]

    def run(self, step: ReportStep) -> bool:
        """Do one step; False when an interrupt has ended it, with what was ready kept."""
        try:
            step.work()
        except KeyboardInterrupt:
            self.stopped = step.words
        return not self.stopped

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
                self.case, variant=name or None, starts=self.starts, seed=self.seed, progress=self.progress
            )
            self._folder("calibrations")
            fit.save(self.output.folder / f"calibrations/{file_name(name)}.json")
            if fit.interrupted:
                self.stopped = f"calibrating {name}"
            return fit

        fit = self.output.attempt(f"Calibration of {name or self.case.name}", work)
        if fit is None:
            return
        self.fits[name] = fit
        self._tables(name, {"parameters": fit.table, "rows": fit.rows})

    def near(self, name: str) -> None:
        """The Gaussian variational approximation of the posterior of one variant."""
        fit = self.fits.get(name)
        if fit is None:
            return
        approximation = self.output.attempt(
            f"Variational approximation of {name or self.case.name}", fit.variational
        )
        if approximation is not None:
            self.approximations[name] = approximation
            self._tables(name, {"variational_approximation": approximation.table})

    def ask(self, name: str) -> None:
        """The schedules under one variant, written at once; from its chains when they can be used."""
        from cellsim.predictions.sweeps import sweep

        if not self.plans or name not in self.fits:
            return
        schedules = {each.name: each.schedule for each in self.plans}

        def work() -> Sweep:
            options: dict[str, Any] = {"until": self.until, "draws": self.draws, "seed": self.seed}
            # these plans say in their names what they leave out
            options["background"] = None
            try:
                return sweep(self.source(name), schedules, **options)
            except CalibrationError:
                # an approximation too many of whose draws cannot be simulated is none to ask
                if self.approximations.pop(name, None) is None:
                    raise
                return sweep(self.source(name), schedules, **options)

        result = self.output.attempt(f"Schedules under {name}", work)
        if result is None:
            return
        if result.interrupted:
            self.stopped = f"schedules under {name}"
        self.sweeps[name] = result
        self._tables(name, {"what_if": result.table, "contrasts": result.contrasts})

    def profile(self) -> None:
        """What cells do, held at other values, in the variant shown in detail."""
        from cellsim.identifiability.profiles import profile

        name = self.main
        if name is None or not self.fits[name].objective.names:
            return

        def work() -> Profiles:
            found = profile(self.fits[name], progress=self.progress)
            if found.interrupted:
                self.stopped = "profiles"
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
                self.stopped = "predictions"
            self.output.csv(f"tables/{file_name(name)}_predictions.csv", found.table())
            return found

        self.seen = self.output.attempt("What the rows can see", lambda: identify(fit, seed=self.seed))
        self.predictions = self.output.attempt("Predictions", work)

    def sample(self, name: str | None) -> None:
        """Chains of one variant, saved at once, and the schedules asked again of them.

        Spreads of hierarchies are held as in a calibration, so that one run also gives the evidence by bridge.
        """
        from cellsim.posterior.posterior import sample

        if name is None or not self.fits[name].objective.names:
            return

        def work() -> Posterior | None:
            try:
                post = sample(
                    self.fits[name],
                    method="nuts",
                    draws=self.length,
                    tune=min(_TUNE, max(40, self.length)),
                    seed=self.seed,
                    hierarchy=False,
                    progress=self.progress,
                )
            except CutShortError:
                self.stopped = f"chains of {name}"
                return None
            self._folder("posteriors")
            post.save(self.output.folder / f"posteriors/{file_name(name)}.nc")
            if post.interrupted:
                self.stopped = f"chains of {name}"
            return post

        post = self.output.attempt(f"Chains of {name or self.case.name}", work)
        if post is None:
            return
        self.posteriors[name] = post
        self._tables(name, {"posterior": post.table})
        if self.source(name) is post and name in self.sweeps:
            before = self.sweeps[name]
            self.ask(name)
            if self.sweeps[name] is not before:
                self.before_chains[name] = before

    def compare(self) -> None:
        """The variants against each other: bridge, left-out rows, other priors."""
        from cellsim.comparison.variants import comparison_of

        if not self.fits:
            return

        def work() -> Comparison:
            # too short for a bridge, or not to be used at all: the comparison does without
            long = {
                name: post
                for name, post in self.posteriors.items()
                if self.source(name) is post
                and post.thetas.shape[0] * (post.thetas.shape[1] // 2) >= _BRIDGE * post.thetas.shape[2]
            }
            found = comparison_of(
                dict(sorted(self.fits.items(), key=lambda item: item[0] != self.main)),
                posteriors=long,
                approximations=self.approximations,
                leave_out="leave-out" not in self.without,
                progress=self.progress,
            )
            if found.interrupted:
                self.stopped = "variants held against each other"
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
                approximations=self.approximations,
                starts=self.starts,
                seed=self.seed,
                progress=self.progress,
            )
            if found.interrupted:
                self.stopped = "robustness"
            found.save(self.output.folder / "robustness.json")
            self.output.csv("tables/robustness.csv", found.table())
            return found

        self.robustness = self.output.attempt("Robustness", work)

    def _tables(self, name: str, tables: Mapping[str, Callable[[], pd.DataFrame]]) -> None:
        for kind, make in tables.items():
            self.output.attempt(f"Table of {kind} of {name}", partial(self._table, name, kind, make))

    def _table(self, name: str, kind: str, make: Callable[[], pd.DataFrame]) -> str:
        return self.output.csv(f"tables/{file_name(name)}_{kind}.csv", make())

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
        """The comparison; of what is known from the calibrations alone when there is none."""
        from cellsim.comparison.comparison import Comparison

        if self.comparison is not None:
            return self.comparison
        shown_first = dict(sorted(self.fits.items(), key=lambda item: item[0] != self.main))
        return Comparison(
            shown_first,
            normals={name: approximation.evidence for name, approximation in self.approximations.items()},
        )

    @property
    def null(self) -> str | None:
        """The best variant under which infusions do nothing, when that is not the one shown."""
        if self.main is None:
            return None
        found = self.compared
        others = [name for name in found.order if name in found.roles.nulls and name != self.main]
        return next(iter(others), None)

    def source(self, name: str) -> Calibration | VariationalApproximation | Posterior:
        """What every posterior number of a variant is drawn from, its schedules, bands and tables alike.

        Its chains when they can be used, or else the variational approximation, or the Laplace approximations when there is none.
        """
        from cellsim.report.chains import usable

        post = self.posteriors.get(name)
        return post if post is not None and usable(post) else self.approximations.get(name, self.fits[name])

    def label(self, name: str) -> str:
        """A variant with its name, for a sentence."""
        about = next((each for each in self.case.variants if each.id == name), None)
        return f"{name} ({about.name})" if about is not None and about.name else name or self.case.name

    @property
    def command(self) -> str:
        """What makes this report again, from its own folder."""
        words = ["cellsim", "report", self.home or self.case.name, "--out", "again", "--seed", str(self.seed)]
        words += ["--starts", str(self.starts), "--draws", str(self.draws), "--length", str(self.length)]
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
            "length": self.length,
            "without": self.without,
            "variants": list(self.variants),
            "shown_in_detail": self.main,
            "until": self.until,
            "approximations": {name: self.source(name).approximation.content() for name in self.fits},
            "versions": dict(versions()),
            "seconds": {name: round(each, 1) for name, each in seconds.items()},
            "interrupted": self.stopped,
            "failures": self.output.failures,
        }
        self.output.put("report.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
