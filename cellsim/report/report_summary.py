"""What a report says about a fit. Every sentence is computed from the numbers; none is decided beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.comparison.verdicts import off_of
from cellsim.results import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.comparison.comparison import Comparison
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior

    Approximated = Calibration | Posterior

__all__ = [
    "determined",
    "groups_table",
    "learned_words",
    "listed",
    "modes_words",
    "profiles_table",
    "profiles_words",
    "records",
    "signed",
    "standing",
    "unfollowed",
    "unfollowed_words",
    "variants_table",
]

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


def groups_table(fit: Approximated) -> pd.DataFrame:
    """How much of each part of the model the data determined.

    Returns
    -------
    DataFrame
        Columns group, parameters, determined (sum of contractions), the count of each verdict, approximation, doubts.
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
    return fit.approximation.stamped(pd.DataFrame(rows))


def determined(fit: Approximated) -> list[str]:
    """What the data determined, in sentences."""
    groups = groups_table(fit)
    rows = len(fit.objective.terms)
    total, parameters = (
        float(groups["determined"].sum()),
        int(groups["parameters"].sum()),
    )
    said = [
        f"Together the shares learned add up to {total:.1f} of {parameters}: {_count(rows, 'finding')} taught about as much as "
        f"{total:.0f} exact numbers would, and {parameters - total:.1f} were left as assumed."
    ]
    mechanism = groups[groups["group"].isin(fit.case.mechanism)]
    if not mechanism.empty:
        found, of = (
            float(mechanism["determined"].sum()),
            int(mechanism["parameters"].sum()),
        )
        said.append(
            f"Of the mechanism ({listed(list(mechanism['group']))}) they add up to {found:.1f} of {of}: what this report says "
            f"about other plans rests on these {found:.1f} and on assumptions."
        )
    return said


def learned_words(fit: Approximated) -> list[str]:
    """Which parameters of the mechanism the data speak about, group by group, and which they do not."""
    table = fit.table()
    counts = table["verdict"].value_counts()
    few = [
        f"{int(counts[word])} {what[int(counts[word]) > 1]}"
        for word, what in (
            (MOVED, ("moved without becoming narrower",) * 2),
            (PRIOR_DRIVEN, ("stayed as assumed",) * 2),
            (UNTOUCHED, ("has no effect on these findings", "have no effect on these findings")),
        )
        if counts.get(word, 0)
    ]
    said = [
        f"Of {len(table)} parameters {int(counts.get(DATA_DRIVEN, 0))} are data-driven: the data removed a fifth or more of "
        f"their prior variance (the share learned). {f'{listed(few)}.' if few else ''}".strip()
    ]
    dynamic = table[table["group"].isin(fit.case.mechanism)]
    if dynamic.empty:
        return said
    known = dynamic[dynamic["verdict"] == DATA_DRIVEN].sort_values(
        "contraction", ascending=False, kind="stable"
    )
    head = f"Of the {_count(len(dynamic), 'parameter')} that say{'s' * (len(dynamic) == 1)} how the treatment acts"
    if known.empty:
        said.append(f"{head} none is data-driven: whatever is said of them was assumed.")
    else:
        named = [one.meaning or one.parameter for one in records(known)]
        said.append(
            f"{head} {len(known)} {'is' if len(known) == 1 else 'are'} data-driven: {_series(named)}."
        )
    moved = dynamic[dynamic["verdict"] == MOVED]
    if not moved.empty:
        named = [
            f"{one.meaning or one.parameter} ({one.shift:+.1f} prior standard deviations)"
            for one in records(moved)
        ]
        said.append(
            f"Moved without becoming narrower, which hints at a conflict of prior and data: {_series(named)}."
        )
    untold = [
        f"all {len(part)} of {group}" if len(part) > 1 else f"the one of {group}"
        for group, part in dynamic.groupby("group", sort=False)
        if not part["verdict"].isin((DATA_DRIVEN, MOVED)).any()
    ]
    if untold:
        said.append(f"As assumed stayed {listed(untold)}.")
    return said


def _series(words: Sequence[str]) -> str:
    """Phrases in a row, by semicolons where one of them has a comma."""
    return "; ".join(words) if any("," in each for each in words) else listed(words)


def profiles_table(found: Profiles) -> pd.DataFrame:
    """Profiles for a page: ends at the highest level beside the prior's.

    Returns
    -------
    DataFrame
        Columns name, unit, estimate, low, high (nan where open), prior_low, prior_high, contraction, verdict,
        approximation, doubts.
    """
    level = f"{100 * max(found.levels):g}"
    table = found.table().rename(columns={f"low_{level}": "low", f"high_{level}": "high"})
    columns = [
        "name",
        "unit",
        "estimate",
        "low",
        "high",
        "prior_low",
        "prior_high",
        "contraction",
        "verdict",
    ]
    return table[[*columns, "approximation", "doubts"]]


def profiles_words(found: Profiles, fit: Approximated) -> list[str]:
    """Which parameters profiles call data-driven, and where that is not what draws say."""
    by_profile = {curve.name for curve in found.curves.values() if curve.verdict == DATA_DRIVEN}
    table = fit.table()
    table = table[table["parameter"].isin(list(found.curves))]
    by_draws = set(table["parameter"][table["verdict"] == DATA_DRIVEN])
    names = [each for each in found.curves if each in by_profile]
    said = (
        f"Profiles need neither normal approximations nor sampling. Of {len(found.curves)} they call "
        f"{f'{listed(names)} data-driven' if names else 'none data-driven'}"
    )
    only, other = sorted(by_profile - by_draws), sorted(by_draws - by_profile)
    if not only and not other:
        return [f"{said}, as the numbers above do."]
    parts = []
    if only:
        parts.append(f"{listed(only)} by profile alone")
    if other:
        parts.append(f"{listed(other)} by draws alone")
    return [
        f"{said}. The two differ on {', '.join(parts)}: a profile looks at the height of the posterior, draws at its "
        "volume, and near the line of one fifth either may fall."
    ]


def modes_words(fit: Calibration) -> list[str]:
    """Whether there are several explanations, and how the probability is shared."""
    weights = [float(each) for each in fit.mixture.weights]
    if len(weights) < 2:
        return ["One optimum was found; estimates, fitted days and residuals are its."]
    shares = listed([f"{100 * each:.0f} %" for each in weights])
    return [
        f"{len(weights)} distinct optima were found, which hold {shares} of the probability by Laplace. Fitted "
        "days and residuals are those of the highest; intervals go over all of them."
    ]


# ---- fit --------------------------------------------------------------------------------------------------


def unfollowed(fit: Calibration, *, least: float = FAR_OFF) -> pd.DataFrame:
    """Rows further than `least` sigmas from the model, the worst first (grades included)."""
    rows = fit.rows()
    far = rows[rows["residual"].abs() >= least]
    return far.iloc[np.argsort(-far["residual"].abs().to_numpy(), kind="stable")]


def unfollowed_words(fit: Calibration, source: Approximated) -> list[str]:
    """Which analytes the model cannot follow at the optimum, how far off it is, and why that is left so.

    Parameters
    ----------
    fit : Calibration
    source : Calibration or Posterior
        Of the same variant: what says how many numbers the data determined.
    """
    rows = fit.rows()
    far = unfollowed(fit)
    total, learned = (
        float((rows["residual"] ** 2).sum()),
        float(source.table()["contraction"].sum()),
    )
    said = [
        f"The residuals of {len(rows)} rows have a sum of squares of {total:.0f}; "
        f"{int((rows['residual'].abs() >= 2).sum())} of them two sigmas or more from the model. "
        f"With {learned:.0f} numbers determined from {len(rows)} rows a close fit is no evidence for "
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
                sign = ("below ", "above ")[int(one.above)] if one.part == "censored" else ""
                where.append(
                    f"{one.visit} (printed {sign}{number(one.measured)}, model {number(one.predicted)} {one.unit}, "
                    f"{abs(one.residual):.1f} sigmas)"
                )
        label = next((each.name for each in case.analytes if each.id == name), name)
        parts.append(f"{label}: {listed(where)}")
    shown = [each.label.split(" (")[0] for each in case.shown if each.figure == "course"]
    effects = ["one shared shift per sample"] * bool(case.groups_of("sample effect"))
    shared, visits = listed([*shown, *effects]), len(case.visits)
    said.append(f"The model cannot follow (by {FAR_OFF:g} sigmas or more) {'; '.join(parts)}.")
    said.append(
        "It is left so because the analytes hang on the same few time-courses"
        + f" ({shared})" * bool(shared)
        + f". {_count(visits, 'visit').capitalize()} {'carry' if visits != 1 else 'carries'} no more than "
        f"{max(visits - 1, 0)} of them, so a curve of its own for an analyte would follow its noise; these rows are where "
        "this shared story ends."
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


def standing(name: str, found: Comparison) -> str:
    """Where the variant shown in detail stands among the others, in a sentence or two; empty when it is alone."""
    if len(found.fits) < 2 or name not in found.fits:
        return ""
    first, evidences, off = found.order[0], found.evidences, off_of(found)
    if first == name:
        said = f"{name} has the greatest evidence of {len(found.fits)} variants by {found.by}."
    else:
        behind = evidences[first] - evidences[name]
        within = ", no further than that may be off" if behind < off else ""
        said = (
            f"{name} is shown because the case names it first, not because the data do: its evidence lies "
            f"{behind:.1f} nats behind that of {first} by {found.by}{within}."
        )
    return said
