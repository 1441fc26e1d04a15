"""The pictures that single methods have, of random networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")


from tests.methods.checks import small_method
from tests.pictures.pairs import random_pairs
from tests.pictures.test_panels import panels_of
from vibench.methods.cal.regions import selected_count
from vibench.methods.pictures import network_input, pictures_of

PAIRS = random_pairs()


def drawn(name: str, picture: str, variant: str = "", overrides: tuple[str, ...] = ()) -> tuple[Any, list[Any]]:
    """The method and the panels of one of its pictures."""
    method = small_method(name, variant, overrides).eval()
    figure = pictures_of(method)[picture](PAIRS)
    assert method.title in figure.get_suptitle()
    return method, panels_of(figure)


def heats(panels: list[Any]) -> list[np.ndarray | None]:
    return [np.asarray(axes.images[1].get_array()) if len(axes.images) > 1 else None for axes in panels]


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("baseline", ()),
        ("agw", ()),
        ("hct", ()),
        ("cal", ("model.tca=false",)),
        ("ddag", ("model.part_attention=false",)),
        ("mpanet", ("model.pam=false",)),
        ("pose", ("model.peb=false", "model.hfc=false")),
        ("cm-ssft", ("model.re=false",)),
        ("deen", ("model.dee_branches=0", "model.cpm=false", "model.ort=false")),
    ],
)
def test_what_a_method_does_not_have_is_not_pictured(name: str, overrides: tuple[str, ...]) -> None:
    assert pictures_of(small_method(name, "", overrides)) == {}


def test_cal_shows_the_selected_positions_of_every_region() -> None:
    method, panels = drawn("cal", "regions")
    parts = method.recipe.model.parts
    assert len(panels) == 2 * len(PAIRS) * (parts + 1)
    found = [heat for heat in heats(panels) if heat is not None]
    assert len(found) == 2 * len(PAIRS) * parts
    kept = selected_count(found[0].size, parts, method.recipe.model.alpha)
    assert all((heat > 0).sum() == kept for heat in found)


def test_cal_shows_what_parts_attend_to_at_home_and_across() -> None:
    method, panels = drawn("cal", "attention")
    parts = method.recipe.model.parts
    assert len(panels) == 3 * len(PAIRS) * (parts + 1)
    found = [heat for heat in heats(panels) if heat is not None]
    np.testing.assert_allclose([heat.sum() for heat in found], 1.0, atol=1e-5)
    rows = np.stack(found).reshape(len(PAIRS), 3, parts, -1)
    # The third row reads the map of the second one with the queries of the first.
    with torch.no_grad():
        query, match = (
            method.image_maps(network_input(method, shown), shown.modality)
            for shown in (PAIRS[0].query, PAIRS[0].match)
        )
        both = torch.cat([query, match])
        vectors = torch.cat([method.mine(query, "infrared").vectors, method.mine(match, "visible").vectors])
        _, masks = method.attention(method.attention.encode(both, vectors), torch.tensor([1, 0]))
    np.testing.assert_allclose(rows[0, 2], masks[0].numpy(), atol=1e-6)


def test_cal_orders_infrared_parts_like_the_visible_ones() -> None:
    method = small_method("cal").eval()
    before = heats(panels_of(pictures_of(method)["regions"](PAIRS[:1])))
    assert method.matches is not None
    method.matches.order.copy_(torch.tensor([2, 0, 3, 1]))
    after = heats(panels_of(pictures_of(method)["regions"](PAIRS[:1])))
    for place, part in enumerate([2, 0, 3, 1], 1):
        np.testing.assert_array_equal(after[place], before[part + 1])
    for place in range(6, 10):
        np.testing.assert_array_equal(after[place], before[place])


@pytest.mark.parametrize("overrides", [("model.drm=stripes",), ("model.drm=vectors",)])
def test_cal_has_no_regions_where_none_are_mined(overrides: tuple[str, ...]) -> None:
    method = small_method("cal", "", overrides).eval()
    assert set(pictures_of(method)) == {"attention"}
    pictures_of(method)["attention"](PAIRS)


def test_mpanet_shows_its_masks_on_one_scale() -> None:
    method, panels = drawn("mpanet", "patterns")
    assert len(panels) == 2 * len(PAIRS) * (method.model_options.patterns + 1)
    with torch.no_grad():
        masks = method.masks(method.image_maps(network_input(method, PAIRS[0].query), "infrared"))[0].numpy()
    for pattern, mask in enumerate(masks, 1):
        overlay = panels[pattern].images[1]
        np.testing.assert_allclose(overlay.get_array(), mask, atol=1e-6)
        assert overlay.get_clim() == pytest.approx((0.0, masks.max()))


def test_ddag_shows_how_parts_weigh_one_another() -> None:
    method, panels = drawn("ddag", "weights")
    parts = method.recipe.model.parts
    assert len(panels) == 2 * len(PAIRS) * (parts + 2)
    first = [np.asarray(heat) for heat in heats(panels)[1 : parts + 2]]
    assert all(heat.shape == (parts, 1) for heat in first)
    np.testing.assert_allclose([heat.sum() for heat in first], 1.0, atol=1e-5)
    np.testing.assert_allclose(first[-1], np.mean(first[:-1], axis=0), atol=1e-6)
    assert panels[1].get_xlabel() == "\n".join(f"{value:.2f}" for value in first[0][:, 0])


def test_pose_shows_predicted_and_known_heatmaps() -> None:
    method, panels = drawn("pose", "heatmaps")
    assert len(panels) == 4 * 2 * len(PAIRS)
    with torch.no_grad():
        maps = method.branch_maps(infrared=network_input(method, PAIRS[0].query))
        predicted = method.heatmaps(maps.refined)[0].max(dim=0).values.numpy()
    np.testing.assert_allclose(panels[1].images[1].get_array(), predicted, atol=1e-5)
    assert PAIRS[0].query.heatmaps is not None
    np.testing.assert_allclose(panels[2].images[1].get_array(), PAIRS[0].query.heatmaps[0])
    assert all(axes.images[1].get_clim() == (0.0, 1.0) for axes in panels[1:3])
    unknown = panels[6]
    assert unknown.get_xlabel() == "not known" and len(unknown.images) == 1


def test_pose_without_its_loss_shows_the_mask_alone() -> None:
    _, panels = drawn("pose", "heatmaps", "", ("model.pose_loss=false",))
    assert len(panels) == 2 * 2 * len(PAIRS)


@pytest.mark.parametrize("form", ["rgb", "grey", "zero-padding"])
def test_cm_ssft_draws_from_either_map_and_from_both(form: str) -> None:
    _, panels = drawn("cm-ssft", "reconstructions", "", (f"model.input={form}",))
    assert len(panels) == 4 * 2 * len(PAIRS)
    images = [np.asarray(axes.images[0].get_array()) for axes in panels]
    assert all(image.shape == PAIRS[0].query.pixels.shape for image in images)
    if form == "rgb":
        np.testing.assert_array_equal(images[0], PAIRS[0].query.pixels)
    else:
        luma = PAIRS[0].query.pixels @ np.array([0.299, 0.587, 0.114])
        assert np.abs(images[0][:, :, 0] - luma).max() <= 1
    assert not np.array_equal(images[1], images[2]) and not np.array_equal(images[2], images[3])
    error = np.sqrt(np.mean((images[3].astype(float) - images[0]) ** 2))
    assert panels[3].get_xlabel() == f"error {error:.0f}"


def test_deen_shows_the_map_of_every_embedding() -> None:
    method, panels = drawn("deen", "expansions")
    assert len(panels) == 2 * len(PAIRS) * (1 + method.copies)
    first = heats(panels)[1 : 1 + method.copies]
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])


def test_paenet_shows_what_it_predicts() -> None:
    method = small_method("paenet").eval()
    figure = pictures_of(method)["attributes"](PAIRS)
    assert len(figure.axes) == 3 * len(PAIRS)
    bars = figure.axes[2]
    with torch.no_grad():
        expected = [
            method.embed(network_input(method, shown), shown.modality)["attributes"][0].numpy()
            for shown in PAIRS[0].both
        ]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], np.concatenate(expected), atol=1e-6)
    assert [label.get_text() for label in bars.get_yticklabels()][:2] == ["gender", "hair"]
