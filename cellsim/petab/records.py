"""What the tables of a PEtab problem say, of either version, one small frozen record per row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cellsim.errors import Problem, equal_fields, hash_fields

__all__ = [
    "Change",
    "Experiment",
    "MeasurementRow",
    "ModelFile",
    "ObservableRow",
    "ParameterRow",
    "Period",
    "ProblemTables",
    "Row",
    "SubProblem",
]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row that knows where it stands: file, and line as an editor counts it."""

    file: str = ""
    row: int | None = None

    def problem(self, what: str, remedy: str = "", *, severity: str = "error") -> Problem:
        """A complaint about this row."""
        return Problem(what=what, remedy=remedy, file=self.file, row=self.row, severity=severity)


@dataclass(frozen=True, kw_only=True)
class ParameterRow(Row):
    """One parameter of the problem.

    Parameters
    ----------
    id : str
    estimate : bool
    nominal : float
        In its own unit, whatever the scale; nan where the table gives none.
    lower, upper : float
        Bounds, which truncate the prior; infinite where the table gives none.
    scale : str
        ``"lin"``, ``"log"`` or ``"log10"``: what an optimiser moves (version 1).
    family : str
        Of the prior, by the names of version 2; empty when the table gives none.
    parameters : tuple of float
        Of the prior, in PEtab's order, of the parameter itself (not of its scale).
    """

    id: str
    estimate: bool
    nominal: float = math.nan
    lower: float = -math.inf
    upper: float = math.inf
    scale: str = "lin"
    family: str = ""
    parameters: tuple[float, ...] = ()

    __eq__ = equal_fields
    __hash__ = hash_fields


@dataclass(frozen=True, kw_only=True)
class ObservableRow(Row):
    """One observable: its formula, and the law of its noise.

    Parameters
    ----------
    id, name, formula, noise : str
    law : str
        ``"normal"`` or ``"laplace"``.
    scale : str
        On which the noise is added: ``"lin"``, ``"log"`` or ``"log10"``.
    placeholders, noise_placeholders : tuple of str
        What each measurement fills in.
    """

    id: str
    formula: str
    noise: str
    name: str = ""
    law: str = "normal"
    scale: str = "lin"
    placeholders: tuple[str, ...] = ()
    noise_placeholders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MeasurementRow(Row):
    """One measured value; `time` is infinite for one of the steady state.

    Parameters
    ----------
    observable, experiment, model : str
    time, value : float
    parameters, noise_parameters : tuple of str
        What fills the placeholders: names of parameters, or numbers as text.
    number : int
        Its place among all measurements of the problem, from 0.
    """

    observable: str
    experiment: str
    time: float
    value: float
    model: str = ""
    parameters: tuple[str, ...] = ()
    noise_parameters: tuple[str, ...] = ()
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Change(Row):
    """A quantity that is set to the value of a formula at the beginning of a period."""

    target: str
    value: str


@dataclass(frozen=True)
class Period:
    """What is changed at `time`, and holds until the next period.

    Parameters
    ----------
    time : float
        Minus infinity for one that lasts until the steady state.
    changes : tuple of Change
    anew : bool
        Whether constants that are not changed go back to what they are without any condition (version 1), or stay as the
        period before left them (version 2).
    """

    time: float
    changes: tuple[Change, ...] = ()
    anew: bool = False


@dataclass(frozen=True)
class Experiment:
    """A sequence of periods, the first of which begins with the model's initial values."""

    id: str
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class ModelFile:
    """Where a model stands, and in which language."""

    id: str
    location: str
    language: str


@dataclass(frozen=True)
class SubProblem:
    """What belongs to one model: its observables, experiments and measurements."""

    model: ModelFile
    observables: Mapping[str, ObservableRow]
    experiments: Mapping[str, Experiment]
    measurements: tuple[MeasurementRow, ...]


@dataclass(frozen=True)
class ProblemTables:
    """A whole problem.

    Attributes
    ----------
    name : str
    version : int
    parameters : tuple of ParameterRow
        Shared by all models.
    parts : tuple of SubProblem
        One for each model.
    mapping : mapping of str to str
        Names of the tables for quantities of models.
    texts : mapping of str to str
        Every file by name.
    problems : tuple of Problem
        Errors and doubts.
    """

    name: str
    version: int
    parameters: tuple[ParameterRow, ...]
    parts: tuple[SubProblem, ...]
    mapping: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
