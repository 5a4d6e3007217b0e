"""Figures for every result: Axes in (or none), Axes out; nothing is shown, saved or set globally.

Each function draws into the Axes given, or makes a figure of its own when there are none. Units stand on every
axis, colours can be told apart with any colour vision, and the label of the case stands beneath.

Examples
--------
>>> import cellsim as cs
>>> from cellsim import plots
>>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
>>> plots.residuals(fitted).figure.savefig("residuals.png")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.plots.comparisons import evidence, robustness, variants
    from cellsim.plots.design import next_visit
    from cellsim.plots.draws import pair, posterior_predictive, prior_posterior, trace
    from cellsim.plots.estimates import parameters, profile
    from cellsim.plots.fits import fit, prior_predictive, residuals
    from cellsim.plots.product_figures import products
    from cellsim.plots.states import drives, persistence
    from cellsim.plots.sweep_grids import heat_map, tornado
    from cellsim.plots.sweeps import contrast, sweep
    from cellsim.predictions.bands import Bands, bands

__all__ = [
    "Bands",
    "bands",
    "contrast",
    "drives",
    "evidence",
    "fit",
    "heat_map",
    "next_visit",
    "pair",
    "parameters",
    "persistence",
    "posterior_predictive",
    "prior_posterior",
    "prior_predictive",
    "products",
    "profile",
    "residuals",
    "robustness",
    "sweep",
    "tornado",
    "trace",
    "variants",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Bands": "predictions.bands",
        "bands": "predictions.bands",
        "contrast": "plots.sweeps",
        "drives": "plots.states",
        "evidence": "plots.comparisons",
        "fit": "plots.fits",
        "heat_map": "plots.sweep_grids",
        "next_visit": "plots.design",
        "pair": "plots.draws",
        "parameters": "plots.estimates",
        "persistence": "plots.states",
        "posterior_predictive": "plots.draws",
        "prior_posterior": "plots.draws",
        "prior_predictive": "plots.fits",
        "products": "plots.product_figures",
        "profile": "plots.estimates",
        "residuals": "plots.fits",
        "robustness": "plots.comparisons",
        "sweep": "plots.sweeps",
        "tornado": "plots.sweep_grids",
        "trace": "plots.draws",
        "variants": "plots.comparisons",
    },
)
