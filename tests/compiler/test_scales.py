"""What the error of a state is measured by after a step, against the rule written out in numpy."""

import numpy as np
import pytest
import sympy as sp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import compile_equations
from cellsim.compiler.llvm import BLOCK
from cellsim.compiler.scales import GROWTH, LEAST, RESOLVED_FROM, RISEN

COUNT = 11  # not a multiple of a block


@pytest.mark.parametrize("width", [1, 8])
def test_scales_follow_the_largest_value_and_news_are_told(width: int) -> None:
    names = tuple(f"x{i}" for i in range(COUNT))
    rates = tuple(-sp.Symbol(name) for name in names)
    unit = compile_equations(Equations(names, (), rates, (sp.Integer(1),) * COUNT)).unit(width)
    w, lay, size = unit.workspace(), unit.layout, COUNT * width
    told = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)

        def slot(name: str) -> np.ndarray:
            return w[lay[name] : lay[name] + size]

        slot("peak")[:] = peak = 10.0 ** rng.uniform(-3, 3, size)
        slot("share")[:] = share = rng.choice([1e-6, 1e-5, 0.0, -1.0], size)
        slot("atol")[:] = atol = rng.uniform(0, 1, size)
        slot("y1")[:] = new = (
            rng.choice([1e-300, 1e-6, 1e-2, 0.9, 2.0], size) * peak * rng.choice([-1, 1], size)
        )
        slot("y")[:] = old = new * rng.choice([0.3, 1.0, 1.2], size)
        slot("k")[:] = first = old * rng.choice([-0.3, 0.1, 0.3, -2.0], size)
        slot("low")[:] = low = rng.choice([0.0, 1.0], size) * (seed % 3 > 0)
        slot("least")[:] = least = np.abs(new) * rng.choice([0.01, 0.5, 3.0], size)
        unit.call("scales", w)
        value = np.abs(new)
        larger = (value > peak) & (share >= 0)
        top = np.where(larger, value, peak)
        assert np.array_equal(slot("peak"), top)
        followed = np.where(larger & (share > 0), np.maximum(share * value, LEAST), atol)
        assert np.array_equal(slot("atol"), followed)
        lowest = np.minimum(value, least)
        below = value < RESOLVED_FROM * share * top
        # of a state that is not so low the least is not followed: it begins anew when it falls (`follow_scales`)
        asked = np.resize(
            np.append(below | (low > 0), np.zeros(-size % BLOCK, bool)), (-(-size // BLOCK), BLOCK)
        )
        looked = np.repeat(asked.any(axis=1), BLOCK)[:size]
        assert np.array_equal(slot("least"), np.where(looked, lowest, least))
        rises = (
            (value > RISEN * lowest) | (first * old > GROWTH * old * old) | (abs(first) > 1.001 * abs(old))
        )
        changed = (below != (low > 0)) | (below & rises)
        blocks = np.resize(np.append(changed, np.zeros(-size % BLOCK, bool)), (-(-size // BLOCK), BLOCK))
        found = w[lay["news"] : lay["news"] + len(blocks)] != 0
        assert np.array_equal(found, blocks.any(axis=1))
        told += int(found.sum())
    assert 0 < told < 200 * len(blocks)
