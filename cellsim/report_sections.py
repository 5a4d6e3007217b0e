"""The parts of a report's page, each made from whatever results are there."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

from cellsim.dosing_words import cells_text
from cellsim.report_contrasts import across_variants, contrast_table, contrast_words, plan_table, plan_words
from cellsim.report_job import file_name
from cellsim.report_pages import details, failure, link, page, paragraphs, pre, section, table
from cellsim.report_plans import AS_GIVEN
from cellsim.report_words import (
    determined,
    groups_table,
    listed,
    standing,
    summits_words,
    unfollowed_words,
    variants_table,
    variants_words,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.report_job import Job
    from cellsim.sweeps import Sweep

__all__ = ["Sections"]

MECHANISM = ("persistence", "alloimmunity", "drives")


class Sections:
    """The page of one job.

    Parameters
    ----------
    job : Job
        With its results; those that are missing are said to be.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

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
        count = {1: "one visit", 2: "two visits", 3: "three visits"}.get(
            len(self.job.case.visits), "few visits"
        )
        return page(f"{self.job.case.name}: what {count} can and cannot tell", self._lead(), sections)

    def _lead(self) -> str:
        case = self.job.case
        scored = (
            len(case.rows) + sum(row.scored for row in case.censored) + sum(row.scored for row in case.grades)
        )
        what = (
            f"One patient's {scored} scored findings at {len(case.visits)} visits and {case.timeline.count} infusions, "
            f"held against {len(self.job.fits)} competing mechanism{'s' * (len(self.job.fits) != 1)}, and what "
            f"each of them says about {max(len(self.job.plans) - 1, 0)} other schedules."
        )
        how = (
            "Every number stands beside what was believed before the data; where the two agree, the number was "
            "assumed. The findings below are computed from the results, as is every sentence on this page."
        )
        points: list[str] = []
        for anchor, sentences in (
            ("learned", lambda: determined(self.job.fits[self.job.main or ""])[:1]),
            ("variants", lambda: variants_words(self.job.fits, case)[:1]),
            ("contrast", lambda: contrast_words(*self._pair(), self._trail())[:1]),
            ("what-if", lambda: across_variants(self._ordered())[1]),
        ):
            said = (
                self.job.desk.attempt(f"Summary of {anchor}", sentences)
                if self.job.main is not None
                else None
            )
            if said:
                points.append(f'<li>{escape(" ".join(said))} <a href="#{anchor}">More</a></li>')
        broken = [f"{what}: {why}" for what, why in self.job.desk.failures.items()]
        failed = failure(f"{len(broken)} of the steps", "\n".join(broken)) if broken else ""
        return paragraphs([what, how]) + (f"<ul>{''.join(points)}</ul>" if points else "") + failed

    def _pair(self) -> tuple[pd.DataFrame, str, str]:
        """The table of autologous against allogeneic, and the two plans' names."""
        import pandas as pd

        other = next(
            (each.name for each in self.job.plans if each.name.startswith("same days and cells")), ""
        )
        if not other or not self.job.sweeps:
            return pd.DataFrame(), AS_GIVEN, other
        return contrast_table(self._ordered(), AS_GIVEN, other), AS_GIVEN, other

    def _trail(self) -> dict[str, float]:
        """ln evidence of every variant, less the best."""
        best = max((fit.log_evidence for fit in self.job.fits.values()), default=0.0)
        return {name: fit.log_evidence - best for name, fit in self.job.fits.items()}

    def _ordered(self) -> dict[str, Sweep]:
        """The sweeps, the variant shown in detail first."""
        names = sorted(self.job.sweeps, key=lambda name: name != self.job.main)
        return {name: self.job.sweeps[name] for name in names}

    def _audit(self) -> tuple[str, str, str]:
        case = self.job.case
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
        audit = self.job.desk.part("Audit on the page", lambda: details("The whole audit", pre(case.audit())))
        prior = ""
        if self.job.main is not None:
            objective = self.job.fits[self.job.main].objective

            def prior_figure() -> Any:
                from cellsim import plots

                return plots.prior_predictive(objective, draws=self.job.draws, seed=self.job.seed)

            prior = details(
                "Does the prior look like a patient?",
                self.job.desk.draw(
                    "prior",
                    f"What the priors of {self.job.main} expect before the data: median, 50 and 90 % of draws, without "
                    "sample effect and noise, beside reference range and printed values on their nominal days.",
                    prior_figure,
                    alt="Prior predictive bands of every analyte",
                ),
            )
        files = f'<p class="quiet">{link("audit.txt")}</p>'
        return section("audit", "What is known: the audit", body, audit, prior, files)

    def _learned(self) -> tuple[str, str, str]:
        if self.job.main is None:
            return section(
                "learned", "What the data determined", paragraphs(["No variant could be calibrated."])
            )
        fit, name = self.job.fits[self.job.main], self.job.main
        from cellsim import plots
        from cellsim.words import parameter_table

        known = set(fit.table()["group"])
        mechanism = [each for each in MECHANISM if each in known] or None
        return section(
            "learned",
            "What the data determined",
            paragraphs([self._shown(name), *determined(fit)]),
            table(groups_table(fit), names={"determined": "numbers determined"}),
            self.job.desk.draw(
                "parameters_mechanism",
                "Parameters of persistence, rejection and action: the prior's 95 % interval (pale) and the "
                "posterior's, in prior standard deviations. Grey means that the prior speaks.",
                lambda: plots.parameters(fit, mechanism),
                alt="Forest plot of the mechanism's parameters",
            ),
            details(
                "The parameters about which most was learned",
                self.job.desk.draw(
                    "parameters",
                    "Those whose interval shrank or moved most.",
                    lambda: plots.parameters(fit),
                    alt="Forest plot of the best determined parameters",
                ),
            ),
            details(
                "All parameters: prior, estimate, verdict",
                table(parameter_table(fit), file=f"tables/{file_name(name)}_parameters.csv"),
            ),
        )

    def _fit(self) -> tuple[str, str, str]:
        if self.job.main is None:
            return section("fit", "Fit", paragraphs(["No variant could be calibrated."]))
        fit, name = self.job.fits[self.job.main], self.job.main
        from cellsim import plots
        from cellsim.words import fit_table

        first = (
            min(each.day for each in self.job.case.schedule.infusions)
            if self.job.case.schedule.count
            else 0.0
        )
        words = self.job.desk.part("Words on the fit", lambda: paragraphs(unfollowed_words(fit)))
        return section(
            "fit",
            "Fit to every analyte",
            paragraphs([self._shown(name), *summits_words(fit)]),
            words,
            self.job.desk.draw(
                "fit",
                "Printed values on the fitted day of each visit, beside the model's median with 50 and 90 % bands over "
                "the posterior. Hollow markers: sample effect taken out, as the curve should meet them.",
                lambda: plots.fit(fit, draws=self.job.draws, seed=self.job.seed),
                alt="Fit of every analyte over time",
            ),
            details(
                "Printed, predicted and residual of every row",
                table(
                    fit_table(fit).drop(columns="worst"),
                    names={
                        each.id: f"{each.name}: printed | model (sigmas)" for each in self.job.case.visits
                    },
                    file=f"tables/{file_name(name)}_rows.csv",
                ),
                self.job.desk.draw(
                    "residuals",
                    "Residuals in sigmas (predicted minus printed) of every row.",
                    lambda: plots.residuals(fit),
                    alt="Residuals by analyte and visit",
                ),
            ),
            "<h3>Behind the numbers</h3>",
            self.job.desk.draw(
                "drives",
                "The latent drives over the whole timeline, and the graded purpura beside the grade expected.",
                lambda: plots.drives(fit, draws=self.job.draws, seed=self.job.seed),
                alt="Disease drive, remembered state, acute pulse and purpura over time",
            ),
            self.job.desk.draw(
                "persistence",
                "Infused cells in the body, viable and dying, by product. No cell was ever counted in this patient: "
                "these curves are the priors' as far as the data leave them.",
                lambda: plots.persistence(fit, draws=self.job.draws, seed=self.job.seed),
                alt="Viable and dying cells over the whole timeline",
            ),
            self.job.desk.draw(
                "persistence_first",
                "The same around the first infusions from day 0 on.",
                lambda: plots.persistence(
                    fit, days=(first - 7.0, first + 63.0), draws=self.job.draws, seed=self.job.seed
                ),
                alt="Viable and dying cells in the first weeks",
            ),
        )

    def _variants(self) -> tuple[str, str, str]:
        failed = [
            self.job.desk.said(f"Calibration of {name or self.job.case.name}") for name in self.job.variants
        ]
        if not self.job.fits:
            return section("variants", "Competing mechanisms", *failed)
        from cellsim import plots

        frame = variants_table(self.job.fits)
        file = self.job.desk.csv("tables/variants.csv", frame)
        body = self.job.desk.part(
            "Words on the variants", lambda: paragraphs(variants_words(self.job.fits, self.job.case))
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
        drawn = self.job.desk.draw(
            "variants",
            "Left: natural log evidence less that of the best (grey: a ratio below 20). Right: log likelihood of each "
            "part at the optimum, which rewards freedom and is not a verdict.",
            lambda: plots.variants(self.job.fits),
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

        file = self.job.desk.csv("tables/autologous_allogeneic.csv", frame)
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
            self.job.desk.draw(
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
        if not self.job.plans:
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
                for each in self.job.plans
            ]
        )
        head = table(plans, file="tables/plans.csv")
        failed = [self.job.desk.said(f"Schedules under {name}") for name in self.job.fits]
        name = self.job.main if self.job.main in self.job.sweeps else next(iter(self.job.sweeps), None)
        if name is None:
            return section("what-if", title, head, *failed)
        from cellsim import plots

        result = self.job.sweeps[name]
        self.job.desk.attempt(
            "Draws",
            lambda: result.draws().to_csv(
                self.job.desk.folder / f"tables/{file_name(name)}_draws.csv.gz",
                index=False,
                lineterminator="\n",
            ),
        )
        by_variant, ranking = across_variants(self._ordered())
        more = ""
        if not by_variant.empty:
            file = self.job.desk.csv("tables/days_by_variant.csv", by_variant)
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
            extra = self.job.desk.draw(
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
                    f"Every plan follows the same history and is looked at until day {self.job.until:g}, with "
                    f"{self.job.draws} draws of {self._spoken(name)} and as many of its prior. "
                    f"{standing(name, self.job.fits)} The block spreads the whole amount over consecutive days, "
                    "because one bag of that size was never given."
                ]
            ),
            head,
            *failed,
            paragraphs([*ranking, *plan_words(result), *lost]),
            self.job.desk.draw(
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
                    file=f"tables/{file_name(name)}_what_if.csv",
                ),
            ),
            extra,
            more,
            f'<p class="quiet">{link(f"tables/{file_name(name)}_contrasts.csv", "Every pair of schedules")}, '
            f"{link(f'tables/{file_name(name)}_draws.csv.gz', 'every draw')}.</p>",
        )

    def _doubts(self) -> tuple[str, str, str]:
        parts = []
        for name, fit in self.job.fits.items():
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
        noted = [str(each) for each in self.job.case.check() if each.severity == "doubt"]
        about = details(f"Doubts about the case itself ({len(noted)})", paragraphs(noted)) if noted else ""
        return section("doubts", "Reasons to doubt", *parts, about)

    def _again(self) -> tuple[str, str, str]:
        from cellsim.fitted import versions

        made = "\n".join(f"{name} {each}" for name, each in versions().items())
        files = [link(f"calibrations/{file_name(name)}.json") for name in self.job.fits]
        saved = f"<p>Saved calibrations, which <code>cellsim.Calibration.load</code> reads: {', '.join(files)}.</p>"
        return section(
            "again",
            "How to run this again",
            paragraphs(["From this folder, which holds a copy of the case and its model:"]),
            pre(self.job.command),
            paragraphs([f"Seed {self.job.seed}; made with:"]),
            pre(made),
            saved if files else "",
            f"<p>Every table stands in <code>tables/</code>, every figure in <code>figures/</code>, the settings in "
            f"{link('report.json')}.</p>",
        )

    def _shown(self, name: str) -> str:
        return f"Shown for {self._spoken(name)}. {standing(name, self.job.fits)}".strip()

    def _spoken(self, name: str) -> str:
        about = next((each for each in self.job.case.variants if each.id == name), None)
        return f"{name} ({about.name})" if about is not None and about.name else name or self.job.case.name
