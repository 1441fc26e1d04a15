"""Starting weights of a ResNet: ImageNet through torchvision, a file, or none."""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import Tensor, nn

from vibench.errors import UsageError, VibenchWarning, cited
from vibench.files.weights import fitting_prefixes, read_state_dict
from vibench.nn.torchvision_ops import downloaded_state, import_torchvision


def load_pretrained(network: nn.Module, architecture: str, pretrained: str | Path) -> None:
    """Load starting weights into a torchvision ResNet with its colour stem, in place.

    ``pretrained`` is ``none`` (nothing happens), ``imagenet`` (torchvision's IMAGENET1K_V1 of ``architecture``,
    ``resnet18`` or ``resnet50``, downloaded once into torch's hub cache), or the file of a state dict with
    torchvision's names, behind a prefix or without one. The classification layer ``fc`` is ignored. What
    stands without that prefix is left out, with a warning.
    """
    if str(pretrained) == "none":
        return
    if str(pretrained) == "imagenet":
        if architecture == "resnet18-slim":
            raise UsageError(
                "--pretrained imagenet: nobody has published weights of resnet18-slim; start with --pretrained none"
            )
        weights = import_torchvision().models.get_model_weights(architecture)["IMAGENET1K_V1"]
        source = f"the ImageNet weights of {architecture}"
        state = downloaded_state(weights, source, "pass it with --pretrained FILE, or start with --pretrained none")
    else:
        source = str(pretrained)
        remedy = "give imagenet, none, or the state dict of a ResNet, as torch.save writes model.state_dict()"
        state = read_state_dict(Path(pretrained), "--pretrained", remedy)
    state = _behind_prefix(state, network, source)
    _check_names_and_shapes(state, network, architecture, source)
    network.load_state_dict(_without_classifier(state), strict=False)


def _behind_prefix(state: dict[str, Tensor], network: nn.Module, source: str) -> dict[str, Tensor]:
    """The entries of the residual network, where a wrapper's prefix stands before their names."""
    prefix, *rivals = fitting_prefixes(state, network.state_dict().__contains__)
    if rivals:
        several = ", ".join(map(repr, (prefix, *rivals)))
        raise UsageError(f"--pretrained: {source} holds several networks, behind {several}; save one by itself.")
    found = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    outside = [name for name in state if not name.startswith(prefix)]
    if outside:
        warnings.warn(
            f"--pretrained: {source} is read behind {prefix!r}; left out beside it: {cited(outside)}.",
            VibenchWarning,
            stacklevel=2,
        )
    return found


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
