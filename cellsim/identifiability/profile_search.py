"""The walks behind profiles: from every mode, both ways along the profile path, and the curves they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.identifiability.profile_curve import Branch, Curve
from cellsim.identifiability.profile_path import Point, ProfileProblem, Spot, Walk, settle, walk
from cellsim.likelihood.objective import Objective
from cellsim.posterior.curvature import ON_THE_WAY
from cellsim.streams import progress_bar
from cellsim.threads import as_they_end

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "KINDS",
    "ROUGH",
    "HeldQuantity",
    "ProfileSearch",
    "all_walks",
    "curve_of",
    "loosest",
    "parameters_of_rows",
    "starting_modes",
]

KINDS = ("posterior", "unaided", "likelihood")
# whitened coordinates have no bounds: beyond these many prior sd nobody looks
_LIMIT = {"posterior": 8.0, "unaided": 8.0, "likelihood": 5.0}
_REACH = {"posterior": 8.0, "unaided": 5.0, "likelihood": 5.0}
# where a prior is not believed it only chooses, as if it were ten times wider
_ASIDE = 0.01
# what a box wider by so much of itself would be worth, in -2 ln likelihood, for a reader to see it
_WIDER, _WORTH = 0.1, 0.1
# likelihoods of many parameters wind through narrow modes; what may be left of -2 ln when patience ends
ROUGH = {"posterior": 0.0, "unaided": 0.0, "likelihood": 0.3}
_FAR = 4.0


@dataclass(frozen=True)
class HeldQuantity:
    """A quantity to be held."""

    name: str
    unit: str
    of: Callable[[Array], tuple[float, Array]]
    column: int = -1


# ---- where walks start ----------------------------------------------------------------------------


def starting_modes(source: Any, objective: Objective, kind: str) -> list[tuple[ProfileProblem, Point]]:
    """Every distinct optimum known, polished, with its problem."""
    optima: list[tuple[Array, Array | None]] = []
    if (mixture := getattr(source, "mixture", None)) is not None:
        optima = [(mode.theta, np.linalg.inv(mode.covariance)) for mode in mixture.modes]
    elif hasattr(source, "covariance"):
        optima = [(source.theta, np.linalg.inv(source.covariance))]
    else:
        optima = [(np.zeros(len(objective.names)), None)]
    out: list[tuple[ProfileProblem, Point]] = []
    for theta, curvature in optima:
        extra = None
        if kind != "likelihood" and curvature is not None:
            jacobian = objective.evaluate(theta, gradient=True).jacobian
            extra = None if jacobian is None else curvature - jacobian.T @ jacobian
        weights = np.full(theta.size, _ASIDE if kind == "likelihood" else 1.0)
        problem = ProfileProblem(objective, weights, _LIMIT[kind], extra)
        start = np.clip(theta, -problem.limit, problem.limit)
        point = settle(problem, start, tolerance=1e-3, most=100, rough=ROUGH[kind])
        if point is None and curvature is not None:
            # Newton's steps were lost; a calibration's own optimum is a point to walk from whatever is left to gain
            start = _descended(problem, start)
            point = settle(problem, start, tolerance=1e-3, most=100, rough=np.inf)
        if point is not None and all(np.max(np.abs(point.theta - p.theta)) > 0.1 for _, p in out):
            out.append((problem, point))
    if not out:
        raise CalibrationError(
            "no optimum could be reached from the prior medians; calibrate, and profile what that finds."
            if optima[0][1] is None
            else "nothing can be simulated at the calibration's optima once priors are left out; profile the posterior."
        )
    return sorted(out, key=lambda pair: pair[1].level)


def _descended(problem: ProfileProblem, start: Array) -> Array:
    """Down to the floor by bounded least squares, where Newton's own steps do not find the way."""
    from scipy.optimize import least_squares

    objective, scale = problem.objective, np.sqrt(problem.weights)
    count = objective.residual_count
    found = {"theta": start}

    def residuals(theta: Array) -> Array:
        here = objective.evaluate(theta).residuals
        return np.append(here[:count], scale * here[count:])

    def slopes(theta: Array) -> Array:
        jacobian = objective.evaluate(theta, gradient=True).jacobian
        assert jacobian is not None
        if not np.all(np.isfinite(jacobian)):
            raise CalibrationError("the gradient is not finite.")
        found["theta"] = theta
        return np.vstack([jacobian[:count], np.diag(scale)])

    inside = np.clip(start, -problem.limit * (1 - 1e-9), problem.limit * (1 - 1e-9))
    try:
        ended = least_squares(
            residuals, inside, slopes, bounds=(-problem.limit, problem.limit), x_scale="jac", max_nfev=200
        )
    except CalibrationError:
        return found["theta"]
    return np.asarray(ended.x)


def loosest(objective: Objective, theta: Array, rise: float, tolerance: float) -> float:
    """The relative tolerance with which walks need be simulated, their levels being told to a tolerance of their own.

    What moves the residuals by d moves S, where it has risen by R, by no more than 2 sqrt(R) |d| beside what moves it at the
    optimum: a tenth of the tolerance is allowed.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n,)
        The optimum, where it is looked at.
    rise : float
        How far S rises.
    tolerance : float
        Of S.

    Returns
    -------
    float
        1e-4, half of the work, or the objective's own tolerance where that is looser, or rows tell more than that.
    """
    loose = max(objective.rtol, ON_THE_WAY)
    own, found = (objective.evaluate(theta, rtol=each).residuals for each in (objective.rtol, loose))
    return loose if 2 * np.sqrt(rise) * np.linalg.norm(found - own) < tolerance / 10 else objective.rtol


# ---- the walks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProfileSearch:
    """What all walks of one call share: the modes, the height to climb to, steps, and what may be left roughly."""

    modes: Sequence[tuple[ProfileProblem, Point]]
    least: float
    rise: float
    step: float
    tolerance: float
    rough: float
    kind: str

    def start(
        self, quantity: HeldQuantity, mode: int, spot: Future[Spot | None]
    ) -> tuple[ProfileProblem, Point] | None:
        """Where both walks of one quantity from one mode begin; None where they cannot. `spot` is of the mode's optimum."""
        problem, optimum = self.modes[mode]
        if optimum.level - self.least > self.rise:
            return None
        known = spot.result()
        if self.kind == "unaided":
            weights = problem.weights.copy()
            weights[quantity.column] = _ASIDE
            problem = replace(problem, weights=weights)
            found = settle(problem, optimum.theta, tolerance=1e-3, most=100)
            if found is None:
                return None
            optimum, known = found, problem.spot(found.theta)
        start = settle(
            problem,
            optimum.theta,
            quantity.of,
            quantity.of(optimum.theta)[0],
            tolerance=self.tolerance,
            rough=self.rough,
            spot=known,
        )
        return None if start is None else (problem, start)

    def side(
        self, quantity: HeldQuantity, start: Future[tuple[ProfileProblem, Point] | None], side: int
    ) -> Walk | None:
        """One walk: one quantity, one mode, one side; None when it cannot even begin."""
        if (begun := start.result()) is None:
            return None
        problem, first = begun
        least = first.level if self.kind == "unaided" else self.least
        sd = np.sqrt(2 / first.curvature)
        far = max(_REACH[self.kind], abs(first.at) + 0.5) if quantity.column >= 0 else np.inf
        longest = 1.5 if quantity.column >= 0 else 3 * sd
        return walk(
            problem, quantity.of, first, side, least=least, rise=self.rise, step=self.step, reach=(-far, far),
            longest=longest, tolerance=self.tolerance, rough=self.rough,
        )  # fmt: skip


def all_walks(
    job: ProfileSearch, quantities: Sequence[HeldQuantity], workers: int, progress: bool | None, title: str
) -> tuple[dict[tuple[int, int, int], Walk], bool]:
    """All walks on all cores; what is done is kept when the user interrupts."""
    done: dict[tuple[int, int, int], Walk] = {}
    with ThreadPoolExecutor(workers) as pool:
        # begun in this order, so that nothing waits for what has no thread yet
        spots = [pool.submit(problem.spot, optimum.theta) for problem, optimum in job.modes]
        starts = {
            (k, mode): pool.submit(job.start, quantity, mode, spot)
            for k, quantity in enumerate(quantities)
            for mode, spot in enumerate(spots)
        }
        tasks: dict[Future[Walk | None], tuple[int, int, int]] = {
            pool.submit(job.side, quantities[k], start, side): (k, mode, side)
            for (k, mode), start in starts.items()
            for side in (-1, 1)
        }
        try:
            for task in progress_bar(
                as_they_end(tasks), title=f"{title}: profiles", total=len(tasks), progress=progress
            ):
                if (found := task.result()) is not None:
                    done[tasks[task]] = found
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            return done, True
    return done, False


def curve_of(
    objective: Objective,
    quantity: HeldQuantity,
    k: int,
    sides: Mapping[tuple[int, int, int], Walk],
    modes: int,
    best: Point,
    kind: str,
    levels: tuple[float, ...],
    touched: frozenset[str],
) -> Curve | None:
    """The curve of one quantity from all its walks; None where none could begin."""
    if kind == "unaided":
        own = [point for (each, _, _), side in sides.items() if each == k for point in side.points]
        best = min(own or [best], key=lambda point: point.level)
    branches = [
        _branch(objective, quantity, sides[k, mode, -1], sides[k, mode, 1], best.level, kind)
        for mode in range(modes)
        if (k, mode, -1) in sides and (k, mode, 1) in sides
    ]
    if not branches:
        return None
    value, normal = quantity.of(best.theta)
    about = objective.case.prior(quantity.name) if quantity.column >= 0 else None
    size = float(np.linalg.norm(normal))
    return Curve(
        name=quantity.name,
        unit=quantity.unit,
        group=about.group if about else "prediction",
        meaning=about.meaning if about else "",
        prediction=about is None,
        kind=kind,
        best=value,
        branches=tuple(branches),
        levels=levels,
        prior=objective.priors[quantity.column] if about else None,
        prior_sd=size,
        shift=float(normal @ best.theta) / size,
        touched=about is None or quantity.name in touched,
    )


def parameters_of_rows(objective: Objective, theta: Array) -> frozenset[str]:
    """Parameters on which some row depends."""
    jacobian = objective.evaluate(theta, gradient=True).jacobian
    if jacobian is None:
        return frozenset(objective.names)
    seen = np.any(jacobian[: len(objective.terms)] != 0, axis=0)
    return frozenset(name for name, each in zip(objective.names, seen, strict=True) if each)


def _branch(
    objective: Objective, quantity: HeldQuantity, down: Walk, up: Walk, least: float, kind: str
) -> Branch:
    points = [*reversed(down.points[1:]), *up.points]
    far = _FAR if kind != "likelihood" else _LIMIT[kind] - 1e-3
    return Branch(
        at=np.array([point.at for point in points]),
        rise=np.array([point.level for point in points]) - least,
        slope=np.array([point.slope for point in points]),
        theta=np.array([point.theta for point in points]),
        pressed=tuple(
            tuple(
                name
                for j, name in enumerate(objective.names)
                if j != quantity.column and abs(point.theta[j]) >= far
            )
            for point in points
        ),
        held=_holders(objective, points, quantity.column) if kind == "likelihood" else ((),) * len(points),
        ends=(down.end, up.end),
        sd=float(np.sqrt(2 / up.points[0].curvature)),
        leaps=tuple(each.points[k].at for each in (down, up) for k in each.jumps),
        evaluations=sum(point.evaluations for point in points),
    )


def _holders(objective: Objective, points: Sequence[Point], column: int) -> tuple[tuple[str, ...], ...]:
    """At each point whose prior decides how high it is; at the lowest the quantity's own may as well."""
    lowest = min(range(len(points)), key=lambda k: points[k].level)
    return tuple(
        _held(objective, point.theta, -1 if k == lowest else column) for k, point in enumerate(points)
    )


def _held(objective: Objective, theta: Array, column: int) -> tuple[str, ...]:
    """Parameters, other than that of `column`, which only their prior keeps from making the likelihood larger.

    On the floor the likelihood pulls a coordinate outwards as hard as what is left of the prior pulls it back: half its
    slope is _ASIDE theta, or _ASIDE theta / phi(theta) by probability of the prior, phi the standard normal density. What
    a prior with a tenth more of probability would be worth follows from this slope and the curvature of the likelihood.
    """
    density = np.exp(-(theta**2) / 2) / np.sqrt(2 * np.pi)
    slope = _ASIDE * np.abs(theta) / density
    near = [
        j
        for j, prior in enumerate(objective.priors)
        if j != column and 2 * slope[j] * _WIDER > _WORTH and prior.cut[int(theta[j] > 0)]
    ]
    at_limit = [j for j in range(theta.size) if j != column and abs(theta[j]) >= _LIMIT["likelihood"] - 1e-3]
    if near:
        there, count = objective.evaluate(theta, gradient=True), len(objective.terms)
        jacobian = there.jacobian
        assert jacobian is not None
        # the search may end before the floor's weak pull has balanced that of the likelihood, which is then told by itself
        outwards = -np.sign(theta) * (jacobian[:count].T @ there.residuals[:count])
        slope = np.maximum(slope, outwards / density)
        rows = (
            np.delete(jacobian[: len(objective.terms)], column, axis=1)
            if column >= 0
            else jacobian[: len(objective.terms)]
        )
        spread = np.diag(np.linalg.inv(rows.T @ rows + _ASIDE * np.eye(rows.shape[1])))
        spread = np.insert(spread, column, np.nan) if column >= 0 else spread
        bend = np.maximum(1 / spread - _ASIDE, 0.0) / density**2
        with np.errstate(divide="ignore"):
            way = np.minimum(_WIDER, slope / bend)
        near = [j for j in near if 2 * slope[j] * way[j] - bend[j] * way[j] ** 2 > _WORTH]
    return tuple(objective.names[j] for j in sorted({*near, *at_limit}))
