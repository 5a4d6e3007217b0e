"""What is asked of draws: measures of a schedule, bands of every quantity."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.predictions.bands import Bands, bands

__all__ = ["Bands", "bands"]
__getattr__, __dir__ = lazy_names(__name__, {"Bands": "predictions.bands", "bands": "predictions.bands"})
