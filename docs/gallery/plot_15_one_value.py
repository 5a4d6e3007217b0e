"""
15. Which single value, misread or misdated, would change a conclusion?
=======================================================================

Each analyte left out, the upper limit of IFN-alpha as printed (85) and not 8.5, other days of infusion. Coloured: another conclusion follows.
"""

import cellsim as cs
from cellsim import plots
from cellsim.comparison.alterations import alterations_of

names = ("V0", "V2", "V4")
posteriors = {name: cs.Posterior.load(f"report/posteriors/{name}.nc") for name in names}
fits = {name: cs.Calibration.load(f"report/calibrations/{name}.json") for name in names}
case = posteriors["V2"].case

groups = ("reference limit", "analyte left out")
asked = [each for each in alterations_of(case) if each.group in groups]
found = cs.robustness(case, variants=names, fits=fits, posteriors=posteriors, alterations=asked, seed=1)
print(found.flips()[["conclusion", "name", "change", "words"]])
plots.robustness(found)
