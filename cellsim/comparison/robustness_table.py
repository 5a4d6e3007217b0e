"""Every conclusion under every alteration: a table, the flips, a verdict, one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.case.case import Case
from cellsim.comparison.conclusions import Conclusion
from cellsim.comparison.variant_roles import VariantRoles
from cellsim.files import write_whole
from cellsim.likelihood.compatibility import saved_case
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.results import number, read_saved, whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BASE", "ConclusionRow", "Robustness", "html", "sentences", "text", "verdict"]

FORMAT = "cellsim robustness 5"
BASE = "as it stands"
_FLIPS = (
    "conclusion", "alteration", "group", "name", "unit", "threshold", "base", "value", "change", "words"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ConclusionRow:
    """What one alteration makes of the conclusions.

    Attributes
    ----------
    id, group, name : str
        Of the alteration; the case as it stands has no group.
    values : mapping of str to float
        The number of every conclusion, nan where it cannot be asked.
    evidence : mapping of str to float
        ln evidence of every variant.
    shapes : mapping of str to float
        Pareto k of the weights of every variant's draws: above 0.7 its numbers are not to be trusted.
    failure : str
        Why there are no numbers; empty when there are.
    """

    id: str
    group: str
    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)
    shapes: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Robustness:
    """Every conclusion under every alteration; made by :func:`cellsim.robustness`.

    Attributes
    ----------
    case : Case
        As it stands.
    roles : VariantRoles
        What the variants do.
    variants : tuple of str
        Which of them were held against each other.
    conclusions : tuple of Conclusion
        What each number is, its threshold, and what it concludes.
    left_out : tuple of str
        What cannot be asked of this case, and why.
    rows : tuple of ConclusionRow
        The case as it stands first.
    planned : int
        How many alterations there are; fewer rows mean that it was interrupted.
    seed, starts : int
    seconds : float
        How long it took.
    versions : mapping
        Of cellsim, Python and its guests.
    approximation : Approximation
        What every number rests on, with the doubts about the case as it stands.
    """

    case: Case
    roles: VariantRoles
    variants: tuple[str, ...]
    conclusions: tuple[Conclusion, ...]
    left_out: tuple[str, ...]
    rows: tuple[ConclusionRow, ...]
    planned: int
    seed: int
    starts: int
    seconds: float
    versions: Mapping[str, str]
    approximation: Approximation

    @property
    def interrupted(self) -> bool:
        """Whether alterations are missing because an interrupt came."""
        return len(self.rows) - 1 < self.planned

    @property
    def base(self) -> ConclusionRow:
        """The case as it stands."""
        return self.rows[0]

    def change(self, conclusion: Conclusion, row: ConclusionRow) -> str:
        """What an alteration does to a conclusion: empty, ``"flips"``, ``"becomes open"`` or ``"is settled"``."""
        before, after = (conclusion.side(each.values.get(conclusion.id, np.nan)) for each in (self.base, row))
        if not before or not after or before == after:
            return ""
        if after == "open":
            return "becomes open"
        return "is settled" if before == "open" else "flips"

    def table(self) -> pd.DataFrame:
        """One row an alteration, the case as it stands first.

        Returns
        -------
        DataFrame
            Columns alteration, group, name; for every conclusion its number, ``"id [unit]"``, and ``"id flips"``,
            whether it concludes something else than the case as it stands (flips, becomes open, or is settled); for
            every variant ``"ln evidence ID"`` and ``"k ID"``, the Pareto k of its weights; failure, approximation, doubts.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for row in self.rows:
            cells: dict[str, Any] = {"alteration": row.id, "group": row.group, "name": row.name}
            for each in self.conclusions:
                cells[f"{each.id} [{each.unit}]"] = row.values.get(each.id, np.nan)
                cells[f"{each.id} flips"] = bool(self.change(each, row))
            cells |= {f"ln evidence {name}": row.evidence.get(name, np.nan) for name in self.variants}
            cells |= {f"k {name}": row.shapes.get(name, np.nan) for name in self.variants}
            rows.append({**cells, "failure": row.failure})
        return self.approximation.stamped(pd.DataFrame(rows))

    def questions(self) -> pd.DataFrame:
        """One row a conclusion.

        Returns
        -------
        DataFrame
            Columns conclusion, question, unit, threshold, margin, value (of the case as it stands), says, lowest,
            highest (over all alterations), changes (how many alterations change it), asked (of how many),
            approximation, doubts.
        """
        import pandas as pd

        rows = []
        for each in self.conclusions:
            seen = np.array([row.values.get(each.id, np.nan) for row in self.rows[1:]])
            seen = seen[~np.isnan(seen)]
            value = self.base.values[each.id]
            rows.append(
                {
                    "conclusion": each.id,
                    "question": each.question,
                    "unit": each.unit,
                    "threshold": each.threshold,
                    "margin": each.margin,
                    "value": value,
                    "says": each.said(value),
                    "lowest": seen.min() if seen.size else np.nan,
                    "highest": seen.max() if seen.size else np.nan,
                    "changes": sum(bool(self.change(each, row)) for row in self.rows[1:]),
                    "asked": seen.size,
                }
            )
        columns = ("conclusion", "question", "unit", "threshold", "margin", "value", "says")
        table = pd.DataFrame(rows, columns=[*columns, "lowest", "highest", "changes", "asked"])
        return self.approximation.stamped(table)

    def flips(self) -> pd.DataFrame:
        """Which conclusion changes under which alteration; no rows when none does.

        Returns
        -------
        DataFrame
            Columns conclusion, alteration, group, name, unit, threshold, base, value, change ("flips", "becomes
            open", "is settled"), words, approximation, doubts.
        """
        import pandas as pd

        columns = list(_FLIPS)
        rows = []
        for each in self.conclusions:
            base = self.base.values[each.id]
            for row in self.rows[1:]:
                if not (change := self.change(each, row)):
                    continue
                value = row.values[each.id]
                words = f"{row.name}: {each.said(value)} ({each.measured(value)}; {each.measured(base)} as it stands)."
                told = (each.id, row.id, row.group, row.name, each.unit, each.threshold, base, value, change)
                rows.append(dict(zip(columns, (*told, words), strict=True)))
        return self.approximation.stamped(pd.DataFrame(rows, columns=columns))

    @property
    def verdict(self) -> str:
        """One paragraph: what holds whatever is altered, what does not, and what could not be asked."""

        return verdict(self)

    def __str__(self) -> str:

        return text(self)

    def _repr_html_(self) -> str:

        return html(self)

    def __repr__(self) -> str:
        return (
            f"<Robustness of {self.case.name}: {len(self.conclusions)} conclusions under {len(self.rows) - 1} "
            f"alterations, {len(self.flips())} changes by {self.approximation.label}>"
        )

    # ---- files ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write everything, the case included, as one JSON file."""
        content = {
            "format": FORMAT,
            "case": dict(self.case.files),
            "roles": asdict(self.roles),
            "variants": self.variants,
            "conclusions": [asdict(each) for each in self.conclusions],
            "left_out": self.left_out,
            "rows": [
                asdict(row) | {name: _plain(getattr(row, name)) for name in ("values", "evidence", "shapes")}
                for row in self.rows
            ],
            "planned": self.planned,
            "seed": self.seed,
            "starts": self.starts,
            "seconds": self.seconds,
            "versions": dict(self.versions),
            "approximation": self.approximation.content(),
        }
        write_whole(path, json.dumps(content, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Robustness:
        """Read what :meth:`save` wrote.

        Raises
        ------
        CalibrationError
            If the file is none of ours, or not whole.
        """
        content = read_saved(path)
        with whole(content, path, FORMAT, "a saved robustness table"):
            roles = content["roles"]
            return cls(
                case=saved_case(content["case"], content["versions"], path),
                roles=VariantRoles(
                    roles["default"], *(tuple(roles[name]) for name in ("nulls", "acting", "neutral"))
                ),
                variants=tuple(content["variants"]),
                conclusions=tuple(Conclusion(**each) for each in content["conclusions"]),
                left_out=tuple(content["left_out"]),
                rows=tuple(
                    ConclusionRow(
                        **row | {name: _numbers(row[name]) for name in ("values", "evidence", "shapes")}
                    )
                    for row in content["rows"]
                ),
                planned=content["planned"],
                seed=content["seed"],
                starts=content["starts"],
                seconds=content["seconds"],
                versions=content["versions"],
                approximation=Approximation.of_content(content["approximation"]),
            )


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {name: None if np.isnan(each) else each for name, each in numbers.items()}


def _numbers(plain: Mapping[str, float | None]) -> dict[str, float]:
    return {name: np.nan if each is None else each for name, each in plain.items()}


_CHANGES = ("flips", "becomes open", "is settled")


def _changed(found: Robustness, conclusion: Conclusion, change: str) -> list[ConclusionRow]:
    return [row for row in found.rows[1:] if found.change(conclusion, row) == change]


def _named(conclusion: Conclusion, rows: list[ConclusionRow]) -> str:
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
            "Could not be weighed: " + "; ".join(f"{row.name} ({row.failure})" for row in failed) + "."
        )
    uneven = [row.name for row in found.rows[1:] if any(k > LARGEST_SHAPE for k in row.shapes.values())]
    if uneven:
        said.append(
            f"Weights are too uneven to be trusted (Pareto k above {LARGEST_SHAPE:g} in some variant) under {'; '.join(uneven)}; "
            "conclusions that need these variants are not drawn there."
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
                found.case.label,
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
            f"<p><em>{escape(found.case.label)}</em></p>",
            f"<p>{escape(found.verdict)}</p>",
            *(f"<p>{escape(each)}</p>" for each in found.approximation.lines),
            f"<ul>{keys}</ul>",
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
            "<p>Bold: another conclusion than from the case as it stands.</p>",
        ]
    )
