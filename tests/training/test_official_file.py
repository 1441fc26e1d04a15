"""Official checkpoint files: what is read of them, and that nothing in them runs."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.official import outer
from vibench.errors import UsageError
from vibench.training.official_file import read_official_file


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"stem.weight": torch.arange(6.0).reshape(2, 3), "stem.num_batches_tracked": torch.tensor(7)}


def assert_same(read: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> None:
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor) and not read[name].requires_grad


@pytest.mark.parametrize("new_format", [True, False])
def test_the_outer_structure_of_the_agw_code_line(new_format, state, tmp_path):
    path = tmp_path / "regdb_agw_p4_n8_lr_0.1_seed_2_trial_3_best.t"
    torch.save(outer(state), path, _use_new_zipfile_serialization=new_format)
    file = read_official_file(path)
    assert_same(file.state, state)
    assert (file.epoch, file.trial, file.seed) == (60, 3, 2)
    assert file.metrics == {"r1": 0.475, "mAP": 0.4765, "mINP": 0.353}


def test_a_bare_state_dict(state, tmp_path):
    torch.save(state, tmp_path / "model_best.pth")
    file = read_official_file(tmp_path / "model_best.pth")
    assert_same(file.state, state)
    assert (file.epoch, file.trial, file.seed, file.metrics) == (None, None, None, None)


def test_the_prefix_of_parallel_training_and_parameters(state, tmp_path):
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    parallel["module.stem.weight"] = torch.nn.Parameter(parallel["module.stem.weight"])
    torch.save({"net": parallel, "epoch": np.int64(4), "trial": torch.tensor(9)}, tmp_path / "c.t")
    file = read_official_file(tmp_path / "c.t")
    assert_same(file.state, state)
    assert (file.epoch, file.trial) == (4, 9)


@pytest.mark.parametrize("core", ["core", "_core"])
def test_files_of_either_numpy(core, state, tmp_path):
    """NumPy 2 names its modules otherwise than NumPy 1; the pickle inside the archive is edited to the other name."""
    buffer = io.BytesIO()
    torch.save(outer(state), buffer)
    path = tmp_path / "c.t"
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry.endswith("data.pkl"):
                for known in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
                    data = data.replace(b"c" + known, b"c" + f"numpy.{core}.multiarray".encode())
                assert f"numpy.{core}.multiarray".encode() in data
            target.writestr(entry, data)
    assert read_official_file(path).metrics == {"r1": 0.475, "mAP": 0.4765, "mINP": 0.353}


def test_arguments_of_the_training_script_are_passed_over(state, tmp_path):
    torch.save({"net": state, "args": argparse.Namespace(lr=0.1, gpu="0")}, tmp_path / "c.t")
    assert_same(read_official_file(tmp_path / "c.t").state, state)


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


def hostile(marker: Path) -> dict[str, object]:
    """Objects whose unpickling would make ``marker``."""
    code = f"open({str(marker)!r}, 'w')"
    return {
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr": Call(getattr, "", "join"),
        "load": Call(pickle.loads, pickle.dumps(Call(eval, code))),
        "object array": np.array([Call(eval, code)], dtype=object),
    }


@pytest.mark.parametrize("kind", sorted(hostile(Path("marker"))))
@pytest.mark.parametrize("new_format", [True, False])
def test_code_is_refused_and_not_run(kind, new_format, state, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "c.t"
    for content in (hostile(marker)[kind], {**outer(state), "cmc": hostile(marker)[kind]}):
        torch.save(content, path, _use_new_zipfile_serialization=new_format)
        with pytest.raises(UsageError, match="which could do anything") as refused:
            read_official_file(path)
        assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert not marker.exists()


def test_a_call_through_a_stand_in_runs_nothing(state, tmp_path):
    """NumPy's own loader would unpickle an array of objects; what stands in its place only keeps the bytes."""
    marker = tmp_path / "marker"
    nested = pickle.dumps(Call(eval, f"open({str(marker)!r}, 'w')"))
    scalar = np.float64(0.5).__reduce__()[0]
    torch.save({"net": state, "mAP": Call(scalar, np.dtype("O"), nested)}, tmp_path / "c.t")
    assert read_official_file(tmp_path / "c.t").metrics is None
    assert not marker.exists()


def test_a_pickled_network_is_refused_with_the_remedy(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "c.t")
    with pytest.raises(UsageError, match=r"torch\.nn\.modules\.linear\.Linear, .*torch\.save\(net\.state_dict\(\)"):
        read_official_file(tmp_path / "c.t")


def test_absent_and_damaged_files(state, tmp_path):
    path = tmp_path / "c.t"
    with pytest.raises(UsageError, match="no such checkpoint file"):
        read_official_file(path)
    torch.save(outer(state), path)
    whole = path.read_bytes()
    for damaged in (b"", b"GIF89a", whole[: len(whole) // 2], whole[:100] + b"\0" * 100 + whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(
            UsageError, match=r"is (an empty file|a text|cut short|a damaged).*; (copy|fetch)"
        ) as refused:
            read_official_file(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "holds a single list"),
        ({}, "nothing where only named tensors"),
        ({"net": {}}, "nothing where only named tensors"),
        ({"net": {"a": torch.zeros(1), "b": 3}}, "'b' where only named tensors"),
        ({"net": {3: torch.zeros(1)}}, "3 where only named tensors"),
        ({"epoch": 3, "a": torch.zeros(1)}, "'epoch' where only named tensors"),
        ({"net": {"a": torch.zeros(2, 2).to_sparse()}}, "'a' where only named tensors"),
        ({"net": {"a": torch.zeros(1, device="meta")}}, "'a' where only named tensors"),
        ({"format": "vibench checkpoint", "model": {}}, "is a vibench checkpoint already"),
    ],
)
def test_files_without_a_state_dict(content, named, tmp_path):
    torch.save(content, tmp_path / "c.t")
    with pytest.raises(UsageError, match=named):
        read_official_file(tmp_path / "c.t")


def test_odd_numbers_are_passed_over(state, tmp_path):
    odd = {"net": state, "epoch": float("inf"), "mAP": np.float64("nan"), "cmc": "none", "mINP": np.float32(7)}
    torch.save(odd, tmp_path / "c.t")
    file = read_official_file(tmp_path / "c.t")
    assert file.epoch is None and file.metrics is None
