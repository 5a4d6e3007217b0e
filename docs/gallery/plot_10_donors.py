"""
10. Would matched donors have persisted longer, or a new donor each time?
=========================================================================

The ten UCMSC infusions from day 0 on, without a history. ``kappa`` is how fast alloimmune effectors kill (0: matched, or never
recognised), ``chi`` how much of the memory recognises the next donor (0: a new donor each time, 1: always the same).
"""

import cellsim as cs
from cellsim import plots
from cellsim.predictions.measures import Area

post = cs.Posterior.load("report/posteriors/V2.nc")
ten = post.case.history.shifted(874)
levels = {"kappa": [0.0, 0.1, 0.3, 0.7, 2.0], "chi": [0.0, 0.25, 0.5, 0.75, 1.0]}
asked = [Area("viable_allo")]
result = cs.sweep(
    post,
    {"ten donors' doses": ten},
    until=600,
    parameters=levels,
    measures=asked,
    history=None,
    draws=60,
    seed=1,
)
print(result.table()[["kappa", "chi", "estimate", "low", "high"]].round(0))
plots.heat_map(result)
