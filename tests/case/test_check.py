"""``check`` first: what any later verb would refuse is told beforehand, with file, row and remedy; what passes, starts."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.assumptions import read_priors
from cellsim.cli.commands import main
from cellsim.errors import CaseError, Problem
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.priors import FAMILIES
from cellsim.petab.tables import TableReader

MODEL = "bag = 0; bag' = -0.2*bag; x = 1; x' = k*bag - 0.1*x; k = 0.1"


def small(**changes) -> cs.Case:
    """y = A x, fed from a bag that is filled on days 2 and 9; A estimated."""
    given = {
        "observables": {"y": ("A*x", 0.3)},
        "rows": [("y", 1.0, 1.5), ("y", 10.0, 2.5)],
        "parameters": {"k": 0.1, "A": ("log-normal", 0.0, 1.0)},
        "doses": [(2.0, "bag", 50.0), (9.0, "bag", 50.0)],
        **changes,
    }
    return tiny_case(MODEL, **given)


def edited(file: str, old: str, new: str, case: cs.Case | None = None) -> dict[str, str]:
    """Its texts with one place changed."""
    files = (case or small()).files
    assert old in files[file], files[file]
    return {**files, file: files[file].replace(old, new, 1)}


# ---- told beforehand -----------------------------------------------------------------------------------


def with_column(column: str) -> dict[str, str]:
    """The parameter table with one more column, all of whose cells say log10."""
    files = small().files
    head, *rows = files["parameters.tsv"].splitlines()
    return {
        **files,
        "parameters.tsv": "\n".join([f"{head}\t{column}", *(f"{each}\tlog10" for each in rows)]) + "\n",
    }


PRIOR_ROW = "A\t\t\t1.0\ttrue\tlog-normal\t0.0;1.0"
REFUSED: dict[str, tuple[Callable[[], dict[str, str]], str, int | None, str]] = {
    "no room between the bounds": (
        lambda: edited("parameters.tsv", PRIOR_ROW, "A\t1\t1\t1.0\ttrue\tlog-normal\t0.0;1.0"),
        "parameters.tsv", 3, "bounds of A, 1 to 1, leave it no room. Set estimate to false",
    ),
    "bounds the wrong way round": (
        lambda: edited("parameters.tsv", PRIOR_ROW, "A\t2\t1\t1.0\ttrue\tlog-normal\t0.0;1.0"),
        "parameters.tsv", 3, "leave it no room",
    ),
    "nominal outside": (
        lambda: edited("parameters.tsv", PRIOR_ROW, "A\t2\t3\t1.0\ttrue\tlog-normal\t0.0;1.0"),
        "parameters.tsv", 3, "nominal A = 1 is outside of its bounds 2 to 3",
    ),
    "no probability between the bounds": (
        lambda: edited("parameters.tsv", PRIOR_ROW, "A\t-2\t-1\t-1.5\ttrue\tlog-normal\t0.0;1.0"),
        "parameters.tsv", 3, "leaves nothing between -2.0 and -1.0",
    ),
    "one prior parameter": (
        lambda: edited("parameters.tsv", "0.0;1.0", "0.0"), "parameters.tsv", 3, "takes 2 finite numbers (log-mean, log-sd)",
    ),
    "negative sd": (
        lambda: edited("parameters.tsv", "0.0;1.0", "0.0;-1.0"), "parameters.tsv", 3, "log-sd of the prior of A is -1",
    ),
    "unknown family": (
        lambda: edited("parameters.tsv", "log-normal", "lognorm"), "parameters.tsv", 3, "Did you mean 'log-normal'",
    ),
    "spread below zero": (
        lambda: edited("observables.tsv", "\t0.3\t", "\t-0.3\t"), "observables.tsv", 2, "noiseFormula of obs_y is -0.3",
    ),
    "spread below zero by a formula, told once": (
        lambda: edited("observables.tsv", "\t0.3\t", "\tk - 2\t"), "observables.tsv", 2, "the noise of obs_y is 'k - 2'",
    ),
    "spread without end": (
        lambda: edited("observables.tsv", "\t0.3\t", "\tinf\t"), "observables.tsv", 2, "the noise of obs_y is 'inf'; it must be a finite",
    ),
    "spread that is no real number": (
        lambda: edited("observables.tsv", "\t0.3\t", "\tsqrt(k - 2)\t"), "observables.tsv", 2, "the noise of obs_y is 'sqrt(k - 2)'",
    ),
    "spread that is more than a number times a parameter": (
        lambda: edited("observables.tsv", "\t0.3\t", "\tA + 1\t"), "observables.tsv", 2, "a number times one estimated parameter, can be",
    ),
    "spread by a state": (
        lambda: edited("observables.tsv", "\t0.3\t", "\t0.1*x\t"), "observables.tsv", 2, "x is no parameter of the case",
    ),
    "noise that cannot be scored": (
        lambda: edited("observables.tsv", "log-normal", "laplace"), "observables.tsv", 2, "obs_y is laplace",
    ),
    "prediction without logarithm": (
        lambda: edited("observables.tsv", "A*x", "A*x - 1000"), "measurements.tsv", 2, "is predicted as -99",
    ),
    "scale of PEtab version 1": (
        lambda: with_column("parameterScale"), "parameters.tsv", 1, "Where it said log10 or log, turn prior parameters",
    ),
    "prior of PEtab version 1": (
        lambda: with_column("objectivePriorParameters"), "parameters.tsv", 1, "calls it priorParameters",
    ),
    "visit before the simulation": (
        lambda: edited("experiments.tsv", "timeline\t0.0\t", "timeline\t1.5\t"), "visits.tsv", 2, "before the simulation starts on day 1.5",
    ),
    "no visits": (
        lambda: {**small().files, "visits.tsv": "visitId\tnominal\tearliest\tlatest\n"},
        "measurements.tsv", 2, "no visit 'v0'",
    ),
    "nothing scored": (
        lambda: {**small().files, "measurements.tsv": small().files["measurements.tsv"].splitlines()[0] + "\n"},
        "", None, "nothing is scored",
    ),
    "variant without such a parameter": (
        lambda: {
            **small().files,
            "model_space.tsv": "model_subspace_id\tmodel_subspace_petab_yaml\tB\nM0\tproblem.yaml\t1\n",
            "variants.tsv": "variantId\tdefault\nM0\ttrue\n",
        },
        "model_space.tsv", 1, "no parameter 'B'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_later_verbs_would_refuse_is_told_first(case: str) -> None:
    files, file, row, said = REFUSED[case]
    errors = [each for each in cs.check(files()) if each.severity == "error"]
    told = [each for each in errors if (each.file, each.row) == (file, row) and said in str(each)]
    assert len(told) == 1, errors
    assert len([each for each in errors if each.what == told[0].what]) == 1


def test_load_refuses_what_tables_alone_can_tell() -> None:
    with pytest.raises(CaseError, match="leave it no room"):
        cs.load_case(REFUSED["no room between the bounds"][0]())


def test_check_takes_what_load_case_takes_and_raises_nothing(tmp_path: Path) -> None:
    assert "No case" in str(cs.check("sjogren")[0])
    for name, text in small().files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cs.check(tmp_path) == cs.check(small()) == ()


def test_command_ends_with_one_when_a_variant_cannot_start(tmp_path: Path, capsys) -> None:
    """load_case has nothing against it: the spread is a formula whose value only the objective knows."""
    for name, text in edited("observables.tsv", "\t0.3\t", "\tk - 2\t").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cs.load_case(tmp_path).check() == ()
    assert main(["check", str(tmp_path)]) == 1
    assert (
        "observables.tsv, row 2, column noiseFormula: the noise of obs_y is 'k - 2'"
        in capsys.readouterr().out
    )


def test_doses_no_sample_can_notice_are_doubted() -> None:
    [doubt] = small(doses=[(2.0, "bag", 50.0), (90.0, "bag", 50.0)]).check()
    assert doubt.severity == "doubt" and "1 of 2 infusions are after the last sample (day 10)" in doubt.what


def test_variant_that_fixes_everything_is_doubted_by_name() -> None:
    case = small(variants={"free": {"A": "estimate"}, "fixed": {"A": 1.0}})
    [doubt] = cs.check(case)
    assert (doubt.severity, doubt.file, doubt.row) == ("doubt", "model_space.tsv", 3)
    assert "under fixed: nothing is estimated" in doubt.what


# ---- what passes, starts -------------------------------------------------------------------------------

PASSING: dict[str, Callable[[], cs.Case]] = {
    "as it is": small,
    "normal noise and a limit": lambda: small(
        observables={"y": ("A*x", 0.3, "normal")}, censored=[("y", 5.0, 2.0)]
    ),
    "uniform prior, window, no dose": lambda: small(
        parameters={"k": 0.1, "A": ("uniform", 0.5, 3.0)}, doses=[], windows={10.0: (8.0, 12.0)}
    ),
    "limits alone": lambda: small(rows=[], censored=[("y", 1.0, 2.0), ("y", 10.0, 2.0)]),
    "one row": lambda: small(rows=[("y", 10.0, 2.5)]),
    "nothing estimated": lambda: small(parameters={"k": 0.1, "A": 1.0}),
    "variants": lambda: small(
        parameters={"k": ("log-normal", -2.3, 0.5), "A": ("log-normal", 0.0, 1.0)},
        variants={"both": {"k": "estimate", "A": "estimate"}, "one": {"k": 0.1, "A": "estimate"}},
    ),
    "a formula of two states, an assumed spread": lambda: small(
        observables={"y": ("A*x + bag/100", 0.3)}, parameters={"k": 0.1, "A": ("log-uniform", 0.1, 10.0)}
    ),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_check_passes_every_verb_starts(name: str, tmp_path: Path) -> None:
    """Each verb's first step, with as little of everything as it takes; only what was told may be refused."""
    case = PASSING[name]()
    problems = cs.check(case)
    assert [each for each in problems if each.severity == "error"] == []
    idle = any("nothing is estimated" in each.what for each in problems)
    fit = cs.calibrate(case, starts=1, progress=False)
    assert np.isfinite(fit.log_evidence)
    plan = cs.Schedule.at([0.0], cells=10.0, product="bag")
    assert len(cs.sweep(fit, {"one": plan}, until=5.0, draws=2).table())
    assert cs.identify(fit, points=1).report()
    if not idle:
        assert cs.profile(fit, "A", levels=0.5, step=2.0, workers=1, progress=False).curves
        assert cs.sample(fit, method="nuts", draws=4, tune=40, chains=1, progress=False).thetas.size
    if case.variants:
        assert cs.compare(case, starts=1, leave_out=False, effective=20, progress=False).order


def test_report_starts_on_what_check_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from cellsim.report.report import write_report

    # figures are made, so that one that cannot be is told; how they look on paper is not asked here
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    made = write_report(
        small(),
        tmp_path,
        starts=1,
        draws=4,
        effective=4,
        without=("leave-out", "robustness"),
        progress=False,
    )
    # figures of named quantities are missing in a model without them; nothing else is
    assert all(each.startswith("Figure") for each in made.failures), made.failures
    assert objective_of(small()).names == ("A",)


# ---- what means nothing, and what contradicts itself ----------------------------------------------------


@cache
def _before() -> frozenset[Problem]:
    return frozenset(cs.check(small()))


def told(files: dict[str, str]) -> list[tuple[str, str, int | None, str]]:
    """Severity, file, row and words of everything said of a case that was not said before it was edited."""
    before = _before()
    return [(each.severity, each.file, each.row, str(each)) for each in cs.check(files) if each not in before]


@pytest.mark.parametrize(
    ("added", "severity", "said"),
    [
        ("measurment_files: [zz]", "error", "Did you mean 'measurement_files'?"),
        ("Mapping_file: [zz]", "error", "Did you mean 'mapping_files'?"),
        ("license: mine", "doubt", "'license' is no key of a problem file"),
        ("mapping_files: [nope.tsv]", "error", "nope.tsv, named under mapping_files, is missing"),
        ("mapping_files: [visits.tsv]", "doubt", "mapping_files is not read: visits.tsv"),
        ("extensions: {sde: {version: 1, required: false}}", "doubt", "extensions is not read: sde"),
        ("extensions: {sde: {version: 1, required: true}}", "error", "extensions is not read: sde"),
        ('name: "\\0"', "doubt", "'name' is no key"),
    ],
)
def test_what_a_problem_file_says_and_nobody_reads_is_told(added: str, severity: str, said: str) -> None:
    """Witness: the keys of PEtab v2's problem file, and the line on which the key was written."""
    files = {**small().files}
    files["problem.yaml"] += added + "\n"
    found = told(files)
    row = files["problem.yaml"].count("\n")
    assert any(
        (how, file) == (severity, "problem.yaml") and at in (row, None) and said in words
        for how, file, at, words in found
    ), found


def test_a_problem_whose_keys_are_all_read_is_not_doubted() -> None:
    files = {**small().files}
    files["problem.yaml"] += "mapping_files: []\nextensions: {}\n"
    assert told(files) == []
    files["problem.yaml"] = files["problem.yaml"].replace("id: ", 'id: "\\0" #')
    assert "letters that cannot be printed" in str(told(files))


def test_load_refuses_a_nominal_value_that_simulations_would_use() -> None:
    with pytest.raises(CaseError, match="nominal A = -1 is impossible under its log-normal prior"):
        cs.load_case(edited("parameters.tsv", "A\t\t\t1.0", "A\t\t\t-1"))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_dose_whose_condition_was_lost_is_doubted(lost: int) -> None:
    """Witness: the infusions that are left, and the row that gives none."""
    doses = [(2.0, "x", 5.0), (9.0, "x", 6.0), (16.0, "x", 7.0)]
    case = tiny_case("x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 20.0, 4.0)], {"k": ("log-normal", 0.0, 1.0)}, doses=doses)  # fmt: skip
    assert not [each for each in cs.check(case) if "condition" in each.what]
    table = case.files["experiments.tsv"].replace(f"\tdose{lost}", "\t")
    files = {**case.files, "experiments.tsv": table}
    assert cs.load_case(files).timeline.count == 2
    found = [(each.file, each.row) for each in cs.check(files) if "condition" in each.what]
    assert found == [("experiments.tsv", lost + 3), ("conditions.tsv", lost + 2)]


PRIORS = {
    "cauchy": "0;1", "chisquare": "3", "exponential": "2", "gamma": "2;1", "laplace": "0;1", "log-laplace": "0;1",
    "log-normal": "0;1", "log-uniform": "2;10", "normal": "0;1", "rayleigh": "1", "uniform": "2;10",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("estimate", ["true", "false"])
def test_a_nominal_value_that_its_prior_excludes_is_told(family: str, estimate: str) -> None:
    """Witness: the support of scipy's distribution. Zero may be held, and is the end of some supports."""
    # ours of these two loads no scipy.stats
    made = {"normal": stats.norm, "log-normal": lambda mean, sd: stats.lognorm(sd, scale=np.exp(mean))}
    low, high = made.get(family, FAMILIES[family][1])(*map(float, PRIORS[family].split(";"))).support()
    head = "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\tpriorDistribution\tpriorParameters\n"
    for nominal in (-5.0, -1e-3, 1.0, 1.999, 2.0, 5.0, 10.0, 11.0):
        row = f"A\t\t\t{nominal}\t{estimate}\t{family}\t{PRIORS[family]}\n"
        reader = TableReader({"parameters.tsv": head + row, "parameters_extended.tsv": head})
        assert read_priors(reader, {"parameter_files": ("parameters.tsv",)})[0].nominal == nominal
        found = [(each.severity, each.file, each.row) for each in reader.problems]
        severity = "error" if estimate == "true" else "doubt"
        assert found == ([] if low <= nominal <= high else [(severity, "parameters.tsv", 2)]), (
            family,
            nominal,
        )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("left\t0.1", "", "both cannot be"),
        ("right\t9", "", "both cannot be"),
        ("left\t9", "", "one sample counts twice"),
        ("left\t0.1", "right\t5", "both cannot be"),
    ],
)
def test_a_value_and_a_limit_of_one_assay_are_doubted(first: str, second: str, said: str) -> None:
    """Witness: the interval that each of the two rows allows; a second assay with a number of its own may differ."""
    head = "observableId\tkind\tvisitId\tday\tcensoring\tlimit\tunit\tscored\treplicateId\n"

    def files(replicate: str) -> dict[str, str]:
        rows = "".join(
            f"obs_y\tcensored\tv0\t1.0\t{each}\t1\ttrue\t{replicate}\n" for each in (first, second) if each
        )
        return {**small().files, "extended.tsv": head + rows}

    found = [each for each in told(files("")) if "obs_y at v0" in each[3]]
    assert {each[:2] for each in found} == {("doubt", "extended.tsv")}
    assert said in found[0][3] and "measurements.tsv, row 2" in found[0][3]
    alone = [each for each in told(files("second")) if "measurements.tsv" in each[3]]
    assert alone == []


@pytest.mark.parametrize("name", ["''", '""""""', "a\x07b"])
def test_an_analyte_without_a_name_is_refused(name: str) -> None:
    files = edited("observables.tsv", "\ty\t", f"\t{name}\t")
    assert [each[:3] for each in told(files) if "is no name" in each[3]] == [("error", "observables.tsv", 2)]


def test_the_observable_obs_without_an_analyte_is_refused() -> None:
    files = {name: text.replace("obs_y", "obs_") for name, text in small().files.items()}
    files["observables.tsv"] = files["observables.tsv"].replace("\ty\t", "\t\t")
    assert any("is no name" in each[3] for each in told(files))
