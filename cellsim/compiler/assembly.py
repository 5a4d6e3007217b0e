"""From LLVM assembly to machine code in memory, and the workspaces it runs in."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.emit import BLOCK, padded

__all__ = ["Layout", "Unit", "aligned", "assemble", "host_machine", "lane_width"]

Array = NDArray[np.float64]


class Layout:
    """Where each slot of a workspace begins (in doubles); every slot fills whole blocks."""

    def __init__(self) -> None:
        self.offset: dict[str, int] = {}
        self.size = 0

    def add(self, name: str, size: int) -> None:
        """Append a slot of `size` doubles."""
        self.offset[name] = self.size
        self.size += padded(max(size, 1))

    def __getitem__(self, name: str) -> int:
        return self.offset[name]


def aligned(size: int) -> Array:
    """Zeros that start at a multiple of 64 bytes."""
    raw = np.zeros(size + BLOCK)
    skip = (-raw.ctypes.data // 8) % BLOCK
    return raw[skip : skip + size]


def host_machine() -> Any:
    """A target machine; the engine that gets it owns it and frees it, so each engine needs its own."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )


@lru_cache(maxsize=1)
def lane_width() -> int:
    """Doubles per vector register of this machine, between 2 and 8.

    Examples
    --------
    >>> lane_width() in (2, 4, 8)
    True
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 8
    return 4 if features.get("avx2") else 2


def assemble(functions: Sequence[str], externals: Iterable[str]) -> Any:
    """Compile LLVM assembly; the engine returned must be kept alive as long as its code is used."""
    import llvmlite.binding as llvm

    target = host_machine()
    # without this LLVM may split 512-bit vectors in two on machines that have them
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }'
    text = "\n".join([*sorted(set(externals)), *functions, attributes])
    module = llvm.parse_assembly(text)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return engine


@dataclass
class Unit:
    """A compiled group of kernels that share a workspace.

    Attributes
    ----------
    layout : Layout
        Slots of the workspace.
    width : int
        Simulations side by side.
    address : dict of str to int
        Entry point of each kernel.
    fixed : int
        Terms that depend on parameters only.
    engine : object
        Owner of the code.
    """

    layout: Layout
    width: int
    address: dict[str, int]
    fixed: int
    engine: Any = field(repr=False)

    def workspace(self) -> Array:
        """Zeros for every slot, aligned."""
        return aligned(self.layout.size)

    def call(self, name: str, w: Array) -> None:
        """Run one kernel from Python (slow path: witnesses and tests)."""
        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self.address[name])
        kernel(w.ctypes.data, w.ctypes.data)
