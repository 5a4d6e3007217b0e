"""Answers to a dosing question averaged over rival mechanisms by their evidence, with each mechanism beside the average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError, Problem, is_finite_number
from cellsim.posterior.approximation import Approximation, together
from cellsim.results import LEVEL, number
from cellsim.sweeps.agreement import agreement, chances_of
from cellsim.sweeps.decisions import SURE, beats, place_of, rank, told_apart
from cellsim.sweeps.learned import check_level, mean_error

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.predictions.measures import Asked
    from cellsim.sweeps.sweep_result import Sweep

    Array = NDArray[np.float64]

__all__ = ["AVERAGE", "AveragedSweep", "Weighting", "weighting_of"]

AVERAGE = "average"
# weights drawn within the errors of the evidences
_DRAWN = 200


@dataclass(frozen=True, eq=False)
class Weighting:
    """Rival mechanisms and what each counts.

    Attributes
    ----------
    sources : mapping of str to Calibration or Posterior
        By variant.
    log_weights, errors : array, shape (n_variants,)
        Natural logarithms, not normalised, and their standard errors.
    doubts : tuple of str
    """

    sources: Mapping[str, Any]
    log_weights: Array
    errors: Array
    doubts: tuple[str, ...] = ()


def weighting_of(given: Sequence[Any]) -> Weighting:
    """Mechanisms with their weights, from pairs of source and weight or from sources that know their evidence.

    Parameters
    ----------
    given : sequence
        Of (source, weight), with weights at least 0 that need not add to 1; or of sources, weighted by ``log_evidence`` with the error
        ``log_evidence_error`` (equal prior weights).

    Raises
    ------
    CellsimError
        All problems at once: none at all, two of one variant, weights that are none, evidences that are not known.
    """
    problems: list[Problem] = []
    sources: dict[str, Any] = {}
    logs: list[float] = []
    errors: list[float] = []
    unknown: list[str] = []
    if not given:
        raise CellsimError("no mechanism to draw from: the list is empty.")
    paired = [isinstance(each, tuple | list) and len(each) == 2 for each in given]
    if any(paired) and not all(paired):
        raise CellsimError("give a weight to every mechanism, or to none: (posterior, weight), ...")
    for k, each in enumerate(given, 1):
        source, weight = each if all(paired) else (each, None)
        if not hasattr(source, "draws") or not hasattr(source, "variant"):
            problems.append(
                Problem(what=f"number {k} is a {type(source).__name__}, and no posterior that draws.")
            )
            continue
        name = source.variant or f"number {k}"
        if name in sources:
            problems.append(Problem(what=f"variant {name} is given twice.", remedy="Give each once."))
        sources[name] = source
        if weight is not None:
            if not (is_finite_number(weight) and weight >= 0):
                problems.append(Problem(what=f"{name}: weight {weight!r}; a number from 0 on is needed."))
                weight = 1.0
            logs.append(float(np.log(weight)) if weight > 0 else -np.inf)
            errors.append(0.0)
            continue
        evidence = getattr(source, "log_evidence", np.nan)
        if not np.isfinite(evidence):
            problems.append(
                Problem(
                    what=f"{name}: its evidence is not known.",
                    remedy="Give pairs (posterior, weight), with weights of a comparison say.",
                )
            )
        error = getattr(source, "log_evidence_error", np.nan)
        logs.append(float(evidence))
        errors.append(float(error) if np.isfinite(error) else 0.0)
        if not np.isfinite(error):
            unknown.append(name)
    if not problems and not np.isfinite(np.max(logs)):
        problems.append(Problem(what="all weights are 0."))
    if problems:
        raise CellsimError(problems)
    doubts = (
        (f"the error of the evidence of {', '.join(unknown)} is not known, and counts as none: sample.",)
        if unknown
        else ()
    )
    return Weighting(sources, np.array(logs), np.array(errors), doubts)


@dataclass(frozen=True, eq=False)
class AveragedSweep:
    """A sweep of several mechanisms; made by :func:`cellsim.sweep`.

    Attributes
    ----------
    sweeps : mapping of str to Sweep
        By variant; all of the same plans and questions.
    weighting : Weighting
        What each counts, and how well that is known.
    """

    sweeps: Mapping[str, Sweep]
    weighting: Weighting

    def __post_init__(self) -> None:
        first = self._first
        for name, each in self.sweeps.items():
            if each.asked != first.asked or list(each.schedules) != list(first.schedules):
                raise CellsimError(
                    f"{name} answers other questions than {next(iter(self.sweeps))}: an average needs the same measures of all."
                )

    @property
    def _first(self) -> Sweep:
        return next(iter(self.sweeps.values()))

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What each number is."""
        return self._first.asked

    @property
    def schedules(self) -> Mapping[str, Any]:
        """The plans compared."""
        return self._first.schedules

    @property
    def interrupted(self) -> bool:
        """Whether one of the sweeps is of fewer draws than asked for."""
        return any(each.interrupted for each in self.sweeps.values())

    @property
    def label(self) -> str:
        """What must stand beside every number of a sweep."""
        return next((each.label for each in self.sweeps.values() if each.interrupted), self._first.label)

    @property
    def approximation(self) -> Approximation:
        """What the draws rest on, with the doubts of each variant."""
        found = together({name: each.approximation for name, each in self.sweeps.items()})
        return found.also(*self.weighting.doubts)

    @cached_property
    def weights(self) -> dict[str, float]:
        """What each variant counts; they add to 1."""
        return dict(zip(self.sweeps, _normalised(self.weighting.log_weights).tolist(), strict=True))

    @cached_property
    def _drawn_weights(self) -> Array:
        """Weights within the errors of the evidences, shape (n_drawn, n_variants)."""
        logs, errors = self.weighting.log_weights, self.weighting.errors
        if not errors.any():
            return _normalised(logs)[None]
        random = np.random.default_rng(0).standard_normal((_DRAWN, len(logs)))
        return _normalised(logs + errors * random)

    @property
    def weight_errors(self) -> dict[str, float]:
        """Standard deviation of each weight within the errors of the evidences."""
        return dict(zip(self.sweeps, self._drawn_weights.std(axis=0).tolist(), strict=True))

    def _mean(self, by_variant: Array, errors: Array) -> tuple[float, float, float]:
        """An average, its Monte Carlo error, and its error through the weights."""
        weights = np.array(list(self.weights.values()))
        held = weights > 0
        value = float(weights[held] @ by_variant[held])
        error = float(np.sqrt(np.square(weights[held] * errors[held]).sum()))
        return value, error, float((self._drawn_weights[:, held] @ by_variant[held]).std())

    def table(self, *, level: float = LEVEL) -> pd.DataFrame:
        """One row a variant, schedule and question, the average over the variants first.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Columns variant, weight, and those of :meth:`cellsim.Sweep.table`; ``weight_error`` is the standard error of an average through
            the errors of the evidences. The average of a chance is the weighted mean; other averages are median and interval of the
            pooled draws. What the prior says stands with each variant.
        """
        check_level(level)
        import pandas as pd

        by = {name: each.table(level=level) for name, each in self.sweeps.items()}
        first = next(iter(by.values()))
        kept = [
            name
            for name in first.columns
            if not name.startswith("prior_") and name not in ("contraction", "shift", "verdict", "doubts")
        ]
        average = first[kept].copy()
        count = len(self.asked)
        for row in range(len(average)):
            i, k = divmod(row, count)
            for name, value in self._summary(i, k, level).items():
                average.loc[row, name] = value
        average.insert(0, "variant", AVERAGE)
        average.insert(1, "weight", 1.0)
        frames = [average]
        for name, each in by.items():
            each.insert(0, "variant", name)
            each.insert(1, "weight", self.weights[name])
            frames.append(each)
        table = pd.concat(frames, ignore_index=True)
        table.attrs["label"] = self.label
        return table

    def _summary(self, i: int, k: int, level: float) -> dict[str, float]:
        draws = [each.posterior[i, k] for each in self.sweeps.values()]
        worth = [min(each.effective, each.posterior.shape[2]) for each in self.sweeps.values()]
        if self.asked[k].chance:
            means = np.array([each.mean() for each in draws])
            errors = np.array([float(mean_error(each, n)) for each, n in zip(draws, worth, strict=True)])
            value, error, through = self._mean(means, errors)
            return {
                "estimate": value,
                "error": error,
                "weight_error": through,
                "low": np.nan,
                "high": np.nan,
            }
        pooled = np.concatenate(draws)
        order = np.argsort(pooled, kind="stable")
        whose = np.repeat(np.arange(len(draws)), [each.size for each in draws])[order]
        sizes = np.array([each.size for each in draws], float)
        weights = np.array(list(self.weights.values()))
        below = np.cumsum((weights / sizes)[whose])
        low, middle, high = (
            pooled[order][np.searchsorted(below, q * below[-1])]
            for q in ((1 - level) / 2, 0.5, (1 + level) / 2)
        )
        # the error of the distribution function at the median, carried to the quantiles beside it
        share = np.array([(each <= middle).mean() for each in draws])
        step = np.sqrt((weights**2 * share * (1 - share) / np.array(worth)).sum())
        beside = [
            pooled[order][min(np.searchsorted(below, q * below[-1]), pooled.size - 1)]
            for q in (0.5 - step, 0.5 + step)
        ]
        medians = []
        for drawn in self._drawn_weights:
            there = np.cumsum((drawn / sizes)[whose])
            medians.append(pooled[order][np.searchsorted(there, 0.5 * there[-1])])
        return {
            "estimate": float(middle),
            "error": float(beside[1] - beside[0]) / 2,
            "weight_error": float(np.std(medians)),
            "low": float(low),
            "high": float(high),
        }

    def contrasts(self, *, sure: float = SURE) -> pd.DataFrame:
        """Every pair of schedules: the chance that the first is larger, averaged and in each variant.

        Parameters
        ----------
        sure : float
            The chance from which one schedule is said to be larger.

        Returns
        -------
        DataFrame
            Columns first, second, measure, quantity, day, above (averaged), above_error (Monte Carlo), weight_error (through the evidences),
            larger (``first``, ``second`` or ``tie``, of the average), said (the same, where posterior and prior of every variant that the
            evidence has not dropped agree on it, see :func:`cellsim.sweeps.agreement.agreement`, and else ``tie``), hangs_on (what keeps it from
            being said), and ``above in V`` for each variant V.
        """
        check_level(sure)
        import pandas as pd

        names, rows = list(self.schedules), []
        for i, j in combinations(range(len(names)), 2):
            for k, asked in enumerate(self.asked):
                found = [
                    beats(
                        each.posterior[i, k],
                        each.posterior[j, k],
                        min(each.effective, each.posterior.shape[2]),
                    )
                    for each in self.sweeps.values()
                ]
                chances = np.array([float(chance) for chance, _ in found])
                errors = np.array([float(error) for _, error in found])
                value, error, through = self._mean(chances, errors)
                larger = told_apart(value, float(np.hypot(error, through)), sure)
                found_alike = agreement(
                    chances_of(self.sweeps, names[i], names[j], k, 1.0),
                    dict(zip(self.sweeps, self.weighting.log_weights.tolist(), strict=True)),
                    dict(zip(self.sweeps, self.weighting.errors.tolist(), strict=True)),
                    sure=sure,
                )
                rows.append(
                    {
                        "first": names[i],
                        "second": names[j],
                        "measure": asked.measure,
                        "quantity": asked.quantity,
                        "day": asked.day,
                        "above": value,
                        "above_error": error,
                        "weight_error": through,
                        "larger": larger,
                        "said": found_alike.better,
                        "hangs_on": found_alike.words(),
                        **{
                            f"above in {name}": p
                            for name, p in zip(self.sweeps, chances.tolist(), strict=True)
                        },
                    }
                )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def ranking(
        self,
        measure: str | None = None,
        quantity: str | None = None,
        *,
        day: float | None = None,
        better: str | None = None,
        sure: float = SURE,
    ) -> pd.DataFrame:
        """Schedules from the best to the worst by the average of one measure, the worst regret over the variants beside.

        Parameters
        ----------
        measure, quantity, day, better, sure
            As for :meth:`cellsim.Sweep.ranking`.

        Returns
        -------
        DataFrame
            Columns schedule, rank, mean, best, regret (averaged over draws and variants), regret_error (Monte Carlo), weight_error (of the
            regret, through the evidences), worst_regret (of the variant in which it is greatest, of those that count), worst_variant, beaten
            (chance that the first of the ranking beats it), tie, and ``mean in V`` for each variant V.
        """
        check_level(sure)
        import pandas as pd

        place, sign = place_of(self.asked, self._first.case, measure, quantity, day, better)
        names, variants = list(self.schedules), list(self.sweeps)
        worth = [min(each.effective, each.posterior.shape[2]) for each in self.sweeps.values()]
        utility = [sign * each.posterior[:, place] for each in self.sweeps.values()]
        ranks = [rank(each, n, sure=sure) for each, n in zip(utility, worth, strict=True)]
        weights = np.array(list(self.weights.values()))
        means = np.array([each.mean for each in ranks])
        order = np.argsort(-_weighted(weights, means), kind="stable").tolist()
        rows = []
        for k, i in enumerate(order):
            regrets = np.array([each.regret[i] for each in ranks])
            regret, regret_error, through = self._mean(
                regrets, np.array([each.regret_error[i] for each in ranks])
            )
            found = [beats(each[order[0]], each[i], n) for each, n in zip(utility, worth, strict=True)]
            beaten, beaten_error, of_weights = self._mean(
                np.array([float(p) for p, _ in found]), np.array([float(e) for _, e in found])
            )
            worst = int(np.argmax(np.where(weights > 0, regrets, -np.inf)))
            rows.append(
                {
                    "schedule": names[i],
                    "rank": k + 1,
                    "mean": sign * float(_weighted(weights, means)[i]),
                    "best": float(_weighted(weights, np.array([each.best for each in ranks]))[i]),
                    "regret": regret,
                    "regret_error": regret_error,
                    "weight_error": through,
                    "worst_regret": float(regrets[worst]),
                    "worst_variant": variants[worst],
                    "beaten": beaten,
                    "tie": told_apart(beaten, float(np.hypot(beaten_error, of_weights)), sure) != "first",
                    **{f"mean in {name}": sign * float(means[v, i]) for v, name in enumerate(variants)},
                }
            )
        table = self.approximation.stamped(pd.DataFrame(rows))
        asked = self.asked[place]
        table.attrs |= {"label": self.label, "measure": f"{asked.measure} {asked.quantity}"}
        return table

    def report(self, *, level: float = LEVEL) -> str:
        """The answer as text: weights, ranking by the case's outcome, and plan by question for the average and each variant."""
        import pandas as pd

        title = f"Schedules compared for {self._first.case.name}, averaged over {', '.join(self.sweeps)}"
        lines = [title, "=" * len(title), self.label, "", *self.approximation.lines, "", "Weights:"]
        lines += [
            f"- {name}: {weight:.3f}" + (f" (standard error {error:.3f})" if error else "")
            for (name, weight), error in zip(self.weights.items(), self.weight_errors.values(), strict=True)
        ]
        with pd.option_context("display.width", 220, "display.max_colwidth", 60, "display.max_columns", 40):
            try:
                ranking = self.ranking().drop(columns=["approximation", "doubts"])
                lines += [
                    "",
                    f"By {ranking.attrs['measure']}:",
                    "",
                    ranking.head(12).to_string(index=False, float_format=number),
                ]
            except CellsimError as error:
                lines += ["", f"No ranking: {error}"]
            table = self.table(level=level)
            shown = table.pivot_table(
                index=["schedule", "measure", "quantity"],
                columns="variant",
                values="estimate",
                sort=False,
                dropna=False,
            )
            lines += [
                "",
                "Estimates (median, mean of a chance):",
                "",
                shown.head(60).to_string(float_format=number),
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"<AveragedSweep of {self._first.case.name} over {', '.join(self.sweeps)}: {len(self.schedules)} schedules, "
            f"{len(self.asked)} questions. {self.label}>"
        )


def _weighted(weights: Array, by_variant: Array) -> Array:
    """An average over the first axis; what does not count may be anything."""
    held = weights > 0
    return np.asarray(weights[held] @ by_variant[held])


def _normalised(logs: Array) -> Array:
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))
