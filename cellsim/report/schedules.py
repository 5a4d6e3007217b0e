"""The parts of a report about plans: their rows and draws, one product against another, and every measure of every plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cellsim.dosing.infusions import amounts_text
from cellsim.files import file_name
from cellsim.plots.sweeps import course_text, default_course
from cellsim.predictions.plans import AS_GIVEN
from cellsim.report.elements import Shown, details, link, paragraphs, table
from cellsim.report.products import (
    SAME_CHANCE,
    across_variants,
    contrast_table,
    contrast_words,
    main_outcome,
    persists_words,
    plan_table,
    plan_words,
    watched,
)
from cellsim.report.report_summary import listed, records, signed
from cellsim.sweeps.decisions import SURE
from cellsim.sweeps.learned import difference

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.outcomes import Outcome, ReportQuestion
    from cellsim.predictions.plans import Plan
    from cellsim.report.page import RowsPage
    from cellsim.report.steps import Job
    from cellsim.sweeps.sweep_result import Sweep

    Array = NDArray[np.float64]

__all__ = [
    "across",
    "chances_of_better",
    "contrast",
    "contrast_rows",
    "ordered",
    "other_doses",
    "persists_answer",
    "plan_rows",
    "products_compared",
    "ranks",
    "same_amount",
    "what_if",
]


# days between doses from which they are no block
_NO_BLOCK = 2.0

# ---- rows and draws ---------------------------------------------------------------------------------------


def plan_rows(job: Job, name: str) -> RowsPage:
    """Every measure of every plan under one variant, as a page of rows with its draws beside it."""
    title = f"Every measure of every plan, mechanism “{job.called(name)}”"
    return _sweep_rows(job, name, "what_if", title, job.sweeps[name].table)


def contrast_rows(job: Job, name: str) -> RowsPage:
    """Every pair of plans under one variant, likewise."""
    title = f"Every pair of plans, mechanism “{job.called(name)}”: the first minus the second"
    return _sweep_rows(job, name, "contrasts", title, job.sweeps[name].contrasts)


def _sweep_rows(job: Job, name: str, kind: str, title: str, make: Callable[[], pd.DataFrame]) -> RowsPage:
    """Many thousand cells, to which several parts of a page refer."""
    file, draws = f"tables/{file_name(name)}_{kind}", job.drawn_from(name)
    return job.output.once(
        file, (job.sweeps[name], title, *draws), lambda: job.output.rows(file, make(), title, draws=draws)
    )


def chances_of_better(result: Sweep, outcome: Outcome) -> dict[str, tuple[float, float]]:
    """How probable it is that each other plan does better than what was given, after and before the data.

    Parameters
    ----------
    result : Sweep
    outcome : Outcome
        By which; none is told of a chance, or where neither direction is better.
    """
    if outcome.chance or not outcome.better or AS_GIVEN not in result.schedules:
        return {}
    table = result.contrasts()
    if table.empty:
        return {}
    own = table[
        (table["first"] == AS_GIVEN)
        & (table["measure"] == outcome.key[0])
        & (table["quantity"] == outcome.key[1])
    ]
    higher = outcome.better == "higher"
    return {
        name: (1 - above, 1 - before) if higher else (above, before)
        for name, above, before in zip(own["second"], own["above"], own["prior_above"], strict=True)
    }


# ---- one product against another --------------------------------------------------------------------------


def contrast(job: Job) -> str:
    """One product against another under every mechanism, folded."""
    question, first, second = _pair(job)
    if question is None:
        return ""
    frame = contrast_table(ordered(job), first, second, question) if job.sweeps else None
    if frame is None or frame.empty:
        said = "Neither an outcome nor the amount of either product could be compared under any mechanism."
        return details(question.title, paragraphs([said]), anchor="contrast")
    from cellsim import plots

    file = job.output.csv(f"tables/{file_name(question.first)}_{file_name(question.second)}.csv", frame)
    removal = job.case.groups_of("rejection")
    named = frame.assign(variant=[f"“{job.called(each)}”" for each in frame["variant"]])
    trail = {f"“{job.called(name)}”": behind for name, behind in _trail(job).items()}
    called = {job.called(name): each for name, each in ordered(job).items()}
    return details(
        question.title,
        paragraphs(
            [
                f"The same days and amounts were given to every mechanism as “{first}” and as “{second}”."
                + " No claim about removal stands alone: mechanisms in which both products are removed alike, or differ in "
                "potency instead, stand beside it." * bool(removal),
                *contrast_words(named, first, second, job.case, question, trail),
            ],
            at=file,
        ),
        job.output.draw(
            "contrast",
            f"“{first}” minus “{second}” under every mechanism: median and 90 % of draws, the prior's hollow.",
            lambda: plots.contrast(called, first, second),
            alt=f"Difference between “{first}” and “{second}” under every mechanism; the table beneath has its numbers",
        ),
        table(
            named.drop(columns="name"),
            names={
                "variant": "mechanism",
                "low": "5 %",
                "high": "95 %",
                "above": "chance first is larger",
                "prior_difference": "prior: difference",
                "prior_above": "prior: chance",
            },
            file=file,
        ),
        anchor="contrast",
    )


def products_compared(job: Job) -> ReportQuestion | None:
    """The question that sets two products against each other, where a plan gives the one for the other."""
    question, _, _ = _pair(job)
    asked = {(each.measure, each.quantity) for result in job.sweeps.values() for each in result.asked}
    return question if not job.sweeps or asked & set(watched(job.case)) else None


def persists_answer(job: Job) -> list[str]:
    """What the claim owes to the prior, in the variant shown."""
    question, first, second = _pair(job)
    if job.main is None or question is None:
        return []
    return persists_words(job.source(job.main), job.sweeps.get(job.main), first, second, question)


def _pair(job: Job) -> tuple[ReportQuestion | None, str, str]:
    """The question between two products, and the two plans that give them."""
    for question in (each for each in job.case.questions if each.kind == "products"):
        for plan in (each for each in job.plans if each.other in (question.first, question.second)):
            return question, AS_GIVEN, plan.name
    return None, AS_GIVEN, ""


def _trail(job: Job) -> dict[str, float]:
    """ln evidence of every variant, less the best."""
    evidences = job.compared.evidences if job.fits else {}
    best = max(evidences.values(), default=0.0)
    return {name: each - best for name, each in evidences.items()}


def ordered(job: Job) -> dict[str, Sweep]:
    """The sweeps, the variant shown in detail first."""
    names = sorted(job.sweeps, key=lambda name: name != job.main)
    return {name: job.sweeps[name] for name in names}


# ---- what-if dosing ---------------------------------------------------------------------------------------


def what_if(job: Job) -> str:
    """Every measure of every plan, folded."""
    title = "Every plan: what is given, and every measure of it"
    if not job.plans:
        return details(title, paragraphs(["Nothing was given from day 0 on."]), anchor="what-if")
    import pandas as pd

    plans = pd.DataFrame(
        [
            {
                "plan": each.name,
                "doses": each.schedule.count,
                "given": amounts_text(each.schedule, each.schedule.products) or "nothing",
                "what it is": each.words,
            }
            for each in job.plans
        ]
    )
    head = table(plans, file="tables/plans.csv")
    failed = [job.output.said(f"Schedules under {job.called(name)}") for name in job.fits]
    name = job.main if job.main in job.sweeps else next(iter(job.sweeps), None)
    if name is None:
        return details(title, head, *failed, anchor="what-if")
    from cellsim import plots

    result, rows = job.sweeps[name], plan_rows(job, name)
    shown = default_course(result)
    extra = "".join(
        job.output.draw(
            f"what_if_{file_name(outcome.id)}",
            f"The same for {course_text(job.case, outcome.course)}: {outcome.label}.",
            partial(plots.sweep, result, outcome.course),
            alt=f"Time courses of {course_text(job.case, outcome.course)} under every plan; the table has its measures",
            folded=True,
            of=(result,),
        )
        for outcome in job.case.outcomes
        if outcome.course in result.curves and outcome.course != shown
    )
    pairs = contrast_rows(job, name)
    return details(
        title,
        *failed,
        paragraphs(
            [
                f"Every plan follows the same history and is looked at until day {job.until:g}, with {job.draws} draws of "
                f"“{job.called(name)}” and as many of its prior."
                + " The block spreads the whole amount over consecutive days, because one dose of that size was never given."
                * any(each.name.startswith("block") for each in job.plans)
            ]
        ),
        head,
        paragraphs(plan_words(result), at=pairs.file),
        table(
            plan_table(result),
            names={
                "low": "5 %",
                "high": "95 %",
                "prior_estimate": "prior",
                "prior_low": "prior 5 %",
                "prior_high": "prior 95 %",
            },
            file=f"tables/{file_name(name)}_what_if.csv",
        ),
        extra,
        f'<p class="quiet">{link(rows.file, "Every measure")}, {link(pairs.file, "every pair of plans")}, '
        f"{link(_draws_file(name), 'every draw')}.</p>",
        anchor="what-if",
    )


def _draws_file(name: str) -> str:
    return f"tables/{file_name(name)}_draws.csv.gz"


def across(job: Job) -> str:
    """Whether the best plan depends on the mechanism: sentences, and the main outcome by plan and mechanism."""
    named = {f"“{job.called(name)}”": each for name, each in ordered(job).items()}
    by_variant, said = across_variants(named)
    outcome = next(iter(job.case.outcomes), None)
    if by_variant.empty or outcome is None or len(job.sweeps) < 2:
        return ""
    title = f"{outcome.label[:1].upper()}{outcome.label[1:]}, posterior median, by plan and mechanism"
    rows = job.output.rows(
        "tables/outcome_by_variant",
        by_variant,
        title,
        draws=job.drawn_from(*job.sweeps),
    )
    return "".join(
        [
            "<h3>Does the best plan depend on the mechanism?</h3>",
            paragraphs(said, at=rows.file),
            details(title, table(by_variant, at=rows.places(range(len(by_variant))))),
        ]
    )


# ---- the same amount in other doses -----------------------------------------------------------------


def _names_of_one_amount(plans: tuple[Plan, ...]) -> list[str]:
    """What was given, and the plans that give the same amount of the same product in other doses, no block of them."""
    if not plans:
        return []
    given = plans[0].schedule
    products = {each.product for each in given.infusions}
    out = []
    for each in plans:
        days = [one.day for one in each.schedule.infusions]
        alike = {one.product for one in each.schedule.infusions} == products and len(products) == 1
        if (
            alike
            and np.isclose(each.schedule.total(), given.total())
            and min(np.diff(days), default=0.0) >= _NO_BLOCK
        ):
            out.append(each.name)
    return out


def same_amount(sweeps: Mapping[str, Sweep], names: list[str], thetas: Mapping[str, Array]) -> pd.DataFrame:
    """Plans of one amount against each other under every mechanism.

    Parameters
    ----------
    sweeps : mapping of str to Sweep
    names : list of str
        Plans that are compared, two at least.
    thetas : mapping of str to array, shape (n_draws, n_parameters)
        The draws behind each sweep in the order of its posterior's parameters, where they are known.

    Returns
    -------
    DataFrame
        One row a mechanism: variant, best (plan of the best mean; empty where no draw tells any from another), chance and prior_chance (to
        be the best of them, ties shared), turns (share of draws in which the order of all is not that of their means), second, ahead, low, high (how
        much better the best is than the second, 90 %), hangs_on (place of the parameter whose rank correlates most with that, -1 for
        none), correlation; empty without an outcome.
    """
    import pandas as pd

    rows = []
    for variant, result in sweeps.items():
        outcome = main_outcome(result)
        if outcome is None or not outcome.better:
            continue
        place = next(k for k, each in enumerate(result.asked) if (each.measure, each.quantity) == outcome.key)
        sign = 1.0 if outcome.better == "higher" else -1.0
        plans = list(result.schedules)
        where = [plans.index(name) for name in names]
        utility, before = (sign * each[where, place] for each in (result.posterior, result.prior))
        order = np.argsort(-utility.mean(axis=1), kind="stable")
        first, second = order[0], order[1]
        apart = difference(utility[first], utility[second])
        alike = not difference(utility, np.broadcast_to(utility[first], utility.shape)).any()
        hangs_on, correlation = _hangs_on(apart, thetas.get(variant))
        rows.append(
            {
                "variant": variant,
                "best": "" if alike else names[first],
                "chance": float(_share_best(utility)[first]),
                "prior_chance": float(_share_best(before)[first]) if before.size else np.nan,
                "turns": float(np.mean([_turned(each[order]) for each in utility.T])),
                "second": "" if alike else names[second],
                "ahead": float(np.median(apart)),
                "low": float(np.quantile(apart, 0.05)),
                "high": float(np.quantile(apart, 0.95)),
                "hangs_on": hangs_on,
                "correlation": correlation,
            }
        )
    return pd.DataFrame(rows)


def _hangs_on(apart: Array, thetas: Array | None) -> tuple[int, float]:
    """The parameter whose rank correlates most with a difference, by its place, and how much; -1 where that is not known."""
    if thetas is None or len(thetas) != len(apart) or not np.ptp(apart) > 0:
        return -1, np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.asarray(np.corrcoef(ranks(np.column_stack([apart, thetas])), rowvar=False))
    each = np.nan_to_num(found[0, 1:])
    most = int(np.argmax(np.abs(each)))
    return most, float(each[most])


def ranks(columns: Array) -> Array:
    """The rank of every value in its column, from 1; equals share the mean of theirs."""
    out = np.empty(columns.shape)
    for k, column in enumerate(columns.T):
        _, place, count = np.unique(column, return_inverse=True, return_counts=True)
        out[:, k] = (np.cumsum(count) - (count - 1) / 2)[place]
    return out


def _share_best(utility: Array) -> Array:
    top = difference(utility, np.broadcast_to(utility.max(axis=0), utility.shape)) == 0
    return np.asarray((top / top.sum(axis=0)).mean(axis=1))


def _turned(ordered: Array) -> bool:
    """Whether a draw has another order than that of the means, the best first; equals are in any order."""
    return bool((difference(ordered[:-1], ordered[1:]) < 0).any())


def other_doses(job: Job) -> str:
    """The same amount in fewer and larger doses, in smaller ones, or as given: under each mechanism, and what the order hangs on."""
    names = _names_of_one_amount(job.plans)
    if len(names) < 2 or not job.sweeps:
        return ""
    thetas = {
        name: job.source(name).draws(job.draws, seed=job.seed)
        for name, result in job.sweeps.items()
        if not result.lost[0]
    }
    frame = same_amount(ordered(job), names, thetas)
    if frame.empty:
        return ""
    objectives = {name: job.fits[name].objective for name in job.sweeps}
    frame["hangs_on"] = [
        "" if each < 0 else objectives[variant].names[each]
        for variant, each in zip(frame["variant"], frame["hangs_on"], strict=True)
    ]
    outcome = next(found for each in job.sweeps.values() if (found := main_outcome(each)) is not None)
    caption = (
        f"The same amount in other doses ({listed([f'“{name}”' for name in names])}), by {outcome.label}"
    )
    rows = job.output.rows("tables/same_amount", frame, caption, draws=job.drawn_from(*job.sweeps))
    meaning = {each.id: each.meaning for each in job.case.priors}
    lines = []
    for one in records(frame):
        best = Shown("no plan differs from another")
        if one.best:
            far = f"{signed(one.ahead)} ({signed(one.low)} to {signed(one.high)})"
            best = Shown(f"“{one.best}”", f"before “{one.second}” by {far}")
        lines.append(
            {
                "Mechanism": f"“{job.called(one.variant)}”",
                "Best on average": best,
                "Chance to be the best": Shown(
                    f"{100 * one.chance:.0f} %", f"prior {100 * one.prior_chance:.0f} %"
                ),
                "Another order in": Shown(f"{100 * one.turns:.0f} % of draws"),
                "Hangs most on": Shown(f"“{one.hangs_on}”", meaning.get(one.hangs_on, ""))
                if one.hangs_on
                else Shown("–"),
            }
        )
    import pandas as pd

    called = [f"“{job.called(each)}”" for each in frame["variant"]]
    where: dict[str, list[str]] = {}
    for name, best in zip(called, frame["best"], strict=True):
        where.setdefault(best, []).append(name)
    alike = where.pop("", [])
    said = [f"No plan differs from another under {listed(alike)}."] if alike else []
    if where:
        said.append(
            "Best on average is "
            + "; ".join(f"“{best}” under {listed(under)}" for best, under in where.items())
            + "."
        )
        told = frame[frame["best"] != ""]
        if len(where) > 1 or not (told["chance"] >= SURE).all():
            said.append("None is the best in nine of ten draws under all of these: the order is not known.")
        if ((told["chance"] - told["prior_chance"]).abs() < SAME_CHANCE).all():
            said.append("The chances are those of the prior: assumed, not learned from this patient.")
    return (
        "<h3>Fewer and larger doses, weekly ones, or as given?</h3>"
        + paragraphs([" ".join(said)], at=rows.file)
        + table(pd.DataFrame(lines), caption=caption, at=rows.places(range(len(lines))), stacked=True)
    )
