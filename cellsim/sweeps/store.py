"""A sweep on disk: what is done of it stays done, whatever stops it.

Draws and plans are cut into blocks of one size, small enough that what a kill takes with it is a second or two of work. A block is
simulated and written as one chunk of each array of a Zarr store
(version 3, no shards, so that no two writers share a file); then the digest of these files is written, whole or not at all. A block
counts only if its digest is there and is that of its chunks as they lie on disk (which takes no Zarr to tell, so that a large sweep begins
again at once), so that one that was being written when a process was killed, a disk was full or a file
was cut short is simply missing and made again. The manifest says what was asked, and another question is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim import __version__
from cellsim.errors import CellsimError, Problem
from cellsim.files import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["BLOCK", "PLANS", "Block", "SweepStore", "digest"]

BLOCK = 64
"""Draws of a block: part of the question, since measures that add noise draw it block by block."""

PLANS = 8
"""Plans of a block at most, which share what they have in common; the next ones share the history of their draws with them."""

# into so many plans are cut at least, where there are as many: what a kill takes with it is one of them
_PARTS = 25

_FORMAT = "cellsim sweep 4"
_MANIFEST, _DIGESTS = "cellsim-sweep.json", "blocks"
_ARRAYS = ("posterior", "prior", "posterior_simulated", "prior_simulated")


@dataclass(frozen=True, eq=False)
class Block:
    """Some draws under some plans.

    Attributes
    ----------
    posterior, prior : array, shape (n_plans, n_asked, n_draws)
    posterior_simulated, prior_simulated : array of bool, shape (n_plans, n_draws)
    courses : mapping of str to array, shape (n_plans, n_draws, n_times)
        Of posterior draws; empty beyond the first blocks.
    why : tuple of str
        What stopped the first posterior and prior draw that could not be simulated.
    """

    posterior: Array
    prior: Array
    posterior_simulated: NDArray[np.bool_]
    prior_simulated: NDArray[np.bool_]
    courses: Mapping[str, Array]
    why: tuple[str, str]

    def parts(self) -> dict[str, NDArray[Any]]:
        """Every array by the name under which it is stored."""
        return {name: getattr(self, name) for name in _ARRAYS} | {
            f"courses/{name}": each for name, each in self.courses.items()
        }


def digest(*parts: bytes | str | NDArray[Any]) -> str:
    """SHA-256 of texts and arrays, each with its length, so that no two lists share one."""
    out = hashlib.sha256()
    for part in parts:
        content = (
            part.encode()
            if isinstance(part, str)
            else part
            if isinstance(part, bytes)
            else np.ascontiguousarray(part).tobytes()
        )
        out.update(f"{len(content)}:".encode())
        out.update(content)
    return out.hexdigest()


class SweepStore:
    """The folder of one sweep.

    Parameters
    ----------
    path : path
        Made if it is not there.
    question : mapping of str to str
        By what of it can change, its digest; compared with what the folder holds.
    n_plans, n_asked, n_draws : int
    courses : mapping of str to int
        Quantities whose courses are kept, each with its number of times.
    with_courses : int
        Draws whose courses are kept.

    Raises
    ------
    CellsimError
        The folder holds another question (everything that differs is named), is no such store, or cannot be written; the package
        zarr is missing.
    """

    def __init__(
        self,
        path: str | Path,
        question: Mapping[str, str],
        *,
        n_plans: int,
        n_asked: int,
        n_draws: int,
        courses: Mapping[str, int],
        with_courses: int,
    ) -> None:
        self.path = Path(path).absolute()  # workers may run elsewhere
        self.n_plans, self.n_draws = n_plans, n_draws
        self.plans_a_block = max(1, min(PLANS, n_plans // _PARTS))  # workers have it from here
        self.with_courses, self.courses = with_courses, dict(courses)
        wanted = {
            "format": _FORMAT,
            "cellsim": __version__,
            "draws_a_block": BLOCK,
            "plans_a_block": self.plans_a_block,
            "question": dict(question),
        }
        manifest = self.path / _MANIFEST
        if manifest.is_file():
            self._compare(manifest, wanted)
        else:
            if self.path.exists() and any(self.path.iterdir()):
                raise CellsimError(
                    f"{self.path} holds something else than a sweep; give a new or an empty folder."
                )
            self._create(n_asked, json.dumps(wanted, indent=1))

    def _compare(self, manifest: Path, wanted: Mapping[str, Any]) -> None:
        try:
            held = json.loads(manifest.read_text(encoding="utf-8"))
            asked = {**held["question"], "version of cellsim": held["cellsim"], "format": held["format"]}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CellsimError(f"{manifest} is damaged ({error}); give a new folder.") from None
        now = {**wanted["question"], "version of cellsim": wanted["cellsim"], "format": wanted["format"]}
        changed = [name for name in {**asked, **now} if asked.get(name) != now.get(name)]
        if changed:
            raise CellsimError(
                [
                    Problem(
                        what=f"{self.path} holds another question: {', '.join(changed)} "
                        f"{'is' if len(changed) == 1 else 'are'} not what was asked there.",
                        remedy="Ask as before to go on with it, or give another folder.",
                    )
                ]
            )

    def _create(self, n_asked: int, manifest: str) -> None:
        """Made beside its place and moved there when it is whole."""
        zarr = _zarr()
        place = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        plans, several = self.n_plans, self.plans_a_block
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            "posterior": ((n_asked,), "float64"),
            "prior": ((n_asked,), "float64"),
            "posterior_simulated": ((), "bool"),
            "prior_simulated": ((), "bool"),
        }
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            root = zarr.open_group(str(place), mode="a", zarr_format=3)
            for name, (shape, kind) in shapes.items():
                root.create_array(
                    name, shape=(plans, *shape, self.n_draws), chunks=(several, *shape, BLOCK), dtype=kind
                )
            for name, times in self.courses.items():
                root.create_array(
                    f"courses/{name}",
                    shape=(plans, self.with_courses, times),
                    chunks=(several, BLOCK, times),
                    dtype="float64",
                )
            (place / _DIGESTS).mkdir()
            write_whole(place / _MANIFEST, manifest)
            if self.path.exists():
                self.path.rmdir()
            place.rename(self.path)
        except OSError as error:
            # another process may have made the same store in between
            if not (self.path / _MANIFEST).is_file():
                raise CellsimError(f"{self.path} cannot be written: {error.strerror or error}.") from None
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """Every array by its name: to look one up anew takes longer than to write a chunk of it."""
        zarr = _zarr()
        try:
            group = zarr.open_group(str(self.path), mode="r+", zarr_format=3)
            return {name: group[name] for name in (*_ARRAYS, *(f"courses/{each}" for each in self.courses))}
        except (OSError, ValueError, KeyError) as error:
            raise CellsimError(
                f"{self.path} cannot be opened as a Zarr store: {error}. Give a new folder."
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {name: each for name, each in self.__dict__.items() if name != "_arrays"}

    # ---- blocks -----------------------------------------------------------------------------------

    @property
    def _parts(self) -> int:
        """Blocks that the plans of some draws are cut into."""
        return -(-self.n_plans // self.plans_a_block)

    @property
    def count(self) -> int:
        """How many blocks there are in all: those of the first draws, plan by plan, then those of the next."""
        return -(-self.n_draws // BLOCK) * self._parts

    def batch_of(self, block: int) -> int:
        """Which draws a block is of: all blocks of one number have the same."""
        return block // self._parts

    def draws_of(self, block: int) -> slice:
        """The draws of a block."""
        begin = self.batch_of(block) * BLOCK
        return slice(begin, min(begin + BLOCK, self.n_draws))

    def plans_of(self, block: int) -> slice:
        """The plans of a block."""
        begin = block % self._parts * self.plans_a_block
        return slice(begin, min(begin + self.plans_a_block, self.n_plans))

    def has_courses(self, block: int) -> bool:
        """Whether courses of its draws are kept."""
        return self.batch_of(block) * BLOCK < self.with_courses

    def open(self) -> None:
        """Make ready to write, which takes a while the first time: not while a block that is made waits for it."""
        self._arrays  # noqa: B018

    def missing(self) -> list[int]:
        """Blocks that are not there, or not as they were written."""
        return [block for block in range(self.count) if self._said(block) is None]

    def write(self, block: int, made: Block) -> None:
        """One block: its chunks, then its digest.

        Raises
        ------
        CellsimError
            If it cannot be written; what was there stays.
        """
        draws, plans = self.draws_of(block), self.plans_of(block)
        try:
            for name, each in made.parts().items():
                array = self._arrays[name]
                array[(plans, draws) if name.startswith("courses/") else (plans, ..., draws)] = each
            said = {"sha256": self._digest_of_chunks(block), "why": list(made.why)}
            write_whole(self._digest(block), json.dumps(said))
        except (OSError, CellsimError) as error:
            with suppress(OSError):
                self._digest(block).unlink()
            reason = getattr(error, "strerror", None) or str(error)
            done = sum((self.path / _DIGESTS / f"{k}.json").is_file() for k in range(self.count))
            raise CellsimError(
                f"Block {block + 1} of {self.count} could not be written to {self.path}: {reason.rstrip('.')}. {done} blocks are there "
                "and stay; make room and ask again, and only what is missing is done."
            ) from None

    def read(self, block: int) -> Block | None:
        """A block, or None where it is not there as it was written."""
        if (said := self._said(block)) is None:
            return None
        draws, plans = self.draws_of(block), self.plans_of(block)
        try:
            arrays = {name: np.asarray(self._arrays[name][plans, ..., draws]) for name in _ARRAYS}
            courses = {}
            if self.has_courses(block):
                courses = {
                    name: np.asarray(self._arrays[f"courses/{name}"][plans, draws]) for name in self.courses
                }
            return Block(**arrays, courses=courses, why=(str(said["why"][0]), str(said["why"][1])))
        except (OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError):
            return None

    def batches(self) -> Iterator[Block]:
        """Draws of which every block is there, under every plan, in order."""
        for first in range(0, self.count, self._parts):
            found = [self.read(block) for block in range(first, first + self._parts)]
            made = [each for each in found if each is not None]
            if len(made) == self._parts:
                yield made[0] if len(made) == 1 else _together(made)

    def _said(self, block: int) -> dict[str, Any] | None:
        """What was written of a block when it was whole, if its chunks are those still."""
        try:
            said = json.loads(self._digest(block).read_text(encoding="utf-8"))
            return said if said["sha256"] == self._digest_of_chunks(block) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _digest_of_chunks(self, block: int) -> str:
        """Of the files of a block; a chunk that holds nothing but zeros has none."""
        batch, part = divmod(block, self._parts)
        places = [f"{name}/c/{part}/0/{batch}" for name in ("posterior", "prior")]
        places += [f"{name}_simulated/c/{part}/{batch}" for name in ("posterior", "prior")]
        if self.has_courses(block):
            places += [f"courses/{name}/c/{part}/{batch}/0" for name in sorted(self.courses)]
        found = []
        for place in places:
            try:
                found.append((self.path / place).read_bytes())
            except FileNotFoundError:
                found.append(b"")
        return digest(*found)

    def _digest(self, block: int) -> Path:
        return self.path / _DIGESTS / f"{block}.json"


def _together(parts: Sequence[Block]) -> Block:
    """The same draws under the plans of several blocks."""
    arrays = {name: np.concatenate([each.parts()[name] for each in parts]) for name in parts[0].parts()}
    courses = {name: arrays.pop(f"courses/{name}") for name in parts[0].courses}
    first, second = (next((each.why[k] for each in parts if each.why[k]), "") for k in (0, 1))
    return Block(**arrays, courses=courses, why=(first, second))


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        raise CellsimError(
            "a sweep on disk needs the package zarr. Install it: pip install 'cellsim[store]'."
        ) from None
    return zarr


def shown_courses(
    names: Sequence[str], *, n_plans: int, n_times: int, draws: int, most: int
) -> tuple[str, ...]:
    """As many quantities as `most` numbers have room for, the first ones.

    Examples
    --------
    >>> shown_courses(["a", "b"], n_plans=2, n_times=10, draws=5, most=150)
    ('a',)
    """
    return tuple(names)[: max(most // max(n_plans * n_times * draws, 1), 1)]
