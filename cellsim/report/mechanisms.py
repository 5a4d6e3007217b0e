"""The part of a report that answers how the null fares against mechanisms in which the treatment acts."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from cellsim.comparison.robustness_table import sentences
from cellsim.comparison.verdicts import nulls_words, verdict_sentences
from cellsim.report.page import details, paragraphs, section, table
from cellsim.report.report_summary import listed, records, variants_table

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.report.steps import Job

__all__ = ["change_words", "changes", "nulls_answer", "variants_compared"]

# what the page shows of a comparison's table; the file has the rest
_COLUMNS = {
    "variant": "variant",
    "name": "name",
    "ln_evidence": "ln evidence",
    "less_the_best": "less the best",
    "error": "its error",
    "pareto_k": "Pareto k",
    "effective": "effective draws",
    "laplace": "by Laplace",
    "elpd_analytes": "ln density of left-out analytes",
    "elpd_visits": "of left-out visits",
    "weight_analytes": "stacking weight by analytes",
    "weight_visits": "by visits",
}

_TENTHS = ("ln_evidence", "laplace")


def variants_compared(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    nulls = job.compared.roles.nulls if job.known else ()
    title = ("Does nothing explain as much? " if nulls else "") + "The competing mechanisms"
    failed = [job.output.said(f"Calibration of {name or job.case.name}") for name in job.variants]
    failed.append(job.output.said("Comparison of the variants"))
    if not job.known:
        said = "No mechanism has draws yet, so that no evidence is known."
        return section("variants", title, *failed, paragraphs([said] if job.fits else []))
    from cellsim import plots

    found = job.compared
    frame = found.table()
    file = job.output.csv("tables/variants.csv", frame)
    shown = frame[[each for each in _COLUMNS if not frame[each].isna().all()]].round(3)
    for each in _TENTHS:
        if each in shown:
            # three digits of a number near -325 would make all alike
            shown[each] = ["" if isnan(value) else f"{value:.1f}" for value in shown[each]]
    meanings = {each.id: each.meaning for each in job.case.variants}
    parts = variants_table(job.fits)
    doubts = [f"Doubt: {each}" for each in found.doubts]
    return section(
        "variants",
        title,
        *failed,
        job.output.part("Words on the variants", lambda: paragraphs([*verdict_sentences(found), *doubts])),
        job.output.part(
            "Words on the sample effect", lambda: paragraphs(sample_effect_words(job.robustness))
        ),
        table(shown, names=_COLUMNS, file=file),
        job.output.draw(
            "evidence",
            f"Natural log evidence less that of the best: hollow by Laplace, filled by {found.by}"
            f"{'; squares are nulls' * bool(nulls)}. Within the dark band a ratio is "
            "below 20, within the pale "
            "one nothing is decided, as far as evidences may be off."
            + (
                " Then what is predicted of analytes and visits left out, and stacking weights."
                if found.left
                else ""
            ),
            lambda: plots.evidence(found),
            alt="Evidence of every variant, and what each predicts",
        ),
        details(
            "What each mechanism means",
            paragraphs([f"{job.label(each)}: {meanings.get(each, '')}" for each in found.order]),
        )
        if any(meanings.values())
        else "",
        job.output.part("Words on other priors", lambda: _other_priors(job, found)),
        details(
            "Likelihood of each part at the optimum, which rewards freedom and is no verdict",
            table(
                parts.drop(columns=["name", "meaning", "ln_evidence", "less_the_best"]),
                names={
                    "ln_standard": "ln likelihood, values",
                    "ln_graded": "grades",
                    "ln_censored": "limits",
                    "effective_parameters": "numbers determined",
                    "agree": "agreeing",
                },
            ),
            job.output.draw(
                "variants",
                "Right: log likelihood of each part at the optimum, less the best's.",
                lambda: plots.variants(job.fits),
                alt="Evidence and likelihood of every variant",
            ),
        ),
    )


def _other_priors(job: Job, found: Comparison) -> str:
    """Which order hangs on which priors."""
    ranks = found.ranks()
    if ranks.empty:
        return ""
    file = job.output.csv("tables/other_priors.csv", ranks)
    turned = ranks[ranks["turns"]]
    pairs = list(
        dict.fromkeys(f"{a} and {b}" for a, b in zip(turned["first"], turned["second"], strict=True))
    )
    said = "Neighbours by evidence, their lead when the priors of one group are raised to half and to twice the power."
    said += (
        f" {listed(pairs)} would change places under some of them." if pairs else " None would change places."
    )
    tried = [
        f"{each.first} over {each.second}, {each.group} to the power {each.alpha:g}, asked again: {each.before:+.1f} "
        f"becomes {each.after:+.1f}."
        for each in found.powers
    ]
    return details(
        "Which order hangs on which priors, to first order",
        paragraphs([said, *tried]),
        table(ranks.round(2), names={"half": "at half the power", "twice": "at twice"}, file=file),
    )


def nulls_answer(job: Job) -> list[str]:
    """How the nulls fare, for the head of the page."""
    said = nulls_words(job.compared) if job.known else ""
    return [each for each in [said, *sample_effect_words(job.robustness)] if each]


def sample_effect_words(found: Robustness | None) -> list[str]:
    """How the nulls fare when all assays of a sample may, or may not, shift together."""
    if found is None or not any(each.id == "null_lead" for each in found.conclusions):
        return []
    rows = [row for row in found.rows if row.group == "sample effect" and "null_lead" in row.values]
    if not rows:
        return []
    conclusion = next(each for each in found.conclusions if each.id == "null_lead")
    told = listed([f"{row.name} {-row.values['null_lead']:+.1f}" for row in rows])
    changed = [row.name for row in rows if found.change(conclusion, row)]
    verdict = (
        f"With {listed(changed)} another conclusion follows: what a shift shared by all assays of one blood sample may "
        "do is what a null lives on."
        if changed
        else "None of these changes what is concluded."
    )
    return [
        "Lead of the best mechanism in which the treatment acts over the best null, in nats, as the sample effect "
        f"varies: as it stands {-found.base.values['null_lead']:+.1f}; {told}. {verdict}"
    ]


# conclusions with more changes than this are named by their number only
_NAMED = 3


def changes(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "What would change it?"
    failed = job.output.said("Robustness")
    found = job.robustness
    if found is None:
        why = "Left out as asked." if "robustness" in job.without else "The conclusions were not drawn again."
        return section("robustness", title, failed, paragraphs([] if failed else [why]))
    if not found.conclusions:
        why = "The model and the variants of this case lead to no conclusion that could be drawn again."
        return section("robustness", title, failed, paragraphs([why, *found.left_out]))
    from cellsim import plots

    asked = found.questions()
    file = job.output.csv("tables/conclusions.csv", asked)
    return section(
        "robustness",
        title,
        paragraphs(
            [
                f"Every conclusion was drawn again under {len(found.rows) - 1} alterations, each of one thing that is not "
                f"known or might have been otherwise: draws of the posterior of each of {listed(list(found.variants))} were weighted for "
                "it, or moved and then weighted, with unknown sampling days integrated out; each evidence carries the Pareto k of its "
                "weights in the table's file. "
                "Leads of two lines that differ by a few tenths of a nat are the same.",
                *change_words(found),
            ]
        ),
        table(
            asked.drop(columns="margin"),
            names={"value": "as it stands", "changes": "alterations that change it", "asked": "of"},
            file=file,
        ),
        job.output.draw(
            "robustness",
            "Every conclusion (columns, with its threshold) under every alteration (lines); coloured where another "
            "conclusion follows than from the case as it stands.",
            lambda: plots.robustness(found),
            alt="Table of conclusions under alterations",
        ),
        details("Each conclusion in full", paragraphs(sentences(found))),
    )


def change_words(found: Robustness) -> list[str]:
    """What nothing changes, and what changes the rest."""
    asked = found.questions()
    asked = asked[asked["asked"] > 0]
    firm = asked[asked["changes"] == 0]
    said = []
    if not firm.empty:
        said.append(f"Changed by nothing: {'; '.join(firm['says'])}.")
    flips = found.flips()
    for one in records(asked[asked["changes"] > 0]):
        names = list(flips["name"][flips["conclusion"] == one.conclusion])
        which = listed(names) if len(names) <= _NAMED else f"{one.changes} of {one.asked} alterations"
        advice = ". Nothing should rest on it" if one.changes > one.asked / 3 else ""
        said.append(f"“{one.says[0].upper()}{one.says[1:]}” changes with this altered: {which}{advice}.")
    return said
