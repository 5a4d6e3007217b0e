"""SBML beyond reactions of fixed numbers in boxes of fixed size: libRoadRunner reads the same text, or a closed form is at hand."""

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


def test_a_concentration_and_its_box_set_together_are_both_what_was_set() -> None:
    """Witness: the assignments themselves (libRoadRunner keeps the amount that was set for the old size)."""
    text = (
        "compartment c = 1; species A in c = 2; species B in c = 0; A -> B; 0; at (time >= 3): A = 5, c = 4"
    )
    found = cs.simulate(cs.load_model(text), cs.Schedule(), [2.0, 4.0])
    assert found["A"] == pytest.approx([2.0, 5.0])
    assert found["c"] == pytest.approx([1.0, 4.0])


def test_executions_come_late_by_their_delay() -> None:
    """Witness: x' = 1 passes 3 at day 3; what it was then is set 2.1 days later."""
    model = cs.load_model("x = 0; x' = 1; y = 0; at 2.1 after (x > 3): y = x")
    found = cs.simulate(model, cs.Schedule(), [5.09, 5.11])
    assert found["y"] == pytest.approx([0.0, 3.0])


def test_more_executions_than_there_are_places_for_are_an_error() -> None:
    model = cs.load_model("x = 0; x' = 1; y = 0; at 50 after (x > 1): y = y + 1; at (x > 1.5): x = 0.5")
    with pytest.raises(CellsimError, match="no longer finite"):
        cs.simulate(model, cs.Schedule(), TIMES)


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


def test_quantities_called_like_words_of_formulas_get_another_name() -> None:
    """Witness: pi (the quantity) is 3, and the number pi stays what it is."""
    math = '<math xmlns="http://www.w3.org/1998/Math/MathML"><apply><plus/><ci>pi</ci><pi/></apply></math>'
    model = cs.load_model(
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m"><listOfParameters>'
        '<parameter id="pi" value="3" constant="true"/><parameter id="x" constant="false"/></listOfParameters><listOfRules>'
        f'<assignmentRule variable="x">{math}</assignmentRule></listOfRules></model></sbml>'
    )
    assert cs.simulate(model, cs.Schedule(), [0.0, 1.0])["x"] == pytest.approx(3 + np.pi)
