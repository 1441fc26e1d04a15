"""The image cache: every image of a data set decoded and resized once, as one memory-mapped array.

A cache is a folder with three files::

    images.npy   uint8 (N, H, W, 3) RGB, rows in the order of index.csv
    index.csv    the sample index, without the split of a trial
    cache.json   fingerprint, settings and checksums; written last, so that its presence means "finished"

The fingerprint covers the settings and the size and modification time of every image. A cache with another
fingerprint, or whose files do not agree with ``cache.json``, is built anew. Checksums (CRC-32) are kept per chunk of
`CHUNK_IMAGES` images: all of them are compared when ``images.npy`` was touched since it was finished, otherwise a
few drawn at random. A few images drawn at random are decoded again as well, in case others have taken their places
with sizes and times that are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL

from vibench.data.cache_build import (
    CHUNK_IMAGES,
    FORMAT,
    MARKER,
    RESAMPLING,
    CachePlan,
    Files,
    build_cache,
    chunk_crc,
)
from vibench.datasets.listing import is_number
from vibench.datasets.pixels import ColourCount, View, modality_finding
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError, VibenchError, VibenchWarning, cited, suggestion
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.lock import exclusive
from vibench.files.npz import open_npy
from vibench.files.places import try_folder
from vibench.files.reading import LARGEST_TEXT, parse_json, read_bytes, read_text
from vibench.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

_SAMPLED_CHUNKS = 8
_SAMPLED_IMAGES = 4
_SAME_IMAGE = 2.0
"""Mean difference of the bytes up to which two decoders may differ over one image."""


@dataclass(frozen=True)
class ImageCache:
    """A finished cache whose content belongs to the images now on disk."""

    folder: Path
    images: np.memmap
    """(N, H, W, 3) uint8 RGB, read-only."""
    index: SampleIndex
    """N rows: all images, split as by `Dataset.index` without a trial."""
    fingerprint: str
    """SHA-256 of the settings and of the name, size and modification time of every image."""
    origin: str
    """``reused``, or why it was built, e.g. ``built: no cache yet``."""
    equal: tuple[tuple[int, ...], ...]
    """Rows with equal pixels, a tuple for each such set."""

    def rows(self, paths: Iterable[str]) -> np.ndarray:
        """Rows of ``images`` (int64) for relative paths, in their order; `UsageError` for one that is not cached."""
        wanted = list(paths)
        unknown = [path for path in wanted if path not in self._row]
        if unknown:
            raise UsageError(f"{len(unknown)} images are not in the cache {self.folder}, the first is {unknown[0]!r}")
        return np.fromiter((self._row[path] for path in wanted), dtype=np.int64, count=len(wanted))

    @cached_property
    def _row(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self.index["path"])}


def open_cache(
    dataset: Dataset,
    root: Path,
    height: int,
    width: int,
    interpolation: str = "lanczos",
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    verify: bool = False,
) -> ImageCache:
    """The cache of a data set's images at one size; built when absent, outdated, damaged or half-written.

    A build that was interrupted goes on where it stopped. Processes that want the same cache at once wait for the
    one that builds it.

    Args:
        dataset: The data set.
        root: Its root folder.
        height: Height of the cached images in pixels.
        width: Their width.
        interpolation: ``lanczos`` (the AGW code line) or ``bilinear``.
        folder: Folder for all caches; default ``$VIBENCH_CACHE``, else ``~/.cache/vibench``.
        workers: Worker processes; default one per core.
        progress: Told about the images done.
        verify: Compare every checksum, not a sample.

    Raises:
        UsageError: unusable root, size or interpolation.
        VibenchError: an image cannot be decoded, or the cache cannot be written.
    """
    if min(height, width) < 1:
        raise UsageError(f"the image size {height}x{width} is not positive; give height x width, e.g. 288x144")
    if interpolation not in RESAMPLING:
        near = suggestion(interpolation, list(RESAMPLING))
        raise UsageError(f"unknown interpolation '{interpolation}'{near}; there are {', '.join(RESAMPLING)}")
    root = Path(root)
    place = (folder or cache_folder()) / _place(dataset, root, height, width, interpolation)
    if root.is_dir() and not os.path.lexists(place / MARKER):
        # Before the images are listed, let alone decoded. A finished cache may lie where nothing can be written.
        with _writing(place):
            try_folder(place)
    index, files = dataset.index(root, missing_ok=True), dataset.files(root)
    if index.empty:
        raise UsageError(f"{root} holds no image of {dataset.name}; check --root")
    settings = {"dataset": dataset.name, "height": height, "width": width, "interpolation": interpolation}
    plan = CachePlan(
        folder=place,
        source=Files(root, tuple(files.get(path, path) for path in index["path"]), height, width, interpolation),
        views=views_of(index),
        height=height,
        width=width,
        about={"root": str(root.resolve()), "interpolation": interpolation},
        fingerprint=_fingerprint(settings, root, index, files),
    )

    def check_unchanged() -> None:
        if _fingerprint(settings, root, index, files) != plan.fingerprint:
            raise VibenchError(f"images below {root} changed while their cache was being built; run the command again")

    cache = open_planned(plan, index, workers, progress, verify=verify, check_built=check_unchanged)
    _check_modalities(parse_json(read_text(plan.marker))["colours"], dataset, root)
    return cache


def open_planned(
    plan: CachePlan,
    index: SampleIndex,
    workers: int | None = None,
    progress: Progress = silent,
    *,
    verify: bool = False,
    check_built: Callable[[], None] = lambda: None,
) -> ImageCache:
    """The cache of a plan, whose rows are those of ``index``; built where it has to be, and checked then."""
    reason = _unusable(plan, verify)
    if reason:
        with _writing(plan.folder):
            plan.folder.mkdir(parents=True, exist_ok=True)
            with exclusive(plan.folder / "lock", "waiting for the process that builds the cache", progress):
                reason = _unusable(plan, verify)
                if reason:
                    build_cache(plan, index.to_csv(index=False, lineterminator="\n"), workers, progress)
        if reason:
            check_built()
    # Of a build that was killed when it was as good as finished.
    with contextlib.suppress(OSError):
        plan.journal.unlink(missing_ok=True)
    images = open_npy(plan.images)
    origin = f"built: {reason}" if reason else "reused"
    equal = tuple(map(tuple, parse_json(read_text(plan.marker))["equal"]))
    return ImageCache(plan.folder, images, index, plan.fingerprint, origin, equal)


def views_of(index: SampleIndex) -> tuple[View, ...]:
    """Of every image of an index."""
    return tuple(map(View, index["modality"], map(int, index["camera"])))


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from ``HEIGHTxWIDTH``, e.g. ``288x144``; `UsageError` for another form."""
    height, _, width = text.partition("x")
    if not (is_number(height) and is_number(width)):
        raise UsageError(f"the image size '{text}' is not of the form HEIGHTxWIDTH, e.g. 288x144")
    return int(height), int(width)


def cache_folder() -> Path:
    """The folder for all caches: ``$VIBENCH_CACHE``, else ``~/.cache/vibench``."""
    variable = os.environ.get("VIBENCH_CACHE")
    if variable:
        return Path(variable)
    try:
        return Path.home() / ".cache" / "vibench"
    except RuntimeError:
        raise UsageError("there is no home folder for the image cache; set VIBENCH_CACHE to a folder for it") from None


def shared_images(cache: ImageCache, training: Iterable[str], test: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs (training image, test image) by path whose pixels are equal, one pair for each test image concerned."""
    trained, tested = set(training), set(test)
    pairs = []
    for rows in cache.equal:
        paths = [str(cache.index["path"].iat[row]) for row in rows]
        known = next((path for path in paths if path in trained), None)
        pairs += [(known, path) for path in paths if known is not None and path in tested]
    return pairs


def shared_images_note(pairs: list[tuple[str, str]]) -> str:
    """What is wrong with a test whose images `shared_images` found among the training images."""
    named = cited([f"{test} = {training}" for training, test in pairs], 3)
    return f"{len(pairs)} test images have the pixels of training images ({named})"


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a cache folder that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        at = Path(error.filename2 or error.filename or folder)
        if at.parent == folder and at.exists() and not at.is_file():
            raise VibenchError(
                f"cannot write the image cache {folder}: {at.name} in it is no regular file; remove it"
            ) from error
        raise VibenchError(
            f"cannot write the image cache {folder}: {error.strerror or error}; "
            "make room there, or set VIBENCH_CACHE to another folder"
        ) from error


def _colour_counts(colours: list[list[Any]]) -> dict[View, ColourCount]:
    """As ``cache.json`` has them; `ValueError` or `TypeError` for another form."""
    return {
        View(modality, int(camera)): ColourCount(int(images), int(found)) for modality, camera, images, found in colours
    }


def _check_modalities(colours: list[list[Any]], dataset: Dataset, root: Path) -> None:
    """Refuse a data set whose modalities have changed places; warn of one in which they look odd."""
    finding = modality_finding(_colour_counts(colours))
    if finding is None:
        return
    if finding.exchanged:
        raise UsageError(
            f"{root}: visible and infrared images of {dataset.name} have changed places: {finding.sentence}; restore "
            "the folders of the data set's archive, see vibench data check"
        )
    warnings.warn(
        f"{root}: {finding.sentence}, which is odd for {dataset.name}; check the copy with vibench data check",
        VibenchWarning,
        stacklevel=3,
    )


def _place(dataset: Dataset, root: Path, height: int, width: int, interpolation: str) -> str:
    """Two copies of a data set have caches of their own, so that they do not replace one another's."""
    return f"{dataset.name}-{height}x{width}-{interpolation}-{sha256_text(str(root.resolve()))[:8]}"


def _fingerprint(settings: dict[str, Any], root: Path, index: SampleIndex, files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    versions = {"format": FORMAT, "pillow": PIL.__version__.split(".")[0]}
    digest.update(canonical_json({**settings, **versions}).encode())
    for row in index.to_numpy(dtype=object).tolist():
        path = root / files.get(row[0], row[0])
        try:
            status = path.stat()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}; see vibench data check") from error
        digest.update(canonical_json([*row, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def _unusable(plan: CachePlan, verify: bool) -> str:
    """Why the cache in the plan's folder cannot be used as it is; empty when it can."""
    try:
        finished = parse_json(read_text(plan.marker))
        fingerprint, checksums = finished["fingerprint"], list(finished["crc32"])
        touched, index_sha256 = finished["images_mtime_ns"], finished["index_sha256"]
        _ = tuple(map(tuple, finished["equal"])), _colour_counts(finished["colours"])
    except FileNotFoundError:
        return "an earlier build was interrupted" if plan.journal.exists() else "no cache yet"
    except (OSError, ValueError, KeyError, TypeError):
        return "cache.json is damaged"
    if fingerprint != plan.fingerprint:
        return "the images or their splits have changed"
    try:
        images = open_npy(plan.images)
        if hashlib.sha256(read_bytes(plan.index, LARGEST_TEXT)).hexdigest() != index_sha256:
            return "index.csv is damaged"
        untouched = plan.images.stat().st_mtime_ns == touched
    except Exception:  # a damaged header raises almost anything inside NumPy
        return "images.npy or index.csv is damaged"
    if images.shape != plan.shape or images.dtype != np.uint8 or len(checksums) != plan.chunks:
        return "images.npy is damaged"
    chunks = range(plan.chunks)
    if untouched and not verify:
        chunks_to_compare = random.sample(chunks, min(_SAMPLED_CHUNKS, plan.chunks))
    else:
        chunks_to_compare = list(chunks)
    for chunk in chunks_to_compare:
        if chunk_crc(images[chunk * CHUNK_IMAGES : (chunk + 1) * CHUNK_IMAGES]) != checksums[chunk]:
            return "images.npy is damaged"
    for row in random.sample(range(len(plan.source)), min(_SAMPLED_IMAGES, len(plan.source))):
        (now,) = plan.source.part(row, row + 1).pixels()
        if np.abs(now.astype(np.int16) - images[row]).mean() > _SAME_IMAGE:
            return "the images have changed, though not their sizes and times"
    return ""
