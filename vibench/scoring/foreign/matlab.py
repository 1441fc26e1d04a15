"""``.mat`` of MATLAB 5 to 7: numbers, texts, and cells of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vibench.datasets.matlab import read_variables
from vibench.errors import UsageError
from vibench.scoring.foreign.named import Budget, Named, most_bytes

LARGEST_FILE = 4 << 30


def read_matlab(path: Path) -> Named:
    """The variables of a file; `UsageError` where it is damaged. Cells of texts become texts, a matrix of letters rows.

    Cells of anything else are left out: those of `vibench.scoring.foreign.sysu_features` have a reader of their own.
    """
    variables, unread = read_variables(path, LARGEST_FILE, most_bytes(path.stat().st_size))
    found = Named(unread=dict(unread))
    budget = Budget(path.stat().st_size)
    try:
        for name, values in variables.items():
            if values.dtype.kind == "O":
                texts = [_text(value) for value in values.ravel()]
                if texts and all(text is not None for text in texts):
                    budget.spend(4 * max(len(text or "") for text in texts) * len(texts))
                    found.add(name, np.array(texts, dtype=np.str_))
                else:
                    found.unread[name] = "a cell of something else than texts"
            elif values.dtype.kind == "U":
                found.add(name, np.array([text.rstrip() for text in values.ravel()], dtype=np.str_))
            else:
                found.add(name, values)
    except ValueError as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from None
    return found


def _text(value: object) -> str | None:
    values = np.asarray(value)
    return str(values.ravel()[0]).rstrip() if values.dtype.kind == "U" and values.size == 1 else None
