"""The main job on one case: audit, every variant, other schedules, and a page that shows it all.

Each result is written the moment it is ready, so that a later failure loses nothing; a step that fails is said on
the page where its result would have stood.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from io import BytesIO
from os import PathLike
from pathlib import Path, PurePosixPath
from shlex import join
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.dosing_words import cells_text
from cellsim.errors import CellsimError, did_you_mean
from cellsim.report_pages import details, failure, figure, link, page, paragraphs, pre, section, table
from cellsim.report_plans import AS_GIVEN, Plan, plans_of, plans_table
from cellsim.report_words import (
    across_variants,
    contrast_table,
    contrast_words,
    determined,
    groups_table,
    listed,
    plan_table,
    plan_words,
    standing,
    summits_words,
    unfollowed_words,
    variants_table,
    variants_words,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case import Case
    from cellsim.fitted import Calibration
    from cellsim.sweeps import Sweep

__all__ = ["Report", "write_report"]

T = TypeVar("T")
MECHANISM = ("persistence", "alloimmunity", "drives")
DPI = 150


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


@dataclass
class _Desk:
    """Where results are put down as they come."""

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do it; when it fails, say so and go on."""
        try:
            return work()
        except Exception as error:  # whatever a step raises must not take the finished ones with it
            self.failures[what] = f"{type(error).__name__}: {error}"
            self.put("failures.json", json.dumps(self.failures, indent=1, ensure_ascii=False))
            return None

    def put(self, name: str, content: str | bytes) -> str:
        """Write a file beneath the folder; its name relative to the page."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CellsimError(f"{name} would be written outside {self.folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return name

    def csv(self, name: str, frame: pd.DataFrame) -> str:
        """A table in full precision, so that it reads back equal."""
        return self.put(name, frame.to_csv(index=False, lineterminator="\n"))

    def draw(self, name: str, caption: str, make: Callable[[], Any], *, alt: str) -> str:
        """A figure beside the page and in it; the failure in its place when it cannot be drawn."""
        import matplotlib.pyplot as plt

        from cellsim.figures_style import figure_of

        def drawn() -> str:
            held, made = BytesIO(), figure_of(make())
            try:
                made.savefig(held, format="png", dpi=DPI)
            finally:
                plt.close(made)
            self.put(f"figures/{name}.png", held.getvalue())
            return figure(held.getvalue(), caption, alt=alt)

        return self.attempt(f"Figure {name}", drawn) or self.said(f"Figure {name}")

    def said(self, what: str) -> str:
        """The failure of a step as it stands on the page; empty when there was none."""
        return failure(what, self.failures[what]) if what in self.failures else ""

    def part(self, what: str, make: Callable[[], str]) -> str:
        """A piece of the page; its failure instead when the numbers behind it cannot be told."""
        return self.attempt(what, make) or self.said(what)


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
    desk = _Desk(Path(folder))
    desk.folder.mkdir(parents=True, exist_ok=True)
    job = _Job(case, desk, starts, draws, seed, chosen)
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
        index = desk.folder / desk.put("index.html", job.page())
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


class _Job:
    """Everything about one report."""

    def __init__(
        self, case: Case, desk: _Desk, starts: int, draws: int, seed: int, variants: tuple[str, ...]
    ) -> None:
        self.case, self.desk = case, desk
        self.starts, self.draws, self.seed, self.variants = starts, draws, seed, variants
        self.fits: dict[str, Calibration] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.plans: tuple[Plan, ...] = plans_of(case)
        self.until = max(
            [visit.latest for visit in case.visits] + [each.end for each in case.schedule.infusions]
        )
        self.home = ""

    # ---- computing --------------------------------------------------------------------------------

    def inputs(self) -> None:
        """Copy the case so that the report can be made again from its own folder."""
        self.home = self.desk.attempt("Copy of the case", lambda: _copy(self.case, self.desk)) or ""
        self.desk.attempt("Audit", lambda: self.desk.put("audit.txt", self.case.audit()))
        if self.plans:
            self.desk.attempt("Plans", lambda: self.desk.csv("tables/plans.csv", plans_table(self.plans)))

    def calibrate(self, name: str, progress: bool | None) -> None:
        """One variant, saved at once."""
        from cellsim.fitting import calibrate

        def work() -> Calibration:
            fit = calibrate(
                self.case, variant=name or None, starts=self.starts, seed=self.seed, progress=progress
            )
            self._folder("calibrations")
            fit.save(self.desk.folder / f"calibrations/{_file(name)}.json")
            return fit

        fit = self.desk.attempt(f"Calibration of {name or self.case.name}", work)
        if fit is None:
            return
        self.fits[name] = fit
        self._tables(name, {"parameters": fit.table, "rows": fit.rows})

    def ask(self, name: str) -> None:
        """The schedules under one variant, written at once."""
        from cellsim.sweeps import sweep

        if not self.plans:
            return
        schedules = {each.name: each.schedule for each in self.plans}

        def work() -> Sweep:
            return sweep(self.fits[name], schedules, until=self.until, draws=self.draws, seed=self.seed)

        result = self.desk.attempt(f"Schedules under {name}", work)
        if result is None:
            return
        self.sweeps[name] = result
        self._tables(name, {"what_if": result.table, "contrasts": result.contrasts})

    def _tables(self, name: str, tables: Mapping[str, Callable[[], pd.DataFrame]]) -> None:
        for kind, make in tables.items():
            self.desk.attempt(f"Table of {kind} of {name}", partial(self._table, name, kind, make))

    def _table(self, name: str, kind: str, make: Callable[[], pd.DataFrame]) -> str:
        return self.desk.csv(f"tables/{_file(name)}_{kind}.csv", make())

    def _folder(self, name: str) -> None:
        (self.desk.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def main(self) -> str | None:
        """The variant shown in detail: the case's default, or the best of those that could be calibrated."""
        if self.case.default_variant in self.fits:
            return self.case.default_variant
        return max(self.fits, key=lambda name: self.fits[name].log_evidence, default=None)

    @property
    def command(self) -> str:
        """What makes this report again, from its own folder."""
        words = ["cellsim", "report", self.home or self.case.name, "--out", "again", "--seed", str(self.seed)]
        words += ["--starts", str(self.starts), "--draws", str(self.draws)]
        if self.variants != tuple(each.id for each in self.case.variants) and self.variants != ("",):
            for name in self.variants:
                words += ["--variant", name]
        return join(words)

    def manifest(self, seconds: float) -> None:
        """What was done, for a machine to read."""
        from cellsim.fitted import versions

        content = {
            "case": self.case.name,
            "command": self.command,
            "seed": self.seed,
            "starts": self.starts,
            "draws": self.draws,
            "variants": list(self.variants),
            "shown_in_detail": self.main,
            "until": self.until,
            "versions": dict(versions()),
            "seconds": round(seconds, 1),
            "failures": self.desk.failures,
        }
        self.desk.put("report.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    # ---- showing ----------------------------------------------------------------------------------

    def page(self) -> str:
        """The page, from whatever is there."""
        sections = [
            self._audit(),
            self._learned(),
            self._fit(),
            self._variants(),
            self._contrast(),
            self._what_if(),
        ]
        sections += [self._doubts(), self._again()]
        count = {1: "one visit", 2: "two visits", 3: "three visits"}.get(len(self.case.visits), "few visits")
        return page(f"{self.case.name}: what {count} can and cannot tell", self._lead(), sections)

    def _lead(self) -> str:
        case = self.case
        scored = (
            len(case.rows) + sum(row.scored for row in case.censored) + sum(row.scored for row in case.grades)
        )
        what = (
            f"One patient's {scored} scored findings at {len(case.visits)} visits and {case.timeline.count} infusions, "
            f"held against {len(self.fits)} competing mechanism{'s' * (len(self.fits) != 1)}, and what each of them "
            f"says about {max(len(self.plans) - 1, 0)} other schedules."
        )
        how = (
            "Every number stands beside what was believed before the data; where the two agree, the number was "
            "assumed. The findings below are computed from the results, as is every sentence on this page."
        )
        points: list[str] = []
        for anchor, sentences in (
            ("learned", lambda: determined(self.fits[self.main or ""])[:1]),
            ("variants", lambda: variants_words(self.fits, case)[:1]),
            ("contrast", lambda: contrast_words(*self._pair(), self._trail())[:1]),
            ("what-if", lambda: across_variants(self._ordered())[1]),
        ):
            said = self.desk.attempt(f"Summary of {anchor}", sentences) if self.main is not None else None
            if said:
                points.append(f'<li>{escape(" ".join(said))} <a href="#{anchor}">More</a></li>')
        broken = [f"{what}: {why}" for what, why in self.desk.failures.items()]
        failed = failure(f"{len(broken)} of the steps", "\n".join(broken)) if broken else ""
        return paragraphs([what, how]) + (f"<ul>{''.join(points)}</ul>" if points else "") + failed

    def _pair(self) -> tuple[pd.DataFrame, str, str]:
        """The table of autologous against allogeneic, and the two plans' names."""
        import pandas as pd

        other = next((each.name for each in self.plans if each.name.startswith("same days and cells")), "")
        if not other or not self.sweeps:
            return pd.DataFrame(), AS_GIVEN, other
        return contrast_table(self._ordered(), AS_GIVEN, other), AS_GIVEN, other

    def _trail(self) -> dict[str, float]:
        """ln evidence of every variant, less the best."""
        best = max((fit.log_evidence for fit in self.fits.values()), default=0.0)
        return {name: fit.log_evidence - best for name, fit in self.fits.items()}

    def _ordered(self) -> dict[str, Sweep]:
        """The sweeps, the variant shown in detail first."""
        names = sorted(self.sweeps, key=lambda name: name != self.main)
        return {name: self.sweeps[name] for name in names}

    def _audit(self) -> tuple[str, str, str]:
        case = self.case
        states = Counter(cell.status for cell in case.table1)
        doubts = [str(each) for each in case.check() if each.severity == "doubt"]
        said = [
            f"{len(case.analytes)} analytes are scored: {len(case.rows)} numbers, "
            f"{sum(row.scored for row in case.censored)} known only as a limit, and "
            f"{sum(row.scored for row in case.grades)} graded findings.",
            f"The {len(case.table1)} cells of the printed table, by status: "
            + listed([f"{status.replace('_', ' ')} {count}" for status, count in states.items()])
            + ".",
            f"{len(doubts)} doubt{'s' * (len(doubts) != 1)} about the case were noted while reading it.",
        ]
        body = paragraphs(said if case.table1 else [said[0], said[2]])
        audit = self.desk.part("Audit on the page", lambda: details("The whole audit", pre(case.audit())))
        prior = ""
        if self.main is not None:
            objective = self.fits[self.main].objective

            def prior_figure() -> Any:
                from cellsim import plots

                return plots.prior_predictive(objective, draws=self.draws, seed=self.seed)

            prior = details(
                "Does the prior look like a patient?",
                self.desk.draw(
                    "prior",
                    f"What the priors of {self.main} expect before the data: median, 50 and 90 % of draws, without "
                    "sample effect and noise, beside reference range and printed values on their nominal days.",
                    prior_figure,
                    alt="Prior predictive bands of every analyte",
                ),
            )
        files = f'<p class="quiet">{link("audit.txt")}</p>'
        return section("audit", "What is known: the audit", body, audit, prior, files)

    def _learned(self) -> tuple[str, str, str]:
        if self.main is None:
            return section(
                "learned", "What the data determined", paragraphs(["No variant could be calibrated."])
            )
        fit, name = self.fits[self.main], self.main
        from cellsim import plots
        from cellsim.words import parameter_table

        known = set(fit.table()["group"])
        mechanism = [each for each in MECHANISM if each in known] or None
        return section(
            "learned",
            "What the data determined",
            paragraphs([self._shown(name), *determined(fit)]),
            table(groups_table(fit), names={"determined": "numbers determined"}),
            self.desk.draw(
                "parameters_mechanism",
                "Parameters of persistence, rejection and action: the prior's 95 % interval (pale) and the "
                "posterior's, in prior standard deviations. Grey means that the prior speaks.",
                lambda: plots.parameters(fit, mechanism),
                alt="Forest plot of the mechanism's parameters",
            ),
            details(
                "The parameters about which most was learned",
                self.desk.draw(
                    "parameters",
                    "Those whose interval shrank or moved most.",
                    lambda: plots.parameters(fit),
                    alt="Forest plot of the best determined parameters",
                ),
            ),
            details(
                "All parameters: prior, estimate, verdict",
                table(parameter_table(fit), file=f"tables/{_file(name)}_parameters.csv"),
            ),
        )

    def _fit(self) -> tuple[str, str, str]:
        if self.main is None:
            return section("fit", "Fit", paragraphs(["No variant could be calibrated."]))
        fit, name = self.fits[self.main], self.main
        from cellsim import plots
        from cellsim.words import fit_table

        first = min(each.day for each in self.case.schedule.infusions) if self.case.schedule.count else 0.0
        words = self.desk.part("Words on the fit", lambda: paragraphs(unfollowed_words(fit)))
        return section(
            "fit",
            "Fit to every analyte",
            paragraphs([self._shown(name), *summits_words(fit)]),
            words,
            self.desk.draw(
                "fit",
                "Printed values on the fitted day of each visit, beside the model's median with 50 and 90 % bands over "
                "the posterior. Hollow markers: sample effect taken out, as the curve should meet them.",
                lambda: plots.fit(fit, draws=self.draws, seed=self.seed),
                alt="Fit of every analyte over time",
            ),
            details(
                "Printed, predicted and residual of every row",
                table(
                    fit_table(fit).drop(columns="worst"),
                    names={each.id: f"{each.name}: printed | model (sigmas)" for each in self.case.visits},
                    file=f"tables/{_file(name)}_rows.csv",
                ),
                self.desk.draw(
                    "residuals",
                    "Residuals in sigmas (predicted minus printed) of every row.",
                    lambda: plots.residuals(fit),
                    alt="Residuals by analyte and visit",
                ),
            ),
            "<h3>Behind the numbers</h3>",
            self.desk.draw(
                "drives",
                "The latent drives over the whole timeline, and the graded purpura beside the grade expected.",
                lambda: plots.drives(fit, draws=self.draws, seed=self.seed),
                alt="Disease drive, remembered state, acute pulse and purpura over time",
            ),
            self.desk.draw(
                "persistence",
                "Infused cells in the body, viable and dying, by product. No cell was ever counted in this patient: "
                "these curves are the priors' as far as the data leave them.",
                lambda: plots.persistence(fit, draws=self.draws, seed=self.seed),
                alt="Viable and dying cells over the whole timeline",
            ),
            self.desk.draw(
                "persistence_first",
                "The same around the first infusions from day 0 on.",
                lambda: plots.persistence(
                    fit, days=(first - 7.0, first + 63.0), draws=self.draws, seed=self.seed
                ),
                alt="Viable and dying cells in the first weeks",
            ),
        )

    def _variants(self) -> tuple[str, str, str]:
        failed = [self.desk.said(f"Calibration of {name or self.case.name}") for name in self.variants]
        if not self.fits:
            return section("variants", "Competing mechanisms", *failed)
        from cellsim import plots

        frame = variants_table(self.fits)
        file = self.desk.csv("tables/variants.csv", frame)
        body = self.desk.part(
            "Words on the variants", lambda: paragraphs(variants_words(self.fits, self.case))
        )
        shown = table(
            frame,
            names={
                "ln_evidence": "ln evidence",
                "less_the_best": "less the best",
                "ln_standard": "ln likelihood, values",
                "ln_graded": "grades",
                "ln_censored": "limits",
                "effective_parameters": "numbers determined",
                "agree": "agreeing",
            },
            file=file,
        )
        drawn = self.desk.draw(
            "variants",
            "Left: natural log evidence less that of the best (grey: a ratio below 20). Right: log likelihood of each "
            "part at the optimum, which rewards freedom and is not a verdict.",
            lambda: plots.variants(self.fits),
            alt="Evidence of every variant",
        )
        return section("variants", "Competing mechanisms", *failed, body, shown, drawn)

    def _contrast(self) -> tuple[str, str, str]:
        title = "Autologous or allogeneic: what was assumed, what was learned"
        frame, first, second = self._pair()
        if frame.empty:
            return section(
                "contrast", title, paragraphs(["This case has no second product to compare with."])
            )
        from cellsim import plots

        file = self.desk.csv("tables/autologous_allogeneic.csv", frame)
        return section(
            "contrast",
            title,
            paragraphs(
                [
                    f"The same days and cells were given to every mechanism as “{first}” and as “{second}”. No claim "
                    "about clearance stands alone: mechanisms in which cells of the two sources are cleared alike, or "
                    "differ in potency instead, stand beside it.",
                    *contrast_words(frame, first, second, self._trail()),
                ]
            ),
            self.desk.draw(
                "contrast",
                f"“{first}” minus “{second}” under every mechanism: median and 90 % of draws, the prior's hollow.",
                lambda: plots.contrast(self._ordered(), first, second),
                alt="Difference between the sources under every variant",
            ),
            table(
                frame,
                names={
                    "low": "5 %",
                    "high": "95 %",
                    "above": "chance first is larger",
                    "prior_difference": "prior: difference",
                    "prior_above": "prior: chance",
                },
                file=file,
            ),
        )

    def _what_if(self) -> tuple[str, str, str]:
        title = "Other schedules"
        if not self.plans:
            return section("what-if", title, paragraphs(["Nothing was given from day 0 on."]))
        import pandas as pd

        plans = pd.DataFrame(
            [
                {
                    "plan": each.name,
                    "infusions": each.schedule.count,
                    "total cells": cells_text(each.schedule.total()),
                    "what it is": each.words,
                }
                for each in self.plans
            ]
        )
        head = table(plans, file="tables/plans.csv")
        failed = [self.desk.said(f"Schedules under {name}") for name in self.fits]
        name = self.main if self.main in self.sweeps else next(iter(self.sweeps), None)
        if name is None:
            return section("what-if", title, head, *failed)
        from cellsim import plots

        result = self.sweeps[name]
        self.desk.attempt(
            "Draws",
            lambda: result.draws().to_csv(
                self.desk.folder / f"tables/{_file(name)}_draws.csv.gz", index=False, lineterminator="\n"
            ),
        )
        by_variant, ranking = across_variants(self._ordered())
        more = ""
        if not by_variant.empty:
            file = self.desk.csv("tables/days_by_variant.csv", by_variant)
            more = "".join(
                [
                    "<h3>Does the answer depend on the mechanism?</h3>",
                    paragraphs(
                        [
                            "Days with the disease drive below one half, posterior median, under every mechanism:"
                        ]
                    ),
                    table(by_variant, file=file),
                ]
            )
        lost = (
            [
                f"{result.lost[0]} posterior and {result.lost[1]} prior draws could not be simulated and were left out."
            ]
            if any(result.lost)
            else []
        )
        extra = ""
        if "load of cytokines" in result.curves:
            extra = self.desk.draw(
                "what_if_cytokines",
                "The same for the load of cytokines: the geometric mean of value over upper reference limit.",
                lambda: plots.sweep(result, "load of cytokines"),
                alt="Cytokine load under every schedule",
            )
        return section(
            "what-if",
            title,
            paragraphs(
                [
                    f"Every plan follows the same history and is looked at until day {self.until:g}, with {self.draws} "
                    f"draws of {self._spoken(name)} and as many of its prior. "
                    f"{standing(name, self.fits)} The block spreads the whole amount over consecutive days, because one "
                    "bag of that size was never given."
                ]
            ),
            head,
            *failed,
            paragraphs([*ranking, *plan_words(result), *lost]),
            self.desk.draw(
                "what_if",
                "Disease drive under every schedule, and what is asked of it; filled: posterior, hollow: prior.",
                lambda: plots.sweep(result),
                alt="Time courses and measures of every schedule",
            ),
            details(
                "Every measure of every schedule",
                table(
                    plan_table(result),
                    names={
                        "low": "5 %",
                        "high": "95 %",
                        "prior_estimate": "prior",
                        "prior_low": "prior 5 %",
                        "prior_high": "prior 95 %",
                    },
                    file=f"tables/{_file(name)}_what_if.csv",
                ),
            ),
            extra,
            more,
            f'<p class="quiet">{link(f"tables/{_file(name)}_contrasts.csv", "Every pair of schedules")}, '
            f"{link(f'tables/{_file(name)}_draws.csv.gz', 'every draw')}.</p>",
        )

    def _doubts(self) -> tuple[str, str, str]:
        parts = []
        for name, fit in self.fits.items():
            found = fit.diagnosis["doubts"]
            said = found or [
                "Nothing in the diagnosis of this calibration gives reason to doubt the computation."
            ]
            facts = fit.diagnosis
            gives = (
                f"{facts['starts']['agree']} of {facts['starts']['count']} starts agree, {facts['starts']['failed']} "
                f"failed; gradient against differences {facts['gradient']:.0e}; "
                + "; ".join(
                    f"{key}: {each['count']} infusions, {each['cells']:.3g} cells"
                    for key, each in facts["doses"].items()
                )
                + "."
            )
            parts.append(f"<h3>{escape(self._spoken(name))}</h3>" + paragraphs([*said, gives]))
        noted = [str(each) for each in self.case.check() if each.severity == "doubt"]
        about = details(f"Doubts about the case itself ({len(noted)})", paragraphs(noted)) if noted else ""
        return section("doubts", "Reasons to doubt", *parts, about)

    def _again(self) -> tuple[str, str, str]:
        from cellsim.fitted import versions

        made = "\n".join(f"{name} {each}" for name, each in versions().items())
        files = [link(f"calibrations/{_file(name)}.json") for name in self.fits]
        saved = f"<p>Saved calibrations, which <code>cellsim.Calibration.load</code> reads: {', '.join(files)}.</p>"
        return section(
            "again",
            "How to run this again",
            paragraphs(["From this folder, which holds a copy of the case and its model:"]),
            pre(self.command),
            paragraphs([f"Seed {self.seed}; made with:"]),
            pre(made),
            saved if files else "",
            f"<p>Every table stands in <code>tables/</code>, every figure in <code>figures/</code>, the settings in "
            f"{link('report.json')}.</p>",
        )

    def _shown(self, name: str) -> str:
        return f"Shown for {self._spoken(name)}. {standing(name, self.fits)}".strip()

    def _spoken(self, name: str) -> str:
        about = next((each for each in self.case.variants if each.id == name), None)
        return f"{name} ({about.name})" if about is not None and about.name else name or self.case.name


def _file(variant: str) -> str:
    """A variant's name as part of a file name."""
    return "".join(each if each.isalnum() or each in "-_" else "_" for each in variant) or "fit"


def _copy(case: Case, desk: _Desk) -> str:
    """Write the case's files, keeping how they lie to each other; the case's folder relative to the report."""
    files = {name: PurePosixPath(name.replace("\\", "/")) for name in case.files}
    above = max((sum(part == ".." for part in path.parts) for path in files.values()), default=0)
    home = PurePosixPath("inputs", *["calibration"] * max(above - 1, 0), _file(case.name))
    for name, path in files.items():
        if path.is_absolute() or ":" in name:
            continue
        parts = list(home.parts)
        for part in path.parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        desk.put(str(PurePosixPath(*parts)), case.files[name])
    return str(home)
