"""CAL against its literal version, `tests.methods.literal.cal`: losses, gradients, matchings, ranking, steps."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from tests.methods.double import (
    check_close,
    double_batches,
    double_method,
    gradients_of,
    shares,
    train_epoch,
    trainable,
    weighted,
)
from tests.methods.literal import cal as literal
from tests.methods.literal.network import Weights, batch_norm, sgd_step
from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.cal import method as cal_method
from vibench.methods.cal.attention import TargetAwareAttention
from vibench.methods.cal.matching import MatchHistogram
from vibench.methods.cal.method import CAL
from vibench.methods.cal.regions import RegionMining

HEIGHT, WIDTH = 96, 48
"""Maps of 6 x 3 positions: a part selects 3 of 18."""

NAMES = (
    (r"backbone\.visible\.", "Conv^V."),
    (r"backbone\.infrared\.", "Conv^I."),
    (r"backbone\.shared\.", "Conv."),
    (r"regions\.visible\.prototypes\.weight$", "DRM^V"),
    (r"regions\.infrared\.prototypes\.weight$", "DRM^I"),
    (r"regions\.prototypes\.weight$", "DRM"),
    (r"regions\.visible\.vectors$", "Queries^V"),
    (r"regions\.infrared\.vectors$", "Queries^I"),
    (r"attention\.position_mlp\.0\.", "theta1.0."),
    (r"attention\.position_mlp\.2\.", "theta1.1."),
    (r"attention\.query_mlp\.0\.", "theta2.0."),
    (r"attention\.query_mlp\.2\.", "theta2.1."),
    (r"attention\.gate_mlp\.0\.", "theta3.0."),
    (r"attention\.gate_mlp\.2\.", "theta3.1."),
    (r"region_classifiers\.0\.", "Phi^V."),
    (r"region_classifiers\.1\.", "Phi^I."),
    (r"neck\.", "neck."),
    (r"classifier\.weight$", "classifier"),
    (r"classifier\.(\d)\.weight$", r"classifier.\1"),
    (r"centres\.centres$", "centres"),
    (r"matches\.", "matches."),
)
"""Our names, and those of the literal version."""


def theirs(tensors: Mapping[str, Tensor]) -> Weights:
    """``tensors`` under the literal names; prototypes have no positions there."""
    shared_heads = not any(name.startswith("region_classifiers.1.") for name in tensors)
    out = {}
    for name, value in tensors.items():
        pattern, there = next(pair for pair in NAMES if re.match(pair[0], name))
        renamed = re.sub(f"^{pattern}", there, name)
        if shared_heads:
            renamed = renamed.replace("Phi^V.", "Phi.")
        out[renamed] = value.flatten(1) if renamed.startswith("DRM") else value
    return out


def literal_weights(method: Method) -> Weights:
    """Copies of all weights and statistics; those that train take a gradient."""
    copies = theirs({name: value.detach().clone() for name, value in method.state_dict().items()})
    for name in theirs(trainable(method)):
        copies[name].requires_grad_()
    return copies


def literal_options(method: CAL) -> literal.Options:
    """The literal version's options of the same name; without a loss on matched parts they are paired by index."""
    model = method.recipe.model
    values = {name: getattr(model, name) for name in literal.Options.__dataclass_fields__}
    if method.matches is None:
        values["cqm"] = "identity"
    return literal.Options(**values)


def literal_step(method: CAL, batch: Batch, partners: list[int], weights: Weights) -> literal.Step:
    """The losses that the recipe gives a weight, and all matchings."""
    maps = literal.feature_maps(*batch.images.chunk(2), weights, True)
    labels, cameras = batch.labels.tolist(), batch.cameras.tolist()
    step = literal.training_step(maps, labels, cameras, partners, weights, literal_options(method))
    asked = {name: loss for name, loss in step.losses.items() if method.recipe.loss_weights[name] > 0}
    return literal.Step(asked, step.matchings)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The partners of every batch that a method meets."""
    rows: list[list[int]] = []
    draw = cal_method.partners

    def watched(labels: Tensor, modality: Tensor) -> Tensor:
        read = draw(labels, modality)
        rows.append(read.tolist())
        return read

    monkeypatch.setattr(cal_method, "partners", watched)
    return rows


def made(variant: str = "", *switches: str) -> CAL:
    method = double_method("cal", variant, switches)
    assert isinstance(method, CAL)
    return method


@pytest.mark.parametrize(
    ("variant", "switches"),
    [
        ("", []),
        ("tca", ["identity_on=self"]),
        ("drm-shared", ["region_heads=shared", "pcl_reduction=sum", "sigma=0.3"]),
        ("drm-lv", []),
        ("drm-hs-2", ["identity_heads=part"]),
        ("drm-hs-6", []),
        ("tsaa-sd", ["kd_mutual=true", "kd_temperature=2.0"]),
        ("tsaa-sd-wo-ca", ["pooling=sliding"]),
        ("pcl-to-triplet", []),
        ("pcl-to-center", []),
        ("pcl-to-ica-cca", []),
        ("kd1-kd2", ["metric_normalise=false", "sigma=0.9"]),
        ("cosine-masks", ["parts=3", "alpha=0.9"]),
    ],
)
def test_losses_and_their_gradients(variant: str, switches: list[str], drawn: list[list[int]]) -> None:
    """Every loss, and the gradient in all weights, which CAL itself shows by loss and a variant of a weighted sum."""
    method, batch = made(variant, *switches), double_batches(HEIGHT, WIDTH)[0]
    torch.manual_seed(1)
    weights = literal_weights(method)
    ours = method.train().losses(batch)
    step = literal_step(method, batch, drawn[0], weights)
    check_close(ours, step.losses, "losses")
    taking = {name: value for name, value in weights.items() if value.requires_grad}
    for name, share in shares(ours, apart=variant == "").items():
        found = theirs(gradients_of(weighted(ours, share), trainable(method)))
        check_close(found, gradients_of(weighted(step.losses, share), taking), f"gradient of {name}")


def test_the_baseline_and_its_gradient() -> None:
    method, batch = made("baseline"), double_batches(HEIGHT, WIDTH)[0]
    weights = literal_weights(method)
    (loss,) = method.train().losses(batch).values()
    maps = literal.feature_maps(*batch.images.chunk(2), weights, True)
    expected = literal.baseline_loss(maps, batch.labels.tolist(), weights)
    check_close({"identity": loss}, {"identity": expected}, "losses")
    taking = {name: value for name, value in weights.items() if value.requires_grad}
    check_close(theirs(gradients_of(loss, trainable(method))), gradients_of(expected, taking), "gradient of identity")


@pytest.mark.parametrize("pooling", ["strided", "sliding"])
@pytest.mark.parametrize(("height", "width"), [(9, 5), (6, 7), (3, 2)])
def test_mined_regions_and_their_gradient_in_the_map(height: int, width: int, pooling: str) -> None:
    """Part vectors and selected scores, Eq. (3), of maps whose sizes leave windows incomplete."""
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, height, width, generator=draw, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    mining = RegionMining(4, 3, 0.6, pooling).double()  # type: ignore[arg-type]
    prototypes = mining.prototypes.weight
    found = mining(maps)
    scores = [literal.part_scores(x, prototypes.flatten(1), pooling) for x in maps]
    selected = [literal.select(each, 0.6) for each in scores]
    vectors = torch.stack([literal.part_vectors(s, literal.tokens(x)) for s, x in zip(selected, maps, strict=True)])
    assert found.scores is not None
    ours = {"P": found.vectors, "S": found.scores}
    there = {"P": vectors, "S": torch.stack(selected).transpose(1, 2)}
    check_close(ours, there, "regions")
    for name, value in ours.items():
        pull = torch.randn(value.shape, generator=draw, dtype=value.dtype)
        inputs = {"X": maps, "prototypes": prototypes}
        wanted = gradients_of((there[name] * pull).sum(), inputs)
        check_close(gradients_of((value * pull).sum(), inputs), wanted, "gradient of regions")


@pytest.mark.parametrize(("scores", "gate"), [("mlp", True), ("mlp", False), ("dot", True)])
def test_attention_and_its_gradient_in_map_and_parts(scores: str, gate: bool) -> None:
    """f and S of an image's parts on its own map and on that of another, Eq. (7) to (12)."""
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 8, 5, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(2, 3, 8, generator=draw, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    attention = TargetAwareAttention(8, scores, gate, 2, 4).double()  # type: ignore[arg-type]
    weights = theirs({f"attention.{name}": value for name, value in attention.named_parameters()})
    options = literal.Options(scores=scores, channel_gate=gate)
    encoded = attention.encode(maps, vectors)
    for read in ([0, 1], [1, 0]):
        f, s = attention(encoded, None if read == [0, 1] else torch.tensor(read))
        masks, features = [], []
        for i, j in enumerate(read):
            t, t_of_p = literal.tokens(maps[j]), literal.tokens(maps[i])
            masks.append(literal.mask(t, vectors[i], t_of_p, weights, options))
            features.append(literal.refine(t, vectors[i], masks[-1], weights, options))
        check_close({"f": f, "S": s}, {"f": torch.stack(features), "S": torch.stack(masks)}, "attention")
        pull = torch.randn(f.shape, generator=draw, dtype=f.dtype)
        inputs = {"X": maps, "P": vectors, **weights}
        wanted = gradients_of((torch.stack(features) * pull).sum(), inputs)
        check_close(gradients_of((f * pull).sum(), inputs), wanted, "gradient of attention")


@pytest.mark.parametrize("by", ["permutation", "edges"])
def test_matchings_of_an_epoch(by: str) -> None:
    """M^: of votes of one edge or another few whole permutations agree with, and of ties."""
    generator = torch.Generator().manual_seed(0)
    for votes in (1, 2, 7, 30):
        matchings = [tuple(torch.randperm(3, generator=generator).tolist()) for _ in range(votes)]
        histogram = MatchHistogram(3, by)  # type: ignore[arg-type]
        for matching in matchings:
            histogram.add(torch.tensor([matching]))
        histogram.close_epoch()
        wanted = literal.most_frequent if by == "permutation" else literal.most_frequent_by_edges
        assert tuple(histogram.order.tolist()) == wanted(matchings)


@pytest.mark.parametrize(
    ("variant", "switches"),
    [
        ("", []),
        ("", ["test_feature=g"]),
        ("drm-shared", []),
        ("drm-lv", []),
        ("drm-hs-2", []),
        ("tsaa-sd-wo-ca", []),
        ("kd1-kd2", []),
        ("baseline", []),
    ],
)
def test_what_testing_ranks_by(variant: str, switches: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From images to distances, the infrared prototypes in the order of the matching of the last epoch."""
    # Embeddings are float32, which would hide what is smaller.
    monkeypatch.setattr(Tensor, "float", lambda tensor: tensor)
    method = made(variant, *switches).eval()
    batch, parts = double_batches(HEIGHT, WIDTH)[0], method.recipe.model.parts
    weights = literal_weights(method)
    matching = tuple(range(parts))
    if variant != "baseline" and method.matches is not None:
        matching = (2, 0, 3, 1) if parts == 4 else (1, 0)
        method.matches.order.copy_(torch.tensor(matching))
    visible, infrared = batch.images.chunk(2)
    with torch.no_grad():
        query, gallery = (
            method.embed(images, m)["embedding"] for images, m in ((infrared, "infrared"), (visible, "visible"))
        )
        maps = literal.feature_maps(visible, infrared, weights, False)
        if variant == "baseline":
            rows = maps.mean(dim=(2, 3))[:, None]
        else:
            rows = literal_parts(maps, matching, weights, literal_options(method))
        if method.recipe.model.test_feature == "g":
            rows = batch_norm(rows.flatten(0, 1), weights, "neck", False).view(rows.shape)
        similarity = torch.stack([torch.stack([literal.similarity(q, g) for g in rows[:6]]) for q in rows[6:]])
    for mode in ("all", "single"):
        distances = method.distances(query, gallery, mode)
        check_close({"d": distances}, {"d": 1.0 - similarity / rows.shape[1]}, "distances")


def literal_parts(maps: Tensor, matching: literal.Matching, weights: Weights, options: literal.Options) -> Tensor:
    """Self-refined parts (B, parts, C) of maps of [V; I]; prototypes are reordered, or what has none by its output."""
    half = len(maps) // 2
    visible = [literal.embed(x, "V", weights, options) for x in maps[:half]]
    if options.drm == "modality":
        weights = {**weights, "DRM^I": literal.reordered(weights["DRM^I"], matching)}
        return torch.stack(visible + [literal.embed(x, "I", weights, options) for x in maps[half:]])
    infrared = [literal.embed(x, "I", weights, options)[list(matching)] for x in maps[half:]]
    return torch.stack(visible + infrared)


@pytest.mark.parametrize(
    ("epoch", "variant"), [(0, ""), (9, "drm-lv"), (10, "pcl-to-center"), (60, "drm-shared"), (99, "tsaa-sd")]
)
def test_training_steps(epoch: int, variant: str, drawn: list[list[int]]) -> None:
    """Two steps of the trainer on Eq. (20): SGD with Nesterov momentum and decay, the rate of Sec. 4.1 in that epoch.

    Open: the backbone takes a tenth of the rate.
    """
    method, batches = made(variant), double_batches(HEIGHT, WIDTH)
    weights, start = literal_weights(method), literal_weights(method)
    taking = [name for name, value in weights.items() if value.requires_grad]
    # The trainer draws by itself what it needs.
    train_epoch(method, batches, epoch)
    rate = literal.learning_rate(epoch)
    rates = {name: rate * (0.1 if name.startswith("Conv") else 1.0) for name in taking}
    buffers: Weights = {}
    matchings = []
    for batch, partners in zip(batches, drawn, strict=True):
        step = literal_step(method, batch, partners, weights)
        matchings += step.matchings
        total = sum(as_float32(literal.LAMBDA[name]) * loss for name, loss in step.losses.items())
        gradients = gradients_of(total, {name: weights[name] for name in taking})
        moved = sgd_step(weights, gradients, buffers, rates, 5e-4)
        weights = {name: value.detach().requires_grad_(name in taking) for name, value in moved.items()}
    ours = theirs(trainable(method))
    steps = {name: weights[name] - start[name] for name in taking}
    check_close({name: value - start[name] for name, value in ours.items()}, steps, "step")
    assert method.matches is not None
    order = literal.most_frequent(matchings)
    assert tuple(method.matches.order.tolist()) == order
    assert float(method.matches.share) == pytest.approx(matchings.count(order) / len(matchings))


def as_float32(weight: float) -> float:
    """The trainer weighs losses in float32, where a tenth is a little more than a tenth."""
    return float(torch.tensor(weight, dtype=torch.float32))
