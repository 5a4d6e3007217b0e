"""PEtab problems of many conditions and experiments: closed forms, SciPy's distributions, finite differences, libpetab."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from problems import MODEL, course, table, version_1, version_2
from scipy import stats

import cellsim as cs
from cellsim.case.case import Case
from cellsim.errors import CalibrationError, CaseError, SimulationError
from cellsim.estimation.problem import EstimationProblem, load_problem
from cellsim.petab.folder import outside

RATES = "parameterId estimate nominalValue lowerBound upperBound\nk1 true 0.8 0 10\nk2 true 0.6 0 10\n"
RATES_1 = "parameterId parameterScale estimate nominalValue lowerBound upperBound\nk1 log10 1 0.8 1e-3 10\nk2 lin 1 0.6 0 10\n"
SEEN = "observableId observableFormula noiseFormula\nobs_a A 0.5\nobs_b B 0.7\n"
CLOSE = {"abs": 1e-6}


def confirmed(problem: EstimationProblem, **at: float) -> None:
    """The gradient is that of five-point differences."""
    values, slopes = problem.values(at), problem.gradient(at)
    for name, slope in slopes.items():
        h = 1e-4 * (abs(values[name]) or 1.0)
        f = [problem.log_likelihood({**at, name: values[name] + k * h}, rtol=1e-11) for k in (1, -1, 2, -2)]
        assert slope == pytest.approx((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h), rel=1e-4, abs=1e-5), (
            name
        )


# ---- conditions and experiments -----------------------------------------------------------------------


def test_conditions_of_version_1_set_values_starts_and_what_is_worked_out_from_them() -> None:
    """Each row against the closed form of its condition: numbers, parameters by name, empty cells, a start, a constant's start."""
    texts = version_1(
        RATES_1 + "start log 1 3 1e-2 10\n",
        "conditionId k1 A scale\nc0 0.5 start -\nc1 - 2 3\nc2 k2 NaN -\n",
        "observableId observableFormula noiseFormula\nobs_a scale*A+twice 0.5\n",
        "observableId simulationConditionId time measurement\nobs_a c0 0 1\nobs_a c0 2 1\nobs_a c1 2 1\nobs_a c2 2 1\n",
    )
    # k1 cannot be both estimated and set
    with pytest.raises(CaseError, match="k1 is set by a condition, and stands in the parameter table too"):
        cs.load_case(texts)
    texts["p.tsv"] = texts["p.tsv"].replace("k1\tlog10", "unseen\tlog10")
    problem = cs.load_case(texts)
    assert isinstance(problem, EstimationProblem)
    a = [
        course(2, 3, 0, 0.5, 0.6)[0] + 2 * 0.5,
        3 * course(2, 2, 0, 0.8, 0.6)[0] + 2 * 0.8,
        course(2, 1, 0, 0.6, 0.6)[0] + 2 * 0.6,
    ]
    assert problem.simulate()["simulation"].tolist() == pytest.approx([3 + 1, *a], **CLOSE)
    assert any("nothing else uses it" in str(each) for each in problem.check())
    confirmed(problem)


def test_pre_equilibration_of_version_1_keeps_states_and_not_constants() -> None:
    """B starts at 2 before; A is set anew and B kept after; k1 without a cell goes back to the model's own value."""
    texts = version_1(
        "parameterId parameterScale estimate nominalValue lowerBound upperBound\nk2 lin 1 0.6 0 10\n",
        "conditionId k1 B A\npre 0.3 2 0\nnow - NaN 1\n",
        SEEN,
        "observableId preequilibrationConditionId simulationConditionId time measurement\n"
        "obs_a pre now 0 0.1\nobs_a pre now 1 0.7\nobs_b pre now 1 0.1\nobs_a - now 1 0.4\n",
    )
    problem = load_problem(texts)
    b = 2 * 0.3 / 0.9
    rest = course(1, 1, b, 0.8, 0.6)
    alone = course(1, 1, 0, 0.8, 0.6)[0]
    assert problem.simulate()["simulation"].tolist() == pytest.approx([1, *rest, alone], **CLOSE)
    confirmed(problem)


def test_periods_of_version_2_set_all_at_once_from_what_is_there() -> None:
    """A and B change places; each row of a period's first instant is read after the change; k1 stays as it was set."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk2 true 0.6 0 10\ngain true 1.5 0 10\n",
        SEEN,
        "observableId experimentId time measurement\nobs_a e 1 0\nobs_a e 3 0\nobs_b e 3 0\nobs_b e 5 0\nobs_a e inf 0\nobs_a - 1 1\n",
        conditions="conditionId targetId targetValue\nfirst k1 gain/3\nfirst A 2*gain\nswap A B+time-3\nswap B A\n",
        experiments="experimentId time conditionId\ne 3 swap\ne 1 first\n",
    )
    problem = load_problem(texts)
    a, b = course(2, 3, 0, 0.5, 0.6)
    seen = [3, b, a, course(2, b, a, 0.5, 0.6)[1], 3 * 0.6 / 1.1, course(1, 1, 0, 0.8, 0.6)[0]]
    assert problem.simulate()["simulation"].tolist() == pytest.approx(seen, **CLOSE)
    confirmed(problem)


def test_pre_equilibration_of_version_2_and_two_conditions_at_once() -> None:
    """Experiments that begin alike share their rest, k2/(k1 + k2); one that begins with another k1 has its own."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk2 true 0.6 0 10\n",
        SEEN,
        "observableId experimentId time measurement\nobs_a e 2 0.3\nobs_b e 4 0.3\nobs_a still 7 0.3\nobs_a other 7 0.3\n",
        conditions="conditionId targetId targetValue\npre k1 0.3\nnow k1 0.9\ndose A A+1\n",
        experiments="experimentId time conditionId\ne -inf pre\ne 2 now\ne 2 dose\nstill -inf pre\nother -inf now\n",
    )
    problem = load_problem(texts)
    a = 0.6 / 0.9
    assert problem.simulate()["simulation"].tolist() == pytest.approx(
        [a + 1, course(2, a + 1, 1 - a, 0.9, 0.6)[1], a, 0.6 / 1.5], **CLOSE
    )
    confirmed(problem)


def test_conditions_set_what_only_observables_have() -> None:
    """An offset that is no quantity of the model, by numbers and by parameters, in both versions; unset it is told."""
    observables = "observableId observableFormula noiseFormula\ny A+offset 1\n"
    first = load_problem(
        version_1(
            RATES_1 + "par lin 1 4 0 10\n", "conditionId offset\nc 2\nd par\ne NaN\n", observables,
            "observableId simulationConditionId time measurement\ny c 0 1\ny d 0 1\n",
        )
    )  # fmt: skip
    second = load_problem(
        version_2(
            RATES + "par true 4 0 10\n", observables, "observableId experimentId time measurement\ny e 0 1\ny e 2 1\n",
            conditions="conditionId targetId targetValue\nc offset 2\nd offset offset+par\n",
            experiments="experimentId time conditionId\ne 0 c\ne 2 d\n",
        )
    )  # fmt: skip
    assert first.simulate()["simulation"].tolist() == pytest.approx([3, 5])
    assert second.simulate()["simulation"].tolist() == pytest.approx(
        [3, 6 + course(2, 1, 0, 0.8, 0.6)[0]], **CLOSE
    )
    confirmed(first)
    confirmed(second)
    lost = {**first.files, "m.tsv": first.files["m.tsv"].replace("y\td", "y\te")}
    with pytest.raises(SimulationError, match="y at time 0 is predicted as nan"):
        load_problem(lost).log_likelihood()


def test_a_steady_state_is_found_in_whatever_unit_and_however_slow() -> None:
    """Amounts of 1e-15 and rates of 1e-9: x = k/e to the relative tolerance, with its slopes."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk true 2e-24 0 1\ne true 1e-9 0 1\n",
        "observableId observableFormula noiseFormula\ny x*1e15 1\n",
        "observableId experimentId time measurement\ny - inf 1\n",
        models={"m": "x = 1e-18; x' = k - e*x; k = 1; e = 1"},
    )
    problem = load_problem(texts)
    assert problem.simulate()["simulation"].tolist() == pytest.approx([2.0], rel=1e-6)
    assert problem.gradient()["k"] == pytest.approx(-(2.0 - 1.0) * 1e24, rel=1e-5)


def test_rows_without_an_experiment_are_of_the_model_as_it_is() -> None:
    """Beside rows of an experiment: the case reader would take them into it, and so it is not a case."""
    texts = version_2(
        RATES, SEEN, "observableId experimentId time measurement\nobs_a e 3 0.7\nobs_a - 3 0.4\n",
        conditions="conditionId targetId targetValue\ndose A A+5\n", experiments="experimentId time conditionId\ne 0 -\ne 2 dose\n",
    )  # fmt: skip
    problem = cs.load_case(texts)
    a, b = course(2, 1, 0, 0.8, 0.6)
    seen = [course(1, a + 5, b, 0.8, 0.6)[0], course(3, 1, 0, 0.8, 0.6)[0]]
    assert problem.simulate()["simulation"].tolist() == pytest.approx(seen, **CLOSE)


def test_a_constant_species_and_a_parameter_with_a_start_of_its_own_are_set() -> None:
    """What SBML works out once (an amount over a size, an initial assignment) gives way to the tables, and others follow it."""
    model = "compartment c = 2; species $F in c = 3; X = 10*q; X' = -F*X; q = 3*w; w = 1"
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nq true 5 0 10\n",
        "observableId observableFormula noiseFormula\ny X 1\nf F 1\n",
        "observableId experimentId time measurement\ny e 1 0\nf e 1 0\nf - 1 0\n",
        conditions="conditionId targetId targetValue\nc F q/10\n",
        experiments="experimentId time conditionId\ne 0 c\n",
        models={"m": model},
    )
    problem = load_problem(texts)
    assert problem.simulate()["simulation"].tolist() == pytest.approx([50 * np.exp(-0.5), 0.5, 3], **CLOSE)
    confirmed(problem)


def test_events_are_asked_once_whatever_the_periods() -> None:
    """One on time fires after the change of its instant; one on a state fires when a change turns it, and not again."""
    model = "x = 1; x' = 0; n = 0; n' = 0; at (time >= 2): x = 10*x; at (x > 4): n = n + 1"
    texts = version_2(
        "parameterId estimate nominalValue\nsd false 1\n",
        "observableId observableFormula noiseFormula\nx_ x sd\nn_ n sd\n",
        "observableId experimentId time measurement\nx_ e 1 1\nx_ e 2 1\nn_ e 2 1\nx_ e 4 1\nn_ e 4 1\n",
        conditions="conditionId targetId targetValue\nadd x x+1\n",
        experiments="experimentId time conditionId\ne 0 -\ne 2 add\ne 3 add\n",
        models={"m": model},
    )
    assert load_problem(texts).simulate()["simulation"].tolist() == pytest.approx([1, 20, 1, 21, 1])


@pytest.mark.parametrize(("relation", "there"), [(">", [2, 0]), (">=", [2, 1])])
def test_a_sample_on_the_border_of_two_periods_is_read_after_the_change_and_before_a_strict_event(
    relation: str, there: list[float]
) -> None:
    """PEtab 2: conditions are set, events of the instant follow, then measurements are read; an event just after it follows these."""
    texts = version_2(
        "parameterId estimate nominalValue\nsd false 1\n",
        "observableId observableFormula noiseFormula\nx_ x sd\nn_ n sd\n",
        "observableId experimentId time measurement\nx_ e 2 1\nn_ e 2 1\nn_ e 3 1\n",
        conditions="conditionId targetId targetValue\nadd x x+1\n",
        experiments="experimentId time conditionId\ne 0 -\ne 2 add\n",
        models={"m": f"x = 1; x' = 0; n = 0; n' = 0; at (time {relation} 2): n = n + 1"},
    )
    assert load_problem(texts).simulate()["simulation"].tolist() == pytest.approx([*there, 1])


def test_a_constant_worked_out_at_the_start_stays_when_what_it_came_from_is_changed_later() -> None:
    """SBML evaluates an initial assignment once: twice = 2 k1 of the first period; set itself, it moves alone."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nscale true 3 0 10\n",
        "observableId observableFormula noiseFormula\ny twice+k1 1\n",
        "observableId experimentId time measurement\ny e 0 0\ny e 5 0\ny f 0 0\n",
        conditions="conditionId targetId targetValue\none k1 scale\ntwo k1 7\nown twice 100\n",
        experiments="experimentId time conditionId\ne 0 one\ne 5 two\nf 0 own\n",
    )
    problem = load_problem(texts)
    assert problem.simulate()["simulation"].tolist() == pytest.approx([9, 13, 100.8])
    confirmed(problem)


def test_a_changed_compartment_keeps_concentrations() -> None:
    """PEtab 2: a concentration is kept when the size of its compartment is set, unlike in an event of SBML."""
    model = "compartment c = 1; species X in c = 3; J: X => ; c*k*X; k = 0.5"
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk true 0.5 0 10\n",
        "observableId observableFormula noiseFormula\ny X 1\nsize c 1\n",
        "observableId experimentId time measurement\ny e 1 0\ny e 2 0\nsize e 2 0\n",
        conditions="conditionId targetId targetValue\nbig c 4\n",
        experiments="experimentId time conditionId\ne 0 -\ne 1 big\n",
        models={"m": model},
    )
    assert load_problem(texts).simulate()["simulation"].tolist() == pytest.approx(
        [3 * np.exp(-0.5), 3 * np.exp(-1), 4], **CLOSE
    )


def test_a_compartment_that_the_model_changes_keeps_amounts() -> None:
    """An event of SBML doubles the size at time 1: 3 e^(-k t) is halved there; what a condition sets beside it changes nothing else."""
    model = "compartment c = 1; species X in c = 3; J: X => ; c*k*X; k = 0.5; at (time >= 1): c = 2; d = 2*k"
    tables = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk true 0.5 0 10\n",
        "observableId observableFormula noiseFormula\ny X+0*d 1\n",
        "observableId experimentId time measurement\ny e 0 0\ny e 2 0\n",
        conditions="conditionId targetId targetValue\none d 7\n",
        experiments="experimentId time conditionId\ne 0 one\n",
        models={"m": model},
    )
    problem = load_problem(tables)
    assert problem.simulate()["simulation"].tolist() == pytest.approx([3, 1.5 * np.exp(-1)], **CLOSE)
    confirmed(problem)


def test_a_compartment_that_the_model_changes_is_set_by_a_condition_too() -> None:
    """The concentration X grows by 1 a day from 1; at 10 it is set to X + c in a size set to 2 c, at 15 an event leaves the amount alone."""
    model = "compartment c = 2; species $X in c = 3; X' = p; p = 1; at (time >= 15): c = 10"
    problem = load_problem(
        version_2(
            "parameterId estimate nominalValue lowerBound upperBound\np true 1 0 10\na true 1 0 10\n",
            "observableId observableFormula noiseFormula\ny X 1\nsize c 1\n",
            "observableId experimentId time measurement\ny e 9 0\nsize e 9 0\ny e 10 0\nsize e 10 0\ny e 14 0\ny e 16 0\nsize e 16 0\n",
            conditions="conditionId targetId targetValue\nfirst X a\nthen c 2*c\nthen X X+a*c\n",
            experiments="experimentId time conditionId\ne 0 first\ne 10 then\n",
            models={"m": model},
        )
    )
    seen = problem.simulate()["simulation"].tolist()
    assert seen == pytest.approx([10, 2, 13, 4, 17, 18 * 4 / 10 + 1, 10], **CLOSE)
    confirmed(problem)


def test_models_share_parameters_and_a_table_names_local_ones() -> None:
    """Two decays at one rate, which in one model is a reaction's own: the sum of both likelihoods, and both in its slope."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nrate true 0.5 0 10\n",
        "observableId observableFormula noiseFormula\ny x 0.2\n",
        "observableId modelId time measurement\ny one 1 0.5\ny two 2 0.5\n",
        mapping="petabEntityId modelEntityId\nrate J.k\n",
        models={
            "one": "x = 1; x' = -rate*x; rate = 3",
            "two": "compartment c = 1; species x in c = 2; J: x => ; k*x; k = 9",
        },
    )
    # Antimony has no parameters of reactions: the SBML of the second is written by hand
    sbml = cs.load_model(texts["two.ant"]).to_sbml()
    assert "<ci> k </ci>" in sbml
    two = """<?xml version="1.0"?><sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="two">
    <listOfCompartments><compartment id="c" spatialDimensions="3" size="1" constant="true"/></listOfCompartments><listOfSpecies>
    <species id="x" compartment="c" initialConcentration="2" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
    </listOfSpecies><listOfReactions><reaction id="J" reversible="false" fast="false"><listOfReactants><speciesReference species="x"
    stoichiometry="1" constant="true"/></listOfReactants><kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/>
    <ci> k </ci><ci> x </ci></apply></math><listOfLocalParameters><localParameter id="k" value="9"/></listOfLocalParameters></kineticLaw>
    </reaction></listOfReactions></model></sbml>"""
    texts["two.xml"] = two
    texts["any.yaml"] = texts["any.yaml"].replace("two.ant, language: antimony", "two.xml, language: sbml")
    problem = load_problem(texts)
    predicted = [np.exp(-0.5), 2 * np.exp(-1)]
    assert problem.log_likelihood() == pytest.approx(
        stats.norm.logpdf([0.5, 0.5], predicted, 0.2).sum(), **CLOSE
    )
    assert problem.simulate()["modelId"].tolist() == ["one", "two"]
    confirmed(problem)


# ---- noise and priors ---------------------------------------------------------------------------------

LAWS = {
    "normal": stats.norm.logpdf,
    "laplace": stats.laplace.logpdf,
    "log-normal": lambda m, y, s: stats.lognorm.logpdf(m, s, scale=y),
    "log-laplace": lambda m, y, s: stats.loglaplace.logpdf(m, 1 / s, scale=y),
    "log10-normal": lambda m, y, s: stats.norm.logpdf(np.log10(m), np.log10(y), s) - np.log(m * np.log(10)),
    "log10-laplace": lambda m, y, s: (
        stats.laplace.logpdf(np.log10(m), np.log10(y), s) - np.log(m * np.log(10))
    ),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("version", [1, 2])
def test_every_law_of_noise_is_scipys(law: str, version: int) -> None:
    """With a spread that is estimated, one that a row fills in, and one that grows with the prediction."""
    spread, rows = "noiseParameter1_y+own*y", "y c 1 0.5 2;sc 0.3\ny c 2 0.9 sc;3 spread\n"
    formula = "observableParameter1_y*A+observableParameter2_y"
    names = "k1 0.8\nown 0.1\nsc 1.5\nspread 0.2\n"
    bounds = "\n".join(f"{line} {{}} 1e-3 10" for line in names.split("\n") if line)
    if version == 1:
        scale, _, kind = law.rpartition("-")
        texts = version_1(
            "parameterId nominalValue estimate lowerBound upperBound\n" + bounds.format(1, 1, 1, 1) + "\n", "conditionId\nc\n",
            f"observableId observableFormula noiseFormula observableTransformation noiseDistribution\ny {formula} {spread} {scale or 'lin'} {kind}\n",
            "observableId simulationConditionId time measurement observableParameters noiseParameters\n" + rows,
        )  # fmt: skip
    else:
        texts = version_2(
            "parameterId nominalValue estimate lowerBound upperBound\n" + bounds.format(*["true"] * 4) + "\n",
            "observableId observableFormula noiseFormula noiseDistribution observablePlaceholders noisePlaceholders\n"
            f"y {formula} {spread} {law} observableParameter1_y;observableParameter2_y noiseParameter1_y\n",
            "observableId experimentId time measurement observableParameters noiseParameters\n"
            + rows.replace(" c ", " - "),
        )
    problem = load_problem(texts)
    y = np.array([2 * course(1, 1, 0, 0.8, 0.6)[0] + 1.5, 1.5 * course(2, 1, 0, 0.8, 0.6)[0] + 3])
    sd = np.array([0.3, 0.2]) + 0.1 * y
    expected = LAWS[law](np.array([0.5, 0.9]), y, sd).sum()
    assert problem.log_likelihood() == pytest.approx(expected, **CLOSE)
    on = {"log": np.log, "log10": np.log10}.get(law.rpartition("-")[0], lambda x: x)
    assert problem.chi2() == pytest.approx((((on(np.array([0.5, 0.9])) - on(y)) / sd) ** 2).sum(), **CLOSE)
    confirmed(problem)


PRIORS = {
    "cauchy": ("3;5", stats.cauchy(3, 5)), "chisquare": ("4", stats.chi2(4)), "exponential": ("3", stats.expon(scale=3)),
    "gamma": ("3;5", stats.gamma(3, scale=5)), "laplace": ("3;5", stats.laplace(3, 5)),
    "log-laplace": ("1;0.5", stats.loglaplace(2, scale=np.e)), "log-normal": ("1;2", stats.lognorm(2, scale=np.e)),
    "log-uniform": ("2;9", stats.loguniform(2, 9)), "normal": ("4;2", stats.norm(4, 2)),
    "rayleigh": ("3", stats.rayleigh(scale=3)), "uniform": ("2;9", stats.uniform(2, 7)),
}  # fmt: skip


@pytest.mark.parametrize("family", PRIORS)
def test_every_prior_of_version_2_is_scipys_truncated_to_the_bounds(family: str) -> None:
    numbers, whole = PRIORS[family]
    texts = version_2(
        f"parameterId estimate nominalValue lowerBound upperBound priorDistribution priorParameters\nk1 true 5 3 8 {family} {numbers}\n"
        "k2 true 0.5 0 4 - -\n",
        SEEN,
        "observableId experimentId time measurement\nobs_a - 0 1\n",
    )
    problem = load_problem(texts)
    expected = whole.logpdf(5) - np.log(whole.cdf(8) - whole.cdf(3)) - np.log(4)
    assert problem.log_prior() == pytest.approx(expected, abs=1e-12)
    assert problem.log_posterior() == pytest.approx(expected + stats.norm.logpdf(1, 1, 0.5), **CLOSE)
    assert problem.log_prior({"k1": 9.0}) == -np.inf == problem.log_posterior({"k1": 9.0})


ON_SCALE = {
    ("uniform", "log10"): lambda x: stats.uniform(2, 7).logpdf(x),
    ("normal", "log"): lambda x: (
        stats.norm(4, 2).logpdf(x) - np.log(stats.norm(4, 2).cdf(9) - stats.norm(4, 2).cdf(2))
    ),
    ("logNormal", "lin"): lambda x: (
        stats.lognorm(2, scale=np.exp(4)).logpdf(x)
        - np.log(np.diff(stats.lognorm(2, scale=np.exp(4)).cdf([2, 9]))[0])
    ),
    ("parameterScaleNormal", "log10"): lambda x: (
        stats.norm(0.4, 0.2).logpdf(np.log10(x))
        - np.log(x * np.log(10))
        - np.log(np.diff(stats.norm(0.4, 0.2).cdf(np.log10([2, 9])))[0])
    ),
    ("parameterScaleLaplace", "log"): lambda x: (
        stats.laplace(0.4, 0.2).logpdf(np.log(x))
        - np.log(x)
        - np.log(np.diff(stats.laplace(0.4, 0.2).cdf(np.log([2, 9])))[0])
    ),
    ("parameterScaleUniform", "log"): lambda x: stats.loguniform(2, 9).logpdf(x),
    ("", "log10"): lambda x: stats.loguniform(2, 9).logpdf(x),
}
GIVEN = {
    "uniform": "2;9",
    "normal": "4;2",
    "logNormal": "4;2",
    "parameterScaleNormal": "0.4;0.2",
    "parameterScaleLaplace": "0.4;0.2",
}


@pytest.mark.parametrize(("kind", "scale"), ON_SCALE)
def test_priors_of_version_1_are_densities_of_the_parameter_itself(kind: str, scale: str) -> None:
    texts = version_1(
        "parameterId parameterScale estimate nominalValue lowerBound upperBound objectivePriorType objectivePriorParameters\n"
        f"k1 {scale} 1 5 2 9 {kind or '-'} {GIVEN.get(kind, '-')}\n",
        "conditionId\nc\n", SEEN, "observableId simulationConditionId time measurement\nobs_a c 0 1\n",
    )  # fmt: skip
    assert load_problem(texts).log_prior() == pytest.approx(ON_SCALE[kind, scale](5.0), abs=1e-12)


# ---- gradients, a witness, and siblings -----------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@example(k1=1.0, k2=0.6, gain=1.0, sd=0.5)  # the last condition changes nothing, and finds states at rest
@given(k1=st.floats(0.2, 3), k2=st.floats(0.2, 3), gain=st.floats(0.1, 2), sd=st.floats(0.1, 2))
def test_gradients_are_those_of_differences(k1: float, k2: float, gain: float, sd: float) -> None:
    """Through pre-equilibration, periods, a steady state, a spread and a placeholder."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk2 true 0.6 0 10\nk true 1 0 10\ngain true 1 0 10\nsd true 1 0 10\n",
        "observableId observableFormula noiseFormula noiseDistribution observablePlaceholders\n"
        "y g*A+B^2 sd*(1+y) log-normal g\n",
        "observableId experimentId time measurement observableParameters\ny e 1 2 gain\ny e 6 0.3 2\ny e inf 1 k\n",
        conditions="conditionId targetId targetValue\npre k1 0.3*k\nnow k1 k*k\nnow B B+gain\nlate A A*k\n",
        experiments="experimentId time conditionId\ne -inf pre\ne 0 now\ne 5 late\n",
    )
    confirmed(load_problem(texts), k2=k2, k=k1, gain=gain, sd=sd)


def test_libpetab_scores_our_predictions_as_we_do(tmp_path: Path) -> None:
    """libpetab 0.8 is the witness of likelihood and chi-square for a problem of version 1, rows filled in and all."""
    calculate = pytest.importorskip("petab.v1.calculate")
    texts = version_1(
        RATES_1 + "sd lin 1 0.3 0.01 10\n", "conditionId a0\nc 2\nd 3\n",
        "observableId observableFormula noiseFormula observableTransformation noiseDistribution\n"
        "y observableParameter1_y*A noiseParameter1_y log10 laplace\nz B+1 noiseParameter1_z lin normal\n",
        "observableId simulationConditionId time measurement observableParameters noiseParameters\n"
        "y c 1 2 1 sd\ny d 2 0.1 2 0.4\nz c 1 2 - sd\nz d 9 -3 - 0.2\n",
    )  # fmt: skip
    problem = load_problem(texts)
    read = {
        name: pd.read_csv(pd.io.common.StringIO(texts[name]), sep="\t")
        for name in ("p.tsv", "o.tsv", "m.tsv")
    }
    for column in ("observableParameters", "noiseParameters"):
        read["m.tsv"][column] = read["m.tsv"][column].astype(object)
    simulated = read["m.tsv"].drop(columns="measurement").assign(simulation=problem.simulate()["simulation"])
    frames = (
        read["m.tsv"],
        simulated,
        read["o.tsv"].set_index("observableId"),
        read["p.tsv"].set_index("parameterId"),
    )
    assert problem.log_likelihood() == pytest.approx(calculate.calculate_llh(*frames), **CLOSE)
    assert problem.chi2() == pytest.approx(calculate.calculate_chi2(*frames), **CLOSE)


def test_a_case_and_an_estimation_problem_answer_alike(tmp_path: Path) -> None:
    """What opens as a case, a dose in its second period included, read again by the readers of all problems."""
    texts = version_2(
        RATES, SEEN.replace("0.7", "k2"), "observableId experimentId time measurement\nobs_a e 0 0.7\nobs_b e 3 0.4\nobs_a e 3 0.4\n",
        conditions="conditionId targetId targetValue\ndose A A+5\n", experiments="experimentId time conditionId\ne 0 -\ne 2 dose\n",
    )  # fmt: skip
    case, problem = cs.load_case(texts), load_problem(texts)
    assert isinstance(case, Case)
    for values in ({}, {"k1": 0.0}, {"k1": 1.7, "k2": 0.9}):
        assert case.log_likelihood(values) == pytest.approx(problem.log_likelihood(values), abs=1e-6)
        assert case.chi2(values) == pytest.approx(problem.chi2(values), abs=1e-5)
        assert case.log_prior(values) == pytest.approx(problem.log_prior(values))
        assert case.log_posterior(values) == pytest.approx(problem.log_posterior(values), abs=1e-6)
        ours, theirs = (
            each.simulate(values).sort_values(["time", "observableId"])["simulation"]
            for each in (case, problem)
        )
        assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-6)
    with pytest.raises(CalibrationError, match="no parameter 'k3'"):
        case.log_likelihood({"k3": 1.0})
    with pytest.raises(CalibrationError, match="k1 = 11 lies outside"):
        case.log_likelihood({"k1": 11.0})


def test_a_case_with_tables_of_its_own_answers_at_its_nominal_values() -> None:
    case = cs.load_case("cytopenia_synthetic")
    assert np.isfinite(case.log_posterior())
    assert len(case.simulate()) == len(case.rows)


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observable.tsv": ("A", "AA")}, r"observable.tsv, row 2: obs_a uses 'AA', which nothing has"),
        (
            {"observable.tsv": ("0.5", "0.5+")},
            r"observable.tsv, row 2: The formula of noise of obs_a cannot be read",
        ),
        (
            {"measurement.tsv": ("obs_a\t\t0", "obs_x\t\t0")},
            r"measurement.tsv, row 2: no observable 'obs_x'. Did you mean",
        ),
        ({"measurement.tsv": ("\t\t0", "\te9\t0")}, r"measurement.tsv, row 2: no experiment 'e9'"),
        ({"measurement.tsv": ("\t0\t0.7", "\t-1\t0.7")}, r"row 2: time -1 lies before the start at 0"),
        ({"condition.tsv": ("k1", "k3")}, r"condition.tsv, row 2: no 'k3' in the model. Known: A, B"),
        (
            {"condition.tsv": ("k1", "total")},
            r"condition.tsv, row 2: total is computed by the model, and cannot be set",
        ),
        (
            {"condition.tsv": ("0.3", "B")},
            r"condition.tsv, row 2: k1 is set to 'B' at the start, when B has no value yet",
        ),
        ({"condition.tsv": ("0.3", "kk")}, r"condition.tsv, row 2: no 'kk' for the value of k1"),
        ({"experiment.tsv": ("0\tc", "0\td")}, r"experiment.tsv, row 2: no condition 'd'"),
        (
            {"parameter.tsv": ("k2", "total")},
            r"parameter.tsv, row 2: total is computed in the model m, and is no parameter",
        ),
        (
            {"parameter.tsv": ("k2", "A")},
            r"parameter.tsv, row 2: A moves in the model m, and is no parameter",
        ),
        (
            {"parameter.tsv": ("true", "yes")},
            r"parameter.tsv, row 2: estimate 'yes' is neither of true, false",
        ),
        ({"any.yaml": ("2.0.0", "3.0.0")}, r"format_version '3.0.0'; PEtab 1 and 2 are read"),
        ({"any.yaml": ("antimony", "pysb")}, r"the model m is written in 'pysb'; sbml and antimony are read"),
        (
            {"any.yaml": ("[observable", "[../observable")},
            r"'../observable.tsv' lies outside the folder of the problem",
        ),
        ({"any.yaml": ("[observable.tsv", "[/etc/passwd")}, r"'/etc/passwd' is an absolute path"),
        ({"any.yaml": ("m.ant", "https://a.b/m.ant")}, r"'https://a.b/m.ant' is a web address"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_row(change: dict[str, tuple[str, str]], words: str) -> None:
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk2 true 0.6 0 10\n",
        SEEN,
        "observableId experimentId time measurement\nobs_a - 0 0.7\nobs_b e 3 0.4\n",
        conditions="conditionId targetId targetValue\nc k1 0.3\n",
        experiments="experimentId time conditionId\ne 0 c\n",
    )
    ((file, (old, new)),) = change.items()
    assert old in texts[file]
    with pytest.raises(CaseError, match=words):
        cs.load_case({**texts, file: texts[file].replace(old, new, 1)})


def test_no_file_outside_the_folder_is_read(tmp_path: Path) -> None:
    """Absolute paths of both kinds of systems, climbing paths, addresses, and links that lead out."""
    for name in ("/a.tsv", "C:\\a.tsv", "\\\\host\\a.tsv", "x/../../a.tsv", "..\\a.tsv", "file:///a.tsv"):
        assert outside(name)
    assert not outside("x/../a.tsv") and not outside("..a.tsv")
    folder = tmp_path / "problem"
    folder.mkdir()
    (tmp_path / "secret.tsv").write_text("observableId\n")
    (folder / "link.tsv").symlink_to(tmp_path / "secret.tsv")
    assert "is a link that leads out of the folder" in outside("link.tsv", folder)


def test_a_row_without_density_and_a_model_without_rest_are_told() -> None:
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\ng true 0.5 -1 10\n",
        "observableId observableFormula noiseFormula noiseDistribution\ny x g log-normal\n",
        "observableId experimentId time measurement\ny - 1 1\ny - inf 1\n",
        models={"m": "x = 1; x' = x - 0.5*x; g = 1"},
    )
    with pytest.raises(SimulationError, match="the experiment comes to no steady state"):
        load_problem(texts).log_likelihood()
    texts["measurement.tsv"] = texts["measurement.tsv"].replace("y\t\tinf\t1\n", "")
    with pytest.raises(
        SimulationError,
        match=r"measurement.tsv, row 2: y at time 1 has the spread -0.5, which cannot be scored",
    ):
        load_problem(texts).log_likelihood({"g": -0.5})
    assert load_problem(texts).simulate({"g": -0.5})["spread"].tolist() == [-0.5]


def test_it_opens_by_folder_and_path_whatever_its_name_and_reads_again(tmp_path: Path) -> None:
    texts = version_1(
        RATES_1, "conditionId a0\nc 2\nd 3\n", SEEN,
        "observableId simulationConditionId time measurement\nobs_a c 1 0.1\nobs_a d 1 0.1\n",
    )  # fmt: skip
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "any_solution.yaml").write_text("llh: 0\n")
    by_folder, by_path = cs.load_case(tmp_path), cs.load_case(str(tmp_path / "any.yaml"))
    assert by_folder == by_path and by_folder.files == texts
    assert cs.load_case(by_folder.files).log_likelihood() == by_folder.log_likelihood()
    assert repr(by_folder).endswith("2 estimated parameters, 2 measurements, 2 experiments, 1 model>")
    assert MODEL in by_folder.files.values() and table("a b\n1 -\n") == "a\tb\n1\t\n"


SILENT = """<?xml version="1.0"?><sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="two">
<listOfCompartments><compartment id="c" spatialDimensions="3" size="2" constant="true"/></listOfCompartments><listOfSpecies>
<species id="x" compartment="c" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="k" constant="true"/><parameter id="g" constant="true"/></listOfParameters><listOfReactions>
<reaction id="J" reversible="false" fast="false"><listOfReactants><speciesReference species="x" stoichiometry="1" constant="true"/>
</listOfReactants><kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci> k </ci><ci> g </ci><ci> x </ci>
<ci> c </ci></apply></math></kineticLaw></reaction></listOfReactions></model></sbml>"""


def test_values_that_the_model_leaves_to_the_tables_are_taken_from_them() -> None:
    """A parameter, a constant and a species without any value in the SBML: x = x0 exp(-k g t); unset they are told by name."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nrate true 0.5 0 10\n",
        "observableId observableFormula noiseFormula\ny seen 1\n",
        "observableId experimentId time measurement\ny e 2 0\n",
        conditions="conditionId targetId targetValue\nc seen 4\nc g 0.5\n",
        experiments="experimentId time conditionId\ne 0 c\n",
        mapping="petabEntityId modelEntityId\nrate k\nseen x\n",
    )
    texts |= {
        "m.xml": SILENT,
        "any.yaml": texts["any.yaml"].replace("m.ant, language: antimony", "m.xml, language: sbml"),
    }
    problem = load_problem(texts)
    assert problem.simulate()["simulation"].tolist() == pytest.approx([4 * np.exp(-0.5)], **CLOSE)
    confirmed(problem)
    condition = texts["condition.tsv"]
    with pytest.raises(CaseError, match="x has no value"):
        load_problem({**texts, "condition.tsv": condition.replace("c\tseen\t4\n", "")})
    with pytest.raises(CaseError, match="g has no value"):
        load_problem({**texts, "condition.tsv": condition.replace("c\tg\t0.5\n", "")})


PIECES = [
    "",
    "-1",
    "inf",
    "nan",
    "1e400",
    "k1",
    "A",
    "[",
    "{",
    ":",
    "\n",
    "\t",
    "\0",
    "\u00e9",
    "&a",
    "*a",
    "!!python/object:os.system",
    "../",
    ";",
    "(",
    "^",
    "~",
    "time",
    "#",
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_written_into_a_table_a_problem_opens_or_says_why_not(data: st.DataObject) -> None:
    """Pieces put anywhere into any table or the YAML, in place of up to ten letters: words, and no other error."""
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound priorDistribution priorParameters\nk2 true 0.6 0 10 normal 1;2\n",
        "observableId observableFormula noiseFormula observablePlaceholders\ny g*A 1 g\n",
        "observableId experimentId time measurement observableParameters\ny e 1 2 k2\ny e 6 0.3 2\n",
        conditions="conditionId targetId targetValue\nnow B B+1\n",
        experiments="experimentId time conditionId\ne 0 -\ne 5 now\n",
    )
    file = data.draw(st.sampled_from([each for each in texts if not each.endswith(".ant")]))
    place, length = data.draw(st.integers(0, len(texts[file]))), data.draw(st.integers(0, 10))
    piece = data.draw(st.sampled_from(PIECES))
    texts[file] = texts[file][:place] + piece + texts[file][place + length :]
    try:
        assert not np.isinf(load_problem(texts).log_likelihood())
    except (CalibrationError, CaseError, SimulationError) as error:
        assert str(error)
