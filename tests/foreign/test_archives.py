"""Archives of others: bombs are refused before they are unpacked; a COMBINE archive is read back equal."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pytest
from small_cases import decay

import cellsim as cs
from cellsim.errors import CaseError, CellsimError
from cellsim.estimation.omex import export_archive
from cellsim.foreign import archives
from cellsim.posterior.netcdf import read_groups, write_groups
from cellsim.spreadsheets.sheet import read_sheet


def _book(path: Path, member: str, old: str, new: str) -> Path:
    """A workbook of which one part says something else."""
    book = openpyxl.Workbook()
    book.active.append(["analyte", "unit", "value"])
    book.active.append(["CRP", "mg/L", 12.5])
    book.active.merge_cells("A5:B6")
    made = io.BytesIO()
    book.save(made)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            text = source.read(name).decode()
            if name == member:
                assert old in text
                text = text.replace(old, new, 1)
            target.writestr(name, text)
    return path


SHEET = "xl/worksheets/sheet1.xml"
BOOKS = {
    # openpyxl makes a cell of every one that a merged range names: 17 thousand million of them
    "a merged range": (SHEET, 'ref="A5:B6"', 'ref="A5:XFD1048576"', "far more cells"),
    "a cell far away": (SHEET, 'r="C2"', 'r="XFD1048576"', "far more cells"),
    "entities": (SHEET, "<worksheet ", '<!DOCTYPE w [<!ENTITY a "b">]><worksheet ', "document type"),
    "depth": (SHEET, "<sheetData>", f"<sheetData>{'<a>' * 300}{'</a>' * 300}", "deeper"),
    "no XML": (SHEET, "<sheetData>", "<sheetData", "no XML"),
    "a part of another kind": ("xl/workbook.xml", "<sheets>", "<sheets><sheet/>", "no workbook"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOOKS)
def test_a_workbook_that_would_never_open_is_refused(name: str, tmp_path: Path) -> None:
    """Each is a workbook but for one word; witness: the one without it opens."""
    member, old, new, said = BOOKS[name]
    assert read_sheet(_book(tmp_path / "well.xlsx", member, old, old)).rows[1][2].value == 12.5
    with pytest.raises(CaseError, match=said):
        read_sheet(_book(tmp_path / "ill.xlsx", member, old, new))


@pytest.mark.parametrize("name", ["", "\0a.xml"])
def test_a_member_without_a_name_is_refused(name: str, tmp_path: Path) -> None:
    """A find of fuzzing; a zero ends a name. Witness: the same archive without that member is read."""
    for reader in (archives.read_members, archives.judge_workbook):
        for members in ({"x.txt": "1"}, {"x.txt": "1", name: "2"}):
            path = tmp_path / "a.zip"
            with zipfile.ZipFile(path, "w") as made:
                for member, text in members.items():
                    made.writestr(zipfile.ZipInfo(member.replace("\0", "!")), text)
            path.write_bytes(path.read_bytes().replace(b"!a.xml", b"\0a.xml"))
            if len(members) == 1:
                reader(path)
            else:
                with pytest.raises(CellsimError, match="without a name"):
                    reader(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kB that say they hold thirty times what is read, and a member that holds more than it says."""
    monkeypatch.setattr(archives, "LARGEST_EXPANDED", 1_000_000)
    bomb = tmp_path / "bomb.omex"
    archives.write_members(bomb, {"manifest.xml": b"0" * 30_000_000})
    assert bomb.stat().st_size < 40_000
    for read in (cs.load_case, archives.read_members, archives.judge_workbook):
        with pytest.raises(CellsimError, match="30000000 bytes once unpacked"):
            read(bomb)
    many = tmp_path / "many.omex"
    archives.write_members(many, {f"{k}.tsv": b"" for k in range(archives.MOST_MEMBERS + 1)})
    with pytest.raises(CellsimError, match="1001 files"):
        cs.load_case(many)
    lying = tmp_path / "lying.omex"
    archives.write_members(lying, {"manifest.xml": b"0" * 900_000})
    content = lying.read_bytes()
    lying.write_bytes(content.replace((900_000).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(CellsimError):
        cs.load_case(lying)


def test_a_case_comes_back_from_its_archive(tmp_path: Path) -> None:
    """Witness: every table, the model and the posterior; the manifest lists what the zip holds, once each, by the library of Python."""
    case = decay([6.0, 3.7], [1.0, 2.0])
    file = export_archive(case, tmp_path / "decay.omex")
    back = cs.load_case(file)
    assert cs.load_model(back.model) == cs.load_model(case.model)
    assert {name: text for name, text in back.files.items() if name.endswith(".tsv")} == {
        name: text for name, text in case.files.items() if name.endswith(".tsv")
    }
    assert back.log_posterior() == case.log_posterior()
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        tree = ElementTree.fromstring(archive.read("manifest.xml"))
    listed = [each.get("location", "").removeprefix("./") for each in tree]
    assert sorted(each for each in listed if each != ".") == sorted(names)
    assert [each.get("location") for each in tree if each.get("master") == "true"] == ["./problem.yaml"]
    again = export_archive(case, tmp_path / "again.omex")
    assert again.read_bytes() == file.read_bytes()


def test_the_standard_part_alone_scores_as_the_case(tmp_path: Path) -> None:
    case = decay([6.0, 3.7], [1.0, 2.0])
    standard = cs.load_case(export_archive(case, tmp_path / "standard.omex", standard=True))
    assert standard.log_likelihood() == pytest.approx(case.log_likelihood(), rel=1e-6)


MANIFEST = (
    '<omexManifest xmlns="http://identifiers.org/combine.specifications/omex-manifest">{}</omexManifest>'
)
ARCHIVES = {
    "outside": ({"manifest.xml": MANIFEST.format('<content location="../problem.yaml" format="x"/>')}, "outside the folder"),
    "absolute": ({"manifest.xml": MANIFEST.format('<content location="/etc/passwd" format="x"/>')}, "absolute"),
    "an address": ({"manifest.xml": MANIFEST.format('<content location="http://a.b/c.yaml" format="x"/>')}, "web address"),
    "missing": ({"manifest.xml": MANIFEST.format('<content location="./problem.yaml" format="x"/>')}, "not there"),
    "no manifest": ({"problem.yaml": "format_version: 2.0.0"}, "no manifest.xml"),
    "no problem": ({"manifest.xml": MANIFEST.format('<content location="./a.tsv" format="x"/>'), "a.tsv": ""}, "no problem file"),
    "entities": ({"manifest.xml": f'<!DOCTYPE a [<!ENTITY b "c">]>{MANIFEST.format("")}'}, "DOCTYPE"),
    "another encoding": ({"manifest.xml": MANIFEST.format('<content location="a.tsv" format="x"/>'), "a.tsv": b"\xff\xfe"}, "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_names_what_it_does_not_hold_is_refused(name: str, tmp_path: Path) -> None:
    members, said = ARCHIVES[name]
    file = tmp_path / "a.omex"
    archives.write_members(
        file, {each: text.encode() if isinstance(text, str) else text for each, text in members.items()}
    )
    with pytest.raises(CaseError, match=said):
        cs.load_case(file)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(CaseError, match="no archive"):
        cs.load_case(file)


def test_an_array_larger_than_its_file_can_hold_is_not_filled(tmp_path: Path) -> None:
    """HDF5 fills what was never written, for hours if it is told so: a find of fuzzing. Witness: the number of values."""
    import h5py
    import numpy as np
    import xarray as xr

    file = tmp_path / "a.nc"
    write_groups(file, {"g": xr.Dataset({"x": (("a",), np.zeros(3))})}, {"format": "f"})
    assert read_groups(file, "g")[0]["g"]["x"].size == 3
    with h5py.File(file, "a") as made:
        made["g"].create_dataset("huge", shape=(10**12,), dtype="f8")
    with pytest.raises(CellsimError, match="1000000000000 values"):
        read_groups(file, "g")


@pytest.mark.parametrize("how", ["values", "a virtual array", "a group"])
def test_what_stands_in_another_file_is_not_read(how: str, tmp_path: Path) -> None:
    """HDF5 would open whatever file it is pointed to. Witness: h5py, which reads the neighbour's values through each of these."""
    import h5py
    import numpy as np
    import xarray as xr

    file, other = tmp_path / "a.nc", tmp_path / "other.nc"
    for each in (file, other):
        write_groups(each, {"g": xr.Dataset({"x": (("a",), np.full(3, 7.0))})}, {"format": "f"})
    (tmp_path / "raw").write_bytes(np.full(3, 7.0).tobytes())
    with h5py.File(file, "a") as made:
        if how == "values":
            made["g"].create_dataset("far", (3,), "f8", external=[(str(tmp_path / "raw"), 0, 24)])
        elif how == "a virtual array":
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(other), "g/x", (3,))
            made["g"].create_virtual_dataset("far", layout)
        else:
            made["far"] = h5py.ExternalLink(str(other), "g")
    with h5py.File(file) as made:
        seen = made["far/x"] if how == "a group" else made["g/far"]
        assert seen[()].tolist() == [7.0, 7.0, 7.0]
    with pytest.raises(CellsimError, match="another file"):
        read_groups(file, "g")


def test_the_command_line_writes_what_the_functions_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Witness: the bytes of the archive that the function makes; the problem folders score as the case."""
    from cellsim.cli.commands import main

    case = decay([6.0, 3.7], [1.0, 2.0])
    source = tmp_path / "case"
    source.mkdir()
    for name, text in case.files.items():
        (source / name).write_text(text)
    opened = cs.load_case(source)
    assert main(["export", str(source), "--out", str(tmp_path / "a.omex")]) in (0, None)
    export_archive(opened, tmp_path / "b.omex")
    assert (tmp_path / "a.omex").read_bytes() == (tmp_path / "b.omex").read_bytes()
    for version in ("petab1", "petab2"):
        assert main(["export", str(source), "--to", version, "--out", str(tmp_path / version)]) in (0, None)
        assert cs.load_case(tmp_path / version).log_likelihood() == pytest.approx(
            case.log_likelihood(), rel=1e-6
        )
    assert "wrote" in capsys.readouterr().out
