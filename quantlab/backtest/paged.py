"""Room for results that may be larger than memory: from a size on they lie in a file."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from math import prod

import numpy as np

from quantlab.errors import InputError

IN_MEMORY = 192 * 2**20
"""Bytes up to which an array is kept in memory."""


class Room:
    """An uninitialised float64 array; if it is large, a file without a name in the temporary folder holds it.

    The file goes when the last view of the array goes, also after a kill -9. What was written stays readable
    after `release`; the system writes it out and reads it back as it needs memory.

    Parameters
    ----------
    shape : tuple of int

    Raises
    ------
    InputError
        The temporary folder has no room for it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        size = 8 * prod(shape)
        self._map: mmap.mmap | None = None
        if size <= IN_MEMORY:
            self.array = np.empty(shape)
            return
        with tempfile.TemporaryFile(prefix="quantlab-surface-") as file:
            _reserve(file.fileno(), size)
            self._map = mmap.mmap(file.fileno(), size)
        self.array = np.frombuffer(self._map, np.float64).reshape(shape)

    def release(self) -> None:
        """Take what was written out of this process's memory, if it lies in a file."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(file: int, size: int) -> None:
    """Claim the disk space now: a mapped file that finds none later ends the process."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        else:
            os.truncate(file, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        raise InputError(
            f"the result takes {size / 1e9:.1f} GB, which {tempfile.gettempdir()} has no room for "
            f"({error.strerror}): set TMPDIR to a folder that has, or sweep a smaller grid."
        ) from error
