"""Where a system comes to rest, found by following it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.solver.integration import integrate

__all__ = ["SteadyState", "steady_state"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SteadyState:
    """Where each parameter set comes to rest.

    Attributes
    ----------
    states : (n_sets, n_states) array
        NaN where no rest was found.
    times : (n_sets,) array
        How long after the start rest was reached.
    found : (n_sets,) bool array
    messages : tuple of str
        Why not, one per set; empty where found.
    """

    states: Array
    times: Array
    found: NDArray[np.bool_]
    messages: tuple[str, ...]


def steady_state(
    kernels: Kernels,
    parameters: ArrayLike,
    *,
    start: float = 0.0,
    start_states: ArrayLike | None = None,
    rtol: float = 1e-6,
    atol: float | None = 1e-9,
    longest: float = 1e8,
) -> SteadyState:
    """Integrate over a very long time and see from when on nothing changes.

    At rest means that from some time to the end, at least four times as long, every state stays within
    ``atol + rtol |y|`` of its last value; what is slower than that counts as resting. Following the
    system, rather than solving for a root, finds the rest that these initial values lead to, and keeps
    conserved totals. The step grows with the span, so a hundred times longer costs a few steps more.

    Parameters
    ----------
    kernels : Kernels
    parameters : (n_parameters,) or (n_sets, n_parameters) array
    start : float
        Time of the initial values.
    start_states : (n_states,) or (n_sets, n_states) array, optional
        Instead of the model's initial values.
    rtol, atol : float
        How still is still; the integration is ten times as accurate. With None for `atol` it is `rtol` times the largest value
        that each state has had, in whatever unit it is counted.
    longest : float
        When to give up, in the model's time unit.

    Returns
    -------
    SteadyState

    Examples
    --------
    >>> import sympy as sp
    >>> from cellsim.compiler.equations import Equations
    >>> from cellsim.compiler.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> kernels = compile_equations(Equations(("x",), ("k",), (3 - k * x,), (sp.Integer(0),)))
    >>> steady_state(kernels, [[0.5], [2.0]]).states.round(4)
    array([[6. ],
           [1.5]])
    """
    p = np.atleast_2d(np.asarray(parameters, float))
    spans = longest / 4.0 ** np.arange(40)[::-1]
    spans = spans[spans > 1e-6]
    solution = integrate(
        kernels,
        p,
        times=start + spans,
        start=start,
        start_states=start_states,
        rtol=0.1 * rtol,
        atol=None if atol is None else 0.1 * atol,
    )
    states = np.full((len(p), len(kernels.states)), np.nan)
    times, found, messages = np.full(len(p), np.nan), np.zeros(len(p), bool), []
    for i in range(len(p)):
        path = solution.states[i]
        least = rtol * np.abs(path).max(axis=0, initial=0.0) if atol is None else atol
        gap = np.abs(path - path[-1]) - least - rtol * np.abs(path[-1])
        moving = np.flatnonzero(~(gap.max(axis=1, initial=0.0) <= 0))
        since = moving[-1] + 1 if moving.size else 0
        if since < len(spans) - 1:
            states[i], times[i], found[i] = path[-1], spans[since], True
        if found[i]:
            messages.append("")
        elif solution.status[i]:
            messages.append(solution.messages[i])
        else:
            messages.append(f"{kernels.states[int(gap[-2].argmax())]} still moves after {longest:g}.")
    return SteadyState(states, times, found, tuple(messages))
