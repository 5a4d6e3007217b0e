"""
9. Which parameters did the data teach?
=======================================

A bar as wide as its pale prior was not learned. A profile shows what bounds one parameter.
"""

import cellsim as cs
from cellsim import plots

post = cs.Posterior.load("report/posteriors/V2.nc")
print(post.table()["verdict"].value_counts())
plots.parameters(post, ["persistence", "alloimmunity", "drives"])

# %%
# The strength of the effect, held at other values, everything else fitted again.
fit = cs.Calibration.load("report/calibrations/V2.json")
plots.profile(cs.profile(fit, ["e"]))
