"""Is the training split of a copy the whole one? By the names of the images alone: nothing is decoded.

SYSU-MM01 has published counts of images per camera and identity, RegDB 206 training identities with ten images of each
modality in every split, LLCM 713 training identities and lists that name their images. A twin has its own
``truth/skeleton.csv``.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from itertools import product
from pathlib import Path

import pandas as pd

from vibench.datasets import check_llcm, check_regdb, llcm, regdb
from vibench.datasets.check_sysu_mm01 import image_names
from vibench.datasets.index import TRAINING_SPLITS, SampleIndex, training_rows
from vibench.datasets.joined import JoinedDataset, parts_of
from vibench.datasets.labelled import identities
from vibench.datasets.registry import Dataset
from vibench.datasets.sysu_mm01 import read_skeleton, sysu_skeleton
from vibench.errors import UsageError, cited
from vibench.files.digests import sha256_text

_CITED = 3


def training_differences(dataset: Dataset, root: Path, index: SampleIndex, trial: int | None = None) -> str:
    """What the training split of a copy lacks or has too much, as half a sentence; empty for the whole one.

    ``index`` is that of all images of the copy, split as in ``trial``. `UsageError` for a twin without its truth.
    """
    if isinstance(dataset, JoinedDataset):
        return _of_members(dataset, root, index, trial)
    training = training_rows(index)
    if dataset.layout == "sysu-mm01":
        found = _of_sysu(dataset, root, training)
    elif dataset.layout == "regdb":
        found = regdb_apart(dataset, root, "train", training, trial or 1)
    elif dataset.video:
        wanted = dataset.training_frames(root)
        found = [*twin_apart(dataset, root, "train"), *names_apart(wanted, set(training["path"]), len(wanted))]
    else:
        found = _of_llcm(root, index, training)
    return " and ".join(part for part in found if part)


def _of_members(dataset: JoinedDataset, root: Path, index: SampleIndex, trial: int | None) -> str:
    found = []
    for member, place in parts_of(dataset, root):
        rows = dataset.of_member(index, member)
        differences = training_differences(member, place, rows, dataset.member_trial(member, trial))
        found += [f"of {member.name} {differences}"] if differences else []
    return " and ".join(found)


def names_sha256(index: SampleIndex) -> str:
    """SHA-256 of the names of the training images: equal for two copies with the same ones."""
    return sha256_text("\n".join(sorted(training_rows(index)["path"])))


def everybody(dataset: Dataset, root: Path, index: SampleIndex) -> pd.DataFrame:
    """Columns ``pid`` and ``camera`` of everybody whom the data set shows, be it in images that the copy lacks.

    ``index`` has all images of the copy.
    """
    if dataset.layout == "llcm":
        pids: set[int] = set()
        with contextlib.suppress(UsageError):  # of lists that cannot be read the index would have told
            lists = {modality: llcm.read_training_list(root, modality) for modality in llcm.FOLDERS}
            pids = {*identities(lists, llcm.parse_training_name), *llcm.read_test_ids(root)}
        known = pd.DataFrame({"pid": sorted(pids)}).merge(index[["camera"]].drop_duplicates(), how="cross")
    elif dataset.video:
        known = pd.DataFrame(dataset.everybody(root), columns=["pid", "camera"])
    elif dataset.synthetic and not (root / "truth" / "skeleton.csv").exists():
        return index[["pid", "camera"]]
    elif dataset.synthetic or dataset.layout == "sysu-mm01":
        known = skeleton_of(dataset, root)[["pid", "camera"]]
    else:
        pairs = product(range(1, check_regdb.IDENTITIES + 1), regdb.MODALITY_OF_CAMERA)
        known = pd.DataFrame(pairs, columns=["pid", "camera"])
    return pd.concat([index[["pid", "camera"]], known])


def skeleton_of(dataset: Dataset, root: Path) -> pd.DataFrame:
    return read_skeleton(root / "truth" / "skeleton.csv") if dataset.synthetic else sysu_skeleton()


def _of_sysu(dataset: Dataset, root: Path, training: SampleIndex) -> list[str]:
    skeleton = skeleton_of(dataset, root)
    wanted = image_names(skeleton[skeleton["split"].isin(TRAINING_SPLITS)])
    return names_apart(wanted, set(training["path"]), len(wanted))


def regdb_apart(dataset: Dataset, root: Path, kind: str, images: SampleIndex, trial: int) -> list[str]:
    """Of the ``images`` of RegDB, train | test as ``kind`` says: what lacks or is too much, in parts of a sentence."""
    everybody = int(skeleton_of(dataset, root)["pid"].nunique()) if dataset.synthetic else check_regdb.IDENTITIES
    people = everybody // 2 if kind == "train" else everybody - everybody // 2
    whole = people * check_regdb.IMAGES * len(regdb.FOLDERS)
    found = set(images["path"])
    lists = regdb.read_trial(root, trial, found)
    listed = {line.path for modality in regdb.FOLDERS for line in lists[kind, modality]}
    # A list may name fewer images than there should be, which then have no names.
    folders = Counter(path.rpartition("/")[0] for path in listed)
    unnamed = {folder: check_regdb.IMAGES - images for folder, images in sorted(folders.items())}
    lacking = [f"{images} of {folder}" for folder, images in unnamed.items() if images > 0]
    surplus = [f"{-images} of {folder}" for folder, images in unnamed.items() if images < 0]
    missing = sorted(listed - found)
    count = len(missing) + sum(images for images in unnamed.values() if images > 0)
    return [
        f"lacks {count} of {whole} images ({cited([*missing, *lacking], _CITED)})" if count else "",
        f"has more than the ten images of an identity ({cited(surplus, _CITED)})" if surplus else "",
        identities_apart(len({folder.rpartition("/")[2] for folder in folders}), people),
    ]


def _of_llcm(root: Path, index: SampleIndex, training: SampleIndex) -> list[str]:
    found = set(training["path"])
    lists = llcm.read_training_lists(root, found)
    listed = {line.path for lines in lists.values() for line in lines}
    parts = names_apart(listed, found, len(listed))
    parts.append(identities_apart(len({path.split("/")[1] for path in listed}), check_llcm.TRAINING_IDENTITIES))
    used = int((index["split"] != "unused").sum())
    if not any(parts) and used != check_llcm.IMAGES:
        # How many of all the images are training images is reported second-hand: by itself a difference proves nothing.
        parts += [
            f"has {len(lists[modality])} of {images} {modality} images"
            for modality, images in check_llcm.TRAINING_IMAGES.items()
            if len(lists[modality]) != images
        ]
    return parts


def twin_apart(dataset: Dataset, root: Path, split: str) -> list[str]:
    """What a copy of video that agrees with its own lists is found out by: it is a twin's, or not the whole twin."""
    if not dataset.synthetic:
        return [f"is that of a twin (--dataset {dataset.name}-twin)"] if dataset.is_twin(root) else []
    skeleton, listed = skeleton_of(dataset, root), dataset.listed_frames(root, split)
    frames = int(skeleton.loc[skeleton["split"] == split, "images"].sum())
    return [f"has lists of {listed} frames in place of {frames}"] if listed != frames else []


def names_apart(wanted: set[str], found: set[str], whole: int, what: str = "images") -> list[str]:
    missing, surplus = sorted(wanted - found), sorted(found - wanted)
    return [
        f"lacks {len(missing)} of {whole} {what} ({cited(missing, _CITED)})" if missing else "",
        f"has {len(surplus)} {what} that are not of it ({cited(surplus, _CITED)})" if surplus else "",
    ]


def identities_apart(found: int, whole: int) -> str:
    return f"has {found} identities in place of {whole}" if found != whole else ""
