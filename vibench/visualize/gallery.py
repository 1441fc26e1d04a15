"""The pictures of one trained model, each a file: what ``vibench visualize`` draws.

From Python, with a matplotlib `Figure` for every picture::

    model, _ = find_model(Path("runs/sysu-mm01/agw-s0"), None, None, None)
    request = PictureRequest(queries=("worst",), count=3)
    run = picture_run(model, load_protocol("sysu-all"), request)
    figure = Gallery(run, request).ranked()["ranked-worst"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vibench.data.heatmaps import find_heatmaps, heatmaps_of
from vibench.errors import UsageError
from vibench.evaluation.metrics import cmc_curve
from vibench.evaluation.ranked_list import RankedList
from vibench.files.places import keeping
from vibench.methods.base import Method
from vibench.methods.pictures import network_input, pictures_of
from vibench.modality import MODALITIES
from vibench.pictures.cmc import cmc_figure
from vibench.pictures.distances import PairDistances, distance_histograms
from vibench.pictures.embedding import MOST_IDENTITIES, embedding_map, tsne
from vibench.pictures.figure import write_figure
from vibench.pictures.pair import Pair, Shown
from vibench.pictures.ranked_lists import RankedImage, RankedQuery, ranked_lists
from vibench.pictures.saliency import SaliencyPair, saliency_pairs
from vibench.runtime.progress import Progress, silent
from vibench.runtime.randomness import generator
from vibench.visualize.attention_rollout import has_rollout, rollout_map
from vibench.visualize.grad_cam import compares_pairs, grad_cam, similarity_to
from vibench.visualize.pictured_run import PicturedRun
from vibench.visualize.queries import select_queries
from vibench.visualize.request import ALL, WHAT, PictureRequest, left_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_RANKS = 10
"""Images of a ranked list that are shown."""
TSNE_IMAGES = 60
"""Images per identity and modality, at most."""
HISTOGRAM_IMAGES = 1000
"""Images per modality, at most."""


@dataclass(frozen=True)
class Gallery:
    """The pictures of one run, one function for each of `WHAT`; each returns figures by the name of their file."""

    run: PicturedRun
    request: PictureRequest

    def ranked(self) -> dict[str, Figure]:
        """``ranked-GROUP``: ranked lists."""
        return {f"ranked-{name}": self._ranked(name, lists) for name, lists in self.lists.items()}

    def cmc(self) -> dict[str, Figure]:
        """``cmc``: the mean over the trials, and every trial."""
        evaluation = self.run.evaluation
        ranks = len(evaluation.cmc)
        trials = [cmc_curve(one.first_hit, ranks) for one in evaluation.per_query]
        label = "mean over the trials" if len(trials) > 1 else f"trial {evaluation.trials[0].trial}"
        title = self.run.title.rpartition(",")[0]
        behind = np.array(trials) if len(trials) > 1 else None
        return {"cmc": cmc_figure({label: np.array(evaluation.cmc)}, title, behind)}

    def distances(self) -> dict[str, Figure]:
        """``distances``: histograms within and across the modalities."""
        run = self.run
        chosen = {modality: self._sample(run.images.modalities == modality) for modality in MODALITIES}
        first, second = MODALITIES
        groups = []
        for one, other in ((first, second), (first, first), (second, second)):
            label = f"{one} to {other}" if one != other else f"within {one}"
            groups.append(self._pair_distances(label, chosen[one], chosen[other]))
        name = distance_name(run.method) if compares_pairs(run.method) else f"{run.method.distance} distance"
        title = run.title.rpartition(",")[0]
        return {"distances": distance_histograms(groups, title, f"{name} of embeddings")}

    def tsne(self) -> dict[str, Figure]:
        """``tsne``: the embeddings of some identities in the plane."""
        run = self.run
        random = generator(self.request.seed, "pictured identities")
        in_both = set.intersection(*({*run.images.pids[run.images.modalities == one].tolist()} for one in MODALITIES))
        people = np.sort(random.permutation(sorted(in_both))[:MOST_IDENTITIES])
        rows: list[int] = []
        for pid in people:
            for modality in MODALITIES:
                found = np.flatnonzero((run.images.pids == pid) & (run.images.modalities == modality))
                rows += np.sort(random.permutation(found)[:TSNE_IMAGES]).tolist()
        points = tsne(run.features.features[rows], run.method.distance, self.request.seed)
        title = f"{run.title.rpartition(',')[0]}: {len(people)} test identities"
        return {"tsne": embedding_map(points, run.images.pids[rows], run.images.modalities[rows], title)}

    def gradcam(self) -> dict[str, Figure]:
        """``gradcam``: where a query and its first true match are alike; or ``rollout``: where a transformer looks."""
        if has_rollout(type(self.run.method)):
            return {"rollout": self._saliency("attention roll-out", self._rollouts)}
        return {"gradcam": self._saliency("Grad-CAM of the similarity", self._grad_cams)}

    def parts(self) -> dict[str, Figure]:
        """``parts-NAME``: what only the method has."""
        return {f"parts-{name}": draw(self.pairs) for name, draw in pictures_of(self.run.method).items()}

    @cached_property
    def lists(self) -> dict[str, list[RankedList]]:
        """The ranked lists of the queries that the request asks for, by group."""
        run, request = self.run, self.request
        pids = run.images.pids[run.queries]
        groups = select_queries(
            request.queries, run.named, run.queries, pids, run.precisions, request.count, request.seed
        )
        # At once, because a method that compares all queries with the gallery does so in every call.
        ranked = iter(run.ranked([row for rows in groups.values() for row in rows]))
        return {name: [next(ranked) for _ in rows] for name, rows in groups.items()}

    @cached_property
    def pairs(self) -> list[Pair]:
        """The queries of the first group with their first true matches; `UsageError` where none has one."""
        run = self.run
        lists = [one for one in next(iter(self.lists.values())) if one.matches.any()]
        if not lists:
            raise UsageError(
                f"--queries {','.join(self.request.queries)}: none of them has a true match in the gallery of trial "
                f"{run.trial.number}; choose others."
            )
        firsts = [int(np.argmax(one.matches)) for one in lists]
        matches = [int(one.gallery[at]) for one, at in zip(lists, firsts, strict=True)]
        heatmaps = self._heatmaps([*(one.query for one in lists), *matches])
        pairs = []
        for one, at, match in zip(lists, firsts, matches, strict=True):
            query = self._shown(one.query, f"query\n{self._camera(one.query)}", heatmaps)
            caption = f"true match, rank {one.ranks[at]}\n{self._camera(match)}"
            pairs.append(Pair(query, self._shown(match, caption, heatmaps)))
        return pairs

    def _saliency(self, what: str, maps: Callable[[Pair], tuple[np.ndarray, np.ndarray]]) -> Figure:
        drawn = []
        for pair in self.pairs:
            images, captions = (pair.query.pixels, pair.match.pixels), (pair.query.caption, pair.match.caption)
            drawn.append(SaliencyPair(pair.query.label, images, captions, maps(pair)))
        return saliency_pairs(drawn, f"{self.run.title}: {what}")

    def _rollouts(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        method, images = self.run.method, self._inputs(pair)
        query, match = (
            rollout_map(method, image, shown.modality) for image, shown in zip(images, pair.both, strict=True)
        )
        return query, match

    def _grad_cams(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        method, images = self.run.method, self._inputs(pair)
        with torch.no_grad():
            embeddings = [
                method.embed(image, shown.modality)["embedding"] for image, shown in zip(images, pair.both, strict=True)
            ]
        query, match = (
            grad_cam(method, image, shown.modality, similarity_to(method, target))
            for image, shown, target in zip(images, pair.both, embeddings[::-1], strict=True)
        )
        return query, match

    def _inputs(self, pair: Pair) -> list[torch.Tensor]:
        return [network_input(self.run.method, shown) for shown in pair.both]

    def _ranked(self, group: str, lists: Iterable[RankedList]) -> Figure:
        run = self.run
        queries = []
        for one in lists:
            images = [
                RankedImage(
                    image=run.pixels(int(one.gallery[at])),
                    camera=int(run.images.cameras[one.gallery[at]]),
                    distance=float(one.distances[at]),
                    rank=int(one.ranks[at]),
                    match=bool(one.matches[at]),
                )
                for at in range(min(SHOWN_RANKS, len(one.gallery)))
            ]
            hit = f"first match: {one.ranks[one.matches][0]}" if one.matches.any() else "no match"
            label = f"{self._label(one.query)}\nAP {one.average_precision:.1%}\n{hit}"
            camera = int(run.images.cameras[one.query])
            queries.append(RankedQuery(run.pixels(one.query), label, camera, tuple(images)))
        return ranked_lists(queries, f"{run.title}: {group} queries, by {distance_name(run.method)}")

    def _pair_distances(self, label: str, rows: np.ndarray, columns: np.ndarray) -> PairDistances:
        """Distances of all pairs, each pair once and no image with itself."""
        run = self.run
        features = torch.from_numpy(run.features.features).to(run.device)
        with torch.no_grad():
            distances = run.method.distances if compares_pairs(run.method) else partial(Method.distances, run.method)
            found = distances(features[rows], features[columns], "single").double().cpu().numpy()
        same = run.images.pids[rows][:, None] == run.images.pids[columns][None, :]
        once = np.ones_like(same) if rows is not columns else np.triu(np.ones_like(same), k=1)
        return PairDistances(label, found[same & once], found[~same & once])

    def _sample(self, mask: np.ndarray) -> np.ndarray:
        """At most `HISTOGRAM_IMAGES` rows of those that ``mask`` marks."""
        random = generator(self.request.seed, "pictured images")
        return np.sort(random.permutation(np.flatnonzero(mask))[:HISTOGRAM_IMAGES])

    def _heatmaps(self, rows: list[int]) -> Mapping[int, np.ndarray]:
        """The known keypoint heatmaps of rows, where the method predicts them and the data set has some."""
        run = self.run
        model = run.model
        path = find_heatmaps(model.dataset, model.root) if "heatmaps" in run.method.needs else None
        if path is None:
            return {}
        index = model.test_index.set_index("path").loc[run.paths[rows]].reset_index()
        size = model.recipe.input
        found = heatmaps_of(
            path, model.dataset, model.root, index, (size.height, size.width), run.method.heatmap_channels()
        )
        return {row: found.maps[at] / 255.0 for at, row in enumerate(rows) if found.known[at]}

    def _shown(self, row: int, caption: str, heatmaps: Mapping[int, np.ndarray]) -> Shown:
        modality = str(self.run.images.modalities[row])
        return Shown(self.run.pixels(row), modality, self._label(row), caption, heatmaps.get(row))

    def _camera(self, row: int) -> str:
        return f"cam {self.run.images.cameras[row]}"

    def _label(self, row: int) -> str:
        """Who an image shows, and its name, on lines short enough for the left margin."""
        folder, _, name = str(self.run.paths[row]).rpartition("/")
        return f"identity {self.run.images.pids[row]}\n{folder}/\n{name}"


def visualize(run: PicturedRun, request: PictureRequest, folder: Path, *, progress: Progress = silent) -> list[Path]:
    """Draw what ``request`` asks for into ``folder`` and return the PNG files, each written as soon as it is drawn.

    A picture that cannot be written there is kept elsewhere, and `VibenchError` says where once all are drawn.
    With `ALL`, what `left_out` names is left out. ``run`` was prepared for the same request.
    """
    wanted = [request.what] if request.what != ALL else [name for name in WHAT if not left_out(run.method, name)]
    gallery, written = Gallery(run, request), []
    with keeping() as keep, progress("drawing pictures", len(wanted)) as advance:
        for name in wanted:
            for file, figure in getattr(gallery, name)().items():
                path = folder / f"{file}.png"
                keep(path, partial(write_figure, figure=figure))
                written.append(path)
            advance(1)
    return written


def distance_name(method: Method) -> str:
    """By what a method's images are compared, in words."""
    return "its own distance" if method.has_own_distance() else f"{method.distance} distance"
