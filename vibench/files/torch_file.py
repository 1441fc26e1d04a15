"""Files that ``torch.save`` wrote, read as what they may hold here: plain containers, texts, numbers and tensors."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from vibench.errors import UsageError

_LONGEST = 120
"""Characters of PyTorch's own message that are cited."""
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""Where PyTorch's message names the class or function that it refuses."""


class TorchFileError(ValueError):
    """A file that PyTorch did not write, a damaged one, or one that asks for code; its text says which."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code
        """The class or function that the file asks for; empty where that is not what is wrong."""


def read_torch_file(path: Path, allowed: Sequence[type] = ()) -> Any:
    """What a file holds, on the CPU; no class or function but PyTorch's own tensors and ``allowed`` comes into being.

    Raises `TorchFileError`. ``torch.load`` takes the sizes that an archive declares at their word, so they are compared
    with the bytes that are there first.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        # Opening a pipe waits for somebody who writes.
        raise TorchFileError("it is no regular file")
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):  # type: ignore[arg-type]
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except TorchFileError:
        raise
    except Exception as error:
        # torch.load raises a dozen unrelated types for a truncated, foreign or unsafe file.
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is not None:
            raise TorchFileError(f"it asks for the code of {refused[1]}, which could do anything", refused[1]) from None
        first = " ".join(str(error).partition("\n")[0][:_LONGEST].split())
        raise TorchFileError(f"{type(error).__name__}: {first}" if first else type(error).__name__) from None


def read_state_dict(path: Path, option: str, remedy: str) -> dict[str, Tensor]:
    """A file's state dict, or the one that it holds as ``state_dict``.

    `UsageError` where there is none: ``option`` is what named the file, ``remedy`` what to name instead.
    """
    if not Path(path).is_file():
        raise UsageError(f"{option} {path}: there is no such file; {remedy}.")
    try:
        content = read_torch_file(path)
    except TorchFileError as error:
        raise UsageError(
            f"{option} {path}: is no file that torch.save wrote from a plain state dict ({error}); {remedy}."
        ) from None
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not is_plain_state(state):
        raise UsageError(f"{option} {path}: holds no plain state dict (name -> tensor); {remedy}.")
    return dict(state)


def is_plain(value: Any) -> bool:
    """Whether ``value`` is an ordinary dense tensor on the CPU, with memory of its own for every element."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.untyped_storage().nbytes() >= value.numel() * value.element_size()
    )


def is_plain_state(value: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether ``value`` is a state dict: plain tensors by their names."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and is_plain(tensor) for name, tensor in value.items()
    )


def _check_archive(path: Path) -> None:
    """PyTorch never packs what it saves; an archive of packed members can unpack to any size."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise TorchFileError(f"its member {member.filename!r} is packed, as PyTorch packs none")
