"""``python -m benchmarks.honesty [sbc] [coverage] [preference] [decisions] [--full] [--minutes=N] [--write]``.

Without ``--full`` a few patients of each study, as a trial. What has been done is kept line by line and not done again;
an interrupt loses one patient. After N minutes no other patient is begun. ``--write`` writes docs/honesty.md, docs/decisions.md and
their figures from all that is there; with ``--minutes=0`` it does nothing else.
"""

from __future__ import annotations

import re
import sys

from benchmarks.honesty import coverage, decisions, preference, sbc
from benchmarks.honesty.ledger import work

PARTS = {
    "sbc": sbc,
    "coverage": coverage,
    "preference": preference,
    "decisions": decisions,
}


def main(arguments: list[str]) -> int:
    wanted = [name for name in arguments if not name.startswith("-")] or list(PARTS)
    timed = [each for each in arguments if re.fullmatch(r"--minutes=\d+(\.\d+)?", each)]
    odd = [each for each in arguments if each.startswith("-") and each not in ("--full", "--write", *timed)]
    if odd or any(name not in PARTS for name in wanted):
        print(
            f"No part or option {', '.join(odd or wanted)}. Parts: {', '.join(PARTS)}; --full, --minutes=N, --write."
        )
        return 2
    minutes = float(timed[-1].partition("=")[2]) if timed else float("inf")
    try:
        studies = [study for name in wanted for study in PARTS[name].studies()]
        work(studies, full="--full" in arguments, minutes=minutes)
    except KeyboardInterrupt:
        print("Interrupted; what was done is kept.")
    if "--write" in arguments:
        from benchmarks.honesty import decisions_page, page

        page.write()
        decisions_page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
