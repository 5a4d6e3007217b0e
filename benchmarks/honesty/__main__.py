"""``python -m benchmarks.honesty [sbc] [coverage] [preference] [--full] [--write]``.

Without ``--full`` a few patients of each study, as a trial. What has been done is kept line by line and not done again;
an interrupt loses one patient. ``--write`` writes docs/honesty.md and its figures from all that is there.
"""

from __future__ import annotations

import sys

from benchmarks.honesty import coverage, preference, sbc
from benchmarks.honesty.ledger import work

PARTS = {"sbc": sbc, "coverage": coverage, "preference": preference}


def main(arguments: list[str]) -> int:
    wanted = [name for name in arguments if not name.startswith("-")] or list(PARTS)
    odd = [each for each in arguments if each.startswith("-") and each not in ("--full", "--write")]
    if odd or any(name not in PARTS for name in wanted):
        print(f"No part or option {', '.join(odd or wanted)}. Parts: {', '.join(PARTS)}; --full, --write.")
        return 2
    try:
        work([study for name in wanted for study in PARTS[name].studies()], full="--full" in arguments)
    except KeyboardInterrupt:
        print("Interrupted; what was done is kept.")
    if "--write" in arguments:
        from benchmarks.honesty.page import write

        write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
