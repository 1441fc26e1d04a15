"""What people dump: images of RegDB and SYSU-MM01 with features, in the shape of well-known test scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibench.datasets.registry import Dataset, get_dataset
from vibench.datasets.testing import images_of_tests
from vibench.evaluation.features import Features
from vibench.protocols import load_protocol

V2T = (load_protocol("regdb-v2t"),)
REGDB = get_dataset("regdb")


@dataclass(frozen=True)
class Dump:
    """Features (N, D) of images with what is known of each."""

    names: np.ndarray
    values: np.ndarray
    pids: np.ndarray
    cameras: np.ndarray
    visible: np.ndarray

    def side(self, visible: bool) -> Dump:
        """The images of one modality."""
        rows = self.visible == visible
        return Dump(self.names[rows], self.values[rows], self.pids[rows], self.cameras[rows], self.visible[rows])

    @property
    def features(self) -> Features:
        """As vibench's own files hold them."""
        return Features(self.values, tuple(self.names.tolist()))


def regdb(dimensions: int = 5) -> Dump:
    """Twelve images of three identities, in no order."""
    kinds = {"Visible": "v", "Thermal": "t"}
    names = [f"{kind}/{pid}/{n}_{kinds[kind]}.bmp" for kind in kinds for pid in (3, 5, 8) for n in "ab"]
    return _dump(names, dimensions, REGDB)


def sysu(dimensions: int = 4) -> Dump:
    """All test images of SYSU-MM01."""
    dataset = get_dataset("sysu-mm01")
    return _dump(images_of_tests(dataset, Path("nowhere"))[1]["path"].tolist(), dimensions, dataset)


def _dump(names: list[str], dimensions: int, dataset: Dataset) -> Dump:
    random = np.random.default_rng(0)
    shuffled = random.permutation(np.array(names))
    index = dataset.index_from_names(shuffled.tolist())
    return Dump(
        shuffled,
        random.standard_normal((len(names), dimensions)).astype(np.float32),
        index["pid"].to_numpy(),
        index["camera"].to_numpy(),
        (index["modality"] == "visible").to_numpy(),
    )
