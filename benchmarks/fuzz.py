"""``python -m benchmarks fuzz MINUTES [--seed N] [--atheris TARGET] [word ...]``: damaged files of every kind, through every reader.

A valid file is damaged at random: bytes, words, cells, lines. Whatever comes of it, reading it ends with a result or with a letter of ours
(`CellsimError`): never with another exception, never after more than ten seconds, never with the end of the process. The command
prints what it has used and found, when interrupted too; a find is printed with the number that makes it again. With `--atheris` the bytes are chosen by coverage of
the Python code (pip install atheris); that run ends with the time, or with the first find.
"""

from __future__ import annotations

import argparse
import base64
import io
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from cellsim.errors import CellsimError

__all__ = ["TARGETS", "damaged", "main", "outcome"]

_PATIENCE = 10.0  # seconds of processor time that one file may take
_BATCH = 25


class HangError(BaseException):
    """A file that takes longer than anybody waits."""


@dataclass(frozen=True)
class Target:
    """One reader: valid files by name, which of them are damaged, and how the folder they stand in is read."""

    files: Callable[[], Mapping[str, bytes]]
    read: Callable[[Path], object]
    damaged: Callable[[str], bool] = lambda name: True


# ---- valid files -------------------------------------------------------------------------------------------

_ANTIMONY = """model *m()
  unit day = 86400 second; unit time_unit = day
  compartment c = 2; species A in c = 10, B in c = 0
  function f(x, y) x*y/(1 + y) end
  A -> 2 B; k*f(A, B + 0.1); k = 0.5; k is "rate /* of */ loss"
  x = 1e-3; x' = -x^2 + piecewise(1, time > 3 && A < 5, 0) - log10(abs(x) + 1)
  y := sin(x)*exp(-time/10); k notes ```measured
  twice```
  at 0.5 after (x > 0.2), priority = 2, persistent = false: x = x/2
end
"""


@cache
def _models() -> Mapping[str, bytes]:
    from cellsim.model.antimony import antimony_to_sbml

    module, _, rest = _ANTIMONY.partition("function f")
    function, _, rest = rest.partition("end\n")
    text = f"function f{function}end\n{module}{rest}"
    return {"m.ant": text.encode(), "m.xml": antimony_to_sbml(text).encode()}


@cache
def _case() -> Mapping[str, bytes]:
    from benchmarks.edits import base

    return {name: text.encode() for name, text in base().items()}


@cache
def _problem() -> Mapping[str, bytes]:
    files = {
        "problem.yaml": "format_version: 2.0.0\nid: p\nmodel_files: {m: {location: m.ant, language: antimony}}\nparameter_files: [p.tsv]\n"
        "observable_files: [o.tsv]\nmeasurement_files: [d.tsv]\ncondition_files: [c.tsv]\nexperiment_files: [e.tsv]\n",
        "m.ant": "x = 1; x' = -k*x + u; k = 1; u = 0",
        "p.tsv": "parameterId|estimate|nominalValue|lowerBound|upperBound|priorDistribution|priorParameters\n"
        "k|true|0.5|0.1|10|log-normal|0;1\ns|true|0.1|0.01|inf||\nb|false|2|||uniform|0;3\n",
        "o.tsv": "observableId|observableFormula|noiseFormula|noiseDistribution|observablePlaceholders|noisePlaceholders\n"
        "y|b*log(x + 2, 3) + g|s|laplace|g|\nz|x^2|n + 0.1*z|log-normal||n\n",
        "d.tsv": "observableId|experimentId|time|measurement|observableParameters|noiseParameters\ny|e1|2|0.4|0.5|\ny|e2|1.5|1e-3|k|\n"
        "z|e1|3|0.2||0.1\nz|e2|inf|0.01||s\n",
        "c.tsv": "conditionId|targetId|targetValue\nc1|u|0.5\nc2|x|k*2\nc2|u|0\n",
        "e.tsv": "experimentId|time|conditionId\ne1|-inf|c1\ne1|0|c2\ne2|0|c1\n",
    }
    return {name: text.replace("|", "\t").encode() for name, text in files.items()}


@cache
def _first_version() -> Mapping[str, bytes]:
    files = {
        "v1.yaml": "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [m.xml]\n  observable_files: [o.tsv]\n"
        "  measurement_files: [d.tsv]\n  condition_files: [c.tsv]\n",
        "p.tsv": "parameterId|parameterScale|lowerBound|upperBound|nominalValue|estimate|objectivePriorType|objectivePriorParameters\n"
        "k|log10|1e-3|1e3|0.5|1|parameterScaleNormal|0;1\n",
        "o.tsv": "observableId|observableFormula|noiseFormula|observableTransformation|noiseDistribution\n"
        "y|observableParameter1_y*x|noiseParameter1_y|log10|normal\n",
        "d.tsv": "observableId|simulationConditionId|preequilibrationConditionId|time|measurement|observableParameters|noiseParameters\n"
        "y|c1|c0|1|0.5|2|0.1\ny|c1||3|0.2|2|0.1\n",
        "c.tsv": "conditionId|x|j\nc0|1|0.4\nc1|NaN|0.3\n",
    }
    import cellsim as cs

    model = cs.load_model("x = 1; x' = -k*x + j; k = 0.7; j = 0.1").to_sbml()
    return {
        **{name: text.replace("|", "\t").encode() for name, text in files.items()},
        "m.xml": model.encode(),
    }


_DOSES = "day,cells,product,duration\n0,5e7,a,\n7,2.5e7,a,0.5\n14,1e7,b,0.25\n"
_LAB = 'analyte;unit;2023-01-02;09.01.2023;20230116\nCRP;mg/L;12,5;<1;3\nLeukocytes;G/l;4.5;5,1 (4-10);n.d.\n# a remark\n"IL6; serum";pg/mL;1.000;2;H 3\n'
_RULES = """product = "a"
cells = [5e7, 7.5e7]
doses = {from = 4, to = 12, step = 2}
interval = [7, 14]
weekdays = ["monday", "tuesday"]
"""


@cache
def _workbook() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    page = book.active
    for row in (["analyte", "unit", "before", "after"], ["CRP", "mg/L", 12.5, "<1"], ["CD3", "%", 0.4, None]):
        page.append(row)
    page["C3"].number_format = "0.0%"
    page["D3"] = "=C3*2"
    page.merge_cells("A5:B6")
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@cache
def _fit() -> bytes:
    import cellsim as cs

    with TemporaryDirectory() as folder:
        for name, content in _case().items():
            (Path(folder) / name).write_bytes(content)
        file = Path(folder) / "fit.json"
        cs.calibrate(cs.load_case(folder), starts=1, seed=1).save(file)
        return file.read_bytes()


@cache
def _manifest() -> bytes:
    """What a store says of itself, as the present version writes it."""
    with TemporaryDirectory() as folder:
        _store(Path(folder))
        return (Path(folder) / "s" / "cellsim-sweep.json").read_bytes()


@cache
def _archive() -> bytes:
    import cellsim as cs
    from cellsim.estimation.omex import export_archive

    with TemporaryDirectory() as folder:
        for name, content in _case().items():
            (Path(folder) / name).write_bytes(content)
        return export_archive(cs.load_case(folder), Path(folder) / "a.omex").read_bytes()


@cache
def _groups() -> bytes:
    """A netCDF file in the form of a saved posterior, without its draws."""
    import numpy as np
    import xarray as xr

    from cellsim.posterior.netcdf import write_groups

    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.nc"
        draws = xr.Dataset(
            {"theta": (("chain", "draw", "parameter"), np.zeros((1, 3, 2)))},
            coords={"parameter": ["k", "load"]},
        )
        write_groups(
            file, {"unconstrained_posterior": draws}, {"format": "cellsim posterior 1", "case": {}, "run": {}}
        )
        return file.read_bytes()


# ---- readers -----------------------------------------------------------------------------------------------


def _load_case(folder: Path) -> object:
    import cellsim as cs

    return cs.load_case(folder).check()


def _simulated(folder: Path) -> object:
    import cellsim as cs

    problem: Any = cs.load_case(folder)
    return problem.log_likelihood()


def _model(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        import cellsim as cs

        return str(cs.load_model(folder / name))

    return read


def _calibration(folder: Path) -> object:
    import cellsim as cs

    return cs.Calibration.load(folder / "fit.json")


def _store(folder: Path) -> object:
    from cellsim.sweeps.store import SweepStore

    made = SweepStore(
        folder / "s", {"draws": "1"}, n_plans=1, n_asked=1, n_draws=4, courses={}, with_courses=0
    )
    return made.missing()


def _doses(folder: Path) -> object:
    import cellsim as cs

    return cs.Schedule.from_table(folder / "doses.csv")


def _sheet(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from cellsim.spreadsheets.sheet import read_sheet

        return read_sheet(folder / name)

    return read


def _rules(folder: Path) -> object:
    import cellsim as cs

    return cs.ClinicRules.from_toml(folder / "rules.toml")


def _posterior(folder: Path) -> object:
    import cellsim as cs

    return cs.Posterior.load(folder / "a.nc")


def _omex(folder: Path) -> object:
    import cellsim as cs

    return cs.load_case(folder / "a.omex")


TARGETS: dict[str, Target] = {
    "antimony": Target(lambda: {"m.ant": _models()["m.ant"]}, _model("m.ant")),
    "sbml": Target(lambda: {"m.xml": _models()["m.xml"]}, _model("m.xml")),
    "case": Target(_case, _load_case),
    "petab 2": Target(_problem, _simulated),
    "petab 1": Target(_first_version, _simulated),
    "doses": Target(lambda: {"doses.csv": _DOSES.encode()}, _doses),
    "sheet": Target(lambda: {"lab.csv": _LAB.encode()}, _sheet("lab.csv")),
    "workbook": Target(lambda: {"lab.xlsx": _workbook()}, _sheet("lab.xlsx")),
    "rules": Target(lambda: {"rules.toml": _RULES.encode()}, _rules),
    "fit": Target(lambda: {"fit.json": _fit()}, _calibration),
    "store": Target(lambda: {"s/cellsim-sweep.json": _manifest()}, _store),
    "posterior": Target(lambda: {"a.nc": _groups()}, _posterior),
    "archive": Target(lambda: {"a.omex": _archive()}, _omex),
}  # fmt: skip

# ---- damage ------------------------------------------------------------------------------------------------

_CELLS = (
    b"", b"NaN", b"inf", b"-inf", b"1e400", b"-0", b"1e-400", b"9" * 400, b"x", b"x" * 3000, b"0", b"-1", b"1;2", b";", b"true", b"None",
    b"((((", b"1/0", b"time", b"x^x^x^9999", b"9^9^9^9", b"factorial(1e6)", b"log(0)", b"a b", b"\xc3\xa9", b"\xff\xfe", b"\0", b'"', b"'",
    b"../../etc/passwd", b"/etc/passwd", b"http://a.b", b"{}", b"[]", b"[[[[", b"*a", b"&a [1]", b"!!python/object:os.system", b"%s", b"__class__",
    b"piecewise(1, x > 1, 2, x > 0)", b"2024-13-45", b"-" * 300, b"(" * 300, b"1e9", b"999999999999999999999", b"k", b"null", b"3.7e-310",
)  # fmt: skip
_SEPARATORS = (b"\t", b",", b";", b" ", b"\n", b'"', b"<", b">", b":", b"=")


def _bytes(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content) + 1)
    kind = chance.randrange(6)
    if kind == 0 and content:
        content[at % len(content)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[at : at + chance.choice((1, 1, 2, 8, 64, 1000))]
    elif kind == 2:
        content[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 2, 4))))
    elif kind == 3:
        size = chance.choice((1, 8, 40, 200))
        content[at:at] = content[at : at + size] * chance.choice((1, 2, 30))
    elif kind == 4:
        other = chance.randrange(len(content) + 1)
        content[at : at + 16] = content[other : other + 16]
    else:
        del content[at:]


def _words(content: bytearray, chance: random.Random) -> None:
    """One cell, word or line becomes another: what stands between two separators."""
    mark = chance.choice(_SEPARATORS)
    pieces = bytes(content).split(mark)
    at = chance.randrange(len(pieces))
    kind = chance.randrange(5)
    if kind <= 1:
        pieces[at] = chance.choice(_CELLS)
    elif kind == 2:
        other = chance.randrange(len(pieces))
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif kind == 3:
        pieces.insert(at, pieces[chance.randrange(len(pieces))])
    else:
        del pieces[at]
    content[:] = mark.join(pieces)


def damaged(name: str, seed: int) -> dict[str, bytes]:
    """The files of a target, one of them damaged."""
    target = TARGETS[name]
    chance = random.Random(f"{name} {seed}")
    files = dict(target.files())
    file = chance.choice(sorted(files))
    content = bytearray(files[file])
    binary = content[:2] == b"PK" or content[:4] == b"\x89HDF"
    if content[:2] == b"PK" and chance.random() < 0.7:
        content = _inside(bytes(content), chance)
    else:
        for _ in range(chance.choice((1, 1, 2, 4))):
            (_bytes if binary or chance.random() < 0.4 else _words)(content, chance)
    return {**files, file: bytes(content)}


def _inside(content: bytes, chance: random.Random) -> bytearray:
    """An archive of which one member is damaged, and which is packed anew."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        hit = chance.choice(names)
        for each in names:
            inner = bytearray(old.read(each))
            if each == hit:
                for _ in range(chance.choice((1, 2))):
                    _words(inner, chance)
            new.writestr(each, bytes(inner))
    return bytearray(out.getvalue())


# ---- judging -----------------------------------------------------------------------------------------------


def outcome(name: str, files: Mapping[str, bytes]) -> tuple[str, str]:
    """``read``, ``refused`` or ``found``, and what was said."""
    with TemporaryDirectory() as folder:
        for file, content in files.items():
            place = Path(folder) / file
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        try:
            TARGETS[name].read(Path(folder))
        except CellsimError as error:
            return "refused", str(error)
        except HangError:
            return "found", "hang: " + "".join(traceback.format_exc(limit=-4))
        except Exception:
            return "found", "".join(traceback.format_exc(limit=-3))
    return "read", ""


def _late(_: int, frame: FrameType | None) -> None:
    raise HangError


def _batch(name: str, first: int, out: Any) -> None:
    """Some files of one target, in a process of their own."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.stderr = io.StringIO()
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGVTALRM, _late)
    for seed in range(first, first + _BATCH):
        out.send((seed, "begun", ""))
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_VIRTUAL, _PATIENCE)
        try:
            said = outcome(name, damaged(name, seed))
        except HangError:
            said = "found", "hang"
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        out.send((seed, *said))
    out.close()
    os._exit(0)


def _run(name: str, first: int) -> list[tuple[int, str, str]]:
    ways = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in ways else "spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_batch, args=(name, first, sender), daemon=False)
    process.start()
    sender.close()
    told: dict[int, tuple[str, str]] = {}
    while True:
        if not receiver.poll(30 * _PATIENCE):
            process.kill()
            break
        try:
            seed, how, said = receiver.recv()
        except EOFError:
            break
        told[seed] = (how, said)
    process.join()
    ended = f"the process ended with {process.exitcode}, or did not answer"
    return [
        (seed, *(("found", ended) if how == "begun" else (how, said))) for seed, (how, said) in told.items()
    ]


def _coverage(name: str, seconds: int) -> int:
    """Bytes chosen by what of our code they reach."""
    import atheris

    with atheris.instrument_imports(include=["cellsim"]):
        import cellsim.case.case
        import cellsim.dosing.tables
        import cellsim.model.model
        import cellsim.petab.problem
        import cellsim.spreadsheets.sheet  # noqa: F401
    target = TARGETS[name]
    valid = dict(target.files())
    file = max(valid, key=lambda each: len(valid[each])) if len(valid) > 1 else next(iter(valid))

    def one(content: bytes) -> None:
        how, said = outcome(name, {**valid, file: content})
        if how == "found":
            sys.stdout.write(f"{name} {base64.b64encode(content).decode()}\n{said}\n")
            raise RuntimeError(said)

    with TemporaryDirectory() as corpus:
        (Path(corpus) / "valid").write_bytes(valid[file])
        options = [sys.argv[0], f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4000", corpus]
        atheris.Setup(options, one)
        atheris.Fuzz()
    return 0


def main(arguments: Sequence[str]) -> int:
    """Damage files for so many minutes of processor time, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fuzz")
    parser.add_argument("minutes", type=float, help="of processor time")
    parser.add_argument("--seed", type=int, default=0, help="the first number")
    parser.add_argument(
        "--atheris",
        metavar="TARGET",
        choices=list(TARGETS),
        help="one target by coverage (pip install atheris)",
    )
    parser.add_argument("words", nargs="*", help=f"only some of: {', '.join(TARGETS)}")
    asked = parser.parse_intermixed_args(arguments)  # words may stand behind options
    if asked.atheris:
        return _coverage(asked.atheris, int(60 * asked.minutes))
    names = [name for name in TARGETS if not asked.words or any(word in name for word in asked.words)]
    for name in names:
        TARGETS[name].files()  # made once, and not in every child
    counts: Counter[tuple[str, str]] = Counter()
    finds: dict[str, tuple[str, int]] = {}

    def used() -> float:
        spent = os.times()
        return spent.user + spent.system + spent.children_user + spent.children_system

    begun, first, clock = used(), asked.seed, time.monotonic()
    with suppress(KeyboardInterrupt):  # what was found until then is told
        while used() - begun < 60 * asked.minutes:
            for name in names:
                for seed, how, said in _run(name, first):
                    counts[name, how] += 1
                    if how == "found":
                        counts[name, "finds"] += 1
                        last = said.strip().splitlines()[-1] if said.strip() else ""
                        place = next(
                            (
                                line.strip()
                                for line in reversed(said.splitlines())
                                if line.strip().startswith("File")
                            ),
                            "",
                        )
                        if f"{name} {place}" not in finds:
                            finds[f"{name} {place}"] = (last, seed)
                            print(f"{name} {seed}: {said.strip()}", flush=True)
                if used() - begun >= 60 * asked.minutes:
                    break
            first += _BATCH
    print("\n| reader | files | read | refused | found |\n|---|---|---|---|---|")
    for name in names:
        row = [counts[name, how] for how in ("read", "refused", "found")]
        print(f"| {name} | {sum(row)} | {' | '.join(map(str, row))} |")
    total = sum(counts[name, how] for name in names for how in ("read", "refused", "found"))
    print(
        f"\n{total} files in {(used() - begun) / 3600:.2f} hours of processor time ({(time.monotonic() - clock) / 3600:.2f} on the clock); {len(finds)} places."
    )
    return int(bool(finds))
