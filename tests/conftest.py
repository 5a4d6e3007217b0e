"""What test files share: a Ctrl-C that is heard, and one calibration of the published case, made once a session."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import cellsim as cs

# where `benchmarks` lies; last, so that an installed cellsim comes first
sys.path.append(str(Path(__file__).resolve().parents[1]))

# no test depends on the machine's speed; those that say nothing of their own take this
settings.register_profile("cellsim", deadline=None)
settings.load_profile("cellsim")


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A run started in the background ignores Ctrl-C, and the tests of it would wait for chains to end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def sjogren_fit() -> cs.Calibration:
    """The published case under its default variant, from one start."""
    return cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
