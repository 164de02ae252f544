"""`fit_fused`: train several trials that differ by their seeds as one program. Each gets what `fit` gives it.

That is up to rounding, with one exception: on a GPU the Transformers of this package draw other masks for dropout than
they do alone. Then results are the same in distribution.

For one small network, hundreds of small operations leave a GPU idle; for several networks at once they are as many, and
larger. How it is done: `fused_stack.py`. Whether it can be, and is faster: `choose`, in `fused_check.py`.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from sweeper.audio.clips import Clips
from sweeper.plan import TrialSpec
from sweeper.training.batches import Batches
from sweeper.training.distributed import ALONE
from sweeper.training.fit import CHECKPOINT_SECONDS, Diverged, Epoch, Fitted, TrialLeft, Wish, _Run
from sweeper.training.fused_check import Choice, check, choose
from sweeper.training.fused_draws import CannotFuse
from sweeper.training.fused_slabs import apart
from sweeper.training.fused_stack import Stack

__all__ = ["CannotFuse", "Choice", "check", "choose", "fit_fused"]

OnEpoch = Callable[[int, Epoch], None]


def fit_fused(
    specs: Sequence[TrialSpec],
    train: Sequence[Clips],
    *,
    device: torch.device,
    states: Sequence[Path | None] | None = None,
    on_state: Callable[[int], None] = lambda _which: None,
    on_epoch: OnEpoch = lambda _which, _epoch: None,
    wish: Callable[[], Wish] = lambda: "",
) -> tuple[Fitted | Diverged, ...]:
    """Train each of `specs` on `train`, all at once.

    The seconds of a trial are its share: those of all, divided by how many train at once.

    Args:
        specs: trials that differ by seed and replicate alone.
        train: the training clips of all of them.
        device: where to compute, see `fit`.
        states: a checkpoint file of each, which `fit` can continue from, and the other way round. Those that are behind
            catch up first.
        on_state: called after a state was written, with the trial's index.
        on_epoch: called after each epoch of each trial, with its index and its point of the curve.
        wish: called after each step, see `fit`; what it wishes, it wishes of all.

    Returns:
        For each trial what `fit` returns, or the `Diverged` that `fit` raises; the others' training goes on.

    Raises:
        CannotFuse: they can't be trained as one; nothing was trained then.
        TrialLeft: `wish` returned "leave"; the states of all that have not ended are written.
    """
    check(specs, device)
    batches = Batches(train, specs[0].data.length, device)
    files = states or [None] * len(specs)
    runs = [_resumed(spec, batches, device, file) for spec, file in zip(specs, files, strict=True)]
    outcomes: dict[int, Fitted | Diverged] = {}
    saved, answered = time.monotonic(), ""

    def keep(which: Sequence[int], stack: Stack) -> None:
        nonlocal saved, answered
        wished = wish()
        if wished != answered or time.monotonic() - saved > CHECKPOINT_SECONDS:
            stack.tell()
            for index in which:
                if (file := files[index]) is not None:
                    runs[index].save(file)
                    on_state(index)
            saved, answered = time.monotonic(), wished
        if wished == "leave":
            raise TrialLeft

    while waiting := [i for i, run in enumerate(runs) if i not in outcomes and run.epoch < run.spec.training.epochs]:
        stand = sorted({runs[index].steps_done for index in waiting})
        which = [index for index in waiting if runs[index].steps_done == stand[0]]
        stack = Stack([runs[index] for index in which])
        until = stand[1] if len(stand) > 1 else None
        outcomes |= _advance(stack, which, until, on_epoch, partial(keep, which, stack))
    return tuple(outcomes.get(index) or _fitted(run) for index, run in enumerate(runs))


def _resumed(spec: TrialSpec, batches: Batches, device: torch.device, state: Path | None) -> _Run:
    run = _Run(spec, batches, device, ALONE)
    if state is not None and not run.resume(state):
        run = _Run(spec, batches, device, ALONE)  # a part of the state may be in it
    return run


def _advance(
    stack: Stack, which: Sequence[int], until: int | None, on_epoch: OnEpoch, after_step: Callable[[], None]
) -> dict[int, Diverged]:
    """Train to step `until`, or to the end, or to where some diverged; these are returned, by their index."""
    first, diverged = stack.runs[0], dict[int, Diverged]()
    while first.epoch < first.spec.training.epochs and not diverged:
        plans = [run.planned() for run in stack.runs]
        mark = time.perf_counter()
        while first.position < len(plans[0]):
            if until is not None and first.steps_done >= until:
                stack.tell()
                return {}
            stack.step(*zip(*(plan[first.position] for plan in plans), strict=True))
            mark = _count(stack, mark)
            for run in stack.runs:
                run.position += 1
            if first.position < len(plans[0]):
                after_step()
        if first.spec.training.ema.unit == "epoch":
            stack.update_average()
        totals = stack.totals()
        _count(stack, mark)
        for index, run, sums in zip(which, stack.runs, totals, strict=True):
            try:
                on_epoch(index, run.close_epoch(*sums))
            except Diverged as error:
                diverged[index] = error
        if not diverged:
            after_step()
    stack.tell()
    return diverged


def _count(stack: Stack, since: float) -> float:
    """Add each run's share of the seconds since then; returns the time that it is now."""
    now = time.perf_counter()
    for run in stack.runs:
        run.epoch_seconds += (now - since) / len(stack.runs)
    return now


def _fitted(run: _Run) -> Fitted | Diverged:
    try:
        run.check_weights()
    except Diverged as error:
        return error
    apart(run)
    return Fitted(run.network, run.ema.averaged, tuple(run.curve), run.seconds)
