from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from vibench.datasets.registry import dataset_names, dataset_root, get_dataset, is_synthetic
from vibench.errors import UsageError


def test_names_and_trials() -> None:
    real, twins = (
        ["sysu-mm01", "regdb", "llcm", "hitsz-vcm", "buptcampus"],
        [
            "sysu-mm01-twin",
            "regdb-twin",
            "hitsz-vcm-twin",
            "buptcampus-twin",
        ],
    )
    assert dataset_names() == (*real, *twins)
    assert {name for name in dataset_names() if get_dataset(name).trials > 1} == {"regdb", "regdb-twin"}
    assert {get_dataset(name).trials for name in dataset_names()} == {1, 10}
    assert [name for name in (*dataset_names(), "foreign") if is_synthetic(name)] == twins


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"unknown data set 'sysu-mm1' \(did you mean 'sysu-mm01'"):
        get_dataset("sysu-mm1")
    with pytest.raises(UsageError, match="'vibench train METHOD --dataset sysu-mm01 --dataset regdb' trains on them"):
        get_dataset("sysu-mm01+regdb")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys, vibench.datasets.registry as r; r.get_dataset('regdb');"
        "print([m for m in ('pandas', 'numpy', 'scipy', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_root_comes_from_the_option_then_the_variable_then_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBENCH_DATA", "/somewhere")
    assert dataset_root("regdb", Path("mine")) == Path("mine")
    assert dataset_root("regdb", None) == Path("/somewhere/regdb")
    monkeypatch.delenv("VIBENCH_DATA")
    assert dataset_root("regdb", None) == Path("data/regdb")


def test_version_tells_twins_apart(tmp_path: Path) -> None:
    assert get_dataset("sysu-mm01").version(tmp_path) == ""
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "twin.json").write_text(json.dumps({"scale": "tiny", "seed": 3, "renderer": 2}))
    assert get_dataset("sysu-mm01-twin").version(tmp_path) == "tiny-s3-r2"
    (tmp_path / "truth" / "twin.json").write_text("{")
    with pytest.raises(UsageError, match=r"twin\.json does not tell .* 'vibench data twin' has made"):
        get_dataset("sysu-mm01-twin").version(tmp_path)
    with pytest.raises(UsageError, match=r"gone of SYSU-MM01 twin does not exist; .* --root, or set VIBENCH_DATA"):
        get_dataset("sysu-mm01-twin").version(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"gone of SYSU-MM01 twin does not exist; .* that holds sysu-mm01-twin/"):
        get_dataset("sysu-mm01-twin").index(tmp_path / "gone")
    for name, said in (("absent", "does not exist; pass .* --root"), (".", "but .*/data does; pass --root .*/data")):
        (tmp_path / "data" / "cam1").mkdir(parents=True, exist_ok=True)
        with pytest.raises(UsageError, match=said):
            get_dataset("sysu-mm01-twin").version(tmp_path / name)


@pytest.mark.parametrize("name", ["sysu-mm01", "regdb", "llcm", "hitsz-vcm", "buptcampus"])
def test_a_missing_root_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent of .* does not exist; pass .* --root"):
        get_dataset(name).index(tmp_path / "absent")


def test_trials_outside_the_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="regdb has no trial 11; it has trials 1 to 10"):
        get_dataset("regdb").index(tmp_path, trial=11)
    with pytest.raises(UsageError, match="sysu-mm01 has no trial 2; it has one train/test split only"):
        get_dataset("sysu-mm01").index(tmp_path, trial=2)


@pytest.mark.parametrize("name", dataset_names())
def test_a_missing_root_names_the_folder_that_vibench_data_should_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"to the folder that holds {name}/$"):
        get_dataset(name).list_root(tmp_path / "nowhere")
