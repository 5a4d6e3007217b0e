"""PEtab's tables, versions 1 and 2, in and out."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.petab.problem import read_problem_file

__all__ = ["read_problem_file"]
__getattr__, __dir__ = lazy_names(__name__, {"read_problem_file": "petab.problem"})
