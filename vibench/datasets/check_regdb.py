"""A copy of RegDB (or its twin): ten images of every identity in each modality, and ten consistent splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from vibench.datasets.labelled import Line, as_found, identities
from vibench.datasets.listing import Sample
from vibench.datasets.regdb import CAMERA, FOLDERS, KINDS, TRIALS, idx_path, parse_name, read_idx, split_contradictions
from vibench.datasets.report import Count, Problem
from vibench.datasets.sysu_mm01 import read_skeleton
from vibench.errors import UsageError
from vibench.modality import INFRARED, VISIBLE

IDENTITIES = 412
IMAGES = 10
"""Images of an identity in each modality."""

TrialLists = Mapping[tuple[str, str], Sequence[Line]]
"""(train | test, modality) -> the lines of one trial's idx file."""


def check(root: Path, samples: Sequence[Sample], synthetic: bool) -> tuple[list[Count], list[Problem]]:
    """Counts and problems of a copy, image contents apart; a twin is compared with its own truth."""
    if synthetic:
        skeleton = read_skeleton(root / "truth" / "skeleton.csv")
        pids = set(skeleton["pid"].tolist())
    else:
        pids = set(range(1, IDENTITIES + 1))
    trials: dict[int, dict[tuple[str, str], list[Line]]] = {}
    problems: list[Problem] = []
    on_disk = {sample.path for sample in samples}
    for trial in TRIALS:
        lists = {}
        for kind in KINDS:
            for modality in FOLDERS:
                try:
                    lists[kind, modality] = as_found(read_idx(root, kind, modality, trial), on_disk)
                except UsageError as error:
                    problems.append(Problem("list", idx_path(kind, modality, trial), str(error)))
        trials[trial] = lists
    problems += image_problems(samples, trials, pids)
    listed = {line.path for lists in trials.values() for lines in lists.values() for line in lines}
    faulty = {trial: trial_problems(trial, lists, listed, pids) for trial, lists in trials.items()}
    problems += [problem for found in faulty.values() for problem in found]
    return counts(samples, trials, pids, sum(not found for found in faulty.values())), problems


def counts(
    samples: Sequence[Sample],
    trials: Mapping[int, TrialLists],
    pids: set[int],
    consistent_trials: int,
) -> list[Count]:
    """The published numbers against those of the images and idx files found."""
    per_folder = Counter((sample.camera, sample.pid) for sample in samples)
    full = sum(all(per_folder[camera, pid] == IMAGES for camera in CAMERA.values()) for pid in pids)
    train = len(pids) // 2
    test = len(pids) - train
    halves = 0
    right_length = 0
    for lists in trials.values():
        sides = {kind: {m: lists.get((kind, m), ()) for m in FOLDERS} for kind in KINDS}
        members = {kind: identities(sides[kind], parse_name) for kind in KINDS}
        sizes = (len(members["train"]), len(members["test"]))
        halves += sizes == (train, test) and members["train"].isdisjoint(members["test"])
        lengths = {"train": train * IMAGES, "test": test * IMAGES}
        right_length += sum(len(lines) == lengths[kind] for (kind, _), lines in lists.items())
    return [
        Count("identities", len(pids), len({sample.pid for sample in samples})),
        Count("visible images", len(pids) * IMAGES, sum(sample.modality == VISIBLE for sample in samples)),
        Count("infrared images", len(pids) * IMAGES, sum(sample.modality == INFRARED for sample in samples)),
        Count(f"identities with {IMAGES} images of each modality", len(pids), full),
        Count(f"splits into {train} training and {test} test identities", len(TRIALS), halves),
        Count(
            f"idx files with {train * IMAGES} and {test * IMAGES} lines (train, test)", len(TRIALS) * 4, right_length
        ),
        Count("splits without contradiction", len(TRIALS), consistent_trials),
    ]


def image_problems(samples: Sequence[Sample], trials: Mapping[int, TrialLists], pids: set[int]) -> list[Problem]:
    """Images that are missing or surplus: every split together lists all images by name."""
    found = {sample.path: sample for sample in samples}
    listed: dict[str, str] = {}
    for trial, lists in trials.items():
        for (kind, modality), lines in lists.items():
            for line in lines:
                listed.setdefault(line.path, idx_path(kind, modality, trial))
    problems = [
        Problem("missing", path, f"no such file, though {listed[path]} lists it")
        for path in sorted(listed.keys() - found)
    ]
    problems += [
        Problem("surplus", path, "identity unknown" if found[path].pid not in pids else "in no idx file")
        for path in sorted(found.keys() - listed)
    ]
    # A folder can hold too few images without any name being known to be missing.
    named = Counter(path.rpartition("/")[0] for path in listed.keys() | found.keys())
    for folder in FOLDERS.values():
        for pid in sorted(pids):
            if named[f"{folder}/{pid}"] < IMAGES:
                lacking = IMAGES - named[f"{folder}/{pid}"]
                problems.append(Problem("missing", f"{folder}/{pid}", f"{lacking} images that no idx file names"))
    return problems


def trial_problems(trial: int, lists: TrialLists, listed: set[str], pids: set[int]) -> list[Problem]:
    """Contradictions inside one trial's idx files, and images and identities that they leave out.

    ``listed`` holds the paths that the idx files of any trial list.
    """
    whole = f"idx/*_{trial}.txt"
    if len(lists) < len(KINDS) * len(FOLDERS):
        return [Problem("list", whole, "not all four lists of this split could be read")]
    # With all listed paths taken to exist, a missing image is named once, by image_problems, and not once per trial.
    problems = [Problem("list", file, sentence) for file, sentence in split_contradictions(lists, listed, trial)]
    members = identities({f"{kind} {modality}": lines for (kind, modality), lines in lists.items()}, parse_name)
    for pid in sorted(pids - members):
        problems.append(Problem("list", whole, f"identity {pid} is on neither side of the split"))
    left_out = listed - {line.path for lines in lists.values() for line in lines}
    for path in sorted(left_out):
        sample = parse_name(path)
        if sample is not None and sample.pid in members:
            problems.append(Problem("list", whole, f"{path!r} is in none of these lists, but in other splits'"))
    return problems
