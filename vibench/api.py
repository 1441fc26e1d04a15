"""The Python interface, as stable as the command line: ``vibench.load`` and ``vibench.evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vibench.errors import UsageError
from vibench.evaluation.features import Features
from vibench.records.schema import Record
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import FeaturesFiles, read_features_files, score_features

if TYPE_CHECKING:
    from vibench.methods.base import Method


def load(checkpoint: str | Path, device: str = "cpu") -> Method:
    """The method of a checkpoint file or of a run folder, in eval mode on ``device``.

    ``method.embed(images, "visible" | "infrared")`` takes normalised images (B, 3, H, W) and returns named features.
    Raises `vibench.errors.UsageError` for a file that is no sound vibench checkpoint.
    """
    from vibench.training.checkpoint import load_method
    from vibench.training.folder import open_runs

    path = Path(checkpoint)
    if not path.is_dir():
        return load_method(path, device)
    runs = open_runs(path)
    if len(runs) > 1:
        raise UsageError(f"{path}: holds {len(runs)} runs; name one of them, such as {runs[0].path}.")
    return load_method(runs[0].checkpoint_path, device)


def evaluate(
    features: str | Path | Features,
    protocol: str = "sysu-all",
    draw: str = "seeded",
    *,
    distance: str = "cosine",
    rerank: str = "none",
    permutations: str | Path | None = None,
    dataset: str | None = None,
    name: str = "features",
    device: str = "cpu",
    gallery: str | Path | None = None,
    names: str | Path | None = None,
    root: str | Path | None = None,
    allow_incomplete: bool = False,
) -> Record:
    """Evaluate features, in memory or in a file, under one protocol.

    Args:
        features: A `Features` object or the path of a features file, of vibench or as other code bases dump them
            (``.npz``, ``.npy``, ``.pt``, ``.mat``, ``.h5``, ``.csv``, ``.parquet``).
        protocol: Name of a protocol, see ``vibench protocols``.
        draw: ``seeded`` or ``official``; ignored by protocols that draw nothing.
        distance: ``cosine`` or ``euclidean``.
        rerank: ``none`` or ``k-reciprocal``.
        permutations: ``rand_perm_cam.mat``, for the official draw.
        dataset: Data set of the features where they do not say; default the protocol's.
        name: Method name in the record.
        device: ``auto``, ``cpu`` or ``cuda``; the scores are the same on each.
        gallery: File of the gallery images, where that of ``features`` holds the queries alone.
        names: File that names the images of ``features``, where these do not.
        root: Folder of the data set, where its lists are needed to know the images.
        allow_incomplete: Evaluate although images are missing; the record says so.

    Raises:
        vibench.errors.UsageError: the features do not fit the protocol, or an argument is unknown.
    """
    rules = Rules(
        load_protocols([protocol]),
        draws=(draw,),
        distance=distance,
        rerank=rerank,
        permutations=Path(permutations) if permutations is not None else None,
        allow_incomplete=allow_incomplete,
    )
    if isinstance(features, Features):
        read = FeaturesFiles([features], [], [])
    else:
        galleries, named = ([Path(file)] if file is not None else [] for file in (gallery, names))
        read = read_features_files([Path(features)], rules.protocols, galleries=galleries, names=named, dataset=dataset)
    (scored,) = score_features(
        read.features,
        rules,
        name=name,
        dataset=dataset,
        digests=read.digests,
        notes=read.notes,
        root=Path(root) if root is not None else None,
        device=device,
    )
    return scored.record
