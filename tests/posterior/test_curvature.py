"""Second derivatives from shared steps: against matrices known beforehand, and against one parameter at a time."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cases import tiny_case

import cellsim as cs
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.posterior.curvature import curvature_at, hessian, moves, neighbours, symmetric
from cellsim.posterior.fitting import optima


@given(
    n=st.integers(1, 12),
    rows=st.integers(0, 12),
    share=st.floats(0.05, 0.6),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_sparse_matrix_is_read_from_its_moves(n: int, rows: int, share: float, seed: int) -> None:
    """The change of the gradient of a quadratic is H @ move, exactly."""
    random = np.random.default_rng(seed)
    together = neighbours(random.random((rows, n)) < share)
    known = random.standard_normal((n, n))
    known = np.where(together, known + known.T, 0.0)
    steps = random.uniform(0.1, 2.0, n)
    groups = moves(together)
    assert sorted(j for group in groups for j in group) == list(range(n))
    changes = [known[:, group] @ steps[group] for group in groups]
    assert symmetric(together, groups, steps, changes) == pytest.approx(known, abs=1e-12)


def test_analytes_that_share_nothing_move_together() -> None:
    """28 analytes with three parameters of their own and two shared by all: five moves, not 86."""
    rows = np.zeros((28, 86), dtype=bool)
    rows[:, :2] = True
    for k in range(28):
        rows[k, 2 + 3 * k : 5 + 3 * k] = True
    assert len(moves(neighbours(rows))) == 5


def one_at_a_time(objective: Objective, theta: np.ndarray, rtol: float, step: float) -> np.ndarray:
    """The whole matrix, every parameter moved alone."""
    found = objective.evaluate(theta, gradient=True, rtol=rtol).jacobian
    assert found is not None
    steps = step / np.linalg.norm(found, axis=0)
    rows = [
        (
            objective.evaluate(theta + move, gradient=True, rtol=rtol).gradient
            - objective.evaluate(theta - move, gradient=True, rtol=rtol).gradient
        )
        / (2 * step)
        for move, step in zip(np.diag(steps), steps, strict=True)
    ]
    return (np.array(rows) + np.array(rows).T) / 2


@cache
def drifting() -> Objective:
    """Eight analytes with a baseline, a drift and its half-life each, and two parameters that all of them share."""
    analytes = range(8)
    return objective_of(
        tiny_case(
            "x = 1; x' = -k*x; k = 1",
            {f"y{i}": (f"b{i}*exp(shift + d{i}*(1 - exp(-h{i}*time)))*(1 + x^2)", 0.2) for i in analytes},
            [(f"y{i}", day, 1.0 + 0.3 * i + 0.2 * day) for i in analytes for day in (0.5, 1.5, 4.0)],
            {"k": ("log-normal", 0.0, 0.5), "shift": ("normal", 0.0, 0.4)}
            | {f"b{i}": ("log-normal", 0.0, 1.0) for i in analytes}
            | {f"d{i}": ("normal", 0.0, 0.5) for i in analytes}
            | {f"h{i}": ("log-normal", 0.0, 1.0) for i in analytes},
        )
    )


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_curvature_is_that_of_single_moves(spread: float) -> None:
    """At the prior medians no drift predicts a change, so half-lives have slopes that are zero there by chance."""
    objective = drifting()
    theta = spread * np.random.default_rng(3).standard_normal(len(objective.names))
    exact = one_at_a_time(objective, theta, 1e-9, 1e-3)
    found = hessian(objective, theta, rtol=1e-9, step=1e-3)
    halves, drifts = ([objective.names.index(f"{each}{i}") for i in range(8)] for each in "hd")
    assert spread or np.abs(exact[halves, drifts]).min() > 1e-2
    scale = np.sqrt(np.outer(*[1 + np.abs(np.diag(exact))] * 2))
    # steps of 0.001 leave third derivatives times their square; an entry read from one side has more of it
    assert found / scale == pytest.approx(exact / scale, abs=1e-4)


def test_from_one_side_it_costs_half_and_is_as_good_as_it_says() -> None:
    """Witness: the matrix by central differences of tight simulations; what is told of the error is as large as it is."""
    objective = drifting()
    theta = optima(objective, [np.zeros(len(objective.names))]).mixture.modes[0].theta
    exact = hessian(objective, theta, rtol=1e-9, step=1e-3)
    scale = np.sqrt(np.outer(*[np.diag(exact)] * 2))
    assert hessian(objective, theta, step=3e-3, sides=1) / scale == pytest.approx(exact / scale, abs=1e-2)
    found = curvature_at(objective, theta, carry=False)
    root = np.linalg.inv(np.linalg.cholesky(exact))
    real = np.abs(np.linalg.eigvalsh(root @ found.matrix @ root.T) - 1).max() / 2
    assert real < 4 * max(found.error, 1e-3) and found.error < 5e-3


def test_few_moves_are_made_for_the_case() -> None:
    """What it is for: less than half of the gradients."""
    objective = objective_of(cs.load_case("sjogren_rfib"), variant="V2")
    theta = 0.3 * np.random.default_rng(3).standard_normal(len(objective.names))
    slopes = objective.evaluate(theta, gradient=True).jacobian
    assert slopes is not None
    assert 2 * len(moves(neighbours(slopes[: len(objective.terms)] != 0))) < len(objective.names)
