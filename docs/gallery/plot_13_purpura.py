"""
13. Is purpura better explained by the drive, by viable cells, or by the calendar?
==================================================================================

Under V2 purpura follows a disease drive that engulfed cells lower, under V1 what cells do while they live, under V0 drift and calendar time alone. Each
was fitted to all findings: the chance that it gives every grade that was seen, and the sum of the logarithms. V1 is drawn from its calibration.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsim as cs

sources = {name: cs.Posterior.load(f"report/posteriors/{name}.nc") for name in ("V2", "V0")}
sources |= dict(V1=cs.Calibration.load("report/calibrations/V1.json"))
figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for (name, source), marker in zip(sources.items(), "o^s"):
    terms = source.objective.terms
    graded = sorted((k for k, term in enumerate(terms) if term.part == "graded"), key=lambda k: terms[k].day)
    draws = source.draws(100, seed=1)
    found = np.array([source.objective.evaluate(theta).log_likelihood[graded] for theta in draws])
    chance = np.exp(found).mean(axis=0)
    ax.plot(
        [terms[k].day for k in graded], chance, f"{marker}-", label=f"{name} (ln {np.log(chance).sum():.1f})"
    )
ax.set(xlabel="day of the photograph or note", ylabel="chance of the grade seen", ylim=(0, 1))
ax.legend(frameon=False)
rests = "; ".join(dict.fromkeys(source.approximation.label for source in sources.values()))
figure.supxlabel(f"{source.case.label}\n{rests}", fontsize=7)
