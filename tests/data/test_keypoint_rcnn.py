"""Keypoint R-CNN on whole crops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from vibench.data import keypoint_rcnn
from vibench.data.keypoint_rcnn import find_keypoints, joints_of_logits, load_network, pool_whole
from vibench.errors import UsageError, VibenchError


def bilinear(values: np.ndarray, y: float, x: float) -> float:
    """RoIAlign's sample: between whole coordinates, at most the last row and column."""
    y, x = min(y, values.shape[0] - 1), min(x, values.shape[1] - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
    upper = (left + 1 - x) * values[top, left] + (x - left) * values[top, right]
    lower = (left + 1 - x) * values[bottom, left] + (x - left) * values[bottom, right]
    return float((top + 1 - y) * upper + (y - top) * lower)


def test_pooling_a_whole_map_is_roi_align():
    maps = torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    pooled = pool_whole(maps)
    assert pooled.shape == (2, 3, 14, 14)
    for image, channel, row, column in [(0, 0, 0, 0), (1, 2, 13, 13), (0, 1, 5, 11), (1, 0, 13, 0)]:
        samples = [
            bilinear(maps[image, channel].numpy(), (row + down) * 32 / 14, (column + right) * 16 / 14)
            for down in (0.25, 0.75)
            for right in (0.25, 0.75)
        ]
        assert float(pooled[image, channel, row, column]) == pytest.approx(np.mean(samples), abs=1e-5)


def test_joints_are_where_the_head_puts_them():
    logits = torch.zeros(1, 3, 56, 56)
    logits[0, 0, 20, 40] = 30.0
    logits[0, 1, 0, 55] = 30.0
    places, confidence = joints_of_logits(logits)
    assert places[0, 0].tolist() == pytest.approx([40.5 / 56, 20.5 / 56], abs=1e-5)
    assert places[0, 1].tolist() == pytest.approx([55.5 / 56, 0.5 / 56], abs=1e-5)
    assert confidence[0].tolist() == pytest.approx([1.0, 1.0, 25 / 56**2], abs=1e-5)
    # Two neighbours that are equally likely: the joint is between them.
    logits[0, 2, 10, 10] = logits[0, 2, 10, 12] = 30.0
    places, confidence = joints_of_logits(logits)
    assert places[0, 2].tolist() == pytest.approx([11.5 / 56, 10.5 / 56], abs=1e-5)
    assert float(confidence[0, 2]) == pytest.approx(1.0, abs=1e-5)


class BrightSpot(nn.Module):
    """Stands for the network: all joints are where the image is brightest."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.roi_heads = SimpleNamespace(keypoint_head=nn.Identity(), keypoint_predictor=self.predict)

    def backbone(self, images: Tensor) -> dict[str, Tensor]:
        self.seen.append(images)
        return {"2": nn.functional.avg_pool2d(images, 16)}

    def predict(self, pooled: Tensor) -> Tensor:
        bright = nn.functional.interpolate(pooled.mean(dim=1, keepdim=True), scale_factor=4, mode="bilinear")
        return (bright * 20).expand(-1, 17, -1, -1)


def test_every_image_has_its_joints_and_infrared_contrast_is_stretched(tmp_path: Path):
    names, expected = [], []
    for number, (y, x) in enumerate([(0.2, 0.3), (0.7, 0.6), (0.5, 0.5)]):
        pixels = np.full((80, 40), 100, dtype=np.uint8)
        top, left = round(80 * y), round(40 * x)
        pixels[top - 6 : top + 6, left - 3 : left + 3] = 130
        names.append(f"{number}.png")
        expected.append((x, y))
        Image.fromarray(pixels).save(tmp_path / names[-1])
    network = BrightSpot()
    found = find_keypoints(
        network, tmp_path, names, ["visible", "infrared", "visible"], torch.device("cpu"), batch_size=2
    )
    assert found.places.shape == (3, 17, 2) and found.confidence.shape == (3, 17)
    # Samples of the pooling lie half a cell of 32 x 16 off, as those of the weights' training did.
    np.testing.assert_allclose(found.places[1, 0], expected[1], atol=0.05)
    first, second = network.seen
    assert first.shape == (2, 3, 512, 256) and second.shape == (1, 3, 512, 256)
    spread = [float(image.max() - image.min()) for image in (*first, *second)]
    assert spread[1] > 5 * max(spread[0], spread[2])
    assert found.confidence[1].min() > max(found.confidence[0].max(), found.confidence[2].max())


def test_the_real_network_runs_without_compiled_operators(tmp_path: Path):
    """With random weights: whatever it finds is in the image and has a probability."""
    torchvision = keypoint_rcnn.import_torchvision()
    torch.manual_seed(0)
    network = torchvision.models.get_model_builder(keypoint_rcnn.ARCHITECTURE)(weights=None, weights_backbone=None)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 30, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    found = find_keypoints(network, tmp_path, ["a.png"], ["infrared"], torch.device("cpu"))
    assert ((found.places >= 0) & (found.places <= 1)).all()
    assert ((found.confidence > 0) & (found.confidence <= 1)).all()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path):
    path = tmp_path / "weights.pth"
    with pytest.raises(UsageError, match=r"--weights .*weights\.pth: there is no such file"):
        load_network(path)
    path.write_bytes(b"no weights")
    with pytest.raises(UsageError, match="is a text that begins with 'no weights'"):
        load_network(path)
    torch.save([1, 2], path)
    with pytest.raises(UsageError, match="holds a single list, no state dict"):
        load_network(path)
    torch.save({"backbone.x": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match=r"does not fit torchvision's keypointrcnn_resnet50_fpn \(Missing key"):
        load_network(path)


def test_weights_that_cannot_be_downloaded_say_where_to_put_them(monkeypatch: pytest.MonkeyPatch):
    torchvision = keypoint_rcnn.import_torchvision()

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    weights = torchvision.models.get_model_weights(keypoint_rcnn.ARCHITECTURE)
    monkeypatch.setattr(weights, "get_state_dict", unreachable)
    with pytest.raises(VibenchError, match=r"be downloaded from https://.* \(no route to host\); .* --weights FILE"):
        load_network()
