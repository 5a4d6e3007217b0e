"""What a comparison of variants says, in one paragraph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cellsim.results import difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.evidence import Bridge
    from cellsim.comparison.left_out import Left
    from cellsim.posterior.variational import VariationalEvidence

__all__ = [
    "LAPLACE_OFF",
    "LEAST_OFF",
    "SEPARATES",
    "VARIATIONAL_OFF",
    "by_words",
    "laplace_off",
    "means_of",
    "nulls_words",
    "off_of",
    "verdict_of",
    "verdict_sentences",
]

# a ratio of evidences of 20
SEPARATES = 3.0
# how far Laplace's evidence was seen to be off at most, by bridge sampling, with about a hundred parameters and rows. What is
# taken where nothing was checked
LAPLACE_OFF = 15.0
# of several checks that found it better than this, none is taken to say that it always is
_LEAST_OFF = 1.0
# the same of the variational approximation, whose worst was 2.2
VARIATIONAL_OFF = 2.5
# nats: nearer than this two evidences are not told apart, however small their standard errors
LEAST_OFF = 0.5
# a Pareto shape of weights above which their mean mostly lies too low
_HEAVY = 0.7


def laplace_off(found: Comparison) -> float:
    """How far Laplace's evidences may be off: as far as the worst of several better ones, or as was seen elsewhere."""
    better = _better(found)
    if len(better) < 2:
        return LAPLACE_OFF
    return max(
        _LEAST_OFF, *(abs(each.log_evidence - found.fits[name].log_evidence) for name, each in better.items())
    )


def _better(found: Comparison) -> Mapping[str, Bridge | VariationalEvidence]:
    """Evidences that go before Laplace's: by draws where several variants were sampled, else by normal approximations."""
    return found.checks if len(found.checks) > 1 else found.normals


def off_of(found: Comparison) -> float:
    """How far the evidences that make the order may be off, each of them."""
    if found.sampled:
        return 2 * max(check.error for check in found.checks.values())
    return VARIATIONAL_OFF if found.by == "variational approximation" else laplace_off(found)


def by_words(found: Comparison) -> str:
    """The means that make the order, as a sentence needs them."""
    return _spoken(found.by)


def _spoken(means: str) -> str:
    return f"the {means}" if means == "variational approximation" else means


def means_of(left: Left) -> str:
    """By what a group of rows was predicted: ``"draws"``, ``"variational approximation"`` or ``"Laplace"``."""
    return {"draws": "draws", "variational": "variational approximation"}.get(left.how, "Laplace")


def verdict_of(found: Comparison) -> str:
    """Which variants lead, how the nulls fare, whether prediction of left-out rows agrees, and what would flip it."""
    return " ".join(verdict_sentences(found))


def verdict_sentences(found: Comparison) -> list[str]:
    """The same, a string an idea."""
    order = found.order
    if len(order) == 1:
        return [f"Only {order[0]} was fitted: nothing can be said against any other."]
    said = [_leading(found), _laplace(found), _sampled(found), nulls_words(found), _predicting(found)]
    said += [
        _priors(found),
        "An evidence is an average over the prior, so every difference is one of priors and data together; this is one "
        f"patient{f' ({design})' if (design := found.fits[order[0]].case.design) else ''}.",
    ]
    return [each for each in said if each]


_MEANS = {
    "variational approximation": "the Gaussian variational approximation of each posterior, with unknown sampling days integrated out,",
    "Laplace": "Laplace's approximation",
}


def _leading(found: Comparison) -> str:
    """Who has the greatest evidence by the best means there are, who cannot be told from it, who falls behind."""
    order, evidences, off = found.order, found.evidences, off_of(found)
    behind = {name: evidences[order[0]] - evidences[name] for name in order[1:]}
    near = [name for name in behind if behind[name] < SEPARATES + off]
    far = [name for name in behind if name not in near]
    told = {
        name: f"{name} ({difference(-each, 'ahead', 'behind', 'level')})" for name, each in behind.items()
    }
    said = f"By {_MEANS.get(found.by, found.by)} {order[0]} has the greatest evidence; an evidence may be {_off_words(found, off)}."
    if near:
        said += f" {', '.join(told[name] for name in near)} cannot be told from it by that."
    if far:
        said += f" {', '.join(told[name] for name in far)} fall{'s' * (len(far) == 1)} behind by more than that and a ratio of 20."
    heavy = [
        name
        for name in order
        if found.by == "variational approximation" and found.normals[name].shape > _HEAVY
    ]
    if heavy:
        said += f" Where the approximation's weights are uneven ({', '.join(heavy)}) it rather lies too low."
    return said


def _off_words(found: Comparison, off: float) -> str:
    if found.by != "Laplace":
        return f"{off:.1f} nats off"
    if len(_better(found)) < 2:
        return (
            f"off by how much was not checked here: with a hundred parameters up to {off:g} nats were seen, and it errs "
            f"towards variants with less to integrate{', the nulls first' * bool(found.roles.nulls)}"
        )
    by = found.checked_by if len(found.checks) > 1 else "the variational approximation"
    return f"up to {off:.1f} nats off, as {by} found here"


def _laplace(found: Comparison) -> str:
    """How far Laplace's approximation is from the means that make the order."""
    if found.by == "Laplace" or len(found.fits) < 2:
        return ""
    evidences = found.evidences
    apart = {name: found.fits[name].log_evidence - evidences[name] for name in found.order}
    worst = max(apart, key=lambda name: abs(apart[name]))
    first = max(found.fits, key=lambda name: found.fits[name].log_evidence)
    other = f"; it would have put {first} first" if first != found.order[0] else ""
    return f"Laplace's approximation is up to {abs(apart[worst]):.1f} nats from that ({worst}){other}."


def _sampled(found: Comparison) -> str:
    """What draws say of the evidences, which goes before what else is known of them."""
    if not found.checks:
        return (
            "No evidence was checked by sampling; draw from the variants of interest and give their posteriors before "
            "believing an order."
        )
    nearer = {name: found.normals.get(name, found.fits[name]).log_evidence for name in found.checks}
    by_variational = sum(name in found.normals for name in found.checks)
    means = {0: "Laplace", len(found.checks): "the variational approximation"}.get(
        by_variational, "what else is known"
    )
    off = ", ".join(
        f"{name} {check.log_evidence - nearer[name]:+.1f} (error {check.error:.1f})"
        for name, check in found.checks.items()
    )
    by = found.checked_by
    said = f"{by[:1].upper()}{by[1:]} against {means}, nats: {off}."
    order = sorted(found.checks, key=lambda name: -found.checks[name].log_evidence)
    for first, second in pairwise(order):
        one, other = found.checks[first], found.checks[second]
        lead, error = one.log_evidence - other.log_evidence, float(np.hypot(one.error, other.error))
        by_others = nearer[first] - nearer[second]
        said += f" By sampling {first} leads {second} by {lead:.1f} (error {error:.1f})"
        said += (
            f", where {means} put it {-by_others:.1f} behind: believe the sampling." if by_others < 0 else "."
        )
        if lead < SEPARATES:
            said += " That is too little to prefer either (a ratio below 20)."
    return said


def nulls_words(found: Comparison) -> str:
    """How the variants in which the treatment does nothing fare, by sampling where it was done."""
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
    checked = [
        sorted((name for name in names if name in found.checks), key=lambda n: -found.checks[n].log_evidence)
        for names in (nulls, acting)
    ]
    if all(checked):
        null, acts = checked[0][0], checked[1][0]
        one, other = found.checks[null], found.checks[acts]
        error = float(np.hypot(one.error, other.error))
        how = f"by {found.checked_by} ({acts} against {null}, error {error:.1f})"
        return one.log_evidence - other.log_evidence, SEPARATES + 2 * error, how
    if all(name in found.normals for name in (*nulls, *acting)):
        null, acts = (max(names, key=lambda n: found.normals[n].log_evidence) for names in (nulls, acting))
        lead = found.normals[null].log_evidence - found.normals[acts].log_evidence
        return lead, SEPARATES + VARIATIONAL_OFF, f"by the variational approximation ({acts} against {null})"
    lead = found.fits[nulls[0]].log_evidence - found.fits[acting[0]].log_evidence
    return lead, SEPARATES + laplace_off(found), f"by Laplace ({acting[0]} against {nulls[0]})"


def _predicting(found: Comparison) -> str:
    """Who predicts best what was left out, among the variants that were asked to."""
    said = []
    for by, plural in (("analyte", "analytes"), ("visit", "visits")):
        weights = found.weights(by)
        if not weights:
            continue
        most = max(weights, key=lambda name: weights[name])
        totals = {name: sum(each.elpd for each in left if each.by == by) for name, left in found.left.items()}
        first = max(totals, key=lambda name: totals[name])
        leads = next(name for name in found.order if name in totals)
        said.append(
            f"left-out {plural} are predicted best by {first}"
            + (f" ({most} has the largest stacking weight, {weights[most]:.2f})" if most != first else "")
            + f", {leads} {totals[first] - totals[leads]:.1f} nats behind" * (first != leads)
        )
    if not said:
        return ""
    drawn = [name for name, left in found.left.items() if any(means_of(each) == "draws" for each in left)]
    means = {means_of(each) for left in found.left.values() for each in left} - {"draws"}
    others = [_spoken(each) for each in sorted(means)]
    mixed = ""
    if not drawn and len(others) > 1:
        mixed = f" Some are by {' and some by '.join(others)}: a few nats between them may be that."
    elif drawn and others:
        mixed = (
            f" Those of {', '.join(drawn)} come from draws where these could be trusted, all others by "
            f"{' or '.join(others)}: a nat or two between them may be that."
        )
    rough = [
        name
        for name in found.left
        if name in found.normals
        and found.normals[name].shape > _HEAVY
        and any(each.how == "variational" for each in found.left[name])
    ]
    if rough:
        mixed += (
            f" Where the approximation's weights are uneven ({', '.join(rough)}) a group may come out a nat or two too low, each the "
            "same way, so that sums over many groups rather favour the others."
        )
    missing = [name for name in found.order if name not in found.left]
    unasked = f" {', '.join(missing)} left nothing out." if missing else ""
    return f"Prediction of left-out rows: {'; '.join(said)}.{mixed}{unasked}"


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
        return f"The lead of {first} over {second} does not survive other priors: {named}."
    least = min(found.powers, key=lambda each: abs(each.after))
    return (
        f"The lead of {first} over {second} ({least.before:+.1f}) survives priors of half and twice the power in every "
        f"group tried; it is smallest ({least.after:+.1f}) with {least.group} to the power {least.alpha:g}."
    )
