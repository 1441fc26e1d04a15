"""Published numbers: the files that travel with vibench are sound, and a file that is not is named."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from vibench.errors import UsageError
from vibench.evaluation.result import METRICS
from vibench.files.shipped import published_folder
from vibench.leaderboard.method_facts import Setup
from vibench.leaderboard.published import PAPER, REPOSITORY, Published, load_published, protocol_name
from vibench.protocols import protocol_names


@pytest.fixture(scope="module")
def published() -> Published:
    return load_published()


def _cells(name: str) -> list[dict[str, str]]:
    with (published_folder() / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(("name", "count"), [("results", 765), ("ablations", 130), ("transfer", 12)])
def test_every_printed_row_loads(published: Published, name: str, count: int) -> None:
    loaded = [*getattr(published, name), *(published.withheld if name == "results" else ())]
    rows = _cells(f"{name}.csv")
    assert len(loaded) == len(rows) == count
    printed = {(row.method, row.variant, row.protocol, row.source, *row.values.items()) for row in loaded}
    for row in rows:
        protocol = protocol_name(row["dataset"], row["search"], row["shot"], row["direction"])
        values = tuple((metric, row[metric]) for metric in METRICS if row[metric])
        assert protocol in protocol_names()
        assert (row["method"], row.get("variant", ""), protocol, f"{row['source']} {row['table']}", *values) in printed


def test_every_conflict_loads(published: Published) -> None:
    assert len(published.conflicts) == len(_cells("conflicts.csv")) == 145


def test_every_row_has_a_source_that_is_found_or_says_why_not(published: Published) -> None:
    for row in (*published.results, *published.ablations):
        source = published.papers[row.source.split()[0]]
        assert source.address or source.remark, row
        # What nobody can look up is no number to rank by, unless its paper or repository is known by name.
        assert source.address or source.kind in (PAPER, REPOSITORY) or row.secondary, row
    assert sum(not source.address for source in published.papers.values()) == 13


def test_every_draw_and_every_look_has_its_evidence() -> None:
    for row in _cells("methods.csv"):
        for column, evidence in (("draw", "draw_evidence"), ("test_time_information", "information_evidence")):
            assert bool(row[evidence]) or not row[column], row


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
        ("lba", "llcm", "seeded", "unknown"),
        ("lba", "sysu-mm01", "unknown", "unknown"),
        ("dma", "sysu-mm01", "other", "none"),
        ("saai", "sysu-mm01", "official", "gallery"),
        ("mcja-mser", "sysu-mm01", "official", "re-ranking"),
        ("idkl", "sysu-mm01", "official", "re-ranking"),
        ("idkl", "regdb", "none", "none"),
        ("m3-reid", "hitsz-vcm", "none", "none"),
        ("yyds", "llcm", "seeded", "text"),
    ],
)
def test_practice_of_authors(published: Published, method: str, dataset: str, draw: str, information: str) -> None:
    practice = published.facts(method, "", dataset).practice
    assert (practice.draw, practice.test_time_information) == (draw, information)


@pytest.mark.parametrize(
    ("method", "supervision"),
    [
        ("agw", "supervised"),
        ("lcnl", "supervised"),
        ("dpis", "semi-supervised"),
        ("cngc", "noisy labels"),
        ("hecc", "weakly supervised"),
        ("sdcl", "unsupervised"),
        ("yyds", "text-assisted"),
    ],
)
def test_supervision_of_methods(published: Published, method: str, supervision: str) -> None:
    assert published.facts(method, "", "sysu-mm01").supervision == supervision


def test_rows_keep_their_provenance(published: Published) -> None:
    found = {(row.method, row.protocol, row.source.split()[0]): row for row in published.results}
    assert found["deen", "sysu-all", "deen-cvpr2023"].own
    assert found["bit", "llcm-v2i", "note-bit"].secondary and not found["bit", "llcm-v2i", "note-bit"].own
    assert found["sgiel", "sysu-all", "third-party-table"].secondary
    assert found["mpt", "sysu-all", "mpt-icmr2025"].own
    # In another paper's table: quoted, yet from a paper.
    quoted = found["idkl", "sysu-all", "smc-2026"]
    assert not quoted.own and not quoted.secondary
    # Not to be shown until its paper confirms the setting.
    assert {row.method for row in published.withheld} == {"sf2dnet"}
    assert not any(row.method == "sf2dnet" for row in published.results)


@pytest.mark.parametrize("source", ["llcm-readme", "cafmnet-readme", "ifalnet-readme"])
def test_exchanged_directions_stand_in_a_family_of_their_own(published: Published, source: str) -> None:
    rows = [row for row in published.results if row.source.startswith(source) and row.dataset == "llcm"]
    assert {row.protocol for row in rows} <= {"llcm-i2v", "llcm-v2i-as-scripted"}
    for row in rows:
        # Of all visible images behind few infrared ones, mAP falls under rank-1; the other way it lies over it.
        exchanged = row.protocol == "llcm-v2i-as-scripted"
        assert (float(row.values["map"]) < float(row.values["r1"])) == exchanged


def test_protocol_of_a_printed_setting() -> None:
    assert protocol_name("sysu-mm01", "all", "single", "") == "sysu-all"
    assert protocol_name("sysu-mm01", "indoor", "multi", "") == "sysu-indoor-multi"
    assert protocol_name("regdb", "", "", "t2v") == "regdb-t2v"
    assert protocol_name("hitsz-vcm", "", "", "i2v") == "hitsz-i2v"
    assert protocol_name("buptcampus", "", "", "v2i-other-cameras") == "bupt-v2i-other-cameras"


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
        ("conflicts.csv", "mpanet,regdb", "mpanet,market", ["line 2", "'dataset'", "'market'"]),
        (
            "results.csv",
            "regdb,,,v2t,17.75",
            "regdb,,,v2i,17.75",
            ["'direction'", "v2t, t2v, v2t-c-as-scripted, t2v-c-as-scripted on regdb", "'v2i'"],
        ),
        ("results.csv", "one-stream,One-stream", "one-strem,One-stream", ["line 2", "'method'", "methods.csv"]),
        ("results.csv", "12.04,,49.68,66.74,13.67", ",,,,", ["line 2", "holds no number"]),
        ("sources.csv", "ddag-eccv2020,paper", "ddag-eccv2020,rumour", ["line 2", "'kind'", "'rumour'"]),
        ("sources.csv", "https://github.com/mangye16/DDAG,ddag", ",ddag", ["line 2", "'address'", "'remark'"]),
        ("methods.csv", ",seeded,drawn with", ",lucky,drawn with", ["line 2", "'draw'", "'lucky'"]),
        ("methods.csv", "agw,,AGW", "agwx,,AGW", ["'agw' on llcm", "must follow"]),
        ("methods.csv", "agw,llcm,", "agw,,", ["line 3", "'agw'", "twice"]),
        ("methods.csv", "supervised,resnet50,288x144", "supervised,resnet50,288", ["line 2", "'input'", "'288'"]),
        (
            "methods.csv",
            ",TPAMI,2021,agw,supervised",
            ",TPAMI,2021,agw,taught",
            ["line 2", "'supervision'", "'taught'"],
        ),
        ("methods.csv", ",TPAMI,2021,agw,", ",TPAMI,2021,agww,", ["'agw'", "'agww'", "papers.bib"]),
        (
            "methods.csv",
            "resnet50,288x144,imagenet,none",
            "resnet50,288x144,imagenet,None",
            ["'extra_labels'", "'None'"],
        ),
        ("papers.bib", "  year = {2022},", "  year = 2022,", ["papers.bib, line", "'name = {value},'"]),
        ("papers.bib", "@article{attr,", "@article{agw,", ["papers.bib, line", "'agw'", "twice"]),
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
    def information(variant: str) -> str:
        return published.facts("paenet", variant, "sysu-mm01").practice.test_time_information

    assert [information(variant) for variant in ("", "aal", "pae")] == ["attributes", "none", "attributes"]
    assert published.facts("pose-id", "", "regdb").setup.extra_labels == "heatmaps"
    assert published.facts("pose-id", "baseline", "regdb").setup.extra_labels == "none"
    assert published.facts("hog", "", "regdb").setup == Setup()
    # One data set's cell stands over that of all.
    assert published.facts("mpanet", "", "sysu-mm01").setup.input == "384x128"
    assert published.facts("mpanet", "", "regdb").setup.input == "256x128"


def test_setups_agree_with_the_recipes_where_both_speak(published: Published) -> None:
    from vibench.methods.recipe import load_recipe

    for method, dataset in (("agw", "sysu-mm01"), ("mpanet", "regdb"), ("deen", "sysu-mm01"), ("paenet", "regdb")):
        recipe = load_recipe(method, "", dataset)
        setup = published.facts(method, "", dataset).setup
        assert setup.input == f"{recipe.input.height}x{recipe.input.width}"
        assert setup.backbone == recipe.model.backbone


def test_a_reader_that_collects_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    text = (folder / "results.csv").read_text(encoding="utf-8")
    (folder / "results.csv").write_text(text.replace("12.04", "120.4", 1).replace("16.94", "-", 1), encoding="utf-8")
    problems: list[str] = []
    published = load_published(folder, problems.append)
    assert [problem.partition("csv, ")[2].partition(":")[0] for problem in problems] == ["line 2", "line 3"]
    assert len(published.results) == 760
