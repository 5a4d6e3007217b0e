"""A race of plans on common draws: few draws for all, more for those that may still be the best, in every mechanism at once.

In each mechanism v the utility of plan i is a mean over posterior draws. After n draws plan i is dropped there when the plan l of the highest mean is
better by more than eps, with confidence:

    mean(U_l - U_i) - t(1 - (1 - p)/(K R); n - 1) sd(U_l - U_i)/sqrt(n) > eps,

with K plans and R rounds (Bonferroni), so that all that is dropped in v is rightly dropped with probability p. The draws are the same for all plans,
so what plans share cancels (common random numbers; Kim and Nelson 2001 for rounds with all pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Contender", "Raced", "race", "rounds_of"]

# draws of the first round, and by how much the next one has more
_FIRST, _GROWTH = 12, 4


@dataclass(frozen=True, eq=False)
class Contender:
    """One mechanism in which plans are compared.

    Attributes
    ----------
    weight : float
        Of the average; all add to 1.
    worth : float
        Independent draws that all draws are worth at most.
    utility : callable
        ``utility(plans, first, last)``: utilities of plans (their places) in draws first to last, shape (n_plans, last - first), nan where a draw
        could not be simulated.
    """

    weight: float
    worth: float
    utility: Callable[[NDArray[np.intp], int, int], Array]


@dataclass(frozen=True, eq=False)
class Raced:
    """What a race found.

    Attributes
    ----------
    utility : mapping of str to array, shape (n_plans, n_draws)
        By mechanism; nan where a plan was not simulated.
    alive : mapping of str to array of bool, shape (n_plans,)
        Plans that may be the best in a mechanism.
    average : array of bool, shape (n_plans,)
        Plans that may be the best on average.
    front : array of bool, shape (n_plans,)
        Plans than which none that costs no more is better on average.
    drawn : array of int, shape (n_plans,)
        Draws each plan had (of a mechanism that counts).
    quantile : float
        Of Student's t at the last round, Bonferroni-corrected.
    simulations : int
    interrupted : bool
    """

    utility: Mapping[str, Array]
    alive: Mapping[str, Mask]
    average: Mask
    front: Mask
    drawn: NDArray[np.intp]
    quantile: float
    simulations: int
    interrupted: bool


def rounds_of(draws: int) -> list[int]:
    """Draws at the end of each round.

    Examples
    --------
    >>> rounds_of(500), rounds_of(10)
    ([12, 48, 192, 500], [10])
    """
    out = [min(_FIRST, draws)]
    while out[-1] < draws:
        # no last round of a few draws
        out.append(draws if out[-1] * _GROWTH * 2 > draws else out[-1] * _GROWTH)
    return out


def race(
    contenders: Mapping[str, Contender],
    costs: Array,
    *,
    draws: int,
    eps: float,
    probability: float,
    chance: bool,
    benefit: Callable[[Array], Array] | None = None,
) -> Raced:
    """Race all plans.

    Parameters
    ----------
    contenders : mapping of str to Contender
    costs : array, shape (n_plans,)
        What the front weighs the benefit against.
    draws : int
        At most, of each mechanism.
    eps : float
        Differences that do not matter.
    probability : float
        Of everything said of a mechanism.
    chance : bool
        Whether utilities are chances: draws that are all alike then do not count as certain.
    benefit : callable, optional
        From utilities (n_plans, ...) to what the front shows; the same by default.

    Returns
    -------
    Raced
        An interrupt after the first round ends it there.
    """
    from scipy.stats import t as student

    count, ends = len(costs), rounds_of(draws)
    level = 1 - (1 - probability) / (count * len(ends))
    found = {name: np.full((count, draws), np.nan) for name in contenders}
    alive = {name: np.ones(count, bool) for name in contenders}
    average, front = np.ones(count, bool), np.ones(count, bool)
    drawn = np.zeros(count, np.intp)
    simulations, begin, quantile, interrupted = 0, 0, np.inf, False
    for end in ends:
        fresh = {}
        try:
            for name, each in contenders.items():
                wanted = alive[name] | ((average | front) if each.weight > 0 else False)
                plans = np.flatnonzero(wanted)
                # a plan alone has nothing to be compared with, but its mean is told
                fresh[name] = plans, each.utility(plans, begin, end)
        except KeyboardInterrupt:
            if begin == 0:
                raise
            interrupted = True
            break
        for name, (plans, values) in fresh.items():
            found[name][plans, begin:end] = values
            simulations += values.size
        drawn[average | front] = end
        freedom = max(min([end, *(each.worth for each in contenders.values())]) - 1, 1)
        quantile = float(student.ppf(level, freedom))
        seen = {name: found[name][:, :end] for name in contenders}
        for name, each in contenders.items():
            alive[name] = _kept(
                alive[name], {name: seen[name]}, {name: (1.0, each.worth)}, quantile, eps, chance
            )
        counted = {name: (each.weight, each.worth) for name, each in contenders.items() if each.weight > 0}
        average = _kept(average, seen, counted, quantile, eps, chance)
        shown = seen if benefit is None else {name: benefit(values) for name, values in seen.items()}
        front = _front(front, shown, counted, costs, quantile, eps, chance)
        begin = end
    return Raced(found, alive, average, front, drawn, quantile, simulations, interrupted)


def compared(
    first: int,
    plans: NDArray[np.intp],
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    chance: bool,
) -> tuple[Array, Array]:
    """How much better one plan is than others, averaged over mechanisms: mean and standard error from paired draws."""
    mean, square = np.zeros(len(plans)), np.zeros(len(plans))
    for name, (weight, worth) in counted.items():
        apart = seen[name][first] - seen[name][plans]
        there = np.isfinite(apart)
        size = np.maximum(there.sum(axis=1), 1)
        filled = np.where(there, apart, 0.0)
        means = filled.sum(axis=1) / size
        spread = (np.where(there, apart - means[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(size - 1, 1)
        if chance:  # one more draw of the opposite kind: draws that are all alike are no certainty
            spread = spread + 1.0 / size * (np.abs(means) > 0)
        mean += weight * means
        square += weight**2 * spread / np.minimum(size, worth)
    return mean, np.sqrt(square)


def _means(
    seen: Mapping[str, Array], counted: Mapping[str, tuple[float, float]], plans: NDArray[np.intp]
) -> Array:
    return np.asarray(
        sum(weight * np.nanmean(seen[name][plans], axis=1) for name, (weight, _) in counted.items())
    )


def _kept(
    alive: Mask,
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    quantile: float,
    eps: float,
    chance: bool,
) -> Mask:
    """Plans than which the best is not surely better by more than eps."""
    plans = np.flatnonzero(alive)
    leader = int(plans[np.argmax(_means(seen, counted, plans))])
    mean, error = compared(leader, plans, seen, counted, chance)
    out = np.zeros_like(alive)
    out[plans[~(mean - quantile * error > eps)]] = True
    return out


def _front(
    alive: Mask,
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    costs: Array,
    quantile: float,
    eps: float,
    chance: bool,
) -> Mask:
    """Plans than which none that costs no more is surely better by more than eps."""
    plans = np.flatnonzero(alive)
    means = _means(seen, counted, plans)
    out = np.zeros_like(alive)
    for cost in np.unique(costs[plans]):
        cheaper = costs[plans] <= cost
        here = plans[costs[plans] == cost]
        leader = int(plans[cheaper][np.argmax(means[cheaper])])
        mean, error = compared(leader, here, seen, counted, chance)
        out[here[~(mean - quantile * error > eps)]] = True
    return out
