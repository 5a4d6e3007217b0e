"""What a report says about a fit. Every sentence is computed from the numbers; none is decided beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.identifiability import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED
from cellsim.variants_words import LAPLACE_OFF
from cellsim.words import number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case import Case
    from cellsim.fitted import Calibration

__all__ = [
    "determined",
    "groups_table",
    "listed",
    "records",
    "signed",
    "standing",
    "summits_words",
    "unfollowed",
    "unfollowed_words",
    "variants_table",
    "variants_words",
]

# an evidence ratio below 20 separates nothing
SEPARATES = float(np.log(20))
# a row this many sigmas off is one the model does not follow
FAR_OFF = 1.5
# contractions nearer to zero than this are none
SLIGHT = 0.05


def listed(words: Sequence[str]) -> str:
    """Words as a person lists them.

    Examples
    --------
    >>> listed(["V2"]), listed(["V2", "V5", "V0b"])
    ('V2', 'V2, V5 and V0b')
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def records(frame: pd.DataFrame) -> list[Any]:
    """The rows of a table, each with its columns as attributes."""
    return list(frame.itertuples())


def signed(value: float) -> str:
    """A difference: its sign always, a decimal where it is small, and no minus before a zero.

    Examples
    --------
    >>> signed(-72.4), signed(-0.04), signed(3.26)
    ('-72', '0.0', '+3.3')
    """
    digits = 0 if abs(value) >= 10 else 1
    return f"{value:+.{digits}f}" if abs(value) >= 0.05 else "0.0"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


# ---- what the data determined -----------------------------------------------------------------------------


def groups_table(fit: Calibration) -> pd.DataFrame:
    """How much of each part of the model the data determined.

    Returns
    -------
    DataFrame
        Columns group, parameters, determined (sum of contractions), and the count of each verdict.
    """
    import pandas as pd

    table = fit.table()
    rows = []
    for group, part in table.groupby("group", sort=False):
        counts = {
            word: int((part["verdict"] == word).sum())
            for word in (DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED)
        }
        rows.append(
            {
                "group": group,
                "parameters": len(part),
                "determined": float(part["contraction"].sum()),
                **counts,
            }
        )
    return pd.DataFrame(rows)


def determined(fit: Calibration) -> list[str]:
    """What the data determined, in sentences."""
    groups = groups_table(fit)
    rows = len(fit.objective.terms)
    total, parameters = fit.effective_parameters, len(fit.theta)
    by_share = groups.sort_values("determined", ascending=False, kind="stable")
    said = [
        f"{rows} scored rows and {parameters} estimated parameters: the data determined {total:.1f} numbers, the other "
        f"{parameters - total:.1f} were left as the priors had them.",
        "Most went into "
        + listed(
            [f"{one.group} ({one.determined:.1f} of {one.parameters})" for one in records(by_share.head(3))]
        )
        + ".",
    ]
    if (groups["determined"] < -SLIGHT).any():
        wider = list(groups[groups["determined"] < -SLIGHT]["group"])
        said.append(
            f"A number below zero ({listed(wider)}) means a posterior wider than the prior along some direction."
        )
    mechanism = groups[groups["group"].isin(("persistence", "alloimmunity", "drives"))]
    if not mechanism.empty:
        learned, of = float(mechanism["determined"].sum()), int(mechanism["parameters"].sum())
        said.append(
            f"About how cells persist, are rejected and act ({listed(list(mechanism['group']))}) they determined "
            f"{learned:.1f} of {of}: whatever this report says about dosing rests on these {learned:.1f} numbers "
            "and on the priors."
        )
    return said


def summits_words(fit: Calibration) -> list[str]:
    """Whether there are several explanations, and how the probability is shared."""
    weights = [float(each) for each in fit.mixture.weights]
    if len(weights) < 2:
        return ["One optimum was found; the bands are its Laplace spread."]
    shares = listed([f"{100 * each:.0f} %" for each in weights])
    return [
        f"{len(weights)} distinct optima were found, which hold {shares} of the probability. Estimates, fitted "
        "days and residuals are those of the highest; bands, intervals and schedules go over all of them."
    ]


# ---- fit --------------------------------------------------------------------------------------------------


def unfollowed(fit: Calibration, *, least: float = FAR_OFF) -> pd.DataFrame:
    """Rows further than `least` sigmas from the model, the worst first (grades included)."""
    rows = fit.rows()
    far = rows[rows["residual"].abs() >= least]
    return far.iloc[np.argsort(-far["residual"].abs().to_numpy(), kind="stable")]


def unfollowed_words(fit: Calibration) -> list[str]:
    """Which analytes the model cannot follow, how far off it is, and why that is left so."""
    rows = fit.rows()
    far = unfollowed(fit)
    total = float((rows["residual"] ** 2).sum())
    said = [
        f"The residuals of {len(rows)} rows have a sum of squares of {total:.0f}; "
        f"{int((rows['residual'].abs() >= 2).sum())} of them two sigmas or more from the model. "
        f"With {fit.effective_parameters:.0f} numbers determined from {len(rows)} rows a close fit is no evidence for "
        "the mechanism."
    ]
    if far.empty:
        said.append(f"No row lies {FAR_OFF:g} sigmas or more from the model.")
        return said
    case, parts = fit.case, []
    for name in dict.fromkeys(far["analyte"]):
        worst = far[far["analyte"] == name]
        where = []
        for one in records(worst):
            if one.part == "graded":
                where.append(f"day {one.day:.0f} ({abs(one.residual):.1f})")
            else:
                sign = "below " if one.part == "censored" else ""
                where.append(
                    f"{one.visit} (printed {sign}{number(one.measured)}, model {number(one.predicted)} {one.unit}, "
                    f"{abs(one.residual):.1f} sigmas)"
                )
        spoken = next((each.name for each in case.analytes if each.id == name), name)
        parts.append(f"{spoken}: {listed(where)}")
    said.append(f"The model cannot follow (by {FAR_OFF:g} sigmas or more) {'; '.join(parts)}.")
    said.append(
        "It is left so because every analyte hangs on the same few time-courses (the disease drive, the acute pulse, "
        "one shared shift per blood sample). Three visits carry no more than two of them, so a curve of its own for an "
        "analyte would follow its noise; these rows are where this shared story ends."
    )
    return said


# ---- variants ---------------------------------------------------------------------------------------------


def variants_table(fits: Mapping[str, Calibration]) -> pd.DataFrame:
    """One row a variant, the best first.

    Returns
    -------
    DataFrame
        Columns variant, name, meaning, ln_evidence, less_the_best, ln_standard, ln_graded, ln_censored,
        effective_parameters, starts, agree, doubts.
    """
    import pandas as pd

    rows = []
    best = max((fit.log_evidence for fit in fits.values()), default=0.0)
    for key, fit in fits.items():
        about = next((each for each in fit.case.variants if each.id == fit.variant), None)
        parts = fit.objective.parts(fit.theta)
        rows.append(
            {
                "variant": key,
                "name": about.name if about else "",
                "meaning": about.meaning if about else "",
                "ln_evidence": fit.log_evidence,
                "less_the_best": fit.log_evidence - best,
                "ln_standard": parts["standard"],
                "ln_graded": parts["graded"],
                "ln_censored": parts["censored"],
                "effective_parameters": fit.effective_parameters,
                "starts": fit.diagnosis["starts"]["count"],
                "agree": fit.diagnosis["starts"]["agree"],
                "doubts": len(fit.diagnosis["doubts"]),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("ln_evidence", ascending=False, kind="stable").reset_index(drop=True)


def standing(name: str, fits: Mapping[str, Calibration]) -> str:
    """Where the variant shown in detail stands among the others, in a sentence; empty when it is alone."""
    if len(fits) < 2:
        return ""
    best = max(fits, key=lambda each: fits[each].log_evidence)
    if best == name:
        return f"{name} has the greatest evidence of {len(fits)} variants."
    behind = fits[best].log_evidence - fits[name].log_evidence
    within = ", no further than that approximation may be off" if behind < LAPLACE_OFF else ""
    return (
        f"{name} is shown because the case names it first, not because the data do: its evidence lies "
        f"{behind:.1f} nats behind that of {best} by Laplace's approximation{within}."
    )


def variants_words(fits: Mapping[str, Calibration], case: Case) -> list[str]:
    """Which mechanisms the data can tell apart."""
    table = variants_table(fits)
    if len(table) < 2:
        return ["Only one variant was calibrated: nothing can be said against any other."]
    best = table.iloc[0]
    near = table[table["less_the_best"] > -SEPARATES]
    far = table[table["less_the_best"] <= -SEPARATES]
    said = []
    if len(near) == 1:
        said.append(
            f"{best.variant} ({best['name']}) has the greatest evidence and leads every other variant by more than "
            f"{SEPARATES:.1f} nats (a ratio of 20)."
        )
    else:
        rest = [f"{one.variant} ({one.less_the_best:+.1f})" for one in records(near.iloc[1:])]
        said.append(
            f"{best.variant} ({best['name']}) has the greatest evidence, but {listed(rest)} "
            f"{'lies' if len(rest) == 1 else 'lie'} within {SEPARATES:.1f} nats (a ratio of 20): these data cannot "
            "separate them."
        )
    if not far.empty:
        trailing = [f"{one.variant} ({one.less_the_best:+.1f})" for one in records(far)]
        said.append(f"Further behind: {listed(trailing)}.")
    names = {each.id: each.name for each in case.variants}
    is_null = np.array([names.get(each, "").startswith("null") for each in table["variant"]])
    nulls, acting = table[is_null], table[~is_null]
    if not nulls.empty and not acting.empty:
        lead = float(acting["ln_evidence"].max() - nulls["ln_evidence"].max())
        spoken = listed([f"{one.variant} ({one.name})" for one in records(nulls)])
        head = f"Nothing comes from the cells in {spoken}"
        if lead <= 0:
            said.append(
                f"{head}; these data do not rule that out: no mechanism in which cells act has a greater evidence "
                "by Laplace's approximation, which errs towards such simple mechanisms."
            )
        elif lead < SEPARATES:
            said.append(
                f"{head}; these data do not rule that out: the best mechanism in which cells act leads by "
                f"{lead:.1f} nats."
            )
        else:
            said.append(
                f"{head}; the best mechanism in which cells act leads by {lead:.1f} nats, which rests on the priors of "
                "drift and sample effects, and on one uncontrolled patient."
            )
    said.append(
        "An evidence is an average over the prior: a wider prior on a free parameter lowers it. It is "
        "Laplace's approximation, summed over the optima found, and with a hundred parameters it was seen to be up to "
        f"{LAPLACE_OFF:g} nats off: no order within that distance is to be believed before it is checked by sampling "
        "(`cellsim sample --hold-spreads`, then `cellsim compare --posterior`)."
    )
    return said
