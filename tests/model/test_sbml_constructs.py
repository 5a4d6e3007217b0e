"""SBML beyond reactions of fixed numbers in boxes of fixed size: libRoadRunner reads the same text, or a closed form is at hand."""

from typing import Any

import libsbml
import numpy as np
import pytest
import roadrunner

import cellsim as cs
from cellsim.errors import CellsimError, ModelError
from cellsim.model.antimony import antimony_to_sbml

roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
TIMES = np.linspace(0.0, 10.0, 41)

SAME_AS_ROADRUNNER = {
    "a compartment that grows": "compartment c = 1; c' = 0.3; species A in c = 2; A -> ; 0.4*A*c",
    "a compartment set by a rule": "q = 0.3; q' = cos(time); compartment c; c := 1 + 0.5*q; species A in c = 2; A -> ; 0.4*A*c; y := A*c",
    "a compartment that an event halves": (
        "compartment c = 2; species A in c = 3, B in c = 0; A -> B; 0.2*A*c; at (time >= 4): c = 1"
    ),
    "a concentration set by an event in a growing compartment": (
        "compartment c = 1; c' = 0.2; species A in c = 2; A -> ; 0.1*A*c; at (time >= 3): A = 5"
    ),
    "a concentration and its box set by one event": (
        "compartment c = 1.5; species A in c = 2; A -> ; 0.1*A*c; q = 1; q' = 0.1; at (time >= 3.1): A = q + 5, c = 2*q"
    ),
    "a concentration noted at the trigger and set in a box grown since": (
        "compartment c = 1; c' = 0.2; species A in c = 2; A -> ; 0.1*A*c; at 2.3 after (time >= 3.1): A = A + 5"
    ),
    "the same where executions wait for each other": (
        "compartment c = 1; c' = 0.2; species A in c = 2; A -> ; 0.1*A*c; a: at 2.3 after (time >= 3.1), priority=1: A = A + 5;"
        "b: at 2.3 after (time >= 3.1), priority=2: c = 3"
    ),
    "a concentration with a rate in a box that an event halves": (
        "compartment c = 2; c' = 0.1; species $A in c = 3; A' = 0.4 - 0.1*A; y := rateOf(A); at (time >= 4.1): c = 1"
    ),
    "a concentration with a rate, set together with its box": (
        "compartment c = 2; species $A in c = 3; A' = 0.4 - 0.1*A; at (time >= 4.1): A = 7, c = 5"
    ),
    "a boundary species in a growing compartment": "compartment c = 1; c' = 1; species $A in c = 6; y' = A; y = 0",
    "a number of molecules set by a rule": "n := 1 + 0.2*time; A = 10; B = 0; A -> n B; 0.1*A",
    "a number of molecules set by an event": "n = 2; A = 10; B = 0; A -> n B; 0.1*A; at (time >= 5): n = 3",
    "a number of molecules with a rate": "n = 1; n' = 0.1; A = 10; B = 0; n A -> B; 0.1*A",
    "the rate of a reacting species": "A = 10; A -> ; 0.3*A; y := rateOf(A); z' = rateOf(A); z = 1",
    "the rate of a rule in an event": "x = 0; x' = 2 - x; y = 0; at (rateOf(x) < 0.5): y = rateOf(x)",
    "the rate of a concentration in a growing compartment": (
        "compartment c = 1; c' = 0.5; species A in c = 3; A -> ; 0.2*A*c; y := rateOf(A)"
    ),
    "a delay with the values of the trigger": "x = 0; x' = 1; y = 0; at 2.1 after (x > 3): y = x",
    "a delay with the values of its end": "x = 0; x' = 1; y = 0; at 2.1 after (x > 3), fromTrigger=false: y = x",
    "several delayed executions that wait together": (
        "x = 0; x' = 1; y = 0; at 2.6 after (x > 1): y = y + 1; at (x > 1.37): x = 0.2"
    ),
    "a delay that states tell": "x = 0; x' = 1; d = 3; d' = -0.2; y = 0; at d after (x > 2): y = 1",
    "a delay that is called off": (
        "x = 0; x' = cos(time); y = 0; z = 0; at 3 after (x > 0.5), persistent=false: y = 1; at 1 after (x > 0.5), persistent=false: z = 1"
    ),
    "priorities": (
        "x = 1; x' = 0; y = 0; y' = 1; a: at (y > 3.1), priority=1, fromTrigger=false: x = x + 2; b: at (y > 3.1), priority=2, fromTrigger=false: x = x*10"
    ),
    "the values of the trigger, whatever acts before": (
        "x = 1; x' = 0; y = 0; y' = 1; a: at (y > 3.1), priority=1: x = x + 2; b: at (y > 3.1), priority=2: x = x*10"
    ),
    "an event called off by one of higher priority": (
        "x = 1; x' = 0; y = 0; y' = 1; z = 0; a: at (y > 3.1) && (x < 2), priority=1, persistent=false: z = 5; b: at (y > 3.1), priority=2: x = 4"
    ),
    "an event set off by another before those of lower priority": (
        "x = 0; x' = 0; y = 0; y' = 1; z = 1; a: at (y > 3.1), priority=5, fromTrigger=false: x = 1; b: at (x > 0.5), priority=4, fromTrigger=false: z = z + 1;"
        "c: at (y > 3.1), priority=3, fromTrigger=false: z = z*10"
    ),
    "a priority that states tell": (
        "x = 1; x' = 0; y = 0; y' = 1; p = 0; p' = 0.5; a: at (y > 3.1), priority=p, fromTrigger=false: x = x + 2; b: at (y > 3.1), priority=1, fromTrigger=false: x = x*10"
    ),
    "the number of Avogadro": "x = 1; x' = -avogadro*1e-24*x",
}


@pytest.mark.parametrize("name", SAME_AS_ROADRUNNER)
def test_it_means_what_libroadrunner_takes_it_for(name: str) -> None:
    sbml = antimony_to_sbml(f"model m()\n{SAME_AS_ROADRUNNER[name]}\nend")
    found = cs.simulate(cs.load_model(sbml), cs.Schedule(), TIMES, rtol=1e-9, atol=1e-12)
    runner = roadrunner.RoadRunner(sbml)
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-10, 1e-12
    boxed = set(runner.model.getFloatingSpeciesIds()) | set(runner.model.getBoundarySpeciesIds())
    wanted = [each for each in found.names if each in set(runner.keys()) | boxed]
    runner.timeCourseSelections = ["time", *(f"[{each}]" if each in boxed else each for each in wanted)]
    seen = np.array(runner.simulate(TIMES[0], TIMES[-1], len(TIMES)))
    assert wanted
    for k, each in enumerate(wanted):
        assert found[each] == pytest.approx(seen[:, k + 1], rel=1e-6, abs=1e-7), each


def test_a_species_in_a_growing_box_thins_as_the_closed_form_says() -> None:
    """Witness: an amount of 2 in a box of 1 + 0.3 t."""
    found = cs.simulate(
        cs.load_model("compartment c = 1; c' = 0.3; species A in c = 2; B in c; B = 0; A -> B; 0"),
        cs.Schedule(),
        TIMES,
    )
    assert found["A"] == pytest.approx(2 / (1 + 0.3 * TIMES))


def test_a_concentration_set_together_with_its_box_is_that_in_the_box_before() -> None:
    """Witness: 5 per litre in 1 litre are an amount of 5, which a change to 4 litres leaves alone.

    libRoadRunner agrees, and so does AMICI, which fails cases of the SBML test suite otherwise (AMICI issue 2430).
    """
    text = (
        "compartment c = 1; species A in c = 2; species B in c = 0; A -> B; 0; at (time >= 3): A = 5, c = 4"
    )
    found = cs.simulate(cs.load_model(text), cs.Schedule(), [2.0, 4.0])
    assert found["A"] == pytest.approx([2.0, 5.0 / 4.0])
    assert found["c"] == pytest.approx([1.0, 4.0])


def test_executions_come_late_by_their_delay() -> None:
    """Witness: x' = 1 passes 3 at day 3; what it was then is set 2.1 days later."""
    model = cs.load_model("x = 0; x' = 1; y = 0; at 2.1 after (x > 3): y = x")
    found = cs.simulate(model, cs.Schedule(), [5.09, 5.11])
    assert found["y"] == pytest.approx([0.0, 3.0])


@pytest.mark.parametrize("solver", ["rodas", "scipy"])
@pytest.mark.parametrize(
    ("events", "said"),
    [
        # set off on days 1, 2, 3, ... and due a hundred days later: the fifth comes on day 5
        (
            "late: at 100 after (x > 1): y = y + 1; at (x > 1.5): x = 0.5",
            "At time 5 places_taken_of_late is set to what is no finite number, by late. More than 4 executions of late",
        ),
        (
            "late: at (-x) after (x > 1): y = y + 1",
            "At time 1 due_1_of_late .*, by late.* delay of late is negative",
        ),
        # no delay: any event may set what its formula has no value for
        ("wrong: at (x > 2): y = log(1 - x)", "At time 2 y is set to what is no finite number, by wrong"),
    ],
)
def test_events_that_leave_a_state_without_a_value_are_named(solver: Any, events: str, said: str) -> None:
    """Witness: x' = 1 tells the day. It used to be said that a value is no longer finite, and that x changes fastest."""
    model = cs.load_model(f"x = 0; x' = 1; y = 0; {events}")
    with pytest.raises(CellsimError, match=said):
        cs.simulate(model, cs.Schedule(), TIMES, solver=solver)


def test_rates_of_change_that_ask_for_each_other_are_refused() -> None:
    with pytest.raises(ModelError, match="circular"):
        cs.load_model("x = 1; x' = rateOf(y) + 1; y = 0; y' = rateOf(x)")
    with pytest.raises(ModelError, match="assignmentRule"):
        cs.load_model("x = 1; x' = 1; z := 2*x; y' = rateOf(z); y = 0")


def test_events_whose_order_is_open_are_refused_where_it_matters() -> None:
    """As cases 01590 and 01627 of the SBML test suite, which throw a die."""
    both = "x = 1; y = 1; a: at (time > 1), fromTrigger=false: x = {}; b: at (time > 1), fromTrigger=false: y = {}; x' = 0; y' = 0"
    with pytest.raises(ModelError, match="a and b happen at one instant with the same priority"):
        cs.load_model(both.format("y + 1", "x + 1"))
    assert cs.load_model(both.format("x + 1", "y + 1")).events
    with pytest.raises(ModelError, match="the same priority"):
        cs.load_model("x = 1; x' = 0; a: at (time > 1): x = 2; b: at (time > 1): x = 3")


@pytest.mark.parametrize("solver", ["rodas", "scipy"])
def test_events_whose_order_turns_out_open_leave_no_value(solver: Any) -> None:
    """Both happen at day 3, told by other words and priorities that come out equal: neither is first. At day 4 one is alone."""
    text = (
        "y = 1; y' = 0; p = 2; p' = 0; a: at (time >= {}), priority=p, fromTrigger=false: y = y + 1;"
        "b: at (2*time >= 6), priority={}, fromTrigger=false: y = y*10"
    )

    def last(day: int, priority: int) -> float:
        model = cs.load_model(text.format(day, priority))
        return float(cs.simulate(model, cs.Schedule(), [0.0, 5.0], solver=solver)["y"][-1])

    assert last(4, 2) == pytest.approx(11)
    assert last(3, 1) == pytest.approx(20) and last(3, 4) == pytest.approx(11)
    with pytest.raises(CellsimError, match="same priority happen at one instant"):
        last(3, 2)


def test_quantities_called_like_words_of_formulas_get_another_name() -> None:
    """Witness: pi (the quantity) is 3, and the number pi stays what it is."""
    math = '<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><plus/><ci>pi</ci><pi/></apply></math>'
    model = cs.load_model(
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m"><listOfParameters>'
        '<parameter id="pi" value="3" constant="true"/><parameter id="x" constant="false"/></listOfParameters><listOfRules>'
        f'<assignmentRule variable="x">{math}</assignmentRule></listOfRules></model></sbml>'
    )
    assert cs.simulate(model, cs.Schedule(), [0.0, 1.0])["x"] == pytest.approx(3 + np.pi)


# ---------------------------------------------------------------- starts that depend on time, values that are none


def test_a_start_that_depends_on_time_is_that_of_the_start() -> None:
    """Closed form: x(t) = x(s) + c (t - s) with x(s) = 2 + s and c the clock at the start s."""
    model = cs.load_model("x = 2 + time; x' = c; c = 3*time")
    for start in (0.0, 4.0):
        found = cs.simulate(model, cs.Schedule(), [start, start + 2], start=start)
        assert found["x"] == pytest.approx([2 + start, 2 + start + 6 * start], rel=1e-6)
    again = cs.load_model(model.to_sbml())
    assert (again.states, again.parameters) == (model.states, model.parameters)


def test_a_constant_that_is_no_number_stays_what_it_is_until_something_uses_it() -> None:
    """As SBML means it (suite, 00950 and 01813); witness: the values, also after both ways of writing them."""
    model = cs.load_model("p = inf; q = -inf; r = nan; x = 1; x' = -x")
    for each in (model, cs.load_model(model.to_sbml()), cs.load_model(model.to_antimony())):
        values = {p.name: p.value for p in each.parameters}
        assert values["p"] == np.inf
        assert values["q"] == -np.inf
        assert np.isnan(values["r"])
        assert each == model
    assert cs.simulate(model, cs.Schedule(), [0.0, 1.0])["x"][-1] == pytest.approx(np.exp(-1), rel=1e-5)


def _document(body: str, *, version: int = 2, more: str = "") -> str:
    core = f"http://www.sbml.org/sbml/level3/version{version}/core"
    return f'<sbml xmlns="{core}" {more} level="3" version="{version}">{body}</sbml>'


WITHOUT_FORMULAS = (
    '<model id="m"><listOfParameters><parameter id="x" value="2" constant="false"/><parameter id="y" value="3" constant="false"/>'
    '<parameter id="z" value="4" constant="false"/></listOfParameters>'
    '<listOfInitialAssignments><initialAssignment symbol="z"/></listOfInitialAssignments>'
    '<listOfRules><rateRule variable="x"/><assignmentRule variable="y"/></listOfRules><listOfConstraints><constraint/></listOfConstraints>'
    '<listOfEvents><event id="e" useValuesFromTriggerTime="true"><trigger initialValue="true" persistent="true"/><listOfEventAssignments>'
    '<eventAssignment variable="z"><math xmlns="http://www.w3.org/1998/Math/MathML"><cn>9</cn></math></eventAssignment>'
    "</listOfEventAssignments></event></listOfEvents></model>"
)


def test_what_has_no_formula_has_no_effect_and_is_a_doubt() -> None:
    """Level 3 Version 2, section 3.4: witness, the values as they stand; Version 1 demands the formulas."""
    model = cs.load_model(_document(WITHOUT_FORMULAS))
    assert [(each.name, float(each.initial), each.rate) for each in model.states] == [("x", 2, 0)]
    assert {each.name: each.value for each in model.parameters} == {"y": 3, "z": 4}
    said = " ".join(each.what for each in model.doubts)
    for about in ("rate of change of x", "rule of y", "start value of z", "trigger of event e", "constraint"):
        assert about in said
    assert {each.severity for each in model.doubts} == {"doubt"}
    assert "constraint" in str(model)
    with pytest.raises(ModelError, match="has no formula"):
        cs.load_model(_document(WITHOUT_FORMULAS, version=1))


def _chain(length: int, start: str, rate: str) -> str:
    """Quantities of which each has the one before it in its start value, or in its rate of change."""
    document = libsbml.SBMLDocument(3, 2)
    model = document.createModel()
    for k in range(-1, length):
        made = model.createParameter()
        made.setId(f"x{k}" if k >= 0 else "p")
        made.setConstant(k < 0)
        made.setValue(1.0)
        if k < 0:
            continue
        if start:
            assigned = model.createInitialAssignment()
            assigned.setSymbol(f"x{k}")
            assigned.setMath(libsbml.parseL3Formula(start.format(f"x{k - 1}" if k else "p")))
        if rate or not k:
            rule = model.createRateRule()
            rule.setVariable(f"x{k}")
            rule.setMath(libsbml.parseL3Formula(rate.format(f"x{k - 1}") if k else "-x0"))
    return str(libsbml.writeSBMLToString(document))


CHAINS = {
    "starts": (60, "{0} * sin({0} + p)", ""),
    "rates": (60, "", "rateOf({0}) * sin(rateOf({0}) + 1)"),
    "a long chain": (400, "sin({0})", ""),
    "a long chain of rates": (400, "", "sin(rateOf({0}))"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_formulas_that_double_as_they_are_written_out_are_refused(name: str) -> None:
    """2^59 parts would never be written; witness: the number of parts, levels or steps that are too many, in words."""
    with pytest.raises(ModelError, match=r"parts|operations|chain"):
        cs.load_model(_chain(*CHAINS[name]))


# ---------------------------------------------------------------- models made of models

COMP = 'xmlns:comp="http://www.sbml.org/sbml/level3/version1/comp/version1" comp:required="true"'
_TIMES_K = '<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><minus/><apply><times/><ci>k</ci><ci>x</ci></apply></apply></math>'
INNER = (
    '<comp:modelDefinition id="decay"><listOfParameters><parameter id="k" value="0.5" constant="true"/>'
    '<parameter id="x" value="10" constant="false"/></listOfParameters>'
    f'<listOfRules><rateRule variable="x">{_TIMES_K}</rateRule></listOfRules></comp:modelDefinition>'
)


def test_a_model_of_models_is_written_out() -> None:
    """Closed form: two decays, one of them at the rate that the outer model puts in place of its own."""
    text = _document(
        '<model id="m"><listOfParameters><parameter id="fast" value="2" constant="true"><comp:listOfReplacedElements>'
        '<comp:replacedElement comp:idRef="k" comp:submodelRef="b"/></comp:listOfReplacedElements></parameter></listOfParameters>'
        '<comp:listOfSubmodels><comp:submodel comp:id="a" comp:modelRef="decay"/><comp:submodel comp:id="b" comp:modelRef="decay"/>'
        f"</comp:listOfSubmodels></model><comp:listOfModelDefinitions>{INNER}</comp:listOfModelDefinitions>",
        version=1,
        more=COMP,
    )
    times = np.array([0.0, 1.0, 3.0])
    found = cs.simulate(cs.load_model(text), cs.Schedule(), times, rtol=1e-9, atol=1e-12)
    assert found["a__x"] == pytest.approx(10 * np.exp(-0.5 * times), rel=1e-7)
    assert found["b__x"] == pytest.approx(10 * np.exp(-2.0 * times), rel=1e-7)


def _twice(name: str, inner: str) -> str:
    return (
        f'<comp:modelDefinition id="{name}"><comp:listOfSubmodels><comp:submodel comp:id="a" comp:modelRef="{inner}"/>'
        f'<comp:submodel comp:id="b" comp:modelRef="{inner}"/></comp:listOfSubmodels></comp:modelDefinition>'
    )


HOSTILE_COMP = {
    "doubling": ("m39", INNER + _twice("m0", "decay") + "".join(_twice(f"m{k}", f"m{k - 1}") for k in range(1, 40)), "elements once written out"),
    "itself": ("m0", _twice("m0", "m0"), r"elements once written out|cannot write out"),
    "a long chain": ("m1499", _twice("m0", "m0") + "".join(_twice(f"m{k}", f"m{k - 1}") for k in range(1, 1500)), "elements once written out"),
    "unknown": ("nobody", INNER, "nobody"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_COMP)
def test_models_of_models_that_cannot_be_written_out_are_refused(name: str) -> None:
    used, definitions, said = HOSTILE_COMP[name]
    text = _document(
        f'<model id="m"><comp:listOfSubmodels><comp:submodel comp:id="s" comp:modelRef="{used}"/></comp:listOfSubmodels></model>'
        f"<comp:listOfModelDefinitions>{definitions}</comp:listOfModelDefinitions>",
        version=1,
        more=COMP,
    )
    with pytest.raises(ModelError, match=said):
        cs.load_model(text)


def test_a_model_of_another_file_is_refused() -> None:
    text = _document(
        '<model id="m"/><comp:listOfExternalModelDefinitions><comp:externalModelDefinition comp:id="e" comp:source="/etc/passwd"/>'
        "</comp:listOfExternalModelDefinitions>",
        version=1,
        more=COMP,
    )
    with pytest.raises(ModelError, match="from another file"):
        cs.load_model(text)
