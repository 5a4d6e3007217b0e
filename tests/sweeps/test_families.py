"""Families of schedules, tables of schedules, plans outside what was given, and many plans in one call."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Product, Schedule
from cellsim.errors import ScheduleError
from cellsim.predictions.measures import Area, DaysBelow

PRODUCTS = [Product("x", "", "x")]


@pytest.fixture(scope="module")
def drug() -> cs.Calibration:
    """x' = -k x, given 3 on days 0 and 10, seen on days 1 and 30; k log-normal."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.2",
        {"y": ("x + 1", 0.3)},
        [("y", 1.0, 3.4), ("y", 30.0, 1.1)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3)},
        doses=[(0.0, "x", 3.0), (10.0, "x", 3.0)],
        start=-1.0,
    )
    return cs.calibrate(case, starts=1)


def test_a_grid_is_every_for_each_combination() -> None:
    family = Schedule.grid(
        interval=[7, 28],
        cells=[5e7, 7.5e7],
        doses=range(4, 7),
        product=["a", "b"],
        start=[0, 3],
        duration=0.5,
    )
    assert len(family) == 2 * 2 * 3 * 2 * 2
    for name, plan in family.items():
        level = dict(family.levels[name])
        one = Schedule.every(level.pop("interval"), duration=0.5, **level)
        assert plan == one
    assert family.table()["schedule"].is_unique
    assert family.factors == ("interval", "cells", "doses", "product", "start")
    alike = Schedule.grid(interval=7, cells=[5.0001e7, 5.0002e7], doses=2, product="a")
    assert len(alike) == 2  # alike to the digits shown, and two plans all the same


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"interval": []}, "interval has no level"),
        ({"doses": [4, 4]}, "doses has the level 4 twice"),
        ({"interval": [7, -1], "cells": [0.0, 5e7]}, "(?s)cells 0 are not above zero.*interval of -1"),
        ({"interval": np.arange(1, 1000), "cells": np.arange(1.0, 1000)}, "998001 combinations"),
    ],
)
def test_a_grid_that_cannot_be_made_is_refused(changed: dict, said: str) -> None:
    with pytest.raises(ScheduleError, match=said):
        Schedule.grid(**{"interval": 7, "cells": 5e7, "doses": 4, "product": "a", **changed})


def test_families_lists_and_tables_are_swept_alike(drug: cs.Calibration, tmp_path: Path) -> None:
    """The same two plans as a mapping, a generator, a data frame and a file give the same numbers."""
    plans = {f"n{n}": Schedule.every(5, cells=2.0, doses=n, product="x", products=PRODUCTS) for n in (1, 3)}
    frame = pd.concat([each.to_frame().assign(plan=name) for name, each in plans.items()])
    frame.to_csv(tmp_path / "plans.csv", index=False)
    options = {"until": 20, "measures": [Area("x")], "draws": 6}
    named = cs.sweep(drug, plans, **options)
    for other in (
        (each for each in plans.values()),
        frame,
        tmp_path / "plans.csv",
        str(tmp_path / "plans.csv"),
    ):
        assert np.array_equal(cs.sweep(drug, other, **options).posterior, named.posterior)
    twice = cs.sweep(drug, [*plans.values(), plans["n1"]], **options)
    assert list(twice.schedules) == [
        "2 cells x once, 1 dose",
        "2 cells x every 5 d, 3 doses",
        "2 cells x once, 1 dose (2)",
    ]
    with pytest.raises(ScheduleError, match="no column 'plan'"):
        cs.sweep(drug, plans["n1"].to_frame(), **options)


def test_two_hundred_plans_are_one_call(drug: cs.Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Area of n equal doses of c of a linear drug: the witness is the sum of exponentials. Blocks of plans change no number."""
    family = Schedule.grid(interval=range(1, 6), cells=[1.0, 2.0, 3.0, 4.0], doses=range(1, 11), product="x")
    assert len(family) == 200
    found = cs.sweep(drug, family, until=40, measures=[Area("x")], draws=16)
    k = drug.objective.vector(drug.draws(16, seed=0))[
        :, list(drug.objective.kernels.equations.parameters).index("k")
    ]
    for place, name in enumerate(family):
        days = np.array([each.day for each in family[name]])[:, None]
        exact = family.levels[name]["cells"] * ((1 - np.exp(-k * np.maximum(40 - days, 0))) / k).sum(axis=0)
        assert found.posterior[place, 0] == pytest.approx(exact, rel=2e-5)
    table = found.table()
    assert len(table) == 200 and table["interval (factor)"].nunique() == 5
    monkeypatch.setattr("cellsim.sweeps.sweep_running._MOST_AT_ONCE", 1)
    assert np.array_equal(
        cs.sweep(drug, family, until=40, measures=[Area("x")], draws=16).posterior, found.posterior
    )
    text = found.report()
    assert len(text.splitlines()) < 60 and "and 188 more" in text


def test_courses_of_many_plans_fit_into_memory(drug: cs.Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even all bands are too much those of one are kept, and they are those of the whole."""
    plans = Schedule.grid(interval=[2, 3], cells=1.0, doses=2, product="x")
    options = {"until": 9, "measures": [DaysBelow("x", 0.5), "at(y, 9)", "peak(x)"], "draws": 8}
    whole = cs.sweep(drug, plans, **options)
    monkeypatch.setattr("cellsim.sweeps.sweep_running._MOST_KEPT", 1)
    part = cs.sweep(drug, plans, **options)
    assert len(whole.curves) > 1 and list(part.curves) == list(whole.curves)[:1]
    assert all(np.array_equal(part.curves[name], whole.curves[name]) for name in part.curves)


def test_bands_of_courses_too_many_to_keep_are_within_the_error_they_state(
    drug: cs.Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the quantiles of all draws at once: the same numbers, and bands no farther off than a few stated errors."""
    plans = Schedule.grid(interval=[2, 3], cells=1.0, doses=2, product="x")
    options = {"until": 9, "measures": [DaysBelow("x", 0.5), "at(y, 9)"], "draws": 600, "history": None}
    whole = cs.sweep(drug, plans, **options)
    rooms = sum(each.size for each in whole.curves.values())
    monkeypatch.setattr("cellsim.sweeps.sweep_running._MOST_KEPT", rooms)
    monkeypatch.setattr("cellsim.sweeps.sweep_running._DRAWS_A_BAND", 100)
    part = cs.sweep(drug, plans, **options)
    assert np.allclose(part.posterior, whole.posterior, rtol=1e-4, atol=1e-4)
    assert set(part.curves) == set(whole.curves)
    [said] = [each for each in part.approximation.doubts if each.startswith("bands of courses")]
    assert "6 batches" in said and not any("bands of courses" in each for each in whole.approximation.doubts)
    middle = float(said.split("standard error is ")[1].split()[0])
    apart = [
        np.abs(part.curves[name] - each) / np.maximum(each[:, -1:] - each[:, :1], 1e-12)
        for name, each in whole.curves.items()
    ]
    assert 0 < np.median(np.concatenate([each.ravel() for each in apart])) < 3 * middle < 0.2


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Schedule.every(10, cells=3.0, doses=2, product="x"), []),
        (Schedule.every(15, cells=1.0, doses=2, product="x"), ["duration"]),
        (Schedule.every(25, cells=1.0, doses=2, product="x"), ["gap", "duration"]),
        (Schedule.at([0], cells=4.0, product="x"), ["dose"]),
        (Schedule.at([0, 0], cells=2.0, product="x"), ["dose"]),
        (Schedule.every(5, cells=2.5, doses=3, product="x"), ["total", "gap"]),
        (Schedule.at([0], cells=1.0, product="z", products=[Product("z", "", "x")]), ["product"]),
        (Schedule(), []),
    ],
)
def test_what_lies_outside_what_was_given_is_marked_or_refused(
    drug: cs.Calibration, plan: Schedule, said: list[str]
) -> None:
    """Given were 3 on days 0 and 10, and the last visit was on day 30: gaps of 10 to 20 days, 6 in all, over 10 days."""
    options = {"until": 30, "measures": [Area("x")], "draws": 2}
    found = cs.sweep(drug, {"one": plan}, **options)
    assert [each.what for each in found.beyond.get("one", ())] == said
    assert bool(found.table()["extrapolation"][0]) == bool(said)
    if said:
        with pytest.raises(ScheduleError, match="lies outside what was given"):
            cs.sweep(drug, {"one": plan}, strict=True, **options)
    else:
        assert np.array_equal(
            cs.sweep(drug, {"one": plan}, strict=True, **options).posterior, found.posterior
        )
    late = cs.sweep(drug, {"one": plan}, **{**options, "until": 40})
    assert [each.what for each in late.beyond["one"]] == [*said, "last day"]


def test_more_draws_are_taken_until_the_error_is_reached(drug: cs.Calibration) -> None:
    """The witness is Phi: x on day 20 of one dose of 3 is 3 exp(-20 k), and k is log-normal by Laplace's approximation."""
    plans = {
        "one": Schedule.at([0], cells=3.0, product="x"),
        "two": Schedule.at([0, 10], cells=3.0, product="x"),
    }
    options = {"until": 20, "measures": ["piecewise(1, at(x, 20) < 0.05, 0)", Area("x")], "seed": 4}
    # a formula is no chance: of these only the chance that one plan has more than the other is followed
    few = cs.sweep(drug, plans, draws=40, error=0.2, **options)
    assert few.posterior.shape[2] == 40
    more = cs.sweep(drug, plans, draws=40, error=0.004, budget=20_000, **options)
    assert more.posterior.shape[2] > 200
    assert more.contrasts()["above_error"].max() <= 0.004
    assert np.array_equal(more.posterior[:, :, :40], few.posterior)
    short = cs.sweep(drug, plans, draws=40, error=0.004, budget=60, **options)
    assert short.posterior.shape[2] <= 60
    assert any("where 0.004 was asked" in each for each in short.approximation.doubts)
    with pytest.raises(ScheduleError, match="error = 2"):
        cs.sweep(drug, plans, error=2, **options)
