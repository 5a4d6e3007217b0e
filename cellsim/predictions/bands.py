"""Quantities over the whole timeline of a case, as bands over draws: what the figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CellsimError, Problem, did_you_mean, unusable
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.observations import prediction_of
from cellsim.posterior.approximation import Approximation, approximation_of
from cellsim.predictions.plans import LAST_DAY
from cellsim.predictions.predictor import RTOL, asked_model
from cellsim.threads import CORES

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.dosing.schedule import Schedule
    from cellsim.posterior.calibration import Calibration
    from cellsim.predictions.predictor import Source

    Array = NDArray[np.float64]

__all__ = ["QUANTILES", "AveragedBands", "Bands", "CourseBands", "bands", "days_of", "quantiles", "read_at"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# hours after a dose that a daily grid would miss: where what follows it at once has its top
AFTER_DOSE = np.array([0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 18.0]) / 24
# so many draws are simulated at once; more would only take memory
_AT_ONCE = 64
# numbers sorted at once, so that what is picked of them is still near the processor
_SORTED_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class Bands:
    """Quantities under many parameter draws.

    Made by :func:`bands`.

    Attributes
    ----------
    times : array, shape (n_times,)
        Days.
    curves : mapping of str to array, shape (5, n_times)
        Quantiles 5, 25, 50, 75 and 95 % of every quantity, in its unit.
    units, labels : mapping of str to str
        By quantity, the model's; empty for formulas.
    kind : str
        ``"posterior"`` or ``"prior"``.
    draws, lost : int
        How many draws are in, and how many could not be simulated.
    approximation : Approximation
        What the draws rest on, with every doubt about them.
    """

    times: Array
    curves: Mapping[str, Array]
    units: Mapping[str, str]
    labels: Mapping[str, str]
    kind: str
    draws: int
    lost: int
    approximation: Approximation

    def curve(self, name: str) -> Array:
        """The quantiles of one quantity, shape (5, n_times).

        Raises
        ------
        CellsimError
            If these bands were not made of it.
        """
        if name not in self.curves:
            raise CellsimError(f"these bands have no {name!r}. {did_you_mean(name, self.curves)}")
        return self.curves[name]

    def __repr__(self) -> str:
        return (
            f"<Bands ({self.kind}) of {len(self.curves)} quantities over {len(self.times)} days: {self.draws} draws of "
            f"{self.approximation.label}>"
        )


def days_of(timeline: Schedule, start: float, end: float) -> Array:
    """Days worth looking at between two: a grid of days, and the hours after every dose.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> days_of(Schedule.at([0], cells=1, product="x"), 0, 2)[:3]
    array([0.        , 0.02083333, 0.04166667])
    """
    doses = np.unique([each.day for each in timeline.infusions])
    close = (doses[:, None] + AFTER_DOSE).ravel()
    days = np.concatenate([np.arange(np.ceil(start), end + 1e-9), doses, close, [start, end]])
    return np.unique(days[(days >= start) & (days <= end)])


def quantiles(draws: Array, levels: Sequence[float], *, unbiased: bool = False) -> Array:
    """Quantiles of draws, as :func:`numpy.quantile` gives them, in a fraction of its time where there are many rows.

    Parameters
    ----------
    draws : array, shape (..., n_draws)
    levels : sequence of float
    unbiased : bool
        Of each batch of several whose mean is taken: unbiased for the median of the quantile whatever the law (definition 8), where
        definition 7 draws those far out to the middle by a part that grows as batches become small.

    Returns
    -------
    array, shape (n_levels, ...)
        By straight lines between draws in order (definition 7 of Hyndman and Fan, 1996, Am. Stat. 50, 361); nan where a draw is.

    Examples
    --------
    >>> quantiles(np.array([[3.0, 1.0, 2.0], [5.0, 5.0, np.nan]]), [0.5, 0.75])
    array([[2. , nan],
           [2.5, nan]])
    """
    count, wanted = draws.shape[-1], np.array(levels, float)
    places = wanted * (count - 1)
    if unbiased:
        places = np.clip(wanted * (count + 1 / 3) - 2 / 3, 0, count - 1)
    below = np.minimum(places.astype(int), count - 1)
    columns = [*below, *np.minimum(below + 1, count - 1), count - 1]
    rows = np.atleast_2d(draws)
    share = (places - below).reshape(-1, *[1] * (rows.ndim - 1))
    found = np.empty((len(levels), *rows.shape[:-1]))
    step = max(_SORTED_AT_ONCE // max(prod(rows.shape[1:]), 1), 1)
    for begin in range(0, len(rows), step):
        ordered = np.sort(rows[begin : begin + step], axis=-1)
        picked = np.moveaxis(ordered[..., columns], -1, 0)
        low, high, last = picked[: len(levels)], picked[len(levels) : -1], picked[-1]
        with np.errstate(invalid="ignore"):  # infinite draws
            apart = high - low
            # from the nearer of the two, so that equal draws give themselves
            between = np.where(share < 0.5, low + apart * share, high - apart * (1.0 - share))
        # two infinite ones have nothing between them
        between = np.where(low == high, low, between)
        found[:, begin : begin + step] = np.where(np.isnan(last), np.nan, between)
    return found.reshape(len(levels), *draws.shape[:-1])


class CourseBands(Mapping[str, "Array"]):
    """Bands of courses under several plans, each made when it is first asked for: a figure shows one or two of thirty.

    By name, shape (n_plans, 5, n_times).

    Parameters
    ----------
    names : sequence of str
    courses : sequence of array, shape (n_places, n_times, n_names, n_draws)
        Batches of draws, one after the other.
    places : sequence of int
        Where each plan stands in them.
    fine : array of bool, shape (n_draws,)
        Which draws of all batches count.

    Examples
    --------
    >>> courses = np.array([[[[1.0, 2.0, 3.0, 90.0]]]])
    >>> seen = CourseBands(["x"], [courses], [0, 0], np.array([True, True, True, False]))
    >>> list(seen), seen["x"][:, 2]
    (['x'], array([[2.],
           [2.]]))
    """

    def __init__(
        self, names: Sequence[str], courses: Sequence[Array], places: Sequence[int], fine: NDArray[np.bool_]
    ) -> None:
        self._columns = {name: k for k, name in enumerate(names)}
        self._courses, self._places, self._fine = tuple(courses), tuple(places), fine
        self._made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            column, alone = self._columns[name], sorted(set(self._places))
            of_place = {place: quantiles(self._course(place, column), QUANTILES) for place in alone}
            self._made[name] = np.array([of_place[place] for place in self._places])
        return self._made[name]

    def _course(self, place: int, column: int) -> Array:
        """One quantity under one plan, shape (n_times, n_draws)."""
        parts = [each[place, :, column] for each in self._courses]
        every = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return every if self._fine.all() else every[:, self._fine]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class AveragedBands:
    """Bands of courses that nobody could keep: the mean over batches of the bands of each.

    The quantiles of each batch are unbiased in the median whatever the law, and the mean over batches has the error of all draws; how far
    batches lie apart tells it.

    Parameters
    ----------
    several : bool
        Whether there may be more than one batch.
    """

    def __init__(self, *, several: bool) -> None:
        self.several, self._sum, self._squares = several, np.zeros(()), np.zeros(())
        self._weight, self._batches = 0, 0

    def of(self, courses: Array, fine: NDArray[np.bool_]) -> Array:
        """Bands of a batch of courses (n_times, n_shown, n_draws) by its draws that could be simulated, shape (5, n_times, n_shown)."""
        if not fine.any():
            return np.full((len(QUANTILES), *courses.shape[:2]), np.nan)
        return quantiles(courses if fine.all() else courses[..., fine], QUANTILES, unbiased=self.several)

    def add(self, bands: Array, weight: int) -> None:
        """Take the bands of a batch, shape (n_plans, 5, n_times, n_shown), and how many draws they are of."""
        if weight:
            self._sum = self._sum + weight * bands
            self._squares = self._squares + weight * bands**2
        self._weight, self._batches = (self._weight + weight, self._batches + bool(weight))

    def means(self) -> Array:
        """The bands of each course, shape (n_plans, 5, n_times, n_shown)."""
        return self._sum / self._weight

    def error(self) -> str:
        """How well they are known; empty for one batch, whose bands are exact."""
        if self._batches < 2:
            return ""
        mean = self.means()
        spread = np.sqrt(np.maximum(self._squares / self._weight - mean**2, 0) / (self._batches - 1))
        width = mean[:, -1:] - mean[:, :1]
        known = spread / np.where(width > 0, width, np.inf)
        middle, high = np.quantile(known[np.isfinite(known)], [0.5, 0.95])
        return (
            f"bands of courses are means over {self._batches} batches of draws; their standard error is {middle:.1g} of the width of "
            f"the 90 % band in the middle, and below {high:.1g} in 95 of 100 places."
        )


def bands(
    source: Source | Objective,
    quantities: Iterable[str] | Mapping[str, sp.Expr],
    *,
    start: float,
    end: float,
    draws: int = 200,
    seed: int = 0,
    prior: bool = False,
) -> Bands:
    """Simulate the case's own timeline under many draws.

    Parameters
    ----------
    source : Calibration, Posterior or Objective
        Draws come from the Laplace posterior of a calibration, from a sampled posterior, or from the prior of an objective; the
        bands say which.
    quantities : iterable of str, or mapping of str to sympy.Expr
        States and assignments, analytes by their id, or formulas of states, assignments and the case's parameters.
    start, end : float
        First and last day.
    draws : int
        How many.
    seed : int
        Of the draws.
    prior : bool
        Draw from the prior although a posterior is given.

    Returns
    -------
    Bands

    Raises
    ------
    CellsimError
        For names that are neither quantity nor analyte, all at once; for days, draws and seeds that are none; if no draw could be simulated, or the days are
        before the simulation starts.

    Warns
    -----
    ApproximationWarning
        If the draws are known not to stand for the posterior, with what to ask instead.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.likelihood.formulation import objective_of
    >>> seen = bands(objective_of(cs.load_case("sjogren_rfib")), ["D"], start=-10, end=10, draws=8)
    >>> seen.curves["D"].shape[0], seen.kind
    (5, 'prior')
    """
    problems = unusable(counts={"draws": (draws, 1)}, seeds={"seed": seed}, days={"start": start, "end": end})
    if not problems and end - start > LAST_DAY:
        what = f"days {start:g} to {end:g}: every day between is looked at, {LAST_DAY:g} at most."
        problems = [Problem(what=what)]
    if problems:
        raise CellsimError(problems)
    if isinstance(source, Objective):
        objective, kind, thetas = source, "prior", None
    else:
        objective, kind = source.objective, "prior" if prior else "posterior"
        thetas = None if prior else source.draws(draws, seed=seed)
    if thetas is None:
        thetas = np.random.default_rng(seed).standard_normal((draws, len(objective.names)))
    first = objective.case.start
    if start < first or not end > start:
        raise CellsimError(
            f"days {start:g} to {end:g} cannot be shown; the simulation starts on day {first:g}."
        )
    formulas = _formulas(objective, quantities)
    approximation = Approximation("prior") if kind == "prior" else approximation_of(source)
    approximation.warn("bands")
    times = days_of(objective.case.timeline, start, end)
    found, fine, why = _run(objective, formulas, thetas, times, rtol=RTOL)
    if not fine.any():
        raise CellsimError(f"none of {draws} draws could be simulated: {why}")
    known = {each.name: each for each in objective.model.quantities}
    # an analyte has the unit and label of what it reads
    of = {name: known.get(str(formula)) for name, formula in formulas.items()}
    lost = int((~fine).sum())
    return Bands(
        times=times,
        curves={name: quantiles(each[fine].T, QUANTILES) for name, each in found.items()},
        units={name: each.unit if each else "" for name, each in of.items()},
        labels={name: each.label if each else "" for name, each in of.items()},
        kind=kind,
        draws=int(fine.sum()),
        lost=lost,
        approximation=approximation.also(
            f"{lost} of {draws} draws could not be simulated and are left out: {why}" * bool(lost)
        ),
    )


def read_at(
    fit: Calibration, quantities: Iterable[str] | Mapping[str, sp.Expr], days: Sequence[float]
) -> dict[str, Array]:
    """Quantities at the optimum on given days (any order), by name, shape (n_days,)."""
    order = np.argsort(days, kind="stable")
    times = np.asarray(days, float)[order]
    found, _, _ = _run(fit.objective, _formulas(fit.objective, quantities), fit.theta[None, :], times)
    back = np.argsort(order)
    return {name: each[0, back] for name, each in found.items()}


def _formulas(
    objective: Objective, quantities: Iterable[str] | str | Mapping[str, sp.Expr]
) -> dict[str, sp.Expr]:
    """What is asked as formulas; names that are none refused in words, all at once."""
    import sympy as sp

    inside = [each.name for each in objective.model.quantities]
    if isinstance(quantities, Mapping):
        formulas = dict(quantities)
        known = [*inside, *objective.names, *objective.fixed]
        asked = {str(each): f" in {name!r}" for name, one in formulas.items() for each in one.free_symbols}
        asked.pop("time", None)
    else:
        reads = {each.id: each for each in objective.case.analytes}
        names = [quantities] if isinstance(quantities, str) else list(dict.fromkeys(quantities))
        known = [*inside, *reads]
        asked = dict.fromkeys(names, "")
        formulas = {
            name: sp.Symbol(name) if name in inside or name not in reads else prediction_of(reads[name])
            for name in names
        }
    if problems := [
        Problem(
            what=f"{objective.model.name or 'the model'} has no quantity {name!r}{where}.",
            remedy=did_you_mean(name, known),
        )
        for name, where in asked.items()
        if name not in known
    ]:
        raise CellsimError(problems)
    if not formulas:
        raise CellsimError("no quantity was asked for: name a state, an assignment or an analyte.")
    return formulas


def _run(
    objective: Objective,
    formulas: Mapping[str, sp.Expr],
    thetas: Array,
    times: Array,
    *,
    rtol: float | None = None,
) -> tuple[dict[str, Array], NDArray[np.bool_], str]:
    """Each formula, shape (n_draws, n_times); which draws were carried to the end; what the others said."""
    from cellsim.solver.integration import integrate

    asked = asked_model(objective, formulas)
    [doses], model = asked.seen([objective.doses])
    kernels = objective.kernels_of(asked.outputs, model)
    names = kernels.equations.parameters
    pieces, status, why = [], [], ""
    for begin in range(0, len(thetas), _AT_ONCE):
        some = thetas[begin : begin + _AT_ONCE]
        vectors = objective.vector_of(some, names)
        solution = integrate(
            kernels,
            vectors,
            doses,
            times,
            start=objective.case.start,
            rtol=objective.rtol if rtol is None else rtol,
            threads=CORES,
        )
        pieces.append(solution.outputs)
        status.append(solution.status)
        why = why or next((message for message in solution.messages if message), "")
    outputs = np.concatenate(pieces)
    return ({name: outputs[:, :, k] for k, name in enumerate(formulas)}, np.concatenate(status) == 0, why)
