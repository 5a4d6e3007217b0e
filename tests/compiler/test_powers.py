"""Powers, roots and whole parts at their edges, against mpmath; what has no real value is refused by name and day."""

import mpmath
import numpy as np
import pytest

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.errors import ModelError, SimulationError
from cellsim.solver.integration import integrate

NONE = cs.Schedule()
SOLVERS = ("rodas", "scipy")


def value(text: str, solver: str = "rodas", name: str = "y", day: float = 1.0) -> float:
    return float(cs.simulate(cs.load_model(text), NONE, [day], solver=solver, outputs=[name])[name][0])  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("base", "exponent"),
    [
        (-2, 2),
        (-2, 3),
        (-2, 1),
        (-2, -1),
        (-2, -2),
        (-0.5, 101),
        (-2, 100),
        (-1, 1e6),
        (3, 2),
        (2, 0.5),
        (0, 2),
        (0, 0.5),
        (0, 0),
    ],
)
def test_a_power_of_a_parameter_is_what_mpmath_says(base: float, exponent: float, solver: str) -> None:
    right = float(mpmath.power(base, exponent))
    moving = f"x = {base}; p = {exponent}; x' = 0; y := x^p"
    still = f"x = 1; x' = 0; b = {base}; p = {exponent}; y := b^p"
    negated = f"x = {base}; p = {-exponent}; x' = 0; y := x^(-p)"
    written = f"x = {base}; x' = 0; y := x^({exponent})"
    for text in (moving, still, negated, written):
        assert value(text, solver) == pytest.approx(right, rel=1e-12, abs=1e-60)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "formula",
    ["x^p", "x^0.5", "x^1.5", "x^0.3", "sqrt(x)", "log(x)", "root(3, x)", "(2*x - 1)^p", "x^(1/b)", "q^p"],
)
def test_what_has_no_real_value_is_refused_with_name_and_day(formula: str, solver: str) -> None:
    text = f"x = -2; x' = 0; p = 0.5; b = 3; q = -1; y := {formula}"
    with pytest.raises(SimulationError, match="y is not a number on day 1"):
        value(text, solver)


@pytest.mark.parametrize(
    "formula", ["x^-0.5", "x^q", "x^-2", "b/x", "log(x)", "b/c", "c^q", "log(1 + exp(800 + x))"]
)
def test_what_is_infinite_is_refused_with_name_and_day(formula: str) -> None:
    with pytest.raises(SimulationError, match="y is infinite on day 1"):
        value(f"x = 0; x' = 0; b = 3; c = 0; q = -0.5; y := {formula}")


@pytest.mark.parametrize(
    "formula", ["x % 0", "rem(x, 0)", "quotient(x, 0)", "x % (0*b)", "0*log(0)", "0*(b/0)"]
)
def test_nothing_is_left_of_a_division_by_zero_written_out(formula: str) -> None:
    """As where the zero is a parameter: x % b with b = 0."""
    with pytest.raises(ModelError, match="no real value"):
        cs.load_model(f"x = 1; x' = 0; b = 0; y := {formula}")
    with pytest.raises(SimulationError, match="y is not a number on day 1"):
        value("x = 1; x' = 0; b = 0; y := x % b")


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_rate_without_a_real_value_ends_the_run_where_it_begins(solver: str) -> None:
    """x = 1 - t; sqrt(x) has no value after day 1. Before it y' = x^p gives 2/3 (1 - x^(3/2))."""
    text = "x = 1; x' = -1; p = 0.5; y = 0; y' = x^p"
    assert value(text, solver, day=0.5) == pytest.approx(2 / 3 * (1 - 0.5**1.5), rel=1e-5)
    with pytest.raises(SimulationError, match=r"carried past day 1\.\d+: a (value|rate) is no"):
        value(text, solver, day=2.0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_whole_power_goes_on_through_zero(solver: str) -> None:
    """x = 1 - t, y' = x^3: y = (1 - x^4)/4, on both sides of zero."""
    text = "x = 1; x' = -1; p = 3; y = 0; y' = x^p"
    for day in (0.5, 1.5, 2.5):
        assert value(text, solver, day=day) == pytest.approx((1 - (1 - day) ** 4) / 4, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e8])
def test_what_error_control_leaves_below_zero_counts_as_zero(size: float, solver: str) -> None:
    """x' = -2 sqrt(size x) is empty on day 1, x = size (1 - t)^2, and stays so."""
    text = f"x = {size}; k = {2 * np.sqrt(size)}; p = 0.5; x' = -k*x^p"
    assert value(text, solver, "x", 0.5) == pytest.approx(size * 0.25, rel=1e-4)
    assert abs(value(text, solver, "x", 3.0)) < 1e-4 * size


def test_slopes_of_a_power_are_those_of_the_closed_form() -> None:
    """d x^p/dx = p x^(p - 1) on both sides of zero; by the exponent x^p log(x), and nothing where x is negative."""
    model = cs.load_model("x = a; a = 2; p = 2; x' = 0; y := x^p")
    kernels = compile_equations(equations_of(model, ("y",)))
    for a in (2.0, -3.0):
        found = integrate(kernels, [a, 2.0], times=[1.0], directions=["a", "p"]).sensitivities
        assert found is not None
        assert found[0, 0, 0, 0] == pytest.approx(2 * a, rel=1e-12)
        if a > 0:
            assert found[0, 0, 0, 1] == pytest.approx(a**2 * np.log(a), rel=1e-12)
        else:
            assert np.isnan(found[0, 0, 0, 1])


def test_powers_of_one_base_share_its_logarithm() -> None:
    """Rates are c_i x^p_i: one logarithm for all, and at zero each is what mpmath says of its own exponent."""
    exponents = (-0.5, 0.0, 0.3, 2.7)
    names = [f"p{i}" for i in range(len(exponents))]
    text = "x = a; a = 2; x' = 0;" + "".join(
        f"{name} = {value}; y{name} = 0; y{name}' = x^{name};"
        for name, value in zip(names, exponents, strict=True)
    )
    kernels = compile_equations(equations_of(cs.load_model(text), ("x",)))
    system = kernels.system
    assert [system.graph.ops[node] for node in system.graph.reachable(system.rates)].count("log") == 1
    p = [
        {"a": 2.0, **dict(zip(names, exponents, strict=True))}[name] for name in kernels.equations.parameters
    ]
    for x in (2.0, 1e-200, 0.0):
        right = [float(mpmath.power(x, e)) if x or e >= 0 else np.inf for e in exponents]
        found = kernels.rhs(0.0, [x, 0.0, 0.0, 0.0, 0.0], p)[1:]
        if 0 < x < 1e-140:  # zero for a base, whose negative power is infinite
            right[0] = np.inf
        assert found == pytest.approx(right, rel=1e-12, abs=1e-40)


@pytest.mark.parametrize(
    ("formula", "right"),
    [
        ("x % 2", -1.5),  # the sign of the dividend, as in C and in libsbml
        ("rem(x, 2)", -1.5),
        ("quotient(x, 2)", -3.0),
        ("floor(x)", -8.0),
        ("ceil(x)", -7.0),
        ("abs(x)", 7.5),
        ("arctan(x)", float(mpmath.atan(-7.5))),
        ("arcsinh(x)", float(mpmath.asinh(-7.5))),
        ("sec(x)", float(mpmath.sec(-7.5))),
        ("arccot(x)", float(mpmath.acot(-7.5))),
        ("coth(x)", float(mpmath.coth(-7.5))),
    ],
)
def test_functions_of_a_negative_number_are_what_mpmath_says(formula: str, right: float) -> None:
    assert value(f"x = -7.5; x' = 0; y := {formula}") == pytest.approx(right, rel=1e-14)
