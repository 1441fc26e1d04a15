"""What a method needs here, and how much of it fits into a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vibench.training import pace as pace_module
from vibench.training.pace import Pace, Work, measure_pace, measure_paces, torch_threads
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
    pace = measure_pace(spec, "cpu")
    assert 0 < pace.step < 60 and 0 < pace.overhead < 60
    assert not spec.folder.exists()


def test_a_pace_is_that_of_two_epochs_in_a_folder_of_their_own(make_spec: Callable[..., TrainingSpec]) -> None:
    for spec in (
        make_spec("run", "schedule.epochs=3", "sampler.batches_per_epoch=2"),
        make_spec("run", *TWO_EPOCHS),
        make_spec("run", *TWO_EPOCHS, "sampler.batches_per_epoch=2", folder=None),
    ):
        with pytest.raises(ValueError, match="two epochs of a given length, in a folder of their own"):
            measure_pace(spec, "cpu")


@pytest.mark.parametrize(("alone", "together", "best"), [(0.4, 2.6, 1), (0.4, 0.25, 2)])
def test_the_first_method_decides_with_how_many_threads_all_train(
    make_spec: Callable[..., TrainingSpec], monkeypatch: pytest.MonkeyPatch, alone: float, together: float, best: int
) -> None:
    asked = []

    def measured(spec: TrainingSpec, device: str, cache: object) -> Pace:
        assert spec.folder is not None
        asked.append((spec.folder.name, torch.get_num_threads()))
        return Pace({1: alone, 2: together}[torch.get_num_threads()])

    monkeypatch.setattr(pace_module, "measure_pace", measured)
    before = torch.get_num_threads()
    with torch_threads(2):
        threads, paces = measure_paces({"one": make_spec("one"), "other": make_spec("other")}, "cpu")
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    step = min(alone, together)
    assert (threads, paces) == (best, {"one": Pace(step), "other": Pace(step)})
    assert sorted(asked) == [("one", 1), ("one", 2), ("other", best)]
