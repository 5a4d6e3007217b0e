"""NIST's certified nonlinear regressions, solved by :func:`cellsim.calibrate` as any case is.

A problem becomes a patient: its predictor is the day, its response an observable, every certified starting point the
prior medians, where the first start of a calibration begins. The witnesses are NIST's eleven digits of every parameter
and of every standard deviation (``tests/nist/README.md``).

NIST knows no priors. Ours are normal around the start with a standard deviation of 1e8 times its size: what they do to
an estimate is, relatively, the square of (standard error / prior sd), below 1e-15. The noise is NIST's residual standard
deviation, so that J'J of the data rows at the optimum is NIST's own covariance; the spread that a calibration prints is
that of the whole Hessian, which NIST does not certify.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import Case

FOLDER = Path(__file__).parents[1] / "nist"
NAMES = sorted(file.stem for file in FOLDER.glob("*.tsv"))
WIDE = 1e8

# b1 of MGH10 goes from 2 through 1e-15 to 0.006: 2 + 2e8 theta has no digits left there, exp(ln 2 + 1e6 theta) has
IN_LOGARITHMS = ("MGH10",)


@dataclass(frozen=True)
class Regression:
    """A file of NIST's: its formula in `time`, and one entry a parameter or row."""

    formula: str
    names: tuple[str, ...]
    starts: NDArray[np.float64]
    certified: NDArray[np.float64]
    spread: NDArray[np.float64]
    noise: float
    rows: tuple[tuple[float, ...], ...]

    @property
    def degrees(self) -> int:
        return len(self.rows) - len(self.names)


def regression(name: str) -> Regression:
    _, model, _, *lines = (FOLDER / f"{name}.tsv").read_text().splitlines()
    words = [line.split("\t") for line in lines]
    ends = next(k for k, line in enumerate(words) if line[0] == "residual")
    numbers = np.array([line[1:] for line in words[:ends]], float)
    return Regression(
        formula=model.split(" = ", 1)[1],
        names=tuple(line[0] for line in words[:ends]),
        starts=numbers[:, :2].T,
        certified=numbers[:, 2],
        spread=numbers[:, 3],
        noise=float(words[ends][-1]),
        rows=tuple(tuple(float(each) for each in line) for line in words[ends + 2 :]),
    )


def patient(name: str, start: int) -> Case:
    """The regression as a case: repeats of a day, and values of a second predictor, are observables of their own."""
    problem = regression(name)
    # a measured value is not below zero: where one is, all are lifted, and the prediction with them
    lift = -min(0.0, np.floor(min(row[0] for row in problem.rows)))
    observables: dict[str, tuple[str, float, str]] = {}
    seen: Counter[tuple[float, ...]] = Counter()
    rows = []
    for y, *predictors in problem.rows:
        seen[tuple(predictors)] += 1
        day, *others = predictors
        observable = "_".join(["y", str(seen[tuple(predictors)]), *(f"{each:g}" for each in others)])
        rows.append((observable, day, y + lift))
        observables[observable] = (f"y + {lift}", problem.noise, "normal")
        if (
            name == "Nelson"
        ):  # of two predictors, and a logarithm; its values are printed as they were measured
            formula = problem.formula.replace("x2", repr(others[0]))
            observables[observable] = (f"exp({formula})", problem.noise, "log-normal")
    given = dict(zip(problem.names, problem.starts[start].tolist(), strict=True))
    text = ["clock = 0; clock' = 1", *(f"{each} = {value!r}" for each, value in given.items())]
    return tiny_case(
        "; ".join(text if name == "Nelson" else [*text, f"y := {problem.formula}"]),
        observables,
        rows,
        {
            each: ("log-normal", np.log(value), 1e6)
            if name in IN_LOGARITHMS
            else ("normal", value, WIDE * abs(value))
            for each, value in given.items()
        },
        start=min(row[1] for row in problem.rows),
        name=name,
    )


def digits(found: NDArray[np.float64], certified: NDArray[np.float64]) -> float:
    """How many digits agree at least: the negative decimal logarithm of the relative error, NIST's own measure."""
    return float(-np.log10(np.max(np.abs(found / certified - 1)) + 1e-16))


def solved(name: str, start: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Estimates, standard errors by J'J of the data rows, and the residual sum of squares over its degrees of freedom."""
    problem = regression(name)
    fit = cs.calibrate(patient(name, start), starts=1)
    assert fit.objective.names == problem.names
    found = fit.objective.evaluate(fit.theta, gradient=True)
    assert found.jacobian is not None
    slopes = found.jacobian[: len(problem.rows)]
    sizes = np.linalg.norm(slopes, axis=0)
    _, root = np.linalg.qr(slopes / sizes)
    spread = np.linalg.norm(np.linalg.inv(root), axis=1) / sizes
    stretch = np.array(
        [prior.slope(np.array(each)) for prior, each in zip(fit.objective.priors, fit.theta, strict=True)]
    )
    estimates = np.array([fit.values[each] for each in problem.names])
    left = found.residuals[: len(problem.rows)]
    return estimates, spread * stretch, float(left @ left) / problem.degrees


def test_all_of_them_are_here() -> None:
    """NIST certifies 27 problems; their files state 2,176 observations and 120 parameters in sum."""
    problems = [regression(name) for name in NAMES]
    assert len(problems) == 27
    assert (sum(len(each.rows) for each in problems), sum(len(each.names) for each in problems)) == (
        2176,
        120,
    )


@pytest.mark.parametrize("start", [0, 1], ids=["start 1", "start 2"])
@pytest.mark.parametrize("name", NAMES)
def test_certified_digits_are_found(name: str, start: int) -> None:
    """Eleven are printed, so that their rounding alone can leave 10.3; ten are asked for, from both starts."""
    problem = regression(name)
    estimates, spread, left = solved(name, start)
    assert digits(estimates, problem.certified) > 10
    assert digits(spread, problem.spread) > 10
    # residuals of 1e-13 beside values of 2 have three digits in double precision
    assert left == pytest.approx(1, abs=5e-3 if name == "Lanczos1" else 1e-10)
