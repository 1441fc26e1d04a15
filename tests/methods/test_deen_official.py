"""DEEN, imported from a checkpoint in the authors' form, agrees with a transcription of its description."""

from __future__ import annotations

import pytest
import torch

from tests.methods.deen_reference import Reference
from tests.training.official import load_fill, outer, read_manifest, write_official
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.methods.baseline import official as baseline
from vibench.training.checkpoint import load_method
from vibench.training.official import import_official
from vibench.training.official_file import read_official_file

SIZE = (96, 48)


@pytest.fixture(scope="module")
def imported(shared, tmp_path_factory) -> tuple[Method, Reference]:
    folder = tmp_path_factory.mktemp("deen")
    path = write_official(shared, "deen", folder)
    import_official("deen", path, folder / "deen.pt", overrides=["height=96", "width=48"])
    return load_method(folder / "deen.pt"), Reference(read_official_file(path).state)


@pytest.fixture(scope="module")
def images(shared) -> dict[str, torch.Tensor]:
    fill = load_fill(shared)
    return {"visible": fill.images(7, 2, *SIZE), "infrared": fill.images(8, 3, *SIZE)}


def assert_agrees(method: Method, reference: Reference, images: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for modality, batch in images.items():
            found = method.embed(batch, modality)
            for ours, theirs in zip((found["pooled"], found["neck"]), reference.features(batch, modality), strict=True):
                ours, theirs = (
                    torch.nn.functional.normalize(x.double(), dim=2) for x in (ours, theirs.transpose(0, 1))
                )
                torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
                # Images are nearly alike: their difference is the sharper check.
                difference = theirs[0] - theirs[1]
                assert (ours[0] - ours[1] - difference).norm() < 1e-3 * difference.norm()


def test_features_of_the_network(imported, images):
    assert_agrees(*imported, images)


def test_the_combined_similarity(imported, images):
    method, reference = imported
    with torch.no_grad():
        visible, infrared = (method.embed(images[side], side)["embedding"] for side in ("visible", "infrared"))
        expected = reference.similarity(images["visible"], images["infrared"], 1.0, 1.0)
    assert visible.shape == (2, 12288)
    torch.testing.assert_close(-method.distances(visible, infrared, "all"), expected, atol=2e-5, rtol=0)


def test_what_the_comparison_can_tell_apart(imported, images):
    """Leaving out any block of the network changes more than the comparison allows."""
    method, _ = imported

    def neck() -> torch.Tensor:
        return torch.nn.functional.normalize(method.embed(images["visible"], "visible")["neck"], dim=2)

    with torch.no_grad():
        whole = neck()
        for aggregation in method.aggregation.values():
            for block in (aggregation.channel, aggregation.position):
                scale = block.norm.weight.clone()
                block.norm.weight.zero_()
                assert (neck() - whole).abs().max() > 1e-4
                block.norm.weight.copy_(scale)
        block = method.aggregation["2"].position
        block.rows_per_channel = 1
        assert (neck() - whole).abs().max() > 1e-4
        block.rows_per_channel = 2


def test_the_network_of_regdb(shared, images, tmp_path):
    shapes = {}
    for name, shape in read_manifest(shared, "deen")["keys"].items():
        # Of what is stored and not used, one tensor stands for all: weights take long to draw.
        unused = name.startswith((*baseline.UNUSED, "base_resnet.base.layer4.1"))
        if name.startswith(("MFA3.", "base_resnet.base.layer4.0", "base_resnet.base.layer4.2")) or (
            unused and not name.endswith("layer4.1.bn1.weight")
        ):
            continue
        if name.startswith("DEE."):
            shape = [size // 2 if size > 3 else size for size in shape]
        elif name.startswith(("bottleneck.", "classifier.")):
            shape = [206 if size == 395 else size // 2 for size in shape]
        shapes[name] = shape
    state = load_fill(shared).fill_state_dict(shapes)
    torch.save(outer(state), tmp_path / "regdb_deen_p4_n6_lr_0.1_seed_0_trial_2_best.t")
    arguments = ("deen", tmp_path / "regdb_deen_p4_n6_lr_0.1_seed_0_trial_2_best.t", tmp_path / "deen.pt")
    import_official(*arguments, dataset="regdb", overrides=["height=96", "width=48"])
    method = load_method(tmp_path / "deen.pt")
    assert_agrees(method, Reference(state, regdb=True), images)
    assert method.embed(images["visible"], "visible")["embedding"].shape == (2, 6144)
    with pytest.raises(UsageError, match="206 identities apart, but sysu-mm01 has 395"):
        import_official(*arguments)
