"""Of which method, variant or backbone a file of weights is that does not fit the one named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vibench.errors import VibenchError
from vibench.files.weights import fitting_prefixes
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import method_entry
from vibench.training.official_fit import Fit, Outline, fit, known_outline
from vibench.training.official_names import importable_methods, official_variant

_MOST = 0.5
"""Share of a file's entries from which on they are called a method's."""
_TRANSFORMER = re.compile(r"(^|\.)(cls_token|pos_embed|class_token|blocks\.0\.attn\.)")
_TRANSFORMERS = {
    "timm": ("cls_token", re.compile(r"(cls_token|pos_embed|dist_token)$|(patch_embed|blocks|norm|head|pre_logits)")),
    "torchvision": ("class_token", re.compile(r"class_token$|(conv_proj|encoder|heads)\.")),
}
"""Library -> a name that its vision transformers have, and what their names begin with."""


@dataclass(frozen=True)
class Plain:
    """A network without any method's head, such as ImageNet's weights are saved in."""

    network: str
    library: str
    """Whose names it has."""
    method: str
    """What can be trained from it: the name of a method, or ``METHOD`` for most of them."""


def what_it_is(state: Mapping[str, Tensor], path: Path, asked: Fit) -> str:
    """A sentence's part on what ``state`` is, given that it does not fit what was ``asked``; empty where unknown."""
    plain = plain_backbone(state)
    if plain is not None:
        return (
            f"it is a plain {plain.network} with {plain.library}'s names, such as ImageNet's weights: training starts "
            f"from it with 'vibench train {plain.method} --pretrained {path}'"
        )
    recipe = asked.outline.recipe
    tried = _alternatives(recipe.method, recipe.variant, recipe.dataset, _resnet(state))
    fits = {how: fit(state, outline) for how, outline in tried}
    sound = [how for how, found in fits.items() if found.sound]
    if sound:
        return f"it fits 'vibench import {sound[0]}'" + (f" (and {', '.join(sound[1:])})" if sound[1:] else "")
    how, best = max(fits.items(), key=lambda entry: entry[1].fitting, default=("", asked))
    if best.fitting > asked.fitting and best.fitting > _MOST * len(state):
        return f"its names are rather those of {how} ({best.fitting} of {len(state)} fit)"
    if any(_TRANSFORMER.search(name) for name in state):
        if asked.fitting <= _MOST * len(state):
            return "its names are those of a vision transformer, and of no method here"
        if any(_TRANSFORMER.search(name) for name in asked.problems["of another shape"]):
            return "a transformer fits images of one size: give its own with --set input.height=H --set input.width=W"
    return ""


def fitting_methods(state: Mapping[str, Tensor], dataset: str) -> dict[str, Fit]:
    """By the arguments of ``vibench import``, the methods with official files whose network ``state`` fits.

    Those come first of whose network most is there.
    """
    tried = [
        pair
        for name in importable_methods()
        for pair in _alternative(name, official_variant(name), dataset, _resnet(state))
    ]
    fits = {how: found for how, outline in tried if (found := fit(state, outline)).sound}
    return dict(sorted(fits.items(), key=lambda entry: -entry[1].fitting))


def _resnet(state: Mapping[str, Tensor]) -> str:
    """The ResNet whose blocks have the names of these: three convolutions, or two."""
    return "resnet50" if any(name.endswith(".conv3.weight") for name in state) else "resnet18"


def _alternatives(method: str, variant: str, dataset: str, resnet: str) -> Iterator[tuple[str, Outline]]:
    """Arguments of ``vibench import`` and the network that they mean: this method's others first, then the others'."""
    own = [variant, *(other for other in method_entry(method).recipe_file.variants if other != variant)]
    others = [(other, official_variant(other)) for other in importable_methods() if other != method]
    for name, form in (*((method, form) for form in own), *others):
        yield from _alternative(name, form, dataset, resnet)


def _alternative(method: str, variant: str, dataset: str, resnet: str) -> Iterator[tuple[str, Outline]]:
    try:
        usual = str(getattr(load_recipe(method, variant, dataset).model, "backbone", ""))
        overrides = (f"model.backbone={resnet}",) if usual.startswith("resnet") and usual != resnet else ()
        outline = known_outline(method, variant, dataset, overrides)
    except VibenchError:
        # Not every method has every backbone, variant and data set.
        return
    words = [
        method,
        *(["--variant", variant] if variant else []),
        *(part for override in overrides for part in ("--set", override)),
    ]
    yield " ".join(words), outline


def plain_backbone(state: Mapping[str, Tensor]) -> Plain | None:
    """The network of torchvision or timm whose names and blocks these are."""
    depth = _plain_resnet(state)
    if depth:
        return Plain(f"ResNet-{depth}", "torchvision", "METHOD")
    for library, (token, begins) in _TRANSFORMERS.items():
        prefix, *_ = fitting_prefixes(state, lambda name, token=token: name == token)  # type: ignore[misc]
        names = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
        if token in names and len(names) == len(state) and all(map(begins.match, names)):
            return Plain("vision transformer", library, "pmt")
    return None


def _plain_resnet(state: Mapping[str, Tensor]) -> int:
    """Layers of torchvision's ResNet whose names and blocks these are; 0 where there is none."""
    prefix, *_ = fitting_prefixes(state, lambda name: name == "conv1.weight" or bool(re.match(r"layer\d\.\d+\.", name)))
    if not all(name.startswith(prefix) for name in state):
        return 0
    names = {name[len(prefix) :] for name in state}
    if not {"conv1.weight", "layer4.0.conv1.weight"} <= names or any("." not in name for name in names):
        return 0
    if {name.partition(".")[0] for name in names} - {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"}:
        return 0
    return _depth(names, 3 if "layer1.0.conv3.weight" in names else 2)


def _depth(names: Sequence[str] | set[str], convolutions: int) -> int:
    """Layers of a ResNet as its name counts them: the convolutions of its blocks, the first one, and the classifier."""
    blocks = {".".join(name.split(".")[:2]) for name in names if name.startswith("layer")}
    return convolutions * len(blocks) + 2
