"""Features files: what any code base can dump and vibench can evaluate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Features:
    """Embeddings of images with what names them.

    Either ``paths`` is given, or all of ``pids``, ``cameras`` and ``modalities``.
    """

    features: np.ndarray
    """(N, D) float32, finite."""
    paths: tuple[str, ...] | None = None
    """N names relative to the data set root, ``/``-separated."""
    pids: np.ndarray | None = None
    """(N,) int64."""
    cameras: np.ndarray | None = None
    """(N,) int64."""
    modalities: np.ndarray | None = None
    """(N,) str, ``visible`` | ``infrared``."""
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    """Further named arrays with N rows (parts, shared or specific features)."""
    meta: dict[str, Any] = field(default_factory=dict)
    """JSON-able provenance that ``vibench extract`` writes: data set, its version, method, checkpoint, trial."""
