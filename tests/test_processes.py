"""Results in other processes: what is pickled or deep-copied comes back equal, its machine code made again."""

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_cases import decay

import cellsim as cs
from cellsim.comparison.comparison import Comparison
from cellsim.comparison.evidence import evidence_of
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import CaseError, CellsimError, Problem
from cellsim.predictions.measures import Area

MODEL = "x = 0; x' = -k*x; k = 0.2; twice := 2*x; at (time > 12): x = x + 1"
COPIES = [pytest.param(lambda what: pickle.loads(pickle.dumps(what)), id="pickle"), copy.deepcopy]
Copy = Callable[[Any], Any]


def dosed(solver: Any = "rodas") -> cs.Trajectory:
    plan = Schedule.every(7, cells=5, doses=2, product="p", products=[Product("p", "", "x")])
    return cs.simulate(cs.load_model(MODEL), plan, [0.0, 7.0, 30.0], solver=solver, values={"k": 0.3})


@pytest.fixture(scope="module")
def fit() -> cs.Calibration:
    return cs.calibrate(decay([6.0, 3.7], [1.0, 2.0]), starts=2, seed=1)


@pytest.mark.parametrize("again", COPIES)
def test_what_is_read_comes_back_equal(again: Copy) -> None:
    """Witness: equality of every formula, row and dose."""
    shipped = cs.load_case("sjogren_rfib")
    for what in (shipped, cs.load_model("sjogren_rfib"), shipped.schedule, shipped.timeline):
        assert again(what) == what
        assert hash(again(what)) == hash(what)


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.parametrize("solver", ["rodas", "scipy"])
def test_a_trajectory_answers_as_before_also_between_its_samples(solver: str, again: Copy) -> None:
    """Witness: every sample and the area to the last bit; read-only stays read-only."""
    seen = dosed(solver)
    other = again(seen)
    assert np.array_equal(other.y, seen.y)
    assert other.auc("twice") == seen.auc("twice")
    assert other.schedule == seen.schedule
    assert dict(other.values) == {"k": 0.3}
    for changed in (lambda: other.values.update(k=1.0), lambda: other.y.__setitem__(0, 1.0)):
        with pytest.raises((AttributeError, ValueError)):
            changed()


@pytest.mark.parametrize("again", COPIES)
def test_a_calibration_scores_and_sweeps_as_before(fit: cs.Calibration, again: Copy) -> None:
    """Witness: the report, a gradient and the numbers of a sweep, to the last bit."""
    other = again(fit)
    assert other.report() == fit.report()
    assert other.lmfit.nfev == fit.lmfit.nfev
    before, after = (each.objective.evaluate(each.theta, gradient=True) for each in (fit, other))
    assert np.array_equal(after.jacobian, before.jacobian)
    numbers = [
        cs.sweep(each, {"none": Schedule()}, until=3, measures=[Area("x")], draws=8).posterior
        for each in (fit, other)
    ]
    assert np.array_equal(*numbers)


@pytest.fixture(scope="module")
def post(fit: cs.Calibration) -> cs.Posterior:
    return cs.sample(fit, method="nuts", chains=2, draws=20, tune=40, seed=1)


@pytest.fixture(scope="module")
def results(fit: cs.Calibration, post: cs.Posterior) -> list[Any]:
    """One of every kind that has a table."""
    return [
        cs.profile(fit, "k"),
        cs.identify(fit),
        cs.sweep(fit, {"none": Schedule()}, until=3, measures=[Area("x")], draws=8),
        Comparison({"V": fit, "W": fit}, {name: evidence_of(post) for name in ("V", "W")}),
    ]


@pytest.mark.parametrize("again", COPIES)
def test_every_other_result_comes_back(
    fit: cs.Calibration, post: cs.Posterior, results: list[Any], again: Copy
) -> None:
    """Witness: the tables of the copies are those of the originals."""
    assert np.array_equal(again(post).thetas, post.thetas)
    for what in (post, *results):
        assert again(what).table().equals(what.table())


@pytest.mark.parametrize("again", COPIES)
def test_a_refusal_keeps_its_problems(again: Copy) -> None:
    said = CaseError([Problem(what="no unit.", file="visits.tsv", row=2), Problem(what="no day.")])
    assert again(said).problems == said.problems
    assert str(again(said)) == str(said)


def area_of(fit: cs.Calibration) -> float:
    """Asked in another process."""
    return float(fit.objective.evaluate(fit.theta).objective)


def refused(text: str) -> None:
    cs.load_model(text)


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_another_process_computes_the_same(fit: cs.Calibration, start: str) -> None:
    """Witness: this process's own number; a refusal arrives as the refusal it is."""
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} on this platform")
    with multiprocessing.get_context(start).Pool(1) as pool:
        assert pool.apply(area_of, (fit,)) == area_of(fit)
        assert pool.apply(dosed).auc("x") == dosed().auc("x")
        with pytest.raises(CellsimError, match="No model 'nope'"):
            pool.apply(refused, ("nope",))


def test_results_are_named_in_one_short_line(
    fit: cs.Calibration, post: cs.Posterior, results: list[Any]
) -> None:
    """Of the shipped case and of a thousand doses of a thousand products: no formula, array or table is spelt out."""
    case = cs.load_case("sjogren_rfib")
    many = Schedule(Infusion(day, f"p{day}", 1.0) for day in range(1000))
    shown = [
        cs.load_model("sjogren_rfib"),
        case,
        case.schedule,
        many,
        dosed(),
        dosed("scipy"),
        fit,
        fit.objective,
        fit.objective.kernels,
        fit.mixture,
        post,
        post.drawn,
        *results[:2],
        results[0].curves["k"],
        results[3],
    ]
    for each in shown:
        assert len(repr(each)) < 250, repr(each)
        assert "\n" not in repr(each)
