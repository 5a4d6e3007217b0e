"""What the rows of a case could tell, whatever they said: rank, blind spots, and parameters seen only together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.priors import Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Structure", "bundles", "circuits", "in_words", "is_factor", "natural_slopes", "structure_of"]

# derivatives for ranks: tighter than for fitting; the error is measured by one digit less
_RTOL = 1e-9
_LEAST_NOISE = 1e-10
# parameters seen together to 99 %: sine of the angle between their columns
_PRACTICAL = 0.1
# exponents that differ by less from point to point are the same everywhere
_CONSTANT = 1e-3
# sets that are told one by one
_TOLD = 6
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
# information about the best seen of several parameters, in units of the prior's, that is worth a sentence
_WORTH = 1e-3


@dataclass(frozen=True, eq=False)
class Structure:
    """Local identifiability of this design, judged at several points of the prior.

    Attributes
    ----------
    information : array, shape (n, n)
        J'J of the data rows at the point of interest, in units of the prior's information.
    rank, ranks : int, tuple of int
        Largest numerical rank of J, and the rank at every point.
    untouched : tuple of str
        Parameters on which no row depends, at any point.
    inseparable : tuple of str
        Combinations seen only together at every point, in words.
    alike : tuple of str
        Parameters hardly told apart (99 %) at the point of interest, in words.
    entangled : tuple of tuple of str
        Three to five parameters of which the rows see one direction less than there are, at every point, and any of
        which would be seen with one of the others known; of the ways to say it those found first.
    """

    information: Array
    rank: int
    ranks: tuple[int, ...]
    untouched: tuple[str, ...]
    inseparable: tuple[str, ...]
    alike: tuple[str, ...]
    entangled: tuple[tuple[str, ...], ...] = ()

    def sentences(self) -> list[str]:
        """All of it in words."""
        out = [f"No row depends on {', '.join(self.untouched)}."] if self.untouched else []
        out += [f"The rows see only {words}." for words in self.inseparable]
        out += [
            f"No row notices when {', '.join(group[:-1])} and {group[-1]} move together: of the {_COUNTS[len(group)]} the "
            f"rows see {_COUNTS[len(group) - 1]} directions."
            for group in self.entangled[:_TOLD]
        ]
        if (more := len(self.entangled) - _TOLD) > 0:
            out.append(f"So it is with {more} more sets of three to five.")
        return out + [f"Here the rows hardly tell {words}." for words in self.alike]


def structure_of(objective: Objective, theta: Array, *, points: int = 5, seed: int = 0) -> Structure:
    """Judge what the rows can see.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n,)
        Point of interest, prior-whitened.
    points : int
        Random points of the prior besides it.
    seed : int
        Of these.

    Returns
    -------
    Structure

    Raises
    ------
    CalibrationError
        If the simulation at `theta` fails.
    """
    here = _columns(objective, theta, _RTOL)
    if here is None:
        raise CalibrationError("the simulation failed where the data were to be judged.")
    places, stack = [theta], [here]
    for each in np.random.default_rng(seed).standard_normal((points, theta.size)):
        if (found := _columns(objective, each, _RTOL)) is not None:
            places.append(each)
            stack.append(found)
    rough = _columns(objective, theta, 10 * _RTOL)
    scale = (float(np.linalg.norm(here, 2)) if here.size else 0.0) or 1.0
    noise = (
        1e-6
        if rough is None or not here.size
        else max(float(np.linalg.norm(rough - here, 2)) / scale, _LEAST_NOISE)
    )
    spectra = [np.linalg.svd(each, compute_uv=False) for each in stack]
    # without parameters there is no largest
    largest = np.array([each.max(initial=0.0) for each in spectra])
    ranks = tuple(
        int(np.sum(each > noise * max(top, 1e-300))) for each, top in zip(spectra, largest, strict=True)
    )
    floor = noise * largest
    blind = np.all(np.linalg.norm(stack, axis=1) <= floor[:, None], axis=0)
    together = bundles(np.array(stack), floor)
    # one of each bundle is enough: what is seen only with it is said already
    spare = {j for group in together for j in group[1:]}
    kept = [j for j in range(theta.size) if j not in spare]
    sets = circuits(np.array(stack)[:, :, kept], floor)
    alike = [
        group
        for group in bundles(here[None], floor[:1], angle=_PRACTICAL)
        if not any(set(group) <= set(each) for each in together)
    ]
    return Structure(
        information=np.einsum("ki,kj->ij", here, here),
        rank=max(ranks),
        ranks=ranks,
        untouched=tuple(name for name, each in zip(objective.names, blind, strict=True) if each),
        inseparable=tuple(_told(objective, places, stack, group) for group in together),
        alike=tuple(_told(objective, [theta], [here], group) for group in alike if _seen(here, group)),
        entangled=tuple(tuple(objective.names[kept[j]] for j in group) for group in sets),
    )


def _columns(objective: Objective, theta: Array, rtol: float) -> Array | None:
    """Derivatives of the data rows; None where they cannot be had."""
    found = objective.evaluate(theta, gradient=True, rtol=rtol).jacobian
    if found is None or not np.all(np.isfinite(found)):
        return None
    return found[: len(objective.terms)]


def _told(objective: Objective, places: Sequence[Array], stack: Sequence[Array], group: Sequence[int]) -> str:
    """The one combination of a group that the rows see: told at the first place, compared at the others."""
    weights = []
    for theta, columns in zip(places, stack, strict=True):
        slopes = natural_slopes(objective.priors, theta)[group]
        found = columns[:, group] / slopes
        along = found.T @ found[:, 0]
        weights.append(along / along[0])
    # what differs by rounding alone is equal, and equals stay in the order of the parameters
    order = np.argsort(-np.round(np.abs(weights[0]) / np.abs(weights[0]).max(), 6), kind="stable")
    names = [objective.names[group[k]] for k in order]
    words = in_words(names, weights[0][order], [is_factor(objective.priors[group[k]]) for k in order], most=6)
    both = f"{', '.join(names[:-1])} and {names[-1]}"
    if len(places) == 1:
        return f"{both} apart: they see {words}"
    if np.ptp(weights, axis=0).max() > _CONSTANT:
        return f"{both} together, near here as {words}"
    return f"{words}, whatever the values"


def _seen(columns: Array, group: Sequence[int]) -> bool:
    """Whether the data say anything about a group that is worth a sentence."""
    return float(np.sum(columns[:, group[0]] ** 2)) > _WORTH


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
    for j in longest_first.tolist():
        firsts = [group[0] for group in leaders]
        led, own = columns[:, :, firsts], columns[:, :, [j]]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.sum(own * led, axis=1) / sizes[:, firsts] ** 2
        apart = np.linalg.norm(own - np.nan_to_num(share)[:, None] * led, axis=1)
        allowed = np.maximum(floor, angle * sizes[:, j])
        alike = np.flatnonzero(np.all(apart <= allowed[:, None], axis=0))
        if alike.size:
            leaders[int(alike[0])].append(j)
        else:
            leaders.append([j])
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
