"""A harder twin differs from the plain one in what it says, and in nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.harder import KINDS, LEVELS, OUTFITS, SHARES, Harder, parse_harder
from vibench.datasets.twin.make import make_twin
from vibench.datasets.twin.parts import PART
from vibench.datasets.twin.render import Picture, Renderer
from vibench.datasets.twin.wardrobe import wardrobe
from vibench.errors import UsageError
from vibench.records import galleries

_SIZE = (48, 24)
_SHOTS = [(pid, camera, number) for pid in range(1, 11) for camera in (1, 6) for number in (1, 2)]
_CHANGED = KINDS[:3]


@cache
def _pictures(layout: str, harder: Harder | None) -> list[Picture]:
    shots = _SHOTS if layout == "sysu-mm01" else [(pid, 1 + (camera == 6), number) for pid, camera, number in _SHOTS]
    return Renderer(layout, 0, _SIZE, harder).render_batch(shots)


def _differs(layout: str, harder: Harder) -> np.ndarray:
    pairs = zip(_pictures(layout, None), _pictures(layout, harder), strict=True)
    return np.array([not np.array_equal(plain.image, other.image) for plain, other in pairs])


@pytest.mark.parametrize("kind", _CHANGED)
def test_more_images_change_with_the_level_and_none_changes_back(kind: str) -> None:
    changed = [_differs("sysu-mm01", Harder(kind, level)) for level in LEVELS]
    assert [abs(one.mean() - share) < 0.2 for one, share in zip(changed, SHARES, strict=True)] == [True] * 3
    assert (changed[0] <= changed[1]).all() and (changed[1] <= changed[2]).all()
    low, high = (_pictures("sysu-mm01", Harder(kind, level)) for level in (1, 3))
    assert all(np.array_equal(low[row].image, high[row].image) for row in np.flatnonzero(changed[0]))


def test_occluders_hide_and_move_nothing() -> None:
    plain, hidden = _pictures("sysu-mm01", None), _pictures("sysu-mm01", Harder("occlusion", 3))
    for before, after in zip(plain, hidden, strict=True):
        assert np.array_equal(before.keypoints[:, :2], after.keypoints[:, :2])
        assert (before.keypoints[:, 2] >= after.keypoints[:, 2]).all()
    covered = [np.mean([(one.parts == PART["occluder"]).mean() for one in some]) for some in (plain, hidden)]
    assert covered[0] < 0.1 and covered[1] > 0.3


def test_bad_boxes_move_and_scale_the_person_alone() -> None:
    plain, moved = _pictures("sysu-mm01", None), _pictures("sysu-mm01", Harder("misalignment", 3))
    sizes = []
    for row in np.flatnonzero(_differs("sysu-mm01", Harder("misalignment", 3))):
        before, after = (some[row].keypoints[:, :2].astype(float) for some in (plain, moved))
        centred = [points - points.mean(axis=0) for points in (before, after)]
        sizes.append(np.linalg.norm(centred[1]) / np.linalg.norm(centred[0]))
        np.testing.assert_allclose(centred[1], sizes[-1] * centred[0], atol=1e-3)
    assert min(sizes) < 0.8 and max(sizes) > 1.25


def test_turned_people_stand_where_they_stood() -> None:
    plain, turned = _pictures("sysu-mm01", None), _pictures("sysu-mm01", Harder("pose", 3))
    apart = [
        np.abs(one.keypoints[:, :2] - other.keypoints[:, :2]).max() for one, other in zip(plain, turned, strict=True)
    ]
    assert np.mean(np.array(apart) > 1.0) > 0.7
    for one, other in zip(plain, turned, strict=True):
        assert one.image.shape == other.image.shape and one.quality == other.quality


@pytest.mark.parametrize("level", LEVELS)
def test_look_alikes_share_clothes_and_keep_body_head_and_attributes(level: int) -> None:
    plain, dressed = _pictures("sysu-mm01", None), _pictures("sysu-mm01", Harder("look-alikes", level))
    for before, after in zip(plain, dressed, strict=True):
        assert np.array_equal(before.keypoints[:, :2], after.keypoints[:, :2])
    people = [wardrobe(0, pid, 6, "visible", OUTFITS[level - 1]).identity for pid in range(1, 81)]
    own = [wardrobe(0, pid, 6, "visible").identity for pid in range(1, 81)]
    assert all(
        (one.body, one.attributes) == (other.body, other.attributes)
        and np.array_equal(one.hair.colours, other.hair.colours)
        and np.array_equal(one.skin.reflectance, other.skin.reflectance)
        for one, other in zip(people, own, strict=True)
    )
    outfits = {one.upper.colours.tobytes() + one.lower.colours.tobytes() for one in people}
    assert 0.6 * OUTFITS[level - 1] < len(outfits) <= OUTFITS[level - 1]


@pytest.mark.parametrize("kind", ("pose", "misalignment"))
def test_both_cameras_of_regdb_see_the_same_mishap(kind: str) -> None:
    plain, harder = _pictures("regdb", None), _pictures("regdb", Harder(kind, 2))
    changed = [
        not np.allclose(before.keypoints[:, :2], after.keypoints[:, :2])
        for before, after in zip(plain, harder, strict=True)
    ]
    sides = np.array(changed).reshape(10, 2, 2)
    assert np.array_equal(sides[:, 0], sides[:, 1]) and sides.any()


def test_it_is_a_twin_of_its_own_to_folder_version_and_galleries(tmp_path: Path) -> None:
    wanted = ("sysu-mm01", "tiny", 4, tmp_path / "twin", 1, (32, 16))
    make_twin(*wanted, harder=Harder("look-alikes", 3))
    version = get_dataset("sysu-mm01-twin").version(tmp_path / "twin")
    assert version == "tiny-s4-r1-look-alikes3"
    for other in (None, Harder("look-alikes", 2)):
        with pytest.raises(UsageError, match=r"holds another twin \(harder is look-alikes:3, wanted"):
            make_twin(*wanted, harder=other)
    names = galleries.names_of_test_images("sysu-mm01-twin", version)
    assert names is not None and names == galleries.names_of_test_images("sysu-mm01-twin", "tiny-s4-r1")
    assert all((tmp_path / "twin" / name).exists() for name in names)


def test_the_command_makes_it_and_draws_it(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    tiny = ("data", "twin", "--scale", "tiny", "--size", "32x16")
    made = vibench(*tiny, "--harder", "pose", "--out", "twin", "--preview", "sheet.png")
    assert made.returncode == 0, made.stderr
    assert "harder in pose:2" in made.stdout and (tmp_path / "sheet.png").exists()
    assert "another twin (harder is pose:2, wanted None)" in " ".join(vibench(*tiny, "--out", "twin").stderr.split())


@pytest.mark.parametrize(
    ("text", "said"), [("poses", "did you mean 'pose'"), ("pose:4", "the level is '4'"), ("pose:", "write pose:1")]
)
def test_what_is_no_kind_or_level_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_harder(text)
    assert parse_harder("occlusion:1") == Harder("occlusion", 1)
