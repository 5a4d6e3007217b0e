"""What was altered and what it changed, told in words: the same content as text and as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.conclusions import Conclusion
from cellsim.posterior.words import LABEL, number

if TYPE_CHECKING:
    from cellsim.comparison.robustness_table import Robustness, Row

__all__ = ["html", "sentences", "text", "verdict"]

_CHANGES = ("flips", "becomes open", "is settled")


def _changed(found: Robustness, conclusion: Conclusion, change: str) -> list[Row]:
    return [row for row in found.rows[1:] if found.change(conclusion, row) == change]


def _named(conclusion: Conclusion, rows: list[Row]) -> str:
    return "; ".join(f"{row.name} ({number(row.values[conclusion.id])})" for row in rows)


def _sentence(found: Robustness, conclusion: Conclusion) -> str:
    """One conclusion: what it says, how far its number goes, and what changes it."""
    value = found.base.values[conclusion.id]
    seen = [row.values[conclusion.id] for row in found.rows[1:] if conclusion.id in row.values]
    asked = [each for each in seen if not np.isnan(each)]
    said = conclusion.said(value)
    said = f"{said[0].upper()}{said[1:]} ({conclusion.measured(value)})"
    if not asked:
        return f"{said}."
    reach = f"over {len(asked)} alterations from {number(min(asked))} to {number(max(asked))}"
    changes = [
        f"{change} under {_named(conclusion, rows)}"
        for change in _CHANGES
        if (rows := _changed(found, conclusion, change))
    ]
    return f"{said}, {reach}: " + (", ".join(changes) if changes else "unchanged by all of them") + "."


def verdict(found: Robustness) -> str:
    """See :attr:`cellsim.Robustness.verdict`."""
    return " ".join(sentences(found))


def sentences(found: Robustness) -> list[str]:
    """The same, a string a conclusion, then what could not be asked or fitted."""
    said = [_sentence(found, each) for each in found.conclusions]
    said += found.left_out
    if failed := [row for row in found.rows if row.failure]:
        said.append(
            "Could not be fitted: " + "; ".join(f"{row.name} ({row.failure})" for row in failed) + "."
        )
    if len(found.rows) - 1 < found.planned:
        said.append(f"Interrupted after {len(found.rows) - 1} of {found.planned} alterations.")
    return said


def _heads(found: Robustness) -> list[str]:
    return ["altered", *(f"{each.id} [{each.unit}]" for each in found.conclusions)]


def _cells(found: Robustness) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Every row: its name, and each number with whether it changes the conclusion."""
    return [
        (
            row.name + (" (failed)" if row.failure else ""),
            [
                (number(row.values.get(each.id, np.nan)), bool(found.change(each, row)))
                for each in found.conclusions
            ],
        )
        for row in found.rows
    ]


def text(found: Robustness) -> str:
    """The whole table as text; a number that changes its conclusion is starred."""
    rows = [
        [name, *(f"{shown}*" if changed else f"{shown} " for shown, changed in cells)]
        for name, cells in _cells(found)
    ]
    heads = [f"({k}) " for k in range(1, len(found.conclusions) + 1)]
    table = [["", *heads], *rows]
    widths = [max(len(line[k]) for line in table) for k in range(len(heads) + 1)]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in table
    ]
    keys = [
        f"({k}) {each.question}, {each.unit}; above {number(each.threshold)}: {each.above}"
        for k, each in enumerate(found.conclusions, start=1)
    ]
    title = f"Robustness of {found.case.name}"
    return "\n".join(
        [
            *(
                title,
                "=" * len(title),
                LABEL,
                "",
                found.verdict,
                "",
                *found.approximation.lines,
                "",
                *keys,
                "",
            ),
            "* another conclusion than from the case as it stands",
            *(line.rstrip() for line in lines),
        ]
    )


def html(found: Robustness) -> str:
    """The same as one HTML fragment; numbers that change their conclusion are bold."""
    heads = "".join(f"<th>{escape(each)}</th>" for each in _heads(found))
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(
            f"<td><strong>{escape(shown)}</strong></td>" if changed else f"<td>{escape(shown)}</td>"
            for shown, changed in cells
        )
        + "</tr>"
        for name, cells in _cells(found)
    )
    keys = "".join(
        f"<li>{escape(each.id)}: {escape(each.question)}; above {number(each.threshold)} {escape(each.unit)}: "
        f"{escape(each.above)}</li>"
        for each in found.conclusions
    )
    return "\n".join(
        [
            f"<h2>Robustness of {escape(found.case.name)}</h2>",
            f"<p><em>{escape(LABEL)}</em></p>",
            f"<p>{escape(found.verdict)}</p>",
            *(f"<p>{escape(each)}</p>" for each in found.approximation.lines),
            f"<ul>{keys}</ul>",
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
            "<p>Bold: another conclusion than from the case as it stands.</p>",
        ]
    )
