"""A small mechanism to start from: products that are eliminated, one response, and analytes that follow it and drift.

With A_p the amount of product p, D_p its usual dose, R the response and t the time in days::

    A_p' = -elimination_p A_p
    R'   = onset (sum_p strength_p A_p / D_p - R)
    y    = baseline exp(drift t / 100 + loading R)          of an analyte above zero
    y    = baseline + scale (drift t / 100 + loading R)     of another one

The response has no unit: one is what a usual dose would keep up if it were never eliminated.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from cellsim.model.content import TIME, Assignment, Parameter, State
from cellsim.model.model import Model

__all__ = ["effect_names", "starting_model"]

_WEEK = 0.099  # 1/day: a half-life of seven days
_FORTNIGHT = 0.05  # 1/day: a half-life of two weeks


def starting_model(
    name: str,
    analytes: Sequence[tuple[str, str, str, float, float | None]],
    products: Sequence[tuple[str, str, str, float]],
    *,
    lasting: Sequence[str] = (),
) -> Model:
    """The model of a new case.

    Parameters
    ----------
    name : str
    analytes : sequence of (identifier, label, unit, centre, scale)
        `centre` is where it lies without treatment, in its unit; `scale` how far it moves, None for one above zero,
        which moves by factors.
    products : sequence of (identifier, label, unit, usual dose)
        The dose in the unit of the product's state.
    lasting : sequence of str
        Products with infusions of a stated duration, which need a rate into their state.

    Returns
    -------
    Model

    Examples
    --------
    >>> made = starting_model("mine", [("CRP", "CRP", "mg/L", 2.0, None)], [("drug", "drug", "mg", 100.0)])
    >>> [each.name for each in made.states], str(made["value_CRP"].formula)
    (['amount_drug', 'response'], 'baseline_CRP*exp(drift_CRP*time/hundred_days + loading_CRP*response)')
    """
    symbol = sp.Symbol
    states: list[State] = []
    parameters = [Parameter("hundred_days", 100.0, "day", "time that drifts are counted in")]
    drive: sp.Expr = sp.Integer(0)
    for product, label, unit, usual in products:
        amount, loss = symbol(f"amount_{product}"), symbol(f"elimination_{product}")
        inflow: sp.Expr = sp.Integer(0)
        if product in lasting:
            inflow = symbol(f"infusion_rate_{product}")
            parameters.append(
                Parameter(
                    f"infusion_rate_{product}", 0.0, f"{unit}/day", f"flow of {label} while an infusion runs"
                )
            )
        states.append(State(amount.name, sp.Integer(0), inflow - loss * amount, unit, f"{label} in the body"))
        parameters += [
            Parameter(loss.name, _WEEK, "1/day", f"elimination of {label}"),
            Parameter(f"usual_dose_{product}", usual, unit, f"usual dose of {label}"),
            Parameter(f"strength_{product}", 1.0, "1", f"effect of a usual dose of {label}"),
        ]
        drive += symbol(f"strength_{product}") * amount / symbol(f"usual_dose_{product}")
    if products:
        onset, response = symbol("onset"), symbol("response")
        parameters.append(Parameter("onset", _FORTNIGHT, "1/day", "how fast the response comes and goes"))
        states.append(
            State("response", sp.Integer(0), onset * (drive - response), "1", "response to treatment")
        )
    else:
        # a model without a state has no course in time
        states.append(State("clock", sp.Integer(0), sp.Integer(1), "day", "days since the start"))
    assignments = []
    for analyte, label, unit, centre, scale in analytes:
        base, drift = symbol(f"baseline_{analyte}"), symbol(f"drift_{analyte}")
        moved: sp.Expr = drift * TIME / symbol("hundred_days")
        parameters += [
            Parameter(base.name, float(f"{centre:.6g}"), unit, f"{label} without treatment"),
            Parameter(drift.name, 0.0, "1", f"drift of {label} in a hundred days"),
        ]
        if products:
            parameters.append(Parameter(f"loading_{analyte}", 0.0, "1", f"how {label} follows the response"))
            moved += symbol(f"loading_{analyte}") * symbol("response")
        if scale is None:
            formula = base * sp.exp(moved)
        else:
            parameters.append(Parameter(f"scale_{analyte}", scale, unit, f"how far {label} moves"))
            formula = base + symbol(f"scale_{analyte}") * moved
        assignments.append(Assignment(f"value_{analyte}", formula, unit, label))
    return Model(
        name,
        tuple(states),
        tuple(parameters),
        tuple(assignments),
        time_unit="day",
        note="A small model to start from; replace it by a mechanism.",
    )


def effect_names(model: Model) -> list[str]:
    """Parameters of a starting model that only the effect of treatment uses.

    Examples
    --------
    >>> made = starting_model("mine", [("CRP", "CRP", "mg/L", 2.0, None)], [("drug", "drug", "mg", 100.0)])
    >>> effect_names(made)
    ['elimination_drug', 'onset', 'loading_CRP']
    """
    products = [each.name.removeprefix("amount_") for each in model.states if each.name.startswith("amount_")]
    return [
        each.name
        for each in model.parameters
        if each.name.startswith(("elimination_", "loading_"))
        or each.name == "onset"
        or (each.name.startswith("strength_") and each.name != f"strength_{products[0]}")
    ]
