"""
11. Does what was given before alter what was given after?
==========================================================

Twelve infusions of own cells with the ten of donor cells before them, and without, in the same draws: the difference. Own cells meet no killing in
these mechanisms: an effect of the sequence can only come through the disease drive and what earlier cells left behind.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsim as cs

asked = {
    "days_below(D, 0.5)": "days with the drive below one half",
    "area(viable_auto)": "viable own cells (%, by area)",
}
names = ("V0", "V2", "V3")
figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), sharey=True, layout="constrained")
for row, name in enumerate(names):
    post = cs.Posterior.load(f"report/posteriors/{name}.nc")
    options = {"until": 365, "measures": list(asked), "draws": 100, "seed": 1}
    after = cs.sweep(post, {"as given": post.case.schedule}, **options)
    alone = cs.sweep(post, {"as given": post.case.schedule}, history=None, **options)
    for kind, fill, at in (("posterior", "tab:blue", row - 0.12), ("prior", "white", row + 0.12)):
        own, first = getattr(after, kind)[0], getattr(alone, kind)[0]
        for ax, change in zip(axes, (own[0] - first[0], 100 * (own[1] / first[1] - 1))):
            low, middle, high = np.quantile(change, [0.05, 0.5, 0.95])
            ax.plot([low, high], [at, at], color="tab:blue")
            ax.plot(middle, at, "o", color="tab:blue", mfc=fill, label=None if row else kind)
for ax, text in zip(axes, asked.values()):
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=text)
axes[1].set_xlim(-5, 5)
axes[1].legend(frameon=False)
figure.supxlabel(f"{post.case.label}\nNumbers rest on {post.approximation.label}; 90 %", fontsize=7)
