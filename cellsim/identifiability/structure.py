"""What the rows of a case could tell, whatever they said: rank, blind spots, and parameters seen only together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.identifiability.combinations import bundles, circuits, in_words, is_factor, natural_slopes
from cellsim.likelihood.objective import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Structure", "structure_of"]

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
    order = np.argsort(-np.abs(weights[0]), kind="stable")
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
