"""A model made ready for the experiments of a problem: everything that conditions or parameters set can be set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.errors import CaseError, ModelError, Problem, did_you_mean
from cellsim.estimation.slopes import Sloped, constant, worked_out
from cellsim.model.start_values import OpenModel, amounts_behind, open_model
from cellsim.petab.expressions import parse_expression
from cellsim.petab.records import Change, Experiment, ProblemTables, SubProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["PreparedModel", "prepared"]


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A model that the experiments of a problem can be simulated with.

    Attributes
    ----------
    opened : OpenModel
    names : mapping of str to str
        What a name of the tables is called in the model, where it has another name there.
    shared : frozenset of str
        Parameters of the problem.
    formulas : mapping of str to sympy.Expr
        Of every change of a condition, by its text.
    outputs : tuple of str
        Parameters that only formulas of observables have, and that conditions set; without a value until they do.
    """

    opened: OpenModel
    names: Mapping[str, str]
    shared: frozenset[str]
    formulas: Mapping[str, sp.Expr]
    outputs: tuple[str, ...] = ()

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Order of states."""
        return tuple(each.name for each in self.opened.model.states)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Order of parameters: the model's, then those of observables alone."""
        return (*(each.name for each in self.opened.model.parameters), *self.outputs)

    @property
    def simulated(self) -> int:
        """How many of them are the model's."""
        return len(self.opened.model.parameters)

    @cached_property
    def parameter_place(self) -> dict[str, int]:
        """Column of each parameter."""
        return {name: k for k, name in enumerate(self.parameters)}

    @cached_property
    def state_place(self) -> dict[str, int]:
        """Column of each state."""
        return {name: k for k, name in enumerate(self.states)}

    @cached_property
    def assignments(self) -> dict[str, sp.Expr]:
        """Formula of each computed quantity."""
        return {each.name: each.formula for each in self.opened.model.assignments}

    @cached_property
    def own_values(self) -> dict[str, float]:
        """Parameters as the model has them."""
        own = {each.name: each.value for each in self.opened.model.parameters}
        return own | dict.fromkeys((*self.outputs, *self.opened.unset), np.nan)

    @cached_property
    def amounts(self) -> dict[str, tuple[str, str]]:
        """States of the amount and of the size that a concentration is worked out from."""
        return amounts_behind(self.opened.model)

    def kernels(self, before: tuple[bool, ...] | None = None) -> Kernels:
        """Machine code that gives every state.

        Parameters
        ----------
        before : tuple of bool, optional
            Of every event, what its trigger was just before the start; what the model says by default.
        """
        if before not in self._compiled:
            equations = equations_of(self.opened.model, self.states)
            if before is not None:
                held = zip(equations.events, before, strict=True)
                equations = replace(
                    equations, events=tuple(replace(each, initially=was) for each, was in held)
                )
            self._compiled[before] = compile_equations(equations)
        return self._compiled[before]

    @cached_property
    def _compiled(self) -> dict[tuple[bool, ...] | None, Kernels]:
        return {}

    def called(self, name: str) -> str:
        """A name of the tables as the model has it."""
        return self.names.get(name, name)

    def has(self, name: str) -> bool:
        """Whether the model has a quantity of that name."""
        name = self.called(name)
        return name in self.parameter_place or name in self.state_place or name in self.assignments

    def look_up(
        self, given: Callable[[str], Sloped | None], elsewhere: Callable[[str], Sloped]
    ) -> Callable[[str], Sloped]:
        """The value of any name: given (states and parameters by the model's names), computed, or from elsewhere."""
        found: dict[str, Sloped] = {}
        waiting: list[str] = []

        def known(name: str) -> Sloped:
            own = self.called(name)
            if own not in found:
                here = given(own)
                if here is None and own in self.assignments:
                    if own in waiting:
                        raise ModelError(
                            f"These define each other in a circle: {' -> '.join([*waiting, own])}."
                        )
                    waiting.append(own)
                    here = worked_out(self.assignments[own], known)
                    waiting.pop()
                found[own] = elsewhere(name) if here is None else here
            return found[own]

        return known

    def constants(self, changes: Mapping[str, Sloped], shared: Callable[[str], Sloped]) -> dict[str, Sloped]:
        """Every parameter of the model at the start of an experiment.

        Parameters
        ----------
        changes : mapping of str to Sloped
            What conditions set, by the names of parameters (starts of states by theirs).
        shared : callable
            Values of the problem's parameters.
        """
        found = {name: constant(value) for name, value in self.own_values.items()}
        found |= {self.called(name): shared(name) for name in self.shared if self.called(name) in found}
        found |= changes
        open_ones = [
            name for name in self.opened.defaults if name not in changes and name not in self._shared_here
        ]
        settled: set[str] = set(found) - set(open_ones)
        formulas = self.opened.defaults

        def given(name: str) -> Sloped | None:
            if name in formulas and name not in settled:
                settled.add(name)  # a circle would have been refused when the model was read
                found[name] = worked_out(formulas[name], known)
            return found.get(name)

        known = self.look_up(given, _nothing)
        for name in open_ones:
            given(name)
        return found

    @cached_property
    def _shared_here(self) -> frozenset[str]:
        return frozenset(self.called(name) for name in self.shared)


def _nothing(name: str) -> Sloped:
    raise ModelError(f"{name} has no value at the start.")


def prepared(tables: ProblemTables, part: SubProblem) -> PreparedModel:
    """Open the model of a part of a problem for all that its experiments and the parameter table set.

    Raises
    ------
    CaseError
        All problems at once: what conditions set and the model does not have, formulas that cannot be read, and a model that
        cannot.
    """
    used = dict.fromkeys(each.experiment for each in part.measurements)
    experiments = [part.experiments[name] for name in used]
    shared = frozenset(each.id for each in tables.parameters)
    local = {new: old for new, old in tables.mapping.items() if "." in old}
    names = {new: old for new, old in tables.mapping.items() if "." not in old}
    targets = {change.target for each in experiments for period in each.periods for change in period.changes}
    wanted = {names.get(name, name) for name in targets | shared}
    try:
        text = tables.texts[part.model.location]
        opened = open_model(text, wanted, aliases=local, language=part.model.language)
    except ModelError as error:
        raise CaseError(
            Problem(what=each.what, remedy=each.remedy, file=part.model.location, row=each.row)
            for each in error.problems
        ) from error
    problems: list[Problem] = []
    found = PreparedModel(opened, names, shared, {})
    outputs = tuple(
        sorted(each for each in targets - shared if not found.has(each) and _observed(part, each))
    )
    found = PreparedModel(opened, names, shared, {}, outputs)
    for row in tables.parameters:
        own = found.called(row.id)
        kind = "moves" if own in found.state_place else "is computed" if own in found.assignments else ""
        if kind:
            what = f"{row.id} {kind} in the model {part.model.id}, and is no parameter."
            problems.append(row.problem(what, "Set its start in a condition."))
    formulas = {}
    for experiment in experiments:
        problems += _unset(found, experiment)
        for k, period in enumerate(experiment.periods):
            for change in period.changes:
                problems += _target(found, change, shared)
                try:
                    formulas[change.value] = parse_expression(change.value, where=change.target)
                except ModelError as error:
                    problems += [change.problem(each.what, each.remedy) for each in error.problems]
                    continue
                problems += _names_of(found, change, formulas[change.value], first=k == 0)
    if problems:
        raise CaseError(dict.fromkeys(problems))
    return PreparedModel(opened, names, shared, formulas, outputs)


def _observed(part: SubProblem, name: str) -> bool:
    """Whether the formula of an observable, or a row, names a quantity."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    used = {row.observable for row in part.measurements}
    formulas = [
        text for each in part.observables.values() if each.id in used for text in (each.formula, each.noise)
    ]
    return any(word.search(text) for text in formulas) or any(
        name in (*row.parameters, *row.noise_parameters) for row in part.measurements
    )


def _unset(found: PreparedModel, experiment: Experiment) -> list[Problem]:
    """States and constants without any start value, which the first period does not set either."""
    first = {found.called(each.target) for each in experiment.periods[0].changes}
    lost = [
        state
        for state, start in found.opened.starts.items()
        if start not in found.opened.defaults and state not in first
    ]
    return [
        Problem(
            what=f"{state} has no value at the start of {experiment.id or 'the experiment'}.",
            remedy="Set it in a condition.",
        )
        for state in lost
    ]


def _target(found: PreparedModel, change: Change, shared: frozenset[str]) -> list[Problem]:
    own = found.called(change.target)
    if change.target in shared:
        what = f"{change.target} is set by a condition, and stands in the parameter table too."
        return [change.problem(what, "One of the two has to be another parameter.")]
    if own in found.amounts:
        return []
    if own in found.assignments:
        return [change.problem(f"{change.target} is computed by the model, and cannot be set.")]
    if own not in found.parameter_place and own not in found.state_place:
        known = [*found.parameters, *found.states]
        return [change.problem(f"no {change.target!r} in the model.", did_you_mean(change.target, known))]
    return []


def _names_of(found: PreparedModel, change: Change, formula: sp.Expr, *, first: bool) -> list[Problem]:
    """Names in the formula of a change that nothing has; at the start the model's states have no values yet."""
    problems = []
    for name in sorted(each.name for each in formula.free_symbols):
        own = found.called(name)
        if name == "time" or name in found.shared or own in found.parameter_place:
            continue
        if not found.has(name):
            known = [*found.shared, *found.parameters, *found.states]
            problems.append(
                change.problem(f"no {name!r} for the value of {change.target}.", did_you_mean(name, known))
            )
        elif first:
            what = f"{change.target} is set to {change.value!r} at the start, when {name} has no value yet."
            problems.append(change.problem(what, "Write it with parameters of the parameter table."))
    return problems
