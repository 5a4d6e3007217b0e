"""Which density a calibration maximises: the modes of both against closed forms."""

import numpy as np
import pytest
from scipy import optimize, stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.errors import CalibrationError
from cellsim.posterior.calibration import Calibration

STILL = "x = 1; x' = 0; a = 1"


def boxed(value: float, sd: float = 0.3):
    """One normal value of a parameter that is uniform between 1 and 2."""
    return tiny_case(STILL, {"y": ("a*x", sd, "normal")}, [("y", 1.0, value)], {"a": ("uniform", 1.0, 2.0)})


def test_a_flat_prior_is_flat_for_petab_and_pulls_to_its_median_in_whitened_coordinates() -> None:
    """PEtab's mode is the value itself; the other solves d/dtheta of theta^2 + (1 + Phi(theta) - 1.8)^2 / sd^2 = 0."""
    plain = cs.calibrate(boxed(1.8), starts=2, density="whitened")
    petab = cs.calibrate(
        boxed(1.8), starts=2
    )  # where nothing but boxes is given it is what regression programs print
    assert (plain.density, petab.density) == ("whitened", "petab")
    assert petab.values["a"] == pytest.approx(1.8, abs=1e-5)
    pull = optimize.brentq(lambda t: t + (stats.norm.cdf(t) - 0.8) * stats.norm.pdf(t) / 0.09, -5, 5)
    assert plain.values["a"] == pytest.approx(1 + stats.norm.cdf(pull), abs=1e-6)
    assert plain.values["a"] < 1.75
    # the evidence and the spread are those of the same normal approximation
    assert petab.log_evidence == plain.log_evidence
    assert petab.covariance == pytest.approx(plain.covariance)


def test_a_log_normal_posterior_is_highest_below_its_median() -> None:
    """ln a given the data is normal with mean m and variance v: the modes are exp(m) and exp(m - v)."""
    values, sd, mean, spread = (1.4, 2.2, 1.9), 0.5, 0.2, 0.8
    case = tiny_case(
        STILL,
        {"y": ("a*x", sd)},
        [("y", float(day), value) for day, value in enumerate(values, start=1)],
        {"a": ("log-normal", mean, spread)},
    )
    variance = 1 / (3 / sd**2 + 1 / spread**2)
    middle = variance * (np.log(values).sum() / sd**2 + mean / spread**2)
    assert cs.calibrate(case, starts=1).values["a"] == pytest.approx(np.exp(middle), rel=1e-6)
    petab = cs.calibrate(case, starts=1, density="petab")
    assert petab.values["a"] == pytest.approx(np.exp(middle - variance), rel=1e-5)


def test_with_two_parameters_it_is_where_scipy_finds_it() -> None:
    days, values = np.array([0.5, 1.0, 2.0, 3.0]), np.array([1.5, 1.0, 0.7, 0.33])
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x", 0.2)},
        [("y", day, value) for day, value in zip(days, values, strict=True)],
        {"k": ("uniform", 0.0, 2.0), "A": ("log-normal", 0.0, 1.0)},
    )

    def height(point):
        k, A = point
        inside = stats.uniform(0, 2).logpdf(k) + stats.lognorm(1.0).logpdf(A)
        return 0.5 * np.sum(((np.log(A) - k * days - np.log(values)) / 0.2) ** 2) - inside

    found = cs.calibrate(case, starts=2, density="petab")
    best = optimize.minimize(
        height, [0.5, 2.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}
    )
    assert [found.values["k"], found.values["A"]] == pytest.approx(best.x, rel=1e-5)


def test_a_mode_at_the_end_of_a_box_is_that_end_and_is_told() -> None:
    fit = cs.calibrate(boxed(2.5), starts=2, density="petab")
    assert fit.values["a"] == pytest.approx(2.0, abs=1e-4)
    assert any("at an end of the prior of: a (upper)" in doubt for doubt in fit.diagnosis["doubts"])


def test_the_report_says_which_and_a_file_keeps_it(tmp_path) -> None:
    for density, words in (
        ("whitened", "prior-whitened coordinates"),
        ("petab", "PEtab's posterior density"),
    ):
        fit = cs.calibrate(boxed(1.8), starts=1, density=density)
        assert (
            f"mode of the posterior density of {words}" in fit.report() or f"mode of {words}" in fit.report()
        )
        fit.save(tmp_path / "fit.json")
        again = Calibration.load(tmp_path / "fit.json")
        assert again.density == density and again.theta == pytest.approx(fit.theta)
    with pytest.raises(CalibrationError, match=r"no density 'petap'.*petab"):
        cs.calibrate(boxed(1.8), starts=1, density="petap")
