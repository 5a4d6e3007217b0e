"""Variants compared: evidences, predictive densities and prior powers against closed forms and quadrature."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from patients import small_comparison, small_patient, small_posterior
from scipy import stats
from small_cases import decay, decay_log_evidence, pulses, pulses_log_density, straight_line, tiny_case

import cellsim as cs
from cellsim.comparison.comparison import Comparison, Power
from cellsim.comparison.evidence import (
    ALL,
    Evidence,
    bridge,
    change_of,
    evidence_and_draws,
    evidence_of,
    evidence_slopes,
    groups_of,
    with_power,
)
from cellsim.comparison.left_out import groups_of_rows, left_out, stacking
from cellsim.comparison.reweighted import Reweighted
from cellsim.comparison.reweighting import Exact, Reweighting
from cellsim.comparison.variants import compare, comparison_of
from cellsim.comparison.verdicts import nulls_words, off_of
from cellsim.errors import CalibrationError, CellsimError
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.posterior import Posterior, sample

DAYS, VALUES, SD = [0.5, 1.0, 2.0, 3.0], [10.3, 11.9, 12.4, 14.8], 0.5
FALL = ([1.4, 1.1, 0.45], [0.2, 1.0, 2.5])


@cache
def line() -> Calibration:
    return calibrate(straight_line(VALUES, DAYS, sd=SD), starts=2)


@cache
def line_posterior() -> Posterior:
    return sample(
        line(), method="collapsed", draws=40, effective=200, seed=1, hierarchy=False, progress=False
    )


@cache
def known(fit: Calibration) -> tuple[Evidence, Reweighting | Exact]:
    """Evidence and draws of a posterior."""
    post = sample(fit, method="collapsed", draws=40, effective=300, seed=1, hierarchy=False, progress=False)
    return evidence_and_draws(fit, post)


@cache
def line_draws() -> tuple[np.ndarray, np.ndarray]:
    """Four times 800 independent draws of the line's Gaussian posterior, and the log-likelihood of each row, by scipy."""
    x = np.column_stack([np.ones(4), DAYS])
    covariance = np.linalg.inv(np.eye(2) + x.T @ x / SD**2)
    mean = covariance @ x.T @ (np.array(VALUES) - 10.0) / SD**2
    drawn = stats.multivariate_normal(mean, covariance).rvs((4, 800), random_state=1)
    rows = stats.norm.logpdf(VALUES, 10.0 + drawn @ x.T, SD)
    order = [("a", "b").index(name) for name in line().objective.names]
    return drawn[..., order], rows


@cache
def fall_draws() -> tuple[np.ndarray, np.ndarray]:
    """The same of the decay: ln k by the inverse of its distribution function on a grid, then ln A, which is Gaussian."""
    random, n = np.random.default_rng(2), len(FALL[0])
    logs, days = np.log(FALL[0]), np.array(FALL[1])
    z = np.linspace(-8, 8, 16001)
    apart = logs + np.exp(z)[:, None] * days
    along = apart.sum(axis=1) ** 2 / n
    log_density = -0.5 * (z**2 + along / (0.04 + n) + ((apart**2).sum(axis=1) - along) / 0.04)
    below = np.cumsum(np.exp(log_density - log_density.max()))
    k = np.interp(random.random((4, 800)), below / below[-1], z)
    precision = 1.0 + n / 0.04
    seen = (logs + np.exp(k)[..., None] * days).sum(axis=-1) / 0.04 / precision
    a = seen + random.standard_normal(k.shape) / np.sqrt(precision)
    rows = stats.norm.logpdf(logs, a[..., None] - np.exp(k)[..., None] * days, 0.2) - logs
    by_name = {"k": k, "A": a}
    return np.stack([by_name[name] for name in fall().objective.names], axis=-1), rows


@cache
def fall() -> Calibration:
    return calibrate(decay(*FALL), starts=2)


@cache
def bent(values: tuple[float, ...]) -> Calibration:
    return calibrate(decay(list(values), FALL[1]), starts=2)


small = small_comparison


def line_evidence(kept: list[int], *, width: float = 1.0) -> float:
    """ln N(y; 10, sd^2 I + width^2 X X'), the evidence of a Gaussian line, by scipy."""
    x = np.array([[1.0, DAYS[k]] for k in kept])
    approximation = stats.multivariate_normal(
        np.full(len(kept), 10.0), SD**2 * np.eye(len(kept)) + width**2 * x @ x.T
    )
    return float(approximation.logpdf([VALUES[k] for k in kept]))


# ---- evidence ------------------------------------------------------------------------------------


def test_laplace_and_bridge_meet_the_closed_form_of_a_gaussian_line() -> None:
    exact = line_evidence([0, 1, 2, 3])
    assert line().log_evidence == pytest.approx(exact, abs=1e-3)
    thetas, rows = line_draws()
    found = bridge(line().objective, thetas, rows.sum(axis=-1), seed=3)
    assert found.error < 0.05
    assert abs(found.log_evidence - exact) < 5 * found.error


def test_bridge_meets_quadrature_where_laplace_does_not() -> None:
    thetas, rows = fall_draws()
    exact = decay_log_evidence(*FALL)
    found = bridge(fall().objective, thetas, rows.sum(axis=-1), seed=3)
    assert found.error < 0.05
    assert abs(found.log_evidence - exact) < 5 * found.error


def test_too_few_draws_for_a_bridge_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too few for a bridge"):
        bridge(line().objective, np.zeros((1, 6, 2)), np.zeros((1, 6)), seed=0)


# ---- leaving out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(4))
def test_a_visit_left_out_is_predicted_as_a_gaussian_line_does(k: int) -> None:
    """Witness: the conditional normal density, as a difference of two closed-form evidences."""
    exact = line_evidence([0, 1, 2, 3]) - line_evidence([each for each in range(4) if each != k])
    rows = groups_of_rows(line().objective)["visit", f"v{k}"]
    found = left_out(line(), *known(line()), "visit", f"v{k}", rows)
    assert (found.how, found.rows) == ("moved draws", 1)
    assert found.elpd == pytest.approx(exact, abs=1e-4) and found.shape < 0.5


def test_with_every_row_left_out_the_prior_predicts() -> None:
    found = left_out(line(), *known(line()), "analyte", "y", [0, 1, 2, 3])
    assert found.elpd == pytest.approx(line_evidence([0, 1, 2, 3]), abs=1e-4)
    assert found.how == "the collapsed sampler"


def bent_left_out(values: list[float], k: int) -> float:
    """ln density of a row of the decay given the others, a difference of two integrals."""
    days = FALL[1]
    return decay_log_evidence(values, days) - decay_log_evidence(
        values[:k] + values[k + 1 :], days[:k] + days[k + 1 :]
    )


@pytest.mark.parametrize(
    "values, k, how",
    [
        ([2.0, 1.2, 5.0], 0, "moved draws"),
        ([2.0, 1.2, 5.0], 1, "moved draws"),
        ([2.0, 1.2, 5.0], 2, "fresh draws"),
        ([2.0, 1.2, 14.0], 2, "fresh draws"),
        ([1.4, 1.1, 0.45], 0, "moved draws"),
    ],
)
def test_a_row_of_a_bent_case_left_out_is_predicted_as_quadrature_does(
    values: list[float], k: int, how: str
) -> None:
    """Witness: a difference of two integrals; standing draws are up to four nats off."""
    fit = bent(tuple(values))
    evidence, weighted = known(fit)
    found = left_out(fit, evidence, weighted, "visit", f"v{k}", [k])
    assert found.how == how and found.shape < 0.7
    assert found.elpd == pytest.approx(
        bent_left_out(values, k), abs=4 * np.hypot(found.error, evidence.error) + 0.01
    )


def test_what_changes_no_weight_leaves_the_shape_of_all_draws() -> None:
    """Witness: Pareto's k of all weights. Some hundred of them, taken by other chances, have a k of their own, which tells less."""
    post = small_posterior("V2")
    weighted = Reweighting(post)
    assert len(weighted.thetas) >= 90
    as_it_stands = weighted.unaltered()
    assert as_it_stands.pareto_k == post.pareto_k and as_it_stands.trusted
    # a ratio that is nowhere three times its mean has no tail; one that is has its own
    flat, steep = np.linspace(-0.4, 0.4, len(weighted.thetas)), np.linspace(0.0, 40.0, len(weighted.thetas))
    logs = weighted.log_weights
    for ratio, same in ((flat, True), (steep, False)):
        found = weighted._weighted(weighted.objective, weighted.thetas, logs, ratio, {})
        assert (found.pareto_k == post.pareto_k) == same
    assert found.pareto_k > 0.7


def test_draws_from_another_process_predict_the_same() -> None:
    """Witness: the same left out before they were sent; their rows were once taken for those of another case, and the draws not moved."""
    fit = bent((2.0, 1.2, 5.0))
    evidence, weighted = known(fit)
    sent = pickle.loads(cloudpickle.dumps(weighted))
    one, other = (left_out(fit, evidence, each, "visit", "v0", [0]) for each in (weighted, sent))
    assert one == other and other.how == "moved draws"


def test_where_no_weights_can_be_trusted_the_rest_is_sampled_by_itself() -> None:
    """A row of 14 where the others let one expect 1: inner parameters moved alone do not get there, fresh draws do."""
    values = [2.0, 1.2, 14.0]
    fit, exact = bent(tuple(values)), bent_left_out(values, 2)
    evidence, weighted = known(fit)
    rest = replace(fit.objective, terms=fit.objective.terms[:-1])
    assert isinstance(weighted, Reweighting)
    standing = weighted._standing(rest)
    assert abs(evidence.log_evidence - standing.log_evidence - exact) > 1 and not standing.trusted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted, "_found", {})
        found = left_out(fit, evidence, weighted, "visit", "v2", [2])
        assert found.how == "fresh draws" and found.shape < 0.7
        assert found.elpd == pytest.approx(exact, abs=4 * np.hypot(found.error, evidence.error) + 0.01)
        patch.setattr(weighted, "_found", {})
        # beside an evidence that is not trusted itself they would tell nothing more, and of a mechanism far behind nobody asks
        doubtful = left_out(fit, replace(evidence, pareto_k=0.9), weighted, "visit", "v2", [2])
        behind = left_out(fit, evidence, weighted, "visit", "v2", [2], thorough=False)
        assert doubtful.how == behind.how == "moved draws" and doubtful.shape == behind.shape > 0.7


@pytest.mark.parametrize("k", [0, 1])
def test_a_row_beside_an_unknown_day_left_out_is_predicted_as_quadrature_does(k: int) -> None:
    """A sample after one dose or the other, whose day has two modes: the closed form of both parameters' density, on a grid."""
    fit = calibrate(pulses(0.1), starts=2)
    factor, day = np.linspace(-6, 6, 601), np.linspace(-6, 6, 2401)
    size = np.log((factor[1] - factor[0]) * (day[1] - day[0]))
    whole, rest = (
        np.logaddexp.reduce(pulses_log_density(factor[:, None], day, 0.1, without=left), axis=None) + size
        for left in (None, k)
    )
    evidence, weighted = known(fit)
    found = left_out(fit, evidence, weighted, "visit", f"v{k}", [k])
    assert evidence.log_evidence == pytest.approx(whole, abs=4 * evidence.error + 0.005)
    assert found.elpd == pytest.approx(whole - rest, abs=4 * np.hypot(found.error, evidence.error) + 0.005)


def test_where_only_days_are_estimated_quadrature_tells_all() -> None:
    """x rises by one a day; a sample on an unknown day of a box: evidence, mean square and a row left out by scipy's own integral."""
    case = tiny_case(
        "x = 0; x' = 1; z = 0; z' = 0",
        {"y": ("x", 1.0, "normal")},
        [("y", 4.0, 4.6), ("y", 9.0, 9.2)],
        {},
        doses=[(1.0, "z", 1.0)],
        windows={4.0: (1.0, 7.0)},
    )
    fit = calibrate(case, starts=1)
    evidence, weighted = evidence_and_draws(fit)
    z = np.linspace(-6, 6, 4001)
    logs = stats.norm.logpdf(4.6, 1 + 6 * stats.norm.cdf(z), 1.0) + stats.norm.logpdf(z)
    inside, after = np.logaddexp.reduce(logs) + np.log(z[1] - z[0]), stats.norm.logpdf(9.2, 9.0, 1.0)
    assert evidence.means == "quadrature" and evidence.log_evidence == pytest.approx(inside + after, abs=1e-3)
    shares = np.exp(logs - np.logaddexp.reduce(logs))
    assert evidence.second["day_v0"] == pytest.approx(shares @ z**2, abs=1e-3)
    for k, exact in enumerate((inside, after)):
        found = left_out(fit, evidence, weighted, "visit", f"v{k}", [k])
        assert found.how == "quadrature" and found.elpd == pytest.approx(exact, abs=1e-3)


def test_what_no_draws_tell_is_told_in_words_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are over the groups that every variant predicted."""
    import cellsim.comparison.left_out as module

    def lost(fit: Calibration, *args: object, **options: object) -> object:
        if fit.variant == "V0":
            raise CalibrationError("12 of 12 draws have no weight.")
        return real(fit, *args, **options)

    real, posteriors = module.change_of, {name: small_posterior(name) for name in ("V2", "V0")}
    found = small()
    missing = replace(found, left={"V2": found.left["V2"], "V0": found.left["V0"][1:]})
    gone = found.left["V0"][0]
    assert gone.group not in missing.predicted(gone.by)["V2"]
    assert missing.table().set_index("variant").loc["V2", f"elpd_{gone.by}s"] == pytest.approx(
        sum(each.elpd for each in found.left["V2"] if each.by == gone.by and each.group != gone.group)
    )
    monkeypatch.setattr(module, "change_of", lost)
    monkeypatch.setattr("cellsim.comparison.variants._worth_trying", lambda _: ([], ()))
    told = comparison_of(small().fits, posteriors=posteriors)
    assert told.left["V0"] == () and len(told.left["V2"]) == len(found.left["V2"])
    assert "visit v0 of V0 could not be predicted from all others: 12 of 12" in " ".join(told.doubts)


def test_a_quick_comparison_samples_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no k is small enough for the whole one: other priors are told by the draws at hand, as the whole one's draws tell them."""

    def sampled(*_: object, **__: object) -> object:
        raise AssertionError("sampled anew")

    fits, posteriors = small().fits, {name: small_posterior(name) for name in ("V2", "V0")}
    monkeypatch.setattr(Reweighted, "trusted", False)
    monkeypatch.setattr("cellsim.comparison.evidence.posterior_of", sampled)
    monkeypatch.setattr("cellsim.comparison.variants._worth_trying", lambda _: (["all priors"], ("V2", "V0")))
    told = comparison_of(fits, posteriors=posteriors, leave_out=False)
    assert len(told.powers) == 2 and all(np.isfinite(each.shape) for each in told.powers)
    with pytest.raises(AssertionError, match="sampled anew"):
        comparison_of(fits, posteriors=posteriors, leave_out=True)


@pytest.mark.parametrize("first, second", [(3, 1), (5, 5), (1, 7)])
def test_stacking_weights_of_variants_that_each_predict_some_groups(first: int, second: int) -> None:
    """Each group possible under one variant only: the optimum is the share of groups, as of a coin's tosses."""
    impossible = -200.0
    weights = stacking(
        {"a": [0.0] * first + [impossible] * second, "b": [impossible] * first + [-1.0] * second}
    )
    assert weights["a"] == pytest.approx(first / (first + second), abs=1e-6)


# ---- prior power ---------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 0.8, 2.0])
def test_evidence_under_another_power_is_that_of_a_wider_normal_prior(alpha: float) -> None:
    exact = line_evidence([0, 1, 2, 3], width=alpha**-0.5)
    evidence, weighted = known(line())
    altered = with_power(line().objective, groups_of(line())[ALL], alpha)
    found = change_of(line(), evidence, weighted, altered, seed=0)
    assert evidence.log_evidence + found.value == pytest.approx(exact, abs=1e-4) and found.shape < 0.5


def test_the_slope_is_the_derivative_of_the_closed_form() -> None:
    step = 1e-4
    up, down = (line_evidence([0, 1, 2, 3], width=np.exp(-sign * step / 2)) for sign in (1, -1))
    # mean squares of some three hundred draws, and their mirror images
    found = evidence_slopes(line(), evidence_of(line_posterior()))[ALL]
    assert found == pytest.approx((up - down) / (2 * step), abs=0.1)


def test_a_power_flips_an_order_when_the_lead_changes_its_sign() -> None:
    assert Power("drives", 0.5, "V0", "V2", 1.0, -0.1, 0.2).flips
    assert not Power("drives", 0.5, "V0", "V2", 1.0, 0.1, 0.2).flips


# ---- the whole -----------------------------------------------------------------------------------


def test_a_comparison_tells_nulls_from_the_rest_and_ranks_by_evidence() -> None:
    found = small()
    assert found.roles.nulls == ("V0",) and found.roles.acting == ("V2",)
    table = found.table().set_index("variant")
    assert found.by == "the collapsed sampler" and set(table["by"]) == {found.by}
    assert list(table.index) == sorted(found.fits, key=lambda name: -found.known[name].log_evidence)
    assert list(found.ranks()["first"].unique()) == [found.order[0]]
    assert table["probability"].sum() == pytest.approx(1)
    odds = np.exp(found.known["V2"].log_evidence - found.known["V0"].log_evidence)
    assert table.loc["V2", "probability"] == pytest.approx(odds / (1 + odds))
    for by in ("analytes", "visits"):
        assert table[f"weight_{by}"].sum() == pytest.approx(1)
        left = found.left_out().query(f"by == '{by[:-1]}'").groupby("variant")["elpd"].sum()
        assert dict(table[f"elpd_{by}"]) == pytest.approx(dict(left))
    assert {each.group for each in found.powers} <= {
        *groups_of(found.fits["V2"]),
        *groups_of(found.fits["V0"]),
    }
    assert set(found.sensitivity()["group"]) >= {"drives", ALL}
    assert "the treatment does nothing" in found.verdict and found.order[0] in found.verdict
    assert found.verdict in str(found)


def test_a_comparison_comes_back_from_its_file(tmp_path: Path) -> None:
    with pytest.raises(CellsimError, match="is a folder"):
        small().save(tmp_path)
    small().save(tmp_path / "compared.json")
    again = Comparison.load(tmp_path / "compared.json")
    assert again.verdict == small().verdict
    assert again.table().equals(small().table())
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(CalibrationError, match="not a saved comparison"):
        Comparison.load(tmp_path / "other.json")


def test_a_bridge_does_without_draws_that_were_lost() -> None:
    """A few draws without a likelihood change a closed-form evidence by no more than its error; many are refused."""
    thetas, rows = line_draws()
    holes = rows.sum(axis=-1)
    holes[:, ::150] = np.nan
    found = bridge(line().objective, thetas, holes, seed=3)
    assert found.lost == np.isnan(holes).sum() > 0
    assert abs(found.log_evidence - line_evidence([0, 1, 2, 3])) < 5 * found.error < 0.5
    holes[:, ::50] = np.nan
    with pytest.raises(CalibrationError, match=r"draws have no likelihood"):
        bridge(line().objective, thetas, holes, seed=3)


def test_an_interrupt_keeps_the_variants_that_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    import cellsim.comparison.variants as module

    def tired(*_: object, variant: str, **__: object) -> Calibration:
        if variant == "V0":
            raise KeyboardInterrupt
        return small().fits[variant]

    monkeypatch.setattr(module, "calibrate", tired)
    found = compare(small_patient(), leave_out=False, progress=False, posteriors={"V2": small_posterior()})
    assert list(found.fits) == ["V2"] and "V0 not fitted" in found.doubts[0]


def test_an_interrupt_while_rows_are_left_out_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    import cellsim.comparison.variants as module

    def tired(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "all_left_out", tired)
    found = comparison_of({"": line()}, posteriors={"": line_posterior()})
    assert not found.left and "interrupted" in found.doubts[0] and found.interrupted


def apart(**off: tuple[float, float]) -> Comparison:
    """The small comparison with evidences so far from Laplace's, each with its error."""
    fits = small().fits
    known = {
        name: replace(small().known[name], log_evidence=fits[name].log_evidence + more, error=error)
        for name, (more, error) in off.items()
    }
    return replace(small(), known=known)


def test_the_word_on_the_null_is_the_evidences() -> None:
    lead = small().fits["V2"].log_evidence - small().fits["V0"].log_evidence
    ahead = apart(V2=(8.0, 0.1), V0=(0.0, 0.1))
    assert (
        f"clearly ahead ({lead + 8:.1f} nats by the collapsed sampler (V2 against V0, error 0.1))"
        in nulls_words(ahead)
    )
    assert "that is preferred" in nulls_words(apart(V2=(-lead - 9.0, 0.1), V0=(0.0, 0.1)))
    unsure = apart(V2=(-lead + 5.0, 4.0), V0=(0.0, 0.1))
    assert "neither rule that out nor establish it" in nulls_words(unsure)
    assert off_of(unsure) == 8.0 and "an evidence may be 8.0 nats off" in unsure.verdict
    assert "Laplace's approximation is up to 5.0 nats" in apart(V2=(5.0, 0.1), V0=(0.0, 0.1)).verdict


def test_uneven_weights_are_told() -> None:
    uneven = {name: replace(each, pareto_k=0.9) for name, each in small().known.items()}
    assert "Weights of V2, V0 are uneven (Pareto k above 0.7)" in replace(small(), known=uneven).verdict
    left = {
        "V2": tuple(replace(each, shape=0.9) for each in small().left["V2"][:1]),
        "V0": small().left["V0"],
    }
    told = f"too uneven to trust {left['V2'][0].group} of V2 (Pareto k above 0.7)"
    assert told in replace(small(), left=left).verdict
    powers = (
        Power("drives", 0.5, "V2", "V0", 3.0, 2.0, 0.9),
        Power("drives", 2.0, "V2", "V0", 3.0, 4.0, 0.2),
    )
    assert "too uneven to trust drives to 0.5 (Pareto k above 0.7)" in replace(small(), powers=powers).verdict


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(CalibrationError, match="has no variants"):
        compare(straight_line(VALUES, DAYS))
    with pytest.raises(CalibrationError, match="no variant 'V9'"):
        compare(small_patient(), variants=["V9"])
    assert cs.compare is compare


def test_weighted_draws_bring_their_evidence_and_chains_are_bridged() -> None:
    """Everything is normal in the line: its evidence is Laplace's, by either sampler; words and kind follow the means."""
    fit = line()
    weighted = line_posterior()
    found = comparison_of({"": fit}, posteriors={"": weighted}, leave_out=False)
    assert found.by == "the collapsed sampler" and found.approximation.kind == "collapsed"
    assert found.evidences[""] == pytest.approx(fit.log_evidence, abs=1e-4)
    chains = sample(fit, method="nuts", draws=100, tune=60, seed=1, hierarchy=False, progress=False)
    by_chains = comparison_of({"": fit}, posteriors={"": chains}, leave_out=False)
    assert by_chains.by == "bridge sampling" and by_chains.approximation.kind == "chains"
    assert by_chains.evidences[""] == pytest.approx(fit.log_evidence, abs=0.1)
