"""
15. Which single value, misread or misdated, would change a conclusion?
=======================================================================

Does the treatment act (V2) or not (V0)? The log odds with each value left out, by weights of the draws: the fifteen that move them most. Within the grey
band nothing is decided (odds below 20). Days of infusion, limits, priors and whole analytes: ``cellsim robustness sjogren_rfib``.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp

import cellsim as cs

posteriors = {name: cs.Posterior.load(f"report/posteriors/{name}.nc") for name in ("V2", "V0")}
lead, without = 0.0, 0.0
for post, sign in zip(posteriors.values(), (1, -1)):
    rows = post.groups["log_likelihood"]["y"]
    lead += sign * post.log_evidence
    without += sign * (logsumexp(-rows.values[0], axis=0) - np.log(rows.sizes["draw"]))
most = np.argsort(-np.abs(without))[:15]
names = [str(rows["row"].values[k]).split(": ")[-1] for k in most]

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.axvspan(-np.log(20), np.log(20), color="0.92")
ax.axvline(lead, color="black", linestyle="--", label=f"all values: {lead:.1f}")
ax.plot(lead + without[most], names, "o", label="without this one")
ax.set(xlabel="ln odds that the treatment acts")
ax.legend(frameon=False)
ax.invert_yaxis()
figure.supxlabel(f"{post.case.label}\nNumbers rest on {post.approximation.label}", fontsize=7)
