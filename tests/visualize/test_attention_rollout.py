"""Attention roll-out against loops over blocks and tokens, and the picture of a method that has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.methods.checks import small_method
from vibench.methods.recipe import load_recipe
from vibench.nn.vision_transformer import Attention
from vibench.training.run import train
from vibench.training.spec import TrainingSpec
from vibench.visualize.attention_rollout import attention_rollout, has_rollout, rollout_map

IMAGE = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(3))


def test_it_is_the_product_of_the_blocks():
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(3, 2, 2, 7, 7, generator=draw)
    weights /= weights.sum(dim=4, keepdim=True)
    found = attention_rollout(Attention(weights, (3, 2)))
    assert found.shape == (2, 3, 2)
    for image in range(2):
        # What every token is made of, from the first block to the last.
        made = np.eye(7)
        for block in range(3):
            mean = (weights[block, image, 0] + weights[block, image, 1]).numpy() / 2
            made = np.array([sum((mean[i, j] / 2 + (i == j) / 2) * made[j] for j in range(7)) for i in range(7)])
        np.testing.assert_allclose(found[image].flatten().numpy(), made[0, 1:], rtol=1e-6)
        assert 0 < float(found[image].sum()) < 1


def test_attention_to_one_patch_shows_there_alone():
    weights = torch.zeros(1, 1, 1, 5, 5)
    weights[..., 3] = 1.0
    expected = torch.tensor([[0.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    assert torch.equal(attention_rollout(Attention(weights, (2, 2)))[0], expected)


def test_the_map_of_a_method():
    method = small_method("pmt").eval()
    assert has_rollout(type(method)) and not has_rollout(type(small_method("agw")))
    heat = rollout_map(method, IMAGE, "infrared")
    assert heat.shape == (5, 2) and heat.dtype == np.float32 and (heat > 0).all() and heat.sum() < 1
    assert np.array_equal(heat, rollout_map(method, IMAGE, "infrared")) and not method.training


def test_the_picture_of_a_transformer(sysu_twin: Path, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")
    from tests.pictures.test_panels import panels_of
    from tests.visualize.test_gallery import gallery, prepared
    from vibench.visualize.request import PictureRequest

    changes = ("backbone=vit-slim", "height=64", "width=32", "epochs=1", "batches_per_epoch=1", "sampler.images=2")
    recipe = load_recipe("pmt", "", "sysu-mm01-twin", changes)
    spec = TrainingSpec(recipe, sysu_twin, pretrained="none", folder=tmp_path / "run")
    run = prepared(train(spec, device="cpu", cache=tmp_path / "cache").path, "sysu-all", PictureRequest())
    shown = gallery(run, queries=("worst",), count=2)
    (name, figure), *others = shown.gradcam().items()
    assert name == "rollout" and not others
    assert "attention roll-out" in " ".join(text.get_text() for text in figure.texts)
    panels = panels_of(figure)
    assert len(panels) == 2 * 4 and panels[1].images[1].get_array().shape == (5, 2)
