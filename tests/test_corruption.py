"""The rules of corruption: which image gets what, read from a request, covered by fingerprints."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.corruption import MIXED, Corruption, corruption_rules, parse_corruptions
from vibench.errors import UsageError
from vibench.protocols import corrupted, load_protocol

VISIBLE = [
    "gaussian-noise",
    "shot-noise",
    "impulse-noise",
    "defocus-blur",
    "glass-blur",
    "motion-blur",
    "zoom-blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic-transform",
    "pixelate",
    "jpeg-compression",
    "speckle-noise",
    "gaussian-blur",
    "spatter",
    "saturate",
    "rain",
]
"""The twenty types of Zoky-2020/CIL-CrossModal ``corruption.py``."""


def requested(*found: Corruption) -> list[str]:
    return [one.request for one in found]


def test_types_are_those_of_the_official_scripts() -> None:
    rules = corruption_rules()
    assert list(rules.visible) == VISIBLE
    # art2611/MREiD-UCD-CCD: brightness stands for saturation, and none fills its place.
    assert set(rules.infrared) == {*VISIBLE, "none"} - {"saturate"} and len(rules.infrared) == 20
    assert (rules.severities, rules.alone, len(rules.changelog)) == (5, {"occlusion": 3}, rules.version)


def test_draws_follow_from_seed_and_name_alone() -> None:
    """A change here changes every corrupted image: raise the version of the rules instead."""
    mixed = Corruption(MIXED, ("visible",), version=1)
    name = "cam1/0006/0001.jpg"
    digest = hashlib.sha256(b'[0,"cam1/0006/0001.jpg"]').digest()
    drawn = mixed.of_image(name, "visible")
    assert drawn.kind == VISIBLE[int.from_bytes(digest[0:8], "big") % 20] == "jpeg-compression"
    assert drawn.severity == 1 + int.from_bytes(digest[8:16], "big") % 5 == 1
    assert drawn.seed == int.from_bytes(digest[16:20], "big") == 700961223
    assert replace(mixed, seed=1).of_image(name, "visible") != drawn
    # One severity for all leaves everything else as it is.
    assert replace(mixed, severity=4).of_image(name, "visible") == replace(drawn, severity=4)
    assert replace(mixed, kind="fog").of_image(name, "visible") == replace(drawn, kind="fog")


def test_draws_are_spread_evenly() -> None:
    mixed = Corruption(MIXED, ("visible", "infrared"), version=1)
    drawn = [mixed.of_image(f"cam{camera}/{pid:04d}/0001.jpg", "infrared") for camera in (3, 6) for pid in range(2000)]
    kinds, severities = Counter(one.kind for one in drawn), Counter(one.severity for one in drawn)
    # 4,000 draws: 200 of each type and 800 of each severity, give or take five standard deviations.
    assert len(kinds) == 20 and all(abs(count - 200) < 5 * 13.8 for count in kinds.values())
    assert len(severities) == 5 and all(abs(count - 800) < 5 * 25.3 for count in severities.values())
    levels = {Corruption("occlusion", ("visible",), 1).of_image(f"{at}.jpg", "visible").severity for at in range(99)}
    assert levels == {1, 2, 3}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("mixed", ["mixed"]),
        ("curve", ["mixed:1", "mixed:2", "mixed:3", "mixed:4", "mixed:5"]),
        ("rain", ["rain"]),
        ("rain:3", ["rain:3"]),
        ("gaussian_noise:2-3", ["gaussian-noise:2", "gaussian-noise:3"]),
        ("occlusion:1-3", ["occlusion:1", "occlusion:2", "occlusion:3"]),
    ],
)
def test_requests(request_: str, expected: list[str]) -> None:
    assert requested(*parse_corruptions(request_)) == expected


def test_whose_images() -> None:
    (both,) = parse_corruptions("fog:2", "both")
    assert (both.modalities, both.label, both.slug) == (
        ("visible", "infrared"),
        "fog:2, visible and infrared images",
        "fog-2-both",
    )
    assert [one.modalities for one in parse_corruptions("mixed", "infrared")] == [("infrared",)]


@pytest.mark.parametrize(
    ("request_", "modality", "words"),
    [
        ("rian", "visible", "'rain'"),
        ("rain:6", "visible", "rain has the severities 1 to 5"),
        ("rain:0", "visible", "counted from 1 to 5"),
        ("rain:4-2", "visible", "counted from 1 to 5"),
        ("rain:", "visible", "with :3 or :1-5"),
        ("rain:2:3", "visible", "with :3 or :1-5"),
        ("occlusion:4", "visible", "occlusion has the severities 1 to 3"),
        ("saturate", "infrared", "'saturate' is no corruption of infrared images"),
        ("saturate", "both", "'saturate' is no corruption of infrared images"),
        ("none", "infrared", "the types are"),
        ("rain", "thermal", "none of visible, infrared and both"),
    ],
)
def test_wrong_requests_say_what_there_is(request_: str, modality: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_corruptions(request_, modality)
    assert words in str(caught.value) and str(caught.value).startswith("--corrupt")


@given(st.text(alphabet="abcdefgimnortuvx:-_0123456789", max_size=20))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        found = parse_corruptions(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert found and len({one.request for one in found}) == len(found)


def test_every_corruption_has_a_fingerprint_of_its_own_and_clean_images_keep_theirs() -> None:
    clean = load_protocol("sysu-all")
    asked = [*parse_corruptions("curve"), *parse_corruptions("mixed"), *parse_corruptions("mixed", "both")]
    prints = {replace(clean, corruption=one).fingerprint("sysu-mm01", "seeded") for one in (None, *asked)}
    assert len(prints) == 1 + len(asked)
    assert replace(clean, corruption=None).fingerprint("sysu-mm01", "seeded") == clean.fingerprint(
        "sysu-mm01", "seeded"
    )


def test_protocols_are_grouped_by_what_happens_to_images() -> None:
    clean, indoor = load_protocol("sysu-all"), load_protocol("sysu-indoor")
    scripted = load_protocol("sysu-all-c-as-scripted")
    assert corrupted((scripted, clean, indoor)) == [(clean, indoor), (scripted,)]
    groups = corrupted((clean, indoor), "curve")
    assert [[one.name for one in group] for group in groups] == [["sysu-all", "sysu-indoor"]] * 5
    assert [{one.corruption.severity for one in group if one.corruption} for group in groups] == [
        {s} for s in range(1, 6)
    ]
    with pytest.raises(UsageError, match="sysu-all-c-as-scripted corrupts images by its own rules"):
        corrupted((clean, scripted), "mixed")


def test_the_form_as_scripted_differs_in_what_it_says_alone() -> None:
    for name, trials in (("sysu-all", 1), ("sysu-indoor", 1), ("regdb-v2t", 10), ("regdb-t2v", 10)):
        usual, scripted = load_protocol(name), load_protocol(f"{name}-c-as-scripted")
        assert scripted.trials == trials and scripted.draws == usual.draws[:1]
        assert scripted.corruption == parse_corruptions("mixed")[0]
        same = ("dataset", "shots", "cmc", "query", "gallery", "skip", "ranks", "expected")
        assert all(getattr(scripted, field) == getattr(usual, field) for field in same)


def test_a_protocol_of_other_rules_is_refused() -> None:
    usual = load_protocol("sysu-all")
    for corruption, words in (
        (Corruption(MIXED, ("visible",), version=2), "version 2 of the corruption rules"),
        (Corruption("saturate", ("infrared",), version=1), "no corruption of infrared"),
        (Corruption("dust", ("visible",), version=1), "'dust' is no corruption"),
    ):
        with pytest.raises(ValueError, match=words):
            replace(usual, corruption=corruption)
