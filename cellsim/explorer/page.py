"""A page that computes: one HTML file with kernels, draws and the step loop, which needs no network and no server."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from zlib import compress

import numpy as np

from cellsim.errors import CellsimError, ScheduleError, unusable
from cellsim.explorer.contents import Contents, contents_of
from cellsim.explorer.notebook import widget_of
from cellsim.explorer.stills import as_given, stills_of
from cellsim.files import write_whole
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import Approximation, approximation_of
from cellsim.predictions.measures import Measure, default_measures
from cellsim.predictions.plans import background_given, history_given, last_day_problems

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.predictions.predictor import Source

__all__ = ["Explorer", "explore", "page_of"]

LARGEST = 500_000
"""Bytes of a page."""

_FEWEST = 20  # draws; fewer are no band
# in the order of use: the loop, what is read from it, then what a person sees
# what computes, in the page and in its helpers; and what is seen
_ENGINE = ("step_loop.js", "within_steps.js", "draws.js")
_SCRIPTS = ("measures.js", "plans.js", "figures.js", "helpers.js", "page.js")


@dataclass(frozen=True, eq=False)
class Explorer:
    """A page that computes, as made by :func:`cellsim.explore`.

    Attributes
    ----------
    case : Case
    variant : str
    html : str
        The whole file.
    draws : int
        Of the posterior, and as many of the prior.
    approximation : Approximation
        What the posterior draws rest on.
    contents : Contents
        The kernels and the draws that the page computes with.
    file : str
        Where it was written; empty where it was not.
    """

    case: Case
    variant: str
    html: str
    draws: int
    approximation: Approximation
    contents: Contents = field(repr=False)
    file: str = ""

    def _repr_html_(self) -> str:
        """The page within a notebook."""
        inside = escape(self.html, quote=True)
        return f'<iframe srcdoc="{inside}" title="{escape(repr(self), quote=True)}" width="100%" height="900"></iframe>'

    def widget(self) -> Any:
        """The page as a widget of a notebook (extra ``notebook``), whose ``.plan`` is the schedule that it is moved to.

        Raises
        ------
        CellsimError
            The package anywidget is missing.
        """
        return widget_of(self.case, self.html, repr(self))

    def __repr__(self) -> str:
        where = f" in {self.file}" if self.file else ""
        return (
            f"<Explorer of {self.case.name}, variant {self.variant}{where}: {self.draws} draws of {self.approximation.label}, "
            f"{len(self.html.encode()) / 1000:.0f} kB. {self.case.label}>"
        )


def explore(
    source: Source,
    out: str | Path | None = None,
    *,
    until: float | None = None,
    measures: Sequence[Measure] | None = None,
    draws: int = 100,
    seed: int = 0,
) -> Explorer:
    """Write a page on which doses can be moved: kernels, draws and step loop in one HTML file that opens without a network.

    The page computes in the browser, by the same kernels (as WebAssembly), the same step control and the same draws as
    :func:`cellsim.sweep` with this seed and number of draws, after the case's history and on its background products.

    Parameters
    ----------
    source : Calibration or Posterior
        Whose draws the page gets; as many of the prior stand beside them.
    out : path, optional
        Where to write it.
    until : float, optional
        Last day looked at; by default the last day on which something is measured or given.
    measures : sequence of Measure, optional
        See :mod:`cellsim.predictions.measures`; by default the usual ones on day `until`.
    draws : int
        How many; fewer are taken where the page would be larger than 500 kB, and a doubt says so.
    seed : int
        Of both.

    Returns
    -------
    Explorer

    Raises
    ------
    CellsimError
        All problems at once: a model with events that wait for states, a measure that a page cannot compute, an `until` or a
        count that is none, a case too large for a page.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> fit = cs.calibrate(case, starts=1)
    >>> page = cs.explore(fit, draws=20)  # give out="whatif.html" to keep it
    >>> page.draws, len(page.html) < 500_000
    (20, True)
    """
    objective = objective_given(source, "explore")
    if not hasattr(source, "draws"):
        raise CellsimError(
            "explore draws from a calibration or a sampled posterior; an objective has no draws. Make one: "
            "cs.calibrate(case)."
        )
    case = objective.case
    last = [*(visit.latest for visit in case.visits), *(each.end for each in case.schedule.infusions), 1.0]
    until = max(last) if until is None else until
    problems = [
        *unusable(counts={"draws": (draws, 1)}, seeds={"seed": seed}),
        *last_day_problems(until),
    ]
    if problems:
        raise ScheduleError(problems)
    chosen = tuple(measures) if measures is not None else default_measures(objective.model, case=case)
    approximation = approximation_of(source)
    approximation.warn("explore")
    count = draws
    while True:
        prior = np.random.default_rng(seed + 1).standard_normal((count, len(objective.names)))
        contents = contents_of(
            objective,
            (source.draws(count, seed=seed), prior),
            chosen,
            history_given("case", case),
            background_given("case", case),
            float(until),
        )
        fewer = f"only {count} of {draws} draws: more would not fit into a page of {LARGEST // 1000} kB"
        stated = approximation.also(fewer if count < draws else "")
        html = page_of(case, source.variant, contents, stated)
        size = len(html.encode())
        if size <= LARGEST:
            break
        # beside the draws a page has a size of its own
        each = (size - len(page_of(case, source.variant, contents, stated, bare=True).encode())) / count
        count = min(count - 1, int(count - (size - LARGEST) / each) - 1)
        if count < _FEWEST:
            raise CellsimError(
                f"a page of {case.name} would be larger than {LARGEST // 1000} kB with {_FEWEST} draws; ask cs.sweep."
            )
    made = Explorer(case, source.variant, html, count, stated, contents)
    if out is None:
        return made
    write_whole(out, html)
    return Explorer(case, source.variant, html, count, stated, contents, str(Path(out)))


def page_of(
    case: Case, variant: str, contents: Contents, approximation: Approximation, *, bare: bool = False
) -> str:
    """The whole file; `bare` without its draws."""
    vectors = [contents.posterior, contents.prior]
    varies = np.flatnonzero(np.ptp(np.concatenate(vectors), axis=0) > 0)
    model = {
        **contents.model,
        "case": case.name,
        "variant": variant,
        "fixed": contents.posterior[0].tolist(),
        "varying": varies.tolist(),
        "draws": [len(each) for each in vectors],
        "witness": _witness(contents),
    }
    kept = (
        b"" if bare else b"".join(np.ascontiguousarray(each[:, varies], "<f8").tobytes() for each in vectors)
    )
    text = json.dumps(_plain(model), separators=(",", ":"), allow_nan=False)
    doubts = "".join(f"<li>{escape(each)}</li>" for each in approximation.doubts)
    return Template(_shipped("page.html")).substitute(
        title=escape(f"What if: {case.name}"),
        label=escape(case.label),
        rests=escape(
            f"Mechanism {variant}; {len(vectors[0])} draws of {approximation.name}, and as many of the prior."
        ),
        doubts=f"<ul>{doubts}</ul>" if doubts else "",
        stills=stills_of(contents),
        style=_shipped("uPlot.min.css") + _shipped("page.css"),
        license=escape(_shipped("uPlot.LICENSE").strip()),
        uplot=_shipped("uPlot.iife.min.js"),
        engine="\n".join(_shipped(each) for each in _ENGINE),
        # one scope of their own for all
        script="(() => {\n" + "\n".join(_shipped(each) for each in _SCRIPTS) + "\n})();",
        model=_packed(text.encode()),
        kernels=_packed(contents.compiled.code),
        vectors=b64encode(kept).decode("ascii"),
    )


def _witness(contents: Contents) -> dict[str, Any]:
    """Outputs on the last day of the plan as given, of the first posterior draws: a page checks itself by them."""
    solution = as_given(
        contents, contents.posterior[: 2 * contents.compiled.width], [contents.model["until"]]
    )
    return {"outputs": solution.outputs[:, 0].tolist()}


def _packed(data: bytes) -> str:
    return b64encode(compress(data, 9)).decode("ascii")


def _shipped(name: str) -> str:
    return files("cellsim.explorer").joinpath(name).read_text(encoding="utf-8")


def _plain(value: Any) -> Any:
    """The same for JSON, which has no infinite numbers and none that is no number: these become null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
