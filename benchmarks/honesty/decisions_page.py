"""docs/decisions.md from what has been done so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.clock import table
from benchmarks.honesty import decisions, figures
from benchmarks.honesty.decided import (
    MAIN,
    Among,
    Bin,
    Patient,
    Tally,
    in_bands,
    joined,
    reliability,
    tally,
)
from benchmarks.honesty.families import Family
from benchmarks.honesty.ledger import RESULTS, records
from benchmarks.honesty.ranks import Rate
from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.sweeps.agreement import SAID, SEPARATES

DOCS = Path(__file__).resolve().parents[2] / "docs"
ABOUT = {
    "small": "cells that persist, what they leave behind, and one cytokine in five values (three parameters); cells leave a memory (*memory*), do "
    "nothing (*null*), or act while they live (*short*), and treatment is a burden by itself.",
    "shipped": "the published case with its visits, assays and limits (111 parameters, 92 rows), of V2 (engulfed and remembered), V0 (cells do "
    "nothing) and V3 (long engraftment).",
}
REASONS = {
    "nobody": "no mechanism tells the two apart",
    "open": "another mechanism does not tell them apart",
    "same": "no difference in another mechanism",
    "other": "the other way round in another mechanism",
    "prior": "a prior leans the other way",
    "draws": "draws that cannot be trusted",
}
AIM_WRONG, AIM_DECIDED = 0.05, 0.3
# fewer than these say nothing in a table, or in words
_FEWEST, _FEWEST_SAID = 5, 20


def families() -> dict[str, Family]:
    """What was put to the test."""
    return {name: make() for name, make in decisions.FAMILIES.items()}


def own(patient: Patient) -> Mapping[str, decisions.Record]:
    """Read with the true mechanism alone."""
    return patient.own


def everyone(patient: Patient) -> Mapping[str, decisions.Record]:
    """Read with all."""
    return patient.readings


def others(patient: Patient) -> Mapping[str, decisions.Record]:
    """The true mechanism left out."""
    return patient.others


WAYS: dict[str, Among] = {"own alone": own, "all": everyone, "own left out": others}


@cache
def known(path: Path = RESULTS) -> dict[str, dict[str, dict[str, list[decisions.Record]]]]:
    """Lines by family, mechanism of the truth, and mechanism read with."""
    stored = {study.name: records(study, path) for study in decisions.studies()}
    return {
        name: {
            makes: {
                reads: stored.get(decisions.name_of(name, makes, reads), []) for reads in family.objectives
            }
            for makes in family.objectives
        }
        for name, family in families().items()
    }


def people(name: str, makes: str, *, alone: bool = False, path: Path = RESULTS) -> list[Patient]:
    """Patients of one mechanism: read with every one, or at least with their own."""
    lines = known(path)[name][makes]
    return joined(makes, {makes: lines[makes]} if alone else lines)


def mixed(name: str, path: Path = RESULTS) -> list[Patient]:
    """Patients of every mechanism in equal numbers, so that each is as probable as the prior weights say."""
    each = [people(name, makes, path=path) for makes in known(path)[name]]
    return [one for some in each for one in some[: min(map(len, each))]]


def _groups(name: str, path: Path) -> list[tuple[str, str, list[Patient], Among]]:
    """Of whom, how read, the patients, and among which mechanisms."""
    out = []
    for makes in known(path)[name]:
        for way, among in WAYS.items():
            some = people(name, makes, alone=way == "own alone", path=path)
            if len(some) >= _FEWEST:
                out.append((makes, way, some, among))
    if len(some := mixed(name, path)) >= _FEWEST:
        out.append(("all in equal numbers", "all", some, everyone))
    return out


def _share(found: tuple[float, float]) -> str:
    return f"{100 * found[0]:.0f} ± {100 * found[1]:.0f}"


def _measures(family: Family) -> list[str]:
    return [
        f"{each.measure} of {each.quantity}" + (f", day {each.day:g}" if each.day == each.day else "")
        for each in family.asked
    ]


def _bands(path: Path) -> str:
    rows = []
    for name, family in families().items():
        for makes, way, some, among in _groups(name, path):
            for m, measure in enumerate(_measures(family)):
                shares = [_share(in_bands(some, among, m, level)) for level in (0.5, 0.9)]
                rows.append((name, makes, way, str(len(some)), measure, *shares))
    return table(("model", "truth", "read with", "patients", "measure", "in 50 %", "in 90 %"), rows)


def _chances(path: Path) -> tuple[str, dict[str, list[Bin]]]:
    rows, drawn = [], {}
    for name, family in families().items():
        for makes, way, some, among in _groups(name, path):
            if way == "own left out" or (way == "all" and makes in family.objectives):
                continue
            found = reliability(some, among, MAIN)
            title = f"{name}: {makes}, {'own mechanism' if way == 'own alone' else 'average'}"
            drawn[f"{title}\n{len(some)} patients"] = found
            rows += [
                (
                    title,
                    f"{100 * each.low:.0f} to {100 * each.high:.0f} %",
                    str(each.pairs),
                    f"{100 * each.mean:.1f} %",
                    f"{100 * each.share:.1f} %",
                    str(each.one),
                )
                for each in found
            ]
    head = ("truth, by", "said", "pairs", "said, mean", "truly better", "one pair of each patient")
    return table(head, rows), drawn


def _tallies(path: Path) -> list[tuple[str, str, str, int, Tally]]:
    out = []
    for name, family in families().items():
        for makes, way, some, among in _groups(name, path):
            out.append((name, makes, way, len(some), tally(some, among, family.sizes)))
    return out


def _answers(found: Sequence[tuple[str, str, str, int, Tally]]) -> tuple[str, str]:
    rows, reasons = [], []
    for name, makes, way, count, each in found:
        rows.append(
            (
                *(name, makes, way, str(count), str(each.pairs), str(each.said)),
                *(str(Rate(each.wrong, each.said)), str(each.patients)),
                *(str(Rate(each.pairs - each.said, each.pairs)), *map(str, each.found)),
            )
        )
        reasons.append((name, makes, way, *(str(each.hangs_on.get(reason, 0)) for reason in REASONS)))
    head = (
        *("model", "truth", "read with", "patients", "pairs", "said", "wrong, of what was said"),
        *("patients told something wrong", "nothing said"),
        *(f"decided, truly apart by {words} of the time" for words in ("a twelfth", "a sixth", "a third")),
    )
    return table(head, rows), table(("model", "truth", "read with", *REASONS.values()), reasons)


def _done(path: Path) -> str:
    rows = []
    for study in decisions.studies():
        lines = records(study, path)
        fine = [line for line in lines if "failed" not in line]
        over = sum(line["k_hat"] >= LARGEST_SHAPE for line in fine)
        rows.append(
            (
                study.name,
                f"{len(lines)} of {study.patients}",
                str(len(lines) - len(fine)),
                str(over),
                f"{sum(line['effective'] for line in fine) / len(fine):.0f}" if fine else "",
                f"{sum(line['seconds'] for line in lines) / len(lines):.0f}" if lines else "",
            )
        )
    head = (
        "patients",
        "done",
        "lost",
        "Pareto k above 0.7",
        "effective draws, mean",
        "processor seconds each",
    )
    return table(head, rows)


def _lessons(found: Sequence[tuple[str, str, str, int, Tally]], path: Path) -> str:
    """What the tables say, in sentences made from their numbers."""
    said = []
    for name, family in families().items():
        of = {(makes, way): each for model, makes, way, _, each in found if model == name}
        for way, words in (
            ("all", "the true mechanism among those compared"),
            ("own left out", "the true mechanism left out"),
        ):
            some = [
                each for (makes, which), each in of.items() if which == way and makes in family.objectives
            ]
            if not some:
                continue
            told = sum(len(people(name, makes, path=path)) for makes in known(path)[name])
            wrong = Rate(sum(each.wrong for each in some), sum(each.said for each in some))
            large = Rate(sum(each.found[-1].count for each in some), sum(each.found[-1].n for each in some))
            said.append(
                f"**{name}, {words}** ({told} patients). Wrong of what was said: {wrong}, {_held(wrong, AIM_WRONG, above=False)}. Of pairs that truly differ by more than "
                f"{family.sizes[-1]:g} days {large} were decided, {_held(large, AIM_DECIDED, above=True)}.{_unseen(some) * (way == 'own left out')}"
            )
        for makes in known(path)[name]:
            some = people(name, makes, alone=True, path=path)
            if len(some) >= _FEWEST_SAID:
                shares = [in_bands(some, own, MAIN, level) for level in (0.5, 0.9)]
                said.append(
                    f"**{name}, patients of {makes} read with it** ({len(some)}): bands of plans not given hold the truth {_share(shares[0])} % of the time "
                    f"at 50 % and {_share(shares[1])} % at 90 % ({_measures(family)[MAIN]}){_short_of(shares)}."
                )
            elif some:
                said.append(
                    f"**{name}, patients of {makes} read with it**: {len(some)} are done, too few to say anything."
                )
    return (
        "\n".join(f"{k}. {each}" for k, each in enumerate(said, 1))
        or "Nothing yet: too few patients are done."
    )


def _unseen(some: Sequence[Tally]) -> str:
    """Whether the rows could have told that the true mechanism is missing."""
    leads = [lead for each in some for lead in each.leads]
    if not leads:
        return ""
    return (
        f" In half of the {len(leads)} patients told something wrong the evidence of the true mechanism is ahead of the best other by no more than "
        f"{max(float(np.median(leads)), 0.0):.1f} nats: their rows do not show that a mechanism is missing, and no rule on them can. Compare every mechanism that is "
        "thought possible."
    )


def _held(rate: Rate, aim: float, *, above: bool) -> str:
    """Whether an aim is reached by the share found."""
    words = f"{'at least' if above else 'at most'} {100 * aim:.0f} % {'is' if above else 'was'} the aim"
    if not rate.n:
        return f"{words}; nothing to count"
    share = rate.count / rate.n
    return f"{words}{'' if (share >= aim if above else share <= aim) else ', which is **missed**'}"


def _short_of(shares: Sequence[tuple[float, float]]) -> str:
    """Where a share lies more than two standard errors off what it should be."""
    off = [
        f"{'too few' if share < level else 'too many'} at {100 * level:.0f} %"
        for (share, error), level in zip(shares, (0.5, 0.9), strict=True)
        if abs(share - level) > 2 * error
    ]
    return f"; that is **{' and '.join(off)}**, by more than two standard errors" if off else ""


def write(path: Path = RESULTS) -> None:
    """Tables, figure and words."""
    known.cache_clear()
    chances, drawn = _chances(path)
    found = _tallies(path)
    answers, reasons = _answers(found)
    figures.reliability(drawn, DOCS / "honesty_decisions.png")
    of = families()
    about = {
        name: f"{ABOUT[name]} Plans: {', '.join(each.plans)}; until day {each.until:g}; a twelfth, a sixth and a third of "
        f"the time are {', '.join(f'{size:g}' for size in each.sizes)} days."
        for name, each in of.items()
    }
    filled = {
        "date": str(date.today()),
        "done": _done(path),
        "lessons": _lessons(found, path),
        "effective": str(decisions.EFFECTIVE),
        "budget": str(decisions.BUDGET),
        "separates": f"{SEPARATES:g}",
        "sure": f"{100 * SAID:.0f}",
        "measures": " and ".join(f"{_measures(each)[MAIN]} ({name})" for name, each in of.items()),
        "bands": _bands(path),
        "chances": chances,
        "answers": answers,
        "reasons": reasons,
        **about,
    }
    text = (Path(__file__).parent / "decisions.md").read_text()
    for name, value in filled.items():
        text = text.replace(f"<{name}>", value)
    (DOCS / "decisions.md").write_text(text)
