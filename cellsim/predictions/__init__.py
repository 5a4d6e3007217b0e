"""Questions asked of draws: measures, bands, schedules compared."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.predictions.sweeps import Sweep, sweep

__all__ = ["Sweep", "sweep"]
__getattr__, __dir__ = lazy_names(__name__, {"Sweep": "predictions.sweeps", "sweep": "predictions.sweeps"})
