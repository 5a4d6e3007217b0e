"""Variants of a case held against each other: the result, its tables, its words, its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.evidence import BRIDGE, COLLAPSED, EITHER, POWERS, Bridge, evidence_slopes
from cellsim.comparison.left_out import Left, stacking
from cellsim.comparison.variant_roles import VariantRoles, variant_roles
from cellsim.comparison.verdicts import means_of, verdict_of
from cellsim.errors import CalibrationError, did_you_mean
from cellsim.files import write_whole
from cellsim.posterior.approximation import Approximation, together
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.variational import VariationalEvidence
from cellsim.results import read_saved, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Power"]

FORMAT = "cellsim comparison 4"
_LEFT_BY = ("analyte", "visit")


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
        What each variant predicts of analytes and visits it was not shown; empty when not asked for.
    checks : mapping of str to Bridge
        Log evidences by bridge sampling or the collapsed sampler, of the variants whose posteriors were given.
    normals : mapping of str to VariationalEvidence
        Evidence by the Gaussian variational approximation of each posterior, unknown sampling days integrated out, and its lower bound.
    powers : tuple of Power
        What other priors do to the lead, where that was predicted to matter most.
    doubts : tuple of str
    interrupted : bool
        Whether something is missing because an interrupt came.
    """

    fits: Mapping[str, Calibration]
    left: Mapping[str, tuple[Left, ...]] = field(default_factory=dict)
    checks: Mapping[str, Bridge] = field(default_factory=dict)
    normals: Mapping[str, VariationalEvidence] = field(default_factory=dict)
    powers: tuple[Power, ...] = ()
    doubts: tuple[str, ...] = ()
    interrupted: bool = False

    @cached_property
    def roles(self) -> VariantRoles:
        """Which variants are nulls, and which act."""
        return variant_roles({name: fit.objective for name, fit in self.fits.items()}, next(iter(self.fits)))

    @property
    def sampled(self) -> bool:
        """Whether the evidence of every variant is known from draws of its posterior."""
        return all(name in self.checks for name in self.fits)

    @property
    def checked_by(self) -> str:
        """How draws told the evidences that they told: ``"bridge sampling"``, ``"the collapsed sampler"`` or ``"sampling"``, some by
        one and some by the other."""
        means = {each.means for each in self.checks.values()} or {BRIDGE}
        return means.pop() if len(means) == 1 else EITHER

    @property
    def by(self) -> str:
        """The best means by which every variant's evidence is known.

        :attr:`checked_by`, else ``"variational approximation"``, else ``"Laplace"``.
        """
        if self.sampled:
            return self.checked_by
        return "variational approximation" if all(name in self.normals for name in self.fits) else "Laplace"

    @property
    def approximation(self) -> Approximation:
        """What the evidences that make the order rest on, with every doubt about them, each by its variant."""
        kind = {
            BRIDGE: "chains",
            EITHER: "chains",
            COLLAPSED: "collapsed",
            "variational approximation": "variational",
        }.get(self.by, "laplace")
        found = together({name: self._approximated(name, kind) for name in self.fits})
        return Approximation(kind, (*self.doubts, *found.doubts))

    def _approximated(self, name: str, kind: str) -> Approximation:
        """One variant by one approximation, with what is doubted of it."""
        fit, check, normal = self.fits[name], self.checks.get(name), self.normals.get(name)
        if self.sampled:
            return Approximation(kind, () if check is None else check.doubts)
        if kind == "variational":
            return Approximation(kind, (*fit.at_optimum.doubts, *(() if normal is None else normal.doubts)))
        return fit.approximation

    @property
    def evidences(self) -> dict[str, float]:
        """ln evidence of every variant by these means."""
        if self.sampled:
            return {name: self.checks[name].log_evidence for name in self.fits}
        if self.by == "variational approximation":
            return {name: self.normals[name].log_evidence for name in self.fits}
        return {name: fit.log_evidence for name, fit in self.fits.items()}

    @property
    def order(self) -> tuple[str, ...]:
        """Variants by evidence, the greatest first."""
        evidences = self.evidences
        return tuple(sorted(self.fits, key=lambda name: -evidences[name]))

    def weights(self, by: str) -> dict[str, float]:
        """Stacking weights over ``"analyte"`` or ``"visit"``; empty when nothing was left out.

        Raises
        ------
        CalibrationError
            For anything else.
        """
        if by not in _LEFT_BY:
            raise CalibrationError(f"no weights by {by!r}. {did_you_mean(by, _LEFT_BY)}")
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
            Columns variant, name, ln_evidence, by (see :attr:`by`), less_the_best, probability (at equal odds before),
            laplace (ln evidence by Laplace's approximation), nearest, nearest_error, nearest_shape, bound (by the nearest
            normal approximation, the Pareto shape of its weights, and its lower bound), checked, check_error (by bridge sampling; nan
            where not made), how_left_out (by which of ``"draws"``, ``"variational approximation"``, ``"Laplace"``; empty when nothing was), elpd_analytes, elpd_visits, weight_analytes,
            weight_visits (stacking), worst_shape (largest Pareto k among the sums taken from draws), refitted (groups),
            effective_parameters, agree (starts), starts, approximation and doubts (of the evidences that make the order).
        """
        import pandas as pd

        evidences = self.evidences
        best = max(evidences.values())
        relative = {name: np.exp(each - best) for name, each in evidences.items()}
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
                    "ln_evidence": evidences[name],
                    "by": self.by,
                    "less_the_best": evidences[name] - best,
                    "probability": relative[name] / sum(relative.values()),
                    "laplace": fit.log_evidence,
                    **_of_normal(self.normals.get(name)),
                    "checked": check.log_evidence if check else none,
                    "check_error": check.error if check else none,
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
        return self.approximation.stamped(pd.DataFrame(rows))

    def left_out(self) -> pd.DataFrame:
        """One row a variant and group left out.

        Returns
        -------
        DataFrame
            Columns variant, by, group, rows, elpd, how (draws, variational, steps, refit), shape (Pareto k), approximation, doubts.
        """
        import pandas as pd

        kinds = {"draws": "chains", "variational": "variational"}
        rows = []
        for name, left in self.left.items():
            for each in left:
                of = self._approximated(name, kinds.get(each.how, "laplace"))
                rows.append({"variant": name, **asdict(each), "approximation": of.name, "doubts": of.brief})
        columns = ["variant", "by", "group", "rows", "elpd", "how", "shape", "approximation", "doubts"]
        return pd.DataFrame(rows, columns=columns)

    def slopes(self, name: str) -> dict[str, float]:
        """How the evidence of one variant answers to stronger priors of each group, see :meth:`sensitivity`.

        Raises
        ------
        CalibrationError
            For a variant that was not compared.
        """
        if name not in self.fits:
            raise CalibrationError(f"no variant {name!r} was compared. {did_you_mean(name, self.fits)}")
        return evidence_slopes(self.fits[name], self.normals.get(name))

    def sensitivity(self) -> pd.DataFrame:
        """How evidences answer to stronger priors.

        Returns
        -------
        DataFrame
            Columns group, then one a variant: d ln evidence / d ln alpha when the group's priors are raised to the
            power alpha. A difference of 1 between variants moves their lead by about 0.7 when the power is doubled.
        """
        import pandas as pd

        found = pd.DataFrame({name: self.slopes(name) for name in self.order}).fillna(0.0)
        found.insert(0, "group", found.index)
        return found.reset_index(drop=True)

    def ranks(self) -> pd.DataFrame:
        """Whether neighbours by evidence would change places under other priors, to first order.

        Returns
        -------
        DataFrame
            One row a pair and group of priors, columns first, second, lead (ln evidence of the first less that of the
            second), group, half, twice (the lead with the group's priors raised to these powers, by
            :meth:`sensitivity`), turns (whether either changes the order), approximation, doubts. What matters most for the null was fitted
            again, see :attr:`powers`.
        """
        import pandas as pd

        slopes, evidences = {name: self.slopes(name) for name in self.fits}, self.evidences
        rows = []
        for first, second in pairwise(self.order):
            lead = evidences[first] - evidences[second]
            for group in sorted({*slopes[first], *slopes[second]}):
                apart = slopes[first].get(group, 0.0) - slopes[second].get(group, 0.0)
                half, twice = (lead + apart * float(np.log(alpha)) for alpha in POWERS)
                rows.append((first, second, lead, group, half, twice, min(half, twice) < 0))
        columns = ["first", "second", "lead", "group", "half", "twice", "turns"]
        return self.approximation.stamped(pd.DataFrame(rows, columns=columns))

    @cached_property
    def verdict(self) -> str:
        """What the comparison says, in one paragraph."""
        return verdict_of(self)

    def __repr__(self) -> str:
        name = next((fit.case.name for fit in self.fits.values()), "nothing")
        return f"<Comparison of {name}: {len(self.fits)} variants, by {self.by}, {len(self.approximation.doubts)} doubts>"

    def __str__(self) -> str:
        shown = self._shown.to_string(index=False, na_rep="-")
        return "\n\n".join([self.verdict, shown, "\n".join(self.approximation.lines)])

    def _repr_html_(self) -> str:
        from html import escape

        said = "".join(f"<p>{escape(each)}</p>" for each in (self.verdict, *self.approximation.lines))
        return said + self._shown.to_html(index=False, na_rep="-")

    @property
    def _shown(self) -> pd.DataFrame:
        """The table without what stands in full beside it."""
        return self.table().drop(columns=["approximation", "doubts"]).round(2)

    # ---- files ------------------------------------------------------------------------------------

    def to_petab_select(self, folder: str | Path, *, criterion: str = "BIC") -> Path:
        """Write the case's model space and what was found as PEtab Select files.

        Parameters
        ----------
        folder : path
            Made when it does not exist; see :func:`cellsim.comparison.select_export.write_select`.
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
        from cellsim.comparison.select_export import calibrated_of, write_select

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
            "interrupted": self.interrupted,
        }
        write_whole(path, json.dumps(content, ensure_ascii=False))

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
                checks={
                    name: Bridge(**each | {"doubts": tuple(each["doubts"])})
                    for name, each in content["checks"].items()
                },
                normals={name: VariationalEvidence(**each) for name, each in content["normals"].items()},
                powers=tuple(Power(**each) for each in content["powers"]),
                doubts=tuple(content["doubts"]),
                interrupted=content["interrupted"],
            )


def _of_normal(found: VariationalEvidence | None) -> dict[str, float]:
    """Its columns in a table; nan without one."""
    if found is None:
        return dict.fromkeys(("nearest", "nearest_error", "nearest_shape", "bound"), float("nan"))
    return {
        "nearest": found.log_evidence,
        "nearest_error": found.error,
        "nearest_shape": found.shape,
        "bound": found.bound,
    }
