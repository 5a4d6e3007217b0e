"""Files that are not ours, before anything reads them: bounds, and the C libraries in a process of their own."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.foreign.trial import from_file, try_text

__all__ = ["from_file", "try_text"]
__getattr__, __dir__ = lazy_names(__name__, {"from_file": "foreign.trial", "try_text": "foreign.trial"})
