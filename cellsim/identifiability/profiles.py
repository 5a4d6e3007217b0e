"""Profiles: how much worse the best fit becomes when one quantity is held at other values.

Of the posterior (all priors), of a parameter unaided (without its own prior, the others keep theirs), or of the
likelihood (no priors); of parameters and of predictions. A profile
needs no Gaussian and no sampling; where it stays open, the data do not bound the quantity, and this is said.

Profile posteriors depend on the coordinate the density is taken in: ours is the prior-whitened one, in which a quantity
the data say nothing about keeps exactly its prior interval.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean, is_finite_number, unusable
from cellsim.identifiability.profile_curve import Branch, Curve, row_of, threshold
from cellsim.identifiability.profile_path import Point, ProfileProblem, Walk, settle, walk
from cellsim.likelihood.compatibility import objective_given
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.predictions import Prediction, prediction_from
from cellsim.streams import progress_bar
from cellsim.threads import as_they_end

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.posterior.calibration import Calibration

    Array = NDArray[np.float64]

__all__ = ["DYNAMIC", "Profiles", "profile"]

DYNAMIC = ("persistence", "alloimmunity", "drives", "vessels")
"""Groups of parameters that say what cells do and how the disease answers; what is profiled by default."""

KINDS = ("posterior", "unaided", "likelihood")
# whitened coordinates have no bounds: beyond these many prior sd nobody looks
_LIMIT = {"posterior": 8.0, "unaided": 8.0, "likelihood": 5.0}
_REACH = {"posterior": 8.0, "unaided": 5.0, "likelihood": 5.0}
# where a prior is not believed it only chooses, as if it were ten times wider
_ASIDE = 0.01
# what a box wider by so much of itself would be worth, in -2 ln likelihood, for a reader to see it
_WIDER, _WORTH = 0.1, 0.1
# likelihoods of many parameters wind through narrow modes; what may be left of -2 ln when patience ends
_ROUGH = {"posterior": 0.0, "unaided": 0.0, "likelihood": 0.3}
_FAR = 4.0
# a fall of -2 ln that is worth telling
_BETTER = 0.05
# of the probability
_SHARE = 0.02
_NOT_SEARCHED = (
    "no search for optima: the walks start from the prior medians alone; calibrate and profile that."
)


@dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles of several quantities.

    Made by :func:`cellsim.profile`.

    Attributes
    ----------
    objective : Objective
        Case, model, variant, rows, priors.
    kind : str
        ``"posterior"``, ``"unaided"`` or ``"likelihood"``.
    levels : tuple of float
    theta : array, shape (n_parameters,)
        The best point known, prior-whitened.
    least : float
        -2 ln there, up to a constant.
    curves : mapping of str to Curve
    doubts : tuple of str
        What does not look right; empty when nothing does.
    evaluations : int
        Gradients spent.
    interrupted : bool
        Whether quantities are missing because an interrupt came.
    known : tuple of str
        What was to be doubted of the optima the walks start from.
    """

    objective: Objective
    kind: str
    levels: tuple[float, ...]
    theta: Array
    least: float
    curves: Mapping[str, Curve]
    doubts: tuple[str, ...] = ()
    evaluations: int = 0
    interrupted: bool = False
    known: tuple[str, ...] = ()

    @property
    def approximation(self) -> Approximation:
        """What the numbers rest on: walks from the optima, no approximation of the posterior; every doubt about them."""
        return Approximation("profile", (*self.doubts, *self.known))

    def __getitem__(self, name: str) -> Curve:
        if name not in self.curves:
            raise CalibrationError(f"no profile of {name!r}. {did_you_mean(name, self.curves)}")
        return self.curves[name]

    def table(self) -> pd.DataFrame:
        """One row a quantity.

        Returns
        -------
        DataFrame
            Columns name, group, meaning, unit, estimate, low_68, high_68, low_95, high_95 (one pair a level, in the
            unit, nan where an end is open or a prior's), lower, upper (``"closed"`` or why not, at the highest level),
            prior_low, prior_high (the prior's interval of the highest level), contraction, shift (prior sd),
            verdict, note, approximation, doubts.
        """
        import pandas as pd

        return self.approximation.stamped(pd.DataFrame([row_of(curve) for curve in self.curves.values()]))

    def report(self) -> str:
        """All curves in words."""
        from cellsim.results import LABEL

        title = f"Profile {self.kind} of {self.objective.case.name}"
        variant = f", variant {self.objective.variant}" if self.objective.variant else ""
        lines = [title + variant, "=" * len(title + variant), LABEL, ""]
        lines += [*self.approximation.lines, ""]
        return "\n".join([*lines, *[curve.sentence() for curve in self.curves.values()]])

    def __repr__(self) -> str:
        closed = sum(curve.intervals[-1].closed for curve in self.curves.values())
        return (
            f"<Profiles ({self.kind}) of {self.objective.case.name}, variant {self.objective.variant}: "
            f"{len(self.curves)} quantities, {closed} closed on both sides at {100 * max(self.levels):g} %; "
            f"{self.approximation.label}>"
        )


def profile(
    source: Calibration | Objective,
    names: Sequence[str] | str | None = None,
    *,
    predictions: Sequence[Prediction] | Mapping[str, Callable[[Mapping[str, float]], float]] = (),
    kind: str = "posterior",
    levels: Sequence[float] | float = (0.68, 0.95),
    step: float = 0.5,
    tolerance: float = 0.01,
    workers: int | None = None,
    progress: bool | None = None,
) -> Profiles:
    """Profile parameters and predictions.

    Parameters
    ----------
    source : Calibration or Objective
        Profiles start from every optimum a calibration found; from an objective, from the prior medians.
    names : str or sequence of str, optional
        Parameters, or groups of parameters. By default the groups of :data:`DYNAMIC`, or all parameters when there
        are none in them; none when `predictions` are given.
    predictions : sequence of Prediction, or mapping of str to callable
        See :func:`cellsim.predictions.predictions.predictions_of`; or plain functions of the parameters' values.
    kind : str
        ``"posterior"``: with all priors. ``"unaided"``: each parameter without its own prior, the others with theirs;
        shows whether the data bound it. ``"likelihood"``: no priors at all, for problems with more rows than
        parameters; an end that only a prior keeps where it is, because some parameter has come to the end of its box, is
        no end of the likelihood's and says whose prior it is. The last two look within 5 prior standard deviations.
    levels : float or sequence of float
        Of the intervals.
    step : float
        Points are set so that the square root of the rise grows by about this much.
    tolerance : float
        Of -2 ln, at each point.
    workers : int, optional
        Threads; as many as there are cores by default.
    progress : bool, optional
        Show a bar; by default only on a terminal. Interrupting keeps what is done.

    Returns
    -------
    Profiles

    Raises
    ------
    CalibrationError
        For a source that is no calibration, unknown names, two quantities of one name, levels outside 0 to 1, an
        unknown kind, steps, tolerances and workers that are no such numbers, and predictions that no parameter
        changes.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.identifiability.profiles import profile
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> profile(fit, "kappa")["kappa"].verdict
    'prior-driven'
    """
    objective = objective_given(source, "profile")
    if hasattr(source, "drawn"):
        raise CalibrationError("profile takes a calibration: it walks from optima, and draws have none.")
    chosen = (names,) if isinstance(names, str) else names
    lines, problems = _quantities(objective, chosen, predictions)
    several: list[Any] = [levels] if isinstance(levels, str) or np.ndim(levels) == 0 else list(levels)  # type: ignore[arg-type]
    problems += _impossible(kind, several, step, tolerance, workers)
    if kind == "unaided" and any(line.column < 0 for line in lines):
        problems.append(
            Problem(
                what="a prediction has no prior of its own to do without.", remedy="Profile its posterior."
            )
        )
    if problems:
        raise CalibrationError(problems)
    levels = tuple(sorted(map(float, several)))
    modes = _valleys(source, objective, kind)
    first = min(modes, key=lambda pair: pair[1].level)
    _judge(lines, first[1].theta)
    job = _ProfileSearch(modes, first[1].level, threshold(levels[-1]), step, tolerance, _ROUGH[kind], kind)
    sides, stopped = _run(job, lines, workers or os.cpu_count() or 1, progress, objective.variant)
    best = first[1]
    if kind != "unaided":
        best = min([best, *(p for each in sides.values() for p in each.points)], key=lambda p: p.level)
    touched = _touched(objective, best.theta)
    curves = {
        line.name: made
        for k, line in enumerate(lines)
        if (made := _curve(objective, line, k, sides, len(modes), best, kind, levels, touched)) is not None
    }
    return Profiles(
        objective=objective,
        kind=kind,
        levels=levels,
        theta=best.theta,
        least=best.level,
        curves=curves,
        doubts=(
            *_doubts(first[1], best, stopped, [line.name for line in lines], curves),
            *_too_few(objective, kind),
            *_roughly([*(p for _, p in modes), *(p for each in sides.values() for p in each.points)], kind),
            *_out_of_sight(source, modes, best.level, threshold(levels[-1])),
        ),
        evaluations=sum(point.evaluations for each in sides.values() for point in each.points),
        interrupted=stopped,
        # from prior medians alone nobody looked for other optima
        known=source.at_optimum.doubts if hasattr(source, "at_optimum") else (_NOT_SEARCHED,),
    )


def _impossible(
    kind: str, levels: Sequence[object], step: float, tolerance: float, workers: int | None
) -> list[Problem]:
    """Settings no walk can be made with."""
    problems = []
    if kind not in KINDS:
        problems.append(Problem(what=f"no kind {kind!r} of profile.", remedy=did_you_mean(str(kind), KINDS)))
    if not levels:
        problems.append(Problem(what="no levels are given; they lie between 0 and 1, like 0.95."))
    problems += unusable(
        levels={f"levels[{k}]": each for k, each in enumerate(levels)},
        counts={} if workers is None else {"workers": (workers, 1)},
    )
    for name, value, most in (("step", step, 5.0), ("tolerance", tolerance, 1.0)):
        if not (is_finite_number(value) and 0 < value <= most):
            problems.append(Problem(what=f"{name} = {value}; above 0 and at most {most:g} is needed."))
    return problems


# ---- what is profiled -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """A quantity to be held."""

    name: str
    unit: str
    of: Callable[[Array], tuple[float, Array]]
    column: int = -1


def _quantities(
    objective: Objective,
    names: Sequence[str] | None,
    predictions: Sequence[Prediction] | Mapping[str, Callable[[Mapping[str, float]], float]],
) -> tuple[list[_Line], list[Problem]]:
    groups: dict[str, list[str]] = {}
    for name in objective.names:
        groups.setdefault(objective.case.prior(name).group, []).append(name)
    problems: list[Problem] = []
    if names is None:
        dynamic = [name for group in DYNAMIC for name in groups.get(group, [])]
        names = () if predictions else dynamic or objective.names
    wanted: dict[str, None] = {}
    for name in names:
        if name in objective.names:
            wanted[name] = None
        elif groups.get(name):
            wanted |= dict.fromkeys(groups[name])
        else:
            fixed = "; it is fixed here" if name in objective.fixed else ""
            known = [*objective.names, *(group for group in groups if group)]
            problems.append(
                Problem(
                    what=f"no estimated parameter or group {name!r}{fixed}.", remedy=did_you_mean(name, known)
                )
            )
    lines = [_parameter(objective, name) for name in wanted]
    if isinstance(predictions, Mapping):
        predictions = [prediction_from(objective, each, name) for name, each in predictions.items()]
    lines += [_Line(each.name, each.unit, each.of) for each in predictions]
    called = [line.name for line in lines]
    problems += [
        Problem(what=f"two quantities are called {name!r}.", remedy="Give the prediction a name of its own.")
        for name in dict.fromkeys(called)
        if called.count(name) > 1
    ]
    if not objective.names:
        what = f"nothing is estimated in {objective.variant or objective.case.name}, so there is nothing to profile."
        problems = [Problem(what=what, remedy="Give a parameter a prior and estimate true.")]
    elif not lines and not problems:
        problems.append(Problem(what="nothing to profile: neither a parameter nor a prediction was named."))
    return lines, problems


def _parameter(objective: Objective, name: str) -> _Line:
    column = objective.names.index(name)
    normal = np.zeros(len(objective.names))
    normal[column] = 1.0
    return _Line(name, objective.case.prior(name).unit, lambda theta: (float(theta[column]), normal), column)


def _judge(lines: Sequence[_Line], theta: Array) -> None:
    """Refuse quantities that cannot be held at other values."""
    problems = []
    for line in lines:
        value, normal = line.of(theta)
        if not np.isfinite(value) or not np.all(np.isfinite(normal)):
            problems.append(Problem(what=f"{line.name} is {value} at the optimum."))
        elif not normal.any():
            problems.append(
                Problem(
                    what=f"{line.name} = {value:g} does not move with any parameter here.",
                    remedy="A chance judged without noise is a step; profile the value itself, or ask for noise.",
                )
            )
    if problems:
        raise CalibrationError(problems)


# ---- where walks start ----------------------------------------------------------------------------


def _valleys(source: Any, objective: Objective, kind: str) -> list[tuple[ProfileProblem, Point]]:
    """Every distinct optimum known, polished, with its ground."""
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
        ground = ProfileProblem(objective, weights, _LIMIT[kind], extra)
        start = np.clip(theta, -ground.limit, ground.limit)
        point = settle(ground, start, tolerance=1e-3, most=100, rough=_ROUGH[kind])
        if point is None and curvature is not None:
            # Newton's steps were lost; a calibration's own optimum is a point to walk from whatever is left to gain
            start = _descended(ground, start)
            point = settle(ground, start, tolerance=1e-3, most=100, rough=np.inf)
        if point is not None and all(np.max(np.abs(point.theta - p.theta)) > 0.1 for _, p in out):
            out.append((ground, point))
    if not out:
        raise CalibrationError(
            "no optimum could be reached from the prior medians; calibrate, and profile what that finds."
            if optima[0][1] is None
            else "nothing can be simulated at the calibration's optima once priors are left out; profile the posterior."
        )
    return sorted(out, key=lambda pair: pair[1].level)


def _descended(ground: ProfileProblem, start: Array) -> Array:
    """Down to the floor by bounded least squares, where Newton's own steps do not find the way."""
    from scipy.optimize import least_squares

    objective, scale, count = ground.objective, np.sqrt(ground.weights), len(ground.objective.terms)
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

    inside = np.clip(start, -ground.limit * (1 - 1e-9), ground.limit * (1 - 1e-9))
    try:
        ended = least_squares(
            residuals, inside, slopes, bounds=(-ground.limit, ground.limit), x_scale="jac", max_nfev=200
        )
    except CalibrationError:
        return found["theta"]
    return np.asarray(ended.x)


# ---- the walks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ProfileSearch:
    modes: Sequence[tuple[ProfileProblem, Point]]
    least: float
    rise: float
    step: float
    tolerance: float
    rough: float
    kind: str

    def side(self, line: _Line, mode: int, side: int) -> Walk | None:
        """One walk: one quantity, one mode, one side; None when it cannot even begin."""
        ground, optimum = self.modes[mode]
        if optimum.level - self.least > self.rise:
            return None
        if self.kind == "unaided":
            weights = ground.weights.copy()
            weights[line.column] = _ASIDE
            ground = replace(ground, weights=weights)
            found = settle(ground, optimum.theta, tolerance=1e-3, most=100)
            if found is None:
                return None
            optimum = found
        start = settle(
            ground,
            optimum.theta,
            line.of,
            line.of(optimum.theta)[0],
            tolerance=self.tolerance,
            rough=self.rough,
        )
        if start is None:
            return None
        least = start.level if self.kind == "unaided" else self.least
        sd = np.sqrt(2 / start.curvature)
        far = max(_REACH[self.kind], abs(start.at) + 0.5) if line.column >= 0 else np.inf
        longest = 1.5 if line.column >= 0 else 3 * sd
        return walk(
            ground, line.of, start, side, least=least, rise=self.rise, step=self.step, reach=(-far, far),
            longest=longest, tolerance=self.tolerance, rough=self.rough,
        )  # fmt: skip


def _run(
    job: _ProfileSearch, lines: Sequence[_Line], workers: int, progress: bool | None, title: str
) -> tuple[dict[tuple[int, int, int], Walk], bool]:
    """All walks on all cores; what is done is kept when the user interrupts."""
    done: dict[tuple[int, int, int], Walk] = {}
    with ThreadPoolExecutor(workers) as pool:
        tasks: dict[Future[Walk | None], tuple[int, int, int]] = {
            pool.submit(job.side, line, mode, side): (k, mode, side)
            for k, line in enumerate(lines)
            for mode in range(len(job.modes))
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


def _curve(
    objective: Objective,
    line: _Line,
    k: int,
    sides: Mapping[tuple[int, int, int], Walk],
    modes: int,
    best: Point,
    kind: str,
    levels: tuple[float, ...],
    touched: frozenset[str],
) -> Curve | None:
    if kind == "unaided":
        own = [point for (each, _, _), side in sides.items() if each == k for point in side.points]
        best = min(own or [best], key=lambda point: point.level)
    branches = [
        _branch(objective, line, sides[k, mode, -1], sides[k, mode, 1], best.level, kind)
        for mode in range(modes)
        if (k, mode, -1) in sides and (k, mode, 1) in sides
    ]
    if not branches:
        return None
    value, normal = line.of(best.theta)
    about = objective.case.prior(line.name) if line.column >= 0 else None
    size = float(np.linalg.norm(normal))
    return Curve(
        name=line.name,
        unit=line.unit,
        group=about.group if about else "prediction",
        meaning=about.meaning if about else "",
        prediction=about is None,
        kind=kind,
        best=value,
        branches=tuple(branches),
        levels=levels,
        prior=objective.priors[line.column] if about else None,
        prior_sd=size,
        shift=float(normal @ best.theta) / size,
        touched=about is None or line.name in touched,
    )


def _touched(objective: Objective, theta: Array) -> frozenset[str]:
    """Parameters on which some row depends."""
    jacobian = objective.evaluate(theta, gradient=True).jacobian
    if jacobian is None:
        return frozenset(objective.names)
    seen = np.any(jacobian[: len(objective.terms)] != 0, axis=0)
    return frozenset(name for name, each in zip(objective.names, seen, strict=True) if each)


def _branch(objective: Objective, line: _Line, down: Walk, up: Walk, least: float, kind: str) -> Branch:
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
                if j != line.column and abs(point.theta[j]) >= far
            )
            for point in points
        ),
        held=_holders(objective, points, line.column) if kind == "likelihood" else ((),) * len(points),
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
    from scipy.stats import norm

    density = norm.pdf(theta)
    slope = _ASIDE * np.abs(theta) / density
    near = [
        j
        for j, prior in enumerate(objective.priors)
        if j != column and 2 * slope[j] * _WIDER > _WORTH and prior.cut[int(theta[j] > 0)]
    ]
    at_limit = [j for j in range(theta.size) if j != column and abs(theta[j]) >= _LIMIT["likelihood"] - 1e-3]
    if near:
        jacobian = objective.evaluate(theta, gradient=True).jacobian
        assert jacobian is not None
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


def _doubts(
    first: Point, best: Point, stopped: bool, names: Sequence[str], curves: Mapping[str, Curve]
) -> list[str]:
    out = []
    if first.level - best.level > _BETTER:
        out.append(
            f"a better point than the calibration's was found on the way (-2 ln lower by "
            f"{first.level - best.level:.2f}); calibrate with more starts and profile again."
        )
    if missing := [name for name in names if name not in curves]:
        why = "interrupted" if stopped else "no way was found"
        out.append(f"not profiled ({why}): {', '.join(missing)}.")
    return out


def _too_few(objective: Objective, kind: str) -> list[str]:
    rows, count = len(objective.terms), len(objective.names)
    if kind != "likelihood" or rows >= count:
        return []
    return [
        f"{rows} rows cannot hold {count} parameters, so the likelihood has no mode of its own; kind='unaided' keeps "
        "what is believed about the other parameters."
    ]


def _roughly(points: Sequence[Point], kind: str) -> list[str]:
    count = sum(point.rough for point in points)
    return [
        f"{count} of {len(points)} points were reached only roughly: -2 ln may be lower there, by about {_ROUGH[kind]:g} on the "
        "walks."
    ] * bool(count)


def _out_of_sight(
    source: Any, modes: Sequence[tuple[ProfileProblem, Point]], least: float, rise: float
) -> list[str]:
    """Modes too low for a profile that may still hold much of the probability."""
    mixture = getattr(source, "mixture", None)
    if mixture is None or np.any(modes[0][0].weights != 1.0):
        return []
    shares = [
        (mode.objective - least, share)
        for mode, share in zip(mixture.modes, mixture.weights, strict=True)
        if mode.objective - least > rise and share > _SHARE
    ]
    return [
        f"an optimum {apart:.1f} above the best in -2 ln posterior lies outside of these intervals and holds "
        f"{share:.0%} of the probability: a profile looks at height, not at volume; sample."
        for apart, share in shares
    ]
