"""Cases as exported, and public problems, opened by other tools: how far predictions and log likelihoods are apart.

Files and nominal values are all that is handed over. libpetab reads the tables, fills in each condition, evaluates observables and scores
the rows; libRoadRunner or COPASI simulates the SBML (``pip install libroadrunner copasi-basico``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import cellsim as cs
from benchmarks.clock import table
from benchmarks.peers import made
from benchmarks.problem import Array
from cellsim.case.export_v1 import export_v1

__all__ = ["compared", "main"]

Engine = Callable[[str, Sequence[str], Sequence[float]], Mapping[str, Array]]
"""From SBML, names and times (the first is the start) to the values of each name at these times."""

RTOL, ATOL = 1e-10, 1e-12


def with_values(sbml: str, values: Mapping[str, float]) -> str:
    """The same model with other values of what it begins with, so that initial assignments follow them."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    for name, value in values.items():
        element = model.getElementBySId(name)
        if element is None:
            continue
        model.removeInitialAssignment(name)
        if isinstance(element, libsbml.Species):
            (
                element.setInitialAmount
                if element.getHasOnlySubstanceUnits()
                else element.setInitialConcentration
            )(value)
        elif isinstance(element, libsbml.Compartment):
            element.setSize(value)
        else:
            element.setValue(value)
    return str(libsbml.writeSBMLToString(document))


def elements(sbml: str) -> set[str]:
    """Everything in a model that has a value."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)  # the model lives only as long as it does
    model = document.getModel()
    lists = (model.getListOfSpecies(), model.getListOfParameters())
    return {each.getId() for elements in lists for each in elements}


def concentrations(sbml: str) -> set[str]:
    """Species that stand for concentrations in formulas."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    return {
        each.getId() for each in document.getModel().getListOfSpecies() if not each.getHasOnlySubstanceUnits()
    }


def roadrunner_engine() -> Engine:
    """libRoadRunner (CVODE)."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)

    def run(sbml: str, names: Sequence[str], times: Sequence[float]) -> Mapping[str, Array]:
        machine: Any = roadrunner.RoadRunner(sbml)
        machine.integrator.relative_tolerance, machine.integrator.absolute_tolerance = RTOL, ATOL
        machine.integrator.maximum_num_steps = 1_000_000
        bracketed = concentrations(sbml)
        machine.timeCourseSelections = [f"[{name}]" if name in bracketed else name for name in names]
        found = np.array(machine.simulate(times=list(times)))
        return {name: found[:, k] for k, name in enumerate(names)}

    return run


def copasi_engine() -> Engine:
    """COPASI (LSODA), through basico."""
    import basico

    def run(sbml: str, names: Sequence[str], times: Sequence[float]) -> Mapping[str, Array]:
        model = basico.load_model_from_string(sbml)
        try:
            boxes = basico.get_compartments(model=model)
            species = basico.get_species(model=model)
            shown, scale = {}, {}
            for name, row in [] if species is None else species.iterrows():
                shown[str(row.sbml_id)] = f"[{name}]"
                if str(row.sbml_id) not in concentrations(sbml):  # an amount, which is not printed
                    scale[str(row.sbml_id)] = float(boxes["size"][row.compartment])
            others = basico.get_parameters(model=model)
            shown |= {str(row.sbml_id): f"Values[{name}]" for name, row in others.iterrows()}
            found = basico.run_time_course_with_output(
                [shown[name] for name in names],
                model=model,
                values=list(times),
                start_time=times[0],
                r_tol=RTOL,
                a_tol=ATOL,
                max_steps=1_000_000,
            )
        finally:
            basico.remove_datamodel(model)
        return {name: found.iloc[:, k].to_numpy(float) * scale.get(name, 1.0) for k, name in enumerate(names)}

    return run


def predicted(file: Path, engine: Engine) -> tuple[Any, float]:
    """Every row of a PEtab 1 problem as another tool predicts it at the nominal values, and libpetab's log likelihood."""
    import yaml
    from petab.v1 import Problem
    from petab.v1.calculate import calculate_llh
    from petab.v1.math import sympify_petab

    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for part in content["problems"]:
        part.pop("visualization_files", None)  # not always beside a problem, and not needed
    problem = Problem.from_yaml(content, base_path=str(file.parent))
    nominal = problem.parameter_df["nominalValue"].astype(float).to_dict()
    sbml = Path(file.parent, content["problems"][0]["sbml_files"][0]).read_text(encoding="utf-8")
    known = elements(sbml)
    rows = problem.measurement_df.reset_index(drop=True)
    if "preequilibrationConditionId" in rows and rows["preequilibrationConditionId"].notna().any():
        raise ValueError("pre-equilibration, which is not followed here")
    simulation = np.full(len(rows), np.nan)
    for condition, mine in rows.groupby("simulationConditionId"):
        changed = problem.condition_df.loc[condition].drop("conditionName", errors="ignore").to_dict()
        values = nominal | {k: _number(v, nominal) for k, v in changed.items() if v == v}
        formulas = {}
        for place, row in mine.iterrows():
            formula = sympify_petab(problem.observable_df.loc[row["observableId"], "observableFormula"])
            given = str(row.get("observableParameters", "")).split(";")
            named = {f"observableParameter{k + 1}_{row['observableId']}": v for k, v in enumerate(given)}
            formulas[place] = formula.subs(
                {s: _number(named[str(s)], nominal) for s in formula.free_symbols if str(s) in named}
            )
        used = {str(symbol) for each in formulas.values() for symbol in each.free_symbols}
        asked = sorted(name for name in used if name in known)
        times = sorted({0.0, *mine["time"].astype(float)})
        found = engine(with_values(sbml, values), asked, times)
        for place, formula in formulas.items():
            at = times.index(float(mine.at[place, "time"]))
            here = values | {name: float(column[at]) for name, column in found.items()}
            simulation[place] = float(formula.subs({s: here[str(s)] for s in formula.free_symbols}))
    said = rows.assign(simulation=simulation).drop(columns="measurement")
    return simulation, float(calculate_llh(rows, said, problem.observable_df, problem.parameter_df))


def _number(value: Any, nominal: Mapping[str, float]) -> float:
    return nominal[value] if isinstance(value, str) and value in nominal else float(value)


def compared(file: Path, engine: Engine) -> tuple[float, float]:
    """The largest difference of a prediction, relative to the largest of its observable; that of log likelihoods."""
    problem = cs.load_case(file)
    ours = problem.simulate(rtol=1e-10) if hasattr(problem, "tables") else problem.simulate()
    theirs, score = predicted(file, engine)
    size = ours["simulation"].abs().groupby(ours["observableId"]).transform("max").to_numpy()
    apart = np.abs(ours["simulation"].to_numpy() - theirs) / np.where(size > 0, size, 1.0)
    said = problem.log_likelihood(rtol=1e-10) if hasattr(problem, "tables") else problem.log_likelihood()
    return float(apart.max()), abs(said - score)


def main(arguments: Sequence[str]) -> int:
    """Print the table: shipped cases as exported, and problems of a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cross")
    parser.add_argument("--problems", type=Path, help="folder with PEtab 1 problems in folders")
    parser.add_argument("cases", nargs="*", default=["cytopenia_synthetic", "sjogren_rfib"])
    asked = parser.parse_args(arguments)
    engines = {"libRoadRunner": made(roadrunner_engine), "COPASI": made(copasi_engine)}
    rows = []
    with TemporaryDirectory() as folder:
        files = {
            f"{name}, exported": export_v1(cs.load_case(name), Path(folder, name)) for name in asked.cases
        }
        found = sorted(asked.problems.glob("*/*.yaml")) if asked.problems else []
        files |= {path.parent.name: path for path in found if "format_version: 1" in path.read_text("utf-8")}
        for name, file in files.items():
            for tool, engine in engines.items():
                said = engine if isinstance(engine, str) else made(lambda f=file, e=engine: compared(f, e))  # type: ignore[misc]
                cells = (said, "") if isinstance(said, str) else tuple(f"{each:.0e}" for each in said)
                rows.append((name, tool, *cells))
                print(*rows[-1], flush=True)
    print(table(("problem", "simulated by", "predictions apart", "log likelihoods apart"), rows))
    return 0
