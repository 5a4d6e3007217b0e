"""A normal distribution of a posterior's parameters, its unknown sampling days left to their own approximation given the others.

How one is found is in :mod:`cellsim.posterior.variational_fitting`; here is what it says: evidence, moments, days, draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cellsim.errors import CalibrationError, did_you_mean
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.posterior.convergence import smoothed_weights
from cellsim.posterior.tables import parameters_table
from cellsim.results import REACH, TAILS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case

    Array = NDArray[np.float64]

__all__ = ["VariationalApproximation", "VariationalEvidence", "on_all_cores", "spread"]

# over how many draws the chance of a day is averaged
_DAY_DRAWS = 100
# by how many the approximation of an unknown day is told in a table
_TABLE_DRAWS = 400
# of what is drawn, beyond what is asked for: a few may not be simulable
_SPARE = 1.25

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class VariationalEvidence:
    """What the variational approximation says of the evidence.

    Attributes
    ----------
    bound, bound_error : float
        Lower bound of the log evidence (natural, so in nats), all constants included, and its standard error; -inf
        where the approximation has draws that cannot be simulated.
    log_evidence, error : float
        By importance weights, and its standard error as far as the weights tell.
    shape : float
        Pareto shape of the weights: above 0.7 the estimate mostly lies too low, and the bound is what stands.
    second : mapping of str to float
        Mean square of each parameter under the approximation, prior-whitened; unknown sampling days are not among them.
    lost : int
        Draws that could not be simulated; their weight is nought.
    """

    bound: float
    bound_error: float
    log_evidence: float
    error: float
    shape: float
    second: Mapping[str, float]
    lost: int = 0

    @property
    def doubts(self) -> tuple[str, ...]:
        """Whether draws of the approximation stand for the posterior."""
        if self.shape <= LARGEST_SHAPE:
            return ()
        return (
            f"the variational approximation does not stand for the posterior (Pareto k {self.shape:.1f}, trusted below "
            f"{LARGEST_SHAPE:g}): intervals drawn from it are good for a direction, not for a decimal; sample before "
            "quoting any.",
        )


@dataclass(frozen=True, eq=False)
class VariationalApproximation:
    """A normal distribution of all parameters but unknown sampling days.

    Made by :func:`cellsim.posterior.variational_fitting.variational`; a sweep draws from it as from a calibration.

    Attributes
    ----------
    density : WithoutDays
        The posterior it is near to.
    mean : array, shape (n_left,)
        Prior-whitened.
    precision : array, shape (n_left, n_left)
    log_evidence : float
        Natural.
    apart : array, shape (n_draws,)
        ln of the posterior (not normalised) less ln of the approximation, at draws; -inf where one cannot be simulated.
    seed : int
        Of these draws.
    known : tuple of str
        What was to be doubted of the optima it starts from.
    """

    density: WithoutDays
    mean: Array
    precision: Array
    log_evidence: float
    apart: Array
    seed: int
    known: tuple[str, ...] = ()

    @property
    def objective(self) -> Objective:
        """What was scored."""
        return self.density.objective

    @property
    def case(self) -> Case:
        """The case, altered or not."""
        return self.objective.case

    @property
    def variant(self) -> str:
        """The variant's id."""
        return self.objective.variant

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameters in the order of the mean."""
        return tuple(self.objective.names[k] for k in self.density.columns)

    def __repr__(self) -> str:
        return (
            f"<Normal approximation of {self.case.name}, variant {self.variant}: {len(self.names)} parameters, "
            f"ln evidence {self.log_evidence:.1f}; {self.approximation.label}>"
        )

    @property
    def theta(self) -> Array:
        """The mean among all parameters of the objective, unknown sampling days in the middle of their priors."""
        found = np.zeros(len(self.objective.names))
        found[self.density.columns] = self.mean
        return found

    @cached_property
    def covariance(self) -> Array:
        """Shape (n_left, n_left)."""
        return np.asarray(np.linalg.inv(self.precision))

    @cached_property
    def evidence(self) -> VariationalEvidence:
        """Bound, and evidence by importance weights, of these draws alone."""
        fine = np.isfinite(self.apart)
        kept = self.apart[fine]
        logs, shape = smoothed_weights(kept)
        # smoothed weights come summing to one; the smaller half of them are untouched, and so tell by what they were divided
        small = np.argsort(kept)[: (kept.size + 1) // 2]
        total = float(np.mean(kept[small] - logs[small]))
        second = np.diag(self.covariance) + self.mean**2
        return VariationalEvidence(
            bound=float(kept.mean()) if fine.all() else -np.inf,
            bound_error=float(kept.std() / np.sqrt(kept.size)),
            log_evidence=total - float(np.log(self.apart.size)),
            error=float(np.std(kept.size * np.exp(logs)) / np.sqrt(kept.size)),
            shape=shape,
            second=dict(zip(self.names, second.tolist(), strict=True)),
            lost=int((~fine).sum()),
        )

    @cached_property
    def approximation(self) -> Approximation:
        """What draws of it rest on, with every doubt about it."""
        found = self.evidence
        doubts, unfit = [*self.known, *found.doubts], ""
        if found.doubts:
            unfit = (
                f"draws of the variational approximation do not stand for the posterior here (Pareto k {found.shape:.1f}, trusted "
                f"below {LARGEST_SHAPE:g}): they are good for a direction, not for a decimal. Sample before "
                "quoting any (cs.sample(fit) or cellsim sample, minutes)."
            )
        if found.lost:
            doubts.append(
                f"{found.lost} of {self.apart.size} draws of the variational approximation could not be simulated."
            )
        return Approximation("variational", tuple(doubts), unfit)

    @cached_property
    def _days(self) -> tuple[list[int], Array]:
        """Columns of unknown sampling days, and draws of them, shape (n_draws, n_days)."""
        columns = sorted(set(range(len(self.objective.names))) - set(self.density.columns.tolist()))
        if not columns:
            return [], np.empty((0, 0))
        return columns, self.draws(_TABLE_DRAWS, seed=self.seed)[:, columns]

    @cached_property
    def moments_of_all(self) -> tuple[Array, Array]:
        """Mean, shape (n_parameters,), and covariance of all parameters; unknown sampling days by draws, and as if they
        went with no other parameter."""
        (days, drawn), mean = self._days, self.theta
        covariance = np.eye(mean.size)
        covariance[np.ix_(self.density.columns, self.density.columns)] = self.covariance
        if days:
            mean[days] = drawn.mean(axis=0)
            covariance[np.ix_(days, days)] = np.atleast_2d(np.cov(drawn.T))
        return mean, covariance

    def table(self) -> pd.DataFrame:
        """One row a parameter, as :meth:`cellsim.Calibration.table` has it; the estimate is the median.

        Unknown sampling days are told by draws.
        """
        (mean, covariance), (days, drawn) = self.moments_of_all, self._days
        places = mean + np.multiply.outer([0.0, -REACH, REACH], np.sqrt(np.diag(covariance)))
        if days:
            places[:, days] = np.quantile(drawn, [0.5, *TAILS], axis=0)
        jacobian = self.objective.evaluate(mean, gradient=True).jacobian
        rows = len(self.objective.terms)
        return parameters_table(
            self.objective,
            estimate=places[0],
            low=places[1],
            high=places[2],
            contraction=1 - np.diag(covariance),
            shift=mean,
            # where its own middle cannot be simulated nothing is known to be untouched
            touched=np.ones(mean.size, bool) if jacobian is None else np.any(jacobian[:rows] != 0, axis=0),
            approximation=self.approximation,
        )

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and variance of a parameter, prior-whitened; nan for one that is held or an unknown sampling day."""
        self._check(name)
        if name not in self.names:
            return np.nan, np.nan
        k = self.names.index(name)
        return float(self.mean[k]), float(self.covariance[k, k])

    def chance(self, day: str, stretches: Array) -> float:
        """How likely an unknown sampling day lies in one of some stretches.

        Parameters
        ----------
        day : str
            Its parameter.
        stretches : array, shape (n, 2)
            First and last day of each.

        Raises
        ------
        CalibrationError
            If it is none.
        """
        self._check(day)
        if day in self.names:
            from scipy.special import ndtr

            mean, variance = self.moments(day)
            prior = self.objective.priors[self.objective.names.index(day)]
            inside = np.clip(stretches, prior.lower, prior.upper)
            ends = np.array([[prior.whitened(float(each)) for each in pair] for pair in inside])
            shares = ndtr((ends - mean) / np.sqrt(variance))
            return float((shares[:, 1] - shares[:, 0]).sum())
        normals = np.random.default_rng(self.seed).standard_normal((_DAY_DRAWS, self.mean.size))
        places = self.mean + spread(self.precision, normals)
        return float(np.nanmean(on_all_cores(lambda eta: self.density.chance(eta, day, stretches), places)))

    def _check(self, name: str) -> None:
        known = (*self.objective.names, *self.objective.fixed)
        if name not in known:
            raise CalibrationError(f"no parameter {name!r}. {did_you_mean(name, known)}")

    def draws(self, n: int, *, seed: int) -> Array:
        """Independent draws of all parameters, prior-whitened, shape (n, n_parameters).

        Raises
        ------
        CalibrationError
            If a fifth of the approximation's draws or more cannot be simulated.
        """
        random, days = np.random.SeedSequence(seed).spawn(2)
        normals = np.random.default_rng(random).standard_normal((int(np.ceil(_SPARE * n)), self.mean.size))
        etas = self.mean + spread(self.precision, normals)
        theta, _ = self.density.drawn_all(etas, seed=int(days.generate_state(1)[0]))
        fine = theta[np.isfinite(theta).all(axis=1)]
        if len(fine) < n:
            raise CalibrationError(
                f"{len(theta) - len(fine)} of {len(theta)} draws of the variational approximation of {self.variant or self.case.name} "
                "cannot be simulated."
            )
        return np.asarray(fine[:n])


def spread(precision: Array, normals: Array) -> Array:
    """Unit normal draws, one a row, with a precision instead."""
    return np.asarray(np.linalg.solve(np.linalg.cholesky(precision).T, normals.T).T)


def on_all_cores(work: Callable[[Any], _Found], places: Sequence[Any] | Array) -> list[_Found]:
    """What a function makes of each place, in order."""
    from threadpoolctl import threadpool_limits

    # a linear algebra of as many threads again in each of ours takes turns with itself: nearly twice the time
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, places))
