"""Many simulations without keeping them: sets go in by a generator, solutions come out chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.errors import SimulationError
from cellsim.solver.integration import Doses, Solution, integrate

__all__ = ["stream"]

_NOTHING = Doses()


def stream(
    kernels: Kernels,
    parameter_sets: Iterable[ArrayLike],
    doses: Doses | Sequence[Doses] = _NOTHING,
    times: ArrayLike = (),
    *,
    chunk: int = 512,
    into: NDArray[np.float64] | None = None,
    **options: Any,
) -> Iterator[Solution]:
    """Integrate parameter sets as they come, each under every schedule; memory is that of one chunk.

    Parameters
    ----------
    kernels : Kernels
    parameter_sets : iterable of (n_parameters,) arrays
        Read only as far as the next chunk needs; a generator may be endless.
    doses : Doses, or sequence of Doses
        One schedule, or several: what they have in common from the start is integrated once.
    times : (n_times,) array
        When to sample.
    chunk : int
        Parameter sets integrated together. The numbers do not depend on it, to the tolerance asked for.
    into : (n_schedules, n_sets, n_times, n_outputs) array, optional
        Where the outputs of all chunks go, in whatever order it has them in memory.
    **options
        As for :func:`cellsim.solver.integration.integrate`, the same for all sets.

    Yields
    ------
    Solution
        Of up to `chunk` parameter sets under each of n_schedules, ``n_sets = n_schedules * size of chunk``:
        first all of them, in the order given, under the first schedule, then under the second, and so on. So
        ``outputs.reshape(n_schedules, -1, n_times, n_outputs)`` has an axis for each.

    Raises
    ------
    SimulationError
        For a chunk below one, no schedule at all, and as :func:`cellsim.solver.integration.integrate` does.

    Examples
    --------
    >>> import sympy as sp
    >>> from cellsim.compiler.equations import Equations
    >>> from cellsim.compiler.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> decay = compile_equations(Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),)))
    >>> rates = ([0.1 * i] for i in range(1, 6))
    >>> [len(each.status) for each in stream(decay, rates, times=[1.0], chunk=2)]
    [2, 2, 1]
    >>> plans = (Doses(), Doses(jumps=((0.5, "x", 1.0),)))
    >>> [each.states.shape for each in stream(decay, [[0.1], [0.2], [0.3]], plans, [1.0, 2.0])]
    [(6, 2, 1)]
    """
    if chunk < 1:
        raise SimulationError(f"chunk = {chunk}: at least one set at a time.")
    schedules = (doses,) if isinstance(doses, Doses) else tuple(doses)
    if not schedules:
        raise SimulationError("No schedules: give Doses() for a run without any.")
    coming, done = iter(parameter_sets), 0
    while block := list(islice(coming, chunk)):
        sets = np.tile(np.array(block, float), (len(schedules), 1))
        each = [one for one in schedules for _ in block]
        room = None if into is None else into[:, done : done + len(block)]
        yield integrate(kernels, sets, each if len(schedules) > 1 else schedules, times, into=room, **options)
        done += len(block)
