"""A calibration told in words: the same content as text and as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.identifiability.identification import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED, verdict

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.posterior.approximation import Approximation
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.variational import VariationalApproximation

    Array = NDArray[np.float64]

__all__ = [
    "LABEL",
    "difference",
    "fit_table",
    "number",
    "parameter_table",
    "parameters_table",
    "report_html",
    "report_text",
]

LABEL = "n = 1, uncontrolled, unblinded; schedule rankings reflect priors; not for treatment decisions."

_REACH = 1.959963984540054  # of a 95 % interval of a normal distribution
_PLACES = ("prior_median", "prior_low", "prior_high", "estimate", "low", "high")
_COLUMNS = (
    "parameter", "group", "meaning", "unit", *_PLACES, "contraction", "shift", "verdict", "mark", "source",
)  # fmt: skip

_WHITENED = "prior-whitened coordinates, in which every prior is a standard normal (a prior flat on a box is not flat there)"
_MAXIMISED = {
    "whitened": f"Estimates: the mode of the posterior density of {_WHITENED}; density='petab' asks for that of the "
    "parameters in their own units, which lies elsewhere. Evidence and intervals do not depend on the choice.",
    "petab": "Estimates: the mode of PEtab's posterior density, that of the parameters in their own units. Intervals and "
    f"evidence: the normal approximations around the modes of the density of {_WHITENED}, the same for either choice.",
}

_VERDICTS = (DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED)


def number(value: float, digits: int = 3) -> str:
    """A number as a person writes it: three digits, powers of ten only when needed.

    Examples
    --------
    >>> number(0.000123), number(285.96), number(7.25e8), number(float("nan"))
    ('0.000123', '286', '7.25e+08', '-')
    """
    return "-" if value != value else f"{value:.{digits}g}"


def difference(value: float, more: str, less: str, same: str = "equal to", *, digits: int = 1) -> str:
    """How far one number lies from another, its sign said by a word and never by both.

    Parameters
    ----------
    value : float
        The first less the second.
    more, less, same : str
        What the first is of the second where that is above, below, or zero to the digits shown.
    digits : int
        After the point.

    Examples
    --------
    >>> difference(5.46, "above", "below"), difference(-2.9, "above", "below"), difference(-0.01, "above", "below")
    ('5.5 above', '2.9 below', 'equal to')
    """
    size = f"{abs(value):.{digits}f}"
    return same if float(size) == 0 else f"{size} {more if value > 0 else less}"


def fit_table(fit: Calibration) -> pd.DataFrame:
    """One row an analyte: printed and predicted value at every visit, and the distance in sigmas.

    Returns
    -------
    DataFrame
        Columns analyte, unit, then for each visit the three numbers as text, and ``worst`` (sigmas).
    """
    import pandas as pd

    rows = fit.rows()
    out = []
    for analyte, part in rows[rows["visit"] != ""].groupby("analyte", sort=False):
        cells: dict[str, Any] = {"analyte": str(analyte), "unit": part["unit"].iloc[0]}
        for visit in fit.case.visits:
            here = part[part["visit"] == visit.id]
            if here.empty:
                cells[visit.id] = "not measured"
                continue
            one = here.iloc[0]
            sign = ("<", ">")[int(one["above"])] if one["part"] == "censored" else ""
            cells[visit.id] = (
                f"{sign}{number(one['measured'])} | {number(one['predicted'])} ({one['residual']:+.1f})"
            )
        cells["worst"] = float(part["residual"].abs().max())
        out.append(cells)
    return pd.DataFrame(out)


def parameters_table(
    objective: Objective,
    *,
    estimate: Array,
    low: Array,
    high: Array,
    contraction: Array,
    shift: Array,
    touched: NDArray[np.bool_],
    approximation: Approximation,
) -> pd.DataFrame:
    """Posterior beside prior, one row a parameter: the table that every approximation gives.

    Parameters
    ----------
    objective : Objective
    estimate, low, high : array, shape (n_parameters,)
        Prior-whitened.
    contraction, shift : array, shape (n_parameters,)
        Of the posterior, the shift in prior sd.
    touched : array of bool, shape (n_parameters,)
        Whether any row depends on it.
    approximation : Approximation

    Returns
    -------
    DataFrame
        Columns parameter, group, meaning, unit, prior_median, prior_low, prior_high, estimate, low, high (95 % intervals,
        in the unit), contraction, shift, verdict, mark, source, approximation, doubts.
    """
    import pandas as pd

    rows = []
    for j, (name, prior) in enumerate(zip(objective.names, objective.priors, strict=True)):
        about = objective.case.prior(name)
        places = dict(zip(_PLACES, (0.0, -_REACH, _REACH, estimate[j], low[j], high[j]), strict=True))
        rows.append(
            {
                "parameter": name,
                "group": about.group,
                "meaning": about.meaning,
                "unit": about.unit,
                **{key: float(prior.value(np.array(place))) for key, place in places.items()},
                "contraction": float(contraction[j]),
                "shift": float(shift[j]),
                "verdict": verdict(float(contraction[j]), float(shift[j]), touched=bool(touched[j])),
                "mark": about.mark,
                "source": about.source,
            }
        )
    return approximation.stamped(pd.DataFrame(rows, columns=list(_COLUMNS)))


def parameter_table(fit: Calibration | VariationalApproximation) -> pd.DataFrame:
    """Estimates beside priors as text, the data-driven ones first.

    Returns
    -------
    DataFrame
        Columns parameter, meaning, unit, prior, estimate, contraction, shift, verdict.
    """
    import pandas as pd

    table = fit.table()
    table["rank"] = [_VERDICTS.index(word) for word in table["verdict"]]
    table = table.sort_values(["rank", "contraction"], ascending=[True, False], kind="stable")
    return pd.DataFrame(
        {
            "parameter": table["parameter"],
            "meaning": table["meaning"],
            "unit": table["unit"],
            "prior": [
                _spread(*row)
                for row in zip(table["prior_median"], table["prior_low"], table["prior_high"], strict=True)
            ],
            "estimate": [
                _spread(*row) for row in zip(table["estimate"], table["low"], table["high"], strict=True)
            ],
            "contraction": [f"{100 * each:.0f} %" for each in table["contraction"]],
            "shift": [f"{each:+.1f}" for each in table["shift"]],
            "verdict": table["verdict"],
        }
    ).reset_index(drop=True)


def _spread(middle: float, low: float, high: float) -> str:
    return f"{number(middle)} ({number(low)} to {number(high)})"


def _facts(fit: Calibration) -> list[str]:
    """The result in sentences."""
    table, diagnosis = fit.table(), fit.diagnosis
    counts = {word: int((table["verdict"] == word).sum()) for word in _VERDICTS}
    rows = diagnosis["rows"]["count"]
    doses = "; ".join(
        f"{name}: {each['count']} infusions, {each['cells']:.3g} cells"
        for name, each in diagnosis["doses"].items()
    )
    starts = diagnosis["starts"]
    ledger = diagnosis["ledger"]
    parts = fit.objective.parts(fit.theta)
    variants = [
        f"Variant {each.id}, {each.name}: {each.meaning}"
        for each in fit.case.variants
        if each.id == fit.variant
    ]
    return [
        *variants,
        f"Scored: {sum(rows.values())} rows ({', '.join(f'{n} {part}' for part, n in rows.items())}); "
        f"{len(table)} parameters estimated, {len(diagnosis['priors']['fixed'])} fixed."
        + (
            f" Noise: Student's t with {fit.objective.degrees:g} degrees of freedom."
            if fit.objective.degrees < float("inf")
            else ""
        ),
        f"The data determined {fit.effective_parameters:.1f} numbers. Of the parameters {counts[DATA_DRIVEN]} are "
        f"data-driven, {counts[MOVED]} moved but not narrowed, {counts[PRIOR_DRIVEN]} prior-driven, "
        f"{counts[UNTOUCHED]} without effect on these data.",
        _MAXIMISED[fit.density],
        f"ln evidence (Laplace) {fit.log_evidence:.2f}; sum of squares {fit.sum_of_squares:.2f}; "
        + ", ".join(f"ln {name} {value:.2f}" for name, value in parts.items())
        + ".",
        f"Doses delivered: {doses}."
        + (
            ""
            if ledger is None
            else f" Cells given and cells accounted for differ by {abs(ledger):.0e} (relative)."
        ),
        f"{starts['agree']} of {starts['count']} starts agree on the best value, {starts['failed']} failed; "
        f"the gradient agrees with differences to {diagnosis['gradient']:.0e}.",
    ]


def _rests_on(fit: Calibration) -> list[str]:
    return [
        f"Intervals and evidence rest on {fit.approximation.name}, estimates and fit on {fit.at_optimum.name}."
    ]


def report_text(fit: Calibration) -> str:
    """See :meth:`cellsim.Calibration.report`."""
    import pandas as pd

    lines = [f"Calibration of {fit.case.name}", "=" * (15 + len(fit.case.name)), LABEL, "", *_facts(fit), ""]
    lines += [*_rests_on(fit), *fit.approximation.lines[1:], ""]
    with pd.option_context("display.width", 200, "display.max_colwidth", 48):
        lines += ["Fit: printed | predicted (sigmas apart), sample effects included", ""]
        lines += [fit_table(fit).to_string(index=False, float_format=lambda x: f"{x:.1f}"), ""]
        graded = fit.rows().query("part == 'graded'")
        if not graded.empty:
            lines += ["Grades: allowed range | lesion level", ""]
            lines += [
                f"  {analyte}, day {day:.0f}: {low:.0f} to {high:.0f} | {number(level)}"
                for analyte, day, low, high, level in zip(
                    *(graded[name] for name in ("analyte", "day", "measured", "upper", "predicted")),
                    strict=True,
                )
            ] + [""]
        lines += ["Parameters: median (95 % interval)", ""]
        lines += [parameter_table(fit).drop(columns="meaning").to_string(index=False), ""]
    made = ", ".join(f"{name} {each}" for name, each in fit.versions.items())
    return "\n".join([*lines, f"Seed {fit.seed}. Made with {made}."])


def report_html(fit: Calibration) -> str:
    """See :meth:`cellsim.Calibration.report_html`."""
    doubts = "".join(f"<li>{escape(each)}</li>" for each in fit.diagnosis["doubts"])
    facts = "".join(f"<p>{escape(each)}</p>" for each in [*_facts(fit), *_rests_on(fit)])
    return "\n".join(
        [
            f"<h2>Calibration of {escape(fit.case.name)}</h2>",
            f"<p><em>{escape(LABEL)}</em></p>",
            facts,
            f"<h3>Reasons to doubt</h3><ul>{doubts}</ul>" if doubts else "",
            "<h3>Fit: printed | predicted (sigmas apart)</h3>",
            fit_table(fit).to_html(index=False, border=0, float_format=lambda x: f"{x:.1f}"),
            "<h3>Parameters: median (95 % interval)</h3>",
            parameter_table(fit).to_html(index=False, border=0),
        ]
    )
