"""The nineteen corruptions of ImageNet-C, by the library that keeps them.

Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019, as
``imagecorruptions`` has them for images of any size. That package needs older companions than today's;
``imagecorruptions-imaug`` is its kept form under the same name. It draws frost from six photographs, the older one from
five.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator

import numpy as np
from PIL import Image

from vibench.errors import UsageError

TYPES = (
    "gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur", "motion-blur", "zoom-blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic-transform", "pixelate", "jpeg-compression", "speckle-noise",
    "gaussian-blur", "spatter", "saturate",
)  # fmt: skip
NOISE = ("gaussian-noise", "shot-noise", "impulse-noise", "speckle-noise")
"""Those that draw a random number per pixel and channel."""
_OWN_SEED = ("impulse-noise", "glass-blur")
"""Those that draw from a generator of their own."""
LIBRARIES = (
    "imagecorruptions-imaug", "numba", "numpy", "opencv-python", "opencv-python-headless", "pillow", "scikit-image",
    "scipy",
)  # fmt: skip
"""What decides about the pixels beside the rules."""


def corrupt(image: np.ndarray, kind: str, severity: int, seed: int) -> np.ndarray:
    """``image``, uint8 (H, W, 3), or (H, W) for a type of `NOISE`, corrupted; ``seed`` below 2^32 decides its draws."""
    require_libraries()
    from imagecorruptions import corruptions

    function = getattr(corruptions, kind.replace("-", "_"))
    given = image if kind in NOISE else Image.fromarray(image)
    own = {"seed": seed} if kind in _OWN_SEED else {}
    with _numpy_seeded(seed):
        # Fractions are cut off, as the library's own `corrupt` and the authors' scripts do.
        return np.array(function(given, severity=severity, **own), dtype=np.uint8)


def require_libraries() -> None:
    """`UsageError` where the libraries of the extra ``robustness`` cannot be imported."""
    try:
        import cv2  # noqa: F401
        import imagecorruptions.corruptions  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"corruptions other than occlusion need the libraries of the extra 'robustness' ({error}): "
            "pip install 'vibench[robustness]'."
        ) from None


def library_versions() -> dict[str, str]:
    """Name and version of the `LIBRARIES` that are installed."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@contextlib.contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """NumPy's one generator for all, from which the library draws, seeded for a moment."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
