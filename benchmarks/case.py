"""One simulation and a batch of the case model by every tool, at a ladder of tolerances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import best, table
from benchmarks.peers import PEERS, Runner, amici, bngsim, diffrax, in_short, made
from benchmarks.problem import ACCURACY, START, problem
from cellsim.solver.integration import integrate

LADDER = ((1e-2, 1e-4), (3e-3, 1e-5), (1e-3, 1e-6), (1e-4, 1e-7), (1e-5, 1e-8), (1e-6, 1e-9))
BATCH = 512


def ladder(name: str, run: Runner) -> tuple[list[tuple[str, ...]], float]:
    """Rows of tolerance, error, time and steps; and the shortest time at the accuracy wanted."""
    rows, cheapest = [], float("inf")
    for rtol, atol in LADDER:
        try:
            outputs, steps = run(rtol, atol)
        except Exception as reason:
            rows.append((name, f"{rtol:g}, {atol:g}", "failed", "", in_short(reason)))
            continue
        error, took = problem().error(outputs), best(lambda r=rtol, a=atol: run(r, a))  # type: ignore[misc]
        rows.append(
            (name, f"{rtol:g}, {atol:g}", f"{error:.1e}", f"{took:.3f}", "" if steps is None else str(steps))
        )
        if error <= ACCURACY:
            cheapest = min(cheapest, took)
    return rows, cheapest


def _draw(measured: dict[str, list[tuple[float, float]]]) -> None:
    """The work-precision figure beside the tables."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    ax = figure.subplots()
    for (name, points), marker in zip(measured.items(), "osD^v<>pXh", strict=False):
        ax.loglog(*zip(*points, strict=True), marker=marker, markersize=4, label=name)
    ax.axhline(ACCURACY, color="0.6", linewidth=0.8, linestyle="--")
    ax.set_xlabel("processor time of one simulation (ms)")
    ax.set_ylabel("largest relative error of any printed value")
    ax.legend(fontsize=7)
    figure.savefig(Path(__file__).with_name("work_precision.png"), dpi=120)


def simulation() -> str:
    """Every tool on one simulation, and ours on a batch."""
    this = problem()
    rng = np.random.default_rng(1)
    many = this.p * np.exp(0.1 * rng.standard_normal((BATCH, this.p.size)))

    def one(share: float) -> Runner:
        def run(rtol: float, atol: float) -> tuple[Any, int | None]:
            done = this.solve(rtol, None, peak_share=share) if share else this.solve(rtol, atol)
            return done.outputs[0], done.steps

        return run

    def lanes(rtol: float, atol: float) -> Any:
        return integrate(this.kernels, many, this.doses, this.times, start=START, rtol=rtol, peak_share=0.1)

    rows, at = [], {}
    measured: dict[str, list[tuple[float, float]]] = {}
    ours: dict[str, Runner] = {"cellsim": one(0.0), "cellsim, peak_share=0.1": one(0.1)}
    for name, run in {**ours, **{name: made(make) for name, make in PEERS.items()}}.items():
        if isinstance(run, str):
            rows.append((name, "", "not run", "", run))
            continue
        more, at[name] = ladder(name, run)
        rows += more
        measured[name] = [(float(row[3]), float(row[2])) for row in more if row[2] != "failed"]
    exact = integrate(this.kernels, many, this.doses, this.times, start=START, rtol=1e-10, atol=1e-12).outputs
    for rtol, atol in LADDER[:4]:
        error = float(np.abs(lanes(rtol, atol).outputs / exact - 1).max())
        took = best(lambda r=rtol, a=atol: lanes(r, a), seconds=1.0) / BATCH  # type: ignore[misc]
        name = f"cellsim, {BATCH} sets in lanes, each"
        rows.append((name, f"{rtol:g}, {atol:g}", f"{error:.1e}", f"{took:.3f}", ""))
        measured.setdefault(name, []).append((took, error))
        if error <= ACCURACY:
            at[name] = min(at.get(name, np.inf), took)
    _draw(measured)
    text = "![Error against time](work_precision.png)\n\n"
    text += table(("tool", "rtol, atol", "error", "ms", "steps"), rows)
    compiled = {"AMICI": made(amici), "BNGsim": made(bngsim), "diffrax": made(diffrax)}
    took = [f"{n} {tool.compile_seconds:.0f} s" for n, tool in compiled.items() if not isinstance(tool, str)]
    text += f"\n\nWall time to read and compile the model: {', '.join(took) or 'none is installed'}."
    text += "\nPyBNF simulates through BNGsim or libRoadRunner, at their speed.\n"
    text += f"\nShortest time with an error of at most {ACCURACY:g}:\n\n"
    least = at["cellsim, peak_share=0.1"]
    text += table(
        ("tool", "ms", "times one cellsim simulation"),
        [(n, f"{ms:.3f}", f"{ms / least:.1f}") for n, ms in at.items() if np.isfinite(ms)],
    )
    return text
