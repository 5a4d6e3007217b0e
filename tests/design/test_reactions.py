"""Plans that a visit decides: both branches simulated by hand, a closed form of one linear state, and rules written out."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import Case
from cellsim.design.clinic_rules import Candidate, ClinicRules
from cellsim.dosing.restarts import SteadyState
from cellsim.errors import CellsimError

SPREAD, DAY, LAST = 0.4, 6.0, 20.0
PRODUCTS = "productId\tname\tsource\tstate\tunit\nx\ta drug\t\tx\tmg\nz\tanother\t\tz\tmg\n"
PLAN = {"interval": 3, "doses": 5, "cells": 3.0}


@lru_cache
def patient() -> Case:
    return tiny_case(
        "x = 0; z = 0; k = 0.3; x' = -k*x; z' = -0.1*z",
        {"y": ("x + z + 1", SPREAD), "w": ("x + z + 1", SPREAD, "normal")},
        [("y", 1.0, 3.0), ("w", 1.0, 3.2)],
        {"k": ("log-normal", float(np.log(0.3)), 0.5)},
        doses=[(0.0, "x", 3.0)],
        tables={"products.tsv": PRODUCTS},
        start=-1.0,
    )


@lru_cache
def fit() -> cs.Calibration:
    return cs.calibrate(patient(), starts=1)


def plan(product: str = "x", doses: int = 5) -> cs.Schedule:
    return cs.Schedule.every(
        PLAN["interval"], cells=PLAN["cells"], doses=doses, product=product, products=patient().products
    )


STEADY = cs.Schedule(
    cs.Schedule.at([0.0, 10.0], cells=1.0, product="x").infusions,
    restarts=(SteadyState(10.0, "x", 1.0, interval=5.0),),
)


def rates(draws: int) -> np.ndarray:
    return fit().objective.vector_of(fit().draws(draws, seed=0), ["k"])[:, 0]


def level(k: np.ndarray, days: list[float], now: float) -> np.ndarray:
    """Of x, after doses of 3."""
    return sum(3.0 * np.exp(-k * (now - day)) for day in days if day < now)


def swept(
    plans: dict, draws: int = 24, measure: object = "at(x, 20) + at(z, 20)", **more: object
) -> np.ndarray:
    """Numbers of every plan, shape (n_plans, n_draws)."""
    found = cs.sweep(fit(), plans, until=LAST, measures=[measure], draws=draws, history=None, **more)
    return found.posterior[:, 0]


def test_a_threshold_that_all_or_none_pass_is_the_plain_plan_exactly() -> None:
    """Witness: the plain plans, to the last bit, whatever the threshold's scale."""
    whole, cut = plan(), plan(doses=2)
    for measured in ("y", "w", "x", "x + z"):
        always = cs.Reaction.to(whole, day=DAY, measured=measured, below=np.inf)
        never = cs.Reaction.to(whole, day=DAY, measured=measured, below=-np.inf)
        numbers = swept({"whole": whole, "cut": cut, "always": always, "never": never})
        assert np.array_equal(numbers[2], numbers[0]) and np.array_equal(numbers[3], numbers[1])


@pytest.mark.parametrize("otherwise", ["stop", "z", 0.5])
def test_what_nobody_measures_decides_as_the_closed_form_does(otherwise: str | float) -> None:
    """Witness: sums of exponentials on either side of the decision, read before the dose of the visit's day."""
    k = rates(24)
    before = level(k, [0, 3], DAY)
    threshold = float(np.median(before))
    reacts = cs.Reaction.to(plan(), day=DAY, measured="x", below=threshold, otherwise=otherwise)
    on = level(k, [0, 3, 6, 9, 12], LAST)
    off = level(k, [0, 3], LAST)
    if otherwise == "z":
        off = off + sum(3.0 * np.exp(-0.1 * (LAST - day)) for day in (6, 9, 12))
    elif otherwise == 0.5:
        off = off + 0.5 * (on - off)
    [numbers] = swept({"reacts": reacts})
    assert np.allclose(numbers, np.where(before < threshold, on, off), rtol=2e-3)
    assert 0 < (before < threshold).sum() < 24


@pytest.mark.parametrize("measured", ["y", "w"])
def test_the_measured_value_decides_with_its_error(measured: str) -> None:
    """Witness: both branches by hand, and the law of who goes on: the normal distribution function of the distance to the threshold.

    Of 1,500 draws; their share lies within four standard errors, overall and in each half of the draws by true value, so that noise that
    followed the truth more or less closely would be seen.
    """
    draws, threshold = 1500, 2.6
    k = rates(draws)
    true = level(k, [0, 3], DAY) + 1
    reacts = cs.Reaction.to(plan(), day=DAY, measured=measured, below=threshold)
    whole, cut, numbers = swept({"whole": plan(), "cut": plan(doses=2), "reacts": reacts}, draws=draws)
    follows = numbers == whole
    assert np.array_equal(np.where(follows, whole, cut), numbers)
    apart = np.log(threshold / true) if measured == "y" else threshold - true
    chance = ndtr(apart / SPREAD)
    for some in (slice(None), true > np.median(true), true <= np.median(true)):
        error = np.sqrt((chance[some] * (1 - chance[some])).sum()) / len(chance[some])
        assert abs(follows[some].mean() - chance[some].mean()) < 4 * error
    assert 0.02 < np.mean(follows != (true < threshold)) < 0.5


def test_plans_that_ask_at_one_visit_read_one_sample() -> None:
    """Two plans alike until the visit go on in the same draws: their noise is one."""
    plans = {str(c): cs.Reaction.to(plan(), day=DAY, measured="y", below=c) for c in (2.3, 2.6)}
    low, high, whole = swept({**plans, "whole": plan()}, draws=400)
    assert np.all((high == whole) | (low != whole))


def test_a_change_of_a_background_product_keeps_what_came_before_the_visit() -> None:
    """A branch that gives a background product replaces it in both branches: they are alike before the visit."""
    reacts = cs.Reaction.to(plan(), day=DAY, measured="x", below=-np.inf, otherwise="z")
    backed = cs.Schedule.at([1.0], cells=50.0, product="z", products=patient().products)
    assert np.array_equal(*swept({"reacts": reacts, "plain": reacts.otherwise}, background=backed))


# ---- under rules -----------------------------------------------------------------------------------------

RULES = {"product": "x", "cells": [1.0, 3.0], "doses": [4, 6], "interval": [2, 3], "measured": "y"}


def test_optimise_races_plans_that_react_by_both_their_branches() -> None:
    """Witness: each branch swept by itself, and the plan of an infinite threshold, which is the one that does not react."""
    found = cs.optimise(
        fit(), until=LAST, measure="area(x)", better="lower", draws=24, eps=1e3, history=None,
        visit=[None, 5.0], below=[2.5, np.inf], otherwise=["stop", 0.5], **RULES,
    )  # fmt: skip
    assert found.complete and len(found.candidates) == 8 * (1 + 4)
    [raced] = found.raced.utility.values()
    utility = dict(zip(found.candidates, raced, strict=True))
    plain = {
        (each.cells, each.doses, each.interval): values
        for each, values in utility.items()
        if each.visit is None
    }
    followed = []
    for one, values in utility.items():
        if one.visit is None:
            continue
        going_on = plain[one.cells, one.doses, one.interval]
        # steps that plans share depend a little on which plans share them
        follows = np.isclose(values, going_on, rtol=1e-6)
        if one.below == np.inf:
            assert follows.all()
            continue
        other = -swept({"otherwise": found.rules.schedule(one, patient()).otherwise}, measure="area(x)")[0]
        assert np.allclose(values, np.where(follows, going_on, other), rtol=1e-3)
        followed.append(follows.mean())
    assert 0.05 < np.mean(followed) < 0.95
    table = found.table()
    assert set(table["otherwise"]) == {"", "stop", "0.5"}
    assert "on if y < 2.5 on day 5, else stop" in " ".join(table["plan"])


def test_rules_that_react_are_read_from_a_file_and_keep_to_limits(tmp_path: Path) -> None:
    """By hand: a dose after the visit that is doubled counts twice in every limit, one that stops counts as going on."""
    (tmp_path / "rules.toml").write_text(
        'product = "x"\ncells = 2.0\ndoses = 3\ninterval = 7\nmeasured = "y"\nvisit = ["never", 7]\nbelow = 4.0\n'
        'otherwise = ["stop", "z", 2.0]\ntotal_cells = 9.0\n'
    )
    rules = ClinicRules.from_toml(tmp_path / "rules.toml")
    plain = Candidate("x", 2.0, 3, 7.0)
    kinds = [(each.visit, each.otherwise) for each in rules.candidates()]
    assert kinds == [(None, "stop"), (7.0, "stop"), (7.0, "z")]
    doubled = Candidate("x", 2.0, 3, 7.0, visit=7.0, measured="y", below=4.0, otherwise=2.0)
    assert rules.amount(plain) == 6.0 and rules.amount(doubled) == 10.0
    assert rules.forbids(doubled) == "10 in all is more than 9"
    batches = ClinicRules(product="x", cells=2.0, doses=3, interval=7, lead_time=7, batch_size=4.0)
    late = Candidate("x", 2.0, 3, 7.0, start=7.0, visit=14.0, measured="y", below=4.0, otherwise=2.0)
    hasty = Candidate("x", 2.0, 3, 3.5, start=7.0, visit=8.0, measured="y", below=4.0, otherwise=2.0)
    assert batches.forbids(late) == ""
    assert batches.forbids(hasty) == "6 by day 10.5 needs 2 batches of 4, and 1 is made by then"
    reacts = rules.schedule(next(each for each in rules.candidates() if each.otherwise == "z"), patient())
    assert [each.product for each in reacts.otherwise] == ["x", "z", "z"]
    # a visit after the last dose, or a change to the same product, is no reaction
    none = ClinicRules(product="x", cells=2.0, doses=3, interval=7, measured="y", visit=[15], below=4.0)
    assert list(none.candidates()) == [plain]


def test_what_is_wrong_with_a_reaction_is_said_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(CellsimError, match=r"(?s)day = -1.*measured = ''.*below = nan"):
        cs.Reaction.to(plan(), day=-1.0, measured="", below=np.nan)
    with pytest.raises(CellsimError, match="differ before the visit on day 6"):
        cs.Reaction(go_on=plan(), otherwise=plan(doses=1), day=DAY, measured="y", below=1.0)
    with pytest.raises(CellsimError, match="'stop', a product, or a factor"):
        cs.Reaction.to(plan(), day=DAY, measured="y", below=1.0, otherwise=-2.0)
    strange = cs.Reaction.to(plan(), day=30.0, measured="yy", below=1.0)
    with pytest.raises(CellsimError, match=r"(?s)day 30 is after the last day.*'yy' to decide by.*y"):
        swept({"a": strange})
    with pytest.raises(CellsimError, match="steady state on day 10"):
        cs.Reaction.to(STEADY, day=DAY, measured="y", below=1.0, otherwise=0.5)
    assert not cs.Reaction.to(STEADY, day=DAY, measured="y", below=1.0).otherwise.restarts
    reacts = cs.Reaction.to(plan(), day=DAY, measured="y", below=2.5)
    from cellsim.predictions.own_measures import DaysToRelapse

    with pytest.raises(CellsimError, match="another one in each draw"):
        swept({"a": reacts}, measure=DaysToRelapse("y", 3.0))
    options = {"until": LAST, "measure": "area(x)", "better": "lower", "draws": 8}
    with pytest.raises(CellsimError, match="measured = ''"):
        cs.optimise(fit(), **options, **{**RULES, "measured": ""}, visit=5, below=2.5)
    with pytest.raises(CellsimError, match="cost="):
        cs.optimise(fit(), **options, **RULES, visit=5, below=2.5, cost=1.0)
    with pytest.raises(CellsimError, match="product 'zz'"):
        cs.optimise(fit(), **options, **RULES, visit=5, below=2.5, otherwise="zz")


def test_a_store_knows_the_rule(tmp_path: Path) -> None:
    """A stored sweep refuses another threshold, and answers the same as one in memory."""
    reacts = cs.Reaction.to(plan(), day=DAY, measured="x", below=1.5)
    held = swept({"reacts": reacts}, store=tmp_path / "sweep")
    assert np.allclose(held, swept({"reacts": reacts}), rtol=1e-6)
    with pytest.raises(CellsimError, match="reaction of 'reacts'"):
        swept({"reacts": cs.Reaction.to(plan(), day=DAY, measured="x", below=1.6)}, store=tmp_path / "sweep")
