import math

import pytest
import torch

from vibench.nn.graph_attention import GraphAttention


def by_concatenation(head: GraphAttention, nodes: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
    """The definition, pair by pair."""
    head = head.requires_grad_(False)
    hidden = [node @ head.W for node in nodes]
    rows = []
    for i in range(len(nodes)):
        members = [j for j in range(len(nodes)) if neighbours[i, j]]
        scores = []
        for j in members:
            score = float(torch.cat([hidden[i], hidden[j]]) @ head.a[:, 0])
            scores.append(math.exp(score if score > 0 else head.slope * score))
        rows.append(sum(s / sum(scores) * hidden[j] for s, j in zip(scores, members, strict=True)))
    return torch.stack(rows)


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed):
    torch.manual_seed(seed)
    head = GraphAttention(5, 3).double()
    nodes = torch.randn(7, 5, dtype=torch.float64)
    neighbours = (torch.rand(7, 7) < 0.4) | torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close(head(nodes, neighbours), by_concatenation(head, nodes, neighbours))


def test_a_node_that_sees_itself_alone_is_its_projection():
    head = GraphAttention(4, 2)
    nodes = torch.randn(3, 4)
    torch.testing.assert_close(head(nodes, torch.eye(3, dtype=torch.bool)), nodes @ head.W)


def test_strangers_have_no_influence_and_get_no_gradient():
    head = GraphAttention(4, 2)
    nodes = torch.randn(4, 4, requires_grad=True)
    neighbours = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    (gradient,) = torch.autograd.grad(head(nodes, neighbours)[:2].sum(), nodes)
    assert (gradient[2:] == 0).all() and (gradient[:2] != 0).any()


def test_never_builds_the_pairs():
    head, nodes = GraphAttention(8, 64), torch.randn(100, 8, requires_grad=True)
    sizes = []

    def record(saved: torch.Tensor) -> torch.Tensor:
        sizes.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(record, lambda saved: saved):
        head(nodes, torch.ones(100, 100, dtype=torch.bool))
    assert max(sizes) <= 100 * 100


def test_dropout_acts_in_training_only():
    head = GraphAttention(4, 2, dropout=0.5)
    nodes, everyone = torch.randn(6, 4), torch.ones(6, 6, dtype=torch.bool)
    whole = head.eval()(nodes, everyone)
    torch.testing.assert_close(head(nodes, everyone), whole)
    assert not torch.allclose(head.train()(nodes, everyone), whole)


def test_stays_in_float32_under_autocast():
    head, nodes = GraphAttention(4, 2), 300 * torch.randn(6, 4)
    everyone = torch.ones(6, 6, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = head(nodes, everyone)
    torch.testing.assert_close(reduced, head(nodes, everyone))
