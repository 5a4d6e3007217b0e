"""The folder that the scripts of the gallery read, as ``cellsim report sjogren_rfib --out docs/gallery/report`` makes it, in a quick form.

One start and few draws of the mechanisms that the scripts name: minutes where the report takes much longer. A file that is there is kept, so
that a full report put in its place gives the same pictures from more draws.
"""

import warnings
from pathlib import Path

import cellsim as cs

__all__ = ["quick_report"]

# V1 is shown by its calibration alone: its draws take minutes, however few
FITTED, DRAWN = ("V0", "V0b", "V1", "V2", "V3", "V4"), ("V0", "V0b", "V2", "V3", "V4")
# effective draws asked for, draws that are handed out, and weighted draws that they may cost
EFFECTIVE, DRAWS, BUDGET = 20, 100, 1200


def quick_report(folder: Path) -> None:
    """Make what is missing.

    Parameters
    ----------
    folder : Path
    """
    case = cs.load_case("sjogren_rfib")
    for name in ("calibrations", "posteriors"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every figure says what its draws rest on
        for name in FITTED:
            fitted, drawn = folder / f"calibrations/{name}.json", folder / f"posteriors/{name}.nc"
            if not fitted.is_file():
                cs.calibrate(case, variant=name, starts=1, seed=1, progress=False).save(fitted)
            if name in DRAWN and not drawn.is_file():
                options = {"effective": EFFECTIVE, "draws": DRAWS, "budget": BUDGET, "seed": 1}
                fit = cs.Calibration.load(fitted)
                cs.sample(fit, method="collapsed", hierarchy=False, progress=False, **options).save(drawn)


if __name__ == "__main__":
    quick_report(Path(__file__).resolve().parent / "gallery/report")
