"""The profile of a toy network, against figures counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.profiling.toy import FLOPS, HEIGHT, TEST_PARAMETERS, TRAINING_PARAMETERS, WIDTH, Toy
from vibench.errors import UsageError, VibenchError
from vibench.methods.base import Method
from vibench.profiling.flops import count_flops, flops_of
from vibench.profiling.measure import profile_method
from vibench.profiling.parameters import count_parameters
from vibench.profiling.profile import Profile, read_profile, write_profile
from vibench.profiling.target import load_target
from vibench.runtime.devices import resolve_precision

CPU = torch.device("cpu")


def _profile(device: torch.device = CPU, **options: object) -> Profile:
    chosen = {"seconds": 0.02, "largest_batch": 2, "galleries": (10, 30), **options}
    return profile_method(Toy(), device, resolve_precision("off", device), **chosen)  # type: ignore[arg-type]


def test_parameters_are_those_counted_by_hand() -> None:
    found = count_parameters(Toy())
    assert (found.train, found.test) == (TRAINING_PARAMETERS, TEST_PARAMETERS)


def test_shared_parameters_count_once() -> None:
    method = Toy()
    method.infrared_projection = method.projection
    assert count_parameters(method).train == TRAINING_PARAMETERS


def test_prefix_of_another_name_is_not_dropped() -> None:
    method = Toy()
    method.classifier_free = torch.nn.Linear(1, 1, bias=False)
    assert count_parameters(method).test == TEST_PARAMETERS + 1


@pytest.mark.parametrize("training", [True, False])
def test_flops_are_those_counted_by_hand(training: bool) -> None:
    method = Toy().train(training)
    statistics = method.norm.running_mean.clone()
    assert count_flops(method, HEIGHT, WIDTH) == FLOPS
    assert method.training is training
    torch.testing.assert_close(method.norm.running_mean, statistics)


def test_attention_counts_on_a_cpu_too() -> None:
    """Queries times keys and weights times values are 2 products of 7 x 7 x 4, and backwards 5, in 2 x 3 heads."""
    query = torch.randn(2, 3, 7, 4, requires_grad=True)

    def attend() -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, query, query)

    forward = 2 * 2 * (2 * 3) * (7 * 7 * 4)
    assert flops_of(attend) == forward
    assert flops_of(lambda: attend().sum().backward()) == forward + 5 * forward // 2


def test_the_profile_of_a_toy(tmp_path: Path) -> None:
    found = _profile()
    assert (found.parameters_train, found.parameters_test) == (TRAINING_PARAMETERS, TEST_PARAMETERS)
    assert (found.embedding_size, found.input, found.dataset) == (7, "64x32", "sysu-mm01")
    assert (found.method, found.variant, found.precision) == ("toy", "v", "fp32")
    assert found.threads == torch.get_num_threads()
    assert found.embedding and found.embedding.flops_per_image == FLOPS
    assert [phase.name for phase in found.phases()] == [
        *("forward", "backward", "optimiser", "adversary"),
        *("extraction", "matching"),
    ]
    for phase in found.phases():
        assert phase.memory.resident and phase.memory.allocated is None
        assert 0 < phase.duration.lower_quartile <= phase.duration.median <= phase.duration.upper_quartile
    write_profile(tmp_path / "p.json", found)
    assert read_profile(tmp_path / "p.json") == found


def test_parts_that_nobody_asked_for_are_left_out() -> None:
    found = _profile(parts=("matching",))
    assert found.embedding is None and found.training is None and len(found.matching) == 1


def test_the_network_is_left_in_eval_mode_with_its_weights() -> None:
    method = Toy()
    before = {name: value.clone() for name, value in method.named_parameters()}
    profile_method(method, CPU, resolve_precision("off", CPU), seconds=0.0, largest_batch=1, galleries=(10,))
    assert not method.training
    assert all(torch.equal(value, before[name]) for name, value in method.named_parameters())


def test_a_profile_counts_its_parts() -> None:
    seen: list[tuple[int, list[int]]] = []

    @contextmanager
    def progress(description: str, total: int) -> Iterator[object]:
        steps: list[int] = []
        yield lambda count, status="": steps.append(count)
        seen.append((total, steps))

    _profile(progress=progress)
    assert seen == [(3, [1, 1, 1])]


def test_not_even_one_image_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(self: Toy, images: torch.Tensor, modality: str) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Toy, "embed", embed)
    with pytest.raises(VibenchError, match="toy: not even one image of 64x32 fits on cpu"):
        _profile()


def test_target_is_a_method_by_name_whatever_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseline").mkdir()
    overrides = ["model.backbone=resnet18-slim", "input.height=64", "input.width=32"]
    method = load_target("baseline", overrides=overrides)
    assert (method.name, method.num_classes, method.recipe.input.height) == ("baseline", 395, 64)
    assert load_target("baseline", dataset="regdb-twin", overrides=overrides).num_classes == 206


def test_unknown_target_and_options_that_a_run_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a method"):
        load_target("basline")
    with pytest.raises(UsageError, match="not a run folder"):
        load_target(str(tmp_path))
    with pytest.raises(UsageError, match="leave out --variant"):
        load_target(str(tmp_path), variant="b")
    (tmp_path / "c.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match=r"c\.pt"):
        load_target(str(tmp_path / "c.pt"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_profile_on_cuda() -> None:
    device = torch.device("cuda")
    found = _profile(device)
    assert found.device == torch.cuda.get_device_name(device)
    assert found.embedding and found.training
    for phase in found.phases():
        assert phase.memory.resident is None
        assert phase.memory.reserved and phase.memory.allocated
        assert phase.memory.reserved >= phase.memory.allocated
        assert 0 < phase.duration.median < 1000
    cpu = _profile()
    assert cpu.training
    assert [phase.flops for phase in found.training.phases] == [phase.flops for phase in cpu.training.phases]
    batch = found.embedding.batches[-1]
    assert (batch.memory.allocated or 0) >= batch.images * 3 * HEIGHT * WIDTH * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_end_where_the_memory_of_the_gpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    embed = Toy.embed

    def greedy(self: Method, images: torch.Tensor, modality: str) -> dict[str, torch.Tensor]:
        # A thousand times the card from eight images on.
        torch.empty(len(images) ** 20, dtype=torch.uint8, device=images.device)
        return embed(self, images, modality)

    monkeypatch.setattr(Toy, "embed", greedy)
    found = _profile(torch.device("cuda"), parts=("embedding",), largest_batch=64)
    assert found.embedding and found.embedding.ended in ("memory", "plateau")
    assert found.embedding.batches[-1].images < 8
