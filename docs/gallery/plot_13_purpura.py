"""
13. Is purpura better foretold by the drive, by viable cells, or by the calendar?
=================================================================================

Under V2 purpura follows a disease drive that engulfed cells lower, under V1 what cells do while they live, under V0 drift and calendar time
alone. The chance of each grade that was seen, as predicted without it (leave-one-out by weights), and the sum of their logarithms.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp

import cellsim as cs

figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for name, marker in zip(("V2", "V1", "V0"), "os^"):
    fit = cs.Calibration.load(f"report/calibrations/{name}.json")
    terms = fit.objective.terms
    graded = sorted((k for k, term in enumerate(terms) if term.part == "graded"), key=lambda k: terms[k].day)
    draws = fit.draws(100, seed=1)
    found = np.array([fit.objective.evaluate(theta).log_likelihood[graded] for theta in draws])
    left_out = np.log(len(found)) - logsumexp(-found, axis=0)
    days = [terms[k].day for k in graded]
    ax.plot(days, np.exp(left_out), f"{marker}-", label=f"{name} (ln {left_out.sum():.1f})")
ax.set(xlabel="day of the photograph or note", ylabel="predicted chance of the grade", ylim=(0, 1))
ax.legend(frameon=False)
figure.supxlabel(f"{fit.case.label}\n{fit.approximation.label}", fontsize=7)
