"""Many simulations without keeping them: sets go in by a generator, solutions come out chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cellsim.errors import SimulationError
from cellsim.kernels import Kernels
from cellsim.solver import Doses, Solution, integrate

__all__ = ["stream"]

_NOTHING = Doses()


def stream(
    kernels: Kernels,
    parameter_sets: Iterable[ArrayLike],
    doses: Doses = _NOTHING,
    times: ArrayLike = (),
    *,
    chunk: int = 512,
    **options: Any,
) -> Iterator[Solution]:
    """Integrate parameter sets as they come; memory is that of one chunk, however many there are.

    Parameters
    ----------
    kernels : Kernels
    parameter_sets : iterable of (n_parameters,) arrays
        Read only as far as the next chunk needs; a generator may be endless.
    doses : Doses
        For all sets.
    times : (n_times,) array
        When to sample.
    chunk : int
        Sets integrated together. The numbers do not depend on it, to the tolerance asked for.
    **options
        As for :func:`cellsim.solver.integrate`.

    Yields
    ------
    Solution
        Of up to `chunk` sets, in the order given.

    Raises
    ------
    SimulationError
        For a chunk below one, and as :func:`cellsim.solver.integrate` does.

    Examples
    --------
    >>> import sympy as sp
    >>> from cellsim.equations import Equations
    >>> from cellsim.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> decay = compile_equations(Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),)))
    >>> rates = ([0.1 * i] for i in range(1, 6))
    >>> [len(each.status) for each in stream(decay, rates, times=[1.0], chunk=2)]
    [2, 2, 1]
    """
    if chunk < 1:
        raise SimulationError(f"chunk = {chunk}: at least one set at a time.")
    coming = iter(parameter_sets)
    while block := list(islice(coming, chunk)):
        yield integrate(kernels, np.array(block, float), doses, times, **options)
