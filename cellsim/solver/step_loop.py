"""The step loop, in the Python that numba compiles: it knows slots and addresses, never a model.

Everything a kernel reads or writes lies in one workspace ``w`` (see `cellsim.compiler.kernels`); this loop sees it
as a flat array in which a value of W lanes takes W neighbouring doubles. Compiled once an installation and kept as
machine code by :mod:`cellsim.solver.step_loop_cache`, which alone imports this module; :mod:`cellsim.solver.loop_arrays` says what is where.
"""

from __future__ import annotations

import numpy as np

from cellsim.solver.breakpoints import OP_AFTER, OP_EVENT, OP_JUMP
from cellsim.solver.loop_arrays import (
    ACCEPTED,
    ARRIVED,
    DENSE,
    FACTORED,
    H_MAX,
    INITIAL,
    INSIDE,
    JAC,
    LU,
    MAX_STEPS,
    N_CLOCK,
    N_GAPS,
    N_LANES,
    N_MIDDLE,
    N_MODES,
    N_OUTPUTS,
    N_PADDED,
    N_ROOTS,
    N_STATES,
    NOT_FINITE,
    OBSERVE,
    OBSERVE_RATE,
    ON,
    OUTPUTS_ALONE,
    PATH_FULL,
    PREPARE,
    RECORDED,
    REJECTED,
    RHS,
    RHS_AT_SAMPLE,
    RTOL,
    S_CONTROL,
    S_DENSE,
    S_ERROR,
    S_G,
    S_GDOT,
    S_U,
    S_Y,
    S_Y1,
    S_YS,
    SEED_AFTER,
    SEED_DOSE,
    SEED_EVENT,
    SEED_TURN,
    SINCE,
    STEP,
    STEP_UNDERFLOW,
    T_ATOMS,
    T_DENSE,
    T_STEP,
    TOGETHER,
    TOO_MANY_STEPS,
    WANT_RATES,
    LoopArrays,
    Reading,
    Tangents,
)
from cellsim.solver.step_control import (
    all_finite,
    beside,
    call_kernel,
    compiled,
    fields_at,
    follow_heights,
    follow_scales,
    give_up,
    initial_step,
    interpolate,
    interpolate_turning,
    leave_unresolved,
    read_heights,
    read_rates,
    record_instant,
    record_step,
    sample_inside,
    sample_lane,
    see_lanes,
    see_until,
)
from cellsim.solver.step_events import (
    end_events,
    end_sliding,
    fire_events,
    hold_events,
    leave_branch,
    read_before,
    renew_modes,
    settle_events,
    turned_within,
    what_turns,
    without_end,
)
from cellsim.solver.step_loop_tangents import (
    begin_tangents,
    copy_tangents,
    give_up_derivative,
    grazing_speed,
    instant_is,
    instant_moves,
    interpolate_tangents,
    jump_matters,
    sample_tangents,
    seed_tangents,
    shift_all,
    shift_tangents,
    tangent_error,
)

__all__ = ["observe_group", "run_group"]

_SHORTEST = 1e-11  # of the time: below this a step no longer looks for the end of a branch
_LONG = 1e-9  # of the time: below this a step is no longer halved to see what turns in it
_TURNS, _NO_TIME = 1000, 1e-12
"""So many turns of conditions on states within this share of the time: rates or events on the two sides lead back to them."""
_LONGER = 3.0  # than the last step
_SMALL = 1e-3  # an error of tangents that does not hold back the next step
_STRAINED = 20  # steps in a row made shorter for tangents, which then have no derivative there: no more are

_group, _tangents, _reading = fields_at(LoopArrays), fields_at(Tangents), fields_at(Reading)
_GROUP_BYTES = 8 * len(LoopArrays._fields)


@compiled
def run_group(at, base, other, given_start, first, stop, n_breaks, n_times, stride, room, n_watched):  # type: ignore[no-untyped-def]
    """Carry W simulations through breaks ``first:stop``, up to the instant of break `stop` or to the end.

    Everything that moves lies at the addresses given, so a copy of it taken at `stop` can be carried on along
    another break_table.

    Parameters
    ----------
    at : int
        Where the addresses of the fields of :class:`LoopArrays` stand, then those of :class:`Tangents` (one lane only).
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
    n_watched : int
        Of how many outputs the greatest value is wanted.

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
    together, outputs_alone = W > 1 and opt[TOGETHER] != 0.0, opt[OUTPUTS_ALONE] != 0.0
    if first == 0:
        call_kernel(addr[PREPARE], base, base)
        if not given_start:
            call_kernel(addr[INITIAL], base, base)
        if tangents:
            begin_tangents(T, base, other, given_start)
    w[control + 1] = opt[RTOL]
    steps, resolved = counts[FACTORED], 0.0
    strained = 0  # steps in a row that were made shorter for tangents
    for b in range(first, stop):
        t = G.breaks[b]
        if off[N_CLOCK] >= 0:  # the clock never drifts from the time
            for lane in range(W):
                w[Y + off[N_CLOCK] * W + lane] = t
        if tangents:
            seed_tangents(T, b)
        # first what time alone turns, then doses, then events: each has its own instant, should it move
        moves = tangents and instant_is(T, b, SEED_TURN)
        if moves:
            read_rates(addr, off, w, base, G.flow)
            shift_tangents(T, b, SEED_TURN, G.flow, 1.0)
        if off[N_MIDDLE] >= 0:
            for lane in range(W):
                w[Y + off[N_MIDDLE] * W + lane] = G.middles[b]
        if modes:
            renew_modes(addr, off, w, base)
        if moves:
            read_rates(addr, off, w, base, G.flow)
            shift_tangents(T, b, SEED_TURN, G.flow, -1.0)
        moves = tangents and instant_is(T, b, SEED_DOSE)
        if moves:
            read_rates(addr, off, w, base, G.flow)
            shift_tangents(T, b, SEED_DOSE, G.flow, 1.0)
        events = afterwards = G.op_ptr[b + 1]
        for o in range(G.op_ptr[b], G.op_ptr[b + 1]):
            i = G.op_index[o]
            if G.op_kind[o] >= OP_EVENT:  # they come last
                events = min(events, o)
                if G.op_kind[o] == OP_AFTER:
                    afterwards = min(afterwards, o)
            else:
                slot = Y if G.op_kind[o] == OP_JUMP else off[S_U]
                for lane in range(W):
                    w[slot + i * W + lane] += G.op_amount[o * stride + (source[lane] if stride > 1 else 0)]
        if modes:
            renew_modes(addr, off, w, base)
        if moves:
            read_rates(addr, off, w, base, G.flow)
            shift_tangents(T, b, SEED_DOSE, G.flow, -1.0)
        for e in range(roots):
            now[2 * roots + e] = 0
        if roots or events < afterwards:
            endless = fire_events(G, base, T, other, b, t, events, afterwards, stride, np.int64(SEED_EVENT))
            if endless >= 0:
                end_events(G, t, endless)
                return ARRIVED
        if not all_finite(G, t):
            return ARRIVED
        if outputs_alone:
            see_until(G, base, t, n_times)
        for lane in range(W):
            while ptr[lane] < n_times and times[ptr[lane] * W + lane] <= t:
                sample_lane(G, ptr[lane], lane)
                if tangents and source[lane] == lane:
                    for i in range(n):
                        w[off[S_YS] + i] = w[Y + i]
                    copy_tangents(T, np.int64(0), np.int64(2))
                    sample_tangents(T, base, other, ptr[lane])
                ptr[lane] += 1
        if b == n_breaks - 1:
            if n_watched and t >= opt[SINCE]:
                for i in range(size):
                    w[off[S_YS] + i] = w[Y + i]
                read_heights(G, base, OBSERVE, 0.0, t, np.int64(0), n_watched)
            if room and afterwards > G.op_ptr[b]:  # what happens at the end is a step without length
                if counts[RECORDED] == room:
                    return PATH_FULL
                record_instant(G, t)
            return ARRIVED
        begun = t  # where the next step begins, as far as it is read
        if afterwards < G.op_ptr[b + 1] or (
            roots and off[N_MIDDLE] >= 0
        ):  # what turns just after the instant
            if n_watched and t >= opt[SINCE]:
                for i in range(size):
                    w[off[S_YS] + i] = w[Y + i]
                read_heights(G, base, OBSERVE, 0.0, t, np.int64(0), n_watched)
            if room:
                if counts[RECORDED] == room:
                    return PATH_FULL
                record_instant(G, t)
            endless = fire_events(
                G, base, T, other, b, G.middles[b], afterwards, G.op_ptr[b + 1], stride, np.int64(SEED_AFTER)
            )
            if endless >= 0:
                end_events(G, t, endless)
                return ARRIVED
            if endless == -1:
                begun = beside(t, 1.0)
                if not all_finite(G, t):
                    return ARRIVED
            elif room:
                counts[RECORDED] -= 1
        end = G.breaks[b + 1]
        follow_scales(G, base, Y)
        h = min(initial_step(addr, off, opt, w, base, end - t), opt[H_MAX])
        if roots:
            hold_events(G, base, h)
        fresh, grown, old_error = True, True, 1e-4
        turns, since = 0, t
        looked = np.int64(0)  # at tangents, from here on
        while t < end:
            left = end - t
            last = h * 1.000001 >= left
            if last:
                h = left
            elif 2.0 * h > left:
                h = 0.5 * left
            if steps >= opt[MAX_STEPS]:
                call_kernel(addr[RHS], base, base)
                give_up(off, w, G.status, source, t, G.fail_time, G.culprit, np.int64(TOO_MANY_STEPS))
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
                    left_mode = leave_branch(G, base, _SHORTEST * (end - t))
                    if left_mode >= 0:
                        if tangents:
                            give_up_derivative(G, t, left_mode)
                            return ARRIVED
                        fresh = True
                        h = min(initial_step(addr, off, opt, w, base, left), opt[H_MAX])
                        continue
                if h <= 4e-16 * abs(t) or h < 1e-290:
                    call_kernel(addr[RHS], base, base)
                    code = np.int64(STEP_UNDERFLOW) if error < 1e300 else np.int64(NOT_FINITE)
                    if not give_up(off, w, G.status, source, t, G.fail_time, G.culprit, code):
                        return ARRIVED
                    fresh = True
                    h = min(initial_step(addr, off, opt, w, base, left), opt[H_MAX])
                continue
            dense = False
            if off[N_GAPS]:
                call_kernel(addr[DENSE], base, base)
                dense = True
                turned = turned_within(G, base, h > _LONG * max(abs(t), abs(end)), h > _LONGER * resolved)
                if (
                    turned > 0.0
                ):  # end this step where the condition holds otherwise, and begin the next there
                    counts[REJECTED] += 1
                    grown = False
                    h *= turned
                    continue
            if tangents:
                call_kernel(T.addresses[T_STEP], base, other)
                looked += 1
                anew, least = looked & (looked - 1) == 0, max(error, _SMALL)
                tried = tangent_error(T, off, opt, w, base, other, anew, least)
                if tried <= 1.0:
                    strained = 0
                    error = max(error, tried)
                elif strained < _STRAINED:
                    strained += 1
                    counts[REJECTED] += 1
                    grown = False
                    h *= max(0.2, 0.9 * tried**-0.2)
                    continue
            counts[ACCEPTED] += 1
            resolved = h
            new = end if last else t + h
            hit = np.int64(-1)
            hit_theta = 1.0
            if roots or modes:
                for probe in range(1, 5):
                    theta = 0.25 * probe
                    if not dense:
                        call_kernel(addr[DENSE], base, base)
                        dense = True
                    interpolate_turning(off, w, theta)
                    hit = what_turns(G, base, np.int64(0))
                    if hit >= 0:
                        low, high = theta - 0.25, theta
                        for _ in range(60):
                            theta = 0.5 * (low + high)
                            if theta <= low or theta >= high:
                                break
                            interpolate_turning(off, w, theta)
                            first_hit = what_turns(G, base, roots)
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
            before = np.int64(-1)
            if hit >= 0 and hit < roots:
                # at a break where more happens a sample is read after that
                nothing_else = G.op_ptr[b + 1] == G.op_ptr[b + 2]
                until = end if nothing_else else beside(end, -1.0)
                before = read_before(G, base, t, h, hit, new, until, n_times)
            if n_watched:
                if not dense:
                    call_kernel(addr[DENSE], base, base)
                    dense = True
                follow_heights(G, base, t, h, hit_theta, n_watched)
            tangents_dense = False
            while together and ptr[0] < n_times:
                s = times[ptr[0] * W]
                if not (s < new or (s <= new and new < end and hit < 0)):
                    break
                if not dense:
                    call_kernel(addr[DENSE], base, base)
                    dense = True
                if outputs_alone:
                    see_lanes(G, base, INSIDE, (s - t) / h, ptr[0])
                else:
                    sample_inside(G, ptr[0], s, (s - t) / h)
                for lane in range(W):
                    ptr[lane] += 1
            for lane in range(0 if together else W):
                while ptr[lane] < n_times and (before < 0 or ptr[lane] < before):
                    s = times[ptr[lane] * W + lane]
                    if before < 0 and not (s < new or (s <= new and new < end and hit < 0)):
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
                            interpolate_tangents(T, theta)
                            sample_tangents(T, base, other, ptr[lane])
                    else:
                        sample_lane(G, ptr[lane], lane)
                    ptr[lane] += 1
            if room:
                if counts[RECORDED] == room:
                    return PATH_FULL
                if not dense:
                    call_kernel(addr[DENSE], base, base)
                record_step(G, begun, new, h)
                begun = new
            grazing = 0.0
            if hit >= 0:
                if tangents:
                    grazing = grazing_speed(G, T, base, other, hit, hit_theta, h)
                interpolate(off, w, hit_theta, off[S_YS])
                for i in range(size):
                    w[Y1 + i] = w[off[S_YS] + i]
            risen = follow_scales(G, base, Y1)
            for i in range(size):
                w[Y + i] = w[Y1 + i]
            if tangents:
                if hit >= 0:
                    if not tangents_dense:
                        call_kernel(T.addresses[T_DENSE], base, other)
                    interpolate_tangents(T, hit_theta)
                    copy_tangents(T, np.int64(2), np.int64(0))
                else:
                    copy_tangents(T, np.int64(1), np.int64(0))
            fresh = True
            t = new
            if off[N_CLOCK] >= 0:
                for lane in range(W):
                    w[Y + off[N_CLOCK] * W + lane] = t
            if risen and not leave_unresolved(G, base, t):
                return ARRIVED
            if hit >= 0:
                if tangents:
                    read_rates(addr, off, w, base, G.flow)
                    call_kernel(T.addresses[T_ATOMS], base, other)
                    instant_moves(T, hit, G.flow)
                    shift_all(T, G.flow, 1.0)
                    for i in range(n):
                        G.flow[n + i] = G.flow[i]
                if hit < roots:
                    for e in range(roots):
                        now[2 * roots + e] = 0
                    endless = settle_events(G, base, T, other, G.middles[b], 0, 0, 0)
                    follow_scales(G, base, Y)
                    if endless < 0:
                        endless = without_end(G, t)
                    if endless >= 0:
                        end_events(G, t, endless)
                        return ARRIVED
                turns += 1
                if turns == _TURNS:
                    if t - since <= _NO_TIME * max(abs(t), G.breaks[n_breaks - 1] - G.breaks[0]):
                        if hit < roots:
                            end_events(G, t, hit)
                            return ARRIVED
                        if not end_sliding(G, base, t):
                            return ARRIVED
                    turns, since = 0, t
                if modes:
                    renew_modes(addr, off, w, base)
                if tangents:
                    read_rates(addr, off, w, base, G.flow)
                    shift_all(T, G.flow, -1.0)
                    # a gap that slows down towards zero is touched, not crossed
                    if grazing > 0.0 and jump_matters(G, grazing, hit < roots):
                        give_up_derivative(G, t, hit - roots if hit >= roots else modes + G.root_event[hit])
                        return ARRIVED
                if t < end:
                    h = min(initial_step(addr, off, opt, w, base, end - t), opt[H_MAX])
                    if hit < roots:
                        hold_events(G, base, h)
                    old_error = 1e-4
                if outputs_alone and t < end:
                    see_until(G, base, t, n_times)
                for lane in range(W):
                    while ptr[lane] < n_times and times[ptr[lane] * W + lane] <= t and t < end:
                        sample_lane(G, ptr[lane], lane)
                        if tangents:
                            for i in range(size):
                                w[off[S_YS] + i] = w[Y + i]
                            copy_tangents(T, np.int64(0), np.int64(2))
                            sample_tangents(T, base, other, ptr[lane])
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


@compiled
def observe_group(at, base, n_times, n_lanes, n_states, by_time, by_output):  # type: ignore[no-untyped-def]
    """Outputs (and their rates of change) at the samples of a group, into result arrays by simulation.

    Parameters
    ----------
    at : int
        Where the addresses of the fields of :class:`Reading` stand.
    base : int
        Where `w` stands.
    n_times, n_lanes, n_states : int
        How many samples, lanes wanted, and states to copy.
    by_time, by_output : int
        How many numbers lie between two samples, and between two outputs, of a lane.

    Returns
    -------
    int
        ARRIVED.
    """
    R = _reading(at)
    addr, off, w = R.addr, R.off, R.w
    W, n, n_out, rates = off[N_LANES], off[N_STATES], off[N_OUTPUTS], R.opt[WANT_RATES] != 0.0
    size = n * W
    if R.opt[OUTPUTS_ALONE] != 0.0:  # read already: lanes lie side by side where draws do
        for s in range(n_times):
            for o in range(n_out):
                at_time, row = s * by_time + o * by_output, (s * n_out + o) * W
                for lane in range(n_lanes):
                    R.outputs[R.places[lane] + at_time] = R.samples[row + lane]
        return ARRIVED
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
        for o in range(n_out):  # lanes lie side by side where draws do
            at_time = s * by_time + o * by_output
            for lane in range(n_lanes):
                first = R.samples[s * size + lane] if n > 0 else 0.0
                place = R.places[lane] + at_time
                R.outputs[place] = np.nan if first != first else w[off[S_G] + o * W + lane]
                if rates:
                    R.rates[place] = np.nan if first != first else w[off[S_GDOT] + o * W + lane]
    return ARRIVED
