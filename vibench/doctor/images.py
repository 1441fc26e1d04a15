"""Of which data set images are, by their names alone, and which gallery draw they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from vibench.datasets.listing import located
from vibench.datasets.permutations import Permutations, read_permutations
from vibench.datasets.registry import Dataset, dataset_names, dataset_root, get_dataset
from vibench.datasets.testing import images_of_tests
from vibench.doctor.diagnosis import Claims
from vibench.errors import UsageError
from vibench.evaluation.draws import draw_trials, side_rows
from vibench.evaluation.images import Images, images_of
from vibench.protocols import Protocol, load_protocol, protocol_names
from vibench.records.galleries import names_of_test_images
from vibench.scoring.rules import OFFICIAL_PERMUTATIONS

_SAMPLED = 500
"""Names that the data set is told by."""
_ENOUGH = 0.9
_SEEDS = 30
"""Seeds that are tried where a gallery is none of its protocol's ten."""


def dataset_of(names: Sequence[str] | None, claims: Claims, said: str = "") -> Dataset | None:
    """The data set that the option, the file or the names of images say; None where nothing does."""
    if claims.dataset:
        return get_dataset(claims.dataset)
    if said in dataset_names():
        return get_dataset(said)
    if names is not None:
        some = list(names[:: max(1, len(names) // _SAMPLED)])
        for dataset in (get_dataset(name) for name in dataset_names()):
            if sum(dataset.relative_name(name) is not None for name in some) >= _ENOUGH * len(some):
                return dataset
    rules = claims.rules()
    return None if rules is None else get_dataset(rules.dataset)


def copy_of(dataset: Dataset, claims: Claims) -> Path | None:
    """The copy of the data set that is at hand; `UsageError` where one was named that is none."""
    folder = dataset_root(dataset.name, claims.root)
    if claims.root is not None and not folder.is_dir():
        raise UsageError(f"--root {folder}: there is no such folder.")
    return folder if folder.is_dir() else None


def protocols_of(layout: str) -> tuple[Protocol, ...]:
    """The protocols of a data set's layout; those of corrupted images draw the same galleries."""
    known = map(load_protocol, protocol_names())
    return tuple(protocol for protocol in known if protocol.layout == layout and protocol.corruption is None)


@dataclass(frozen=True)
class Drawn:
    """A gallery as a protocol draws it."""

    protocol: str
    draw: str
    trial: int
    names: tuple[str, ...]
    """In drawn order."""

    def __str__(self) -> str:
        if self.draw == "seeded" and self.trial >= load_protocol(self.protocol).trials:
            return f"{self.protocol} with the seed {self.trial}, which is none of its trials"
        return f"{self.protocol}, {self.draw} draw, trial {self.trial}"


class Draws:
    """All galleries that the protocols of a data set draw, as far as the names of its images are known."""

    def __init__(self, dataset: Dataset, claims: Claims, version: str = "") -> None:
        """``version`` is that of a twin."""
        self._dataset = dataset
        root = copy_of(dataset, claims)
        self._images = _test_images(dataset, root, version)
        self._permutations = _permutations(dataset, root, claims)

    @property
    def known(self) -> bool:
        """Whether seeded draws can be repeated here."""
        return self._images is not None

    @property
    def official(self) -> bool:
        """Whether official draws can be, too."""
        return self.known and self._permutations is not None

    def whole(self, gallery: Collection[str]) -> bool:
        """Whether these are (at least) all the images that the galleries of some protocol are drawn from."""
        if self._images is None or self._images.paths is None:
            return False
        names = set(gallery)
        return any(
            names >= set(self._images.paths[side_rows(protocol, protocol.gallery, self._images)].tolist())
            for protocol in protocols_of(self._dataset.layout)
            if protocol.gallery.drawn
        )

    def all(self, more_seeds: bool = False) -> list[Drawn]:
        """The galleries of every trial; with ``more_seeds`` those of further seeds."""
        found: list[Drawn] = []
        if self._images is None:
            return found
        for protocol in protocols_of(self._dataset.layout):
            if not protocol.gallery.drawn:
                continue
            for draw in protocol.draws:
                if draw == "seeded":
                    rules = replace(protocol, trials=_SEEDS) if more_seeds else protocol
                    found += self._draw(rules, draw)
                elif draw == "official" and self._permutations is not None and not more_seeds:
                    found += self._draw(protocol, draw)
        return found

    def _draw(self, protocol: Protocol, draw: str) -> list[Drawn]:
        assert self._images is not None and self._images.paths is not None
        try:
            trials = draw_trials(protocol, self._images, draw, self._permutations)
        except UsageError:
            # A twin may be too small for ten images of everybody, and permutations may be of another data set.
            return []
        paths = self._images.paths
        return [Drawn(protocol.name, draw, trial.number, tuple(paths[trial.gallery].tolist())) for trial in trials]

    def matching(self, gallery: Collection[str]) -> list[Drawn]:
        """The draws with exactly these images, whatever their order."""
        wanted = set(gallery)
        for more in (False, True):
            found = [
                drawn for drawn in self.all(more) if len(drawn.names) == len(wanted) and set(drawn.names) == wanted
            ]
            if found:
                return found
        return []


def looks_drawn(gallery: Images, shots: int) -> bool:
    """Whether nobody has more than ``shots`` images on a camera, as in a drawn gallery."""
    folders = np.stack([gallery.cameras, gallery.pids], axis=1)
    return len(folders) > 1 and int(np.unique(folders, axis=0, return_counts=True)[1].max()) <= shots


@lru_cache(maxsize=4)
def _test_images(dataset: Dataset, root: Path | None, version: str) -> Images | None:
    if root is not None and dataset.trials == 1:
        try:
            return images_of(next(iter(images_of_tests(dataset, root).values())))
        except UsageError:
            # What is wrong with the copy, the doctor says of the copy.
            pass
    names = names_of_test_images(dataset.name, version)
    return None if names is None else images_of(dataset.index_from_names(names))


def _permutations(dataset: Dataset, root: Path | None, claims: Claims) -> Permutations | None:
    if dataset.layout != "sysu-mm01":
        return None
    if claims.perm is not None:
        return read_permutations(claims.perm)
    if root is None:
        return None
    try:
        return read_permutations(located(root, OFFICIAL_PERMUTATIONS.as_posix()))
    except UsageError:
        return None
