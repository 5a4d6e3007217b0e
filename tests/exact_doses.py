"""Doses of a linear model worked out by matrix exponentials, record by record: a witness that shares nothing with the library.

``y' = A y + b + inflow``. A steady state is the sum of what every dose of an endless past has left, a geometric series of
matrices (Gibaldi and Perrier, Pharmacokinetics, 1982, for one compartment: 1 / (1 - exp(-k tau))).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import expm

Array = np.ndarray[Any, np.dtype[np.float64]]


def _moved(a: Array, y: Array, inflow: Array, span: float) -> Array:
    """States after `span` under a constant inflow, by one exponential of the augmented matrix."""
    n = len(y)
    big = np.zeros((n + 1, n + 1))
    big[:n, :n], big[:n, n] = a, inflow
    return np.asarray((expm(big * span) @ np.append(y, 1.0))[:n])


def _left(a: Array, amount: Array, duration: float, age: float) -> Array:
    """What one dose has left at some age."""
    if not duration:
        return np.asarray(expm(a * age) @ amount)
    during = _moved(a, np.zeros(len(amount)), amount / duration, min(age, duration))
    return np.asarray(expm(a * max(age - duration, 0.0)) @ during)


def _of_endless_past(a: Array, amount: Array, duration: float, interval: float, lag: float) -> Array:
    """What all doses have left that arrived ``k interval - lag`` ago, k = 1, 2, ..."""
    total, age = np.zeros(len(amount)), interval - lag
    while age < duration:
        total, age = total + _left(a, amount, duration, age), age + interval
    series = np.linalg.inv(np.eye(len(amount)) - expm(a * interval))
    return total + np.asarray(series @ _left(a, amount, duration, age))


def exact(
    a: Array,
    records: Sequence[Mapping[str, float]],
    times: Sequence[float],
    *,
    y0: Array | None = None,
    b: Array | None = None,
) -> Array:
    """States at `times`, after what happens there; records as in NONMEM, CMT counted from 1, F and ALAG in columns."""
    n = len(a)
    first = np.zeros(n) if y0 is None else y0
    steady = np.zeros(n) if b is None else b
    now, y, inflow = 0.0, first.copy(), np.zeros(n)
    pending: list[tuple[float, int, str, Array]] = []
    count = 0

    def later(time: float, what: str, vector: Array) -> None:
        nonlocal count
        count += 1
        heapq.heappush(pending, (time, count, what, vector))

    def advance(to: float) -> None:
        nonlocal now, y, inflow
        while pending and pending[0][0] <= to:
            time, _, what, vector = heapq.heappop(pending)
            y, now = _moved(a, y, inflow + steady, time - now), time
            if what == "jump":
                y = y + vector
            else:
                inflow = inflow + vector
        y, now = _moved(a, y, inflow + steady, to - now), to

    def forget() -> None:
        nonlocal inflow
        pending.clear()
        inflow = np.zeros(n)

    def give(time: float, amount: Array, duration: float) -> None:
        if not duration:
            later(time, "jump", amount)
        else:
            later(time, "inflow", amount / duration)
            later(time + duration, "inflow", -amount / duration)

    rest = list(enumerate(sorted(records, key=lambda each: each["TIME"])))
    seen = []
    for time in times:
        while rest and rest[0][1]["TIME"] <= time:
            _, record = rest.pop(0)
            advance(record["TIME"])
            kind = record.get("EVID", 1)
            if kind in (3, 4):
                forget()
                y = first.copy()
            if kind not in (1, 4):
                continue
            share, lag = record.get("F", 1.0), record.get("ALAG", 0.0)
            amount = np.zeros(n)
            place = int(record["CMT"]) - 1
            amount[place] = record.get("AMT", 0.0) * share
            rate, duration = record.get("RATE", 0.0), record.get("DUR", 0.0)
            if rate and amount[place]:
                duration = amount[place] / rate
            interval, ss = record.get("II", 0.0), record.get("SS", 0)
            if ss == 1:
                forget()
                # what there is without any dose
                y = np.zeros(n) if b is None else np.linalg.solve(-a, steady)
            if ss and not amount[place]:
                constant = np.zeros(n)
                constant[place] = rate
                y = y + np.linalg.solve(-a, constant)
                continue
            if ss:
                y = y + _of_endless_past(a, amount, duration, interval, lag)
                behind = interval - lag
                while behind < duration:  # of these a part is still to come
                    inflow = inflow + amount / duration
                    later(now + duration - behind, "inflow", -amount / duration)
                    behind += interval
            for k in range(int(record.get("ADDL", 0)) + 1):
                give(record["TIME"] + k * interval + lag, amount, duration)
        advance(time)
        seen.append(y.copy())
    return np.array(seen)
