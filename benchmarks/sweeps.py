"""Many simulations: sweeps, one what-if, sets that differ, and the memory of many, beside libRoadRunner."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import numpy as np

import cellsim as cs
from benchmarks.case import ladder
from benchmarks.clock import best, table
from benchmarks.peers import PEERS, made
from benchmarks.problem import ACCURACY, START, problem
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.approximation import Approximation
from cellsim.solver.integration import integrate

WEEKS = (7, 14, 28, 56)
SETS, SHOWN = 512, 8
TOLERANCES = (3e-3, 1e-3, 7e-4)
SHARE = 1e-2  # of a state's largest value, as predictions have it
HEADS = ("tool", "tolerance", "error", "ms each, in lanes", "ms alone")
PLANS, DRAWS, WHOLE = 200, 32, 1000
SMALL_DRAWS, SMALL_PLANS = 2000, 100


class Prior:
    """Draws of the prior where a sweep asks a posterior: no fit is needed to measure what simulations cost."""

    def __init__(self, case: cs.Case) -> None:
        self.case, self.objective = case, objective_of(case)
        self.variant, self.approximation = self.objective.variant, Approximation("prior")

    def draws(self, n: int, *, seed: int) -> Any:
        """Standard normal in whitened coordinates."""
        return np.random.default_rng(seed).standard_normal((n, len(self.objective.names)))


def clocks(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Processor and wall seconds of one call, and what it gave."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = call()
    return time.process_time() - cpu, time.perf_counter() - wall, found


def _seven(case: cs.Case) -> dict[str, cs.Schedule]:
    given, cells = case.schedule, case.schedule.total()
    doses = (36, 18, 12, 5)
    plans = {"as given": given, "nothing": cs.Schedule(), "other product": given.as_product("ucmsc")}
    for every, count in zip(WEEKS, doses, strict=True):
        plans[f"every {every} days"] = cs.Schedule.every(
            every, cells=cells / count, doses=count, product="rfib"
        )
    return plans


def _many() -> Any:
    """200 schedules of one to 36 infusions."""
    family = cs.Schedule.grid(
        interval=[7, 10, 14, 21, 28],
        cells=[2e7, 4e7, 6e7, 8e7],
        doses=[1, 2, 3, 5, 8, 12, 18, 24, 30, 36],
        product="rfib",
    )
    assert len(family) == PLANS
    return family


def _sweeps() -> str:
    case = cs.load_case("sjogren_rfib")
    source, rows = Prior(case), []
    plans = _seven(case)
    one = {"every 28 days": plans["every 28 days"]}

    def row(what: str, call: Callable[[], Any], note: str = "") -> tuple[float, Any]:
        cpu, wall, found = clocks(call)
        rows.append((what, f"{cpu:.2f}", f"{wall:.2f}", note))
        return cpu, found

    def asked(schedules: Any, draws: int) -> Callable[[], Any]:
        return lambda: cs.sweep(source, schedules, until=365, draws=draws)

    asked(one, 8)()  # compiles
    row("one what-if, 100 draws, the first of its draws", asked(one, 100))
    row("another what-if of the same draws", asked({"twice": plans["every 14 days"]}, 100))
    row("7 schedules, 200 draws", asked(plans, 200))
    cpu, found = row(f"{PLANS} schedules, {DRAWS} draws", asked(_many(), DRAWS))
    each = cpu / (2 * PLANS * DRAWS)
    rows.append(
        (
            f"the same with {WHOLE} draws, by that",
            f"{cpu * WHOLE / DRAWS:.0f}",
            "",
            f"{1e3 * each:.2f} ms each, {len(found.curves)} courses",
        )
    )
    head = ("sweep, draws of posterior and prior each", "processor s", "wall s", "")
    return f"{os.cpu_count()} processors.\n\n" + table(head, rows)


def _differing() -> str:
    """Sets drawn from the prior, side by side and one by one, and libRoadRunner on the case's own values."""
    this = problem()
    thetas = np.random.default_rng(1).standard_normal((SETS, len(this.objective.names)))
    sets = np.asarray(this.objective.vector_of(thetas, this.kernels.equations.parameters))

    def run(rtol: float, some: Any = sets, atol: float | None = None, **more: Any) -> Any:
        return integrate(
            this.kernels,
            some,
            this.doses,
            this.times,
            start=START,
            rtol=rtol,
            atol=atol,
            peak_share=SHARE,
            **more,
        )

    exact, rows, least = run(1e-9).outputs, [], np.inf
    for rtol in TOLERANCES:
        found = run(rtol)
        error = float(np.abs(found.outputs / exact - 1.0).max())
        took = best(lambda r=rtol: run(r), seconds=0.5, least=2) / SETS  # type: ignore[misc]
        alone = best(lambda r=rtol: [run(r, sets[i : i + 1]) for i in range(SHOWN)], least=2) / SHOWN  # type: ignore[misc]
        rows.append(("cellsim", f"{rtol:g}", f"{error:.1e}", f"{took:.3f}", f"{alone:.3f}"))
        least = min(least, took) if error <= ACCURACY else least
    theirs = made(PEERS["libRoadRunner"])
    if isinstance(theirs, str):
        rows.append(("libRoadRunner", "", "not run", "", theirs))
        return table(HEADS, rows)
    measured, shortest = ladder("libRoadRunner, the case's values", theirs)
    rows += [(name, tolerances, error, "", took) for name, tolerances, error, took, _ in measured]
    text = table(HEADS, rows)
    return (
        text
        + f"\n\nWith an error of at most {ACCURACY:g} each: libRoadRunner takes {shortest / least:.0f} times as long."
    )


def _resident() -> float:
    """Resident memory in MB; nan where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return float("nan")


def _memory() -> str:
    """Resident memory along a sweep of a small model, and what is kept of each simulation."""
    from small_cases import tiny_case

    small = tiny_case(
        "x = 0; x' = -k*x; k = 0.2",
        {"y": ("x + base", 0.5)},
        [("y", -1.0, 2.0)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3), "base": ("log-normal", float(np.log(2.0)), 0.3)},
        start=-2.0,
    )
    plans = cs.Schedule.grid(interval=range(2, 12), cells=np.linspace(1, 2, 10), doses=3, product="x")
    source, seen, done = Prior(small), [], Event()

    def watch() -> None:
        while not done.wait(0.1):
            seen.append(_resident())

    cs.sweep(source, plans, until=40, measures=["area(x)"], draws=8, history=None)
    watcher = Thread(target=watch)
    watcher.start()
    cpu, _, found = clocks(
        lambda: cs.sweep(source, plans, until=40, measures=["area(x)"], draws=SMALL_DRAWS, history=None)
    )
    done.set()
    watcher.join()
    tenths = [f"{np.max(part):.0f}" for part in np.array_split(np.array(seen), 10) if part.size]
    count = 2 * SMALL_DRAWS * SMALL_PLANS
    kept = found.posterior.nbytes + found.prior.nbytes
    return (
        f"{count} simulations of one state, {1e3 * cpu / count:.3f} ms each; resident memory in MB along the run: "
        f"{', '.join(tenths)}. {kept / count:.0f} bytes of each are kept for one measure, so 10^7 simulations of one measure keep "
        f"{1e7 * kept / count / 1e6:.0f} MB, of twelve {12e7 * kept / count / 1e6:.0f}; all else does not grow with draws."
    )


def sweeps() -> str:
    """Sweeps, sets that differ, and memory."""
    return "\n\n".join([_sweeps(), _differing(), _memory()])
