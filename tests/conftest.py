"""What several test files share: one calibration of the published case, made once a session."""

import signal
from collections.abc import Iterator

import pytest

import cellsim as cs


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C reaches the tests of it also where the run was started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def sjogren_fit() -> cs.Calibration:
    """The published case under its default variant, from one start."""
    return cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
