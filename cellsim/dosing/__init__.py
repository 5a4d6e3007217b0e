"""Infusions, schedules and tables of doses."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.dosing.infusions import Infusion
    from cellsim.dosing.restarts import Reset, SteadyState
    from cellsim.dosing.schedule import Schedule

__all__ = ["Infusion", "Reset", "Schedule", "SteadyState"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Infusion": "dosing.infusions",
        "Reset": "dosing.restarts",
        "Schedule": "dosing.schedule",
        "SteadyState": "dosing.restarts",
    },
)
