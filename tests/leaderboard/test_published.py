"""Published numbers: the files that travel with vibench are sound, and a file that is not is named."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from vibench.errors import UsageError
from vibench.files.shipped import published_folder
from vibench.leaderboard.published import Published, Setup, load_published, protocol_name
from vibench.protocols import protocol_names


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published()


def _cells(name: str) -> list[dict[str, str]]:
    with (published_folder() / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("name", ["results", "ablations"])
def test_every_printed_row_loads(published: Published, name: str) -> None:
    loaded = getattr(published, name)
    rows = _cells(f"{name}.csv")
    assert len(loaded) == len(rows) == {"results": 392, "ablations": 130}[name]
    for printed, row in zip(loaded, rows, strict=True):
        assert printed.method == row["method"]
        assert printed.protocol in protocol_names()
        assert {metric: row[metric] for metric in ("r1", "r5", "r10", "r20", "map", "minp") if row[metric]} == dict(
            printed.values
        )


def test_every_conflict_loads(published: Published) -> None:
    assert len(published.conflicts) == len(_cells("conflicts.csv")) == 80


def test_files_are_the_transcribed_ones(shared: Path) -> None:
    for name in ("results.csv", "ablations.csv", "conflicts.csv", "recent.csv"):
        assert (published_folder() / name).read_bytes() == (shared / "published" / name).read_bytes()


def test_every_method_and_data_set_has_a_draw() -> None:
    rows = _cells("draws.csv")
    known = {(row["method"], row["dataset"]) for row in rows}
    assert len(known) == len(rows)
    needed = {(row["method"], row["dataset"]) for name in ("results.csv", "ablations.csv") for row in _cells(name)}
    assert needed <= known
    assert all(row["draw_evidence"] and row["information_evidence"] for row in rows)


@pytest.mark.parametrize(
    ("method", "dataset", "draw", "information"),
    [
        ("zero-pad", "sysu-mm01", "official", "none"),
        ("mpanet", "sysu-mm01", "official", "none"),
        ("agw", "sysu-mm01", "seeded", "none"),
        ("ddag", "sysu-mm01", "seeded", "none"),
        ("paenet", "sysu-mm01", "unknown", "attributes"),
        ("agw-pae-aal", "regdb", "none", "attributes"),
        ("cm-ssft", "regdb", "none", "gallery+queries"),
        ("cm-ssft-single-query", "sysu-mm01", "unknown", "gallery"),
        ("cift-no-gallery", "sysu-mm01", "unknown", "none"),
        ("hcml", "sysu-mm01", "unknown", "unknown"),
    ],
)
def test_practice_of_authors(published: Published, method: str, dataset: str, draw: str, information: str) -> None:
    practice = published.practices[method, dataset]
    assert (practice.draw, practice.test_time_information) == (draw, information)


def test_recent_rows_keep_their_provenance(published: Published) -> None:
    found = {(row.method, row.protocol): row for row in published.recent}
    assert found["deen", "sysu-all"].secondary
    assert found["bit", "llcm-v2i"].secondary
    assert not found["mpt", "sysu-all"].secondary
    # Primary in two settings, secondary in the others.
    assert not found["mmd", "sysu-all"].secondary
    assert found["mmd", "regdb-t2v"].secondary
    assert found["cm-ssft", "sysu-all"].values == {"r1": "61.6", "map": "63.2"}
    # Its caveat forbids to show it.
    assert not any(method == "sf2dnet" for method, _ in found)


def test_protocol_of_a_printed_setting() -> None:
    assert protocol_name("sysu-mm01", "all", "single", "") == "sysu-all"
    assert protocol_name("sysu-mm01", "indoor", "multi", "") == "sysu-indoor-multi"
    assert protocol_name("regdb", "", "", "t2v") == "regdb-t2v"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("results.csv", "12.04", "12,04", ["line 2", "18 cells"]),
        ("results.csv", "12.04", "120.4", ["line 2", "column 'r1'", "'120.4'"]),
        ("results.csv", "12.04", "-", ["line 2", "column 'r1'", "'-'"]),
        ("results.csv", "12.04", "nan", ["line 2", "column 'r1'", "'nan'"]),
        ("results.csv", "one-stream,One-stream,ICCV,2017", "One Stream,One-stream,ICCV,2017", ["line 2", "'method'"]),
        ("results.csv", "ICCV,2017", "ICCV,17", ["line 2", "'year'", "'17'"]),
        ("results.csv", "sysu-mm01,all,single,,12.04", "sysu-mm01,,single,,12.04", ["line 2", "'search'", "filled"]),
        ("results.csv", "sysu-mm01,all,single,,12.04", "regdb,all,single,,12.04", ["line 2", "'search'", "empty"]),
        ("results.csv", "ddag-eccv2020,Table 4", "eccv2020,Table 4", ["line 2", "'source'", "sources.csv"]),
        ("results.csv", "method,method_label", "name,method_label", ["line 1", "columns"]),
        ("ablations.csv", "ddag,b,", "ddag,,", ["line 2", "'variant'"]),
        ("conflicts.csv", "mpanet,regdb", "mpanet,llcm", ["line 2", "'dataset'", "'llcm'"]),
        ("recent.csv", "primary,paper Table 5", "rumour,paper Table 5", ["line 2", "'provenance'", "'rumour'"]),
        ("draws.csv", "agw,sysu-mm01,seeded", "agw,sysu-mm01,lucky", ["'draw'", "'lucky'"]),
        ("draws.csv", "agw,regdb,none", "agw,regdb,seeded", ["'draw'", "regdb"]),
        ("draws.csv", "agw,sysu-mm01,seeded", "agwx,sysu-mm01,seeded", ["no row for 'agw' on sysu-mm01"]),
        ("draws.csv", "agw,regdb,none", "agw-pae-aal,regdb,none", ["'agw-pae-aal' on regdb", "twice"]),
        ("setups.csv", "agw,regdb,288x144", "agw,regdb,288", ["line 2", "'input'", "'288'"]),
        ("setups.csv", "agw,regdb,288x144", "agx,regdb,288x144", ["line 2", "'agx' on regdb", "draws.csv"]),
        ("setups.csv", "agw,sysu-mm01,288x144", "agw,regdb,288x144", ["'agw' on regdb", "twice"]),
        ("setups.csv", "resnet50,imagenet,none", "resnet50,imagenet,None", ["'extra_labels'", "'None'"]),
        ("audits.csv", ",major\n", ",grave\n", ["line 2", "'severity'", "'grave'"]),
        ("audits.csv", "*:regdb-*", "*:regdb-v2v", ["line 3", "'rows'", "no printed row of 'mmd'", "'*:regdb-v2v'"]),
    ],
)
def test_schema_names_file_line_column_and_value(
    tmp_path: Path, name: str, old: str, new: str, words: list[str]
) -> None:
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_published(folder)
    message = str(caught.value)
    assert message.startswith(str(folder / name))
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b'method,"open'])
def test_unreadable_file_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    (folder / "results.csv").unlink()
    if content is not None:
        (folder / "results.csv").write_bytes(content)
    with pytest.raises(UsageError, match=r"results\.csv"):
        load_published(folder)


def test_an_ablation_may_differ_from_its_method(published: Published) -> None:
    assert published.practice("paenet", "", "sysu-mm01").test_time_information == "attributes"
    assert published.practice("paenet", "aal", "sysu-mm01").test_time_information == "none"
    assert published.practice("paenet", "pae", "sysu-mm01").test_time_information == "attributes"
    assert published.setup("pose-id", "", "regdb").extra_labels == "heatmaps"
    assert published.setup("pose-id", "baseline", "regdb").extra_labels == "none"
    assert published.setup("hog", "", "regdb") == Setup()


def test_setups_agree_with_the_recipes_where_both_speak(published: Published) -> None:
    from vibench.methods.recipe import load_recipe

    for method, dataset in (("agw", "sysu-mm01"), ("mpanet", "regdb"), ("deen", "sysu-mm01"), ("paenet", "regdb")):
        recipe = load_recipe(method, "", dataset)
        setup = published.setup(method, "", dataset)
        assert setup.input == f"{recipe.input.height}x{recipe.input.width}"
        assert setup.backbone == recipe.model.backbone
