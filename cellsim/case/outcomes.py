"""What a case is asked: outcomes of schedules, roles of parameters, quantities worth a figure, questions, and its design.

Each stands in a table of its own that may be missing; whatever is asked of it is then left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellsim.case.records import Placed
from cellsim.errors import did_you_mean
from cellsim.petab.tables import REMARKS, TableReader, TableRow, kept, listed

if TYPE_CHECKING:
    from cellsim.case.records import Analyte, PriorRow
    from cellsim.dosing.schedule import Product

__all__ = [
    "ASKED_TABLES",
    "FIGURES",
    "MEASURES",
    "QUESTIONS",
    "ROLES",
    "Asking",
    "GroupRoles",
    "Outcome",
    "ReportQuestion",
    "ShownQuantity",
    "read_asking",
]

MEASURES = ("days below", "peak load", "all in range", "in range", "area", "value")
"""What an outcome is of its quantity; a panel is the quantity of the second and the third."""

ROLES = ("mechanism", "persistence", "rejection", "sample effect")
"""What the parameters of a group say: how the treatment acts, how long it lasts, what removes it, or how one sample is off.

Groups of the first three are the mechanism: they are profiled, drawn and counted as such.
"""

QUESTIONS = ("products", "after dose", "removal")
"""One product against another on the same days; whether a sample shows what follows a dose at once; whether removal is needed."""

FIGURES = ("course", "amount")
"""Figures of quantities that no row measures: courses over the timeline, and what is left of each product."""

OUTCOMES, GROUPS, SHOWN, ASKED, STUDY = (
    "outcomes.tsv",
    "groups.tsv",
    "quantities.tsv",
    "questions.tsv",
    "study.tsv",
)
ASKED_TABLES = {
    OUTCOMES: "measures by which plans are ranked, beside the values of analytes",
    GROUPS: "what was learned of the mechanism apart from everything else, and the width of sample effects altered",
    SHOWN: "figures of what no row measures",
    ASKED: "one product against another, samples just after a dose, and whether removal is needed",
    STUDY: "the patient and the design in words, and the check that nothing that was given is lost",
}
"""Tables that may be missing, and what a report then does without."""

_BETTER = ("higher", "lower")
_STUDY_FIELDS = ("patient", "design", "ledger")
_LEVELLED = ("days below",)
_OF_PANEL = ("peak load", "all in range")
_COLUMNS = {
    OUTCOMES: (("outcomeId", "measure", "quantity"), ("level", "better", "label", "unit", *REMARKS)),
    GROUPS: (("group", "role"), REMARKS),
    SHOWN: (("quantityId", "figure"), ("product", "switch", "label", *REMARKS)),
    ASKED: (
        ("questionId", "kind"),
        ("first", "second", "quantity", "better", "within", "claim", "above", "below", "title", "brief", *REMARKS),
    ),
    STUDY: (("field", "value"), REMARKS),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome(Placed):
    """What a schedule is judged by; the first of a case is its main one.

    Parameters
    ----------
    id : str
    measure : str
        One of :data:`MEASURES`.
    quantity : str
        A quantity of the model, an analyte, or a panel.
    level : float or None
        Of days below it, in the unit of the quantity.
    better : str
        ``"higher"``, ``"lower"``, or empty where neither is.
    label, unit : str
        For tables, figures and sentences.
    """

    id: str
    measure: str
    quantity: str
    level: float | None = None
    better: str = ""
    label: str = ""
    unit: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Measure and quantity as a sweep's table has them.

        Examples
        --------
        >>> Outcome(id="low", measure="days below", quantity="x", level=0.5).key
        ('days below 0.5', 'x')
        """
        if self.measure == "days below":
            return f"days below {self.level:g}", self.quantity
        if self.measure == "peak load":
            return "peak", f"load of {self.quantity}"
        return self.measure, self.quantity

    @property
    def course(self) -> str:
        """What of it a sweep records over time; empty when that is nothing."""
        if self.measure == "peak load":
            return f"load of {self.quantity}"
        return self.quantity if self.measure in ("days below", "value", "in range") else ""

    @property
    def chance(self) -> bool:
        """Whether it is a probability."""
        return self.measure in ("in range", "all in range")

    def text(self, value: float) -> str:
        """A value with its unit, whole where it is of days."""
        number = f"{value:.0f}" if self.measure == "days below" else f"{value:.3g}"
        return f"{number} {self.unit}".rstrip()


@dataclass(frozen=True, kw_only=True)
class GroupRoles(Placed):
    """What the parameters of one group say.

    Parameters
    ----------
    group : str
        As in the parameter tables.
    roles : tuple of str
        Some of :data:`ROLES`.
    """

    group: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownQuantity(Placed):
    """A quantity of the model that a figure shows though no row measures it.

    Parameters
    ----------
    quantity : str
    figure : str
        One of :data:`FIGURES`.
    product : str
        Whose it is; empty where it is of all.
    switch : str
        A parameter; where a variant holds it at zero the quantity is not shown.
    label : str
        What stands on its axis, unit included.
    """

    quantity: str
    figure: str
    product: str = ""
    switch: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportQuestion(Placed):
    """A question that the conclusions and the report of a case ask, in its own words.

    Parameters
    ----------
    id, kind : str
        Its name; one of :data:`QUESTIONS`.
    first, second : str
        The products compared.
    quantity, better : str
        What decides between them: its area from day 0 on, and whether a ``"higher"`` or a ``"lower"`` one is better.
    within : float or None
        Days after a dose.
    claim : str
        What may be true, as part of a sentence ("the first lasts longer").
    above, below : str
        What is concluded when it is, and when it is not.
    title, brief : str
        Of the section of a report, and in its contents.
    """

    id: str
    kind: str
    first: str = ""
    second: str = ""
    quantity: str = ""
    better: str = "lower"
    within: float | None = None
    claim: str = ""
    above: str = ""
    below: str = ""
    title: str = ""
    brief: str = ""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Everything that these tables say.

    Parameters
    ----------
    outcomes : tuple of Outcome
        The first is the main one.
    roles : tuple of GroupRoles
    shown : tuple of ShownQuantity
    questions : tuple of ReportQuestion
    patient : str
        Who was treated, in words ("a woman with asthma"); empty when that is not said.
    design : str
        How the study was made, in words ("randomised, double-blind"); empty when that is not said.
    ledger : str
        The model's quantity that holds everything given, wherever it is; empty when it keeps none.
    """

    outcomes: tuple[Outcome, ...] = ()
    roles: tuple[GroupRoles, ...] = ()
    shown: tuple[ShownQuantity, ...] = ()
    questions: tuple[ReportQuestion, ...] = ()
    patient: str = ""
    design: str = ""
    ledger: str = ""


class _AskingTables:
    """The tables on a reader, against what else the case has."""

    def __init__(
        self,
        reader: TableReader,
        analytes: Collection[Analyte],
        products: Collection[Product],
        priors: Collection[PriorRow],
    ) -> None:
        self.reader = reader
        self.panels = {each.panel for each in analytes if each.panel}
        self.analytes = {each.id for each in analytes}
        self.limited = {each.id for each in analytes if each.range_text}
        self.products = {each.name for each in products}
        self.parameters = {each.id for each in priors}
        self.groups = {each.group for each in priors if each.group}

    def lines(self, file: str, name: str) -> list[TableRow]:
        """The rows of a table, if there is one, each name once."""
        if file not in self.reader.texts:
            return []
        found, seen = [], set[tuple[str, ...]]()
        for line in self.reader.rows([file], *_COLUMNS[file]):
            key = (self.reader.text(line, name), line.of("figure"))
            if key in seen:
                what = f"{name} {key[0]!r} stands already above."
                self.reader.complain(line, what, "Remove one of the two.", column=name)
            seen.add(key)
            found.append(line)
        return found

    def known(
        self, line: TableRow, column: str, known: Collection[str], what: str, *, empty: bool = True
    ) -> str:
        """A cell that names one of what the case has."""
        name = line.of(column) if empty else self.reader.text(line, column)
        # where a whole table cannot be read, that was said once
        if name and known and name not in known:
            said = f"{column}: no {what} {name!r}."
            self.reader.complain(line, said, did_you_mean(name, known), column=column)
        return name

    def outcome(self, line: TableRow) -> Outcome | None:
        measure = self.reader.choice(line, "measure", MEASURES)
        quantity = self.reader.text(line, "quantity")
        if measure in _OF_PANEL:
            self.known(line, "quantity", self.panels, "panel")
            if not self.panels and self.analytes:
                what = f"{measure} is of a panel, and no analyte is in one."
                remedy = "Fill the column panel of observables.tsv, or choose another measure."
                self.reader.complain(line, what, remedy, column="measure")
        elif measure in ("value", "in range"):
            name = self.known(line, "quantity", self.analytes, "analyte")
            if measure == "in range" and name in self.analytes - self.limited:
                what = f"{name} has no reference limits, so that every value of it is in range."
                remedy = "Write them into observables.tsv (referenceLower, referenceUpper), or ask for value."
                self.reader.complain(line, what, remedy, column="quantity")
        level = self.reader.number(line, "level") if line.of("level") else None
        if measure in _LEVELLED and level is None:
            what = f"{measure} takes a level."
            self.reader.complain(line, what, "Write it into the column level.", column="level")
            return None
        if measure not in _LEVELLED and level is not None:
            what = f"{measure} takes no level."
            self.reader.complain(line, what, "Leave the column level empty.", column="level")
        better = self.reader.choice(line, "better", _BETTER) if line.of("better") else ""
        if not measure or not quantity:
            return None
        return Outcome(
            id=line.of("outcomeId"),
            measure=measure,
            quantity=quantity,
            level=level,
            better=better,
            label=line.of("label") or f"{measure}{'' if level is None else f' {level:g}'} of {quantity}",
            unit=line.of("unit"),
            file=line.file,
            row=line.row,
        )

    def roles(self, line: TableRow) -> GroupRoles | None:
        group = self.known(line, "group", self.groups, "group of parameters", empty=False)
        roles = listed(line.of("role"))
        for role in (each for each in roles if each not in ROLES):
            self.reader.complain(line, f"no role {role!r}.", did_you_mean(role, ROLES), column="role")
        if not roles:
            remedy = f"Roles are {', '.join(ROLES)}; several are joined by ';'."
            self.reader.complain(line, "no role.", remedy, column="role")
        kept_roles = tuple(each for each in roles if each in ROLES)
        return GroupRoles(group=group, roles=kept_roles, file=line.file, row=line.row) if group else None

    def shown(self, line: TableRow) -> ShownQuantity | None:
        figure = self.reader.choice(line, "figure", FIGURES)
        product = self.known(line, "product", self.products, "product")
        switch = self.known(line, "switch", self.parameters, "parameter")
        quantity = line.of("quantityId")
        if not figure or not quantity:
            return None
        label = line.of("label") or quantity
        return ShownQuantity(
            quantity=quantity,
            figure=figure,
            product=product,
            switch=switch,
            label=label,
            file=line.file,
            row=line.row,
        )

    def question(self, line: TableRow) -> ReportQuestion | None:
        kind = self.reader.choice(line, "kind", QUESTIONS)
        needed = {
            "products": ("first", "second", "quantity", "claim"),
            "after dose": ("within", "claim"),
            "removal": ("claim",),
        }.get(kind, ())
        for column in (each for each in needed if not line.of(each)):
            what = f"a question of the kind {kind!r} needs {column}."
            self.reader.complain(line, what, f"Fill the column {column}.", column=column)
        first, second = (self.known(line, each, self.products, "product") for each in ("first", "second"))
        if first and first == second:
            what = f"{first} is compared with itself."
            self.reader.complain(line, what, "Name another product as second.", column="second")
        within = self.reader.number(line, "within", unit="days") if line.of("within") else None
        if within is not None and not within > 0:
            what = f"within {within:g} days is no time after a dose."
            self.reader.complain(line, what, "Write days above 0.", column="within")
        if not kind or any(not line.of(each) for each in needed):
            return None
        claim = line.of("claim")
        return ReportQuestion(
            id=line.of("questionId"),
            kind=kind,
            first=first,
            second=second,
            quantity=line.of("quantity"),
            better=self.reader.choice(line, "better", _BETTER, "lower"),
            within=within,
            claim=claim,
            above=line.of("above") or claim,
            below=line.of("below") or f"not: {claim}",
            title=line.of("title") or f"Is it so that {claim}?",
            brief=line.of("brief") or claim,
            file=line.file,
            row=line.row,
        )

    def study(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for line in self.lines(STUDY, "field"):
            if name := self.reader.choice(line, "field", _STUDY_FIELDS):
                found[name] = self.reader.text(line, "value")
        return found


def read_asking(
    reader: TableReader,
    analytes: Collection[Analyte],
    products: Collection[Product],
    priors: Collection[PriorRow],
) -> Asking:
    """Read every table of these that a case has.

    Parameters
    ----------
    reader : TableReader
        The texts; complaints are left there.
    analytes : collection of Analyte
    products : collection of Product
    priors : collection of PriorRow
        What their rows speak about.

    Returns
    -------
    Asking
    """
    tables = _AskingTables(reader, analytes, products, priors)
    study = tables.study()
    return Asking(
        outcomes=kept(tables.outcome(line) for line in tables.lines(OUTCOMES, "outcomeId")),
        roles=kept(tables.roles(line) for line in tables.lines(GROUPS, "group")),
        shown=kept(tables.shown(line) for line in tables.lines(SHOWN, "quantityId")),
        questions=kept(tables.question(line) for line in tables.lines(ASKED, "questionId")),
        patient=study.get("patient", ""),
        design=study.get("design", ""),
        ledger=study.get("ledger", ""),
    )
