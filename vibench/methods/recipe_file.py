"""The file ``recipe.toml`` in a method's folder: what the method is, its hyper-parameters, data sets and variants.

::

    [method]                        who and what: `MethodTable`
    [input] [sampler] [augmentation] [optimizer] [schedule] [model] [loss_weights]
    [dataset.regdb.sampler]         sections that differ on one data set
    [variants.one-stream]           title, note, printed: `VariantTable`
    [variants.one-stream.model]     sections that differ in one variant

Later tables win: sections, then data set, then variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from vibench.datasets.registry import SEPARATOR
from vibench.errors import UsageError, suggestion
from vibench.files.toml import parse_table, shown, tables_of, toml_text

SECTIONS = ("input", "sampler", "augmentation", "optimizer", "schedule", "model", "loss_weights")
"""Names of the tables that make up a recipe, in the order in which they are written."""

Sections = dict[str, dict[str, Any]]
"""Section name -> key -> value as TOML gives it."""

NEEDS = ("attributes", "heatmaps")
"""What a method may need in training besides images and labels."""


@dataclass(frozen=True)
class MethodTable:
    """The ``[method]`` table."""

    title: str
    """Name as the field writes it, e.g. ``AGW``."""
    reference: str
    """Paper: authors, title, venue, year."""
    venue: str
    """Short form of the venue, e.g. ``TPAMI 2021``."""
    summary: str
    """What the method is, in two or three sentences."""
    test_time_information: str = "none"
    """What the ranking of one query may look at besides the query and each gallery image by itself."""
    needs: tuple[str, ...] = ()
    """Training inputs besides images and labels, from `NEEDS`."""
    default_variant: str = ""
    """Name of the variant that is meant when none is given; empty where the method itself is meant."""
    printed: str = ""
    """Published rows of the method itself, as ``METHOD`` or ``METHOD/VARIANT`` of the published tables; several
    with commas between them, where a paper evaluates several features of one network."""

    def __post_init__(self) -> None:
        _check_needs(self.needs)


@dataclass(frozen=True)
class VariantTable:
    """A ``[variants.NAME]`` table without its sections."""

    title: str
    """Name as the field writes it, e.g. ``Zero-padding``."""
    note: str = ""
    """How the variant differs, and what to know before comparing its numbers."""
    printed: str = ""
    """Published rows of this variant, as ``METHOD`` or ``METHOD/VARIANT`` of the published tables; several
    with commas between them, where a paper evaluates several features of one network."""
    host: str = ""
    """Method that the variant is plugged into: it trains with that method's recipe on each data set, and the recipe's
    ``[model]`` table becomes the key ``host_model`` of this one."""
    needs: tuple[str, ...] | None = None
    """Training inputs besides images and labels where they are not the method's; ``[]`` for none."""

    def __post_init__(self) -> None:
        _check_needs(self.needs or ())


@dataclass(frozen=True)
class RecipeFile:
    """A ``recipe.toml``, read and checked down to the names of its sections."""

    path: Path
    method: MethodTable
    sections: Sections
    datasets: dict[str, Sections] = field(default_factory=dict)
    variants: dict[str, VariantTable] = field(default_factory=dict)
    variant_sections: dict[str, Sections] = field(default_factory=dict)

    def dataset_sections(self, dataset: str) -> Sections:
        """The sections that differ on ``dataset``; a twin without its own follows the data set it imitates.

        Of several that are trained on together, those of the first.
        """
        dataset = dataset.partition(SEPARATOR)[0]
        return self.datasets.get(dataset, self.datasets.get(dataset.removesuffix("-twin"), {}))

    def needs(self, variant: str) -> tuple[str, ...]:
        """Training inputs besides images and labels of a variant, from `NEEDS`."""
        variant = self.resolve_variant(variant)
        own = self.variants[variant].needs if variant else None
        return self.method.needs if own is None else own

    def resolve_variant(self, variant: str) -> str:
        """``variant``, or the default variant for an empty name; `UsageError` for an unknown one."""
        variant = variant or self.method.default_variant
        if variant and variant not in self.variants:
            known = tuple(self.variants)
            listed = f"the variants are {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{self.method.title} has no variant '{variant}'{suggestion(variant, known)}; {listed}.")
        return variant


def read_recipe_file(path: Path) -> RecipeFile:
    """Read ``recipe.toml``; `UsageError` names the file, the table and the key that is wrong."""
    # Every recipe is laid over its method's file, which seldom changes.
    return _recipe_file(path, toml_text(path))


@lru_cache(maxsize=64)
def _recipe_file(path: Path, text: str) -> RecipeFile:
    tables = tables_of(path, text)
    known = ("method", *SECTIONS, "dataset", "variants")
    for name, table in tables.items():
        if name not in known:
            raise UsageError(f"{path}: unknown table [{name}]{suggestion(name, known)}; known are {', '.join(known)}.")
        _require_table(table, f"{path}: [{name}]")
    if "method" not in tables:
        raise UsageError(f"{path}: the table [method] is missing.")

    datasets = tables.get("dataset", {})
    for name, table in datasets.items():
        _check_sections(table, f"{path}: [dataset.{name}]")

    own_keys = {part.name for part in fields(VariantTable)}
    variants, variant_sections = {}, {}
    for name, table in tables.get("variants", {}).items():
        where = f"{path}: [variants.{name}]"
        _require_table(table, where)
        variants[name] = parse_table(VariantTable, {key: table[key] for key in table if key in own_keys}, where)
        variant_sections[name] = {key: table[key] for key in table if key not in own_keys}
        _check_sections(variant_sections[name], where)

    recipe_file = RecipeFile(
        path=path,
        method=parse_table(MethodTable, tables["method"], f"{path}: [method]"),
        sections={name: tables[name] for name in SECTIONS if name in tables},
        datasets=datasets,
        variants=variants,
        variant_sections=variant_sections,
    )
    default = recipe_file.method.default_variant
    if default and default not in variants:
        known = tuple(variants)
        raise UsageError(
            f"{path}: [method]: 'default_variant' names no table [variants.{default}]{suggestion(default, known)}; "
            f"{'there are ' + ', '.join(known) if known else 'leave it out'}."
        )
    return recipe_file


def _check_needs(needs: tuple[str, ...]) -> None:
    for need in needs:
        if need not in NEEDS:
            raise ValueError(f"'needs' may hold {', '.join(NEEDS)}, not '{need}'.")


def _check_sections(tables: Any, where: str) -> None:
    _require_table(tables, where)
    for name, table in tables.items():
        if name not in SECTIONS:
            raise UsageError(f"{where}: unknown key '{name}'{suggestion(name, SECTIONS)}.")
        _require_table(table, f"{where[:-1]}.{name}]")


def _require_table(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table, not {shown(value)}.")
