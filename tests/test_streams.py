"""Standard output and error as one finds them: any code page, closed, missing, full, without a terminal's methods."""

import errno
import io
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsim.cli import main
from cellsim.streams import Output, in_code_page, progress_bar

CODE_PAGES = ["cp1252", "latin-1", "cp437", "cp932", "koi8-r", "ascii", "utf-8", "utf-16"]


@pytest.mark.parametrize(
    ("text", "ascii", "cp1252"),
    [
        ("IL-1β ≤ 5 µg", "IL-1beta <= 5 ug", "IL-1beta <= 5 µg"),
        ("10⁻⁶ × Sjögren", "10^-6 x Sjogren", "10^-6 × Sjögren"),
        ("x² → “y” – z…", 'x^2 -> "y" - z...', "x² -> “y” – z…"),
        ("Ω, ά, ß", "Omega, alpha, ss", "Omega, alpha, ß"),
        ("細胞 🧬", "\\u7d30\\u80de \\U0001f9ec", "\\u7d30\\u80de \\U0001f9ec"),
    ],
)
def test_what_a_code_page_lacks_is_spelt(text: str, ascii: str, cp1252: str) -> None:
    assert in_code_page(text, "ascii") == ascii
    assert in_code_page(text, "cp1252") == cp1252
    assert in_code_page(text, "utf-8") == text
    assert in_code_page(text, "no such code page") == ascii


@settings(max_examples=50)
@given(st.text(st.characters()), st.sampled_from(CODE_PAGES))
def test_every_text_can_be_written_in_every_code_page(text: str, encoding: str) -> None:
    """Witness: Python's own strict codec takes it; what that could hold is left alone."""
    spelt = in_code_page(text, encoding)
    spelt.encode(encoding, "strict")
    assert in_code_page(spelt, encoding) == spelt
    if text.encode(encoding, "replace") == text.encode(encoding, "ignore"):
        assert spelt == text


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_the_audit_is_readable_in_every_code_page(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the audit as the library gives it, spelt in that code page, byte for byte."""
    import cellsim as cs

    held = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(held, encoding=encoding, newline=""))
    assert main(["check", "sjogren_rfib"]) == 0
    shown = held.getvalue().decode(encoding)
    assert shown == in_code_page(cs.load_case("sjogren_rfib").audit(), encoding)
    assert "\\u" not in shown


class Bare:
    """What some consoles put in place of a stream: it takes text and can do nothing else."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


class Broken(Bare):
    """A stream that fails with an error of the system."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, text: str) -> None:
        raise OSError(self.number, "it cannot be written")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


WORDS = {0: ["list"], 1: ["check", "nope"], 2: ["nothing"]}


@pytest.mark.parametrize("status", WORDS)
@pytest.mark.parametrize("make", [lambda: None, closed, Bare], ids=["missing", "closed", "bare"])
def test_a_status_does_not_hang_on_a_stream(status: int, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, a closed console, or an editor's own streams."""
    monkeypatch.setattr(sys, "stdout", make())
    monkeypatch.setattr(sys, "stderr", make())
    assert main(WORDS[status]) == status


def test_a_bare_stream_gets_what_there_is_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    out, error = Bare(), Bare()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", error)
    main(["list"])
    main(["check", "nope"])
    assert "sjogren_rfib" in out.text
    assert "nope" in error.text
    assert "Traceback" not in error.text


@pytest.mark.parametrize(("number", "said"), [(errno.EPIPE, ""), (errno.ENOSPC, "cannot be written")])
def test_an_output_that_ends_is_no_traceback(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader that went away hears nothing more; a full disk is said."""
    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert main(["list"]) == 1
    complained = capsys.readouterr().err
    assert (said in complained) if said else not complained


@pytest.mark.parametrize("stream", [None, closed(), Bare(), Broken(errno.EPIPE)])
@pytest.mark.parametrize("progress", [True, False, None])
def test_a_progress_bar_needs_no_stream(
    stream: Any, progress: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar([1, 2], title="é", progress=progress)) == [1, 2]


def test_output_says_what_it_is() -> None:
    held = Output(io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert held.encoding == "cp1252"
    assert not held.isatty()
    assert Output(Bare()).encoding == "utf-8"
    assert Output(held).stream is held.stream


@pytest.mark.parametrize("encoding", ["idna", "punycode", "undefined"])
def test_what_is_no_code_page_for_text_does_not_swallow_it(encoding: str) -> None:
    """Witness: the bytes themselves, read as UTF-8: idna is for host names, and the stream takes no sentence."""
    held = io.BytesIO()
    stream = Output(io.TextIOWrapper(held, encoding=encoding, newline=""))
    text = "One. Two, and " + 80 * "x" + "\nSjögren: 5 µg.\n"
    for piece in (text, "more"):
        stream.write(piece)
    stream.flush()
    assert stream.lost is None
    assert held.getvalue().decode() == text + "more"


def test_a_stream_that_takes_no_text_is_lost_and_says_so() -> None:
    class Refusing(Bare):
        encoding = "undefined"

        def write(self, text: str) -> int:
            return len(text.encode(self.encoding))

    stream = Output(Refusing())
    stream.write("text")
    assert isinstance(stream.lost, OSError) and "undefined" in str(stream.lost)
