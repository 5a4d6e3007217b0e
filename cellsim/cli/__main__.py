"""``python -m cellsim.cli``: the command line without an installed script."""

from cellsim.cli.commands import main

if __name__ == "__main__":
    main()
