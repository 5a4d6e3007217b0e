"""The step loop as machine code: compiled by numba once an installation, kept, and loaded without it.

The loop (:mod:`cellsim.solver.step_loop`) takes numbers and addresses and calls nothing of Python, so that its object code stands
alone. It is kept under a name made of all it depends on, beside the package where that can be written to, else where the
user's caches are; nothing that is merely old or damaged is ever run.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from cellsim.compiler.kept_code import CACHE, folders, kept
from cellsim.compiler.llvm import host_machine

__all__ = ["CACHE", "StepCode", "step_code"]

# how many whole numbers each function takes
_TAKES = {"run_group": 11, "observe_group": 7}
_lock = Lock()


class StepCode(NamedTuple):
    """The loop's functions, called with whole numbers; the interpreter is free while they run.

    Attributes
    ----------
    run_group, observe_group : callable
        As in :mod:`cellsim.solver.step_loop`.
    engine : object
        Owner of the code.
    """

    run_group: Callable[..., int]
    observe_group: Callable[..., int]
    engine: Any


def step_code() -> StepCode:
    """The loop, compiled if that has not been done on this machine.

    Examples
    --------
    >>> step_code() is step_code()
    True
    """
    with _lock:  # two threads that come first must not both compile
        return _step_code()


@lru_cache(maxsize=1)
def _step_code() -> StepCode:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(_object()))
    engine.finalize_object()
    run, observe = (_callable(engine.get_function_address(name), takes) for name, takes in _TAKES.items())
    return StepCode(run, observe, engine)


def _callable(address: int, takes: int) -> Callable[..., int]:
    """A function by numba's convention: result and error by pointer, then what it takes."""
    native = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * takes)(
        address
    )

    def call(*numbers: int) -> int:
        said, error = ctypes.c_int64(), ctypes.c_void_p()
        if native(ctypes.byref(said), ctypes.byref(error), *numbers):
            raise RuntimeError("the step loop raised an error, which it has no way to do; please report it.")
        return said.value

    return call


def _object() -> bytes:
    """Object code of the loop, beside the package where that can be written to, else where the user's caches are."""
    return kept(f"step_loop-{_fingerprint()}", _compiled, folders(Path(__file__).parent / "__pycache__"))


def _fingerprint() -> str:
    """Of everything the object code depends on: sources, compilers, processor."""
    import llvmlite.binding as llvm

    here = Path(__file__).parent
    parts = [
        (here / f"{name}.py").read_bytes()
        for name in (
            "step_loop",
            "step_control",
            "step_events",
            "step_loop_tangents",
            "loop_arrays",
            "step_loop_cache",
            "../compiler/scales",
            "../compiler/sensitivity_directions",
            "breakpoints",
        )
    ]
    parts += [version(guest).encode() for guest in ("numba", "llvmlite")]
    parts += [llvm.get_host_cpu_name().encode(), llvm.get_host_cpu_features().flatten().encode()]
    parts.append(llvm.get_process_triple().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _compiled() -> bytes:
    """Object code of both functions, under their own names."""
    import llvmlite.binding as llvm
    from numba import types

    from cellsim.solver import step_loop as stepper

    machine = host_machine()
    whole = llvm.parse_assembly("")
    whole.triple = llvm.get_process_triple()
    for name, takes in _TAKES.items():
        function = getattr(stepper, name)
        signature = (types.int64,) * takes
        function.compile(signature)
        module = llvm.parse_assembly(function.inspect_llvm(signature))
        native = [each for each in module.functions if not each.is_declaration and name in each.name]
        for each in module.functions:
            if not each.is_declaration and each.name != native[0].name:
                each.linkage = llvm.Linkage.internal
        native[0].name = name
        whole.link_in(module)
    return bytes(machine.emit_object(whole))
