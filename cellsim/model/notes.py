"""Notes between plain text and the XHTML that SBML wraps them in."""

from __future__ import annotations

import re
import unicodedata
from html import escape, unescape

__all__ = ["notes_of_text", "text_of_notes", "tidy"]

_BLOCK = re.compile(r"</?(?:p|div|br|li|ul|ol|h\d|tr|table|pre|body|html|notes)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")


def tidy(text: str) -> str:
    """A note with single spaces, without empty lines and characters that XML cannot hold.

    Examples
    --------
    >>> tidy("  V:  Lee 2009 \\n\\n A: size ")
    'V: Lee 2009\\nA: size'
    """
    kept = "".join(
        c if c in "\n\t " or unicodedata.category(c) not in ("Cc", "Cs", "Cn", "Co") else " " for c in text
    )
    lines = [" ".join(line.split()) for line in kept.split("\n")]
    return "\n".join(line for line in lines if line)


def text_of_notes(xhtml: str) -> str:
    """The plain text of SBML notes, one line a paragraph.

    Examples
    --------
    >>> text_of_notes('<notes><body><p>x &lt; 1,\\n <b>see</b> Lee</p><p>A</p></body></notes>')
    'x < 1, see Lee\\nA'
    """
    one_line = re.sub(r"\s+", " ", re.sub(r"<!--.*?-->", "", xhtml, flags=re.DOTALL))
    return tidy(unescape(_TAG.sub("", _BLOCK.sub("\n", one_line))))


def notes_of_text(text: str) -> str:
    """Plain text as SBML notes; `text_of_notes` reads it back."""
    lines = "".join(f"<p>{escape(line, quote=False)}</p>" for line in tidy(text).split("\n"))
    return f'<body xmlns="http://www.w3.org/1999/xhtml">{lines}</body>'
