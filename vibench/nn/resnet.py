"""ResNet backbones whose first stages exist once per modality and whose later stages are shared."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vibench.nn.backbone import Backbone
from vibench.nn.pretrained import load_pretrained
from vibench.nn.torchvision_ops import import_torchvision

Architecture = Literal["resnet18-slim", "resnet18", "resnet50"]
"""Torchvision's networks, and ResNet-18 with a fourth of its channels for twins and tests on a CPU."""

STAGES = 5
"""Stage 0 is the stem (7x7 convolution, norm, ReLU, max-pool), stages 1 to 4 are layer1 to layer4."""

BLOCKS: dict[str, tuple[int, ...]] = {
    "resnet18-slim": (2, 2, 2, 2),
    "resnet18": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
}
"""Residual blocks of layer1 to layer4."""

STEM_WIDTHS: dict[str, int] = {"resnet18-slim": 16, "resnet18": 64, "resnet50": 64}
"""Output channels of the stem."""

WIDTHS: dict[str, tuple[int, ...]] = {
    "resnet18-slim": (16, 32, 64, 128),
    "resnet18": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
}
"""Output channels of layer1 to layer4."""


class ResNetStages(nn.Module):
    """Some consecutive stages of a torchvision ResNet, under torchvision's names (``conv1``, ``layer3.0.bn2``)."""

    def __init__(self, network: Any, first: int, stop: int) -> None:
        """Take the stages ``first`` to ``stop - 1`` out of ``network`` (no copy)."""
        super().__init__()
        self.stages = range(first, stop)
        if 0 in self.stages:
            self.conv1, self.bn1, self.relu, self.maxpool = network.conv1, network.bn1, network.relu, network.maxpool
        for stage in range(max(first, 1), stop):
            self.add_module(f"layer{stage}", getattr(network, f"layer{stage}"))

    def forward(self, features: Tensor, inserted: nn.ModuleDict) -> Tensor:
        """Run all stages; ``inserted["layer2_3"]`` is applied to the output of block 3 (from 0) of layer2."""
        for stage in self.stages:
            features = self.run(stage, features, inserted)
        return features

    def run(self, stage: int, features: Tensor, inserted: nn.ModuleDict) -> Tensor:
        """Run one of the stages, for a network that does more than that between them."""
        if stage == 0:
            return self.maxpool(self.relu(self.bn1(self.conv1(features))))
        for block, layer in getattr(self, f"layer{stage}").named_children():
            features = layer(features)
            if (key := f"layer{stage}_{block}") in inserted:
                features = inserted[key](features)
        return features


class TwoStreamResNet(Backbone):
    """ResNet with ``specific_stages`` modality-specific stages, the rest shared.

    0: one stream; 1: the stem is specific; 2 to 4: layer1 to layer3 as well; 5: everything is specific. All copies
    start from the same weights. Sub-modules: ``visible``, ``infrared``, ``shared`` (`ResNetStages`) and ``inserted``.
    """

    def __init__(
        self,
        architecture: Architecture = "resnet50",
        specific_stages: int = 1,
        last_stride: int = 1,
        in_channels: int = 3,
        pretrained: str | Path = "none",
        inserted: Mapping[str, nn.Module] | None = None,
        stages: int = STAGES,
    ) -> None:
        """Build the network.

        ``stages``: how many of the stages there are, 5 for a whole ResNet. ``last_stride``: stride of layer4.
        ``in_channels``: 3, or 1 or 2 for grey inputs, whose stem starts with the sum over the colour kernels in every
        slice. ``inserted``: modules applied to the output of a block, shared by the modalities;
        ``{"layer2_3": NonLocal(512)}`` follows block 3 (from 0) of layer2.
        """
        super().__init__()
        if not 2 <= stages <= STAGES:
            raise ValueError(f"stages must be 2 to {STAGES}, not {stages}")
        if not 0 <= specific_stages <= stages:
            raise ValueError(f"specific_stages must be 0 to {stages}, not {specific_stages}")
        network = _resnet(architecture, last_stride, in_channels, pretrained)
        self.visible = ResNetStages(network, 0, specific_stages)
        self.infrared = copy.deepcopy(self.visible)
        self.shared = ResNetStages(network, specific_stages, stages)
        self.inserted = nn.ModuleDict(inserted)
        self.out_channels = WIDTHS[architecture][stages - 2]

    def forward(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> Tensor:
        """Feature maps (B, C, H/16, W/16) (H/32 with last stride 2) of one modality, or of both in one pass.

        With both, rows are [visible; infrared] and the shared stages see them as one batch, so that their batch norm
        mixes the modalities, as in training.
        """
        return self.shared(self.specific(visible, infrared), self.inserted)

    def specific(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> Tensor:
        """The output of the modality-specific stages alone, rows as in `forward`."""
        streams = []
        if visible is not None:
            streams.append(self.visible(visible, self.inserted))
        if infrared is not None:
            streams.append(self.infrared(infrared, self.inserted))
        return torch.cat(streams) if len(streams) > 1 else streams[0]

    def map_module(self, modality: str) -> nn.Module:
        """The module that returns the network's map of one modality: the last block, or what is inserted behind it."""
        stages = self.shared if len(self.shared.stages) else getattr(self, modality)
        stage = stages.stages[-1]
        block, layer = list(getattr(stages, f"layer{stage}").named_children())[-1]
        behind = dict(self.inserted.named_children())
        return behind.get(f"layer{stage}_{block}", layer)


def _resnet(architecture: Architecture, last_stride: int, in_channels: int, pretrained: str | Path) -> Any:
    """A torchvision ResNet with the wanted stem, stride and starting weights."""
    network = (
        _slim_resnet18()
        if architecture == "resnet18-slim"
        else import_torchvision().models.get_model(architecture, weights=None)
    )
    load_pretrained(network, architecture, pretrained)
    if last_stride == 1:
        block = network.layer4[0]
        for conv in (block.conv1, block.conv2, block.downsample[0]):
            conv.stride = (1, 1)
    if in_channels != 3:
        network.conv1 = _grey_stem(network.conv1, in_channels)
    return network


def _slim_resnet18() -> Any:
    """Torchvision's ResNet-18 with narrow layers, initialised as torchvision's own."""
    models = import_torchvision().models
    network = copy.deepcopy(_frame_of_resnet18())
    widths = WIDTHS["resnet18-slim"]
    network.inplanes = STEM_WIDTHS["resnet18-slim"]
    network.conv1 = nn.Conv2d(3, network.inplanes, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(network.inplanes)
    for stage, (blocks, width) in enumerate(zip(BLOCKS["resnet18-slim"], widths, strict=True), 1):
        layer = network._make_layer(models.resnet.BasicBlock, width, blocks, stride=1 if stage == 1 else 2)
        setattr(network, f"layer{stage}", layer)
    network.fc = nn.Linear(widths[-1], 1000)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


@lru_cache(maxsize=1)
def _frame_of_resnet18() -> Any:
    """Torchvision's ResNet-18 without numbers."""
    with torch.device("meta"):
        return import_torchvision().models.resnet18(weights=None)


def _grey_stem(colour: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The first convolution for grey channels: every slice is the sum of the colour kernels.

    A grey image shown to a colour network has three equal channels, so the sum is what it would have met.
    """
    size, stride, padding = colour.kernel_size[0], colour.stride[0], int(colour.padding[0])
    stem = nn.Conv2d(in_channels, colour.out_channels, size, stride, padding, bias=False)
    with torch.no_grad():
        stem.weight.copy_(colour.weight.sum(dim=1, keepdim=True).expand_as(stem.weight))
    return stem
