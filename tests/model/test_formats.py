"""Models survive the road through Antimony and SBML, and mean the same to libRoadRunner and scipy."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import roadrunner
import sympy as sp
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import cellsim as cs
from cellsim.cli.commands import main
from cellsim.errors import ModelError
from cellsim.library import model_file
from cellsim.model.antimony import antimony_to_sbml, outdated
from cellsim.model.formulas import formula_text, parse_formula
from cellsim.model.model import TIME, Event, Model, Parameter, load_model
from cellsim.model.notes import tidy

roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)


def value_of(expression: sp.Basic, values: dict[str, float]) -> float:
    """Sympy's own arithmetic, independent of any compiled kernel."""
    return float(sp.N(expression.xreplace({sp.Symbol(name): sp.Float(v) for name, v in values.items()})))


def follow(model: Model, times: np.ndarray) -> dict[str, np.ndarray]:
    """Scipy on the equations as they were read; models without events."""
    constants = {p.name: p.value for p in model.parameters}
    names = [s.name for s in model.states]

    def everything(t: float, y: np.ndarray) -> dict[str, float]:
        values = constants | dict(zip(names, map(float, y))) | {TIME.name: t}
        for each in model.assignments:
            values[each.name] = value_of(each.formula, values)
        return values

    def rates(t: float, y: np.ndarray) -> list[float]:
        values = everything(t, y)
        return [value_of(s.rate, values) for s in model.states]

    start = [value_of(s.initial, constants) for s in model.states]
    solved = solve_ivp(rates, (times[0], times[-1]), start, "LSODA", t_eval=times, rtol=1e-8, atol=1e-10)
    rows = [everything(t, y) for t, y in zip(times, solved.y.T)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def run(sbml: str, selections: list[str], times: np.ndarray) -> dict[str, np.ndarray]:
    runner = roadrunner.RoadRunner(sbml)
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-10, 1e-12
    runner.timeCourseSelections = ["time", *selections]
    found = np.array(runner.simulate(times[0], times[-1], len(times)))
    return {name: found[:, i + 1] for i, name in enumerate(selections)}


# each story: Antimony text, and what libRoadRunner calls our quantity when it is a concentration
STORIES = {
    "enzyme": (
        "S1 -> S2; vmax*S1/(Km + S1); S2 -> ; k*S2; S1 = 10; S2 = 0; vmax = 3; Km = 2; k = 0.4",
        {"S1": "[S1]", "S2": "[S2]"},
    ),
    "two compartments": (
        """compartment blood = 5, tissue = 20; species B in blood = 3, T in tissue = 0
        back: T => B; k2*T*tissue; forth: B -> T; k1*B*blood; k1 = 0.7; k2 = 0.1
        total := B*blood + T*tissue""",
        {"B": "[B]", "T": "[T]", "total": "total", "forth": "forth"},
    ),
    "amounts": (
        """compartment c = 4; substanceOnly species A in c = 8, B in c = 1
        2 A -> 3 B; k*A*B; k = 0.05""",
        {"A": "A", "B": "B"},
    ),
    "initial amount of a concentration": (
        "compartment c = 4; species A in c; A = 8/c; A -> ; k*A*c; k = 0.3; amount := A*c",
        {"A": "[A]", "amount": "amount"},
    ),
    "boundary": (
        "$S -> P; k*S; S = 2; P = 0; k = 0.3; const $F; F = 3; F -> P; k*F*0.1"
        "; $G = 1; G' = -0.2*G; G -> P; G*k",
        {"S": "[S]", "P": "[P]", "F": "[F]", "G": "[G]"},
    ),
    "functions": (
        """function hill(x, K, n)
          x^n/(K^n + x^n)
        end
        function twice(x, y)
          hill(x, y, 2) + hill(y, x, 2)
        end
        model *m()
          x = 1; x' = hill(y, x, 3) - 0.1*x; y = 2; y' = -0.3*y*twice(y, x)
        end""",
        {"x": "x", "y": "y"},
    ),
    "piecewise and time": (
        """x = 1; x' = piecewise(-0.5, time < 1, 0.25*x, x < 2 && time < 4, 0)
        late := piecewise(1, time >= 3, 0)
        top := max(x, 1, late); low := min(x, 0.7)""",
        {"x": "x", "late": "late", "top": "top", "low": "low"},
    ),
    "constants worked out at the start": (
        "a = 2; b = a*3; c = b + x; x = b/2; x' = -k*x; k = ln(2)/c; y = x; y' = c - y; m := x + c",
        {"x": "x", "y": "y", "c": "c", "m": "m", "k": "k"},
    ),
    "names that sympy knows": (
        "E = 1; S = 2; N = 3; I = 4; Q = 5; beta = 0.1; zeta = 2; lambda = 0.3; O = 1; C = 2"
        "; E' = -beta*E*S*I; S' = N - zeta*S; I' = lambda - I*Q*0.1 + O - C; R := E + N + I + Q"
        "; pi2 := pi*exponentiale",
        {"E": "E", "S": "S", "I": "I", "R": "R", "pi2": "pi2"},
    ),
}


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_equations_read_back_match_roadrunner_on_the_original(story: str) -> None:
    text, selections = STORIES[story]
    times = np.linspace(0, 6, 13)
    original = antimony_to_sbml(text)
    model = load_model(text)
    ours = follow(model, times)
    theirs = run(original, list(selections.values()), times)
    ours_by_roadrunner = run(model.to_sbml(), list(selections), times)
    for name, selection in selections.items():
        np.testing.assert_allclose(ours[name], theirs[selection], rtol=1e-5, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(
            ours_by_roadrunner[name], theirs[selection], rtol=1e-5, atol=1e-7, err_msg=name
        )


ALL_FUNCTIONS = """
    log(x); ln(x); log10(x); log(2, x); log(x, 2); exp(-x); sqrt(x); root(3, x); x^y^0.5; -x^2; x - y - 1;
    x/y/2; abs(-x); floor(x); ceil(x); sin(x); cos(x); tan(x); arcsin(x/9); arccos(x/9); arctan(x); sinh(x);
    cosh(x); tanh(x); sec(x); csc(x); cot(x); arcsinh(x); arctanh(x/9); arccosh(x); max(x, y); min(x, y, 1);
    factorial(4); pi*x; exponentiale^x; time + 1; x % y; -x % y; pow(x, 2); sqr(x); x*(y > 2);
    piecewise(1, x > y, 2);
    piecewise(1, x == y, 2); piecewise(1, !(x > y), 2); piecewise(1, xor(x > 1, y > 1), 3); 1e-5*x; 6.02e23*x;
    piecewise(1, x > 2 && y > 9 || x > 1, 4); x*0.1; 1/3*x; exp(2/3); avogadro*x; quotient(7, 2); rem(-7, 2)
"""
FUNCTIONS = [formula.strip() for formula in ALL_FUNCTIONS.split(";")]


def test_every_function_means_what_it_means_to_antimony_and_roadrunner() -> None:
    """`log` and `ln` are both natural in Antimony; so they are here."""
    lines = "; ".join(f"f{i} := {formula}" for i, formula in enumerate(FUNCTIONS))
    text = f"x = 2.5; y = 1.75; {lines}"
    model = load_model(text)
    runner = roadrunner.RoadRunner(antimony_to_sbml(text))
    ours = {"x": 2.5, "y": 1.75, "time": 0.0}
    for i, formula in enumerate(FUNCTIONS):
        expected = runner[f"f{i}"]
        assert value_of(model[f"f{i}"].formula, ours) == pytest.approx(expected, rel=1e-12), formula
        assert value_of(parse_formula(formula), ours) == pytest.approx(expected, rel=1e-12), formula
    assert value_of(parse_formula("log(x)"), {"x": math.e}) == pytest.approx(1.0)


@pytest.mark.parametrize("formula", FUNCTIONS)
def test_formula_text_is_the_inverse(formula: str) -> None:
    expression = parse_formula(formula)
    assert parse_formula(formula_text(expression)) == expression


LEAVES = st.sampled_from(
    ["x", "y", "E", "S", "N", "I", "Q", "gamma", "beta", "2", "3", "0.1", "1e-05", "2.5e10", "time"]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(st.sampled_from("+-*/"), pair).map(lambda t: f"({t[1][0]}){t[0]}({t[1][1]})"),
        inner.map(lambda a: f"-({a})"),
        st.tuples(inner, st.sampled_from(["2", "3", "0.5", "-1", "y", "1/3"])).map(
            lambda t: f"({t[0]})^({t[1]})"
        ),
        st.tuples(st.sampled_from(["exp", "ln", "sqrt", "abs", "sin"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(inner, pair).map(lambda t: f"piecewise({t[0]}, x > {t[1][0]}, {t[1][1]})"),
        pair.map(lambda t: f"max({t[0]}, {t[1]})"),
    )


@given(st.recursive(LEAVES, _grow, max_leaves=8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_formula_text_is_the_inverse_of_any_formula(text: str) -> None:
    try:
        expression = parse_formula(text)
    except ModelError as trouble:
        assert "no real value" in str(trouble) or "too large" in str(trouble)
        return
    assume(not expression.has(sp.oo))
    again = parse_formula(formula_text(expression))
    assert again == expression or _same_number(again, expression)


NUMBERED = ["x", "y", "E", "S", "N", "I", "Q", "gamma", "beta", "time"]


def _same_number(one: sp.Expr, other: sp.Expr) -> bool:
    """Sympy folds floats as it meets them, so a coefficient may differ in its last digit."""
    values = {name: 0.3 + 0.1 * i for i, name in enumerate(NUMBERED)}
    a, b = (
        complex(sp.N(e.xreplace({sp.Symbol(n): sp.Float(v) for n, v in values.items()})))
        for e in (one, other)
    )
    return a == b or abs(a - b) <= 1e-12 * abs(a)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x +", "cannot be read"),
        ("x**2", "x\\^2"),
        ("hil(x)", "does not exist"),
        ("delay(x, 1)", "delay"),
        ("rateOf(x)", "rateOf"),
        ("", "empty"),
        ("3 mL", "followed by letters"),
        ("1e400", "too large"),
        ("9^9^9^9", "too large"),
        ("factorial(1e9)", "too large"),
        ("(" * 1000 + "x" + ")" * 1000, "nests"),
        ("sin(" * 150 + "x" + ")" * 150, "too deeply"),
        ("sin(x, y)", "one argument"),
        ("nan", "not a number"),
        ("1/0*x", "no real value"),
        ("sqrt(-1)*x", "no real value"),
        ("-" * 5000 + "x", "too deeply"),
        ("-".join(["x"] * 5000), "too deeply"),
        ("__import__('os')", "cannot be read|does not exist"),
    ],
)
def test_what_is_no_formula_is_refused_with_a_letter(text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        parse_formula(text, where="rate of x")


# ---------------------------------------------------------------- events


def test_dose_event_matches_the_closed_form_and_roadrunner() -> None:
    text = (
        "x = 8; x' = -k*x; k = ln(2); at (time >= 2): x = x + 10; y = 0; at (time >= 3), t0=false: y = y + x"
    )
    model = load_model(text)
    assert [each.name for each in model.states] == ["x", "y"]
    assert model["y"].rate == 0
    times = np.linspace(0, 5, 51)
    found = run(model.to_sbml(), ["x", "y"], times)
    clear = (np.abs(times - 2) > 1e-6) & (np.abs(times - 3) > 1e-6)
    expected = 8 * 0.5**times + np.where(times >= 2, 10 * 0.5 ** (times - 2), 0)
    np.testing.assert_allclose(found["x"][clear], expected[clear], rtol=1e-6)
    np.testing.assert_allclose(found["y"][clear], np.where(times >= 3, 6, 0)[clear], rtol=1e-6)
    np.testing.assert_allclose(run(antimony_to_sbml(text), ["x"], times)["x"], found["x"], rtol=1e-8)


def test_event_true_at_the_start_fires_only_when_told_so() -> None:
    model = load_model("x = 1; x' = 0; a: at (time >= 0): x = 5; y = 1; b: at (time >= 0), t0=false: y = 5")
    assert [event.initially for event in model.events] == [True, False]
    found = run(model.to_sbml(), ["x", "y"], np.linspace(0, 1, 3))
    assert found["x"][-1] == 1
    assert found["y"][-1] == 5


# ---------------------------------------------------------------- what is refused


CORE = "http://www.sbml.org/sbml/level3/version{}/core"


def _sbml(body: str, version: int = 1) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <sbml xmlns="{CORE.format(version)}" level="3" version="{version}"><model id="m">{body}</model></sbml>"""


MATH = '<math xmlns="http://www.w3.org/1998/Math/MathML">{}</math>'
ONE = '<listOfParameters><parameter id="x" value="1" constant="false"/></listOfParameters>'
PARAMETER = '<parameter id="{0}" value="1" constant="false"/>'

REFUSED = {
    "no value": ("x' = -k*x; x = 1", "k has no value"),
    "no start": ("x' = -x", "x has no value"),
    "circle": ("x := y + 1; y := x", "Loop"),
    "unit without definition": ("x = 1; x has dog", "dog"),
    "infinite": ("x = inf; y = 1; y' = x*y", "x has the value inf, and y uses it"),
    "infinite at the start": ("x = inf; x' = -x", "x has no value"),
    "no number": ("x = nan; y = 1; y' = x*y", "x has the value nan, and y uses it"),
    "algebraic rule": (
        _sbml(
            f"{ONE}<listOfRules><algebraicRule>"
            f"{MATH.format('<apply><minus/><ci>x</ci><cn>1</cn></apply>')}</algebraicRule></listOfRules>"
        ),
        "algebraic rule",
    ),
    "fast reaction": (
        _sbml(
            '<listOfCompartments><compartment id="c" size="1" constant="true"/></listOfCompartments>'
            '<listOfSpecies><species id="A" compartment="c" initialAmount="1" hasOnlySubstanceUnits="true" '
            'boundaryCondition="false" constant="false"/></listOfSpecies><listOfReactions>'
            '<reaction id="R1" reversible="false" fast="true"><listOfReactants><speciesReference species="A" '
            'stoichiometry="1" constant="true"/></listOfReactants><kineticLaw>'
            f"{MATH.format('<ci>A</ci>')}</kineticLaw></reaction></listOfReactions>"
        ),
        "R1 is fast",
    ),
    "delay function": (
        _sbml(
            f"{ONE}<listOfRules><rateRule variable='x'>"
            + MATH.format(
                '<apply><csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/delay">d</csymbol>'
                "<ci>x</ci><cn>1</cn></apply>"
            )
            + "</rateRule></listOfRules>"
        ),
        r"'delay', written as 'd', which",
    ),
    "unknown name": (
        _sbml(
            f"{ONE}<listOfRules><rateRule variable='x'>{MATH.format('<ci>kk</ci>')}</rateRule></listOfRules>"
        ),
        "uses 'kk'",
    ),
    "entities": ('<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "b">]><sbml/>', "DOCTYPE"),
    "no xml": ("<sbml><model", "SBML"),
    "no model": (
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"/>',
        "model",
    ),
    "needed package": (
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1" '
        'xmlns:multi="http://www.sbml.org/sbml/level3/version1/multi/version1" multi:required="true">'
        '<model id="m"/></sbml>',
        "needs the package 'multi'",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_cannot_be_carried_over_is_refused_by_name(case: str) -> None:
    text, said = REFUSED[case]
    with pytest.raises(ModelError, match=said):
        load_model(text)


def test_all_refusals_come_at_once() -> None:
    text = """x = 1; x' = -k*x; compartment c = 1; species A in c = 1; A -> ; A*q"""
    with pytest.raises(ModelError) as caught:
        load_model(text)
    said = str(caught.value)
    for what in ("k has no value", "q has no value"):
        assert what in said
    assert len(caught.value.problems) == 2


def test_syntax_error_tells_its_line() -> None:
    with pytest.raises(ModelError, match=r"Line 3: .*The line reads: x' = -k\*\*x"):
        load_model('x = 1\nx is "a ```b`` c"\nx\' = -k**x')
    with pytest.raises(ModelError, match="Line 5"):
        load_model("x = 1\nx notes ```one\n* two*\nthree```\nx' = = 3")


@pytest.mark.parametrize(
    "text",
    [
        'import "{file}"\nx = 1',
        'import"{file}"',
        'import /* so */ "{file}"',
        'import // so\n "{file}"',
        'x = 1; x is "```"; import "{file}" // ```',
        'IMPORT "{file}"',
        "import ```{file}```",
    ],
)
def test_text_cannot_make_antimony_read_a_file(text: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ant"
    secret.write_text("secret_number = 42\n")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for file in (str(secret), "secret.ant"):
            with pytest.raises(ModelError):
                load_model(text.format(file=file))
    finally:
        os.chdir(here)


def test_one_text_does_not_leak_into_the_next() -> None:
    load_model("model *first()\n x = 1; x' = -x\nend")
    second = load_model("model *second()\n y = 1; y' = -y\nend")
    assert (second.name, [each.name for each in second.states]) == ("second", ["y"])
    with pytest.raises(ModelError):
        load_model("model *third()\n z: first()\nend")


# ---------------------------------------------------------------- round trips

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=30)
# three backquotes end a long note in Antimony, so they cannot stand in one
NOTES = (
    st.one_of(st.just(""), st.lists(WORDS, max_size=3).map("\n".join))
    .map(tidy)
    .filter(lambda t: "```" not in t)
)
LABELS = WORDS.map(lambda text: " ".join(tidy(text).split())).filter(lambda text: not text.endswith("\\"))
UNITS = st.sampled_from(
    ["", "Mcell", "pg/mL", "U/mL", "1/day", "%", "mm/h", "dimensionless", "50e6 cell", "g/L", "cell"]
)
# libsbml writes 15 significant digits
VALUES = st.floats(-1e300, 1e300, allow_subnormal=False).map(
    lambda v: float(f"{v:.15g}") if abs(v) > 1e-300 else 0.0
)
NAMES = ["E", "S", "N", "I", "Q", "beta", "lambda", "x", "C", "O"]
FORMULAS = st.sampled_from(
    [
        "0",
        "-{0}*{1}",
        "{0}/({1} + 2)",
        "{0}^{1}",
        "exp(-{0}) + {1}^2.5",
        "ln({0} + 3) - 1e-05*{1}",
        "max({0}, {1}) - sqrt({1})",
        "piecewise({0}, {1} > 0.5, time)",
    ]
)


@st.composite
def small_models(draw: st.DrawFn) -> str:
    names = draw(st.permutations(NAMES))[:5]
    text = ["model *small()", '  model notes "a small model"']
    units = {"Mcell": "1e6 item", "per_day": "1/(86400 second)", "pg_per_mL": "1e-12 gram/(1e-3 litre)",
             "U_per_mL": "dimensionless/(1e-3 litre)", "percent": "1e-2 dimensionless"}  # fmt: skip
    text += [f"  unit {name} = {definition}" for name, definition in units.items()]
    text.append("  unit time_unit = 86400 second")
    for i, name in enumerate(names):
        formula = draw(FORMULAS).format(*draw(st.permutations(names))[:2])
        if i < 2:
            text.append(f"  {name}' = {formula}")
        if i == 2:
            text.append(f"  {name} := {draw(FORMULAS).format(names[0], names[3])}")
        else:
            text.append(f"  {name} = {draw(VALUES)!r}")
        text.append(f"  {name} has {draw(st.sampled_from([*units, 'dimensionless', 'item', 'second']))}")
        label, note = draw(LABELS), draw(NOTES)
        quoted = label.replace('"', '\\"')
        text.append(f'  {name} is "{quoted}"')
        text.append(f"  {name} notes ```{note} ```")
    if draw(st.booleans()):
        text.append(f"  at ({names[0]} > 2 && time < 5), t0=false: {names[0]} = {names[3]}*2, {names[1]} = 1")
    return "\n".join([*text, "end"])


@given(small_models())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_equations_units_labels_and_notes_survive_the_round_trip(text: str) -> None:
    model = load_model(text)
    assert load_model(model.to_antimony()) == model
    assert load_model(model.to_sbml()) == model


@given(LABELS, NOTES, UNITS, VALUES)
@settings(max_examples=40)
def test_any_label_note_unit_and_value_survive(label: str, note: str, unit: str, value: float) -> None:
    one = Parameter("k", value, unit, label, note)
    model = Model("m", parameters=(one,), time_unit="day", note=note)
    for again in (load_model(model.to_sbml()), load_model(model.to_antimony())):
        assert again.parameters == (one,)
        assert (again.note, again.time_unit) == (note, "day")


def test_notes_with_markup_survive_as_typed() -> None:
    note = 'k*E*T and x_i_j, <b>not bold</b> & "so" `on` # 1\n- a list, [link](x)'
    model = load_model(f"k = 1; k notes ```{note} ```")
    assert model["k"].note == note
    assert load_model(model.to_antimony())["k"].note == note


def test_events_survive_the_round_trip() -> None:
    model = load_model(
        "x = 1; x' = -x; k = 2; a: at (x < 0.5 || time > 3): x = x + k, k = 0; at (time > 1): k = 3"
    )
    assert len(model.events) == 2
    assert isinstance(model.events[0], Event)
    assert load_model(model.to_antimony()) == model
    assert load_model(model.to_sbml()) == model


def test_antimony_words_cannot_be_names_in_antimony() -> None:
    model = load_model("x = 1; x' = -g*x; g = 1")
    renamed = load_model(model.to_sbml().replace('"g"', '"gamma"').replace("> g <", "> gamma <"))
    assert renamed.states[0].rate == -sp.Symbol("gamma") * sp.Symbol("x")
    assert load_model(renamed.to_sbml()) == renamed
    with pytest.raises(ModelError, match="gamma"):
        renamed.to_antimony()


def test_local_parameters_and_old_levels_are_read() -> None:
    text = """<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="old">
    <listOfCompartments><compartment id="c" size="2"/></listOfCompartments>
    <listOfSpecies><species id="A" compartment="c" initialConcentration="3"/></listOfSpecies>
    <listOfReactions><reaction id="R" reversible="false"><listOfReactants><speciesReference species="A"/>
    </listOfReactants><kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci>
    <ci>A</ci><ci>c</ci></apply></math><listOfParameters><parameter id="k" value="0.5"/></listOfParameters>
    </kineticLaw></reaction></listOfReactions></model></sbml>"""
    model = load_model(text)
    assert model["R_k"].value == 0.5
    times = np.linspace(0, 3, 7)
    np.testing.assert_allclose(follow(model, times)["A"], 3 * np.exp(-0.5 * times), rtol=1e-6)
    np.testing.assert_allclose(run(text, ["[A]"], times)["[A]"], 3 * np.exp(-0.5 * times), rtol=1e-6)


def test_shipped_sbml_says_what_its_antimony_says() -> None:
    assert outdated() == []


@pytest.mark.parametrize("name", ["cytopenia", "persistence", "persistence_cytokine", "sjogren_rfib"])
def test_shipped_models_survive_both_ways(name: str) -> None:
    model = load_model(name)
    assert load_model(model.to_antimony()) == model
    assert load_model(model.to_sbml()) == model
    assert antimony_to_sbml(model_file(name).read_text()) == antimony_to_sbml(model_file(name).read_text())


@pytest.mark.parametrize("name", ["cytopenia", "persistence", "persistence_cytokine", "sjogren_rfib"])
def test_rates_of_shipped_models_match_roadrunner_on_the_shipped_sbml(name: str) -> None:
    model = load_model(name)
    runner = roadrunner.RoadRunner(model_file(name).with_suffix(".xml").read_text(encoding="utf-8"))
    chance = np.random.default_rng(20231006)
    values = {each.name: each.value for each in model.parameters} | {TIME.name: 0.0}
    for state in model.states:
        values[state.name] = float(chance.uniform(0.1, 3.0))
        runner.setValue(state.name, values[state.name])
    for each in model.assignments:
        values[each.name] = value_of(each.formula, values)
        assert runner.getValue(each.name) == pytest.approx(values[each.name], rel=1e-10), each.name
    for state in model.states:
        assert runner.getValue(f"{state.name}'") == pytest.approx(
            value_of(state.rate, values), rel=1e-9, abs=1e-12
        ), state.name


def test_the_command_converts_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Witness: libRoadRunner runs what was written, and the model that comes back is the one that went."""
    source, target = tmp_path / "decay.ant", tmp_path / "decay.xml"
    source.write_text(
        "x = 10; x' = -k*x + boost*y; y := 1 + sin(time); k = 0.5; boost = 0.2; late: at (time > 2): k = 0.1"
    )
    assert main(["convert", str(source), str(target)]) == 0
    assert capsys.readouterr().out == f"wrote {target}\n"
    times = np.linspace(0.0, 5.0, 6)
    theirs = run(target.read_text(), ["x"], times)["x"]
    assert main(["convert", str(target), str(tmp_path / "back.ant")]) == 0
    ours = [
        cs.simulate(load_model(tmp_path / each), cs.Schedule(), times, rtol=1e-10)["x"]
        for each in ("decay.ant", "back.ant")
    ]
    assert np.asarray(ours[0]) == pytest.approx(theirs, rel=1e-6)
    assert np.asarray(ours[1]) == pytest.approx(theirs, rel=1e-6)
    assert load_model(tmp_path / "back.ant") == load_model(target)
    capsys.readouterr()
    assert main(["convert", str(source)]) == 0 and "stands there already" in capsys.readouterr().out


def test_what_cannot_be_converted_is_said_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.ant"
    bad.write_text("x = = 10")
    for words, said in (
        ([str(tmp_path / "absent.ant")], "absent.ant cannot be read"),
        ([str(bad)], "bad.ant"),
        (
            [str(bad), str(tmp_path / "other.ant")],
            "are both Antimony by their names; call the second other.xml",
        ),
        (
            [str(tmp_path / "a.xml"), str(tmp_path / "b.sbml")],
            "are both SBML by their names; call the second b.ant",
        ),
    ):
        assert main(["convert", *words]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "bad.xml").exists()
