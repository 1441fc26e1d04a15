"""The files that a method trains on besides images: found, pinned to their content, and read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from vibench.data.attributes import attributes_file, check_identities, read_attributes
from vibench.data.heatmaps import heatmaps_file, heatmaps_of
from vibench.data.training_inputs import Attributes, TrainingInputs
from vibench.datasets.index import SampleIndex, training_rows
from vibench.datasets.joined import JoinedDataset
from vibench.datasets.registry import Dataset
from vibench.datasets.training_split import everybody
from vibench.errors import UsageError
from vibench.files.digests import sha256_file
from vibench.methods.base import Method
from vibench.training.folder import InputFile


def find_inputs(
    needs: Collection[str], dataset: Dataset, root: Path, attributes: Path | None, heatmaps: Path | None
) -> dict[str, InputFile]:
    """The file of each of a method's needs, by the need's name.

    ``attributes`` and ``heatmaps`` are files that take the place of the data set's own. Raises `UsageError` where a
    file is missing, and where one is given that the method does not need.
    """
    given = {"attributes": attributes, "heatmaps": heatmaps}
    finders = {"attributes": attributes_file, "heatmaps": heatmaps_file}
    for name, path in given.items():
        if path is not None and name not in needs:
            raise UsageError(f"--{name} {path}: the method, in this variant, does not train on {name}; leave it out.")
    if needs and isinstance(dataset, JoinedDataset):
        raise UsageError(
            f"--dataset {dataset.name}: the method, in this variant, trains on {_listed(needs)}, which are read of one "
            "data set; train it on one, or take another --variant."
        )
    found = {need: finders[need](dataset, root, given[need]).resolve() for need in sorted(needs)}
    return {need: InputFile(str(path), sha256_file(path)) for need, path in found.items()}


def load_inputs(
    files: Mapping[str, InputFile],
    method: Method,
    dataset: Dataset,
    root: Path,
    index: SampleIndex,
) -> TrainingInputs:
    """What ``method`` trains on besides the images of a whole sample index, for the training part of it.

    Raises `UsageError` where a file does not fit the data set or the method.
    """
    if set(files) != set(method.needs):
        raise UsageError(
            f"the run was begun with {_listed(files)}, but {method.name} trains on {_listed(method.needs)} now; train "
            "anew into another folder with --out."
        )
    training = training_rows(index)
    attributes = heatmaps = None
    if "attributes" in files:
        path = Path(files["attributes"].path)
        table = read_attributes(path)
        check_identities(table, path, dataset, everybody(dataset, root, index))
        bits, known = table.lookup(training["pid"], training["camera"])
        if not known.any():
            raise UsageError(f"{path}: has labels for none of the {len(training)} training images of {dataset.name}.")
        attributes = Attributes(bits, known)
    if "heatmaps" in files:
        path, size = Path(files["heatmaps"].path), method.recipe.input
        channels = method.heatmap_channels()
        heatmaps = heatmaps_of(path, dataset, root, training, (size.height, size.width), channels)
        if not heatmaps.known.any():
            raise UsageError(
                f"{path}: has a keypoint in none of the {len(training)} training images of {dataset.name}."
            )
    return TrainingInputs(attributes, heatmaps)


def unchanged_inputs(files: Mapping[str, InputFile], begun_in: Path, root: Path) -> dict[str, InputFile]:
    """The files of a run as they are now, where the data set has moved from ``begun_in`` to ``root``.

    Raises `UsageError` where one is gone or has other content than when the run was begun.
    """
    found = {}
    for need, file in files.items():
        path = Path(file.path)
        if path.is_relative_to(begun_in):
            path = root / path.relative_to(begun_in)
        if not path.is_file():
            raise UsageError(f"{path}: the {need} that the run was begun with are gone; put that file back.")
        if sha256_file(path) != file.sha256:
            raise UsageError(
                f"{path}: has changed since the run was begun; put back the {need} it was begun with, or train anew "
                "into another folder with --out."
            )
        found[need] = InputFile(str(path), file.sha256)
    return found


def _listed(needs: Collection[str]) -> str:
    return " and ".join(sorted(needs)) or "images alone"
