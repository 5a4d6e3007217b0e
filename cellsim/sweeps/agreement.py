"""When one plan is said to do better than another: where posterior, prior and every mechanism that the evidence leaves agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.sweeps.decisions import beats, told_apart

if TYPE_CHECKING:
    from cellsim.sweeps.sweep_result import Sweep

__all__ = [
    "LEAST_OFF",
    "SAID",
    "SEPARATES",
    "Agreement",
    "Chance",
    "agreement",
    "chances_of",
    "left_by_evidence",
    "off_by",
]

SAID = 0.95
"""The chance from which a mechanism is said to see one plan ahead of another."""

SEPARATES = 3.0
"""Nats by which a mechanism must fall behind to be dropped: a ratio of evidences of 20."""

LEAST_OFF = 0.5
"""Nats: nearer than this two evidences are not told apart, however small their standard errors."""

# a prior leans the other way when its chance lies further than this on the other side of one half
_LEANS = 0.1

# what keeps a mechanism from agreeing, with what is said of it
_DRAWS, _SAME, _OTHER, _OPEN, _PRIOR = "draws", "same", "other", "open", "prior"
_WORDS = {
    _DRAWS: "the draws of {names} cannot be trusted",
    _SAME: "under {names} the plans do not differ",
    _OTHER: "under {names} it is the other way round",
    _OPEN: "under {names} the two cannot be told apart",
    _PRIOR: "the prior of {names} leans the other way",
}


@dataclass(frozen=True)
class Chance:
    """The chance that the first of two plans does better, as one mechanism has it.

    Attributes
    ----------
    posterior, error : float
        Share of its draws, equal ones count half, and the Monte Carlo standard error.
    prior : float
        The share of draws of its prior.
    trusted : bool
        Whether its draws stand for its posterior at all.
    """

    posterior: float
    error: float
    prior: float
    trusted: bool = True


@dataclass(frozen=True)
class Agreement:
    """What may be said of two plans.

    Attributes
    ----------
    better : str
        ``"first"`` or ``"second"``, or ``"tie"`` where nothing may be said.
    leans : str
        What the mechanism of the greatest evidence says, of those that tell the two apart; ``"tie"`` where none does.
    hangs_on : mapping of str to str
        Mechanisms that keep `leans` from being said, and why: ``"draws"`` (not to be trusted), ``"same"`` (no difference), ``"other"`` (the other
        way round), ``"open"`` (not told apart), ``"prior"`` (the prior leans the other way).
    dropped : tuple of str
        Mechanisms whose evidence is too far behind to be asked.
    """

    better: str
    leans: str
    hangs_on: Mapping[str, str]
    dropped: tuple[str, ...]

    def words(self, called: Mapping[str, str] | None = None) -> str:
        """What it hangs on, as a clause; empty where nothing keeps it from being said, or nothing is to be said.

        Parameters
        ----------
        called : mapping of str to str, optional
            Names of mechanisms for a reader.

        Examples
        --------
        >>> sure = Chance(0.99, 0.005, 0.6)
        >>> agreement({"V2": sure, "V0": Chance(0.5, 0.0, 0.5)}).words()
        'under “V0” the plans do not differ'
        """
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.hangs_on.items():
            by_reason.setdefault(reason, []).append(f"“{(called or {}).get(name, name)}”")
        clauses = [
            _WORDS[reason].format(names=_listed(by_reason[reason]))
            for reason in _WORDS
            if reason in by_reason
        ]
        return "; ".join(clauses)


def off_by(errors: Iterable[float]) -> float:
    """How far evidences may be off, each of them: two standard errors of the least sure one, and half a nat at least.

    Examples
    --------
    >>> off_by([0.1, 0.05]), off_by([0.1, 0.4])
    (0.5, 0.8)
    """
    return max([LEAST_OFF, *(2 * each for each in errors if not np.isnan(each))])


def left_by_evidence(
    log_evidence: Mapping[str, float], errors: Mapping[str, float] | None = None
) -> tuple[str, ...]:
    """Mechanisms that the evidence has not dropped.

    A mechanism is dropped when its evidence lies behind the greatest by more than a ratio of 20 and what evidences may be off: two standard errors
    of the least sure one, half a nat at least.

    Parameters
    ----------
    log_evidence : mapping of str to float
        Natural logarithms; a mechanism whose evidence is not known (nan) stays.
    errors : mapping of str to float, optional
        Standard errors, those that are not known 0.

    Examples
    --------
    >>> left_by_evidence({"V2": -323.3, "V0": -324.3, "V1": -342.6})
    ('V2', 'V0')
    """
    known = [each for each in log_evidence.values() if not np.isnan(each)]
    off = off_by((errors or {}).values())
    best = max(known, default=-np.inf)
    return tuple(name for name, each in log_evidence.items() if not best - each > SEPARATES + off)


def agreement(
    chances: Mapping[str, Chance],
    log_evidence: Mapping[str, float] | None = None,
    errors: Mapping[str, float] | None = None,
    *,
    sure: float = SAID,
) -> Agreement:
    """Whether the first or the second of two plans is said to do better, or what that hangs on.

    It is said when every mechanism that the evidence has not dropped says the same, each with a chance of at least `sure` and trusted draws, and
    the prior of none leans the other way (its chance lies more than a tenth beyond one half). How often that is wrong is measured:
    ``python -m benchmarks.honesty decisions``.

    Parameters
    ----------
    chances : mapping of str to Chance
        By mechanism.
    log_evidence, errors : mapping of str to float, optional
        As for :func:`left_by_evidence`; without them no mechanism is dropped.
    sure : float

    Returns
    -------
    Agreement

    Examples
    --------
    >>> found = agreement({"V2": Chance(0.99, 0.005, 0.6), "V3": Chance(0.97, 0.01, 0.5)})
    >>> found.better, dict(found.hangs_on)
    ('first', {})
    >>> found = agreement({"V2": Chance(0.99, 0.005, 0.6), "V3": Chance(0.6, 0.01, 0.5)})
    >>> found.better, found.leans, dict(found.hangs_on)
    ('tie', 'first', {'V3': 'open'})
    """
    asked = {name: np.nan for name in chances} | {
        name: each for name, each in (log_evidence or {}).items() if name in chances
    }
    left = left_by_evidence(asked, errors)
    told = {name: told_apart(chances[name].posterior, chances[name].error, sure) for name in left}
    sides = [name for name in left if told[name] != "tie" and chances[name].trusted]
    # a sort keeps the order given where evidences are not known
    sides.sort(key=lambda name: -np.nan_to_num(asked[name], nan=-np.inf))
    leans = told[sides[0]] if sides else "tie"
    hangs_on = {name: why for name in left if sides and (why := _against(leans, told[name], chances[name]))}
    return Agreement(
        better="tie" if hangs_on else leans,
        leans=leans,
        hangs_on=hangs_on,
        dropped=tuple(name for name in chances if name not in left),
    )


def _against(leans: str, told: str, chance: Chance) -> str:
    """Why a mechanism does not agree; empty where it does."""
    if not chance.trusted:
        return _DRAWS
    if told != leans:
        if told != "tie":
            return _OTHER
        return _SAME if chance.posterior == 0.5 and chance.error == 0 else _OPEN
    toward = chance.prior if leans == "first" else 1 - chance.prior
    return _PRIOR if toward < 0.5 - _LEANS else ""


def chances_of(
    sweeps: Mapping[str, Sweep], first: str, second: str, place: int, sign: float
) -> dict[str, Chance]:
    """The chance that one plan does better than another, under every mechanism of several sweeps.

    Parameters
    ----------
    sweeps : mapping of str to Sweep
        By mechanism.
    first, second : str
        Plans.
    place : int
        Of the measure, in ``asked``.
    sign : float
        1 where more of it is better, -1 where less is.
    """
    out = {}
    for name, each in sweeps.items():
        i, j = (list(each.schedules).index(plan) for plan in (first, second))
        worth = min(each.effective, float(each.posterior.shape[2]))
        chance, error = beats(sign * each.posterior[i, place], sign * each.posterior[j, place], worth)
        before = each.prior[:, place]
        prior = (
            float(beats(sign * before[i], sign * before[j], before.shape[1])[0]) if before.size else np.nan
        )
        out[name] = Chance(float(chance), float(error), prior, not each.approximation.unfit)
    return out


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
