"""The collapsed sampler on a variant of the shipped case, seed by seed: effective draws, evidence, what it cost.

``python -m benchmarks.collapsed [variant] [seed ...]``: V2 with seeds 1, 2 and 3 by default, minutes each. The witness is bridge
sampling of long chains (docs/answers.md): -323.1 +- 0.5 for V2, -324.4 +- 0.3 for V0, -322.1 +- 0.9 for V3.
"""

from __future__ import annotations

import sys
from time import perf_counter, process_time

import cellsim as cs
from benchmarks.clock import table

HEADER = (
    "variant",
    "seed",
    "ln evidence",
    "Pareto k",
    "effective",
    "outer",
    "mismatch, nats",
    "processor, s",
    "wall, s",
)


def collapsed(variant: str, seeds: list[int]) -> str:
    """One row a seed; the time is that of sampling alone, from a calibration to scored draws."""
    fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant=variant, starts=8, seed=1)
    rows = []
    for seed in seeds:
        wall, processor = perf_counter(), process_time()
        post = cs.sample(fit, method="collapsed", hierarchy=False, seed=seed)
        wall, processor = perf_counter() - wall, process_time() - processor
        found = post.drawn.weighted
        assert found is not None
        rows.append(
            (
                variant,
                str(seed),
                f"{post.log_evidence:.2f} ± {post.log_evidence_error:.2f}",
                f"{post.pareto_k:.2f}",
                f"{post.effective:.0f} of {len(found.thetas)}",
                str(len(found.outer)),
                f"{found.mismatch:.1f}",
                f"{processor:.0f}",
                f"{wall:.0f}",
            )
        )
    return table(HEADER, rows)


if __name__ == "__main__":
    _, *asked = sys.argv
    print(collapsed(asked[0] if asked else "V2", [int(each) for each in asked[1:]] or [1, 2, 3]))
