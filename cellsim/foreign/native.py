"""What stands between text and the C and C++ libraries that read it: numeric locale, bounds on depth and size.

They read numbers by the decimal mark of the process (``strtod``), and descend by recursion on a stack that ends
the process when it is full. Neither can be seen from Python afterwards, so both are settled before.
"""

from __future__ import annotations

import ctypes
import locale
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import RLock
from typing import Any
from xml.parsers import expat

from cellsim.errors import ModelError

__all__ = ["DEEPEST_FORMULA", "c_numbers", "nesting", "refuse_hostile_xml", "too_long"]

DEEPEST = 1000
"""Nested XML elements. libsbml 5.21 overflows 8 MB of stack near 5000."""

DEEPEST_FORMULA = 900
"""Nested operations of formula text, so that what can be written as XML can be read as XML."""

LARGEST = 200_000_000
"""Characters of a model. The largest published ones (metabolic networks of a whole cell) have about 50 million."""

_ONE_AT_A_TIME = RLock()


@lru_cache(maxsize=1)
def _posix() -> tuple[Any, int] | None:
    """``uselocale`` and a locale in which only numbers are those of C; None where POSIX 2008 is not to be had."""
    try:
        c = ctypes.CDLL(None)
        newlocale, uselocale = c.newlocale, c.uselocale
    except (AttributeError, OSError, TypeError):  # Windows has no such library, or not these functions
        return None
    newlocale.restype = uselocale.restype = ctypes.c_void_p
    newlocale.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]
    uselocale.argtypes = [ctypes.c_void_p]
    # glibc, musl and macOS number the masks after the categories
    made = newlocale(1 << locale.LC_NUMERIC, b"C", None)
    return (uselocale, made) if made else None


@contextmanager
def c_numbers() -> Iterator[None]:
    """Let this thread read and write numbers with a decimal point, whatever the locale of the process.

    Other threads and the process keep theirs (POSIX ``uselocale``); where that does not exist, the process is
    switched and switched back. One thread at a time, because libsbml itself switches the process for an instant when
    it writes a number: two at once would each restore what the other had set.

    Examples
    --------
    >>> with c_numbers():
    ...     pass
    """
    with _ONE_AT_A_TIME:
        if (found := _posix()) is not None:
            uselocale, numbers = found
            before = uselocale(numbers)
            try:
                yield
            finally:
                uselocale(before)
            return
        kept = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, "C")
        try:
            yield
        finally:
            locale.setlocale(locale.LC_NUMERIC, kept)


def too_long(text: str) -> str:
    """Why a text is too long to be read as a model; empty when it is not."""
    return f"{len(text)} characters are too many for a model; {LARGEST} are read." * (len(text) > LARGEST)


def refuse_hostile_xml(text: str) -> bytes:
    """Judge XML by a parser that does not recurse, before one that does sees it.

    Parameters
    ----------
    text : str
        An XML document. The encoding it declares is of no matter: a text has none.

    Returns
    -------
    bytes
        The document in UTF-8, and declared so.

    Raises
    ------
    ModelError
        It is too large, nests too deeply, declares entities or another document type, or is not XML.
    """
    if said := too_long(text):
        raise ModelError(said)
    plain = re.sub(r"\A\s*<\?xml\b.*?\?>", "", text.removeprefix("\ufeff"), flags=re.DOTALL)
    # the lines stay where they are in the file
    before = "\n" * (text[: len(text) - len(plain)].count("\n"))
    document = f'<?xml version="1.0" encoding="UTF-8"?>{before}{plain}'.encode("utf-8", "replace")
    parser = expat.ParserCreate("UTF-8")
    depth = 0

    def begin(name: str, _: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ModelError(
                f"Line {parser.CurrentLineNumber} of this XML: <{name}> stands within {depth - 1} other elements; "
                f"{DEEPEST} are read. Split the formula: give its parts names of their own."
            )

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise ModelError(
            "This XML declares its own document type or entities, which SBML has no use for. Remove the DOCTYPE."
        )

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ModelError(
            f"Line {error.lineno} of this SBML is no XML: {expat.ErrorString(error.code)}. "
            "Was the file cut off or edited?"
        ) from None
    return document


# numbers are taken whole, so that the sign of 1e-5 is no operation
_NESTING = re.compile(r"\d[\d.]*[eE][-+]?\d+|\*\*|&&|\|\||->|[-+()\[\]{},;\n/^!%<>=&|]")


def nesting(text: str) -> int:
    """An upper bound on how deep the operations of formula text nest.

    Sums and products of any length lie side by side; every other operation may lie within the one beside it, and
    brackets lie within what they stand in.

    Parameters
    ----------
    text : str
        A formula, or statements of Antimony without their strings and comments.

    Returns
    -------
    int

    Examples
    --------
    >>> nesting("a + b + c"), nesting("a - b - c"), nesting("f(g(x))")
    (0, 2, 2)
    """
    # of every open bracket: its deepest argument so far; of this argument the differences, comparisons and the like,
    # its deepest term, and of this term the operations and its deepest bracket
    levels = [[0, 0, 0, 0, 0]]

    def term_ends() -> None:
        level = levels[-1]
        level[2:] = max(level[2], level[3] + level[4]), 0, 0

    def argument_ends() -> None:
        term_ends()
        level = levels[-1]
        level[:3] = max(level[0], level[1] + level[2]), 0, 0

    def bracket_ends() -> None:
        argument_ends()
        depth = levels.pop()[0] + 1
        levels[-1][4] = max(levels[-1][4], depth)

    for match in _NESTING.finditer(text):
        mark = match[0]
        if mark in "([{":
            levels.append([0, 0, 0, 0, 0])
        elif mark in ")]}":
            if len(levels) > 1:
                bracket_ends()
        elif mark == "," or (mark == "\n" and len(levels) == 1):
            argument_ends()
        elif mark == ";":
            while len(levels) > 1:
                bracket_ends()
            argument_ends()
        elif mark in "/^!%" or mark == "**":
            levels[-1][3] += 1
        elif mark == "+":
            term_ends()
        elif mark != "\n" and not mark[0].isdigit():
            levels[-1][1] += 1
            term_ends()
    while len(levels) > 1:
        bracket_ends()
    argument_ends()
    return levels[0][0]
