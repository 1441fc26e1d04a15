"""Every method's training images against what its official code makes of them, image by image.

`SHEETS` holds the constants of the official codes (of the paper where there is none), typed here and not read from the
recipes; `augmented` carries them out one image at a time, with Pillow and plain arithmetic, in the order of the code.
A batch is a function of seed, epoch and step, so that its random numbers can be drawn a second time (`chances`) and
batches be equal to the pixel. What replayed numbers cannot show, that they are spread and independent as they should
be, the tests of distributions do; each says which wrong constant it notices.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

from vibench.data.augmentation import draw_augmentation, draw_rectangles
from vibench.data.loader import _CODES, TrainingLoader
from vibench.data.sampler import IdentitySampler
from vibench.data.sections import AugmentationRecipe, SamplerRecipe
from vibench.data.training_inputs import Heatmaps, TrainingInputs
from vibench.methods.recipe import load_recipe
from vibench.methods.sections import Recipe
from vibench.nn.torchvision_ops import import_torchvision
from vibench.runtime.randomness import generator


@dataclass(frozen=True)
class Erasing:
    """Random erasing of a normalised image."""

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    logarithmic: bool = False
    """Whether the logarithm of the aspect ratio is uniform, as in torchvision since 0.9, or the ratio."""
    attempts: int = 100
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In normalised space."""


@dataclass(frozen=True)
class Sheet:
    """What one official code does to a training image, of either modality unless it says otherwise."""

    size: tuple[int, int] = (288, 144)
    filter: str = "lanczos"
    pad: int = 10
    pad_colour: tuple[int, int, int] = (0, 0, 0)
    flip: float = 0.5
    flips_first: bool = False
    """Before the padding and not behind the crop."""
    grey: float = 0.0
    """Between padding and crop."""
    erasing: Erasing | None = None
    visible: tuple[str, ...] = ("colour",)
    """The channels of each visible view, a key of `CHANNELS`."""
    infrared: str = "colour"
    heatmap_erased: bool = False
    """By a rectangle of its own."""
    visible_grey: bool = False
    """Every visible image, in the epoch that is looked at."""
    jitter: tuple[float, float] | None = None
    """Of brightness and contrast, of one half of the infrared images."""
    blur: tuple[float, float] | None = None
    """Of the other half."""


CHANNELS = {
    "colour": {"as it is": 1.0},
    "exchanged": {"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3},
    # One of the channels in three quarters of the cases; of the others half turn grey.
    "mixed": {"as it is": 1 / 8, "red": 1 / 4, "green": 1 / 4, "blue": 1 / 4, "grey": 1 / 8},
}
"""What becomes of the channels, and how often."""

# mangye16/Cross-Modal-Re-ID-baseline, which most codes start from: pad, crop, flip and nothing else.
CODE_LINE = Sheet()
# ICCV21_CAJ of the same repository.
CAJ = Sheet(erasing=Erasing(fill=(0.4914, 0.4822, 0.4465)), visible=("colour", "exchanged"), infrared="mixed")
# ZYK100/LLCM, folder DEEN: larger rectangles on SYSU-MM01.
DEEN = Sheet(size=(384, 144), grey=0.5, erasing=Erasing(fill=(0.485, 0.456, 0.406)))
DEEN_SYSU = dataclasses.replace(DEEN, erasing=Erasing(area=(0.2, 0.8), fill=(0.485, 0.456, 0.406)))
# DoubtedSteam/MPANet with the torchvision 0.4.0 that it pins: the padding of "127" is (127, 0, 0) on colour images, and
# random erasing draws the aspect ratio itself.
MPANET = Sheet(
    size=(384, 128),
    filter="bilinear",
    pad_colour=(127, 0, 0),
    flips_first=True,
    erasing=Erasing(area=(0.02, 0.33), aspect=(0.3, 3.3), attempts=10),
)
MPANET_REGDB = dataclasses.replace(MPANET, size=(256, 128))
# Pose: the paper names crop, erasing and flip and no constants; yoqim/Pose_VIReID erases with the defaults of a
# torchvision that it does not name. Since 0.9 they draw the logarithm of the aspect ratio, before it the ratio.
TORCHVISION_ERASING = Erasing(area=(0.02, 0.33), aspect=(0.3, 3.3), logarithmic=True, attempts=10)
POSE = Sheet(erasing=TORCHVISION_ERASING)
POSE_CODE = Sheet(pad=0, erasing=TORCHVISION_ERASING, heatmap_erased=True)
# cm-SSFT and CAL have no official code; their papers name random erasing (cm-SSFT) or nothing (CAL).
WITHOUT_CODE = Sheet(erasing=Erasing())

# hulu88/PMT: neither padding nor crop; grey in the place of colour in the first six epochs.
PMT = Sheet(
    size=(256, 128),
    pad=0,
    erasing=Erasing(fill=(0.485, 0.456, 0.406)),
    visible_grey=True,
    jitter=(0.7, 1.3),
    blur=(0.1, 3.0),
)

_OF_THE_CODE_LINE = (
    "agw",
    "baseline",
    "ddag",
    "hct",
    "mmd",
    "paenet",
    "paenet:agw-pae-aal",
    "paenet:ddag-pae-aal",
    "paenet:hct-pae-aal",
    "cm-ssft:wo-aug",
)
SHEETS = {
    **{(name, dataset): CODE_LINE for name in _OF_THE_CODE_LINE for dataset in ("sysu-mm01", "regdb")},
    ("caj", "sysu-mm01"): CAJ,
    ("caj", "regdb"): CAJ,
    ("caj", "llcm"): CAJ,
    ("deen", "sysu-mm01"): DEEN_SYSU,
    ("deen", "regdb"): DEEN,
    ("deen", "llcm"): DEEN,
    ("mpanet", "sysu-mm01"): MPANET,
    ("mpanet", "regdb"): MPANET_REGDB,
    ("paenet:mpanet-pae-aal", "sysu-mm01"): MPANET,
    ("paenet:mpanet-pae-aal", "regdb"): MPANET_REGDB,
    ("pose", "sysu-mm01"): POSE,
    ("pose", "regdb"): POSE,
    ("pose:code", "sysu-mm01"): POSE_CODE,
    ("pose:code-regdb", "regdb"): dataclasses.replace(POSE_CODE, flip=0.0),
    ("cm-ssft", "sysu-mm01"): WITHOUT_CODE,
    ("cm-ssft", "regdb"): WITHOUT_CODE,
    ("cal", "sysu-mm01"): WITHOUT_CODE,
    ("cal", "regdb"): WITHOUT_CODE,
    ("pmt", "sysu-mm01"): PMT,
    ("pmt", "regdb"): PMT,
    ("pmt:base", "sysu-mm01"): dataclasses.replace(PMT, visible_grey=False),
    # ZYK100/LLCM, folder AGW.
    ("agw", "llcm"): Sheet(erasing=Erasing()),
    # vcl-iisc/MMD-ReID behind its flag --aug.
    ("mmd:erasing", "sysu-mm01"): Sheet(erasing=Erasing(fill=(0.485, 0.456, 0.406))),
}
"""By method, or method:variant, and data set."""

CASES = [pytest.param(name, dataset, id=f"{name}-{dataset}") for name, dataset in SHEETS]
# One case for each that differs in what is drawn.
DISTINCT = [case for i, case in enumerate(CASES) if SHEETS[case.values] not in list(SHEETS.values())[:i]]


def with_erasing(cases: list[Any]) -> list[Any]:
    return [case for case in cases if SHEETS[case.values].erasing is not None]


MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SEED, EPOCH = 5, 3
SAMPLER = SamplerRecipe(identities=3, images=3, batches_per_epoch=2)


def recipe_of(name: str, dataset: str) -> Recipe:
    method, _, variant = name.partition(":")
    return load_recipe(method, variant, dataset)


# The official pipelines, one image at a time.


@dataclass(frozen=True)
class Chance:
    """The random numbers of one image; the floats are uniform from 0 to 1."""

    top: int
    """First row of the crop in the padded image."""
    left: int
    flip: float
    area: np.ndarray
    """One for each attempt at a rectangle."""
    aspect: np.ndarray
    down: float
    right: float
    erase: float
    grey: float
    channels: float
    jitters: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    contrast_first: float = 0.0
    sigma: float = 0.0


def chances(sheet: Sheet, step: int, block: int) -> list[Chance]:
    """The random numbers of all images of batch ``step``, which has ``block`` images per view and modality.

    Drawn again in the order in which the loader draws them. Another order would change every run of a seed.
    """
    views = len(sheet.visible) + 1
    count = views * block
    random = generator(SEED, "augmentation", EPOCH, step)
    top, left = random.integers(0, 2 * sheet.pad + 1, size=(2, count))
    flip = random.random(count)
    area, aspect, (down, right), erase = _chances_of_rectangles(sheet.erasing, count, random)
    grey = generator(SEED, "greyscale", EPOCH, step).random(count)
    random = generator(SEED, "channels", EPOCH, step)
    # Behind each block's numbers come those for a probability of the operation, which is 1.
    channels = np.concatenate([random.random((2, block))[0] for _ in range(views)])
    random = generator(SEED, "distortion", EPOCH, step)
    distortion = np.zeros((5, count))
    if sheet.jitter is not None:
        drawn = (random.random(block), *random.random((2, block)), random.random(block), random.random(block))
        distortion[:, count - block :] = drawn
    columns = (top, left, flip, area, aspect, down, right, erase, grey, channels, *distortion)
    return [Chance(*of_image) for of_image in zip(*columns, strict=True)]


def _chances_of_rectangles(
    erasing: Erasing | None, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if erasing is None:
        return np.zeros((count, 0)), np.zeros((count, 0)), np.zeros((2, count)), np.ones(count)
    shape = (count, erasing.attempts)
    return random.random(shape), random.random(shape), random.random((2, count)), random.random(count)


def rectangle(erasing: Erasing, height: int, width: int, chance: Chance) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is erased, as Zhong et al. (AAAI 2020) draw it; zeros for nothing."""
    if chance.erase >= erasing.probability:
        return 0, 0, 0, 0
    for of_area, of_aspect in zip(chance.area, chance.aspect, strict=True):
        area = between(erasing.area, of_area) * height * width
        if erasing.logarithmic:
            low, high = erasing.aspect
            aspect = math.exp(between((math.log(low), math.log(high)), of_aspect))
        else:
            aspect = between(erasing.aspect, of_aspect)
        high, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if high < height and wide < width:
            return int(chance.down * (height - high + 1)), int(chance.right * (width - wide + 1)), high, wide
    return 0, 0, 0, 0


def between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def outcome(frequencies: dict[str, float], chance: float) -> str:
    for name, frequency in frequencies.items():
        chance -= frequency
        if chance < 0:
            return name
    return name


def distorted(image: Image.Image, sheet: Sheet, chance: Chance) -> Image.Image:
    """Jitter of brightness and contrast, or a blur, by torchvision's functions on images."""
    functions = import_torchvision().transforms.functional
    assert sheet.jitter is not None and sheet.blur is not None
    if chance.jitters >= 0.5:
        return functions.gaussian_blur(image, [21, 21], [between(sheet.blur, chance.sigma)] * 2)
    changes = [
        (functions.adjust_brightness, between(sheet.jitter, chance.brightness)),
        (functions.adjust_contrast, between(sheet.jitter, chance.contrast)),
    ]
    for change, factor in changes[::-1] if chance.contrast_first < 0.5 else changes:
        image = change(image, factor)
    return image


def augmented(
    picture: np.ndarray, sheet: Sheet, channels: str, chance: Chance, modality: str = "visible"
) -> np.ndarray:
    """The network's input (3, H, W) float64 from the resized ``picture`` (H, W, 3) uint8."""
    image = Image.fromarray(picture)
    width, height = image.size
    flips, left = chance.flip < sheet.flip, chance.left
    if flips and sheet.flips_first:
        image = ImageOps.mirror(image)
        # The crop of a mirrored image begins as far from its right edge.
        left = 2 * sheet.pad - left
    image = ImageOps.expand(image, sheet.pad, sheet.pad_colour)
    if chance.grey < sheet.grey:
        image = image.convert("L").convert("RGB")
    image = image.crop((left, chance.top, left + width, chance.top + height))
    if flips and not sheet.flips_first:
        image = ImageOps.mirror(image)
    if sheet.visible_grey and modality == "visible":
        image = image.convert("L").convert("RGB")
    if sheet.jitter is not None and modality == "infrared":
        image = distorted(image, sheet, chance)
    red, green, blue = np.moveaxis((np.asarray(image) / 255 - MEAN) / STD, 2, 0)
    if sheet.erasing is not None:
        top, first, high, wide = rectangle(sheet.erasing, height, width, chance)
        for channel, value in zip((red, green, blue), sheet.erasing.fill, strict=True):
            channel[top : top + high, first : first + wide] = value
    grey = 0.2989 * red + 0.5870 * green + 0.1140 * blue
    copied = {"red": red, "green": green, "blue": blue, "grey": grey}.get(outcome(CHANNELS[channels], chance.channels))
    return np.stack([red, green, blue] if copied is None else [copied] * 3)


# Equality to the pixel.


@lru_cache(maxsize=4)
def pictures(size: tuple[int, int]) -> np.ndarray:
    """36 images of random colours."""
    return np.random.default_rng(0).integers(0, 256, (36, *size, 3), dtype=np.uint8)


TRAINING = pd.DataFrame(
    {
        "pid": np.repeat([4, 9, 20, 31], 9),
        "camera": np.arange(36) % 6 + 1,
        "modality": ["visible", "infrared", "visible"] * 12,
    }
)
TRAINING["path"] = [f"{i}.jpg" for i in range(36)]
PLACES = np.random.default_rng(1).permutation(36)
"""Where in `pictures` the images of `TRAINING` lie."""


PLAN = IdentitySampler(TRAINING["pid"].to_numpy(), TRAINING["modality"].to_numpy(dtype=object), SAMPLER, SEED).epoch(
    EPOCH
)
BLOCK = SAMPLER.identities * SAMPLER.images


def loader_of(
    augmentation: AugmentationRecipe,
    images: np.ndarray,
    inputs: TrainingInputs | None = None,
    sampler: SamplerRecipe = SAMPLER,
) -> TrainingLoader:
    recipe = Recipe("m", "", "d", None, sampler=sampler, augmentation=augmentation)
    return TrainingLoader(images, PLACES, TRAINING, recipe, SEED, torch.device("cpu"), inputs)


@lru_cache(maxsize=4)
def official_batches(sheet: Sheet) -> list[np.ndarray]:
    """The images of every batch of `PLAN`, (B, 3, H, W) float32."""
    batches = []
    channels = [view for view in (*sheet.visible, sheet.infrared) for _ in range(BLOCK)]
    for step, (visible, infrared) in enumerate(PLAN):
        rows = [*visible] * len(sheet.visible) + [*infrared]
        modalities = ["visible"] * (len(rows) - BLOCK) + ["infrared"] * BLOCK
        of_images = zip(rows, channels, chances(sheet, step, BLOCK), modalities, strict=True)
        images = [augmented(pictures(sheet.size)[PLACES[row]], sheet, *rest) for row, *rest in of_images]
        batches.append(np.stack(images).astype(np.float32))
    return batches


@pytest.mark.parametrize(("name", "dataset"), CASES)
def test_the_input_is_prepared_as_in_the_official_code(name: str, dataset: str):
    sheet, recipe = SHEETS[name, dataset], recipe_of(name, dataset)
    assert (recipe.input.height, recipe.input.width) == sheet.size
    assert recipe.input.interpolation == sheet.filter


BLURRED = 2e-3
"""Share of pixels in which a blur may round to the next whole number: single precision sums in another order."""
LEVEL = 1.001 / 255 / min(STD)


@lru_cache(maxsize=64)
def furthest_pixel(augmentation: AugmentationRecipe, sheet: Sheet, there: bool) -> float:
    """The largest difference of a pixel of the loader's batches from `official_batches`, but for `BLURRED`."""
    loader = loader_of(augmentation, pictures(sheet.size))
    # As on a GPU, where whole images arrive and crop, flip and grey happen behind the copy.
    loader._augments_there = there
    furthest = 0.0
    for batch, expected in zip(loader.epoch(EPOCH), official_batches(sheet), strict=True):
        assert batch.images.shape == expected.shape
        apart = np.abs(batch.images.numpy() - expected)
        if sheet.blur is not None:
            rounded = (apart > 2e-6) & (apart < LEVEL)
            assert rounded.mean() < BLURRED and not rounded[: len(rounded) - BLOCK].any()
            apart[rounded] = 0.0
        furthest = max(furthest, float(apart.max()))
    return furthest


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("name", "dataset"), CASES)
def test_batches_are_what_the_official_code_makes_of_their_images(name: str, dataset: str, there: bool):
    # Single precision; a step of one in 255 is 0.017.
    assert furthest_pixel(recipe_of(name, dataset).augmentation, SHEETS[name, dataset], there) < 2e-6


@pytest.mark.parametrize(("name", "dataset"), with_erasing(CASES))
def test_rectangles_are_those_of_the_official_code(name: str, dataset: str):
    """Thousands of rectangles of equal random numbers: an aspect of up to 3.3 and one of up to 1 / 0.3 differ here."""
    sheet, recipe = SHEETS[name, dataset], recipe_of(name, dataset)
    count = 2000
    drawn = draw_rectangles(recipe.augmentation, count, *sheet.size, np.random.default_rng(2))
    area, aspect, (down, right), erase = _chances_of_rectangles(sheet.erasing, count, np.random.default_rng(2))
    for i, found in enumerate(drawn.tolist()):
        chance = Chance(0, 0, 0, area[i], aspect[i], down[i], right[i], erase[i], 0, 0)
        assert tuple(found) == rectangle(sheet.erasing, *sheet.size, chance)


@pytest.mark.parametrize(
    ("name", "dataset"), [("pose", "sysu-mm01"), ("pose:code", "sysu-mm01"), ("pose:code-regdb", "regdb")]
)
def test_heatmaps_follow_their_images_and_are_erased_as_the_official_code_does(name: str, dataset: str):
    """A heatmap has a cell for four pixels; what a crop takes from between two cells is interpolated linearly."""
    sheet, recipe = SHEETS[name, dataset], recipe_of(name, dataset)
    height, width = sheet.size
    maps = np.random.default_rng(3).integers(0, 256, (36, 1, height // 4, width // 4), dtype=np.uint8)
    inputs = TrainingInputs(heatmaps=Heatmaps(maps, np.ones(36, dtype=bool)))
    for step, batch in enumerate(loader_of(recipe.augmentation, pictures(sheet.size), inputs).epoch(EPOCH)):
        drawn = chances(sheet, step, BLOCK)
        own = generator(SEED, "heatmap erasing", EPOCH, step)
        area, aspect, (down, right), erase = _chances_of_rectangles(sheet.erasing, 2 * BLOCK, own)
        for i, row in enumerate(PLAN[step].ravel()):
            expected = cropped_heatmap(maps[row, 0] / 255, drawn[i].top - sheet.pad, drawn[i].left - sheet.pad)
            expected = expected[:, ::-1] if drawn[i].flip < sheet.flip else expected
            if sheet.heatmap_erased:
                chance = Chance(0, 0, 0, area[i], aspect[i], down[i], right[i], erase[i], 0, 0)
                expected = erased_heatmap(expected, rectangle(sheet.erasing, height, width, chance))
            np.testing.assert_allclose(batch.heatmaps[i, 0].numpy(), expected, rtol=0, atol=1e-6)


def cropped_heatmap(heatmap: np.ndarray, down: int, right: int) -> np.ndarray:
    """``heatmap`` (h, w) read ``down`` and ``right`` pixels further; beyond its edges it is zero."""
    margin = 4
    padded = np.pad(heatmap, margin)
    for axis, pixels in ((0, down), (1, right)):
        cells, quarters = divmod(pixels, 4)
        near, far = np.roll(padded, -cells, axis), np.roll(padded, -cells - 1, axis)
        padded = (4 - quarters) / 4 * near + quarters / 4 * far
    return padded[margin:-margin, margin:-margin]


def erased_heatmap(heatmap: np.ndarray, erased: tuple[int, int, int, int]) -> np.ndarray:
    """``heatmap`` without the cells whose centres lie in the rectangle, given in pixels of the image."""
    top, left, high, wide = erased
    out = heatmap.copy()
    for row in range(heatmap.shape[0]):
        for column in range(heatmap.shape[1]):
            if top <= 4 * row + 2 < top + high and left <= 4 * column + 2 < left + wide:
                out[row, column] = 0
    return out


# Distributions.

COUNT = 20000


def deviations(count: int, found: float, probability: float) -> float:
    """How many standard deviations the share ``found`` of ``count`` images lies off its ``probability``."""
    return abs(found - probability) / math.sqrt(max(probability * (1 - probability), 1e-9) / count)


@pytest.mark.parametrize(("name", "dataset"), DISTINCT)
def test_crops_and_flips_are_spread_as_in_the_official_code(name: str, dataset: str):
    """Notices a flip of 0.48 or 0.52, and a crop that misses a place, at either end or inside, or prefers one."""
    sheet, recipe = SHEETS[name, dataset], recipe_of(name, dataset)
    without_erasing = dataclasses.replace(recipe.augmentation, erasing=0.0)
    draw = draw_augmentation(without_erasing, COUNT, *sheet.size, np.random.default_rng(4))
    assert draw.pad == sheet.pad
    assert deviations(COUNT, draw.flip.mean(), sheet.flip) < 4
    places = 2 * sheet.pad + 1
    for start in (draw.top, draw.left):
        assert set(start.tolist()) == set(range(places))
    cells = np.bincount(draw.top * places + draw.left, minlength=places**2)
    assert len(cells) == places**2
    chi_squared_is_small(cells, COUNT / places**2)


def chi_squared_is_small(counts: np.ndarray, expected: float) -> None:
    """Chi-squared within four and a half standard deviations (normal approximation) of its degrees of freedom."""
    freedom = counts.size - 1
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert statistic <= freedom + 4.5 * math.sqrt(2 * freedom) + 4


@lru_cache(maxsize=32)
def expected_rectangle(erasing: Erasing, size: tuple[int, int]) -> tuple[float, np.ndarray, np.ndarray]:
    """How often a rectangle is erased, and mean and deviation of its height, width and share of the image.

    By quadrature: pixels 118.6 by 69.8 for CAJ, 118.7 by 67.7 for MPANet, and 89.0 by 77.3 for Pose, whose aspect is
    that of MPANet in its logarithm.
    """
    height, width = size
    shares = (np.arange(1000) + 0.5) / 1000
    area = (erasing.area[0] + (erasing.area[1] - erasing.area[0]) * shares)[:, None] * height * width
    low, high = erasing.aspect
    aspect = low * (high / low) ** shares if erasing.logarithmic else low + (high - low) * shares
    tall, wide = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (tall < height) & (wide < width)
    values = np.stack([tall[fits], wide[fits], (tall * wide)[fits] / (height * width)])
    frequency = erasing.probability * (1 - (1 - fits.mean()) ** erasing.attempts)
    return frequency, values.mean(axis=1), values.std(axis=1)


def complaints(drawn: np.ndarray, erasing: Erasing, size: tuple[int, int]) -> set[str]:
    """What in ``drawn`` (N, 4), rectangles of images of that ``size``, is not spread as ``erasing`` says."""
    height, width = size
    frequency, mean, deviation = expected_rectangle(erasing, size)
    top, left, high, wide = drawn[drawn[:, 2] > 0].T
    found = np.stack([high, wide, high * wide / (height * width)])
    error = np.abs(found.mean(axis=1) - mean) / (deviation / math.sqrt(len(high)))
    wrong = {what for what, off in zip(("height", "width", "area"), error, strict=True) if off > 4.5}
    if deviations(len(drawn), (drawn[:, 2] > 0).mean(), frequency) > 4.5:
        wrong.add("frequency")
    # From the first to the last row and column where the rectangle fits, and as often anywhere between.
    for start, length, whole in ((top, high, height), (left, wide, width)):
        share = (start + 0.5) / (whole - length + 1)
        if abs(share.mean() - 0.5) * math.sqrt(12 * len(share)) > 4.5:
            wrong.add("place")
        if start.min() != 0 or (start + length).max() != whole:
            wrong.add("edges")
    return wrong


@pytest.mark.parametrize(("name", "dataset"), with_erasing(DISTINCT))
def test_rectangles_are_spread_as_in_the_official_code(name: str, dataset: str):
    sheet, recipe = SHEETS[name, dataset], recipe_of(name, dataset)
    drawn = draw_rectangles(recipe.augmentation, COUNT // 2, *sheet.size, np.random.default_rng(6))
    assert complaints(drawn, sheet.erasing, sheet.size) == set()


WRONG = [
    # A wrong constant, and the bounds that it is to violate.
    ("erasing", 0.4, {"frequency"}),
    ("erasing", 0.55, {"frequency"}),
    ("erasing_area", (0.02, 0.33), {"area", "height", "width"}),
    ("erasing_area", (0.04, 0.4), {"area"}),
    ("erasing_area", (0.2, 0.8), {"area", "height", "width"}),
    ("erasing_aspect_scale", "log", {"height", "width"}),
    ("erasing_aspect", (0.5, 2.0), {"height", "width"}),
    ("erasing_aspect", (0.3, 3.0), {"height"}),
    ("erasing_attempts", 1, {"frequency"}),
]


@pytest.mark.parametrize(("key", "value", "bounds"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_the_bounds_on_rectangles_notice_a_wrong_constant(key: str, value: object, bounds: set[str]):
    sheet = CAJ
    recipe = dataclasses.replace(recipe_of("caj", "sysu-mm01").augmentation, **{key: value})
    drawn = draw_rectangles(recipe, COUNT // 2, *sheet.size, np.random.default_rng(6))
    assert bounds <= complaints(drawn, sheet.erasing, sheet.size)


def test_the_bounds_notice_an_aspect_of_width_by_height():
    recipe = recipe_of("caj", "sysu-mm01").augmentation
    drawn = draw_rectangles(recipe, COUNT // 2, 144, 288, np.random.default_rng(6))[:, [1, 0, 3, 2]]
    assert {"height", "width"} <= complaints(drawn, CAJ.erasing, CAJ.size)


@lru_cache(maxsize=32)
def drawn_by(augmentation: AugmentationRecipe) -> dict[str, np.ndarray]:
    """What the loader draws, by quantity: (views and modalities, batches, images of a block)."""
    batches = 250
    # Tiny images, since only the numbers count here.
    images = np.zeros((36, 48, 24, 3), dtype=np.uint8)
    loader = loader_of(augmentation, images, sampler=SamplerRecipe(4, 4, batches_per_epoch=batches))
    plan = loader._sampler.epoch(EPOCH)
    codes = np.stack([loader._host_batch(plan[step], EPOCH, step).codes.numpy() for step in range(batches)], axis=1)
    rows = dict(zip((*_CODES, "erased top", "erased left", "erased height", "erased width"), codes, strict=True))
    rows["erased area"] = rows["erased height"] * rows["erased width"]
    blocks = len(augmentation.visible_views) + 1
    return {name: row.reshape(batches, blocks, -1).swapaxes(0, 1) for name, row in rows.items()}


@pytest.mark.parametrize(("name", "dataset"), DISTINCT)
def test_grey_images_and_channels_are_as_frequent_as_in_the_official_code(name: str, dataset: str):
    """Notices grey images in 0.45 or 0.55 of the cases, and an exchange that leaves every fourth image as it is."""
    sheet = SHEETS[name, dataset]
    drawn = drawn_by(recipe_of(name, dataset).augmentation)
    assert len(drawn["grey"]) == len(sheet.visible) + 1
    for block, kind in enumerate((*sheet.visible, sheet.infrared)):
        count = drawn["grey"][block].size
        always = sheet.visible_grey and block < len(sheet.visible)
        assert deviations(count, drawn["grey"][block].mean(), 1.0 if always else sheet.grey) < 4
        for code, what in enumerate(("as it is", "red", "green", "blue", "grey")):
            found = (drawn["channels"][block] == code).mean()
            assert deviations(count, found, CHANNELS[kind].get(what, 0.0)) < 4


@pytest.mark.parametrize(("name", "dataset"), DISTINCT)
def test_everything_is_drawn_for_each_image_on_its_own(name: str, dataset: str):
    """Whatever is drawn varies freely between views and modalities, images of a block, batches and quantities.

    Notices visible and infrared images, or two views of one image, that are drawn by the same random numbers, draws
    per batch and not per image, and generators that share a seed.
    """
    drawn = drawn_by(recipe_of(name, dataset).augmentation)
    series = {
        (what, block): values.astype(float)
        for what in ("top", "left", "flip", "grey", "channels", "erased area")
        for block, values in enumerate(drawn[what])
        if np.ptp(values)
    }
    if not series:
        pytest.skip("nothing is drawn")
    # Each against the others, and against all of the image before it in the block and of the batch before.
    now, *before = (
        np.stack([np.roll(values, shift, (0, 1)).ravel() for values in series.values()])
        for shift in ((0, 0), (0, 1), (1, 0))
    )
    table = np.corrcoef(np.concatenate([now, *before]))[: len(series)]
    np.fill_diagonal(table, 0.0)
    one, other = np.unravel_index(np.abs(table).argmax(), table.shape)
    names = list(series)
    assert abs(table[one, other]) < 5 / math.sqrt(now.shape[1]), (names[one], names[other % len(names)])
