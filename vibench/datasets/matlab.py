"""Variables of MATLAB files (version 5), read without running anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vibench.errors import UsageError


def read_variable(path: Path, variable: str) -> np.ndarray:
    """The array ``variable`` of a ``.mat`` file; `UsageError` when the file or the variable cannot be read."""
    from scipy.io import loadmat

    if not Path(path).is_file():
        raise UsageError(f"{path} is missing; copy it from the data set authors' archive or repository")
    try:
        content = loadmat(path, variable_names=[variable])
    except Exception as error:  # a damaged file raises almost anything inside scipy's parser
        raise UsageError(f"{path} is no readable MATLAB 5 file ({error}); copy it again") from error
    if variable not in content:
        raise UsageError(f"{path} holds no variable {variable!r}; copy the file again from the data set's archive")
    return np.asarray(content[variable])
