"""Equations as people write them: a frozen set of states, parameters and rules, and its text forms."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.model.formulas import parse_formula
    from cellsim.model.model import Model, load_model

__all__ = ["Model", "load_model", "parse_formula"]
__getattr__, __dir__ = lazy_names(
    __name__, {"Model": "model.model", "load_model": "model.model", "parse_formula": "model.formulas"}
)
