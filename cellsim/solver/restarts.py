"""Runs whose states are set anew on the way: resets, and steady states under an endless course of doses.

A run is cut at each such instant into stretches that the engine carries out one after the other. A steady state under
a course is a fixed point of one of its cycles: Newton's method finds it with the cycle's own derivatives, in one step where the
model is linear; where it cannot, cycles are gone through until they repeat. Its derivatives follow from those of
the cycle (the implicit function theorem).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from cellsim.compiler.equations import TIME, Equations
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.compiler.sensitivity_directions import Direction
from cellsim.errors import SimulationError
from cellsim.solver.breakpoints import Doses

if TYPE_CHECKING:
    from cellsim.dosing.delivery import Anew
    from cellsim.solver.integration import Solution

__all__ = [
    "NO_STEADY_STATE",
    "Cycle",
    "Settled",
    "apart_of",
    "cycles_of",
    "in_stretches",
    "settle",
    "unsuited",
]

Array = NDArray[np.float64]
NO_STEADY_STATE = 7
"""What `status` says of a run for which a steady state was not found."""
_SHARP = 1e-2  # of the relative tolerance: how much closer than the run itself cycles are followed
_LEAST = 1e-11  # the closest relative tolerance of a cycle
_FLOOR = 1e-3  # of the largest value of a state: below it, errors count as if it were so large
_NEWTON, _CYCLES, _FIRST = 40, 2000, 2  # steps at most, cycles at most, cycles before the first step
_TRIED = 50  # cycles before one that comes no nearer is given up
_STILL, _FAR = 1e-3, 1e3  # of what cycles moved at most, and of where the first ones came to
_SINGULAR = 1e-9  # about what derivatives of a cycle are wrong by
_SPANS = (
    1.0,
    1e2,
    1e4,
    1e6,
)  # lengths of a constant inflow's cycles that are tried, in the model's unit of time

Cycle = Callable[[Array], tuple[Array, Array]]
"""From states at the beginning of a cycle to those at its end, and their derivatives, shape (n, n)."""


@dataclass(frozen=True)
class Settled:
    """Where cycles lead to; `moving` is the state that still moves most where they lead nowhere, else -1."""

    states: Array
    moving: int = -1


def settle(cycle: Cycle, first: Array, rtol: float) -> Settled:
    """The states that a cycle leads back to, found from `first`.

    Parameters
    ----------
    cycle : callable
    first : (n,) array
    rtol : float
        How near, relative to each state.

    Examples
    --------
    >>> halves = settle(lambda y: (0.5 * (y + 3.0), np.array([[0.5]])), np.array([0.0]), 1e-9)
    >>> float(halves.states[0]), settle(lambda y: (y + 1.0, np.eye(1)), np.array([0.0]), 1e-9).moving
    (3.0, 0)
    """
    found = _by_newton(cycle, first, rtol)
    return _by_cycles(cycle, first, rtol) if found is None else Settled(found)


def _allowed(reached: Array, most: Array, rtol: float) -> Array:
    return rtol * np.maximum(np.abs(reached), np.maximum(_FLOOR * most, 1e-300))


def _by_newton(cycle: Cycle, first: Array, rtol: float) -> Array | None:
    """The fixed point by Newton's method, or None where it gets to none.

    Far out, where a saturable loss no longer grows, every step is small beside the states and nothing is settled: what a cycle
    still moves must have become small beside what cycles moved before, or the states must never have gone far.
    """
    y, most, stirred, before = np.array(first), np.abs(first), np.zeros_like(first), np.inf
    near = np.zeros_like(first)
    for count in range(_NEWTON):
        reached, slopes = cycle(y)
        if not np.isfinite(reached).all():
            return None
        moved, most = reached - y, np.maximum(most, np.abs(reached))
        stirred = np.maximum(stirred, np.abs(moved))
        allowed = _allowed(reached, most, rtol)
        if count < _FIRST:
            y, near = reached, np.maximum(near, np.abs(reached))
            continue
        now = float((np.abs(moved) / allowed).max(initial=0.0))
        step = _newton(moved, slopes)
        if step is None or now > 10.0 * before:
            return None
        if np.any((y + step < -allowed) & (y >= 0) & (reached >= 0)):
            y = reached  # a step across zero: on by one cycle instead
            continue
        y, before = y + step, now
        if np.all(np.abs(step) <= allowed):
            still = (np.abs(moved) <= _STILL * stirred) | ((most <= _FAR * near) & (np.abs(moved) <= allowed))
            return y if still.all() else None
    return None


def _by_cycles(cycle: Cycle, first: Array, rtol: float) -> Settled:
    """Cycle after cycle: each comes nearer by the same share, so what is left is a geometric series."""
    y, most, before = np.array(first), np.abs(first), np.inf
    off = np.zeros_like(y)
    for count in range(_CYCLES):
        reached, _ = cycle(y)
        if not np.isfinite(reached).all():
            return Settled(reached, int(np.argmin(np.isfinite(reached))))
        most = np.maximum(most, np.abs(reached))
        off = np.abs(reached - y) / _allowed(reached, most, rtol)
        now = float(off.max(initial=0.0))
        share = now / before if 0 < before < np.inf else 1.0
        y, before = reached, now
        if count > _FIRST and (now == 0.0 or (share < 1.0 and now * share / (1.0 - share) <= 1.0)):
            return Settled(reached)
        if count > _TRIED and (share >= 1.0 or np.log(now) > -np.log(share) * _CYCLES):
            break
    return Settled(y, int(off.argmax()))


def _newton(moved: Array, slopes: Array) -> Array | None:
    """The step to the fixed point of the linear map at hand (of several, a column each); None where it has none, or many."""
    matrix = np.eye(len(moved)) - slopes
    if not np.isfinite(matrix).all():
        return None
    scale = np.maximum(np.abs(matrix).max(axis=1, initial=0.0), 1.0)
    if np.linalg.svd(matrix / scale[:, None], compute_uv=False).min(initial=1.0) < _SINGULAR:
        return None
    return np.asarray(np.linalg.solve(matrix, moved))


def cycles_of(anew: Anew) -> list[tuple[float, Doses]]:
    """Lengths of one cycle to be tried, and its doses."""
    if np.isfinite(anew.length):
        return [(anew.length, Doses(anew.boluses, anew.inflows))]
    return [
        (span, Doses((), tuple((on, span, state, rate) for on, _, state, rate in anew.inflows)))
        for span in _SPANS
    ]


@lru_cache(maxsize=64)
def _names_of(equations: Equations) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """What each rate depends on, through definitions too, and what events look at or set."""
    known = dict(equations.definitions)

    def names(formulas: Sequence[sp.Basic]) -> frozenset[str]:
        found: set[str] = set()
        rest = {each.name for formula in formulas for each in formula.free_symbols}
        while rest:
            name = rest.pop()
            if name not in found:
                found.add(name)
                if name in known:
                    rest |= {each.name for each in known[name].free_symbols}
        return frozenset(found)

    of_events = {target for event in equations.events for target, _ in event.assignments}
    asked = [event.condition for event in equations.events]
    asked += [value for event in equations.events for _, value in event.assignments]
    rates = {name: names([rate]) for name, rate in zip(equations.states, equations.rates, strict=True)}
    return rates, names(asked) | of_events


def apart_of(equations: Equations, courses: Sequence[Anew]) -> NDArray[np.bool_]:
    """States that only add up what others do, such as areas: nothing looks at them, so they have no steady state and need none.

    Those that a course itself puts something into are none of them.
    """
    rates, events = _names_of(equations)
    seen = set(events.union(*rates.values())) if rates else set(events)
    seen |= {str(state) for each in courses for _, state, _ in each.boluses}
    seen |= {str(state) for each in courses for _, _, state, _ in each.inflows}
    return np.array([name not in seen for name in equations.states], bool)


def unsuited(equations: Equations, anew: Anew) -> str:
    """Why these equations have no such steady state; empty where they may."""
    rates, events = _names_of(equations)
    for name, apart in zip(equations.states, apart_of(equations, [anew]), strict=True):
        if not apart and TIME.name in rates[name]:
            return f"{name} depends on the time itself, so no course of doses leads to a steady state."
    if TIME.name in events:
        return "an event depends on the time itself, so no course of doses leads to a steady state."
    if anew.added and equations.events:
        return "steady states are added in linear models only, and this one has events."
    if anew.added and (bent := _bent(equations, tuple(apart_of(equations, [anew])))):
        return f"steady states are added in linear models only, and the rate of {bent} is not linear."
    return ""


@lru_cache(maxsize=64)
def _bent(equations: Equations, left_out: tuple[bool, ...]) -> str:
    """The first state whose rate is not linear in the states; empty when there is none."""
    states = {sp.Symbol(name) for name in equations.states}
    inner = dict(equations.definitions)
    for name, rate, apart in zip(equations.states, equations.rates, left_out, strict=True):
        if apart:
            continue
        plain = rate
        for _ in inner:
            plain = plain.subs({sp.Symbol(each): formula for each, formula in inner.items()})
        plain = plain.subs({each: sp.Symbol(each.name) for each in plain.free_symbols})
        here = sorted(plain.free_symbols & states, key=str)
        slopes = [sp.diff(plain, each) for each in here]
        if any(
            sp.simplify(slope).free_symbols & states or slope.has(sp.Piecewise, sp.Abs) for slope in slopes
        ):
            return name
    return ""


@lru_cache(maxsize=64)
def _whole(equations: Equations) -> Kernels:
    """The same equations, with every state as an output, so that states can be differentiated."""
    shown = tuple(sp.Symbol(name) for name in equations.states)
    return compile_equations(replace(equations, outputs=shown, output_names=equations.states))


def in_stretches(
    run: Callable[..., Solution],
    kernels: Kernels,
    parameters: Array,
    doses: Sequence[Doses],
    times: Array,
    *,
    start_states: Array | None,
    peak_share: Array,
    keep_states: bool,
    **options: Any,
) -> Solution:
    """Carry sets through restarts, one after the other; as :func:`cellsim.solver.integration.integrate`, which is `run`.

    Parameters
    ----------
    run : callable
    parameters, times : (n_sets, n_parameters) and (n_sets, n_times) arrays
    doses : sequence of Doses
        One for all, or one for each set.
    start_states, peak_share : (n_sets, n_states) arrays
    keep_states : bool
    **options
        The others of `run`.

    Returns
    -------
    Solution

    Raises
    ------
    SimulationError
        A restart before the start, equations that have no steady state, derivatives along anything but parameters.
    """
    found = [
        _Stretches(run, kernels, p, doses[0 if len(doses) == 1 else i], peak_share[i], options).carried(
            times[i], None if start_states is None else start_states[i]
        )
        for i, p in enumerate(parameters)
    ]

    def all_of(name: str) -> Any:
        each = [getattr(one, name) for one in found]
        return None if each[0] is None else np.concatenate(each)

    joined = {
        name: all_of(name)
        for name in (
            "outputs",
            "output_rates",
            "sensitivities",
            "status",
            "culprits",
            "greatest",
            "greatest_at",
        )
    }
    states = all_of("states")
    return replace(
        found[0],
        times=times,
        states=states if keep_states else states[:, :, :0],
        **joined,
        messages=tuple(message for one in found for message in one.messages),
        paths=tuple(path for one in found for path in one.paths),
        steps=sum(one.steps for one in found),
        rejected=sum(one.rejected for one in found),
    )


class _Stretches:
    """One set on its way through restarts."""

    def __init__(
        self,
        run: Callable[..., Solution],
        kernels: Kernels,
        p: Array,
        doses: Doses,
        shares: Array,
        options: dict[str, Any],
    ) -> None:
        self.run, self.kernels, self.p, self.doses, self.shares = run, kernels, p, doses, shares
        self.start, self.rtol, self.end = options["start"], options["rtol"], options["end"]
        self.names = None if options["directions"] is None else list(options["directions"])
        self.options = options
        self.apart = apart_of(kernels.equations, doses.anew)
        # areas that a question asks for go on through restarts: no name of a model has a space
        self.lasting = np.array([" " in name for name in kernels.equations.states], bool)
        for each in self.names or ():
            if not isinstance(each, str) and not (isinstance(each, Direction) and each.kind == "parameter"):
                raise SimulationError(
                    "Runs with resets or steady states are differentiated along parameters only."
                )

    def carried(self, times: Array, given: Array | None) -> Solution:
        """From the start to the end."""
        last = max([self.start, *times.tolist(), *([] if self.end is None else [self.end])])
        coming = [each for each in self.doses.anew if each.day <= last]
        for each in coming:
            if each.day < self.start:
                raise SimulationError(
                    f"States are set anew on day {each.day:g}, before the start on day {self.start:g}."
                )
            if each.length and (why := unsuited(self.kernels.equations, each)):
                raise SimulationError(f"{each.said}: {why}")
        edges = sorted({self.start, *(each.day for each in coming)})
        y, dy = given, None
        total: Solution | None = None
        for begin, after in zip(edges, [*edges[1:], np.inf], strict=True):
            stop = min(last, float(np.nextafter(after, -np.inf)))
            lost = ""
            for each in coming:
                if each.day == begin and not lost:
                    y, dy, lost = self._set_anew(each, y, dy, given)
            piece = self._stretch(np.append(np.clip(times, begin, stop), stop), begin, stop, y, dy)
            if lost:
                piece = _without_end(piece, lost)
            total = _followed_by(total, piece, (times >= begin) & (times < after))
            if piece.status[0]:
                break
            if after < np.inf:
                ends = piece.states[0, -1]
                y, dy = ends, self._slopes(begin, stop, y, dy) if self.names else None
        assert total is not None
        return total

    # ---- stretches --------------------------------------------------------------------------------

    def _within(self, begin: float, stop: float) -> Doses:
        jumps = tuple(each for each in self.doses.jumps if begin <= each[0] <= stop)
        rates = tuple(
            (max(on, begin), off, state, rate)
            for on, off, state, rate in self.doses.rates
            if on <= stop and off > begin
        )
        return Doses(jumps, rates)

    def _stretch(
        self, times: Array, begin: float, stop: float, y: Array | None, dy: Array | None
    ) -> Solution:
        """One stretch; `dy` holds derivatives of `y` along the directions, None where they are the engine's own."""
        names = self.names
        if names is not None and dy is not None:
            names = [*names, *(("initial", state) for state in self.kernels.equations.states)]
        found = self.run(
            self.kernels,
            self.p,
            self._within(begin, stop),
            times,
            start_states=y,
            peak_share=self.shares,
            **{**self.options, "start": begin, "end": stop, "directions": names},
        )
        if names is None or dy is None or found.sensitivities is None or self.names is None:
            return found
        own = len(self.names)
        slopes = found.sensitivities[..., :own] + found.sensitivities[..., own:] @ dy
        return replace(found, sensitivities=slopes)

    def _slopes(self, begin: float, stop: float, y: Array | None, dy: Array | None) -> Array:
        """Derivatives of the states at the end of a stretch."""
        _, slopes = self._along(self._within(begin, stop), begin, stop, y, bool(dy is not None))
        assert self.names is not None
        own = len(self.names)
        return slopes[:, :own] if dy is None else slopes[:, :own] + slopes[:, own:] @ dy

    def _along(
        self, doses: Doses, begin: float, stop: float, y: Array | None, initial: bool, *, own: bool = True
    ) -> tuple[Array, Array]:
        """States at `stop`, and their derivatives along the directions asked for and, if wanted, those at `begin`."""
        names: list[Any] = list(self.names or ()) if own else []
        if initial:
            names += [("initial", state) for state in self.kernels.equations.states]
        found = self.run(
            _whole(replace(self.kernels.equations, outputs=(), output_names=())),
            self.p,
            doses,
            [stop],
            start=begin,
            start_states=y,
            rtol=max(_SHARP * self.rtol, _LEAST),
            directions=names,
        )
        self.why = found.messages[0]
        assert found.sensitivities is not None
        return found.outputs[0, 0], found.sensitivities[0, 0]

    # ---- states set anew --------------------------------------------------------------------------

    def _set_anew(
        self, each: Anew, y: Array | None, dy: Array | None, given: Array | None
    ) -> tuple[Array | None, Array | None, str]:
        """States behind a restart, their derivatives, and why there are none."""
        if not each.length and (y is None or not self.lasting.any()):
            return given, None, ""
        first = self.kernels.initial(self.p, each.day) if given is None else given
        first_slopes = None
        if self.names:
            first_slopes = np.zeros((len(first), len(self.names)))
            if given is None:
                first_slopes = self._along(Doses(), each.day, each.day, None, initial=False)[1]
        if each.added:
            states, slopes, lost = self._course(each, np.zeros(len(first)))
            if lost:
                return first, None, lost
            there = first_slopes if dy is None else dy
            return (
                (first if y is None else y) + states,
                None if slopes is None or there is None else slopes + there,
                "",
            )
        states, slopes = first.copy(), first_slopes
        if each.length:
            found, found_slopes, lost = self._course(each, first)
            if lost:
                return first, None, lost
            states[~self.apart] = found[~self.apart]
            if slopes is not None and found_slopes is not None:
                slopes = np.where(self.apart[:, None], slopes, found_slopes)
        if y is not None:
            states = np.where(self.lasting, y, states)
            if slopes is not None and dy is not None:
                slopes = np.where(self.lasting[:, None], dy, slopes)
        return states, slopes, ""

    def _course(self, each: Anew, first: Array) -> tuple[Array, Array | None, str]:
        """The steady state of a course (of what it adds, where it is added), its derivatives, and why there is none."""
        lost, rest = "", np.flatnonzero(~self.apart)
        for length, doses in cycles_of(each):
            without, without_slopes = np.zeros(len(first)), np.zeros((len(first), 0))
            if each.added:
                without, without_slopes = self._along(
                    Doses(), 0.0, length, np.zeros(len(first)), initial=False
                )

            def cycle(
                y: Array, doses: Doses = doses, length: float = length, less: Array = without
            ) -> tuple[Array, Array]:
                begun = first.copy()
                begun[rest] = y
                reached, slopes = self._along(doses, 0.0, length, begun, initial=True, own=False)
                return (reached - less)[rest], slopes[np.ix_(rest, rest)]

            found = settle(cycle, first[rest], self.rtol)
            if found.moving >= 0:
                state = self.kernels.equations.states[rest[found.moving]]
                lost = (
                    lost or f"{each.said}: no steady state was found: {self.why or f'{state} still moves.'}"
                )
                continue
            states = np.zeros(len(first))
            states[rest] = found.states
            if not self.names:
                return states, None, ""
            begun = first.copy()
            begun[rest] = found.states
            _, slopes = self._along(doses, 0.0, length, begun, initial=True)
            own = len(self.names)
            moved = slopes[:, :own] - (without_slopes if each.added else 0.0)
            turned = _newton(moved[rest], slopes[:, own:][np.ix_(rest, rest)])
            if turned is not None:
                whole = np.zeros((len(first), own))
                whole[rest] = turned
                return states, whole, ""
            lost = f"{each.said}: the steady state has no derivative, because it depends on where it began."
        return first, None, lost


def _without_end(piece: Solution, why: str) -> Solution:
    """A stretch that could not begin."""
    return replace(
        piece,
        states=np.full_like(piece.states, np.nan),
        outputs=np.full_like(piece.outputs, np.nan),
        output_rates=None if piece.output_rates is None else np.full_like(piece.output_rates, np.nan),
        sensitivities=None if piece.sensitivities is None else np.full_like(piece.sensitivities, np.nan),
        status=np.array([NO_STEADY_STATE]),
        messages=(why,),
        paths=(),
    )


def _followed_by(total: Solution | None, piece: Solution, here: NDArray[np.bool_]) -> Solution:
    """A solution up to a stretch and the stretch, whose samples are those `here`; its own last one is left out."""

    def put(name: str) -> Any:
        new = getattr(piece, name)
        if new is None:
            return None
        old = None if total is None else getattr(total, name)
        kept = np.full_like(new[:, :-1], np.nan) if old is None else old.copy()
        kept[:, here] = new[:, :-1][:, here]
        return kept

    fields = {name: put(name) for name in ("states", "outputs", "output_rates", "sensitivities")}
    if total is None:
        return replace(piece, times=piece.times[..., :-1], **fields)
    higher = ~(total.greatest >= piece.greatest)
    paths = piece.paths
    if total.paths and piece.paths:
        paths = (replace(total.paths[0], rows=np.concatenate([total.paths[0].rows, piece.paths[0].rows])),)
    return replace(
        total,
        **fields,
        status=piece.status,
        messages=piece.messages,
        steps=total.steps + piece.steps,
        rejected=total.rejected + piece.rejected,
        paths=paths or total.paths,
        greatest=np.where(higher, piece.greatest, total.greatest),
        greatest_at=np.where(higher, piece.greatest_at, total.greatest_at),
    )
