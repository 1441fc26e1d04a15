"""Starting weights of a ResNet: ImageNet through torchvision, a file, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vibench.errors import UsageError, VibenchError, cited
from vibench.files.torch_file import TorchFileError, is_plain_state, read_torch_file
from vibench.nn.torchvision_ops import import_torchvision


def load_pretrained(network: nn.Module, architecture: str, pretrained: str | Path) -> None:
    """Load starting weights into a torchvision ResNet with its colour stem, in place.

    ``pretrained`` is ``none`` (nothing happens), ``imagenet`` (torchvision's IMAGENET1K_V1 of ``architecture``,
    ``resnet18`` or ``resnet50``, downloaded once into torch's hub cache), or the file of a state dict with
    torchvision's names. The classification layer ``fc`` is ignored.
    """
    if str(pretrained) == "none":
        return
    if str(pretrained) == "imagenet":
        state, source = _imagenet_state(architecture), "the ImageNet weights"
    else:
        state, source = _file_state(Path(pretrained)), str(pretrained)
    _check_names_and_shapes(state, network, architecture, source)
    network.load_state_dict(_without_classifier(state), strict=False)


def _imagenet_state(architecture: str) -> dict[str, Tensor]:
    weights: Any = import_torchvision().models.get_model_weights(architecture)["IMAGENET1K_V1"]
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise VibenchError(
            f"the ImageNet weights of {architecture} cannot be downloaded from {weights.url} ({error}); fetch that "
            f"file on another machine and pass it with --pretrained FILE or put it into {folder}, "
            "or start from random weights with --pretrained none."
        ) from error


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(f"--pretrained {path}: there is no such file; give imagenet, none, or a state dict's file.")
    try:
        state = read_torch_file(path)
    except TorchFileError as error:
        raise UsageError(
            f"--pretrained {path}: is not a file that torch.save wrote from a plain state dict ({error}); give another."
        ) from None
    if not is_plain_state(state):
        raise UsageError(
            f"--pretrained {path}: holds no plain state dict (name -> tensor); save model.state_dict() of a ResNet."
        )
    return dict(state)


def _check_names_and_shapes(state: dict[str, Tensor], network: nn.Module, architecture: str, source: str) -> None:
    given, wanted = _without_classifier(state), _without_classifier(network.state_dict())
    problems = []
    # Files older than torch 0.4.1 have no batch counters; nothing reads them.
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    surplus = [name for name in given if name not in wanted]
    shapes = [name for name in given if name in wanted and given[name].shape != wanted[name].shape]
    if missing:
        problems.append(f"lacks {cited(missing)}")
    if surplus:
        problems.append(f"has the unknown {cited(surplus)}")
    if shapes:
        problems.append(f"has another shape of {cited(shapes)}")
    if problems:
        raise UsageError(
            f"--pretrained: {source} does not fit torchvision's {architecture}: it {', and it '.join(problems)}."
        )


def _without_classifier(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}
