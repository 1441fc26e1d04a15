"""A training batch of noise: what a method can be tried and timed on without any data set."""

from __future__ import annotations

from typing import Any

import torch

from vibench.data.batch import Batch
from vibench.data.training_inputs import STRIDE
from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.methods.base import Method
from vibench.modality import CODE, INFRARED, VISIBLE


def noise_batch(method: Method, device: torch.device | None = None) -> Batch:
    """A batch of the size, views and inputs that the method's recipe and needs ask for, on ``device``, else the CPU.

    The same for the same recipe. Every label, attribute and heatmap is known.
    """
    recipe = method.recipe
    identities, each, size = recipe.sampler.identities, recipe.sampler.images, recipe.input
    views = len(recipe.augmentation.visible_views)
    block = identities * each
    count = (views + 1) * block
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(identities).repeat_interleave(each)
    codes = torch.tensor([CODE[VISIBLE]] * (views * block) + [CODE[INFRARED]] * block)
    inputs: dict[str, Any] = {}
    if "attributes" in method.needs:
        of_identities = torch.randint(2, (identities, len(ATTRIBUTES)), generator=generator).float()
        inputs["attributes"] = of_identities[labels].repeat(views + 1, 1)
        inputs["attributes_known"] = torch.ones(count, dtype=torch.bool)
    if "heatmaps" in method.needs:
        shape = (count, method.heatmap_channels(), size.height // STRIDE, size.width // STRIDE)
        inputs["heatmaps"] = torch.rand(shape, generator=generator)
        inputs["heatmaps_known"] = torch.ones(count, dtype=torch.bool)
    images = torch.randn(count, 3, size.height, size.width, generator=generator)
    return Batch(
        # The memory format of real batches.
        images=images.to(device, memory_format=torch.channels_last),
        labels=labels.repeat(views + 1).to(device),
        modality=codes.to(device),
        cameras=torch.where(codes == CODE[VISIBLE], 1, 3).to(device),
        visible_views=views,
        **{name: values.to(device) for name, values in inputs.items()},
    )
