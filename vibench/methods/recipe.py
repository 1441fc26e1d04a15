"""Recipes: every hyper-parameter of one training run, as typed dataclasses.

A method's ``recipe.toml`` (`vibench.methods.recipe_file`) holds the values for all data sets; ``[dataset.NAME]`` and
``[variants.NAME]`` tables override them, and ``--set section.key=value`` overrides those. The defaults of the
dataclasses here are "the AGW code line": the training recipe of the official code of AGW, which most methods share.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from vibench.errors import UsageError, suggestion
from vibench.files import canonical_json, sha256_text
from vibench.methods.recipe_file import SECTIONS, RecipeFile, Sections
from vibench.methods.registry import get_method, method_entry, method_names
from vibench.toml import parse_table, parse_toml, require_tree, shown

ChannelOperation = Literal["none", "exchange", "exchange+grey", "adaptive", "adaptive+grey"]
"""What happens to the colour channels of an image; `vibench.data.channels` says how often each outcome is drawn."""

SIZE_MULTIPLE = 16
"""Height and width divide by this: the stride of a ResNet whose last stage keeps its resolution."""


@dataclass(frozen=True)
class InputRecipe:
    """How an image file becomes network input."""

    height: int = 288
    """Pixels; a multiple of 16, at least 32."""
    width: int = 144
    """Pixels; a multiple of 16, at least 32."""
    interpolation: Literal["lanczos", "bilinear"] = "lanczos"
    """How the file is resized, once, before the uint8 cache."""

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width)):
            if value < 2 * SIZE_MULTIPLE or value % SIZE_MULTIPLE:
                raise ValueError(
                    f"'{name}' must be a multiple of {SIZE_MULTIPLE} and at least {2 * SIZE_MULTIPLE}, not {value}."
                )


@dataclass(frozen=True)
class SamplerRecipe:
    """Identity-balanced batches: P identities, K visible and K infrared images each."""

    identities: int = 8
    """P, identities per batch."""
    images: int = 4
    """K, images per identity and modality."""
    batches_per_epoch: int = 0
    """0: what the kind gives; with-replacement: floor(max(#visible, #infrared) / (P*K)) + 1, the AGW code line."""
    kind: Literal["with-replacement", "distinct", "exhaustive"] = "with-replacement"
    """Every batch drawn anew, with or without repeated images in it; or no image twice in an epoch, which ends when no
    P identities have K images left."""

    def __post_init__(self) -> None:
        if self.identities < 2:
            raise ValueError(
                f"'identities' must be at least 2, not {self.identities}: in a batch of one identity there is nobody "
                "to tell it from."
            )
        _at_least(self, 1, "images")
        _at_least(self, 0, "batches_per_epoch")


@dataclass(frozen=True)
class AugmentationRecipe:
    """Training-time image augmentation, applied per image on normalised floats."""

    pad: int = 10
    """Pixels of padding on every side before the random crop."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    greyscale: float = 0.0
    """Probability that an image of either modality is turned grey before normalisation."""
    erasing: float = 0.0
    """Probability of random erasing, after normalisation."""
    erasing_area: tuple[float, float] = (0.02, 0.4)
    """Smallest and largest erased share of the image area."""
    erasing_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Smallest and largest ratio of height to width of the erased rectangle."""
    pad_value: int | tuple[int, int, int] = 0
    """Colour of the padding, 0 to 255: one grey level, or red, green and blue. An official code that asks for 127 need
    not pad in grey: torchvision 0.4 hands the number to Pillow as it is, which reads it as (127, 0, 0) in RGB."""
    erasing_aspect_scale: Literal["linear", "log"] = "linear"
    """Whether the aspect ratio or its logarithm is drawn uniformly."""
    erasing_attempts: int = 100
    """Rectangles drawn at most until one fits into the image; without any, nothing is erased."""
    erasing_fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Normalised value that each channel of the rectangle is filled with; zeros are the mean colour."""
    erasing_random_fill: bool = False
    """Fill each channel with a value of its own, drawn per image uniformly from the range of pixel values, instead."""
    visible_views: tuple[ChannelOperation, ...] = ("none",)
    """Channel operation of every view of a visible image; a view is cropped, flipped and erased on its own."""
    visible_channel_probability: float = 1.0
    """Probability that the channel operation of a visible view happens."""
    infrared_channels: ChannelOperation = "none"
    """Channel operation of the infrared images."""
    erase_heatmap: Literal["none", "same", "independent"] = "none"
    """What random erasing does to an image's keypoint heatmap: nothing, so that the network has to infer what is
    hidden, the same rectangle, or one that is drawn anew."""

    def __post_init__(self) -> None:
        _at_least(self, 0, "pad")
        _at_least(self, 1, "erasing_attempts")
        if not all(0 <= level <= 255 for level in self.pad_colour):
            raise ValueError(f"'pad_value' must be 0 to 255, not {shown(_plain(self.pad_value))}.")
        if not self.visible_views:
            raise ValueError("'visible_views' must name at least one view, such as [\"none\"].")
        for name in ("flip", "greyscale", "erasing", "visible_channel_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' is a probability between 0 and 1, not {getattr(self, name)}.")
        low, high = self.erasing_area
        if not 0 < low <= high < 1:
            raise ValueError(f"'erasing_area' must be two shares with 0 < low <= high < 1, not {[low, high]}.")
        low, high = self.erasing_aspect
        if not 0 < low <= high:
            raise ValueError(f"'erasing_aspect' must be two ratios with 0 < low <= high, not {[low, high]}.")

    @property
    def pad_colour(self) -> tuple[int, int, int]:
        """Red, green and blue of the padding."""
        value = self.pad_value
        return value if isinstance(value, tuple) else (value, value, value)


@dataclass(frozen=True)
class OptimizerRecipe:
    """One optimiser; a method's parameter groups multiply the learning rate."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule."""
    lr: float = 0.1
    """Learning rate after the warm-up, of groups with factor 1."""
    backbone_lr_factor: float = 0.1
    """Learning-rate factor of everything but the newly initialised head."""
    momentum: float = 0.9
    """Of sgd."""
    nesterov: bool = True
    """Of sgd."""
    weight_decay: float = 5e-4
    """On every trainable parameter, norm layers included."""
    clip_grad_norm: float = 0.0
    """0: no clipping."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"'lr' must be above 0, not {self.lr}.")
        _at_least(self, 0, "backbone_lr_factor", "momentum", "weight_decay", "clip_grad_norm")
        if self.momentum >= 1:
            raise ValueError(f"'momentum' must be below 1, not {self.momentum}.")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("'nesterov' needs a 'momentum' above 0; set nesterov to false.")


@dataclass(frozen=True)
class ScheduleRecipe:
    """Learning rate per epoch: linear warm-up, then a factor at each milestone, or half a cosine."""

    epochs: int = 81
    """Passes of the sampler."""
    warmup_epochs: int = 10
    """Epoch e < warmup_epochs has the rate lr * (e + 1) / warmup_epochs."""
    milestones: tuple[int, ...] = (20, 50)
    """Epochs (from 0) that begin with a rate multiplied by gamma."""
    gamma: float = 0.1
    """Factor at each milestone."""
    factors: tuple[float, ...] = ()
    """In place of gamma: the share of lr that holds from each milestone on, one per milestone."""
    decay: Literal["milestones", "cosine"] = "milestones"
    """What follows the warm-up: steps at the milestones, or half a cosine from lr down to lr * final_factor."""
    final_factor: float = 0.01
    """Rate of the last epoch as a share of lr; of cosine."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "epochs")
        if not 0 <= self.final_factor <= 1:
            raise ValueError(f"'final_factor' must be from 0 to 1, not {self.final_factor}.")
        _at_least(self, 0, "warmup_epochs")
        ascending = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        if not ascending:
            raise ValueError(f"'milestones' must be ascending epochs above 0, not {list(self.milestones)}.")
        if not self.gamma > 0:
            raise ValueError(f"'gamma' must be above 0, not {self.gamma}.")
        if self.factors and len(self.factors) != len(self.milestones):
            raise ValueError(
                f"'factors' must hold one factor for each of the {len(self.milestones)} milestones, or none, not "
                f"{list(self.factors)}."
            )
        if not all(factor > 0 for factor in self.factors):
            raise ValueError(f"'factors' must be above 0, not {list(self.factors)}.")


@dataclass(frozen=True)
class Recipe:
    """The effective recipe of a run."""

    method: str
    variant: str
    """Resolved: the method's default variant stands by its name; empty for the method itself."""
    dataset: str
    model: Any
    """An instance of the method's ``options`` dataclass."""
    input: InputRecipe = field(default_factory=InputRecipe)
    sampler: SamplerRecipe = field(default_factory=SamplerRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loss_weights: dict[str, float] = field(default_factory=dict)
    """Weight per loss name; a loss without entry has weight 1."""


_FIXED_SECTIONS: dict[str, type[Any]] = {
    "input": InputRecipe,
    "sampler": SamplerRecipe,
    "augmentation": AugmentationRecipe,
    "optimizer": OptimizerRecipe,
    "schedule": ScheduleRecipe,
}


def load_recipe(method: str, variant: str = "", dataset: str = "sysu-mm01", overrides: Sequence[str] = ()) -> Recipe:
    """The effective recipe of ``method`` and ``variant`` on ``dataset``.

    An empty ``variant`` is the method's default variant. ``overrides`` are ``section.key=value`` texts, or
    ``key=value`` where the key is unique; values are TOML, anything else is taken as bare text. A twin data set
    follows the data set it imitates unless the method has a table of its own for it. `UsageError` names whatever
    does not fit.
    """
    recipe_file = method_entry(method).recipe_file
    variant = recipe_file.resolve_variant(variant)
    sections = effective_sections(recipe_file, variant, dataset)
    # Checked before the overrides, so that a message about the file never blames the command line and vice versa.
    recipe = _build(method, variant, dataset, sections, str(recipe_file.path))
    for override in overrides:
        section, key, value = _parse_override(override, method)
        sections[section][key] = value
    return _build(method, variant, dataset, sections, "--set") if overrides else recipe


def effective_sections(recipe_file: RecipeFile, variant: str, dataset: str) -> Sections:
    """The sections of a recipe file with those of ``dataset``, then those of ``variant`` laid over them.

    Those of a variant with a host begin with the host's own (`vibench.methods.recipe_file.VariantTable.host`).
    """
    merged: Sections = {name: {} for name in SECTIONS}
    _lay_over(merged, recipe_file.sections)
    _lay_over(merged, recipe_file.dataset_sections(dataset))
    if variant and recipe_file.variants[variant].host:
        _plug_into(merged, recipe_file.variants[variant].host, dataset)
    _lay_over(merged, recipe_file.variant_sections.get(variant, {}))
    return merged


def _lay_over(merged: Sections, layer: Sections) -> None:
    for name, table in layer.items():
        merged[name].update(table)


def _plug_into(merged: Sections, host: str, dataset: str) -> None:
    """The recipe of the method ``host`` in the place of one's own; of model and loss weights one's own stay."""
    theirs = effective_sections(method_entry(host).recipe_file, "", dataset)
    for name, table in theirs.items():
        if name not in ("model", "loss_weights"):
            merged[name] = dict(table)
    merged["loss_weights"].update(theirs["loss_weights"])
    merged["model"].update(host=host, host_model=dict(theirs["model"]))


def recipe_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON- and TOML-able tables; `recipe_from_dict` reads it back."""
    head = {"method": recipe.method, "variant": recipe.variant, "dataset": recipe.dataset}
    sections = {name: getattr(recipe, name) for name in SECTIONS if name != "loss_weights"}
    tables = {name: _plain(asdict(section)) for name, section in sections.items()}
    return {**head, **tables, "loss_weights": dict(sorted(recipe.loss_weights.items()))}


def recipe_from_dict(tables: dict[str, Any], where: str = "recipe") -> Recipe:
    """The recipe of `recipe_dict`'s tables; ``where`` names their file in an error."""
    known = ("method", "variant", "dataset", *SECTIONS)
    try:
        require_tree(tables)
    except ValueError as error:
        raise UsageError(f"{where}: is no recipe: {error}.") from None
    for key in map(str, tables):
        if key not in known:
            raise UsageError(f"{where}: unknown key '{key}'{suggestion(key, known)}; known are {', '.join(known)}.")
    for key in ("method", "variant", "dataset"):
        if not isinstance(tables.get(key), str):
            raise UsageError(f"{where}: the key '{key}' must be a text in quotes, not {shown(tables.get(key))}.")
    methods = method_names()
    if tables["method"] not in methods:
        raise UsageError(
            f"{where}: is of the method '{tables['method']}', which is not registered"
            f"{suggestion(tables['method'], methods)}; name its folder with --plugin PATH."
        )
    sections = {name: tables.get(name, {}) for name in SECTIONS}
    return _build(tables["method"], tables["variant"], tables["dataset"], sections, where)


def recipe_toml(recipe: Recipe) -> str:
    """The effective recipe as TOML text, the same for the same recipe; `recipe_from_dict` reads it back."""
    tables = recipe_dict(recipe)
    lines = [f"{key} = {toml_value(tables.pop(key))}" for key in ("method", "variant", "dataset")]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def recipe_sha256(recipe: Recipe) -> str:
    """SHA-256 of the canonical JSON of the effective recipe."""
    return sha256_text(canonical_json(recipe_dict(recipe)))


def toml_value(value: Any) -> str:
    """A text, number, truth value, list or table as TOML writes it, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes of a text are TOML's.
        return canonical_json(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_value(entry)}' for key, entry in value.items())}}}"
    return repr(value)


def _build(method: str, variant: str, dataset: str, sections: Sections, where: str) -> Recipe:
    cls = get_method(method)
    kinds = {**_FIXED_SECTIONS, "model": cls.options}
    parts = {name: parse_table(kind, sections[name], f"{where}: [{name}]") for name, kind in kinds.items()}
    weights = _loss_weights(sections["loss_weights"], tuple(cls.loss_names), f"{where}: [loss_weights]")
    return Recipe(method, variant, dataset, **parts, loss_weights=weights)


def _loss_weights(table: dict[str, Any], known: tuple[str, ...], where: str) -> dict[str, float]:
    weights = {}
    if not isinstance(table, dict):
        raise UsageError(f"{where}: must be a table, not {shown(table)}.")
    for name, weight in table.items():
        if name not in known:
            near = suggestion(str(name), known)
            raise UsageError(f"{where}: unknown loss '{name}'{near}; known are {', '.join(known)}.")
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not (number and 0 <= weight <= sys.float_info.max):
            raise UsageError(f"{where}: the weight of '{name}' must be a finite number from 0 on, not {shown(weight)}.")
        weights[name] = float(weight)
    return weights


def _parse_override(override: str, method: str) -> tuple[str, str, Any]:
    """Section, key and value of a ``--set`` text."""
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals or not name:
        raise UsageError(f"--set {override}: write it as section.key=value, for instance schedule.epochs=20.")
    cls = get_method(method)
    kinds = {**_FIXED_SECTIONS, "model": cls.options}
    known = [(section, part.name) for section, kind in kinds.items() for part in fields(kind)]
    known += [("loss_weights", loss) for loss in cls.loss_names]
    found = [(section, key) for section, key in known if name in (f"{section}.{key}", key)]
    if len(found) == 1:
        return (*found[0], _override_value(text.strip()))
    if found:
        choices = " or ".join(f"{section}.{key}" for section, key in found)
        raise UsageError(f"--set {override}: '{name}' is ambiguous; write {choices}.")
    words = tuple(f"{section}.{key}" if "." in name else key for section, key in known)
    raise UsageError(
        f"--set {override}: {method} has no recipe key '{name}'{suggestion(name, words)}; "
        f"`vibench methods {method}` lists them all."
    )


def _override_value(text: str) -> Any:
    """``text`` as a TOML value, or as it stands where it is none: ``--set model.pool=gem`` needs no quotes."""
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what JSON and TOML give back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _at_least(section: Any, bound: int, *names: str) -> None:
    for name in names:
        if not getattr(section, name) >= bound:
            raise ValueError(f"'{name}' must be at least {bound}, not {getattr(section, name)}.")
