"""Work in processes of their own: arithmetic, and the same work done here, as witnesses."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cellsim import processes
from cellsim.errors import CalibrationError, Problem
from cellsim.processes import Held, in_a_process, in_processes, start_processes
from cellsim.threads import CORES, ENVIRONMENT

pytestmark = pytest.mark.skipif(CORES == 1, reason="one core may be used, and no process is started")


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    start_processes()
    yield
    processes._executor().shutdown(wait=True, kill_workers=True)
    processes._RUNNING.clear()


def where(_: object = None) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get(ENVIRONMENT)


def scaled(factor: int, offset: list[int], thing: int) -> int:
    return factor * thing + offset[0]


def calls(things: Iterable[int]) -> list[tuple[Held, Held, int]]:
    factor, offset = Held(3), Held([1])
    return [(factor, offset, thing) for thing in things]


def identity(held: object) -> tuple[int, int]:
    return os.getpid(), id(held)


def ended_elsewhere(home: int) -> str:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGTERM)
    return "done here"


def patient(seconds: float) -> str:
    """What a sampler does with an interrupt: it returns what it has."""
    try:
        patient_to_the_end(seconds)
    except KeyboardInterrupt:
        return "a part"
    return "the whole"


def noted(folder: str, thing: int) -> int:
    """The first at once, the others after a minute, if they are let."""
    with suppress(KeyboardInterrupt):
        if thing:
            patient_to_the_end(60.0)
            (Path(folder) / f"whole {thing}").touch()
    return thing


def patient_to_the_end(seconds: float) -> None:
    for _ in range(int(seconds / 0.01)):
        time.sleep(0.01)


def refused() -> None:
    raise CalibrationError([Problem(what="one thing."), Problem(what="another.")])


def doubted() -> int:
    warnings.warn("not so sure", UserWarning, stacklevel=1)
    return 3


def test_work_is_done_elsewhere_by_one_thread_and_comes_back_in_order() -> None:
    assert list(in_processes(scaled, calls(range(40)))) == [3 * k + 1 for k in range(40)]
    made = list(in_processes(where, [()] * 8))
    assert os.getpid() not in {pid for pid, _ in made}
    assert {threads for _, threads in made} == {"1"}


@pytest.mark.parametrize("size", [10, 10**6])
def test_what_is_held_is_made_once_in_a_process(size: int) -> None:
    held = Held(list(range(size)))
    both = {pair for _ in range(2) for pair in in_processes(identity, [(held,)] * 8)}
    assert 1 <= len(both) == len({pid for pid, _ in both}) <= CORES
    assert held.sent is not None
    file = held.sent.name
    assert bool(file) == (size > 1000) and (not file or Path(file).stat().st_size > size)
    del held
    gc.collect()
    assert not file or not Path(file).exists()


def test_a_process_that_was_ended_loses_nothing() -> None:
    assert list(in_processes(ended_elsewhere, [(os.getpid(),)] * 3)) == ["done here"] * 3
    assert list(in_processes(scaled, calls([2]))) == [7]
    assert in_a_process(ended_elsewhere, os.getpid()) == "done here"


def test_all_threads_share_the_processes() -> None:
    def asked(_: int) -> set[int]:
        return {pid for pid, _ in in_processes(where, [()] * 4)} | {in_a_process(where)[0]}

    with ThreadPoolExecutor(4) as pool:
        pids = set().union(*pool.map(asked, range(8)))
    assert os.getpid() not in pids and len(pids) <= CORES


def test_what_cannot_be_sent_is_worked_on_here() -> None:
    lock = threading.Lock()
    assert [pid for pid, _ in in_processes(where, [(Held(lock),)])] == [os.getpid()]
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


def test_what_nobody_waits_for_any_more_is_stopped(tmp_path: Path) -> None:
    made = in_processes(noted, [(str(tmp_path), k) for k in range(2 * CORES + 2)])
    assert next(made) == 0  # the others are begun
    made.close()
    assert list(in_processes(scaled, calls([2]))) == [7]
    assert not any((tmp_path / f"whole {k}").exists() for k in range(1, 2 * CORES + 2))


def test_those_processes_start_none_of_their_own() -> None:
    assert in_a_process(processes._can_start) is False


def test_a_script_without_a_guard_is_run_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from cellsim.processes import Held, in_processes\n"
        "print('begun')\n"
        "def mine(a, b):\n    return a + b\n"
        "print(list(in_processes(mine, [(Held(1), 2), (Held(1), 3)])))\n"
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
