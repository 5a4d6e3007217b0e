"""Machine code kept in files: it is what was compiled, it is never run when damaged, and the folder does not grow for ever."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cellsim.compiler import kept_code, llvm
from cellsim.compiler.llvm import Code, CompiledKernels, assemble


def series(terms: int) -> list[str]:
    """A function that adds 1 + 1/4 + 1/9 + ... to w[0] and writes it to w[8]."""
    code = Code()
    value = code.load("%w", 0)
    for k in range(1, terms + 1):
        value = code.two("fadd", value, code.const(1 / k**2))
    code.store(value, "%w", 8)
    return [code.function("apply")]


def applied(text: list[str]) -> float:
    made = assemble(text, ())
    w = llvm.aligned(16)
    w[0] = 2.0
    CompiledKernels(llvm.Layout(), 1, made.address, 0, made.engines).call("apply", w)
    return float(w[8])


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(kept_code.CACHE, str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_what_is_kept_is_what_was_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the sum by NumPy, in the same order; the second time nothing is compiled."""
    expected = 2.0 + np.cumsum(1 / np.arange(1.0, 2501) ** 2)[-1]
    assert applied(series(2500)) == pytest.approx(expected, rel=1e-14)

    def never(*_: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(llvm, "_translated", never)
    assert applied(series(2500)) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(AssertionError, match="compiled again"):
        applied(series(2501))


def test_what_is_compiled_in_no_time_is_not_kept(folder: Path) -> None:
    assert applied(series(3)) == pytest.approx(2 + 1 + 1 / 4 + 1 / 9, rel=1e-15)
    assert not folder.exists()


@pytest.mark.parametrize("harm", [b"", b"short", None])
def test_damaged_code_is_made_again(folder: Path, harm: bytes | None) -> None:
    first = applied(series(2500))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if harm is None else harm)
    assert applied(series(2500)) == first
    assert file.read_bytes() == whole


def test_the_longest_unused_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three files of a hundred bytes and more, two fit; the one that was read last stays."""
    monkeypatch.setattr(kept_code, "_MOST", 400)
    for k, name in enumerate("ab"):
        kept_code.kept(name, lambda name=name: name.encode() * 100, [tmp_path])
        os.utime(tmp_path / f"{name}.o", (1000 + k, 1000 + k))
    kept_code.kept("a", lambda: b"not asked", [tmp_path])
    kept_code.kept("c", lambda: b"c" * 100, [tmp_path])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.o", "c.o"]


def test_where_nothing_can_be_written_it_still_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert kept_code.kept("a", lambda: b"code", [tmp_path / "file", tmp_path / "other"]) == b"code"
    assert kept_code.kept("a", lambda: b"again", [tmp_path / "file", tmp_path / "other"]) == b"code"
    assert kept_code.kept("a", lambda: b"again", [tmp_path / "file"]) == b"again"
