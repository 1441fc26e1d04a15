"""Features files: what goes in comes out, equal content gives equal bytes, everything unusable is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vibench.errors import UsageError
from vibench.evaluation.features import Features, check_features, read_features, write_features

NAMES = ("cam1/0001/0001.jpg", "cam2/0001/0001.jpg", "cam3/0001/0001.jpg")
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    features = Features(
        VALUES,
        NAMES,
        pids=np.array([1, 1, 1]),
        cameras=np.array([1, 2, 3]),
        modalities=np.array(["visible", "visible", "infrared"]),
        extras={"parts": np.ones((3, 6, 2), dtype=np.float32)},
        meta={"dataset": "sysu-mm01", "trial": 1},
    )
    write_features(tmp_path / "a.npz", features)
    write_features(tmp_path / "b.npz", features)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = read_features(tmp_path / "a.npz")
    assert found.paths == NAMES and found.meta == features.meta
    for name in ("features", "pids", "cameras", "modalities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(features, name))
    np.testing.assert_array_equal(found.extras["parts"], features.extras["parts"])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_features(tmp_path / "a.npz", Features(VALUES, NAMES))
    with pytest.raises(UsageError):
        write_features(tmp_path / "a.npz", Features(VALUES * np.nan, NAMES))
    assert read_features(tmp_path / "a.npz").paths == NAMES


def test_number_types(tmp_path: Path) -> None:
    assert read_features(save(tmp_path / "h.npz", features=VALUES.astype("f2"), paths=NAMES)).features.dtype == "f4"
    assert read_features(save(tmp_path / "d.npz", features=VALUES.astype("f8"), paths=NAMES)).features.dtype == "f8"
    bytes_ = np.array(NAMES, dtype="S")
    assert read_features(save(tmp_path / "s.npz", features=VALUES, paths=bytes_)).paths == NAMES


def bad(row: int, value: float) -> np.ndarray:
    values = VALUES.copy()
    values[row, 1] = value
    return values


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"paths": NAMES}, "has no array 'features'; it holds paths"),
        ({"features": VALUES.astype(int), "paths": NAMES}, "must be float32, not int64"),
        ({"features": VALUES[:, 0], "paths": NAMES}, r"\(images, dimensions\), not of shape \(3,\)"),
        ({"features": VALUES[:0], "paths": np.array([], dtype=str)}, r"not of shape \(0, 2\)"),
        ({"features": VALUES, "paths": NAMES[:2]}, "'paths' has 2 entries but 'features' has 3 rows"),
        ({"features": VALUES, "paths": (*NAMES[:2], NAMES[0])}, "'cam1/0001/0001.jpg' occurs 2 times"),
        ({"features": bad(1, np.nan), "paths": NAMES}, r"1 of 3 rows .* first is row 1 \(cam2/0001/0001.jpg\)"),
        ({"features": bad(2, np.inf), "paths": NAMES}, r"NaN or infinite values, the first is row 2"),
        ({"features": VALUES}, "needs an array 'paths', or else all of"),
        ({"features": VALUES, "pids": [1, 1, 1], "cameras": [1, 2, 3]}, "needs an array 'paths', or else all of"),
        ({"features": VALUES, "paths": np.array(NAMES, dtype=object)}, "never unpickled"),
        ({"features": VALUES, "paths": [1, 2, 3]}, "'paths' must be a one-dimensional array of texts, not int64"),
        ({"features": VALUES, "paths": NAMES, "pids": [1.0, 2.0, 3.0]}, "'pids' must be .* integers, not float64"),
        ({"features": VALUES, "paths": NAMES, "parts": [1, 2]}, "'parts' has 2 entries"),
        ({"features": VALUES, "paths": NAMES, "meta": "[1]"}, "'meta' must be the JSON text of an object"),
        ({"features": VALUES, "paths": NAMES, "modalities": ["rgb"] * 3}, "must be visible or infrared, not 'rgb'"),
    ],
)
def test_unusable_content(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_features(save(tmp_path / "f.npz", **arrays))
    assert "f.npz" in str(caught.value)


def test_unusable_files(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npz", features=VALUES, paths=NAMES).read_bytes()
    for name, content in (("cut.npz", whole[: len(whole) // 2]), ("text.npz", b"hello"), ("empty.npz", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=f"{name}: is no readable .npz file"):
            read_features(tmp_path / name)
    np.save(tmp_path / "one.npy", VALUES)
    with pytest.raises(UsageError, match=r"single \.npy array"):
        read_features(tmp_path / "one.npy")
    with pytest.raises(UsageError, match="there is no such file"):
        read_features(tmp_path / "absent.npz")
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 0xFF
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(UsageError):
        read_features(tmp_path / "damaged.npz")


def test_check_features_in_memory() -> None:
    with pytest.raises(UsageError, match=r"^here: 'features' must be float32, not float16"):
        check_features(replace(Features(VALUES, NAMES), features=VALUES.astype("f2")), "here")
    extras = {"parts": np.array([None] * len(VALUES), dtype=object)}
    with pytest.raises(UsageError, match=r"^here: 'parts' holds Python objects"):
        check_features(Features(VALUES, NAMES, extras=extras), "here")


def test_the_file_holds_what_was_given_and_nothing_else(tmp_path: Path) -> None:
    write_features(tmp_path / "a.npz", Features(VALUES, NAMES, extras={"parts": VALUES}))
    with np.load(tmp_path / "a.npz") as file:
        assert file.files == ["features", "paths", "parts"]
