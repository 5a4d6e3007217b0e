"""
How well is every analyte followed?
===================================

Bands of the model beside printed values, then the residuals.
"""

import cellsim as cs
from cellsim import plots

fit = cs.calibrate(cs.load_case("cytopenia_synthetic"), starts=4, seed=1)
plots.fit(fit)

# %%
plots.residuals(fit)
