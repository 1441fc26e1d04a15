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

from vibench.files.unreadable import DAMAGED, PLAIN_SAVE, unreadable_kind

_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
"""Where PyTorch's message names the class or function that it refuses."""


class TorchFileError(ValueError):
    """Why a file is not read: ``FILE: {what}; {remedy}``. ``str`` gives both."""

    def __init__(self, what: str, remedy: str = "fetch it again", code: str = "") -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy
        self.code = code
        """The class or function that the file asks for; empty where that is not what is wrong."""


def read_torch_file(path: Path, allowed: Sequence[type] = ()) -> Any:
    """What a file holds, on the CPU; no class or function but PyTorch's own tensors and ``allowed`` comes into being.

    Raises `TorchFileError`, whose words are ours. ``torch.load`` takes the sizes that an archive declares at their
    word, so they are compared with the bytes that are there first.
    """
    path = Path(path)
    try:
        if not path.is_file():
            # Opening a pipe waits for somebody who writes.
            raise _no_regular_file(path)
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
            raise TorchFileError(
                f"asks for the code of {refused[1]}, which could do anything; only plain tensors and numbers are read",
                f"in the code that wrote it, save its weights alone: {PLAIN_SAVE}",
                refused[1],
            ) from None
        raise unreadable(path) from None


def unreadable(path: Path) -> TorchFileError:
    """The reason why PyTorch does not read ``path``, from what it is."""
    try:
        kind = unreadable_kind(path)
    except OSError as error:
        return TorchFileError(f"cannot be read ({error.strerror or error})", "make it readable")
    return TorchFileError(f"is {kind.name}", kind.remedy)


def _no_regular_file(path: Path) -> TorchFileError:
    if path.is_dir():
        return unreadable(path)
    if path.exists():
        return TorchFileError("is no regular file", "name a file")
    return TorchFileError("there is no such file", "check its name")


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
                kind = unreadable_kind(path)
                if kind is not DAMAGED:
                    raise TorchFileError(f"is {kind.name}", kind.remedy)
                raise TorchFileError(
                    f"was packed again: its member {member.filename!r} is packed, as PyTorch packs none",
                    "fetch the file as it was",
                )
