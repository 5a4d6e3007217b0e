"""Forty mistakes that are made with spreadsheets and case folders, and what a message about each must say.

Written down before the readers were looked at. Each mistake is made in a copy of something that is right: a
workbook of laboratory values, one of doses, or the case `cytopenia_synthetic`. `place` is where the message must send
the reader: the file (or sheet), the row and the column, as a spreadsheet shows them (the header is row 1); `None` where
there is no such thing (a deleted table has no rows). `remedy` are words of which one must be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class Place:
    """Where a message must send its reader."""

    file: str
    row: int | None
    column: str | None


@dataclass(frozen=True)
class Mistake:
    """One mistake: what is typed where, and what a message must say of it.

    `typed` maps cells ("C4") of the sheet `sheet` to what is typed over them, or, in a case folder, (row, column) of the
    table `sheet`. `done` are the things one does to a sheet without typing: "merge B3:B4", "hide 5", "1904", "empty",
    "delete".
    """

    name: str
    sheet: str
    place: Place
    remedy: tuple[str, ...]
    typed: Mapping = field(default_factory=dict)
    done: tuple[str, ...] = ()


#: One row a visit, in `lab.xlsx`, sheet `values`.
WIDE = [
    ["visit", "date", "platelets (10^9/L)", "haemoglobin (g/dL)", "IgG (g/L)", "CRP (mg/L)"],
    ["range", None, "150 to 400", "12 to 16", "7 to 16", "<5"],
    ["before", "2023-01-30", 29, 13.1, 13, "<0.6"],
    ["week 4", "2023-03-01", 56.2, 12.7, 11.2, 1.27],
    ["week 12", "2023-04-27", 217, 12.9, 9.99, "<0.6"],
    ["week 26", "2023-08-03", 143, 13, 10.1, 0.692],
]

#: One row a value, in `lab.xlsx`, sheet `values`.
LONG = [
    ["date", "visit", "analyte", "value", "unit", "lower", "upper"],
    ["2023-01-30", "before", "haemoglobin", 13.1, "g/dL", 12, 16],
    ["2023-01-30", "before", "lymphocytes", 32, "%", 20, 45],
    ["2023-01-30", "before", "CRP", "<0.6", "mg/L", None, 5],
    ["2023-03-01", "week 4", "haemoglobin", 12.7, "g/dL", 12, 16],
    ["2023-03-01", "week 4", "lymphocytes", 28, "%", 20, 45],
    ["2023-03-01", "week 4", "CRP", 1.27, "mg/L", None, 5],
    ["2023-04-27", "week 12", "haemoglobin", 12.9, "g/dL", 12, 16],
    ["2023-04-27", "week 12", "lymphocytes", 30, "%", 20, 45],
    ["2023-04-27", "week 12", "CRP", 0.9, "mg/L", None, 5],
]

#: In `treatment.xlsx`, sheet `doses`.
DOSES = [
    ["date", "product", "cells", "source"],
    ["2023-02-02", "graft", 1e8, "own"],
    ["2023-03-02", "graft", 1e8, "own"],
    ["2023-03-30", "graft", 1e8, "own"],
]

LAB, TREATMENT = "lab.xlsx", "treatment.xlsx"

IN_SHEETS = [
    Mistake("a unit is missing", "wide", Place(LAB, 1, "F"), ("(mg/L)", "unit in"), {"F1": "CRP"}),
    Mistake("a unit is misspelt", "wide", Place(LAB, 1, "F"), ("mg/L", "did you mean"), {"F1": "CRP (mgl)"}),
    Mistake(
        "one analyte in two units",
        "long",
        Place(LAB, 7, "E"),
        ("check", "write", "correct"),
        {"E7": "mg/dL", "D7": 0.127},
    ),
    Mistake(
        "a limit without its number", "wide", Place(LAB, 3, "F"), ("<0.6", "<0.5", "limit"), {"F3": "<LOD"}
    ),
    Mistake(
        "a decimal comma among points", "wide", Place(LAB, 4, "C"), ("56.2", "check", "write"), {"C4": "56,2"}
    ),
    Mistake(
        "day and month may be exchanged",
        "wide",
        Place(LAB, 4, "B"),
        ("2023-", "YYYY-MM-DD"),
        {"B4": "03/04/2023"},
    ),
    Mistake(
        "dates counted from 1904",
        "wide",
        Place(LAB, None, "B"),
        ("check", "1904"),
        {f"B{row}": date(2023, row, 1) for row in (3, 4, 5, 6)},
        done=("1904",),
    ),
    Mistake(
        "cells are merged", "wide", Place(LAB, 4, "B"), ("merge", "check", "write"), done=("merge B3:B4",)
    ),
    Mistake("a row is hidden", "wide", Place(LAB, 5, None), ("delete", "unhide", "show"), done=("hide 5",)),
    Mistake(
        "a visit stands twice",
        "wide",
        Place(LAB, 5, "A"),
        ("rename", "another name", "repeat", "check"),
        {"A5": "week 4"},
    ),
    Mistake(
        "a sample on the day of a dose",
        "wide",
        Place(LAB, 4, "B"),
        ("predose", "postdose", "before the dose"),
        {"B4": "2023-03-02"},
    ),
    Mistake(
        "a dose without its unit", "doses", Place(TREATMENT, 1, "C"), ("dose (mg)", "cells"), {"C1": "dose"}
    ),
    Mistake(
        "a negative value", "wide", Place(LAB, 4, "F"), ("check", "write", "correct", "empty"), {"F4": -1.27}
    ),
    Mistake("a fraction among percent", "long", Place(LAB, 6, "D"), ("check", "%", "correct"), {"D6": 0.28}),
    Mistake(
        "limits exchanged",
        "wide",
        Place(LAB, 2, "C"),
        ("150 to 400", "exchange", "lower"),
        {"C2": "400 to 150"},
    ),
    Mistake(
        "two columns of one name",
        "wide",
        Place(LAB, 1, "F"),
        ("rename", "delete", "one of"),
        {"E1": "CRP (mg/L)"},
    ),
    Mistake("the sheet is empty", "wide", Place(LAB, None, None), ("::", "another sheet"), done=("empty",)),
    Mistake("a month for a date", "wide", Place(LAB, 4, "B"), ("2023-", "YYYY-MM-DD"), {"B4": "March 2023"}),
    Mistake(
        "an analyte is misspelt",
        "long",
        Place(LAB, 5, "C"),
        ("haemoglobin", "did you mean"),
        {"C5": "haemoglobn"},
    ),
    Mistake(
        "a product is misspelt", "doses", Place(TREATMENT, 3, "B"), ("did you mean", "graft"), {"B3": "graff"}
    ),
]

#: In a copy of `cytopenia_synthetic`; `typed` is by row and column of the table.
IN_FOLDER = [
    Mistake(
        "a column is misspelt",
        "measurements.tsv",
        Place("measurements.tsv", 1, "measurment"),
        ("measurement",),
        {(1, "measurement"): "measurment"},
    ),
    Mistake(
        "a table is deleted",
        "observables.tsv",
        Place("observables.tsv", None, None),
        ("restore", "write", "problem.yaml", "copy"),
        done=("delete",),
    ),
    Mistake(
        "a parameter the model does not have",
        "parameters.tsv",
        Place("parameters.tsv", 2, "parameterId"),
        ("did you mean", "CL"),
        {(2, "parameterId"): "CLL"},
    ),
    Mistake(
        "a prior without width",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorParameters"),
        ("positive", "above 0", "estimate"),
        {(2, "priorParameters"): "-1.427;0"},
    ),
    Mistake(
        "a wrong word for the noise",
        "observables.tsv",
        Place("observables.tsv", 2, "noiseDistribution"),
        ("log-normal",),
        {(2, "noiseDistribution"): "lognormal"},
    ),
    Mistake(
        "a visit that does not exist",
        "measurements.tsv",
        Place("measurements.tsv", 3, "visitId"),
        ("week4", "did you mean"),
        {(3, "visitId"): "week5"},
    ),
    Mistake(
        "an observable that does not exist",
        "measurements.tsv",
        Place("measurements.tsv", 4, "observableId"),
        ("obs_PLT",),
        {(4, "observableId"): "obs_PLTT"},
    ),
    Mistake(
        "a measurement with a comma",
        "measurements.tsv",
        Place("measurements.tsv", 3, "measurement"),
        ("56.2", "point"),
        {(3, "measurement"): "56,2"},
    ),
    Mistake(
        "a negative value of a log-normal",
        "measurements.tsv",
        Place("measurements.tsv", 3, "measurement"),
        ("normal", "positive", "above 0"),
        {(3, "measurement"): "-56.2"},
    ),
    Mistake(
        "a prior family is misspelt",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorDistribution"),
        ("log-normal",),
        {(2, "priorDistribution"): "lognormall"},
    ),
    Mistake(
        "one number for a prior of two",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorParameters"),
        ("two", "2 ", "mean"),
        {(2, "priorParameters"): "-1.427"},
    ),
    Mistake(
        "a fixed parameter without value",
        "parameters.tsv",
        Place("parameters.tsv", 3, "nominalValue"),
        ("value", "number"),
        {(3, "nominalValue"): ""},
    ),
    Mistake(
        "a value outside its bounds",
        "parameters.tsv",
        Place("parameters.tsv", 2, "nominalValue"),
        ("bound", "between"),
        {(2, "lowerBound"): "1"},
    ),
    Mistake(
        "a value in the wrong unit",
        "measurements.tsv",
        Place("measurements.tsv", 3, "unit"),
        ("Gcell/L",),
        {(3, "unit"): "mg/L"},
    ),
    Mistake(
        "a condition that does not exist",
        "experiments.tsv",
        Place("experiments.tsv", 3, "conditionId"),
        ("did you mean", "anti_rate_3600"),
        {(3, "conditionId"): "anti_rate_360"},
    ),
    Mistake(
        "a product that does not exist",
        "experiments.tsv",
        Place("experiments.tsv", 11, "product"),
        ("did you mean", "graft"),
        {(11, "product"): "graf"},
    ),
    Mistake(
        "a window that ends before it begins",
        "visits.tsv",
        Place("visits.tsv", 4, "earliest"),
        ("latest", "exchange"),
        {(4, "earliest"): "91", (4, "latest"): "77"},
    ),
    Mistake(
        "a wrong word for a limit",
        "extended.tsv",
        Place("extended.tsv", 2, "censoring"),
        ("left",),
        {(2, "censoring"): "below"},
    ),
    Mistake(
        "a variant of no parameter",
        "model_space.tsv",
        Place("model_space.tsv", 1, "w_cell"),
        ("w_cells", "did you mean"),
        {(1, "w_cells"): "w_cell"},
    ),
    Mistake(
        "a measure that does not exist",
        "outcomes.tsv",
        Place("outcomes.tsv", 2, "measure"),
        ("days below",),
        {(2, "measure"): "days bellow"},
    ),
]
