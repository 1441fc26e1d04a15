"""``python -m pytest -p tests.simulated_cuda.plugin``: the tests of a process that has the simulated devices."""

from tests.simulated_cuda import hook

hook.load()

from tests.simulated_cuda import device  # noqa: E402

device.install()
