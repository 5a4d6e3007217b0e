"""What a comparison of variants says, in one paragraph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellsim.evidence import Bridge
    from cellsim.leaving_out import Left
    from cellsim.nearest_normal import NearestNormal
    from cellsim.variants import Comparison

__all__ = [
    "LAPLACE_OFF",
    "SEPARATES",
    "laplace_off",
    "means_of",
    "nulls_words",
    "verdict_of",
    "verdict_sentences",
]

# a ratio of evidences of 20
SEPARATES = 3.0
# how far Laplace's evidence was seen to be off, by bridge sampling, with about a hundred parameters and rows: 15 for
# long engraftment, 6 for the default variant of the published case, 1 for its null. What is taken where nothing was checked
LAPLACE_OFF = 15.0
# of several checks that found it better than this, none is taken to say that it always is
_LEAST_OFF = 1.0


# the same of the nearest normal law: 1.5 for the default variant, 0.1 for its null, 2.2 for long engraftment
_NORMAL_OFF = 2.5
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


def _better(found: Comparison) -> Mapping[str, Bridge | NearestNormal]:
    """Evidences that go before Laplace's: by bridge sampling where several variants were sampled, else by normal laws."""
    return found.checks if len(found.checks) > 1 else found.normals


def means_of(left: Left) -> str:
    """By what a group of rows was foretold: ``"draws"`` or ``"Laplace"``."""
    return "draws" if left.how == "draws" else "Laplace"


def verdict_of(found: Comparison) -> str:
    """Which variants lead, how the nulls fare, whether foretelling agrees, and what would flip it."""
    return " ".join(verdict_sentences(found))


def verdict_sentences(found: Comparison) -> list[str]:
    """The same, a string an idea."""
    order = found.order
    if len(order) == 1:
        return [f"Only {order[0]} was fitted: nothing can be said against any other."]
    behind = {name: found.fits[order[0]].log_evidence - found.fits[name].log_evidence for name in order}
    off = laplace_off(found)
    by = "bridge sampling" if len(found.checks) > 1 else "the nearest normal law"
    seen = (
        f"here {by} found it up to {off:.1f} nats off"
        if len(_better(found)) > 1
        else f"how far it is off here was not checked; with a hundred parameters up to {off:g} nats were seen"
    )
    near = [name for name in order[1:] if behind[name] < SEPARATES + off]
    said = [
        f"By Laplace's approximation {order[0]} has the greatest evidence; "
        + (
            f"{', '.join(f'{name} (-{behind[name]:.1f})' for name in near)} cannot be told from it by that: {seen}, and it "
            "errs towards variants with less to integrate, the nulls first."
            if near
            else f"every other variant lies more than {SEPARATES + off:.1f} nats behind, which is beyond what the "
            f"approximation may be off ({seen})."
        )
    ]
    said += [_nearest(found), _sampled(found), nulls_words(found), _foretelling(found), _priors(found)]
    said.append(
        "An evidence is an average over the prior, so every difference is one of priors and data together; this is one "
        "uncontrolled patient."
    )
    return [each for each in said if each]


def _nearest(found: Comparison) -> str:
    """What the nearest normal laws say of the evidences."""
    if len(found.normals) < 2:
        return ""
    order = sorted(found.normals, key=lambda name: -found.normals[name].log_evidence)
    best = found.normals[order[0]].log_evidence
    told = ", ".join(f"{name} {found.normals[name].log_evidence - best:+.1f}" for name in order[1:])
    heavy = [name for name in order if found.normals[name].shape > _HEAVY]
    rather = f" Where its weights are uneven ({', '.join(heavy)}) it rather lies too low." if heavy else ""
    return (
        "By the normal law nearest to each posterior, with unknown sampling days integrated out, which stands between "
        f"Laplace and sampling, {order[0]} leads: {told}; each may be off by a nat or two.{rather}"
    )


def _sampled(found: Comparison) -> str:
    """What draws say of the evidences, which goes before what Laplace says."""
    if not found.checks:
        return (
            "No evidence was checked by sampling; draw from the variants of interest and give their posteriors before "
            "believing an order."
        )
    off = ", ".join(
        f"{name} {check.log_evidence - found.fits[name].log_evidence:+.1f} (error {check.error:.1f})"
        for name, check in found.checks.items()
    )
    said = f"Bridge sampling against Laplace, nats: {off}."
    order = sorted(found.checks, key=lambda name: -found.checks[name].log_evidence)
    for first, second in pairwise(order):
        one, other = found.checks[first], found.checks[second]
        lead, error = one.log_evidence - other.log_evidence, float(np.hypot(one.error, other.error))
        by_laplace = found.fits[first].log_evidence - found.fits[second].log_evidence
        said += f" By sampling {first} leads {second} by {lead:.1f} (error {error:.1f})"
        said += (
            f", where Laplace put it {-by_laplace:.1f} behind: believe the sampling."
            if by_laplace < 0
            else "."
        )
        if lead < SEPARATES:
            said += " That is too little to prefer either (a ratio below 20)."
    return said


def nulls_words(found: Comparison) -> str:
    """How the variants in which infusions do nothing fare, by sampling where it was done."""
    nulls = [name for name in found.order if name in found.rivals.nulls]
    acting = [name for name in found.order if name in found.rivals.acting]
    if not nulls or not acting:
        return ""
    lead, far, how_known = _lead(found, nulls, acting)
    spoken = " and ".join(nulls)
    if lead > far:
        how = (
            f"that is preferred: the best variant in which cells act lies {lead:.1f} nats behind {how_known}."
        )
    elif lead < -far:
        how = f"the best variant in which cells act is clearly ahead ({-lead:.1f} nats {how_known})."
    else:
        how = (
            "the data neither rule that out nor establish it: the best variant in which cells act stands "
            f"{-lead:+.1f} nats {how_known}."
        )
    return f"Under {spoken} the infusions do nothing; {how}"


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
        how = f"by bridge sampling ({acts} against {null}, error {error:.1f})"
        return one.log_evidence - other.log_evidence, SEPARATES + 2 * error, how
    if all(name in found.normals for name in (*nulls, *acting)):
        null, acts = (max(names, key=lambda n: found.normals[n].log_evidence) for names in (nulls, acting))
        lead = found.normals[null].log_evidence - found.normals[acts].log_evidence
        return lead, SEPARATES + _NORMAL_OFF, f"by the nearest normal law ({acts} against {null})"
    lead = found.fits[nulls[0]].log_evidence - found.fits[acting[0]].log_evidence
    return lead, SEPARATES + laplace_off(found), f"by Laplace ({acting[0]} against {nulls[0]})"


def _foretelling(found: Comparison) -> str:
    """Who foretells best what was left out, among the variants that were asked to."""
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
            f"left-out {plural} are foretold best by {first}"
            + (f" ({most} has the largest stacking weight, {weights[most]:.2f})" if most != first else "")
            + f", {leads} {totals[first] - totals[leads]:.1f} nats behind" * (first != leads)
        )
    if not said:
        return ""
    drawn = [name for name, left in found.left.items() if any(means_of(each) == "draws" for each in left)]
    mixed = ""
    if drawn and len(drawn) < len(found.left):
        mixed = (
            f" Those of {', '.join(drawn)} come from draws where these could be trusted, all others by Laplace: a nat or "
            "two between them may be that."
        )
    missing = [name for name in found.order if name not in found.left]
    unasked = f" {', '.join(missing)} left nothing out." if missing else ""
    return f"Foretelling what was not shown: {'; '.join(said)}.{mixed}{unasked}"


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
