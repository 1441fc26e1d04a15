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
    """Lines that turn what a pickle holds, read by ``load``, into tensors, arrays, texts and plain containers.

    Whatever the pickle is of, a dictionary, a list, one array or objects in one another: ``torch.save`` keeps it, and
    the reader of ``.pt`` files tells what is what.
    """
    load = load.replace("FILE", repr(str(path)))
    return (
        f"import numpy as np, torch; {module}  # runs whatever is in the file: only where you trust it",
        "plain = lambda v: "
        "v if v is None or isinstance(v, (int, float, str, bytes, np.generic, np.ndarray, torch.Tensor)) "
        "else {str(k): plain(x) for k, x in v.items()} if hasattr(v, 'items') "
        "else [plain(x) for x in v] if isinstance(v, (list, tuple, set)) "
        "else plain(vars(v)) if hasattr(v, '__dict__') else str(v)",
        f"torch.save(plain({load}), {str(path.with_suffix('')) + '-plain.pt'!r})",
    )


def unpickle_table(path: Path) -> tuple[str, ...]:
    """Lines that turn a pickled table of pandas into a ``.csv``."""
    return (
        "import pandas as pd  # runs whatever is in the file: only where you trust it",
        f"pd.read_pickle({str(path)!r}).to_csv({str(path.with_suffix('')) + '-plain.csv'!r})",
    )
