"""From plans to jobs: what makes a job another one, and what does not exist."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import TOY
from vibench.errors import UsageError
from vibench.sweep.expansion import expand
from vibench.sweep.job import Job, read_job, write_job
from vibench.sweep.plan import Plan, read_plan

MakePlan = Callable[..., Plan]


def ids(jobs: tuple[Job, ...], kind: str) -> list[str]:
    return [job.id for job in jobs if job.kind == kind]


def test_a_job_is_trained_then_evaluated_for_every_seed(make_plan: MakePlan):
    jobs = expand(make_plan(sweep="seeds = [0, 1]"))
    assert [job.kind for job in jobs] == ["train", "evaluate", "train", "evaluate"]
    assert [job.label for job in jobs if job.kind == "train"] == ["toy sysu-mm01-twin s0", "toy sysu-mm01-twin s1"]
    assert jobs[1].needs == (jobs[0].id,) and jobs[3].needs == (jobs[2].id,)
    assert len({job.id for job in jobs}) == 4


def test_all_trials_of_regdb_are_one_evaluation(make_plan: MakePlan, regdb_twin: Path):
    entry = '[[jobs]]\nmethods = ["toy"]\ndatasets = ["regdb-twin"]\n'
    jobs = expand(make_plan(entry, regdb=regdb_twin))
    assert len(ids(jobs, "train")) == 10 and len(ids(jobs, "evaluate")) == 1
    evaluation = jobs[-1]
    assert evaluation.evaluate is not None and evaluation.needs == tuple(ids(jobs, "train"))
    assert set(evaluation.evaluate.protocols) == {"regdb-v2t", "regdb-t2v"}
    assert evaluation.evaluate.runs[2].endswith("/trial-03")
    some = expand(make_plan(entry + "trials = [2, 3]", regdb=regdb_twin))
    assert ids(some, "train") == ids(jobs, "train")[1:3] and ids(some, "evaluate") != ids(jobs, "evaluate")


def test_ids_follow_from_what_defines_a_job_and_from_nothing_else(make_plan: MakePlan, tmp_path: Path, sysu_twin: Path):
    plain = expand(make_plan())
    assert [job.id for job in expand(make_plan(name="other"))] == [job.id for job in plain]

    def trainings(entry: str = TOY, **more: str) -> list[str]:
        return ids(expand(make_plan(entry, **more)), "train")

    before = ids(plain, "train")
    assert trainings(sweep='leaderboards = "elsewhere"\nretries = 7\nprofile = true') == before
    for change in ("seeds = [1]", 'set = ["schedule.epochs=2"]'):
        assert not set(trainings(f"{TOY}{change}\n")) & set(before)
    moved = shutil.copytree(sysu_twin, tmp_path / "moved")
    plan = make_plan()
    plan.roots["sysu-mm01-twin"] = str(moved)
    assert [job.id for job in expand(plan)] == [job.id for job in plain]


def test_weights_count_by_their_content(make_plan: MakePlan, tmp_path: Path):
    def training(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return ids(expand(make_plan(f'{TOY}pretrained = "{name}"\n')), "train")[0]

    first = training("a.pt", b"weights")
    assert training("b.pt", b"weights") == first
    assert training("c.pt", b"other weights") != first


def test_another_evaluation_keeps_the_trainings(make_plan: MakePlan):
    one, other = expand(make_plan()), expand(make_plan(TOY.replace("sysu-indoor", "sysu-all")))
    assert ids(one, "train") == ids(other, "train")
    assert ids(one, "evaluate") != ids(other, "evaluate")


def test_entries_that_share_a_training_share_it(make_plan: MakePlan):
    jobs = expand(make_plan(TOY + TOY.replace("sysu-indoor", "sysu-all")))
    assert len(ids(jobs, "train")) == 1 and len(ids(jobs, "evaluate")) == 2


def test_every_protocol_of_the_data_set_is_the_default(make_plan: MakePlan):
    jobs = expand(make_plan(TOY.replace('protocols = ["sysu-indoor"]', "")))
    assert jobs[1].evaluate is not None
    assert set(jobs[1].evaluate.protocols) == {"sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi"}


def test_protocols_of_corrupted_images_are_evaluated_where_they_are_named(make_plan: MakePlan):
    jobs = expand(make_plan(TOY.replace("sysu-indoor", "sysu-all-c-as-scripted")))
    assert jobs[1].evaluate is not None and jobs[1].evaluate.protocols == ("sysu-all-c-as-scripted",)


def test_variants_are_named_with_the_method_or_all(make_plan: MakePlan):
    def labels(entry: str) -> set[str]:
        jobs = expand(make_plan(TOY.replace('["toy"]', entry)))
        return {f"{job.method}:{job.variant}" for job in jobs if job.kind == "train"}

    assert labels('["ddag:b-p", "toy"]') == {"ddag:b-p", "toy:"}
    every = labels('["agw"]\nvariants = ["all"]')
    assert len(every) > 2 and labels('["agw"]') < every


def test_profiles_are_one_per_recipe_and_come_last(make_plan: MakePlan):
    jobs = expand(make_plan(sweep="seeds = [0, 1]\nprofile = true"))
    assert [job.kind for job in jobs][-1] == "profile" and len(ids(jobs, "profile")) == 1


def test_a_job_is_read_back_from_its_file(make_plan: MakePlan, tmp_path: Path):
    for job in expand(make_plan(sweep="profile = true")):
        write_job(tmp_path, job)
        assert read_job(tmp_path, job.id) == job


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (TOY.replace('"toy"', '"tyo"'), r"plan.toml: \[\[jobs\]\] number 1: there is no method 'tyo' \(did you mean"),
        (TOY.replace('"toy"', '"agw:nope"'), r"number 1: AGW has no variant 'nope'"),
        (TOY.replace("sysu-mm01-twin", "sysu-mm01-twim"), r"unknown data set 'sysu-mm01-twim' \(did you mean"),
        (TOY.replace("sysu-indoor", "sysu-indor"), r"unknown protocol 'sysu-indor' \(did you mean 'sysu-indoor'"),
        (TOY.replace("sysu-indoor", "regdb-v2t"), r"names regdb-v2t, which is a protocol of none of the entry's data"),
        (
            TOY.replace('"sysu-indoor"', '"sysu-indoor", "sysu-all-c-as-scripted"'),
            r"number 1: 'protocols' of sysu-mm01-twin are of clean and of corrupted images; give each an entry",
        ),
        (TOY + 'set = ["schedule.epoch=1"]', r"number 1: --set schedule.epoch=1: .* did you mean|did you mean"),
        (TOY + 'pretrained = "nothing.pt"', r"pretrained = 'nothing.pt': there is no file"),
        (TOY + 'test_attributes = ["gt"]', r"--test-attributes gt: toy takes no attributes in testing"),
        (TOY.replace("sysu-mm01-twin", "sysu-mm01"), r"there is no such folder for the data set sysu-mm01; name it in"),
        (TOY.replace("sysu-mm01-twin", "regdb-twin") + "trials = [11]", r"--trial 11: regdb-twin has the train/test"),
    ],
)
def test_what_does_not_exist_is_named_with_its_entry(make_plan: MakePlan, entry: str, said: str):
    with pytest.raises(UsageError, match=said):
        expand(make_plan(entry))


@pytest.mark.parametrize(
    ("own", "device", "expected"),
    [("fp32", "cuda", "off"), ("fp16", "cuda", "fp16"), ("fp16", "cpu", "off"), ("bf16", "cpu", "bf16")],
)
def test_without_a_word_every_job_has_the_precision_of_its_recipe(
    make_plan: MakePlan, own: str, device: str, expected: str
):
    plan = make_plan(f"{TOY}set = ['optimizer.precision={own}']\n[executor]\nkind = 'slurm'\n", device=device)
    path = plan.folder / "plan.toml"
    path.write_text(path.read_text().replace('amp = "off"', ""))
    jobs = expand(read_plan(path))
    parts = [part for job in jobs for part in (job.train, job.evaluate, job.profile) if part is not None]
    assert len(parts) >= 2 and {part.precision for part in parts} == {expected}
