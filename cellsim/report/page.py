"""A report as one HTML page that needs nothing beside it, and the folder in which it and its results stand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path, PurePosixPath
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.errors import CellsimError
from cellsim.files import file_name, write_whole
from cellsim.report.elements import failure, figure, link, paragraphs, table, typeset
from cellsim.report.style import STYLE

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

__all__ = ["ReportFolder", "RowsPage", "copy_case", "page"]


def page(
    title: str,
    label: str,
    sections: Sequence[tuple[str, str, str]],
    *,
    contents: bool = True,
) -> str:
    """The whole page, the mandatory label at its foot.

    Parameters
    ----------
    title, label : str
    sections : sequence of (str, str, str)
        Anchor, name in the contents, HTML.
    contents : bool
        Whether links to the sections stand at its head.
    """
    listed = "".join(f'<li><a href="#{anchor}">{escape(name)}</a></li>' for anchor, name, _ in sections)
    navigation = (
        f'<a class="skip" href="#{sections[0][0]}">Skip the contents</a>'
        f'<nav aria-label="Contents"><ul>{listed}</ul></nav>'
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(typeset(title))}</title><style>{STYLE}</style></head><body>",
            f"{navigation if contents else ''}<main>",
            *(content for _, _, content in sections),
            f'<p class="label screen"><strong>{escape(label)}</strong></p></main></body></html>',
            "",
        ]
    )


T = TypeVar("T")
DPI = 150


@dataclass(frozen=True)
class RowsPage:
    """A table as a page of its own, each row with a place to link to.

    Attributes
    ----------
    file : str
        Relative to the report.
    """

    file: str

    def at(self, row: int) -> str:
        """The place of a row, counted from nought."""
        return f"{self.file}#r{row + 1}"

    def places(self, rows: Sequence[int]) -> list[str]:
        """The same of several."""
        return [self.at(int(each)) for each in rows]


@dataclass
class ReportFolder:
    """Where results are put down as they come.

    Attributes
    ----------
    folder : Path
    failures : dict of str to str
        What could not be done, and why.
    hurried : bool
        Whether a reader waits for the page that is made: folded figures, most of the time that it takes, are left for the next one.
    """

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)
    hurried: bool = False
    _kept: dict[str, tuple[tuple[object, ...], Any]] = field(default_factory=dict, repr=False)
    # steps that are done side by side, and the page beside them, all tell of failures
    _telling: Any = field(default_factory=RLock, repr=False)

    def __reduce__(self) -> tuple[type[ReportFolder], tuple[Path, dict[str, str]]]:
        # to a process that does some of the steps; figures are made by the one that writes the pages
        return ReportFolder, (self.folder, dict(self.failures))

    def once(self, what: str, of: Sequence[object], make: Callable[[], T]) -> T:
        """What was made of these very results before, else made now: parts of a page refer to the same rows, and a page is written twice.

        Parameters
        ----------
        what : str
            A name of its own.
        of : sequence
            All that it depends on: results, which never change, and texts. Nothing is kept where there is none.
        make : callable
        """
        known, found = self._kept.get(what, ((), None))
        alike = (one is other or (isinstance(one, str) and one == other) for one, other in zip(known, of))
        if of and len(known) == len(of) and all(alike):
            return found
        made = make()
        self._kept[what] = (tuple(of), made)
        return made

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do it; when it fails, say so and go on."""
        try:
            done = work()
        except Exception as error:  # whatever a step raises must not take the finished ones with it
            self.tell(what, f"{type(error).__name__}: {error}")
            return None
        if what in self.failures:  # of an earlier page, before its results were there
            self.tell(what, "")
        return done

    def tell(self, what: str, why: str) -> None:
        """Put down why something could not be done; nothing once it could."""
        with self._telling:
            if why:
                self.failures[what] = why
            else:
                self.failures.pop(what, None)
            self.put("failures.json", json.dumps(self.failures, indent=1, ensure_ascii=False))

    def put(self, name: str, content: str | bytes) -> str:
        """Write a file beneath the folder; its name relative to the page."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise CellsimError(f"{name} would be written outside {self.folder}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        return name

    def csv(self, name: str, frame: pd.DataFrame) -> str:
        """A table in full precision, so that it reads back equal."""
        return self.put(name, frame.to_csv(index=False, lineterminator="\n"))

    def rows(self, name: str, frame: pd.DataFrame, title: str, *, draws: Sequence[str] = ()) -> RowsPage:
        """A table in full precision, and beside it a page of its rows that the numbers of the report link to.

        Parameters
        ----------
        name : str
            Of both files, without their endings.
        frame : DataFrame
        title : str
        draws : sequence of str
            Files of the draws from which its numbers are, relative to the report.
        """
        file = self.csv(f"{name}.csv", frame)
        above = "../" * name.count("/")
        links = [link(f"{above}{each}", each) for each in draws if (self.folder / each).is_file()]
        said = f"The same with all digits: {link(above + file, file)}." + (
            f" The draws behind it: {', '.join(links)}." if links else ""
        )
        body = table(frame, caption=title, numbered=True)
        whole = f'<section id="rows"><h1>{escape(typeset(title))}</h1><p>{said}</p>{body}</section>'
        return RowsPage(
            self.put(
                f"{name}.html",
                page(title, title, [("rows", title, whole)], contents=False),
            )
        )

    def draw(
        self,
        name: str,
        caption: str,
        make: Callable[[], Any],
        *,
        alt: str,
        at: str = "",
        folded: bool = False,
        of: Sequence[object] = (),
    ) -> str:
        """A figure beside the page and in it; the failure in its place when it cannot be drawn, or a word where it is left for later.

        Parameters
        ----------
        name, caption : str
        make : callable
        alt : str
        at : str
            Where it leads.
        folded : bool
            Whether it is seen only by who unfolds it.
        of : sequence
            The results that it shows, where it shows nothing else: while they are the same it is not drawn again.
        """
        if folded and self.hurried:
            return paragraphs([f"Not drawn yet: {caption}"])

        def drawn() -> str:
            content = self.once(f"figure {name}", of, lambda: _png(make()))
            file = self.put(f"figures/{name}.png", content)
            return figure(content, caption, alt=alt, file=file, at=at)

        return self.attempt(f"Figure {name}", drawn) or self.said(f"Figure {name}")

    def said(self, what: str) -> str:
        """The failure of a step as it stands on the page; empty when there was none."""
        return failure(what, self.failures[what]) if what in self.failures else ""

    def part(self, what: str, make: Callable[[], str]) -> str:
        """A piece of the page; its failure instead when the numbers behind it cannot be told."""
        return self.attempt(what, make) or self.said(what)


def _png(axes: Any) -> bytes:
    """The figure of some Axes as an image; it is closed."""
    import matplotlib.pyplot as plt

    from cellsim.plots.style import figure_of

    held, made = BytesIO(), figure_of(axes)
    try:
        made.set_dpi(DPI)
        # laid out first: to lay it out, savefig would go through all of it twice
        if (layout := made.get_layout_engine()) is not None:
            layout.execute(made)
            made.set_layout_engine(None)
        made.savefig(held, format="png", dpi=DPI)
    finally:
        plt.close(made)
    return held.getvalue()


def copy_case(case: Case, output: ReportFolder) -> str:
    """Write the case's files, keeping how they lie to each other; the case's folder relative to the report."""
    files = {name: PurePosixPath(name.replace("\\", "/")) for name in case.files}
    above = max((sum(part == ".." for part in path.parts) for path in files.values()), default=0)
    home = PurePosixPath("inputs", *["calibration"] * max(above - 1, 0), file_name(case.name))
    for name, path in files.items():
        if path.is_absolute() or ":" in name:
            continue
        parts = list(home.parts)
        for part in path.parts:
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        output.put(str(PurePosixPath(*parts)), case.files[name])
    return str(home)
