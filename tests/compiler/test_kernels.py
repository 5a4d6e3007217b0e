"""Compiled kernels against numpy, mpmath and differences."""

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from oracles import HIRES, system

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import compile_equations
from cellsim.compiler.llvm import Code, assemble, exp, log
from cellsim.errors import ModelError

X, Y, A, B = sp.symbols("x y a b")


def outputs(
    *formulas: sp.Basic, x: float = 2.0, y: float = -3.0, a: float = 0.5, b: float = 1.5, t: float = 0.0
) -> list[float]:
    names = tuple(f"o{i}" for i in range(len(formulas)))
    zero = (sp.Integer(0),) * 2
    equations = Equations(("x", "y"), ("a", "b"), zero, zero, formulas, names)
    return compile_equations(equations).outputs(t, [x, y], [a, b]).tolist()


def run_vector(compute, values: np.ndarray, width: int) -> np.ndarray:
    """Apply code for `width` doubles to many values."""
    import ctypes

    code = Code(width)
    code.store(compute(code, code.load("%w", 0)), "%v", 0)
    made = assemble([code.function("apply")], code.externals)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(made.address["apply"])
    padded = np.resize(values, -(-len(values) // width) * width)
    source, target = np.zeros(16), np.zeros(16)
    begin = (-source.ctypes.data // 8) % 8
    into = (-target.ctypes.data // 8) % 8
    found = []
    for block in padded.reshape(-1, width):
        source[begin : begin + width] = block
        call(source[begin:].ctypes.data, target[into:].ctypes.data)
        found.append(target[into : into + width].copy())
    return np.concatenate(found)[: len(values)]


def ulps(found: np.ndarray, exact: list[mpmath.mpf]) -> float:
    with mpmath.workdps(40):
        return max(
            float(abs(mpmath.mpf(f) - e) / mpmath.mpf(np.spacing(abs(f))))
            for f, e in zip(found.tolist(), exact)
        )


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_exp_is_within_two_units_in_the_last_place(width: int) -> None:
    # up to the largest number that has an exponential, and down to where it is constant
    x = np.concatenate([np.linspace(-707, 709, 4001), np.linspace(-1, 1, 2001), [1e-300, -1e-17, 0.0]])
    x = np.concatenate([x, np.linspace(709.0, 709.7827128933839, 101)])
    found = run_vector(exp, x, width)
    with mpmath.workdps(40):
        assert ulps(found, [mpmath.exp(mpmath.mpf(v)) for v in x.tolist()]) < 1.5


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_log_is_within_one_unit_in_the_last_place(width: int) -> None:
    x = np.concatenate([np.geomspace(1e-300, 1e300, 4001), np.linspace(0.5, 2, 2001), [1.0, 5e-324, 1e-310]])
    x = x[np.log(x) != 0]
    found = run_vector(log, x, width)
    with mpmath.workdps(40):
        assert ulps(found, [mpmath.log(mpmath.mpf(v)) for v in x.tolist()]) < 1.0


def test_exp_and_log_at_the_edges() -> None:
    edges = np.array([np.inf, -np.inf, np.nan, 800.0, -800.0, 0.0, 709.783, 709.8, 709.9, 1e300])
    found = run_vector(exp, edges, 2)
    assert np.all(found[6:] == np.inf)
    assert found[0] == np.inf
    assert 0 <= found[1] < 1e-300
    assert np.isnan(found[2])
    assert found[3] == np.inf
    assert 0 <= found[4] < 1e-300
    assert found[5] == 1.0
    found = run_vector(log, np.array([np.inf, 0.0, -1.0, np.nan, 1.0, 1.0]), 2)
    assert found[0] == np.inf
    assert found[1] == -np.inf
    assert np.isnan(found[2:4]).all()
    assert found[4] == 0.0


def test_every_function_matches_numpy() -> None:
    pairs = [
        (sp.exp(X), np.exp(2.0)),
        (sp.log(X), np.log(2.0)),
        (sp.sqrt(X), np.sqrt(2.0)),
        (X**3, 8.0),
        (Y**-3, -1 / 27),
        (X ** sp.Rational(3, 2), 2.0**1.5),
        (X**A, 2.0**0.5),
        (A**X, 0.25),
        (X**2.37, 2.0**2.37),
        (sp.Abs(Y), 3.0),
        (sp.floor(Y / 2), -2.0),
        (sp.ceiling(Y / 2), -1.0),
        (sp.sign(Y), -1.0),
        (sp.Min(X, Y, A), -3.0),
        (sp.Max(X, Y, A), 2.0),
        (sp.tanh(X), np.tanh(2.0)),
        (sp.sinh(X), np.sinh(2.0)),
        (sp.cosh(Y), np.cosh(3.0)),
        (sp.sin(X), np.sin(2.0)),
        (sp.cos(Y), np.cos(3.0)),
        (sp.tan(X), np.tan(2.0)),
        (sp.asin(A), np.arcsin(0.5)),
        (sp.acos(A), np.arccos(0.5)),
        (sp.atan(Y), np.arctan(-3.0)),
        (X**B / (A**B + X**B), 2.0**1.5 / (0.5**1.5 + 2.0**1.5)),
        (sp.Piecewise((X, Y > 0), (A, X > 3), (B, True)), 1.5),
        (sp.Piecewise((X, sp.Or(Y > 0, sp.Not(X > 3))), (B, True)), 2.0),
        (sp.pi * sp.E, np.pi * np.e),
        (sp.Symbol("time") * X, 14.0),
        (sp.Rational(1, 3) + sp.Float("0.1"), 1 / 3 + 0.1),
    ]
    found = outputs(*(formula for formula, _ in pairs), t=7.0)
    assert found == pytest.approx([value for _, value in pairs], rel=1e-14)


def test_zero_to_a_real_power_has_a_finite_jacobian() -> None:
    equations = system({"x": "-k*x**n/(1 + x**n)"}, "k n", x=0.0)
    kernels = compile_equations(equations)
    for power in (0.5, 1.0, 1.7, 2.0):
        assert kernels.rhs(0.0, [0.0], [1.0, power]) == pytest.approx([0.0], abs=1e-60)
        assert np.isfinite(kernels.jacobian(0.0, [0.0], [1.0, power])).all()
        assert np.isfinite(kernels.rhs(0.0, [-1e-18], [1.0, power])).all()


def test_a_branch_not_taken_may_be_infinite() -> None:
    rate = sp.Piecewise((X * sp.log(X), X > 0), (sp.Integer(0), True))
    kernels = compile_equations(Equations(("x",), (), (rate,), (sp.Integer(0),)))
    assert kernels.rhs(0.0, [0.0], []).tolist() == [0.0]
    assert kernels.jacobian(0.0, [0.0], []).tolist() == [[0.0]]
    assert kernels.jacobian(0.0, [2.0], [])[0, 0] == pytest.approx(np.log(2.0) + 1)


@pytest.mark.parametrize("formula", [sp.erf(X), sp.gamma(X), sp.Symbol("nobody") * X])
def test_what_cannot_be_compiled_is_named(formula: sp.Expr) -> None:
    with pytest.raises(ModelError, match=r"erf|gamma|nobody"):
        outputs(formula)


def test_jacobian_matches_differences() -> None:
    kernels = compile_equations(HIRES.equations)
    y = np.linspace(0.01, 0.4, 8)
    jacobian = kernels.jacobian(0.0, y, [])
    for j in range(8):
        step = np.zeros(8)
        step[j] = 1e-4 * y[j]
        slope = (kernels.rhs(0.0, y + step, []) - kernels.rhs(0.0, y - step, [])) / (2 * step[j])
        assert jacobian[:, j] == pytest.approx(slope, rel=1e-8, abs=1e-8)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> sp.Expr:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([X, Y, A, B, sp.Integer(2), sp.Float("0.3")]))
    kind = draw(st.sampled_from(["add", "mul", "sub", "div", "exp", "log", "hill", "pow", "min", "piece"]))
    one, two = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    return {
        "add": lambda: one + two,
        "sub": lambda: one - two,
        "mul": lambda: one * two,
        "div": lambda: one / (1 + two**2),
        "exp": lambda: sp.exp(-(one**2) / 50),
        "log": lambda: sp.log(1 + two**2),
        "hill": lambda: X**A / (B**A + X**A) * one,
        "pow": lambda: (1 + one**2) ** (B / 7),
        "min": lambda: sp.Min(one, two),
        "piece": lambda: sp.Piecewise((one, X > Y), (two, True)),
    }[kind]()


def by_sympy(formula: sp.Expr, point: dict[sp.Symbol, float | sp.Float]) -> sp.Float:
    """The witness's value in 30 digits; at an exact tie sympy cannot tell the sides of a minimum apart."""
    try:
        return formula.evalf(30, subs=point)
    except ValueError as error:
        assert "not comparable" in str(error)
        reject()


@settings(max_examples=60)
@given(expressions(), st.floats(0.1, 5), st.floats(0.1, 5), st.floats(0.1, 3), st.floats(0.1, 3))
def test_any_expression_and_its_gradient_match_sympy(
    formula: sp.Expr, x: float, y: float, a: float, b: float
) -> None:
    equations = Equations(
        ("x", "y"), ("a", "b"), (formula, formula * Y), (sp.Integer(1),) * 2, (formula,), ("o",)
    )
    kernels = compile_equations(equations)
    point = {X: x, Y: y, A: a, B: b}
    value = float(by_sympy(formula, point))
    scale = 1 + abs(value)
    assert kernels.outputs(0.0, [x, y], [a, b])[0] == pytest.approx(value, rel=1e-10, abs=1e-10)
    slopes = kernels.jacobian(0.0, [x, y], [a, b])[0]
    for j, v in enumerate((X, Y)):
        h = sp.Float(10, 30) ** -8
        ahead = by_sympy(formula, {**point, v: sp.Float(point[v], 30) + h})
        behind = by_sympy(formula, {**point, v: sp.Float(point[v], 30) - h})
        both = by_sympy(formula, point)
        left, right = float((both - behind) / h), float((ahead - both) / h)
        if abs(left - right) < 1e-6 * (1 + abs(left)):  # not at a kink
            assert slopes[j] == pytest.approx((left + right) / 2, rel=1e-5, abs=1e-6 * scale)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_all_widths_compute_the_same(width: int) -> None:
    equations = system(
        {"x": "-k*x**n/(1 + x**n) + exp(-y)", "y": "tanh(x) - floor(y)*0.1"}, "k n", x=1.0, y=2.0
    )
    kernels = compile_equations(equations)
    unit = kernels.unit(width)
    w, lay = unit.workspace(), unit.layout
    rng = np.random.default_rng(3)
    p, y = rng.uniform(0.5, 2, (2, width)), rng.uniform(0.5, 2, (2, width))
    w[lay["p"] : lay["p"] + 2 * width], w[lay["y"] : lay["y"] + 2 * width] = p.ravel(), y.ravel()
    unit.call("prepare", w)
    w[lay["ys"] : lay["ys"] + 2 * width] = y.ravel()
    unit.call("modes", w)  # what floors of states are, held during a step
    w[lay["y"] + 4 * width : lay["y"] + 5 * width] = w[lay["modes"] : lay["modes"] + width]
    unit.call("rhs", w)
    found = w[lay["f"] : lay["f"] + 2 * width].reshape(2, width)
    for lane in range(width):
        assert found[:, lane] == pytest.approx(kernels.rhs(0.0, y[:, lane], p[:, lane]), rel=1e-14)


def test_equal_equations_share_kernels() -> None:
    one = system({"x": "-k*x"}, "k", x=1.0)
    other = system({"x": "-k*x"}, "k", x=1.0)
    assert one is not other
    assert compile_equations(one) is compile_equations(other)
