"""
1. Which fourth sample tells the mechanisms apart?
==================================================

A thirteenth dose is given on day 400. Blood may be taken some hours, a day, four weeks, three or six months after it, for one panel. The
information about which mechanism it is has an upper bound, the entropy of the mechanisms; brackets hold the error of few draws.
"""

import cellsim as cs
from cellsim import plots

posteriors = {name: cs.Posterior.load(f"report/posteriors/{name}.nc") for name in ("V0", "V0b", "V2", "V3")}
case = posteriors["V2"].case
thirteen = case.schedule + cs.Schedule.at([400], cells=7.5e7, product="rfib", products=case.products)

days = [400.2, 401, 428, 490, 580]
found = cs.plan_visits(posteriors, days, question="variant", schedule=thirteen, draws=100, seed=1)
print(found.report())
plots.next_visit(found)
