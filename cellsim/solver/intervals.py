"""Graph nodes as numbers and as intervals, and all zeros of one on a stretch of time, and where it rises or falls steeply.

Interval arithmetic (Moore, *Interval Analysis*, 1966) encloses every value a formula takes while time runs over an
interval. Where the enclosure excludes zero there is no zero; where that of the derivative does, there is at most
one. Other intervals are halved until one of the two holds, so no zero is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.graph import BOOLEAN, FLOOR_OF_BASES, Graph

__all__ = ["MOST", "TooManyError", "enclosures", "steep_days", "values", "zeros"]

Array = NDArray[np.float64]
Interval = tuple[Any, Any]
MOST = 20_000  # zeros of one expression; and, times ten, intervals looked at together
_NARROW = 1e-10  # of the time or the span: an interval this short is taken for a point
_RESOLVED = 1e-12  # of a value: its enclosure is not narrower, as every operation rounds
_FLAT = 1e-3  # of the range of a function: where it stays within that, it stands still
# a rise is steep if it is this much shorter than the way to the next one, on one side at least
_STEEP = 0.25
_ROUNDING = 8 * np.finfo(float).eps

_POINT: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "mul": np.multiply,
    "neg": np.negative,
    "recip": np.reciprocal,
    "quotient": np.divide,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "floor": np.floor,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "min": np.minimum,
    "max": np.maximum,
    "pos": lambda a: np.maximum(a, FLOOR_OF_BASES),
    "parity": lambda a: np.where(np.mod(a, 2) == 0, 1.0, np.where(np.mod(a, 2) == 1, -1.0, np.nan)),
    "select": np.where,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "not": np.logical_not,
}


class TooManyError(Exception):
    """There are more zeros than can be told apart, or the formula is zero for a while."""


def values(
    graph: Graph, nodes: Sequence[int], inputs: Mapping[int, Any], known: Mapping[int, Any] | None = None
) -> list[Any]:
    """Nodes at points.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of int
    inputs : mapping of int to float or array
        Of every input these nodes need; arrays of one shape.
    known : mapping, optional
        Nodes that have this value whatever they are made of.

    Examples
    --------
    >>> graph = Graph()
    >>> time = graph.input("y", 0)
    >>> [float(each) for each in values(graph, [graph.mul(time, time)], {time: 3.0})]
    [9.0]
    """
    found: dict[int, Any] = {**inputs, **(known or {})}
    with np.errstate(all="ignore"):
        for node in graph.reachable(nodes, stop=found):
            if node in found:
                continue
            op, args = graph.ops[node], graph.args[node]
            found[node] = args[0] if op == "const" else _POINT[op](*(found[arg] for arg in args))
    return [found[node] for node in nodes]


def _out(low: Any, high: Any) -> Interval:
    """What an inexact operation found, a little wider."""
    return np.nextafter(low, -np.inf), np.nextafter(high, np.inf)


def _rising(function: Callable[..., Any]) -> Callable[[Interval], Interval]:
    def of(a: Interval) -> Interval:
        low, high = function(a[0]), function(a[1])
        wide, most = (
            4 * np.finfo(float).eps,
            np.finfo(float).max,
        )  # the library's own rounding; what is beyond all numbers
        return _out(
            np.where(low == np.inf, most, low - wide * np.abs(low)),
            np.where(high == -np.inf, -most, high + wide * np.abs(high)),
        )

    return of


def _times(a: Interval, b: Interval) -> Interval:
    none = np.isnan(a[0]) | np.isnan(b[0])  # what has no value anywhere there
    corners = [x * y for x in a for y in b]
    # 0 times a bound that is infinite
    corners = [np.where(np.isnan(each) & ~none, 0.0, each) for each in corners]
    return _out(np.minimum.reduce(corners), np.maximum.reduce(corners))


def _inverse(a: Interval) -> Interval:
    low, high = a
    across = (low <= 0) & (high >= 0)
    return _out(
        np.where(across, -np.inf, 1 / np.asarray(high)), np.where(across, np.inf, 1 / np.asarray(low))
    )


def _logarithm(a: Interval) -> Interval:
    low, high = _rising(np.log)((np.maximum(a[0], 0.0), a[1]))
    return low, high


def _root(a: Interval) -> Interval:
    return _rising(np.sqrt)((np.maximum(a[0], 0.0), a[1]))


def _within(
    low: float, high: float, enclose: Callable[[Interval], Interval]
) -> Callable[[Interval], Interval]:
    """A function with values between two arguments only: what reaches beyond them, by rounding too, is cut off."""
    return lambda a: enclose((np.clip(a[0], low, high), np.clip(a[1], low, high)))


def _size(a: Interval) -> Interval:
    low, high = np.abs(a[0]), np.abs(a[1])
    across = (a[0] <= 0) & (a[1] >= 0)
    return np.where(across, 0.0, np.minimum(low, high)), np.maximum(low, high)


def _wave(a: Interval, peak: float) -> Interval:
    """A cosine shifted so that it has a largest value at `peak`."""
    low, high = (np.cos(np.asarray(each) - peak) for each in a)

    def passes(at: float) -> Any:  # a little beyond both ends, for rounding
        wide = _ROUNDING * (1 + np.abs(a[0]) + np.abs(a[1]))
        first, last = (a[0] - wide - at) / (2 * np.pi), (a[1] + wide - at) / (2 * np.pi)
        return np.floor(last) >= np.ceil(first)

    bottom = np.where(passes(peak + np.pi), -1.0, np.minimum(low, high) - _ROUNDING * (1 + np.abs(a[0])))
    top = np.where(passes(peak), 1.0, np.maximum(low, high) + _ROUNDING * (1 + np.abs(a[1])))
    return bottom, top


def _tangent(a: Interval) -> Interval:
    low, high = _rising(np.tan)(a)
    pole = np.floor((a[1] - np.pi / 2) / np.pi) != np.floor((a[0] - np.pi / 2) / np.pi)
    pole = pole | ~(high >= low)
    return np.where(pole, -np.inf, low), np.where(pole, np.inf, high)


def _either(condition: Interval, a: Interval, b: Interval) -> Interval:
    surely, possibly = condition
    low, high = np.fmin(a[0], b[0]), np.fmax(a[1], b[1])  # what has no value adds none
    return (
        np.where(surely, a[0], np.where(possibly, low, b[0])),
        np.where(surely, a[1], np.where(possibly, high, b[1])),
    )


_ENCLOSE: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: _out(a[0] + b[0], a[1] + b[1]),
    "mul": _times,
    "neg": lambda a: (-a[1], -a[0]),
    "recip": _inverse,
    "quotient": lambda a, b: _times(a, _inverse(b)),
    "exp": _rising(np.exp),
    "log": _logarithm,
    "sqrt": _root,
    "abs": _size,
    "floor": lambda a: (np.floor(a[0]), np.floor(a[1])),
    "tanh": _rising(np.tanh),
    "sinh": _rising(np.sinh),
    "cosh": lambda a: _rising(np.cosh)(_size(a)),
    "sin": lambda a: _wave(a, np.pi / 2),
    "cos": lambda a: _wave(a, 0.0),
    "tan": _tangent,
    "asin": _within(-1.0, 1.0, _rising(np.arcsin)),
    "acos": _within(-1.0, 1.0, lambda a: tuple(-each for each in _rising(lambda x: -np.arccos(x))(a))[::-1]),
    "atan": _rising(np.arctan),
    "asinh": _rising(np.arcsinh),
    "acosh": _within(1.0, np.inf, _rising(np.arccosh)),
    "atanh": _within(-1.0, 1.0, _rising(np.arctanh)),
    "min": lambda a, b: (np.minimum(a[0], b[0]), np.minimum(a[1], b[1])),
    "max": lambda a, b: (np.maximum(a[0], b[0]), np.maximum(a[1], b[1])),
    "pos": lambda a: (np.maximum(a[0], FLOOR_OF_BASES), np.maximum(a[1], FLOOR_OF_BASES)),
    "parity": lambda a: (
        np.where(a[0] == a[1], _POINT["parity"](a[0]), -1.0),
        np.where(a[0] == a[1], _POINT["parity"](a[0]), 1.0),
    ),
    "select": _either,
    # truths are pairs: whether it surely holds, whether it possibly does
    "lt": lambda a, b: (a[1] < b[0], a[0] < b[1]),
    "le": lambda a, b: (a[1] <= b[0], a[0] <= b[1]),
    "eq": lambda a, b: ((a[0] == b[1]) & (a[1] == b[0]), (a[0] <= b[1]) & (b[0] <= a[1])),
    "ne": lambda a, b: ((a[1] < b[0]) | (b[1] < a[0]), ~((a[0] == b[1]) & (a[1] == b[0]))),
    "and": lambda a, b: (a[0] & b[0], a[1] & b[1]),
    "or": lambda a, b: (a[0] | b[0], a[1] | b[1]),
    "xor": lambda a, b: ((a[0] & ~b[1]) | (b[0] & ~a[1]), (a[1] & ~b[0]) | (b[1] & ~a[0])),
    "not": lambda a: (~np.asarray(a[1]), ~np.asarray(a[0])),
}


def enclosures(graph: Graph, nodes: Sequence[int], inputs: Mapping[int, Interval]) -> list[Interval]:
    """Nodes as intervals that hold every value they take.

    Parameters
    ----------
    graph : Graph
    nodes : sequence of int
    inputs : mapping of int to pair
        Bounds of every input; floats or arrays of one shape.

    Examples
    --------
    >>> graph = Graph()
    >>> time = graph.input("y", 0)
    >>> low, high = enclosures(graph, [graph.sub(graph.mul(time, time), time)], {time: (1.0, 2.0)})[0]
    >>> print(f"{low:.6f} {high:.6f}")
    -1.000000 3.000000
    """
    found: dict[int, Interval] = dict(inputs)
    with np.errstate(all="ignore"):
        for node in graph.reachable(nodes, stop=found):
            if node in found:
                continue
            op, args = graph.ops[node], graph.args[node]
            bounds = (args[0],) * 2 if op == "const" else _ENCLOSE[op](*(found[arg] for arg in args))
            found[node] = bounds if op in (*BOOLEAN, "const") else _told(*bounds)
    return [found[node] for node in nodes]


def _told(low: Any, high: Any) -> Interval:
    """Bounds, of which one that cannot be computed is infinite; what has no value at all has none here either."""
    lost, none = (np.isnan(low), np.isnan(high)), np.isnan(low) & np.isnan(high)
    return np.where(lost[0] & ~none, -np.inf, low), np.where(lost[1] & ~none, np.inf, high)


def snapped(times: Array) -> Array:
    """Times that differ from a short decimal number by rounding only become that number."""
    with np.errstate(all="ignore"):
        digits = 12 - np.floor(np.log10(np.abs(times)))
    near = np.array([round(t, int(d)) if np.isfinite(d) else t for t, d in zip(times, digits, strict=True)])
    return np.where(np.abs(near - times) <= _ROUNDING * np.abs(times), near, times)


def zeros(
    graph: Graph,
    gap: int,
    slope: int,
    clock: int,
    inputs: Mapping[int, Any],
    edges: Array,
    middle: int,
    *,
    whole: bool = False,
) -> tuple[Array, Array, Array]:
    """All times at which a node is zero, or a whole number.

    Parameters
    ----------
    graph : Graph
    gap, slope : int
        The node, smooth between edges, and its derivative by the clock.
    clock : int
    inputs : mapping of int to float
        Of all other inputs.
    edges : (n,) array
        Ascending; the gap may jump there.
    middle : int
        An input that is the middle of each stretch between edges.
    whole : bool
        Every whole number counts.

    Returns
    -------
    times, levels, middles : arrays
        Where, at which number, and the middle of the stretch it was found in.

    Raises
    ------
    TooManyError
        More than `MOST`, or a stretch on which it cannot be told.
    """
    low, high = edges[:-1], edges[1:]
    centre = 0.5 * (low + high)

    def at(node: int, times: Array, middles: Array) -> Array:
        found = values(graph, [node], {**inputs, clock: times, middle: middles})[0]
        return np.broadcast_to(np.asarray(found, float), times.shape)

    def levels_between(a: Array, b: Array) -> tuple[NDArray[np.intp], Array]:
        """Which of these intervals hold which levels."""
        least, most = np.minimum(a, b), np.maximum(a, b)
        if not whole:
            held = np.flatnonzero((least <= 0) & (most >= 0))
            return held, np.zeros(len(held))
        first, last = np.ceil(least), np.floor(most)
        count = np.where(np.isfinite(first) & np.isfinite(last), np.maximum(last - first + 1, 0), 0)
        if count.sum() > MOST:
            raise TooManyError
        count = count.astype(np.intp)
        which = np.repeat(np.arange(len(count)), count)
        within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        return which, first[which] + within

    if clock not in graph.reachable([slope]):  # a straight line between edges
        steep = at(slope, low, centre)
        origin = at(gap, np.zeros_like(low), centre)
        with np.errstate(all="ignore"):
            which, level = levels_between(origin + steep * low, origin + steep * high)
            times = np.where(steep[which] != 0, (level - origin[which]) / steep[which], np.nan)
        times, middles = snapped(times), centre[which]
        inside = (times >= low[which]) & (times <= high[which])
        return times[inside], level[inside], middles[inside]

    found: list[tuple[Array, ...]] = []
    span = edges[-1] - edges[0]
    while len(low):
        if len(low) > 10 * MOST:
            raise TooManyError
        box = {key: (value, value) for key, value in inputs.items()}
        box |= {clock: (low, high), middle: (centre, centre)}
        (g0, g1), (d0, d1) = (
            tuple(np.broadcast_to(np.asarray(each, float), low.shape) for each in pair)
            for pair in enclosures(graph, [gap, slope], box)
        )
        possible = (np.floor(g1) >= np.ceil(g0)) if whole else (g0 <= 0) & (g1 >= 0)
        single = possible & ((d0 > 0) | (d1 < 0))
        short = possible & ~single & (high - low <= _NARROW * np.maximum(np.abs(low), span))
        for few, point in ((single, False), (short, True)):
            if few.any():
                a, b, m = low[few], high[few], centre[few]
                if point:  # a jump through zero, or a touch
                    t, wide = _bisected(lambda t, m=m: at(gap, t, m), a, b), b - a  # type: ignore[misc]
                    found.append((t, np.round(at(gap, t, m)) if whole else 0 * t, m, wide))
                    continue
                which, level = levels_between(at(gap, a, m), at(gap, b, m))
                a, b, m = a[which], b[which], m[which]
                t = _bisected(lambda t, m=m, k=level: at(gap, t, m) - k, a, b)  # type: ignore[misc]
                found.append((t, level, m, _ROUNDING * np.abs(t)))
        again = possible & ~single & ~short
        half = 0.5 * (low[again] + high[again])
        low, high = np.concatenate([low[again], half]), np.concatenate([half, high[again]])
        centre = np.tile(centre[again], 2)
        if sum(len(times) for times, *_ in found) > 10 * MOST:
            raise TooManyError
    if not found:
        return (np.empty(0),) * 3
    times, level, middles, wide = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(times, kind="stable")
    times, level, middles, wide = snapped(times[order]), level[order], middles[order], wide[order]
    # halves that touch find a zero between them twice, and points in a row are one
    fresh = np.diff(times, prepend=-np.inf) > 1.5 * np.maximum(wide, np.append(0.0, wide[:-1]))
    fresh[1:] |= (level[1:] != level[:-1]) | (middles[1:] != middles[:-1])
    if fresh.sum() > MOST:
        raise TooManyError
    return times[fresh], level[fresh], middles[fresh]


def steep_days(
    graph: Graph, node: int, slope: int, clock: int, inputs: Mapping[int, Any], edges: Array, middle: int
) -> Array:
    """Where a smooth function of time is half way up or down a rise that a step might pass over.

    Time is halved until the function rises or falls throughout, or hardly moves, in every interval: no pulse is passed over,
    however narrow.

    Parameters
    ----------
    graph : Graph
    node, slope : int
        The function, smooth between edges, and its derivative by the clock.
    clock, inputs, edges, middle
        As for :func:`zeros`.

    Returns
    -------
    times : array
        Ascending.

    Raises
    ------
    TooManyError
        More intervals are needed than fifty times `MOST`: no steps could follow it either.

    Examples
    --------
    >>> from cellsim.compiler.gradients import gradient
    >>> graph = Graph()
    >>> time, middle = graph.input("y", 0), graph.input("y", 1)
    >>> far = graph.mul(graph.const(100.0), graph.add(time, graph.const(-5.0)))
    >>> pulse = graph.call("exp", graph.neg(graph.mul(far, far)))
    >>> slope = gradient(graph, pulse, {time})[time]
    >>> steep_days(graph, pulse, slope, time, {}, np.array([0.0, 365.0]), middle).round(4)
    array([4.9917, 5.0083])
    """
    inputs = dict(inputs)
    low, high = edges[:-1], edges[1:]
    centre, stretch, span = 0.5 * (low + high), np.arange(len(edges) - 1), edges[-1] - edges[0]

    def at(node: int, times: Array, middles: Array) -> Array:
        found = values(graph, [node], {**inputs, clock: times, middle: middles})[0]
        return np.broadcast_to(np.asarray(found, float), times.shape)

    ends: list[tuple[Array, Array]] = []
    least, most, count = np.inf, -np.inf, 0
    while len(low):
        count += len(low)
        if count > 50 * MOST:
            raise TooManyError
        box = {key: (value, value) for key, value in inputs.items()}
        box |= {clock: (low, high), middle: (centre, centre)}
        (g0, g1), (d0, d1) = (
            tuple(np.broadcast_to(np.asarray(each, float), low.shape) for each in pair)
            for pair in enclosures(graph, [node, slope], box)
        )
        half = 0.5 * (low + high)
        middling = at(node, half, centre)
        seen = middling[np.isfinite(middling)]
        least, most = min(least, seen.min(initial=np.inf)), max(most, seen.max(initial=-np.inf))
        with np.errstate(invalid="ignore"):
            still = np.maximum(max(_FLAT * (most - least), 1e-290), _RESOLVED * np.abs(middling))
            flat = (g1 - g0 <= still) | np.isnan(middling)
        again = ~(flat | (d0 >= 0) | (d1 <= 0) | (high - low <= _NARROW * np.maximum(np.abs(low), span)))
        ends.append((low[~again], stretch[~again]))
        low, high = np.concatenate([low[again], half[again]]), np.concatenate([half[again], high[again]])
        centre, stretch = np.tile(centre[again], 2), np.tile(stretch[again], 2)
    starts, of = (np.concatenate(each) for each in zip(*ends, strict=True))
    # every stretch by itself, with its own end
    days, of = np.concatenate([starts, edges[1:]]), np.concatenate([of, np.arange(len(edges) - 1)])
    order = np.lexsort((days, of))
    days, of = days[order], of[order]
    heights, bounds = (
        at(node, days, (0.5 * (edges[:-1] + edges[1:]))[of]),
        np.searchsorted(of, np.arange(len(edges))),
    )
    runs = np.concatenate(
        [np.empty((0, 2), np.intp)]
        + [i + _runs(heights[i:j], _FLAT * (most - least)) for i, j in pairwise(bounds.tolist())]
    )
    a, b, of = days[runs[:, 0]], days[runs[:, 1]], of[runs[:, 0]]
    m = 0.5 * (edges[of] + edges[of + 1])
    with np.errstate(all="ignore"):
        bottom, top = heights[runs[:, 0]], heights[runs[:, 1]]
        half = _bisected(lambda t: at(node, t, m) - 0.5 * (bottom + top), a, b)
        wide = np.abs((top - bottom) / at(slope, half, m))
        first, last = np.diff(of, prepend=-1) > 0, np.diff(of, append=len(edges)) > 0
        before = half - np.where(first, edges[of], np.append(0.0, half[:-1])[: len(half)])
        after = np.where(last, edges[of + 1], np.append(half[1:], 0.0)[: len(half)]) - half
        return np.unique(half[wide < _STEEP * np.maximum(before, after)])


def _runs(heights: Array, least: float) -> NDArray[np.intp]:
    """From where to where heights rise or fall by more than `least` without turning back by as much, shape (n, 2)."""
    turns, direction = [0], 0
    for k, height in enumerate(heights.tolist()):
        moved = height - float(heights[turns[-1]])
        if direction == 0 and abs(moved) > least:
            direction = 1 if moved > 0 else -1
            turns.append(k)
        elif moved * direction > 0:
            turns[-1] = k
        elif -moved * direction > least:
            turns.append(k)
            direction = -direction
    return np.array(list(pairwise(turns)), np.intp).reshape(len(turns) - 1, 2)


def _bisected(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """A zero in each of these intervals, or a jump through it, to the last digit; the middle of those without."""
    below, above = function(low), function(high)
    crosses = (below > 0) != (above > 0)
    centre = 0.5 * (low + high)
    best = np.where(np.abs(below) <= np.abs(above), low, high)
    least = np.minimum(np.abs(below), np.abs(above))
    for _ in range(200):
        middle = 0.5 * (low + high)
        if ((middle <= low) | (middle >= high)).all():
            break
        there = function(middle)
        better = np.abs(there) < least
        best, least = np.where(better, middle, best), np.where(better, np.abs(there), least)
        same = (there > 0) == (below > 0)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    jumps = (least > 0) & (np.minimum(np.abs(function(low)), np.abs(function(high))) > 1e3 * least)
    return np.where(crosses | (least == 0), np.where(jumps, high, best), centre)
