"""Laboratory and dose sheets as people keep them: Excel's, separated text, data frames."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.spreadsheets.doses import DoseSheet, dose_sheet
    from cellsim.spreadsheets.lab_values import LabTable, lab_table
    from cellsim.spreadsheets.sheet import Sheet, read_sheet

__all__ = ["DoseSheet", "LabTable", "Sheet", "dose_sheet", "lab_table", "read_sheet"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DoseSheet": "spreadsheets.doses",
        "LabTable": "spreadsheets.lab_values",
        "Sheet": "spreadsheets.sheet",
        "dose_sheet": "spreadsheets.doses",
        "lab_table": "spreadsheets.lab_values",
        "read_sheet": "spreadsheets.sheet",
    },
)
