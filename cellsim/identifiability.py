"""What was learned and what was assumed, said for every number that is printed."""

from __future__ import annotations

__all__ = ["DATA_DRIVEN", "MOVED", "PRIOR_DRIVEN", "UNTOUCHED", "verdict"]

DATA_DRIVEN = "data-driven"
PRIOR_DRIVEN = "prior-driven"
MOVED = "moved, not narrowed"
UNTOUCHED = "no effect on these data"

# below a fifth of the prior variance removed, a number is called what it is: an assumption
LEAST_CONTRACTION = 0.2
LARGEST_QUIET_SHIFT = 0.5


def verdict(contraction: float, shift: float, *, touched: bool = True) -> str:
    """Name what the data did to a quantity.

    Parameters
    ----------
    contraction : float
        1 - var(posterior)/var(prior), in a coordinate where the prior is normal.
    shift : float
        Posterior minus prior mean, in prior standard deviations.
    touched : bool
        Whether the data depend on the quantity at all.

    Returns
    -------
    str
        ``"data-driven"``; ``"prior-driven"`` (contraction below 0.2, shift below 0.5); ``"moved, not
        narrowed"`` (contraction below 0.2 and a larger shift: look for a conflict of prior and data); or
        ``"no effect on these data"``.

    Examples
    --------
    >>> verdict(0.9, 1.2), verdict(0.05, 0.1), verdict(0.05, -0.8)
    ('data-driven', 'prior-driven', 'moved, not narrowed')
    """
    if not touched:
        return UNTOUCHED
    if contraction >= LEAST_CONTRACTION:
        return DATA_DRIVEN
    return PRIOR_DRIVEN if abs(shift) < LARGEST_QUIET_SHIFT else MOVED
