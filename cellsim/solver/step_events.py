"""Events and conditions on states in the step loop: what turns within a step, and what events then set.

In the Python that numba compiles; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

import numpy as np

from cellsim.solver.loop_arrays import (
    CONDITIONS,
    EVENTS_WITHOUT_END,
    GAPS,
    KERNELS,
    MODES,
    N_CLOCK,
    N_GAPS,
    N_LANES,
    N_MIDDLE,
    N_MODES,
    N_ROOTS,
    N_STATES,
    N_TURNING,
    ON,
    RHS,
    RTOL,
    S_ATOL,
    S_F,
    S_GAPS,
    S_MODES,
    S_ROOTS,
    S_Y,
    S_Y1,
    S_YS,
    SLIDING,
    TURNING,
)
from cellsim.solver.step_control import (
    BETWEEN,
    call_kernel,
    compiled,
    interpolate_turning,
    read_rates,
    stand_in,
    stays_above,
    through_five,
)
from cellsim.solver.step_loop_tangents import copy_tangents, event_tangents, instant_is, shift_tangents

__all__ = [
    "end_events",
    "end_sliding",
    "fire_events",
    "hold_events",
    "leave_branch",
    "read_before",
    "renew_modes",
    "settle_events",
    "turned_within",
    "what_turns",
    "without_end",
]

_EARLY = 0.1464466094067262  # of a step: another such place, for a wave may look like a slower one in six
# of a step: where gaps are looked at, the last two only in one much longer than that before it, where a fast wave may by chance
# look like a slow one; no two are in the ratio of small whole numbers, or a wave could be in the same phase at all of them
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0, BETWEEN, _EARLY, 0.3794733192202055, 0.9168766718381447)
_SOON = 1e-6  # of a step
# of the time: by rounding alone the instant of a located event is this uncertain
_SAME_INSTANT = 1e-12
_FOLLOWED = 0.01  # of its range in a step: what a polynomial may leave of a gap
_ROUNDS = 64  # events that set off events at one instant
_NO_DELAY = 1e-7  # of the first step: what an event brings about this soon is of the same instant
# an event whose intervals shrink to this share of what they were, by one factor each time, has no end
_VANISHED, _IN_A_ROW, _ONE_FACTOR = 1e-2, 3, 0.2


@compiled
def _read_conditions(addr, off, w, base, source, now, into):  # type: ignore[no-untyped-def]
    """Whether each state-triggered event's condition holds (one lane only)."""
    for i in range(off[N_STATES]):
        w[off[S_YS] + i] = w[source + i]
    call_kernel(addr[CONDITIONS], base, base)
    for e in range(off[N_ROOTS]):
        now[into + e] = 1 if w[off[S_ROOTS] + e] > 0.5 else 0


@compiled
def renew_modes(addr, off, w, base):  # type: ignore[no-untyped-def]
    """Conditions on states in rates, asked at the state in slot y and held from here on."""
    W = off[N_LANES]
    for i in range(off[N_STATES] * W):
        w[off[S_YS] + i] = w[off[S_Y] + i]
    call_kernel(addr[MODES], base, base)
    held = off[S_Y] + (off[N_STATES] - off[N_MODES]) * W
    for i in range(off[N_MODES] * W):
        w[held + i] = w[off[S_MODES] + i]


@compiled
def _changed_mode(addr, off, w, base, source):  # type: ignore[no-untyped-def]
    """The first mode that is another at the state in slot ys, or -1."""
    W = off[N_LANES]
    call_kernel(addr[MODES], base, base)
    held = off[S_Y] + (off[N_STATES] - off[N_MODES]) * W
    for i in range(off[N_MODES] * W):
        if w[off[S_MODES] + i] != w[held + i] and source[i % W] == i % W:
            return np.int64(i // W)
    return np.int64(-1)


@compiled
def what_turns(G, base, room):  # type: ignore[no-untyped-def]
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


@compiled
def read_before(G, base, t, h, event, instant, last, n_times):  # type: ignore[no-untyped-def]
    """The first sample that is to be read after a located event of this step (one lane only).

    The instant is known to rounding. Where a sample is as near as that, up to time `last`, the condition itself is asked at it.
    """
    off, w, times, sample, roots = G.off, G.w, G.times, G.ptr[0], G.off[N_ROOTS]
    near = _SAME_INSTANT * max(1.0, abs(instant))
    while sample < n_times and times[sample] <= min(instant + near, last):
        if times[sample] >= instant - near:
            interpolate_turning(off, w, (times[sample] - t) / h)
            if off[N_CLOCK] >= 0:
                w[off[S_YS] + off[N_CLOCK]] = times[sample]
            _read_conditions(G.addr, off, w, base, off[S_YS], G.now, roots)
            if G.now[roots + event] != 0:
                break
        sample += 1
    return sample


@compiled
def leave_branch(G, base, span):  # type: ignore[no-untyped-def]
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
        renew_modes(addr, off, w, base)
    return mode


@compiled
def _apply_event(addr, off, w, base, event, targets, target_ptr, mask, first, stride):  # type: ignore[no-untyped-def]
    """New values of the event's targets into slot y1, in the lanes where the mask (from `first` on) is set."""
    W = off[N_LANES]
    call_kernel(addr[len(KERNELS) + event], base, base)
    for j in range(target_ptr[event], target_ptr[event + 1]):
        i = targets[j]
        for lane in range(W):
            if stride == 0 or mask[first + (lane if stride > 1 else 0)] != 0.0:
                w[off[S_Y1] + i * W + lane] = w[off[S_YS] + i * W + lane]


@compiled
def settle_events(G, base, T, other, asked, first, last, stride):  # type: ignore[no-untyped-def]
    """Fire all events that turn true at this instant, from the values before any of them, then those these set off.

    Operations ``first:last`` hold events that time alone sets off; conditions on time and states are `asked` at the
    instant itself, or just after it. Those that fire are added to the third part of `now`.

    Returns the located event that fires without end; -1 where all came to rest, -2 where none fired.
    """
    addr, off, w, now, held = G.addr, G.off, G.w, G.now, G.held
    roots, size, Y, Y1 = off[N_ROOTS], off[N_STATES] * off[N_LANES], off[S_Y], off[S_Y1]
    if roots and off[N_MIDDLE] >= 0:
        w[Y + off[N_MIDDLE]] = asked
    for turn in range(_ROUNDS):
        some = turn == 0 and last > first
        if roots:
            _read_conditions(addr, off, w, base, Y, now, np.int64(0))
        for e in range(roots):
            now[roots + e] = 1 if now[e] != 0 and held[e] == 0 else 0
            if now[roots + e] != 0:
                now[2 * roots + e] = 1
                some = True
            held[e] = now[e]
        if not some:
            return np.int64(-1 if turn else -2)
        if T.sizes[ON]:
            copy_tangents(T, np.int64(0), np.int64(2))
        for i in range(size):
            w[Y1 + i] = w[Y + i]
        for o in range(first, last if turn == 0 else first):
            if T.sizes[ON]:
                event_tangents(T, base, other, G.op_index[o])
            _apply_event(
                addr, off, w, base, G.op_index[o], G.targets, G.target_ptr, G.op_amount, o * stride, stride
            )
        for e in range(roots):
            if now[roots + e] != 0:
                if T.sizes[ON]:
                    event_tangents(T, base, other, G.root_event[e])
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


@compiled
def fire_events(G, base, T, other, b, asked, first, last, stride, kind):  # type: ignore[no-untyped-def]
    """What :func:`settle_events` does at a break, with tangents moved to where its instants move, and back."""
    addr, off, w = G.addr, G.off, G.w
    moves = T.sizes[ON] != 0 and instant_is(T, b, kind)
    if moves:
        read_rates(addr, off, w, base, G.flow)
        shift_tangents(T, b, kind, G.flow, 1.0)
    endless = settle_events(G, base, T, other, asked, first, last, stride)
    if off[N_ROOTS] and off[N_MIDDLE] >= 0:
        w[off[S_Y] + off[N_MIDDLE]] = G.middles[b]
    if off[N_MODES]:
        renew_modes(addr, off, w, base)
    if moves:
        read_rates(addr, off, w, base, G.flow)
        shift_tangents(T, b, kind, G.flow, -1.0)
    return endless


@compiled
def hold_events(G, base, h):  # type: ignore[no-untyped-def]
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


@compiled
def without_end(G, t):  # type: ignore[no-untyped-def]
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


@compiled
def end_events(G, t, root):  # type: ignore[no-untyped-def]
    """Give up a run (of one lane) in which an event fires without end."""
    G.status[0], G.fail_time[0], G.culprit[0] = EVENTS_WITHOUT_END, t, G.root_event[root]
    G.source[0] = -1


@compiled
def end_sliding(G, base, t):  # type: ignore[no-untyped-def]
    """Give up lanes in which a mode turns at the state in slot y, as it has done all along; False if none is left."""
    addr, off, w, W = G.addr, G.off, G.w, G.off[N_LANES]
    for i in range(off[N_STATES] * W):
        w[off[S_YS] + i] = w[off[S_Y] + i]
    call_kernel(addr[MODES], base, base)
    held = off[S_Y] + (off[N_STATES] - off[N_MODES]) * W
    for i in range(off[N_MODES] * W):
        lane = i % W
        if w[off[S_MODES] + i] != w[held + i] and G.source[lane] == lane:
            G.status[lane], G.fail_time[lane], G.culprit[lane], G.source[lane] = SLIDING, t, i // W, -1
    return stand_in(off, w, G.source)


@compiled
def _gap_at(addr, off, w, base, theta, gap):  # type: ignore[no-untyped-def]
    """A gap inside the step."""
    interpolate_turning(off, w, theta)
    call_kernel(addr[GAPS], base, base)
    return w[off[S_GAPS] + gap]


@compiled
def _take_turning(off, w, source):  # type: ignore[no-untyped-def]
    """The states that conditions read, from a slot into slot ys."""
    W = off[N_LANES]
    for turning in range(off[N_TURNING]):
        row = off[TURNING + turning] * W
        for i in range(row, row + W):
            w[off[S_YS] + i] = w[source + i]


@compiled
def _gap_error(addr, off, opt, w, base, gap):  # type: ignore[no-untyped-def]
    """How far a gap is uncertain at the end of the step, by the error allowed in each state."""
    W, Y1, YS = off[N_LANES], off[S_Y1], off[S_YS]
    lane = gap % W
    _take_turning(off, w, Y1)
    call_kernel(addr[GAPS], base, base)
    here, total = w[off[S_GAPS] + gap], 0.0
    for turning in range(off[N_TURNING]):
        i = off[TURNING + turning] * W + lane
        if w[off[S_ATOL] + i] < 1e299:  # not the clock
            w[YS + i] += w[off[S_ATOL] + i] + opt[RTOL] * abs(w[Y1 + i])
            call_kernel(addr[GAPS], base, base)
            total += abs(w[off[S_GAPS] + gap] - here)
            w[YS + i] = w[Y1 + i]
    return total


@compiled
def _across(addr, off, w, base, seen, gaps, i, side, wide):  # type: ignore[no-untyped-def]
    """Where in a step a gap is farthest on the other side, near where a polynomial through five points is; or 0."""
    sign = 1.0 if side else -1.0
    if stays_above(seen, gaps, i, sign, 0.05 * wide):
        return 0.0
    lowest, at, reach = np.inf, 0.0, 0.02
    for look in range(1, 80):
        here = sign * through_five(seen, gaps, i, look / 80.0)
        if here < lowest:
            lowest, at = here, look / 80.0
    if lowest > 0.05 * wide:
        return 0.0
    farthest, found = 0.0, 0.0
    for _ in range(3):
        at = min(max(at, reach), 1.0 - reach)
        low = sign * _gap_at(addr, off, w, base, at - reach, i)
        here = sign * _gap_at(addr, off, w, base, at, i)
        high = sign * _gap_at(addr, off, w, base, at + reach, i)
        for probe in range(3):
            value = low if probe == 0 else here if probe == 1 else high
            if value < farthest:
                farthest, found = value, at + (probe - 1) * reach
        bend = low - 2.0 * here + high
        if not bend > 0.0:
            break
        at += min(max(0.5 * (low - high) / bend, -1.0), 1.0) * reach
        reach *= 0.15
    return found


@compiled
def turned_within(G, base, long, longer):  # type: ignore[no-untyped-def]
    """Where this step is to end, lest a condition on states turn and turn back in it, as a share of it; 0: at its end.

    Every gap is looked at in seven places, in nine where the step is much `longer` than the last one. A parabola through three of them that comes near zero is followed there. Where no
    polynomial through five of them tells the others, a step that is `long` is halved. Where several gaps of events cross
    zero, a condition made of them may hold between the first two only.
    """
    addr, off, opt, w, seen = G.addr, G.off, G.opt, G.w, G.seen
    gaps = off[N_GAPS] * off[N_LANES]
    probes = 9 if longer else 7
    for probe in range(probes):
        if probe != 0 and probe != 4:
            interpolate_turning(off, w, _PLACES[probe])
        else:
            _take_turning(off, w, off[S_Y1] if probe else off[S_Y])
        call_kernel(addr[GAPS], base, base)
        for i in range(gaps):
            seen[probe * gaps + i] = w[off[S_GAPS] + i]
    first = second = 1.0
    for i in range(gaps):
        low, high, near = seen[i], seen[i], abs(seen[i])
        for probe in range(1, probes):
            here = seen[probe * gaps + i]
            low, high, near = min(low, here), max(high, here), min(near, abs(here))
        reach = high - low
        rest = 0.0
        for probe in range(5, probes):
            rest = max(rest, abs(through_five(seen, gaps, i, _PLACES[probe]) - seen[probe * gaps + i]))
        if (
            long
            and rest > _FOLLOWED * reach
            and 100.0 * rest > near
            and rest > _gap_error(addr, off, opt, w, base, i)
        ):
            return 0.5
        side, end = seen[i] > 0.0, seen[4 * gaps + i] > 0.0
        if abs(seen[i]) <= _NO_DELAY * reach:  # it begins at zero: the side it leaves to
            side = _gap_at(addr, off, w, base, _SOON, i) > 0.0
        if abs(seen[4 * gaps + i]) <= _NO_DELAY * reach:
            end = _gap_at(addr, off, w, base, 1.0 - _SOON, i) > 0.0
        if off[N_ROOTS] and end != side:
            left, right = 0.0, 1.0
            for _ in range(50):
                theta = 0.5 * (left + right)
                if (_gap_at(addr, off, w, base, theta, i) > 0.0) == side:
                    left = theta
                else:
                    right = theta
            if right < first:
                first, second = right, first
            elif right < second:
                second = right
        if end != side:
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
        for attempt in range(2):
            if attempt:  # what was found first may be too near to zero to count
                theta = _across(addr, off, w, base, seen, gaps, i, side, reach)
            if theta > 0.0:
                away = abs(_gap_at(addr, off, w, base, theta, i))
                if away > _gap_error(addr, off, opt, w, base, i):
                    return theta
    # what crosses together, or where the last step ended, has nothing between
    return 0.5 * (first + second) if second < 1.0 and first > 1e-9 and second - first > 1e-9 else 0.0
