"""``python -m benchmarks [start] [simulation] [gradient] [floor] [growth] [stiff] [inference] [--write]``."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

from benchmarks.case import simulation
from benchmarks.clock import machine
from benchmarks.floor import floor
from benchmarks.gradient import gradient
from benchmarks.growth import growth
from benchmarks.inference import inference
from benchmarks.start import start
from benchmarks.stiff import stiff

PARTS = {
    "start": ("Import, compile, first result", start),
    "simulation": ("One simulation and a batch of the case model", simulation),
    "gradient": ("Gradient of the case model", gradient),
    "floor": ("Distance from the floor", floor),
    "growth": ("How cost grows", growth),
    "stiff": ("Classical stiff problems", stiff),
    "inference": ("Calibration and profiles", inference),
}


def main(arguments: list[str]) -> int:
    write = "--write" in arguments
    wanted = [name for name in arguments if not name.startswith("-")] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"No benchmark {', '.join(unknown)}. There are: {', '.join(PARTS)}.")
        return 2
    text = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks --write`. An error stands beside every time.",
    ]
    clocks = "Times are processor time, the shortest of several runs; batches are in wall time too."
    text += ["", f"{date.today()}: {machine()}.", clocks, ""]
    print("\n".join(text))
    for name in wanted:
        title, part = PARTS[name]
        section = f"## {title}\n\n{part()}\n"
        print(section, flush=True)
        text.append(section)
    if write:
        (Path(__file__).parent / "README.md").write_text("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
