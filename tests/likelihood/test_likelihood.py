"""The posterior of the shipped case: every part by a formula written here, slopes, and what a lost row does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies import CASE

from cellsim.case.case import Case, load_case
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.model.model import load_model
from cellsim.solver.simulation import simulate

few = settings(max_examples=15)
VISITS = ("before", "after4", "after12")
PARTS = {"standard": 81, "censored": 1, "graded": 10}


@cache
def objective(variant: str = "V5", rtol: float = 1e-9) -> Objective:
    """Engulfed and remembered, with drift: the variant in which most parameters are free."""
    return objective_of(CASE, variant=variant, rtol=rtol)


def drawn(seed: int, of: Objective | None = None, spread: float = 1.0) -> np.ndarray:
    return spread * np.random.default_rng(seed).standard_normal(len((of or objective()).names))


thetas = st.integers(0, 2**32 - 1).map(drawn)


def lines_of(file: str, case: Case = CASE) -> list[str]:
    return case.files[file].splitlines()


def with_lines(file: str, lines: list[str], **others: list[str]) -> Case:
    """The case with one table (and others by stem) made of other lines."""
    files = {**CASE.files, file: "\n".join(lines) + "\n"}
    files |= {f"{stem}.tsv": "\n".join(text) + "\n" for stem, text in others.items()}
    return load_case(files)


def without_line(file: str, start: str) -> list[str]:
    lines = lines_of(file)
    kept = [line for line in lines if not line.startswith(start)]
    assert len(kept) == len(lines) - 1, f"{start!r} begins {len(lines) - len(kept)} lines of {file}"
    return kept


# ---- every part, by hand --------------------------------------------------------------------------------


def seen_on(values: dict[str, float], days: list[float]) -> list[dict[str, float]]:
    """Every quantity of the model on some days, by a simulation that tests/test_crosscheck.py holds against other people's."""
    model = load_model("sjogren_rfib")
    known = {each.name for each in model.parameters}
    found = simulate(
        model,
        CASE.timeline,
        sorted(days),
        values={name: value for name, value in values.items() if name in known},
        start=-931,
        rtol=1e-11,
        atol=1e-13,
    )
    return [{name: float(found[name][sorted(days).index(day)]) for name in found.names} for day in days]


def test_every_part_is_its_formula():
    """Log-normal densities, one normal tail, ordered logits; samples read on their own latent days."""
    theta = drawn(1)
    values = objective().values(theta)
    grades = [  # day, lowest and highest grade allowed: the paper's photographs and words
        *((-931, 3, 3), (-806, 2, 3), (-539, 2, 3), (-376, 2, 3), (-326, 2, 3), (-153, 2, 3), (-37, 2, 3)),
        *((26, 1, 2), (256, 1, 1), (400, 0, 0)),
    ]
    days = [*(values[f"day_{visit}"] for visit in VISITS), *(float(day) for day, _, _ in grades)]
    seen = seen_on(values, days)
    at_visit = dict(zip(VISITS, seen, strict=False))

    standard = 0.0
    for row in CASE.rows:
        here, name = at_visit[row.visit], row.analyte
        expected = here[f"value_{name}"]
        if CASE.analyte(name).panel == "cytokines":
            expected *= np.exp(values[f"sample_effect_{row.visit}"])
        if name in ("CD4", "CD8"):  # scored as a share of the CD3 that was printed
            printed = next(r.value for r in CASE.rows if (r.analyte, r.visit) == ("CD3", row.visit))
            expected *= printed / here["value_CD3"]
        standard += stats.lognorm(float(CASE.analyte(name).noise), scale=expected).logpdf(row.value)

    censored = stats.norm.logcdf(np.log(0.91 / at_visit["after4"]["value_CRP"]) / 0.5)

    third, second = values["purpura_cut_3"], values["purpura_cut_3"] - values["purpura_gap_2"]
    cuts = [-np.inf, second - values["purpura_gap_1"], second, third, np.inf]
    graded = 0.0
    for (_, low, high), here in zip(grades, seen[len(VISITS) :], strict=True):
        latent = stats.logistic(loc=np.log(here["U"]), scale=0.3)
        graded += np.log(latent.cdf(cuts[high + 1]) - latent.cdf(cuts[low]))

    found = objective().parts(theta)
    assert found["standard"] == pytest.approx(standard, abs=1e-6)
    assert found["censored"] == pytest.approx(censored, abs=1e-7)
    assert found["graded"] == pytest.approx(graded, abs=1e-7)


@few
@given(theta=thetas)
def test_the_sum_of_squares_is_the_posterior_up_to_its_constant(theta):
    here, parts = objective().evaluate(theta), objective().parts(theta)
    evidence = parts["standard"] + parts["censored"] + parts["graded"]
    whitened = stats.norm.logpdf(theta).sum()
    assert here.objective + objective().constant == pytest.approx(-2 * (evidence + whitened), rel=1e-12)
    assert parts["prior"] + parts["change of coordinates"] == pytest.approx(whitened, rel=1e-12)
    assert here.log_likelihood.sum() == pytest.approx(evidence, rel=1e-12)
    assert here.residuals[len(objective().terms) :] == pytest.approx(theta, abs=0)


def test_the_prior_is_scipys():
    """Log-normal, normal and uniform densities of every free parameter, in its own unit."""
    theta = drawn(3)
    values = objective().values(theta)
    distribution = {
        "normal": stats.norm,
        "log-normal": lambda a, b: stats.lognorm(b, scale=np.exp(a)),
        "uniform": lambda a, b: stats.uniform(a, b - a),
    }
    rows = [CASE.prior(name) for name in objective().names]
    expected = sum(distribution[row.family](*row.parameters).logpdf(values[row.id]) for row in rows)
    assert objective().parts(theta)["prior"] == pytest.approx(expected, rel=1e-11)


@few
@given(theta=thetas)
def test_theta_and_values_go_back_and_forth(theta):
    values = objective().values(theta)
    assert objective().theta({name: values[name] for name in objective().names}) == pytest.approx(
        theta, abs=1e-8
    )


# ---- slopes ---------------------------------------------------------------------------------------------


def quotient(theta: np.ndarray, column: int, step: float, rtol: float) -> np.ndarray:
    """Residuals by central differences of fourth order."""

    def residuals(steps: float) -> np.ndarray:
        moved = theta.copy()
        moved[column] += steps * step
        return objective().evaluate(moved, rtol=rtol).residuals

    return (8 * (residuals(1) - residuals(-1)) - residuals(2) + residuals(-2)) / (12 * step)


@pytest.mark.parametrize("seed", [4])
def test_the_slope_of_every_residual_is_its_difference_quotient(seed):
    theta = drawn(seed, spread=0.7)
    here = objective().evaluate(theta, gradient=True, rtol=1e-10)
    assert here.jacobian.shape == (len(objective().terms) + theta.size, theta.size)
    for column, name in enumerate(objective().names):
        moved = 1e-3 * np.eye(theta.size)[column]
        up, down = (objective().evaluate(theta + each, rtol=1e-10).residuals for each in (moved, -moved))
        expected = (up - down) / 2e-3
        size = np.abs(expected).max()
        assert here.jacobian[:, column] == pytest.approx(expected, abs=2e-6 * size), name


def test_the_gradient_is_that_of_half_the_objective():
    theta = drawn(6, spread=0.7)
    here = objective().evaluate(theta, gradient=True)
    direction = drawn(7) / np.sqrt(theta.size)
    up, down = (objective().evaluate(theta + h * direction).objective for h in (1e-3, -1e-3))
    assert here.gradient @ direction == pytest.approx((up - down) / 4e-3, rel=1e-4)


def test_parts_without_a_simulation_have_exact_slopes():
    """Priors, sample effects (a factor exp) and cut-points."""
    theta = drawn(8)
    here, names = objective().evaluate(theta, gradient=True), list(objective().names)
    terms, count = objective().terms, len(objective().terms)
    assert np.array_equal(here.jacobian[count:], np.eye(theta.size))
    for visit in VISITS:
        slope = here.jacobian[:count, names.index(f"sample_effect_{visit}")]
        expected = [
            0.4 / term.sd
            if term.part == "standard"
            and term.visit == visit
            and CASE.analyte(term.analyte).panel == "cytokines"
            else 0.0
            for term in terms
        ]
        assert slope == pytest.approx(expected, rel=1e-12, abs=1e-13)
    graded = np.array([term.part == "graded" for term in terms])
    for name in ("purpura_cut_3", "purpura_gap_2", "purpura_gap_1"):
        column = names.index(name)
        assert not here.jacobian[:count, column][~graded].any()
        assert here.jacobian[:, column] == pytest.approx(
            quotient(theta, column, 1e-3, 1e-9), rel=1e-7, abs=1e-8
        )


def test_a_visit_day_moves_only_its_own_visit_and_by_the_rate_of_change():
    theta = drawn(9, spread=0.5)
    here, values = objective().evaluate(theta, gradient=True), objective().values(theta)
    model = load_model("sjogren_rfib")
    known = {each.name for each in model.parameters}
    inside = {name: value for name, value in values.items() if name in known}
    for visit in VISITS:
        column, row = objective().names.index(f"day_{visit}"), CASE.prior(f"day_{visit}")
        # theta -> day: uniform on its window
        stretch = (row.parameters[1] - row.parameters[0]) * stats.norm.pdf(theta[column])
        day, h = values[f"day_{visit}"], 0.02
        days = [day - 2 * h, day - h, day + h, day + 2 * h]
        found = simulate(
            model, CASE.timeline, [*days, days[-1]], values=inside, start=-931, rtol=1e-11, atol=1e-13
        )
        for k, term in enumerate(objective().terms):
            slope = here.jacobian[k, column]
            if term.visit != visit:
                assert slope == 0
            elif term.part == "standard" and term.analyte not in ("CD4", "CD8"):
                value = np.log(found[f"value_{term.analyte}"])
                rate = (8 * (value[2] - value[1]) - value[3] + value[0]) / (12 * h)
                assert slope == pytest.approx(rate * stretch / term.sd, rel=1e-3, abs=1e-5), term.analyte


# ---- nothing is lost in silence -------------------------------------------------------------------------


def test_what_is_scored_is_said_in_full():
    of = objective()
    assert Counter(term.part for term in of.terms) == PARTS
    assert Counter(term.visit for term in of.terms) == {"before": 28, "after4": 28, "after12": 26, "": 10}
    assert len({term.analyte for term in of.terms if term.part == "standard"}) == 28
    assert {"CD3CD45", "CD4_CD8"}.isdisjoint(term.analyte for term in of.terms)
    assert len(of.doses.jumps) == 22 and sum(amount for *_, amount in of.doses.jumps) == 1225
    assert [(term.analyte, term.visit, term.measured) for term in of.terms if term.part == "censored"] == [
        ("CRP", "after4", 0.91)
    ]
    estimated = {row.id for row in CASE.priors if row.estimate}
    held = set(dict(CASE.variant("V5").fixed))
    assert set(of.names) == estimated - held


@pytest.mark.parametrize("start", ["timeline\t-386\t", "timeline\t217\t"])
def test_a_deleted_dose_is_refused_and_where_it_is_not_it_changes_the_answer(start):
    lost = without_line("experiments.tsv", start)
    with pytest.raises(
        CaseError, match=r"infusions of (rfib|ucmsc) are stated, and (11|9) stand in the timeline"
    ):
        with_lines("experiments.tsv", lost)
    head, *products = lines_of("products.tsv")
    counted = [head.split("\t").index(column) for column in ("infusions", "cells")]
    untold = [
        "\t".join("" if k in counted else cell for k, cell in enumerate(p.split("\t"))) for p in products
    ]
    # other days for all twelve would be refused for eleven
    told = lines_of("alternatives.tsv")[:1]
    case = with_lines("experiments.tsv", lost, products=[head, *untold], alternatives=told)
    of = objective_of(case, variant="V5", rtol=1e-9)
    assert case.timeline.count == 21 and len(of.doses.jumps) == 21
    assert sum(amount for *_, amount in of.doses.jumps) < 1225
    theta = objective().theta({})
    assert abs(of.parts(theta)["standard"] - objective().parts(theta)["standard"]) > 1e-3


@pytest.mark.parametrize(
    "name",
    [
        "purpura_gap_1",
        "purpura_gap_2",
        "purpura_scale",
        "kappa",
        "IL6_0",
        "sample_effect_after4",
        "k_bag",
        "purpura_cut_3",
        "day_after12",
    ],
)
def test_a_deleted_prior_is_refused_by_name(name):
    file = "parameters_extended.tsv" if name.startswith(("purpura", "day")) else "parameters.tsv"
    with pytest.raises(CaseError, match=name):
        with_lines(file, without_line(file, f"{name}\t"))


def test_a_deleted_censored_row_is_missed():
    """It is refused, or the counts and the posterior say so."""
    lost = without_line("extended.tsv", "obs_CRP\tcensored\tafter4")
    try:
        case = with_lines("extended.tsv", lost)
    except CaseError as error:
        assert "CRP" in str(error)
        return
    of, theta = objective_of(case, variant="V5", rtol=1e-9), objective().theta({})
    assert Counter(term.part for term in of.terms) != PARTS
    assert of.parts(theta)["censored"] == 0 != objective().parts(theta)["censored"]


def test_a_deleted_measurement_is_missed():
    lost = without_line("measurements.tsv", "obs_IL6\ttimeline\t259\t")
    try:
        case = with_lines("measurements.tsv", lost)
    except CaseError as error:
        assert "IL6" in str(error)
        return
    assert Counter(term.part for term in objective_of(case).terms)["standard"] == 80


# ---- invariants 14 and 15 -------------------------------------------------------------------------------


@few
@given(seed=st.integers(0, 10**6), limits=st.lists(st.floats(0.05, 20), min_size=2, max_size=2, unique=True))
def test_a_higher_limit_is_never_less_likely(seed, limits):
    theta, (low, high) = drawn(seed), sorted(limits)

    def censored(limit: float) -> float:
        terms = tuple(
            replace(term, measured=limit) if term.part == "censored" else term for term in objective().terms
        )
        return replace(objective(), terms=terms).parts(theta)["censored"]

    assert censored(low) <= censored(high) <= 0


def test_a_higher_prediction_is_less_likely_below_a_limit():
    base = objective().theta({})
    column = objective().names.index("CRP_0")
    found = []
    for shift in (-2.0, -0.5, 0.0, 0.5, 2.0):
        moved = base.copy()
        moved[column] += shift
        found.append(objective().parts(moved)["censored"])
    assert np.all(np.diff(found) < 0)


def test_a_row_that_stands_twice_is_refused():
    """Another value would be a second assay of the same sample, which is scored."""
    lines = lines_of("measurements.tsv")
    twice = next(line for line in lines if line.startswith("obs_IL6\ttimeline\t35\t"))
    with pytest.raises(CaseError, match="IL6"):
        with_lines("measurements.tsv", [*lines, twice])


def test_a_censored_row_that_stands_twice_or_beside_a_number_is_refused():
    lines = lines_of("extended.tsv")
    crp = next(line for line in lines if line.startswith("obs_CRP"))
    with pytest.raises(CaseError, match="CRP"):
        with_lines("extended.tsv", [*lines, crp])
    rows = lines_of("measurements.tsv")
    printed = next(line for line in rows if line.startswith("obs_CRP\ttimeline\t259\t"))
    beside = printed.replace("\t259\t", "\t35\t").replace("after12", "after4")
    with pytest.raises(CaseError, match="CRP"):
        with_lines("measurements.tsv", [*rows, beside])


@settings(max_examples=4)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_analytes_and_rows_is_irrelevant(seed):
    """Rows of the measurement, observable, parameter and extended tables, all in another order."""
    shuffle = np.random.default_rng(seed)
    tables = {}
    for stem in ("measurements", "observables", "parameters", "extended"):
        head, *rows = lines_of(f"{stem}.tsv")
        tables[stem] = [head, *(rows[k] for k in shuffle.permutation(len(rows)))]
    other = objective_of(
        with_lines("measurements.tsv", tables.pop("measurements"), **tables), variant="V5", rtol=1e-9
    )
    theta = drawn(seed, spread=0.7)
    values = objective().values(theta)
    there = other.theta({name: values[name] for name in other.names})
    ours, theirs = objective().parts(theta), other.parts(there)
    assert theirs == pytest.approx(ours, rel=1e-9)
    row_by_row = [
        {
            (t.part, t.analyte, t.visit, t.day): l
            for t, l in zip(of.terms, of.evaluate(at).log_likelihood, strict=True)
        }
        for of, at in ((objective(), theta), (other, there))
    ]
    assert len(row_by_row[0]) == sum(PARTS.values())
    assert row_by_row[1] == pytest.approx(row_by_row[0], rel=1e-8, abs=1e-8)


def test_sets_side_by_side_are_scored_row_by_row_as_one_by_one():
    """The scalar path is the witness, grades and limits included; what shares its steps agrees to the tolerance."""
    of, few_sets = objective_of_default(), np.array([drawn(seed, spread=0.7) for seed in range(11)])
    found = of.evaluate_sets(few_sets, rtol=1e-8, threads=2)
    for k, theta in enumerate(few_sets):
        alone = of.evaluate(theta, rtol=1e-8)
        assert found.by_row[k] == pytest.approx(alone.log_likelihood, rel=1e-5, abs=1e-5)
        assert found.residuals[k] == pytest.approx(alone.residuals, rel=1e-5, abs=1e-5)
        assert found.predicted[k] == pytest.approx(alone.predicted, rel=1e-5)
    assert found.objectives == pytest.approx((found.residuals**2).sum(axis=1)) and not any(found.failures)


# ---- failure is data ------------------------------------------------------------------------------------


def test_a_simulation_that_fails_loses_and_says_why():
    blows_up = load_model("sjogren_rfib").with_rate("D", "D*D*D*(1 + R)")
    of = objective_of(CASE, blows_up, variant="V5")
    theta = of.theta({})
    good = objective().evaluate(theta).objective
    for gradient in (False, True):
        here = of.evaluate(theta, gradient=gradient)
        assert here.failure
        assert np.isfinite(here.residuals).all() and here.objective > 100 * good
        if gradient:
            assert np.isfinite(here.gradient).all()
    assert not objective().evaluate(theta).failure
    few_sets = of.evaluate_sets(np.tile(theta, (3, 1)))
    assert all(few_sets.failures) and np.all(few_sets.log_likelihoods == -np.inf)
    assert np.all(few_sets.objectives == np.inf) and np.isnan(few_sets.predicted).all()


def test_a_prediction_without_a_logarithm_is_a_failure_too():
    """A model that goes below zero reaches its end, and still cannot be scored."""
    below = load_model("sjogren_rfib").with_rate("value_IL6", "IL6 - 1000")
    of, middle = objective_of(CASE, below, variant="V5"), np.zeros(len(objective().names))
    here = of.evaluate(middle, gradient=True)
    assert "IL6" in here.failure and np.isfinite(here.residuals).all() and np.isfinite(here.gradient).all()
    assert of.evaluate_sets(middle[None]).failures == (here.failure,)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), spread=st.floats(2, 12))
@example(seed=4516, spread=5.0)
@example(seed=3601, spread=6.5625)
def test_residuals_are_never_nan_however_far_the_search_goes(seed, spread):
    here = objective_of_default().evaluate(drawn(seed, spread=spread), gradient=True)
    assert np.isfinite(here.residuals).all(), here.failure
    assert np.isfinite(here.jacobian).all(), here.failure


@cache
def objective_of_default() -> Objective:
    return objective("V5", 1e-6)
