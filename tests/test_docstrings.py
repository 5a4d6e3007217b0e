"""Every example in a docstring is run, so that it keeps telling the truth."""

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import cellsim as cs

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(cs.__path__, "cellsim.") if ".models" not in each.name
)


@pytest.fixture(scope="module", autouse=True)
def calibrations(sjogren_fit: cs.Calibration) -> Any:
    """Many examples begin with one of the same two calibrations of the case: each is made once."""
    calibrate, made = cs.calibrate, {(sjogren_fit.case.name, ("starts", 1)): sjogren_fit}

    def once(case: cs.Case, **options: Any) -> cs.Calibration:
        key = (case.name, *sorted(options.items()))
        if key not in made:
            made[key] = calibrate(case, **options)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cs, "calibrate", once, raising=False)
        yield


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert failed == 0
