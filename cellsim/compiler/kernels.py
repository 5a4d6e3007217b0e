"""Machine code for one set of equations, compiled when first asked for and remembered by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import local

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.compiler.derivatives import System
from cellsim.compiler.equations import Equations
from cellsim.compiler.graph import WRITING
from cellsim.compiler.llvm import Assembly, CompiledKernels, assemble
from cellsim.compiler.writer import Writer

__all__ = ["Kernels", "compile_equations"]

Array = NDArray[np.float64]


@dataclass(eq=False)
class Kernels:
    """Compiled equations. Make it with `compile_equations`, which remembers what it compiled.

    Attributes
    ----------
    equations : Equations
        What was compiled.

    Examples
    --------
    >>> import numpy as np, sympy as sp
    >>> x, k = sp.symbols("x k")
    >>> decay = Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),))
    >>> kernels = compile_equations(decay)
    >>> kernels.rhs(0.0, [2.0], [0.5]), kernels.jacobian(0.0, [2.0], [0.5])
    (array([-1.]), array([[-0.5]]))
    """

    equations: Equations
    _units: dict[int, CompiledKernels] = field(default_factory=dict, repr=False)
    _writers: dict[int, Writer] = field(default_factory=dict, repr=False)
    _inside: dict[tuple[int, tuple[int, ...]], Assembly] = field(default_factory=dict, repr=False)
    _of_thread: local = field(default_factory=local, repr=False)

    def __reduce__(self) -> tuple[Callable[[Equations], Kernels], tuple[Equations]]:
        # addresses of machine code mean nothing in another process; there it is made again at first use
        return compile_equations, (self.equations,)

    @property
    def states(self) -> tuple[str, ...]:
        """Order of ``y``."""
        return self.equations.states

    @property
    def parameters(self) -> tuple[str, ...]:
        """Order of ``p``."""
        return self.equations.parameters

    @property
    def system(self) -> System:
        """The graph and its derivatives."""
        return self.equations.system

    def unit(self, width: int = 1) -> CompiledKernels:
        """The kernels for `width` simulations side by side, compiled at first use."""
        if width not in self._units:
            with WRITING:
                if width not in self._units:
                    writer = Writer(self.system, width)
                    code = assemble(writer.all(), writer.externals)
                    self._writers[width] = writer
                    self._units[width] = CompiledKernels(
                        writer.layout, width, code.address, len(writer.kept), code.engines
                    )
        return self._units[width]

    def inside(self, width: int, outputs: tuple[int, ...]) -> int:
        """The address of a kernel that reads some outputs inside a step, compiled at first use (see `Writer.inside`)."""
        if (width, outputs) not in self._inside:
            writer = self.writer(width)
            with WRITING:
                if (width, outputs) not in self._inside:
                    code = writer.inside("inside", outputs)
                    self._inside[width, outputs] = assemble([code], writer.externals)
        return self._inside[width, outputs].address["inside"]

    def writer(self, width: int = 1) -> Writer:
        """How the kernels of this width are laid out."""
        self.unit(width)
        return self._writers[width]

    @property
    def _scratch(self) -> Array:
        """A workspace of this thread's own: while a kernel runs, others write their numbers."""
        found: Array | None = getattr(self._of_thread, "workspace", None)
        if found is None:
            found = self._of_thread.workspace = self.unit().workspace()
        return found

    def _load(
        self,
        t: float,
        y: ArrayLike | None,
        p: ArrayLike,
        slot: str = "y",
        middle: float | None = None,
        peaks: ArrayLike | None = None,
    ) -> Array:
        lay, w, n = self.unit().layout, self._scratch, len(self.equations.states)
        w[lay["p"] : lay["p"] + len(self.equations.parameters)] = p
        if y is not None:
            w[lay[slot] : lay[slot] + n] = y
            w[lay["peak"] : lay["peak"] + n] = np.maximum(np.abs(y), 1.0) if peaks is None else peaks
        if self.system.clock is not None:
            w[lay[slot] + n] = t
        if self.system.middle is not None:
            w[lay[slot] + n + 1] = t if middle is None else middle
        self.unit().call("prepare", w)
        if y is not None and self.system.modes:
            if slot != "ys":
                w[lay["ys"] : lay["ys"] + n + 2] = w[lay[slot] : lay[slot] + n + 2]
            self.unit().call("modes", w)
            modes = len(self.system.modes)
            w[lay[slot] + n + 2 : lay[slot] + n + 2 + modes] = w[lay["modes"] : lay["modes"] + modes]
        return w

    def initial(self, p: ArrayLike, t: float = 0.0) -> Array:
        """Initial values, shape (n_states,), of parameters with shape (n_parameters,)."""
        w, at = self._load(t, None, p), self.unit().layout["y"]
        self.unit().call("initial", w)
        return w[at : at + len(self.equations.states)].copy()

    def rhs(
        self,
        t: float,
        y: ArrayLike,
        p: ArrayLike,
        middle: float | None = None,
        *,
        peaks: ArrayLike | None = None,
    ) -> Array:
        """Rates of change (n_states,), zero-order inputs aside; `y` (n_states,), `p` (n_parameters,).

        Conditions on time alone are asked at `middle`, or at `t` if that is left out. `peaks` are the largest values
        that the states have had (see `cellsim.compiler.graph.SLACK`); by default those at hand, and at least 1.
        """
        w, at = self._load(t, y, p, middle=middle, peaks=peaks), self.unit().layout["f"]
        self.unit().call("rhs", w)
        return w[at : at + len(self.equations.states)].copy()

    def outputs(self, t: float, y: ArrayLike, p: ArrayLike) -> Array:
        """Outputs, shape (n_outputs,)."""
        w, at = self._load(t, y, p, "ys"), self.unit().layout["g"]
        self.unit().call("observe", w)
        return w[at : at + len(self.equations.outputs)].copy()

    def conditions(self, t: float, y: ArrayLike, p: ArrayLike, middle: float) -> NDArray[np.bool_]:
        """Which events that wait for states have their condition met, shape (n_located,)."""
        w, at = self._load(t, y, p, "ys", middle), self.unit().layout["roots"]
        self.unit().call("conditions", w)
        return w[at : at + len(self.system.located)] > 0.5  # 1 is true, 0 is false

    def gaps(self, days: Array, states: Array, p: ArrayLike, middle: float) -> Array:
        """What crosses zero where a condition on states turns, shape (n_days, n_gaps).

        `days` (n_days,), `states` (n_states, n_days). What depends on parameters alone is computed once: a witness asks
        on many days of each of its steps.
        """
        found = np.empty((len(days), len(self.system.gaps)))
        if not found.size:
            return found
        w, unit = self._load(days[0], states[:, 0], p, "ys", middle), self.unit()
        at, y, peak, n = (*(unit.layout[slot] for slot in ("gaps", "ys", "peak")), len(self.equations.states))
        peaks, modes = np.maximum(np.abs(states), 1.0), len(self.system.modes)
        for each, day in enumerate(days):
            w[y : y + n] = states[:, each]
            w[peak : peak + n] = peaks[:, each]
            if self.system.clock is not None:
                w[y + n] = day
            if modes:
                unit.call("modes", w)
                w[y + n + 2 : y + n + 2 + modes] = w[unit.layout["modes"] : unit.layout["modes"] + modes]
            unit.call("gaps", w)
            found[each] = w[at : at + found.shape[1]]
        return found

    def event(self, event: int, t: float, y: ArrayLike, p: ArrayLike) -> list[tuple[int, float]]:
        """States that an event sets, and their new values."""
        w, at = self._load(t, y, p), self.unit().layout["ys"]
        self.unit().call(f"event{event}", w)
        return [(i, float(w[at + i])) for i, _ in self.system.assignments[event]]

    def jacobian(
        self,
        t: float,
        y: ArrayLike,
        p: ArrayLike,
        middle: float | None = None,
        *,
        peaks: ArrayLike | None = None,
    ) -> Array:
        """d rhs / d y, dense, shape (n_states, n_states); `middle` and `peaks` as for `rhs`."""
        w, unit, system = self._load(t, y, p, middle=middle, peaks=peaks), self.unit(), self.system
        unit.call("jac", w)
        size, n = system.n + len(system.auxiliaries), len(self.equations.states)
        full = np.zeros((size, size))
        writer = self.writer()
        for (i, j), node in system.jacobian.items():
            constant = system.graph.value(node)
            if constant is not None:
                full[i, j] = constant
            elif node in writer.kept:
                full[i, j] = w[unit.layout["q"] + writer.kept[node]]
            else:
                full[i, j] = w[unit.layout["jacobian"] + writer.jacobian_slot[node]]
        m = system.n  # eliminate the auxiliaries: J = F_y + F_a (I - G_a)^-1 G_y
        inner = np.linalg.solve(np.eye(size - m) - full[m:, m:], full[m:, :m])
        return (full[:m, :m] + full[:m, m:] @ inner)[:n, :n]


@lru_cache(maxsize=128)
def compile_equations(equations: Equations) -> Kernels:
    """Kernels of equations; equal equations share them. Compiling happens at first use, per lane width."""
    return Kernels(equations)
