"""The page of measured times keeps what a run did not measure."""

from __future__ import annotations

from benchmarks.__main__ import PARTS, updated


def test_a_part_measured_alone_leaves_the_others_as_they_were() -> None:
    (first, second, third) = [title for title, _ in PARTS.values()][:3]
    page = updated("", {second: "then: there.\n\n| a table |\n", first: "then: there.\n\n| another |"})
    assert page.index(f"## {first}") < page.index(f"## {second}") and third not in page
    again = updated(page, {second: "now: here.\n\n| a new table |"})
    assert "then: there.\n\n| another |" in again and "now: here.\n\n| a new table |" in again
    assert "| a table |" not in again and updated(again, {}) == again
