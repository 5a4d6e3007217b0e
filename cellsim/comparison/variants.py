"""The competing mechanisms of a case fitted and held against each other: evidence, prediction of left-out rows, other priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.alterations import days_of
from cellsim.comparison.comparison import Comparison, Power
from cellsim.comparison.evidence import (
    ALL,
    POWERS,
    Change,
    Evidence,
    change_of,
    evidence_and_draws,
    groups_of,
    hopeless,
    with_power,
)
from cellsim.comparison.left_out import Left, all_left_out
from cellsim.comparison.reweighting import Exact, Reweighting
from cellsim.errors import CalibrationError, CutShortError, Problem
from cellsim.likelihood.compatibility import case_given, foreign, variants_chosen
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.fitting import calibrate
from cellsim.processes import MANY_PARAMETERS, in_processes
from cellsim.streams import progress_bar

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.model.model import Model
    from cellsim.posterior.posterior import Posterior

__all__ = ["compare", "comparison_of"]

# how many groups of priors are raised and lowered in earnest
_TRIED = 3
# nats behind the best beyond which what a variant predicts is worth no fresh draws
_FAR = 10.0


def compare(
    case: Case,
    model: Model | None = None,
    *,
    variants: Sequence[str] | str | None = None,
    posteriors: Mapping[str, Posterior] | None = None,
    leave_out: bool = True,
    effective: int = 400,
    starts: int = 8,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Fit every variant of a case and compare what they make of the data.

    Parameters
    ----------
    case : Case
    model : Model, optional
        The case's own by default.
    variants : str or sequence of str, optional
        Rows of the case's model space; all by default.
    posteriors : mapping of str to Posterior, optional
        Draws of some variants (made with ``hierarchy=False``); the others are sampled (:func:`cellsim.sample`, ``method="collapsed"``).
    leave_out : bool
        Whether to predict every analyte and visit from the others, too. Without, nothing is sampled anew for other priors either:
        what the draws at hand tell is told with its Pareto k.
    effective : int
        Effective draws asked for of each variant that is sampled.
    starts, seed : int
        Of each calibration; the seed of draws as well.
    progress : bool, optional
        Show a bar with the time left; by default only on a terminal.

    Returns
    -------
    Comparison
        Of fewer variants after an interrupt, and saying so.

    Raises
    ------
    CalibrationError
        For unknown variants, a case without variants, or posteriors of another variant, case or model.

    Examples
    --------
    >>> import cellsim as cs
    >>> compared = cs.compare(cs.load_case("sjogren_rfib"), seed=1)  # doctest: +SKIP
    >>> print(compared.verdict)  # doctest: +SKIP
    """
    case_given(case, "compare")
    if not case.variants:
        raise CalibrationError(f"{case.name} has no variants; give it a model_space.tsv to compare any.")
    chosen = list(variants_chosen(case, variants))
    if posteriors:
        _refuse_foreign({}, posteriors, {name: objective_of(case, model, variant=name) for name in chosen})
    # the default one first: what a reader asks about
    chosen.sort(key=lambda name: name != case.default_variant)
    fits: dict[str, Calibration] = {}
    doubts: list[str] = []
    interrupted = False
    with progress_bar(total=len(chosen), title="variants", progress=progress) as steps:
        try:
            for name in chosen:
                steps.set_postfix_str(name)
                fits[name] = calibrate(case, model, variant=name, starts=starts, seed=seed, progress=False)
                steps.update()
                if fits[name].interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not fits:
                raise
            interrupted = True
            doubts += [
                f"{name}: {fit.diagnosis['doubts'][0]}" for name, fit in fits.items() if fit.interrupted
            ]
            if missing := [each for each in chosen if each not in fits]:
                doubts.append(f"interrupted: {', '.join(missing)} not fitted.")
    return comparison_of(
        fits,
        posteriors={name: post for name, post in (posteriors or {}).items() if name in fits},
        leave_out=leave_out,
        effective=effective,
        seed=seed,
        doubts=doubts,
        interrupted=interrupted,
        progress=progress,
    )


def comparison_of(
    fits: Mapping[str, Calibration],
    *,
    posteriors: Mapping[str, Posterior] | None = None,
    leave_out: bool = True,
    effective: int = 400,
    seed: int = 0,
    doubts: Sequence[str] = (),
    interrupted: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Compare variants that are already calibrated.

    Parameters
    ----------
    fits : mapping of str to Calibration
        By variant; the one of most interest first.
    posteriors, leave_out, effective, seed, progress
        As for :func:`compare`.
    doubts : sequence of str
        Known already.
    interrupted : bool
        Whether an interrupt came while the variants were calibrated; those without draws are then left out.

    Returns
    -------
    Comparison
        Of the variants whose posteriors were drawn before an interrupt, and saying so.

    Raises
    ------
    CalibrationError
        If a result is not of the variant it is filed under, or of another case, model or noise than the first.
    """
    if not fits:
        raise CalibrationError("no calibration was given to compare.")
    drawn, doubts = dict(posteriors or {}), list(doubts)
    about = next(iter(fits.values())).objective
    alike = {
        name: objective_of(about.case, about.model, variant=name or None, degrees=about.degrees)
        for name in fits
        if name in {each.id for each in about.case.variants} or not about.case.variants
    }
    _refuse_foreign(fits, drawn, alike)
    left: dict[str, tuple[Left, ...]] = {}
    known: dict[str, Evidence] = {}
    weighted: dict[str, Reweighting | Exact] = {}
    powers: list[Power] = []
    failed: list[str] = []
    spared: dict[str, str] = {}
    days = days_of(about.case)
    try:
        with progress_bar(total=len(fits), title="posteriors", progress=progress) as steps:
            for name, fit in fits.items():
                steps.set_postfix_str(name)
                if name in drawn or not interrupted:
                    try:
                        known[name], weighted[name] = evidence_and_draws(
                            fit,
                            drawn.get(name),
                            days=days,
                            effective=effective,
                            seed=seed,
                            progress=False,
                        )
                    except CutShortError:
                        raise KeyboardInterrupt from None
                    except CalibrationError as error:
                        failed.append(f"no evidence of {name or fit.case.name}, which is left out: {error}")
                steps.update()
        if interrupted:
            raise KeyboardInterrupt
        if leave_out:
            spared = _spared(known)
            asked = [name for name in weighted if not hopeless(known[name])]
            calls = [(fits[name], known[name], weighted[name], seed, name not in spared) for name in asked]
            made = in_processes(_left_out_of, calls, worth=any(map(_large, fits.values())))
            with progress_bar(total=len(asked), title="left out", progress=progress) as steps:
                for name, (found, problems, each) in zip(asked, made, strict=True):
                    left[name], weighted[name] = tuple(found), each
                    doubts += problems
                    steps.update()
        so_far = Comparison({name: fits[name] for name in known}, known)
        powers, untold = _powers(so_far, weighted, seed=seed, thorough=leave_out, progress=progress)
        doubts += untold
    except KeyboardInterrupt:
        if not known:
            raise
        interrupted = True
        doubts.append("interrupted: what was not done is missing in the tables.")
    if not known:
        raise CalibrationError([Problem(what=each) for each in failed])
    doubts += failed
    doubts += [
        f"{each.lost} draws of {name} could not be scored and play no part in its {each.means}."
        for name, each in known.items()
        if each.lost
    ]
    kept = {name: fit for name, fit in fits.items() if name in known}
    return Comparison(kept, known, left, tuple(powers), tuple(doubts), interrupted, spared, weighted)


def _large(fit: Calibration) -> bool:
    return len(fit.objective.names) >= MANY_PARAMETERS


def _left_out_of(
    fit: Calibration, known: Evidence, weighted: Reweighting | Exact, seed: int, thorough: bool
) -> tuple[list[Left], list[str], Reweighting | Exact]:
    """All left-out rows of a variant, and its draws with what they were weighted for."""
    return *all_left_out(fit, known, weighted, seed=seed, thorough=thorough), weighted


def _spared(known: Mapping[str, Evidence]) -> dict[str, str]:
    """Variants of which leaving rows out would tell next to nothing, and why: draws that stand for nothing, or an evidence far behind."""
    best = max(
        (each.log_evidence for each in known.values() if not each.pareto_k > LARGEST_SHAPE),
        default=-np.inf,
    )
    out = {}
    for name, each in known.items():
        if not_to_trust := hopeless(each):
            out[name] = not_to_trust
        elif each.pareto_k >= LARGEST_SHAPE:
            out[name] = f"weights of its own draws are uneven (Pareto k {each.pareto_k:.2f})"
        elif (behind := best - each.log_evidence) > _FAR:
            out[name] = f"its evidence lies {behind:.0f} nats behind the best"
    return out


def _refuse_foreign(
    fits: Mapping[str, Calibration], posteriors: Mapping[str, Posterior], expected: Mapping[str, Objective]
) -> None:
    """Refuse results that are not of the variant, case, model and noise they are compared as."""
    problems: list[Problem] = [
        *foreign(fits, expected, "calibration"),
        *foreign(posteriors, expected, "posterior"),
    ]
    if problems:
        raise CalibrationError(problems)


def _worth_trying(found: Comparison) -> tuple[list[str], Sequence[str]]:
    """Groups of priors that move most the lead of the best null over the best that acts, or of the best two; and these two, the first the
    better one."""
    if len(found.fits) < 2:
        return [], ()
    order, roles = found.order, found.roles
    pair = order[0], order[1]
    if roles.nulls and roles.acting:
        null = next(name for name in order if name in roles.nulls)
        acts = next(name for name in order if name in roles.acting)
        pair = (null, acts) if order.index(null) < order.index(acts) else (acts, null)
    one, other = (found.slopes(name) for name in pair)
    by_size = sorted(
        {*one, *other} - {ALL}, key=lambda group: -abs(one.get(group, 0.0) - other.get(group, 0.0))
    )
    return [*by_size[:_TRIED], ALL], pair


def _powers(
    found: Comparison,
    weighted: Mapping[str, Reweighting | Exact],
    *,
    seed: int,
    thorough: bool,
    progress: bool | None,
) -> tuple[list[Power], list[str]]:
    """The lead of one variant over another, and what other priors make of it; each variant in a process."""
    tried, pair = _worth_trying(found)
    calls = [(found.fits[name], found.known[name], weighted[name], tried, seed, thorough) for name in pair]
    changes = []
    with progress_bar(total=len(pair), title="other priors", progress=progress) as steps:
        for made in in_processes(_under_powers, calls, worth=any(map(_large, found.fits.values()))):
            changes.append(made)
            steps.update()
    powers, untold = [], []
    for group, alpha in product(tried, POWERS):
        (one, other), (first, second) = pair, (each[group, alpha] for each in changes)
        if isinstance(first, str) or isinstance(second, str):
            why = first if isinstance(first, str) else second
            untold.append(f"other priors of {group} could not be tried: {why}")
            continue
        before = found.evidences[one] - found.evidences[other]
        after = before + first.value - second.value
        powers.append(Power(group, alpha, one, other, before, after, max(first.shape, second.shape)))
    return powers, untold


def _under_powers(
    fit: Calibration,
    known: Evidence,
    weighted: Reweighting | Exact,
    groups: Sequence[str],
    seed: int,
    thorough: bool,
) -> dict[tuple[str, float], Change | str]:
    """What priors of each group raised to each power make of the evidence of a variant, or why that is not known."""
    out: dict[tuple[str, float], Change | str] = {}
    for group, alpha in product(groups, POWERS):
        altered = with_power(fit.objective, groups_of(fit).get(group, ()), alpha)
        try:
            out[group, alpha] = change_of(fit, known, weighted, altered, seed=seed, thorough=thorough)
        except CalibrationError as error:
            out[group, alpha] = str(error)
    return out
