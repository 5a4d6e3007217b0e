"""Which conclusion hangs on which prior: evidences when the priors of a group are made stronger or weaker.

A prior is raised to a power alpha and made to integrate to one again (Kallioinen et al. 2024, Stat Comput 34:57): in
whitened coordinates N(0, 1) becomes N(0, 1/alpha). Half the power is a prior sqrt(2) times as wide. The derivative

    d ln evidence / d ln alpha = (n - E[theta'theta]) / 2   over the n parameters of the group, at alpha = 1,

needs nothing but the posterior's moments; what it foretells to matter is fitted anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.posterior.calibration import Calibration
from cellsim.posterior.fitting import optima
from cellsim.posterior.nearest_normal import nearby
from cellsim.posterior.variational import NearestNormal, NormalLaw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ALL", "POWERS", "evidence_slopes", "groups_of", "with_power"]

ALL = "all priors"
# what priors are raised to when it is asked what hangs on them
POWERS = (0.5, 2.0)


def groups_of(fit: Calibration) -> dict[str, list[int]]:
    """Columns of theta by the case's groups of parameters, and all of them."""
    found: dict[str, list[int]] = {}
    for j, name in enumerate(fit.objective.names):
        found.setdefault(fit.case.prior(name).group or "others", []).append(j)
    return {**found, ALL: list(range(len(fit.objective.names)))}


def evidence_slopes(fit: Calibration, normal: NearestNormal | None = None) -> dict[str, float]:
    """d ln evidence / d ln alpha of every group's priors.

    Parameters
    ----------
    fit : Calibration
    normal : NearestNormal, optional
        Its moments go before those of Laplace's mixture; unknown sampling days have only the latter.

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> -60 < evidence_slopes(fit)["all priors"] < 60
    True
    """
    by_laplace = dict(
        zip(fit.objective.names, np.diag(fit.mixture.covariance) + fit.mixture.mean**2, strict=True)
    )
    known = {**by_laplace, **(normal.second if normal is not None else {})}
    second = np.array([known[name] for name in fit.objective.names])
    return {group: float(np.sum(1 - second[columns]) / 2) for group, columns in groups_of(fit).items()}


def with_power(
    fit: Calibration, columns: Iterable[int], alpha: float, *, law: NormalLaw | None = None
) -> float:
    """The log evidence when the priors of some parameters are raised to a power.

    Parameters
    ----------
    fit : Calibration
    columns : iterable of int
        Of theta.
    alpha : float
        Below one: wider priors.
    law : NormalLaw, optional
        The one nearest to the posterior: the evidence is then that of the law nearest to the new posterior. By default
        Laplace's, fitted anew from the known optima.

    Returns
    -------
    float
    """
    chosen = set(columns)
    objective = replace(
        fit.objective,
        priors=tuple(
            prior.widened(alpha**-0.5) if j in chosen else prior
            for j, prior in enumerate(fit.objective.priors)
        ),
    )
    # the same parameter values, in the coordinate of the new prior
    scale = np.array([alpha**0.5 if j in chosen else 1.0 for j in range(len(objective.names))])
    if law is None:
        return optima(objective, [mode.theta * scale for mode in fit.mixture.modes]).mixture.log_evidence
    return nearby(law, objective, law.theta * scale).log_evidence
