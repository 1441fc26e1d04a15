"""What lies in ``on_device`` needs a process that has the simulated devices; `test_guard` starts it."""

import sys

collect_ignore = [] if "tests.simulated_cuda.plugin" in sys.modules else ["on_device"]
