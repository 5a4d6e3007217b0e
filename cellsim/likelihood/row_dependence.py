"""Which rows answer to which parameters, and which parameters may be moved together because no row answers to two of them.

The Jacobian of rows at moved parameters tells second derivatives by differences. Where most parameters act on a few rows each, several are
moved at once, and each row tells of the one that it answers to (Curtis, Powell and Reid 1974, IMA J Appl Math 13:117).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.objective import Objective
from cellsim.solver.sensitivities import courses_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Answers = NDArray[np.bool_]

__all__ = ["answers_of", "moved_together"]


def answers_of(objective: Objective) -> Answers:
    """Which residuals can answer to which parameters, shape (residual_count, n_parameters), by the equations alone."""
    rows, names = objective.rows, objective.names
    column = {name: k for k, name in enumerate(names)}
    out = np.zeros((objective.residual_count, len(names)), bool)
    inside = [name for name in names if name in objective.kernels.equations.parameters]
    if inside:
        (course,) = courses_of(objective.kernels, inside, (objective.doses,), False)
        out[: rows.output.size, [column[name] for name in inside]] = course.moved[rows.output]
    for k, (occasion, scale, grading) in enumerate(zip(rows.occasion, rows.scale, rows.grading, strict=True)):
        forms = (grading.scale, *grading.cuts) if rows.graded[k] else ()
        read = [
            f"day_{objective.occasions[occasion][0]}",
            scale,
            *(name for _, terms in forms for name, _ in terms),
        ]
        out[k, [column[name] for name in read if name in column]] = True
    for k, name in enumerate(objective.spreads):
        out[rows.output.size + k, column[name]] = True
    return out


def moved_together(answers: Answers) -> list[list[int]]:
    """Parameters in groups of which no two move the same row, those that move most rows first.

    Parameters
    ----------
    answers : array of bool, shape (n_rows, n)

    Examples
    --------
    >>> moved_together(np.array([[True, True, False], [False, True, True]]))
    [[1], [0, 2]]
    """
    groups: list[list[int]] = []
    taken: list[Answers] = []
    for k in np.argsort(-answers.sum(axis=0), kind="stable").tolist():
        rows = answers[:, k]
        free = next((n for n, moved in enumerate(taken) if not (moved & rows).any()), None)
        if free is None:
            groups.append([k])
            taken.append(rows)
        else:
            groups[free].append(k)
            taken[free] = taken[free] | rows
    return groups
