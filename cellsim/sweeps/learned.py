"""What the data made of a number: its draws beside the prior's, a median or a mean with its Monte Carlo error, pairs apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError, unusable
from cellsim.predictions.bands import quantiles
from cellsim.results import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.predictions.measures import Asked

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = [
    "all_beside_prior",
    "all_learned",
    "beside_prior",
    "check_level",
    "difference",
    "effective_draws",
    "mean_error",
    "median_error",
    "share_above",
    "summaries",
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
    found = summaries(draws[None], np.array([asked.chance]), level, prefix)
    return {name: float(each[0]) for name, each in found.items()}


def summaries(draws: Array, chances: Flags, level: float, prefix: str) -> dict[str, Array]:
    """:func:`summary` of many numbers at once: a table of pairs of plans has thousands of rows.

    Parameters
    ----------
    draws : array, shape (n_rows, n_draws)
    chances : array of bool, shape (n_rows,)
        Which of them are chances.
    level : float
        Of the intervals.
    prefix : str
        Of the names.

    Returns
    -------
    dict of str to array, shape (n_rows,)
        ``estimate``, ``low`` and ``high``; nan where there are no draws, and the ends of chances.

    Examples
    --------
    >>> found = summaries(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]]), np.array([False, True]), 0.5, "")
    >>> [each.round(3).tolist() for each in found.values()]
    [[2.0, 0.667], [1.5, nan], [2.5, nan]]
    """
    if not draws.shape[-1]:
        return {f"{prefix}{name}": np.full(len(draws), np.nan) for name in ("estimate", "low", "high")}
    low, middle, high = quantiles(draws, ((1 - level) / 2, 0.5, (1 + level) / 2))
    return {
        f"{prefix}estimate": np.where(chances, draws.mean(axis=-1), middle),
        f"{prefix}low": np.where(chances, np.nan, low),
        f"{prefix}high": np.where(chances, np.nan, high),
    }


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
    found = all_beside_prior(apart[None], before[None], np.array([chance]))
    return {name: each[0] for name, each in found.items()}


def all_beside_prior(apart: Array, before: Array, chances: Flags) -> dict[str, list[Any]]:
    """:func:`beside_prior` of many differences, shape (n_rows, n_draws), at once."""
    learned = all_learned(apart, before, chances)
    above, prior_above = share_above(apart), share_above(before)
    found = {"above": above.tolist(), "prior_above": prior_above.tolist(), **learned}
    if not apart.shape[-1] or not before.shape[-1]:
        return {**found, "note": [""] * len(apart)}
    differs = np.logical_or((apart != 0).any(axis=-1), (before != 0).any(axis=-1))
    # a prior of one value alone has no scale to measure by
    same: Flags = np.all(np.isclose(apart, before[:, :1], rtol=_SAME), axis=-1)
    return {
        **found,
        "note": [
            _note(
                found["above"][k],
                found["prior_above"][k],
                learned["contraction"][k],
                learned["shift"][k],
                learned["verdict"][k],
                same=bool(same[k]),
                chance=bool(chances[k]),
            )
            if differs[k]
            else "no difference, and none expected"
            for k in range(len(apart))
        ],
    }


def _note(
    above: float,
    prior_above: float,
    contraction: float,
    shift: float,
    learned: str,
    *,
    same: bool,
    chance: bool,
) -> str:
    """Direction and size of one difference, in words; `same` where all of it is the prior's first draw."""
    one = not learned
    size = learned == PRIOR_DRIVEN or (one and same)
    direction = _direction(above, prior_above)
    if size and direction == _AS_PRIOR:
        return f"{_AS_PRIOR}, in direction and size"
    how = f"shift {shift:+.1f} prior sd"
    if learned == DATA_DRIVEN:
        how = f"contraction {contraction:.2f}, {how}"
    of_size = _AS_PRIOR if size else f"not {_AS_PRIOR}" + ("" if chance or one else f" ({how})")
    return f"direction {direction}, size {of_size}"


def _direction(above: float, prior_above: float) -> str:
    """Whether a direction is the prior's, by the chance that the first is above the second."""
    if abs(above - prior_above) < _SAME_CHANCE:
        return _AS_PRIOR
    if (above - 0.5) * (prior_above - 0.5) <= 0:
        return f"not {_AS_PRIOR}"
    surer = abs(above - 0.5) > abs(prior_above - 0.5)
    return f"{_AS_PRIOR} but {'surer' if surer else 'less sure'}"


def all_learned(draws: Array, prior: Array, chances: Flags) -> dict[str, list[Any]]:
    """What the data made of numbers: of their normal scores among the prior's draws, whatever their own scales.

    Parameters
    ----------
    draws, prior : array, shape (n_rows, n_draws)
    chances : array of bool, shape (n_rows,)
        Which of them are chances, of which it is told whether they moved.

    Returns
    -------
    dict of str to list
        ``contraction``, ``shift`` (nan where the prior's draws are all the same), ``verdict`` (empty there).
    """
    contraction, shift = np.full(len(draws), np.nan), np.full(len(draws), np.nan)
    verdicts = [""] * len(draws)
    if draws.shape[-1] and prior.shape[-1]:
        with np.errstate(invalid="ignore"):  # infinite draws
            moved = np.abs(draws.mean(axis=-1) - prior.mean(axis=-1)) >= _SAME_CHANCE
            # all the same, to what the solver can tell
            one = np.ptp(prior, axis=-1) <= _SAME * np.abs(prior).max(axis=-1)
        judged = np.flatnonzero(~chances & ~one)
        order = np.sort(prior[judged], axis=-1)
        before, after = _scores(prior[judged], order), _scores(draws[judged], order)
        shift[judged] = after.mean(axis=-1) - before.mean(axis=-1)
        contraction[judged] = 1 - after.var(axis=-1) / before.var(axis=-1)
        # mostly one value, no days at all say: where the draws agree with it, nothing was narrowed
        half = order.shape[-1] // 2
        apart = order[:, half:] != order[:, : order.shape[-1] - half]
        unknown = np.isnan(order[:, : order.shape[-1] - half])
        mostly = ~(apart & ~unknown).all(axis=-1)
        for k, alike in zip(judged.tolist(), mostly.tolist(), strict=True):
            verdicts[k] = verdict(0.0 if alike else float(contraction[k]), float(shift[k]))
        contraction[judged[mostly]] = np.nan
        for k in np.flatnonzero(chances).tolist():
            verdicts[k] = MOVED if moved[k] else PRIOR_DRIVEN
    return {"contraction": contraction.tolist(), "shift": shift.tolist(), "verdict": verdicts}


def _scores(draws: Array, orders: Array) -> Array:
    """Normal scores of the places of draws among others, which stand in order; equal ones share theirs."""
    from scipy.special import ndtri

    places = [
        np.searchsorted(order, row, "left") + np.searchsorted(order, row, "right")
        for order, row in zip(orders, draws, strict=True)
    ]
    shares = (0.5 * np.reshape(places, draws.shape) + 0.5) / (orders.shape[-1] + 1)
    return np.asarray(ndtri(shares))


def difference(first: Array, second: Array) -> Array:
    """First - second; zero where that is less than the solver can tell, lest rounding decide a comparison."""
    found = first - second
    return np.where(np.abs(found) <= _SAME * np.maximum(np.abs(first), np.abs(second)), 0.0, found)


def share_above(apart: Array) -> Array:
    """Share of draws, the last axis, above zero; ties count half, and nan where there are none."""
    if not apart.shape[-1]:
        return np.full(apart.shape[:-1], np.nan)
    return np.asarray(np.mean(apart > 0, axis=-1) + 0.5 * np.mean(apart == 0, axis=-1))


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
    low, high = quantiles(draws, (0.5 - step, 0.5 + step))
    with np.errstate(invalid="ignore"):  # infinite draws
        return np.asarray((high - low) / 2)
