"""Sobol and Morris indices by SALib: how much of a measure's variation each parameter makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError, unusable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["indices_of", "sampled_points"]


def _salib() -> Any:
    try:
        import SALib.analyze.morris
        import SALib.analyze.sobol
        import SALib.sample.morris
        import SALib.sample.sobol
    except ImportError as error:
        raise CellsimError(
            f"indices need SALib, which is not there ({error}): pip install 'cellsim[sensitivity]'."
        ) from None
    return SALib


def _problem(bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    return {
        "num_vars": len(bounds),
        "names": list(bounds),
        "bounds": [list(each) for each in bounds.values()],
    }


def sampled_points(kind: str, bounds: Mapping[str, tuple[float, float]], count: int, seed: int) -> Array:
    """Parameter values of a design, uniform within bounds.

    Parameters
    ----------
    kind : {"sobol", "morris"}
        Saltelli's scheme for Sobol indices, ``count (n_parameters + 2)`` points, `count` a power of two; or `count` trajectories of Morris,
        ``count (n_parameters + 1)`` points on four levels.
    bounds : mapping of str to (float, float)
    count, seed : int

    Returns
    -------
    array, shape (n_points, n_parameters)

    Raises
    ------
    CellsimError
        Without SALib, and for a count that is none.
    """
    if problems := unusable(counts={"points": (count, 2)}):
        raise CellsimError(problems)
    if kind == "sobol" and count & (count - 1):
        raise CellsimError(
            f"points = {count}: Sobol's sequence is balanced for powers of two, {1 << count.bit_length()} say."
        )
    sample = _salib().sample
    if kind == "sobol":
        return np.asarray(sample.sobol.sample(_problem(bounds), count, calc_second_order=False, seed=seed))
    return np.asarray(sample.morris.sample(_problem(bounds), count, num_levels=4, seed=seed))


def indices_of(
    kind: str, bounds: Mapping[str, tuple[float, float]], points: Array, values: Array, names: Sequence[str]
) -> pd.DataFrame:
    """Indices of one measure.

    Parameters
    ----------
    kind : {"sobol", "morris"}
    bounds : mapping of str to (float, float)
    points : array, shape (n_points, n_parameters)
        As :func:`sampled_points` made them.
    values : array, shape (n_points,)
    names : sequence of str

    Returns
    -------
    DataFrame
        One row a parameter. Sobol: first, total (shares of the variance made by it alone, and with all others), first_error, total_error
        (standard errors by bootstrap). Morris: mean_effect, mean_size (of the elementary effects and of their absolute
        values, in the unit of the measure over the range of the parameter), spread, mean_size_error.
    """
    import pandas as pd

    analyze, problem = _salib().analyze, _problem(bounds)
    if not np.ptp(values) > 0:
        columns = ["first", "total"] if kind == "sobol" else ["mean_effect", "mean_size", "spread"]
        return pd.DataFrame([{"parameter": name, **dict.fromkeys(columns, 0.0)} for name in names])
    if kind == "sobol":
        found = analyze.sobol.analyze(problem, values, calc_second_order=False, conf_level=0.6827, seed=0)
        columns = {"first": "S1", "first_error": "S1_conf", "total": "ST", "total_error": "ST_conf"}
    else:
        found = analyze.morris.analyze(problem, points, values, num_levels=4, conf_level=0.6827, seed=0)
        columns = {
            "mean_effect": "mu",
            "mean_size": "mu_star",
            "spread": "sigma",
            "mean_size_error": "mu_star_conf",
        }
    return pd.DataFrame(
        {"parameter": list(names), **{ours: np.asarray(found[theirs]) for ours, theirs in columns.items()}}
    )
