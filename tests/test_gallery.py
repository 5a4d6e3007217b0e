"""Fifteen questions, each answered by a script that is short enough to be copied; the build of the site runs them all."""

import ast
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCRIPTS = sorted((DOCS / "gallery").glob("plot_*.py"))
LONGEST, WIDEST = 25, 110


def code_of(path: Path) -> list[str]:
    """Lines of code: no header, no comments, nothing empty."""
    text = path.read_text(encoding="utf-8")
    head = ast.parse(text).body[0]
    lines = text.splitlines()[head.end_lineno :]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_every_question_has_one_script() -> None:
    titles = [ast.get_docstring(ast.parse(each.read_text(encoding="utf-8"))) or "" for each in SCRIPTS]
    heads = [each.splitlines()[0] for each in titles]
    assert [int(each.split(".")[0]) for each in heads] == list(range(1, 16))
    assert all(each.endswith("?") for each in heads)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_can_be_copied(path: Path) -> None:
    code = code_of(path)
    assert len(code) <= LONGEST, f"{path.name} has {len(code)} lines of code"
    assert max(map(len, code)) <= WIDEST
    assert "import cellsim as cs" in code


def test_scripts_read_what_the_build_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder and mechanism that a script names is in the quick form of the report."""
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.delitem(sys.modules, "quick_report", raising=False)
    import quick_report

    made = {"calibrations": set(quick_report.FITTED), "posteriors": set(quick_report.DRAWN)}
    for path in SCRIPTS:
        text = "\n".join(code_of(path))
        named = {each for kinds in made.values() for each in kinds if f'"{each}"' in text}
        for folder, name in re.findall(r"report/(\w+)/(\w+|\{name\})\.(?:nc|json)", text):
            assert (named if name == "{name}" else {name}) <= made[folder], path.name
