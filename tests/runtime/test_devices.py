"""Devices and precisions."""

from __future__ import annotations

import pytest
import torch

from vibench.errors import UsageError
from vibench.runtime import fastest
from vibench.runtime.devices import Precision, recorded_precision, resolve_device, resolve_precision

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    with pytest.raises(UsageError, match=r"--device cuda: .* sees no CUDA device; use --device cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="only 2 CUDA devices"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cudda", "cpu:0", "cuda:x", "cuda:-1", ""])
def test_unknown_devices_are_refused(name: str):
    with pytest.raises(UsageError, match="unknown device"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("recipe", "on_cpu", "on_cuda"), [("fp32", "fp32", "fp32"), ("fp16", "fp32", "fp16"), ("bf16", "bf16", "bf16")]
)
def test_auto_is_the_precision_of_the_recipe(recipe: str, on_cpu: str, on_cuda: str):
    assert resolve_precision("auto", CPU, recipe).name == on_cpu
    assert resolve_precision("auto", CUDA, recipe).name == on_cuda
    for device in (CPU, CUDA):
        assert resolve_precision("off", device, recipe).name == "fp32"
        assert resolve_precision("bf16", device, recipe).name == "bf16"


def test_the_fastest_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch):
    for fast, expected in ((True, "bf16"), (False, "off")):
        monkeypatch.setattr(fastest, "_cpu_has_bf16_instructions", lambda fast=fast: fast)
        assert fastest.fastest_amp(CPU) == expected
    for capability, expected in (((7, 5), "off"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, known=capability: known)
        assert fastest.fastest_amp(CUDA) == expected


def test_tf32_is_off_unless_asked_for():
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = allowed()
    for name, expected in (("fp32", False), ("fp16", False), ("tf32", True)):
        with pytest.raises(KeyError), Precision(name, "cuda").float32_products():
            assert allowed() == (expected, expected)
            raise KeyError
        assert allowed() == before
    assert resolve_precision("auto", CUDA, tf32=True) == Precision("tf32", "cuda")
    with pytest.raises(UsageError, match="--tf32: is a way to run float32 on a CUDA device, not fp32 on cpu"):
        resolve_precision("off", CPU, tf32=True)
    with pytest.raises(UsageError, match=r"--tf32: .*, not bf16 on cuda; leave it out"):
        resolve_precision("bf16", CUDA, tf32=True)


def test_a_run_goes_on_in_the_precision_it_was_begun_in():
    assert recorded_precision("bf16", CPU, "run") == Precision("bf16", "cpu")
    assert recorded_precision("tf32", CUDA, "run") == Precision("tf32", "cuda")
    for name in ("fp16", "tf32"):
        with pytest.raises(UsageError, match=f"run: was begun in {name}, which needs a CUDA device"):
            recorded_precision(name, CPU, "run")


def test_precisions_a_device_cannot_do_are_refused():
    assert resolve_precision("off", CPU) == Precision("fp32", "cpu")
    assert resolve_precision("fp16", torch.device("cuda")).name == "fp16"
    with pytest.raises(UsageError, match="--amp fp16: half precision needs a CUDA device"):
        resolve_precision("fp16", CPU)
    with pytest.raises(UsageError, match=r"--amp bf61: .*did you mean 'bf16'"):
        resolve_precision("bf61", CPU)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_runs_products_in_the_precision(name: str, dtype: torch.dtype):
    with Precision(name, "cpu").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert not Precision(name, "cpu").scaler().is_enabled()
