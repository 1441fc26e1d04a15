"""Pose against `tests.methods.literal.pose`: losses and gradients, the test-time distance, and training steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.methods.checks import small_method, two_step_trainer
from tests.methods.literal import pose as literal
from tests.methods.literal.comparison import (
    TOLERANCE,
    assert_same,
    assert_same_losses,
    assert_trains_alike,
    keep_float64,
    leaves,
    renamed,
    scrambled,
)
from tests.methods.literal.numerics import Network
from vibench.data.batch import Batch
from vibench.losses import hetero_centre_triplet, identity_loss
from vibench.methods.base import Method
from vibench.methods.pose.losses import distillation, heatmap_loss, mid_centre_contrast
from vibench.methods.recipe import load_recipe
from vibench.training.schedule import learning_rate

NARROW = ("part_dim=24", "teacher_dim=20")
SIX_ROWS = (*NARROW, "height=96")
"""A map of six rows, and so six parts of one row; in one of four they overlap."""
OTHERS = ("mean_heatmap", "heatmaps_seen")

_CONV, _NORM = r"(weight|bias)", r"(weight|bias|running_mean|running_var)"


def _block(ours: str, theirs: str) -> list[tuple[str, str]]:
    """Names of a convolution or linear layer and the norm behind it; ``theirs`` may use the groups of ``ours``."""
    group = ours.count("(") + 1
    return [
        (rf"{ours}\.0\.{_CONV}", rf"{theirs}.\{group}"),
        (rf"{ours}\.1\.{_NORM}", rf"{theirs}.norm.\{group}"),
    ]


NAMES = (
    (r"(backbone\..*)", r"\1"),
    *_block(r"branch\.(conv1|dconv2|initial|conv3)", r"pose.\1"),
    *_block(r"branch\.block6\.0", "pose.block6.0"),
    (rf"branch\.block6\.1\.{_CONV}", r"pose.block6.1.\1"),
    (rf"branch\.block6\.2\.{_NORM}", r"pose.block6.1.norm.\1"),
    *_block(r"branch\.refinement\.0\.(..coder.\.[01])", r"pose.u.\1"),
    *(
        pair
        for block in range(3)
        for pair in (
            (rf"branch\.refinement\.{block + 1}\.initial\.0\.{_CONV}", rf"pose.refine.{block}.initial.\1"),
            *_block(rf"branch\.refinement\.{block + 1}\.trunk\.([01])", rf"pose.refine.{block}.trunk.\1"),
        )
    ),
    (r"heatmaps\.0\.(.*)", r"pose.heatmap.0.\1"),
    (r"heatmaps\.2\.(.*)", r"pose.heatmap.1.\1"),
    (r"(id|pose)_parts\.embed\.(\d)\.0\.(.*)", r"part.\1.\2.linear.\3"),
    (r"(id|pose)_parts\.embed\.(\d)\.1\.(.*)", r"part.\1.\2.norm.\3"),
    (r"(id|pose)_parts\.classifiers\.(\d)\.1\.(.*)", r"part.\1.\2.classifier.\3"),
    (r"teacher\.embed\.0\.(.*)", r"teacher.linear.\1"),
    (r"teacher\.embed\.1\.(.*)", r"teacher.norm.\1"),
    (r"teacher\.classifier\.1\.(.*)", r"teacher.classifier.\1"),
)

CASES = {
    "": ("", [], literal.Switches()),
    "parts": (
        "",
        ["parts=2", "feature_scale=2", "margin=1", "temperature=3"],
        literal.Switches(parts=2, scale=2.0, margin=1.0, temperature=3.0),
    ),
    "taught": ("teacher-ce", ["heatmap_channels=17"], literal.Switches(teacher="ce_detach")),
    # New parts lie too far apart for the code's margin.
    "code": ("code", ["margin=2.5"], literal.Switches(tri="midcontrast", margin=2.5)),
    "peb": ("peb", [], literal.Switches(hfc=False, pose_loss=False)),
    "baseline": ("baseline", [], literal.Switches(peb=False, hfc=False, pose_loss=False)),
}


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    keep_float64(monkeypatch)


def batch_of(method: Method, known: tuple[bool, ...] = (True, False, True, True) * 2) -> Batch:
    """Two identities with two images each in both modalities; the heatmaps of some are unknown."""
    draw = torch.Generator().manual_seed(5)
    size, channels = method.recipe.input, method.heatmap_channels()
    images = torch.randn(8, 3, size.height, size.width, generator=draw, dtype=torch.float64)
    modality = torch.tensor([0] * 4 + [1] * 4)
    return Batch(
        images=images,
        labels=torch.tensor([4, 4, 1, 1] * 2),
        modality=modality,
        cameras=1 + 2 * modality,
        heatmaps=torch.rand(8, channels, size.height // 4, size.width // 4, generator=draw, dtype=torch.float64),
        heatmaps_known=torch.tensor(known),
    )


def literal_losses(net: Network, batch: Batch, switches: literal.Switches) -> dict[str, Tensor]:
    result = literal.batch_outputs(net, *batch.images.chunk(2), switches)
    return literal.losses(result, batch.labels, batch.modality == 0, batch.heatmaps, batch.heatmaps_known, switches)


def pair_of(method: Method, batch: Batch) -> tuple[dict, dict, Network, Batch]:
    """All that the real losses depend on by the literal names, copies of it, and the batch with images of its own."""
    weights = renamed(dict(method.named_parameters()) | dict(method.named_buffers()), NAMES, OTHERS)
    copies = leaves(weights, (name for name, value in weights.items() if value.requires_grad))
    ours, theirs = (batch.images.clone().requires_grad_() for _ in range(2))
    method_from, literal_from = weights | {"images": ours}, copies | {"images": theirs}
    return method_from, literal_from, Network(copies), replace(batch, images=theirs)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradients(case):
    variant, overrides, switches = CASES[case]
    method = scrambled(small_method("pose", variant, [*NARROW, *overrides])).train()
    batch = batch_of(method)
    ours_from, literal_from, net, literal_batch = pair_of(method, batch)
    ours = method.losses(replace(batch, images=ours_from["images"]))
    theirs = literal_losses(net, literal_batch, switches)
    assert_same_losses(ours, ours_from, theirs, literal_from, each_but=None if case else ("backbone.", "images"))
    buffers = {n: b for n, b in renamed(dict(method.named_buffers()), NAMES, OTHERS).items() if "running_" in n}
    assert_same("running statistics", buffers, net.statistics, TOLERANCE)


def test_mean_heatmap_as_the_target():
    """The control asks every image, those without a heatmap too, for the mean of all known ones up to this batch's."""
    method = scrambled(small_method("pose", "mean-heatmap", NARROW)).train()
    seen = []
    for known in ((True, False, True, True) * 2, (False,) * 7 + (True,)):
        batch = batch_of(method, known)
        batch = replace(batch, heatmaps=batch.heatmaps ** (1 + len(seen)))
        seen += [heatmap for heatmap, k in zip(batch.heatmaps, known, strict=True) if k]
        mean = (sum(seen) / len(seen)).expand_as(batch.heatmaps)
        with_mean = replace(batch, heatmaps=mean, heatmaps_known=torch.ones(8, dtype=torch.bool))
        with torch.no_grad():
            net = Network(leaves(renamed(method.state_dict(), NAMES, OTHERS), ()))
            ours, theirs = method.losses(batch)["pose"], literal_losses(net, with_mean, literal.Switches())["pose"]
        assert_same("pose", {"": ours}, {"": theirs}, TOLERANCE)


@pytest.mark.parametrize("scale", [0.05, 0.3, 2.0])
def test_loss_functions_on_features(scale):
    """From features and logits alone, at scales where hinges are open, half open and shut."""
    draw = torch.Generator().manual_seed(6)
    labels, modality = torch.tensor([7, 7, 7, 2, 2, 2, 5, 5, 5] * 2), torch.tensor([0] * 9 + [1] * 9)
    features = (scale * torch.randn(3, 18, 6, generator=draw, dtype=torch.float64)).requires_grad_()
    logits = (4 * torch.randn(3, 18, 9, generator=draw, dtype=torch.float64)).requires_grad_()
    teacher = (4 * torch.randn(18, 9, generator=draw, dtype=torch.float64)).requires_grad_()
    estimated, truth = torch.rand(2, 18, 2, 4, 3, generator=draw, dtype=torch.float64)
    estimated.requires_grad_()
    known, visible = torch.rand(18, generator=draw) > 0.4, modality == 0
    inputs = {"features": features, "logits": logits, "teacher": teacher, "estimated": estimated}
    nobody = torch.zeros(18, dtype=torch.bool)
    ours = {
        "identity": torch.stack([identity_loss(part, labels) for part in logits]).sum(),
        "hetero-centre": hetero_centre_triplet(features, labels, modality, 0.3, reduction="sum").sum(),
        "midcontrast": mid_centre_contrast(features, labels, modality, 0.3).sum(),
        "distillation": distillation(logits, teacher, 2.5).sum(),
        "pose": heatmap_loss(estimated, truth, known),
        "no heatmap": heatmap_loss(estimated, truth, nobody),
    }
    expected = {
        "identity": literal.identity_loss(list(logits), labels),
        "hetero-centre": literal.hetero_centre_loss(list(features), labels, visible, 0.3),
        "midcontrast": literal.mid_contrast_loss(list(features), labels, visible, 0.3),
        "distillation": literal.distillation_loss(list(logits), teacher, 2.5),
        "pose": literal.pose_loss(estimated, truth, known),
        "no heatmap": literal.pose_loss(estimated, truth, nobody),
    }
    assert_same_losses(ours, inputs, expected, inputs)


@pytest.mark.parametrize("variant", ["", "p-5", "baseline"])
def test_embedding_and_distance(variant):
    """Both features of the paper, and what ranks them: the default, and the one of ``--feature id``."""
    switches = {
        "": literal.Switches(),
        "p-5": literal.Switches(parts=5),
        "baseline": literal.Switches(peb=False, hfc=False),
    }[variant]
    method = scrambled(small_method("pose", variant, SIX_ROWS)).eval()
    images = dict(zip(("infrared", "visible"), batch_of(method).images.chunk(2), strict=True))
    net = Network(renamed(method.state_dict(), NAMES, OTHERS), training=False)
    with torch.no_grad():
        ours = {modality: method.embed(rows, modality) for modality, rows in images.items()}
        for feature in ("id", "all") if switches.peb else ("id",):
            theirs = {m: literal.embedding(net, rows, m, feature, switches) for m, rows in images.items()}
            assert_same(feature, {m: ours[m][feature] for m in images}, theirs, TOLERANCE)
            parts = switches.parts * (2 if feature == "all" else 1)
            expected = {"": literal.distances(theirs["infrared"], theirs["visible"], parts)}
            ranked = [feature, *(["embedding"] if feature == method.recipe.model.feature else [])]
            for key in ranked:
                distances = method.distances(ours["infrared"][key], ours["visible"][key], "single")
                assert_same(f"distance of {key}", {"": distances}, expected, TOLERANCE)


@pytest.mark.parametrize(
    ("variant", "epoch", "switches"),
    [
        ("", 45, literal.Switches()),
        ("baseline", 0, literal.Switches(peb=False, hfc=False, pose_loss=False)),
    ],
)
def test_training_steps(variant, epoch, switches):
    """Two steps of an epoch by the real trainer on the recipe's weights, rates, groups, momentum and decay."""
    trainer = two_step_trainer("pose", variant, [*NARROW, "epochs=100"])
    scrambled(trainer.method)
    trainer.epoch = epoch
    assert_trains_alike(
        trainer,
        NAMES,
        lambda net, batch, step: literal_losses(net, batch, switches),
        literal.WEIGHTS,
        lambda name: literal.rate_factor(name) * literal.learning_rate(epoch),
        others=OTHERS,
    )


def test_rates_of_all_epochs():
    recipe = load_recipe("pose")
    assert recipe.schedule.epochs == 100
    for epoch in range(100):
        rate = learning_rate(recipe.schedule, recipe.optimizer.lr, epoch)
        assert rate == pytest.approx(literal.learning_rate(epoch), rel=1e-12)
