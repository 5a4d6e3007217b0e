"""Where a report's results are put down as they come, and what is said of those that did not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.errors import CellsimError
from cellsim.files import file_name, write_whole
from cellsim.report.page import failure, figure

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

__all__ = ["Desk", "copy_case"]

T = TypeVar("T")
DPI = 150


@dataclass
class Desk:
    """Where results are put down as they come."""

    folder: Path
    failures: dict[str, str] = field(default_factory=dict)

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do it; when it fails, say so and go on."""
        try:
            return work()
        except Exception as error:  # whatever a step raises must not take the finished ones with it
            self.failures[what] = f"{type(error).__name__}: {error}"
            self.put("failures.json", json.dumps(self.failures, indent=1, ensure_ascii=False))
            return None

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

    def draw(self, name: str, caption: str, make: Callable[[], Any], *, alt: str) -> str:
        """A figure beside the page and in it; the failure in its place when it cannot be drawn."""
        import matplotlib.pyplot as plt

        from cellsim.plots.style import figure_of

        def drawn() -> str:
            held, made = BytesIO(), figure_of(make())
            try:
                made.savefig(held, format="png", dpi=DPI)
            finally:
                plt.close(made)
            self.put(f"figures/{name}.png", held.getvalue())
            return figure(held.getvalue(), caption, alt=alt)

        return self.attempt(f"Figure {name}", drawn) or self.said(f"Figure {name}")

    def said(self, what: str) -> str:
        """The failure of a step as it stands on the page; empty when there was none."""
        return failure(what, self.failures[what]) if what in self.failures else ""

    def part(self, what: str, make: Callable[[], str]) -> str:
        """A piece of the page; its failure instead when the numbers behind it cannot be told."""
        return self.attempt(what, make) or self.said(what)


def copy_case(case: Case, desk: Desk) -> str:
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
        desk.put(str(PurePosixPath(*parts)), case.files[name])
    return str(home)
