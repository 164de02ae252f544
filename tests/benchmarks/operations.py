"""How many operations a training step gives to a device that is no CPU: one seed by itself, and several as one program.

    python -m tests.benchmarks.operations

For a small network, a GPU computes an operation sooner than the host can ask for the next one, so a step takes as long
as there are operations. They are counted on torch's meta device, without a GPU. Views, which compute nothing, don't
count; an LSTM counts as one operation forward and one backward, as cuDNN has it; AdamW as the few that it is without
its fused form. Steps are after mixing's warm-up.
"""

import argparse

import pytest
import torch
from torch import Tensor

from sweeper.training import fused_template
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from sweeper.training.fit import _Run
from sweeper.training.fused_check import noise, take_step, take_steps
from sweeper.training.fused_stack import Stack
from tests.benchmarks.fused_seeds import _specs
from tests.training.meta import META, OneDevice, make_up

STEPS = 20


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, features: int, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        return x.new_empty(*x.shape[:2], features)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        into_x, *into_weights = (torch.empty_like(value) for value in ctx.saved_tensors)
        return into_x, None, *into_weights


def _lstm(x: Tensor, state: tuple[Tensor, Tensor], weights: list[Tensor], *_flags: object) -> tuple[Tensor, ...]:
    return _LSTM.apply(x, 2 * state[0].shape[-1], *weights), *state


def count(recipe: str, seeds: int, fused: bool) -> tuple[float, float]:
    """Operations of a step on the device and on the host."""
    specs = _specs(recipe, seeds)
    clips = noise(specs[0], STEPS * specs[0].training.batch_size, 0)
    batches = Batches([clips], specs[0].data.length, META)
    runs = [_Run(spec, batches, META, ALONE) for spec in specs]
    for run in runs:
        run.epoch = specs[0].training.augmentation.mixing.warmup_epochs
    stack = Stack(runs) if fused else None
    with OneDevice() as mode:
        for _ in range(STEPS):
            take_steps(stack) if stack else take_step(runs[0])
    return mode.count / STEPS, mode.on_host / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 4, 8, 16])
    args = parser.parse_args()
    with pytest.MonkeyPatch.context() as patch:
        make_up(patch)
        patch.setattr(torch._VF, "lstm", _lstm)
        patch.setitem(fused_template._RECURRENT, "LSTM", _lstm)
        print("| recipe | seeds | on the device, fused | on the host | one by one, both | fused, both | times fewer |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for recipe in ("quick", "small"):
            alone = sum(count(recipe, 1, fused=False))
            for seeds in args.seeds:
                device, host = count(recipe, seeds, fused=True)
                cells = (
                    recipe,
                    seeds,
                    f"{device:,.0f}",
                    f"{host:,.0f}",
                    f"{seeds * alone:,.0f}",
                    f"{device + host:,.0f}",
                )
                print("|", " | ".join(map(str, cells)), f"| {seeds * alone / (device + host):.1f} |")


if __name__ == "__main__":
    main()
