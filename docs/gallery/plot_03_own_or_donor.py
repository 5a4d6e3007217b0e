"""
3. Do own cells do better than donor cells, and who says so?
============================================================

The same days and amounts of either product. Under "engulfed and remembered" donor cells may be killed; under "source-neutral" nothing
removes one faster than the other. Where both mechanisms fit alike and the hollow marks of the prior lie on the filled ones, the difference was assumed.
"""

import cellsim as cs
from cellsim import plots

posteriors = {name: cs.Posterior.load(f"report/posteriors/{name}.nc") for name in ("V2", "V4")}
found = cs.compare_products(posteriors, doses=[4, 12], interval=[7, 28], draws=100, seed=1)
print(found.report())
plots.products(found)

# %%
# The dates of the donor cells given before are not printed. Without any of them the donor product lasts longer, for nothing remembers it:
# what dates can change lies between both answers.
bare = cs.compare_products(posteriors["V2"], doses=12, interval=28, history=None, draws=100, seed=1)
print(bare.report())
