"""Dates as people type them: what is one in its own right, and what depends on whether the day or the month comes first."""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["NumericDate", "is_date_text", "numeric_date", "plain_date"]

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", re.ASCII)
_DOTTED = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})", re.ASCII)
_NUMERIC = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})", re.ASCII)
_DAY_NAMED = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ .-]+([A-Za-z]{3,9})\.?[ ,.-]+(\d{4})", re.ASCII)
_NAMED_DAY = re.compile(r"([A-Za-z]{3,9})\.?[ -](\d{1,2})(?:st|nd|rd|th)?,?[ -](\d{4})", re.ASCII)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

NumericDate = tuple[int, int, int]
"""Two numbers of which one is the day and the other the month, and the year."""


def plain_date(text: str) -> datetime | None:
    """A date that can be read in one way alone; None for other text.

    Raises
    ------
    ValueError
        It has the form of a date, and there is none of that day.

    Examples
    --------
    >>> [str(plain_date(each).date()) for each in ("2023-3-1", "1.3.2023", "1 Mar 2023", "March 1, 2023")]
    ['2023-03-01', '2023-03-01', '2023-03-01', '2023-03-01']
    >>> plain_date("03/04/2023"), plain_date("March 2023")
    (None, None)
    """
    if _ISO.fullmatch(text):
        return datetime.fromisoformat(text)
    if found := _YEAR_FIRST.fullmatch(text):
        return datetime(int(found[1]), int(found[3]), int(found[4]))
    if found := _DOTTED.fullmatch(text):
        return datetime(int(found[3]), int(found[2]), int(found[1]))
    if (found := _DAY_NAMED.fullmatch(text)) and (month := _month(found[2])):
        return datetime(int(found[3]), month, int(found[1]))
    if (found := _NAMED_DAY.fullmatch(text)) and (month := _month(found[1])):
        return datetime(int(found[3]), month, int(found[2]))
    return None


def numeric_date(text: str) -> NumericDate | None:
    """The numbers of a date with slashes or dashes that ends with the year.

    Examples
    --------
    >>> numeric_date("25/04/2023"), numeric_date("3-4-2023"), numeric_date("2023-04-03")
    ((25, 4, 2023), (3, 4, 2023), None)
    """
    found = _NUMERIC.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[3]), int(found[4]))


def is_date_text(text: str) -> bool:
    """Whether a text has the form of a date, existing or not."""
    try:
        return plain_date(text) is not None or numeric_date(text) is not None
    except ValueError:
        return True


def _month(word: str) -> int:
    """The number of a month in English, whole or by its first letters; 0 for another word."""
    plain = word.lower()
    return next((k for k, each in enumerate(_MONTHS, start=1) if each.startswith(plain)), 0)
