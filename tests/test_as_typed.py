"""Names as people write them: shown as typed in figures, pages, tables and words."""

import csv
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.dosing.schedule import Schedule
from cellsim.plots.style import as_typed, dress, figure_of, legend, panels
from cellsim.predictions.measures import Area, Value
from cellsim.report.report import write_report
from cellsim.report.steps import LONG, Job

NAMES = [
    r"TGF ($\frac$ of baseline)", r"\alpha_1 & \$x^2$ 100 %", "<script>alert(1)</script> {µ}", "_hidden",
    "עברית\n$line$", "long " * 40,
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    """Glyphs that no font of the machine has are drawn as boxes and said; that is not what is tested."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph|constrained_layout", category=UserWarning)
        yield
    plt.close("all")


@as_typed
def board(name: str, ax: Any = None) -> Any:
    """A name in every place where a plot writes one."""
    axes = panels(1, ax, columns=1)
    dress(axes[0], title=name, x=name, y=name)
    (line,) = axes[0].plot([1.0, 1e4], [0.0, 1.0], label=name)
    axes[0].set_xscale("log")
    axes[0].set_yticks([0.0, 1.0], [name, "other"])
    axes[0].text(10.0, 0.5, name)
    axes[0].annotate(name, (10.0, 0.1))
    legend(axes, [line], own=ax is None)
    return axes


def shown(figure: Any) -> str:
    """What a renderer is given to draw as plain words: matplotlib's own account."""
    out = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none"}):
        figure.savefig(out, format="svg")
    return re.sub("<!--.*?-->", "", out.getvalue(), flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_a_name_as_typed(name: str) -> None:
    """Witness: the words in the SVG that matplotlib writes, letter by letter; seven places, no mathematics."""
    figure = board(name).figure
    text = shown(figure)
    first = name.strip().splitlines()[0]
    assert text.count(escape(first, quote=False)) >= 6
    assert all(not each.get_parse_math() for each in figure.findobj(Text) if name and each.get_text() == name)
    # matplotlib's own numbers at the logarithmic axis stay powers of ten
    assert "mathdefault" not in text
    assert "<tspan" in text


def test_text_of_the_callers_own_keeps_its_mathematics() -> None:
    _, axes = plt.subplots(2)
    own = axes[1].set_title(r"$\alpha^2$")
    board("$x$", ax=axes[0])
    assert own.get_parse_math()
    assert not axes[0].title.get_parse_math()


ALL = r"TGF ($\frac$ of a_b^c) 5 % <script>alert(1)</script> & µ"


def named(name: str) -> cs.Case:
    """A patient whose analyte, panel, parameters and source are named so."""
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x", 0.2)},
        [("y", 1.0, 6.0), ("y", 2.0, 3.7)],
        {"k": ("log-normal", 0.0, 1.0), "A": ("log-normal", 0.0, 1.0)},
        name=f"'{name}'",
    )
    files = dict(case.files)
    files["observables.tsv"] = added(files["observables.tsv"], observableName=name, panel=name)
    files["parameters.tsv"] = added(files["parameters.tsv"], meaning=name, group=name)
    return cs.load_case(files)


def added(table: str, **columns: str) -> str:
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [*rows[0], *(each for each in columns if each not in rows[0])], delimiter="\t"
    )
    writer.writeheader()
    writer.writerows({**row, **columns} for row in rows)
    return out.getvalue()


def test_figures_tables_and_the_page_of_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: csv's own reader finds the name in tables; the page holds it escaped and never raw."""
    case, steps = named(ALL), Job.steps
    monkeypatch.setattr("cellsim.report.page.DPI", 40)
    # of two pages the last one, which has all that the first one has
    monkeypatch.setattr(Job, "steps", lambda job: [replace(each, page=False) for each in steps(job)])
    made = write_report(case, tmp_path / "a report", starts=1, draws=8, effective=40, without=LONG)
    fit = made.fits[""]
    result = cs.sweep(
        fit, {ALL: Schedule(), f"{ALL}!": Schedule()}, until=3, measures=[Area("x"), Value()], draws=8
    )
    for drawn in (
        plots.residuals(fit),
        plots.sweep(result, "y"),
        plots.parameters(fit),
        plots.fit(fit, draws=5),
    ):
        assert escape(ALL, quote=False) in shown(figure_of(drawn))
    held = io.StringIO(result.table().to_csv(index=False, lineterminator="\n"), newline="")
    assert {row["schedule"] for row in csv.DictReader(held)} == {ALL, f"{ALL}!"}
    page = made.index.read_text(encoding="utf-8")
    for text in (page, fit._repr_html_()):
        assert "<script>" not in text
        assert escape(ALL) in text
    assert not [each for each in made.failures.values() if not each.startswith("CellsimError")]
    assert ALL in fit.report()
