"""CAL against a literal transcription of its description, its losses against loops, and its ablation tables."""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vibench.methods.cal.method as cal_method
from tests.methods.checks import (
    MAP_WIDTH,
    check_embeddings,
    check_losses_and_gradients,
    check_two_steps,
    golden_fill,
    grouped_names,
    small_batch,
    small_method,
    two_step_trainer,
)
from tests.methods.official_resnet import norm, two_stream_maps
from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.methods.cal.method import partners
from vibench.methods.cal.regions import LearntRegions, RegionMining, StripeRegions, selected_count
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

VARIANTS = ("", *method_entry("cal").recipe_file.variants)
SWITCHES = [
    ["parts=7", "cqm=match"],
    ["parts=1"],
    ["test_reorder=edges", "parts=3"],
    ["test_reorder=none", "test_feature=g"],
    ["identity_heads=part", "region_heads=shared"],
    ["pooling=sliding", "alpha=0.1"],
    ["identity_on=self", "kd_mutual=true", "kd_temperature=2"],
    ["metric_normalise=false", "pcl_reduction=sum"],
    ["metric_loss=triplet", "metric_normalise=false", "drm=shared"],
    ["last_stride=2", "alpha=5"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]
OURS_TO_AUTHORS = (
    ("backbone.visible.", "visible_module.visible."),
    ("backbone.infrared.", "thermal_module.thermal."),
    ("backbone.shared.", "base_resnet.base."),
)
ORDER = [2, 0, 3, 1]


@pytest.fixture(scope="module")
def batch():
    return small_batch()


# The description, one image and one part after the other. Nothing here is shared with the package.


def slow_scores(maps: Tensor, prototypes: Tensor, pooling: str = "strided") -> Tensor:
    """S (B, L, N): three max-poolings, upsampled, concatenated, 1x1 convolution, softmax over positions."""
    size = tuple(maps.shape[2:])
    scales = [maps]
    for kernel in (3, 5):
        if pooling == "strided":
            pooled = F.max_pool2d(maps, kernel, stride=kernel, ceil_mode=True)
            assert tuple(pooled.shape[2:]) == tuple(math.ceil(side / kernel) for side in size)
            scales.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
        else:
            padded = F.pad(maps, [kernel // 2] * 4, value=-float("inf"))
            windows = padded.unfold(2, kernel, 1).unfold(3, kernel, 1)
            scales.append(windows.amax(dim=(4, 5)))
    logits = F.conv2d(torch.cat(scales, dim=1), prototypes)
    return logits.flatten(2).softmax(dim=2).transpose(1, 2)


def slow_parts(tokens: Tensor, scores: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """P (N, C) and selected scores (L, N) of one image's tokens (L, C) and scores (L, N)."""
    positions, parts = scores.shape
    keep = min(math.ceil(round(alpha * positions / parts, 6)), positions)
    selected = torch.zeros_like(scores)
    vectors = []
    for part in range(parts):
        best = sorted(range(positions), key=lambda i: -scores[i, part].item())[:keep]
        for i in best:
            selected[i, part] = scores[i, part]
        vectors.append(sum(selected[i, part] * tokens[i] for i in best) / sum(selected[i, part] for i in best))
    return torch.stack(vectors), selected


def slow_mlp(sd: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    hidden = F.linear(x, sd[f"attention.{name}.0.weight"], sd[f"attention.{name}.0.bias"]).relu()
    return F.linear(hidden, sd[f"attention.{name}.2.weight"], sd[f"attention.{name}.2.bias"])


def slow_attention(sd: dict[str, Tensor], tokens: Tensor, vectors: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """A(T; P) (N, C) and S (N, L): tokens (L, C), part vectors (N, C) taken from the tokens of ``source``."""

    def normalised(x: Tensor, of: Tensor) -> Tensor:
        return (x - of.mean(dim=0)) / (of.var(dim=0, unbiased=False) + 1e-5).sqrt()

    keys = slow_mlp(sd, "position_mlp", normalised(tokens, tokens))
    queries = slow_mlp(sd, "query_mlp", normalised(vectors, source))
    masks = (queries @ keys.T / math.sqrt(keys.shape[1])).softmax(dim=1)
    return (masks @ tokens) * torch.sigmoid(slow_mlp(sd, "gate_mlp", vectors)), masks


@pytest.fixture(scope="module")
def filled(shared):
    """The network of the paper with the goldens' weights, in eval mode, and these under our names."""
    method = build_method(load_recipe("cal"), 395).eval()
    shapes = {name: value for name, value in method.state_dict().items() if not name.startswith("matches.")}
    sd = golden_fill(shared).fill_state_dict(shapes)
    method.load_state_dict({**method.state_dict(), **sd, "matches.order": torch.tensor(ORDER)})
    return method, sd


@pytest.mark.parametrize(
    ("modality", "seed", "height", "width"), [("visible", 7, 288, 144), ("visible", 7, 96, 48), ("infrared", 8, 96, 48)]
)
def test_features_of_the_description(filled, shared, modality, seed, height, width):
    """Infrared prototypes are permuted, as the description has it; the method permutes features."""
    method, sd = filled
    fill = golden_fill(shared)
    renamed = {
        theirs + name.removeprefix(ours): value
        for name, value in sd.items()
        for ours, theirs in OURS_TO_AUTHORS
        if name.startswith(ours)
    }
    images = fill.images(seed, height=height, width=width)
    prototypes = sd[f"regions.{modality}.prototypes.weight"]
    if modality == "infrared":
        prototypes = prototypes[ORDER]
    with torch.no_grad():
        maps = two_stream_maps(renamed, images, modality, specific_stages=1)
        tokens = maps.flatten(2).transpose(1, 2)
        scores = slow_scores(maps, prototypes)
        expected = []
        for image in range(len(images)):
            vectors, _ = slow_parts(tokens[image], scores[image], 0.6)
            expected.append(slow_attention(sd, tokens[image], vectors, tokens[image])[0])
        parts = torch.stack(expected)
        features = method.embed(images, modality)
    assert tokens.shape[1] == (162 if height == 288 else 18)
    cosines = F.normalize(parts, dim=2)
    torch.testing.assert_close(features["embedding"], cosines.flatten(1) / 2.0, atol=2e-5, rtol=0)
    torch.testing.assert_close(features["parts"], parts, atol=1e-4, rtol=1e-3)
    neck = torch.stack([norm(sd, "neck", part) for part in parts])
    torch.testing.assert_close(features["neck"], neck, atol=1e-4, rtol=1e-3)
    one, other = features["embedding"]
    assert (one - other).norm() > 1e-3
    assert (one @ other).item() == pytest.approx((cosines[0] * cosines[1]).sum(dim=1).mean().item(), abs=1e-5)


def test_the_sum_of_part_cosines_ranks(batch):
    method = small_method("cal").eval()
    with torch.no_grad():
        query, gallery = (
            method.embed(images, modality)
            for images, modality in zip(batch.images.chunk(2), ("infrared", "visible")[::-1], strict=True)
        )
        distances = method.distances(query["embedding"], gallery["embedding"], "single")
    for i, j in itertools.product(range(6), range(6)):
        total = sum(F.cosine_similarity(query["parts"][i, p], gallery["parts"][j, p], dim=0) for p in range(4))
        assert distances[i, j].item() == pytest.approx(1 - total.item() / 4, abs=1e-5)


# Losses.


def lively(variant: str = "", overrides: tuple[str, ...] = ()):
    """A small method in float64 whose parts and classes differ visibly from one another."""
    method = small_method("cal", variant, overrides).double()
    random = torch.Generator().manual_seed(3)
    for name, parameter in method.named_parameters():
        if not name.startswith("backbone."):
            draw = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            parameter.data += (0.02 if "prototypes" in name else 0.05) * draw
    return method


def as_double(batch: Batch) -> Batch:
    return Batch(batch.images.double(), batch.labels, batch.modality, batch.cameras, batch.visible_views)


def slow_losses(method, batch: Batch, read: list[int]) -> dict[str, float]:
    """All losses from the description with row i reading image ``read[i]``, in training mode."""
    options = method.recipe.model
    sd = method.state_dict()
    n, y, m = options.parts, batch.labels.tolist(), batch.modality.tolist()
    rows = range(len(y))
    maps = method.batch_maps(batch)
    tokens = maps.flatten(2).transpose(1, 2)
    vectors, selected = [], []
    for i in rows:
        side = "visible" if m[i] == 0 else "infrared"
        key = "regions.prototypes.weight" if options.drm == "shared" else f"regions.{side}.prototypes.weight"
        scores = slow_scores(maps[i : i + 1], sd[key], options.pooling)[0]
        part, kept = slow_parts(tokens[i], scores, options.alpha)
        vectors.append(part)
        selected.append(kept)
    own = [slow_attention(sd, tokens[i], vectors[i], tokens[i]) for i in rows]
    cross = [slow_attention(sd, tokens[read[i]], vectors[i], tokens[i]) for i in rows]

    losses: dict[str, float] = {}
    # One batch through the neck: self- and cross-refined features of all images.
    stacked = torch.stack([f for f, _ in own] + [f for f, _ in cross])
    flat = stacked.flatten(0, 1)
    neck = (flat - flat.mean(dim=0)) / (flat.var(dim=0, unbiased=False) + 1e-5).sqrt()
    neck = neck * sd["neck.weight"] + sd["neck.bias"]
    log_p = (neck @ sd["classifier.weight"].T).log_softmax(dim=1).unflatten(0, (2, len(y), n))
    kinds = [
        torch.stack([-log_p[kind, i, p, y[i]] for i in rows if m[i] == side for p in range(n)]).mean()
        for kind, side in itertools.product((0, 1), (0, 1))
    ]
    losses["identity"] = (sum(kinds) / 4).item()

    # Matching, row by row: parts u of image i against the parts v of image read[i], both on the latter's map.
    matched, weights = [], []
    for i in rows:
        like = F.cosine_similarity if options.mask_similarity == "cosine" else lambda a, b, dim: (a * b).sum(dim)
        w = [[like(cross[i][1][u], own[read[i]][1][v], dim=0).item() for v in range(n)] for u in range(n)]
        best = max(itertools.permutations(range(n)), key=lambda s: sum(w[u][s[u]] for u in range(n)))
        matched.append(best if options.cqm == "match" else tuple(range(n)))
        weights.append(w)
    orders = Counter(matched[i] if m[i] == 0 else tuple(matched[i].index(p) for p in range(n)) for i in rows)
    most = max(orders.values())
    pi = min(order for order, count in orders.items() if count == most)

    def both(values: list[float]) -> float:
        sides = [[value for i, value in enumerate(values) if m[i] == side] for side in (0, 1)]
        return sum(sum(side) / len(side) for side in sides) / 2

    losses["kd1"] = both([-sum(weights[i][u][matched[i][u]] for u in range(n)) for i in rows])
    divergences = []
    for i in rows:
        terms = [
            (log_p[1, i, u].exp() * (log_p[1, i, u] - log_p[0, read[i], matched[i][u]])).sum().item() for u in range(n)
        ]
        divergences.append(sum(terms))
    losses["kd2"] = both(divergences)

    heads = lambda side, p: f"region_classifiers.{side}.{p}"  # noqa: E731
    dis = []
    for i in rows:
        total = 0.0
        for p in range(n):
            logits = F.linear(vectors[i][p], sd[heads(m[i], p) + ".weight"], sd[heads(m[i], p) + ".bias"])
            total -= logits.log_softmax(dim=0)[y[i]].item()
        dis.append(total)
    losses["dis"] = both(dis)
    losses["div"] = both(
        [sum((s[:, a] * s[:, b]).sum().item() for a in range(n) for b in range(a + 1, n)) for s in selected]
    )

    # Part-aligned centre loss: part p of infrared images is their part pi[p].
    unit = lambda x: x / x.norm()  # noqa: E731
    f = {i: [unit(own[i][0][p if m[i] == 0 else pi[p]]) for p in range(n)] for i in rows}
    g = {i: [unit(cross[i][0][p if m[i] == 0 else pi[p]]) for p in range(n)] for i in rows}
    c = {}
    for identity, side, p in itertools.product(set(y), (0, 1), range(n)):
        members = [f[i][p] for i in rows if y[i] == identity and m[i] == side]
        c[identity, side, p] = unit(sum(members) / len(members))
    terms = []
    for side in (0, 1):
        pulls = [(g[i][p] - c[y[i], side, p]).norm().item() for i in rows if m[i] == side for p in range(n)]
        terms.append(sum(pulls) / len(pulls))
    for one, other in ((1, 0), (1, 1), (0, 0)):
        pushes = [
            max(0.0, options.sigma - (c[a, one, p] - c[b, other, p]).norm().item())
            for a, b in itertools.product(set(y), set(y))
            if a != b
            for p in range(n)
        ]
        terms.append(sum(pushes) / len(pushes))
    losses["metric"] = sum(terms)
    return losses


@pytest.mark.parametrize(
    "switches",
    [
        [],
        ["cqm=identity"],
        ["drm=shared", "parts=3"],
        ["pooling=sliding", "sigma=1.5"],
        ["parts=2", "alpha=1", "mask_similarity=cosine"],
    ],
)
def test_losses_of_the_description(switches, batch, monkeypatch):
    batch = as_double(batch)
    method = lively("", switches).train()
    read = [7, 6, 9, 9, 10, 11, 1, 1, 2, 3, 5, 4]
    monkeypatch.setattr(cal_method, "partners", lambda labels, modality: torch.tensor(read))
    with torch.no_grad():
        expected = slow_losses(method, batch, read)
        actual = {name: loss.item() for name, loss in method.losses(batch).items()}
    assert actual == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert expected["kd2"] > 1e-3 and expected["metric"] > 0.1


def test_partners_share_the_identity_and_not_the_modality(batch):
    labels, modality = batch.labels, batch.modality
    drawn = torch.stack([partners(labels, modality) for _ in range(40)])
    assert (labels[drawn] == labels).all() and (modality[drawn] != modality).all()
    for row in range(len(batch)):
        assert len(drawn[:, row].unique()) == 2


def test_two_visible_views(batch):
    """A further view is more visible rows; both directions count the same."""
    three = Batch(
        torch.cat([batch.images[:6], batch.images]),
        torch.cat([batch.labels[:6], batch.labels]),
        torch.cat([batch.modality[:6], batch.modality]),
        torch.cat([batch.cameras[:6], batch.cameras]),
        visible_views=2,
    )
    check_losses_and_gradients(small_method("cal"), three)


def test_the_teacher_learns_only_where_asked(batch, monkeypatch):
    """With the student's features cut off, only the teacher's gradient is left."""
    seen = {}
    divergence = cal_method.matched_divergence

    def spy(teacher, student, matchings, temperature):
        seen["teacher"] = teacher.requires_grad
        return divergence(teacher, student, matchings, temperature)

    monkeypatch.setattr(cal_method, "matched_divergence", spy)
    for mutual in (False, True):
        small_method("cal", "", [f"kd_mutual={str(mutual).lower()}"]).losses(batch)
        assert seen["teacher"] is mutual


def test_a_loss_of_weight_zero_is_not_computed(batch):
    method = small_method("cal", "", ["loss_weights.kd1=0", "loss_weights.dis=0", "loss_weights.metric=0"])
    assert set(method.losses(batch)) == {"identity", "kd2", "div"}
    assert not [name for name in method.state_dict() if name.startswith("region_classifiers")]


# Regions.


@pytest.mark.parametrize("pooling", ["strided", "sliding"])
@pytest.mark.parametrize("size", [(18, 9), (24, 8), (6, 3), (4, 2), (2, 2), (1, 1)])
def test_prototypes_meet_every_scale(size, pooling):
    torch.manual_seed(0)
    mining = RegionMining(5, 3, 0.6, pooling).double()
    maps = torch.randn(2, 5, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_scores(maps, mining.prototypes.weight, pooling)
        torch.testing.assert_close(mining.part_scores(maps).transpose(1, 2), expected)
        regions = mining(maps)
        for i in range(2):
            vectors, selected = slow_parts(maps[i].flatten(1).T, expected[i], 0.6)
            torch.testing.assert_close(regions.vectors[i], vectors)
            torch.testing.assert_close(regions.scores[i].T, selected)


@pytest.mark.parametrize(
    ("positions", "parts", "alpha", "expected"),
    [
        (162, 4, 0.6, 25),
        (192, 4, 0.6, 29),
        (18, 4, 0.6, 3),
        (20, 4, 0.6, 3),
        (8, 4, 0.6, 2),
        (4, 6, 0.1, 1),
        (4, 1, 9.0, 4),
    ],
)
def test_selected_positions(positions, parts, alpha, expected):
    assert selected_count(positions, parts, alpha) == expected


def test_other_sources_of_part_vectors():
    maps = torch.randn(2, 3, 6, 2)
    stripes = StripeRegions(3)(maps)
    torch.testing.assert_close(stripes.vectors[1, 2], maps[1, :, 4:].mean(dim=(1, 2)))
    assert stripes.scores is None
    learnt = LearntRegions(3, 4)
    assert torch.equal(learnt(maps).vectors[1], learnt.vectors) and learnt(maps).scores is None


# The method.


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches, batch):
    method = small_method("cal", variant, switches)
    check_losses_and_gradients(method, batch)
    options = method.recipe.model
    check_embeddings(method, batch, MAP_WIDTH * options.parts if options.tca else MAP_WIDTH)


@pytest.mark.parametrize(("variant", "amp"), [("", "bf16"), ("baseline", "off"), ("pcl-to-center", "off")])
def test_trains_two_steps(variant, amp):
    check_two_steps("cal", variant, amp=amp)


def test_an_epoch_leaves_its_most_frequent_matching():
    trainer = two_step_trainer("cal", "", ["parts=3"])
    found: Counter = Counter()
    add = trainer.method.matches.add

    def spy(matchings):
        found.update(map(tuple, matchings.tolist()))
        add(matchings)

    trainer.method.matches.add = spy
    assert trainer.method.matches.order.tolist() == [0, 1, 2]
    trainer.train_epoch(lambda: False, lambda count, status="": None)
    matches = trainer.method.matches
    assert sum(found.values()) == 16 and matches.counts.sum() == 0
    assert found[tuple(matches.order.tolist())] == max(found.values())
    assert matches.share.item() == pytest.approx(max(found.values()) / 16)


def test_an_interrupted_run_counts_on_where_it_was():
    def advance(count, status=""):
        return None

    whole = two_step_trainer("cal")
    for _ in range(2):
        whole.train_epoch(lambda: False, advance)
    stopped = two_step_trainer("cal")
    stopped.train_epoch(lambda: False, advance)
    stopped.train_epoch(lambda: True, advance)
    state = {name: value.clone() for name, value in stopped.method.state_dict().items()}
    assert state["matches.counts"].sum() == 8
    resumed = two_step_trainer("cal")
    resumed.method.load_state_dict(state)
    resumed.restore(SimpleNamespace(**stopped.state()))
    resumed.train_epoch(lambda: False, advance)
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name


def test_matchings_of_both_sides_speak_for_the_same_order(batch):
    """Rows of infrared images match infrared parts to visible ones, rows of visible images the other way round."""
    method = small_method("cal").train()
    pi = [2, 0, 3, 1]
    weights = torch.zeros(len(batch), 4, 4)
    for row, side in enumerate(batch.modality.tolist()):
        for visible in range(4):
            u, v = (visible, pi[visible]) if side == 0 else (pi[visible], visible)
            weights[row, u, v] = 1.0
    weights[0] = torch.eye(4)
    matchings, order = method._match(weights, batch)
    assert order.tolist() == pi and matchings[1].tolist() == pi and matchings[0].tolist() == [0, 1, 2, 3]
    assert method.matches.counts.sum() == 12 and method.matches.counts[0] == 1
    method.end_of_epoch(0, {})
    assert method.matches.order.tolist() == pi and method.matches.share.item() == pytest.approx(11 / 12)
    method.eval()._match(weights, batch)
    assert method.matches.counts.sum() == 0


def test_only_infrared_parts_are_reordered(batch):
    method = small_method("cal").eval()
    with torch.no_grad():
        before = [method.embed(batch.images, modality)["parts"] for modality in ("visible", "infrared")]
        method.matches.order.copy_(torch.tensor([3, 1, 0, 2]))
        after = [method.embed(batch.images, modality)["parts"] for modality in ("visible", "infrared")]
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], before[1][:, [3, 1, 0, 2]])
    as_it_is = small_method("cal", "", ["test_reorder=none"]).eval()
    as_it_is.load_state_dict(method.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(as_it_is.embed(batch.images, "infrared")["parts"], before[1])


@pytest.mark.parametrize("variant", ["tca", "no-matchdistill", "kd1", "kd2", "kd1-kd2", "baseline"])
def test_without_matching_nothing_is_reordered(variant):
    assert not [name for name in small_method("cal", variant).state_dict() if name.startswith("matches.")]


def test_variants_that_are_said_to_be_equal_are():
    for one, other in (("", "tca-matchdistill"), ("", "full"), ("", "kd1-kd2-cqm"), ("tca", "no-matchdistill")):
        first, second = load_recipe("cal", one), load_recipe("cal", other)
        assert (first.model, first.loss_weights) == (second.model, second.loss_weights)


def test_every_row_of_the_tables_is_a_variant(shared):
    with (shared / "published" / "ablations.csv").open(newline="", encoding="utf-8") as table:
        rows = {row["variant"] for row in csv.DictReader(table) if row["method"] == "cal"}
    assert rows == set(VARIANTS) - {"", "cosine-masks"}
    tables = method_entry("cal").recipe_file.variants
    assert all(tables[name].printed == f"cal/{name}" for name in rows) and not tables["cosine-masks"].printed


def test_the_baseline_variant_is_the_baseline(batch):
    ours, theirs = small_method("cal", "baseline").eval(), small_method("baseline", "b", ["loss=id"]).eval()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.losses(batch), theirs.losses(batch))
    ranked = (method.embed(batch.images[:2], "visible")["embedding"] for method in (ours, theirs))
    torch.testing.assert_close(*ranked)


def test_the_head_trains_at_the_full_rate():
    groups = grouped_names(small_method("cal", "pcl-to-center"))
    assert all(name.startswith("backbone.") for name in groups[0.1])
    assert {name.partition(".")[0] for name in groups[1.0]} == {
        "attention", "centres", "classifier", "neck", "region_classifiers", "regions",
    }  # fmt: skip


def test_the_recipe_of_the_paper():
    recipe = load_recipe("cal")
    assert (recipe.sampler.identities, recipe.sampler.images, recipe.schedule.epochs) == (8, 4, 100)
    assert (recipe.model.parts, recipe.model.alpha, recipe.model.sigma) == (4, 0.6, 0.6)
    weights = recipe.loss_weights
    assert weights == {"identity": 1, "metric": 1, "kd1": 1, "kd2": 1, "dis": 0.1, "div": 0.1}


@pytest.mark.parametrize("override", ["parts=0", "alpha=0", "sigma=-1", "kd_temperature=0", "gate_reduction=0"])
def test_impossible_settings_are_refused(override):
    with pytest.raises(UsageError, match=override.partition("=")[0]):
        load_recipe("cal", overrides=[override])
