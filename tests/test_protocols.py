"""Protocol files: all load, wrong ones are refused in one sentence, fingerprints cover what scores depend on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vibench.errors import UsageError
from vibench.files.shipped import protocols_folder
from vibench.protocols import Protocol, load_protocol, protocol_names, require_clean

NAMES = (
    "sysu-all sysu-all-c-as-scripted sysu-all-multi sysu-indoor sysu-indoor-c-as-scripted sysu-indoor-multi "
    "regdb-t2v regdb-t2v-c-as-scripted regdb-v2t regdb-v2t-c-as-scripted llcm-i2v llcm-v2i llcm-v2i-as-scripted "
    "hitsz-i2v hitsz-v2i bupt-i2v bupt-i2v-other-cameras bupt-v2i bupt-v2i-other-cameras"
)


def test_all_protocols_load() -> None:
    assert protocol_names() == tuple(NAMES.split())
    protocols = [load_protocol(name) for name in protocol_names()]
    assert all(protocol.description.strip() for protocol in protocols)
    fingerprints = {protocol.fingerprint(protocol.dataset, draw) for protocol in protocols for draw in protocol.draws}
    assert len(fingerprints) == sum(len(protocol.draws) for protocol in protocols) == 23


def test_sysu_rules() -> None:
    protocol = load_protocol("sysu-indoor-multi")
    assert (protocol.query.cameras, protocol.gallery.cameras, protocol.shots) == ((3, 6), (1, 2), 10)
    assert (protocol.skip.identities, protocol.skip.cameras) == ("any", ((3, 2),))
    assert (protocol.expected.queries, protocol.expected.valid_queries, protocol.expected.gallery) == (3803, 2208, 1120)
    assert (protocol.layout, protocol.search, protocol.cmc) == ("sysu-mm01", "indoor", "unique")


def test_listing_needs_no_heavy_import() -> None:
    code = (
        "import sys, vibench.protocols as p; [p.load_protocol(n) for n in p.protocol_names()]; "
        "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_images_are_not_corrupted_twice() -> None:
    require_clean(load_protocol("sysu-all"), "mixed")
    with pytest.raises(
        UsageError, match=r"^--corrupt mixed: protocol sysu-all-c-as-scripted corrupts images by its own"
    ):
        require_clean(load_protocol("sysu-all-c-as-scripted"), "mixed")


def test_resolve_draw() -> None:
    assert load_protocol("sysu-all").resolve_draw(None) == "seeded"
    assert load_protocol("sysu-all").resolve_draw("official") == "official"
    assert load_protocol("regdb-v2t").resolve_draw("seeded") == "none"
    with pytest.raises(UsageError, match="llcm-v2i has no draw 'official'; it allows seeded"):
        load_protocol("llcm-v2i").resolve_draw("official")


def test_fingerprint_covers_rules_and_not_prose() -> None:
    protocol = load_protocol("sysu-all")
    known = protocol.fingerprint("sysu-mm01", "seeded")
    assert replace(protocol, title="x", description="y", changelog=("z",)).fingerprint("sysu-mm01", "seeded") == known
    others = [
        protocol.fingerprint("sysu-mm01", "official", "a"),
        protocol.fingerprint("sysu-mm01", "official", "b"),
        protocol.fingerprint("sysu-mm01-twin", "seeded"),
        protocol.fingerprint("sysu-mm01", "seeded", dataset_version="tiny-s0-r1"),
        replace(protocol, cmc="standard").fingerprint("sysu-mm01", "seeded"),
        replace(protocol, shots=2).fingerprint("sysu-mm01", "seeded"),
        replace(protocol, skip=replace(protocol.skip, identities="same")).fingerprint("sysu-mm01", "seeded"),
        replace(protocol, version=2, changelog=("a", "b")).fingerprint("sysu-mm01", "seeded"),
    ]
    assert len({known, *others}) == len(others) + 1


def test_fingerprints_stay() -> None:
    """A change here makes every existing record incomparable: raise the protocol's version instead."""
    assert (
        load_protocol("sysu-all").fingerprint("sysu-mm01", "seeded")
        == "bc6e116cf5b7f80b6c29d2cf02ddb5411fbc71789b8345abe72e9222d45082e6"
    )


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (protocols_folder() / "sysu-all.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_own_protocol_file(tmp_path: Path) -> None:
    protocol = load_protocol(changed(tmp_path, 'name = "sysu-all"', 'name = "mine"'))
    assert isinstance(protocol, Protocol) and protocol.name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shots = 1", "shot = 1", r"mine.toml: unknown key 'shot' \(did you mean 'shots'\?\)"),
        ("shots = 1\n", "", "the key 'shots' is missing and must be a whole number"),
        ("shots = 1", "shots = '1'", "'shots' must be a whole number, not '1'"),
        ("shots = 1", "shots = 0", "'drawn = true' needs 'shots' above 0"),
        ("[1, 2, 4, 5]", "[2, 1]", r"mine.toml: \[gallery\]: 'cameras' must be ascending"),
        ("[1, 2, 4, 5]", "[-1, 2]", r"\[gallery\]: 'cameras' must be camera numbers of up to three digits"),
        ('"visible"', '"infrared"', r"\[query\] and \[gallery\] must differ"),
        ("[3, 2]", "[3]", r"\[skip\]: 'cameras\[0\]' must be a list of 2"),
        ('"official"', '"offical"', r"'draws\[1\]' must be one of .* \(did you mean 'official'"),
        ('"unique"', '"best"', "'cmc' must be one of 'unique', 'standard', not 'best'"),
        ("[1, 5, 10, 20]", "[1, 5]", "'ranks' must be"),
        ("version = 1", "version = 2", "one line per version, 2, not 1"),
    ],
)
def test_malformed_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_protocol(changed(tmp_path, old, new))


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match=r"unknown protocol 'sysu_all' \(did you mean 'sysu-all'\?\)"):
        load_protocol("sysu_all")
