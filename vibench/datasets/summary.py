"""What a sample index holds, in numbers."""

from __future__ import annotations

import pandas as pd

from vibench.datasets.index import SPLITS, SampleIndex


def summarise(index: SampleIndex) -> pd.DataFrame:
    """Identities and images of every split, modality and camera.

    Columns ``split, modality, camera, identities, images``; splits in the order of `SPLITS`, visible before
    infrared, then by camera. A split that several cameras or modalities show has a row of its totals, whose
    modality and camera are empty.
    """
    rows: list[tuple[str, str, str, int, int]] = []
    for split in SPLITS:
        of_split = index[index["split"] == split]
        parts = of_split.groupby(["modality", "camera"])["pid"].agg(["nunique", "size"]).reset_index()
        parts = parts.sort_values(["modality", "camera"], ascending=[False, True])
        for modality, camera, identities, images in parts.itertuples(index=False, name=None):
            rows.append((split, modality, str(camera), int(identities), int(images)))
        if len(parts) > 1:
            rows.append((split, "", "", int(of_split["pid"].nunique()), len(of_split)))
    return pd.DataFrame(rows, columns=["split", "modality", "camera", "identities", "images"])
