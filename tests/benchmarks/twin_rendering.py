"""Images per second of the twin on one core at 288x144, file encoding and truth included.

python -m tests.benchmarks.twin_rendering [--repeats 2]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_threads] = "1"

from vibench.datasets.twin.make import make_twin  # noqa: E402
from vibench.datasets.twin.plan import plan_twin  # noqa: E402

TARGET = 100.0
"""Images per second that the twin must reach."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    for layout in ("sysu-mm01", "regdb"):
        images = len(plan_twin(layout, "tiny", 0))
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                wall, processor = time.perf_counter(), time.process_time()
                make_twin(layout, "tiny", 0, Path(folder) / "twin", workers=1, size=(288, 144))
                wall, processor = time.perf_counter() - wall, time.process_time() - processor
            rate = images / processor
            verdict = "reached" if rate >= TARGET else "missed"
            print(
                f"{layout}: {images} images, {processor:.2f} s of one core ({wall:.2f} s wall):"
                f" {rate:.0f} images/s, target {TARGET:.0f} {verdict}"
            )


if __name__ == "__main__":
    main()
