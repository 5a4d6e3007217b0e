"""What commands are given: a case, a model, a saved calibration or saved draws; what is not there yet is made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cellsim.errors import CellsimError

if TYPE_CHECKING:
    import argparse

    from cellsim.case.case import Case
    from cellsim.model.model import Model
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior

__all__ = ["case_of", "case_or_model", "fit_of", "keep_calibration", "source_of"]


def case_of(source: str) -> Case:
    """A case by name or path; a problem of another kind is refused."""
    from cellsim.case.case import Case
    from cellsim.estimation.opening import load_case

    found = load_case(source)
    if not isinstance(found, Case):
        raise CellsimError(
            f"{source} is {found!r}, which commands do not take: they are about one patient. In a script cs.load_case({source!r}) "
            "answers log_likelihood(), gradient() and simulate(), and cs.calibrate, cs.profile and cs.sample take it."
        )
    return found


def fit_of(options: argparse.Namespace) -> Calibration:
    """A saved calibration, or one made now."""
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.fitting import calibrate

    if Path(options.source).suffix == ".nc":
        raise CellsimError(f"{options.source} holds draws; a calibration (.json) or a case is needed here.")
    if Path(options.source).suffix == ".json":
        if options.variant:
            raise CellsimError("a saved calibration has its variant already; leave --variant out.")
        return Calibration.load(options.source)
    made = calibrate(
        case_of(options.source), variant=options.variant, starts=options.starts, seed=options.seed
    )
    options.calibrated = made
    if made.interrupted:
        raise KeyboardInterrupt
    return made


def keep_calibration(options: argparse.Namespace) -> None:
    """Save a calibration that was made on the way, when what it was made for was not reached."""
    made = getattr(options, "calibrated", None)
    if made is None or not options.out:
        return
    place = Path(options.out).with_suffix(".calibration.json")
    made.save(place)
    print(f"the calibration is in {place}; give it in place of the case to go on.", file=sys.stderr)


def source_of(options: argparse.Namespace) -> Calibration | Posterior:
    """Saved chains, a saved calibration, or one made now."""
    from cellsim.posterior.posterior import Posterior

    if Path(options.source).suffix != ".nc":
        return fit_of(options)
    if options.variant:
        raise CellsimError("a saved posterior has its variant already; leave --variant out.")
    return Posterior.load(options.source)


def case_or_model(source: str) -> tuple[Case | None, Model]:
    """A case with its model, or a model alone; a name that is both means the case."""
    from cellsim.library import shipped_cases
    from cellsim.model.model import load_model

    path = Path(source)
    if source in shipped_cases() or path.is_dir() or path.suffix in (".yaml", ".yml"):
        case = case_of(source)
        return case, load_model(case.model)
    return None, load_model(source)
