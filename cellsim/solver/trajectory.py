"""What a simulation returns: every state and assignment by name, between samples too.

Questions asked of a trajectory (area, peak, days below a level) are answered from the solver's own steps,
never from straight lines between the samples, and a step never reaches across a dose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import SimulationError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import Model

__all__ = ["Path", "Trajectory"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)  # exact for the dense output of every solver here
_LOOKS = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 9))  # where a panel is looked at, its two ends included
# from values there to Chebyshev coefficients of their polynomial, and from those to powers of the place in the panel
_CHEBYSHEV = np.linalg.inv(np.polynomial.chebyshev.chebvander(2 * _LOOKS - 1, 8))
_POWERS = np.linalg.inv(np.vander(_LOOKS, increasing=True))
_VIEWS = ("values", "units", "labels")
_REST = 1e-8  # what a panel's polynomial may leave out, as a share of its range
_ROUNDING = 1e-12  # of the largest value: ranges below it are rounding
_NARROW = 1e-12  # of the time or the span: in a panel this short lies a jump
_MOST = 200_000  # panels of one question


@lru_cache(maxsize=128)
def _places_of(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


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
        object.__setattr__(self, "_places", _places_of(self.names))
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

    def auc(self, name: str, start: float | None = None, end: float | None = None) -> float:
        """Area under one quantity: Gauss quadrature on panels of the solver's steps in which a polynomial follows it.

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
            For an unknown name, days that were not simulated, or a quantity that moves too fast to be followed.
        """
        return self.path.area(self._place(name), name, *self._span(start, end))

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
        return self.path.peak(self._place(name), name, *self._span(start, end))

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
        return self.path.days_below(self._place(name), name, level, *self._span(start, end))

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

    # ---- questions: one quantity over a span of days, panel by panel ----

    def area(self, place: int, name: str, start: float, end: float) -> float:
        """Integral of one quantity between two days."""
        total = [0.0]

        def matters(seen: Array, rest: Array, width: Array) -> np.ndarray[Any, Any]:
            total[0] = total[0] or float(width @ np.abs(seen).mean(axis=1))
            return rest * width > 1e-10 * total[0]

        steps, lower, upper, _ = self._panels(place, name, start, end, matters)
        if not len(steps):
            return 0.0
        half = 0.5 * (upper - lower)
        days = (0.5 * (upper + lower))[:, None] + half[:, None] * _NODES
        return float(half @ (self.one(place, steps[:, None], days) @ _WEIGHTS))

    def peak(self, place: int, name: str, start: float, end: float) -> tuple[float, float]:
        """Day and height of the highest value between two days, the first of several alike."""
        # a dose on the last day asked about counts, as it does for a sample on that day, and so does an instant
        # just after which something happens
        alone = np.flatnonzero((self.starts == self.ends) & (self.starts >= start) & (self.starts < end))
        instants = np.append(self.starts[alone], end)
        heights = self.one(place, np.append(alone, self.step_of(np.array([end]))), instants)
        highest = int(np.argmax(heights))
        instant, last = float(instants[highest]), float(heights[highest])
        best = [last]

        def matters(seen: Array, rest: Array, width: Array) -> np.ndarray[Any, Any]:
            best[0] = max(best[0], float(seen.max()))
            reach = seen.max(axis=1) + 0.2 * np.ptp(seen, axis=1) + 4 * rest
            return reach > best[0]

        steps, lower, upper, seen = self._panels(place, name, start, end, matters)
        if not len(steps):
            _finite(name, instants, heights)
            return instant, last
        row, look = np.unravel_index(np.argmax(seen), seen.shape)
        day, height = float(lower[row] + (upper[row] - lower[row]) * _LOOKS[look]), float(seen[row, look])
        if last > height:
            day, height = instant, last
        high = seen.max(axis=1) + 0.2 * np.ptp(seen, axis=1) > height
        steps, lower, upper, powers = steps[high], lower[high], upper[high], seen[high] @ _POWERS.T
        left, right = np.zeros(len(steps)), np.ones(len(steps))
        for _ in range(5):  # where each panel's polynomial is highest, ever closer
            places = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 65)
            top = places[np.arange(len(places)), np.argmax(_polynomial(powers[:, None, :], places), axis=1)]
            near = (right - left) / 64
            left, right = np.maximum(top - near, 0.0), np.minimum(top + near, 1.0)
        days = lower + (upper - lower) * 0.5 * (left + right)
        heights = self.one(place, steps, days)
        # an end of the step wins a tie: searching its inside comes close to it but not there
        if len(days) and heights.max() > height + 1e-14 * abs(height):
            return float(days[np.argmax(heights)]), float(heights.max())
        return day, height

    def days_below(self, place: int, name: str, level: float, start: float, end: float) -> float:
        """Days between two on which one quantity is below a level."""

        def matters(seen: Array, rest: Array, width: Array) -> np.ndarray[Any, Any]:
            slack = 0.2 * np.ptp(seen, axis=1) + 4 * rest
            return (seen.min(axis=1) - slack <= level) & (seen.max(axis=1) + slack >= level)

        _, lower, upper, seen = self._panels(place, name, start, end, matters, monotone=True)
        below, width = seen < level, upper - lower
        total = float(width @ (below[:, 0] & below[:, -1]))
        crossed = np.flatnonzero(below[:, 0] != below[:, -1])
        if not len(crossed):
            return total
        rising, lower, width, seen = below[crossed, 0], lower[crossed], width[crossed], seen[crossed]
        powers = (seen - level) @ _POWERS.T
        left, right = np.zeros(len(crossed)), np.ones(len(crossed))
        for _ in range(50):
            middle = 0.5 * (left + right)
            early = (_polynomial(powers, middle) < 0) == rising
            left, right = np.where(early, middle, left), np.where(early, right, middle)
        place_of = 0.5 * (left + right)
        return total + float(width @ np.where(rising, place_of, 1 - place_of))

    def _panels(
        self,
        place: int,
        name: str,
        start: float,
        end: float,
        matters: Callable[[Array, Array, Array], np.ndarray[Any, Any]],
        *,
        monotone: bool = False,
    ) -> tuple[np.ndarray[Any, Any], Array, Array, Array]:
        """Steps cut into panels in which a polynomial follows one quantity, as far as it matters to the question.

        An assignment may move much faster than the states that the steps follow, or jump where a state passes a
        level. A panel is halved until the last coefficients of its polynomial are small, and, where `monotone`, until it
        rises or falls throughout; a jump is closed in on.

        Parameters
        ----------
        matters : callable
            From values (n_panels, n_looks), what the polynomials leave out (n_panels,) and widths (n_panels,) to whether
            more precise ones could change the answer.

        Returns
        -------
        steps, lower, upper : numpy.ndarray, shape (n_panels,)
            Ascending.
        seen : numpy.ndarray, shape (n_panels, n_looks)
        """
        steps, lower, upper = self.within(start, end)
        found: list[tuple[Array, ...]] = []
        most, count = 0.0, 0
        while len(steps):
            count += len(steps)
            if count > _MOST and found:
                raise SimulationError(
                    f"{name} moves too fast between day {lower[0]:g} and day {upper[-1]:g} to be followed: more than "
                    f"{_MOST} pieces would be needed. Ask about fewer days, or write it without rapid oscillation."
                )
            width = upper - lower
            days = lower[:, None] + width[:, None] * _LOOKS
            days[:, -1] = upper
            seen = self.one(place, steps[:, None], days)
            _finite(name, days, seen)
            most, span = max(most, float(np.abs(seen).max())), np.ptp(seen, axis=1)
            last = np.abs(seen @ _CHEBYSHEV[-4:].T)
            rest = last[:, 2:].sum(axis=1)
            again = (rest > _REST * span + _ROUNDING * most) | (
                last.sum(axis=1) > 0.01 * span + _ROUNDING * most
            )
            if monotone:
                slopes = np.diff(seen, axis=1)
                turns = (slopes > 0).any(axis=1) & (slopes < 0).any(axis=1)
                again |= turns & (span > _ROUNDING * most)
            again &= width > _NARROW * np.maximum(np.abs(upper), end - start)
            # of a panel that its polynomial hardly follows nothing is known yet
            again &= matters(seen, rest, width) | (last.sum(axis=1) > 0.01 * span)
            found.append((steps[~again], lower[~again], upper[~again], seen[~again]))
            steps, middle = steps[again], 0.5 * (lower[again] + upper[again])
            steps, lower, upper = (
                np.concatenate(each)
                for each in ((steps, steps), (lower[again], middle), (middle, upper[again]))
            )
        if not found:
            return steps, lower, upper, np.empty((0, len(_LOOKS)))
        steps, lower, upper, seen = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(lower, kind="stable")
        return steps[order], lower[order], upper[order], seen[order]


def _polynomial(powers: Array, places: Array) -> Array:
    """Polynomials (their coefficients along the last axis) at places."""
    found = np.zeros(np.broadcast_shapes(powers.shape[:-1], places.shape))
    for k in range(powers.shape[-1] - 1, -1, -1):
        found = found * places + powers[..., k]
    return found


def _finite(name: str, days: Array, seen: Array) -> None:
    if not np.isfinite(seen).all():
        raise SimulationError(f"{name} has no finite value on day {days[~np.isfinite(seen)][0]}.")
