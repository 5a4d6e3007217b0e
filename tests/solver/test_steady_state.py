"""Rest against closed forms."""

import numpy as np
import pytest
from oracles import system

from cellsim.compiler.kernels import compile_equations
from cellsim.solver.integration import steady_state


def test_conserved_totals_are_kept_on_the_way_to_rest() -> None:
    kernels = compile_equations(system({"a": "b*l - k*a", "b": "k*a - b*l"}, "k l", a=3.0, b=1.0))
    found = steady_state(kernels, [[2.0, 1.0], [1e-3, 1e-2]])
    assert found.found.all()
    assert found.states[0] == pytest.approx([4 / 3, 8 / 3], rel=1e-6)
    assert found.states[1] == pytest.approx([4 / 1.1, 0.4 / 1.1], rel=1e-5)


def test_which_rest_depends_on_where_one_starts() -> None:
    kernels = compile_equations(system({"x": "x*(1 - x)*(x - 0.3)"}))
    found = steady_state(kernels, np.zeros((2, 0)), start_states=[[0.2], [0.4]])
    assert found.states[:, 0] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_a_rest_from_the_first_moment() -> None:
    found = steady_state(compile_equations(system({"x": "0"}, x=2.0)), np.zeros((1, 0)))
    assert found.states.tolist() == [[2.0]]


def test_what_never_rests_is_named() -> None:
    kernels = compile_equations(system({"x": "y", "y": "-x", "z": "-z"}, x=1.0, z=1.0))
    found = steady_state(kernels, np.zeros((1, 0)), longest=100.0)
    assert not found.found[0]
    assert "still moves" in found.messages[0]
