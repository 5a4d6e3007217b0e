"""What a report says about chains: whether they can be used, and where they put what the Laplace approximations put elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.convergence import USABLE_ESS, USABLE_RHAT
from cellsim.posterior.posterior import Posterior
from cellsim.posterior.variational import VariationalApproximation
from cellsim.report.products import main_outcome
from cellsim.report.report_summary import listed, records
from cellsim.results import REACH, TAILS, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.calibration import Calibration
    from cellsim.predictions.sweeps import Sweep
    from cellsim.report.report_summary import Approximated

__all__ = [
    "apart_table",
    "apart_words",
    "chains_words",
    "plans_apart",
    "source_words",
    "usable",
]

# in posterior sd of the chains: further apart than this two answers are not the same
APART = 0.5
_SHOWN = 8


def usable(post: Posterior) -> bool:
    """Whether chains are good enough for medians and 90 % intervals; `Posterior.trusted` asks for more."""
    return post.usable


def source_words(source: Approximated, post: Posterior | None, fit: Calibration, *, left_out: bool) -> str:
    """Where the numbers of a variant come from, and why from there."""
    shape = fit.diagnosis["shape"]
    how = (
        f"The Laplace approximations do not stand for the posterior here (Pareto k {shape:.1f}, trusted below "
        f"{LARGEST_SHAPE:g}): intervals and medians may be displaced by more than their width."
        if not shape <= LARGEST_SHAPE
        else f"The Laplace approximations stand for the posterior as far as that can be seen (Pareto k {shape:.1f})."
    )
    if not isinstance(source, Posterior):
        if post is not None:
            why = "the chains that were made are too short or do not agree (reasons below)"
        else:
            why = "chains were left out as asked" if left_out else "there are no chains"
        said = f"Numbers come from {source.approximation.name}, because {why}. {how}"
        if not isinstance(source, VariationalApproximation):
            return said
        k = source.evidence.shape
        quality = "not beyond doubt" if source.evidence.doubts else "trusted"
        return f"{said} The variational approximation is {quality} by the same measure (Pareto k {k:.1f})."
    chains, length, _ = source.thetas.shape
    found = source.convergence
    least = float(np.min(np.fmin(found.ess_bulk, found.ess_tail)))
    quality = f"R-hat up to {np.max(found.rhat):.3f}, at least {least:.0f} effective draws of every parameter"
    trusted = (
        "nothing to doubt"
        if source.trusted
        else f"not beyond doubt (reasons below), but good enough for medians and 90 % intervals: R-hat below "
        f"{USABLE_RHAT:g} and {USABLE_ESS:g} effective draws are asked for"
    )
    return (
        f"Numbers come from chains of the No-U-Turn sampler ({chains} x {length} draws; {quality}; {trusted}), not from "
        f"Laplace's approximation. {how}"
    )


def chains_words(post: Posterior) -> list[str]:
    """Doubts about chains, then what they are."""
    run = post.run
    said = [f"Doubt: {each}" for each in post.doubts]
    said.append(
        f"{run.evaluations} simulations with gradient in {run.seconds:.0f} s, {run.rejected} of them failed; "
        f"{int(np.sum(post.drawn.statistics['diverging']))} divergences. Spreads of hierarchies are held as in the "
        "calibration, so that the same draws give the evidence by bridge sampling; with them free (`cellsim sample`) "
        "the affected intervals are a little wider."
    )
    return said


def apart_table(fit: Calibration, post: Posterior) -> pd.DataFrame:
    """Parameters, those furthest apart first, by Laplace and by chains.

    Returns
    -------
    DataFrame
        Columns parameter, unit, prior, laplace, chains (medians with 90 % intervals as text), apart (difference of the
        means in posterior sd of the chains), narrower (sd by Laplace over that of the chains).
    """
    import pandas as pd

    sd = post.flat.std(axis=0)
    apart = (fit.mixture.mean - post.flat.mean(axis=0)) / sd
    ratio = np.sqrt(np.diag(fit.mixture.covariance)) / sd
    middle, low, high = fit.mixture.quantiles([0.5, *TAILS])
    drawn = np.quantile(post.flat, [0.5, *TAILS], axis=0)
    rows = []
    for j in np.argsort(-np.abs(apart), kind="stable"):
        prior = post.objective.priors[j]

        def spread(three: list[float], prior=prior) -> str:  # type: ignore[no-untyped-def]
            at = [number(float(each)) for each in prior.value(np.array(three))]
            return f"{at[0]} ({at[1]} to {at[2]})"

        name = post.objective.names[j]
        rows.append(
            {
                "parameter": name,
                "unit": post.case.prior(name).unit,
                "prior": spread([0.0, -REACH, REACH]),
                "laplace": spread([middle[j], low[j], high[j]]),
                "chains": spread(drawn[:, j].tolist()),
                "apart": float(apart[j]),
                "narrower": float(ratio[j]),
            }
        )
    return pd.DataFrame(rows)


def apart_words(table: pd.DataFrame) -> str:
    """Where chains and Laplace differ by enough to be told."""
    far = table[table["apart"].abs() >= APART]
    if far.empty:
        return (
            f"Chains and Laplace's approximation put no parameter more than {APART:g} posterior sd apart "
            f"(at most {table['apart'].abs().max():.2f})."
        )
    shown = listed([f"{one.parameter} ({one.apart:+.1f})" for one in records(far.head(_SHOWN))])
    more = f" and {len(far) - _SHOWN} more" if len(far) > _SHOWN else ""
    return (
        f"Laplace's approximation puts {len(far)} of {len(table)} parameters {APART:g} posterior sd or more from where "
        f"the chains put them: {shown}{more} (Laplace less chains, in sd of the chains). The chains are believed."
    )


def plans_apart(chains: Sweep, other: Sweep) -> pd.DataFrame:
    """The main outcome of every plan, by chains, by what there was before them, and by the prior.

    Returns
    -------
    DataFrame
        Columns plan, chains, other, prior: median with 90 % interval as text.
    """
    import pandas as pd

    outcome = main_outcome(chains)
    if outcome is None:
        return pd.DataFrame()
    number = replace(outcome, unit="").text
    chosen = {}
    for name, result in (("chains", chains), ("other", other)):
        table = result.table()
        part = table[(table["measure"] == outcome.key[0]) & (table["quantity"] == outcome.key[1])]
        chosen[name] = part.set_index("schedule").to_dict("index")

    def spread(one: Mapping[Any, Any], prefix: str = "") -> str:
        at = [one[f"{prefix}{each}"] for each in ("estimate", "low", "high")]
        return (
            f"{number(at[0])} ({number(at[1])} to {number(at[2])})"
            if not outcome.chance
            else f"{100 * at[0]:.0f} %"
        )

    return pd.DataFrame(
        [
            {
                "plan": plan,
                "chains": spread(one),
                "other": spread(chosen["other"][plan]),
                "prior": spread(one, "prior_"),
            }
            for plan, one in chosen["chains"].items()
        ]
    )
