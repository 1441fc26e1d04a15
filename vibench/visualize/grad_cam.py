"""Grad-CAM of any method: which positions of the last feature map speak for a score of its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.nn.capture import captured_outputs

Score = Callable[[dict[str, Tensor]], Tensor]
"""From what `Method.embed` returns for one image to the scalar that is explained."""


def grad_cam(method: Method, image: Tensor, modality: str, score: Score) -> np.ndarray:
    """Grad-CAM (Selvaraju et al., ICCV 2017): relu(sum_c a_c A_c), a_c the mean over positions of d score / d A_c.

    A is the feature map that `Method.map_module` gives or, where a method names none, the last map that any of its
    modules returns. ``image`` (1, 3, H, W) is normalised, the method in eval mode. Any score of the features will do:
    `similarity_to` another image, or an identity's logit, such as
    ``lambda features: method.classifier(features["neck"])[0, 3]``. Normalisations have `FixedLengths`.

    Returns (h, w) float32. Where an image has several maps (the expansions of DEEN) theirs are added; where it passes
    the network twice (once mirrored) the first pass counts. Raises `UsageError` where the method has no feature map,
    or the score does not depend on it.
    """
    module = method.map_module(modality) or _last_map_module(method, image, modality)
    with torch.enable_grad(), captured_outputs(module) as outputs, FixedLengths():
        # A frozen network would otherwise record no gradient at all.
        features = method.embed(image.detach().requires_grad_(), modality)
        value = score(features)
        maps = outputs[0]
        (gradient,) = torch.autograd.grad(value, maps, allow_unused=True)
    if gradient is None:
        raise UsageError(f"{method.name}: the score does not depend on the feature map, so Grad-CAM explains nothing.")
    with torch.no_grad():
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        heat = (weights * maps).sum(dim=1).relu().sum(dim=0)
    return heat.float().cpu().numpy()


def similarity_to(method: Method, embedding: Tensor) -> Score:
    """The score of an image's likeness to another, whose ``embedding`` (1, D) is given: the negative distance.

    The distance is the method's own. One that looks at further images gives way to the cosine of the embeddings,
    which compares just the two.
    """
    target = embedding.detach()
    if compares_pairs(method):
        return lambda features: -method.distances(features["embedding"], target, "single").sum()
    return lambda features: -Method.distances(method, features["embedding"], target, "single").sum()


def compares_pairs(method: Method) -> bool:
    """Whether the method's distance of two images looks at these two alone."""
    return {"gallery", "queries"}.isdisjoint(method.test_time_information.split("+"))


class FixedLengths(TorchFunctionMode):
    """Inside, `torch.nn.functional.normalize` takes the length that it divides by for a constant.

    A normalised feature stays the same when the whole map grows, so that its Grad-CAM would add up to about zero over
    the positions, whatever two images have in common. With fixed lengths a position counts by what it adds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.normalize:
            return _divide_by_length(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _divide_by_length(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Tensor:
    return input / torch.linalg.vector_norm(input.detach(), p, dim, keepdim=True).clamp(min=eps)


def _last_map_module(method: Method, image: Tensor, modality: str) -> nn.Module:
    found: list[nn.Module] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            found.append(module)

    handles = [module.register_forward_hook(note) for module in method.modules() if module is not method]
    try:
        with torch.no_grad():
            method.embed(image, modality)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UsageError(f"{method.name}: none of its modules returns a feature map, so there is no Grad-CAM of it.")
    return found[-1]
