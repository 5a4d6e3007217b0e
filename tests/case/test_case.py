"""The published case against the paper, and what a broken case folder is told."""

import shutil
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cases import tiny_case

from cellsim.case.alternatives import ALTERNATIVES
from cellsim.case.case import load_case
from cellsim.case.files import COMPANIONS
from cellsim.case.records import SCORED
from cellsim.errors import CaseError
from cellsim.library import case_folder
from cellsim.model.model import load_model
from cellsim.petab.tables import TableReader, table_text

CASE = load_case("sjogren_rfib")
MODEL = load_model(CASE.model)
FILES = CASE.files

# every number of the laboratory that the paper's running text repeats, with its sentence
PROSE = (
    ("ESR", "before", 36, "the initial ESR was 36 mm/h before the infusion of rFib"),
    ("ESR", "after4", 31, "decreased to 31 mm/h after four infusions"),
    ("ESR", "after12", 25, "further decreased to 25 mm/h after 12 infusions of rFib"),
    ("RF_A", "before", 305.055, "RF A was 305.055 U/ml"),
    ("RF_A", "after4", 375.829, "RF A increased to 375.829 U/ml"),
    ("RF_A", "after12", 95.402, "RF A decreased to 95.402 U/ml"),
    ("RF_M", "before", 331.472, "RF M was 331.472 U/ml"),
    ("RF_M", "after4", 191.032, "RF M decreased to 191.032 U/ml"),
    ("RF_M", "after12", 179.775, "RF M decreased to 179.775 U/ml"),
    ("IL17A", "before", 199.63, "the level of IL-17a decreased from 199.63"),
    ("IL17A", "after12", 9.76, "to 9.76 pg/ml"),
)


def printed(analyte: str, visit: str) -> float:
    (cell,) = [each for each in CASE.table1 if (each.analyte, each.visit) == (analyte, visit)]
    assert cell.value is not None
    return cell.value


def scored(analyte: str) -> list[float]:
    return [row.value for row in CASE.rows if row.analyte == analyte]


# ---- the paper ------------------------------------------------------------------------------------


def test_ninety_cells_of_which_eighty_two_are_scored():
    assert len(CASE.table1) == 90
    assert len({cell.analyte for cell in CASE.table1}) == 30
    assert [visit.id for visit in CASE.visits] == ["before", "after4", "after12"]
    states = Counter(cell.status for cell in CASE.table1)
    assert states == {
        "printed": 69,
        "confirmed": 11,
        "ocr_corrected": 1,
        "censored": 1,
        "derived": 3,
        "duplicate": 3,
        "missing": 2,
    }
    assert len(CASE.rows) == 81 == sum(states[status] for status in SCORED)
    assert [(row.analyte, row.limit, row.censoring) for row in CASE.censored] == [("CRP", 0.91, "left")]
    assert len(CASE.rows) + len(CASE.censored) == 82
    assert len(CASE.analytes) == 28 == len({row.analyte for row in CASE.rows})


@pytest.mark.parametrize(("analyte", "visit", "value", "quote"), PROSE)
def test_numbers_repeated_in_the_text_agree_and_only_they_are_called_confirmed(analyte, visit, value, quote):
    (row,) = [each for each in CASE.rows if (each.analyte, each.visit) == (analyte, visit)]
    assert row.value == printed(analyte, visit) == value, quote
    assert row.status == "confirmed"


def test_nothing_else_is_called_confirmed():
    assert {(cell.analyte, cell.visit) for cell in CASE.table1 if cell.status == "confirmed"} == {
        (analyte, visit) for analyte, visit, *_ in PROSE
    }


def test_values_are_the_printed_text_except_where_a_doubt_says_why():
    changed = {}
    for cell in CASE.table1:
        if cell.status == "missing":
            assert cell.printed == "-"
        elif cell.printed != f"{cell.printed}".strip("<%") or float(cell.printed) != cell.value:
            changed[cell.analyte, cell.visit] = (cell.printed, cell.value)
            assert cell.doubt
    assert changed == {
        ("CD3CD45", "before"): ("62.80%", 62.80),
        ("CRP", "after4"): ("<091", 0.91),
        ("IgG", "after4"): ("244", 24.4),
    }


def test_corrected_limits_are_doubtful_and_the_printed_text_is_kept():
    corrected = {"IFNa": (8.5, "<85"), "IL17A": (9.31, "<931")}
    for name, (limit, text) in corrected.items():
        assert CASE.analyte(name).upper == limit
        assert CASE.analyte(name).reference_doubt
        assert {cell.printed_reference for cell in CASE.table1 if cell.analyte == name} == {text}
    # "only 0.45 pg/ml [off] the normal range"
    assert printed("IL17A", "after12") - CASE.analyte("IL17A").upper == pytest.approx(0.45)
    assert {each.id for each in CASE.analytes if each.reference_doubt} == set(corrected)


def test_duplicate_and_derived_rows_are_what_they_are_called_and_are_not_scored():
    for visit, ratio in zip(("before", "after4", "after12"), (1.20, 0.97, 1.17)):
        assert printed("CD3CD45", visit) == pytest.approx(printed("CD3", visit) - 0.10, abs=1e-9)
        assert round(printed("CD4", visit) / printed("CD8", visit), 2) == ratio == printed("CD4_CD8", visit)
    assert not {"CD3CD45", "CD4_CD8"} & {row.analyte for row in (*CASE.rows, *CASE.censored)}


def test_lymphocytes_add_up_as_the_science_brief_says():
    sums = [round(sum(printed(each, visit.id) for each in ("CD3", "B", "NK")), 2) for visit in CASE.visits]
    assert sums == [97.70, 98.30, 98.85]


def test_ten_cytokines_are_elevated_before_and_five_of_them_return():
    panel = [each for each in CASE.analytes if each.panel == "cytokines"]
    high = {each.id for each in panel if not each.in_range(printed(each.id, "before"))}
    assert len(panel) == 12 and len(high) == 10
    still = {each.id for each in panel if not each.in_range(printed(each.id, "after12"))}
    # "the other five cytokines (IL-12p70, IL-17a, IL-2, IL-4, IL-6) remained elevated"
    assert still == {"IL12p70", "IL17A", "IL2", "IL4", "IL6"} and still < high


def test_conditional_rows_carry_the_printed_cd3_and_cytokines_their_sample_effect():
    for row in CASE.rows:
        if row.analyte in ("CD4", "CD8"):
            assert [float(each) for each in row.parameters] == [printed("CD3", row.visit)]
        elif CASE.analyte(row.analyte).panel == "cytokines":
            assert row.parameters == (f"sample_effect_{row.visit}",)
        else:
            assert row.parameters == ()


def test_infusions_are_those_of_the_paper():
    first, then = CASE.history, CASE.schedule
    assert (first.count, first.total()) == (10, 5.0e8)  # "5.0 x 10^7 UCMSCs per time, totaling 10 infusions"
    assert (then.count, then.total()) == (12, 7.25e8)
    # "the first four times were administered weekly, while the last eight were scheduled every 4 weeks"
    days = [each.day for each in then]
    assert [b - a for a, b in pairwise(days)] == [7, 7, 7] + [28] * 8
    # "for the initial seven infusions, the number of cells was 5 x 10^7 ... 7.5 x 10^7 for the final five"
    assert [each.cells for each in then] == [5e7] * 7 + [7.5e7] * 5
    assert CASE.day_zero is not None

    def when(day):
        return CASE.day_zero + timedelta(days=day)

    assert when(CASE.start) == date(2021, 3, 19)
    assert (when(first.infusions[0].day).year, when(first.infusions[0].day).month) == (2021, 5)
    assert (when(first.infusions[-1].day).year, when(first.infusions[-1].day).month) == (2022, 11)
    assert date(2023, 10, 1) <= when(0) <= date(2023, 10, 11)
    assert when(days[-1]).replace(day=1) == date(2024, 6, 1)
    assert CASE.timeline == first + then


def test_visits_lie_in_windows_that_the_infusions_allow():
    given_ = [each.day for each in CASE.schedule]
    windows = [(each.earliest, each.nominal, each.latest) for each in CASE.visits]
    assert windows == [(-60, -1, 0), (21, 35, 49), (245, 259, 365)]
    assert windows[1][0] == given_[3] and windows[1][2] == given_[4] and windows[2][0] == given_[11]
    for row in CASE.rows:
        assert row.day == next(visit.nominal for visit in CASE.visits if visit.id == row.visit)


def test_purpura_is_graded_at_the_ten_photographs():
    assert CASE.day_zero is not None
    purpura = [each for each in CASE.grades if each.observable == "purpura"]
    photographs = [each for each in purpura if each.scored]
    assert len(photographs) == 10
    assert [f"Figure 3{letter}" in each.source for each, letter in zip(photographs, "ABCDEFGHIJ")] == [
        True
    ] * 10
    assert [(each.lower, each.upper) for each in photographs] == [(3, 3)] + [(2, 3)] * 6 + [
        (1, 2),
        (1, 1),
        (0, 0),
    ]
    dated = {
        "19 Mar 2021": date(2021, 3, 19),
        "22 Jul 2021": date(2021, 7, 22),
        "6 May 2023": date(2023, 5, 6),
        "30 Aug 2023": date(2023, 8, 30),
        "1 Nov 2023": date(2023, 11, 1),
    }
    assert {
        each.calendar: CASE.day_zero + timedelta(days=each.day)
        for each in photographs
        if each.calendar in dated
    } == dated
    assert all(each.day < CASE.start for each in purpura if not each.scored)
    assert not any(each.scored for each in CASE.grades if each.observable in ("dryness", "fatigue"))


def test_every_doubt_is_said_and_nothing_is_wrong():
    problems = CASE.check()
    assert {problem.severity for problem in problems} == {"doubt"}
    said = "\n".join(map(str, problems))
    for words in ("IFN-α: the reference limit is doubtful", "IgG after4: printed 244", "printed <091",
                  "derived: 28.60 / 23.90", "CD3 minus 0.10", "none of the ten days is printed",
                  "after three infusions", "precedes the first rFib infusion"):  # fmt: skip
        assert words in said


def test_the_audit_reads_as_a_page():
    page = CASE.audit()
    assert page.startswith(
        "Case sjogren_rfib: 28 analytes, 3 visits, 82 scored laboratory values, 22 infusions"
    )
    assert max(map(len, page.splitlines())) <= 110
    for words in ("90 cells, 30 rows at 3 visits", "81 as numbers, 1 as limits", "C3 at after12: missing",
                  "10 infusions, 5.0e8 cells", "12 infusions, 7.25e8 cells", "<0.91", "Doubts"):  # fmt: skip
        assert words in " ".join(page.split())


# ---- reading --------------------------------------------------------------------------------------


def test_a_case_comes_back_from_its_own_texts():
    again = load_case(FILES)
    assert again == CASE and hash(again) == hash(CASE)
    assert again.model == CASE.model == "sjogren_rfib"
    assert again.rows == CASE.rows and again.timeline == CASE.timeline and again.priors == CASE.priors
    assert load_case(CASE) is CASE


def test_spreadsheet_habits_are_forgiven():
    """Windows line ends, a byte order mark and blank lines at the end change nothing."""
    texts = dict(FILES)
    for name in ("measurements.tsv", "experiments.tsv", "visits.tsv"):
        texts[name] = "\ufeff" + texts[name].replace("\n", "\r\n") + "\r\n\r\n"
    assert load_case(texts, model=MODEL).rows == CASE.rows


def test_a_folder_and_its_problem_file_are_the_same_case(tmp_path):
    copied = shutil.copytree(case_folder("sjogren_rfib"), tmp_path / "mine")
    case = load_case(copied)
    assert case.rows == CASE.rows == load_case(copied / "problem.yaml").rows
    assert case.model == "sjogren_rfib"
    # away from home the model's path leads nowhere; the shipped one is used, and that is said
    assert any("the shipped model 'sjogren_rfib' is used" in str(problem) for problem in case.check())


def test_unknown_names_say_what_there_is(tmp_path):
    with pytest.raises(CaseError, match="Did you mean 'sjogren_rfib'"):
        load_case("sjogren_rfb")
    with pytest.raises(CaseError, match="no folder"):
        load_case(tmp_path / "none" / "such")
    for ask in (CASE.analyte, CASE.prior, CASE.variant):
        with pytest.raises(CaseError, match="Known"):
            ask("nonsense")


def test_grading_words():
    assert CASE.analyte("IL6").range_text == "< 9.1"
    assert CASE.analyte("CD4").in_range(30.45) and not CASE.analyte("CD4").in_range(28.6)
    assert CASE.variant().default and CASE.default_variant == CASE.variant().id
    assert set(CASE.nominal) == {each.id for each in CASE.priors}


# ---- a broken case --------------------------------------------------------------------------------


def edited(file, change, texts=None):
    """The texts with one table changed: `change` takes and gives its rows as dictionaries."""
    texts = dict(FILES if texts is None else texts)
    header = texts[file].splitlines()[0].split("\t")
    rows = list(TableReader(texts).table(file, ()))
    changed = change(rows)
    texts[file] = table_text(header, rows if changed is None else changed)
    return texts


def cell(number, **values):
    """Change cells of the row that an editor shows as line `number`."""

    def change(rows):
        rows[number - 2] |= values

    return change


def without(number):
    return lambda rows: [row for row in rows if row.row != number]


def doubled(number):
    return lambda rows: [*rows, rows[number - 2]]


def line_of(file, **wanted):
    """The line of the first row with these cells."""
    return next(row.row for row in TableReader(FILES).table(file, ()) if wanted.items() <= row.items())


def problems_of(texts):
    with pytest.raises(CaseError) as caught:
        load_case(texts, model=MODEL)
    assert all(problem.severity == "error" and problem.file for problem in caught.value.problems)
    return caught.value.problems


LAST = TableReader(FILES).table("parameters.tsv", ())[-1].row
BREAKAGES = [
    # file, change, row complained about (None: the whole file), words
    ("parameters.tsv", cell(2, parameterId="k_bga"), 2, "Did you mean 'k_bag'?"),
    ("parameters.tsv", without(2), None, "'k_bag' has neither a prior nor a fixed value"),
    ("parameters.tsv", cell(3, priorDistribution="", priorParameters=""), 3, "is estimated and has no prior"),
    ("parameters.tsv", cell(3, priorDistribution="norml"), 3, "Did you mean 'normal'?"),
    ("parameters.tsv", cell(3, priorParameters="2.2"), 3, "takes 2 finite numbers (mean, sd), seen '2.2'"),
    ("parameters.tsv", cell(3, priorParameters="2.2;-1"), 3, "the sd of the prior"),
    ("parameters.tsv", cell(3, lowerBound="5"), 3, "outside of its bounds 5 to inf"),
    ("parameters.tsv", cell(3, nominalValue="nan"), 3, "no nominalValue"),
    ("parameters.tsv", doubled(3), LAST + 1, "stands already in parameters.tsv, row 3"),
    ("measurements.tsv", cell(2, measurement="-16.33"), 2, "with log-normal noise a value is above zero"),
    ("measurements.tsv", cell(2, measurement="inf"), 2, "not a finite number"),
    ("measurements.tsv", cell(2, measurement="16,33"), 2, "is not a number"),
    ("measurements.tsv", cell(2, measurement="16.34"), 2, "but table1.tsv, row 2 has 16.33"),
    ("measurements.tsv", cell(2, unit="ng/mL"), 2, "in 'ng/mL', but obs_IL10 is in 'pg/mL'"),
    ("measurements.tsv", cell(2, observableId="obs_IL11"), 2, "no observable 'obs_IL11'. Did you mean"),
    ("measurements.tsv", cell(2, observableParameters="sample_efect_before"), 2, "'sample_effect_before'?"),
    ("measurements.tsv", cell(2, observableParameters=""), 2, "0 observableParameters, but obs_IL10 takes 1"),
    ("measurements.tsv", cell(2, visitId="befor"), 2, "Did you mean 'before'?"),
    ("measurements.tsv", cell(2, time="-2"), 2, "nominally on day -1"),
    ("measurements.tsv", cell(2, time="12"), 2, "outside of visit 'before'"),
    ("measurements.tsv", cell(2, experimentId="timelin"), 2, "no experiment 'timelin'"),
    ("measurements.tsv", doubled(2), 83, "stands already in measurements.tsv, row 2"),
    ("measurements.tsv", cell(2, observableId="obs_CD3CD45"), 2, "no observable 'obs_CD3CD45'"),
    ("visits.tsv", cell(2, earliest="5"), 2, "before it begins on day 5. Exchange earliest and latest"),
    ("visits.tsv", cell(3, nominal="99"), 3, "outside of its window"),
    ("visits.tsv", cell(3, nominal="-1", earliest="-1"), 3, "Each visit has a day of its own"),
    ("visits.tsv", cell(3, nominal="36"), None, "nominally on day 36"),
    ("visits.tsv", cell(3, earliest="-5"), 3, "overlap"),
    ("conditions.tsv", cell(2, targetValue="infusate_allo - 50"), 2, "cells cannot be taken out"),
    ("conditions.tsv", cell(2, targetValue="infusate_allo + -50"), 2, "cells cannot be taken out"),
    ("conditions.tsv", cell(2, targetValue="infusate_allo * 2"), 2, "neither a dose nor a rate of input"),
    ("conditions.tsv", cell(2, targetId="bag", targetValue="bag + 50"), 2, "a dose into 'bag'"),
    ("conditions.tsv", cell(2, targetValue="infusate_allo + 60"), None, "condition 'ucmsc_50' gives 6e+07"),
    ("experiments.tsv", without(5), None, "10 infusions of ucmsc are stated, and 9 stand in the timeline"),
    ("experiments.tsv", cell(5, conditionId="ucmsc_5"), 5, "Did you mean 'ucmsc_50'?"),
    ("experiments.tsv", cell(5, cells="-5e7"), 5, "not above zero"),
    ("experiments.tsv", cell(5, cells="5e6"), 5, "5e+06 cells are written here"),
    ("experiments.tsv", cell(5, date="2021-09-15"), 5, "makes 2023-10-07 day 0"),
    ("experiments.tsv", cell(5, time="2e9"), None, "beyond the calendar"),
    ("experiments.tsv", cell(2, conditionId="ucmsc_50"), 2, "on day -931, changes something"),
    ("products.tsv", cell(2, source="donated"), 2, "not autologous or allogeneic"),
    ("products.tsv", cell(2, cellsPerUnit="1"), 2, "counts infusate_allo in 1e+06"),
    ("products.tsv", cell(2, state="infusate_alo"), 2, "Did you mean 'infusate_allo'?"),
    ("products.tsv", cell(2, rate="rate"), 2, "which is no parameter of the model"),
    ("conditions.tsv", cell(2, targetId="L_allo", targetValue="L_allo + 50"), 2, "no product enters it"),
    ("experiments.tsv", doubled(5), None, "two conditions dose infusate_allo at day -752"),
    ("measurements.tsv", cell(2, unit="ng/mL"), 2, "Multiply the value by 1000"),
    ("observables.tsv", cell(20, unit="m/h"), 20, "value_ESR is in 'mm/h' in the model"),
    ("parameters.tsv", cell(2, unit="1/hour"), 2, "Multiply the value by 24"),
    ("products.tsv", cell(2, cellsPerUnit="0"), 2, "must be above zero"),
    ("extended.tsv", without(2), None, "no scored row of extended.tsv has it"),
    ("extended.tsv", cell(2, limit="9.1"), 2, "limit 9.1, but table1.tsv"),
    ("extended.tsv", cell(2, scored="false"), None, "no scored row of extended.tsv has it"),
    ("extended.tsv", cell(2, scored="maybe"), 2, "'maybe' is not one of the words"),
    ("extended.tsv", cell(3, lower="2"), 3, "the wrong way round"),
    ("extended.tsv", cell(3, lower="0.5"), 3, "is not a grade"),
    ("extended.tsv", cell(3, quantity="UU"), 3, "the model has no 'UU'"),
    ("observables.tsv", cell(2, observableFormula="value_IL1O"), 2, "no quantity 'value_IL1O'"),
    ("observables.tsv", cell(2, observableFormula="value_IL10*("), 2, "cannot be read"),
    ("observables.tsv", cell(2, unit=""), 2, "no unit"),
    ("observables.tsv", cell(2, referenceUpper="8.1"), None, "but obs_IL10 has < 8.1"),
    ("observables.tsv", cell(2, quantity="value_IL11"), 2, "quantity: the model has no 'value_IL11'"),
    ("observables.tsv", cell(2, noiseDistribution="lognormal"), 2, "Did you mean 'log-normal'?"),
    ("table1.tsv", cell(2, status="sure"), 2, "'sure' is not one of the words"),
    ("table1.tsv", cell(2, status="duplicate"), None, "must not be scored as a number"),
    ("table1.tsv", without(2), None, "stands in no row of table1.tsv"),
    ("parameters_extended.tsv", without(2), None, "parameters_extended.tsv has no day_before"),
    ("parameters_extended.tsv", cell(2, priorParameters="-50;0"), 2, "is not uniform on -60 to 0"),
    ("model_space.tsv", cell(2, kappa="large"), 2, "kappa 'large' is not a number"),
    ("model_space.tsv", cell(2, w_live="estimate"), 2, "estimates w_live, which has no prior"),
    ("variants.tsv", cell(2, default="true"), None, "one variant is the default one"),
    ("variants.tsv", cell(2, variantId="V00"), 2, "no variant 'V00' in the model space"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "change", "row", "words"), BREAKAGES, ids=[f"{b[0]}-{b[3][:30]}" for b in BREAKAGES]
)
def test_a_broken_table_says_where_and_what(file, change, row, words):
    problems = problems_of(edited(file, change))
    fitting = [problem for problem in problems if words in str(problem)]
    assert fitting, [str(problem) for problem in problems]
    if row is not None:
        assert (file, row) in [(problem.file, problem.row) for problem in fitting]


def test_all_problems_come_at_once_through_a_folder(tmp_path):
    folder = shutil.copytree(case_folder("sjogren_rfib"), tmp_path / "broken")
    texts = edited("parameters.tsv", cell(3, parameterId="logit_w"))
    texts = edited(
        "parameters.tsv", lambda rows: [row for row in rows if row["parameterId"] != "t_eff"], texts
    )
    texts = edited("conditions.tsv", cell(3, targetValue="infusate_auto + -50"), texts)
    texts = edited("measurements.tsv", cell(20, unit="mg/L"), texts)
    texts = edited("measurements.tsv", doubled(30), texts)
    texts = edited("visits.tsv", cell(4, nominal="260"), texts)
    for name, text in texts.items():
        if "/" not in name:
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "variants.tsv").unlink()
    with pytest.raises(CaseError) as caught:
        load_case(folder)
    told = {(problem.file, problem.row) for problem in caught.value.problems}
    said = str(caught.value)
    assert {("parameters.tsv", 3), ("conditions.tsv", 3), ("measurements.tsv", 20), ("measurements.tsv", 83),
            ("variants.tsv", None)} <= told  # fmt: skip
    for words in ("'logit_w'", "'t_eff' has neither a prior", "cannot be taken out", "obs_IL8 is in",
                  "stands already in", "on day 260", "the file is missing"):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize("file", [*COMPANIONS, "problem.yaml", "parameters.tsv", "observables.tsv",
                                  "measurements.tsv", "conditions.tsv", "experiments.tsv"])  # fmt: skip
def test_a_missing_file_is_named_once_and_does_not_bury_the_rest(file):
    """Some tables count as empty where they are missing: doubted, and told beside the errors that follow."""
    texts = {name: text for name, text in FILES.items() if name != file}
    try:
        problems = load_case(texts, model=MODEL).check()
    except CaseError as error:
        problems = error.problems
    assert sum(problem.file == file and "the file is missing" in problem.what for problem in problems) == 1
    assert sum(each.severity == "error" for each in problems) < 20


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format_version: 2.0.0", "format_version: 1", "PEtab 2.0.0 is read"),
        ("  - measurements.tsv", "  - measurement.tsv", "measurement.tsv: the file is missing"),
        ("  - measurements.tsv", "", "no list of measurement_files"),
        ("../../models/sjogren_rfib.xml", "nowhere.xml", "there is no model at nowhere.xml"),
        ("language: sbml", "language: pysb", "language: sbml"),
        ("model_files:", "model_files: [", "not YAML"),
        ("  - measurements.tsv", "  - https://example.org/measurements.tsv", "is a web address"),
    ],
)
def test_a_broken_problem_file_says_what(old, new, words):
    assert old in FILES["problem.yaml"]
    texts = {**FILES, "problem.yaml": FILES["problem.yaml"].replace(old, new)}
    assert words in "\n".join(map(str, problems_of(texts)))


def test_misspelt_and_absent_columns_are_told_apart():
    text = FILES["visits.tsv"]
    (problem,) = [
        p for p in problems_of({**FILES, "visits.tsv": text.replace("earliest", "earlyest", 1)}) if p.row == 1
    ]
    assert (
        str(problem)
        == "visits.tsv, row 1, column earlyest: unknown column 'earlyest'. Did you mean 'earliest'?"
    )
    texts = {**FILES, "visits.tsv": text.replace("earliest", "x", 1)}
    assert "no column 'earliest'" in "\n".join(map(str, problems_of(texts)))
    # a column of one's own is welcome and changes nothing
    lines = text.splitlines()
    own = "\n".join([lines[0] + "\tmood", *(line + "\tfine" for line in lines[1:])])
    plain = load_case(FILES, model=MODEL).check(MODEL)
    assert load_case({**FILES, "visits.tsv": own}, model=MODEL).check(MODEL) == plain
    # one that may be a known one under another name is not passed over in silence
    theirs = {**FILES, "visits.tsv": own.replace("mood", "timing_of_sample")}
    (doubt,) = set(load_case(theirs, model=MODEL).check(MODEL)) - set(plain)
    assert "meant for 'timing'" in doubt.what and doubt.severity == "doubt"


@pytest.mark.parametrize("file", ["measurements.tsv", "experiments.tsv", "parameters.tsv"])
def test_no_row_can_be_lost_unnoticed(file):
    """Delete each measurement, each dose and each parameter in turn: every time the case is refused."""
    rows = list(TableReader(FILES).table(file, ()))
    for row in rows:
        if file == "experiments.tsv" and not row["conditionId"]:
            continue
        assert problems_of(edited(file, without(row.row)))


@settings(max_examples=150)
@given(data=st.data())
def test_any_text_in_any_cell_is_read_or_refused_never_a_crash(data):
    file = data.draw(st.sampled_from([name for name in FILES if name.endswith(".tsv")]))
    rows = list(TableReader(FILES).table(file, ()))
    number = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(sorted(rows[number])))
    strange = st.sampled_from(
        ["", "nan", "-inf", "1e400", "-1", "0", "true", "x + 1", "a;b", "\\", "'", "2021-99-01"]
    )
    text = data.draw(
        strange | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"), max_size=8)
    )
    try:
        load_case(edited(file, cell(number + 2, **{column: text})), model=MODEL)
    except CaseError as error:
        assert error.problems


def test_files_are_listed_in_one_place():
    present = {path.name for path in Path(case_folder("sjogren_rfib")).iterdir()}
    assert {*COMPANIONS, ALTERNATIVES, "problem.yaml", "README.md"} <= present
    assert present == {name for name in FILES if "/" not in name} | {"README.md"}


# ---- a case of one's own --------------------------------------------------------------------------

SMALL = {
    "problem.yaml": """
        format_version: 2.0.0
        id: small
        model_files: {m: {location: persistence_cytokine.xml, language: sbml}}
        parameter_files: [parameters.tsv]
        observable_files: [observables.tsv]
        measurement_files: [measurements.tsv]
        condition_files: [conditions.tsv]
        experiment_files: [experiments.tsv]
        """,
    "observables.tsv": """
        observableId observableFormula noiseFormula noiseDistribution unit
        obs_IL6 IL6 0.5 log-normal pg/mL
        """,
    "measurements.tsv": """
        observableId experimentId time measurement visitId unit
        obs_IL6 e -1 4.2 first pg/mL
        obs_IL6 e 1 20.0 second pg/mL
        """,
    "visits.tsv": """
        visitId nominal earliest latest
        first -1 -1 -1
        second 1 0.5 2
        """,
    "experiments.tsv": """
        experimentId time conditionId
        e -10 -
        e 0 dose
        """,
    "conditions.tsv": """
        conditionId targetId targetValue
        dose infusate_auto infusate_auto+50
        """,
    "products.tsv": """
        productId source state
        mine autologous infusate_auto
        """,
    "parameters_extended.tsv": """
        parameterId lowerBound upperBound nominalValue estimate priorDistribution priorParameters
        day_second 0.5 2 1 true uniform 0.5;2
        """,
    "table1.tsv": "analyte visitId value unit status",
    "extended.tsv": "observableId kind day scored",
    "model_space.tsv": "model_subspace_id model_subspace_petab_yaml",
    "variants.tsv": "variantId default",
}


def small():
    """The smallest case there is: one analyte, two visits, one dose, and tables that have nothing to say."""
    texts = {}
    for name, text in SMALL.items():
        lines = [line.strip() for line in text.strip().splitlines()]
        if name.endswith(".tsv"):
            lines = ["\t".join("" if each == "-" else each for each in line.split()) for line in lines]
        texts[name] = "\n".join(lines) + "\n"
    model = load_model("persistence_cytokine")
    rows = [
        {"parameterId": each.name, "nominalValue": repr(each.value), "estimate": "false"}
        for each in model.parameters
    ]
    rows[-1] |= {"estimate": "true", "priorDistribution": "log-normal", "priorParameters": "3;1"}
    columns = [
        "parameterId",
        "lowerBound",
        "upperBound",
        "nominalValue",
        "estimate",
        "priorDistribution",
        "priorParameters",
    ]
    return {**texts, "parameters.tsv": table_text(columns, rows)}


def test_the_smallest_case_is_a_case(tmp_path):
    for name, text in small().items():
        (tmp_path / name).write_text(text)
    case = load_case(tmp_path)
    assert repr(case) == "<Case small: 1 analytes, 2 visits, 2 scored values, 1 infusions>"
    assert case.schedule.total() == 5e7 and case.history.count == 0 and case.default_variant == ""
    assert case.model == "persistence_cytokine" and case.day_zero is None
    assert "2 scored laboratory values, 1 infusions" in case.audit()


def test_a_dose_of_cells_without_a_product_is_refused():
    """Without the product nobody knows whether 50 are cells or millions of them."""
    texts = {**small(), "products.tsv": "productId\tsource\tstate\n"}
    (told,) = [each for each in problems_of(texts) if "counts cells" in each.what]
    assert (told.file, told.row) == ("conditions.tsv", 2)
    assert "infusate_auto" in told.what and "products.tsv" in told.remedy


def test_a_case_carries_its_own_model(tmp_path):
    texts = {**small(), "own.xml": load_model("persistence_cytokine").with_values(k_eff=2.5).to_sbml()}
    texts["problem.yaml"] = texts["problem.yaml"].replace("persistence_cytokine.xml", "own.xml")
    texts["parameters.tsv"] = texts["parameters.tsv"].replace("k_eff\t\t\t2.8", "k_eff\t\t\t2.5")
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    case = load_case(tmp_path)
    assert Path(case.model) == (tmp_path / "own.xml").resolve()
    again = load_case(case.files)  # from its texts alone, as a saved result keeps it
    values = {each.name: each.value for each in load_model(again.model).parameters}
    assert values["k_eff"] == 2.5 and not [p for p in again.check() if "k_eff" in p.what]


def test_the_guide_s_example_runs_and_its_tables_are_read(capsys):
    guide = (case_folder("sjogren_rfib").parent / "README.md").read_text(encoding="utf-8")
    code = guide.split("```python\n")[1].split("```")[0]
    lines = [line.removeprefix("   ") for line in code.splitlines()]
    exec("\n".join(lines), {})
    printed_tables = capsys.readouterr().out
    assert printed_tables.count("infusion_rate_auto_1200") == 7 and "timeline\t-100\t" in printed_tables


def test_the_readme_counts_what_the_tables_hold():
    text = (case_folder("sjogren_rfib") / "README.md").read_text(encoding="utf-8")
    counts = {
        "measurements.tsv": CASE.rows,
        "observables.tsv": CASE.analytes,
        "table1.tsv": CASE.table1,
        "visits.tsv": CASE.visits,
        "products.tsv": CASE.products,
        "extended.tsv": CASE.extended,
        "alternatives.tsv": CASE.alternatives,
    }
    for file, records in counts.items():
        assert f"| `{file}` | {len(records)} |" in text
    assert f"`conditions.tsv` | {CASE.timeline.count} infusions |" in text
    assert f"`variants.tsv` | {len(CASE.variants)} |" in text
    for status, count in Counter(each.status for each in CASE.table1).items():
        assert f"| {status} | {count} |" in text


# ---- what may have been otherwise -----------------------------------------------------------------


def test_alternatives_are_read_and_stand_in_the_audit():
    found = {each.id: each for each in CASE.alternatives}
    assert found["gap_35"].days[3:6] == (21.0, 56.0, 84.0)
    assert (found["ifna_85"].analyte, found["ifna_85"].upper) == ("IFNa", 85.0)
    assert (found["drift_wide"].parameter, found["drift_wide"].spread) == ("phi", 2.0)
    assert all(each.name in " ".join(CASE.audit().split()) for each in CASE.alternatives)
    texts = {name: text for name, text in FILES.items() if name != ALTERNATIVES}
    assert load_case(texts, model=MODEL).alternatives == ()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"days": "0;7;14"}, "3 days for 12 infusions"),
        ({"days": "0;7;14;21;42;70;98;126;154;182;238;210"}, "not in the order of time"),
        ({"days": "0;7;x"}, "are not numbers"),
        ({"days": "0;7;nan"}, "are not numbers"),
        ({"product": "rfibb"}, "no product 'rfibb'"),
        ({"days": ""}, "about one thing, seen product"),
        ({"parameterId": "phi", "spread": "2"}, "about one thing"),
        ({"product": "", "days": "", "parameterId": "phi", "spread": "0"}, "a prior 0 times as wide"),
        ({"product": "", "days": "", "parameterId": "phi2", "spread": "2"}, "no parameterId 'phi2'"),
        (
            {"product": "", "days": "", "analyte": "IFNa", "referenceLower": "9", "referenceUpper": "1"},
            "9 to 1 is empty",
        ),
        ({"name": ""}, "no name"),
        ({"alternativeId": "gap_35"}, "stands already above"),
    ],
)
def test_a_broken_alternative_is_told(cells, words):
    (told,) = [p for p in problems_of(edited(ALTERNATIVES, cell(2, **cells))) if p.file == ALTERNATIVES]
    assert words in str(told)
    assert told.row == (3 if "alternativeId" in cells else 2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x", r"x is a state of the model, .* \(x = x_0; x_0 = 1\), and write x_0 here"),
        ("twice", "twice is worked out by the model"),
        ("time", "time is the clock of the model"),
        ("jump", "jump is an event of the model"),
        ("obs_y", "obs_y is an observable"),
        ("v0", "v0 is a visit, .* day_v0 in parameters_extended.tsv"),
        ("cells", "cells is a product"),
        ("scale", "scale is a placeholder"),
        ("double", "no parameter 'double'"),  # a function of the model's text
        ("nobody", "no parameter 'nobody'"),
    ],
)
@pytest.mark.parametrize("estimated", [True, False])
def test_a_parameter_that_nothing_could_set_is_refused(name, words, estimated):
    """PEtab: a row of parameters names a parameter, and an initial value is set by one that stands for it."""
    model = """function double(a)
      2*a
    end
    model m()
      unit Mcell = 1e6 item; x = 3; x' = -k*x; bag = 0; bag' = -bag; bag has Mcell; k = 0.1; twice := double(x); at (time > 5): x = 1
      jump: at (time > 6): x = 2
    end"""

    case = tiny_case(
        model, {"y": "x + bag + twice + 0*time"}, [("y", 1.0, 2.0)], {"k": 0.1},
        doses=[(0.5, "bag", 1.0)], products=[("cells", "autologous", "bag")],
    )  # fmt: skip
    files = dict(case.files)
    row = {"parameterId": name, "lowerBound": "-inf", "upperBound": "inf", "nominalValue": "2"}
    row |= {"estimate": str(estimated).lower()}
    row |= {"priorDistribution": "normal", "priorParameters": "2;1"} if estimated else {}
    columns = files["parameters.tsv"].splitlines()[0].split("\t")
    files["parameters.tsv"] += "\t".join(row.get(each, "") for each in columns) + "\n"
    if name == "scale":
        lines = files["observables.tsv"].splitlines()
        at = lines[0].split("\t").index("observableFormula")
        cells = lines[1].split("\t")
        cells[at] += " + 0*scale"
        files["observables.tsv"] = (
            f"{lines[0]}\tobservablePlaceholders\n" + "\t".join([*cells, "scale"]) + "\n"
        )
        lines = files["measurements.tsv"].splitlines()
        files["measurements.tsv"] = f"{lines[0]}\tobservableParameters\n{lines[1]}\t1\n"
    with pytest.raises(CaseError, match=words) as caught:
        load_case(files, model=load_model(model))
    assert any(each.file == "parameters.tsv" and each.row for each in caught.value.problems)


def test_a_parameter_beside_the_standard_ones_that_nothing_reads_is_refused():
    model = "x = 3; x' = -k*x; k = 0.1"
    case = tiny_case(model, {"y": "x"}, [("y", 1.0, 2.0)], {"k": 0.1}, windows={1.0: (0.5, 1.5)})
    files = dict(case.files)
    files["parameters_extended.tsv"] = files["parameters_extended.tsv"].replace("day_v0", "day_v1")
    with pytest.raises(CaseError, match=r"nothing reads 'day_v1'.* mean 'day_v0'"):
        load_case(files, model=load_model(model))
