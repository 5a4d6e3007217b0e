"""What is handed from one verb to the next is taken as it is, or said to be something else."""

import pickle

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.errors import CellsimError, ModelError

K = 0.1


def fitted(model: cs.Model | None = None) -> cs.Calibration:
    """y = A x, x = 10 exp(-t/10) and 5 more on day 2; A belongs to the case alone."""
    case = tiny_case(
        "x = 10; x' = -k*x; k = 0.1",
        {"y": ("A*x", 0.1)},
        [("y", 1.0, 9.0), ("y", 5.0, 6.0)],
        {"k": K, "A": ("log-normal", 0.0, 0.5)},
        doses=[(2.0, "x", 5.0)],
    )
    return cs.calibrate(case, model, starts=2)


def test_values_of_a_calibration_are_those_of_a_simulation() -> None:
    fit = fitted()
    days = [1.0, 5.0]
    seen = cs.simulate(fit.model, fit.case.timeline, days, values=fit.values)
    assert seen["x"] * fit.values["A"] == pytest.approx(fit.rows()["predicted"].to_numpy(), rel=1e-5)
    faster = cs.simulate(fit.model, fit.case.timeline, days, values=fit.values | {"k": 0.2})
    assert faster["x"] == pytest.approx([10 * np.exp(-0.2), 10 * np.exp(-1.0) + 5 * np.exp(-0.6)], rel=1e-5)
    assert pickle.loads(pickle.dumps(fit.values)) == fit.values
    # a name nobody gave is still refused
    with pytest.raises(ModelError, match="kk"):
        cs.simulate(fit.model, fit.case.timeline, days, values={"kk": 1.0})


def test_values_of_a_model_that_the_case_stands_in_for_are_a_doubt() -> None:
    plain = fitted()
    other = fitted(plain.model.with_values({"k": 0.3}))
    assert other.values["k"] == K and other.log_evidence == plain.log_evidence
    more = set(other.diagnosis["doubts"]) - set(plain.diagnosis["doubts"])
    assert more == {
        "parameters.tsv, row 2, column nominalValue: nominal k = 0.1, but the model says 0.3. The case's value is used."
    }
    assert set(fitted(plain.model).diagnosis["doubts"]) == set(plain.diagnosis["doubts"])


def test_one_schedule_is_swept_as_one_of_several() -> None:
    fit, plan = fitted(), cs.Schedule.at([0.0], cells=5.0, product="x")
    alone, named = (cs.sweep(fit, each, until=5.0, draws=3) for each in (plan, {"schedule": plan}))
    assert alone.table().equals(named.table())
    unnamed = cs.sweep(fit, [plan], until=5.0, draws=3)
    assert list(unnamed.schedules) == ["5 cells x once, 1 dose"]
    assert np.array_equal(unnamed.posterior, alone.posterior)
    with pytest.raises(CellsimError, match="schedules by name"):
        cs.sweep(fit, 5, until=5.0)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("amount", "said"), [(5e4, "1e+04 times more"), (0.001, "5e+03 times less"), (50.0, "")]
)
def test_dose_unlike_those_given_is_a_doubt_of_the_sweep(amount: float, said: str) -> None:
    swept = cs.sweep(fitted(), cs.Schedule.at([0.0], cells=amount, product="x"), until=5.0, draws=3)
    found = [each for each in swept.approximation.doubts if "times" in each]
    assert bool(found) == bool(said) and said in "".join(found)
