"""Checkpoints: one file that holds a trained method, where it came from and how to go on training it.

The file is a PyTorch archive of plain containers, texts, numbers and tensors, so that it loads with
``weights_only=True`` and can run no code. Its bytes are a function of the training state alone: durations and
memory are kept beside it (`vibench.training.timing`), and equal states give equal files whichever way they came about.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vibench.datasets.joined import trained_identities, training_dataset
from vibench.errors import UsageError, VibenchError, cited
from vibench.files.safetensors import is_safetensors
from vibench.files.toml import shown
from vibench.files.torch_file import TorchFileError, is_plain_state, read_torch_file
from vibench.files.writing import atomic_path
from vibench.methods.base import Method
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.registry import build_method
from vibench.methods.sections import Recipe

FORMAT = "vibench checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A method's state after ``epoch`` whole epochs and ``step`` steps of the next."""

    source: str
    """``trained`` here, or ``imported`` from an official checkpoint."""
    method: str
    variant: str
    recipe: dict[str, Any]
    """The effective recipe, `vibench.methods.recipe.recipe_dict`."""
    dataset: str
    dataset_version: str
    """Scale, seed and renderer of a synthetic data set; empty for a real one."""
    trial: int | None
    """The train/test split, from 1, of a data set that has several; else None."""
    train_pids: tuple[int, ...]
    """The training identities in ascending order: class c is identity ``train_pids[c]``. Empty where unknown."""
    num_classes: int
    seed: int
    pretrained: str
    """What the backbone started from: ``imagenet``, ``none`` or the name of a file."""
    precision: str
    """``fp32``, ``bf16`` or ``fp16``."""
    epoch: int
    """Whole epochs trained."""
    step: int
    """Steps trained of epoch ``epoch`` (from 0): 0 at the end of an epoch."""
    model: dict[str, Tensor]
    """`torch.nn.Module.state_dict`."""
    optimizer: dict[str, Any] = field(default_factory=dict)
    """`torch.optim.Optimizer.state_dict`; empty where training cannot go on."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """State of the loss scaler; empty unless ``precision`` is ``fp16``."""
    loss_sums: dict[str, Tensor] = field(default_factory=dict)
    """Per loss, its sum over the ``step`` steps of an unfinished epoch."""
    compiled: bool = False
    """Whether `torch.compile` made the code that trained it."""
    incomplete: str = ""
    """What the training split lacked or had too much (`vibench.datasets.training_split`); empty for the whole one."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically. Equal checkpoints give identical bytes.

    Raises `OSError` where the file cannot be written; an older file of that name then stays.
    """
    fields = {entry.name: getattr(checkpoint, entry.name) for entry in dataclasses.fields(checkpoint)}
    if not checkpoint.incomplete:
        # Checkpoints of whole training splits are read by earlier versions too, and keep their bytes.
        del fields["incomplete"]
    content = _canonical({"format": FORMAT, "format_version": FORMAT_VERSION, **fields})
    # Written through a handle, because torch.save(path) puts the (temporary) file name into the archive.
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as handle:
        try:
            torch.save(content, handle)
        except RuntimeError as error:
            # PyTorch hides a failed write behind an error of its archive writer.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises `UsageError` where the file is absent, no vibench checkpoint, damaged, or of a newer vibench.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: there is no such checkpoint file.")
    try:
        content = read_torch_file(path)
    except TorchFileError as error:
        if not error.code and not is_safetensors(path):
            raise UsageError(f"{path}: {error}.") from None
        content = None
    if not is_checkpoint(content):
        raise UsageError(
            f"{path}: is a file of weights but not a vibench checkpoint; convert an official checkpoint with "
            f"'vibench import METHOD {path} -o CHECKPOINT'."
        )
    version = content.get("format_version")
    if not isinstance(version, int) or version != FORMAT_VERSION:
        raise UsageError(
            f"{path}: checkpoint format {shown(version)} is not the format {FORMAT_VERSION} that this vibench "
            "reads; use the vibench version that wrote it."
        )
    return _parse(path, content)


def is_checkpoint(content: Any) -> bool:
    """Whether what a PyTorch file holds is a checkpoint of vibench's, of any version."""
    marked = isinstance(content, dict) and isinstance(content.get("format"), str)
    return marked and content["format"] == FORMAT


def load_method(path: Path, device: torch.device | str = "cpu") -> Method:
    """The method a checkpoint holds, in eval mode, ready to embed images.

    Raises `UsageError` as `read_checkpoint` does, and where the weights do not fit the method of this vibench.
    """
    checkpoint = read_checkpoint(path)
    recipe = recipe_from_dict(checkpoint.recipe, str(path))
    if recipe.method != checkpoint.method:
        raise UsageError(f"{path}: is of the method {checkpoint.method}, its recipe of {recipe.method}; it is damaged.")
    # A recipe can ask for a network of any size: it is compared with the weights before it takes any memory.
    outline = _outline(recipe, checkpoint.num_classes)
    if outline is not None:
        check_weights(outline, checkpoint.model, path)
    method = build_method(recipe, checkpoint.num_classes, pretrained="none")
    load_weights(method, checkpoint.model, path)
    return method.to(device).eval()


def _outline(recipe: Recipe, num_classes: int) -> Method | None:
    """The method with shapes alone, without memory for numbers; None where it needs numbers to be built."""
    try:
        with torch.device("meta"):
            return build_method(recipe, num_classes, pretrained="none")
    except Exception:
        # A plugin may meet the lack of numbers in any way. A fault of its own comes again where it is built with them.
        return None


def load_weights(method: Method, weights: dict[str, Tensor], path: Path) -> None:
    """Load ``weights`` read from ``path`` into ``method``; `UsageError` where a name or a shape differs."""
    check_weights(method, weights, path)
    method.load_state_dict(weights)


def check_weights(method: Method, weights: dict[str, Tensor], path: Path) -> None:
    """`UsageError` where ``weights`` read from ``path`` are not those of ``method`` by name and shape."""
    expected = method.state_dict()
    for name in sorted(set(expected) | set(weights)):
        if name not in weights:
            raise UsageError(f"{path}: the weight '{name}' of method {method.name} is missing.")
        if name not in expected:
            raise UsageError(f"{path}: holds the weight '{name}', which method {method.name} does not have.")
        if expected[name].shape != weights[name].shape:
            raise UsageError(
                f"{path}: the weight '{name}' has shape {tuple(weights[name].shape)}, "
                f"but method {method.name} needs {tuple(expected[name].shape)}."
            )


def leaked_identities(checkpoint: Checkpoint, dataset: str, test_pids: Iterable[int]) -> list[int]:
    """The identities among ``test_pids`` that a checkpoint was trained on, in ascending order.

    The classic case is RegDB: ten splits, one model each, and a model evaluated on the others' test identities.
    Identity numbers of different data sets have nothing to do with each other, so they only count in the same
    ``dataset``.
    """
    trained = trained_identities(training_dataset(checkpoint.dataset), checkpoint.train_pids, dataset)
    return sorted(trained.intersection(int(pid) for pid in test_pids))


def check_test_identities(checkpoint: Checkpoint, dataset: str, test_pids: Iterable[int]) -> None:
    """Refuse to evaluate a checkpoint on identities that it was trained on (`leaked_identities`).

    Raises `VibenchError` naming the identities and the trial whose test split the checkpoint is for.
    """
    tested = {int(pid) for pid in test_pids}
    known = leaked_identities(checkpoint, dataset, tested)
    if not known:
        return
    remedy = (
        f"it was trained for trial {checkpoint.trial}, so evaluate it with --trial {checkpoint.trial}"
        if checkpoint.trial is not None
        else "evaluate it on the test split of the copy it was trained on"
    )
    raise VibenchError(
        f"{len(known)} of the {len(tested)} test identities (pid {cited(known)}) are training identities of this "
        f"{checkpoint.method} checkpoint on {dataset}; {remedy} ('vibench eval --allow-leaking' evaluates "
        "nevertheless, into a record that is marked as leaking and holds no rank)."
    )


def _parse(path: Path, content: dict[str, Any]) -> Checkpoint:
    values: dict[str, Any] = {}
    content = {**_ADDED, **content}
    for entry in dataclasses.fields(Checkpoint):
        if entry.name not in content:
            raise UsageError(f"{path}: the checkpoint lacks its entry '{entry.name}'; it is damaged.")
        value = content[entry.name]
        if not isinstance(value, _ENTRY_TYPES[entry.name]):
            raise UsageError(
                f"{path}: the checkpoint's entry '{entry.name}' is a {type(value).__name__}; it is damaged."
            )
        values[entry.name] = value
    for name in _COUNTS:
        if isinstance(values[name], bool) or not 0 <= (values[name] or 0) < _MOST:
            raise UsageError(f"{path}: the checkpoint's entry '{name}' is {shown(values[name])}; it is damaged.")
    if values["num_classes"] < 1:
        raise UsageError(f"{path}: the checkpoint tells {values['num_classes']} identities apart; it is damaged.")
    if not is_plain_state(values["loss_sums"]):
        raise UsageError(f"{path}: the checkpoint's entry 'loss_sums' holds something else than named tensors.")
    if not is_plain_state(values["model"]):
        raise UsageError(f"{path}: the checkpoint's entry 'model' holds something else than named tensors.")
    if not all(isinstance(pid, int) for pid in values["train_pids"]):
        raise UsageError(f"{path}: the checkpoint's entry 'train_pids' holds something else than whole numbers.")
    if values["train_pids"] and len(values["train_pids"]) != values["num_classes"]:
        raise UsageError(
            f"{path}: the checkpoint has {values['num_classes']} classes but names {len(values['train_pids'])} "
            "training identities; it is damaged, or of another training split."
        )
    return Checkpoint(**{**values, "train_pids": tuple(values["train_pids"])})


_COUNTS = ("num_classes", "seed", "epoch", "step", "trial")
_MOST = 2**64
"""Seeds have 64 bits at most."""
_ENTRY_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("source", "method", "variant", "dataset", "dataset_version", "pretrained", "precision"), (str,)),
    "incomplete": (str,),
    **dict.fromkeys(("num_classes", "seed", "epoch", "step"), (int,)),
    **dict.fromkeys(("recipe", "model", "optimizer", "scaler", "loss_sums"), (dict,)),
    "compiled": (bool,),
    "trial": (int, type(None)),
    "train_pids": (list, tuple),
}


_ADDED = {"compiled": False, "incomplete": ""}
"""Entries that checkpoints of the first vibench versions lack, and what they would say."""


def _canonical(value: Any) -> Any:
    """A copy whose pickled bytes depend on its content only.

    Pickle writes an object met twice as a reference and an equal one as a copy, so a state that was loaded would
    differ in bytes from the same state that was computed. Here every container is new and every text is interned.
    """
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole else tensor.clone()
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_canonical(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")
