"""What has been done: a line of JSON for every synthetic patient, so that an interrupted run loses one at most."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellsim.likelihood.objective import Objective

RESULTS = Path(__file__).parent / "results.jsonl"
Record = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """One question asked of many synthetic patients.

    Attributes
    ----------
    part, name : str
        ``sbc``, ``coverage``, ``preference`` or ``decisions``, and which of them.
    stamp : str
        Of what the answers depend on; lines with another one are not used.
    patients : int
        How many in a full run.
    quick : int
        How many otherwise.
    one : callable
        Patient number -> what to remember.
    first : int
        Number of the first patient.
    turn : int
        Studies of a later turn wait until those of an earlier one are done.
    """

    part: str
    name: str
    stamp: str
    patients: int
    quick: int
    one: Callable[[int], Record]
    first: int = 0
    turn: int = 0


# tables that change what is written about a case, and no number of a study
_WORDS = ("study.tsv", "variants.tsv", "quantities.tsv", "questions.tsv")


def stamp_of(*objectives: Objective, settings: object) -> str:
    """Changes with case, model, variant and what the study sets itself; not with the words about a case."""
    digest = hashlib.sha256(repr(settings).encode())
    for each in objectives:
        files = sorted((name, text) for name, text in each.case.files.items() if name not in _WORDS)
        digest.update(repr((files, each.model.to_sbml(), each.variant)).encode())
    return digest.hexdigest()[:12]


def records(study: Study, path: Path = RESULTS) -> list[Record]:
    """Every line of a study, by patient."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    mine = (study.part, study.name, study.stamp)
    found = [line for line in lines if (line["part"], line["name"], line["stamp"]) == mine]
    return sorted(found, key=lambda line: int(line["k"]))


def work(
    studies: Sequence[Study],
    *,
    full: bool,
    path: Path = RESULTS,
    minutes: float = float("inf"),
) -> None:
    """Do what is missing, all studies of a turn growing together, and append it line by line; begin nothing after so many minutes."""
    begun = time.monotonic()
    todo, done = [], {}
    for study in studies:
        target = study.patients if full else study.quick
        have = {line["k"] for line in records(study, path)}
        done[study.name] = len(have)
        wanted = range(study.first, study.first + target)
        todo += [((study.turn, (i + 0.5) / target), study, k) for i, k in enumerate(wanted) if k not in have]
    for _, study, k in sorted(todo, key=lambda each: each[0]):
        if time.monotonic() - begun > 60 * minutes:
            break
        line = {
            "part": study.part,
            "name": study.name,
            "stamp": study.stamp,
            "k": k,
            **study.one(k),
        }
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        done[study.name] += 1
        print(
            f"{study.part} {study.name} {k}: {line.get('seconds', 0):.1f} s; {done[study.name]} of {study.patients} done "
            f"{line.get('failed', '')}",
            flush=True,
        )
