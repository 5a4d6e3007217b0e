"""PEtab's test suite and problems of its benchmark collection, wherever in a folder they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellsim.errors import CellsimError

__all__ = ["cases", "judged", "warm"]

_SOLUTION = "_solution.yaml"
_VERSION = re.compile(r"""^\s*["']?format_version["']?\s*:\s*["']?(\d)""", re.MULTILINE)
_TABLES = "reference.tsv"
# of the benchmark collection: absolute and relative
_CLOSE = (1e-4, 1e-6)
_SLOPES = 1e-3


def cases(folder: Path) -> Iterable[tuple[str, str, Path]]:
    """(suite, name, path of the YAML) of every problem in a folder."""
    for path in sorted(folder.rglob("*.yaml")):
        if path.name.endswith(_SOLUTION):
            continue
        stated = _VERSION.search(path.read_text(encoding="utf-8", errors="replace"))
        if stated is None:
            continue
        tested = path.with_name(path.stem + _SOLUTION).is_file()
        language = f", {path.parent.parent.name}" if path.parent.parent.name == "pysb" else ""
        suite = f"PEtab {stated[1]}{language}" if tested else "PEtab benchmarks"
        yield suite, path.parent.name if tested else path.stem.replace("problem", path.parent.name), path


def warm() -> None:
    """Compile what every child would compile again."""
    import cellsim as cs

    files = {
        "problem.yaml": "format_version: 2.0.0\nmodel_files: {m: {location: m.ant, language: antimony}}\n"
        "parameter_files: [p.tsv]\nobservable_files: [o.tsv]\nmeasurement_files: [d.tsv]\n",
        "m.ant": "x = 1; x' = -k*x; k = 1",
        "p.tsv": "parameterId\testimate\tnominalValue\tlowerBound\tupperBound\nk\ttrue\t0.5\t0\tinf\n",
        "o.tsv": "observableId\tobservableFormula\tnoiseFormula\ny\tx\t0.1\n",
        "d.tsv": "observableId\texperimentId\ttime\tmeasurement\ny\t\t2\t0.4\n",
    }
    cs.load_case(files).gradient()


def judged(path: Path, gradients: bool = False) -> tuple[str, str]:
    """The verdict on one problem, and why."""
    import yaml

    import cellsim as cs

    solution = path.with_name(path.stem + _SOLUTION)
    try:
        problem = cs.load_case(path)
        found = problem.log_likelihood()
        if solution.is_file():
            expected = yaml.safe_load(solution.read_text(encoding="utf-8"))
            wrong = _compared(problem, found, expected, path.parent)
        else:
            reference = _reference(path)
            if reference is None:
                return "unjudged", f"log likelihood {found:.10g}"
            wrong = (
                []
                if _near(found, reference, *_CLOSE)
                else [f"log likelihood {found:.10g}, expected {reference:.10g}"]
            )
        if gradients and not wrong:
            wrong = _gradient(path)
    except CellsimError as error:
        return "refused", str(error)
    except MemoryError:
        return "crashed", "out of memory"
    except Exception as error:  # whatever it was, a case that ends so has crashed
        return "crashed", f"{type(error).__name__}: {error}"
    return ("wrong", "; ".join(wrong)) if wrong else ("right", "")


def _near(a: float, b: float, absolute: float, relative: float = 0.0) -> bool:
    return math.isclose(a, b, abs_tol=absolute + relative * abs(b), rel_tol=0.0)


def _compared(problem: Any, found: float, expected: Mapping[str, Any], folder: Path) -> list[str]:
    """Everything that a solution tells, at its own tolerances."""
    import pandas as pd

    wrong = []

    def hold(what: str, seen: float, wanted: float, tolerance: str) -> None:
        if not _near(seen, wanted, float(expected[tolerance])):
            wrong.append(f"{what} {seen:.12g}, expected {wanted:.12g}")

    hold("log likelihood", found, float(expected["llh"]), "tol_llh")
    if "chi2" in expected:
        hold("chi2", problem.chi2(), float(expected["chi2"]), "tol_chi2")
    simulated = problem.simulate()
    for name in expected.get("simulation_files", ()):
        wanted = pd.read_csv(folder / name, sep="\t")
        if len(wanted) != len(simulated):
            wrong.append(f"{len(simulated)} predictions, expected {len(wanted)}")
            continue
        keys = ["observableId", "time"]
        ours, theirs = simulated, wanted
        if not ours[keys].astype(str).equals(theirs[keys].astype({"time": float}).astype(str)):
            ours, theirs = ours.sort_values([*keys, "simulation"]), theirs.sort_values([*keys, "simulation"])
        apart = np.abs(ours["simulation"].to_numpy() - theirs["simulation"].to_numpy(dtype=float))
        if not apart.max() <= float(expected["tol_simulations"]):
            wrong.append(f"a prediction is {apart.max():.3g} off")
    priors = problem.log_priors() if "log_prior" in expected else {}
    for name, value in (expected.get("log_prior") or {}).items():
        hold(f"log prior of {name}", priors[name], float(value), "tol_log_prior")
    if "unnorm_log_posterior" in expected:
        hold(
            "log posterior",
            problem.log_posterior(),
            float(expected["unnorm_log_posterior"]),
            "tol_unnorm_log_posterior",
        )
    return wrong


def _reference(path: Path) -> float | None:
    """The log likelihood that a table beside the problems tells."""
    for folder in list(path.parents)[:3]:
        table = folder / _TABLES
        if table.is_file():
            for line in table.read_text(encoding="utf-8").splitlines()[1:]:
                name, value, *_ = line.split("\t")
                if name in (path.stem, path.parent.name):
                    return float(value)
    return None


def _gradient(path: Path) -> list[str]:
    """Derivatives of the log likelihood that five-point differences do not confirm."""
    from cellsim.estimation.problem import load_problem

    problem = load_problem(path)
    values, slopes, wrong = problem.values(), problem.gradient(rtol=1e-10), []
    for name, slope in slopes.items():
        confirmed, shown = False, math.nan
        for step in (1e-4, 1e-5, 1e-6):
            h = step * (abs(values[name]) or 1.0)
            try:
                up, down, further, below = (
                    problem.log_likelihood({name: values[name] + k * h}, rtol=1e-11) for k in (1, -1, 2, -2)
                )
            except CellsimError:
                continue
            shown = (8 * (up - down) - (further - below)) / (12 * h)
            noise = 1e-9 * (abs(up) + 1) / h
            confirmed = confirmed or _near(slope, shown, 1e-6 + noise, _SLOPES)
        if not confirmed and not math.isnan(shown):
            wrong.append(f"slope by {name} {slope:.6g}, differences say {shown:.6g}")
    return wrong
