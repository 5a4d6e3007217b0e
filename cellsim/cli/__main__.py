"""``python -m cellsim.cli``: the command line without an installed script."""

import sys

from cellsim.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
