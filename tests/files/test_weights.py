"""The state dict is found wherever scripts put it, and not guessed where there are several."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.files.test_safetensors import entry, written
from vibench.files.plain_data import numbers
from vibench.files.torch_file import TorchFileError
from vibench.files.weights import find_weights, fitting_prefixes, read_content

STATE = {"stem.weight": torch.arange(6.0).reshape(2, 3), "stem.bias": torch.ones(2)}
AVERAGE = {name: tensor + 1 for name, tensor in STATE.items()}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


def behind(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (STATE, ""),
        *(({name: STATE, "epoch": 3, "optimizer": OPTIMIZER}, name) for name in ("net", "model", "state_dict")),
        *(({name: STATE}, name) for name in ("model_state_dict", "network", "generator", "ema")),
        ({"epoch": 3, "model": {"net": STATE}}, "model.net"),
        ({"net": STATE, "criterion": {"centers": torch.zeros(3)}, "best": torch.tensor(0.5)}, "net"),
        ({"model": STATE, "optimizer": {"state": {"a": {"exp_avg": torch.zeros(2)}}}}, "model"),
        (behind("module.", STATE), ""),
        ({"net": behind("module._orig_mod.", STATE)}, "net"),
        ({"net": behind("_orig_mod.module.", STATE)}, "net"),
    ],
)
def test_where_the_state_dict_is(content: dict[str, Any], key: str) -> None:
    found = find_weights(content)
    assert found.key == key and list(found.state) == list(STATE)
    assert all(torch.equal(found.state[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("average", ["ema", "model_ema", "state_dict_ema"])
def test_averaged_weights_beside_the_network_are_to_be_chosen(average: str) -> None:
    content = {"model": STATE, average: behind("module.", AVERAGE), "epoch": 2}
    with pytest.raises(TorchFileError, match=rf"sets of weights: model \(2 tensors\), {average} .* --key model"):
        find_weights(content, asks=True)
    with pytest.raises(TorchFileError, match="save the one you mean by itself"):
        find_weights(content)
    found = find_weights(content, average)
    assert torch.equal(found.state["stem.bias"], AVERAGE["stem.bias"]) and found.entries["epoch"] == 2
    with pytest.raises(TorchFileError, match=r"no state dict at --key best, but model .*choose one of those"):
        find_weights(content, "best")


def test_parts_that_are_saved_apart_are_listed() -> None:
    with pytest.raises(TorchFileError, match=r"backbone \(2 tensors\), head \(1 tensors\)"):
        find_weights({"backbone": STATE, "head": {"weight": torch.zeros(1)}})


def test_a_key_leads_inwards() -> None:
    content = {"model": {"student": STATE, "teacher": AVERAGE}}
    assert find_weights(content, "model.teacher").key == "model.teacher"
    assert find_weights({"a": {"b": STATE}, "c": AVERAGE}, "a").key == "a.b"
    with pytest.raises(TorchFileError, match="several state dicts at --key model"):
        find_weights(content, "model")


def test_dictionaries_that_are_shared_are_walked_once() -> None:
    content: dict[str, Any] = {"a": 1}
    for _ in range(4):
        content = {str(number): content for number in range(300)}
    with pytest.raises(TorchFileError, match="no state dict"):
        find_weights(content)


def test_what_scripts_put_beside_the_weights_is_read_and_runs_nothing(tmp_path: Path) -> None:
    beside = {
        "args": argparse.Namespace(lr=np.float32(0.1), out=tmp_path),
        "options": SimpleNamespace(a=1),
        "best": np.float64(0.5),
        "step": np.int64(7),
        "done": np.bool_(True),
        "name": np.str_("agw"),
        "curve": np.array([0.25, 0.5]),
        "root": tmp_path,
        "type": torch.float16,
    }
    torch.save({"net": STATE, **beside}, tmp_path / "a.pth")
    entries = find_weights(read_content(tmp_path / "a.pth")).entries
    assert set(entries) == set(beside)
    assert numbers(entries["best"]) == 0.5 and numbers(entries["step"]) == 7
    assert list(numbers(entries["curve"])) == [0.25, 0.5]


def test_safetensors_are_weights_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pth", {"module.a": entry("F32", [1], 0, 4)}, torch.ones(1).numpy().tobytes())
    assert torch.equal(find_weights(read_content(path)).state["a"], torch.ones(1))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TorchFileError, match=r"damaged file of the safetensors format \(it is cut short\); fetch"):
        read_content(path)


def test_the_prefix_that_most_names_stand_behind() -> None:
    known = set(STATE).__contains__
    assert fitting_prefixes(STATE, known) == [""]
    assert fitting_prefixes(behind("model.net.", STATE), known) == ["model.net."]
    assert fitting_prefixes({**behind("model.", STATE), "loss.centers": torch.zeros(1)}, known) == ["model."]
    assert fitting_prefixes({"a.b": torch.zeros(1)}, known) == [""]
    assert fitting_prefixes({**behind("student.", STATE), **behind("ema.", STATE)}, known) == ["ema.", "student."]
