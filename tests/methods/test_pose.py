"""Pose against a literal transcription of the authors' network, loops for its losses, and its switches."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from tests.losses.test_hetero_centre import loop_hct
from tests.methods import pose_reference
from tests.methods.checks import (
    CLASSES,
    HEIGHT,
    MAP_WIDTH,
    SMALL,
    WIDTH,
    check_embeddings,
    check_losses_and_gradients,
    check_two_steps,
    golden_fill,
    grouped_names,
    load_official,
    official_weights,
    small_batch,
    small_method,
)
from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.methods.pose.losses import distillation, heatmap_loss, mid_centre_contrast
from vibench.methods.pose.official import KEYS, UNUSED, unused
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry
from vibench.nn.torchvision_ops import import_torchvision

VARIANTS = ("", *method_entry("pose").recipe_file.variants)
SWITCHES = [
    ["tri=midcontrast", "teacher=ce_detach", "initialisation=code", "temperature=4"],
    ["parts=3", "part_dim=16", "teacher_dim=8", "specific_stages=3", "model.feature=id"],
    ["heatmap_target=mean", "heatmap_channels=17", "specific_stages=0"],
    ["hfc=false", "pose_loss=false", "model.input=grey", "specific_stages=1"],
    ["loss_weights.pose=0"],
    ["peb=false", "hfc=false", "specific_stages=5", "last_stride=2"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]
ID_WIDTH = 6 * 512


def pose_batch(channels: int = 1, height: int = HEIGHT) -> Batch:
    """Three identities with two images each in both modalities; two images have no heatmap."""
    generator = torch.Generator().manual_seed(2)
    heatmaps = torch.rand(12, channels, height // 4, WIDTH // 4, generator=generator)
    known = torch.ones(12, dtype=torch.bool)
    known[[1, 10]] = False
    heatmaps[~known] = 0.0
    return dataclasses.replace(small_batch(height), heatmaps=heatmaps, heatmaps_known=known)


@pytest.fixture(scope="module")
def official(shared):
    weights = official_weights(shared, "pose_vireid", UNUSED)
    return load_official(build_method(load_recipe("pose"), 395), weights, KEYS), weights


@pytest.mark.parametrize(("modality", "seed"), [("visible", 7), ("infrared", 8)])
def test_outputs_of_the_official_network(official, shared, modality, seed):
    method, weights = official
    images = golden_fill(shared).images(seed, height=192, width=64)
    with torch.no_grad():
        expected = pose_reference.outputs(weights, images, modality)
        actual = method.embed(images, modality)
        maps = method.branch_maps(**{modality: images})
        parts, pose_parts = method.id_parts(maps.masked), method.pose_parts(maps.keypoints)
        logits = torch.stack([*method.id_parts.logits(parts), *method.pose_parts.logits(pose_parts)])
        heatmaps, teacher = method.heatmaps(maps.refined), method.teacher(maps.identity, maps.keypoints)
    assert expected["id"].shape == (2, 3072) and expected["all"].shape == (2, 6144)
    for name in ("id", "all"):
        ours, theirs = F.normalize(actual[name]), F.normalize(expected[name])
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
        difference = (ours[0] - ours[1]) - (theirs[0] - theirs[1])
        assert difference.norm() < 1e-3 * (theirs[0] - theirs[1]).norm()
        torch.testing.assert_close(actual[name], expected[name], atol=1e-4, rtol=0)
    torch.testing.assert_close(actual["embedding"], F.normalize(expected["all"]), atol=2e-5, rtol=0)
    assert heatmaps.shape == (2, 1, 48, 16)
    for ours, theirs in ((heatmaps, "heatmaps"), (teacher, "teacher"), (logits, "logits")):
        scale = expected[theirs].abs().max()
        torch.testing.assert_close(ours / scale, expected[theirs] / scale, atol=2e-5, rtol=0)


def test_what_the_comparison_can_tell_apart(official, shared):
    """Leaving out the mask, a skip connection or a refine block changes more than the comparison allows."""
    _, weights = official
    images = golden_fill(shared).images(7, height=96, width=32)
    with torch.no_grad():
        whole = pose_reference.outputs(weights, images, "visible")["id"] / 5
        for name in (
            "shared.conv3.1.weight",
            "shared.dconv4.deconv.1.weight",
            "shared.refinement_stages.0.trunk.0.decoder1.1.1.weight",
            "shared.refinement_stages.0.trunk.2.trunk.1.1.weight",
            "shared.reduce.1.weight",
        ):
            changed = {**weights, name: torch.zeros_like(weights[name])}
            other = pose_reference.outputs(changed, images, "visible")["id"] / 5
            assert (other - whole).abs().max() > 1e-4, name


def loop_mid_contrast(embeddings, labels, modality, margin):
    """The authors' contrastive loss, one pair after another, over centres instead of rows."""
    people = sorted(set(labels.tolist()))
    centre = {(y, m): embeddings[(labels == y) & (modality == m)].mean(dim=0) for y in people for m in (0, 1)}
    middle = {y: (centre[y, 0] + centre[y, 1]) / 2 for y in people}
    total = 0.0
    for m in (0, 1):
        terms = []
        for one in people:
            for other in people:
                d = (centre[one, m] - middle[other]).norm().item()
                terms.append(d**2 if one == other else max(margin - d**0.5, 0.0) ** 2)
        total += sum(terms) / len(terms)
    return total


@pytest.mark.parametrize("counts", [[2, 2, 2], [1, 3, 2]])
@pytest.mark.parametrize("spread", [0.01, 1.0])
def test_mid_centre_contrast(counts, spread):
    generator = torch.Generator().manual_seed(5)
    labels = torch.repeat_interleave(torch.tensor([4, 1, 5]), torch.tensor(counts)).repeat(2)
    modality = torch.tensor([0] * 6 + [1] * 6)
    embeddings = (spread * torch.randn(12, 8, generator=generator, dtype=torch.double)).requires_grad_()
    order = torch.randperm(12, generator=generator)
    for margin in (0.3, 2.0):
        loss = mid_centre_contrast(embeddings[order], labels[order], modality[order], margin)
        assert loss.item() == pytest.approx(loop_mid_contrast(embeddings, labels, modality, margin), rel=1e-6)
    assert torch.isfinite(torch.autograd.grad(loss, embeddings)[0]).all()


def test_mid_centre_contrast_of_centres_that_coincide():
    embeddings = torch.ones(8, 4, requires_grad=True)
    labels, modality = torch.tensor([0, 0, 1, 1] * 2), torch.tensor([0] * 4 + [1] * 4)
    loss = mid_centre_contrast(embeddings, labels, modality)
    assert loss.item() == pytest.approx(2 * 0.5 * 0.3**2, rel=1e-2)
    assert torch.isfinite(torch.autograd.grad(loss, embeddings)[0]).all()


def test_heatmap_loss():
    predicted, target = torch.rand(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    counted = torch.tensor([True, False, True])
    expected = 0.0
    for image in (0, 2):
        pixels = [
            (predicted[image, c, y, x] - target[image, c, y, x]).item() ** 2
            for c in range(2)
            for y in range(4)
            for x in range(5)
        ]
        expected += sum(pixels) / len(pixels) / 2
    assert heatmap_loss(predicted, target, counted).item() == pytest.approx(expected, rel=1e-5)
    assert heatmap_loss(predicted, target, torch.zeros(3, dtype=torch.bool)).item() == 0


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distillation(temperature):
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    expected = 0.0
    for s, t in zip(student.double(), teacher.double(), strict=True):
        p, q = (t / temperature).exp(), (s / temperature).exp()
        p, q = p / p.sum(), q / q.sum()
        expected += (p * (p / q).log()).sum().item() / 4
    actual = distillation(student, teacher, temperature)
    assert actual.item() == pytest.approx(temperature**2 * expected, rel=1e-4)


def slow_losses(method, batch):
    """Losses of a method in eval mode, from the description."""
    options, y, m = method.recipe.model, batch.labels, batch.modality
    stages = method.backbone.shared
    x = method.backbone.specific(*batch.by_modality(batch.images))
    shared = stages.layer2(x)
    identity = stages.layer4(stages.layer3(shared))
    branches = [(method.id_parts, identity)]
    if options.peb:
        low = method.branch.conv1(shared)
        high = method.branch.dconv2(low)
        refined = method.branch.refinement(torch.cat([high, method.branch.initial(high)], dim=1))
        pose = method.branch.block6(method.branch.conv3(refined) + low)
        branches = [(method.id_parts, identity * pose.sigmoid()), (method.pose_parts, pose)]
    features, logits = [], []
    for head, maps in branches:
        rows = maps.shape[2] // options.parts
        for part in range(options.parts):
            pooled = maps[:, :, part * rows : (part + 1) * rows].mean(dim=(2, 3))
            features.append(head.embed[part](pooled))
            logits.append(head.classifiers[part](features[-1]))
    metric = [5 * F.normalize(feature) for feature in features]
    if options.tri == "midcontrast":
        triplet = sum(loop_mid_contrast(one, y, m, options.margin) for one in metric)
    else:
        triplet = sum(sum(loop_hct(one, y, m)) for one in metric)
    losses = {"identity": sum(F.cross_entropy(one, y).item() for one in logits), "triplet": triplet}
    if options.peb and options.pose_loss:
        errors = (method.heatmaps(refined) - batch.heatmaps).square().mean(dim=(1, 2, 3))
        losses["pose"] = errors[batch.heatmaps_known].mean().item()
    if options.hfc:
        pooled = torch.cat([identity.mean(dim=(2, 3)), pose.mean(dim=(2, 3))], dim=1)
        taught = method.teacher.classifier(method.teacher.embed(pooled))
        p = taught.softmax(dim=1)
        losses["distillation"] = sum(
            (p * (p.log() - one.log_softmax(dim=1))).sum(dim=1).mean().item() for one in logits
        )
        if options.teacher == "ce_detach":
            losses["teacher_identity"] = F.cross_entropy(taught, y).item()
    return losses


@pytest.mark.parametrize(
    ("variant", "switches"),
    [("", []), ("baseline", []), ("peb", []), ("teacher-ce", []), ("joints", ["parts=2"]), ("", ["tri=midcontrast"])],
)
def test_losses_of_the_description(variant, switches):
    switches = ["parts=4", *switches]  # rows of the map: one for each part
    method = small_method("pose", variant, switches).eval()
    batch = pose_batch(method.heatmap_channels())
    with torch.no_grad():
        actual = {name: loss.item() for name, loss in method.losses(batch).items()}
        assert actual == pytest.approx(slow_losses(method, batch), rel=1e-3)


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches):
    method = small_method("pose", variant, switches)
    needed = "heatmaps" in method.needs
    check_losses_and_gradients(method, pose_batch(method.heatmap_channels()) if needed else small_batch())
    options = method.recipe.model
    branches = 2 if options.peb and options.feature == "all" else 1
    check_embeddings(method, small_batch(), branches * options.parts * options.part_dim)


def test_only_a_pose_loss_needs_heatmaps():
    with torch.device("meta"):
        methods = {variant: small_method("pose", variant) for variant in VARIANTS}
        assert not small_method("pose", "", ["loss_weights.pose=0"]).needs
    assert {variant for variant in VARIANTS if not methods[variant].needs} == {"baseline", "peb", "lambda-0"}
    assert methods["joints"].heatmap_channels() == 17
    assert [methods[variant].recipe.model.feature for variant in ("", "peb", "baseline", "p-5")] == [
        "all", "all", "id", "id"
    ]  # fmt: skip


def test_who_teaches_the_teacher():
    for teacher, distilled in (("joint", True), ("ce_detach", False)):
        method = small_method("pose", "", [f"teacher={teacher}"])
        method.losses(pose_batch())["distillation"].backward()
        assert all((parameter.grad is not None) == distilled for parameter in method.teacher.parameters())
        assert method.id_parts.classifiers[0][1].weight.grad is not None


def test_the_mean_heatmap_is_that_of_all_batches_seen():
    method = small_method("pose", "mean-heatmap")
    first, second = pose_batch(), pose_batch()
    second = dataclasses.replace(second, heatmaps=second.heatmaps.flip(2))
    nothing = dataclasses.replace(first, heatmaps_known=torch.zeros(12, dtype=torch.bool))
    assert method.losses(nothing)["pose"].item() == 0
    for batch in (first, second):
        method.losses(batch)
    seen = torch.cat([batch.heatmaps[batch.heatmaps_known] for batch in (first, second)])
    torch.testing.assert_close(method.mean_heatmap, seen.mean(dim=0))
    assert method.heatmaps_seen == len(seen)
    method.eval()
    with torch.no_grad():
        predicted = method.heatmaps(method.branch_maps(*first.by_modality(first.images)).refined)
        expected = (predicted - seen.mean(dim=0)).square().mean()
        torch.testing.assert_close(method.losses(nothing)["pose"], expected)
    assert method.heatmaps_seen == len(seen)


def test_parts_that_do_not_divide_the_map():
    method = small_method("pose", "p-5").eval()
    maps = torch.randn(2, MAP_WIDTH, 18, 9)
    with torch.no_grad():
        features = method.id_parts(maps)
        for part, (top, bottom) in enumerate([(0, 4), (3, 8), (7, 11), (10, 15), (14, 18)]):
            expected = method.id_parts.embed[part](maps[:, :, top:bottom].mean(dim=(2, 3)))
            torch.testing.assert_close(features[part], expected)


def test_the_specific_stages_train_at_a_tenth_of_the_rate():
    groups = grouped_names(small_method("pose"))
    assert all(name.startswith(("backbone.visible.", "backbone.infrared.")) for name in groups[0.1])
    assert {"backbone.shared.layer2.0.conv1.weight", "branch.conv1.0.weight"} < groups[1.0]
    assert not [name for name in groups[1.0] if name.startswith(("backbone.visible.", "backbone.infrared."))]


def test_recipes_of_paper_and_code():
    paper, sysu, regdb = load_recipe("pose"), load_recipe("pose", "code"), load_recipe("pose", "code-regdb", "regdb")
    assert (paper.sampler.identities, paper.sampler.images, paper.sampler.kind) == (8, 4, "with-replacement")
    assert (paper.schedule.epochs, paper.schedule.milestones, paper.schedule.gamma) == (100, (20, 40, 60, 80), 0.5)
    weights = {"identity": 1.0, "triplet": 0.1, "pose": 5.0, "distillation": 1.0, "teacher_identity": 1.0}
    assert paper.loss_weights == weights
    assert (sysu.sampler.identities, sysu.sampler.images, sysu.sampler.kind) == (16, 4, "distinct")
    assert (sysu.schedule.epochs, regdb.schedule.epochs) == (150, 25)
    assert sysu.schedule.milestones == (12, 30, 50, 75, 125, 180)
    assert regdb.schedule.milestones == (8, 15, 25, 40, 60, 80)
    assert sysu.schedule.factors == regdb.schedule.factors == (0.75, 0.5, 0.25, 0.125, 0.1, 0.05)
    assert (sysu.loss_weights["pose"], regdb.loss_weights["pose"]) == (3.0, 7.0)
    assert (sysu.augmentation.pad, sysu.augmentation.flip, sysu.augmentation.erasing) == (0, 0.5, 0.5)
    assert (regdb.augmentation.pad, regdb.augmentation.flip, regdb.augmentation.erasing) == (0, 0.0, 0.5)


@pytest.mark.parametrize("initialisation", ["xavier", "code"])
def test_how_the_new_layers_start(initialisation):
    method = small_method("pose", "", [f"initialisation={initialisation}"])
    linear, classifier = method.id_parts.embed[0][0], method.id_parts.classifiers[0][1]
    deviation = {"xavier": (2 / (MAP_WIDTH + 512)) ** 0.5, "code": (2 / 512) ** 0.5}[initialisation]
    assert linear.weight.std().item() == pytest.approx(deviation, rel=0.05)
    deviation = {"xavier": (2 / (512 + CLASSES)) ** 0.5, "code": 0.001}[initialisation]
    assert classifier.weight.std().item() == pytest.approx(deviation, rel=0.1)
    assert not linear.bias.any() and not classifier.bias.any()
    assert bool(method.branch.refinement[1].initial[0].bias.any()) == (initialisation == "code")


def test_the_refinement_module_may_start_from_a_pose_estimator(tmp_path):
    """Osokin's estimator has 17 heatmaps on 128 channels; here the channels of ResNet-18 stand for them."""
    larger = "model.backbone=resnet18"
    with torch.device("meta"):
        shapes = small_method("pose", "joints", [larger]).branch.refinement.state_dict()
    estimator = {
        f"module.refinement_stages.0.trunk.{name}": torch.full(value.shape, 0.25).to(value.dtype)
        for name, value in shapes.items()
    }
    path, resnet = tmp_path / "estimator.pth", tmp_path / "resnet.pt"
    torch.save({"state_dict": {**estimator, "module.cpm.0.0.weight": torch.ones(1)}, "iter": 3}, path)
    torch.save(import_torchvision().models.resnet18(weights=None).state_dict(), resnet)

    def build(variant, file, pretrained):
        overrides = [*SMALL, larger, f'model.refinement_weights="{file}"']
        return build_method(load_recipe("pose", variant, overrides=overrides), CLASSES, pretrained)

    started, scratch = build("joints", path, resnet), build("joints", path, "none")
    for name, value in started.branch.refinement.state_dict().items():
        torch.testing.assert_close(value, estimator[f"module.refinement_stages.0.trunk.{name}"])
        assert not (scratch.branch.refinement.state_dict()[name] == 0.25).all()
    with pytest.raises(UsageError, match=r"does not fit .*heatmap_channels = 17"):
        build("", path, resnet)
    with pytest.raises(UsageError, match="there is no such file"):
        build("joints", tmp_path / "absent.pth", resnet)


@pytest.mark.parametrize(
    ("variant", "amp"), [("", "off"), ("code", "bf16"), ("mean-heatmap", "off"), ("baseline", "bf16")]
)
def test_trains_two_steps(variant, amp):
    check_two_steps("pose", variant, amp=amp)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["parts=0"], "parts"),
        (["part_dim=0"], "part_dim"),
        (["temperature=0"], "temperature"),
        (["feature_scale=0"], "feature_scale"),
        (["peb=false"], "hfc"),
        (["last_stride=2"], "last_stride"),
        (["specific_stages=4"], "specific_stages"),
        (["heatmap_channels=16"], "heatmap_channels"),
    ],
)
def test_impossible_settings_are_refused(overrides, named):
    with pytest.raises(UsageError, match=f"'{named}'"):
        load_recipe("pose", overrides=overrides)


@pytest.mark.parametrize("variant", method_entry("pose").recipe_file.variants)
def test_what_a_variant_does_without_is_what_its_network_lacks(variant: str) -> None:
    recipe = load_recipe("pose", variant, overrides=["model.backbone=resnet18-slim"])
    names = build_method(recipe, 3).state_dict()
    lacking = unused(recipe)
    assert any("heatmaps" in prefix for prefix in lacking) != any(name.startswith("heatmaps.") for name in names)
    assert ("shared.t_fc." in lacking) == (not recipe.model.hfc)
