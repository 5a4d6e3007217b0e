"""A page computes what Python computes, needs no network, and can be used by all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from browser import ask
from small_cases import tiny_case

from cellsim.dosing.delivery import deliver
from cellsim.dosing.schedule import Schedule
from cellsim.explorer.contents import contents_of
from cellsim.explorer.page import Explorer, page_of
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.measures import Area, DaysBelow, InRange, Value
from cellsim.solver.integration import Doses, integrate

# absorption, a condition on a state, one on time, an event on time, a function that WebAssembly has not
MODEL = """
depot = 0; blood = 0; effect = 1; stock = 0
ka = 1; ke = 0.3; kout = 0.2; half = 2; base = 1
high := piecewise(1, blood > 3, 0)
wave := 1 + 0.2*sin(0.4*time)
depot' = -ka*depot
blood' = ka*depot - ke*blood
effect' = base*kout*wave/(1 + high + (blood/half)^2) - kout*effect*piecewise(1, time < 30, 1.2)
stock' = 0.5*stock*(1 - stock/4) - 0.05*stock*blood
at (time >= 20): stock = stock + 1
"""
PRODUCTS = "productId\tname\tsource\tstate\tunit\ndrug\ta drug\t\tdepot\tmg\nother\tanother\t\tblood\tmg\n"
UNTIL = 60.0


@pytest.fixture(scope="module")
def page() -> Explorer:
    """A page of a model with conditions on states and on time, an event, and drugs in mg."""
    case = tiny_case(
        MODEL,
        {"e": "effect", "b": "blood + 0.1", "s": "stock + 0.1"},
        [("e", 3.0, 0.8), ("e", 40.0, 0.7), ("b", 3.0, 2.0), ("s", 40.0, 1.0)],
        {
            "ka": ("log-normal", 0.0, 0.3),
            "ke": ("log-normal", -1.2, 0.3),
            "kout": ("log-normal", -1.6, 0.3),
            "half": ("log-normal", 0.7, 0.4),
        },
        doses=[(-5.0, "depot", 4.0), (0.0, "depot", 6.0), (7.0, "depot", 6.0), (14.0, "depot", 6.0)],
        tables={"products.tsv": PRODUCTS},
        start=-10.0,
    )
    measures = [Value(), InRange(), InRange(noise=True), Area("blood"), DaysBelow("effect", 0.6)]
    objective = objective_of(case)
    draws = np.random.default_rng(0).standard_normal((2, 8, len(objective.names)))
    contents = contents_of(objective, (draws[0], draws[1]), measures, case.history, Schedule(), UNTIL)
    approximation = Approximation("laplace")
    html = page_of(case, objective.variant, contents, approximation)
    return Explorer(case, objective.variant, html, 8, approximation, contents)


def _random_plans(count: int) -> list[Schedule]:
    """Boluses and infusions of both products, at random."""
    random = np.random.default_rng(16)
    plans = []
    for _ in range(count):
        plan = Schedule()
        for _ in range(random.integers(1, 4)):
            plan += Schedule.every(
                float(random.choice([1.0, 3.5, random.uniform(0.5, 20)])),
                cells=float(random.uniform(0.1, 10)),
                doses=int(random.integers(1, 8)),
                product=str(random.choice(["drug", "other"])),
                start=float(random.choice([0.0, random.uniform(0, 30)])),
                duration=float(random.choice([0.0, random.uniform(0.01, 2)])),
            )
        plans.append(plan)
    return plans


def _asked(plans: list[Schedule]) -> str:
    """Plans as a page takes them."""
    rows = [
        [
            {"day": each.day, "product": each.product, "amount": each.cells, "duration": each.duration}
            for each in plan
        ]
        for plan in plans
    ]
    return json.dumps(rows)


def _by_python(page: Explorer, plan: Schedule, times: list[float], rtol: float = 1e-6) -> np.ndarray:
    """The same draws under the same plan, by the kernels of this machine; shape (n_draws, n_times, n_outputs)."""
    contents, case = page.contents, page.case
    found = deliver(Schedule((), case.products) + case.history + plan, contents.sibling)
    solution = integrate(
        contents.kernels,
        contents.posterior,
        Doses(found.boluses, found.inflows),
        times,
        start=case.start,
        lanes=contents.compiled.width,
        end=UNTIL,
        rtol=rtol,
    )
    assert not solution.status.any(), solution.messages
    return solution.outputs


SOLVE = """
const page = await cellsim.ready, plans = %s;
return plans.map((doses) => {
  const { times, values, count, fine } = cellsim.solved(page.posterior, doses), out = page.model.machine.outputs;
  const kept = times.map((_, s) => s).filter((s) => s %% 9 === 0);
  return { fine: [...fine], times: kept.map((s) => times[s]), values: Array.from({ length: count }, (_, d) => kept.map((s) =>
    Array.from({ length: out }, (_, o) => values[(o * times.length + s) * count + d]))) };
});
"""


def test_a_page_computes_what_python_computes(page: Explorer, tmp_path: Path) -> None:
    """Witness: the engine in Python, on 50 random plans, and its solution at a tolerance of 1e-10."""
    plans = _random_plans(50)
    found = ask(page.html, SOLVE % _asked(plans), tmp_path)
    furthest = [0.0, 0.0, 0.0]
    for plan, here in zip(plans, found, strict=True):
        assert all(here["fine"])
        values = np.array(here["values"])
        python, reference = (_by_python(page, plan, here["times"], rtol) for rtol in (1e-6, 1e-10))
        size = np.abs(reference).max(axis=(0, 1))
        for k, (one, other) in enumerate(((values, python), (values, reference), (python, reference))):
            furthest[k] = max(furthest[k], float((np.abs(one - other) / size).max()))
    assert furthest[0] < 1e-6
    assert furthest[1] < 1.01 * furthest[2] + 1e-7
