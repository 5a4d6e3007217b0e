"""Interrupts: the first signal keeps what is done, the second ends the process, whatever was inherited."""

import _thread
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from small_cases import decay

import cellsim as cs
from cellsim import threads
from cellsim.cli import main
from cellsim.dosing.schedule import Schedule
from cellsim.interrupts import interrupts_heard
from cellsim.posterior import fitting
from cellsim.predictions import predictor
from cellsim.predictions.measures import Area
from cellsim.report.page import ReportFolder
from cellsim.report.report import write_report
from cellsim.report.steps import LONG, Job
from cellsim.sweeps import sweep_running
from cellsim.threads import StoppedError, finished_in_threads, in_threads

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
import signal
from types import SimpleNamespace
from cellsim import interrupts
from cellsim.interrupts import interrupts_heard
clock = [10.0]
interrupts.time = SimpleNamespace(monotonic=lambda: clock[0])
signal.signal({int(number)}, signal.SIG_IGN)
with interrupts_heard():
    try:
        signal.raise_signal({int(number)})
    except KeyboardInterrupt:
        print("writing what is done", flush=True)
    clock[0] += 0.5
    signal.raise_signal({int(number)})
    print("still there")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == -number
    assert ended.stdout == "writing what is done\n"


# ---- what is finished is a result -----------------------------------------------------------------


def interrupted_after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, count: int) -> None:
    """Ctrl-C when a function is called for the `count`-th time, in the midst of it.

    What runs in threads runs in one, so that all calls before are finished; the call itself waits until it is told
    to stop.
    """
    real, calls = getattr(module, name), []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == count:
            _thread.interrupt_main()
            if args and isinstance(args[-1], Event):
                args[-1].wait()
        return real(*args, **options)

    monkeypatch.setattr(module, name, counted)
    monkeypatch.setattr(threads, "ThreadPoolExecutor", lambda _: ThreadPoolExecutor(1))


def test_finished_starts_are_a_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the same starts without an interrupt, and the optimum, which every start of this case finds."""
    case = decay([6.0, 3.7], [1.0, 2.0])
    whole = cs.calibrate(case, starts=12, seed=3)
    interrupted_after(monkeypatch, fitting, "descend", 8)
    fit = cs.calibrate(case, starts=12, seed=3)
    assert len(fit.starts) == 7
    for each in fit.starts:  # the best one is carried on to the end
        assert min(abs(each.objective - other.objective) for other in whole.starts) < 1e-6
    assert fit.theta == pytest.approx(whole.theta, abs=1e-4)
    assert fit.interrupted and not whole.interrupted
    assert "interrupted: 7 of 12 starts" in fit.report()
    fit.save(tmp_path / "fit.json")
    assert cs.Calibration.load(tmp_path / "fit.json").interrupted


def test_an_interrupt_while_the_spread_is_computed_keeps_the_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed once more: seconds of work, after minutes or hours. Witness: the whole result."""
    case = decay([6.0, 3.7], [1.0, 2.0])
    whole = cs.calibrate(case, starts=2, seed=3)
    interrupted_after(monkeypatch, fitting, "curvature_at", 1)
    fit = cs.calibrate(case, starts=2, seed=3)
    assert fit.interrupted
    assert len(fit.starts) == 2
    assert np.array_equal(fit.covariance, whole.covariance)


def test_nothing_finished_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(objective: Any, known: Any, first: Any, stop: Any) -> None:
        _thread.interrupt_main()
        stop.wait()
        raise StoppedError

    monkeypatch.setattr(fitting, "descend", never)
    with pytest.raises(KeyboardInterrupt):
        cs.calibrate(decay([6.0, 3.7], [1.0, 2.0]), starts=2)


def test_threads_stop_when_asked_and_keep_the_order() -> None:
    """Witness: the numbers themselves; work that waits for ever ends when it is told to."""

    def work(k: int, stop: Event) -> int:
        if k < 2:
            return 10 * k
        if k == 2:
            _thread.interrupt_main()
        stop.wait()
        raise StoppedError

    assert finished_in_threads(work, range(500), "", False) == ([0, 10], True)
    assert in_threads(lambda k: 10 * k, range(50), "", False) == list(range(0, 500, 10))
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda k: 1 / (k - 3), range(50), "", False)


def test_chains_side_by_side_end_where_they_are_interrupted() -> None:
    """Witness: what was begun and what ended; an error is told, and nothing is begun after it or after an interrupt."""
    begun: list[str] = []
    both = threading.Barrier(2)

    def work(name: str) -> bool:
        begun.append(name)
        if name in ("a1", "b1"):
            both.wait(10)
            return True
        if name == "no":
            return False
        if name == "wrong":
            raise ValueError("wrong")
        for _ in range(3000):
            time.sleep(0.01)
        return True

    # both at once, and the third after one of them
    with threads.SideBySide(work, [["a1"], ["b1"]]) as beside:
        assert sorted(beside) == ["a1", "b1"]
    with pytest.raises(KeyboardInterrupt), threads.SideBySide(work, [["long", "never"], ["a long one"]]):
        while len(begun) < 4:
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert sorted(begun[2:]) == ["a long one", "long"]
    with threads.SideBySide(work, [["long", "never"], ["no", "never"]]) as beside:
        assert not list(beside)
    with pytest.raises(ValueError, match="wrong"), threads.SideBySide(work, [["wrong", "never"]]) as beside:
        list(beside)
    assert "never" not in begun


@pytest.mark.parametrize(("later", "batches"), [(0, 1), (2**12, 2)])
def test_draws_of_a_sweep_that_are_done_are_a_sweep(
    monkeypatch: pytest.MonkeyPatch, later: int, batches: int
) -> None:
    """Witness: the first draws of the same sweep without an interrupt, posterior and prior alike, whether the prior waits or not."""
    monkeypatch.setattr(sweep_running, "_MOST_LATER", later)
    fit = cs.calibrate(decay([6.0, 3.7], [1.0, 2.0]), starts=1)
    plans = {"none": Schedule(), "one": Schedule.at([1.0], cells=2.0, product="x")}
    options: dict[str, Any] = {
        "until": 3,
        "measures": [Area("x")],
        "draws": 3 * predictor.draws_at_once(),
        "seed": 2,
    }
    whole = cs.sweep(fit, plans, **options)
    interrupted_after(monkeypatch, predictor.Sample, "runs", 3)
    part = cs.sweep(fit, plans, **options)
    # the third call is that of the second batch, or of the third where the prior is not simulated yet
    count = batches * predictor.draws_at_once()
    assert part.posterior.shape[2] == part.prior.shape[2] == count
    assert part.interrupted and not whole.interrupted
    assert np.array_equal(part.posterior, whole.posterior[:, :, :count])
    assert np.array_equal(part.prior, whole.prior[:, :, :count])


def test_commands_keep_what_is_done_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A calibration is saved where it was asked for; one on the way to something else beside it."""
    folder = tmp_path / "a case with spaces, é"
    folder.mkdir()
    for name, text in decay([6.0, 3.7], [1.0, 2.0]).files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with monkeypatch.context() as patch:
        interrupted_after(patch, fitting, "descend", 4)
        status = main(["calibrate", str(folder), "--starts", "30", "--out", str(tmp_path / "fit.json")])
    assert status == 130
    assert cs.Calibration.load(tmp_path / "fit.json").interrupted
    shown = capsys.readouterr()
    assert "3 of 30 starts are finished" in shown.out
    assert "interrupted; what was ready is written" in shown.err
    with monkeypatch.context() as patch:
        interrupted_after(patch, fitting, "descend", 4)
        status = main(["sample", str(folder), "--starts", "30", "--out", str(tmp_path / "post.nc")])
    assert status == 130
    assert not (tmp_path / "post.nc").exists()
    assert cs.Calibration.load(tmp_path / "post.calibration.json").interrupted
    assert "post.calibration.json" in capsys.readouterr().err


def test_a_report_that_a_cluster_ends_leaves_tables_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says what it lacks, and is whole."""
    real = Job.profile

    def profile(job: Job) -> None:
        real(job)
        # heard by the main thread, which makes a page meanwhile, and handed on to this one
        signal.raise_signal(signal.SIGTERM)
        for _ in range(3000):
            time.sleep(0.01)

    monkeypatch.setattr(Job, "profile", profile)
    monkeypatch.setattr(ReportFolder, "draw", lambda *_, **__: "")  # figures are those of tests/report
    made = write_report(
        decay([6.0, 3.7], [1.0, 2.0]), tmp_path / "report", starts=1, draws=10, effective=40, without=LONG
    )
    page = made.index.read_text(encoding="utf-8")
    # beside profiles stand predictions: the one that hears it first is named
    assert made.interrupted in ("profiles", "predictions")
    assert f"Interrupted during “{made.interrupted}”" in page
    assert page.rstrip().endswith("</html>")
    assert (made.folder / "tables" / "fit_parameters.csv").is_file()
    assert not [each for each in made.failures if each.startswith("Section")]


def test_an_interrupt_within_a_step_of_a_report_ends_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A calibration or a sweep that keeps what is finished must not swallow the interrupt: nothing is begun after it."""
    case = decay([6.0, 3.7], [1.0, 2.0])
    interrupted_after(monkeypatch, fitting, "descend", 2)
    job = Job(
        case, ReportFolder(tmp_path), starts=6, draws=10, effective=40, seed=1, variants=("",), without=LONG
    )
    steps = {step.words: step for step in job.steps()}
    assert not job.run(steps["calibrating decay"])
    assert job.stopped == "calibrating decay"
    assert job.fits[""].interrupted
    monkeypatch.undo()
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        interrupted_after(patch, fitting, "descend", 2)
        cs.sample(case, method="nuts", chains=2, draws=20)
