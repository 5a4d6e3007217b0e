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

from cellsim.comparison.evidence import BRIDGE, EITHER, POWERS, QUADRATURE, Evidence, evidence_slopes
from cellsim.comparison.left_out import Left, stacking
from cellsim.comparison.variant_roles import VariantRoles, variant_roles
from cellsim.comparison.verdicts import verdict_of
from cellsim.errors import CalibrationError, did_you_mean
from cellsim.files import write_whole
from cellsim.posterior.approximation import Approximation, together
from cellsim.posterior.calibration import Calibration
from cellsim.results import read_saved, whole

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.comparison.reweighting import Exact, Reweighting

__all__ = ["Comparison", "Power"]

FORMAT = "cellsim comparison 6"
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
    shape : float
        The larger Pareto k of the weights behind the second number, trusted below 0.7.
    """

    group: str
    alpha: float
    first: str
    second: str
    before: float
    after: float
    shape: float

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
    known : mapping of str to Evidence
        The evidence of every variant, from draws of its posterior.
    powers : tuple of Power
        What other priors do to the lead, where that was predicted to matter most.
    doubts : tuple of str
    interrupted : bool
        Whether something is missing because an interrupt came.
    spared : mapping of str to str
        Variants of which rows were left out with less effort or not at all, and why.
    drawn : mapping of str to Reweighting or Exact
        Draws of every variant and what they were weighted for, for :func:`cellsim.robustness`; not in a file.
    """

    fits: Mapping[str, Calibration]
    known: Mapping[str, Evidence]
    left: Mapping[str, tuple[Left, ...]] = field(default_factory=dict)
    powers: tuple[Power, ...] = ()
    doubts: tuple[str, ...] = ()
    interrupted: bool = False
    spared: Mapping[str, str] = field(default_factory=dict)
    drawn: Mapping[str, Reweighting | Exact] = field(default_factory=dict, repr=False)

    @cached_property
    def roles(self) -> VariantRoles:
        """Which variants are nulls, and which act."""
        return variant_roles({name: fit.objective for name, fit in self.fits.items()}, next(iter(self.fits)))

    @property
    def by(self) -> str:
        """By what the evidences are known: ``"the collapsed sampler"``, or of chains ``"bridge sampling"``; ``"sampling"`` where some
        are known by one and some by the other; ``"quadrature"`` where only sampling days are estimated in all."""
        means = {each.means for each in self.known.values()} - {QUADRATURE} or {QUADRATURE}
        return means.pop() if len(means) == 1 else EITHER

    @property
    def approximation(self) -> Approximation:
        """What the evidences rest on, with every doubt about them, each by its variant."""
        kind = {BRIDGE: "chains", EITHER: "draws"}.get(self.by, "collapsed")
        found = together({name: Approximation(kind, each.doubts) for name, each in self.known.items()})
        return Approximation(kind, (*self.doubts, *found.doubts))

    @property
    def evidences(self) -> dict[str, float]:
        """ln evidence of every variant."""
        return {name: self.known[name].log_evidence for name in self.fits}

    @property
    def order(self) -> tuple[str, ...]:
        """Variants by evidence, the greatest first."""
        evidences = self.evidences
        return tuple(sorted(self.fits, key=lambda name: -evidences[name]))

    def predicted(self, by: str) -> dict[str, dict[str, float]]:
        """Log predictive density by variant and group, of those groups that every variant predicted.

        Parameters
        ----------
        by : {"analyte", "visit"}

        Raises
        ------
        CalibrationError
            For anything else.
        """
        if by not in _LEFT_BY:
            raise CalibrationError(f"no prediction by {by!r}. {did_you_mean(by, _LEFT_BY)}")
        found = {
            name: {each.group: each.elpd for each in left if each.by == by}
            for name, left in self.left.items()
        }
        groups = set.intersection(*(set(each) for each in found.values())) if found else set()
        return {name: {group: each[group] for group in sorted(groups)} for name, each in found.items()}

    def weights(self, by: str) -> dict[str, float]:
        """Stacking weights over ``"analyte"`` or ``"visit"``; empty when nothing was left out.

        Raises
        ------
        CalibrationError
            For anything else.
        """
        found = {name: list(each.values()) for name, each in self.predicted(by).items()}
        return stacking(found) if any(found.values()) else {}

    def table(self) -> pd.DataFrame:
        """One row a variant, the greatest evidence first.

        Returns
        -------
        DataFrame
            Columns variant, name, ln_evidence, error, pareto_k, effective (draws), by (see :attr:`by`), less_the_best, probability (at
            equal odds before), laplace (ln evidence by Laplace's approximation), elpd_analytes, elpd_visits, weight_analytes,
            weight_visits (stacking), worst_shape (largest Pareto k among the groups left out), effective_parameters, agree (starts),
            starts, approximation and doubts. What is left out is summed over the groups that all variants predicted.
        """
        import pandas as pd

        evidences = self.evidences
        best = max(evidences.values())
        relative = {name: np.exp(each - best) for name, each in evidences.items()}
        by_analyte, by_visit = self.weights("analyte"), self.weights("visit")
        of_analytes, of_visits = (
            {name: sum(each.values()) for name, each in self.predicted(by).items() if each} for by in _LEFT_BY
        )
        none = float("nan")
        rows = []
        for name in self.order:
            fit, left = self.fits[name], self.left.get(name, ())
            about = next((each for each in fit.case.variants if each.id == fit.variant), None)
            known = self.known[name]
            rows.append(
                {
                    "variant": name,
                    "name": about.name if about else "",
                    "ln_evidence": evidences[name],
                    "error": known.error,
                    "pareto_k": known.pareto_k,
                    "effective": known.effective,
                    "by": known.means,
                    "less_the_best": evidences[name] - best,
                    "probability": relative[name] / sum(relative.values()),
                    "laplace": fit.log_evidence,
                    "elpd_analytes": of_analytes.get(name, none),
                    "elpd_visits": of_visits.get(name, none),
                    "weight_analytes": by_analyte.get(name, none),
                    "weight_visits": by_visit.get(name, none),
                    "worst_shape": max((x.shape for x in left), default=none),
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
            Columns variant, by, group, rows, elpd, how, shape (Pareto k), error, see
            :class:`cellsim.comparison.left_out.Left`; approximation, doubts. Of a variant of which nothing was left out, one that says
            why.
        """
        import pandas as pd

        rows = [{"variant": name, **asdict(each)} for name, left in self.left.items() for each in left]
        rows += [
            {"variant": name, "by": "", "group": "", "rows": 0, "how": f"not computed: {why}"}
            for name, why in self.spared.items()
            if name not in self.left
        ]
        columns = ["variant", "by", "group", "rows", "elpd", "how", "shape", "error"]
        return self.approximation.stamped(pd.DataFrame(rows, columns=columns))

    def slopes(self, name: str) -> dict[str, float]:
        """How the evidence of one variant answers to stronger priors of each group, see :meth:`sensitivity`.

        Raises
        ------
        CalibrationError
            For a variant that was not compared.
        """
        if name not in self.fits:
            raise CalibrationError(f"no variant {name!r} was compared. {did_you_mean(name, self.fits)}")
        return evidence_slopes(self.fits[name], self.known[name])

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
            :meth:`sensitivity`), turns (whether either changes the order), approximation, doubts. What matters most for the null was asked
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
            "known": {name: asdict(each) for name, each in self.known.items()},
            "powers": [asdict(each) for each in self.powers],
            "doubts": list(self.doubts),
            "interrupted": self.interrupted,
            "spared": dict(self.spared),
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
                known={
                    name: Evidence(**each | {"doubts": tuple(each["doubts"])})
                    for name, each in content["known"].items()
                },
                powers=tuple(Power(**each) for each in content["powers"]),
                doubts=tuple(content["doubts"]),
                interrupted=content["interrupted"],
                spared=content["spared"],
            )
