"""Profiles as files, and what follows from their figures."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.profiling.profiles import MIB, make_profile
from vibench.errors import UsageError
from vibench.profiling.profile import PARTS, read_profile, resolve_parts, write_profile


def _file(folder: Path, **changes: Any) -> Path:
    """A profile on disk with other values at the top or, under dotted names, below."""
    path = folder / "p.json"
    write_profile(path, make_profile())
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *above, last = name.split("__")
        table = content
        for key in above:
            table = table[int(key)] if key.isdecimal() else table[key]
        table[last] = value
    path.write_text(json.dumps(content))
    return path


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    whole = make_profile()
    bare = dataclasses.replace(whole, embedding=None, training=None, matching=())
    write_profile(tmp_path / "b.json", whole)
    write_profile(tmp_path / "a.json", bare)
    assert read_profile(tmp_path / "b.json") == whole
    assert read_profile(tmp_path / "a.json") == bare
    assert bare.phases() == []


def test_what_follows_from_the_figures() -> None:
    profile = make_profile()
    assert profile.embedding and profile.training
    assert profile.embedding.latency.median == 8.0
    assert (profile.embedding.fastest.images, profile.embedding.fastest.images_per_second) == (4, 400.0)
    assert profile.training.milliseconds == 129.0
    assert profile.training.flops == 110 * 10**9
    assert profile.training.images_per_second == pytest.approx(64 / 0.129)
    everyone, single = profile.matching
    assert everyone.milliseconds_per_query(everyone.galleries[1]) == 1.0
    assert single.milliseconds_per_query(single.galleries[1]) == 30.0
    phases = {phase.name: phase for phase in profile.phases()}
    assert list(phases) == ["forward", "backward", "optimiser", "adversary", "extraction", "matching"]
    assert (phases["extraction"].flops, phases["extraction"].duration.median) == (4 * 10**10, 10.0)
    assert (phases["matching"].flops, phases["matching"].duration.median) == (None, 64.0)
    assert phases["matching"].memory.headline == 9 * MIB


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 99}, "upgrade"),
        ({"schema_version": 10**400}, "upgrade"),
        ({"schema_version": "1"}, "no profile"),
        ({"cost": 1}, "unknown key 'cost'"),
        ({"method": ""}, "'method' must be a printable text"),
        ({"embedding__ended": "soon"}, "one of 'plateau'"),
        ({"embedding__batches__0__images": 2}, "begin with a batch of one image"),
        ({"embedding__batches__1__duration__median": 0.0}, r"'embedding.batches\[1\].duration.median' must be above 0"),
        ({"embedding__batches__0__memory__allocated": -1}, r"'embedding.batches\[0\].memory.allocated' must be 0 or"),
        ({"embedding__batches__1__duration__median": 5e-324}, "must be 0 or a number from 1e-30 to 1e30"),
        ({"training__phases": []}, "'training.phases' is empty"),
        ({"training__images": None}, "the key 'images' is missing"),
        ({"matching__1__galleries": []}, "no gallery"),
        ({"parameters_test": float("nan")}, "a whole number, not nan"),
    ],
)
def test_an_unsound_profile_is_refused_with_a_sentence_that_names_the_file(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        read_profile(_file(tmp_path, **changes))
    assert str(refused.value).startswith(str(tmp_path / "p.json"))


def test_files_that_are_no_profiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.json: cannot be read"):
        read_profile(tmp_path / "absent.json")
    for text, said in (("[" * 100_000, "not valid JSON"), ("[1]", "no profile"), ("{", "not valid JSON")):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(UsageError, match=said):
            read_profile(tmp_path / "p.json")


def test_parts_by_name() -> None:
    assert resolve_parts([]) == PARTS
    assert resolve_parts(["matching", "embedding"]) == ("embedding", "matching")
    with pytest.raises(UsageError, match="did you mean 'training'"):
        resolve_parts(["trainin"])


def test_reading_a_profile_takes_no_torch() -> None:
    code = "import sys, vibench.profiling.profile; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
