"""Questions asked of draws: measures, bands, schedules compared."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.predictions.sweep_result import Sweep
    from cellsim.predictions.sweeps import sweep

__all__ = ["Sweep", "sweep"]
__getattr__, __dir__ = lazy_names(
    __name__, {"Sweep": "predictions.sweep_result", "sweep": "predictions.sweeps"}
)
