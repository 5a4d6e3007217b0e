"""A comparison of schedules in words and tables: what each plan would have done, and how far that is from the plan as given."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING, Any

from cellsim.dosing.infusions import amounts_text, dose_noun
from cellsim.errors import CellsimError
from cellsim.results import html_fragment, level_words, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.predictions.measures import Asked
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["draws_text", "report_html", "report_text"]

GIVEN = "as given"
# plans that stand beside one another as columns, and lines of a list
_COLUMNS, _LINES = 8, 12


def draws_text(result: Sweep) -> str:
    """:meth:`cellsim.Sweep.draws` as text that reads back equal: what pandas writes of it, in a fifth of the time.

    Only the number of the draw and the value differ from one row to the next, and there are a hundred thousand of them.
    """
    frame, count = result.draws(), result.posterior.shape[2]
    place = list(frame.columns).index("draw")
    lines = [_fields(frame.columns)]
    each = frame.iloc[::count].itertuples(index=False, name=None)
    for cells, values in zip(each, result.posterior.reshape(-1, count).tolist(), strict=True):
        before, after = _fields(cells[:place]), _fields(cells[place + 2 :])
        lines += [
            f"{before},{draw},{value!r},{after}" if value == value else f"{before},{draw},,{after}"
            for draw, value in enumerate(values)
        ]
    return "\n".join([*lines, ""])


def _fields(cells: Iterable[Any]) -> str:
    """Cells of one line; nothing where a number is none."""
    held = StringIO()
    csv.writer(held, lineterminator="\n").writerow(["" if each != each else each for each in cells])
    return held.getvalue()[:-1]


def report_text(result: Sweep, level: float) -> str:
    """See :meth:`cellsim.Sweep.report`.

    Parameters
    ----------
    result : Sweep
    level : float
        Of the intervals.
    """
    import pandas as pd

    if len(result.schedules) > _COLUMNS:
        return _ranked(result)
    names = list(result.schedules)
    own = [
        name for name, plan in result.schedules.items() if plan.infusions == result.case.schedule.infusions
    ]
    reference = next(each for each in (GIVEN, *own, *names) if each in names)
    table, differences = result.table(level=level), result.contrasts(level=level, reference=reference)

    title = _title(result)
    words = level_words(table)
    lines = [title, "=" * len(title), result.label, "", *result.approximation.lines, "", *_plans(result), ""]
    with pd.option_context("display.width", 200, "display.max_colwidth", 60):
        lines += [
            f"By day {result.until:g}: median ({words}) of {result.posterior.shape[2]} draws; chances have none",
            "",
        ]
        lines += [_answers(result, table).to_string(index=False), ""]
        if not differences.empty:
            first = differences["second"].iloc[0]
            lines += [f"Difference to “{first}”: median ({words}), the prior's beside it", ""]
            lines += [_differences(result, differences).to_string(index=False), ""]
    return "\n".join(lines).rstrip()


def _title(result: Sweep) -> str:
    return f"Schedules compared for {result.case.name}" + (
        f", variant {result.variant}" if result.variant else ""
    )


def _ranked(result: Sweep) -> str:
    """Many plans: the first of the ranking by what the case is asked first; all numbers stand in the tables."""
    import pandas as pd

    title = _title(result)
    lines = [title, "=" * len(title), result.label, "", *result.approximation.lines, "", *_plans(result), ""]
    try:
        ranking = result.ranking()
    except CellsimError as error:
        return "\n".join([*lines, f"No ranking: {error}"])
    ties = int(ranking["tie"].sum())
    lines += [
        f"By day {result.until:g}, by {ranking.attrs['measure']}, from {result.posterior.shape[2]} draws; "
        f"{ties} of {len(ranking)} plans cannot be told from the first:",
        "",
    ]
    shown = ranking.head(_LINES)[
        ["schedule", "mean", "mean_error", "best", "regret", "beaten", "tie", "extrapolation"]
    ]
    with pd.option_context("display.width", 200, "display.max_colwidth", 60):
        lines.append(shown.to_string(index=False, float_format=number))
    return "\n".join(lines)


def report_html(result: Sweep, table: pd.DataFrame) -> str:
    """A short form for a notebook: the plans and the answers."""
    said = [result.label, *_plans(result), *result.approximation.lines]
    if len(result.schedules) > _COLUMNS:
        return html_fragment(said, table)
    caption = f"By day {result.until:g}: median ({level_words(table)})"
    return html_fragment([*said, caption], _answers(result, table))


def _plans(result: Sweep) -> list[str]:
    """What each plan gives."""
    out = []
    for name, plan in list(result.delivered.items())[:_LINES]:
        given = amounts_text(plan, plan.products)
        count = f"{plan.count} {dose_noun(plan, plan.products)}{'s' * (plan.count != 1)}"
        out.append(f"{name}: {f'{count}, {given}' if plan.count else 'nothing'}")
        if beyond := result.beyond.get(name):
            out.append(f"  outside what was given: {'; '.join(str(each) for each in beyond)}")
    if (more := len(result.schedules) - _LINES) > 0:
        out.append(f"and {more} more plans, {len(result.beyond)} of all outside what was given")
    if result.background.count:
        kept = amounts_text(result.background, result.background.products)
        out.append(f"Every plan keeps the background unless it gives the same product itself: {kept}.")
    return out


def _order(result: Sweep) -> list[int]:
    """Questions, those that are outcomes of the case first."""
    keys = [each.key for each in result.case.outcomes]
    places = {k: (each.measure, each.quantity) for k, each in enumerate(result.asked)}
    return sorted(places, key=lambda k: keys.index(places[k]) if places[k] in keys else len(keys))


def _question(result: Sweep, asked: Asked) -> str:
    """What is asked, in the words of the case where it has some."""
    outcome = next(
        (each for each in result.case.outcomes if each.key == (asked.measure, asked.quantity)), None
    )
    if outcome is not None and outcome.label:
        return outcome.label
    when = f", day {asked.day:g}" if asked.day == asked.day else ""
    unit = f" ({asked.unit})" if asked.unit not in ("", "1") else ""
    return f"{asked.measure} {asked.quantity}{when}{unit}"


def _cell(row: pd.Series, prefix: str, chance: bool, middle: str = "estimate") -> str:
    """A number with its interval; a chance in per cent."""
    found = row[f"{prefix}{middle}"]
    if found != found:
        return "-"
    if chance:
        return f"{round(100 * found) + 0:d} %"  # no minus before a nought
    return f"{number(found)} ({number(row[f'{prefix}low'])} to {number(row[f'{prefix}high'])})"


def _answers(result: Sweep, table: pd.DataFrame) -> pd.DataFrame:
    """One row a question, one column a plan."""
    import pandas as pd

    count = len(result.asked)
    rows = []
    for k in _order(result):
        asked = result.asked[k]
        cells = {
            name: _cell(table.iloc[i * count + k], "", asked.chance)
            for i, name in enumerate(result.schedules)
        }
        verdicts = [str(table["verdict"].iloc[i * count + k]) for i in range(len(result.schedules))]
        said = verdicts[0] if len(set(verdicts)) == 1 else " / ".join(each or "-" for each in verdicts)
        rows.append({"question": _question(result, asked), **cells, "verdict": said})
    return pd.DataFrame(rows)


def _differences(result: Sweep, differences: pd.DataFrame) -> pd.DataFrame:
    """One row a question and plan."""
    import pandas as pd

    count = len(result.asked)
    rows = []
    for k in _order(result):
        asked = result.asked[k]
        for i, name in enumerate(differences["first"].iloc[::count]):
            row = differences.iloc[i * count + k]
            rows.append(
                {
                    "question": _question(result, asked),
                    "plan": name,
                    "difference": _cell(row, "", asked.chance, "difference"),
                    "larger in": f"{100 * row['above']:.0f} %",
                    "prior": _cell(row, "prior_", asked.chance, "difference"),
                    "verdict": row["verdict"],
                }
            )
    return pd.DataFrame(rows)
