"""Golden learning curves: what the first three steps of every arm give, to be seen whenever numerics change.

    python -m tests.training.golden            writes golden_curves.json anew, and prints what changed

A change that is meant to leave the numbers alone must not need this command. One that is meant to change them comes
with the new file, whose diff is its loss curve. Every part of the recipe is on: all augmentations and mixings, EMA,
distillation where there are two branches, in float32 on a CPU.

An epoch is one step of all clips. Steps multiply the last bits in which processors differ: after three such steps,
losses computed with SSE4.1, AVX2 and AVX-512 kernels differed by at most 4e-5 of their values, after nine steps of
smaller batches by a tenth. A Fourier transform is another matter: in mixing phases, that of a bin without energy is
rounding, and rounding of another kind is another phase, by which losses differ by 1e-3. So all of this runs in a
process that keeps MKL to the operations that all processors have (`PORTABLE`).
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from sweeper.audio.clips import Clips
from sweeper.augmentation_config import AugmentationConfig, MixingConfig
from sweeper.model.config import SIZES
from sweeper.plan import build_plan
from sweeper.study import Recipe
from sweeper.training.batches import Batches
from sweeper.training.fit import fit
from sweeper.training_config import DistillationConfig, EMAConfig, TrainingConfig
from tests.studies import ARMS, PAPER

FILE = Path(__file__).with_name("golden_curves.json")
COMMAND = "python -m tests.training.golden"
RATE, SECONDS, CLASSES, CLIPS = 8000, 0.25, 3, 24
DIGITS = 6
PORTABLE = {"MKL_CBWR": "COMPATIBLE"}  # MKL reads it once

Curve = Mapping[str, list[float]]

RECIPE = Recipe(
    "golden",
    network=SIZES["tiny"],
    training=TrainingConfig(
        epochs=3,
        batch_size=CLIPS,
        max_lr=3e-4,
        ema=EMAConfig(0.9),
        distillation=DistillationConfig(),
        augmentation=AugmentationConfig(mixing=MixingConfig(probability=0.5, warmup_epochs=1)),
    ),
    sample_rate=RATE,
    seconds=SECONDS,
)


def clips() -> Clips:
    """Square waves in noise, whose pitch tells the class; of integers alone, so the same on every machine."""
    rng = np.random.default_rng(0)
    targets = np.arange(CLIPS, dtype=np.int64) % CLASSES
    lengths = rng.integers(1200, 2400, CLIPS).astype(np.int32)
    waves = [
        4000 * (-1) ** (np.arange(length) // (4 + 3 * target)) + rng.integers(-2000, 2001, length)
        for length, target in zip(lengths, targets, strict=True)
    ]
    return Clips(
        samples=np.concatenate(waves).astype(np.int16),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)[:-1]]),
        lengths=lengths,
        targets=targets,
        ids=np.array([f"clip{i}" for i in range(CLIPS)]),
        groups=np.array([f"clip{i}" for i in range(CLIPS)]),
        rows=np.arange(CLIPS),
        sample_rate=RATE,
    )


def curve(arm: str) -> Curve:
    """Losses of an arm: of each epoch's batches, and after the last of the plain clips, by both sets of weights."""
    plan = build_plan(
        study="golden",
        source=PAPER,
        arms=[ARMS[arm]],
        recipe=RECIPE,
        dataset="squares",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=1,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fitted = fit(plan.trials[0], [clips()], device=torch.device("cpu"))
        return {
            "epochs": [round(point.loss, DIGITS) for point in fitted.curve],
            "after": [round(_loss(network), DIGITS) for network in (fitted.network, fitted.averaged)],
        }
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _loss(network: torch.nn.Module) -> float:
    (batch,) = Batches([clips()], round(RATE * SECONDS), torch.device("cpu")).evaluation(CLIPS)
    return float(F.cross_entropy(network.eval()(batch.waveforms).logits, batch.targets))


def curves() -> dict[str, Curve]:
    """Those of all arms, from a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "print"]
    done = subprocess.run(command, env=os.environ | PORTABLE, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Curve] = json.loads(done.stdout)
    return found


def main() -> None:
    """Write the file anew, and print what changed; with `print`, print the curves of this process as JSON."""
    if sys.argv[1:] == ["print"]:
        print(json.dumps({arm: curve(arm) for arm in ARMS}))
        return
    old = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    new = curves()
    for arm, values in new.items():
        print(f"{arm:14} {values}" if values == old.get(arm) else f"{arm:14} {old.get(arm)} → {values}")
    rows = ",\n".join(f'"{arm}": {json.dumps(values)}' for arm, values in new.items())
    FILE.write_text("{\n" + rows + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
