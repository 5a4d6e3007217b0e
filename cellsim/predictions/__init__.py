"""Questions asked of draws: measures, bands, schedules compared."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.predictions.averaged_sweep import AveragedSweep
    from cellsim.predictions.parameter_tables import ParameterSweep
    from cellsim.predictions.sweep_result import Sweep
    from cellsim.predictions.sweeps import sweep

__all__ = ["AveragedSweep", "ParameterSweep", "Sweep", "sweep"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AveragedSweep": "predictions.averaged_sweep",
        "ParameterSweep": "predictions.parameter_tables",
        "Sweep": "predictions.sweep_result",
        "sweep": "predictions.sweeps",
    },
)
