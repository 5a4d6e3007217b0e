"""The step loop's machine code is made once, kept whole, and made anew when what is kept cannot be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellsim.solver import step_loop_cache as step_code


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """Stands in for the compiler: every object code that was asked of it."""
    asked: list[bytes] = []

    def compiled() -> bytes:
        asked.append(b"code %d" % len(asked))
        return asked[-1]

    monkeypatch.setattr(step_code, "_compiled", compiled)
    monkeypatch.setenv(step_code.CACHE, str(tmp_path / "kept"))
    return asked


def test_compiled_once_and_read_afterwards(made: list[bytes]) -> None:
    assert [step_code._object() for _ in range(3)] == [b"code 0"] * 3
    assert made == [b"code 0"]


@pytest.mark.parametrize("harm", [b"", b"short", None])
def test_a_damaged_file_is_never_run(made: list[bytes], tmp_path: Path, harm: bytes | None) -> None:
    step_code._object()
    (kept,) = (tmp_path / "kept").iterdir()
    whole = kept.read_bytes()
    # one letter of the code itself, or what an interrupted copy leaves
    kept.write_bytes(whole[:-1] + b"!" if harm is None else harm)
    assert step_code._object() == b"code 1"
    assert step_code._object() == b"code 1"


def test_another_compiler_makes_its_own(made: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    step_code._object()
    monkeypatch.setattr(step_code, "version", lambda guest: "0.0")
    assert step_code._object() == b"code 1"


def test_where_nothing_can_be_written_it_still_runs(
    made: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(step_code.CACHE, str(tmp_path / "file"))
    assert [step_code._object(), step_code._object()] == [b"code 0", b"code 1"]
