"""The posterior of one case under one variant, as a sum of squares.

Every scored row is a term with a residual r, r^2 = 2 (l_max - l); every estimated parameter is carried in its
prior-whitened coordinate theta (see :mod:`cellsim.likelihood.priors`), whose own residual is theta. Then

    -2 ln posterior(theta) = sum r^2 + sum theta^2 + constant.

A spread that is estimated makes l_max a function of it, and has a residual of its own (:attr:`Objective.spreads`).

Blood samples of one visit share one latent day; a sample is read wherever that day lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean
from cellsim.likelihood.observations import Rows, Term, score_rows, score_sets
from cellsim.likelihood.priors import Coordinates, Prior
from cellsim.likelihood.set_scores import SetScores
from cellsim.solver.simulation import Values

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.compiler.kernels import Kernels
    from cellsim.likelihood.observations import Scores
    from cellsim.model.model import Model
    from cellsim.solver.integration import Doses, Solution

    Array = NDArray[np.float64]

__all__ = ["Evaluation", "Objective", "kernels_for"]

# beyond any residual a start could have, however small the noise; makes a failed simulation lose every comparison
# without being nan
_FAILED = 1e100
# of the largest value so far of a state, which error control need not see below the relative tolerance: what is left of
# a dose after many half-lives is then not followed to its last digit. With it predictions of the case are good to 1e-7
# at the default tolerance, in two thirds of the time
_PEAK_SHARE = 0.1
# of it at most, whatever the relative tolerance: with more, what is rough would not know its small states at all
_PEAK_ERROR = 1e-4
# logarithm of how far below its prior median an estimated spread may fall
_SMALLEST_SPREAD = 20.0


@dataclass(frozen=True)
class Evaluation:
    """What one set of parameters makes of the data.

    Attributes
    ----------
    residuals : array, shape (n_terms + n_spreads + n_parameters,)
        Of the terms, then what estimated spreads cost (see :attr:`Objective.spreads`), then of the priors.
    jacobian : array, shape (n_terms + n_spreads + n_parameters, n_parameters), or None
        Derivatives with respect to theta.
    log_likelihood : array, shape (n_terms,)
    predicted : array, shape (n_terms,)
        In the unit of the term (of what is graded, for grades).
    failure : str
        Why the simulation did not reach its end, or cannot be scored; empty when it did and can.
    unscorable : int
        The first term whose prediction has no density, when that is why; -1 otherwise.
    """

    residuals: Array
    jacobian: Array | None
    log_likelihood: Array
    predicted: Array
    failure: str = ""
    unscorable: int = -1

    @property
    def objective(self) -> float:
        """The sum of squares: -2 ln posterior up to the constant of :attr:`Objective.constant`."""
        return float(self.residuals @ self.residuals)

    @property
    def gradient(self) -> Array:
        """Of half the objective, with respect to theta."""
        if self.jacobian is None:
            raise CalibrationError("this evaluation was made without a gradient; ask with gradient=True.")
        return np.asarray(self.jacobian.T @ self.residuals)


@dataclass(frozen=True, eq=False)
class Objective:
    """-2 log posterior of a case under a variant; made by :func:`objective_of`.

    Attributes
    ----------
    names : tuple of str
        The estimated parameters, in the order of theta.
    priors : tuple of Prior
    fixed : mapping
        Every other parameter's value.
    terms : tuple of Term
    degrees : float
        Degrees of freedom of the noise of values and of censored rows: infinite for normal noise, finite for
        Student's t with each row's spread as its scale. Grades keep their own distribution.
    """

    case: Case
    model: Model
    variant: str
    names: tuple[str, ...]
    priors: tuple[Prior, ...]
    fixed: Mapping[str, float]
    terms: tuple[Term, ...]
    occasions: tuple[tuple[str, float], ...]
    kernels: Kernels
    doses: Doses
    rtol: float = 1e-6
    degrees: float = np.inf

    def __post_init__(self) -> None:
        if not self.degrees > 0:
            raise CalibrationError(
                f"noise of {self.degrees:g} degrees of freedom; a number above zero is needed, infinity for normal noise."
            )

    def __repr__(self) -> str:
        return (
            f"<Objective of {self.case.name}, variant {self.variant}: {len(self.terms)} rows, "
            f"{len(self.names)} parameters>"
        )

    # ---- parameters -------------------------------------------------------------------------------

    def values(self, theta: Array) -> Values:
        """Every parameter's value at `theta`, the fixed ones included."""
        free = dict(zip(self.names, self._coordinates.values(theta).tolist(), strict=True))
        return Values({**self.fixed, **free})

    def theta(self, values: Mapping[str, float]) -> Array:
        """Whitened coordinates of `values`; a parameter not named stays at its nominal value.

        Raises
        ------
        CalibrationError
            For unknown names and values outside a prior's support, all at once.
        """
        problems = [
            Problem(what=f"no estimated parameter {name!r}.", remedy=did_you_mean(name, self.names))
            for name in values
            if name not in self.names
        ]
        nominal = self.case.nominal
        theta = np.array(
            [p.whitened(values.get(n, nominal[n])) for n, p in zip(self.names, self.priors, strict=True)]
        )
        problems += [
            Problem(what=f"{name} = {values.get(name, nominal[name])} lies outside its prior's support.")
            for name, each in zip(self.names, theta, strict=True)
            if not np.isfinite(each)
        ]
        if problems:
            raise CalibrationError(problems)
        return theta

    @cached_property
    def _coordinates(self) -> Coordinates:
        return Coordinates(self.priors)

    @cached_property
    def _column(self) -> dict[str, int]:
        """Column of each estimated parameter in theta."""
        return {name: k for k, name in enumerate(self.names)}

    @cached_property
    def _slots(self) -> NDArray[np.intp]:
        """Column of each estimated parameter among the kernels' parameters, -1 where it is none."""
        column = {name: k for k, name in enumerate(self.kernels.equations.parameters)}
        return np.array([column.get(name, -1) for name in self.names], dtype=np.intp)

    @cached_property
    def _frozen_vector(self) -> Array:
        return np.array([self.fixed.get(name, np.nan) for name in self.kernels.equations.parameters])

    def vector(self, theta: Array) -> Array:
        """The kernels' parameters at `theta` (shape (n,) or (n_sets, n))."""
        free = self._coordinates.values(theta)
        out = np.broadcast_to(self._frozen_vector, (*free.shape[:-1], self._frozen_vector.size)).copy()
        inside = self._slots >= 0
        out[..., self._slots[inside]] = free[..., inside]
        return out

    def vector_of(self, theta: Array, names: Sequence[str]) -> Array:
        """Values of some parameters at `theta` (shape (n,) or (n_sets, n)), shape (..., n_names)."""
        free, column = self._coordinates.values(theta), self._column
        out = np.empty((*free.shape[:-1], len(names)))
        drawn = [name in column for name in names]
        out[..., drawn] = free[..., [column[name] for name in names if name in column]]
        out[..., np.logical_not(drawn)] = [self.fixed[name] for name in names if name not in column]
        return out

    def kernels_of(self, outputs: Mapping[str, sp.Expr], model: Model | None = None) -> Kernels:
        """Compiled equations that give other outputs; their parameters' values come from :meth:`vector_of`.

        Parameters
        ----------
        outputs : mapping of str to sympy.Expr
            Formulas in names of the model and of the case's parameters.
        model : Model, optional
            The objective's own by default.
        """
        return kernels_for(self.model if model is None else model, outputs)

    def days(self, theta: Array) -> Array:
        """The day of each sampling occasion, shape (..., n_occasions) at `theta` of shape (..., n_parameters)."""
        return self._days(self._coordinates.values(theta))

    def read_at(self, days: Array) -> Array:
        """When each occasion's sample is read, given its :meth:`days`: an instant earlier where it was drawn predose."""
        return np.where(self._predose, np.maximum(np.nextafter(days, -np.inf), self.case.start), days)

    @cached_property
    def _predose(self) -> NDArray[np.bool_]:
        early = {visit.id for visit in self.case.visits if visit.timing == "predose"}
        return np.array([visit in early for visit, _ in self.occasions], bool)

    @cached_property
    def _known_days(self) -> tuple[Array, NDArray[np.intp]]:
        """Each occasion's day where it is known, and the column of theta where it is estimated, -1 where not."""
        named = [(f"day_{visit}", day) for visit, day in self.occasions]
        known = np.array([self.fixed.get(name, day) for name, day in named])
        return known, np.array([self._column.get(name, -1) for name, _ in named], dtype=np.intp)

    def _days(self, free: Array) -> Array:
        known, column = self._known_days
        if not free.shape[-1]:
            return np.broadcast_to(known, (*free.shape[:-1], known.size))
        return np.where(column >= 0, free[..., column], known)

    @cached_property
    def rows(self) -> Rows:
        """The terms as arrays."""
        return Rows.of(self.terms)

    @cached_property
    def spreads(self) -> dict[str, int]:
        """Estimated spreads, and how many values each of them is the spread of.

        The density of n values holds -n ln sd, which has no square. Each spread is given one residual s beside those of its rows,

            s^2 = 2 n (ln(sd / sd at the prior median) + 20),

        which is as far below zero as a spread can fall (by a factor of 5e8) and counts the rest. Censored rows have no such
        part.
        """
        named = self.rows.scale[self.rows.plain].tolist()
        free = [name for name in dict.fromkeys(named) if name in self.names]
        return {name: named.count(name) for name in free}

    @property
    def residual_count(self) -> int:
        """How many residuals are of data: the terms, and one for each estimated spread."""
        return len(self.terms) + len(self.spreads)

    def relative_slope(self, theta: Array, name: str) -> float:
        """Derivative of the logarithm of an estimated parameter with respect to its own theta."""
        column = self.names.index(name)
        return float(self._coordinates.slopes(theta)[column] / self._coordinates.values(theta)[column])

    def spread_residuals(self, theta: Array) -> Array:
        """What estimated spreads cost, shape (..., n_spreads), nan where one is too small; see :attr:`spreads`."""
        names = list(self.spreads)
        if not names:
            return np.zeros((*theta.shape[:-1], 0))
        here, middle = (self.vector_of(at, names) for at in (theta, np.zeros(len(self.names))))
        with np.errstate(invalid="ignore", divide="ignore"):
            fallen = np.log(here / middle) + _SMALLEST_SPREAD
            return np.sqrt(2 * np.array([self.spreads[name] for name in names]) * fallen)

    def spread_slopes(self, theta: Array) -> Array:
        """Derivatives of the residuals of estimated spreads, shape (n_spreads, n_parameters)."""
        out, size = np.zeros((len(self.spreads), theta.size)), self.spread_residuals(theta)
        for k, (name, count) in enumerate(self.spreads.items()):
            out[k, self.names.index(name)] = count / size[k] * self.relative_slope(theta, name)
        return out

    def spread_gradient(self, theta: Array) -> Array:
        """Derivative of the sum of ln sd over all values of estimated spread, shape (n_parameters,)."""
        out = np.zeros(theta.size)
        for name, count in self.spreads.items():
            out[self.names.index(name)] = count * self.relative_slope(theta, name)
        return out

    # ---- evidence ---------------------------------------------------------------------------------

    @property
    def constant(self) -> float:
        """-2 ln posterior density (of theta, times the probability of the data) minus the sum of squares.

        The likelihood enters with all its constants, so differences between variants are meaningful.
        """
        here = self.evaluate(np.zeros(len(self.names)))
        count = self.residual_count
        lost = -2 * here.log_likelihood.sum() - float(here.residuals[:count] @ here.residuals[:count])
        return lost + len(self.names) * np.log(2 * np.pi)

    def evaluate(
        self,
        theta: Array,
        *,
        gradient: bool = False,
        rtol: float | None = None,
        along: NDArray[np.intp] | None = None,
    ) -> Evaluation:
        """Simulate once and score every row.

        Parameters
        ----------
        theta : array, shape (n_parameters,)
            Prior-whitened coordinates.
        gradient : bool
            Whether to differentiate; the derivative is that of the scheme itself.
        rtol : float, optional
            Relative tolerance of the solver; the objective's own otherwise.
        along : array of int, optional
            Parameters to differentiate for, none of them the day of a sample; the Jacobian has their columns alone, and a
            prior's row for every parameter. All by default.

        Returns
        -------
        Evaluation
            With `failure` set and very large residuals where the simulation did not reach its end.
        """
        theta = np.asarray(theta, float)
        rows, free = self.rows, self._coordinates.values(theta)
        days = self.read_at(self._days(free))
        order = np.argsort(days, kind="stable")
        solution = self.solved(theta, days[order], gradient=gradient, rtol=rtol, along=along)
        by_occasion = np.argsort(order)[rows.occasion]
        predicted = solution.outputs[0, by_occasion, rows.output]
        unscorable = -1 if solution.status[0] else self._unscorable(predicted)
        of_spreads = self.spread_residuals(theta)
        small = not np.all(np.isfinite(of_spreads))
        if solution.status[0] or unscorable >= 0 or small:
            failure = solution.messages[0] or (
                self._words_on(unscorable, predicted)
                if unscorable >= 0
                else self._words_on_spreads(of_spreads)
            )
            return self._failed(theta, failure, gradient, along, unscorable)
        asked = self.asked_by(rows, theta)
        if solution.sensitivities is None or solution.output_rates is None:
            log_likelihood, residual = score_sets(rows, predicted, asked, self.degrees)
            jacobian = None
        else:
            scores = score_rows(rows, predicted, asked, self.degrees)
            log_likelihood, residual = scores.log_likelihood, scores.residual
            slopes = self.slopes(theta, solution, by_occasion, rows, along)
            latent = self._known_days[1][rows.occasion]
            moved = np.flatnonzero(latent >= 0)
            rates = solution.output_rates[0, by_occasion, rows.output][moved]
            slopes[moved, latent[moved]] = rates * self._coordinates.slopes(theta)[latent[moved]]
            jacobian = np.vstack(
                [self.residual_slopes(theta, scores, slopes), self.spread_slopes(theta), np.eye(theta.size)]
            )
            if not np.isfinite(jacobian).all():
                return self._failed(
                    theta, "a row is predicted as so much that it has no slope.", gradient, along
                )
            if along is not None:
                jacobian = jacobian[:, along]
        return Evaluation(np.concatenate([residual, of_spreads, theta]), jacobian, log_likelihood, predicted)

    def _failed(
        self,
        theta: Array,
        failure: str,
        gradient: bool,
        along: NDArray[np.intp] | None,
        unscorable: int = -1,
    ) -> Evaluation:
        """What a set of parameters is worth that could not be simulated or scored."""
        data, lost = self.residual_count, np.full(len(self.terms), np.nan)
        jacobian = np.vstack([np.zeros((data, theta.size)), np.eye(theta.size)]) if gradient else None
        if jacobian is not None and along is not None:
            jacobian = jacobian[:, along]
        residuals = np.append(np.full(data, _FAILED), theta)
        return Evaluation(residuals, jacobian, lost, lost, failure, unscorable)

    def evaluate_sets(self, thetas: Array, *, rtol: float | None = None, threads: int = 1) -> SetScores:
        """:meth:`evaluate` without gradient for every row of `thetas`, simulated side by side.

        Parameters
        ----------
        thetas : array, shape (n, n_parameters)
        rtol : float, optional
            As for :meth:`evaluate`.
        threads : int
            Groups of sets that are simulated at the same time.

        Returns
        -------
        SetScores
            The same as one by one to the tolerance of the solver.
        """
        thetas = np.asarray(thetas, float)
        rows, count = self.rows, len(thetas)
        days = self.read_at(self.days(thetas))
        order = np.argsort(days, axis=1, kind="stable")
        solution = self.solved(thetas, np.take_along_axis(days, order, axis=1), rtol=rtol, threads=threads)
        by_occasion = np.argsort(order, axis=1)[:, rows.occasion]
        predicted = solution.outputs[np.arange(count)[:, None], by_occasion, rows.output]
        of_spreads = self.spread_residuals(thetas)
        lost = np.asarray(rows.unscorable(predicted).any(axis=1))
        failures = list(solution.messages)
        fine = (solution.status == 0) & ~lost & np.isfinite(of_spreads).all(axis=1)
        for k in np.flatnonzero(~fine & (solution.status == 0)):
            failures[k] = (
                self._words_on(self._unscorable(predicted[k]), predicted[k])
                if lost[k]
                else self._words_on_spreads(of_spreads[k])
            )
        by_row, residuals = (np.full((count, rows.sd.size), np.nan) for _ in range(2))
        by_row[fine], residuals[fine] = score_sets(
            rows, predicted[fine], self.asked_by(rows, thetas[fine]), self.degrees
        )
        predicted[~fine] = np.nan
        return SetScores(np.hstack([residuals, of_spreads, thetas]), by_row, predicted, tuple(failures))

    def asked_by(self, rows: Rows, theta: Array) -> dict[str, Array]:
        """Values of the parameters that rows ask for beside predictions, each of the shape of `theta` but its last axis."""
        if not rows.asked:
            return {}
        return dict(zip(rows.asked, np.moveaxis(self.vector_of(theta, rows.asked), -1, 0), strict=True))

    def log_likelihoods(self, thetas: Array, *, rtol: float | None = None, threads: int = 1) -> Array:
        """ln likelihood of all rows for every row of `thetas`, shape (n,); -inf where one cannot be simulated or scored.

        See :meth:`evaluate_sets`.
        """
        return self.evaluate_sets(thetas, rtol=rtol, threads=threads).log_likelihoods

    def _unscorable(self, predicted: Array) -> int:
        """The first prediction without density: not finite, or without a logarithm where one is taken; -1 if none."""
        lost = self.rows.unscorable(predicted)
        return int(np.argmax(lost)) if lost.any() else -1

    def _words_on(self, first: int, predicted: Array) -> str:
        """Why a term cannot be scored."""
        term = self.terms[first]
        where = f"{term.analyte} at visit {term.visit}" if term.visit else f"{term.analyte}, day {term.day:g}"
        return f"{where} is predicted as {predicted[first]:g}, which cannot be scored."

    def _words_on_spreads(self, found: Array) -> str:
        """Which spread is too small to be scored."""
        lost = [name for name, each in zip(self.spreads, found, strict=True) if not np.isfinite(each)]
        return f"the spread {', '.join(lost)} is next to nothing, which cannot be scored."

    def _directions(self, along: NDArray[np.intp] | None) -> list[str]:
        slots = self._slots if along is None else self._slots[along]
        return [self.kernels.equations.parameters[slot] for slot in slots if slot >= 0]

    # ---- what an evaluation is made of ------------------------------------------------------------

    def solved(
        self,
        theta: Array,
        days: Array,
        *,
        gradient: bool = False,
        rtol: float | None = None,
        along: NDArray[np.intp] | None = None,
        threads: int = 1,
    ) -> Solution:
        """Every output on given days.

        Parameters
        ----------
        theta : array, shape (n_parameters,) or (n, n_parameters)
        days : array, shape (n_days,) or (n, n_days)
            In order; those that `theta` has for samples play no part.
        gradient, rtol, along
            As for :meth:`evaluate`.
        threads : int
            As for :func:`cellsim.solver.integration.integrate`.

        Returns
        -------
        Solution
        """
        from cellsim.solver.integration import integrate

        rtol = rtol or self.rtol
        return integrate(
            self.kernels,
            self.vector(theta),
            self.doses,
            days,
            start=self.case.start,
            rtol=rtol,
            peak_share=min(_PEAK_SHARE, _PEAK_ERROR / rtol),
            output_rates=gradient,
            threads=threads,
            **({"directions": self._directions(along)} if gradient else {}),  # type: ignore[arg-type]
        )

    def slopes(
        self,
        theta: Array,
        solution: Solution,
        times: NDArray[np.intp],
        rows: Rows,
        along: NDArray[np.intp] | None = None,
    ) -> Array:
        """Derivatives of predictions with respect to theta, the days of samples held, shape (n_rows, n_parameters).

        Parameters
        ----------
        theta : array, shape (n_parameters,)
        solution : Solution
            Made with a gradient.
        times : array of int, shape (n_rows,)
            On which of its days each row is read.
        rows : Rows
        along : array of int, optional
            For which parameters it was made; those of others are nought.
        """
        assert solution.sensitivities is not None
        out = np.zeros((times.size, theta.size))
        columns = np.arange(theta.size) if along is None else along
        out[:, columns[self._slots[columns] >= 0]] = solution.sensitivities[0, times, rows.output]
        return np.multiply(out, self._coordinates.slopes(theta), out=out)

    def residual_slopes(self, theta: Array, scores: Scores, slopes: Array) -> Array:
        """The same of the residuals, in place of `slopes`, which are as :meth:`slopes` has them."""
        slopes *= scores.slope[:, None]
        stretch = self._coordinates.slopes(theta)
        for row, name, weight in scores.by_name:
            if (column := self._column.get(name)) is not None:
                slopes[row, column] += weight * stretch[column]
        return slopes

    def pulled(
        self,
        theta: Array,
        solution: Solution,
        times: NDArray[np.intp],
        rows: Rows,
        scores: Scores,
        weights: Array,
    ) -> Array:
        """``weights @ residual_slopes(...)``, shape (n_parameters,), for very many rows: none has slopes of its own."""
        assert solution.sensitivities is not None
        by_output = np.zeros(solution.sensitivities.shape[1:3])
        np.add.at(by_output, (times, rows.output), weights * scores.slope)
        out = np.zeros(theta.size)
        flat = solution.sensitivities[0].reshape(by_output.size, -1)
        # one pass over a large table; BLAS would share so small a product among threads that chains need
        out[self._slots >= 0] = np.einsum("i,ij->j", by_output.ravel(), flat)
        for row, name, weight in scores.by_name:
            if (column := self._column.get(name)) is not None:
                out[column] += weights[row] * weight
        return out * self._coordinates.slopes(theta)

    def parts(self, theta: Array) -> dict[str, float]:
        """The natural log of each part of the posterior, by name.

        Returns
        -------
        dict
            ``standard``, ``censored``, ``graded`` (log-likelihoods with all constants), ``prior`` (density of
            the parameters in their own units, as PEtab defines it) and ``change of coordinates`` (what turns
            that into the density of theta).
        """
        found = self.evaluate(theta)
        out = {
            part: float(
                sum(l for l, term in zip(found.log_likelihood, self.terms, strict=True) if term.part == part)
            )
            for part in ("standard", "censored", "graded")
        }
        prior = float(
            sum(float(p.log_density(p.value(each))) for p, each in zip(self.priors, theta, strict=True))
        )
        whitened = -0.5 * float(theta @ theta) - 0.5 * len(theta) * np.log(2 * np.pi)
        return {**out, "prior": prior, "change of coordinates": whitened - prior}


def kernels_for(model: Model, outputs: Mapping[str, sp.Expr]) -> Kernels:
    """Machine code of a model and of formulas over it; names in them that are none of the model's are further parameters."""
    return _kernels_for(model, tuple(outputs.items()))


@lru_cache(maxsize=64)
def _kernels_for(model: Model, outputs: tuple[tuple[str, sp.Expr], ...]) -> Kernels:
    from cellsim.compiler.equations import equations_of
    from cellsim.compiler.kernels import compile_equations

    used = {each.name for _, formula in outputs for each in formula.free_symbols}
    elsewhere = sorted(used - {"time", *(each.name for each in model.quantities)})
    return compile_equations(equations_of(model, dict(outputs), extra_parameters=elsewhere))
