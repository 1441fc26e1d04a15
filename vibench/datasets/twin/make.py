"""Renders a whole twin to disk, in as many processes as wanted; the folder is whole or absent."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vibench.datasets.twin.lists import write_lists
from vibench.datasets.twin.plan import DEFAULT_SIZE, Shot, plan_twin
from vibench.datasets.twin.render import Renderer
from vibench.datasets.twin.truth import PROVENANCE, provenance, write_truth
from vibench.errors import UsageError
from vibench.files import parse_json, read_text
from vibench.progress import Progress, silent

_SMALLEST = (32, 16)
_IMAGES_WORTH_A_PROCESS = 400
_IMAGES_PER_JOB = 200


def make_twin(
    layout: str,
    scale: str,
    seed: int,
    out: Path,
    workers: int | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = silent,
) -> Path:
    """Render the twin ``seed`` of a layout (``sysu-mm01`` or ``regdb``) at a scale (``tiny``, ``small``, ``full``).

    ``size`` is the nominal (height, width) in pixels, by default the scale's own. Returns ``out``. The bytes depend on
    neither ``workers`` (default: as the machine has processors) nor the order of work. A twin that is already
    there is kept.

    Raises:
        UsageError: an unknown layout or scale, a bad size, seed or worker count, or ``out`` holds something else.
    """
    out = Path(out)
    shots, described = _describe(layout, scale, seed, size)
    if workers is not None and workers < 1:
        raise UsageError(f"a twin cannot be rendered by {workers} workers; give at least 1")
    if twin_exists(layout, scale, seed, out, size):
        return out
    with _building(out) as part:
        if part is None:  # another process has just finished it
            return make_twin(layout, scale, seed, out, workers, size, progress)
        keypoints, masks = _render_all(described, shots, part, workers, progress)
        write_lists(part, layout, seed, shots)
        write_truth(part, described, shots, keypoints, masks)
    return out


def twin_exists(layout: str, scale: str, seed: int, out: Path, size: tuple[int, int] | None = None) -> bool:
    """Whether ``out`` is exactly this twin.

    Raises:
        UsageError: ``out`` is a file, another twin, or a folder with other content.
    """
    _, wanted = _describe(layout, scale, seed, size)
    if not out.exists():
        return False
    if not out.is_dir():
        raise UsageError(f"{out} is a file, but a twin is a folder; choose another --out")
    if not any(out.iterdir()):
        return False
    try:
        present = parse_json(read_text(out / PROVENANCE))
    except (OSError, ValueError):
        raise UsageError(f"{out} is not empty and holds no twin; choose another --out") from None
    for key, value in wanted.items():
        if not isinstance(present, dict) or present.get(key) != value:
            found = str(present.get(key) if isinstance(present, dict) else present)[:100]
            raise UsageError(
                f"{out} holds another twin ({key} is {found}, wanted {value}); choose another --out or remove it"
            )
    return True


def _describe(layout: str, scale: str, seed: int, size: tuple[int, int] | None) -> tuple[list[Shot], dict[str, Any]]:
    if seed < 0:
        raise UsageError(f"a twin cannot have the seed {seed}; give a number from 0")
    shots = plan_twin(layout, scale, seed)
    size = DEFAULT_SIZE[scale] if size is None else size
    if size[0] < _SMALLEST[0] or size[1] < _SMALLEST[1]:
        raise UsageError(
            f"a twin cannot have the size {size[0]}x{size[1]}; give at least {_SMALLEST[0]}x{_SMALLEST[1]}"
        )
    return shots, provenance(layout, scale, seed, size, shots)


@contextmanager
def _building(out: Path) -> Iterator[Path | None]:
    """A folder beside ``out`` that becomes ``out`` when the block succeeds; None where ``out`` has appeared meanwhile.

    A lock file, released by the system when a process dies, keeps two processes from building the same twin at once;
    what a killed one left is removed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    lock = out.with_name(out.name + ".lock")
    with lock.open("w") as handle:
        _wait_for(handle.fileno())
        if out.exists() and any(out.iterdir()):
            yield None
            return
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            part.replace(out)
            lock.unlink(missing_ok=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _wait_for(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: build without a lock
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)


@dataclass(frozen=True)
class _Job:
    root: Path
    rows: tuple[int, ...]
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class _Done:
    rows: tuple[int, ...]
    keypoints: np.ndarray
    masks: np.ndarray


def _render_all(
    described: dict[str, Any], shots: list[Shot], root: Path, workers: int | None, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Write all images under ``root``; returns the keypoints and masks of all ``shots``."""
    for folder in sorted({Path(shot.path).parent for shot in shots}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    jobs = []
    for start in range(0, len(shots), _IMAGES_PER_JOB):
        rows = tuple(range(start, min(start + _IMAGES_PER_JOB, len(shots))))
        jobs.append(_Job(root, rows, tuple(shots[row] for row in rows)))
    if workers is None:
        workers = min(_processors(), math.ceil(len(shots) / _IMAGES_WORTH_A_PROCESS))
    keypoints: np.ndarray | None = None
    masks: np.ndarray | None = None
    renderer = (described["layout"], described["seed"], tuple(described["size"]))
    with progress("rendering images", len(shots)) as advance:
        for done in _run(jobs, renderer, workers):
            if keypoints is None or masks is None:
                keypoints = np.empty((len(shots), *done.keypoints.shape[1:]), np.float32)
                masks = np.empty((len(shots), *done.masks.shape[1:]), np.uint8)
            keypoints[list(done.rows)] = done.keypoints
            masks[list(done.rows)] = done.masks
            advance(len(done.rows))
    assert keypoints is not None and masks is not None
    return keypoints, masks


def _run(jobs: list[_Job], renderer: tuple[str, int, tuple[int, int]], workers: int) -> Iterator[_Done]:
    if workers == 1:
        _start_worker(*renderer)
        yield from map(_render_job, jobs)
        return
    # Fresh processes: forking one that holds torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, renderer) as pool:
        futures = [pool.submit(_render_job, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_worker_renderer: Renderer


def _start_worker(layout: str, seed: int, size: tuple[int, int]) -> None:
    global _worker_renderer
    _worker_renderer = Renderer(layout, seed, size)


def _render_job(job: _Job) -> _Done:
    pictures = _worker_renderer.render_batch((shot.pid, shot.camera, shot.number) for shot in job.shots)
    for shot, picture in zip(job.shots, pictures, strict=True):
        # Infrared files have three equal channels, as the real ones.
        channels = np.repeat(picture.image, 3, axis=2) if picture.image.shape[2] == 1 else picture.image
        image = Image.fromarray(channels)
        if shot.path.endswith(".jpg"):
            image.save(job.root / shot.path, quality=picture.quality)
        else:
            image.save(job.root / shot.path)
    return _Done(
        job.rows, np.stack([picture.keypoints for picture in pictures]), np.stack([p.mask() for p in pictures])
    )


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
