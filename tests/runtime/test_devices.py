"""Devices and precisions."""

from __future__ import annotations

import pytest
import torch

from vibench.errors import UsageError
from vibench.runtime import devices
from vibench.runtime.devices import Precision, resolve_device, resolve_precision

CPU = torch.device("cpu")


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


def test_auto_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch):
    for fast, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(devices, "_cpu_has_bf16_instructions", lambda fast=fast: fast)
        assert resolve_precision("auto", CPU).name == expected
    for capability, expected in (((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, known=capability: known)
        assert resolve_precision("auto", torch.device("cuda")).name == expected


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
