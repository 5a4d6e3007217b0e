"""Work in processes of their own: arithmetic, and the same work done here, as witnesses."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellsim import processes
from cellsim.errors import CalibrationError, Problem
from cellsim.processes import Held, in_a_process, on_all_processes, processes_run, start_processes
from cellsim.threads import CORES, ENVIRONMENT

pytestmark = pytest.mark.skipif(CORES == 1, reason="one core may be used, and no process is started")


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    start_processes()
    yield
    from loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True, kill_workers=True)
    processes._STARTED.clear()


def where(_: object = None) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get(ENVIRONMENT)


def scaled(factor: int, offset: list[int], thing: int) -> int:
    return factor * thing + offset[0]


def identity(held: object, _: int) -> tuple[int, int]:
    return os.getpid(), id(held)


def ended(_: int) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def ended_elsewhere(home: int) -> str:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGTERM)
    return "done here"


def patient(seconds: float) -> str:
    """What a sampler does with an interrupt: it returns what it has."""
    try:
        for _ in range(int(seconds / 0.01)):
            time.sleep(0.01)
    except KeyboardInterrupt:
        return "a part"
    return "the whole"


def refused() -> None:
    raise CalibrationError([Problem(what="one thing."), Problem(what="another.")])


def doubted() -> int:
    warnings.warn("not so sure", UserWarning, stacklevel=1)
    return 3


def test_work_is_done_elsewhere_by_one_thread_and_comes_back_in_order() -> None:
    assert on_all_processes(scaled, [Held(3), Held([1])], list(range(40))) == [3 * k + 1 for k in range(40)]
    made = on_all_processes(where, [], list(range(8)))
    assert made is not None
    assert os.getpid() not in {pid for pid, _ in made}
    assert {threads for _, threads in made} == {"1"}


def test_what_is_held_is_made_once_in_a_process() -> None:
    held = Held(list(range(1000)))
    made = [on_all_processes(identity, [held], [0] * 8) for _ in range(2)]
    both = {pair for each in made if each is not None for pair in each}
    assert 1 <= len(both) == len({pid for pid, _ in both}) <= CORES


def test_a_process_that_was_ended_loses_nothing() -> None:
    assert on_all_processes(ended, [], [0, 1]) is None
    assert on_all_processes(scaled, [Held(3), Held([1])], [2]) == [7]
    assert in_a_process(ended_elsewhere, os.getpid()) == "done here"


def test_what_cannot_be_sent_is_worked_on_here() -> None:
    lock = threading.Lock()
    assert on_all_processes(where, [Held(lock)], [1]) is None
    assert in_a_process(lambda: (lock.locked(), os.getpid())) == (False, os.getpid())
    assert in_a_process(threading.Lock).acquire(blocking=False)  # nor could it come back


def test_a_letter_and_a_warning_come_home_whole() -> None:
    with pytest.raises(CalibrationError, match="2 problems") as caught:
        in_a_process(refused)
    assert [each.what for each in caught.value.problems] == ["one thing.", "another."]
    with pytest.warns(UserWarning, match="not so sure"):
        assert in_a_process(doubted) == 3


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system cannot send itself an interrupt")
def test_an_interrupt_reaches_the_work_and_brings_back_its_part() -> None:
    timer = threading.Timer(0.5, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    timer.start()
    assert in_a_process(patient, 60.0) == "a part"
    assert in_a_process(patient, 0.05) == "the whole"


def test_those_processes_start_none_of_their_own() -> None:
    assert in_a_process(processes._can_start) is False
    assert processes_run()


def test_a_script_without_a_guard_is_run_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from cellsim.processes import Held, on_all_processes\n"
        "print('begun')\n"
        "def mine(a, b):\n    return a + b\n"
        "print(on_all_processes(mine, [Held(1)], [2, 3]))\n"
    )
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)
    said = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == ["begun", "[3, 4]"]
