"""Any measure of a trajectory as a smooth function of the parameters: its value and its exact slope.

Trajectories are differentiated by the engine; what a measure makes of a trajectory is differentiated by moving the
trajectory a little along each of its own derivatives, which costs no further simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CalibrationError, Problem, SimulationError, did_you_mean
from cellsim.likelihood.compatibility import objective_given
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.priors import Coordinates
from cellsim.predictions.measures import Area, Asked, Measure, Runs, Value
from cellsim.predictions.plan_tables import plans_given
from cellsim.predictions.plans import LAST_DAY, history_given, plan_problems
from cellsim.predictions.predictor import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Prediction", "prediction_from", "predictions_named", "predictions_of"]

# hours after a dose that a daily grid would miss: where what follows it at once has its top
_AFTER_DOSE = np.array([1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 18.0, 36.0]) / 24
# along derivatives of trajectories, in prior standard deviations
_NUDGE = 1e-4


@dataclass(frozen=True)
class Prediction:
    """One number that follows from the parameters.

    Attributes
    ----------
    name, unit : str
    of : callable
        Whitened coordinates theta -> (value, gradient with respect to theta).
    """

    name: str
    unit: str
    of: Callable[[Array], tuple[float, Array]]


def prediction_from(
    objective: Objective, function: Callable[[Mapping[str, float]], float], name: str, *, unit: str = ""
) -> Prediction:
    """A prediction from a plain function of parameter values, differentiated by central differences.

    Parameters
    ----------
    objective : Objective
    function : callable
        Every parameter by name, in its own unit -> a number.
    name, unit : str

    Returns
    -------
    Prediction

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> rate = prediction_from(objective, lambda p: 0.693 / p["t_R"], "k_R", unit="1/day")
    >>> round(rate.of(np.zeros(len(objective.names)))[0], 4)
    0.0154
    """

    def of(theta: Array) -> tuple[float, Array]:
        gradient = np.zeros(theta.size)
        step = 1e-5
        for j in range(theta.size):
            sides = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[j] += sign * step
                sides.append(float(function(objective.values(moved))))
            gradient[j] = (sides[0] - sides[1]) / (2 * step)
        return float(function(objective.values(theta))), gradient

    return Prediction(name, unit, of)


def predictions_of(
    source: Any,
    measures: Sequence[Measure],
    *,
    until: float,
    plan: Schedule | None = None,
    history: Schedule | str | None = "case",
) -> tuple[Prediction, ...]:
    """What measures ask of a schedule, as predictions that can be profiled.

    Parameters
    ----------
    source : Calibration or Objective
    measures : sequence of Measure
        See :mod:`cellsim.predictions.measures`. They must change smoothly with the parameters: a chance judged without
        noise is 0 or 1 and cannot be profiled.
    until : float
        Last day looked at.
    plan : Schedule, optional
        Doses from day 0 on; as given to the patient by default.
    history : Schedule, None, or "case"
        What came before: the case's own history by default, nothing when None.

    Returns
    -------
    tuple of Prediction
        One for each number the measures give, named like ``"value of ESR on day 365"``.

    Raises
    ------
    CalibrationError
        All problems at once: a plan with doses before day 0, a history with doses from day 0 on, unknown products, days
        that are not looked at.
    ScheduleError
        If the plan or the history is no schedule.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> from cellsim.predictions.measures import Value
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> [each.name for each in predictions_of(objective, [Value((365,), ("IL6",))], until=365)]
    ['value of IL6 on day 365']
    """
    objective = objective_given(source, "predictions_of")
    case = objective.case
    if not isinstance(measures, Sequence):
        raise CalibrationError(f"measures takes a list of measures, like [{measures!r}].")
    before = history_given(history, case)
    given = case.schedule if plan is None else plans_given({"plan": plan})["plan"]
    if problems := plan_problems({"plan": given}, before, case, until, measures):
        raise CalibrationError(problems)
    until = float(until)
    asked = [each for measure in measures for each in measure.asked(case, objective.model, until)]
    course = _Course(objective, tuple(measures), before, given, until)
    return tuple(Prediction(_name(each), each.unit, _Entry(course, k)) for k, each in enumerate(asked))


def predictions_named(source: Any, names: Sequence[str]) -> tuple[Prediction, ...]:
    """Predictions of the course as given, by short names.

    Parameters
    ----------
    source : Calibration, Posterior or Objective
    names : sequence of str
        ``"ESR@400"``: the value of an analyte on a day, which may lie after the last visit. the name of a quantity: the area
        under a state or an assignment of the model from day 0 to the last visit or infusion.

    Returns
    -------
    tuple of Prediction

    Raises
    ------
    CalibrationError
        For unknown names and days that are none, all at once.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> [each.name for each in predictions_named(objective, ["IL6@400", "viable_auto"])]
    ['value of IL6 on day 400', 'area of viable_auto']
    """
    objective = objective_given(source, "predictions_named")
    case, model = objective.case, objective.model
    analytes = [each.id for each in case.analytes]
    quantities = [*(each.name for each in model.states), *(each.name for each in model.assignments)]
    last = max([visit.latest for visit in case.visits] + [each.end for each in case.schedule.infusions])
    problems: list[Problem] = []
    wanted: list[Measure] = []
    farthest = last
    for name in names:
        of, _, day = name.partition("@")
        if not day:
            if of not in quantities:
                remedy = f"An analyte needs its day, like {of}@{last:g}." * (of in analytes)
                problems.append(
                    Problem(what=f"the model has no {of!r}.", remedy=remedy or did_you_mean(of, quantities))
                )
            wanted.append(Area(of))
            continue
        if of not in analytes:
            problems.append(
                Problem(what=f"no analyte {of!r} in {case.name}.", remedy=did_you_mean(of, analytes))
            )
        try:
            when = float(day)
        except ValueError:
            when = np.nan
        if not (np.isfinite(when) and when >= 0):
            problems.append(Problem(what=f"{name}: {day!r} is no day from 0 on."))
        elif when > LAST_DAY:
            problems.append(Problem(what=f"{name}: every day up to it is looked at, {LAST_DAY:g} at most."))
        wanted.append(Value((when,), (of,)))
        farthest = max(farthest, when)
    if problems:
        raise CalibrationError(problems)
    made: dict[Measure, Prediction] = {}
    until: dict[type[Measure], float] = {Area: last, Value: farthest}
    for kind, end in until.items():
        alike = [each for each in wanted if isinstance(each, kind)]
        if alike:
            made |= dict(zip(alike, predictions_of(objective, alike, until=end), strict=True))
    return tuple(made[each] for each in wanted)


def _name(asked: Asked) -> str:
    when = "" if np.isnan(asked.day) else f" on day {asked.day:g}"
    return f"{asked.measure} of {asked.quantity}{when}"


@dataclass(frozen=True)
class _Entry:
    course: _Course
    index: int

    def __call__(self, theta: Array) -> tuple[float, Array]:
        values, slopes = self.course.of(theta)
        return float(values[self.index]), slopes[self.index]


class _Course:
    """Measures compiled with everything they need from one simulation of one schedule."""

    def __init__(
        self,
        objective: Objective,
        measures: tuple[Measure, ...],
        before: Schedule,
        given: Schedule,
        until: float,
    ) -> None:
        self.objective, self.measures, self.until = objective, measures, until
        self.coordinates = Coordinates(objective.priors)
        sample = Sample(objective, measures, before, until)
        self.formulas, self.areas, self.peaks = tuple(sample.formulas), sample.areas, sample.peaks
        timeline = sample.timeline(given)
        [self.doses], model = sample.seen([timeline])
        self.kernels = objective.kernels_of(sample.outputs, model)
        self.start = min([objective.case.start, *(each.day for each in timeline.infusions)])
        wanted = [day for measure in measures for day in measure.days(until)]
        grid = np.unique([0.0, until, *wanted])
        if any(getattr(measure, "whole_course", True) for measure in measures):
            hours = (np.array([each.day for each in timeline.infusions])[:, None] + _AFTER_DOSE).ravel()
            grid = np.unique([*grid, *np.arange(0.0, until), *hours])
        self.times = grid[(grid >= 0) & (grid <= until)]
        own = set(self.kernels.equations.parameters)
        self.free = [j for j, name in enumerate(objective.names) if name in own]

    def of(self, theta: Array) -> tuple[Array, Array]:
        """Every number asked for, shape (n_asked,), and its derivatives, shape (n_asked, n_parameters)."""
        from cellsim.solver.integration import integrate

        objective = self.objective
        run = partial(
            integrate,
            self.kernels,
            objective.vector_of(theta, self.kernels.equations.parameters),
            self.doses,
            start=self.start,
            rtol=objective.rtol,
        )
        times, tops = self.times, np.empty(0)
        if self.peaks:  # a greatest value moves as the quantity does on the day it is reached
            tops = run((0.0, self.until), peaks=self.peaks, since=0.0).greatest_at[0]
            times = np.unique([*times, *tops[np.isfinite(tops)]])
        solution = run(times, directions=[objective.names[j] for j in self.free])
        if solution.status[0] or solution.sensitivities is None:
            raise SimulationError(f"a prediction could not be simulated: {solution.messages[0]}")
        moved = solution.sensitivities[0] * self.coordinates.slopes(theta)[self.free]
        moves = np.concatenate([np.zeros((*moved.shape[:2], 1)), _NUDGE * moved, -_NUDGE * moved], axis=2)
        # (n_draws, n_times) for each output, as a measure wants it
        curves = np.moveaxis(solution.outputs[0][:, :, None] + moves, 0, 2)
        first = len(self.formulas)
        values = dict(zip(self.formulas, curves[:first], strict=True))
        runs = Runs(
            times,
            values,
            dict(zip(self.areas, curves[first:], strict=True)),
            {
                name: values[name][:, np.searchsorted(times, top)]
                for name, top in zip(self.peaks, tops.tolist(), strict=True)
            },
            np.random.default_rng(0),
        )
        case = objective.case
        found = np.concatenate([measure.of(runs, case, self.until) for measure in self.measures])
        count = len(self.free)
        slopes = np.zeros((len(found), len(objective.names)))
        slopes[:, self.free] = (found[:, 1 : count + 1] - found[:, count + 1 :]) / (2 * _NUDGE)
        return found[:, 0], slopes
