"""The twin on which settings are chosen: training identities of the board's twin alone, split anew.

Nobody of the board's test split is in it. Of SYSU-MM01's layout, the board's validation identities are the test split
and its other training identities the training split; of RegDB's, the people of the training half of split 1 are halved.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vibench.datasets.twin.lists import write_lists
from vibench.datasets.twin.plan import Shot, plan_twin, regdb_halves
from vibench.datasets.twin.truth import FOLDER, PROVENANCE, provenance, write_truth
from vibench.files.reading import parse_json, read_text

_EVERY = 5
"""One in so many of the training identities is in SYSU-MM01's list of validation identities, which all train with."""


def heldout_shots(layout: str, scale: str, seed: int) -> list[Shot]:
    """The images of the board's training identities, with the splits that they have here."""
    shots = plan_twin(layout, scale, seed)
    if layout == "regdb":
        training, _ = regdb_halves(sorted({shot.pid for shot in shots}), seed, 1)
        return [shot for shot in shots if shot.pid in set(training)]
    train = sorted({shot.pid for shot in shots if shot.split == "train"})
    listed = dict.fromkeys(train, "train") | dict.fromkeys(train[::_EVERY], "val")
    listed |= dict.fromkeys((shot.pid for shot in shots if shot.split == "val"), "test")
    return [replace(shot, split=listed[shot.pid]) for shot in shots if shot.pid in listed]


def make_heldout(board: Path, out: Path) -> Path:
    """Make the twin in ``out`` of the images of the twin ``board``, which it shares; one that is there is kept."""
    if out.exists():
        return out
    described: dict[str, Any] = parse_json(read_text(board / PROVENANCE))
    layout, seed = described["layout"], described["seed"]
    shots = heldout_shots(layout, described["scale"], seed)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    for shot in shots:
        (part / shot.path).parent.mkdir(parents=True, exist_ok=True)
        os.link(board / shot.path, part / shot.path)
    write_lists(part, layout, seed, shots)
    told = provenance(layout, f"{described['scale']}heldout", seed, tuple(described["size"]), shots)
    write_truth(part, told, shots, *_truth(board, shots))
    part.replace(out)
    return out


def _truth(board: Path, shots: list[Shot]) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints and part masks of ``shots``, as the board's twin has them."""
    with np.load(board / FOLDER / "keypoints.npz") as points, np.load(board / FOLDER / "parts.npz") as parts:
        rows = {path: row for row, path in enumerate(points["paths"])}
        wanted = [rows[shot.path] for shot in shots]
        return points["keypoints"][wanted], parts["parts"][wanted]
