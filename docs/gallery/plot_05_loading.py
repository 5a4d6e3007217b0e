"""
5. Do weekly doses from the start do better than 4-weekly ones, and was the escalation detectable?
==================================================================================================

The same total in twelve doses, then twelve of 5e7 or of 7.5e7 cells. Plans that cannot be told from the best are ties. "Never escalated" is
5e7 on the days as given: where the values of a sample drawn on day 259 scatter more than the plans lie apart, nobody could have seen it.
"""

import cellsim as cs
from cellsim import plots
from cellsim.predictions.measures import DaysBelow, Value

post = cs.Posterior.load("report/posteriors/V2.nc")
case = post.case
twelve = {"doses": 12, "product": "rfib", "products": case.products}
days, same = [each.day for each in case.schedule], case.schedule.total() / 12
plans = {
    "as given": case.schedule,
    "never escalated": cs.Schedule.at(days, cells=5e7, product="rfib", products=case.products),
    "weekly": cs.Schedule.every(7, cells=same, **twelve),
    "4-weekly": cs.Schedule.every(28, cells=same, **twelve),
    "4-weekly, 5e7": cs.Schedule.every(28, cells=5e7, **twelve),
    "4-weekly, 7.5e7": cs.Schedule.every(28, cells=7.5e7, **twelve),
}
asked = [DaysBelow("D", 0.5), Value((259.0,), ("IL6", "ESR", "RF_A"), noise=True)]
result = cs.sweep(post, plans, until=365, measures=asked, draws=100, seed=1)
print(result.ranking()[["schedule", "mean", "best", "regret", "beaten", "tie"]].round(2))
seen = result.contrasts(reference="as given").query("measure == 'value, as sampled'")
print(seen[["first", "second", "quantity", "difference", "low", "high"]].round(1))
plots.sweep(result, "D")
