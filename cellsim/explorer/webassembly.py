"""The kernels of a model as a WebAssembly module: LLVM's object with an export section put in, no linker.

LLVM writes an object for ``wasm32`` that is a WebAssembly module already: it imports its memory, and calls between its
functions carry their final indices. What a browser lacks is an export section, and what it has no use for are the custom
sections, which tell a linker where the names are. Both are changed here, by the binary format of the WebAssembly core
specification (section 5.5, https://webassembly.github.io/spec/core/binary/modules.html) and the linking section of the
tool conventions (https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cellsim.compiler.derivatives import System
from cellsim.compiler.graph import WRITING
from cellsim.compiler.llvm import Layout
from cellsim.compiler.writer import Writer
from cellsim.errors import CellsimError

__all__ = ["BrowserKernels", "browser_kernels", "exported", "imported_functions", "object_code", "sections"]

_HEADER = b"\0asm\1\0\0\0"
_CUSTOM, _IMPORT, _EXPORT, _CODE, _DATA = 0, 2, 7, 10, 11
_FUNCTION_KIND, _MEMORY_KIND = 0, 2  # of what is imported or exported
_SYMBOL_TABLE = 8  # a part of the linking section
_FUNCTION_SYMBOL, _DATA_SYMBOL, _SECTION_SYMBOL = 0, 1, 3
_UNDEFINED, _NAMED = 0x10, 0x40  # flags of a symbol
# places that hold the index of a function or of a type; the object's own indices are final where nothing is linked
_SETTLED = {0: "function index", 6: "type index"}


@dataclass(frozen=True)
class BrowserKernels:
    """A group of kernels that share a workspace, for a browser.

    Attributes
    ----------
    code : bytes
        A WebAssembly module. It imports ``env.__linear_memory`` and the functions of `imports`; every kernel is exported
        by its name and takes two addresses, of the workspace and of a second one that it does not look at.
    layout : Layout
        Slots of the workspace, in doubles.
    width : int
        Simulations side by side.
    fixed : int
        Terms that depend on parameters only, which the kernel ``prepare`` leaves in slot ``q``.
    imports : tuple of str
        Functions of the C library that the kernels call, of one number each.
    """

    code: bytes
    layout: Layout
    width: int
    fixed: int
    imports: tuple[str, ...]


def browser_kernels(system: System, width: int, watched: Sequence[int] = ()) -> BrowserKernels:
    """The kernels of a system for `width` simulations side by side: the assembly text that this machine runs, compiled for wasm32.

    Parameters
    ----------
    system : System
    width : {1, 2, 4, 8}
    watched : sequence of int
        Outputs that a kernel of its own, ``watch``, reads: those of which the greatest value is followed along every step.

    Examples
    --------
    >>> import sympy as sp
    >>> from cellsim.compiler.equations import Equations
    >>> x, k = sp.symbols("x k")
    >>> decay = Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),))
    >>> browser_kernels(decay.system, 2).code[:4]
    b'\\x00asm'
    """
    with WRITING:
        # an object's tables have no address before a linker gives them one
        writer = Writer(system, width, tables=False)
        read = writer.evaluate("watch", [(k, system.outputs[k]) for k in watched], "ys", "g")
        functions = [*writer.all(), read]
    defined = [line for each in functions for line in each.splitlines() if line.startswith("define void")]
    names = [line.split("@")[1].split("(")[0] for line in defined]
    code = exported(object_code(functions, writer.externals), names)
    return BrowserKernels(code, writer.layout, width, len(writer.kept), imported_functions(code))


def object_code(functions: Sequence[str], externals: Iterable[str]) -> bytes:
    """A wasm32 object of functions in LLVM assembly, with vectors of 128 bits."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("wasm32-unknown-unknown").create_target_machine(
        opt=2, features="+simd128"
    )
    text = "\n".join([*sorted(set(externals)), *functions, "attributes #0 = { nounwind }"])
    module = llvm.parse_assembly(text)
    module.triple = "wasm32-unknown-unknown"
    module.data_layout = str(machine.target_data)
    return bytes(machine.emit_object(module))


def exported(code: bytes, names: Sequence[str]) -> bytes:
    """A module that exports functions, from an object that defines them.

    Parameters
    ----------
    code : bytes
        As :func:`object_code` writes it.
    names : sequence of str
        What to export, in this order.

    Raises
    ------
    CellsimError
        If the object is no module by itself: it holds data, or places that only a linker could fill.
    """
    found = list(sections(code))
    place: Mapping[str, int] = {}
    for kind, body in found:
        if kind == _DATA:
            raise CellsimError("the kernels hold data of their own, which a page has no place for.")
        if kind == _CUSTOM:
            name, rest = _name(body, 0)
            if name == "linking":
                place = _function_symbols(body, rest)
            elif name.startswith("reloc."):
                _check_relocations(body, rest)
    if missing := [each for each in names if each not in place]:
        raise CellsimError(f"the object defines no {', '.join(missing)}.")
    entries = b"".join(_text(each) + bytes([_FUNCTION_KIND]) + _unsigned(place[each]) for each in names)
    export = _section(_EXPORT, _unsigned(len(names)) + entries)
    # sections come in the order of their numbers, the custom ones aside: exports before the code
    before = [_section(kind, body) for kind, body in found if kind != _CUSTOM and kind < _EXPORT]
    after = [_section(kind, body) for kind, body in found if kind > _EXPORT]
    return b"".join([_HEADER, *before, export, *after])


def imported_functions(code: bytes) -> tuple[str, ...]:
    """Names of the functions that a module imports."""
    found = []
    for kind, body in sections(code):
        if kind != _IMPORT:
            continue
        count, at = _read_unsigned(body, 0)
        for _ in range(count):
            _, at = _name(body, at)
            name, at = _name(body, at)
            what, at = body[at], at + 1
            if what == _FUNCTION_KIND:
                found.append(name)
                _, at = _read_unsigned(body, at)
            elif what == _MEMORY_KIND:
                limits, at = body[at], at + 1
                for _ in range(2 if limits & 1 else 1):
                    _, at = _read_unsigned(body, at)
            else:
                raise CellsimError(f"the kernels import {name}, which a page cannot give.")
    return tuple(found)


# ---- the binary format ---------------------------------------------------------------------------


def _unsigned(value: int) -> bytes:
    """A number in LEB128, seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a place, and the place after it."""
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _text(name: str) -> bytes:
    data = name.encode()
    return _unsigned(len(data)) + data


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, at = _read_unsigned(data, at)
    return data[at : at + size].decode(), at + size


def _section(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _unsigned(len(body)) + body


def sections(code: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and body of every section."""
    if code[:8] != _HEADER:
        raise CellsimError("this is no WebAssembly module of version 1.")
    at = 8
    while at < len(code):
        kind = code[at]
        size, at = _read_unsigned(code, at + 1)
        yield kind, code[at : at + size]
        at += size


def _function_symbols(body: bytes, at: int) -> dict[str, int]:
    """Index of every function that the object defines, from its linking section."""
    _, at = _read_unsigned(body, at)  # version
    while at < len(body):
        part = body[at]
        size, at = _read_unsigned(body, at + 1)
        if part == _SYMBOL_TABLE:
            return _defined(body, at)
        at += size
    return {}


def _defined(body: bytes, at: int) -> dict[str, int]:
    found = {}
    count, at = _read_unsigned(body, at)
    for _ in range(count):
        kind = body[at]
        flags, at = _read_unsigned(body, at + 1)
        known = not flags & _UNDEFINED
        if kind == _SECTION_SYMBOL:
            _, at = _read_unsigned(body, at)
        elif kind == _DATA_SYMBOL:
            _, at = _name(body, at)
            for _ in range(3 if known else 0):
                _, at = _read_unsigned(body, at)
        else:  # of a function, a global, a table or a tag
            index, at = _read_unsigned(body, at)
            if known or flags & _NAMED:
                name, at = _name(body, at)
                if known and kind == _FUNCTION_SYMBOL:
                    found[name] = index
    return found


def _check_relocations(body: bytes, at: int) -> None:
    """Refuse places whose number is not final."""
    _, at = _read_unsigned(body, at)  # the section they lie in
    count, at = _read_unsigned(body, at)
    for _ in range(count):
        kind, at = body[at], at + 1
        if kind not in _SETTLED:
            raise CellsimError(
                f"the kernels need a linker (relocation of kind {kind}); these need none: {_SETTLED}."
            )
        for _ in range(2):  # where it lies, and what it is
            _, at = _read_unsigned(body, at)
