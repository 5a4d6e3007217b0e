"""Sensitivities in the step loop: tangents carried along, moved where an instant moves, read at samples.

In the Python that numba compiles; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

import numpy as np

from cellsim.compiler.sensitivity_directions import LANES
from cellsim.solver.loop_arrays import (
    N_ATOMS,
    N_DIRECTIONS,
    N_GROUPS,
    N_INITIALS,
    N_PAIRS_P,
    N_PAIRS_Y,
    N_PLACES,
    N_RESULTS,
    N_STATES,
    NO_DERIVATIVE,
    RTOL,
    S_ATOL,
    S_F,
    S_Y,
    SEED_INPUT,
    SEED_STATE,
    T_ATOMS,
    T_EVENTS,
    T_INITIAL,
    T_OBSERVE_P,
    T_OBSERVE_Y,
    T_PREPARE,
)
from cellsim.solver.step_control import call_kernel, compiled

__all__ = [
    "begin_tangents",
    "copy_tangents",
    "event_tangents",
    "gap_of",
    "give_up_derivative",
    "instant_is",
    "instant_moves",
    "interpolate_tangents",
    "jump_matters",
    "sample_tangents",
    "seed_tangents",
    "shift_all",
    "shift_tangents",
]


@compiled
def begin_tangents(T, base, other, given_start):  # type: ignore[no-untyped-def]
    """Tangents at the start: of what initial values say, unless these are given."""
    v = T.v
    call_kernel(T.addresses[T_PREPARE], base, other)
    if not given_start and T.sizes[N_INITIALS]:
        call_kernel(T.addresses[T_INITIAL], base, other)
        for i in range(T.sizes[N_INITIALS]):
            v[T.initials[2 * i + 1]] += v[T.slots[2] + T.initials[2 * i]]


@compiled
def sample_tangents(T, base, other, sample):  # type: ignore[no-untyped-def]
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


@compiled
def interpolate_tangents(T, theta):  # type: ignore[no-untyped-def]
    """Tangents at t + theta h, into slot sample."""
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


@compiled
def copy_tangents(T, source, target):  # type: ignore[no-untyped-def]
    """Tangents from one slot into another (0 is s, 1 is s1, 2 is sample)."""
    v = T.v
    for g in range(T.sizes[N_GROUPS]):
        for i in range(T.groups[6 * g + 5]):
            v[T.groups[6 * g + target] + i] = v[T.groups[6 * g + source] + i]


@compiled
def event_tangents(T, base, other, event):  # type: ignore[no-untyped-def]
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


@compiled
def shift_tangents(T, b, kind, flow, sign):  # type: ignore[no-untyped-def]
    """Move tangents along the flow by sign times the derivative of what is of this kind at the instant of break b."""
    v = T.v
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        if T.seed_code[i] == kind:
            d = T.seed_at[i]
            for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
                v[T.rows[2 * j + 1]] += sign * T.seed_value[i] * flow[T.rows[2 * j]]


@compiled
def seed_tangents(T, b):  # type: ignore[no-untyped-def]
    """Doses along which we differentiate."""
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        if T.seed_code[i] == SEED_STATE or T.seed_code[i] == SEED_INPUT:
            T.v[T.seed_at[i]] += T.seed_value[i]


@compiled
def instant_is(T, b, kind):  # type: ignore[no-untyped-def]
    """Whether the instant of what is of this kind at break b moves with some direction."""
    found = False
    for i in range(T.seed_ptr[b], T.seed_ptr[b + 1]):
        found = found or T.seed_code[i] == kind
    return found


@compiled
def instant_moves(T, root, flow):  # type: ignore[no-untyped-def]
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


@compiled
def shift_all(T, flow, sign):  # type: ignore[no-untyped-def]
    """Move all tangents along the flow by sign times how the instant at hand moves."""
    for d in range(T.sizes[N_DIRECTIONS]):
        for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
            T.v[T.rows[2 * j + 1]] += sign * T.moved[d] * flow[T.rows[2 * j]]


@compiled
def gap_of(T, base, other, root):  # type: ignore[no-untyped-def]
    """Distance at the state in slot y from where a mode changes."""
    call_kernel(T.addresses[T_ATOMS], base, other)
    for a in range(T.sizes[N_ATOMS] - 1):
        if T.atoms[3 * a] == root:
            return abs(T.v[T.slots[4] + T.atoms[3 * a + 1]])
    return 0.0


@compiled
def jump_matters(off, opt, w, flow, n, h):  # type: ignore[no-untyped-def]
    """Whether rates in slot f differ from those in `flow` (from `n` on) by what counts within a step."""
    for i in range(off[N_STATES]):
        if abs(w[off[S_F] + i] - flow[n + i]) * h > w[off[S_ATOL] + i] + opt[RTOL] * abs(w[off[S_Y] + i]):
            return True
    return False


@compiled
def give_up_derivative(G, t, mode):  # type: ignore[no-untyped-def]
    """Give up a run (of one lane) in which a condition turns where nothing can be differentiated."""
    G.status[0], G.fail_time[0], G.culprit[0] = NO_DERIVATIVE, t, mode
    G.source[0] = -1
