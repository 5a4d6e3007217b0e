"""Questions asked of a trajectory whose steps are known curves, so that every answer has a closed form."""

from dataclasses import FrozenInstanceError
from itertools import pairwise
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellsim.dosing.schedule import Schedule
from cellsim.errors import SimulationError
from cellsim.model.model import load_model
from cellsim.solver.simulation import simulate
from cellsim.solver.trajectory import Path, Trajectory

K, DOSE, DOSES, END = 0.3, 5.0, (0.0, 4.0, 7.0), 12.0


def amount(t, *, before=False):
    """Sum of exponentials: what is left of the doses, just after (or just before) day t."""
    t = np.asarray(t, dtype=float)[..., None]
    given_already = (t > DOSES) if before else (t >= DOSES)
    return np.where(given_already, DOSE * np.exp(-K * (t - DOSES)), 0.0).sum(axis=-1)


def trajectory(dose_at_end=0.0) -> Trajectory:
    """The dosed compartment on uneven steps, each carrying the exact solution of its side of a dose."""
    edges = np.array([0.0, 1.0, 1.5, 4.0, 4.1, 7.0, 9.0, END, END])
    starts, ends = edges[:-1], edges[1:]
    at_start = amount(starts)
    at_start[-1] = amount(END) + dose_at_end

    def states(steps, times):
        x = at_start[steps] * np.exp(-K * (times - starts[steps]))
        return np.column_stack([x, np.sin(times)])

    def read(times, y):
        return np.column_stack([y, y[:, 0] ** 2])

    path = Path(starts, ends, states, read)
    times = np.array([0.0, 2.0, 4.0, 12.0])
    names = ("x", "wave", "square")
    return Trajectory(
        model=SimpleNamespace(name="dosed"),
        schedule=Schedule.at(DOSES, cells=DOSE, product="x"),
        values=MappingProxyType({"k": K}),
        times=times,
        names=names,
        units=MappingProxyType({"x": "Mcell", "wave": "", "square": ""}),
        labels=MappingProxyType({"x": "cells", "wave": "", "square": ""}),
        y=path.values(path.step_of(times), times),
        start=0.0,
        solver="by hand",
        between=lambda: path,
    )


def below_level(level, start, end):
    """Days below a level of the sawtooth, from its closed form between doses."""
    edges = [start, *(d for d in DOSES if start < d < end), end]
    total = 0.0
    for left, right in pairwise(edges):
        top = float(amount(left))
        crossing = left + np.log(top / level) / K if top >= level else left
        total += max(right - max(crossing, left), 0.0)
    return total


def test_samples_and_days_between_match_the_closed_form():
    traj = trajectory()
    assert traj["x"] == pytest.approx(amount(traj.times), rel=1e-14)
    days = np.array([[0.3, 3.999], [4.0, 11.0]])
    assert traj.at("x", days) == pytest.approx(amount(days), rel=1e-14)
    assert traj.at("x", 7.0) == pytest.approx(float(amount(7.0)))  # after the dose
    assert traj.at("square", 5.0) == pytest.approx(float(amount(5.0)) ** 2)
    assert traj.at("x", []).shape == (0,)


@given(st.floats(0, END), st.floats(0, END))
def test_area_matches_the_integral_and_adds_up(one, other):
    traj, (start, end) = trajectory(), sorted((one, other))
    whole = sum(
        DOSE / K * (np.exp(-K * max(start - d, 0)) - np.exp(-K * (end - d))) for d in DOSES if d < end
    )
    assert traj.auc("x", start, end) == pytest.approx(whole, rel=1e-12, abs=1e-12)
    assert traj.auc("wave", start, end) == pytest.approx(np.cos(start) - np.cos(end), abs=1e-11)
    middle = 0.5 * (start + end)
    parts = traj.auc("x", start, middle) + traj.auc("x", middle, end)
    assert parts == pytest.approx(traj.auc("x", start, end), rel=1e-12, abs=1e-12)


def test_area_of_a_square_matches_the_integral_of_the_square():
    edges = (*DOSES, END)
    exact = sum(
        amount(left) ** 2 / (2 * K) * (1 - np.exp(-2 * K * (right - left))) for left, right in pairwise(edges)
    )
    assert trajectory().auc("square") == pytest.approx(float(exact), rel=1e-12)


def test_the_peak_of_doses_is_at_a_dose_and_that_of_a_wave_inside_a_step():
    traj = trajectory()
    assert traj.peak("x") == (7.0, pytest.approx(float(amount(7.0)), rel=1e-14))
    assert traj.peak("x", start=4.5, end=6.5) == (4.5, pytest.approx(float(amount(4.5)), rel=1e-14))
    day, height = traj.peak("wave", end=6.0)
    assert (day, height) == (pytest.approx(np.pi / 2, abs=1e-6), pytest.approx(1.0, abs=1e-12))
    assert traj.peak("wave", start=3.0, end=3.0) == (3.0, pytest.approx(np.sin(3.0)))
    assert traj.peak("x", end=4.0)[0] == 4.0  # a dose on the last day counts


def test_a_dose_on_the_very_last_day_is_read_after_it():
    traj = trajectory(dose_at_end=50.0)
    assert traj.at("x", END) == pytest.approx(50.0 + float(amount(END)))
    assert traj.peak("x")[0] == END
    assert traj.auc("x") == pytest.approx(trajectory().auc("x"))


@given(st.floats(0.05, 9.0), st.floats(0, END), st.floats(0, END))
def test_days_below_a_level_match_the_closed_form(level, one, other):
    traj, (start, end) = trajectory(), sorted((one, other))
    expected = below_level(level, start, end)
    assert traj.time_below("x", level, start=start, end=end) == pytest.approx(expected, abs=1e-9)


def test_days_below_count_every_crossing_of_a_wave():
    # sin is negative on (pi, 2 pi) and (3 pi, 12]
    assert trajectory().time_below("wave", 0.0) == pytest.approx(np.pi + (END - 3 * np.pi), abs=1e-9)
    assert trajectory().time_below("wave", -2.0) == 0.0
    assert trajectory().time_below("wave", 2.0) == pytest.approx(END)


def test_tables_carry_names_and_units():
    traj = trajectory()
    wide = traj.to_frame()
    assert list(wide.columns) == ["time", "x", "wave", "square"]
    tidy = traj.to_frame(tidy=True)
    assert list(tidy.columns) == ["time", "name", "value", "unit", "label"]
    assert len(tidy) == 12
    again = tidy.pivot(index="time", columns="name", values="value")
    assert again["x"].to_numpy() == pytest.approx(wide["x"].to_numpy())
    assert set(tidy[tidy.name == "x"].unit) == {"Mcell"}


def test_it_is_frozen_and_prints_what_it_is():
    traj = trajectory()
    with pytest.raises(FrozenInstanceError):
        traj.names = ()
    with pytest.raises(ValueError, match="read-only"):
        traj["x"][0] = 1.0
    assert "dosed: 3 quantities at 4 times, day 0 to 12" in repr(traj)
    assert "3 infusions of x" in repr(traj)
    assert "x" in traj
    assert "X" not in traj


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: t["squar"], "Did you mean 'square'"),
        (lambda t: t.at("x", 12.5), "day 12.5"),
        (lambda t: t.at("x", [1.0, np.nan]), "day nan"),
        (lambda t: t.auc("x", 3, 2), "3 to 2"),
        (lambda t: t.auc("x", -1, 2), "-1 to 2"),
        (lambda t: t.peak("y"), "no 'y'"),
        (lambda t: t.time_below("x", 1.0, end=13), "0 to 13"),
    ],
)
def test_what_it_does_not_know_is_refused(ask, said):
    with pytest.raises(SimulationError, match=said):
        ask(trajectory())


def test_an_assignment_that_moves_faster_than_the_states_is_followed():
    """cos(6 pi t) for 30 days: below -0.9 for arccos(0.9)/pi of the time, no area, a peak of one."""
    seen = simulate(load_model("x = 1; x' = -0.1*x; c := cos(2*pi*3*time)"), Schedule(), [0, 30])
    assert seen.time_below("c", -0.9) == pytest.approx(30 * np.arccos(0.9) / np.pi, abs=1e-6)
    assert seen.auc("c") == pytest.approx(0.0, abs=1e-6)
    assert seen.peak("c")[1] == pytest.approx(1.0, abs=1e-9)


def test_an_assignment_that_jumps_where_a_state_passes_a_level_is_cut_there():
    """x = exp(-0.1 t) passes one half on day 10 ln 2: u is 1 before and 0 from then on."""
    model = load_model("x = 1; x' = -0.1*x; u := piecewise(1, x > 0.5, 0)")
    seen, day = simulate(model, Schedule(), [0, 30], rtol=1e-9), 10 * np.log(2)
    assert seen.time_below("u", 0.5) == pytest.approx(30 - day, abs=1e-6)
    assert seen.auc("u") == pytest.approx(day, abs=1e-6)


def test_what_moves_too_fast_to_be_followed_is_refused_in_words():
    model = load_model("x = 1; x' = -0.1*x; c := cos(1e7*time)")
    seen = simulate(model, Schedule(), [0, 30])
    with pytest.raises(SimulationError, match="c moves too fast between day 0 and day 30"):
        seen.auc("c")
