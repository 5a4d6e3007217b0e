"""A model as a person reads it: equations with units, and LaTeX for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from cellsim.model.formulas import formula_text

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["describe", "latex"]


def describe(model: Model) -> str:
    """The model as equations with values, units and labels, for reading."""
    lines = [f"{model.name}" + (f" (time in {model.time_unit})" if model.time_unit else "")]
    if model.note:
        lines += ["", model.note]

    def line(left: str, unit: str, label: str) -> str:
        return f"  {left}" + (f"  [{unit}]" if unit else "") + (f"  {label}" if label else "")

    def section(title: str, rows: list[str]) -> None:
        if rows:
            lines.extend(["", title, *rows])

    per = f"/{model.time_unit}" if model.time_unit else ""
    section(
        "Rates of change",
        [line(f"{s.name}' = {formula_text(s.rate)}", s.unit and s.unit + per, s.label) for s in model.states],
    )
    section(
        "Always",
        [line(f"{a.name} = {formula_text(a.formula)}", a.unit, a.label) for a in model.assignments],
    )
    section(
        "Events",
        [
            line(
                f"when {formula_text(e.trigger)}: "
                + ", ".join(f"{n} = {formula_text(v)}" for n, v in e.assignments),
                "",
                "",
            )
            for e in model.events
        ],
    )
    section("At the start", [line(f"{s.name} = {_short(s.initial)}", s.unit, "") for s in model.states])
    section("Parameters", [line(f"{p.name} = {p.value:.6g}", p.unit, p.label) for p in model.parameters])
    section("In doubt", [f"  {each}" for each in model.doubts])
    return "\n".join(lines)


def _short(initial: sp.Expr) -> str:
    return f"{float(initial):.6g}" if initial.is_Number else formula_text(initial)


def latex(model: Model) -> str:
    """The model's rates and assignments as one aligned LaTeX display."""
    lines = [rf"\frac{{d\,{_tex(sp.Symbol(s.name))}}}{{dt}} &= {_tex(s.rate)}" for s in model.states]
    lines += [rf"{_tex(sp.Symbol(a.name))} &= {_tex(a.formula)}" for a in model.assignments]
    return "$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$"


def _tex(expression: sp.Basic) -> str:
    return str(sp.latex(expression))
