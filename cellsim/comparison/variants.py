"""The competing mechanisms of a case fitted and held against each other: evidence, prediction of left-out rows, other priors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.comparison import Comparison, Power
from cellsim.comparison.evidence import (
    ALL,
    POWERS,
    Bridge,
    evidence_of,
    groups_of,
    with_power,
    with_power_by_weights,
)
from cellsim.comparison.left_out import Left, all_left_out
from cellsim.comparison.verdicts import VARIATIONAL_OFF
from cellsim.errors import CalibrationError, Problem
from cellsim.likelihood.compatibility import case_given, foreign, variants_chosen
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.variational import VariationalApproximation, VariationalEvidence
from cellsim.results import difference
from cellsim.streams import progress_bar

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.model.model import Model
    from cellsim.posterior.posterior import Posterior

__all__ = ["compare", "comparison_of"]

# how many groups of priors are raised and lowered in earnest
_TRIED = 3


def compare(
    case: Case,
    model: Model | None = None,
    *,
    variants: Sequence[str] | str | None = None,
    posteriors: Mapping[str, Posterior] | None = None,
    leave_out: bool = True,
    nearest: bool = True,
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
        Draws of some variants (made with ``hierarchy=False``), to check their evidences by bridge sampling.
    leave_out : bool
        Whether to predict every analyte and visit from the others, too.
    nearest : bool
        Whether to find the Gaussian variational approximation of each posterior, whose evidence is nearer than Laplace's
        (:mod:`cellsim.posterior.variational_fitting`).
    starts, seed : int
        Of each calibration.
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
        _refuse_foreign(
            {}, posteriors, {name: objective_of(case, model, variant=name) for name in chosen}, {}
        )
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
        nearest=nearest,
        doubts=doubts,
        interrupted=interrupted,
        progress=progress,
    )


def comparison_of(
    fits: Mapping[str, Calibration],
    *,
    posteriors: Mapping[str, Posterior] | None = None,
    approximations: Mapping[str, VariationalApproximation] | None = None,
    leave_out: bool = True,
    nearest: bool = True,
    doubts: Sequence[str] = (),
    interrupted: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Compare variants that are already calibrated.

    Parameters
    ----------
    fits : mapping of str to Calibration
        By variant; the one of most interest first.
    posteriors, leave_out, nearest, progress
        As for :func:`compare`.
    approximations : mapping of str to VariationalApproximation, optional
        Variational approximations that are known already.
    doubts : sequence of str
        Known already.
    interrupted : bool
        Whether an interrupt came while the variants were calibrated; nothing more is then computed.

    Returns
    -------
    Comparison

    Raises
    ------
    CalibrationError
        If a result is not of the variant it is filed under, or of another case, model or noise than the first.
    """
    if not fits:
        raise CalibrationError("no calibration was given to compare.")
    posteriors, doubts = dict(posteriors or {}), list(doubts)
    about = next(iter(fits.values())).objective
    alike = {
        name: objective_of(about.case, about.model, variant=name or None, degrees=about.degrees)
        for name in fits
        if name in {each.id for each in about.case.variants} or not about.case.variants
    }
    known = dict(approximations or {})
    _refuse_foreign(fits, posteriors, alike, known)
    left: dict[str, tuple[Left, ...]] = {}
    checks: dict[str, Bridge] = {}
    found = dict(known) if nearest else {}
    powers: list[Power] = []
    try:
        if interrupted:
            raise KeyboardInterrupt
        for name, post in posteriors.items():
            checks[name] = evidence_of(post)
        if nearest:
            with progress_bar(
                total=len(fits), title="variational approximations", progress=progress
            ) as steps:
                for name, fit in fits.items():
                    steps.set_postfix_str(name)
                    try:
                        if name not in found:
                            found[name] = fit.variational()
                    except CalibrationError as error:
                        doubts.append(f"no variational approximation of {name or fit.case.name}: {error}")
                    steps.update()
        if leave_out:
            with progress_bar(total=len(fits), title="left out", progress=progress) as steps:
                for name, fit in fits.items():
                    steps.set_postfix_str(name)
                    given = posteriors.get(name)
                    draws = None
                    if given is not None:
                        draws = given.drawn.scored.log_likelihood.reshape(-1, len(fit.objective.terms))
                    left[name] = all_left_out(
                        fit.objective, fit.mixture, draws=draws, approximation=found.get(name)
                    )
                    steps.update()
        so_far = Comparison(dict(fits), checks=checks, normals=_normals(found))
        tried, near = list(_worth_trying(so_far)), dict(found)
        with progress_bar(total=len(tried), title="other priors", progress=progress) as steps:
            for group, first, second in tried:
                try:
                    powers += [
                        _power(so_far, posteriors, near, group, alpha, first, second) for alpha in POWERS
                    ]
                except CalibrationError as error:
                    doubts.append(f"other priors of {group} could not be tried: {error}")
                steps.update()
    except KeyboardInterrupt:
        interrupted = True
        doubts.append("interrupted: what was not done is missing in the tables.")
    normals = _normals(found)
    doubts += [
        f"{normal.lost} draws of the variational approximation of {name} could not be simulated and have no weight in its evidence."
        for name, normal in normals.items()
        if normal.lost
    ]
    for name, check in checks.items():
        if check.lost:
            doubts.append(
                f"{check.lost} draws of {name} could not be scored and play no part in its {check.means}."
            )
        nearer = normals.get(name, fits[name])
        apart = check.log_evidence - nearer.log_evidence
        if abs(apart) > max(VARIATIONAL_OFF if name in normals else 1.0, 3 * check.error):
            by = "the variational approximation's" if name in normals else "Laplace's"
            doubts.append(
                f"{check.means} puts the ln evidence of {name} {difference(apart, 'above', 'below')} {by} (its own error "
                f"{check.error:.1f}); believe differences of that size of no variant."
            )
    return Comparison(dict(fits), left, checks, normals, tuple(powers), tuple(doubts), interrupted)


def _refuse_foreign(
    fits: Mapping[str, Calibration],
    posteriors: Mapping[str, Posterior],
    expected: Mapping[str, Objective],
    approximations: Mapping[str, VariationalApproximation],
) -> None:
    """Refuse results that are not of the variant, case, model and noise they are compared as."""
    problems: list[Problem] = [
        *foreign(fits, expected, "calibration"),
        *foreign(posteriors, expected, "posterior"),
        *foreign(approximations, expected, "normal approximation"),
    ]
    if problems:
        raise CalibrationError(problems)


def _normals(approximations: Mapping[str, VariationalApproximation]) -> dict[str, VariationalEvidence]:
    return {name: approximation.evidence for name, approximation in approximations.items()}


def _worth_trying(found: Comparison) -> Iterator[tuple[str, str, str]]:
    """Groups of priors that move most the lead of the best null over the best that acts, or of the best two."""
    if len(found.fits) < 2:
        return
    order, roles = found.order, found.roles
    first, second = order[:2]
    if roles.nulls and roles.acting:
        null = next(name for name in order if name in roles.nulls)
        acts = next(name for name in order if name in roles.acting)
        first, second = sorted((null, acts), key=order.index)
    one, other = found.slopes(first), found.slopes(second)
    by_size = sorted(
        {*one, *other} - {ALL}, key=lambda group: -abs(one.get(group, 0.0) - other.get(group, 0.0))
    )
    for group in [*by_size[:_TRIED], ALL]:
        yield group, first, second


def _power(
    found: Comparison,
    posteriors: Mapping[str, Posterior],
    approximations: dict[str, VariationalApproximation],
    group: str,
    alpha: float,
    first: str,
    second: str,
) -> Power:
    """The lead by the comparison's own means, and what the other priors add to it by weights, else by approximations."""
    before = found.evidences[first] - found.evidences[second]
    more = []
    for name in (first, second):
        fit, post = found.fits[name], posteriors.get(name)
        columns = groups_of(fit).get(group, [])
        change = np.nan if post is None else with_power_by_weights(post, columns, alpha)
        if np.isnan(change):
            if post is not None and name not in approximations:
                approximations[name] = fit.variational()
            approximation = approximations.get(name)
            change = with_power(fit, columns, alpha, approximation=approximation) - (
                fit.log_evidence if approximation is None else approximation.log_evidence
            )
        more.append(change)
    return Power(group, alpha, first, second, before, before + more[0] - more[1])
