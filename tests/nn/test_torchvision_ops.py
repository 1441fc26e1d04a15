import subprocess
from pathlib import Path

import torch

from tests.warm import Warm
from vibench.nn.torchvision_ops import import_torchvision

# As torchvision does it: shape functions for operators that the compiled library should have declared.
SHAPE_FUNCTIONS = """
import torch
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(lambda dets, scores, iou_threshold: dets)
"""
DECLARATIONS = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def import_beside(warm: Warm, folder: Path, torchvision_source: str, check: str) -> subprocess.CompletedProcess[str]:
    """Import a stand-in torchvision through `import_torchvision` in a process of its own, then run ``check``."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(torchvision_source)
    script = folder / "script.py"
    script.write_text(f"""
import sys
assert "torchvision" not in sys.modules
sys.path.insert(0, {str(folder)!r})
import torch
from vibench.nn import torchvision_ops
{check}
""")
    (done,) = warm.run_together(str(script), [], folder, [warm.environment], timeout=120)
    return done


def test_declares_the_operators_where_the_import_fails_without_them(warm: Warm, tmp_path: Path):
    check = """
try:
    import torchvision
except RuntimeError:
    pass
else:
    sys.exit("the stand-in imports without help")
assert torchvision_ops.import_torchvision().__name__ == "torchvision"
for name in ("nms", "qnms"):
    schema = str(getattr(torch.ops.torchvision, name).default._schema)
    assert schema == f"torchvision::{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", schema
assert torchvision_ops.import_torchvision() is torchvision_ops.import_torchvision()
"""
    done = import_beside(warm, tmp_path, SHAPE_FUNCTIONS, check)
    assert done.returncode == 0, done.stderr


def test_declares_nothing_where_the_import_succeeds(warm: Warm, tmp_path: Path):
    check = """
torchvision_ops.import_torchvision()
assert torchvision_ops._declared == []
"""
    done = import_beside(warm, tmp_path, DECLARATIONS + SHAPE_FUNCTIONS, check)
    assert done.returncode == 0, done.stderr


def test_is_imported_on_the_cpu_whatever_the_default_device(warm: Warm, tmp_path: Path):
    check = """
with torch.device("meta"):
    assert torchvision_ops.import_torchvision().SIX == 6
    assert torch.zeros(1).is_meta
"""
    done = import_beside(warm, tmp_path, "import torch; SIX = torch.tensor(6).item()", check)
    assert done.returncode == 0, done.stderr


def test_another_failure_is_one_sentence(warm: Warm, tmp_path: Path):
    check = """
from vibench.errors import VibenchError
try:
    torchvision_ops.import_torchvision()
except VibenchError as error:
    assert "wrong driver" in str(error) and "does not fit torch" in str(error), error
else:
    sys.exit("no error")
"""
    done = import_beside(warm, tmp_path, "raise RuntimeError('wrong driver')", check)
    assert done.returncode == 0, done.stderr


def test_the_installed_torchvision_builds_a_network():
    network = import_torchvision().models.resnet18(weights=None).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
