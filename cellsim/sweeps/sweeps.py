"""Dosing questions: posterior draws times schedules, with the prior's answer beside the posterior's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import fspath
from typing import TYPE_CHECKING, Any, overload

from cellsim.errors import CellsimError
from cellsim.model.model import Model
from cellsim.predictions.predictor import Source
from cellsim.sweeps.averaged_sweep import AveragedSweep, weighting_of
from cellsim.sweeps.parameter_sweeps import ask_parameters
from cellsim.sweeps.stored_sweep import ask_stored
from cellsim.sweeps.sweep_question import Asking
from cellsim.sweeps.sweep_running import ask

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from cellsim.dosing.schedule import Schedule
    from cellsim.predictions.own_measures import AnyMeasure
    from cellsim.predictions.reactions import Reaction
    from cellsim.sweeps.parameter_tables import ParameterSweep
    from cellsim.sweeps.sweep_result import Sweep

    Schedules = (
        Mapping[str, Schedule | Reaction]
        | Schedule
        | Reaction
        | Iterable[Schedule]
        | pd.DataFrame
        | str
        | PathLike[str]
    )
    Measures = Sequence[AnyMeasure] | Mapping[str, AnyMeasure]
    Levels = Mapping[str, float | Sequence[float]]

__all__ = ["sweep"]


@overload
def sweep(
    source: Source,
    schedules: Schedules,
    *,
    until: float,
    parameters: None = None,
    measures: Measures | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    error: float | None = None,
    budget: int | None = None,
    store: str | PathLike[str] | None = None,
    client: Any = None,
) -> Sweep: ...
@overload
def sweep(
    source: Sequence[Any],
    schedules: Schedules,
    *,
    until: float,
    parameters: None = None,
    measures: Measures | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    error: float | None = None,
    budget: int | None = None,
    store: str | PathLike[str] | None = None,
    client: Any = None,
) -> AveragedSweep: ...
@overload
def sweep(
    source: Source | Model,
    schedules: Schedules,
    *,
    until: float,
    parameters: Levels,
    design: str = "grid",
    points: int = 64,
    measures: Measures | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    error: float | None = None,
    budget: int | None = None,
    store: str | PathLike[str] | None = None,
    client: Any = None,
) -> ParameterSweep: ...
def sweep(
    source: Any,
    schedules: Schedules,
    *,
    until: float,
    parameters: Levels | None = None,
    design: str = "grid",
    points: int = 64,
    measures: Measures | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
    strict: bool = False,
    error: float | None = None,
    budget: int | None = None,
    store: str | PathLike[str] | None = None,
    client: Any = None,
) -> Sweep | AveragedSweep | ParameterSweep:
    """Compare dosing schedules under the uncertainty of a calibration or of a sampled posterior.

    Parameters
    ----------
    source : Calibration or Posterior
        Draws come from its posterior (Laplace, or sampled: the result says which); the same number
        comes from its prior, for comparison. Several mechanisms are a list of these, weighted by their evidence, or of pairs
        (posterior, weight): the answer is then averaged, each mechanism beside the average. With `parameters`, a
        :class:`cellsim.Model` alone too.
    schedules : Schedule, mapping of str to Schedule, iterable of Schedule, DataFrame, or path
        Plans from day 0 on, or :class:`cellsim.Reaction`, which a visit decides; doses before day 0 belong into `history`. A family of ``cs.Schedule.grid`` is a mapping; schedules
        without names are called after what they give; a table has a column ``plan`` beside those of
        ``cs.Schedule.from_table``. Of more than 24 plans courses are recorded once a day.
    until : float
        Last day looked at; doses after it are not given, and a doubt names them.
    parameters : mapping of str to float or sequence of float, optional
        Values of model parameters, crossed with the schedules. The others keep what each draw says: this is the model changed, and no
        posterior given the value.
    design : {"grid", "one at a time", "sobol", "morris"}
        Every combination of the values; one parameter at a time beside the draws' own values (a tornado); or the points of a sensitivity
        analysis by SALib, for which each parameter has its least and its greatest value.
    points : int
        Of the last two: base points of Sobol's scheme, a power of two, or trajectories of Morris.
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

    store : path, optional
        A folder in which the sweep is made block by block (a Zarr store; extra ``store``). Whatever stops it, asked again it goes on with what is
        missing; another question is refused there. Draws are simulated in blocks of 64, so that no number depends on who makes them.
    client : dask.distributed.Client, optional
        With `store`: whose workers make the blocks (extra ``cluster``); they must see the folder.

    Returns
    -------
    Sweep, AveragedSweep or ParameterSweep
        Of one mechanism, of several, and of parameters. Draws are simulated to a relative tolerance of 1e-3, so that numbers are off by
        less than a thousandth of their scatter over draws; 400 draws leave a median uncertain by a sixteenth of it.

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
    if isinstance(schedules, Iterable) and not hasattr(schedules, "__len__"):
        schedules = list(schedules)
    if client is not None and store is None:
        raise CellsimError("workers of a cluster write what they make into a folder: give store= too.")
    if store is not None and (parameters is not None or isinstance(source, list | tuple)):
        raise CellsimError(
            "a sweep on disk is of one mechanism and of schedules alone; give each mechanism a folder."
        )
    if isinstance(source, list | tuple):
        if parameters is not None:
            raise CellsimError("parameters are crossed with the schedules of one mechanism at a time.")
        weighting = weighting_of(source)
        return AveragedSweep(
            {name: ask(each, schedules, asking) for name, each in weighting.sources.items()}, weighting
        )
    if parameters is not None:
        return ask_parameters(source, schedules, asking, parameters, design, points)
    if isinstance(source, Model):
        raise CellsimError(
            "a model alone has no draws: give parameters={'k': [...]} to sweep, or simulate it (cs.simulate)."
        )
    if store is not None:
        return ask_stored(source, schedules, asking, fspath(store), client=client)
    return ask(source, schedules, asking)
