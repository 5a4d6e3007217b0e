"""Damaged files, through every reader: a result, or a letter of ours. ``python -m benchmarks fuzz`` goes on for as long as it is let."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellsim as cs
from benchmarks.fuzz import TARGETS, damaged, main, outcome
from cellsim.errors import CellsimError, ModelError
from cellsim.model.antimony import antimony_to_sbml

# these compile equations for every file, and have few examples; a fit is left to the command
SLOW = {"petab 1": 2, "petab 2": 2, "case": 3, "posterior": 4, "archive": 3, "sbml": 6, "antimony": 6}
KINDS = [name for name in TARGETS if name != "fit"]


@pytest.mark.parametrize("name", KINDS)
def test_a_valid_file_is_read(name: str) -> None:
    """Damage shows nothing of a reader that refuses everything; the posterior's stands without its draws."""
    how, said = outcome(name, TARGETS[name].files())
    assert (how, said) == ("read", "") or (name == "posterior" and "sample_stats" in said)


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_ends_in_a_result_or_a_letter(name: str) -> None:
    @given(seed=st.integers(0, 10**9))
    @settings(deadline=None, max_examples=SLOW.get(name, 15))
    def told(seed: int) -> None:
        how, said = outcome(name, damaged(name, seed))
        assert how != "found", said

    told()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("weekdays = 3.5", "no weekday '3.5'"),
        ("weekdays = [[1]]", "no weekday"),
        ("cells = [[1.0]]", "one number or one name"),
        ("product = [{x = 1}]", "one number or one name"),
        ("doses = {from = 1, to = 1e300, step = 1e-300}", "at most 10000 levels"),
        ("doses = {from = 1, to = 1e18}", "at most 10000 levels"),
        ("start = " + "[" * 5000, "nests|not TOML"),
    ],
)
def test_rules_of_the_wrong_kind_are_refused(line: str, said: str, tmp_path: Path) -> None:
    """Finds of fuzzing, and their neighbours: a number for a list, a list in a list, a range without end."""
    lines = {"product": '"a"', "cells": "5e7", "doses": "4", "interval": "7"}
    name, value = line.split(" = ", 1)
    file = tmp_path / "rules.toml"
    file.write_text("".join(f"{key} = {each}\n" for key, each in {**lines, name: value}.items()))
    with pytest.raises(CellsimError, match=said):
        cs.ClinicRules.from_toml(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [("</lambda>", "<ci> k </ci></lambda>"), ("<ci> w </ci>\n", "<ci> v </ci>\n")],
)
def test_arguments_of_a_function_have_names_of_their_own(old: str, new: str) -> None:
    """A find of fuzzing: a second formula makes the first an argument. Its neighbour: one of two arguments of one name counted."""
    text = antimony_to_sbml("function f(v, w) v/(1 + w) end\nmodel m()\ny = 1; y' = -f(y, k); k = 2\nend")
    assert cs.load_model(text).states[0].name == "y" and old in text
    with pytest.raises(
        ModelError, match=r"function f has an argument that is no name, or two of one name: v, "
    ):
        cs.load_model(text.replace(old, new, 1))


def test_words_may_stand_behind_options(capsys: pytest.CaptureFixture[str]) -> None:
    """As the command's own line of help writes them."""
    assert main(["0", "--seed", "3", "sheet"]) == 0
    assert "| sheet | 0 |" in capsys.readouterr().out
