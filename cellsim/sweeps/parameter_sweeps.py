"""Model parameters crossed with schedules: on a grid, one at a time, or by the designs of a sensitivity analysis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product as every_combination
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, Problem, did_you_mean, is_finite_number
from cellsim.likelihood.compatibility import objective_given
from cellsim.likelihood.objective import kernels_for
from cellsim.model.model import Model
from cellsim.posterior.approximation import Approximation, approximation_of
from cellsim.predictions.plan_tables import plans_given
from cellsim.predictions.predictor import Sample, draws_at_once
from cellsim.solver.simulation import Values
from cellsim.sweeps.learned import effective_draws
from cellsim.sweeps.parameter_tables import DESIGNS, ParameterSweep, sampled_points
from cellsim.sweeps.sweep_question import Asking, settled
from cellsim.sweeps.sweep_running import measured

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.compiler.kernels import Kernels
    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["ask_parameters"]

# simulations of one call: more are a slip of a range
_MOST = 5_000_000


@dataclass(frozen=True)
class _NoCase:
    """What a sweep asks of a case, where there is a model alone."""

    name: str
    products: tuple[Any, ...] = ()
    start: float = 0.0
    label: str = "of a model alone; no data speak for its parameters"
    history: Schedule = field(default_factory=Schedule)
    schedule: Schedule = field(default_factory=Schedule)
    timeline: Schedule = field(default_factory=Schedule)
    nominal: Mapping[str, float] = field(default_factory=dict)
    background: tuple[str, ...] = ()
    analytes: tuple[Any, ...] = ()
    outcomes: tuple[Any, ...] = ()
    visits: tuple[Any, ...] = ()
    rows: tuple[Any, ...] = ()
    priors: tuple[Any, ...] = ()
    shown: tuple[Any, ...] = ()
    day_zero: Any = None


@dataclass(frozen=True, eq=False)
class _Crossed:
    """An objective of which some parameters are set: the last columns of theta are their values, nan for the draw's own."""

    case: Case
    model: Model
    names: tuple[str, ...]
    base: Objective | None

    @property
    def fixed(self) -> dict[str, float]:
        """What has one value in all rows."""
        known = (
            {each.name: each.value for each in self.model.parameters}
            if self.base is None
            else self.base.fixed
        )
        return {name: value for name, value in known.items() if name not in self.names}

    def kernels_of(self, outputs: Mapping[str, sp.Expr], model: Model | None = None) -> Kernels:
        return kernels_for(self.model if model is None else model, outputs)

    def vector_of(self, theta: Array, names: Sequence[str]) -> Array:
        own, set_ = theta[..., : -len(self.names)], theta[..., -len(self.names) :]
        if self.base is None:
            known = {each.name: each.value for each in self.model.parameters}
            out = np.broadcast_to(
                np.array([known[name] for name in names]), (*theta.shape[:-1], len(names))
            ).copy()
        else:
            out = self.base.vector_of(own, names)
        for k, name in enumerate(self.names):
            if name in names:
                place = names.index(name)
                out[..., place] = np.where(np.isnan(set_[..., k]), out[..., place], set_[..., k])
        return out

    def values(self, theta: Array) -> Values:
        known = {each.name: each.value for each in self.model.parameters} if self.base is None else {}
        own = known if self.base is None else self.base.values(theta[: -len(self.names)])
        set_ = dict(zip(self.names, theta[-len(self.names) :].tolist(), strict=True))
        return Values({**own, **{name: value for name, value in set_.items() if np.isfinite(value)}})


def ask_parameters(
    source: Any, schedules: Any, asking: Asking, parameters: Mapping[str, Any], design: str, points: int
) -> ParameterSweep:
    """One sweep of parameters and schedules; see :func:`cellsim.sweep`.

    Raises
    ------
    CellsimError
        All problems at once: unknown parameters or designs, values that are none, too many simulations, measures that a model
        alone does not have.
    """
    crossed = _crossed(source, schedules, asking, parameters)
    grid = _points(crossed, parameters, design, points, asking.seed if isinstance(asking.seed, int) else 0)
    plain = crossed.base is None
    if plain:
        asking = replace(asking, history=None, background=None, draws=1, strict=False)
    objective = cast("Objective", crossed)
    question = settled(objective, schedules, asking)
    if plain:
        question = replace(question, beyond={})
    asked = question.asked
    count = int(asking.draws)
    if (total := count * len(grid) * len(question.plans)) > _MOST:
        raise CellsimError(
            f"{len(grid)} parameter values x {len(question.plans)} schedules x {count} draws are {total:.3g} simulations; {_MOST:g} at most "
            "are made in one call. Give fewer values or draws."
        )
    approximation = Approximation("values") if plain else approximation_of(source)
    if not plain:
        approximation.warn("sweep", inside=1)
    own = np.zeros((1, 0)) if plain else source.draws(count, seed=asking.seed)
    rows = np.concatenate(
        [np.repeat(own[None], len(grid), axis=0), np.repeat(grid[:, None], len(own), axis=1)], axis=2
    )
    numbers, fine, interrupted, why = _simulated(
        objective, question, rows.reshape(-1, rows.shape[2]), asking.seed
    )
    done = numbers.shape[2] // len(own)
    numbers = numbers[:, :, : done * len(own)].reshape(len(question.plans), len(asked), done, len(own))
    whole = fine[: done * len(own)].reshape(done, len(own))
    if not whole.any():
        raise CellsimError(f"no simulation could be carried to its end: {why}")
    lost = int((~whole).sum())
    # what could not be simulated at one point is left out there alone: other points have other draws
    numbers = np.where(whole, numbers, np.nan)
    return ParameterSweep(
        name=crossed.case.name,
        variant="" if plain else source.variant,
        label=crossed.case.label,
        schedules=question.plans,
        until=question.until,
        asked=asked,
        parameters=tuple(parameters),
        own=tuple(_own_value(crossed, name, own) for name in parameters),
        points=grid[:done],
        design=design,
        draws=numbers,
        effective=1.0 if plain else effective_draws(source, len(own)),
        beyond=question.beyond,
        case=crossed.case,
        interrupted=interrupted,
        approximation=approximation.also(
            f"interrupted: {done} of {len(grid)} parameter values are in." if interrupted else "",
            f"{lost} of {whole.size} simulations could not be carried to their end and are left out: {why}"
            if lost
            else "",
        ),
    )


def _crossed(source: Any, schedules: Any, asking: Asking, parameters: Any) -> _Crossed:
    """The source with parameters that can be set, all of them known."""
    if not isinstance(parameters, Mapping) or not parameters:
        raise CellsimError("parameters takes values by name, like {'k': [0.1, 0.2]}.")
    names = tuple(str(name) for name in parameters)
    if isinstance(source, Model):
        if asking.measures is None:
            raise CellsimError(
                "a model alone has no outcomes: say what is asked with measures=['area(x)', ...], a function of a trajectory, or "
                "measures of cellsim.predictions.measures."
            )
        plans = plans_given(schedules) if not isinstance(schedules, str) else {}
        products = tuple(dict.fromkeys(each for plan in plans.values() for each in plan.products))
        case = cast("Case", _NoCase(getattr(source, "name", "") or "model", products))
        known, base, model = {each.name for each in source.parameters}, None, source
    else:
        base = objective_given(source, "sweep")
        if not hasattr(source, "draws"):
            raise CellsimError("sweep draws from a calibration or a sampled posterior: cs.calibrate(case).")
        case, model = base.case, base.model
        known = {*base.names, *base.fixed} - {name for name in base.names if name.startswith("day_")}
    if problems := [
        Problem(what=f"no parameter {name!r} to set.", remedy=did_you_mean(name, known))
        for name in names
        if name not in known
    ]:
        raise CellsimError(problems)
    return _Crossed(case, model, names, base)


def _points(crossed: _Crossed, parameters: Mapping[str, Any], design: str, count: int, seed: int) -> Array:
    """Values of the parameters, shape (n_points, n_parameters), nan where a draw keeps its own."""
    if design not in DESIGNS:
        raise CellsimError(f"no design {design!r}. {did_you_mean(design, DESIGNS)}")
    levels: dict[str, list[float]] = {}
    problems = []
    for name, given in parameters.items():
        values = list(given) if hasattr(given, "__iter__") and not isinstance(given, str) else [given]
        wrong = [each for each in values if not is_finite_number(each)]
        if wrong or not values:
            problems.append(Problem(what=f"{name} = {given!r}: finite numbers are needed, [0.1, 0.2] say."))
            continue
        levels[name] = [float(each) for each in values]
        if len(set(levels[name])) < len(values):
            problems.append(Problem(what=f"{name} has one value twice.", remedy="Give each once."))
        elif design in ("sobol", "morris") and not (len(values) == 2 and values[0] < values[1]):
            problems.append(
                Problem(
                    what=f"{name} = {given!r}: the least and the greatest value are needed, (0.1, 0.2) say."
                )
            )
    if problems:
        raise CellsimError(problems)
    if design == "grid":
        if (total := math.prod(len(values) for values in levels.values())) > _MOST:
            raise CellsimError(
                f"{total:.3g} combinations of parameter values; {_MOST:g} at most are made in one call."
            )
        return np.array(list(every_combination(*levels.values())))
    if design == "one at a time":
        rows = [np.full(len(levels), np.nan)]
        for k, values in enumerate(levels.values()):
            for each in values:
                row = np.full(len(levels), np.nan)
                row[k] = each
                rows.append(row)
        return np.array(rows)
    return sampled_points(
        design, {name: (values[0], values[1]) for name, values in levels.items()}, count, seed
    )


def _own_value(crossed: _Crossed, name: str, own: Array) -> float:
    """What a parameter is where it is not set: the model's value, or the median of the draws."""
    width = np.full((len(own), len(crossed.names)), np.nan)
    return float(np.median(crossed.vector_of(np.concatenate([own, width], axis=1), [name])))


def _simulated(
    objective: Objective, question: Any, thetas: Array, seed: int
) -> tuple[Array, NDArray[np.bool_], bool, str]:
    """Numbers (n_plans, n_asked, n_rows) of rows of theta, those done when an interrupt came."""
    sample = Sample(objective, (*question.measures, *question.readings), question.before, question.until)
    sample.see_doses(tuple(question.plans.values())[:24])
    parts, size, interrupted = [], draws_at_once(), False
    for begin in range(0, len(thetas), size):
        try:
            parts.append(measured(sample, question, thetas[begin : begin + size], seed))
        except KeyboardInterrupt:
            if not parts:
                raise
            interrupted = True
            break
    return (
        np.concatenate([each.numbers for each in parts], axis=2),
        np.concatenate([each.fine.all(axis=0) for each in parts]),
        interrupted,
        next((each.why for each in parts if each.why), ""),
    )
