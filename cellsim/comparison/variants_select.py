"""What PEtab Select is told about calibrated variants: likelihoods and what is made of them, never prior rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.case.select_export import Calibrated, information_criteria

if TYPE_CHECKING:
    from cellsim.posterior.calibration import Calibration

__all__ = ["calibrated_of"]


def calibrated_of(fit: Calibration) -> Calibrated:
    """A calibration in PEtab Select's terms.

    Parameters
    ----------
    fit : Calibration

    Returns
    -------
    Calibrated
        Criteria at the highest optimum over everything scored: the standard part, censored values and grades, read on
        the sampling days found. Beside them, for what PEtab Select has no name: ``ln_evidence``, ``rows`` (scored),
        ``effective_parameters``, and ``nllh_of_petab_problem``, what a tool that reads the PEtab problem finds at these
        estimates: the standard part alone, on the nominal days.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> calibrated_of(fit).more["rows"] == len(fit.objective.terms)
    True
    """
    objective, theta = fit.objective, fit.theta
    rows = len(objective.terms)
    scored = objective.evaluate(theta).log_likelihood
    nominal = {f"day_{visit.id}": visit.nominal for visit in fit.case.visits}
    at_nominal = objective.theta({name: nominal.get(name, fit.values[name]) for name in objective.names})
    estimated = len(objective.names)
    return Calibrated(
        variant=fit.variant,
        estimates={name: fit.values[name] for name in objective.names},
        criteria=information_criteria(-float(scored.sum()), estimated=estimated, rows=rows),
        more={
            "ln_evidence": fit.log_evidence,
            "rows": rows,
            "effective_parameters": fit.effective_parameters,
            "nllh_of_petab_problem": -objective.parts(at_nominal)["standard"],
        },
    )
