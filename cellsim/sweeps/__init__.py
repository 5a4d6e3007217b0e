"""Dosing schedules compared under the uncertainty of draws, beside the prior."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.sweeps.averaged_sweep import AveragedSweep
    from cellsim.sweeps.parameter_tables import ParameterSweep
    from cellsim.sweeps.product_comparison import ProductComparison, compare_products
    from cellsim.sweeps.sweep_result import Sweep
    from cellsim.sweeps.sweeps import sweep

__all__ = [
    "AveragedSweep",
    "ParameterSweep",
    "ProductComparison",
    "Sweep",
    "compare_products",
    "sweep",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AveragedSweep": "sweeps.averaged_sweep",
        "ParameterSweep": "sweeps.parameter_tables",
        "ProductComparison": "sweeps.product_comparison",
        "Sweep": "sweeps.sweep_result",
        "compare_products": "sweeps.product_comparison",
        "sweep": "sweeps.sweeps",
    },
)
