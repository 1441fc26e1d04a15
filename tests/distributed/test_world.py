"""What processes tell one another, and what becomes of them when one fails, dies or says nothing."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion

from tests.distributed.several import on_processes
from tests.warm import Warm
from vibench.distributed.dealt import Dealt
from vibench.distributed.layers import see_whole_batches
from vibench.distributed.world import ALONE, PeerLost, World, joined
from vibench.errors import AlreadyReported, UsageError, VibenchError, VibenchWarning


def talk(world: World) -> dict[str, object]:
    """Everything that processes tell one another, in one go."""
    found: dict[str, object] = {"any": [world.any(False), world.any(world.rank == 1)]}
    found["told"] = world.from_leader(lambda: f"by {world.rank}")
    try:
        world.from_leader(refuse)
    except UsageError as error:
        found["refused"] = str(error)
    rows = torch.arange(10.0).reshape(5, 2) + 10 * world.rank
    dealt = Dealt(world, identities=3, images=1)
    own = rows[: 2 if world.leads else 1].half().requires_grad_()
    whole = dealt.gather(own)
    (whole * torch.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    found["gathered"], found["gradient"] = whole.tolist(), own.grad.tolist()
    found |= layers_of_a_share(world)
    return found


def refuse() -> str:
    raise UsageError("no such thing.")


@torch.no_grad()
def layers_of_a_share(world: World) -> dict[str, object]:
    """Batch norm, in training and in testing, and dropout of a share, beside those of the whole batch."""
    torch.manual_seed(0)
    whole = torch.randn(6, 4, 3, 2).to(memory_format=torch.channels_last).bfloat16()
    dealt = Dealt(world, identities=3, images=1)
    layers = [nn.Sequential(nn.BatchNorm2d(4, momentum=momentum), nn.Dropout(0.5)) for momentum in (0.1, None)]
    alone = [nn.Sequential(nn.BatchNorm2d(4, momentum=momentum), nn.Dropout(0.5)) for momentum in (0.1, None)]
    see_whole_batches(layers, dealt, torch.device("cpu"), batch_norm=True)
    differences: list[float] = []
    for ours, theirs in zip(layers, alone, strict=True):
        for _ in range(2):
            torch.manual_seed(1)
            expected = dealt.take(theirs(whole))
            torch.manual_seed(1)
            found = ours(dealt.take(whole))
            assert found.dtype == expected.dtype
            differences.append(float((found - expected).abs().max()))
        states = ours.state_dict(), theirs.state_dict()
        assert list(states[0]) == list(states[1])
        differences += [float((states[0][name] - value).abs().max()) for name, value in states[1].items()]
        differences.append(float((ours.eval()(whole) - theirs.eval()(whole)).abs().max()))
    return {"norms": max(differences)}


def test_processes_tell_one_another(warm: Warm, tmp_path: Path) -> None:
    found = on_processes(warm, talk, tmp_path)
    for rank, one in enumerate(found):
        assert one["any"] == [False, True]
        assert one["told"] == "by 0"
        assert one["refused"] == "no such thing."
        assert one["gathered"] == [[0, 1], [2, 3], [10, 11]]
        # Both processes send back what they had, so a row gets it twice.
        assert one["gradient"] == ([[2, 2], [4, 4]] if rank == 0 else [[6, 6]])
        assert one["norms"] < 0.05


def fail(world: World) -> None:
    raise UsageError("this went wrong.")


def test_an_error_is_reported_once(warm: Warm, tmp_path: Path) -> None:
    first, second = on_processes(warm, fail, tmp_path)
    assert type(first) is UsageError and str(first) == "this went wrong."
    assert isinstance(second, AlreadyReported) and second.exit_code == UsageError.exit_code


def die(world: World) -> None:
    if world.rank == 1:
        os._exit(9)
    world.any(False)


def test_a_process_that_dies_leaves_a_sentence_to_the_others(warm: Warm, tmp_path: Path) -> None:
    lost, code = on_processes(warm, die, tmp_path)
    assert code == 9
    assert isinstance(lost, PeerLost) and "another of the 2 processes of this job has gone" in str(lost)


@pytest.mark.parametrize(("version", "warns"), [("2.7.1+cu126", True), ("2.8.0", False), ("2.13.0+cpu", False)])
def test_a_torch_that_can_hang_is_named(version: str, warns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings(record=True) as caught, pytest.raises(VibenchError), joined("cuda:0"):
        pass
    assert [warning.category for warning in caught] == [VibenchWarning] * warns


def test_one_process_alone_waits_for_nobody() -> None:
    assert ALONE.any(True) and ALONE.from_leader(lambda: "said") == "said"
    with pytest.raises(UsageError, match="no such thing"):
        ALONE.from_leader(refuse)
