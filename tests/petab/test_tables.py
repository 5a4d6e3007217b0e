"""Tables of a case and of doses: a row is read, refused with its place, or said to be missing; never lost."""

import csv
import io
import math
import re
import warnings
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from small_cases import tiny_case

from cellsim.case.case import load_case
from cellsim.cli.commands import main
from cellsim.delimited import file_text, read_number, read_table_text
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError
from cellsim.likelihood.formulation import objective_of
from cellsim.predictions.plan_tables import plans_from_table


def decay():
    """Four values of two analytes, three infusions, two priors."""
    return tiny_case(
        "bag = 0; bag' = -0.2*bag; x = 1; x' = k*bag - 0.1*x; k = 1",
        {"y": "A*x", "z": ("x + A", 0.2, "normal")},
        [("y", 1.0, 1.5), ("y", 10.0, 2.5), ("z", 10.0, 3.1), ("y", 20.0, 3.5)],
        {"k": ("log-normal", 0.0, 0.75), "A": ("log-normal", 0.0, 1.0)},
        doses=[(2.0, "bag", 50.0), (9.0, "bag", 50.0), (16.0, "bag", 50.0)],
    )


@cache
def published():
    return load_case("sjogren_rfib")


def refusals(make) -> list[str]:
    with pytest.raises(CellsimError) as caught:
        make()
    return [str(each) for each in caught.value.problems]


# ---------------------------------------------------------------- text as a table


@given(
    st.lists(
        st.lists(st.text(st.sampled_from("ab1 \"'#;é")), min_size=3, max_size=3), min_size=1, max_size=6
    ),
    st.sampled_from("\t,;"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
@settings(max_examples=60)
def test_what_csv_writes_is_read_as_csv_reads_it(rows, separator, line_end, bom):
    """Witness: Python's csv module, which writes quotes where they are needed."""
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=line_end).writerows([["p", "q", "r"], *rows])
    text = "\ufeff" * bom + out.getvalue()
    theirs = list(csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=separator))[1:]
    ours = read_table_text(text, separator)
    assert ours.complaints == ()
    assert [list(cells.values()) for _, cells in ours.rows] == [
        row for row in theirs if any(cell.strip() for cell in row)
    ]


@pytest.mark.parametrize(
    ("text", "row", "said"),
    [
        ('a\tb\n1\t"x\n2\ty\n3\tz\n', 2, "never closes"),
        ('a\tb\n1\t"x\n2\ty\n3\tz"\n', 2, "closes 2 rows below"),
        ('a\tb\n\n1\tx\n2\t"y\n3\tz"\n', 4, "closes 1 row below"),
        ('a\tb\n"1\tx\n2"\ty\n', 2, "closes 1 row below"),
        ('a\tb\n1\t"x" mg\n', 2, "after the quote"),
        ("a\tb\n1\tx\ty\n", 2, "3 cells under 2 columns"),
        ("a\tb\n1\tx\0\n", 2, "NUL"),
        ("a\ta\n1\tx\n", 1, "two columns are called 'a'"),
        ("a\t\n1\tx\n", 2, "'x' stands under no name"),
    ],
)
def test_what_would_lose_a_row_is_told_with_its_place(text, row, said):
    found = read_table_text(text, "\t").complaints
    assert [(place, said in what) for place, what, _ in found] == [(row, True)], found


def test_the_rows_around_an_open_quote_are_still_read():
    """So that everything else that is wrong is told too; witness: the rows as written."""
    table = read_table_text('a\tb\n1\t"x\n2\ty\n3\tz\n', "\t")
    assert [row for row, _ in table.rows] == [2, 3, 4]


def test_a_short_row_is_refused_where_no_editor_drops_the_separator():
    assert read_table_text("a,b\n1\n", ",").complaints[0][0] == 2
    assert read_table_text("a\tb\n1\n", "\t").rows == ((2, {"a": "1", "b": ""}),)


def test_a_remark_of_two_lines_is_one_cell():
    table = read_table_text('a,b\n1,"first\nsecond"\n2,x\n', ",")
    assert (table.complaints, table.rows) == (
        (),
        ((2, {"a": "1", "b": "first\nsecond"}), (4, {"a": "2", "b": "x"})),
    )


@pytest.mark.parametrize(
    "text",
    ["1_000", "1,5", "1 000", "1\u00a0000", "\u22125", "２", "٣", "0x10", "12.5 mg", "1e400", "-1e400", "1e-400", "1.2.3", "", ".", "1e", "½"],
)  # fmt: skip
def test_what_python_takes_for_a_number_and_nobody_else_is_refused(text):
    with pytest.raises(ValueError, match="number"):
        read_number(text)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9))
@settings(max_examples=60)
def test_a_number_is_the_one_python_writes(value):
    """Witness: repr, which is exact."""
    assert read_number(f" {value!r}\u00a0") == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a\tb\n1\t2\n".encode("utf-16"), "UTF-16"),
        ("a\tb\n1\t2\n".encode("utf-16-le") * 60, "UTF-16"),
        ("a\tb\n".encode("utf-16-be"), "UTF-16"),
        ("a\tb\n1\t2\n".encode("utf-32"), "UTF-32"),
        ("a\tb\n1\t2\n".encode("utf-32-le"), "UTF-32"),
        ("a\tb\n1\t2\n".encode("utf-32-be") * 60, "UTF-32"),
        ("a\tb\n1\tµg\n".encode("cp1252"), "row 2 stands the byte 0xb5, 'µ'"),
    ],
)
def test_another_encoding_is_refused_with_its_row(tmp_path, data, said):
    (tmp_path / "t.tsv").write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(said)):
        file_text(tmp_path / "t.tsv")


# ---------------------------------------------------------------- a case


def test_an_open_quote_in_a_case_names_file_and_row():
    files = decay().files
    for file in ("measurements.tsv", "experiments.tsv", "parameters.tsv"):
        lines = files[file].rstrip("\n").split("\n")
        lines = [f"{line}\t{mark}" for line, mark in zip(lines, ["note", '"open', *["x"] * len(lines)])]
        found = refusals(lambda: load_case({**files, file: "\n".join(lines)}))  # noqa: B023
        assert any(each.startswith(f"{file}, row 2: a quote opens here") for each in found), found


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-32"])
@pytest.mark.parametrize("file", ["measurements.tsv", "experiments.tsv", "products.tsv", "problem.yaml"])
def test_a_file_that_cannot_be_read_is_not_said_to_be_missing(tmp_path, file, encoding):
    """Witness: the file is there; nothing else is wrong with the case."""
    for name, text in decay().files.items():
        begin = "# é\n" if name == file and encoding == "cp1252" else ""
        (tmp_path / name).write_bytes((begin + text).encode(encoding if name == file else "utf-8"))
    said = [each for each in refusals(lambda: load_case(tmp_path)) if each.startswith(file)]
    assert len(said) == 1 and "save it as UTF-8" in said[0], said


def shuffled(text: str) -> str:
    """Rows and columns the other way round."""
    lines = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    return "".join("\t".join(line[::-1]) + "\n" for line in [lines[0], *lines[:0:-1]])


HARMLESS = {
    "rows and columns": shuffled,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "old Mac": lambda text: text.replace("\n", "\r"),
    "BOM": lambda text: "\ufeff" + text,
    "trailing blanks": lambda text: text.replace("\n", " \n"),
    "trailing tabs": lambda text: text.replace("\n", "\t\t\n"),
    "no trailing blanks": lambda text: "".join(line.rstrip() + "\n" for line in text.split("\n")),
    "blank lines": lambda text: text.replace("\n", "\n\n  \n"),
    "an extra column": lambda text: text.replace("\n", "\tmine\n", 1).replace("\n", "\t1\n")[:-3] + "\n",
    "quotes": lambda text: "".join("\t".join(f'"{c}"' for c in line.split("\t")) + "\n" for line in text.rstrip("\n").split("\n")),
}  # fmt: skip


@pytest.mark.parametrize("edit", HARMLESS)
def test_a_harmless_edit_draws_no_doubt_and_changes_no_posterior(edit):
    """Witness: the case as it was written, at several points, to 1e-10."""
    case = decay()
    files = {
        name: HARMLESS[edit](text) if name.endswith(".tsv") and text.count("\n") > 1 else text
        for name, text in case.files.items()
    }
    again = load_case(files)
    assert again.check() == case.check() == ()
    assert len(again.rows) == 4 and again.timeline == case.timeline
    one, other = objective_of(case), objective_of(again)
    for k, a in ((0.1, 1.0), (0.3, 0.5)):
        values = [each.evaluate(each.theta({"k": k, "A": a}), rtol=1e-9).objective for each in (one, other)]
        assert values[0] == pytest.approx(values[1], rel=1e-10)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("measurements.tsv", "\t1.5\t", "\tNA\t", "row 2, column measurement: no measurement"),
        (
            "measurements.tsv",
            "\t1.5\t",
            "\t1_5\t",
            "row 2, column measurement: measurement '1_5' is not a number",
        ),
        ("measurements.tsv", "\t1.5\t", "\t\u22121.5\t", "MINUS SIGN"),
        (
            "measurements.tsv",
            "\t1.5\t",
            "\t1e400\t",
            "row 2, column measurement: measurement 1e400 is not a finite number",
        ),
        ("conditions.tsv", "bag + 50.0", "bag + 5_0", "neither a dose nor a rate"),
        ("parameters.tsv", "0.0;0.75", "0_0;0.75", "takes 2 finite numbers"),
    ],
)
def test_a_cell_that_is_no_number_is_refused(file, old, new, said):
    files = decay().files
    assert old in files[file]
    found = refusals(lambda: load_case({**files, file: files[file].replace(old, new, 1)}))
    assert any(each.startswith(file) and said in each for each in found), found


def test_na_is_missing_where_something_may_be_missing():
    """Witness: the case with empty cells."""
    case = decay()
    text = case.files["parameters.tsv"]
    lines = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    filled = "".join("\t".join(cell or "NA" for cell in line) + "\n" for line in lines)
    assert "NA" in filled
    assert [
        (p.id, p.family, p.lower, p.upper) for p in load_case({**case.files, "parameters.tsv": filled}).priors
    ] == [(p.id, p.family, p.lower, p.upper) for p in case.priors]


@pytest.mark.parametrize("empty", ["", "NA"])
@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("measurements.tsv", "measurement"),
        ("measurements.tsv", "time"),
        ("visits.tsv", "nominal"),
        ("visits.tsv", "latest"),
        ("experiments.tsv", "time"),
        ("extended.tsv", "day"),
        ("extended.tsv", "limit"),
    ],
)
def test_an_empty_cell_is_never_zero(file, column, empty):
    """Witness: the cell that was emptied. Zero would be a value, a day or a limit like any other."""
    files = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("x", 0.2, "normal")},
        [("y", 1.0, 0.4)],
        {"k": ("log-normal", 0.0, 0.5)},
        doses=[(0.5, "x", 1.0)],
        censored=[("y", 3.0, 0.1)],
    ).files
    head, *rows = [line.split("\t") for line in files[file].rstrip("\n").split("\n")]
    rows[-1][head.index(column)] = empty
    text = "".join("\t".join(each) + "\n" for each in [head, *rows])
    with pytest.raises(CellsimError) as caught:
        load_case({**files, file: text})
    assert [each.row for each in caught.value.problems if each.file == file and column in each.what] == [
        len(rows) + 1
    ]


# ---------------------------------------------------------------- rows that laboratories have


def test_negative_values_with_normal_noise_are_scored():
    """Base excess, change from baseline. Witness: the normal density, by scipy."""
    case = tiny_case(
        "x = 3; x' = 0*x; k = 1",
        {"y": ("x - 4 + k", 1.0, "normal")},
        [("y", 1.0, -1.0), ("y", 2.0, 0.0)],
        {"k": ("normal", 0.0, 1.0)},
    )
    objective = objective_of(case)
    for k in (-0.4, 0.7):
        found = objective.evaluate(objective.theta({"k": k}), rtol=1e-9).log_likelihood.sum()
        assert found == pytest.approx(norm.logpdf([-1.0, 0.0], k - 1, 1.0).sum(), rel=1e-9)


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_what_has_no_logarithm_is_refused_with_its_place(value):
    found = refusals(lambda: tiny_case("x = 3; x' = 0*x", {"y": "x"}, [("y", 1.0, value)], {}))
    assert (
        found[0].startswith("measurements.tsv, row 2, column measurement: obs_y = ")
        and "log-normal" in found[0]
    )


def test_two_assays_at_one_visit_are_both_scored():
    """Witness: the normal density of both logarithms, and of one where one is taken away."""
    rows = [("y", 1.0, 2.5), ("y", 1.0, 2.7), ("y", 2.0, 3.0)]
    case = tiny_case("x = 3; x' = 0*x; k = 1", {"y": ("k*x", 0.1)}, rows, {"k": ("log-normal", 0.0, 1.0)})
    objective = objective_of(case)
    assert (len(case.rows), len(objective.terms), case.check()) == (3, 3, ())
    values = np.array([2.5, 2.7, 3.0])
    lost = norm.logpdf(np.log(values), np.log(3 * 0.9), 0.1) - np.log(values)
    found = objective.evaluate(objective.theta({"k": 0.9}), rtol=1e-9).log_likelihood
    assert found == pytest.approx(lost, rel=1e-9)
    assert "2.5, 2.7" in case.audit()


def test_a_row_that_stands_twice_is_refused_unless_it_is_numbered():
    rows = [("y", 1.0, 2.5), ("y", 1.0, 2.5)]
    make = ("x = 3; x' = 0*x; k = 1", {"y": ("k*x", 0.1)}, rows, {"k": ("log-normal", 0.0, 1.0)})
    (said,) = refusals(lambda: tiny_case(*make))
    assert (
        said.startswith("measurements.tsv, row 3, column observableId: value of obs_y at v0 stands already")
        and "replicateId" in said
    )
    one = tiny_case(*make[:2], rows[:1], make[3])
    lines = one.files["measurements.tsv"].rstrip("\n").split("\n")
    text = "\n".join([lines[0] + "\treplicateId", lines[1] + "\t1", lines[1] + "\t2"])
    assert len(load_case({**one.files, "measurements.tsv": text}).rows) == 2


# ---------------------------------------------------------------- tables of doses


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "doses.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("column", ["date", "day"])
def test_the_number_of_a_spreadsheet_day_is_refused_alike_in_files_and_frames(tmp_path, column):
    """45296 is 2024-01-05 in Excel; witness: pandas' reading of the serial."""
    meant = str((pd.Timestamp("1899-12-30") + pd.Timedelta(days=45296)).date())
    path = table(tmp_path, f"{column},cells\n45296,5e7\n45303,5e7\n")
    frame = pd.DataFrame({column: [45296, 45303], "cells": [5e7, 5e7]})
    told = []
    for source in (path, frame, frame.to_dict("records")):
        found = refusals(lambda: Schedule.from_table(source, product="rfib", day_zero="2024-01-05"))  # noqa: B023
        told.append([re.sub(r"^.*?row \d+: ", "", each) for each in found])
        assert len(found) == 2 and meant in found[0]
    assert column == "day" or told[1] == told[2]
    assert refusals(lambda: Schedule.at([45296], cells=1.0, product="rfib"))


@pytest.mark.parametrize("written", ["03/04/2024", "3.4.2024", "20240403", "2024-4-3", "04-Mar-24"])
def test_a_date_that_may_be_two_is_refused(tmp_path, written):
    path = table(tmp_path, f"date,cells\n{written},5e7\n")
    (said,) = refusals(lambda: Schedule.from_table(path, product="rfib", day_zero="2024-01-05"))
    assert "row 2" in said and "date" in said


def nonmem(rows, **options):
    return Schedule.from_table(rows, product="rfib", amount_unit="Mcell", **options)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("C,TIME,AMT\n.,0,50\nC,7,50\n,14,50\n", [0, 14]),
        ("TIME,AMT\n0,50\n##7,50\n14,50\n", [0, 14]),
        ("TIME,AMT\n0,50\n# from the chart, page three\n14,50\n", [0, 14]),
        ("TIME,AMT\n0,50\n.,.\nNA,n/a\n14,50\n", [0, 14]),
        ("TIME,AMT,RATE,DUR\n0,50,-,NULL\n", [0]),
        ("# made by hand\nTIME,AMT\n0,50\n", [0]),
        ("TIME,AMT,II,ADDL\n0,50,7,2\n", [0, 7, 14]),
        ("TIME,AMT,II,ADDL\n0,50,7,0\n", [0]),
        ("TIME,AMT,II,ADDL\n0,50,.,.\n", [0]),
        ("TIME,AMT,DV,MDV\n0,50,.,1\n1,.,3.2,0\n2,.,.,1\n", [0]),
        ("TIME,AMT,RATE,DUR\n0,50,NA,NA\n", [0]),
    ],
)
def test_what_nonmem_gives_is_given(tmp_path, text, days):
    """Witness: the doses by hand."""
    path = table(tmp_path, text)
    assert [each.day for each in nonmem(path)] == days
    if "#" not in text:
        frame = pd.read_csv(path, na_values=["."])
        assert [each.day for each in nonmem(frame)] == days


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TIME,AMT,II\n0,50,7\n", "row 2: II 7 without ADDL"),
        ("TIME,AMT,II,ADDL\n0,50,7,.\n", "row 2: II 7 without ADDL"),
        ("TIME,AMT,ADDL\n0,50,3\n", "row 2: ADDL 3 needs"),
        ("TIME,AMT\n0,50\n7,NA\n", "row 3: amt is empty"),
        ("TIME,AMT\nNA,50\n", "row 2: neither day nor date"),
        ("TIME,AMT,DV\n0,50,.\n7,.,.\n", "row 3: neither amt nor DV"),
        ("TIME,AMT,MDV\n0,50,0\n", "row 2: MDV 0"),
        ("TIME,AMT\n0,-50\n", "row 2: cells -5e+07"),
        ("TIME,AMT,EVID\n0,50,3\n", "row 2: EVID 3"),
        ("TIME,AMT,RATE\n0,50,-1\n", "row 2: RATE -1"),
        ("C,TIME,AMT\n.,0,50\nC,7,50\nx,14,50\n", "row 4: C 'x'"),
        ("C,TIME,AMT\nC,7,50\n", "every row is left out"),
        ('TIME,AMT,label\n0,50,"a\n7,50,b\n', "row 2: a quote opens here"),
        ('TIME,AMT,label\n0,50,"a\n7,50,b"\n', "row 2: a quote opens here"),
        ("TIME,AMT\n0,5_0\n", "row 2: amt '5_0'"),
        ("TIME,AMT\n\u22127,50\n", "MINUS SIGN"),
        ("TIME;AMT\n0;50,5\n", "row 2: amt '50,5'"),
        ("TIME,AMT\n0,50\n#7,50\n14,50\n", "row 3: the line begins with '#'"),
        ("TIME,AMT\n0,-\n", "row 2: amt is empty"),
        ("TABLE NO.  1\n TIME AMT\n 0.0E+00 5.0E+01\n", "NOTITLE"),
        ("TIME AMT\n0 50\n", "'TIME AMT' has blanks between its names; commas, tabs"),
        ("TIME,AMT,DUR\n0,50\n", "row 2: 2 cells under 3 columns"),
        ("TIME,AMT\n0,1e400\n", "row 2: amt 1e400"),
    ],
)
def test_what_nonmem_would_do_otherwise_is_refused_by_row(tmp_path, text, said):
    found = refusals(lambda: nonmem(table(tmp_path, text)))
    assert any(said in each for each in found), found


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_row_whose_first_cell_begins_with_a_hash_is_no_comment(tmp_path, separator):
    """Witness: the three doses as written; in quotes they are read, without them two are asked about by row."""
    text = "label,day,cells\n#1,0,5e7\n#2,7,5e7\nthird,14,5e7\n".replace(",", separator)
    found = refusals(lambda: Schedule.from_table(table(tmp_path, text), product="rfib"))
    assert [f"row {row}" in said for row, said in zip((2, 3), found)] == [True, True] and len(found) == 2
    quoted = text.replace("#1", '"#1"').replace("#2", '"#2"')
    doses = Schedule.from_table(table(tmp_path, quoted), product="rfib")
    assert [(each.label, each.day) for each in doses] == [("#1", 0), ("#2", 7), ("third", 14)]
    plans = "plan,day,cells,product\n#a,2024-01-05,5e7,rfib\nb,0,5e7,rfib\n".replace(",", separator)
    found = refusals(lambda: plans_from_table(table(tmp_path, plans), published()))
    assert any("row 2: the line begins with '#'" in each for each in found)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nday;cells;label\n0;5e7;a\n",
        '"sep=,"\r\nday,cells,label\r\n0,5e7,a\r\n',
        "SEP=|\nday|cells|label\n0|5e7|a\n",
        'day,cells,"label"\t\n0,5e7,a\n',
        "day,cells,label\t\n0,5e7,a\n",
        'day;cells;label;"dose, remark; more"\n0;5e7;a;x\n',
        'day,cells,label,"dose; remark; more; more"\n0,5e7,a,x\n',
        'day\tcells\tlabel\t"a, b, c, d; e"\n0\t5e7\ta\tx\n',
    ],
)
def test_the_separator_is_what_separates(tmp_path, text):
    """Witness: the dose by hand."""
    extra = [
        each for each in ("dose, remark; more", "dose; remark; more; more", "a, b, c, d; e") if each in text
    ]
    doses = Schedule.from_table(table(tmp_path, text), product="rfib", ignore=tuple(extra))
    assert [(each.day, each.cells, each.label) for each in doses] == [(0.0, 5e7, "a")]


def test_lines_are_counted_with_the_one_that_names_the_separator(tmp_path):
    (said,) = refusals(
        lambda: Schedule.from_table(table(tmp_path, "sep=;\nday;cells\n0;x\n"), product="rfib")
    )
    assert "row 3: cells 'x'" in said


def test_twin_columns_are_refused_without_a_warning_of_pandas():
    frame = pd.DataFrame([[0.0, 5e7, 6e7]], columns=["day", "cells", "cells"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (said,) = refusals(lambda: Schedule.from_table(frame, product="rfib"))
    assert "column cells stands there twice" in said


@pytest.mark.parametrize(
    "dates",
    [
        np.array(["2024-01-05", "2024-01-12"], dtype="datetime64[D]"),
        np.array(["2024-01-05", "2024-01-12"], dtype="datetime64[ns]"),
        list(pd.to_datetime(["2024-01-05", "2024-01-12"])),
        [pd.Period("2024-01-05", "D"), pd.Period("2024-01-12", "D")],
    ],
)
def test_dates_of_numpy_and_pandas_are_dates(dates):
    """Witness: the same dates as text."""
    text = Schedule.at(["2024-01-05", "2024-01-12"], cells=5e7, product="rfib", day_zero="2024-01-05")
    assert Schedule.at(dates, cells=5e7, product="rfib", day_zero=dates[0]) == text
    rows = [{"date": each, "cells": 5e7} for each in dates]
    for source in (rows, pd.DataFrame({"date": dates, "cells": 5e7})):
        assert Schedule.from_table(source, product="rfib", day_zero="2024-01-05") == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.datetime64("2024-01"), "does not say which day"),
        (pd.Period("2024-01", "M"), "from 2024-01-01 to 2024-01-31"),
        (Decimal("45296"), "2024-01-05"),
        (("2024", 1), "write it as 2023-10-06"),
    ],
)
def test_what_is_no_single_date_is_refused_with_what_to_write(value, said):
    rows = [{"date": value, "cells": 5e7}]
    (found,) = refusals(lambda: Schedule.from_table(rows, product="rfib", day_zero="2024-01-05"))
    assert said in found


def test_decimals_are_numbers():
    """Witness: the same numbers as floats."""
    rows = [{"day": Decimal("7.5"), "cells": Decimal("5e7"), "duration": Decimal("0.25")}]
    floats = [{name: float(each) for name, each in rows[0].items()}]
    assert Schedule.from_table(rows, product="rfib") == Schedule.from_table(floats, product="rfib")


@pytest.mark.parametrize(
    "blank", [None, float("nan"), pd.NA, pd.NaT, "NA", "n/a", "NULL", "None", "-", "#N/A", " "]
)
def test_blank_rows_and_labels_of_frames_are_blank(blank):
    """Witness: the frame without them. A dose may be labelled by any word, also one that is no number."""
    word = blank.strip() if isinstance(blank, str) else ""
    full = pd.DataFrame({"day": [0, 7], "cells": [5e7, 5e7], "label": [word, "b"]}, dtype=object)
    frame = pd.DataFrame(
        {"day": [0, 7, blank, blank], "cells": [5e7, 5e7, blank, blank], "label": [blank, "b", blank, blank]},
        dtype=object,
    )
    given = Schedule.from_table(full, product="rfib")
    for source in (frame, frame.to_dict("records")):
        assert Schedule.from_table(source, product="rfib") == given
    assert [each.label for each in given] == [word, "b"]


def test_commented_rows_stay_comments_when_the_column_is_set_aside(tmp_path):
    path = table(tmp_path, "C,TIME,AMT\n.,0,50\nC,7,50\n")
    assert nonmem(path, ignore=("C",)).count == nonmem(path).count == 1


def test_missing_values_of_pandas_are_missing():
    frame = pd.DataFrame({"TIME": [0, 1], "AMT": [50, 50], "RATE": pd.array([None, 25], dtype="Int64")})
    assert [each.duration for each in nonmem(frame)] == [0.0, 2.0]


def test_a_table_of_plans_loses_no_row_and_takes_an_amount_unit(tmp_path):
    case = published()
    text = "plan,TIME,AMT,product,II,ADDL\na,0,50,rfib,7,2\nb,0,50,rfib,.,.\n"
    plans = plans_from_table(table(tmp_path, text), case, amount_unit="Mcell")
    assert {name: plan.total() for name, plan in plans.items()} == {"a": 1.5e8, "b": 5e7}
    nameless = "plan,day,cells,product\na,0,5e7,rfib\nNA,7,5e7,rfib\nNA,NA,NA,NA\n"
    found = refusals(lambda: plans_from_table(table(tmp_path, nameless), case))
    assert len(found) == 1 and "row 3: no plan is named" in found[0]
    broken = 'plan,day,cells,product\n"a,0,5e7,rfib\nb,0,5e7,rfib\n,1,5e7,rfib\n'
    found = refusals(lambda: plans_from_table(table(tmp_path, broken), case))
    assert any("row 2: a quote opens" in each for each in found)
    assert any("row 4: no plan" in each for each in found)


def test_the_command_line_takes_an_amount_unit(tmp_path, capsys):
    """Witness: the same doses in cells."""
    told = []
    for text, options in (
        ("TIME,AMT\n0,50\n24,50\n", ["--amount-unit", "Mcell", "--time-unit", "hour"]),
        ("day,cells\n0,5e7\n1,5e7\n", []),
    ):
        words = [
            "simulate",
            "persistence",
            "--schedule",
            str(table(tmp_path, text)),
            "--product",
            "infusate_auto",
        ]
        assert main([*words, *options, "--until", "3", "--outputs", "viable_auto"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and math.isfinite(float(told[0].split()[-1].split(",")[-1]))
    assert main(["simulate", "persistence", "--schedule", str(table(tmp_path, "TIME,AMT\n0,5\n"))]) == 1
    assert "amount_unit" in capsys.readouterr().err


def test_units_that_mean_the_same_are_the_same():
    """Witness: the case in one spelling; a unit a thousand times off is refused with its factor."""
    case = decay()
    observables = case.files["observables.tsv"].replace("\ty\t1\n", "\ty\t1e9/L\n")
    for unit, wrong in (("10*9/L", False), ("G/l", False), ("10*6/L", True)):
        rows = [
            line.removesuffix("1") + unit if line.startswith("obs_y") else line
            for line in case.files["measurements.tsv"].rstrip("\n").split("\n")
        ]
        files = {**case.files, "observables.tsv": observables, "measurements.tsv": "\n".join(rows)}
        if wrong:
            assert "Multiply the value by 0.001" in refusals(lambda: load_case(files))[0]  # noqa: B023
        else:
            assert len(load_case(files).rows) == 4
