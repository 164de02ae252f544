"""`fit`: train one network on the training clips of one trial. No Ray, no test clips, no global state that matters.

Everything random is keyed by (seed, step): batch order and crops (`batches.py`), augmentation draws
(`sweeper.audio.augmentation`) and dropout; a trial may have a seed of its own for some of these.
So arms of one block are paired, and a trial killed at any step and resumed
ends with the same bits as one that never stopped; on a GPU up to rounding, as the gradients of attention and of some
convolutions are summed there in an order that varies. Several workers share each batch (`distributed.py`); what a step
does is the same whatever their number.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sweeper.audio.augmentation import augment
from sweeper.audio.clips import Clips
from sweeper.model.build import build, is_of_this_package
from sweeper.model.output import as_output
from sweeper.model.pairing import seeded_outside_torch
from sweeper.plan import TrialSpec, derive_seed
from sweeper.training import checkpoint
from sweeper.training.batches import Batch, Batches
from sweeper.training.distributed import ALONE, Drift, Worker
from sweeper.training.ema import EMA
from sweeper.training.loss import OwnLoss, training_loss
from sweeper.training.optimiser import optimiser, schedule
from sweeper.training.slabs import apart, together

CHECKPOINT_SECONDS = 30.0

# What whoever runs a trial wishes of it while it trains: nothing, that it keeps its state now, or that it leaves.
Wish = Literal["", "keep", "leave"]


@dataclass(frozen=True)
class Epoch:
    """One point of the learning curve. Loss and accuracy are of the training batches, as augmented.

    `validation_accuracy` is on a search's clips that do not train, by the network itself; None outside of a search.
    """

    epoch: int
    loss: float
    train_accuracy: float
    learning_rate: float
    seconds: float
    clips_per_second: float
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Fitted:
    """The trained network, its moving average, and how it got there; `seconds` include earlier attempts' epochs."""

    network: nn.Module
    averaged: nn.Module
    curve: tuple[Epoch, ...]
    seconds: float


class Diverged(RuntimeError):
    """Training diverged, and would diverge again if repeated; `curve` holds the epochs before that."""

    def __init__(self, reason: str, curve: Sequence[Epoch]) -> None:
        super().__init__(f"{reason}: lower the learning rate or check the data")
        self.reason, self.curve = reason, tuple(curve)

    def __reduce__(self) -> tuple[Any, ...]:  # it travels between processes
        return type(self), (self.reason, self.curve)


class NonFiniteLoss(Diverged):
    """The loss became NaN or infinite in an epoch."""

    def __init__(self, epoch: int, loss: float, curve: Sequence[Epoch]) -> None:
        super().__init__(f"the loss became {loss} in epoch {epoch}", curve)
        self.epoch, self.loss = epoch, loss

    def __reduce__(self) -> tuple[Any, ...]:
        return NonFiniteLoss, (self.epoch, self.loss, self.curve)


class NonFiniteWeights(Diverged):
    """The trained network, or its moving average, has weights that are NaN or infinite."""


class TrialLeft(RuntimeError):
    """Training was asked to leave, and ended early; its state is kept."""


def fit(
    spec: TrialSpec,
    train: Sequence[Clips],
    *,
    device: torch.device,
    state: Path | None = None,
    on_state: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda _epoch: None,
    validate: Callable[[nn.Module], float] | None = None,
    wish: Callable[[], Wish] = lambda: "",
    worker: Worker = ALONE,
) -> Fitted:
    """Train `spec.model` on `train` by the recipe `spec.training`.

    Args:
        spec: the trial.
        train: the training clips, in one or several parts; nothing else is ever seen here.
        device: where to compute; bf16 autocast on CUDA as configured, float32 elsewhere.
        state: a checkpoint file to continue from and to keep; None for neither. Worker 0 writes, all read.
        on_state: called after `state` was written.
        on_epoch: called after each epoch with its point of the curve. With `validate` first with those of `state`: who
            compares trials epoch by epoch may not have seen them.
        validate: called after each epoch with the network, which it may put into evaluation mode; returns an accuracy
            for the curve. What is trained does not depend on it.
        wish: called by worker 0 after each step; "keep" writes `state` once, "leave" writes it and raises `TrialLeft`.
        worker: which of several processes this is; each is given all clips, and returns the same networks and curve.

    Raises:
        NonFiniteLoss: the mean loss of an epoch was NaN or infinite.
        NonFiniteWeights: the final weights, or their moving average, hold NaN or infinity.
        TrialLeft: `wish` returned "leave".
        ValueError: a batch has fewer clips than there are workers.
        WorkersDisagree: the workers read different checkpoints.
    """
    batches = Batches(train, spec.data.length, device)
    run = _Run(spec, batches, device, worker)
    if state is not None and not run.resume(state):
        run = _Run(spec, batches, device, worker)  # a part of the state may be in it
    worker.check_agreement(run.steps_done, device)
    saved = time.monotonic()
    answered: Wish = ""

    def keep() -> None:
        nonlocal saved, answered
        if worker.rank:
            return
        wished = wish()
        if state is not None and (wished != answered or time.monotonic() - saved > CHECKPOINT_SECONDS):
            run.save(state)
            on_state()
            saved, answered = time.monotonic(), wished
        if wished == "leave":
            raise TrialLeft

    for point in run.curve if validate is not None else ():
        on_epoch(point)
    while run.epoch < spec.training.epochs:
        point = run.train_epoch(keep)
        if validate is not None:
            point = run.note(validate(run.network))
        on_epoch(point)
        keep()
    run.check_weights()
    return Fitted(run.network, run.ema.averaged, tuple(run.curve), run.seconds)


class _Run:
    """The mutable state of one training run."""

    def __init__(self, spec: TrialSpec, batches: Batches, device: torch.device, worker: Worker) -> None:
        self.spec, self.batches, self.device, self.worker = spec, batches, device, worker
        config = spec.training
        if min(config.batch_size, len(batches)) < worker.world_size:
            raise ValueError(
                f"{worker.world_size} workers can't share a batch of {min(config.batch_size, len(batches))} clips"
            )
        self.network = worker.synchronised(build(spec.model, spec.seed_of("initialisation")).to(device).train())
        # The networks of this package use all of their parameters in each step, and of their buffers only the
        # statistics of batch norm move; of others, neither is known.
        self.known = is_of_this_package(spec.model)
        self.slabs = together(self.network) if self.known else apart(self.network)
        self.ema = EMA(self.network, config.ema, self.slabs if self.known else None)
        self._unbounded = _non_finite(self.network)  # by intention, such as a mask's infinities
        self.own_loss: OwnLoss | None = getattr(spec.model, "loss", None)
        parallel = worker.parallel(self.network, unused=not self.known)
        self.drift = None if self.known else Drift(self.network, worker)
        if config.compile:
            # In a process that trains one trial after another, torch would take the next arm for the same network with
            # other guards, and after eight of them train on without compiling.
            torch.compiler.reset()
        self.step_network = torch.compile(parallel) if config.compile else parallel
        self._gradients: tuple[Tensor, ...] = ()
        self.optimiser = optimiser(self.slabs, config)
        self.steps_per_epoch = batches.steps_per_epoch(config.batch_size)
        self.scheduler = schedule(self.optimiser, config, config.epochs * self.steps_per_epoch)
        self.epoch = 0
        self.position = 0  # batches of this epoch that are done
        self.curve: list[Epoch] = []
        self.seconds = 0.0
        self.epoch_seconds = 0.0
        self._totals = torch.zeros(3, dtype=torch.float64, device=device)  # loss · clips, hits, clips

    @property
    def steps_done(self) -> int:
        """Optimiser steps up to here, which is also the next step's number, from 0."""
        return self.epoch * self.steps_per_epoch + self.position

    def train_epoch(self, after_step: Callable[[], None]) -> Epoch:
        """The rest of the current epoch, from the batch it stands at."""
        plan = self.planned()
        mark = time.perf_counter()
        while self.position < len(plan):
            self._step(self.batches.gather(*plan[self.position]))
            self.position += 1
            now = time.perf_counter()
            self.epoch_seconds, mark = self.epoch_seconds + now - mark, now
            if self.position < len(plan):
                after_step()
        if self.spec.training.ema.unit == "epoch":
            self.ema.update()
        totals = self._totals.tolist()  # the only wait for the device in an epoch, and part of its time
        self.epoch_seconds += time.perf_counter() - mark
        return self.close_epoch(*totals)

    def planned(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The batches of the current epoch, see `Batches.training_epoch`."""
        spec = self.spec
        seeds = spec.seed_of("order"), spec.seed_of("augmentation")
        return self.batches.training_epoch(seeds[0], self.epoch, spec.training.batch_size, seeds[1])

    def _step(self, batch: Batch) -> None:
        spec, config = self.spec, self.spec.training
        step, rows = self.steps_done, self.worker.rows(len(batch.rows))
        seed = derive_seed(spec.seed, "dropout", step, *([] if self.worker.alone else [self.worker.rank]))
        _seed(seed, self.device)
        one_hot = F.one_hot(batch.targets, spec.model.classes).float()
        # Draws and mixing partners belong to a row of the whole batch. So each worker augments all of it and keeps its
        # rows: exact, at the price that this part of a step takes as long as on one worker.
        augmented = augment(
            batch.waveforms,
            one_hot,
            config.augmentation,
            sample_rate=spec.data.sample_rate,
            seed=derive_seed(spec.seed_of("augmentation"), "augmentation"),
            step=step,
            epoch=self.epoch,
        )
        bf16 = self.device.type == "cuda" and config.precision == "bf16"
        with contextlib.nullcontext() if self.known else seeded_outside_torch(seed):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                answer = self.step_network(augmented.waveforms[rows])
            loss = training_loss(answer, augmented.targets[rows], augmented.mixed, config, self.own_loss)
        if self.known and self.worker.alone:
            gradients = torch.autograd.grad(loss, self.slabs.members)
            self.slabs.take_grad(gradients)
            # On a CPU they stay until the next ones are there: given up before, the C library would give their memory
            # back to the system, and ask for it anew. (A GPU's memory is kept by torch.)
            self._gradients = gradients if self.device.type == "cpu" else ()
        else:
            self.slabs.zero_grad()
            torch.autograd.backward(self.worker.share(loss, len(batch.rows)))
            self.slabs.take_grad([member.grad for member in self.slabs.members])
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.slabs.wholes(), config.clip_norm)
        self.optimiser.step()
        self.scheduler.step()
        if self.drift is not None:
            self.drift.stop(len(batch.rows))
        if config.ema.unit == "step":
            self.ema.update()
        self._count(loss.detach(), as_output(answer).logits.detach(), augmented.targets[rows])

    def _count(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        hits = (logits.argmax(dim=1) == targets.argmax(dim=1)).sum()
        clips = torch.full_like(loss, len(targets))
        # Three numbers, summed over workers in each step: so the totals too are the same on all, see `distributed.py`.
        self._totals += self.worker.total(torch.stack([loss * clips, hits.to(loss.dtype), clips]).double())

    def close_epoch(self, loss_sum: float, hits: float, clips: float) -> Epoch:
        """Add a point to the curve, of the epoch's totals, and go on to the next epoch; or raise NonFiniteLoss."""
        loss = loss_sum / clips
        if not math.isfinite(loss):
            raise NonFiniteLoss(self.epoch, loss, self.curve)
        point = Epoch(
            epoch=self.epoch,
            loss=loss,
            train_accuracy=hits / clips,
            learning_rate=float(self.scheduler.get_last_lr()[0]),
            seconds=self.epoch_seconds,
            clips_per_second=clips / self.epoch_seconds,
        )
        self.curve.append(point)
        self.seconds += self.epoch_seconds
        self.epoch, self.position, self.epoch_seconds = self.epoch + 1, 0, 0.0
        self._totals.zero_()
        return point

    def note(self, validation_accuracy: float) -> Epoch:
        """Add it to the last point of the curve, and return that."""
        self.network.train()
        self.curve[-1] = replace(self.curve[-1], validation_accuracy=validation_accuracy)
        return self.curve[-1]

    def check_weights(self) -> None:
        """Raise NonFiniteWeights where some became NaN or infinite: after the last step no loss would show it."""
        for whose, network in (("weights", self.network), ("averaged weights", self.ema.averaged)):
            if wrong := sorted(_non_finite(network) - self._unbounded):
                reason = f"the {whose} became NaN or infinite by epoch {self.epoch - 1} ({', '.join(wrong[:3])})"
                raise NonFiniteWeights(reason, self.curve)

    def save(self, path: Path) -> None:
        """Write everything that decides the next step."""
        header: dict[str, Any] = {
            "trial": self.spec.trial_id,
            "epoch": self.epoch,
            "position": self.position,
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "ema_updates": self.ema.updates,
            "scheduler": self.scheduler.state_dict(),
            "rates": [{"lr": group["lr"], "betas": list(group["betas"])} for group in self.optimiser.param_groups],
            "curve": [asdict(point) for point in self.curve],
        }
        tensors = checkpoint.gather(self.network, self.ema, self.optimiser, self.slabs)
        checkpoint.save(path, tensors | {"totals": self._totals}, header)

    def resume(self, path: Path) -> bool:
        """Continue from `path` if it holds a state of this very trial; start afresh otherwise.

        Returns:
            False if the state is damaged, and this run is of no use any more.
        """
        state = checkpoint.load(path)
        if state is None or state[1].get("trial") != self.spec.trial_id:
            return True
        tensors, header = state
        try:
            self._totals.copy_(tensors.pop("totals"))
            checkpoint.scatter(tensors, self.network, self.ema, self.optimiser, self.slabs)
            self.scheduler.load_state_dict(header["scheduler"])
            for group, rates in zip(self.optimiser.param_groups, header["rates"], strict=True):
                group["lr"], group["betas"] = rates["lr"], tuple(rates["betas"])
            self.ema.updates = header["ema_updates"]
            self.epoch, self.position = header["epoch"], header["position"]
            self.seconds, self.epoch_seconds = header["seconds"], header["epoch_seconds"]
            self.curve = [Epoch(**point) for point in header["curve"]]
        except (KeyError, TypeError, ValueError, RuntimeError):
            return False
        return True


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators that a step may draw from; `torch.manual_seed` also does so where there is no such device,
    which takes longer than the rest of what is drawn in a small network's step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _non_finite(network: nn.Module) -> set[str]:
    """Names of the parameters and buffers that hold NaN or infinity."""
    values = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    sound = torch.stack([torch.isfinite(value).all() for value in values.values()]).tolist()  # one wait for the device
    return {name for name, finite in zip(values, sound, strict=True) if not finite}
