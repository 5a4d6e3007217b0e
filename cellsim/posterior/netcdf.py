"""A posterior in one netCDF file that ArviZ opens, with case and model beside the draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, CellsimError
from cellsim.files import replaced
from cellsim.foreign.reading_child import HDF5_EXPANSION
from cellsim.foreign.trial import try_hdf5
from cellsim.likelihood.compatibility import saved_case
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import Scored
from cellsim.posterior.sampler import CLOSER, Drawn, Run
from cellsim.posterior.weighted_draws import Weighted

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["groups_of", "read_drawn", "read_groups", "write_drawn", "write_groups"]

FORMAT = "cellsim posterior 1"
ABOUT = "cellsim"
WEIGHTED = "weighted"
_ROWS = ("log_likelihood", "predicted", "posterior_predictive")


def write_drawn(
    path: str | Path,
    objective: Objective,
    drawn: Drawn,
    groups: Mapping[str, xr.Dataset],
    versions: Mapping[str, str],
) -> None:
    """See :meth:`cellsim.Posterior.save`."""
    about = {
        "format": FORMAT,
        "case": dict(objective.case.files),
        "model": objective.model.to_sbml(),
        "variant": objective.variant,
        # JSON has no infinity
        "degrees": objective.degrees if np.isfinite(objective.degrees) else None,
        "run": asdict(drawn.run),
        "weighted": None if drawn.weighted is None else drawn.weighted.about(),
        "versions": dict(versions),
    }
    predicted = groups["log_likelihood"].copy(data={"y": drawn.scored.predicted})
    more = {} if drawn.weighted is None else {WEIGHTED: _weighted_group(objective, drawn.weighted)}
    write_groups(path, {**groups, "predicted": predicted, **more}, about)


def _weighted_group(objective: Objective, weighted: Weighted) -> xr.Dataset:
    """All weighted draws, for whoever opens the file: ``theta``, prior-whitened, and ``log_weight``."""
    import xarray as xr

    axes = ("place", "inner")
    return xr.Dataset(
        {
            "theta": ((*axes, "parameter"), weighted.thetas),
            "log_weight": (axes, weighted.log_weights),
            "weight": (axes, weighted.smoothed),
        },
        coords={"parameter": list(objective.names)},
    )


def read_drawn(path: str | Path) -> tuple[Objective, Drawn, dict[str, str]]:
    """See :meth:`cellsim.Posterior.load`."""
    from cellsim.foreign.trial import from_file
    from cellsim.model.model import load_model

    found, about = read_groups(path, "unconstrained_posterior", "sample_stats", *_ROWS)
    if about.get("format") != FORMAT:
        raise CalibrationError(f"{path} has format {about.get('format')!r}; {FORMAT!r} is read.")
    run = Run(**about["run"])
    degrees = about.get("degrees")
    objective = objective_of(
        saved_case(about["case"], about["versions"], path),
        load_model(from_file(about["model"])),
        variant=about["variant"] or None,
        hierarchy=run.hierarchy,
        degrees=np.inf if degrees is None else degrees,
    )
    kept = found["unconstrained_posterior"]
    if list(objective.names) != [str(name) for name in kept["parameter"].values]:
        raise CalibrationError(f"{path} has other parameters than its own case; was it edited?")
    weighted = None
    if about.get("weighted") is not None:
        group = read_groups(path, WEIGHTED)[0][WEIGHTED]
        weighted = Weighted.of_about(group["theta"].values, group["log_weight"].values, about["weighted"])
    drawn = Drawn(
        thetas=kept["theta"].values,
        statistics={str(name): each.values for name, each in found["sample_stats"].data_vars.items()},
        scored=Scored(*(found[name]["y"].values for name in _ROWS)),
        run=run,
        weighted=weighted,
    )
    stated = float(drawn.scored.log_likelihood[-1, -1].sum())
    again = float(objective.evaluate(drawn.thetas[-1, -1], rtol=run.rtol * CLOSER).log_likelihood.sum())
    if not np.isclose(stated, again, rtol=1e-4, equal_nan=True):
        raise CalibrationError(
            f"{path} states a log-likelihood of {stated:.4f} for its last draw, but its case and model give "
            f"{again:.4f}; it was made by {about['versions']}."
        )
    return objective, drawn, about["versions"]


def write_groups(path: str | Path, groups: Mapping[str, xr.Dataset], about: Mapping[str, Any]) -> None:
    """Write groups into one netCDF file, with `about` as JSON text in a group of our own."""
    import xarray as xr

    told = xr.Dataset({"json": ((), json.dumps(about, ensure_ascii=False))})
    with replaced(path) as place:
        for k, (name, group) in enumerate({**groups, ABOUT: told}.items()):
            # a boolean would be written in a form that not every reader of netCDF takes
            plain = group.map(
                lambda each: each.astype("int8") if each.dtype == bool else each, keep_attrs=True
            )
            plain.to_netcdf(place, mode="a" if k else "w", group=name, engine="h5netcdf")


def read_groups(path: str | Path, *names: str) -> tuple[dict[str, xr.Dataset], dict[str, Any]]:
    """Read groups back, and what is told about them.

    Raises
    ------
    CalibrationError
        If the file is not one of ours.
    """
    import xarray as xr

    if not Path(path).is_file():
        raise CalibrationError(f"no file {path}.")
    try:
        # before anything in this process asks HDF5 what the file holds: to walk over it may take it for ever
        try_hdf5(Path(path).read_bytes())
        _judge_content(Path(path))
        found = {}
        for name in (ABOUT, *names):
            with xr.open_dataset(path, group=name, engine="h5netcdf") as group:
                found[name] = group.load()
        about = json.loads(str(found.pop(ABOUT)["json"].item()))
    except CellsimError as error:
        raise CalibrationError(f"{path}: {error}") from None
    except MemoryError:
        raise CalibrationError(f"{path} asks for more memory than there is. Was it damaged?") from None
    except Exception as error:  # its readers end with whatever was raised underneath where a file is damaged
        raise CalibrationError(f"{path} is no saved posterior of cellsim: {error}") from None
    if not isinstance(about, dict):
        raise CalibrationError(f"{path} is no saved posterior of cellsim: it tells nothing about itself.")
    return found, about


def _judge_content(path: Path) -> None:
    """Refuse arrays that say they are far larger than their file, which HDF5 would fill for hours, and what stands in other files."""
    import h5py

    size = path.stat().st_size

    # a word ends the walk; what is raised inside it is not told by every version of h5py
    def judged(name: str, each: Any) -> str | None:
        if not isinstance(each, h5py.Dataset):
            return None
        if each.size * each.dtype.itemsize > HDF5_EXPANSION * size:
            return f"{name} has {each.size} values in a file of {size} bytes"
        if each.external or each.is_virtual:
            return f"the values of {name} stand in another file, which is not read"
        return None

    def judged_link(name: str, each: Any) -> str | None:
        return (
            f"{name} leads to another file, which is not read"
            if isinstance(each, h5py.ExternalLink)
            else None
        )

    with h5py.File(path, "r") as file:
        if said := file.visititems_links(judged_link) or file.visititems(judged):
            raise ValueError(said)


PRIOR_DRAWS = 1000
# of draws, and what ArviZ makes of the two when it puts all draws in one row or names what it summarises
_DIMENSIONS = frozenset({"chain", "draw", "sample", "variable", "metric", "summary", "column"})


def variable_of(name: str) -> str:
    """What a parameter is called among ArviZ's variables: its name, unless that is a dimension of theirs.

    Examples
    --------
    >>> variable_of("k"), variable_of("chain")
    ('k', 'chain (parameter)')
    """
    # a space keeps it apart from every name a model can have
    return f"{name} (parameter)" if name in _DIMENSIONS else name


def groups_of(
    objective: Objective, thetas: Array, statistics: Mapping[str, NDArray[Any]], scored: Scored, *, seed: int
) -> dict[str, xr.Dataset]:
    """Draws and data as ArviZ's groups.

    Parameters
    ----------
    objective : Objective
    thetas : array, shape (n_chains, n_draws, n_parameters)
    statistics : mapping of str to array, shape (n_chains, n_draws)
    scored : Scored
    seed : int
        Of the draws of the prior.

    Returns
    -------
    dict of str to Dataset
        ``posterior`` and ``prior`` (a variable for every parameter, see :func:`variable_of`, in its own unit),
        ``unconstrained_posterior`` (``theta``, prior-whitened), ``sample_stats``, and ``y`` over the dimension ``row`` in ``log_likelihood``,
        ``posterior_predictive`` and ``observed_data`` (the limit of a censored row, the lowest grade allowed).
    """
    import xarray as xr

    draws = {"chain": np.arange(thetas.shape[0]), "draw": np.arange(thetas.shape[1])}
    rows = {
        "row": [f"{term.file} {term.row}: {term.analyte} {term.visit}".rstrip() for term in objective.terms]
    }
    priors = np.random.default_rng([seed, 1]).standard_normal((1, PRIOR_DRAWS, len(objective.names)))

    def in_units(where: Array) -> xr.Dataset:
        values = objective._coordinates.values(where)
        axes = {"chain": np.arange(where.shape[0]), "draw": np.arange(where.shape[1])}
        return xr.Dataset(
            {
                variable_of(name): (
                    ("chain", "draw"),
                    values[..., j],
                    {"unit": objective.case.prior(name).unit, "parameter": name},
                )
                for j, name in enumerate(objective.names)
            },
            coords=axes,
        )

    def by_row(what: Array) -> xr.Dataset:
        return xr.Dataset({"y": (("chain", "draw", "row"), what)}, coords={**draws, **rows})

    return {
        "posterior": in_units(thetas),
        "sample_stats": xr.Dataset(
            {name: (("chain", "draw"), np.asarray(each)) for name, each in statistics.items()}, coords=draws
        ),
        "log_likelihood": by_row(scored.log_likelihood),
        "posterior_predictive": by_row(scored.replicated),
        "prior": in_units(priors),
        "observed_data": xr.Dataset(
            {
                "y": (("row",), [term.measured for term in objective.terms]),
                "upper": (("row",), [term.upper for term in objective.terms]),
                "part": (("row",), [term.part for term in objective.terms]),
                "unit": (("row",), [term.unit for term in objective.terms]),
            },
            coords=rows,
        ),
        "unconstrained_posterior": xr.Dataset(
            {"theta": (("chain", "draw", "parameter"), thetas)},
            coords={**draws, "parameter": list(objective.names)},
        ),
    }
