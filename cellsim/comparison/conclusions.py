"""What a case concludes, each conclusion a number with a threshold, so that it can be drawn again and seen to flip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cellsim.posterior.variational import NormalLaw

__all__ = ["Conclusion", "Question"]


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """One thing concluded: a number, and on which side of a threshold it lies.

    Parameters
    ----------
    id : str
        Its column in a table.
    question, unit : str
        What the number is, in what.
    threshold : float
    above, below : str
        What is concluded when the number is above the threshold, and when it is not.
    margin : float
        Nearer to the threshold than this, either way, nothing is concluded.
    """

    id: str
    question: str
    unit: str
    threshold: float
    above: str
    below: str
    margin: float = 0.0

    def side(self, value: float) -> str:
        """``"above"``, ``"below"`` or ``"open"``; empty when there is no number.

        Examples
        --------
        >>> lead = Conclusion(id="lead", question="?", unit="nat", threshold=0, above="yes", below="no", margin=1)
        >>> [lead.side(value) for value in (3.0, -3.0, 0.5, float("nan"))]
        ['above', 'below', 'open', '']
        """
        if np.isnan(value):
            return ""
        if self.margin and abs(value - self.threshold) < self.margin:
            return "open"
        return "above" if value > self.threshold else "below"

    def measured(self, value: float) -> str:
        """A number with its unit, as a sentence needs it."""
        return f"probability {value:.2g}" if self.unit == "probability" else f"{value:.3g} {self.unit}"

    def said(self, value: float) -> str:
        """What a number concludes, in words."""
        words = {"above": self.above, "below": self.below, "open": f"it is open whether {self.above}"}
        return words.get(self.side(value), "cannot be asked")


@dataclass(frozen=True)
class Question:
    """A conclusion, and how its number is found from the laws of the variants' posteriors."""

    conclusion: Conclusion
    ask: Callable[[Mapping[str, NormalLaw]], float]
