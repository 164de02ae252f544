"""What a trial costs that trains nothing: `python -m tests.benchmarks.trial_overhead [--trials 50] [--documented 3]`.

Ours: the sweep as users run it (Tune, reused actors, live view, atomic commit), with training replaced by nothing; but
the first trial of each actor lasts some seconds, as trials do: while workers still start, Tune gives a trial that waits
for its worker to one that is free, and ends the one that starts.
Documented: Tune starts a function that starts a one-worker TorchTrainer, as Ray's documentation shows it. Both in one
run on one machine. Also prints the cost per trial over the first and the last tenth of ours, which must not grow.
"""

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from sweeper import garbage
from sweeper.audio import datasets
from sweeper.audio.fold_data import cut
from sweeper.audio.store import prepare
from sweeper.execution import sweep as sweep_module
from sweeper.execution.worker import SweepContext, circumstances
from sweeper.plan import build_plan
from sweeper.results.attempts import Cost
from sweeper.results.rows import failed_row
from sweeper.results.store import Study
from tests.studies import ARMS, PAPER, RECIPES

# What a complete row must say, of a trial that was none.
NOTHING = {
    "status": "complete",
    **dict.fromkeys(("accuracy", "accuracy_ema", "gflops_per_clip", "seconds"), 0.0),
    **dict.fromkeys(("train_clips", "test_clips", "parameters"), 1),
}


FIRST_SECONDS = 5.0  # until other workers have started as well
_met: set[str] = set()  # runs whose first trial this process has had


def trains_nothing(config: dict[str, Any], sweep: SweepContext) -> None:
    """Commits a row at once."""
    if sweep.run not in _met:
        _met.add(sweep.run)
        time.sleep(FIRST_SECONDS)
    spec = config["spec"]
    row = failed_row(spec, circumstances(sweep, spec), "")
    sweep.study.commit(row | asdict(Cost(1, 0.0, 0.0)) | NOTHING, [], [])
    tune.report({"outcome": "complete", "accuracy": 0.0, "seconds": 0.0})


def ours(count: int) -> np.ndarray:
    """Seconds since the first commit at which each trial was committed, sorted, `[count]`."""
    garbage.look_seldom()  # as the command line does
    dataset = datasets.load("demo", None)
    store = prepare(dataset, 8000)
    plan = build_plan(
        study="overhead",
        source=PAPER,
        arms=[ARMS["full"]],
        recipe=RECIPES["quick"](),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=count,
    )
    sweep_module.train_trial = trains_nothing
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder) / "overhead")
        study.create()
        sweep_module.run_sweep(plan.trials, cut(store, "official", (1,)), study, store)
        print(f"{len(list((study.folder / 'trials').iterdir()))} files hold the rows")
        times = np.sort(study.trials()["finished"].to_numpy())
    return (times - times[0]) / np.timedelta64(1, "s")


def documented(count: int) -> list[float]:
    """Seconds of each of `count` trials, one after another, the way the documentation shows."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    def nothing() -> None:

        ray.train.report({"accuracy": 0.0})

    def driver(config: dict[str, int]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            TorchTrainer(
                nothing, scaling_config=ScalingConfig(num_workers=1), run_config=RunConfig(storage_path=folder)
            ).fit()
        tune.report({"now": time.time()})

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        results = tune.Tuner(
            tune.with_resources(driver, {"CPU": 1}),
            param_space={"i": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=1),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        ends = sorted(result.metrics["now"] for result in results)
    ray.shutdown()
    return list(np.diff([began, *ends]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--documented", type=int, default=3, help="trials of the documented way; 0 leaves it out")
    arguments = parser.parse_args()
    times = ours(arguments.trials)
    actors = min(len(times) // 2, 8)  # the first trial of each actor pays for its start
    each = float(times[-1] - times[actors]) / (len(times) - 1 - actors)
    print(f"ours: {len(times)} trials, {each:.3f} s per trial beyond the first of each actor")
    tenth = max(len(times) // 10, 2)
    first, last = times[actors : actors + tenth], times[-tenth:]
    per_first, per_last = (float(np.ptp(part)) / (len(part) - 1) for part in (first, last))
    print(
        f"      first {tenth}: {per_first:.4f} s per trial, last {tenth}: {per_last:.4f} s, "
        f"ratio {per_last / per_first:.2f}"
    )
    if arguments.documented:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # Ray keeps the token of ours
            seconds = fresh.submit(documented, arguments.documented).result()
        rest = float(np.mean(seconds[1:])) if len(seconds) > 1 else float("nan")
        print(
            f"documented (Tune + TorchTrainer): first {seconds[0]:.1f} s, each further {rest:.1f} s; "
            f"ratio {rest / each:.0f}"
        )


if __name__ == "__main__":
    main()
