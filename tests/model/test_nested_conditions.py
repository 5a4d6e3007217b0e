"""Conditions inside conditions and conditions used as numbers: values, triggers, sensitivities, and text both ways."""

import numpy as np
import pytest
import roadrunner

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.errors import ModelError
from cellsim.model.antimony import antimony_to_sbml
from cellsim.solver.integration import integrate

roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)

NONE = cs.Schedule()
DAYS = np.array([0.25, 1.5, 2.5, 4.5, 5.25, 7.5])
CONDITIONS = {  # with x = time; what holds there, told in Python
    "abs(x - 5) < 1": lambda x: abs(x - 5) < 1,
    "abs(time - 5) < 1": lambda x: abs(x - 5) < 1,
    "abs(abs(x - 4) - 2) < 1": lambda x: abs(abs(x - 4) - 2) < 1,
    "x % 2 < 1": lambda x: x % 2 < 1,
    "(x - 6) % 2 > -0.6": lambda x: np.fmod(x - 6, 2) > -0.6,  # the sign of the dividend, as in C
    "piecewise(x > 1, x > 3, x < 0.5)": lambda x: x > 1 if x > 3 else x < 0.5,
    "piecewise(piecewise(x > 5, x > 2, x < 1), x < 7, x > 9)": lambda x: (
        (x > 5 if x > 2 else x < 1) if x < 7 else x > 9
    ),
    "piecewise(x, x > 2) > 3": lambda x: x > 3,  # undefined below 2: what is no number is not greater
    "xor(x > 1, x > 6)": lambda x: (x > 1) != (x > 6),
    "xor(x > 1, x > 2, x > 5)": lambda x: sum(map(int, (x > 1, x > 2, x > 5))) % 2 == 1,
    "xor(xor(x > 1, abs(x - 5) < 1), x > 2)": lambda x: ((x > 1) != (abs(x - 5) < 1)) != (x > 2),
    "implies(x > 1, x > 5)": lambda x: not x > 1 or x > 5,
    "!(abs(x - 5) < 1)": lambda x: not abs(x - 5) < 1,
    "1 < x && x < 3 || !(x < 5)": lambda x: 1 < x < 3 or x >= 5,
    "lt(1, x, 5)": lambda x: 1 < x < 5,
    "(x > 1) == (x > 3)": lambda x: (x > 1) == (x > 3),
    "(x > 1) != (x > 3)": lambda x: (x > 1) != (x > 3),
    "((x > 1)) == 1": lambda x: x > 1,
    "(x > 1 && x < 5) == (x > 3)": lambda x: (1 < x < 5) == (x > 3),
    "and(x > 1, x < 5) == (x > 3)": lambda x: (1 < x < 5) == (x > 3),
    "(x < 3) < (x < 5)": lambda x: (x < 3) < (x < 5),
    "(x > 1) + (x > 2) + (x > 5) == 2": lambda x: sum(map(int, (x > 1, x > 2, x > 5))) == 2,
    "max(x, 3) > 4": lambda x: max(x, 3) > 4,
    "min(x, abs(x - 10)) > 4": lambda x: min(x, abs(x - 10)) > 4,
    "floor(x/2) == 2": lambda x: np.floor(x / 2) == 2,
    "floor(x) - 2": lambda x: np.floor(x) != 2,
    "true": lambda x: True,
}


def read(text: str, name: str, days: np.ndarray, solver: str = "rodas") -> np.ndarray:
    return cs.simulate(cs.load_model(text), NONE, days, outputs=[name], solver=solver)[name]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds_where_python_says(condition: str) -> None:
    text = f"x = 0; x' = 1; y := piecewise(3, {condition}, 2)"
    right = [3.0 if CONDITIONS[condition](x) else 2.0 for x in DAYS]
    assert read(text, "y", DAYS).tolist() == right
    model = cs.load_model(text)
    for written in (model.to_sbml(), model.to_antimony()):
        assert read(written, "y", DAYS).tolist() == right
    runner = roadrunner.RoadRunner(model.to_sbml())
    runner.timeCourseSelections = ["time", "y"]
    if condition.startswith("piecewise(x, x > 2)"):
        return  # libRoadRunner gives an undefined piecewise term the value 0
    seen = np.array(runner.simulate(0.0, 7.5, 31))
    assert [seen[int(4 * x), 1] for x in DAYS] == right


# the condition, and the value of x at which it first turns from false to true
TRIGGERS = {
    "abs(x - 5) < 1": 4.0,
    "xor(x > 1, x > 6)": 1.0,
    "x % 3 > 2": 2.0,
    "piecewise(x > 1, x > 3, x > 8)": 3.0,
    "floor(x/2) >= 1": 2.0,
    "ceil(x) > 2": 2.0,
    "(x > 1) + (x > 2) == 2": 2.0,
    "implies(x > 1, x > 5) && x > 0.5 && x > 2": 5.0,
    "piecewise(1, x > 2, 0)": 2.0,
    "max(x, 3) > 4": 4.0,
}


@pytest.mark.parametrize("condition", TRIGGERS)
def test_an_event_fires_and_moves_with_the_parameter_as_the_closed_form_says(condition: str) -> None:
    # x = k t reaches the value at t = value/k; there y takes this day
    text = f"x = 0; x' = k; k = 0.9; y = 0; y' = 0; at ({condition}): y = y + time*(1 - min(y, 1))"
    model, day = cs.load_model(text), TRIGGERS[condition] / 0.9
    kernels = compile_equations(equations_of(model, ("y",)))
    found = integrate(kernels, [0.9], times=[day + 0.05], directions=["k"])
    assert found.outputs[0, 0, 0] == pytest.approx(day, rel=1e-6)
    assert found.sensitivities is not None
    assert found.sensitivities[0, 0, 0, 0] == pytest.approx(-day / 0.9, rel=1e-6)
    assert read(text, "y", np.array([day + 0.05]), "scipy")[0] == pytest.approx(day, rel=1e-5)
    for written in (model.to_sbml(), model.to_antimony()):
        assert read(written, "y", np.array([day + 0.05]))[0] == pytest.approx(day, rel=1e-6)


@pytest.mark.parametrize("condition", [each for each in CONDITIONS if "time" not in each])
def test_the_slope_of_an_observable_is_that_of_the_piece_that_holds(condition: str) -> None:
    kernels = compile_equations(
        equations_of(cs.load_model(f"x = 0; x' = k; k = 1; y := piecewise(k*x, {condition}, x)"), ("y",))
    )
    found = integrate(kernels, [1.0], times=DAYS, directions=["k"]).sensitivities
    assert found is not None  # k x = k^2 t has the slope 2 t, and x the slope t
    right = [2 * x if CONDITIONS[condition](x) else x for x in DAYS]
    assert found[0, :, 0, 0] == pytest.approx(right, rel=1e-9)


FUNCTIONS = """
function pick(c)
  piecewise(2, c, 1)
end
function more(c)
  c + 1
end
function both(a, b)
  a && pick(b) > 1
end
function same(c)
  c
end
"""


@pytest.mark.parametrize(
    ("formula", "below", "above"),
    [
        ("pick(x > 0.5)", 1, 2),
        ("pick(!(x > 0.5))", 2, 1),
        ("pick(x)", 2, 2),  # a number is true unless 0
        ("pick(x - x)", 1, 1),
        ("more(x > 0.5)", 1, 2),  # a condition counts 1 or 0
        ("more(pick(x > 0.5))", 2, 3),
        ("both(x > 0.5, x)", 0, 1),
        ("both(x, x > 0.5)", 0, 1),
        ("pick(same(x > 0.5))", 1, 2),
        ("same(x > 0.5)*3", 0, 3),
        ("pick(c)", 1, 2),
        ("piecewise(4, c, 3)", 3, 4),
        ("(x > 0.5)*2 + (x > 0.1)", 1, 3),
        ("max(x > 0.5, 0.3)", 0.3, 1),
        ("exp(x > 0.5)", 1, np.e),
        ("-(x > 0.5)", 0, -1),
        ("(x > 0.5)^2", 0, 1),
        ("c && c", 0, 1),
    ],
)
def test_conditions_and_numbers_stand_for_each_other_as_in_sbml(
    formula: str, below: float, above: float
) -> None:
    """SBML Level 3 Version 2, section 3.4.9: true is 1, false 0, and a number is true unless 0."""
    text = f"{FUNCTIONS}\nmodel m()\n x = 0; x' = 1; c := x > 0.5; y := {formula}\nend"
    right = pytest.approx([below, above], rel=1e-12)
    assert read(text, "y", np.array([0.25, 0.75])).tolist() == right
    assert read(cs.load_model(text).to_sbml(), "y", np.array([0.25, 0.75])).tolist() == right
    runner = roadrunner.RoadRunner(antimony_to_sbml(text))
    runner.timeCourseSelections = ["y"]
    if "max" not in formula:  # libRoadRunner cannot compile max of a condition
        assert np.array(runner.simulate(0.0, 0.75, 4))[[1, 3], 0].tolist() == right


def test_a_condition_of_too_many_pieces_is_refused_with_what_to_do() -> None:
    sums = " + ".join(f"abs(x - {i})" for i in range(12))
    with pytest.raises(ModelError, match=r"formula of y compares more than 256 .* names of their own"):
        cs.load_model(f"x = 0; x' = 1; y := piecewise(1, {sums} < 9, 0)")


def test_whole_parts_of_quotients_are_exact() -> None:
    """49*(1/49) is less than 1 in doubles; the quotient of the whole numbers is not."""
    whole = [n for n in range(1, 200) if n * (1 / n) < 1]
    assert 49 in whole
    model = "; ".join(f"q{n} := quotient(x*{n}, {n}) + rem(x*{n}, {n})" for n in whole)
    seen = cs.simulate(cs.load_model(f"x = 3; x' = 0; {model}"), NONE, [0.0])
    assert [seen[f"q{n}"][0] for n in whole] == [3.0] * len(whole)


SIZES = {  # formula of time, the same in Python
    "log10(1 + abs(piecewise(time, time > 1.83, 1.83)))": lambda t: np.log10(1 + max(t, 1.83)),
    "log10(1 + abs(piecewise(pi, time > 1, time, pi > 1, 0.4)))": lambda t: np.log10(1 + (np.pi if t > 1 else t)),
    "quotient(log(1 + abs(piecewise(time, time > 3, 20))), 0.7)": lambda t: np.trunc(np.log(1 + (t if t > 3 else 20)) / 0.7),
    "tanh(sqrt(abs(time)))": lambda t: np.tanh(np.sqrt(t)),
    "sqrt(abs(time - 2))": lambda t: abs(t - 2) ** 0.5,
    "arctan(sqrt(abs(time - 2))*2 - 1)": lambda t: abs(np.arctan(abs(t - 2) ** 0.5 * 2 - 1)),
}  # fmt: skip


@pytest.mark.parametrize("formula", SIZES)
def test_the_size_of_what_has_conditions_or_roots_in_it_is_read(formula: str) -> None:
    """Witness: the same in Python. Sympy finds no value for a piece that never holds, and a root has no slope at zero."""
    found = cs.simulate(cs.load_model(f"x = 0; x' = 1; y := abs({formula})"), NONE, DAYS, start=0.0)["y"]
    assert found == pytest.approx([SIZES[formula](t) for t in DAYS], abs=1e-12)
