"""A copy of BUPTCampus (or its twin): every listed frame is there, the lists agree, the counts are those reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vibench.datasets.buptcampus import contradictions, file_of, read_lists
from vibench.datasets.listing import Sample
from vibench.datasets.report import Count, Problem
from vibench.datasets.sysu_mm01 import read_skeleton
from vibench.datasets.tracklets import Tracklet
from vibench.modality import INFRARED, VISIBLE

TRAINING_IDENTITIES = 1074
TEST_IDENTITIES = 1076
_TRACKLETS = {
    ("train", VISIBLE): 3_574,
    ("train", INFRARED): 3_574,
    ("query", VISIBLE): 540,
    ("query", INFRARED): 536,
    ("gallery", VISIBLE): 2_422,
    ("gallery", INFRARED): 2_422,
}
_FRAMES = {"train": 796_138, "query": 101_938, "gallery": 597_542}
"""As all these numbers, those of workingcoder/M3-ReID (data/manager.py)."""


def check(root: Path, samples: Sequence[Sample], synthetic: bool) -> tuple[list[Count], list[Problem]]:
    """Counts and problems of a copy, image contents apart; a twin is compared with its own truth.

    Raises `UsageError` for a list that is absent or unreadable, without which nothing is known of a copy.
    """
    lists = read_lists(root)
    problems = [Problem("list", file, sentence) for file, sentence in contradictions(lists)]
    listed = sorted({file_of(frame) for rows in lists.values() for one in rows for frame in one.frames})
    problems += [
        Problem("missing", file, "no such file, though a list names it")
        for file in listed
        if not (Path(root) / file).is_file()
    ]
    people = {
        "training": {one.pid for one in lists["train"]},
        "test": {one.pid for name in ("query", "gallery") for one in lists[name]},
    }
    expected = {"training": TRAINING_IDENTITIES, "test": TEST_IDENTITIES}
    if synthetic:
        skeleton = read_skeleton(root / "truth" / "skeleton.csv")
        for kind, split in (("training", "train"), ("test", "test")):
            expected[kind] = int(skeleton.loc[skeleton["split"] == split, "pid"].nunique())
    counts = [Count(f"{kind} identities", expected[kind], len(pids), synthetic) for kind, pids in people.items()]
    if synthetic:
        return [*counts, Count("frames", int(skeleton["images"].sum()), len(listed))], problems
    return counts + _list_counts(lists), problems


def _list_counts(lists: Mapping[str, Sequence[Tracklet]]) -> list[Count]:
    """Of the real data set: reported second-hand, and not verified."""
    counts = []
    for name, rows in lists.items():
        for modality in (VISIBLE, INFRARED):
            found = sum(one.modality == modality for one in rows)
            counts.append(Count(f"{name} {modality} tracklets", _TRACKLETS[name, modality], found, verified=False))
        frames = sum(len(one.frames) for one in rows)
        counts.append(Count(f"{name} frames", _FRAMES[name], frames, verified=False))
    return counts
