"""Chances that a sample taken on some day lies in its reference range: of one analyte, and of a whole panel at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellsim.likelihood.observations import spread_of
from cellsim.model.formulas import parse_formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Analyte, Case

    Array = NDArray[np.float64]

__all__ = [
    "in_range",
    "joint_in_range",
    "limits_of",
    "new_sample",
    "sampled",
    "shared_spread",
    "spread_at",
    "spread_name",
    "unknown_spread",
]

# nodes for the effect that one sample's values share
_NODES = 61


@lru_cache(maxsize=1024)
def shared_spread(case: Case, analyte: str) -> float:
    """Prior sd of the log-shift that a new sample of this analyte's panel would bring along; 0 without one."""
    row = next((row for row in case.rows if row.analyte == analyte), None)
    priors = {each.id: each for each in case.priors}
    shifts = [priors[name] for name in (row.parameters if row else ()) if name in priors]
    return float(np.sqrt(sum(each.parameters[1] ** 2 for each in shifts if each.family == "normal")))


@lru_cache(maxsize=1024)
def unknown_spread(analyte: Analyte) -> bool:
    """Whether the spread of a new sample is a formula that draws tell, and no number that a row or the table does."""
    return not analyte.noise_placeholders and bool(parse_formula(analyte.noise).free_symbols)


def spread_name(analyte: Analyte) -> str:
    """The name by which an estimated spread is recorded."""
    return f"spread of {analyte.id}"


def limits_of(analyte: Analyte) -> tuple[float, float]:
    """The reference range, infinite where it has no limit."""
    low = -np.inf if analyte.lower is None else analyte.lower
    return low, (np.inf if analyte.upper is None else analyte.upper)


def spread_at(case: Case, analyte: Analyte, spreads: Mapping[str, Array]) -> Array | float:
    """The spread of a new sample: a number, or one a draw where it is estimated (``spreads`` by :func:`spread_name`)."""
    return spreads[spread_name(analyte)] if unknown_spread(analyte) else _known_spread(case, analyte)


@lru_cache(maxsize=1024)
def _known_spread(case: Case, analyte: Analyte) -> float:
    """Read off its formula once, and not for every draw."""
    return spread_of(case, analyte)


class _Judged(NamedTuple):
    """What decides whether new samples of some analytes lie in their ranges; each of shape (n_analytes, 1)."""

    low: Array
    high: Array
    shared: Array
    log: NDArray[np.bool_]


@lru_cache(maxsize=256)
def _judged(case: Case, names: tuple[str, ...]) -> _Judged:
    chosen = [case.analyte(name) for name in names]
    low, high = np.array([limits_of(each) for each in chosen]).reshape(-1, 2, 1).swapaxes(0, 1)
    shared = np.array([[shared_spread(case, name)] for name in names])
    return _Judged(low, high, shared, np.array([[each.distribution.startswith("log")] for each in chosen]))


def in_range(
    case: Case, names: tuple[str, ...], values: Array, spreads: Sequence[Array | float] | None = None
) -> Array:
    """Chances of analytes to lie in their reference ranges, shape (n_analytes, n_draws).

    Parameters
    ----------
    case : Case
    names : tuple of str
        Ids of analytes; one may stand there several times.
    values : array, shape (n_analytes, n_draws)
        Predicted, without noise.
    spreads : sequence of float or array of shape (n_draws,), optional
        Of a new sample of each. Without them the values themselves are judged: chances are 0 or 1.
    """
    from scipy.special import ndtr

    about = _judged(case, names)
    if spreads is None:
        return ((values >= about.low) & (values <= about.high)).astype(float)
    spread = np.empty_like(values)
    for k, each in enumerate(spreads):
        spread[k] = each
    edges = np.stack([about.high, about.low])
    # how many spreads an edge lies above a value, on the scale on which the analyte is normal
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = (np.log(edges) - np.log(values)) / np.hypot(spread, about.shared)
        # a factor common to the sample moves a value by so much of itself
        plain = (edges - values) / np.hypot(spread, about.shared * values)
    above = np.where(about.log, logs, plain)
    # nothing lies below 0 where the logarithm is normal, and nothing beyond an edge that is not there
    none = np.isinf(edges) | ((edges <= 0) & about.log)
    above = np.where(none, np.where(edges == np.inf, np.inf, -np.inf), above)
    return np.asarray(ndtr(above[0]) - ndtr(above[1]))


def _effects(case: Case, analyte: Analyte) -> tuple[str, ...]:
    """What a row of an analyte shares with other rows of its sample."""
    row = next((row for row in case.rows if row.analyte == analyte.id), None)
    normal = {each.id for each in case.priors if each.family == "normal"}
    return tuple(name for name in (row.parameters if row else ()) if name in normal)


def joint_in_range(
    case: Case, members: Sequence[Analyte], values: Sequence[Array], spreads: Sequence[Array | float]
) -> Array:
    """Chance that all of several analytes lie in their ranges in one sample, shape (n_draws,).

    Given the sample's shared effect the noises are independent, so the chance is the product of the members' own; it is
    averaged over the effect, N(0, shared_spread^2), by Gauss-Hermite quadrature with 61 nodes. Members of other effects are
    independent of these.
    """
    from scipy.special import ndtr

    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    groups: dict[tuple[str, ...], list[int]] = {}
    for k, each in enumerate(members):
        groups.setdefault(_effects(case, each), []).append(k)
    chance = np.ones_like(values[0])
    for places in groups.values():
        given = np.ones((_NODES, chance.size))
        for k in places:
            about, value, spread = members[k], values[k], spreads[k]
            shared = shared_spread(case, about.id)
            log = about.distribution.startswith("log")
            # a factor common to the sample, of which a normal value moves by so much of itself
            shift = nodes[:, None] * shared * (1.0 if log else value)
            edges = []
            for edge in limits_of(about):
                if np.isinf(edge):
                    edges.append(np.full(given.shape, edge))
                elif log:
                    with np.errstate(divide="ignore"):
                        place = np.log(edge) if edge > 0 else -np.inf
                        edges.append((place - np.log(value) - shift) / spread)
                else:
                    edges.append((edge - value - shift) / spread)
            given *= ndtr(edges[1]) - ndtr(edges[0])
        chance = chance * (weights @ given)
    return np.asarray(chance)


def sampled(case: Case, analyte: Analyte, value: Array, spread: Array | float, random: Array) -> Array:
    """Values with the noise of a new sample, from standard normal numbers of the same shape."""
    shared = shared_spread(case, analyte.id)
    if analyte.distribution.startswith("log"):
        return np.asarray(value * np.exp(np.hypot(spread, shared) * random))
    return np.asarray(value + np.hypot(spread, shared * value) * random)


def new_sample(case: Case, analyte: Analyte) -> dict[str, float | bool | str | None]:
    """What decides whether a new sample of an analyte lies in its range, for those that compute it elsewhere.

    Returns
    -------
    dict
        ``low`` and ``high`` (None where there is no limit), ``log`` (whether it is normal on the logarithm), ``shared`` (sd of the
        log-shift of its sample) and ``spread``: its own sd, or the name of what draws tell it by, as in the formulas of `InRange`.
    """
    low, high = limits_of(analyte)
    return {
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        "log": analyte.distribution.startswith("log"),
        "shared": shared_spread(case, analyte.id),
        "spread": spread_name(analyte) if unknown_spread(analyte) else spread_of(case, analyte),
    }
