"""Equations to machine code: derivatives, sparse elimination, kernels."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.compiler.equations import Equations
    from cellsim.compiler.kernels import compile_equations

__all__ = ["Equations", "compile_equations"]
__getattr__, __dir__ = lazy_names(
    __name__, {"Equations": "compiler.equations", "compile_equations": "compiler.kernels"}
)
