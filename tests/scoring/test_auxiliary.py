"""Query modes, masks and groups of queries of a method whose test images exchange features, from run to record."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.methods.checks import MAP_WIDTH
from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.errors import UsageError
from vibench.evaluation.result import METRICS
from vibench.methods.recipe import load_recipe
from vibench.records.store import read_records
from vibench.runtime.randomness import generator
from vibench.scoring.auxiliary import (
    AuxiliaryScore,
    auxiliary_scores,
    auxiliary_sizes,
    plot_auxiliary,
    write_auxiliary_table,
)
from vibench.scoring.embedded import Embedded, embed_models
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_embedded, score_models
from vibench.scoring.trained import TrainedModel, models_of_run
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SETTINGS = ("batches_per_epoch=1", "schedule.epochs=1", "identities=4", "sampler.images=2")
EXTRACT = TrainedModel.extract
SMALL = ("model.backbone=resnet18-slim", "height=64", "width=32", "transfer_dim=16")


def _train(dataset: str, root: Path, folder: Path, trial: int | None = None, seed: int = 0, method="cm-ssft") -> Path:
    variant, small = ("shl-spl-sht-spt", SMALL) if method == "cm-ssft" else ("", ())
    recipe = load_recipe(method, variant, dataset, [*SETTINGS, *small])
    return train(TrainingSpec(recipe, root, trial, seed, "off", "none", folder), device="cpu").path


def _embed(path: Path, protocols: Sequence[str] = ("sysu-all",)) -> Embedded:
    rules = Rules(load_protocols(protocols))
    return embed_models(models_of_run(path), rules, device="cpu", amp="off")


@pytest.fixture(scope="module")
def trained(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "sysu")


@pytest.fixture(scope="module")
def embedded(trained: Path) -> Embedded:
    return _embed(trained)


@pytest.fixture(scope="module")
def toys(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    return _embed(_train("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "toy", method="toy"))


def rules(mode: str = "all", **changes: object) -> Rules:
    return dataclasses.replace(Rules(load_protocols(["sysu-all"]), query_mode=mode), **changes)


def test_records_say_what_each_mode_looked_at(embedded: Embedded) -> None:
    (together,), (single,) = (score_embedded(embedded, rules(mode)) for mode in ("all", "single"))
    assert (together.record.query_mode, together.record.test_time_information) == ("all", "gallery+queries")
    assert (single.record.query_mode, single.record.test_time_information) == ("single", "gallery")
    assert together.record.distance == single.record.distance == "method"
    assert together.record.mean != single.record.mean and together.record.id != single.record.id
    # Another distance of the same features looks at nothing but the pair.
    (plain,) = score_embedded(embedded, rules(distance="cosine"))
    assert (plain.record.distance, plain.record.test_time_information) == ("cosine", "none")
    (reranked,) = score_embedded(embedded, rules(rerank="k-reciprocal"))
    assert reranked.record.test_time_information == "gallery+queries"


def test_a_mode_that_changes_nothing_is_noted(toys: Embedded, embedded: Embedded) -> None:
    (together,), (single,) = (score_embedded(toys, rules(mode)) for mode in ("all", "single"))
    assert single.record.mean == together.record.mean
    (note,) = set(single.record.notes) - set(together.record.notes)
    assert note.startswith("query mode single changes nothing here")
    (own,) = score_embedded(embedded, rules("single"))
    assert not [note for note in own.record.notes if note.startswith("query mode")]
    (plain,) = score_embedded(embedded, rules("single", distance="cosine"))
    assert note in plain.record.notes


def test_masking_the_query_s_own_location(embedded: Embedded, toys: Embedded) -> None:
    (open_,), (masked,) = (score_embedded(embedded, rules("single", mask_same_location=mask)) for mask in (False, True))
    assert masked.record.distance == "method-masked" and masked.record.mean != open_.record.mean
    assert [note for note in masked.record.notes if "its own location" in note]
    # A query of camera 6 skips nothing; alone with the gallery it is ranked as without the mask.
    for before, after in zip(open_.per_query, masked.per_query, strict=True):
        elsewhere = before.camera == 6
        assert elsewhere.any() and (before.ap[elsewhere] == after.ap[elsewhere]).all()
    for other, changes in ((toys, {}), (embedded, {"distance": "cosine"})):
        with pytest.raises(UsageError, match=r"--mask-same-location: .* leave the option out"):
            score_embedded(other, rules(mask_same_location=True, **changes))


def test_every_split_is_ranked_by_its_own_network(regdb_twin: Path, tmp_path: Path) -> None:
    for trial in (1, 2):
        _train("regdb-twin", regdb_twin, tmp_path / "run" / f"trial-{trial:02d}", trial)
    protocols = Rules(load_protocols(["regdb-v2t"]))
    models = models_of_run(tmp_path / "run")
    (both,) = score_models(models, protocols, device="cpu", amp="off")
    alone = [score_models([model], protocols, device="cpu", amp="off")[0].record.trials[0] for model in models]
    assert list(both.record.trials) == alone


def test_groups_lie_between_the_modes(embedded: Embedded) -> None:
    scores = auxiliary_scores(embedded, rules(), ("1", "3", "999", "all"), partitions=2)
    assert [(score.protocol, score.size, score.partitions) for score in scores] == [
        ("sysu-all", "1", 1),
        ("sysu-all", "3", 2),
        ("sysu-all", "999", 2),
        ("sysu-all", "all", 1),
    ]
    for score, mode in ((scores[0], "single"), (scores[2], "all"), (scores[3], "all")):
        (record,) = [scored.record for scored in score_embedded(embedded, rules(mode))]
        assert score.mean == pytest.approx(record.mean, abs=1e-6)
        assert score.std == pytest.approx(dict.fromkeys(METRICS, 0.0), abs=1e-6)
    assert scores[1].mean not in (scores[0].mean, scores[3].mean) and scores[1].std["map"] > 0
    again = auxiliary_scores(embedded, rules(), ("3",), partitions=2)
    assert again == [scores[1]] != auxiliary_scores(embedded, rules(), ("3",), partitions=2, seed=1)


def test_groups_are_drawn_by_seed_and_put_back(embedded: Embedded) -> None:
    """A group holds whom the order puts together, and every query keeps its place."""
    from vibench.scoring.auxiliary import _partitioned

    method = embedded.method
    query, gallery = torch.randn(2, 7, 3 * MAP_WIDTH).unbind(0)
    found = _partitioned(method, "3", 5, 1, False).function(query, gallery, "all")
    order = torch.from_numpy(generator(5, "auxiliary", 1).permutation(7))
    for group in order.split(3):
        expected = method.group_distances(query[group], gallery, len(group))
        torch.testing.assert_close(found[group], expected)


def test_groups_keep_their_masks(embedded: Embedded) -> None:
    (score,) = auxiliary_scores(embedded, rules(mask_same_location=True), ("1",))
    (record,) = [one.record for one in score_embedded(embedded, rules("single", mask_same_location=True))]
    assert score.mean == pytest.approx(record.mean, abs=1e-6)


def test_a_method_without_groups_is_refused(toys: Embedded, embedded: Embedded) -> None:
    for other, changes in ((toys, {}), (embedded, {"distance": "cosine"})):
        with pytest.raises(UsageError, match=r"--auxiliary: .* ranks every query by itself"):
            auxiliary_scores(other, rules(**changes), ("1", "all"))


def test_several_draws_are_refused(embedded: Embedded) -> None:
    with pytest.raises(UsageError, match=r"--auxiliary: takes one --draw, not 2"):
        auxiliary_scores(embedded, rules(draws=("seeded", "official")), ("1",))


def test_sizes() -> None:
    assert auxiliary_sizes("1, 4,16,all") == ("1", "4", "16", "all")
    assert auxiliary_sizes("all") == ("all",) and auxiliary_sizes("7") == ("7",)
    for wrong in ("", "0", "4,1", "2,2", "all,4", "four", "-1", "all,all", "1,"):
        with pytest.raises(UsageError, match=f"--auxiliary {wrong}: must be ascending"):
            auxiliary_sizes(wrong)


def test_the_command_line(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call, one extraction: both modes and the groups."""
    monkeypatch.chdir(tmp_path)
    extracted = []
    monkeypatch.setattr(
        TrainedModel, "extract", lambda *given, **how: extracted.append(given) or EXTRACT(*given, **how)
    )
    given = ["eval", str(trained), "--protocol", "sysu-all", "--device", "cpu", "--amp", "off"]
    modes = ["--query-mode", "all", "--query-mode", "single"]
    table = ["--auxiliary-partitions", "2", "--auxiliary-out", "curve.csv"]
    result = CliRunner().invoke(app, [*given, *modes, "--auxiliary", "1,9,all", *table])
    assert result.exit_code == 0 and len(extracted) == 1
    assert "query mode single" in result.output and "1 queries per graph: rank-1" in result.output
    records, _ = read_records(tmp_path / "leaderboards")
    assert sorted(record.test_time_information for record in records) == ["gallery", "gallery+queries"]
    with (tmp_path / "curve.csv").open() as handle:
        rows = {row["queries_per_graph"]: row for row in csv.DictReader(handle)}
    assert {size: row["partitions"] for size, row in rows.items()} == {"1": "1", "9": "2", "all": "1"}
    for record in records:
        row = rows["1" if record.query_mode == "single" else "all"]
        assert float(row["map"]) == pytest.approx(100 * record.mean["map"], abs=1e-3)
    wrong = CliRunner().invoke(app, [*given, "--auxiliary", "4,1"])
    assert isinstance(wrong.exception, UsageError)


def scores() -> list[AuxiliaryScore]:
    values, spread = dict.fromkeys(METRICS, 0.25), dict.fromkeys(METRICS, 0.0125)
    return [AuxiliaryScore(name, size, 10, values, spread) for name in ("a", "b") for size in ("1", "4", "all")]


def test_table_and_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_auxiliary_table(tmp_path / "curve.csv", scores())
    with (tmp_path / "curve.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["protocol"], row["queries_per_graph"]) for row in rows][2:4] == [("a", "all"), ("b", "1")]
    assert (rows[0]["map"], rows[0]["r1_std"], rows[0]["partitions"]) == ("25.0000", "1.2500", "10")

    axes = pytest.importorskip("matplotlib.axes").Axes
    drawn: list[tuple[str, list[float], list[float]]] = []
    draw = axes.errorbar

    def errorbar(self: object, x: object, y: list[float], spread: list[float], **style: Any) -> object:
        drawn.append((style["label"], y, spread))
        return draw(self, x, y, spread, **style)

    monkeypatch.setattr(axes, "errorbar", errorbar)
    assert plot_auxiliary(tmp_path / "curve.png", scores(), "cm-ssft")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    curves = ("a, rank-1", "a, mAP", "b, rank-1", "b, mAP")
    assert drawn == [(label, [25.0] * 3, [1.25] * 3) for label in curves]
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert not plot_auxiliary(tmp_path / "none.png", scores(), "cm-ssft") and not (tmp_path / "none.png").exists()
