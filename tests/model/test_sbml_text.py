"""SBML that Antimony does not write: names, gaps and mathematics, each against its closed form."""

import math

import numpy as np
import pytest

import cellsim as cs
from cellsim.errors import CellsimError, ModelError

_MATH = '<math xmlns="http://www.w3.org/1998/Math/MathML">{}</math>'
_SYMBOL = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/{0}">{0}</csymbol>'
BOX = '<listOfCompartments><compartment id="C" spatialDimensions="3" size="1" constant="true"/></listOfCompartments>'
SPECIES = (
    '<listOfSpecies><species id="S" compartment="C" initialAmount="1" hasOnlySubstanceUnits="true" boundaryCondition="false" '
    'constant="false"/></listOfSpecies>'
)


def document(*parts: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2">'
        f'<model id="m">{"".join(parts)}</model></sbml>'
    )


def parameters(*named: str) -> str:
    made = "".join(
        f'<parameter id="{name}" constant="false"' + (f' value="{value}"/>' if value else "/>")
        for name, _, value in (each.partition("=") for each in named)
    )
    return f"<listOfParameters>{made}</listOfParameters>"


def rules(**formulas: str) -> str:
    made = (
        f'<{kind} variable="{name}">{_MATH.format(math)}</{kind}>'
        for name, math in formulas.items()
        for kind in ["rateRule" if name == "x" else "assignmentRule"]
    )
    return f"<listOfRules>{''.join(made)}</listOfRules>"


def loss(law: str, local: str = "", reference: str = 'stoichiometry="1"') -> str:
    inner = f'<listOfLocalParameters><localParameter id="{local}" value="0.5"/></listOfLocalParameters>'
    return (
        '<listOfReactions><reaction id="R" reversible="false"><listOfReactants>'
        f'<speciesReference species="S" constant="false" {reference}/></listOfReactants>'
        f"<kineticLaw>{_MATH.format(law)}{inner if local else ''}</kineticLaw></reaction></listOfReactions>"
    )


def function(arguments: list[str], body: str) -> str:
    bound = "".join(f"<bvar><ci>{each}</ci></bvar>" for each in arguments)
    made = _MATH.format(f"<lambda>{bound}{body}</lambda>")
    return f'<listOfFunctionDefinitions><functionDefinition id="f">{made}</functionDefinition></listOfFunctionDefinitions>'


def applied(operation: str, *parts: str) -> str:
    return f"<apply><{operation}/>{''.join(parts)}</apply>"


def seen(text: str, name: str, at: float = 2.0) -> float:
    found = cs.simulate(cs.load_model(text), cs.Schedule(), [0.0, at], start=0.0, rtol=1e-10, atol=1e-13)
    return float(found[name][-1])


TIME, X, S = _SYMBOL.format("time"), "<ci>x</ci>", "<ci>S</ci>"
RATE_OF_N = f"<apply>{_SYMBOL.format('rateOf')}<ci>n</ci></apply>"

CLOSED_FORMS = {
    # x is 0.5 + time
    "a local parameter called time": (
        document(BOX, SPECIES, loss(applied("times", "<ci>time</ci>", S), "time")),
        "S",
        math.exp(-1),
    ),
    "a local parameter and a constant called pi": (
        document(
            BOX,
            SPECIES,
            parameters("pi=7"),
            loss(applied("times", "<ci>pi</ci>", S), "pi"),
        ),
        "S",
        math.exp(-1),
    ),
    "an argument called time": (
        document(
            function(["time"], applied("times", "<ci>time</ci>", TIME)),
            parameters("y"),
            rules(y="<apply><ci>f</ci><cn>3</cn></apply>"),
        ),
        "y",
        6.0,
    ),
    "the rate of change of a number of molecules": (
        document(
            BOX,
            SPECIES,
            parameters("y"),
            rules(y=applied("plus", RATE_OF_N, "<cn>2</cn>")),
            loss("<cn>0.1</cn>", reference='id="n" stoichiometry="2"'),
        ),
        "y",
        2.0,
    ),
    "a function without a formula": (
        document(
            '<listOfFunctionDefinitions><functionDefinition id="f"/></listOfFunctionDefinitions>',
            parameters("x=0.5"),
            rules(x="<cn>1</cn>"),
        ),
        "x",
        2.5,
    ),
    "a box without a size that nothing asks for": (
        document(BOX.replace(' size="1"', ""), SPECIES, loss(S)),
        "S",
        math.exp(-2),
    ),
    "a parameter without a value that nothing asks for": (
        document(parameters("x=0.5", "q"), rules(x="<cn>1</cn>")),
        "x",
        2.5,
    ),
    "the factorial of what moves": (
        document(
            parameters("x=0.5", "y"),
            rules(x="<cn>1</cn>", y=applied("factorial", applied("ceiling", X))),
        ),
        "y",
        6.0,
    ),
    "the factorial in between": (
        document(parameters("x=0.5", "y"), rules(x="<cn>1</cn>", y=applied("factorial", X))),
        "y",
        math.gamma(3.5),
    ),
    "a large factorial": (
        document(parameters("x=98", "y"), rules(x="<cn>1</cn>", y=applied("factorial", X))),
        "y",
        float(math.factorial(100)),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_it_means_what_the_closed_form_says(name: str) -> None:
    """Witness: the closed form; a name bound nearby is that, whatever formula text reads it as."""
    text, quantity, value = CLOSED_FORMS[name]
    assert seen(text, quantity) == pytest.approx(value, rel=1e-9)


def test_a_number_of_molecules_that_has_a_name_is_a_quantity() -> None:
    """It stood in formulas as a number, and could neither be read nor be set. Closed form: S = 1 - n 0.1 t."""
    model = cs.load_model(document(BOX, SPECIES, loss("<cn>0.1</cn>", reference='id="n" stoichiometry="2"')))
    assert {each.name: each.value for each in model.parameters}["n"] == 2
    for values, n in (({}, 2), ({"n": 3}, 3)):
        found = cs.simulate(model, cs.Schedule(), [0.0, 2.0], values=values)
        assert found["S"] == pytest.approx([1, 1 - n * 0.1 * 2])


def test_a_value_that_is_missing_is_refused_where_it_is_used() -> None:
    law = applied("times", "<ci>C</ci>", S)
    with pytest.raises(ModelError, match="C has no value, and R uses it"):
        cs.load_model(document(BOX.replace(' size="1"', ""), SPECIES, loss(law)))


@pytest.mark.parametrize(
    "formula",
    [
        applied("divide", "<cn>1.5</cn>", "<cn>0.0</cn>"),
        applied("arcsech", "<cn>-0.5</cn>"),
        applied("max", applied("ln", "<cn>-1</cn>"), X),
    ],
)
def test_numbers_without_a_value_are_refused_in_words(formula: str) -> None:
    """Sympy itself ends with an error of its own for the first, and takes the second for an imaginary number."""
    start = f'<listOfInitialAssignments><initialAssignment symbol="y">{_MATH.format(formula)}</initialAssignment></listOfInitialAssignments>'
    with pytest.raises(CellsimError, match=r"no real value|it cannot use"):
        cs.load_model(document(parameters("x=1", "y"), start, rules(x="<cn>1</cn>")))


@pytest.mark.parametrize("x", [-1.5, 0.04, 9.0])
def test_start_values_are_those_of_the_pieces_that_hold(x: float) -> None:
    """Witness: the same in Python. Sympy compares the root of a negative number, where it is not even asked for."""
    text = (
        f"x = {x}; x' = -0.1*x; y = abs(sqrt(abs(x)) - 1) + piecewise(sqrt(x), (x > 0) && (sqrt(x) > 2), 0.5);"
        "z = max(abs(y), piecewise(x, abs(x) > abs(y), 2)); q = 0; q' = y + z"
    )
    y = abs(math.sqrt(abs(x)) - 1) + (math.sqrt(x) if x > 0 and math.sqrt(x) > 2 else 0.5)
    z = max(abs(y), x if abs(x) > abs(y) else 2.0)
    found = cs.simulate(cs.load_model(text), cs.Schedule(), [0.0, 1.0])
    assert found["q"] == pytest.approx(np.array([0.0, y + z]), rel=1e-6)
