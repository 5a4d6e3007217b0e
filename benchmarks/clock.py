"""How long something takes, and on what machine."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version


def best(call: Callable[[], object], *, seconds: float = 0.5, least: int = 3) -> float:
    """Shortest of several runs, in milliseconds: other work on the machine can only lengthen a run."""
    call()
    shortest, spent, count = float("inf"), 0.0, 0
    while spent < seconds or count < least:
        begin = time.perf_counter()
        call()
        took = time.perf_counter() - begin
        shortest, spent, count = min(shortest, took), spent + took, count + 1
    return 1e3 * shortest


def fresh(code: str) -> tuple[float, str]:
    """Wall time in seconds of a new interpreter running `code`, and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, done.stdout.strip()


def machine() -> str:
    """Processor, Python and the versions that matter."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    packages = []
    for package in ("numpy", "scipy", "sympy", "numba", "llvmlite", "libroadrunner"):
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
