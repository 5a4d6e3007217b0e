"""Exponentials that no computer can hold inside terms that it can: values and slopes against closed forms and mpmath."""

import mpmath
import pytest

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.model.formulas import formula_text, parse_formula

SIGMOID = "x = 0; x' = 1/(1 + exp(-5*(time - 300)))"


@pytest.mark.parametrize(
    ("text", "day", "right"),
    [
        (SIGMOID, 310.0, 10.0),  # integral: softplus(5 (t - 300))/5
        ("x = 0; x' = 1/(1 + exp((300 - time)/0.2))", 310.0, 10.0),
        ("x = 0; x' = 1/(1 + exponentiale^((300 - time)/0.2))", 310.0, 10.0),
        ("y = 0; y' = 1; x = 0; x' = 1/(1 + exp(-200*(y - 30)))", 31.0, 1.0),
        ("x = 0; x' = max(0, 1 - exp(-(time - 100.3)*50))", 110.0, 9.7 - 1 / 50),
        ("x = 0; x' = max(0, 1 - exp(-(time - 100.3)*5))", 110.0, 9.7 - 1 / 5),
        ("x = 0; x' = 1/(1 + max(0, exp(-5*(time - 300))))", 310.0, 10.0),
        ("x = 0; x' = 1/cosh(time - 800)", 801.0, float(mpmath.atan(mpmath.sinh(1)) + mpmath.pi / 2)),
    ],
)
def test_a_term_that_saturates_is_integrated_to_its_closed_form(text: str, day: float, right: float) -> None:
    found = cs.simulate(cs.load_model(text), cs.Schedule(), [day])["x"]
    assert float(found[0]) == pytest.approx(right, rel=2e-7)


@pytest.mark.parametrize("at", [-1000.0, -500.0, -30.0, 0.5, 30.0, 500.0, 1000.0])
@pytest.mark.parametrize(
    ("formula", "function"),
    [
        ("1/(1 + exp(-y))", lambda y: 1 / (1 + mpmath.exp(-y))),
        ("1/(1 + exp(y))", lambda y: 1 / (1 + mpmath.exp(y))),
        ("1/(2 + exp(y))^2", lambda y: 1 / (2 + mpmath.exp(y)) ** 2),
        ("1/cosh(y)", mpmath.sech),
        ("1/(3 + sinh(y)^2)", lambda y: 1 / (3 + mpmath.sinh(y) ** 2)),
        ("min(2, exp(y))", lambda y: min(mpmath.mpf(2), mpmath.exp(y))),
        ("y/(1 + exp(y)^3)", lambda y: y / (1 + mpmath.exp(3 * y))),
        ("1/(1 + (y/0.01)^(100 + 0*y))", lambda y: 1 / (1 + (y / mpmath.mpf(0.01)) ** 100)),
        ("1/(1 + max(exp(y), 0))", lambda y: 1 / (1 + mpmath.exp(y))),
        ("1/(1 + piecewise(exp(y), y > -2000, 0))", lambda y: 1 / (1 + mpmath.exp(y))),
    ],
)
def test_slopes_are_finite_where_the_value_is(formula: str, function, at: float) -> None:  # type: ignore[no-untyped-def]
    """mpmath differentiates numerically, with 60 digits."""
    kernels = compile_equations(equations_of(cs.load_model(f"y = 0; y' = {formula}"), ()))
    with mpmath.workdps(60):
        right = float(mpmath.diff(function, mpmath.mpf(at)))
    assert kernels.jacobian(0.0, [at], [])[0, 0] == pytest.approx(right, rel=1e-11, abs=1e-150)


@pytest.mark.parametrize("text", ["exp((300 - time)/0.2)", "exp(2000.5 - x)", "exponentiale^(x - 1000.5)"])
def test_a_large_number_stays_inside_its_exponential(text: str) -> None:
    """Witness: mpmath at the day where the exponent is moderate; and the text written is read as the same formula."""
    formula = parse_formula(text)
    assert parse_formula(formula_text(formula)) == formula
    places = {"time": 299.9, "x": 2000.0 if "2000" in text else 1000.0}
    right = {"exp((": mpmath.exp((300 - mpmath.mpf(299.9)) / mpmath.mpf(0.2)), "exp(2": mpmath.exp(0.5)}
    assert float(formula.subs(places)) == pytest.approx(
        float(right.get(text[:5], mpmath.exp(-0.5))), rel=1e-12
    )
