"""The synthetic patient of ``calibration/cytopenia_synthetic``: her rows, drawn from the model with known values and a seed.

    python benchmarks/synthetic_case.py            # prints whether the shipped rows are those of the seed
    python benchmarks/synthetic_case.py --write    # writes them

Nobody was treated. The truth lies off the medians of the priors, so that a fit has something to find.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import cellsim as cs
from cellsim.petab.tables import TableReader, number_text, table_text

CASE = "cytopenia_synthetic"
FOLDER = Path(__file__).resolve().parents[1] / "calibration" / CASE
SEED = 20
TRUTH = {
    "CL": 0.27, "e": 3.2, "h": 7.0, "f_long": 0.2, "kill": 0.6, "k_B": 0.009, "k_R": 0.012, "P_0": 245.0, "B_0": 150.0,
    "Ab_0": 55.0, "IgG_0": 12.5, "Hb_0": 13.6, "CRP_0": 0.9,
}  # fmt: skip
DAYS = {"before": -3.0, "week4": 27.0, "week12": 82.0, "week26": 187.0}
"""When her samples were really taken; the tables know the last two within two weeks."""
LIMITS = {"BCELLS": 5.0, "CRP": 0.6}
"""Of detection: values below are printed as below."""


def rows() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The measured rows and the censored ones."""
    case = cs.load_case(CASE)
    model = cs.load_model(case.model)
    found = cs.simulate(model, case.timeline, sorted(DAYS.values()), values=TRUTH, start=case.start)
    random = np.random.default_rng(SEED)
    measured, censored = [], []
    for analyte in case.analytes:
        for place, visit in enumerate(case.visits):
            true, noise = (
                float(found[analyte.formula][place]),
                float(analyte.noise) * random.standard_normal(),
            )
            value = true * np.exp(noise) if analyte.distribution == "log-normal" else true + noise
            limit = LIMITS.get(analyte.id, 0.0)
            about = {"observableId": analyte.observable, "visitId": visit.id, "unit": analyte.unit}
            if value < limit:
                censored.append({**about, "kind": "censored", "day": number_text(visit.nominal), "censoring": "left",
                                 "limit": number_text(limit), "scored": "true", "source": f"synthetic, seed {SEED}"})  # fmt: skip
                continue
            measured.append({**about, "experimentId": "timeline", "time": number_text(visit.nominal),
                             "measurement": f"{value:.3g}", "source": f"synthetic, seed {SEED}"})  # fmt: skip
    return measured, censored


def tables() -> dict[str, str]:
    """The two tables whose rows are drawn; graded rows of the second are kept as they stand."""
    measured, censored = rows()
    known = {
        name: (FOLDER / name).read_text(encoding="utf-8") for name in ("measurements.tsv", "extended.tsv")
    }
    graded = [line for line in TableReader(known).table("extended.tsv", ()) if line.of("kind") == "graded"]
    heads = {name: text.split("\n")[0].split("\t") for name, text in known.items()}
    return {
        "measurements.tsv": table_text(heads["measurements.tsv"], measured),
        "extended.tsv": table_text(heads["extended.tsv"], [*censored, *graded]),
    }


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the tables instead of comparing them")
    write = parser.parse_args().write
    for name, text in tables().items():
        if write:
            (FOLDER / name).write_text(text, encoding="utf-8")
        same = (FOLDER / name).read_text(encoding="utf-8") == text
        print(f"{name}: {'as the seed makes it' if same else 'not what the seed makes'}")


if __name__ == "__main__":
    main()
