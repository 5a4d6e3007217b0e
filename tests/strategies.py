"""What Hypothesis draws from: parameters as likely as their own priors, and courses of treatment."""

from __future__ import annotations

from hypothesis import strategies as st

from cellsim.case.case import load_case
from cellsim.dosing.schedule import Infusion, Schedule
from cellsim.likelihood.priors import Prior

CASE = load_case("sjogren_rfib")
AUTO, ALLO = "rfib", "ucmsc"
CELLS = ("persistence", "alloimmunity")
"""Groups of parameters that say where cells go."""


def parameters(*groups: str, spread: float = 2.0, **fixed: float) -> st.SearchStrategy[dict[str, float]]:
    """Values of all estimated parameters of some groups (of every group by default), within `spread` prior sds.

    They shrink to the prior medians; `fixed` ones stay as they are told.
    """
    drawn = {}
    for row in CASE.priors:
        of_model = row.estimate and row.standard and row.group != "sample effects"
        if of_model and row.id not in fixed and (not groups or row.group in groups):
            prior = Prior(row.family, row.parameters, row.lower, row.upper)
            drawn[row.id] = st.floats(-spread, spread).map(
                lambda theta, prior=prior: float(prior.value(theta))
            )
    return st.fixed_dictionaries(drawn).map(lambda values: {**values, **fixed})


def schedules(
    *products: str,
    first: float = 0.0,
    last: float = 120.0,
    min_doses: int = 1,
    max_doses: int = 5,
    durations: bool = True,
) -> st.SearchStrategy[Schedule]:
    """Doses of some products (of both by default) between two days, some of them over a stated duration."""
    lasting = st.just(0.0) | st.sampled_from([1 / 24, 0.25, 2.0]) if durations else st.just(0.0)
    infusion = st.builds(
        Infusion,
        day=st.integers(int(first), int(last)).map(float)
        | st.integers(int(96 * first), int(96 * last)).map(lambda quarter_hours: quarter_hours / 96),
        product=st.sampled_from(products or (AUTO, ALLO)),
        cells=st.sampled_from([5e7, 7.5e7]) | st.floats(1e6, 5e8),
        duration=lasting,
    )
    return st.lists(infusion, min_size=min_doses, max_size=max_doses).map(
        lambda doses: Schedule(tuple(doses), CASE.products)
    )
