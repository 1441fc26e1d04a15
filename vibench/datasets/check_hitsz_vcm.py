"""A copy of HITSZ-VCM (or its twin): every listed frame is there, the lists agree, the counts are those reported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vibench.datasets.hitsz_vcm import (
    NAMES,
    QUERIES,
    SHORTEST,
    TRACKLETS,
    Lists,
    contradictions,
    counted,
    read_lists,
)
from vibench.datasets.listing import Sample
from vibench.datasets.report import Count, Problem
from vibench.datasets.sysu_mm01 import read_skeleton
from vibench.errors import UsageError, cited
from vibench.modality import INFRARED, VISIBLE

TRAINING_IDENTITIES = 500
IDENTITIES = 927
_FRAMES = {"train": 232_496, "test": 230_763}
_TRACKLETS = {"train": 11_061, "test": 10_802}
_COUNTED = {
    ("train", VISIBLE): 5_460,
    ("train", INFRARED): 4_291,
    ("test", VISIBLE): 5_099,
    ("test", INFRARED): 4_584,
}
"""Tracklets of at least `SHORTEST` frames. All these numbers are those of workingcoder/M3-ReID (data/manager.py)."""
_FILES = (*NAMES.values(), *TRACKLETS.values(), QUERIES)
_KINDS = {"train": "training", "test": "test"}


def check(root: Path, samples: Sequence[Sample], synthetic: bool) -> tuple[list[Count], list[Problem]]:
    """Counts and problems of a copy, image contents apart; a twin is compared with its own truth."""
    try:
        lists = read_lists(root)
    except UsageError as error:
        # They may be spelled in another case, and where the folder is there twice, none is named.
        said = str(error).casefold()
        named = {place: file for file in _FILES if (place := said.find(file.rpartition("/")[2].casefold())) >= 0}
        file = named[min(named)] if named else "info"
        return _image_counts(root, samples, synthetic), [Problem("list", file, str(error))]
    problems = [Problem("list", file, sentence) for file, sentence in contradictions(lists)]
    problems += [*loose_frames(lists), *frame_problems(lists, samples)]
    found = truth_counts(root, lists) if synthetic else list_counts(lists)
    return _image_counts(root, samples, synthetic) + found, problems


def frame_problems(lists: Lists, samples: Sequence[Sample]) -> list[Problem]:
    """Listed frames that are missing; frames that no list names."""
    found = {sample.path for sample in samples}
    listed = {frame for frames in lists.frames.values() for frame in frames}
    return [
        *(Problem("missing", path, "no such file, though a list names it") for path in sorted(listed - found)),
        *(
            Problem("surplus", path, "in no list of frames; it is not used", warning=True)
            for path in sorted(found - listed)
        ),
    ]


def loose_frames(lists: Lists) -> list[Problem]:
    """Listed frames that are of no tracklet: as a shortened list leaves them, and perhaps the data set's authors."""
    problems = []
    for split, frames in lists.frames.items():
        held = {frame for row in lists.tracklets[split] for frame in row.frames}
        loose = [frame for frame in frames if frame not in held]
        if loose:
            said = (
                f"gives {len(loose)} of the {len(frames)} frames of {NAMES[split]} to no tracklet ({cited(loose, 1)})"
            )
            problems.append(Problem("list", TRACKLETS[split], said, warning=True))
    return problems


def truth_counts(root: Path, lists: Lists) -> list[Count]:
    """The frames that the tracklets of a twin have: every one is of a tracklet."""
    skeleton = read_skeleton(root / "truth" / "skeleton.csv")
    images = {split: int(skeleton.loc[skeleton["split"] == split, "images"].sum()) for split in _KINDS}
    return [
        Count(f"frames of {_KINDS[split]} tracklets", images[split], sum(len(row.frames) for row in rows))
        for split, rows in lists.tracklets.items()
    ]


def list_counts(lists: Lists) -> list[Count]:
    """The tracklets of the real data set: reported second-hand, and not verified."""
    found = []
    for split, rows in lists.tracklets.items():
        found.append(Count(f"{_KINDS[split]} tracklets", _TRACKLETS[split], len(rows), verified=False))
        for modality in (VISIBLE, INFRARED):
            long = sum(row.modality == modality for row in counted(rows))
            what = f"{_KINDS[split]} {modality} tracklets of at least {SHORTEST} frames"
            found.append(Count(what, _COUNTED[split, modality], long, verified=False))
    return found


def _image_counts(root: Path, samples: Sequence[Sample], synthetic: bool) -> list[Count]:
    people = {split: {sample.pid for sample in samples if sample.split == split} for split in _KINDS}
    frames = {split: sum(sample.split == split for sample in samples) for split in _KINDS}
    expected_people = {"train": TRAINING_IDENTITIES, "test": IDENTITIES - TRAINING_IDENTITIES}
    expected_frames = dict(_FRAMES)
    if synthetic:
        skeleton = read_skeleton(root / "truth" / "skeleton.csv")
        for split, rows in skeleton.groupby("split"):
            expected_people[str(split)], expected_frames[str(split)] = rows["pid"].nunique(), int(rows["images"].sum())
    return [
        Count(f"{_KINDS[split]} {what}", expected[split], have[split], verified=synthetic)
        for what, expected, have in (
            ("identities", expected_people, {split: len(pids) for split, pids in people.items()}),
            ("frames", expected_frames, frames),
        )
        for split in _KINDS
    ]
