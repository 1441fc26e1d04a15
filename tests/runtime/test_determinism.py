"""``--deterministic``: what it sets, that it is said, and that it is undone."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.methods.checks import two_step_trainer
from vibench.runtime.determinism import deterministic, what_is_deterministic
from vibench.runtime.environment import describe_environment


@pytest.fixture(autouse=True)
def no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set first, so that what the block sets is undone after the test.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


def test_nothing_is_set_unless_wanted() -> None:
    with deterministic(False):
        assert what_is_deterministic() == "" and not torch.are_deterministic_algorithms_enabled()


def test_what_is_set_is_said_and_undone() -> None:
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
        said = describe_environment().deterministic
    assert said == "algorithms where there are any, cudnn, cublas :4096:8"
    assert what_is_deterministic() == "" and not torch.backends.cudnn.deterministic


def test_a_workspace_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(True):
        assert what_is_deterministic().endswith("cublas :16:8")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["baseline", "agw", "ddag", "hct", "pose"])
def test_two_runs_on_a_gpu_agree(method: str) -> None:
    """To the bit, and PyTorch warns of no operation that has no deterministic form."""

    def train() -> dict[str, torch.Tensor]:
        trainer = two_step_trainer(method, device="cuda")
        trainer.train_epoch(lambda: False, lambda count, status="": None)
        return {name: value.cpu() for name, value in trainer.method.state_dict().items()}

    with deterministic(True), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*deterministic implementation")
        first, second = train(), train()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
