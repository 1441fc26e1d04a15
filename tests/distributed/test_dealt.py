"""How a batch is dealt, without any process."""

from __future__ import annotations

import pytest
import torch

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.distributed.dealt import Dealt
from vibench.distributed.world import World
from vibench.errors import UsageError
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.runtime.devices import resolve_precision
from vibench.training.trainer import Trainer


def test_every_block_is_dealt_by_identity() -> None:
    # Two visible views and infrared, five identities with two images each: 100 * block + 10 * identity + image.
    rows = torch.cartesian_prod(100 * torch.arange(3), 10 * torch.arange(5), torch.arange(2)).sum(dim=1)
    shares = [Dealt(World(rank, 2), identities=5, images=2).take(rows) for rank in range(2)]
    assert shares[0].tolist() == [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121, 200, 201, 210, 211, 220, 221]
    assert shares[1].tolist() == [30, 31, 40, 41, 130, 131, 140, 141, 230, 231, 240, 241]
    assert Dealt(World(1, 2), identities=5, images=2).whole_shape(shares[1][:, None]) == (30, 1)


def test_more_processes_than_identities_are_refused() -> None:
    with pytest.raises(UsageError, match=r"sampler.identities = 2: .* 3 processes; start at most 2"):
        Dealt(World(0, 3), identities=2, images=4)


def test_a_method_that_gathers_nothing_is_refused() -> None:
    method = build_method(load_recipe("toy", dataset="sysu-mm01"), num_classes=4)
    device = torch.device("cpu")
    with pytest.raises(UsageError, match=r"toy cannot train on 2 processes: .*Method.dealt_modules"):
        Trainer(method, None, device, resolve_precision("off", device), 0, world=World(0, 2))  # type: ignore[arg-type]
