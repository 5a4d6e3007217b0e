"""Large models: code that grows with a model as the model does, and says what the code for small ones says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

import cellsim as cs
from benchmarks.network import network
from cellsim.compiler import llvm, lu_tables
from cellsim.compiler.derivatives import System
from cellsim.compiler.equations import Equations, equations_of
from cellsim.compiler.kernels import Kernels
from cellsim.compiler.writer import Writer
from cellsim.solver.integration import integrate

TIMES = [0.5, 2.0, 7.0]


def crowd(size: int, seed: int = 3) -> Equations:
    """Cells of `size` kinds that compete for room, with fluxes drawn between them: every rate sees all states."""
    draw = np.random.default_rng(seed)
    x, room, flow = sp.symbols(f"x0:{size}"), sp.Symbol("room"), sp.Symbol("flow")
    crowded = sum(x) / (room + sum(x))
    rates = [sp.Float(draw.uniform(0.2, 0.6)) * each * (1 - crowded) - sp.Float(0.1) * each**2 for each in x]
    for _ in range(2 * size):
        a, b = draw.integers(size, size=2)
        rates[a] -= flow * x[a]
        rates[b] += flow * x[a]
    return Equations(
        tuple(each.name for each in x),
        ("room", "flow"),
        tuple(rates),
        tuple(sp.Float(0.1 + 0.05 * i) for i in range(size)),
    )


def by_scipy(equations: Equations, p: list[float]) -> np.ndarray:
    """The states at TIMES from SciPy's Radau on rates that sympy evaluates."""
    names = [sp.Symbol(name) for name in (*equations.states, *equations.parameters)]
    rates = sp.lambdify(names, list(equations.rates))
    start = [float(each) for each in equations.initials]
    found = solve_ivp(
        lambda t, y: rates(*y, *p), (0, TIMES[-1]), start, "Radau", TIMES, rtol=1e-10, atol=1e-12
    )
    return np.asarray(found.y.T)


@pytest.mark.parametrize("lanes", [1, 2, 8])
def test_an_elimination_in_loops_solves_the_equations(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """Witness: SciPy's Radau, whose Jacobian is found by differences and whose elimination is dense."""
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
    equations = crowd(12)
    kernels = Kernels(equations)
    sets = [[3.0, 0.2], [1.0, 0.5]]
    found = integrate(kernels, sets, times=TIMES, rtol=1e-8, atol=1e-10, lanes=lanes)
    assert kernels.writer(lanes).loops and kernels.system.auxiliaries
    for p, states in zip(sets, found.states, strict=True):
        np.testing.assert_allclose(states, by_scipy(equations, p), rtol=2e-7)


def test_slopes_through_an_elimination_in_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: central differences of SciPy's Radau."""
    equations, h = crowd(8), 1e-4
    with monkeypatch.context() as patch:
        patch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
        kernels = Kernels(
            Equations(
                equations.states,
                equations.parameters,
                equations.rates,
                equations.initials,
                tuple(map(sp.Symbol, equations.states)),
                equations.states,
            )
        )
        found = integrate(
            kernels, [3.0, 0.2], times=TIMES, rtol=1e-9, atol=1e-11, directions=equations.parameters
        )
    assert found.sensitivities is not None
    for d, (up, down) in enumerate((([3 + h, 0.2], [3 - h, 0.2]), ([3, 0.2 + h], [3, 0.2 - h]))):
        slope = (by_scipy(equations, up) - by_scipy(equations, down)) / (2 * h)
        np.testing.assert_allclose(found.sensitivities[0, :, :, d], slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loops", [0, 10**9])
def test_code_compiled_in_haste_says_the_same(monkeypatch: pytest.MonkeyPatch, loops: int) -> None:
    """Witness: SciPy's Radau; slopes as the optimised code has them."""
    equations = crowd(8)
    outputs = (equations.states, tuple(map(sp.Symbol, equations.states)))
    asked = dict(times=TIMES, rtol=1e-8, atol=1e-10, directions=["flow", ("initial", "x1")])
    given = (
        *(getattr(equations, name) for name in ("states", "parameters", "rates", "initials")),
        *outputs[::-1],
    )
    careful = integrate(Kernels(Equations(*given)), [3.0, 0.2], **asked)  # type: ignore[arg-type]
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", loops)
    monkeypatch.setattr(llvm, "LONGEST_OPTIMISED", 0)
    kernels = Kernels(Equations(*given))
    hasty = integrate(kernels, [3.0, 0.2], **asked)  # type: ignore[arg-type]
    assert len(kernels.unit().engines) == 2
    np.testing.assert_allclose(hasty.states[0], by_scipy(equations, [3.0, 0.2]), rtol=2e-7)
    np.testing.assert_allclose(hasty.sensitivities, careful.sensitivities, rtol=1e-8, atol=1e-12)


def test_the_code_of_an_elimination_in_loops_is_as_long_for_any_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Witness: the entries of the plan; functions keep their length, tables have a number an entry."""
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
    lengths = set()
    for size in (6, 18):
        writer = Writer(crowd(size).system, 1)
        text = lu_tables.write_lu_loops(writer)
        entries = sum(map(len, writer.plan.lower)) + sum(map(len, writer.plan.upper))
        assert f"@lu_columns = internal constant [{entries} x i32]" in text
        lengths.add((text.count("\n"), lu_tables.write_solve_loops(writer).count("\n")))
    assert len(lengths) == 1


def entries(system: System, cut: frozenset[int]) -> int:
    """Entries of the Jacobian with some terms as unknowns of their own, counted from the definition."""
    graph, memo = system.graph, dict[int, frozenset[object]]()

    def unknowns(node: int) -> frozenset[object]:
        if node not in memo:
            if node in system.y:
                memo[node] = frozenset({("y", node)})
            elif graph.ops[node] in ("const", "p", "s"):
                memo[node] = frozenset()
            else:
                memo[node] = frozenset().union(*(seen(arg) for arg in graph.args[node]))
        return memo[node]

    def seen(node: int) -> frozenset[object]:
        return frozenset({("cut", node)}) if node in cut else unknowns(node)

    return sum(len(seen(node)) for node in system.rates) + sum(len(unknowns(node)) + 1 for node in cut)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_auxiliaries_are_the_terms_that_save_most(seed: int) -> None:
    """Witness: every term tried, and the whole Jacobian counted anew each time."""
    draw, size = np.random.default_rng(seed), 12
    x = sp.symbols(f"x0:{size}")
    sums = [sum(x[i] for i in draw.choice(size, 9, replace=False)) for _ in range(2)]
    shared = [1 / (2 + each) for each in sums]
    shared.append(shared[0] * shared[1] / (1 + sums[0]))
    rates = [
        each * shared[draw.integers(3)] - shared[draw.integers(3)] ** 2 * x[draw.integers(size)] for each in x
    ]
    system = Equations(tuple(each.name for each in x), (), tuple(rates), (sp.Integer(1),) * size).system
    inner = [
        n for n in system.graph.reachable(system.rates) if system.graph.ops[n] not in ("const", "y", "p")
    ]
    cut: frozenset[int] = frozenset()
    while True:
        before = entries(system, cut)
        gains = {node: before - entries(system, cut | {node}) for node in inner if node not in cut}
        best = max(gains, key=lambda node: (gains[node], -node))
        if gains[best] < 4:
            break
        cut |= {best}
    assert cut == set(system.auxiliaries) != set()


def test_a_network_through_loops_compiled_in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: SciPy's LSODA."""
    model = cs.load_model(network(40))
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
    monkeypatch.setattr(llvm, "LONGEST_OPTIMISED", 0)
    equations = equations_of(model, [each.name for each in model.states])
    p = [each.value for each in model.parameters]
    found = integrate(Kernels(equations), p, times=[1.0, 50.0], rtol=1e-8, atol=1e-9).states[0]
    seen = cs.simulate(model, cs.Schedule(), [1.0, 50.0], solver="scipy", rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        found, np.stack([seen[each.name] for each in model.states], 1), rtol=1e-5, atol=1e-6
    )


def test_slopes_in_loops_of_more_directions_than_march_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten directions in two groups, an auxiliary bent by a parameter.

    Witnesses: central differences of SciPy's Radau; at a tolerance where what a long step leaves out would show, the same scheme
    written out, which follows the complex step (tests/solver/test_solver_sensitivities.py).
    """
    size, h = 8, 1e-4
    x, room, flow = sp.symbols(f"x0:{size}"), sp.Symbol("room"), sp.Symbol("flow")
    held = sum(each / (room + each) for each in x)
    names, start = tuple(each.name for each in x), np.array([0.1 + 0.05 * i for i in range(size)])
    plain = Equations(
        names,
        ("room", "flow"),
        tuple(sp.Float(0.3 + 0.02 * i) * each * (2 - held) - flow * each**2 for i, each in enumerate(x)),
        tuple(map(sp.Float, start)),
    )
    watched = replace(plain, outputs=x, output_names=names)
    along: list[str | tuple[str, str | int]] = [*(("initial", name) for name in names), *plain.parameters]

    def slopes(kernels: Kernels, rtol: float) -> np.ndarray:
        found = integrate(kernels, [3.0, 0.2], times=TIMES, rtol=rtol, directions=along).sensitivities
        assert found is not None
        return found

    written = slopes(Kernels(watched), 1e-2)
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
    kernels = Kernels(watched)
    assert kernels.system.auxiliaries
    np.testing.assert_allclose(slopes(kernels, 1e-2), written, rtol=1e-8, atol=1e-11)
    found = slopes(kernels, 1e-9)

    def moved(direction: int, by: float) -> np.ndarray:
        unit = by * np.eye(size + 2)[direction]
        begun = replace(plain, initials=tuple(map(sp.Float, start + unit[:size])))
        return by_scipy(begun, [3.0 + unit[size], 0.2 + unit[size + 1]])

    for d in (0, 5, 7, 8, 9):
        slope = (moved(d, h) - moved(d, -h)) / (2 * h)
        np.testing.assert_allclose(found[0, :, :, d], slope, rtol=1e-4, atol=1e-7)


def test_slopes_of_a_network_through_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter of a small sibling of the largest public models; witness: central differences of SciPy's LSODA."""
    model, days = cs.load_model(network(30)), [5.0, 50.0]
    monkeypatch.setattr(lu_tables, "MOST_WRITTEN_OUT", 0)
    equations = equations_of(model, [each.name for each in model.states])
    p = np.array([each.value for each in model.parameters])
    found = integrate(
        Kernels(equations), p, times=days, rtol=1e-7, directions=equations.parameters
    ).sensitivities
    assert found is not None and len(equations.parameters) > 8

    def read(name: str, value: float) -> np.ndarray:
        seen = cs.simulate(
            model, cs.Schedule(), days, values={name: value}, solver="scipy", rtol=1e-9, atol=1e-9
        )
        return np.stack([seen[each.name] for each in model.states], 1)

    for d in (0, 4, len(p) - 1):
        name, h = equations.parameters[d], 1e-3 * p[d]
        slope = (read(name, p[d] + h) - read(name, p[d] - h)) / (2 * h)
        np.testing.assert_allclose(found[0, :, :, d], slope, rtol=2e-4, atol=1e-4 * np.abs(slope).max())
