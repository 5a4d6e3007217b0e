"""Any name that SBML allows is as good as any other: a case with awkward names answers as one with plain names."""

import io
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.dosing.schedule import Product, Schedule
from cellsim.errors import CaseError, ModelError
from cellsim.model.model import Model
from cellsim.plots.style import figure_of
from cellsim.predictions.measures import Area, DaysBelow, Value

# of Python, of tables, of ArviZ and xarray, of sympy, of formulas, of generated code, of cellsim itself
PARAMETERS = [
    "chain", "draw", "sample", "variable", "lambda", "None", "True", "index", "lp", "diverging", "log_likelihood",
    "E1", "S", "N", "I", "Q", "beta", "zeta", "e", "_x", "__class__", "self", "theta", "k", "K", "log", "exp",
    "piecewise", "area_of_x", "obs_", "noise_y", "day_", "w", "rates_added", "event0", "unit", "parameter", "step",
]  # fmt: skip
STATES = [
    "x",
    "X",
    "y",
    "values",
    "quantile",
    "t",
    "day",
    "gamma",
    "re",
    "pi_",
    "Time",
    "Symbol",
    "dims",
    "name",
    "row",
]
ASSIGNED = ["min_", "sum", "status", "value"]
DOSED = STATES[0]


def model(names: dict[str, str]) -> str:
    """SBML of decaying states, each with its own rate from several parameters; names as they are given."""
    written = _MODEL.to_sbml()
    for plain in sorted(names, key=len, reverse=True):
        for left, right in (('"', '"'), ("<ci> ", " </ci>")):
            written = written.replace(f"{left}{plain}{right}", f"{left}\0{names[plain]}{right}")
    return written.replace("\0", "")


def _plain_model() -> Model:
    parameters = [f"p{k:02d}" for k in range(len(PARAMETERS))]
    rates = ["+".join(parameters[k :: len(STATES)]) for k in range(len(STATES))]
    lines = [f"s{k:02d} = {k + 1}; s{k:02d}' = -({rate})*s{k:02d}" for k, rate in enumerate(rates)]
    lines += [f"a{k:02d} := 2*s{k:02d} + s{k + 1:02d}" for k in range(len(ASSIGNED))]
    return cs.load_model("; ".join([*lines, *(f"{name} = 0.1" for name in parameters)]))


_MODEL = _plain_model()
PLAIN = {
    **{f"p{k:02d}": name for k, name in enumerate(PARAMETERS)},
    **{f"s{k:02d}": name for k, name in enumerate(STATES)},
    **{f"a{k:02d}": name for k, name in enumerate(ASSIGNED)},
}


def case(names: dict[str, str]) -> cs.Case:
    estimated = [f"p{k:02d}" for k in range(12)]
    read = ["s00", "s02", "a01", "a03"]
    return tiny_case(
        model(names),
        {names[each]: (names[each], 0.2) for each in read},
        [(names[each], day, 1.0 + k) for k, each in enumerate(read) for day in (1.0, 3.0)],
        {names[each]: ("log-normal", -2.0, 0.5) for each in estimated},
        doses=[(0.5, names["s00"], 1.0)],
    )


def answers(names: dict[str, str], folder: Path) -> dict[str, Any]:
    """All that is asked of a case, by its plain names where names are keys."""
    fit = cs.calibrate(case(names), starts=1)
    fit.save(folder / "fit.json")
    fit = cs.Calibration.load(folder / "fit.json")
    post = cs.sample(fit, method="nuts", chains=2, draws=10, tune=40, seed=1)
    post.save(folder / "post.nc")
    post = cs.Posterior.load(folder / "post.nc")
    products = [Product("dose", "", names["s00"])]
    result = cs.sweep(
        post,
        {"none": Schedule(), "one": Schedule.at([1], cells=2, product="dose", products=products)},
        until=4,
        draws=8,
        measures=[Area(names["s02"]), DaysBelow(names["a01"], 1.0), Value()],
        history=None,
    )
    profiled = cs.profile(fit, [names["p00"], names["p01"]])
    table = pd.read_csv(io.StringIO(post.table().to_csv(index=False)), keep_default_na=False)
    for draw, what in ((plots.fit, fit), (plots.prior_posterior, post), (plots.profile, profiled)):
        figure_of(draw(what)).savefig(io.BytesIO(), dpi=20)
        plt.close("all")
    assert cs.load_model(fit.model.to_sbml()) == fit.model
    draws = az.extract(az.from_netcdf(folder / "post.nc"))
    assert {each.attrs["parameter"] for each in draws.data_vars.values()} == set(post.objective.names)
    return {
        "theta": fit.theta,
        "draws": post.thetas,
        "sweep": result.posterior,
        "profile": profiled.table()[["estimate", "low_95", "high_95"]].to_numpy(),
        "names": [each for plain, each in names.items() if each in set(table["parameter"])],
        "posterior": table.set_index("parameter")
        .loc[[names[f"p{k:02d}"] for k in range(12)], "estimate"]
        .to_numpy(),
        "arviz": np.array([float(draws[each].mean()) for each in draws.data_vars]),
    }


def test_awkward_names_change_no_number(tmp_path: Path) -> None:
    """Witness: the same case with plain names, through fit, save, load, chains, netCDF, sweep, profile and figures."""
    plain, awkward = ({each: each for each in PLAIN}, PLAIN)
    expected, found = answers(plain, tmp_path), answers(awkward, tmp_path)
    assert found.pop("names") == PARAMETERS[:12]
    assert len(expected.pop("names")) == 12
    for what, numbers in found.items():
        # sums stand in the order of their names, and chains enlarge what rounding makes of that: with newer libraries to 3e-7
        # within fifty steps; a value of another name would be off by tenths
        chained = what not in ("theta", "profile")
        rel, near = (1e-5, 1e-6) if chained else (1e-6, 1e-9)
        assert numbers == pytest.approx(expected[what], rel=rel, abs=near), what


# the model is read with a line behind such a name; a table that names it means something else
@pytest.mark.parametrize("name", ["time", "pi", "avogadro", "infinity", "true", "exponentiale"])
def test_words_of_the_formula_language_are_refused_before_any_work(name: str) -> None:
    with pytest.raises(
        (CaseError, ModelError), match=f"no parameter {name!r} in the model|{name} is the clock of the model"
    ):
        case({**PLAIN, "p00": name})


@pytest.mark.parametrize("role", ["p00", "s05", "a01"])
def test_the_name_of_a_visits_day_is_refused(role: str) -> None:
    """One value would be a rate and a sampling day at once."""
    with pytest.raises(CaseError, match="day_v0 is a quantity of the model, and the name of the day"):
        case({**PLAIN, role: "day_v0"})
