"""The simulated device itself: what a GPU refuses, what it leaves undefined, and what it does late."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.simulated_cuda.order import MEMORY, Fault
from vibench.methods.cm_ssft.query_graph import graph_distances
from vibench.methods.cm_ssft.transfer import TransferNetwork
from vibench.runtime.determinism import deterministic
from vibench.runtime.devices import compile_function


def test_a_stream_that_has_not_waited_reads_and_writes_nothing() -> None:
    side, values = torch.cuda.Stream(), torch.ones(3, device="cuda")
    with torch.cuda.stream(side), pytest.raises(Fault, match="may still write"):
        values.sum()
    with torch.cuda.stream(side):
        side.wait_stream(torch.cuda.current_stream("cuda:1"))
        with pytest.raises(Fault, match="may still write"):
            values.sum()
    side.wait_stream(torch.cuda.default_stream())
    with torch.cuda.stream(side):
        total = values.sum()
    with pytest.raises(Fault, match="may still read"):
        values.zero_()
    side.synchronize()
    values.zero_()
    assert total.item() == 3


def test_devices_do_not_mix() -> None:
    here, one, other = torch.ones(3), torch.ones(3, device="cuda:0"), torch.ones(3, device="cuda:1")
    for left, right in ((here, one), (one, here), (one, other)):
        with pytest.raises(RuntimeError, match="same device"):
            left + right
    with pytest.raises(RuntimeError, match="same device"):
        one.gather(0, torch.zeros(1, dtype=torch.int64))
    with pytest.raises(TypeError, match="numpy"):
        one.numpy()
    assert (one * torch.tensor(2.0)).tolist() == [2, 2, 2]
    assert one.to("cuda:1").add(other).device == torch.device("cuda:1")


def test_parts_of_a_weight_in_inference_mode() -> None:
    weight = torch.nn.Linear(4, 2).to("cuda").weight
    with torch.inference_mode():
        first, second = weight.chunk(2, dim=1)
        assert torch.equal(torch.cat([first, second], dim=1), weight)


def test_copies_of_pinned_memory_come_late() -> None:
    torch.cuda.synchronize()
    host = torch.ones(4).pin_memory()
    there = host.to("cuda", non_blocking=True)
    host.fill_(5)
    assert there.sum().item() == 20
    back = torch.empty(4, pin_memory=True).copy_(there, non_blocking=True)
    assert back.isnan().all()
    torch.cuda.synchronize()
    assert back.tolist() == [5, 5, 5, 5]
    late = there.to("cpu", non_blocking=True)
    assert late.isnan().all()


def test_results_of_a_graph_end_with_its_next_replay() -> None:
    double = compile_function(lambda values: values * 2, "cuda", graphs=True)
    first = double(torch.ones(2, device="cuda"))
    assert first.tolist() == [2, 2]
    second = double(torch.full((2,), 3.0, device="cuda"))
    assert first.isnan().all() and second.tolist() == [6, 6]


def test_random_numbers_are_the_devices_own() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one, mark = torch.rand(4, device="cuda"), torch.cuda.get_rng_state()
    assert torch.equal(state, torch.get_rng_state())
    following = torch.rand(4, device="cuda")
    torch.cuda.set_rng_state(mark)
    assert torch.equal(torch.rand(4, device="cuda"), following)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(4, device="cuda"), one) and not torch.equal(torch.rand(4), one.cpu())


def test_deterministic_mode_warns_of_what_cuda_cannot_repeat() -> None:
    def gradient(size: int) -> None:
        maps = torch.ones(1, 2, 4, 4, device="cuda", requires_grad=True)
        torch.nn.functional.adaptive_avg_pool2d(maps, size).sum().backward()

    for work in (lambda: gradient(2), lambda: torch.ones(3, device="cuda").cumsum(0)):
        with deterministic(True), pytest.warns(UserWarning, match="deterministic"):
            work()
    with deterministic(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.ones(3, dtype=torch.int64, device="cuda").cumsum(0)


@pytest.mark.parametrize("size", [1, 4])
def test_cm_ssft_ranks_on_a_card_with_little_memory(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """SYSU-MM01's gallery of single-shot search: its graphs would fill what is free several times over."""
    network = TransferNetwork(128, 128, 4, True, True, True, True).eval()
    query, gallery = torch.randn(800, 3 * 128), torch.randn(301, 3 * 128)
    with torch.no_grad():
        expected = graph_distances(network, query[:40], gallery, size)
        network, query, gallery = network.to("cuda"), query.cuda(), gallery.cuda()
        monkeypatch.setattr(MEMORY[0], "capacity", torch.cuda.memory_allocated() + (128 << 20))
        torch.cuda.empty_cache()
        found = graph_distances(network, query, gallery, size)
    assert found.shape == (800, 301)
    torch.testing.assert_close(found[:40].cpu(), expected, atol=1e-5, rtol=0)
