"""What a visit still to come is expected to tell, by day and panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.plots.style import CYCLE, AxesArray, as_typed, dress, label, legend, panels, unit_text

if TYPE_CHECKING:
    from cellsim.design.visit_table import VisitPlan

__all__ = ["next_visit"]

_HEADS = {
    "plan": "Which plan is best?",
    "variant": "Which mechanism is it?",
    "parameter": "Parameter",
    "prediction": "Prediction",
    "everything": "All parameters at once",
}


@as_typed
def next_visit(result: VisitPlan, ax: Any = None) -> AxesArray:
    """Draw what the first visit is expected to tell: one panel a question, one band a panel of analytes.

    Parameters
    ----------
    result : VisitPlan
        From :func:`cellsim.plan_visits`.
    ax : array of Axes, optional
        One for each question.

    Returns
    -------
    AxesArray
        A band reaches from the lower to the upper end of each bracket, its line is half way. The left axis is in the unit of
        the question: regret removed, nats, or the share of a variance. A new assay of a stored sample is a diamond on its day, its bracket a bar. The best day and panel of each question
        has a ring, where any is expected to tell something.

    Raises
    ------
    CellsimError
        If too few Axes are given.
    """
    from matplotlib.lines import Line2D

    questions, own = result.questions, ax is None
    axes = panels(len(questions), ax, columns=2, width=7.2, height=2.2)
    names = list(dict.fromkeys(each.panel for each in result.candidates))
    colours = {name: CYCLE[k % len(CYCLE)] for k, name in enumerate(names)}
    for each, question in zip(axes, questions, strict=True):
        ranked = result.ranked(question)
        for name in names:
            own_days = sorted(
                (one for one in ranked if one.candidate.panel == name and not one.candidate.sample),
                key=lambda one: one.candidate.day,
            )
            days = [one.candidate.day for one in own_days]
            lower, upper = (
                np.array([getattr(one.bracket, end) for one in own_days]) for end in ("lower", "upper")
            )
            each.fill_between(days, lower, upper, color=colours[name], alpha=0.22, linewidth=0)
            each.plot(
                days, 0.5 * (lower + upper), color=colours[name], linewidth=1.1, marker=".", markersize=3
            )
            for one in (one for one in ranked if one.candidate.panel == name and one.candidate.sample):
                # a stored sample is a day by itself, and what lies between it and a visit is no candidate
                each.plot(
                    [one.candidate.day] * 2,
                    [one.bracket.lower, one.bracket.upper],
                    color=colours[name],
                    linewidth=1.1,
                )
                each.plot(
                    one.candidate.day, one.bracket.middle, marker="d", markersize=4, color=colours[name]
                )
        if result.tells(question):
            best = ranked[0]
            each.plot(
                best.candidate.day,
                best.bracket.middle,
                marker="o",
                markersize=8,
                markerfacecolor="none",
                color=colours[best.candidate.panel],
            )
        else:
            said = "no day is expected to tell anything"
            each.text(0.5, 0.5, said, transform=each.transAxes, ha="center", va="center", fontsize="small")
        each.set_ylim(bottom=0)
        about = result.about[question]
        title = (
            f"{_HEADS[question]}{f': {about}' if about and question in ('parameter', 'prediction') else ''}"
        )
        dress(each, title=title, x="day of the sample", y=_axis(result, question))
    handles: list[Any] = [Line2D([], [], color=colours[name], label=name) for name in names]
    if any(map(result.tells, result.questions)):
        handles.append(
            Line2D([], [], marker="o", linestyle="none", markerfacecolor="none", color="black", label="best")
        )
    if any(one.sample for one in result.candidates):
        handles.append(
            Line2D([], [], marker="d", markersize=4, color="black", label="new assay of a stored sample")
        )
    legend(axes, handles, own=own)
    label(axes.figure, own=own, case=result.case, rests_on=[result.approximation.words])
    return axes


def _axis(result: VisitPlan, question: str) -> str:
    if question == "plan":
        unit = unit_text(result.about["unit"])
        return f"expected regret removed{f' ({unit})' if unit else ''}"
    return (
        "share of variance removed"
        if question in ("parameter", "prediction")
        else "expected information (nats)"
    )
