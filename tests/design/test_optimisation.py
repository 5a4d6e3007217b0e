"""The best plan under rules: brute force over a whole space, closed forms, and rules written out by hand."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.design.clinic_rules import Candidate, ClinicRules
from cellsim.design.optimum import control_variate_means
from cellsim.design.racing import Contender, compared, race, rounds_of, upper
from cellsim.errors import CellsimError
from cellsim.predictions.own_measures import DaysToRelapse


@pytest.fixture(scope="module")
def fits() -> list[cs.Calibration]:
    """A drug x' = -f k x of unknown k. In B it leaves twice as fast."""
    case = tiny_case(
        "x = 0; k = 0.3; f = 1; x' = -f*k*x",
        {"y": ("x + 1", 0.5)},
        [("y", 1.0, 3.0)],
        {"k": ("log-normal", float(np.log(0.3)), 0.3), "f": 1.0},
        doses=[(0.0, "x", 3.0)],
        variants={"A": {"f": 1}, "B": {"f": 2}},
        start=-1.0,
    )
    return [cs.calibrate(case, variant=name, starts=1) for name in ("A", "B")]


# an effect that more of the drug saturates, of what is there from day 0 to 60 and on day 60
BENEFIT = "30*area(x)/(10 + area(x)) + 2*sqrt(max(at(x, 60), 0))"
COST = 0.4
RULES = {
    "product": "x", "cells": [0.5, 1.0, 1.5, 3.0], "doses": range(1, 14), "interval": [1, 2, 3, 4, 7],
    "start": [0, 3, 6, 9], "loading": [0, 3], "loading_interval": [1, 2],
}  # fmt: skip


def exact(fit: cs.Calibration, one: Candidate, draws: int) -> np.ndarray:
    """The benefit of one plan in every draw: x is a sum of exponentials, its area that of each to day 60."""
    k = fit.objective.vector_of(fit.draws(draws, seed=0), ["k", "f"]).prod(axis=1)
    left = np.exp(-k * (60.0 - np.array(one.planned)[:, None]))
    area, last = one.cells * ((1 - left) / k).sum(axis=0), one.cells * left.sum(axis=0)
    return 30 * area / (10 + area) + 2 * np.sqrt(last)


def test_the_certificate_is_true_by_brute_force(fits: list[cs.Calibration]) -> None:
    """Two thousand plans, each with its closed form in every draw: none is better than the first of the answer by more than its certificate says, in
    either mechanism, and the answer holds the best."""
    found = cs.optimise(
        [(fits[0], 2.0), (fits[1], 1.0)],
        until=60,
        measure=BENEFIT,
        better="higher",
        cost=COST,
        draws=40,
        eps=0.05,
        **RULES,
    )
    assert len(found.candidates) >= 2000 and found.complete
    assert (
        max(one.planned[-1] for one in found.candidates) <= 60
        and "allowed plans have doses after" in found.report()
    )
    benefit = {
        fit.variant: np.array([exact(fit, one, 40).mean() for one in found.candidates]) for fit in fits
    }
    truth = {name: each - COST * found.amounts for name, each in benefit.items()}
    certificate, first = found.certificate().set_index("variant"), found.order[0]
    for name, utility in truth.items():
        assert utility.max() - utility[first] <= certificate.loc[name, "eps"] + 1e-3
        assert certificate.loc[name, "eps"] < 0.25 * np.ptp(utility)
        assert (
            found.raced.alive[name][np.argmax(utility)]
            or utility.max() - utility[found.raced.alive[name]].max() <= 0.05
        )
    average = (2 * truth["A"] + truth["B"]) / 3
    assert average.max() - average[found.leader] <= 0.05 + 1e-3
    # most plans were dropped after a few draws
    assert found.raced.simulations < 0.6 * 2 * 40 * len(found.candidates)
    table = found.table()
    assert table["utility"].to_numpy() == pytest.approx(average[found.order], abs=1e-3)
    worst = np.max([np.max(each) - each[found.order] for each in truth.values()], axis=0)
    assert table["worst_regret"].to_numpy() == pytest.approx(worst, abs=0.051)
    front, both = found.front(), (2 * benefit["A"] + benefit["B"]) / 3
    for amount in (1.0, 4.0, 12.0, 20.0):
        shown = front[front["amount"] <= amount]["benefit"].max()
        assert shown == pytest.approx(both[found.amounts <= amount].max(), abs=0.2)
    text = found.report()
    assert "no allowed plan is better than" in text and found.label in text
    assert next(iter(found.plans)) == found.names[first] and found.best == found.plans[found.names[first]]


def test_equal_plans_are_all_in_the_answer_the_simplest_first(fits: list[cs.Calibration]) -> None:
    """Of a linear drug the area is what was given over k, long after: plans of one total are equals and cannot be told apart."""
    found = cs.optimise(
        fits[0], until=400, measure="area(x)", better="higher", draws=16, eps=0.02, product="x", cells=[1.0, 2.0, 4.0], doses=[1, 2, 4],
        interval=[2, 5], total_cells=4.0,
    )  # fmt: skip
    assert [(each.cells, each.doses) for each in (found.candidates[k] for k in found.order)] == [
        (4.0, 1),
        (2.0, 2),
        (2.0, 2),
        (1.0, 4),
        (1.0, 4),
    ]
    assert (found.table()["beaten"] < 1).all()
    assert found.front()["amount"].tolist()[:1] == [1.0]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_best_of_gaussian_plans_is_kept(seed: int) -> None:
    """Utilities N(m_i, 1) with a shared part: the plan of the highest mean is in the answer, and what the certificate's inequality drops is worse."""
    random = np.random.default_rng(seed)
    means = random.normal(size=60) * 0.5
    draws = random.normal(size=(60, 400)) * 0.3 + random.normal(size=400) + means[:, None]
    raced = race(
        {"A": Contender(1.0, 400.0, lambda plans, first, last: draws[plans, first:last])},
        np.arange(60.0), draws=400, eps=0.0, probability=0.99, chance=False,
    )  # fmt: skip
    assert raced.average[np.argmax(means)] and raced.alive["A"][np.argmax(means)]
    assert raced.front[np.argmax(means)]
    assert raced.simulations < 60 * 400


def test_draws_that_are_all_alike_are_no_certainty() -> None:
    """One plan with a chance of 0.5 and one of 0.45 agree or differ in few draws: none may be dropped for luck."""
    random = np.random.default_rng(3)
    hits = (random.random(size=(2, 12)) < 0.5).astype(float)
    hits[0], hits[1] = 1.0, 0.0
    raced = race(
        {"A": Contender(1.0, 12.0, lambda plans, first, last: hits[plans, first:last])},
        np.zeros(2), draws=12, eps=0.0, probability=0.9999999, chance=True,
    )  # fmt: skip
    assert raced.average.all()
    assert rounds_of(12) == [12]


def test_benefit_against_cost_takes_few_draws_of_most_plans() -> None:
    """A thousand plans of ten costs, dearer ones better: of each cost the best is on the front and followed to 128 draws, those surely worse are gone
    after 16, those that nobody can tell from it by 32 draws stay, and only what may be the best of all has all 500."""
    random = np.random.default_rng(1)
    cost = np.repeat(np.arange(10.0), 100)
    behind = np.tile(np.r_[0.0, np.full(98, 30.0), 0.01], 10)
    draws = random.normal(size=(1000, 500)) + 20 * random.normal(size=500) + (30 * cost - behind)[:, None]
    raced = race(
        {"A": Contender(1.0, 500.0, lambda plans, first, last: draws[plans, first:last])},
        cost, draws=500, eps=0.0, probability=0.95, chance=False,
    )  # fmt: skip
    best = np.arange(10) * 100
    assert np.flatnonzero(raced.front).tolist() == sorted([*best, *(best + 99)])
    assert np.flatnonzero(raced.average).tolist() == [900, 999]
    assert raced.drawn[[900, 999]].tolist() == [500, 500]
    assert np.bincount(raced.drawn).nonzero()[0].tolist() == [16, 32, 128, 500]
    assert raced.drawn[best[:-1]].tolist() == [128 if draws[k, :32].mean() > draws[k + 99, :32].mean() else 32 for k in best[:-1]]  # fmt: skip
    assert raced.simulations == np.isfinite(raced.utility["A"]).sum() < 20_000


def test_a_plan_of_few_draws_is_told_by_how_far_it_is_behind_in_them(fits: list[cs.Calibration]) -> None:
    """The closed form in all 400 draws, against a mean over few of them, which is off by the scatter that all plans share."""
    found = cs.optimise(
        fits[0], until=60, measure=BENEFIT, better="higher", draws=400, product="x", cells=[0.5, 1.0, 3.0], doses=range(1, 6), interval=[2]
    )  # fmt: skip
    few = np.flatnonzero(found.raced.drawn < 400)
    truth = np.array([exact(fits[0], one, 400).mean() for one in found.candidates])[few]
    alone = np.nanmean(found.raced.utility["A"][few], axis=1)
    assert len(few) > 10
    off, off_alone = (float(np.sqrt(np.mean((each - truth) ** 2))) for each in (found.mean[few], alone))
    assert off < 0.6 * off_alone and off < 0.02 * np.ptp(truth)


def test_a_mean_of_few_draws_is_moved_by_what_goes_with_one_of_many() -> None:
    """Normal draws of known means: nothing stays nothing, what follows the one is told by it, the rest by its own draws; 400 repeats."""
    rng, off = np.random.default_rng(3), []
    for _ in range(400):
        leader = rng.normal(200.0, 60.0, 500)
        several = np.full((4, 500), np.nan)
        several[0, :32] = 0.0
        several[1, :32] = leader[:32] - 3.0 + rng.normal(0, 1, 32)
        several[2, :32] = 0.3 * leader[:32] + rng.normal(0, 1, 32)
        several[3, :32] = rng.normal(50.0, 10.0, 32)
        found = control_variate_means(leader, several)
        assert found[0] == 0.0
        off.append(found - [0.0, 197.0, 60.0, 50.0])
    error = np.sqrt(np.mean(np.square(off), axis=0))
    assert np.abs(np.mean(off, axis=0)) == pytest.approx(np.zeros(4), abs=0.6)
    # what 500 draws of the leader leave, its share, and 32 draws alone
    assert error == pytest.approx([0.0, 60 / np.sqrt(500), 18 / np.sqrt(500), 10 / np.sqrt(32)], rel=0.2)


def test_a_report_shows_the_steps_of_the_front_up_to_the_best(fits: list[cs.Calibration]) -> None:
    """Areas in closed form grow with what is given: one line an amount, each with more benefit than all before; no plan below nothing."""
    found = cs.optimise(
        fits[0], until=60, measure=BENEFIT, better="higher", draws=64, product="x", cells=[0.25, 0.5, 1.0, 3.0], doses=range(1, 9), interval=[2, 3]
    )  # fmt: skip
    shown = found._steps(found.front())
    assert (
        (np.diff(shown["amount"]) > 0).all()
        and (np.diff(shown["benefit"]) > 0).all()
        and 2 < len(shown) <= 15
    )
    assert shown["benefit"].iloc[-1] == found.front()["benefit"].max()
    assert f"Of {len(found.front())} plans" in found.report()


def test_draws_that_are_drawn_again_are_not_simulated() -> None:
    """500 draws of a sampler that are worth ten decide nothing that 64 of them do not; the other mechanism has all."""
    asked: dict[str, int] = {"A": 0, "B": 0}

    def utility(name: str):
        def of(plans: np.ndarray, first: int, last: int) -> np.ndarray:
            asked[name] = last
            return np.random.default_rng(first).normal(size=(len(plans), last - first))

        return of

    raced = race(
        {"A": Contender(0.5, 10.0, utility("A")), "B": Contender(0.5, 300.0, utility("B"))},
        np.zeros(3), draws=500, eps=0.0, probability=0.95, chance=False,
    )  # fmt: skip
    assert asked == {"A": 64, "B": 500}
    assert np.isfinite(raced.utility["A"]).sum(axis=1).max() == 64


def test_plans_that_a_mechanism_does_not_tell_apart_are_not_simulated_to_the_end() -> None:
    """Alike to what the solver knows in A: after 128 draws only what may be best on average is, and none is said to be worse there."""
    random = np.random.default_rng(5)
    shared, noise = random.normal(size=500) + 10, 1e-6 * random.normal(size=(40, 500))
    differ = random.normal(size=(40, 500)) + np.arange(40.0)[:, None]
    asked: dict[int, int] = {}

    def alike(plans: np.ndarray, first: int, last: int) -> np.ndarray:
        asked[first] = len(plans)
        return shared[first:last] + noise[plans, first:last]

    raced = race(
        {"A": Contender(0.5, 500.0, alike), "B": Contender(0.5, 500.0, lambda plans, first, last: differ[plans, first:last])},
        np.zeros(40), draws=500, eps=0.0, probability=0.95, chance=False,
    )  # fmt: skip
    assert asked == {0: 40, 16: 40, 32: 40, 64: 40, 128: raced.average.sum()} and raced.average.sum() < 5
    assert raced.alive["A"].all() and raced.average[39]


@pytest.mark.parametrize("cost", [0.0, 0.25])
def test_a_mechanism_that_no_dose_reaches_is_answered_by_one_plan(cost: float) -> None:
    """Where w is 0 the level of y is exp(-k t) under every plan: all are in the answer, one is simulated, and with a cost the cheapest alone is left.
    Beside a mechanism in which they differ the average is that of the other."""
    case = tiny_case(
        "x = 0; x' = -x; y = 1; y' = w*x - k*y; k = 0.3; w = 1",
        {"v": "y"},
        [("v", 1.0, 0.7)],
        {"k": ("log-normal", float(np.log(0.3)), 0.2), "w": 1.0},
        doses=[(0.5, "x", 1.0)],
        variants={"works": {"w": 1}, "none": {"w": 0}},
    )
    fits = {name: cs.calibrate(case, variant=name, starts=1) for name in ("works", "none")}
    asked: dict[str, Any] = {
        "until": 20, "measure": "at(y, 20)", "better": "higher", "draws": 200, "cost": cost, "product": "x", "cells": [1.0, 2.0],
        "doses": [1, 2, 3], "interval": [2, 3],
    }  # fmt: skip
    alone = cs.optimise(fits["none"], **asked)
    assert alone.alike == ("none",) and len(alone.order) == (len(alone.candidates) if cost == 0 else 1)
    assert alone.raced.simulations == 200 and alone.candidates[alone.order[0]] == Candidate("x", 1.0, 1, 2.0)
    k = fits["none"].objective.vector_of(fits["none"].draws(200, seed=0), ["k"])[:, 0]
    assert alone.mean + cost * alone.amounts == pytest.approx(np.exp(-20 * k).mean(), rel=1e-3)
    certificate = alone.certificate().iloc[0]
    assert (
        certificate["alike"]
        and certificate["eps"] == 0.0
        and "plans cannot differ in none" in certificate["says"]
    )
    assert ("but by what they cost" in certificate["says"]) == (cost > 0)
    both = cs.optimise([(fits["none"], 1.0), (fits["works"], 1.0)], **asked)
    assert both.alike == ("none",)
    assert both.candidates[both.leader] == (
        Candidate("x", 2.0, 3, 3.0) if cost == 0 else Candidate("x", 1.0, 1, 2.0)
    )


def test_a_measure_that_looks_at_the_plan_tells_plans_apart_that_no_dose_does() -> None:
    """y = exp(k t), which no dose reaches, is above 2 from day ln 2 / k on: so many days less after a later last dose."""
    case = tiny_case(
        "x = 0; x' = -x; y = 1; y' = k*y; k = 0.1",
        {"v": "y"},
        [("v", 1.0, 1.1)],
        {"k": ("log-normal", float(np.log(0.1)), 0.1)},
        doses=[(0.5, "x", 1.0)],
    )
    fit = cs.calibrate(case, starts=1)
    found = cs.optimise(
        fit, until=30, measure=DaysToRelapse("y", 2.0), better="higher", draws=8, product="x", cells=1.0, doses=[1, 3], interval=1
    )  # fmt: skip
    assert found.alike == () and [found.candidates[k].doses for k in found.order] == [1]
    assert found.mean[0] - found.mean[1] == pytest.approx(2.0, abs=1e-2)


def test_how_far_a_mean_may_be_off_is_a_quantile_of_students_t() -> None:
    """Witness: scipy's t, of whole degrees of freedom, of broken ones, and of so many that it is normal."""
    freedom, error = np.array([1.0, 2.5, 30.0, 1e6, np.inf]), np.array([1.0, 0.2, 3.0, 0.0, 2.0])
    for level in (0.5, 0.975, 0.9999):
        assert upper(level, error, freedom) == pytest.approx(stats.t.ppf(level, freedom) * error, rel=1e-9)


def test_the_error_over_mechanisms_has_the_degrees_of_freedom_of_welch() -> None:
    """Witness: scipy's test of two means of unequal variance; and one plan that a mechanism could not simulate is surely worse."""
    random = np.random.default_rng(2)
    first, second = random.normal(size=9), 3 * random.normal(size=40)
    seen = {
        "A": np.vstack([first, np.zeros(9), np.full(9, np.nan)]),
        "B": np.vstack([-second, np.zeros((2, 40))]),
    }
    mean, error, freedom = compared(
        0, np.array([0, 1, 2]), seen, {"A": (1.0, 100.0), "B": (1.0, 100.0)}, chance=False
    )
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert mean[1] / error[1] == pytest.approx(expected.statistic) and freedom[1] == pytest.approx(
        expected.df
    )
    assert (mean[0], error[0], freedom[0]) == (0.0, 0.0, 8.0) and np.isposinf(mean[2])


def test_more_combinations_than_can_be_enumerated_are_proposed(
    fits: list[cs.Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differential evolution over the same space comes near the best of the closed form, and does not claim to know all."""
    every = [each for each in ClinicRules(**RULES).candidates() if each.planned[-1] <= 60]
    best = max(float(exact(fits[0], one, 12).mean()) - COST * one.cells * one.doses for one in every)
    monkeypatch.setattr("cellsim.design.optimisation._ENUMERATED", 100)
    monkeypatch.setattr("cellsim.design.optimisation._GENERATIONS", 15)
    part = cs.optimise(
        fits[0], until=60, measure=BENEFIT, better="higher", cost=COST, draws=12, eps=0.05, **RULES
    )
    assert not part.complete and len(part.candidates) < len(every)
    assert part.mean[part.leader] >= best - 0.2
    assert part.certificate()["says"][0].startswith("no plan that was looked at")


# ---- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 60, 400])
def test_the_front_is_the_set_of_plans_that_none_dominates(count: int) -> None:
    """Witness: moocore's nondominated set, on random points of which many cost the same; noise that all plans share tells none from another."""
    try:
        import moocore
    except ImportError:
        assert not os.environ.get("CI"), "CI installs moocore with the extra test"
        pytest.skip("the witness moocore is not installed: pip install 'cellsim[test]'")
    random = np.random.default_rng(count)
    costs = random.integers(1, 30, count).astype(float)
    benefit = 0.1 * costs + random.standard_normal(count)
    noise = random.standard_normal(60)
    contender = Contender(
        1.0, np.inf, lambda plans, first, last: benefit[plans, None] + noise[None, first:last]
    )
    raced = race({"": contender}, costs, draws=60, eps=0.0, probability=0.95, chance=False)
    expected = moocore.is_nondominated(np.column_stack([costs, -benefit]), keep_weakly=True)
    assert np.array_equal(raced.front, expected)
    assert count == 1 or 1 < expected.sum() < 0.5 * count


def test_every_allowed_plan_keeps_every_rule_and_no_other_does() -> None:
    """Days, gaps, totals, batches and weekdays are counted again by hand for each combination."""
    rules = ClinicRules(
        product="x", cells=[2.0, 3.0, 5.0], doses=[1, 2, 3, 5], interval=[2, 4, 7], start=[0, 5, 12], loading=[0, 2], loading_interval=[1, 3],
        weekdays=("Monday", "thursday"), least_gap=2, largest_dose=4.0, total_cells=9.0, visits=4, last_day=30, lead_time=5, batch_size=3.0,
    )  # fmt: skip
    zero = date(2024, 1, 3)  # a Wednesday
    allowed = list(rules.candidates(zero))
    assert len(set(allowed)) == len(allowed) > 5
    every = {rules.of((p, c, n, i, s, k, j, None, np.inf, "stop")) for p in ["x"] for c in (2.0, 3.0, 5.0) for n in (1, 2, 3, 5) for i in (2, 4, 7)
             for s in (0, 5, 12) for k in (0, 2) for j in (1, 3)}  # fmt: skip
    for one in every:
        days = []
        for planned in one.planned:
            days.append(next(day for day in range(int(planned), 200) if (2 + day) % 7 in (0, 3)))
        gaps = np.diff(days)
        batches = all(
            np.ceil((k + 1) * one.cells / 3.0 - 1e-9) <= np.floor(day / 5) for k, day in enumerate(days)
        )
        fine = (
            (gaps >= 2).all() and one.cells <= 4 and one.cells * one.doses <= 9 and one.doses <= 4 and days[-1] <= 30 and days[0] >= 5
            and batches
        )  # fmt: skip
        assert fine == (one in allowed), (one, rules.forbids(one, zero))
        assert bool(rules.forbids(one, zero)) != fine


def test_rules_are_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        'product = "x"\ncells = [2.0, 3.0]\ndoses = {from = 2, to = 8, step = 2}\ninterval = 7\nweekdays = ["monday"]\nlead_time = 14\n'
    )
    rules = ClinicRules.from_toml(file)
    assert rules == ClinicRules(
        product="x", cells=[2.0, 3.0], doses=[2, 4, 6, 8], interval=7, weekdays=["monday"], lead_time=14
    )
    file.write_text('product = "x"\ncels = 2\ndoses = {from = 2}\ninterval = 7\n')
    with pytest.raises(CellsimError) as told:
        ClinicRules.from_toml(file)
    said = str(told.value)
    assert (
        "Did you mean 'cells'" in said
        and "cells is missing" in said
        and "from = 4" in said
        and str(file) in said
    )
    file.write_text("product = [\n")
    with pytest.raises(CellsimError, match="is not TOML"):
        ClinicRules.from_toml(file)
    with pytest.raises(CellsimError, match="cannot be read"):
        ClinicRules.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"doses": [2.5, 0]}, "(?s)doses = 2.5: a whole number.*doses = 0: a whole number"),
        ({"cells": []}, "cells has no level"),
        ({"cells": -1.0}, "cells = -1.0: a number above 0"),
        ({"weekdays": ["mondy"]}, "Did you mean 'monday'"),
        ({"least_gap": float("nan")}, "least_gap = nan"),
        ({"gap": 3}, "no rule 'gap'"),
        ({"total_cells": 0.1}, "(?s)allow no plan: of 1 combinations none.*is more than 0.1"),
        ({"product": "xx"}, "'xx' is neither a product"),
        ({"weekdays": ["monday"]}, "weekdays need the date of day 0"),
        ({"probability": 1.5}, "probability = 1.5"),
        ({"cost": -1}, "cost = -1"),
        ({"measure": None}, "no outcome that says what is better"),
        ({"better": None}, "is not known: give better"),
        ({"strict": True, "cells": 50.0}, "(?s)allow no plan.*outside what was given"),
    ],
)
def test_what_cannot_be_optimised_is_refused(fits: list[cs.Calibration], changed: dict, said: str) -> None:
    base = {
        "product": "x",
        "cells": 1.0,
        "doses": 2,
        "interval": 7,
        "measure": "area(x)",
        "better": "higher",
        "draws": 4,
    }
    with pytest.raises(CellsimError, match=said):
        cs.optimise(fits[0], until=20, **{**base, **changed})


def test_a_name_says_all_of_a_plan() -> None:
    assert (
        Candidate("x", 5e7, 8, 28.0, 21.0, 4, 7.0).words("cells")
        == "5.0e7 cells x, 8 doses every 28 d, first 4 every 7 d, from day 21"
    )
    assert Candidate("x", 5e7, 8, 28.0, 21.0, 4, 7.0).planned == (
        21.0,
        28.0,
        35.0,
        42.0,
        70.0,
        98.0,
        126.0,
        154.0,
    )
    assert Candidate("x", 2.0, 1, 28.0).words("mg") == "2 mg x, 1 dose"
