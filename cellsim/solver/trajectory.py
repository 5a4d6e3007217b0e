"""What a simulation returns: every state and assignment by name, between samples too.

Questions asked of a trajectory (area, peak, days below a level) are answered from the solver's own steps,
never from straight lines between the samples, and a step never reaches across a dose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from cellsim.errors import SimulationError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import Model

__all__ = ["Path", "Trajectory"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)  # exact for the dense output of every solver here
_LOOKS = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 9))  # where a step is looked at, its two ends included
_VIEWS = ("values", "units", "labels")
_REFINED = 8  # so many of the highest steps are searched for the peak


def _crossing(curve: Callable[[float], float], level: float, left: float, right: float) -> float:
    """The day between two on which a curve crosses a level."""
    at_left, at_right = curve(left) - level, curve(right) - level
    if at_left * at_right >= 0:  # an end lies on the level, as far as rounding tells
        return left if abs(at_left) <= abs(at_right) else right
    return float(brentq(lambda day: curve(day) - level, left, right, xtol=1e-12))


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """A model run under a schedule.

    Parameters
    ----------
    model, schedule
        What was simulated.
    values : mapping of str to float
        The parameters (and initial states) that were set for this run.
    times : numpy.ndarray, shape (n_times,)
        Days of the samples. A sample at the instant of a dose is read after it.
    names : tuple of str
        States, then assignments.
    units, labels : mapping of str to str
        By name; empty where the model has none.
    y : numpy.ndarray, shape (n_times, n_names)
        The samples.
    start : float
        Day on which the initial values held.
    solver : str
        Which solver it was.
    between : callable
        Makes the solution between samples, when it is first asked for.

    Examples
    --------
    >>> from cellsim.model.model import load_model
    >>> from cellsim.dosing.schedule import Schedule
    >>> from cellsim.solver.simulation import simulate
    >>> model = load_model("x = 0; x' = -0.1*x; twice := 2*x")
    >>> seen = simulate(model, Schedule.every(7, cells=5, doses=2, product="x"), [0, 7, 30])
    >>> seen["x"].round(3)
    array([5.   , 7.483, 0.75 ])
    >>> day, height = seen.peak("twice")
    >>> print(f"{height:.3f} on day {day:g}")
    14.966 on day 7
    >>> print(f"area {seen.auc('x'):.3f}, {seen.time_below('x', 1.0):.3f} days below 1")
    area 92.498, 2.874 days below 1
    """

    model: Model
    schedule: Schedule
    values: Mapping[str, float]
    times: Array
    names: tuple[str, ...]
    units: Mapping[str, str]
    labels: Mapping[str, str]
    y: Array
    start: float
    solver: str
    between: Callable[[], Path]
    _places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", {name: place for place, name in enumerate(self.names)})
        self.times.setflags(write=False)
        self.y.setflags(write=False)

    def __getstate__(self) -> dict[str, Any]:
        # the path between samples is made again where it is wanted; a read-only view cannot be pickled
        state = {name: value for name, value in self.__dict__.items() if name != "path"}
        return state | {name: dict(state[name]) for name in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {name: MappingProxyType(state[name]) for name in _VIEWS})
        self.__post_init__()

    @cached_property
    def path(self) -> Path:
        """The solution between samples."""
        return self.between()

    @property
    def end(self) -> float:
        """The last day that was simulated."""
        return float(self.times[-1])

    def _place(self, name: str) -> int:
        if name not in self._places:
            raise SimulationError(f"no {name!r} in this trajectory. {did_you_mean(name, self.names)}")
        return self._places[name]

    def _span(self, start: float | None, end: float | None) -> tuple[float, float]:
        first = self.start if start is None else float(start)
        last = self.end if end is None else float(end)
        if not self.start <= first <= last <= self.end:
            here = f"{self.start:g} to {self.end:g}"
            raise SimulationError(f"days {first:g} to {last:g} are not within the simulated days {here}.")
        return first, last

    def __getitem__(self, name: str) -> Array:
        """Samples of one quantity, shape (n_times,), in its unit."""
        return self.y[:, self._place(name)]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def at(self, name: str, times: float | Any) -> Array:
        """One quantity on any days, from the solver's own interpolant.

        Parameters
        ----------
        name : str
            A state or assignment.
        times : float or array_like
            Days, within the simulated ones. At a dose the value after it is meant.

        Returns
        -------
        numpy.ndarray
            In the quantity's unit, shaped like `times`.

        Raises
        ------
        SimulationError
            For an unknown name, or a day that was not simulated.
        """
        place = self._place(name)
        days = np.asarray(times, dtype=float)
        flat = days.reshape(-1)
        outside = flat[~((flat >= self.start) & (flat <= self.end))]
        if outside.size:
            raise SimulationError(
                f"day {outside[0]:g} was not simulated ({self.start:g} to {self.end:g} were)."
            )
        return self.path.one(place, self.path.step_of(days), days)

    def _looked_at(self, name: str, first: float, last: float) -> tuple[np.ndarray[Any, Any], Array, Array]:
        """Steps between two days, the days each is looked at and the values there, (n_steps, n_looks)."""
        place = self._place(name)
        steps, lower, upper = self.path.within(first, last)
        if not len(steps):  # one instant only
            steps, lower, upper = self.path.step_of(np.array([first])), np.array([first]), np.array([first])
        days = lower[:, None] + (upper - lower)[:, None] * _LOOKS
        seen = self.path.one(place, steps[:, None], days)
        if not np.isfinite(seen).all():
            day = days[~np.isfinite(seen)][0]
            raise SimulationError(f"{name} has no finite value on day {day:g}.")
        return steps, days, seen

    def _curve(self, name: str, step: int) -> Callable[[float], float]:
        """One quantity within one step, as a function of the day."""
        place, number = self._place(name), np.array([step])
        return lambda day: float(self.path.one(place, number, np.array([day]))[0])

    def auc(self, name: str, start: float | None = None, end: float | None = None) -> float:
        """Area under one quantity: Gauss quadrature on each of the solver's steps.

        Parameters
        ----------
        name : str
            A state or assignment.
        start, end : float, optional
            Days; by default all that was simulated.

        Returns
        -------
        float
            In the quantity's unit times days.

        Raises
        ------
        SimulationError
            For an unknown name, or days that were not simulated.
        """
        place = self._place(name)
        steps, lower, upper = self.path.within(*self._span(start, end))
        if not len(steps):
            return 0.0
        half = 0.5 * (upper - lower)
        days = (0.5 * (upper + lower))[:, None] + half[:, None] * _NODES
        seen = self.path.one(place, steps[:, None], days)
        return float(half @ (seen @ _WEIGHTS))

    def peak(self, name: str, start: float | None = None, end: float | None = None) -> tuple[float, float]:
        """When one quantity is highest, and how high.

        Parameters
        ----------
        name : str
            A state or assignment.
        start, end : float, optional
            Days; by default all that was simulated.

        Returns
        -------
        tuple of (float, float)
            Day (the first, if it is reached more than once) and value in the quantity's unit.
        """
        first, last = self._span(start, end)
        steps, days, seen = self._looked_at(name, first, last)
        # a dose on the last day asked about counts, as it does for a sample on that day
        steps = np.append(steps, self.path.step_of(np.array([last])))
        days = np.vstack([days, np.full(len(_LOOKS), last)])
        seen = np.vstack([seen, np.full(len(_LOOKS), self.at(name, last))])
        best_row, best_look = np.unravel_index(np.argmax(seen), seen.shape)
        best = float(seen[best_row, best_look]), -float(days[best_row, best_look])
        for row in np.argsort(-seen.max(axis=1), kind="stable")[:_REFINED]:
            look = int(np.argmax(seen[row]))
            around = days[row, max(look - 1, 0)], days[row, min(look + 1, len(_LOOKS) - 1)]
            if around[0] >= around[1]:
                continue
            curve = self._curve(name, steps[row])
            found = minimize_scalar(
                lambda day, curve=curve: -curve(day),
                bounds=around,
                method="bounded",
                options={"xatol": 1e-9 * (around[1] - around[0])},
            )
            higher = -float(found.fun), -float(found.x)
            # an end of the step wins a tie: searching its inside comes close to it but not there
            if higher[0] > best[0] + 1e-14 * abs(best[0]):
                best = higher
        return -best[1], best[0]

    def time_below(
        self, name: str, level: float, start: float | None = None, end: float | None = None
    ) -> float:
        """Days that one quantity spends below a level, every crossing located.

        Parameters
        ----------
        name : str
            A state or assignment.
        level : float
            In the quantity's unit.
        start, end : float, optional
            Days; by default all that was simulated.

        Returns
        -------
        float
            Days.
        """
        first, last = self._span(start, end)
        if first == last:
            return 0.0
        steps, days, seen = self._looked_at(name, first, last)
        below = seen < level
        whole = below[:, :-1] & below[:, 1:]
        total = float(np.sum(np.diff(days, axis=1)[whole]))
        for row, look in zip(*np.nonzero(below[:, :-1] != below[:, 1:])):
            left, right = float(days[row, look]), float(days[row, look + 1])
            crossing = _crossing(self._curve(name, steps[row]), level, left, right)
            total += crossing - left if below[row, look] else right - crossing
        return total

    def to_frame(self, *, tidy: bool = False) -> pd.DataFrame:
        """The samples as a table.

        Parameters
        ----------
        tidy : bool
            One row a value (time, name, value, unit, label) instead of one column a quantity.

        Returns
        -------
        pandas.DataFrame
            Time in days; every value in its own unit.
        """
        import pandas as pd

        if not tidy:
            return pd.DataFrame({"time": self.times, **{name: self[name] for name in self.names}})
        count = len(self.times)
        return pd.DataFrame(
            {
                "time": np.tile(self.times, len(self.names)),
                "name": np.repeat(np.array(self.names, dtype=object), count),
                "value": self.y.T.reshape(-1),
                "unit": np.repeat(np.array([self.units[name] for name in self.names], dtype=object), count),
                "label": np.repeat(np.array([self.labels[name] for name in self.names], dtype=object), count),
            }
        )

    def __repr__(self) -> str:
        return (
            f"<Trajectory of {self.model.name}: {len(self.names)} quantities at {len(self.times)} times, "
            f"day {self.start:g} to {self.end:g}, under {self.schedule!r}>"
        )


Array = np.ndarray[Any, np.dtype[np.float64]]
_PIECE = 2048  # days looked at together


@dataclass(frozen=True, eq=False)
class Path:
    """A solution as the solver saw it: steps in a row, each with an interpolant.

    Parameters
    ----------
    starts, ends : numpy.ndarray, shape (n_steps,)
        Days each step begins and ends. A dose or event lies between two steps; the last step may have
        no length, when one falls on the last day.
    states : callable
        From step numbers and days, both of shape (n,), to states of shape (n, n_states).
    read : callable
        From days (n,) and states (n, n_states) to the named quantities (n, n_names).
    """

    starts: Array
    ends: Array
    states: Callable[[np.ndarray[Any, Any], Array], Array]
    read: Callable[[Array, Array], Array]

    def step_of(self, times: Array) -> np.ndarray[Any, Any]:
        """The step each day belongs to; at a dose the one after it."""
        return np.searchsorted(self.starts, times, side="right") - 1

    def values(self, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """All named quantities at days inside given steps, shape (n, n_names)."""
        return self.read(times, self.states(steps, times))

    def one(self, place: int, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """One named quantity at days inside given steps, shaped like `times`, read a piece at a time."""
        flat, of = times.reshape(-1), np.broadcast_to(steps, times.shape).reshape(-1)
        found = np.empty(flat.size)
        for begin in range(0, flat.size, _PIECE):
            piece = slice(begin, begin + _PIECE)
            found[piece] = self.values(of[piece], flat[piece])[:, place]
        return found.reshape(times.shape)

    def within(self, start: float, end: float) -> tuple[np.ndarray[Any, Any], Array, Array]:
        """The steps that lie between two days, with where each begins and ends there."""
        lower, upper = np.maximum(self.starts, start), np.minimum(self.ends, end)
        steps = np.flatnonzero(lower < upper)
        return steps, lower[steps], upper[steps]
