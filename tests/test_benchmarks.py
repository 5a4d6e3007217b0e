"""The page of measured times keeps what a run did not measure, and the list of mutations fits the sources."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import PARTS, updated
from benchmarks.mutations import MUTATIONS, ROOT, Mutation, main, mutated


def test_a_part_measured_alone_leaves_the_others_as_they_were() -> None:
    (first, second, third) = [title for title, _ in PARTS.values()][:3]
    page = updated("", {second: "then: there.\n\n| a table |\n", first: "then: there.\n\n| another |"})
    assert page.index(f"## {first}") < page.index(f"## {second}") and third not in page
    again = updated(page, {second: "now: here.\n\n| a new table |"})
    assert "then: there.\n\n| another |" in again and "now: here.\n\n| a new table |" in again
    assert "| a table |" not in again and updated(again, {}) == again
    beside = updated(again, {"Another command's": "its table"})
    assert (
        beside.startswith(again.rstrip())
        and updated(beside, {second: "now: here.\n\n| a new table |"}) == beside
    )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_a_mutation_has_one_place_and_tests_that_are_there(mutation: Mutation) -> None:
    """Whether they catch it, ``python -m benchmarks.mutations`` says."""
    assert mutated(mutation) != (ROOT / mutation.file).read_text(encoding="utf-8")
    for file, _, name in (each.partition("::") for each in mutation.tests):
        assert f"\ndef {name.partition('[')[0]}" in (ROOT / file).read_text(encoding="utf-8")


def test_mutations_have_names_of_their_own() -> None:
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS)


def test_a_word_that_no_mutation_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It used to choose none, and none meant every test of the tree, and then "0 of 0 caught"."""
    with pytest.raises(SystemExit):
        main(["no such mistake"])
    assert "no mutation has 'no such mistake'" in capsys.readouterr().err
