"""Profiles: how much worse the best fit becomes when one quantity is held at other values.

Of the posterior (all priors), of a parameter unaided (without its own prior, the others keep theirs), or of the
likelihood (no priors); of parameters and of predictions. A profile
needs no Gaussian and no sampling; where it stays open, the data do not bound the quantity, and this is said.

Profile posteriors depend on the coordinate the density is taken in: ours is the prior-whitened one, in which a quantity
the data say nothing about keeps exactly its prior interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean, is_finite_number, unusable
from cellsim.identifiability.profile_curve import Curve, row_of, threshold
from cellsim.identifiability.profile_path import Point, ProfileProblem
from cellsim.identifiability.profile_search import (
    KINDS,
    ROUGH,
    HeldQuantity,
    ProfileSearch,
    all_walks,
    curve_of,
    loosest,
    parameters_of_rows,
    starting_modes,
)
from cellsim.likelihood.compatibility import objective_given, other_problem
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.predictions import Prediction, prediction_from
from cellsim.results import html_fragment
from cellsim.threads import CORES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.posterior.calibration import Calibration

    Array = NDArray[np.float64]

__all__ = ["Profiles", "profile"]

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

        title = f"Profile {self.kind} of {self.objective.case.name}"
        variant = f", variant {self.objective.variant}" if self.objective.variant else ""
        lines = [title + variant, "=" * len(title + variant), self.objective.case.label, ""]
        lines += [*self.approximation.lines, ""]
        return "\n".join([*lines, *[curve.sentence() for curve in self.curves.values()]])

    def _repr_html_(self) -> str:
        title = f"Profile {self.kind} of {self.objective.case.name}"
        said = [title, self.objective.case.label, *self.approximation.lines]
        return html_fragment(
            said, self.table().drop(columns=["approximation", "doubts", "group", "note"]).round(4)
        )

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
        Profiles start from every optimum a calibration found; from an objective, from the prior medians. The fit of an
        estimation problem of several conditions gives :class:`cellsim.estimation.profiling.ProblemProfiles`.
    names : str or sequence of str, optional
        Parameters, or groups of parameters. By default the groups of the mechanism (:attr:`Case.mechanism`), or all
        parameters when there are none in them; none when `predictions` are given.
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
    if (other := other_problem(source)) is not None:
        asked = {"predictions": predictions or None, "kind": None if kind == "posterior" else kind}
        walks: Profiles = other.profiled(names, levels=levels, asked=asked)
        return walks
    objective = objective_given(source, "profile")
    if hasattr(source, "drawn"):
        raise CalibrationError("profile takes a calibration: it walks from optima, and draws have none.")
    chosen = (names,) if isinstance(names, str) else names
    quantities, problems = _quantities(objective, chosen, predictions)
    several: list[Any] = [levels] if isinstance(levels, str) or np.ndim(levels) == 0 else list(levels)  # type: ignore[arg-type]
    problems += _impossible(kind, several, step, tolerance, workers)
    if kind == "unaided" and any(quantity.column < 0 for quantity in quantities):
        problems.append(
            Problem(
                what="a prediction has no prior of its own to do without.", remedy="Profile its posterior."
            )
        )
    if problems:
        raise CalibrationError(problems)
    levels = tuple(sorted(map(float, several)))
    modes = starting_modes(source, objective, kind)
    first = min(modes, key=lambda pair: pair[1].level)
    _judge(quantities, first[1].theta)
    rise = threshold(levels[-1])
    rtol = loosest(objective, first[1].theta, rise, tolerance)
    begun = [(replace(problem, rtol=rtol), optimum) for problem, optimum in modes]
    job = ProfileSearch(begun, first[1].level, rise, step, tolerance, ROUGH[kind], kind)
    sides, stopped = all_walks(job, quantities, workers or CORES, progress, objective.variant)
    best = first[1]
    if kind != "unaided":
        best = min([best, *(p for each in sides.values() for p in each.points)], key=lambda p: p.level)
    touched = parameters_of_rows(objective, best.theta)
    curves = {
        quantity.name: made
        for k, quantity in enumerate(quantities)
        if (made := curve_of(objective, quantity, k, sides, len(modes), best, kind, levels, touched))
        is not None
    }
    return Profiles(
        objective=objective,
        kind=kind,
        levels=levels,
        theta=best.theta,
        least=best.level,
        curves=curves,
        doubts=(
            *_doubts(first[1], best, stopped, [quantity.name for quantity in quantities], curves),
            *_too_few(objective, kind),
            *_roughly([*(p for _, p in modes), *(p for each in sides.values() for p in each.points)], kind),
            *_out_of_sight(source, modes, best.level, rise),
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


def _quantities(
    objective: Objective,
    names: Sequence[str] | None,
    predictions: Sequence[Prediction] | Mapping[str, Callable[[Mapping[str, float]], float]],
) -> tuple[list[HeldQuantity], list[Problem]]:
    groups: dict[str, list[str]] = {}
    for name in objective.names:
        groups.setdefault(objective.case.prior(name).group, []).append(name)
    problems: list[Problem] = []
    if names is None:
        dynamic = [name for group in objective.case.mechanism for name in groups.get(group, [])]
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
    quantities = [_parameter(objective, name) for name in wanted]
    if isinstance(predictions, Mapping):
        predictions = [prediction_from(objective, each, name) for name, each in predictions.items()]
    quantities += [HeldQuantity(each.name, each.unit, each.of) for each in predictions]
    called = [quantity.name for quantity in quantities]
    problems += [
        Problem(what=f"two quantities are called {name!r}.", remedy="Give the prediction a name of its own.")
        for name in dict.fromkeys(called)
        if called.count(name) > 1
    ]
    if not objective.names:
        what = f"nothing is estimated in {objective.variant or objective.case.name}, so there is nothing to profile."
        problems = [Problem(what=what, remedy="Give a parameter a prior and estimate true.")]
    elif not quantities and not problems:
        problems.append(Problem(what="nothing to profile: neither a parameter nor a prediction was named."))
    return quantities, problems


def _parameter(objective: Objective, name: str) -> HeldQuantity:
    column = objective.names.index(name)
    normal = np.zeros(len(objective.names))
    normal[column] = 1.0
    return HeldQuantity(
        name, objective.case.prior(name).unit, lambda theta: (float(theta[column]), normal), column
    )


def _judge(quantities: Sequence[HeldQuantity], theta: Array) -> None:
    """Refuse quantities that cannot be held at other values."""
    problems = []
    for quantity in quantities:
        value, normal = quantity.of(theta)
        if not np.isfinite(value) or not np.all(np.isfinite(normal)):
            problems.append(Problem(what=f"{quantity.name} is {value} at the optimum."))
        elif not normal.any():
            problems.append(
                Problem(
                    what=f"{quantity.name} = {value:g} does not move with any parameter here.",
                    remedy="A chance judged without noise is a step; profile the value itself, or ask for noise.",
                )
            )
    if problems:
        raise CalibrationError(problems)


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
        f"{count} of {len(points)} points were reached only roughly: -2 ln may be lower there, by about {ROUGH[kind]:g} on the "
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
