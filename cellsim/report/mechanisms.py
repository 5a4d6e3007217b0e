"""The parts of a report on the competing mechanisms: how they compare, and what would change the conclusions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from math import isnan
from typing import TYPE_CHECKING, Any

from cellsim.case.records import variant_names
from cellsim.comparison.reweighting import DRAWS
from cellsim.comparison.robustness_table import sentences
from cellsim.comparison.verdicts import off_of, verdict_sentences
from cellsim.plots.style import unit_text
from cellsim.report.elements import Shown, details, odds, paragraphs, section, table
from cellsim.report.products import main_outcome
from cellsim.report.report_summary import listed, records, variants_table
from cellsim.report.schedules import across, contrast, products_compared
from cellsim.results import number
from cellsim.sweeps.agreement import SEPARATES

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.report.page import RowsPage
    from cellsim.report.steps import Job

__all__ = ["by_names", "change_words", "changes", "compared_words", "variants_compared"]

# what the page shows of a comparison's table; the file has the rest
_COLUMNS = {
    "variant": "mechanism",
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


def by_names(found: Comparison) -> Comparison:
    """The same comparison with every variant under what it is called, for sentences and figures.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    Comparison
    """
    if not found.fits:
        return found
    called = variant_names(next(iter(found.fits.values())).case.variants)
    changed: dict[str, Any] = {}
    for each in fields(found):
        value = getattr(found, each.name)
        if isinstance(value, Mapping):
            changed[each.name] = {called.get(name, name): one for name, one in value.items()}
    powers = tuple(
        replace(
            one,
            first=called.get(one.first, one.first),
            second=called.get(one.second, one.second),
        )
        for one in found.powers
    )
    return replace(found, **changed, powers=powers)


def variants_compared(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "Mechanisms compared: which of them do the findings favour?"
    failed = [job.output.said(f"Calibration of {job.called(name)}") for name in job.variants]
    failed.append(job.output.said("Comparison of the variants"))
    if not job.known:
        said = "No mechanism has draws yet, so that no evidence is known."
        return section("variants", title, *failed, paragraphs([said] if job.fits else []))
    from cellsim import plots

    found = job.compared
    named = by_names(found)
    frame = found.table()
    rows = job.output.rows(
        "tables/variants",
        frame,
        "Evidence of every mechanism",
        draws=job.drawn_from(*found.fits),
    )
    picture = job.output.draw(
        "evidence",
        f"How far the evidence of each mechanism lies behind the best, on a natural log scale (3 to the left is odds of 1 to 20), by {named.by}; "
        "hollow: by Laplace's approximation"
        + "; squares: the treatment does nothing" * bool(found.roles.nulls)
        + ". Within the dark band odds are below 20 to 1.",
        lambda: plots.evidence(named),
        alt="Evidence of every mechanism; the table of mechanisms has the numbers",
        folded=True,
        at=rows.file,
    )
    return section(
        "variants",
        title,
        *failed,
        job.output.part(
            "Words on the variants",
            lambda: paragraphs(compared_words(found), at=rows.file),
        ),
        job.output.part(
            "Words on the sample effect",
            lambda: paragraphs(sample_effect_words(job.robustness)),
        ),
        job.output.part("Table of mechanisms", lambda: _mechanisms(job, found, rows)),
        job.output.part("Words across mechanisms", lambda: across(job)),
        job.output.part(
            "Products under every mechanism",
            lambda: contrast(job) if products_compared(job) else "",
        ),
        details(
            "How the evidences were found, and how sure they are",
            picture,
            paragraphs(
                [
                    *verdict_sentences(named),
                    *(f"Doubt: {each}" for each in named.doubts),
                ]
            ),
            _evidences(named, rows),
        ),
        job.output.part("Words on other priors", lambda: _other_priors(job, named)),
        job.output.part("Likelihood of each part", lambda: _parts(job)),
    )


def compared_words(found: Comparison) -> list[str]:
    """Which mechanisms the data favour, which cannot be told apart, and how those fare in which the treatment does nothing.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    list of str
        Odds are ratios of evidences.
    """
    called = variant_names(next(iter(found.fits.values())).case.variants)
    order, evidences = found.order, found.evidences
    name = {each: f"“{called.get(each, each)}”" for each in order}
    if len(order) < 2:
        return ["There is one mechanism only, so nothing can be said against any other."]
    far = SEPARATES + off_of(found)
    near = [each for each in order[1:] if evidences[order[0]] - evidences[each] <= far]
    behind = [each for each in order[1:] if each not in near]
    said = [
        "Evidence is the probability that a mechanism gave to the findings before it had seen them. Odds compare two evidences; "
        "below 20 to 1 they decide nothing.",
    ]
    leads = f"{name[order[0]]} has the greatest evidence."
    if near:
        each = [f"{name[one]} ({odds(evidences[order[0]] - evidences[one])})" for one in near]
        leads += f" Not told apart from it: {listed(each)}."
    if behind:
        each = [f"{name[one]} ({odds(evidences[order[0]] - evidences[one])})" for one in behind]
        leads += f" Clearly behind: {listed(each)}."
    said.append(leads)
    nulls = [one for one in order if one in found.roles.nulls]
    acting = [one for one in order if one in found.roles.acting]
    if nulls and acting:
        lead = evidences[acting[0]] - evidences[nulls[0]]
        verdict = (
            "the findings speak for an effect of the treatment"
            if lead > far
            else "the findings speak against an effect of the treatment"
            if lead < -far
            else "the findings neither show nor exclude an effect of the treatment"
        )
        said.append(
            f"In {listed([name[one] for one in nulls])} the treatment does nothing. The odds of the best mechanism in which it "
            f"acts against the best of these are {odds(lead)}: {verdict}."
        )
    return said


def _mechanisms(job: Job, found: Comparison, rows: RowsPage) -> str:
    """One row a mechanism: what it says, its odds, and the main outcome as given."""
    import pandas as pd

    meanings = {each.id: each.meaning for each in job.case.variants}
    evidences, order = found.evidences, found.order
    lines = []
    for name in order:
        cells: dict[str, Shown] = {"Mechanism": Shown(job.called(name), meanings.get(name, ""))}
        if len(order) > 1:
            behind = evidences[order[0]] - evidences[name]
            cells["Odds of the best against it"] = Shown("the best" if name == order[0] else odds(behind))
        result = job.sweeps.get(name)
        outcome = main_outcome(result) if result is not None else None
        if result is not None and outcome is not None and not outcome.chance:
            asked = result.table()
            own = (asked["measure"] == outcome.key[0]) & (asked["quantity"] == outcome.key[1])
            one: Any = asked[own].iloc[0]
            unit = unit_text(outcome.unit)
            head = f"{outcome.label[:1].upper()}{outcome.label[1:]}, as given" + (
                f" ({unit})" if unit and unit not in outcome.label else ""
            )
            cells[head] = Shown(
                f"{outcome_text(outcome, one['estimate'])} ({outcome_text(outcome, one['low'])} to {outcome_text(outcome, one['high'])})"
            )
        lines.append(cells)
    at = rows.places(range(len(order)))
    caption = "The mechanisms, the greatest evidence first" if len(order) > 1 else "The mechanism"
    return table(pd.DataFrame(lines).fillna("–"), caption=caption, at=at, stacked=True)


def outcome_text(outcome: Any, value: float) -> str:
    """A value of an outcome without its unit: days whole, others to three digits."""
    return f"{value:.0f}" if outcome.measure == "days below" else number(value)


def _evidences(named: Comparison, rows: RowsPage) -> str:
    frame = named.table()
    shown = frame[[each for each in _COLUMNS if not frame[each].isna().all()]].round(3)
    for each in _TENTHS:
        if each in shown:
            # three digits of a number near -325 would make all alike
            shown[each] = ["" if isnan(value) else f"{value:.1f}" for value in shown[each]]
    return table(shown, names=_COLUMNS, file=rows.file)


def _parts(job: Job) -> str:
    from cellsim import plots

    called = {job.called(name): fit for name, fit in job.fits.items()}
    return details(
        "Likelihood of each part at the optimum, which rewards freedom and is no verdict",
        table(
            variants_table(called).drop(columns=["name", "meaning", "ln_evidence", "less_the_best"]),
            names={
                "variant": "mechanism",
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
            lambda: plots.variants(called),
            alt="Evidence and likelihood of every mechanism; the table above has the numbers",
            folded=True,
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
        table(
            ranks.round(2),
            names={"half": "at half the power", "twice": "at twice"},
            file=file,
        ),
    )


def sample_effect_words(found: Robustness | None) -> list[str]:
    """How the nulls fare when all assays of a sample may, or may not, shift together."""
    if found is None or not any(each.id == "null_lead" for each in found.conclusions):
        return []
    rows = [row for row in found.rows if row.group == "sample effect" and "null_lead" in row.values]
    if not rows:
        return []
    conclusion = next(each for each in found.conclusions if each.id == "null_lead")
    told = listed([f"with {row.name} {odds(-row.values['null_lead'])}" for row in rows])
    changed = [row.name for row in rows if found.change(conclusion, row)]
    verdict = (
        f"With {listed(changed)} another conclusion follows: what a shift shared by all assays of one blood sample may "
        "do is what a null lives on."
        if changed
        else "None of these changes what is concluded."
    )
    return [
        "Odds of the best mechanism in which the treatment acts against the best in which it does nothing, as the shift that all "
        f"assays of one blood sample share is varied: as it stands {odds(-found.base.values['null_lead'])}; {told}. {verdict}"
    ]


# alterations that are named beside a conclusion; of more, only the number is told
_NAMED = 2


def changes(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "What would change these conclusions?"
    failed = job.output.said("Robustness")
    found = job.robustness
    if found is None:
        why = (
            "The conclusions were not drawn again under other assumptions, as asked; the full report does that."
            if "robustness" in job.without
            else "The conclusions were not drawn again."
        )
        return section("robustness", title, failed, paragraphs([] if failed else [why]))
    if not found.conclusions:
        why = "The model and the variants of this case lead to no conclusion that could be drawn again."
        return section("robustness", title, failed, paragraphs([why, *found.left_out]))
    from cellsim import plots

    draws = job.drawn_from(*found.variants)
    every = job.output.rows(
        "tables/robustness",
        found.table(),
        "Every conclusion under every alteration",
        draws=draws,
    )
    rows = job.output.rows("tables/conclusions", found.questions(), "Every conclusion as it stands, and how far it goes", draws=draws)  # fmt: skip
    return section(
        "robustness",
        title,
        paragraphs(
            [
                f"Each conclusion was drawn again {len(found.rows) - 1} times, each time with one thing altered that is not known or "
                "might have been otherwise: a finding left out, another prior, another day.",
                *change_words(found),
            ],
            at=every.file,
        ),
        _conclusions(found, rows),
        details(
            "Every conclusion under every alteration",
            job.output.draw(
                "robustness",
                "Every conclusion (columns, with its threshold) under every alteration (lines); coloured where another "
                "conclusion follows than from the case as it stands.",
                lambda: plots.robustness(found),
                alt="Table of conclusions under alterations; the linked rows have the numbers",
                folded=True,
                at=every.file,
            ),
        ),
        details(
            "Each conclusion in full",
            paragraphs(
                [
                    *sentences(found),
                    f"How: up to {DRAWS} draws of the posterior of each of {listed([f'“{job.called(name)}”' for name in found.variants])} were "
                    "weighted for the alteration, or moved and then weighted, with unknown sampling days integrated out, or made afresh where weights cannot "
                    "be trusted; each evidence carries the Pareto k of its weights in the table, and what rests on a k above 0.7 is not concluded. Leads of two lines that differ by a few tenths of "
                    "a nat are the same.",
                ]
            ),
        ),
    )


def _conclusions(found: Robustness, rows: RowsPage) -> str:
    import pandas as pd

    asked = found.questions()
    lines = []
    for one in records(asked):
        names = _changed_by(found, one)
        lines.append(
            {
                "Conclusion": Shown(f"{one.says[:1].upper()}{one.says[1:]}", one.question),
                "Number": Shown(_measured(one.value, one.unit)),
                "Turns at": Shown(_measured(one.threshold, one.unit)),
                "Lowest and highest": Shown(
                    f"{_measured(one.lowest, one.unit)}; {_measured(one.highest, one.unit)}"
                    if one.asked
                    else "–"
                ),
                "Changed by": Shown(f"{one.changes} of {one.asked}" if one.asked else "not asked", names),
            }
        )
    caption = "Every conclusion: its number, where it would turn, how far the number goes over all alterations, and what changes it"
    return table(
        pd.DataFrame(lines),
        caption=caption,
        at=rows.places(range(len(asked))),
        stacked=True,
    )


def _measured(value: float, unit: str) -> str:
    """A conclusion's number as the rest of the page has such numbers: evidences as odds, chances in per cent."""
    if isnan(value):
        return "–"
    if unit == "nat":
        return f"odds {odds(value)}"
    return f"{100 * value:.0f} %" if unit == "probability" else f"{number(value)} {unit}"


def _changed_by(found: Robustness, one: Any) -> str:
    flips = found.flips()
    names = list(flips["name"][flips["conclusion"] == one.conclusion])
    return (
        listed(names)
        if len(names) <= _NAMED
        else f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    )


def change_words(found: Robustness) -> list[str]:
    """What nothing changes, what something changes, and on what nothing should rest."""
    asked = found.questions()
    asked = asked[asked["asked"] > 0]
    firm = list(asked["says"][asked["changes"] == 0])
    some = [one for one in records(asked) if 0 < one.changes <= one.asked / 3]
    weak = [one for one in records(asked) if one.changes > one.asked / 3]
    said = []
    if firm:
        said.append(f"Changed by nothing that was tried: {'; '.join(firm)}.")
    if some:
        each = [f"{one.says} ({one.changes} of {one.asked})" for one in some]
        said.append(f"Changed by some of it: {'; '.join(each)}.")
    if weak:
        each = [f"{one.says} ({one.changes} of {one.asked})" for one in weak]
        said.append(f"Changed by more than a third of it, so nothing should rest on this: {'; '.join(each)}.")
    return said
