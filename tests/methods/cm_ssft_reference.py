"""cm-SSFT (Lu et al., CVPR 2020) from the paper's equations, one entry and one query at a time.

Slow and obvious on purpose: nothing here is shared with the package.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from tests.methods.literal.official import BLOCKS, Weights, bottleneck, norm, stem, stride_of


def stages(x: Tensor, weights: Weights, name: str, layers: tuple[int, ...]) -> Tensor:
    for layer in layers:
        for block in range(BLOCKS[layer]):
            x = bottleneck(x, weights, f"{name}.layer{layer}.{block}", stride_of(layer, block))
    return x


def shared_and_specific(images: Tensor, modality: str, weights: Weights) -> tuple[Tensor, Tensor]:
    """H and P behind their necks, Eq. (1), of ResNet-50 in eval mode."""
    low = stages(stem(images, weights, f"backbone.{modality}"), weights, f"backbone.{modality}", (1, 2))
    h = stages(low, weights, "backbone.shared", (3, 4)).mean(dim=(2, 3))
    p = stages(low, weights, f"specific.{modality}", (3, 4)).mean(dim=(2, 3))
    return norm(h, weights, "shared_block.layer"), norm(p, weights, f"specific_block.{modality}.layer")


def d(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. (7)."""
    return float(1 - 0.5 * np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))


def entries(rows: list[np.ndarray], columns: list[np.ndarray], itself: bool = False) -> np.ndarray:
    table = np.array([[d(a, b) for b in columns] for a in rows])
    if itself:
        np.fill_diagonal(table, 1.0)
    return table


def top(table: np.ndarray, k: int) -> np.ndarray:
    """T(., k): the k largest values of every row, all others 0."""
    kept = np.zeros_like(table)
    for row, values in enumerate(table):
        for column in np.argsort(-values)[:k]:
            kept[row, column] = values[column]
    return kept


def propagate(graph: np.ndarray, z: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Eq. (10): ReLU(D^-1/2 A D^-1/2 Z W), w (dim, 3D)."""
    degrees = graph.sum(axis=1)
    mixed = z @ w.T
    out = np.zeros((len(z), len(w)))
    for i in range(len(z)):
        for j in range(len(z)):
            out[i] += graph[i, j] / np.sqrt(degrees[i] * degrees[j]) * mixed[j]
    return np.maximum(out, 0.0)


def split(z: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """H and P of rows [P; H; 0] or [0; H; P]."""
    width = z.shape[1] // 3
    h = [row[width : 2 * width] for row in z]
    p = [row[:width] if np.any(row[:width]) else row[2 * width :] for row in z]
    return h, p


def group_graph(query: np.ndarray, gallery: np.ndarray, k: int, apart: np.ndarray | None = None) -> np.ndarray:
    """A of a group of queries with the gallery; of one query, Eq. (22)."""
    h_query, p_query = split(query)
    h_gallery, p_gallery = split(gallery)
    across = entries(h_query, h_gallery)
    if apart is not None:
        across[apart] = 0.0
    boost = k / min(k, len(query))
    left = np.concatenate([top(entries(p_query, p_query, True), k), top(across.T, k)]) * boost
    right = np.concatenate([top(across, k), top(entries(p_gallery, p_gallery, True), k)])
    return np.concatenate([left, right], axis=1)


def group_distances(
    query: Tensor, gallery: Tensor, size: int, weights: Weights, k: int, apart: Tensor | None = None
) -> np.ndarray:
    """One graph after another, one minus the cosine of T behind its neck."""
    w = weights["transfer.mix.weight"].double().numpy()
    rows = []
    for start in range(0, len(query), size):
        part = query[start : start + size].double().numpy()
        hidden = None if apart is None else apart[start : start + size].numpy()
        z = np.concatenate([part, gallery.double().numpy()])
        graph = group_graph(part, gallery.double().numpy(), k, hidden)
        spread = torch.from_numpy(propagate(graph, z, w))
        transferred = functional.normalize(feature(spread, weights), dim=1)
        rows.append(1 - (transferred[: len(part)] @ transferred[len(part) :].T).numpy())
    return np.concatenate(rows)


def feature(spread: Tensor, weights: Weights) -> Tensor:
    """Feat^t in eval mode: a batch norm, or without augmentation a linear layer."""
    if "transfer.block.layer.running_mean" in weights:
        return norm(spread, {name: value.double() for name, value in weights.items()}, "transfer.block.layer")
    return functional.linear(
        spread, weights["transfer.block.layer.weight"].double(), weights["transfer.block.layer.bias"].double()
    )
