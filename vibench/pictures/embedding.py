"""Embeddings in the plane, by modality and by identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vibench.errors import UsageError
from vibench.pictures.figure import IDENTITY_COLOURS, OF_MODALITY, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = {"visible": "o", "infrared": "^"}
MOST_IDENTITIES = len(IDENTITY_COLOURS)
"""As many as have a colour of their own."""
_PERPLEXITY = 30.0


def has_tsne() -> bool:
    """Whether scikit-learn, which `tsne` needs, is installed."""
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError:
        return False
    return True


def tsne(features: np.ndarray, distance: str = "cosine", seed: int = 0) -> np.ndarray:
    """Places (N, 2) of features (N, D) by t-SNE (van der Maaten and Hinton, JMLR 2008), distances by ``distance``.

    Raises `UsageError` where scikit-learn is not installed, and for fewer than three images.
    """
    if len(features) < 3:
        raise UsageError(f"t-SNE needs at least 3 images, and there are {len(features)}.")
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise UsageError("t-SNE needs scikit-learn, which is not installed: pip install 'vibench[tsne]'") from None
    # The perplexity must stay below the number of images.
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    network = TSNE(n_components=2, metric=distance, init="random", perplexity=perplexity, random_state=seed)
    return np.asarray(network.fit_transform(np.asarray(features, dtype=np.float32)))


def embedding_map(points: np.ndarray, pids: np.ndarray, modalities: np.ndarray, title: str = "") -> Figure:
    """The points (N, 2) twice: coloured by modality, and by identity, of which at most `MOST_IDENTITIES` may occur.

    Circles are visible, triangles infrared images; a legend beside the right half says whose the colours are.
    """
    people = np.unique(pids)
    if len(people) > MOST_IDENTITIES:
        raise ValueError(f"there are colours for {MOST_IDENTITIES} identities, not for {len(people)}")
    figure = new_figure(9.6, 4.9)
    by_modality, by_identity = figure.subplots(1, 2, sharex=True, sharey=True)
    for modality, marker in MARKERS.items():
        of_modality = modalities == modality
        x, y = points[of_modality].T
        by_modality.scatter(
            x, y, s=16, marker=marker, color=OF_MODALITY[modality], alpha=0.65, linewidths=0, label=modality
        )
        for colour, pid in zip(IDENTITY_COLOURS, people, strict=False):
            x, y = points[of_modality & (pids == pid)].T
            label = str(pid) if marker == "o" else None
            by_identity.scatter(x, y, s=16, marker=marker, color=colour, alpha=0.65, linewidths=0, label=label)
    by_modality.set_title("by modality", fontsize=9, loc="left")
    by_modality.legend(fontsize=8)
    by_identity.legend(title="identity", title_fontsize=8, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    by_identity.set_title("by identity (circles visible, triangles infrared)", fontsize=9, loc="left")
    for axes in (by_modality, by_identity):
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.set_xlabel("t-SNE: directions and units mean nothing", fontsize=7)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
