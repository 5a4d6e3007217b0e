"""A sweep on disk: the same numbers, nothing lost and nothing doubled whatever stops it, and another question is refused."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from patients import small_fit

import cellsim as cs
from benchmarks.kills import blocks, killed
from cellsim.errors import CellsimError
from cellsim.predictions.measures import DaysBelow, InRange
from cellsim.sweeps.kept_numbers import KeptNumbers, let_go
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


@pytest.fixture(scope="module", autouse=True)
def _a_plan_a_block() -> Iterator[None]:
    """Both plans of the sweep in blocks of their own, like hundreds in blocks of a few dozen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellsim.sweeps.store.PLANS", 1)
        yield


@pytest.fixture(scope="module")
def whole(_a_plan_a_block: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def test_numbers_of_another_tolerance_are_not_added_to(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellsim.sweeps.stored_sweep.RTOL", 1e-5)
    with pytest.raises(CellsimError, match="relative tolerance"):
        asked(whole)


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
    with pytest.raises(CellsimError, match=r"Block 2 of 6 .*No space left.* 1 blocks are there"):
        asked(path)
    monkeypatch.undo()
    asked(path)
    assert content(path) == content(whole)


@pytest.mark.parametrize("when", [7, 3])
def test_an_interrupt_leaves_whole_blocks(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """Each block is measured twice, posterior and prior: after seven times both plans of the first draws are done and one of the next, which are
    no answer yet; after three there is none."""
    from cellsim.sweeps import stored_sweep

    path, made = tmp_path / "sweep", []
    measured = stored_sweep.measured

    def stopped(*given: object, **more: object) -> object:
        if len(made) == when:
            raise KeyboardInterrupt
        made.append(1)
        return measured(*given, **more)

    monkeypatch.setattr(stored_sweep, "measured", stopped)
    if when == 3:
        with pytest.raises(KeyboardInterrupt):
            asked(path)
    else:
        part = asked(path)
        assert part.interrupted
        assert part.posterior.shape[2] == BLOCK
    assert blocks(path) == when // 2
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


def test_numbers_too_many_for_memory_are_the_same_in_a_file(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the sweep whose numbers are held, in every table, in memory and in a folder; of a mapped file nothing stays after a table."""
    for place in (None, whole):
        held = asked(place)
        with monkeypatch.context() as patch:
            patch.setattr("cellsim.sweeps.kept_numbers._IN_MEMORY", 0)
            kept = asked(place)
        assert isinstance(kept.posterior, np.memmap) and not isinstance(held.posterior, np.memmap)
        assert np.array_equal(kept.posterior, held.posterior) and np.array_equal(kept.prior, held.prior)
        assert kept.table().equals(held.table()) and kept.contrasts().equals(held.contrasts())
        first, second = (each.ranking("days below 0.9", "D", better="higher") for each in (kept, held))
        assert first.equals(second)
    assert not list(whole.glob("tmp*"))


def test_more_draws_than_room_was_made_for_and_lost_ones_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: numpy's concatenation."""
    for limit in (2**28, 0):
        monkeypatch.setattr("cellsim.sweeps.kept_numbers._IN_MEMORY", limit)
        random = np.random.default_rng(1)
        parts = [random.normal(size=(3, 2, 5)) for _ in range(4)]
        wanted = [random.random(5) < 0.7 for _ in parts]
        kept = KeptNumbers(3, 2, 4)
        for each, fine in zip(parts, wanted, strict=True):
            kept.add(each, fine)
        assert np.array_equal(kept.numbers, np.concatenate(parts, axis=2)[:, :, np.concatenate(wanted)])


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory is read where Linux tells it")
def test_a_simulation_takes_no_memory_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million simulations of 25 measures are 100 MB: less than a tenth of it stays, while writing and after each plan was read."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    monkeypatch.setattr("cellsim.sweeps.kept_numbers._IN_MEMORY", 2**20)
    kept, batch = KeptNumbers(50, 25, 10_000), np.ones((50, 25, 1000))
    kept.add(batch, np.ones(1000, bool))
    before = resident()
    for _ in range(9):
        kept.add(batch, np.ones(1000, bool))
    for plan in kept.numbers:
        assert plan.sum() == 250_000
        let_go(plan)
    assert kept.numbers.nbytes == 100_000_000 and resident() - before < 10_000_000


def test_a_disk_without_room_for_numbers_is_said_before_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cellsim.sweeps.kept_numbers._IN_MEMORY", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CellsimError, match=r"8\.0 GB of numbers .* find no room in .*No space left.*TMPDIR"):
        KeptNumbers(10, 1, 10**8, tmp_path)
