"""What boards know of the methods behind records: their printed rows, and the labels they train on.

Reads ``recipe.toml`` files only; a method that is not registered here, such as somebody's features, is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vibench.errors import UsageError
from vibench.methods.recipe_file import RecipeFile
from vibench.methods.registry import method_entries
from vibench.records.schema import Record

_SINGLE_QUERY = "-single-query"
"""Suffix of the published rows that rank one query at a time, of a method that otherwise ranks all together."""


@dataclass(frozen=True)
class Catalogue:
    """The registered methods, by name."""

    methods: Mapping[str, RecipeFile]

    def printed_name(self, record: Record) -> str:
        """The published row that a record re-measures, as ``METHOD`` or ``METHOD/VARIANT``; empty where none is known.

        Of several that a recipe names, the first is that of the embedding; that of a named feature ends in its name.
        """
        names = self.printed_names(record.method, record.variant)
        if record.feature:
            names = tuple(name for name in names if name.partition("/")[0].endswith(f"-{record.feature}"))
        if not names:
            return ""
        transductive = "queries" in self._of_method(record.method, lambda file: file.method.test_time_information, "")
        return names[0] + (_SINGLE_QUERY if transductive and record.query_mode == "single" else "")

    def printed_names(self, method: str, variant: str) -> tuple[str, ...]:
        """All published rows that the recipe of a method or variant names."""

        def of(file: RecipeFile) -> str:
            resolved = file.resolve_variant(variant)
            return file.variants[resolved].printed if resolved else file.method.printed

        return tuple(name.strip() for name in self._of_method(method, of, "").split(",") if name.strip())

    def default_variant(self, method: str) -> str:
        """The variant that the method's name alone means; empty for the method as its recipe stands."""
        return self._of_method(method, lambda file: file.resolve_variant(""), "")

    def extra_labels(self, method: str, variant: str) -> str:
        """Labels in training beside identities: ``none``, kinds joined by ``+``, or empty where nothing is known."""
        return self._of_method(method, lambda file: "+".join(file.needs(variant)) or "none", "")

    def _of_method(self, method: str, of: Callable[[RecipeFile], str], otherwise: str) -> str:
        try:
            return of(self.methods[method])
        except (KeyError, UsageError):
            # A record outlives its method, and a variant may have been renamed since.
            return otherwise


def registered_methods() -> Catalogue:
    """The catalogue of this installation's methods; one whose recipe cannot be read is left out."""
    methods = {}
    for name, entry in method_entries().items():
        try:
            methods[name] = entry.recipe_file
        except UsageError:
            continue
    return Catalogue(methods)
