"""One trial on several workers: data parallel, and yet the same function of its config as on one.

Every worker plans the same batches, as batches are a function of (seed, epoch), and computes its own rows of each.
What a single process does with a whole batch is put together from the shares exactly: gradients and metrics as sums
weighted by clips, batch norm over all clips of the batch. Results then differ by rounding only. Dropout is the
exception: each worker draws its own masks, so it is the same in distribution.

After each step all workers hold the same state, so any one can write the checkpoint for all.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sweeper.model.pairing import NetworkError


class WorkersDisagree(RuntimeError):
    """The workers of one trial are not in the same state: they read different checkpoints."""


@dataclass(frozen=True)
class Worker:
    """One of `world_size` processes that train a network together; by default the only one.

    With more than one, `torch.distributed` must have been initialised with this rank and size, and methods that
    communicate must be called by all workers in the same order.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} of {self.world_size} workers: expected 0 to {self.world_size - 1}")

    @property
    def alone(self) -> bool:
        """Whether there is no other worker; then no method does anything."""
        return self.world_size == 1

    def rows(self, count: int) -> slice:
        """This worker's share of `count` rows; shares differ by at most one row, and follow one another by rank."""
        return slice(self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size)

    def total(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over all workers, in place, with the same bits on each. On a GPU the host does not wait."""
        if not self.alone:
            dist.all_reduce(tensor)
        return tensor

    def share(self, loss: Tensor, count: int) -> Tensor:
        """This worker's share in the mean loss of a batch of `count` clips, from the mean `loss` of its own rows.

        `parallel` averages gradients over workers, whatever the number of rows of each: the factor makes up for that.
        """
        if self.alone:
            return loss
        rows = self.rows(count)
        return loss * (int(rows.stop - rows.start) * self.world_size / count)

    def synchronised(self, network: nn.Module) -> nn.Module:
        """`network` with batch norms whose statistics cover the rows of all workers; names in its state stay the same.

        They are torch's `SyncBatchNorm` on a GPU and `GlobalBatchNorm` on a CPU, where torch has none.

        Raises:
            NetworkError: a batch norm is not one of torch's own classes, so its arithmetic is not known here.
        """
        if self.alone:
            return network
        check_shareable(network)
        if next(network.parameters()).is_cuda:
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
        return _with_global_batch_norm(network)

    def parallel(self, network: nn.Module, unused: bool = False) -> nn.Module:
        """`network` for training steps: backward averages its gradients over all workers.

        `unused`: some steps may leave some parameters without a gradient.
        """
        if self.alone:
            return network
        # Buffers are equal on all workers after each step (see `synchronised`, `Drift`): nothing to broadcast.
        return DistributedDataParallel(network, broadcast_buffers=False, find_unused_parameters=unused)

    def check_agreement(self, value: int, device: torch.device) -> None:
        """Make sure that `value` is the same on all workers.

        Raises:
            WorkersDisagree: it is not.
        """
        if self.alone:
            return
        both = torch.tensor([value, -value], dtype=torch.int64, device=device)
        dist.all_reduce(both, dist.ReduceOp.MAX)
        largest, smallest = int(both[0]), -int(both[1])
        if largest != smallest:
            raise WorkersDisagree(
                f"worker {self.rank} of {self.world_size} starts from step {value}, another one from step "
                f"{smallest if value == largest else largest}: the results folder must be the same for all nodes"
            )


ALONE = Worker()


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015) whose statistics are those of all workers' rows together.

    `[rows, channels, *]`, where each worker may have another number of rows. In evaluation it is plain batch norm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"input of shape {list(input.shape)}: expected [rows, channels, *]")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, and in training update the running statistics."""
        if not self.training:
            return super().forward(input)
        over = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        values = input.new_tensor([input.numel() // input.shape[1]])
        sums = _sum_over_workers(torch.cat([input.sum(over), values]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = input - mean.view(shape)
        # The variance from centred values, in a second pass: E[x²] − E[x]² would cancel.
        variance = _sum_over_workers(centred.square().sum(over)) / count
        self._track(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return centred * scale.view(shape)
        scale = scale * self.weight
        return centred * scale.view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        momentum = self.momentum
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        if momentum is None:  # the plain mean over all batches
            momentum = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased_variance, momentum)


def _sum_over_workers(tensor: Tensor) -> Tensor:
    """As `Worker.total`, but differentiable: the gradient of each worker's output reaches the inputs of all."""
    return all_reduce(tensor)  # type: ignore[no-any-return, no-untyped-call]


_KNOWN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def check_shareable(network: nn.Module) -> None:
    """Make sure that several workers can train `network` as one would.

    Raises:
        NetworkError: there is a batch norm of a class of its own.
    """
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and type(module) not in _KNOWN_NORMS:
            raise NetworkError(
                f"{name} is a {type(module).__name__}: several workers take the statistics of torch's own batch norms "
                "over all clips of a batch, of no other; use --workers-per-trial 1, or one of torch's"
            )


def _with_global_batch_norm(network: nn.Module) -> nn.Module:
    made: dict[nn.Module, GlobalBatchNorm] = {}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, _BatchNorm):
            if module not in made:
                made[module] = _global_batch_norm(module)
            if not name:
                return made[module]
            network.set_submodule(name, made[module])
    return network


def _global_batch_norm(module: _BatchNorm) -> GlobalBatchNorm:
    norm = GlobalBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    ).train(module.training)
    norm.weight, norm.bias = module.weight, module.bias
    for name, buffer in module.named_buffers(recurse=False):
        setattr(norm, name, buffer)
    return norm


class Drift:
    """Buffers other than batch norm's, which each worker moves by its own rows of a batch: kept equal on all of them.

    They become the mean over workers, weighted by rows: exact for averages over clips, as of an instance norm.
    """

    def __init__(self, network: nn.Module, worker: Worker) -> None:
        self._worker = worker
        self._places = [
            (module, name)
            for module in network.modules()
            if not worker.alone and not isinstance(module, _BatchNorm)
            for name, buffer in module.named_buffers(recurse=False)
            if buffer.is_floating_point()
        ]
        self._before = [value.clone() for value in self._values()]

    @torch.no_grad()
    def stop(self, count: int) -> None:
        """Make the buffers equal on all workers. To be called by each of them, after a step of `count` clips in all."""
        if not self._places:
            return
        worker, rows = self._worker, self._worker.rows(count)
        share = (rows.stop - rows.start) / count
        values = self._values()
        moved = torch.stack([(now != then).any() for now, then in zip(values, self._before, strict=True)]).long()
        for value, workers_that_moved in zip(values, worker.total(moved).tolist(), strict=True):
            if workers_that_moved:
                # Differences to the first worker's: of what all moved alike, they are exactly 0.
                reference = value.clone()
                dist.broadcast(reference, 0)
                value.copy_(reference + worker.total((value - reference) * share))
        self._before = [value.clone() for value in values]

    def _values(self) -> list[Tensor]:
        return [getattr(module, name) for module, name in self._places]
