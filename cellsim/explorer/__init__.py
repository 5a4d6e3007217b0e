"""A page that computes: kernels as WebAssembly, draws and step loop in one HTML file."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.explorer.page import Explorer, explore

__all__ = ["Explorer", "explore"]
__getattr__, __dir__ = lazy_names(__name__, {"Explorer": "explorer.page", "explore": "explorer.page"})
