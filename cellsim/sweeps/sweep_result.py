"""Answers to a dosing question: plans by measures, as tables, pairs and a ranking, with the prior's answer beside the posterior's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import amount_text, amounts
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, did_you_mean
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.measures import Asked
from cellsim.predictions.plans import amounts_by_product, delivered
from cellsim.results import LEVEL
from cellsim.sweeps.decisions import SURE, beats, place_of, rank, ranking_frame, told_apart
from cellsim.sweeps.kept_numbers import let_go
from cellsim.sweeps.learned import (
    all_beside_prior,
    all_learned,
    check_level,
    difference,
    mean_error,
    median_error,
    summaries,
)
from cellsim.sweeps.prior_draws import PriorDraws, left_out
from cellsim.sweeps.trust_region import Beyond

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["BANDS", "Sweep"]

BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Answers to a dosing question.

    Made by :func:`cellsim.sweep`.

    Attributes
    ----------
    case, variant, seed
        Whose draws these are.
    schedules : mapping of str to Schedule
        The plans compared, from day 0 on.
    history : Schedule
        What every plan was put after.
    background : Schedule
        What every plan keeps unless it gives the same product itself; it stands in :attr:`schedules`.
    until : float
        Last day.
    asked : tuple of Asked
        What each number is.
    posterior, prior : array, shape (n_schedules, n_asked, n_draws)
        The numbers; draws are paired across schedules. Beyond 256 MB they lie in a file without a name, and are mapped
        (:mod:`cellsim.sweeps.kept_numbers`).
    prior_draws : PriorDraws
        What holds those of the prior. Of few simulations it makes them when they are first asked for, by a table, a figure, a pickle
        or a look at `prior`; they are the same as if made at once.
    lost : tuple of int
        How many posterior and prior draws could not be simulated and were left out everywhere; `posterior_lost` is the first.
    times : array, shape (n_times,)
    curves : mapping of str to array, shape (n_schedules, 5, n_times)
        Posterior quantiles 5, 25, 50, 75, 95 % of every recorded quantity.
    interrupted : bool
        Whether these are fewer draws than asked for because an interrupt came.
    rests_on : Approximation
        What the posterior draws rest on, with every doubt about them; lost draws and an interrupt are among these.
    approximation : Approximation
        The same, with a doubt if draws of the prior were lost.
    effective : float
        How many independent draws the posterior's are worth: what Monte Carlo errors are told from.
    levels : mapping of str to mapping
        By schedule, the level of each factor of the family it comes from; empty without one.
    beyond : mapping of str to tuple of Beyond
        By schedule, every respect in which it lies outside what was given.
    """

    case: Case
    variant: str
    seed: int
    schedules: Mapping[str, Schedule]
    history: Schedule
    until: float
    asked: tuple[Asked, ...]
    posterior: Array
    prior_draws: PriorDraws
    posterior_lost: int
    times: Array
    curves: Mapping[str, Array]
    rests_on: Approximation
    interrupted: bool = False
    background: Schedule = field(default_factory=Schedule)
    effective: float = np.inf
    levels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    beyond: Mapping[str, tuple[Beyond, ...]] = field(default_factory=dict)

    @property
    def prior(self) -> Array:
        """What the prior says."""
        return self.prior_draws.numbers

    @property
    def lost(self) -> tuple[int, int]:
        """Posterior and prior draws left out."""
        return self.posterior_lost, self.prior_draws.lost

    @property
    def approximation(self) -> Approximation:
        """What all numbers rest on."""
        beside = self.prior_draws
        count = beside.numbers.shape[2] + beside.lost
        return self.rests_on.also(left_out(beside.lost, count, "prior", beside.why))

    @property
    def label(self) -> str:
        """What must stand beside every number of a sweep."""
        short = (
            f" Interrupted: {self.posterior.shape[2]} draws, fewer than asked for."
            if self.interrupted
            else ""
        )
        return self.case.label + short

    @property
    def delivered(self) -> dict[str, Schedule]:
        """What of each plan is given by :attr:`until`: of an infusion that then still runs, its part so far."""
        return {name: delivered(plan, self.until) for name, plan in self.schedules.items()}

    def table(self, *, level: float = LEVEL) -> pd.DataFrame:
        """One row a schedule and question.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Columns schedule, infusions and cells (given by :attr:`until`; the amount in its unit of what is no cells, nan where
            products of several units are given), given (each product with its amount), extrapolation (in what it lies outside what the
            patient was given), the level of each factor of a family, measure, quantity, day, unit, estimate (median; mean for a chance), error
            (Monte Carlo standard error of the estimate), low, high, level (of both intervals), prior_estimate, prior_low, prior_high, contraction, shift (prior sd, both of the draws' places
            among those of the prior), verdict (see :func:`cellsim.identifiability.identification.verdict`), approximation and doubts
            (of the posterior's numbers). Chances have neither interval nor contraction: they are prior-driven when prior
            and posterior give the same to a tenth.

        Raises
        ------
        CellsimError
            For a level that is not between 0 and 1.
        """
        check_level(level)
        return self._remembered(("table", level), lambda: self._table(level))

    @cached_property
    def _made(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        """Tables that were asked for: a page asks for the same one again and again, and each takes a second or two."""
        return {}

    def _remembered(self, key: tuple[Any, ...], make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key].copy()

    def _table(self, level: float) -> pd.DataFrame:
        import pandas as pd

        chances = np.array([asked.chance for asked in self.asked])
        parts = []
        for i, (name, plan) in enumerate(self.delivered.items()):
            after, before = self.posterior[i], self.prior[i]
            parts.append(
                pd.DataFrame(
                    {
                        "schedule": name,
                        "infusions": plan.count,
                        "cells": _amount(plan),
                        "given": _given(plan),
                        "extrapolation": "; ".join(str(each) for each in self.beyond.get(name, ())),
                        **self._factors(name),
                        **self._questions,
                        **_with_error(after, chances, level, self._worth),
                        "level": level,
                        **summaries(before, chances, level, "prior_"),
                        **all_learned(after, before, chances),
                    }
                )
            )
            self._let_go()
        table = self.approximation.stamped(pd.concat(parts, ignore_index=True))
        table.attrs["label"] = self.label
        return table

    def contrasts(
        self, *, level: float = LEVEL, reference: str | None = None, sure: float = SURE
    ) -> pd.DataFrame:
        """Every pair of schedules, draw by draw: how far apart, and how often the first is above the second.

        Parameters
        ----------
        level : float
            Of the intervals.
        reference : str, optional
            A schedule: every other one less this one, instead of all pairs.
        sure : float
            The chance from which one schedule is said to be larger.

        Returns
        -------
        DataFrame
            Columns first, second, measure, quantity, day, unit, difference (median of first - second, mean for a
            chance), difference_error (Monte Carlo), low, high, level, above (share of posterior draws in which the first is larger, ties
            count half), above_error (Monte Carlo), larger (``first``, ``second``, or ``tie`` where the draws cannot tell: the share is not
            `sure`, or one half lies within two of its Monte Carlo errors),
            prior_difference, prior_low, prior_high, prior_above, contraction, shift, verdict (of the difference, as in
            :meth:`table`), note (says when the two give unequal amounts, and of direction and of size
            whether they are the prior's, see :func:`beside_prior`), approximation, doubts.

        Raises
        ------
        CellsimError
            For a level or a `sure` that is not between 0 and 1, and a reference that is no schedule here.
        """
        check_level(level)
        check_level(sure)
        count = len(self.schedules)
        pairs = list(combinations(range(count), 2))
        if reference is not None:
            place = self._place(reference)
            pairs = [(i, place) for i in range(count) if i != place]
        return self._remembered((*pairs, level, sure), lambda: self._contrasted(pairs, level, sure))

    def _place(self, name: str) -> int:
        names = list(self.schedules)
        if name not in names:
            raise CellsimError(f"no schedule {name!r} in this sweep. {did_you_mean(name, names)}")
        return names.index(name)

    def _contrasted(self, pairs: Iterable[tuple[int, int]], level: float, sure: float) -> pd.DataFrame:
        """The table of :meth:`contrasts` for some pairs of schedules, by their places."""
        import pandas as pd

        parts = []
        names, given = list(self.schedules), self.delivered
        chances = np.array([asked.chance for asked in self.asked])
        for i, j in pairs:
            unequal = _unequal(given[names[i]], given[names[j]])
            apart, before = (difference(draws[i], draws[j]) for draws in (self.posterior, self.prior))
            found = _with_error(apart, chances, level, self._worth)
            prior = summaries(before, chances, level, "prior_")
            learned = all_beside_prior(apart, before, chances)
            shares, errors = beats(self.posterior[i], self.posterior[j], self._worth)
            parts.append(
                pd.DataFrame(
                    {
                        "first": names[i],
                        "second": names[j],
                        **self._questions,
                        "difference": found["estimate"],
                        "difference_error": found["error"],
                        "low": found["low"],
                        "high": found["high"],
                        "level": level,
                        "above": learned["above"],
                        "above_error": errors,
                        "larger": [
                            told_apart(share, error, sure)
                            for share, error in zip(shares.tolist(), errors.tolist(), strict=True)
                        ],
                        "prior_difference": prior["prior_estimate"],
                        "prior_low": prior["prior_low"],
                        "prior_high": prior["prior_high"],
                        **{name: each for name, each in learned.items() if name not in ("above", "note")},
                        "note": ["; ".join(filter(None, (unequal, note))) for note in learned["note"]],
                    }
                )
            )
            self._let_go()
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
        table = self.approximation.stamped(table)
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
        """Schedules from the best to the worst by one measure, draw by draw.

        Parameters
        ----------
        measure, quantity : str, optional
            As in :meth:`table`; by default the first outcome of the case that says which direction is better and was asked.
        day : float, optional
            Of a measure that was asked on several days; the first by default.
        better : {"higher", "lower"}, optional
            Which direction is better; the case's word for its outcomes.
        sure : float
            The chance from which one schedule is said to beat another.

        Returns
        -------
        DataFrame
            Columns schedule, rank, mean, mean_error, best (chance to be the best of all; equals share it), best_error, regret (expected, in the
            unit of the measure), regret_error, beaten (chance that the first of the ranking beats it), beaten_error,
            tie (it cannot be told from the first), dominated_by (schedules at least as good in every draw and better
            in one, three at most), extrapolation. ``attrs`` has the measure and the label. All errors are Monte Carlo standard errors.

        Raises
        ------
        CellsimError
            For a measure that was not asked, or of which nobody says what is better.
        """
        check_level(sure)
        place, sign = place_of(self.asked, self.case, measure, quantity, day, better)
        utility = sign * np.asarray(self.posterior[:, place])
        self._let_go()
        found = rank(utility, self._worth, sure=sure)
        table = ranking_frame(list(self.schedules), utility, found, sign, self._worth)
        table["extrapolation"] = [
            "; ".join(str(each) for each in self.beyond.get(name, ())) for name in table["schedule"]
        ]
        table = self.approximation.stamped(table)
        asked = self.asked[place]
        table.attrs |= {"label": self.label, "measure": f"{asked.measure} {asked.quantity}"}
        return table

    def _let_go(self) -> None:
        """What was read of numbers that lie in a file need not stay in memory."""
        let_go(self.posterior)
        let_go(self.prior)

    @property
    def _questions(self) -> dict[str, list[Any]]:
        """What each number is, by the names of columns."""
        return {
            column: [getattr(asked, column) for asked in self.asked]
            for column in ("measure", "quantity", "day", "unit")
        }

    @property
    def _worth(self) -> float:
        return min(self.effective, float(self.posterior.shape[2]))

    def _factors(self, name: str) -> dict[str, Any]:
        """Levels of a schedule's factors, under names that no other column has."""
        return {f"{factor} (factor)": each for factor, each in self.levels.get(name, {}).items()}

    def report(self, *, level: float = LEVEL) -> str:
        """The whole answer as text: plan by question, the difference of each plan to the one as given, verdicts, doubts.

        The plan as given is the one of that name, else the one that is the case's own schedule, else the first.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        str

        Raises
        ------
        CellsimError
            For a level that is not between 0 and 1.

        Examples
        --------
        >>> import cellsim as cs
        >>> case = cs.load_case("sjogren_rfib")
        >>> fit = cs.calibrate(case, starts=1)
        >>> result = cs.sweep(fit, {"as given": case.schedule, "nothing": cs.Schedule()}, until=90, draws=20)
        >>> print(result.report().splitlines()[0])
        Schedules compared for sjogren_rfib, variant V2
        """
        from cellsim.sweeps.sweep_text import report_text

        check_level(level)
        return report_text(self, level)

    def _repr_html_(self) -> str:
        from cellsim.sweeps.sweep_text import report_html

        return report_html(self, self.table())

    def draws(self) -> pd.DataFrame:
        """All posterior draws, long: schedule, measure, quantity, day, unit, draw, value, approximation, doubts."""
        import pandas as pd

        n_draws = self.posterior.shape[2]
        each = pd.DataFrame(
            [
                (name, asked.measure, asked.quantity, asked.day, asked.unit)
                for name in self.schedules
                for asked in self.asked
            ],
            columns=["schedule", "measure", "quantity", "day", "unit"],
        )
        table = each.loc[each.index.repeat(n_draws)].reset_index(drop=True)
        table["draw"] = np.tile(np.arange(n_draws), len(each))
        table["value"] = self.posterior.reshape(-1)
        return self.approximation.stamped(table)

    def __repr__(self) -> str:
        return (
            f"<Sweep of {self.case.name}, variant {self.variant}: {len(self.schedules)} schedules, "
            f"{self.posterior.shape[2]} draws of {self.approximation.label}, {len(self.asked)} questions. {self.label}>"
        )


def _amount(plan: Schedule) -> float:
    """All that a plan gives; nan where that is in several units."""
    found = amounts(plan, plan.products)
    return sum(found.values()) if len(found) < 2 else np.nan


def _given(plan: Schedule) -> str:
    """Each product with its amount."""
    units = {each.name: each.unit for each in plan.products}
    each_of = amounts_by_product(plan).items()
    return "; ".join(f"{name} {amount_text(amount, units.get(name, 'cells'))}" for name, amount in each_of)


def _unequal(first: Schedule, second: Schedule) -> str:
    """What two plans give, where that is not the same; empty where it is."""
    one, other = (amounts(each, each.products) for each in (first, second))
    said = []
    for unit in dict.fromkeys((*one, *other)):
        pair = one.get(unit, 0.0), other.get(unit, 0.0)
        if not np.isclose(*pair):
            shown = [f"{each:.3g}" if unit == "cells" else amount_text(each, unit) for each in pair]
            said.append(f"unequal {'cells' if unit == 'cells' else 'amounts'}: {shown[0]} and {shown[1]}")
            continue
        # as much in sum: of drugs that says nothing, a milligram of the one is none of the other
        for product in _of_unit(first, other_plan=second, unit=unit) if unit != "cells" else ():
            both = [amounts_by_product(each).get(product, 0.0) for each in (first, second)]
            if not np.isclose(both[0], both[1]):
                said.append(f"unequal {product}: {' and '.join(amount_text(each, unit) for each in both)}")
    return "; ".join(said)


def _of_unit(plan: Schedule, other_plan: Schedule, unit: str) -> list[str]:
    """Products of one unit that one of two plans gives."""
    units = {each.name: each.unit for each in (*plan.products, *other_plan.products)}
    named = dict.fromkeys(each.product for each in (*plan.infusions, *other_plan.infusions))
    return [name for name in named if units.get(name, "cells") == unit]


def _with_error(draws: Array, chances: Flags, level: float, effective: float) -> dict[str, Array]:
    """Estimates with their Monte Carlo errors beside them."""
    found = summaries(draws, chances, level, "")
    error = np.where(chances, mean_error(draws, effective), median_error(draws, effective))
    return {"estimate": found["estimate"], "error": error, "low": found["low"], "high": found["high"]}
