"""What data can tell: known eigen-structure, known blind spots, and what the case is expected to leave open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.case.case import load_case
from cellsim.errors import CalibrationError
from cellsim.identifiability.identification import identify
from cellsim.identifiability.structure import bundles, circuits, in_words
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.fitting import calibrate
from cellsim.predictions.predictions import prediction_from
from cellsim.results import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED, verdict

DAYS = np.array([0.0, 1.0, 2.0, 4.0])
SD, PRIOR = 0.5, 2.0
VALUES = [10.4, 11.1, 11.3, 12.9]
DYNAMIC = ("persistence", "alloimmunity", "drives", "vessels")

TWO_COMPARTMENTS = "C = 10; P = 0; C' = -k*C - V*q*C; P' = V*q*C; k = 0.3; V = 1; q = 1; u = 1"
BELIEFS = {
    "k": ("log-normal", -1.0, 0.5),
    "V": ("log-normal", 0.0, 0.5),
    "q": ("log-normal", -1.0, 1.0),
    "u": ("log-normal", 0.0, 1.0),
}
ROWS = [("y", 1.0, 6.0), ("y", 3.0, 2.0), ("z", 1.0, 3.0), ("z", 3.0, 5.0)]


def known():
    """Information of a straight line in units of the prior's, by the textbook."""
    X = np.column_stack([np.ones(DAYS.size), DAYS]) * PRIOR / SD
    return X.T @ X


def two_compartments():
    return objective_of(tiny_case(TWO_COMPARTMENTS, {"y": "C", "z": "P"}, ROWS, BELIEFS))


@pytest.fixture(scope="module")
def patient():
    return identify(objective_of(load_case("sjogren_rfib")), points=2)


# ---- known eigen-structure ------------------------------------------------------------------------


def test_a_straight_line_has_its_information_eigenvalues_and_contractions():
    found = identify(objective_of(straight_line(VALUES, DAYS, sd=SD, prior=PRIOR)))
    np.testing.assert_allclose(found.structure.information, known(), rtol=1e-9)
    values, vectors = np.linalg.eigh(known())
    np.testing.assert_allclose(found.eigenvalues, values[::-1], rtol=1e-9)
    assert found.structure.rank == 2 and found.effective_rank == 2
    covariance = np.linalg.inv(np.eye(2) + known())
    np.testing.assert_allclose(found.table()["contraction"], 1 - np.diag(covariance), rtol=1e-9)
    assert found.determined == pytest.approx(np.sum(values / (1 + values)))
    # Fisher information and posterior share their directions; a direction keeps 1/(1 + eigenvalue) of its variance
    for each, value, vector in zip(found.combinations(), values[::-1], vectors.T[::-1], strict=True):
        assert each.contraction == pytest.approx(value / (1 + value))
        order = np.argsort(-np.abs(vector))
        cosines = [weight for _, weight in each.weights]
        np.testing.assert_allclose(cosines, (vector * np.sign(vector[order[0]]))[order], atol=1e-9)


def test_a_calibration_brings_its_own_spread_and_mean():
    case = straight_line(VALUES, DAYS, sd=SD, prior=PRIOR)
    found = identify(calibrate(case, starts=1))
    covariance = np.linalg.inv(np.eye(2) + known())
    mean = covariance @ (np.column_stack([np.ones(4), DAYS]) * PRIOR / SD).T @ (np.array(VALUES) - 10) / SD
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-5)
    np.testing.assert_allclose(found.table()["shift"], mean, atol=1e-4)


def test_a_prediction_s_contraction_is_that_of_its_gradient():
    objective = objective_of(straight_line(VALUES, DAYS, sd=SD, prior=PRIOR))
    weights = np.array([1.0, 7.0])
    line = prediction_from(objective, lambda p: 10 + p["a"] + 7 * p["b"], "day 7")
    covariance = np.linalg.inv(np.eye(2) + known())
    expected = 1 - weights @ covariance @ weights / (weights @ weights)
    (named,) = identify(objective, predictions=[line]).predictions
    assert (named[0], named[2]) == ("day 7", pytest.approx(10.0)) and named[3] == pytest.approx(expected)
    (bare,) = identify(objective, predictions={"day 7": weights * PRIOR}).predictions
    assert bare[3] == pytest.approx(expected)
    assert identify(objective).contraction(np.zeros(2)) == (0.0, 0.0)


# ---- known blind spots ----------------------------------------------------------------------------


def test_a_product_is_named_and_an_unused_parameter_too():
    found = identify(two_compartments())
    seen = found.structure
    assert seen.rank == 2 and set(seen.ranks) == {2}  # k and the product, out of k, V, q, u
    assert seen.untouched == ("u",)
    assert seen.inseparable == ("the product q x V, whatever the values",)
    words = dict(zip(found.table()["name"], found.table()["verdict"], strict=True))
    assert words["u"] == UNTOUCHED and words["k"] == DATA_DRIVEN
    assert "No row depends on u." in found.report() and "only the product q x V" in found.report()


@pytest.mark.parametrize(
    ("formula", "family", "words"),
    [
        ("10 + a + b", ("normal", 0.0, 1.0), "the sum a + b"),
        ("10 + a - b", ("normal", 0.0, 1.0), "the difference a - b"),
        ("10 + 2*a + b", ("normal", 0.0, 1.0), "a + 0.5 b"),
        ("10*a/b", ("log-normal", 0.0, 0.3), "the ratio a / b"),
        ("10*a*b^2", ("log-normal", 0.0, 0.3), "b x a^0.5"),
        ("10*a^2/b", ("log-normal", 0.0, 0.3), "a / b^0.5"),
    ],
)
def test_combinations_are_told_as_they_are_written(formula, family, words):
    case = tiny_case("x = 0; x' = 1", {"y": (formula, 0.1)}, [("y", 1.0, 9.0)], {"a": family, "b": family})
    found = identify(objective_of(case)).structure
    assert found.rank == 1
    assert found.inseparable == (f"{words}, whatever the values",)


def test_a_combination_that_changes_from_place_to_place_is_not_called_a_law():
    family = ("normal", 0.0, 0.3)
    case = tiny_case(
        "x = 0; x' = 1", {"y": "10 + a + a^2 + b"}, [("y", 1.0, 9.0)], {"a": family, "b": family}
    )
    (words,) = identify(objective_of(case)).structure.inseparable
    assert words.startswith("a and b together, near here as") or words.startswith(
        "b and a together, near here as"
    )


def test_three_that_are_told_apart_by_two_rows_have_no_pair_to_name():
    family = ("normal", 0.0, 1.0)
    case = tiny_case(
        "x = 0; x' = 1", {"y": "10 + a + b", "z": "10 + b + c"}, [("y", 1.0, 9.0), ("z", 1.0, 9.0)],
        dict.fromkeys("abc", family),
    )  # fmt: skip
    found = identify(objective_of(case))
    assert found.structure.rank == 2 and found.structure.inseparable == ()
    assert found.structure.entangled == (("a", "b", "c"),)
    assert (
        "No row notices when a, b and c move together: of the three the rows see two directions."
        in found.report()
    )
    least = found.combinations()[-1]  # a - b + c changes nothing
    assert least.contraction == pytest.approx(0.0, abs=1e-9)
    assert {name: np.sign(weight) for name, weight in least.weights} in (
        {"a": 1, "b": -1, "c": 1}, {"a": -1, "b": 1, "c": -1},
    )  # fmt: skip


@given(st.permutations(range(5)), st.floats(-3, 3).filter(lambda x: abs(x) > 0.1))
@settings(max_examples=30)
def test_bundles_do_not_depend_on_order_or_scale(order, scale):
    random = np.random.default_rng(1)
    columns = random.standard_normal((2, 6, 5))
    columns[:, :, 1] = np.array([2.0, -3.0])[:, None] * columns[:, :, 0]
    columns[:, :, 4] = 0.0
    columns[:, :, 3] *= scale
    found = bundles(columns[:, :, list(order)], np.full(2, 1e-9))
    assert [sorted(order[j] for j in group) for group in found] == [[0, 1]]


@given(
    st.permutations(range(8)),
    st.lists(st.floats(-2, 2).filter(lambda x: abs(x) > 0.2), min_size=4, max_size=4),
    st.integers(0, 99),
)
@settings(max_examples=25)
def test_a_set_that_hangs_together_is_found_wherever_it_stands(order, weights, seed):
    """Six random columns, a seventh made of two of them and an eighth of four: both sets, and no other small one."""
    random = np.random.default_rng(seed)
    free = random.standard_normal((2, 12, 6))
    seventh = weights[0] * free[:, :, 0] + weights[1] * free[:, :, 1]
    eighth = sum(weight * free[:, :, k + 2] for k, weight in enumerate(weights))
    columns = np.concatenate([free, seventh[..., None], eighth[..., None]], axis=2)[:, :, list(order)]
    place = {column: k for k, column in enumerate(order)}
    sets = [sorted(place[k] for k in each) for each in ((0, 1, 6), (2, 3, 4, 5, 7))]
    assert circuits(columns, np.full(2, 1e-10)) == sets


def test_sets_must_hang_together_at_every_point():
    random = np.random.default_rng(1)
    columns = random.standard_normal((2, 5, 3))
    columns[0, :, 2] = columns[0, :, 0] + columns[0, :, 1]
    assert circuits(columns[:1], np.full(1, 1e-10)) == [[0, 1, 2]]
    assert circuits(columns, np.full(2, 1e-10)) == []


def test_long_combinations_say_how_many_were_left_out():
    words = in_words(list("abcdef"), np.array([1, 0.9, -0.8, 0.7, 0.6, 0.5]), [True] * 6)
    assert words == "a x b^0.9 x d^0.7 / c^0.8 (and 2 more)"


# ---- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contraction", "shift", "touched", "word"),
    [
        (0.2, 0.0, True, DATA_DRIVEN),
        (0.19, 0.49, True, PRIOR_DRIVEN),
        (0.19, -0.5, True, MOVED),
        (-0.4, 0.0, True, PRIOR_DRIVEN),
        (0.0, 0.0, False, UNTOUCHED),
    ],
)
def test_verdicts_change_where_the_glossary_says(contraction, shift, touched, word):
    assert verdict(contraction, shift, touched=touched) == word


def test_an_unknown_group_is_refused_with_a_guess():
    with pytest.raises(CalibrationError, match="Did you mean 'k'"):
        identify(two_compartments()).combinations("K")


def test_a_prediction_that_no_parameter_moves_is_no_question():
    objective = two_compartments()
    with pytest.raises(CalibrationError, match="constant does not move with any parameter"):
        identify(objective, predictions={"constant": np.zeros(len(objective.names))})
    with pytest.raises(CalibrationError, match=r"lost is nan, its slopes .*finite ones needed"):
        identify(objective, predictions={"lost": np.full(len(objective.names), np.nan)})
    with pytest.raises(CalibrationError, match="points = -1"):
        identify(objective, points=-1)


# ---- the case -------------------------------------------------------------------------------------


def test_the_case_informs_about_half_of_its_parameters(patient):
    # no more directions than rows; the science brief's prototype determined 54 to 56 numbers
    assert patient.structure.rank <= len(patient.objective.terms) < len(patient.names)
    assert patient.effective_rank <= patient.structure.rank
    assert len(patient.names) // 3 < patient.determined < len(patient.names) / 2


def test_what_the_case_determines_is_found_by_moving_every_parameter_by_hand(patient):
    """Witness of the exact derivatives: residuals moved by central differences at a much tighter tolerance."""
    objective, theta, step = patient.objective, patient.theta, 1e-3
    rows = len(objective.terms)
    columns = []
    for j in range(theta.size):
        moved = step * np.eye(theta.size)[j]
        up, down = (objective.evaluate(theta + each, rtol=1e-8).residuals[:rows] for each in (moved, -moved))
        columns.append((up - down) / (2 * step))
    jacobian = np.array(columns).T
    by_hand = np.trace(np.linalg.inv(np.eye(theta.size) + jacobian.T @ jacobian))
    assert patient.determined == pytest.approx(theta.size - by_hand, abs=0.01)


def test_the_case_says_nothing_of_alloimmunity_and_little_of_what_cells_do(patient):
    table = patient.table().set_index("name")
    immune = table[table["group"] == "alloimmunity"]
    assert len(immune) == 5 and (immune["contraction"].abs() < 0.05).all()
    assert not (immune["verdict"] == DATA_DRIVEN).any()
    # three visits carry two time-courses at most, and the brief's prototype 1 to 1.5 dynamic numbers
    columns = [
        j for j, name in enumerate(patient.names) if patient.objective.case.prior(name).group in DYNAMIC
    ]
    learned = len(columns) - np.trace(patient.covariance[np.ix_(columns, columns)])
    assert 0 < learned < 2
    assert (table.loc[["IgG_0", "ESR_0", "C3_0"], "contraction"] > 0.9).all()


def test_the_case_names_what_is_only_seen_together(patient):
    assert "the product m x chi, whatever the values" in patient.structure.inseparable
    assert "t_n" in patient.structure.untouched  # drift is switched off in this variant
    assert "alloimmunity: 0.0 of 5 determined" in patient.report()


def test_chains_say_what_a_calibration_of_a_straight_line_says() -> None:
    """Linear and normal: both covariances are the closed form's, so are contractions of parameters and predictions."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD, prior=PRIOR), starts=1)
    post = cs.sample(fit, method="nuts", draws=200, tune=100, seed=1)
    size = len(fit.objective.names)
    sums = {"sum": np.ones(size)}
    here, there = identify(fit, predictions=sums).table(), identify(post, predictions=sums).table()
    assert list(there["name"]) == [*fit.objective.names, "sum"]
    assert there["contraction"].to_numpy() == pytest.approx(here["contraction"].to_numpy(), abs=0.05)
    assert there["shift"].to_numpy() == pytest.approx(here["shift"].to_numpy(), abs=0.05)
