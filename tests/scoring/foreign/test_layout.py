"""Named arrays in the shape of well-known test scripts become the right images; what is ambiguous is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from tests.scoring.foreign.dumps import REGDB, V2T, regdb
from vibench.datasets.registry import Dataset, get_dataset
from vibench.errors import UsageError
from vibench.evaluation.features import Features
from vibench.protocols import Protocol, load_protocol
from vibench.scoring.foreign.assemble import assemble
from vibench.scoring.foreign.keys import FIELDS, SIDES, known_key
from vibench.scoring.foreign.layout import recognise
from vibench.scoring.foreign.named import Named
from vibench.scoring.foreign.read import read_any_features

DUMP = regdb()
QUERY, GALLERY = DUMP.side(True), DUMP.side(False)
T2V = (load_protocol("regdb-t2v"),)
LLCM = get_dataset("llcm")


def features_of(
    arrays: dict[str, Any], dataset: Dataset = REGDB, protocols: tuple[Protocol, ...] = V2T
) -> tuple[Features, list[str]]:
    named = Named()
    for name, values in arrays.items():
        named.add(name, np.asarray(values))
    parts, notes = recognise(named, "f")
    features, more = assemble(parts, dataset, protocols, "f")
    return features, notes + more


def check_labels(features: Features, cameras: bool = True) -> None:
    """The rows are queries, then gallery images, with the right labels."""
    assert features.paths is None and features.pids is not None and features.cameras is not None
    np.testing.assert_allclose(features.features, np.concatenate([QUERY.values, GALLERY.values]), rtol=1e-6)
    assert features.pids.tolist() == [*QUERY.pids, *GALLERY.pids]
    assert features.modalities is not None
    assert features.modalities.tolist() == ["visible"] * len(QUERY.pids) + ["infrared"] * len(GALLERY.pids)
    if cameras:
        assert features.cameras.tolist() == [*QUERY.cameras, *GALLERY.cameras]


SCRIPTS: dict[str, dict[str, Any]] = {
    "AGW": {
        "query_feat": QUERY.values, "gall_feat": GALLERY.values, "query_label": QUERY.pids, "gall_label": GALLERY.pids,
        "query_cam": QUERY.cameras, "gall_cam": GALLERY.cameras,
    },
    "AGW without cameras": {
        "query_feat": QUERY.values, "gall_feat": GALLERY.values, "query_label": QUERY.pids, "gall_label": GALLERY.pids,
    },
    "torchreid": {
        "qf": QUERY.values, "q_pids": QUERY.pids, "q_camids": QUERY.cameras, "gf": GALLERY.values,
        "g_pids": GALLERY.pids, "g_camids": GALLERY.cameras,
    },
    "Market": {
        "gallery_f": GALLERY.values.astype(float), "gallery_label": GALLERY.pids[None].astype(float),
        "gallery_cam": GALLERY.cameras[None], "query_f": QUERY.values.astype(float),
        "query_label": QUERY.pids[None].astype(float), "query_cam": QUERY.cameras[None],
    },
    "groups": {
        "query/features": QUERY.values[:, :, None, None], "query/pids": QUERY.pids[:, None],
        "query/cams": QUERY.cameras, "gallery/features": GALLERY.values[:, :, None, None],
        "gallery/pids": GALLERY.pids[:, None], "gallery/cams": GALLERY.cameras,
    },
    "modalities": {
        "feat_rgb": QUERY.values, "label_rgb": QUERY.pids, "feat_ir": GALLERY.values, "label_ir": GALLERY.pids,
    },
    "turned": {
        "qFeatures": QUERY.values.T, "qIds": QUERY.pids, "gFeatures": GALLERY.values.T, "gIds": GALLERY.pids,
        "q_cams": QUERY.cameras, "g_cams": GALLERY.cameras,
    },
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_with_labels(script: str) -> None:
    features, _ = features_of(SCRIPTS[script])
    check_labels(features)


def test_the_role_follows_the_protocol() -> None:
    features, notes = features_of(SCRIPTS["AGW"], protocols=T2V)
    assert features.modalities is not None and features.cameras is not None
    assert features.modalities.tolist()[:: len(DUMP.names) - 1] == ["infrared", "visible"]
    # The authors' script counts the cameras by role.
    assert features.cameras.tolist() == [2] * 6 + [1] * 6
    assert any("camera numbers of the features were left out" in note for note in notes)
    with pytest.raises(UsageError, match="one protocol at a time"):
        features_of(SCRIPTS["AGW"], protocols=V2T + T2V)
    # Modalities need no role.
    features_of(SCRIPTS["modalities"], protocols=V2T + T2V)


WORDS = [(side, field, mark, word) for side, marks in SIDES.items() for mark in marks
         for field, words in FIELDS.items() for word in words.split() if len(word) > 1]  # fmt: skip


@given(st.sampled_from(WORDS), st.sampled_from(["{0}_{1}", "{1}_{0}", "{0}/{1}", "{0}.{1}", "{0}-{1}s", "{0} {1}"]))
@settings(max_examples=300, derandomize=True)
def test_names_of_arrays_are_known_in_every_spelling(chosen: tuple[str, str, str, str], form: str) -> None:
    side, field, mark, word = chosen
    form = form.removesuffix("s") if word.endswith("s") or f"{word}s" not in FIELDS[field].split() else form
    for name in (form.format(mark, word), form.format(mark, word).upper(), form.format(mark.title(), word.title())):
        key = known_key(name)
        assert key is not None and (key.side, key.field) == (side, field), name


def test_names_of_arrays_that_mean_nothing() -> None:
    for name in (
        "train_feat",
        "epoch",
        "cmc",
        "query_mAP",
        "distmat",
        "f0",
        "feat_bn_2",
        "",
        "/",
        "x" * 500,
        "trainlabels",
    ):
        assert known_key(name) is None, name
    assert known_key("gf") == ("gallery", "features", "f") and known_key("query") == ("query", "", "")


@given(
    st.permutations(["paths", "pids", "camids", "modalities", "epoch", "train_labels", "acc"]),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.booleans(),
    st.sampled_from(["", "/data/RegDB/", "D:\\sets\\RegDB\\", "./", "../x/"]),
    st.sampled_from(["feat", "features", "embeddings", "F"]),
)
@settings(max_examples=60, derandomize=True)
def test_names_win_whatever_else_is_there(order: list[str], kind: Any, turned: bool, prefix: str, name: str) -> None:
    names = [prefix + (one.replace("/", "\\") if "\\" in prefix else one) for one in DUMP.names.tolist()]
    values = DUMP.values.astype(kind)
    held: dict[str, Any] = {
        "paths": names, "pids": DUMP.pids % 2, "camids": DUMP.cameras * 0, "modalities": DUMP.visible.astype(int),
        "epoch": 7, "train_labels": np.arange(30), "acc": np.ones(3),
    }  # fmt: skip
    arrays = {one: held[one] for one in order} | {name: values.T if turned else values}
    features, notes = features_of(arrays)
    assert features.paths == tuple(DUMP.names.tolist())
    np.testing.assert_allclose(features.features, DUMP.values, rtol=1e-2)
    assert features.features.dtype == (np.float64 if kind == np.float64 else np.float32)
    assert (
        "epoch (one value)" in notes[-1] and "train_labels (30 int64)" in notes[-1] and "acc (3 float64)" in notes[-1]
    )


@pytest.mark.parametrize(
    ("codes", "noted"),
    [
        (np.where(DUMP.visible, 0, 1), True),
        (np.where(DUMP.visible, 1, 2)[:, None], True),
        (np.where(DUMP.visible, "RGB", "IR"), False),
        (np.where(DUMP.visible, "visible", "thermal"), False),
        (np.where(DUMP.visible, b"VIS", b"NIR"), False),
        (np.where(DUMP.visible, 1.0, 2.0), True),
    ],
)
def test_modalities_in_every_form(codes: np.ndarray, noted: bool) -> None:
    arrays = {"feat": DUMP.values, "labels": DUMP.pids[:, None], "cams": DUMP.cameras, "modality": codes}
    features, notes = features_of(arrays, dataset=LLCM)
    assert features.modalities is not None
    assert features.modalities.tolist() == np.where(DUMP.visible, "visible", "infrared").tolist()
    assert any("was taken as visible" in note for note in notes) == noted


def test_modalities_that_cannot_be_known() -> None:
    arrays = {"feat": DUMP.values, "labels": DUMP.pids, "cams": DUMP.cameras}
    with pytest.raises(UsageError, match="its cameras 1, 2 are none of LLCM, so nothing says which images are visible"):
        features_of(arrays, dataset=LLCM)
    with pytest.raises(UsageError, match="the numbers 3, 4 say no modality"):
        features_of({**arrays, "modality": np.where(DUMP.visible, 3, 4)}, dataset=LLCM)
    with pytest.raises(UsageError, match="nothing says which images are visible"):
        features_of({**arrays, "modality": DUMP.visible}, dataset=LLCM)  # what is it that is true?
    # Cameras of RegDB are the modalities.
    features, _ = features_of(arrays)
    assert features.modalities is not None and (features.modalities == "visible").tolist() == DUMP.visible.tolist()
    with pytest.raises(UsageError, match="nor their cameras"):
        features_of({"qf": QUERY.values, "gf": GALLERY.values, "q_pids": QUERY.pids, "g_pids": GALLERY.pids}, LLCM)


@pytest.mark.parametrize("name", ("scores", "distmat", "distances_3"))
def test_scores_are_no_features(name: str) -> None:
    arrays = {name: np.eye(3), "query_paths": QUERY.names[:3], "gallery_paths": GALLERY.names[:3]}
    with pytest.raises(UsageError, match=f"{name} compares images, so it is for --scores, not --features"):
        features_of(arrays)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"feat": DUMP.values, "emb": DUMP.values + 1, "paths": DUMP.names}, "could be the features: feat, emb"),
        ({"feat": DUMP.values, "paths": DUMP.names, "names": DUMP.names[::-1]}, "could be the names: paths, names"),
        (
            {"x": DUMP.values, "paths": DUMP.names},
            r"no array here is known as features\. It holds x \(12 x 5 float32\)",
        ),
        ({"feat": DUMP.values}, "nothing here names its images"),
        ({"feat": DUMP.values, "labels": DUMP.pids, "ids": np.arange(12)}, "could be the pids: labels, ids"),
        ({"feat": DUMP.values, "paths": DUMP.names[:-1]}, r"paths \(11 texts\) do not name its images"),
        (
            {"feat": DUMP.values, "paths": DUMP.names[:-1], "pids": DUMP.pids},
            r"feat \(12 x . float32\) are the features, but paths \(11 texts\) do not name its images",
        ),
        (
            {"feat": DUMP.values, "query_feat": DUMP.values, "paths": DUMP.names},
            "could be the features: feat, query_feat",
        ),
        ({"feat": DUMP.values.astype(int), "paths": np.arange(12)}, "do not name its images|nothing here names"),
        (
            {"qf": QUERY.values, "gf": GALLERY.values[:, :3], "q_names": QUERY.names, "g_names": GALLERY.names},
            "do not fit",
        ),
        (
            {"qf": QUERY.values, "gf": GALLERY.values, "q_names": QUERY.names, "g_pids": GALLERY.pids},
            "give names to both",
        ),
        ({}, "It holds nothing"),
    ],
)
def test_what_is_ambiguous_is_listed(arrays: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=f"^f: .*({reason})"):
        features_of(arrays)


def test_the_lines_that_make_the_right_file_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as refused:
        features_of({"x": DUMP.values})
    monkeypatch.chdir(tmp_path)
    assert len(refused.value.recipe) == 3
    exec("\n".join(refused.value.recipe), {"features": DUMP.values, "names": DUMP.names.tolist()})
    assert read_any_features(Path("features.npz"), REGDB, V2T).features.paths == tuple(DUMP.names.tolist())


def test_what_differs_but_does_not_matter() -> None:
    features, _ = features_of({"feat": DUMP.values, "features": DUMP.values + 1, "paths": DUMP.names})
    np.testing.assert_array_equal(features.features, DUMP.values + 1)
    assert list(features.extras) == ["feat"]
    features, _ = features_of({"feat": DUMP.values, "pids": DUMP.pids, "ids": np.arange(12), "cams": DUMP.cameras})
    assert features.pids is not None and features.pids.tolist() == DUMP.pids.tolist()
    features, _ = features_of({"feat": DUMP.values, "whatever": DUMP.names})
    assert features.paths == tuple(DUMP.names.tolist())
    words = np.array([f"cam{camera}" for camera in DUMP.cameras])
    ids = np.array([f"{pid:04d}" for pid in DUMP.pids])
    features, _ = features_of({"feat": DUMP.values, "person_id": ids, "camera_id": words})
    assert features.cameras is not None and features.cameras.tolist() == DUMP.cameras.tolist()


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "u1", "U"])
def test_labels_of_every_type(kind: str) -> None:
    arrays = {"feat": DUMP.values, "labels": DUMP.pids.astype(kind), "cams": DUMP.cameras.astype(kind)}
    features, _ = features_of(arrays)
    assert features.pids is not None and features.pids.tolist() == DUMP.pids.tolist()
    # Nothing that could be an identity is made of these.
    with pytest.raises(UsageError, match=r"labels \(12 float64\) do not name its images"):
        features_of(arrays | {"labels": np.full(12, 0.5)})


def test_two_files(tmp_path: Path) -> None:
    for side, name in ((QUERY, "q"), (GALLERY, "g")):
        torch.save({"features": torch.from_numpy(side.values), "pids": side.pids.tolist()}, tmp_path / f"{name}.pt")
        np.savez(tmp_path / f"{name}.npz", **{f"{name}f": side.values, f"{name}_pids": side.pids})
        savemat(tmp_path / f"{name}.mat", {"feature": side.values, "label": side.pids})
        np.save(tmp_path / f"{name}_feat.npy", side.values)
        (tmp_path / f"{name}_names.txt").write_text("\n".join(side.names.tolist()))
    for ending in ("pt", "npz", "mat"):
        found = read_any_features(tmp_path / f"q.{ending}", REGDB, V2T, gallery=tmp_path / f"g.{ending}")
        if found.features.paths is None:
            check_labels(found.features)
        else:
            # The names beside.
            assert found.features.paths == (*QUERY.names.tolist(), *GALLERY.names.tolist())
    found = read_any_features(tmp_path / "q_feat.npy", REGDB, V2T, gallery=tmp_path / "g_feat.npy")
    assert found.features.paths == (*QUERY.names.tolist(), *GALLERY.names.tolist()) and len(found.digests) == 4
    np.savez(tmp_path / "both.npz", **SCRIPTS["AGW"])
    with pytest.raises(UsageError, match=r"both\.npz: holds query and gallery images; given as the query"):
        read_any_features(tmp_path / "both.npz", REGDB, V2T, gallery=tmp_path / "g.npz")
    with pytest.raises(UsageError, match=r"g\.npz: holds gallery images; given as the query"):
        read_any_features(tmp_path / "g.npz", REGDB, V2T, gallery=tmp_path / "q.npz")
