"""The step loop, compiled once per installation: it knows slots and addresses, never a model.

Everything a kernel reads or writes lies in one workspace ``w`` (see `cellsim.kernels`); this loop sees it
as a flat array in which a value of W lanes takes W neighbouring doubles. The whole loop stands in one file
because numba decides by a file's date whether the compiled functions it keeps for that file are still good.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellsim.directions import LANES
from cellsim.timetable import OP_EVENT, OP_JUMP

__all__ = ["Tangents", "observe_group", "observe_states", "run_group"]

START = 1.2
OK, STEP_UNDERFLOW, TOO_MANY_STEPS, NOT_FINITE = 0, 1, 2, 3


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


_call: Any = intrinsic(_emit_call)


# what `addr`, `off` and `opt` hold, in order
KERNELS = (
    "prepare",
    "initial",
    "rhs",
    "rhs_at_sample",
    "jac",
    "lu",
    "step",
    "dense",
    "observe",
    "observe_rate",
    "conditions",
)
SLOTS = (
    "control",
    "error",
    "p",
    "q",
    "y",
    "y1",
    "u",
    "atol",
    "f",
    "ys",
    "dense",
    "g",
    "gdot",
    "k",
    "stages",
    "roots",
)
PREPARE, INITIAL, RHS, RHS_AT_SAMPLE, JAC, LU, STEP, DENSE, OBSERVE, OBSERVE_RATE, CONDITIONS = range(11)
(
    S_CONTROL,
    S_ERROR,
    S_P,
    S_Q,
    S_Y,
    S_Y1,
    S_U,
    S_ATOL,
    S_F,
    S_YS,
    S_DENSE,
    S_G,
    S_GDOT,
    S_K,
    S_STAGES,
    S_ROOTS,
) = range(16)
N_STATES, N_LANES, N_PADDED, N_OUTPUTS, N_ROOTS, N_CLOCK, N_FIXED = range(16, 23)
RTOL, H_MAX, MAX_STEPS, WANT_RATES, PEAK_SHARE = range(5)
ACCEPTED, REJECTED, FACTORED, RECORDED = range(4)


@njit(cache=True, nogil=True)
def _initial_step(addr, off, opt, w, span):  # type: ignore[no-untyped-def]
    """First step after a restart: rtol^(1/5) of the fastest time scale that is moving.

    The time scale is |y'| / |y''| in the largest scaled component, y'' by a small Euler step (as in Hairer,
    Norsett & Wanner I, section II.4). Their bound by |y| / |y'| is left out: a compartment that a dose
    begins to fill starts
    from zero, and would ask for a step a thousand times too small. A rejected first step costs less.
    """
    size, y, f, atol = off[N_STATES] * off[N_LANES], off[S_Y], off[S_F], off[S_ATOL]
    ys, base = off[S_YS], w.ctypes.data
    _call(addr[RHS], base, base)
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
    _call(addr[RHS_AT_SAMPLE], base, base)
    d2 = 0.0
    for i in range(size):
        scale = w[atol + i] + opt[RTOL] * abs(w[y + i])
        d2 = max(d2, abs(w[f + i] - w[off[S_Y1] + i]) / scale)
    d2 /= h
    if not d2 < 1e300:
        return h
    return min(START * opt[RTOL] ** 0.2 * d1 / max(d2, 1e-300), span)


@njit(cache=True, nogil=True)
def _interpolate(off, w, theta, into):  # type: ignore[no-untyped-def]
    """Dense output at t + theta h for all lanes."""
    size, y, y1, k = off[N_STATES] * off[N_LANES], off[S_Y], off[S_Y1], off[S_DENSE]
    step = off[N_PADDED]
    rest = 1.0 - theta
    for i in range(size):
        inner = w[k + i] + theta * (w[k + step + i] + theta * w[k + 2 * step + i])
        w[into + i] = rest * w[y + i] + theta * (w[y1 + i] + rest * inner)


@njit(cache=True, nogil=True)
def _read_conditions(addr, off, w, source, now):  # type: ignore[no-untyped-def]
    """Whether each state-triggered event's condition holds (one lane only)."""
    for i in range(off[N_STATES]):
        w[off[S_YS] + i] = w[source + i]
    _call(addr[CONDITIONS], w.ctypes.data, w.ctypes.data)
    for e in range(off[N_ROOTS]):
        now[e] = w[off[S_ROOTS] + e] > 0.5


@njit(cache=True, nogil=True)
def _apply_event(addr, off, w, event, targets, target_ptr, mask):  # type: ignore[no-untyped-def]
    """New values of the event's targets, in the lanes where the mask is set."""
    W = off[N_LANES]
    _call(addr[len(KERNELS) + event], w.ctypes.data, w.ctypes.data)
    for j in range(target_ptr[event], target_ptr[event + 1]):
        i = targets[j]
        for lane in range(W):
            if mask[lane if mask.size > 1 else 0] != 0.0:
                w[off[S_Y] + i * W + lane] = w[off[S_YS] + i * W + lane]


@njit(cache=True, nogil=True)
def _give_up(off, w, status, source, t, fail_time, culprit, code):  # type: ignore[no-untyped-def]
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
                for slot in (S_Y, S_U, S_ATOL):
                    w[off[slot] + i * W + lane] = w[off[slot] + i * W + healthy]
            for i in range(off[N_FIXED]):
                w[off[S_Q] + i * W + lane] = w[off[S_Q] + i * W + healthy]
    return size > 0


@njit(cache=True, nogil=True)
def _record(off, w, path, counts, start, end, h):  # type: ignore[no-untyped-def]
    """Keep a step for later interpolation."""
    n, row = off[N_STATES], counts[RECORDED]
    if row == path.shape[0]:
        longer = np.empty((2 * row, path.shape[1]))
        for i in range(row):
            for j in range(path.shape[1]):
                longer[i, j] = path[i, j]
        path = longer
    path[row, 0], path[row, 1], path[row, 2] = start, end, h
    for i in range(n):
        path[row, 3 + i] = w[off[S_Y] + i]
        path[row, 3 + n + i] = w[off[S_Y1] + i]
        for m in range(3):
            path[row, 3 + (2 + m) * n + i] = w[off[S_DENSE] + m * off[N_PADDED] + i]
    counts[RECORDED] += 1
    return path


class Tangents(NamedTuple):
    """Everything the loop needs to carry sensitivities along; arrays are empty without them."""

    addresses: Any  # prepare, step, dense, observe_y, observe_p, initial, times, then events
    v: Any  # the tangents' workspace
    slots: Any  # where gy, gp, y0p, event, times begin
    groups: Any  # (n_groups, 6): where s, s1, sample, u, dense begin, and how many doubles a vector has
    places: Any  # (n_groups, n_states): where a state is in those vectors, or -1
    pairs_y: Any  # (k, 3): entry of gy, place in v of the sampled tangent, place in the result
    pairs_p: Any  # (k, 2): entry of gp, place in the result
    initials: Any  # (k, 2): entry of y0p, place in v
    seed_ptr: Any  # (n_breaks + 1,): seeds of each break
    seed_code: Any  # what a seed is
    seed_at: Any  # place in v, or a direction
    seed_value: Any
    row_ptr: Any  # (n_directions + 1,): rows each direction reaches
    rows: Any  # (k, 2): state, place in v
    event_ptr: Any  # (n_events + 1,): entries that are derivatives by states
    event_y: Any  # (k, 3): entry, target, state
    event_p_ptr: Any  # (n_events + 1,)
    event_p: Any  # (k, 2): entry, place in v
    atoms: Any  # (k, 3): located event, where its gap is, where its derivatives by states begin in `atom_y`
    atom_y: Any  # (k, 2): entry, state
    tau_ptr: Any  # (n_atoms * n_directions + 1,)
    tau: Any  # (k, 2): entry, place in v (or -1 for a slope by the direction itself)
    result: Any  # (n_times, n_outputs * n_directions)


T_PREPARE, T_STEP, T_DENSE, T_OBSERVE_Y, T_OBSERVE_P, T_INITIAL, T_TIMES, T_ATOMS, T_EVENTS = range(9)
SEED_STATE, SEED_INPUT, SEED_TIME, SEED_EVENT_TIME = range(4)


@njit(cache=True, nogil=True)
def _begin_tangents(T, w, given_start):  # type: ignore[no-untyped-def]
    base, v = w.ctypes.data, T.v
    _call(T.addresses[T_PREPARE], base, v.ctypes.data)
    if not given_start and T.initials.shape[0]:
        _call(T.addresses[T_INITIAL], base, v.ctypes.data)
        for i in range(T.initials.shape[0]):
            v[T.initials[i, 1]] += v[T.slots[2] + T.initials[i, 0]]
    _call(T.addresses[T_TIMES], base, v.ctypes.data)


@njit(cache=True, nogil=True)
def _sample_tangents(T, off, w, sample):  # type: ignore[no-untyped-def]
    """Sensitivities of the outputs at the state in slot ys, from the tangents in slot sample."""
    base, v = w.ctypes.data, T.v
    _call(T.addresses[T_OBSERVE_Y], base, v.ctypes.data)
    _call(T.addresses[T_OBSERVE_P], base, v.ctypes.data)
    for i in range(T.result.shape[1]):
        T.result[sample, i] = 0.0
    for i in range(T.pairs_y.shape[0]):
        T.result[sample, T.pairs_y[i, 2]] += v[T.slots[0] + T.pairs_y[i, 0]] * v[T.pairs_y[i, 1]]
    for i in range(T.pairs_p.shape[0]):
        T.result[sample, T.pairs_p[i, 1]] += v[T.slots[1] + T.pairs_p[i, 0]]


@njit(cache=True, nogil=True)
def _interpolate_tangents(T, theta):  # type: ignore[no-untyped-def]
    v, rest = T.v, 1.0 - theta
    for g in range(T.groups.shape[0]):
        s, s1, sample, dense, size = (
            T.groups[g, 0],
            T.groups[g, 1],
            T.groups[g, 2],
            T.groups[g, 4],
            T.groups[g, 5],
        )
        for i in range(size):
            inner = v[dense + i] + theta * (v[dense + size + i] + theta * v[dense + 2 * size + i])
            v[sample + i] = rest * v[s + i] + theta * (v[s1 + i] + rest * inner)


@njit(cache=True, nogil=True)
def _copy_tangents(T, source, target):  # type: ignore[no-untyped-def]
    v = T.v
    for g in range(T.groups.shape[0]):
        for i in range(T.groups[g, 5]):
            v[T.groups[g, target] + i] = v[T.groups[g, source] + i]


@njit(cache=True, nogil=True)
def _event_tangents(T, w, event):  # type: ignore[no-untyped-def]
    """Tangents of the states an event is about to set; the state before it is still in slot y."""
    v = T.v
    _call(T.addresses[T_EVENTS + event], w.ctypes.data, v.ctypes.data)
    _copy_tangents(T, np.int64(0), np.int64(2))
    for g in range(T.groups.shape[0]):
        s, sample = T.groups[g, 0], T.groups[g, 2]
        for i in range(T.event_ptr[event], T.event_ptr[event + 1]):
            target = T.places[g, T.event_y[i, 1]]
            if target >= 0:
                for lane in range(LANES):
                    v[s + target + lane] = 0.0
        for i in range(T.event_ptr[event], T.event_ptr[event + 1]):
            entry, cause = T.event_y[i, 0], T.event_y[i, 2]
            target = T.places[g, T.event_y[i, 1]]
            if entry >= 0 and target >= 0 and T.places[g, cause] >= 0:
                for lane in range(LANES):
                    v[s + target + lane] += v[T.slots[3] + entry] * v[sample + T.places[g, cause] + lane]
    for i in range(T.event_p_ptr[event], T.event_p_ptr[event + 1]):
        v[T.event_p[i, 1]] += v[T.slots[3] + T.event_p[i, 0]]


@njit(cache=True, nogil=True)
def _shift_tangents(T, b, flow, sign):  # type: ignore[no-untyped-def]
    """Move tangents along the flow by sign times the derivative of the instant of break b."""
    v = T.v
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        code = T.seed_code[i]
        if code in (SEED_TIME, SEED_EVENT_TIME):
            d = T.seed_at[i]
            rate = T.seed_value[i]
            if code == SEED_EVENT_TIME:
                rate = v[T.slots[4] + np.int64(rate)]
            for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
                v[T.rows[j, 1]] += sign * rate * flow[T.rows[j, 0]]


@njit(cache=True, nogil=True)
def _seed_tangents(T, b):  # type: ignore[no-untyped-def]
    """Doses along which we differentiate; whether the instant of this break moves with some direction."""
    moves = False
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        if T.seed_code[i] == SEED_STATE or T.seed_code[i] == SEED_INPUT:
            T.v[T.seed_at[i]] += T.seed_value[i]
        else:
            moves = True
    return moves


@njit(cache=True, nogil=True)
def _instant_moves(T, root, flow, moved):  # type: ignore[no-untyped-def]
    """How the instant of a located event moves with each direction: -(gap along it) / (gap in time)."""
    v, slot = T.v, T.slots[5]
    n_directions = moved.size
    best, nearest, speed = -1, np.inf, 0.0
    for a in range(T.atoms.shape[0] - 1):
        if T.atoms[a, 0] == root:
            rate = 0.0
            for i in range(T.atoms[a, 2], T.atoms[a + 1, 2]):
                rate += v[slot + T.atom_y[i, 0]] * flow[T.atom_y[i, 1]]
            if rate != 0.0 and abs(v[slot + T.atoms[a, 1]] / rate) < nearest:
                best, nearest, speed = a, abs(v[slot + T.atoms[a, 1]] / rate), rate
    for d in range(n_directions):
        moved[d] = 0.0
        if best >= 0:
            for i in range(T.tau_ptr[best * n_directions + d], T.tau_ptr[best * n_directions + d + 1]):
                along = v[T.tau[i, 1]] if T.tau[i, 1] >= 0 else 1.0
                moved[d] -= v[slot + T.tau[i, 0]] * along / speed


@njit(cache=True, nogil=True)
def _shift_all(T, moved, flow, sign):  # type: ignore[no-untyped-def]
    for d in range(moved.size):
        for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
            T.v[T.rows[j, 1]] += sign * moved[d] * flow[T.rows[j, 0]]


@njit(cache=True, nogil=True)
def _settle(addr, off, w, root_event, targets, target_ptr, held, now, T, timed):  # type: ignore[no-untyped-def]
    """Fire state-triggered events whose condition has just become true, and those that these set off.

    `timed` says that the instant was located on the way (and moves with parameters), not set by a dose.
    """
    one = np.ones(1)
    n, base = off[N_STATES], w.ctypes.data
    tangents = T.addresses.size > 0
    flow = np.zeros(n if tangents else 0)
    moved = np.zeros(T.row_ptr.size - 1 if tangents else 0)
    for _ in range(16):
        _read_conditions(addr, off, w, off[S_Y], now)
        fired = -1
        for e in range(off[N_ROOTS]):
            if now[e] and not held[e] and fired < 0:
                fired = e
            elif not now[e]:
                held[e] = False
        if fired < 0:
            break
        held[fired] = True
        if tangents:
            if timed:
                _call(addr[RHS], base, base)
                for i in range(n):
                    flow[i] = w[off[S_F] + i]
                _call(T.addresses[T_ATOMS], base, T.v.ctypes.data)
                _instant_moves(T, fired, flow, moved)
                _shift_all(T, moved, flow, np.float64(1.0))
            _event_tangents(T, w, root_event[fired])
        _apply_event(addr, off, w, root_event[fired], targets, target_ptr, one)
        if tangents and timed:
            _call(addr[RHS], base, base)
            for i in range(n):
                flow[i] = w[off[S_F] + i]
            _shift_all(T, moved, flow, np.float64(-1.0))
        timed = False  # what follows happens at the same instant


@njit(cache=True, nogil=True)
def run_group(  # type: ignore[no-untyped-def]
    addr,
    off,
    opt,
    w,
    given_start,
    first,
    stop,
    breaks,
    op_ptr,
    op_kind,
    op_index,
    op_amount,
    root_event,
    held,
    targets,
    target_ptr,
    times,
    samples,
    inputs,
    status,
    fail_time,
    culprit,
    counts,
    source,
    ptr,
    path,
    T,
):
    """Carry W simulations through breaks ``first:stop``, up to the instant of break `stop` or to the end.

    Everything that moves lies in the arguments, so a copy of them taken at `stop` can be carried on along
    another timetable.

    Parameters
    ----------
    addr, off, opt : arrays
        Addresses of kernels, offsets of slots and sizes, options, in the order of the constants above.
    w : (layout size,) array
        Workspace; slots p, atol (and y if `given_start`) are filled.
    given_start : bool
    first, stop : int
        Zero to begin; otherwise what was `stop` before.
    breaks : (n_breaks,) array
        Times at which something changes; first and last are start and end.
    op_ptr, op_kind, op_index, op_amount
        What changes: operations ``op_ptr[b]:op_ptr[b+1]`` of break b; index is a state, or an event; amount
        (n_ops, W or 1) is a jump, a change of rate, or whether the event fires.
    root_event, held : (n_roots,) arrays
        State-triggered events, and whether their condition counts as true before the start.
    times, samples, inputs
        (n_times, W) ascending per lane; (n_times, n W) receives states; (n_times, n W) receives zero-order
        inputs.
    status, fail_time, culprit : (W,) arrays
        Outcome per lane.
    counts : (4,) array
        Steps accepted, steps rejected, factorisations, rows of `path`.
    source, ptr : (W,) arrays
        The lane that each lane follows (its own number to begin with), and its next sample.
    path : (0, 0) array, or (some, 3 + 5 n) array
        Receives every step (one lane only): start, end, step length, y, y1, K_1, K_2, K_3; grown as needed.

    T : Tangents
        Sensitivities to carry along (one lane only).

    Returns
    -------
    array
        `path`, its first ``counts[3]`` rows filled.
    """
    W, n, base = off[N_LANES], off[N_STATES], w.ctypes.data
    size, Y, Y1 = n * W, off[S_Y], off[S_Y1]
    control, roots = off[S_CONTROL], off[N_ROOTS]
    now = np.zeros(max(roots, 1), np.bool_)
    now2 = np.zeros(max(roots, 1), np.bool_)
    tangents = T.addresses.size > 0
    if first == 0:
        _call(addr[PREPARE], base, base)
        if not given_start:
            _call(addr[INITIAL], base, base)
        if tangents:
            _begin_tangents(T, w, given_start)
    w[control + 1] = opt[RTOL]
    flow = np.zeros(n if tangents else 0)
    n_times = times.shape[0]
    steps = counts[FACTORED]
    for b in range(first, stop):
        t = breaks[b]
        if off[N_CLOCK] >= 0:  # the clock never drifts from the time
            for lane in range(W):
                w[Y + off[N_CLOCK] * W + lane] = t
        moves = _seed_tangents(T, b) if tangents else False
        if moves:
            _call(addr[RHS], base, base)
            for i in range(n):
                flow[i] = w[off[S_F] + i]
            _shift_tangents(T, b, flow, 1.0)
        for o in range(op_ptr[b], op_ptr[b + 1]):
            i = op_index[o]
            if op_kind[o] == OP_EVENT:
                if tangents:
                    _event_tangents(T, w, i)
                _apply_event(addr, off, w, i, targets, target_ptr, op_amount[o])
            else:
                slot = Y if op_kind[o] == OP_JUMP else off[S_U]
                for lane in range(W):
                    w[slot + i * W + lane] += op_amount[o, source[lane] if op_amount.shape[1] > 1 else 0]
        if roots:
            _settle(addr, off, w, root_event, targets, target_ptr, held, now, T, False)
        if moves:
            _call(addr[RHS], base, base)
            for i in range(n):
                flow[i] = w[off[S_F] + i]
            _shift_tangents(T, b, flow, -1.0)
        for i in range(size):
            if not abs(w[Y + i]) < 1e300 and source[i % W] == i % W:
                for e in range(8):
                    w[off[S_ERROR] + e] = 0.0
                for j in range(size):
                    w[off[S_F] + j] = np.nan if not abs(w[Y + j]) < 1e300 else 0.0
                    if not abs(w[Y + j]) < 1e300:
                        w[off[S_ERROR] + j % W] = np.nan
                if not _give_up(off, w, status, source, t, fail_time, culprit, np.int64(NOT_FINITE)):
                    return path
        for lane in range(W):
            while ptr[lane] < n_times and times[ptr[lane], lane] <= t:
                if source[lane] == lane:
                    for i in range(n):
                        samples[ptr[lane], i * W + lane] = w[Y + i * W + lane]
                        if opt[WANT_RATES] != 0.0:
                            inputs[ptr[lane], i * W + lane] = w[off[S_U] + i * W + lane]
                    if tangents:
                        for i in range(n):
                            w[off[S_YS] + i] = w[Y + i]
                        _copy_tangents(T, np.int64(0), np.int64(2))
                        _sample_tangents(T, off, w, ptr[lane])
                ptr[lane] += 1
        if b == breaks.size - 1:
            if (
                path.shape[1] and op_ptr[b + 1] > op_ptr[b]
            ):  # what happens at the end is a step without length
                for i in range(size):
                    w[Y1 + i] = w[Y + i]
                    for m in range(3):
                        w[off[S_DENSE] + m * off[N_PADDED] + i] = 0.0
                path = _record(off, w, path, counts, t, t, np.float64(1.0))
            return path
        end = breaks[b + 1]
        share = opt[PEAK_SHARE] * opt[RTOL]
        if share > 0.0:
            for i in range(size):
                w[off[S_ATOL] + i] = max(w[off[S_ATOL] + i], share * abs(w[Y + i]))
        h = min(_initial_step(addr, off, opt, w, end - t), opt[H_MAX])
        fresh, grown, old_error = True, True, 1e-4
        while t < end:
            left = end - t
            last = h * 1.000001 >= left
            if last:
                h = left
            elif 2.0 * h > left:
                h = 0.5 * left
            if steps >= opt[MAX_STEPS]:
                _call(addr[RHS], base, base)
                _give_up(off, w, status, source, t, fail_time, culprit, np.int64(TOO_MANY_STEPS))
                return path
            if fresh:
                _call(addr[JAC], base, base)
                fresh = False
            w[control] = h
            _call(addr[LU], base, base)
            _call(addr[STEP], base, base)
            steps += 1
            counts[FACTORED] += 1
            error = 0.0
            for i in range(8):
                e = w[off[S_ERROR] + i]
                if not e <= error:
                    error = e if e == e else np.inf
            if not error <= 1.0:
                counts[REJECTED] += 1
                grown = False
                h *= max(0.15, 0.9 * error**-0.2) if error < 1e300 else 0.15
                if h <= 4e-16 * abs(t) or h < 1e-290:
                    _call(addr[RHS], base, base)
                    code = np.int64(STEP_UNDERFLOW) if error < 1e300 else np.int64(NOT_FINITE)
                    if not _give_up(off, w, status, source, t, fail_time, culprit, code):
                        return path
                    fresh = True
                    h = min(_initial_step(addr, off, opt, w, left), opt[H_MAX])
                continue
            counts[ACCEPTED] += 1
            new = end if last else t + h
            dense = False
            hit = -1
            if roots:
                hit_theta = 1.0
                for probe in range(1, 5):
                    theta = 0.25 * probe
                    if probe < 4:
                        if not dense:
                            _call(addr[DENSE], base, base)
                            dense = True
                        _interpolate(off, w, theta, off[S_YS])
                        _read_conditions(addr, off, w, off[S_YS], now)
                    else:
                        _read_conditions(addr, off, w, Y1, now)
                    for e in range(roots):
                        if now[e] and not held[e]:
                            hit = e
                        elif not now[e]:
                            held[e] = False
                    if hit >= 0:
                        low, high = theta - 0.25, theta
                        for _ in range(60):
                            theta = 0.5 * (low + high)
                            if theta <= low or theta >= high:
                                break
                            _interpolate(off, w, theta, off[S_YS])
                            _read_conditions(addr, off, w, off[S_YS], now2)
                            found = False
                            for e in range(roots):
                                found = found or (now2[e] and not held[e])
                            if found:
                                high = theta
                            else:
                                low = theta
                        hit_theta = high
                        break
                if hit >= 0:
                    new = t + hit_theta * h
            tangents_dense = False
            if tangents:
                _call(T.addresses[T_STEP], base, T.v.ctypes.data)
            for lane in range(W):
                while ptr[lane] < n_times:
                    s = times[ptr[lane], lane]
                    if not (s < new or (s <= new and new < end and hit < 0)):
                        break
                    if source[lane] == lane:
                        if not dense:
                            _call(addr[DENSE], base, base)
                            dense = True
                        theta = (s - t) / h
                        rest = 1.0 - theta
                        for i in range(n):
                            at = i * W + lane
                            k, step = off[S_DENSE] + at, off[N_PADDED]
                            inner = w[k] + theta * (w[k + step] + theta * w[k + 2 * step])
                            samples[ptr[lane], at] = rest * w[Y + at] + theta * (w[Y1 + at] + rest * inner)
                            if opt[WANT_RATES] != 0.0:
                                inputs[ptr[lane], at] = w[off[S_U] + at]
                        if off[N_CLOCK] >= 0:
                            samples[ptr[lane], off[N_CLOCK] * W + lane] = s
                        if tangents:
                            if not tangents_dense:
                                _call(T.addresses[T_DENSE], base, T.v.ctypes.data)
                                tangents_dense = True
                            for i in range(n):
                                w[off[S_YS] + i] = samples[ptr[lane], i]
                            _interpolate_tangents(T, theta)
                            _sample_tangents(T, off, w, ptr[lane])
                    ptr[lane] += 1
            if path.shape[1]:
                if not dense:
                    _call(addr[DENSE], base, base)
                path = _record(off, w, path, counts, t, new, h)
            if hit >= 0:
                _interpolate(off, w, hit_theta, off[S_YS])
                for i in range(size):
                    w[Y1 + i] = w[off[S_YS] + i]
            for i in range(size):
                w[Y + i] = w[Y1 + i]
            if share > 0.0:
                for i in range(size):
                    w[off[S_ATOL] + i] = max(w[off[S_ATOL] + i], share * abs(w[Y + i]))
            if tangents:
                if hit >= 0:
                    if not tangents_dense:
                        _call(T.addresses[T_DENSE], base, T.v.ctypes.data)
                    _interpolate_tangents(T, hit_theta)
                    _copy_tangents(T, np.int64(2), np.int64(0))
                else:
                    _copy_tangents(T, np.int64(1), np.int64(0))
            fresh = True
            t = new
            if hit >= 0:
                _settle(addr, off, w, root_event, targets, target_ptr, held, now, T, True)
                if t < end:
                    h = min(_initial_step(addr, off, opt, w, end - t), opt[H_MAX])
                    old_error = 1e-4
                for lane in range(W):
                    while ptr[lane] < n_times and times[ptr[lane], lane] <= t and t < end:
                        for i in range(n):
                            samples[ptr[lane], i * W + lane] = w[Y + i * W + lane]
                            w[off[S_YS] + i] = w[Y + i]
                            if opt[WANT_RATES] != 0.0:
                                inputs[ptr[lane], i] = w[off[S_U] + i]
                        if tangents:
                            _copy_tangents(T, np.int64(0), np.int64(2))
                            _sample_tangents(T, off, w, ptr[lane])
                        ptr[lane] += 1
                continue
            error = max(error, 1e-6)
            factor = 0.95 * error**-0.17 * old_error**0.03
            factor = min(6.0, max(0.2, factor))
            if not grown:
                factor = min(factor, 1.0)
            grown = True
            old_error = error
            h = min(h * factor, opt[H_MAX])
    return path


@njit(cache=True, nogil=True)
def observe_group(addr, off, opt, w, samples, inputs, lanes, states, outputs, rates):  # type: ignore[no-untyped-def]
    """Outputs (and their rates of change) at the samples of a group, into result arrays by simulation."""
    W, n, base, n_out = off[N_LANES], off[N_STATES], w.ctypes.data, off[N_OUTPUTS]
    for s in range(samples.shape[0]):
        for i in range(n * W):
            w[off[S_YS] + i] = samples[s, i]
        if n_out:
            _call(addr[OBSERVE], base, base)
        if opt[WANT_RATES] != 0.0:
            for i in range(n * W):
                w[off[S_U] + i] = inputs[s, i]
            _call(addr[RHS_AT_SAMPLE], base, base)
            _call(addr[OBSERVE_RATE], base, base)
        for lane in range(lanes.size):
            at = lanes[lane]
            if states.shape[0]:
                for i in range(states.shape[2]):
                    states[at, s, i] = samples[s, i * W + lane]
            missing = n > 0 and samples[s, lane] != samples[s, lane]
            for o in range(n_out):
                outputs[at, s, o] = np.nan if missing else w[off[S_G] + o * W + lane]
                if opt[WANT_RATES] != 0.0:
                    rates[at, s, o] = np.nan if missing else w[off[S_GDOT] + o * W + lane]


@njit(cache=True, nogil=True)
def observe_states(addr, off, w, times, states, outputs):  # type: ignore[no-untyped-def]
    """Outputs of one parameter set at given times and states (one lane)."""
    base = w.ctypes.data
    for s in range(times.size):
        for i in range(states.shape[1]):
            w[off[S_YS] + i] = states[s, i]
        if off[N_CLOCK] >= 0:
            w[off[S_YS] + off[N_CLOCK]] = times[s]
        _call(addr[OBSERVE], base, base)
        for o in range(off[N_OUTPUTS]):
            outputs[s, o] = w[off[S_G] + o]
