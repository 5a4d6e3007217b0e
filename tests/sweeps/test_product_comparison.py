"""Two products at the same days and amounts, held against exponential persistence in closed form."""

from typing import Any

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.errors import CellsimError

DOSE, LEVEL, UNTIL = 8.0, 1.0, 60.0
PRODUCTS = (
    "productId\tsource\tstate\tunit\tquantity\nown\tautologous\ta\tmg\ta\ndonor\tallogeneic\tb\tmg\tb\n"
)
OUTCOMES = "outcomeId\tmeasure\tquantity\tlevel\tbetter\tlabel\tunit\nlow\tdays below\ty\t0.9\thigher\tdays low\tdays\n"


@pytest.fixture(scope="module")
def fits() -> dict[str, cs.Calibration]:
    """Both products vanish by the rate k, the donor's by s more under one of two mechanisms; y follows both."""
    case = tiny_case(
        "a = 0; b = 0; a' = -k*a; b' = -(k + s)*b; k = 0.1; s = 0.3; y := 1/(1 + a + b)",
        {"z": "a + b + 1"},
        [("z", 1.0, 5.0), ("z", 5.0, 3.0)],
        {"k": ("log-normal", np.log(0.1), 0.4), "s": ("log-normal", np.log(0.3), 0.5)},
        doses=[(-3.0, "b", 4.0), (0.0, "a", 5.0)],
        products=[("own", "autologous", "a"), ("donor", "allogeneic", "b")],
        variants={"removed": {"s": "estimate"}, "alike": {"s": 0.0}},
        tables={"products.tsv": PRODUCTS, "outcomes.tsv": OUTCOMES},
        start=-5.0,
    )
    return {name: cs.calibrate(case, variant=name, starts=1, seed=1) for name in ("removed", "alike")}


@pytest.fixture(scope="module")
def found(fits: dict[str, cs.Calibration]) -> cs.ProductComparison:
    asked: dict[str, Any] = {
        "doses": [1, 4],
        "interval": [7, 14],
        "until": UNTIL,
        "cells": DOSE,
        "level": LEVEL,
    }
    return cs.compare_products(fits, draws=40, seed=3, **asked)


def rates(fit: cs.Calibration, draws: int, seed: int) -> np.ndarray:
    """How fast either product goes in every draw, shape (2, n_draws)."""
    values = fit.objective.vector_of(fit.draws(draws, seed=seed), ["k", "s"])
    return np.array([values[:, 0], values[:, 0] + values[:, 1]])


def test_areas_are_those_of_exponential_persistence(
    found: cs.ProductComparison, fits: dict[str, cs.Calibration]
) -> None:
    """Witness: the sum over doses of C/k (1 - exp(-k (U - t))), draw by draw; what the history left behind is in neither."""
    for name, fit in fits.items():
        rate = rates(fit, 40, 3)
        for doses, interval in found.designs:
            left = UNTIL - interval * np.arange(doses)[:, None, None]
            area = (DOSE / rate * (1 - np.exp(-rate * left))).sum(axis=0)
            assert found.draws(name, (doses, interval), 0) == pytest.approx(area, rel=1e-4)


def test_days_above_a_level_are_those_of_one_dose(
    found: cs.ProductComparison, fits: dict[str, cs.Calibration]
) -> None:
    """Witness: ln(x/L)/k from x, the dose and for the donor product what a dose three days before left."""
    rate = rates(fits["removed"], 40, 3)
    start = np.array([np.full(40, DOSE), DOSE + 4.0 * np.exp(-3.0 * rate[1])])
    days = np.minimum(np.log(start / LEVEL) / rate, UNTIL)
    assert found.draws("removed", (1, 7.0), 1) == pytest.approx(days, rel=1e-4)


def test_the_table_says_ratio_direction_and_what_the_prior_said(
    found: cs.ProductComparison, fits: dict[str, cs.Calibration]
) -> None:
    table = found.table().set_index(["variant", "doses", "interval", "measure"])
    rate = rates(fits["removed"], 40, 3)
    ratio = (1 - np.exp(-rate[0] * UNTIL)) / (1 - np.exp(-rate[1] * UNTIL)) * rate[1] / rate[0]
    one = table.loc[("removed", 1, 7.0, "area")]
    assert one["ratio"] == pytest.approx(np.median(ratio), rel=1e-4)
    assert one["above"] == one["prior_above"] == 1.0 and one["removal"]
    assert np.isfinite(one[["prior_ratio", "prior_difference", "contraction", "shift"]].astype(float)).all()


def test_a_mechanism_without_removal_tells_no_difference(found: cs.ProductComparison) -> None:
    assert [found.removal(name) for name in ("removed", "alike")] == [True, False]
    table = found.table()
    own = table[(table["variant"] == "alike") & (table["measure"] == "area")]
    assert (own[["difference", "low", "high", "prior_difference"]] == 0).all(axis=None)
    assert "Under alike nothing removes one product faster" in found.report()


def test_the_figure_has_both_products_and_the_prior(found: cs.ProductComparison) -> None:
    plots.products(found)
    axes = plots.products(found)  # the name stays the function
    assert len(axes) == 2 * len(found.asked) and "both removed alike" in axes[1].get_title()
    medians = sorted(
        float(each.get_ydata()[0]) for each in axes[0].lines if each.get_markerfacecolor() != "white"
    )
    said = found.table().query("variant == 'removed' and measure == 'area'")
    assert medians == pytest.approx(sorted([*said["first_estimate"], *said["second_estimate"]]))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"products": ("own", "doner")}, "Did you mean 'donor'"),
        ({"products": ("own", "own")}, "two products are compared"),
        ({"level": 0.0}, "level = 0.0"),
        ({"doses": 0}, "doses"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    fits: dict[str, cs.Calibration], asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(CellsimError, match=said):
        cs.compare_products(fits["alike"], draws=5, **asked)
