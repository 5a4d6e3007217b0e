"""One patient's few laboratory visits, turned into an honest answer about dosing schedules.

The public names are resolved when first used, so that ``import cellsim`` does no work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellsim import errors, plots
    from cellsim.case.case import Case
    from cellsim.case.from_sheets import new_case
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.readiness import check
    from cellsim.comparison.robustness_analysis import robustness
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.comparison.variants import compare
    from cellsim.design.clinic_rules import ClinicRules
    from cellsim.design.next_visit import plan_visits
    from cellsim.design.optimisation import optimise
    from cellsim.design.optimum import Optimum
    from cellsim.design.patients import PatientPlan, plan_patients
    from cellsim.design.visit_table import VisitPlan
    from cellsim.dosing.schedule import Schedule
    from cellsim.estimation.opening import load_case
    from cellsim.estimation.problem import EstimationProblem
    from cellsim.explorer.page import Explorer, explore
    from cellsim.identifiability.identification import identify
    from cellsim.identifiability.profiles import Profiles, profile
    from cellsim.model.model import Model, load_model
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.fitting import calibrate
    from cellsim.posterior.posterior import Posterior, sample
    from cellsim.predictions.reactions import Reaction
    from cellsim.solver.simulation import simulate
    from cellsim.solver.trajectory import Trajectory
    from cellsim.sweeps.product_comparison import ProductComparison, compare_products
    from cellsim.sweeps.sweep_result import Sweep
    from cellsim.sweeps.sweeps import sweep

__version__ = "0.2.0"

_HOME_OF = {
    "Calibration": "posterior.calibration",
    "Case": "case.case",
    "ClinicRules": "design.clinic_rules",
    "Comparison": "comparison.comparison",
    "EstimationProblem": "estimation.problem",
    "Explorer": "explorer.page",
    "Model": "model.model",
    "Optimum": "design.optimum",
    "PatientPlan": "design.patients",
    "Posterior": "posterior.posterior",
    "ProductComparison": "sweeps.product_comparison",
    "Profiles": "identifiability.profiles",
    "Reaction": "predictions.reactions",
    "Robustness": "comparison.robustness_table",
    "Schedule": "dosing.schedule",
    "Sweep": "sweeps.sweep_result",
    "Trajectory": "solver.trajectory",
    "VisitPlan": "design.visit_table",
    "calibrate": "posterior.fitting",
    "check": "comparison.readiness",
    "compare": "comparison.variants",
    "compare_products": "sweeps.product_comparison",
    "explore": "explorer.page",
    "identify": "identifiability.identification",
    "load_case": "estimation.opening",
    "load_model": "model.model",
    "new_case": "case.from_sheets",
    "optimise": "design.optimisation",
    "plan_patients": "design.patients",
    "plan_visits": "design.next_visit",
    "profile": "identifiability.profiles",
    "robustness": "comparison.robustness_analysis",
    "sample": "posterior.posterior",
    "simulate": "solver.simulation",
    "sweep": "sweeps.sweeps",
}
_MODULES = ("errors", "plots")

__all__ = [
    "Calibration",
    "Case",
    "ClinicRules",
    "Comparison",
    "EstimationProblem",
    "Explorer",
    "Model",
    "Optimum",
    "PatientPlan",
    "Posterior",
    "ProductComparison",
    "Profiles",
    "Reaction",
    "Robustness",
    "Schedule",
    "Sweep",
    "Trajectory",
    "VisitPlan",
    "calibrate",
    "check",
    "compare",
    "compare_products",
    "errors",
    "explore",
    "identify",
    "load_case",
    "load_model",
    "new_case",
    "optimise",
    "plan_patients",
    "plan_visits",
    "plots",
    "profile",
    "robustness",
    "sample",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        found = globals()[name] = getattr(import_module(f"cellsim.{_HOME_OF[name]}"), name)
        return found
    if name in _MODULES:
        return import_module(f"cellsim.{name}")
    raise AttributeError(f"module 'cellsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
