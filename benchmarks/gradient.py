"""Derivatives of the case model: of every printed value, and of one number made of them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.clock import best, table
from benchmarks.peers import amici, bngsim, in_short, made
from benchmarks.problem import Array, problem

OURS = ((3e-3, 1e-5), (1e-3, 1e-6), (1e-4, 1e-7), (1e-5, 1e-8))
THEIRS = ((1e-4, 1e-7), (1e-5, 1e-8), (1e-6, 1e-9))
WANTED = 1e-3
AIM = 1.1
"""The number is the sum of squares of (value / value aimed at - 1) / 2, where every printed value at every
sample time is aimed to be 1.1 times what the reference gives."""

Row = tuple[str, ...]
Gradient = Callable[[float, float], Array]


def _rows(
    name: str, gradient: Gradient, alone: Callable[[float, float], Any], error: Callable[[Array], float]
) -> tuple[list[Row], float]:
    """A row per tolerance, and the shortest time with an error of at most WANTED."""
    rows, cheapest = [], np.inf
    for rtol, atol in OURS if name.startswith("cellsim") else THEIRS:
        at = f"{rtol:g}, {atol:g}"
        try:
            off = error(gradient(rtol, atol))
        except Exception as reason:
            rows.append((name, at, "failed", "", in_short(reason)))
            continue
        took = best(lambda r=rtol, a=atol: gradient(r, a))  # type: ignore[misc]
        once = best(lambda r=rtol, a=atol: alone(r, a))  # type: ignore[misc]
        rows.append((name, at, f"{off:.1e}", f"{took:.2f}", f"{took / once:.1f}"))
        if off <= WANTED:
            cheapest = min(cheapest, took)
    return rows, cheapest


def gradient() -> str:
    """All printed values by all estimated parameters; then one number by the same parameters."""
    this = problem()
    theta = np.zeros(len(this.objective.names))
    known = set(this.kernels.equations.parameters)
    names = [name for name in this.objective.names if name in known]
    aim = AIM * this.reference

    def run(rtol: float, atol: float) -> Any:
        return this.solve(rtol, None, directions=names, peak_share=0.1)

    def alone(rtol: float, atol: float) -> Any:
        return this.solve(rtol, None, peak_share=0.1)

    def every(rtol: float, atol: float) -> Array:
        return np.asarray(run(rtol, atol).sensitivities[0])

    def one(rtol: float, atol: float) -> Array:
        done = run(rtol, atol)
        weights = (done.outputs[0] / aim - 1.0) / aim
        return np.asarray(np.tensordot(weights, done.sensitivities[0], axes=2))

    exact = every(1e-9, 1e-11)
    weights = (this.reference / aim - 1.0) / aim
    scale, total = np.abs(exact).max(axis=(0, 1)), np.tensordot(np.abs(weights), np.abs(exact), axes=2)
    number = np.tensordot(weights, exact, axes=2)

    def off(found: Array) -> float:
        return float((np.abs(found - exact) / np.where(scale > 0, scale, 1)).max())

    def off_one(found: Array) -> float:
        return float((np.abs(found - number) / np.where(total > 0, total, 1)).max())

    rival, other = made(amici), made(bngsim)
    missing = [(n, "", "not run", "", tool) for n, tool in (("AMICI", rival), ("BNGsim", other))
               if isinstance(tool, str)]  # fmt: skip
    values: dict[str, tuple[Gradient, Any]] = {"cellsim": (every, alone)}
    sums: dict[str, tuple[Gradient, Any]] = {"cellsim, all derivatives first": (one, alone)}
    if not isinstance(rival, str):
        values["AMICI, forward"] = (lambda r, a: rival.gradient(r, a, names), rival.simulate)
        sums["AMICI, adjoint"] = (lambda r, a: rival.gradient_of_sum(r, a, names, aim), rival.simulate)
        sums["AMICI, forward"] = (
            lambda r, a: rival.gradient_of_sum(r, a, names, aim, adjoint=False),
            rival.simulate,
        )
    if not isinstance(other, str):
        values["BNGsim, forward"] = (lambda r, a: other.gradient(r, a, names), other.simulate)
    header = ("tool", "rtol, atol", "error", "ms", "simulations' worth")
    text = f"{len(names)} directions, {exact.shape[1]} outputs, {exact.shape[0]} times; the error is\n"
    text += "relative to the largest derivative by that parameter.\n\n"
    times: dict[str, float] = {}
    for title, tools, error in (
        ("", values, off),
        (
            "\n\nThe gradient of one number, a sum of squares over all outputs and times; the error is relative to\n"
            "the same sum of derivatives without signs.\n\n",
            sums,
            off_one,
        ),
    ):
        rows = []
        for name, (derivative, simulate) in tools.items():
            more, times[f"one number: {name}" if title else f"all values: {name}"] = _rows(
                name, derivative, simulate, error
            )
            rows += more
        text += title + table(header, rows + missing)
    least = times["all values: cellsim"]
    text += f"\n\nShortest time with an error of at most {WANTED:g}, beside all derivatives by cellsim:\n\n"
    ratios = [(n, f"{ms:.2f}", f"{ms / least:.1f}") for n, ms in times.items() if np.isfinite(ms)]
    text += table(("what", "ms", "times cellsim"), ratios)
    whole = best(lambda: this.objective.evaluate(theta, gradient=True))
    return text + f"\n\nObjective of the case with Jacobian, as a calibration asks for it: {whole:.2f} ms.\n"
