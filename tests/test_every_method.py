"""Every method trains on both twins and is evaluated under every protocol of theirs, in both query modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.methods.built_in import BUILT_IN
from vibench.demo import settings as small_network
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import get_method
from vibench.methods.slim import slim_backbone
from vibench.protocols import load_protocol, protocol_names
from vibench.scoring.embedded import embed_models
from vibench.scoring.rules import Rules
from vibench.scoring.score import score_embedded
from vibench.scoring.trained import models_of_run
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

TRIALS = {"sysu-mm01-twin": None, "regdb-twin": 1}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", TRIALS)
@pytest.mark.parametrize("method", BUILT_IN)
def test_trains_and_is_evaluated_everywhere(
    method: str,
    dataset: str,
    sysu_twin: Path,
    regdb_twin: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = sysu_twin if dataset == "sysu-mm01-twin" else regdb_twin
    cache = tmp_path_factory.getbasetemp() / "cache"
    settings = (*small_network(1), "schedule.epochs=1", "schedule.milestones=[]")
    slim = slim_backbone(get_method(method).options)
    settings = (*settings, f"model.backbone={slim}", "input.height=96", "input.width=48", "sampler.identities=4")
    recipe = load_recipe(method, "", dataset, settings)
    spec = TrainingSpec(recipe, root, TRIALS[dataset], pretrained="none", folder=tmp_path / "run")
    run = train(spec, cache=cache)

    layout = dataset.removesuffix("-twin")
    known = [load_protocol(name) for name in protocol_names()]
    protocols = tuple(one for one in known if one.layout == layout and one.corruption is None)
    embedded = embed_models(models_of_run(run.path, root), Rules(protocols), cache=cache)
    for mode in ("all", "single"):
        scored = score_embedded(embedded, Rules(protocols, query_mode=mode))
        assert [one.record.protocol for one in scored] == [protocol.name for protocol in protocols]
        assert all(np.isfinite(list(one.record.mean.values())).all() for one in scored)
        assert all(0 < one.record.mean["map"] <= 1 for one in scored)
