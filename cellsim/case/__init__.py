"""One patient: from tables to a frozen object, and what is wrong with the tables."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.case.case import Case, load_case
    from cellsim.case.from_sheets import new_case

__all__ = ["Case", "load_case", "new_case"]
__getattr__, __dir__ = lazy_names(
    __name__, {"Case": "case.case", "load_case": "case.case", "new_case": "case.from_sheets"}
)
