"""One experiment from its first period to its last sample, with derivatives that are carried from period to period."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from cellsim.errors import SimulationError
from cellsim.estimation.prepared import PreparedModel
from cellsim.estimation.slopes import Sloped, constant, worked_out
from cellsim.petab.records import Change, Experiment, Period

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.compiler.kernels import Kernels

    Array = NDArray[np.float64]

__all__ = ["Course", "Rest", "Resting", "followed"]

Rest = tuple[tuple[str, str], ...]
"""What a pre-equilibration sets: target and formula."""
Resting = tuple[dict[str, Sloped], Any, Any, float]
"""Where it came to: constants, states, their derivatives, and the time of the model's clock."""

_STILL = ((1e-7, 1e8), (1e-7, 1e13), (1e-5, 1e8))
"""How still a steady state is, as a share of each state, and how long it is waited for, in the model's unit of time."""


@dataclass(frozen=True, eq=False)
class Course:
    """What an experiment came to at some times.

    Attributes
    ----------
    times : array, shape (n,)
    states : array, shape (n, n_states)
    parameters : array, shape (n, n_parameters)
        Of the model, as they are in the period of each time.
    state_slopes, parameter_slopes : array, shape (n, n_states, m) and (n, n_parameters, m), or None
        Derivatives with respect to the parameters that are estimated.
    """

    times: Array
    states: Array
    parameters: Array
    state_slopes: Array | None = None
    parameter_slopes: Array | None = None


def followed(
    model: PreparedModel,
    experiment: Experiment,
    times: Sequence[float],
    shared: Callable[[str], Sloped],
    *,
    directions: int = 0,
    rtol: float = 1e-8,
    rests: dict[Rest, Resting] | None = None,
) -> Course:
    """Simulate an experiment and read it at given times.

    Parameters
    ----------
    model : PreparedModel
    experiment : Experiment
    times : sequence of float
        In order; infinite for the steady state that the last period leads to.
    shared : callable
        Values of the problem's parameters, with their derivatives.
    directions : int
        How many parameters to differentiate for; none by default.
    rtol : float
        Relative tolerance.
    rests : dict, optional
        Where pre-equilibrations with these values came to rest, by what they set; new ones are added.

    Returns
    -------
    Course

    Raises
    ------
    SimulationError
        It could not be carried to its end, or no steady state was found.
    """
    return _Following(model, experiment, shared, directions, rtol, {} if rests is None else rests).course(
        times
    )


class _Following:
    """One experiment while it is followed."""

    def __init__(
        self,
        model: PreparedModel,
        experiment: Experiment,
        shared: Callable[[str], Sloped],
        directions: int,
        rtol: float,
        rests: dict[Rest, Resting],
    ) -> None:
        self.model, self.experiment, self.shared, self.rests = model, experiment, shared, rests
        self.size, self.rtol = directions, rtol
        self.place = f"experiment {experiment.id}" if experiment.id else "the experiment"
        self.time = 0.0
        self.constants: dict[str, Sloped] = {}
        # none before the first period, which starts at the model's own initial values
        self.y: Array | None = None
        self.dy: Array | None = None
        self.before: tuple[bool, ...] | None = None

    # ---- values -----------------------------------------------------------------------------------

    def _state(self, name: str) -> Sloped | None:
        if self.y is None or name not in self.model.state_place:
            return None
        k = self.model.state_place[name]
        return Sloped(self.y[k : k + 1], None if self.dy is None else self.dy[k : k + 1])

    def _known(self) -> Callable[[str], Sloped]:
        """Every name as it stands now."""

        def given(name: str) -> Sloped | None:
            if name == "time":
                return constant(self.time)
            return self.constants.get(name) or self._state(name)

        return self.model.look_up(given, self.shared)

    def _vector(self) -> tuple[Array, Array | None]:
        """The model's parameters, shape (n,), and their derivatives, shape (n, m)."""
        names = self.model.parameters
        p = np.array([self.constants[name].value[0] for name in names])
        if not self.size:
            return p, None
        dp = np.zeros((len(names), self.size))
        for k, name in enumerate(names):
            if (slope := self.constants[name].slope) is not None:
                dp[k] = slope[0]
        return p, dp

    def _worked_out(self, changes: Sequence[Change], known: Callable[[str], Sloped]) -> dict[str, Sloped]:
        return {
            self.model.called(each.target): worked_out(self.model.formulas[each.value], known)
            for each in changes
        }

    # ---- periods ----------------------------------------------------------------------------------

    def _begin(self, period: Period) -> None:
        """The first period: what it sets stands in place of what the model would begin with."""
        self.time = period.time if np.isfinite(period.time) else 0.0
        self.constants = self.model.constants({}, self.shared) if self._needs_own(period) else {}
        self.constants = self._set_anew(self._worked_out(period.changes, self._known()))

    def _equilibrate(self, period: Period) -> None:
        """The period before all others, followed once for all experiments that begin with it."""
        key = tuple(sorted((each.target, each.value) for each in period.changes))
        if key not in self.rests:
            self._begin(period)
            self._rest()
            self.rests[key] = (self.constants, self.y, self.dy, self.time)
        self.constants, self.y, self.dy, self.time = self.rests[key]

    def _needs_own(self, period: Period) -> bool:
        """Whether values of conditions are written with parameters of the model."""
        symbols = {
            each.name for change in period.changes for each in self.model.formulas[change.value].free_symbols
        }
        return bool(symbols - self.model.shared)

    def _set_anew(self, found: Mapping[str, Sloped]) -> dict[str, Sloped]:
        starts = self.model.opened.starts
        return self.model.constants(
            {starts.get(name, name): value for name, value in found.items()}, self.shared
        )

    def _change(self, period: Period) -> None:
        """A later period: all values from what is there, then all set at once."""
        assert self.y is not None
        self.before = self._triggers()
        self.time = period.time
        found = self._amounts(self._worked_out(period.changes, self._known()))
        self.constants = dict(self.constants)
        if period.anew:
            constants = {name: value for name, value in found.items() if name not in self.model.state_place}
            self.constants = self._set_anew(constants)
        self.y = self.y.copy()
        self.dy = None if self.dy is None else self.dy.copy()
        for name, value in found.items():
            if name in self.model.state_place:
                k = self.model.state_place[name]
                self.y[k] = value.value[0]
                if self.dy is not None:
                    self.dy[k] = 0.0 if value.slope is None else value.slope[0]
            else:
                self.constants[name] = value

    def _amounts(self, found: Mapping[str, Sloped]) -> dict[str, Sloped]:
        """Amounts in place of the concentrations that are set, and of those whose size is: these are kept (PEtab v2)."""
        known = self._known()
        out = dict(found)
        for name, (amount, size) in self.model.amounts.items():
            if name in found or size in found:
                values = {each: found[each] if each in found else known(each) for each in (name, size)}
                out.pop(name, None)
                out[amount] = worked_out(sp.Symbol(name) * sp.Symbol(size), values.__getitem__)
        return out

    def _triggers(self) -> tuple[bool, ...] | None:
        """Whether the condition of each event is met."""
        events = self.model.opened.model.events
        if not events:
            return None
        known = self._known()
        truths = [sp.Piecewise((1, each.trigger), (0, True)) for each in events]
        return tuple(bool(worked_out(each, known).value[0] > 0.5) for each in truths)

    def course(self, times: Sequence[float]) -> Course:
        """The whole."""
        asked = np.asarray(times, float)
        n, states, parameters = len(asked), len(self.model.states), len(self.model.parameters)
        out = Course(
            asked, np.full((n, states), np.nan), np.full((n, parameters), np.nan),
            np.zeros((n, states, self.size)) if self.size else None, np.zeros((n, parameters, self.size)) if self.size else None,
        )  # fmt: skip
        periods = self.experiment.periods
        for k, period in enumerate(periods):
            if period.time == -np.inf:
                self._equilibrate(period)
                continue
            if k == 0:
                self._begin(period)
            else:
                self._change(period)
            end = periods[k + 1].time if k + 1 < len(periods) else np.inf
            inside = np.flatnonzero((asked >= period.time) & (asked < end))
            last = np.flatnonzero(np.isinf(asked)) if end == np.inf else np.empty(0, np.intp)
            self._keep_parameters(out, np.concatenate([inside, last]))
            start = (self.y, self.dy)
            if inside.size or end < np.inf:
                self._run(out, asked[inside], inside, end)
            if last.size:
                self.y, self.dy = start
                self._rest()
                out.states[last] = self.y
                if out.state_slopes is not None:
                    out.state_slopes[last] = self.dy
            if not np.any(asked >= end):
                break
        return out

    def _keep_parameters(self, out: Course, rows: NDArray[np.intp]) -> None:
        p, dp = self._vector()
        out.parameters[rows] = p
        if out.parameter_slopes is not None:
            out.parameter_slopes[rows] = dp

    # ---- simulations ------------------------------------------------------------------------------

    def _finite(self, p: Array) -> Array:
        """The parameters that the model's own equations have."""
        own = p[: self.model.simulated]
        if not np.all(np.isfinite(own)):
            lost = [self.model.parameters[k] for k in np.flatnonzero(~np.isfinite(own))]
            raise SimulationError(f"{self.place}: {', '.join(lost)} is not a finite number.")
        return own

    def _integrated(
        self, kernels: Kernels, times: Array, end: float | None = None
    ) -> tuple[Array, Array | None]:
        """States at some times, and their derivatives."""
        from cellsim.solver.integration import integrate

        p, dp = self._vector()
        names: list[str | tuple[str, str | int]] = []
        seeds: list[Array] = []
        if dp is not None:
            for k in np.flatnonzero(np.any(dp[: self.model.simulated] != 0.0, axis=1)).tolist():
                names.append(self.model.parameters[k])
                seeds.append(dp[k])
            if self.dy is not None:
                for k in np.flatnonzero(np.any(self.dy != 0.0, axis=1)).tolist():
                    names.append(("initial", self.model.states[k]))
                    seeds.append(self.dy[k])
        solution = integrate(
            kernels,
            self._finite(p),
            times=times,
            start=self.time,
            start_states=self.y,
            rtol=self.rtol,
            directions=names or None,
            end=end,
        )
        if solution.status[0]:
            raise SimulationError(f"{self.place}: {solution.messages[0]}")
        slopes = None
        if dp is not None:
            slopes = np.zeros((len(times), len(self.model.states), self.size))
            if solution.sensitivities is not None:
                slopes = solution.sensitivities[0] @ np.array(seeds)
        return solution.states[0], slopes

    def _run(self, out: Course, times: Array, rows: NDArray[np.intp], end: float) -> None:
        """One period, read at some times, and kept as it is an instant before its end: what happens there is of the next."""
        stop = [] if end == np.inf else [float(np.nextafter(end, -np.inf))]
        if self.model.states:
            kernels, asked = self.model.kernels(self.before), np.concatenate([times, stop])
            states, slopes = self._integrated(kernels, asked, end if stop else None)
        else:
            states = np.empty((len(rows) + 1, 0))
            slopes = np.empty((len(rows) + 1, 0, self.size)) if self.size else None
        out.states[rows] = states[: len(rows)]
        if slopes is not None and out.state_slopes is not None:
            out.state_slopes[rows] = slopes[: len(rows)]
        if stop:
            self.y, self.dy, self.time = states[-1], None if slopes is None else slopes[-1], stop[0]

    def _rest(self) -> None:
        """Follow the model to its steady state."""
        from cellsim.solver.integration import steady_state

        if not self.model.states:
            self.y, self.dy = np.empty(0), np.empty((0, self.size)) if self.size else None
            return
        kernels, (p, dp), first = self.model.kernels(self.before), self._vector(), ""
        p = self._finite(p)
        for share, longest in _STILL:
            found = steady_state(
                kernels, p, start=self.time, start_states=self.y, rtol=share, atol=None, longest=longest
            )
            first = first or found.messages[0]
            if found.found[0]:
                break
        else:
            raise SimulationError(f"{self.place} comes to no steady state: {first}")
        until = self.time + longest
        if dp is not None:
            # derivatives settle later than what they are of: both are followed to the same end
            _, slopes = self._integrated(kernels, np.array([until]))
            self.dy = None if slopes is None else slopes[-1]
        self.y, self.time = found.states[0], until
