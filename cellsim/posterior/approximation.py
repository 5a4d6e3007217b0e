"""What the numbers of a result were drawn from, and every reason to doubt it: one record, carried by every result.

A posterior is known through an approximation: the mixture of the Laplace approximations around its optima (a quick look),
weighted draws of the collapsed sampler, or chains. The same question gets other answers from each, so no number is printed, drawn
or written without the name of its approximation and the doubts about it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from cellsim.errors import ApproximationWarning

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "KINDS",
    "LARGEST_SHAPE",
    "Approximation",
    "approximation_of",
    "pareto_shape",
    "smoothed_weights",
    "together",
]

# of the Pareto approximation of importance weights: above it an approximation does not stand for what it approximates
LARGEST_SHAPE = 0.7

KINDS = {
    "laplace": "Laplace's approximation",
    "chains": "chains",
    "collapsed": "the collapsed sampler",
    "draws": "the collapsed sampler and chains",
    "optimum": "the highest optimum",
    "prior": "the prior",
    "profile": "profiles from the optima",
    "curvature": "the curvature at one point",
    "values": "the values of the model",
    "unknown": "an approximation that is not known",
}
"""What numbers can rest on, by the word that files keep."""

# fewer weights than this have no tail to speak of
_FEWEST = 5
# of the fit: places at which its profile likelihood is averaged beside the root of the number of weights, the prior's reach in
# first quartiles, and the weight of the prior of the shape
_PLACES, _QUARTILES, _OBSERVATIONS, _MIDDLE = 30, 3.0, 10.0, 0.5

# letters of a doubt that are no head of it yet
_NAME = 12
# doubts that a footnote has room for
_SHOWN = 4


@dataclass(frozen=True)
class Approximation:
    """What numbers rest on.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    doubts : tuple of str
        Every reason to doubt them, a sentence each; empty when there is none.
    unfit : str
        Why nothing should be quoted from these draws, and what to do instead; empty when nothing is known against them.

    Examples
    --------
    >>> one = Approximation("laplace", ("only one start: ask for more.",))
    >>> one.label
    "Laplace's approximation, 1 doubt"
    >>> one.words
    "Laplace's approximation (doubts: only one start)"
    """

    kind: str
    doubts: tuple[str, ...] = ()
    unfit: str = ""

    def __repr__(self) -> str:
        return f"<Approximation: {self.label}>"

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return KINDS[self.kind]

    @property
    def label(self) -> str:
        """The name with the count of doubts, for a cell or a line."""
        count = len(self.doubts)
        return self.name + (f", {count} doubt{'s' * (count > 1)}" if count else "")

    @property
    def _heads(self) -> list[str]:
        """The head of each doubt, once."""
        return list(dict.fromkeys(_head(each) for each in self.doubts))

    @property
    def brief(self) -> str:
        """The head of each doubt; empty without any."""
        return "; ".join(self._heads)

    @property
    def words(self) -> str:
        """The name with the heads of the first doubts, for a footnote."""
        if not self.doubts:
            return self.name
        more = len(self._heads) - _SHOWN
        shown = "; ".join(self._heads[:_SHOWN])
        return f"{self.name} (doubts: {shown}{f'; and {more} more' * (more > 0)})"

    @property
    def lines(self) -> list[str]:
        """The name and every doubt in full, for a report of text."""
        doubts = ["Reasons to doubt:", *[f"- {each}" for each in self.doubts]] if self.doubts else []
        return [f"Numbers rest on {self.name}.", *doubts]

    def also(self, *doubts: str) -> Approximation:
        """With more doubts; empty ones are none."""
        return replace(self, doubts=(*self.doubts, *(each for each in doubts if each)))

    def stamped(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with columns ``approximation`` and ``doubts`` (their heads), which a file of it keeps."""
        table["approximation"], table["doubts"] = self.name, self.brief
        table.attrs["approximation"] = self.label
        return table

    def warn(self, asked: str, *, inside: int = 0) -> None:
        """Warn where nothing should be quoted; `asked` is what was called, `inside` how many calls further in this is.

        Warns
        -----
        ApproximationWarning
            With what to do instead.
        """
        if self.unfit:
            warnings.warn(f"{asked}: {self.unfit}", ApproximationWarning, stacklevel=3 + inside)

    # ---- files ------------------------------------------------------------------------------------

    def content(self) -> dict[str, Any]:
        """As plain values."""
        return {"kind": self.kind, "doubts": list(self.doubts), "unfit": self.unfit}

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> Approximation:
        """From plain values; ValueError for a kind there is none of."""
        if content["kind"] not in KINDS:
            raise ValueError(f"no approximation is called {content['kind']!r}")
        return cls(content["kind"], tuple(content["doubts"]), content["unfit"])


def _head(doubt: str) -> str:
    """A doubt up to where its advice begins."""
    depth = 0
    for k, letter in enumerate(doubt):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        # what stands before a colon near the beginning is a name, or a word like interrupted
        if depth == 0 and letter in ":;" and k > _NAME and doubt[k + 1 : k + 2] == " ":
            return doubt[:k]
    return doubt.rstrip(".")


def approximation_of(source: Any) -> Approximation:
    """What draws of a calibration or a posterior rest on; unknown of a source that does not say."""
    found = getattr(source, "approximation", None)
    return found if isinstance(found, Approximation) else Approximation("unknown")


def together(named: Mapping[str, Approximation]) -> Approximation:
    """What a result of several variants rests on: one kind, and the doubts of each variant by its name.

    Parameters
    ----------
    named : mapping of str to Approximation
        By variant.

    Returns
    -------
    Approximation
        Of the kind of the first, which all are taken to have; a doubt of several variants is said once.
    """
    first = next(iter(named.values()), Approximation("unknown"))
    by: dict[str, list[str]] = {}
    for name, each in named.items():
        for doubt in each.doubts:
            by.setdefault(doubt, []).append(name)
    doubts = [f"{', '.join(names)}: {doubt}" if any(names) else doubt for doubt, names in by.items()]
    return Approximation(first.kind, tuple(doubts))


# Pareto-smoothed importance weights: the largest M of S weights, M the smaller of S / 5 and 3 sqrt(S), are replaced by quantiles of
# the generalised Pareto distribution that is fitted to them (Vehtari et al. 2024, JMLR 25:72); the fit is the empirical Bayes one of
# Zhang and Stephens (2009, Technometrics 51:316), its shape drawn towards one half as by ten observations. Importing all of ArviZ
# for it would cost a fit three seconds.


def smoothed_weights(log_weights: Array) -> tuple[Array, float]:
    """Smoothed weights (log, summing to one) and their shape k.

    Parameters
    ----------
    log_weights : array, shape (n,)

    Returns
    -------
    log_weights : array, shape (n,)
    shape : float
        Zero where all weights are alike; infinite where there are too few to tell.
    """
    logs = np.asarray(log_weights, float)
    if np.ptp(logs) < 1e-8:
        # all alike: there is no tail to smooth, and nothing could be lighter
        return np.full(logs.size, -np.log(logs.size)), 0.0
    logs = logs - logs.max()
    count = int(np.ceil(min(0.2 * logs.size, 3 * np.sqrt(logs.size))))
    order = np.argsort(logs, kind="stable")
    edge = max(logs[order[-count - 1]], np.log(np.finfo(float).tiny)) if count < logs.size else -np.inf
    tail = order[logs[order] > edge]
    shape = np.inf
    if tail.size >= _FEWEST:
        low = float(np.exp(edge))
        shape, scale = _fitted(np.exp(logs[tail]) - low)
        if np.isfinite(shape):
            shares = (np.arange(tail.size) + 0.5) / tail.size
            spread = np.expm1(-shape * np.log1p(-shares)) / shape if shape else -np.log1p(-shares)
            # no weight may become larger than the largest was
            logs[tail] = np.minimum(np.log(low + scale * spread), 0.0)
    return np.asarray(logs - logsumexp(logs)), float(shape)


def _fitted(values: Array) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of increasing values above zero."""
    n = values.size
    places = _PLACES + int(np.sqrt(n))
    rates = 1 - np.sqrt(places / (np.arange(1, places + 1) - 0.5))
    rates = rates / (_QUARTILES * values[int(n / 4 + 0.5) - 1]) + 1 / values[-1]
    shapes = np.log1p(-rates[:, None] * values).mean(axis=1)
    logs = n * (np.log(-rates / shapes) - shapes - 1)
    shares = np.exp(logs - logsumexp(logs))
    shares = np.where(shares >= 10 * np.finfo(float).eps, shares, 0.0)
    rate = float(shares @ rates / shares.sum())
    shape = float(np.log1p(-rate * values).mean())
    return (n * shape + _OBSERVATIONS * _MIDDLE) / (n + _OBSERVATIONS), -shape / rate


def pareto_shape(log_weights: Array) -> float:
    """Shape k alone.

    Examples
    --------
    >>> pareto_shape(np.zeros(100)) < 0.7
    True
    >>> bool(pareto_shape(-np.log(np.random.default_rng(1).random(4000))) > 0.7)
    True
    """
    return smoothed_weights(log_weights)[1]
