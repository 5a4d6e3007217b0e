"""Slopes of graded rows are the derivatives of their residuals, through the prediction and by every parameter of their scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellsim.case.grading import grading_of
from cellsim.likelihood.graded_rows import GradedRows

# a cut-point that is a number tells of the spread as one that is estimated does
SCALES = (
    grading_of("s", ["c - 2*gap", "c", "1.5"]),
    grading_of("0.3 + s", ["0.5"]),
    grading_of("0.4", ["d", "d + gap"]),
)
# scale, lowest and highest grade of each row
SAID = ((0, 0, 0), (0, 1, 1), (0, 1, 3), (0, 2, 3), (0, 0, 2), (1, 0, 0), (1, 1, 1), (2, 1, 2), (2, 1, 1))
VALUES = {"s": 0.35, "c": 0.4, "gap": 0.3, "d": -0.2}


@given(st.lists(st.floats(-1.5, 1.5), min_size=len(SAID), max_size=len(SAID)))
def test_slopes_are_differences_of_the_residuals(levels: list[float]) -> None:
    """Against central differences in every parameter and in the logarithm of the prediction."""
    rows = GradedRows.of(
        np.arange(len(SAID)) + 3,
        [SCALES[k] for k, *_ in SAID],
        [low for _, low, _ in SAID],
        [high for *_, high in SAID],
    )
    level, step = np.array(levels), 1e-5

    def residual(moved: dict[str, float], by: float = 0.0) -> np.ndarray:
        return rows.scored(np.exp(level + by), {**VALUES, **moved}).residual

    found = rows.scored(np.exp(level), VALUES)
    apart = (residual({}, step) - residual({}, -step)) / (2 * step)
    assert found.by_level == pytest.approx(apart, rel=1e-5, abs=1e-7)
    slopes = np.zeros((len(SAID), len(VALUES)))
    for place, name, slope in rows.slopes(found):
        slopes[place - 3, list(VALUES).index(name)] += slope
    for k, name in enumerate(VALUES):
        up, down = (residual({name: VALUES[name] + side * step}) for side in (1, -1))
        assert slopes[:, k] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)


def test_grades_of_one_scale_are_all_there_is() -> None:
    """Probabilities of all grades sum to one, for many sets at once."""
    scale = SCALES[0]
    rows = GradedRows.of(np.arange(4), [scale] * 4, range(4), range(4))
    sets = {name: np.array([each, each + 0.1]) for name, each in VALUES.items()}
    found = rows.scored(np.array([[1.3] * 4, [0.4] * 4]), sets)
    assert np.exp(found.log_likelihood).sum(axis=1) == pytest.approx(np.ones(2), rel=1e-12)


def test_nothing_to_see_is_graded_lowest_for_certain() -> None:
    rows = GradedRows.of(np.arange(1), [SCALES[0]], [0], [0])
    found = rows.scored(np.zeros(1), VALUES)
    assert (found.log_likelihood.item(), found.residual.item(), found.by_spread.item()) == (0.0, 0.0, 0.0)
