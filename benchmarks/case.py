"""One simulation, a batch and a gradient of the case model, at a ladder of tolerances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import best, table
from benchmarks.peers import amici_peer, roadrunner_runner, roadrunner_text, scipy_runner
from benchmarks.problem import ACCURACY, START, problem
from cellsim.solver import integrate

LADDER = ((1e-2, 1e-4), (3e-3, 1e-5), (1e-3, 1e-6), (1e-4, 1e-7), (1e-5, 1e-8), (1e-6, 1e-9))
AMICI_LADDER = ((1e-4, 1e-7), (1e-5, 1e-8), (1e-6, 1e-9))
BATCH = 512


def _ladder(
    name: str, run: Callable[[float, float], tuple[Any, int | None]]
) -> tuple[list[tuple[str, ...]], float]:
    """Rows of tolerance, error, time and steps; and the shortest time at the accuracy wanted."""
    rows, cheapest = [], float("inf")
    for rtol, atol in LADDER:
        try:
            outputs, steps = run(rtol, atol)
        except Exception as reason:
            why = str(reason).splitlines()[0][:60]
            rows.append((name, f"{rtol:g}, {atol:g}", "failed", "", why))
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
    for (name, points), marker in zip(measured.items(), "osD^v<>p", strict=False):
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

    def one(share: float) -> Callable[[float, float], tuple[Any, int | None]]:
        def run(rtol: float, atol: float) -> tuple[Any, int | None]:
            done = this.solve(rtol, atol, peak_share=share)
            return done.outputs[0], done.steps

        return run

    def lanes(rtol: float, atol: float) -> Any:
        return integrate(
            this.kernels, many, this.doses, this.times, start=START, rtol=rtol, atol=atol, peak_share=0.1
        )

    rows, at = [], {}
    measured: dict[str, list[tuple[float, float]]] = {}
    runs: list[tuple[str, Callable[[float, float], tuple[Any, int | None]]]] = [
        ("cellsim", one(0.0)),
        ("cellsim, peak_share=0.1", one(0.1)),
        ("scipy LSODA", scipy_runner(this, "LSODA")),
        ("scipy BDF", scipy_runner(this, "BDF")),
    ]
    try:
        runs.append(("libRoadRunner", roadrunner_runner(this, roadrunner_text(this))))
    except ImportError:
        rows.append(("libRoadRunner", "", "not installed", "", ""))
    if (amici := amici_peer(this)) is not None:
        runs.append(("AMICI", amici.simulate))
    else:
        rows.append(("AMICI", "", "not installed", "", ""))
    for name, run in runs:
        more, at[name] = _ladder(name, run)
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
    text += f"\n\nShortest time with an error of at most {ACCURACY:g}:\n\n"
    ours = at["cellsim, peak_share=0.1"]
    text += table(
        ("tool", "ms", "times one cellsim simulation"),
        [(n, f"{ms:.3f}", f"{ms / ours:.1f}") for n, ms in at.items()],
    )
    return text


def gradient() -> str:
    """Derivative of all printed values by all estimated parameters."""
    this = problem()
    theta = np.zeros(len(this.objective.names))
    known = set(this.kernels.equations.parameters)
    names = [name for name in this.objective.names if name in known]

    def run(rtol: float, atol: float) -> Any:
        return this.solve(rtol, atol, directions=names, peak_share=0.1).sensitivities[0]  # type: ignore[index]

    exact = run(1e-9, 1e-11)
    scale = np.abs(exact).max(axis=(0, 1))
    rows = []
    for rtol, atol in LADDER[1:5]:
        error = float((np.abs(run(rtol, atol) - exact) / np.where(scale > 0, scale, 1)).max())
        took = best(lambda r=rtol, a=atol: run(r, a))  # type: ignore[misc]
        alone = best(lambda r=rtol, a=atol: this.solve(r, a, peak_share=0.1))  # type: ignore[misc]
        rows.append(("cellsim", f"{rtol:g}, {atol:g}", f"{error:.1e}", f"{took:.2f}", f"{took / alone:.1f}"))
    if (amici := amici_peer(this)) is not None:
        for rtol, atol in AMICI_LADDER:
            found = amici.gradient(rtol, atol, names)
            error = float((np.abs(found - exact) / np.where(scale > 0, scale, 1)).max())
            took = best(lambda r=rtol, a=atol: amici.gradient(r, a, names), seconds=0.0)  # type: ignore[misc]
            alone = best(lambda r=rtol, a=atol: amici.simulate(r, a))  # type: ignore[misc]
            rows.append(
                (
                    "AMICI, forward",
                    f"{rtol:g}, {atol:g}",
                    f"{error:.1e}",
                    f"{took:.0f}",
                    f"{took / alone:.1f}",
                )
            )
    text = f"{len(names)} directions, {exact.shape[1]} outputs, {exact.shape[0]} times; the error is\n"
    text += "relative to the largest derivative by that parameter.\n\n"
    text += table(("tool", "rtol, atol", "error", "ms", "simulations' worth"), rows)
    if amici is not None:
        text += f"\n\nAMICI compiled the model in {amici.compile_seconds:.0f} s."
    whole = best(lambda: this.objective.evaluate(theta, gradient=True))
    return text + f"\n\nObjective of the case with Jacobian, as a calibration asks for it: {whole:.2f} ms.\n"
