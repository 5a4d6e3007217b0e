"""Every example in a docstring is run, so that it keeps telling the truth."""

import doctest
import importlib
import pkgutil

import pytest

import cellsim

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(cellsim.__path__, "cellsim.") if ".models" not in each.name
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert failed == 0
