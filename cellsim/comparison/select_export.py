"""A case's model space and its calibrated variants as PEtab Select files, which know only PEtab v1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellsim.case.export_v1 import export_v1
from cellsim.errors import CaseError, Problem, did_you_mean
from cellsim.files import write_whole
from cellsim.petab.tables import TableReader, table_text

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.posterior.calibration import Calibration

__all__ = [
    "CRITERIA",
    "METHODS",
    "MODELS",
    "SELECT_PROBLEM",
    "Calibrated",
    "calibrated_of",
    "information_criteria",
    "write_select",
]

SELECT_PROBLEM = "petab_select_problem.yaml"
"""Name of the problem file, as petab-select itself calls it."""

MODELS = "models.yaml"
"""Name of the file of calibrated models."""

CRITERIA = ("AIC", "AICc", "BIC", "LH", "LLH", "NLLH", "SSR")
"""What PEtab Select knows to compare models by; an evidence is not among them."""

METHODS = ("backward", "brute_force", "famos", "forward", "lateral", "most_distant")
"""How PEtab Select may search a model space."""

_OWN = "cellsim"
_V1 = "petab_v1"


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """What PEtab Select is told about one calibrated variant.

    Parameters
    ----------
    variant : str
        A row of the case's model space.
    estimates : mapping of str to float
        Every estimated parameter, in its own unit.
    criteria : mapping of str to float
        Of :data:`CRITERIA`.
    more : mapping
        What PEtab Select has no place for, such as an evidence: numbers by name, under a key of their own.
    """

    variant: str
    estimates: Mapping[str, float]
    criteria: Mapping[str, float]
    more: Mapping[str, float] = field(default_factory=dict)


def information_criteria(nllh: float, *, estimated: int, rows: int) -> dict[str, float]:
    """NLLH, AIC, BIC and, where there are rows enough, AICc.

    Only measured rows are data: priors, which petab-select's own sums count among them, are none.

    Parameters
    ----------
    nllh : float
        Negative log-likelihood, all constants included, priors not.
    estimated : int
        Parameters estimated.
    rows : int
        Measurements scored.

    Returns
    -------
    dict
        Without AICc for `rows` of `estimated` + 1 and fewer: its correction has no meaning there.

    Examples
    --------
    >>> information_criteria(10.0, estimated=2, rows=6)
    {'NLLH': 10.0, 'AIC': 24.0, 'BIC': 23.58351893845611, 'AICc': 28.0}
    """
    found = {
        "NLLH": float(nllh),
        "AIC": 2.0 * (nllh + estimated),
        "BIC": 2.0 * nllh + estimated * math.log(rows),
    }
    if rows > estimated + 1:
        found["AICc"] = found["AIC"] + 2.0 * estimated * (estimated + 1) / (rows - estimated - 1)
    return found


def write_select(
    case: Case,
    folder: str | PathLike[str],
    calibrated: Sequence[Calibrated] = (),
    *,
    criterion: str = "BIC",
    method: str = "brute_force",
) -> Path:
    """Write a case's model space as a PEtab Select problem, and the models calibrated so far.

    Beside the problem file stand ``model_space.tsv``, ``models.yaml`` and, in ``petab_v1/``, the standard part of the
    case as a PEtab v1 problem (see :func:`cellsim.case.export_v1.export_v1`).

    Parameters
    ----------
    case : Case
    folder : path
        Made when it does not exist. Files of the same names are replaced.
    calibrated : sequence of Calibrated
    criterion : str
        What models are to be compared by, of :data:`CRITERIA`; every calibrated one must have it.
    method : str
        How the space is to be searched, of :data:`METHODS`.

    Returns
    -------
    pathlib.Path
        The problem file, ``petab_select_problem.yaml``.

    Raises
    ------
    CaseError
        All at once: a case without variants, unknown criterion or method, names that petab-select cannot read back,
        models without the criterion, parameters or criteria that are no numbers. Then what
        :func:`~cellsim.case.export_v1.export_v1` refuses.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from cellsim.case.case import load_case
    >>> write_select(load_case("sjogren_rfib"), mkdtemp()).name
    'petab_select_problem.yaml'
    """
    import yaml

    problems = [
        *_of_words(criterion, method),
        *_of_space(case),
        *(each for model in calibrated for each in _of_model(case, model, criterion)),
    ]
    if problems:
        raise CaseError(problems)
    out = Path(folder)
    problem = export_v1(case, out / _V1).relative_to(out).as_posix()
    lines = TableReader(case.files).table("model_space.tsv", ())
    rows = [{**line, "model_subspace_petab_yaml": problem} for line in lines]
    content = {
        "format_version": "1.0.0",
        "criterion": criterion,
        "method": method,
        "model_space_files": ["model_space.tsv"],
    }
    models = [_model(case, each, problem) for each in calibrated]
    for name, text in (
        ("model_space.tsv", table_text(list(lines[0]), rows)),
        (SELECT_PROBLEM, yaml.safe_dump(content, sort_keys=False)),
        (MODELS, yaml.safe_dump(models, sort_keys=False, allow_unicode=True)),
    ):
        write_whole(out / name, text)
    return out / SELECT_PROBLEM


def _of_words(criterion: str, method: str) -> list[Problem]:
    asked = (("criterion", criterion, CRITERIA), ("method", method, METHODS))
    return [
        Problem(what=f"PEtab Select has no {kind} {word!r}.", remedy=did_you_mean(word, known))
        for kind, word, known in asked
        if word not in known
    ]


def _of_space(case: Case) -> list[Problem]:
    if not case.variants:
        return [Problem(what=f"{case.name} has no variants.", remedy="Give it a model_space.tsv.")]
    return [
        Problem(
            what=f"petab-select splits the name {each.id!r} at its hyphen and would not find the model again.",
            remedy=f"Call it {each.id.replace('-', '_')!r}.",
            file=each.file,
            row=each.row,
        )
        for each in case.variants
        if "-" in each.id
    ]


def _of_model(case: Case, model: Calibrated, criterion: str) -> list[Problem]:
    known = [each.id for each in case.variants]
    if model.variant not in known:
        return [Problem(what=f"no variant {model.variant!r}.", remedy=did_you_mean(model.variant, known))]
    problems = [
        Problem(what=f"{name} = {value} of {model.variant} is not a finite number.")
        for name, value in (*model.estimates.items(), *model.criteria.items(), *model.more.items())
        if not math.isfinite(value)
    ]
    problems += [
        Problem(what=f"PEtab Select has no criterion {name!r}.", remedy=did_you_mean(name, CRITERIA))
        for name in model.criteria
        if name not in CRITERIA
    ]
    if criterion in CRITERIA and criterion not in model.criteria:
        shown = ", ".join(model.criteria)
        problems.append(
            Problem(
                what=f"{model.variant} has no {criterion}.", remedy=f"It has {shown}; choose one of these."
            )
        )
    return problems


def _model(case: Case, model: Calibrated, problem: str) -> dict[str, Any]:
    """One entry of the file of models, as petab-select lays it out."""
    about = case.variant(model.variant)
    parameters = {**dict(about.fixed), **dict.fromkeys(about.estimated, "estimate")}
    # every cell of our space names one choice, the first
    place = [0] * len(parameters)
    return {
        "model_subspace_id": about.id,
        "model_subspace_indices": place,
        "criteria": {name: float(value) for name, value in model.criteria.items()},
        "model_hash": f"{about.id}-{''.join(map(str, place))}",
        "model_subspace_petab_yaml": problem,
        "estimated_parameters": {name: float(value) for name, value in model.estimates.items()},
        "iteration": 1,
        "model_id": about.id,
        "model_label": about.name or about.id,
        "parameters": parameters,
        "predecessor_model_hash": "virtual_initial_model-",
        **({_OWN: {name: float(value) for name, value in model.more.items()}} if model.more else {}),
    }


def calibrated_of(fit: Calibration) -> Calibrated:
    """A calibration in PEtab Select's terms.

    Parameters
    ----------
    fit : Calibration

    Returns
    -------
    Calibrated
        Criteria at the highest optimum over everything scored: the standard part, censored values and grades, read on
        the sampling days found. Beside them, for what PEtab Select has no name: ``ln_evidence``, ``rows`` (scored),
        ``effective_parameters``, and ``nllh_of_petab_problem``, what a tool that reads the PEtab problem finds at these
        estimates: the standard part alone, on the nominal days.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> calibrated_of(fit).more["rows"] == len(fit.objective.terms)
    True
    """
    objective, theta = fit.objective, fit.theta
    rows = len(objective.terms)
    scored = objective.evaluate(theta).log_likelihood
    nominal = {f"day_{visit.id}": visit.nominal for visit in fit.case.visits}
    at_nominal = objective.theta({name: nominal.get(name, fit.values[name]) for name in objective.names})
    estimated = len(objective.names)
    return Calibrated(
        variant=fit.variant,
        estimates={name: fit.values[name] for name in objective.names},
        criteria=information_criteria(-float(scored.sum()), estimated=estimated, rows=rows),
        more={
            "ln_evidence": fit.log_evidence,
            "rows": rows,
            "effective_parameters": fit.effective_parameters,
            "nllh_of_petab_problem": -objective.parts(at_nominal)["standard"],
        },
    )
