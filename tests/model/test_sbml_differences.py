"""Random SBML models mean here what libRoadRunner takes them for; ``python -m benchmarks differences`` tries as many as it is told to."""

import numpy as np
import pytest

import cellsim as cs
from benchmarks.sbml_differences import TIMES, compared, random_model


@pytest.mark.parametrize("seed", [23, 53, 56])
def test_a_random_model_means_what_libroadrunner_takes_it_for(seed: int) -> None:
    """Witness: libRoadRunner (CVODE) on the same SBML. The three have boxes with rates, events that wait, and `rateOf`."""
    assert compared(random_model(seed)) == ("same", "")


def test_a_difference_is_seen() -> None:
    """Witness: the rule itself, A' = 0.4; libRoadRunner 2.10 lets A thin out with a compartment that a rule enlarges."""
    text = "model m()\n compartment c; c := 1 + 0.5*time; species $A in c = 3; A' = 0.4;\nend"
    verdict, said = compared(text)
    assert verdict == "differ" and "libRoadRunner" in said
    found = cs.simulate(cs.load_model(text), cs.Schedule(), TIMES)
    assert np.allclose(found["A"], 3 + 0.4 * TIMES)
