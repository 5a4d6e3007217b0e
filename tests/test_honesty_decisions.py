"""The bookkeeping of ``benchmarks.honesty decisions``.

Witnesses: a linear Gaussian patient, whose bands, chances and answers are known in closed form; a line made again. Statistical tests fail by luck once
in 10,000; seeds were not chosen for passing.
"""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.honesty import decided, decisions, ledger
from benchmarks.honesty.families import Family, small
from benchmarks.honesty.patients import NOTHING

LUCK = 1e-4
DOSES = np.array([0.0, 1.0, 2.0])
PATIENTS, DRAWS = 300, 1000
# of the one mechanism the effect is N(0, 1), of the other it is 0; one row of it with noise N(0, 1)
EVIDENCE = {"acts": lambda y: stats.norm.logpdf(y, 0, np.sqrt(2)), "null": stats.norm.logpdf}


def gaussian(k: int, makes: str, *, width: float = 1.0, shift: float = 0.0) -> decided.Patient:
    """Effect d, outcome of dose x: d x; one row y ~ N(d, 1), so that d | y ~ N(y/2, 1/2), told `width` times as wide and shifted."""
    random = np.random.default_rng([k, 20])
    d = random.standard_normal() if makes == "acts" else 0.0
    y = d + random.standard_normal()
    told = {
        "acts": y / 2 + shift + width * np.sqrt(0.5) * random.standard_normal(DRAWS),
        "null": np.zeros(DRAWS),
    }
    prior = {"acts": random.standard_normal(DRAWS), "null": np.zeros(DRAWS)}
    readings = {}
    for name, draws in told.items():
        numbers, before = (DOSES[:, None, None] * each for each in (draws, prior[name]))
        readings[name] = decisions.judged((1,), numbers, before, DOSES[:, None] * d, DRAWS, random) | {
            "k": k,
            "y": y,
            "evidence": float(EVIDENCE[name](y)),
            "evidence_error": 0.01,
            "k_hat": 0.1,
            "effective": float(DRAWS),
        }
    return decided.Patient(makes, readings)


@pytest.fixture(scope="module")
def acting() -> list[decided.Patient]:
    return [gaussian(k, "acts") for k in range(PATIENTS)]


def own(patient: decided.Patient) -> dict[str, ledger.Record]:
    return dict(patient.own)


def test_bands_of_an_exact_posterior_hold_as_many_truths_as_they_say(acting: list[decided.Patient]) -> None:
    """Of all plans of one patient the position is the same one, so patients are counted: binomial."""
    u = np.array([own(each)["acts"]["u"][0][1:] for each in acting])
    assert np.allclose(u[:, 0], u[:, 1], atol=2 / DRAWS)
    for level in (0.5, 0.9):
        share, error = decided.in_bands(acting, own, 0, level)
        assert stats.binomtest(round(share * PATIENTS), PATIENTS, level).pvalue > LUCK
        assert error == pytest.approx(np.sqrt(share * (1 - share) / PATIENTS), rel=0.02)


def test_bands_that_are_too_narrow_or_displaced_are_found_out() -> None:
    """Truth - mean ~ N(-shift, 1/2): half as wide a band of 90 % holds Phi(0.82) - Phi(-0.82) = 59 %; one moved by 1 holds 59 %, too."""
    z = stats.norm.ppf(0.95)
    for width, shift, expected in (
        (0.5, 0.0, 2 * stats.norm.cdf(z / 2) - 1),
        (1.0, 1.0, stats.norm.cdf(np.sqrt(2) + z) - stats.norm.cdf(np.sqrt(2) - z)),
    ):
        some = [gaussian(k, "acts", width=width, shift=shift) for k in range(200)]
        share, _ = decided.in_bands(some, own, 0, 0.9)
        assert stats.binomtest(round(share * 200), 200, expected).pvalue > LUCK


def test_a_chance_said_comes_true_as_often(acting: list[decided.Patient]) -> None:
    """The chance of d > 0 is Phi(y / sqrt 2), and each bin's truths are binomial about its mean; three pairs of a patient say one thing."""
    bins = decided.reliability(acting, own, 0)
    assert sum(each.one.n for each in bins) == PATIENTS and sum(each.pairs for each in bins) == 3 * PATIENTS
    for each in bins:
        assert each.low <= each.mean <= each.high
        assert stats.binomtest(each.one.count, each.one.n, each.mean).pvalue > LUCK / len(bins)
    # the share of patients in the last bin: |y| / sqrt 2 beyond the 95 % point, y ~ N(0, 2)
    expected = 2 * stats.norm.sf(stats.norm.ppf(0.95))
    assert stats.binomtest(bins[-1].one.n, PATIENTS, expected).pvalue > LUCK


def test_a_chance_said_too_surely_does_not() -> None:
    """Half as wide: 95 % and more is said of y beyond 1.16, where less than that is true."""
    some = [gaussian(k, "acts", width=0.5) for k in range(PATIENTS)]
    last = decided.reliability(some, own, 0)[-1]
    assert stats.binomtest(last.one.count, last.one.n, last.mean).pvalue < 0.01


def test_an_average_over_mechanisms_is_calibrated_over_patients_of_both() -> None:
    """Weights by evidence are the chances of the mechanisms when both make equally many patients."""
    some = [gaussian(k, makes) for makes in ("acts", "null") for k in range(150)]
    for each in some[::37]:
        y = each.readings["acts"]["y"]
        expected = 1 / (1 + np.sqrt(2) * np.exp(-(y**2) / 4))
        assert decided.weights(each.readings)[0] == pytest.approx(expected, rel=1e-9)
    share, _ = decided.in_bands(some, lambda each: each.readings, 0, 0.9)
    assert stats.binomtest(round(share * 300), 300, 0.9).pvalue > LUCK


def test_answers_are_counted_against_what_is_true(acting: list[decided.Patient]) -> None:
    """By hand: what the rule says with 95 %, by the closed form of the chance; the null, where plans do not differ, keeps anything
    from being said until it is dropped."""
    sizes = (0.5, 1.0)
    alone = decided.tally(acting, own, sizes)
    y = np.array([each.readings["acts"]["y"] for each in acting])
    # the second dose is better for d > 0: y < 0 is the first's
    d = np.array([-each.apart[0] for each in acting])
    sure = stats.norm.cdf(np.abs(y) / np.sqrt(2)) >= 0.95
    assert alone.pairs == 3 * PATIENTS
    assert alone.said == pytest.approx(3 * sure.sum(), abs=6)
    wrong = sure & (np.sign(y) != np.sign(d))
    assert alone.wrong == pytest.approx(3 * wrong.sum(), abs=6)
    assert alone.said + sum(alone.hangs_on.values()) == alone.pairs
    for rate, size in zip(alone.found, sizes, strict=True):
        # pairs are d, 2 d and d apart
        assert rate.n == int((np.abs(d) > size).sum() * 2 + (2 * np.abs(d) > size).sum())
    both = decided.tally(acting, lambda each: each.readings, sizes)
    # the null is dropped where y^2/4 - ln sqrt 2 > 3.5
    dropped = np.array(
        [each.readings["acts"]["evidence"] - each.readings["null"]["evidence"] > 3.5 for each in acting]
    )
    assert both.said == 3 * int(dropped.sum()) and both.hangs_on["same"] > 0
    none = decided.tally([gaussian(k, "null") for k in range(100)], lambda each: each.readings, sizes)
    assert none.wrong == none.said and none.found[0].n == 0


def test_the_true_mechanism_may_be_left_out() -> None:
    lines = {name: [{"k": k, "apart": [[1.0]], "name": name} for k in (3, 1, 2)] for name in ("a", "b", "c")}
    lines["c"][1] = {"k": 1, "failed": "could not be simulated"}
    found = decided.joined("b", lines)
    assert [each.readings["a"]["k"] for each in found] == [2, 3]
    assert list(found[0].own) == ["b"] and list(found[0].others) == ["a", "c"]


# ---- lines ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial() -> ledger.Study:
    """Two patients of the small model without an effect, read with that."""
    study = next(each for each in decisions.studies(["small"]) if each.name == "small: null read as null")
    return replace(study, patients=2)


def without_seconds(lines: list[ledger.Record]) -> list[ledger.Record]:
    return [{name: each for name, each in line.items() if name != "seconds"} for line in lines]


def test_what_was_interrupted_goes_on_to_the_same_lines(trial: ledger.Study, tmp_path: Path) -> None:
    """Witness: the run that nobody interrupted."""
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    ledger.work([trial], full=True, path=whole)
    calls = []

    def stopped(k: int) -> ledger.Record:
        calls.append(k)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return trial.one(k)

    with pytest.raises(KeyboardInterrupt):
        ledger.work([replace(trial, one=stopped)], full=True, path=broken)
    assert len(ledger.records(trial, broken)) == 1
    ledger.work([trial], full=True, path=broken)
    assert without_seconds(ledger.records(trial, broken)) == without_seconds(ledger.records(trial, whole))
    assert [line["k"] for line in ledger.records(trial, whole)] == [decisions.FIRST, decisions.FIRST + 1]
    # nothing is begun after the time that is allowed
    ledger.work([replace(trial, patients=9)], full=True, path=broken, minutes=0)
    assert len(ledger.records(trial, broken)) == 2


def test_a_line_says_what_the_family_asks(trial: ledger.Study) -> None:
    """Of no effect treatment is a burden alone, in closed form: 0.008 a day and 1e6 cells that live, 50/0.3 cell days a dose."""
    family: Family = small()
    line = trial.one(decisions.FIRST)
    plans, pairs = len(family.plans), list(combinations(range(len(family.plans)), 2))
    assert [len(each) for each in line["truth"]] == [plans] * 2
    assert [len(each) for each in line["chance"]] == [len(pairs)] * 2
    nothing = list(family.plans).index("nothing")
    given = 0.008 * 2 * 50 / 0.3
    assert line["truth"][0][nothing] == pytest.approx(240.0, rel=1e-4)
    assert line["truth"][0][0] == pytest.approx(240.0 + given, rel=1e-4)
    # the burden is the same in every draw: nothing beats two doses for sure, and the cytokine is the same
    assert line["chance"][0][pairs.index((0, nothing))] == 0.0
    assert set(line["chance"][1]) == {0.5} and set(line["apart"][1]) == {0.0}
    assert family.watched is NOTHING and len(line["collapsed"]) == 2
