"""A case from the sheets of a laboratory and of a ward: values, doses, and a small model to start from.

Every guess is written into the tables as a doubt of the row it concerns, so that ``cellsim check`` repeats it until
somebody has looked. Nothing is left out without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.case.case import Case, load_case
from cellsim.case.new_tables import NewTables, identifiers
from cellsim.dates import as_date
from cellsim.dosing.body import Body
from cellsim.errors import CaseError, Problem, ScheduleError
from cellsim.files import write_whole
from cellsim.model.model import Model
from cellsim.spreadsheets.doses import DoseSheet, dose_sheet
from cellsim.spreadsheets.event_table import read_event_table
from cellsim.spreadsheets.lab_values import LabTable, lab_table
from cellsim.spreadsheets.sheet import sheet_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["new_case"]

_SETTLED = 0.02  # of what the doses bring: how far from the steady state they may have stopped
_NOISE = 1e-6  # of the same: what is no change from one cycle to the next


def new_case(
    values: str | PathLike[str] | pd.DataFrame | None = None,
    doses: str | PathLike[str] | pd.DataFrame | None = None,
    *,
    table: str | PathLike[str] | pd.DataFrame | Iterable[Mapping[str, Any]] | None = None,
    amount_unit: str | Mapping[str, str] | None = None,
    time_unit: str = "day",
    compartments: Mapping[Any, str] | None = None,
    analytes: Mapping[Any, str] | None = None,
    product: str | None = None,
    ignore: Sequence[str] = (),
    absorption: Mapping[str, Mapping[str, float]] | None = None,
    run_in: int = 0,
    weight: float | None = None,
    height: float | None = None,
    model: Model | str | Path | None = None,
    folder: str | PathLike[str] | None = None,
    name: str = "",
    day_zero: date | str | None = None,
) -> Case:
    """Make a case from a sheet of laboratory values and one of doses, or from one table of both.

    Parameters
    ----------
    values : path or DataFrame
        Excel, CSV or a data frame in one of the shapes of :func:`cellsim.spreadsheets.lab_values.lab_table`;
        ``FILE.xlsx::SHEET`` names a sheet.
    doses : path or DataFrame, optional
        Columns date or day, product, and cells or dose with its unit (``dose (mg)``, or a column unit); duration with
        its unit (``duration (h)``).
    table : path, DataFrame or rows of name and value, optional
        Values and doses of one patient as NONMEM and Monolix keep them, in place of the two sheets: ``TIME`` (or day, date),
        ``AMT``, ``RATE``, ``II``, ``ADDL``, ``CMT``, ``EVID`` and what else :meth:`cellsim.Schedule.from_table` reads for doses;
        ``DV``, ``DVID`` (``CMT`` where there is none), ``MDV``, ``CENS`` (1: below DV, -1: above DV) and ``LIMIT`` for
        observations. Late doses (``ALAG``) and shares of them (``F``) are written down as they arrive. A steady state (``SS``) is
        written out as the `run_in` doses that led there; a reset (``EVID`` 3, 4) is refused: a case is one patient from
        the first day on.
    amount_unit : str or mapping of str to str, optional
        Of AMT, for all products or by product: ``"mg"``, ``{"graft": "1e6 cells", "drug": "mg"}``. Never guessed.
    time_unit : {"day", "hour"}
        Of TIME, II, DUR, and in RATE.
    compartments, analytes : mapping, optional
        Product of each number in CMT, ``{1: "drug"}``; analyte of each number in DVID with its unit, ``{1: "urea (mmol/L)"}``.
    product : str, optional
        Of doses that name none.
    ignore : sequence of str
        Columns of `table` to leave aside, such as covariates.
    absorption : mapping of str to mapping, optional
        Lag, bioavailability, rate and duration that a model says of a product, as for :meth:`cellsim.Schedule.from_table`.
    run_in : int
        How many doses before it stand for a steady state; 0 refuses one. Enough are several half-lives of what is slowest: where
        the model's own values have not settled by then, ``check()`` says so.
    weight, height : float, optional
        Of the patient, in kg and cm: for doses per kg and per m^2 (surface by Mosteller), and kept in ``problem.yaml``.
    model : Model, name or path, optional
        The mechanism, with a quantity of the name of each analyte, and a state of the name of each product. By
        default a small one is written to start from: products are eliminated at first order and drive one response,
        which every analyte follows to its own degree, beside a drift of its own.
    folder : path, optional
        Where the case is written; it must be empty or not exist. Without it the case is only returned.
    name : str
        Of the case; the folder's by default.
    day_zero : datetime.date or str, optional
        The date of day 0; by default that of the first dose, else of the first visit.

    Returns
    -------
    Case
        What was guessed is in its ``check()``, one doubt for each guess.

    Raises
    ------
    CaseError
        Every cell that cannot be read, analytes the model does not know, products without a state, a folder in use.

    Examples
    --------
    >>> import pandas as pd
    >>> lab = pd.DataFrame({"day": [0, 28, 84], "CRP (mg/L)": [12.0, 6.5, 4.1], "IgG (g/L)": [19.0, 17.5, 16.0]})
    >>> given = pd.DataFrame({"day": [0, 14], "product": ["rituximab"] * 2, "dose (mg)": [1000, 1000]})
    >>> new_case(lab, given, name="mine")
    <Case mine: 2 analytes, 3 visits, 6 scored values, 2 doses>
    """
    target = None if folder is None else Path(folder)
    if target is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CaseError(
            f"{target} exists and is not empty; name a new folder, so that nothing is overwritten."
        )
    if (table is None) == (values is None) or (table is not None and doses is not None):
        raise CaseError("new_case takes a sheet of values (and one of doses), or one table of both.")
    try:
        body = Body(weight, height)
    except ScheduleError as error:
        raise CaseError(error.problems) from None
    if table is not None:
        zero = None if day_zero is None else _as_date(day_zero)
        read, given = read_event_table(
            table, amount_unit=amount_unit, time_unit=time_unit, compartments=compartments, analytes=analytes,
            product=product, day_zero=zero, ignore=ignore, absorption=absorption, run_in=run_in,
        )  # fmt: skip
    else:
        zero = None
        read, given = _sheets(values, doses, body)
    zero = zero or _zero(read, given, day_zero)
    title = identifiers([name or (target.name if target is not None else "case")])[0]
    texts = NewTables(read, given, model, title, zero).texts()
    if said := [
        f"{name}: {size:g} {unit}"
        for name, size, unit in (("weight", weight, "kg"), ("height", height, "cm"))
        if size is not None
    ]:
        patient = ", ".join(["version: 1.0.0", "required: false", *said])
        texts["problem.yaml"] += f"extensions: {{patient: {{{patient}}}}}\n"
    case = load_case(texts)
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            write_whole(target / file, text)
        case = load_case(target)
    # no table of the case holds what was guessed about the sheets themselves
    told = (*read.doubts, *(given.doubts if given is not None else ()), *_other_zero(read, zero))
    if given is not None:
        told += (*_not_settled(case, given),)
    return replace(case, _noted=(*case._noted, *told))


def _sheets(values: Any, doses: Any, body: Body) -> tuple[LabTable, DoseSheet | None]:
    """Both sheets, or everything that is wrong with them."""
    problems: list[Problem] = []
    table: LabTable | None = None
    given: DoseSheet | None = None
    try:
        table = lab_table(sheet_of(values))
    except CaseError as error:
        problems += error.problems
    if doses is not None:
        try:
            given = dose_sheet(sheet_of(doses), body)
        except CaseError as error:
            problems += error.problems
    if problems or table is None:
        raise CaseError(problems)
    return table, given


def _as_date(said: date | str) -> date:
    try:
        return as_date(said)
    except ValueError as error:
        raise CaseError(f"day_zero: {error}.") from None


def _not_settled(case: Case, doses: DoseSheet) -> Iterator[Problem]:
    """A doubt of each steady state that its doses have not led to, with the values that the model has."""
    if not doses.steady:
        return
    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import load_model
    from cellsim.solver.simulation import simulate

    model = load_model(case.model)
    states = [each.name for each in model.states]
    for day, interval, row in doses.steady:
        before = [float(np.nextafter(day - k * interval, -np.inf)) for k in (2, 1, 0)]
        # what moves without doses too is no matter of theirs
        given, none = (
            simulate(model, plan, before, start=case.start, outputs=states, rtol=0.1 * _NOISE)
            for plan in (case.timeline, Schedule())
        )
        for name in states:
            first, last = np.abs(np.diff(given[name] - none[name]))
            size = abs(given[name][-1] - none[name][-1])
            if last <= _NOISE * size:
                continue
            # each cycle brings the same share of what the one before it brought
            if first <= last or last * last > _SETTLED * size * (first - last):
                yield Problem(
                    what=f"the doses before day {day:g} have not led to a steady state: {name} still moves from one dose to the "
                    "next, with the values of the model.",
                    remedy="Write more of them: run_in (--run-in).",
                    file=doses.file,
                    row=row,
                    severity="doubt",
                )
                break


def _other_zero(table: LabTable, zero: date | None) -> Iterator[Problem]:
    """A doubt of the days of a sheet that are counted from another date than those of the case."""
    for when, day, cell in table.dated_days[:1] if zero is not None else ():
        theirs = when.date() - timedelta(days=round(day))
        if theirs != zero:
            yield Problem(
                what=f"{cell.place}: day {day:g} stands beside {when.date()}, so day 0 is {theirs} in this sheet; here it is {zero}.",
                remedy=f"Give --day-zero {theirs} (day_zero) to count days as the sheet does.",
                file=table.file,
                row=cell.row,
                severity="doubt",
            )


def _zero(table: LabTable, doses: DoseSheet | None, said: date | str | None) -> date | None:
    """The date of day 0: as said, of the first dose, of the first visit; None where nothing is dated."""
    if said is not None:
        return _as_date(said)
    dated = [each.when.date() for each in doses.doses if isinstance(each.when, datetime)] if doses else []
    dated = dated or [each.when.date() for each in table.visits if isinstance(each.when, datetime)]
    whens = [each.when for each in table.visits] + [each.when for each in (doses.doses if doses else ())]
    counted = any(isinstance(each, float) for each in whens)
    if dated and counted:
        day = next(each for each in table.visits if each.when is not None)
        raise CaseError(
            f"some doses or visits are given by date and others by day ({table.file}, {day.cell.place} is "
            f"{day.cell.text}), and nothing says which date is day 0. Give day_zero (--day-zero), or write dates everywhere."
        )
    return min(dated) if dated else None
