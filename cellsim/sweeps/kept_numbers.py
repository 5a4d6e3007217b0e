"""Numbers of many draws under every plan: in memory, and beyond a size in a file without a name that is mapped there.

Ten million simulations of ninety measures are 7 GB, as many of the prior beside them. What a table or a ranking reads of them at a time
is one measure of one or of all plans. So they are kept row by row, the draws of one plan and measure together, and of a mapped file
only what is being read takes memory: every answer is exact, as if all were held.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CellsimError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["KeptNumbers", "let_go"]

_IN_MEMORY = 2**28  # bytes


class KeptNumbers:
    """Numbers to which draws are added.

    Parameters
    ----------
    n_plans, n_asked, n_draws : int
        Room for so many draws; more make room for themselves.
    folder : path, optional
        Where a file is made; the system's folder for such files by default.

    Examples
    --------
    >>> kept = KeptNumbers(1, 2, 3)
    >>> kept.add(np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), np.array([True, False, True]))
    >>> kept.numbers
    array([[[1., 3.],
            [4., 6.]]])
    """

    def __init__(self, n_plans: int, n_asked: int, n_draws: int, folder: Path | None = None) -> None:
        self._folder, self.count = folder, 0
        self._all = self._room(n_plans, n_asked, n_draws)

    def _room(self, *shape: int) -> Array:
        size = 8 * int(np.prod(shape))
        if size <= _IN_MEMORY:
            return np.empty(shape)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # a mapped file that finds the disk full ends the process: its room is taken beforehand
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, float, "w+", shape=shape)
        except OSError as error:
            where = self._folder or tempfile.gettempdir()
            raise CellsimError(
                f"{size / 1e9:.1f} GB of numbers ({shape[0]} plans, {shape[1]} questions, {shape[2]} draws) find no room in {where}: "
                f"{error.strerror or error}. Ask for fewer measures or draws, or name a folder with room by TMPDIR or store=."
            ) from None

    def add(self, numbers: Array, wanted: NDArray[np.bool_]) -> None:
        """Put more draws behind those that are there, those wanted of them.

        Parameters
        ----------
        numbers : array, shape (n_plans, n_asked, n_more)
        wanted : array of bool, shape (n_more,)
        """
        end = self.count + int(wanted.sum())
        if end > self._all.shape[2]:
            before = self._all
            self._all = self._room(*before.shape[:2], max(end, 2 * before.shape[2]))
            for new, old in zip(self._all, before, strict=True):
                new[:, : self.count] = old[:, : self.count]
                let_go(self._all)
                let_go(before)
        self._all[:, :, self.count : end] = numbers if wanted.all() else numbers[:, :, wanted]
        self.count = end
        let_go(self._all)

    @property
    def numbers(self) -> Array:
        """All that was added, shape (n_plans, n_asked, n_draws)."""
        return self._all[:, :, : self.count]


def let_go(numbers: Array) -> None:
    """Take the memory back that reading or writing a mapped file took; what it holds stays."""
    mapped = getattr(numbers, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
