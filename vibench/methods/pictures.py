"""Pictures that single methods have: each registers its own, in a module ``pictures`` beside the method's.

::

    @picture(DDAG, "weights", where=lambda method: method.part_attention is not None)
    def part_figure(method: DDAG, pairs: Sequence[Pair]) -> Figure: ...

The module imports the method, never the reverse: a method does not know that it is drawn. A method of one's own whose
code is a single file may define ``pictures()`` instead, which returns functions of pairs by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vibench.data.normalise import normalise
from vibench.methods.base import Method
from vibench.methods.registry import method_entry
from vibench.pictures.pair import Pair, PictureFunction, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = TypeVar("Draw", bound=Callable[..., "Figure"])


@dataclass(frozen=True)
class _Picture:
    draw: Callable[[Any, Sequence[Pair]], Figure]
    where: Callable[[Any], bool]


_pictures: dict[type[Method], dict[str, _Picture]] = {}


def picture(of: type[Method], name: str, where: Callable[[Any], bool] = lambda method: True) -> Callable[[Draw], Draw]:
    """Decorator of a function of a method and of pairs: registers what it draws of the class ``of`` as ``name``.

    ``where`` says which instances have it: those whose options switch on what is drawn.
    """

    def register(draw: Draw) -> Draw:
        _pictures.setdefault(of, {})[name] = _Picture(draw, where)
        return draw

    return register


def pictures_of(method: Method) -> dict[str, PictureFunction]:
    """The pictures that only this method has, by the name of their file; `VibenchError` where their module fails."""
    method_entry(method.name).load_beside("pictures")
    found: dict[str, PictureFunction] = {}
    for cls in reversed(type(method).__mro__):
        for name, registered in _pictures.get(cls, {}).items():
            if registered.where(method):
                found[name] = partial(registered.draw, method)
    own = getattr(method, "pictures", None)
    return {**found, **own()} if callable(own) else found


def network_input(method: Method, shown: Shown) -> Tensor:
    """The image as `Method.embed` takes it, (1, 3, H, W), on the method's device."""
    device = next(method.parameters()).device
    return normalise(torch.from_numpy(np.array(shown.pixels[None])).to(device))


def as_maps(values: Tensor, size: tuple[int, int] | torch.Size) -> list[np.ndarray]:
    """Values (N, h * w) over the positions of a map of ``size`` (h, w), row by row, as N arrays (h, w)."""
    return list(values.unflatten(1, tuple(size)).float().cpu().numpy())
