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
    N_ROOTS,
    N_STATES,
    NO_DERIVATIVE,
    RTOL,
    S_ATOL,
    S_F,
    S_P,
    S_PEAK,
    S_Y,
    S_Y1,
    S_YS,
    SEED_INPUT,
    SEED_STATE,
    T_ATOMS,
    T_ERROR,
    T_EVENTS,
    T_EXCESS,
    T_INITIAL,
    T_OBSERVE_P,
    T_OBSERVE_Y,
    T_PREPARE,
)
from cellsim.solver.step_control import call_kernel, compiled, interpolate, read_rates

__all__ = [
    "begin_tangents",
    "copy_tangents",
    "event_tangents",
    "give_up_derivative",
    "grazing_speed",
    "instant_is",
    "instant_moves",
    "interpolate_tangents",
    "jump_matters",
    "sample_tangents",
    "seed_tangents",
    "shift_all",
    "shift_tangents",
    "tangent_error",
]

_FLOOR = 1e2  # times the absolute tolerance of a state: what of it, moved along a direction, counts as little
_ALONE = 1e-2  # the same of a state that has been 0 so far, times the relative tolerance
_ROUNDING = 1e-13
_SHARE = 0.1  # of the error of a tangent counts beside that of a state
_AWAY, _BEYOND = 1e4, 1e1
"""Times the error of a gap: from there on it is asked whether it slows down; it must be able to go so far beyond zero."""
_FADING = 10.0  # times the speed of a gap that is touched, both as shares of their sizes: a jump of rates that fades with it
_CERTAIN = 1e290  # an absolute tolerance above it is that of what has no error


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
def tangent_error(T, off, opt, w, base, other, anew, least):  # type: ignore[no-untyped-def]
    """The largest error of a tangent in the step just tried, as a share of what is allowed; 0 if below `least`.

    An error of a tangent s of state i along a direction is allowed to be 10 (rtol |s| + 100 a_i e): a_i is the absolute tolerance of
    the state, and e the largest of |s_j| / (largest value of state j) so far, over all states j. So it depends neither on the
    unit of what is moved nor on those of states; of states that have been 0 so far a hundredth of the largest s_j among them is
    what counts. What rounding leaves, where terms by a parameter cancel, counts for nothing. With `anew` these e are asked
    again; they only rise, and one that is too low is only careful.
    """
    v, n, rtol = T.v, T.sizes[N_DIRECTIONS], opt[RTOL]
    for d in range(n if anew else 0):
        effect, alone = T.effects[d], T.effects[n + d]
        # of the new tangent only where there has been none: a step yet to be judged may overshoot
        for new in range(2):
            if new == 0 or (effect == 0.0 and alone == 0.0):
                for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
                    i, s = T.rows[2 * j], abs(v[T.floors[2 * j] if new else T.rows[2 * j + 1]])
                    size = max(w[off[S_PEAK] + i], abs(w[off[S_Y1] + i]))
                    if s < _CERTAIN and w[off[S_ATOL] + i] < _CERTAIN:
                        if size > 0.0:
                            effect = max(effect, s / size)
                        else:
                            alone = max(alone, s)
        T.effects[d], T.effects[n + d] = effect, alone
        # a parameter near its own size moves a state by about that state
        rounded = effect
        if T.along[d] >= 0:
            rounded = max(effect, 1.0 / max(abs(w[off[S_P] + T.along[d]]), 1.0))
        for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
            i = T.rows[2 * j]
            size = max(w[off[S_PEAK] + i], abs(w[off[S_Y1] + i]))
            floor = _ALONE * alone * rtol
            if size > 0.0:
                floor = _FLOOR * effect * w[off[S_ATOL] + i] + _ROUNDING * rounded * size
            v[T.floors[2 * j + 1]] = floor
    v[T.slots[5]] = least / _SHARE
    call_kernel(T.addresses[T_EXCESS], base, other)
    error = 0.0
    for i in range(LANES):
        error = max(error, v[T.slots[5] + i])
    if error == 0.0:
        return error
    call_kernel(T.addresses[T_ERROR], base, other)
    error = v[T.slots[5]]
    for i in range(1, LANES):
        error = max(error, v[T.slots[5] + i])
    return _SHARE * error


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
def _nearest_gap(T, root, flow):  # type: ignore[no-untyped-def]
    """Which gap of a located event or a mode is nearest to zero in time, or -1; how fast it moves."""
    v, slot = T.v, T.slots[4]
    best, nearest, speed = -1, np.inf, 0.0
    for a in range(T.sizes[N_ATOMS] - 1):
        if T.atoms[3 * a] == root:
            rate = _gap_rate(T, a, flow)
            away = abs(v[slot + T.atoms[3 * a + 1]] / rate) if rate != 0.0 else np.inf
            if away < nearest:
                best, nearest, speed = a, away, rate
    return best, speed


@compiled
def _gap_rate(T, a, flow):  # type: ignore[no-untyped-def]
    """How fast a gap moves along the flow."""
    rate = 0.0
    for i in range(T.atoms[3 * a + 2], T.atoms[3 * a + 5]):
        rate += T.v[T.slots[4] + T.atom_y[2 * i]] * flow[T.atom_y[2 * i + 1]]
    return rate


@compiled
def instant_moves(T, root, flow):  # type: ignore[no-untyped-def]
    """How the instant of a located event or a mode moves with each direction: -(gap along it) / (gap in time)."""
    v, slot, n = T.v, T.slots[4], T.sizes[N_DIRECTIONS]
    best, speed = _nearest_gap(T, root, flow)
    for d in range(n):
        T.moved[d] = 0.0
        if best >= 0:
            for i in range(T.tau_ptr[best * n + d], T.tau_ptr[best * n + d + 1]):
                along = v[T.tau[2 * i + 1]] if T.tau[2 * i + 1] >= 0 else 1.0
                T.moved[d] -= v[slot + T.tau[2 * i]] * along / speed


@compiled
def shift_all(T, flow, sign):  # type: ignore[no-untyped-def]
    """Move all tangents along the flow by sign times how the instant at hand moves."""
    for d in range(T.sizes[N_DIRECTIONS]):
        for j in range(T.row_ptr[d], T.row_ptr[d + 1]):
            T.v[T.rows[2 * j + 1]] += sign * T.moved[d] * flow[T.rows[2 * j]]


@compiled
def grazing_speed(G, T, base, other, root, theta, h):  # type: ignore[no-untyped-def]
    """The speed of a gap near zero if it is touched where it turns, as a share of its size a unit of time; 0 if it crosses.

    A gap that meets zero with speed s and is slowed down by b each unit of time goes s^2 / (2 b) beyond. Where that is less than some
    times its error, by the errors allowed in states, it cannot be told from one that turns back at zero, and nothing tells how its
    instant moves. b is asked between the instant, t + theta h, and where the gap was many of these errors away, or where
    the step began: so it does not matter how long that step is. States in slot y are those at its beginning.
    """
    addr, off, opt, w, flow, v, slot = G.addr, G.off, G.opt, G.w, G.flow, T.v, T.slots[4]
    n, Y = off[N_STATES], off[S_Y]
    for i in range(n):
        flow[n + i] = w[Y + i]
    _ask_gaps(G, T, base, other, theta)
    read_rates(addr, off, w, base, flow)
    best, speed = _nearest_gap(T, root, flow)
    error, size, away, before = 0.0, 0.0, 0.0, 0.0
    if best >= 0:
        for k in range(T.atoms[3 * best + 2], T.atoms[3 * best + 5]):
            i, slope = T.atom_y[2 * k + 1], abs(v[slot + T.atom_y[2 * k]])
            if w[off[S_ATOL] + i] < _CERTAIN:
                error += slope * (w[off[S_ATOL] + i] + opt[RTOL] * abs(w[Y + i]))
                size += slope * max(w[off[S_PEAK] + i], abs(w[Y + i]))
        at = slot + T.atoms[3 * best + 1]
        _ask_gaps(G, T, base, other, 0.0)
        if abs(v[at]) > _AWAY * error:
            beyond = theta
            for _ in range(30):
                half = 0.5 * (before + beyond)
                _ask_gaps(G, T, base, other, half)
                if abs(v[at]) > _AWAY * error:
                    before = half
                else:
                    beyond = half
            _ask_gaps(G, T, base, other, before)
        read_rates(addr, off, w, base, flow)
        away = _gap_rate(T, best, flow)
    for i in range(n):
        w[Y + i] = flow[n + i]
    slowed = abs(away) - (speed if away > 0.0 else -speed)
    if not abs(speed) < np.inf:  # beyond the end of what has a rate
        speed, slowed = 0.0, abs(away)
    if not (slowed > 0.0 and size > 0.0 and theta > before):
        return 0.0
    least = np.sqrt(2.0 * _BEYOND * error * slowed / ((theta - before) * h))
    return min(least, max(abs(away), abs(speed))) / size if abs(speed) < least else 0.0


@compiled
def _ask_gaps(G, T, base, other, theta):  # type: ignore[no-untyped-def]
    """Gaps and their slopes at t + theta h; states at the beginning of the step are kept in `flow`, those asked about are left in slot y."""
    off, w, flow, n = G.off, G.w, G.flow, G.off[N_STATES]
    for i in range(n):
        w[off[S_Y] + i] = flow[n + i]
    interpolate(off, w, theta, off[S_YS])
    for i in range(n):
        w[off[S_Y] + i] = w[off[S_YS] + i]
    call_kernel(T.addresses[T_ATOMS], base, other)


@compiled
def jump_matters(G, grazing, event):  # type: ignore[no-untyped-def]
    """Whether rates in slot f differ from those in `flow` (from `n` on) by more than fades with the speed of a gap that is touched.

    Where an event has fired, rates of what it has set are new altogether.
    """
    off, w, flow, n = G.off, G.w, G.flow, G.off[N_STATES]
    roots = off[N_ROOTS]
    for e in range(roots if event else 0):
        if G.now[2 * roots + e] != 0:
            for j in range(G.target_ptr[G.root_event[e]], G.target_ptr[G.root_event[e] + 1]):
                flow[n + G.targets[j]] = 0.0
    some = False
    for i in range(n):
        some = some or abs(w[off[S_F] + i] - flow[n + i]) > _FADING * grazing * w[off[S_PEAK] + i]
    return some


@compiled
def give_up_derivative(G, t, mode):  # type: ignore[no-untyped-def]
    """Give up a run (of one lane) in which a condition turns where nothing can be differentiated.

    `mode` counts modes, then events.
    """
    G.status[0], G.fail_time[0], G.culprit[0] = NO_DERIVATIVE, t, mode
    G.source[0] = -1
