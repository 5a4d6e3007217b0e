"""One patient as a frozen object: treatment, visits, analytes with their doubts, priors and variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from cellsim.case.alternatives import ALTERNATIVES, Alternative, read_alternatives
from cellsim.case.assumptions import read_priors, read_variants
from cellsim.case.checks import of_tables
from cellsim.case.files import COMPANIONS, count_as_empty, fetch, folder_of, model_named, readable_model
from cellsim.case.measurements import Data
from cellsim.case.model_checks import against_model
from cellsim.case.outcomes import ASKED_TABLES, Outcome, ReportQuestion, ShownQuantity, read_asking
from cellsim.case.plausibility import implausible
from cellsim.case.records import Analyte, Censored, Grade, Measurement, PrintedCell, PriorRow, Variant, Visit
from cellsim.case.treatment import Treatment
from cellsim.dosing.body import Body
from cellsim.dosing.infusions import dose_noun
from cellsim.dosing.schedule import Product, Schedule
from cellsim.dosing.tables import AMOUNT_UNITS
from cellsim.errors import CaseError, ModelError, Problem, ScheduleError, did_you_mean
from cellsim.petab.origins import with_origins
from cellsim.petab.plain import completed, with_every_kind
from cellsim.petab.problem import read_problem_file
from cellsim.petab.tables import TableReader
from cellsim.results import label_of
from cellsim.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.model.model import Model

__all__ = ["Case", "load_case"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Case(Scores):
    """One patient: what was given, what was measured, what is believed beforehand. Made by :func:`load_case`.

    Parameters
    ----------
    name : str
        Its name.
    model : str
        What :func:`cellsim.load_model` takes: name of a shipped model, path, or (of a case read from
        texts) the model's own text.
    analytes : tuple of Analyte
        With unit, reference limits, formula and spread.
    visits : tuple of Visit
        In the order of time.
    rows : tuple of Measurement
        The standard part: every value scored as a number, each with file and row.
    censored : tuple of Censored
        Values known only to lie below or above a limit.
    grades : tuple of Grade
        Ordinal findings, the ones not scored included.
    table1 : tuple of PrintedCell
        Every cell of the source's own table, with its status and doubts.
    products : tuple of Product
        What was infused.
    timeline : Schedule
        Everything given.
    background : tuple of str
        Products whose doses every plan keeps unless it is told otherwise: what the patient takes anyway.
    priors : tuple of PriorRow
        One for each parameter, fixed ones included.
    variants : tuple of Variant
        The competing mechanisms.
    alternatives : tuple of Alternative
        What may have been otherwise.
    outcomes : tuple of Outcome
        What schedules are judged by, the main one first.
    roles : mapping of str to tuple of str
        What the parameters of each group say.
    shown : tuple of ShownQuantity
        Quantities of the model worth a figure.
    questions : tuple of ReportQuestion
        What conclusions and report ask in words of the case's own.
    patient, design, ledger : str
        Who was treated and how the study was made, in words; the model's quantity that holds everything given.
    start : float
        The day the simulation starts.
    day_zero : datetime.date or None
        The date of day 0.
    cells_per_unit : mapping
        How much of a product, in its own unit, is one unit of the state it enters.
    experiment : str
        Name of the one experiment in the PEtab problem.
    body : Body
        Weight and height of the patient, from ``extensions: patient`` in ``problem.yaml``.
    product_rows, targets : mapping
        Where products, and what the conditions change, stand in their tables.
    """

    name: str
    model: str
    analytes: tuple[Analyte, ...]
    visits: tuple[Visit, ...]
    rows: tuple[Measurement, ...]
    censored: tuple[Censored, ...]
    grades: tuple[Grade, ...]
    table1: tuple[PrintedCell, ...]
    products: tuple[Product, ...]
    timeline: Schedule
    priors: tuple[PriorRow, ...]
    variants: tuple[Variant, ...]
    start: float
    background: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shown: tuple[ShownQuantity, ...] = ()
    questions: tuple[ReportQuestion, ...] = ()
    patient: str = ""
    design: str = ""
    ledger: str = ""
    day_zero: date | None = None
    cells_per_unit: Mapping[str, float] = field(default_factory=dict)
    experiment: str = ""
    body: Body = field(default_factory=Body)
    product_rows: Mapping[str, int | None] = field(default_factory=dict)
    targets: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    _texts: tuple[tuple[str, str], ...] = ()
    _noted: tuple[Problem, ...] = ()

    # ---- treatment --------------------------------------------------------------------------------

    @cached_property
    def schedule(self) -> Schedule:
        """What was given from day 0 on: the plan."""
        return self.timeline.only(after=0.0)

    @cached_property
    def history(self) -> Schedule:
        """What was given before day 0."""
        return self.timeline.only(before=0.0)

    # ---- what is asked ----------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What must stand beside every number of this case."""
        return label_of(self.design)

    @property
    def mechanism(self) -> tuple[str, ...]:
        """Groups of parameters that say how the treatment acts, how long it lasts and what removes it."""
        return self.groups_of("mechanism", "persistence", "rejection")

    def groups_of(self, *roles: str) -> tuple[str, ...]:
        """Groups of parameters that have one of these roles, in the order of ``groups.tsv``.

        Examples
        --------
        >>> load_case("sjogren_rfib").groups_of("rejection")
        ('alloimmunity',)
        """
        return tuple(group for group, own in self.roles.items() if set(own) & set(roles))

    def amount(self, dose: float, unit: str) -> float:
        """What a dose per kg or per m^2 comes to for this patient.

        Parameters
        ----------
        dose : float
        unit : str
            ``"mg/kg"`` or ``"mg/m^2"`` and the like; the surface is Mosteller's, sqrt(height x weight / 3600).

        Returns
        -------
        float
            In the unit before the last slash (mg); of cells, in cells.

        Raises
        ------
        CaseError
            Where ``problem.yaml`` does not say the weight or the height.

        Examples
        --------
        >>> files = load_case("cytopenia_synthetic").files
        >>> patient = "extensions: {patient: {version: 1.0.0, required: false, weight: 80 kg, height: 180 cm}}"
        >>> case = load_case({**files, "problem.yaml": files["problem.yaml"] + patient})
        >>> case.amount(375, "mg/m^2"), case.amount(10, "mg/kg")
        (750.0, 800.0)
        """
        remedy = "Write it under 'extensions: patient:' in problem.yaml: 'weight: 70 kg', 'height: 172 cm'."
        try:
            found, plain = self.body.amount(dose, unit)
        except ScheduleError as error:
            raise CaseError([Problem(what=str(error), remedy=remedy, file="problem.yaml")]) from None
        return found * AMOUNT_UNITS.get(plain, 1.0)

    # ---- looking things up ------------------------------------------------------------------------

    @property
    def extended(self) -> tuple[Censored | Grade, ...]:
        """Every row that stands beside the standard part."""
        return (*self.censored, *self.grades)

    @property
    def files(self) -> dict[str, str]:
        """The whole case as texts by file name, the model's included; :func:`load_case` takes it back."""
        return dict(self._texts)

    @property
    def nominal(self) -> dict[str, float]:
        """Nominal value of every parameter by name, in its unit."""
        return {each.id: each.nominal for each in self.priors}

    @property
    def default_variant(self) -> str:
        """Name of the variant used when none is named; empty when there are none."""
        return next((each.id for each in self.variants if each.default), "")

    def analyte(self, name: str) -> Analyte:
        """The analyte of this name.

        Raises
        ------
        CaseError
            There is none of that name.

        Examples
        --------
        >>> load_case("sjogren_rfib").analyte("IL6").upper
        9.1
        """
        found = {each.id: each for each in self.analytes}
        if name not in found:
            raise CaseError(f"No analyte {name!r} in {self.name}. {did_you_mean(name, found)}")
        return found[name]

    def prior(self, name: str) -> PriorRow:
        """The prior of this parameter.

        Raises
        ------
        CaseError
            There is none of that name.

        Examples
        --------
        >>> load_case("sjogren_rfib").prior("phi").family
        'normal'
        """
        found = {each.id: each for each in self.priors}
        if name not in found:
            raise CaseError(f"No parameter {name!r} in {self.name}. {did_you_mean(name, found)}")
        return found[name]

    def variant(self, name: str = "") -> Variant:
        """The variant of this name, or the default one.

        Raises
        ------
        CaseError
            There is none of that name.

        Examples
        --------
        >>> load_case("sjogren_rfib").variant().id
        'V2'
        """
        found = {each.id: each for each in self.variants}
        if (name or self.default_variant) not in found:
            raise CaseError(f"No variant {name!r} in {self.name}. {did_you_mean(name, found)}")
        return found[name or self.default_variant]

    # ---- siblings ---------------------------------------------------------------------------------

    def with_prior(
        self,
        name: str,
        distribution: str,
        parameters: Sequence[float],
        *,
        bounds: tuple[float, float] | None = None,
        nominal: float | None = None,
    ) -> Case:
        """The same case with another prior of one parameter, which is estimated then.

        Parameters
        ----------
        name : str
        distribution : str
            One of PEtab's families: ``"normal"``, ``"log-normal"``, ``"uniform"``, ...
        parameters : sequence of float
            Of the family, in PEtab's order and the parameter's unit: mean and sd (``"normal"``), mean and sd of the natural
            logarithm (``"log-normal"``), lower and upper end (``"uniform"``), ...
        bounds : (float, float), optional
            Truncate the prior. By default the ends of a uniform or log-uniform one; the bounds the case has, for all others.
        nominal : float, optional
            Where an estimation starts. By default the case's own where the prior allows it, else a value in its middle.

        Returns
        -------
        Case

        Raises
        ------
        CaseError
            For an unknown name or family, and for what a file would be refused for.

        Examples
        --------
        >>> load_case("sjogren_rfib").with_prior("phi", "normal", (0.0, 2.0)).prior("phi").parameters
        (0.0, 2.0)
        """
        from cellsim.case.siblings import with_prior

        return load_case(with_prior(self, name, distribution, parameters, bounds=bounds, nominal=nominal))

    def fixed(self, **values: float) -> Case:
        """The same case with some parameters held at values, which neither a fit nor a sampler moves.

        Where a variant estimates them, they are held; where it holds them at another value, they stay at its own. The
        day of a visit (``day_before=-3``) is then known, and the visit and its rows stand on it.

        Parameters
        ----------
        **values : float
            Value of each parameter by name, in its unit.

        Returns
        -------
        Case

        Raises
        ------
        CaseError
            For unknown names, values that are no finite numbers, and parameters that the default variant holds at another
            value, all at once.

        Examples
        --------
        >>> load_case("cytopenia_synthetic").fixed(day_week12=82).visits[2].nominal
        82.0
        """
        from cellsim.case.siblings import fixed

        return load_case(fixed(self, values))

    def without(
        self, *, analyte: str | Sequence[str] | None = None, visit: str | Sequence[str] | None = None
    ) -> Case:
        """The same case without some of its values; of an analyte and a visit, only those of the one at the other.

        Observables, visits and parameters that no row needs any more go too, with the outcomes and alternatives about them;
        parameters of the model stay, at their priors.

        Parameters
        ----------
        analyte : str or sequence of str, optional
            An analyte, or what was graded.
        visit : str or sequence of str, optional

        Returns
        -------
        Case

        Raises
        ------
        CaseError
            For unknown names, and where there is no such value.

        Examples
        --------
        >>> load_case("sjogren_rfib").without(analyte="IL6")
        <Case sjogren_rfib: 27 analytes, 3 visits, 78 scored values, 22 infusions>
        """
        from cellsim.case.siblings import without

        return load_case(without(self, analyte=analyte, visit=visit))

    def add(self, *measurements: Mapping[str, Any] | pd.DataFrame) -> Case:
        """The same case with more values, checked as those of its files are.

        Parameters
        ----------
        *measurements : mapping or DataFrame
            Each value with its ``analyte``, ``value`` (a number, or ``"<0.5"`` and ``">200"``), and a ``visit`` of the case or
            a ``day``, which makes a new visit where there is none on it. May be given: ``unit`` (the analyte's by default),
            ``replicateId``, ``observableParameters``, ``noiseParameters``, ``status``, ``source``, ``doubt``.

        Returns
        -------
        Case

        Raises
        ------
        CaseError
            All problems at once: unknown analytes and visits, values that are none, units, and what a file would be
            refused for.

        Examples
        --------
        >>> case = load_case("cytopenia_synthetic")
        >>> more = case.add({"analyte": "CRP", "day": 200, "value": "<1"})
        >>> len(more.visits) - len(case.visits), more.censored[-1].limit
        (1, 1.0)
        """
        from cellsim.case.siblings import added

        return load_case(added(self, *measurements))

    # ---- out --------------------------------------------------------------------------------------

    def event_table(self) -> pd.DataFrame:
        """Values and doses as one table in the columns of NONMEM and Monolix, which :func:`cellsim.new_case` reads back.

        Returns
        -------
        DataFrame
            ID, TIME (days), EVID, AMT and RATE (per day; in the unit of the product), CMT, DV, DVID, MDV, CENS (1: below DV, -1:
            above it). ``attrs`` says what the numbers mean: ``compartments``, ``analytes`` (name and unit) and
            ``amount_unit`` by product. A sample taken before the dose of its day stands before it. Values stand on the
            nominal days of their visits; grades, windows of days and reference limits have no place in such a table.

        Examples
        --------
        >>> table = load_case("cytopenia_synthetic").event_table()
        >>> int(table["AMT"].notna().sum()), table.attrs["compartments"]
        (6, {1: 'anti', 2: 'graft'})
        """
        from cellsim.case.export import event_table

        return event_table(self)

    # ---- judging ----------------------------------------------------------------------------------

    def check(self, model: Model | None = None) -> tuple[Problem, ...]:
        """Everything wrong with the case (``severity="error"``) and everything doubtful about it.

        Parameters
        ----------
        model : Model, optional
            Judge against this model instead of the one the case names.

        Returns
        -------
        tuple of Problem
            In the order of the tables, doubts last.

        Examples
        --------
        >>> problems = load_case("sjogren_rfib").check()
        >>> {problem.severity for problem in problems}
        {'doubt'}
        """
        from cellsim.model.model import load_model, model_given

        if model is not None:
            model_given(model)
        found = [*self._noted, *of_tables(self), *implausible(self)]
        try:
            if model is not None or self.model:
                judged = load_model(self.model) if model is None else model
                found += [*judged.doubts, *against_model(self, judged)]
        except ModelError as error:
            found += [Problem(what=f"the model cannot be read: {error}", file="problem.yaml")]
        found = list(dict.fromkeys(with_origins(found, self.files)))
        return tuple(sorted(found, key=lambda each: each.severity != "error"))

    def audit(self) -> str:
        """The case as a page to read: what is scored, what is not and why, every doubt, the treatment.

        Returns
        -------
        str
        """
        from cellsim.case.audit import audit

        return audit(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Case) and (self.name, self._texts) == (other.name, other._texts)

    def __hash__(self) -> int:
        return hash((self.name, self._texts))

    def _repr_html_(self) -> str:
        from cellsim.case.audit import case_html

        return case_html(self)

    def __repr__(self) -> str:
        return (
            f"<Case {self.name}: {len(self.analytes)} analytes, {len(self.visits)} visits, "
            f"{len(self.rows)} scored values, {self.timeline.count} {dose_noun(self.timeline, self.products)}s>"
        )


def load_case(source: str | PathLike[str] | Mapping[str, str] | Case, *, model: Model | None = None) -> Case:
    """Read a case and refuse it when anything is wrong with it.

    Parameters
    ----------
    source : str, path or mapping
        Name of a shipped case, a folder (or the problem file in it), or the texts by file name as
        ``case.files`` gives them. A plain PEtab v2 problem, which has none of a case's own tables, is read as PEtab means
        it: each time is a visit, parameters without a prior are uniform on their bounds.
    model : Model, optional
        Judge the case against this model instead of the one it names.

    Returns
    -------
    Case

    Raises
    ------
    CaseError
        With all problems at once, each with its file and row.

    Examples
    --------
    >>> load_case("sjogren_rfib")
    <Case sjogren_rfib: 28 analytes, 3 visits, 81 scored values, 22 infusions>
    """
    if isinstance(source, Case):
        return source
    if isinstance(source, Mapping):
        folder, reader = None, TableReader({str(file): text for file, text in source.items()})
    else:
        folder, file = folder_of(source)
        reader = TableReader({})
        fetch(reader, folder, file, called="problem.yaml")
        for file in ("problem.yaml", *COMPANIONS, ALTERNATIVES, *ASKED_TABLES):
            fetch(reader, folder, file)
    if "problem.yaml" not in reader.texts:
        told = any(each.file == "problem.yaml" for each in reader.problems)
        missing = [] if told else [Problem(what="the file is missing.", file="problem.yaml")]
        raise CaseError([*reader.problems, *missing])
    plain = not any(file in reader.texts for file in COMPANIONS)
    if plain:
        reader.texts["problem.yaml"], own = with_every_kind(reader.texts["problem.yaml"])
        reader.texts |= own
    empty = () if plain else count_as_empty(reader)
    problem = read_problem_file(reader.texts["problem.yaml"])
    reader.problems += problem.problems
    for file in [name for names in problem.tables.values() for name in names]:
        fetch(reader, folder, file)
    for file in problem.unread:
        fetch(reader, folder, file)
        if file not in reader.texts:
            said, remedy = f"{file}, named under mapping_files, is missing.", "Add it, or remove its name."
            reader.problems.append(Problem(what=said, remedy=remedy, file="problem.yaml"))
    named = model_named(reader, folder, problem.model)
    loaded = readable_model(named) if model is None else model
    if plain and loaded is not None:
        values = {each.name: each.value for each in loaded.parameters}
        reader.texts |= completed(reader.texts, problem.tables, values)
    data = Data(reader, problem.tables)
    priors = read_priors(reader, problem.tables)
    variants = read_variants(reader, priors)
    treatment = Treatment(reader, problem.tables, loaded)
    asking = read_asking(reader, data.analytes, treatment.products, priors)
    case = Case(
        name=problem.name or (folder.name if folder else "case"),
        model=named,
        analytes=data.analytes,
        visits=data.visits,
        rows=data.rows,
        censored=data.censored,
        grades=data.grades,
        table1=data.table1,
        products=treatment.products,
        timeline=treatment.timeline,
        background=treatment.background,
        priors=priors,
        variants=variants,
        alternatives=read_alternatives(reader, treatment.timeline, data.analytes, priors),
        outcomes=asking.outcomes,
        roles={each.group: each.roles for each in asking.roles},
        shown=asking.shown,
        questions=asking.questions,
        patient=asking.patient,
        design=asking.design,
        ledger=asking.ledger,
        start=0.0 if treatment.start is None else treatment.start,
        day_zero=treatment.day_zero,
        cells_per_unit=treatment.cells_per_unit,
        experiment=next(iter(treatment.experiments), ""),
        body=problem.body,
        product_rows=treatment.product_rows,
        targets={target: (line.file, line.row) for target, line in treatment.targets.items()},
        _texts=tuple(sorted(reader.texts.items())),
        _noted=tuple(reader.problems),
    )
    if wrong := [problem for problem in case.check(loaded) if problem.severity == "error"]:
        # what is missing may be why
        raise CaseError([*wrong, *empty])
    return case
