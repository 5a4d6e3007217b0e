"""Folders stand above one another: a folder imports only from those before it, and no modules go in circles."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cellsim"
# folders of one level do not know one another; the first level is the ground: modules of no folder
LEVELS = (
    ("",),
    ("foreign",),
    ("model",),
    ("dosing", "compiler"),
    ("petab", "solver", "spreadsheets"),
    ("case",),
    ("likelihood",),
    ("posterior",),
    ("estimation",),
    ("predictions",),
    ("sweeps",),
    ("identifiability",),
    ("comparison",),
    ("design",),
    ("plots",),
    ("explorer",),
    ("report",),
    ("cli",),
)
LEVEL_OF = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}
CROWD = 18
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def _folder(module: str) -> str:
    return module.split(".", maxsplit=1)[0] if (PACKAGE / module.split(".", maxsplit=1)[0]).is_dir() else ""


def _imports(path: Path, *, types: bool) -> set[str]:
    """Modules of ours that `path` imports, wherever in the file: at its top, in a function, and for types if asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_for_types and not types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cellsim":
            inside = (node.module or "").split(".")[1:]
            for alias in node.names:
                whole = PACKAGE.joinpath(*inside, alias.name)
                is_module = whole.with_suffix(".py").exists() or whole.is_dir()
                found.add(".".join([*inside, alias.name] if is_module else inside))
        elif isinstance(node, ast.Import):
            found |= {alias.name[8:] for alias in node.names if alias.name.startswith("cellsim.")}
    return found - {""}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_folder_imports_only_from_those_before_it(path: Path) -> None:
    own = _folder(_name(path))
    others = {(other, _folder(other)) for other in _imports(path, types=True)}
    above = {other for other, folder in others if folder != own and LEVEL_OF[folder] >= LEVEL_OF[own]}
    assert not above


def test_modules_never_go_in_a_circle() -> None:
    graph = {_name(path): _imports(path, types=False) for path in SOURCES}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_every_folder_stands_on_a_level_and_has_a_door() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert folders == set(LEVEL_OF) - {""}
    assert all((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8").strip() for folder in folders)


def test_no_folder_is_a_crowd() -> None:
    crowds = {
        folder: len(
            [path for path in SOURCES if _folder(_name(path)) == folder and path.name != "__init__.py"]
        )
        for folder in LEVEL_OF
    }
    assert {folder: size for folder, size in crowds.items() if size > CROWD} == {}


def test_importing_cellsim_loads_no_slow_guest() -> None:
    guests = (
        "numpy",
        "scipy",
        "pandas",
        "sympy",
        "numba",
        "llvmlite",
        "libsbml",
        "antimony",
        "lmfit",
        "matplotlib",
        "petab",
    )
    doors = ["cellsim", *(f"cellsim.{folder}" for folder in LEVEL_OF if folder)]
    check = f"import sys, {', '.join(doors)}; print([g for g in {guests!r} if g in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_calibration_loads_no_guest_it_does_not_ask() -> None:
    """lmfit brings pandas and matplotlib with it, and scipy.stats takes as long as a calibration of a small case."""
    guests = ("lmfit", "pandas", "matplotlib", "scipy.stats", "arviz", "nutpie")
    check = f"""
import sys
import cellsim as cs
from small_cases import decay
fit = cs.calibrate(decay([1.0, 0.6], [0.0, 1.0]), starts=2)
print([guest for guest in {guests!r} if guest in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", check],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert run.stdout.strip() == "[]"
