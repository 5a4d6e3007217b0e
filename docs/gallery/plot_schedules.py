"""
Compare schedules
=================

What would no treatment, or the antibody alone, have done?
"""

import cellsim as cs
from cellsim import plots

case = cs.load_case("cytopenia_synthetic")
fit = cs.calibrate(case, starts=4, seed=1)

plans = {
    "as given": case.schedule,
    "antibody alone": case.schedule.only(product="anti"),
    "nothing": cs.Schedule(),
}
result = cs.sweep(fit, plans, until=365, draws=100, seed=1)
plots.sweep(result)

# %%
# The table has every measure, the prior's answer beside the posterior's.
print(result.table()[["schedule", "measure", "quantity", "estimate", "low", "high", "prior_estimate"]].head(6))
