"""Mixed precision and compiled code: how far embeddings drift, and that run, checkpoint and record say what was on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.conformance.subject import CLASSES, Subject, small_settings
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.modality import MODALITIES
from vibench.runtime.devices import Precision, compile_function
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_run
from vibench.training.checkpoint import read_checkpoint
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

METHODS = ("baseline", "agw", "ddag", "paenet")
CPU = torch.device("cpu")
SETTINGS = ("batches_per_epoch=2", "schedule.epochs=2", "identities=4", "sampler.images=2")


def subject_of(method: str) -> Subject:
    """A small network whose batch norms have met a few batches, as those of a trained one have."""
    subject = Subject(load_recipe(method, "", "sysu-mm01", small_settings(get_method(method).options)))
    with torch.no_grad():
        for _ in range(5):
            subject.method.train().losses(subject.batch)
    return subject


def embed(method: Method, subject: Subject, precision: Precision) -> Tensor:
    """The embeddings of the subject's batch."""
    with torch.inference_mode(), precision.autocast():
        found = []
        for modality in MODALITIES:
            images = subject.images(modality).to(precision.device_type)
            found.append(method.embed(images, modality)["embedding"].float().cpu())
    return torch.cat(found)


def least_cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one, other, dim=1).min())


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_bends_no_embedding(method: str):
    subject = subject_of(method)
    network = subject.method.eval()
    full = embed(network, subject, Precision("fp32", "cpu"))
    half = embed(network, subject, Precision("bf16", "cpu"))
    assert not torch.equal(full, half), "bf16 was not on"
    assert least_cosine(full, half) > 0.995


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_and_compiled_code_bend_no_embedding_on_cuda(method: str):
    subject = subject_of(method)
    full = embed(subject.method.eval(), subject, Precision("fp32", "cpu"))
    network = build_method(subject.recipe, CLASSES)
    network.load_state_dict(subject.method.state_dict())
    network = network.to("cuda", memory_format=torch.channels_last).eval()
    for name, bound in (("fp32", 0.9999), ("bf16", 0.995), ("fp16", 0.999)):
        assert least_cosine(full, embed(network, subject, Precision(name, "cuda"))) > bound
    network.embed = compile_function(network.embed, "cuda")
    assert least_cosine(full, embed(network, subject, Precision("bf16", "cuda"))) > 0.995


def test_compiled_code_needs_a_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="--compile: needs a C"):
        compile_function(abs, "cpu")


@pytest.mark.slow
def test_compiled_code_is_recorded_and_changes_next_to_nothing(
    sysu_twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    try:
        compile_function(abs, "cpu")
    except UsageError:
        pytest.skip("needs a C++ compiler")
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    recipe = load_recipe("toy", "", "sysu-mm01-twin", SETTINGS)
    runs = {
        compiled: train(
            TrainingSpec(recipe, sysu_twin, None, 0, "off", "none", tmp_path / str(compiled), compiled=compiled),
            device="cpu",
        )
        for compiled in (False, True)
    }
    assert {compiled: run.description().compiled for compiled, run in runs.items()} == {False: False, True: True}
    assert "-".join(runs[True].description().id.split("-")[:-1]) in runs[False].description().id
    assert runs[True].description().id != runs[False].description().id
    eager, compiled = (read_checkpoint(runs[key].checkpoint_path) for key in (False, True))
    assert compiled.compiled and not eager.compiled
    for name, weight in eager.model.items():
        torch.testing.assert_close(weight, compiled.model[name], atol=1e-4, rtol=1e-3)

    rules = Rules(load_protocols(["sysu-all"]))
    for extraction, expected in ((False, "training"), (True, "training+extraction")):
        (scored,) = score_models(models_of_run(runs[True].path), rules, device="cpu", amp="off", compiled=extraction)
        assert scored.record.run.compiled == expected
    model = models_of_run(runs[False].path)[0]
    plain, other = (model.extract(CPU, Precision("fp32", "cpu"), compiled=on)[1].features for on in (False, True))
    assert other.meta["compiled"] is True and "compiled" not in plain.meta
    assert least_cosine(torch.from_numpy(plain.features), torch.from_numpy(other.features)) > 0.99999
