"""A model under doses, in time: the engine, its sensitivities, and SciPy as the second solver."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.solver.integration import integrate
    from cellsim.solver.simulation import simulate
    from cellsim.solver.trajectory import Trajectory

__all__ = ["Trajectory", "integrate", "simulate"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {"Trajectory": "solver.trajectory", "integrate": "solver.integration", "simulate": "solver.simulation"},
)
