"""MPANet against a literal transcription of its definition, and as a network that trains."""

import itertools
import math
from random import Random

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from PIL import Image, ImageOps

from tests.datasets import mini
from tests.methods.checks import MAP_WIDTH
from tests.methods.literal import official as literal
from vibench.data.augmentation import draw_augmentation
from vibench.data.batch import Batch
from vibench.losses import centre_cluster, hard_triplet
from vibench.methods.base import Method
from vibench.methods.mpanet.attention import ModalityAlleviation, separability
from vibench.methods.mpanet.modality_learning import ModalityLearning
from vibench.methods.mpanet.official import KEYS, UNUSED
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry
from vibench.training.checkpoint import load_method, read_checkpoint
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SMALL = ("model.backbone=resnet18-slim", "height=64", "width=32")
CASES = [(variant, []) for variant in ("", *method_entry("mpanet").recipe_file.variants)] + [
    ("", ["mam=layer4", "patterns=1"]),
    ("", ["classification=false", "last_stride=2"]),
    ("", ["pam=false", "normalise=false"]),
]


def build(variant: str = "", overrides: list[str] | None = None, dataset: str = "sysu-mm01") -> Method:
    torch.manual_seed(0)
    return build_method(load_recipe("mpanet", variant, dataset, [*SMALL, *(overrides or [])]), 6)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch(
        images=torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(1)),
        labels=torch.tensor([4, 4, 1, 1, 5, 5]).repeat(2),
        modality=torch.tensor([0] * 6 + [1] * 6),
        cameras=torch.tensor([1] * 6 + [3] * 6),
    )


def literal_embedding(images: torch.Tensor, weights: literal.Weights) -> torch.Tensor:
    """g, not normalised."""
    x = literal.stem(images, weights, "backbone")
    for layer, blocks in literal.BLOCKS.items():
        for block in range(blocks):
            x = literal.bottleneck(x, weights, f"backbone.layer{layer}.{block}", literal.stride_of(layer, block))
        if layer >= 3:
            attention = f"backbone.MAM{layer}.channel_attention"
            hidden = functional.conv2d(x.mean(dim=(2, 3), keepdim=True), weights[f"{attention}.0.weight"]).relu()
            mask = torch.sigmoid(functional.conv2d(hidden, weights[f"{attention}.2.weight"]))
            mean = x.mean(dim=(2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
            x = mask * x + (1 - mask) * (x - mean) / torch.sqrt(variance + 1e-5)
    masks = torch.sigmoid(functional.conv2d(x, weights["spatial_attention.weight"], weights["spatial_attention.bias"]))
    positions = x.shape[2] * x.shape[3]
    parts = [(masks[:, i : i + 1] * x).sum(dim=(2, 3)) / positions for i in range(6)]
    return literal.norm(torch.cat([*parts, x.sum(dim=(2, 3)) / positions], dim=1), weights, "bn_neck")


def test_features_are_those_of_the_official_definition(shared):
    weights = literal.official_weights(shared, "mpanet", UNUSED)
    method = build_method(load_recipe("mpanet"), 395).eval()
    ours = literal.renamed(weights, KEYS)
    missing = set(method.state_dict()) - set(ours)
    assert missing == {"modality_learning.epochs_trained"}
    method.load_state_dict({**method.state_dict(), **ours})
    images = literal.load_fill(shared).images(7, 2, 192, 64)
    with torch.no_grad():
        expected = literal_embedding(images, weights)
        features = {modality: method.embed(images, modality) for modality in ("visible", "infrared")}
    assert expected.shape == (2, 14336)
    assert torch.equal(features["visible"]["embedding"], features["infrared"]["embedding"])
    normalised = functional.normalize(expected, dim=1)
    actual = features["visible"]["embedding"]
    torch.testing.assert_close(actual, normalised, atol=2e-5, rtol=0)
    # The images are nearly alike: their difference is the sharper check.
    difference = (actual[0] - actual[1]) - (normalised[0] - normalised[1])
    assert difference.norm() < 1e-3 * (normalised[0] - normalised[1]).norm()
    torch.testing.assert_close(features["visible"]["neck"], expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_alleviation_and_its_gradients(layout):
    torch.manual_seed(0)
    module = ModalityAlleviation(32).double()
    maps = torch.randn(3, 32, 5, 4, dtype=torch.float64).relu().to(memory_format=layout).requires_grad_()
    hidden = functional.conv2d(maps.mean(dim=(2, 3), keepdim=True), module.squeeze.weight).relu()
    mask = functional.conv2d(hidden, module.excite.weight).sigmoid()
    expected = mask * maps + (1 - mask) * functional.instance_norm(maps)
    actual = module(maps)
    torch.testing.assert_close(actual, expected)
    assert actual.is_contiguous(memory_format=layout)
    into = (maps, module.squeeze.weight, module.excite.weight)
    weight = torch.randn_like(maps)
    for ours, theirs in zip(
        *(torch.autograd.grad((weight * out).sum(), into) for out in (actual, expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_alleviation_leaves_half_precision_for_its_statistics():
    """Around 200 bfloat16 steps by one: a mean that is rounded so would move the whole normalised map."""
    torch.manual_seed(0)
    module = ModalityAlleviation(16)
    maps = (200 + torch.randint(0, 4, (2, 16, 6, 3))).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = module(maps)
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.float(), module(maps.float()), rtol=0.01, atol=0.01)
    actual.sum().backward()
    assert maps.grad.dtype == torch.bfloat16 and torch.isfinite(maps.grad).all()


def test_parameters_start_as_defined():
    method = build()
    assert (method.neck.weight == 1).all() and not method.neck.bias.requires_grad
    assert (method.masks.masks.bias == 0).all()
    learning = method.modality_learning
    for modality in ("visible", "infrared"):
        assert torch.equal(learning.means[modality].weight, learning.classifiers[modality].weight)
        assert learning.means[modality].weight is not learning.classifiers[modality].weight
        assert not learning.means[modality].weight.requires_grad
    squeeze = ModalityAlleviation(1024).squeeze.weight
    assert squeeze.shape == (64, 1024, 1, 1)
    assert squeeze.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.02)  # fan-out: 64
    assert set(method.backbone.inserted) == {"layer3_1", "layer4_1"}
    assert set(build("", ["mam=layer4"]).backbone.inserted) == {"layer4_1"}


@pytest.mark.parametrize(("variant", "overrides"), CASES)
def test_trains_and_embeds(variant, overrides, batch):
    method = build(variant, overrides).train()
    options = method.model_options
    losses = method.losses(batch)
    present = {
        "identity": options.classification,
        "metric": options.metric_loss != "none",
        "separability": options.pam,
        "modality": options.mutual,
        "mutual": options.mutual,
    }
    assert set(losses) == {name for name, on in present.items() if on} <= set(method.loss_names)
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert not [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)

    groups = method.parameter_groups(method.recipe)
    assert [group["lr_factor"] for group in groups] == [1.0, 1.0]
    grouped = [id(p) for p in itertools.chain.from_iterable(group["params"] for group in groups)]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)

    method.eval()
    with torch.no_grad():
        features = method.embed(batch.images[:6], "visible")
    width = MAP_WIDTH * (options.patterns + 1 if options.pam else 1)
    assert features["embedding"].shape == (6, width) and features["embedding"].dtype == torch.float32
    expected = functional.normalize(features["neck"]) if options.normalise else features["neck"]
    torch.testing.assert_close(features["embedding"], expected)
    again = build(variant, overrides).eval()
    again.load_state_dict(method.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.embed(batch.images[:6], "infrared")["embedding"], features["embedding"])


def test_losses_meet_f_before_and_g_behind_the_neck(batch):
    method = build().eval()
    losses, features = method.losses(batch), method.embed(batch.images, "visible")
    logits = features["neck"] @ method.classifier.weight.T
    torch.testing.assert_close(losses["identity"], functional.cross_entropy(logits, batch.labels))
    torch.testing.assert_close(losses["metric"], centre_cluster(features["pooled"], batch.labels, 0.7))
    triplet = build("triplet").eval()
    expected = hard_triplet(triplet.embed(batch.images, "visible")["pooled"], batch.labels, 0.3)
    torch.testing.assert_close(triplet.losses(batch)["metric"], expected)
    centre = build("centre").eval()
    pooled = centre.embed(batch.images, "visible")["pooled"]
    squares = [((pooled[b] - centre.centre_loss.centres[y]) ** 2).sum() for b, y in enumerate(batch.labels)]
    torch.testing.assert_close(centre.losses(batch)["metric"], sum(squares) / (12 * 6))


def test_separability_is_the_mean_over_pairs_of_summed_products():
    masks = torch.rand(3, 6, 4, 2)
    total = 0.0
    for image in masks:
        for i, j in itertools.combinations(range(6), 2):
            total += (image[i] * image[j]).sum().item()
    assert separability(masks).item() == pytest.approx(total / (3 * 15), rel=1e-5)
    assert separability(masks[:, :1]) == 0


def test_modality_learning_equals_its_definition():
    torch.manual_seed(0)
    learning = ModalityLearning(5, 4, rate=0.2).eval()
    for mean in learning.means.parameters():
        mean.normal_()
    # Blocks of different size, as with two visible views.
    visible, infrared = torch.randn(4, 5, requires_grad=True), torch.randn(2, 5, requires_grad=True)
    labels_v, labels_i = torch.tensor([0, 1, 3, 3]), torch.tensor([1, 2])
    identity, mutual = learning(visible, infrared, labels_v, labels_i)

    def reference():
        rows, cross_entropy = [], {"visible": [], "infrared": []}
        for modality, other, features, labels in (
            ("visible", "infrared", visible, labels_v),
            ("infrared", "visible", infrared, labels_i),
        ):
            for row, label in zip(features, labels, strict=True):
                q = torch.softmax(learning.classifiers[modality].weight @ row, dim=0)
                taught = torch.softmax(learning.means[other].weight @ row.detach(), dim=0)
                rows.append((q * (q.log() - taught.log())).sum())
                cross_entropy[modality].append(-q[label].log())
        return sum(sum(terms) / len(terms) for terms in cross_entropy.values()), sum(rows) / 6

    expected_identity, expected_mutual = reference()
    torch.testing.assert_close(identity, expected_identity)
    torch.testing.assert_close(mutual, expected_mutual)
    wanted = [visible, infrared, *learning.classifiers.parameters()]
    for actual, expected in zip(
        torch.autograd.grad(mutual, wanted), torch.autograd.grad(expected_mutual, wanted), strict=True
    ):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(("epoch", "rate"), [(1, 0.2), (99, 0.2), (100, 20 / 101), (140, 20 / 141)])
def test_temporal_means_follow_before_they_teach(epoch, rate):
    torch.manual_seed(0)
    method = build().train()
    if epoch > 1:
        method.end_of_epoch(epoch - 2, {})  # epochs of the trainer count from 0
    learning = method.modality_learning
    start = learning.means["visible"].weight.normal_().clone()
    arguments = torch.randn(2, MAP_WIDTH * 7), torch.randn(2, MAP_WIDTH * 7), torch.tensor([0, 1]), torch.tensor([0, 1])
    mutual = learning(*arguments)[1]
    expected = (1 - rate) * start + rate * learning.classifiers["visible"].weight
    torch.testing.assert_close(learning.means["visible"].weight, expected)
    learning.eval()
    torch.testing.assert_close(learning(*arguments)[1], mutual)
    torch.testing.assert_close(learning.means["visible"].weight, expected)


def test_recipes_per_data_set():
    sysu, regdb = load_recipe("mpanet"), load_recipe("mpanet", dataset="regdb")
    assert (sysu.input.height, sysu.input.width, sysu.input.interpolation) == (384, 128, "bilinear")
    assert (sysu.sampler.kind, sysu.sampler.identities, sysu.sampler.images) == ("exhaustive", 16, 4)
    assert (sysu.schedule.milestones, regdb.schedule.milestones) == ((80, 120), (110,))
    assert sysu.model.margin == regdb.model.margin == 0.7  # no official step comes near it
    assert (regdb.input.height, regdb.sampler.identities, regdb.sampler.images) == (256, 12, 5)
    weights = {"identity": 1.0, "metric": 1.0, "separability": 0.5, "modality": 1.0, "mutual": 2.5}
    assert sysu.loss_weights == regdb.loss_weights == weights


@pytest.mark.parametrize(("method", "variant"), [("mpanet", ""), ("paenet", "mpanet-pae-aal")])
def test_rectangles_are_those_of_the_torchvision_that_the_authors_pin(method, variant):
    """Version 0.4 draws an area and a ratio of height to width, both uniformly, until the rectangle fits."""
    recipe = load_recipe(method, variant)
    height, width = recipe.input.height, recipe.input.width
    random, reference = Random(0), []
    for _ in range(20000):
        for _ in range(10):
            area, ratio = random.uniform(0.02, 0.33) * height * width, random.uniform(0.3, 3.3)
            high, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if high < height and wide < width:
                reference.append((high, wide))
                break
    drawn = draw_augmentation(recipe.augmentation, 40000, height, width, np.random.default_rng(1)).erased
    erased = drawn[drawn[:, 2] > 0, 2:]
    assert abs(len(erased) / len(drawn) - 0.5) < 0.02
    assert np.allclose(np.mean(reference, axis=0), (118.7, 67.7), atol=1.5), "of 200,000 draws by torchvision 0.4.0"
    assert np.allclose(erased.mean(axis=0), (118.7, 67.7), atol=1.5)
    shares = np.linspace(0.05, 0.95, 19)
    assert np.allclose(np.quantile(erased, shares, axis=0), np.quantile(reference, shares, axis=0), atol=4)


@pytest.mark.parametrize(("method", "variant"), [("mpanet", ""), ("paenet", "mpanet-pae-aal")])
def test_padding_has_the_colour_that_pillow_makes_of_the_authors_number(method, variant):
    recipe = load_recipe(method, variant).augmentation
    padded = ImageOps.expand(Image.new("RGB", (4, 4), "white"), border=recipe.pad, fill=127)
    assert padded.getpixel((0, 0)) == recipe.pad_colour == (127, 0, 0)


def test_regdb_ranks_by_euclidean_distance_of_g(batch):
    sysu, regdb = build().eval(), build(dataset="regdb").eval()
    assert (sysu.distance, regdb.distance) == ("cosine", "euclidean")
    with torch.no_grad():
        query = regdb.embed(batch.images[:3], "visible")["embedding"]
        gallery = regdb.embed(batch.images[6:], "infrared")["embedding"]
        expected = (query[:, None] - gallery[None]).square().sum(dim=2).sqrt()
        torch.testing.assert_close(regdb.distances(query, gallery, "all"), expected, atol=1e-3, rtol=1e-3)


def test_two_steps_of_training(tmp_path, monkeypatch):
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    short = ("identities=2", "sampler.images=2", "schedule.epochs=2", "schedule.milestones=[1]", "batches_per_epoch=1")
    spec = TrainingSpec(
        load_recipe("mpanet", overrides=[*SMALL, *short]),
        root=mini.write_sysu(tmp_path / "sysu-mm01"),
        pretrained="none",
        folder=tmp_path / "run",
    )
    run = train(spec, device="cpu")
    weights = read_checkpoint(run.checkpoint_path).model
    assert weights["modality_learning.epochs_trained"] == 2
    for modality in ("visible", "infrared"):
        name = f"modality_learning.{{}}.{modality}.weight"
        assert not torch.equal(weights[name.format("means")], weights[name.format("classifiers")])
    with torch.no_grad():
        assert (
            load_method(run.checkpoint_path).embed(torch.randn(1, 3, 64, 32), "visible")["embedding"].isfinite().all()
        )
