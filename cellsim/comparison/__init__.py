"""Rival mechanisms by their evidence, and which conclusions depend on what was assumed."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.readiness import check
    from cellsim.comparison.robustness_analysis import robustness
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.comparison.variants import compare

__all__ = ["Comparison", "Robustness", "check", "compare", "robustness"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Comparison": "comparison.comparison",
        "Robustness": "comparison.robustness_table",
        "check": "comparison.readiness",
        "compare": "comparison.variants",
        "robustness": "comparison.robustness_analysis",
    },
)
