"""Approximations and draws of one posterior: optima, Laplace, the collapsed sampler, NUTS."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.fitting import calibrate
    from cellsim.posterior.posterior import Posterior, sample

__all__ = ["Calibration", "Posterior", "calibrate", "sample"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Calibration": "posterior.calibration",
        "Posterior": "posterior.posterior",
        "calibrate": "posterior.fitting",
        "sample": "posterior.posterior",
    },
)
