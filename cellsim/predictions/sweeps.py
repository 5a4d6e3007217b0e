"""Dosing questions: posterior draws times schedules, with the prior's answer beside the posterior's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cellsim.case.plausibility import dose_doubt
from cellsim.dosing.infusions import amount_text, amounts, amounts_text, dose_noun
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, ScheduleError, unusable
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import Approximation, approximation_of
from cellsim.predictions.measures import Asked, Measure, default_measures
from cellsim.predictions.plans import (
    amounts_by_product,
    background_given,
    delivered,
    dropped,
    history_given,
    on_background,
    plan_problems,
    plans_given,
)
from cellsim.predictions.predictor import Sample
from cellsim.results import DATA_DRIVEN, LEVEL, MOVED, PRIOR_DRIVEN, verdict

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["Sweep", "beside_prior", "sweep"]

# the solver's relative tolerance: numbers nearer to each other than this are the same
_SAME = 1e-6
# two chances nearer than this are the same one, give or take what a few hundred draws leave open
_SAME_CHANCE = 0.1
_AS_PRIOR = "as the prior says"
_BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)


class Source(Protocol):
    """What a sweep asks of the thing it draws from; a Calibration, a VariationalApproximation and a Posterior answer."""

    @property
    def case(self) -> Case:
        """Whose doses and reference ranges."""

    @property
    def objective(self) -> Objective:
        """What the draws are parameters of."""

    @property
    def variant(self) -> str:
        """The mechanism's id."""

    def draws(self, n: int, *, seed: int) -> Array:
        """Prior-whitened parameters, shape (n, n_parameters)."""


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
        The numbers; draws are paired across schedules.
    lost : tuple of int
        How many posterior and prior draws could not be simulated and were left out everywhere.
    times : array, shape (n_times,)
    curves : mapping of str to array, shape (n_schedules, 5, n_times)
        Posterior quantiles 5, 25, 50, 75, 95 % of every recorded quantity.
    interrupted : bool
        Whether these are fewer draws than asked for because an interrupt came.
    approximation : Approximation
        What the posterior draws rest on, with every doubt about them; lost draws and an interrupt are among these.
    """

    case: Case
    variant: str
    seed: int
    schedules: Mapping[str, Schedule]
    history: Schedule
    until: float
    asked: tuple[Asked, ...]
    posterior: Array
    prior: Array
    lost: tuple[int, int]
    times: Array
    curves: Mapping[str, Array]
    approximation: Approximation
    interrupted: bool = False
    background: Schedule = field(default_factory=Schedule)

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
            products of several units are given), given (each product with its amount), measure, quantity, day, unit, estimate (median; mean for a chance),
            low, high, level (of both intervals), prior_estimate, prior_low, prior_high, contraction, shift (prior sd, both of the draws' places
            among those of the prior), verdict (see :func:`cellsim.identifiability.identification.verdict`), approximation and doubts
            (of the posterior's numbers). Chances have neither interval nor contraction: they are prior-driven when prior
            and posterior give the same to a tenth.

        Raises
        ------
        CellsimError
            For a level that is not between 0 and 1.
        """
        _check_level(level)
        import pandas as pd

        rows = []
        for i, (name, plan) in enumerate(self.delivered.items()):
            for k, asked in enumerate(self.asked):
                rows.append(
                    {
                        "schedule": name,
                        "infusions": plan.count,
                        "cells": _amount(plan),
                        "given": _given(plan),
                        "measure": asked.measure,
                        "quantity": asked.quantity,
                        "day": asked.day,
                        "unit": asked.unit,
                        **_summary(self.posterior[i, k], asked, level, ""),
                        "level": level,
                        **_summary(self.prior[i, k], asked, level, "prior_"),
                        **_learned(self.posterior[i, k], self.prior[i, k], asked.chance),
                    }
                )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def contrasts(self, *, level: float = LEVEL) -> pd.DataFrame:
        """Every pair of schedules, draw by draw: how far apart, and how often the first is above the second.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Columns first, second, measure, quantity, day, unit, difference (median of first - second, mean for a
            chance), low, high, level, above (share of posterior draws in which the first is larger, ties count half),
            prior_difference, prior_low, prior_high, prior_above, contraction, shift, verdict (of the difference, as in
            :meth:`table`), note (says when the two give unequal amounts, and of direction and of size
            whether they are the prior's, see :func:`beside_prior`), approximation, doubts.

        Raises
        ------
        CellsimError
            For a level that is not between 0 and 1.
        """
        count = len(self.schedules)
        return self._contrasted(combinations(range(count), 2), level)

    def _contrasted(self, pairs: Iterable[tuple[int, int]], level: float) -> pd.DataFrame:
        """The table of :meth:`contrasts` for some pairs of schedules, by their places."""
        _check_level(level)
        import pandas as pd

        rows = []
        names, given = list(self.schedules), self.delivered
        for i, j in pairs:
            unequal = _unequal(given[names[i]], given[names[j]])
            for k, asked in enumerate(self.asked):
                apart, before = (_apart(draws[i, k], draws[j, k]) for draws in (self.posterior, self.prior))
                found, prior = _summary(apart, asked, level, ""), _summary(before, asked, level, "prior_")
                learned = beside_prior(apart, before, chance=asked.chance)
                rows.append(
                    {
                        "first": names[i],
                        "second": names[j],
                        "measure": asked.measure,
                        "quantity": asked.quantity,
                        "day": asked.day,
                        "unit": asked.unit,
                        "difference": found["estimate"],
                        "low": found["low"],
                        "high": found["high"],
                        "level": level,
                        "above": learned["above"],
                        "prior_difference": prior["prior_estimate"],
                        "prior_low": prior["prior_low"],
                        "prior_high": prior["prior_high"],
                        **{name: each for name, each in learned.items() if name not in ("above", "note")},
                        "note": "; ".join(filter(None, (unequal, str(learned["note"])))),
                    }
                )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

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
        from cellsim.predictions.sweep_text import GIVEN, report_text

        names = list(self.schedules)
        own = [
            name for name, plan in self.schedules.items() if plan.infusions == self.case.schedule.infusions
        ]
        reference = names.index(next(each for each in (GIVEN, *own, *names) if each in names))
        pairs = [(i, reference) for i in range(len(names)) if i != reference]
        return report_text(self, self.table(level=level), self._contrasted(pairs, level))

    def _repr_html_(self) -> str:
        from cellsim.predictions.sweep_text import report_html

        return report_html(self, self.table())

    def draws(self) -> pd.DataFrame:
        """All posterior draws, long: schedule, measure, quantity, day, unit, draw, value, approximation, doubts."""
        import pandas as pd

        n_draws = self.posterior.shape[2]
        rows = [
            pd.DataFrame(
                {
                    "schedule": name,
                    "measure": asked.measure,
                    "quantity": asked.quantity,
                    "day": asked.day,
                    "unit": asked.unit,
                    "draw": np.arange(n_draws),
                    "value": self.posterior[i, k],
                }
            )
            for i, name in enumerate(self.schedules)
            for k, asked in enumerate(self.asked)
        ]
        return self.approximation.stamped(pd.concat(rows, ignore_index=True))

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


def _check_level(level: float) -> None:
    if problems := unusable(levels={"level": level}):
        raise CellsimError(problems)


def _summary(draws: Array, asked: Asked, level: float, prefix: str) -> dict[str, float]:
    if draws.size == 0:
        return {f"{prefix}{name}": np.nan for name in ("estimate", "low", "high")}
    low, middle, high = np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2])
    if asked.chance:
        return {f"{prefix}estimate": float(draws.mean()), f"{prefix}low": np.nan, f"{prefix}high": np.nan}
    return {f"{prefix}estimate": float(middle), f"{prefix}low": float(low), f"{prefix}high": float(high)}


def beside_prior(apart: Array, before: Array, *, chance: bool = False) -> dict[str, float | str]:
    """A difference beside the prior's own, its direction and its size judged each by itself.

    A difference may have the prior's direction, which is then assumed, and a size the prior would not have had.

    Parameters
    ----------
    apart, before : array
        Posterior and prior draws of the difference.
    chance : bool
        Whether it is one of chances.

    Returns
    -------
    dict
        ``above``, ``prior_above`` (share of draws above zero, ties count half), ``contraction``, ``shift``, ``verdict``
        (as for any number, see :func:`cellsim.identifiability.identification.verdict`), ``note``. The direction is the
        prior's when the two shares differ by less than a tenth, and surer or less sure when they lie on one side of one
        half; the size is the prior's when the verdict is prior-driven.

    Examples
    --------
    >>> prior = np.random.default_rng(0).exponential(size=4000)
    >>> beside_prior(prior[:400] / 50 + 4, prior)["note"]
    'direction as the prior says, size not as the prior says (contraction 1.00, shift +2.0 prior sd)'
    """
    learned = _learned(apart, before, chance)
    above, prior_above = _above(apart), _above(before)
    found: dict[str, float | str] = {"above": above, "prior_above": prior_above, **learned}
    if not apart.size or not before.size:
        return {**found, "note": ""}
    if not apart.any() and not before.any():
        return {**found, "note": "no difference, and none expected"}
    # a prior of one value alone has no scale to measure by
    one = not learned["verdict"]
    size = learned["verdict"] == PRIOR_DRIVEN or (one and bool(np.allclose(apart, before[0], rtol=_SAME)))
    direction = _direction(above, prior_above)
    if size and direction == _AS_PRIOR:
        return {**found, "note": f"{_AS_PRIOR}, in direction and size"}
    how = f"shift {learned['shift']:+.1f} prior sd"
    if learned["verdict"] == DATA_DRIVEN:
        how = f"contraction {learned['contraction']:.2f}, {how}"
    of_size = _AS_PRIOR if size else f"not {_AS_PRIOR}" + ("" if chance or one else f" ({how})")
    return {**found, "note": f"direction {direction}, size {of_size}"}


def _direction(above: float, prior_above: float) -> str:
    """Whether a direction is the prior's, by the chance that the first is above the second."""
    if abs(above - prior_above) < _SAME_CHANCE:
        return _AS_PRIOR
    if (above - 0.5) * (prior_above - 0.5) <= 0:
        return f"not {_AS_PRIOR}"
    surer = abs(above - 0.5) > abs(prior_above - 0.5)
    return f"{_AS_PRIOR} but {'surer' if surer else 'less sure'}"


def _learned(draws: Array, prior: Array, chance: bool) -> dict[str, float | str]:
    """What the data made of a number: of its normal scores among the prior's draws, whatever its own scale."""
    none: dict[str, float | str] = {"contraction": np.nan, "shift": np.nan, "verdict": ""}
    if not draws.size or not prior.size:
        return none
    if chance:
        moved = abs(float(draws.mean() - prior.mean())) >= _SAME_CHANCE
        return {**none, "verdict": MOVED if moved else PRIOR_DRIVEN}
    if np.ptp(prior) <= _SAME * np.abs(prior).max():  # all the same, to what the solver can tell
        return none
    before, after = _scores(prior, prior), _scores(draws, prior)
    shift = float(after.mean() - before.mean())
    if np.unique(prior, return_counts=True)[1].max() > 0.5 * prior.size:
        # mostly one value, no days at all say: where the draws agree with it, nothing was narrowed
        return {**none, "shift": shift, "verdict": verdict(0.0, shift)}
    contraction = float(1 - after.var() / before.var())
    return {"contraction": contraction, "shift": shift, "verdict": verdict(contraction, shift)}


def _scores(draws: Array, among: Array) -> Array:
    """Normal scores of the places of draws among others; equal ones share theirs."""
    from scipy.special import ndtri

    order = np.sort(among)
    below, up_to = (np.searchsorted(order, draws, side) for side in ("left", "right"))
    return np.asarray(ndtri((0.5 * (below + up_to) + 0.5) / (among.size + 1)))


def _apart(first: Array, second: Array) -> Array:
    """First - second; zero where that is less than the solver can tell, lest rounding decide a comparison."""
    apart = first - second
    return np.where(np.abs(apart) <= _SAME * np.maximum(np.abs(first), np.abs(second)), 0.0, apart)


def _above(apart: Array) -> float:
    return float(np.mean(apart > 0) + 0.5 * np.mean(apart == 0)) if apart.size else np.nan


def sweep(
    source: Source,
    schedules: Mapping[str, Schedule] | Schedule,
    *,
    until: float,
    measures: Sequence[Measure] | None = None,
    draws: int = 400,
    seed: int = 0,
    history: Schedule | str | None = "case",
    background: Schedule | str | None = "case",
) -> Sweep:
    """Compare dosing schedules under the uncertainty of a calibration or of a sampled posterior.

    Parameters
    ----------
    source : Calibration, VariationalApproximation or Posterior
        Draws come from its posterior (Laplace, nearest normal, or sampled: the result says which); the same number
        comes from its prior, for comparison.
    schedules : Schedule, or mapping of str to Schedule
        Plans from day 0 on; doses before day 0 belong into `history`.
    until : float
        Last day looked at; doses after it are not given, and a doubt names them.
    measures : sequence of Measure, optional
        See :mod:`cellsim.predictions.measures`; by default the usual ones on day `until`.
    draws : int
        How many posterior draws, and how many prior ones.
    seed : int
        Of both.
    history : Schedule, None, or "case"
        What came before day 0: the case's own history by default, nothing when None.
    background : Schedule, None, or "case"
        What every plan keeps from day 0 on, unless it has doses of the same product itself: by default what was given of the
        case's background products (``background`` in ``products.tsv``), nothing when None. A product given beside others
        that a plan leaves out is told as a doubt, except with None.

    Returns
    -------
    Sweep

    Raises
    ------
    ScheduleError
        All problems at once: plans with doses before day 0, a history with doses from day 0 on, two plans of one name,
        unknown products, days that are not looked at, counts and seeds that are none.
    CellsimError
        If `source` is neither calibration, nor normal approximation, nor chains, or no draw could be simulated.

    Warns
    -----
    ApproximationWarning
        If the draws are known not to stand for the posterior (Pareto k above 0.7, chains that do not agree), with what
        to ask instead.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> fit = cs.calibrate(case, starts=1)
    >>> result = cs.sweep(fit, {"as given": case.schedule}, until=365, draws=20)
    >>> bool((result.table()["cells"] == 7.25e8).all())
    True
    """
    objective = objective_given(source, "sweep")
    if not hasattr(source, "draws"):
        raise CellsimError(
            "sweep draws from a calibration, its variational approximation, or chains; an objective has none. Make one: "
            "cs.calibrate(case)."
        )
    case, approximation = objective.case, approximation_of(source)
    if problems := unusable(counts={"draws": (draws, 1)}, seeds={"seed": seed}):
        raise ScheduleError(problems)
    before, kept = history_given(history, case), background_given(background, case)
    alone = plans_given(schedules)
    plans = on_background(alone, kept, case.products)
    if not isinstance(measures, Sequence | None):
        raise CellsimError(f"measures takes a list of measures, like [{measures!r}].")
    chosen = tuple(measures) if measures is not None else default_measures(objective.model, case=case)
    if problems := plan_problems(plans, before, case, until, chosen):
        raise ScheduleError(problems)
    until = float(until)
    approximation.warn("sweep")
    asked = tuple(each for measure in chosen for each in measure.asked(case, objective.model, until))
    sample = Sample(objective, chosen, before, until)
    sample.see_doses(tuple(plans.values()))
    random = np.random.default_rng(seed + 1)
    both = (source.draws(draws, seed=seed), random.standard_normal((draws, len(objective.names))))
    simulated, interrupted = sample.all_runs(tuple(plans.values()), both)
    fine_everywhere = [np.all([runs.fine for runs in per_plan], axis=0) for per_plan in simulated]
    if not fine_everywhere[0].any():
        raise CellsimError(f"none of {draws} draws could be simulated: {simulated[0][0].why}")
    numbers = [
        np.array(
            [
                np.concatenate([measure.of(one.only(fine, seed), case, until) for measure in chosen])
                for one in per_plan
            ]
        )
        for per_plan, fine in zip(simulated, fine_everywhere, strict=True)
    ]
    first = [one.only(fine_everywhere[0], seed) for one in simulated[0]]
    lost = tuple(int((~each).sum()) for each in fine_everywhere)
    return Sweep(
        case=case,
        variant=source.variant,
        seed=seed,
        schedules=plans,
        history=before,
        until=until,
        asked=asked,
        posterior=numbers[0],
        prior=numbers[1],
        lost=(lost[0], lost[1]),
        times=sample.times,
        curves={
            name: np.array([np.quantile(runs.values[name], _BANDS, axis=0) for runs in first])
            for name in first[0].values
        },
        interrupted=interrupted,
        background=kept,
        approximation=approximation.also(
            f"interrupted: {numbers[0].shape[2]} of {draws} draws are in." if interrupted else "",
            *(dropped(alone, kept, case) if background is not None else ()),
            *_improbable(plans, case),
            *_not_reached(plans, until),
            *(
                f"{count} of {draws} {which} draws could not be simulated and are left out: {one[0].why}"
                for count, which, one in zip(lost, ("posterior", "prior"), simulated, strict=True)
                if count
            ),
        ),
    )


def _not_reached(plans: Mapping[str, Schedule], until: float) -> list[str]:
    """Doses of a plan that `until` cuts off."""
    said = []
    for name, plan in plans.items():
        given = delivered(plan, until)
        if given.infusions != plan.infusions:
            said.append(
                f"{name}: only {given.count} of {plan.count} {dose_noun(plan, plan.products)}s "
                f"({amounts_text(given, given.products) or 'nothing'} of {amounts_text(plan, plan.products)}) are given by day "
                f"{until:g}: the numbers are those of what was given."
            )
    return said


def _improbable(plans: Mapping[str, Schedule], case: Case) -> list[str]:
    """Doses of a plan a thousandfold off those that the patient was given of the same product."""
    said = []
    for name, plan in plans.items():
        for product in dict.fromkeys(each.product for each in plan.infusions):
            about = next((each for each in case.products if each.name == product), None)
            unit = about.unit if about is not None else ""
            given = [each.cells for each in case.timeline if each.product == product]
            sizes = dict.fromkeys(each.cells for each in plan.infusions if each.product == product)
            whys = [
                why for size in sizes if (why := dose_doubt(size, given, counted=unit == "cells", unit=unit))
            ]
            said += [f"{name}, {product}: {why}" for why in whys[:1]]
    return said
