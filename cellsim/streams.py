"""Standard output and error as one finds them: of any code page, closed, missing, or without a terminal's methods.

Words for a reader are spelt in the letters that a stream has; files are always written in UTF-8.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Output", "in_code_page", "outputs", "progress_bar"]

_SPELT = {
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "‚": ",", "“": '"', "”": '"',
    "„": '"', "«": '"', "»": '"', "…": "...", "•": "*", "·": "*", "×": "x", "÷": "/", "±": "+/-", "→": "->",
    "←": "<-", "↔": "<->", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf", "√": "sqrt", "°": " deg",
    "µ": "u", "μ": "u", "⁄": "/", "✓": "yes", "✗": "no", "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O",
    "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "█": "#",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-", strict=True))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")


def in_code_page(text: str, encoding: str) -> str:
    """Text that a code page can hold: what it lacks is spelt with what it has, or written as an escape.

    Parameters
    ----------
    text : str
    encoding : str
        Python's name of the code page; one that is unknown is taken for ASCII.

    Returns
    -------
    str

    Examples
    --------
    >>> in_code_page("Sjögren: 10⁻³ ≤ α → β", "cp1252"), in_code_page("Sjögren, 5 µm²", "ascii")
    ('Sjögren: 10^-3 <= alpha -> beta', 'Sjogren, 5 um^2')
    """
    if _has(encoding, text):
        return text

    def raised(found: re.Match[str]) -> str:
        run = found[0]
        return run if _has(encoding, run) else "^" + "".join(_RAISED[each] for each in run)

    return "".join(_spelt(each, encoding) for each in _RAISED_RUN.sub(raised, text))


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeError:  # idna raises another than that of a letter it lacks
        return False
    except LookupError:
        return text.isascii()
    return True


def _spelt(letter: str, encoding: str) -> str:
    if _has(encoding, letter):
        return letter
    if letter in _SPELT:
        return _SPELT[letter]
    if found := re.match(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?(\w+)", unicodedata.name(letter, "")):
        return found[3].lower() if found[1] == "SMALL" else found[3].capitalize()
    bare = "".join(
        each
        for each in unicodedata.normalize("NFKD", letter)
        if not unicodedata.category(each).startswith("M")
    )
    if bare and bare != letter:
        return "".join(_spelt(each, encoding) for each in bare)
    return letter.encode("ascii", "backslashreplace").decode("ascii")


def _writes_text(encoding: str) -> bool:
    """Whether text written in pieces is read back as it was; no with idna, which takes host names, and its kin."""
    pieces = ("one. ", "two\n", "x" * 80)
    try:
        encoder = codecs.getincrementalencoder(encoding)()
        held = b"".join(encoder.encode(each) for each in pieces) + encoder.encode("", True)
        return held.decode(encoding) == "".join(pieces)
    except (LookupError, UnicodeError, TypeError):
        return False


class Output:
    """A text stream that never raises: what cannot be delivered is left, and :attr:`lost` says why.

    Parameters
    ----------
    stream : object or None
        Anything with ``write``; None where a program has no such stream, as without a console.

    Attributes
    ----------
    lost : OSError or None
        Why nothing is delivered any more: the reader went away, the disk is full.
    """

    def __init__(self, stream: Any) -> None:
        self.stream: Any = stream.stream if isinstance(stream, Output) else stream
        self.lost: OSError | None = None
        # a stream in which no text can be written is read by nobody: bytes that can be read are better
        if not _writes_text(self.encoding) and hasattr(self.stream, "reconfigure"):
            self.stream.reconfigure(encoding="utf-8")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__.get("stream"), name)

    @property
    def encoding(self) -> str:
        """The stream's; UTF-8 where it has none, since it then takes text as it is."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text, spelt as the stream can hold it."""

        def spelt() -> None:
            try:
                self.stream.write(in_code_page(text, self.encoding))
            except UnicodeError:  # it has another encoding than it says
                self.stream.write(in_code_page(text, "ascii"))

        self._deliver(spelt)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several pieces."""
        for each in lines:
            self.write(each)

    def flush(self) -> None:
        """Deliver what was written, where that can be asked for."""
        self._deliver(getattr(self.stream, "flush", lambda: None))

    def isatty(self) -> bool:
        """Whether somebody watches; no for a stream that cannot tell."""
        try:
            return bool(self.stream.isatty())
        except (AttributeError, OSError, ValueError):
            return False

    @property
    def there(self) -> bool:
        """Whether there is still a stream to write to."""
        return self.stream is not None and self.lost is None and not getattr(self.stream, "closed", False)

    def _deliver(self, write: Callable[[], object]) -> None:
        if not self.there:
            return
        try:
            write()
        except OSError as error:
            self.lost = error
            self._silence()
        except UnicodeError as error:
            self.lost = OSError(errno.EILSEQ, f"no text can be written in {self.encoding}: {error}")
        except ValueError:  # closed underneath
            self.stream = None

    def _silence(self) -> None:
        """Keep Python from complaining when it closes the stream at the end."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def outputs() -> Iterator[Output]:
    """Standard output and error that never raise, for as long as this lasts; standard output is handed out."""
    out, error = Output(sys.stdout), Output(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            yield out
        finally:
            out.flush()
            error.flush()


def progress_bar(
    things: Iterable[Any] | None = None,
    *,
    title: str,
    total: float | None = None,
    progress: bool | None = None,
    **options: Any,
) -> tqdm[Any]:
    """A progress bar on standard error; none where there is no such stream.

    Parameters
    ----------
    things : iterable, optional
        What to go through.
    title : str
    total : float, optional
        How many.
    progress : bool, optional
        Whether to show it; by default only on a terminal.
    **options
        tqdm's.

    Returns
    -------
    tqdm
    """
    from tqdm import tqdm

    stream = Output(sys.stderr)
    show = stream.isatty() if progress is None else progress
    return tqdm(
        things,
        desc=title,
        total=total,
        file=stream,
        disable=not (show and stream.there),
        leave=False,
        **options,
    )
