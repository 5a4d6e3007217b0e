"""Damaged files, through every reader: a result, or a letter of ours. ``python -m benchmarks fuzz`` goes on for as long as it is let."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import TARGETS, damaged, outcome

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
