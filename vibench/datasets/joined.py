"""Several data sets as one to train on: nobody and no camera of one is taken for those of another.

The root of ``sysu-mm01+regdb`` is a folder in which both lie by their names, as below ``VIBENCH_DATA``; links will do.
Images are named by their data set and their own name (``regdb/Visible/1/....bmp``). To the numbers of identities and
cameras of the second data set `IDENTITIES` and `CAMERAS` are added, of the third twice as much, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibench.datasets.listing import Listing, Sample, nearby_root
from vibench.datasets.registry import SEPARATOR, Dataset, dataset_names, get_dataset
from vibench.errors import UsageError

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

IDENTITIES = 1_000_000
CAMERAS = 1_000


def joined_name(names: Iterable[str]) -> str:
    """The name of data sets that are trained on together, in whatever order they are given.

    Raises `UsageError` for an unknown one and for one that is named twice.
    """
    wanted, known = list(names), dataset_names()
    for name in wanted:
        get_dataset(name)
        if wanted.count(name) > 1:
            raise UsageError(f"--dataset {name} --dataset {name}: name each data set once")
    return SEPARATOR.join(sorted(wanted, key=known.index))


def training_dataset(name: str) -> Dataset:
    """The data set of that name, or the several of a `joined_name` as one; `UsageError` for an unknown one."""
    if SEPARATOR not in name:
        return get_dataset(name)
    members = tuple(get_dataset(part) for part in name.split(SEPARATOR))
    if name != joined_name(member.name for member in members):
        raise UsageError(f"the data sets {name} are called {joined_name(member.name for member in members)} together")
    if len({member.synthetic for member in members}) > 1:
        raise UsageError(f"{name} are real people and synthetic ones; train on data sets of one kind")
    return JoinedDataset(
        name,
        " and ".join(member.title for member in members),
        "joined",
        synthetic=members[0].synthetic,
        trials=max(member.trials for member in members),
        members=members,
    )


def first_test(name: str, models: int = 1) -> Dataset:
    """Of the data sets that were trained on under a name, the one to test first.

    Several ``models``, one per train/test split, can be tested together only where there are splits.
    """
    parts = [part for part, _ in parts_of(training_dataset(name), Path())]
    return max(parts, key=lambda part: part.trials) if models > 1 else parts[0]


def parts_of(dataset: Dataset, root: Path) -> list[tuple[Dataset, Path]]:
    """Every data set in ``dataset`` with its own root: itself, where it is not several."""
    if not isinstance(dataset, JoinedDataset):
        return [(dataset, Path(root))]
    return [(member, dataset.member_root(root, member)) for member in dataset.members]


def trained_identities(dataset: Dataset, pids: Iterable[int], of: str) -> set[int]:
    """Of the training identities ``pids`` of a data set, those of the data set named ``of``, by its own numbers."""
    if not isinstance(dataset, JoinedDataset):
        return set(pids) if dataset.name == of else set()
    places = [place for place, member in enumerate(dataset.members) if member.name == of]
    return {pid % IDENTITIES for pid in pids if pid // IDENTITIES in places}


@dataclass(frozen=True)
class JoinedDataset(Dataset):
    """Data sets to train on together; no protocol tests on all of them."""

    members: tuple[Dataset, ...] = ()

    def member_root(self, root: Path, member: Dataset) -> Path:
        """Where a member lies below the common root."""
        return Path(root) / member.name

    def require_members(self, root: Path) -> None:
        """`UsageError` for a member that does not lie below the common root, or lies deeper in its folder."""
        for member in self.members:
            place = self.member_root(root, member)
            if not place.is_dir():
                raise UsageError(
                    f"{root}: holds no folder {member.name}/; --root is the folder that holds all data sets that are "
                    "trained on together by their names (links will do)"
                )
            # Alone, a data set is found where its own --root says.
            nearby = nearby_root(place, member.image_folders)
            if nearby is not None:
                raise UsageError(
                    f"{place} does not hold {member.title} itself, but {nearby} does; put that folder, or a link to "
                    f"it, in the place of {place}"
                )

    def member_trial(self, member: Dataset, trial: int | None) -> int | None:
        """The train/test split of a member where that of all is ``trial``: None for one that has no several."""
        return trial if member.trials > 1 else None

    def index(self, root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
        """The images of all members, one member after the other; errors as `Dataset.index`."""
        import pandas as pd

        self.require_members(root)
        frames = []
        for place, member in enumerate(self.members):
            found = member.index(self.member_root(root, member), self.member_trial(member, trial), missing_ok)
            # The numbers of those that one data set alone could have would be somebody else's in another.
            if found["pid"].max() >= IDENTITIES:
                raise UsageError(
                    f"{self.member_root(root, member)}: numbers identities beyond {IDENTITIES:,}, so that it cannot be "
                    "trained on together with others; train on it alone"
                )
            frames.append(
                found.assign(
                    path=[f"{member.name}/{path}" for path in found["path"]],
                    pid=found["pid"] + place * IDENTITIES,
                    camera=found["camera"] + place * CAMERAS,
                )
            )
        return pd.concat(frames, ignore_index=True)

    def of_member(self, index: SampleIndex, member: Dataset) -> SampleIndex:
        """The rows of ``index`` that are a member's, as its own index has them."""
        place, prefix = self.members.index(member), f"{member.name}/"
        rows = index[index["path"].str.startswith(prefix)].reset_index(drop=True)
        return rows.assign(
            path=rows["path"].str.removeprefix(prefix),
            pid=rows["pid"] - place * IDENTITIES,
            camera=rows["camera"] - place * CAMERAS,
        )

    def list_root(self, root: Path) -> Listing:
        """What lies in the image folders of all members, by the names and numbers that `index` gives."""
        self.require_members(root)
        found = Listing([], [], {}, {}, {})
        for place, member in enumerate(self.members):
            listing, prefix = member.list_root(self.member_root(root, member)), f"{member.name}/"
            found.samples.extend(_joined(sample, prefix, place) for sample in listing.samples)
            found.ignored.extend(prefix + path for path in listing.ignored)
            found.doubles.update(
                {prefix + image: [prefix + path for path in paths] for image, paths in listing.doubles.items()}
            )
            for own, theirs in ((found.files, listing.files), (found.empty, listing.empty)):
                own.update({prefix + image: prefix + path for image, path in theirs.items()})
        return found

    def version(self, root: Path) -> str:
        """The versions of the twins among the members; empty where there is none."""
        self.require_members(root)
        versions = (member.version(self.member_root(root, member)) for member in self.members)
        return SEPARATOR.join(version for version in versions if version)


def _joined(sample: Sample, prefix: str, place: int) -> Sample:
    """A member's image as one of all."""
    return sample._replace(
        path=prefix + sample.path, pid=sample.pid + place * IDENTITIES, camera=sample.camera + place * CAMERAS
    )
