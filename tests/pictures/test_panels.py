"""Grids of panels: their axes, frames, colours and captions."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vibench.errors import UsageError

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")

from matplotlib.colors import to_hex

from vibench.pictures.figure import BLUE, GREY, VERMILION, new_figure, write_figure
from vibench.pictures.panels import Frame, Panel, PanelRow, panel_grid
from vibench.pictures.ranked_lists import RankedImage, RankedQuery, ranked_lists
from vibench.pictures.saliency import SaliencyPair, saliency_pairs

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 12, 3), dtype=np.uint8)


def panels_of(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_label() == "panel"]


def frame_of(axes: Any) -> tuple[str, str] | None:
    spine = axes.spines["left"]
    return (to_hex(spine.get_edgecolor()).upper(), spine.get_linestyle()) if spine.get_visible() else None


def test_rows_may_have_different_lengths() -> None:
    rows = [PanelRow("first", (Panel(IMAGE, "one\ntwo"), Panel(IMAGE))), PanelRow("second", (Panel(IMAGE),))]
    figure = panel_grid(rows, "title", ("a", "b"))
    panels = panels_of(figure)
    assert [axes.get_xlabel() for axes in panels] == ["one\ntwo", "", ""]
    assert [axes.get_title() for axes in panels] == ["a", "b", ""]
    labels = [axes.texts[0].get_text() for axes in figure.axes if axes.get_label() == "row label"]
    assert labels == ["first", "second"]
    assert all(frame_of(axes) is None for axes in panels)
    with pytest.raises(ValueError, match="needs a row"):
        panel_grid([])


def test_a_heat_map_lies_over_the_greys_of_the_whole_image() -> None:
    heat = np.array([[0.0, 1.0], [2.0, 4.0], [1.0, 1.0]])
    rows = [PanelRow("", (Panel(IMAGE, heat=heat), Panel(IMAGE, heat=heat, heat_range=(0.0, 1.0), smooth=False)))]
    for axes, limits in zip(panels_of(panel_grid(rows)), ((0.0, 4.0), (0.0, 1.0)), strict=True):
        below, above = axes.images
        grey = below.get_array()
        assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()
        np.testing.assert_array_equal(above.get_array(), heat)
        assert above.get_clim() == limits
        assert above.get_extent() == below.get_extent()


def test_a_constant_heat_map_can_be_drawn(tmp_path: Path) -> None:
    write_figure(tmp_path / "f.png", panel_grid([PanelRow("", (Panel(IMAGE, heat=np.zeros((2, 2))),))]))


def test_equal_figures_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_figure(tmp_path / "new" / name, panel_grid([PanelRow("x", (Panel(IMAGE, frame=Frame(BLUE)),))]))
    first, second = (tmp_path / "new" / name for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()
    assert Image.open(first).size > (50, 50)
    assert sorted(path.name for path in first.parent.iterdir()) == ["a.png", "b.png"]


def test_a_ranked_list_says_what_is_true_false_and_skipped() -> None:
    def ranked(rank: int, match: bool) -> RankedImage:
        return RankedImage(IMAGE, camera=rank + 1, distance=rank / 8, rank=rank, match=match)

    images = (ranked(1, False), ranked(0, True), ranked(0, False), ranked(2, True))
    figure = ranked_lists([RankedQuery(IMAGE, "someone", 3, images)], "title")
    query, *others = panels_of(figure)
    assert query.get_xlabel() == "query\ncam 3" and frame_of(query) is None
    assert [axes.get_xlabel().split("\n")[0] for axes in others] == ["✗ 1", "skipped ✓", "skipped", "✓ 2"]
    assert [axes.get_xlabel().split("\n")[1:] for axes in others][3] == ["cam 3", "0.250"]
    assert [frame_of(axes) for axes in others] == [(VERMILION, "--"), (GREY, "-"), (GREY, "-"), (BLUE, "-")]
    assert [axes.images[0].get_alpha() is not None for axes in others] == [False, True, True, False]


def test_a_saliency_pair_has_an_image_and_a_map_of_both() -> None:
    maps = (np.eye(2), np.ones((3, 2)))
    figure = saliency_pairs([SaliencyPair("pair", (IMAGE, IMAGE), ("query", "match"), maps)])
    panels = panels_of(figure)
    assert [len(axes.images) for axes in panels] == [1, 2, 1, 2]
    assert [axes.get_xlabel() for axes in panels] == ["query", "0\nto 1", "match", "1\nto 1"]


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'vibench\[plots\]'"):
        new_figure(1, 1)
