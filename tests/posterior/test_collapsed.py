"""The collapsed sampler: closed forms, quadrature, a mirror image, and chains' own files as witnesses."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from small_cases import decay, straight_line, tiny_case

from cellsim import processes
from cellsim.case.case import Case
from cellsim.errors import CalibrationError, CutShortError
from cellsim.likelihood.day_quadrature import POINTS, between_ends
from cellsim.likelihood.every_day import EveryDay, Reading, Slopes
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.linear_rows import LinearRows
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.row_dependence import answers_of, moved_together
from cellsim.posterior import collapsed, collapsed_proposal, conditional_draws, sampler
from cellsim.posterior.approximation import smoothed_weights
from cellsim.posterior.collapsed_proposal import (
    Normal,
    NormalMixture,
    Surface,
    Tilted,
    log_density_of_all,
    systematic,
    tilted,
)
from cellsim.posterior.conditional_draws import Guess, PredictedSlopes, guess_of_modes
from cellsim.posterior.convergence import arviz
from cellsim.posterior.fitting import calibrate, optima
from cellsim.posterior.inner_parameters import Bend, bends_at, split_by
from cellsim.posterior.posterior import Posterior, sample
from cellsim.posterior.weighted_draws import Weighted

LINE = ([10.3, 11.9, 12.4, 14.8], [0.5, 1.0, 2.0, 3.0])
FALL = ([1.4, 1.1, 0.45], [0.2, 1.0, 2.5])
# standard errors that luck alone passes once in two million comparisons
LUCK = 5.0


def mirrored() -> Case:
    """y = 10 + a + b t + c^2: nothing tells c from -c, and given c all is linear and normal."""
    return tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + b*x + c*c", 0.1, "normal")},
        [("y", 0.0, 11.0), ("y", 1.0, 11.3), ("y", 2.0, 11.4)],
        {"a": ("normal", 0.0, 0.1), "b": ("normal", 0.0, 1.0), "c": ("normal", 0.0, 1.0)},
        name="mirrored",
    )


def drawn(case: Case, **options: object) -> Posterior:
    given = {"method": "collapsed", "seed": 1, "draws": 400, "effective": 200, "progress": False, **options}
    return sample(calibrate(case, starts=4), **given)  # type: ignore[arg-type]


@cache
def line() -> Posterior:
    return drawn(straight_line(*LINE))


@cache
def fall() -> Posterior:
    return drawn(decay(*FALL))


@cache
def mirror() -> Posterior:
    return drawn(mirrored())


def weighted_mean(post: Posterior, values: np.ndarray) -> tuple[float, float]:
    """Of values of all weighted draws, with its standard error by the effective draws."""
    weights = post.weights / post.weights.sum()
    mean = float(weights @ values)
    return mean, float(np.sqrt(weights @ (values - mean) ** 2 / post.effective))


# ---- the posterior -------------------------------------------------------------------------------


def test_a_linear_normal_case_has_its_closed_form() -> None:
    """Everything is inner, so that all weights are the evidence itself: ln N(y; 10, s^2 I + X X')."""
    post = line()
    values, days = (np.array(each) for each in LINE)
    design = np.column_stack([np.ones(4), days])
    closed = stats.multivariate_normal(np.full(4, 10.0), 0.25 * np.eye(4) + design @ design.T).logpdf(values)
    assert post.log_evidence == pytest.approx(closed, abs=1e-6)
    assert np.ptp(post.drawn.weighted.log_weights) < 1e-6
    assert post.drawn.weighted.outer == () and post.log_evidence_error < 1e-6
    assert post.effective == pytest.approx(len(post.drawn.weighted.thetas)) and post.pareto_k == 0.0
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / 0.25)
    mean = covariance @ design.T @ (values - 10) / 0.25
    thetas, _ = post.weighted
    independent = len(thetas)
    assert np.all(np.abs(thetas.mean(axis=0) - mean) < LUCK * np.sqrt(np.diag(covariance) / independent))
    # draws and their mirror images: a product is as certain as that of half as many
    assert np.cov(thetas.T) == pytest.approx(covariance, rel=LUCK * np.sqrt(4 / independent))


def test_a_frame_of_weighted_draws_has_every_parameter_in_its_own_unit_beside_its_weight() -> None:
    """ln A is normal given ln k, which quadrature integrates: the mean of A itself, weighted, is that of the integral."""
    post = fall()
    frame = post.frame()
    assert list(frame.columns) == [*post.objective.names, "weight"] and frame[
        "weight"
    ].mean() == pytest.approx(1.0)
    logs, days = np.log(FALL[0]), np.array(FALL[1])

    def moment(k: float, power: float) -> float:
        # of ln A, prior N(0, 1), each ln y + exp(k) t is seen with sd 0.2
        seen = logs + np.exp(k) * days
        variance = 1 / (1 + 3 / 0.04)
        density = stats.multivariate_normal(-np.exp(k) * days, 0.04 * np.eye(3) + np.ones((3, 3))).pdf(logs)
        mean = variance * seen.sum() / 0.04
        return float(density * stats.norm.pdf(k) * np.exp(power * mean + power**2 * variance / 2))

    whole, first = (integrate.quad(lambda k, p=p: moment(k, p), -8, 4, limit=200)[0] for p in (0.0, 1.0))
    mean, error = weighted_mean(post, frame["A"].to_numpy())
    assert abs(mean - first / whole) < LUCK * error + 1e-3
    assert frame["k"].to_numpy() == pytest.approx(
        np.exp(post.weighted[0][:, post.objective.names.index("k")])
    )
    assert frame.attrs["units"].keys() == {"k", "A"} and "approximation" in frame.attrs


def test_one_parameter_that_bends_is_drawn_and_agrees_with_quadrature() -> None:
    """y = A exp(-k t): given ln k the rest is normal, and is integrated in closed form; ln k by scipy's quadrature."""
    post = fall()
    logs, days = np.log(FALL[0]), np.array(FALL[1])

    def density(k: float) -> float:
        given = stats.multivariate_normal(-np.exp(k) * days, 0.04 * np.eye(3) + np.ones((3, 3))).pdf(logs)
        # rows are densities of the values and not of their logarithms
        return float(given * stats.norm.pdf(k) / np.prod(FALL[0]))

    total, first, second = (
        integrate.quad(lambda k, p=p: k**p * density(k), -8, 4, limit=200)[0] for p in range(3)
    )
    assert post.drawn.weighted.outer == ("k",)
    # a thousandth is what the simulations leave open
    assert abs(post.log_evidence - np.log(total)) < LUCK * post.log_evidence_error + 1e-3
    thetas, _ = post.weighted
    k = thetas[:, post.objective.names.index("k")]
    for values, moment in ((k, first), (k**2, second)):
        mean, error = weighted_mean(post, values)
        assert abs(mean - moment / total) < LUCK * error + 1e-3
    flat = post.flat[:, post.objective.names.index("k")]
    assert abs(flat.mean() - first / total) < LUCK * flat.std() / np.sqrt(min(post.effective, len(flat)))


def test_both_modes_are_drawn_in_proportion() -> None:
    """The mirror image is as probable; the evidence is that of a quadrature over c, the rest in closed form."""
    post = mirror()
    rows, days = np.array([11.0, 11.3, 11.4]), np.arange(3.0)
    spread = 0.01 * np.eye(3) + 0.01 * np.ones((3, 3)) + np.outer(days, days)
    total = integrate.quad(
        lambda c: stats.multivariate_normal(np.full(3, 10 + c * c), spread).pdf(rows) * stats.norm.pdf(c),
        -4,
        4,
        points=[-1, 1],
    )[0]
    assert post.drawn.weighted.outer == ("c",) and post.pareto_k < 0.7
    assert abs(post.log_evidence - np.log(total)) < LUCK * post.log_evidence_error + 1e-3
    thetas, _ = post.weighted
    share, error = weighted_mean(post, (thetas[:, post.objective.names.index("c")] > 0).astype(float))
    assert abs(share - 0.5) < LUCK * error


def test_a_mode_that_all_starts_missed_is_drawn_around_once_a_draw_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A calibration that knows the lower of two modes: the evidence of both is that of a quadrature over c, and is told to be news."""
    case = tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + b*x + c*c", 0.3, "normal")},
        [("y", 0.0, 11.2), ("y", 1.0, 11.3), ("y", 2.0, 11.4)],
        {"a": ("normal", 0.0, 0.1), "b": ("normal", 0.0, 0.1), "c": ("normal", 1.0, 1.0)},
        name="lopsided",
    )
    rows, days = np.array([11.2, 11.3, 11.4]), np.arange(3.0)
    spread = 0.09 * np.eye(3) + 0.01 * np.ones((3, 3)) + 0.01 * np.outer(days, days)
    total = integrate.quad(
        lambda c: (
            stats.multivariate_normal(np.full(3, 10 + c * c), spread).pdf(rows) * stats.norm.pdf(c, 1.0)
        ),
        -4,
        6,
        points=[-1, 1],
    )[0]
    fit = calibrate(case, starts=4)
    k = fit.objective.names.index("c")
    lower, across = np.zeros(3), np.zeros(3)
    lower[k] = -2.1
    low = replace(fit, mixture=optima(fit.objective, [lower]).mixture)
    [mode] = low.mixture.modes
    assert mode.theta[k] < -1.5
    made, asked = sampler.collapsed_draws, []

    def drawn_once(*arguments: Any, misses_mode: Any, **options: Any) -> Weighted:
        if misses_mode is None:
            return made(*arguments, misses_mode=None, **options)
        # a draw of great weight at the other one; then none
        for place, heavy in ((across, 9.0), (mode.theta, 9.0)):
            thetas = np.array([[mode.theta]] * 5 + [[place]])
            logs = np.array([[0.0]] * 5 + [[heavy]])
            found = Weighted(thetas, logs, ("c",), 0.0, 100, 1000)
            asked.append(misses_mode(found))
        misses_mode(Weighted(np.array([[across]]), np.zeros((1, 1)), ("c",), 0.0, 100, 1000))
        return found

    monkeypatch.setattr(sampler, "collapsed_draws", drawn_once)
    post = sample(low, method="collapsed", seed=1, draws=200, effective=200, progress=False)
    assert asked == [True, False]
    assert abs(post.log_evidence - np.log(total)) < LUCK * post.log_evidence_error + 1e-3
    [told] = [each for each in post.doubts if "calibration missed" in each]
    best = max(fit.mixture.modes, key=lambda each: -each.objective)
    assert f"{0.5 * (mode.objective - best.objective):.1f} nats above" in told


def test_an_unknown_day_is_drawn_from_its_own_density() -> None:
    """y = 10 + a + x with x the day itself, uniform between 1 and 5: the sum is seen, and ln evidence is a quadrature."""
    case = tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + x", 0.3, "normal")},
        [("y", 3.0, 14.5)],
        {"a": ("normal", 0.0, 1.0)},
        windows={3.0: (1.0, 5.0)},
    )
    post = drawn(case)
    weight = stats.norm(14.5 - 10, np.sqrt(1 + 0.09))
    total = (weight.cdf(5) - weight.cdf(1)) / 4
    assert abs(post.log_evidence - np.log(total)) < LUCK * post.log_evidence_error + 2e-3
    day = integrate.quad(lambda d: d * weight.pdf(d) / 4 / total, 1, 5)[0]
    place = post.objective.names.index("day_v0")
    days = post.objective.priors[place].value(post.flat[:, place])
    assert abs(days.mean() - day) < LUCK * days.std() / np.sqrt(min(post.effective, len(days)))
    # nodes are few, and days that were handed out are drawn between them
    assert len(np.unique(days)) == len(days)


def test_the_same_seed_makes_the_same_draws() -> None:
    fit = calibrate(decay(*FALL), starts=1)
    options = {"method": "collapsed", "draws": 20, "effective": 40, "budget": 100, "progress": False}
    first, second, other = (sample(fit, seed=seed, **options) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert np.array_equal(first.thetas, second.thetas) and not np.array_equal(first.thetas, other.thetas)
    assert first.log_evidence == second.log_evidence


def test_draws_made_in_processes_are_those_made_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, made = calibrate(decay(*FALL), starts=1), []
    options = {"method": "collapsed", "draws": 20, "effective": 40, "budget": 400, "progress": False}
    here = sample(fit, **options).drawn.weighted  # type: ignore[arg-type]

    def in_processes(work: Any, calls: Any, *, worth: bool) -> Any:
        made.append(worth)
        return processes.in_processes(work, calls, worth=worth)

    monkeypatch.setattr(collapsed, "MANY_PARAMETERS", 0)
    monkeypatch.setattr(collapsed, "in_processes", in_processes)
    there = sample(fit, **options).drawn.weighted  # type: ignore[arg-type]
    assert made and all(made)
    assert here is not None and there is not None
    assert np.array_equal(here.thetas, there.thetas)
    assert np.array_equal(here.log_weights, there.log_weights)


# ---- which are inner -----------------------------------------------------------------------------


def test_parameters_that_bend_only_together_lose_one_of_them() -> None:
    """r = a + 3 b c + d: fixing b or c makes all linear, and one of them is enough; a and d never bend."""
    second = np.zeros((4, 4, 4))
    second[0, 1, 2] = second[0, 2, 1] = 3.0
    slopes = np.array([[1.0, 0, 0, 1], [0, 0.5, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 1]])
    found = split_by([Bend(np.ones(4), slopes, second)], seed=1)
    assert found.outer.tolist() in ([1], [2]) and found.mismatch == 0
    nothing = split_by([Bend(np.ones(4), slopes, np.zeros((4, 4, 4)))], seed=1)
    assert nothing.outer.size == 0 and nothing.inner.size == 4


def test_rows_to_second_order_are_their_closed_form() -> None:
    """y = 10 + a + 2 b c + x, sd 0.5: only b and c bend, together, by 2 / 0.5; what does not bend is nought at every place."""
    case = tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + 2*b*c + x", 0.5, "normal")},
        [("y", 0.0, 11.0), ("y", 1.0, 11.3)],
        {name: ("normal", 0.0, 1.0) for name in "abc"},
    )
    density = WithoutDays(objective_of(case), 1e-6)
    bends = bends_at(density, np.zeros(3), 0.5 * np.eye(3), seed=1)
    names = [density.objective.names.index(name) for name in "abc"]
    for bend in bends:
        closed = np.zeros((3, 3))
        closed[1, 2] = closed[2, 1] = 4.0
        assert bend.second[:, names][:, :, names] == pytest.approx(np.stack([closed, closed]), abs=1e-3)
        assert np.all(bend.second[:, names[0]] == 0) and np.all(bend.second[:, :, names[0]] == 0)
    assert split_by(bends, seed=1).outer.tolist() in ([names[1]], [names[2]])


def test_parameters_that_move_no_row_in_common_are_moved_at_once() -> None:
    """Witness: the Jacobian's own differences, one parameter at a time; and what the equations say each row is made of."""
    case = tiny_case(
        "x = 1; x' = -k*x; k = 0.3",
        {"y": ("10 + a*a + b*x", 0.5, "normal"), "z": ("10 + c*c*k + d*c", 0.5, "normal")},
        [(analyte, day, 10.8) for analyte in "yz" for day in (0.0, 1.0, 2.0)],
        {**{name: ("normal", 0.0, 1.0) for name in "abcd"}, "k": ("log-normal", -1.2, 0.3)},
        name="apart",
    )
    density = WithoutDays(objective_of(case), 1e-8)
    objective, names = density.objective, list(density.objective.names)
    answers = answers_of(objective)
    made_of = {"y": {"a", "b", "k"}, "z": {"c", "d", "k"}}
    for row, term in zip(answers, objective.terms, strict=True):
        assert {name for name, each in zip(names, row, strict=True) if each} == made_of[term.analyte]
    groups = [{names[k] for k in group} for group in moved_together(answers)]
    assert {"k"} in groups and sorted(map(len, groups)) == [1, 2, 2]
    assert all(len(group & made_of[each]) < 2 for group in groups for each in made_of)
    bend, sd, rough = bends_at(density, np.zeros(5), 0.25 * np.eye(5), seed=1)[0], 0.5, density.rough.rtol
    theta = sd * np.random.default_rng([1, 0]).standard_normal(5)
    here = objective.evaluate(theta, gradient=True, rtol=rough).jacobian
    there = [objective.evaluate(theta + move, gradient=True, rtol=rough).jacobian for move in sd * np.eye(5)]
    turns = np.stack([(each - here)[:6] / sd for each in there], axis=1)
    expected = 0.5 * (turns + turns.transpose(0, 2, 1))
    bent = (np.abs(expected) * sd**2 > 0.02).any(axis=(0, 2))
    assert bent.sum() >= 4
    # of a simulation of rough tolerance, whose steps are others where something else is moved as well
    assert bend.second[:, bent][:, :, bent] == pytest.approx(expected[:, bent][:, :, bent], abs=0.05)


def test_where_nothing_is_inner_chains_are_made_and_say_so() -> None:
    """c alone, seen through c^2: its two modes make it outer, and nothing is left."""
    case = tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + c*c", 0.1, "normal")},
        [("y", 0.0, 11.0), ("y", 1.0, 11.3)],
        {"c": ("normal", 0.0, 1.0)},
    )
    fit = calibrate(case, starts=4)
    with pytest.raises(CalibrationError, match="method='nuts'"):
        sample(fit, method="collapsed", progress=False)
    post = sample(fit, draws=20, tune=40, seed=1, progress=False)
    assert post.method == "nuts" and post.doubts[0].startswith("the collapsed sampler was tried first")
    assert np.all(post.weights == 1) and np.isnan(post.log_evidence)
    assert any("tried first" in each for each in post.approximation.doubts)


def test_chains_asked_for_are_made_at_once_and_a_method_there_is_none_of_is_refused() -> None:
    fit = calibrate(straight_line(*LINE), starts=1)
    post = sample(fit, method="nuts", draws=10, tune=40, progress=False)
    assert post.method == "nuts" and not any("tried first" in each for each in post.doubts)
    with pytest.raises(CalibrationError, match="collapsed"):
        sample(fit, method="colapsed")


# ---- files, words, interrupts --------------------------------------------------------------------


def test_a_saved_posterior_keeps_its_weights(tmp_path: Path) -> None:
    post = fall()
    post.save(tmp_path / "fall.nc")
    again = Posterior.load(tmp_path / "fall.nc")
    assert again.method == "collapsed" and again.doubts == post.doubts
    assert np.array_equal(again.thetas, post.thetas) and np.array_equal(again.weights, post.weights)
    assert (again.log_evidence, again.pareto_k, again.effective) == (
        post.log_evidence,
        post.pareto_k,
        post.effective,
    )
    assert again.drawn.weighted.outer == post.drawn.weighted.outer
    # what another tool reads: draws of one weight, and beside them the weight each had
    found = arviz().from_netcdf(str(tmp_path / "fall.nc"))
    assert np.asarray(found["posterior"]["k"]).shape == (1, 400)
    assert np.asarray(found["sample_stats"]["weight"]).shape == (1, 400)
    assert found["posterior"].attrs["approximation"] == "the collapsed sampler"


def test_tables_and_words_say_what_they_rest_on() -> None:
    post = fall()
    table, text = post.table(), post.report()
    assert set(table["approximation"]) == {"the collapsed sampler"}
    assert np.allclose(table["ess_bulk"], post.effective) and table["rhat"].isna().all()
    assert f"worth {post.effective:.0f} independent ones" in text and "Drawn: k" in text
    assert f"ln evidence {post.log_evidence:.2f}" in repr(post)
    with pytest.raises(CalibrationError, match="no chains that could go on"):
        post.resume(10)


def test_a_budget_that_is_spent_is_told_with_what_would_do() -> None:
    post = drawn(mirrored(), effective=100_000, budget=100)
    assert len(post.drawn.weighted.thetas) == 100
    assert any("effective draws were reached with 100 draws" in each for each in post.doubts)


def test_a_run_that_gets_nowhere_near_ends_before_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one effective draw of each made: a hundred times as many as are allowed would be needed, and are named."""
    monkeypatch.setattr(collapsed, "_FAIR", 2 * collapsed._ROUND)
    post = drawn(mirrored(), effective=10**6, budget=10_000)
    assert len(post.drawn.weighted.thetas) == 2 * collapsed._ROUND
    [told] = [each for each in post.doubts if "effective draws were reached with" in each]
    assert int(told.rpartition("budget=")[2].rstrip(".")) >= 10**6


def test_an_interrupt_keeps_what_was_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the first of those that are made without an interrupt, and weigh the same."""
    fit, real, calls = calibrate(decay(*FALL), starts=1), collapsed._Rounds._drawn, []
    monkeypatch.setattr(collapsed, "_ROUND", 2 * collapsed._BLOCK)
    options = {"method": "collapsed", "draws": 20, "seed": 3, "progress": False, "effective": 10**6}
    whole = sample(fit, budget=collapsed._ROUND, **options).drawn.weighted  # type: ignore[arg-type]

    def impatient(self: object, *given: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *given)

    monkeypatch.setattr(collapsed._Rounds, "_drawn", impatient)
    post = sample(fit, budget=collapsed._ROUND, **options)  # type: ignore[arg-type]
    kept = collapsed._BLOCK
    assert post.interrupted and len(post.drawn.weighted.thetas) == kept
    assert np.array_equal(post.drawn.weighted.thetas, whole.thetas[:kept])
    assert post.drawn.weighted.log_weights == pytest.approx(whole.log_weights[:kept], abs=1e-12)
    assert any(each.startswith("interrupted") for each in post.doubts)
    calls[:] = [1]
    with pytest.raises(CutShortError):
        sample(fit, budget=collapsed._ROUND, **options)  # type: ignore[arg-type]


# ---- proposals -----------------------------------------------------------------------------------


def test_a_tilted_proposal_is_a_density_and_draws_are_its_own() -> None:
    """The mean of ratios of a known normalised density over draws of the proposal is one; here in two dimensions."""
    random = np.random.default_rng(1)
    base = NormalMixture((Normal(np.zeros(2), np.eye(2)),), np.ones(1))
    target = Normal(np.array([1.0, -0.5]), np.array([[0.3, 0.2], [0.2, 0.4]]))
    places = base.draws(400, random)
    log_target = target.log_density(places)
    made = tilted(base, places, log_target, log_target - base.log_density(places), random)
    assert isinstance(made.surface, Surface)
    draws = made.draws(20_000, random)
    ratios = np.exp(target.log_density(draws) - made.log_density(draws))
    # candidates are finite in number: their constant has an error of its own, a hundredth
    assert ratios.mean() == pytest.approx(1.0, abs=LUCK * ratios.std() / np.sqrt(len(draws)) + 0.02)
    plain = base.draws(20_000, random)
    rough = np.exp(target.log_density(plain) - base.log_density(plain))
    assert ratios.std() < 0.6 * rough.std()


def test_a_regression_knows_what_it_would_be_without_each_of_its_values() -> None:
    """The witness is the regression through all others; of the same reach, size and noise, for which one value is too little."""
    random = np.random.default_rng(3)
    places = random.standard_normal((60, 2))
    values = np.sin(places[:, 0]) + 0.5 * random.standard_normal(60)
    whole = Surface.through(places, values, Normal(np.zeros(2), np.eye(2)))
    # a value that is the middle itself leaves the middle where it was, and the spread is made up for
    for k in range(0, 60, 7):
        others = np.arange(60) != k
        kernel = whole.size * collapsed_proposal.matern(
            collapsed_proposal.squared_distances(places, places), whole.reach
        )
        # the noise that was taken is what the weights tell: values = (kernel + noise) weights
        rest = values - whole.middle - kernel @ whole.weights
        noise = float(rest @ whole.weights / (whole.weights @ whole.weights))
        inner = kernel[np.ix_(others, others)] + noise * np.eye(59)
        closed = whole.middle + kernel[k, others] @ np.linalg.solve(inner, values[others] - whole.middle)
        assert whole.left_out[k] == pytest.approx(max(closed, whole.floor), abs=1e-6)


def test_draws_made_to_count_alike_are_in_proportion_to_their_weights() -> None:
    """Half of the draws weigh three times as much as the others: three quarters of those resampled are of these."""
    thetas = np.tile([0.0, 1.0], 200).reshape(400, 1, 1)
    found = Weighted(thetas, np.log(1 + 2 * thetas[:, :, 0]), ("k",), 0.0, 100, 400)
    drawn, weights = found.resampled(4000, seed=1)
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    assert weights[drawn[:, 0] == 1].mean() == pytest.approx(3 * weights[drawn[:, 0] == 0].mean(), rel=0.05)


def test_what_chance_made_high_does_not_lower_its_own_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normalised density, seen with a noise of one nat whose exponential has mean one: the evidence is one, whatever is learned."""
    monkeypatch.setattr(collapsed_proposal, "_CANDIDATES", 2000)
    base = NormalMixture((Normal(np.zeros(2), np.eye(2)),), np.ones(1))
    target, found = Normal(np.array([0.5, -0.3]), np.diag([0.6, 0.4])), []
    for k in range(40):
        random = np.random.default_rng(k)
        places, seen = base.draws(60, random), 1.5
        noisy = target.log_density(places) + seen * random.standard_normal(60) - seen**2 / 2
        made = tilted(base, places, noisy, noisy - base.log_density(places), random)
        more = made.draws(60, random)
        again = target.log_density(more) + seen * random.standard_normal(60) - seen**2 / 2
        against = np.logaddexp(
            [*base.log_density(places), *base.log_density(more)],
            [*made.log_density_learned(places), *made.log_density(more)],
        )
        found.append(np.exp([*noisy, *again] - against).sum() / 60)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - 1) < 3 * error and error < 0.05


def test_moments_at_a_draw_are_those_of_the_others() -> None:
    """Witness: what is learned from the others alone, for every draw; at the heaviest it is far less than with it."""
    random, base = np.random.default_rng(2), NormalMixture((Normal(np.zeros(3), np.eye(3)),), np.ones(1))
    places, log_weights = base.draws(40, random), 2 * random.standard_normal(40)
    log_target = base.log_density(places) + log_weights
    made = tilted(base, places, log_target, log_weights, random)
    for k in range(40):
        others = np.arange(40) != k
        alone = tilted(base, places[others], log_target[others], log_weights[others], random).under
        # a draw that holds next to nothing moves nothing
        assert made.left_out[k] == pytest.approx(alone.log_density(places[k : k + 1])[0], abs=1e-2)
    heaviest = int(np.argmax(log_weights))
    assert made.under.log_density(places)[heaviest] - made.left_out[heaviest] > 0.1


def test_few_candidates_leave_the_expected_weight_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five candidates each time, tilted the wrong way: the mean weight is the integral of what is drawn, which is one."""
    monkeypatch.setattr(collapsed_proposal, "_DEFENSIVE", 0.0)
    random, one = np.random.default_rng(1), NormalMixture((Normal(np.zeros(1), np.eye(1)),), np.ones(1))
    target, found = Normal(np.array([0.4]), 0.5 * np.eye(1)), []

    def wrong(places: np.ndarray) -> np.ndarray:
        return -places[:, 0]

    for _ in range(1200):
        candidates = one.draws(5, random)
        tilts = collapsed_proposal._TRUST * wrong(candidates)
        made = Tilted(one, one, wrong, candidates, tilts)  # type: ignore[arg-type]
        place = made.draws(1, random)
        with np.errstate(divide="ignore"):
            found.append(np.exp(target.log_density(place) - made.log_density(place))[0])
    assert np.mean(found) == pytest.approx(1.0, abs=LUCK * np.std(found) / np.sqrt(len(found)))
    # so that a tenth would be seen
    assert np.std(found) / np.sqrt(len(found)) < 0.04


def test_draws_of_all_rounds_count_against_their_mixture() -> None:
    one, other = (NormalMixture((Normal(np.array([m]), np.eye(1)),), np.ones(1)) for m in (0.0, 2.0))
    at = np.array([[0.5], [1.5]])
    found = log_density_of_all([(Tilted(one, one), 30), (Tilted(other, other), 10)], at)
    expected = 0.75 * stats.norm.pdf(at[:, 0]) + 0.25 * stats.norm.pdf(at[:, 0], 2)
    assert np.exp(found) == pytest.approx(expected)


def test_systematic_resampling_takes_each_as_often_as_expected_but_for_less_than_one() -> None:
    weights = np.random.default_rng(2).random(50)
    counts = np.bincount(systematic(np.log(weights), 400, np.random.default_rng(3)), minlength=50)
    assert np.all(np.abs(counts - 400 * weights / weights.sum()) < 1)


def test_weights_that_hardly_differ_have_no_tail_and_those_of_a_heavy_tail_keep_theirs() -> None:
    """Weights of 3,000 of which five are up to twice the others: their effective number is that of the weights as they are. Heavy tails are
    told, with weights of U to the power -0.9, whose mean has no variance."""
    nearly = np.concatenate([1 + 0.01 * np.random.default_rng(1).random(2995), [1.1, 1.2, 1.4, 1.7, 2.0]])
    heavy = np.random.default_rng(1).random(3000) ** -0.9
    calm, wild = (
        Weighted(np.zeros((3000, 1, 1)), np.log(each)[:, None], ("k",), 0.0, 100, 3000)
        for each in (nearly, heavy)
    )
    assert smoothed_weights(np.log(nearly))[1] > 0.7 and calm.pareto_k == 0.0 and calm.trusted
    assert calm.effective == pytest.approx(nearly.sum() ** 2 / (nearly**2).sum())
    assert wild.pareto_k == pytest.approx(0.9, abs=0.25) and not wild.trusted


def test_a_draw_that_could_not_be_simulated_has_no_weight_and_counts() -> None:
    """Half the draws lost: the mean weight, and with it the evidence, is halved."""
    logs = np.zeros((40, 2))
    found = Weighted(np.zeros((40, 2, 1)), logs, (), 0.0, 10, 40)
    lost = replace(found, log_weights=np.concatenate([logs[:20], np.full((20, 2), -np.inf)]), why="too stiff")
    assert lost.log_evidence == pytest.approx(-np.log(2)) and lost.effective == pytest.approx(20)
    assert "20 of 40 draws could not be simulated" in " ".join(lost.doubts) and np.all(
        lost.smoothed[20:] == 0
    )


# ---- days and inner parameters --------------------------------------------------------------------


def linear_rows(random: np.random.Generator) -> LinearRows:
    """Two known rows, a visit of three rows with two panels of days and one of one row with one panel; three inner parameters."""
    panels, rows = (2, 1), (3, 1)
    reading = Reading(
        random.standard_normal(2),
        tuple(
            2 * random.standard_normal((POINTS * count, size))
            for count, size in zip(panels, rows, strict=True)
        ),
        tuple(random.standard_normal(POINTS * count) for count in panels),
    )
    by_panel = []
    for count, size in zip(panels, rows, strict=True):
        same = random.standard_normal((count, 1, size, 3))
        by_panel.append(np.repeat(same, 2, axis=1))
    return LinearRows(
        random.standard_normal(3), reading, Slopes(random.standard_normal((2, 3)), tuple(by_panel))
    )


def test_evidence_of_every_day_is_that_of_a_normal_distribution_of_the_rows() -> None:
    """Rows r + J (v - w) of a unit normal v have residuals N(r - J w, 1 + J J') where nought is seen; scipy's density is the witness."""
    rows = linear_rows(np.random.default_rng(1))

    def closed(nodes: tuple[int, int]) -> float:
        residuals, slopes = rows.on(nodes)
        spread = np.eye(len(residuals)) + slopes @ slopes.T
        offsets = sum(each[node] for each, node in zip(rows.reading.offsets, nodes, strict=True))
        middle = residuals - slopes @ rows.place
        return float(offsets + stats.multivariate_normal(np.zeros(len(middle)), spread).logpdf(middle))

    for visit, count in ((0, 2 * POINTS), (1, POINTS)):
        other = 3
        pairs = [(k, other) if visit == 0 else (other, k) for k in range(count)]
        expected = np.array([closed(pair) for pair in pairs])
        found = rows.log_evidences(visit, (other, other))
        assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-9)
        halves = [part.astype(np.float32) for part in (rows.slopes.known, *rows.slopes.by_panel)]
        rough = replace(rows, slopes=Slopes(halves[0], tuple(halves[1:]))).log_evidences(
            visit, (other, other)
        )
        assert rough == pytest.approx(found, abs=1e-4)
        # what numbers of half the length cannot tell beside one is told by whole ones
        steep = replace(rows, slopes=Slopes(halves[0], tuple(1e4 * part for part in halves[1:])))
        whole = replace(
            rows,
            slopes=Slopes(halves[0].astype(float), tuple(1e4 * part.astype(float) for part in halves[1:])),
        )
        assert steep.log_evidences(visit, (other, other)) == pytest.approx(
            whole.log_evidences(visit, (other, other)), abs=0.01
        )
    nodes, _ = rows.by_day
    precision, gradient = rows.normal(nodes)
    residuals, slopes = rows.on(nodes)
    # the mode is that of least squares with the prior as three rows more
    whole = np.vstack([slopes, np.eye(3)])
    solved = np.linalg.lstsq(whole, np.append(slopes @ rows.place - residuals, np.zeros(3)), rcond=None)[0]
    assert rows.place - np.linalg.solve(precision, gradient) == pytest.approx(solved)
    assert rows.squares(nodes) == pytest.approx(residuals @ residuals + rows.place @ rows.place)


def test_slopes_lie_on_a_line_between_the_ends_of_a_panel() -> None:
    places = np.polynomial.legendre.leggauss(POINTS)[0]
    assert between_ends() @ [places[0], places[-1]] == pytest.approx(places)


def pulsed() -> Case:
    """y = 10 + a + c^2 + x, x falling by half in a third of a day after pulses; two samples of unknown day, each high for hours only."""
    return tiny_case(
        "x = 0; x' = -2*x",
        {"y": ("10 + a + c*c + x", 0.2, "normal")},
        [("y", 0.0, 11.0), ("y", 8.0, 12.3), ("y", 16.0, 11.5)],
        {"a": ("normal", 0.0, 0.3), "c": ("normal", 0.0, 1.0)},
        doses=[(5.0, "x", 3.0), (10.0, "x", 4.0), (15.0, "x", 2.0)],
        windows={8.0: (4.0, 12.0), 16.0: (13.0, 19.0)},
        name="pulsed",
    )


def pulses(days: np.ndarray) -> np.ndarray:
    """x of :func:`pulsed` in closed form."""
    return np.asarray(
        sum(
            amount * np.where(days > day, np.exp(-2 * (days - day)), 0.0)
            for day, amount in ((5.0, 3.0), (10.0, 4.0), (15.0, 2.0))
        )
    )


def test_residuals_and_slopes_of_every_day_are_those_of_one_day_at_a_time() -> None:
    """The objective's own evaluation with each sample on the day of a node is the witness."""
    density = WithoutDays(objective_of(pulsed()), 1e-8)
    objective, every = density.objective, EveryDay(density)
    names = list(objective.names)
    theta, columns = np.zeros(len(names)), np.array([names.index("a"), names.index("c")])
    theta[columns] = [0.4, 0.8]
    (reading,), slopes = every.read(theta[None]), every.slopes(theta, columns)
    assert isinstance(reading, Reading) and isinstance(slopes, Slopes)
    for k, visit in enumerate(density.visits):
        for node in range(0, visit.nodes.thetas.size, 7):
            moved = theta.copy()
            moved[visit.column] = visit.nodes.thetas[node]
            there = objective.evaluate(moved, gradient=True, rtol=1e-8, along=columns)
            assert reading.by_node[k][node] == pytest.approx(there.residuals[visit.terms], abs=1e-5)
            assert reading.known == pytest.approx(there.residuals[density.known], abs=1e-5)
            whole = reading.offsets[k][node] - 0.5 * (reading.by_node[k][node] ** 2).sum()
            assert whole - visit.nodes.log_weights[node] == pytest.approx(
                there.log_likelihood[visit.terms].sum(), abs=1e-4
            )
            assert there.jacobian is not None
            assert slopes.by_panel[k][node // POINTS, 0] == pytest.approx(
                there.jacobian[visit.terms], abs=1e-4
            )
            assert slopes.known == pytest.approx(there.jacobian[density.known], abs=1e-4)
    assert np.array_equal(Slopes.of_flat(slopes.flat, slopes.shapes).by_panel[1], slopes.by_panel[1])


@cache
def quadrature() -> tuple[float, float, float]:
    """ln evidence of :func:`pulsed`, and how probable it is that its second sample was drawn after its second pulse, and its third
    within a day of its own: a, c and both days by the trapezoid rule."""
    one, two = np.linspace(4, 12, 4001), np.linspace(13, 19, 3001)
    c, a = np.linspace(-4, 4, 401), np.linspace(-1.5, 1.5, 121)
    # beyond these the first row has no density worth counting
    levels = np.linspace(9.5, 12.5, 301)

    def seen(value: float, days: np.ndarray, within: np.ndarray) -> np.ndarray:
        shares = within / len(days)
        made = [shares @ stats.norm.pdf(value, level + pulses(days), 0.2) for level in levels]
        return np.interp((10 + a + c[:, None] ** 2).ravel(), levels, made)

    prior = (stats.norm.pdf(c)[:, None] * stats.norm.pdf(a, 0, 0.3)).ravel() * (c[1] - c[0]) * (a[1] - a[0])
    known = prior * stats.norm.pdf(11.0, (10 + a + c[:, None] ** 2).ravel(), 0.2)
    first, second = seen(12.3, one, np.ones(len(one))), seen(11.5, two, np.ones(len(two)))
    total = known @ (first * second)
    late = known @ (seen(12.3, one, (one > 10).astype(float)) * second) / total
    soon = known @ (first * seen(11.5, two, ((two > 15) & (two < 16)).astype(float))) / total
    return float(np.log(total)), float(late), float(soon)


def days_agree(post: Posterior) -> None:
    """With the quadrature, evidence and days."""
    evidence, late, soon = quadrature()
    # nodes of the days' own quadrature leave a hundredth
    assert abs(post.log_evidence - evidence) < LUCK * post.log_evidence_error + 0.01
    thetas, names = post.weighted[0], list(post.objective.names)
    for name, low, high, expected in (("day_v1", 10.0, 12.0, late), ("day_v2", 15.0, 16.0, soon)):
        k = names.index(name)
        days = post.objective.priors[k].value(thetas[:, k])
        share, error = weighted_mean(post, ((days > low) & (days < high)).astype(float))
        assert abs(share - expected) < LUCK * error + 0.01


def test_rare_days_are_drawn_as_often_as_they_are_probable() -> None:
    post = drawn(pulsed(), effective=500, budget=800)
    assert "c" in post.drawn.weighted.outer and post.pareto_k < 0.7
    assert post.log_evidence_error < 0.06
    days_agree(post)


def test_slopes_that_are_predicted_wrongly_cost_draws_and_leave_the_evidence_and_the_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every slope is taken for three quarters of what it is, so that days and inner parameters are drawn from something else."""
    monkeypatch.setattr(collapsed, "_ENOUGH", 10)
    real, asked = PredictedSlopes.__call__, []

    def wrong(self: PredictedSlopes, features: np.ndarray) -> list[Slopes]:
        found = real(self, features)
        asked.extend(found)
        return [Slopes(0.75 * each.known, tuple(0.75 * part for part in each.by_panel)) for each in found]

    monkeypatch.setattr(PredictedSlopes, "__call__", wrong)
    post = drawn(pulsed(), effective=2000, budget=480)
    assert len(asked) > 200 and post.drawn.weighted.mismatch > 0.1
    days_agree(post)


def test_parameters_that_move_no_slope_take_nothing_from_what_is_known_of_the_others() -> None:
    """sin of one of twelve parameters at sixty places: to a tenth, where distances that count alike in all directions leave a third."""
    random = np.random.default_rng(2)
    places = random.standard_normal((260, 12))
    made = [Slopes(np.array([[3 + np.sin(u[4])]], np.float32), ()) for u in places]
    found = PredictedSlopes.of(places[:60], made[:60])(places[60:])
    off = np.array([each.known[0, 0] for each in found]) - 3 - np.sin(places[60:, 4])
    assert np.sqrt(np.mean(off**2)) < 0.1


def test_slopes_are_made_where_those_that_are_known_say_little() -> None:
    """Variances are those of the joint normal distribution, by the inverse of its whole covariance; far away slopes are not predicted."""
    random = np.random.default_rng(3)
    places = random.standard_normal((80, 3))
    made = [Slopes(np.array([[u[0], np.sin(u[1])]], np.float32), ()) for u in places]
    slopes = PredictedSlopes.of(places, made)
    process = slopes.process
    there = np.array([[0.1, 0.2, -0.1], [9.0, -8.0, 0.0]])
    whole = np.concatenate([process.features, there * process.strengths])
    noise = np.append(np.full(80, conditional_draws._NOISE_OF_SLOPES), np.zeros(2))
    joint = conditional_draws._covariance(whole, whole) + np.diag(noise)
    left = np.linalg.inv(np.linalg.inv(joint)[80:, 80:])
    assert process.variances(there) == pytest.approx(np.diag(left), rel=1e-6)
    modes = guess_of_modes(places, places[:, :1], np.ones(80))
    near, far = Guess(Normal(np.zeros(3), np.eye(3)), modes, slopes)(there)[1]
    assert near is not None and near.known == pytest.approx(np.array([[0.1, np.sin(0.2)]]), abs=0.05)
    assert far is None


def test_slopes_that_are_linear_in_u_are_predicted_as_they_are() -> None:
    """The regression's own penalty is a hundredth at the edge of so many places; what is the same everywhere stays so."""
    random = np.random.default_rng(1)
    places = random.standard_normal((400, 2))
    made = []
    for one, other in places:
        known, ends = np.zeros((2, 2)), np.full((1, 2, 1, 2), 3.0)
        known[0, 0], ends[0, 1, 0, 1] = 1 + one, 2 - other
        made.append(Slopes(known, (ends,)))
    predict = PredictedSlopes.of(places[50:], made[50:])
    for found, each in zip(predict(places[:50]), made[:50], strict=True):
        assert found.flat == pytest.approx(each.flat, abs=0.03)
        assert np.all(found.known[1] == 0) and np.all(found.by_panel[0][0, 0] == 3.0)
    modes = places @ np.array([[0.3, -0.2]]).T
    regression = guess_of_modes(places, modes, np.ones(400))
    assert regression(places[:50]) == pytest.approx(modes[:50], abs=0.02)


def test_values_side_by_side_are_those_one_by_one() -> None:
    """The engine's own scalar path is the witness; lanes share their steps, and agree to the tolerance."""
    objective = calibrate(decay(*FALL), starts=1).objective
    thetas = 0.3 * np.random.default_rng(1).standard_normal((8, 2))
    single = [objective.evaluate(each, rtol=1e-8).log_likelihood.sum() for each in thetas]
    assert objective.log_likelihoods(thetas, rtol=1e-8) == pytest.approx(single, abs=1e-5)


def test_a_jacobian_along_some_parameters_has_their_columns() -> None:
    objective = calibrate(decay(*FALL), starts=1).objective
    theta, some = np.array([0.2, -0.1]), np.array([1])
    whole = objective.evaluate(theta, gradient=True).jacobian
    part = objective.evaluate(theta, gradient=True, along=some).jacobian
    assert part == pytest.approx(whole[:, some], abs=1e-12)
    density = WithoutDays(objective, 1e-6)
    assert density.with_likely_days(theta) == pytest.approx(theta)
