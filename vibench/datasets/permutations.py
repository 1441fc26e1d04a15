"""The official gallery draws of SYSU-MM01: ``exp/rand_perm_cam.mat`` of the data set's authors.

The file holds a 6x1 cell ``rand_perm_cam``; entry *c* is a cell over identities, whose entry *pid* is a (10, n)
matrix for the n images of that identity in that camera (both counted from 1). Row *t* is the permutation of the
image numbers 1...n that trial *t* uses. Identities that a camera has not seen have an empty matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from vibench.datasets.matlab import read_variable
from vibench.errors import UsageError
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.writing import atomic_path

CAMERAS = 6
TRIALS = 10
VARIABLE = "rand_perm_cam"
_HEADER_TEXT_BYTES = 116


class Permutations(Mapping[tuple[int, int], np.ndarray]):
    """(camera, pid) -> (10, n) int64 array of image numbers from 1, one trial a row; in ascending order of the key."""

    def __init__(self, permutations: Mapping[tuple[int, int], np.ndarray]) -> None:
        """Raises `ValueError` for a matrix whose rows are no ten permutations of 1...n."""
        self._rows: dict[tuple[int, int], np.ndarray] = {}
        for (camera, pid), given in sorted(permutations.items(), key=lambda item: item[0]):
            rows = np.asarray(given)
            if rows.ndim != 2 or rows.shape[0] != TRIALS or rows.shape[1] == 0:
                raise ValueError(f"camera {camera}, identity {pid}: shape {rows.shape} instead of ({TRIALS}, n)")
            if (np.sort(rows, axis=1) != np.arange(1, rows.shape[1] + 1)).any():
                raise ValueError(f"camera {camera}, identity {pid}: a row is no permutation of 1 to {rows.shape[1]}")
            rows = rows.astype(np.int64)
            rows.flags.writeable = False
            self._rows[int(camera), int(pid)] = rows

    def __getitem__(self, key: tuple[int, int]) -> np.ndarray:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content as canonical JSON: rows ``[camera, pid, [[...] x 10]]`` in ascending order.

        It does not depend on the file's compression, number types or header.
        """
        return sha256_text(canonical_json([[*key, rows.tolist()] for key, rows in self.items()]))


def read_permutations(mat: Path) -> Permutations:
    """The draws of a ``rand_perm_cam.mat``; `UsageError` when it is absent, unreadable or of another shape."""
    mat = Path(mat)
    cells = read_variable(mat, VARIABLE)
    if cells.dtype != object or cells.size != CAMERAS:
        raise UsageError(
            f"{VARIABLE} in {mat} is no cell of {CAMERAS} cameras; take the file from the data set's authors"
        )
    permutations = {}
    for camera, cell in enumerate(cells.ravel(), start=1):
        for pid, rows in enumerate(np.asarray(cell).ravel(), start=1):
            if np.size(rows):
                permutations[camera, pid] = rows
    try:
        return Permutations(permutations)
    except ValueError as error:
        raise UsageError(f"{mat} is damaged ({error}); take the file from the data set's authors") from error


def write_permutations(path: Path, permutations: Mapping[tuple[int, int], np.ndarray]) -> None:
    """Write (10, n) matrices per (camera, pid) to ``path`` in the official file's layout, atomically.

    Equal draws give equal bytes. Raises `ValueError` for a matrix whose rows are no ten permutations of 1...n, and
    for a camera outside 1...6.
    """
    from scipy.io import savemat

    checked = Permutations(permutations)
    cells = np.empty((CAMERAS, 1), dtype=object)
    for camera in range(1, CAMERAS + 1):
        highest = max((pid for of, pid in checked if of == camera), default=1)
        cell = np.empty((highest, 1), dtype=object)
        for at in range(highest):
            rows = checked.get((camera, at + 1), np.empty((TRIALS, 0)))
            cell[at, 0] = rows.astype(np.uint8 if rows.shape[1] < 256 else np.uint16)
        cells[camera - 1, 0] = cell
    unknown = sorted({camera for camera, _ in checked} - set(range(1, CAMERAS + 1)))
    if unknown:
        raise ValueError(f"camera {unknown[0]} is not one of 1 to {CAMERAS}")
    with atomic_path(path) as temporary:
        savemat(temporary, {VARIABLE: cells}, appendmat=False, do_compression=True)
        with temporary.open("r+b") as written:
            # The descriptive text would otherwise hold the time of writing.
            written.write(b"MATLAB 5.0 MAT-file".ljust(_HEADER_TEXT_BYTES))
