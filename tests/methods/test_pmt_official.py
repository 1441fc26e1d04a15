"""PMT, imported from a checkpoint in the authors' form, agrees with a transcription of its description."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from tests.methods.pmt_reference import Reference
from tests.training.official import load_fill, read_manifest
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.training.checkpoint import load_method, read_checkpoint
from vibench.training.official import import_official

SIZE = (64, 32)
SMALL = ["height=64", "width=32"]
POSITIONS = [1, 1 + 5 * 2, 768]


@pytest.fixture(scope="module")
def state(shared) -> dict[str, Tensor]:
    """The filled weights under the authors' names; positions of a smaller image."""
    shapes = {**read_manifest(shared, "pmt")["keys"], "base.pos_embed": POSITIONS}
    return load_fill(shared).fill_state_dict(shapes)


@pytest.fixture(scope="module")
def imported(state, tmp_path_factory) -> Method:
    folder = tmp_path_factory.mktemp("pmt")
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, folder / "SYSU_best.pth")
    import_official("pmt", folder / "SYSU_best.pth", folder / "pmt.pt", overrides=SMALL)
    checkpoint = read_checkpoint(folder / "pmt.pt")
    assert (checkpoint.num_classes, checkpoint.pretrained) == (395, "jx_vit_base_p16_224-80ecf9dd.pth")
    return load_method(folder / "pmt.pt")


@pytest.fixture(scope="module")
def images(shared) -> Tensor:
    return load_fill(shared).images(7, 3, *SIZE)


def furthest(method: Method, images: Tensor, expected: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """The largest absolute differences of f and of g."""
    with torch.no_grad():
        found = method.embed(images, "visible")
    pairs = zip((found["pooled"], found["neck"]), expected, strict=True)
    before, behind = (float((ours.double() - theirs).abs().max()) for ours, theirs in pairs)
    return before, behind


def test_features_of_the_network(imported, images, state):
    before, behind = furthest(imported, images, Reference(state).features(images))
    assert before < 5e-5 and behind < 5e-5


@contextmanager
def changed(parameter: Tensor, value: Tensor) -> Iterator[None]:
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(value)
    yield
    with torch.no_grad():
        parameter.copy_(kept)


def test_what_the_comparison_can_tell_apart(imported, images, state):
    """The mistakes that are easily made move the features behind the neck by more than is let pass."""
    expected = Reference(state).features(images)
    backbone = imported.backbone
    positions, first = backbone.encoder.pos_embedding, backbone.encoder.layers[0]
    transposed = positions[:, 1:].unflatten(1, (5, 2)).transpose(1, 2).flatten(1, 2)
    packed = first.self_attention.in_proj_weight
    by_head = packed.unflatten(0, (3, 12, 64)).transpose(0, 1).flatten(0, 2)
    without_query = first.self_attention.in_proj_bias.detach().clone()
    without_query[:768] = 0.0
    for parameter, value in (
        (positions, torch.cat([positions[:, :1], transposed], dim=1)),
        (positions, torch.cat([torch.zeros_like(positions[:, :1]), positions[:, 1:]], dim=1)),
        (packed, by_head),
        (first.self_attention.in_proj_bias, without_query),
        (backbone.encoder.ln.bias, torch.zeros(768)),
        (imported.neck.bias, torch.zeros(768)),
    ):
        with changed(parameter, value):
            assert furthest(imported, images, expected)[1] > 1e-2
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.LayerNorm)):
        norm.eps = 1e-6
    assert furthest(imported, images, expected)[1] > 1e-2
    for norm in (module for module in backbone.modules() if isinstance(module, torch.nn.LayerNorm)):
        norm.eps = 1e-5
    assert furthest(imported, images, expected)[1] < 5e-5


def test_another_input_size_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "SYSU_best.pth")
    with pytest.raises(
        UsageError, match=r"--set input\.height=H .* of another shape: base\.pos_embed 1x11x768 instead of 1x211x768"
    ):
        import_official("pmt", tmp_path / "SYSU_best.pth", tmp_path / "pmt.pt")
