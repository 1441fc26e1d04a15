"""Plans: what is read, and how what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibench.errors import UsageError
from vibench.sweep.plan import LocalTable, SlurmTable, read_plan

WHOLE = """
[sweep]
out = "there"
seeds = [0, 1]
[[jobs]]
methods = ["agw"]
datasets = ["regdb"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_small_plan_has_the_defaults(tmp_path: Path):
    plan = read_plan(write(tmp_path, WHOLE))
    assert plan.name == "my" and plan.out == tmp_path / "there"
    assert plan.leaderboards == tmp_path / "there" / "leaderboards"
    assert plan.sweep.seeds == (0, 1) and plan.jobs[0].methods == ("agw",) and plan.jobs[0].trials == ()
    assert plan.executor == LocalTable()


def test_a_cluster_and_roots_are_read(tmp_path: Path):
    more = """
[roots]
regdb = "/data/RegDB"
[executor]
kind = "slurm"
gres = "gpu:1"
options = {exclude = "node7", exclusive = true}
"""
    plan = read_plan(write(tmp_path, WHOLE + more))
    assert isinstance(plan.executor, SlurmTable)
    assert plan.executor.gres == "gpu:1" and plan.executor.options == {"exclude": "node7", "exclusive": True}
    assert plan.roots == {"regdb": "/data/RegDB"} and str(plan.path(plan.roots["regdb"])) == "/data/RegDB"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sweep]\nout = 'x'\n", r"my.toml: name what to train in at least one table \[\[jobs\]\]"),
        (WHOLE.replace("[[jobs]]", "[jobs]"), r"at least one table \[\[jobs\]\], with two pairs"),
        (WHOLE.replace("[sweep]", "[swep]"), r"unknown table \[swep\] \(did you mean 'sweep'\?\)"),
        (WHOLE.replace("seeds", "seed"), r"my.toml: \[sweep\]: unknown key 'seed' \(did you mean 'seeds'\?\)"),
        (WHOLE.replace('out = "there"', ""), r"\[sweep\]: the key 'out' is missing"),
        (WHOLE.replace("[0, 1]", "[0, 0]"), r"\[sweep\]: 'seeds' must be different numbers from 0 on, not \[0, 0\]"),
        (WHOLE.replace("[0, 1]", "[]"), r"'seeds' must name at least one"),
        (WHOLE.replace("[0, 1]", "[-1]"), r"'seeds' must be different numbers from 0 on"),
        (WHOLE.replace('"there"', '"there"\nretries = -1'), r"'retries' must be at least 0, not -1"),
        (WHOLE.replace('"there"', '"there"\namp = "bf61"'), r"'amp' must be one of .*did you mean 'bf16'"),
        (WHOLE + 'querry_modes = ["all"]', r"\[\[jobs\]\] number 1: unknown key 'querry_modes' .*'query_modes'"),
        (WHOLE + 'query_modes = ["singel"]', r"'query_modes' may hold all, single, not 'singel' \(did you mean"),
        (WHOLE + 'draws = ["agw"]', r"'draws' may hold seeded, official, not 'agw'"),
        (WHOLE + "trials = 3", r"'trials' must be a list, each entry a whole number, not 3"),
        (WHOLE.replace('["agw"]', "[]"), r"number 1: 'methods' must not be empty"),
        (WHOLE.replace('["agw"]', '["agw", "agw"]'), r"'methods' names 'agw' twice"),
        (WHOLE + "[executor]\nkind = 'slrum'", r"'kind' must be one of 'local', 'slurm', not 'slrum' \(did you mean"),
        (WHOLE + "[executor]\npartition = 'gpu'", r"\[executor\]: unknown key 'partition'"),
        (WHOLE + "[executor]\nkind = 'slurm'\ntime_minutes = 0", r"'time_minutes' must be at least 1, not 0"),
        (WHOLE + "[roots]\nregbd = 'x'", r"\[roots\]: unknown data set 'regbd' \(did you mean 'regdb'\?\)"),
        (WHOLE + "[roots]\nregdb = 3", r"\[roots\]: 'regdb' must be a text in quotes, not 3"),
        ("[sweep\n", r"my.toml: is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str):
    with pytest.raises(UsageError, match=said):
        read_plan(write(tmp_path, text))
