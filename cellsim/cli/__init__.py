"""The command line."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.cli.commands import main

__all__ = ["main"]
__getattr__, __dir__ = lazy_names(__name__, {"main": "cli.commands"})
