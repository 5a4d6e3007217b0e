"""SBML."""

from __future__ import annotations

from cellsim.formats.formulas import formula_text, parse_formula

__all__ = ["formula_text", "parse_formula"]
