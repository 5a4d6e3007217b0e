"""What a report says about draws: what they are worth, and where they put what the Laplace approximations put elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.posterior import Posterior
from cellsim.report.report_summary import listed, records
from cellsim.results import REACH, TAILS, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.calibration import Calibration

__all__ = ["apart_table", "apart_words", "draws_words", "source_words"]

# in posterior sd: further apart than this two answers are not the same
APART = 0.5
_SHOWN = 8


def source_words(source: Calibration | Posterior, fit: Calibration) -> str:
    """Where the numbers of a variant come from, and what they are worth."""
    shape = fit.diagnosis["shape"]
    how = (
        f"Laplace's approximations do not stand for the posterior here (Pareto k {shape:.1f}, trusted below "
        f"{LARGEST_SHAPE:g}): their intervals and medians may be displaced by more than their width."
        if not shape <= LARGEST_SHAPE
        else f"Laplace's approximations stand for the posterior as far as that can be seen (Pareto k {shape:.1f})."
    )
    if not isinstance(source, Posterior):
        return f"Numbers come from {source.approximation.name}, because there are no draws. {how}"
    quality = (
        "nothing to doubt"
        if source.trusted
        else "not beyond doubt (reasons below), but good enough for medians and 90 % intervals"
        if source.usable
        else "too few or too uneven for intervals (reasons below)"
    )
    weighted = source.drawn.weighted
    if weighted is not None:
        return (
            f"Numbers come from {len(weighted.thetas)} weighted draws of the collapsed sampler, worth {source.effective:.0f} independent "
            f"ones (Pareto k {source.pareto_k:.2f}, trusted below {LARGEST_SHAPE:g}; {quality}). {how}"
        )
    chains, length, _ = source.thetas.shape
    found = source.convergence
    least = float(np.min(np.fmin(found.ess_bulk, found.ess_tail)))
    return (
        f"Numbers come from chains of the No-U-Turn sampler ({chains} x {length} draws; R-hat up to {np.max(found.rhat):.3f}, at least "
        f"{least:.0f} effective draws of every parameter; {quality}). {how}"
    )


def draws_words(post: Posterior) -> list[str]:
    """Doubts about draws, then what they are."""
    said = [f"Doubt: {each}" for each in post.doubts]
    held = (
        "Spreads of hierarchies are held as in the calibration, so that all evidences are of the same priors; with them free "
        "(`cellsim sample`) the affected intervals are a little wider."
    )
    weighted, run = post.drawn.weighted, post.run
    if weighted is None:
        said.append(
            f"{run.evaluations} simulations with gradient in {run.seconds:.0f} s, {run.rejected} of them failed; "
            f"{int(np.sum(post.drawn.statistics['diverging']))} divergences. {held}"
        )
        return said
    size = post.thetas.shape[-1]
    said.append(
        f"Drawn were {len(weighted.outer)} of {size} parameters, in which the rows are far from linear"
        + (f" ({', '.join(weighted.outer)})" if len(weighted.outer) <= _SHOWN else "")
        + f", and the unknown sampling days; the others are Laplace's given these, and weights make up for what that is off "
        f"({weighted.mismatch:.1f} nats). ln evidence {post.log_evidence:.2f} ± {post.log_evidence_error:.2f}. {held}"
    )
    return said


def apart_table(fit: Calibration, post: Posterior) -> pd.DataFrame:
    """Parameters, those furthest apart first, by Laplace and by draws.

    Returns
    -------
    DataFrame
        Columns parameter, unit, prior, laplace, draws (medians with 90 % intervals as text), apart (difference of the
        means in posterior sd of the draws), narrower (sd by Laplace over that of the draws).
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
                "draws": spread(drawn[:, j].tolist()),
                "apart": float(apart[j]),
                "narrower": float(ratio[j]),
            }
        )
    return pd.DataFrame(rows)


def apart_words(table: pd.DataFrame) -> str:
    """Where draws and Laplace differ by enough to be told."""
    far = table[table["apart"].abs() >= APART]
    if far.empty:
        return (
            f"Draws and Laplace's approximation put no parameter more than {APART:g} posterior sd apart "
            f"(at most {table['apart'].abs().max():.2f})."
        )
    shown = listed([f"{one.parameter} ({one.apart:+.1f})" for one in records(far.head(_SHOWN))])
    more = f" and {len(far) - _SHOWN} more" if len(far) > _SHOWN else ""
    return (
        f"Laplace's approximation puts {len(far)} of {len(table)} parameters {APART:g} posterior sd or more from where "
        f"the draws put them: {shown}{more} (Laplace less draws, in sd of the draws). The draws are believed."
    )
