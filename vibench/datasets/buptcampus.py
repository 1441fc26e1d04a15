"""BUPTCampus (Du et al., Video-Based Visible-Infrared Person Re-Identification With Auxiliary Samples, TIFS 2023).

::

    DATA/<pid>/<RGB | IR>/<camera>/<frame>.jpg     cameras LS3, G25, CQ1, W4, TSG1, TSG2, which take both at once
    data_paths.json                                identity -> modality -> camera -> tracklet -> its frames, below DATA/
    train.txt                                      a line per pair of tracklets, "1746 RGB/IR TSG2 1"
    query.txt  gallery.txt                         a line per tracklet, "1911 RGB G25 1"; the last word is its number

The copy's ``FakeIR`` folders and ``train_auxiliary.txt`` are not used.

Tracklets stand in the index as those of HITSZ-VCM do. Who asks and who answers is told by lists, so a name begins with
its list in place of ``DATA``: ``query/1911/RGB/G25/1911_RGB_G25_1_8535.jpg``. Cameras are numbered from 1 in the order
above, and from 11 where they took a query. Of a tracklet `FRAMES` frames are looked at (`sampled`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vibench.datasets.labelled import refuse_contradictions
from vibench.datasets.listing import (
    Listing,
    Sample,
    is_number,
    located,
    parse_names,
    read_lines,
    require_root,
    sample_index,
)
from vibench.datasets.tracklets import Tracklet, frame_rows, whole
from vibench.errors import UsageError
from vibench.files.reading import parse_json, read_text
from vibench.modality import INFRARED, VISIBLE

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

LISTS = {"train": "train.txt", "query": "query.txt", "gallery": "gallery.txt"}
PATHS = "data_paths.json"
CAMERAS = ("LS3", "G25", "CQ1", "W4", "TSG1", "TSG2")
QUERY_CAMERAS = 10
"""What is added to the number of a camera that took a query."""
FRAMES = 10
"""Frames of a tracklet that are looked at: ``sequence_length`` in opts.py of dyhBUPT/BUPTCampus."""
IMAGE_FOLDERS = ("DATA",)
MARKS = (PATHS,)
"""What else tells a copy: folders called data lie in many places."""
MODALITY_OF_CAMERA: dict[int, str] = {}
"""Every camera takes both."""
NAME_FORM = "query/1911/RGB/G25/1911_RGB_G25_1_8535.jpg or gallery/... (a tracklet has the name of its first frame)"
_MODALITIES = {"RGB": VISIBLE, "IR": INFRARED}
_PLACE = rf"([0-9]{{1,9}})/(RGB|IR)/({'|'.join(CAMERAS)})/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.jpg"
_NAME = re.compile(rf"({'|'.join(LISTS)})/{_PLACE}")
_BELOW = re.compile(_PLACE)
_LARGEST_JSON = 1 << 30
"""Bytes: it holds 1.7 million paths."""


def sampled(count: int) -> list[int]:
    """Places of the frames that are looked at in a tracklet of ``count``: `FRAMES`, evenly spread from the first on.

    ``numpy.linspace(0, count, FRAMES, endpoint=False, dtype=int)``, as in dataloader.py of dyhBUPT/BUPTCampus.
    """
    import numpy as np

    places: list[int] = np.linspace(0, count, FRAMES, endpoint=False, dtype=int).tolist()
    return places


def parse_name(name: str) -> Sample | None:
    """The frame that a name means, or None when it is not of this layout."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    listed, pid, modality, camera = match.groups()
    number = CAMERAS.index(camera) + 1 + (QUERY_CAMERAS if listed == "query" else 0)
    return Sample(name, int(pid), number, _MODALITIES[modality], "train" if listed == "train" else "test")


def parse_test_name(name: str) -> Sample | None:
    """The test frame, or the tracklet that begins with it, that a name means; or None."""
    sample = parse_name(name)
    return sample if sample is not None and sample.split == "test" else None


read_name = parse_name
"""Files lie below DATA/, where nothing tells their list; the lists say which file is which frame."""


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for names of test tracklets in the given order; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_test_name, "BUPTCampus", NAME_FORM))


def list_root(root: Path) -> Listing:
    """The frames that are looked at and that lie in ``root``, sorted by name; errors as `read_lists`."""
    files: dict[str, str] = {}
    empty: dict[str, str] = {}
    for frame in sorted({frame for rows in read_lists(root).values() for one in rows for frame in one.sampled}):
        file = file_of(frame)
        path = Path(root) / file
        if path.is_file():
            (files if path.stat().st_size else empty)[frame] = file
    samples = [sample for frame in files if (sample := parse_name(frame)) is not None]
    return Listing(samples, [], files, {}, empty)


def file_of(frame: str) -> str:
    """The relative path of a frame's file."""
    return f"DATA/{frame.partition('/')[2]}"


def index(root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
    """The frames that are looked at, sorted by path. The data set has one train/test split: no trials.

    Raises `UsageError` for a missing or contradictory list and, unless ``missing_ok``, for frames that are to be looked
    at and that the copy lacks; with it, their tracklets are left out.
    """
    require_root(root, "BUPTCampus", IMAGE_FOLDERS)
    found = set(list_root(root).files)
    lists = read_lists(root)
    refuse_contradictions(contradictions(lists, None if missing_ok else found), root)
    training, *test = (whole(lists[name], found) for name in LISTS)
    return sample_index(frame_rows(training, [one for rows in test for one in rows]))


def tracklets(root: Path) -> dict[str, tuple[str, ...]]:
    """The `FRAMES` frames of every test tracklet by its name; errors as `read_lists`."""
    lists = read_lists(root)
    return {one.name: one.sampled for name in ("query", "gallery") for one in lists[name]}


def training_frames(root: Path) -> set[str]:
    """The names of all training images; errors as `read_lists`."""
    return {frame for one in read_lists(root)["train"] for frame in one.sampled}


def listed_frames(root: Path, split: str) -> int:
    """How many frames all tracklets of a split have together; errors as `read_lists`."""
    lists = read_lists(root)
    names = ("train",) if split == "train" else ("query", "gallery")
    return sum(len(one.frames) for name in names for one in lists[name])


def everybody(root: Path) -> list[tuple[int, int]]:
    """(pid, camera) of all listed tracklets; errors as `read_lists`."""
    return [(one.pid, one.camera) for rows in read_lists(root).values() for one in rows]


def read_lists(root: Path) -> dict[str, list[Tracklet]]:
    """The tracklets by the name of their list, in file order; `UsageError` where one is absent or has another form."""
    paths = _read_paths(located(root, PATHS))
    return {name: _read_list(located(root, LISTS[name]), name, paths) for name in LISTS}


def contradictions(lists: dict[str, list[Tracklet]], found: set[str] | None = None) -> list[tuple[str, str]]:
    """What is wrong with the lists, as (file, sentence) pairs; empty when all is well.

    ``found`` holds the names of the frames on disk; None accepts lists of others.
    """
    wrong: list[tuple[str, str]] = []
    for name, rows in lists.items():
        seen: set[str] = set()
        for one in rows:
            if one.name in seen:
                wrong.append((LISTS[name], f"lists the tracklet of {file_of(one.name)} more than once"))
            seen.add(one.name)
            lacking = [frame for frame in one.sampled if found is not None and frame not in found]
            if lacking:
                wrong.append((LISTS[name], f"needs {file_of(lacking[0])}, which does not exist or has 0 bytes"))
        if not rows:
            wrong.append((LISTS[name], "lists no tracklet"))
    test = {one.pid for name in ("query", "gallery") for one in lists[name]}
    for pid in sorted({one.pid for one in lists["train"]} & test):
        wrong.append((LISTS["train"], f"names identity {pid}, which is also a test identity"))
    return wrong


def _read_paths(path: Path) -> Any:
    try:
        return parse_json(read_text(path, largest=_LARGEST_JSON))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: it names the frames of tracklets; copy it from the archive") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); copy it again from the data set's archive") from None


def _read_list(path: Path, name: str, paths: Any) -> list[Tracklet]:
    rows = []
    kinds = ("RGB/IR",) if name == "train" else tuple(_MODALITIES)
    for number, text in enumerate(read_lines(path, "a list of tracklets"), start=1):
        if not text.strip():
            continue
        words = text.split()
        if len(words) != 4 or not is_number(words[0]) or words[1] not in kinds or words[2] not in CAMERAS:
            raise UsageError(
                f"{path}, line {number}: {text[:200]!r} is not identity, {' or '.join(kinds)}, camera and number, such "
                f"as 1911 {kinds[0]} G25 1; copy it again from the data set's archive"
            )
        pid, kind, camera, tracklet = words
        for modality in kind.split("/"):
            rows.append(_tracklet(name, pid, modality, camera, tracklet, paths, f"{path}, line {number}"))
    return rows


def _tracklet(name: str, pid: str, modality: str, camera: str, tracklet: str, paths: Any, where: str) -> Tracklet:
    listed = paths
    for key in (pid, modality, camera, tracklet):
        listed = listed.get(key) if isinstance(listed, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UsageError(
            f"{where}: {PATHS} has no frames of {modality} tracklet {tracklet} of identity {pid} on {camera}; copy "
            "both again from the data set's archive"
        )
    for frame in listed:
        match = _BELOW.fullmatch(frame) if isinstance(frame, str) else None
        if match is None or (match[1], match[2], match[3]) != (pid, modality, camera):
            raise UsageError(
                f"{where}: {PATHS} names {str(frame)[:200]!r} for it, which is no frame of identity {pid}, {modality} "
                f"and {camera}; copy both again from the data set's archive"
            )
    frames = tuple(f"{name}/{frame}" for frame in listed)
    looked_at = tuple(frames[at] for at in sampled(len(frames)))
    sample = parse_name(frames[0])
    assert sample is not None
    return Tracklet(frames, looked_at, sample.pid, sample.camera, sample.modality)
