"""Tensors of the simulated devices: their numbers lie on the host, and every operation on them is kept account of."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.simulated_cuda import random
from tests.simulated_cuda.order import HOST, LOCK, Block, Fault, Stream, allocate, current_stream, device_index

_WAITING = {
    "_local_scalar_dense": "a number is read",
    "nonzero": "the size of nonzero's result is read",
    "masked_select": "the size of masked_select's result is read",
    "_unique2": "the size of unique's result is read",
    "unique_dim": "the size of unique's result is read",
    "unique_consecutive": "the size of unique's result is read",
    "equal": "a truth is read",
    "is_nonzero": "a truth is read",
    "bincount": "the size of bincount's result is read",
}
"""Operations that a host cannot give to a stream and leave alone."""

_UNREPEATABLE = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "fractional_max_pool2d_backward",
    "grid_sampler_2d_backward",
    "histc",
    "kthvalue",
    "max_pool3d_with_indices_backward",
    "max_unpool2d",
    "median",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad2d_backward",
    "replication_pad2d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
}
"""Operations of which CUDA has no form that repeats itself, as the documentation of
`torch.use_deterministic_algorithms` lists them; and `cumsum` of floats."""

_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}


@dataclass(frozen=True)
class _Facts:
    """What the schema of an operation says."""

    name: str
    written: tuple[tuple[int, str], ...]
    """Place and name of the arguments that it writes."""
    returned: tuple[int | None, ...]
    """Per result, the place in ``written`` of the argument that it is."""
    view: bool
    random: bool
    composite: bool
    """Made of other operations; in inference mode nobody has taken it apart before it comes here."""


@cache
def _facts(operation: Any) -> _Facts:
    schema = operation._schema
    written = [(place, one) for place, one in enumerate(schema.arguments) if one.alias_info and one.alias_info.is_write]
    sets = [one.alias_info.before_set for _, one in written]
    returned = [
        sets.index(one.alias_info.before_set) if one.alias_info and one.alias_info.is_write else None
        for one in schema.returns
    ]
    return _Facts(
        operation.overloadpacket.__name__,
        tuple((place, one.name) for place, one in written),
        tuple(returned),
        any(one.alias_info is not None and not one.alias_info.is_write for one in schema.returns),
        torch.Tag.nondeterministic_seeded in operation.tags,
        torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd"),
    )


class DeviceTensor(Tensor):
    """A tensor on a simulated device."""

    held: Tensor
    """The numbers."""
    block: Block
    """The memory, shared with its views."""

    @staticmethod
    def __new__(cls, held: Tensor, block: Block) -> DeviceTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=block.home.device,
        )
        made.held, made.block = held, block
        return made

    def record_stream(self, stream: Stream) -> None:
        self.block.recorded.add(stream)

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {self.device} device type tensor to numpy.")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"{self.device}: {self.held!r}"

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if self.dim() == 0 else super().__format__(form)

    # So that modules take the new tensor in the place of the old parameter instead of its memory.
    def __tensor_flatten__(self) -> tuple[list[str], Block]:
        return ["held"], self.block

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], block: Block, size: Any, stride: Any) -> DeviceTensor:
        return DeviceTensor(inner["held"], block)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise Fault("a tensor of a simulated device is pickled, and would be read on a device of that number alone")

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceTensor:
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        memo[id(self)] = copy
        return copy

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(operation, args, kwargs or {})


class Devices(TorchDispatchMode):
    """Brings what is made on a device, or goes to one, there."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if DeviceTensor in types or (device is not None and torch.device(device).type == "cuda"):
            return run(operation, args, kwargs)
        return operation(*args, **kwargs)


DEVICES = Devices()


def run(operation: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation that has to do with a device."""
    name = operation.overloadpacket.__name__
    if _facts(operation).composite:
        with DEVICES:
            return operation.decompose(*args, **kwargs)
    if name == "_to_copy":
        return _to_copy(operation, args[0], kwargs)
    if name == "copy_":
        return _copy(args[0], args[1], args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    if name == "is_pinned":
        return False
    if name == "set_":
        raise Fault("set_ of a tensor of a simulated device")
    return _kernel(operation, args, kwargs)


def _kernel(operation: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    facts = _facts(operation)
    here = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    device = _device_of(facts, here, args, kwargs)
    values = [args[place] if place < len(args) else kwargs.get(name) for place, name in facts.written]
    written = [one for one in pytree.tree_leaves(values) if isinstance(one, Tensor)]
    there = [one for one in here if isinstance(one, DeviceTensor)]
    if any(not isinstance(one, DeviceTensor) for one in written):
        raise RuntimeError(f"{operation}: a tensor of the host is the result of an operation on {device}.")
    inner_args, inner_kwargs = pytree.tree_map_only(DeviceTensor, lambda one: one.held, (tuple(args), kwargs))
    if "device" in inner_kwargs:
        inner_kwargs = inner_kwargs | {"device": torch.device("cpu")}
    if inner_kwargs.get("pin_memory"):
        raise RuntimeError("only dense tensors of the CPU can be pinned")
    stream = current_stream(device)
    _refuse_waits(facts, stream, here, args, kwargs)
    _warn_unrepeatable(facts, there)
    if facts.view and not written:
        found = operation(*inner_args, **inner_kwargs)
        # A view shares the count of changes of its base, which those of inference mode have not.
        with torch.inference_mode(there[0].is_inference()):
            return pytree.tree_map_only(Tensor, lambda one: DeviceTensor(one, there[0].block), found)
    with LOCK:
        count = stream.launch()
        for one in there:
            if not any(one is other for other in written):
                one.block.read(stream, count)
        for one in written:
            one.block.write(stream, count)
        started = time.perf_counter()
        try:
            if facts.random:
                with random.of_device(device.index):
                    found = operation(*inner_args, **inner_kwargs)
            else:
                found = operation(*inner_args, **inner_kwargs)
        except RuntimeError as error:
            if "alloc" in str(error) and "memory" in str(error):
                raise torch.OutOfMemoryError(f"CUDA out of memory. {error}") from None
            raise
        stream.busy += time.perf_counter() - started
        _keep_shapes(operation, facts, args, kwargs, written)
        blocks = {one.held.untyped_storage()._cdata: one.block for one in there}

        def wrapped(one: Tensor) -> Tensor:
            storage = one.untyped_storage()
            if storage._cdata not in blocks:
                blocks[storage._cdata] = allocate(stream, count, storage.nbytes())
            return DeviceTensor(one, blocks[storage._cdata])

        if len(facts.returned) == 1:
            at = facts.returned[0]
            return values[at] if at is not None else pytree.tree_map_only(Tensor, wrapped, found)
        return (
            type(found)(
                values[at] if at is not None else pytree.tree_map_only(Tensor, wrapped, one)
                for at, one in zip(facts.returned, found, strict=True)
            )
            if facts.returned
            else None
        )


def _device_of(facts: _Facts, here: Sequence[Tensor], args: Sequence[Any], kwargs: dict[str, Any]) -> torch.device:
    """Where the operation runs; refused where its tensors lie on several devices, as on a GPU."""
    devices = {one.device for one in here if isinstance(one, DeviceTensor)}
    wanted = kwargs.get("device")
    if wanted is not None and not devices:
        devices = {torch.device("cuda", device_index(wanted))}
    others = [one for one in here if not isinstance(one, DeviceTensor) and one.dim() > 0]
    if facts.name in _INDEXING:
        indices = [one for one in pytree.tree_leaves(args[1]) if isinstance(one, Tensor)]
        others = [one for one in others if not any(one is index for index in indices)]
        if not isinstance(args[0], DeviceTensor):
            others.append(args[0])
    if len(devices) > 1 or others:
        found = ", ".join(sorted({str(one.device) for one in here}))
        raise RuntimeError(f"Expected all tensors to be on the same device, but {facts.name} found {found}.")
    return devices.pop()


def _refuse_waits(
    facts: _Facts, stream: Stream, here: Sequence[Tensor], args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    why = _WAITING.get(facts.name, "")
    if facts.name in _INDEXING:
        indices = [one for one in pytree.tree_leaves(args[1]) if isinstance(one, Tensor)]
        if any(not isinstance(one, DeviceTensor) for one in indices):
            why = "an index is copied from the host"
        elif any(one.dtype in (torch.bool, torch.uint8) for one in indices) and not (
            "put" in facts.name and args[2].numel() == 1
        ):
            why = "the size of what a mask selects is read"
    if facts.name == "repeat_interleave" and kwargs.get("output_size") is None:
        why = "the size of repeat_interleave's result is read"
    if why:
        HOST.wait_within_operation(stream, why)


def _warn_unrepeatable(facts: _Facts, there: Sequence[DeviceTensor]) -> None:
    if not torch.are_deterministic_algorithms_enabled():
        return
    floats = facts.name in ("cumsum", "cumsum_") and there[0].is_floating_point()
    if facts.name in _UNREPEATABLE or floats:
        text = f"{facts.name} does not have a deterministic implementation on CUDA"
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(text)
        warnings.warn(text, stacklevel=2)


def _keep_shapes(
    operation: Any, facts: _Facts, args: Sequence[Any], kwargs: dict[str, Any], written: Sequence[DeviceTensor]
) -> None:
    """Tell tensors that were changed in place their new shape."""
    if torch.Tag.inplace_view in operation.tags:
        with no_dispatch():
            operation(*args, **kwargs)
    for one in written:
        if one.shape != one.held.shape or one.stride() != one.held.stride():
            raise Fault(f"{facts.name} changes the shape of a tensor in place, which is not simulated")


def _to_copy(operation: Any, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
    kwargs = dict(kwargs)
    non_blocking = kwargs.pop("non_blocking", False)
    target = kwargs.pop("device", None)
    target = source.device if target is None else torch.device(target)
    if isinstance(source, DeviceTensor):
        if target.type == "cuda" and device_index(target) == source.device.index:
            return _kernel(operation, (source,), kwargs)
        return _down(operation, source, target, kwargs, non_blocking)
    return _up(operation, source, torch.device("cuda", device_index(target)), kwargs, non_blocking)


def _up(operation: Any, source: Tensor, device: torch.device, kwargs: dict[str, Any], non_blocking: bool) -> Tensor:
    """From the host; of pinned memory the numbers are read when somebody needs them."""
    stream = current_stream(device)
    held = operation(source, **kwargs)
    with LOCK:
        block = allocate(stream, stream.launch(), held.untyped_storage().nbytes())
    if non_blocking and source.is_pinned():
        _poison(held)
        block.uploads.append(lambda: _land(held, source))
    elif not non_blocking:
        HOST.wait_within_operation(stream, "a copy from the host")
    return DeviceTensor(held, block)


def _down(
    operation: Any, source: DeviceTensor, target: torch.device, kwargs: dict[str, Any], non_blocking: bool
) -> Tensor:
    """To the host or another device."""
    stream = current_stream(source.device)
    with LOCK:
        count = stream.launch()
        source.block.read(stream, count)
        held = operation(source.held, **kwargs)
        if target.type == "cuda":
            there = current_stream(target)
            there.wait_event(stream.record_event())
            return DeviceTensor(held, allocate(there, there.launch(), held.untyped_storage().nbytes()))
    if not non_blocking:
        HOST.wait_within_operation(stream, "a copy to the host")
        return held
    on_the_way = torch.empty_like(held)
    _send(held, on_the_way, stream, count)
    return on_the_way


def _copy(into: Tensor, source: Tensor, non_blocking: bool) -> Tensor:
    if isinstance(into, DeviceTensor):
        stream = current_stream(into.device)
        with LOCK:
            count = stream.launch()
            if isinstance(source, DeviceTensor):
                if source.device != into.device:
                    stream.wait_event(current_stream(source.device).record_event())
                source.block.read(stream, count)
            into.block.write(stream, count)
        if isinstance(source, DeviceTensor):
            into.held.copy_(source.held)
        elif non_blocking and source.is_pinned():
            _poison(into.held)
            held = into.held
            into.block.uploads.append(lambda: _land(held, source))
        else:
            into.held.copy_(source)
            if not non_blocking and source.dim() > 0:
                HOST.wait_within_operation(stream, "a copy from the host")
        return into
    assert isinstance(source, DeviceTensor)
    stream = current_stream(source.device)
    with LOCK:
        count = stream.launch()
        source.block.read(stream, count)
    if non_blocking and into.is_pinned():
        _send(source.held.clone(), into, stream, count)
    else:
        if not non_blocking:
            HOST.wait_within_operation(stream, "a copy to the host")
        into.copy_(source.held)
    return into


def _send(values: Tensor, into: Tensor, stream: Stream, count: int) -> None:
    """Bring ``values`` to pinned memory, where they are once the host has waited for the stream."""
    _poison(into)
    HOST.downloads.append((stream, count, lambda: _land(into, values)))


def _land(into: Tensor, values: Tensor) -> None:
    with no_dispatch(), torch.inference_mode():
        into.copy_(values)


def _poison(values: Tensor) -> None:
    """Numbers that nobody takes for results."""
    with no_dispatch(), torch.inference_mode():
        if values.dtype == torch.bool:
            values.fill_(True)
        elif values.is_floating_point():
            values.fill_(float("nan"))
        else:
            values.fill_(torch.iinfo(values.dtype).max)


def overwritten(tensors: Iterator[DeviceTensor]) -> None:
    """What the next replay of a CUDA graph does to the results of the last."""
    for one in tensors:
        stream = current_stream(one.device)
        with LOCK:
            one.block.write(stream, stream.launch())
        _poison(one.held)
