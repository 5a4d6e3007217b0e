"""The competing mechanisms of a case held against each other: evidence, what each foretells, and what would flip it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellsim.belonging import case_given, foreign, variants_chosen
from cellsim.errors import CalibrationError, Problem
from cellsim.evidence import Bridge, bridge
from cellsim.fitted import Calibration
from cellsim.fitting import calibrate
from cellsim.leaving_out import Left, all_left_out, stacking
from cellsim.likelihood import Objective, objective_of
from cellsim.nearest_normal import NearestNormal, nearest_normal
from cellsim.prior_power import ALL, evidence_slopes, groups_of, with_power
from cellsim.rivals import Rivals, rivals_of
from cellsim.saved import read_saved, whole
from cellsim.variants_words import means_of, verdict_of

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case import Case
    from cellsim.model import Model
    from cellsim.posterior import Posterior

__all__ = ["Comparison", "Power", "compare", "comparison_of"]

FORMAT = "cellsim comparison 2"
_POWERS = (0.5, 2.0)
# how many groups of priors are raised and lowered in earnest
_TRIED = 3


@dataclass(frozen=True)
class Power:
    """The lead of one variant over another under other priors.

    Attributes
    ----------
    group : str
        Whose priors.
    alpha : float
        The power.
    first, second : str
        Variants; the first leads under the case's own priors.
    before, after : float
        ln evidence of the first less that of the second.
    """

    group: str
    alpha: float
    first: str
    second: str
    before: float
    after: float

    @property
    def flips(self) -> bool:
        """Whether the order is another one."""
        return self.before * self.after < 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Variants of one case, compared.

    Made by :func:`cellsim.compare`.

    Attributes
    ----------
    fits : mapping of str to Calibration
        By variant.
    left : mapping of str to tuple of Left
        What each variant foretells of analytes and visits it was not shown; empty when not asked for.
    checks : mapping of str to Bridge
        Log evidences by bridge sampling, of the variants whose posteriors were given.
    normals : mapping of str to NearestNormal
        Evidence by the normal law nearest to each posterior, unknown sampling days integrated out, and its lower bound.
    powers : tuple of Power
        What other priors do to the lead, where that was foretold to matter most.
    doubts : tuple of str
    """

    fits: Mapping[str, Calibration]
    left: Mapping[str, tuple[Left, ...]] = field(default_factory=dict)
    checks: Mapping[str, Bridge] = field(default_factory=dict)
    normals: Mapping[str, NearestNormal] = field(default_factory=dict)
    powers: tuple[Power, ...] = ()
    doubts: tuple[str, ...] = ()

    @cached_property
    def rivals(self) -> Rivals:
        """Which variants are nulls, and which act."""
        return rivals_of({name: fit.objective for name, fit in self.fits.items()}, next(iter(self.fits)))

    @property
    def order(self) -> tuple[str, ...]:
        """Variants by evidence, the greatest first."""
        return tuple(sorted(self.fits, key=lambda name: -self.fits[name].log_evidence))

    def weights(self, by: str) -> dict[str, float]:
        """Stacking weights over ``"analyte"`` or ``"visit"``; empty when nothing was left out."""
        found = {
            name: {each.group: each.elpd for each in self.left[name] if each.by == by} for name in self.left
        }
        groups = set.intersection(*(set(each) for each in found.values())) if found else set()
        if not groups:
            return {}
        return stacking({name: [each[group] for group in sorted(groups)] for name, each in found.items()})

    def table(self) -> pd.DataFrame:
        """One row a variant, the greatest evidence first.

        Returns
        -------
        DataFrame
            Columns variant, name, ln_evidence, less_the_best, probability (at equal odds before), checked, check_error
            (ln evidence by bridge sampling, nan where not made; `ln_evidence` and `probability` are Laplace's even so),
            nearest, nearest_error, nearest_shape, bound (ln evidence by the nearest normal law, the Pareto shape of its
            weights, and its lower bound),
            how_left_out (``"Laplace"``, ``"draws"`` or ``"draws, Laplace"``; empty when nothing was), elpd_analytes, elpd_visits, weight_analytes,
            weight_visits (stacking), worst_shape (largest Pareto k among the sums taken from draws), refitted (groups),
            effective_parameters, agree (starts), starts.
        """
        import pandas as pd

        best = max(fit.log_evidence for fit in self.fits.values())
        relative = {name: np.exp(fit.log_evidence - best) for name, fit in self.fits.items()}
        by_analyte, by_visit = self.weights("analyte"), self.weights("visit")
        none = float("nan")
        rows = []
        for name in self.order:
            fit, left = self.fits[name], self.left.get(name, ())
            about = next((each for each in fit.case.variants if each.id == fit.variant), None)
            check = self.checks.get(name)
            rows.append(
                {
                    "variant": name,
                    "name": about.name if about else "",
                    "ln_evidence": fit.log_evidence,
                    "less_the_best": fit.log_evidence - best,
                    "probability": relative[name] / sum(relative.values()),
                    "checked": check.log_evidence if check else none,
                    "check_error": check.error if check else none,
                    **_of_normal(self.normals.get(name)),
                    "how_left_out": ", ".join(sorted({means_of(each) for each in left}, reverse=True)),
                    "elpd_analytes": sum(x.elpd for x in left if x.by == "analyte") if left else none,
                    "elpd_visits": sum(x.elpd for x in left if x.by == "visit") if left else none,
                    "weight_analytes": by_analyte.get(name, none),
                    "weight_visits": by_visit.get(name, none),
                    "worst_shape": max((x.shape for x in left if x.how == "draws"), default=none),
                    "refitted": sum(x.how == "refit" for x in left),
                    "effective_parameters": fit.effective_parameters,
                    "agree": fit.diagnosis["starts"]["agree"],
                    "starts": fit.diagnosis["starts"]["count"],
                }
            )
        return pd.DataFrame(rows)

    def left_out(self) -> pd.DataFrame:
        """One row a variant and group left out.

        Returns
        -------
        DataFrame
            Columns variant, by, group, rows, elpd, how (steps, refit, draws), shape (Pareto k).
        """
        import pandas as pd

        rows = [{"variant": name, **asdict(each)} for name, left in self.left.items() for each in left]
        return pd.DataFrame(rows, columns=["variant", "by", "group", "rows", "elpd", "how", "shape"])

    def sensitivity(self) -> pd.DataFrame:
        """How evidences answer to stronger priors.

        Returns
        -------
        DataFrame
            Columns group, then one a variant: d ln evidence / d ln alpha when the group's priors are raised to the
            power alpha. A difference of 1 between variants moves their lead by about 0.7 when the power is doubled.
        """
        import pandas as pd

        found = pd.DataFrame({name: evidence_slopes(self.fits[name]) for name in self.order}).fillna(0.0)
        found.insert(0, "group", found.index)
        return found.reset_index(drop=True)

    def ranks(self) -> pd.DataFrame:
        """Whether neighbours by evidence would change places under other priors, to first order.

        Returns
        -------
        DataFrame
            One row a pair and group of priors, columns first, second, lead (ln evidence of the first less that of the
            second), group, half, twice (the lead with the group's priors raised to these powers, by
            :meth:`sensitivity`), turns (whether either changes the order). What matters most for the null was fitted
            again, see :attr:`powers`.
        """
        import pandas as pd

        slopes = {name: evidence_slopes(fit) for name, fit in self.fits.items()}
        rows = []
        for first, second in pairwise(self.order):
            lead = self.fits[first].log_evidence - self.fits[second].log_evidence
            for group in sorted({*slopes[first], *slopes[second]}):
                apart = slopes[first].get(group, 0.0) - slopes[second].get(group, 0.0)
                half, twice = (lead + apart * float(np.log(alpha)) for alpha in _POWERS)
                rows.append((first, second, lead, group, half, twice, min(half, twice) < 0))
        columns = ["first", "second", "lead", "group", "half", "twice", "turns"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def verdict(self) -> str:
        """What the comparison says, in one paragraph."""
        return verdict_of(self)

    def __str__(self) -> str:
        shown = self.table().round(2).to_string(index=False, na_rep="-")
        return "\n\n".join([self.verdict, shown, *(f"Doubt: {each}" for each in self.doubts)])

    def _repr_html_(self) -> str:
        from html import escape

        said = "".join(f"<p>{escape(each)}</p>" for each in (self.verdict, *self.doubts))
        return said + self.table().round(2).to_html(index=False, na_rep="-")

    # ---- files ------------------------------------------------------------------------------------

    def to_petab_select(self, folder: str | Path, *, criterion: str = "BIC") -> Path:
        """Write the case's model space and what was found as PEtab Select files.

        Parameters
        ----------
        folder : path
            Made when it does not exist; see :func:`cellsim.formats.petab_select.write_select`.
        criterion : str
            What petab-select is to compare the models by; it knows no evidence, which stands beside its criteria. They
            count measured rows as data, and no prior.

        Returns
        -------
        pathlib.Path
            The problem file.

        Raises
        ------
        CaseError
            For an unknown criterion, or one that some model has not (AICc, of more parameters than rows), and for
            what PEtab v1 cannot express.

        Examples
        --------
        >>> compared = compare(load_case("sjogren_rfib"), seed=1)  # doctest: +SKIP
        >>> compared.to_petab_select("selection")  # doctest: +SKIP
        """
        from cellsim.formats.petab_select import write_select
        from cellsim.variants_select import calibrated_of

        fits = self.fits.values()
        case = next(iter(fits)).case
        return write_select(case, folder, [calibrated_of(fit) for fit in fits], criterion=criterion)

    def save(self, path: str | Path) -> None:
        """Write everything, calibrations included, as one JSON file."""
        content = {
            "format": FORMAT,
            "fits": {name: fit.content() for name, fit in self.fits.items()},
            "left": {name: [asdict(each) for each in left] for name, left in self.left.items()},
            "checks": {name: asdict(each) for name, each in self.checks.items()},
            "normals": {name: asdict(each) for name, each in self.normals.items()},
            "powers": [asdict(each) for each in self.powers],
            "doubts": list(self.doubts),
        }
        Path(path).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read a saved comparison.

        Raises
        ------
        CalibrationError
            If the file is none, or a calibration in it does not say again what it said.
        """
        content = read_saved(path)
        with whole(content, path, FORMAT, "a saved comparison"):
            return cls(
                fits={name: Calibration.of_content(each, path) for name, each in content["fits"].items()},
                left={name: tuple(Left(**each) for each in left) for name, left in content["left"].items()},
                checks={name: Bridge(**each) for name, each in content["checks"].items()},
                normals={name: NearestNormal(**each) for name, each in content["normals"].items()},
                powers=tuple(Power(**each) for each in content["powers"]),
                doubts=tuple(content["doubts"]),
            )


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
        Whether to foretell every analyte and visit from the others, too.
    nearest : bool
        Whether to find the normal law nearest to each posterior, whose evidence is nearer than Laplace's
        (:mod:`cellsim.nearest_normal`).
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
        _refuse_foreign({}, posteriors, {name: objective_of(case, model, variant=name) for name in chosen})
    # the default one first: what a reader asks about
    chosen.sort(key=lambda name: name != case.default_variant)
    fits: dict[str, Calibration] = {}
    doubts = []
    with _bar(len(chosen), "variants", progress) as steps:
        try:
            for name in chosen:
                steps.set_postfix_str(name)
                fits[name] = calibrate(case, model, variant=name, starts=starts, seed=seed, progress=False)
                steps.update()
        except KeyboardInterrupt:
            if not fits:
                raise
            doubts.append(
                f"interrupted: {', '.join(each for each in chosen if each not in fits)} not fitted."
            )
    return comparison_of(
        fits, posteriors=posteriors, leave_out=leave_out, nearest=nearest, doubts=doubts, progress=progress
    )


def comparison_of(
    fits: Mapping[str, Calibration],
    *,
    posteriors: Mapping[str, Posterior] | None = None,
    leave_out: bool = True,
    nearest: bool = True,
    doubts: Sequence[str] = (),
    progress: bool | None = None,
) -> Comparison:
    """Compare variants that are already calibrated.

    Parameters
    ----------
    fits : mapping of str to Calibration
        By variant; the one of most interest first.
    posteriors, leave_out, nearest, progress
        As for :func:`compare`.
    doubts : sequence of str
        Known already.

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
    _refuse_foreign(fits, posteriors, alike)
    left: dict[str, tuple[Left, ...]] = {}
    checks: dict[str, Bridge] = {}
    normals: dict[str, NearestNormal] = {}
    powers: list[Power] = []
    try:
        for name, post in posteriors.items():
            rows = post.drawn.scored.log_likelihood
            checks[name] = bridge(
                post.objective, post.drawn.thetas, rows.sum(axis=-1), seed=post.drawn.run.seed
            )
        if nearest:
            with _bar(len(fits), "nearest normal laws", progress) as steps:
                for name, fit in fits.items():
                    steps.set_postfix_str(name)
                    try:
                        normals[name] = nearest_normal(fit.objective, fit.mixture, seed=fit.seed)
                    except CalibrationError as error:
                        doubts.append(f"no nearest normal law of {name}: {error}")
                    steps.update()
        if leave_out:
            with _bar(len(fits), "left out", progress) as steps:
                for name, fit in fits.items():
                    steps.set_postfix_str(name)
                    given = posteriors.get(name)
                    draws = None
                    if given is not None:
                        draws = given.drawn.scored.log_likelihood.reshape(-1, len(fit.objective.terms))
                    left[name] = all_left_out(fit.objective, fit.mixture, draws=draws)
                    steps.update()
        tried = list(_worth_trying(fits))
        with _bar(len(tried), "other priors", progress) as steps:
            for group, first, second in tried:
                powers += [_power(fits, group, alpha, first, second) for alpha in _POWERS]
                steps.update()
    except KeyboardInterrupt:
        doubts.append("interrupted: what was not done is missing in the tables.")
    for name, check in checks.items():
        if check.lost:
            doubts.append(
                f"{check.lost} draws of {name} could not be scored and play no part in its bridge sampling."
            )
        apart = check.log_evidence - fits[name].log_evidence
        if abs(apart) > max(1.0, 3 * check.error):
            doubts.append(
                f"bridge sampling puts the ln evidence of {name} {apart:+.1f} from Laplace's (its own error "
                f"{check.error:.1f}); believe differences of that size of no variant."
            )
    return Comparison(dict(fits), left, checks, normals, tuple(powers), tuple(doubts))


def _of_normal(found: NearestNormal | None) -> dict[str, float]:
    """Its columns in a table; nan without one."""
    if found is None:
        return dict.fromkeys(("nearest", "nearest_error", "nearest_shape", "bound"), float("nan"))
    return {
        "nearest": found.log_evidence,
        "nearest_error": found.error,
        "nearest_shape": found.shape,
        "bound": found.bound,
    }


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


def _worth_trying(fits: Mapping[str, Calibration]) -> Iterator[tuple[str, str, str]]:
    """Groups of priors that move most the lead of the best null over the best that acts, or of the best two."""
    if len(fits) < 2:
        return
    rivals = rivals_of({name: fit.objective for name, fit in fits.items()}, next(iter(fits)))
    order = sorted(fits, key=lambda name: -fits[name].log_evidence)
    first, second = order[:2]
    if rivals.nulls and rivals.acting:
        null = next(name for name in order if name in rivals.nulls)
        acts = next(name for name in order if name in rivals.acting)
        first, second = sorted((null, acts), key=order.index)
    one, other = evidence_slopes(fits[first]), evidence_slopes(fits[second])
    by_size = sorted(
        {*one, *other} - {ALL}, key=lambda group: -abs(one.get(group, 0.0) - other.get(group, 0.0))
    )
    for group in [*by_size[:_TRIED], ALL]:
        yield group, first, second


def _power(fits: Mapping[str, Calibration], group: str, alpha: float, first: str, second: str) -> Power:
    one, other = (
        with_power(fits[name], groups_of(fits[name]).get(group, ()), alpha) for name in (first, second)
    )
    return Power(
        group, alpha, first, second, fits[first].log_evidence - fits[second].log_evidence, one - other
    )


def _bar(total: int, title: str, progress: bool | None):  # type: ignore[no-untyped-def]
    from tqdm import tqdm

    show = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, desc=title, disable=not show, leave=False)
