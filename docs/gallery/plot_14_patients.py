"""
14. How many such patients tell "engulfed and remembered" from nothing?
=======================================================================

Patients as the priors describe them, with the same three samples, all begun at once, or half of them twelve weeks later (a randomised start:
drift runs from day 0, what cells do begins with them). A study has decided when the odds of all its patients together exceed 20.
"""

import matplotlib.pyplot as plt

import cellsim as cs

fits = {name: cs.Calibration.load(f"report/calibrations/{name}.json") for name in ("V2", "V0")}
plan = fits["V2"].case.schedule
designs = {"all at once": {"at once": plan}, "half later": {"at once": plan, "later": plan.shifted(84)}}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), sharey=True, layout="constrained")
for colour, (design, arms) in zip(("tab:blue", "tab:orange"), designs.items()):
    found = cs.plan_patients(fits, arms=arms, draws=400, seed=1)
    print(found)
    for ax, (truth, part) in zip(axes, found.table().groupby("truth", sort=False)):
        ax.errorbar(part["patients"], part["right"], part["error"], color=colour, label=f"{design}: right")
        ax.plot(part["patients"], part["wrong"], "--", color=colour, label=f"{design}: wrong")
        ax.set(title=f"{truth} is true", xscale="log", xlabel="patients", ylim=(-0.02, 1.02))
axes[0].set_ylabel("chance that the study decides")
axes[1].legend(frameon=False, fontsize=7)
figure.supxlabel(found.label, fontsize=7)
