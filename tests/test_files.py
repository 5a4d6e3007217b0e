"""Files are whole or not there, and their names are taken by every system; nothing needs one system's own modules."""

import ast
import errno
import os
import string
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellsim.files
from cellsim.errors import CellsimError
from cellsim.files import file_name, replaced, write_whole
from cellsim.posterior.calibration import Calibration

PACKAGE = Path(cellsim.files.__file__).parent
# what one system has and another has not
ONE_SYSTEM = {
    "fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "posix", "syslog", "curses", "readline",
    "msvcrt", "winreg", "_winapi", "winsound",
}  # fmt: skip
ONE_SYSTEM_CALLS = {"fork", "forkpty", "getuid", "geteuid", "sched_getaffinity", "uname", "mkfifo", "killpg"}
LETTERS = set(string.ascii_letters + string.digits + "-_")


@settings(max_examples=100)
@given(st.lists(st.text(max_size=300), min_size=2, max_size=4, unique=True))
def test_a_file_name_is_legal_everywhere_and_tells_names_apart(names: list[str]) -> None:
    made = [file_name(each) for each in names]
    assert len(set(made)) == len(made)
    for each in made:
        assert 0 < len(each) < 100
        assert set(each) <= LETTERS


@pytest.mark.parametrize("name", ["con", "AUX", "nul", "com1", "lpt9", "prn"])
def test_names_of_devices_are_changed(name: str) -> None:
    """Witness: Microsoft's list of names that no file may have, with any ending."""
    assert file_name(name) != name
    assert file_name(name).startswith(f"{name}-")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "a table, é 表.csv"
    write_whole(place, "ü\n")
    assert place.read_bytes() == b"\xc3\xbc\n"
    with pytest.raises(ZeroDivisionError), replaced(place) as half:
        half.write_text("half of it", encoding="utf-8")
        raise ZeroDivisionError
    with pytest.raises(UnicodeEncodeError):
        write_whole(place, "\ud800")
    assert place.read_bytes() == b"\xc3\xbc\n"
    assert list(tmp_path.iterdir()) == [place]


def test_a_name_as_long_as_one_can_be(tmp_path: Path) -> None:
    place = tmp_path / ("n" * 251 + ".csv")
    write_whole(place, "x")
    assert place.read_text(encoding="utf-8") == "x"


def test_a_place_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    """Witness: the folder, which holds afterwards what it held."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for place, said in (
        (tmp_path, "is a folder; name a file in it"),
        (f"{tmp_path}/", "is a folder"),
        (tmp_path / "no" / "such" / "f.json", "such does not exist; make it first"),
        (tmp_path / "file" / "f.json", "file is a file, not a folder"),
        (tmp_path / ("n" * 400), "cannot be written"),
        ("", "is not the name of a file"),
        ("a\0b", "is not the name of a file"),
        (None, "not by None"),
    ):
        with pytest.raises(CellsimError, match=said):
            write_whole(place, "x")  # type: ignore[arg-type]
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_is_told_with_the_name_that_was_asked_for(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", ".cellsim-1-2.csv")
    said = r"f\.csv cannot be written: No space left"
    with pytest.raises(CellsimError, match=said) as error, replaced(tmp_path / "f.csv") as place:
        place.write_text("half", encoding="utf-8")
        raise full
    assert ".cellsim" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_calibration_is_not_saved_as_a_folder(tmp_path: Path) -> None:
    """Only where it is written matters here; what is written is a stand-in."""
    for place, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "f.json", "does not exist")):
        with pytest.raises(CellsimError, match=said):
            Calibration.save(SimpleNamespace(content=dict), place)  # type: ignore[arg-type]


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="no device of that kind here")
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """`--out /dev/null` must not put a file in its place."""
    link = tmp_path / "nothing"
    link.symlink_to(os.devnull)
    for place in (os.devnull, link):
        write_whole(place, "x")
        assert Path(place).is_char_device()


def test_a_file_held_open_elsewhere_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows refuses it; the message says where the content is."""

    def refused(self: Path, target: Path) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(CellsimError, match="open in another program") as error:
        write_whole(tmp_path / "x.csv", "kept")
    (kept,) = tmp_path.iterdir()
    assert str(kept) in str(error.value)
    assert "x.csv cannot be replaced" in str(error.value)
    assert kept.read_text(encoding="utf-8") == "kept"


def _suppresses_import_errors(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and any(
        isinstance(call := each.context_expr, ast.Call)
        and getattr(call.func, "id", "") == "suppress"
        and any(getattr(given, "id", "") == "ImportError" for given in call.args)
        for each in node.items
    )


def test_no_module_needs_one_system() -> None:
    """Imports, calls and places that only one system has; read from the source, deferred imports included."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # under `with suppress(ImportError)` a system without the module does without what it is for
        spared = {
            id(inner)
            for each in ast.walk(tree)
            if _suppresses_import_errors(each)
            for inner in ast.walk(each)
        }
        for node in ast.walk(tree):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            calls = {node.attr} if isinstance(node, ast.Attribute) else set()
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if (
                (names & ONE_SYSTEM and id(node) not in spared)
                or (calls & ONE_SYSTEM_CALLS)
                or text.startswith(("/tmp", "/dev/"))
            ):
                found.append((path.name, node.lineno))
    assert not found


def test_everything_imports_where_those_modules_are_absent() -> None:
    """Witness: Python itself, with imports of ours that ask for them refused, as on another system."""
    code = f"""
import builtins, sys
absent, real = {sorted(ONE_SYSTEM)!r}, builtins.__import__
def refused(name, globals=None, *rest):
    if name in absent and (globals or {{}}).get("__name__", "").startswith("cellsim"):
        raise ModuleNotFoundError(name)
    return real(name, globals, *rest)
builtins.__import__ = refused
import signal
for name in ("SIGHUP", "SIGKILL", "SIGQUIT"):
    if hasattr(signal, name): delattr(signal, name)
import cellsim.cli.commands, cellsim.interrupts, cellsim.files, cellsim.streams, cellsim.threads
import cellsim.report.report, cellsim.posterior.fitting, cellsim.solver.step_loop_cache
sys.exit(cellsim.cli.commands.main(["list"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sjogren_rfib" in done.stdout


def test_no_hypothesis_test_depends_on_the_machine_s_speed() -> None:
    assert settings.default.deadline is None
