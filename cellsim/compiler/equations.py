"""From a model to ordered equations, and from those to a graph with sparse derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sympy as sp

from cellsim.compiler.graph import made_once
from cellsim.errors import ModelError, Problem, did_you_mean

if TYPE_CHECKING:
    from cellsim.compiler.derivatives import System
    from cellsim.model.model import Model

__all__ = ["Equations", "Trigger", "equations_of"]

TIME = sp.Symbol("time")
CLOCK = "time"


@dataclass(frozen=True)
class Trigger:
    """An event: when `condition` turns from false to true, states are set anew, all at once.

    Parameters
    ----------
    name : str
        Name of the event.
    condition : sympy.Basic
        A relation, or relations joined by and/or/not.
    assignments : tuple of (str, sympy.Expr)
        State and its new value.
    initially : bool
        What the condition is taken to have been just before the start: False lets the event fire at the
        start.
    """

    name: str
    condition: sp.Basic
    assignments: tuple[tuple[str, sp.Expr], ...]
    initially: bool = True


@dataclass(frozen=True)
class Equations:
    """States and parameters in order, with every formula that depends on them.

    Symbols are matched by name; ``time`` is the time. Formulas may use the names in `definitions`.

    Parameters
    ----------
    states, parameters : tuple of str
        Order of ``y`` and of ``p``.
    rates : tuple of sympy.Expr
        Rate of change of each state.
    initials : tuple of sympy.Expr
        Value of each state at the start, from parameters (and time).
    outputs, output_names : tuple
        What is wanted beside the states.
    events : tuple of Trigger
        Reassignments.
    definitions : tuple of (str, sympy.Expr)
        Named subexpressions, each using only those before it.
    whole : tuple of str
        Parameters whose value as an exponent is a whole number, so that a negative base has a power.

    Examples
    --------
    >>> import sympy as sp
    >>> x, k = sp.symbols("x k")
    >>> decay = Equations(states=("x",), parameters=("k",), rates=(-k * x,), initials=(sp.Integer(1),))
    >>> decay.system.jacobian_pattern
    ((0, 0),)
    """

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    rates: tuple[sp.Expr, ...]
    initials: tuple[sp.Expr, ...]
    outputs: tuple[sp.Expr, ...] = ()
    output_names: tuple[str, ...] = ()
    events: tuple[Trigger, ...] = ()
    definitions: tuple[tuple[str, sp.Expr], ...] = ()
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if not len(self.states) == len(self.rates) == len(self.initials):
            sizes = f"{len(self.states)} states, {len(self.rates)} rates, {len(self.initials)} initial values"
            problems.append(Problem(what=f"Sizes differ: {sizes}."))
        if len(self.outputs) != len(self.output_names):
            problems.append(
                Problem(what=f"{len(self.outputs)} outputs, {len(self.output_names)} names for them.")
            )
        names = [*self.states, *self.parameters, *(name for name, _ in self.definitions)]
        twice = (
            sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        )
        problems += [Problem(what=f"{name!r} is defined twice.") for name in twice]
        for event in self.events:
            for target, _ in event.assignments:
                if target not in self.states:
                    what = f"Event {event.name!r} sets {target!r}, which is no state."
                    problems.append(Problem(what=what, remedy=did_you_mean(target, self.states)))
        if problems:
            raise ModelError(problems)

    def __getstate__(self) -> dict[str, Any]:
        # the graph is made again where it is wanted
        return {name: value for name, value in self.__dict__.items() if name != "system"}

    def __repr__(self) -> str:
        return (
            f"<Equations of {len(self.states)} states: {len(self.parameters)} parameters, "
            f"{len(self.outputs)} outputs, {len(self.events)} events>"
        )

    @made_once
    def system(self) -> System:
        """The same equations as a graph, with derivatives (made at first use)."""
        from cellsim.compiler.derivatives import System

        return System(self)


@lru_cache(maxsize=8192)
def _exponents(formula: sp.Expr) -> frozenset[str]:
    """Names in exponents; kept, because every simulation asks again for the same formulas."""
    return frozenset(str(name) for power in formula.atoms(sp.Pow) for name in power.exp.free_symbols)


def equations_of(
    model: Model,
    outputs: Mapping[str, sp.Expr] | Sequence[str] = (),
    *,
    extra_parameters: Sequence[str] = (),
) -> Equations:
    """Put a model's formulas in order.

    Parameters
    ----------
    model : Model
        The model; its assignments become shared definitions.
    outputs : mapping of str to sympy.Expr, or sequence of str
        Formulas by name, or names of states, assignments or parameters.
    extra_parameters : sequence of str
        Parameters that only outputs use; they follow the model's own in ``p``.

    Raises
    ------
    ModelError
        An output names something that does not exist.
    """
    definitions = tuple((each.name, each.formula) for each in model.assignments)
    states = tuple(each.name for each in model.states)
    parameters = (*(each.name for each in model.parameters), *extra_parameters)
    known = {*states, *parameters, *(name for name, _ in definitions), CLOCK}
    if not isinstance(outputs, Mapping):
        missing = [name for name in outputs if name not in known]
        if missing:
            raise ModelError(
                Problem(what=f"There is no {name!r} to observe.", remedy=did_you_mean(name, known))
                for name in missing
            )
        outputs = {name: sp.Symbol(name) for name in outputs}
    formulas = [*(formula for _, formula in model.formulas()), *outputs.values()]
    exponents = frozenset().union(*map(_exponents, formulas))
    return Equations(
        states=states,
        parameters=parameters,
        rates=tuple(each.rate for each in model.states),
        initials=tuple(each.initial for each in model.states),
        outputs=tuple(each for each in outputs.values()),
        output_names=tuple(outputs),
        events=tuple(
            Trigger(
                each.name,
                each.trigger,
                tuple((name, value) for name, value in each.assignments),
                each.initially,
            )
            for each in model.events
        ),
        definitions=definitions,
        whole=tuple(
            each.name
            for each in model.parameters
            if each.name in exponents and float(each.value).is_integer() and each.value != 0
        ),
    )
