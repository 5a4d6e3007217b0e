"""The computing half of a report: each result is written down the moment it is ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from shlex import join
from typing import TYPE_CHECKING, Any, TypeVar

from cellsim.errors import CellsimError
from cellsim.report_pages import failure, figure
from cellsim.report_plans import Plan, plans_of, plans_table

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case import Case
    from cellsim.fitted import Calibration
    from cellsim.sweeps import Sweep

__all__ = ["Desk", "Job", "copy_case", "file_name"]

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
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return name

    def csv(self, name: str, frame: pd.DataFrame) -> str:
        """A table in full precision, so that it reads back equal."""
        return self.put(name, frame.to_csv(index=False, lineterminator="\n"))

    def draw(self, name: str, caption: str, make: Callable[[], Any], *, alt: str) -> str:
        """A figure beside the page and in it; the failure in its place when it cannot be drawn."""
        import matplotlib.pyplot as plt

        from cellsim.figures_style import figure_of

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


class Job:
    """Everything about one report."""

    def __init__(
        self, case: Case, desk: Desk, starts: int, draws: int, seed: int, variants: tuple[str, ...]
    ) -> None:
        self.case, self.desk = case, desk
        self.starts, self.draws, self.seed, self.variants = starts, draws, seed, variants
        self.fits: dict[str, Calibration] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.plans: tuple[Plan, ...] = plans_of(case)
        self.until = max(
            [visit.latest for visit in case.visits] + [each.end for each in case.schedule.infusions]
        )
        self.home = ""

    def inputs(self) -> None:
        """Copy the case so that the report can be made again from its own folder."""
        self.home = self.desk.attempt("Copy of the case", lambda: copy_case(self.case, self.desk)) or ""
        self.desk.attempt("Audit", lambda: self.desk.put("audit.txt", self.case.audit()))
        if self.plans:
            self.desk.attempt("Plans", lambda: self.desk.csv("tables/plans.csv", plans_table(self.plans)))

    def calibrate(self, name: str, progress: bool | None) -> None:
        """One variant, saved at once."""
        from cellsim.fitting import calibrate

        def work() -> Calibration:
            fit = calibrate(
                self.case, variant=name or None, starts=self.starts, seed=self.seed, progress=progress
            )
            self._folder("calibrations")
            fit.save(self.desk.folder / f"calibrations/{file_name(name)}.json")
            return fit

        fit = self.desk.attempt(f"Calibration of {name or self.case.name}", work)
        if fit is None:
            return
        self.fits[name] = fit
        self._tables(name, {"parameters": fit.table, "rows": fit.rows})

    def ask(self, name: str) -> None:
        """The schedules under one variant, written at once."""
        from cellsim.sweeps import sweep

        if not self.plans:
            return
        schedules = {each.name: each.schedule for each in self.plans}

        def work() -> Sweep:
            return sweep(self.fits[name], schedules, until=self.until, draws=self.draws, seed=self.seed)

        result = self.desk.attempt(f"Schedules under {name}", work)
        if result is None:
            return
        self.sweeps[name] = result
        self._tables(name, {"what_if": result.table, "contrasts": result.contrasts})

    def _tables(self, name: str, tables: Mapping[str, Callable[[], pd.DataFrame]]) -> None:
        for kind, make in tables.items():
            self.desk.attempt(f"Table of {kind} of {name}", partial(self._table, name, kind, make))

    def _table(self, name: str, kind: str, make: Callable[[], pd.DataFrame]) -> str:
        return self.desk.csv(f"tables/{file_name(name)}_{kind}.csv", make())

    def _folder(self, name: str) -> None:
        (self.desk.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def main(self) -> str | None:
        """The variant shown in detail: the case's default, or the best of those that could be calibrated."""
        if self.case.default_variant in self.fits:
            return self.case.default_variant
        return max(self.fits, key=lambda name: self.fits[name].log_evidence, default=None)

    @property
    def command(self) -> str:
        """What makes this report again, from its own folder."""
        words = ["cellsim", "report", self.home or self.case.name, "--out", "again", "--seed", str(self.seed)]
        words += ["--starts", str(self.starts), "--draws", str(self.draws)]
        if self.variants != tuple(each.id for each in self.case.variants) and self.variants != ("",):
            for name in self.variants:
                words += ["--variant", name]
        return join(words)

    def manifest(self, seconds: float) -> None:
        """What was done, for a machine to read."""
        from cellsim.fitted import versions

        content = {
            "case": self.case.name,
            "command": self.command,
            "seed": self.seed,
            "starts": self.starts,
            "draws": self.draws,
            "variants": list(self.variants),
            "shown_in_detail": self.main,
            "until": self.until,
            "versions": dict(versions()),
            "seconds": round(seconds, 1),
            "failures": self.desk.failures,
        }
        self.desk.put("report.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def file_name(variant: str) -> str:
    """A variant's name as part of a file name."""
    return "".join(each if each.isalnum() or each in "-_" else "_" for each in variant) or "fit"


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
