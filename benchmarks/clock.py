"""How long something takes, and on what machine."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

OURS = ("numpy", "scipy", "sympy", "numba", "llvmlite")
THEIRS = ("libroadrunner", "amici", "bngsim", "pybnf", "diffrax", "jax", "mxlpy")


def best(
    call: Callable[[], object],
    *,
    seconds: float = 0.5,
    least: int = 3,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Shortest of several runs, in milliseconds of processor time."""
    call()
    shortest, spent, count = float("inf"), 0.0, 0
    while spent < seconds or count < least:
        begin = clock()
        call()
        took = clock() - begin
        shortest, spent, count = min(shortest, took), spent + took, count + 1
    return 1e3 * shortest


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns and its shortest time in milliseconds; one that takes a second runs only once."""
    begin = time.process_time()
    result = call()
    took = time.process_time() - begin
    return result, 1e3 * took if took > 1.0 else min(1e3 * took, best(call, seconds=0.1, least=1))


def fresh(code: str) -> tuple[float, str]:
    """Processor time in seconds of a new interpreter running `code`, and what it printed."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime, done.stdout.strip()


def machine() -> str:
    """Processor, Python and the versions that matter."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    packages = []
    for package in (*OURS, *THEIRS):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            packages.append(f"{package} not installed")
    return f"{name}, {platform.system()}, Python {platform.python_version()}, " + ", ".join(packages)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table, columns aligned."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    shown = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths)) + " |" for line in lines]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([shown[0], rule, *shown[1:]])
