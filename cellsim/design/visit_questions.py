"""What is asked of the next visit: checked, completed, and turned into what has to be simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.design.visit_table import QUESTIONS, Candidate
from cellsim.errors import (
    CalibrationError,
    CellsimError,
    Problem,
    did_you_mean,
    is_finite_number,
    unusable,
)
from cellsim.predictions.measures import InRange, Measure, Value, default_measures
from cellsim.predictions.plan_tables import plans_given
from cellsim.predictions.plans import (
    AS_GIVEN,
    background_given,
    history_given,
    on_background,
    plan_problems,
    plans_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.case.outcomes import Outcome
    from cellsim.case.records import Analyte, Visit
    from cellsim.dosing.schedule import Schedule
    from cellsim.likelihood.objective import Objective
    from cellsim.predictions.measures import Runs

    Array = NDArray[np.float64]

__all__ = ["VisitQuestion", "panels_given", "visit_question"]

_FEWEST_DRAWS = 50
# equally likely days on which a sample with a doubtful day may really be taken
_NODES = 3


@dataclass(frozen=True, eq=False)
class VisitQuestion:
    """A question about the next visit, complete.

    Attributes
    ----------
    case : Case
    questions : tuple of str
    about : mapping of str to str
        By question: what it is about, in words.
    candidates : tuple of Candidate
    panels : mapping of str to tuple of str
        Analytes by panel.
    analytes : tuple of Analyte
        All that may be measured.
    stored : tuple of Visit
        At which the stored samples were drawn that may be assayed again.
    nodes : array
        Days added to the day planned.
    plans : mapping of str to Schedule
        The first is what is given until the visit; the others, if any, are those to choose among.
    history : Schedule
    until : float
    outcome : Outcome or None
    prediction : (str, float) or None
    doubts : tuple of str
    """

    case: Case
    questions: tuple[str, ...]
    about: Mapping[str, str]
    candidates: tuple[Candidate, ...]
    panels: Mapping[str, tuple[str, ...]]
    analytes: tuple[Analyte, ...]
    stored: tuple[Visit, ...]
    nodes: Array
    plans: Mapping[str, Schedule]
    history: Schedule
    until: float
    outcome: Outcome | None
    prediction: tuple[str, float] | None
    doubts: tuple[str, ...]

    def measures(self, objective: Objective) -> tuple[Measure, ...]:
        """What is simulated of every plan."""
        coming = [each.day for each in self.candidates if not each.sample]
        days = {float(day + node) for day in coming for node in self.nodes}
        out: list[Measure] = [Value(tuple(sorted(days)), tuple(each.id for each in self.analytes))]
        if self.prediction is not None:
            out.append(Value((self.prediction[1],), (self.prediction[0],)))
        if self.outcome is not None:
            out.append(_measure_of(objective, self.outcome, self.until))
        return tuple(out)

    def utilities(self, objective: Objective, runs: Sequence[Runs]) -> Array:
        """What each plan would bring under every draw, more being better, shape (n_draws, n_plans)."""
        if self.outcome is None:
            raise ValueError("no outcome is asked for")
        measure = _measure_of(objective, self.outcome, self.until)
        sign = -1.0 if self.outcome.better == "lower" else 1.0
        asked = measure.asked(self.case, objective.model, self.until)
        place = next(k for k, each in enumerate(asked) if (each.measure, each.quantity) == self.outcome.key)
        # the first plan is what is given until the visit, and none to choose
        return sign * np.array([measure.of(one, self.case, self.until)[place] for one in runs[1:]]).T


def visit_question(
    objectives: Mapping[str, Objective],
    days: Sequence[float],
    *,
    panels: Any,
    stored: Any,
    question: str | Sequence[str],
    parameter: str | None,
    prediction: tuple[str, float] | None,
    plans: Any,
    outcome: str | None,
    schedule: Schedule | None,
    until: float | None,
    visits: int,
    day_error: float,
    costs: Mapping[str | tuple[str, str], float] | None,
    draws: int,
    seed: int,
) -> VisitQuestion:
    """The question as :func:`cellsim.plan_visits` takes it.

    Raises
    ------
    CalibrationError
        Everything that is wrong with it.
    """
    case = next(iter(objectives.values())).case
    questions = (question,) if isinstance(question, str) else tuple(question)
    problems = [
        *unusable(
            counts={"draws": (draws, _FEWEST_DRAWS), "visits": (visits, 1)},
            seeds={"seed": seed},
            days={"day_error": day_error},
        ),
        *_of_cases(objectives),
        *_of_days(days, case, day_error, needed=not stored),
        *_of_questions(questions, objectives, parameter, prediction),
    ]
    named, wrong = panels_given(case, panels)
    kept, unknown = _stored_given(case, stored)
    problems += [*wrong, *unknown, *_of_costs(costs or {}, named, kept)]
    judged = None
    if "plan" in questions:
        judged, more = _outcome(case, outcome)
        problems += more
    if problems:
        raise CalibrationError(problems)
    chosen = (
        plans_given(plans) if plans is not None else {each.name: each.schedule for each in plans_of(case)}
    )
    if judged is not None and len(chosen) < 2:
        raise CalibrationError("there is nothing to choose: give two plans at least, by name, as plans=.")
    given = case.schedule if schedule is None else plans_given(schedule)["schedule"]
    asked_plans = {_first_name(chosen): given, **(chosen if judged is not None else {})}
    every = on_background(asked_plans, background_given("case", case), case.products)
    ends = [each.end for plan in every.values() for each in plan.infusions]
    latest = [visit.latest for visit in case.visits]
    later = [prediction[1]] if prediction is not None else []
    last = max([*(day + day_error for day in days), *later, *latest, *ends]) if until is None else until
    known_costs: Mapping[Any, float] = costs or {}
    candidates = (
        *(
            Candidate(float(day), panel, known_costs.get(panel))
            for day in sorted(set(days))
            for panel in named
        ),
        *(
            Candidate(each.nominal, panel, known_costs.get((each.id, panel)), each.id)
            for each in kept
            for panel in named
        ),
    )
    nodes = np.zeros(1) if day_error == 0 else np.linspace(-day_error, day_error, _NODES)
    measured = [each for each in case.analytes if any(each.id in members for members in named.values())]
    made = VisitQuestion(
        case=case,
        questions=questions,
        about={
            "plan": "" if judged is None else judged.label,
            "variant": ", ".join(objectives),
            "parameter": parameter or "",
            "prediction": "" if prediction is None else f"{prediction[0]} on day {prediction[1]:g}",
            "everything": "all parameters",
            "unit": "" if judged is None else judged.unit,
        },
        candidates=candidates,
        panels=named,
        analytes=tuple(measured),
        stored=kept,
        nodes=nodes,
        plans=every,
        history=history_given("case", case),
        until=float(last),
        outcome=judged,
        prediction=prediction if "prediction" in questions else None,
        doubts=tuple(_doubts(case, measured, kept)),
    )
    first = next(iter(objectives.values()))
    if problems := plan_problems(every, made.history, case, made.until, made.measures(first)):
        raise CalibrationError(problems)
    return made


def _first_name(chosen: Mapping[str, Schedule]) -> str:
    """A name for what is given until the visit that no plan has."""
    name = AS_GIVEN
    while name in chosen:
        name += ", until the visit"
    return name


def _of_cases(objectives: Mapping[str, Objective]) -> list[Problem]:
    first, *others = objectives.values()
    return [
        Problem(what=f"{name} is of {each.case.name}, and {next(iter(objectives))} of {first.case.name}.",
                remedy="Give variants of one case.")
        for name, each in zip(list(objectives)[1:], others, strict=True)
        if each.case != first.case
    ]  # fmt: skip


def _of_days(days: Any, case: Case, day_error: Any, *, needed: bool) -> list[Problem]:
    listed = not isinstance(days, str) and isinstance(days, Sequence | np.ndarray | range)
    if not listed or (needed and not len(days)):
        return [Problem(what=f"days = {days!r}: a list of days is needed, like [300, 330, 360].")]
    if wrong := [day for day in days if not is_finite_number(day)]:
        return [Problem(what=f"days: {wrong[0]!r} is no finite day.")]
    last = max((visit.latest for visit in case.visits), default=0.0)
    error = day_error if is_finite_number(day_error) else 0.0
    problems = []
    if early := [day for day in days if day - error <= last]:
        shown = ", ".join(f"{day:g}" for day in early)
        problems.append(
            Problem(
                what=f"days {shown}{f', with an error of {error:g} days,' * (error > 0)} are not after the last visit, which may be "
                f"as late as day {last:g}.",
                remedy="Give later days: a visit still to come is planned.",
            )
        )
    if error < 0:
        problems.append(Problem(what=f"day_error = {error:g}: days from 0 on are needed."))
    return problems


def _of_questions(
    questions: Sequence[str],
    objectives: Mapping[str, Objective],
    parameter: Any,
    prediction: Any,
) -> list[Problem]:
    problems = [
        Problem(what=f"no question {each!r}.", remedy=did_you_mean(str(each), QUESTIONS))
        for each in questions
        if each not in QUESTIONS
    ]
    if not questions:
        problems.append(
            Problem(
                what="no question is asked.",
                remedy=f"There are {', '.join(QUESTIONS)}.",
            )
        )
    if "variant" in questions and len(objectives) < 2:
        problems.append(
            Problem(
                what="which variant it is cannot be asked of one.",
                remedy="Give several, each by its name.",
            )
        )
    for name, given, example in (
        ("parameter", parameter, "'k'"),
        ("prediction", prediction, "('analyte', 400)"),
    ):
        if (name in questions) != (given is not None):
            problems.append(
                Problem(
                    what=f"question {name!r} and {name}= go together.",
                    remedy=f"Give both: {name}={example}.",
                )
            )
    if parameter is not None:
        for variant, each in objectives.items():
            known = [*each.names, *each.fixed]
            if parameter not in known:
                of = f" in {variant}" if variant else ""
                problems.append(
                    Problem(
                        what=f"no parameter {parameter!r}{of}.",
                        remedy=did_you_mean(str(parameter), known),
                    )
                )
        if all(parameter in each.fixed for each in objectives.values()):
            problems.append(Problem(what=f"{parameter} is fixed, so that nothing can be learned of it."))
    if prediction is not None:
        known = [each.id for each in next(iter(objectives.values())).case.analytes if each.foreseeable]
        if not (
            isinstance(prediction, Sequence) and len(prediction) == 2 and is_finite_number(prediction[1])
        ):
            problems.append(
                Problem(
                    what=f"prediction = {prediction!r}: an analyte and a day are needed, like ('analyte', 400)."
                )
            )
        elif prediction[0] not in known:
            problems.append(
                Problem(
                    what=f"prediction: no analyte {prediction[0]!r}.",
                    remedy=did_you_mean(str(prediction[0]), known),
                )
            )
    return problems


def panels_given(case: Case, given: Any) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Analytes by the name of what may be measured, and what is wrong with what was asked for."""
    foreseeable = [each for each in case.analytes if each.foreseeable]
    members: dict[str, tuple[str, ...]] = {}
    for each in foreseeable:
        if each.panel:
            members[each.panel] = (*members.get(each.panel, ()), each.id)
    alone: dict[str, tuple[str, ...]] = {each.id: (each.id,) for each in foreseeable}
    known = alone | members
    if given is None:
        return members or alone, []
    if isinstance(given, str):
        given = [given]
    wanted = given if isinstance(given, Mapping) else {str(name): [name] for name in given}
    problems = [] if wanted else [Problem(what="no panel is given.", remedy=f"Known: {', '.join(known)}.")]
    out: dict[str, tuple[str, ...]] = {}
    for name, parts in wanted.items():
        listed = [parts] if isinstance(parts, str) else list(parts)
        problems += [
            Problem(
                what=f"no panel or analyte {part!r}.",
                remedy=did_you_mean(str(part), known),
            )
            for part in listed
            if part not in known
        ]
        out[str(name)] = tuple(dict.fromkeys(one for part in listed for one in known.get(part, ())))
    return out, problems


def _stored_given(case: Case, given: Any) -> tuple[tuple[Visit, ...], list[Problem]]:
    """Visits of which a sample is stored, from their ids, names or nominal days; and what is wrong with what was given."""
    listed = [given] if isinstance(given, str | int | float) else list(given)
    found: dict[str, Visit] = {}
    problems = []
    for each in listed:
        called = [visit for visit in case.visits if str(each) in (visit.id, visit.name)]
        fitting = called or [visit for visit in case.visits if _is_day(each, visit.nominal)]
        if len(fitting) == 1:
            found[fitting[0].id] = fitting[0]
            continue
        known = [visit.id for visit in case.visits]
        what = f"stored: no sample {each!r}." if not fitting else f"stored: {each!r} is the day of several."
        remedy = did_you_mean(str(each), known) if known else "The case has no visit."
        problems.append(Problem(what=what, remedy=remedy))
    return tuple(found.values()), problems


def _is_day(given: Any, day: float) -> bool:
    try:
        return float(given) == day
    except (TypeError, ValueError):
        return False


def _of_costs(costs: Mapping[Any, Any], named: Mapping[str, Any], kept: Sequence[Visit]) -> list[Problem]:
    samples = {visit.id: visit for visit in kept}
    problems = []
    for name, cost in costs.items():
        sample, panel = name if isinstance(name, tuple) and len(name) == 2 else (None, name)
        if sample is not None and sample not in samples:
            remedy = did_you_mean(str(sample), samples) if samples else "Give it as stored= too."
            problems.append(Problem(what=f"costs: no stored sample {sample!r}.", remedy=remedy))
        if panel not in named:
            problems.append(
                Problem(what=f"costs: no panel {panel!r}.", remedy=did_you_mean(str(panel), named))
            )
        if not (is_finite_number(cost) and cost > 0):
            said = panel if sample is None else f"{panel} of {sample}"
            problems.append(Problem(what=f"the cost of {said} is {cost!r}; a number above zero is needed."))
    return problems


def _outcome(case: Case, name: str | None) -> tuple[Outcome | None, list[Problem]]:
    """The outcome by which plans are judged."""
    known = {each.id: each for each in case.outcomes if each.better}
    if not known:
        return None, [
            Problem(
                what=f"{case.name} has no outcome with a direction that is better, so that no plan is the best.",
                remedy="Write one into outcomes.tsv, with higher or lower in the column better.",
            )
        ]
    if name is None:
        return next(iter(known.values())), []
    if name not in known:
        return None, [Problem(what=f"no outcome {name!r}.", remedy=did_you_mean(name, known))]
    return known[name], []


def _measure_of(objective: Objective, outcome: Outcome, until: float) -> Measure:
    """The measure whose numbers an outcome is among."""
    case, model = objective.case, objective.model
    single: tuple[Measure, ...] = (
        Value((until,), (outcome.quantity,)),
        InRange((until,), analytes=(outcome.quantity,)),
    )
    known = (
        single if outcome.measure in ("value", "in range") else default_measures(model, (until,), case=case)
    )
    for measure in known:
        if any((each.measure, each.quantity) == outcome.key for each in measure.asked(case, model, until)):
            return measure
    raise CellsimError(f"the outcome {outcome.id} is none that plans can be judged by.")


def _doubts(case: Case, analytes: Sequence[Analyte], stored: Sequence[Visit]) -> list[str]:
    """What is left out of what a sample would tell."""
    known = {each.id for each in analytes}
    limits = {row.analyte: row for row in case.censored if row.analyte in known}
    said = [
        f"{row.analyte} was printed as beyond {row.limit:g} {row.unit}: a new value beyond the limit of its assay is counted here as if "
        "it were read."
        for row in limits.values()
    ]
    if stored:
        said.append(
            "a stored sample is taken to have kept its values, and all the scatter of a row for that of its assay: where some of it is of the "
            "patient's day, a new assay tells less."
        )
    return said
