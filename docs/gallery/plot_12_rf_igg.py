"""
12. Does RF-IgG's rise fit a single disease drive?
==================================================

What the laboratory might have printed had the model been true, beside what it printed. RF-IgG follows plasmablasts, as IgA and IgM
do, by a power of free sign: a power below zero is how one drive makes one antibody rise while the others fall.
"""

import cellsim as cs
from cellsim import plots

post = cs.Posterior.load("report/posteriors/V2.nc")
draws = post.frame()[["lambda_RF_G", "lambda_RF_A", "lambda_RF_M"]]
print("chance of a power below zero:", (draws < 0).mean().round(2).to_dict())
plots.posterior_predictive(post, ["RF_A", "RF_G", "RF_M", "IgG"])

# %%
# The powers beside their priors.
plots.prior_posterior(post, ["lambda_RF_A", "lambda_RF_G", "lambda_RF_M"])
