"""Every name of every official checkpoint has its place, and every place its name."""

from __future__ import annotations

import pytest
import torch

from tests.training.official import outer, read_manifest
from vibench.errors import UsageError
from vibench.files import torch_file
from vibench.training import official

MANIFEST = {"baseline": "agw", "pose": "pose_vireid"}
"""B's checkpoints are those of AGW without non-local blocks; Pose's list bears its repository's name."""


@pytest.mark.parametrize("method", official.importable_methods())
def test_the_names_of_the_official_checkpoint(method, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "save_checkpoint", lambda path, checkpoint: None)
    name = MANIFEST.get(method, method)
    if not (shared / "checkpoints" / f"{name}.json").is_file():
        pytest.skip(f"there is no list of the names in {method}'s official checkpoints")
    shapes = read_manifest(shared, name)["keys"]
    # Expanded from one number each, so that the file is small; the reader takes no such tensors from anybody else.
    monkeypatch.setattr(torch_file, "is_plain", lambda value: isinstance(value, torch.Tensor))
    state = {
        key: (torch.tensor(0) if key.endswith("num_batches_tracked") else torch.ones(1).expand(shape))
        for key, shape in shapes.items()
        if not (method == "baseline" and key.startswith("NL_"))
    }
    path = tmp_path / "best.t"
    torch.save(outer(state), path)
    made = official.import_official(method, path, tmp_path / "c.pt")
    assert made.checkpoint.num_classes == 395
    taken = [weight for name, weight in made.checkpoint.model.items() if "backbone." in name]
    assert taken and all((weight == 1).all() for weight in taken if weight.is_floating_point())

    # What else such a file may be is no question here, and all methods would be built to answer it.
    monkeypatch.setattr(official, "what_it_is", lambda *_: "")
    used = next(key for key in state if key.endswith((".bn1.weight", ".norm1.weight")))
    del state[used]
    torch.save(outer({**state, "stray.weight": torch.ones(2)}), path)
    with pytest.raises(UsageError, match=rf"missing: {used}; surplus: stray\.weight\."):
        official.import_official(method, path, tmp_path / "c.pt")
