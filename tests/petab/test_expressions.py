"""PEtab's formulas: libpetab's own parser is the witness."""

import math

import pytest
import sympy as sp

from cellsim.errors import ModelError
from cellsim.petab.expressions import parse_expression

FORMULAS = [
    "log(a, 2)", "log2(a)", "ln(a) + log10(b)", "-a^2", "2^3^2", "a^-b", "pow(a, b)", "sqrt(a)", "exp(-a*b)", "sign(a - 1)",
    "min(a, b) + max(a, b)", "abs(b - a)", "piecewise(1, a > b, b, a == 0.3, 7)", "piecewise(a, !(a > b) && b < 2 || a == 9, b)",
    "arcsin(a) + arccos(a) + arctan(b)", "sinh(a)*cosh(b)/tanh(b)", "sec(a) + csc(a) + cot(a)", "arcsinh(b) + arccosh(b + 1)",
    "arctanh(a)", "arccoth(b + 2)", "1e-2*a + 1.5E+1*b + 0.5", "a*(b + (a - b)*2)/3", "1 + true", "+a - -b",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_means_what_libpetab_says(text: str) -> None:
    math_of = pytest.importorskip("petab.v1.math")
    at = {"a": 0.3, "b": 1.7}

    def value(formula: sp.Expr) -> float:
        return float(formula.subs({symbol: at[symbol.name] for symbol in formula.free_symbols}))

    assert value(parse_expression(text)) == pytest.approx(value(math_of.sympify_petab(text)), rel=1e-12)


def test_names_that_mean_something_elsewhere_are_names_here() -> None:
    assert {each.name for each in parse_expression("pi*e + exponentiale*avogadro").free_symbols} == {
        "pi", "e", "exponentiale", "avogadro"
    }  # fmt: skip
    assert parse_expression("a**2") == sp.Symbol("a") ** 2
    assert math.isinf(float(parse_expression("-inf")))


@pytest.mark.parametrize(
    "text", ["", "a b", "f(a)", "a)", "(a", "log(1, 2, 3)", "a +", "2a", "((" * 300, "a; import os", "'x'"]
)
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse_expression(text, where="y")
