"""A trial's state in one safetensors file, replaced atomically.

safetensors is imported where a file is touched: so a training step needs torch and NumPy alone, and can be measured
on a machine that has nothing else.

No pickle: a resumed trial reads a file that another process wrote. Everything random is a function of (seed, step), so
weights, average, optimiser, scheduler and the position are the whole state.

The file holds a digest of all of it, so that a bit flipped on a disk can't change a result. Files of versions that
wrote no digest are accepted without the check.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sweeper.training.ema import EMA
from sweeper.training.slabs import Slabs

State = tuple[dict[str, Tensor], dict[str, Any]]


def save(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON header; `path` holds the old state or the new, never a torn one."""
    import safetensors.torch

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    described = json.dumps(header)
    try:
        metadata = {"sweeper": described, "digest": _digest(contiguous, described)}
        safetensors.torch.save_file(contiguous, temporary, metadata)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> State | None:
    """Tensors (on the CPU) and header of a file that `save` wrote; None where there is none or it is damaged."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        described = metadata["sweeper"]
        if metadata.get("digest", "") not in ("", _digest(tensors, described)):
            return None
        header = json.loads(described)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError):
        return None
    return (tensors, header) if isinstance(header, dict) else None


def _digest(tensors: Mapping[str, Tensor], described: str) -> str:
    """SHA-256 of everything in a file, whatever the order of its tensors."""
    digest = hashlib.sha256(described.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def gather(network: nn.Module, ema: EMA, optimiser: torch.optim.Optimizer, slabs: Slabs) -> dict[str, Tensor]:
    """All tensors that decide the next step, under flat names; the optimiser's by parameter, whatever the slabs."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.averaged.state_dict().items()}
    number = {id(parameter): index for index, parameter in enumerate(slabs.parameters)}
    for slab in slabs:
        for slot, values in optimiser.state.get(slab.whole, {}).items():
            for member, value in zip(slab.members, slab.split(values), strict=True):
                tensors[f"optimiser.{number[id(member)]}.{slot}"] = value
    return tensors


def scatter(
    tensors: dict[str, Tensor], network: nn.Module, ema: EMA, optimiser: torch.optim.Optimizer, slabs: Slabs
) -> None:
    """Put back what `gather` collected."""
    network.load_state_dict(_under("network.", tensors))
    ema.averaged.load_state_dict(_under("ema.", tensors))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        of, slot = name.split(".", 1)
        slots.setdefault(int(of), {})[slot] = value
    number = {id(parameter): index for index, parameter in enumerate(slabs.parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for index, slab in enumerate(slabs):
        members = [slots.get(number[id(member)], {}) for member in slab.members]
        state[index] = {slot: slab.join([member[slot] for member in members]) for slot in members[0]}
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for slab in slabs:
        for slot, value in optimiser.state[slab.whole].items():
            # AdamW in one operation goes through memory as it lies, and a parameter may be a transposed one.
            if value.shape == slab.whole.shape and value.stride() != slab.whole.stride():
                optimiser.state[slab.whole][slot] = torch.empty_like(slab.whole, requires_grad=False).copy_(value)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
