"""Parameters crossed with schedules, from a model alone and from draws: closed forms, Ishigami's function, additive models."""

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError

ONE = Schedule.at([0], cells=3.0, product="x")
TWO = Schedule.at([0, 4], cells=3.0, product="x")


@pytest.fixture(scope="module")
def model() -> cs.Model:
    return cs.load_model("x = 0; x' = -k*x; k = 0.2; s = 1; y := s*x")


@pytest.fixture(scope="module")
def fit() -> cs.Calibration:
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.2; s = 1",
        {"y": ("s*x + 1", 0.3)},
        [("y", -1.0, 1.1)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3), "s": ("log-normal", 0.0, 0.2)},
        start=-2.0,
    )
    return cs.calibrate(case, starts=1)


def area(k: np.ndarray | float, doses: tuple[float, ...] = (0.0,), until: float = 20.0) -> np.ndarray:
    return np.asarray(sum(3 * (1 - np.exp(-k * (until - day))) / k for day in doses))


def test_a_grid_of_a_model_alone_has_its_closed_form(model: cs.Model) -> None:
    found = cs.sweep(
        model, {"one": ONE, "two": TWO}, until=20, parameters={"k": [0.1, 0.5, 2.0], "s": [1.0, 3.0]},
        measures=["area(y)", "at(y, 4)", lambda seen: seen.auc("y", 0, 20)],
    )  # fmt: skip
    assert found.points.tolist() == [[k, s] for k in (0.1, 0.5, 2.0) for s in (1.0, 3.0)]
    for i, doses in enumerate(((0.0,), (0.0, 4.0))):
        exact = np.array([s * area(k, doses) for k, s in found.points])
        assert found.draws[i, 0, :, 0] == pytest.approx(exact, rel=2e-5)
        assert found.draws[i, 2, :, 0] == pytest.approx(exact, rel=2e-5)
    table = found.table()
    assert len(table) == 2 * 6 * 3 and table["low"].isna().all()
    assert table[table["schedule"] == "two"]["estimate"].iloc[0] == pytest.approx(
        area(0.1, (0.0, 4.0)), rel=1e-4
    )


def test_parameters_that_are_not_set_keep_what_each_draw_says(
    fit: cs.Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With k set, y on day 2 is s 3 exp(-2 k) + 1 with the s of each draw; not set, it is what a sweep says."""
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-5)
    measures = ["at(y, 2)"]
    found = cs.sweep(
        fit,
        ONE,
        until=20,
        parameters={"k": [0.1, 1.0]},
        measures=measures,
        draws=7,
        history=None,
        design="one at a time",
    )
    plain = cs.sweep(fit, ONE, until=20, measures=measures, draws=7, history=None)
    values = fit.objective.vector_of(fit.draws(7, seed=0), ["k", "s"])
    # other sets are simulated beside one another, each within the tolerance of a sweep
    assert found.draws[0, 0, 0] == pytest.approx(plain.posterior[0, 0], rel=2e-5)
    for place, k in ((1, 0.1), (2, 1.0)):
        assert found.draws[0, 0, place] == pytest.approx(3 * values[:, 1] * np.exp(-2 * k) + 1, rel=2e-5)
    tornado = found.tornado()
    assert tornado["own"][0] == pytest.approx(np.median(values[:, 0]))
    assert (tornado["at_low"] > tornado["reference"]).all() and (
        tornado["reference"] > tornado["at_high"]
    ).all()
    assert "k" in found.report()


def test_a_switch_that_the_model_has_off_is_swept_on() -> None:
    """y' = w x: with w at 0 no dose reaches y, with w at 2 it is twice the area of x."""
    model = cs.load_model("x = 0; x' = -k*x; k = 0.2; y = 0; y' = w*x; w = 0")
    found = cs.sweep(
        model, {"one": ONE, "two": TWO}, until=20, parameters={"w": [0.0, 2.0]}, measures=["at(y, 20)"]
    )
    exact = [[0.0, 2 * area(0.2)], [0.0, 2 * area(0.2, (0.0, 4.0))]]
    assert found.draws[:, 0, :, 0] == pytest.approx(np.array(exact), rel=1e-4)


def test_a_tornado_is_in_the_order_of_what_moves_most(model: cs.Model) -> None:
    found = cs.sweep(
        model,
        ONE,
        until=20,
        parameters={"k": [0.19, 0.21], "s": [0.5, 2.0]},
        design="one at a time",
        measures=["area(y)"],
    )
    table = found.tornado()
    assert table["parameter"].tolist() == ["s", "k"]
    assert table["swing"][0] == pytest.approx(1.5 * area(0.2), rel=1e-4)
    assert table["swing"][1] == pytest.approx(area(0.19) - area(0.21), rel=1e-3)


def test_sobol_indices_of_ishigami_have_their_closed_form() -> None:
    """sin a + 7 sin^2 b + 0.1 c^4 sin a on [-pi, pi]^3: S = 0.3139, 0.4424, 0; total 0.5576, 0.4424, 0.2437 (Ishigami, Homma 1990)."""
    model = cs.load_model("a = 0; b = 0; c = 0; x = 1; x' = 0; f := sin(a) + 7*sin(b)^2 + 0.1*c^4*sin(a)")
    bounds = dict.fromkeys("abc", (-np.pi, np.pi))
    found = cs.sweep(
        model, Schedule(), until=1, parameters=bounds, design="sobol", points=1024, measures=["at(f, 1)"]
    )
    table = found.indices().set_index("parameter")
    assert table["first"].tolist() == pytest.approx([0.3139, 0.4424, 0.0], abs=0.06)
    assert table["total"].tolist() == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.06)
    assert (table["total_error"] < 0.05).all()


def test_morris_effects_of_an_additive_model_are_its_slopes() -> None:
    """f = 2 a - 5 b + 0 c: every elementary effect is the slope times the range, without spread."""
    model = cs.load_model("a = 0; b = 0; c = 0; x = 1; x' = 0; f := 2*a - 5*b")
    found = cs.sweep(
        model, Schedule(), until=1, parameters={"a": (0.0, 1.0), "b": (0.0, 2.0), "c": (0.0, 1.0)}, design="morris", points=6,
        measures=["at(f, 1)"],
    )  # fmt: skip
    table = found.indices().set_index("parameter")
    assert table["mean_effect"].tolist() == pytest.approx([2.0, -10.0, 0.0], abs=1e-9)
    assert table["mean_size"].tolist() == pytest.approx([2.0, 10.0, 0.0], abs=1e-9)
    assert table["spread"].tolist() == pytest.approx([0.0] * 3, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parameters": {"kk": [1.0]}}, "no parameter 'kk' to set.*Did you mean 'k'"),
        ({"parameters": {"k": []}}, "finite numbers are needed"),
        ({"parameters": {"k": [0.1, "b"]}}, "finite numbers are needed"),
        ({"parameters": {"k": [0.1, 0.1]}}, "k has one value twice"),
        ({"parameters": {}}, "values by name"),
        ({"parameters": {"k": [0.1]}, "design": "Sobol"}, "no design 'Sobol'.*Did you mean 'sobol'"),
        ({"parameters": {"k": [0.1]}, "design": "sobol"}, "least and the greatest"),
        ({"parameters": {"k": (0.1, 1.0)}, "design": "sobol", "points": 100}, "powers of two, 128 say"),
        ({"parameters": {"k": [0.1]}, "measures": None}, "a model alone has no outcomes"),
        (
            {"parameters": {"k": np.linspace(0.1, 1, 5000), "s": np.linspace(0.1, 1, 5000)}},
            "2.5e.07 combinations",
        ),
        ({}, "a model alone has no draws"),
    ],
)
def test_what_cannot_be_crossed_is_refused(model: cs.Model, options: dict, said: str) -> None:
    with pytest.raises(CellsimError, match=f"(?s){said}"):
        cs.sweep(model, ONE, **{"until": 20, "measures": ["area(x)"], **options})
