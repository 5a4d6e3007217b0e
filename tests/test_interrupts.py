"""Interrupts: the first signal keeps what is done, the second ends the process, whatever was inherited."""

import signal
import subprocess
import sys
import threading

import pytest

from cellsim.interrupts import interrupts_heard

ASKED = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", ASKED)
@pytest.mark.parametrize("inherited", [signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler])
def test_the_first_signal_is_a_keyboard_interrupt(number: signal.Signals, inherited: object) -> None:
    """Also where it is ignored, as in a program that a script starts in the background; as before afterwards."""
    before = signal.signal(number, inherited)  # type: ignore[arg-type]
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_heard():
            signal.raise_signal(number)
        assert signal.getsignal(number) is inherited
    finally:
        signal.signal(number, before)


def test_a_press_that_arrives_twice_is_one() -> None:
    """From the terminal and from a program in between; also where one stands inside another."""
    with interrupts_heard(), interrupts_heard():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


def test_a_handler_of_the_callers_own_is_left_alone() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with interrupts_heard():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_thread_has_no_say() -> None:
    """Only the main thread may set handlers; work in another one goes on without."""
    done = []

    def work() -> None:
        with interrupts_heard():
            done.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]


@pytest.mark.skipif(sys.platform == "win32", reason="a process ends by exit code there, not by signal")
@pytest.mark.parametrize("number", ASKED)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    """Witness: the system's own account of how the process ended."""
    code = f"""
import signal, time
from cellsim.interrupts import interrupts_heard
signal.signal({int(number)}, signal.SIG_IGN)
with interrupts_heard():
    try:
        signal.raise_signal({int(number)})
    except KeyboardInterrupt:
        print("writing what is done", flush=True)
    time.sleep(0.5)
    signal.raise_signal({int(number)})
    print("still there")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == -number
    assert ended.stdout == "writing what is done\n"
