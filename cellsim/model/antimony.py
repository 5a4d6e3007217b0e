"""Antimony text to SBML through the antimony package, and a model as Antimony text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import sympy as sp

from cellsim.errors import ModelError, Problem
from cellsim.foreign.c_readers import antimony_document
from cellsim.foreign.native import DEEPEST_FORMULA, c_numbers, nesting, too_long
from cellsim.foreign.trial import try_text
from cellsim.library import model_file, shipped_models
from cellsim.model.formulas import bracketed, formula_text
from cellsim.model.notes import notes_of_text, tidy
from cellsim.model.sbml_units import KINDS, base_factors
from cellsim.model.sbml_write import unit_names

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["antimony_to_sbml", "outdated", "write_antimony"]

_PIECES = re.compile(
    r"""(?P<comment>//[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>```.*?(?:```|\Z)|"(?:\\.|[^"\\\n])*")
      | (?P<word>[A-Za-z_]\w*)
      | (?P<other>\s+|.)""",
    re.VERBOSE | re.DOTALL,
)
_MODULE = re.compile(r"\b(?:model|module)\s+\*?\s*(\w+)(.*?)\bend\b", re.DOTALL)
_SUBMODEL = re.compile(r"\w+\s*:\s*(\w+)\s*\(")
_MOST_SUBMODELS = 50  # the package takes time that grows faster than their number
_FILE_IMPORT = re.compile(r"\bimport\s*[\"`']", re.IGNORECASE)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    for match in _PIECES.finditer(text):
        yield str(match.lastgroup), match[0]


class _Stash:
    """Labels and notes, kept from the package, which reads notes as Markdown and loses ``*`` and ``_``."""

    def __init__(self, text: str) -> None:
        self.words: dict[str, str] = {}
        mark = "stashed"
        while mark in text:
            mark += "x"
        self.mark = mark
        # the package does not count lines inside long strings and comments; this says where its lines begin
        self.line_of = [0, 1]
        here = 1
        out: list[str] = []
        before = ""
        for kind, piece in _pieces(text):
            for _ in range(piece.count("\n")):
                here += 1
                if kind not in ("string", "comment"):
                    self.line_of.append(here)
            if kind == "string" and before in ("is", "notes"):
                out.append(self._put(piece))
                before = ""
                continue
            if kind != "comment" and piece.strip():
                before = piece
            out.append(piece)
        self.text = bracketed("".join(out))

    def _put(self, piece: str) -> str:
        raw = piece.startswith("```")
        said = piece[3:-3] if raw else piece[1:-1].replace('\\"', '"')
        if not tidy(said):
            return '""'
        name = f"{self.mark}{len(self.words)}q"
        self.words[name] = said
        return f'"{name}"'

    def restore(self, xml: str) -> str:
        def note(match: re.Match[str]) -> str:
            return notes_of_text(self.words[match[1]])

        body = r'<body xmlns="http://www\.w3\.org/1999/xhtml">\s*<p>\s*'
        xml = re.sub(rf"{body}({self.mark}\d+q)\s*</p>\s*</body>", note, xml)
        return re.sub(
            rf"({self.mark}\d+q)\s*", lambda m: escape(tidy(self.words[m[1]]).replace("\n", " ")), xml
        )


def antimony_to_sbml(text: str) -> str:
    """Translate Antimony text to SBML Level 3 Version 2.

    Parameters
    ----------
    text : str
        One model (of several, the last or the one marked ``model *name()`` is taken). It cannot
        import files: what is read is what stands in the text.

    Returns
    -------
    str
        The document, the same for the same text, without dates or versions of tools.

    Raises
    ------
    ModelError
        The text cannot be read; the message has the line.

    Examples
    --------
    >>> '<rateRule variable="x">' in antimony_to_sbml("x = 10; x' = -k*x; k = 0.5")
    True
    """
    if said := too_long(text):
        raise ModelError(said)
    _refuse_imports(text)
    _refuse_nesting(text)
    stash = _Stash(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", " "))
    try_text(text, "antimony", stash.text)
    # one thread at a time, which the package needs too: it keeps one global list of loaded models
    with c_numbers():
        sbml, said = antimony_document(stash.text)
    if said:
        raise _complaint(said, text, stash.line_of)
    if not sbml:
        raise ModelError("The Antimony text holds no model.")
    return stash.restore(re.sub(r"<!--.*?-->\s*", "", sbml, count=1, flags=re.DOTALL))


def _complaint(said: str, text: str, line_of: list[int]) -> ModelError:
    found = re.match(r"Error in model string, line (\d+):\s*(.*)", said, flags=re.DOTALL)
    if not found:
        return ModelError(f"The Antimony text cannot be read: {' '.join(said.split())}")
    line, what = int(found[1]), " ".join(found[2].split())
    line = line_of[line] if line < len(line_of) else line
    lines = text.splitlines()
    shown = f" The line reads: {lines[line - 1].strip()[:120]}" if 0 < line <= len(lines) else ""
    return ModelError([Problem(what=f"Line {line}: {what}.".replace("..", ".") + shown)])


def _refuse_imports(text: str) -> None:
    bare = any(kind == "word" and piece.lower() == "import" for kind, piece in _pieces(text))
    if bare or _FILE_IMPORT.search(text):
        raise ModelError(
            "This Antimony text imports another file, which is not supported: "
            "a model must not read files of its own accord. Copy the imported text into this one."
        )


def _refuse_nesting(text: str) -> None:
    """Refuse statements that would exhaust the package's stack, and modules that multiply within modules."""
    bare = "".join(piece for kind, piece in _pieces(text) if kind not in ("string", "comment"))
    if (depth := nesting(bare)) > DEEPEST_FORMULA:
        raise ModelError(
            f"A formula of this Antimony text nests too deeply to be read: {depth} operations within each other, "
            f"and {DEEPEST_FORMULA} are read. Give its parts names of their own."
        )
    sizes: dict[str, int] = {}
    for match in _MODULE.finditer(bare):
        used = (sizes.get(name, 0) for name in _SUBMODEL.findall(match[2]))
        # the package refuses a module that is not defined above
        sizes[match[1]] = size = 1 + sum(used)
        if size > _MOST_SUBMODELS:
            raise ModelError(
                f"The model {match[1]!r} is made of {size} models within models; {_MOST_SUBMODELS} are read. "
                "Write it out without submodels."
            )


def _quoted(text: str) -> str:
    if "\n" in text:
        # a backquote at the end would be taken for the first of the three that close the note
        return "```" + text.replace("```", "'''") + (" ```" if text.endswith("`") else "```")
    # a trailing backslash would swallow the closing quote
    return '"' + text.replace('"', '\\"') + (" " if text.endswith("\\") else "") + '"'


def _unit_formula(text: str) -> str:
    parts = []
    for kind, multiplier, exponent in base_factors(text):
        one = f"{_number(multiplier)} {kind}" if multiplier != 1 else kind
        power = f"({one})^{abs(exponent):g}" if abs(exponent) != 1 else f"({one})" if exponent < 0 else one
        power = power.replace(f"({kind})", kind)
        parts.append((" / " if exponent < 0 else " * ") + power)
    whole = "".join(parts)
    return whole.removeprefix(" * ") if whole.startswith(" * ") else f"1{whole}"


def write_antimony(model: Model) -> str:
    """Write a model as Antimony text, one quantity a line.

    Parameters
    ----------
    model : Model

    Returns
    -------
    str
        Text that `antimony_to_sbml` reads back to an equal model.

    Raises
    ------
    ModelError
        A name that Antimony cannot hold (``gamma``, ``in``, ...); all of them are listed.
    """
    lines = [f"model *{model.name}()", ""]
    if model.note:
        lines += [f"  model notes {_quoted(tidy(model.note))}", ""]
    names = unit_names(model)
    for text, name in names.items():
        if name not in KINDS:
            lines.append(f"  unit {name} = {_unit_formula(text)}")
            if text != name:
                lines.append(f"  {name} is {_quoted(text)}")
    if model.time_unit:
        lines.append(f"  unit time_unit = {names[model.time_unit]}")

    def words(each: object, formula: str) -> str:
        name, unit = each.name, each.unit  # type: ignore[attr-defined]
        said = [formula] if formula else []
        if unit:
            said.append(f"{name} has {names[unit]}")
        if each.label:  # type: ignore[attr-defined]
            said.append(f"{name} is {_quoted(' '.join(tidy(each.label).split()))}")  # type: ignore[attr-defined]
        if each.note:  # type: ignore[attr-defined]
            said.append(f"{name} notes {_quoted(tidy(each.note))}")  # type: ignore[attr-defined]
        return "  " + "; ".join(said)

    # named once before any formula, because the package keeps the order of first mention
    for kind, group in (("var", model.states), ("const", model.parameters), ("var", model.assignments)):
        if group:
            listed = wrap(", ".join(each.name for each in group), 100, break_long_words=False)
            lines += ["", *(f"  {kind} {line.removesuffix(',')}" for line in listed)]
    lines += ["", "  // rates of change"]
    in_events = {name for event in model.events for name, _ in event.assignments}
    for state in model.states:
        lines.append(words(state, f"{state.name} = {formula_text(state.initial)}"))
        if state.rate != 0 or state.name not in in_events:
            lines.append(f"  {state.name}' = {formula_text(state.rate)}")
    lines += ["", "  // always"]
    lines += [words(each, f"{each.name} := {formula_text(each.formula)}") for each in model.assignments]
    lines += ["", "  // parameters"]
    lines += [words(each, f"{each.name} = {_number(each.value)}") for each in model.parameters]
    lines += ["", "  // events"] if model.events else []
    for event in model.events:
        start = "" if event.initially else ", t0=false"
        changes = ", ".join(f"{name} = {formula_text(value)}" for name, value in event.assignments)
        lines.append(f"  {event.name}: at ({formula_text(event.trigger)}){start}: {changes}")
    text = "\n".join([*lines, "end", ""])
    try:
        antimony_to_sbml(text)
    except ModelError as trouble:
        raise ModelError(
            f"{model.name} cannot be written as Antimony, which refuses it: {trouble}"
        ) from trouble
    return text


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(float(value))
    return (
        formula_text(sp.Float(value))
        if not float(value).is_integer() or abs(value) >= 1e15
        else f"{value:.0f}"
    )


def outdated() -> list[Path]:
    """Shipped ``.xml`` that do not say what their ``.ant`` says, mathematics, units and words alike."""
    from cellsim.model.sbml_read import read_sbml

    old = []
    for name in shipped_models():
        source = model_file(name)
        target = source.with_suffix(".xml")
        fresh = read_sbml(antimony_to_sbml(source.read_text(encoding="utf-8")))
        if not target.exists() or read_sbml(target.read_text(encoding="utf-8")) != fresh:
            old.append(target)
    return old
