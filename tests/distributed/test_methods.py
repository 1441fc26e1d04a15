"""The first step of every method on two processes is that of one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.distributed.several import on_processes
from tests.methods.checks import two_step_trainer
from tests.warm import Warm
from vibench.data.batch import Batch
from vibench.distributed.world import ALONE, World
from vibench.methods.base import Method

Step = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """A method, its variant and changes of the small recipe."""

    method: str
    variant: str = ""
    overrides: tuple[str, ...] = ()


CASES = (
    Case("baseline"),
    Case("agw"),
    Case("ddag"),
    Case("hct"),
    Case("mmd"),
    Case("mpanet"),
    Case("caj"),
    Case("deen"),
    Case("cm-ssft"),
    Case("cm-ssft", overrides=("model.adv=alternate",)),
    Case("cal"),
    Case("paenet"),
    Case("paenet", "ddag-pae-aal"),
    Case("pose"),
    Case("pmt"),
    # Behind its grey stage, and with its other dropouts at work.
    Case("pmt", "base", ("model.msel=true", "model.dcl=true", "model.dropout=0.2", "model.drop_path=0.5")),
)


def first_step(world: World, case: Case, device: str = "cpu") -> Step:
    """Losses, gradients and state after the first step, on a batch of three identities with two images each.

    In double precision: the batch-hard triplets of an untrained network compare distances that float32 hardly
    resolves, and what differs then is rounding alone.
    """
    torch.set_default_dtype(torch.float64)
    try:
        settings = ("sampler.identities=3", *case.overrides)
        trainer = two_step_trainer(case.method, case.variant, settings, world=world, device=device)
        batch = _doubled(next(trainer._loader.epoch(0)))
        gradients: dict[str, Tensor] = {}
        method = trainer.method.train()
        watch = trainer._optimizer.register_step_pre_hook(
            lambda *_: gradients.update(_gradients(method, "adversaries: " if gradients else ""))
        )
        losses = trainer._train_step(batch)
        watch.remove()
    finally:
        torch.set_default_dtype(torch.float32)
    state = dict(method.state_dict())
    return {"losses": {name: loss.detach() for name, loss in losses.items()}, "gradients": gradients, "state": state}


def _doubled(batch: Batch) -> Batch:
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    doubled = {
        name: value.double()
        for name, value in values.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    return dataclasses.replace(batch, **doubled)


def _gradients(method: Method, prefix: str) -> dict[str, Tensor]:
    """The gradients before a step."""
    named = method.named_parameters()
    return {prefix + name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def compare(world: World, cases: tuple[Case, ...], device: str = "cpu") -> list[dict[str, float]]:
    """Per case, the largest differences of the joint step from one process's, as shares of the largest value."""
    return [_differences(first_step(world, case, device), case, world, device) for case in cases]


def _differences(shared: Step, case: Case, world: World, device: str) -> dict[str, float]:
    found = {}
    # The other processes have the same, which is compared below.
    for what, values in first_step(ALONE, case, device).items() if world.leads else ():
        assert set(shared[what]) == set(values)
        found |= {f"{what} {name}": _difference(shared[what][name], value) for name, value in values.items()}
    checksums = torch.stack([value.double().sum().cpu() for value in shared["state"].values()])
    found["between processes"] = max(_difference(other, checksums) for other in world.gather(checksums))
    return found


def _difference(found: Tensor, expected: Tensor) -> float:
    """As a share of the largest value; gradients that are 0 but for rounding, before a batch norm, count as equal."""
    largest = max(float(expected.abs().max()), 1e-6)
    return float((found.double() - expected.double()).abs().max()) / largest


@pytest.fixture(scope="module")
def differences(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, float]]]:
    return on_processes(warm, compare, tmp_path_factory.mktemp("two"), CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join((case.method, case.variant, *case.overrides)))
def test_first_step_is_that_of_one_process(case: Case, differences: list[list[dict[str, float]]]) -> None:
    for of_process in differences:
        found = of_process[CASES.index(case)]
        assert found["between processes"] == 0
        assert not {name: difference for name, difference in found.items() if not difference < 1e-5}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_two_processes_on_one_gpu(warm: Warm, tmp_path: Path) -> None:
    cases = (Case("baseline"), Case("deen", overrides=("model.dee_branches=0", "model.cpm=false", "model.ort=false")))
    for of_process in on_processes(warm, compare, tmp_path, cases, "cuda"):
        for found in of_process:
            assert found["between processes"] == 0
            assert not {name: difference for name, difference in found.items() if not difference < 1e-5}
