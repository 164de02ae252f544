"""A sweep: the plan's missing trials as one Ray Tune run over reused actors.

Tune schedules, retries crashed workers and tells the live view what happens. Its own experiment state is scratch: what
is finished is what the results folder says.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from sweeper.audio.sides import Sides
from sweeper.audio.store import ClipStore
from sweeper.execution import multi_worker
from sweeper.execution.cluster import MOST_WAITING, cluster, grows, trial_resources
from sweeper.execution.interrupt import Brake, PlanSearcher, graceful
from sweeper.execution.loggers import keep_event_files, logger_callback
from sweeper.execution.memory import memory_per_trial
from sweeper.execution.progress import Progress
from sweeper.execution.watchdog import Watchdog
from sweeper.execution.worker import FoldClips, Sweep, train_trial
from sweeper.plan import PlanError, TrialSpec
from sweeper.results.store import Study


@dataclass(frozen=True)
class Failure:
    """A trial that did not finish, and why."""

    spec: TrialSpec
    error: str


def run_sweep(
    trials: Sequence[TrialSpec],
    folds: Mapping[int, Sides],
    study: Study,
    store: ClipStore,
    *,
    cpus: int = 1,
    gpus: float | None = None,
    max_failures: int = 2,
    address: str | None = None,
    loggers: Sequence[str] = (),
    workers: int = 1,
) -> tuple[Failure, ...]:
    """Run `trials` and commit each; a trial's failure does not stop the others.

    Each trial holds `cpus` and `gpus`, or, with several `workers`, each of its workers does.

    Returns:
        the trials that failed. After an interrupt, trials that were neither finished nor failed are just missing.

    Raises:
        PlanError: a single trial needs more than the machine has, or can't be shared by so many workers.
    """
    if workers < 1:
        raise PlanError(f"--workers-per-trial {workers}: at least 1")
    watching = [logger_callback(name, study) for name in loggers]
    parts = {id(part): part for data in folds.values() for part in (*data.train, *data.test)}
    with (
        cluster(address, sum(part.samples.nbytes for part in parts.values())),
        tempfile.TemporaryDirectory() as scratch,
        contextlib.ExitStack() as stack,
    ):
        resources = trial_resources(cpus, gpus, len(trials) * workers)
        memory = memory_per_trial([multi_worker.share_of_batch(trial, workers) for trial in trials], resources)
        # Each node fetches them once, whatever it trains.
        references = {key: ray.put(part) for key, part in parts.items()}
        sweep = Sweep(
            study=study,
            specs={trial.trial_id: trial for trial in trials},
            folds={
                fold: FoldClips(
                    tuple(references[id(part)] for part in data.train),
                    tuple(references[id(part)] for part in data.test),
                    data.leak,
                )
                for fold, data in folds.items()
            },
            classes=store.dataset.classes,
            synthetic=store.dataset.synthetic,
            data_digest=store.digest,
            cpus=resources.cpus,
            gpus=resources.gpus,
            max_failures=max_failures,
        )
        if workers == 1:
            held = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": memory}
            trainable, at_once = tune.with_resources(tune.with_parameters(train_trial, sweep=sweep), held), None
        else:
            trainable, at_once = stack.enter_context(multi_worker.trainable(sweep, workers, memory))
        # Of a searcher's trials Tune lets one wait. The autoscaler would see one at a time, and start nodes one by one.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(trials), MOST_WAITING) if grows() else 1)
        searcher, stopper = PlanSearcher([trial.trial_id for trial in trials]), Brake()
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=len(trials),
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=_name,
                trial_name_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=study.name,
                storage_path=scratch,
                verbose=0,
                stop=stopper,
                callbacks=[Progress(trials), Watchdog(), *watching],
                failure_config=tune.FailureConfig(max_failures=max_failures),
            ),
        )
        with graceful(searcher, stopper):
            results = tuner.fit()
        keep_event_files(Path(scratch), study)
        return _failures(results, sweep.specs, max_failures)


def _name(trial: Any) -> str:
    return str(trial.config["trial_id"])


def _failures(results: Any, specs: Mapping[str, TrialSpec], max_failures: int) -> tuple[Failure, ...]:
    failures = []
    for result in results:
        spec = specs[result.config["trial_id"]] if result.config else None
        if spec is None:
            continue
        if result.error is not None:
            reason = str(result.error).strip().splitlines()[-1]
            failures.append(Failure(spec, f"its worker died {max_failures + 1} times: {reason}"))
        elif (result.metrics or {}).get("outcome") == "failed":
            failures.append(Failure(spec, result.metrics["error"]))
    return tuple(failures)
