"""
4. How probable is it that a value lies in its reference range?
===============================================================

On day 365, with and without the scatter of a new sample, and all twelve cytokines at once, where a shift shared by the sample
moves them together. Filled: after the data; hollow: what the prior said.
"""

import matplotlib.pyplot as plt

import cellsim as cs
from cellsim.predictions.measures import AllInRange, InRange

post = cs.Posterior.load("report/posteriors/V2.nc")
plan = {"as given": post.case.schedule}
figure, axes = plt.subplots(1, 2, figsize=(7.2, 6), sharey=True, layout="constrained")
for ax, noise in zip(axes, (False, True)):
    asked = [InRange(noise=noise), AllInRange("cytokines", noise=noise)]
    table = cs.sweep(post, plan, until=365, measures=asked, draws=100, seed=1).table()
    table = table.replace({"quantity": {"cytokines": "all cytokines"}})
    ax.plot(table["prior_estimate"], table["quantity"], "o", color="tab:purple", mfc="white", label="prior")
    ax.errorbar(table["estimate"], table["quantity"], xerr=table["error"], fmt="o", label="posterior")
    ax.set(title="a sample as drawn" if noise else "without its scatter", xlim=(-0.03, 1.03))
    ax.set_xlabel("chance to lie in the reference range")
axes[0].invert_yaxis()
legend = axes[0].get_legend_handles_labels()
figure.legend(*legend, loc="outside upper center", ncols=2, frameon=False)
rests = f"Numbers rest on {post.approximation.label}; bars: Monte Carlo error"
figure.supxlabel(f"{post.case.label}\n{rests}", fontsize=7)
