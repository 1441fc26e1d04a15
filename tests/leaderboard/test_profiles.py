"""Tables of profiles: one per device and input, with the numbers of the files, and gone when the files are."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from pathlib import Path

from tests.profiling.profiles import make_profile
from vibench.leaderboard.profiles import FOLDER, profiles_csv, profiles_markdown, read_profile_tables
from vibench.leaderboard.published import load_published
from vibench.leaderboard.update import update_boards
from vibench.profiling.profile import Profile, write_profile
from vibench.report.write import render_report
from vibench.runtime.environment import Environment


def write(folder: Path, name: str, profile: Profile) -> None:
    write_profile(folder / FOLDER / name, profile)


def test_cells_are_the_numbers_of_the_profile(tmp_path: Path) -> None:
    profile = make_profile()
    assert profile.embedding and profile.training
    write(tmp_path, "p.json", profile)
    (table,), problems = read_profile_tables(tmp_path)
    (row,) = csv.DictReader(io.StringIO(profiles_csv(table)))
    largest = profile.matching[0].galleries[-1]
    expected = {
        "parameters_train_m": 30.0,
        "parameters_test_m": 20.0,
        "embedding_size": 2048,
        "gflops_per_image": 10.0,
        "latency_ms": 8.0,
        "extraction_images_per_second": 400.0,
        "step_images": 64,
        "step_ms": 129.0,
        "training_images_per_second": 64_000 / 129,
        "training_allocated_mib": 50,
        "training_reserved_mib": 100,
        "extraction_allocated_mib": 4,
        "matching_all_ms_per_query": 64.0 / profile.matching[0].queries,
        "largest_gallery_all": largest.rows,
        "largest_gallery_all_ms_per_query": largest.duration.median / profile.matching[0].queries,
    }
    assert {name: float(row[name]) for name in expected} == {
        name: float(f"{value:.6g}") for name, value in expected.items()
    }
    assert "training_resident_mib" not in row
    assert (row["method"], row["variant"], row["device"], row["profile"]) == ("toy", "v", "GPU A", "p.json")
    assert problems == []
    markdown = profiles_markdown(table)
    assert "[p.json](p.json)" in markdown and " 129.0 |" in markdown


def test_foreign_names_do_not_break_the_table(tmp_path: Path) -> None:
    write(tmp_path, "a|b.json", dataclasses.replace(make_profile(), method="x|y`"))
    ((table,), _) = read_profile_tables(tmp_path)
    heads, _, line = profiles_markdown(table).splitlines()[4:]
    assert len(re.findall(r"(?<!\\)\|", line)) == heads.count("|")
    assert r"x\|y\`" in line and "(a%7Cb.json)" in line


def test_devices_inputs_and_precisions_do_not_share_a_table(tmp_path: Path) -> None:
    on_gpu = make_profile()
    on_cpu = dataclasses.replace(on_gpu, device="CPU", threads=1, environment=Environment())
    others = (on_cpu, dataclasses.replace(on_cpu, threads=2), dataclasses.replace(on_gpu, precision="off"))
    for number, profile in enumerate((on_gpu, *others, dataclasses.replace(on_gpu, input="96x48"), on_gpu)):
        write(tmp_path, f"{number}.json", profile)
    tables, _ = read_profile_tables(tmp_path)
    assert {table.title: [name for name, _ in table.lines] for table in tables} == {
        "CPU, 1 thread, 288x144, bf16": ["1.json"],
        "CPU, 2 threads, 288x144, bf16": ["2.json"],
        "GPU A, 288x144, bf16": ["0.json", "5.json"],
        "GPU A, 288x144, off": ["3.json"],
        "GPU A, 96x48, bf16": ["4.json"],
    }
    assert len({table.name for table in tables}) == len(tables)


def test_what_was_not_measured_is_empty_and_no_other_gallery_stands_for_the_typical_one(tmp_path: Path) -> None:
    whole = make_profile()
    small = dataclasses.replace(whole.matching[0], galleries=whole.matching[0].galleries[:1])
    write(tmp_path, "a.json", dataclasses.replace(whole, embedding=None, training=None, matching=(small,)))
    write(tmp_path, "b.json", whole)
    ((table,), _) = read_profile_tables(tmp_path)
    bare, full = csv.DictReader(io.StringIO(profiles_csv(table)))
    assert [bare[name] for name in ("latency_ms", "step_ms", "matching_all_ms_per_query")] == ["", "", ""]
    assert float(bare["largest_gallery_all"]) == 1000.0 and full["latency_ms"] == "8"


def test_tables_come_and_go_with_their_files_and_a_broken_one_is_a_problem(tmp_path: Path) -> None:
    published = load_published()
    write(tmp_path, "p.json", make_profile())
    (tmp_path / FOLDER / "broken.json").write_text("{")
    update = update_boards(tmp_path, published)
    (table,), _ = read_profile_tables(tmp_path)
    path = tmp_path / FOLDER / f"{table.name}.md"
    assert path in update.written and path.is_file() and path.with_suffix(".csv").is_file()
    assert f"({FOLDER}/{table.name}.md)" in (tmp_path / "index.md").read_text(encoding="utf-8")
    assert any("broken.json" in problem for problem in update.problems)
    (tmp_path / FOLDER / "p.json").unlink()
    update_boards(tmp_path, published)
    assert not path.exists() and not path.with_suffix(".csv").exists()


def test_the_page_shows_profiles_that_sort_and_link_to_their_files(tmp_path: Path) -> None:
    write(tmp_path, "p.json", make_profile())
    (tmp_path / FOLDER / "broken.json").write_text("{")
    rendered = render_report(tmp_path, tmp_path / "report.html")
    assert 'href="#profiles"' in rendered.html and 'href="./profiles/p.json"' in rendered.html
    assert 'data-order="129.0"' in rendered.html
    assert any("broken.json" in problem for problem in rendered.problems)
