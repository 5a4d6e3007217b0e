"""
6. Which maintenance holds the disease drive down, and when does benefit wane?
==============================================================================

After the twelve infusions, doses of 7.5e7 cells every four to sixteen weeks, or none. The drive counts as controlled below one half.
"""

import cellsim as cs
from cellsim import plots
from cellsim.predictions.measures import DaysBelow
from cellsim.predictions.own_measures import DaysToRelapse

post = cs.Posterior.load("report/posteriors/V2.nc")
case = post.case
plans = {"no maintenance": case.schedule}
for weeks in (4, 8, 12, 16):
    days = [day for day in range(245 + 7 * weeks, 730, 7 * weeks)]
    plans[f"every {weeks} weeks"] = case.schedule + cs.Schedule.at(
        days, cells=7.5e7, product="rfib", products=case.products
    )
asked = [DaysBelow("D", 0.5), DaysToRelapse("D", 0.5)]
result = cs.sweep(post, plans, until=730, measures=asked, draws=100, seed=1)
print(result.report())
plots.sweep(result, "D")
