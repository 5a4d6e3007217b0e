"""
2. Would stored sera, assayed again without rheumatoid factor, settle the interference?
=======================================================================================

If rheumatoid factor leaks into the cytokine assay (V0b), an assay in which it is blocked prints less. Without interference both agree
within the scatter of two assays (grey: 95 %). No new patient burden: the serum of day 35 is there. The scatter is that of the observable table.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsim as cs

post = cs.Posterior.load("report/posteriors/V0b.nc")
panel = [each for each in post.case.analytes if each.panel == "cytokines"]
blocked = [f"at((1 - psi_{each.id})*{each.id}, 35)" for each in panel]
printed = [f"at(value_{each.id}, 35)" for each in panel]
plan = {"as given": post.case.schedule}
found = cs.sweep(post, plan, until=40, measures=blocked + printed, draws=100, seed=1).posterior[0]
fold = np.log(found[: len(panel)] / found[len(panel) :])
scatter = np.array([np.sqrt(2) * float(each.noise) for each in panel])
told = 0.5 * np.sum((fold / scatter[:, None]) ** 2, axis=0)
print(f"ln odds to be expected, if there is interference: {told.mean():.1f}")

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
low, middle, high = np.exp(np.quantile(fold, [0.05, 0.5, 0.95], axis=1))
names, reach = [each.name for each in panel], np.exp(1.96 * scatter)
ax.barh(names, reach - 1 / reach, left=1 / reach, color="0.85", label="without interference (95 %)")
ax.errorbar(middle, names, xerr=[middle - low, high - middle], fmt="o", label="with it (median, 90 %)")
ax.axvline(1, color="black", linewidth=0.8)
ax.set(xscale="log", xlabel="value with rheumatoid factor blocked, over the value printed")
figure.legend(loc="outside upper center", ncols=2, frameon=False)
figure.supxlabel(f"{post.case.label}\nNumbers rest on {post.approximation.label}", fontsize=7)
