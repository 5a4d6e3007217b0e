"""Maximum a posteriori fit of a model to a case, from many starts, with its Laplace spread.

lmfit minimises the sum of squares of :class:`cellsim.likelihood.Objective` in prior-whitened coordinates, where
the prior is N(0, I). The spread is the inverse of the true Hessian (differences of the exact gradient), not of
J'J: with fewer rows than parameters the two differ where it matters.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cellsim.diagnosis import diagnose
from cellsim.errors import CalibrationError
from cellsim.fitted import Calibration, Start, versions
from cellsim.likelihood import Objective, objective_of

if TYPE_CHECKING:
    from lmfit.minimizer import MinimizerResult
    from numpy.typing import NDArray

    from cellsim.case import Case
    from cellsim.model import Model

    Array = NDArray[np.float64]

__all__ = ["calibrate", "hessian"]

Thing = TypeVar("Thing")
Done = TypeVar("Done")

# relative fall of the sum of squares at which a start ends: far below what makes two starts differ, since the
# sum is of the order of the number of rows; only the best one is carried on to the end
_ROUGH, _POLISHED = 1e-5, 1e-11


def calibrate(
    case: Case,
    model: Model | None = None,
    *,
    variant: str | None = None,
    starts: int = 20,
    seed: int = 0,
    progress: bool | None = None,
) -> Calibration:
    """Fit a model to a case: the most probable parameters given data and priors, and their spread.

    Parameters
    ----------
    case : Case
        Data, schedule and priors.
    model : Model, optional
        The mechanism; the case's own by default.
    variant : str, optional
        A row of the case's model space; the case's default variant otherwise.
    starts : int
        How many; the first begins at the prior medians, the others at draws from the prior.
    seed : int
        Of the starts.
    progress : bool, optional
        Show a bar; by default only on a terminal.

    Returns
    -------
    Calibration

    Raises
    ------
    CalibrationError
        If no start could be carried through.
    CaseError
        If case and model do not fit together.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> fit.variant
    'V2'
    """
    if starts < 1:
        raise CalibrationError(f"starts = {starts}: at least one is needed.")
    objective = objective_of(case, model, variant=variant)
    random = np.random.default_rng(seed)
    size = len(objective.names)
    firsts = [np.zeros(size), *(random.standard_normal((starts - 1, size)))]
    objective.evaluate(firsts[0], gradient=True)  # compiles, before threads ask for it
    ended = _in_threads(partial(_descend, objective), firsts, f"{objective.variant}: starts", progress)
    best = min(ended, key=lambda each: each[0].objective)
    if not np.isfinite(best[0].objective):
        raise CalibrationError(
            f"none of {starts} starts could be carried through; the last said: {ended[-1][0].message}"
        )
    polished, theta, result = _descend(objective, best[1], ftol=_POLISHED)
    how = tuple(polished if each is best else each[0] for each in ended)
    curvature = hessian(objective, theta, progress=progress)
    return Calibration(
        objective=objective,
        theta=theta,
        covariance=_spread(curvature),
        starts=how,
        seed=seed,
        diagnosis=diagnose(objective, theta, curvature, how),
        lmfit=result,
        versions=versions(),
    )


def _in_threads(
    work: Callable[[Thing], Done], things: Sequence[Thing], title: str, progress: bool | None
) -> list[Done]:
    """Do all, in order; the solver releases the interpreter, so threads are enough."""
    from tqdm import tqdm

    show = sys.stderr.isatty() if progress is None else progress
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(work, things)
        return list(
            tqdm(done, desc=title, total=len(things), disable=not show or len(things) < 2, leave=False)
        )


def _descend(
    objective: Objective, first: Array, *, ftol: float = _ROUGH
) -> tuple[Start, Array, MinimizerResult | None]:
    """One Levenberg-Marquardt descent."""
    import lmfit

    # the names carry no meaning for lmfit's expression parser, which knows a number e of its own
    names = [f"theta_{name}" for name in objective.names]
    parameters = lmfit.Parameters()
    for name, value in zip(names, first, strict=True):
        parameters.add(name, value=float(value))

    def residuals(pars: lmfit.Parameters) -> Array:
        return objective.evaluate(np.array([pars[name].value for name in names])).residuals

    def jacobian(pars: lmfit.Parameters) -> Array:
        found = objective.evaluate(np.array([pars[name].value for name in names]), gradient=True)
        assert found.jacobian is not None
        return found.jacobian

    started = objective.evaluate(first)
    if started.failure:
        return Start(np.inf, 1, False, f"the simulation at the start failed: {started.failure}"), first, None
    # scale_covar would divide the spread by a chi-square that counts prior rows as data
    result = lmfit.minimize(
        residuals, parameters, method="leastsq", Dfun=jacobian, scale_covar=False, xtol=1e-7, ftol=ftol
    )
    theta = np.array([result.params[name].value for name in names])
    ended = objective.evaluate(theta)
    if ended.failure:
        return Start(np.inf, result.nfev, False, ended.failure), theta, result
    return Start(ended.objective, int(result.nfev), bool(result.success), str(result.message)), theta, result


def hessian(
    objective: Objective,
    theta: Array,
    *,
    step: float = 1e-3,
    rtol: float = 1e-8,
    progress: bool | None = False,
) -> Array:
    """Second derivatives of half the objective (of -ln posterior) with respect to theta.

    Central differences of the exact gradient, made symmetric.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n,)
    step : float
        In prior standard deviations.
    rtol : float
        Of the simulations, tighter than for fitting because differences are taken.
    progress : bool, optional
        Show a bar; None: only on a terminal.

    Returns
    -------
    array, shape (n, n)
    """

    def row(j: int) -> Array:
        move = np.zeros(theta.size)
        move[j] = step
        up = objective.evaluate(theta + move, gradient=True, rtol=rtol).gradient
        down = objective.evaluate(theta - move, gradient=True, rtol=rtol).gradient
        return np.asarray((up - down) / (2 * step))

    rows = _in_threads(row, range(theta.size), f"{objective.variant}: curvature", progress)
    found = np.array(rows)
    return (found + found.T) / 2


def _spread(curvature: Array) -> Array:
    """Covariance from the Hessian; directions without a summit keep the prior's unit curvature."""
    values, vectors = np.linalg.eigh(curvature)
    values = np.where(values > 0, values, 1.0)
    return np.asarray((vectors / values) @ vectors.T)
