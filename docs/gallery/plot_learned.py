"""
What did the data teach?
========================

Estimates beside their priors: a bar as wide as its grey prior was not learned.
"""

import cellsim as cs
from cellsim import plots

fit = cs.calibrate(cs.load_case("cytopenia_synthetic"), starts=4, seed=1)
plots.parameters(fit)

# %%
# A profile shows what bounds one parameter.
profiles = cs.profile(fit, ["CL"])
plots.profile(profiles)
