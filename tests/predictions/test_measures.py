"""Analytes that name no quantity of the model are predicted by their formula, whatever is asked of them."""

import numpy as np
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.errors import CellsimError
from cellsim.likelihood.objective import objective_of
from cellsim.predictions.measures import DaysBelow, InRange, Value
from cellsim.predictions.predictions import predictions_of

RATE = 0.1


def fitted(noise: str = "0.1", distribution: str = "log-normal", **options) -> cs.Calibration:
    """y = A x (s is fixed, and may be part of the noise) with x = 10 exp(-t/10), reference range up to 4."""
    made = tiny_case(
        "x = 10; x' = -k*x; k = 0.1; s = 0.3; twice := 2*s",
        {"y": ("A*x", 0.1, distribution)},
        [("y", 1.0, 9.0), ("y", 5.0, 6.0)],
        {"k": RATE, "A": ("log-normal", 0.0, 0.5), "s": 0.3},
    )
    files = made.files
    header, row = files["observables.tsv"].splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True)) | {"noiseFormula": noise} | options
    cells |= {"referenceUpper": "4"}
    files["observables.tsv"] = "\n".join(["\t".join(cells), "\t".join(cells.values())]) + "\n"
    return cs.calibrate(cs.load_case(files), starts=2)


@pytest.mark.parametrize(("noise", "spread"), [("0.1", 0.1), ("s/2", 0.15)])
@pytest.mark.parametrize("distribution", ["normal", "log-normal"])
def test_chance_as_sampled_is_scipys_under_either_noise(noise: str, spread: float, distribution: str) -> None:
    """The spread may be a formula of fixed parameters, and the approximation is the analyte's own."""
    fit = fitted(noise, distribution)
    swept = cs.sweep(
        fit, {"none": cs.Schedule()}, until=9, draws=20, measures=[Value(), InRange(noise=True)], seed=3
    )
    value, chance = swept.posterior[0]
    draws = fit.objective.vector_of(fit.draws(20, seed=3), ["A"])[:, 0]
    assert value == pytest.approx(draws * 10 * np.exp(-RATE * 9), rel=1e-5)
    approximation = (
        stats.norm(value, spread) if distribution == "normal" else stats.lognorm(spread, scale=value)
    )
    assert chance == pytest.approx(approximation.cdf(4.0), rel=1e-6)


def test_prediction_and_figures_take_the_formula() -> None:
    fit = fitted()
    [asked] = predictions_of(fit, [Value((9.0,))], until=9)
    value, slope = asked.of(fit.theta)
    # d (A x) / d theta = 0.5 A x, the prior's sd being 0.5 in ln A
    assert slope[0] == pytest.approx(0.5 * value, rel=1e-4)
    axes = plots.fit(fit, draws=5)
    assert len(axes) == 1


def test_formula_with_placeholders_and_no_quantity_is_refused_in_words() -> None:
    made = cs.load_case("sjogren_rfib").files
    lines = made["observables.tsv"].splitlines()
    column = lines[0].split("\t").index("quantity")
    rows = [line.split("\t") for line in lines[1:]]
    rows = [[*row[:column], "", *row[column + 1 :]] if row[0] == "obs_IL6" else row for row in rows]
    made["observables.tsv"] = "\n".join([lines[0], *("\t".join(row) for row in rows)]) + "\n"
    case = cs.load_case(made)
    with pytest.raises(CellsimError, match=r"IL6 cannot be predicted .* Name the model's quantity"):
        Value((9.0,), ("IL6",)).formulas(case)
    assert "IL6" not in Value((9.0,)).formulas(case)


@pytest.mark.parametrize(
    ("model", "quantity", "level", "until", "days"),
    [
        ("u := 1 + piecewise(-1, time>=100.3 && time<100.35, 0)", "u", 0.5, 200, 0.05),
        ("e = 1; e' = 0; at time>=33.21: e = 0; at time>=33.26: e = 1", "e", 0.5, 200, 0.05),
        ("c := cos(2*pi*3*time)", "c", 0.0, 365, 182.5),
        ("z = 2; z' = -0.1*z", "z", 1.0, 20, 20 - 10 * np.log(2)),
        ("z = 1; z' = z*(1 - z/1000); w := 1/z", "w", 0.01, 30, 30 - np.log(99.9 / 0.9)),
    ],
)
def test_days_below_a_level_miss_no_stay_however_short(
    model: str, quantity: str, level: float, until: float, days: float
) -> None:
    """Witness: closed forms (windows, an event's days, half of all periods, a decay, logistic growth)."""
    made = tiny_case(
        f"x = 1; x' = 0*x; k = 1; {model}",
        {"y": ("x*k", 0.1)},
        [("y", 1.0, 1.0)],
        {"k": ("log-normal", 0.0, 0.5)},
    )
    swept = cs.sweep(
        cs.calibrate(made, starts=1),
        {"none": cs.Schedule()},
        until=until,
        measures=[DaysBelow(quantity, level)],
        draws=3,
    )
    assert swept.posterior[0, 0] == pytest.approx(days, abs=2e-4)


def test_days_below_a_level_move_with_the_crossing() -> None:
    """x = 5 exp(-k t) is below 1 from ln(5)/k on; by ln k, which theta moves by its prior sd, that day moves by -ln(5)/k."""
    made = tiny_case(
        "x = 5; x' = -k*x; k = 0.2",
        {"y": ("x", 0.1)},
        [("y", 1.0, 4.0)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3)},
    )
    objective = objective_of(made)
    [found] = predictions_of(objective, [DaysBelow("x", 1.0)], until=28)
    value, slope = found.of(np.array([0.0]))
    assert value == pytest.approx(28 - np.log(5) / 0.2, abs=1e-4)
    assert slope == pytest.approx([0.3 * np.log(5) / 0.2], rel=1e-3)
