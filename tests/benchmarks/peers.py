"""vibench's evaluator beside others, on the same features in the same run: ``python -m tests.benchmarks.peers``.

    python -m tests.benchmarks.peers [--quick] [--only SETTING ...] [--evaluator NAME ...] [--markdown FILE]

Every contestant runs in a process of its own that is sent the settings one after the other, so that peak memory is its
own, and the contestants take turns: what counts is the least of the repetitions, in processor seconds where a machine
has other work. The ratio is to the float32 matrix product alone. Beside the packages of the extra ``peers`` there are
three rebuilt from their definitions: a plain NumPy loop, the AGW line's evaluator (the whole distance matrix sorted,
then a loop over queries), and a compiled loop over float32 rankings as in fast-reid (numba).

A contestant that cannot express a protocol says why. Where one gives a mean average precision, it must be vibench's to
three decimals: theirs are in float32.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.evaluation import DRAWS, SUITE, random_permutations, sysu_like_features
from vibench.datasets.registry import get_dataset
from vibench.evaluation.draws import Trial, draw_trials
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, identify
from vibench.files.writing import write_text
from vibench.nn.torchvision_ops import import_torchvision
from vibench.protocols import Protocol, load_protocol
from vibench.runtime.environment import cpu_model

PRODUCT_ROWS = 1024
TOLERANCE = 2e-3


class CannotExpress(Exception):
    """Why a contestant does not measure what a setting asks for."""


@dataclass(frozen=True)
class Setting:
    """Features and the protocols that rank them."""

    features: Features
    protocols: tuple[Protocol, ...]
    dataset: str
    draws: tuple[str, ...] = ("seeded",)

    @property
    def single(self) -> bool:
        """One gallery, nothing skipped."""
        return len(self.protocols) == 1 and self.protocols[0].draws == ("none",)

    def trials(self) -> Iterator[tuple[Protocol, Trial, Images]]:
        images = identify(self.features, get_dataset(self.dataset))
        for protocol in self.protocols:
            for draw in dict.fromkeys(protocol.resolve_draw(one) for one in self.draws):
                permutations = random_permutations() if draw == "official" else None
                for trial in draw_trials(protocol, images, draw, permutations):
                    yield protocol, trial, images


def one_gallery(queries: int, gallery: int, width: int, identities: int) -> Setting:
    """Random features of so many images each, images of one identity alike."""
    generator = np.random.default_rng(0)
    pids = np.concatenate([np.arange(queries) % identities, np.arange(gallery) % identities])
    modalities = np.repeat(["visible", "infrared"], [queries, gallery])
    values = generator.standard_normal((len(pids), width), dtype=np.float32)
    values += 0.3 * generator.standard_normal((identities, width), dtype=np.float32)[pids]
    features = Features(values, None, pids, np.where(modalities == "visible", 1, 2), modalities)
    return Setting(features, (load_protocol("regdb-v2t"),), "regdb-twin")


def sysu(names: Sequence[str], width: int) -> Setting:
    return Setting(sysu_like_features(width), tuple(map(load_protocol, names)), "sysu-mm01-twin", DRAWS)


def llcm(width: int) -> Setting:
    """Of 351 people, like LLCM's test split; one image drawn per identity and camera."""
    generator = np.random.default_rng(0)
    names, pids = [], []
    for pid in range(1, 352):
        for kind in ("nir", "vis"):
            for camera in (1, 2, 4, 5, 7):
                names += [f"test_{kind}/cam{camera}/{pid:04d}/{shot:04d}.jpg" for shot in range(1, 5)]
                pids += [pid] * 4
    codes = np.array(pids)
    values = generator.standard_normal((len(names), width), dtype=np.float32)
    values += 0.3 * generator.standard_normal((352, width), dtype=np.float32)[codes]
    return Setting(Features(values, tuple(names)), (load_protocol("llcm-i2v"),), "llcm")


SETTINGS: dict[str, Callable[[bool], Setting]] = {
    "SYSU-MM01 single, 2048-d": lambda quick: sysu(SUITE[::2], 64 if quick else 2048),
    "SYSU-MM01 multi, 2048-d": lambda quick: sysu(SUITE[1::2], 64 if quick else 2048),
    "RegDB, one split, 2048-d": lambda quick: one_gallery(2060, 2060, 64 if quick else 2048, 206),
    "LLCM, 2048-d": lambda quick: llcm(64 if quick else 2048),
    "3,368 x 15,913, 512-d": lambda quick: one_gallery(*((300, 1500, 64, 75) if quick else (3368, 15913, 512, 751))),
    "10,000 x 100,000, 256-d": lambda quick: one_gallery(
        *((500, 5000, 64, 500) if quick else (10_000, 100_000, 256, 10_000))
    ),
}


def product(setting: Setting) -> float | None:
    """The float32 products alone, of what vibench multiplies: all queries and all gallery images, once."""
    images = identify(setting.features, get_dataset(setting.dataset))
    query = torch.from_numpy(setting.features.features[images.modalities == setting.protocols[0].query.modality])
    gallery = torch.from_numpy(setting.features.features[images.modalities == setting.protocols[0].gallery.modality])
    for part in query.split(PRODUCT_ROWS):
        part @ gallery.T
    return None


def ours(setting: Setting) -> float:
    permutations = random_permutations() if "official" in setting.protocols[0].draws else None
    found = evaluate_features(
        setting.features,
        setting.protocols,
        dataset=setting.dataset,
        draw=setting.draws,
        permutations=permutations,
        allow_incomplete=True,
    )
    return float(np.mean([one.mean["map"] for one in found]))


def _unit(features: Features) -> np.ndarray:
    return features.features / np.linalg.norm(features.features, axis=1, keepdims=True)


def _average_precision(matches: np.ndarray) -> float:
    return float(np.mean(np.arange(1, len(matches) + 1) / (matches + 1)))


def numpy_loop(setting: Setting) -> float:
    """One similarity row, one sort, one query at a time."""
    unit, means = _unit(setting.features), []
    for protocol, trial, images in setting.trials():
        gallery, pids, cameras = unit[trial.gallery], images.pids[trial.gallery], images.cameras[trial.gallery]
        found = []
        for query in trial.query:
            order = np.argsort(-(gallery @ unit[query]), kind="stable")
            order = order[~_skipped(protocol, images, query, pids[order], cameras[order])]
            matches = np.flatnonzero(pids[order] == images.pids[query])
            if len(matches):
                found.append(_average_precision(matches))
                _first_hit = len(np.unique(pids[order][: matches[0]])) + 1
        means.append(np.mean(found))
    return float(np.mean(means))


def _skipped(protocol: Protocol, images: Images, query: int, pids: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    skipped = np.zeros(len(pids), dtype=bool)
    for one, other in protocol.skip.cameras:
        if images.cameras[query] == one:
            skipped |= cameras == other
    return skipped & (pids == images.pids[query]) if protocol.skip.identities == "same" else skipped


def agw_line(setting: Setting) -> float:
    """All distances at once, all rows sorted, then per query the CMC of distinct identities, AP and INP."""
    unit, means = _unit(setting.features), []
    for protocol, trial, images in setting.trials():
        distances = -(unit[trial.query] @ unit[trial.gallery].T)
        ranked = np.argsort(distances, axis=1)
        pids, cameras = images.pids[trial.gallery], images.cameras[trial.gallery]
        curves, precisions, penalties = [], [], []
        for row, query in enumerate(trial.query):
            order = ranked[row]
            order = order[~_skipped(protocol, images, query, pids[order], cameras[order])]
            hits = (pids[order] == images.pids[query]).astype(np.int32)
            if not hits.any():
                continue
            if protocol.cmc == "unique":
                firsts = np.sort(np.unique(pids[order], return_index=True)[1])
                curves.append(np.cumsum(pids[order][firsts] == images.pids[query])[:20] > 0)
            else:
                curves.append(np.cumsum(hits)[:20] > 0)
            counts = np.cumsum(hits)
            penalties.append(counts.max() / (np.flatnonzero(hits).max() + 1))
            precisions.append((counts / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
        means.append(np.mean(precisions))
    return float(np.mean(means))


@cache
def _compiled() -> Callable[[np.ndarray, np.ndarray, np.ndarray], float]:
    import numba

    @numba.njit
    def mean_precision(ranked: np.ndarray, asked: np.ndarray, answers: np.ndarray) -> float:
        total = 0.0
        for row in range(len(ranked)):
            hits, summed, last = 0, 0.0, 0
            for place in range(ranked.shape[1]):
                if answers[ranked[row, place]] == asked[row]:
                    hits += 1
                    last = place + 1
                    summed += hits / last
            total += summed / max(hits, 1)
        return total / len(ranked)

    return mean_precision  # type: ignore[no-any-return]


def compiled_float32(setting: Setting) -> float:
    """float32 distances, NumPy's sort of all rows, a compiled loop: AP and INP of one gallery."""
    _single(setting, "it ranks one gallery from which nothing is skipped but by camera and identity")
    ((_, trial, images),) = setting.trials()
    unit, compiled = _unit(setting.features), _compiled()
    gallery, answers, means = unit[trial.gallery], images.pids[trial.gallery], []
    for part in np.array_split(trial.query, max(1, len(trial.query) // PRODUCT_ROWS)):
        ranked = np.argsort(-(unit[part] @ gallery.T), axis=1)
        means += [compiled(ranked, images.pids[part], answers)] * len(part)
    return float(np.mean(means))


def faiss_search(setting: Setting) -> float:
    """A flat index gives the ranked list, the compiled loop reads it."""
    import faiss

    _single(setting, "an index has one gallery, and no images that only some queries skip")
    ((_, trial, images),) = setting.trials()
    faiss.omp_set_num_threads(torch.get_num_threads())
    unit, compiled, means = _unit(setting.features), _compiled(), []
    if len(trial.gallery) > 20_000:
        raise CannotExpress("a search for all images of so large a gallery is a heap of them per query")
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(np.ascontiguousarray(unit[trial.gallery]))
    for part in np.array_split(trial.query, max(1, len(trial.query) // PRODUCT_ROWS)):
        _, ranked = index.search(np.ascontiguousarray(unit[part]), len(trial.gallery))
        means += [compiled(ranked, images.pids[part], images.pids[trial.gallery])] * len(part)
    return float(np.mean(means))


def torchmetrics_map(setting: Setting) -> float:
    import_torchvision()
    from torchmetrics.functional.retrieval import retrieval_average_precision

    _single(setting, "it has no rule for skipped images, nor a CMC of distinct identities; mAP alone")
    ((_, trial, images),) = setting.trials()
    unit, found = torch.from_numpy(_unit(setting.features)), []
    gallery, answers = unit[trial.gallery], torch.from_numpy(images.pids[trial.gallery])
    for query in trial.query:
        target = answers == int(images.pids[query])
        positive = 1 + gallery @ unit[query]  # of a match whose score is not positive it takes no notice
        found.append(float(retrieval_average_precision(positive, target)))
    return float(np.mean(found))


def oml_map(setting: Setting) -> float:
    import_torchvision()
    from oml.functional.metrics import calc_map

    _single(setting, "it cannot count distinct identities; mAP alone")
    ((_, trial, images),) = setting.trials()
    unit, found = torch.from_numpy(_unit(setting.features)), []
    gallery, answers = unit[trial.gallery], torch.from_numpy(images.pids[trial.gallery])
    for part in np.array_split(trial.query, max(1, len(trial.query) // PRODUCT_ROWS)):
        ranked = (unit[part] @ gallery.T).argsort(dim=1, descending=True)
        hits = answers[ranked] == torch.from_numpy(images.pids[part])[:, None]
        (precisions,) = calc_map(list(hits), hits.sum(dim=1), (len(answers),))
        found.append(precisions)
    return float(torch.cat(found).mean())


def ranx_map(setting: Setting) -> float:
    import ranx

    _single(setting, "a run has one list per query; mAP alone")
    ((_, trial, images),) = setting.trials()
    if len(trial.query) * len(trial.gallery) > 10_000_000:
        raise CannotExpress("a run is a dictionary with a text for every pair, more than memory holds")
    unit, names = _unit(setting.features), [str(row) for row in trial.gallery]
    run, wanted = {}, {}
    for query in trial.query:
        run[str(query)] = dict(zip(names, (unit[trial.gallery] @ unit[query]).tolist(), strict=True))
        matches = np.flatnonzero(images.pids[trial.gallery] == images.pids[query])
        wanted[str(query)] = {names[at]: 1 for at in matches}
    return float(ranx.evaluate(ranx.Qrels(wanted), ranx.Run(run), "map"))


def _single(setting: Setting, reason: str) -> None:
    if not setting.single:
        raise CannotExpress(reason)


CONTESTANTS: dict[str, Callable[[Setting], float | None]] = {
    "float32 product alone": product,
    "vibench": ours,
    "NumPy loop": numpy_loop,
    "AGW line, rebuilt": agw_line,
    "compiled float32 (numba), as fast-reid": compiled_float32,
    "faiss-cpu and the compiled loop": faiss_search,
    "torchmetrics": torchmetrics_map,
    "open-metric-learning": oml_map,
    "ranx": ranx_map,
}


def serve() -> None:
    """Answer lines of ``contestant, setting, quick`` on standard input with seconds, memory and mAP, or a reason."""
    settings: dict[str, Setting] = {}
    for line in sys.stdin:
        contestant, name, quick = line.rstrip("\n").split("\t")
        if name not in settings:
            settings = {name: SETTINGS[name](quick == "1")}
        wall, processor = time.perf_counter(), time.process_time()
        try:
            value = CONTESTANTS[contestant](settings[name])
        except CannotExpress as reason:
            print(f"no\t{reason}", flush=True)
        except Exception as error:  # a package that is not there, or does not work here
            print(f"no\t{type(error).__name__}: {' '.join(str(error).split())[:120]}", flush=True)
        else:
            figures = time.process_time() - processor, time.perf_counter() - wall
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print("\t".join(["yes", *map(str, figures), str(peak), "" if value is None else str(value)]), flush=True)


def measure(
    name: str, contestants: Sequence[str], threads: int, repeats: int, quick: bool, slowest: float
) -> list[list[str]]:
    """The rows of one setting: contestant, processor and wall seconds, GiB, ratio to the product."""
    variables = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    environment = {**os.environ, **variables, "OMP_WAIT_POLICY": "PASSIVE"}
    processes = {
        contestant: subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.peers", "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for contestant in contestants
    }
    best: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    values: dict[str, float] = {}
    for _ in range(repeats + 1):  # the first compiles and imports
        for contestant, process in processes.items():
            assert process.stdin is not None and process.stdout is not None
            if contestant in reasons or best.get(contestant, [0.0])[0] > slowest:
                continue
            print(contestant, name, int(quick), sep="\t", file=process.stdin, flush=True)
            said, *answer = process.stdout.readline().rstrip("\n").split("\t")
            if said != "yes":
                reasons[contestant] = answer[0] if answer else "its process ended"
                continue
            figures = [float(figure) for figure in answer[:3]]
            before = best.get(contestant, figures)
            best[contestant] = [min(before[0], figures[0]), min(before[1], figures[1]), max(before[2], figures[2])]
            if answer[3]:
                values[contestant] = float(answer[3])
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    for contestant, value in values.items():
        assert abs(value - values["vibench"]) < TOLERANCE, f"{contestant}, {name}: mAP {value}, not {values['vibench']}"
    alone = best["float32 product alone"][0]
    rows = []
    for contestant in contestants:
        if contestant in reasons:
            rows.append([name, str(threads), contestant, "", "", "", reasons[contestant]])
            continue
        processor, wall, memory = best[contestant]
        figures_ = [f"{processor:.2f}", f"{wall:.2f}", f"{memory:.2f}", f"{processor / alone:.2f}"]
        rows.append([name, str(threads), contestant, *figures_])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", action="append", choices=tuple(SETTINGS), help="this setting alone; repeatable")
    parser.add_argument(
        "--evaluator", action="append", choices=tuple(CONTESTANTS), help="beside the first two; repeatable"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, action="append", help="repeatable; default: 1 and all cores")
    parser.add_argument("--slowest", type=float, default=60.0, help="seconds after which one repetition is enough")
    parser.add_argument("--markdown", type=Path, help="write the table to this file as well")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve()
        return
    titles = ["setting", "threads", "evaluator", "processor s", "wall s", "peak GiB", "x product, or why not"]
    lines = [titles, ["---"] * len(titles)]
    always = tuple(CONTESTANTS)[:2]
    chosen = [one for one in CONTESTANTS if one in (*always, *(given.evaluator or CONTESTANTS))]
    for name in given.only or SETTINGS:
        for threads in given.threads or sorted({1, os.cpu_count() or 1}):
            found = measure(name, chosen, threads, given.repeats, given.quick, given.slowest)
            print("\n".join(" | ".join(row) for row in found), file=sys.stderr, flush=True)
            lines += found
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    text += f"\n{cpu_model()}, Python {platform.python_version()}, PyTorch {torch.__version__}.\n"
    print(text)
    if given.markdown:
        write_text(given.markdown, text)


if __name__ == "__main__":
    main()
