"""Steps of the step loop: how kernels are called, what error is allowed, how long the first step is, dense output.

In the Python that numba compiles; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellsim.compiler.llvm import BLOCK
from cellsim.compiler.scales import GROWTH, LEAST, RESOLVED_FROM, RISEN
from cellsim.solver.loop_arrays import (
    IN_TIME,
    N_CLOCK,
    N_FIXED,
    N_LANES,
    N_MODES,
    N_OUTPUTS,
    N_PADDED,
    N_STATES,
    N_TURNING,
    NOT_FINITE,
    OBSERVE,
    RECORDED,
    RHS,
    RHS_AT_SAMPLE,
    RTOL,
    S_ATOL,
    S_CONTROL,
    S_DENSE,
    S_ERROR,
    S_F,
    S_G,
    S_K,
    S_LEAST,
    S_LOW,
    S_NEWS,
    S_PEAK,
    S_Q,
    S_SHARE,
    S_U,
    S_Y,
    S_Y1,
    S_YS,
    SCALES,
    SINCE,
    THETA,
    TOO_MANY_STEPS,
    TURNING,
    UNRESOLVED,
    WANT_RATES,
    WATCH,
    Reals,
    Wholes,
)

__all__ = [
    "BETWEEN",
    "all_finite",
    "beside",
    "call_kernel",
    "compiled",
    "fields_at",
    "follow_heights",
    "follow_scales",
    "give_up",
    "initial_step",
    "interpolate",
    "interpolate_turning",
    "read_heights",
    "read_rates",
    "record_instant",
    "record_step",
    "sample_inside",
    "sample_lane",
    "see_lanes",
    "see_until",
    "stays_above",
    "through_five",
]

START = 1.2
_NEXT = 2.3e-16  # of a number: what leads to one of its next two neighbours
_RISING = 3.0  # what `low` says of it until that is known
_ROUGH = 2e-4  # of its range in a piece of a step: what a polynomial must not leave of an output that may be greatest
BETWEEN = 0.6180339887498949  # of a piece: where a polynomial through five points is compared with what it stands for, at no regular distance from its points
_FINEST = 1e-5  # of a step: no piece is shorter


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
        if inner == 0.0 and w[y1 + i] == w[y + i]:  # what stands still is not rounded
            w[into + i] = w[y + i]


@compiled
def beside(t, sign):  # type: ignore[no-untyped-def]
    """A time just after another (just before it where `sign` is -1), with nothing that a number can tell in between."""
    return t + sign * max(abs(t) * _NEXT, 1e-300)


@compiled
def interpolate_turning(off, w, theta):  # type: ignore[no-untyped-def]
    """Dense output at t + theta h into slot ys, of the states alone that conditions read; the clock is told exactly."""
    W, step, rest = off[N_LANES], off[N_PADDED], 1.0 - theta
    for place in range(TURNING, TURNING + off[N_TURNING]):
        row = off[place] * W
        y, y1, k, into = off[S_Y] + row, off[S_Y1] + row, off[S_DENSE] + row, off[S_YS] + row
        for lane in range(W):
            inner = w[k + lane] + theta * (w[k + step + lane] + theta * w[k + 2 * step + lane])
            w[into + lane] = rest * w[y + lane] + theta * (w[y1 + lane] + rest * inner)
            if inner == 0.0 and w[y1 + lane] == w[y + lane]:
                w[into + lane] = w[y + lane]
    if off[N_CLOCK] >= 0:
        for at in range(off[N_CLOCK] * W, (off[N_CLOCK] + 1) * W):
            w[off[S_YS] + at] = w[off[S_Y] + at] + theta * w[off[S_CONTROL]]


@compiled
def sample_lane(G, row, lane):  # type: ignore[no-untyped-def]
    """The state in slot y of one lane into a row of samples; nan of a lane that has been given up."""
    off, w, W, alone = G.off, G.w, G.off[N_LANES], G.source[lane] == lane
    size = off[N_STATES] * W
    for i in range(lane, size, W):
        G.samples[row * size + i] = w[off[S_Y] + i] if alone else np.nan
        if G.opt[WANT_RATES] != 0.0:
            G.inputs[row * size + i] = w[off[S_U] + i]


@compiled
def sample_inside(G, row, time, theta):  # type: ignore[no-untyped-def]
    """Dense output of all lanes at t + theta h into a row of samples; nan of those that have been given up."""
    off, w, W, samples = G.off, G.w, G.off[N_LANES], G.samples
    size, y, y1, k, step = off[N_STATES] * W, off[S_Y], off[S_Y1], off[S_DENSE], off[N_PADDED]
    at, rest = row * size, 1.0 - theta
    for i in range(size):
        inner = w[k + i] + theta * (w[k + step + i] + theta * w[k + 2 * step + i])
        samples[at + i] = rest * w[y + i] + theta * (w[y1 + i] + rest * inner)
    if G.opt[WANT_RATES] != 0.0:
        for i in range(size):
            G.inputs[at + i] = w[off[S_U] + i]
    for lane in range(W):
        if off[N_CLOCK] >= 0:
            samples[at + off[N_CLOCK] * W + lane] = time
        if G.source[lane] != lane:
            for i in range(lane, size, W):
                samples[at + i] = np.nan


@compiled
def see_lanes(G, base, kernel, theta, row):  # type: ignore[no-untyped-def]
    """Outputs of all lanes into a row of samples, by a kernel that reads slot ys or the step at t + theta h; nan of those given up."""
    off, w, W, samples = G.off, G.w, G.off[N_LANES], G.samples
    size, g = off[N_OUTPUTS] * W, off[S_G]
    w[off[S_CONTROL] + THETA] = theta
    call_kernel(G.addr[kernel], base, base)
    at = row * size
    for i in range(size):
        samples[at + i] = w[g + i]
    for lane in range(W):
        if G.source[lane] != lane:
            for i in range(lane, size, W):
                samples[at + i] = np.nan


@compiled
def see_until(G, base, time, n_times):  # type: ignore[no-untyped-def]
    """Outputs at the state in slot y, at every sample up to now, the same in all lanes."""
    off, w, ptr, W = G.off, G.w, G.ptr, G.off[N_LANES]
    while ptr[0] < n_times and G.times[ptr[0] * W] <= time:
        for i in range(off[N_STATES] * W):
            w[off[S_YS] + i] = w[off[S_Y] + i]
        see_lanes(G, base, OBSERVE, 0.0, ptr[0])
        for lane in range(W):
            ptr[lane] += 1


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
def follow_scales(G, base, source):  # type: ignore[no-untyped-def]
    """Let the absolute tolerance of each state follow the largest value it has had; until it has one, it stays.

    `source` is the slot of the states: y after a jump, y1 after a step from y. Returns whether a state that is so far below
    its largest value that its error counts may have grown in the step. The step itself need not show that: one too
    long to follow a growth damps it. Its first stage does: g z/(1 - g z) of the state, with h times its own rate z and a
    constant g, lies between -1 and 0 where the state decays, and nowhere else.

    After a step a kernel (`cellsim.compiler.scales`) has looked at every state already, and says in which blocks one of them fell
    so low, came back from there, or may rise.
    """
    off, w, risen = G.off, G.w, False
    jumped = source == off[S_Y]
    if not jumped:
        call_kernel(G.addr[SCALES], base, base)
    # states of the model come first; the clock, the middle and modes have no error
    size = (off[N_CLOCK] if off[N_CLOCK] >= 0 else off[N_STATES]) * off[N_LANES]
    Y, K, atol, peak = off[S_Y], off[S_K], off[S_ATOL], off[S_PEAK]
    low, least = off[S_LOW], off[S_LEAST]
    for block in range((size + BLOCK - 1) // BLOCK):
        if not jumped and w[off[S_NEWS] + block] == 0.0:
            continue
        for i in range(block * BLOCK, min((block + 1) * BLOCK, size)):
            value, share = abs(w[source + i]), w[off[S_SHARE] + i]
            if jumped and value > w[peak + i]:
                w[peak + i] = value
                if share > 0.0:
                    w[atol + i] = max(share * value, LEAST)
            if value < RESOLVED_FROM * share * w[peak + i]:
                if w[low + i] == 0.0 or jumped:
                    w[low + i], w[least + i] = 1.0, value
                    continue
                y, first = w[Y + i], w[K + i]
                if value > RISEN * w[least + i] or first * y > GROWTH * y * y or abs(first) > 1.001 * abs(y):
                    w[low + i], risen = _RISING, True
            elif w[low + i] != 0.0:
                w[low + i] = 0.0 if jumped else _RISING
                risen = risen or not jumped
    return risen


@compiled
def leave_unresolved(G, base, t):  # type: ignore[no-untyped-def]
    """Give up lanes in which a state that its absolute tolerance did not resolve grows by itself; False if none is left.

    Of what has fallen so low the order of size is known at best. An inflow from elsewhere makes it forget this; a
    growth in proportion to itself, and to others as small, keeps the error. Doubling all these tells the two apart.
    """
    addr, off, w, flow, low, W = G.addr, G.off, G.w, G.flow, G.off[S_LOW], G.off[N_LANES]
    n = off[N_STATES] - off[N_MODES]
    size, Y, f, ys = off[N_STATES] * W, off[S_Y], off[S_F], off[S_YS]
    for i in range(size):
        w[ys + i] = w[Y + i]
    call_kernel(addr[RHS_AT_SAMPLE], base, base)
    for i in range(size):
        flow[i], flow[size + i] = w[f + i], 1.0 if w[low + i] != 0.0 else 0.0
    left = True
    while left:
        for i in range(size):
            w[ys + i] = w[Y + i] * (1.0 + flow[size + i])
        call_kernel(addr[RHS_AT_SAMPLE], base, base)
        dropped, asked = np.int64(0), np.int64(0)
        for i in range(n * W):  # no branch in here
            own = w[f + i] - flow[i] if w[Y + i] > 0.0 else flow[i] - w[f + i]
            before = flow[size + i]
            after = before if own > 0.5 * abs(flow[i]) else 0.0
            flow[size + i] = after
            dropped |= np.int64(after != before)
            asked |= np.int64(after != 0.0) & np.int64(w[low + i] == _RISING)
        # none comes back: where no state that rises is left there is no more to ask
        left = dropped != 0 and asked != 0
    some = False
    for i in range(n * W):
        if w[low + i] == _RISING:
            value, lane = abs(w[Y + i]), i % W
            w[low + i] = 1.0 if value < RESOLVED_FROM * w[off[S_SHARE] + i] * w[off[S_PEAK] + i] else 0.0
            w[off[S_LEAST] + i] = value
            if flow[size + i] != 0.0 and G.source[lane] == lane:
                G.status[lane], G.fail_time[lane], G.culprit[lane], G.source[lane] = UNRESOLVED, t, i // W, -1
                some = True
                for j in range(lane, n * W, W):
                    if flow[size + j] != 0.0:
                        G.grown[j] = 1
    return not some or stand_in(off, w, G.source)


@compiled
def give_up(off, w, status, source, t, fail_time, culprit, code):  # type: ignore[no-untyped-def]
    """Mark lanes that cannot go on and let a healthy lane stand in for them; False if none is left."""
    W = off[N_LANES]
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
    return stand_in(off, w, source)


@compiled
def stand_in(off, w, source):  # type: ignore[no-untyped-def]
    """Let a healthy lane stand in for those that have been given up; False if none is left."""
    W, healthy = off[N_LANES], -1
    for lane in range(W):
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
    return True


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


@compiled
def record_instant(G, t):  # type: ignore[no-untyped-def]
    """Keep the state in slot y as a step without length."""
    off, w = G.off, G.w
    for i in range(off[N_STATES] * off[N_LANES]):
        w[off[S_Y1] + i] = w[off[S_Y] + i]
        for m in range(3):
            w[off[S_DENSE] + m * off[N_PADDED] + i] = 0.0
    record_step(G, t, t, 1.0)


@compiled
def all_finite(G, t):  # type: ignore[no-untyped-def]
    """Give up lanes in which the state in slot y is no finite number; False if none is left."""
    off, w, source, W = G.off, G.w, G.source, G.off[N_LANES]
    size, Y = off[N_STATES] * W, off[S_Y]
    for i in range(size):
        if not abs(w[Y + i]) < 1e300 and source[i % W] == i % W:
            for e in range(8):
                w[off[S_ERROR] + e] = 0.0
            for j in range(size):
                w[off[S_F] + j] = np.nan if not abs(w[Y + j]) < 1e300 else 0.0
                if not abs(w[Y + j]) < 1e300:
                    w[off[S_ERROR] + j % W] = np.nan
            if not give_up(off, w, G.status, source, t, G.fail_time, G.culprit, np.int64(NOT_FINITE)):
                return False
    return True


@compiled
def read_heights(G, base, kernel, theta, time, row, n_watched):  # type: ignore[no-untyped-def]
    """Outputs of which the greatest value is wanted, as `see_lanes` reads them, into a row of `heights`."""
    off, w, W = G.off, G.w, G.off[N_LANES]
    w[off[S_CONTROL] + THETA] = theta
    call_kernel(G.addr[kernel], base, base)
    for k in range(n_watched):
        for lane in range(W):
            here = k * W + lane
            value = w[off[S_G] + G.watched[k] * W + lane]
            G.heights[row * n_watched * W + here] = value
            if G.source[lane] == lane and (value > G.greatest[here] or value != value):
                G.greatest[here], G.greatest[n_watched * W + here] = value, time


@compiled
def through_five(a, count, i, x):  # type: ignore[no-untyped-def]
    """The polynomial through an output at five points, at x between 0 and 1 of their piece."""
    y0, y1, y2, y3, y4 = a[i], a[count + i], a[2 * count + i], a[3 * count + i], a[4 * count + i]
    d1, d2 = y1 - y0, y2 - 2.0 * y1 + y0
    d3, d4 = y3 - 3.0 * (y2 - y1) - y0, y4 - 4.0 * (y3 + y1) + 6.0 * y2 + y0
    x *= 4.0
    return y0 + x * (d1 + 0.5 * (x - 1.0) * (d2 + (x - 2.0) / 3.0 * (d3 + 0.25 * (x - 3.0) * d4)))


@compiled
def stays_above(a, count, i, sign, level):  # type: ignore[no-untyped-def]
    """Whether the polynomial through five points, times a sign, is above a level all along their piece.

    Its coefficients in Bernstein's basis bound it (Farouki, 2012, Comput. Aided Geom. Des. 29, 379): False where they cannot tell.
    """
    y0, y1, y2 = sign * a[i], sign * a[count + i], sign * a[2 * count + i]
    y3, y4 = sign * a[3 * count + i], sign * a[4 * count + i]
    b1 = (-13.0 * y0 + 48.0 * y1 - 36.0 * y2 + 16.0 * y3 - 3.0 * y4) / 12.0
    b2 = (13.0 * (y0 + y4) - 64.0 * (y1 + y3) + 120.0 * y2) / 18.0
    b3 = (-13.0 * y4 + 48.0 * y3 - 36.0 * y2 + 16.0 * y1 - 3.0 * y0) / 12.0
    return min(y0, y4, b1, b2, b3) > level


@compiled
def _top_inside(a, count, i, greatest):  # type: ignore[no-untyped-def]
    """Where between 0 and 1 the polynomial through five points is above the greatest value so far, or -1."""
    best, top = greatest + 1e-12 * abs(greatest), -1.0
    for look in range(1, 80):
        value = through_five(a, count, i, look / 80.0)
        if value > best:
            best, top = value, look / 80.0
    return top


@compiled
def follow_heights(G, base, t, h, last, n_watched):  # type: ignore[no-untyped-def]
    """Greatest values of outputs from t to t + last h, read on the dense output.

    The step is cut into pieces in which a polynomial through five points follows each output that may be greatest
    there; where its top lies inside, the output itself is read near it.
    """
    off, a = G.off, G.heights
    count = n_watched * off[N_LANES]
    left = max((G.opt[SINCE] - t) / h, 0.0)
    # what stands still with the states may still move with time
    wide, known, cut = last - left, False, G.opt[IN_TIME] != 0.0
    while left < last and wide > 0.0:
        if not known:
            read_heights(G, base, WATCH, left, t + left * h, np.int64(0), n_watched)
        for row in (4, 2):
            # what is read at the end of a step is the value before anything happens there
            early = 4e-16 * abs(t + last * h) if row == 4 else 0.0
            place = left + 0.25 * row * wide
            read_heights(G, base, WATCH, place, t + place * h - early, np.int64(row), n_watched)
        some = cut
        for i in range(count):
            low, high = (
                min(a[i], a[2 * count + i], a[4 * count + i]),
                max(a[i], a[2 * count + i], a[4 * count + i]),
            )
            some = some or high + (high - low) > G.greatest[i]
        rough = False
        if some:
            for row in (1, 3, 5):
                place = left + (0.25 * row if row < 5 else BETWEEN) * wide
                read_heights(G, base, WATCH, place, t + place * h, np.int64(row), n_watched)
            for i in range(count):
                low, high = a[i], a[i]
                for row in range(1, 6):
                    low, high = min(low, a[row * count + i]), max(high, a[row * count + i])
                rest = abs(through_five(a, count, i, BETWEEN) - a[5 * count + i])
                rough = rough or (rest > _ROUGH * (high - low) and high + (high - low) > G.greatest[i])
        if rough and wide > _FINEST:
            wide *= 0.5
            known, cut = True, True
            continue
        for i in range(count if some else 0):
            top = _top_inside(a, count, i, G.greatest[i])
            if top >= 0.0:
                near = 0.02
                for _ in range(2):  # a parabola through the output itself
                    top = min(max(top, near), 1.0 - near)
                    for row in range(1, 4):
                        place = left + (top + (row - 2) * near) * wide
                        read_heights(G, base, WATCH, place, t + place * h, np.int64(4 + row), n_watched)
                    before, here, after = a[5 * count + i], a[6 * count + i], a[7 * count + i]
                    bend = before - 2.0 * here + after
                    if not bend < 0.0:
                        break
                    top += min(max(0.5 * (before - after) / bend, -1.0), 1.0) * near
                    near *= 0.1
        for i in range(count):
            a[i] = a[4 * count + i]
        known = True
        left += wide
        wide = min(2.0 * wide, last - left)
