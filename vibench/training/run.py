"""A training run from its specification to its finished folder, in one go or in several."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError
from vibench.runtime.determinism import deterministic
from vibench.runtime.progress import Progress, silent
from vibench.training.folder import RunFolder, writing
from vibench.training.interrupt import stop_requests
from vibench.training.prepare import prepare, removed_where_refused
from vibench.training.session import Session
from vibench.training.spec import TrainingSpec
from vibench.training.tensorboard import epoch_writer


def train(
    spec: TrainingSpec,
    *,
    device: str = "auto",
    cache: Path | None = None,
    tensorboard: bool = False,
    progress: Progress = silent,
) -> RunFolder:
    """Train a method from the start and return its run folder.

    Raises `UsageError` for a specification that does not work out and for a folder in use, `NonFiniteLoss` where a
    loss is NaN or infinite and `TrainingInterrupted` after Ctrl-C; in the latter two cases `resume` goes on.
    """
    with removed_where_refused() as prepared:
        prepared.append(prepare(spec, device=device))
        return resume(prepared[0], device=device, cache=cache, tensorboard=tensorboard, progress=progress)


def train_or_resume(
    spec: TrainingSpec, device: str, cache: Path | None = None, progress: Progress = silent
) -> RunFolder:
    """Train into ``spec.folder``, or go on with what an earlier call with the same specification left there.

    The data set may have moved in between: it lies at ``spec.root`` now.
    Raises `UsageError` where the folder holds a run of another recipe.
    """
    if spec.folder is None:
        raise ValueError("a run that may be resumed needs a folder of its own")
    run = RunFolder(spec.folder)
    if run.checkpoint_path.exists() and run.recipe() != spec.recipe:
        raise UsageError(f"{run.path}: holds a run of another recipe; remove it, or choose another folder with --out.")
    if not run.checkpoint_path.exists():
        run = prepare(spec, device=device)
    return resume(run, device=device, root=spec.root, cache=cache, progress=progress)


def resume(
    run: RunFolder,
    *,
    device: str = "auto",
    root: Path | None = None,
    cache: Path | None = None,
    tensorboard: bool = False,
    progress: Progress = silent,
    world: World = ALONE,
) -> RunFolder:
    """Train a prepared, interrupted or killed run to its end; a finished one is left as it is.

    On one CPU with one number of threads the final checkpoint is, to the byte, that of an uninterrupted run.
    ``root`` says where the data set lies now, if it has moved. The processes of ``world`` share each batch, call this
    alike and see the same files; the leading one alone writes. Errors as `train`.
    """
    with ExitStack() as stack:
        stack.enter_context(writing(run))
        world.from_leader(lambda: stack.enter_context(run.locked()) or "")
        if run.finished():
            return run
        stack.enter_context(deterministic(run.description().deterministic))
        session = Session(run, device, root, cache, progress, world)
        events = epoch_writer(run.tensorboard_path, session.trainer.epoch, tensorboard and world.leads)
        write_epoch = stack.enter_context(events)
        stop = stack.enter_context(stop_requests())
        session.train(lambda: world.any(stop()), write_epoch)
    return run
