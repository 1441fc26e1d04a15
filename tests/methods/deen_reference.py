"""DEEN's test-time features, transcribed step by step from its description, under the official parameter names."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

BLOCKS = {"layer1": 3, "layer2": 4, "layer3": 6, "layer4": 3}


class Reference:
    """The network in float64 and evaluation mode; ``regdb``: without MFA3 and layer4, expanded after layer2."""

    def __init__(self, state: dict[str, Tensor], regdb: bool = False) -> None:
        self.state = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
        self.regdb = regdb

    def features(self, images: Tensor, modality: str) -> tuple[Tensor, Tensor]:
        """f and g (3, B, D): of the original and the two expansions."""
        stem = {"visible": "visible_module.visible", "infrared": "thermal_module.thermal"}[modality]
        base = "base_resnet.base"
        x = self.norm(self.convolve(images.double(), f"{stem}.conv1", stride=2, padding=3), f"{stem}.bn1").relu()
        x0 = functional.max_pool2d(x, 3, stride=2, padding=1)
        y1 = self.mfa(self.layer(x0, base, "layer1", 1), x0, "MFA1", 1)
        y2 = self.mfa(self.layer(y1, base, "layer2", 2), y1, "MFA2", 2)
        if self.regdb:
            last = self.layer(self.expand(y2), base, "layer3", 2)
        else:
            y3 = self.mfa(self.layer(y2, base, "layer3", 2), y2, "MFA3", 2)
            last = self.layer(self.expand(y3), base, "layer4", 1)
        f = last.mean(dim=(2, 3))
        g = self.norm(f[:, :, None, None], "bottleneck")[:, :, 0, 0]
        return torch.stack(f.chunk(3)), torch.stack(g.chunk(3))

    def similarity(self, visible: Tensor, infrared: Tensor, pooled_weight: float, neck_weight: float) -> Tensor:
        """Weighted sum of six inner products; features are summed over image and mirror, not normalised again."""
        total = torch.zeros(len(visible), len(infrared), dtype=torch.float64)
        sides = []
        for images, modality in ((visible, "visible"), (infrared, "infrared")):
            views = [self.features(view, modality) for view in (images, images.flip(3))]
            sides.append([sum(functional.normalize(view[kind], dim=2) for view in views) for kind in (0, 1)])
        for kind, weight in ((0, pooled_weight), (1, neck_weight)):
            for copy in range(3):
                total += weight * sides[0][kind][copy] @ sides[1][kind][copy].T
        return total

    def convolve(self, x: Tensor, name: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
        bias = self.state.get(f"{name}.bias")
        return functional.conv2d(x, self.state[f"{name}.weight"], bias, stride, padding, dilation)

    def norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias, mean, variance = (
            self.state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def layer(self, x: Tensor, base: str, layer: str, stride: int) -> Tensor:
        for block in range(BLOCKS[layer]):
            name, step = f"{base}.{layer}.{block}", stride if block == 0 else 1
            y = self.norm(self.convolve(x, f"{name}.conv1"), f"{name}.bn1").relu()
            y = self.norm(self.convolve(y, f"{name}.conv2", stride=step, padding=1), f"{name}.bn2").relu()
            y = self.norm(self.convolve(y, f"{name}.conv3"), f"{name}.bn3")
            if block == 0:
                x = self.norm(self.convolve(x, f"{name}.downsample.0", stride=step), f"{name}.downsample.1")
            x = (x + y).relu()
        return x

    def mfa(self, high: Tensor, low: Tensor, name: str, stride: int) -> Tensor:
        return self.pnl(self.cnl(high, low, f"{name}.CNL", stride), low, f"{name}.PNL")

    def cnl(self, high: Tensor, low: Tensor, name: str, stride: int) -> Tensor:
        theta = self.convolve(high, f"{name}.theta").flatten(2)
        phi = self.convolve(low, f"{name}.phi", stride=stride).flatten(2)
        g = self.convolve(low, f"{name}.g")
        channels = theta.shape[1]
        affinity = torch.einsum("bip,bjp->bij", theta, phi) / channels
        y = torch.einsum("bij,bjhw->bihw", affinity, g)
        return high + self.norm(self.convolve(y, f"{name}.W.0", stride=stride), f"{name}.W.1")

    def pnl(self, high: Tensor, low: Tensor, name: str) -> Tensor:
        theta, phi, g = (
            self.paired_rows(self.convolve(x, f"{name}.{part}"))
            for x, part in ((high, "theta"), (low, "phi"), (low, "g"))
        )
        affinity = torch.einsum("bcp,bcq->bpq", theta, phi) / phi.shape[2]
        y = torch.einsum("bpq,bcq->bcp", affinity, g)
        batch, _, height, width = high.shape
        y = torch.stack([y[:, 0::2], y[:, 1::2]], dim=2).reshape(batch, -1, height, width)
        return high + self.norm(self.convolve(y, f"{name}.W.0"), f"{name}.W.1")

    @staticmethod
    def paired_rows(x: Tensor) -> Tensor:
        """Channel c becomes the rows 2c and 2c + 1: the first and the second half of its positions."""
        rows = []
        for channel in range(x.shape[1]):
            positions = x[:, channel].flatten(1)
            half = positions.shape[1] // 2
            rows += [positions[:, :half], positions[:, half:]]
        return torch.stack(rows, dim=1)

    def expand(self, x: Tensor) -> Tensor:
        copies = [x]
        for branch in (1, 2):
            parts = [
                self.convolve(x, f"DEE.FC{branch}{dilation}", padding=dilation, dilation=dilation)
                for dilation in (1, 2, 3)
            ]
            copies.append(self.convolve((sum(parts) / 3).relu(), f"DEE.FC{branch}"))
        return torch.cat(copies)
