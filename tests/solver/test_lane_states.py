"""The memory of a simulation is taken up again by the next of its kind: nothing of the one before may be left in it.

Witness: the closed form of first-order decay, x(t) = x0 exp(-k t) + (r/k)(1 - exp(-k t)) under a constant inflow r.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sympy as sp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.errors import SimulationError
from cellsim.solver.integration import Doses, integrate
from cellsim.solver.lanes import machine_of

TIMES = np.array([0.5, 1.0, 2.5, 4.0])


def decay(name: str) -> Kernels:
    x, k = sp.symbols(f"{name} k")
    return compile_equations(
        Equations((name,), ("k",), (-k * x,), (sp.Integer(1),), outputs=(x,), output_names=(name,))
    )


@pytest.mark.parametrize("sets", [1, 5, 16])
def test_what_one_simulation_leaves_behind_the_next_does_not_find(sets: int) -> None:
    """An inflow that never ends, peaks, a run that is given up: then a plain decay."""
    kernels, k = decay("plain"), np.linspace(0.3, 1.1, sets)[:, None]
    right = np.exp(-k * TIMES)
    inflow = Doses(rates=((0.0, 9.0, "plain", 2.0),))
    for _ in range(2):
        fed = integrate(kernels, k, inflow, TIMES, output_rates=True)
        assert fed.outputs[:, :, 0] == pytest.approx(right + 2.0 / k * (1 - right), rel=1e-4)
        assert integrate(kernels, k, Doses(), TIMES, output_rates=True).outputs[:, :, 0] == pytest.approx(
            right, rel=1e-4
        )
        peaks = integrate(kernels, k, Doses(((1.0, "plain", 3.0),)), TIMES, peaks=("plain",), since=0.5)
        assert peaks.greatest[:, 0] == pytest.approx(np.exp(-k[:, 0]) + 3.0, rel=1e-4)
        assert integrate(kernels, k, Doses(), TIMES, peaks=("plain",), since=0.5).greatest[
            :, 0
        ] == pytest.approx(right[:, 0], rel=1e-4)
        assert integrate(kernels, k, Doses(), TIMES, max_steps=1).status.all()
        assert integrate(kernels, k, Doses(), TIMES).outputs[:, :, 0] == pytest.approx(right, rel=1e-4)


def test_tangents_begin_at_zero_every_time() -> None:
    """dx/dk = -t exp(-k t), dx/dx0 = exp(-k t); a dose differentiated before leaves no seed behind."""
    kernels, k = decay("differentiated"), 0.7
    right = np.exp(-k * TIMES)
    for _ in range(3):
        dosed = integrate(
            kernels,
            [k],
            Doses(((1.0, "differentiated", 2.0),)),
            TIMES,
            rtol=1e-8,
            directions=["k", ("jump", 0)],
        )
        plain = integrate(
            kernels, [k], Doses(), TIMES, rtol=1e-8, directions=["k", ("initial", "differentiated")]
        )
        assert dosed.sensitivities is not None
        assert plain.sensitivities is not None
        late = np.where(TIMES >= 1.0, np.exp(-k * (TIMES - 1.0)), 0.0)
        assert dosed.sensitivities[0, :, 0, 1] == pytest.approx(late, rel=1e-6, abs=1e-12)
        assert plain.sensitivities[0, :, 0, 0] == pytest.approx(-TIMES * right, rel=1e-6)
        assert plain.sensitivities[0, :, 0, 1] == pytest.approx(right, rel=1e-6)


def test_a_tolerance_holds_for_every_state() -> None:
    """Two states of sizes far apart: the share of the largest value is that of each (it was the first one's alone)."""
    x, y, k = sp.symbols("x y k")
    kernels = compile_equations(
        Equations(
            ("x", "y"),
            ("k",),
            (-k * x, k * y),
            (sp.Integer(1), sp.Float(1e-12)),
            outputs=(x, y),
            output_names=("x", "y"),
        )
    )
    found = integrate(kernels, [1.3], Doses(), [20.0]).outputs[0, 0]
    assert found == pytest.approx([np.exp(-26.0), 1e-12 * np.exp(26.0)], rel=1e-4)


def test_memory_is_taken_up_again_and_never_by_two_at_once() -> None:
    machine = machine_of(decay("kept"), 1)
    integrate(decay("kept"), [0.5], Doses(), TIMES)
    room = machine.pool.taken(machine.pool._kept[0].room)
    other = machine.pool.taken(room.room)
    assert room.at != other.at
    machine.pool.give_back(room)
    assert machine.pool.taken(room.room) is room


def test_a_call_that_was_settled_before_answers_for_what_is_new() -> None:
    """Values, start states and times written over in place; exp(-k t), with derivative -t exp(-k t), each time."""
    kernels, days = decay("settled"), np.array([0.5, 1.0, 2.0])
    for k, first in ((0.3, 1.0), (1.7, 2.0), (0.3, 5.0)):
        for scale in (1.0, 3.0):
            days[:] = scale * np.array([0.5, 1.0, 2.0])
            found = integrate(kernels, [k], times=days, start_states=[first], rtol=1e-9, directions=["k"])
            right = first * np.exp(-k * days)
            assert found.outputs[0, :, 0] == pytest.approx(right, rel=1e-7)
            assert found.sensitivities is not None
            assert found.sensitivities[0, :, 0, 0] == pytest.approx(-days * right, rel=1e-6)
    for _ in range(2):  # what was refused is refused again
        with pytest.raises(
            SimulationError, match=r"2 parameter values for 1 parameters\.\nTolerances must be positive"
        ):
            integrate(kernels, [1.0, 2.0], times=days, rtol=-1.0)


def test_threads_that_ask_the_same_do_not_share_memory() -> None:
    """Forty sets at once, of one settled call, against exp(-k t)."""
    kernels, rates = decay("crowded"), np.linspace(0.1, 4.0, 40)
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda k: integrate(kernels, [k], times=TIMES, rtol=1e-9).outputs[0, :, 0], rates)
        )
    assert np.array(found) == pytest.approx(np.exp(-np.outer(rates, TIMES)), rel=1e-6, abs=1e-12)
