"""One training step of a method, whole or its head alone, to be timed from outside; see `tests.benchmarks.hot_spots`.

Run as a script it takes its `Work` as JSON on the command line and then one word per line: ``step`` answers with the
milliseconds of a step, ``memory`` with the peak of one in bytes, ``operators`` with the profiler's table. It imports
nothing of the tests, so that ``PYTHONPATH`` may name any checkout of vibench.

Of a head everything but the residual blocks is run: what stands between or behind them (attention blocks, expansions,
branches), pooling, classifiers, losses, adversaries, and their backward passes. In the place of every stage stands
a map of the right size, the same in every step, which takes a gradient. A transformer is left without its blocks.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import torch
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.training.optimizer import build_optimizer

try:
    from vibench.nn.resnet import ResNetStages
    from vibench.nn.vision_transformer import VisionTransformer
except ImportError:  # a checkout that has no transformers yet
    from vibench.nn.backbone import ResNetStages

    VisionTransformer = ()

IDENTITIES, IMAGES = 8, 4
"""Of a batch: 64 images, or more where a recipe asks for several visible views."""

CLASSES = 395
"""Training identities of SYSU-MM01."""

SHAPES = {"real": (("resnet50", "vit-b-16"), 288, 144), "small": (("resnet18", "vit-slim"), 64, 32)}

STEM_WIDTH = 64


@dataclass(frozen=True)
class Work:
    """What one process measures."""

    method: str
    settings: tuple[str, ...] = ()
    """Recipe settings as ``--set`` takes them; a variant is ``variant=NAME``."""
    shapes: str = "real"
    """A key of `SHAPES`."""
    whole: bool = False
    """The backbone and the optimiser too."""
    device: str = "auto"
    amp: str = "off"
    threads: int = 2


class SyntheticMaps(nn.Module):
    """In place of a block: a map like that behind a ReLU, for as many images as come in."""

    def __init__(self, channels: int, height: int, width: int, maps: dict[int, Tensor]) -> None:
        """``maps``: by number of images; the blocks of a stage share them."""
        super().__init__()
        self.shape = (channels, height, width)
        self.maps = maps

    def forward(self, features: Tensor) -> Tensor:
        images = len(features)
        if images not in self.maps:
            values = torch.randn(images, *self.shape, generator=torch.Generator().manual_seed(images)).relu()
            self.maps[images] = values.to(features.device, memory_format=torch.channels_last).requires_grad_()
        self.maps[images].grad = None
        return _Instead.apply(self.maps[images], features)


class _Instead(torch.autograd.Function):
    """The first of two tensors; the second, which a real block would have read, gets a gradient all the same."""

    gradients: ClassVar[dict[tuple[torch.Size, torch.dtype], Tensor]] = {}

    @staticmethod
    def forward(ctx: Any, maps: Tensor, features: Tensor) -> Tensor:
        key = (features.shape, features.dtype)
        if key not in _Instead.gradients:
            _Instead.gradients[key] = torch.full_like(features, 1e-3)
        ctx.key = key
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], _Instead.gradients[ctx.key]


def replace_stages(method: Method, height: int, width: int, last_stride: int) -> None:
    """Put `SyntheticMaps` in the place of all residual stages; modules that are inserted between blocks stay."""
    for module in method.modules():
        if isinstance(module, ResNetStages):
            for stage in module.stages:
                _replace_stage(module, stage, height, width, last_stride)
        if isinstance(module, VisionTransformer):
            module.encoder.layers, module.drop_path = nn.Sequential(), nn.ModuleList()


def _replace_stage(stages: ResNetStages, stage: int, height: int, width: int, last_stride: int) -> None:
    halvings = {0: 2, 1: 2, 2: 3, 3: 4, 4: 4 if last_stride == 1 else 5}[stage]
    size = (height >> halvings, width >> halvings)
    if stage == 0:
        stages.conv1, stages.bn1, stages.relu = nn.Identity(), nn.Identity(), nn.Identity()
        stages.maxpool = SyntheticMaps(STEM_WIDTH, *size, {})
        return
    layer = getattr(stages, f"layer{stage}")
    last = layer[-1]
    channels = last.conv3.out_channels if hasattr(last, "conv3") else last.conv2.out_channels
    maps: dict[int, Tensor] = {}
    for name, _ in list(layer.named_children()):
        setattr(layer, name, SyntheticMaps(channels, *size, maps))


def training_batch(method: Method, device: torch.device) -> Batch:
    """Noise, in the order and with the extras that the method's loader would give."""
    size, views = method.recipe.input, len(method.recipe.augmentation.visible_views)
    rows = IDENTITIES * IMAGES
    generator = torch.Generator().manual_seed(0)
    count = rows * (views + 1)
    images = torch.randn(count, 3, size.height, size.width, generator=generator)
    modality = torch.arange(2).repeat_interleave(torch.tensor([rows * views, rows]))
    attributes = heatmaps = known = None
    if method.needs:
        known = torch.ones(count, dtype=torch.bool)
    if "attributes" in method.needs:
        attributes = torch.randint(0, 2, (count, 8), generator=generator).float().to(device)
    if "heatmaps" in method.needs:
        shape = (count, method.heatmap_channels(), size.height // 4, size.width // 4)
        heatmaps = torch.rand(shape, generator=generator).to(device)
    return Batch(
        images=images.to(device, memory_format=torch.channels_last),
        labels=torch.arange(IDENTITIES).repeat_interleave(IMAGES).repeat(views + 1).to(device),
        modality=modality.to(device),
        cameras=(1 + 2 * modality).to(device),
        visible_views=views,
        attributes=attributes,
        attributes_known=None if attributes is None or known is None else known.to(device),
        heatmaps=heatmaps,
        heatmaps_known=None if heatmaps is None or known is None else known.to(device),
    )


class Step:
    """A step that can be repeated: losses, backward, those of the adversaries, and with the whole the optimiser."""

    def __init__(self, work: Work) -> None:
        backbones, height, width = SHAPES[work.shapes]
        choices = get_args(get_type_hints(get_method(work.method).options)["backbone"])
        backbone = next(name for name in backbones if name in choices)
        settings = [setting for setting in work.settings if not setting.startswith("variant=")]
        variant = "".join(setting.removeprefix("variant=") for setting in work.settings if setting not in settings)
        size = (f"model.backbone={backbone}", f"input.height={height}", f"input.width={width}")
        recipe = load_recipe(work.method, variant, overrides=[*size, *settings])
        self.device = resolve_device(work.device)
        self.precision = resolve_precision(work.amp, self.device)
        torch.manual_seed(0)
        method = build_method(recipe, CLASSES)
        if not work.whole:
            replace_stages(method, height, width, getattr(recipe.model, "last_stride", 1))
        self.method: Method = method.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.batch = training_batch(self.method, self.device)
        self.optimizer = build_optimizer(self.method) if work.whole else None
        if method.name == "ddag" and hasattr(method, "graph_weight"):
            method.graph_weight.fill_(0.5)

    def run(self) -> None:
        """One step."""
        torch.manual_seed(1)
        self.method.zero_grad(set_to_none=True)
        self._descend(self.method.losses)
        if self.method.adversaries():
            self._descend(lambda _: self.method.adversary_losses())

    def _descend(self, losses_of) -> None:
        with self.precision.autocast():
            losses = losses_of(self.batch)
        weights = self.method.recipe.loss_weights
        torch.stack([weights.get(name, 1.0) * loss.float() for name, loss in losses.items()]).sum().backward()
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def milliseconds(self) -> float:
        """The time of one step, by the wall clock; on CUDA until the device is done."""
        self._wait()
        start = time.perf_counter()
        self.run()
        self._wait()
        return 1000.0 * (time.perf_counter() - start)

    def peak_bytes(self) -> int:
        """The most that the tensors of a step take beside what stays, weights and maps; not what libraries take.

        On CUDA as the allocator counts it; on a CPU as the profiler does, which sees every allocation of PyTorch's.
        """
        self.method.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.run()
            return torch.cuda.max_memory_allocated() - before
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            self.run()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            profile.export_chrome_trace(str(file))
            events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
        allocations = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda event: event["ts"])
        total = peak = 0
        for event in allocations:
            total += event["args"]["Bytes"]
            peak = max(peak, total)
        return peak

    def operators(self) -> str:
        """The profiler's table of one step."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self.run()
        return profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Answer the words on standard input."""
    work = Work(**json.loads(sys.argv[1]))
    torch.set_num_threads(work.threads)
    step = Step(work)
    answers = {"step": step.milliseconds, "memory": step.peak_bytes, "operators": step.operators}
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()
