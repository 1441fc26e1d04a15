"""What ``vibench profile`` is pointed at: a method by name, a run folder, or a checkpoint file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_names
from vibench.training.checkpoint import load_method
from vibench.training.folder import open_runs

TRAINING_IDENTITIES = {"sysu-mm01": 395, "regdb": 206, "llcm": 713, "hitsz-vcm": 500, "buptcampus": 1074}
"""Classes of the training classifier per layout; a twin is profiled as the full data set it stands for."""


def load_target(target: str, *, variant: str = "", dataset: str = "", overrides: Sequence[str] = ()) -> Method:
    """The method that ``target`` means: of a run folder or checkpoint as trained, of a name with random weights.

    ``variant``, ``dataset`` (default SYSU-MM01) and ``overrides`` (``key=value``) shape the recipe of a name; a run
    has a recipe of its own, so they are refused there. Raises `UsageError` for a target that is none of the three.
    """
    path = Path(target)
    is_file = path.is_file()
    if target in method_names() and not is_file and not (path / "run.json").is_file():
        recipe = load_recipe(target, variant, dataset or "sysu-mm01", overrides)
        return build_method(recipe, TRAINING_IDENTITIES[get_dataset(recipe.dataset).layout], "none")
    if not path.exists():
        raise UsageError(
            f"'{target}' is neither a method ({', '.join(method_names())}) nor a run folder or checkpoint file."
        )
    if variant or dataset or overrides:
        raise UsageError(f"{target}: a trained run has its recipe; leave out --variant, --dataset and --set.")
    return load_method(path if is_file else open_runs(path)[0].checkpoint_path)
