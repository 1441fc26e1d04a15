"""Builds an image cache in chunks on several processes, so that an interrupted build can go on.

Until it is finished a build has two files of its own: ``images.partial.npy``, into which every worker writes its
chunks, and ``chunks.partial``, whose first line is the fingerprint and every further line a finished chunk with its
checksum. A later build with the same fingerprint keeps the chunks whose checksums still hold.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vibench.datasets.image_file import read_rgb
from vibench.datasets.pixels import PixelFacts, View, count_colours, equal_images, pixel_facts
from vibench.errors import VibenchError
from vibench.files.digests import sha256_file
from vibench.files.npz import open_npy
from vibench.files.reading import read_text
from vibench.files.writing import write_json, write_text
from vibench.runtime.parallel import map_in_processes
from vibench.runtime.progress import Progress, silent

FORMAT = 2
"""Version of the cache's files; part of the fingerprint."""
MARKER = "cache.json"
"""The file that says the cache is finished."""
CHUNK_IMAGES = 128
RESAMPLING = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}
_JOURNAL_LINE = re.compile(r"([0-9]{1,9}) ([0-9]{1,10})\n")


class Source(Protocol):
    """Where the images of a cache come from; worker processes get parts of it."""

    def __len__(self) -> int:
        """How many images there are."""

    def part(self, first: int, end: int) -> Source:
        """The images from ``first`` up to ``end``, which is left out, as far as there are any."""

    def pixels(self) -> np.ndarray:
        """All of them, (N, H, W, 3) uint8."""


@dataclass(frozen=True)
class Files:
    """Image files, resized."""

    root: Path
    paths: tuple[str, ...]
    """Relative paths, in the order of the rows."""
    height: int
    width: int
    interpolation: str

    def __len__(self) -> int:
        return len(self.paths)

    def part(self, first: int, end: int) -> Files:
        """See `Source`."""
        return replace(self, paths=self.paths[first:end])

    def pixels(self) -> np.ndarray:
        """See `Source`."""
        return np.stack(
            [load_resized(self.root / path, self.height, self.width, self.interpolation) for path in self.paths]
        )


@dataclass(frozen=True)
class CachePlan:
    """Which images go where."""

    folder: Path
    source: Source
    views: tuple[View, ...]
    """Of every image."""
    height: int
    width: int
    about: dict[str, Any]
    """What ``cache.json`` says of the images besides."""
    fingerprint: str
    task: str = "caching images"
    """What is shown while they are made."""

    @property
    def images(self) -> Path:
        """The finished array."""
        return self.folder / "images.npy"

    @property
    def index(self) -> Path:
        """The sample index beside it."""
        return self.folder / "index.csv"

    @property
    def marker(self) -> Path:
        """The file that says the cache is finished."""
        return self.folder / MARKER

    @property
    def partial(self) -> Path:
        """The array while it is being built."""
        return self.folder / "images.partial.npy"

    @property
    def journal(self) -> Path:
        """The list of finished chunks while the array is being built."""
        return self.folder / "chunks.partial"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array: (N, H, W, 3)."""
        return (len(self.source), self.height, self.width, 3)

    @property
    def chunks(self) -> int:
        """Number of chunks; the last may hold fewer than `CHUNK_IMAGES` images."""
        return -(-len(self.source) // CHUNK_IMAGES)


@dataclass(frozen=True)
class _Chunk:
    """A worker's task: consecutive rows of the array."""

    number: int
    source: Source
    """Of these rows alone."""
    height: int
    width: int
    target: str
    offset: int
    """Position of the chunk's first byte in the target file."""
    crc32: int | None
    """Checksum of the chunk if an earlier build finished it."""


@dataclass(frozen=True)
class _Built:
    """What a worker reports of its chunk."""

    crc32: int
    facts: tuple[PixelFacts, ...]
    """Of every image."""


def chunk_crc(pixels: np.ndarray) -> int:
    """CRC-32 of a chunk's bytes."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def load_resized(path: Path, height: int, width: int, interpolation: str) -> np.ndarray:
    """An image file as uint8 (height, width, 3), resized with antialiasing by PIL's filter of that name.

    Raises `vibench.datasets.image_file.ImageFileError` when the file cannot be decoded.
    """
    return np.asarray(read_rgb(path).resize((width, height), RESAMPLING[interpolation]))


def build_cache(plan: CachePlan, index_csv: str, workers: int | None = None, progress: Progress = silent) -> None:
    """Build the cache of ``plan``; the caller holds the folder's lock.

    Raises `VibenchError` for an image that cannot be decoded or too little room, `OSError` when writing fails.
    """
    plan.marker.unlink(missing_ok=True)
    known = _finished_chunks(plan)
    if not known:
        _begin(plan)
    _require_room(plan)
    image_bytes = plan.height * plan.width * 3
    header_bytes = plan.partial.stat().st_size - len(plan.source) * image_bytes
    tasks = [
        _Chunk(
            number=number,
            source=plan.source.part(number * CHUNK_IMAGES, (number + 1) * CHUNK_IMAGES),
            height=plan.height,
            width=plan.width,
            target=str(plan.partial),
            offset=header_bytes + number * CHUNK_IMAGES * image_bytes,
            crc32=known.get(number),
        )
        for number in range(plan.chunks)
    ]
    built: dict[int, _Built] = {}
    with (
        plan.journal.open("a", encoding="ascii", newline="\n") as journal,
        progress(plan.task, len(plan.source)) as advance,
        closing(map_in_processes(_build_chunk, tasks, workers)) as done,
    ):
        for task, chunk in done:
            built[task.number] = chunk
            journal.write(f"{task.number} {chunk.crc32}\n")
            journal.flush()
            advance(len(task.source))
    with plan.partial.open("rb") as written:
        os.fsync(written.fileno())
    plan.partial.replace(plan.images)
    write_text(plan.index, index_csv)
    facts = [fact for number in range(plan.chunks) for fact in built[number].facts]
    finished = {
        "format": FORMAT,
        "fingerprint": plan.fingerprint,
        **plan.about,
        "height": plan.height,
        "width": plan.width,
        "images": len(plan.source),
        "images_mtime_ns": plan.images.stat().st_mtime_ns,
        "index_sha256": sha256_file(plan.index),
        "chunk_images": CHUNK_IMAGES,
        "crc32": [built[number].crc32 for number in range(plan.chunks)],
        "equal": equal_images(facts),
        "colours": [[*view, count.images, count.coloured] for view, count in count_colours(facts, plan.views).items()],
    }
    write_json(plan.marker, finished)
    plan.journal.unlink()


def _finished_chunks(plan: CachePlan) -> dict[int, int]:
    """Checksums of the chunks that an interrupted build of the same images has finished."""
    try:
        fingerprint, *lines = read_text(plan.journal, "ascii").splitlines(keepends=True)
        if fingerprint == f"{plan.fingerprint}\n" and not plan.partial.exists():
            # Killed when the array had its last name already, but before the build was declared finished.
            plan.images.replace(plan.partial)
        images = open_npy(plan.partial)
    except Exception:  # a damaged header raises almost anything inside NumPy
        return {}
    if fingerprint != f"{plan.fingerprint}\n" or images.shape != plan.shape or images.dtype != np.uint8:
        return {}
    # A line without its end was being written when the build was killed.
    entries = [match for match in map(_JOURNAL_LINE.fullmatch, lines) if match is not None]
    return {int(match[1]): int(match[2]) for match in entries}


def _begin(plan: CachePlan) -> None:
    plan.journal.unlink(missing_ok=True)
    plan.partial.unlink(missing_ok=True)
    np.lib.format.open_memmap(plan.partial, mode="w+", dtype=np.uint8, shape=plan.shape)
    plan.journal.write_text(f"{plan.fingerprint}\n", encoding="ascii", newline="\n")


def _require_room(plan: CachePlan) -> None:
    status = plan.partial.stat()
    needed = status.st_size - status.st_blocks * 512  # a sparse file occupies only the blocks written so far
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        raise VibenchError(
            f"the image cache {plan.folder} needs {needed / 1e6:,.1f} MB more, but only {free / 1e6:,.1f} MB are free; "
            "make room there, or set VIBENCH_CACHE to another folder"
        )


def _build_chunk(task: _Chunk) -> _Built:
    """Write one chunk into the target unless an earlier build did."""
    shape = (len(task.source), task.height, task.width, 3)
    size = len(task.source) * task.height * task.width * 3
    # Written as a file: on a full disk a store through a memory map would kill the process.
    with Path(task.target).open("r+b") as target:
        target.seek(task.offset)
        if task.crc32 is not None and zlib.crc32(found := target.read(size)) == task.crc32:
            pixels = np.frombuffer(found, dtype=np.uint8).reshape(shape)
        else:
            pixels = task.source.pixels()
            target.seek(task.offset)
            target.write(pixels.data)
    return _Built(chunk_crc(pixels), tuple(map(pixel_facts, pixels)))
