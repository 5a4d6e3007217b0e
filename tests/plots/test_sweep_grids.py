"""Heat maps and tornados draw the numbers of their tables."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.errors import CellsimError


@pytest.fixture(scope="module")
def model() -> cs.Model:
    return cs.load_model("x = 1; x' = -k*x; k = 1; s = 1; y := s*x")


def test_cells_of_a_heat_map_are_the_estimates(model: cs.Model) -> None:
    """Area s (1 - exp(-5 k))/k in each cell, lines and columns as named."""
    levels = {"k": [0.1, 1.0], "s": [1.0, 2.0, 3.0]}
    found = cs.sweep(model, cs.Schedule(), until=5, parameters=levels, measures=["area(y)"])
    panel = plots.heat_map(found, x="s", y="k")[0]
    cells = np.asarray(panel.collections[0].get_array()).reshape(2, 3)
    exact = np.outer([(1 - np.exp(-5 * k)) / k for k in levels["k"]], levels["s"])
    assert cells == pytest.approx(exact, rel=1e-4)
    assert [each.get_text() for each in panel.get_xticklabels()] == ["1", "2", "3"]
    assert f"{exact[1, 2]:.3g}" in [each.get_text() for each in panel.texts]
    with pytest.raises(CellsimError, match="Did you mean 'k'"):
        plots.heat_map(found, x="kk")
    plt.close("all")


def test_a_family_of_schedules_is_a_heat_map_too() -> None:
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.3",
        {"y": ("x + 1", 0.5)},
        [("y", 1.0, 3.0)],
        {"k": ("log-normal", -1.0, 0.3)},
        start=-1.0,
    )
    fit = cs.calibrate(case, starts=1)
    family = cs.Schedule.grid(interval=[2, 5], cells=1.0, doses=[1, 2, 3], product="x")
    found = cs.sweep(fit, family, until=30, measures=["area(x)"], draws=5)
    panel = plots.heat_map(found)[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("interval (days)", "doses")
    cells = np.asarray(panel.collections[0].get_array()).reshape(3, 2)
    assert cells.T.ravel() == pytest.approx(np.median(found.posterior[:, 0], axis=1))
    alone = cs.sweep(fit, family["every 2 d, 1 dose"], until=30, measures=["area(x)"], draws=2)
    with pytest.raises(CellsimError, match="needs two factors"):
        plots.heat_map(alone)
    plt.close("all")


def test_bars_of_a_tornado_end_where_its_table_says(model: cs.Model) -> None:
    levels = {"k": [0.9, 1.1], "s": [0.5, 2.0]}
    found = cs.sweep(
        model, cs.Schedule(), until=5, parameters=levels, measures=["area(y)"], design="one at a time"
    )
    _, given = plt.subplots()
    panel = plots.tornado(found, ax=given)[0]
    table = found.tornado()
    for kind in ("low", "high"):
        ends = [each.get_x() + each.get_width() for each in panel.patches if each.get_gid() == kind]
        assert ends == pytest.approx(table[f"at_{kind}"].tolist())
    with pytest.raises(CellsimError, match="needs design='one at a time'"):
        plots.tornado(cs.sweep(model, cs.Schedule(), until=5, parameters=levels, measures=["area(y)"]))
    plt.close("all")
