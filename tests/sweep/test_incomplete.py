"""A sweep on a copy that lacks images: its jobs fail with the sentence, unless the plan allows them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.records.store import read_record
from vibench.runtime.progress import silent
from vibench.sweep.execution import execute
from vibench.sweep.expansion import expand
from vibench.sweep.plan import Plan, read_plan
from vibench.training.folder import RunFolder


def test_the_plan_allows_incomplete_copies(make_plan: Callable[..., Plan], sysu_twin: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sysu_twin, tmp_path / "twin"))
    index = get_dataset("sysu-mm01-twin").index(root)
    (root / index.loc[index["split"] == "train", "path"].iloc[0]).unlink()
    file = tmp_path / "plan.toml"
    make_plan()
    file.write_text(file.read_text().replace(str(sysu_twin), str(root)))
    plan = read_plan(file)
    training = expand(plan)[0]
    said = r"the training split of sysu-mm01-twin lacks 1 of .* as it is with 'allow_incomplete = true' in \[sweep\] of"
    with pytest.raises(UsageError, match=said) as caught:
        execute(plan.out, training, silent)
    assert "--allow-incomplete" not in str(caught.value)

    file.write_text(file.read_text().replace("[sweep]", "[sweep]\nallow_incomplete = true"))
    (allowed, *_) = expand(read_plan(file))
    assert allowed.train is not None and allowed.id == training.id
    execute(plan.out, allowed, silent)
    assert RunFolder(plan.out / allowed.train.run).description().incomplete.startswith("lacks 1 of ")


def test_the_plan_allows_copies_without_all_test_images(
    make_plan: Callable[..., Plan], sysu_twin: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(sysu_twin, tmp_path / "twin"))
    make_plan()
    file = tmp_path / "plan.toml"
    file.write_text(file.read_text().replace(str(sysu_twin), str(root)))
    plan = read_plan(file)
    training, evaluating = expand(plan)
    execute(plan.out, training, silent)
    index = get_dataset("sysu-mm01-twin").index(root)
    (root / index.loc[index["split"] == "test", "path"].iloc[0]).unlink()
    said = (
        r"the test split of sysu-mm01-twin lacks 1 of .*, unranked, with 'allow_incomplete = true' in \[sweep\] of the"
    )
    with pytest.raises(UsageError, match=said) as caught:
        execute(plan.out, evaluating, silent)
    assert "--allow-incomplete" not in str(caught.value)

    file.write_text(file.read_text().replace("[sweep]", "[sweep]\nallow_incomplete = true"))
    (_, allowed) = expand(read_plan(file))
    assert allowed.id == evaluating.id
    (result,) = execute(plan.out, allowed, silent)
    assert not read_record(plan.leaderboards / result).complete
