"""The numbers of a grid that is too large for memory, written block by block into a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


class OnDisk:
    """A ``.npy`` file of float32 that is filled block by block.

    It is written, not mapped: a full disk is then an error and no crash, and what was written
    takes no memory of the process.

    Raises:
        OSError: The disk is full; it is found out before anything is computed.
    """

    def __init__(self, file: Path, shape: tuple[int, int, int]):
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        self.file: Any = open(file, "wb")  # noqa: SIM115
        try:
            np.lib.format.write_array_header_1_0(self.file, header)
            self.file.flush()
            self.start, self.row = self.file.tell(), 4 * shape[1] * shape[2]
            if shape[0] * self.row and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.file.fileno(), self.start, shape[0] * self.row)
        except BaseException:
            self.file.close()
            raise

    def __setitem__(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Write rows, as into an array: positions (m,), and their values (m, steps, channels)."""
        block = np.ascontiguousarray(block, dtype="<f4")
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip([0, *breaks], [*breaks, len(rows)], strict=True):
            if last > first:
                self.file.seek(self.start + int(rows[first]) * self.row)
                self.file.write(block[first:last].data)

    def close(self) -> None:
        """Write out what is still held."""
        self.file.close()
