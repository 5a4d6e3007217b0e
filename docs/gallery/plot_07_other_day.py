"""
7. What would the second sample have shown on another day?
==========================================================

"After four infusions" may be any day from 21 to 49. A sample some hours after an infusion meets the acute pulse. Bands: 90 % of
samples as drawn, the assay's scatter and a new shift of the sample included; line: what was printed.
"""

import matplotlib.pyplot as plt

import cellsim as cs
from cellsim.predictions.measures import Value

post = cs.Posterior.load("report/posteriors/V2.nc")
case, shown = post.case, ("IL6", "IL8", "TNFa", "IFNa")
days = (21.1, 21.5, 22.0, 24.0, 28.0, 35.0, 48.0)
asked = [Value(days, shown), Value(days, shown, noise=True)]
result = cs.sweep(post, {"as given": case.schedule}, until=49, measures=asked, draws=100, seed=1)
table = result.table()

figure, axes = plt.subplots(1, 4, figsize=(8, 2.8), sharey=True, layout="constrained")
for ax, name in zip(axes, shown):
    printed = next(row.value for row in case.rows if (row.analyte, row.visit) == (name, "after4"))
    for measure, alpha in (("value, as sampled", 0.2), ("value", 0.5)):
        one = table[(table["quantity"] == name) & (table["measure"] == measure)]
        low, high = one["low"] / printed, one["high"] / printed
        ax.fill_between(one["day"], low, high, alpha=alpha, label=f"{measure} (90 %)")
    ax.axhline(1, color="black", label="printed")
    ax.set(title=name, xlabel="day of the sample", yscale="log", ylim=(0.03, 5))
axes[0].set_ylabel("predicted over printed value")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
figure.supxlabel(f"{case.label}\nNumbers rest on {post.approximation.label}", fontsize=7)
