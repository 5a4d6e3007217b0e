"""``cellsim sweep`` and ``cellsim optimise``: plans compared, and the best under a clinic's rules."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellsim.errors import CellsimError, did_you_mean

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.design.optimum import Optimum
    from cellsim.dosing.schedule import Schedule

__all__ = ["figure_of_sweep", "levels", "optimise_options", "optimised", "sweep_options", "swept"]

_MODELS = (".ant", ".xml", ".sbml")
_MOST_LEVELS = 10_000


def levels(text: str) -> tuple[float, ...]:
    """Numbers from ``7``, ``7,14,28`` or ``4:12:2`` (first, last, step; a step of 1 may be left out).

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.

    Examples
    --------
    >>> levels("7,14"), levels("4:10:3"), levels("4:6")
    ((7.0, 14.0), (4.0, 7.0, 10.0), (4.0, 5.0, 6.0))
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            found = tuple(float(each) for each in text.split(","))
        else:
            first, last, step = (float(each) for each in (*parts, *["1"] * (len(parts) == 2)))
            count = int((last - first) / step + 1e-9) + 1
            if not (step > 0 and 0 < count <= _MOST_LEVELS):
                raise ValueError
            found = tuple(first + k * step for k in range(count))
        if not all(map(math.isfinite, found)):
            raise ValueError
    except (ValueError, OverflowError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a number is needed, several like 7,14,28, or first:last:step like 4:12:2"
        ) from None
    return found


def sweep_options(command: argparse.ArgumentParser) -> None:
    """What only ``cellsim sweep`` takes."""
    command.add_argument(
        "--plans", metavar="FILE", help="table of doses with a column 'plan' that names the schedule"
    )
    command.add_argument(
        "--no-background",
        action="store_true",
        help="plans do without the case's background products (default: every plan keeps them)",
    )
    command.add_argument(
        "--every", type=levels, metavar="DAYS", help="equal doses at this interval; several like 7,14,28"
    )
    command.add_argument(
        "--cells",
        type=levels,
        metavar="N",
        help="of each of these doses, in the product's unit (cells, mg, ...); or several",
    )
    command.add_argument(
        "--doses",
        type=levels,
        metavar="N",
        help="how many, or several, like 4:12; every combination is a plan",
    )
    command.add_argument(
        "--product",
        metavar="NAME",
        help="of which product (default: as given); in --plans, of doses whose row names none",
    )
    command.add_argument(
        "--measure",
        action="append",
        metavar="FORMULA",
        help="what is asked instead of the usual: 'area(x)/peak(x)', 'days_below(x, 1)', 'at(x, 90)'; may be given several times",
    )
    command.add_argument(
        "--parameter",
        action="append",
        metavar="NAME=VALUES",
        help="parameter of the model to set, crossed with the plans: k=0.1,0.2; may be given several times",
    )
    command.add_argument(
        "--design",
        default="grid",
        metavar="NAME",
        help="of --parameter: grid, 'one at a time', sobol or morris (least,greatest of each; needs SALib)",
    )
    command.add_argument(
        "--points", type=int, default=64, metavar="N", help="base points of sobol, trajectories of morris"
    )
    command.add_argument(
        "--strict", action="store_true", help="refuse plans that lie outside what the patient was given"
    )
    command.add_argument(
        "--error",
        type=float,
        metavar="E",
        help="take draws until chances have this Monte Carlo error, 0.01 say",
    )
    command.add_argument(
        "--budget", type=int, metavar="N", help="draws it may take for them (default: 20 times --draws)"
    )


def optimise_options(command: argparse.ArgumentParser) -> None:
    """What only ``cellsim optimise`` takes."""
    command.add_argument(
        "--rules",
        required=True,
        metavar="FILE",
        help="TOML: product, cells, doses, interval; start, loading, loading_interval, weekdays, least_gap, largest_dose, total_cells, "
        "visits, last_day, lead_time, batch_size",
    )
    command.add_argument(
        "--measure", metavar="FORMULA", help="the benefit (default: the case's first outcome)"
    )
    command.add_argument("--better", metavar="WAY", help="higher or lower, of a measure of one's own")
    command.add_argument(
        "--cost", type=float, default=0.0, metavar="U", help="benefit that one cell costs (default: 0)"
    )
    command.add_argument(
        "--eps",
        type=float,
        default=0.0,
        metavar="U",
        help="differences of utility that do not matter (default: 0)",
    )
    command.add_argument(
        "--strict", action="store_true", help="leave out plans that lie outside what the patient was given"
    )
    command.add_argument("--front", metavar="FILE", help="benefit against amount as CSV")


def swept(options: argparse.Namespace, source_of: Callable[[str], Any]) -> Any:
    """The answer of ``cellsim sweep``: of one source, of several averaged, or of parameters.

    Parameters
    ----------
    options : argparse.Namespace
    source_of : callable
        A posterior or a calibration from what the command line names.
    """
    from cellsim.sweeps.sweeps import sweep

    parameters = dict(_parameter(each) for each in options.parameter or ())
    shared: dict[str, Any] = {"measures": options.measure, "draws": options.draws, "seed": options.seed}
    if len(options.source) == 1 and Path(options.source[0]).suffix in _MODELS:
        return _of_model(options, parameters, shared)
    sources = [source_of(name) for name in options.source]
    case = sources[0].case
    plans: dict[str, Schedule] = {"as given": case.schedule} if case.schedule.count else {}
    plans |= _plans(options, case)
    until = _until(options, case, list(plans.values()))
    shared |= {"background": None if options.no_background else "case", "strict": options.strict}
    if parameters:
        if len(sources) > 1:
            raise CellsimError("--parameter takes one source.")
        return sweep(
            sources[0],
            plans,
            until=until,
            parameters=parameters,
            design=options.design,
            points=options.points,
            **shared,
        )
    shared |= {"error": options.error, "budget": options.budget}
    return sweep(sources if len(sources) > 1 else sources[0], plans, until=until, **shared)


def figure_of_sweep(result: Any) -> str:
    """The figure of :mod:`cellsim.plots` that shows an answer of :func:`swept`.

    Raises
    ------
    CellsimError
        Where there is none.
    """
    design = getattr(result, "design", None)
    if design == "one at a time":
        return "tornado"
    several = len(result.parameters) if design == "grid" else 0
    if several > 1:
        return "heat_map"
    if design is None and hasattr(result, "posterior"):
        return "sweep"
    raise CellsimError("there is no figure of this answer; --out FILE has its numbers.")


def _of_model(options: argparse.Namespace, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import load_model
    from cellsim.sweeps.sweeps import sweep

    if not parameters or options.until is None or options.plans:
        raise CellsimError(
            "a model alone is swept with --parameter NAME=VALUES and --until DAY, and doses by --every, --cells, --doses."
        )
    asked = (options.every, options.cells, options.doses)
    plans: Any = {"no doses": Schedule()}
    if any(each is not None for each in asked):
        if options.product is None:
            raise CellsimError("say which state of the model the doses are added to with --product.")
        plans = _grid(options, options.product)
    return sweep(
        load_model(options.source[0]),
        plans,
        until=options.until,
        parameters=parameters,
        design=options.design,
        points=options.points,
        **shared,
    )


def _parameter(text: str) -> tuple[str, tuple[float, ...]]:
    name, _, values = text.partition("=")
    try:
        return name.strip(), levels(values)
    except argparse.ArgumentTypeError as error:
        raise CellsimError(f"--parameter {text}: {error}") from None


def _until(options: argparse.Namespace, case: Case, plans: Sequence[Schedule]) -> float:
    if options.until is not None:
        return float(options.until)
    last_doses = [each.end for plan in plans for each in plan.infusions]
    return max([*(visit.latest for visit in case.visits), *last_doses, 1.0])


def _plans(options: argparse.Namespace, case: Case) -> dict[str, Schedule]:
    """The plans asked for, from a table or from the simple options."""
    from cellsim.predictions.plan_tables import plans_from_table

    found = {}
    if options.plans:
        found = plans_from_table(
            options.plans,
            case,
            product=options.product,
            amount_unit=options.amount_unit,
            time_unit=options.time_unit,
        )
    simple = (options.every, options.cells, options.doses)
    if all(each is None for each in simple) and (options.product is None or options.plans):
        return found
    product = options.product
    if product is None:
        used = {each.product for each in case.schedule.infusions}
        if len(used) != 1:
            raise CellsimError(f"say which product is meant with --product: {', '.join(sorted(used))}.")
        [product] = used
    made = _grid(options, product, products=case.products, day_zero=case.day_zero)
    if len(made) == 1:
        return {**found, f"every {options.every[0]:g} days, {product}": next(iter(made.values()))}
    return {**found, **made}


def _grid(options: argparse.Namespace, product: str, **rest: Any) -> dict[str, Schedule]:
    """Equal doses in every combination asked for."""
    from cellsim.dosing.schedule import Schedule

    simple = {"--every": options.every, "--cells": options.cells, "--doses": options.doses}
    if missing := [name for name, value in simple.items() if value is None]:
        raise CellsimError(
            f"a plan of equal doses needs --every, --cells and --doses; {', '.join(missing)} missing."
        )
    if wrong := [each for each in options.doses if not each.is_integer()]:
        raise CellsimError(f"--doses {wrong[0]:g}: a whole number is needed.")
    counts = [int(each) for each in options.doses]
    return dict(
        Schedule.grid(interval=options.every, cells=options.cells, doses=counts, product=product, **rest)
    )


def optimised(options: argparse.Namespace, source_of: Callable[[str], Any]) -> Optimum:
    """The answer of ``cellsim optimise``; parameters as for :func:`swept`."""
    from cellsim.design.optimisation import optimise

    if options.better not in (None, "higher", "lower"):
        raise CellsimError(f"--better {options.better}: {did_you_mean(options.better, ('higher', 'lower'))}")
    sources = [source_of(name) for name in options.source]
    return optimise(
        sources if len(sources) > 1 else sources[0],
        options.rules,
        until=_until(options, sources[0].case, [sources[0].case.schedule]),
        measure=options.measure,
        better=options.better,
        cost=options.cost,
        eps=options.eps,
        draws=options.draws,
        seed=options.seed,
        strict=options.strict,
    )
