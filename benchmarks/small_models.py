"""Models of public PEtab problems, in cellsim and libRoadRunner: one simulation, a batch, slopes; an error beside every time.

Each problem's model at its nominal values, read at the days of its measurements. An error is the largest of any state, relative to the
largest value of that state; the reference is ours at a tolerance of 1e-12, which libRoadRunner's at its tightest confirms.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
LADDER = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
_MODEL = re.compile(r"[\w./-]+\.(?:xml|sbml)")


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
        Those of them that are to be estimated; all, where only other parameters of the problem are.
    """

    name: str
    sbml: Path
    times: Array
    values: dict[str, float]
    estimated: tuple[str, ...]

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
        return roadrunner.RoadRunner(str(self.sbml))

    def theirs(self, rtol: float, values: dict[str, float] | None = None) -> Array:
        engine = self.engine
        engine.resetToOrigin()
        for name, value in (self.values if values is None else values).items():
            engine.setValue(name, value)
        if list(engine.timeCourseSelections) != self.selections:
            engine.timeCourseSelections = self.selections
        engine.integrator.relative_tolerance = rtol
        engine.integrator.absolute_tolerance = rtol * 1e-4
        engine.integrator.maximum_num_steps = 100_000
        return np.array(engine.simulate(times=self.sampled))[self.sampled_at]

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

    def differences(self, rtol: float) -> Array:
        """Central differences through libRoadRunner."""
        columns = []
        for name in self.estimated:
            h = max(rtol, 1e-12) ** (1 / 3) * (abs(self.values[name]) or 1.0)
            up, down = (self.theirs(rtol, self.values | {name: self.values[name] + k * h}) for k in (1, -1))
            columns.append((up - down) / (2 * h))
        return np.stack(columns, axis=2)


def small_model(path: Path) -> SmallModel:
    """The model of a PEtab problem."""
    problem = load_problem(path)
    sbml = path.parent / _MODEL.findall(path.read_text(encoding="utf-8"))[0]
    times = np.array(sorted({float(t) for t in problem.simulate()["time"] if np.isfinite(float(t))}))
    model = cs.load_model(sbml)
    changed = {each.name for each in model.parameters}
    rows = [row for row in problem.tables.parameters if row.id in changed]
    return SmallModel(
        path.parent.name,
        sbml,
        times,
        {each.name: each.value for each in model.parameters} | {row.id: float(row.nominal) for row in rows},
        tuple(row.id for row in rows if row.estimate) or tuple(each.name for each in model.parameters),
    )


def shortest(
    run: Callable[[float], Array], reference: Array, wanted: float = WANTED
) -> tuple[float, float, float]:
    """The loosest tolerance with the accuracy wanted: it, the error, milliseconds."""
    size = np.abs(reference).max(axis=0, keepdims=True)
    for rtol in LADDER:
        try:
            error = float((np.abs(run(rtol) - reference) / np.where(size > 0, size, 1.0)).max())
        except RuntimeError:  # libRoadRunner's word for a run it did not finish
            continue
        if error <= wanted:
            return rtol, error, best(lambda rtol=rtol: run(rtol), seconds=0.1)  # type: ignore[misc]
    return float("nan"), float("nan"), float("nan")


def measured(this: SmallModel) -> list[str]:
    """A row of the table."""
    reference = this.ours(1e-12)
    mine, other = shortest(this.ours, reference), shortest(this.theirs, reference)
    sets = this.p * np.exp(0.05 * np.random.default_rng(3).standard_normal((BATCH, this.p.size)))
    each = best(lambda: this.batch(mine[0], sets), seconds=0.1) / BATCH
    slopes = this.slopes(1e-11)
    graded, differed = shortest(this.slopes, slopes, 1e-3), shortest(this.differences, slopes, 1e-3)
    return [
        this.name,
        *(f"{took:.3f} ({error:.0e})" for _, error, took in (mine, other)),
        f"{mine[2] / other[2]:.2f}",
        f"{each:.4f}",
        f"{other[2] / each:.0f}",
        str(len(this.estimated)),
        *(f"{took:.3f} ({error:.0e})" for _, error, took in (graded, differed)),
        f"{differed[2] / graded[2]:.0f}",
    ]


HEADS = (
    "problem", "cs.simulate ms (error)", "libRoadRunner ms (error)", "times as long", "batch ms each", "times as fast",
    "parameters", "slopes ms (error)", "differences, libRoadRunner, ms (error)", "times as fast ",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Print the table for all problems in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks small")
    parser.add_argument("--problems", required=True, type=Path, help="folder with PEtab problems in folders")
    folder = parser.parse_args(arguments).problems
    found = [path for path in sorted(folder.glob("*/*.yaml")) if not path.name.endswith("_solution.yaml")]
    if not found:
        print(f"No problems in {folder}.")
        return 2
    print(table(HEADS, [measured(small_model(path)) for path in found]))
    return 0
