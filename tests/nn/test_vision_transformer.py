"""The vision transformer against torchvision's own, against loops, and its switches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vibench.errors import UsageError
from vibench.nn.backbone import Backbone
from vibench.nn.torchvision_ops import import_torchvision
from vibench.nn.transformer_weights import POSITIONS, TIMM_NAMES, resize_positions, torchvision_name
from vibench.nn.vision_transformer import SHAPES, DropPath, VisionTransformer

SLIM = SHAPES["vit-slim"]


def slim(height: int = 32, width: int = 32, **options: object) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer("vit-slim", height, width, **options)  # type: ignore[arg-type]


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Every parameter is noise: none starts as ones or zeros, which would hide where it is used."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))
    return network


def images(count: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(2))


def torchvision_slim(size: int = 32) -> torch.nn.Module:
    torch.manual_seed(3)
    network = import_torchvision().models.VisionTransformer(
        size, 16, SLIM.blocks, SLIM.heads, SLIM.width, 4 * SLIM.width
    )
    return randomised(network).eval()


def official_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision state dict under timm's names."""
    renamed = {}
    for name, tensor in state.items():
        (theirs, ours), *_ = [pair for pair in TIMM_NAMES if name.startswith(pair[1])] or [("", "")]
        renamed[theirs + name.removeprefix(ours)] = tensor
    return renamed


@pytest.mark.parametrize("names", [lambda state: state, official_names], ids=["torchvision", "timm"])
def test_without_overlap_it_is_torchvisions(names, tmp_path):
    theirs = torchvision_slim()
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("heads.")}
    named = names(state)
    torch.save({**named, "head.weight": torch.zeros(10, SLIM.width), "head.bias": torch.zeros(10)}, tmp_path / "v.pth")
    ours = slim(pretrained=tmp_path / "v.pth").eval()
    theirs.heads = torch.nn.Identity()
    given = images(3)
    with torch.no_grad():
        expected = theirs(given)
        torch.testing.assert_close(ours(visible=given), expected, atol=1e-5, rtol=1e-5)
        # Both modalities pass the same weights; the visible rows come first.
        both = ours(visible=given[:1], infrared=given[1:])
        torch.testing.assert_close(both, expected, atol=1e-5, rtol=1e-5)
    assert isinstance(ours, Backbone) and ours.out_channels == SLIM.width


def test_every_name_of_timm_has_its_place():
    state = slim().state_dict()
    for ours in state:
        if not ours.startswith("drop_path."):
            (name,) = official_names({ours: state[ours]})
            assert torchvision_name(name) == ours != name
    legacy = "encoder.layers.encoder_layer_0.mlp.linear_2.bias"
    assert torchvision_name(legacy) == "encoder.layers.encoder_layer_0.mlp.3.bias" in state


@pytest.mark.parametrize(("size", "grid"), [((256, 128), (21, 10)), ((96, 48), (7, 3)), ((64, 32), (5, 2))])
def test_overlapping_patches_are_counted_as_in_the_official_code(size, grid):
    network = slim(*size, stride=12).eval()
    assert network.grid == grid
    with torch.no_grad():
        assert network(infrared=images(1, *size)).shape == (1, SLIM.width)
    with pytest.raises(ValueError, match=rf"positions for {grid[0]} x {grid[1]}; resize them"):
        network(visible=images(1, size[0] + 32, size[1]))


def test_patches_lie_row_by_row_at_the_stride():
    """A patch is the product of the kernel with its pixels, and token 1 + row * columns + column is its."""
    network = slim(64, 48, stride=12).eval()
    rows, columns = network.grid
    given = images(1, 64, 48)
    tokens = network._tokens(given)[0] - network.encoder.pos_embedding[0]
    torch.testing.assert_close(tokens[0], network.class_token[0, 0])
    kernel, bias = network.conv_proj.weight, network.conv_proj.bias
    for row in range(rows):
        for column in range(columns):
            pixels = given[0, :, 12 * row : 12 * row + 16, 12 * column : 12 * column + 16]
            expected = (kernel * pixels).sum(dim=(1, 2, 3)) + bias
            torch.testing.assert_close(tokens[1 + row * columns + column], expected, atol=1e-5, rtol=1e-5)


def test_attention_is_the_softmax_of_the_products():
    """By loops over heads, from what every block really reads."""
    network = randomised(slim(64, 32, stride=12)).eval()
    given = images(2, 64, 32)
    read: list[Tensor] = []
    for block in network.encoder.layers:
        block.ln_1.register_forward_hook(lambda module, inputs, output: read.append(output))
    with torch.no_grad():
        network(visible=given)
        attention = network.attention(given)
    assert attention.grid == (5, 2) and attention.weights.shape == (SLIM.blocks, 2, SLIM.heads, 11, 11)
    width = SLIM.width // SLIM.heads
    for block, tokens, found in zip(network.encoder.layers, read, attention.weights, strict=False):
        weight, bias = block.self_attention.in_proj_weight, block.self_attention.in_proj_bias
        for head in range(SLIM.heads):
            rows = slice(head * width, (head + 1) * width)
            keys = slice(SLIM.width + head * width, SLIM.width + (head + 1) * width)
            query, key = tokens @ weight[rows].T + bias[rows], tokens @ weight[keys].T + bias[keys]
            expected = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(width), dim=2)
            torch.testing.assert_close(found[:, head], expected)


def test_the_epsilon_of_every_norm():
    network = slim(layer_norm_epsilon=1e-5)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 2 * SLIM.blocks + 1 and {norm.eps for norm in norms} == {1e-5}


def test_dropout_stands_where_the_description_says():
    network = slim(dropout=0.03)
    names = {name for name, module in network.named_modules() if isinstance(module, torch.nn.Dropout) and module.p}
    expected = {f"encoder.layers.encoder_layer_{i}.{part}" for i in range(4) for part in ("dropout", "mlp.2", "mlp.4")}
    assert names == {"encoder.dropout", *expected}
    assert all(block.self_attention.dropout == 0 for block in network.encoder.layers)


def test_drop_path_rises_from_block_to_block():
    network = slim(drop_path=0.3)
    assert [path.per_image.p for path in network.drop_path] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    given = images(1)
    assert torch.equal(network.eval()(visible=given), slim(drop_path=0.0).eval()(visible=given))


def test_drop_path_leaves_out_whole_images_and_keeps_the_mean():
    torch.manual_seed(0)
    path = DropPath(0.25)
    branch = torch.rand(4000, 2, 3) + 1
    ratio = path(branch) / branch
    kept = ratio[:, 0, 0]
    torch.testing.assert_close(ratio, torch.where(kept > 0, 1 / 0.75, 0.0)[:, None, None].expand_as(ratio))
    assert abs((kept > 0).float().mean() - 0.75) < 4 * math.sqrt(0.25 * 0.75 / 4000)
    assert torch.equal(path.eval()(branch), branch)


def test_both_branches_of_a_block_are_dropped_apart():
    """Of an image that drops everything nothing is left but its token; with one draw for both, three quarters would."""
    network = slim(drop_path=0.5).train()
    for path in list(network.drop_path)[:3]:
        path.per_image.p = 0.0
    same = images(1).expand(2000, -1, -1, -1)
    torch.manual_seed(1)
    with torch.no_grad():
        found = network(visible=same)
    counts = sorted(torch.unique(found.mul(1e4).round(), dim=0, return_counts=True)[1].tolist())
    assert len(counts) == 4 and all(abs(count - 500) < 100 for count in counts)


@pytest.mark.parametrize("grid", [(21, 10), (5, 2), (14, 20)])
def test_positions_are_resized_bilinearly(grid):
    positions = torch.randn(1, 1 + 14 * 14, 3, generator=torch.Generator().manual_seed(0))
    found = resize_positions(positions, grid)
    assert found.shape == (1, 1 + grid[0] * grid[1], 3)
    torch.testing.assert_close(found[:, 0], positions[:, 0])

    def mix(place: int, new: int) -> tuple[int, int, float]:
        at = min(max((place + 0.5) * 14 / new - 0.5, 0.0), 13.0)
        low = int(at)
        return low, min(low + 1, 13), at - low

    square = positions[0, 1:].reshape(14, 14, 3)
    for row in range(grid[0]):
        for column in range(grid[1]):
            (up, down, below), (left, right, beside) = mix(row, grid[0]), mix(column, grid[1])
            top = (1 - beside) * square[up, left] + beside * square[up, right]
            bottom = (1 - beside) * square[down, left] + beside * square[down, right]
            expected = (1 - below) * top + below * bottom
            torch.testing.assert_close(found[0, 1 + row * grid[1] + column], expected, atol=1e-5, rtol=1e-5)


def test_positions_of_the_wanted_grid_stay():
    positions = torch.randn(1, 1 + 210, 2)
    assert resize_positions(positions, (21, 10)) is positions
    # 16 patches are a square of 4, and here a grid of 8 x 2 that is given as it is wanted.
    assert resize_positions(positions[:, :17], (8, 2)).shape[1] == 17


def test_starting_weights_have_their_positions_resized(tmp_path):
    state = torchvision_slim(64).state_dict()
    torch.save(official_names(state), tmp_path / "jx.pth")
    network = slim(64, 32, stride=12, pretrained=tmp_path / "jx.pth")
    torch.testing.assert_close(network.encoder.pos_embedding, resize_positions(state[POSITIONS], (5, 2)))
    torch.testing.assert_close(network.conv_proj.weight, state["conv_proj.weight"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"blocks.0.attn.qkv.weight": None}, "lacks encoder.layers.encoder_layer_0.self_attention.in_proj_weight"),
        ({"blocks.0.gamma": torch.zeros(2)}, "has the unknown blocks.0.gamma"),
        ({"norm.bias": torch.zeros(3)}, "has another shape of encoder.ln.bias"),
        ({"pos_embed": torch.zeros(1, 12, 64)}, "has another shape of encoder.pos_embedding"),
        ({"pos_embed": torch.ones(1, 17, 64, dtype=torch.int64)}, "whole or complex numbers in encoder.pos_embedding"),
        ({"pos_embed": torch.ones(1, 17, 64) * 1j}, "whole or complex numbers in encoder.pos_embedding"),
        ({"class_token": torch.zeros(1, 1, 64)}, "holds class_token under two names"),
    ],
)
def test_misfits_are_named(change, sentence, tmp_path):
    state = {**official_names(torchvision_slim().state_dict()), "dist_token": torch.zeros(1), **change}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "v.pth")
    with pytest.raises(UsageError, match=sentence):
        slim(pretrained=tmp_path / "v.pth")


def test_imagenet_means_torchvisions_first_weights(monkeypatch):
    with pytest.raises(UsageError, match="nobody has published weights of vit-slim; start with --pretrained none"):
        slim(pretrained="imagenet")
    asked = []
    models = import_torchvision().models
    with torch.device("meta"):
        whole = models.vit_b_16(weights=None)
    state = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in whole.state_dict().items()}
    monkeypatch.setattr(models.ViT_B_16_Weights, "get_state_dict", lambda self, **_: asked.append(self.name) or state)
    network = VisionTransformer("vit-b-16", 256, 128, 12, pretrained="imagenet")
    assert asked == ["IMAGENET1K_V1"] and not any(parameter.any() for parameter in network.parameters())
