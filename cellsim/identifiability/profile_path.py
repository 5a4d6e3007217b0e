"""Walk along the profile path of a mode: the best reachable objective while one quantity is held at chosen values.

With S(theta) the sum of squares, r its residuals and J their derivative, a point of the profile of c(theta) solves

    min S(theta)  subject to  c(theta) = c.

Each step is Newton's for this problem with the Hessian J'J + B, B the part that residuals add at the optimum (kept
along the walk), and J'J alone where that is not positive definite. At a solution the multiplier mu gives the slope of
the profile, dS/dc = 2 mu, so a few points describe the curve: between them it is Hermite's cubic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.objective import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Quantity = Callable[[Array], tuple[float, Array]]

__all__ = ["Point", "ProfileProblem", "Spot", "Walk", "settle", "walk"]

# a step is judged by how much of the promised fall it delivered
_GOOD, _POOR = 0.75, 0.05
_LARGEST_DAMPING = 1e8
_ELSEWHERE = 2.0  # prior sd from the way to where a point was looked for: another mode


@dataclass(frozen=True)
class Point:
    """A point of the profile path.

    Attributes
    ----------
    theta : array, shape (n,)
    at : float
        The quantity held; nan at the free optimum.
    level : float
        S there, less what the last Newton step would still gain.
    slope, curvature : float
        First and second derivative of S along the floor with respect to the quantity.
    tangent : array, shape (n,)
        d theta / d quantity along the floor.
    against : tuple of int
        Parameters that stand at the limit.
    evaluations : int
        Gradients this point cost.
    rough : bool
        Whether the descent was stopped early.
    """

    theta: Array
    at: float
    level: float
    slope: float
    curvature: float
    tangent: Array
    against: tuple[int, ...] = ()
    evaluations: int = 0
    rough: bool = False


@dataclass(frozen=True)
class ProfileProblem:
    """What is walked on.

    Parameters
    ----------
    objective : Objective
    weights : array, shape (n,)
        Of the prior's squares: 1 where the prior is believed; a small number where it only chooses, so that of
        equally likely points the one nearest to the prior is meant. Its share is taken off again.
    limit : float
        No coordinate goes beyond this many prior standard deviations.
    extra : array, shape (n, n), optional
        What the true Hessian of S/2 has beyond J'J.
    rtol : float, optional
        Relative tolerance of the simulations; the objective's own by default.
    """

    objective: Objective
    weights: Array
    limit: float = 8.0
    extra: Array | None = None
    rtol: float | None = None

    def spot(self, theta: Array) -> Spot | None:
        """Residuals and derivatives at `theta`; None where the simulation fails."""
        found = self.objective.evaluate(theta, gradient=True, rtol=self.rtol)
        if found.failure or found.jacobian is None or not np.all(np.isfinite(found.residuals)):
            return None
        # the prior's rows are theta itself; einsum and Cholesky because LAPACK's own threads would fight with ours
        rows, weights = self.objective.residual_count, self.weights
        residuals, jacobian = found.residuals[:rows], found.jacobian[:rows]
        hessian = np.einsum("ki,kj->ij", jacobian, jacobian) + np.diag(weights)
        if self.extra is not None and _root(hessian + self.extra) is not None:
            hessian = hessian + self.extra
        return Spot(
            theta,
            float(np.sum(residuals**2) + np.sum(weights * theta**2)),
            np.einsum("ki,k->i", jacobian, residuals) + weights * theta,
            hessian,
        )


def _root(matrix: Array) -> tuple[Array, bool] | None:
    """Cholesky's factor, None where the matrix is not positive definite."""
    from scipy.linalg import LinAlgError, cho_factor

    try:
        return cho_factor(matrix, check_finite=False)
    except LinAlgError:
        return None


def _solved(matrix: Array, right: Array) -> Array:
    from scipy.linalg import cho_solve

    root = _root(matrix)
    if root is None:  # rounding only: every matrix here is a sum of squares
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])
    return np.asarray(cho_solve(root, right, check_finite=False))


@dataclass(frozen=True)
class Spot:
    """What the objective is near one place: level, half of its gradient, and half of its Hessian."""

    theta: Array
    level: float
    half_gradient: Array
    hessian: Array

    def step(self, normal: Array | None, gap: float, limit: float, damping: float = 0.0) -> _PathStep:
        """Newton's step to the floor at quantity + gap, kept inside the limit."""
        n = self.theta.size
        matrix = self.hessian + damping * np.eye(n) if damping else self.hessian
        at_limit = np.abs(self.theta) >= limit - 1e-9
        held = np.zeros(n, dtype=bool)
        if normal is not None and np.count_nonzero(normal) == 1:
            held = normal != 0  # goes where it is told to
        # what pushes against the limit stays there; this is the step whose gain tells whether we have arrived
        fixed, stop = np.zeros(n, dtype=bool), np.zeros(n)
        while True:
            step = self._solve(matrix, normal, gap, fixed, stop)
            outwards = ~fixed & at_limit & ~held & (step.move * self.theta > 0)
            if not outwards.any() or not _movable(normal, ~fixed & ~outwards):
                break
            fixed |= outwards
        arrived, against = step, tuple(np.flatnonzero(fixed).tolist())
        # what would cross the limit goes to it and no further, and the others make the best of that
        while True:
            crossing = ~fixed & ~held & (np.abs(self.theta + step.move) > limit + 1e-9)
            if not crossing.any() or not _movable(normal, ~fixed & ~crossing):
                break
            fixed |= crossing
            stop[crossing] = np.sign(step.move[crossing]) * limit - self.theta[crossing]
            step = self._solve(matrix, normal, gap, fixed, stop)
        move = np.where(held, step.move, np.clip(self.theta + step.move, -limit, limit) - self.theta)
        return replace(arrived, move=move, promised=self._gain(move), against=against)

    def _solve(
        self, matrix: Array, normal: Array | None, gap: float, fixed: NDArray[np.bool_], stop: Array
    ) -> _PathStep:
        """Newton's step of the free coordinates when the fixed ones move by `stop`."""
        free, n = ~fixed, self.theta.size
        inner, pull = matrix[np.ix_(free, free)], self.half_gradient[free]
        if stop.any():
            pull = pull + np.einsum("ij,j->i", matrix[free], stop)
        move, toward, mu, stiffness = np.where(fixed, stop, 0.0), np.zeros(n), 0.0, np.inf
        if normal is None:
            move[free] = -_solved(inner, pull)
        else:
            both = _solved(inner, np.column_stack([pull, normal[free]]))
            along = float(normal[free] @ both[:, 1])
            mu = (gap - float(normal @ stop) + float(normal[free] @ both[:, 0])) / along
            move[free] = -both[:, 0] + mu * both[:, 1]
            stiffness = 1 / along
            toward[free] = both[:, 1] / along
        return _PathStep(move, mu, stiffness, toward, self._gain(move))

    def _gain(self, move: Array) -> float:
        """How much a step lowers the local parabola."""
        curved = float(np.einsum("i,ij,j->", move, self.hessian, move))
        return -2 * float(self.half_gradient @ move) - curved


def _movable(normal: Array | None, free: NDArray[np.bool_]) -> bool:
    """Whether the quantity can still be moved by what is free."""
    return bool(free.any() if normal is None else normal[free].any())


@dataclass(frozen=True)
class _PathStep:
    move: Array
    mu: float
    stiffness: float
    toward: Array
    gain: float  # before the limit cuts it
    promised: float = 0.0  # as cut
    against: tuple[int, ...] = ()


def settle(
    problem: ProfileProblem,
    theta: Array,
    quantity: Quantity | None = None,
    target: float = np.nan,
    *,
    tolerance: float = 0.01,
    most: int = 25,
    rough: float = 0.0,
    spot: Spot | None = None,
) -> Point | None:
    """Go down to the profile path of the mode at quantity = target (or to the free optimum).

    Parameters
    ----------
    problem : ProfileProblem
    theta : array, shape (n,)
        Where to begin.
    quantity : callable, optional
        theta -> (value, gradient).
    target : float
        Need not be met exactly: the point returned says where it is.
    tolerance : float
        Of S: a point is accepted when Newton's step would gain less. The step is taken and its gain counted, so
        the error left is of higher order.
    most : int
        Gradients at most.
    rough : float
        What may be left to gain when these are spent; such a point says so.
    spot : Spot, optional
        What is known at `theta`; it is evaluated otherwise.

    Returns
    -------
    Point or None
        None when the simulation fails or nothing is reached.
    """
    spot = problem.spot(theta) if spot is None else spot

    def asked(place: Array) -> tuple[float, Array | None]:
        return (np.nan, None) if quantity is None else quantity(place)

    # of the spot, where a trial has told it: a prediction costs more than the objective
    told: tuple[float, Array | None] | None = None
    cost, damping, reach = 1, 0.0, abs(target)
    # what only chooses among equally likely points is no part of the likelihood
    surplus = np.where(problem.weights == 1.0, 0.0, problem.weights)
    while spot is not None:
        told = told or asked(spot.theta)
        value, normal = told
        if normal is not None and not (np.all(np.isfinite(normal)) and normal.any()):
            return None  # nothing moves the quantity here: it has come to where it cannot go on
        here = spot.step(normal, 0.0, problem.limit)
        gap = 0.0 if quantity is None else target - value
        near = abs(gap) <= 1e-3 * max(reach, abs(value)) or abs(gap) <= 0.1 * _spread(here)
        done = near and here.gain < tolerance
        if done or (near and cost >= most and here.gain < rough):
            # far from the end of the descent Newton's promise is no measurement
            gain, move = (max(here.gain, 0.0), here.move) if done else (0.0, np.zeros(theta.size))
            return Point(
                theta=spot.theta + move,
                at=value,
                level=spot.level - gain - float(surplus @ spot.theta**2),
                slope=2 * here.mu - 2 * float((surplus * spot.theta) @ here.toward),
                curvature=2 * here.stiffness,
                tangent=here.toward,
                against=here.against,
                evaluations=cost,
                rough=not done,
            )
        if cost >= most:
            return None
        weight = 4 * abs(here.mu) + 1e-12
        while True:
            if cost >= most or damping > _LARGEST_DAMPING:
                most = cost  # what was reached is judged above
                break
            step = spot.step(normal, gap, problem.limit, damping)
            promised = step.promised + weight * abs(gap)
            trial = problem.spot(spot.theta + step.move) if promised > 0 else None
            cost += trial is not None
            if trial is not None:
                there = asked(trial.theta)
                missed = 0.0 if quantity is None else abs(target - there[0])
                kept = spot.level + weight * abs(gap) - trial.level - weight * missed
                if kept > _POOR * promised or abs(promised) < tolerance / 10:
                    damping = 0.0 if kept > _GOOD * promised and damping < 1e-2 else damping / 4
                    spot, told = trial, there
                    break
            damping = max(4 * damping, 1e-2)
    return None


def _spread(step: _PathStep) -> float:
    """One posterior standard deviation of the quantity, as the local curvature has it."""
    return float(1 / np.sqrt(step.stiffness)) if np.isfinite(step.stiffness) else np.inf


@dataclass(frozen=True)
class Walk:
    """One side of a profile, from the optimum outwards.

    Attributes
    ----------
    points : tuple of Point
        The optimum first.
    end : str
        ``"reached"`` (the highest level asked for), ``"tail"`` (the far tail of the prior came first),
        ``"failed"`` (no way on could be found), or ``"long"`` (too many steps).
    jumps : tuple of int
        Points that were reached by a leap into another mode.
    """

    points: tuple[Point, ...]
    end: str
    jumps: tuple[int, ...] = field(default=())


def walk(
    problem: ProfileProblem,
    quantity: Quantity,
    first: Point,
    side: int,
    *,
    rise: float,
    least: float | None = None,
    step: float = 0.5,
    reach: tuple[float, float] = (-np.inf, np.inf),
    longest: float = np.inf,
    tolerance: float = 0.01,
    rough: float = 0.0,
    most: int = 40,
) -> Walk:
    """Follow the profile path from the optimum to one side.

    Parameters
    ----------
    problem : ProfileProblem
    quantity : callable
        theta -> (value, gradient).
    first : Point
        The optimum, settled with this quantity.
    side : int
        +1 or -1.
    rise : float
        Stop when S has risen so far,
    least : float, optional
        above this level; above that of `first` by default.
    step : float
        Steps are chosen so that the square root of the rise grows by about this much.
    reach : (float, float)
        Values of the quantity beyond which nobody looks.
    longest : float
        Longest step in the quantity.
    tolerance, rough : float
        Of S, see :func:`settle`.
    most : int
        Points at most.

    Returns
    -------
    Walk
    """
    points, jumps = [first], []
    ground_level = first.level if least is None else least
    edge = reach[1] if side > 0 else reach[0]
    top, stride, end = np.sqrt(rise), longest, "long"
    while len(points) < most:
        last = points[-1]
        height = np.sqrt(max(last.level - ground_level, 0.0))
        goal = min(height + step, top * 1.01) if height < top else height + step
        move = min(_stride(last, side, goal**2 - (last.level - ground_level)), stride, longest)
        found = None
        for _ in range(4):
            target = last.at + side * move
            final = side * (target - edge) >= 0
            target = edge if final else target
            guess = _ahead(points, target)
            found = settle(
                problem,
                np.clip(guess, -problem.limit, problem.limit),
                quantity,
                target,
                tolerance=tolerance,
                rough=rough,
            )
            far = found is not None and np.sqrt(max(found.level - ground_level, 0.0)) - height > 2.5 * step
            backward = found is not None and side * (found.at - last.at) <= 0
            if found is not None and not far and not backward:
                break
            move /= 3
        if found is None or backward:
            end = "failed"
            break
        missed = float(np.linalg.norm(found.theta - guess))
        aside = _aside(last.theta, guess, found.theta)
        if aside > _ELSEWHERE and missed > float(np.linalg.norm(found.theta - last.theta)):
            jumps.append(len(points))
        stride = 3 * abs(found.at - last.at)
        points.append(found)
        if found.level - ground_level >= rise:
            end = "reached"
            break
        if final:
            end = "tail"
            break
    return Walk(tuple(points), end, tuple(jumps))


def _stride(last: Point, side: int, climb: float) -> float:
    """How far to go for S to climb by so much, by the local parabola."""
    slope, bend = max(side * last.slope, 0.0), max(last.curvature, 1e-12)
    return float((np.sqrt(slope**2 + 2 * bend * max(climb, 1e-6)) - slope) / bend)


def _aside(last: Array, guess: Array, found: Array) -> float:
    """How far a point lies from the way to where it was looked for. One that fell short lies on it, and in the same mode."""
    ahead = guess - last
    share = np.clip(ahead @ (found - last) / max(float(ahead @ ahead), 1e-300), 0.0, 1.0)
    return float(np.linalg.norm(found - last - share * ahead))


def _ahead(points: list[Point], target: float) -> Array:
    """Where the floor should be: along the tangent, curved as the last two tangents were."""
    last = points[-1]
    ahead = target - last.at
    guess = last.theta + last.tangent * ahead
    if len(points) > 1:
        before = points[-2]
        bend = (last.tangent - before.tangent) / (last.at - before.at)
        curve = 0.5 * bend * ahead**2
        if np.linalg.norm(curve) < 0.5 * np.linalg.norm(guess - last.theta):
            guess = guess + curve
    return np.asarray(guess)
