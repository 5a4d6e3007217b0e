"""Random mistakes in a valid case are refused, doubted in their place, or change nothing; what means nothing changes nothing."""

import random

import pytest
from small_cases import tiny_case

import cellsim as cs
from benchmarks import edits
from benchmarks.edits import HARMLESS, edited, harmless, judged
from cellsim.case.plausibility import dose_doubt

FIRST, COUNT = 20_000, 130


def test_no_mistake_changes_the_posterior_in_silence() -> None:
    """The witness is the posterior itself: every variant's rows, priors and parts of its density at two points."""
    made = [found for seed in range(FIRST, FIRST + COUNT) if (found := edited(seed)) is not None]
    assert len(made) > 0.7 * COUNT
    faults = [found for each in made if (found := judged(*each)).how in ("silent", "misplaced", "crashed")]
    assert faults == []


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_means_nothing_draws_no_doubt_and_changes_nothing(kind: str) -> None:
    found = judged(kind, "", harmless(kind, random.Random(1)))
    assert (found.how, found.said) == ("same", "")


def test_a_change_of_the_posterior_is_seen_by_the_judge() -> None:
    """A plausible other value in both tables that hold it: nobody can tell, and the judge must."""
    files = {name: text.replace("\t42\t", "\t43.5\t") for name, text in edits.base().items()}
    found = judged("value changed", "measurements.tsv", {name: text.encode() for name, text in files.items()})
    assert found.how == "silent"


# ---- improbable numbers ---------------------------------------------------------------------------------


def changed(*places: tuple[str, str, str]) -> list[str]:
    """What is said of the case with some cells changed, in every table that holds them."""
    files = dict(edits.base())
    for file, old, new in places:
        assert old in files[file]
        files[file] = files[file].replace(old, new)
    before = {str(each) for each in cs.check(edits.base())}
    return [text for each in cs.check(files) if (text := str(each)) not in before]


@pytest.mark.parametrize(
    ("places", "file", "said"),
    [
        # the same slip in the printed table and in the measurements
        ([(f, "\t6.5\t", "\t6500\t") for f in ("measurements.tsv", "table1.tsv")], "measurements.tsv, row 3", "6500 mg/L at soon"),
        ([(f, "\t42\t", "\t0.42\t") for f in ("measurements.tsv", "table1.tsv")], "measurements.tsv, row 4", "a fraction among per cents"),
        ([("observables.tsv", "\t0.2\t", "\t20\t")], "observables.tsv, row 2", "within a factor of"),
        ([("observables.tsv", "\t4\t", "\t4000\t")], "observables.tsv, row 3", "A normal spread is in the unit of the values"),
        ([("parameters.tsv", "0;0.3", "100;0.3")], "parameters.tsv, row 3", "median of 2.69e+43"),
        ([("parameters.tsv", "-2.302585092994046;0.5", "0.1;1")], "parameters.tsv, row 2", "for a median of 0.1 write -2.303"),
        ([("model_space.tsv", "fixed\tproblem.yaml\testimate\t1", "fixed\tproblem.yaml\testimate\t1000")], "model_space.tsv, row 3", "all but excludes"),
        ([("experiments.tsv", "\t-1\t\t2023-01-01", "\t-5000\t\t")], "experiments.tsv, row 2", "days before anything happens"),
    ],
)  # fmt: skip
def test_improbable_number_is_doubted_in_its_place(places: list, file: str, said: str) -> None:
    found = changed(*places)
    assert [each for each in found if each.startswith(file) and said in each], found


def test_dose_of_fifty_cells_is_doubted() -> None:
    """Fifty in place of fifty million, written consistently in every table, and without any promise of a total."""
    cells = [("experiments.tsv", "2023-01-09\trfib\t50000000", "2023-01-09\trfib\t50"),
             ("experiments.tsv", "7\tfull", "7\tfew"),
             ("conditions.tsv", "half\tbag", "few\tbag\tbag + 0.00005\nhalf\tbag"),
             ("products.tsv", "\t4\t175000000\t", "\t\t\t")]  # fmt: skip
    found = changed(*cells)
    assert len(found) == 1, found
    assert found[0].startswith(
        "experiments.tsv, row 4, column cells: the infusion of rfib on day 7: 50 cells are 1e+06 times less"
    )
    assert dose_doubt(50.0, [], counted=True) and not dose_doubt(50.0, [], counted=False)
    assert not dose_doubt(5e7, [2.5e7, 1e8], counted=True)


def test_probable_numbers_are_not_doubted() -> None:
    """Values over two orders of magnitude, a wide prior, a nominal value three sd off."""
    case = tiny_case(
        "x = 10; x' = -k*x; k = 0.1",
        {"y": ("A*x", 0.5)},
        [("y", 1.0, 200.0), ("y", 40.0, 1.0)],
        {"k": 0.1, "A": ("log-normal", 0.0, 3.0)},
    )
    assert cs.check(case) == ()
