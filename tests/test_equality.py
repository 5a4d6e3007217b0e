"""Records in which a number is not there are equal to themselves, on every version of Python."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from small_cases import tiny_case

import cellsim
from cellsim.comparison.evidence import Change, Evidence
from cellsim.comparison.left_out import Left
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
    # a set looks where the hash says: rows that came from another process, each with a NaN of its own
    sent = pickle.loads(pickle.dumps(one.terms))
    assert set(one.terms) == set(apart) == set(sent)
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
    assert Left("visit", "a", 1, -2.0, "quadrature", nothing, 0.1) == Left(
        "visit", "a", 1, -2.0, "quadrature", -nothing, 0.1
    )
    assert {Asked("peak", "x", "mg", nothing), Asked("peak", "x", "mg", -nothing)} == {
        Asked("peak", "x", "mg")
    }


def test_a_model_from_another_process_is_found_among_its_like() -> None:
    """Witness: a process that hashes text otherwise. What a model's hash was there means nothing here."""
    code = """import pickle, sys
from cellsim import load_model
model = load_model("x = 5; x' = -k*x; k = 0.1")
hash(model)
sys.stdout.buffer.write(pickle.dumps(model))"""
    here = cellsim.load_model("x = 5; x' = -k*x; k = 0.1")
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        sent = pickle.loads(told.stdout)
        assert {here} == {sent} and hash(here) == hash(sent)
    other = here.with_values(k=0.2)
    assert other not in {here} and hash(other) == hash(sent.with_values(k=0.2))


def test_every_record_that_may_lack_a_number_is_compared_and_hashed_so() -> None:
    """Witness: the sources. A field that is NaN by default needs both, and neither does without the other."""
    for file in Path(cellsim.__file__).parent.rglob("*.py"):
        for one in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(one, ast.ClassDef) or not any(
                "frozen=True" in ast.unparse(each) for each in one.decorator_list
            ):
                continue
            text = [ast.unparse(each) for each in one.body]
            lacks = any(each.endswith((" = np.nan", " = nan", " = math.nan")) for each in text)
            equal, hashed = "__eq__ = equal_fields" in text, "__hash__ = hash_fields" in text
            assert equal == hashed and (
                equal or not lacks or "eq=False" in ast.unparse(one.decorator_list[0])
            ), one.name
