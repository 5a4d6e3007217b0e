"""The SBML semantic test suite, wherever in a folder it stands: ``model.xml``, ``settings.txt`` and ``results.csv`` for each case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.foreign.c_readers import sbml_document

__all__ = ["cases", "judged", "warm"]

_TIERS = "cases.tsv"
# tighter than any case asks for, so that a difference is one of meaning
_RTOL, _ATOL = 1e-9, 1e-12


def cases(folder: Path) -> Iterable[tuple[str, str, Path]]:
    """(suite, name, path of the model) of every case in a folder, by the tiers of its ``cases.tsv`` where it has one."""
    tiers: dict[Path, dict[str, str]] = {}
    for path in sorted(folder.rglob("settings.txt")) + sorted(folder.rglob("*-settings.txt")):
        model = _model(path)
        if model is None:
            continue
        root = path.parent.parent
        if root not in tiers:
            tiers[root] = _tiers(root / _TIERS)
        tier = tiers[root].get(path.parent.name, "")
        yield f"SBML {tier}".rstrip(), path.parent.name, path


def _tiers(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return {line[0]: line[1] for line in lines if len(line) > 1}


def _model(settings: Path) -> Path | None:
    """The model of a case: of the snapshot, or of the newest level that the suite's own folder has."""
    if settings.name == "settings.txt":
        found = settings.with_name("model.xml")
        return found if found.is_file() else None
    return max(settings.parent.glob(f"{settings.parent.name}-sbml-l*.xml"), default=None)


def warm() -> None:
    """Compile what every child would compile again."""
    import cellsim as cs

    cs.simulate(cs.load_model("x = 1; x' = -k*x; k = 1"), cs.Schedule(), [0.0, 1.0])


def judged(path: Path, gradients: bool = False) -> tuple[str, str]:
    """The verdict on one case, and why."""
    import pandas as pd

    import cellsim as cs

    del gradients  # the suite has none
    wanted = _settings(path)
    file = _model(path)
    assert file is not None
    results = path.with_name("results.csv")
    if not results.is_file():
        results = path.with_name(f"{path.parent.name}-results.csv")
    try:
        model = cs.load_model(file)
        first, length = float(wanted["start"]), float(wanted["duration"])
        times = np.linspace(first, first + length, int(wanted["steps"]) + 1)
        expected = pd.read_csv(results, skipinitialspace=True, header=None, skiprows=1)
        # the clock is the first column, whatever it and the quantities are called
        head = results.read_text(encoding="utf-8").split("\n", maxsplit=1)[0].split(",")
        expected.columns = ["", *(each.strip() for each in head[1:])]
        names = [each.strip() for each in wanted["variables"].split(",")]
        found = cs.simulate(model, cs.Schedule(), times, start=min(0.0, first), rtol=_RTOL, atol=_ATOL)
        scale = _factors(file.read_text(encoding="utf-8"), wanted, found)
        return _compared(found, expected, names, scale, float(wanted["absolute"]), float(wanted["relative"]))
    except CellsimError as error:
        return "refused", str(error)
    except MemoryError:
        return "slow", "more memory than a case may take"


def _settings(path: Path) -> dict[str, str]:
    lines = [line.partition(":") for line in path.read_text(encoding="utf-8").splitlines() if ":" in line]
    return {name.strip(): value.strip() for name, _, value in lines}


def _factors(text: str, wanted: dict[str, str], found: Any) -> dict[str, Any]:
    """What turns a species, as its symbol has it, into the amount or concentration that is asked for."""
    document = sbml_document(text)
    model = document.getModel()
    amounts, concentrations = (
        {each.strip() for each in wanted.get(key, "").split(",") if each.strip()}
        for key in ("amount", "concentration")
    )
    out: dict[str, Any] = {}
    for each in (model.getSpecies(k) for k in range(model.getNumSpecies())):
        box = model.getCompartment(each.getCompartment())
        # where a compartment has no size, the symbol is the amount
        sized = box is not None and not (
            box.isSetSpatialDimensions() and box.getSpatialDimensionsAsDouble() == 0
        )
        own = each.getHasOnlySubstanceUnits() or not sized
        name = each.getId()
        if (name in amounts) == own or box is None or not (name in amounts or name in concentrations):
            continue
        size = found[box.getId()] if box.getId() in found.names else box.getSize()
        out[name] = 1.0 / size if own else size
    return out


def _compared(
    found: Any, expected: Any, names: list[str], scale: dict[str, Any], absolute: float, relative: float
) -> tuple[str, str]:
    for asked in names:
        # words of the formula language are read with a line behind them
        name = asked if asked in found.names or f"{asked}_" not in found.names else f"{asked}_"
        if name not in found.names:
            constant = _constant(found, name)
            if constant is None:
                return "wrong", f"{name} is asked for, and the model read has no such quantity"
            seen = np.full(len(expected), constant)
        else:
            seen = np.asarray(found[name], float)
        seen = seen * scale.get(asked, 1.0)
        right = expected[asked].to_numpy(float)
        near = (
            (np.abs(seen - right) <= absolute + relative * np.abs(right))
            | (np.isnan(seen) & np.isnan(right))
            | (seen == right)
        )
        if not near.all():
            at = int(np.argmin(near))
            return "wrong", f"{name} at {expected.iloc[at, 0]:g}: {seen[at]:.10g}, expected {right[at]:.10g}"
    return "right", ""


def _constant(found: Any, name: str) -> float | None:
    known = {each.name: each.value for each in found.model.parameters}
    return known.get(name, known.get(f"{name}_"))
