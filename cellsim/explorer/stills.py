"""Pictures of the plan as given, for browsers in which a page cannot compute."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from cellsim.solver.integration import Doses, Solution, integrate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from cellsim.explorer.contents import Contents

__all__ = ["as_given", "stills_of"]

_POINTS = 60
_WIDTH, _HEIGHT = 220, 90
_BAND = (0.05, 0.5, 0.95)


def as_given(contents: Contents, vectors: NDArray[np.float64], times: ArrayLike) -> Solution:
    """The plan as given under these parameters, by the kernels of this machine, side by side as the page has them."""
    model, states = contents.model, contents.kernels.equations.states
    of = {each["name"]: each for each in model["products"]}
    doses = list(model["history"])
    doses += [
        {
            "day": each["day"],
            "state": of[each["product"]]["state"],
            "amount": each["amount"] / of[each["product"]]["scale"],
            "duration": each["duration"],
        }
        for each in [*model["given"], *model["background"]]
    ]
    jumps = [(each["day"], states[each["state"]], each["amount"]) for each in doses if not each["duration"]]
    rates = []
    for each in doses:
        if each["duration"]:
            off = each["day"] + each["duration"]
            rates.append((each["day"], off, states[each["state"]], each["amount"] / (off - each["day"])))
    return integrate(
        contents.kernels,
        vectors,
        Doses(tuple(jumps), tuple(rates)),
        times,
        start=model["start"],
        lanes=contents.compiled.width,
        end=model["until"],
    )


def stills_of(contents: Contents) -> str:
    """Median and 90 % band of every curve of a page under the plan as given, as figures of HTML."""
    times = np.linspace(0.0, contents.model["until"], _POINTS)
    solution = as_given(contents, contents.posterior, times)
    fine = solution.outputs[solution.status == 0]
    figures = []
    for curve in contents.model["curves"]:
        values = fine[:, :, contents.model["place"][curve["output"]]]
        if len(values):
            figures.append(_figure(curve["label"], curve["unit"], times, np.quantile(values, _BAND, axis=0)))
    return "".join(figures)


def _figure(label: str, unit: str, times: NDArray[np.float64], bands: NDArray[np.float64]) -> str:
    low, high = float(np.nanmin(bands)), float(np.nanmax(bands))
    width = high - low or 1.0
    x = times / times[-1] * _WIDTH
    y = _HEIGHT - (bands - low) / width * _HEIGHT
    around = _points([*x, *x[::-1]], [*y[0], *y[2][::-1]])
    said = f"{label}: {bands[1][-1]:.3g} {unit} on day {times[-1]:g} (90 %: {bands[0][-1]:.3g} to {bands[2][-1]:.3g})"
    return (
        f'<figure><figcaption>{escape(said)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(said, quote=True)}"><polygon points="{around}"/><polyline points="{_points(x, y[1])}"/></svg>'
        f"<p>{low:.3g} to {high:.3g}; day 0 to {times[-1]:g}</p></figure>"
    )


def _points(x: Sequence[float], y: Sequence[float]) -> str:
    return " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))
