"""From the start of ``vibench train`` to the end of its first step, on a cached data set: a fresh process each time.

The data set is the tiny twin, so that listing its few images takes no time; the network is AGW's, from random weights,
ResNet-50 at 288x144 on a GPU and ResNet-18 at 128x64 on a CPU. What remains is importing, building the network, moving
it to the device and the step itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.benchmarks.target import Options, Target, cpu_hardware, needs_cuda
from vibench.datasets.twin.make import make_twin

LIMIT = 5.0
REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("model.backbone=resnet18", "input.height=128", "input.width=64")
SCRIPT = """
import json, os, sys, time
start = float(sys.argv.pop(1))
times = {}
def mark(what):
    times[what] = time.time() - start
from vibench.cli.main import main
import torch
from vibench.training import run
from vibench.training.trainer import Trainer
mark("imported")
step = Trainer._train_step
def first_step(self, batch):
    mark("ready")
    step(self, batch)
    if batch.images.is_cuda:
        torch.cuda.synchronize()
    mark("stepped")
    times["processor"] = time.process_time()
    print(json.dumps(times), flush=True)
    os._exit(0)
if sys.argv.pop(1) == "measure":
    Trainer._train_step = first_step
main(sys.argv[1:])
"""


def measured(root: Path, folder: Path, device: str, threads: int, repeats: int) -> dict[str, float]:
    """Seconds from the start until everything was imported, the step began and ended, of the fastest process."""
    settings = [word for setting in (() if device == "cuda" else SMALL) for word in ("--set", setting)]
    settings += ["--set", "schedule.epochs=1", "--set", "batches_per_epoch=1"]
    environment = {**os.environ, "VIBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": str(threads)}

    def train(what: str, out: Path) -> str:
        options = ("--dataset", "sysu-mm01-twin", "--root", root, "--pretrained", "none", "--device", device)
        words = ("train", "agw", *options, "--amp", "off", "--out", out, *settings)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, repr(time.time()), what, *map(str, words)],
            cwd=REPOSITORY,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    # The first run builds the cache.
    train("train", folder / device)
    found = [json.loads(train("measure", folder / f"{device}{number}")) for number in range(repeats)]
    return min(found, key=lambda times: times["stepped"])


def targets(options: Options) -> list[Target]:
    """The CPU's figure for its own sake, the GPU's with its target."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = make_twin("sysu-mm01", "tiny", 0, folder / "twin", workers=options.threads)
        for device in ("cpu", "cuda"):
            what = f"first training step of a cached data set, agw, {device}"
            if device == "cuda" and not torch.cuda.is_available():
                found.append(needs_cuda(what, "s", at_most=LIMIT))
                continue
            times = measured(root, folder, device, options.threads, 1 if options.quick else 3)
            hardware = cpu_hardware(options.threads) if device == "cpu" else torch.cuda.get_device_name()
            imported, ready = times["imported"], times["ready"] - times["imported"]
            found.append(
                Target(
                    what,
                    times["stepped"],
                    "s",
                    hardware,
                    at_most=LIMIT if device == "cuda" else None,
                    note=f"importing {imported:.1f} s, data and network {ready:.1f} s, "
                    f"the step {times['stepped'] - times['ready']:.1f} s; {times['processor']:.1f} s of processor time",
                )
            )
    return found
