"""Files of weights as people bring them: where in the file the state dict is, and under which prefix its names stand.

A state dict is a dictionary of plain tensors by their names. It is the file itself, or lies in dictionaries under names
such as ``net`` or ``state_dict``, with numbers of the training beside it. A wrapper of the network, such as
`torch.nn.DataParallel`, has put a prefix before every name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vibench.errors import UsageError, cited
from vibench.files.plain_data import PLAIN_DATA
from vibench.files.safetensors import is_safetensors, read_safetensors
from vibench.files.toml import shown
from vibench.files.torch_file import TorchFileError, is_plain, is_plain_state, read_torch_file
from vibench.files.unreadable import PLAIN_SAVE

USUAL_NAMES = (
    "net",
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net_state_dict",
    "model_state",
    "state",
    "weights",
    "params",
)
"""Names under which training scripts save the state dict of their network."""
_OF_TRAINING = ("optim", "sched", "scaler")
"""Parts of the names of what is no network."""
_DEEPEST = 4
"""Dictionaries within one another that are looked into, and parts of a prefix."""
WRAPPERS = ("module.", "_orig_mod.")
"""What `torch.nn.DataParallel` and `torch.compile` put before every name."""


@dataclass(frozen=True)
class Weights:
    """A state dict and what lies beside it."""

    state: dict[str, Tensor]
    """On the CPU, without `WRAPPERS`."""
    key: str = ""
    """Where it lies: the names of the dictionaries, with dots between; empty where it is the file itself."""
    entries: Mapping[str, Any] = field(default_factory=dict)
    """What lies beside it and beside the dictionaries that it lies in."""


def read_content(path: Path) -> Any:
    """What a file of PyTorch's or of the safetensors format holds; `TorchFileError` where it is neither."""
    path = Path(path)
    try:
        if not is_safetensors(path):
            return read_torch_file(path, PLAIN_DATA)
        return read_safetensors(path)
    except TorchFileError:
        raise
    except OSError as error:
        raise TorchFileError(f"cannot be read ({error.strerror or error})", "make it readable") from None
    except ValueError as error:
        raise TorchFileError(f"is a damaged file of the safetensors format ({error})") from None


def find_weights(content: Any, key: str = "", *, asks: bool = False) -> Weights:
    """The state dict in what a file holds, or that at ``key``.

    ``asks``: whether the user can name one of several with ``--key``. `TorchFileError` where there is none, or several
    that could be meant.
    """
    if not isinstance(content, Mapping):
        raise TorchFileError(
            f"holds a single {type(content).__name__}, no state dict and no dictionary with one",
            f"in the code that wrote it, save its weights alone: {PLAIN_SAVE}",
        )
    found = dict(_states(content))
    at = _asked(found, key) if key else _meant(found, content, asks)
    return Weights(_unwrapped(found[at]), ".".join(at), _beside(content, at))


def read_state_dict(path: Path, option: str, remedy: str) -> dict[str, Tensor]:
    """A file's state dict, wherever it lies in the file.

    `UsageError` where there is none: ``option`` is what named the file, ``remedy`` what to name instead.
    """
    if not Path(path).exists():
        raise UsageError(f"{option} {path}: there is no such file; {remedy}.")
    try:
        return find_weights(read_content(path)).state
    except TorchFileError as error:
        raise UsageError(f"{option} {path}: {error}, or {remedy}.") from None


def fitting_prefixes(state: Mapping[str, Tensor], known: Callable[[str], bool]) -> list[str]:
    """The prefix behind which most names are ``known``, empty where none are.

    Behind it come those with more than half as many, for each of which a network of its own seems to be there.
    """
    counts: Counter[str] = Counter()
    for name in state:
        for prefix in _prefixes(name):
            if known(name[len(prefix) :]):
                counts[prefix] += 1
    # The first of equal ones is the shortest.
    ordered = sorted(counts, key=lambda prefix: (-counts[prefix], len(prefix)))
    return [prefix for prefix in ordered if 2 * counts[prefix] > counts[ordered[0]]] or [""]


def _prefixes(name: str) -> Iterator[str]:
    yield ""
    end = -1
    for _ in range(_DEEPEST):
        end = name.find(".", end + 1)
        if end < 0:
            return
        yield name[: end + 1]


def _states(content: Mapping[Any, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Tensor]]]:
    """Every state dict by where it lies, each once."""
    seen: set[int] = set()

    def walk(value: Mapping[Any, Any], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Tensor]]]:
        if id(value) in seen:
            return
        seen.add(id(value))
        if value and is_plain_state(value):
            yield at, value
            return
        if len(at) < _DEEPEST:
            for name, inner in value.items():
                if isinstance(name, str) and isinstance(inner, Mapping) and not _of_training(name):
                    yield from walk(inner, (*at, name))

    return walk(content, ())


def _of_training(name: str) -> bool:
    return any(part in name.lower() for part in _OF_TRAINING)


def _asked(found: Mapping[tuple[str, ...], Any], key: str) -> tuple[str, ...]:
    inside = [at for at in found if ".".join(at) == key or ".".join(at).startswith(f"{key}.")]
    if len(inside) != 1:
        raise TorchFileError(
            f"holds {'several state dicts' if inside else 'no state dict'} at --key {key}, but "
            f"{_listed(found) or 'none anywhere'}",
            "choose one of those" if found else "name another file",
        )
    return inside[0]


def _meant(
    found: Mapping[tuple[str, ...], Mapping[str, Tensor]], content: Mapping[Any, Any], asks: bool
) -> tuple[str, ...]:
    """Where the state dict of the network lies, as far as names tell."""
    if not found:
        raise _no_state(content)
    usual = [at for at in found if not at or at[-1] in USUAL_NAMES]
    (first, *others) = usual or list(found)
    if usual and not others:
        # Averages of the weights (EMA, SWA) have the names of the network itself.
        names = set(_unwrapped(found[first]))
        others = [at for at in found if at != first and 2 * len(names & set(_unwrapped(found[at]))) > len(names)]
    if not others:
        return first
    remedy = f"choose one with --key, such as --key {'.'.join(first)}" if asks else "save the one you mean by itself"
    raise TorchFileError(f"holds several sets of weights: {_listed(found)}", remedy)


def _listed(found: Mapping[tuple[str, ...], Mapping[str, Tensor]]) -> str:
    return cited([f"{'.'.join(at) or 'itself'} ({len(state)} tensors)" for at, state in found.items()], 8)


def _no_state(content: Mapping[Any, Any]) -> TorchFileError:
    """Names what stands in the way of the dictionary that comes nearest."""
    inner = [value for name, value in content.items() if isinstance(value, Mapping) and name in USUAL_NAMES]
    nearest = max((content, *inner), key=lambda one: sum(is_plain(value) for value in one.values()))
    nearest = inner[0] if inner and not any(is_plain(value) for value in nearest.values()) else nearest
    odd = [name for name, value in nearest.items() if not (isinstance(name, str) and is_plain(value))]
    what = shown(odd[0]) if odd else "nothing"
    return TorchFileError(
        f"holds no state dict, neither by itself nor in an entry such as 'net': {what} where only named tensors belong",
        f"in the code that wrote it, save its weights alone: {PLAIN_SAVE}",
    )


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(state)
    while True:
        for wrapper in WRAPPERS:
            if all(name.startswith(wrapper) for name in names):
                names = [name.removeprefix(wrapper) for name in names]
                break
        else:
            return {name: tensor.detach() for name, tensor in zip(names, state.values(), strict=True)}


def _beside(content: Mapping[Any, Any], at: tuple[str, ...]) -> dict[str, Any]:
    """What lies in the dictionaries along the way, the outer before the inner."""
    entries: dict[str, Any] = {}
    inner: Any = content
    for name in at:
        entries = {**{key: value for key, value in inner.items() if isinstance(key, str) and key != name}, **entries}
        inner = inner[name]
    return entries
