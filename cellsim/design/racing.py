"""A race of plans on common draws: few draws for all, more for those that may still be the best, in every mechanism at once.

In each mechanism v the utility of plan i is a mean over posterior draws. After n draws plan i is dropped there when the plan l of the highest mean is
better by more than eps, with confidence:

    mean(U_l - U_i) - t(1 - (1 - p)/(K R); n - 1) sd(U_l - U_i)/sqrt(n) > eps,

with K plans and R rounds (Bonferroni), so that all that is dropped in v is rightly dropped with probability p. The draws are the same for all plans,
so what plans share cancels (common random numbers; Kim and Nelson 2001 for rounds with all pairs). On average over mechanisms t has the degrees of
freedom of Welch and Satterthwaite.

Benefit against cost is a question about most plans: those that dearer ones beat may be the best of their cost. They are told apart by the
draws of the first rounds, and of each cost only the plan of the highest mean is followed a little further.
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

__all__ = ["Contender", "Raced", "compared", "race", "rounds_of", "upper"]

# draws of the first round, whole groups of the widest lanes, and by how much the next one has more
_FIRST, _GROWTH = 16, 2
# draws by which plans of one cost are told apart, and those that the plan of the highest mean of each cost has
_CONTESTED, _LEADING = 32, 128
# draws beyond so many times what they are worth say nothing new: they are those of before drawn again
_REPEATED = 4
# of a utility: what the solver does not know of it
_SAME = 1e-4


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
    alike : bool
        Whether plans cannot differ in it but by what they cost, so that every draw tells how far apart they are.
    """

    weight: float
    worth: float
    utility: Callable[[NDArray[np.intp], int, int], Array]
    alike: bool = False


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
        Plans than which none that costs no more is better on average, as far as the first rounds tell.
    drawn : array of int, shape (n_plans,)
        Draws each plan had (of a mechanism that counts, if its draws are worth as many).
    level : float
        Of the quantile of Student's t, Bonferroni-corrected.
    simulations : int
    interrupted : bool
    """

    utility: Mapping[str, Array]
    alive: Mapping[str, Mask]
    average: Mask
    front: Mask
    drawn: NDArray[np.intp]
    level: float
    simulations: int
    interrupted: bool


def rounds_of(draws: int) -> list[int]:
    """Draws at the end of each round.

    Examples
    --------
    >>> rounds_of(500), rounds_of(10)
    ([16, 32, 64, 128, 500], [10])
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
    count, ends = len(costs), rounds_of(draws)
    level = 1 - (1 - probability) / (count * len(ends))
    found = {name: np.full((count, draws), np.nan) for name in contenders}
    alive = {name: np.ones(count, bool) for name in contenders}
    # in a mechanism surely no further from its best than what does not matter, which more draws would only repeat
    equal = {name: np.zeros(count, bool) for name in contenders}
    average, front, followed = np.ones(count, bool), np.ones(count, bool), np.ones(count, bool)
    drawn = np.zeros(count, np.intp)
    counted = {name: (each.weight, each.worth) for name, each in contenders.items() if each.weight > 0}
    simulations, begin, interrupted = 0, 0, False
    for end in ends:
        fresh = {}
        try:
            for name, each in contenders.items():
                if begin >= _REPEATED * each.worth:
                    continue
                wanted = alive[name] & ~equal[name]
                if equal[name].any() and wanted.sum() == 1:  # the best and its equals
                    wanted = np.zeros(count, bool)
                wanted |= (average | followed) if each.weight > 0 else False
                if not wanted.any():
                    continue
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
            simulations += values.shape[1] if contenders[name].alike else values.size
        drawn[average | followed] = end
        seen = {name: found[name][:, :end] for name in contenders}
        for name, each in contenders.items():
            own, counts = {name: seen[name]}, {name: (1.0, each.worth)}
            kept = _kept(alive[name] & ~equal[name], own, counts, level, eps, chance)
            alive[name] = equal[name] | kept
            # not by a few draws, which rare ones may still tell apart, nor where draws are hits or none
            if each.alike or (end >= _LEADING and not chance):
                equal[name] |= _equal(kept, own, counts, level, eps)
        average = _kept(average, seen, counted, level, eps, chance)
        if begin < _CONTESTED:
            shown = seen if benefit is None else {name: benefit(values) for name, values in seen.items()}
            front, followed = _front(front, shown, counted, costs, level, eps, chance)
        if end < _CONTESTED:
            followed = front
        elif end >= _LEADING:
            followed = np.zeros_like(front)
        begin = end
    return Raced(found, alive, average, front, drawn, level, simulations, interrupted)


def compared(
    first: int,
    plans: NDArray[np.intp],
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    chance: bool,
) -> tuple[Array, Array, Array]:
    """How much better one plan is than others, averaged over mechanisms.

    Returns
    -------
    mean, error : array, shape (n_plans,)
        Of paired draws; infinite where a plan shares no draw with the first.
    freedom : array, shape (n_plans,)
        Degrees of freedom of the error (Welch 1947, Biometrika 34, 28).
    """
    mean, square, fourth = (np.zeros(len(plans)) for _ in range(3))
    least = np.full(len(plans), np.inf)
    for name, (weight, worth) in counted.items():
        apart = seen[name][first] - seen[name][plans]
        there = np.isfinite(apart)
        size = np.maximum(there.sum(axis=1), 1)
        filled = np.where(there, apart, 0.0)
        means = filled.sum(axis=1) / size
        spread = (np.where(there, apart - means[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(size - 1, 1)
        if chance:  # one more draw of the opposite kind: draws that are all alike are no certainty
            spread = spread + 1.0 / size * (np.abs(means) > 0)
        independent = np.minimum(size, worth)
        freedom = np.maximum(independent - 1, 1)
        own = weight**2 * spread / independent
        mean += np.where(there.any(axis=1), weight * means, np.inf)
        square += own
        fourth += own**2 / freedom
        least = np.minimum(least, freedom)
    certain = fourth == 0
    return mean, np.sqrt(square), np.where(certain, least, square**2 / np.where(certain, 1.0, fourth))


def upper(level: float, error: Array, freedom: Array) -> Array:
    """How far a mean may be off at a level: that quantile of Student's t times its standard error."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, level) * error)


def _means(
    seen: Mapping[str, Array], counted: Mapping[str, tuple[float, float]], plans: NDArray[np.intp]
) -> Array:
    """Mean utility of plans that had the same draws; minus infinity where none could be simulated."""
    total = np.zeros(len(plans))
    for name, (weight, _) in counted.items():
        there = np.isfinite(seen[name][plans])
        sums, size = np.where(there, seen[name][plans], 0.0).sum(axis=1), there.sum(axis=1)
        total += np.where(size > 0, weight * sums / np.maximum(size, 1), -np.inf)
    return total


def _kept(
    alive: Mask,
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    level: float,
    eps: float,
    chance: bool,
) -> Mask:
    """Plans than which the best is not surely better by more than eps."""
    plans = np.flatnonzero(alive)
    leader = int(plans[np.argmax(_means(seen, counted, plans))])
    mean, error, freedom = compared(leader, plans, seen, counted, chance)
    out = np.zeros_like(alive)
    out[plans[~(mean - upper(level, error, freedom) > eps)]] = True
    return out


def _equal(
    alive: Mask,
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    level: float,
    eps: float,
) -> Mask:
    """Plans surely no further from the best than eps, or than the solver knows a utility; the best itself stays to be compared with."""
    plans = np.flatnonzero(alive)
    leader = int(plans[np.argmax(_means(seen, counted, plans))])
    mean, error, freedom = compared(leader, plans, seen, counted, chance=False)
    largest = max(float(np.nanmax(np.abs(each[leader]), initial=0.0)) for each in seen.values())
    out = np.zeros_like(alive)
    out[plans[np.abs(mean) + upper(level, error, freedom) <= max(eps, _SAME * largest)]] = True
    out[leader] = False
    return out


def _front(
    alive: Mask,
    seen: Mapping[str, Array],
    counted: Mapping[str, tuple[float, float]],
    costs: Array,
    level: float,
    eps: float,
    chance: bool,
) -> tuple[Mask, Mask]:
    """Plans than which none that costs no more is surely better by more than eps; and those of the highest mean up to each cost."""
    plans = np.flatnonzero(alive)
    means = _means(seen, counted, plans)
    out, leading = np.zeros_like(alive), np.zeros_like(alive)
    for cost in np.unique(costs[plans]):
        cheaper = costs[plans] <= cost
        here = plans[costs[plans] == cost]
        leader = int(plans[cheaper][np.argmax(means[cheaper])])
        leading[leader] = True
        mean, error, freedom = compared(leader, here, seen, counted, chance)
        out[here[~(mean - upper(level, error, freedom) > eps)]] = True
    return out, leading
