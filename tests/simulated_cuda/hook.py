"""The part in C++ of the simulated device: built in seconds, and loaded before PyTorch is imported.

PyTorch asks its registry for a CUDA device once, while it is imported; later it does not look again.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")
DEVICES = 2
"""As in the source."""
SINCE = (2, 13)
"""The first PyTorch against whose headers the source was compiled; against those of 2.6 it cannot be."""


def compiler() -> str | None:
    """A C++ compiler, or None where there is none."""
    return next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


def fits() -> bool:
    """Whether the PyTorch that is installed is one that the source is written for."""
    return tuple(map(int, importlib.metadata.version("torch").split(".")[:2])) >= SINCE


def _pytorch() -> Path:
    """The folder of PyTorch, which is not imported yet."""
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def build() -> Path:
    """The library for the PyTorch that is installed; made where it is not there yet."""
    version = importlib.metadata.version("torch")
    key = hashlib.sha256(SOURCE.read_bytes() + version.encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"vibench-simulated-cuda-{os.getuid()}-{key}.so"
    if library.exists():
        return library
    found = compiler()
    if found is None:
        raise RuntimeError("the simulated device needs a C++ compiler, such as g++")
    folder = _pytorch()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / library.name
        words = [found, "-std=c++20", "-shared", "-fPIC", "-O0", "-w", "-isystem", folder / "include", SOURCE]
        words += ["-o", made, "-L", folder / "lib", "-lc10", "-ltorch_cpu"]
        subprocess.run([str(word) for word in words], check=True)
        # Two processes may build at once; either's is as good.
        beside = library.with_suffix(f".{os.getpid()}")
        shutil.copy(made, beside)
        beside.replace(library)
    return library


def load() -> None:
    """Give PyTorch, which must not have been imported, a CUDA device."""
    if "torch" in sys.modules:
        raise RuntimeError("the simulated device must be there before PyTorch is imported")
    library = build()
    ctypes.CDLL(str(_pytorch() / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
