"""What the tables of a case hold, one small frozen record per kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cellsim.errors import Problem

__all__ = [
    "STATUSES",
    "TIMINGS",
    "Analyte",
    "Censored",
    "Grade",
    "Measurement",
    "Placed",
    "PrintedCell",
    "PriorRow",
    "Variant",
    "Visit",
    "problem_at",
    "variant_names",
]

STATUSES = {
    "confirmed": "printed, and repeated in the running text",
    "printed": "as read from the printed table, not repeated elsewhere",
    "ocr_corrected": "read wrongly by the machine and corrected, for the reason given",
    "censored": "printed as below (or above) a limit",
    "derived": "computed from other cells of the table",
    "duplicate": "the same quantity printed a second time",
    "missing": "not measured, or not printed",
}
"""Where a printed cell stands between sure and absent. The first three are scored as numbers."""

TIMINGS = ("predose", "postdose")
"""On which side of a dose of its own day a sample was drawn."""

SCORED = ("confirmed", "printed", "ocr_corrected")


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A row that knows where it stands: file, and line as an editor counts it."""

    file: str = ""
    row: int | None = None


@dataclass(frozen=True, kw_only=True)
class Analyte(Placed):
    """One laboratory quantity, and how it is predicted and scored.

    Parameters
    ----------
    id, observable : str
        Its short name, and that of its row in the observable table.
    name, unit, panel : str
        For tables and figures; `unit` is that of every value and limit.
    lower, upper : float or None
        Reference limits; None where there is none.
    quantity : str
        The model's assignment that predicts the printed value without what belongs to one sample; when empty, the
        formula itself is taken, if it has no placeholders.
    baseline : str
        The parameter that is its level before the treatment, where its prior is centred on the reference limits: it moves with them.
    formula, noise : str
        PEtab's formulas: the median (or mean), and the spread.
    distribution : str
        ``normal``, ``log-normal``, ``laplace`` or ``log-laplace``.
    placeholders, noise_placeholders : tuple of str
        What each measurement fills in.
    reference_doubt : str
        Why the reference limits may be wrong.
    """

    id: str
    observable: str
    name: str
    unit: str
    panel: str = ""
    lower: float | None = None
    upper: float | None = None
    quantity: str = ""
    baseline: str = ""
    formula: str = ""
    noise: str = ""
    distribution: str = "normal"
    placeholders: tuple[str, ...] = ()
    noise_placeholders: tuple[str, ...] = ()
    reference_doubt: str = ""

    def in_range(self, value: float) -> bool:
        """Whether `value` (in the analyte's unit) lies within its reference limits, both included.

        Examples
        --------
        >>> Analyte(id="ESR", observable="obs_ESR", name="ESR", unit="mm/h", lower=0, upper=20).in_range(25)
        False
        """
        return (self.lower is None or value >= self.lower) and (self.upper is None or value <= self.upper)

    @property
    def foreseeable(self) -> bool:
        """Whether it is predicted where no row fills its placeholders: it names a quantity, or it has none to fill."""
        return bool(self.quantity or not self.placeholders)

    @property
    def range_text(self) -> str:
        """The reference range as a person writes it, without unit.

        Examples
        --------
        >>> Analyte(id="IL6", observable="obs_IL6", name="IL-6", unit="pg/mL", upper=9.1).range_text
        '< 9.1'
        """
        if self.lower is None and self.upper is None:
            return ""
        if self.lower is None:
            return f"< {self.upper:g}"
        return f"> {self.lower:g}" if self.upper is None else f"{self.lower:g} to {self.upper:g}"


@dataclass(frozen=True, kw_only=True)
class Visit(Placed):
    """One sampling occasion; days from day 0.

    Parameters
    ----------
    id, name : str
        ``before``, ``before treatment``.
    nominal, earliest, latest : float
        The day assumed, and the window it may lie in.
    calendar, source : str
        What was printed about it, and where the window comes from.
    timing : str
        ``"predose"`` when the sample was drawn before the dose of its day: it is read as the limit from the left. Read
        after the dose when ``"postdose"`` or empty; left empty, a dose of that day that a row would notice is a doubt.
    """

    id: str
    name: str
    nominal: float
    earliest: float
    latest: float
    calendar: str = ""
    source: str = ""
    timing: str = ""


@dataclass(frozen=True, kw_only=True)
class Measurement(Placed):
    """One scored row of the standard part.

    Parameters
    ----------
    observable, analyte, experiment, visit : str
        What was measured, and when.
    day, value : float
        Nominal day; value in `unit`.
    unit : str
    parameters, noise_parameters : tuple of str
        What fills the observable's placeholders: names of parameters, or numbers as text.
    replicate : str
        Which of several assays with one result.
    status, source, doubt : str
        See :data:`STATUSES`.
    """

    observable: str
    analyte: str
    experiment: str
    visit: str
    day: float
    value: float
    unit: str
    parameters: tuple[str, ...] = ()
    noise_parameters: tuple[str, ...] = ()
    replicate: str = ""
    status: str = ""
    source: str = ""
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class Censored(Placed):
    """A value known only to lie below (``left``) or above (``right``) a limit; `limit` in `unit`."""

    observable: str
    analyte: str
    visit: str
    day: float
    limit: float
    unit: str
    censoring: str = "left"
    parameters: tuple[str, ...] = ()
    replicate: str = ""
    scored: bool = True
    text: str = ""
    status: str = ""
    source: str = ""
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class Grade(Placed):
    """An ordinal finding known to lie between two grades, both included.

    Parameters
    ----------
    observable : str
        What was graded, such as ``bleeding``.
    day, earliest, latest : float
        The day assumed and the days it may have been.
    lower, upper : int
        Lowest and highest grade that fit the words.
    quantity : str
        The model's quantity behind the grade; empty when nothing predicts it.
    scale : str
        The parameter that says how far the logarithm of `quantity` scatters as it is graded.
    cuts : tuple of str
        Where one grade ends and the next begins, on the logarithm of `quantity`: parameters, or formulas of them, from
        the lowest on; one less than there are grades.
    scored : bool
        Whether the likelihood counts it.
    calendar, text : str
        Date and words as printed.
    """

    observable: str
    day: float
    earliest: float
    latest: float
    lower: int
    upper: int
    quantity: str = ""
    scale: str = ""
    cuts: tuple[str, ...] = ()
    scored: bool = False
    calendar: str = ""
    text: str = ""
    status: str = ""
    source: str = ""
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class PrintedCell(Placed):
    """One cell of the source's own table.

    Parameters
    ----------
    analyte, visit, unit, panel : str
        What the cell tells of.
    value : float or None
        In `unit`; None when missing.
    lower, upper : float or None
        Reference limits as understood.
    printed, printed_analyte, printed_unit, printed_reference : str
        The text as read from the page.
    status, doubt, source : str
        See :data:`STATUSES`; what may be wrong; where it stands in the source.
    """

    analyte: str
    visit: str
    value: float | None
    unit: str
    lower: float | None = None
    upper: float | None = None
    panel: str = ""
    printed: str = ""
    printed_analyte: str = ""
    printed_unit: str = ""
    printed_reference: str = ""
    status: str = ""
    doubt: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class PriorRow(Placed):
    """What is held to be known about one parameter before the data.

    Parameters
    ----------
    id, unit, meaning : str
        Its name, unit and meaning.
    estimate : bool
        False: `nominal` is its value, except where a posterior is sampled and it has a prior.
    nominal : float
        Value where an estimation starts, in `unit`.
    family : str
        One of PEtab's; empty when there is no prior. A parameter that is not estimated may have one (the
        spread of a hierarchy, whose most probable value would be zero): fits hold it, sampling frees it.
    parameters : tuple of float
        Of the family, in PEtab's order.
    lower, upper : float
        Bounds, which truncate the prior.
    mark : str
        ``V`` verified, ``M`` general knowledge, ``A`` assumption of ours.
    source, group : str
        Where it comes from; which part of the model it belongs to.
    standard : bool
        Whether it stands in the PEtab problem (True) or in ``parameters_extended.tsv``.
    """

    id: str
    estimate: bool
    nominal: float
    family: str = ""
    parameters: tuple[float, ...] = ()
    lower: float = float("-inf")
    upper: float = float("inf")
    unit: str = ""
    mark: str = ""
    source: str = ""
    meaning: str = ""
    group: str = ""
    standard: bool = True


@dataclass(frozen=True, kw_only=True)
class Variant(Placed):
    """One of the competing mechanisms: which parameters it fixes, and which it leaves to be estimated.

    Parameters
    ----------
    id, name, meaning : str
        ``null``; a short name; a sentence.
    fixed : tuple of (str, float)
        Parameter and value.
    estimated : tuple of str
        Parameters it names as estimated.
    default : bool
        Whether it is the one used when none is named.
    """

    id: str
    fixed: tuple[tuple[str, float], ...] = field(default=())
    estimated: tuple[str, ...] = ()
    name: str = ""
    meaning: str = ""
    default: bool = False


def variant_names(variants: Iterable[Variant]) -> dict[str, str]:
    """What each variant is called in a sentence: its name; with its id where another has that name too, the id where it has none.

    Examples
    --------
    >>> variant_names([Variant(id="V0", name="null"), Variant(id="V1", name="slow"), Variant(id="V2", name="slow"), Variant(id="V3")])
    {'V0': 'null', 'V1': 'slow (V1)', 'V2': 'slow (V2)', 'V3': 'V3'}
    """
    known = list(variants)
    called = [each.name for each in known]
    return {
        each.id: each.id
        if not each.name
        else f"{each.name} ({each.id})"
        if called.count(each.name) > 1
        else each.name
        for each in known
    }


def problem_at(
    where: object, what: str, remedy: str = "", severity: str = "error", *, column: str = ""
) -> Problem:
    """A complaint about a record that knows its file and row, and the column of it."""
    file, row = getattr(where, "file", ""), getattr(where, "row", None)
    return Problem(what=what, remedy=remedy, file=file, row=row, column=column, severity=severity)
