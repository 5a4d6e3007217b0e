"""Chains of the No-U-Turn sampler on any log density with a gradient: the one door to nutpie.

Each chain is a sampler of its own with its own start and seed, so that a result does not depend on the order in
which threads run, and an interrupt leaves all chains about equally long. Chains move in the coordinates of a
:class:`cellsim.posterior.nuts.Preconditioner`: where the posterior is nearly Gaussian trees are then short whatever its correlations.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.streams import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Density = Callable[[Array], tuple[float, Array]]

__all__ = [
    "Chains",
    "Preconditioner",
    "chains_can_be_drawn",
    "geometric_mean",
    "preconditioner_between",
    "refuse_chains",
    "run_chains",
]

# nutpie's name of each number of a draw -> the one ArviZ knows
STATISTICS = {
    "logp": "lp",
    "energy": "energy",
    "diverging": "diverging",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "mean_tree_accept": "acceptance_rate",
    "step_size_bar": "step_size",
}


@dataclass(frozen=True, eq=False)
class Chains:
    """What a run of the sampler left.

    Attributes
    ----------
    theta : array, shape (n_chains, n_draws, n)
    statistics : mapping of str to array, shape (n_chains, n_draws)
        ``lp``, ``energy``, ``diverging``, ``tree_depth``, ``reached_max_treedepth``, ``n_steps``,
        ``acceptance_rate``, ``step_size``; warm-up left out.
    evaluations, rejected : int
        Gradients asked for, warm-up included, and how many of them could not be computed.
    seconds : float
    interrupted : bool
        Whether the chains are shorter than asked for.
    """

    theta: Array
    statistics: dict[str, NDArray[Any]]
    evaluations: int
    rejected: int
    seconds: float
    interrupted: bool


class _Chain:
    """One chain's view of the density, and what it counted."""

    def __init__(
        self, density: Density, preconditioner: Preconditioner, first: Array | None, seed: int
    ) -> None:
        self.density, self.frame = density, preconditioner
        # here, not in the sampler's thread: BLAS factors matrices in parallel on a stack larger than such a thread has
        self.first = None if first is None else preconditioner.z(first)
        self.random = np.random.default_rng(seed)
        self.seed = int(self.random.integers(2**31))
        self.evaluations = self.rejected = self.tries = self.draws = 0
        self.error: BaseException | None = None

    def start(self, _: int) -> Array:
        """A draw of the Gaussian approximation, or the given point; nearer to the centre each time it fails."""
        scale, self.tries = 0.7**self.tries, self.tries + 1
        if self.first is not None:
            return self.first * scale
        return self.random.standard_normal(self.frame.centre.size) * scale

    def log_density(self, z: Array) -> tuple[float, Array]:
        self.evaluations += 1
        try:
            value, gradient = self.density(self.frame.theta(z))
        except BaseException as error:
            # nutpie would tell it as text only
            self.error = error
            raise
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            self.rejected += 1
            return -np.inf, np.zeros(z.size)
        return float(value), self.frame.root @ gradient

    def expand(self, z: Array) -> dict[str, Array]:
        self.draws += 1
        return {"theta": self.frame.theta(z)}

    def sampler(self, draws: int, tune: int, options: dict[str, Any]) -> Any:
        nutpie = _nutpie()
        size = self.frame.centre.size
        compiled = nutpie.compiled_pyfunc.from_pyfunc(
            size,
            lambda: self.log_density,
            lambda *_: self.expand,
            # an instance: the class np.float64 is refused
            [np.dtype("float64")],
            [(size,)],
            ["theta"],
            make_initial_point_fn=self.start,
        )
        return nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=1,
            cores=1,
            seed=self.seed,
            progress_bar=False,
            blocking=False,
            return_raw_trace=True,
            **options,
        )


def chains_can_be_drawn() -> bool:
    """Whether nutpie is installed, which an answer by weighted draws does without."""
    return find_spec("nutpie") is not None


def refuse_chains() -> None:
    """Say what is missing before anything is computed for chains.

    Raises
    ------
    CalibrationError
        If nutpie is.
    """
    if not chains_can_be_drawn():
        raise CalibrationError(
            "chains are drawn by the package nutpie, which is missing. Install it: pip install 'cellsim[chains]'."
        )


def _nutpie() -> Any:
    refuse_chains()
    with warnings.catch_warnings():
        # ArviZ 0.23 announces its next line whenever it is imported
        warnings.simplefilter("ignore", FutureWarning)
        import nutpie
        import nutpie.compiled_pyfunc
    return nutpie


def run_chains(
    density: Density,
    preconditioner: Preconditioner,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    firsts: Sequence[Array] | Array | None = None,
    target_accept: float = 0.8,
    max_depth: int = 10,
    low_rank: bool = False,
    progress: bool | None = None,
) -> Chains:
    """Sample a density; an interrupt (Ctrl-C) returns the draws made so far, maybe none.

    Parameters
    ----------
    density : callable
        theta -> (log density, gradient); called from several threads at once. A value that is not finite
        rejects the point.
    preconditioner : Preconditioner
    draws, tune, chains : int
        Draws kept and dropped of each chain.
    seed : int
    firsts : sequence of array, optional
        Where each chain starts; draws from the Gaussian of `preconditioner` otherwise.
    target_accept, max_depth, low_rank
        nutpie's: mean acceptance the step is tuned to, longest tree 2^max_depth, and whether the mass matrix
        learns correlations.
    progress : bool, optional
        Show a bar; by default only on a terminal.

    Returns
    -------
    Chains

    Raises
    ------
    CalibrationError
        If no start can be computed.

    Examples
    --------
    >>> from cellsim.posterior.nuts import Preconditioner
    >>> found = run_chains(lambda x: (-x @ x / 2, -x), Preconditioner.of(np.zeros(2), np.eye(2)), draws=50, tune=50,
    ...                    chains=2, seed=0)
    >>> found.theta.shape
    (2, 50, 2)
    """
    begun = time.perf_counter()
    options = {"target_accept": target_accept, "maxdepth": max_depth}
    if low_rank:
        options["low_rank_modified_mass_matrix"] = True
    seeds = np.random.SeedSequence(seed).generate_state(chains)
    each = [
        _Chain(density, preconditioner, None if firsts is None else firsts[k], int(seeds[k]))
        for k in range(chains)
    ]
    running = [chain.sampler(draws, tune, options) for chain in each]
    done, interrupted = _wait(running, each, chains * (draws + tune), progress)
    if broken := next((chain.error for chain in each if chain.error is not None), None):
        raise broken
    tables = [_table(raw) for raw in done]
    length = min(len(table["lp"]) for table in tables)
    return Chains(
        theta=np.stack([table["theta"][:length] for table in tables]),
        statistics={
            name: np.stack([table[name][:length] for table in tables]) for name in STATISTICS.values()
        },
        evaluations=sum(chain.evaluations for chain in each),
        rejected=sum(chain.rejected for chain in each),
        seconds=time.perf_counter() - begun,
        interrupted=interrupted,
    )


def _wait(
    running: list[Any], each: list[_Chain], total: int, progress: bool | None
) -> tuple[list[Any], bool]:
    """Raw traces of all chains, and whether they were cut short."""
    done: list[Any] = [None] * len(running)
    with progress_bar(total=total, title="draws", progress=progress) as bar:
        try:
            for k, sampler in enumerate(running):
                while done[k] is None:
                    try:
                        done[k] = sampler.wait(timeout=0.2)
                    except TimeoutError:
                        bar.n = sum(chain.draws for chain in each)
                        bar.refresh()
        except KeyboardInterrupt:
            return [
                sampler.abort() if raw is None else raw for sampler, raw in zip(running, done, strict=True)
            ], True
        except RuntimeError as error:
            for sampler, raw in zip(running, done, strict=True):
                if raw is None:
                    sampler.cancel()
            if any(chain.error is not None for chain in each):
                return [], False
            raise CalibrationError(f"the sampler gave up: {str(error).splitlines()[0]}") from None
    return done, False


def _table(raw: Any) -> dict[str, NDArray[Any]]:
    """The draws of one chain after its warm-up, and their statistics."""
    import pyarrow

    (draws,), (statistics,) = raw.get_arrow_trace()

    def column(batch: Any, name: str) -> NDArray[Any]:
        found = pyarrow.array(batch.column(name))
        if hasattr(found, "flatten") and pyarrow.types.is_large_list(found.type):
            return np.asarray(found.flatten()).reshape(len(found), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False))

    kept = ~column(statistics, "tuning").astype(bool)
    out = {ours: column(statistics, theirs)[kept] for theirs, ours in STATISTICS.items()}
    out["theta"] = column(draws, "theta")[kept]
    return out


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Affine coordinates: theta = centre + root z.

    Attributes
    ----------
    centre : array, shape (n,)
    root : array, shape (n, n)
        Symmetric square root of a covariance.
    """

    centre: Array
    root: Array

    @classmethod
    def of(cls, centre: Array, covariance: Array) -> Preconditioner:
        """Where a Gaussian with this mean and covariance is N(0, I).

        Examples
        --------
        >>> Preconditioner.of(np.zeros(2), np.diag([4.0, 9.0])).root.tolist()
        [[2.0, 0.0], [0.0, 3.0]]
        """
        return cls(np.asarray(centre, float), _root(covariance))

    def theta(self, z: Array) -> Array:
        """Out of these coordinates; any leading axes."""
        return np.asarray(self.centre + z @ self.root)

    def z(self, theta: Array) -> Array:
        """Into them."""
        return np.asarray(np.linalg.solve(self.root, (theta - self.centre)[..., None])[..., 0])


def _root(matrix: Array) -> Array:
    """Symmetric square root of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 1e-12))) @ vectors.T)


def geometric_mean(first: Array, second: Array) -> Array:
    """The matrix halfway between two covariances: A (A^-1 B)^(1/2).

    Parameters
    ----------
    first, second : array, shape (n, n)
        Symmetric and positive definite.

    Examples
    --------
    >>> geometric_mean(np.diag([1.0, 4.0]), np.diag([9.0, 4.0])).round(12).tolist()
    [[3.0, 0.0], [0.0, 4.0]]
    """
    half = _root(first)
    back = np.linalg.inv(half)
    return np.asarray(half @ _root(back @ second @ back) @ half)


def preconditioner_between(draws: Array, curvatures: Sequence[Array]) -> Preconditioner:
    """The preconditioner for further sampling, from draws so far.

    Parameters
    ----------
    draws : array, shape (n_draws, n)
    curvatures : sequence of array, shape (n, n)
        Of minus the log density at some of them, positive definite (J'J, the prior's part included).

    Returns
    -------
    Preconditioner
        At the mean of the draws. Their covariance is first drawn towards the inverse of the mean curvature, the
        more the fewer they are, because few draws say nothing about most directions.
    """
    narrow = np.linalg.inv(np.mean(curvatures, axis=0))
    n_draws, n = draws.shape
    held = Preconditioner.of(draws.mean(axis=0), narrow)
    z = held.z(draws)
    weight = n_draws / (n_draws + n)
    wide = held.root @ (weight * (z.T @ z) / n_draws + (1 - weight) * np.eye(n)) @ held.root
    return Preconditioner.of(held.centre, geometric_mean(wide, narrow))
