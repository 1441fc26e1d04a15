"""Trained models and features files become records: the stages put together on the tiny twins."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vibench
from tests.training import toy
from vibench.data.cache import open_cache
from vibench.data.normalise import normalise
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError, VibenchError
from vibench.evaluation.features import read_features, write_features
from vibench.evaluation.result import METRICS
from vibench.methods.recipe import departures, load_recipe, recipe_dict
from vibench.methods.sections import Recipe
from vibench.records.schema import OFFICIAL
from vibench.runtime.devices import Precision
from vibench.scoring.notes import training_notes
from vibench.scoring.provenance import run_info
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import Scored, read_features_files, score_features, score_models
from vibench.scoring.trained import TrainedModel, models_of_checkpoint, models_of_run
from vibench.training.checkpoint import read_checkpoint, save_checkpoint

SYSU = ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi")
CPU = torch.device("cpu")
FP32 = Precision("fp32", "cpu")
SETTINGS = ("batches_per_epoch=2", "schedule.epochs=2", "identities=4", "sampler.images=2")


@pytest.fixture(scope="module")
def sysu_scored(sysu_run: Path) -> list[Scored]:
    return score_models(models_of_run(sysu_run), Rules(load_protocols(SYSU)), device="cpu", amp="off")


def test_a_record_says_what_was_trained_and_what_it_cost(sysu_run: Path, sysu_scored: list[Scored]) -> None:
    assert [scored.record.protocol for scored in sysu_scored] == list(SYSU)
    for scored in sysu_scored:
        record = scored.record
        assert (record.source, record.method, record.dataset) == ("trained", "toy", "sysu-mm01-twin")
        assert record.dataset_version.startswith("tiny-s0-r")
        assert record.test_time_information == "none"
        assert record.run.epochs == 2 and record.run.precision == "fp32"
        assert record.run.id == models_of_run(sysu_run)[0].run_id
        assert record.run.train_seconds and record.run.images_per_second
        cost = record.profile
        assert cost.parameters_train and cost.parameters_test and cost.parameters_test < cost.parameters_train
        assert cost.flops_per_image and cost.extraction_images_per_second and cost.matching_ms_per_query
        assert cost.training_memory.resident and cost.extraction_memory.resident
        assert len(record.trials) == len(scored.per_query) == 10


def test_a_record_names_every_departure_from_the_recipe(sysu_run: Path, sysu_scored: list[Scored]) -> None:
    run = sysu_scored[0].record.run
    assert run.recipe == f"{', '.join(departures(models_of_run(sysu_run)[0].recipe))}, pretrained"
    assert run.training_precision == "fp32"

    def recorded(recipe: Recipe, **fields: object) -> tuple[str, tuple[str, ...]]:
        (model,) = models_of_run(sysu_run)
        checkpoint = dataclasses.replace(model.checkpoint, recipe=recipe_dict(recipe), **fields)  # type: ignore[arg-type]
        (model,) = embedded.models = (dataclasses.replace(model, checkpoint=checkpoint),)
        return run_info(embedded).recipe, training_notes([model])

    embedded = SimpleNamespace(precision=FP32, compiled=False, models=())
    own = load_recipe("toy", "", "sysu-mm01-twin")
    epochs = own.schedule.epochs
    assert recorded(own, pretrained="imagenet", epoch=epochs) == (OFFICIAL, ())
    assert recorded(own, pretrained="imagenet", epoch=epochs, source="imported")[0] == ""
    assert recorded(own, pretrained="imagenet", epoch=epochs, precision="bf16") == (
        "optimizer.precision",
        ("trained in bf16, not in the recipe's fp32",),
    )
    transformer = load_recipe("pmt", "", "sysu-mm01-twin")
    theirs = {"method": "pmt", "precision": "fp16", "epoch": transformer.schedule.epochs}
    # PMT's authors start from a file; torchvision's weights of the same network are others.
    assert recorded(transformer, pretrained="jx_vit_base_p16_224-80ecf9dd.pth", **theirs)[0] == OFFICIAL
    assert recorded(transformer, pretrained="imagenet", **theirs)[0] == "pretrained"
    half = load_recipe("toy", "", "sysu-mm01-twin", ["precision=fp16"])
    assert recorded(half, pretrained="none", epoch=epochs)[0] == "optimizer.precision, pretrained"


def test_the_extracted_file_scores_as_the_run_does(sysu_run: Path, sysu_scored: list[Scored], tmp_path: Path) -> None:
    (model,) = models_of_run(sysu_run)
    _, extraction = model.extract(CPU, FP32, extras=True)
    write_features(tmp_path / "f.npz", extraction.features)
    rules = Rules(load_protocols(SYSU))
    read = read_features_files([tmp_path / "f.npz"], rules.protocols)
    again = score_features(read.features, rules, name="mine", digests=read.digests, device="cpu")
    for mine, trained in zip(again, sysu_scored, strict=True):
        assert mine.record.mean == trained.record.mean
        assert mine.record.fingerprint == trained.record.fingerprint
        assert (mine.record.source, mine.record.method) == ("features", "mine")
        assert mine.record.run.features_sha256 == read.digests[0]


def test_features_that_do_not_say_it_are_of_the_version_of_their_twin_s_copy(
    sysu_run: Path, sysu_twin: Path, sysu_scored: list[Scored], monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = models_of_run(sysu_run)
    _, extraction = model.extract(CPU, FP32)
    features, rules = dataclasses.replace(extraction.features, meta={}), Rules(load_protocols(SYSU[:1]))
    about = {"name": "mine", "dataset": "sysu-mm01-twin", "digests": ["0"], "device": "cpu"}
    (mine,) = score_features([features], rules, root=sysu_twin, **about)
    trained = sysu_scored[0].record
    assert mine.record.dataset_version == trained.dataset_version != ""
    assert mine.record.fingerprint == trained.fingerprint
    monkeypatch.setenv("VIBENCH_DATA", str(sysu_twin / "gone"))
    (nobody_knows,) = score_features([features], rules, **about)
    assert nobody_knows.record.dataset_version == ""


def test_extraction_embeds_every_image_with_its_own_modality(sysu_run: Path, sysu_twin: Path) -> None:
    (model,) = models_of_run(sysu_run)
    method, extraction = model.extract(CPU, FP32)
    index, size = model.test_index, model.recipe.input
    cache = open_cache(get_dataset("sysu-mm01-twin"), sysu_twin, size.height, size.width, size.interpolation)
    for row in (0, len(index) // 2, len(index) - 1):
        pixels = torch.from_numpy(np.array(cache.images[cache.rows([index["path"][row]])]))
        with torch.inference_mode():
            alone = method.embed(normalise(pixels), index["modality"][row])["embedding"][0].numpy()
        np.testing.assert_allclose(extraction.features.features[row], alone, atol=1e-5)


def test_official_draws_come_from_the_data_set_itself(sysu_run: Path, sysu_scored: list[Scored]) -> None:
    rules = Rules(load_protocols(["sysu-all"]), draws=("official",))
    (official,) = score_models(models_of_run(sysu_run), rules, device="cpu", amp="off")
    assert official.record.draw == "official"
    assert official.record.fingerprint != sysu_scored[0].record.fingerprint
    assert [trial.trial for trial in official.record.trials] == list(range(1, 11))
    both = dataclasses.replace(rules, draws=("seeded", "official"))
    seeded, again = score_models(models_of_run(sysu_run), both, device="cpu", amp="off")
    assert seeded.record.fingerprint == sysu_scored[0].record.fingerprint
    assert (again.record.id, again.record.trials) == (official.record.id, official.record.trials)


def test_a_method_says_by_which_distance_it_ranks(sysu_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(distance: str | None) -> Scored:
        rules = Rules(load_protocols(["sysu-all"]), distance=distance)
        return score_models(models_of_run(sysu_run), rules, device="cpu", amp="off")[0]

    asked = {distance: scored(distance) for distance in ("cosine", "euclidean")}
    assert asked["cosine"].record.mean != asked["euclidean"].record.mean
    for distance, expected in asked.items():
        monkeypatch.setattr(toy.Toy, "distance", distance)
        default = scored(None)
        assert (default.record.distance, default.record.mean) == (distance, expected.record.mean)


def test_a_named_feature_is_ranked_in_place_of_the_embedding(
    sysu_run: Path, sysu_scored: list[Scored], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = toy.Toy.embed

    def with_more(method: toy.Toy, images: torch.Tensor, modality: str) -> dict[str, torch.Tensor]:
        embedding = embed(method, images, modality)["embedding"]
        return {"embedding": embedding, "pairs": embedding.unflatten(1, (4, 2)), "first": embedding[:, :3]}

    monkeypatch.setattr(toy.Toy, "embed", with_more)
    # A distance of the method's own is made for its embedding.
    monkeypatch.setattr(toy.Toy, "distances", lambda *_: pytest.fail("not for a named feature"))

    def scored(feature: str) -> Scored:
        rules = Rules(load_protocols(["sysu-all"]), feature=feature)
        return score_models(models_of_run(sysu_run), rules, device="cpu", amp="off")[0]

    pairs, first = scored("pairs").record, scored("first").record
    assert pairs.mean == sysu_scored[0].record.mean != first.mean
    assert (pairs.feature, pairs.label, first.label) == ("pairs", "toy-pairs", "toy-first")
    assert (pairs.profile.embedding_size, first.profile.embedding_size) == (8, 3)
    assert len({pairs.id, first.id, sysu_scored[0].record.id}) == 3
    with pytest.raises(UsageError, match=r"--feature frist: toy has no such feature \(did you mean 'first'\?\)"):
        scored("frist")

    write_features(tmp_path / "f.npz", models_of_run(sysu_run)[0].extract(CPU, FP32, extras=True)[1].features)
    rules = Rules(load_protocols(["sysu-all"]), feature="first")
    features = read_features_files([tmp_path / "f.npz"], rules.protocols).features
    (again,) = score_features(features, rules, name="mine", device="cpu")
    assert (again.record.mean, again.record.label) == (first.mean, "mine-first")
    with pytest.raises(UsageError, match=r"--feature third: the features file has no such array.*it has first, pairs"):
        score_features(features, Rules(rules.protocols, feature="third"), name="mine", device="cpu")


def test_trials_of_regdb_make_one_record(regdb_runs: Path) -> None:
    models = models_of_run(regdb_runs)
    rules = Rules(load_protocols(["regdb-v2t", "regdb-t2v"]))
    both = score_models(models, rules, device="cpu", amp="off")
    single = [score_models([model], rules, device="cpu", amp="off") for model in models]
    for at, scored in enumerate(both):
        assert [trial.trial for trial in scored.record.trials] == [1, 2]
        # They are one run, which is known by its first.
        assert scored.record.run.id == models[0].run_id != models[1].run_id
        for metric in METRICS:
            alone = [scores[at].record.mean[metric] for scores in single]
            assert scored.record.mean[metric] == pytest.approx(np.mean(alone), abs=1e-12)
    assert both[0].record.run.train_seconds == pytest.approx(
        sum(scores[0].record.run.train_seconds or 0 for scores in single)
    )


def test_a_model_is_never_tested_on_its_training_identities(regdb_runs: Path, tmp_path: Path) -> None:
    """The classic RegDB mistake: the model of one split on the test identities of another."""
    (first,) = models_of_run(regdb_runs, trial=1)
    posing = dataclasses.replace(first.checkpoint, trial=2)
    save_checkpoint(tmp_path / "posing.pt", posing)
    (model,) = models_of_checkpoint(tmp_path / "posing.pt", first.root)
    with pytest.raises(VibenchError, match="are training identities of this toy checkpoint"):
        score_models([model], Rules(load_protocols(["regdb-v2t"])), device="cpu", amp="off")


def test_another_trial_s_split_is_refused_unless_leaking_is_allowed(regdb_runs: Path) -> None:
    rules = Rules(load_protocols(["regdb-v2t"]))
    run = regdb_runs / "trial-01"
    (model,) = models_of_run(run, trial=2)
    with pytest.raises(VibenchError, match=r"trained for trial 1, so .* --trial 1 \('vibench eval --allow-leaking'"):
        score_models([model], rules, device="cpu", amp="off")
    (leaking,) = models_of_run(run, trial=2, allow_leaking=True)
    (scored,) = score_models([leaking], rules, device="cpu", amp="off")
    own = models_of_run(regdb_runs, trial=2)[0].test_index
    known = set(own["pid"]) & set(leaking.checkpoint.train_pids)
    assert scored.record.leaking and [trial.trial for trial in scored.record.trials] == [2]
    assert f"trained on {len(known)} of the {own['pid'].nunique()} test identities of trial 2" in scored.record.notes
    # A checkpoint that does not name its identities is known by its split.
    nameless = dataclasses.replace(leaking, checkpoint=dataclasses.replace(leaking.checkpoint, train_pids=()))
    assert nameless.leaked == leaking.leaked == sorted(known)
    # What is allowed but does not happen leaves no mark.
    (sound,) = score_models(models_of_run(run, allow_leaking=True), rules, device="cpu", amp="off")
    assert not sound.record.leaking and [trial.trial for trial in sound.record.trials] == [1]


def test_splits_that_do_not_exist_are_refused(regdb_runs: Path, sysu_run: Path) -> None:
    with pytest.raises(UsageError, match="--trial 11: regdb-twin has the train/test splits 1 to 10"):
        models_of_run(regdb_runs / "trial-01", trial=11)
    with pytest.raises(UsageError, match="--trial 1: sysu-mm01-twin has only one train/test split"):
        models_of_checkpoint(models_of_run(sysu_run)[0].path, trial=1)


def test_models_that_do_not_belong_together_are_refused(regdb_runs: Path, sysu_run: Path) -> None:
    one, two = models_of_run(regdb_runs)
    rules = Rules(load_protocols(["regdb-v2t"]))
    odd = TrainedModel(two.path, dataclasses.replace(two.checkpoint, variant="other"), two.root)
    with pytest.raises(UsageError, match=r"differs .* in its variant"):
        score_models([one, odd], rules)
    with pytest.raises(UsageError, match="two runs are of the same trial"):
        score_models([one, one], rules)
    with pytest.raises(UsageError, match="regdb-v2t: is a protocol of regdb"):
        score_models(models_of_run(sysu_run), rules)
    with pytest.raises(UsageError, match="no run of --trial 7"):
        models_of_run(regdb_runs, trial=7)


def test_another_copy_of_the_twin_is_noticed(sysu_run: Path, sysu_twin: Path, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    text = (sysu_twin / "truth" / "twin.json").read_text()
    (tmp_path / "truth" / "twin.json").write_text(text.replace('"seed": 0', '"seed": 5'))
    (model,) = models_of_run(sysu_run, root=tmp_path)
    with pytest.raises(UsageError, match=r"is sysu-mm01-twin tiny-s5.*was trained on tiny-s0"):
        score_models([model], Rules(load_protocols(["sysu-all"])), device="cpu", amp="off")


def test_images_that_are_gone_are_asked_for(sysu_run: Path, tmp_path: Path) -> None:
    (model,) = models_of_run(sysu_run, root=tmp_path / "gone")
    with pytest.raises(UsageError, match=r"gone: the data set sysu-mm01-twin is no longer there; .* --root"):
        score_models([model], Rules(load_protocols(["sysu-all"])), device="cpu", amp="off")


def test_an_embedding_that_is_not_finite_names_the_image(sysu_run: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(models_of_run(sysu_run)[0].path)
    broken = {name: torch.full_like(value, float("nan")) if value.is_floating_point() else value
              for name, value in checkpoint.model.items()}  # fmt: skip
    save_checkpoint(tmp_path / "nan.pt", dataclasses.replace(checkpoint, model=broken))
    (model,) = models_of_checkpoint(tmp_path / "nan.pt", models_of_run(sysu_run)[0].root)
    with pytest.raises(VibenchError, match=r"NaN or infinite embedding for cam1/\d{4}/\d{4}.jpg"):
        model.extract(CPU, FP32)


def test_an_unfinished_run_is_scored_with_a_note(sysu_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sysu_run, tmp_path / "run")
    path = folder / "checkpoints" / "last.pt"
    save_checkpoint(path, dataclasses.replace(read_checkpoint(path), epoch=1))
    (scored,) = score_models(models_of_run(folder), Rules(load_protocols(["sysu-all"])), device="cpu", amp="off")
    assert "evaluated after 1 of 2 epochs" in scored.record.notes


def test_the_python_interface_loads_embeds_and_evaluates(
    sysu_run: Path, sysu_scored: list[Scored], tmp_path: Path
) -> None:
    method = vibench.load(sysu_run)
    assert not method.training
    size = method.recipe.input
    assert vibench.load(sysu_run / "checkpoints" / "last.pt").embed(
        torch.zeros(2, 3, size.height, size.width), "infrared"
    )["embedding"].shape == (2, sysu_scored[0].record.profile.embedding_size)
    (model,) = models_of_run(sysu_run)
    _, extraction = model.extract(CPU, FP32)
    write_features(tmp_path / "f.npz", extraction.features)
    for features in (extraction.features, tmp_path / "f.npz", str(tmp_path / "f.npz")):
        assert vibench.evaluate(features, protocol="sysu-indoor").mean == sysu_scored[2].record.mean
    assert read_features(tmp_path / "f.npz").meta["checkpoint_sha256"] == model.sha256


def test_protocols_are_named_once_and_at_least_one() -> None:
    with pytest.raises(UsageError, match="no protocol given"):
        load_protocols([])
    with pytest.raises(UsageError, match="name each protocol once"):
        load_protocols(["sysu-all", "sysu-all"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_embeddings(sysu_run: Path) -> None:
    (model,) = models_of_run(sysu_run)
    _, on_cpu = model.extract(CPU, FP32)
    _, on_gpu = model.extract(torch.device("cuda"), Precision("fp32", "cuda"))
    np.testing.assert_allclose(on_gpu.features.features, on_cpu.features.features, atol=1e-4)
