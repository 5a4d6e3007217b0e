"""The best plans under a clinic's rules: all that cannot be told from the best, the simplest first, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.design.clinic_rules import Candidate, ClinicRules
from cellsim.design.racing import Raced, compared, upper
from cellsim.dosing.schedule import Schedule
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.reactions import Reaction
from cellsim.results import number
from cellsim.sweeps.decisions import beats
from cellsim.sweeps.trust_region import Beyond

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case

    Array = NDArray[np.float64]

__all__ = ["Optimum", "control_variate_means"]

_LINES = 15
_DRAWS_WANTED = 100
"""What draws must be worth for a bound to say something of the mechanism, not of how few they are."""


def control_variate_means(leader: Array, several: Array) -> Array:
    """Means of several things, some of few draws, with the help of one that had more: a control variate, its slope between 0 and 1.

    What goes with the one as it does itself is compared with it; what has nothing to do with it keeps its own mean.

    Parameters
    ----------
    leader : array, shape (n_draws,)
        Nan where there was none.
    several : array, shape (n, n_draws)
        The same.

    Returns
    -------
    array, shape (n,)

    Examples
    --------
    >>> leader = np.array([1.0, 3.0, 8.0])
    >>> control_variate_means(leader, np.array([[0.0, 2.0, np.nan], [5.0, 5.0, np.nan]]))
    array([3., 5.])
    """
    both = np.isfinite(several) & np.isfinite(leader)
    size = np.maximum(both.sum(axis=1), 1)
    mine, others = np.where(both, several, 0.0), np.where(both, leader, 0.0)
    own, shared = mine.sum(axis=1) / size, others.sum(axis=1) / size
    apart = np.where(both, others - shared[:, None], 0.0)
    spread, along = (apart**2).sum(axis=1), (apart * mine).sum(axis=1)
    slope = np.clip(along / np.where(spread > 0, spread, 1.0), 0.0, 1.0)
    whole = leader[np.isfinite(leader)].mean() if np.isfinite(leader).any() else 0.0
    return np.asarray(own + slope * (whole - shared))


@dataclass(frozen=True, eq=False)
class Optimum:
    """Answer to "which plan"; made by :func:`cellsim.optimise`.

    Attributes
    ----------
    case : Case
    rules : ClinicRules
    measure : str
        The benefit.
    sign : float
        1 where more of it is better, -1 where less is.
    cost : float
        Utility that one unit of a product (a cell) costs.
    until : float
        Last day.
    candidates : tuple of Candidate
        The plans that were raced.
    names : tuple of str
    weights : mapping of str to float
        By mechanism.
    worth : mapping of str to float
        Independent draws that the draws of each mechanism are worth.
    alike : tuple of str
        Mechanisms in which plans cannot differ but by what they cost: no dose in which they differ reaches the benefit.
    raced : Raced
    eps : float
        Differences of utility that do not matter.
    probability : float
        Of each certificate.
    complete : bool
        Whether all allowed plans were raced; otherwise those that a differential evolution proposed.
    allowed : int
        How many plans the rules allow; combinations of levels where not all were looked at.
    chance : bool
        Whether the benefit is a probability.
    approximation : Approximation
    beyond : mapping of str to tuple of Beyond
        Of the plans of the answer, by name: in what they lie outside what was given.
    """

    case: Case
    rules: ClinicRules
    measure: str
    sign: float
    cost: float
    until: float
    candidates: tuple[Candidate, ...]
    names: tuple[str, ...]
    weights: Mapping[str, float]
    worth: Mapping[str, float]
    alike: tuple[str, ...]
    raced: Raced
    eps: float
    probability: float
    complete: bool
    allowed: int
    chance: bool
    approximation: Approximation
    beyond: Mapping[str, tuple[Beyond, ...]]

    @property
    def label(self) -> str:
        """What must stand beside every number of it."""
        return self.case.label

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt ended the race early."""
        return self.raced.interrupted

    @cached_property
    def amounts(self) -> Array:
        """All that each plan gives, in its product's unit; of a plan that reacts the most."""
        return np.array([self.rules.amount(each, self.case.day_zero) for each in self.candidates])

    @cached_property
    def _counted(self) -> dict[str, tuple[float, float]]:
        return {name: (weight, self.worth[name]) for name, weight in self.weights.items() if weight > 0}

    def _mean(self, name: str) -> Array:
        """Mean utility of every plan in a mechanism, nan where it has none."""
        values = self.raced.utility[name]
        there = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))

    @cached_property
    def _averaged(self) -> Array:
        return np.asarray(sum(weight * self._mean(name) for name, (weight, _) in self._counted.items()))

    @cached_property
    def mean(self) -> Array:
        """Mean utility of every plan, averaged over mechanisms; nan where none could be simulated.

        Of a plan of the answer it is that of the leader, less what the plan is behind in the draws that both had. One that was dropped after few draws
        is moved by how its utility goes with the leader's in these (see `control_variate_means`): one that does nothing stays at nothing.
        """
        every = np.arange(len(self.candidates))
        behind, _, _ = compared(self.leader, every, self.raced.utility, self._counted, self.chance)
        dropped = sum(
            weight * control_variate_means(self.raced.utility[name][self.leader], self.raced.utility[name])
            for name, (weight, _) in self._counted.items()
        )
        near = np.where(self.raced.average, self._averaged[self.leader] - behind, dropped)
        return np.asarray(np.where(np.isfinite(behind), near, np.nan))

    @cached_property
    def leader(self) -> int:
        """Place of the plan of the highest mean utility."""
        plans = np.flatnonzero(self.raced.average)
        return int(plans[np.argmax(self._averaged[plans])])

    @cached_property
    def order(self) -> list[int]:
        """Places of the plans of the answer, the simplest first."""
        plans = np.flatnonzero(self.raced.average).tolist()
        return sorted(plans, key=lambda place: (self.candidates[place].simplicity, -self.mean[place]))

    @property
    def plans(self) -> dict[str, Schedule | Reaction]:
        """The plans of the answer, the simplest first: ``cs.sweep`` takes them."""
        return {
            self.names[place]: self.rules.schedule(self.candidates[place], self.case) for place in self.order
        }

    @property
    def best(self) -> Schedule | Reaction:
        """The simplest plan that cannot be told from the best."""
        return self.rules.schedule(self.candidates[self.order[0]], self.case)

    def _benefit(self, place: int) -> float:
        return float(self.sign * (self.mean[place] + self.cost * self.amounts[place]))

    def table(self) -> pd.DataFrame:
        """The plans of the answer, the simplest first.

        Returns
        -------
        DataFrame
            Columns plan, product, dose, doses, interval, start, loading, visit, below, otherwise (of plans that react), amount (of all doses), benefit (mean of the measure, averaged over
            mechanisms), utility, behind and behind_error (mean utility of the plan of the highest mean less its own, Monte Carlo error), beaten (chance
            that this one beats it in a draw), beaten_error, regret (expected: utility lost against the best plan of each mechanism,
            averaged), worst_regret and worst_variant, extrapolation, approximation, doubts.
        """
        import pandas as pd

        places = np.array(self.order, np.intp)
        behind, errors, _ = compared(self.leader, places, self.raced.utility, self._counted, self.chance)
        regrets = self._regrets(places)
        rows = []
        for k, place in enumerate(places.tolist()):
            one = self.candidates[place]
            beaten = self._beaten(place)
            worst = max(regrets, key=lambda name: regrets[name][k])
            rows.append(
                {
                    "plan": self.names[place],
                    "product": one.product,
                    "dose": one.cells,
                    "doses": one.doses,
                    "interval": one.interval,
                    "start": one.start,
                    "loading": one.loading,
                    "visit": np.nan if one.visit is None else one.visit,
                    "below": one.below if one.visit is not None else np.nan,
                    "otherwise": "" if one.visit is None else str(one.otherwise),
                    "amount": self.amounts[place],
                    "benefit": self._benefit(place),
                    "utility": self.mean[place],
                    "behind": behind[k],
                    "behind_error": errors[k],
                    "beaten": beaten[0],
                    "beaten_error": beaten[1],
                    "regret": sum(weight * regrets[name][k] for name, (weight, _) in self._counted.items()),
                    "worst_regret": regrets[worst][k],
                    "worst_variant": worst,
                    "extrapolation": "; ".join(str(each) for each in self.beyond.get(self.names[place], ())),
                }
            )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def _regrets(self, places: NDArray[np.intp]) -> dict[str, Array]:
        """Mean utility that plans lose in each mechanism that counts against the plan that is best there."""
        out = {}
        for name, counted in self._counted.items():
            alive = np.flatnonzero(self.raced.alive[name])
            alone = {name: (1.0, counted[1])}
            # by paired draws: not all that may be best had as many
            behind, _, _ = compared(self.leader, alive, self.raced.utility, alone, chance=False)
            best = int(alive[np.argmin(behind)])
            lost, _, _ = compared(best, places, self.raced.utility, alone, chance=False)
            out[name] = np.maximum(lost, 0.0)
        return out

    def _beaten(self, place: int) -> tuple[float, float]:
        chance, square = 0.0, 0.0
        for name, (weight, worth) in self._counted.items():
            first, second = self.raced.utility[name][[self.leader, place]]
            both = np.isfinite(first) & np.isfinite(second)
            p, error = beats(first[both], second[both], min(worth, float(both.sum())))
            chance += weight * float(p)
            square += (weight * float(error)) ** 2
        return chance, float(np.sqrt(square))

    def certificate(self) -> pd.DataFrame:
        """What is sure of the first plan of the answer, in each mechanism by itself.

        Returns
        -------
        DataFrame
            One row a mechanism: variant, weight, plan, eps (no plan that was raced has a mean utility higher than this plan's by more than `eps` in
            this variant, with `probability`), probability, plans (how many were raced), complete (whether these are all that the rules allow), draws,
            best (the plan of the highest mean there), alike (whether plans cannot differ there, so that `eps` is exact), says (the sentence).
        """
        import pandas as pd

        first, rows = self.order[0], []
        for name, weight in self.weights.items():
            rivals = np.flatnonzero(self.raced.alive[name])
            seen = {name: self.raced.utility[name]}
            behind, error, freedom = compared(
                first, rivals, seen, {name: (1.0, self.worth[name])}, self.chance
            )
            # a mechanism that counts nothing has not simulated the plan to the end
            there = np.isfinite(self.raced.utility[name][first]).sum()
            # every plan dropped here is worse by more than eps than one that was not, which is among the rivals
            most = -behind + upper(self.raced.level, error, freedom)
            bound = float(np.max(most, initial=0.0)) if there > 1 else np.inf
            best = int(rivals[np.argmin(behind)])
            which = "allowed plan" if self.complete else "plan that was looked at"
            within = f" in {name}" if name else ""
            says = f"no {which} is better than “{self.names[first]}” by more than {number(bound)} with probability {self.probability:g}{within}"
            if self.worth[name] < _DRAWS_WANTED:
                says += f" (its draws are worth {self.worth[name]:.0f}: sample it again for a bound that says more)"
            if name in self.alike:
                cost = ", but by what they cost" if self.cost else ""
                says = (
                    f"plans cannot differ{within}{cost}: no dose in which they differ reaches {self.measure}"
                )
            rows.append(
                {
                    "variant": name,
                    "weight": weight,
                    "plan": self.names[first],
                    "eps": bound,
                    "probability": self.probability,
                    "plans": len(self.candidates),
                    "complete": self.complete,
                    "draws": int(there),
                    "best": self.names[best],
                    "alike": name in self.alike,
                    "says": says,
                }
            )
        table = pd.DataFrame(rows)
        table.attrs["label"] = self.label
        return table

    def front(self) -> pd.DataFrame:
        """Benefit against amount: every plan than which none that gives no more is surely better (by more than `eps`).

        Returns
        -------
        DataFrame
            Columns plan, amount, doses, benefit, draws, tie (whether another plan of the same or a smaller amount has a higher mean, within the Monte
            Carlo error), by amount, then benefit, the simplest first. Draws are few where a dearer plan is surely better (see :mod:`cellsim.design.racing`); what such a
            plan is behind the leader is that of the draws that both had.
        """
        import pandas as pd

        places = np.flatnonzero(self.raced.front)
        benefit = self.sign * np.array([self._benefit(place) for place in places.tolist()])
        amount = self.amounts[places]
        rows = []
        simple = [self.candidates[place].simplicity for place in places.tolist()]
        for k in sorted(range(len(places)), key=lambda k: (amount[k], -benefit[k], simple[k])):
            place = int(places[k])
            rows.append(
                {
                    "plan": self.names[place],
                    "amount": amount[k],
                    "doses": self.candidates[place].doses,
                    "benefit": self._benefit(place),
                    "draws": int(self.raced.drawn[place]),
                    "tie": bool((benefit[amount <= amount[k]] > benefit[k]).any()),
                }
            )
        table = pd.DataFrame(rows)
        table.attrs["label"] = self.label
        return table

    def report(self) -> str:
        """The answer as text: the plans, what is sure of the first, and benefit against amount."""
        import pandas as pd

        title = f"Plans for {self.case.name} under the clinic's rules, by {self.measure}"
        which = (
            "all that the rules allow"
            if self.complete
            else f"proposed by a differential evolution, of {self.allowed} combinations"
        )
        table, front = self.table(), self.front()
        lines = [title, "=" * len(title), self.label, "", *self.approximation.lines, ""]
        lines += [
            f"{len(self.candidates)} plans were raced ({which}); {len(table)} cannot be told from the best within {self.eps:g}. The simplest first:",
            "",
        ]
        shown: dict[str, Any] = {"index": False, "float_format": number}
        columns = [
            "plan",
            "benefit",
            "amount",
            "behind",
            "behind_error",
            "beaten",
            "regret",
            "worst_regret",
            "worst_variant",
        ]
        with pd.option_context("display.width", 220, "display.max_colwidth", 70):
            lines += [table[columns].head(_LINES).to_string(**shown), ""]
            if len(table) > _LINES:
                lines += [f"and {len(table) - _LINES} more", ""]
            if beyond := table["extrapolation"].iloc[0]:
                lines += [f"The first lies outside what was given: {beyond}", ""]
            lines += [*self.certificate()["says"], "", "Benefit against amount:", ""]
            lines += [self._steps(front)[["plan", "amount", "benefit", "draws"]].to_string(**shown), ""]
            lines += [
                f"Of {len(front)} plans than which none that gives no more is surely better, the rest as CSV (front())."
            ]
        return "\n".join(lines)

    def _steps(self, front: pd.DataFrame) -> pd.DataFrame:
        """A front as few lines: of each amount that gives more than all smaller ones the best, spread over amounts."""
        better = self.sign * front["benefit"].to_numpy(float)
        before = np.concatenate([[-np.inf], np.fmax.accumulate(better)[:-1]])
        best = np.flatnonzero(better > before)
        best = best[
            [
                k + 1 == len(best) or front["amount"][best[k + 1]] > front["amount"][best[k]]
                for k in range(len(best))
            ]
        ]
        return front.iloc[
            best[np.unique(np.linspace(0, len(best) - 1, min(len(best), _LINES)).round().astype(int))]
        ]

    def __repr__(self) -> str:
        return (
            f"<Optimum for {self.case.name}: {len(self.order)} of {len(self.candidates)} plans cannot be told from the best by {self.measure}. "
            f"{self.label}>"
        )
