"""Three lines of Python that make a features file, or one of scores, out of what cannot be read as it is."""

from __future__ import annotations

from pathlib import Path


def make_right() -> tuple[str, ...]:
    """Lines that show what a features file holds."""
    return (
        "import numpy as np",
        "# features: (N, D) floats; names: N paths relative to the data set's folder, such as cam3/0006/0001.jpg",
        "np.savez('features.npz', features=np.asarray(features, 'float32'), paths=np.array(names, dtype=str))",
    )


def make_scores_right() -> tuple[str, ...]:
    """Lines that show what a file of scores holds."""
    return (
        "import numpy as np",
        "# scores: (queries, gallery images), larger is more alike; q, g: paths relative to the data set's folder",
        "np.savez('scores.npz', scores=scores, query_paths=np.array(q, str), gallery_paths=np.array(g, str))",
    )


def unpickle(path: Path, load: str, module: str) -> tuple[str, ...]:
    """Lines that turn a pickled dictionary of arrays, read by ``load``, into a file that needs no pickle."""
    load = load.replace("FILE", repr(str(path)))
    return (
        f"import numpy as np; {module}  # runs whatever is in the file: only where you trust it",
        f"found = {load}",
        f"np.savez({str(path.with_suffix('')) + '-plain.npz'!r}, **{{k: np.array(list(v)) for k, v in found.items()}})",
    )
