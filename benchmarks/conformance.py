"""``python -m benchmarks conformance --suites FOLDER [--seconds 10] [--gradients]``: public test suites, and what became of each case.

Every case runs in a child process with a limit of processor time. The ledger says how many are right, refused (by reason, with what
was refused where), wrong, crashed or slow. The exit status is not zero when anything is wrong or crashed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "Suite", "ledger", "main", "run_case"]

VERDICTS = ("right", "unjudged", "refused", "wrong", "crashed", "slow")
"""``unjudged``: it opened and was answered, and the suite has nothing to compare the answer with."""

_WALL = 60  # times the processor time a case may take: a machine may be busy, and what hangs uses none


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Parameters
    ----------
    suite, case, verdict : str
    said : str
        Why, where it is not right.
    """

    suite: str
    case: str
    verdict: str
    said: str = ""


@dataclass(frozen=True)
class Suite:
    """A kind of suite: how its cases are found in a folder, and how one is judged (name of suite, verdict, why)."""

    find: Callable[[Path], Iterable[tuple[str, str, Path]]]
    judge: Callable[[Path, bool], tuple[str, str]]
    warm: Callable[[], None]


def _suites() -> Sequence[Suite]:
    from benchmarks import conformance_petab as petab
    from benchmarks import conformance_sbml as sbml

    return Suite(petab.cases, petab.judged, petab.warm), Suite(sbml.cases, sbml.judged, sbml.warm)


def _child(
    judge: Callable[[Path, bool], tuple[str, str]], path: Path, gradients: bool, seconds: float, out: object
) -> None:
    from contextlib import suppress

    with suppress(ImportError, ValueError):
        import resource
        import time

        used = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, int(used + seconds) + 2))
    out.send(judge(path, gradients))  # type: ignore[attr-defined]


def run_case(
    judge: Callable[[Path, bool], tuple[str, str]],
    path: Path,
    *,
    seconds: float = 10.0,
    gradients: bool = False,
) -> tuple[str, str]:
    """Judge one case in a process of its own: its verdict, and why."""
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(judge, path, gradients, seconds, sender), daemon=True)
    process.start()
    sender.close()
    told: tuple[str, str] | None = None
    waited = receiver.poll(_WALL * seconds)
    if waited:
        try:
            told = receiver.recv()
        except EOFError:
            told = None
    else:
        process.kill()
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join()
    if told is not None:
        return told
    if not waited:  # perhaps because others keep the machine busy
        return "slow", f"not done after {_WALL * seconds:g} s on the clock"
    if process.exitcode in (-24, -9):
        return "slow", f"not done after {seconds:g} s of processor time"
    return "crashed", f"the process ended with {process.exitcode}"


def _reason(said: str) -> str:
    """What a refusal is about, without the names and numbers of the one case."""
    plain = said.splitlines()[0] if said else ""
    plain = re.sub(r"^\d+ problems:$", said.splitlines()[1] if said.count("\n") else plain, plain)
    plain = re.sub(r"^[^:\s]+(, row \d+)?: ", "", plain)
    plain = re.sub(r"'[^']*'", "'...'", plain)
    return re.sub(r"\b\d[\d.e+-]*\b", "#", plain)[:150]


def ledger(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a page."""
    suites = list(dict.fromkeys(each.suite for each in outcomes))
    lines = ["| suite | cases | " + " | ".join(VERDICTS) + " |", "|---" * (len(VERDICTS) + 2) + "|"]
    for suite in suites:
        mine = Counter(each.verdict for each in outcomes if each.suite == suite)
        lines.append(
            f"| {suite} | {sum(mine.values())} | " + " | ".join(str(mine[each]) for each in VERDICTS) + " |"
        )
    for verdict in ("wrong", "crashed", "slow"):
        if found := [each for each in outcomes if each.verdict == verdict]:
            lines += ["", f"{verdict}:", *(f"  {each.suite} {each.case}: {each.said}" for each in found)]
    refused = [each for each in outcomes if each.verdict == "refused"]
    if refused:
        reasons = Counter(_reason(each.said) for each in refused)
        lines += ["", "refused, by reason:"]
        for reason, count in reasons.most_common():
            lines.append(f"  {count} x {reason}")
            for each in refused:
                if _reason(each.said) == reason:
                    lines.append(f"      {each.suite} {each.case}: " + " / ".join(each.said.splitlines()[:4]))
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the suites in a folder and print the ledger."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks conformance")
    parser.add_argument("--suites", required=True, type=Path, help="folder with checkouts of public suites")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time a case may take")
    parser.add_argument(
        "--gradients", action="store_true", help="compare gradients with finite differences too"
    )
    parser.add_argument("words", nargs="*", help="only cases whose name holds one of these")
    asked = parser.parse_args(arguments)
    if not asked.suites.is_dir():
        print(f"There is no folder {asked.suites}.")
        return 2
    outcomes = []
    for suite in _suites():
        found = [
            each
            for each in suite.find(asked.suites)
            if not asked.words or any(word in f"{each[0]} {each[1]}" for word in asked.words)
        ]
        if found:
            suite.warm()
        for name, case, path in found:
            verdict, said = run_case(suite.judge, path, seconds=asked.seconds, gradients=asked.gradients)
            outcomes.append(Outcome(name, case, verdict, said))
            print(f"{name} {case}: {verdict}", file=sys.stderr, flush=True)
    if not outcomes:
        print(f"No cases of any suite in {asked.suites}.")
        return 2
    print(ledger(outcomes))
    return int(any(each.verdict in ("wrong", "crashed") for each in outcomes))
