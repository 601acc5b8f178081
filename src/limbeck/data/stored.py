"""NumPy arrays in files, read a few rows at a time by plain reads.

Not through a memory map: pages of a map count as this process's memory for as long as the system leaves them there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, its first axis the rows."""

    path: Path
    """The file."""
    offset: int
    """Byte where its numbers start."""
    shape: tuple[int, ...]
    """As NumPy's."""
    dtype: np.dtype
    """As NumPy's."""
    fortran: bool = False
    """Whether it is stored column by column: it is then read whole."""
    member: str | None = None
    """Name in a compressed archive: it is then unpacked whole."""

    @classmethod
    def at(cls, path: Path, start: int) -> StoredArray:
        """The array whose .npy header starts at this byte; ValueError if there is none or the file is too short."""
        with path.open("rb") as file:
            file.seek(start)
            found = cls.described(path, file)
            found = cls(path, file.tell(), found.shape, found.dtype, found.fortran)
        found.check_room(os.path.getsize(path))
        return found

    @classmethod
    def described(cls, path: Path, file: IO[bytes], member: str | None = None) -> StoredArray:
        """The array that a .npy header describes, of numbers or text: objects would be pickles."""
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(
                f"version {version} of NumPy's format, of named fields, is no column of numbers."
            )
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if bool in map(type, shape):
            raise ValueError(f"a shape of {shape} is none: sizes are whole numbers.")
        if dtype.itemsize < 0:  # NumPy 2.1 takes a length of text whose bytes overflow
            raise ValueError(f"entries of {dtype} have no size.")
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded: they are pickles, which run code.")
        return cls(path, 0, shape, dtype, fortran, member)

    @classmethod
    def of_memmap(cls, array: np.memmap) -> StoredArray | None:
        """Where a whole memory map lies, None for a part of one."""
        part = isinstance(array.base, np.ndarray)  # whose offset NumPy does not keep
        if part or array.filename is None or not array.flags.c_contiguous:
            return None
        return cls(Path(array.filename), array.offset, array.shape, array.dtype)

    def check_room(self, end: int) -> None:
        """Raise ValueError unless the array ends before this byte."""
        missing = self.offset + self.nbytes - end
        if missing > 0:
            raise ValueError(f"shape {self.shape} of {self.dtype} lacks its last {missing} bytes: truncated.")

    @property
    def nbytes(self) -> int:
        """Size of its numbers."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def opened(self) -> Callable[[int, int], np.ndarray]:
        """A function that reads rows ``start`` to ``stop``."""
        if self.member is not None:
            with np.load(self.path, allow_pickle=False) as archive:
                array = archive[self.member.removesuffix(".npy")]
            return lambda start, stop: array[start:stop]
        if self.fortran and len(self.shape) > 1:
            array = self._read(0, self.nbytes // self.dtype.itemsize).reshape(self.shape, order="F")
            return lambda start, stop: array[start:stop]
        return self._rows

    def _rows(self, start: int, stop: int) -> np.ndarray:
        start, stop = min(start, len(self)), min(stop, len(self))
        width = int(np.prod(self.shape[1:], dtype=int))
        return self._read(start * width, (stop - start) * width).reshape(stop - start, *self.shape[1:])

    def _read(self, first: int, count: int) -> np.ndarray:
        found = np.fromfile(self.path, self.dtype, count, offset=self.offset + first * self.dtype.itemsize)
        if len(found) < count:
            raise OSError(
                f"the file ended {count - len(found)} numbers early: was it changed while it was read?"
            )
        return found
