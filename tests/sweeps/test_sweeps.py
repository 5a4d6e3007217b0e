"""Sweeps: measures against closed forms, pairs of schedules, the prior beside the posterior, refusals."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from scipy import stats
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.dosing.restarts import SteadyState
from cellsim.dosing.schedule import Product, Schedule
from cellsim.errors import CellsimError, ScheduleError
from cellsim.predictions.bands import bands, quantiles
from cellsim.predictions.measures import Area, Asked, DaysBelow, InRange, PeakLoad, Plain, Runs, Value
from cellsim.predictions.predictions import predictions_named, predictions_of
from cellsim.predictions.predictor import Sample
from cellsim.predictions.reactions import Reaction
from cellsim.sweeps import learned
from cellsim.sweeps.learned import beside_prior
from cellsim.sweeps.sweep_result import BANDS
from cellsim.sweeps.sweep_text import draws_text


@pytest.fixture(scope="module")
def drug() -> cs.Calibration:
    """One compartment, x' = -k x with k log-normal(ln 0.2, 0.3), one row that says little; dosed from day 0 on."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.2",
        {"y": ("x + base", 0.5)},
        [("y", -1.0, 2.0)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3), "base": ("log-normal", float(np.log(2.0)), 0.3)},
        start=-2.0,
    )
    return cs.calibrate(case, starts=1)


def plan(*days: float, amount: float = 3.0) -> Schedule:
    return Schedule.at(list(days), cells=amount, product="x", products=[Product("x", "", "x")])


def test_measures_have_their_closed_forms(drug: cs.Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dose of 3 on day 0: area 3 (1 - exp(-30 k))/k, below 1 from ln(3)/k on, draw by draw."""
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-5)
    result = cs.sweep(
        drug, {"one": plan(0)}, until=30, measures=[Area("x"), DaysBelow("x", 1.0)], draws=50, history=None
    )
    k = drug.objective.vector(drug.draws(50, seed=0))[
        :, list(drug.objective.kernels.equations.parameters).index("k")
    ]
    area, below = result.posterior[0]
    assert area == pytest.approx(3 * (1 - np.exp(-30 * k)) / k, rel=1e-5)
    assert below == pytest.approx(30 - np.log(3) / k, abs=1e-4)


def test_days_below_a_level_are_those_of_the_course_across_doses() -> None:
    """x' = -2 x, 5 weekly: above 1 for ln(5)/2 days after each of four doses; a trajectory says the same."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 2",
        {"y": ("1 + x", 0.1)},
        [("y", 1.0, 1.0)],
        {"k": ("log-normal", float(np.log(2)), 1e-6)},
    )
    plans = {"weekly": plan(0, 7, 14, 21, amount=5.0)}
    found = cs.sweep(
        cs.calibrate(case, starts=1), plans, until=28, measures=[DaysBelow("x", 1.0)], draws=4, history=None
    )
    exact = 28 - 4 * np.log(5) / 2
    assert found.posterior[0, 0] == pytest.approx(exact, abs=1e-4)
    seen = cs.simulate(cs.load_model("x = 0; x' = -2*x"), plans["weekly"], [0, 28])
    assert seen.time_below("x", 1.0) == pytest.approx(exact, abs=1e-4)


def test_doses_add_up_and_contrasts_are_paired(drug: cs.Calibration) -> None:
    """In a linear model two doses have twice the area of one for every draw, so the contrast has no spread."""
    plans = {"one": plan(0), "two at once": plan(0, 0), "one again": plan(0)}
    result = cs.sweep(drug, plans, until=60, measures=[Area("x")], draws=40, history=None)
    one, two, again = result.posterior[:, 0]
    assert two == pytest.approx(2 * one, rel=1e-6)
    assert again == pytest.approx(one, rel=1e-9)
    table = result.contrasts().set_index(["first", "second"])
    assert table.loc[("one", "two at once"), "above"] == 0
    assert table.loc[("one", "one again"), "above"] == pytest.approx(0.5, abs=0.5)
    assert "unequal cells: 3 and 6" in table.loc[("one", "two at once"), "note"]
    assert "unequal" not in table.loc[("one", "one again"), "note"]
    assert result.label in table.attrs["label"]


def test_the_prior_stands_beside_the_posterior(drug: cs.Calibration) -> None:
    """Prior draws follow the prior's own approximation: ln(area of one dose) is about -ln k, N(ln 15, 0.3)."""
    result = cs.sweep(
        drug, {"one": plan(0)}, until=200, measures=[Area("x")], draws=500, history=None, seed=3
    )
    assert stats.kstest(np.log(result.prior[0, 0] / 15), stats.norm(0, 0.3).cdf).pvalue > 1e-3


def test_history_is_put_before_every_plan(sjogren_fit: cs.Calibration) -> None:
    fit, case = sjogren_fit, sjogren_fit.case
    given = {"as given": case.schedule}
    measures = [Area("viable_allo"), Area("viable_auto")]
    after = cs.sweep(fit, given, until=100, measures=measures, draws=5)
    alone = cs.sweep(fit, given, until=100, measures=measures, draws=5, history=None)
    assert np.all(after.posterior[0, 0] > 0)  # what is left of the UCMSC on day 0
    assert alone.posterior[0, 0] == pytest.approx(np.zeros(5), abs=1e-12)
    assert after.posterior[0, 1] == pytest.approx(alone.posterior[0, 1], rel=1e-6)


def test_a_plan_has_the_same_numbers_whatever_it_is_compared_with(sjogren_fit: cs.Calibration) -> None:
    """The history is integrated once for all plans that follow it; eight draws fill the lanes of any machine."""
    case = sjogren_fit.case
    plans = {
        "given": case.schedule,
        "none": Schedule(),
        "later": case.schedule.shifted(30),
        "other": case.schedule.as_product("ucmsc"),
        "given again": case.schedule,
    }
    measures = [Value((30.0, 300.0)), InRange(), Area("viable_auto"), Area("viable_allo")]

    def ask(names: list[str]) -> np.ndarray:
        some = {name: plans[name] for name in names}
        return cs.sweep(sjogren_fit, some, until=300, measures=measures, draws=8).posterior

    together = ask(list(plans))
    assert np.array_equal(together, ask(list(plans)[::-1])[::-1])
    assert np.array_equal(together[0], together[-1])
    for place, name in enumerate(list(plans)[:3]):
        assert np.array_equal(together[place], ask([name])[0])


def test_chances_are_those_of_the_normal_law(sjogren_fit: cs.Calibration) -> None:
    """IL-6 of the case on day 300: the chance with noise is Phi of the distance to the limit over its spread."""
    fit, case = sjogren_fit, sjogren_fit.case
    measures = [
        Value((300.0,), ("IL6",)),
        InRange((300.0,), True, ("IL6",)),
        InRange((300.0,), False, ("IL6",)),
        PeakLoad("cytokines"),
    ]
    value, chance, inside, peak = cs.sweep(
        fit, {"given": case.schedule}, until=310, measures=measures, draws=20
    ).posterior[0]
    spread = np.hypot(0.6, 0.4)  # the assay's, and a new sample effect
    assert chance == pytest.approx(stats.norm.cdf(np.log(9.1 / value) / spread), rel=1e-9)
    assert np.array_equal(inside, (value <= 9.1).astype(float))
    assert np.all(peak > 0)


def test_what_cannot_be_compared_is_refused_all_at_once(sjogren_fit: cs.Calibration) -> None:
    fit, case = sjogren_fit, sjogren_fit.case
    plans = {"early": case.timeline, "typo": Schedule.every(7, cells=5e7, doses=2, product="rfibb")}
    with pytest.raises(ScheduleError) as error:
        cs.sweep(fit, plans, until=-5)
    assert [problem.what.split()[0] for problem in error.value.problems] == ["until", "'early'", "'typo'"]
    assert "Did you mean 'rfib'" in str(error.value)


def test_the_same_seed_gives_the_same_numbers(drug: cs.Calibration) -> None:
    def ask(seed: int) -> cs.Sweep:
        return cs.sweep(
            drug, {"one": plan(0)}, until=9, measures=[Area("x")], draws=7, seed=seed, history=None
        )

    assert np.array_equal(ask(1).posterior, ask(1).posterior)
    assert not np.array_equal(ask(1).posterior, ask(2).posterior)


def test_contraction_and_shift_are_those_of_a_normal_law() -> None:
    """m' = r, r ~ N(0, 2), one row y = m(1) = r with sd s: the posterior of r, and so of any area under m, is normal
    with variance 1/(1/4 + 1/s^2)."""
    prior, sd, seen = 2.0, 3.0, 4.0
    case = tiny_case(
        "m = 0; m' = r; r = 0", {"y": ("m", sd, "normal")}, [("y", 1.0, seen)], {"r": ("normal", 0.0, prior)}
    )
    variance = 1 / (1 / prior**2 + 1 / sd**2)
    result = cs.sweep(
        cs.calibrate(case, starts=1), {"none": Schedule()}, until=5, measures=[Area("m")], draws=4000
    )
    row = result.table().iloc[0]
    assert row["contraction"] == pytest.approx(1 - variance / prior**2, abs=0.04)
    assert row["shift"] == pytest.approx(variance * seen / sd**2 / prior, abs=0.05)
    assert row["verdict"] == "data-driven"


def test_what_no_row_speaks_of_is_called_prior_driven(drug: cs.Calibration) -> None:
    """The one row was taken before any dose: of the clearance of the drug it knows nothing."""
    measures = [Area("x"), DaysBelow("x", 1.0), DaysBelow("x", 1e9)]
    table = cs.sweep(drug, {"one": plan(0)}, until=30, measures=measures, draws=1000, history=None).table()
    assert list(table["verdict"]) == ["prior-driven", "prior-driven", ""]
    assert abs(table["contraction"][0]) < 0.15 and np.isnan(table["contraction"][2])


def test_chances_have_no_contraction(sjogren_fit: cs.Calibration) -> None:
    """Baselines are learned from the visits, so the chance of a normal IgG is no longer the prior's."""
    table = cs.sweep(
        sjogren_fit,
        {"none": Schedule()},
        until=365,
        measures=[InRange(noise=True, analytes=("IgG", "IL6"))],
        draws=100,
    ).table()
    assert table["contraction"].isna().all()
    apart = (table["estimate"] - table["prior_estimate"]).abs() >= 0.1
    assert list(table["verdict"]) == ["moved, not narrowed" if each else "prior-driven" for each in apart]
    assert apart.any()


def test_only_what_is_given_by_the_last_day_is_counted(drug: cs.Calibration) -> None:
    """Cells counted are those that came in: without loss, x on the last day plus what left it, k times its area."""
    cut = Schedule.at(
        [0, 38, 40, 70], cells=[3.0, 8.0, 1.0, 5.0], product="x", duration=[0, 4, 0, 0],
        products=[Product("x", "", "x")],
    )  # fmt: skip
    found = cs.sweep(
        drug, {"cut": cut, "whole": plan(0)}, until=40, measures=[Area("x"), Value((40,), ("y",))], draws=4,
        history=None,
    )  # fmt: skip
    values = drug.objective.vector(drug.draws(4, seed=0))
    names = list(drug.objective.kernels.equations.parameters)
    k, base = values[:, names.index("k")], values[:, names.index("base")]
    came_in = found.posterior[0, 1] - base + k * found.posterior[0, 0]
    table = found.table()
    counted = table[table["schedule"] == "cut"]
    assert counted["cells"].to_numpy() == pytest.approx(came_in.mean(), rel=1e-4)
    assert came_in == pytest.approx(3 + 8 / 2 + 1, rel=1e-4)
    assert (counted["infusions"] == 3).all()
    said = [each for each in found.approximation.doubts if "are given by day 40" in each]
    assert len(said) == 1 and said[0].startswith("cut: only 3 of 4 infusions")


@pytest.mark.parametrize(
    ("schedules", "options", "said"),
    [
        ({1: plan(0), "1": plan(7)}, {}, "two schedules are called '1'"),
        ([plan(0), 3], {}, "number 2. is a int"),
        ({"a": None}, {}, "'a' is a NoneType, and no schedule"),
        ({"a": plan(0).to_frame()}, {}, "'a' is a DataFrame.*from_table"),
        (plan(0), {"history": plan(-7, 38)}, "history has a dose on day 38"),
        (plan(0), {"history": "own"}, "history is 'own'"),
        (plan(0), {"draws": 0}, "draws = 0: a whole number, at least 1"),
        (plan(0), {"draws": 2.5}, "draws = 2.5"),
        (plan(0), {"seed": -1}, "seed = -1"),
        (plan(0), {"seed": 1.5}, "seed = 1.5"),
        (plan(0), {"until": "40"}, "until = '40': not a finite day"),
        (plan(0), {"until": None}, "until = None"),
        (plan(0), {"until": np.timedelta64(40, "D")}, "until = .*not a finite day"),
        (plan(0), {"until": 1e9}, "100000 at most"),
        (plan(0), {"measures": [Value((np.timedelta64(3, "D"),))]}, r"days of Value\[0\]"),
    ],
)
def test_what_cannot_be_swept_is_refused(drug: cs.Calibration, schedules, options, said) -> None:
    with pytest.raises(ScheduleError, match=f"(?s){said}"):
        cs.sweep(drug, schedules, **{"until": 40, "draws": 2, "history": None, **options})


def test_predictions_and_bands_are_refused_alike_before_any_work(drug: cs.Calibration) -> None:
    """A billion days would be 8 GB for each number alone; what a history would add to a plan is refused, too."""
    with pytest.raises(CellsimError, match=r"y@1e9: .*100000 at most"):
        predictions_named(drug, ["y@1e9"])
    with pytest.raises(CellsimError, match="100000 at most"):
        predictions_of(drug, [Area("x")], until=1e9)
    with pytest.raises(CellsimError, match="history has a dose on day 3"):
        predictions_of(drug, [Area("x")], until=9, history=plan(3))
    with pytest.raises(CellsimError, match="begin on day 0"):
        predictions_of(drug, [Area("x")], until=9, plan=plan(-1))
    with pytest.raises(CellsimError, match="no schedule"):
        predictions_of(drug, [Area("x")], until=9, plan=[0])
    with pytest.raises(CellsimError, match="100000 at most"):
        bands(drug, ["x"], start=0, end=1e9)
    with pytest.raises(CellsimError, match="draws = 0"):
        bands(drug, ["x"], start=0, end=9, draws=0)


def test_one_schedule_needs_no_name_and_a_level_is_a_share(drug: cs.Calibration) -> None:
    """One plan alone gives the numbers it gives under a name."""
    alone, named = (
        cs.sweep(drug, each, until=40, measures=[Area("x")], draws=2, history=None)
        for each in (plan(0), {"one": plan(0)})
    )
    assert alone.posterior == pytest.approx(named.posterior, rel=1e-12)
    for level in ("0.9", 0, 1.0, None):
        with pytest.raises(CellsimError, match="a share between 0 and 1"):
            alone.table(level=level)


# ---- the answer as text --------------------------------------------------------------------------


def test_a_report_says_what_the_draws_say() -> None:
    """The witness is the draws themselves: quantiles of each plan, and of each plan less the one as given."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.3",
        {"y": ("x + 1", 0.2)},
        [("y", 1.0, 3.0), ("y", 3.0, 2.0)],
        {"k": ("log-normal", -1.0, 0.3)},
        doses=[(0.5, "x", 4.0)],
    )
    fit = cs.calibrate(case, starts=1)
    plans = {
        "more": cs.Schedule.at([1, 2], cells=3.0, product="x"),
        "as given": case.schedule,
        "none": cs.Schedule(),
    }
    found = cs.sweep(fit, plans, until=5, measures=[Value((4.0,))], draws=60)
    lines = found.report(level=0.8).splitlines()
    draws = found.posterior[:, 0]

    def shown(values: np.ndarray) -> str:
        low, middle, high = (f"{each:.3g}" for each in np.quantile(values, [0.1, 0.5, 0.9]))
        return f"{middle} ({low} to {high})"

    row = next(line for line in lines if line.strip().startswith("value y, day 4"))
    assert [shown(each) in row for each in draws] == [True] * 3
    apart = {
        line.split("day 4")[1].split()[0]: line for line in lines[lines.index(row) + 1 :] if "value y" in line
    }
    assert apart.keys() == {"more", "none"}
    for name, k in (("more", 0), ("none", 2)):
        assert shown(draws[k] - draws[1]) in apart[name]
        assert f"{100 * np.mean(draws[k] > draws[1]):.0f} %" in apart[name]
    assert any("80 % interval" in line for line in lines)
    assert all(each in "\n".join(lines) for each in found.approximation.doubts)
    assert (found.table(level=0.8)["level"] == 0.8).all() and (found.contrasts()["level"] == 0.9).all()


def test_a_page_takes_every_name_for_text() -> None:
    """Notebooks show HTML: a plan called like a tag stays text, a long table is cut short and says so."""
    case = straight_line([10.9, 11.4], [1.0, 2.0])
    plans = {f"<b>{k}</b>": cs.Schedule() for k in range(2)}
    asked = [Value(tuple(np.linspace(0, 5, 40)))]
    html = cs.sweep(cs.calibrate(case, starts=1), plans, until=5, measures=asked, draws=5)._repr_html_()
    assert "&lt;b&gt;0&lt;/b&gt;" in html and "<b>" not in html and "and 10 more rows" in html
    case = cs.load_case("cytopenia_synthetic")
    many = cs.Schedule.every(7, cells=1e6, doses=50, product="graft", label="<i>", products=case.products)
    for page in (case._repr_html_(), many._repr_html_(), case.schedule._repr_html_()):
        assert "<table" in page and "<i>" not in page and len(page) < 12_000
    assert "and 20 more rows" in many._repr_html_() and "platelets" in case._repr_html_()


def test_a_difference_that_no_draw_changes_is_the_priors_own() -> None:
    same = np.full(20, -3.0)
    assert beside_prior(same, same)["note"] == "as the prior says, in direction and size"
    assert beside_prior(same - 1, same)["note"] == "direction as the prior says, size not as the prior says"


# ---- what every plan keeps -----------------------------------------------------------------------


def two_drugs(background: str = "") -> cs.Calibration:
    """Two drugs that decay on their own, a and b, read in sum; the posterior is that of b's rate alone."""
    tables = {
        "products.tsv": "productId\tsource\tstate\tunit\tbackground\na\tnone\tA\tmg\t"
        + background
        + "\nb\tnone\tB\tmg\t\n"
    }
    case = tiny_case(
        "A = 0; A' = -0.1*A; B = 0; B' = -k*B; k = 0.3; unit mg = 1e-3 gram; A has mg; B has mg",
        {"y": ("A + B + 1", 0.2)}, [("y", 1.0, 9.0), ("y", 3.0, 6.0)], {"k": ("log-normal", -1.0, 0.3)},
        doses=[(0.0, "A", 5.0), (0.5, "B", 4.0), (2.0, "A", 3.0)], tables=tables, start=-1.0,
    )  # fmt: skip
    return cs.calibrate(case, starts=1)


def asked(fit: cs.Calibration, plans: dict, **options) -> tuple:
    found = cs.sweep(fit, plans, until=6, measures=[Value((6.0,))], draws=40, seed=1, **options)
    return found, found.posterior[:, 0]


def own_drug(fit: cs.Calibration, plan: cs.Schedule, others: list[tuple[float, float]]) -> np.ndarray:
    """1 + both drugs on day 6 under each draw, in closed form."""
    k = np.exp(-1.0 + 0.3 * fit.draws(40, seed=1)[:, 0])
    kept = sum(amount * np.exp(-0.1 * (6 - day)) for day, amount in others)
    return 1 + kept + sum((each.cells * np.exp(-k * (6 - each.day)) for each in plan), np.zeros(40))


def test_every_plan_keeps_the_background_unless_told_otherwise() -> None:
    fit = two_drugs("true")
    b, products = [1.0, 4.0], fit.case.products
    plan = cs.Schedule.at(b, cells=2.0, product="b", products=products)
    given = [(0.0, 5.0), (2.0, 3.0)]
    found, values = asked(fit, {"as given": fit.case.schedule, "b later": plan, "nothing": cs.Schedule()})
    assert values[1] == pytest.approx(own_drug(fit, plan, given), rel=1e-4)
    assert values[2] == pytest.approx(own_drug(fit, cs.Schedule(), given), rel=1e-4)
    assert not any("left out" in each for each in found.approximation.doubts)
    assert "Every plan keeps the background" in found.report()
    rows = dict(zip(found.table()["schedule"], found.table()["given"], strict=True))
    assert sorted(rows["b later"].split("; ")) == ["a 8 mg", "b 4 mg"] and rows["nothing"] == "a 8 mg"
    # a plan made without products counts in the case's units
    bare = asked(fit, {"bare": cs.Schedule.at(b, cells=2.0, product="b")}, background=None)[0]
    assert bare.table()["given"].tolist() == ["b 4 mg"]
    # doses of its own of that product are all it gets of it
    more = plan + cs.Schedule.at([3.0], cells=1.0, product="a", products=products)
    _, values = asked(fit, {"less of a": more})
    assert values[0] == pytest.approx(own_drug(fit, plan, [(3.0, 1.0)]), rel=1e-4)
    _, values = asked(fit, {"b alone": plan}, background=None)
    assert values[0] == pytest.approx(own_drug(fit, plan, []), rel=1e-4)
    other = cs.Schedule.at([5.0], cells=9.0, product="a", products=products)
    _, values = asked(fit, {"b": plan}, background=other)
    assert values[0] == pytest.approx(own_drug(fit, plan, [(5.0, 9.0)]), rel=1e-4)
    with pytest.raises(ScheduleError, match="belongs into history"):
        asked(fit, {"b": plan}, background=cs.Schedule.at([-1], cells=1.0, product="a", products=products))
    with pytest.raises(ScheduleError, match="background is 'a'; give a Schedule"):
        asked(fit, {"b": plan}, background="a")


def test_a_second_drug_is_not_dropped_without_a_word() -> None:
    fit = two_drugs()
    plan = cs.Schedule.at([1.0], cells=8.0, product="b", products=fit.case.products)
    found, values = asked(fit, {"as given": fit.case.schedule, "b alone": plan, "nothing": cs.Schedule()})
    assert values[1] == pytest.approx(own_drug(fit, plan, []), rel=1e-4)
    said = [each for each in found.approximation.doubts if "left out" in each]
    assert len(said) == 1 and said[0].startswith(
        "b alone: what was also given from day 0 on is left out: a (8 mg)"
    )
    # as many milligrams in sum are not the same drugs: contrasts tell them product by product
    equal = cs.Schedule.at([1.0], cells=12.0, product="b", products=fit.case.products)
    found, _ = asked(fit, {"as given": fit.case.schedule, "b": equal}, background=None)
    assert "unequal a: 8 mg and 0 mg; unequal b: 4 mg and 12 mg" in found.contrasts()["note"][0]
    assert not any("left out" in each for each in found.approximation.doubts)


@dataclass(frozen=True)
class _Seen(Plain):
    """How many days are recorded, and the greatest daily value: a measure of one's own that says nothing of courses."""

    def formulas(self, case: cs.Case) -> dict[str, sp.Expr]:
        return {"x": sp.Symbol("x")}

    def asked(self, case: cs.Case, model: cs.Model, until: float) -> tuple[Asked, ...]:
        return (Asked("days recorded", "x", "1"), Asked("greatest of a day", "x", "1"))

    def of(self, runs: Runs, case: cs.Case, until: float) -> np.ndarray:
        seen = runs.values["x"]
        return np.array([np.full(len(seen), len(runs.times)), seen.max(axis=1)])


def test_days_that_no_measure_asks_for_are_recorded_for_courses_alone(drug: cs.Calibration) -> None:
    """The same numbers with all days and with few; a measure that does not say what it looks at has all of them."""
    plans = {"one": plan(0), "three": plan(0, 7, 14)}
    measures = [Value((3.0,), ("y",)), Area("x"), DaysBelow("x", 1.0)]
    history = Schedule(())
    thetas = drug.draws(20, seed=3)
    sample = Sample(drug.objective, measures, history, 30.0)
    whole = sample.runs(tuple(plans.values()), thetas)
    few = sample.runs(tuple(plans.values()), thetas, courses=False)
    assert [len(each.times) for each in few] == [3, 3]
    for one, other in zip(whole, few, strict=True):
        assert len(one.times) > 30
        at = np.searchsorted(one.times, other.times)
        assert np.array_equal(one.values["y"][:, at], other.values["y"])
        assert np.array_equal(one.areas["x"][:, at], other.areas["x"])
    found = cs.sweep(drug, plans, until=30, measures=[_Seen(), *measures], draws=10, history=None)
    assert np.all(found.posterior[:, 0] == len(found.times)) and np.all(found.prior[:, 0] == len(found.times))
    assert found.posterior[0, 1] == pytest.approx(3.0, rel=1e-6)


def test_plans_that_do_not_differ_in_what_is_asked_are_simulated_once() -> None:
    """Of y, which no dose of x reaches where w is 0, every plan has the closed form and the very same numbers; of x they differ."""
    case = tiny_case(
        "x = 0; x' = -x; y = 1; y' = w*x - k*y; k = 0.3; w = 1",
        {"v": "y"},
        [("v", 1.0, 0.7)],
        {"k": ("log-normal", float(np.log(0.3)), 0.2), "w": 0.0},
        doses=[(0.5, "x", 1.0)],
    )
    fit = cs.calibrate(case, starts=1)
    thetas = fit.draws(12, seed=1)
    k = fit.objective.vector_of(thetas, ["k"])[:, 0]
    plans = [cs.Schedule.every(2, cells=size, doses=3, product="x") for size in (1.0, 2.0)]
    sample = Sample(fit.objective, [Value((5.0,), ("v",))], Schedule(()), 5.0)
    assert sample.cannot_differ(plans)
    one, other = sample.runs(plans, thetas)
    assert one is other and one.values["v"][:, -1] == pytest.approx(np.exp(-5 * k), rel=1e-3)
    seen = Sample(fit.objective, [Value((5.0,), ("v",)), Area("x")], Schedule(()), 5.0)
    assert not seen.cannot_differ(plans)
    first, second = (each.areas["x"][:, -1] for each in seen.runs(plans, thetas))
    assert second == pytest.approx(2 * first, rel=1e-3)


def test_courses_of_plans_behind_two_that_do_not_differ_are_their_own() -> None:
    """Witness: y(t) = exp(-k t), and 2 exp(-k (t - 1)) more from the dose of day 1 on; doses of x change nothing of y."""
    case = tiny_case(
        "x = 0; x' = -x; y = 1; y' = w*x - k*y; k = 0.3; w = 1",
        {"v": "y"},
        [("v", 1.0, 0.7)],
        {"k": ("log-normal", float(np.log(0.3)), 0.2), "w": 0.0},
        doses=[(0.5, "x", 1.0), (0.5, "y", 0.1)],
    )
    fit = cs.calibrate(case, starts=1)
    plans = {
        name: cs.Schedule.at([1.0], cells=size, product=product)
        for name, size, product in (("one", 1.0, "x"), ("two", 2.0, "x"), ("y", 2.0, "y"), ("four", 4.0, "x"))
    }
    found = cs.sweep(
        fit, plans, until=5, measures=[Value((5.0,), ("v",))], draws=12, history=None, background=None
    )
    k = fit.objective.vector_of(fit.draws(12, seed=found.seed), ["k"])[:, 0]
    own = np.exp(-k * found.times[:, None])
    more = 2 * np.where(found.times[:, None] >= 1, np.exp(-k * (found.times[:, None] - 1)), 0.0)
    for place, course in enumerate((own, own, own + more, own)):
        expected = np.quantile(course, BANDS, axis=1)
        assert found.curves["v"][place] == pytest.approx(expected, rel=1e-3)


def test_a_steady_state_of_what_nobody_looks_at_further_on_is_that_of_the_whole_model() -> None:
    """Witness: an inflow r of x brings y, which only an unwatched z uses, to k r/(k q) = r/q."""
    case = tiny_case(
        "x = 0; x' = -k*x; y = 0; y' = k*x - q*y; z = 0; z' = y; k = 1; q = 0.5",
        {"v": ("y", 0.1, "normal")},
        [("v", 1.0, 0.5)],
        {"k": ("log-normal", 0.0, 0.2), "q": 0.5},
    )
    fit = cs.calibrate(case, starts=1)
    steady = Schedule((), restarts=(SteadyState(1.0, "x", 3.0, interval=0.0),))
    sample = Sample(fit.objective, [Value((1.0,), ("v",))], Schedule(()), 2.0)
    [found] = sample.runs([steady], fit.draws(5, seed=1))
    assert found.fine.all() and found.values["v"][:, list(found.times).index(1.0)] == pytest.approx(
        6.0, rel=1e-3
    )


def test_bands_are_the_quantiles_of_numpy() -> None:
    """Rows with equal draws, infinite ones and nan among them, and a single draw."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4, 30, 57)).round(1)
    draws[0, 0, 3], draws[1, 2, 5:9] = np.nan, np.inf
    levels = (0.0, 0.05, 0.25, 0.5, 0.77, 0.95, 1.0)
    for some in (draws, draws[..., :1]):
        with np.errstate(invalid="ignore"):
            expected = np.quantile(some, levels, axis=-1)
        # between two infinite draws NumPy finds none
        expected[np.isnan(expected) & ~np.isnan(some).any(axis=-1)] = np.inf
        assert np.array_equal(quantiles(some, levels), expected, equal_nan=True)


def test_means_over_batches_of_quantiles_are_those_of_the_law() -> None:
    """Witnesses: numpy's definition 8, and the quantiles of the normal law; definition 7 is five times as far from its tails."""
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    draws = np.random.default_rng(3).normal(size=(20_000, 100))
    found = quantiles(draws, levels, unbiased=True)
    assert found == pytest.approx(np.quantile(draws, levels, axis=-1, method="median_unbiased"), rel=1e-12)
    error = found.std(axis=1) / np.sqrt(len(draws))
    off = np.abs(found.mean(axis=1) - stats.norm.ppf(levels))
    # the mean of what is right in the median is off by a part of 1/n
    assert np.all(off < 4 * error + 0.004)
    assert np.all(np.abs(quantiles(draws, levels).mean(axis=1) - stats.norm.ppf(levels))[[0, -1]] > 0.04)


def test_random_numbers_do_not_depend_on_how_many_draws_are_simulated_at_once(
    drug: cs.Calibration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Witness: the same sweep in other batches, and on disk, with the noise of a sample and a visit that decides."""
    one = Schedule.at([0], cells=1.0, product="x")
    plans = {
        "one": one,
        "more": Reaction(
            go_on=one + Schedule.at([3], cells=1.0, product="x"),
            otherwise=one,
            day=2.0,
            measured="y",
            below=2.3,
        ),
    }
    options = {"until": 6, "measures": [Value(noise=True)], "draws": 150, "history": None, "seed": 4}
    whole = cs.sweep(drug, plans, **options)
    assert 0.05 < np.mean(whole.posterior[0] == whole.posterior[1]) < 0.95
    monkeypatch.setattr("cellsim.predictions.predictor._DRAWS_A_THREAD", 200)
    for other in (cs.sweep(drug, plans, **options), cs.sweep(drug, plans, store=tmp_path / "s", **options)):
        assert other.posterior == pytest.approx(whole.posterior, rel=1e-4)
        assert other.prior == pytest.approx(whole.prior, rel=1e-4)


def test_quantiles_of_a_table_are_numpys() -> None:
    """Witness: numpy.quantile, to the last digit, of ties, infinities, one number and what is none."""
    random = np.random.default_rng(5)
    shares = (0.05, 0.31, 0.5, 0.95, 1.0, 0.0)
    rows = [random.standard_normal(n) for n in (1, 2, 3, 40, 201)]
    rows += [
        np.repeat([1.0, 2.0], [7, 3]),
        np.array([-np.inf, 1.0, 2.0, 2.5, np.inf]),
        np.array([1.0, np.nan]),
    ]
    for row in rows:
        # at an infinite end itself NumPy finds none
        asked = shares if not np.isinf(row).any() else shares[:4]
        with np.errstate(invalid="ignore"):
            expected = np.quantile(row, asked)
        assert quantiles(row, asked) == pytest.approx(expected, rel=1e-15, nan_ok=True)


def test_draws_as_text_are_what_pandas_writes(drug: cs.Calibration) -> None:
    """Witness: pandas, of names with commas, quotes and line ends, and of values that are infinite or none."""
    names = ("a, b", 'the "first"', "two\nlines", "plain")
    result = cs.sweep(
        drug, {name: plan(0) for name in names}, until=3, draws=5, history=None,
        measures=[Area("x"), Value((1.0,)), Value((2.0,))],
    )  # fmt: skip
    values = result.posterior.copy()
    values[0, 0, :3] = np.inf, -np.inf, np.nan
    values[1, 1, :2] = 3.0, 1e-300
    made = replace(result, posterior=values)
    assert draws_text(made) == made.draws().to_csv(index=False, lineterminator="\n")


def test_many_numbers_are_judged_as_each_by_itself() -> None:
    """Witness: scipy's percentiles of score, ties shared, as normal scores; numpy's quantiles; rows of one value and mostly one value."""
    from scipy.stats import norm, percentileofscore

    random = np.random.default_rng(8)
    draws, prior = random.normal(0.4, 0.5, (6, 30)), random.normal(size=(6, 41))
    draws[1], prior[1] = draws[1].round(), prior[1].round()
    prior[2] = 3.0
    prior[3, :21] = 0.0
    prior[4, :20] = 0.0  # not quite half of it
    chances = np.array([False] * 5 + [True])
    draws[5], prior[5] = 0.7, 0.5
    found = learned.all_learned(draws, prior, chances)
    for k in (0, 1, 3, 4):
        before, after = (
            norm.ppf(
                (np.array([percentileofscore(prior[k], each, "mean") for each in some]) * 0.41 + 0.5) / 42
            )
            for some in (prior[k], draws[k])
        )
        assert found["shift"][k] == pytest.approx(after.mean() - before.mean(), rel=1e-9)
        assert found["contraction"][k] == pytest.approx(
            np.nan if k == 3 else 1 - after.var() / before.var(), rel=1e-9, nan_ok=True
        )
    assert found["verdict"][2] == "" and np.isnan(found["shift"][2])
    assert found["verdict"][5] == "moved, not narrowed"
    told = learned.summaries(draws, chances, 0.5, "")
    assert told["estimate"][:5] == pytest.approx(np.median(draws[:5], axis=-1))
    assert told["low"][:5] == pytest.approx(np.quantile(draws[:5], 0.25, axis=-1))
    assert told["estimate"][5] == pytest.approx(0.7) and np.isnan(told["high"][5])
    for k, chance in enumerate(chances.tolist()):
        alone = beside_prior(draws[k], prior[k], chance=chance)
        among = learned.all_beside_prior(draws, prior, chances)
        assert [str(each[k]) for each in among.values()] == [str(each) for each in alone.values()]


def test_a_table_asked_for_twice_is_one_s_own(drug: cs.Calibration) -> None:
    """What is written into the first does not come back; draws stand in the order of schedules, questions and draws."""
    measures = [Area("x"), DaysBelow("x", 1.0), DaysBelow("x", 2.0), Value((1.0, 2.0))]
    result = cs.sweep(
        drug, {"two": plan(0, 0), "one": plan(0)}, until=3, measures=measures, draws=6, history=None
    )
    first = result.table()
    whole, first["estimate"] = first.copy(), -1.0
    assert result.table().equals(whole) and not result.table(level=0.5).equals(whole)
    assert result.contrasts().equals(result.contrasts()) and result.contrasts().attrs["label"] == result.label
    frame = result.draws()
    assert np.array_equal(frame["value"].to_numpy().reshape(result.posterior.shape), result.posterior)
    at = len(result.asked) * 6 + 3 * 6 + 4
    told = frame.iloc[at]
    assert (told["schedule"], told["draw"]) == ("one", 4)
    assert (told["measure"], told["quantity"]) == (result.asked[3].measure, result.asked[3].quantity)
