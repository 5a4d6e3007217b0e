"""The library finds its models and cases from a clone, a wheel, and a wheel built from a source archive."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRACKED = ("cellsim", "models", "calibration", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
QUESTION = (
    "import cellsim, cellsim.library as l; from cellsim.case.case import load_case; from cellsim.model.model import load_model;"
    "case = load_case('sjogren_rfib'); model = load_model(case.model);"
    "print(cellsim.__file__, len(model.states), len(case.rows), *l.shipped_models(), *l.shipped_cases())"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that building leaves nothing behind in the clone."""
    copy = tmp_path_factory.mktemp("source")
    for name in TRACKED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif place.exists():
            shutil.copy(place, copy / name)
    return copy


def run(*words: str | Path, **environment: str) -> str:
    """Run a command far from the clone."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd="/",
        env={**inherited, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(place: Path) -> list[str]:
    """What the library under `place` says of itself; -P keeps the current folder out of the path."""
    return run(sys.executable, "-P", "-c", QUESTION, PYTHONPATH=str(place)).split()


def is_complete(said: list[str], place: Path) -> None:
    assert Path(said[0]).is_relative_to(place)
    assert said[1:3] == ["44", "81"]
    assert {"sjogren_rfib", "cytopenia_synthetic", "cytopenia", "persistence", "persistence_cytokine"} <= set(
        said[3:]
    )


def test_a_clone_that_was_never_installed(source: Path) -> None:
    is_complete(answer(source), source)


def test_a_wheel(source: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # with the setuptools at hand; the archive below is built in an environment of its own
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path / "wheels", source)
    (wheel,) = (tmp_path / "wheels").glob("cellsim-*.whl")
    run(*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel)
    is_complete(answer(tmp_path / "site"), tmp_path / "site")


def test_a_wheel_from_a_source_archive(source: Path, tmp_path: Path) -> None:
    build = "from setuptools.build_meta import build_sdist; print(build_sdist(r'{}'))"
    subprocess.run(
        [sys.executable, "-c", build.format(tmp_path)], cwd=source, check=True, capture_output=True
    )
    (archive,) = tmp_path.glob("cellsim-*.tar.gz")
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "site", archive
    )
    is_complete(answer(tmp_path / "site"), tmp_path / "site")
