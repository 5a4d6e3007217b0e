"""What the rows say: noise, priors, and the log posterior as a sum of squares."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.likelihood.formulation import objective_of
    from cellsim.likelihood.objective import Objective

__all__ = ["Objective", "objective_of"]
__getattr__, __dir__ = lazy_names(
    __name__, {"Objective": "likelihood.objective", "objective_of": "likelihood.formulation"}
)
