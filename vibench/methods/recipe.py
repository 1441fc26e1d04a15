"""The effective recipe of a run: what its method, variant, data set and ``--set`` make of the defaults.

A method's ``recipe.toml`` (`vibench.methods.recipe_file`) holds the values for all data sets; ``[dataset.NAME]`` and
``[variants.NAME]`` tables override them, and ``--set section.key=value`` overrides those. The dataclasses with their
defaults are in `vibench.methods.sections` and `vibench.data.sections`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from vibench.data.sections import AugmentationRecipe, InputRecipe, SamplerRecipe
from vibench.errors import UsageError, suggestion
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.toml import parse_table, parse_toml, require_tree, shown
from vibench.methods.recipe_file import SECTIONS, RecipeFile, Sections
from vibench.methods.registry import get_method, method_entry, method_names
from vibench.methods.sections import OptimizerRecipe, Recipe, ScheduleRecipe

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


def departures(recipe: Recipe) -> tuple[str, ...]:
    """The keys, as ``section.key``, in which a recipe is not that of its method, variant and data set."""
    default, own = recipe_dict(load_recipe(recipe.method, recipe.variant, recipe.dataset)), recipe_dict(recipe)
    return tuple(
        f"{section}.{key}"
        for section in SECTIONS
        for key in dict.fromkeys((*default[section], *own[section]))
        if own[section].get(key) != default[section].get(key)
    )


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
