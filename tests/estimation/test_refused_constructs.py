"""Constructs of SBML and PEtab that are refused: each is, by name, in the words that `docs/limitations.md` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from problems import version_2

import cellsim as cs
from cellsim.errors import CellsimError
from cellsim.estimation.problem import load_problem

ROOT = Path(__file__).resolve().parents[2]
DOCS = " ".join((ROOT / "docs/limitations.md").read_text(encoding="utf-8").split())
PARAMETERS = (
    '<listOfParameters><parameter id="x" value="1" constant="false"/>'
    '<parameter id="y" value="2" constant="false"/></listOfParameters>'
)
SPECIES = (
    '<listOfCompartments><compartment id="c" size="1" constant="true"/></listOfCompartments><listOfSpecies>'
    '<species id="S" compartment="c" initialConcentration="1" hasOnlySubstanceUnits="false" boundaryCondition="false"'
    ' constant="false"/></listOfSpecies>'
)
TAKEN = '<listOfReactants><speciesReference species="S" stoichiometry="1" constant="true"/></listOfReactants>'
DELAYED = (
    '<apply><csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/delay">delay</csymbol>'
    "<ci>x</ci><cn>1</cn></apply>"
)


def maths(inner: str) -> str:
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{inner}</math>'


def sbml(body: str, package: str = "", required: str = "true", more: str = "") -> str:
    """A document of Level 3 Version 1, with the namespace of a package."""
    core = "http://www.sbml.org/sbml/level3/version1"
    space = f'xmlns:{package}="{core}/{package}/version1" {package}:required="{required}"' if package else ""
    return (
        f'<?xml version="1.0"?><sbml xmlns="{core}/core" level="3" version="1" {space}>'
        f'<model id="m" timeUnits="second">{body}</model>{more}</sbml>'
    )


def reactions(*names: str, fast: str = "false", law: str = "") -> str:
    written = "".join(
        f'<reaction id="{n}" reversible="false" fast="{fast}">{TAKEN}{law}</reaction>' for n in names
    )
    return f"{SPECIES}<listOfReactions>{written}</listOfReactions>"


def function(name: str, calls: str) -> str:
    inner = maths(f"<lambda><bvar><ci>u</ci></bvar><apply><ci>{calls}</ci><ci>u</ci></apply></lambda>")
    return f'<functionDefinition id="{name}">{inner}</functionDefinition>'


MODELS = {
    "algebraic rule": (
        sbml(f"{PARAMETERS}<listOfRules><algebraicRule>{maths('<apply><minus/><ci>x</ci><ci>y</ci></apply>')}</algebraicRule></listOfRules>"),
        "An algebraic rule (0 = formula) leaves open which quantity it determines.",
    ),
    "delay of a value": (
        sbml(f'{PARAMETERS}<listOfRules><rateRule variable="y">{maths(DELAYED)}</rateRule></listOfRules>'),
        "The formula of y' uses 'delay', which an ordinary differential equation cannot hold here.",
    ),
    "fast reaction": (
        sbml(reactions("J", fast="true", law=f"<kineticLaw>{maths('<ci>S</ci>')}</kineticLaw>")),
        "Reaction J is fast (in instant equilibrium), which is not supported.",
    ),
    "reaction without a rate": (sbml(reactions("J")), "Reaction J has no rate."),
    "fluxes in balance": (
        sbml(reactions("J", "K", "L"), "fbc", "false"),
        "3 reactions have no rate (J, K, L): this is a model of fluxes in balance (package 'fbc'), which says what can flow at "
        "rest and has no course in time.",
    ),
    "package": (sbml(SPECIES, "distrib"), "This SBML needs the package 'distrib', which is not supported."),
    "submodel in another file": (
        sbml(SPECIES, "comp", more='<comp:listOfExternalModelDefinitions><comp:externalModelDefinition comp:id="e" comp:source="other.xml"/></comp:listOfExternalModelDefinitions>'),
        "This SBML takes the model 'e' from another file ('other.xml'), which is not read",
    ),
    "functions in a circle": (
        sbml(f"<listOfFunctionDefinitions>{function('f', 'g')}{function('g', 'f')}</listOfFunctionDefinitions>{PARAMETERS}"),
        "The functions f, g call each other in a circle.",
    ),
    "order that is left open": (
        "x = 1; x' = 0; a: at (time > 1): x = 2; b: at (time > 1): x = 3",
        "Events a and b happen at one instant with the same priority, and the result depends on which is first.",
    ),
    "instant of a state": (
        "x = 0; x' = 1; y = 0; a: at (x == 5): y = 1",
        "Event a waits for x == 5, which holds for an instant only.",
    ),
    "five executions that wait": (
        "n = 0; n' = 0; a: at 100 after (sin(3*time) > 0): n = n + 1",
        "More than 4 executions of a would wait at once, and no more can be kept",
    ),
    "formula nested too deep": (
        sbml(f'{PARAMETERS}<listOfRules><rateRule variable="y">{maths("<apply><sin/>" * 1200 + "<ci>x</ci>" + "</apply>" * 1200)}</rateRule></listOfRules>'),
        "stands within 1000 other elements; 1000 are read.",
    ),
}  # fmt: skip
PROBLEMS = {
    "language of a model": (
        ("language: antimony", "language: pysb"),
        "the model m is written in 'pysb'; sbml and antimony are read.",
    ),
    "extension": (
        ("format_version", "extensions:\n  sciml: {version: 1.0.0, required: true}\nformat_version"),
        "the extension sciml is not read. The problem says that it means something else without it.",
    ),
    "version": (("2.0.0", "3.0.0"), "format_version '3.0.0'; PEtab 1 and 2 are read."),
    "address": (
        ("[parameter.tsv]", "[https://example.org/p.tsv]"),
        "'https://example.org/p.tsv' is a web address; problems are read from files.",
    ),
    "absolute path": (
        ("[parameter.tsv]", "[/etc/p.tsv]"),
        "'/etc/p.tsv' is an absolute path; files of a problem lie in its folder.",
    ),
    "path that leads out": (
        ("[parameter.tsv]", "[../p.tsv]"),
        "'../p.tsv' lies outside the folder of the problem.",
    ),
}


@pytest.mark.parametrize("construct", MODELS)
def test_a_construct_of_a_model_is_refused_in_the_words_that_are_printed(construct: str) -> None:
    text, words = MODELS[construct]
    with pytest.raises(CellsimError) as said:
        cs.simulate(cs.load_model(text), cs.Schedule(), [0.0, 20.0])
    assert words in " ".join(str(said.value).split())
    assert words in DOCS


@pytest.mark.parametrize("construct", PROBLEMS)
def test_a_construct_of_a_problem_is_refused_in_the_words_that_are_printed(construct: str) -> None:
    change, words = PROBLEMS[construct]
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound\nk1 true 0.8 0 10\n",
        "observableId observableFormula noiseFormula\nobs_a A 0.5\n",
        "observableId experimentId time measurement\nobs_a e 1 1\n",
        experiments="experimentId time conditionId\ne 0 -\n",
    )
    with pytest.raises(CellsimError) as said:
        load_problem({**texts, "any.yaml": texts["any.yaml"].replace(*change)})
    assert words in " ".join(str(said.value).split())
    assert words in DOCS
