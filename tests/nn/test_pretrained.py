import urllib.error

import pytest
import torch

from vibench.errors import UsageError, VibenchError, VibenchWarning
from vibench.nn.pretrained import load_pretrained
from vibench.nn.resnet import TwoStreamResNet
from vibench.nn.torchvision_ops import import_torchvision


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return import_torchvision().models.resnet18(weights=None).state_dict()


@pytest.fixture
def network() -> torch.nn.Module:
    return import_torchvision().models.resnet18(weights=None)


def test_a_file_fills_every_copy(state, tmp_path):
    file = tmp_path / "resnet18.pth"
    torch.save(state, file)
    backbone = TwoStreamResNet("resnet18", 2, pretrained=file)
    for part in (backbone.visible, backbone.infrared, backbone.shared):
        for name, value in part.state_dict().items():
            torch.testing.assert_close(value, state[name])


def test_batch_counters_and_classifier_may_be_absent(state, network, tmp_path):
    torch.save({k: v for k, v in state.items() if "num_batches" not in k and not k.startswith("fc")}, tmp_path / "f")
    load_pretrained(network, "resnet18", tmp_path / "f")
    torch.testing.assert_close(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_misfits_are_named(state, network, tmp_path):
    misfit = dict(state)
    del misfit["layer2.0.conv1.weight"]
    misfit["layer9.weight"] = torch.zeros(1)
    misfit["bn1.weight"] = torch.zeros(3)
    torch.save(misfit, tmp_path / "f.pth")
    with pytest.raises(UsageError) as error:
        load_pretrained(network, "resnet18", tmp_path / "f.pth")
    for part in ("f.pth", "lacks layer2.0.conv1.weight", "unknown layer9.weight", "another shape of bn1.weight"):
        assert part in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7])
def test_numbers_that_are_no_weights_are_named(state, network, tmp_path, value):
    torch.save({**state, "bn1.weight": torch.full((64,), value)}, tmp_path / "f.pth")
    with pytest.raises(UsageError, match=r"it has NaN, infinite, whole or complex numbers in bn1\.weight\."):
        load_pretrained(network, "resnet18", tmp_path / "f.pth")


def test_many_missing_names_are_counted(network, tmp_path):
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "f.pth")
    with pytest.raises(UsageError, match=r"lacks conv1.weight, .* and \d+ more"):
        load_pretrained(network, "resnet18", tmp_path / "f.pth")


@pytest.mark.parametrize("content", [b"no checkpoint", b"", "a list"])
def test_foreign_files_are_refused(network, tmp_path, content):
    file = tmp_path / "f.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save([torch.zeros(1)], file)
    with pytest.raises(UsageError, match=r"f\.pth: .*, or give imagenet, none, or the state dict"):
        load_pretrained(network, "resnet18", file)


def test_a_pickle_that_runs_code_is_refused(network, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "f.pth")
    with pytest.raises(UsageError, match="state dict"):
        load_pretrained(network, "resnet18", tmp_path / "f.pth")


def test_a_missing_file_is_named(network, tmp_path):
    with pytest.raises(UsageError, match=r"absent\.pth: there is no such file"):
        load_pretrained(network, "resnet18", tmp_path / "absent.pth")


def test_a_failed_download_names_the_remedy(network, monkeypatch):
    def offline(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    weights = import_torchvision().models.ResNet18_Weights
    monkeypatch.setattr(weights, "get_state_dict", offline)
    with pytest.raises(VibenchError, match=r"resnet18-.*no route to host.*--pretrained FILE.*--pretrained none"):
        load_pretrained(network, "resnet18", "imagenet")


def test_imagenet_asks_for_version_one(network, monkeypatch, state):
    asked = []
    weights = import_torchvision().models.ResNet18_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda self, *a, **k: asked.append(self.name) or state)
    load_pretrained(network, "resnet18", "imagenet")
    assert asked == ["IMAGENET1K_V1"]
    torch.testing.assert_close(network.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("wrap", ["module.", "backbone.", "module.encoder_q."])
def test_weights_of_other_scripts(state, network, wrap, tmp_path):
    """Nested, behind a wrapper's prefix, in half precision, with what else the script trained."""
    wrapped = {wrap + name: tensor.half() for name, tensor in state.items()}
    torch.save({"epoch": 9, "model": {**wrapped, "queue": torch.zeros(3)}}, tmp_path / "best.pth.tar")
    with pytest.warns(VibenchWarning, match=r"is read behind '.*\.'; left out beside it: queue"):
        load_pretrained(network, "resnet18", tmp_path / "best.pth.tar")
    torch.testing.assert_close(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"].half().float())


def test_one_of_several_networks_is_not_guessed(state, network, tmp_path):
    both = {prefix + name: tensor for prefix in ("encoder_q.", "encoder_k.") for name, tensor in state.items()}
    torch.save(both, tmp_path / "f.pth")
    with pytest.raises(UsageError, match=r"f\.pth holds several networks, behind 'encoder_q\.', 'encoder_k\.'; save"):
        load_pretrained(network, "resnet18", tmp_path / "f.pth")
