"""``python -m benchmarks [start] [simulation] [gradient] [floor] [growth] [stiff] [sweeps] [inference] [--write]``; ``conformance``; ``differences``; ``fuzz``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from importlib import import_module
from pathlib import Path

from benchmarks.clock import machine

PAGE = Path(__file__).parent / "README.md"
# title, and the module that has the part
PARTS = {
    "start": ("Import, compile, first result", "start"),
    "simulation": ("One simulation and a batch of the case model", "case"),
    "gradient": ("Gradient of the case model", "gradient"),
    "floor": ("Distance from the floor", "floor"),
    "growth": ("How cost grows", "growth"),
    "stiff": ("Classical stiff problems", "stiff"),
    "sweeps": ("Many simulations", "sweeps"),
    "inference": ("Calibration and profiles", "inference"),
}


HEAD = """# Benchmarks

Written by `python -m benchmarks [part] --write`, a part at a time or all in one run. An error stands beside every time.
Times are processor time, the shortest of several runs; batches are in wall time too.

`python -m benchmarks.edits [how many] [first seed]` measures no time: it makes random mistakes in a valid case (2,000 by default,
about ten minutes) and prints each that changed the posterior without being refused or doubted. The tests make a hundred.

`python -m benchmarks.mutations [word ...]` makes mistakes in the sources themselves, each in a copy of the tree, and prints which
test catches it, or that none does (all of them in about a quarter of an hour; words choose).

`python -m benchmarks conformance --suites FOLDER` runs checkouts of public test suites (PEtab 1 and 2, its benchmark problems), each
case in a process of its own with ten seconds of processor time, and prints how many are right, refused and why, wrong, crashed or slow.

`python -m benchmarks differences COUNT` makes random SBML models and prints where libRoadRunner comes to something else.

`python -m benchmarks fuzz MINUTES` damages valid files of every kind at random and reads them, for so many minutes of processor time; it prints
what ended in anything but a result or a letter. `--atheris antimony` chooses the bytes by coverage (pip install atheris).

`python -m benchmarks small --problems FOLDER` times the models of public PEtab problems here and in libRoadRunner: one simulation, a
batch, slopes, each at the loosest tolerance with the accuracy wanted. `--write` puts the table into this page.

`python -m benchmarks cross [case ...] --problems FOLDER` opens exported cases and public PEtab 1 problems with libRoadRunner, COPASI and
libpetab, and prints how far predictions and log likelihoods are apart (`docs/petab.md`).

`python -m benchmarks.collapsed [variant] [seed ...]` draws from a variant of the shipped case by the collapsed sampler (two minutes of
processor time a seed) and prints evidence, effective draws and cost; docs/answers.md has what it found.
"""


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["conformance"]:
        from benchmarks import conformance

        return conformance.main(arguments[1:])
    if arguments[:1] == ["differences"]:
        from benchmarks import sbml_differences

        return sbml_differences.main(arguments[1:])
    if arguments[:1] == ["fuzz"]:
        from benchmarks import fuzz

        return fuzz.main(arguments[1:])
    if arguments[:1] == ["cross"]:
        from benchmarks import cross_tools

        return cross_tools.main(arguments[1:])
    if arguments[:1] == ["small"]:
        from benchmarks import small_models

        return small_models.main(arguments[1:])
    wanted = [name for name in arguments if not name.startswith("-")] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"No benchmark {', '.join(unknown)}. There are: {', '.join(PARTS)}.")
        return 2
    measured = {}
    for name in wanted:
        title, home = PARTS[name]
        part = getattr(import_module(f"benchmarks.{home}"), name)
        measured[title] = f"{date.today()}: {machine()}.\n\n{part()}"
        print(f"## {title}\n\n{measured[title]}\n", flush=True)
    if "--write" in arguments:
        PAGE.write_text(updated(PAGE.read_text() if PAGE.exists() else "", measured))
    return 0


def updated(page: str, measured: Mapping[str, str]) -> str:
    """The page with what was measured in its place; what was not stays, with its own date and machine."""
    there = dict(section.split("\n\n", 1) for section in page.split("\n## ")[1:])
    sections = there | dict(measured)
    known = [title for title, _ in PARTS.values()]
    titles = [
        *(title for title in known if title in sections),
        *(title for title in sections if title not in known),
    ]
    return "\n".join([HEAD, *(f"## {title}\n\n{sections[title].strip()}\n" for title in titles)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
