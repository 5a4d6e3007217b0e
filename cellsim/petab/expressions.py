"""PEtab's formulas, which differ in a few words from those of models: written over, and read by the one reader there is."""

from __future__ import annotations

import re
from collections.abc import Callable

import sympy as sp

from cellsim.errors import ModelError
from cellsim.model.formulas import RESERVED, parse_formula

__all__ = ["parse_expression"]

_TOKEN = re.compile(
    r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|\*\*|&&|\|\||[<>=!]=|.)", re.S
)
# words that the reader of models takes for a constant, and that PEtab leaves free
_FREE = sorted(RESERVED - {"time", "true", "false", "inf"})
_ALIAS = "cellsim_name_"
_DEEPEST = 200


# PEtab's functions that the reader of models has not under that name, or not with that order of arguments: how many
# arguments at least and at most, and how it is written
_WRITTEN: dict[str, tuple[int, int, Callable[..., str]]] = {
    "log": (1, 2, lambda x, base="": f"log({base}, {x})" if base else f"ln({x})"),
    "log2": (1, 1, lambda x: f"log(2, {x})"),
    "sign": (1, 1, lambda x: f"piecewise(1, ({x}) > 0, -1, ({x}) < 0, 0)"),
}


def parse_expression(text: str, *, where: str = "") -> sp.Expr:
    """Read a formula of a PEtab table.

    Parameters
    ----------
    text : str
        In the syntax of PEtab 2.0 (``log(a, b)`` is the logarithm of a to base b, ``log`` and ``ln`` are natural); ``**`` for
        powers, as problems of version 1 have it, too.
    where : str
        What it belongs to, for the error message.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    ModelError
        It is no formula.

    Examples
    --------
    >>> parse_expression("log(8, 2) + sign(-3)").evalf(3)
    2.00
    """
    tokens = [each.group(1) for each in _TOKEN.finditer(text) if each.group(1).strip()]
    written, rest = _joined(tokens, 0, where, 0)
    if rest < len(tokens):
        raise ModelError(f"The formula{f' of {where}' if where else ''} closes a bracket too many: {text!r}.")
    expression = parse_formula(written, where=where)
    back = {
        each: sp.Symbol(each.name.removeprefix(_ALIAS))
        for each in expression.free_symbols
        if each.name.startswith(_ALIAS)
    }
    return expression.xreplace(back)


def _joined(tokens: list[str], place: int, where: str, depth: int) -> tuple[str, int]:
    """What stands up to the bracket that closes here, written for the reader of models, and where that was."""
    parts, rest = _arguments(tokens, place, where, depth)
    return ", ".join(parts), rest


def _arguments(tokens: list[str], place: int, where: str, depth: int) -> tuple[list[str], int]:
    """The same, cut at the commas."""
    if depth > _DEEPEST:
        raise ModelError(f"The formula of {where or 'a table'} nests too deeply to be read. Split it.")
    parts: list[list[str]] = [[]]
    while place < len(tokens):
        token = tokens[place]
        place += 1
        if token == ")":
            return ["".join(each) for each in parts], place - 1
        if token == ",":
            parts.append([])
        elif token == "(":
            inner, place = _joined(tokens, place, where, depth + 1)
            parts[-1].append(f"({inner})")
            place += 1
        elif token[0].isalpha() or token[0] == "_":
            if place < len(tokens) and tokens[place] == "(":
                arguments, place = _arguments(tokens, place + 1, where, depth + 1)
                place += 1
                parts[-1].append(_called(token, arguments, where))
            else:
                parts[-1].append(_ALIAS + token if token.lower() in _FREE else token)
                parts[-1].append(" ")
        else:
            parts[-1].append(
                " ^ " if token == "**" else f" {token} " if token in "&|<>=!" or len(token) == 2 else token
            )
    if depth:
        raise ModelError(f"The formula{f' of {where}' if where else ''} does not close a bracket.")
    return ["".join(each) for each in parts], place


def _called(name: str, arguments: list[str], where: str) -> str:
    if name not in _WRITTEN:
        return f"{name}({', '.join(arguments)})"
    least, most, write = _WRITTEN[name]
    if not least <= len(arguments) <= most:
        wanted = f"{least}" if least == most else f"{least} or {most}"
        raise ModelError(
            f"The formula{f' of {where}' if where else ''} gives {name} {len(arguments)} arguments; it takes {wanted}."
        )
    return write(*arguments)
