"""Records in which a number is not there are equal to themselves, on every version of Python."""

from __future__ import annotations

from dataclasses import replace

from small_cases import tiny_case

from cellsim.comparison.evidence import Change, Evidence
from cellsim.likelihood.formulation import objective_of
from cellsim.model.content import Parameter
from cellsim.petab.records import ParameterRow
from cellsim.predictions.measures import Asked
from cellsim.sweeps.trust_region import Beyond


def test_rows_of_one_case_read_twice_are_the_same_rows() -> None:
    """Witness: the same tables. A value has no upper limit (NaN), which from Python 3.13 on equals nothing."""
    tables = ("x = 5; x' = -k*x; k = 0.1", {"y": "x"}, [("y", 0, 5.0), ("y", 10, 2.0)], {"k": 0.1})
    one, other = (objective_of(tiny_case(*tables)) for _ in range(2))  # type: ignore[arg-type]
    apart = tuple(
        replace(each, upper=float("nan") if each.upper != each.upper else each.upper) for each in other.terms
    )
    assert any(each.upper != each.upper for each in one.terms)
    assert one.terms == apart and hash(one.terms[0]) == hash(other.terms[0])
    assert replace(one.terms[0], measured=one.terms[0].measured + 1) != one.terms[0]


def test_records_with_a_number_that_is_not_there_equal_others_like_them() -> None:
    """Witness: their other fields."""
    nothing = float("nan")
    assert ParameterRow(id="k", estimate=True, nominal=nothing) == ParameterRow(
        id="k", estimate=True, nominal=-nothing
    )
    assert ParameterRow(id="k", estimate=True) != ParameterRow(id="k", estimate=True, nominal=1.0)
    assert Evidence(1.0, 0.1, pareto_k=nothing) == Evidence(1.0, 0.1) != Evidence(1.0, 0.2)
    assert Parameter("k", nothing) == Parameter("k", -nothing) != Parameter("k", 1.0)
    assert hash(Parameter("k", 2.0)) == hash(Parameter("k", 2.0))
    assert Change(1.0, 0.1, nothing, "quadrature") == Change(1.0, 0.1, -nothing, "quadrature")
    assert Beyond("product", "a", 1.0, nothing, "mg") == Beyond("product", "a", 1.0, -nothing, "mg")
    assert Asked("peak", "x", "mg", nothing) == Asked("peak", "x", "mg") != Asked("peak", "y", "mg")
