"""Cases, and variants, in which every parameter is fixed: the likelihood is the evidence, and what needs parameters says so."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.errors import CalibrationError

ROWS = [("y", 1.0, 1.5), ("y", 10.0, 2.5)]
RATE, SCALE, SD = 0.1, 0.3, 0.1


def case(**parameters) -> cs.Case:
    """y = A x, x = 10 exp(-k t), log-normal with sd 0.1; nothing is estimated unless told."""
    variants = parameters.pop("variants", None)
    return tiny_case(
        "x = 10; x' = -k*x; k = 1",
        {"y": ("A*x", SD)},
        ROWS,
        {"k": RATE, "A": SCALE, **parameters},
        variants=variants,
    )


def log_likelihood(scale: float) -> float:
    """SciPy's log-normal density of both rows around the closed form."""
    medians = [scale * 10 * np.exp(-RATE * day) for _, day, _ in ROWS]
    return sum(stats.lognorm(SD, scale=m).logpdf(y) for m, (_, _, y) in zip(medians, ROWS, strict=True))


def test_evidence_is_the_likelihood_and_is_read_back(tmp_path: Path) -> None:
    fit = cs.calibrate(case(), starts=3)
    # the solver's tolerance of 1e-6, times residuals of up to 16 sigmas over a sd of 0.1
    assert fit.log_evidence == pytest.approx(log_likelihood(SCALE), abs=1e-3)
    assert fit.values == {"k": RATE, "A": SCALE}
    assert fit.table().empty and fit.theta.size == 0
    assert "nothing is estimated" in fit.report()
    fit.save(tmp_path / "fit.json")
    assert cs.Calibration.load(tmp_path / "fit.json").log_evidence == fit.log_evidence


def test_verbs_that_need_parameters_refuse_and_the_others_answer() -> None:
    fit = cs.calibrate(case(), starts=1)
    for verb in (cs.sample, cs.profile):
        with pytest.raises(CalibrationError, match=r"nothing is estimated in tiny"):
            verb(fit)
    assert "0 parameters" in cs.identify(fit).report()
    plan = cs.Schedule.at([0.0], cells=10, product="x")
    swept = cs.sweep(fit, {"once more": plan}, until=5, draws=3, measures=None).table()
    value = swept[swept["measure"] == "value"].iloc[0]
    # both doses of 10: the initial value and the infusion
    assert value["estimate"] == pytest.approx(SCALE * 20 * np.exp(-RATE * 5), rel=1e-5)
    assert value["low"] == value["high"]


def test_only_sampling_days_estimated_is_calibrated_and_not_sampled() -> None:
    only_days = tiny_case(
        "x = 10; x' = -k*x; k = 0.1", {"y": ("x", SD)}, [("y", 5.0, 5.0)], {}, windows={5.0: (1.0, 9.0)}
    )
    fit = cs.calibrate(only_days, starts=2)
    # every day of the window is as probable as another: the maximum of the likelihood, and 10 exp(-k t) is 5 after ln 2 / k
    assert fit.values["day_v0"] == pytest.approx(np.log(2) / RATE, abs=1e-3)
    with pytest.raises(CalibrationError, match="only sampling days"):
        cs.sample(fit)


def test_variant_with_everything_fixed_is_compared() -> None:
    """The other variant's evidence: the average of the likelihood over the prior of A, by quadrature."""
    given = case(
        A=("log-normal", 0.0, 1.0),
        variants={"free": {"A": "estimate"}, "fixed": {"A": SCALE}},
    )
    found = cs.compare(given, starts=2, progress=False)
    assert found.evidences["fixed"] == pytest.approx(log_likelihood(SCALE), abs=1e-3)
    at = np.linspace(-2.5, 0.5, 301)
    every = np.array([log_likelihood(np.exp(z)) + stats.norm.logpdf(z) for z in at])
    free = np.logaddexp.reduce(every) + np.log(at[1] - at[0])
    assert found.evidences["free"] == pytest.approx(free, abs=0.02)
    left = found.left["fixed"]
    assert sum(each.elpd for each in left if each.by == "visit") == pytest.approx(
        log_likelihood(SCALE), abs=1e-3
    )
