"""
8. How large must natural drift be to explain everything?
=========================================================

Under the null nothing comes from the cells: the drive falls by itself, by the factor exp(-phi). The dashed prior of phi is what placebo
arms of trials saw (Wang 2021), so that a posterior beside it is a drift larger than placebo arms have.
"""

import numpy as np

import cellsim as cs
from cellsim import plots

null = cs.Posterior.load("report/posteriors/V0.nc")
phi = null.frame()["phi"]
share = 1 - np.exp(-np.quantile(phi, [0.05, 0.5, 0.95]))
print(f"the drive must fall by {100 * share[1]:.0f} % (90 %: {100 * share[0]:.0f} to {100 * share[2]:.0f} %)")
print(
    "phi in prior standard deviations:",
    (np.quantile(phi, [0.05, 0.5, 0.95]) / 0.25).round(1),
)
plots.prior_posterior(null, ["phi", "t_n", "t_D"])
