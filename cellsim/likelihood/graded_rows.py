"""All graded rows scored at once, whatever scales they are read on: each cut-point and each spread is a sum of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.noise import graded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.grading import Grading, Linear

    Array = NDArray[np.float64]
    Places = NDArray[np.intp]

__all__ = ["GradeScores", "GradedRows"]


@dataclass(frozen=True, eq=False)
class GradeScores:
    """What predictions made of graded rows, arrays of shape (..., n).

    Attributes
    ----------
    log_likelihood, residual : array
    by_level, by_low, by_high, by_spread : array
        Derivatives of the residual with respect to the level, the cut-points below and above what it says, and the spread.
    """

    log_likelihood: Array
    residual: Array
    by_level: Array
    by_low: Array
    by_high: Array
    by_spread: Array


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of parameters, each with its factor: numbers of shape (n,) and factors of shape (n, n_names)."""

    numbers: Array
    factors: Array

    @classmethod
    def of(cls, forms: Sequence[Linear], names: Sequence[str]) -> _Sums:
        factors = np.zeros((len(forms), len(names)))
        for k, (_, terms) in enumerate(forms):
            for name, factor in terms:
                factors[k, names.index(name)] = factor
        return cls(np.array([number for number, _ in forms], float), factors)

    def at(self, values: Array) -> Array:
        """Under given values of the parameters, shape (..., n_names)."""
        return np.asarray(self.numbers + values @ self.factors.T)


@dataclass(frozen=True, eq=False)
class GradedRows:
    """Graded rows of any scales.

    Attributes
    ----------
    place : array of int, shape (n,)
        Where they stand among all rows.
    names : tuple of str
        The parameters that scales are made of.
    """

    place: Places
    names: tuple[str, ...]
    _cuts: _Sums
    _spreads: _Sums
    # of each row: its cut-points among all of them, of which the first two are no ends at all; and its spread
    _low: Places
    _high: Places
    _spread: Places
    # derivatives by parameters: of which row, by which name, times how much, through what (low, high, spread)
    _of: Places
    _by: tuple[str, ...]
    _times: Array
    _through: Places

    @classmethod
    def of(
        cls, place: Places, gradings: Sequence[Grading], lowest: Sequence[int], highest: Sequence[int]
    ) -> GradedRows:
        """Rows that say grades from `lowest` to `highest`."""
        # told apart by what they are, not by what they say, which takes long for thousands of rows
        scales = {id(each): each for each in gradings}
        forms = [form for each in scales.values() for form in (each.scale, *each.cuts)]
        names = tuple(dict.fromkeys(name for _, terms in forms for name, _ in terms))
        cuts: list[Linear] = [(-np.inf, ()), (np.inf, ())]
        begin: dict[int, int] = {}
        for key, each in scales.items():
            begin[key] = len(cuts) - 1
            cuts += each.cuts
        number = {key: k for k, key in enumerate(scales)}
        low, high, entries = [], [], []
        for row, (each, bottom, top) in enumerate(zip(gradings, lowest, highest, strict=True)):
            first = begin[id(each)]
            low.append(first + bottom if bottom > 0 else 0)
            high.append(first + top + 1 if top < len(each.cuts) else 1)
            for through, (_, terms) in enumerate((cuts[low[-1]], cuts[high[-1]], each.scale)):
                entries += [(row, name, factor, through) for name, factor in terms]
        return cls(
            place,
            names,
            _Sums.of(cuts, names),
            _Sums.of([each.scale for each in scales.values()], names),
            np.array(low, np.intp),
            np.array(high, np.intp),
            np.array([number[id(each)] for each in gradings], np.intp),
            np.array([each[0] for each in entries], np.intp),
            tuple(each[1] for each in entries),
            np.array([each[2] for each in entries], float),
            np.array([each[3] for each in entries], np.intp),
        )

    def scored(self, predicted: Array, values: Mapping[str, Any]) -> GradeScores:
        """Score what is predicted of them.

        Parameters
        ----------
        predicted : array, shape (..., n)
            None below zero.
        values : mapping of str to float, or to array of shape (...)
            Those of :attr:`names`.
        """
        known = np.empty((*predicted.shape[:-1], len(self.names)))
        for k, name in enumerate(self.names):
            known[..., k] = values[name]
        cuts, spread = self._cuts.at(known), self._spreads.at(known)[..., self._spread]
        low, high = cuts[..., self._low], cuts[..., self._high]
        with np.errstate(divide="ignore"):
            level = np.log(predicted)
        log_likelihood, residual, by_level, by_low, by_high = graded(level, low, high, spread)
        seen = np.isfinite(level)
        by_spread = np.zeros(level.shape)
        for weight, cut in ((by_low, low), (by_high, high)):
            there = seen & np.isfinite(cut)
            by_spread[there] -= (weight[there] * (cut[there] - level[there])) / spread[there]
        return GradeScores(log_likelihood, residual, by_level, by_low, by_high, by_spread)

    def slopes(self, scores: GradeScores) -> list[tuple[int, str, float]]:
        """Row, parameter, and the derivative of the residual with respect to it, of one set."""
        ways = np.stack([scores.by_low, scores.by_high, scores.by_spread])
        weights = self._times * ways[self._through, self._of]
        return list(zip(self.place[self._of].tolist(), self._by, weights.tolist(), strict=True))
