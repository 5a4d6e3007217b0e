"""``cellsim plan``: which visit still to come tells most."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError

if TYPE_CHECKING:
    from cellsim.design.visit_table import VisitPlan

__all__ = ["days_of", "planned"]


def planned(options: argparse.Namespace, named: Sequence[str], source_of: Callable[[str], Any]) -> VisitPlan:
    """The answer to what was asked on the command line.

    Parameters
    ----------
    options : argparse.Namespace
    named : sequence of str
        The sources as they were typed.
    source_of : callable
        A posterior or a calibration from what the command line names.
    """
    from cellsim.design.next_visit import plan_visits

    sources: dict[str, Any] = {}
    for name in named:
        made = source_of(name)
        if made.variant in sources:
            raise CellsimError(
                f"{name} is of variant {made.variant!r}, as is one before it; give each variant once."
            )
        sources[made.variant] = made
    costs = dict(_cost(each) for each in options.cost or ())
    return plan_visits(
        sources if len(sources) > 1 else next(iter(sources.values())),
        days_of(options.days) if options.days else [],
        panels=options.panel,
        stored=options.stored or (),
        question=tuple(options.question or ("plan",)),
        parameter=options.parameter,
        prediction=None if options.prediction is None else _prediction(options.prediction),
        outcome=options.outcome,
        visits=options.visits,
        day_error=options.day_error,
        costs=costs or None,
        draws=options.draws,
        seed=options.seed,
    )


def days_of(text: str) -> list[float]:
    """Days from ``280,308,364`` or ``280:364:14`` (first, last, step).

    Raises
    ------
    CellsimError
        For anything else.

    Examples
    --------
    >>> days_of("280,308.5"), days_of("280:308:14")
    ([280.0, 308.5], [280.0, 294.0, 308.0])
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            return [float(each) for each in text.split(",")]
        first, last, step = (float(each) for each in parts)
    except ValueError:
        raise CellsimError(
            f"--days {text}: days are needed, like 280,308,364, or first, last and step like 280:364:14."
        ) from None
    if not (step > 0 and np.isfinite([first, last]).all() and last >= first):
        raise CellsimError(
            f"--days {text}: the step must be above zero, and the last day not before the first."
        )
    return [float(day) for day in np.arange(first, last + 1e-9 * step, step)]


def _prediction(text: str) -> tuple[str, float]:
    name, _, day = text.partition("@")
    try:
        return name, float(day)
    except ValueError:
        raise CellsimError(
            f"--prediction {text}: an analyte and its day are needed, like ANALYTE@400."
        ) from None


def _cost(text: str) -> tuple[str | tuple[str, str], float]:
    name, _, cost = text.rpartition("=")
    panel, stored, sample = name.partition("@")
    try:
        return (sample, panel) if stored else name, float(cost)
    except ValueError:
        raise CellsimError(
            f"--cost {text}: a panel and its cost are needed, like blood=40, or blood@VISIT=15 for a stored sample."
        ) from None
