"""The profile of a method: parameters, operations, latency, throughput and peak memory of embedding images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vibench.devices import Precision
from vibench.environment import Environment, describe_environment
from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.modality import VISIBLE
from vibench.profiling.flops import count_flops
from vibench.profiling.latency import Duration, measure_duration
from vibench.profiling.memory import PeakMemory, measure_peak_memory
from vibench.profiling.parameters import count_parameters
from vibench.progress import Progress, silent

LATENCY_BATCH = 1
THROUGHPUT_BATCH = 64


@dataclass(frozen=True)
class Profile:
    """What embedding images costs on one device. Nothing here depends on the values of the weights."""

    method: str
    variant: str
    input: str
    """Height and width, such as ``288x144``."""
    precision: str
    device: str
    """GPU or CPU model."""
    parameters_train: int
    parameters_test: int
    flops_per_image: int
    """See `vibench.profiling.flops`: a multiply-accumulate counts as two."""
    embedding_size: int
    latency: Duration
    """Milliseconds for a batch of `LATENCY_BATCH`."""
    throughput_batch: int
    batch_duration: Duration
    """Milliseconds for a batch of ``throughput_batch``."""
    memory: PeakMemory
    """Peak while embedding batches of ``throughput_batch``."""
    environment: Environment

    @property
    def images_per_second(self) -> float:
        """Throughput at the median duration of a batch of ``throughput_batch``."""
        return 1000.0 * self.throughput_batch / self.batch_duration.median


def profile_method(
    method: Method,
    device: torch.device,
    precision: Precision,
    *,
    batch: int = THROUGHPUT_BATCH,
    seconds: float = 5.0,
    progress: Progress = silent,
) -> Profile:
    """Measure ``method`` on random images of its recipe's input size; moves it to ``device`` in eval mode.

    ``seconds`` bounds each of the two timings (but for a minimum of repetitions). The images are on the device
    already: reading and copying images is not part of the method. `VibenchError` where a batch does not fit.
    """
    height, width = method.recipe.input.height, method.recipe.input.width
    method.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, height, width, generator=generator).to(device, memory_format=torch.channels_last)

    def embed(count: int) -> torch.Tensor:
        with torch.inference_mode(), precision.autocast():
            return method.embed(images[:count], VISIBLE)["embedding"]

    try:
        with progress(f"profiling {method.name}", 3) as advance:
            flops = count_flops(method, height, width)
            advance(1)
            latency = measure_duration(lambda: embed(LATENCY_BATCH), device, seconds=seconds)
            advance(1)
            with measure_peak_memory(str(device)) as memory:
                batch_duration = measure_duration(lambda: embed(batch), device, seconds=seconds)
            advance(1)
    except torch.OutOfMemoryError:
        raise VibenchError(
            f"{method.name}: a batch of {batch} does not fit on {device}; use a smaller --batch."
        ) from None
    parameters = count_parameters(method)
    environment = describe_environment(str(device))
    return Profile(
        method=method.name,
        variant=method.recipe.variant,
        input=f"{height}x{width}",
        precision=precision.name,
        device=environment.gpu or environment.cpu,
        parameters_train=parameters.train,
        parameters_test=parameters.test,
        flops_per_image=flops,
        embedding_size=embed(1).shape[1],
        latency=latency,
        throughput_batch=batch,
        batch_duration=batch_duration,
        memory=memory.peak,
        environment=environment,
    )
