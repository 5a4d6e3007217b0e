"""What the step loop and those who call it agree on: which number stands where, and which arrays are handed over.

The loop gets addresses of arrays, in the order of the fields below; whoever calls it answers for shape, type and life of
the arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Wholes = NDArray[np.int64]

OK, STEP_UNDERFLOW, TOO_MANY_STEPS, NOT_FINITE, EVENTS_WITHOUT_END, NO_DERIVATIVE, UNRESOLVED = range(7)
# what `run_group` says: at its end, or that `path` was too short
ARRIVED, PATH_FULL = 0, 1

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
    "gaps",
    "modes",
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
    "peak",
    "f",
    "ys",
    "dense",
    "g",
    "gdot",
    "k",
    "stages",
    "roots",
    "gaps",
    "modes",
)
(
    PREPARE,
    INITIAL,
    RHS,
    RHS_AT_SAMPLE,
    JAC,
    LU,
    STEP,
    DENSE,
    OBSERVE,
    OBSERVE_RATE,
    CONDITIONS,
    GAPS,
    MODES,
) = range(13)
(
    S_CONTROL,
    S_ERROR,
    S_P,
    S_Q,
    S_Y,
    S_Y1,
    S_U,
    S_ATOL,
    S_PEAK,
    S_F,
    S_YS,
    S_DENSE,
    S_G,
    S_GDOT,
    S_K,
    S_STAGES,
    S_ROOTS,
    S_GAPS,
    S_MODES,
) = range(19)
N_STATES, N_LANES, N_PADDED, N_OUTPUTS, N_ROOTS, N_CLOCK, N_FIXED, N_MIDDLE, N_GAPS, N_MODES = range(19, 29)
# how many states the conditions on states read, then which
N_TURNING, TURNING = 29, 30
RTOL, H_MAX, MAX_STEPS, WANT_RATES, SINCE, IN_TIME, TOGETHER = range(7)
ACCEPTED, REJECTED, FACTORED, RECORDED = range(4)


class LoopArrays(NamedTuple):
    """Everything of a lane group."""

    addr: Wholes  # kernels, in the order of KERNELS, then events
    off: Wholes  # SLOTS and sizes, then states that conditions read
    opt: Reals  # options
    w: Reals  # workspace; slots p, atol (and y if `given_start`) are filled
    breaks: Reals  # (n_breaks,): times at which something changes; first and last are start and end
    middles: Reals  # (n_breaks,): the middle of the stretch that begins at each break
    op_ptr: Wholes  # (n_breaks + 1,): what changes at break b is op_ptr[b]:op_ptr[b+1]
    op_kind: Wholes
    op_index: Wholes  # a state, or an event
    op_amount: Reals  # (n_ops, W or 1): a jump, a change of rate, or whether the event fires
    root_event: Wholes  # (n_roots,): state-triggered events
    held: Wholes  # (n_roots,): whether their condition counts as true before the start
    targets: Wholes
    target_ptr: Wholes
    times: Reals  # (n_times, W): ascending per lane; the same in all where `opt` says so
    samples: Reals  # (n_times, n W): receives states, as far as `ptr`; nan of lanes given up
    inputs: Reals  # (n_times, n W): receives zero-order inputs
    status: Wholes  # (W,): outcome per lane
    fail_time: Reals  # (W,)
    culprit: Wholes  # (W,)
    counts: Wholes  # (4,): steps accepted, rejected, factorisations, rows of `path`
    source: Wholes  # (W,): the lane that each lane follows (its own number to begin with)
    ptr: Wholes  # (W,): the next sample of each lane
    now: Wholes  # (3 n_roots,): room
    pace: (
        Reals  # (5 n_roots,): when each located event fired and how its intervals shrink (see `_without_end`)
    )
    seen: Reals  # (7 n_gaps W,): room for gaps along a step
    flow: Reals  # (2 n W,): room
    share: Reals  # (n, W): the absolute error allowed in a state as a share of its largest value; zero where it is given
    low: Wholes  # (n, W): whether a state has fallen so far that its error counts
    least: Reals  # (n, W): the least it has been since
    grown: Wholes  # (n, W): receives which states grew by themselves from there
    watched: Wholes  # (n_watched,): outputs of which the greatest value is wanted
    behind: Wholes  # (1 + some,): how many states these read, then which
    greatest: Reals  # (2, n_watched, W): receives it, and its time
    heights: Reals  # (8, n_watched, W): room for these outputs along a step
    path: Reals  # (some, 3 + 5 n), one lane only: receives start, end, step length, y, y1, K_1, K_2, K_3 of every step


class Tangents(NamedTuple):
    """Everything the loop needs to carry sensitivities along, the same way; `sizes` is zero without them."""

    addresses: Wholes  # prepare, step, dense, observe_y, observe_p, initial, atoms, then events
    v: Reals  # the tangents' workspace
    slots: Wholes  # where gy, gp, y0p, event, atoms begin
    sizes: Wholes  # whether there are tangents, then numbers of things, in the order of the constants below
    groups: Wholes  # (n_groups, 6): where s, s1, sample, u, dense begin, and how many doubles a vector has
    places: Wholes  # (n_groups, n_states): where a state is in those vectors, or -1
    pairs_y: Wholes  # (k, 3): entry of gy, place in v of the sampled tangent, place in the result
    pairs_p: Wholes  # (k, 2): entry of gp, place in the result
    initials: Wholes  # (k, 2): entry of y0p, place in v
    seed_ptr: Wholes  # (n_breaks + 1,): seeds of each break
    seed_code: Wholes  # what a seed is
    seed_at: Wholes  # place in v, or a direction
    seed_value: Reals
    row_ptr: Wholes  # (n_directions + 1,): rows each direction reaches
    rows: Wholes  # (k, 2): state, place in v
    event_ptr: Wholes  # (n_events + 1,): entries that are derivatives by states
    event_y: Wholes  # (k, 3): entry, target, state
    event_p_ptr: Wholes  # (n_events + 1,)
    event_p: Wholes  # (k, 2): entry, place in v
    atoms: (
        Wholes  # (k, 3): located event, where its gap is, where its derivatives by states begin in `atom_y`
    )
    atom_y: Wholes  # (k, 2): entry, state
    tau_ptr: Wholes  # (n_atoms * n_directions + 1,)
    tau: Wholes  # (k, 2): entry, place in v (or -1 for a slope by the direction itself)
    result: Reals  # (n_times, n_outputs * n_directions), receives them
    moved: Reals  # (n_directions,): room


T_PREPARE, T_STEP, T_DENSE, T_OBSERVE_Y, T_OBSERVE_P, T_INITIAL, T_ATOMS, T_EVENTS = range(8)
# what moves along a direction: a state, an input, or the instant of a turn, of doses, of timed events
SEED_STATE, SEED_INPUT, SEED_TURN, SEED_DOSE, SEED_EVENT = range(5)
ON, N_GROUPS, N_PLACES, N_PAIRS_Y, N_PAIRS_P, N_INITIALS, N_DIRECTIONS, N_ATOMS, N_RESULTS = range(9)


class Reading(NamedTuple):
    """States of a lane group to be read, and where what they say goes."""

    addr: Wholes
    off: Wholes
    opt: Reals
    w: Reals  # workspace, prepared
    samples: Reals  # (n_times, n W)
    inputs: Reals  # (n_times, n W): zero-order inputs, when rates are wanted
    lanes: Wholes  # (n_lanes,): which row of the results each lane is
    states: Reals  # (n_sets, n_times, n_states), receives them
    outputs: Reals  # (n_sets, n_times, n_outputs), receives them
    rates: Reals  # (n_sets, n_times, n_outputs): rates of change, when wanted


def addresses(*handed: NamedTuple) -> Wholes:
    """Where all arrays of some of these tuples begin, in order; they must live as long as the loop runs."""
    arrays = [each for group in handed for each in group]
    apart = {id(each): each for each in arrays}  # where nothing is wanted, one array stands for many
    assert all(each.flags.c_contiguous and each.itemsize == 8 for each in apart.values())
    found = {name: each.ctypes.data for name, each in apart.items()}
    return np.array([found[id(each)] for each in arrays], np.int64)
