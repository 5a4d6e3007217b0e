"""What a sweep keeps for the next one or leaves until it is asked for, and how far off its numbers are."""

import pickle
from typing import Any

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Schedule
from cellsim.predictions.bands import QUANTILES, CourseBands
from cellsim.predictions.measures import Value
from cellsim.solver.lanes import HISTORIES
from cellsim.sweeps import sweep_running


def curved() -> cs.Calibration:
    """A saturable loss, a response to what is there and its long shadow: nothing of it has a closed form."""
    case = tiny_case(
        "x = 0; x' = -V*x/(K + x); r = 1; r' = 0.3*(1 + 4*x/(1 + x) - r); s = 0; s' = 0.02*(r - s); V = 3; K = 2",
        {"y": ("r", 0.3)},
        [("y", 1.0, 1.5)],
        {"V": ("log-normal", float(np.log(3.0)), 0.4), "K": ("log-normal", float(np.log(2.0)), 0.4)},
    )
    return cs.calibrate(case, starts=1)


@pytest.fixture(scope="module")
def fit() -> cs.Calibration:
    return curved()


def test_numbers_of_a_sweep_are_off_by_less_than_a_thousandth_of_their_scatter(
    fit: cs.Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the same draws at a relative tolerance of 1e-9; of bands, two thousandths of their width."""
    plans = {
        "weekly": Schedule.every(7, cells=4.0, doses=6, product="x"),
        "often": Schedule.every(2, cells=1.0, doses=20, product="x"),
    }
    measures = ["area(x)", "area(r)", "days_above(r, 2)", "peak(r)", "at(s, 60)", Value((21.0,), ("y",))]
    options = {"until": 60, "measures": measures, "draws": 64, "history": None}
    found = cs.sweep(fit, plans, **options)
    both = found.posterior, found.prior
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-9)
    exact = cs.sweep(fit, plans, **options)
    for ours, theirs in zip(both, (exact.posterior, exact.prior), strict=True):
        off = np.sqrt(np.mean((ours - theirs) ** 2, axis=2)) / theirs.std(axis=2)
        assert 0 < off.max() < 1e-3
    for name, each in exact.curves.items():
        width = (each[:, -1] - each[:, 0]).max(axis=1)[:, None, None]
        assert np.all(np.abs(found.curves[name] - each) < 2e-3 * width)


def test_another_plan_of_the_same_draws_has_the_numbers_of_one_asked_alone(fit: cs.Calibration) -> None:
    """What is kept of one question for the next changes no bit. Witness: another calibration of the case, nothing kept."""
    plans = [Schedule.every(7, cells=c, doses=4, product="x") for c in (1.0, 2.0, 5.0)]
    history = Schedule.at([-8, -3], cells=2.0, product="x")
    options = {"until": 40, "measures": ["area(x)", "peak(r)", "at(y, 40)"], "draws": 20, "history": history}
    moved = [cs.sweep(fit, {"one": each}, **options) for each in (*plans, plans[1])]
    HISTORIES.forget()
    alone = cs.sweep(curved(), {"one": plans[1]}, **options)
    for each in (moved[1], moved[3]):
        assert np.array_equal(each.posterior, alone.posterior) and np.array_equal(each.prior, alone.prior)
        assert all(np.array_equal(each.curves[name], alone.curves[name]) for name in alone.curves)
    assert not np.array_equal(moved[0].posterior, alone.posterior)


def test_bands_wait_until_they_are_asked_for(fit: cs.Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witnesses: numpy's quantiles, without a draw that was lost; the bands made at once of what is too much to keep."""
    random = np.random.default_rng(4)
    batches = [random.normal(size=(2, 5, 3, n)) for n in (7, 6)]
    fine = np.arange(13) != 9
    seen = CourseBands(("a", "b", "c"), batches, [1, 0, 1], fine)
    whole = np.concatenate(batches, axis=3)[..., fine]
    assert list(seen) == ["a", "b", "c"] and len(seen) == 3 and "d" not in seen
    for k, name in enumerate(seen):
        expected = np.moveaxis(np.quantile(whole[[1, 0, 1], :, k], QUANTILES, axis=-1), 0, 1)
        assert seen[name] == pytest.approx(expected, rel=1e-12) and seen[name] is seen[name]
    one = Schedule.at([0], cells=3.0, product="x")
    plans = {"one": one, "the same": one, "two": Schedule.at([0, 7], cells=3.0, product="x")}
    options = {"until": 20, "measures": ["at(y, 9)", "peak(x)"], "draws": 150}
    waiting = cs.sweep(fit, plans, **options)
    assert isinstance(waiting.curves, CourseBands)
    monkeypatch.setattr("cellsim.sweeps.sweep_running._MOST_WAITING", 0)
    made = cs.sweep(fit, plans, **options)
    assert isinstance(made.curves, dict) and list(made.curves) == list(waiting.curves)
    assert all(np.array_equal(made.curves[name], waiting.curves[name]) for name in made.curves)


def test_the_prior_waits_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the same question with both made at once. x' = k x^2 from 1 ends on day 1/k: some of the prior's draws do not reach day 9."""
    case = tiny_case(
        "x = 1; x' = k*x^2; k = 0.03",
        {"y": ("x", 0.002)},
        [("y", 1.0, 1.03)],
        {"k": ("log-normal", float(np.log(0.03)), 1.0)},
    )
    small, options = cs.calibrate(case, starts=1), {"until": 9, "measures": ["at(x, 9)"], "draws": 150}
    plans = {"one": Schedule.at([0], cells=0.01, product="x"), "nothing": Schedule()}
    made: list[int] = []
    simulate = sweep_running.measured

    def counted(*given: Any, **more: Any) -> Any:
        made.append(len(given[2]))
        return simulate(*given, **more)

    monkeypatch.setattr(sweep_running, "measured", counted)
    later = cs.sweep(small, plans, **options)
    assert sum(made) == 150 and later.ranking("formula", better="lower").shape[0] == 2
    assert sum(made) == 300, "a table tells the doubts about both"
    sent = pickle.loads(pickle.dumps(cs.sweep(small, plans, **options)))
    monkeypatch.setattr(sweep_running, "_MOST_LATER", 0)
    at_once = cs.sweep(small, plans, **options)
    made.clear()
    for each in (later, sent):
        assert np.array_equal(each.prior, at_once.prior) and np.array_equal(each.posterior, at_once.posterior)
        assert each.lost == at_once.lost and each.lost[0] == 0 and 5 < each.lost[1] < 30
        assert each.approximation == at_once.approximation
        assert f"{each.lost[1]} of 150 prior draws could not be simulated" in each.approximation.doubts[-1]
        assert each.table().equals(at_once.table()) and each.contrasts().equals(at_once.contrasts())
    assert not made
