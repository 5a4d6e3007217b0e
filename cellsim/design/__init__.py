"""What to do next: the visit that tells most, and the plan that is best under a clinic's rules."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.design.clinic_rules import ClinicRules
    from cellsim.design.next_visit import plan_visits
    from cellsim.design.optimisation import optimise
    from cellsim.design.optimum import Optimum
    from cellsim.design.patients import PatientPlan, plan_patients
    from cellsim.design.visit_table import VisitPlan

__all__ = ["ClinicRules", "Optimum", "PatientPlan", "VisitPlan", "optimise", "plan_patients", "plan_visits"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClinicRules": "design.clinic_rules",
        "Optimum": "design.optimum",
        "PatientPlan": "design.patients",
        "VisitPlan": "design.visit_table",
        "optimise": "design.optimisation",
        "plan_patients": "design.patients",
        "plan_visits": "design.next_visit",
    },
)
