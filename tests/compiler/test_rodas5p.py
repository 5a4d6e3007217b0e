"""The coefficients of Rodas5P against the order conditions of Rosenbrock methods."""

import numpy as np
import pytest

from cellsim.compiler import rodas5p as tableau

S = tableau.STAGES
G = tableau.gamma


def _classical() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """alpha, gamma and b of Hairer & Wanner II, equation IV.7.4, from the transformed coefficients (7.25)."""
    c = np.zeros((S, S))
    a = np.zeros((S, S))
    for i in range(S):
        c[i, :i], a[i, :i] = tableau.C[i], tableau.a[i]
    gammas = np.linalg.inv(np.eye(S) / G - c)
    m = np.append(a[-1, :-1], 1.0)  # y1 = y + sum a_8j k_j + k_8
    return a @ gammas, gammas, m @ gammas


def test_stage_times_match_the_published_ones() -> None:
    alpha, _, _ = _classical()
    assert alpha.sum(axis=1) == pytest.approx(tableau.c, abs=1e-12)


def _trees(order: int) -> list:
    """Rooted trees as nested sorted tuples."""
    if order == 1:
        return [()]
    found = set()

    def forests(left: int, largest: int) -> list:
        if left == 0:
            return [()]
        return [
            (tree, *rest)
            for size in range(min(left, largest), 0, -1)
            for tree in _trees(size)
            for rest in forests(left - size, size)
        ]

    for forest in forests(order - 1, order - 1):
        found.add(tuple(sorted(forest, key=repr)))
    return sorted(found, key=repr)


def _size(tree: tuple) -> int:
    return 1 + sum(map(_size, tree))


def _density(tree: tuple) -> int:
    return _size(tree) * int(np.prod([_density(each) for each in tree]))


def _weight(tree: tuple, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Hairer & Wanner II, theorem IV.7.6: beta below a node with one branch, alpha below one with several."""
    if not tree:
        return np.ones(S)
    matrix = beta if len(tree) == 1 else alpha
    return np.prod([matrix @ _weight(each, alpha, beta) for each in tree], axis=0)


CONDITIONS = [(order, tree) for order in range(1, 6) for tree in _trees(order)]


def test_there_are_seventeen_conditions_up_to_order_five() -> None:
    assert len(CONDITIONS) == 17


@pytest.mark.parametrize(("order", "tree"), CONDITIONS, ids=str)
def test_order_conditions_of_the_method(order: int, tree: tuple) -> None:
    alpha, gammas, b = _classical()
    assert b @ _weight(tree, alpha, alpha + gammas) == pytest.approx(1 / _density(tree), abs=1e-13)


@pytest.mark.parametrize(("order", "tree"), [each for each in CONDITIONS if each[0] <= 4], ids=str)
def test_order_conditions_of_the_embedded_method(order: int, tree: tuple) -> None:
    """The error estimate k_8 is the difference to a method of order 4: without it they hold."""
    alpha, gammas, _ = _classical()
    c = np.linalg.inv(gammas)
    embedded = np.append(np.asarray(tableau.a[-1]), 0.0) @ gammas
    assert c.shape == (S, S)
    assert embedded @ _weight(tree, alpha, alpha + gammas) == pytest.approx(1 / _density(tree), abs=1e-13)


@pytest.mark.parametrize("theta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("order", "tree"), [each for each in CONDITIONS if each[0] <= 4], ids=str)
def test_order_conditions_of_the_dense_output(order: int, tree: tuple, theta: float) -> None:
    alpha, gammas, _ = _classical()
    m = np.append(tableau.a[-1], 1.0)
    h = np.array(tableau.H)
    weights = theta * (m + (1 - theta) * (h[0] + theta * (h[1] + theta * h[2]))) @ gammas
    exact = theta**order / _density(tree)
    assert weights @ _weight(tree, alpha, alpha + gammas) == pytest.approx(exact, abs=1e-11)


def test_the_method_is_stiffly_accurate_and_l_stable_at_infinity() -> None:
    alpha, gammas, b = _classical()
    beta = alpha + gammas
    assert b == pytest.approx(beta[-1], abs=1e-12)
    assert b @ np.linalg.solve(beta, np.ones(S)) == pytest.approx(1.0, abs=1e-10)  # R(infinity) = 1 - this
