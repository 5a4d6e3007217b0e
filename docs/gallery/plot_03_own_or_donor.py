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
# The same conclusion with other dates of the donor cells, other sampling days, and other sample effects.
from cellsim.comparison.alterations import alterations_of

post = posteriors["V2"]
asked = [each for each in alterations_of(post.case) if each.group in ("sampling day", "days of infusion")]
fits = {name: cs.Calibration.load(f"report/calibrations/{name}.json") for name in ("V0", "V2", "V4")}
posteriors["V0"] = cs.Posterior.load("report/posteriors/V0.nc")
plots.robustness(
    cs.robustness(post.case, variants=list(fits), fits=fits, posteriors=posteriors, alterations=asked)
)
