"""One patient's few laboratory visits, turned into an honest answer about dosing schedules.

The public names are resolved when first used, so that ``import cellsim`` does no work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellsim import errors, plots
    from cellsim.case import Case, load_case
    from cellsim.comparison import Comparison
    from cellsim.fitted import Calibration
    from cellsim.fitting import calibrate
    from cellsim.identifiability import identify
    from cellsim.model import Model, load_model
    from cellsim.posterior import Posterior, sample
    from cellsim.profiles import Profiles, profile
    from cellsim.robust import robustness
    from cellsim.robust_table import Robustness
    from cellsim.schedule import Schedule
    from cellsim.simulation import simulate
    from cellsim.sweeps import Sweep, sweep
    from cellsim.trajectory import Trajectory
    from cellsim.variants import compare

__version__ = "0.1.0"

_HOME_OF = {
    "Calibration": "fitted",
    "Case": "case",
    "Comparison": "comparison",
    "Model": "model",
    "Posterior": "posterior",
    "Profiles": "profiles",
    "Robustness": "robust_table",
    "Schedule": "schedule",
    "Sweep": "sweeps",
    "Trajectory": "trajectory",
    "calibrate": "fitting",
    "compare": "variants",
    "identify": "identifiability",
    "load_case": "case",
    "load_model": "model",
    "profile": "profiles",
    "robustness": "robust",
    "sample": "posterior",
    "simulate": "simulation",
    "sweep": "sweeps",
}
_MODULES = ("errors", "plots")

__all__ = [
    "Calibration",
    "Case",
    "Comparison",
    "Model",
    "Posterior",
    "Profiles",
    "Robustness",
    "Schedule",
    "Sweep",
    "Trajectory",
    "calibrate",
    "compare",
    "errors",
    "identify",
    "load_case",
    "load_model",
    "plots",
    "profile",
    "robustness",
    "sample",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"cellsim.{_HOME_OF[name]}"), name)
    if name in _MODULES:
        return import_module(f"cellsim.{name}")
    raise AttributeError(f"module 'cellsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
