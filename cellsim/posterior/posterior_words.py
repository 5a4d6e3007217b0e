"""A posterior told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.identifiability.identification import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED, verdict
from cellsim.posterior.words import LABEL, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.posterior import Posterior

__all__ = ["posterior_table", "report_text", "table_of"]

_LEVELS = (0.5, 0.025, 0.975)
_VERDICTS = (DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED)


def table_of(post: Posterior) -> pd.DataFrame:
    """See :meth:`cellsim.Posterior.table`."""
    import pandas as pd

    found, flat, objective = post.convergence, post.flat, post.objective
    jacobian = objective.evaluate(flat.mean(axis=0), gradient=True).jacobian
    assert jacobian is not None
    touched = np.any(jacobian[: len(objective.terms)] != 0, axis=0)
    reach = 1.959963984540054
    rows = []
    for j, (name, prior) in enumerate(zip(objective.names, objective.priors, strict=True)):
        about = post.case.prior(name)
        prior_at = prior.value(np.array([0.0, -reach, reach]))
        at = prior.value(np.quantile(flat[:, j], _LEVELS))
        contraction, shift = float(1 - flat[:, j].var()), float(flat[:, j].mean())
        rows.append(
            {
                "parameter": name,
                "group": about.group,
                "meaning": about.meaning,
                "unit": about.unit,
                **dict(zip(("prior_median", "prior_low", "prior_high"), prior_at.tolist(), strict=True)),
                **dict(zip(("estimate", "low", "high"), at.tolist(), strict=True)),
                "contraction": contraction,
                "shift": shift,
                "verdict": verdict(contraction, shift, touched=bool(touched[j])),
                "rhat": float(found.rhat[j]),
                "ess_bulk": float(found.ess_bulk[j]),
                "ess_tail": float(found.ess_tail[j]),
                "mark": about.mark,
                "source": about.source,
            }
        )
    return pd.DataFrame(rows)


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
    lines += ["Reasons to doubt:", *[f"- {doubt}" for doubt in post.doubts], ""] if post.doubts else []
    with pd.option_context("display.width", 200, "display.max_colwidth", 48):
        lines += ["Parameters: median (95 % interval)", "", posterior_table(post).to_string(index=False), ""]
    made = ", ".join(f"{name} {each}" for name, each in post.versions.items())
    return "\n".join([*lines, f"Seed {run.seed}. Made with {made}."])
