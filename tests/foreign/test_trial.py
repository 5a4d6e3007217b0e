"""Files that are not ours are read by another process first: what ends it ends nothing else."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cellsim as cs
from cellsim.delimited import LARGEST
from cellsim.errors import CellsimError, ModelError
from cellsim.foreign import trial
from cellsim.library import model_file
from cellsim.model.conversion import converted
from cellsim.posterior.netcdf import read_groups
from cellsim.results import read_saved

DECAY = "x = 10; x' = -k*x; k = 0.5"
# deeper than the stack of libsbml, and never shown to it where the depth is judged first
DEEP = (
    '<?xml version="1.0"?><sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m">'
    '<listOfParameters><parameter id="q" constant="false"/></listOfParameters><listOfRules><assignmentRule variable="q">'
    f'<math xmlns="http://www.w3.org/1998/Math/MathML">{"<apply><sin/>" * 20000}<cn>1</cn>{"</apply>" * 20000}</math>'
    "</assignmentRule></listOfRules></model></sbml>"
)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_WELL", {})
    monkeypatch.setattr(trial, "_MARKED", set())


@pytest.mark.skipif(sys.platform == "win32", reason="a stack that overflows ends otherwise there")
def test_a_file_that_ends_libsbml_ends_no_more_than_the_process_it_is_tried_in() -> None:
    """Witness: libsbml itself, which this text ends by a signal; the next text is read by a new process."""
    assert "signal 11" in trial._tried(DEEP.encode(), b"s")
    assert trial._tried(DECAY.encode(), b"a") == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no limit of memory")
def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: a text whose tree alone is larger than the limit."""
    monkeypatch.setattr(trial, "_RUNNING", [])
    monkeypatch.setattr(trial, "MEMORY", 300_000_000)
    padded = (
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m"><notes>'
        + "<p>a</p>" * 1_000_000
        + "</notes></model></sbml>"
    )
    said = trial._tried(padded.encode(), b"s")
    trial._leave()
    assert "of memory" in said or "came to an end" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of processor time")
def test_processor_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: antimony itself, which would take longer than anybody lives for start values that double at every step."""
    monkeypatch.setattr(trial, "_RUNNING", [])
    monkeypatch.setattr(trial, "SECONDS", 0)  # and one that the limit is rounded up by
    doubling = "x0 = 1; " + "; ".join(f"x{k} = x{k - 1}*sin(x{k - 1} + 1)" for k in range(1, 60))
    assert "s of processor time" in trial._tried(doubling.encode(), b"a")


def _in_circles(what: str) -> bytes:
    """A file of HDF5 of which one pointer or size leads back to where it stands."""
    import h5py

    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.create_dataset("words", data=["a", "bc"], dtype=h5py.string_dtype())
    content = bytearray(made.getvalue())

    def put(at: int, number: int) -> None:
        content[at : at + 8] = number.to_bytes(8, "little")

    at = content.index({"tree": b"TREE", "heap": b"HEAP", "words": b"GCOL"}[what])
    if what == "tree":
        put(at + 16, at)  # the node to its right is itself
    elif what == "heap":  # the first free block is followed by itself
        free, data = (int.from_bytes(content[k : k + 8], "little") for k in (at + 16, at + 24))
        put(data + free, free)
    else:
        put(at + 24, 0)  # an object without length: the next one is itself
    return bytes(content)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of processor time")
@pytest.mark.parametrize("what", ["tree", "heap", "words"])
def test_hdf5_that_goes_in_circles_ends(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A find of fuzzing: these keep HDF5 busy without end. Witness: h5py in a process that the system ends after a second."""
    file = tmp_path / "a.nc"
    file.write_bytes(_in_circles(what))
    plain = (
        "import resource, sys, h5py\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\n"
        "h5py.File(sys.argv[1]).visititems(lambda name, each: each[()])"
    )
    ended = subprocess.run([sys.executable, "-c", plain, str(file)], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGXCPU
    monkeypatch.setattr(trial, "_RUNNING", [])
    monkeypatch.setattr(trial, "SECONDS", 0)
    with pytest.raises(CellsimError, match="s of processor time"):
        read_groups(file, "posterior")


def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_RUNNING", [])
    monkeypatch.setattr(trial, "_PATIENCE", 0)
    assert "more than 60 s" in trial._tried(DECAY.encode(), b"a")


def _refusing(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    asked: list[bytes] = []

    def tried(content: bytes, language: bytes) -> str:
        asked.append(language)
        return "it ended"

    monkeypatch.setattr(trial, "_tried", tried)
    return asked


PROBLEM = {
    "problem.yaml": "format_version: 2.0.0\nmodel_files: {m: {location: m.ant, language: antimony}}\n"
    "parameter_files: [p.tsv]\nobservable_files: [o.tsv]\nmeasurement_files: [d.tsv]\n",
    # a text that nothing else reads: what this process has read once is not tried again
    "m.ant": "x = 1; x' = -k*x; k = 1.03125",
    "p.tsv": "parameterId\testimate\tnominalValue\tlowerBound\tupperBound\nk\ttrue\t0.5\t0\tinf\n",
    "o.tsv": "observableId\tobservableFormula\tnoiseFormula\ny\tx\t0.1\n",
    "d.tsv": "observableId\texperimentId\ttime\tmeasurement\ny\t\t2\t0.4\n",
}


@pytest.mark.parametrize("way", ["model", "SBML", "problem", "convert"])
def test_every_way_by_which_a_model_comes_from_a_file_is_tried_first(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the refusal of the process that reads first, which each of them passes on."""
    for name, text in PROBLEM.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "m.xml").write_text(cs.load_model("y = 1; y' = -y").to_sbml())
    asked = _refusing(monkeypatch)
    ways = {
        "model": lambda: cs.load_model(tmp_path / "m.ant"),
        "SBML": lambda: cs.load_model(str(tmp_path / "m.xml")),
        "problem": lambda: cs.load_case(tmp_path),
        "convert": lambda: converted(tmp_path / "m.ant"),
    }
    with pytest.raises(CellsimError, match="it ended"):
        ways[way]()
    assert set(asked) == {b"s" if way == "SBML" else b"a"}


def test_texts_of_a_script_and_what_comes_with_the_library_start_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _refusing(monkeypatch)
    cs.load_model("z = 1; z' = -q*z; q = 0.25")
    cs.load_model("persistence")
    cs.load_model(
        model_file("persistence").with_suffix(".xml")
    )  # where the package is installed, not where its source is
    assert asked == []


def test_a_text_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "once.ant"
    file.write_text("w = 1; w' = -0.125*w")
    asked = _refusing(monkeypatch)
    for _ in range(2):
        with pytest.raises(ModelError):
            cs.load_model(file)
    assert len(asked) == 1


def test_a_file_of_a_gigabyte_is_refused_by_its_size(tmp_path: Path) -> None:
    """A hole of that size costs no disk; witness: the number of bytes in the letter."""
    file = tmp_path / "line.ant"
    with file.open("wb") as out:
        out.truncate(1_000_000_000)
    assert LARGEST < 1_000_000_000
    for read in (cs.load_model, cs.Schedule.from_table, read_saved, cs.ClinicRules.from_toml):
        with pytest.raises(CellsimError, match="1000000000 bytes"):
            read(file)


def test_rows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the number of the row at which reading stops."""
    from cellsim import delimited

    monkeypatch.setattr(delimited, "_MOST_CELLS", 10)
    read = delimited.read_table_text("a,b\n" + "1,2\n" * 20, ",")
    assert len(read.rows) == 5
    assert read.complaints[0][0] == 7
