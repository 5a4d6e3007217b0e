"""Directions in parameter space told as a person would: a product, a ratio, a sum, with the leading names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.priors import Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["bundles", "circuits", "in_words", "is_factor", "natural_slopes"]

# families that live above zero, where a person thinks in factors
_FACTORS = {"chisquare", "exponential", "gamma", "log-laplace", "log-normal", "log-uniform", "rayleigh"}

# bases looked at, how far (in logarithms) they differ in what they prefer, what is left of a column that is gone, and a
# weight too small to belong to a set
_BASES, _PREFERENCE, _GONE, _SLIGHT = 24, 3.0, 1e-5, 1e-4


def is_factor(prior: Prior) -> bool:
    """Whether a parameter is told as a factor (its logarithm enters combinations) or as a summand."""
    return prior.family in _FACTORS or (
        prior.family == "uniform" and max(prior.lower, prior.parameters[0]) == 0
    )


def natural_slopes(priors: Sequence[Prior], theta: Array) -> Array:
    """Derivative of each parameter's natural coordinate, its value or its logarithm, with respect to theta.

    Examples
    --------
    >>> natural_slopes([Prior("log-normal", (0.0, 0.5)), Prior("normal", (1.0, 2.0))], np.zeros(2)).tolist()
    [0.5, 2.0]
    """
    out = []
    for prior, each in zip(priors, theta, strict=True):
        slope = float(prior.slope(np.array(each)))
        out.append(slope / float(prior.value(np.array(each))) if is_factor(prior) else slope)
    return np.array(out)


def bundles(columns: Array, floor: Array, *, angle: float = 0.0) -> list[list[int]]:
    """Groups of columns that point the same way, so that the rows see them only together.

    Parameters
    ----------
    columns : array, shape (n_points, n_rows, n_parameters)
        Derivatives of the same rows at one or several points.
    floor : array, shape (n_points,)
        Size of a column that is no more than rounding.
    angle : float
        Sine of the angle that still counts as the same way.

    Returns
    -------
    list of list of int
        Each with two members or more, the longest column first; columns that are nothing but noise are left out.

    Examples
    --------
    >>> bundles(np.array([[[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]]]), np.array([1e-9]))
    [[1, 0]]
    """
    sizes = np.linalg.norm(columns, axis=1)
    seen = np.any(sizes > 10 * floor[:, None], axis=0)
    leaders: list[list[int]] = []
    longest_first = np.flatnonzero(seen)[np.argsort(-np.sum(sizes[:, seen] ** 2, axis=0), kind="stable")]
    for j in longest_first:
        for group in leaders:
            first = group[0]
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.sum(columns[:, :, j] * columns[:, :, first], axis=1) / sizes[:, first] ** 2
            apart = np.linalg.norm(
                columns[:, :, j] - np.nan_to_num(share)[:, None] * columns[:, :, first], axis=1
            )
            if np.all(apart <= np.maximum(floor, angle * sizes[:, j])):
                group.append(int(j))
                break
        else:
            leaders.append([int(j)])
    return [group for group in leaders if len(group) > 1]


def circuits(columns: Array, floor: Array, *, most: int = 5) -> list[list[int]]:
    """Small sets of columns of which each is a combination of the others, and none can be spared for that.

    Rows see one direction less than there are parameters in such a set. In any basis every column outside of it
    completes exactly one such set; several bases, chosen by different preferences, are looked at for small ones.

    Parameters
    ----------
    columns : array, shape (n_points, n_rows, n_parameters)
        Derivatives of the same rows at one or several points.
    floor : array, shape (n_points,)
        Size of a column that is no more than rounding.
    most : int
        Largest set looked for; pairs are left to :func:`bundles`.

    Returns
    -------
    list of list of int
        Sets of three or more, the smallest first.

    Examples
    --------
    >>> circuits(np.array([[[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]]), np.array([1e-9]))
    [[0, 1, 2]]
    """
    from scipy.linalg import qr, solve_triangular

    sizes = np.linalg.norm(columns, axis=1)
    clear = np.flatnonzero(np.all(sizes > 1e3 * floor[:, None], axis=0))
    if clear.size < 3:
        return []
    unit = columns[:, :, clear] / sizes[:, None, clear]
    noise = 10 * floor[:, None] / sizes[:, clear]

    def dependent(chosen: Sequence[int]) -> bool:
        least = [np.linalg.svd(each[:, chosen], compute_uv=False)[-1] for each in unit]
        wide = len(chosen) > unit.shape[1]
        return wide or bool(np.all(least <= np.max(noise[:, chosen], axis=1)))

    found: set[frozenset[int]] = set()
    random = np.random.default_rng(0)
    for _ in range(_BASES):
        preferred = np.exp(random.uniform(0, _PREFERENCE, clear.size))
        _, upper, order = qr(unit[0] * preferred, mode="economic", pivoting=True)
        rank = int(np.sum(np.abs(np.diag(upper)) > _GONE * abs(upper[0, 0])))
        weights = solve_triangular(upper[:rank, :rank], upper[:rank, rank:])
        weights *= preferred[order[:rank], None] / preferred[order[rank:]]
        for column, made in zip(order[rank:], weights.T, strict=True):
            chosen = [*order[:rank][np.abs(made) > _SLIGHT], column]
            if 3 <= len(chosen) <= most:
                found.add(frozenset(int(each) for each in chosen))
    return sorted(
        (
            sorted(int(clear[each]) for each in group)
            for group in found
            if dependent(sorted(group)) and not any(dependent(sorted(group - {each})) for each in group)
        ),
        key=lambda group: (len(group), group),
    )


def in_words(names: Sequence[str], weights: Array, factors: Sequence[bool], *, most: int = 4) -> str:
    """A combination of natural coordinates, the largest weight first and taken as one.

    Parameters
    ----------
    names : sequence of str
    weights : array, shape (n,)
        Of each natural coordinate, sorted by importance by the caller.
    factors : sequence of bool
        Whether a name is told as a factor.
    most : int
        Names shown.

    Returns
    -------
    str

    Examples
    --------
    >>> in_words(["k", "V"], np.array([1.0, 1.0]), [True, True])
    'the product k x V'
    >>> in_words(["k", "V"], np.array([1.0, -1.0]), [True, True])
    'the ratio k / V'
    >>> in_words(["a", "b"], np.array([2.0, -1.0]), [False, False])
    'a - 0.5 b'
    >>> in_words(["k", "a"], np.array([1.0, 0.25]), [True, False])
    'ln k + 0.25 a'
    """
    relative = np.asarray(weights, float) / weights[0]
    shown = [
        (name, _round(each), factor) for name, each, factor in zip(names, relative, factors, strict=True)
    ]
    rest = f" (and {len(shown) - most} more)" if len(shown) > most else ""
    # what multiplies before what divides
    shown = sorted(shown[:most], key=lambda each: each[1] < 0)
    if all(factor for *_, factor in shown):
        plain = all(abs(each) == 1 for _, each, _ in shown)
        text = shown[0][0]
        for name, each, _ in shown[1:]:
            power = "" if abs(each) == 1 else f"^{abs(each):g}"
            text += f" {'x' if each > 0 else '/'} {name}{power}"
        kind = "product" if all(each > 0 for _, each, _ in shown) else "ratio"
        return (f"the {kind} " if plain and len(shown) > 1 and not rest else "") + text + rest
    text = ""
    for k, (name, each, factor) in enumerate(shown):
        size = "" if abs(each) == 1 else f"{abs(each):g} "
        sign = ("" if each > 0 else "-") if k == 0 else (" + " if each > 0 else " - ")
        text += f"{sign}{size}{'ln ' if factor else ''}{name}"
    plain = all(abs(each) == 1 for _, each, _ in shown) and not any(factor for *_, factor in shown)
    kind = "sum" if all(each > 0 for _, each, _ in shown) else "difference"
    return (f"the {kind} " if plain and len(shown) > 1 and not rest else "") + text + rest


def _round(weight: float) -> float:
    """Two digits, and a whole number where it is one to a percent."""
    whole = round(weight)
    return float(whole) if whole and abs(weight - whole) < 0.01 else float(f"{weight:.2g}")
