"""Plans compared draw by draw: the chance that one beats another, expected regret, dominance, and which cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CellsimError, did_you_mean
from cellsim.sweeps.learned import difference, mean_error

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.predictions.measures import Asked

    Array = NDArray[np.float64]

__all__ = ["SURE", "Ranking", "beats", "place_asked", "place_of", "rank", "ranking_frame", "told_apart"]

SURE = 0.9
"""The chance from which one plan is said to beat another, unless told."""

# standard errors that a Monte Carlo estimate must be off a bound
_ERRORS = 2.0


def beats(first: Array, second: Array, effective: float) -> tuple[Array, Array]:
    """The chance that the first is larger, from paired draws, with its Monte Carlo error.

    A draw in which both are the same, to the solver's tolerance, counts one half to each.

    Parameters
    ----------
    first, second : array, shape (..., n_draws)
    effective : float
        Independent draws these are worth.

    Returns
    -------
    chance, error : array, shape (...)

    Examples
    --------
    >>> [float(each) for each in beats(np.ones(50), np.ones(50), 50)]
    [0.5, 0.0]
    """
    wins = 0.5 * (1 + np.sign(difference(first, second)))
    return wins.mean(axis=-1), mean_error(wins, effective)


def told_apart(chance: float, error: float, sure: float = SURE) -> str:
    """Who is said to be larger: ``"first"``, ``"second"``, or ``"tie"`` where the draws cannot tell.

    It is told when the chance is at least `sure` and one half lies more than two Monte Carlo errors away.

    Parameters
    ----------
    chance, error : float
        As :func:`beats` gives them.
    sure : float

    Examples
    --------
    >>> told_apart(0.95, 0.01), told_apart(0.05, 0.01), told_apart(0.7, 0.01), told_apart(0.95, 0.3)
    ('first', 'second', 'tie', 'tie')
    """
    if not abs(chance - 0.5) > _ERRORS * error:
        return "tie"
    if chance >= sure:
        return "first"
    return "second" if chance <= 1 - sure else "tie"


@dataclass(frozen=True, eq=False)
class Ranking:
    """Plans beside the best of them, by one measure.

    Attributes
    ----------
    order : tuple of int
        Places of the plans, the highest mean utility first.
    mean, mean_error : array, shape (n_plans,)
        Expected utility: the measure, or minus it where lower is better.
    best, best_error : array, shape (n_plans,)
        The chance to be the best of all; plans that are best together share it.
    regret, regret_error : array, shape (n_plans,)
        Expected regret: what is lost, on average over the draws, against the plan that is best in that draw.
    dominated_by : tuple of tuple of int
        Plans that are at least as good in every draw and better in one.
    tie : array of bool, shape (n_plans,)
        Whether it cannot be told from the plan of the highest mean.
    """

    order: tuple[int, ...]
    mean: Array
    mean_error: Array
    best: Array
    best_error: Array
    regret: Array
    regret_error: Array
    dominated_by: tuple[tuple[int, ...], ...]
    tie: NDArray[np.bool_]


def rank(utility: Array, effective: float, *, sure: float = SURE) -> Ranking:
    """Rank plans by paired draws of a utility, more of it being better.

    Parameters
    ----------
    utility : array, shape (n_plans, n_draws)
    effective : float
        Independent draws these are worth.
    sure : float
        The chance from which one plan is said to beat another.

    Returns
    -------
    Ranking

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(size=400)
    >>> found = rank(np.array([draws, draws + 1, draws + 1]), 400)
    >>> found.best.tolist(), found.regret.tolist(), found.tie.tolist(), found.dominated_by
    ([0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [False, True, True], ((1, 2), (), ()))
    """
    top = utility.max(axis=0)
    lost = -difference(utility, np.broadcast_to(top, utility.shape))
    first = lost == 0
    share = first / first.sum(axis=0)
    mean = utility.mean(axis=-1)
    order = np.argsort(-mean, kind="stable")
    leader = utility[order[0]]
    chance, error = beats(np.broadcast_to(leader, utility.shape), utility, effective)
    tie = [told_apart(float(p), float(e), sure) != "first" for p, e in zip(chance, error, strict=True)]
    return Ranking(
        order=tuple(order.tolist()),
        mean=mean,
        mean_error=mean_error(utility, effective),
        best=share.mean(axis=-1),
        best_error=mean_error(share, effective),
        regret=lost.mean(axis=-1),
        regret_error=lost.std(axis=-1, ddof=1) / np.sqrt(effective)
        if utility.shape[-1] > 1
        else np.full(len(utility), np.nan),
        dominated_by=tuple(_dominating(utility, k) for k in range(len(utility))),
        tie=np.array(tie),
    )


def _dominating(utility: Array, place: int) -> tuple[int, ...]:
    """Plans that are nowhere worse than one, and somewhere better."""
    apart = difference(utility, np.broadcast_to(utility[place], utility.shape))
    found: Sequence[int] = np.flatnonzero((apart >= 0).all(axis=-1) & (apart > 0).any(axis=-1)).tolist()
    return tuple(found)


def place_of(
    asked: tuple[Asked, ...],
    case: Case,
    measure: str | None,
    quantity: str | None,
    day: float | None,
    better: str | None,
) -> tuple[int, float]:
    """Where the measure stands by which plans are judged, and 1 where more of it is better, -1 where less is.

    Raises
    ------
    CellsimError
        For a measure that was not asked, or of which nobody says what is better.
    """
    known = [f"{each.measure} of {each.quantity}" for each in asked]
    if better not in (None, "higher", "lower"):
        raise CellsimError(f"better = {better!r}: 'higher' or 'lower' is needed.")
    words = {each.key: each.better for each in case.outcomes if each.better}
    if measure is None and quantity is None:
        for key, direction in words.items():
            for k, each in enumerate(asked):
                if (each.measure, each.quantity) == key:
                    return k, 1.0 if (better or direction) == "higher" else -1.0
        if len(asked) > 1 or better is None:
            raise CellsimError(
                "no outcome of the case that says what is better was asked. Name a measure, a quantity and better='higher' or 'lower'; "
                f"asked: {', '.join(known[:6])}."
            )
        return 0, 1.0 if better == "higher" else -1.0
    place = place_asked(asked, measure, quantity, day)
    found = asked[place]
    direction = better or words.get((found.measure, found.quantity), "higher" if found.chance else "")
    if not direction:
        raise CellsimError(
            f"whether more or less of {found.measure} of {found.quantity} is better is not known: give better='higher' or 'lower'."
        )
    return place, 1.0 if direction == "higher" else -1.0


def place_asked(
    asked: tuple[Asked, ...], measure: str | None, quantity: str | None, day: float | None
) -> int:
    """Where a measure stands; the first that fits what is given.

    Raises
    ------
    CellsimError
        For a measure that was not asked.
    """
    for k, each in enumerate(asked):
        if measure in (None, each.measure) and quantity in (None, each.quantity) and day in (None, each.day):
            return k
    known = [f"{each.measure} of {each.quantity}" for each in asked]
    when = f" on day {day:g}" if day is not None else ""
    wanted = f"{measure or 'any measure'} of {quantity or 'any quantity'}{when}"
    raise CellsimError(f"no {wanted} in this sweep. {did_you_mean(wanted, known)}")


def ranking_frame(
    names: list[str], utility: Array, found: Ranking, sign: float, effective: float
) -> pd.DataFrame:
    """A ranking as a table, the best first; see :meth:`cellsim.Sweep.ranking`."""
    import pandas as pd

    leader = found.order[0]
    chance, error = beats(np.broadcast_to(utility[leader], utility.shape), utility, effective)
    return pd.DataFrame(
        [
            {
                "schedule": names[i],
                "rank": k + 1,
                "mean": sign * found.mean[i],
                "mean_error": found.mean_error[i],
                "best": found.best[i],
                "best_error": found.best_error[i],
                "regret": found.regret[i],
                "regret_error": found.regret_error[i],
                "beaten": chance[i],
                "beaten_error": error[i],
                "tie": bool(found.tie[i]),
                "dominated_by": "; ".join(names[j] for j in found.dominated_by[i][:3]),
            }
            for k, i in enumerate(found.order)
        ]
    )
