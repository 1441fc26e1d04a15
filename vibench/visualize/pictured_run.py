"""A trained model made ready to be pictured: its test images embedded, ranked and evaluated once for all pictures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vibench.data.cache import ImageCache, open_cache
from vibench.data.corruption.cache import caches_by_modality
from vibench.errors import UsageError, VibenchWarning
from vibench.evaluation.draws import Trial, draw_trials
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images, images_of
from vibench.evaluation.ranked_list import RankedList, evaluated_queries, ranked_lists
from vibench.evaluation.result import Evaluation
from vibench.evaluation.scorer import Settings
from vibench.methods.base import Method
from vibench.protocols import Protocol
from vibench.runtime.progress import Progress, silent
from vibench.scoring.embedded import embed_models, own_distances
from vibench.scoring.rules import Rules, check_protocols
from vibench.scoring.score import evaluate_embedded
from vibench.scoring.trained import TrainedModel, models_of_checkpoint, models_of_run
from vibench.training.checkpoint import load_method
from vibench.visualize.queries import named_queries
from vibench.visualize.request import PictureRequest


@dataclass(frozen=True)
class PicturedRun:
    """What every picture of a model is made from."""

    model: TrainedModel
    method: Method
    """Its network, in eval mode."""
    device: torch.device
    caches: Mapping[str, ImageCache]
    """Of its images, by modality."""
    features: Features
    """The embeddings of its test images."""
    images: Images
    protocol: Protocol
    settings: Settings
    evaluation: Evaluation
    trial: Trial
    """The one whose ranked lists are shown."""
    named: dict[str, int]
    """Rows of the queries that the request names by path."""

    @property
    def paths(self) -> np.ndarray:
        """(N,) names of the test images, rows as those of `features`."""
        assert self.images.paths is not None
        return self.images.paths

    @property
    def title(self) -> str:
        """Method, what it was trained on where that is another data set, data set, protocol and trial."""
        checkpoint = self.model.checkpoint
        label = f"{self.method.title} {checkpoint.variant}".strip()
        label += f" trained on {checkpoint.dataset}," if self.model.transferred else ""
        return f"{label} on {self.model.dataset.name}, {self.protocol.name}, trial {self.trial.number}"

    @cached_property
    def queries(self) -> np.ndarray:
        """(Q,) rows of the trial's queries, in the order of its `PerQuery`."""
        return evaluated_queries(self.trial, self.images, self.settings)

    @cached_property
    def precisions(self) -> np.ndarray:
        """(Q,) average precision of `queries` in the trial, NaN for one without a true match."""
        numbers = [score.trial for score in self.evaluation.trials]
        return self.evaluation.per_query[numbers.index(self.trial.number)].ap

    def ranked(self, rows: Sequence[int]) -> list[RankedList]:
        """The ranked lists of queries, given by their rows."""
        return ranked_lists(self.protocol, self.trial, rows, self.features, self.images, self.settings)

    def pixels(self, row: int) -> np.ndarray:
        """The image of a row, (H, W, 3) uint8, of the size that the network takes."""
        cache = self.caches[str(self.images.modalities[row])]
        (cached,) = cache.rows([self.paths[row]])
        return np.array(cache.images[cached])


def find_model(
    run: Path | None, checkpoint: Path | None, root: Path | None, trial: int | None, dataset: str | None = None
) -> tuple[TrainedModel, int | None]:
    """The model of a run folder or a checkpoint, and the gallery draw that ``trial`` names, if any.

    On data sets with several train/test splits ``trial`` is one of these instead, and by default the first that there
    is a model of. Raises `UsageError` as `vibench.scoring.trained.models_of_run` and `models_of_checkpoint` do.
    """

    def models(split: int | None) -> list[TrainedModel]:
        if checkpoint is not None:
            return models_of_checkpoint(checkpoint, root, split, dataset=dataset)
        assert run is not None
        return models_of_run(run, root, split, dataset=dataset)

    first = models(None)[0]
    if first.dataset.trials == 1:
        return first, trial
    return (first if trial is None else models(trial)[0]), None


def picture_run(
    model: TrainedModel,
    protocol: Protocol,
    request: PictureRequest,
    *,
    device: str = "auto",
    amp: str = "auto",
    progress: Progress = silent,
) -> PicturedRun:
    """Embed and evaluate the test images of ``model`` under ``protocol``, once it is clear that all can be drawn.

    Raises `UsageError` for a trial or a query that there is not and for a picture that the method does not have, and
    what `vibench.scoring.embedded.embed_models` raises.
    """
    rules = Rules((protocol,), allow_incomplete=True)
    check_protocols(rules.protocols, model)
    request.check(load_method(model.path))
    if model.test_split_lacks:
        warnings.warn(
            f"{model.root}: the test split of {model.dataset.name} {model.test_split_lacks}; pictures show what is "
            "there.",
            VibenchWarning,
            stacklevel=2,
        )
        model = replace(model, allow_incomplete=True)
    index = model.test_index
    images = images_of(index)
    trial = _trial(
        draw_trials(protocol, images, protocol.resolve_draw(rules.draws[0]), split=model.split), protocol, request
    )
    named = named_queries(request.queries, protocol, images, trial)
    embedded = embed_models([model], rules, device=device, amp=amp, progress=progress)
    own = own_distances(embedded, rules)
    (evaluation,) = evaluate_embedded(embedded, rules, own, progress=progress)
    size = model.recipe.input
    cache = open_cache(model.dataset, model.root, size.height, size.width, size.interpolation)
    return PicturedRun(
        model=model,
        method=embedded.method,
        device=embedded.device,
        caches=caches_by_modality(cache, model.dataset, protocol.corruption),
        features=embedded.extractions[model.split].features,
        images=images,
        protocol=protocol,
        settings=Settings(
            distance=embedded.method.distance,
            own=own[model.split] if own else None,
            device=str(embedded.device),
        ),
        evaluation=evaluation,
        trial=trial,
        named=named,
    )


def _trial(trials: Sequence[Trial], protocol: Protocol, request: PictureRequest) -> Trial:
    numbers = [trial.number for trial in trials]
    if request.trial is None:
        return trials[0]
    if request.trial not in numbers:
        known = f"the trials {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"trial {numbers[0]} alone"
        raise UsageError(f"--trial {request.trial}: {protocol.name} has {known}; choose one of them.")
    return trials[numbers.index(request.trial)]
