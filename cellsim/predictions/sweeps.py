"""Dosing questions: posterior draws times schedules, with the prior's answer beside the posterior's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cellsim.predictions.sweep_running import Asking, Source, ask

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from cellsim.dosing.schedule import Schedule
    from cellsim.predictions.own_measures import AnyMeasure
    from cellsim.predictions.sweep_result import Sweep

__all__ = ["sweep"]


def sweep(
    source: Source,
    schedules: Mapping[str, Schedule] | Schedule | Iterable[Schedule] | pd.DataFrame | str | PathLike[str],
    *,
    until: float,
    measures: Sequence[AnyMeasure] | Mapping[str, AnyMeasure] | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    error: float | None = None,
    budget: int | None = None,
) -> Sweep:
    """Compare dosing schedules under the uncertainty of a calibration or of a sampled posterior.

    Parameters
    ----------
    source : Calibration, VariationalApproximation or Posterior
        Draws come from its posterior (Laplace, nearest normal, or sampled: the result says which); the same number
        comes from its prior, for comparison.
    schedules : Schedule, mapping of str to Schedule, iterable of Schedule, DataFrame, or path
        Plans from day 0 on; doses before day 0 belong into `history`. A family of ``cs.Schedule.grid`` is a mapping; schedules
        without names are called after what they give; a table has a column ``plan`` beside those of
        ``cs.Schedule.from_table``. Of more than 24 plans courses are recorded once a day.
    until : float
        Last day looked at; doses after it are not given, and a doubt names them.
    measures : sequence or mapping, optional
        By default the usual ones on day `until`. Each is one of :mod:`cellsim.predictions.measures` and
        :mod:`cellsim.predictions.own_measures`; a formula text such as ``"area(x)/peak(x)"`` (see
        :class:`~cellsim.predictions.own_measures.Formula`); or a function of a :class:`cellsim.Trajectory` to a number. A
        mapping gives the last two names.
    draws : int
        How many posterior draws, and how many prior ones.
    seed : int
        Of both.
    history : Schedule, None, or "case"
        What came before day 0: the case's own history by default, nothing when None.
    background : Schedule, None, or "case"
        What every plan keeps from day 0 on, unless it has doses of the same product itself: by default what was given of the
        case's background products (``background`` in ``products.tsv``), nothing when None. A product given beside others
        that a plan leaves out is told as a doubt, except with None.
    strict : bool
        Whether plans that lie outside what the patient was given (dose, gap, total, product, duration, last day) are refused. Otherwise they
        are marked in every table (``extrapolation``).
    error : float, optional
        Monte Carlo standard error that every chance shall have, 0.01 say, the chance of one plan to beat another among them (of up to 500
        pairs): more draws are taken until they do.
    budget : int, optional
        Draws that may be taken for it; 20 times `draws` by default.

    Returns
    -------
    Sweep

    Raises
    ------
    ScheduleError
        All problems at once: plans with doses before day 0, a history with doses from day 0 on, two plans of one name,
        unknown products, days that are not looked at, counts and seeds that are none; with `strict`, plans outside what was given.
    CellsimError
        If `source` is neither calibration, nor normal approximation, nor chains, or no draw could be simulated.

    Warns
    -----
    ApproximationWarning
        If the draws are known not to stand for the posterior (Pareto k above 0.7, chains that do not agree), with what
        to ask instead.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> fit = cs.calibrate(case, starts=1)
    >>> result = cs.sweep(fit, {"as given": case.schedule}, until=365, draws=20)
    >>> bool((result.table()["cells"] == 7.25e8).all())
    True
    """
    asking = Asking(until, measures, draws, seed, history, background, strict, error, budget)
    return ask(source, schedules, asking)
