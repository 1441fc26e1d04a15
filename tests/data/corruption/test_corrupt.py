"""Corruptions of single images: the definitions, operation by operation, and what holds for all of them."""

from __future__ import annotations

import io
import math
import sys

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from vibench.corruption import ImageCorruption, corruption_rules, parse_corruptions
from vibench.data.corruption import imagenet_c
from vibench.data.corruption.corrupt import corrupt, require_libraries
from vibench.data.corruption.occlusion import SHARES, occlude
from vibench.data.corruption.rain import rain
from vibench.errors import UsageError

pytest.importorskip("imagecorruptions", reason="the extra 'robustness' is not installed")

SEED = 1234567
RULES = corruption_rules()
EVERY = [(kind, modality) for modality in ("visible", "infrared") for kind in (*RULES.types(modality), "occlusion")]


def person(seed: int = 0, size: tuple[int, int] = (48, 24)) -> np.ndarray:
    """A smooth coloured image; ``size`` is (height, width)."""
    coarse = np.random.default_rng(seed).integers(20, 236, (6, 3, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def corrupted(kind: str, severity: int, image: np.ndarray, modality: str = "visible", seed: int = SEED) -> np.ndarray:
    return corrupt(image, ImageCorruption(kind, severity, seed), modality, person(99, image.shape[:2]))


@pytest.mark.parametrize(("kind", "modality"), EVERY)
def test_same_seed_same_pixels_and_the_image_is_left_alone(kind: str, modality: str) -> None:
    image = person()
    before = image.copy()
    for severity in range(1, RULES.severities_of(kind) + 1):
        first = corrupted(kind, severity, image, modality)
        assert first.shape == image.shape and first.dtype == np.uint8
        assert np.array_equal(first, corrupted(kind, severity, image, modality))
        if modality == "infrared" and kind != "none":
            assert np.array_equal(first[..., 0], first[..., 1]) and np.array_equal(first[..., 0], first[..., 2])
        assert np.array_equal(first, image) == (kind == "none")
    assert np.array_equal(image, before)


def test_a_corruption_leaves_the_generators_of_others_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.rand(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    found = []
    for kind in ("gaussian-noise", "glass-blur", "frost"):
        found.append(np.random.rand())  # noqa: NPY002
        corrupted(kind, 3, person())
    assert np.array_equal(found, expected)


def test_other_seeds_draw_otherwise() -> None:
    for kind in ("gaussian-noise", "impulse-noise", "glass-blur", "motion-blur", "snow", "frost", "fog", "rain"):
        assert not np.array_equal(corrupted(kind, 3, person()), corrupted(kind, 3, person(), seed=SEED + 1)), kind


@pytest.mark.parametrize("kind", [kind for kind in RULES.visible if kind not in ("brightness", "saturate", "snow")])
def test_severer_is_farther_from_the_image(kind: str) -> None:
    image = person(size=(96, 48))
    apart = [np.abs(corrupted(kind, s, image).astype(float) - image).mean() for s in (1, 5)]
    assert apart[1] > apart[0] > 0


# ImageNet-C's constants by severity, and its operations written down again (Hendrycks and Dietterich 2019).
SCALES = {
    "gaussian-noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot-noise": (60, 25, 12, 5, 3),
    "speckle-noise": (0.15, 0.2, 0.35, 0.45, 0.6),
    "gaussian-blur": (1, 2, 3, 4, 6),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg-compression": (25, 18, 15, 10, 7),
    "defocus-blur": (3, 4, 6, 8, 10),
}


def defined(kind: str, scale: float, image: np.ndarray) -> np.ndarray:
    """The corruption of ``image`` in floats, 0 to 255."""
    x = image / 255.0
    draws = np.random.RandomState(SEED)
    if kind == "gaussian-noise":
        y = x + draws.normal(size=x.shape, scale=scale)
    elif kind == "shot-noise":
        y = draws.poisson(x * scale) / scale
    elif kind == "speckle-noise":
        y = x + x * draws.normal(size=x.shape, scale=scale)
    elif kind == "gaussian-blur":
        y = np.stack(
            [scipy.ndimage.gaussian_filter(x[..., c], scale, mode="nearest", truncate=4.0) for c in range(3)], axis=-1
        )
    elif kind == "contrast":
        mean = x.mean(axis=(0, 1), keepdims=True)
        y = (x - mean) * scale + mean
    elif kind == "brightness":
        # The value of HSV is the largest channel; hue and saturation stay, so that all channels are scaled alike.
        value = x.max(axis=-1, keepdims=True)
        y = x * np.clip(value + scale, 0, 1) / value
    elif kind == "pixelate":
        height, width = x.shape[:2]
        small = Image.fromarray(image).resize((int(width * scale), int(height * scale)), Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.NEAREST)).astype(float)
    elif kind == "jpeg-compression":
        held = io.BytesIO()
        Image.fromarray(image).save(held, "JPEG", quality=scale)
        return np.asarray(Image.open(held)).astype(float)
    else:
        assert kind == "defocus-blur"
        reach = max(8, int(scale))
        down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        disk = (down**2 + across**2 <= scale**2).astype(float)
        # The disk's rim is softened by so narrow a Gaussian that it hardly changes; the test allows for it.
        y = np.stack([scipy.ndimage.convolve(x[..., c], disk / disk.sum(), mode="mirror") for c in range(3)], axis=-1)
    return np.clip(y, 0, 1) * 255


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_against_its_definition(kind: str, severity: int) -> None:
    image = person(size=(64, 32))
    expected = defined(kind, SCALES[kind][severity - 1], image)
    found = corrupted(kind, severity, image).astype(float)
    # Fractions are cut off; blurs round their kernels.
    allowed = 3.0 if kind == "defocus-blur" else 1.01
    assert np.abs(found - expected).max() <= allowed
    assert np.abs(found - image).mean() > 1.0


@pytest.mark.parametrize("kind", imagenet_c.NOISE)
def test_noise_of_infrared_images_is_that_of_one_channel(kind: str) -> None:
    grey = np.asarray(Image.fromarray(person()).convert("L"))
    image = np.stack([grey] * 3, axis=-1)
    found = corrupted(kind, 3, image, "infrared")
    assert np.array_equal(found[..., 0], imagenet_c.corrupt(grey, kind, 3, SEED))
    if kind == "gaussian-noise":
        noisy = np.clip(grey / 255.0 + np.random.RandomState(SEED).normal(size=grey.shape, scale=0.18), 0, 1) * 255
        assert np.array_equal(found[..., 0], noisy.astype(np.uint8))


def slow_rain(image: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """Rain as its definition reads, pixel by pixel; lines by their longer side, as far as they are steep."""
    height, width = image.shape[:2]
    kind = {1: "drizzle", 2: "heavy", 3: "heavy", 4: "torrential", 5: "torrential"}[severity]
    number, length = {
        "drizzle": (height * width // 770, 10),
        "heavy": (height * width // 600, 30),
        "torrential": (height * width // 500, 60),
    }[kind]
    slant = math.trunc(generator.uniform(-10, 10))
    low, high = (slant, width) if slant < 0 else (0, width - slant)
    columns = [int(one) for one in generator.integers(low, high + 1, number)]
    rows = [int(one) for one in generator.integers(0, height - length + 1, number)]
    wet = image.astype(float).copy()
    for column, row in zip(columns, rows, strict=True):
        for step in range(length + 1):
            down, across = row + step, column + slant * step / length
            near = math.floor(across + 0.5)
            if 0 <= down < height and 0 <= near < width:
                wet[down, near] = 200.0
    size = 2 + severity
    # OpenCV's window of an even size reaches one pixel farther up and left.
    before, after = size // 2, size - 1 - size // 2
    padded = np.pad(wet, ((before, after), (before, after), (0, 0)), mode="reflect")
    out = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            mean = np.rint(padded[row : row + size, column : column + size].mean(axis=(0, 1)))
            out[row, column] = np.clip(mean - 255 * (0.05 + 0.05 * severity), 0, 255).astype(np.uint8)
    return out


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", [0, 3, 4])
def test_rain_against_its_definition(severity: int, seed: int) -> None:
    image = person(size=(96, 48))
    found = rain(image, severity, np.random.default_rng(seed))
    expected = slow_rain(image, severity, np.random.default_rng(seed))
    # A line that passes between two pixels may take either, so that a mean of few pixels may hold one more or less.
    differ = np.abs(found.astype(int) - expected) > 1
    assert differ.mean() < 0.05
    assert abs(found.astype(float).mean() - expected.astype(float).mean()) < 0.5


def test_rain_falls_on_images_that_are_lower_than_a_drop() -> None:
    image = person(size=(40, 24))
    assert rain(image, 5, np.random.default_rng(0)).shape == image.shape


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_occlusion_against_its_definition(severity: int) -> None:
    kinds = set()
    for seed in range(24):
        image, other = person(1, (64, 32)), person(2, (64, 32))
        image.flags.writeable = False
        found = occlude(image, severity, np.random.default_rng(seed), other)
        draws = np.random.default_rng(seed)
        share = (0.15, 0.30, 0.45)[severity - 1]
        pasted = bool(draws.integers(2))
        ratio = math.exp(draws.uniform(math.log(0.5), math.log(3.0)))
        ratio = min(max(ratio, share), 1 / share)
        rows, columns = round(64 * math.sqrt(share * ratio)), round(32 * math.sqrt(share / ratio))
        left = int(draws.integers(32 - columns + 1))
        top = 64 - rows if pasted else int(draws.integers(64 - rows + 1))
        expected = image.copy()
        for row in range(top, top + rows):
            for column in range(left, left + columns):
                if not pasted:
                    expected[row, column] = 0
        if pasted:
            # 90 % of the height and half of the width of somebody else, from the middle.
            middle = Image.fromarray(other[3:61, 8:24]).resize((columns, rows), Image.Resampling.BILINEAR)
            expected[top : top + rows, left : left + columns] = np.asarray(middle)
            assert np.array_equal(found, expected)
        else:
            colour = found[top, left]
            expected[top : top + rows, left : left + columns] = colour
            assert np.array_equal(found, expected)
        kinds.add(pasted)
        assert abs(rows * columns / (64 * 32) - share) < 0.06
    assert kinds == {True, False} and SHARES == (0.15, 0.30, 0.45)


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions.corruptions", None)
    (fog,), (occlusion,) = parse_corruptions("fog"), parse_corruptions("occlusion")
    with pytest.raises(UsageError, match=r"pip install 'vibench\[robustness\]'"):
        require_libraries(fog)
    require_libraries(occlusion)
    image = person()
    assert not np.array_equal(corrupted("occlusion", 2, image), image)
