"""Second derivatives of the sum of squares at an optimum, and how far they can be trusted.

With residuals r and their exact derivative J, half the sum of squares has the Hessian J'J + sum_k r_k r_k''. The first
part is exact; only the second, which the residuals make small, is taken as differences of J'r with r held. How wrong the
result is counts in its own metric: a standard deviation along a direction is as wrong as half the relative error of the
curvature there, and where parameters are strongly correlated a small error of the matrix is a large one along the least
curved directions. So the matrix is tried along some directions by closer differences; where these disagree it is made
again from differences along its own axes, from ever tighter tolerances and shorter steps until two agree. What is left of
the disagreement is told.

Which parameters may be moved at once: the sum of squares is a sum over rows, so its second derivative with respect to two
parameters is zero where no row depends on both. Most parameters of a case belong to one analyte, and analytes are told
apart: their loadings can all be moved in one step, and each change of the gradient still has one author. What has several
authors is read from the other side, the matrix being symmetric (Coleman & Moré 1984, Math Program 28:243).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.descents import FEW
from cellsim.threads import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]
    Pattern = NDArray[np.bool_]

__all__ = [
    "FEW",
    "ON_THE_WAY",
    "Curvature",
    "curvature_at",
    "hessian",
    "moves",
    "neighbours",
    "spread_by_slopes",
    "symmetric",
]

# relative tolerance of simulations that only show a way: the derivative is that of what is computed, so a descent is not
# misled, and where it ends is told at the objective's own tolerance
ON_THE_WAY = 1e-4
# few parameters are differenced along their own axes at once, and their standard deviations wanted to three digits;
# of more some directions are tried first, and half a percent is enough
_WANTED, _WANTED_OF_MANY = 5e-4, 5e-3
# tolerance of the simulations and step, in standard deviations, of each closer matrix; two in a row are compared
_CLOSER = ((1e-8, 0.04), (1e-10, 0.02), (1e-12, 0.01))
_SOFTEST, _RANDOM = 2, 2
# the same of the directions tried, which need not be closer than half a percent; and the step of differences from one side
_TRIED = (1e-6, 0.04)
_ONE_SIDED = 3e-3
_LAST_STEPS = 3


@dataclass(frozen=True, eq=False)
class Curvature:
    """Second derivatives and what is known of their error.

    Attributes
    ----------
    theta : array, shape (n,)
        Where: the point given, or the optimum beside it.
    matrix : array, shape (n, n)
    error : float
        Estimated relative error of a standard deviation by :attr:`matrix`, in the direction where it is largest of those
        tried.
    uncertain : array, shape (n,), or None
        That direction, one standard deviation long, if the error is larger than it should be: above 0.0005, or 0.005 of
        more than twelve parameters.
    """

    theta: Array
    matrix: Array
    error: float
    uncertain: Array | None = None


def curvature_at(
    objective: Objective, theta: Array, *, carry: bool = True, progress: bool | None = False
) -> Curvature:
    """Second derivatives of half the objective at an optimum, as exactly as their own metric asks.

    Where a mode is curved, the curvature a hair's breadth beside its floor is another one: of few parameters the point is
    carried to the optimum of the more exact simulations before these are differenced.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n,)
        Prior-whitened.
    carry : bool
        Whether the point is also carried to the optimum where there are many parameters, by Newton's steps.
    progress : bool, optional
        Show a bar; None: only on a terminal.

    Returns
    -------
    Curvature

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.likelihood.formulation import objective_of
    >>> objective = objective_of(cs.load_case("sjogren_rfib"), variant="V0")
    >>> curvature_at(objective, np.zeros(len(objective.names))).uncertain is None
    True
    """
    # from one side only: of few parameters it gives no more than axes, of many some directions are tried from both sides
    rough = hessian(objective, theta, step=_ONE_SIDED, sides=1, progress=progress)
    slopes = objective.evaluate(theta, gradient=True).jacobian
    assert slopes is not None
    axes, wanted = _axes(rough, slopes), _WANTED
    closer: Sequence[tuple[float, float]] = _CLOSER
    if theta.size > FEW:
        closer, wanted = _CLOSER[:2], _WANTED_OF_MANY
        error, way = _tried(objective, theta, rough, axes, progress)
        if error <= wanted:
            return Curvature(_arrived(objective, theta, axes) if carry else theta, rough, error)
    last, error, way = rough, np.inf, axes[:, 0]
    for rtol, step in closer:
        theta = _arrived(objective, theta, axes, rtol)
        found = axes.T @ _differenced(objective, theta, axes, rtol, step, progress)
        if not np.all(np.isfinite(found)):
            break
        back = np.linalg.inv(axes)
        matrix = back.T @ (found + found.T) @ back / 2
        last, before = (matrix + matrix.T) / 2, last
        axes = _axes(last, slopes)
        if not np.all(np.isfinite(before)):
            continue
        apart, ways = np.linalg.eigh(axes.T @ (last - before) @ axes)
        worst = int(np.argmax(np.abs(apart)))
        error, way = abs(float(apart[worst])) / 2, axes @ ways[:, worst]
        if error <= wanted / 2:
            break
    if not np.all(np.isfinite(last)):  # no difference can be taken here: what is exact is left
        return Curvature(theta, slopes.T @ slopes, np.inf, way)
    return Curvature(theta, last, error, None if error <= wanted else way)


def _arrived(objective: Objective, theta: Array, axes: Array, rtol: float | None = None) -> Array:
    """The optimum by Newton's steps, their curvature being known anyway: where rows are missed, Gauss and Newton's creep."""

    def ahead(here: Array) -> tuple[Array, float]:
        found = objective.evaluate(here, gradient=True, rtol=rtol)
        if found.failure:
            return np.zeros(theta.size), np.inf
        pull = axes.T @ found.gradient
        return axes @ pull, float(pull @ pull)

    step, fall = ahead(theta)
    for _ in range(_LAST_STEPS):
        further, left = ahead(theta - step)
        if not left < fall / 4:
            break
        theta, step, fall = theta - step, further, left
    return theta


def _tried(
    objective: Objective, theta: Array, matrix: Array, axes: Array, progress: bool | None
) -> tuple[float, Array]:
    """How wrong a standard deviation is, and where: along the softest axes, where errors weigh most, and random ways."""
    ways = np.random.default_rng(0).standard_normal((theta.size, _RANDOM))
    ways = np.column_stack([np.eye(theta.size)[:, :_SOFTEST], ways / np.linalg.norm(ways, axis=0)])
    found = _differenced(objective, theta, axes @ ways, *_TRIED, progress)
    errors = np.linalg.norm(axes.T @ (found - matrix @ (axes @ ways)), axis=0) / 2
    worst = int(np.argmax(np.where(np.isfinite(errors), errors, np.inf)))
    return float(errors[worst]), axes @ ways[:, worst]


def _axes(matrix: Array, slopes: Array) -> Array:
    """Columns one standard deviation long and uncorrelated under the normal approximation of a curvature, the least curved first.

    From the matrix scaled to a unit diagonal, whose small eigenvalues keep their digits whatever the units; from J'J where
    the matrix is no mode's, which has no approximation.
    """
    for each in (matrix, slopes.T @ slopes):
        sizes = np.diag(each)
        if not (np.all(np.isfinite(each)) and np.all(sizes > 0)):
            continue
        scale = 1 / np.sqrt(sizes)
        values, vectors = np.linalg.eigh(each * np.outer(scale, scale))
        if values[0] > values[-1] * np.finfo(float).eps:
            break
    # rounding only: J'J holds the priors' unit matrix
    values = np.maximum(values, values[-1] * np.finfo(float).eps)
    return np.asarray(scale[:, None] * vectors / np.sqrt(values))


def _differenced(
    objective: Objective, theta: Array, ways: Array, rtol: float, step: float, progress: bool | None
) -> Array:
    """The Hessian times each column of `ways`, from differences along it, shape (n, n_ways)."""
    here = objective.evaluate(theta, gradient=True, rtol=rtol)
    slopes = here.jacobian
    assert slopes is not None

    def bend(way: Array) -> Array:
        up, down = (
            objective.evaluate(theta + side * step * way, gradient=True, rtol=rtol).jacobian
            for side in (1, -1)
        )
        assert up is not None and down is not None
        return np.asarray((up - down).T @ here.residuals / (2 * step))

    bends = in_threads(bend, list(ways.T), f"{objective.variant}: curvature, closer", progress)
    return np.asarray(slopes.T @ (slopes @ ways) + np.column_stack(bends))


def hessian(
    objective: Objective,
    theta: Array,
    *,
    step: float = 1e-2,
    sides: int = 2,
    rtol: float | None = None,
    progress: bool | None = False,
) -> Array:
    """Second derivatives of half the objective (of -ln posterior) with respect to theta, as cheaply as can be.

    J'J, and differences of J'r with r held, made symmetric; parameters that meet in no row are moved at once.
    :func:`curvature_at` judges and mends it.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n,)
    step : float
        Of the differences, in units of each coordinate's own spread (with the others held).
    sides : {1, 2}
        To which a parameter is moved: 2 for central differences, 1 for half the work.
    rtol : float, optional
        Of the simulations; by default the objective's own for J'J, and 1e-4, or the objective's own where that is looser,
        for the differences.
    progress : bool, optional
        Show a bar; None: only on a terminal.

    Returns
    -------
    array, shape (n, n)
    """
    count = len(objective.terms)
    slopes = objective.evaluate(theta, gradient=True, rtol=rtol).jacobian
    rtol = max(objective.rtol, ON_THE_WAY) if rtol is None else rtol
    here = objective.evaluate(theta, gradient=True, rtol=rtol)
    assert slopes is not None and here.jacobian is not None
    steps = step / np.linalg.norm(here.jacobian, axis=0)
    # beside theta too, where nothing is zero by chance: a drift of nought hides what its half-life would do
    beside = objective.evaluate(
        theta + steps * np.random.default_rng(0).uniform(0.1, 1.0, theta.size), gradient=True, rtol=rtol
    ).jacobian
    assert beside is not None
    together = neighbours((here.jacobian[:count] != 0) | (beside[:count] != 0))
    groups = moves(together)

    def change(group: list[int]) -> Array:
        move = np.zeros(theta.size)
        move[group] = steps[group]
        ends = [objective.evaluate(theta + side * move, gradient=True, rtol=rtol) for side in (1, -1)[:sides]]
        up, down = ends[0].jacobian, [*ends, here][1].jacobian
        assert up is not None and down is not None
        return np.asarray((up - down).T @ here.residuals / sides)

    changes = in_threads(change, groups, f"{objective.variant}: curvature", progress)
    return slopes.T @ slopes + symmetric(together, groups, steps, changes)


def neighbours(touched: Pattern) -> Pattern:
    """Which pairs of parameters meet in a row, shape (n, n); each meets itself.

    Parameters
    ----------
    touched : array of bool, shape (n_rows, n)
        Which row depends on which parameter.
    """
    counts = touched.astype(np.int64)
    return np.asarray((counts.T @ counts > 0) | np.eye(touched.shape[1], dtype=bool))


def moves(together: Pattern) -> list[list[int]]:
    """Groups of parameters to be moved at once, so few that the whole matrix can be read from the changes.

    Parameters which meet many others are moved alone; the rest are shared out so that no two of a group meet a third one
    of the rest. How many count as many is tried out.

    Parameters
    ----------
    together : array of bool, shape (n, n)
        From :func:`neighbours`.

    Returns
    -------
    list of list of int
        Every parameter once.

    Examples
    --------
    >>> star = np.eye(4, dtype=bool)
    >>> star[0] = star[:, 0] = True
    >>> moves(star)
    [[0], [1, 2, 3]]
    """
    met = together.sum(axis=0)
    tried = [_shared_out(together, met > most) for most in (0, *np.unique(met))]
    return min(tried, key=len)


def _shared_out(together: Pattern, alone: Pattern) -> list[list[int]]:
    rest = np.flatnonzero(~alone)
    inside = together[np.ix_(rest, rest)].astype(np.int64)
    clash = inside @ inside > 0
    groups: list[list[int]] = []
    closed: list[Pattern] = []  # to whom each group is: who clashes with one of it
    for k in np.argsort(-clash.sum(axis=0), kind="stable").tolist():
        place = next((g for g, shut in enumerate(closed) if not shut[k]), len(groups))
        if place == len(groups):
            groups.append([])
            closed.append(np.zeros(rest.size, bool))
        groups[place].append(k)
        closed[place] |= clash[k]
    return [[int(j)] for j in np.flatnonzero(alone)] + [[int(rest[k]) for k in group] for group in groups]


def symmetric(
    together: Pattern, groups: Sequence[Sequence[int]], steps: Array, changes: Sequence[Array]
) -> Array:
    """The matrix behind the changes that moving the groups made.

    Parameters
    ----------
    together : array of bool, shape (n, n)
    groups : sequence of sequence of int
        From :func:`moves`.
    steps : array, shape (n,)
        How far each parameter was moved.
    changes : sequence of array, shape (n,)
        Of the gradient, one for each group: H @ (the steps of that group).

    Returns
    -------
    array, shape (n, n)
        Each entry the mean of the one or two places that tell it alone.
    """
    total, count = np.zeros(together.shape), np.zeros(together.shape)
    for group, change in zip(groups, changes, strict=True):
        meets = together[group]
        told = meets & (meets.sum(axis=0) == 1)
        for j, where in zip(group, told, strict=True):
            total[where, j] += change[where] / steps[j]
            count[where, j] += 1
    total, count = total + total.T, count + count.T
    return np.asarray(np.divide(total, count, out=np.zeros(total.shape), where=count > 0))


def spread_by_slopes(objective: Objective, theta: Array) -> Array:
    """Covariance by J'J alone, rows and priors, prior-whitened: what regression programs print."""
    slopes = objective.evaluate(theta, gradient=True).jacobian
    assert slopes is not None
    scale = np.linalg.norm(slopes, axis=0)
    root = np.linalg.inv(np.linalg.qr(slopes / scale, mode="r")) / scale[:, None]
    return np.asarray(root @ root.T)
