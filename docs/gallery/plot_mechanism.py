"""
Change a mechanism
==================

Killing of allogeneic cells that saturates, beside the model as it ships, without touching a file.
"""

import matplotlib.pyplot as plt
import numpy as np

import cellsim as cs

case = cs.load_case("sjogren_rfib")
model = cs.load_model(case.model)
changed = model.with_rate("kill_allo", "kappa*E^2/(K + E^2)", K=0.5)
days = np.linspace(-900, -300, 1201)

figure, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
for name, one in {"as it ships": model, "killing saturates": changed}.items():
    ax.semilogy(days, cs.simulate(one, case.timeline, days)["viable_allo"], label=name)
ax.set_ylim(1e-3, None)
ax.set_xlabel("day")
ax.set_ylabel("viable allogeneic cells (10⁶)")
ax.legend(frameon=False)
