"""The step loop, in the Python that numba compiles: it knows slots and addresses, never a model.

Everything a kernel reads or writes lies in one workspace ``w`` (see `cellsim.compiler.kernels`); this loop sees it
as a flat array in which a value of W lanes takes W neighbouring doubles. Compiled once an installation and kept as
machine code by :mod:`cellsim.solver.step_loop_cache`, which alone imports this module; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from cellsim.compiler.sensitivity_directions import LANES
from cellsim.solver.breakpoints import OP_EVENT, OP_JUMP
from cellsim.solver.loop_arrays import (
    ACCEPTED,
    ARRIVED,
    CONDITIONS,
    DENSE,
    EVENTS_WITHOUT_END,
    FACTORED,
    GAPS,
    H_MAX,
    INITIAL,
    JAC,
    KERNELS,
    LU,
    MAX_STEPS,
    MODES,
    N_ATOMS,
    N_CLOCK,
    N_DIRECTIONS,
    N_FIXED,
    N_GAPS,
    N_GROUPS,
    N_INITIALS,
    N_LANES,
    N_MIDDLE,
    N_MODES,
    N_OUTPUTS,
    N_PADDED,
    N_PAIRS_P,
    N_PAIRS_Y,
    N_PLACES,
    N_RESULTS,
    N_ROOTS,
    N_STATES,
    NO_DERIVATIVE,
    NOT_FINITE,
    OBSERVE,
    OBSERVE_RATE,
    ON,
    PATH_FULL,
    PEAK_SHARE,
    PREPARE,
    RECORDED,
    REJECTED,
    RHS,
    RHS_AT_SAMPLE,
    RTOL,
    S_ATOL,
    S_CONTROL,
    S_DENSE,
    S_ERROR,
    S_F,
    S_G,
    S_GAPS,
    S_GDOT,
    S_MODES,
    S_PEAK,
    S_Q,
    S_ROOTS,
    S_U,
    S_Y,
    S_Y1,
    S_YS,
    SEED_DOSE,
    SEED_EVENT,
    SEED_INPUT,
    SEED_STATE,
    SEED_TURN,
    STEP,
    STEP_UNDERFLOW,
    T_ATOMS,
    T_DENSE,
    T_EVENTS,
    T_INITIAL,
    T_OBSERVE_P,
    T_OBSERVE_Y,
    T_PREPARE,
    T_STEP,
    TOO_MANY_STEPS,
    WANT_RATES,
    Group,
    Reading,
    Reals,
    Tangents,
    Wholes,
)

__all__ = ["call_kernel", "observe_group", "run_group"]

START = 1.2
_ROUNDS = 64  # events that set off events at one instant
_SHORTEST = 1e-11  # of the time: below this a step no longer looks for the end of a branch
_TOUCHED = 1e-3  # of its mean speed in the step: a gap this slow where it turns does not cross
_NO_DELAY = 1e-7  # of the first step: what an event brings about this soon is of the same instant
# an event whose intervals shrink to this share of what they were, by one factor each time, has no end
_VANISHED, _IN_A_ROW, _ONE_FACTOR = 1e-2, 3, 0.2


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


def _fields_at(kind: Any) -> Any:
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
_compiled = njit(**_OPTIONS)
_group, _tangents, _reading = _fields_at(Group), _fields_at(Tangents), _fields_at(Reading)
_GROUP_BYTES = 8 * len(Group._fields)


@_compiled
def _initial_step(addr, off, opt, w, base, span):  # type: ignore[no-untyped-def]
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


@_compiled
def _follow_scales(off, opt, w):  # type: ignore[no-untyped-def]
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


@_compiled
def _interpolate(off, w, theta, into):  # type: ignore[no-untyped-def]
    """Dense output at t + theta h for all lanes."""
    size, y, y1, k = off[N_STATES] * off[N_LANES], off[S_Y], off[S_Y1], off[S_DENSE]
    step = off[N_PADDED]
    rest = 1.0 - theta
    for i in range(size):
        inner = w[k + i] + theta * (w[k + step + i] + theta * w[k + 2 * step + i])
        w[into + i] = rest * w[y + i] + theta * (w[y1 + i] + rest * inner)


@_compiled
def _read_conditions(addr, off, w, base, source, now, into):  # type: ignore[no-untyped-def]
    """Whether each state-triggered event's condition holds (one lane only)."""
    for i in range(off[N_STATES]):
        w[off[S_YS] + i] = w[source + i]
    call_kernel(addr[CONDITIONS], base, base)
    for e in range(off[N_ROOTS]):
        now[into + e] = 1 if w[off[S_ROOTS] + e] > 0.5 else 0


@_compiled
def _renew_modes(addr, off, w, base):  # type: ignore[no-untyped-def]
    """Conditions on states in rates, asked at the state in slot y and held from here on."""
    W = off[N_LANES]
    for i in range(off[N_STATES] * W):
        w[off[S_YS] + i] = w[off[S_Y] + i]
    call_kernel(addr[MODES], base, base)
    held = off[S_Y] + (off[N_STATES] - off[N_MODES]) * W
    for i in range(off[N_MODES] * W):
        w[held + i] = w[off[S_MODES] + i]


@_compiled
def _changed_mode(addr, off, w, base, source):  # type: ignore[no-untyped-def]
    """The first mode that is another at the state in slot ys, or -1."""
    W = off[N_LANES]
    call_kernel(addr[MODES], base, base)
    held = off[S_Y] + (off[N_STATES] - off[N_MODES]) * W
    for i in range(off[N_MODES] * W):
        if w[off[S_MODES] + i] != w[held + i] and source[i % W] == i % W:
            return np.int64(i // W)
    return np.int64(-1)


@_compiled
def _turned(G, base, room):  # type: ignore[no-untyped-def]
    """What turns at the state in slot ys: the last located event, else a mode, counted after these; or -1."""
    addr, off, w, roots = G.addr, G.off, G.w, G.off[N_ROOTS]
    found = np.int64(-1)
    if roots:
        _read_conditions(addr, off, w, base, off[S_YS], G.now, room)
        for e in range(roots):
            if G.now[room + e] != 0 and G.held[e] == 0:
                found = np.int64(e)
    if found < 0 and off[N_MODES]:
        mode = _changed_mode(addr, off, w, base, G.source)
        if mode >= 0:
            found = np.int64(roots + mode)
    return found


@_compiled
def _jump_matters(off, opt, w, flow, n, h):  # type: ignore[no-untyped-def]
    """Whether rates in slot f differ from those in `flow` (from `n` on) by what counts within a step."""
    for i in range(off[N_STATES]):
        if abs(w[off[S_F] + i] - flow[n + i]) * h > w[off[S_ATOL] + i] + opt[RTOL] * abs(w[off[S_Y] + i]):
            return True
    return False


@_compiled
def _gap_of(T, base, other, root):  # type: ignore[no-untyped-def]
    """Distance at the state in slot y from where a mode changes."""
    call_kernel(T.addresses[T_ATOMS], base, other)
    for a in range(T.sizes[N_ATOMS] - 1):
        if T.atoms[3 * a] == root:
            return abs(T.v[T.slots[4] + T.atoms[3 * a + 1]])
    return 0.0


@_compiled
def _leave_branch(G, base, span):  # type: ignore[no-untyped-def]
    """Change modes where the branch held has no value beyond its end, so that no step can go past it.

    What would change within the shortest stretch that matters changes now. Returns the mode, or -1.
    """
    addr, off, w = G.addr, G.off, G.w
    size = off[N_STATES] * off[N_LANES]
    call_kernel(addr[RHS], base, base)
    for i in range(size):
        w[off[S_YS] + i] = w[off[S_Y] + i] + 10.0 * span * w[off[S_F] + i]
    mode = _changed_mode(addr, off, w, base, G.source)
    if mode >= 0:
        for i in range(size):
            w[off[S_Y] + i] += 10.0 * span * w[off[S_F] + i]
        _renew_modes(addr, off, w, base)
    return mode


@_compiled
def _apply_event(addr, off, w, base, event, targets, target_ptr, mask, first, stride):  # type: ignore[no-untyped-def]
    """New values of the event's targets into slot y1, in the lanes where the mask (from `first` on) is set."""
    W = off[N_LANES]
    call_kernel(addr[len(KERNELS) + event], base, base)
    for j in range(target_ptr[event], target_ptr[event + 1]):
        i = targets[j]
        for lane in range(W):
            if stride == 0 or mask[first + (lane if stride > 1 else 0)] != 0.0:
                w[off[S_Y1] + i * W + lane] = w[off[S_YS] + i * W + lane]


@_compiled
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
                for slot in (S_Y, S_U, S_ATOL, S_PEAK):
                    w[off[slot] + i * W + lane] = w[off[slot] + i * W + healthy]
            for i in range(off[N_FIXED]):
                w[off[S_Q] + i * W + lane] = w[off[S_Q] + i * W + healthy]
    return size > 0


@_compiled
def _record(G, start, end, h):  # type: ignore[no-untyped-def]
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


@_compiled
def _begin_tangents(T, base, other, given_start):  # type: ignore[no-untyped-def]
    v = T.v
    call_kernel(T.addresses[T_PREPARE], base, other)
    if not given_start and T.sizes[N_INITIALS]:
        call_kernel(T.addresses[T_INITIAL], base, other)
        for i in range(T.sizes[N_INITIALS]):
            v[T.initials[2 * i + 1]] += v[T.slots[2] + T.initials[2 * i]]


@_compiled
def _sample_tangents(T, base, other, sample):  # type: ignore[no-untyped-def]
    """Sensitivities of the outputs at the state in slot ys, from the tangents in slot sample."""
    v, pairs, row = T.v, T.pairs_y, sample * T.sizes[N_RESULTS]
    call_kernel(T.addresses[T_OBSERVE_Y], base, other)
    call_kernel(T.addresses[T_OBSERVE_P], base, other)
    for i in range(T.sizes[N_RESULTS]):
        T.result[row + i] = 0.0
    for i in range(T.sizes[N_PAIRS_Y]):
        T.result[row + pairs[3 * i + 2]] += v[T.slots[0] + pairs[3 * i]] * v[pairs[3 * i + 1]]
    for i in range(T.sizes[N_PAIRS_P]):
        T.result[row + T.pairs_p[2 * i + 1]] += v[T.slots[1] + T.pairs_p[2 * i]]


@_compiled
def _interpolate_tangents(T, theta):  # type: ignore[no-untyped-def]
    v, rest = T.v, 1.0 - theta
    for g in range(T.sizes[N_GROUPS]):
        at = 6 * g
        s, s1, sample, dense, size = (
            T.groups[at],
            T.groups[at + 1],
            T.groups[at + 2],
            T.groups[at + 4],
            T.groups[at + 5],
        )
        for i in range(size):
            inner = v[dense + i] + theta * (v[dense + size + i] + theta * v[dense + 2 * size + i])
            v[sample + i] = rest * v[s + i] + theta * (v[s1 + i] + rest * inner)


@_compiled
def _copy_tangents(T, source, target):  # type: ignore[no-untyped-def]
    v = T.v
    for g in range(T.sizes[N_GROUPS]):
        for i in range(T.groups[6 * g + 5]):
            v[T.groups[6 * g + target] + i] = v[T.groups[6 * g + source] + i]


@_compiled
def _event_tangents(T, base, other, event):  # type: ignore[no-untyped-def]
    """Tangents of the states an event is about to set; those before it in slot sample, the state in slot y."""
    v, n = T.v, T.sizes[N_PLACES]
    call_kernel(T.addresses[T_EVENTS + event], base, other)
    for g in range(T.sizes[N_GROUPS]):
        s, sample = T.groups[6 * g], T.groups[6 * g + 2]
        for i in range(T.event_ptr[event], T.event_ptr[event + 1]):
            target = T.places[g * n + T.event_y[3 * i + 1]]
            if target >= 0:
                for lane in range(LANES):
                    v[s + target + lane] = 0.0
        for i in range(T.event_ptr[event], T.event_ptr[event + 1]):
            entry, cause = T.event_y[3 * i], T.places[g * n + T.event_y[3 * i + 2]]
            target = T.places[g * n + T.event_y[3 * i + 1]]
            if entry >= 0 and target >= 0 and cause >= 0:
                for lane in range(LANES):
                    v[s + target + lane] += v[T.slots[3] + entry] * v[sample + cause + lane]
    for i in range(T.event_p_ptr[event], T.event_p_ptr[event + 1]):
        v[T.event_p[2 * i + 1]] += v[T.slots[3] + T.event_p[2 * i]]


@_compiled
def _shift_tangents(T, b, kind, flow, sign):  # type: ignore[no-untyped-def]
    """Move tangents along the flow by sign times the derivative of what is of this kind at the instant of break b."""
    v = T.v
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        if T.seed_code[i] == kind:
            d = T.seed_at[i]
            for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
                v[T.rows[2 * j + 1]] += sign * T.seed_value[i] * flow[T.rows[2 * j]]


@_compiled
def _seed_tangents(T, b):  # type: ignore[no-untyped-def]
    """Doses along which we differentiate."""
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        if T.seed_code[i] == SEED_STATE or T.seed_code[i] == SEED_INPUT:
            T.v[T.seed_at[i]] += T.seed_value[i]


@_compiled
def _instant_is(T, b, kind):  # type: ignore[no-untyped-def]
    """Whether the instant of what is of this kind at break b moves with some direction."""
    found = False
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        found = found or T.seed_code[i] == kind
    return found


@_compiled
def _instant_moves(T, root, flow):  # type: ignore[no-untyped-def]
    """How the instant of a located event or a mode moves with each direction: -(gap along it) / (gap in time).

    Returns the latter.
    """
    v, slot, n = T.v, T.slots[4], T.sizes[N_DIRECTIONS]
    best, nearest, speed = -1, np.inf, 0.0
    for a in range(T.sizes[N_ATOMS] - 1):
        if T.atoms[3 * a] == root:
            rate = 0.0
            for i in range(T.atoms[3 * a + 2], T.atoms[3 * a + 5]):
                rate += v[slot + T.atom_y[2 * i]] * flow[T.atom_y[2 * i + 1]]
            away = abs(v[slot + T.atoms[3 * a + 1]] / rate) if rate != 0.0 else np.inf
            if away < nearest:
                best, nearest, speed = a, away, rate
    for d in range(n):
        T.moved[d] = 0.0
        if best >= 0:
            for i in range(T.tau_ptr[best * n + d], T.tau_ptr[best * n + d + 1]):
                along = v[T.tau[2 * i + 1]] if T.tau[2 * i + 1] >= 0 else 1.0
                T.moved[d] -= v[slot + T.tau[2 * i]] * along / speed
    return speed


@_compiled
def _shift_all(T, flow, sign):  # type: ignore[no-untyped-def]
    for d in range(T.sizes[N_DIRECTIONS]):
        for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
            T.v[T.rows[2 * j + 1]] += sign * T.moved[d] * flow[T.rows[2 * j]]


@_compiled
def _flow(addr, off, w, base, flow):  # type: ignore[no-untyped-def]
    """Rates of change at the state in slot y."""
    call_kernel(addr[RHS], base, base)
    for i in range(off[N_STATES]):
        flow[i] = w[off[S_F] + i]


@_compiled
def _settle(G, base, T, other, t, middle, first, last, stride, hit):  # type: ignore[no-untyped-def]
    """Fire all events that turn true at this instant, from the values before any of them, then those these set off.

    Operations ``first:last`` hold events that time alone sets off; `hit` is a located one that was met on the way, or
    -1 at a break. There, conditions are asked at the instant itself and just after it.

    Returns the located event that fires without end, or -1.
    """
    addr, off, w, now, held = G.addr, G.off, G.w, G.now, G.held
    roots, size, Y, Y1 = off[N_ROOTS], off[N_STATES] * off[N_LANES], off[S_Y], off[S_Y1]
    middle_at = off[N_MIDDLE]
    for e in range(roots):
        now[2 * roots + e] = 0
    for turn in range(_ROUNDS):
        some = turn == 0 and last > first
        for e in range(roots):
            now[roots + e] = 0
        for look in range(2 if roots else 0):
            if look == 0 and (hit >= 0 or turn > 0 or middle_at < 0):
                continue
            if middle_at >= 0:
                w[Y + middle_at] = middle if look else t
            _read_conditions(addr, off, w, base, Y, now, np.int64(0))
            for e in range(roots):
                if now[e] != 0 and held[e] == 0:
                    now[roots + e] = 1
                    now[2 * roots + e] = 1
                    some = True
                held[e] = now[e]
        if not some:
            return np.int64(-1)
        if T.sizes[ON]:
            _copy_tangents(T, np.int64(0), np.int64(2))
        for i in range(size):
            w[Y1 + i] = w[Y + i]
        for o in range(first, last if turn == 0 else first):
            if T.sizes[ON]:
                _event_tangents(T, base, other, G.op_index[o])
            _apply_event(
                addr, off, w, base, G.op_index[o], G.targets, G.target_ptr, G.op_amount, o * stride, stride
            )
        for e in range(roots):
            if now[roots + e] != 0:
                if T.sizes[ON]:
                    _event_tangents(T, base, other, G.root_event[e])
                _apply_event(addr, off, w, base, G.root_event[e], G.targets, G.target_ptr, G.op_amount, 0, 0)
        for i in range(size):
            if abs(w[Y1 + i] - w[Y + i]) > 0.5 * abs(w[Y + i]):  # a real change, not one that fades out
                for e in range(roots):
                    now[2 * roots + e] = 2 if now[2 * roots + e] != 0 else 0
            w[Y + i] = w[Y1 + i]
    for e in range(roots):
        if now[roots + e] != 0:
            return np.int64(e)
    return np.int64(-1)


@_compiled
def _hold(G, base, h):  # type: ignore[no-untyped-def]
    """Events just fired whose own new values let them turn true again at once have not turned false in between."""
    addr, off, w, now = G.addr, G.off, G.w, G.now
    roots, some = off[N_ROOTS], False
    for e in range(roots):
        some = some or (now[2 * roots + e] != 0 and G.held[e] == 0)
    if not some:
        return
    call_kernel(addr[RHS], base, base)
    for i in range(off[N_STATES]):
        w[off[S_Y1] + i] = w[off[S_Y] + i] + _NO_DELAY * h * w[off[S_F] + i]
    _read_conditions(addr, off, w, base, off[S_Y1], now, np.int64(0))
    for e in range(roots):
        if now[2 * roots + e] != 0 and now[e] != 0:
            G.held[e] = 1


@_compiled
def _without_end(G, t):  # type: ignore[no-untyped-def]
    """The located event whose instants pile up before some time, or -1; those just fired are counted.

    One that changes less and less as its instants pile up comes to rest, and is none.
    """
    roots, pace = G.off[N_ROOTS], G.pace
    for e in range(roots):
        if G.now[2 * roots + e] != 0:
            at = (
                5 * e
            )  # last instant, interval, ratio of intervals, how many alike in a row, interval before them
            interval = t - pace[at]
            ratio = interval / pace[at + 1]
            if ratio < 1.0 and (pace[at + 3] == 0.0 or abs(ratio / pace[at + 2] - 1.0) < _ONE_FACTOR):
                pace[at + 3] += 1.0
            else:
                pace[at + 3], pace[at + 4] = 0.0, interval
            pace[at], pace[at + 1], pace[at + 2] = t, interval, ratio
            real = G.now[2 * roots + e] == 2
            if real and pace[at + 3] >= _IN_A_ROW and interval < _VANISHED * pace[at + 4]:
                return np.int64(e)
    return np.int64(-1)


@_compiled
def _end_events(G, t, root):  # type: ignore[no-untyped-def]
    """Give up a run (of one lane) in which an event fires without end."""
    G.status[0], G.fail_time[0], G.culprit[0] = EVENTS_WITHOUT_END, t, G.root_event[root]
    G.source[0] = -1


@_compiled
def _give_up_derivative(G, t, mode):  # type: ignore[no-untyped-def]
    """Give up a run (of one lane) in which a condition turns where nothing can be differentiated."""
    G.status[0], G.fail_time[0], G.culprit[0] = NO_DERIVATIVE, t, mode
    G.source[0] = -1


@_compiled
def _gap_at(addr, off, w, base, theta, gap):  # type: ignore[no-untyped-def]
    """A gap inside the step."""
    _interpolate(off, w, theta, off[S_YS])
    call_kernel(addr[GAPS], base, base)
    return w[off[S_GAPS] + gap]


@_compiled
def _gap_error(addr, off, opt, w, base, gap):  # type: ignore[no-untyped-def]
    """How far a gap is uncertain at the end of the step, by the error allowed in each state."""
    W, Y1, YS = off[N_LANES], off[S_Y1], off[S_YS]
    size, lane = off[N_STATES] * W, gap % W
    for i in range(size):
        w[YS + i] = w[Y1 + i]
    call_kernel(addr[GAPS], base, base)
    here, total = w[off[S_GAPS] + gap], 0.0
    for i in range(lane, size, W):
        if w[off[S_ATOL] + i] < 1e299:  # not the clock
            w[YS + i] += w[off[S_ATOL] + i] + opt[RTOL] * abs(w[Y1 + i])
            call_kernel(addr[GAPS], base, base)
            total += abs(w[off[S_GAPS] + gap] - here)
            w[YS + i] = w[Y1 + i]
    return total


@_compiled
def _overlooked(G, base):  # type: ignore[no-untyped-def]
    """Where in this step a condition on states turns and turns back, as a share of it; 0 if nowhere.

    Every gap is looked at in five places, and where a parabola through three of them comes near zero.
    """
    addr, off, opt, w, seen = G.addr, G.off, G.opt, G.w, G.seen
    gaps, size = off[N_GAPS] * off[N_LANES], off[N_STATES] * off[N_LANES]
    for probe in range(5):
        if 0 < probe < 4:
            _interpolate(off, w, 0.25 * probe, off[S_YS])
        else:
            for i in range(size):
                w[off[S_YS] + i] = w[(off[S_Y1] if probe else off[S_Y]) + i]
        call_kernel(addr[GAPS], base, base)
        for i in range(gaps):
            seen[probe * gaps + i] = w[off[S_GAPS] + i]
    for i in range(gaps):
        side = seen[i] > 0.0
        if (seen[4 * gaps + i] > 0.0) != side:
            continue
        theta = 0.0
        for probe in range(1, 4):
            low, here, high = (
                seen[(probe - 1) * gaps + i],
                seen[probe * gaps + i],
                seen[(probe + 1) * gaps + i],
            )
            if (here > 0.0) != side:
                theta = 0.25 * probe
                break
            wide, at = 0.25, 0.25 * probe
            for _ in range(4):
                bend, slope = low - 2.0 * here + high, 0.5 * (high - low)
                if bend == 0.0 or (bend > 0.0) != side or abs(slope) > abs(bend):
                    break
                lowest = here - 0.5 * slope * slope / bend
                if (lowest > 0.0) == side and abs(lowest) > 0.2 * abs(here):
                    break
                at = min(max(at - wide * slope / bend, 1e-9), 1.0 - 1e-9)
                here = _gap_at(addr, off, w, base, at, i)
                if (here > 0.0) != side:
                    theta = at
                    break
                wide = 0.3 * min(wide, at, 1.0 - at)
                low, high = (
                    _gap_at(addr, off, w, base, at - wide, i),
                    _gap_at(addr, off, w, base, at + wide, i),
                )
            if theta > 0.0:
                break
        if theta > 0.0:
            away = abs(_gap_at(addr, off, w, base, theta, i))
            if away > _gap_error(addr, off, opt, w, base, i):
                return theta
    return 0.0


@_compiled
def run_group(at, base, other, given_start, first, stop, n_breaks, n_times, stride, room):  # type: ignore[no-untyped-def]
    """Carry W simulations through breaks ``first:stop``, up to the instant of break `stop` or to the end.

    Everything that moves lies at the addresses given, so a copy of it taken at `stop` can be carried on along
    another timetable.

    Parameters
    ----------
    at : int
        Where the addresses of the fields of :class:`Group` stand, then those of :class:`Tangents` (one lane only).
    base, other : int
        Where `w` and `v` stand.
    given_start : int
        Not zero: the initial states are in place.
    first, stop : int
        Zero to begin; otherwise what was `stop` before.
    n_breaks, n_times, stride : int
        Lengths of `breaks` and `times`, and how many amounts an operation has.
    room : int
        How many steps `path` can hold; zero to record none.

    Returns
    -------
    int
        ARRIVED, or PATH_FULL.
    """
    G, T = _group(at), _tangents(at + _GROUP_BYTES)
    addr, off, opt, w, held, now = G.addr, G.off, G.opt, G.w, G.held, G.now
    times, samples, ptr, source, counts = G.times, G.samples, G.ptr, G.source, G.counts
    W, n = off[N_LANES], off[N_STATES]
    size, Y, Y1 = n * W, off[S_Y], off[S_Y1]
    control, roots, modes = off[S_CONTROL], off[N_ROOTS], off[N_MODES]
    tangents = T.sizes[ON] != 0
    if first == 0:
        call_kernel(addr[PREPARE], base, base)
        if not given_start:
            call_kernel(addr[INITIAL], base, base)
        if tangents:
            _begin_tangents(T, base, other, given_start)
    w[control + 1] = opt[RTOL]
    steps = counts[FACTORED]
    for b in range(first, stop):
        t = G.breaks[b]
        if off[N_CLOCK] >= 0:  # the clock never drifts from the time
            for lane in range(W):
                w[Y + off[N_CLOCK] * W + lane] = t
        if tangents:
            _seed_tangents(T, b)
        # first what time alone turns, then doses, then events: each has its own instant, should it move
        moves = tangents and _instant_is(T, b, SEED_TURN)
        if moves:
            _flow(addr, off, w, base, G.flow)
            _shift_tangents(T, b, SEED_TURN, G.flow, 1.0)
        if off[N_MIDDLE] >= 0:
            for lane in range(W):
                w[Y + off[N_MIDDLE] * W + lane] = G.middles[b]
        if modes:
            _renew_modes(addr, off, w, base)
        if moves:
            _flow(addr, off, w, base, G.flow)
            _shift_tangents(T, b, SEED_TURN, G.flow, -1.0)
        moves = tangents and _instant_is(T, b, SEED_DOSE)
        if moves:
            _flow(addr, off, w, base, G.flow)
            _shift_tangents(T, b, SEED_DOSE, G.flow, 1.0)
        events = G.op_ptr[b + 1]
        for o in range(G.op_ptr[b], G.op_ptr[b + 1]):
            i = G.op_index[o]
            if G.op_kind[o] == OP_EVENT:  # they come last
                events = min(events, o)
            else:
                slot = Y if G.op_kind[o] == OP_JUMP else off[S_U]
                for lane in range(W):
                    w[slot + i * W + lane] += G.op_amount[o * stride + (source[lane] if stride > 1 else 0)]
        if modes:
            _renew_modes(addr, off, w, base)
        if moves:
            _flow(addr, off, w, base, G.flow)
            _shift_tangents(T, b, SEED_DOSE, G.flow, -1.0)
        if roots or events < G.op_ptr[b + 1]:
            moves = tangents and _instant_is(T, b, SEED_EVENT)
            if moves:
                _flow(addr, off, w, base, G.flow)
                _shift_tangents(T, b, SEED_EVENT, G.flow, 1.0)
            endless = _settle(
                G, base, T, other, t, G.middles[b], events, G.op_ptr[b + 1], stride, np.int64(-1)
            )
            if endless >= 0:
                _end_events(G, t, endless)
                return ARRIVED
            if modes:
                _renew_modes(addr, off, w, base)
            if moves:
                _flow(addr, off, w, base, G.flow)
                _shift_tangents(T, b, SEED_EVENT, G.flow, -1.0)
        for i in range(size):
            if not abs(w[Y + i]) < 1e300 and source[i % W] == i % W:
                for e in range(8):
                    w[off[S_ERROR] + e] = 0.0
                for j in range(size):
                    w[off[S_F] + j] = np.nan if not abs(w[Y + j]) < 1e300 else 0.0
                    if not abs(w[Y + j]) < 1e300:
                        w[off[S_ERROR] + j % W] = np.nan
                if not _give_up(off, w, G.status, source, t, G.fail_time, G.culprit, np.int64(NOT_FINITE)):
                    return ARRIVED
        for lane in range(W):
            while ptr[lane] < n_times and times[ptr[lane] * W + lane] <= t:
                if source[lane] == lane:
                    for i in range(n):
                        samples[ptr[lane] * size + i * W + lane] = w[Y + i * W + lane]
                        if opt[WANT_RATES] != 0.0:
                            G.inputs[ptr[lane] * size + i * W + lane] = w[off[S_U] + i * W + lane]
                    if tangents:
                        for i in range(n):
                            w[off[S_YS] + i] = w[Y + i]
                        _copy_tangents(T, np.int64(0), np.int64(2))
                        _sample_tangents(T, base, other, ptr[lane])
                ptr[lane] += 1
        if b == n_breaks - 1:
            if room and G.op_ptr[b + 1] > G.op_ptr[b]:  # what happens at the end is a step without length
                for i in range(size):
                    w[Y1 + i] = w[Y + i]
                    for m in range(3):
                        w[off[S_DENSE] + m * off[N_PADDED] + i] = 0.0
                if counts[RECORDED] == room:
                    return PATH_FULL
                _record(G, t, t, 1.0)
            return ARRIVED
        end = G.breaks[b + 1]
        _follow_scales(off, opt, w)
        h = min(_initial_step(addr, off, opt, w, base, end - t), opt[H_MAX])
        if roots:
            _hold(G, base, h)
        fresh, grown, old_error = True, True, 1e-4
        while t < end:
            left = end - t
            last = h * 1.000001 >= left
            if last:
                h = left
            elif 2.0 * h > left:
                h = 0.5 * left
            if steps >= opt[MAX_STEPS]:
                call_kernel(addr[RHS], base, base)
                _give_up(off, w, G.status, source, t, G.fail_time, G.culprit, np.int64(TOO_MANY_STEPS))
                return ARRIVED
            if fresh:
                call_kernel(addr[JAC], base, base)
                fresh = False
            w[control] = h
            call_kernel(addr[LU], base, base)
            call_kernel(addr[STEP], base, base)
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
                if modes and error >= 1e300 and h < _SHORTEST * max(abs(t), end):
                    left_mode = _leave_branch(G, base, _SHORTEST * (end - t))
                    if left_mode >= 0:
                        if tangents:
                            _give_up_derivative(G, t, left_mode)
                            return ARRIVED
                        fresh = True
                        h = min(_initial_step(addr, off, opt, w, base, left), opt[H_MAX])
                        continue
                if h <= 4e-16 * abs(t) or h < 1e-290:
                    call_kernel(addr[RHS], base, base)
                    code = np.int64(STEP_UNDERFLOW) if error < 1e300 else np.int64(NOT_FINITE)
                    if not _give_up(off, w, G.status, source, t, G.fail_time, G.culprit, code):
                        return ARRIVED
                    fresh = True
                    h = min(_initial_step(addr, off, opt, w, base, left), opt[H_MAX])
                continue
            dense = False
            if off[N_GAPS]:
                call_kernel(addr[DENSE], base, base)
                dense = True
                turned = _overlooked(G, base)
                if (
                    turned > 0.0
                ):  # end this step where the condition holds otherwise, and begin the next there
                    counts[REJECTED] += 1
                    grown = False
                    h *= turned
                    continue
            counts[ACCEPTED] += 1
            new = end if last else t + h
            hit = np.int64(-1)
            hit_theta = 1.0
            if roots or modes:
                for probe in range(1, 5):
                    theta = 0.25 * probe
                    if not dense:
                        call_kernel(addr[DENSE], base, base)
                        dense = True
                    _interpolate(off, w, theta, off[S_YS])
                    hit = _turned(G, base, np.int64(0))
                    if hit >= 0:
                        low, high = theta - 0.25, theta
                        for _ in range(60):
                            theta = 0.5 * (low + high)
                            if theta <= low or theta >= high:
                                break
                            _interpolate(off, w, theta, off[S_YS])
                            first_hit = _turned(G, base, roots)
                            if first_hit >= 0:
                                hit, high = first_hit, theta
                            else:
                                low = theta
                        hit_theta = high
                        break
                    for e in range(roots):
                        if now[e] == 0:
                            held[e] = 0
                if hit >= 0:
                    new = t + hit_theta * h
            tangents_dense = False
            if tangents:
                call_kernel(T.addresses[T_STEP], base, other)
            for lane in range(W):
                while ptr[lane] < n_times:
                    s = times[ptr[lane] * W + lane]
                    if not (s < new or (s <= new and new < end and hit < 0)):
                        break
                    if source[lane] == lane:
                        if not dense:
                            call_kernel(addr[DENSE], base, base)
                            dense = True
                        theta = (s - t) / h
                        rest = 1.0 - theta
                        for i in range(n):
                            here = i * W + lane
                            k, step = off[S_DENSE] + here, off[N_PADDED]
                            inner = w[k] + theta * (w[k + step] + theta * w[k + 2 * step])
                            samples[ptr[lane] * size + here] = rest * w[Y + here] + theta * (
                                w[Y1 + here] + rest * inner
                            )
                            if opt[WANT_RATES] != 0.0:
                                G.inputs[ptr[lane] * size + here] = w[off[S_U] + here]
                        if off[N_CLOCK] >= 0:
                            samples[ptr[lane] * size + off[N_CLOCK] * W + lane] = s
                        if tangents:
                            if not tangents_dense:
                                call_kernel(T.addresses[T_DENSE], base, other)
                                tangents_dense = True
                            for i in range(n):
                                w[off[S_YS] + i] = samples[ptr[lane] * size + i]
                            _interpolate_tangents(T, theta)
                            _sample_tangents(T, base, other, ptr[lane])
                    ptr[lane] += 1
            if room:
                if counts[RECORDED] == room:
                    return PATH_FULL
                if not dense:
                    call_kernel(addr[DENSE], base, base)
                _record(G, t, new, h)
            if hit >= 0:
                start_gap = _gap_of(T, base, other, hit) if tangents and hit >= roots else 0.0
                _interpolate(off, w, hit_theta, off[S_YS])
                for i in range(size):
                    w[Y1 + i] = w[off[S_YS] + i]
            for i in range(size):
                w[Y + i] = w[Y1 + i]
            _follow_scales(off, opt, w)
            if tangents:
                if hit >= 0:
                    if not tangents_dense:
                        call_kernel(T.addresses[T_DENSE], base, other)
                    _interpolate_tangents(T, hit_theta)
                    _copy_tangents(T, np.int64(2), np.int64(0))
                else:
                    _copy_tangents(T, np.int64(1), np.int64(0))
            fresh = True
            t = new
            if hit >= 0:
                if tangents:
                    _flow(addr, off, w, base, G.flow)
                    call_kernel(T.addresses[T_ATOMS], base, other)
                    speed = _instant_moves(T, hit, G.flow)
                    _shift_all(T, G.flow, 1.0)
                    for i in range(n):
                        G.flow[n + i] = G.flow[i]
                if hit < roots:
                    endless = _settle(G, base, T, other, t, G.middles[b], 0, 0, 0, hit)
                    if endless < 0:
                        endless = _without_end(G, t)
                    if endless >= 0:
                        _end_events(G, t, endless)
                        return ARRIVED
                if modes:
                    _renew_modes(addr, off, w, base)
                if tangents:
                    _flow(addr, off, w, base, G.flow)
                    _shift_all(T, G.flow, -1.0)
                    # a gap that slows down towards zero is touched, not crossed
                    if (
                        hit >= roots
                        and not abs(speed) * hit_theta * h > _TOUCHED * start_gap
                        and _jump_matters(off, opt, w, G.flow, n, hit_theta * h)
                    ):
                        _give_up_derivative(G, t, hit - roots)
                        return ARRIVED
                if t < end:
                    h = min(_initial_step(addr, off, opt, w, base, end - t), opt[H_MAX])
                    if hit < roots:
                        _hold(G, base, h)
                    old_error = 1e-4
                for lane in range(W):
                    while ptr[lane] < n_times and times[ptr[lane] * W + lane] <= t and t < end:
                        if source[lane] == lane:
                            for i in range(lane, size, W):
                                samples[ptr[lane] * size + i] = w[Y + i]
                                if opt[WANT_RATES] != 0.0:
                                    G.inputs[ptr[lane] * size + i] = w[off[S_U] + i]
                        if tangents:
                            for i in range(size):
                                w[off[S_YS] + i] = w[Y + i]
                            _copy_tangents(T, np.int64(0), np.int64(2))
                            _sample_tangents(T, base, other, ptr[lane])
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
    return ARRIVED


@_compiled
def observe_group(at, base, n_times, n_lanes, n_states):  # type: ignore[no-untyped-def]
    """Outputs (and their rates of change) at the samples of a group, into result arrays by simulation.

    Parameters
    ----------
    at : int
        Where the addresses of the fields of :class:`Reading` stand.
    base : int
        Where `w` stands.
    n_times, n_lanes, n_states : int
        How many samples, lanes wanted, and states to copy.

    Returns
    -------
    int
        ARRIVED.
    """
    R = _reading(at)
    addr, off, w = R.addr, R.off, R.w
    W, n, n_out, rates = off[N_LANES], off[N_STATES], off[N_OUTPUTS], R.opt[WANT_RATES] != 0.0
    size = n * W
    for s in range(n_times):
        for i in range(size):
            w[off[S_YS] + i] = R.samples[s * size + i]
        if n_out:
            call_kernel(addr[OBSERVE], base, base)
        if rates:
            for i in range(size):
                w[off[S_U] + i] = R.inputs[s * size + i]
            call_kernel(addr[RHS_AT_SAMPLE], base, base)
            call_kernel(addr[OBSERVE_RATE], base, base)
        for lane in range(n_lanes):
            row = R.lanes[lane] * n_times + s
            for i in range(n_states):
                R.states[row * n_states + i] = R.samples[s * size + i * W + lane]
            first = R.samples[s * size + lane] if n > 0 else 0.0
            for o in range(n_out):
                R.outputs[row * n_out + o] = np.nan if first != first else w[off[S_G] + o * W + lane]
                if rates:
                    R.rates[row * n_out + o] = np.nan if first != first else w[off[S_GDOT] + o * W + lane]
    return ARRIVED
