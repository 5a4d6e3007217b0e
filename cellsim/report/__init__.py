"""The main job and its page."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.report.report import write_report

__all__ = ["write_report"]
__getattr__, __dir__ = lazy_names(__name__, {"write_report": "report.report"})
