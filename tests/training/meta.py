"""torch's meta device, whose tensors have no values, in place of a GPU: what a step does there, without one.

Reading a value there is an error, as it would make a GPU wait; and so is, here, an operation on tensors of two devices.
"""

from contextlib import nullcontext

import torch
from torch.utils._pytree import tree_leaves

from sweeper.model.modes import UncompiledMode
from sweeper.training import fit as fit_module
from sweeper.training import fused_stack

META = torch.device("meta")
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class OneDevice(UncompiledMode):
    """Refuses operations on tensors of several devices, but for copies and numbers.

    Counts those that compute: `count` on the meta device, `on_host` elsewhere.
    """

    def __init__(self):
        super().__init__()
        self.count = self.on_host = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        devices = {value.device.type for value in tensors if value.ndim or value.is_meta}
        if len(devices) > 1 and func not in COPIES:
            raise AssertionError(f"{func} of tensors on {devices}")
        if not func.is_view:
            self.count += "meta" in devices
            self.on_host += "meta" not in devices
        return func(*args, **(kwargs or {}))


def make_up(patch):
    """By `patch` (pytest's monkeypatch): what the device lacks, values to look at, autocast, and AdamW at once."""

    def unfused(slabs, config, plain=fit_module.optimiser):
        found = plain(slabs, config)
        for group in found.param_groups:
            group.update(fused=False, foreach=True)
        return found

    patch.setattr(fit_module, "_non_finite", lambda _network: set())
    patch.setattr(torch, "autocast", lambda *_args, **_kwargs: nullcontext())
    for module in (fit_module, fused_stack):
        patch.setattr(module, "optimiser", unfused)
