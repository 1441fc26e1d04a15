"""Small pictures of the queries of a record, from a copy of its data set."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from vibench.datasets.index import test_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.images import Images, images_of
from vibench.protocols import load_protocol
from vibench.records.schema import Record

_HEIGHT = 64


def query_images(record: Record, root: Path) -> Images:
    """The images that the first trial of a record asks for, in the order of its outcomes, as files below ``root``.

    Raises `UsageError` where ``root`` is no folder or another version of the data set.
    """
    dataset, protocol = get_dataset(record.dataset), load_protocol(record.protocol)
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}")
    if dataset.version(root) != record.dataset_version:
        raise UsageError(f"{root} is {dataset.version(root)}, the records are of {record.dataset_version}")
    split = record.trials[0].trial if dataset.trials > 1 else None
    images = images_of(test_rows(dataset.index(root, split)))
    # Galleries are drawn, the queries of all trials are the same: the default draw will do.
    trial = draw_trials(protocol, images, protocol.resolve_draw(None), split=split or 1)[0]
    rows = images.ordered(trial.query)
    assert images.paths is not None
    # A frame of a tracklet, or a file that is spelled otherwise, has another name than its image.
    files = dataset.files(root)
    paths = np.array([files.get(name, name) for name in images.paths[rows].tolist()], dtype=np.str_)
    return Images(images.pids[rows], images.cameras[rows], images.modalities[rows], paths)


def thumbnail(path: Path) -> str:
    """An image of at most 64 x 64 pixels as a ``data:`` URL; `OSError` where it cannot be read."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_HEIGHT, _HEIGHT))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
