"""A CUDA device that is not there: tensors on ``cuda:0`` and ``cuda:1`` whose numbers lie in the host's memory.

Kernels are those of the CPU, so that results can be compared. What a GPU adds is kept account of and refused where
it would go wrong: tensors of two devices in one operation, memory that is read or written by a stream which has not
waited for another (`order`), memory that is handed out again too early, copies of pinned memory that nobody waited for,
whose numbers are not there before somebody did, and results of a CUDA graph after its next replay.

It runs in a process of its own, for a device has to be there before PyTorch is imported::

    python -m pytest -p tests.simulated_cuda.plugin tests/simulated_cuda/on_device
    python -m tests.simulated_cuda profile agw --device cuda        # any command of vibench

What it cannot show: speed, rounding of the GPU's own kernels, cuDNN, compiled code, several processes.
"""
