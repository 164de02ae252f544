"""How much faster a training step is than in another checkout, on one CPU thread, in one run.

    git worktree add ../before COMMIT
    python -m tests.benchmarks.step_against ../before [--rounds 40] [--results DIR]

The full network of the paper's study at `quick` and at `small`, as `fit` trains it: gathering, augmentation, forward,
loss, backward, clipping, AdamW, average. Processes take turns, a few steps each, while the others wait, so that
whatever else the machine does slows all alike. A step's time is that of its thread on a core; the
median over all turns, and the shortest. After the same number of steps the losses of both are compared.

One trains by the code of the other checkout, and two by this one's: one like that, and one with the allocator that a
sweep on this machine's own Ray gives to its workers ("in a worker").
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RECIPES = ("quick", "small")
STEPS = {"quick": 5, "small": 2}  # in one turn
WARMUP_TURNS, CLIPS, CLASSES = 2, 128, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each checkout")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", metavar="DIR")
    args = parser.parse_args()
    rows = []
    for recipe in RECIPES:
        rows += _rows(recipe, args.before.resolve(), args.rounds)
        print(*rows[-2:], sep="\n", flush=True)
    text = "\n".join(
        [
            f"# A training step against an earlier commit, on {cpu_name()}",
            "",
            f"`python -m tests.benchmarks.step_against BEFORE --rounds {args.rounds}`: {commit(args.before)} against "
            f"{commit(Path.cwd())}; float32, one thread, ms of a core per step.",
            "",
            "| recipe | batch | before, median | shortest | after, median | shortest | clips/s before | after | ratio "
            "| of the shortest | loss differs by |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )
    print(text)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "step_against.md").write_text(text, "utf-8")


def _rows(recipe: str, before: Path, rounds: int) -> list[str]:
    after = Path(__file__).parents[2]
    stepping = [_Stepping(before, recipe, {}), _Stepping(after, recipe, {}), _Stepping(after, recipe, of_a_worker())]
    times: list[list[float]] = [[] for _ in stepping]
    for turn in range(WARMUP_TURNS + rounds):
        for which in range(3) if turn % 2 else reversed(range(3)):
            seconds = stepping[which].turn()
            if turn >= WARMUP_TURNS:
                times[which].extend(seconds)
    losses = [each.close() for each in stepping]
    batch = stepping[0].batch
    old, old_least = statistics.median(times[0]), min(times[0])
    rows = []
    for which, name in enumerate((recipe, f"{recipe}, in a worker"), start=1):
        new, new_least = statistics.median(times[which]), min(times[which])
        cells = [name, str(batch), *(f"{1e3 * value:.1f}" for value in (old, old_least, new, new_least))]
        cells += [f"{batch / old:.0f}", f"{batch / new:.0f}", f"{old / new:.2f}", f"{old_least / new_least:.2f}"]
        cells += [f"{abs(losses[which] / losses[0] - 1):.0e}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def of_a_worker() -> dict[str, str]:
    """What a sweep's workers have in their environment and other processes have not."""
    from sweeper.execution.own_ray import ALLOCATOR

    found = find_spec("ray")
    assert found is not None and found.origin is not None
    library = Path(found.origin).parent / "core" / "libjemalloc.so"
    assert library.exists(), f"{library}: no such allocator comes with this Ray"
    return ALLOCATOR | {"LD_PRELOAD": str(library)}


class _Stepping:
    """A process that trains by the code of one checkout, a turn at a time."""

    def __init__(self, checkout: Path, recipe: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "serve", recipe],
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", **environment},
            cwd=checkout,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.batch = int(self._ask())

    def turn(self) -> list[float]:
        seconds: list[float] = self._ask("turn")
        return seconds

    def close(self) -> float:
        loss = float(self._ask("loss"))
        self._process.communicate()
        return loss

    def _ask(self, what: str = "") -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        if what:
            print(what, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def serve(recipe: str) -> None:
    """What each process does: a turn for each line of input."""
    import torch

    torch.set_num_threads(1)
    run = _run(recipe)
    print(run.spec.training.batch_size, flush=True)
    plan = run.batches.training_epoch(0, 0, run.spec.training.batch_size)
    for line in sys.stdin:
        if line.strip() == "loss":
            print(json.dumps(float(run._totals[0] / run._totals[2])), flush=True)
            return
        seconds = []
        for _ in range(STEPS[recipe]):
            begin = time.thread_time()
            run._step(run.batches.gather(*plan[run.position % len(plan)]))
            run.position += 1
            seconds.append(time.thread_time() - begin)
        print(json.dumps(seconds), flush=True)


def _run(name: str) -> Any:
    from dataclasses import replace

    import numpy as np
    import torch

    from sweeper.audio.clips import Clips
    from sweeper.plan import build_plan
    from sweeper.search_spaces import recipes
    from sweeper.training import fit
    from sweeper.training.batches import Batches
    from sweeper.training.distributed import ALONE
    from tests.studies import ARMS, PAPER, REFERENCE

    recipe = getattr(recipes, name)()
    # So many epochs that the one-cycle schedule doesn't end before the measurement.
    recipe = replace(recipe, training=replace(recipe.training, epochs=10_000))
    (spec,) = build_plan(
        study="step",
        source=PAPER,
        arms=[ARMS[REFERENCE]],
        recipe=recipe,
        dataset="noise",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=1,
    ).trials
    length = spec.data.length
    names = np.array([str(i) for i in range(CLIPS)])
    clips = Clips(
        samples=np.random.default_rng(0).integers(-(2**15), 2**15, CLIPS * length, dtype=np.int16),
        offsets=np.arange(CLIPS, dtype=np.int64) * length,
        lengths=np.full(CLIPS, length, dtype=np.int32),
        targets=np.arange(CLIPS, dtype=np.int64) % CLASSES,
        ids=names,
        groups=names,
        sample_rate=spec.data.sample_rate,
        **({"rows": np.arange(CLIPS)} if "rows" in Clips.__dataclass_fields__ else {}),  # an earlier commit has none
    )
    cpu = torch.device("cpu")
    return fit._Run(spec, Batches([clips], length, cpu), cpu, ALONE)


def cpu_name() -> str:
    """The processor's name, as Linux has it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def commit(checkout: Path) -> str:
    """Which one is checked out there."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=checkout, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "a checkout without git"


if __name__ == "__main__":
    serve(sys.argv[2]) if sys.argv[1:2] == ["serve"] else main()
