"""PEtab v1 and PEtab Select files: judged by libpetab and petab-select, simulated by libRoadRunner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import libsbml
import numpy as np
import pandas as pd
import petab.v1 as petab
import petab_select
import pytest
import roadrunner
from patients import small_patient
from petab.v1.calculate import calculate_llh
from petab_select.criteria import calculate_aic, calculate_aicc, calculate_bic
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.export_v1 import export_v1
from cellsim.comparison import variants
from cellsim.comparison.comparison import Comparison
from cellsim.comparison.select_export import Calibrated, information_criteria, write_select
from cellsim.comparison.select_import import read_select
from cellsim.comparison.variants import compare
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of
from cellsim.model.sbml_write import write_sbml

roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
PLACEHOLDERS = "observableParameter"


@cache
def small() -> Comparison:
    """Without other priors of single groups, of which no file says anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "_TRIED", 0)
        return compare(small_patient(), starts=1, seed=1, leave_out=False, progress=False)


def tiny(**more: object) -> cs.Case:
    return tiny_case("x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], **more)  # type: ignore[arg-type]


def simulated(problem: petab.Problem, values: dict[str, float]) -> pd.DataFrame:
    """What libRoadRunner predicts for every measurement of a PEtab v1 problem.

    Formulas of observables are put into the model as assignments, one for each row, so that only libsbml reads them.
    """
    document = libsbml.readSBMLFromString(problem.model.to_sbml_str())
    model = document.getModel()
    rows = problem.measurement_df.reset_index(drop=True)
    for name, value in values.items():
        parameter = model.getParameter(name) or model.createParameter()
        if not parameter.isSetId():
            parameter.setId(name)
            parameter.setConstant(True)
        parameter.setValue(value)
    for k, row in rows.iterrows():
        formula = problem.observable_df.loc[row["observableId"], "observableFormula"]
        given = row.get("observableParameters")
        for place, filling in enumerate(str(given).split(";") if isinstance(given, str) else [], start=1):
            formula = formula.replace(f"{PLACEHOLDERS}{place}_{row['observableId']}", filling)
        output = model.createParameter()
        output.setId(f"row_{k}")
        output.setConstant(False)
        rule = model.createAssignmentRule()
        rule.setVariable(f"row_{k}")
        rule.setMath(libsbml.parseL3Formula(formula))
    runner = roadrunner.RoadRunner(libsbml.writeSBMLToString(document))
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-9, 1e-12
    runner.integrator.maximum_num_steps = 1_000_000
    states = [rule.getVariable() for rule in model.getListOfRules() if rule.isRate()]
    days = sorted({0.0, *rows["time"], *np.arange(0.5, rows["time"].max(), 20.0)})
    seen = {}
    for begin, end in pairwise(days):
        runner.simulate(begin, end, 2)
        for name in states:
            # CVODE stops at what is left of an emptied state (1e-300)
            if abs(runner[name]) < 1e-15:
                runner[name] = 0.0
        seen[end] = {k: runner[f"row_{k}"] for k in rows.index}
    rows["simulation"] = [seen[row["time"]][k] for k, row in rows.iterrows()]
    return rows


def nllh(problem: petab.Problem, values: dict[str, float]) -> float:
    """Minus the log-likelihood of a v1 problem, by libRoadRunner and libpetab."""
    parameters = problem.parameter_df.assign(nominalValue=pd.Series(values))
    seen = simulated(problem, values)
    return -calculate_llh(problem.measurement_df, seen, problem.observable_df, parameters)


# ---- PEtab v1 -------------------------------------------------------------------------------------


def test_libpetab_finds_no_fault_in_the_case_as_version_1(tmp_path: Path) -> None:
    case = cs.load_case("sjogren_rfib")
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path, fixed=dict(case.variant("V2").fixed)))
    assert not petab.lint_problem(problem)
    assert len(problem.measurement_df) == len(case.rows) == 81
    inside = {each.id for each in case.priors if each.standard}
    assert set(problem.x_free_ids) == set(objective_of(case, variant="V2").names) & inside


def test_version_1_scores_the_standard_part_as_we_do(tmp_path: Path) -> None:
    """22 doses as events, on a clock of its own; witness: libRoadRunner and libpetab."""
    case = cs.load_case("sjogren_rfib")
    objective = objective_of(case)
    theta = np.random.default_rng(3).normal(0, 0.3, len(objective.names))
    days = {f"day_{visit.id}": visit.nominal for visit in case.visits}
    theta = objective.theta({**{n: objective.values(theta)[n] for n in objective.names}, **days})
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path))
    values = {name: objective.values(theta)[name] for name in problem.x_ids}
    assert nllh(problem, values) == pytest.approx(-objective.parts(theta)["standard"], abs=2e-4)


def test_a_dose_over_days_is_an_inflow_of_version_1(tmp_path: Path) -> None:
    """Witness: the closed form of x' = r - x while it runs and x' = -x after, and a bolus at the very start."""
    case = tiny(parameters={"k": ("log-normal", 0.0, 1.0)}, start=-2.0)
    given = Schedule.at([0.0], cells=6.0, product="x", duration=0.5) + Schedule.at(
        [-2.0], cells=3.0, product="x"
    )
    case = replace(case, timeline=given)
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path))
    [seen] = simulated(problem, {"k": 1.0})["simulation"]
    exact = 13 * np.exp(-3.0) + 12 * (1 - np.exp(-0.5)) * np.exp(-0.5)
    assert seen == pytest.approx(exact, rel=1e-6)


def test_the_clock_of_an_observable_is_moved_with_the_models(tmp_path: Path) -> None:
    """Witness: A x exp(-0.01 t) on day 3 of a case that starts on day -5, beside libRoadRunner 8 days after the start."""
    case = tiny_case(
        "x=10; x'=-0.1*x", {"y": "A*x*exp(-0.01*time)"}, [("y", 3.0, 5.0)], {"A": ("log-normal", 0.0, 1.0)},
        start=-5.0,
    )  # fmt: skip
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path))
    [seen] = simulated(problem, {"A": 1.0})["simulation"]
    assert seen == pytest.approx(10 * np.exp(-0.1 * 8 - 0.01 * 3), rel=1e-6)


HOUR = 1 / 24
TIMELINES = {
    "hours, weeks apart": (
        [(7.0 * k, 1.0 + 0.1 * k, HOUR) for k in range(12)],
        [90.0],
    ),
    "overlapping": ([(0.0, 4.0, 2.0), (1.0, 3.0, 3.0), (1.5, 1.0, 0.1)], [0.5, 1.25, 1.55, 3.0, 5.0]),
    "one instant": ([(1.0, 2.0, 0.0), (1.0, 1.0, 0.0), (1.0, 3.0, 0.5), (1.0, 5.0, 0.5)], [1.0, 1.25, 4.0]),
    "one ends as one begins": ([(0.0, 1.0, 0.1), (0.1, 2.0, 0.2), (0.3, 4.0, 0.0)], [0.05, 0.1, 0.3, 1.0]),
    "at the start": ([(-2.0, 3.0, 0.0), (-2.0, 6.0, HOUR)], [-1.0, 0.3]),
}


@pytest.mark.parametrize("name", TIMELINES)
def test_every_dose_arrives_in_version_1(name: str, tmp_path: Path) -> None:
    """Witnesses: the sum of the closed forms of single doses, and libRoadRunner on the model as written."""
    doses, days = TIMELINES[name]
    case = tiny_case(
        "x = 0; x' = -k*x; gone = 0; gone' = k*x; k = 0.7",
        {"y": ("x + gone/7", 1.0, "normal")},
        [("y", day, 1.0) for day in days],
        {"k": 0.7},
        start=-2.0,
    )
    given = Schedule()
    for day, amount, length in doses:
        given = given + Schedule.at([day], cells=amount, product="x", duration=length)
    case = replace(case, timeline=given)

    def left(t: float, amount: float, length: float) -> float:
        if t < 0:
            return 0.0
        if not length:
            return amount * np.exp(-0.7 * t)
        run = min(t, length)
        return amount / length / 0.7 * (1 - np.exp(-0.7 * run)) * np.exp(-0.7 * (t - run))

    def so_far(t: float, amount: float, length: float) -> float:
        return amount * (min(t / length, 1.0) if length else 1.0) if t >= 0 else 0.0

    right = []
    for day in days:
        x = sum(left(day - at, amount, length) for at, amount, length in doses)
        gone = sum(so_far(day - at, amount, length) for at, amount, length in doses) - x
        right.append(x + gone / 7)
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path))
    assert not petab.lint_problem(problem)
    assert simulated(problem, {"k": 0.7})["simulation"].tolist() == pytest.approx(right, rel=1e-6)
    back = cs.simulate(cs.load_model(tmp_path / "model.xml"), Schedule(), np.array(days) + 2.0)
    assert (back["x"] + back["gone"] / 7).tolist() == pytest.approx(right, rel=1e-6)


def test_hours_of_infusion_of_the_shipped_case_arrive_in_version_1(tmp_path: Path) -> None:
    """Witness: the case itself, run under its own schedule; 22 infusions arrive, not one."""
    case = cs.load_case("sjogren_rfib")
    hours = Schedule()
    for each in case.timeline:
        hours = hours + Schedule.at([each.day], cells=each.cells, product=each.product, duration=HOUR)
    case = replace(case, timeline=replace(case.timeline, infusions=hours.infusions))
    back = cs.load_model(export_v1(case, tmp_path).parent / "model.xml")
    assert len([each for each in back.events if each.name.startswith("dose_")]) == 44
    names = [each.name for each in cs.load_model(case.model).states]
    right = cs.simulate(cs.load_model(case.model), case.timeline, [259.0], start=case.start, outputs=names)
    seen = cs.simulate(back, Schedule(), [259.0 - case.start], outputs=names)
    for name in names:
        assert seen[name][-1] == pytest.approx(right[name][-1], rel=1e-4, abs=1e-6), name


def test_a_model_that_does_not_read_back_equal_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = tiny_case("x = 0; x' = -k*x; k = 0.7", {"y": "x"}, [("y", 4.0, 1.0)], {"k": 0.7}, start=-2.0)
    case = replace(case, timeline=Schedule.at([1.0, 3.0], cells=2.0, product="x"))

    def forgetful(model: cs.Model) -> str:
        return write_sbml(replace(model, events=model.events[:-1]))

    monkeypatch.setattr("cellsim.case.export_v1.write_sbml", forgetful)
    with pytest.raises(
        CaseError, match=r"does not read back as the case(?s:.)*x is 2.49\d+ on day 3, and 0.49"
    ):
        export_v1(case, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_priors_of_version_1_have_the_shape_of_ours(tmp_path: Path) -> None:
    """Differences of libpetab's log priors, on the scale it estimates on, are those of N(0, 1) in theta."""
    case = tiny_case(
        "x = 10; x' = -k*x; k = 1; b = 0; c = 1",
        {"y": "x*exp(b)*c"},
        [("y", 1.0, 4.0)],
        {"k": ("log-normal", -0.3, 0.7), "b": ("normal", 0.2, 0.4), "c": ("uniform", 0.5, 2.0)},
    )
    problem = petab.Problem.from_yaml(export_v1(case, tmp_path))
    assert not petab.lint_problem(problem)
    table = problem.parameter_df
    assert dict(table["parameterScale"]) == {"k": "log", "b": "lin", "c": "lin"}
    for name, x in (("k", np.log([0.4, 1.7])), ("b", np.array([-0.5, 0.9]))):
        middle, sd = map(float, table.loc[name, "objectivePriorParameters"].split(";"))
        value = np.exp(x) if name == "k" else x
        assert (x - middle) / sd == pytest.approx(
            [objective_of(case).theta({name: v})[objective_of(case).names.index(name)] for v in value]
        )
    assert table.loc["c", ["lowerBound", "upperBound"]].tolist() == [0.5, 2.0]


def test_what_version_1_cannot_say_is_refused_all_at_once(tmp_path: Path) -> None:
    case = tiny(parameters={"k": ("log-normal", 0.0, 1.0)})
    case = replace(
        case, priors=tuple(replace(each, family="gamma", parameters=(1.0, 1.0)) for each in case.priors)
    )
    with pytest.raises(CaseError) as refused:
        export_v1(case, tmp_path, fixed={"kk": 1.0})
    assert [each.what for each in refused.value.problems] == [
        "no parameter 'kk' to fix.",
        "PEtab v1 has no gamma prior, which k has.",
    ]
    assert export_v1(case, tmp_path, fixed={"k": 1.0}).is_file()


# ---- PEtab Select out -----------------------------------------------------------------------------


def test_criteria_are_petab_selects_own_sums_without_priors() -> None:
    found = information_criteria(31.4, estimated=7, rows=20)
    assert found["AIC"] == pytest.approx(calculate_aic(31.4, 7))
    assert found["AICc"] == pytest.approx(calculate_aicc(31.4, 7, 20, 0))
    assert found["BIC"] == pytest.approx(calculate_bic(31.4, 7, 20, 0))
    assert "AICc" not in information_criteria(31.4, estimated=19, rows=20)


def test_petab_select_finds_the_models_and_criteria_we_wrote(tmp_path: Path) -> None:
    compared = small()
    problem = petab_select.Problem.from_yaml(compared.to_petab_select(tmp_path))
    models = petab_select.Models.from_yaml(tmp_path / "models.yaml")
    assert [each.model_id for each in models] == list(compared.fits)
    for model, fit in zip(models, compared.fits.values(), strict=True):
        rows, count = len(fit.objective.terms), len(fit.objective.names)
        assert rows == 9
        lost = -fit.objective.evaluate(fit.theta).log_likelihood.sum()
        assert model.get_criterion(petab_select.Criterion.NLLH, compute=False) == pytest.approx(lost)
        assert model.get_criterion(petab_select.Criterion.BIC, compute=False) == pytest.approx(
            calculate_bic(lost, count, rows, 0)
        )
        assert model.estimated_parameters == {name: fit.values[name] for name in fit.objective.names}
        # petab-select's own model of that place in the space is this one
        again = problem.get_model(model.model_subspace_id, model.model_subspace_indices)
        assert (again.hash, again.parameters) == (model.hash, model.parameters)
        inside = set(again.to_petab()["petab_problem"].x_free_ids)
        assert inside == set(fit.objective.names) - {"day_v1"}
    best = petab_select.analyze.get_best(models, criterion=problem.criterion, compare=problem.compare)
    assert best.model_id == min(models, key=lambda each: each.criteria[problem.criterion]).model_id


def test_the_likelihood_told_beside_is_what_other_tools_find(tmp_path: Path) -> None:
    """Witness: petab-select makes the problem of the model at its estimates, libRoadRunner and libpetab score it."""
    import yaml

    small().to_petab_select(tmp_path)
    told = yaml.safe_load((tmp_path / "models.yaml").read_text())
    for model, entry in zip(petab_select.Models.from_yaml(tmp_path / "models.yaml"), told, strict=True):
        problem = model.to_petab()["petab_problem"]
        values = problem.parameter_df["nominalValue"].to_dict()
        assert nllh(problem, values) == pytest.approx(entry["cellsim"]["nllh_of_petab_problem"], abs=1e-4)
        assert entry["cellsim"]["ln_evidence"] == small().fits[entry["model_id"]].log_evidence


def test_what_petab_select_cannot_hold_is_refused_all_at_once(tmp_path: Path) -> None:
    case = tiny(
        parameters={"k": ("log-normal", 0.0, 1.0)}, variants={"a-1": {"k": "estimate"}, "b": {"k": 1.0}}
    )
    done = [
        Calibrated(variant="b", estimates={"k": np.inf}, criteria={"NLLH": 1.0, "WAIC": 2.0}),
        Calibrated(variant="c", estimates={}, criteria={}),
    ]
    with pytest.raises(CaseError) as refused:
        write_select(case, tmp_path, done, criterion="BIC", method="forwards")
    said = str(refused.value)
    for each in (
        "no method 'forwards'. Did you mean 'forward'?",
        "'a-1' at its hyphen",
        "k = inf of b",
        "no criterion 'WAIC'",
        "b has no BIC. It has NLLH",
        "no variant 'c'",
    ):
        assert each in said
    assert len(refused.value.problems) == 6
    assert not list(tmp_path.iterdir())


# ---- PEtab Select in ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [cs.load_case("sjogren_rfib"), small_patient()], ids=lambda each: each.name)
def test_variants_come_back_through_petab_select(case: cs.Case, tmp_path: Path) -> None:
    ours = write_select(case, tmp_path / "ours")
    petab_select.Problem.from_yaml(ours).save(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        back = read_select(tmp_path / folder, case)
        assert [(each.id, dict(each.fixed), set(each.estimated), each.default) for each in back.variants] == [
            (each.id, dict(each.fixed), set(each.estimated), each.default) for each in case.variants
        ]
        assert [each.meaning for each in back.variants] == [each.meaning for each in case.variants]


SEVERAL = "model_subspace_id\tmodel_subspace_petab_yaml\te\tphi\nM\tv1/problem.yaml\t0;0.3;estimate\t0;estimate\nN\tv1/problem.yaml\t0\t0.1\n"


def space(folder: Path, table: str = SEVERAL, more: str = "", method: str = "forward") -> Path:
    """A problem with one table of models."""
    folder.mkdir(exist_ok=True)
    (folder / "models.tsv").write_text(table)
    path = folder / "select.yaml"
    usual = {"criterion": "AICc", "method": method, "model_space_files": "[models.tsv]"}
    # a key that stands there twice is refused: `more` replaces a line of that key
    lines = [f"{key}: {word}\n" for key, word in usual.items() if not more.startswith(key)]
    path.write_text("".join(lines) + more)
    return path


def test_a_row_with_several_choices_is_the_models_petab_select_makes_of_it(tmp_path: Path) -> None:
    case = small_patient()
    export_v1(case, tmp_path / "v1")
    path = space(tmp_path, method="brute_force")
    candidates = petab_select.Problem.from_yaml(path)
    theirs = petab_select.ui.start_iteration(problem=candidates)["uncalibrated_models"]
    back = read_select(path, case)
    ours = {
        each.id: {**dict(each.fixed), **dict.fromkeys(each.estimated, "estimate")} for each in back.variants
    }
    assert ours == {
        str(each.hash).replace("-", "_") if each.model_subspace_id == "M" else "N": each.parameters
        for each in theirs
    }
    assert len(ours) == 7
    assert back.default_variant == "M_00"


def test_two_tables_are_one_space(tmp_path: Path) -> None:
    """A parameter that only the other table mentions stays as the case has it, in petab-select's reading too."""
    case = small_patient()
    export_v1(case, tmp_path / "v1")
    (tmp_path / "deeper").mkdir()
    for where, rows in (
        ("deeper/a.tsv", "e\nA\t../v1/problem.yaml\t0"),
        ("b.tsv", "phi\nB\tv1/problem.yaml\t0.1"),
    ):
        (tmp_path / where).write_text(f"model_subspace_id\tmodel_subspace_petab_yaml\t{rows}\n")
    path = tmp_path / "select.yaml"
    path.write_text("criterion: BIC\nmethod: brute_force\nmodel_space_files: [deeper/a.tsv, b.tsv]\n")
    back = read_select(path, case)
    theirs = petab_select.Problem.from_yaml(path)
    for name, model in (("A", theirs.get_model("A", [0])), ("B", theirs.get_model("B", [0]))):
        free = set(model.to_petab()["petab_problem"].x_free_ids)
        assert set(objective_of(back, variant=name).names) - {"day_v1"} == free


def test_a_metaparameter_moves_its_group(tmp_path: Path) -> None:
    table = "model_subspace_id\tmodel_subspace_petab_yaml\tboth\nM\tp.yaml\t0;estimate\n"
    back = read_select(space(tmp_path, table, "metaparameters: {both: [phi, shift]}\n"), small_patient())
    assert back.variant("M_0").fixed == (("phi", 0.0), ("shift", 0.0))
    assert back.variant("M_1").estimated == ("phi", "shift")


def test_a_space_read_in_is_compared(tmp_path: Path) -> None:
    table = "model_subspace_id\tmodel_subspace_petab_yaml\te\tphi\nnothing\tp.yaml\t0\t0\n"
    case = read_select(space(tmp_path, table), small_patient())
    found = compare(case, starts=1, leave_out=False, progress=False)
    assert list(found.fits) == ["nothing"]
    assert "phi" not in found.fits["nothing"].objective.names


def test_what_is_wrong_with_a_space_is_said_all_at_once(tmp_path: Path) -> None:
    table = (
        SEVERAL.replace("\tphi", "\tphii").replace("0;0.3;estimate", "0;some;") + "M2\tother.yaml\tnan\t1\n"
    )
    with pytest.raises(CaseError) as refused:
        read_select(space(tmp_path, table), small_patient())
    said = str(refused.value)
    for each in (
        "models.tsv, row 1: small has no parameter 'phii'. Did you mean 'phi'?",
        "models.tsv, row 2, column e: e 'some' is not a number.",
        "models.tsv, row 2: M says nothing about e.",
        "models.tsv, row 4: M2 belongs to other.yaml, the rows before to v1/problem.yaml.",
        "models.tsv, row 4: M2 says nothing about e.",
    ):
        assert each in said
    assert len(refused.value.problems) == 5


@pytest.mark.parametrize(
    ("table", "more", "letter"),
    [
        (
            "M\tp.yaml\t" + ";".join(map(str, range(20))) + "\t" + ";".join(map(str, range(20))),
            "",
            "spans 400 models",
        ),
        ("M\tp.yaml\t0\t0\nM\tp.yaml\t1\t0", "", "two models are called 'M'"),
        ("M\tp.yaml\t0\t0", "metaparameters: {g: [ee]}\n", "'g' holds 'ee', which is no parameter"),
        ("M\tp.yaml\t0\t0", "metaparameters: {e: [phi]}\n", "phi has its own column and one in e"),
        ("M\tp.yaml\t0\t0", "metaparameters: {g: phi}\n", "a list of parameters each"),
        ("M\tp.yaml\t0\t0", "format_version: 2.0.0\n", "format_version '2.0.0'; PEtab Select 1 is read"),
        ("M\tp.yaml\t0\t0", "criterion: AICC\n", "unknown criterion 'AICC'. Did you mean 'AICc'?"),
        ("M\tp.yaml\t0\t0", "method: {}\n", "unknown method {}."),
        ("M\tp.yaml\t0\t0", "model_space_files: [none.tsv]\n", "none.tsv: cannot be read"),
        ("M\tp.yaml\t0\t0", "model_space_files: none.tsv\n", "no list of model_space_files"),
        ("M\tp.yaml\t0\t0", ": - [", "not YAML"),
    ],
)
def test_each_fault_of_a_space_has_its_letter(table: str, more: str, letter: str, tmp_path: Path) -> None:
    path = space(tmp_path, SEVERAL.split("\n", 1)[0] + "\n" + table + "\n", more)
    with pytest.raises(CaseError) as refused:
        read_select(path, small_patient())
    assert letter in str(refused.value)


def test_a_parameter_without_prior_is_not_estimated(tmp_path: Path) -> None:
    case = tiny_case("x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], {"k": 1.0})
    table = "model_subspace_id\tmodel_subspace_petab_yaml\tk\nM\tp.yaml\testimate\n"
    with pytest.raises(CaseError, match=r"models\.tsv, row 2: M estimates k, which has no prior"):
        read_select(space(tmp_path, table), case)


def test_a_missing_problem_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"there is no .*petab_select_problem\.yaml"):
        read_select(tmp_path, small_patient())
