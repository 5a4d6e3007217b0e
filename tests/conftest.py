"""What several test files share: one calibration of the published case, made once a session."""

import pytest

import cellsim as cs


@pytest.fixture(scope="session")
def sjogren_fit() -> cs.Calibration:
    """The published case under its default variant, from one start."""
    return cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
