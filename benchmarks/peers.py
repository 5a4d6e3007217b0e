"""The other tools, each where it is installed; one that cannot be run says why."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from benchmarks.problem import Array, problem

Runner = Callable[[float, float], tuple[Array, int | None]]
"""From the relative and absolute tolerance to the outputs at the sample times, and the steps taken if known."""


def _scipy(method: str) -> Runner:
    from benchmarks.peers_scipy import scipy_runner

    return scipy_runner(problem(), method)


def _roadrunner() -> Runner:
    from benchmarks.peers_roadrunner import roadrunner_runner

    return roadrunner_runner(problem())


@lru_cache(maxsize=1)
def amici() -> Any:
    """AMICI's compiled model, one for all parts."""
    from benchmarks.peers_amici import Amici

    return Amici(problem())


@lru_cache(maxsize=1)
def bngsim() -> Any:
    """BNGsim's compiled model, one for all parts."""
    from benchmarks.peers_bngsim import Bngsim

    return Bngsim(problem())


@lru_cache(maxsize=1)
def diffrax() -> Any:
    """The equations compiled for diffrax."""
    from benchmarks.peers_diffrax import Diffrax

    return Diffrax(problem())


def _mxlpy() -> Runner:
    raise RuntimeError("all its releases ask for Python 3.12; none could be tried")


PEERS: dict[str, Callable[[], Runner]] = {
    "scipy LSODA": lambda: _scipy("LSODA"),
    "scipy BDF": lambda: _scipy("BDF"),
    "libRoadRunner": _roadrunner,
    "AMICI": lambda: amici().simulate,
    "BNGsim": lambda: bngsim().simulate,
    "diffrax Kvaerno5": lambda: diffrax().simulate,
    "MxlPy": _mxlpy,
}


def made(make: Callable[[], Any]) -> Any:
    """What `make` makes, or in a few words why it cannot."""
    try:
        return make()
    except ModuleNotFoundError as missing:
        return f"not installed ({missing.name})"
    except Exception as reason:
        return in_short(reason)


def in_short(reason: Exception) -> str:
    """The first line of what went wrong, cut to a table's width."""
    return (str(reason).splitlines() or [type(reason).__name__])[0][:80]
