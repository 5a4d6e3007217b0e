"""Whether the regret that a visit promises to remove is really removed: synthetic patients of a small model.

``python -m benchmarks.next_visit [patients]``: 500 by default, about a second each. Every patient is a draw from the prior with two
measured rows. Her posterior is twenty thousand draws of the prior, weighted; :func:`cellsim.plan_visits` gets 500 of them, promises
regret removed for each day and names the best. Then the sample is taken, all draws are weighted again, a plan is chosen, and what
it brings to the patient is held against what the plan chosen before the visit would have brought: for forty patients with the same rows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

import numpy as np

import cellsim as cs
from benchmarks.clock import table
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.petab.tables import table_text
from cellsim.predictions.measures import Area, Value
from cellsim.predictions.predictor import Sample

MODEL = """
model chooser()
  unit day = 86400 second; unit time_unit = day
  unit Mcell = 1e6 item
  bag = 0; bag' = -24*bag; bag has Mcell
  L = 0; L' = 24*bag - 0.3*L; L has Mcell
  R = 0; R' = 0.3*L/50 - k_R*R
  IL6 = b; IL6' = 0.2*(b/(1 + e*R) - IL6)
  burden := IL6/b + 0.008*L
  e = 1; k_R = 0.02; b = 10
end
"""
UNTIL, SD = 240.0, 0.25
MEASURED, CANDIDATES = (-1.0, 30.0), (45.0, 60.0, 90.0, 120.0, 180.0)
POOL, DRAWS, TRUTHS = 20_000, 500, 40
HEADER = (
    "patients",
    "promised: lower",
    "middle",
    "upper",
    "really removed",
    "standard error",
    "of the middle",
)


@cache
def patient() -> cs.Case:
    """The case; its measured values stand for nobody's."""
    doses = [("0", "plus"), ("14", "plus")]
    return cs.load_case(
        {
            "problem.yaml": "format_version: 2.0.0\nid: chooser\nmodel_files: {model: {location: model.ant, language: antimony}}\n"
            "parameter_files: [parameters.tsv]\nobservable_files: [observables.tsv]\nmeasurement_files: [measurements.tsv]\n"
            "condition_files: [conditions.tsv]\nexperiment_files: [experiments.tsv]\n",
            "model.ant": MODEL,
            "observables.tsv": table_text(
                ("observableId", "observableFormula", "noiseFormula", "noiseDistribution", "analyte", "unit"),
                [dict(observableId="obs_IL6", observableFormula="IL6", noiseFormula=str(SD), noiseDistribution="log-normal",
                      analyte="IL6", unit="1")],
            ),
            "measurements.tsv": table_text(
                ("observableId", "experimentId", "time", "measurement", "visitId", "unit"),
                [dict(observableId="obs_IL6", experimentId="timeline", time=str(day), measurement="10", visitId=f"v{k}", unit="1")
                 for k, day in enumerate(MEASURED)],
            ),
            "parameters.tsv": table_text(
                ("parameterId", "lowerBound", "upperBound", "nominalValue", "estimate", "priorDistribution", "priorParameters", "unit"),
                [dict(parameterId=name, lowerBound="0", upperBound="inf", nominalValue=str(np.exp(mean)), estimate="true", priorDistribution="log-normal",
                      priorParameters=f"{mean};{sd}", unit="")
                 for name, mean, sd in (("e", 0.0, 1.5), ("k_R", -3.9, 0.7), ("b", 2.3, 0.5))],
            ),
            "visits.tsv": table_text(
                ("visitId", "nominal", "earliest", "latest"),
                [dict(visitId=f"v{k}", nominal=str(day), earliest=str(day), latest=str(day)) for k, day in enumerate(MEASURED)],
            ),
            "experiments.tsv": table_text(
                ("experimentId", "time", "conditionId"),
                [dict(experimentId="timeline", time="-10", conditionId=""),
                 *(dict(experimentId="timeline", time=day, conditionId=each) for day, each in doses)],
            ),
            "conditions.tsv": "conditionId\ttargetId\ttargetValue\nplus\tbag\tbag + 50\n",
            "table1.tsv": "analyte\tvisitId\tvalue\tunit\tstatus\n",
            "extended.tsv": "observableId\tkind\tvisitId\tday\tcensoring\tlimit\tunit\tscored\n",
            "parameters_extended.tsv": "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\n",
            "variants.tsv": "variantId\tdefault\n",
            "model_space.tsv": "model_subspace_id\tmodel_subspace_petab_yaml\n",
            "products.tsv": "productId\tsource\tstate\nown\tautologous\tbag\n",
            "outcomes.tsv": "outcomeId\tmeasure\tquantity\tbetter\tlabel\tunit\nburden\tarea\tburden\tlower\tburden of disease and treatment\tdays\n",
        }
    )  # fmt: skip


def plans() -> dict[str, cs.Schedule]:
    """What may be given from day 0 on; what was given before the visit is part of each."""
    about = {"product": "own", "products": patient().products}
    return {
        "two doses": patient().schedule,
        "every two weeks": cs.Schedule.every(14, cells=5e7, doses=16, **about),
        "every six weeks": cs.Schedule.at([0, 14, 56, 98, 140, 182], cells=5e7, **about),
        "double": cs.Schedule.at([0, 14, 60, 74, 88], cells=1e8, **about),
    }


@dataclass(frozen=True, eq=False)
class Source:
    """Draws of one patient's posterior, as plan_visits takes them."""

    objective: Objective
    thetas: np.ndarray
    variant: str = ""

    @property
    def case(self) -> cs.Case:
        """Whose."""
        return self.objective.case

    def draws(self, n: int, *, seed: int) -> np.ndarray:
        """The draws there are."""
        return self.thetas


@cache
def pool() -> tuple[Objective, np.ndarray, np.ndarray, np.ndarray]:
    """Draws of the prior, ln IL6 on every day that matters, and what each plan brings."""
    objective = objective_of(patient())
    thetas = np.random.default_rng(1).standard_normal((POOL, len(objective.names)))

    measures = (Value((MEASURED[1], *CANDIDATES), ("IL6",)), Area("burden"))
    sample = Sample(objective, measures, cs.Schedule(), UNTIL)
    sample.see_doses(tuple(plans().values()))
    [runs], _ = sample.all_runs(tuple(plans().values()), [thetas])
    b = objective.vector_of(thetas, ["b"])[:, 0]
    assert all(each.fine.all() for each in runs)
    given = runs[0].only(runs[0].fine, 0)
    # before the first dose the cytokine is at its level without cells
    levels = np.log(np.column_stack([b, *(given.at("IL6", day) for day in (MEASURED[1], *CANDIDATES))]))
    utilities = -np.column_stack([each.only(each.fine, 0).area("burden", UNTIL) for each in runs])
    return objective, thetas, levels, utilities


def study(patients: int) -> str:
    """One row: regret promised and regret removed, per patient."""
    objective, thetas, levels, utilities = pool()
    random = np.random.default_rng(2)
    promised, removed = [], []
    measured, later = levels[:, :2], levels[:, 2:]
    for truth in range(patients):
        rows = measured[truth] + SD * random.standard_normal(2)
        weights = _weights(measured, rows)
        # the truth is a draw of its own: it must not know itself
        weights[truth] = 0.0
        weights /= weights.sum()
        chosen = random.choice(POOL, DRAWS, p=weights)
        found = cs.plan_visits(
            Source(objective, thetas[chosen]), CANDIDATES, plans=plans(), until=UNTIL, draws=DRAWS, seed=truth
        )
        best = found.ranked()[0]
        promised.append((best.bracket.lower, best.bracket.middle, best.bracket.upper))
        place = CANDIDATES.index(best.candidate.day)
        before = int(np.argmax(weights @ utilities))
        gains = []
        # given the rows, the patient is any draw of her posterior: each of these gets a sample of her own
        for other in random.choice(POOL, TRUTHS, p=weights):
            known = weights.copy()
            known[other] = 0.0
            value = later[other, place] + SD * random.standard_normal()
            after = known * _weights(later[:, [place]], np.array([value]))
            gains.append(utilities[other, np.argmax(after @ utilities)] - utilities[other, before])
        removed.append(np.mean(gains))
    lower, middle, upper = np.mean(promised, axis=0)
    mean, error = float(np.mean(removed)), float(np.std(removed) / np.sqrt(patients))
    row = (
        str(patients),
        *(f"{each:.2f}" for each in (lower, middle, upper, mean, error)),
        f"{100 * mean / middle:.0f} %",
    )
    return table(HEADER, [row])


def _weights(predicted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    logs = -0.5 * np.sum(((predicted - rows) / SD) ** 2, axis=1)
    return np.exp(logs - logs.max())


if __name__ == "__main__":
    _, *asked = sys.argv
    print(study(int(asked[0]) if asked else 500))
