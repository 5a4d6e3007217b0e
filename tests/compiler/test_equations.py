"""Equations, the graph they become, and its structure."""

import numpy as np
import pytest
import sympy as sp
from oracles import system

from cellsim.compiler.equations import Equations, Trigger
from cellsim.compiler.gradients import gradient
from cellsim.compiler.graph import Graph
from cellsim.compiler.kernels import compile_equations
from cellsim.compiler.lu import plan_elimination
from cellsim.errors import ModelError

X, Y, K = sp.symbols("x y k")


def test_equal_terms_are_one_node() -> None:
    graph = Graph()
    x, y = graph.input("y", 0), graph.input("y", 1)
    assert graph.mul(x, y) == graph.mul(y, x)
    assert graph.add(graph.neg(x), x) == graph.zero
    assert graph.neg(graph.neg(x)) == x


def test_what_depends_on_parameters_only_is_gathered() -> None:
    graph = Graph()
    p, q, x = graph.input("p", 0), graph.input("p", 1), graph.input("y", 0)
    node = graph.mul(p, graph.mul(x, q))
    first, second = graph.args[node]
    assert (first, second) == (graph.mul(p, q), x)


def test_gradient_stops_at_what_counts_as_independent() -> None:
    graph = Graph()
    x, y = graph.input("y", 0), graph.input("y", 1)
    a = graph.mul(x, x)
    f = graph.add(graph.mul(a, y), x)
    assert gradient(graph, f, {x, y, a}) == {a: y, y: a, x: graph.one}


def test_shared_sums_become_auxiliaries_and_the_jacobian_stays_the_same() -> None:
    names = [f"x{i}" for i in range(6)]
    sums = " + ".join(names)
    rates = {name: f"-{name}*({sums})**2 + {i}" for i, name in enumerate(names)}
    equations = system(rates)
    assert len(equations.system.auxiliaries) == 1
    assert len(equations.system.jacobian) < 36
    kernels = compile_equations(equations)
    y = np.arange(1.0, 7.0)
    total = y.sum()
    expected = -np.eye(6) * total**2 - 2 * total * y[:, None]
    assert kernels.jacobian(0.0, y, []) == pytest.approx(expected, rel=1e-14)


def test_known_event_times_need_no_clock() -> None:
    t = sp.Symbol("time")
    timed = Trigger("on", sp.Ge(t, K), (("y", sp.Integer(1)),))
    equations = Equations(
        ("x", "y"), ("k",), (-X * Y, sp.Integer(0)), (sp.Integer(1), sp.Integer(0)), events=(timed,)
    )
    assert equations.system.clock is None
    late = Trigger("late", sp.Ge(t * X, 3), (("y", sp.Integer(1)),))
    equations = Equations(
        ("x", "y"), (), (-X * Y, sp.Integer(0)), (sp.Integer(1), sp.Integer(0)), events=(late,)
    )
    assert equations.system.clock == 2


def test_sizes_and_names_are_checked_together() -> None:
    event = Trigger("e", sp.true, (("z", sp.Integer(1)),))
    with pytest.raises(ModelError) as caught:
        Equations(("x", "x"), ("k",), (-X,), (sp.Integer(1),), outputs=(X,), events=(event,))
    assert len(caught.value.problems) == 4


def test_initial_values_may_use_parameters_but_not_states() -> None:
    equations = Equations(("x", "y"), ("k",), (-X, X), (2 * K, sp.Integer(0)))
    assert compile_equations(equations).initial([3.0]).tolist() == [6.0, 0.0]
    with pytest.raises(ModelError, match="depends on a state"):
        _ = Equations(("x", "y"), ("k",), (-X, X), (2 * K, X)).system


def test_definitions_are_shared() -> None:
    twice = (("double", 2 * X), ("more", sp.Symbol("double") + K))
    equations = Equations(
        ("x",),
        ("k",),
        (-sp.Symbol("more"),),
        (sp.Integer(1),),
        (sp.Symbol("double"),),
        ("d",),
        definitions=twice,
    )
    kernels = compile_equations(equations)
    assert kernels.rhs(0.0, [3.0], [0.5]).tolist() == [-6.5]
    assert kernels.outputs(0.0, [3.0], [0.5]).tolist() == [6.0]


def test_elimination_in_markowitz_order_solves_and_fills_little() -> None:
    rng = np.random.default_rng(0)
    size = 30
    pattern = (
        {(i, i + 1) for i in range(size - 1)} | {(i, 0) for i in range(size)} | {(0, i) for i in range(size)}
    )
    plan = plan_elimination(size, pattern)
    assert plan.fill <= 2
    a = np.zeros((size, size))
    for i, j in pattern:
        a[i, j] = rng.standard_normal()
    a += np.diag(5.0 + size * np.ones(size))
    work, b = a.copy(), rng.standard_normal(size)
    x = b.copy()
    for p, down, across in zip(plan.order, plan.lower, plan.upper, strict=True):
        for i in down:
            factor = work[i, p] / work[p, p]
            x[i] -= factor * x[p]
            for j in across:
                work[i, j] -= factor * work[p, j]
    for p, across in zip(reversed(plan.order), reversed(plan.upper), strict=True):
        x[p] = (x[p] - sum(work[p, j] * x[j] for j in across)) / work[p, p]
    assert x == pytest.approx(np.linalg.solve(a, b), rel=1e-10)
