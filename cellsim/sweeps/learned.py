"""What the data made of a number: its draws beside the prior's, a median or a mean with its Monte Carlo error, pairs apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError, unusable
from cellsim.results import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.predictions.measures import Asked

    Array = NDArray[np.float64]

__all__ = [
    "beside_prior",
    "check_level",
    "difference",
    "effective_draws",
    "learned_of",
    "mean_error",
    "median_error",
    "share_above",
    "summary",
]

# the solver's relative tolerance: numbers nearer to each other than this are the same
_SAME = 1e-6
# two chances nearer than this are the same one, give or take what a few hundred draws leave open
_SAME_CHANCE = 0.1
_AS_PRIOR = "as the prior says"


def check_level(level: float) -> None:
    """Refuse what is no share between 0 and 1."""
    if problems := unusable(levels={"level": level}):
        raise CellsimError(problems)


def summary(draws: Array, asked: Asked, level: float, prefix: str) -> dict[str, float]:
    """Median and interval of draws, or the mean of a chance, by the names that a table gives them."""
    if draws.size == 0:
        return {f"{prefix}{name}": np.nan for name in ("estimate", "low", "high")}
    low, middle, high = _quantiles(draws, ((1 - level) / 2, 0.5, (1 + level) / 2))
    if asked.chance:
        return {f"{prefix}estimate": float(draws.mean()), f"{prefix}low": np.nan, f"{prefix}high": np.nan}
    return {f"{prefix}estimate": float(middle), f"{prefix}low": float(low), f"{prefix}high": float(high)}


def _quantiles(draws: Array, shares: Sequence[float]) -> list[float]:
    """Quantiles of numbers in one row, by straight lines between them.

    A table of pairs of plans has thousands of rows, and NumPy's own takes longer to begin than to sort a few hundred draws.
    """
    order = np.sort(draws)
    if np.isnan(order[-1]):
        return [np.nan] * len(shares)
    found = []
    for share in shares:
        place = share * (order.size - 1)
        k = min(int(place), order.size - 2) if order.size > 1 else 0
        low, high = float(order[k]), float(order[min(k + 1, order.size - 1)])
        # from the nearer end, so that both ends are met exactly; infinite ones have nothing between them
        part = place - k
        found.append(
            low
            if low == high
            else low + part * (high - low)
            if part < 0.5
            else high - (1 - part) * (high - low)
        )
    return found


def beside_prior(apart: Array, before: Array, *, chance: bool = False) -> dict[str, float | str]:
    """A difference beside the prior's own, its direction and its size judged each by itself.

    A difference may have the prior's direction, which is then assumed, and a size the prior would not have had.

    Parameters
    ----------
    apart, before : array
        Posterior and prior draws of the difference.
    chance : bool
        Whether it is one of chances.

    Returns
    -------
    dict
        ``above``, ``prior_above`` (share of draws above zero, ties count half), ``contraction``, ``shift``, ``verdict``
        (as for any number, see :func:`cellsim.identifiability.identification.verdict`), ``note``. The direction is the
        prior's when the two shares differ by less than a tenth, and surer or less sure when they lie on one side of one
        half; the size is the prior's when the verdict is prior-driven.

    Examples
    --------
    >>> prior = np.random.default_rng(0).exponential(size=4000)
    >>> beside_prior(prior[:400] / 50 + 4, prior)["note"]
    'direction as the prior says, size not as the prior says (contraction 1.00, shift +2.0 prior sd)'
    """
    learned = learned_of(apart, before, chance)
    above, prior_above = share_above(apart), share_above(before)
    found: dict[str, float | str] = {"above": above, "prior_above": prior_above, **learned}
    if not apart.size or not before.size:
        return {**found, "note": ""}
    if not apart.any() and not before.any():
        return {**found, "note": "no difference, and none expected"}
    # a prior of one value alone has no scale to measure by
    one = not learned["verdict"]
    size = learned["verdict"] == PRIOR_DRIVEN or (one and bool(np.allclose(apart, before[0], rtol=_SAME)))
    direction = _direction(above, prior_above)
    if size and direction == _AS_PRIOR:
        return {**found, "note": f"{_AS_PRIOR}, in direction and size"}
    how = f"shift {learned['shift']:+.1f} prior sd"
    if learned["verdict"] == DATA_DRIVEN:
        how = f"contraction {learned['contraction']:.2f}, {how}"
    of_size = _AS_PRIOR if size else f"not {_AS_PRIOR}" + ("" if chance or one else f" ({how})")
    return {**found, "note": f"direction {direction}, size {of_size}"}


def _direction(above: float, prior_above: float) -> str:
    """Whether a direction is the prior's, by the chance that the first is above the second."""
    if abs(above - prior_above) < _SAME_CHANCE:
        return _AS_PRIOR
    if (above - 0.5) * (prior_above - 0.5) <= 0:
        return f"not {_AS_PRIOR}"
    surer = abs(above - 0.5) > abs(prior_above - 0.5)
    return f"{_AS_PRIOR} but {'surer' if surer else 'less sure'}"


def learned_of(draws: Array, prior: Array, chance: bool) -> dict[str, float | str]:
    """What the data made of a number: of its normal scores among the prior's draws, whatever its own scale."""
    none: dict[str, float | str] = {"contraction": np.nan, "shift": np.nan, "verdict": ""}
    if not draws.size or not prior.size:
        return none
    if chance:
        moved = abs(float(draws.mean() - prior.mean())) >= _SAME_CHANCE
        return {**none, "verdict": MOVED if moved else PRIOR_DRIVEN}
    if np.ptp(prior) <= _SAME * np.abs(prior).max():  # all the same, to what the solver can tell
        return none
    before, after = _scores(prior, prior), _scores(draws, prior)
    shift = float(after.mean() - before.mean())
    if np.unique(prior, return_counts=True)[1].max() > 0.5 * prior.size:
        # mostly one value, no days at all say: where the draws agree with it, nothing was narrowed
        return {**none, "shift": shift, "verdict": verdict(0.0, shift)}
    contraction = float(1 - after.var() / before.var())
    return {"contraction": contraction, "shift": shift, "verdict": verdict(contraction, shift)}


def _scores(draws: Array, among: Array) -> Array:
    """Normal scores of the places of draws among others; equal ones share theirs."""
    from scipy.special import ndtri

    order = np.sort(among)
    below, up_to = (np.searchsorted(order, draws, side) for side in ("left", "right"))
    return np.asarray(ndtri((0.5 * (below + up_to) + 0.5) / (among.size + 1)))


def difference(first: Array, second: Array) -> Array:
    """First - second; zero where that is less than the solver can tell, lest rounding decide a comparison."""
    found = first - second
    return np.where(np.abs(found) <= _SAME * np.maximum(np.abs(first), np.abs(second)), 0.0, found)


def share_above(apart: Array) -> float:
    """Share of draws above zero, ties count half."""
    return float(np.mean(apart > 0) + 0.5 * np.mean(apart == 0)) if apart.size else np.nan


# ---- Monte Carlo errors ----------------------------------------------------------------------------


def effective_draws(source: Any, count: int) -> float:
    """How many independent draws `count` draws of a source are worth.

    Draws of an approximation are independent. Those of a posterior are drawn again from what a sampler made: they are worth no
    more than that.

    Parameters
    ----------
    source : Calibration or Posterior
    count : int

    Returns
    -------
    float
        Above zero; at most `count`.
    """
    worth = getattr(source, "effective", None)
    if worth is None or not np.isfinite(worth):
        return float(count)
    return float(max(min(count, worth), 1.0))


def mean_error(draws: Array, effective: float) -> Array:
    """Standard error of the mean over the last axis.

    The sample standard deviation over the root of `effective`. Of draws that are all 0 or 1 it is the standard deviation of
    their chance under a flat prior, Beta(k + 1, n - k + 1), so that no hit in n draws is no certainty.

    Parameters
    ----------
    draws : array, shape (..., n_draws)
    effective : float
        Independent draws these are worth.

    Returns
    -------
    array, shape (...)
        nan where there is one draw alone.

    Examples
    --------
    >>> round(float(mean_error(np.zeros(98), 98)), 4)  # sd of Beta(1, 99)
    0.0099
    """
    count = draws.shape[-1]
    if count < 2:
        return np.full(draws.shape[:-1], np.nan)
    plain = draws.std(axis=-1, ddof=1) / np.sqrt(effective)
    share = (np.clip(draws.mean(axis=-1), 0.0, 1.0) * effective + 1) / (effective + 2)
    binary = ((draws == 0) | (draws == 1)).all(axis=-1)
    return np.where(binary, np.sqrt(share * (1 - share) / (effective + 3)), plain)


def median_error(draws: Array, effective: float) -> Array:
    """Standard error of the median over the last axis, from the quantiles one standard error of a rank below and above it.

    The rank of the median among n draws has the standard deviation sqrt(n)/2 (binomial), so the quantiles of
    1/2 - 1/(2 sqrt n) and 1/2 + 1/(2 sqrt n) lie two standard errors apart, whatever the distribution.

    Parameters
    ----------
    draws : array, shape (..., n_draws)
    effective : float
        Independent draws these are worth.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=10_000)
    >>> bool(0.9 < median_error(draws, 10_000) / np.sqrt(np.pi / 2 / 10_000) < 1.1)
    True
    """
    if draws.shape[-1] < 2:
        return np.full(draws.shape[:-1], np.nan)
    step = min(0.5 / np.sqrt(effective), 0.5)
    shares = (0.5 - step, 0.5 + step)
    low, high = _quantiles(draws, shares) if draws.ndim == 1 else np.quantile(draws, shares, axis=-1)
    return np.asarray((high - low) / 2)
