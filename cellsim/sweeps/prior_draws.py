"""What the prior says to a dosing question: numbers that are there, or that are made when somebody asks for them.

They take as long to simulate as the posterior's. Who tries one schedule after another looks at the posterior, and at the prior's answer
beside it only where a table or a figure shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["PriorDraws", "left_out"]


class PriorDraws:
    """Numbers of the draws of a prior under every plan; once made they do not change, and a pickle holds them made.

    Parameters
    ----------
    make : callable
        Gives the numbers (n_plans, n_asked, n_draws) of draws that could be simulated, how many could not, and what stopped the first.

    Examples
    --------
    >>> import numpy as np
    >>> beside = PriorDraws(lambda: (np.zeros((1, 2, 3)), 1, "too many steps"))
    >>> beside.numbers.shape, beside.lost, beside.why
    ((1, 2, 3), 1, 'too many steps')
    """

    def __init__(self, make: Callable[[], tuple[Array, int, str]]) -> None:
        self._make = make

    @classmethod
    def of(cls, numbers: Array, *, lost: int = 0, why: str = "") -> PriorDraws:
        """Numbers that are there."""
        return cls(lambda: (numbers, lost, why))

    @cached_property
    def _made(self) -> tuple[Array, int, str]:
        return self._make()

    @property
    def numbers(self) -> Array:
        """Of draws that could be simulated under every plan, shape (n_plans, n_asked, n_draws)."""
        return self._made[0]

    @property
    def lost(self) -> int:
        """Draws left out."""
        return self._made[1]

    @property
    def why(self) -> str:
        """What stopped the first of them; empty when none was."""
        return self._made[2]

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": self._made}


def left_out(count: int, of: int, which: str, why: str) -> str:
    """The doubt about draws that could not be simulated; empty when there are none.

    Examples
    --------
    >>> left_out(1, 4, "prior", "At day 3 the step became too small.")
    '1 of 4 prior draws could not be simulated and are left out: At day 3 the step became too small.'
    """
    return f"{count} of {of} {which} draws could not be simulated and are left out: {why}" if count else ""
