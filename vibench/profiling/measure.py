"""Making a profile: every part of it measured on one device, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.modality import VISIBLE
from vibench.profiling.embedding import profile_embedding
from vibench.profiling.matching import GALLERIES, profile_matching
from vibench.profiling.parameters import count_parameters
from vibench.profiling.profile import PARTS, SCHEMA_VERSION, MatchingCost, Profile
from vibench.profiling.training import profile_training
from vibench.runtime.devices import Precision
from vibench.runtime.environment import describe_environment
from vibench.runtime.progress import Progress, silent

LARGEST_BATCH = 4096


def profile_method(
    method: Method,
    device: torch.device,
    precision: Precision,
    *,
    parts: Sequence[str] = PARTS,
    seconds: float = 5.0,
    largest_batch: int = LARGEST_BATCH,
    galleries: Sequence[int] = GALLERIES,
    progress: Progress = silent,
) -> Profile:
    """Measure ``parts`` of what ``method`` costs; moves it to ``device`` and leaves it in eval mode.

    Images are noise of the recipe's size and on the device already: reading and copying them is not part of the
    method. ``seconds`` bounds each single timing, as `vibench.profiling.embedding`, ``training`` and ``matching`` say.
    `VibenchError` where one image, or the recipe's training batch, does not fit.
    """
    size = method.recipe.input
    method.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    width = _embedding_size(method, device)
    embedding, training = None, None
    matching: tuple[MatchingCost, ...] = ()
    with precision.float32_products(), progress(f"profiling {method.name}", len(parts)) as advance:
        # Training comes last: it moves statistics of batch normalisation.
        if "embedding" in parts:
            embedding = profile_embedding(method, device, precision, seconds=seconds, largest=largest_batch)
            advance(1, "embedding measured")
        if "matching" in parts:
            matching = profile_matching(method, width, device, seconds=seconds, galleries=galleries)
            advance(1, "matching measured")
        if "training" in parts:
            training = profile_training(method, device, precision, seconds=seconds)
            advance(1, "training measured")
            method.eval()
    parameters = count_parameters(method)
    environment = describe_environment(str(device))
    return Profile(
        schema_version=SCHEMA_VERSION,
        method=method.name,
        variant=method.recipe.variant,
        dataset=method.recipe.dataset,
        input=f"{size.height}x{size.width}",
        precision=precision.name,
        device=environment.gpu or environment.cpu,
        threads=torch.get_num_threads(),
        parameters_train=parameters.train,
        parameters_test=parameters.test,
        embedding_size=width,
        environment=environment,
        embedding=embedding,
        training=training,
        matching=matching,
    )


def _embedding_size(method: Method, device: torch.device) -> int:
    size = method.recipe.input
    try:
        image = torch.zeros(1, 3, size.height, size.width, device=device)
        with torch.inference_mode():
            return method.embed(image, VISIBLE)["embedding"].shape[1]
    except torch.OutOfMemoryError:
        raise VibenchError(
            f"{method.name}: not even one image of {size.height}x{size.width} fits on {device}; free its memory, or "
            "profile on another device."
        ) from None
