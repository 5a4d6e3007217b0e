"""The first screen of a report: who was treated with what, the verdict, the what-if figure, the plans, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.comparison.verdicts import off_of
from cellsim.dosing.infusions import doses_text
from cellsim.plots.style import unit_text
from cellsim.plots.sweeps import course_text, default_course, default_measures_shown
from cellsim.predictions.plans import AS_GIVEN
from cellsim.report.elements import (
    Shown,
    failure,
    odds,
    paragraphs,
    table,
    typeset,
)
from cellsim.report.products import SAME_CHANCE, main_outcome
from cellsim.report.report_summary import listed
from cellsim.report.schedules import chances_of_better, contrast_rows, ordered, plan_rows
from cellsim.results import PRIOR_DRIVEN, level_words, number
from cellsim.sweeps.agreement import SEPARATES, Agreement, agreement, chances_of

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.outcomes import Outcome
    from cellsim.predictions.measures import Asked
    from cellsim.report.steps import Job
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["first_screen", "verdict_sentence"]

_LEFT_OUT = {
    "leave-out": "prediction of findings that were left out",
    "robustness": "the conclusions under other assumptions",
}
_HOW = {
    "collapsed": "random draws, each weighted by how well it agrees with the findings",
    "chains": "a random walk among values that agree with the findings",
    "laplace": "a normal distribution around the best fit",
}
# so many outcomes have a column of their own; the others stand among the details
_MOST_COLUMNS = 4


def first_screen(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    case = job.case
    count = len(case.visits)
    title = f"{case.name}: what {count} visit{'s' * (count != 1)} of one patient can and cannot tell"
    said = "" if job.main is None else (job.output.attempt("Verdict", lambda: verdict_sentence(job)) or "")
    verdict = f'<p class="verdict">{escape(typeset(said))}</p>' if said else ""
    head = f'<h1 id="first-title">{escape(typeset(title))}</h1>{_who(job)}{verdict}'
    plans = job.output.part("Table of plans", lambda: _plans(job))
    left = f"{head}{_missing(job)}{plans}{paragraphs([*_reading(job), *_left_out(job)], kind='quiet')}"
    right = _figure(job) + _limits(job)
    body = f'<div class="beside"><div>{left}</div><div class="picture">{right}</div></div>'
    return (
        "first",
        "Summary",
        f'<section id="first" class="first" aria-labelledby="first-title">{body}</section>',
    )


# ---- who and what ---------------------------------------------------------------------------------


def _who(job: Job) -> str:
    case = job.case
    scored = (
        len(case.rows) + sum(each.scored for each in case.censored) + sum(each.scored for each in case.grades)
    )
    subject = ", ".join(filter(None, (case.patient, case.design))) or "one patient"
    lines = [
        ("Patient", f"{subject[:1].upper()}{subject[1:]}; {scored} scored findings of {len(case.analytes)} laboratory values (analytes)"),
        ("Treatment", _treatment(case)),
        ("Visits", "; ".join(f"{each.name or each.id}, {_day_words(each.nominal, each.earliest, each.latest)}" for each in case.visits)),
    ]  # fmt: skip
    if job.main:
        about = next((each for each in case.variants if each.id == job.main), None)
        meaning = f": {about.meaning}" if about is not None and about.meaning else ""
        others = len(job.variants) - 1
        more = f" {others} other{'s' * (others != 1)} {'are' if others != 1 else 'is'} compared with it."
        lines.append(
            (
                "Mechanism",
                f"“{job.called(job.main)}”{meaning or '.'}{more * (others > 0)}",
            )
        )
    shown = "".join(f"<dt>{name}</dt><dd>{escape(typeset(text))}</dd>" for name, text in lines)
    return f'<dl class="who">{shown}</dl>'


def _treatment(case: Case) -> str:
    known = {each.name: each for each in case.products}
    said = []
    for name in dict.fromkeys(each.product for each in case.timeline.infusions):
        own = [each for each in case.timeline.infusions if each.product == name]
        label = known[name].label if name in known and known[name].label else ""
        days = sorted(each.day for each in own)
        when = f"day {days[0]:g}" if len(own) == 1 else f"days {days[0]:g} to {days[-1]:g}"
        called = f"“{name}”" + f", {label}" * bool(label and label != name)
        said.append(f"{called}: {doses_text(own, case.products)}, {when}")
    return "; ".join(said) or "nothing was given"


def _day_words(nominal: float, earliest: float, latest: float) -> str:
    return f"day {nominal:g}" if earliest == latest else f"about day {nominal:g} ({earliest:g} to {latest:g})"


# ---- the verdict ----------------------------------------------------------------------------------


def verdict_sentence(job: Job) -> str:
    """The whole report in one sentence: which plan, whether that was learned, and whether the mechanism is known.

    Parameters
    ----------
    job : Job

    Returns
    -------
    str
        Empty where nothing can be said.
    """
    said = [each for each in (_plans_clause(job), _mechanism_clause(job)) if each]
    whole = ", and ".join(said)
    return f"{whole[:1].upper()}{whole[1:]}." if whole else ""


def _plans_clause(job: Job) -> str:
    result = job.sweeps.get(job.main or "")
    outcome = None if result is None else main_outcome(result)
    if result is None or outcome is None or not outcome.better or len(result.schedules) < 2:
        return ""
    chances = chances_of_better(result, outcome)
    if not chances:
        return ""
    what = f"by {outcome.label}"
    found = _agreements(job, result, outcome, chances)
    sign = 1.0 if outcome.better == "higher" else -1.0
    own = result.table()
    own = own[(own["measure"] == outcome.key[0]) & (own["quantity"] == outcome.key[1])].set_index("schedule")

    def best(names: list[str]) -> str:
        return max(names, key=lambda name: sign * own["estimate"][name])

    if said := [name for name, each in found.items() if each.better == "first"]:
        words = f"{what}, “{best(said)}” would have done better than what was given{_still_to_come(job)}"
        posterior, prior = chances[best(said)]
        if abs(posterior - prior) < SAME_CHANCE:
            return f"{words}, which was assumed and not learned from this patient"
        return f"{words}, which is learned from this patient"
    below = [name for name, each in found.items() if each.better == "second"]
    if len(below) == len(chances):
        words = f"{what}, what was given does better than {'every other plan' if len(below) > 1 else 'the other plan'}{_still_to_come(job)}"
    elif leaning := [name for name, each in found.items() if each.leans == "first"]:
        called = {name: job.called(name) for name in job.sweeps}
        words = f"{what}, whether “{best(leaning)}” would have done better than what was given hangs on this: {found[best(leaning)].words(called)}"
    else:
        words = f"{what}, no other plan is clearly better than what was given"
    moved = [name for name, (after, prior) in chances.items() if abs(after - prior) >= SAME_CHANCE]
    table = result.contrasts()
    first = table[
        (table["first"] == AS_GIVEN)
        & (table["measure"] == outcome.key[0])
        & (table["quantity"] == outcome.key[1])
    ]
    assumed = bool((first["verdict"] == PRIOR_DRIVEN).all()) and not moved
    return words + (", as was assumed before the data" if assumed else "")


def _agreements(job: Job, result: Sweep, outcome: Outcome, plans: Iterable[str]) -> dict[str, Agreement]:
    """Whether each plan is said to do better than what was given (``"first"``), under every mechanism asked so far."""
    place = [(each.measure, each.quantity) for each in result.asked].index(outcome.key)
    sign = 1.0 if outcome.better == "higher" else -1.0
    evidence = job.compared.known if job.known else {}
    known = {name: each.log_evidence for name, each in evidence.items()}
    errors = {name: each.error for name, each in evidence.items()}
    return {
        plan: agreement(chances_of(ordered(job), plan, AS_GIVEN, place, sign), known, errors)
        for plan in plans
    }


def _still_to_come(job: Job) -> str:
    """Under how many mechanisms that was asked, while not all were."""
    missing = len(job.variants) - len(job.sweeps)
    if missing <= 0:
        return ""
    return f" under {listed([f'“{job.called(name)}”' for name in job.sweeps])} ({missing} other mechanism{'s' * (missing != 1)} not asked)"


def _mechanism_clause(job: Job) -> str:
    if len(job.known) < 2:
        return ""
    found = job.compared
    evidences, far = found.evidences, SEPARATES + off_of(found)
    nulls = [evidences[name] for name in found.roles.nulls if name in evidences]
    acting = [evidences[name] for name in found.roles.acting if name in evidences]
    if nulls and acting:
        lead = max(acting) - max(nulls)
        if lead > far:
            return f"the data favour mechanisms in which the treatment acts (odds {odds(lead)})"
        if lead < -far:
            return f"the data favour mechanisms in which the treatment does nothing (odds {odds(-lead)})"
        side = "that it does" if lead >= 0 else "that it does nothing"
        return f"the data do not decide whether the treatment acts at all (odds {odds(abs(lead))} {side})"
    first, second = found.order[:2]
    lead = evidences[first] - evidences[second]
    if lead > far:
        return f"the data favour the mechanism “{job.called(first)}” (odds {odds(lead)} against the next one)"
    return (
        f"the data do not decide between “{job.called(first)}” and “{job.called(second)}” (odds {odds(lead)})"
    )


# ---- figure and table of plans --------------------------------------------------------------------


def _figure(job: Job) -> str:
    from cellsim import plots

    result = job.sweeps.get(job.main or "")
    if result is None or not result.curves:
        return ""
    shown = course_text(job.case, default_course(result))
    outcome = main_outcome(result)
    told = _told(result, outcome) if outcome is not None else ""
    return job.output.draw(
        "what_if",
        f"{shown[:1].upper()}{shown[1:]} under every plan (line: median; bands: 50 % and 90 % of the draws; dashed: as given). "
        "Right: filled after the data (posterior), hollow before (prior).",
        lambda: plots.sweep(result),
        alt=f"Time courses of {shown} under {listed([f'“{name}”' for name in result.schedules])}.{told} "
        "The table of plans holds the same numbers.",
        at=plan_rows(job, job.main or "").file,
        of=(result,),
    )


def _told(result: Sweep, outcome: Outcome) -> str:
    table = result.table()
    own = table[(table["measure"] == outcome.key[0]) & (table["quantity"] == outcome.key[1])]
    each = [
        f"“{name}” {_value_text(outcome, value)}"
        for name, value in zip(own["schedule"], own["estimate"], strict=True)
    ]
    return f" {outcome.label[:1].upper()}{outcome.label[1:]}: {listed(each)}."


def _value_text(outcome: Outcome | None, value: float) -> str:
    if outcome is not None and outcome.chance:
        return f"{100 * value + 0:.0f} %"
    return f"{value:.0f}" if outcome is not None and outcome.measure == "days below" else number(value)


def _places(result: Sweep) -> list[int]:
    """What has a column: the outcomes of the case, or the first measures asked where it has none."""
    asked = {(each.measure, each.quantity): k for k, each in enumerate(result.asked)}
    own = [asked[each.key] for each in result.case.outcomes if each.key in asked]
    return own[:_MOST_COLUMNS] or default_measures_shown(result)


def _head(outcome: Outcome | None, asked: Asked, case: Case) -> str:
    if outcome is None:
        name = next(
            (each.name for each in case.analytes if each.id == asked.quantity),
            asked.quantity,
        )
        label = f"{asked.measure} of {name}" + (f", day {asked.day:g}" if asked.day == asked.day else "")
        unit, better = unit_text(asked.unit), ""
    else:
        label, unit, better = outcome.label, unit_text(outcome.unit), outcome.better
    notes = [
        each
        for each in (
            unit if unit not in label else "",
            f"{better} is better" if better else "",
        )
        if each
    ]
    return f"{label[:1].upper()}{label[1:]}" + (f" ({'; '.join(notes)})" if notes else "")


def _plans(job: Job) -> str:
    import pandas as pd

    result = job.sweeps.get(job.main or "")
    if result is None:
        return ""
    case, frame, places = job.case, result.table(), _places(result)
    rows, pairs = plan_rows(job, job.main or ""), contrast_rows(job, job.main or "")
    count = len(result.asked)
    outcome = main_outcome(result)
    chances = chances_of_better(result, outcome) if outcome is not None else {}
    lines = []
    for i, (name, plan) in enumerate(result.delivered.items()):
        cells: dict[str, Shown] = {"Plan": Shown(name, doses_text(plan.infusions, plan.products))}
        for k in places:
            line = frame.iloc[i * count + k]
            own = next(
                (each for each in case.outcomes if each.key == (line["measure"], line["quantity"])),
                None,
            )
            at = rows.at(i * count + k)
            cells[_head(own, result.asked[k], case)] = Shown(
                _interval(own, line, ""),
                f"prior {_interval(own, line, 'prior_')}",
                at,
            )
        if chances:
            found = chances.get(name)
            cells["Chance of doing better than as given"] = (
                Shown(
                    f"{100 * found[0]:.0f} %",
                    f"prior {100 * found[1]:.0f} %",
                    pairs.at(_pair_row(result, name, outcome)),
                )
                if found is not None
                else Shown("–")
            )
        lines.append(cells)
    caption = (
        f"Plans, until day {result.until:g}: median of {result.posterior.shape[2]} draws with its {level_words(frame)}; "
        "beneath it the same before the data (the prior)."
    )
    return table(pd.DataFrame(lines), caption=caption, stacked=True)


def _pair_row(result: Sweep, name: str, outcome: Outcome | None) -> int:
    table = result.contrasts()
    found = (table["first"] == AS_GIVEN) & (table["second"] == name)
    if outcome is not None:
        found &= (table["measure"] == outcome.key[0]) & (table["quantity"] == outcome.key[1])
    return int(np.flatnonzero(found.to_numpy())[0])


def _interval(outcome: Outcome | None, line: Any, prefix: str) -> str:
    middle, low, high = (line[f"{prefix}{each}"] for each in ("estimate", "low", "high"))
    shown = _value_text(outcome, middle)
    if middle != middle:
        return "–"
    if (outcome is not None and outcome.chance) or low != low:
        return shown
    return f"{shown} ({_value_text(outcome, low)} to {_value_text(outcome, high)})"


# ---- how to read it, and what it is not for -------------------------------------------------------


def _reading(job: Job) -> Sequence[str]:
    if job.main is None or job.main not in job.sweeps:
        return []
    source = job.source(job.main)
    drawn = job.posteriors.get(job.main)
    worth = f", worth {drawn.effective:.0f} independent ones" if drawn is not None else ""
    doubts = len(source.approximation.doubts)
    doubted = (
        f"{doubts} reason{'s' * (doubts != 1)} to doubt the computation {'are' if doubts != 1 else 'is'} named at the end of this page."
        if doubts
        else "Nothing gives reason to doubt the computation."
    )
    return [
        "How to read it: a mechanism is a set of equations for how the treatment may act; a draw is one set of values for its "
        "parameters that agrees with the findings. “Before the data” is what was assumed (the prior). Where a number is the same "
        "before and after the data, it was assumed and not learned from this patient.",
        f"All numbers come from draws by {source.approximation.name}{worth}"
        + (f": {how}" if (how := _HOW.get(source.approximation.kind, "")) else "")
        + f". {doubted}",
    ]


def _limits(job: Job) -> str:
    said = (
        "Do not choose, change or stop a treatment because of this report. It describes one patient and proves nothing about "
        "others; the order of the plans rests in part on assumptions."
    )
    return f'<p class="label"><strong>{escape(typeset(job.case.label))}</strong> {said}</p>'


def _left_out(job: Job) -> list[str]:
    return [f"Left out as asked: {listed([_LEFT_OUT[each] for each in job.without])}."] if job.without else []


def _missing(job: Job) -> str:
    """What is still to come or was interrupted, and what failed."""
    out = []
    if job.waiting:
        come = dict.fromkeys(
            "the other mechanisms" if each.variant is not None else each.words for each in job.waiting
        )
        out.append(
            "This page is not finished: it is written again as results come, so open it again later. Still to come: "
            f"{listed(list(come))}."
        )
    if job.stopped:
        out.append(
            f"Interrupted during “{job.stopped}”: what was ready then is below, what comes after it is missing."
        )
    broken = [f"{step}: {why}" for step, why in list(job.output.failures.items())]
    failed = failure(f"{len(broken)} of the steps", "\n".join(broken)) if broken else ""
    return paragraphs(out, kind="quiet") + failed
