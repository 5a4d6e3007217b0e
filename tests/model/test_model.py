"""A model changes by making siblings, and says what is wrong with it in a pharmacologist's words."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsim.errors import ModelError
from cellsim.library import model_file, shipped_models
from cellsim.model.model import Assignment, Model, Parameter, State, load_model

DECAY = """
model decay()
  unit day = 86400 second; unit time_unit = day; unit per_day = 1/day; unit Mcell = 1e6 item
  x = 10; x has Mcell; x is "cells"
  x' = -loss
  loss := k*x; loss has Mcell_per_day; unit Mcell_per_day = 1e6 item/(86400 second)
  half := 0.5*total; half has Mcell
  total := x + x0; total has Mcell
  x0 = 2; x0 has Mcell; k = 0.5; k has per_day; k notes "V: somebody 2020"
  late: at (time > t_late): x = x0
  t_late = 3; t_late has day
end
"""


@pytest.fixture
def decay() -> Model:
    return load_model(DECAY)


def symbols(text: str) -> list[sp.Symbol]:
    return [sp.Symbol(name) for name in text.split()]


# ---------------------------------------------------------------- siblings


def test_siblings_leave_the_original_untouched(decay: Model) -> None:
    again = load_model(DECAY)
    decay.with_values(k=3, x=7)
    decay.with_rate("loss", "k*x/(K + x)", K=(5.0, "Mcell"))
    decay.with_rate("x", "-k*x^2")
    decay.with_state("gone", "loss", unit="Mcell", scale=2)
    decay.without("half")
    assert decay == again
    with pytest.raises(dataclasses.FrozenInstanceError):
        decay.name = "other"  # type: ignore[misc]


def test_values_of_parameters_and_starts(decay: Model) -> None:
    changed = decay.with_values({"k": np.float64(2)}, x=3)
    assert changed["k"].value == 2.0
    assert type(changed["k"].value) is float
    assert changed["x"].initial == 3
    assert changed["k"].note == "V: somebody 2020"
    assert changed.with_values(k=0.5, x=10) == decay


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=30)
def test_last_value_wins_and_order_does_not_matter(one: float, other: float) -> None:
    model = Model(
        "m", (State("x", sp.Integer(1), -sp.Symbol("k")),), (Parameter("k", 1.0), Parameter("q", 2.0))
    )
    assert model.with_values(k=one).with_values(k=other) == model.with_values(k=other)
    assert model.with_values(k=one).with_values(q=other) == model.with_values(q=other, k=one)


def test_all_wrong_values_are_told_at_once(decay: Model) -> None:
    with pytest.raises(ModelError) as caught:
        decay.with_values(kk=1, loss=2, k=float("nan"), x="many", x0=float("inf"))
    said = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "Did you mean 'k'" in said
    assert "loss is computed" in said
    assert "k = nan is not a finite number" in said
    assert "x = 'many'" in said


def test_a_new_rate_brings_its_parameters(decay: Model) -> None:
    x, k, K = symbols("x k K")
    changed = decay.with_rate("loss", "k*x/(K + x)", K=(5.0, "Mcell"))
    assert changed["loss"].formula == k * x / (K + x)
    assert changed["loss"].unit == "Mcell/day"
    assert changed["K"] == Parameter("K", 5.0, "Mcell")
    assert decay.with_rate("x", -k * x)["x"].rate == -k * x
    whole = Parameter("anything", 5.0, "Mcell", "half-saturation", "A: guess")
    assert decay.with_rate("loss", "k*x/(K + x)", K=whole)["K"].note == "A: guess"


def test_assignments_stand_in_an_order_that_works(decay: Model) -> None:
    order = [each.name for each in decay.assignments]
    assert order.index("total") < order.index("half")
    turned = decay.with_rate("total", "x + x0 + loss").with_rate("loss", "k*x")
    order = [each.name for each in turned.assignments]
    assert order.index("loss") < order.index("total") < order.index("half")
    with pytest.raises(ModelError, match=r"circle.*(half -> total|total -> half)"):
        decay.with_rate("total", "half + 1")


def test_a_formula_with_unknown_names_is_refused(decay: Model) -> None:
    with pytest.raises(ModelError, match=r"uses 'KK', which decay does not have.*KK=\.\.\."):
        decay.with_rate("loss", "k*x/(KK + x)")
    with pytest.raises(ModelError, match=r"no equation. Use with_values"):
        decay.with_rate("k", "2*x")
    with pytest.raises(ModelError, match="Did you mean 'loss'"):
        decay.with_rate("los", "k*x")
    with pytest.raises(ModelError, match="cannot be read"):
        decay.with_rate("loss", "k**x")
    with pytest.raises(ModelError, match="exists already"):
        decay.with_rate("loss", "k*x", k=3)


def test_a_new_state(decay: Model) -> None:
    grown = decay.with_state("gone", "loss - d*gone", 1.5, unit="Mcell", label="lost cells", d=(0.1, "1/day"))
    assert grown.states[-1].label == "lost cells"
    assert grown["gone"].initial == sp.Float(1.5)
    assert grown["d"].value == 0.1
    assert grown.check() == ()
    assert load_model(grown.to_antimony()) == grown
    assert grown.with_state("late", "0", "x0/2", unit="Mcell")["late"].initial == sp.Symbol("x0") / 2
    for name in ("x", "k", "loss"):
        with pytest.raises(ModelError, match="exists already"):
            decay.with_state(name, "0")
    for name in ("time", "pi", "2x", "a b", "", "µ"):
        with pytest.raises(ModelError, match="cannot name a quantity"):
            decay.with_state(name, "0")


def test_without_lists_who_still_needs_it(decay: Model) -> None:
    with pytest.raises(ModelError) as caught:
        decay.without("x0", "loss", "nothing")
    said = str(caught.value)
    assert "x0 is still used by total, event late" in said
    assert "loss is still used by x" in said
    assert "No quantity 'nothing'" in said
    smaller = decay.without("half", "total", "late", "x0", "t_late")
    assert [each.name for each in smaller.quantities] == ["x", "k", "loss"]
    assert smaller.events == ()
    with pytest.raises(ModelError, match=r"x is still used by .*event late"):
        decay.with_rate("x", "0").without("x")


def test_two_quantities_of_one_name_are_refused() -> None:
    with pytest.raises(ModelError, match="k is declared twice"):
        Model("m", parameters=(Parameter("k", 1.0), Parameter("k", 2.0)))
    with pytest.raises(ModelError, match="'pi' is a word"):
        Model("m", parameters=(Parameter("pi", 1.0),))


# ---------------------------------------------------------------- check: units

BASE = """
model story()
  unit day = 86400 second; unit time_unit = day; unit per_day = 1/day; unit Mcell = 1e6 item
  unit pg_per_mL = 1e-12 gram/(1e-3 litre); unit ng_per_mL = 1e-9 gram/(1e-3 litre)
  unit percent = 0.01 dimensionless; unit U_per_mL = dimensionless/(1e-3 litre)
  T = 1; T has Mcell; k = 2; k has per_day; K = 3; K has Mcell; h = 2; h has dimensionless
  C = 0; C has pg_per_mL; C0 = 1; C0 has pg_per_mL; n = 2; n has ng_per_mL; x = 3; x has percent
  U = 1; U has U_per_mL; day5 = 5; day5 has day
  {0}
  use := k + K + h + C + C0 + n + x + U + T + day5
end
"""

# what the story says, and what the check must say about it (nothing: it balances)
UNIT_STORIES = [
    ("T' = -k*T", ""),
    ("T' = -k*K*T^h/(K^h + T^h)", ""),
    ("T' = -k*T*(T/K)^(-h) + ln(2)*T/day5", ""),
    ("T' = -k*T; C' = k*(C0*(T/K)^h*exp(-h) - C)", ""),
    ("q := 100*T/(T + K); q has percent", ""),
    ("q := 100 - x; q has percent", ""),
    ("q := C + 1000*n; q has pg_per_mL", ""),
    ("q := max(T, K, 0) + piecewise(T, time > day5, 0); q has Mcell", ""),
    ("q := sqrt(T*K) + abs(T - K); q has Mcell", ""),
    ("T' = -k*T; at (time >= 0), t0=false: T = 5", ""),
    ("T' = -k*T^2", r"T is in Mcell and time in day, so its rate is in Mcell/day"),
    ("T' = -k*T^h/(K^h + T^h)", r"the right side is in 1/day, but T is in Mcell"),
    ("T' = -k", r"the right side is in 1/day"),
    ("T' = -k*T + C", r"C \[pg/mL\].*T\*k \[Mcell/day\]|T\*k \[Mcell/day\].*C \[pg/mL\]"),
    ("q := exp(T); q has dimensionless", r"exp\(T\) needs a pure number, but T is in Mcell"),
    ("q := ln(x); q has dimensionless", r"ln\(x\) needs a pure number, but x is in %"),
    ("q := T/(T + K); q has percent", r"the right side is a pure number, but q is in %"),
    ("q := 1 - x; q has percent", r"1 \[a pure number\]"),
    ("q := C + n; q has pg_per_mL", r"C \[pg/mL\] and n \[ng/mL\]"),
    ("q := C + U; q has pg_per_mL", r"U \[U/mL\]"),
    ("q := T + 5; q has Mcell", r"give it a name and a unit"),
    ("q := T^C; q has Mcell", r"the exponent C must be a pure number"),
    ("q := piecewise(T, T > C, 0); q has Mcell", r"cannot compare"),
    ("q := piecewise(T, T > K, C); q has Mcell", r"cannot choose between"),
    ("T' = -k*T; at (time > 5): T = K", r"cannot compare time \[day\] and 5"),
    ("T' = -k*T; at (time > day5): T = T + C", r"cannot add"),
    ("T' = -k*T; T = C0", r"The start value of T"),
    ("q := k*T; q has Mcell", r"the right side is in Mcell/day, but q is in Mcell"),
]


@pytest.mark.parametrize(("story", "said"), UNIT_STORIES, ids=[story for story, _ in UNIT_STORIES])
def test_a_wrong_unit_is_found_and_named(story: str, said: str) -> None:
    import re

    model = load_model(
        BASE.replace("  T = 1;", "  T = 1;" if "T = C0" not in story else "").format(story)
    ).without("use")
    problems = [str(problem) for problem in model.check() if problem.severity == "error"]
    assert len(problems) == (1 if said else 0), problems
    if said:
        assert re.search(said, problems[0])


def test_a_quantity_without_unit_is_told_once_and_brings_no_avalanche() -> None:
    model = load_model(BASE.format("T' = -k*T*w + w - w^h; w = 1; q := T*w + exp(w); C' = w*C")).without(
        "use"
    )
    problems = model.check()
    without_unit = [problem.what.split()[0] for problem in problems if "has no unit" in problem.what]
    assert sorted(without_unit) == ["q", "w"]
    assert not [problem for problem in problems if problem.severity == "error"]


def test_a_model_without_any_unit_is_told_so_once() -> None:
    problems = load_model("x = 1; x' = -k*x; k = 2; y := x*k + k").check()
    assert [problem.severity for problem in problems] == ["doubt"]
    assert "units were not checked" in problems[0].what


@pytest.mark.parametrize("wrong", ["day", "pg_per_mL", "per_day", "dimensionless"])
@pytest.mark.parametrize("name", ["k_bag", "delta_L", "L_auto", "cleared", "D_ref", "IL6_0", "gain"])
def test_any_wrong_unit_in_a_shipped_model_turns_the_check_red(name: str, wrong: str) -> None:
    text = model_file("persistence_cytokine").read_text()
    right = text.split(f"{name} has ")[1].split(";")[0]
    if right == wrong:
        return
    model = load_model(text.replace(f"{name} has {right};", f"{name} has {wrong};"))
    assert [problem for problem in model.check() if problem.severity == "error"]


# ---------------------------------------------------------------- check: names


def test_unknown_and_unused_names_are_told() -> None:
    x, k, kk = symbols("x k kk")
    model = Model(
        "m",
        (State("x", sp.Integer(1), -kk * x, "Mcell"),),
        (Parameter("k", 1.0, "1/day"), Parameter("idle", 1.0, "1/day")),
        (Assignment("a", sp.Symbol("b") * k, "1/day"), Assignment("b", k * 2, "1/day")),
        time_unit="day",
    )
    said = [str(problem) for problem in model.check()]
    assert any("x uses 'kk', which the model does not have. Did you mean 'k'" in each for each in said)
    assert any("a uses b, which is worked out only after it" in each for each in said)
    assert any("Parameter idle is used nowhere" in each for each in said)
    assert model.check()[-1].severity == "doubt"


# ---------------------------------------------------------------- doors and faces


def test_a_text_is_read_once_and_a_file_that_changed_anew(tmp_path: Path) -> None:
    """What is remembered is the text, not where it stood."""
    file = tmp_path / "decay.ant"
    file.write_text("x = 1; x' = -k*x; k = 2")
    first = load_model(file)
    assert load_model("x = 1; x' = -k*x; k = 2") is load_model(str(file)) is first
    file.write_text("x = 1; x' = -k*x; k = 3")
    assert load_model(file)["k"].value == 3 and first["k"].value == 2


def test_load_model_takes_a_name_a_path_or_text(tmp_path: Path) -> None:
    model = load_model("persistence")
    assert model.name == "persistence"
    assert load_model(model_file("persistence")) == model
    assert load_model(str(model_file("persistence"))) == model
    for name, text in (
        ("a.xml", model.to_sbml()),
        ("b.ant", model.to_antimony()),
        ("c.sbml", model.to_sbml()),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert load_model(tmp_path / name) == model
        assert load_model(text) == model
        assert load_model("\ufeff" + text) == model


def test_load_model_says_what_it_did_not_find(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No model 'persistance'. Did you mean 'persistence'"):
        load_model("persistance")
    with pytest.raises(ModelError, match=r"no file .*nowhere.ant"):
        load_model("nowhere.ant")
    (tmp_path / "bytes.ant").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(ModelError, match="UTF-8"):
        load_model(tmp_path / "bytes.ant")
    for nothing in (None, 3, b"x = 1"):
        with pytest.raises(ModelError, match="name, a path or text"):
            load_model(nothing)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="No model"):
        load_model("a" * 5000)
    for text in ("", "\n", "   "):
        with pytest.raises(ModelError):
            load_model(text)


def test_a_model_prints_itself_as_equations(decay: Model) -> None:
    said = str(decay)
    for line in (
        "decay (time in day)",
        "  x' = -loss  [Mcell/day]  cells",
        "  loss = k*x  [Mcell/day]",
        "  when time > t_late: x = x0",
        "  k = 0.5  [1/day]",
        "  x = 10  [Mcell]",
    ):
        assert line in said.splitlines()
    latex = decay._repr_latex_()
    assert latex.startswith("$$")
    assert r"\frac{d\,x}{dt} &= - loss" in latex


def test_looking_up_a_quantity(decay: Model) -> None:
    assert decay["x"].label == "cells"
    assert "x" in decay
    assert "y" not in decay
    with pytest.raises(ModelError, match="Did you mean 'loss'"):
        decay["lose"]


@pytest.mark.parametrize("name", sorted({"cytopenia", "persistence", "persistence_cytokine", "sjogren_rfib"}))
def test_shipped_models_balance(name: str) -> None:
    assert name in shipped_models()
    assert load_model(name).check() == ()


@pytest.mark.parametrize("name", ["persistence", "persistence_cytokine"])
def test_every_quantity_of_a_tutorial_has_unit_label_and_source(name: str) -> None:
    for each in load_model(name).quantities:
        assert each.unit
        assert each.label
        assert each.note[:2] in ("V:", "M:", "A:")


@pytest.mark.parametrize("name", ["persistence", "persistence_cytokine"])
def test_no_cell_of_a_tutorial_is_lost(name: str) -> None:
    """Sum of all rates of the ledger is zero as algebra, for any values."""
    model = load_model(name)
    ledger = model["accounted"].formula
    formulas = {sp.Symbol(each.name): each.formula for each in model.assignments}
    for _ in range(len(formulas)):
        ledger = ledger.xreplace(formulas)
    change = sum(sp.diff(ledger, sp.Symbol(each.name)) * each.rate for each in model.states)
    assert sp.expand(change.xreplace(formulas)) == 0


def test_residence_time_of_a_tutorial_matches_the_closed_form() -> None:
    """Mean viable residence time of one dose is -1'M^-1 u; by hand 1/(kLT+dL+K) (1 + kLT/(dT+K))."""
    model = load_model("persistence")
    L, T = symbols("L_allo T_allo")
    matrix = sp.Matrix([model["L_allo"].rate, model["T_allo"].rate]).jacobian([L, T])
    mean = -(sp.ones(1, 2) * matrix.inv() * sp.Matrix([1, 0]))[0]
    k_LT, delta_L, delta_T, kill = symbols("k_LT delta_L delta_T kill_allo")
    assert sp.simplify(mean - (1 + k_LT / (delta_T + kill)) / (k_LT + delta_L + kill)) == 0
