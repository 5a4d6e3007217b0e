"""Whether a result is shorter than what was asked for, because someone pressed Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.posterior import Posterior

__all__ = ["cut_short"]


def cut_short(found: Posterior | Profiles | Comparison | Robustness) -> bool:
    """Whether an interrupt ended the making of `found`, which then holds what was ready."""
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.posterior.posterior import Posterior

    if isinstance(found, Posterior):
        return found.thetas.shape[1] < found.run.asked
    if isinstance(found, Robustness):
        return len(found.rows) - 1 < found.planned
    # profiles and comparisons say it first thing among their doubts, and nowhere else
    return any("interrupted" in each for each in found.doubts)
