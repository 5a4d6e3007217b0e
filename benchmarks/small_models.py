"""Models of public PEtab problems, in cellsim and libRoadRunner: one simulation, a batch, slopes; an error beside every time.

Each problem's model at its nominal values, read at the days of its measurements. An error is the largest of any state, relative to the
largest value of that state; the reference is ours at a tolerance of 1e-12, which libRoadRunner's at its tightest confirms. Slopes are
derivatives by the logarithm of each estimated parameter, their errors relative to the largest of that state. Each tool runs at the loosest
tolerance that gives the accuracy wanted; differences through libRoadRunner are forward or central, of the step that serves best.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import cellsim as cs
from benchmarks.clock import best, table
from benchmarks.problem import Array
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.estimation.problem import load_problem
from cellsim.solver.integration import integrate

__all__ = ["SmallModel", "main"]

WANTED = 1e-5
BATCH = 256
LADDER = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7, 3e-8, 1e-8, 1e-9, 1e-10)
DIFFERENCED = tuple(10.0**-k for k in range(5, 14))
STEPS = tuple(10.0 ** (-k / 2) for k in range(2, 15))
_MODEL = re.compile(r"[\w./-]+\.(?:xml|sbml)")
_COMPARTMENT = re.compile(r"<compartment [^>]*\bid=\"(\w+)\"")


@dataclass(frozen=True, eq=False)
class SmallModel:
    """One problem's model in both tools.

    Parameters
    ----------
    name : str
    sbml : Path
    times : array
    values : dict of str to float
        Nominal values of the parameters that the model has, and its own of others.
    estimated : tuple of str
        Those of them that are to be estimated; all but sizes of compartments, where only other parameters of the problem are.
    """

    name: str
    sbml: Path
    times: Array
    values: dict[str, float]
    estimated: tuple[str, ...]
    told: dict[str, float] = field(default_factory=dict)  # what libRoadRunner has been told

    @cached_property
    def model(self) -> Any:
        return cs.load_model(self.sbml)

    @cached_property
    def kernels(self) -> Any:
        return compile_equations(equations_of(self.model, self.states))

    @cached_property
    def states(self) -> list[str]:
        """What both tools print: floating species."""
        return [each for each in self.engine.model.getFloatingSpeciesIds() if each in self.model]

    def ours(self, rtol: float) -> Array:
        seen = cs.simulate(
            self.model, cs.Schedule(), self.times, values=self.values, outputs=self.states, rtol=rtol
        )
        return seen.y

    @cached_property
    def p(self) -> Array:
        return np.array([self.values[each.name] for each in self.model.parameters])

    def batch(self, rtol: float, sets: Array) -> Array:
        return integrate(self.kernels, sets, times=self.times, rtol=rtol, keep_states=False).outputs

    def slopes(self, rtol: float) -> Array:
        """Of every state by every estimated parameter, shape (n_times, n_states, n_estimated)."""
        found = integrate(
            self.kernels, self.p, times=self.times, rtol=rtol, keep_states=False, directions=self.estimated
        )
        assert found.sensitivities is not None
        return found.sensitivities[0]

    @cached_property
    def engine(self) -> Any:
        import roadrunner

        roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
        engine = roadrunner.RoadRunner(str(self.sbml))
        engine.integrator.maximum_num_steps = 100_000
        return engine

    @cached_property
    def setters(self) -> list[tuple[Callable[..., Any], list[int], list[str]]]:
        """How libRoadRunner takes values fastest: all parameters in one call, and all volumes in another."""
        inner, found = self.engine.model, []
        for ids, setter in (
            (inner.getGlobalParameterIds(), inner.setGlobalParameterValues),
            (inner.getCompartmentIds(), inner.setCompartmentVolumes),
        ):
            names = [name for name in self.values if name in ids]
            if names:
                found.append((setter, [list(ids).index(name) for name in names], names))
        return found

    def theirs(self, rtol: float, values: dict[str, float] | None = None) -> Array:
        """One simulation by libRoadRunner, with new values of all parameters."""
        engine, values = self.engine, self.values if values is None else values
        for setter, places, names in self.setters:
            setter(places, [values[name] for name in names])
        engine.reset()  # initial assignments are asked again, with the values just set
        if self.told.get("rtol") != rtol:  # telling it takes as long as a step
            engine.timeCourseSelections = self.selections
            engine.integrator.relative_tolerance = rtol
            engine.integrator.absolute_tolerance = rtol * 1e-4
            self.told["rtol"] = rtol
        return np.asarray(engine.simulate(times=self.sampled))[self.sampled_at]

    @cached_property
    def selections(self) -> list[str]:
        """The same as libRoadRunner calls them: amounts by their names, concentrations in brackets."""
        species = re.findall(r"<species [^>]*>", self.sbml.read_text(encoding="utf-8"))
        amounts = {
            str(re.search(r' id="(\w+)"', each)[1])  # type: ignore[index]
            for each in species
            if 'hasOnlySubstanceUnits="true"' in each
        }
        return [name if name in amounts else f"[{name}]" for name in self.states]

    @cached_property
    def sampled(self) -> list[float]:
        """Days for libRoadRunner, which begins where its list begins."""
        return [0.0, *(t for t in self.times.tolist() if t > 0)]

    @cached_property
    def sampled_at(self) -> list[int]:
        return [self.sampled.index(t) for t in self.times.tolist()]

    def differences(self, rtol: float, share: float, central: bool) -> Array:
        """Derivatives by differences through libRoadRunner, each parameter moved by a share of its value."""
        columns, middle = [], None if central else self.theirs(rtol)
        for name in self.estimated:
            h = share * (abs(self.values[name]) or 1.0)
            up = self.theirs(rtol, self.values | {name: self.values[name] + h})
            down = self.theirs(rtol, self.values | {name: self.values[name] - h}) if central else middle
            columns.append((up - down) / (2 * h if central else h))
        return np.stack(columns, axis=2)

    def by_shares(self, slopes: Array) -> Array:
        """Derivatives by the logarithm of each parameter: how much a share of it moves."""
        return np.asarray(slopes * [abs(self.values[name]) or 1.0 for name in self.estimated])


def small_model(path: Path) -> SmallModel:
    """The model of a PEtab problem."""
    problem = load_problem(path)
    sbml = path.parent / _MODEL.findall(path.read_text(encoding="utf-8"))[0]
    times = np.array(sorted({float(t) for t in problem.simulate()["time"] if np.isfinite(float(t))}))
    model = cs.load_model(sbml)
    changed = {each.name for each in model.parameters}
    rows = [row for row in problem.tables.parameters if row.id in changed]
    sizes = _COMPARTMENT.findall(sbml.read_text(encoding="utf-8"))
    return SmallModel(
        path.parent.name,
        sbml,
        times,
        {each.name: each.value for each in model.parameters} | {row.id: float(row.nominal) for row in rows},
        tuple(row.id for row in rows if row.estimate)
        or tuple(each.name for each in model.parameters if each.name not in sizes),
    )


Found = tuple[str, float, float]
"""How it was done, its error, milliseconds."""


def error_of(found: Array, reference: Array) -> float:
    """Largest error of any state, relative to the largest value of that state."""
    axes = (0, 2) if reference.ndim == 3 else 0
    size = np.abs(reference).max(axis=axes, keepdims=True)
    return float((np.abs(found - reference) / np.where(size > 0, size, 1.0)).max())


def loosest(run: Callable[[float], Array], reference: Array, wanted: float = WANTED) -> Found:
    """The loosest tolerance with the accuracy wanted, and the shortest time."""
    for rtol in LADDER:
        try:
            error = error_of(run(rtol), reference)
        except RuntimeError:  # libRoadRunner's word for a run it did not finish
            continue
        if error <= wanted:
            return f"{rtol:.0e}", error, best(lambda rtol=rtol: run(rtol), seconds=0.1)  # type: ignore[misc]
    return "", float("nan"), float("nan")


def best_differences(this: SmallModel, slopes: Array, wanted: float = WANTED) -> Found:
    """The quickest differences with the accuracy wanted: forward or central, of all tolerances and steps."""
    reference, found = this.by_shares(slopes), []
    for rtol in DIFFERENCED:
        for central in (False, True):
            for share in STEPS:
                try:
                    error = error_of(this.by_shares(this.differences(rtol, share, central)), reference)
                except RuntimeError:
                    continue
                if error <= wanted:
                    found.append((central, -rtol, share, error))
    tried: list[Found] = []
    for kind in (False, True):  # of one kind the loosest tolerance is the quickest
        for central, rtol, share, error in sorted(each for each in found if each[0] == kind)[:1]:
            took = best(lambda: this.differences(-rtol, share, central), seconds=0.1)  # noqa: B023
            tried.append((f"{'central' if central else 'forward'} {share:.0e}, {-rtol:.0e}", error, took))
    return min(tried, key=lambda each: each[2], default=("", float("nan"), float("nan")))


def measured(this: SmallModel) -> list[str]:
    """A row of the table."""
    reference = this.ours(1e-12)
    mine, other = loosest(this.ours, reference), loosest(this.theirs, reference)
    sets = this.p * np.exp(0.05 * np.random.default_rng(3).standard_normal((BATCH, this.p.size)))
    each = best(lambda: this.batch(float(mine[0]), sets), seconds=0.1) / BATCH
    slopes = this.slopes(1e-12)
    graded = loosest(lambda rtol: this.by_shares(this.slopes(rtol)), this.by_shares(slopes))
    took = best(lambda: this.slopes(float(graded[0])), seconds=0.1)
    differed = best_differences(this, slopes)
    return [
        this.name,
        *(f"{each[2]:.3f} ({each[0]}: {each[1]:.0e})" for each in (mine, other)),
        f"{mine[2] / other[2]:.2f}",
        f"{each:.4f}",
        f"{other[2] / each:.0f}",
        str(len(this.estimated)),
        f"{took:.3f} ({graded[0]}: {graded[1]:.0e})",
        f"{differed[2]:.3f} ({differed[0]}: {differed[1]:.0e})",
        f"{differed[2] / took:.0f}",
    ]


EXPLAINED = (
    "Each at the loosest tolerance with an error of at most 1e-5 of the largest value; slopes by the logarithm of every parameter\n"
    "that is estimated. Differences are the quickest of all that are as right."
)
HEADS = (
    "problem", "cs.simulate ms (rtol: error)", "libRoadRunner ms (rtol: error)", "times as long", "batch ms each", "times as fast",
    "parameters", "slopes ms (rtol: error)", "differences, libRoadRunner, ms (step, rtol: error)", "times as fast ",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the table for all problems in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks small")
    parser.add_argument("--problems", required=True, type=Path, help="folder with PEtab problems in folders")
    parser.add_argument("--write", action="store_true", help="into the page of results too")
    asked = parser.parse_args(arguments)
    folder = asked.problems
    found = [path for path in sorted(folder.glob("*/*.yaml")) if not path.name.endswith("_solution.yaml")]
    if not found:
        print(f"No problems in {folder}.")
        return 2
    rows = table(HEADS, [measured(small_model(path)) for path in found])
    print(rows)
    if asked.write:
        from benchmarks.__main__ import PAGE, machine, updated

        told = f"{date.today()}: {machine()}.\n\n{EXPLAINED}\n\n{rows}"
        PAGE.write_text(updated(PAGE.read_text(), {"Small public models": told}))
    return 0
