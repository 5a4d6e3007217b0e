"""Steps of the step loop: how kernels are called, what error is allowed, how long the first step is, dense output.

In the Python that numba compiles; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellsim.solver.loop_arrays import (
    N_CLOCK,
    N_FIXED,
    N_LANES,
    N_MIDDLE,
    N_MODES,
    N_PADDED,
    N_STATES,
    PEAK_SHARE,
    RECORDED,
    RHS,
    RHS_AT_SAMPLE,
    RTOL,
    S_ATOL,
    S_DENSE,
    S_ERROR,
    S_F,
    S_PEAK,
    S_Q,
    S_U,
    S_Y,
    S_Y1,
    S_YS,
    TOO_MANY_STEPS,
    Reals,
    Wholes,
)

__all__ = [
    "call_kernel",
    "compiled",
    "fields_at",
    "follow_scales",
    "give_up",
    "initial_step",
    "interpolate",
    "read_rates",
    "record_step",
]

START = 1.2


def _emit_call(typing: Any, address: Any, w: Any, v: Any) -> Any:
    """Call ``void kernel(double *, double *)`` at an address; all three are integers."""
    from llvmlite import ir

    signature = types.void(types.intp, types.intp, types.intp)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word, word])
        function = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(function, [args[1], args[2]])
        return context.get_dummy_value()

    return signature, build


call_kernel: Any = intrinsic(_emit_call)


# numbers at an address. The loop sees nothing else: an array costs numba much more to compile
_POINTERS = {Reals: types.CPointer(types.float64), Wholes: types.CPointer(types.int64)}


def fields_at(kind: Any) -> Any:
    """A function of an address, where the addresses of all fields of a named tuple of arrays stand in order."""

    def emit(typing: Any, address: Any) -> Any:
        from llvmlite import ir

        pointers = [_POINTERS[hint] for hint in get_type_hints(kind).values()]
        made = types.NamedTuple(pointers, kind)

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            table = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            fields = [
                builder.inttoptr(
                    builder.load(builder.gep(table, [ir.IntType(64)(k)])), context.get_value_type(pointer)
                )
                for k, pointer in enumerate(pointers)
            ]
            return context.make_tuple(builder, signature.return_type, fields)

        return made(types.intp), build

    return intrinsic(emit)


# nothing here is called from Python: no doors for it, and no errors of its kind
_OPTIONS: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compiled = njit(**_OPTIONS)


@compiled
def interpolate(off, w, theta, into):  # type: ignore[no-untyped-def]
    """Dense output at t + theta h for all lanes."""
    size, y, y1, k = off[N_STATES] * off[N_LANES], off[S_Y], off[S_Y1], off[S_DENSE]
    step = off[N_PADDED]
    rest = 1.0 - theta
    for i in range(size):
        inner = w[k + i] + theta * (w[k + step + i] + theta * w[k + 2 * step + i])
        w[into + i] = rest * w[y + i] + theta * (w[y1 + i] + rest * inner)


@compiled
def read_rates(addr, off, w, base, flow):  # type: ignore[no-untyped-def]
    """Rates of change at the state in slot y."""
    call_kernel(addr[RHS], base, base)
    for i in range(off[N_STATES]):
        flow[i] = w[off[S_F] + i]


@compiled
def initial_step(addr, off, opt, w, base, span):  # type: ignore[no-untyped-def]
    """First step after a restart: rtol^(1/5) of the fastest time scale that is moving.

    The time scale is |y'| / |y''| in the largest scaled component, y'' by a small Euler step (as in Hairer,
    Norsett & Wanner I, section II.4). Their bound by |y| / |y'| is left out: a compartment that a dose
    begins to fill starts
    from zero, and would ask for a step a thousand times too small. A rejected first step costs less.
    """
    size, y, f, atol = off[N_STATES] * off[N_LANES], off[S_Y], off[S_F], off[S_ATOL]
    ys = off[S_YS]
    call_kernel(addr[RHS], base, base)
    d1 = 0.0
    for i in range(size):
        scale = w[atol + i] + opt[RTOL] * abs(w[y + i])
        d1 = max(d1, abs(w[f + i]) / scale)
    if not (d1 > 1e-10 and d1 < 1e300):
        return span
    h = min(1e-4 / d1, span)
    for i in range(size):
        w[ys + i] = w[y + i] + h * w[f + i]
        w[off[S_Y1] + i] = w[f + i]
    call_kernel(addr[RHS_AT_SAMPLE], base, base)
    d2 = 0.0
    for i in range(size):
        scale = w[atol + i] + opt[RTOL] * abs(w[y + i])
        d2 = max(d2, abs(w[f + i] - w[off[S_Y1] + i]) / scale)
    d2 /= h
    if not d2 < 1e300:
        return h
    # no shorter than what moves nothing by more than its tolerance: where a rate begins at 0 it is rounding, and no scale
    least = min(1.0 / d1, 1.0 / np.sqrt(max(d2, 1e-300)))
    return min(max(START * opt[RTOL] ** 0.2 * d1 / max(d2, 1e-300), least), span)


@compiled
def follow_scales(off, opt, w):  # type: ignore[no-untyped-def]
    """Let the absolute tolerance of each state follow the largest value it has had; until it has one, it stays."""
    share = opt[PEAK_SHARE] * opt[RTOL]
    W = off[N_LANES]
    for i in range(off[N_STATES] * W):
        if i // W == off[N_CLOCK] or i // W == off[N_MIDDLE] or i // W >= off[N_STATES] - off[N_MODES]:
            continue
        value = abs(w[off[S_Y] + i])
        if value > w[off[S_PEAK] + i]:
            w[off[S_PEAK] + i] = value
            if share > 0.0:
                w[off[S_ATOL] + i] = share * value


@compiled
def give_up(off, w, status, source, t, fail_time, culprit, code):  # type: ignore[no-untyped-def]
    """Mark lanes that cannot go on and let a healthy lane stand in for them; False if none is left."""
    W, size = off[N_LANES], off[N_STATES] * off[N_LANES]
    healthy = -1
    for lane in range(W):
        worst = 0.0
        where = -1
        for i in range(off[N_STATES]):
            at = i * W + lane
            k = w[off[S_F] + at]
            scale = w[off[S_ATOL] + at] + abs(w[off[S_Y] + at])
            e = abs(k) / scale
            if not e <= worst:
                worst = e if e == e else np.inf
                where = i
        bad = code == TOO_MANY_STEPS
        for i in range(8):
            if i % W == lane and not w[off[S_ERROR] + i] <= 1.0:
                bad = True
        if bad and source[lane] == lane:
            source[lane] = -1
            status[lane] = code
            fail_time[lane] = t
            culprit[lane] = where
        if source[lane] == lane:
            healthy = lane
    if healthy < 0:
        return False
    for lane in range(W):
        if source[lane] < 0 or source[source[lane]] < 0 or source[source[lane]] != source[lane]:
            source[lane] = healthy
            for i in range(off[N_STATES]):
                for slot in (S_Y, S_U, S_ATOL, S_PEAK):
                    w[off[slot] + i * W + lane] = w[off[slot] + i * W + healthy]
            for i in range(off[N_FIXED]):
                w[off[S_Q] + i * W + lane] = w[off[S_Q] + i * W + healthy]
    return size > 0


@compiled
def record_step(G, start, end, h):  # type: ignore[no-untyped-def]
    """Keep a step for later interpolation."""
    off, w, path, n = G.off, G.w, G.path, G.off[N_STATES]
    row = G.counts[RECORDED] * (3 + 5 * n)
    path[row], path[row + 1], path[row + 2] = start, end, h
    for i in range(n):
        path[row + 3 + i] = w[off[S_Y] + i]
        path[row + 3 + n + i] = w[off[S_Y1] + i]
        for m in range(3):
            path[row + 3 + (2 + m) * n + i] = w[off[S_DENSE] + m * off[N_PADDED] + i]
    G.counts[RECORDED] += 1
