"""A small grid end to end, beside plain Ray Tune + TorchTrainer + DataLoader, in one run.

    python -m tests.benchmarks.plain_ray [--arms full garm] [--seeds 2] [--rounds 1]

Ours: `python -m sweeper run ablations`, from Enter to its tables. Plain: a process of its own that trains the same grid
of the same networks (the demo, recipe `quick`: the same clips, epochs, batch size and scores) as the documentation of
Ray shows it: Tune starts a function per trial, this a one-worker TorchTrainer, this a training loop with a DataLoader
that augments clip by clip (`augmentation.PerClip`, which is what public code does), torch's AdamW, OneCycleLR and
AveragedModel. It is given the decoded clips, as many trials at once as there are cores, and writes no leaderboard.
Both find the demo's clips decoded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loky import cpu_count
from torch import Tensor

from sweeper.audio.clips import Clips
from sweeper.model.build import build
from sweeper.model.output import as_output
from sweeper.plan import TrialSpec, build_plan
from tests.benchmarks.augmentation import PerClip
from tests.benchmarks.step_against import cpu_name
from tests.studies import ARMS, PAPER, RECIPES


class PlainClips(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """One clip at a time: padded or cut, levelled, augmented; int16 clips, each with its class."""

    def __init__(self, clips: list[tuple[np.ndarray, int]], length: int, augmented: PerClip | None) -> None:
        self.clips, self.length, self.augmented = clips, length, augmented

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        samples, target = self.clips[index]
        spare = len(samples) - self.length
        if spare > 0:
            start = np.random.randint(spare + 1) if self.augmented else spare // 2
            samples = samples[start : start + self.length]
        clip = np.pad(samples, (0, self.length - len(samples))).astype(np.float32)
        clip *= 0.95 / max(np.abs(clip).max(), 1.0)
        if self.augmented:
            clip = self.augmented.signal(clip)
        return torch.from_numpy(clip).unsqueeze(0), target


def train_plainly(config: dict[str, Any]) -> None:
    """The training loop of one trial, as tutorials have it."""
    import ray.train

    spec: TrialSpec = config["spec"]
    training, length, rate = spec.training, spec.data.length, spec.data.sample_rate
    torch.manual_seed(spec.seed)
    torch.set_num_threads(1)
    network = build(spec.model, spec.seed)
    loader = torch.utils.data.DataLoader(
        PlainClips(config["train"], length, PerClip(rate, spec.replicate)), training.batch_size, shuffle=True
    )
    tested = torch.utils.data.DataLoader(PlainClips(config["test"], length, None), training.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=training.max_lr, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.max_lr, epochs=training.epochs, steps_per_epoch=len(loader)
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(training.ema.decay)
    )
    for _ in range(training.epochs):
        network.train()
        for waveforms, targets in loader:
            loss = torch.nn.functional.cross_entropy(
                as_output(network(waveforms)).logits, targets, label_smoothing=training.label_smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
            optimiser.step()
            schedule.step()
            averaged.update_parameters(network)
    scores = []
    for scored in (network, averaged):
        scored.eval()
        with torch.no_grad():
            hits = [as_output(scored(w)).logits.argmax(1) == targets for w, targets in tested]
        scores.append(float(torch.cat(hits).float().mean()))
    # Without a checkpoint, Ray Train hands no metrics on.
    Path(config["scores"]).write_text(json.dumps({"accuracy": scores[0], "accuracy_ema": scores[1]}), "utf-8")
    ray.train.report({"accuracy": scores[0], "accuracy_ema": scores[1]})


def plain(arms: list[str], seeds: int) -> None:
    """The whole grid, one result per trial, as JSON."""
    import ray
    from ray import tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from sweeper.audio import datasets
    from sweeper.audio.fold_data import cut
    from sweeper.audio.store import prepare

    store = prepare(datasets.load("demo", None), RECIPES["quick"]().sample_rate, progress=False)
    data = cut(store, "official", (1,))[1]
    train, test = (
        [(part.samples[o : o + n], int(t)) for part in side for o, n, t in _rows(part)]
        for side in (data.train, data.scored)
    )

    def driver(config: dict[str, Any], train: Any, test: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            scores = Path(folder) / "scores.json"
            TorchTrainer(
                train_plainly,
                train_loop_config={"spec": config["spec"], "train": train, "test": test, "scores": str(scores)},
                scaling_config=ScalingConfig(num_workers=1),
                run_config=RunConfig(storage_path=folder),
            ).fit()
            tune.report(json.loads(scores.read_text("utf-8")))

    cores = cpu_count()
    # Drivers only wait, so they hold next to nothing of one core more than there is: each core has a trial.
    ray.init(address="local", num_cpus=cores + 1, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(driver, train=train, test=test), {"CPU": 0.01}),
            param_space={"spec": tune.grid_search(list(_grid(arms, seeds)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=cores),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        if results.errors:
            sys.exit(f"{len(results.errors)} trials failed: {results.errors[0]}")
        accuracies = [round(result.metrics["accuracy"], 3) for result in results]
    ray.shutdown()
    print(json.dumps(accuracies))


def _rows(part: Clips) -> Iterator[tuple[int, int, int]]:
    return zip(part.offsets, part.lengths, part.targets, strict=True)


def _grid(arms: list[str], seeds: int) -> tuple[TrialSpec, ...]:
    return build_plan(
        study="plain",
        source=PAPER,
        arms=[ARMS[arm] for arm in arms],
        recipe=RECIPES["quick"](),
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=seeds,
    ).trials


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=["full", "garm"], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain(args.arms, args.seeds)
        return
    grid = ["--seeds", str(args.seeds)]
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for index in range(args.rounds):
        for name in ("ours", "plain") if index % 2 else ("plain", "ours"):
            with tempfile.TemporaryDirectory() as folder:
                ours = ["sweeper", "run", "ablations", "--arm", *args.arms, *grid, "--results", folder]
                theirs = ["tests.benchmarks.plain_ray", "--plain", "--arms", *args.arms, *grid]
                command = [sys.executable, "-m", *(ours if name == "ours" else theirs)]
                began = time.monotonic()
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                seconds[name].append(time.monotonic() - began)
            if done.returncode:
                sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
            print(f"{name}: {seconds[name][-1]:.1f} s; {done.stdout.strip().splitlines()[-1]}", flush=True)
    ours_median, plain_median = (statistics.median(seconds[name]) for name in ("ours", "plain"))
    trials = len(_grid(args.arms, args.seeds))
    print(
        f"{trials} trials on {cpu_name()}: ours {ours_median:.1f} s, plain Ray Tune + TorchTrainer + DataLoader "
        f"{plain_median:.1f} s, ratio {plain_median / ours_median:.1f}"
    )


if __name__ == "__main__":
    main()
