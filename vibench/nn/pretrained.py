"""Starting weights of a backbone: ImageNet through torchvision, a file, or none."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vibench.errors import UsageError, VibenchWarning, cited
from vibench.files.weights import fitting_prefixes, read_state_dict
from vibench.nn.backbone import SLIM
from vibench.nn.torchvision_ops import downloaded_state, import_torchvision


@dataclass(frozen=True)
class Reading:
    """How the starting weights of a family of networks are read."""

    family: str
    """What it is called, such as ``a ResNet``."""
    classifier: tuple[str, ...]
    """Prefixes of what belongs to the classification and is left out."""
    rename: Callable[[str], str] = str
    """From a name in a file to torchvision's."""
    fit: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict
    """From a renamed state dict to one whose shapes are those of the network."""


RESNET = Reading("a ResNet", ("fc.",))


def load_pretrained(network: nn.Module, architecture: str, pretrained: str | Path, reading: Reading = RESNET) -> None:
    """Load starting weights into a network with torchvision's names, in place; a ResNet still has its colour stem.

    ``pretrained`` is ``none`` (nothing happens), ``imagenet`` (torchvision's IMAGENET1K_V1 of ``architecture``,
    downloaded once into torch's hub cache), or the file of a state dict with torchvision's names or those that
    ``reading`` translates, behind a prefix or without one. The classification layer is ignored. What stands without
    that prefix is left out, with a warning.
    """
    if str(pretrained) == "none":
        return
    if str(pretrained) == "imagenet":
        if architecture in SLIM:
            raise UsageError(
                f"--pretrained imagenet: nobody has published weights of {architecture}; start with --pretrained none"
            )
        name = architecture.replace("-", "_")
        weights = import_torchvision().models.get_model_weights(name)["IMAGENET1K_V1"]
        source = f"the ImageNet weights of {architecture}"
        state = downloaded_state(weights, source, "pass it with --pretrained FILE, or start with --pretrained none")
    else:
        source = str(pretrained)
        remedy = f"give imagenet, none, or the state dict of {reading.family}, as torch.save writes model.state_dict()"
        state = read_state_dict(Path(pretrained), "--pretrained", remedy)
    state = _behind_prefix(state, network, source, reading)
    state = dict(reading.fit(_without(reading.classifier, state)))
    _check_names_and_shapes(state, _without(reading.classifier, network.state_dict()), architecture, source)
    network.load_state_dict(state, strict=False)


def _behind_prefix(state: dict[str, Tensor], network: nn.Module, source: str, reading: Reading) -> dict[str, Tensor]:
    """The entries of the network under torchvision's names, where a wrapper's prefix stands before their names."""
    wanted = network.state_dict()
    prefix, *rivals = fitting_prefixes(state, lambda name: reading.rename(name) in wanted)
    if rivals:
        several = ", ".join(map(repr, (prefix, *rivals)))
        raise UsageError(f"--pretrained: {source} holds several networks, behind {several}; save one by itself.")
    names = {name: reading.rename(name[len(prefix) :]) for name in state if name.startswith(prefix)}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise UsageError(f"--pretrained: {source} holds {cited(twice)} under two names; save one network by itself.")
    found = {ours: state[name] for name, ours in names.items()}
    outside = [name for name in state if not name.startswith(prefix)]
    if outside:
        warnings.warn(
            f"--pretrained: {source} is read behind {prefix!r}; left out beside it: {cited(outside)}.",
            VibenchWarning,
            stacklevel=2,
        )
    return found


def _check_names_and_shapes(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], architecture: str, source: str
) -> None:
    problems = []
    # Files older than torch 0.4.1 have no batch counters; nothing reads them.
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    surplus = [name for name in given if name not in wanted]
    shapes = [name for name in given if name in wanted and given[name].shape != wanted[name].shape]
    weights = {name: given[name] for name in given if name in wanted and wanted[name].is_floating_point()}
    numbers = [name for name, of in weights.items() if not of.is_floating_point() or not of.float().isfinite().all()]
    if missing:
        problems.append(f"lacks {cited(missing)}")
    if surplus:
        problems.append(f"has the unknown {cited(surplus)}")
    if shapes:
        problems.append(f"has another shape of {cited(shapes)}")
    if numbers:
        problems.append(f"has NaN, infinite, whole or complex numbers in {cited(numbers)}")
    if problems:
        raise UsageError(
            f"--pretrained: {source} does not fit torchvision's {architecture}: it {', and it '.join(problems)}."
        )


def _without(prefixes: tuple[str, ...], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}
