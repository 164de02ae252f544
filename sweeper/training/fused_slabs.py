"""The values of several networks in one tensor each, `[networks, ...]`, of which the networks' own become views."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweeper.training.fit import _Run
from sweeper.training.fused_draws import CannotFuse
from sweeper.training.slabs import Slab, flat, shaped


@dataclass(frozen=True)
class StackedSlab:
    """One slab of each network: `whole` `[networks, ...]`, and its `members`, in the order of the slabs' own."""

    whole: nn.Parameter
    members: tuple[Tensor, ...]
    like: tuple[Tensor, ...]  # the members of one network's

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for tensor in (self.whole, *self.members):
            tensor.grad = None

    def collect_grad(self) -> None:
        """After a backward pass: put the members' gradients together."""
        if self.members[0] is not self.whole:
            each = zip(self.members, self.like, strict=True)
            gradients = [flat(member.grad, like) for member, like in each if member.grad is not None]
            self.whole.grad = torch.cat(gradients, dim=1)


def stacked_slab(slabs: Sequence[Slab]) -> StackedSlab:
    """Of each network its slab; they become views."""
    first = slabs[0]
    whole = nn.Parameter(torch.stack([slab.whole.detach() for slab in slabs]), first.whole.requires_grad)
    for slab, row in zip(slabs, whole.detach(), strict=True):
        _put(slab, row)
    if first.whole is first.members[0]:
        return StackedSlab(whole, (whole,), first.members)
    parts = torch.split(whole.detach(), [member.numel() for member in first.members], dim=1)
    return StackedSlab(
        whole,
        tuple(
            shaped(part, member).requires_grad_(whole.requires_grad)
            for part, member in zip(parts, first.members, strict=True)
        ),
        first.members,
    )


def stacked_buffers(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """By name; the networks' own become views.

    Raises:
        CannotFuse: one is of another shape in another network.
    """
    stacks: dict[str, Tensor] = {}
    for named in zip(*(network.named_buffers() for network in networks), strict=True):
        name, buffers = named[0][0], [buffer for _, buffer in named]
        if len({(buffer.shape, buffer.dtype) for buffer in buffers}) > 1:
            raise CannotFuse(f"the shape of its buffer {name} differs between seeds")
        stacks[name] = torch.stack(buffers)
        for buffer, row in zip(buffers, stacks[name], strict=True):
            buffer.data = row
    return stacks


def apart(run: _Run) -> None:
    """Give a run's networks memory of their own again."""
    for slabs in (run.slabs, run.ema.slabs):
        for slab in slabs:
            _put(slab, slab.whole.detach().clone())
    for network in (run.network, run.ema.averaged):
        for buffer in network.buffers():
            buffer.data = buffer.detach().clone()
        for module in network.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()


def _put(slab: Slab, values: Tensor) -> None:
    slab.whole.data = values
    for member, part in zip(slab.members, slab.split(values), strict=True):
        member.data = part
