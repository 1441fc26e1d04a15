"""The sample index: one row per image, the table every stage shares.

A **SampleIndex** is a pandas frame with the columns of `COLUMNS`:

* ``path``     str, relative to the data set root, ``/``-separated, unique
* ``pid``      int, the data set's own identity number
* ``camera``   int, the data set's own camera number (RegDB: 1 visible, 2 infrared)
* ``modality`` ``visible`` | ``infrared``
* ``split``    ``train`` | ``val`` | ``test`` | ``unused``; methods train on ``train`` and ``val`` together

Rows are sorted by ``path`` in the data set's own order and the frame has a plain 0..N-1 index.
"""

from __future__ import annotations

import pandas as pd

COLUMNS = ("path", "pid", "camera", "modality", "split")
SPLITS = ("train", "val", "test", "unused")
TRAINING_SPLITS = ("train", "val")

SampleIndex = pd.DataFrame


def training_rows(index: SampleIndex) -> SampleIndex:
    """The rows that methods train on (splits ``train`` and ``val``), with a fresh 0..N-1 index."""
    return index[index["split"].isin(TRAINING_SPLITS)].reset_index(drop=True)


def test_rows(index: SampleIndex) -> SampleIndex:
    """The rows of the test split, with a fresh 0..N-1 index."""
    return index[index["split"] == "test"].reset_index(drop=True)
