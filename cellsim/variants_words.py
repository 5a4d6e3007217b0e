"""What a comparison of variants says, in one paragraph."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from cellsim.variants import Comparison

__all__ = ["verdict_of"]

# a ratio of evidences of 20
SEPARATES = 3.0


def verdict_of(found: Comparison) -> str:
    """Which variants lead, how the nulls fare, whether foretelling agrees, and what would flip it."""
    order, fits = found.order, found.fits
    if len(order) == 1:
        return f"Only {order[0]} was fitted: nothing can be said against any other."
    best = fits[order[0]].log_evidence
    behind = {name: best - fits[name].log_evidence for name in order}
    near = [name for name in order[1:] if behind[name] < SEPARATES]
    said = [
        f"{order[0]} has the greatest evidence; "
        + (
            f"{', '.join(f'{name} (-{behind[name]:.1f})' for name in near)} cannot be told from it (a ratio below 20)."
            if near
            else f"every other variant lies more than {SEPARATES:g} nats (a ratio of 20) behind."
        )
    ]
    said += [_nulls(found, behind), _foretelling(found), _checked(found), _priors(found)]
    said.append(
        "An evidence is an average over the prior, so every difference is one of priors and data together; this is one "
        "uncontrolled patient."
    )
    return " ".join(each for each in said if each)


def _nulls(found: Comparison, behind: dict[str, float]) -> str:
    nulls = [name for name in found.order if name in found.rivals.nulls]
    acting = [name for name in found.order if name in found.rivals.acting]
    if not nulls or not acting:
        return ""
    lead = behind[acting[0]] - behind[nulls[0]]
    spoken = " and ".join(nulls)
    if lead > 0:
        how = "clearly " if lead > SEPARATES else ""
        return (
            f"Under {spoken} the infusions do nothing, and the data {how}prefer that: the best variant in which cells "
            f"act, {acting[0]}, lies {lead:.1f} nats behind."
        )
    how = "clearly ahead" if -lead > SEPARATES else "ahead, but not by enough to rule nothing out"
    return (
        f"Under {spoken} the infusions do nothing; the best variant in which cells act, {acting[0]}, is {how} "
        f"({-lead:.1f} nats)."
    )


def _foretelling(found: Comparison) -> str:
    if not found.left:
        return ""
    said = []
    for by, plural in (("analyte", "analytes"), ("visit", "visits")):
        weights = found.weights(by)
        if not weights:
            continue
        most = max(weights, key=lambda name: weights[name])
        totals = {name: sum(each.elpd for each in left if each.by == by) for name, left in found.left.items()}
        first = max(totals, key=lambda name: totals[name])
        said.append(
            f"left-out {plural} are foretold best by {first}"
            + (f" ({most} has the largest stacking weight, {weights[most]:.2f})" if most != first else "")
            + f", {found.order[0]} {totals[first] - totals[found.order[0]]:.1f} nats behind"
            * (first != found.order[0])
        )
    return f"Foretelling what was not shown: {'; '.join(said)}." if said else ""


def _checked(found: Comparison) -> str:
    if not found.checks:
        return "The evidences are Laplace's and were not checked by sampling."
    each = ", ".join(
        f"{name} {check.log_evidence - found.fits[name].log_evidence:+.1f} (error {check.error:.1f})"
        for name, check in found.checks.items()
    )
    return f"Bridge sampling against Laplace, nats: {each}."


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
