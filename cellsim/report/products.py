"""What a report says about schedules: against each other, under every variant, the prior's answer beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import amounts_text
from cellsim.plots.style import unit_text
from cellsim.report.report_summary import listed, records, signed
from cellsim.results import DATA_DRIVEN, PRIOR_DRIVEN, UNTOUCHED, verdict
from cellsim.sweeps.agreement import SAID
from cellsim.sweeps.learned import beside_prior

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.case.outcomes import Outcome, ReportQuestion
    from cellsim.report.report_summary import Approximated
    from cellsim.sweeps.sweep_result import Sweep

__all__ = [
    "across_variants",
    "contrast_table",
    "contrast_words",
    "main_outcome",
    "more_or_less",
    "persists_words",
    "plan_table",
    "plan_words",
    "watched",
]

# chances nearer than this to the prior's were not learned
SAME_CHANCE = 0.1
# a difference below half a day, or a hundredth of the quantity, is none that matters
LEAST_DAYS, LEAST_SHARE = 0.5, 0.01


def main_outcome(result: Sweep) -> Outcome | None:
    """The first outcome of the case that a sweep was asked; None when it was asked none."""
    asked = {(each.measure, each.quantity) for each in result.asked}
    return next((each for each in result.case.outcomes if each.key in asked), None)


def watched(case: Case) -> tuple[tuple[str, str], ...]:
    """Measure and quantity of everything worth a line: outcomes, and how much there was of each product."""
    amounts = [("area", each.quantity) for each in case.products if each.quantity]
    return (*(each.key for each in case.outcomes), *amounts)


def _of(table: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return table[(table["measure"] == key[0]) & (table["quantity"] == key[1])]


def _least(outcome: Outcome) -> float:
    """A difference of this much is none."""
    return LEAST_DAYS if outcome.measure == "days below" else 0.0


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---- contrast between products ----------------------------------------------------------------------------


def contrast_table(
    sweeps: Mapping[str, Sweep], first: str, second: str, question: ReportQuestion
) -> pd.DataFrame:
    """One pair of plans under every variant: posterior beside prior.

    Returns
    -------
    DataFrame
        Columns variant, name, measure, quantity, unit, difference, low, high, above, prior_difference, prior_low,
        prior_high, prior_above, contraction, shift, verdict, note, approximation, doubts (as
        :meth:`cellsim.Sweep.contrasts`).
    """
    import pandas as pd

    rows = []
    for variant, result in sweeps.items():
        table = result.contrasts()
        names = {each.id: each.name for each in result.case.variants}
        pair = table[(table["first"] == first) & (table["second"] == second)]
        for outcome in (each for each in result.case.outcomes if not each.chance and each.measure != "value"):
            for one in _of(pair, outcome.key).to_dict("records"):
                kept = {key: value for key, value in one.items() if key not in ("first", "second", "day")}
                rows.append({"variant": variant, "name": names.get(variant, ""), **kept})
        rows += _amount_rows(result, first, second, question, variant, names.get(variant, ""))
    return pd.DataFrame(rows)


def _amount_rows(
    result: Sweep, first: str, second: str, question: ReportQuestion, variant: str, name: str
) -> list[dict[Any, Any]]:
    """How much there was of whichever of both products: the sum of the areas."""
    places = _amount_places(result, question)
    if not places:
        return []
    plans = list(result.schedules)
    i, j = plans.index(first), plans.index(second)

    def apart(draws: np.ndarray) -> np.ndarray:
        """The history's cells are in both plans and cancel; what the solver cannot tell apart is equal."""
        one, two = draws[i, places].sum(axis=0), draws[j, places].sum(axis=0)
        return np.where(np.isclose(one, two, rtol=1e-6, atol=0), 0.0, one - two)

    found, before = apart(result.posterior), apart(result.prior)
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
    prior_low, prior_middle, prior_high = (
        np.quantile(before, [0.05, 0.5, 0.95]) if before.size else np.full(3, np.nan)
    )
    learned = beside_prior(found, before)
    return [
        {
            "variant": variant,
            "name": name,
            "measure": "area",
            "quantity": _amount_name(result.case, question),
            "unit": result.asked[places[0]].unit,
            "difference": float(middle),
            "low": float(low),
            "high": float(high),
            "above": learned.pop("above"),
            "prior_difference": float(prior_middle),
            "prior_low": float(prior_low),
            "prior_high": float(prior_high),
            **learned,
            "approximation": result.approximation.name,
            "doubts": result.approximation.brief,
        }
    ]


def _amount_places(result: Sweep, question: ReportQuestion) -> list[int]:
    """Where a sweep has the areas of what shows both products, as far as these add up."""
    names = (question.first, question.second)
    shown = {each.quantity for each in result.case.products if each.name in names and each.quantity}
    places = [k for k, each in enumerate(result.asked) if each.measure == "area" and each.quantity in shown]
    return places if len({result.asked[k].unit for k in places}) == 1 else []


def _amount_noun(case: Case, question: ReportQuestion) -> str:
    """What is left of the products, in the case's word for it."""
    first = next((each for each in case.products if each.name == question.first), None)
    label = [each.label for each in case.shown if first is not None and each.quantity == first.quantity]
    return label[0] if label else "amount"


def _amount_name(case: Case, question: ReportQuestion) -> str:
    return f"{_amount_noun(case, question)} of {question.first} and {question.second}"


def persists_words(
    source: Approximated, result: Sweep | None, first: str, second: str, question: ReportQuestion
) -> list[str]:
    """What "the first product persists longer than the second" owes to the prior.

    Parameters
    ----------
    source : Calibration or Posterior
        Whose parameters of persistence and rejection are counted.
    result : Sweep, optional
        With both plans.
    first, second : str
        The plans.
    question : ReportQuestion
        Which products these give, and what is claimed of them.

    Returns
    -------
    list of str
    """
    said = []
    table = source.table()
    about = table[table["group"].isin(source.case.groups_of("persistence", "rejection"))]
    learned = about[~about["verdict"].isin((PRIOR_DRIVEN, UNTOUCHED))]
    if not about.empty:
        which = (
            f"{listed(list(learned['parameter']))} left {'its prior' if len(learned) == 1 else 'their priors'}"
            if not learned.empty
            else "none has left its prior"
        )
        said.append(
            f"Of {len(about)} parameters that say how long the products last and what removes them {which}."
        )
    places = _amount_places(result, question) if result is not None else []
    if result is None or not places:
        return said
    plans = list(result.schedules)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [
            draws[plans.index(first), places].sum(axis=0) / draws[plans.index(second), places].sum(axis=0)
            for draws in (result.posterior, result.prior)
        ]
    (low, middle, high), (prior_low, prior_middle, prior_high) = (
        np.nanquantile(each, [0.05, 0.5, 0.95]) if each.size else np.full(3, np.nan) for each in ratios
    )
    said.append(
        f"{_sentence(_amount_noun(result.case, question))} over time, “{first}” over “{second}”: {middle:.2f} times as many (90 %: {low:.2f} to {high:.2f}); "
        f"the prior alone says {prior_middle:.2f} ({prior_low:.2f} to {prior_high:.2f})."
    )
    logs = [np.log(each[np.isfinite(each) & (each > 0)]) for each in ratios]
    if min(each.size for each in logs) > 1 and logs[1].std() > 0:
        moved = (logs[0].mean() - logs[1].mean()) / logs[1].std()
        # by the width of the middle 90 %, which single draws far out do not decide
        wide = [float(np.diff(np.quantile(each, [0.05, 0.95]))[0]) for each in logs]
        narrowed = 1 - (wide[0] / wide[1]) ** 2
        said.append(_owed(verdict(narrowed, moved), narrowed, moved, question.claim))
    return said


def _owed(found: str, narrowed: float, moved: float, claim: str) -> str:
    """What a ratio owes to the prior, by its verdict."""
    by = f"share learned {100 * max(narrowed, 0.0):.0f} %, moved by {moved:+.1f} prior standard deviations"
    if found == PRIOR_DRIVEN:
        return f"That is the prior's answer ({by}): “{claim}” was assumed, not learned from this patient."
    if found == DATA_DRIVEN:
        return f"How many times as many is the data's answer ({by})."
    return f"The data moved it and did not narrow it ({by}): look for a conflict of prior and data."


def contrast_words(
    table: pd.DataFrame,
    first: str,
    second: str,
    case: Case,
    question: ReportQuestion,
    evidence: Mapping[str, float] | None = None,
) -> list[str]:
    """What may be said about one product against another, variant by variant.

    Parameters
    ----------
    table : DataFrame
        From :func:`contrast_table`.
    first, second : str
        The two plans.
    case : Case
    question : ReportQuestion
    evidence : mapping of str to float, optional
        ln evidence of each variant, less the best; said beside what the variant claims.

    Returns
    -------
    list of str
    """
    if table.empty:
        return ["No variant could be asked."]
    said = []
    name, noun = _amount_name(case, question), f"{_amount_noun(case, question)} over time"
    lines = [(each.key, each.label, each.unit, _least(each)) for each in case.outcomes[:1]]
    units = dict(zip(table["quantity"], table["unit"], strict=True))
    for key, label, unit, least in (*lines, (("area", name), noun, unit_text(units.get(name, "")), 0.0)):
        part = _of(table, key)
        if not part.empty:
            words = " ".join(_directions(part, unit, least, evidence or {}))
            said.append(f"{_sentence(label)}, “{first}” minus “{second}”: {words}")
    return said


def _directions(part: pd.DataFrame, unit: str, least: float, evidence: Mapping[str, float]) -> list[str]:
    """Which variants see a difference at all, in which direction, and whether it was learned."""
    least = max(least, LEAST_SHARE * float(part["difference"].abs().max()))
    matters = part[part["difference"].abs().ge(least) & part["difference"].ne(0)]
    none = [variant for variant in part["variant"] if variant not in set(matters["variant"])]
    said = [f"no difference that matters under {listed(none)}."] if none else []
    for sign, word in zip((1, -1), more_or_less(unit), strict=True):
        each = [
            f"{one.variant}{_trailing(one.variant, evidence)} by {signed(abs(one.difference)).lstrip('+')} ({unit}; "
            f"90 %: {signed(one.low)} to {signed(one.high)}; larger in {100 * one.above:.0f} % of draws, of the "
            f"prior's {100 * one.prior_above:.0f} %)"
            for one in records(matters)
            if np.sign(one.difference) == sign
        ]
        if each:
            said.append(f"{_sentence(word)} under {listed(each)}.")
    if matters["difference"].gt(0).any() and matters["difference"].lt(0).any():
        said.append("The mechanisms disagree on the direction.")
    rows = records(matters)
    learned = [one.variant for one in rows if abs(one.above - one.prior_above) >= SAME_CHANCE]
    sized = [one.variant for one in rows if one.variant not in learned and one.verdict != PRIOR_DRIVEN]
    assumed = [one.variant for one in rows if one.variant not in (*learned, *sized)]
    if assumed:
        said.append(
            f"Under {listed(assumed)} the prior said so already, the direction and how much: assumed, not learned from "
            "this patient."
        )
    if sized:
        said.append(
            f"Under {listed(sized)} the prior said the direction already, but not how much: the direction was assumed, the "
            "size is the data's."
        )
    if learned:
        said.append(f"Under {listed(learned)} the data moved the chance by ten points or more.")
    return said


def _trailing(variant: str, evidence: Mapping[str, float]) -> str:
    """How far a variant's evidence lies behind the best, where that is known."""
    if variant not in evidence:
        return ""
    behind = signed(-evidence[variant]).lstrip("+")
    return f" ({behind} nats behind the best)" if evidence[variant] < 0 else " (best evidence)"


# ---- what-if dosing ---------------------------------------------------------------------------------------


def more_or_less(unit: str) -> tuple[str, str]:
    """The words for above and below: of what is counted, or of a level.

    Examples
    --------
    >>> more_or_less("days"), more_or_less("mm/h")
    (('more', 'fewer'), ('higher', 'lower'))
    """
    counted = unit.startswith("day") or "cells" in unit
    return ("more", "fewer") if counted else ("higher", "lower")


def plan_table(result: Sweep) -> pd.DataFrame:
    """One row a plan and watched measure, or every measure where none is watched: posterior and prior, amounts beside."""
    table = result.table()
    pairs = list(zip(table["measure"], table["quantity"], strict=True))
    chosen = [pair in watched(result.case) for pair in pairs]
    kept = (table[chosen] if any(chosen) else table).reset_index(drop=True)
    given = {name: amounts_text(plan, plan.products) or "0" for name, plan in result.delivered.items()}
    kept = kept.assign(given=[given[each] for each in kept["schedule"]])
    return kept.drop(columns="cells").rename(columns={"infusions": "doses"})


def plan_words(result: Sweep) -> list[str]:
    """Each plan against what was given, in sentences."""
    outcome = main_outcome(result)
    if outcome is None:
        return []
    table = result.contrasts()
    names = list(result.schedules)
    part = _of(table[table["first"] == names[0]], outcome.key)
    if part.empty:
        return []
    own = _of(result.table(), outcome.key).set_index("schedule")
    given = own.loc[names[0]]
    said = [
        f"{_sentence(outcome.label)} by day {result.until:g}, “{names[0]}”: {_with_prior(outcome, given)}."
    ]
    above, below = more_or_less(outcome.unit)
    for one in records(part):
        # the table holds first - second; a reader asks how the other compares with what was given
        median, low, high = -one.difference, -one.high, -one.low
        more, prior_more = 1 - one.above, 1 - one.prior_above
        if more >= SAID:
            verdict = above
        elif more <= 1 - SAID:
            verdict = below
        else:
            verdict = "not told apart"
        note = f" ({one.note})" if one.note else ""
        interval = "" if outcome.chance else f" (90 %: {signed(low)} to {signed(high)})"
        shown = (
            f"{100 * median:+.0f} points" if outcome.chance else f"{signed(median)} {outcome.unit}".rstrip()
        )
        said.append(
            f"“{one.second}”: {shown}{interval}, {above} in "
            f"{100 * more:.0f} % of draws (prior {100 * prior_more:.0f} %): {verdict}{note}."
        )
    return said


def _with_prior(outcome: Outcome, row: Any) -> str:
    """A number of a plan with its interval and the prior's number."""
    if outcome.chance:
        return f"{100 * row['estimate']:.0f} % (prior {100 * row['prior_estimate']:.0f} %)"
    shown = replace(outcome, unit="").text
    return (
        f"{outcome.text(row['estimate'])} (90 %: {shown(row['low'])} to {shown(row['high'])}; "
        f"prior {shown(row['prior_estimate'])})"
    )


def across_variants(sweeps: Mapping[str, Sweep]) -> tuple[pd.DataFrame, list[str]]:
    """The main outcome by plan and variant, and whether the ranking holds."""
    import pandas as pd

    columns: dict[str, dict[str, float]] = {}
    outcome = next((found for each in sweeps.values() if (found := main_outcome(each)) is not None), None)
    if outcome is None:
        return pd.DataFrame(), []
    for variant, result in sweeps.items():
        part = _of(result.table(), outcome.key)
        if not part.empty:
            columns[variant] = dict(zip(part["schedule"], part["estimate"], strict=True))
    if not columns:
        return pd.DataFrame(), []
    table = pd.DataFrame(columns).rename_axis("plan").reset_index()
    if len(columns) < 2 or not outcome.better:
        return table, []
    sign = 1.0 if outcome.better == "higher" else -1.0
    best: dict[str, list[str]] = {}
    for variant, values in columns.items():
        most = max(sign * value for value in values.values())
        near = _least(outcome) or LEAST_SHARE * max(map(abs, values.values()))
        best[variant] = [name for name, value in values.items() if sign * value >= most - near]
    silent = [variant for variant, names in best.items() if len(names) == len(columns[variant])]
    tops: dict[str, list[str]] = {}
    for variant, names in best.items():
        if variant not in silent:
            tops.setdefault(" or ".join(f"“{name}”" for name in names), []).append(variant)
    said = []
    if silent:
        apart = "half a day" if outcome.measure == "days below" else "a hundredth"
        said.append(
            f"Under {listed(silent)} no plan differs from any other by {apart}: the plans do not matter there."
        )
    if len(tops) == 1:
        [(plan, where)] = tops.items()
        said.append(f"By {outcome.label} ({outcome.better} is better) {plan} leads under {listed(where)}.")
    elif tops:
        each = [f"{plan} under {listed(where)}" for plan, where in tops.items()]
        said.append(
            f"Which plan leads by {outcome.label} ({outcome.better} is better) depends on the mechanism: {'; '.join(each)}."
        )
    return table, said
