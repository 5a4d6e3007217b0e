"""The pieces of a report's page: sentences, tables and figures as HTML, their numbers in one style, each with a way to its rows."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from cellsim.results import number

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Shown",
    "count_words",
    "details",
    "failure",
    "figure",
    "link",
    "odds",
    "paragraphs",
    "pre",
    "section",
    "table",
    "typeset",
]

_POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?)0*(\d+)\b")
_MINUS = re.compile(r"(?<![\w.)%-])-(?=\.?\d)")
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# what stands in quotes is a name, whose numbers are part of it
_QUOTED = re.compile(r"(“[^”]*”)")
_NUMBER = re.compile(r"(?<![\w.])[+−]?\d[\d,]*(?:\.\d+)?(?: × 10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)?(?: %)?(?!\w)")
_SURE_ODDS = 1000.0


def typeset(text: str) -> str:
    """Numbers of a text in the one style of a page: powers of ten and minus signs as they are printed.

    Examples
    --------
    >>> typeset("7.25e8 cells, 1e-05, from -60 to 3; 2023-10-06; V-2")
    '7.25 × 10⁸ cells, 1 × 10⁻⁵, from −60 to 3; 2023-10-06; V-2'
    """

    def power(found: re.Match[str]) -> str:
        sign = "-" if found[2] == "-" else ""
        return f"{found[1]} × 10{(sign + found[3]).translate(_RAISED)}"

    return _MINUS.sub("−", _POWER.sub(power, text))


def odds(nats: float) -> str:
    """A difference of natural log evidences as odds.

    Examples
    --------
    >>> odds(0.3), odds(3.2), odds(-5.0), odds(12.0)
    ('1.3 to 1', '25 to 1', '1 to 148', 'more than 1000 to 1')
    """
    from math import exp, log

    if abs(nats) > log(_SURE_ODDS):
        return f"more than {_SURE_ODDS:g} to 1" if nats > 0 else f"less than 1 to {_SURE_ODDS:g}"
    size = exp(abs(nats))
    shown = f"{size:.1f}" if size < 9.95 else f"{size:.0f}"
    return f"{shown} to 1" if nats >= 0 else f"1 to {shown}"


def _linked(text: str, at: str) -> str:
    """A text with its numbers linked to where they come from; names in quotes are left as they are."""
    shown = escape(typeset(text))
    if not at:
        return shown
    place = escape(at, quote=True)
    parts = _QUOTED.split(shown)
    parts[::2] = [
        _NUMBER.sub(lambda found: f'<a class="n" href="{place}">{found[0]}</a>', each) for each in parts[::2]
    ]
    return "".join(parts)


def paragraphs(sentences: Iterable[str], *, at: str = "", kind: str = "") -> str:
    """One paragraph for each.

    Parameters
    ----------
    sentences : iterable of str
    at : str
        The file, or the place in one, that every number in them links to.
    kind : str
        A class of the style sheet.
    """
    opened = f'<p class="{kind}">' if kind else "<p>"
    return "".join(f"{opened}{_linked(each, at)}</p>" for each in sentences)


def pre(text: str) -> str:
    """Text as it stands."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


def link(file: str, words: str = "") -> str:
    """A link to a file beside the page."""
    return f'<a href="{escape(file, quote=True)}">{escape(words or file)}</a>'


def details(summary: str, *content: str, anchor: str = "") -> str:
    """Something long that opens on a click."""
    named = f' id="{escape(anchor, quote=True)}"' if anchor else ""
    return f"<details{named}><summary>{escape(typeset(summary))}</summary>{''.join(content)}</details>"


def failure(what: str, why: str) -> str:
    """What could not be done, said where it would have stood."""
    return f'<div class="failure"><strong>{escape(what)} failed.</strong> {escape(why)}</div>'


def figure(png: bytes, caption: str, *, alt: str, file: str = "", at: str = "") -> str:
    """An image inside the page, which opens in full size; numbers of the caption link to `at`."""
    data = b64encode(png).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(typeset(alt), quote=True)}">'
    if file:
        image = f'<a href="{escape(file, quote=True)}">{image}</a>'
    return f'<figure><div class="wide">{image}</div><figcaption>{_linked(caption, at)}</figcaption></figure>'


@dataclass(frozen=True)
class Shown:
    """A cell of a table that is more than a number or a text.

    Attributes
    ----------
    text : str
    below : str
        In small letters beneath it.
    at : str
        Where its numbers link to.
    """

    text: str
    below: str = ""
    at: str = ""


def _cell(value: Any, name: str, *, first: bool, at: str) -> str:
    shown = value if isinstance(value, Shown) else None
    if shown is not None:
        at = shown.at or at
        below = f"<small>{_linked(shown.below, at)}</small>" if shown.below else ""
        inside = _linked(shown.text, "" if first else at) + below
    elif isinstance(value, float):
        inside = _linked(number(value), at)
    elif isinstance(value, int) and not isinstance(value, bool):
        inside = _linked(str(value), at)
    else:
        inside = escape(typeset(str(value)))
    if first:
        return f'<th scope="row">{inside}</th>'
    alone = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f'<td{" class=" + chr(34) + "n" + chr(34) if alone else ""} data-name="{escape(name, quote=True)}">{inside}</td>'


def table(
    frame: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    file: str = "",
    caption: str = "",
    at: Sequence[str] = (),
    stacked: bool = False,
    numbered: bool = False,
) -> str:
    """A table with numbers to three digits; its first column heads the rows.

    What its numbers rest on is said beneath it, once; a column says it of each row where rows rest on different things.

    Parameters
    ----------
    frame : DataFrame
        Cells may be :class:`Shown`.
    names : mapping of str to str
        What the page calls a column.
    file : str
        Where it stands in full.
    caption : str
    at : sequence of str
        For each row, where its numbers link to.
    stacked : bool
        Whether a narrow screen shows each row as a card; else the table moves sideways there.
    numbered : bool
        Whether each row is a place where a link can land: ``r1``, ``r2``, ...
    """
    label = dict(names or {})
    rests_on = _rests_on(frame)
    alike = {"doubts", *(["approximation"] if len(rests_on) < 2 else [])}
    columns = [name for name in frame.columns if label.get(name, name) and name not in alike]
    heads = [typeset(label.get(name, str(name).replace("_", " "))) for name in columns]
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    places = list(at) or [""] * len(frame)
    body = "".join(
        (f'<tr id="r{k}">' if numbered else "<tr>")
        + "".join(_cell(value, heads[j], first=j == 0, at=place) for j, value in enumerate(row))
        + "</tr>"
        for k, (row, place) in enumerate(
            zip(frame[columns].astype(object).itertuples(index=False, name=None), places, strict=True), 1
        )
    )
    said = f"<caption>{escape(typeset(caption))}</caption>" if caption else ""
    below = "".join(f'<p class="quiet">{escape(each)}</p>' for each in rests_on)
    below += f'<p class="quiet screen">{link(file, "This table in full")}</p>' if file else ""
    about = escape(caption or ", ".join(heads), quote=True)
    # what can be moved sideways must be reached by the keyboard, and said to be there
    kind = (
        'class="stacked"'
        if stacked
        else f'class="wide" tabindex="0" role="region" aria-label="Table: {about}"'
    )
    return (
        f"<div {kind}><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}"
    )


def _rests_on(frame: pd.DataFrame) -> list[str]:
    """What a table that carries it rests on, a sentence each."""
    if not {"approximation", "doubts"} <= set(frame.columns):
        return []
    pairs = dict.fromkeys(zip(frame["approximation"], frame["doubts"], strict=True))
    return [f"Numbers rest on {name}" + (f"; doubts: {doubts}." if doubts else ".") for name, doubts in pairs]


def section(anchor: str, title: str, *content: str, kind: str = "") -> tuple[str, str, str]:
    """A part of the page: anchor, title, HTML."""
    opened = f'<section id="{anchor}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""} aria-labelledby="{anchor}-title">'
    head = f'<h2 id="{anchor}-title">{escape(typeset(title))}</h2>'
    return anchor, title, f"{opened}{head}{''.join(content)}</section>"


# ---- how long a page is ---------------------------------------------------------------------------

_UNSEEN = ("style", "script", "title")


class _WordCounter(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words = {"open": 0, "folded": 0}
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in (*_UNSEEN, "details", "summary"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            # the innermost of that name
            del self._inside[len(self._inside) - 1 - self._inside[::-1].index(tag)]

    def handle_data(self, data: str) -> None:
        if any(each in _UNSEEN for each in self._inside):
            return
        # the summary of a folded part is seen, unless it is folded itself
        folded = self._inside.count("details") - (self._inside[-1:] == ["summary"])
        self.words["folded" if folded > 0 else "open"] += len(data.split())


def count_words(html: str) -> dict[str, int]:
    """How many words of a page are open, and how many are folded until a click.

    Examples
    --------
    >>> count_words("<p>one two</p><details><summary>three</summary><p>four <b>five</b></p></details>")
    {'open': 3, 'folded': 2}
    """
    counter = _WordCounter()
    counter.feed(html)
    counter.close()
    return counter.words
