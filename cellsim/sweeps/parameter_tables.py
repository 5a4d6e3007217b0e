"""Answers to a question about parameters and schedules: a table, a grid, a tornado and sensitivity indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, did_you_mean, unusable
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.measures import Asked
from cellsim.results import LEVEL, number
from cellsim.sweeps.decisions import place_asked
from cellsim.sweeps.learned import check_level, mean_error, median_error
from cellsim.sweeps.trust_region import Beyond

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case

    Array = NDArray[np.float64]

__all__ = ["DESIGNS", "ParameterSweep", "indices_of", "sampled_points"]

DESIGNS = ("grid", "one at a time", "sobol", "morris")
"""How values of parameters are chosen."""


@dataclass(frozen=True, eq=False)
class ParameterSweep:
    """Parameters crossed with schedules; made by :func:`cellsim.sweep` with ``parameters=``.

    A parameter that is set has that value in every draw; the others keep what the draw says. This is what the model says where
    the parameter is changed, and no posterior given the value.

    Attributes
    ----------
    name, variant, label : str
        Whose model this is.
    schedules : mapping of str to Schedule
    until : float
        Last day.
    asked : tuple of Asked
        What each number is.
    parameters : tuple of str
    own : tuple of float
        What each is where it is not set: the model's value, or the median of the draws.
    points : array, shape (n_points, n_parameters)
        Values set; nan where a draw keeps its own.
    design : str
        One of :data:`DESIGNS`.
    draws : array, shape (n_schedules, n_asked, n_points, n_draws)
        nan where a simulation could not be carried to its end.
    effective : float
        Independent draws these are worth; 1 for a model alone.
    beyond : mapping of str to tuple of Beyond
        By schedule, every respect in which it lies outside what was given.
    approximation : Approximation
    interrupted : bool
    """

    name: str
    variant: str
    label: str
    schedules: Mapping[str, Schedule]
    until: float
    asked: tuple[Asked, ...]
    parameters: tuple[str, ...]
    own: tuple[float, ...]
    points: Array
    design: str
    draws: Array
    effective: float
    beyond: Mapping[str, tuple[Beyond, ...]]
    case: Case
    approximation: Approximation
    interrupted: bool = False

    def table(self, *, level: float = LEVEL) -> pd.DataFrame:
        """One row a schedule, point and question.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Columns schedule, extrapolation, one for each parameter (its value; nan where a draw keeps its own), measure, quantity, day,
            unit, estimate (median; mean of a chance), error (Monte Carlo), low, high, level, approximation, doubts.
        """
        check_level(level)
        import pandas as pd

        rows = []
        for i, schedule in enumerate(self.schedules):
            beyond = "; ".join(str(each) for each in self.beyond.get(schedule, ()))
            for p, point in enumerate(self.points):
                for k, asked in enumerate(self.asked):
                    rows.append(
                        {
                            "schedule": schedule,
                            "extrapolation": beyond,
                            **dict(zip(self.parameters, point.tolist(), strict=True)),
                            "measure": asked.measure,
                            "quantity": asked.quantity,
                            "day": asked.day,
                            "unit": asked.unit,
                            **self._summary(i, k, p, level),
                            "level": level,
                        }
                    )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def _summary(self, i: int, k: int, p: int, level: float) -> dict[str, float]:
        draws = self.draws[i, k, p]
        draws = draws[np.isfinite(draws)]
        if not draws.size:
            return dict.fromkeys(("estimate", "error", "low", "high"), np.nan)
        worth = min(self.effective, float(draws.size))
        if self.asked[k].chance:
            return {
                "estimate": float(draws.mean()), "error": float(mean_error(draws, worth)), "low": np.nan, "high": np.nan,
            }  # fmt: skip
        low, middle, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2])
        error = float(median_error(draws, worth))
        alone = draws.size == 1
        return {
            "estimate": float(middle),
            "error": 0.0 if alone else error,
            "low": np.nan if alone else float(low),
            "high": np.nan if alone else float(high),
        }

    def estimates(
        self, measure: str | None = None, quantity: str | None = None, *, schedule: str | None = None
    ) -> Array:
        """Median (mean of a chance) of one measure at every point, shape (n_points,).

        Parameters
        ----------
        measure, quantity : str, optional
            As in :meth:`table`; the first asked by default.
        schedule : str, optional
            The first by default.
        """
        i, k = self._row(schedule), place_asked(self.asked, measure, quantity, None)
        return np.array([self._summary(i, k, p, LEVEL)["estimate"] for p in range(len(self.points))])

    def _row(self, schedule: str | None) -> int:
        names = list(self.schedules)
        if schedule is None:
            return 0
        if schedule not in names:
            raise CellsimError(f"no schedule {schedule!r} in this sweep. {did_you_mean(schedule, names)}")
        return names.index(schedule)

    def tornado(
        self, measure: str | None = None, quantity: str | None = None, *, schedule: str | None = None
    ) -> pd.DataFrame:
        """What each parameter does by itself, the one that moves most first.

        Parameters
        ----------
        measure, quantity, schedule : str, optional
            As for :meth:`estimates`.

        Returns
        -------
        DataFrame
            Columns parameter, own (its value where it is not set), reference (the measure there), low_value, high_value (least and
            greatest value set), at_low, at_high (the measure there), least, greatest (of the measure over all values set), swing (their
            difference).

        Raises
        ------
        CellsimError
            Of another design than one at a time.
        """
        if self.design != "one at a time":
            raise CellsimError(f"a tornado needs design='one at a time', and this one is {self.design!r}.")
        import pandas as pd

        found = self.estimates(measure, quantity, schedule=schedule)
        rows = []
        for k, name in enumerate(self.parameters):
            here = np.flatnonzero(np.isfinite(self.points[:, k]))
            if not here.size:
                continue
            values = self.points[here, k]
            low, high = here[np.argmin(values)], here[np.argmax(values)]
            every = np.append(found[here], found[0])
            rows.append(
                {
                    "parameter": name,
                    "own": self.own[k],
                    "reference": found[0],
                    "low_value": float(values.min()),
                    "high_value": float(values.max()),
                    "at_low": found[low],
                    "at_high": found[high],
                    "least": float(np.nanmin(every)),
                    "greatest": float(np.nanmax(every)),
                    "swing": float(np.nanmax(every) - np.nanmin(every)),
                }
            )
        table = pd.DataFrame(rows).sort_values("swing", ascending=False, kind="stable", ignore_index=True)
        table.attrs["label"] = self.label
        return table

    def indices(
        self, measure: str | None = None, quantity: str | None = None, *, schedule: str | None = None
    ) -> pd.DataFrame:
        """Sobol or Morris indices of one measure's mean over the draws, by SALib.

        Parameters
        ----------
        measure, quantity, schedule : str, optional
            As for :meth:`estimates`.

        Returns
        -------
        DataFrame
            See :func:`cellsim.sweeps.parameter_tables.indices_of`.

        Raises
        ------
        CellsimError
            Of another design, where a simulation is missing, and without SALib.
        """
        if self.design not in ("sobol", "morris"):
            raise CellsimError(f"indices need design='sobol' or 'morris', and this one is {self.design!r}.")
        i, k = self._row(schedule), place_asked(self.asked, measure, quantity, None)
        values = self.draws[i, k].mean(axis=-1)
        if self.interrupted or not np.isfinite(values).all():
            raise CellsimError("indices need every simulation of their design, and some are missing.")
        bounds = {
            name: (float(low), float(high))
            for name, low, high in zip(
                self.parameters, self.points.min(axis=0), self.points.max(axis=0), strict=True
            )
        }
        return indices_of(self.design, bounds, self.points, values, self.parameters)

    def report(self) -> str:
        """The answer as text: a tornado, indices, or the table of the first question."""
        title = f"Parameters crossed with schedules for {self.name}" + (
            f", variant {self.variant}" if self.variant else ""
        )
        lines = [title, "=" * len(title), self.label, "", *self.approximation.lines, ""]
        for k, asked in enumerate(self.asked[:6]):
            for schedule in list(self.schedules)[:4]:
                pair = {"measure": asked.measure, "quantity": asked.quantity, "schedule": schedule}
                if self.design == "one at a time":
                    shown = self.tornado(**pair)
                elif self.design == "grid":
                    table = self.table()
                    chosen = (table["schedule"] == schedule).to_numpy() & (
                        np.arange(len(table)) % len(self.asked) == k
                    )
                    shown = table[chosen][[*self.parameters, "estimate", "error", "low", "high"]].head(40)
                else:
                    shown = self.indices(**pair)
                lines += [
                    f"{asked.measure} {asked.quantity}, {schedule}:",
                    "",
                    shown.to_string(index=False, float_format=number),
                    "",
                ]
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        return (
            f"<ParameterSweep of {self.name} by {', '.join(self.parameters)} ({self.design}): {len(self.points)} points, "
            f"{len(self.schedules)} schedules, {self.draws.shape[3]} draws. {self.label}>"
        )


# ---- designs and indices of SALib ------------------------------------------------------------------


def _salib() -> Any:
    try:
        import SALib.analyze.morris
        import SALib.analyze.sobol
        import SALib.sample.morris
        import SALib.sample.sobol
    except ImportError as error:
        raise CellsimError(
            f"indices need SALib, which is not there ({error}): pip install 'cellsim[sensitivity]'."
        ) from None
    return SALib


def _problem(bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    return {
        "num_vars": len(bounds),
        "names": list(bounds),
        "bounds": [list(each) for each in bounds.values()],
    }


def sampled_points(kind: str, bounds: Mapping[str, tuple[float, float]], count: int, seed: int) -> Array:
    """Parameter values of a design, uniform within bounds.

    Parameters
    ----------
    kind : {"sobol", "morris"}
        Saltelli's scheme for Sobol indices, ``count (n_parameters + 2)`` points, `count` a power of two; or `count` trajectories of Morris,
        ``count (n_parameters + 1)`` points on four levels.
    bounds : mapping of str to (float, float)
    count, seed : int

    Returns
    -------
    array, shape (n_points, n_parameters)

    Raises
    ------
    CellsimError
        Without SALib, and for a count that is none.
    """
    if problems := unusable(counts={"points": (count, 2)}):
        raise CellsimError(problems)
    if kind == "sobol" and count & (count - 1):
        raise CellsimError(
            f"points = {count}: Sobol's sequence is balanced for powers of two, {1 << count.bit_length()} say."
        )
    sample = _salib().sample
    if kind == "sobol":
        return np.asarray(sample.sobol.sample(_problem(bounds), count, calc_second_order=False, seed=seed))
    return np.asarray(sample.morris.sample(_problem(bounds), count, num_levels=4, seed=seed))


def indices_of(
    kind: str, bounds: Mapping[str, tuple[float, float]], points: Array, values: Array, names: Sequence[str]
) -> pd.DataFrame:
    """Indices of one measure.

    Parameters
    ----------
    kind : {"sobol", "morris"}
    bounds : mapping of str to (float, float)
    points : array, shape (n_points, n_parameters)
        As :func:`sampled_points` made them.
    values : array, shape (n_points,)
    names : sequence of str

    Returns
    -------
    DataFrame
        One row a parameter. Sobol: first, total (shares of the variance made by it alone, and with all others), first_error, total_error
        (standard errors by bootstrap). Morris: mean_effect, mean_size (of the elementary effects and of their absolute
        values, in the unit of the measure over the range of the parameter), spread, mean_size_error.
    """
    import pandas as pd

    analyze, problem = _salib().analyze, _problem(bounds)
    if not np.ptp(values) > 0:
        none = ["first", "total"] if kind == "sobol" else ["mean_effect", "mean_size", "spread"]
        return pd.DataFrame([{"parameter": name, **dict.fromkeys(none, 0.0)} for name in names])
    if kind == "sobol":
        found = analyze.sobol.analyze(problem, values, calc_second_order=False, conf_level=0.6827, seed=0)
        columns = {"first": "S1", "first_error": "S1_conf", "total": "ST", "total_error": "ST_conf"}
    else:
        found = analyze.morris.analyze(problem, points, values, num_levels=4, conf_level=0.6827, seed=0)
        columns = {
            "mean_effect": "mu",
            "mean_size": "mu_star",
            "spread": "sigma",
            "mean_size_error": "mu_star_conf",
        }
    return pd.DataFrame(
        {"parameter": list(names), **{ours: np.asarray(found[theirs]) for ours, theirs in columns.items()}}
    )
