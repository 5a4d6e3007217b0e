"""Synthetic patients, and whether posteriors on them keep their word.

Witnesses: the rows' own likelihood, closed-form Gaussian posteriors, the uniform distribution of ranks, and Markov's inequality
for evidence. Every statistical test says how often it would fail by luck; seeds were not chosen for passing.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patients import small_patient
from scipy import stats
from small_cases import decay, straight_line, tiny_case

import cellsim as cs
from benchmarks.honesty import coverage, ledger, posteriors, preference, ranks, sbc
from benchmarks.honesty.patients import NOTHING, drives, full, reduced
from cellsim.errors import CalibrationError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import replicate
from cellsim.posterior.fitting import optima
from cellsim.posterior.laplace import Mixture, Mode

LUCK = 1e-4


@cache
def case_objective() -> Objective:
    return objective_of(cs.load_case("sjogren_rfib"))


@cache
def line() -> Objective:
    return objective_of(straight_line([10.3, 11.9, 12.4, 14.8], [0.5, 1.0, 2.0, 3.0]))


# ---- synthetic patients --------------------------------------------------------------------------


def test_one_seed_makes_one_patient_and_another_seed_another() -> None:
    here = np.zeros(len(case_objective().names))
    one, same, other = (replicate(case_objective(), here, seed=seed) for seed in (1, 1, 2))
    assert one.terms == same.terms
    assert one.terms != other.terms


def test_a_patient_keeps_everything_but_what_was_read() -> None:
    old = case_objective()
    new = replicate(old, np.zeros(len(old.names)), seed=3)
    for before, after in zip(old.terms, new.terms, strict=True):
        if before.part == "standard":
            assert after == replace(before, measured=after.measured)
        assert (before.output, before.occasion, before.file, before.row) == (
            after.output,
            after.occasion,
            after.file,
            after.row,
        )
    assert (new.priors, new.fixed, new.occasions) == (old.priors, old.fixed, old.occasions)


@pytest.mark.parametrize(("make", "logged"), [(straight_line, False), (decay, True)])
def test_values_have_the_distribution_they_are_scored_by(make: Callable, logged: bool) -> None:
    """Standardised residuals are N(0, 1): Kolmogorov's test fails by luck once in 10,000."""
    objective = objective_of(make([1.4, 1.1, 0.9, 0.7], [0.5, 1.0, 2.0, 3.0]))
    theta = np.array([0.3, -0.4])
    found = [
        replicate(objective, theta, seed=seed).evaluate(theta, rtol=1e-8).residuals[:4] for seed in range(300)
    ]
    assert objective.terms[0].logged is logged
    assert stats.kstest(np.ravel(found), "norm").pvalue > LUCK


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_censored_row_stays_censored_as_often_as_its_likelihood_says(side: str) -> None:
    case = tiny_case(
        "x = 10; x' = -k*x; k = 1",
        {"y": ("x", 0.4)},
        [("y", 0.5, 6.0)],
        {"k": ("log-normal", 0.0, 0.5)},
        censored=[("y", 2.0, 1.2)],
    )
    if side == "right":
        files = case.files
        files["extended.tsv"] = files["extended.tsv"].replace("left", "right")
        case = cs.load_case(files)
    objective, theta, n = objective_of(case), np.zeros(1), 800
    row = [term.part for term in objective.terms].index("censored")
    expected = float(np.exp(objective.evaluate(theta, rtol=1e-8).log_likelihood[row]))
    made = [replicate(objective, theta, seed=seed).terms[row] for seed in range(n)]
    stayed = sum(term.part == "censored" for term in made)
    # two-sided binomial test: by luck once in 10,000
    assert stats.binomtest(stayed, n, expected).pvalue > LUCK
    for term in made:
        if term.part == "standard":
            assert (term.measured < 1.2) is (side == "right")


def test_grades_come_as_often_as_the_ordered_logit_says() -> None:
    """Every row of the case that allows several grades, and every other: by luck once in 10,000, shared among rows."""
    objective = case_objective()
    theta, n = np.zeros(len(objective.names)), 100
    rows = [k for k, term in enumerate(objective.terms) if term.part == "graded"]
    expected = np.exp(objective.evaluate(theta, rtol=1e-6).log_likelihood)
    made = [replicate(objective, theta, seed=seed).terms for seed in range(n)]
    for k in rows:
        term = objective.terms[k]
        same = sum(each[k] == term for each in made)
        assert stats.binomtest(same, n, expected[k]).pvalue > LUCK / len(rows)
        for each in made:
            if each[k] != term:
                assert each[k].measured == each[k].upper
                assert not term.measured <= each[k].measured <= term.upper


def test_a_truth_that_cannot_be_simulated_is_refused() -> None:
    objective = objective_of(
        tiny_case(
            "x = 1; x' = k*x^2; k = 0.1",
            {"y": "x"},
            [("y", 2.0, 1.5)],
            {"k": ("log-normal", -2.0, 1.0)},
        )
    )
    with pytest.raises(CalibrationError, match="no patient can be made"):
        replicate(objective, np.array([4.0]), seed=1)


# ---- approximations ----------------------------------------------------------------------------------------


def test_uniform_samples_stay_inside_the_band_as_often_as_it_says() -> None:
    """95 % of 2,000 samples that the band was not made from; its own 4,000 samples add their error."""
    n, trials = 80, 2000
    z, low, high = ranks.band(n)
    u = np.random.default_rng(5).random((trials, n))
    apart = (u[:, :, None] <= z).mean(axis=1) - z
    inside = np.all((apart >= low - 1e-12) & (apart <= high + 1e-12), axis=1)
    error = np.sqrt(0.95 * 0.05 * (1 / trials + 1 / 4000))
    # 4 standard errors, and the steps of a discrete distribution: a sample of 80 has few distinct pointwise levels
    assert abs(inside.mean() - 0.95) < 4 * error + 0.01
    assert np.all(low <= 0)
    assert np.all(high >= 0)


def test_surprise_is_a_p_value() -> None:
    """At 0.05 a uniform sample surprises no more often than that: binomial bound, by luck once in 10,000."""
    p = ranks.surprise(np.random.default_rng(6).random((2000, 60)))
    assert np.sum(p < 0.05) <= stats.binom.isf(LUCK, 2000, 0.055)
    assert ranks.surprise(np.random.default_rng(7).beta(2, 2, 200)) < 0.001


def test_position_of_an_exact_draw_is_uniform_with_ties_and_weights() -> None:
    random = np.random.default_rng(8)
    tied = np.array([ranks.position(0.0, np.zeros(50), random) for _ in range(400)])
    assert stats.kstest(tied, "uniform").pvalue > LUCK
    # all weight on the draws below
    assert ranks.position(0.5, np.array([0.0, 1.0]), random, np.array([1.0, 0.0])) >= 2 / 3


def test_pareto_weights_turn_a_displaced_approximation_into_the_posterior() -> None:
    """Closed form: the line's posterior is Gaussian; its mean is found within 5 standard errors."""
    exact = optima(line(), [np.zeros(2)]).mixture
    sd = np.sqrt(np.diag(exact.covariance))
    beside = exact.mean + 0.5 * sd * [1, -1]
    wide = Mixture((replace(exact.modes[0], theta=beside, curvature=exact.modes[0].curvature / 2),))
    draws = posteriors.laplace(line(), wide, NOTHING, n=4000, seed=1)
    mended, k_hat = posteriors.reweighted(wide, draws)
    effective = 1 / (mended.weights**2).sum()
    assert k_hat < 0.7
    assert np.all(np.abs(mended.weights @ mended.thetas - exact.mean) < 5 * sd / np.sqrt(effective))
    assert np.all(np.abs(draws.thetas.mean(axis=0) - exact.mean) > 5 * sd / np.sqrt(effective))


def test_quadrature_agrees_with_laplace_where_all_is_gaussian() -> None:
    """Closed form: the mixture's own evidence; what lies beyond the grid's ends, 3.6 posterior sd off, is 3e-4."""
    loose = objective_of(straight_line([10.1, 10.2, 9.9, 10.3], [0.2, 0.4, 0.6, 0.8], sd=2.0))
    mixture = optima(loose, [np.zeros(2)]).mixture
    found = posteriors.integrated(loose, "b", mixture)
    assert found.log_evidence == pytest.approx(mixture.log_evidence, abs=1e-3)
    assert found.mean == pytest.approx(mixture.mean[1], abs=5e-3)


def test_quadrature_finds_what_a_mode_overstates() -> None:
    """Rows y = 10 + l d, each with a loading l of its own: with the loadings integrated in closed form, y is normal
    with mean 10 + d and variance sd^2 + d^2. The mode of all at once ignores how much room the loadings have.
    """
    y, sd = 10 + np.array([2.6, 0.4, 3.1, -0.6, 1.9, 1.2]), 1.5
    loadings = [f"l{k}" for k in range(y.size)]
    objective = objective_of(
        tiny_case(
            "x = 1; x' = 0",
            {f"y{k}": (f"10 + l{k}*d*x", sd, "normal") for k in range(y.size)},
            [(f"y{k}", 1.0, float(value)) for k, value in enumerate(y)],
            {"d": ("normal", 0.0, 1.0)} | {name: ("normal", 1.0, 1.0) for name in loadings},
        )
    )
    column = objective.names.index("d")
    mixture = posteriors.fitted(objective, 1)
    found = posteriors.integrated(objective, "d", mixture)
    d = np.linspace(-6, 6, 4001)
    spread = np.sqrt(sd**2 + d**2)
    density = np.exp(stats.norm.logpdf(d) + stats.norm.logpdf(y[:, None], 10 + d, spread).sum(axis=0))
    step = d[1] - d[0]
    mean = (density @ d) / density.sum()
    # 9 points and a fit that stops at 1e-5 of the sum of squares
    assert found.log_evidence == pytest.approx(np.log(density.sum() * step), abs=0.02)
    assert found.mean == pytest.approx(mean, abs=0.03)
    assert abs(mixture.mean[column]) > abs(mean) + 0.2


# ---- simulation-based calibration of a posterior known in closed form -----------------------------


@cache
def known(k: int) -> tuple[np.ndarray, Objective, Mode]:
    """A truth of the line, its patient, and the one mode of that patient's posterior."""
    theta = np.random.default_rng([k, 9]).standard_normal(2)
    patient = replicate(line(), theta, seed=k)
    (mode,) = optima(patient, [np.zeros(2)]).mixture.modes
    return theta, patient, mode


@cache
def ranked(width: float) -> np.ndarray:
    """Positions of 60 truths of the line in its posterior with all standard deviations multiplied."""
    out = []
    for k in range(60):
        random = np.random.default_rng([k, 12])
        theta, patient, mode = known(k)
        told = Mixture((Mode(mode.theta, mode.curvature / width**2, mode.log_likelihood, mode.objective),))
        draws = posteriors.laplace(patient, told, NOTHING, n=199, seed=k)
        likelihood = posteriors.log_likelihoods(patient, theta[None])
        out.append(posteriors.positions(draws, theta, likelihood, random))
    return np.array(out)


def test_an_exact_posterior_passes() -> None:
    """Two parameters and the log-likelihood, each failing by luck once in 1,000."""
    u = ranked(1.0)
    assert np.all(ranks.surprise(u.T) > 1e-3)
    mean, error = ranks.spread(u)
    assert abs(mean - 1) < 4 * error


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_a_posterior_half_or_twice_as_wide_is_caught(width: float) -> None:
    """By the bar that the exact one passes, in at least one parameter."""
    u = ranked(width)
    assert ranks.surprise(u.T)[:2].min() < 1e-3
    mean, error = ranks.spread(u)
    assert (mean - 1) / error > 4 if width < 1 else (mean - 1) / error < -4


@pytest.mark.parametrize("truths", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_chains_of_the_sampler_pass(truths: int) -> None:
    """Positions among the draws of a short chain, by the bar that a posterior half or twice as wide misses.

    Two parameters and the log-likelihood, each failing by luck once in 1,000 however many truths there are.
    """
    chain = {"tune": 60, "draws": 100, "keep": 40}
    made = [sbc.patient(line(), NOTHING, chain, 1000, 1, k) for k in range(truths)]
    assert not any("failed" in each for each in made)
    u = np.array([each["nuts"] for each in made])
    assert np.all(ranks.surprise(u.T) > 1e-3)
    mean, error = ranks.spread(u)
    assert abs(mean - 1) < 4 * error


# ---- preference ----------------------------------------------------------------------------------


@cache
def gains(variant: str) -> np.ndarray:
    """ln evidence of the effect over the null for 12 small patients made by a variant."""
    truth = objective_of(small_patient(), variant=variant)
    out = []
    for k in range(12):
        theta = np.random.default_rng([k, 10]).standard_normal(len(truth.names))
        if variant == "V2":
            theta[truth.names.index("e")] = 2.5
        made = replicate(truth, theta, seed=k)
        found = [
            posteriors.fitted(
                replace(objective_of(small_patient(), variant=each), terms=made.terms), k
            ).log_evidence
            for each in ("V2", "V0")
        ]
        out.append(found[0] - found[1])
    return np.array(out)


def test_an_effect_is_rarely_preferred_where_there_is_none() -> None:
    """Markov: evidence at least 20 (3) times the null's has probability at most 1/20 (1/3) under the null."""
    for times in (3, 20):
        assert np.sum(gains("V0") > np.log(times)) <= stats.binom.isf(LUCK, 12, 1 / times)


def test_an_effect_is_preferred_more_where_there_is_one() -> None:
    """Rank test, by luck once in 10,000."""
    assert stats.mannwhitneyu(gains("V2"), gains("V0"), alternative="greater").pvalue < LUCK


# ---- the studies ---------------------------------------------------------------------------------


def test_variants_score_the_same_rows_in_the_same_order() -> None:
    """What lets one patient be read with several variants."""
    for variant in ("V0", "V0b", "V4", "V6"):
        assert full(variant).terms == full("V2").terms
        assert full(variant).occasions == full("V2").occasions


def test_contrasts_vanish_where_products_are_alike_and_not_where_they_differ() -> None:
    alike, apart = full("V4"), full("V6")
    theta = np.random.default_rng(11).standard_normal((3, len(alike.names)))
    assert np.all(drives(alike).of(theta)[:, 2:] == 0)
    theta = np.zeros((1, len(apart.names)))
    theta[:, apart.names.index("ln_q_allo")] = 1.0
    assert drives(apart).of(theta)[0, 2] > 0.1


def stored(part: Any, name: str) -> tuple[ledger.Study, list[ledger.Record]]:
    """A study as it stands, and what the page was written from."""
    study = next(each for each in part.studies() if each.name == name)
    return study, ledger.records(study)


def test_the_page_was_written_from_what_the_code_says_now() -> None:
    """One patient made again: the lines behind docs/honesty.md are of this code, not of one before."""
    _, lines = stored(sbc, "reduced")
    assert len(lines) >= 100
    again = sbc.patient(reduced(), NOTHING, sbc.REDUCED_CHAIN, 0, 2, lines[0]["k"])
    assert again["laplace"] == pytest.approx(lines[0]["laplace"], abs=0.03)


@pytest.mark.slow
def test_every_part_of_the_page_was_written_from_what_the_code_says_now() -> None:
    """One patient of each part made again, with its chain."""
    study, lines = stored(sbc, "reduced")
    assert len(lines) >= 100
    again = study.one(lines[0]["k"])
    assert again["laplace"] == pytest.approx(lines[0]["laplace"], abs=0.03)
    assert len(again["nuts"]) == len(lines[0]["laplace"]) and 0 < min(again["nuts"]) < max(again["nuts"]) < 1
    study, lines = stored(coverage, "null")
    again = study.one(lines[0]["k"])
    assert again["u"] == pytest.approx(lines[0]["u"], abs=0.05)
    assert again["bias"] == pytest.approx(lines[0]["bias"], abs=0.02)


@pytest.mark.parametrize(
    "names", [preference.NULLS[:1], pytest.param(preference.NULLS, marks=pytest.mark.slow)], ids=len
)
def test_the_evidences_behind_the_page_are_found_again(names: tuple[str, ...]) -> None:
    _, lines = stored(preference, "null")
    k = int(lines[0]["k"])
    made = replicate(full("V0"), preference.drawn_truth(full("V0"), k), seed=k)
    again = preference.evidence(made, {name: full(name) for name in names}, k)
    assert again == pytest.approx({name: lines[0]["evidence"][name] for name in names}, abs=0.05)


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    done: list[int] = []

    def one(k: int) -> ledger.Record:
        done.append(k)
        return {"u": [k / 10]}

    path = tmp_path / "results.jsonl"
    study = ledger.Study("sbc", "trial", "stamp", patients=4, quick=2, one=one)
    ledger.work([study], full=False, path=path)
    ledger.work([study], full=True, path=path)
    assert done == [0, 1, 2, 3]
    assert [line["k"] for line in ledger.records(study, path)] == done
    assert ledger.records(replace(study, stamp="another"), path) == []


def test_a_stamp_changes_with_what_answers_depend_on() -> None:
    same = ledger.stamp_of(line(), settings=1)
    assert same == ledger.stamp_of(line(), settings=1)
    assert same != ledger.stamp_of(line(), settings=2)
    other = objective_of(straight_line([10.3, 11.9, 12.4, 14.9], [0.5, 1.0, 2.0, 3.0]))
    assert same != ledger.stamp_of(other, settings=1)
