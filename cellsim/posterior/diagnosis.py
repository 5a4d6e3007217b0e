"""Nothing silent: what a calibration really used, and every reason to doubt it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.descents import AGREEMENT, Start
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE, pareto_shape
from cellsim.posterior.curvature import spread_by_slopes
from cellsim.posterior.laplace import Mixture, Mode
from cellsim.results import difference
from cellsim.threads import CORES, on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["diagnose", "lost_starts"]

FAR = 3.0
SHARE_TO_MENTION = 0.02
LARGEST_GRADIENT_ERROR = 1e-3
LARGEST_LEDGER_ERROR = 1e-6
LARGEST_TOLERANCE_ERROR = 0.01
CLOSER = 1e-2
LARGEST_LEFTOVER = 0.05
# of a standard deviation: three digits
LARGEST_SLOPES_ERROR = 5e-4
_TRIED, _ROUGHLY = 400, 1e-3
# of lost starts, told in one sentence
_REASONS = 4


def diagnose(objective: Objective, mixture: Mixture, starts: Sequence[Start]) -> dict[str, Any]:
    """Collect what was scored, assumed and delivered, and say in words what looks wrong.

    Parameters
    ----------
    objective : Objective
    mixture : Mixture
        The optima.
    starts : sequence of Start

    Returns
    -------
    dict
        Plain values only: ``rows``, ``priors``, ``doses``, ``starts``, ``modes``, ``gradient``, ``tolerance``,
        ``shape``, ``curvature``, ``ledger``, ``leftover``, ``far``, ``doubts`` (sentences; empty when there is nothing
        to doubt), ``doubts_of_laplace`` (those among them that are about the normal approximations around the optima alone).
    """
    theta, hessian = mixture.modes[0].theta, mixture.modes[0].curvature
    free = theta.size > 0
    # each of them simulates one set after another
    checks: list[Callable[[], Any]] = [
        # nothing estimated, nothing to differentiate and no approximation that could be wrong
        lambda: _gradient_error(objective, mixture.modes[0]) if free else 0.0,
        lambda: _ledger_error(objective, theta),
        lambda: _tolerance_error(objective, mixture),
        lambda: _leftover(objective, theta, hessian) if free else 0.0,
        lambda: _curvature(objective, mixture) if free else {},
    ]
    gradient, ledger, tolerance, leftover, curvature = on_all_cores(lambda check: check(), checks)
    # the highest optimum may have been found from another sampling day, by none of the starts
    best = min([mixture.modes[0].objective, *(start.objective for start in starts)])
    case = objective.case
    doses = {
        product: {"count": len(part.infusions), "cells": part.total()}
        for product in sorted({each.product for each in case.timeline.infusions})
        for part in [case.timeline.only(product=product)]
    }
    found: dict[str, Any] = {
        "rows": {
            "count": dict(Counter(term.part for term in objective.terms)),
            "scored": [
                f"{term.file}, row {term.row}: {term.analyte} {term.visit}".rstrip()
                for term in objective.terms
            ],
        },
        "priors": {
            "count": len(objective.priors),
            "families": dict(Counter(prior.family for prior in objective.priors)),
            "fixed": sorted(objective.fixed),
        },
        "doses": doses,
        "starts": {
            "count": len(starts),
            "agree": sum(start.objective < best + AGREEMENT for start in starts),
            "failed": sum(not np.isfinite(start.objective) for start in starts),
            "lost": _lost(starts),
            "best": best,
        },
        "modes": [
            {"objective": mode.objective, "share": float(share), **_apart(objective, mode.theta, theta)}
            for mode, share in zip(mixture.modes, mixture.weights, strict=True)
        ],
        "gradient": gradient,
        "tolerance": tolerance,
        "shape": _shape(objective, mixture) if free else -np.inf,
        "curvature": curvature,
        "ledger": ledger,
        "leftover": leftover,
        "far": {
            name: float(each) for name, each in zip(objective.names, theta, strict=True) if abs(each) > FAR
        },
        "is_maximum": mixture.modes[0].is_maximum,
    }
    found["doubts_of_laplace"] = _doubts_of_laplace(found)
    found["doubts"] = [*_doubts(found), *found["doubts_of_laplace"]]
    return found


def lost_starts(starts: Sequence[Start]) -> str:
    """Which starts were lost, by number from 1, and why."""
    return _by_reason(_lost(starts))


def _lost(starts: Sequence[Start]) -> list[dict[str, Any]]:
    return [
        {"start": k, "why": start.message}
        for k, start in enumerate(starts, start=1)
        if not np.isfinite(start.objective)
    ]


def _by_reason(lost: Sequence[Mapping[str, Any]]) -> str:
    reasons: dict[str, list[str]] = {}
    for each in lost:
        reasons.setdefault(each["why"], []).append(str(each["start"]))
    said = [
        f"start{'s' * (len(numbers) > 1)} {', '.join(numbers)}: {why}" for why, numbers in reasons.items()
    ]
    more = [f"and {len(said) - _REASONS} more reasons, each in its start's message."] * (len(said) > _REASONS)
    return "; ".join([*said[:_REASONS], *more])


def _gradient_error(objective: Objective, mode: Mode) -> float:
    """Largest difference between exact gradient and central differences, half a spread from the optimum, relative.

    In units of the mode's own spread, so that steps are neither lost in rounding nor beyond where anything holds.
    """
    random, step = np.random.default_rng(0), 3e-3
    here = mode.theta + mode.ahead(0.5 * random.standard_normal(mode.theta.size))
    exact = objective.evaluate(here, gradient=True, rtol=1e-8).gradient
    size = np.linalg.norm([exact @ mode.ahead(each) for each in np.eye(mode.theta.size)])
    ways = []
    for _ in range(8):
        move = random.standard_normal(mode.theta.size)
        ways.append(mode.ahead(move / np.linalg.norm(move)))
    moves = np.array(ways)
    # side by side: both ends of a difference are simulated in the same steps
    sides = np.concatenate([here + step * moves, here - step * moves])
    up, down = np.split(objective.evaluate_sets(sides, rtol=1e-8).objectives / 2, 2)
    with np.errstate(invalid="ignore"):
        errors = np.abs((up - down) / (2 * step) - moves @ exact) / size
    # a side that cannot be simulated agrees with nothing
    return float(np.nan_to_num(errors, nan=np.inf).max().clip(max=np.finfo(float).max))


def _curvature(objective: Objective, mixture: Mixture) -> dict[str, Any]:
    """What is known of the error of the curvature, and how far spreads by J'J alone would be from those by all of it."""
    worst = max(mixture.modes, key=lambda mode: (mode.uncertain is not None, mode.error))
    along = worst.uncertain
    leading: list[int] = []
    if along is not None:
        leading = np.argsort(-np.abs(along / np.sqrt(np.diag(worst.covariance))))[:3].tolist()
    found: dict[str, Any] = {"error": worst.error, "uncertain": [objective.names[j] for j in leading]}
    mode = mixture.modes[0]
    if len(objective.terms) < mode.theta.size or not mode.is_maximum:
        return found | {"by_slopes": {}}
    alone = np.sqrt(np.diag(spread_by_slopes(objective, mode.theta)) / np.diag(mode.covariance)) - 1
    most = int(np.argmax(np.abs(alone)))
    return found | {"by_slopes": {objective.names[most]: float(alone[most])}}


def _shape(objective: Objective, mixture: Mixture) -> float:
    """Pareto shape k of the weights that would turn draws of the mixture into draws of the posterior.

    Yao et al. (2018) Proc ICML 80:5581: what tells, without sampling, whether an approximation can be trusted.
    """
    draws = mixture.draws(_TRIED, seed=0)
    # a weight need not be known to more than a thousandth
    weights = (
        objective.log_likelihoods(draws, rtol=max(objective.rtol, _ROUGHLY), threads=CORES)
        - 0.5 * (draws**2).sum(axis=1)
        - mixture.log_density(draws)
    )
    fine = weights[np.isfinite(weights)]
    return pareto_shape(fine)


def _tolerance_error(objective: Objective, mixture: Mixture) -> float:
    """Largest change of -2 ln posterior at an optimum when it is simulated far more exactly."""
    return max(
        abs(
            objective.evaluate(mode.theta).objective
            - objective.evaluate(mode.theta, rtol=objective.rtol * CLOSER).objective
        )
        for mode in mixture.modes
    )


def _ledger_error(objective: Objective, theta: Array) -> float | None:
    """What was given against what is found anywhere at the end, relative; None when the case names no account."""
    from cellsim.solver.simulation import simulate

    case, model = objective.case, objective.model
    timeline = case.timeline
    if not case.ledger or not timeline.infusions:
        return None
    entered = {product.name: product.state for product in case.products}
    counted = {name for name, state in entered.items() if model[state].unit == model[case.ledger].unit}
    given = sum(
        each.cells / case.cells_per_unit.get(entered[each.product], 1.0)
        for each in timeline.infusions
        if each.product in counted
    )
    if not given:
        return None
    end = max(each.end for each in timeline.infusions) + 30.0
    values = {name: each for name, each in objective.values(theta).items() if name in objective.model}
    found = simulate(objective.model, timeline, [end], values=values)
    return float(found[case.ledger][-1] / given - 1)


def _apart(objective: Objective, theta: Array, best: Array) -> dict[str, Any]:
    """The three parameters that differ most from those of the highest optimum, in their own units."""
    here, there = objective.values(theta), objective.values(best)
    names = [objective.names[j] for j in np.argsort(-np.abs(theta - best))[:3] if abs(theta[j] - best[j]) > 0]
    return {"differs": {name: [here[name], there[name]] for name in names}}


def _leftover(objective: Objective, theta: Array, hessian: Array) -> float:
    """How far a Newton step would still go, in posterior standard deviations."""
    gradient = objective.evaluate(theta, gradient=True, rtol=1e-8).gradient
    return float(np.sqrt(abs(gradient @ np.linalg.solve(hessian, gradient))))


def _doubts(found: dict[str, Any]) -> list[str]:
    out = []
    starts = found["starts"]
    if not found["priors"]["count"]:
        out.append(
            "nothing is estimated: these are the numbers of the fixed values, and nothing was learned."
        )
    elif starts["count"] == 1:
        out.append("only one start: nothing says that this optimum is the best one; ask for more starts.")
    elif starts["agree"] < 2:
        few = "only one" if starts["agree"] else "none"
        out.append(
            f"of {starts['count']} starts {few} reached the best value; a better optimum may exist; ask for more."
        )
    if starts["failed"]:
        out.append(f"{starts['failed']} of {starts['count']} starts failed: {_by_reason(starts['lost'])}")
    if found["gradient"] > LARGEST_GRADIENT_ERROR:
        out.append(f"the gradient differs from central differences by {found['gradient']:.1e}.")
    if found["tolerance"] > LARGEST_TOLERANCE_ERROR:
        out.append(
            f"-2 ln posterior changes by {found['tolerance']:.2g} when simulated more exactly; the solver's tolerance "
            "is too loose for this model."
        )
    if found["ledger"] is not None and abs(found["ledger"]) > LARGEST_LEDGER_ERROR:
        out.append(f"what was given and what is accounted for differ by {found['ledger']:.1e}.")
    if found["leftover"] > LARGEST_LEFTOVER:
        out.append(
            f"the optimum is still {found['leftover']:.2f} posterior sd away; the fit stopped too early."
        )
    best = found["modes"][0]["objective"]
    for k, mode in enumerate(found["modes"][1:], start=2):
        if mode["share"] > SHARE_TO_MENTION:
            differs = ", ".join(
                f"{name} {here:.3g} (not {there:.3g})" for name, (here, there) in mode["differs"].items()
            )
            out.append(
                f"there are several explanations: optimum {k}, "
                f"{difference(mode['objective'] - best, 'above', 'below', 'as high as')} the best in -2 ln posterior, holds "
                f"{mode['share']:.0%} of the probability; it says {differs}."
            )
    if found["far"]:
        names = ", ".join(f"{name} ({each:+.1f})" for name, each in found["far"].items())
        out.append(
            f"more than {FAR:g} prior sd away from the prior median: {names}; a conflict of prior and data."
        )
    return out


def _doubts_of_laplace(found: dict[str, Any]) -> list[str]:
    """What is wrong with the normal approximations around the optima, whatever the search was like."""
    out = []
    if not found["shape"] <= LARGEST_SHAPE:
        out.append(
            f"the normal approximations around the optima do not stand for the posterior (Pareto k {found['shape']:.1f}, trusted "
            f"below {LARGEST_SHAPE:g}): intervals, evidence and schedules drawn from them can be displaced by more than "
            "their width; sample before quoting any."
        )
    curvature = found["curvature"]
    if curvature.get("uncertain"):
        out.append(
            f"the curvature is uncertain along {', '.join(curvature['uncertain'])}: standard deviations may be wrong by "
            f"{curvature['error']:.1%} and more, intervals and evidence with them; these rows tell such combinations hardly "
            "apart. Sample, or give them narrower priors."
        )
    for name, apart in curvature.get("by_slopes", {}).items():
        if abs(apart) > LARGEST_SLOPES_ERROR:
            out.append(
                f"standard errors come from the full Hessian, as the model bends; by Gauss and Newton's J'J alone, which "
                f"regression programs print, that of {name} would be {abs(apart):.1%} {'larger' if apart > 0 else 'smaller'} "
                "(standard_errors() has those of J'J)."
            )
    if not found["is_maximum"]:
        out.append(
            "the posterior is not curved like a mode in every direction here: the spread printed is that of "
            "the prior there; sample instead."
        )
    return out
