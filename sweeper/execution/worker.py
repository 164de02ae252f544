"""What runs in a Tune actor: one trial after another, in a process that has torch imported and warm.

Clips come out of Ray's object store as read-only views: the training parts at the start, the test parts only when
`run_trial` asks for them after the last epoch. The worker commits its own result, so a finished trial survives whatever
happens to the driver.
"""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweeper.garbage import leave_out_what_is_there, staying

with staying():
    import ray
    import torch
    from ray import tune

    from sweeper.audio.places import cache_folder
    from sweeper.execution.notices import watched
    from sweeper.execution.own_ray import ALLOCATOR
    from sweeper.plan import TrialSpec
    from sweeper.results.attempts import Attempt, attempt, cost_of_running
    from sweeper.results.evidence import new_mark
    from sweeper.results.rows import Circumstances, complete_row, curve_rows, failed_row, prediction_rows
    from sweeper.results.store import Study
    from sweeper.study_file import file_name, with_network
    from sweeper.training import weights
    from sweeper.training.fit import Diverged, Epoch, Fitted, TrialLeft, Wish
    from sweeper.training.raised import place_in_code
    from sweeper.training.trial import TrialResult, run_trial

REPORT_SECONDS = 0.5
SIGN_SECONDS = 60.0  # between signs of life, as an epoch may take hours
BACKOFF_SECONDS = 2.0  # before the first retry; doubles with each further one
MAX_BACKOFF_SECONDS = 60.0

Row = dict[str, Any]


@dataclass(frozen=True)
class FoldClips:
    """References to one fold's `FoldData` in the object store."""

    train: tuple["ray.ObjectRef[Any]", ...]
    scored: tuple["ray.ObjectRef[Any]", ...]
    leak: str


@dataclass(frozen=True)
class SweepContext:
    """What all trials of a sweep share. Small: the clips are references.

    `seeds`: how many of an arm may train as one program; `measured`: only where that was measured to be faster.
    """

    study: Study
    folds: Mapping[int, FoldClips]
    classes: tuple[str, ...]
    synthetic: bool
    data_digest: str
    cpus: int
    gpus: float
    max_failures: int
    follow: bool = False
    run: str = ""
    seeds: int = 1
    measured: bool = False


def tune_config(spec: TrialSpec, others: Sequence[TrialSpec] = ()) -> dict[str, Any]:
    """A trial, and others that train with it, as Tune is given them.

    The worker is handed the specs: a search's are not known when the sweep begins.
    """
    return {"trial_id": spec.trial_id, "spec": spec} | ({"others": list(others)} if others else {})


def specs_of(config: Mapping[str, Any]) -> tuple[TrialSpec, ...]:
    """The trials of such a config."""
    return config["spec"], *config.get("others", ())


def train_trial(config: dict[str, Any], sweep: SweepContext) -> None:
    """Tune's function trainable: run and commit the trial `config["spec"]` in this process."""
    tune.report(started())  # returns unless Tune stops the trial here
    spec = opened(config["spec"], sweep)
    hold(sweep)
    train_alone(spec, sweep)


def hold(sweep: SweepContext) -> None:
    """Keep this process to what a trial holds; the allocator that it was given is not for programs that it starts."""
    if os.environ.get("MALLOC_CONF") == ALLOCATOR["MALLOC_CONF"]:
        for name in ("LD_PRELOAD", "MALLOC_CONF"):
            os.environ.pop(name, None)
    leave_out_what_is_there()
    torch.set_num_threads(sweep.cpus)
    if 0 < sweep.gpus < 1:  # a trial that takes more than its share must fail, not those beside it
        torch.cuda.set_per_process_memory_fraction(sweep.gpus)


def train_alone(spec: TrialSpec, sweep: SweepContext) -> None:
    """Run and commit one trial in this process, and tell Tune how it ended."""
    fold = sweep.folds[spec.data.fold]

    def run() -> Row:
        with (
            recorded(sweep, spec) as running,
            sweep.study.checkpoint(spec.trial_id) as state,
            watched() as wish,
        ):
            result, fitted = run_trial(
                spec,
                ray.get(list(fold.train)),
                lambda: ray.get(list(fold.scored)),
                device=device_of(sweep),
                state=state.path,
                on_state=lambda: state.save(often=not wish()),
                on_epoch=epoch_reporter(tune.report, spec.training.epochs),
                follow=sweep.follow,
                wish=with_signs(wish, tune.report),
            )
            return commit_result(sweep, result, fitted, running)

    run_with_retries(sweep, spec, run)


def device_of(sweep: SweepContext) -> torch.device:
    """Where the sweep's trials compute."""
    return torch.device("cuda" if sweep.gpus else "cpu")


def opened(spec: TrialSpec, sweep: SweepContext) -> TrialSpec:
    """The trial with its network: what was sent is data, and a user's code lies in the study's results."""
    return with_network(spec, sweep.study.storage, cache_folder())


def run_with_retries(sweep: SweepContext, spec: TrialSpec, run: Callable[[], Row]) -> None:
    """`run` a trial until it is committed or has failed too often, and tell Tune how it ended.

    An exception is retried in this process, from the trial's own checkpoint; divergence is not, it would only happen
    again. A trial that keeps failing is recorded and reported, not raised, so that the sweep goes on with a warm
    process. What ends the process, and CUDA errors, after which it is of no use, are Tune's to retry in a new one.
    """
    for failures in range(sweep.max_failures + 1):
        begin_try(failures)
        if sweep.study.is_finished(spec.trial_id):  # by another cluster on the same folder, or just before a crash
            tune.report({"outcome": "complete"})
            return
        try:
            row = run()
        except TrialLeft:
            tune.report({"outcome": "left"})
            return
        except Exception as error:
            failure = failed_try(error)
            if isinstance(error, Diverged):
                break
        else:
            tune.report(completed(row))
            return
    tune.report(failed(sweep, spec, failure))


def begin_try(failures: int) -> None:
    """Before each try: free what the one before held, and wait the longer, the more of them failed."""
    free_gpu()
    if failures:
        time.sleep(min(BACKOFF_SECONDS * 2 ** (failures - 1), MAX_BACKOFF_SECONDS))


def failed_try(error: Exception) -> Exception:
    """What went wrong in a try, and where, to be kept; raises it again if only a new process could go on."""
    if isinstance(error, torch.AcceleratorError):
        raise error
    if place := place_in_code(error):
        error.add_note(place)
    # Without its frames: they hold the network and all that it had put on the GPU.
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def completed(row: Row) -> Row:
    """What Tune is told of a trial that committed this row."""
    return {"outcome": "complete", "accuracy": row["accuracy"], "seconds": row["seconds"]}


def failed(sweep: SweepContext, spec: TrialSpec, failure: Exception) -> Row:
    """Record a trial's failure; returns what Tune is told of it."""
    more = next((note for note in reversed(getattr(failure, "__notes__", [])) if note.startswith(" (")), "")
    if isinstance(failure, torch.OutOfMemoryError):
        more = " Give each trial more of a GPU (--gpus-per-trial), or choose a smaller recipe."
    reason = " ".join(f"{type(failure).__name__}: {failure}{more}".split())  # a line: torch's may be several
    curve = curve_rows(spec.trial_id, failure.curve) if isinstance(failure, Diverged) else []
    with contextlib.suppress(OSError):  # a full disk, say, which may be the very reason
        row = failed_row(spec, circumstances(sweep, spec), reason)
        cost = cost_of_running(sweep.study, spec.trial_id, complete=False)
        sweep.study.record_failure(row | asdict(cost), curve)
    return {"outcome": "failed", "error": reason}


@contextlib.contextmanager
def recorded(sweep: SweepContext, spec: TrialSpec, workers: float = 1) -> Iterator[Attempt]:
    """An attempt at a trial by so many workers, or a share of one. That which ends as was wished has not failed."""
    held = {"cpus": workers * sweep.cpus, "gpus": workers * sweep.gpus}
    with attempt(sweep.study, spec.trial_id, device=device_name(sweep), run=sweep.run, **held) as running:
        try:
            yield running
        except TrialLeft:
            running.outcome = "stopped"
            raise


def free_gpu() -> None:
    """Give back what an earlier try or trial of this process held on the GPU, also to trials beside it on the card."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()  # an optimiser and its scheduler hold each other
        torch.cuda.empty_cache()


def commit_result(sweep: SweepContext, result: TrialResult, fitted: Fitted, running: Attempt) -> Row:
    """Write weights, predictions and curve, and then the row that declares the trial finished; returns the row."""
    spec, mark = result.spec, new_mark()
    cost = cost_of_running(sweep.study, spec.trial_id, complete=True, running=running)
    row = complete_row(result, circumstances(sweep, spec)) | asdict(cost) | {"evidence": mark}
    answers = prediction_rows(spec.trial_id, result.predictions)
    with sweep.study.draft() as draft:
        weights.save(draft, fitted, spec, sweep.classes, mark, file=file_name(spec.code))
        sweep.study.commit(row, curve_rows(spec.trial_id, result.curve), answers, draft)
    return row


def circumstances(sweep: SweepContext, spec: TrialSpec, threads: int | None = None) -> Circumstances:
    """What the trial's row says about data and machine; `threads`: of its worker, if that is another process."""
    return Circumstances(
        synthetic=sweep.synthetic,
        leak=sweep.folds[spec.data.fold].leak,
        data_digest=sweep.data_digest,
        device=device_name(sweep),
        threads=threads or torch.get_num_threads(),
    )


def device_name(sweep: SweepContext) -> str:
    """'cpu', or the name of the GPU that this process may use; 'GPU' where only its workers have one."""
    if not sweep.gpus:
        return "cpu"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "GPU"


def epoch_reporter(send: Callable[[Row], object], epochs: int) -> Callable[[Epoch], None]:
    """A callback for `fit` that `send`s the driver each epoch, at most every half second: short ones must not flood it.

    An epoch with a validation accuracy, by which a search may stop trials, is always sent: or trials would be compared
    at different epochs. So is the last of all `epochs`: see `Watchdog`.
    """
    last = 0.0

    def report(point: Epoch) -> None:
        nonlocal last
        followed = point.validation_accuracy is not None
        if followed or point.epoch + 1 == epochs or time.monotonic() - last > REPORT_SECONDS:
            last = time.monotonic()
            send(
                epoch_row(point)
                | whereabouts()
                | ({"validation_accuracy": point.validation_accuracy} if followed else {})
            )

    return report


def with_signs(wish: Callable[[], Wish], send: Callable[[Row], object]) -> Callable[[], Wish]:
    """`wish`, which `fit` asks after each step; with it, the driver is sent a sign of life each minute."""
    last = time.monotonic()

    def asked() -> Wish:
        nonlocal last
        if time.monotonic() - last > SIGN_SECONDS:
            last = time.monotonic()
            send(whereabouts())
        return wish()

    return asked


def epoch_row(point: Epoch) -> Row:
    """What the driver is told of an epoch."""
    return {
        "epoch": point.epoch + 1,
        "loss": point.loss,
        "train_accuracy": point.train_accuracy,
        "learning_rate": point.learning_rate,
        "clips_per_second": point.clips_per_second,
        "epoch_seconds": point.seconds,
    }


def started() -> Row:
    """A trial's first report, after which Tune goes on or stops it."""
    return {"outcome": "started"} | whereabouts()


def whereabouts() -> Row:
    """This process and its node."""
    return {"process": os.getpid(), "node_id": ray.get_runtime_context().get_node_id()}
