"""Schedules that begin alike: integrated once up to where they part, and not a bit of difference.

The witness is the same engine, one schedule at a time; that one is held to closed forms in test_solver.py and
test_simulation.py.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import OneCompartment, system

from cellsim.compiler.equations import Equations, Trigger
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.errors import SimulationError
from cellsim.predictions.streaming import stream
from cellsim.solver.breakpoints import lane_groups, segment_tree
from cellsim.solver.integration import Doses, Solution, integrate
from cellsim.solver.lanes import HISTORIES, Histories, begin, lane_start, machine_of
from cellsim.solver.loop_arrays import N_STATES

BAG = compile_equations(
    replace(
        system({"bag": "-k*bag", "x": "k*bag - v*x/(m + x) + 0.1*sin(time)"}, "k v m", x=0.2, bag=1.0),
        outputs=(sp.Symbol("x") ** 2 * sp.Symbol("m"),),
        output_names=("seen",),
    )
)
ONE = compile_equations(OneCompartment().equations)
P = np.array([3.0, 1.1, 0.7]) * np.exp(0.4 * np.random.default_rng(0).standard_normal((8, 3)))
HISTORY = tuple((float(t), "bag", 2.0) for t in range(-20, 0, 2))
PLANS = (
    Doses(HISTORY),
    Doses((*HISTORY, (0.0, "bag", 4.0), (3.0, "bag", 4.0))),
    Doses((*HISTORY, (0.0, "bag", 4.0), (3.0, "bag", 1.0)), ((3.0, 4.0, "x", 1.0),)),
    Doses((*HISTORY, (0.0, "bag", 4.0), (5.0, "bag", 1.0))),
    Doses((*HISTORY, (0.0, "x", 1.0))),
    Doses((*HISTORY, (0.0, "bag", 4.0), (3.0, "bag", 4.0))),
)
TIMES = np.array([-20.0, -19.5, -3.0, -2.0, 0.0, 0.5, 3.0, 3.5, 7.0, 9.0])


def crossed(
    kernels: Kernels, sets: np.ndarray, plans: Sequence[Doses], times: np.ndarray, **options
) -> Solution:
    """All sets under the first plan, then all under the second, ..."""
    doses = [each for each in plans for _ in sets]
    return integrate(kernels, np.tile(sets, (len(plans), 1)), doses, times, **options)


def one_by_one(
    kernels: Kernels, sets: np.ndarray, plans: Sequence[Doses], times: np.ndarray, **options
) -> list[Solution]:
    return [integrate(kernels, sets, each, times, **options) for each in plans]


@pytest.mark.parametrize("options", [{}, {"max_steps": 150}, {"lanes": 1}], ids=str)
def test_outputs_go_where_they_are_wanted(options: dict) -> None:
    """Witness: the outputs as they come by themselves, of simulations that fail too, after others have stood there."""
    options = {"start": -20.0, **options}
    plain = crossed(BAG, P, PLANS, TIMES, **options)
    room = np.full((len(PLANS), len(TIMES), 2, len(P) + 3), -7.0)
    into = room[:, :, :1, 2:-1].transpose(0, 3, 1, 2)
    found = crossed(BAG, P, PLANS, TIMES, into=into, **options)
    assert found.outputs is into
    assert np.array_equal(into.reshape(plain.outputs.shape), plain.outputs, equal_nan=True)
    assert np.array_equal(found.status, plain.status) and plain.status.any() == ("max_steps" in options)
    assert (room[:, :, 1:] == -7).all() and (room[..., :2] == -7).all() and (room[..., -1:] == -7).all()


def test_a_history_that_was_kept_is_gone_on_from_in_every_direction() -> None:
    """Witness: the first call, and one without a history; what is kept has no room for samples, of which there are many more."""
    times = np.linspace(0.0, 9.0, 400)
    alone = crossed(BAG, P, PLANS, times, start=-20.0)
    HISTORIES.forget()
    for _ in range(2):
        found = crossed(BAG, P, PLANS, times, start=-20.0, resume_at=-1.0)
        assert found.outputs == pytest.approx(alone.outputs, rel=1e-5)
        assert np.array_equal(
            found.outputs, crossed(BAG, P, PLANS, times, start=-20.0, resume_at=-1.0).outputs
        )


def test_outputs_that_do_not_fit_are_refused() -> None:
    for into in (np.empty((len(P), len(TIMES), 2)), np.empty((len(P) - 1, len(TIMES), 1))):
        with pytest.raises(SimulationError, match="do not fit"):
            integrate(BAG, P, PLANS[1], TIMES, start=-20.0, into=into)
    with pytest.raises(SimulationError, match="no place"):
        into = np.empty((len(P), len(TIMES), 1))
        integrate(BAG, P, PLANS[1], TIMES, start=-20.0, into=into, output_rates=True)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{"output_rates": True}, {"peak_share": 0.1, "rtol": 1e-4}], ids=str)
def test_sharing_changes_no_bit_and_saves_the_steps_of_the_history(options: dict, lanes: int) -> None:
    options = {**options, "start": -20.0, "lanes": lanes}
    apart = one_by_one(BAG, P, PLANS, TIMES, **options)
    history = integrate(BAG, P, Doses(HISTORY[:-1]), [], end=-2.0, **options)
    for threads in (1, 3):
        found = crossed(BAG, P, PLANS, TIMES, threads=threads, **options)
        assert np.array_equal(found.states, np.concatenate([each.states for each in apart]))
        assert np.array_equal(found.outputs, np.concatenate([each.outputs for each in apart]))
        if "output_rates" in options:
            rates = [each.output_rates for each in apart if each.output_rates is not None]
            assert np.array_equal(found.output_rates, np.concatenate(rates))
        assert found.steps <= sum(each.steps for each in apart) - (len(PLANS) - 1) * history.steps


def test_dense_paths_are_shared_whole() -> None:
    apart = one_by_one(BAG, P[:2], PLANS, TIMES, start=-20.0, dense=True)
    found = crossed(BAG, P[:2], PLANS, TIMES, start=-20.0, dense=True)
    paths = [path for each in apart for path in each.paths]
    assert len(found.paths) == len(paths) == 12
    assert all(np.array_equal(one.rows, other.rows) for one, other in zip(found.paths, paths, strict=True))
    assert found.steps < 0.5 * sum(each.steps for each in apart)


def test_schedules_that_are_the_same_cost_nothing_more() -> None:
    one = integrate(BAG, P, PLANS[1], TIMES, start=-20.0, lanes=4)
    three = crossed(BAG, P, [PLANS[1]] * 3, TIMES, start=-20.0, lanes=4)
    again = crossed(BAG, P, [PLANS[1], PLANS[5]], TIMES, start=-20.0, lanes=4)
    assert np.array_equal(three.states.reshape(3, *one.states.shape)[2], one.states)
    assert again.steps <= 2 * one.steps


def test_the_tree_parts_at_the_first_break_that_differs() -> None:
    """0 and 1 part on day 5, both from 2 on day 3; 3 shares only what all share."""
    common = ((1.0, "x", 1.0), (2.0, "x", 1.0))
    plans = (
        Doses((*common, (3.0, "x", 1.0), (5.0, "x", 1.0))),
        Doses((*common, (3.0, "x", 1.0), (5.0, "x", 2.0))),
        Doses((*common, (3.0, "x", 9.0))),
        Doses((*common, (4.0, "x", 1.0))),
    )
    made = segment_tree(tuple((each,) for each in plans), ("x",), 0.0, 9.0, (), ((),))
    root = made.root
    assert made.tables[0].breaks[root.first : root.stop].tolist() == [
        0.0,
        1.0,
    ]  # from day 2 on the next differs
    three, last = root.then
    assert made.tables[0].breaks[three.first : three.stop].tolist() == [2.0]
    two, alone = three.then
    assert made.tables[0].breaks[two.first : two.stop].tolist() == [3.0]
    assert [each.done for each in (*two.then, alone, last)] == [(0,), (1,), (2,), (3,)]


def test_lanes_are_filled_before_anything_is_shared() -> None:
    """Nine sets under two schedules in lanes of four: two full groups, and the ninth beside itself; of ten, two share a group."""
    plans = [PLANS[0]] * 9 + [PLANS[1]] * 9
    groups = lane_groups([bytes([i % 9]) for i in range(18)], plans, 18, 4)
    assert [each.tolist() for each in groups] == [
        [[0, 1, 2, 3], [9, 10, 11, 12]],
        [[4, 5, 6, 7], [13, 14, 15, 16]],
        [[8, 17]],
    ]
    assert len(lane_groups(None, plans, 18, 4)) == 5
    plans = [PLANS[0]] * 10 + [PLANS[1]] * 10
    groups = lane_groups([bytes([i % 10]) for i in range(20)], plans, 20, 4)
    assert groups[2].tolist() == [[8, 9], [18, 19]]


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("plan", PLANS)
def test_what_came_before_is_taken_up_again_bit_by_bit(plan: Doses, lanes: int) -> None:
    """Asked again the history is not integrated, and no number moves; what differs in anything but later doses is its own.

    The witness is the engine without `resume_at`, which makes no restart on day 0: alike to the tolerance.
    """
    times = TIMES[TIMES >= 0]
    options = {"start": -20.0, "rtol": 1e-8, "peaks": ("seen",), "lanes": lanes}
    plain = integrate(BAG, P, plan, times, **options)
    HISTORIES.forget()
    first = integrate(BAG, P, plan, times, resume_at=0.0, **options)
    again = integrate(BAG, P, plan, times, resume_at=0.0, **options)
    assert np.array_equal(first.states, again.states) and np.array_equal(first.greatest, again.greatest)
    assert again.steps < 0.7 * first.steps
    assert first.states == pytest.approx(plain.states, rel=1e-6) and first.outputs == pytest.approx(
        plain.outputs, rel=1e-6
    )
    assert first.greatest == pytest.approx(plain.greatest, rel=1e-6)
    for changed in (
        {"rtol": 1e-7},
        {"start": -21.0},
        {"start_states": np.full((8, 2), 0.3)},
        {"max_step": 0.05},
    ):
        other = integrate(BAG, P, plan, times, resume_at=0.0, **(options | changed))
        assert other.steps > again.steps and not np.array_equal(other.states, again.states)
    moved = Doses(((-20.0, "bag", 2.1), *plan.jumps[1:]), plan.rates)
    other = integrate(BAG, P, moved, times, resume_at=0.0, **options)
    assert other.states == pytest.approx(integrate(BAG, P, moved, times, **options).states, rel=1e-6)


def test_plans_that_begin_on_different_days_share_all_that_came_before() -> None:
    """A history of ten doses and six plans: its steps are made once, and a second round of other plans makes none of them."""
    times = TIMES[TIMES >= 0]
    HISTORIES.forget()
    late = [Doses((*HISTORY, (day, "bag", 1.0))) for day in (1.0, 2.5, 4.0)]
    history = integrate(BAG, P, Doses(HISTORY), [0.0], start=-20.0, lanes=8).steps
    first, *rest = (
        integrate(BAG, P, each, times, start=-20.0, lanes=8, resume_at=0.0).steps for each in late
    )
    again = integrate(BAG, P, late[0], times, start=-20.0, lanes=8, resume_at=0.0).steps
    assert first - again > 0.8 * history
    found = crossed(BAG, P, late, times, start=-20.0, lanes=8, resume_at=0.0)
    assert found.steps == again + sum(rest)
    # more samples than everything else that a lane group holds: what goes on from a history is copied whole
    many = {"start": -20.0, "lanes": 8, "resume_at": 0.0, "peaks": ("seen",)}
    times = np.linspace(0.0, 6.0, 2000)
    apart = one_by_one(BAG, P, late, times, **many)
    for _ in range(2):
        found = crossed(BAG, P, late, times, **many)
        assert np.array_equal(found.states, np.concatenate([each.states for each in apart]))
        assert np.array_equal(found.greatest, np.concatenate([each.greatest for each in apart]))


def test_histories_take_no_more_room_than_they_are_given() -> None:
    """Of many kept the longest unused ones go."""
    machine = machine_of(BAG, 1)
    n = int(machine.offsets[N_STATES])
    start = lane_start(
        machine,
        np.ones(n),
        n,
        0.0,
        0.0,
        0,
        clock=None,
        output_rates=False,
        dense=False,
        watched=(),
        outputs_alone=False,
    )
    state = begin(start, P[:1])
    kept = Histories(5 * state.bytes)
    for name in (b"a", b"b", b"c", b"d"):
        kept.keep(machine, name, state)
    assert kept.found(machine, b"a") is not None
    for name in (b"e", b"f", b"e"):
        kept.keep(machine, name, state)
    assert [kept.found(machine, name) is not None for name in (b"a", b"b", b"c", b"d", b"e", b"f")] == [
        True, False, True, True, True, True,
    ]  # fmt: skip


EVENTFUL = compile_equations(
    Equations(
        ("x", "n"),
        ("k", "when"),
        (sp.Symbol("k") - sp.Symbol("x") / 10, sp.Integer(0)),
        (sp.Integer(1), sp.Integer(0)),
        events=(
            Trigger("fall", sp.Ge(sp.Symbol("x"), 2.5), (("x", sp.Integer(0)), ("n", sp.Symbol("n") + 1))),
            Trigger("lift", sp.Ge(sp.Symbol("time"), sp.Symbol("when")), (("x", sp.Symbol("x") + 1),)),
        ),
    )
)


def test_events_are_remembered_across_a_fork() -> None:
    """A condition that holds at the fork does not fire again behind it; event times may differ by set."""
    sets = np.array([[1.0, 3.3], [0.8, 6.1], [1.3, 2.0]])
    plans = (Doses(((2.0, "x", 0.3),)), Doses(((2.0, "x", 0.3), (5.0, "x", 0.7))), Doses(((2.0, "x", 2.0),)))
    times = np.linspace(0, 12, 49)
    found = crossed(EVENTFUL, sets, plans, times)
    apart = one_by_one(EVENTFUL, sets, plans, times)
    assert np.array_equal(found.states, np.concatenate([each.states for each in apart]))
    assert found.steps < sum(each.steps for each in apart)
    assert found.states[:, -1, 1].min() >= 3  # it did fall


def test_a_set_that_breaks_down_before_or_behind_the_fork_leaves_the_others_alone() -> None:
    """x' = a x^2 - x from x0 explodes for a x0 > 1: for a = 2 at ln 2, for the others after a large dose."""
    kernels = compile_equations(system({"x": "a*x**2 - x"}, "a", x=1.0))
    sets = np.array([[0.1], [2.0], [0.2], [0.3]])
    plans = (Doses(((2.0, "x", 0.1),)), Doses(((2.0, "x", 0.1), (3.0, "x", 50.0))))
    for lanes in (1, 2, 4):
        found = crossed(kernels, sets, plans, np.array([0.5, 2.5, 6.0]), lanes=lanes)
        apart = one_by_one(kernels, sets, plans, np.array([0.5, 2.5, 6.0]), lanes=lanes)
        assert np.array_equal(found.status, np.concatenate([each.status for each in apart]))
        assert found.messages == (*apart[0].messages, *apart[1].messages)
        assert np.array_equal(found.states, np.concatenate([each.states for each in apart]), equal_nan=True)
        assert (found.status != 0).tolist() == [False, True, False, False] + [True] * 4


def test_the_limit_of_steps_counts_from_the_start() -> None:
    both = crossed(BAG, P[:1], PLANS[:2], TIMES, start=-20.0, lanes=1)
    alone = integrate(BAG, P[:1], PLANS[1], TIMES, start=-20.0)
    limit = alone.steps + alone.rejected
    assert both.status.tolist() == [0, 0]
    for most, expected in ((limit, 0), (limit - 1, 2)):
        found = crossed(BAG, P[:1], PLANS[:2], TIMES, start=-20.0, lanes=1, max_steps=most)
        assert found.status[1] == expected


def test_sensitivities_are_those_of_each_schedule_by_itself() -> None:
    options = {"start": -20.0, "directions": ["k", ("jump", 2), ("jump time", 9)]}
    found = crossed(ONE, KX, PLANS_X, TIMES, **options).sensitivities
    apart = [each.sensitivities for each in one_by_one(ONE, KX, PLANS_X, TIMES, **options)]
    assert np.array_equal(found, np.concatenate(apart))


KX = np.array([[0.7, 2.0], [0.3, 1.0]])
PLANS_X = tuple(Doses(tuple((t, "x", a) for t, _, a in each.jumps)) for each in PLANS[:2])


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_a_stream_of_several_schedules_matches_the_closed_form_whatever_the_chunk(chunk: int) -> None:
    """Doses into one compartment superpose."""
    k = np.linspace(0.2, 2.0, 11)
    sets = np.column_stack([k, np.ones(11)])
    times = np.array([-20.0, 0.0, 4.0, 8.0])
    chunks = [
        each.states.reshape(2, -1, 4)
        for each in stream(ONE, iter(sets), PLANS_X, times, chunk=chunk, start=-20.0, rtol=1e-9, atol=1e-12)
    ]
    assert [each.shape[1] for each in chunks] == [min(chunk, 11 - i) for i in range(0, 11, chunk)]
    found = np.concatenate(chunks, axis=1)
    for plan, doses in enumerate(PLANS_X):
        since = [(times + 20.0, 1.0), *((times - at, amount) for at, _, amount in doses.jumps)]
        exact = sum(a * np.exp(-k[:, None] * np.maximum(t, 0)) * (t >= 0) for t, a in since)
        assert found[plan] == pytest.approx(exact, rel=1e-8)


dose = st.tuples(st.sampled_from([0.0, 1.0, 2.0, 2.5, 4.0]), st.sampled_from(["bag", "x"]), st.just(1.5))
inflow = st.tuples(
    st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([2.5, 3.0, 6.0]), st.just("x"), st.just(0.5)
)
schedule = st.builds(
    lambda jumps, rates: Doses(tuple(jumps), tuple(rates)),
    st.lists(dose, max_size=4),
    st.lists(inflow, max_size=2),
)


@settings(max_examples=60)
@given(st.lists(schedule, min_size=1, max_size=5), st.sampled_from([1, 2, 4]))
def test_any_schedules_together_are_each_by_itself(plans: list[Doses], lanes: int) -> None:
    times = np.array([0.0, 0.7, 2.0, 5.0])
    found = crossed(BAG, P[:4], plans, times, lanes=lanes)
    apart = one_by_one(BAG, P[:4], plans, times, lanes=lanes)
    assert np.array_equal(found.states, np.concatenate([each.states for each in apart]))
    assert found.steps <= sum(each.steps for each in apart)
