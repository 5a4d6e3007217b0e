"""A posterior told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.identifiability.identification import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED
from cellsim.posterior.words import LABEL, number, parameters_table

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.posterior import Posterior

__all__ = ["posterior_table", "report_text", "table_of"]

_LEVELS = (0.5, 0.025, 0.975)
_VERDICTS = (DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED)


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


def report_text(post: Posterior) -> str:
    """See :meth:`cellsim.Posterior.report`."""
    import pandas as pd

    run, found = post.run, post.convergence
    chains, length, size = post.thetas.shape
    table = post.table()
    counts = {word: int((table["verdict"] == word).sum()) for word in _VERDICTS}
    steps = float(np.mean(post.drawn.statistics["n_steps"]))
    title = (
        f"Posterior of {post.case.name}, variant {post.variant}"
        if post.variant
        else f"Posterior of {post.case.name}"
    )
    lines = [title, "=" * len(title), LABEL, ""]
    lines += [
        f"{chains} chains x {length} draws of {size} parameters after {run.tune} of warm-up; {run.seconds:.0f} s, "
        f"{run.evaluations} simulations with gradient, {run.rejected} of them failed, {steps:.0f} a draw.",
        f"R-hat up to {np.max(found.rhat):.3f}; effective draws at least {np.min(found.ess_bulk):.0f} (bulk) and "
        f"{np.min(found.ess_tail):.0f} (tails); {int(np.sum(post.drawn.statistics['diverging']))} divergences.",
        f"Simulated ten times more exactly the log density changes by at most {run.tolerance_error:.1g}.",
        f"Of the parameters {counts[DATA_DRIVEN]} are data-driven, {counts[MOVED]} moved but not narrowed, "
        f"{counts[PRIOR_DRIVEN]} prior-driven, {counts[UNTOUCHED]} without effect on these data.",
        "",
    ]
    lines += [*post.approximation.lines, ""]
    with pd.option_context("display.width", 200, "display.max_colwidth", 48):
        lines += ["Parameters: median (95 % interval)", "", posterior_table(post).to_string(index=False), ""]
    made = ", ".join(f"{name} {each}" for name, each in post.versions.items())
    return "\n".join([*lines, f"Seed {run.seed}. Made with {made}."])
