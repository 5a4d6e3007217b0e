"""Forty mistakes written down before the readers were looked at, and their neighbours: each is told by file, row, column, remedy."""

import pytest
from forty import DOSES, IN_FOLDER, IN_SHEETS, LONG, MORE_IN_FOLDER, MORE_IN_SHEETS, WIDE, Mistake, Place
from making import POINTS, best, said_of_folder, said_of_sheets

from cellsim.library import case_folder

SHEETS = {"wide": WIDE, "long": LONG, "doses": DOSES}
TEXTS = {
    each.name: each.read_text(encoding="utf-8").replace("../../models/", "")
    for each in case_folder("cytopenia_synthetic").iterdir()
    if each.is_file()
}
NONE = Place("", None, None)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What is said of the sheets and of the folder when nothing is wrong with them: guesses, and no error."""
    said = [
        *said_of_sheets(Mistake("none", "wide", NONE, ()), tmp_path_factory.mktemp("wide"), SHEETS),
        *said_of_sheets(Mistake("none", "long", NONE, ()), tmp_path_factory.mktemp("long"), SHEETS),
        *said_of_folder(Mistake("none", "", NONE, ()), TEXTS),
    ]
    assert not [each for each in said if each.severity == "error"]
    return {(each.file.rpartition("/")[2], each.row, each.what) for each in said}


def new(said, usual):
    return [each for each in said if (each.file.rpartition("/")[2], each.row, each.what) not in usual]


@pytest.mark.parametrize("made", [*IN_SHEETS, *MORE_IN_SHEETS], ids=lambda made: made.name)
def test_a_mistake_in_a_sheet_is_told_by_file_row_column_and_remedy(made, usual, tmp_path):
    found, text = best(made, new(said_of_sheets(made, tmp_path, SHEETS), usual))
    assert found == set(POINTS), text


@pytest.mark.parametrize("made", [*IN_FOLDER, *MORE_IN_FOLDER], ids=lambda made: made.name)
def test_a_mistake_in_a_case_is_told_by_file_row_column_and_remedy(made, usual):
    found, text = best(made, new(said_of_folder(made, TEXTS), usual))
    assert found == set(POINTS), text
