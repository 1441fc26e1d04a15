"""AGW, imported from a checkpoint in the authors' form, returns the official code's features."""

import numpy as np
import pytest
import torch

from tests.training.official import load_fill, write_official
from vibench.training.checkpoint import load_method
from vibench.training.official import import_official


@pytest.fixture(scope="module")
def golden(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agw")
    import_official("agw", write_official(shared, "agw", folder), folder / "agw.pt")
    fill = load_fill(shared)
    expected = np.load(shared / "golden" / "models" / "agw.npz", allow_pickle=False)
    return load_method(folder / "agw.pt"), {"visible": fill.images(7), "infrared": fill.images(8)}, expected


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
