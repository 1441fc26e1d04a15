"""A few cases of every kind for every reader; ``python -m tests.benchmarks.fuzzing`` runs as many as wanted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import REPOSITORY
from tests.fuzz.byte_mutations import mutate_bytes
from tests.fuzz.forms import FORMS
from tests.fuzz.nasties import OF_FORM
from tests.fuzz.reader import Place, Reader, judge
from tests.fuzz.readers import READERS

EXAMPLES = 10
SLOW = {"published": 5, "cache": 3, "protocol": 8, "RegDB": 8, "ready": 8}
"""Examples of readers that take longer, by the beginning of their names."""


def examples(reader: Reader) -> int:
    return SLOW.get(reader.name.split()[0], EXAMPLES)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_mutated_files_are_accepted_or_refused_in_one_sentence(reader: Reader, tmp_path: Path) -> None:
    place = Place(tmp_path, reader)
    reader.read(place.with_content(place.valid))

    @settings(max_examples=examples(reader), derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.randoms(use_true_random=False))
    def run(values: bool, random) -> None:
        mutate = FORMS[reader.form].mutate if values else mutate_bytes
        judge(reader, place.with_content(mutate(place.valid, random)))

    run()


def confined(readers: Sequence[Reader], cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.confined", *(reader.name for reader in readers)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "VIBENCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_nasties_are_refused_within_bounds_by_every_reader(tmp_path: Path) -> None:
    confined(READERS, tmp_path)


OUTSIDE = (
    "doctor",
    "foreign",
    "scores",
    "names of",
    "official",
    "import",
    "safetensors",
    "kind",
    "RegDB",
    "LLCM",
    "published",
)
"""What people bring of other codes and copies, by parts of the names of its readers."""


@pytest.mark.slow
def test_ten_thousand_files_of_other_habits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.fuzzing", "--cases", "10400", "--minutes", "90", "--only", *OUTSIDE],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "VIBENCH_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (total,) = re.findall(r"│ all +│ (\d+)", done.stdout)
    assert int(total) >= 10_000


def test_every_form_has_mutations_and_nasties() -> None:
    forms = {reader.form for reader in READERS}
    assert forms == set(FORMS) == set(OF_FORM)
    names = [reader.name for reader in READERS]
    assert len(set(names)) == len(names)
