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

#: Neighbours of these, written down after the readers were mended for the forty.
MORE_IN_SHEETS = [
    # values
    Mistake("words for below a limit", "wide", Place(LAB, 3, "F"), ("<0.6",), {"F3": "below 0.6"}),
    Mistake("negative as a value", "wide", Place(LAB, 3, "F"), ("<0.5",), {"F3": "negative"}),
    Mistake("BLQ", "wide", Place(LAB, 3, "F"), ("<0.5",), {"F3": "BLQ"}),
    Mistake("ND", "wide", Place(LAB, 3, "F"), ("empty", "<0.5"), {"F3": "ND"}),
    Mistake("a dash", "wide", Place(LAB, 3, "F"), ("empty", "<0.5"), {"F3": "-"}),
    Mistake("#N/A", "wide", Place(LAB, 4, "F"), ("empty",), {"F4": "#N/A"}),
    Mistake("#DIV/0!", "wide", Place(LAB, 4, "F"), ("write",), {"F4": "#DIV/0!"}),
    Mistake("letter O", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "5O.2"}),
    Mistake("a flag", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "56.2 L"}),
    Mistake("a unit in the cell", "wide", Place(LAB, 4, "D"), ("write",), {"D4": "127 g/L"}),
    Mistake("thousands", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "1,562"}),
    Mistake("a range as a value", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "50-60"}),
    Mistake("about", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "~56"}),
    Mistake("zero", "wide", Place(LAB, 4, "F"), ("<0.5",), {"F4": 0}),
    Mistake("a thousandfold value", "wide", Place(LAB, 4, "C"), ("unit",), {"C4": 56200}),
    Mistake("a tenfold value", "wide", Place(LAB, 4, "D"), ("unit", "decimal point"), {"D4": 127}),
    Mistake("a date in the value", "wide", Place(LAB, 4, "D"), ("text",), {"D4": date(2023, 7, 12)}),
    Mistake("a formula", "wide", Place(LAB, 4, "C"), ("save",), {"C4": "=C3*2"}),
    Mistake("infinite", "wide", Place(LAB, 4, "C"), ("write",), {"C4": "inf"}),
    Mistake(
        "per cent without ranges",
        "long",
        Place(LAB, 6, "D"),
        ("%", "unit", "per cent"),
        {"D6": 0.28, **{f"{c}{r}": None for c in "FG" for r in range(2, 11)}},
    ),
    # dates
    Mistake("a date of two digits", "wide", Place(LAB, 4, "B"), ("2023-",), {"B4": "01.03.23"}),
    Mistake("the wrong year", "wide", Place(LAB, 4, "B"), ("year",), {"B4": "2032-03-01"}),
    Mistake("the wrong year before", "wide", Place(LAB, 4, "B"), ("year",), {"B4": "2022-03-01"}),
    Mistake("a date that is none", "wide", Place(LAB, 4, "B"), ("2023-",), {"B4": "2023-02-30"}),
    Mistake("a number for a date", "wide", Place(LAB, 4, "B"), ("2023-",), {"B4": 44986}),
    Mistake("no date", "wide", Place(LAB, 4, "B"), ("write",), {"B4": None}),
    Mistake("neither date nor visit", "wide", Place(LAB, 4, "B"), ("date",), {"A4": None, "B4": None}),
    Mistake(
        "text beside dates",
        "wide",
        Place(LAB, 4, "B"),
        ("2023-",),
        {"B3": "30/01/2023", "B4": date(2023, 1, 3), "B5": "27/04/2023", "B6": date(2023, 3, 8)},
    ),
    Mistake("two visits of one date", "wide", Place(LAB, 5, "A"), ("name", "date"), {"B5": "2023-03-01"}),
    Mistake("a copied row", "wide", Place(LAB, 5, "A"), ("delete",), {"A5": "week 4", "B5": "2023-03-01"}),
    # headers
    Mistake("date misspelt", "wide", Place(LAB, 3, "B"), ("date",), {"B1": "dat"}),
    Mistake(
        "analyte misspelt in the header of a long sheet",
        "long",
        Place(LAB, 1, "C"),
        ("analyte",),
        {"C1": "analyt"},
    ),
    Mistake("value misspelt", "long", Place(LAB, 1, "D"), ("value",), {"D1": "valeu"}),
    Mistake("unit misspelt", "long", Place(LAB, 1, "E"), ("unit",), {"E1": "unti"}),
    Mistake("no header over a column", "wide", Place(LAB, 3, "F"), ("name",), {"F1": None}),
    Mistake("two date columns", "long", Place(LAB, 1, "B"), ("keep one",), {"B1": "sample date"}),
    Mistake(
        "lower above upper",
        "long",
        Place(LAB, 2, "F"),
        ("exchange",),
        {"F2": 16, "G2": 12, "F5": 16, "G5": 12, "F8": 16, "G8": 12},
    ),
    Mistake("another range", "long", Place(LAB, 5, "F"), ("one lower limit",), {"F5": 11}),
    Mistake("no analyte", "long", Place(LAB, 5, "D"), ("name",), {"C5": None}),
    Mistake("no unit in one row", "long", Place(LAB, 5, "E"), ("unit",), {"E5": None}),
    Mistake("a copied value", "long", Place(LAB, 8, "D"), ("delete",), {"A8": "2023-03-01", "B8": "week 4"}),
    Mistake("a footnote", "wide", Place(LAB, 7, "A"), ("delete", "date"), {"A7": "* haemolysed"}),
    Mistake("a footnote with a value", "wide", Place(LAB, 7, "B"), ("date",), {"A7": "mean", "C7": 111}),
    Mistake("hidden column", "wide", Place(LAB, None, "E"), ("delete",), done=("hidecol E",)),
    # doses
    Mistake(
        "dose in millions", "doses", Place(TREATMENT, 2, "C"), ("1e6",), {f"C{r}": 100 for r in (2, 3, 4)}
    ),
    Mistake("one dose a thousandth", "doses", Place(TREATMENT, 3, "C"), ("unit",), {"C3": 1e5}),
    Mistake("a dose as 1x10e8", "doses", Place(TREATMENT, 3, "C"), ("1e8",), {"C3": "1x10e8"}),
    Mistake("a negative dose", "doses", Place(TREATMENT, 3, "C"), ("delete",), {"C3": -1e8}),
    Mistake("a dose of nothing", "doses", Place(TREATMENT, 3, "C"), ("delete", "write"), {"C3": None}),
    Mistake("no date of a dose", "doses", Place(TREATMENT, 3, None), ("date",), {"A3": None}),
    Mistake("no product", "doses", Place(TREATMENT, 3, None), ("name",), {"B3": None}),
    Mistake("a total", "doses", Place(TREATMENT, 5, None), ("date",), {"A5": "total", "C5": 3e8}),
    Mistake("a dose twice", "doses", Place(TREATMENT, 3, "C"), ("delete",), {"A3": "2023-02-02"}),
    Mistake("unknown source", "doses", Place(TREATMENT, 3, "D"), ("write",), {"D3": "brother"}),
    Mistake("two units of a product", "doses", Place(TREATMENT, 3, "C"), ("unit",), {"C3": "5 mg"}),
    Mistake(
        "mg per kg without weight",
        "doses",
        Place(TREATMENT, 2, "C"),
        ("weight",),
        {"C1": "dose (mg/kg)", **{f"C{r}": 5 for r in (2, 3, 4)}},
    ),
    Mistake(
        "a misspelt unit of dose",
        "doses",
        Place(TREATMENT, 2, "C"),
        ("mg",),
        {"C1": "dose (mgs)", **{f"C{r}": 5 for r in (2, 3, 4)}},
    ),
    Mistake("year of a dose", "doses", Place(TREATMENT, 4, "C"), ("date", "year"), {"A4": "2032-03-30"}),
    Mistake(
        "ambiguous dose date",
        "doses",
        Place(TREATMENT, 2, "A"),
        ("2023-",),
        {"A2": "02/03/2023", "A3": "03/04/2023", "A4": "04/05/2023"},
    ),
    Mistake("cells misspelt", "doses", Place(TREATMENT, 1, "C"), ("cells",), {"C1": "cels"}),
    Mistake(
        "duration without unit",
        "doses",
        Place(TREATMENT, 1, "D"),
        ("duration (h)",),
        {"D1": "duration", "D2": 1, "D3": 1, "D4": 1},
    ),
]

MORE_IN_FOLDER = [
    Mistake(
        "limits exchanged in a table",
        "observables.tsv",
        Place("observables.tsv", 2, "referenceLower"),
        ("exchange",),
        {(2, "referenceLower"): "400", (2, "referenceUpper"): "150"},
    ),
    Mistake(
        "a parameter twice",
        "parameters.tsv",
        Place("parameters.tsv", 4, "parameterId"),
        ("remove",),
        {(4, "parameterId"): "V_c"},
    ),
    Mistake(
        "a value twice",
        "measurements.tsv",
        Place("measurements.tsv", 3, "observableId"),
        ("remove",),
        {(3, c): v for c, v in (("time", "-3"), ("measurement", "29"), ("visitId", "before"))},
    ),
    Mistake(
        "yes for true",
        "parameters.tsv",
        Place("parameters.tsv", 2, "estimate"),
        ("true",),
        {(2, "estimate"): "yes"},
    ),
    Mistake(
        "another day than the visit",
        "measurements.tsv",
        Place("measurements.tsv", 3, "time"),
        ("correct", "one day"),
        {(3, "time"): "28"},
    ),
    Mistake(
        "an unknown experiment",
        "measurements.tsv",
        Place("measurements.tsv", 3, "experimentId"),
        ("timeline",),
        {(3, "experimentId"): "timelin"},
    ),
    Mistake(
        "no unit of a value",
        "measurements.tsv",
        Place("measurements.tsv", 3, "unit"),
        ("fill",),
        {(3, "unit"): ""},
    ),
    Mistake(
        "a limit in a value",
        "measurements.tsv",
        Place("measurements.tsv", 3, "measurement"),
        ("extended.tsv",),
        {(3, "measurement"): "<5"},
    ),
    Mistake(
        "a noise of zero",
        "observables.tsv",
        Place("observables.tsv", 2, "noiseFormula"),
        ("standard deviation",),
        {(2, "noiseFormula"): "0"},
    ),
    Mistake(
        "a noise in per cent",
        "observables.tsv",
        Place("observables.tsv", 2, "noiseFormula"),
        ("relative", "logarithm"),
        {(2, "noiseFormula"): "15"},
    ),
    Mistake(
        "an unknown quantity",
        "observables.tsv",
        Place("observables.tsv", 2, "observableFormula"),
        ("did you mean", "known"),
        {(2, "observableFormula"): "PP"},
    ),
    Mistake(
        "an unknown quantity in its column",
        "observables.tsv",
        Place("observables.tsv", 3, "quantity"),
        ("Hb",),
        {(3, "quantity"): "Hbb"},
    ),
    Mistake(
        "another unit than the model",
        "observables.tsv",
        Place("observables.tsv", 3, "unit"),
        ("multiply",),
        {(3, "unit"): "g/L"},
    ),
    Mistake(
        "a state misspelt",
        "products.tsv",
        Place("products.tsv", 3, "state"),
        ("bag",),
        {(3, "state"): "bagg"},
    ),
    Mistake(
        "a source misspelt",
        "products.tsv",
        Place("products.tsv", 3, "source"),
        ("autologous",),
        {(3, "source"): "autologus"},
    ),
    Mistake(
        "another total than given",
        "products.tsv",
        Place("products.tsv", 3, "cells"),
        ("dose", "total"),
        {(3, "cells"): "3e8"},
    ),
    Mistake(
        "another number than given",
        "products.tsv",
        Place("products.tsv", 3, "infusions"),
        ("lost",),
        {(3, "infusions"): "3"},
    ),
    Mistake(
        "a negative dose in a condition",
        "conditions.tsv",
        Place("conditions.tsv", 4, "targetValue"),
        ("+ 100",),
        {(4, "targetValue"): "bag - 100"},
    ),
    Mistake(
        "a condition without a sum",
        "conditions.tsv",
        Place("conditions.tsv", 4, "targetValue"),
        ("+ 50",),
        {(4, "targetValue"): "100"},
    ),
    Mistake(
        "an unknown target",
        "conditions.tsv",
        Place("conditions.tsv", 4, "targetId"),
        ("known", "did you mean"),
        {(4, "targetId"): "bagg", (4, "targetValue"): "bagg + 100"},
    ),
    Mistake(
        "a dose a thousandth",
        "experiments.tsv",
        Place("experiments.tsv", 11, "cells"),
        ("correct",),
        {(11, "cells"): "100000"},
    ),
    Mistake(
        "a dose without end",
        "experiments.tsv",
        Place("experiments.tsv", 9, "conditionId"),
        ("lost", "ends"),
        {(10, "conditionId"): ""},
    ),
    Mistake(
        "a grade above its scale",
        "extended.tsv",
        Place("extended.tsv", 6, "upper"),
        ("cut-point",),
        {(6, "upper"): "3"},
    ),
    Mistake(
        "grades exchanged",
        "extended.tsv",
        Place("extended.tsv", 7, "lower"),
        ("exchange",),
        {(7, "lower"): "2", (7, "upper"): "1"},
    ),
    Mistake(
        "an unknown cut-point",
        "extended.tsv",
        Place("extended.tsv", 6, "cutPoints"),
        ("bleed_cut",),
        {(k, "cutPoints"): "bleed_cutt;bleed_cutt + bleed_gap" for k in (6, 7, 8, 9)},
    ),
    Mistake(
        "a wrong kind",
        "extended.tsv",
        Place("extended.tsv", 2, "kind"),
        ("censored",),
        {(2, "kind"): "censord"},
    ),
    Mistake(
        "an unknown group",
        "groups.tsv",
        Place("groups.tsv", 2, "group"),
        ("antibody",),
        {(2, "group"): "antibodies"},
    ),
    Mistake(
        "an unknown role",
        "groups.tsv",
        Place("groups.tsv", 2, "role"),
        ("persistence",),
        {(2, "role"): "persistance"},
    ),
    Mistake(
        "an unknown quantity to show",
        "quantities.tsv",
        Place("quantities.tsv", 2, "quantityId"),
        ("conc",),
        {(2, "quantityId"): "concc"},
    ),
    Mistake(
        "an unknown panel",
        "outcomes.tsv",
        Place("outcomes.tsv", 4, "quantity"),
        ("blood",),
        {(4, "quantity"): "blod"},
    ),
    Mistake("no level", "outcomes.tsv", Place("outcomes.tsv", 2, "level"), ("level",), {(2, "level"): ""}),
    Mistake(
        "a variant nobody has",
        "variants.tsv",
        Place("variants.tsv", 3, "variantId"),
        ("antibody_only",),
        {(3, "variantId"): "antibody_onl"},
    ),
    Mistake(
        "two defaults",
        "variants.tsv",
        Place("variants.tsv", None, "default"),
        ("false",),
        {(3, "default"): "true"},
    ),
    Mistake(
        "a fixed value that is no number",
        "model_space.tsv",
        Place("model_space.tsv", 3, "e"),
        ("write",),
        {(3, "e"): "2,0"},
    ),
    Mistake(
        "a uniform prior turned round",
        "parameters_extended.tsv",
        Place("parameters_extended.tsv", 2, "priorParameters"),
        ("first",),
        {(2, "priorParameters"): "91;77"},
    ),
    Mistake(
        "a median for a logarithm",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorParameters"),
        ("logarithm",),
        {(2, "priorParameters"): "0.24;0.3"},
    ),
    Mistake(
        "a comma between prior numbers",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorParameters"),
        ("semicolon",),
        {(2, "priorParameters"): "-1.427,0.3"},
    ),
    Mistake(
        "no prior",
        "parameters.tsv",
        Place("parameters.tsv", 2, "priorDistribution"),
        ("estimate",),
        {(2, "priorDistribution"): ""},
    ),
    Mistake(
        "exchanged bounds",
        "parameters.tsv",
        Place("parameters.tsv", 2, "upperBound"),
        ("upper",),
        {(2, "lowerBound"): "10", (2, "upperBound"): "1"},
    ),
    Mistake(
        "a parameter misses",
        "parameters.tsv",
        Place("parameters.tsv", None, "parameterId"),
        ("add a row",),
        {(4, "parameterId"): "V_pp"},
    ),
    Mistake(
        "limits of a sample tenfold",
        "measurements.tsv",
        Place("measurements.tsv", 7, "measurement"),
        ("decimal",),
        {(7, "measurement"): "127"},
    ),
    Mistake(
        "a window without its day",
        "visits.tsv",
        Place("visits.tsv", 2, "earliest"),
        ("day_before",),
        {(2, "earliest"): "-10"},
    ),
    Mistake(
        "a visit renamed",
        "visits.tsv",
        Place("measurements.tsv", 3, "visitId"),
        ("known",),
        {(3, "visitId"): "four"},
    ),
    Mistake(
        "an optional table is deleted",
        "extended.tsv",
        Place("extended.tsv", None, None),
        ("restore",),
        done=("delete",),
    ),
]
