"""The part of a report on what the rows can see at all, and how far predictions are the data's or the prior's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cellsim.files import file_name
from cellsim.predictions.measures import Area, Measure, Value
from cellsim.predictions.predictions import Prediction, predictions_of
from cellsim.report.elements import details, paragraphs, table
from cellsim.report.report_summary import listed, profiles_table
from cellsim.results import DATA_DRIVEN

if TYPE_CHECKING:
    from cellsim.identifiability.identification import Identifiability
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.predictions.plans import Plan
    from cellsim.report.steps import Job

__all__ = ["predicted", "predicted_of", "predicted_words", "seen"]

_MOST_ANALYTES = 3


def predicted_of(fit: Calibration, plans: Sequence[Plan], until: float) -> tuple[Prediction, ...]:
    """What a report profiles: how much there was of each product over time, and the main outcome's quantity of every schedule.

    Parameters
    ----------
    fit : Calibration
    plans : sequence of Plan
        The first is what was given.
    until : float
        Last day.

    Returns
    -------
    tuple of Prediction
        Where an analyte measures that quantity, its value on the last day instead; of a case without such an outcome that of
        the first analytes.
    """
    model, case = fit.model, fit.case
    shown = {each.name: each.quantity for each in case.products if each.quantity in model}
    drive = next((each.quantity for each in case.outcomes if each.quantity in model), "")
    measured = tuple(each.id for each in case.analytes if drive and each.quantity == drive)
    out: list[Prediction] = []
    told: set[str] = set()
    for plan in plans:
        # of each product once, under the first schedule that gives it
        given = {shown.get(each.product, "") for each in plan.schedule.infusions} - told
        told |= given
        measures: list[Measure] = [Area(name) for name in dict.fromkeys(shown.values()) if name in given]
        if drive and not measured:
            measures.append(Area(drive))
        else:
            first = tuple(each.id for each in case.analytes[:_MOST_ANALYTES])
            measures.append(Value((until,), measured or first))
        found = predictions_of(fit, measures, until=until, plan=plan.schedule)
        out += [replace(each, name=f"{each.name}, {plan.name}") for each in found if _moves(fit, each)]
    return tuple(out)


def _moves(fit: Calibration, prediction: Prediction) -> bool:
    """Whether any parameter moves it: what is never given is nothing whatever the parameters."""
    return bool(prediction.of(fit.theta)[1].any())


def predicted_words(found: Profiles) -> list[str]:
    """Which predictions the data narrowed, and which are the prior's."""
    curves = list(found.curves.values())
    driven = [each.name for each in curves if each.verdict == DATA_DRIVEN]
    others = [each.name for each in curves if each.verdict != DATA_DRIVEN]
    said = [
        "A prediction is as good as what the data say along the one direction of the parameters that moves it, so each is "
        "profiled like a parameter: the contraction is that of its own direction, and the interval needs no normal approximation."
    ]
    if driven:
        said.append(f"Data-driven: {listed(driven)}.")
    if others:
        said.append(f"The prior's, within this mechanism: {listed(others)}.")
    return said


def predicted(job: Job) -> str:
    """Predictions with their profiles."""
    from cellsim import plots

    found = job.predictions
    if found is None or not found.curves:
        return ""
    doubts = [f"Doubt: {each}" for each in found.approximation.doubts]
    shown = profiles_table(found).drop(columns=["prior_low", "prior_high"])
    return "".join(
        [
            "<h4>How far predictions are the data's</h4>",
            paragraphs([*doubts, *predicted_words(found)]),
            table(shown, file=f"tables/{file_name(found.objective.variant)}_predictions.csv"),
            details(
                "The profiles as curves",
                job.output.draw(
                    "predictions",
                    "Rise of -2 ln posterior as one prediction is held elsewhere and all parameters may answer.",
                    lambda: plots.profile(found),
                    alt="Profiles of predictions",
                    folded=True,
                ),
            ),
        ]
    )


def seen(found: Identifiability | None) -> str:
    """What the rows can see at all."""
    if found is None:
        return ""
    structure, count, rows = found.structure, len(found.names), len(found.objective.terms)
    short = f" ({count - rows} of them because there are fewer rows than parameters)" if count > rows else ""
    said = (
        f"Whatever the values, {rows} rows see at most {structure.rank} directions of {count} parameters; "
        f"{count - structure.rank} are left to the prior by the design of the visits alone{short}. At the "
        f"highest optimum they know {found.effective_rank} directions better than the prior does."
    )
    sentences = structure.sentences()
    return (
        "<h4>What these rows can see at all</h4>"
        + paragraphs([said])
        + (
            details(f"What cannot be told apart ({len(sentences)})", paragraphs(sentences))
            if sentences
            else ""
        )
    )
