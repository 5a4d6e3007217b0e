"""A report as one HTML page that needs nothing beside it: words, tables and figures in one file."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.errors import CellsimError
from cellsim.files import file_name, write_whole
from cellsim.results import number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

__all__ = [
    "ReportFolder",
    "copy_case",
    "details",
    "failure",
    "figure",
    "link",
    "page",
    "paragraphs",
    "pre",
    "section",
    "table",
]

_STYLE = """
:root { --ink: #1b1b1b; --quiet: #5d5d5d; --line: #dcdcdc; --wash: #f5f6f7; --accent: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0 .6rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .6rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, li { max-width: 50rem; }
nav { position: sticky; top: 0; background: #fffffff2; border-bottom: 1px solid var(--line); z-index: 2; }
nav ul { max-width: 62rem; margin: 0 auto; padding: .45rem 1.2rem; list-style: none; display: flex; flex-wrap: wrap;
  gap: .1rem 1.1rem; font-size: .88rem; }
a { color: var(--accent); }
.label { border-left: 4px solid #D55E00; background: #fdf3ec; padding: .5rem .9rem; margin: 1rem 0; max-width: 50rem; }
.failure { border-left: 4px solid #000; background: #eee; padding: .5rem .9rem; margin: 1rem 0; white-space: pre-wrap; }
.quiet { color: var(--quiet); font-size: .9rem; }
figure { margin: 1.2rem 0; }
figure img { max-width: 100%; height: auto; display: block; border: 1px solid var(--line); }
figcaption { color: var(--quiet); font-size: .88rem; margin-top: .35rem; max-width: 50rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .84rem; line-height: 1.35; }
th { text-align: left; border-bottom: 2px solid var(--line); padding: .3rem .7rem .3rem 0; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: .28rem .7rem .28rem 0; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: var(--wash); border: 1px solid var(--line); padding: .8rem 1rem; overflow-x: auto; font-size: .8rem;
  line-height: 1.4; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--accent); }
@media print { nav { display: none; } details { display: block; } }
"""


def paragraphs(sentences: Iterable[str]) -> str:
    """One paragraph for each."""
    return "".join(f"<p>{escape(each)}</p>" for each in sentences)


def pre(text: str) -> str:
    """Text as it stands."""
    return f"<pre>{escape(text)}</pre>"


def link(file: str, words: str = "") -> str:
    """A link to a file beside the page."""
    return f'<a href="{escape(file, quote=True)}">{escape(words or file)}</a>'


def details(summary: str, *content: str) -> str:
    """Something long that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(content)}</details>"


def failure(what: str, why: str) -> str:
    """What could not be done, said where it would have stood."""
    return f'<div class="failure"><strong>{escape(what)} failed.</strong> {escape(why)}</div>'


def figure(png: bytes, caption: str, *, alt: str) -> str:
    """An image inside the page."""
    data = b64encode(png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="n">{escape(number(value))}</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(str(value))}</td>"


def table(frame: pd.DataFrame, *, names: Mapping[str, str] | None = None, file: str = "") -> str:
    """A table with numbers to three digits; `file` is where it stands in full.

    What its numbers rest on is said beneath it, once; a column says it of each row where rows rest on different things.
    """
    label = dict(names or {})
    rests_on = _rests_on(frame)
    alike = {"doubts", *(["approximation"] if len(rests_on) < 2 else [])}
    columns = [name for name in frame.columns if label.get(name, name) and name not in alike]
    head = "".join(f"<th>{escape(label.get(name, name.replace('_', ' ')))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(_cell(value) for value in row) + "</tr>"
        for row in frame[columns].astype(object).itertuples(index=False, name=None)
    )
    below = "".join(f'<p class="quiet">{escape(each)}</p>' for each in rests_on)
    below += f'<p class="quiet">In full: {link(file)}</p>' if file else ""
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}'
    )


def _rests_on(frame: pd.DataFrame) -> list[str]:
    """What a table that carries it rests on, a sentence each."""
    if not {"approximation", "doubts"} <= set(frame.columns):
        return []
    pairs = dict.fromkeys(zip(frame["approximation"], frame["doubts"], strict=True))
    return [f"Numbers rest on {name}" + (f"; doubts: {doubts}." if doubts else ".") for name, doubts in pairs]


def section(anchor: str, title: str, *content: str) -> tuple[str, str, str]:
    """A part of the page: anchor, title, HTML."""
    return anchor, title, f'<section id="{anchor}"><h2>{escape(title)}</h2>{"".join(content)}</section>'


def page(
    title: str, label: str, lead: str, sections: Sequence[tuple[str, str, str]], *, unfinished: bool = False
) -> str:
    """The whole page, the mandatory label at its head and foot; an unfinished one looks for a newer every minute."""
    contents = "".join(f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name, _ in sections)
    banner = f'<p class="label"><strong>{escape(label)}</strong></p>'
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            *(['<meta http-equiv="refresh" content="60">'] if unfinished else []),
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<nav><ul>{contents}</ul></nav><main>",
            f"<h1>{escape(title)}</h1>{banner}{lead}",
            *(content for _, _, content in sections),
            f"{banner}</main></body></html>",
            "",
        ]
    )


T = TypeVar("T")
DPI = 150


@dataclass
class ReportFolder:
    """Where results are put down as they come."""

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do it; when it fails, say so and go on."""
        try:
            done = work()
        except Exception as error:  # whatever a step raises must not take the finished ones with it
            self.failures[what] = f"{type(error).__name__}: {error}"
            self.put("failures.json", json.dumps(self.failures, indent=1, ensure_ascii=False))
            return None
        if self.failures.pop(what, None) is not None:  # of an earlier page, before its results were there
            self.put("failures.json", json.dumps(self.failures, indent=1, ensure_ascii=False))
        return done

    def put(self, name: str, content: str | bytes) -> str:
        """Write a file beneath the folder; its name relative to the page."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CellsimError(f"{name} would be written outside {self.folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        return name

    def csv(self, name: str, frame: pd.DataFrame) -> str:
        """A table in full precision, so that it reads back equal."""
        return self.put(name, frame.to_csv(index=False, lineterminator="\n"))

    def draw(self, name: str, caption: str, make: Callable[[], Any], *, alt: str) -> str:
        """A figure beside the page and in it; the failure in its place when it cannot be drawn."""
        import matplotlib.pyplot as plt

        from cellsim.plots.style import figure_of

        def drawn() -> str:
            held, made = BytesIO(), figure_of(make())
            try:
                made.savefig(held, format="png", dpi=DPI)
            finally:
                plt.close(made)
            self.put(f"figures/{name}.png", held.getvalue())
            return figure(held.getvalue(), caption, alt=alt)

        return self.attempt(f"Figure {name}", drawn) or self.said(f"Figure {name}")

    def said(self, what: str) -> str:
        """The failure of a step as it stands on the page; empty when there was none."""
        return failure(what, self.failures[what]) if what in self.failures else ""

    def part(self, what: str, make: Callable[[], str]) -> str:
        """A piece of the page; its failure instead when the numbers behind it cannot be told."""
        return self.attempt(what, make) or self.said(what)


def copy_case(case: Case, output: ReportFolder) -> str:
    """Write the case's files, keeping how they lie to each other; the case's folder relative to the report."""
    files = {name: PurePosixPath(name.replace("\\", "/")) for name in case.files}
    above = max((sum(part == ".." for part in path.parts) for path in files.values()), default=0)
    home = PurePosixPath("inputs", *["calibration"] * max(above - 1, 0), file_name(case.name))
    for name, path in files.items():
        if path.is_absolute() or ":" in name:
            continue
        parts = list(home.parts)
        for part in path.parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        output.put(str(PurePosixPath(*parts)), case.files[name])
    return str(home)
