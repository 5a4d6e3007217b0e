"""A parameter estimation problem: several conditions, experiments or models, one vector of parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, CaseError, Problem, did_you_mean
from cellsim.estimation.courses import Rest, Resting, followed
from cellsim.estimation.prepared import PreparedModel, prepared
from cellsim.estimation.scoring import Observed, Scored, observed_by, score
from cellsim.estimation.slopes import Sloped, constant
from cellsim.lazy import upstairs
from cellsim.likelihood.priors import Prior
from cellsim.petab.problem_tables import read_problem
from cellsim.petab.records import ParameterRow, ProblemTables, SubProblem

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.estimation.fitting import ProblemFit
    from cellsim.estimation.profiling import ProblemProfiles
    from cellsim.estimation.sampling import ProblemDraws

__all__ = ["EstimationProblem", "load_problem", "refuse_options", "why_not"]

_RTOL = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class EstimationProblem:
    """A PEtab problem: what :func:`cellsim.load_case` gives where one patient's case cannot hold it.

    Values of parameters are given by name, in the parameters' own units whatever their scale; those not given are at their
    nominal values.

    Parameters
    ----------
    tables : ProblemTables
        Everything its files say.
    models : tuple of PreparedModel
        One for each part.
    observed : tuple of tuple of Observed
        Rows by observable, for each part.

    Examples
    --------
    >>> problem = load_problem({
    ...     "problem.yaml": "format_version: 2.0.0\\nmodel_files: {m: {location: m.ant, language: antimony}}\\n"
    ...     "parameter_files: [p.tsv]\\nobservable_files: [o.tsv]\\nmeasurement_files: [d.tsv]\\n",
    ...     "m.ant": "x = 1; x' = -k*x; k = 1",
    ...     "p.tsv": "parameterId\\testimate\\tnominalValue\\tlowerBound\\tupperBound\\nk\\ttrue\\t0.5\\t0\\t10\\n",
    ...     "o.tsv": "observableId\\tobservableFormula\\tnoiseFormula\\ny\\tx\\t0.1\\n",
    ...     "d.tsv": "observableId\\texperimentId\\ttime\\tmeasurement\\ny\\t\\t2\\t0.4\\n",
    ... })
    >>> round(problem.chi2(), 3), round(problem.chi2({"k": 1.0}), 2)
    (0.103, 7.0)
    """

    tables: ProblemTables
    models: tuple[PreparedModel, ...]
    observed: tuple[tuple[Observed, ...], ...]

    # ---- what it holds ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its identifier, or the name of its folder."""
        return self.tables.name

    @property
    def files(self) -> dict[str, str]:
        """Every file as text, by name; :func:`cellsim.load_case` takes it back."""
        return dict(self.tables.texts)

    @property
    def parameters(self) -> tuple[ParameterRow, ...]:
        """The rows of the parameter table."""
        return self.tables.parameters

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that are estimated."""
        return tuple(each.id for each in self.parameters if each.estimate)

    @property
    def nominal(self) -> dict[str, float]:
        """Nominal value of every parameter by name; nan where the table gives none."""
        return {each.id: each.nominal for each in self.parameters}

    def check(self) -> tuple[Problem, ...]:
        """What is doubtful about it."""
        return self.tables.problems

    @cached_property
    def priors(self) -> dict[str, Prior | None]:
        """The prior of every estimated parameter; where the table gives none, flat on its bounds and scale if these are finite."""
        return {each.id: _prior(each) for each in self.parameters if each.estimate}

    # ---- answers ----------------------------------------------------------------------------------

    def log_likelihood(self, values: Mapping[str, float] | None = None, *, rtol: float = _RTOL) -> float:
        """Natural logarithm of the likelihood of all measurements, with all constants.

        Parameters
        ----------
        values : mapping of str to float, optional
        rtol : float
            Relative tolerance of the simulations.

        Raises
        ------
        CalibrationError
            For unknown names, values that are none, and parameters without a nominal value that are not given.
        SimulationError
            An experiment cannot be simulated, or a row has no density.
        """
        return float(sum(each.log_likelihood.sum() for each in self.scored(values, rtol=rtol)))

    def chi2(self, values: Mapping[str, float] | None = None, *, rtol: float = _RTOL) -> float:
        """Sum of the squares of (measured - predicted)/spread, each on the scale of its noise."""
        return float(sum((each.standardised**2).sum() for each in self.scored(values, rtol=rtol)))

    def log_prior(self, values: Mapping[str, float] | None = None) -> float:
        """Logarithm of the prior density of the estimated parameters, each in its own unit, truncated to its bounds.

        A parameter without a prior is flat on its bounds (of version 1: on its scale), and counts nothing where these are
        infinite.
        """
        return float(sum(self.log_priors(values).values()))

    def log_priors(self, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """The same by parameter."""
        known = self.values(values)
        return {
            name: 0.0 if prior is None else float(prior.log_density(known[name]))
            for name, prior in self.priors.items()
        }

    def log_posterior(self, values: Mapping[str, float] | None = None, *, rtol: float = _RTOL) -> float:
        """Log likelihood and log prior together: the posterior density up to a constant."""
        prior = self.log_prior(values)
        return prior + self.log_likelihood(values, rtol=rtol) if math.isfinite(prior) else prior

    def gradient(self, values: Mapping[str, float] | None = None, *, rtol: float = _RTOL) -> dict[str, float]:
        """Derivative of the log likelihood with respect to each estimated parameter, in its own unit."""
        scored = self.scored(values, slopes=True, rtol=rtol)
        total = sum(
            (each.gradient.sum(axis=0) for each in scored if each.gradient is not None),
            np.zeros(len(self.names)),
        )
        return dict(zip(self.names, total.tolist(), strict=True))

    def simulate(self, values: Mapping[str, float] | None = None, *, rtol: float = _RTOL) -> pd.DataFrame:
        """What every measurement is predicted as.

        Returns
        -------
        DataFrame
            A row each measurement, in the order of the tables: modelId, observableId, experimentId, time, measurement,
            simulation, spread.

        Raises
        ------
        SimulationError
            An experiment cannot be simulated.
        """
        import pandas as pd

        rows = [
            (row.number, row.model, row.observable, row.experiment, row.time, row.value, predicted, spread)
            for each in self.scored(values, rtol=rtol, judged=False)
            for row, predicted, spread in zip(
                each.rows, each.predicted.tolist(), each.spread.tolist(), strict=True
            )
        ]
        columns = ["modelId", "observableId", "experimentId", "time", "measurement", "simulation", "spread"]
        return pd.DataFrame([each[1:] for each in sorted(rows, key=lambda each: each[0])], columns=columns)

    # ---- verbs ------------------------------------------------------------------------------------

    def calibrated(
        self,
        *,
        starts: int,
        seed: int,
        fixed: Mapping[str, float] | None,
        asked: Mapping[str, Any] | None = None,
    ) -> ProblemFit:
        """What :func:`cellsim.calibrate` gives for it; `asked` are options that it does not have, None where they are not used."""
        refuse_options("calibrate", asked)
        made: ProblemFit = upstairs("estimation.fitting").fitted(self, starts=starts, seed=seed, fixed=fixed)
        return made

    def sampled(self, *, seed: int, **options: Any) -> ProblemDraws:
        """What :func:`cellsim.sample` gives for it: it is fitted first."""
        return self.calibrated(starts=20, seed=seed, fixed=None).sampled(seed=seed, **options)

    def profiled(self, names: Any, **options: Any) -> ProblemProfiles:
        """It has to be fitted first."""
        raise CalibrationError(
            f"profile takes a fit, and {self!r} is none; make one first: cs.calibrate(problem)."
        )

    @staticmethod
    def why_not(asked: str) -> str:
        """Why a verb is not to be had."""
        return why_not(asked)

    # ---- how --------------------------------------------------------------------------------------

    def values(self, given: Mapping[str, float] | None = None) -> dict[str, float]:
        """Every parameter's value: those given, and nominal ones.

        Raises
        ------
        CalibrationError
            For unknown names and for values that are no numbers, all at once.
        """
        known = self.nominal
        problems = [
            Problem(what=f"no parameter {name!r} in {self.name}.", remedy=did_you_mean(name, known))
            for name in given or {}
            if name not in known
        ]
        found = {name: float(value) for name, value in {**known, **(given or {})}.items()}
        problems += [
            Problem(what=f"{name} has no value: none is nominal, and none is given.")
            for name, value in found.items()
            if math.isnan(value)
        ]
        if problems:
            raise CalibrationError(problems)
        return found

    def scored(
        self,
        values: Mapping[str, float] | None = None,
        *,
        slopes: bool = False,
        rtol: float = _RTOL,
        judged: bool = True,
    ) -> list[Scored]:
        """Every row against its prediction, by model and observable; with derivatives when asked for `slopes`."""
        known = self.values(values)
        size = len(self.names) if slopes else 0
        unit = np.eye(size)
        shared = {name: constant(value) for name, value in known.items()}
        if slopes:
            shared |= {
                name: Sloped(np.array([known[name]]), unit[k : k + 1]) for k, name in enumerate(self.names)
            }
        found = []
        for part, model, observed in zip(self.tables.parts, self.models, self.observed, strict=True):
            rests: dict[Rest, Resting] = {}
            courses = {
                name: followed(
                    model,
                    part.experiments[name],
                    times,
                    shared.__getitem__,
                    directions=size,
                    rtol=rtol,
                    rests=rests,
                )
                for name, times in _times(part).items()
            }
            found += [
                score(each, model, courses, shared.__getitem__, directions=size, judged=judged)
                for each in observed
            ]
        return found

    def __eq__(self, other: object) -> bool:
        return (
            self.tables.texts == other.tables.texts
            if isinstance(other, EstimationProblem)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.tables.texts.items())))

    def __repr__(self) -> str:
        rows = sum(len(each.measurements) for each in self.tables.parts)
        experiments = sum(len(_times(each)) for each in self.tables.parts)
        models = len(self.tables.parts)
        return (
            f"<EstimationProblem {self.name}: {len(self.names)} estimated parameters, {rows} measurements, "
            f"{experiments} experiment{'s' * (experiments != 1)}, {models} model{'s' * (models != 1)}>"
        )


_MISSING = {
    "sweep": "plans are schedules of one patient's doses, and a problem of several conditions has none",
    "compare": "variants are rows of a case's model space; fit problems with PEtab Select's models one by one",
    "robustness": "it alters visits, doses and variants, which only a case has",
    "identify": "it tells analytes and visits apart, which only a case has; profile the fit instead",
}


def why_not(asked: str) -> str:
    """Why a verb that takes a case does not take an estimation problem.

    Examples
    --------
    >>> print(why_not("identify"))
    identify takes a case: it tells analytes and visits apart, which only a case has; profile the fit instead.
    """
    told = _MISSING.get(asked, "this is an estimation problem of several conditions, experiments or models")
    return f"{asked} takes a case: {told}."


def refuse_options(verb: str, asked: Mapping[str, Any] | None) -> None:
    """Refuse options that an estimation problem does not have.

    Raises
    ------
    CalibrationError
        Naming all that are used.
    """
    used = [name for name, value in (asked or {}).items() if value is not None]
    if used:
        raise CalibrationError(
            f"{verb} of an estimation problem does not have: {', '.join(used)}. Leave them out."
        )


def _times(part: SubProblem) -> dict[str, list[float]]:
    """When each experiment is read."""
    found: dict[str, set[float]] = {}
    for row in part.measurements:
        found.setdefault(row.experiment, set()).add(row.time)
    return {name: sorted(times) for name, times in found.items()}


def _prior(row: ParameterRow) -> Prior | None:
    if row.family:
        return Prior(row.family, row.parameters, row.lower, row.upper)
    if math.isfinite(row.lower) and math.isfinite(row.upper) and row.lower < row.upper:
        family = "uniform" if row.scale == "lin" or row.lower <= 0 else "log-uniform"
        return Prior(family, (row.lower, row.upper), row.lower, row.upper)
    return None


def load_problem(source: str | PathLike[str] | Mapping[str, str]) -> EstimationProblem:
    """Open a PEtab problem of version 1 or 2.

    Parameters
    ----------
    source : path or mapping
        Its folder, the path of its YAML, or its texts by file name.

    Returns
    -------
    EstimationProblem

    Raises
    ------
    CaseError
        With all problems at once, each with its file and row.
    """
    tables = read_problem(source)
    problems: list[Problem] = []
    models, observed = [], []
    for part in tables.parts:
        try:
            models.append(prepared(tables, part))
            observed.append(observed_by(part, models[-1]))
        except CaseError as error:
            problems += error.problems
    made: Any = EstimationProblem(tables, tuple(models), tuple(observed))
    for row in tables.parameters:
        if row.estimate and row.family:
            try:
                Prior(row.family, row.parameters, row.lower, row.upper)
            except CaseError as error:
                problems += [row.problem(f"{row.id}: {each.what}", each.remedy) for each in error.problems]
    problems += _unused(made) if not problems else []
    if errors := [each for each in problems if each.severity == "error"]:
        raise CaseError(dict.fromkeys(errors))
    return replace(made, tables=replace(tables, problems=(*tables.problems, *problems)))


def _unused(problem: EstimationProblem) -> list[Problem]:
    """Parameters of the table that nothing uses: a slip of the pen where a name is near, else a doubt."""
    from difflib import get_close_matches

    used: set[str] = set()
    names: set[str] = set()
    for part, model, observed in zip(problem.tables.parts, problem.models, problem.observed, strict=True):
        names |= set(model.parameters)
        used |= {symbol.name for formula in model.formulas.values() for symbol in formula.free_symbols}
        used |= {name for name in model.shared if model.has(name)}
        for each in observed:
            used |= {
                symbol.name
                for formula in (each.formula, each.noise, *each.others.values())
                for symbol in formula.free_symbols
            }
        used |= {name for row in part.measurements for name in (*row.parameters, *row.noise_parameters)}
    found = []
    free = sorted(names - {each.id for each in problem.parameters})
    for row in problem.parameters:
        if row.id not in used:
            close = get_close_matches(row.id, free, n=1, cutoff=0.75)
            what = f"no parameter {row.id!r} in the model, and nothing else uses it."
            found.append(
                row.problem(what, did_you_mean(row.id, free), severity="error" if close else "doubt")
            )
    return found
