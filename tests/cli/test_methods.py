import pytest
from typer.testing import CliRunner

from vibench.cli.main import app
from vibench.errors import UsageError


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["methods", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return " ".join(result.stdout.split())


def test_lists_every_method_with_its_variants():
    text = shown()
    for part in (
        "agw AGW, TPAMI 2021 base, a, a-g",
        "baseline Baseline, ECCV 2020 b (default), one-stream, two-stream, zero-pad",
        "cm-SSFT, CVPR 2020; tests with gallery and queries",
        "PAENet, MM 2022; needs attributes",
        "tca-matchdistill",
    ):
        assert part in text


def test_explains_one_in_full():
    text = shown("agw")
    for part in (
        "Deep Learning for Person Re-identification: A Survey and Outlook",
        "test-time information: none",
        "identity: cross-entropy",
        "sysu-mm01 all single-shot: r1 47.50 r10 84.39 r20 92.14 map 47.65",
        "a-g: Base + A + G.",
        'model.triplet = "wrt" (hard | wrt | wrt-clean)',
        "weighted regularised with the official code's epsilon",
        "loss_weights.triplet = 1.0",
        "llcm: augmentation.erasing = 0.5",
    ):
        assert part in text
    assert "no official training code was compared" in shown("baseline")
    assert "r1 48.18 r5 75.81 r10 85.73 r20 93.52 map 47.64" in shown("baseline")


def test_says_how_near_the_official_code_is():
    text = shown("hct")
    for part in (
        "official code: https://github.com/hijune6/Hetero-center-triplet-loss-for-VT-Re-ID at ecb8603",
        "--w_center 2.0: 3 steps in epochs 0, 9, 20 with the recipe of regdb, variant global",
        "largest relative differences, in float64: losses",
        "batch-norm statistics",
        "on purpose: The exponent of the stripes' pooling is 10 on RegDB",
        "the one with the best rank-1 on the test split",
        "vibench keeps the last epoch, on purpose",
    ):
        assert part in text


def test_an_unknown_method_is_bad_usage():
    with pytest.raises(UsageError, match="did you mean 'agw'"):
        shown("agww")


def test_the_process_lists_without_torch_and_refuses_in_one_sentence(vibench):
    listed = vibench("methods", PYTHONPROFILEIMPORTTIME="1")
    assert listed.returncode == 0 and "AGW" in listed.stdout
    imported = {line.rpartition("|")[2].strip() for line in listed.stderr.splitlines()}
    assert "typer" in imported and not imported & {"torch", "pandas"}
    refused = vibench("methods", "agww")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: there is no method 'agww'") and "Traceback" not in refused.stderr
