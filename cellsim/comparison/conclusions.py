"""What a case concludes, each conclusion a number with a threshold, so that it can be drawn again and seen to flip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from cellsim.case.outcomes import QUESTIONS, ReportQuestion
from cellsim.case.records import variant_names
from cellsim.comparison.reweighting import Reweighted
from cellsim.comparison.variant_roles import VariantRoles
from cellsim.likelihood.objective import Objective
from cellsim.predictions.measures import Area
from cellsim.sweeps.sweeps import sweep

__all__ = ["Conclusion", "Question", "questions"]


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """One thing concluded: a number, and on which side of a threshold it lies.

    Parameters
    ----------
    id : str
        Its column in a table.
    question, unit : str
        What the number is, in what.
    threshold : float
    above, below : str
        What is concluded when the number is above the threshold, and when it is not.
    margin : float
        Nearer to the threshold than this, either way, nothing is concluded.
    """

    id: str
    question: str
    unit: str
    threshold: float
    above: str
    below: str
    margin: float = 0.0

    def side(self, value: float) -> str:
        """``"above"``, ``"below"`` or ``"open"``; empty when there is no number.

        Examples
        --------
        >>> lead = Conclusion(id="lead", question="?", unit="nat", threshold=0, above="yes", below="no", margin=1)
        >>> [lead.side(value) for value in (3.0, -3.0, 0.5, float("nan"))]
        ['above', 'below', 'open', '']
        """
        if np.isnan(value):
            return ""
        if self.margin and abs(value - self.threshold) < self.margin:
            return "open"
        return "above" if value > self.threshold else "below"

    def measured(self, value: float) -> str:
        """A number with its unit, as a sentence needs it."""
        return f"probability {value:.2g}" if self.unit == "probability" else f"{value:.3g} {self.unit}"

    def said(self, value: float) -> str:
        """What a number concludes, in words."""
        words = {"above": self.above, "below": self.below, "open": f"it is open whether {self.above}"}
        return words.get(self.side(value), "cannot be asked")


@dataclass(frozen=True)
class Question:
    """A conclusion, and how its number is found from draws of the variants' posteriors, or `of_rows` from the rows alone."""

    conclusion: Conclusion
    ask: Callable[[Mapping[str, Reweighted]], float]
    of_rows: bool = False


_STRONG = float(np.log(20))
# a probability nearer to one half than this decides nothing
_UNSURE = 0.2
_MOST_DYNAMIC = 3.0
_STRAINED = 2.0
_LEAST_GAIN = 0.01
# as far as that, give or take what so few draws leave open
_LEARNED, _SCATTER = 0.1, 0.05
_DRAWS = 200


def questions(
    objectives: Mapping[str, Objective], roles: VariantRoles, *, margin: float, seed: int
) -> tuple[list[Question], list[str]]:
    """Everything that can be asked of a case, and why the rest cannot.

    Parameters
    ----------
    objectives : mapping of str to Objective
        Of the variants compared, for the case as it stands.
    roles : VariantRoles
    margin : float
        Of leads of evidence, nats: nearer to its threshold than this a lead says nothing.
    seed : int
        Of the draws behind simulated contrasts.

    Returns
    -------
    questions : list of Question
    left_out : list of str
        One sentence for each that cannot be asked.
    """
    asked: list[Question] = []
    left_out: list[str] = []
    own = {
        kind: [each for each in objectives[roles.default].case.questions if each.kind == kind]
        for kind in QUESTIONS
    }
    for found in (
        _null_lead(objectives, roles, margin),
        *(_removal(objectives, roles, each, margin) for each in own["removal"]),
        _dynamic(objectives, roles),
        _strain(objectives, roles),
        *(found for each in own["after dose"] for found in _after_doses(objectives, roles, each)),
        *(found for each in own["products"] for found in _products(objectives, roles, each, seed)),
        *_limits(objectives, roles),
    ):
        if isinstance(found, str):
            left_out.append(found)
        else:
            asked.append(found)
    return asked, left_out


# ---- evidence -------------------------------------------------------------------------------------


def _best(posteriors: Mapping[str, Reweighted], names: Sequence[str]) -> float:
    return max((posteriors[name].log_evidence for name in names if name in posteriors), default=np.nan)


def _called(objectives: Mapping[str, Objective], names: Sequence[str]) -> str:
    """Variants by what they are called, never by their bare ids."""
    called = variant_names(next(iter(objectives.values())).case.variants)
    return " or ".join(f"“{called.get(each, each)}”" for each in names)


def _null_lead(objectives: Mapping[str, Objective], roles: VariantRoles, margin: float) -> Question | str:
    acting = [name for name in roles.acting if name in objectives]
    if not roles.nulls or not acting:
        return "Whether doing nothing explains as much cannot be asked: that takes a null variant and another one."
    return Question(
        Conclusion(
            id="null_lead",
            question=f"ln evidence of the best null ({_called(objectives, roles.nulls)}) less that of the best other ({_called(objectives, acting)})",
            unit="nat",
            threshold=0.0,
            above="a null leads",
            below="an effect of the treatment leads",
            margin=margin,
        ),
        lambda posteriors: _best(posteriors, roles.nulls) - _best(posteriors, acting),
    )


def _removal(
    objectives: Mapping[str, Objective], roles: VariantRoles, asked: ReportQuestion, margin: float
) -> Question | str:
    if not roles.neutral:
        return f"Whether {asked.claim} is needed cannot be asked: no variant holds it at nothing."
    return Question(
        Conclusion(
            id=f"{asked.id}_lead",
            question=f"ln evidence of {_called(objectives, [roles.default])} less that of the best variant without {asked.claim} "
            f"({_called(objectives, roles.neutral)})",
            unit="nat",
            threshold=_STRONG,
            above=f"{asked.above} (20 to 1 or more)",
            below=asked.below,
            margin=margin,
        ),
        lambda posteriors: _best(posteriors, [roles.default]) - _best(posteriors, roles.neutral),
    )


# ---- parameters -----------------------------------------------------------------------------------


def _dynamic(objectives: Mapping[str, Objective], roles: VariantRoles) -> Question | str:
    objective = objectives[roles.default]
    groups = objective.case.mechanism
    dynamic = {name for name in objective.names if objective.case.prior(name).group in groups}
    if not dynamic:
        return "How much of the dynamics was learned cannot be asked: no parameter that is estimated says how the treatment acts."

    def learned(posteriors: Mapping[str, Reweighted]) -> float:
        post = posteriors[roles.default]
        return sum(
            1 - post.moments(name)[1]
            for name in post.objective.names
            if name in dynamic and np.isfinite(post.moments(name)[1])
        )

    return Question(
        Conclusion(
            id="dynamic_learned",
            question=f"share learned (contraction), summed over the {len(dynamic)} dynamic parameters of {_called(objectives, [roles.default])}",
            unit="parameters",
            threshold=_MOST_DYNAMIC,
            above="the data determine more than three numbers of the dynamics",
            below="the data determine at most three numbers of the dynamics",
        ),
        learned,
    )


def _strain(objectives: Mapping[str, Objective], roles: VariantRoles) -> Question | str:
    default = set(objectives[roles.default].names)
    own = {null: [n for n in objectives[null].names if n not in default] for null in roles.nulls}
    null = next((each for each in roles.nulls if own[each]), "")
    if not null:
        return "How far a null must strain cannot be asked: no null frees a parameter that the default variant holds."
    return Question(
        Conclusion(
            id="null_strain",
            question=f"largest shift of what only the null {_called(objectives, [null])} frees ({', '.join(own[null])}), either way",
            unit="prior sd",
            threshold=_STRAINED,
            above="the null needs a change that its prior calls rare",
            below="the null needs nothing unusual",
        ),
        lambda posteriors: max(
            (
                abs(posteriors[null].moments(name)[0])
                for name in own[null]
                if name in posteriors[null].objective.names
            ),
            default=np.nan,
        ),
    )


def _after_doses(
    objectives: Mapping[str, Objective], roles: VariantRoles, asked: ReportQuestion
) -> list[Question | str]:
    """Whether a sample of unknown day was drawn while what follows a dose at once was still there."""
    objective, within = objectives[roles.default], asked.within or 0.0
    days = [each.day for each in objective.case.timeline]
    out: list[Question | str] = []
    for visit in objective.case.visits:
        window = (visit.earliest, visit.latest)
        reached = [day for day in days if day < window[1] and day + within > window[0]]
        if f"day_{visit.id}" in objective.names and reached:
            out.append(_after_dose(visit.id, visit.name, objectives, roles.default, asked, within))
    return out or ["When a sample was drawn cannot be asked: no unknown day may lie just after a dose."]


def _after_dose(
    visit: str,
    name: str,
    objectives: Mapping[str, Objective],
    variant: str,
    asked: ReportQuestion,
    within: float,
) -> Question:
    parameter = f"day_{visit}"

    def chance(posteriors: Mapping[str, Reweighted]) -> float:
        post = posteriors[variant]
        scored = any(term.visit == visit for term in post.objective.terms)
        if parameter not in post.objective.names or not scored:
            return np.nan
        given = sorted({each.day for each in post.case.timeline})
        stretches = [(first, min(first + within, later)) for first, later in pairwise([*given, np.inf])]
        return post.chance(parameter, np.array(stretches))

    return Question(
        Conclusion(
            id=f"{asked.id}_{visit}",
            question=f"probability that the sample {name} was drawn within {within:g} days after a dose, under {_called(objectives, [variant])}",
            unit="probability",
            threshold=0.5,
            margin=_UNSURE,
            above=f"the sample {name} {asked.above}",
            below=f"the sample {name} {asked.below}",
        ),
        chance,
    )


# ---- one product against another ------------------------------------------------------------------


def _products(
    objectives: Mapping[str, Objective], roles: VariantRoles, asked: ReportQuestion, seed: int
) -> list[Question | str]:
    """Whether one product would have done better than another on the same days, and who says so."""
    objective = objectives[roles.default]
    case = objective.case
    pair = (asked.first, asked.second)
    if not case.schedule.count or asked.quantity not in objective.model:
        return [
            f"Whether {asked.above} cannot be asked: that takes doses from day 0 on, and {asked.quantity} in the model."
        ]

    # two questions, one simulation
    @lru_cache(maxsize=1)
    def chances(post: Reweighted) -> tuple[float, float]:
        plans = {name: post.case.schedule.as_product(name) for name in pair}
        until = max(visit.latest for visit in post.case.visits)
        found = sweep(
            post,
            plans,
            until=until,
            measures=[Area(asked.quantity)],
            draws=_DRAWS,
            seed=seed,
            background=None,
        )
        if found.interrupted:  # a contrast of fewer draws would be another number
            raise KeyboardInterrupt
        sign = 1.0 if asked.better == "lower" else -1.0
        posterior, prior = (
            float(np.mean(sign * (1 - draws[0, 0] / draws[1, 0]) > _LEAST_GAIN)) if draws.size else np.nan
            for draws in (found.posterior, found.prior)
        )
        return posterior, prior

    what = next((each.label for each in case.shown if each.quantity == asked.quantity), asked.quantity)
    level = f"{what} at least {_LEAST_GAIN:.0%} {asked.better} than {asked.second} on the same days"
    return [
        Question(
            Conclusion(
                id=f"{asked.id}_better",
                question=f"probability that {asked.first} keeps {level}, under {_called(objectives, [roles.default])}",
                unit="probability",
                threshold=0.5,
                margin=_UNSURE,
                above=asked.above,
                below=asked.below,
            ),
            lambda posteriors: chances(posteriors[roles.default])[0],
        ),
        Question(
            Conclusion(
                id=f"{asked.id}_learned",
                question="how far that probability is from the one of the prior alone, either way",
                unit="probability",
                threshold=_LEARNED,
                margin=_SCATTER,
                above=f"the data moved the chance that {asked.above}",
                below=f"the chance that {asked.above} is what the prior says",
            ),
            lambda posteriors: abs(float(np.subtract(*chances(posteriors[roles.default])))),
        ),
    ]


# ---- reference ranges -----------------------------------------------------------------------------


def _limits(objectives: Mapping[str, Objective], roles: VariantRoles) -> list[Question | str]:
    """Whether an analyte whose upper limit is in doubt was ever above it."""
    case = objectives[roles.default].case
    doubtful = dict.fromkeys(each.analyte for each in case.alternatives if each.analyte)
    return [_limit(case.analyte(name).id, case.analyte(name).name, roles.default) for name in doubtful]


def _limit(analyte: str, name: str, variant: str) -> Question:
    def most(posteriors: Mapping[str, Reweighted]) -> float:
        objective = posteriors[variant].objective
        upper = objective.case.analyte(analyte).upper
        seen = [
            term.measured for term in objective.terms if term.analyte == analyte and term.part == "standard"
        ]
        return max(seen) / upper if seen and upper else np.nan

    return Question(
        Conclusion(
            id=f"over_limit_{analyte}",
            question=f"highest measured {name} over its upper reference limit",
            unit="upper limits",
            threshold=1.0,
            above=f"{name} left its reference range",
            below=f"{name} stayed within its upper limit",
        ),
        most,
        of_rows=True,
    )
