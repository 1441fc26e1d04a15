"""The profile of a toy network, against hand-counted figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.profiling.toy import FLOPS, HEIGHT, TEST_PARAMETERS, TRAINING_PARAMETERS, WIDTH, Toy
from vibench.devices import resolve_precision
from vibench.errors import UsageError, VibenchError
from vibench.files import write_json
from vibench.profiling.flops import count_flops
from vibench.profiling.parameters import count_parameters
from vibench.profiling.profile import Profile, profile_method
from vibench.profiling.target import load_target

CPU = torch.device("cpu")


def _profile(device: torch.device = CPU, batch: int = 6) -> Profile:
    return profile_method(Toy(), device, resolve_precision("off", device), batch=batch, seconds=0.05)


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


def test_profile_of_a_toy(tmp_path: Path) -> None:
    found = _profile()
    assert (found.parameters_train, found.parameters_test) == (TRAINING_PARAMETERS, TEST_PARAMETERS)
    assert (found.flops_per_image, found.embedding_size, found.input) == (FLOPS, 7, "64x32")
    assert (found.method, found.variant, found.precision) == ("toy", "v", "fp32")
    assert found.memory.resident and found.memory.allocated is None
    for duration in (found.latency, found.batch_duration):
        assert 0 < duration.lower_quartile <= duration.median <= duration.upper_quartile
        assert duration.repetitions >= 5
    assert found.images_per_second == pytest.approx(6 / (found.batch_duration.median / 1000))
    write_json(tmp_path / "profile.json", asdict(found))


def test_profile_counts_its_steps() -> None:
    from contextlib import contextmanager

    seen: list[tuple[int, list[int]]] = []

    @contextmanager
    def progress(description: str, total: int):  # type: ignore[no-untyped-def]
        steps: list[int] = []
        yield steps.append
        seen.append((total, steps))

    profile_method(Toy(), CPU, resolve_precision("off", CPU), batch=2, seconds=0.01, progress=progress)
    assert [(total, sum(steps)) for total, steps in seen] == [(3, 3)]


def test_batch_that_does_not_fit_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(self: Toy, images: torch.Tensor, modality: str) -> dict[str, torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Toy, "embed", embed)
    with pytest.raises(VibenchError, match="batch of 6 does not fit"):
        _profile()


def test_target_is_a_method_by_name_whatever_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baseline").mkdir()
    overrides = ["model.backbone=resnet18", "input.height=64", "input.width=32"]
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
    assert found.memory.allocated and found.memory.reserved and found.memory.resident is None
    assert found.memory.reserved >= found.memory.allocated >= 6 * 3 * HEIGHT * WIDTH * 4
    assert (found.parameters_train, found.flops_per_image) == (TRAINING_PARAMETERS, FLOPS)
    assert 0 < found.latency.median < 1000
