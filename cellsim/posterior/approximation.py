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

from cellsim.errors import ApproximationWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "LARGEST_SHAPE", "Approximation", "approximation_of", "together"]

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
