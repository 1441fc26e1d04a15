"""Features meet the test split: names in the layout's form, images of the test split alone, rows of zeros counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vibench.datasets.registry import Dataset, dataset_root
from vibench.datasets.testing import images_of_tests
from vibench.errors import UsageError, cited
from vibench.evaluation.features import Features, of_rows
from vibench.scoring.foreign.names import relative_names


def fit_to_test_split(
    features: Features, dataset: Dataset, split: int = 1, root: Path | None = None
) -> tuple[Features, list[str]]:
    """The rows of test images, and notes on all others and on rows of zeros.

    Which images are of the test split is known of SYSU-MM01 by name and of others from a copy at ``root`` or in the
    default place; without one, the layout's folders tell. Names that are of no image of the data set stay, for
    evaluation to refuse. Raises `UsageError` where no test image is there.
    """
    features, notes = only_test_images(features, dataset, split, root, "features")
    zero = int(of_rows(features.features, lambda rows: rows == 0).sum()) if features.features.ndim == 2 else 0
    if zero:
        notes.append(f"{zero} of {len(features.features)} rows of the features are zeros")
    return features, notes


def missing_test_images(features: Features, dataset: Dataset, split: int, root: Path | None) -> str:
    """Which test images of a copy have no row, as a sentence without its end; empty where none or nobody knows.

    ``features`` are those of `fit_to_test_split`. Of SYSU-MM01 evaluation knows all images by name, without a copy.
    """
    folder = dataset_root(dataset.name, root)
    if features.paths is None or dataset.layout == "sysu-mm01" or not folder.is_dir():
        return ""
    test = images_of_tests(dataset, folder, split if dataset.trials > 1 else None)[split]["path"].tolist()
    there = set(features.paths)
    absent = [name for name in test if name not in there]
    return (
        f"{len(absent)} of the {len(test)} test images of {folder} are missing ({cited(absent, 3)})" if absent else ""
    )


def only_test_images(
    features: Features, dataset: Dataset, split: int, root: Path | None, what: str
) -> tuple[Features, list[str]]:
    """As `fit_to_test_split`, zeros apart, of rows that may stand for anything else, which ``what`` names."""
    if features.paths is None:
        return features, []
    names = relative_names(features.paths, dataset)
    others = _others(names, dataset, split, root)
    if len(others) == len(names):
        raise UsageError(
            f"{what}: none of the {len(names)} images is of the test split of {dataset.name} "
            f"({cited(names, 3)}); extract the test images."
        )
    features = replace(features, paths=tuple(names))
    if not others:
        return features, []
    kept = np.ones(len(names), dtype=bool)
    kept[others] = False
    return _rows(features, kept), [f"{len(others)} images of the {what} are not of the test split and were left out"]


def _others(names: list[str], dataset: Dataset, split: int, root: Path | None) -> list[int]:
    """Rows of images of the data set that are not of the test split, as far as that is known."""
    folder = dataset_root(dataset.name, root)
    if folder.is_dir() or dataset.name == "sysu-mm01":
        index = images_of_tests(dataset, folder, split if dataset.trials > 1 else None)[split]
        test = set(index["path"])
        return [row for row, name in enumerate(names) if name not in test and dataset.is_image(name)]
    return [row for row, name in enumerate(names) if dataset.is_image(name) and not dataset.is_test_form(name)]


def _rows(features: Features, kept: np.ndarray) -> Features:
    """The features of some rows."""

    def column(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.asarray(values)[kept]

    names = features.paths
    return replace(
        features,
        features=features.features[kept],
        paths=None if names is None else tuple(name for name, keep in zip(names, kept, strict=True) if keep),
        pids=column(features.pids),
        cameras=column(features.cameras),
        modalities=column(features.modalities),
        extras={name: np.asarray(values)[kept] for name, values in features.extras.items()},
    )
