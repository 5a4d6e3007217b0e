"""The same conclusions drawn again under everything that may have been otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellsim.case.records import variant_names
from cellsim.comparison.alterations import Alteration, alterations_of, days_held
from cellsim.comparison.conclusions import Question, questions
from cellsim.comparison.evidence import Evidence, altered, evidence_and_draws, hopeless
from cellsim.comparison.reweighting import Exact, Reweighted, Reweighting
from cellsim.comparison.robustness_table import BASE, ConclusionRow, Robustness
from cellsim.comparison.variant_roles import variant_roles
from cellsim.errors import CalibrationError, CellsimError, Problem, unusable
from cellsim.likelihood.compatibility import case_given, foreign, variants_chosen
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.approximation import together
from cellsim.posterior.calibration import Calibration, versions
from cellsim.posterior.fitting import calibrate
from cellsim.processes import MANY_PARAMETERS, Held, in_processes
from cellsim.streams import progress_bar
from cellsim.sweeps.agreement import off_by

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.comparison.comparison import Comparison
    from cellsim.model.model import Model
    from cellsim.posterior.posterior import Posterior

__all__ = ["robustness"]

# alterations that a process weighs at a time, draws being sent with them
_TOGETHER = 8


def robustness(
    case: Case,
    model: Model | None = None,
    *,
    variants: Sequence[str] | str | None = None,
    alterations: Sequence[Alteration] | None = None,
    fits: Mapping[str, Calibration] | None = None,
    posteriors: Mapping[str, Posterior] | None = None,
    compared: Comparison | None = None,
    starts: int = 10,
    seed: int = 0,
    progress: bool | None = None,
) -> Robustness:
    """Draw the conclusions of a case again under everything plausible that may have been otherwise.

    Each alteration changes one thing: a sampling day, days of infusion, a reference limit, the width of a prior, the
    noise, an analyte or a visit left out. Draws of each variant's posterior are weighted for it, or moved and then weighted
    (:mod:`cellsim.comparison.reweighting`), or where that cannot be trusted made afresh, and every conclusion is asked again; every number carries its Pareto k.

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
    posteriors : mapping of str to Posterior, optional
        Draws of variants that are sampled already (with ``hierarchy=False``); the others are sampled first.
    compared : Comparison, optional
        Of this case and model, made in this process: its calibrations, evidences and draws are taken, and what these were weighted for is
        not asked again.
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
        For unknown variants, if calibrations given are not of this case, model and variant, or an alteration names what the case does not
        have. An alteration that cannot be weighed is told in its row.

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
    fits = {**(compared.fits if compared else {}), **(fits or {})}
    known = {name: fit for name, fit in fits.items() if name in every or not _has(case, name)}
    drawn = {name: post for name, post in (posteriors or {}).items() if name in every or not _has(case, name)}
    problems = [*foreign(known, every, "calibration"), *foreign(drawn, every, "posterior")]
    problems += [Problem(what=each) for alteration in planned for each in alteration.unknown_to(case)]
    problems += unusable(counts={"starts": (starts, 1)}, seeds={"seed": seed})
    if problems:
        raise CalibrationError(problems)
    default = case.default_variant if case.default_variant in every else next(iter(every))
    roles = variant_roles(every, default)
    chosen = every if variants is not None else {name: every[name] for name in roles.names}
    fits = {
        name: known.get(name)
        or calibrate(case, model, variant=name or None, starts=starts, seed=seed, progress=progress)
        for name in chosen
    }
    if any(fit.interrupted and fit not in known.values() for fit in fits.values()):
        raise KeyboardInterrupt
    both = {
        name: (compared.known[name], compared.drawn[name])
        if compared and name in compared.drawn and fit is compared.fits.get(name)
        else evidence_and_draws(fit, drawn.get(name), days=days_held(planned), seed=seed, progress=progress)
        for name, fit in fits.items()
    }
    told = {name: why for name, (each, _) in both.items() if name != default and (why := hopeless(each))}
    both = {name: each for name, each in both.items() if name not in told}
    chosen = {name: each for name, each in chosen.items() if name not in told}
    roles = roles.without(told)
    error = max(evidence.error for evidence, _ in both.values())
    weighted = {name: each for name, (_, each) in both.items()}
    margin = off_by([float(np.sqrt(2)) * error])
    asked, left_out = questions(chosen, roles, margin=margin, seed=seed)
    called = variant_names(case.variants)
    left_out += [f"Not computed for “{called.get(name, name)}”: {why}." for name, why in told.items()]
    base = {name: each.unaltered() for name, each in weighted.items()}
    rows = [_row(BASE, "", "the case as it stands", base, asked)]
    about = {name: (fits[name], evidence, each) for name, (evidence, each) in both.items()}
    rows += _altered(planned, about, asked, seed, progress)
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
        approximation=together({name: each.approximation for name, each in base.items()}),
    )


def _has(case: Case, variant: str) -> bool:
    return variant in {each.id for each in case.variants}


def _altered(
    planned: Sequence[Alteration],
    about: Mapping[str, tuple[Calibration, Evidence, Reweighting | Exact]],
    asked: Sequence[Question],
    seed: int,
    progress: bool | None,
) -> list[ConclusionRow]:
    """A row for each alteration; those done so far when interrupted."""
    rows: list[ConclusionRow] = []
    worth = any(len(fit.objective.names) >= MANY_PARAMETERS for fit, _, _ in about.values())
    size = _TOGETHER if worth else 1
    held = {name: Held(each) for name, each in about.items()}
    parts = [planned[first : first + size] for first in range(0, len(planned), size)]
    made = in_processes(_again, [(each, part, seed) for part in parts for each in held.values()], worth=worth)
    try:
        with progress_bar(total=len(planned), title="alterations", progress=progress) as bar:
            for part in parts:
                by_variant = {name: next(made) for name in held}
                for k, alteration in enumerate(part):
                    found = {name: each[k] for name, each in by_variant.items()}
                    rows.append(_altered_row(alteration, found, asked))
                    bar.update()
    except KeyboardInterrupt:
        pass
    finally:
        made.close()
    return rows


def _altered_row(
    alteration: Alteration, found: Mapping[str, Reweighted | CellsimError], asked: Sequence[Question]
) -> ConclusionRow:
    about = (alteration.id, alteration.group, alteration.name)
    try:
        posteriors = {}
        for name, each in found.items():
            if isinstance(each, CellsimError):
                raise each
            posteriors[name] = each
        return _row(*about, posteriors, asked)
    except CellsimError as error:
        return ConclusionRow(id=about[0], group=about[1], name=about[2], failure=str(error))


def _again(
    about: tuple[Calibration, Evidence, Reweighting | Exact], alterations: Sequence[Alteration], seed: int
) -> list[Reweighted | CellsimError]:
    """A variant's posterior under each alteration, or why there is none."""
    fit, known, weighted = about
    out: list[Reweighted | CellsimError] = []
    for each in alterations:
        try:
            out.append(altered(fit, known, weighted, each.of(weighted.objective), seed=seed))
        except CellsimError as error:
            out.append(error)
    return out


def _row(
    name: str, group: str, words: str, posteriors: Mapping[str, Reweighted], asked: Sequence[Question]
) -> ConclusionRow:
    return ConclusionRow(
        id=name,
        group=group,
        name=words,
        values={each.conclusion.id: _answer(each, posteriors, altered=name != BASE) for each in asked},
        evidence={variant: np.nan if post.few else post.log_evidence for variant, post in posteriors.items()},
        shapes={variant: post.pareto_k for variant, post in posteriors.items()},
    )


def _answer(question: Question, posteriors: Mapping[str, Reweighted], *, altered: bool = True) -> float:
    """The number of a conclusion; nan, which says that it cannot be asked, where its draws cannot be simulated, or are not to be trusted
    once a case was altered."""
    asked = _Asked(posteriors)
    try:
        found = float(question.ask(asked))
    except CellsimError:
        return float("nan")
    # of draws that are worth next to nothing a number would pass for a change
    told = not altered or question.of_rows or all(posteriors[name].trusted for name in asked.names)
    return found if told else float("nan")


class _Asked(Mapping[str, Reweighted]):
    """Posteriors that remember which of them were looked at."""

    def __init__(self, posteriors: Mapping[str, Reweighted]) -> None:
        self.posteriors, self.names = posteriors, set[str]()

    def __getitem__(self, name: str) -> Reweighted:
        self.names.add(name)
        return self.posteriors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.posteriors)

    def __len__(self) -> int:
        return len(self.posteriors)

    def __contains__(self, name: object) -> bool:
        return name in self.posteriors
