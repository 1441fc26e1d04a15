"""The figure of a profile."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.profiling.profiles import make_profile

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")

from vibench.profiling.picture import profile_figure


def test_a_panel_for_everything_that_was_measured() -> None:
    profile = make_profile()
    times, memory, throughput, matching = profile_figure(profile).axes
    assert [text.get_text() for text in times.texts] == ["40", "80", "4", "5", "10", "64"]
    assert [text.get_text() for text in memory.texts][:2] == ["0.03 of 0.06", "0.05 of 0.10"]
    assert times.get_yticklabels()[0].get_text() == "forward"
    assert [text.get_text() for text in memory.get_legend().get_texts()] == ["reserved", "allocated"]
    reserved, allocated = memory.containers
    assert [bar.get_width() for bar in allocated] == [bar.get_width() / 2 for bar in reserved]
    np.testing.assert_allclose(throughput.lines[0].get_ydata(), [125.0, 250.0, 400.0, 1000 / 3])
    assert [line.get_label() for line in matching.lines] == ["query mode all", "query mode single"]
    np.testing.assert_allclose(matching.lines[0].get_ydata(), [0.25, 1.0, 10.0])


def test_parts_that_were_left_out_have_no_panel() -> None:
    profile = make_profile()
    only_training = profile_figure(dataclasses.replace(profile, embedding=None, matching=()))
    assert len(only_training.axes) == 2
    nothing = profile_figure(dataclasses.replace(profile, embedding=None, training=None, matching=()))
    assert not nothing.axes and "30.0 M parameters" in nothing.get_suptitle()
