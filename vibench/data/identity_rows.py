"""The training images of every identity, one modality at a time: what samplers draw from."""

from __future__ import annotations

import numpy as np

from vibench.errors import UsageError, cited
from vibench.modality import MODALITIES


class RowsByIdentity:
    """Row numbers of one modality, grouped by identity: those of identity i begin at ``starts[i]`` of ``rows``."""

    def __init__(self, pids: np.ndarray, mask: np.ndarray, identities: np.ndarray) -> None:
        """``pids`` (N,) of all rows, ``mask`` (N,) bool of the modality, ``identities`` (I,) ascending."""
        rows = np.flatnonzero(mask)
        self.rows = rows[np.argsort(pids[rows], kind="stable")]
        self.starts = np.searchsorted(pids[self.rows], identities, side="left")
        self.counts = np.searchsorted(pids[self.rows], identities, side="right") - self.starts


def group_rows(pids: np.ndarray, modalities: np.ndarray) -> tuple[np.ndarray, list[RowsByIdentity]]:
    """The identities (I,), ascending, and their rows per modality, in the order of `MODALITIES`.

    ``pids`` (N,) int and ``modalities`` (N,) str describe the training images, one entry per row. Raises `UsageError`
    where an identity has images of one modality only.
    """
    identities = np.unique(pids)
    rows = [RowsByIdentity(pids, modalities == modality, identities) for modality in MODALITIES]
    for modality, of_modality in zip(MODALITIES, rows, strict=True):
        absent = identities[of_modality.counts == 0]
        if len(absent):
            raise UsageError(
                f"the training split has no {modality} image of {len(absent)} identities (pid {cited(absent)}); "
                "every training identity needs both modalities: check the copy with 'vibench data check'."
            )
    return identities, rows
