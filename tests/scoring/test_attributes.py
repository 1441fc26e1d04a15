"""Attributes of test images: where they come from, what the records say, and what stands beside labelled results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vibench.cli.main import app
from vibench.data.attributes import attributes_of, read_attributes, write_attributes
from vibench.datasets.registry import get_dataset
from vibench.datasets.testing import images_of_tests
from vibench.errors import UsageError
from vibench.leaderboard.board import build_boards
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.scoring.attributes import GivenAttributes, labels_of_test_images
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import Scored, score_models
from vibench.scoring.trained import TrainedModel, models_of_run
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SMALL = (
    "model.backbone=resnet18-slim", "height=64", "width=32", "batches_per_epoch=2", "schedule.epochs=1",
    "sampler.identities=4", "sampler.images=2",
)  # fmt: skip
PROTOCOLS = ("sysu-all", "sysu-indoor")


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIBENCH_CACHE", str(folder / "cache"))
        patch.setenv("VIBENCH_LEADERBOARDS", str(folder / "leaderboards"))
        yield folder


@pytest.fixture(scope="module")
def run(sysu_twin: Path, folders: Path) -> Path:
    recipe = load_recipe("paenet", "", "sysu-mm01-twin", SMALL)
    return train(TrainingSpec(recipe, sysu_twin, None, 0, "off", "none", folders / "run"), device="cpu").path


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedModel:
    return models_of_run(run)[0]


@pytest.fixture(scope="module")
def scored(run: Path) -> dict[str, list[Scored]]:
    protocols = load_protocols(PROTOCOLS)
    return {
        source: score_models(
            models_of_run(run), Rules(protocols, given=GivenAttributes(source)), device="cpu", amp="off"
        )
        for source in ("", "pred", "gt", "const", "shuffle")
    }


def test_records_say_where_attributes_came_from(scored: dict[str, list[Scored]]) -> None:
    about = {
        source: {
            (found.record.method, found.record.test_attributes, found.record.test_time_information)
            for found in found_all
        }
        for source, found_all in scored.items()
    }
    assert about == {
        "": {("paenet", "pred", "none")},
        "pred": {("paenet", "pred", "none")},
        "const": {("paenet", "const", "none")},
        "shuffle": {("paenet", "shuffle", "attributes")},
        "gt": {("paenet", "gt", "attributes"), ("attributes-only", "gt", "attributes")},
    }
    ids = {found.record.id for found_all in scored.values() for found in found_all}
    assert len(ids) == 5 * len(PROTOCOLS)


def test_labels_stand_beside_the_ranking_by_labels_alone(scored: dict[str, list[Scored]], model: TrainedModel) -> None:
    order = [(found.record.method, found.record.protocol) for found in scored["gt"]]
    assert order == [(method, protocol) for method in ("paenet", "attributes-only") for protocol in PROTOCOLS]
    alone = scored["gt"][2].record
    assert (alone.source, alone.dataset_version) == ("features", model.checkpoint.dataset_version)
    assert alone.fingerprint == scored["pred"][0].record.fingerprint
    assert len(scored["gt"][2].per_query) == len(alone.trials) == 10


def test_boards_keep_labelled_results_apart(scored: dict[str, list[Scored]]) -> None:
    records = [found.record for source in ("pred", "gt", "const", "shuffle") for found in scored[source]]
    board = next(board for board in build_boards(records, ()) if board.protocol == "sysu-all")
    sections = {section.title: section.rows for section in board.sections}
    marks = {
        title: sorted(mark for _, row in rows for mark in row.marks if mark.startswith("attributes"))
        for title, rows in sections.items()
    }
    assert marks == {
        "none": ["attributes const", "attributes pred"],
        "attributes": ["attributes gt", "attributes gt", "attributes shuffle"],
    }


def test_codes_of_every_source(model: TrainedModel, sysu_twin: Path) -> None:
    from vibench.training.checkpoint import load_method

    method, dataset, index = load_method(model.path), get_dataset("sysu-mm01-twin"), model.test_index
    bits, known = attributes_of(dataset, sysu_twin, index)
    assert known.all()
    codes = {
        source: GivenAttributes(source).codes(method, dataset, sysu_twin, index)
        for source in ("", "pred", "gt", "const", "shuffle")
    }
    assert codes[""] is None and codes["pred"] is None
    np.testing.assert_array_equal(codes["gt"], bits)
    np.testing.assert_allclose(codes["const"], np.tile(method.mean_attributes.numpy(), (len(index), 1)))
    assert 0 < codes["const"].mean() < 1
    np.testing.assert_array_equal(np.sort(codes["shuffle"], axis=0), np.sort(codes["gt"], axis=0))
    assert (codes["shuffle"] != codes["gt"]).any(axis=1).mean() > 0.5
    again = GivenAttributes("shuffle").codes(method, dataset, sysu_twin, index)
    np.testing.assert_array_equal(codes["shuffle"], again)


def test_the_network_is_given_them(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test image meets its own code, in batches per modality."""
    from vibench.methods.paenet import PAENet
    from vibench.runtime.devices import Precision

    met: list[torch.Tensor] = []
    whole = PAENet.embed_with_attributes

    def spy(self: Method, images: torch.Tensor, modality: str, attributes: torch.Tensor) -> dict[str, torch.Tensor]:
        met.append(attributes)
        return whole(self, images, modality, attributes)

    monkeypatch.setattr(PAENet, "embed_with_attributes", spy)
    place = torch.device("cpu"), Precision("fp32", "cpu")
    _, extraction = model.extract(*place, extras=True, given=GivenAttributes("gt"))
    index = model.test_index
    bits, _ = attributes_of(model.dataset, model.root, index)
    infrared = (index["modality"] == "infrared").to_numpy()
    np.testing.assert_array_equal(torch.cat(met).numpy(), np.concatenate([bits[~infrared], bits[infrared]]))
    np.testing.assert_array_equal(extraction.features.extras["attributes"], bits)
    met.clear()
    model.extract(*place)
    assert not met


def test_another_table_and_an_incomplete_one(model: TrainedModel, tmp_path: Path) -> None:
    index = model.test_index
    table = read_attributes(model.root / "truth" / "attributes.csv")
    write_attributes(tmp_path / "people.csv", table.identity_level())
    bits = labels_of_test_images(model.dataset, model.root, index, tmp_path / "people.csv")
    assert all(len(np.unique(bits[index["pid"] == pid], axis=0)) == 1 for pid in index["pid"].unique())
    missing = int(index["pid"].iloc[0])
    write_attributes(tmp_path / "less.csv", table.of_identities(set(table.pids.tolist()) - {missing}))
    with pytest.raises(UsageError, match=rf"{index['path'].iloc[0]}; complete the table of labels"):
        labels_of_test_images(model.dataset, model.root, index, tmp_path / "less.csv")


def test_what_a_method_does_not_take_is_refused(model: TrainedModel) -> None:
    from vibench.methods.registry import build_method

    with torch.device("meta"):
        baseline = build_method(load_recipe("paenet", "baseline", overrides=SMALL), 5)
        official = build_method(load_recipe("paenet", "official", overrides=SMALL), 5)
    assert GivenAttributes().resolve(baseline) == "" and GivenAttributes().resolve(official) == "const"
    with pytest.raises(UsageError, match="paenet baseline takes no attributes in testing"):
        GivenAttributes("gt").resolve(baseline)
    with pytest.raises(UsageError, match="paenet official cannot do that; it takes const, gt, shuffle"):
        GivenAttributes("pred").resolve(official)
    with pytest.raises(UsageError, match="takes no attributes in testing"):
        baseline.embed_with_attributes(torch.zeros(1), "visible", torch.zeros(1))


def test_test_images_without_a_copy(tmp_path: Path, sysu_twin: Path, regdb_twin: Path) -> None:
    (real,) = images_of_tests(get_dataset("sysu-mm01"), tmp_path / "nothing").values()
    assert len(real) == 3803 + 6775 and real["pid"].nunique() == 96
    (twin,) = images_of_tests(get_dataset("sysu-mm01-twin"), sysu_twin).values()
    assert set(twin["split"]) == {"test"}
    regdb = get_dataset("regdb-twin")
    assert list(images_of_tests(regdb, regdb_twin)) == list(range(1, 11))
    assert list(images_of_tests(regdb, regdb_twin, 3)) == [3]
    with pytest.raises(UsageError, match="there is no such folder for the data set regdb"):
        images_of_tests(get_dataset("regdb"), tmp_path / "nothing")


# The command


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_eval_with_labels(run: Path, tmp_path: Path) -> None:
    where = ("--device", "cpu", "--amp", "off", "--json", tmp_path / "out.json")
    modes = ("--query-mode", "all", "--query-mode", "single")
    output = invoke("eval", run, "--protocol", "sysu-all", "--test-attributes", "gt", *modes, *where)
    assert "attributes gt" in " ".join(output.split()) and "attributes-only on sysu-mm01-twin" in output
    assert "ties broken at random" in output
    records = json.loads((tmp_path / "out.json").read_text())
    assert [(one["method"], one["query_mode"], one["test_time_information"]) for one in records] == [
        ("paenet", "all", "attributes"),
        ("attributes-only", "all", "attributes"),
        ("paenet", "single", "attributes"),
    ]


def test_attributes_only_by_itself(
    scored: dict[str, list[Scored]], sysu_twin: Path, regdb_twin: Path, tmp_path: Path
) -> None:
    for dataset, root, protocol in (("sysu-mm01-twin", sysu_twin, "sysu-all"), ("regdb-twin", regdb_twin, "regdb-v2t")):
        where = ("--dataset", dataset, "--root", root, "--protocol", protocol, "--json", tmp_path / f"{dataset}.json")
        invoke("eval", "--attributes-only", *where, "--device", "cpu")
    (sysu,), (regdb,) = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("sysu-mm01-twin", "regdb-twin")
    )
    assert sysu["mean"] == scored["gt"][2].record.mean
    assert [trial["trial"] for trial in regdb["trials"]] == list(range(1, 11))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("RUN", "--protocol", "sysu-all", "--test-attributes", "ground"), "unknown source"),
        (("RUN", "--protocol", "sysu-all", "--attributes", "a.csv"), "labels are read for --test-attributes gt"),
        (
            ("RUN", "--protocol", "sysu-all", "--test-attributes", "gt", "--attributes", "a.csv"),
            "there is no such file",
        ),
        (("RUN", "--attributes-only", "--protocol", "sysu-all"), "exactly one of"),
        (
            ("--attributes-only", "--protocol", "sysu-all", "--test-attributes", "pred"),
            "--attributes-only reads the labels",
        ),
        (("--attributes-only", "--protocol", "regdb-v2t"), "there is no such folder for the data set regdb"),
        (("--attributes-only", "--protocol", "sysu-all"), "holds no attributes of sysu-mm01"),
        (
            ("--features", "f.npz", "--protocol", "sysu-all", "--test-attributes", "gt"),
            "features are ranked as they are",
        ),
    ],
)
def test_bad_usage_is_one_sentence(
    run: Path, arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=sentence) as caught:
        invoke("eval", *(str(run) if word == "RUN" else word for word in arguments))
    assert len(str(caught.value).splitlines()) == 1
