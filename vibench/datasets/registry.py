"""The data sets by name. A synthetic twin uses the layout of the data set it stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from vibench.errors import UsageError, suggestion
from vibench.files.reading import parse_json, read_text

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex
    from vibench.datasets.listing import Listing

SEPARATOR = "+"
"""Between the names of data sets that are trained on together (`vibench.datasets.joined`)."""
_LAYOUT_MODULES = {
    "sysu-mm01": "vibench.datasets.sysu_mm01",
    "regdb": "vibench.datasets.regdb",
    "llcm": "vibench.datasets.llcm",
    "hitsz-vcm": "vibench.datasets.hitsz_vcm",
    "buptcampus": "vibench.datasets.buptcampus",
}


@dataclass(frozen=True)
class Dataset:
    """One data set: how to read a copy of it, or only its image names."""

    name: str
    title: str
    layout: Literal["sysu-mm01", "regdb", "llcm", "hitsz-vcm", "buptcampus", "joined"]
    synthetic: bool = False
    trials: int = 1
    """Train/test splits; with more than one, `index` takes ``trial`` 1...trials."""
    video: bool = False
    """Whether tracklets are ranked. In the index, and everywhere behind it, each stands as its first frame."""

    def index(self, root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
        """All images below ``root``; the split is that of ``trial``, ``unused`` for all without one of several.

        ``missing_ok`` accepts a copy that visibly lacks images. Raises `UsageError` for an unusable root or split file,
        and for a trial the data set does not have.
        """
        if trial is not None and trial not in range(1, self.trials + 1):
            trials = f"trials 1 to {self.trials}" if self.trials > 1 else "one train/test split only, trial 1"
            raise UsageError(f"{self.name} has no trial {trial}; it has {trials}")
        self._require_root(root)
        frame: SampleIndex = self._layout().index(Path(root), trial, missing_ok)
        return frame

    def list_root(self, root: Path) -> Listing:
        """What lies in the image folders of ``root``; `UsageError` where it is no folder, or not the right one."""
        self._require_root(root)
        listing: Listing = self._layout().list_root(Path(root))
        return listing

    def tracklets(self, root: Path) -> dict[str, tuple[str, ...]]:
        """The frames whose features make that of a test tracklet, by its name; empty where images are ranked.

        Raises `UsageError` for lists that are absent or unreadable.
        """
        found: dict[str, tuple[str, ...]] = self._layout().tracklets(Path(root)) if self.video else {}
        return found

    def training_frames(self, root: Path) -> set[str]:
        """The names of all training images that a data set of video should have; errors as `tracklets`."""
        frames: set[str] = self._layout().training_frames(Path(root))
        return frames

    def listed_frames(self, root: Path, split: str) -> int:
        """How many frames all tracklets of ``train`` or ``test`` have together; errors as `tracklets`."""
        frames: int = self._layout().listed_frames(Path(root), split)
        return frames

    def everybody(self, root: Path) -> list[tuple[int, int]]:
        """(pid, camera) of whom the lists of a data set of video name, once or more often; errors as `tracklets`."""
        pairs: list[tuple[int, int]] = self._layout().everybody(Path(root))
        return pairs

    def files(self, root: Path) -> dict[str, str]:
        """The relative paths of the images below ``root`` whose files have other names than the index gives them."""
        return self.list_root(root).files

    def own_name(self, name: str) -> str | None:
        """The data set's own name of the image that a file calls ``name`` (`vibench.datasets.listing.own_name`)."""
        from vibench.datasets.listing import own_name

        return own_name(name, self._layout().read_name)

    def index_from_names(self, names: Iterable[str]) -> SampleIndex:
        """One row per image name in the given order, split ``test``; reads no file.

        Raises `UsageError` for names that do not fit the layout or occur twice.
        """
        frame: SampleIndex = self._layout().index_from_names(names)
        return frame

    def relative_name(self, name: str) -> str | None:
        """The end of a path of any machine that names an image of this layout, ``/``-separated; None without one.

        The ending may be absent or another: features are dumped under ``0001`` and ``0001.npy``.
        """
        parts = [part for part in re.split(r"[\\/]+", name.strip()) if part]
        ends = ["/".join(parts[-count:]) for count in range(2, min(len(parts), 5) + 1)]
        ending = PurePosixPath(self._layout().NAME_FORM.split()[0]).suffix
        ends += [str(PurePosixPath(end).with_suffix(ending)) for end in ends]
        return next((end for end in ends if self.is_image(end)), None)

    def is_image(self, name: str) -> bool:
        """Whether a relative name is that of an image of this layout, of whatever split."""
        return self._layout().parse_name(name) is not None

    def is_test_form(self, name: str) -> bool:
        """Whether a relative name is one that a test image can have."""
        return self._layout().parse_test_name(name) is not None

    @property
    def image_folders(self) -> tuple[str, ...]:
        """The folders of a root that hold images."""
        folders: tuple[str, ...] = self._layout().IMAGE_FOLDERS
        return folders

    @property
    def marks(self) -> tuple[str, ...]:
        """What lies in a copy beside the folders of images, where their names are those of other folders too."""
        marks: tuple[str, ...] = getattr(self._layout(), "MARKS", ())
        return marks

    @property
    def name_form(self) -> str:
        """An example of the name of an image."""
        form: str = self._layout().NAME_FORM
        return form

    def modality_of(self, camera: int) -> str | None:
        """The modality of a camera's images; None for a camera with both, or one that the data set does not have."""
        modality: str | None = self._layout().MODALITY_OF_CAMERA.get(camera)
        return modality

    def version(self, root: Path) -> str:
        """``<scale>-s<seed>-r<renderer version>`` of a twin, and ``-<kind><level>`` of one that is harder in a kind.

        Empty for real data, which has one version. Raises `UsageError` for a folder that is no twin.
        """
        if not self.synthetic:
            return ""
        file = Path(root) / "truth" / "twin.json"
        try:
            truth = parse_json(read_text(file))
            version = f"{truth['scale']}-s{truth['seed']}-r{truth['renderer']}"
            if "harder" in truth:
                version += f"-{truth['harder'].replace(':', '')}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            version = ""
        # It becomes part of records and of names of files.
        if not re.fullmatch(r"[a-z]+-s[0-9]{1,20}-r[0-9]{1,9}(-[a-z]+(-[a-z]+)?[1-3])?", version):
            # Most often the root is another folder than was meant.
            self._require_root(root)
            raise UsageError(
                f"{file} does not tell scale, seed and renderer of the twin; name the folder that 'vibench data twin' "
                "has made with --root, or make it anew"
            )
        return version

    def is_twin(self, root: Path) -> bool:
        """Whether a folder that was given for real data holds this data set's twin."""
        return not self.synthetic and (Path(root) / "truth" / "twin.json").is_file()

    def _require_root(self, root: Path) -> None:
        from vibench.datasets.listing import require_root

        require_root(root, self.title, self.image_folders)

    def _layout(self) -> ModuleType:
        return import_module(_LAYOUT_MODULES[self.layout])


_DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("sysu-mm01", "SYSU-MM01", "sysu-mm01"),
        Dataset("regdb", "RegDB", "regdb", trials=10),
        Dataset("llcm", "LLCM", "llcm"),
        Dataset("hitsz-vcm", "HITSZ-VCM", "hitsz-vcm", video=True),
        Dataset("buptcampus", "BUPTCampus", "buptcampus", video=True),
        Dataset("sysu-mm01-twin", "SYSU-MM01 twin", "sysu-mm01", synthetic=True),
        Dataset("regdb-twin", "RegDB twin", "regdb", synthetic=True, trials=10),
        Dataset("hitsz-vcm-twin", "HITSZ-VCM twin", "hitsz-vcm", synthetic=True, video=True),
        Dataset("buptcampus-twin", "BUPTCampus twin", "buptcampus", synthetic=True, video=True),
    )
}


def dataset_names() -> tuple[str, ...]:
    """Names of all data sets, the real ones first."""
    return tuple(_DATASETS)


def get_dataset(name: str) -> Dataset:
    """The data set of that name; `UsageError` with a suggestion for an unknown one, and for several in one name."""
    if SEPARATOR in name:
        each = " ".join(f"--dataset {part}" for part in name.split(SEPARATOR))
        raise UsageError(
            f"'{name}' is several data sets, and this takes one; 'vibench train METHOD {each}' trains on them all"
        )
    try:
        return _DATASETS[name]
    except KeyError:
        names = dataset_names()
        raise UsageError(f"unknown data set '{name}'{suggestion(name, names)}; there are {', '.join(names)}") from None


def is_synthetic(name: str) -> bool:
    """True for the synthetic twins; False for real data sets and for names that vibench does not know."""
    return name in _DATASETS and _DATASETS[name].synthetic


def dataset_root(name: str, root: Path | None = None) -> Path:
    """Where a data set lies: ``root`` if given, else ``$VIBENCH_DATA/<name>``, else ``data/<name>``.

    Data sets that are trained on together lie in ``root`` by their names, by default in ``$VIBENCH_DATA`` or ``data``.
    """
    if root is not None:
        return Path(root)
    folder = Path(os.environ.get("VIBENCH_DATA") or "data")
    return folder if SEPARATOR in name else folder / name


def require_root(root: Path | None) -> None:
    """Raise `UsageError` where a ``root`` was named that is no folder: only the default place may be absent."""
    if root is not None and not Path(root).is_dir():
        raise UsageError(f"--root {root}: there is no such folder; name the data set's, or leave the option out.")
