"""Names in the files of an invented official code of the toy."""

from __future__ import annotations

from vibench.methods.sections import Recipe

KEYS = (("body.0.", "stem.0."), ("body.1.", "stem.1."), ("bottleneck.", "neck."), ("classifier.", "classifier."))
UNUSED = ("body.fc.",)
SETTINGS = ("model.nan_after",)


def unused(recipe: Recipe) -> tuple[str, ...]:
    return ("thermal_only.",) if recipe.dataset == "regdb" else ()
