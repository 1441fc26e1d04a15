"""DEEN's losses, switches and variants, and two steps of real training."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tests.datasets import mini
from tests.methods.checks import MAP_WIDTH
from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.losses import hard_triplet, identity_loss
from vibench.methods.base import Method
from vibench.methods.deen.aggregation import ChannelBlock, PositionBlock
from vibench.methods.deen.losses import centre_guided_pair_mining, orthogonality
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry
from vibench.training.checkpoint import load_method
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SMALL = ("model.backbone=resnet18-slim", "height=64", "width=32")
SWITCHES = [
    ["mfa=cnl"],
    ["mfa=pnl", "pnl_reshape=plain"],
    ["dee_branches=3", "dee_position=1"],
    ["dee_branches=1", "dee_position=4", "model.ort=false"],
    ["layer4=false", "dee_position=2"],
    ["test_combination=s8", "ort_normalise=true", "last_stride=2"],
    ["test_combination=original", "model.flip=false"],
]
CASES = [(variant, []) for variant in ("", *method_entry("deen").recipe_file.variants)] + [("", s) for s in SWITCHES]


def build(variant: str = "", overrides: list[str] | None = None, classes: int = 6) -> Method:
    torch.manual_seed(0)
    return build_method(load_recipe("deen", variant, overrides=[*SMALL, *(overrides or [])]), classes)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch(
        images=torch.randn(12, 3, 64, 32, generator=torch.Generator().manual_seed(1)),
        labels=torch.tensor([4, 4, 1, 1, 5, 5]).repeat(2),
        modality=torch.tensor([0] * 6 + [1] * 6),
        cameras=torch.tensor([1] * 6 + [3] * 6),
    )


def euclidean(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).square().sum().clamp(min=1e-12).sqrt()


def pair_mining_by_loops(original, generated, labels, margin, stop: bool = True) -> torch.Tensor:
    """The definition, identity by identity. ``stop`` is whether the gradient stops where the definition says."""
    half = len(labels) // 2
    pids = sorted(set(labels.tolist()))

    def centres(rows: torch.Tensor, part: int) -> dict[int, torch.Tensor]:
        places = range(part * half, (part + 1) * half)
        return {pid: torch.stack([rows[i] for i in places if labels[i] == pid]).mean(dim=0) for pid in pids}

    v, r = centres(original, 0), centres(original, 1)
    generated_v, generated_r = centres(generated, 0), centres(generated, 1)

    def nearest(x: dict[int, torch.Tensor], pid: int) -> torch.Tensor:
        return min(euclidean(x[pid], x[other]) for other in pids if other != pid)

    def direction(anchor, same, expanded) -> torch.Tensor:
        total = torch.zeros(())
        for pid in pids:
            across = euclidean(anchor[pid], expanded[pid])
            within = euclidean(same[pid], expanded[pid])
            total = total + (across - (within.detach() if stop else within) + margin).clamp(min=0)
            total = total + (across - nearest(expanded, pid) + margin).clamp(min=0) / 2
            total = total + (across - nearest(same, pid) + margin).clamp(min=0) / 2
        return total / len(pids)

    return (direction(r, v, generated_v) + direction(v, r, generated_r)) / 2


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("margin", [0.2, 3.0])
def test_pair_mining_is_its_definition_with_its_gradient(scale, margin):
    labels = torch.tensor([4, 4, 4, 1, 1, 1, 5, 5, 5]).repeat(2)
    rows = (scale * torch.randn(2, 18, 7, dtype=torch.float64)).requires_grad_()
    found, expected = (
        loss(rows[0], rows[1], labels, margin) for loss in (centre_guided_pair_mining, pair_mining_by_loops)
    )
    torch.testing.assert_close(found, expected)
    (gradient,), (wanted,) = (torch.autograd.grad(loss, rows) for loss in (found, expected))
    torch.testing.assert_close(gradient, wanted)
    if found > 0:
        (unstopped,) = torch.autograd.grad(pair_mining_by_loops(rows[0], rows[1], labels, margin, False), rows)
        assert not torch.allclose(unstopped, wanted)


def test_pair_mining_of_one_identity_is_finite():
    rows = torch.randn(2, 8, 5, requires_grad=True)
    loss = centre_guided_pair_mining(rows[0], rows[1], torch.full((8,), 3))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(rows.grad).all()


def test_orthogonality_counts_every_row_of_the_expanded_batch():
    generated = torch.randn(3, 4, 5, dtype=torch.float64)
    one = sum(float(generated[0, i] @ generated[1, i]) for i in range(4)) / 12
    assert orthogonality(list(generated[:2])).item() == pytest.approx(one)
    pairs = [(0, 1), (0, 2), (1, 2)]
    unit = functional.normalize(generated, dim=2)
    every = sum(float(unit[a, i] @ unit[b, i]) for a, b in pairs for i in range(4)) / 16
    assert orthogonality(list(generated), normalise=True).item() == pytest.approx(every)


@pytest.mark.parametrize(("variant", "overrides"), CASES)
def test_trains_and_embeds(variant, overrides, batch):
    method = build(variant, overrides).train()
    options = method.recipe.model
    losses = method.losses(batch)
    wanted = {"identity", "triplet"} | ({"cpm"} if options.cpm else set()) | ({"ort"} if options.ort else set())
    assert set(losses) == wanted <= set(method.loss_names)
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert not [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)

    method.eval()
    with torch.no_grad():
        found = method.embed(batch.images[:6], "visible")
        both = method.pooled_features(batch.images[:6], batch.images[6:])
    width, copies = MAP_WIDTH if options.layer4 else MAP_WIDTH // 2, 1 + options.dee_branches
    assert found["pooled"].shape == found["neck"].shape == (6, copies, width)
    ranked = 1 if options.test_combination == "original" else copies
    assert found["embedding"].shape == (6, 2 * ranked * width) and found["embedding"].dtype == torch.float32
    torch.testing.assert_close(both.view(copies, 12, width)[:, :6].transpose(0, 1), found["pooled"])

    again = build(variant, overrides).eval()
    with torch.no_grad():
        again.load_state_dict(method.state_dict())
        torch.testing.assert_close(again.embed(batch.images[:6], "visible")["embedding"], found["embedding"])

    rest, head = method.parameter_groups(method.recipe)
    grouped = [id(p) for p in itertools.chain(rest["params"], head["params"])]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in method.parameters() if p.requires_grad}
    assert (rest["lr_factor"], head["lr_factor"]) == (0.1, 1.0)
    assert {id(p) for p in head["params"]} == {id(method.neck.weight), id(method.classifier.weight)}


def test_losses_meet_the_expanded_batch(batch):
    method = build().eval()
    losses = method.losses(batch)
    pooled = method.pooled_features(*batch.images.chunk(2))
    labels = torch.cat([batch.labels] * 3)
    torch.testing.assert_close(losses["identity"], identity_loss(method.classifier(method.neck(pooled)), labels))
    torch.testing.assert_close(losses["triplet"], hard_triplet(pooled, labels, 0.3))
    first, *others = pooled.view(3, 12, -1)
    mined = sum(pair_mining_by_loops(first, other, batch.labels, 0.2) for other in others)
    torch.testing.assert_close(losses["cpm"], mined)
    torch.testing.assert_close(losses["ort"], (others[0] * others[1]).sum() / 36)


def test_the_test_combinations(batch):
    """Each is a weighted sum of inner products of the normalised features of image plus mirror."""
    images = batch.images[:3]
    with torch.no_grad():
        plain = build().eval()
        sides = {}
        for flipped, view in enumerate((images, images.flip(3))):
            found = plain.embed(view, "visible")
            for kind in ("pooled", "neck"):
                sides[kind, flipped] = functional.normalize(found[kind].double(), dim=2)
        for combination, weights, copies in (
            ("s7", (1.0, 1.0), (0, 1, 2)),
            ("s8", (0.1, 0.9), (0, 1, 2)),
            ("original", (1.0, 1.0), (0,)),
        ):
            for flip in (True, False):
                method = build("", [f"test_combination={combination}", f"model.flip={str(flip).lower()}"]).eval()
                embedding = method.embed(images, "visible")["embedding"]
                expected = torch.zeros(3, 3, dtype=torch.float64)
                for kind, weight in zip(("pooled", "neck"), weights, strict=True):
                    rows = sides[kind, 0] + sides[kind, 1] if flip else sides[kind, 0]
                    for copy in copies:
                        expected -= weight * rows[:, copy] @ rows[:, copy].T
                torch.testing.assert_close(method.distances(embedding, embedding, "all"), expected, atol=1e-5, rtol=0)


def test_aggregation_starts_as_the_identity_and_acts_once_trained(batch):
    aggregated, plain = build("mfa").eval(), build("base").eval()
    plain.load_state_dict({name: value for name, value in aggregated.state_dict().items() if "aggregation" not in name})
    with torch.no_grad():
        before = [method.embed(batch.images, "infrared")["neck"] for method in (aggregated, plain)]
        torch.testing.assert_close(*before)
        for stage in ("1", "2", "3"):
            torch.nn.init.ones_(aggregated.aggregation[stage].channel.norm.weight)
            after = aggregated.embed(batch.images, "infrared")["neck"]
            assert not torch.allclose(after, before[0])
            before[0] = after


@pytest.mark.parametrize("form", ["plain", "code"])
def test_the_position_block_is_its_affinity_matrix(form):
    block = PositionBlock(12, 8, form).double().eval()
    torch.nn.init.normal_(block.norm.weight)
    high, low = torch.randn(2, 12, 4, 2, dtype=torch.float64), torch.randn(2, 8, 8, 4, dtype=torch.float64)
    theta, phi, g = (conv(x).flatten(2) for conv, x in ((block.theta, high), (block.phi, low), (block.g, low)))
    if form == "code":
        theta, phi, g = (rows.reshape(2, 8, -1) for rows in (theta, phi, g))
    affinity = theta.transpose(1, 2) @ phi / phi.shape[2]
    attended = (affinity @ g.transpose(1, 2)).transpose(1, 2).reshape(2, 4, 4, 2)
    torch.testing.assert_close(block(high, low), high + block.norm(block.expand(attended)))


def test_blocks_survive_reduced_precision():
    high, low = 300 * torch.rand(1, 16, 4, 4), 300 * torch.rand(1, 8, 8, 8)
    for block in (ChannelBlock(16, 8, 2), PositionBlock(16, 8)):
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(block.eval()(high, low)).all()


def test_options_that_contradict_one_another_are_refused():
    for overrides, named in (
        (["dee_branches=0"], "'cpm' needs a generated"),
        (["dee_branches=1"], "'ort' needs two"),
        (["layer4=false", "dee_position=4"], "'dee_position' must be a stage from 1 to 3"),
        (["dee_branches=4"], "'dee_branches' must be 0 to 3"),
    ):
        with pytest.raises(UsageError, match=named):
            load_recipe("deen", overrides=overrides)


def test_recipes_of_the_data_sets():
    sysu, regdb, llcm = (load_recipe("deen", dataset=dataset) for dataset in ("sysu-mm01", "regdb", "llcm"))
    for recipe in (sysu, regdb, llcm):
        assert (recipe.input.height, recipe.input.width, recipe.schedule.epochs) == (384, 144, 151)
        assert recipe.loss_weights == {"identity": 1.0, "triplet": 1.0, "cpm": 0.8, "ort": 0.01}
    assert [recipe.augmentation.erasing_area for recipe in (sysu, regdb, llcm)] == [
        (0.2, 0.8),
        (0.02, 0.4),
        (0.02, 0.4),
    ]
    assert [recipe.model.layer4 for recipe in (sysu, regdb, llcm)] == [True, False, True]
    assert load_recipe("deen", dataset="regdb-twin").model == regdb.model


def test_two_steps_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    root = mini.write_sysu(tmp_path / "sysu-mm01")
    settings = (*SMALL, "identities=2", "sampler.images=2", "batches_per_epoch=2", "schedule.epochs=1")
    recipe = load_recipe("deen", overrides=settings)
    run = train(TrainingSpec(recipe, root, None, 0, "off", "none", tmp_path / "run"), device="cpu")
    trained = load_method(run.checkpoint_path)
    start = build(classes=3).state_dict()
    moved = [name for name, value in trained.named_parameters() if not torch.equal(value, start[name])]
    assert {name.split(".")[0] for name in moved} >= {"backbone", "expansion", "aggregation", "neck", "classifier"}
    with torch.no_grad():
        assert torch.isfinite(trained.embed(torch.randn(2, 3, 64, 32), "infrared")["embedding"]).all()
