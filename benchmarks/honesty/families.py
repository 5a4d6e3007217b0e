"""Rival mechanisms of one patient's case, and the plans that synthetic patients are asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from small_cases import tiny_case

import cellsim as cs
from benchmarks.honesty.patients import NOTHING, Watched, drives, full
from benchmarks.next_visit import MODEL
from cellsim.case.case import Case
from cellsim.dosing.schedule import Schedule
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.predictions.measures import Area, Asked, DaysBelow, Measure, Value
from cellsim.predictions.plans import AS_GIVEN, plans_of
from cellsim.sweeps.sweep_question import Asking, settled
from cellsim.sweeps.sweep_running import measured, sample_of

Array = NDArray[np.float64]
# of the time looked at; the last is what is called large
SIZES = (1 / 12, 1 / 6, 1 / 3)
# draws of the prior behind its chances, the same for every patient of a mechanism
_PRIOR = 400


@dataclass(frozen=True, eq=False)
class Family:
    """Rival mechanisms of one case, and what is asked of each of its patients.

    Attributes
    ----------
    objectives : mapping of str to Objective
        By mechanism.
    plans : mapping of str to Schedule
        The first is the one that the rows were measured under.
    measures : tuple of Measure
        One number a plan each; the first decides.
    better : tuple of int
        Of each measure: 1 where more is better, -1 where less is.
    until : float
        Last day looked at.
    watched : Watched
        What else a posterior of the first mechanism is judged by, when the patient is of it too.
    """

    objectives: Mapping[str, Objective]
    plans: Mapping[str, Schedule]
    measures: tuple[Measure, ...]
    better: tuple[int, ...]
    until: float
    watched: Watched

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What each number is."""
        some = next(iter(self.objectives.values()))
        return tuple(
            each for measure in self.measures for each in measure.asked(some.case, some.model, self.until)
        )

    @property
    def sizes(self) -> tuple[float, ...]:
        """True differences of the first measure, in days, above which it is counted how many are found: shares of the time looked at."""
        return tuple(round(self.until * share) for share in SIZES)

    @property
    def settings(self) -> tuple[object, ...]:
        """All that answers depend on, beside the objectives."""
        given = [
            (name, [(each.day, each.cells, each.product) for each in plan.infusions])
            for name, plan in self.plans.items()
        ]
        return given, [repr(each) for each in self.measures], self.better, self.until

    def numbers(self, objective: Objective, thetas: Array) -> Array:
        """Every measure under every plan, shape (n_plans, n_measures, n_draws); nan for draws that could not be simulated."""
        question = settled(objective, dict(self.plans), self._asking)
        sample = sample_of(objective, question)
        found = measured(sample, question, thetas, 0)
        return np.where(found.fine.all(axis=0), found.numbers, np.nan)

    @property
    def _asking(self) -> Asking:
        # plans say in their names what they give
        return Asking(self.until, self.measures, background=None)


@lru_cache
def prior_numbers(family: Family, mechanism: str) -> Array:
    """The same of draws of the prior."""
    objective = family.objectives[mechanism]
    thetas = np.random.default_rng(5).standard_normal((_PRIOR, len(objective.names)))
    return family.numbers(objective, thetas)


# ---- the shipped case -----------------------------------------------------------------------------


@lru_cache
def shipped() -> Family:
    """The default of the shipped case, its null and its other course of persistence."""
    objectives = {name: full(name) for name in ("V2", "V0", "V3")}
    case = objectives["V2"].case
    usual = {each.name: each.schedule for each in plans_of(case)}
    given = usual[AS_GIVEN]
    days = [each.day for each in given.infusions]
    between = [(first + second) / 2 for first, second in zip(days, [*days[1:], days[-1] + 28.0], strict=True)]
    product = given.infusions[0].product
    more = Schedule.at(
        sorted([*days, *between]),
        cells=given.total() / given.count,
        product=product,
        products=case.products,
    )
    plans = {
        AS_GIVEN: given,
        "weekly": usual["weekly, same cells"],
        "every 8 weeks": usual["every 8 weeks, same cells"],
        "twice as many": more,
        "donor cells": usual["same days and cells, ucmsc"],
        "nothing": usual["nothing"],
    }
    measures = (DaysBelow("D", 0.5), Area("D"), Value((365.0,), ("ESR",)))
    return Family(objectives, plans, measures, (1, -1, -1), 365.0, drives(objectives["V2"]))


# ---- a small one ----------------------------------------------------------------------------------


@lru_cache
def small_patient() -> Case:
    """Cells that persist, what they leave behind, and one cytokine: two doses, five values of it; they stand for nobody's."""
    return tiny_case(
        MODEL,
        {"IL6": ("IL6", 0.25)},
        [("IL6", day, 10.0) for day in (-1.0, 7.0, 20.0, 35.0, 60.0)],
        {
            "e": ("log-normal", -2.2, 1.5),
            "k_R": ("log-normal", -3.9, 0.7),
            "b": ("log-normal", 2.3, 0.5),
        },
        doses=[(0.0, "bag", 50.0), (14.0, "bag", 50.0)],
        products=[("own", "autologous", "bag")],
        variants={"memory": {}, "null": {"e": 0.0, "k_R": 0.02}, "short": {"k_R": 0.3}},
        start=-10.0,
        name="small",
    )


@lru_cache
def small() -> Family:
    """Cells leave a memory behind, do nothing, or act while they live; treatment is a burden by itself."""
    case = small_patient()
    about = {"product": "own", "products": case.products}
    plans = {
        "two doses": case.schedule,
        "every two weeks": cs.Schedule.every(14, cells=5e7, doses=16, **about),
        "every eight weeks, larger": cs.Schedule.every(56, cells=1.5e8, doses=4, **about),
        "four doses": cs.Schedule.at([0, 14, 60, 120], cells=5e7, **about),
        "nothing": cs.Schedule((), case.products),
    }
    objectives = {name: objective_of(case, variant=name) for name in ("memory", "null", "short")}
    measures = (Area("burden"), Value((240.0,), ("IL6",)))
    return Family(objectives, plans, measures, (-1, -1), 240.0, NOTHING)
