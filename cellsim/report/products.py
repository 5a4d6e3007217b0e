"""What a report says about schedules: against each other, under every variant, the prior's answer beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import cells_text
from cellsim.predictions.sweeps import beside_prior
from cellsim.report.report_summary import listed, records, signed
from cellsim.results import DATA_DRIVEN, PRIOR_DRIVEN, UNTOUCHED, verdict

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.predictions.sweeps import Sweep
    from cellsim.report.report_summary import Approximated

__all__ = [
    "BENEFIT",
    "across_variants",
    "contrast_table",
    "contrast_words",
    "persists_words",
    "plan_table",
    "plan_words",
]

# chances nearer than this to the prior's were not learned
SAME_CHANCE = 0.1
# a difference below half a day, or a hundredth of the quantity, is none that matters
LEAST_DAYS, LEAST_SHARE = 0.5, 0.01
SURE = 0.95
BENEFIT = ("days below 0.5", "D")
WATCHED = (BENEFIT, ("peak", "load of cytokines"), ("area", "viable_auto"), ("area", "viable_allo"))


# ---- contrast between products ----------------------------------------------------------------------------


def contrast_table(sweeps: Mapping[str, Sweep], first: str, second: str) -> pd.DataFrame:
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
        for measure, quantity in WATCHED[:2]:
            for one in pair[(pair["measure"] == measure) & (pair["quantity"] == quantity)].to_dict("records"):
                kept = {key: value for key, value in one.items() if key not in ("first", "second", "day")}
                rows.append({"variant": variant, "name": names.get(variant, ""), **kept})
        rows += _viable_rows(result, first, second, variant, names.get(variant, ""))
    return pd.DataFrame(rows)


def _viable_rows(result: Sweep, first: str, second: str, variant: str, name: str) -> list[dict[Any, Any]]:
    """Viable cells of whichever product: the sum of the areas of all of them."""
    places = _viable_places(result)
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
            "quantity": "viable cells of both products",
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


def _viable_places(result: Sweep) -> list[int]:
    return [k for k, each in enumerate(result.asked) if each.measure == "area" and "viable" in each.quantity]


def persists_words(source: Approximated, result: Sweep | None, first: str, second: str) -> list[str]:
    """What "the first product persists longer than the second" owes to the prior.

    Parameters
    ----------
    source : Calibration, VariationalApproximation or Posterior
        Whose parameters of persistence and rejection are counted.
    result : Sweep, optional
        With both plans.
    first, second : str

    Returns
    -------
    list of str
    """
    said = []
    table = source.table()
    about = table[table["group"].isin(("persistence", "alloimmunity"))]
    learned = about[~about["verdict"].isin((PRIOR_DRIVEN, UNTOUCHED))]
    if not about.empty:
        which = (
            f"{listed(list(learned['parameter']))} left {'its prior' if len(learned) == 1 else 'their priors'}"
            if not learned.empty
            else "none has left its prior"
        )
        said.append(
            f"Of {len(about)} parameters that say how long cells live and whether they are rejected {which}."
        )
    places = _viable_places(result) if result is not None else []
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
        f"Viable cells over time, “{first}” over “{second}”: {middle:.2f} times as many (90 %: {low:.2f} to {high:.2f}); "
        f"the prior alone says {prior_middle:.2f} ({prior_low:.2f} to {prior_high:.2f})."
    )
    logs = [np.log(each[np.isfinite(each) & (each > 0)]) for each in ratios]
    if min(each.size for each in logs) > 1 and logs[1].std() > 0:
        moved = (logs[0].mean() - logs[1].mean()) / logs[1].std()
        # by the width of the middle 90 %, which single draws far out do not decide
        wide = [float(np.diff(np.quantile(each, [0.05, 0.95]))[0]) for each in logs]
        narrowed = 1 - (wide[0] / wide[1]) ** 2
        said.append(_owed(verdict(narrowed, moved), narrowed, moved))
    return said


def _owed(found: str, narrowed: float, moved: float) -> str:
    """What a ratio owes to the prior, by its verdict."""
    by = f"contraction {narrowed:.2f}, shift {moved:+.1f} prior sd"
    if found == PRIOR_DRIVEN:
        return f"That is the prior's answer ({by}): “own cells persist longer” was assumed, not learned from this patient."
    if found == DATA_DRIVEN:
        return f"How many times as many is the data's answer ({by})."
    return f"The data moved it and did not narrow it ({by}): look for a conflict of prior and data."


def contrast_words(
    table: pd.DataFrame, first: str, second: str, evidence: Mapping[str, float] | None = None
) -> list[str]:
    """What may be said about one product against another, variant by variant.

    Parameters
    ----------
    table : DataFrame
        From :func:`contrast_table`.
    first, second : str
        The two plans.
    evidence : mapping of str to float, optional
        ln evidence of each variant, less the best; said beside what the variant claims.

    Returns
    -------
    list of str
    """
    if table.empty:
        return ["No variant could be asked."]
    said = []
    for measure, quantity, noun, unit in (
        (*BENEFIT, "Days with the disease drive below one half", "days"),
        ("area", "viable cells of both products", "Viable cells over time", "10⁶ cells × day"),
    ):
        part = table[(table["measure"] == measure) & (table["quantity"] == quantity)]
        if not part.empty:
            words = " ".join(_directions(part, unit, evidence or {}))
            said.append(f"{noun}, “{first}” minus “{second}”: {words}")
    return said


def _directions(part: pd.DataFrame, unit: str, evidence: Mapping[str, float]) -> list[str]:
    """Which variants see a difference at all, in which direction, and whether it was learned."""
    least = max(LEAST_DAYS, LEAST_SHARE * float(part["difference"].abs().max()))
    matters = part[part["difference"].abs() >= least]
    none = [variant for variant in part["variant"] if variant not in set(matters["variant"])]
    said = [f"no difference that matters under {listed(none)}."] if none else []
    for sign, word in ((1, "More"), (-1, "Fewer")):
        each = [
            f"{one.variant}{_trailing(one.variant, evidence)} by {signed(abs(one.difference)).lstrip('+')} ({unit}; "
            f"90 %: {signed(one.low)} to {signed(one.high)}; larger in {100 * one.above:.0f} % of draws, of the "
            f"prior's {100 * one.prior_above:.0f} %)"
            for one in records(matters)
            if np.sign(one.difference) == sign
        ]
        if each:
            said.append(f"{word} under {listed(each)}.")
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


def plan_table(result: Sweep) -> pd.DataFrame:
    """One row a plan and watched measure, or every measure where none is watched: posterior and prior, cells beside."""
    table = result.table()
    pairs = list(zip(table["measure"], table["quantity"], strict=True))
    chances = ("all in range", "cytokines")
    watched = [pair in WATCHED or pair == chances for pair in pairs]
    kept = (table[watched] if any(watched) else table).reset_index(drop=True)
    return kept.assign(cells=[cells_text(each) for each in kept["cells"]])


def plan_words(result: Sweep) -> list[str]:
    """Each plan against what was given, in sentences."""
    table = result.contrasts()
    names = list(result.schedules)
    part = table[
        (table["first"] == names[0]) & (table["measure"] == BENEFIT[0]) & (table["quantity"] == BENEFIT[1])
    ]
    if part.empty:
        return []
    own = result.table()
    own = own[(own["measure"] == BENEFIT[0]) & (own["quantity"] == BENEFIT[1])].set_index("schedule")
    given = own.loc[names[0]]
    said = [
        f"“{names[0]}”: {given['estimate']:.0f} days of {result.until:g} with the disease drive below one half "
        f"(90 %: {given['low']:.0f} to {given['high']:.0f}; prior {given['prior_estimate']:.0f})."
    ]
    for one in records(part):
        # the table holds first - second; a reader asks how the other compares with what was given
        median, low, high = -one.difference, -one.high, -one.low
        more, prior_more = 1 - one.above, 1 - one.prior_above
        if more >= SURE:
            verdict = "more"
        elif more <= 1 - SURE:
            verdict = "fewer"
        else:
            verdict = "not told apart"
        note = f" ({one.note})" if one.note else ""
        said.append(
            f"“{one.second}”: {signed(median)} days (90 %: {signed(low)} to {signed(high)}), more in "
            f"{100 * more:.0f} % of draws (prior {100 * prior_more:.0f} %): {verdict}{note}."
        )
    return said


def across_variants(sweeps: Mapping[str, Sweep]) -> tuple[pd.DataFrame, list[str]]:
    """Days of the disease drive below one half by plan and variant, and whether the ranking holds."""
    import pandas as pd

    columns: dict[str, dict[str, float]] = {}
    for variant, result in sweeps.items():
        table = result.table()
        part = table[(table["measure"] == BENEFIT[0]) & (table["quantity"] == BENEFIT[1])]
        if not part.empty:
            columns[variant] = dict(zip(part["schedule"], part["estimate"], strict=True))
    if not columns:
        return pd.DataFrame(), []
    table = pd.DataFrame(columns).rename_axis("plan").reset_index()
    if len(columns) < 2:
        return table, []
    best = {
        variant: [name for name, value in values.items() if value > max(values.values()) - 0.5]
        for variant, values in columns.items()
    }
    silent = [variant for variant, names in best.items() if len(names) == len(columns[variant])]
    tops: dict[str, list[str]] = {}
    for variant, names in best.items():
        if variant not in silent:
            tops.setdefault(" or ".join(f"“{name}”" for name in names), []).append(variant)
    said = []
    if silent:
        said.append(
            f"Under {listed(silent)} no plan differs from any other by half a day: the plans do not matter there."
        )
    if len(tops) == 1:
        [(plan, where)] = tops.items()
        said.append(f"The most days go to {plan} under {listed(where)}.")
    elif tops:
        each = [f"{plan} under {listed(where)}" for plan, where in tops.items()]
        said.append(f"Which plan leads depends on the mechanism: {'; '.join(each)}.")
    return table, said
