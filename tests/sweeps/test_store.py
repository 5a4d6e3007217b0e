"""A sweep on disk: the same numbers, nothing lost and nothing doubled whatever stops it, and another question is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from patients import small_fit

import cellsim as cs
from benchmarks.kills import blocks, killed
from cellsim.errors import CellsimError
from cellsim.predictions.measures import DaysBelow, InRange
from cellsim.sweeps.store import BLOCK

DRAWS = 3 * BLOCK - 10


def plans() -> dict[str, cs.Schedule]:
    case = small_fit().case
    return {"as given": case.schedule, "nothing": cs.Schedule((), case.products)}


def asked(path: Path | None, **more: object) -> cs.Sweep:
    options = {
        "until": 60,
        "measures": [DaysBelow("D", 0.9), InRange(noise=True)],
        "draws": DRAWS,
        "seed": 3,
    } | more
    return cs.sweep(small_fit(), options.pop("plans", None) or plans(), store=path, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store."""
    path = tmp_path_factory.mktemp("store") / "sweep"
    asked(path)
    return path


def content(path: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(path)): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()
    }


def test_it_says_what_a_sweep_in_memory_says(whole: Path) -> None:
    """Witness: the sweep in memory, whose measures without noise do not depend on blocks."""
    held, other = asked(whole), asked(None)
    assert np.allclose(held.posterior[:, 0], other.posterior[:, 0], rtol=1e-6)
    assert np.allclose(held.prior[:, 0], other.prior[:, 0], rtol=1e-6)
    assert held.posterior.shape[2] == DRAWS
    assert set(held.curves) == set(other.curves)
    for name, each in held.curves.items():
        assert np.allclose(each, other.curves[name], rtol=1e-5)


def test_asked_again_it_simulates_nothing(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(whole)
    monkeypatch.setattr(
        "cellsim.sweeps.stored_sweep.measured", lambda *_, **__: pytest.fail("simulated again")
    )
    asked(whole)
    assert content(whole) == before


@pytest.mark.parametrize(
    "harm", ["a chunk cut short", "a chunk gone", "a digest gone", "a digest of nonsense"]
)
def test_what_is_damaged_is_made_again_and_nothing_else(whole: Path, tmp_path: Path, harm: str) -> None:
    """Witness: the undisturbed store, byte for byte."""
    path = tmp_path / "sweep"
    shutil.copytree(whole, path)
    chunk = next(each for each in sorted((path / "posterior" / "c").rglob("*")) if each.is_file())
    label = path / "blocks" / "0.json"
    if harm == "a chunk cut short":
        chunk.write_bytes(chunk.read_bytes()[:-7])
    elif harm == "a chunk gone":
        chunk.unlink()
    elif harm == "a digest gone":
        label.unlink()
    else:
        label.write_text("{")
    asked(path)
    assert content(path) == content(whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"draws": DRAWS + 1}, "draws"),
        ({"until": 61}, "last day"),
        ({"measures": [DaysBelow("D", 0.8)]}, "measures"),
        ({"plans": {"as given": cs.Schedule(), "nothing": cs.Schedule()}}, "schedule 'as given'"),
    ],
)
def test_another_question_is_refused_by_what_is_another(whole: Path, change: dict, named: str) -> None:
    with pytest.raises(CellsimError, match=named):
        asked(whole, **change)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CellsimError, match="something else"):
        asked(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_a_disk_that_is_full_keeps_what_is_done(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellsim.sweeps import store

    path, written = tmp_path / "sweep", []
    write = store.write_whole

    def full(place: Path, text: str) -> None:
        if place.parent.name == "blocks" and len(written) == 1:
            raise OSError(28, "No space left on device")
        written.append(place) if place.parent.name == "blocks" else None
        write(place, text)

    monkeypatch.setattr(store, "write_whole", full)
    with pytest.raises(CellsimError, match=r"Block 2 of 3 .*No space left.* 1 blocks are there"):
        asked(path)
    monkeypatch.undo()
    asked(path)
    assert content(path) == content(whole)


def test_an_interrupt_leaves_whole_blocks(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellsim.sweeps import stored_sweep

    path, made = tmp_path / "sweep", []
    measured = stored_sweep.measured

    def stopped(*given: object, **more: object) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(1)
        return measured(*given, **more)

    monkeypatch.setattr(stored_sweep, "measured", stopped)
    part = asked(path)
    assert part.interrupted
    assert part.posterior.shape[2] == BLOCK
    monkeypatch.undo()
    asked(path)
    assert content(path) == content(whole)


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="processes are made by a fork and killed by a signal of POSIX"
)
def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, whole: Path) -> None:
    """Witness: the undisturbed store, byte for byte, after kills at work (``benchmarks.kills`` does 200), each of which takes one block."""
    path = tmp_path / "sweep"
    found = killed(lambda: asked(path), kills=6, seconds=0.01, seed=1)
    assert found.kills >= 1
    assert found.done <= blocks(path) <= found.begun <= found.done + found.kills
    asked(path)
    held = content(path)
    # a killed writer may leave the beginning of a file under a name of its own, which nothing reads
    assert {name: held.get(name) for name in content(whole)} == content(whole)


def test_workers_of_a_cluster_write_the_same_store(tmp_path: Path, whole: Path) -> None:
    """Witness: the store that one process made, byte for byte."""
    from distributed import Client, LocalCluster

    path = tmp_path / "sweep"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        result = asked(path, client=client)
    assert content(path) == content(whole)
    assert result.posterior.shape[2] == DRAWS


def test_a_cluster_without_a_folder_is_refused() -> None:
    with pytest.raises(CellsimError, match="give store="):
        asked(None, client=object())
