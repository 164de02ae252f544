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
        """Sum over all workers, the same bits on each. On a GPU the host does not wait."""
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
        """`network` with batch norms that take their statistics over the rows of all workers; same names in its state.

        torch's own `SyncBatchNorm` on a GPU, `GlobalBatchNorm` on a CPU, where torch has none.
        """
        if self.alone:
            return network
        if next(network.parameters()).is_cuda:
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
        return _with_global_batch_norm(network)

    def parallel(self, network: nn.Module) -> nn.Module:
        """`network` for training steps: backward averages its gradients over all workers."""
        if self.alone:
            return network
        # Buffers are equal on all workers after each step (see `synchronised`): nothing to broadcast.
        return DistributedDataParallel(network, broadcast_buffers=False)

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
        scale = (variance + self.eps).rsqrt() * self.weight
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


def _with_global_batch_norm(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        norm = GlobalBatchNorm(module.num_features, module.eps, module.momentum).to(module.weight)
        norm.load_state_dict(module.state_dict())
        return norm.train(module.training)
    for name, child in module.named_children():
        setattr(module, name, _with_global_batch_norm(child))
    return module
