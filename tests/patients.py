"""A patient as small as a face needs: two products, one disease drive, three analytes, two rival mechanisms."""

from __future__ import annotations

from functools import lru_cache

from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import Case
from cellsim.comparison.variants import comparison_of

MODEL = """
model small()
  unit day = 86400 second; unit time_unit = day
  unit Mcell = 1e6 item
  infusate_auto = 0; infusate_auto' = -24*infusate_auto; infusate_auto has Mcell
  infusate_allo = 0; infusate_allo' = -24*infusate_allo; infusate_allo has Mcell
  L_auto = 0; L_auto' = 24*infusate_auto - L_auto; L_auto has Mcell
  L_allo = 0; L_allo' = 24*infusate_allo - (1 + kappa)*L_allo; L_allo has Mcell
  A_auto = 0; A_auto' = L_auto - 3*A_auto; A_auto has Mcell
  A_allo = 0; A_allo' = (1 + kappa)*L_allo - 3*A_allo; A_allo has Mcell
  viable_auto := L_auto; viable_allo := L_allo
  viable_auto has Mcell; viable_allo has Mcell
  R = 0; R' = 0.06*(L_auto + L_allo) - 0.015*R
  D = 1; D' = 0.02*(exp(-phi)/(1 + e*R) - D)
  e = 0.3; phi = 0; kappa = 0.5; base_IL6 = 80; base_ESR = 36
  value_IL6 := base_IL6*D; value_IL8 := 2*base_IL6*D; value_ESR := base_ESR*sqrt(D)
end
"""
PRODUCTS = (
    "productId\tsource\tstate\tname\tquantity\nrfib\tautologous\tinfusate_auto\town cells\tviable_auto\n"
    "ucmsc\tallogeneic\tinfusate_allo\tdonor cells\tviable_allo\n"
)
ASKED = {
    "outcomes.tsv": (
        "outcomeId\tmeasure\tquantity\tlevel\tbetter\tlabel\tunit\n"
        "benefit\tdays below\tD\t0.5\thigher\tdays with the disease drive below one half\tdays\n"
        "load\tpeak load\tcytokines\t\tlower\tpeak cytokine load\tupper limits\n"
        "in_range\tall in range\tcytokines\t\thigher\tchance: all cytokines in range\t\n"
    ),
    "quantities.tsv": (
        "quantityId\tfigure\tproduct\tswitch\tlabel\nD\tcourse\t\t\tdisease drive D (1 at diagnosis)\n"
        "R\tcourse\t\te\tremembered state R (doses)\nviable_auto\tamount\trfib\t\tviable cells\n"
        "viable_allo\tamount\tucmsc\t\tviable cells\nA_auto\tamount\trfib\t\tdying cells\n"
        "A_allo\tamount\tucmsc\t\tdying cells\n"
    ),
    "questions.tsv": (
        "questionId\tkind\tfirst\tsecond\tquantity\tbetter\twithin\tclaim\tabove\tbelow\ttitle\tbrief\n"
        "own\tproducts\trfib\tucmsc\tD\tlower\t\town cells persist longer\town cells do better\t"
        "own cells do not do better\tDo own cells persist longer?\tOwn or donor cells\n"
        "pulse\tafter dose\t\t\t\t\t4\tshows the acute pulse\t\tneed not show the acute pulse\t\t\n"
    ),
    "study.tsv": "field\tvalue\ndesign\tuncontrolled, unblinded\n",
}
ANALYTES = {
    "IL6": ("IL-6", "pg/mL", "cytokines", "", "9.1"),
    "IL8": ("IL-8", "pg/mL", "cytokines", "", "20.98"),
    "ESR": ("ESR", "mm/h", "inflammation", "0", "20"),
}


@lru_cache
def small_patient() -> Case:
    """The case; V0 (null) and V2 are its variants."""
    made = tiny_case(
        MODEL,
        {
            "IL6": ("value_IL6*exp(shift)", 0.3),
            "IL8": ("value_IL8*exp(shift)", 0.3),
            "ESR": ("value_ESR", 0.2),
        },
        [
            *(("IL6", -1.0, 109.0), ("IL8", -1.0, 241.0), ("ESR", -1.0, 36.0)),
            *(("IL6", 35.0, 80.0), ("ESR", 35.0, 31.0)),
            *(("IL6", 120.0, 24.0), ("IL8", 120.0, 18.0), ("ESR", 120.0, 25.0)),
        ],
        {
            "e": ("log-normal", -1.2, 1.0),
            "phi": ("normal", 0.0, 0.25),
            "kappa": ("log-normal", -0.7, 1.0),
            "base_IL6": ("log-normal", 4.0, 1.0),
            "base_ESR": ("log-normal", 3.0, 1.0),
            "shift": ("normal", 0.0, 0.4),
        },
        doses=[(-200.0, "infusate_allo", 50.0), *((7.0 * k, "infusate_auto", 50.0) for k in range(6))],
        products=[("rfib", "autologous", "infusate_auto"), ("ucmsc", "allogeneic", "infusate_allo")],
        windows={35.0: (28.0, 49.0)},
        censored=[("IL8", 35.0, 60.0)],
        variants={"V2": {"e": "estimate", "phi": 0.0}, "V0": {"e": 0.0, "phi": "estimate"}},
        groups={"e": "drives", "phi": "drives", "kappa": "persistence", "base_IL6": "baselines"}
        | {"base_ESR": "baselines", "shift": "sample effects"},
        start=-300.0,
        name="small",
    )
    files = made.files
    files |= {"products.tsv": PRODUCTS, **ASKED}
    files["variants.tsv"] = (
        "variantId\tname\tmeaning\tdefault\nV2\tengulfed\tCells act.\ttrue\nV0\tnull\tNothing comes from the cells.\tfalse\n"
    )
    files["observables.tsv"] = _described(files["observables.tsv"])
    for file in ("measurements.tsv", "extended.tsv"):
        files[file] = _in_units(files[file])
    return cs.load_case(files)


def _described(table: str) -> str:
    """The observable table with names, units, panels and reference limits."""
    head, *lines = [line.split("\t") for line in table.strip().split("\n")]
    columns = [*head, "observableName", "panel", "quantity", "referenceLower", "referenceUpper"]
    out = ["\t".join(columns)]
    for line in lines:
        row = dict(zip(head, line, strict=True))
        name, unit, panel, low, high = ANALYTES[row["analyte"]]
        row |= {"observableName": name, "unit": unit, "panel": panel, "quantity": f"value_{row['analyte']}"}
        row |= {"referenceLower": low, "referenceUpper": high}
        out.append("\t".join(row[each] for each in columns))
    return "\n".join(out) + "\n"


def _in_units(table: str) -> str:
    """A table of rows with each analyte's own unit."""
    head, *lines = [line.split("\t") for line in table.strip().split("\n")]
    out = ["\t".join(head)]
    for line in lines:
        row = dict(zip(head, line, strict=True))
        row["unit"] = ANALYTES[row["observableId"].removeprefix("obs_")][1]
        out.append("\t".join(row.values()))
    return "\n".join(out) + "\n"


@lru_cache
def small_fit(variant: str = "V2") -> cs.Calibration:
    """Its calibration."""
    return cs.calibrate(small_patient(), variant=variant, starts=1, seed=1)


@lru_cache
def small_posterior(variant: str = "V2") -> cs.Posterior:
    """Draws of it by the collapsed sampler."""
    return cs.sample(
        small_fit(variant),
        method="collapsed",
        draws=100,
        effective=150,
        hierarchy=False,
        seed=1,
        progress=False,
    )


@lru_cache
def small_comparison() -> cs.Comparison:
    """Both variants, compared."""
    names = ("V2", "V0")
    return comparison_of(
        {name: small_fit(name) for name in names},
        posteriors={name: small_posterior(name) for name in names},
        progress=False,
    )
