"""Whether chains have converged, judged without being asked, with advice in words; the door to ArviZ's diagnostics.

Rank-normalised split R-hat and effective sample sizes of bulk and tails are those of Vehtari, Gelman, Simpson,
Carpenter and Buerkner (2021) Bayesian Analysis 16:667, doi 10.1214/20-BA1221. They depend on ranks only, so they
are the same in whitened coordinates and in a parameter's own unit.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "Convergence",
    "arviz",
    "converged",
    "doubts_of",
    "doubts_of_tolerance",
    "newer_arviz",
]

LARGEST_RHAT = 1.01
# a hundred a chain of four: below that R-hat and quantiles are themselves uncertain
LEAST_ESS = 400
# energy: how well a fresh momentum crosses the energies of the posterior
LEAST_ENERGY = 0.3
DEEP_SHARE = 0.01
# what medians and 90 % intervals need: a Monte Carlo error of a tenth of a posterior sd, chains that agree as well
USABLE_RHAT, USABLE_ESS = 1.05, 100.0
LARGEST_TOLERANCE_ERROR = 0.05
FEWEST_CHAINS = 4


@dataclass(frozen=True, eq=False)
class Convergence:
    """Diagnostics of one quantity a column.

    Attributes
    ----------
    rhat, ess_bulk, ess_tail : array, shape (n,)
    """

    rhat: Array
    ess_bulk: Array
    ess_tail: Array

    @property
    def usable(self) -> bool:
        """Whether chains are good enough for medians and 90 % intervals."""
        least = np.fmin(self.ess_bulk, self.ess_tail)
        return bool(np.all(self.rhat < USABLE_RHAT) and np.all(least >= USABLE_ESS))


def arviz() -> Any:
    """ArviZ, whichever line is installed, without the notice that 0.23 gives of the next one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz as found
    return found


def newer_arviz() -> bool:
    """Whether ArviZ is of the line from 1.0 on, which keeps names of 0.23 for things that are other things."""
    return int(str(arviz().__version__).split(".")[0]) >= 1


def converged(draws: Array) -> Convergence:
    """R-hat and effective sample sizes.

    Parameters
    ----------
    draws : array, shape (n_chains, n_draws, n)

    Returns
    -------
    Convergence
        All nan with fewer than four draws a chain.

    Examples
    --------
    >>> found = converged(np.random.default_rng(0).standard_normal((4, 100, 1)))
    >>> bool(found.rhat[0] < 1.05)
    True
    """
    import xarray as xr

    size = draws.shape[2]
    if draws.shape[1] < 4:
        nothing = np.full(size, np.nan)
        return Convergence(nothing, nothing, nothing)
    az = arviz()
    data = xr.Dataset({"x": (("chain", "draw", "parameter"), draws)})
    with np.errstate(all="ignore"):
        found = [az.rhat(data), az.ess(data, method="bulk"), az.ess(data, method="tail")]
    return Convergence(*(np.asarray(each["x"]) for each in found))


def doubts_of(
    names: Sequence[str],
    draws: Array,
    found: Convergence,
    statistics: Mapping[str, NDArray[Any]],
    *,
    evaluations: int,
    rejected: int,
    why: str,
    tolerance_error: float,
    asked: int,
    target_accept: float,
    max_depth: int,
) -> list[str]:
    """Every reason to doubt the chains, each with what to try.

    Parameters
    ----------
    names : sequence of str
    draws : array, shape (n_chains, n_draws, n)
        Prior-whitened.
    found : Convergence
    statistics : mapping of str to array, shape (n_chains, n_draws)
        See :class:`cellsim.posterior.nuts.Chains`.
    evaluations, rejected, why
        Simulations with gradient, how many failed, and what the last failure said.
    tolerance_error : float
        Largest change of the log density when simulated more exactly.
    asked : int
        Draws a chain.
    target_accept, max_depth
        Settings the advice starts from.

    Returns
    -------
    list of str
        Empty when there is nothing to doubt.
    """
    chains, length, _ = draws.shape
    out = []
    if length < asked:
        out.append(
            f"interrupted: {length} of {asked} draws a chain were made; resume({asked - length}) adds the rest."
        )
    if chains < FEWEST_CHAINS:
        out.append(f"{chains} chains: agreement between chains says little with fewer than {FEWEST_CHAINS}.")
    apart = ~(found.rhat < LARGEST_RHAT)
    if apart.any():
        out.append(
            f"chains disagree (R-hat of {LARGEST_RHAT} or more) about {_worst(names, found.rhat, apart)}; ask for more "
            "draws and warm-up, and if that does not help look at the chains one by one: there may be several modes."
        )
    least = np.fmin(found.ess_bulk, found.ess_tail)
    few = ~(least >= LEAST_ESS)
    if few.any() and np.isfinite(least).any():
        more = int(np.ceil(length * (LEAST_ESS / np.nanmin(least) - 1) / 100) * 100)
        out.append(
            f"fewer than {LEAST_ESS} effective draws of {_worst(names, -least, few, sign=-1)}; resume({more}) should "
            "be enough."
        )
    diverged = np.asarray(statistics["diverging"], bool)
    if diverged.any():
        out.append(_about_divergences(names, draws, diverged, target_accept))
    deep = float(np.mean(statistics["reached_max_treedepth"]))
    if deep > DEEP_SHARE:
        out.append(
            f"{100 * deep:.0f} % of the trees reached the greatest depth {max_depth}: the posterior is much longer "
            "one way than another; ask for more warm-up."
        )
    energy = _energy_fraction(np.asarray(statistics["energy"], float))
    if energy < LEAST_ENERGY:
        out.append(
            f"a fresh momentum crosses only {energy:.2f} of the spread of energies ({LEAST_ENERGY} wanted): the "
            "tails are heavy or funnel-shaped; look at the spreads of hierarchies and ask for more draws."
        )
    if rejected:
        out.append(
            f"{rejected} of {evaluations} simulations failed and their parameters were rejected"
            + (f"; the last said: {why}" if why else ".")
        )
    return out + doubts_of_tolerance(tolerance_error)


def doubts_of_tolerance(tolerance_error: float) -> list[str]:
    """What is to be said of the largest change of the log density when simulated more exactly."""
    if tolerance_error <= LARGEST_TOLERANCE_ERROR:
        return []
    return [
        f"simulated more exactly the log density changes by up to {tolerance_error:.2g}; sample with a smaller rtol."
    ]


def _worst(names: Sequence[str], badness: Array, which: NDArray[np.bool_], *, sign: int = 1) -> str:
    order = [int(j) for j in np.argsort(-np.nan_to_num(badness, nan=np.inf)) if which[j]]
    said = ", ".join(f"{names[j]} ({sign * badness[j]:.4g})" for j in order[:4])
    return said + (f" and {len(order) - 4} more" if len(order) > 4 else "")


def _about_divergences(
    names: Sequence[str], draws: Array, diverged: NDArray[np.bool_], target_accept: float
) -> str:
    """How many, where they are, and what to try."""
    count = int(diverged.sum())
    inside, outside = draws[diverged], draws[~diverged]
    place = ""
    if len(inside) > 2 and len(outside) > 2:
        # in standard errors of a mean of that many draws
        apart = (inside.mean(axis=0) - outside.mean(axis=0)) / (outside.std(axis=0) + 1e-12) * np.sqrt(count)
        j = int(np.argmax(np.abs(apart)))
        if abs(apart[j]) > 4:
            place = f", mostly at {'large' if apart[j] > 0 else 'small'} {names[j]}"
    higher = 1 - (1 - target_accept) / 2
    return (
        f"{count} of {diverged.size} draws ended in a divergence{place}: the posterior bends more sharply there than "
        f"the step follows; sample with target_accept={higher:.2f}, and if they stay, do not trust that region."
    )


def _energy_fraction(energy: Array) -> float:
    """Least over chains of the Bayesian fraction of missing information (Betancourt 2016)."""
    spread = energy.var(axis=1)
    moved = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    return float(np.min(np.where(spread > 0, moved / np.maximum(spread, 1e-300), 1.0)))
