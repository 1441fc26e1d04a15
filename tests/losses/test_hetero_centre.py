"""Losses between the centres of the modalities, against loops written from their definitions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.losses import hard_triplet, hetero_centre, hetero_centre_triplet

LOSSES = {
    "hct": hetero_centre_triplet,
    "hct-sum": lambda x, y, m: hetero_centre_triplet(x, y, m, reduction="sum"),
    "hc": hetero_centre,
}


def random_batch(seed, sizes=((3, 2), (1, 4), (2, 2)), dim=5):
    """Identities with ``sizes`` (visible, infrared) images each, visible first."""
    generator = torch.Generator().manual_seed(seed)
    labels = [i for code in range(2) for i, size in enumerate(sizes) for _ in range(size[code])]
    modality = [code for code in range(2) for size in sizes for _ in range(size[code])]
    centres = torch.randn(len(sizes), dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return 0.3 * centres[labels] + 0.4 * noise, torch.tensor(labels), torch.tensor(modality)


def centres_of(embeddings, labels, modality):
    groups = {}
    for row, label, code in zip(embeddings, labels.tolist(), modality.tolist(), strict=True):
        groups.setdefault((label, code), []).append(row)
    return {key: sum(rows) / len(rows) for key, rows in groups.items()}


def loop_hct(embeddings, labels, modality, margin=0.3):
    centres = centres_of(embeddings, labels, modality)
    terms = []
    for (label, code), centre in centres.items():
        across = math.dist(centre, centres[label, 1 - code])
        nearest = min(math.dist(centre, other) for (stranger, _), other in centres.items() if stranger != label)
        terms.append(max(0.0, margin + across - nearest))
    return terms


def loop_hc(embeddings, labels, modality):
    centres = centres_of(embeddings, labels, modality)
    return sum(math.dist(centres[label, 0], centres[label, 1]) ** 2 for label, code in centres if code == 0)


@pytest.mark.parametrize("name", [*LOSSES, "triplet"])
def test_losses_of_several_parts_are_those_of_each(name):
    loss = LOSSES.get(name, lambda x, y, m: hard_triplet(x, y))
    batches = [random_batch(seed) for seed in range(3)]
    parts = torch.stack([embeddings for embeddings, _, _ in batches])
    _, labels, modality = batches[0]
    expected = torch.stack([loss(part, labels, modality) for part in parts])
    torch.testing.assert_close(loss(parts, labels, modality), expected)
    assert expected.std() > 0


@pytest.mark.parametrize("seed", range(5))
def test_losses_equal_their_loops(seed):
    x, y, m = random_batch(seed)
    terms = loop_hct(x, y, m)
    assert any(term > 0 for term in terms)
    assert hetero_centre_triplet(x, y, m).item() == pytest.approx(sum(terms) / len(terms), rel=1e-6)
    assert LOSSES["hct-sum"](x, y, m).item() == pytest.approx(sum(terms), rel=1e-6)
    wider = loop_hct(x, y, m, 1.5)
    assert hetero_centre_triplet(x, y, m, 1.5).item() == pytest.approx(sum(wider) / len(wider), rel=1e-6)
    assert hetero_centre(x, y, m).item() == pytest.approx(loop_hc(x, y, m), rel=1e-6)


def test_equals_the_triplet_loss_on_the_centres():
    x, y, m = random_batch(0)
    centres = centres_of(x, y, m)
    labels = torch.tensor([label for label, _ in centres])
    torch.testing.assert_close(
        hetero_centre_triplet(x, y, m), hard_triplet(torch.stack(list(centres.values())), labels)
    )


def test_the_gradient_is_that_of_the_centres():
    x, y, m = random_batch(2)
    x.requires_grad_()
    (actual,) = torch.autograd.grad(hetero_centre_triplet(x, y, m), x)
    labels = torch.tensor([label for label, _ in centres_of(x, y, m)])
    (expected,) = torch.autograd.grad(hard_triplet(torch.stack(list(centres_of(x, y, m).values())), labels), x)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_order_names_and_rotation_do_not_matter(name, seed):
    x, y, m = random_batch(seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    expected = LOSSES[name](x, y, m)
    torch.testing.assert_close(LOSSES[name](x[order], y[order], m[order]), expected)
    torch.testing.assert_close(LOSSES[name](x, 7 - 2 * y, 1 - m), expected)
    torch.testing.assert_close(LOSSES[name](x @ rotation, y, m), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_in_degenerate_batches(name):
    both = torch.tensor([0, 0, 1, 1])
    for x, y, m in (
        (torch.ones(4, 3), torch.tensor([0, 1, 0, 1]), both),
        (torch.randn(4, 3), torch.zeros(4, dtype=torch.int64), both),
        (torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), both),  # every identity in one modality only
        (1000 * torch.randn(8, 3), torch.arange(4).repeat(2), torch.arange(2).repeat_interleave(4)),
    ):
        x = x.clone().requires_grad_()
        loss = LOSSES[name](x, y, m)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(x.grad).all()


def test_an_identity_of_one_modality_has_no_counterpart():
    x, y, m = random_batch(1)
    lonely = torch.cat([x, torch.full((1, 5), 9.0, dtype=x.dtype)])
    y, m = torch.cat([y, torch.tensor([8])]), torch.cat([m, torch.tensor([0])])
    assert hetero_centre(lonely, y, m).item() == pytest.approx(loop_hc(x, y[:-1], m[:-1]), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_stays_in_float32_under_autocast(name):
    x, y, m = random_batch(3)
    x = x.float()
    with torch.autocast("cpu", torch.bfloat16):
        reduced = LOSSES[name](x, y, m)
    torch.testing.assert_close(reduced, LOSSES[name](x, y, m))
    assert LOSSES[name](x.bfloat16(), y, m).dtype == torch.float32
