"""How many patients tell two mechanisms apart: linear models, where everything is normal and known in closed form."""

import numpy as np
import pytest
from scipy.stats import norm
from small_cases import tiny_case

import cellsim as cs
from cellsim.errors import CellsimError

DAYS, SPREAD, NOISE = (1.0, 40.0), 0.5, 0.3


@pytest.fixture(scope="module")
def fits() -> dict[str, cs.Calibration]:
    """A level of one's own, on which a dose that fades adds itself or does nothing."""
    case = tiny_case(
        "a = 0; a' = -k*a; k = 0.01; b = 5; e = 0; y := b + e*a",
        {"z": ("y", NOISE, "normal")},
        [("z", day, 5.0) for day in DAYS],
        {"b": ("normal", 5.0, SPREAD)},
        doses=[(0.0, "a", 1.0)],
        products=[("graft", "autologous", "a")],
        start=-5.0,
        variants={"acts": {"e": 1.0}, "idle": {"e": 0.0}},
    )
    return {name: cs.calibrate(case, variant=name, starts=1, seed=1) for name in ("acts", "idle")}


def distance(effects: np.ndarray) -> float:
    """Squared Mahalanobis distance of both mechanisms: the shift against common level and noise."""
    covariance = SPREAD**2 + NOISE**2 * np.eye(len(effects))
    return float(effects @ np.linalg.solve(covariance, effects))


def test_the_number_of_patients_is_that_of_a_linear_design(fits: dict[str, cs.Calibration]) -> None:
    """Witness: with equal covariances the log odds of n patients are normal, mean n d^2/2 and variance n d^2."""
    found = cs.plan_patients(fits, [1, 2, 4, 8], draws=4000, seed=2)
    square = distance(np.exp(-0.01 * np.array(DAYS)))
    table = found.table()
    for row in table.itertuples():
        middle, spread = row.patients * square / 2, np.sqrt(row.patients * square)
        assert row.right == pytest.approx(norm.sf((np.log(20) - middle) / spread), abs=0.04)
        assert row.wrong == pytest.approx(norm.cdf((-np.log(20) - middle) / spread), abs=0.01)
        assert row.log_odds == pytest.approx(square / 2, rel=0.1)
    sure = [norm.sf((np.log(20) - n * square / 2) / np.sqrt(n * square)) for n in found.patients]
    assert found.needed(0.7) == next(n for n, each in zip(found.patients, sure, strict=True) if each >= 0.7)


def test_a_later_start_of_half_of_them_is_another_design(fits: dict[str, cs.Calibration]) -> None:
    """Witness: those who begin after the first sample show the dose in the second alone; expected log odds are the mean of both arms'."""
    plan = fits["acts"].case.schedule
    arms = {"at once": plan, "later": plan.shifted(20)}
    found = cs.plan_patients(fits, [2], arms=arms, draws=4000, seed=2)
    effects = [np.exp(-0.01 * np.array(DAYS)), np.array([0.0, np.exp(-0.2)])]
    expected = np.mean([distance(each) for each in effects]) / 2
    assert found.table()["log_odds"].to_numpy() == pytest.approx(expected, rel=0.1)


def test_mechanisms_that_are_alike_are_told_by_nobody(fits: dict[str, cs.Calibration]) -> None:
    found = cs.plan_patients({"one": fits["idle"], "other": fits["idle"]}, [1, 50], draws=400, seed=2)
    assert found.table()["log_odds"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    assert found.table()["undecided"].min() > 0.99 and found.needed() is None


def test_what_cannot_be_asked_is_refused(fits: dict[str, cs.Calibration]) -> None:
    with pytest.raises(CellsimError, match=r"(?s)draws.*1 mechanisms.*odds = 1"):
        cs.plan_patients({"acts": fits["acts"]}, draws=5, odds=1.0)
    with pytest.raises(CellsimError, match="no panel or analyte 'q'"):
        cs.plan_patients(fits, panels=["q"], draws=100)
