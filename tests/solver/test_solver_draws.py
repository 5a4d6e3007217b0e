"""Parameter draws from the prior of the case: none hangs, none is silently wrong."""

import numpy as np
import pytest

import cellsim as cs
from cellsim.likelihood.formulation import objective_of
from cellsim.solver.integration import integrate


def _draws(count: int) -> None:
    objective = objective_of(cs.load_case("sjogren_rfib"))
    rng = np.random.default_rng(0)
    sets = objective.vector(rng.standard_normal((count, len(objective.names))))
    times, start = [-874.0, -325.0, -1.0, 35.0, 259.0, 400.0], -931.0
    found = integrate(
        objective.kernels, sets, objective.doses, times, start=start, rtol=1e-4, atol=1e-7, max_steps=20_000
    )
    assert (found.status == 0).all(), {message for message in found.messages if message}
    assert np.isfinite(found.outputs).all()
    some = rng.choice(count, min(count, 40), replace=False)
    exact = integrate(
        objective.kernels, sets[some], objective.doses, times, start=start, rtol=1e-9, atol=1e-12, lanes=1
    )
    assert np.abs(found.outputs[some] / exact.outputs - 1).max() < 1e-3


def test_draws_from_the_prior_all_reach_the_end() -> None:
    _draws(400)


@pytest.mark.slow
def test_ten_thousand_draws_from_the_prior_all_reach_the_end() -> None:
    _draws(10_000)
