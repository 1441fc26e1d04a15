"""``python -m tests.simulated_cuda COMMAND ...``: vibench in a process that has the simulated devices."""

import tests.simulated_cuda.plugin  # noqa: F401
from vibench.cli.main import main

if __name__ == "__main__":
    main()
