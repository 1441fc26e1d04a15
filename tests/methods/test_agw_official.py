"""AGW under the official code's weights returns the official code's features."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method

OFFICIAL_NAMES = (
    ("visible_module.visible.", "backbone.visible."),
    ("thermal_module.thermal.", "backbone.infrared."),
    ("base_resnet.base.", "backbone.shared."),
    ("NL_2.0.", "backbone.inserted.layer2_2."),
    ("NL_2.1.", "backbone.inserted.layer2_3."),
    ("NL_3.0.", "backbone.inserted.layer3_3."),
    ("NL_3.1.", "backbone.inserted.layer3_4."),
    ("NL_3.2.", "backbone.inserted.layer3_5."),
    (".g.0.", ".g."),
    (".W.0.", ".expand."),
    (".W.1.", ".norm."),
    ("bottleneck.", "neck."),
)


def our_name(official: str) -> str:
    for theirs, ours in OFFICIAL_NAMES:
        official = official.replace(theirs, ours)
    return official


@pytest.fixture(scope="module")
def golden(shared):
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    manifest = json.loads((shared / "checkpoints" / "agw.json").read_text())
    method = build_method(load_recipe("agw"), manifest["class_count"])
    own = method.state_dict()
    # The authors' file holds three whole ResNets; the parts that no forward pass uses have no place here.
    weights = {our_name(key): value for key, value in fill.fill_state_dict(manifest["keys"]).items()}
    method.load_state_dict({name: value for name, value in weights.items() if name in own})
    expected = np.load(shared / "golden" / "models" / "agw.npz", allow_pickle=False)
    return method.eval(), {"visible": fill.images(7), "infrared": fill.images(8)}, expected


@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_features_of_the_official_network(golden, modality):
    method, images, expected = golden
    with torch.no_grad():
        features = method.embed(images[modality], modality)
    pooled = torch.nn.functional.normalize(features["pooled"], dim=1)
    for actual, key in ((features["embedding"], modality), (pooled, f"{modality}_pool")):
        np.testing.assert_allclose(actual.numpy(), expected[key], atol=2e-5, rtol=0)
        # The two images are nearly alike: their difference is the sharper check.
        difference = np.linalg.norm((actual[0] - actual[1]).numpy() - (expected[key][0] - expected[key][1]))
        assert difference < 1e-3 * np.linalg.norm(expected[key][0] - expected[key][1])
