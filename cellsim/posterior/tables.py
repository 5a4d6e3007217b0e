"""What a calibration and draws say, as tables and as text; the same content as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import amount_text
from cellsim.results import DATA_DRIVEN, LEVEL, MOVED, PRIOR_DRIVEN, REACH, TAILS, UNTOUCHED, number, verdict

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Objective
    from cellsim.posterior.approximation import Approximation
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.posterior.weighted_draws import Weighted

    Array = NDArray[np.float64]

__all__ = [
    "fit_table",
    "given_words",
    "parameter_table",
    "parameters_table",
    "posterior_table",
    "posterior_text",
    "report_html",
    "report_text",
    "table_of",
]

_PLACES = ("prior_median", "prior_low", "prior_high", "estimate", "low", "high")
_COLUMNS = (
    "parameter", "group", "meaning", "unit", *_PLACES, "level", "contraction", "shift", "verdict", "mark", "source",
)  # fmt: skip

_WHITENED = "prior-whitened coordinates, in which every prior is a standard normal (a prior flat on a box is not flat there)"
_MAXIMISED = {
    "whitened": f"Estimates: the mode of the posterior density of {_WHITENED}; density='petab' asks for that of the "
    "parameters in their own units, which lies elsewhere. Evidence and intervals do not depend on the choice.",
    "petab": "Estimates: the mode of PEtab's posterior density, that of the parameters in their own units. Intervals and "
    f"evidence: the normal approximations around the modes of the density of {_WHITENED}, the same for either choice.",
}

_HEAD = f"Parameters: median ({100 * LEVEL:g} % interval)"
_VERDICTS = (DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED)


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
        Columns parameter, group, meaning, unit, prior_median, prior_low, prior_high, estimate, low, high (intervals of the level named,
        in the unit), level, contraction, shift, verdict, mark, source, approximation, doubts.
    """
    import pandas as pd

    rows = []
    for j, (name, prior) in enumerate(zip(objective.names, objective.priors, strict=True)):
        about = objective.case.prior(name)
        places = dict(zip(_PLACES, (0.0, -REACH, REACH, estimate[j], low[j], high[j]), strict=True))
        rows.append(
            {
                "parameter": name,
                "group": about.group,
                "meaning": about.meaning,
                "unit": about.unit,
                **{key: float(prior.value(np.array(place))) for key, place in places.items()},
                "level": LEVEL,
                "contraction": float(contraction[j]),
                "shift": float(shift[j]),
                "verdict": verdict(float(contraction[j]), float(shift[j]), touched=bool(touched[j])),
                "mark": about.mark,
                "source": about.source,
            }
        )
    return approximation.stamped(pd.DataFrame(rows, columns=list(_COLUMNS)))


def parameter_table(fit: Calibration) -> pd.DataFrame:
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
        f"{name}: {given_words(fit.case, name, each)}" for name, each in diagnosis["doses"].items()
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
            else f" What was given and what is accounted for differ by {abs(ledger):.0e} (relative)."
        ),
        f"{starts['agree']} of {starts['count']} starts agree on the best value, {starts['failed']} failed; "
        f"the gradient agrees with differences to {diagnosis['gradient']:.0e}.",
    ]


def _rests_on(fit: Calibration) -> list[str]:
    return [
        f"Intervals and evidence rest on {fit.approximation.name}, estimates and fit on {fit.at_optimum.name}."
    ]


def given_words(case: Case, product: str, given: Mapping[str, Any]) -> str:
    """What a diagnosis says was given of a product, in the product's unit."""
    known = [each for each in case.products if each.name == product]
    unit, count = known[0].unit if known else "cells", given["count"]
    noun = "infusion" if unit == "cells" else "dose"
    amount = f"{given['cells']:.3g} cells" if unit == "cells" else amount_text(given["cells"], unit)
    return f"{count} {noun}{'s' * (count != 1)}, {amount}"


def report_text(fit: Calibration) -> str:
    """See :meth:`cellsim.Calibration.report`."""
    import pandas as pd

    lines = [
        f"Calibration of {fit.case.name}",
        "=" * (15 + len(fit.case.name)),
        fit.case.label,
        "",
        *_facts(fit),
        "",
    ]
    lines += [*_rests_on(fit), *fit.approximation.lines[1:], ""]
    with pd.option_context("display.width", 200, "display.max_colwidth", 48):
        effects = ", sample effects included" * bool(fit.case.groups_of("sample effect"))
        lines += [f"Fit: printed | predicted (sigmas apart){effects}", ""]
        lines += [fit_table(fit).to_string(index=False, float_format=lambda x: f"{x:.1f}"), ""]
        graded = fit.rows().query("part == 'graded'")
        if not graded.empty:
            lines += ["Grades: allowed range | level of what is graded", ""]
            lines += [
                f"  {analyte}, day {day:.0f}: {low:.0f} to {high:.0f} | {number(level)}"
                for analyte, day, low, high, level in zip(
                    *(graded[name] for name in ("analyte", "day", "measured", "upper", "predicted")),
                    strict=True,
                )
            ] + [""]
        lines += [_HEAD, ""]
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
            f"<p><em>{escape(fit.case.label)}</em></p>",
            facts,
            f"<h3>Reasons to doubt</h3><ul>{doubts}</ul>" if doubts else "",
            "<h3>Fit: printed | predicted (sigmas apart)</h3>",
            fit_table(fit).to_html(index=False, border=0, float_format=lambda x: f"{x:.1f}"),
            f"<h3>{_HEAD}</h3>",
            parameter_table(fit).to_html(index=False, border=0),
        ]
    )


_LEVELS = (0.5, *TAILS)


def table_of(post: Posterior) -> pd.DataFrame:
    """See :meth:`cellsim.Posterior.table`."""
    found, flat, objective = post.convergence, post.flat, post.objective
    jacobian = objective.evaluate(flat.mean(axis=0), gradient=True).jacobian
    assert jacobian is not None
    estimate, low, high = np.quantile(flat, _LEVELS, axis=0)
    table = parameters_table(
        objective,
        estimate=estimate,
        low=low,
        high=high,
        contraction=1 - flat.var(axis=0),
        shift=flat.mean(axis=0),
        touched=np.any(jacobian[: len(objective.terms)] != 0, axis=0),
        approximation=post.approximation,
    )
    after = list(table.columns).index("verdict") + 1
    for name in ("ess_tail", "ess_bulk", "rhat"):
        table.insert(after, name, getattr(found, name))
    return table


def posterior_table(post: Posterior) -> pd.DataFrame:
    """Posterior beside prior as text, the data-driven parameters first.

    Returns
    -------
    DataFrame
        Columns parameter, unit, prior, posterior, contraction, shift, verdict, R-hat, ESS.
    """
    import pandas as pd

    table = post.table()
    table["rank"] = [_VERDICTS.index(word) for word in table["verdict"]]
    table = table.sort_values(["rank", "contraction"], ascending=[True, False], kind="stable")

    def spread(*columns: str) -> list[str]:
        return [
            f"{number(middle)} ({number(low)} to {number(high)})"
            for middle, low, high in zip(*(table[name] for name in columns), strict=True)
        ]

    return pd.DataFrame(
        {
            "parameter": table["parameter"],
            "unit": table["unit"],
            "prior": spread("prior_median", "prior_low", "prior_high"),
            "posterior": spread("estimate", "low", "high"),
            "contraction": [f"{100 * each:.0f} %" for each in table["contraction"]],
            "shift": [f"{each:+.1f}" for each in table["shift"]],
            "verdict": table["verdict"],
            "R-hat": [f"{each:.3f}" for each in table["rhat"]],
            "ESS": [f"{each:.0f}" for each in np.fmin(table["ess_bulk"], table["ess_tail"])],
        }
    ).reset_index(drop=True)


def _about_chains(post: Posterior) -> list[str]:
    run, found = post.run, post.convergence
    chains, length, size = post.thetas.shape
    steps = float(np.mean(post.drawn.statistics["n_steps"]))
    return [
        f"{chains} chains x {length} draws of {size} parameters after {run.tune} of warm-up; {run.seconds:.0f} s, "
        f"{run.evaluations} simulations with gradient, {run.rejected} of them failed, {steps:.0f} a draw.",
        f"R-hat up to {np.max(found.rhat):.3f}; effective draws at least {np.min(found.ess_bulk):.0f} (bulk) and "
        f"{np.min(found.ess_tail):.0f} (tails); {int(np.sum(post.drawn.statistics['diverging']))} divergences.",
    ]


def _about_weights(found: Weighted, seconds: float) -> list[str]:
    outer = ", ".join(found.outer) or "none"
    return [
        f"{len(found.thetas)} weighted draws worth {found.effective:.0f} independent ones (Pareto k {found.pareto_k:.2f}), "
        f"{seconds:.0f} s; ln evidence {found.log_evidence:.2f}, standard error {found.log_evidence_error:.2f}.",
        f"Drawn: {outer}, and unknown sampling days. All other parameters by Laplace's approximation given these, off by "
        f"{found.mismatch:.1f} nats (a standard deviation; {found.mismatch_expected:.1f} was expected), which the weights correct.",
    ]


def posterior_text(post: Posterior) -> str:
    """See :meth:`cellsim.Posterior.report`."""
    import pandas as pd

    run = post.run
    table = post.table()
    counts = {word: int((table["verdict"] == word).sum()) for word in _VERDICTS}
    title = (
        f"Posterior of {post.case.name}, variant {post.variant}"
        if post.variant
        else f"Posterior of {post.case.name}"
    )
    lines = [title, "=" * len(title), post.case.label, ""]
    lines += [
        *(
            _about_chains(post)
            if post.drawn.weighted is None
            else _about_weights(post.drawn.weighted, run.seconds)
        ),
        f"Simulated ten times more exactly the log density changes by at most {run.tolerance_error:.1g}.",
        f"Of the parameters {counts[DATA_DRIVEN]} are data-driven, {counts[MOVED]} moved but not narrowed, "
        f"{counts[PRIOR_DRIVEN]} prior-driven, {counts[UNTOUCHED]} without effect on these data.",
        "",
    ]
    lines += [*post.approximation.lines, ""]
    with pd.option_context("display.width", 200, "display.max_colwidth", 48):
        lines += [_HEAD, "", posterior_table(post).to_string(index=False), ""]
    made = ", ".join(f"{name} {each}" for name, each in post.versions.items())
    return "\n".join([*lines, f"Seed {run.seed}. Made with {made}."])
