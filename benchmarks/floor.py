"""How far a step is from the arithmetic it needs, at the peak this core reaches on arithmetic alone."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
from numba import njit

from benchmarks.clock import table
from benchmarks.problem import problem
from cellsim.compiler.llvm import BLOCK, Code, aligned, assemble, lane_width
from cellsim.compiler.rodas5p import STAGES
from cellsim.compiler.writer import Writer
from cellsim.solver.step_control import call_kernel

_ARITHMETIC = re.compile(r"= (fadd|fsub|fmul|fdiv|fneg)\b[^<]*(?:<(\d+) x double>)?")


@njit  # type: ignore[misc]
def _repeat(address, w, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        call_kernel(address, w.ctypes.data, w.ctypes.data)


def nanoseconds(address: int, w: Any, times: int = 200) -> float:
    """Shortest time of one call."""
    shortest = np.inf
    _repeat(address, w, 10)
    for _ in range(200):
        begin = time.perf_counter()
        _repeat(address, w, times)
        shortest = min(shortest, time.perf_counter() - begin)
    return 1e9 * shortest / times


def peak(width: int) -> float:
    """Operations per nanosecond of sixteen independent chains of fused multiply-adds."""
    code = Code(width)
    chains = [code.load("%w", BLOCK * i) for i in range(16)]
    for _ in range(100):
        chains = [code.times_plus(code.const(0.5), chain, code.const(0.25)) for chain in chains]
    for i, chain in enumerate(chains):
        code.store(chain, "%w", BLOCK * i)
    made = assemble([code.function("peak")], code.externals)
    operations = 2 * 100 * 16 * width
    return operations / nanoseconds(made.address["peak"], aligned(16 * BLOCK))


def _operations(text: str) -> int:
    """Additions, multiplications and divisions written in some code, loops aside."""
    return sum(int(found.group(2) or 1) for found in map(_ARITHMETIC.search, text.splitlines()) if found)


def floor() -> str:
    """One step: Jacobian, LU, eight right-hand sides and solves, the combinations of stages, the error."""
    this, rows = problem(), []
    for width in (1, lane_width()):
        writer = Writer(this.kernels.system, width)
        texts = {f.split("@")[1].split("(")[0].split("_0")[0]: f for f in writer.all()}
        # 28 + 18 products and sums to combine stages, and about 10 for the error, in every state
        combinations = (2 * (28 + 18) + 10) * writer.n * width
        needed = _operations(texts["jac"]) + _operations(texts["lu"])
        needed += STAGES * (_operations(texts["rates_added"]) + _operations(texts["solve"])) + combinations
        unit = this.kernels.unit(width)
        w, lay = unit.workspace(), unit.layout
        w[lay["p"] : lay["p"] + this.p.size * width] = np.repeat(this.p, width)
        w[lay["atol"] : lay["f"]] = 1.0
        w[0], w[1] = 0.1, 1e-3
        for name in ("prepare", "initial"):
            unit.call(name, w)
        took = sum(nanoseconds(unit.address[name], w) for name in ("jac", "lu", "step"))
        least = needed / peak(width if width > 1 else BLOCK)
        rows.append((str(width), f"{took / width:.0f}", f"{needed / width:.0f}", f"{took / least:.1f}"))
    text = "Kernels of one step of the case model; the peak is that of full vectors, for one lane too.\n\n"
    return text + table(("lanes", "ns per lane", "operations per lane", "times the floor"), rows)
