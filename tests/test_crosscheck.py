"""The standard part of the posterior and every state, against other people's software.

The witness is the case written out as a PEtab v2 problem: its SBML is simulated by libRoadRunner (CVODE, one
segment between two doses), its observables are evaluated as libpetab parses them, and libpetab scores the rows
and the priors. Nothing of ours but the exported files goes into the witness.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from cellsim.case.case import Case, load_case
from cellsim.case.export import export_problem
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.model.model import load_model
from cellsim.solver.simulation import simulate

# libRoadRunner says so of every segment with few points; that the end is reached is asserted below
pytestmark = pytest.mark.filterwarnings("ignore:Simulation requested end time point")

AGREE = 1e-6
EVERYTHING = "everything"
"""A variant made here, in which every mechanism acts: drift, interference, all three actions, killing, potency."""

SWITCHES = {
    "w_live": 0.7,
    "w_eff": 1.0,
    "w_niche": 900.0,
    "w_acute": 1.0,
    "w_vessel": 1.0,
    "w_rf": 1.0,
}


# ---- the cases ------------------------------------------------------------------------------------------


def with_everything(case: Case) -> Case:
    """The shipped case with one more variant: all switches on, nothing fixed that has a prior."""
    files = case.files
    head, *rows = files["model_space.tsv"].splitlines()
    cells = [f"{SWITCHES[column]:g}" if column in SWITCHES else "estimate" for column in head.split("\t")[2:]]
    files["model_space.tsv"] = (
        "\n".join([head, *rows, "\t".join([EVERYTHING, "problem.yaml", *cells])]) + "\n"
    )
    files["variants.tsv"] = (
        files["variants.tsv"].rstrip("\n") + f"\n{EVERYTHING}\tall of it\tall mechanisms at once\tfalse\n"
    )
    return load_case(files)


@cache
def case() -> Case:
    return with_everything(load_case("sjogren_rfib"))


@cache
def ours(variant: str) -> Objective:
    return objective_of(case(), variant=variant, rtol=1e-9)


@cache
def theirs(variant: str) -> Witness:
    folder = Path(mkdtemp())
    return Witness(export_problem(case(), folder, variant=variant))


def random_theta(objective: Objective, seed: int = 13) -> np.ndarray:
    """One draw from the prior, in whitened coordinates, kept within two prior sds."""
    return np.clip(np.random.default_rng(seed).standard_normal(len(objective.names)), -2, 2)


# ---- the witness ----------------------------------------------------------------------------------------


class Witness:
    """A PEtab v2 problem, simulated by libRoadRunner and scored by libpetab."""

    def __init__(self, file: Path) -> None:
        from petab.v2 import Problem

        self.problem = Problem.from_yaml(file)
        (model,) = self.problem.models if hasattr(self.problem, "models") else [self.problem.model]
        self.sbml = Path(file.parent, model.rel_path or f"{model.model_id}.xml").read_text(encoding="utf-8")

    def parameters(self, values: dict[str, float]) -> dict[str, float]:
        """Every parameter of the table: those given, the rest at their nominal values."""
        known = {each.id: each.nominal_value for each in self.problem.parameters}
        return {name: float(values.get(name, nominal)) for name, nominal in known.items()}

    def run(self, values: dict[str, float], times: list[float]) -> tuple[list[str], np.ndarray]:
        """Names and values, (n_times, n_names), of everything in the model; after a dose at the same instant."""
        machine, names, states = self._machine(self.parameters(values))
        (experiment,) = self.problem.experiments
        periods = sorted(experiment.periods, key=lambda each: each.time)
        changes = {condition.id: condition.changes for condition in self.problem.conditions}
        begin = float(periods[0].time)
        # libRoadRunner evaluates triggers at time 0 when it loads a model, which fires the drift too early
        machine["drift_on"] = 0.0
        now, seen = begin, {}
        stops = sorted({*times, *(float(each.time) for each in periods)})
        for stop in stops:
            if stop > now:
                assert machine.simulate(now, stop, 3)[-1][0] == stop
                now = stop
            for period in periods:
                if float(period.time) == stop:
                    for change in (one for name in period.condition_ids for one in changes[name]):
                        filled = {symbol: machine[str(symbol)] for symbol in change.target_value.free_symbols}
                        machine[change.target_id] = float(change.target_value.subs(filled))
            for name in states:
                # CVODE's difference-quotient Jacobian drowns in what is left of an emptied state (1e-300) and stops
                if abs(machine[name]) < 1e-15:
                    machine[name] = 0.0
            if stop in times:
                seen[stop] = np.array([machine[name] for name in names])
            assert machine["drift_on"] == (stop >= 0), f"drift_on is {machine['drift_on']} on day {stop}"
        return names, np.array([seen[time] for time in times])

    def _machine(self, values: dict[str, float]):
        """libRoadRunner with the parameters written into the SBML, so that initial values follow them."""
        import libsbml
        import roadrunner

        document = libsbml.readSBMLFromString(self.sbml)
        model = document.getModel()
        for name, value in values.items():
            if (parameter := model.getParameter(name)) is not None:
                parameter.setValue(value)
        machine = roadrunner.RoadRunner(libsbml.writeSBMLToString(document))
        machine.integrator.relative_tolerance = 1e-11
        machine.integrator.absolute_tolerance = 1e-12
        machine.integrator.maximum_num_steps = 200000
        rules = [model.getRule(k) for k in range(model.getNumRules())]
        states = [rule.getVariable() for rule in rules if rule.isRate()]
        fixed = [name for name in values if model.getParameter(name) is not None]
        return (
            machine,
            sorted({"drift_on", *fixed, *(rule.getVariable() for rule in rules)}),
            states,
        )

    def log_likelihood(self, values: dict[str, float]) -> float:
        """Of all rows, with libpetab's own densities."""
        from petab.v2.calculate import calculate_llh

        settled = self.parameters(values)
        times = sorted({float(each.time) for each in self.problem.measurements})
        names, seen = self.run(values, times)
        known = {time: {**settled, **dict(zip(names, row, strict=True))} for time, row in zip(times, seen)}
        observables = {each.id: each for each in self.problem.observables}
        predicted = []
        for row in self.problem.measurements:
            about, here = observables[row.observable_id], known[float(row.time)]
            formula = about.formula.subs(
                dict(
                    zip(
                        about.observable_placeholders,
                        row.observable_parameters,
                        strict=True,
                    )
                )
            )
            predicted.append(float(formula.subs({each: here[str(each)] for each in formula.free_symbols})))
        measured = self.problem.measurement_df
        assert len(measured) == 81
        said = measured[["observableId", "experimentId", "time"]].assign(simulation=predicted)
        table = self.problem.parameter_df.copy()
        table["nominalValue"] = [settled[name] for name in table.index]
        return calculate_llh(measured, said, self.problem.observable_df, table)

    def log_prior(self, values: dict[str, float]) -> float:
        """Of all estimated parameters of the problem, with libpetab's own distributions."""
        settled = self.parameters(values)
        return float(
            sum(np.log(prior.pdf(settled[name])) for name, prior in self.problem.get_priors().items())
        )


def our_log_prior(objective: Objective, values: dict[str, float]) -> float:
    """Of the standard part: what stands in ``parameters.tsv``."""
    standard = {row.id for row in case().priors if row.standard}
    return float(
        sum(
            prior.log_density(values[name])
            for name, prior in zip(objective.names, objective.priors, strict=True)
            if name in standard
        )
    )


# ---- the posterior --------------------------------------------------------------------------------------

POINTS = [
    pytest.param("V2", False, id="V2, nominal"),
    pytest.param(EVERYTHING, False, id="everything, nominal"),
    pytest.param(EVERYTHING, True, id="everything, drawn from the prior"),
]


def point(variant: str, drawn: bool) -> tuple[Objective, np.ndarray, dict[str, float]]:
    """Objective, theta at the nominal visit days, and all values there."""
    objective = ours(variant)
    theta = random_theta(objective) if drawn else objective.theta({})
    values = objective.values(theta)
    settled = {name: values[name] for name in objective.names}
    settled |= {f"day_{visit.id}": visit.nominal for visit in case().visits}
    theta = objective.theta(settled)
    return objective, theta, objective.values(theta)


@pytest.mark.parametrize(("variant", "drawn"), POINTS)
def test_standard_part_is_what_libroadrunner_and_libpetab_say(variant: str, drawn: bool) -> None:
    objective, theta, values = point(variant, drawn)
    if drawn:
        assert abs(values["phi"]) > 0.05 and values["w_rf"] == 1
    assert sum(term.part == "standard" for term in objective.terms) == 81
    there = theirs(variant).log_likelihood(values)
    assert objective.parts(theta)["standard"] == pytest.approx(there, abs=AGREE)
    # the tolerance a calibration runs at costs no more than a few of these millionths
    assert replace(objective, rtol=1e-6).parts(theta)["standard"] == pytest.approx(there, abs=5 * AGREE)


@pytest.mark.parametrize(("variant", "drawn"), POINTS)
def test_prior_of_the_standard_part_is_what_libpetab_says(variant: str, drawn: bool) -> None:
    objective, theta, values = point(variant, drawn)
    there = theirs(variant)
    standard = {row.id for row in case().priors if row.standard}
    assert set(there.problem.get_priors()) == set(objective.names) & standard
    assert our_log_prior(objective, values) == pytest.approx(there.log_prior(values), abs=AGREE)
    beside = sum(
        float(prior.log_density(values[name]))
        for name, prior in zip(objective.names, objective.priors, strict=True)
        if name not in standard
    )
    assert objective.parts(theta)["prior"] == pytest.approx(there.log_prior(values) + beside, abs=AGREE)


def test_every_parameter_of_the_standard_part_is_seen_there() -> None:
    """At the point drawn from the prior nothing is idle, so an agreement there speaks for every mechanism."""
    objective, theta, _ = point(EVERYTHING, True)
    standard = np.array([term.part == "standard" for term in objective.terms])
    base = objective.evaluate(theta).log_likelihood[standard].sum()
    for k, name in enumerate(objective.names):
        if name in ("t_U", "e_V") or name.startswith(("day_", "purpura_")):
            continue  # vessels are seen by the grades only, which stand beside the standard part
        moved = theta.copy()
        moved[k] += 0.1
        change = abs(objective.evaluate(moved).log_likelihood[standard].sum() - base)
        assert change > 10 * AGREE, f"{name} is not seen"


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        pytest.param("N", "exp(-phi*n*1.0001)", id="drift"),
        pytest.param("value_IL8", "IL8*(1 - psi_IL8) + psi_IL8*IL8_0*RF_G", id="interference"),
        pytest.param("lambda_CD8", "lambda_lymphocyte + 1.001*tau_lymphocyte*z_CD8", id="loading"),
        pytest.param("stimulus", "G/(G + 1.01*G50)", id="alloimmunity"),
    ],
)
def test_a_model_slightly_off_is_noticed(name: str, formula: str) -> None:
    _, theta, values = point(EVERYTHING, True)
    off = objective_of(
        case(),
        load_model("sjogren_rfib").with_rate(name, formula),
        variant=EVERYTHING,
        rtol=1e-9,
    )
    there = theirs(EVERYTHING).log_likelihood(values)
    assert abs(off.parts(theta)["standard"] - there) > 10 * AGREE


def test_a_lost_dose_is_noticed() -> None:
    """The witness counts doses by itself."""
    _, theta, values = point("V2", False)
    doses = case().timeline.infusions
    shorter = replace(case(), timeline=replace(case().timeline, infusions=doses[:-2] + doses[-1:]))
    here = objective_of(shorter, variant="V2", rtol=1e-9).parts(theta)["standard"]
    assert abs(here - theirs("V2").log_likelihood(values)) > 1000 * AGREE


# ---- state by state -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solver", "drawn"),
    [
        pytest.param("rodas", False, id="rodas-nominal"),
        pytest.param("rodas", True, id="rodas-drawn from the prior"),
        # where nothing is idle; the nominal values say no more of this solver, and take it twice as long
        pytest.param("scipy", True, id="scipy-drawn from the prior"),
        pytest.param("scipy", False, id="scipy-nominal", marks=pytest.mark.slow),
    ],
)
def test_every_state_and_assignment_along_the_timeline(solver: str, drawn: bool) -> None:
    """By both solvers, at and after every dose, over 1,331 days."""
    _, _, values = point(EVERYTHING, drawn)
    model, doses = load_model("sjogren_rfib"), [each.day for each in case().timeline]
    times = sorted(
        {
            -931.0,
            *doses,
            *(day + late for day in doses for late in (0.05, 0.7, 3.0)),
            -1,
            35,
            259,
            400,
        }
    )
    known = {each.name for each in model.parameters}
    names, there = theirs(EVERYTHING).run(values, times)
    here = simulate(
        model,
        case().timeline,
        times,
        values={name: value for name, value in values.items() if name in known},
        start=case().start,
        solver=solver,
        rtol=1e-10,
        atol=1e-12,
    )
    assert set(here.names) == set(names) - known
    for name in here.names:
        expected = there[:, names.index(name)]
        # in units of the largest value a quantity takes: what is left of an emptied state is rounding
        assert here[name] == pytest.approx(expected, abs=1e-8 * np.abs(expected).max() + 1e-12), name
