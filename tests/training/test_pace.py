"""What a method needs here, and how much of it fits into a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vibench.training import pace
from vibench.training.pace import Pace, Work, measure_pace, quickest_threads, torch_threads
from vibench.training.spec import TrainingSpec

TWO_EPOCHS = ("schedule.epochs=2", "schedule.warmup_epochs=0", "schedule.milestones=[]")
paces = st.lists(st.builds(Pace, step=st.floats(0.001, 20), overhead=st.floats(0, 30)), min_size=1, max_size=3)
works = st.builds(Work, epochs=st.integers(1, 30), batch_size=st.integers(4, 256), test_images=st.integers(0, 20_000))


@given(st.floats(-100, 4000), paces, works)
def test_as_many_batches_as_fit_and_no_more(seconds: float, paces: list[Pace], work: Work) -> None:
    batches = work.fitting_batches(seconds, paces)
    assert batches == 0 or work.seconds(batches, paces) <= seconds + 1e-6
    assert work.seconds(batches + 1, paces) > seconds - 1e-6


@given(st.floats(0, 4000), st.floats(0, 4000), paces, works)
def test_more_time_and_faster_steps_never_fit_less(one: float, other: float, paces: list[Pace], work: Work) -> None:
    shorter, longer = sorted((one, other))
    assert work.fitting_batches(shorter, paces) <= work.fitting_batches(longer, paces)
    faster = [Pace(pace.step / 2, pace.overhead / 2) for pace in paces]
    assert work.fitting_batches(longer, paces) <= work.fitting_batches(longer, faster)


def test_training_embedding_and_overhead_are_counted() -> None:
    work = Work(epochs=8, batch_size=32, test_images=800)
    # 80 steps and 0.35 x 25 batches of embedding, and twice the overhead of a short training.
    assert work.seconds(10, [Pace(0.5, 2.0)]) == pytest.approx(80 * 0.5 + 0.35 * 25 * 0.5 + 2 * 2.0)
    assert work.fitting_batches(48.0, [Pace(0.5, 2.0)]) == 9


def test_a_measured_training_is_thrown_away(make_spec: Callable[..., TrainingSpec]) -> None:
    spec = make_spec("first", *TWO_EPOCHS, "sampler.batches_per_epoch=2")
    assert spec.folder is not None
    spec.folder.mkdir()
    (spec.folder / "left").write_text("by a measurement that was killed")
    found = measure_pace(spec, "cpu")
    assert 0 < found.step < 60 and 0 < found.overhead < 60
    assert not spec.folder.exists()


def test_a_pace_is_that_of_two_epochs_in_a_folder_of_their_own(make_spec: Callable[..., TrainingSpec]) -> None:
    for spec in (
        make_spec("run", "schedule.epochs=3", "sampler.batches_per_epoch=2"),
        make_spec("run", *TWO_EPOCHS),
        make_spec("run", *TWO_EPOCHS, "sampler.batches_per_epoch=2", folder=None),
    ):
        with pytest.raises(ValueError, match="two epochs of a given length, in a folder of their own"):
            measure_pace(spec, "cpu")


@pytest.mark.parametrize(
    ("usual", "rates", "best"),
    [(2, {1: 350, 2: 31}, 1), (2, {1: 350, 2: 600}, 2), (6, {1: 300, 2: 500, 4: 700, 6: 650}, 4), (1, {}, 1)],
)
def test_the_number_of_threads_is_the_one_that_convolves_most(
    monkeypatch: pytest.MonkeyPatch, usual: int, rates: dict[int, float], best: int
) -> None:
    tried = []
    monkeypatch.setattr(pace, "_convolutions_per_second", lambda threads: tried.append(threads) or rates[threads])
    with torch_threads(usual):
        assert quickest_threads() == best
    assert sorted(tried) == sorted(rates)


def test_a_try_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PROBE_SECONDS", 0.01)
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        assert pace._convolutions_per_second(1) > 0
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
