"""Sampling: closed forms, quadrature, an independent sampler, and statistical approximations as witnesses.

Every comparison of a Monte-Carlo mean is made in its own standard error, from the effective sample size; the bound of
5 is passed by luck's fault once in about two million comparisons, for seeds that were not chosen for passing.
"""

import _thread
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from small_cases import decay, straight_line, tiny_case

from cellsim.case.case import Case, load_case
from cellsim.errors import CalibrationError, CellsimError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.replicates import score
from cellsim.posterior import nuts
from cellsim.posterior import sampler as sampling
from cellsim.posterior.approximation import smoothed_weights
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.convergence import arviz, converged, doubts_of, newer_arviz
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.nuts import Preconditioner, geometric_mean, preconditioner_between, run_chains
from cellsim.posterior.posterior import Posterior, sample
from cellsim.posterior.sampler import Drawn, Run
from cellsim.posterior.weighted_draws import Weighted

LUCK = 5.0
LINE = ([10.3, 11.9, 12.4, 14.8], [0.5, 1.0, 2.0, 3.0])
FALL = ([1.4, 1.1, 0.45], [0.2, 1.0, 2.5])


@cache
def line() -> Posterior:
    return sample(calibrate(straight_line(*LINE), starts=2), method="nuts", draws=300, tune=150, seed=1)


@cache
def fall() -> Posterior:
    return sample(calibrate(decay(*FALL), starts=2), method="nuts", draws=200, tune=120, seed=2)


def sigmas(draws: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far the means of chains (n_chains, n_draws, n) lie from what they should be, in standard errors."""
    found = converged(draws)
    sd = draws.reshape(-1, draws.shape[-1]).std(axis=0)
    return np.abs(draws.mean(axis=(0, 1)) - expected) * np.sqrt(found.ess_bulk) / sd


# ---- frames --------------------------------------------------------------------------------------


def positive(seed: int, n: int) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((n, n))
    return root @ root.T + 0.1 * np.eye(n)


@given(seed=st.integers(0, 2**31), n=st.integers(1, 6))
def test_geometric_mean_solves_its_equation(seed: int, n: int) -> None:
    """S A^-1 S = B: the definition, which also makes the Fisher divergence least."""
    first, second = positive(seed, n), positive(seed + 1, n)
    middle = geometric_mean(first, second)
    assert middle @ np.linalg.inv(first) @ middle == pytest.approx(second, rel=1e-6, abs=1e-8)
    assert geometric_mean(second, first) == pytest.approx(middle, rel=1e-6, abs=1e-8)


@given(seed=st.integers(0, 2**31), n=st.integers(1, 6))
def test_a_frame_goes_back_and_forth(seed: int, n: int) -> None:
    preconditioner = Preconditioner.of(np.arange(n, dtype=float), positive(seed, n))
    z = np.random.default_rng(seed).standard_normal((2, 3, n))
    assert preconditioner.z(preconditioner.theta(z)) == pytest.approx(z, abs=1e-7)


def test_a_gaussian_is_standard_normal_in_its_learned_frame() -> None:
    covariance = positive(3, 4)
    draws = np.random.default_rng(0).multivariate_normal(np.ones(4), covariance, size=20_000)
    preconditioner = preconditioner_between(draws, [np.linalg.inv(covariance)])
    # standard errors of a covariance of 20,000 draws are 0.01
    assert np.cov(preconditioner.z(draws).T) == pytest.approx(np.eye(4), abs=0.05)


# ---- chains on densities without a case ----------------------------------------------------------


def test_chains_find_a_correlated_gaussian() -> None:
    mean, covariance = np.array([1.0, -2.0, 0.5]), positive(5, 3)
    precision = np.linalg.inv(covariance)

    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        return -0.5 * (x - mean) @ precision @ (x - mean), -precision @ (x - mean)

    found = run_chains(
        density, Preconditioner.of(np.zeros(3), np.eye(3)), draws=1000, tune=300, chains=4, seed=3
    )
    assert np.all(sigmas(found.theta, mean) < LUCK)
    apart = found.theta - mean
    products = np.stack([apart[..., i] * apart[..., j] for i in range(3) for j in range(i + 1)], axis=-1)
    expected = np.array([covariance[i, j] for i in range(3) for j in range(i + 1)])
    assert np.all(sigmas(products, expected) < LUCK)
    assert found.rejected == 0 and not found.statistics["diverging"].any()


def test_chains_of_many_parameters_start_where_they_are_told() -> None:
    """Threads of the sampler have a small stack, which a large matrix factored there would overrun."""
    size, random = 300, np.random.default_rng(4)
    preconditioner = Preconditioner.of(np.zeros(size), positive(4, size))
    firsts = random.standard_normal((2, size))
    found = run_chains(
        lambda x: (-x @ x / 2, -x),
        preconditioner,
        draws=4,
        tune=10,
        chains=2,
        seed=0,
        firsts=firsts,
        max_depth=2,
    )
    assert found.theta.shape == (2, 4, size)


def test_where_the_density_cannot_be_computed_there_are_no_draws() -> None:
    """A half-normal has mean sqrt(2/pi); a wall of failures makes one, and every knock is counted."""

    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        return (-0.5 * float(x @ x), -x) if x[0] > 0 else (np.nan, x)

    found = run_chains(
        density, Preconditioner.of(np.ones(1), np.eye(1)), draws=3000, tune=300, chains=4, seed=4
    )
    assert found.rejected > 0 and found.theta.min() > 0
    assert np.all(sigmas(found.theta, np.array([np.sqrt(2 / np.pi)])) < LUCK)


def test_the_same_seed_makes_the_same_chains_whatever_the_threads_do() -> None:
    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        return -0.5 * float(x @ x), -x

    preconditioner = Preconditioner.of(np.zeros(2), np.eye(2))
    first, second, other = (
        run_chains(density, preconditioner, draws=60, tune=60, chains=3, seed=seed).theta
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_an_error_inside_a_density_comes_out_as_it_is() -> None:
    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        raise ZeroDivisionError("as it is")

    with pytest.raises(ZeroDivisionError, match="as it is"):
        run_chains(density, Preconditioner.of(np.zeros(1), np.eye(1)), draws=10, tune=10, chains=2, seed=0)


def test_a_density_that_is_nowhere_finite_is_refused() -> None:
    with pytest.raises(CalibrationError, match="gave up"):
        run_chains(
            lambda x: (-np.inf, x),
            Preconditioner.of(np.zeros(1), np.eye(1)),
            draws=10,
            tune=10,
            chains=1,
            seed=0,
        )


# ---- judgement -----------------------------------------------------------------------------------


def autoregressive(rho: float, n: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((4, n, 1))
    out = np.empty_like(noise)
    out[:, 0] = noise[:, 0]
    for k in range(1, n):
        out[:, k] = rho * out[:, k - 1] + np.sqrt(1 - rho**2) * noise[:, k]
    return out


def test_effective_size_of_an_autoregression_is_its_closed_form() -> None:
    """N (1 - rho)/(1 + rho), within a fifth for chains of 5,000."""
    found = converged(autoregressive(0.8, 5000))
    assert found.ess_bulk[0] == pytest.approx(20_000 * 0.2 / 1.8, rel=0.2)
    assert found.rhat[0] < 1.01


def told(draws: np.ndarray, **changes: object) -> str:
    shape = draws.shape[:2]
    statistics = {
        "diverging": np.zeros(shape, bool),
        "reached_max_treedepth": np.zeros(shape, bool),
        "energy": np.random.default_rng(0).standard_normal(shape),
    }
    statistics |= changes.pop("statistics", {})  # type: ignore[arg-type, operator]
    given = {
        "evaluations": 10_000, "rejected": 0, "why": "", "tolerance_error": 1e-4, "asked": shape[1],
        "target_accept": 0.8, "max_depth": 10,
    } | changes  # fmt: skip
    return "\n".join(doubts_of(["k"], draws, converged(draws), statistics, **given))  # type: ignore[arg-type]


GOOD = np.random.default_rng(1).standard_normal((4, 500, 1))


def test_good_chains_leave_nothing_to_doubt() -> None:
    assert told(GOOD) == ""


@pytest.mark.parametrize(
    ("draws", "changes", "said"),
    [
        pytest.param(GOOD + np.arange(4)[:, None, None], {}, "chains disagree", id="apart"),
        pytest.param(autoregressive(0.95, 500), {}, "fewer than 400 effective draws of k", id="slow"),
        pytest.param(GOOD, {"asked": 900}, "resume(400) adds the rest", id="interrupted"),
        pytest.param(GOOD[:2], {}, "2 chains", id="two chains"),
        pytest.param(
            GOOD, {"rejected": 7, "why": "step too small"}, "7 of 10000 simulations failed", id="failed"
        ),
        pytest.param(GOOD, {"tolerance_error": 0.3}, "smaller rtol", id="tolerance"),
        pytest.param(GOOD, {"tolerance_error": np.nan}, "smaller rtol", id="tolerance unknown"),
        pytest.param(
            GOOD, {"statistics": {"diverging": GOOD[..., 0] > 2}}, "mostly at large k", id="divergences"
        ),
        pytest.param(
            GOOD, {"statistics": {"diverging": GOOD[..., 0] > 2}}, "target_accept=0.90", id="advice"
        ),
        pytest.param(
            GOOD,
            {"statistics": {"reached_max_treedepth": np.ones((4, 500), bool)}},
            "100 % of the trees",
            id="depth",
        ),
        pytest.param(
            GOOD,
            {"statistics": {"energy": np.cumsum(np.ones((4, 500)), axis=1)}},
            "fresh momentum",
            id="energy",
        ),
    ],
)
def test_what_is_wrong_is_said(draws: np.ndarray, changes: dict, said: str) -> None:
    assert said in told(draws, **changes)


# ---- posteriors with a known answer --------------------------------------------------------------


def test_linear_gaussian_posterior_is_its_closed_form() -> None:
    """y = 10 + a + b t, sd 0.5, a and b N(0, 1): precision I + X'X/sd^2, five moments compared."""
    values, days = np.array(LINE[0]), np.array(LINE[1])
    design = np.column_stack([np.ones(4), days])
    post = line()
    order = [post.objective.names.index(name) for name in ("a", "b")]
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / 0.25)
    mean = covariance @ design.T @ (values - 10) / 0.25
    draws = post.thetas[..., order]
    assert np.all(sigmas(draws, mean) < LUCK)
    apart = draws - mean
    products = np.stack([apart[..., 0] ** 2, apart[..., 0] * apart[..., 1], apart[..., 1] ** 2], axis=-1)
    assert np.all(sigmas(products, covariance[[0, 0, 1], [0, 1, 1]]) < LUCK)
    assert post.trusted, post.doubts


def test_rows_are_scored_by_the_normal_density() -> None:
    post = line()
    values = post.objective._coordinates.values(post.thetas)
    a, b = (values[..., post.objective.names.index(name)] for name in "ab")
    for k, term in enumerate(post.objective.terms):
        expected = stats.norm.logpdf(term.measured, 10 + a + b * term.day, 0.5)
        assert post.drawn.scored.log_likelihood[..., k] == pytest.approx(expected, abs=1e-6)


def decay_log_posterior(theta: np.ndarray) -> np.ndarray:
    """Of (ln k, ln A), both N(0, 1) before; y = A exp(-k t), sd 0.2 of ln y. Any leading axes."""
    values, days = np.array(FALL[0]), np.array(FALL[1])
    k, ln_a = np.exp(theta[..., 0]), theta[..., 1]
    apart = (np.log(values) - ln_a[..., None] + k[..., None] * days) / 0.2
    return -0.5 * (apart**2).sum(axis=-1) - 0.5 * (theta**2).sum(axis=-1)


def test_decay_posterior_against_quadrature() -> None:
    grid = np.linspace(-5, 5, 801)
    mesh = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1)
    weight = np.exp(decay_log_posterior(mesh))
    weight /= weight.sum()
    mean = np.array([(weight * mesh[..., j]).sum() for j in (0, 1)])
    square = np.array([(weight * (mesh[..., j] - mean[j]) ** 2).sum() for j in (0, 1)])
    post = fall()
    draws = post.thetas[..., [post.objective.names.index(name) for name in ("k", "A")]]
    assert np.all(sigmas(draws, mean) < LUCK)
    assert np.all(sigmas((draws - mean) ** 2, square) < LUCK)


# the tutorial model: two infusions of donor cells, values read on three days, one of them unknown, one below a limit
BELIEVED = {
    "kill_allo": ("log-normal", -1.5, 0.7),
    "delta_L": ("log-normal", -0.4, 0.5),
    "IL6_0": ("log-normal", 1.5, 0.7),
    "gain": ("log-normal", 3.0, 0.7),
}
WINDOW, LIMIT, DOSES = (0.1, 3.0), 6.0, (0.0, 7.0)
READ = {("IL6", -1.0): 4.5, ("IL6", 1.0): 25.0, ("cells", 1.0): 20.0, ("IL6", 9.0): 9.0}
SCATTER = {"IL6": 0.2, "cells": 0.3}
BELOW = ("cells", 9.0)


@cache
def tutorial() -> Posterior:
    case = tiny_case(
        "persistence_cytokine",
        {"IL6": ("IL6", SCATTER["IL6"]), "cells": ("viable_allo", SCATTER["cells"])},
        [(analyte, day, value) for (analyte, day), value in READ.items()],
        BELIEVED,
        doses=[(day, "infusate_allo", 50.0) for day in DOSES],
        products=[("donor", "allogeneic", "infusate_allo")],
        windows={1.0: WINDOW},
        censored=[(*BELOW, LIMIT)],
        start=-2.0,
    )
    return sample(calibrate(case, starts=2), method="nuts", draws=150, tune=100, seed=2)


def tutorial_courses(kill: np.ndarray, death: np.ndarray, gain: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Viable cells and the relative rise of IL-6: each compartment a sum of exponentials, worked out by hand here."""

    def through(
        inflow: list[tuple[np.ndarray, np.ndarray]], rate: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """What x' = inflow - rate x, x(0) = 0 makes of sum c exp(-q t): (c, q) in, (c, q) out."""
        parts = [(c / (rate - q), q) for c, q in inflow]
        return [*parts, (-sum(c for c, _ in parts), rate)]

    bag, release, tissue_death, engulfed, cleared = 24.0, 0.014, 0.2, 2.8, 2.6
    lung = through([(50.0 * bag, bag + 0 * kill)], release + death + kill)
    tissue = through([(release * c, q) for c, q in lung], tissue_death + kill)
    lost = [((death + kill) * c, q) for c, q in lung] + [((tissue_death + kill) * c, q) for c, q in tissue]
    rise = through(
        [(cleared * gain / 50.0 * c, q) for c, q in through(lost, engulfed + 0 * kill)], cleared + 0 * kill
    )
    out = []
    for parts in (lung + tissue, rise):
        since = [np.maximum(day - dose, 0.0) for dose in DOSES]
        out.append(sum(c * np.exp(-q * t) for t in since for c, q in parts))
    return np.stack(out)


def tutorial_log_posterior(theta: np.ndarray, *, wider: float = 1.0, lost: tuple = ()) -> np.ndarray:
    """Of the prior-whitened parameters in the order of BELIEVED, the unknown day last; spoilt on purpose by the keywords."""
    approximations = [approximation[1:] for approximation in BELIEVED.values()]
    kill, death, base, gain = (np.exp(mean + sd * theta[:, k]) for k, (mean, sd) in enumerate(approximations))
    drawn = WINDOW[0] + (WINDOW[1] - WINDOW[0]) * special.ndtr(theta[:, -1])
    total = -0.5 * (theta[:, 1:] ** 2).sum(axis=1) - 0.5 * (theta[:, 0] / wider) ** 2
    days = {-1.0: np.full(len(theta), -1.0), 1.0: drawn, 9.0: np.full(len(theta), 9.0)}
    courses = {day: tutorial_courses(kill, death, gain, each) for day, each in days.items()}
    for (analyte, day), value in READ.items():
        if (analyte, day) != lost:
            cells, rise = courses[day]
            found = base * (1 + rise) if analyte == "IL6" else cells
            total = total - 0.5 * (np.log(value / found) / SCATTER[analyte]) ** 2
    if lost != BELOW:
        total = total + special.log_ndtr(np.log(LIMIT / courses[9.0][0]) / SCATTER["cells"])
    return np.where(np.isfinite(total), total, -np.inf)


@cache
def walked() -> np.ndarray:
    """The tutorial's posterior by an ensemble sampler that knows no gradient, shape (n_steps, n_walkers, 5)."""
    import emcee

    random = np.random.RandomState(5)
    walkers = emcee.EnsembleSampler(100, 5, tutorial_log_posterior, vectorize=True)
    walkers.random_state = random.get_state()
    walkers.run_mcmc(0.1 * random.standard_normal((100, 5)), 700, progress=False)
    return np.asarray(walkers.get_chain(discard=200))


def apart(weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Means and mean squares of NUTS against those of the ensemble, in standard errors of both."""
    from emcee.autocorr import integrated_time

    post, theirs = tutorial(), walked()
    ours = post.thetas[..., [post.objective.names.index(name) for name in (*BELIEVED, "day_v1")]]
    out = []
    for power in (1, 2):
        here, there = (ours - theirs.mean(axis=(0, 1))) ** power, (theirs - theirs.mean(axis=(0, 1))) ** power
        length = integrated_time(there, tol=0)
        error = np.sqrt(
            there.var(axis=(0, 1)) * length / (there.shape[0] * there.shape[1])
            + here.var(axis=(0, 1)) / converged(here).ess_bulk
        )
        share = np.broadcast_to(weights, there.shape[:2])[..., None]
        out.append(np.abs((share * there).sum(axis=(0, 1)) / share.sum() - here.mean(axis=(0, 1))) / error)
    return np.array(out)


def test_tutorial_posterior_against_emcee() -> None:
    """Means and variances of five parameters, on a likelihood and a solution of the equations written out here."""
    assert np.all(apart() < LUCK)


@pytest.mark.parametrize(
    "spoilt",
    [{"wider": 1.5}, {"wider": 0.67}, *({"lost": row} for row in (*READ, BELOW))],
    ids=lambda each: " ".join(map(str, each.values())),
)
def test_a_wrong_prior_and_a_lost_row_would_be_noticed(spoilt: dict) -> None:
    """The posterior that they would leave (the ensemble, importance-weighted) is not what NUTS found."""
    theta = walked().reshape(-1, 5)
    log_weights = tutorial_log_posterior(theta, **spoilt) - tutorial_log_posterior(theta)
    weights = np.exp(log_weights - log_weights.max()).reshape(walked().shape[:2])
    assert (
        weights.sum() ** 2 / (weights**2).sum() > 100
    )  # effective draws: enough for shifts of many standard errors
    assert np.max(apart(weights)) > LUCK


def test_without_data_the_posterior_is_the_prior() -> None:
    """Rows with a scatter of a thousand say nothing: theta is N(0, 1) whatever the family.

    Kolmogorov-Smirnov on draws thinned to independence; p below 1e-4 once in 3,000 runs for three parameters.
    """
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x + c", 1000.0, "normal")},
        [("y", 1.0, 1.0)],
        {"k": ("log-normal", 0.0, 0.5), "A": ("uniform", 1.0, 3.0), "c": ("normal", 0.0, 1.0)},
    )
    post = sample(calibrate(case, starts=1), method="nuts", draws=150, tune=100, seed=6)
    every = int(np.ceil(1.5 * post.flat.shape[0] / min(post.flat.shape[0], post.convergence.ess_bulk.min())))
    for j in range(3):
        assert stats.kstest(post.flat[::every, j], "norm").pvalue > 1e-4
    assert set(post.table()["verdict"]) == {"prior-driven"}


def test_a_replicate_has_the_scatter_of_its_row() -> None:
    post = fall()
    noise = np.log(post.drawn.scored.replicated / post.drawn.scored.predicted) / 0.2
    assert stats.kstest(noise[..., 0].ravel(), "norm").pvalue > 1e-4


def test_replicated_grades_are_as_frequent_as_their_likelihood_says() -> None:
    """At the prior medians: 200 readings, binomial bound of five sigmas; log-normal rows by their scatter."""
    objective = objective_of(load_case("sjogren_rfib"))
    found = score(objective, np.zeros((200, len(objective.names))), rtol=1e-4, seed=1)
    for k, term in enumerate(objective.terms):
        if term.part == "graded":
            chance = np.exp(found.log_likelihood[0, k])
            share = np.mean(
                (found.replicated[:, k] >= term.measured) & (found.replicated[:, k] <= term.upper)
            )
            assert abs(share - chance) < LUCK * np.sqrt(chance * (1 - chance) / 200) + 1e-9


# ---- the hierarchy -------------------------------------------------------------------------------


def test_spreads_of_the_hierarchy_are_held_by_fits_and_freed_for_sampling() -> None:
    """Their half-normal prior of scale 0.5 has its median where fits hold them; without the prior they stay held."""
    case = load_case("sjogren_rfib")
    fixed, free = objective_of(case), objective_of(case, hierarchy=True)
    taus = ("tau_cytokine", "tau_lymphocyte")
    assert free.names == (*fixed.names, *taus)
    assert fixed.fixed["tau_cytokine"] == 0.34
    draws = free.priors[-1].value(np.random.default_rng(0).standard_normal(4000))
    assert stats.kstest(draws, stats.halfnorm(scale=0.5).cdf).pvalue > 1e-4
    text = case.files["parameters.tsv"].replace("normal\t0;0.5\t1\tcytokines", "\t\t1\tcytokines")
    without = load_case({**case.files, "parameters.tsv": text})
    assert objective_of(without, hierarchy=True).names == (*fixed.names, "tau_lymphocyte")


# ---- files, more draws, interrupts ---------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    post, path = line(), tmp_path / "line.nc"
    with pytest.raises(CellsimError, match="is a folder"):
        post.save(path.parent)
    post.save(path)
    again = Posterior.load(path)
    assert np.array_equal(again.thetas, post.thetas) and again.run == post.run
    assert np.array_equal(again.drawn.scored.replicated, post.drawn.scored.replicated)
    assert again.objective.names == post.objective.names and again.doubts == post.doubts
    assert again.report() == post.report()
    # and ArviZ reads the same file without us
    theirs = arviz().from_netcdf(str(path))
    assert np.array_equal(theirs["posterior"]["a"].values, post.groups["posterior"]["a"].values)


def test_a_loaded_posterior_continues_as_the_one_saved_would(tmp_path: Path) -> None:
    post, path = line(), tmp_path / "line.nc"
    post.save(path)
    here, there = post.resume(40, tune=40), Posterior.load(path).resume(40, tune=40)
    assert np.array_equal(here.thetas, there.thetas)
    assert here.thetas.shape == (4, 340, 2) and np.array_equal(here.thetas[:, :300], post.thetas)
    assert here.run.asked == 340 and here.run.evaluations > post.run.evaluations
    assert here.groups["posterior"].sizes["draw"] == 340


def test_files_that_are_not_ours_or_were_edited_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no file"):
        Posterior.load(tmp_path / "nowhere.nc")
    (tmp_path / "text.nc").write_text("nothing")
    with pytest.raises(CalibrationError, match="no saved posterior"):
        Posterior.load(tmp_path / "text.nc")
    post = line()
    scored = replace(post.drawn.scored, log_likelihood=post.drawn.scored.log_likelihood + 1.0)
    replace(post, drawn=replace(post.drawn, scored=scored)).save(tmp_path / "edited.nc")
    with pytest.raises(CalibrationError, match="last draw"):
        Posterior.load(tmp_path / "edited.nc")


def test_an_interrupt_keeps_what_is_done() -> None:
    """Ctrl-C in the middle of the chains; the rest can be asked for later."""
    counted = threading.Event()

    def interrupt() -> None:
        counted.wait(60)
        _thread.interrupt_main()

    made = 0

    def density(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal made
        made += 1
        if made == 3000:
            counted.set()
        return -0.5 * float(x @ x), -x

    threading.Thread(target=interrupt, daemon=True).start()
    preconditioner = Preconditioner.of(np.zeros(1), np.eye(1))
    found = run_chains(density, preconditioner, draws=10**6, tune=20, chains=2, seed=1)
    assert found.interrupted and 10 < found.theta.shape[1] < 10**6
    assert np.all(np.isfinite(found.theta))


def test_an_interrupt_while_draws_are_scored_loses_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of chains must not go for the last seconds of work: these are begun again, with the same seeds."""
    fit = calibrate(straight_line(*LINE), starts=1)
    whole, real, calls = sample(fit, method="nuts", draws=20, tune=40, seed=5), sampling.score, []

    def impatient(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(sampling, "score", impatient)
    again = sample(fit, method="nuts", draws=20, tune=40, seed=5)
    assert len(calls) == 2 and np.array_equal(again.thetas, whole.thetas)
    assert np.array_equal(again.drawn.scored.replicated, whole.drawn.scored.replicated)


def test_arviz_gets_every_group_in_its_own_unit() -> None:
    post = fall()
    groups = post.arviz
    values = np.asarray(groups["posterior"]["k"])
    assert values == pytest.approx(np.exp(post.thetas[..., post.objective.names.index("k")]))
    assert np.asarray(groups["observed_data"]["y"]) == pytest.approx(FALL[0])
    for name in ("prior", "sample_stats", "log_likelihood", "posterior_predictive"):
        assert name in post.groups


def test_a_frame_of_chains_is_arvizs_own_table_with_equal_weights() -> None:
    post = fall()
    frame = post.frame()
    theirs = post.groups["posterior"][list(post.objective.names)].to_dataframe()[list(post.objective.names)]
    assert frame.index.names == ["chain", "draw"] and (frame.pop("weight") == 1).all()
    assert np.array_equal(frame.to_numpy(), theirs.to_numpy())


def test_draws_are_draws_of_the_posterior_and_repeat_only_when_they_must() -> None:
    post = line()
    few, many = post.draws(300, seed=1), post.draws(5000, seed=1)
    # a rejected move leaves two equal draws: none of them may come up more often than the chains had it
    had, taken = (Counter(map(tuple, each)) for each in (post.flat, few))
    assert taken <= had and many.shape == (5000, 2)
    assert all(tuple(row) in had for row in many)


def test_the_table_agrees_with_the_draws() -> None:
    post = fall()
    table = post.table().set_index("parameter")
    draws = post.groups["posterior"]["k"].values.ravel()
    assert table.loc["k", "estimate"] == pytest.approx(np.median(draws), rel=1e-6)
    assert table.loc["k", "low"] == pytest.approx(np.quantile(draws, 0.05), rel=1e-3)
    assert table.loc["k", "verdict"] == "data-driven"
    report = post.report()
    assert "R-hat up to" in report and "not for treatment decisions" in report


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("draws", 1), ("tune", 3), ("chains", 0), ("seed", -1), ("max_depth", 0), ("draws", -3)),
        *(("target_accept", each) for each in (0, 1, 1.5, -1, np.nan)),
        *(("rtol", each) for each in (0, -1, 1, np.inf, np.nan)),
    ],
)
def test_impossible_numbers_are_refused(name: str, value: float) -> None:
    with pytest.raises(CalibrationError, match=f"{name} = {value}"):
        sample(calibrated(), **{name: value})


@pytest.mark.parametrize(("name", "value"), [("draws", 0), ("draws", -3), ("tune", 0)])
def test_nothing_is_continued_by_nothing(name: str, value: int) -> None:
    with pytest.raises(CalibrationError, match=f"{name} = {value}"):
        few().resume(**{"draws": 10, name: value})


@cache
def few() -> Posterior:
    return sample(calibrated(), method="nuts", draws=20, tune=40)


@pytest.mark.parametrize("shape", [0.3, 0.5, 0.9])
def test_smoothed_weights_keep_their_order_and_tell_the_shape_of_a_pareto_tail(shape: float) -> None:
    """A Pareto tail of known shape: U to the power -k; the heaviest stays heaviest, and weights add up to one."""
    weights = -shape * np.log(np.random.default_rng(2).random(20_000))
    smooth, found = smoothed_weights(weights)
    assert found == pytest.approx(shape, abs=0.1)
    assert np.corrcoef(smooth, weights)[0, 1] > 0.99
    assert np.exp(smooth).sum() == pytest.approx(1.0)
    assert np.argmax(smooth) == np.argmax(weights)


@pytest.mark.parametrize("size", [3, 10, 24, 26, 40, 900])
def test_smoothed_weights_are_those_of_arviz(size: int) -> None:
    """Its psislw is the witness, for light and heavy tails, few weights and weights of next to nothing."""
    random = np.random.default_rng(size)
    nothing = np.where(np.arange(size) % 2, -900.0, random.normal(size=size))
    for weights in (
        random.normal(size=size),
        -1.2 * np.log(random.random(size)),
        5 * random.standard_t(3, size),
        nothing,
    ):
        if newer_arviz():
            theirs, shape = import_module("arviz_stats.base").array_stats.psislw(-weights)
        else:
            theirs, shape = arviz().psislw(weights)
        ours, found = smoothed_weights(weights)
        assert found == pytest.approx(float(shape), abs=1e-9)
        assert ours == pytest.approx(np.asarray(theirs), abs=1e-9)


@cache
def calibrated() -> Calibration:
    return calibrate(straight_line(*LINE), starts=1)


def test_a_source_that_is_a_case_is_calibrated_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import cellsim.posterior.fitting as fitting

    seen: list[Case] = []
    real: Callable = fitting.calibrate

    def watched(case: Case, **options: object) -> object:
        seen.append(case)
        return real(case, starts=1)

    monkeypatch.setattr(fitting, "calibrate", watched)
    case = straight_line(*LINE)
    post = sample(case, method="nuts", draws=50, tune=40, chains=2, seed=0)
    assert seen == [case] and post.thetas.shape == (2, 50, 2)
    assert isinstance(post.drawn, Drawn) and isinstance(post.run, Run)


def test_without_nutpie_weighted_draws_stand_and_chains_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra is named before anything is computed; draws whose weights are uneven are handed out with that doubt."""
    fit = calibrate(decay([6.0, 3.7], [1.0, 2.0]), starts=1)
    monkeypatch.setattr(nuts, "find_spec", lambda name: None)
    monkeypatch.setattr(Weighted, "trusted", property(lambda self: False))
    post = sample(fit, effective=20, draws=30, seed=1, progress=False, budget=160)
    assert post.method == "collapsed" and "nutpie" not in post.versions
    with pytest.raises(CalibrationError, match=r"cellsim\[chains\]"):
        sample(fit, method="nuts", draws=10)
    monkeypatch.undo()
    assert "nutpie" in sample(fit, method="collapsed", effective=20, draws=30, progress=False).versions
