"""Parameters that lie one after another in one tensor, so that what is done to each is one operation, not hundreds.

A step of a small network is short: AdamW, clipping and averaging of its 250 tensors one by one took a sixth of it. The
parameters stay what they are, by name and shape; they are views of a slab now.

On a CPU, the kernels of convolutions `[out, in, taps]` lie with the channels of a tap together, as its convolution of
frames takes them and returns their gradients: else each would be copied three times in a step.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Slab:
    """`whole` holds the values of `members`, one after another; or it is the only member itself."""

    whole: nn.Parameter
    members: tuple[nn.Parameter, ...]

    def split(self, values: Tensor) -> Iterator[Tensor]:
        """Views of `values` (of the shape of `whole`), one in each member's shape; a scalar goes to every member."""
        if self.whole is self.members[0] or values.ndim == 0:
            yield from (values for _ in self.members)
        else:
            parts = torch.split(values, [member.numel() for member in self.members])
            yield from (shaped(part, member) for part, member in zip(parts, self.members, strict=True))

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """The inverse of `split`: one tensor of the shape of `whole`; of scalars, the first."""
        if self.whole is self.members[0] or values[0].ndim == 0:
            return values[0]
        return torch.cat([flat(value, member) for value, member in zip(values, self.members, strict=True)])

    def take_grad(self, gradients: Sequence[Tensor | None]) -> None:
        """Make those of the members the gradient of `whole`; only a member by itself may have none."""
        if self.whole is self.members[0]:
            (self.whole.grad,) = gradients
            return
        gradient, places = self._gradient
        torch._foreach_copy_(places, list(gradients))  # type: ignore[arg-type]
        self.whole.grad = gradient

    @functools.cached_property
    def _gradient(self) -> tuple[Tensor, list[Tensor]]:
        gradient = torch.empty_like(self.whole, requires_grad=False)
        return gradient, list(self.split(gradient))


def shaped(part: Tensor, member: Tensor) -> Tensor:
    """Stretches of slabs, `[..., values]`, each in the shape of a member."""
    if _by_taps(member):
        out, channels, taps = member.shape
        return part.view(*part.shape[:-1], out, taps, channels).mT
    return part.view(*part.shape[:-1], *member.shape)


def flat(value: Tensor, member: Tensor) -> Tensor:
    """The inverse of `shaped`."""
    return (value.mT if _by_taps(member) else value).reshape(*value.shape[: value.ndim - member.ndim], -1)


def _by_taps(value: Tensor) -> bool:
    return value.ndim == 3 and value.device.type == "cpu"


@dataclass(frozen=True)
class Slabs:
    """All parameters of a network: those with several axes, which weight decay is for, and the rest.

    `parameters` are the members of all slabs, in the order that AdamW would number them in without slabs.
    """

    decayed: tuple[Slab, ...]
    rest: tuple[Slab, ...]
    parameters: tuple[nn.Parameter, ...]

    def __iter__(self) -> Iterator[Slab]:
        return iter((*self.decayed, *self.rest))

    def wholes(self) -> list[nn.Parameter]:
        """What an optimiser is to be given."""
        return [slab.whole for slab in self]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def take_grad(self, gradients: Sequence[Tensor | None]) -> None:
        """Make those of `members` the gradients of the slabs."""
        rest = iter(gradients)
        for slab in self:
            slab.take_grad(list(itertools.islice(rest, len(slab.members))))

    @functools.cached_property
    def members(self) -> list[nn.Parameter]:
        """All parameters, slab by slab."""
        return [member for slab in self for member in slab.members]


def apart(network: nn.Module) -> Slabs:
    """Each parameter by itself, for any network: it may leave some without a gradient, or put others there."""
    decayed, rest = _by_decay(network)
    by_themselves = {id(p) for p in (*decayed, *rest)}
    return Slabs(_laid_out(decayed, by_themselves), _laid_out(rest, by_themselves), (*decayed, *rest))


def together(network: nn.Module) -> Slabs:
    """Few slabs, for a network that uses every parameter in every step.

    On a GPU the weights of recurrent layers stay by themselves, as cuDNN wants them in a buffer of its own.
    """
    layers = [part for part in network.modules() if isinstance(part, nn.RNNBase)]
    recurrent = {id(p) for layer in layers for p in layer.parameters() if p.is_cuda}
    decayed, rest = _by_decay(network)
    return Slabs(_laid_out(decayed, recurrent), _laid_out(rest, recurrent), (*decayed, *rest))


def _by_decay(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """No weight decay on biases and norms, as in EAT's public code."""
    parameters = list(network.parameters())
    return [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]


@torch.no_grad()
def _laid_out(group: Sequence[nn.Parameter], apart: set[int]) -> tuple[Slab, ...]:
    slabs = [Slab(p, (p,)) for p in group if id(p) in apart]
    members = tuple(p for p in group if id(p) not in apart)
    if len(members) > 1:
        whole = nn.Parameter(torch.cat([flat(p, p) for p in members]), members[0].requires_grad)
        slab = Slab(whole, members)
        for member, values in zip(members, slab.split(whole.data), strict=True):
            member.data = values
        return (*slabs, slab)
    return (*slabs, *(Slab(p, (p,)) for p in members))
