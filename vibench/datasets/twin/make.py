"""Renders a whole twin to disk, in as many processes as wanted; the folder is whole or absent.

Until it is finished, a twin grows in the folder ``<out>.part``. A folder ``.jobs`` in it says which twin that will be
and keeps what belongs into the truth of finished images, so that an interrupted rendering goes on there.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vibench.datasets.twin.harder import Harder
from vibench.datasets.twin.lists import write_lists
from vibench.datasets.twin.plan import DEFAULT_SIZE, Shot, plan_twin
from vibench.datasets.twin.render import Renderer
from vibench.datasets.twin.truth import FOLDER, HARDER, PROVENANCE, provenance, write_truth
from vibench.errors import UsageError
from vibench.files.lock import take
from vibench.files.reading import parse_json, read_text
from vibench.files.writing import atomic_path, write_json
from vibench.runtime.parallel import map_in_processes
from vibench.runtime.progress import Progress, silent

_SMALLEST = (32, 16)
_JOBS = ".jobs"
_BEGUN = f"{_JOBS}/twin.json"
"""Of an unfinished twin: what `PROVENANCE` will say."""
_IMAGES_PER_JOB = 200


def make_twin(
    layout: str,
    scale: str,
    seed: int,
    out: Path,
    workers: int | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = silent,
    harder: Harder | None = None,
) -> Path:
    """Render the twin ``seed`` of a layout (`vibench.datasets.twin.plan.LAYOUTS`) at a scale (``tiny``, ...).

    ``size`` is the nominal (height, width) in pixels, by default the scale's own; ``harder`` makes one property harder
    (`vibench.datasets.twin.harder`). Returns ``out``. The bytes depend on
    neither ``workers`` (default: as the machine has processors) nor the order of work. A twin that is already
    there is kept.

    Raises:
        UsageError: an unknown layout or scale, a bad size, seed or worker count, or ``out`` holds something else.
    """
    out = Path(out)
    shots, described = _describe(layout, scale, seed, size, harder)
    if workers is not None and workers < 1:
        raise UsageError(f"a twin cannot be rendered by {workers} workers; give at least 1")
    if twin_exists(layout, scale, seed, out, size, harder):
        return out
    with _building(out) as part:
        if part is None:  # another process has just finished it
            return make_twin(layout, scale, seed, out, workers, size, progress, harder)
        if _described_in(part / PROVENANCE) != described:
            _go_on(part, described)
            keypoints, masks = _render_all(described, harder, shots, part, workers, progress)
            write_lists(part, layout, seed, shots)
            write_truth(part, described, shots, keypoints, masks)
        shutil.rmtree(part / _JOBS, ignore_errors=True)
        part.replace(out)
    return out


def twin_exists(
    layout: str,
    scale: str,
    seed: int,
    out: Path,
    size: tuple[int, int] | None = None,
    harder: Harder | None = None,
) -> bool:
    """Whether ``out`` is exactly this twin.

    Raises:
        UsageError: ``out`` is a file, another twin, or a folder with other content.
    """
    _, wanted = _describe(layout, scale, seed, size, harder)
    if not out.exists():
        return False
    if not out.is_dir():
        raise UsageError(f"{out} is a file, but a twin is a folder; choose another --out")
    if not any(out.iterdir()):
        return False
    present = _described_in(out / PROVENANCE)
    if present is None:
        raise UsageError(f"{out} is not empty and holds no twin; choose another --out")
    for key, value in {HARDER: None, **wanted}.items():
        if not isinstance(present, dict) or present.get(key) != value:
            found = str(present.get(key) if isinstance(present, dict) else present)[:100]
            raise UsageError(
                f"{out} holds another twin ({key} is {found}, wanted {value}); choose another --out or remove it"
            )
    return True


def _describe(
    layout: str, scale: str, seed: int, size: tuple[int, int] | None, harder: Harder | None
) -> tuple[list[Shot], dict[str, Any]]:
    if seed < 0:
        raise UsageError(f"a twin cannot have the seed {seed}; give a number from 0")
    shots = plan_twin(layout, scale, seed)
    size = DEFAULT_SIZE[scale] if size is None else size
    if size[0] < _SMALLEST[0] or size[1] < _SMALLEST[1]:
        raise UsageError(
            f"a twin cannot have the size {size[0]}x{size[1]}; give at least {_SMALLEST[0]}x{_SMALLEST[1]}"
        )
    return shots, provenance(layout, scale, seed, size, shots, harder)


def _described_in(file: Path) -> Any:
    """What a file of provenance says; None where there is none."""
    try:
        return parse_json(read_text(file))
    except (OSError, ValueError):
        return None


@contextmanager
def _building(out: Path) -> Iterator[Path | None]:
    """The folder beside ``out`` in which this process alone builds; None where ``out`` has appeared meanwhile.

    The folder itself is locked, and the system releases it when a process dies: no file is left of it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    while True:
        part.mkdir(exist_ok=True)
        try:
            handle = _locked(part)
        except FileNotFoundError:
            continue
        try:
            if out.exists() and any(out.iterdir()):
                with suppress(OSError):
                    part.rmdir()
                yield None
                return
            # Who has waited for another builder may hold a folder that has become the twin, or was removed.
            if part.exists() and os.path.samestat(part.stat(), os.fstat(handle)):
                yield part
                return
        finally:
            os.close(handle)


def _locked(folder: Path) -> int:
    """A handle of the folder that has it locked, once nobody else has."""
    handle = os.open(folder, os.O_RDONLY)
    take(handle, wait=True)
    return handle


def _go_on(part: Path, described: dict[str, Any]) -> None:
    """Keep in ``part`` only finished images of the twin ``described``."""
    same = _described_in(part / _BEGUN) == described
    for path in part.iterdir():
        # Lists and truth are written in one go, at the end.
        if not same or path.name in ("exp", "idx", "info", FOLDER) or path.suffix in (".txt", ".json"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not same:
        write_json(part / _BEGUN, described)


@dataclass(frozen=True)
class _Job:
    root: Path
    rows: tuple[int, ...]
    shots: tuple[Shot, ...]
    renderer: tuple[str, int, tuple[int, int], Harder | None]
    """Layout, seed, size and what is harder."""

    @property
    def outcome(self) -> Path:
        """The file that says that the images are finished."""
        return self.root / _JOBS / f"{self.rows[0]}-{self.rows[-1]}.npz"


@dataclass(frozen=True)
class _Done:
    rows: tuple[int, ...]
    keypoints: np.ndarray
    masks: np.ndarray


def _render_all(
    described: dict[str, Any],
    harder: Harder | None,
    shots: list[Shot],
    root: Path,
    workers: int | None,
    progress: Progress,
) -> tuple[np.ndarray, np.ndarray]:
    """Write all images under ``root``; returns the keypoints and masks of all ``shots``."""
    for folder in sorted({Path(shot.path).parent for shot in shots}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    renderer = (described["layout"], described["seed"], tuple(described["size"]), harder)
    jobs = []
    for start in range(0, len(shots), _IMAGES_PER_JOB):
        rows = tuple(range(start, min(start + _IMAGES_PER_JOB, len(shots))))
        jobs.append(_Job(root, rows, tuple(shots[row] for row in rows), renderer))
    keypoints: np.ndarray | None = None
    masks: np.ndarray | None = None
    with (
        progress("rendering images", len(shots)) as advance,
        closing(map_in_processes(_render_job, jobs, workers)) as rendered,
    ):
        for _, done in rendered:
            if keypoints is None or masks is None:
                keypoints = np.empty((len(shots), *done.keypoints.shape[1:]), np.float32)
                masks = np.empty((len(shots), *done.masks.shape[1:]), np.uint8)
            keypoints[list(done.rows)] = done.keypoints
            masks[list(done.rows)] = done.masks
            advance(len(done.rows))
    assert keypoints is not None and masks is not None
    return keypoints, masks


@lru_cache(maxsize=1)
def _renderer(layout: str, seed: int, size: tuple[int, int], harder: Harder | None) -> Renderer:
    """One for all jobs of a process."""
    return Renderer(layout, seed, size, harder)


def _render_job(job: _Job) -> _Done:
    earlier = _finished(job)
    if earlier is not None:
        return earlier
    wanted = ((shot.pid, shot.camera, shot.number, shot.tracklet) for shot in job.shots)
    pictures = _renderer(*job.renderer).render_batch(wanted)
    for shot, picture in zip(job.shots, pictures, strict=True):
        # Infrared files have three equal channels, as the real ones.
        channels = np.repeat(picture.image, 3, axis=2) if picture.image.shape[2] == 1 else picture.image
        image = Image.fromarray(channels)
        if shot.path.endswith(".jpg"):
            image.save(job.root / shot.path, quality=picture.quality)
        else:
            image.save(job.root / shot.path)
    keypoints, masks = np.stack([picture.keypoints for picture in pictures]), np.stack([p.mask() for p in pictures])
    with atomic_path(job.outcome) as temporary, temporary.open("wb") as handle:
        np.savez(handle, keypoints=keypoints, masks=masks, crc32=_checksums(job))
    return _Done(job.rows, keypoints, masks)


def _finished(job: _Job) -> _Done | None:
    """What an interrupted rendering has made of a job, if its images are still whole; else None."""
    try:
        with np.load(job.outcome, allow_pickle=False) as stored:
            if np.array_equal(stored["crc32"], _checksums(job)):
                return _Done(job.rows, stored["keypoints"], stored["masks"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        pass
    return None


def _checksums(job: _Job) -> np.ndarray:
    """CRC-32 of every image file of a job."""
    return np.array([zlib.crc32((job.root / shot.path).read_bytes()) for shot in job.shots], dtype=np.uint32)
