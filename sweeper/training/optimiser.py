"""The optimiser and the learning-rate schedule of a `TrainingConfig`.

Where `momentum` is set, the one-cycle schedule also moves AdamW's first beta between its two values, inversely to the
learning rate; the first of `betas` is then ignored.
"""

from collections.abc import Callable
from typing import Any

import torch

from sweeper.training.slabs import Slabs
from sweeper.training_config import TrainingConfig


def _bare(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of torch's optimisers without what is wrapped around it."""
    return getattr(method, "__wrapped__", method)


class AdamW(torch.optim.AdamW):
    """torch's own, which never asks torch's compiler whether it is at work.

    That question imports the compiler: 0.8 s of each process that trains, and nobody compiles an optimiser here.
    """

    add_param_group = _bare(torch.optim.Optimizer.add_param_group)
    state_dict = _bare(torch.optim.Optimizer.state_dict)
    load_state_dict = _bare(torch.optim.Optimizer.load_state_dict)
    step = torch.no_grad()(_bare(torch.optim.AdamW.step))


def optimiser(slabs: Slabs, config: TrainingConfig) -> AdamW:
    """AdamW, in one operation where torch can; no weight decay on biases and norms, as in EAT's public code, unless
    `decay_all`."""
    decay = config.weight_decay
    groups = [
        {"params": [slab.whole for slab in slabs.decayed], "weight_decay": decay},
        {"params": [slab.whole for slab in slabs.rest], "weight_decay": decay if config.decay_all else 0.0},
    ]
    fused = all(parameter.is_floating_point() for parameter in slabs.parameters)
    return AdamW(groups, lr=config.max_lr, betas=config.betas, fused=fused)


def schedule(
    optimiser: torch.optim.Optimizer, config: TrainingConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """One-cycle schedule [48], stepped per batch; or a constant learning rate.

    torch divides by zero where the warm-up is shorter than two steps, or all of the run: runs of under four steps get
    the first steps of a four-step cycle. One more step than batches, because torch steps once at construction.
    """
    if config.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0, total_iters=0)
    total = max(steps + 1, 4)
    warmup = min(max(config.pct_start, 2 / total), 0.5)
    low, high = config.momentum or (0.0, 0.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        config.max_lr,
        total_steps=total,
        pct_start=warmup,
        cycle_momentum=config.momentum is not None,
        base_momentum=low,
        max_momentum=high,
    )
