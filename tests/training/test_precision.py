"""The precision of a run: that of its recipe unless another was asked for, TF32 off through forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.training.toy import Toy
from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.training.prepare import prepare
from vibench.training.run import resume
from vibench.training.spec import TrainingSpec


@pytest.mark.parametrize(
    ("own", "amp", "expected"),
    [("fp32", "auto", "fp32"), ("bf16", "auto", "bf16"), ("bf16", "off", "fp32"), ("fp16", "auto", "fp32")],
)
def test_auto_is_the_precision_of_the_recipe(
    make_spec: Callable[..., TrainingSpec], own: str, amp: str, expected: str
) -> None:
    run = prepare(make_spec("run", f"precision={own}", amp=amp), device="cpu")
    assert run.description().precision == expected


def test_tf32_is_off_in_forward_and_backward_and_as_before_behind(
    make_spec: Callable[..., TrainingSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def look(where: str) -> None:
        seen.append((where, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))

    losses = Toy.losses

    def watched(self: Toy, batch: Batch) -> dict[str, Tensor]:
        look("forward")
        found = losses(self, batch)
        found["spread"].register_hook(lambda gradient: look("backward"))
        return found

    monkeypatch.setattr(Toy, "losses", watched)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    resume(prepare(make_spec(), device="cpu"), device="cpu")
    assert {where for where, *_ in seen} == {"forward", "backward"}
    assert not any(allowed for _, *switches in seen for allowed in switches)
    assert torch.backends.cudnn.allow_tf32


def test_a_run_in_half_precision_goes_on_where_there_is_a_gpu(make_spec: Callable[..., TrainingSpec]) -> None:
    run = prepare(make_spec(), device="cpu")
    path = run.description_path
    path.write_text(path.read_text().replace('"fp32"', '"fp16"'))
    with pytest.raises(UsageError, match=r"was begun in fp16, which needs a CUDA device"):
        resume(run, device="cpu")
