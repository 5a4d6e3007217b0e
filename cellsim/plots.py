"""Figures for every result: Axes in (or none), Axes out; nothing is shown, saved or set globally.

Each function draws into the Axes given, or makes a figure of its own when there are none. Units stand on every
axis, colours can be told apart with any colour vision, and the label of :mod:`cellsim.words` stands beneath.

Examples
--------
>>> import cellsim as cs
>>> from cellsim import plots
>>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
>>> plots.residuals(fitted).figure.savefig("residuals.png")  # doctest: +SKIP
"""

from cellsim.bands import Bands, bands
from cellsim.figures_chains import pair, trace
from cellsim.figures_course import drives, persistence
from cellsim.figures_fit import fit, prior_predictive, residuals
from cellsim.figures_inference import parameters
from cellsim.figures_posterior import posterior_predictive, prior_posterior
from cellsim.figures_profiles import profile
from cellsim.figures_robust import robustness
from cellsim.figures_sweep import contrast, sweep
from cellsim.figures_variants import evidence, variants

__all__ = [
    "Bands",
    "bands",
    "contrast",
    "drives",
    "evidence",
    "fit",
    "pair",
    "parameters",
    "persistence",
    "posterior_predictive",
    "prior_posterior",
    "prior_predictive",
    "profile",
    "residuals",
    "robustness",
    "sweep",
    "trace",
    "variants",
]
