"""HITSZ-VCM (Lin et al., Learning Modal-Invariant and Temporal-Memory ..., CVPR 2022): layout, lists and tracklets.

::

    Train/<pid>/<rgb | ir>/D<1...12>/<frame>.jpg      Test/...      a folder may hold the frames of several tracklets
    info/train_name.txt        test_name.txt          a line per frame, 0503M2D3T1F1.jpg: identity, modality (1 is
                                                      infrared), camera, tracklet, and the frame's file
    info/track_train_info.txt  track_test_info.txt    a line per tracklet, "2 1 24 0503 3": modality, its first and last
                                                      line of the names, counted from 1, identity, camera
    info/query_IDX.txt                                the infrared tracklets among the test ones, counted from 1

A **tracklet** is what is ranked. It stands in the index as its first frame, split ``test``, and has that frame's name
everywhere. Of its frames `FRAMES` are looked at (`sampled`); those behind the first are ``unused`` rows. Training
tracklets are as many images, split ``train``. The index holds no other frame, and no tracklet of fewer than `SHORTEST`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibench.datasets.labelled import refuse_contradictions
from vibench.datasets.listing import (
    IMAGE_SUFFIX,
    Listing,
    Sample,
    is_number,
    list_images,
    located,
    parse_names,
    read_lines,
    require_root,
    sample_index,
)
from vibench.datasets.tracklets import Tracklet, frame_rows, whole
from vibench.errors import UsageError
from vibench.modality import INFRARED, VISIBLE

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

FOLDERS = {"train": "Train", "test": "Test"}
NAMES = {"train": "info/train_name.txt", "test": "info/test_name.txt"}
TRACKLETS = {"train": "info/track_train_info.txt", "test": "info/track_test_info.txt"}
QUERIES = "info/query_IDX.txt"
FRAMES = 6
"""Frames of a tracklet that are looked at: ``seq_lenth`` in test.py of VCM-project233/MITML."""
SHORTEST = 12
"""Frames of the shortest tracklet that counts: ``min_seq_len`` in its data_manager.py."""
IMAGE_FOLDERS = ("Test", "Train")
MARKS = ("info",)
"""What else tells a copy: folders called Train and Test lie in many places."""
MODALITY_OF_CAMERA: dict[int, str] = {}
"""Every camera takes both."""
NAME_FORM = "Test/0503/rgb/D3/1.jpg (a tracklet has the name of its first frame)"
_MODALITIES = {"rgb": VISIBLE, "ir": INFRARED}
_CODES = {1: "ir", 2: "rgb"}
_CAMERA = r"D([1-9]|1[0-2])"
_NAME = re.compile(rf"(Train|Test)/([0-9]{{4}})/(rgb|ir)/{_CAMERA}/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.jpg")
_FILE = re.compile(
    r"(train|test)/0*([0-9]{1,4})/(rgb|ir)/D0*([0-9]{1,2})/([^/\\.\x00-\x1f][^/\\\x00-\x1f]*)" + IMAGE_SUFFIX,
    re.IGNORECASE | re.ASCII,
)
_LISTED = re.compile(
    r"(?:.*[/\\])?([0-9]{4})M([12])D0*([1-9]|1[0-2])T[0-9]+F([^/\\.\x00-\x1f][^/\\\x00-\x1f]*)" + IMAGE_SUFFIX,
    re.IGNORECASE | re.ASCII,
)


def sampled(count: int) -> list[int]:
    """Places of the frames that are looked at in a tracklet of ``count``: the first of each block of ceil(count / 6).

    A block that would begin behind the last frame is that frame (MITML, data_loader.py, ``video_test``).
    """
    block = math.ceil(count / FRAMES)
    return [min(number * block, count - 1) for number in range(FRAMES)]


def parse_name(name: str) -> Sample | None:
    """The frame that a relative path names, with the split of its folder, or None when it is not of this layout."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return Sample(name, int(match[2]), int(match[4]), _MODALITIES[match[3]], match[1].lower())


def parse_test_name(name: str) -> Sample | None:
    """The test frame, or the tracklet that begins with it, that a relative path names; or None."""
    sample = parse_name(name)
    return sample if sample is not None and sample.split == "test" else None


def read_name(path: str) -> Sample | None:
    """The frame that a file is, by the data set's own name, whatever case, extension and zeros the path has."""
    match = _FILE.fullmatch(path)
    if match is None:
        return None
    folder, pid, modality, camera, stem = match.groups()
    return parse_name(f"{folder.capitalize()}/{int(pid):04d}/{modality.lower()}/D{int(camera)}/{stem}.jpg")


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for names of test tracklets in the given order; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_test_name, "HITSZ-VCM", NAME_FORM))


def list_root(root: Path) -> Listing:
    """All frames of ``root``, sorted by path, whether or not any list names them."""
    return list_images(root, IMAGE_FOLDERS, read_name)


def index(root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
    """The frames that are looked at, sorted by path. The data set has one train/test split: no trials.

    Raises `UsageError` for a missing or contradictory list and, unless ``missing_ok``, for frames that are to be looked
    at and that the copy lacks; with it, their tracklets are left out.
    """
    require_root(root, "HITSZ-VCM", IMAGE_FOLDERS)
    listing = list_root(root)
    listing.require_unambiguous(root)
    found = {sample.path for sample in listing.samples}
    lists = read_lists(root)
    refuse_contradictions(contradictions(lists, None if missing_ok else found), root)
    training, test = (whole(counted(lists.tracklets[split]), found) for split in FOLDERS)
    return sample_index(frame_rows(training, test))


def tracklets(root: Path) -> dict[str, tuple[str, ...]]:
    """The `FRAMES` frames of every test tracklet by its name; errors as `read_lists`."""
    return {tracklet.name: tracklet.sampled for tracklet in counted(read_lists(root).tracklets["test"])}


def training_frames(root: Path) -> set[str]:
    """The names of all training images; errors as `read_lists`."""
    return {frame for tracklet in counted(read_lists(root).tracklets["train"]) for frame in tracklet.sampled}


def listed_frames(root: Path, split: str) -> int:
    """How many frames all tracklets of a split have together; errors as `read_lists`."""
    return sum(len(tracklet.frames) for tracklet in read_lists(root).tracklets[split])


def everybody(root: Path) -> list[tuple[int, int]]:
    """(pid, camera) of all listed tracklets, of those that are too short as well; errors as `read_lists`."""
    return [(tracklet.pid, tracklet.camera) for rows in read_lists(root).tracklets.values() for tracklet in rows]


def counted(tracklets: Iterable[Tracklet]) -> list[Tracklet]:
    """Those that are long enough."""
    return [tracklet for tracklet in tracklets if len(tracklet.frames) >= SHORTEST]


@dataclass(frozen=True)
class Lists:
    """What the files in ``info/`` say."""

    frames: dict[str, list[str]]
    """The names of all frames of a split, in file order."""
    tracklets: dict[str, list[Tracklet]]
    """The tracklets of a split, in file order, short ones too."""
    queries: tuple[int, ...]
    """Places, from 0, of the infrared tracklets among the test ones."""


def read_lists(root: Path) -> Lists:
    """The lists of a copy; `UsageError` where one is absent or has another form."""
    frames = {split: _read_frames(located(root, NAMES[split]), split) for split in FOLDERS}
    rows = {split: _read_tracklets(located(root, TRACKLETS[split]), frames[split], NAMES[split]) for split in FOLDERS}
    return Lists(frames, rows, _read_queries(located(root, QUERIES), len(rows["test"])))


def contradictions(lists: Lists, found: set[str] | None = None) -> list[tuple[str, str]]:
    """What is wrong with the lists, as (file, sentence) pairs; empty when all is well.

    ``found`` holds the names of all frames on disk; None accepts lists of others.
    """
    wrong: list[tuple[str, str]] = []
    for split, rows in lists.tracklets.items():
        file = TRACKLETS[split]
        if not counted(rows):
            wrong.append((file, f"lists no tracklet of at least {SHORTEST} frames"))
        seen: set[str] = set()
        for number, row in enumerate(rows, start=1):
            odd = next((frame for frame in row.frames if not _agrees(row, frame)), None)
            if odd is not None:
                said = f"identity {row.pid}, camera {row.camera}, {row.modality}"
                wrong.append((file, f"line {number} is of {said}, but {NAMES[split]} gives it the frame {odd}"))
            if row.name in seen:
                wrong.append((file, f"line {number} begins with {row.name!r}, as an earlier tracklet does"))
            seen.add(row.name)
            lacking = [frame for frame in row.sampled if found is not None and frame not in found]
            if lacking and len(row.frames) >= SHORTEST:
                wrong.append((file, f"line {number} needs {lacking[0]!r}, which does not exist or has 0 bytes"))
    pids = {split: {row.pid for row in rows} for split, rows in lists.tracklets.items()}
    for pid in sorted(pids["train"] & pids["test"]):
        wrong.append((TRACKLETS["test"], f"names identity {pid}, which is also a training identity"))
    asked = set(lists.queries)
    for place, row in enumerate(lists.tracklets["test"]):
        if (place in asked) != (row.modality == INFRARED):
            state = "names" if place in asked else "does not name"
            wrong.append((QUERIES, f"{state} test tracklet {place + 1}, which is {row.modality}"))
    return wrong


def _agrees(row: Tracklet, frame: str) -> bool:
    sample = parse_name(frame)
    assert sample is not None  # `_read_frames` has made sure
    return (sample.pid, sample.camera, sample.modality) == (row.pid, row.camera, row.modality)


def _read_frames(path: Path, split: str) -> list[str]:
    names = []
    for number, text in enumerate(_lines(path, "the list of its frames"), start=1):
        match = _LISTED.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{path}, line {number}: {text[:200]!r} is not the name of a frame such as 0503M2D3T1F1.jpg; copy it "
                "again from the data set's archive"
            )
        pid, modality, camera, stem = match.groups()
        names.append(f"{FOLDERS[split]}/{pid}/{_CODES[int(modality)]}/D{camera}/{stem}.jpg")
    return names


def _read_tracklets(path: Path, frames: Sequence[str], names: str) -> list[Tracklet]:
    rows = []
    for number, text in enumerate(_lines(path, "the list of its tracklets"), start=1):
        words = text.split()
        if len(words) != 5 or not all(map(is_number, words)) or int(words[0]) not in _CODES:
            raise UsageError(
                f"{path}, line {number}: {text[:200]!r} is not modality (1 or 2), first and last frame, identity and "
                "camera, such as 2 1 24 0503 3; copy it again from the data set's archive"
            )
        modality, first, last, pid, camera = map(int, words)
        if not 1 <= first <= last <= len(frames):
            raise UsageError(
                f"{path}, line {number}: frames {first} to {last} are not among the {len(frames)} of {names}; copy "
                "both again from the data set's archive"
            )
        own = tuple(frames[first - 1 : last])
        looked_at = tuple(own[at] for at in sampled(len(own)))
        rows.append(Tracklet(own, looked_at, pid, camera, _MODALITIES[_CODES[modality]]))
    return rows


def _read_queries(path: Path, count: int) -> tuple[int, ...]:
    words = " ".join(_lines(path, "the list of its infrared test tracklets")).split()
    wrong = [word for word in words if not is_number(word) or not 1 <= int(word) <= count]
    if wrong or len(set(words)) < len(words):
        said = f"contains {wrong[0][:200]!r}" if wrong else "names a tracklet more than once"
        raise UsageError(
            f"{path} {said}; expected numbers of test tracklets, 1 to {count}, each once; copy it again from the data "
            "set's archive"
        )
    return tuple(int(word) - 1 for word in words)


def _lines(path: Path, what: str) -> list[str]:
    """The lines without blanks around them; empty ones at the end do not count."""
    return [line.strip() for line in "\n".join(read_lines(path, what)).rstrip().split("\n")]
