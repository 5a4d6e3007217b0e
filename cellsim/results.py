"""What every result shares: the verdict data-driven or prior-driven, the label, numbers in words, and JSON files.

A file that is not what it should be is refused in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from cellsim.delimited import file_text
from cellsim.errors import CalibrationError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DATA_DRIVEN",
    "LARGEST_QUIET_SHIFT",
    "LEAST_CONTRACTION",
    "LEVEL",
    "MOVED",
    "PRIOR_DRIVEN",
    "REACH",
    "TAILS",
    "UNTOUCHED",
    "difference",
    "html_fragment",
    "label_of",
    "level_words",
    "number",
    "read_saved",
    "verdict",
    "whole",
]


DATA_DRIVEN = "data-driven"
PRIOR_DRIVEN = "prior-driven"
MOVED = "moved, not narrowed"
UNTOUCHED = "no effect on these data"

# below a fifth of the prior variance removed, a number is called what it is: an assumption
LEAST_CONTRACTION = 0.2
LARGEST_QUIET_SHIFT = 0.5

LEVEL = 0.9
"""Of every interval where no other one is asked for; each table has it in its column ``level``."""

TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""The ends of such an interval as shares."""

REACH = NormalDist().inv_cdf(TAILS[1])
"""The same in standard deviations of a normal distribution."""

_MOST_ROWS = 30  # of a table in a notebook


def label_of(design: str = "") -> str:
    """What must stand beside every number: one patient, how the study was made, and what it is not for.

    Parameters
    ----------
    design : str
        As a case says it; nothing is said where it is empty.

    Examples
    --------
    >>> label_of("uncontrolled, unblinded")
    'n = 1, uncontrolled, unblinded; schedule rankings reflect priors; not for treatment decisions.'
    """
    subject = ", ".join(filter(None, ("n = 1", design)))
    return f"{subject}; schedule rankings reflect priors; not for treatment decisions."


def verdict(contraction: float, shift: float, *, touched: bool = True) -> str:
    """Name what the data did to a quantity.

    Parameters
    ----------
    contraction : float
        1 - var(posterior)/var(prior), in a coordinate where the prior is normal.
    shift : float
        Posterior minus prior mean, in prior standard deviations.
    touched : bool
        Whether the data depend on the quantity at all.

    Returns
    -------
    str
        ``"data-driven"``; ``"prior-driven"`` (contraction below 0.2, shift below 0.5); ``"moved, not
        narrowed"`` (contraction below 0.2 and a larger shift: look for a conflict of prior and data); or
        ``"no effect on these data"``.

    Examples
    --------
    >>> verdict(0.9, 1.2), verdict(0.05, 0.1), verdict(0.05, -0.8)
    ('data-driven', 'prior-driven', 'moved, not narrowed')
    """
    if not touched:
        return UNTOUCHED
    if contraction >= LEAST_CONTRACTION:
        return DATA_DRIVEN
    return PRIOR_DRIVEN if abs(shift) < LARGEST_QUIET_SHIFT else MOVED


def number(value: float, digits: int = 3) -> str:
    """A number as a person writes it: three digits, powers of ten only when needed.

    Examples
    --------
    >>> number(0.000123), number(285.96), number(7.25e8), number(float("nan"))
    ('0.000123', '286', '7.25e+08', '-')
    """
    return "-" if value != value else f"{value:.{digits}g}"


def difference(value: float, more: str, less: str, same: str = "equal to", *, digits: int = 1) -> str:
    """How far one number lies from another, its sign said by a word and never by both.

    Parameters
    ----------
    value : float
        The first less the second.
    more, less, same : str
        What the first is of the second where that is above, below, or zero to the digits shown.
    digits : int
        After the point.

    Examples
    --------
    >>> difference(5.46, "above", "below"), difference(-2.9, "above", "below"), difference(-0.01, "above", "below")
    ('5.5 above', '2.9 below', 'equal to')
    """
    size = f"{abs(value):.{digits}f}"
    return same if float(size) == 0 else f"{size} {more if value > 0 else less}"


def level_words(table: pd.DataFrame) -> str:
    """The level of a table's intervals, from its column.

    Examples
    --------
    >>> import pandas as pd
    >>> level_words(pd.DataFrame({"level": [0.9]}))
    '90 % interval'
    """
    return f"{100 * float(table['level'].iloc[0]):g} % interval" if len(table) else "interval"


def html_fragment(said: Sequence[str], table: pd.DataFrame) -> str:
    """Sentences and a table for a notebook, every letter of them taken for text; a long table is cut short and says so.

    Parameters
    ----------
    said : sequence of str
        Paragraphs above it.
    table : DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> html_fragment(["a < b"], pd.DataFrame())
    '<p>a &lt; b</p>'
    """
    lines = [f"<p>{escape(each)}</p>" for each in said]
    if len(table.columns):
        lines.append(table.head(_MOST_ROWS).to_html(index=False, border=0, na_rep="-"))
    if (more := len(table) - _MOST_ROWS) > 0:
        lines.append(f"<p>and {more} more rows</p>")
    return "\n".join(lines)


def read_saved(path: str | Path) -> Any:
    """What a JSON file says.

    Raises
    ------
    CalibrationError
        If it is not there, no JSON, gives a name twice, or nests too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
        return found

    try:
        return json.loads(file_text(path), object_pairs_hook=once)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise CalibrationError(f"{path} is not JSON: {error}.") from None
    except RecursionError:
        raise CalibrationError(f"{path} nests too deeply for anything that was saved here.") from None


@contextmanager
def whole(content: Any, path: str | Path, expected: str, called: str) -> Iterator[None]:
    """Refuse saved content of another format, or with parts missing or of other kinds.

    Parameters
    ----------
    content : object
        What the file says.
    path : path
        Where it was found.
    expected, called : str
        The format as the file should state it, and what a result of it is called.
    """
    stated = content.get("format") if isinstance(content, dict) else None
    if (
        isinstance(stated, str)
        and stated != expected
        and stated.rpartition(" ")[0] == expected.rpartition(" ")[0]
    ):
        raise CalibrationError(
            f"{path} is {called} of another version of cellsim (format {stated!r}; this one reads {expected!r}): what its numbers rest "
            "on is no longer made. Make it again from its case, or read it with the version that wrote it."
        )
    if stated != expected:
        raise CalibrationError(f"{path} is not {called} (format {expected!r} expected).")
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise CalibrationError(
            f"{path} is {called} with parts missing or changed ({what}); was it cut off or edited?"
        ) from None
