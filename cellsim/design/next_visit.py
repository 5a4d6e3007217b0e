"""The next visit, or a new assay of a stored sample: on which day, and which panel, tells most about a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.design.information import Bracket, Foreseen, NewSample
from cellsim.design.new_samples import Scatter, scatter_of
from cellsim.design.stored_samples import StoredSample, stored_samples
from cellsim.design.visit_questions import VisitQuestion, visit_question
from cellsim.design.visit_table import Candidate, Finding, VisitPlan
from cellsim.errors import CalibrationError
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import approximation_of, together
from cellsim.predictions.predictor import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.dosing.schedule import Schedule
    from cellsim.likelihood.objective import Objective
    from cellsim.predictions.measures import Runs
    from cellsim.predictions.predictor import Source

    Array = NDArray[np.float64]

__all__ = ["plan_visits"]


def plan_visits(
    source: Source | Mapping[str, Source],
    days: Sequence[float],
    *,
    panels: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    stored: Sequence[str | float] = (),
    question: str | Sequence[str] = "plan",
    parameter: str | None = None,
    prediction: tuple[str, float] | None = None,
    plans: Mapping[str, Schedule] | None = None,
    outcome: str | None = None,
    schedule: Schedule | None = None,
    until: float | None = None,
    visits: int = 1,
    day_error: float = 0.0,
    costs: Mapping[str | tuple[str, str], float] | None = None,
    draws: int = 500,
    seed: int = 0,
) -> VisitPlan:
    """Judge every day and panel of a visit still to come, and new assays of stored samples, by what they are expected to tell.

    Each draw of the posterior is taken for the patient once: the values that would then be measured are simulated, with the noise
    of their assays and a new shared effect of the sample, and what the other draws are worth after them is a matter of weights
    (:mod:`cellsim.design.information`). Every number is a bracket whose ends are off, on average, to either side.

    Parameters
    ----------
    source : Posterior or Calibration, or mapping of str to these
        Whose draws are taken; several by variant, which then count by their evidences.
    days : sequence of float
        Days after the last visit on which a sample may be taken; may be empty where `stored` is given.
    panels : sequence of str, or mapping of str to sequence of str, optional
        Panels or analytes that may be measured, or names for several of these at once. Every panel of the case by default.
    stored : sequence of str or float
        Samples of the case that may be assayed again, by the id, name or nominal day of their visit: the same blood, so that the day and
        what the rows of a sample share are those of each draw, and only the noise of the assay is new. A panel that was not measured in it is
        judged too.
    question : str or sequence of str
        ``"plan"`` (which of the plans is best), ``"variant"`` (which mechanism it is), ``"parameter"``, ``"prediction"`` (a value on a
        later day), ``"everything"`` (all parameters at once; the best visit is then the D-optimal one of a linear model).
    parameter : str, optional
        Of a question about one.
    prediction : (str, float), optional
        Analyte and day of a question about a prediction.
    plans : mapping of str to Schedule, optional
        Among which is chosen, from day 0 on; by default those that a report compares.
    outcome : str, optional
        Of the case, by which plans are judged; its main one by default.
    schedule : Schedule, optional
        What is given until the visit; as given to the patient by default.
    until : float, optional
        Last day of the outcome; the last of all days, visits and doses by default.
    visits : int
        How many visits or new assays are chosen, one after the other by the first question, each judged together with those before it.
    day_error : float
        The sample is taken up to so many days before or after the day planned.
    costs : mapping of str or (str, str) to float, optional
        Of a visit with each panel, and of a new assay by (visit of the stored sample, panel), in a unit of your own; a table then has what a unit
        buys.
    draws : int
        Of each variant, at least 50.
    seed : int
        Of draws and noise; all days and panels share both.

    Returns
    -------
    VisitPlan

    Raises
    ------
    CalibrationError
        Everything that is wrong with the question, all at once; or if no draw could be simulated.

    Warns
    -----
    ApproximationWarning
        If draws are known not to stand for their posterior.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("cytopenia_synthetic"), starts=1)
    >>> found = cs.plan_visits(fit, [220, 300], panels=["blood"], question="parameter", parameter="k_R", draws=100)
    >>> [(each.day, each.panel) for each in found.candidates]
    [(220.0, 'blood'), (300.0, 'blood')]
    """
    sources = dict(source) if isinstance(source, Mapping) else {"": source}
    if not sources:
        raise CalibrationError("no posterior is given; give one, or several by variant.")
    objectives = {name: objective_given(each, "plan_visits") for name, each in sources.items()}
    asked = visit_question(
        objectives,
        days,
        panels=panels,
        stored=stored,
        question=question,
        parameter=parameter,
        prediction=prediction,
        plans=plans,
        outcome=outcome,
        schedule=schedule,
        until=until,
        visits=visits,
        day_error=day_error,
        costs=costs,
        draws=draws,
        seed=seed,
    )
    for name, each in sources.items():
        approximation_of(each).warn(f"plan_visits, {name}" if name else "plan_visits")
    parts = [_part(objectives[name], each, asked, draws=draws, seed=seed) for name, each in sources.items()]
    weights = _by_evidence(sources, parts)
    judge = _Judge(asked, tuple(sources), parts)
    findings: list[Finding] = []
    taken: dict[Candidate, NewSample] = {}
    for visit in range(1, min(visits, len(asked.candidates)) + 1):
        # candidates of one visit share their noise, which compares them; what is measured at another visit has its own
        samples = {each: _sample(parts, asked, each, seed=(seed, visit)) for each in asked.candidates}
        foreseen = {
            each: Foreseen([*taken.values(), sample], weights)
            for each, sample in samples.items()
            if each not in taken
        }
        new = [
            finding
            for candidate, one in foreseen.items()
            for finding in judge.findings(visit, candidate, one)
        ]
        findings += new
        leads = [each for each in new if each.question == asked.questions[0] and not each.variant]
        best = max(leads, key=lambda each: each.bracket.middle).candidate
        taken[best] = samples[best]
    lost = {name: part.lost for name, part in zip(sources, parts, strict=True) if part.lost}
    why = next((part.why for part in parts if part.lost), "")
    return VisitPlan(
        case=asked.case,
        variants=tuple(sources) if len(sources) > 1 else (),
        questions=asked.questions,
        about=asked.about,
        candidates=asked.candidates,
        findings=tuple(findings),
        draws=len(weights),
        effective=float(1.0 / np.sum(weights**2)),
        approximation=together({name: approximation_of(each) for name, each in sources.items()}).also(
            *(
                f"{count} draws{f' of {name}' * bool(name)} could not be simulated and are left out: {why}"
                for name, count in lost.items()
            ),
            *asked.doubts,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """The draws of one variant, every one once, and what they predict."""

    objective: Objective
    thetas: Array
    weights: Array
    runs: tuple[Runs, ...]
    scatter: Scatter
    stored: Mapping[str, StoredSample]
    lost: int
    why: str

    def normal(self, asked: VisitQuestion, candidate: Candidate, which: list[int]) -> tuple[Array, Array]:
        """Means and covariances of what a candidate would measure, as :meth:`Scatter.normal` gives them."""
        if candidate.sample:
            sample = self.stored[candidate.sample]
            return sample.scatter.only(which).normal(sample.predicted[None][:, :, which])
        given = self.runs[0]
        predicted = np.array(
            [[given.at(asked.analytes[k].id, candidate.day + node) for k in which] for node in asked.nodes]
        )
        return self.scatter.only(which).normal(np.swapaxes(predicted, 1, 2))


def _part(objective: Objective, source: Source, asked: VisitQuestion, *, draws: int, seed: int) -> _Part:
    # copies of one draw would pass for others that agree with it
    thetas, counts = np.unique(source.draws(draws, seed=seed), axis=0, return_counts=True)
    plans = tuple(asked.plans.values())
    sample = Sample(objective, asked.measures(objective), asked.history, asked.until)
    if sample.whole_course:
        sample.see_doses(plans)
    else:  # nobody looks at the days between
        sample.times = sample.asked_times
    [simulated], interrupted = sample.all_runs(plans, [thetas])
    if interrupted:
        raise KeyboardInterrupt
    stored = stored_samples(objective, asked.stored, asked.analytes, thetas)
    fine = np.all([each.fine for each in simulated], axis=0)
    fine &= np.all([np.isfinite(each.predicted).all(axis=1) for each in stored.values()], axis=0)
    if not fine.any():
        raise CalibrationError(f"none of {len(thetas)} draws could be simulated: {simulated[0].why}")
    return _Part(
        objective,
        thetas[fine],
        counts[fine].astype(float),
        tuple(each.only(fine, seed) for each in simulated),
        scatter_of(objective, asked.analytes, thetas[fine]),
        {name: each.only(fine) for name, each in stored.items()},
        int(np.sum(counts[~fine])),
        next((each.why for each in simulated if each.why), ""),
    )


def _by_evidence(sources: Mapping[str, Any], parts: Sequence[_Part]) -> Array:
    """Weights of all draws, one after the other: those of a variant share its part of the evidence."""
    if len(parts) == 1:
        return np.asarray(parts[0].weights / parts[0].weights.sum())
    found = {name: float(getattr(each, "log_evidence", np.nan)) for name, each in sources.items()}
    if unknown := [name for name, each in found.items() if not np.isfinite(each)]:
        raise CalibrationError(
            f"no evidence is known of {', '.join(unknown)}, so that variants cannot be weighed; sample them by the collapsed "
            "sampler, or give their calibrations."
        )
    best = max(found.values())
    shares = np.exp(np.array(list(found.values())) - best)
    weights = [share * part.weights / part.weights.sum() for share, part in zip(shares, parts, strict=True)]
    together = np.concatenate(weights)
    return np.asarray(together / together.sum())


def _sample(
    parts: Sequence[_Part], asked: VisitQuestion, candidate: Candidate, *, seed: tuple[int, int]
) -> NewSample:
    """What a candidate would measure, under the draws of all variants."""
    which = [k for k, each in enumerate(asked.analytes) if each.id in asked.panels[candidate.panel]]
    found = [part.normal(asked, candidate, which) for part in parts]
    means, covariances = [each[0] for each in found], [each[1] for each in found]
    if not all(each.shape[:2] == (1, 1) and np.array_equal(each, covariances[0]) for each in covariances):
        size = len(which)
        covariances = [
            np.broadcast_to(each, (*mean.shape[:2], size, size))
            for each, mean in zip(covariances, means, strict=True)
        ]
        return NewSample.drawn(
            np.concatenate(means, axis=1),
            np.concatenate(covariances, axis=1),
            seed=seed,
        )
    return NewSample.drawn(np.concatenate(means, axis=1), covariances[0], seed=seed)


class _Judge:
    """Every question, answered for what is foreseen."""

    def __init__(self, asked: VisitQuestion, names: tuple[str, ...], parts: Sequence[_Part]) -> None:
        self.asked, self.names = asked, names
        self.classes = np.concatenate([np.full(len(part.weights), k) for k, part in enumerate(parts)])
        weights = np.concatenate([part.weights for part in parts])
        self.targets: dict[str, Array] = {}
        if "parameter" in asked.questions:
            name = asked.about["parameter"]
            found = [part.objective.vector_of(part.thetas, [name])[:, 0] for part in parts]
            self.targets["parameter"] = _scores(np.concatenate(found), weights)
        if asked.prediction is not None:
            found = [part.runs[0].at(*asked.prediction) for part in parts]
            self.targets["prediction"] = _scores(np.concatenate(found), weights)
        if asked.outcome is not None:
            self.utilities = np.concatenate([asked.utilities(part.objective, part.runs) for part in parts])

    def findings(self, visit: int, candidate: Candidate, foreseen: Foreseen) -> list[Finding]:
        out = [
            Finding(
                visit,
                candidate,
                question,
                "",
                *self._answer(question, foreseen, self.classes),
            )
            for question in self.asked.questions
        ]
        for k, name in enumerate(self.names if len(self.names) > 1 else ()):
            which = np.flatnonzero(self.classes == k)
            within = foreseen.only(which)
            out += [
                Finding(
                    visit,
                    candidate,
                    question,
                    name,
                    *self._answer(question, within, which),
                )
                for question in self.asked.questions
                if question != "variant"
            ]
        return out

    def _answer(self, question: str, foreseen: Foreseen, which: NDArray[np.intp]) -> tuple[Bracket, float]:
        """The bracket, and what it is a part of."""
        every = len(which) == len(self.classes)
        if question == "everything":
            return foreseen.information, np.nan
        if question == "variant":
            return foreseen.information_of_class(self.classes), foreseen.entropy(self.classes)
        if question == "plan":
            value = foreseen.value(self.utilities if every else self.utilities[which])
            return value.removed, value.regret
        target = self.targets[question]
        return foreseen.narrowing(target if every else target[which]), 1.0


def _scores(values: Array, weights: Array) -> Array:
    """Normal scores of the places of values among them all, so that no scale and no far value decides what a variance is of."""
    from scipy.special import ndtri

    different, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weights, minlength=len(different))
    return np.asarray(ndtri((np.cumsum(mass) - 0.5 * mass) / mass.sum())[place])
