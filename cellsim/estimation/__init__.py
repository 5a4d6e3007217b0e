"""Parameter estimation problems of many conditions and experiments, as PEtab has them: their likelihood, gradient and fits."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.estimation.opening import load_case
    from cellsim.estimation.problem import EstimationProblem

__all__ = ["EstimationProblem", "load_case"]

__getattr__, __dir__ = lazy_names(
    __name__, {"EstimationProblem": "estimation.problem", "load_case": "estimation.opening"}
)
