"""Dosing schedules compared under the uncertainty of draws, beside the prior."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.sweeps.averaged_sweep import AveragedSweep
    from cellsim.sweeps.parameter_tables import ParameterSweep
    from cellsim.sweeps.sweep_result import Sweep
    from cellsim.sweeps.sweeps import sweep

__all__ = ["AveragedSweep", "ParameterSweep", "Sweep", "sweep"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AveragedSweep": "sweeps.averaged_sweep",
        "ParameterSweep": "sweeps.parameter_tables",
        "Sweep": "sweeps.sweep_result",
        "sweep": "sweeps.sweeps",
    },
)
