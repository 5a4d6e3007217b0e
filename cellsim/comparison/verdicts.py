"""What a comparison of variants says, in one paragraph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.results import difference
from cellsim.sweeps.agreement import SEPARATES, off_by

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison

__all__ = ["nulls_words", "off_of", "verdict_of", "verdict_sentences"]


def off_of(found: Comparison) -> float:
    """How far the evidences may be off, each of them: two standard errors of the least sure."""
    return off_by(each.error for each in found.known.values())


# groups that are named, of those whose weights are uneven
_NAMED = 4


def verdict_of(found: Comparison) -> str:
    """Which variants lead, how the nulls fare, whether prediction of left-out rows agrees, and what would flip it."""
    return " ".join(verdict_sentences(found))


def verdict_sentences(found: Comparison) -> list[str]:
    """The same, a string an idea."""
    order = found.order
    if len(order) == 1:
        return [f"Only {order[0]} was fitted: nothing can be said against any other."]
    said = [_leading(found), _laplace(found), nulls_words(found), _predicting(found)]
    said += [
        _priors(found),
        "An evidence is an average over the prior, so every difference is one of priors and data together; this is one "
        f"patient{f' ({design})' if (design := found.fits[order[0]].case.design) else ''}.",
    ]
    return [each for each in said if each]


def _leading(found: Comparison) -> str:
    """Who has the greatest evidence, who cannot be told from it, who falls behind."""
    order, evidences, off = found.order, found.evidences, off_of(found)
    behind = {name: evidences[order[0]] - evidences[name] for name in order[1:]}
    near = [name for name in behind if behind[name] < SEPARATES + off]
    far = [name for name in behind if name not in near]
    told = {
        name: f"{name} ({difference(-each, 'ahead', 'behind', 'level')})" for name, each in behind.items()
    }
    said = f"By {found.by} {order[0]} has the greatest evidence; an evidence may be {off:.1f} nats off."
    if near:
        said += f" {', '.join(told[name] for name in near)} cannot be told from it by that."
    if far:
        said += f" {', '.join(told[name] for name in far)} fall{'s' * (len(far) == 1)} behind by more than that and a ratio of 20."
    if heavy := [name for name in order if found.known[name].pareto_k > LARGEST_SHAPE]:
        said += f" Weights of {', '.join(heavy)} are uneven (Pareto k above {LARGEST_SHAPE:g}): there the evidence rather lies too low."
    return said


def _laplace(found: Comparison) -> str:
    """How far Laplace's approximation is from the means that make the order."""
    evidences = found.evidences
    apart = {name: found.fits[name].log_evidence - evidences[name] for name in found.order}
    worst = max(apart, key=lambda name: abs(apart[name]))
    first = max(found.fits, key=lambda name: found.fits[name].log_evidence)
    other = f"; it would have put {first} first" if first != found.order[0] else ""
    return f"Laplace's approximation is up to {abs(apart[worst]):.1f} nats from that ({worst}){other}."


def nulls_words(found: Comparison) -> str:
    """How the variants in which the treatment does nothing fare, by their evidence."""
    nulls = [name for name in found.order if name in found.roles.nulls]
    acting = [name for name in found.order if name in found.roles.acting]
    if not nulls or not acting:
        return ""
    lead, far, how_known = _lead(found, nulls, acting)
    label = " and ".join(nulls)
    if lead > far:
        how = f"that is preferred: the best variant in which the treatment acts lies {lead:.1f} nats behind {how_known}."
    elif lead < -far:
        how = f"the best variant in which the treatment acts is clearly ahead ({-lead:.1f} nats {how_known})."
    else:
        how = (
            "the data neither rule that out nor establish it: the best variant in which the treatment acts is "
            f"{difference(-lead, 'nats ahead', 'nats behind', 'level')} {how_known}."
        )
    return f"Under {label} the treatment does nothing; {how}"


def _lead(found: Comparison, nulls: list[str], acting: list[str]) -> tuple[float, float, str]:
    """Of the best null over the best that acts: by how much, what it must exceed, and by what it is known."""
    null, acts = nulls[0], acting[0]
    one, other = found.known[null], found.known[acts]
    error = float(np.hypot(one.error, other.error))
    how = f"by {found.by} ({acts} against {null}, error {error:.1f})"
    return (one.log_evidence - other.log_evidence, SEPARATES + off_by([error]), how)


def _predicting(found: Comparison) -> str:
    """Who predicts best what was left out, among the variants that were asked to."""
    said = []
    for by, plural in (("analyte", "analytes"), ("visit", "visits")):
        weights = found.weights(by)
        if not weights:
            continue
        most = max(weights, key=lambda name: weights[name])
        totals = {name: sum(each.values()) for name, each in found.predicted(by).items()}
        first = max(totals, key=lambda name: totals[name])
        leads = next(name for name in found.order if name in totals)
        said.append(
            f"left-out {plural} are predicted best by {first}"
            + (f" ({most} has the largest stacking weight, {weights[most]:.2f})" if most != first else "")
            + f", {leads} {totals[first] - totals[leads]:.1f} nats behind" * (first != leads)
        )
    if not said and not found.spared:
        return ""
    uneven = [
        f"{each.group} of {name}"
        for name, left in found.left.items()
        for each in left
        if each.shape > LARGEST_SHAPE
    ]
    mixed = (
        f" Weights are too uneven to trust {', '.join(uneven[:_NAMED])}{f' and {len(uneven) - _NAMED} more' * (len(uneven) > _NAMED)} "
        f"(Pareto k above {LARGEST_SHAPE:g})."
        if uneven
        else ""
    )
    missing = [name for name in found.order if name not in found.left and name not in found.spared]
    unasked = f" {', '.join(missing)} left nothing out." if missing else ""
    for name in found.order:
        if name in found.spared:
            less = "Neither sampled again nor moved far" if name in found.left else "Not computed"
            unasked += f" {less} for {name}: {found.spared[name]}."
    return f"Prediction of left-out rows: {'; '.join(said) or 'nothing to compare'}.{mixed}{unasked}"


def _priors(found: Comparison) -> str:
    if not found.powers:
        return ""
    first, second = found.powers[0].first, found.powers[0].second
    flips = [each for each in found.powers if each.flips]
    if flips:
        named = "; ".join(
            f"{each.group} to the power {each.alpha:g} ({each.before:+.1f} becomes {each.after:+.1f})"
            for each in flips
        )
        return f"The lead of {first} over {second} does not survive other priors: {named}.{_uneven_priors(found)}"
    least = min(found.powers, key=lambda each: abs(each.after))
    return (
        f"The lead of {first} over {second} ({least.before:+.1f}) survives priors of half and twice the power in every "
        f"group tried; it is smallest ({least.after:+.1f}) with {least.group} to the power {least.alpha:g}.{_uneven_priors(found)}"
    )


def _uneven_priors(found: Comparison) -> str:
    """Which of these leads no weights can be trusted for."""
    uneven = [f"{each.group} to {each.alpha:g}" for each in found.powers if each.shape > LARGEST_SHAPE]
    return (
        f" Weights are too uneven to trust {', '.join(uneven)} (Pareto k above {LARGEST_SHAPE:g})."
        if uneven
        else ""
    )
