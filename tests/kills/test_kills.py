"""Every command survives being killed; ``python -m tests.benchmarks.kills --kills 200`` is the long form of this."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.kills.campaign import Campaign
from tests.kills.hardships import full, read_only
from tests.kills.jobs import JOBS, Inputs, Job, kills_of, make_inputs
from tests.kills.server import Server

KILLS = 20
SLOW = ("data twin", "leaderboard", "report", "sweep", "visualize")
"""To be done again and again on disks that are full or read-only."""
OF_ARRAYS = ("data heatmaps", "eval")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("kills") / "inputs")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_killed_command_ends_as_if_undisturbed(job: Job, server: Server, inputs: Inputs, tmp_path: Path) -> None:
    kills = kills_of(job, KILLS)
    tally = Campaign(server, job, inputs, tmp_path / "scratch", seed=0).run(kills)
    assert tally.kills == kills and tally.completions > 0


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=job.name, marks=[pytest.mark.slow] if job.name in SLOW else [])
        for job in JOBS
        if job.name != "extract"
    ],
)
def test_a_full_or_read_only_disk_is_one_sentence(job: Job, server: Server, inputs: Inputs, tmp_path: Path) -> None:
    if np.__version__ < "2" and job.name in OF_ARRAYS:
        pytest.skip("NumPy 1 leaves archives open, about which Python complains below the sentence")
    campaign = Campaign(server, job, inputs, tmp_path / "scratch", seed=0)
    assert "Read-only file system" in campaign.endure(read_only)
    # A table of attributes fits into what is left in the second case.
    for room in (0,) if job.name == "data attributes" else (0, 6 << 10):
        assert any(words in campaign.endure(partial(full, room=room)) for words in ("No space left", "are free"))
