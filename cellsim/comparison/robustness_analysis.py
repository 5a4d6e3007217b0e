"""The same conclusions drawn again under everything that may have been otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cellsim.comparison.alterations import Alteration, alterations_of
from cellsim.comparison.conclusions import Question, questions
from cellsim.comparison.robustness_table import BASE, ConclusionRow, Robustness
from cellsim.comparison.variant_roles import variant_roles
from cellsim.errors import CalibrationError, CellsimError, Problem, unusable
from cellsim.likelihood.compatibility import case_given, foreign, variants_chosen
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.approximation import together
from cellsim.posterior.calibration import Calibration, versions
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.variational import VariationalApproximation
from cellsim.posterior.variational_fitting import refit
from cellsim.streams import progress_bar

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.model.model import Model

__all__ = ["robustness"]


def robustness(
    case: Case,
    model: Model | None = None,
    *,
    variants: Sequence[str] | str | None = None,
    alterations: Sequence[Alteration] | None = None,
    fits: Mapping[str, Calibration] | None = None,
    approximations: Mapping[str, VariationalApproximation] | None = None,
    starts: int = 10,
    seed: int = 0,
    progress: bool | None = None,
) -> Robustness:
    """Draw the conclusions of a case again under everything plausible that may have been otherwise.

    Each alteration changes one thing: a sampling day, days of infusion, a reference limit, the width of a prior, the
    noise, an analyte or a visit left out. The Gaussian variational approximation of each variant's posterior
    (:mod:`cellsim.posterior.variational_fitting`, unknown sampling days integrated out) is found again, and every conclusion asked again.

    Parameters
    ----------
    case : Case
    model : Model, optional
        The case's own by default.
    variants : str or sequence of str, optional
        Which variants to hold against each other. By default the nulls, the default variant, and those without
        removal of a product, where the case asks about it.
    alterations : sequence of Alteration, optional
        What to alter; see :func:`cellsim.comparison.alterations.alterations_of` for the default.
    fits : mapping of str to Calibration, optional
        Variants of this case and model that are calibrated already; the others are calibrated first.
    approximations : mapping of str to VariationalApproximation, optional
        Variational approximations that are known already.
    starts : int
        Of each fit of the case as it stands.
    seed : int
        Of the starts, and of draws behind simulated contrasts.
    progress : bool, optional
        Show a bar with the time left; by default only on a terminal.

    Returns
    -------
    Robustness
        With fewer rows, and saying so, when interrupted.

    Raises
    ------
    CalibrationError
        For unknown variants, if calibrations given are not of this case, model and variant, an alteration names what the case does not
        have, or the variational approximation of the case as it stands
        cannot be found. An alteration that cannot be fitted is told in its row.

    Examples
    --------
    >>> import cellsim as cs
    >>> found = cs.robustness(cs.load_case("sjogren_rfib"))  # doctest: +SKIP
    >>> print(found)  # doctest: +SKIP
    """
    began = time.perf_counter()
    case_given(case, "robustness")
    names = variants_chosen(case, variants) or ("",)
    every = {each.variant: each for each in (objective_of(case, model, variant=name) for name in names)}
    planned = tuple(alterations_of(case) if alterations is None else alterations)
    # calibrations of variants that nobody asked about are not looked at
    known = {name: fit for name, fit in (fits or {}).items() if name in every or not _has(case, name)}
    known_approximations = {
        name: approximation
        for name, approximation in (approximations or {}).items()
        if name in every or not _has(case, name)
    }
    problems = [
        *foreign(known, every, "calibration"),
        *foreign(known_approximations, every, "normal approximation"),
    ]
    problems += [Problem(what=each) for alteration in planned for each in alteration.unknown_to(case)]
    problems += unusable(counts={"starts": (starts, 1)}, seeds={"seed": seed})
    if problems:
        raise CalibrationError(problems)
    default = case.default_variant if case.default_variant in every else next(iter(every))
    roles = variant_roles(every, default)
    chosen = every if variants is not None else {name: every[name] for name in roles.names}
    asked, left_out = questions(chosen, roles, seed=seed)
    fits = {
        name: known.get(name)
        or calibrate(case, model, variant=name or None, starts=starts, seed=seed, progress=progress)
        for name in chosen
    }
    if any(fit.interrupted and fit not in known.values() for fit in fits.values()):
        raise KeyboardInterrupt
    approximations = {name: known_approximations.get(name) or fit.variational() for name, fit in fits.items()}
    rows = [_row(BASE, "", "the case as it stands", approximations, asked)]
    rows += _altered(planned, approximations, asked, progress)
    return Robustness(
        case=case,
        roles=roles,
        variants=tuple(chosen),
        conclusions=tuple(each.conclusion for each in asked),
        left_out=tuple(left_out),
        rows=tuple(rows),
        planned=len(planned),
        seed=seed,
        starts=starts,
        seconds=time.perf_counter() - began,
        versions=versions(),
        approximation=together(
            {name: approximation.approximation for name, approximation in approximations.items()}
        ),
    )


def _has(case: Case, variant: str) -> bool:
    return variant in {each.id for each in case.variants}


def _altered(
    planned: Sequence[Alteration],
    approximations: Mapping[str, VariationalApproximation],
    asked: Sequence[Question],
    progress: bool | None,
) -> list[ConclusionRow]:
    """A row for each alteration; those done so far when interrupted."""
    rows: list[ConclusionRow] = []
    bar = progress_bar(planned, title="alterations", progress=progress)
    try:
        for alteration in bar:
            bar.set_postfix_str(alteration.name)
            about = (alteration.id, alteration.group, alteration.name)
            try:
                found = {
                    name: _again(approximation, alteration) for name, approximation in approximations.items()
                }
                rows.append(_row(*about, found, asked))
            except CellsimError as error:
                rows.append(ConclusionRow(id=about[0], group=about[1], name=about[2], failure=str(error)))
    except KeyboardInterrupt:
        pass
    return rows


def _again(approximation: VariationalApproximation, alteration: Alteration) -> VariationalApproximation:
    """A variant's approximation under an alteration, from the one without it."""
    altered = alteration.of(approximation.objective)
    return refit(
        approximation, altered, alteration.carried(approximation.objective, approximation.theta, altered)
    )


def _row(
    name: str,
    group: str,
    words: str,
    approximations: Mapping[str, VariationalApproximation],
    asked: Sequence[Question],
) -> ConclusionRow:
    return ConclusionRow(
        id=name,
        group=group,
        name=words,
        values={each.conclusion.id: _answer(each, approximations) for each in asked},
        evidence={variant: approximation.log_evidence for variant, approximation in approximations.items()},
    )


def _answer(question: Question, approximations: Mapping[str, VariationalApproximation]) -> float:
    """The number of a conclusion; nan, which says that it cannot be asked, where its draws cannot be simulated."""
    try:
        return float(question.ask(approximations))
    except CellsimError:
        return float("nan")
