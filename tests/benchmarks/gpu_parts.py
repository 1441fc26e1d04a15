"""The parts of `tests.benchmarks.gpu_check`: each is a generator of figures, most important first."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.benchmarks.evaluation import DRAWS, SUITE, random_permutations, sysu_like_features
from tests.benchmarks.gallery_growth import IMAGES as IMAGES_OF_PERSON
from tests.benchmarks.regdb_splits import DIRECTIONS, regdb_like_features
from tests.benchmarks.target import Target, cpu_hardware
from tests.benchmarks.timing import timed
from tests.benchmarks.training import IDENTITIES, OurPipeline, ReferenceDataset, ReferencePipeline, write_images
from tests.benchmarks.training_step import SHAPES, Step, Work
from tests.methods.built_in import BUILT_IN
from vibench.data.cache import ImageCache
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.result import METRICS, Evaluation
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, get_method
from vibench.methods.sections import Recipe
from vibench.methods.slim import backbone_among
from vibench.modality import CODE, MODALITIES
from vibench.nn.backbone import SLIM
from vibench.nn.torchvision_ops import import_torchvision
from vibench.profiling.measure import profile_method
from vibench.profiling.profile import write_profile
from vibench.protocols import load_protocol
from vibench.runtime.devices import Precision
from vibench.runtime.fastest import fastest_amp
from vibench.scoring.extraction import extract_features

REPOSITORY = Path(__file__).resolve().parents[2]
METHODS = ("baseline", "agw", "ddag", "cm-ssft")
ROOMS = (
    "evaluation",
    "scoring",
    "data",
    "training",
    "methods",
    "runtime",
    "profiling",
    "distributed",
    "test_compiled.py",
)
"""Whose tests ask for a GPU, most important first."""
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Scale:
    """Sizes of everything."""

    backbones: tuple[str, str]
    """Of ResNets and of transformers."""
    height: int
    width: int
    people: int
    """P; four images of each in either modality."""
    steps: int
    """Of training, that are timed together."""
    images: int
    """That are extracted."""
    suite: tuple[str, ...]
    """Protocols of SYSU-MM01."""
    dimensions: int
    """Of features that are ranked."""
    queries: int
    gallery: int
    workers: int
    """Of the reference pipeline; 0: it loads its images itself."""
    seconds: float
    """Of a single timing of a profile."""
    rooms: tuple[str, ...] = ROOMS

    @property
    def batch(self) -> int:
        return 8 * self.people

    @property
    def network(self) -> str:
        return f"{self.backbones[0]} {self.height}x{self.width}, batch {self.batch}"

    def recipe(self, method: str) -> Recipe:
        settings = (
            f"model.backbone={backbone_among(get_method(method).options, self.backbones)}",
            f"input.height={self.height}",
            f"input.width={self.width}",
            f"sampler.identities={self.people}",
            "sampler.images=4",
            f"sampler.batches_per_epoch={self.steps}",
        )
        return load_recipe(method, overrides=settings)


ON_GPU = Scale(("resnet50", "vit-b-16"), 288, 144, 8, 20, 4096, SUITE, 2048, 10_000, 100_000, 4, 0.2)
ON_CPU = Scale(SLIM, 64, 32, 2, 2, 32, ("sysu-indoor",), 16, 40, 400, 0, 0.01, ROOMS[:1])


@dataclass(frozen=True)
class Context:
    """What a part is told."""

    name: str
    """Of the device."""
    scale: Scale
    out: str
    before: tuple[Target, ...]
    """The figures of the parts before."""

    @property
    def device(self) -> torch.device:
        return torch.device(self.name)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def hardware(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.on_gpu else cpu_hardware(torch.get_num_threads())

    def precisions(self) -> list[Precision]:
        """Float32 as it is, float32 as GPUs since Ampere may round it, and the fastest."""
        names = ["fp32", "tf32", "bf16"] if self.on_gpu else ["fp32", "bf16"]
        return [Precision(name, self.device.type) for name in names]

    def ways(self) -> list[tuple[Precision, bool]]:
        """Precisions, eager and compiled; eager ones first, because compiling takes its time."""
        return [(precision, compiled) for compiled in (False, True) for precision in self.precisions()]

    def peak_mebibytes(self) -> str:
        """Of the allocator since it was last asked."""
        if not self.on_gpu:
            return ""
        peak = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return f", peak {peak / MEBIBYTE:.0f} MiB"


def tests(context: Context) -> Iterator[Target]:
    """The tests marked gpu, told one by one."""
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-vv", "-p", "no:cacheprovider", "--tb=line"]
    places = [f"tests/{room}" for room in context.scale.rooms]
    counts = dict.fromkeys(("PASSED", "FAILED", "ERROR", "SKIPPED"), 0)
    broken: list[str] = []
    with subprocess.Popen([*words, *places], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            name, _, status = line.strip().partition(" ")
            word = status.split(" ")[0]
            if "::" not in name or word not in counts:
                continue
            counts[word] += 1
            if word in ("FAILED", "ERROR"):
                broken.append(name)
            note = f"{counts['PASSED']} passed, {counts['SKIPPED']} skipped"
            note += "".join(f"; {one}" for one in broken)
            yield Target("tests marked gpu that failed", len(broken), "tests", context.hardware, at_most=0, note=note)


def _difference(one: Sequence[Evaluation], other: Sequence[Evaluation]) -> float:
    """The largest between two scores of one trial."""
    return max(
        abs(getattr(here, name) - getattr(there, name))
        for mine, theirs in zip(one, other, strict=True)
        for here, there in zip(mine.trials, theirs.trials, strict=True)
        for name in METRICS
    )


def _suites(scale: Scale) -> dict[str, Callable[..., list[Evaluation]]]:
    """Evaluations that are asked of the CPU as well."""
    sysu = partial(
        evaluate_features,
        sysu_like_features(scale.dimensions),
        [load_protocol(name) for name in scale.suite],
        draw=DRAWS,
        permutations=random_permutations(),
    )
    regdb = partial(
        evaluate_features, regdb_like_features(scale.dimensions), [load_protocol(name) for name in DIRECTIONS]
    )
    return {
        f"RegDB, one split, both directions, {scale.dimensions}-d": regdb,
        f"SYSU-MM01 suite, both draws, {20 * len(scale.suite)} trials, {scale.dimensions}-d": sysu,
    }


def equality(context: Context) -> Iterator[Target]:
    """Metrics and embeddings of the device beside those of the CPU."""
    for what, suite in _suites(context.scale).items():
        difference = _difference(suite(device=context.name), suite())
        yield Target(f"largest difference of a score from the CPU's, {what}", difference, "", context.hardware, 1e-9)
    precision = Precision("fp32", context.device.type)
    for name in BUILT_IN:
        torch.manual_seed(0)
        method = build_method(context.scale.recipe(name), num_classes=IDENTITIES).eval()
        images = torch.randn(8, 3, context.scale.height, context.scale.width)
        with torch.inference_mode(), precision.float32_products():
            here = {modality: method.embed(images, modality)["embedding"] for modality in MODALITIES}
            method.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            there = images.to(context.device)
            differences = [
                (method.embed(there, modality)["embedding"].cpu() - expected).abs().max().item()
                for modality, expected in here.items()
            ]
        yield Target(
            f"largest difference of an embedding from the CPU's, {name}", max(differences), "", context.hardware, 1e-4
        )


def evaluation(context: Context) -> Iterator[Target]:
    """Seconds of evaluations."""
    scale = context.scale
    generator = np.random.default_rng(0)
    people = scale.gallery // IMAGES_OF_PERSON
    pids = np.concatenate([np.arange(scale.queries) % people, np.arange(scale.gallery) // IMAGES_OF_PERSON])
    modalities = np.repeat(["visible", "infrared"], [scale.queries, scale.gallery])
    values = generator.standard_normal((len(pids), 512), dtype=np.float32)
    large = Features(values, None, pids, np.where(modalities == "visible", 1, 2), modalities)
    work = _suites(scale) | {
        f"{scale.queries:,} queries in a gallery of {scale.gallery:,}, 512-d": partial(
            evaluate_features, large, [load_protocol("regdb-v2t")], dataset="regdb-twin"
        )
    }
    for what, suite in work.items():
        first = timed(partial(suite, device=context.name), 1, context.name).seconds
        best = timed(partial(suite, device=context.name), 3, context.name).seconds
        note = f"the first time {first:.2f} s{context.peak_mebibytes()}"
        goal = 0.3 if "suite" in what else None
        yield Target(what, best, "s", context.hardware, at_most=goal, note=note)


@dataclass(frozen=True)
class _Data:
    folder: Path
    index: pd.DataFrame
    pixels: np.ndarray


def _data(scale: Scale, folder: Path) -> _Data:
    """Image files, and what a cache makes of them."""
    # So that it is there when workers of the reference are forked, for each epoch anew.
    import_torchvision()
    index = write_images(folder)
    size = (scale.width, scale.height)
    pixels = [np.asarray(Image.open(folder / path).resize(size, Image.Resampling.LANCZOS)) for path in index["path"]]
    return _Data(folder, index, np.stack(pixels))


def _train(pipeline: Any, precision: Precision) -> float:
    """Images per second of the second epoch."""
    with precision.float32_products():
        pipeline.turn()
        return pipeline.turn().images_per_second


def training(context: Context) -> Iterator[Target]:
    """Images per second of the trainer of ``vibench train``, beside the plain reference in float32."""
    scale = context.scale
    with tempfile.TemporaryDirectory() as name:
        data = _data(scale, Path(name))
        references: dict[str, float] = {}
        for precision, compiled in context.ways():
            for method in METHODS:
                recipe = scale.recipe(method)
                if method not in references:
                    plain = ReferencePipeline(data.folder, data.index, recipe, context.device, scale.workers)
                    references[method] = _train(plain, Precision("fp32", context.device.type))
                    del plain
                    context.peak_mebibytes()
                ours = OurPipeline(data.pixels, data.index, recipe, context.device, precision, compiled)
                rate, beside = _train(ours, precision), references[method]
                del ours
                best = precision.name == fastest_amp(context.device) and not compiled
                yield Target(
                    f"training {method}, {scale.network}, {_way(precision, compiled)}",
                    rate,
                    "images/s",
                    context.hardware,
                    at_least=3 * beside if best else None,
                    reference=f"{beside:.0f} images/s in fp32 and {scale.workers} workers ({rate / beside:.1f} x)",
                    note=context.peak_mebibytes().removeprefix(", "),
                )


def _way(precision: Precision, compiled: bool) -> str:
    return precision.name + (", compiled" if compiled else "")


def _network(scale: Scale, name: str, device: torch.device) -> Method:
    torch.manual_seed(0)
    method = build_method(scale.recipe(name), num_classes=IDENTITIES)
    return method.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _reference_extraction(method: Method, context: Context, data: _Data) -> float:
    """Images per second of files that are decoded one by one in workers, and embedded in float32."""
    dataset = ReferenceDataset(data.folder, data.index, context.scale.recipe(method.name))
    rows = [[place for place in range(len(dataset)) if dataset.samples[place][2] == name] * 4 for name in MODALITIES]
    size = context.scale.batch
    batches = [one[start : start + size] for one in rows for start in range(0, len(one), size)]
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=context.scale.workers, pin_memory=context.on_gpu)
    names = {code: modality for modality, code in CODE.items()}

    def pass_over() -> None:
        with torch.inference_mode():
            for images, _, modality in loader:
                method.embed(images.to(context.device), names[int(modality[0])])["embedding"].cpu()

    return sum(map(len, rows)) / timed(pass_over).seconds


def extraction(context: Context) -> Iterator[Target]:
    """Images per second from cached pixels to features on the host."""
    scale = context.scale
    with tempfile.TemporaryDirectory() as name:
        data = _data(scale, Path(name))
        places = np.resize(np.arange(len(data.index)), scale.images)
        index = data.index.iloc[places].assign(path=[f"{place}.jpg" for place in range(scale.images)])
        cache = ImageCache(Path("noise"), data.pixels[places], index, "", "made", ())
        references: dict[str, float] = {}
        for precision, compiled in context.ways():
            for method in METHODS:
                network = _network(scale, method, context.device)
                if method not in references:
                    references[method] = _reference_extraction(network, context, data)
                context.peak_mebibytes()
                with precision.float32_products():
                    rate = extract_features(
                        network,
                        cache,
                        index,
                        device=context.device,
                        precision=precision,
                        compiled=compiled,
                        batch_size=scale.batch,
                    ).images_per_second
                beside = references[method]
                yield Target(
                    f"extraction {method}, {scale.network}, {_way(precision, compiled)}",
                    rate,
                    "images/s",
                    context.hardware,
                    reference=f"{beside:.0f} images/s in fp32 and {scale.workers} workers ({rate / beside:.1f} x)",
                    note=context.peak_mebibytes().removeprefix(", "),
                )


def profiles(context: Context) -> Iterator[Target]:
    """What `vibench profile` finds of every method, in the precision of its recipe."""
    folder = Path(context.out) / "profiles"
    for name in BUILT_IN:
        recipe = context.scale.recipe(name)
        wanted = recipe.optimizer.precision if context.on_gpu else "fp32"
        profile = profile_method(
            build_method(recipe, num_classes=395),
            context.device,
            Precision(wanted, context.device.type),
            seconds=context.scale.seconds,
            largest_batch=256 if context.on_gpu else 2,
            galleries=(1_000, 10_000) if context.on_gpu else (100,),
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_profile(folder / f"{name}.json", profile)
        assert profile.embedding is not None and profile.training is not None
        fastest = profile.embedding.fastest
        yield Target(
            f"profile of {name}, {profile.precision}: embedding",
            fastest.images_per_second,
            "images/s",
            context.hardware,
            note=f"in batches of {fastest.images}; training step of {profile.training.images} images "
            f"{profile.training.milliseconds:.1f} ms; matching "
            + ", ".join(f"{one.query_mode} {one.typical.duration.median:.1f} ms" for one in profile.matching),
        )


def slowest_method(before: Sequence[Target]) -> str:
    """That of the slowest eager training among the figures ``before``."""
    rates = {
        one.what.split(" ")[1].rstrip(","): one.measured or 0.0
        for one in before
        if one.what.startswith("training ") and not one.what.endswith(", compiled")
    }
    return min(rates, key=rates.__getitem__, default="cm-ssft")


def trace(context: Context) -> Iterator[Target]:
    """Where the time of the slowest training step goes; the whole of it for chrome://tracing."""
    slowest = slowest_method(context.before)
    step = Step(Work(slowest, shapes="real" if context.on_gpu else "small", whole=True, device=context.name))
    for _ in range(3):
        step.run()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if context.on_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        step.milliseconds()
    plain, packed = Path(context.out) / "trace.json", Path(context.out) / "trace.json.gz"
    profile.export_chrome_trace(str(plain))
    with plain.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    plain.unlink()
    rows = profile.key_averages()

    def milliseconds(row: Any) -> float:
        return (row.self_device_time_total if context.on_gpu else row.self_cpu_time_total) / 1000

    total = sum(map(milliseconds, rows))
    backbone, height, width = SHAPES["real" if context.on_gpu else "small"]
    for row in sorted(rows, key=milliseconds, reverse=True)[:8]:
        yield Target(
            f"of a step of {slowest}, {backbone} {height}x{width}, fp32, within {row.key[:80]}",
            milliseconds(row),
            "ms",
            context.hardware,
            note=f"{row.count} times; {100 * milliseconds(row) / total:.0f} % of {total:.1f} ms; {packed.name}",
        )


PARTS: dict[str, Callable[[Context], Iterator[Target]]] = {
    "tests": tests,
    "equality": equality,
    "evaluation": evaluation,
    "training": training,
    "extraction": extraction,
    "profiles": profiles,
    "trace": trace,
}
"""In the order of importance."""
