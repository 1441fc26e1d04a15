"""SYSU-MM01 (Wu et al., RGB-Infrared Cross-Modality Person Re-Identification, ICCV 2017): layout and splits.

::

    cam1 ... cam6/<pid, 4 digits>/<number, from 0001>.jpg
    exp/train_id.txt  val_id.txt  test_id.txt          one line of comma-separated identities (or the same as .mat)
    exp/rand_perm_cam.mat                              the official draws, see `vibench.datasets.permutations`

Cameras 1, 2, 4 and 5 are visible, 3 and 6 infrared; 3 stands in the room of 2. Identities in none of the lists
get the split ``unused``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vibench.datasets.listing import (
    IMAGE_SUFFIX,
    Listing,
    Sample,
    list_images,
    located,
    parse_names,
    read_id_list,
    require_root,
    sample_index,
    unique_ids,
)
from vibench.errors import UsageError
from vibench.files.reading import read_text
from vibench.modality import INFRARED, VISIBLE

if TYPE_CHECKING:
    import pandas as pd

    from vibench.datasets.index import SampleIndex

CAMERAS = (1, 2, 3, 4, 5, 6)
INFRARED_CAMERAS = (3, 6)
MODALITY_OF_CAMERA = {camera: INFRARED if camera in INFRARED_CAMERAS else VISIBLE for camera in CAMERAS}
LISTED_SPLITS = ("train", "val", "test")
NAME_FORM = "cam3/0006/0001.jpg"
IMAGE_FOLDERS = tuple(f"cam{camera}" for camera in CAMERAS)
"""The folders of images."""
_NAME = re.compile(r"cam([1-6])/([0-9]{4})/[0-9]+\.jpg")
_FILE = re.compile(r"cam0*([1-6])/0*([0-9]{1,4})/0*([0-9]{1,9})" + IMAGE_SUFFIX, re.IGNORECASE | re.ASCII)


def parse_name(name: str) -> Sample | None:
    """The image that a relative path names (split ``test``), or None when it is not of this layout."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    camera = int(match[1])
    modality = INFRARED if camera in INFRARED_CAMERAS else VISIBLE
    return Sample(name, int(match[2]), camera, modality, "test")


parse_test_name = parse_name
"""A name does not tell the split."""


def read_name(path: str) -> Sample | None:
    """The image that a file is, by the data set's own name, whatever case, extension and zeros the path has."""
    match = _FILE.fullmatch(path)
    return None if match is None else parse_name(f"cam{match[1]}/{int(match[2]):04d}/{int(match[3]):04d}.jpg")


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for image names in the given order, split ``test``; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_name, "SYSU-MM01", NAME_FORM))


def list_root(root: Path) -> Listing:
    """All images below the camera folders of ``root``, sorted by path, without their splits."""
    return list_images(root, IMAGE_FOLDERS, read_name)


def index(root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
    """All images of a copy with their splits, sorted by path. The data set has one train/test split: no trials.

    ``missing_ok`` accepts a copy without some of the cameras.
    """
    require_root(root, "SYSU-MM01", IMAGE_FOLDERS)
    listing = list_root(root)
    listing.require_unambiguous(root)
    if not listing.samples:
        raise UsageError(f"{root} holds no image of SYSU-MM01 such as {NAME_FORM}; check --root")
    absent = [folder for folder in IMAGE_FOLDERS if not located(root, folder).is_dir()]
    if absent and not missing_ok:
        raise UsageError(
            f"{root} has no folder {', '.join(absent)}: it is no complete copy of SYSU-MM01; "
            "find out what is missing with vibench data check"
        )
    splits = split_by_pid(root)
    return sample_index(sample._replace(split=splits.get(sample.pid, "unused")) for sample in listing.samples)


def split_by_pid(root: Path) -> dict[int, str]:
    """The split of every identity in the id lists; `UsageError` when two lists share one."""
    splits: dict[int, str] = {}
    for split in LISTED_SPLITS:
        for pid in read_ids(root, split):
            if pid in splits:
                raise UsageError(
                    f"identity {pid} is in both {_ids_file(root, splits[pid])} and {_ids_file(root, split)}; "
                    "copy the id files again from the data set's archive"
                )
            splits[pid] = split
    return splits


def read_ids(root: Path, split: str) -> tuple[int, ...]:
    """The identities of a split in file order, from ``exp/<split>_id.txt`` or else the ``.mat`` of that name."""
    file = _ids_file(root, split)
    if file.suffix.lower() == ".txt":
        return read_id_list(file)

    import numpy as np

    from vibench.datasets.matlab import read_variable

    values = read_variable(file, "id")
    if values.dtype.kind not in "iuf" or not ((values >= 0) & (values < 10**9) & (values == np.floor(values))).all():
        raise UsageError(f"variable id of {file} holds no integers; copy the file again from the data set's archive")
    return unique_ids((int(pid) for pid in values.ravel()), file)


def _ids_file(root: Path, split: str) -> Path:
    text, matlab = (located(root, f"exp/{split}_id.{kind}") for kind in ("txt", "mat"))
    return text if text.exists() or not matlab.exists() else matlab


def sysu_skeleton() -> pd.DataFrame:
    """The published number of images per camera and identity, as columns ``camera, pid, images, split``.

    Identities on disk but in no id list have the split ``unused``.
    """
    return read_skeleton(Path(__file__).with_name("sysu_mm01_skeleton.csv"))


def read_skeleton(path: Path) -> pd.DataFrame:
    """A skeleton file: image counts per camera and identity, sorted by camera and pid; `UsageError` if malformed."""
    import pandas as pd

    try:
        # pandas' own reader takes minutes to tell many columns of one name apart.
        rows = [
            (int(row["camera"]), int(row["pid"]), int(row["images"]), row["split"])
            for row in csv.DictReader(io.StringIO(read_text(path)))
        ]
        frame = pd.DataFrame(rows, columns=pd.Index(["camera", "pid", "images", "split"]))
        frame = frame.astype({"camera": "int64", "pid": "int64", "images": "int64"})
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; make the data set again with vibench data twin") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); make the data set again") from None
    except (KeyError, TypeError, ValueError, OverflowError, csv.Error):
        raise UsageError(f"{path} is no table with the integer columns camera, pid, images and a split") from None
    # The reference table calls identities outside the official lists "other".
    frame["split"] = frame["split"].replace({"other": "unused"})
    if not frame["split"].isin((*LISTED_SPLITS, "unused")).all():
        raise UsageError(f"{path} has a split that is none of {', '.join(LISTED_SPLITS)}, unused; make it again")
    return frame.sort_values(["camera", "pid"], ignore_index=True)
