"""Variants compared: evidences, predictive densities and prior powers against closed forms and quadrature."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patients import small_comparison, small_patient, small_variational
from scipy import stats
from small_cases import decay, decay_log_evidence, straight_line

import cellsim as cs
from cellsim.comparison.comparison import Comparison, Power
from cellsim.comparison.evidence import (
    ALL,
    Bridge,
    bridge,
    evidence_slopes,
    groups_of,
    with_power,
    with_power_by_weights,
)
from cellsim.comparison.left_out import LARGEST_SHAPE, groups_of_rows, left_out, smoothed, stacking
from cellsim.comparison.variants import compare, comparison_of
from cellsim.comparison.verdicts import LAPLACE_OFF, laplace_off, nulls_words
from cellsim.errors import CalibrationError, CellsimError
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.fitting import calibrate, optima
from cellsim.posterior.posterior import sample
from cellsim.posterior.variational import VariationalApproximation
from cellsim.posterior.variational_fitting import variational_approximation
from cellsim.posterior.weighted_draws import Weighted

DAYS, VALUES, SD = [0.5, 1.0, 2.0, 3.0], [10.3, 11.9, 12.4, 14.8], 0.5
FALL = ([1.4, 1.1, 0.45], [0.2, 1.0, 2.5])


@cache
def line() -> Calibration:
    return calibrate(straight_line(VALUES, DAYS, sd=SD), starts=2)


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


small = small_comparison


@cache
def known() -> dict[str, VariationalApproximation]:
    """The variational approximations of the small patient's variants."""
    return {name: small_variational(name) for name in small().fits}


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
    """Witness: the conditional normal approximation, as a difference of two closed-form evidences."""
    exact = line_evidence([0, 1, 2, 3]) - line_evidence([each for each in range(4) if each != k])
    rows = groups_of_rows(line().objective)["visit", f"v{k}"]
    found = left_out(line().objective, line().mixture, "visit", f"v{k}", rows)
    assert (found.how, found.rows) == ("steps", 1)
    assert found.elpd == pytest.approx(exact, abs=2e-3)
    approximation = variational_approximation(line().objective, line().mixture)
    by_variational = left_out(
        line().objective, line().mixture, "visit", f"v{k}", rows, approximation=approximation
    )
    assert by_variational.how == "variational" and by_variational.elpd == pytest.approx(exact, abs=2e-3)
    drawn = line_draws()[1].reshape(-1, 4)
    by_draws, shape = smoothed(drawn[:, list(rows)].sum(axis=1))
    # a line's end weighs much, and that its weights are heavy is seen
    assert (shape > 0.7) == (k == 3)
    assert by_draws == pytest.approx(exact, abs=0.2)


def test_with_every_row_left_out_the_prior_predicts() -> None:
    for approximation in (None, variational_approximation(line().objective, line().mixture)):
        found = left_out(
            line().objective, line().mixture, "analyte", "y", [0, 1, 2, 3], approximation=approximation
        )
        assert found.elpd == pytest.approx(line_evidence([0, 1, 2, 3]), abs=1e-3)


@pytest.mark.parametrize("k", range(3))
def test_newton_steps_end_where_a_new_fit_does(k: int) -> None:
    fit = fall()
    rest = replace(fit.objective, terms=tuple(t for j, t in enumerate(fit.objective.terms) if j != k))
    again = fit.log_evidence - optima(rest, [fit.theta]).mixture.log_evidence
    exact = decay_log_evidence(*FALL) - decay_log_evidence(*(each[:k] + each[k + 1 :] for each in FALL))
    found = left_out(fit.objective, fit.mixture, "visit", f"v{k}", [k])
    # the steps keep second derivatives as they were with all rows
    assert found.elpd == pytest.approx(again, abs=0.05)
    assert found.elpd == pytest.approx(exact, abs=0.1)
    approximation = variational_approximation(fit.objective, fit.mixture)
    by_variational = left_out(fit.objective, fit.mixture, "visit", f"v{k}", [k], approximation=approximation)
    # two rows bend two parameters more than three do, and the approximation's bound is that much further below
    assert by_variational.elpd == pytest.approx(exact, abs=0.15)


def test_where_an_approximation_cannot_be_refitted_the_optima_predict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import cellsim.comparison.evidence as power
    import cellsim.comparison.left_out as leaving

    def lost(*_: object) -> object:
        raise CalibrationError("12 of 12 points cannot be simulated.")

    # with approximations that can be followed
    fits, approximation = small().fits, variational_approximation(line().objective, line().mixture)
    monkeypatch.setattr(leaving, "refit", lost)
    found = left_out(line().objective, line().mixture, "visit", "v1", [1], approximation=approximation)
    assert found.how == "steps"
    assert found.elpd == pytest.approx(line_evidence([0, 1, 2, 3]) - line_evidence([0, 2, 3]), abs=2e-3)
    monkeypatch.setattr(power, "refit", lost)
    doubts = comparison_of(fits, approximations=known(), leave_out=False, progress=False).doubts
    assert any(each.startswith("other priors of") and "12 of 12" in each for each in doubts)


def test_heavy_weights_are_seen() -> None:
    """Weights 1/u of uniform u have no variance: their Pareto shape is one."""
    _, shape = smoothed(np.log(np.random.default_rng(1).random(4000)))
    assert shape > 0.7


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
    assert with_power(line(), groups_of(line())[ALL], alpha) == pytest.approx(exact, abs=2e-3)
    approximation = variational_approximation(line().objective, line().mixture)
    assert with_power(line(), groups_of(line())[ALL], alpha, approximation=approximation) == pytest.approx(
        exact, abs=2e-3
    )


@pytest.mark.parametrize("alpha", [0.8, 2.0])
def test_weighted_draws_tell_the_evidence_under_another_power(alpha: float) -> None:
    """Witness: the closed form of the line. Of a posterior that is its prior, far wider priors are not seen."""
    post = cs.sample(line(), method="collapsed", effective=400, hierarchy=False, seed=1)
    change = with_power_by_weights(post, groups_of(line())[ALL], alpha)
    exact = line_evidence([0, 1, 2, 3], width=alpha**-0.5) - line_evidence([0, 1, 2, 3], width=1.0)
    assert change == pytest.approx(exact, abs=0.05)
    nothing_learned = Weighted(
        np.random.default_rng(1).standard_normal((400, 1, 4)), np.zeros((400, 1)), (), 0.0, 400, 400
    )
    blind = replace(post, drawn=replace(post.drawn, weighted=nothing_learned))
    assert np.isnan(with_power_by_weights(blind, range(4), 0.1))


def test_the_slope_is_the_derivative_of_the_closed_form() -> None:
    step = 1e-4
    up, down = (line_evidence([0, 1, 2, 3], width=np.exp(-sign * step / 2)) for sign in (1, -1))
    assert evidence_slopes(line())[ALL] == pytest.approx((up - down) / (2 * step), abs=2e-3)


def test_a_power_flips_an_order_when_the_lead_changes_its_sign() -> None:
    assert Power("drives", 0.5, "V0", "V2", 1.0, -0.1).flips
    assert not Power("drives", 0.5, "V0", "V2", 1.0, 0.1).flips


# ---- the whole -----------------------------------------------------------------------------------


def test_leads_under_other_priors_are_predicted_as_a_closed_form_changes() -> None:
    """Two lines, one of whose priors lie farther from what was seen: their leads at nearly the same
    power, by with_power, which a closed form stands behind."""
    near, far = line(), calibrate(straight_line([12.4, 13.1, 13.3, 14.9], DAYS), starts=1)
    found = Comparison({"near": near, "far": far})
    row = found.ranks().set_index("group").loc[ALL]
    assert (row["first"], row["second"]) == ("near", "far")
    alpha = 1.01
    exact = [with_power(fit, groups_of(fit)[ALL], alpha) for fit in (near, far)]
    slope = (exact[0] - exact[1] - row["lead"]) / np.log(alpha)
    assert row["twice"] == pytest.approx(row["lead"] + slope * np.log(2), rel=0.02)
    assert row["half"] == pytest.approx(row["lead"] - slope * np.log(2), rel=0.02)
    assert row["turns"] == (min(row["half"], row["twice"]) < 0)
    assert list(small().ranks()["first"].unique()) == [small().order[0]]


def test_a_comparison_tells_nulls_from_the_rest_and_ranks_by_evidence() -> None:
    found = small()
    assert found.roles.nulls == ("V0",) and found.roles.acting == ("V2",)
    table = found.table().set_index("variant")
    assert found.by == "variational approximation" and set(table["by"]) == {found.by}
    assert list(table.index) == sorted(found.fits, key=lambda name: -found.normals[name].log_evidence)
    assert table["probability"].sum() == pytest.approx(1)
    odds = np.exp(found.normals["V2"].log_evidence - found.normals["V0"].log_evidence)
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


def test_a_posterior_given_checks_its_variant() -> None:
    fit = small().fits["V0"]
    post = sample(fit, method="nuts", draws=150, tune=80, seed=3, hierarchy=False)
    of_it = {"V0": known()["V0"]}
    found = comparison_of({"V0": fit}, approximations=of_it, posteriors={"V0": post}, progress=False)
    check = found.checks["V0"]
    assert check.error < 0.2
    assert check.log_evidence == pytest.approx(fit.log_evidence, abs=1.0)
    # draws predict where their weights can be trusted, and then as Laplace does
    without = comparison_of({"V0": fit}, approximations=of_it).left["V0"]
    by_laplace = {(each.by, each.group): each.elpd for each in without}
    for each in found.left["V0"]:
        assert (each.how == "draws") == (each.shape <= LARGEST_SHAPE)
        if each.how == "draws":
            # bridge sampling of the rest puts Laplace's within 0.03 here
            assert each.elpd == pytest.approx(by_laplace[each.by, each.group], abs=0.15)
    assert any(each.how == "draws" for each in found.left["V0"])
    assert "draws" in found.table()["how_left_out"][0]


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
    found = compare(small_patient(), leave_out=False, progress=False)
    assert list(found.fits) == ["V2"] and "V0 not fitted" in found.doubts[0]


def test_an_interrupt_while_rows_are_left_out_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is done need not be the one that leads."""
    import cellsim.comparison.variants as module

    fits, real = small().fits, module.all_left_out
    last = small().order[-1]

    def tired(objective: Any, *args: object, **options: object) -> object:
        if objective.variant != last:
            raise KeyboardInterrupt
        return real(objective, *args, **options)

    monkeypatch.setattr(module, "all_left_out", tired)
    found = comparison_of({last: fits[last], **fits}, approximations=known())
    assert set(found.left) == {last} and "interrupted" in found.doubts[0]
    assert f"{found.order[0]} left nothing out" in str(found)
    assert f"predicted best by {last}" in found.verdict


def checked(**apart: tuple[float, float]) -> Comparison:
    """The small comparison with bridge sampling that puts variants so far from Laplace, each with its error."""
    fits = small().fits
    checks = {name: Bridge(fits[name].log_evidence + off, error) for name, (off, error) in apart.items()}
    return replace(small(), checks=checks)


def test_the_word_on_the_null_is_sampling_s_where_there_is_sampling() -> None:
    lead = small().fits["V2"].log_evidence - small().fits["V0"].log_evidence
    ahead = checked(V2=(8.0, 0.1), V0=(0.0, 0.1))
    assert (
        f"clearly ahead ({lead + 8:.1f} nats by bridge sampling (V2 against V0, error 0.1))"
        in nulls_words(ahead)
    )
    behind = checked(V2=(-lead - 9.0, 0.1), V0=(0.0, 0.1))
    assert "that is preferred" in nulls_words(behind)
    unsure = checked(V2=(-lead + 5.0, 4.0), V0=(0.0, 0.1))
    assert "neither rule that out nor establish it" in nulls_words(unsure)


def test_how_far_laplace_may_be_off_is_measured_where_it_was_checked() -> None:
    unchecked = replace(small(), normals={})
    assert laplace_off(unchecked) == laplace_off(replace(checked(V2=(0.2, 0.1)), normals={})) == LAPLACE_OFF
    apart = [small().normals[name].log_evidence - small().fits[name].log_evidence for name in ("V2", "V0")]
    assert laplace_off(small()) == pytest.approx(max(1.0, *map(abs, apart)))
    assert laplace_off(checked(V2=(-2.5, 0.1), V0=(0.5, 0.1))) == pytest.approx(2.5)
    both = checked(V2=(-2.5, 0.1), V0=(0.5, 0.1))
    assert "Laplace's approximation is up to 2.5 nats from that (V2)." in both.verdict
    assert "an evidence may be 0.2 nats off" in both.verdict
    assert "was not checked" in unchecked.verdict


def test_the_order_is_by_the_best_means_that_every_variant_has() -> None:
    """A variant that Laplace puts last leads where the variational approximation, or sampling, says so of all."""
    found = small()
    approximation = found.normals["V0"]
    lifted = {
        **found.normals,
        "V0": replace(approximation, log_evidence=found.normals["V2"].log_evidence + 4),
    }
    turned = replace(found, normals=lifted)
    assert found.order == ("V2", "V0") and turned.order == ("V0", "V2")
    assert turned.table()["probability"][0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert "it would have put V2 first" in turned.verdict
    # one variant sampled is no order; both are
    assert replace(turned, checks=checked(V2=(0.0, 0.1)).checks).order == ("V0", "V2")
    both = replace(turned, checks=checked(V2=(0.0, 0.1), V0=(0.0, 0.1)).checks)
    assert both.by == "bridge sampling" and both.order == ("V2", "V0")
    assert replace(found, normals={"V2": found.normals["V2"]}).by == "Laplace"


def test_slopes_are_the_law_s_where_there_is_one() -> None:
    """Second moments of the variational approximation of a line are its posterior's, as Laplace's are."""
    approximation = variational_approximation(line().objective, line().mixture)
    assert evidence_slopes(line(), approximation.evidence)[ALL] == pytest.approx(
        evidence_slopes(line())[ALL], abs=1e-3
    )
    wide = replace(approximation.evidence, second=dict.fromkeys(approximation.names, 3.0))
    assert evidence_slopes(line(), wide)[ALL] == pytest.approx(-2.0)  # two parameters, each (1 - 3) / 2


def test_nearest_normal_laws_speak_where_nothing_was_sampled() -> None:
    """Of the small patient they say what bridge sampling says (tests of the approximation itself); here, how it is told."""
    found, lead = small(), small().fits["V2"].log_evidence - small().fits["V0"].log_evidence
    assert set(found.normals) == {
        "V2",
        "V0",
    } and "by the variational approximation (V2 against V0)" in nulls_words(found)
    assert (
        "Gaussian variational approximation of each posterior" in found.verdict
        and "V2 has the greatest evidence" in found.verdict
    )
    row = found.table().set_index("variant").loc["V0"]
    assert row["nearest"] == found.normals["V0"].log_evidence and row["bound"] <= row["nearest"] + 0.3
    alone = replace(found, normals={})
    # the sign is said by a word
    place = "ahead" if lead > 0 else "behind"
    said = nulls_words(alone)
    assert place in said and f"{abs(lead):.1f} nats by Laplace (V2 against V0)" in said
    assert alone.table()["bound"].isna().all() and "variational approximation" not in alone.verdict


def test_elpds_by_different_means_are_said_to_be() -> None:
    mixed = {
        "V2": tuple(replace(each, how="draws", shape=0.2) for each in small().left["V2"]),
        "V0": small().left["V0"],
    }
    said = replace(small(), left=mixed)
    assert "Those of V2 come from draws" in said.verdict and "Those of" not in small().verdict
    no_draws = {**mixed, "V2": tuple(replace(each, how="refit") for each in mixed["V2"])}
    assert (
        "Some are by Laplace and some by the variational approximation"
        in replace(small(), left=no_draws).verdict
    )
    assert set(said.table()["how_left_out"]) == {"draws", "variational approximation"}
    assert "all others by the variational approximation" in said.verdict
    rough = {name: replace(approximation, shape=0.9) for name, approximation in small().normals.items()}
    assert "sums over many groups rather favour the others" in replace(small(), normals=rough).verdict
    even = {name: replace(approximation, shape=0.3) for name, approximation in small().normals.items()}
    assert "sums over many groups" not in replace(small(), normals=even).verdict
    by_laplace = tuple(replace(each, how="steps") for each in mixed["V0"])
    assert "all others by Laplace" in replace(small(), left={**mixed, "V0": by_laplace}).verdict


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(CalibrationError, match="has no variants"):
        compare(straight_line(VALUES, DAYS))
    with pytest.raises(CalibrationError, match="no variant 'V9'"):
        compare(small_patient(), variants=["V9"])
    assert cs.compare is compare


def test_weighted_draws_bring_their_evidence_and_chains_are_bridged() -> None:
    """Everything is normal in the line: its evidence is Laplace's, by either sampler; words and kind follow the means."""
    fit = line()
    weighted = sample(
        fit, method="collapsed", draws=40, effective=50, seed=1, hierarchy=False, progress=False
    )
    found = comparison_of({"": fit}, posteriors={"": weighted}, leave_out=False, nearest=False)
    assert found.by == "the collapsed sampler" and found.approximation.kind == "collapsed"
    assert found.evidences[""] == pytest.approx(fit.log_evidence, abs=1e-4)
    chains = sample(fit, method="nuts", draws=100, tune=60, seed=1, hierarchy=False, progress=False)
    by_chains = comparison_of({"": fit}, posteriors={"": chains}, leave_out=False, nearest=False)
    assert by_chains.by == "bridge sampling" and by_chains.approximation.kind == "chains"
    assert by_chains.evidences[""] == pytest.approx(fit.log_evidence, abs=0.1)
