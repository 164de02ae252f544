"""Check a network on two clips of noise, before anything is decoded or trained.

A second of checking spares a sweep of hours that ends in an error: an output of another shape, a parameter that can't
be paired, weights that can't be read back, an answer that differs from one evaluation to the next.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sweeper.field_types import PLAIN, is_plain
from sweeper.model.build import build, is_of_this_package
from sweeper.model.output import as_output
from sweeper.model.pairing import NetworkError, named_tensors, seeded_outside_torch
from sweeper.plan import canonical_json
from sweeper.study import Network, Output
from sweeper.training import checkpoint
from sweeper.training.cost import count_operations, is_light
from sweeper.training.distributed import check_shareable
from sweeper.training.ema import EMA
from sweeper.training.loss import training_loss
from sweeper.training.optimiser import optimiser
from sweeper.training.raised import place_in_code
from sweeper.training.slabs import apart
from sweeper.training.threads import one_thread
from sweeper.training.weights import restored
from sweeper.training_config import TrainingConfig

CLIPS = 2
SEED, OTHER_SEED = 1, 2
SHOWN, LONGEST = 3, 200  # names, and letters of an exception, in a message


def check_network(network: Network, training: TrainingConfig, *, workers: int = 1) -> tuple[str, ...]:
    """Build `network`, train it for a step on two clips of noise, on the CPU, and read its weights back.

    The networks that come with the package are not built: its tests do that.

    Args:
        network: an arm's, with classes, sample rate and samples filled in.
        training: how it will be trained.
        workers: how many will share a trial.

    Returns:
        what is worth knowing, in sentences: parameters without a gradient, what of the recipe has no effect, what can't
        be counted.

    Raises:
        NetworkError: it can't be built, paired, trained, saved or evaluated; one line, with the remedy.
    """
    if is_of_this_package(network):
        return ()
    name = type(network).__name__
    _check_fields(network)
    with _told(f"{name} can't be built"):
        module = build(network, SEED)
        again = dict(named_tensors(build(network, SEED)))
    for key, value in named_tensors(module):
        if not torch.equal(value, again[key]):
            raise NetworkError(
                f"{name}: {key} has other initial values each time, from the same seed; draw it by torch"
            )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise NetworkError(f"{name} has no parameter that is trained: all have requires_grad=False")
    if workers > 1:
        check_shareable(module)
    whole = [key for key, value in module.named_parameters() if not (value.is_floating_point() or value.is_complex())]
    if whole:
        raise NetworkError(f"{name}: {_some(whole)} holds whole numbers, which can't learn; keep it by register_buffer")
    with _told(
        f"{name} can't be copied, as the moving average of its weights needs; keep no tensor that was computed from "
        "parameters (torch.nn.utils.parametrizations.weight_norm keeps none), no lock and no open file, and let "
        "train() return self"
    ):
        EMA(module, training.ema).update()
    kept = {key: (value, value.clone()) for key, value in named_tensors(module) if _same_memory(value, again[key])}
    with one_thread() if is_light(module, network.samples) else contextlib.nullcontext():
        notes = _train(network, module, training)
        if moved := [key for key, (value, before) in kept.items() if not torch.equal(value, before)]:
            raise NetworkError(
                f"{name}: {_some(moved)} is the same tensor each time that it is built, and changes in training, so a "
                "trial would begin with what another one left; make it in build(), and not once for all"
            )
        notes += _mixing(network, module) if workers > 1 else []
        notes += _evaluate(network, module)
        _read_back(network, module)
    counted = count_operations(network, network.samples)
    notes += [f"{name}: operations are not counted: {counted.note}"] if counted.gflops is None else []
    return tuple(notes)


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() != 0


def _check_fields(network: Network) -> None:
    """A network travels as JSON: in a trial's id, in a checkpoint, in a weights file."""
    name = type(network).__name__
    for field in fields(network):
        if not is_plain(value := getattr(network, field.name)):
            raise NetworkError(f"{name}.{field.name} is {value!r}: expected {PLAIN}")
    try:
        hash(network)
        same = restored(type(network), json.loads(canonical_json(asdict(network)))) == network
    except (TypeError, ValueError) as error:
        raise NetworkError(
            f"{name} can't be made again from its fields, hashed and written as JSON: {error}; each field is an "
            "argument of the class (not init=False), and its value a number, a text, a flag, None or a tuple of these"
        ) from None
    if not same:
        raise NetworkError(
            f"{name} is another one when its fields were written as JSON and read back; a field's value is a number, a "
            "text, a flag, None or a tuple of these"
        )


def _clips(network: Network) -> Tensor:
    with _told(f"{CLIPS} clips of {network.samples} samples don't fit into memory"):
        return torch.rand(CLIPS, 1, network.samples, generator=torch.Generator().manual_seed(0)) - 0.5


def _answer(network: Network, module: nn.Module, clips: Tensor) -> Tensor | Output:
    """With the same random numbers each time; its shape is checked."""
    who = f"{type(module).__name__}, in {'training' if module.training else 'evaluation'}, given {list(clips.shape)}"
    with torch.random.fork_rng(devices=[]), seeded_outside_torch(0), _told(f"{who}, fails"):
        torch.default_generator.manual_seed(0)
        answer: Any = module(clips)
    _check_answer(network, answer, len(clips), who)
    return answer  # type: ignore[no-any-return]


def _check_answer(network: Network, answer: Any, clips: int, who: str) -> None:
    wanted = [clips, network.classes]
    parts = {"logits": answer.logits if isinstance(answer, Output) else answer}
    if isinstance(answer, Output):
        parts |= {f"branch_logits[{name!r}]": value for name, value in answer.branch_logits.items()}
    for what, value in parts.items():
        if not isinstance(value, Tensor):
            raise NetworkError(f"{who}, returned a {type(value).__name__}; expected logits {wanted}, or an Output")
        if list(value.shape) != wanted:
            hint = "; a squeeze() may have taken the batch of one clip away" if clips == 1 else ""
            raise NetworkError(f"{who}, returned {what} of shape {list(value.shape)}; expected {wanted}{hint}")
        if not bool(value.isfinite().all()):
            raise NetworkError(f"{who}, returned {what} that are not finite, with initial values")


def _train(network: Network, module: nn.Module, training: TrainingConfig) -> list[str]:
    name = type(network).__name__
    answer = _answer(network, module.train(), _clips(network))
    output, notes = as_output(answer), []
    if training.distillation is not None:
        if not output.branch_logits:
            notes.append(f"{name}: self-distillation is left out, as the network returns no branch_logits")
        elif training.distillation.hint:
            _check_hints(name, output)
    targets = F.one_hot(torch.arange(CLIPS) % network.classes, network.classes).float()
    with _told(f"{name}: the loss fails"):
        own = network.loss(answer, targets) is not None
        if not own and _are_probabilities(output.logits):
            notes.append(f"{name} seems to return probabilities; expected logits, without the softmax at the end")
        if own and training.label_smoothing:
            notes.append(f"{name}: label smoothing has no effect, as the network has a loss of its own")
        losses = [training_loss(answer, targets, mixed, training, network.loss) for mixed in (False, True)]
    loss = torch.stack(losses).sum()
    if not bool(loss.isfinite()):
        raise NetworkError(f"{name}: the loss is {loss.item()} with initial values")
    with _told(f"{name} has no gradient"):
        torch.autograd.backward(loss)
    trained = [(key, p.grad) for key, p in module.named_parameters() if p.requires_grad]
    if sparse := [key for key, gradient in trained if gradient is not None and gradient.layout is not torch.strided]:
        raise NetworkError(f"{name}: the gradient of {_some(sparse)} is sparse, which AdamW can't take: sparse=False")
    if broken := [key for key, gradient in trained if gradient is not None and not bool(gradient.isfinite().all())]:
        raise NetworkError(f"{name}: the gradient of {_some(broken)} is not finite, with initial values")
    if idle := [key for key, gradient in trained if gradient is None]:
        notes.append(f"{name}: {_some(idle)} had no gradient: not used in training, or not always")
    with _told(f"{name} can't be trained by AdamW"):
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), training.clip_norm)
        optimiser(apart(module), training).step()
    module.zero_grad(set_to_none=True)
    return notes


def _are_probabilities(logits: Tensor) -> bool:
    return bool((logits >= 0).all() and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0])))


def same_step(one: Network, other: Network, training: TrainingConfig) -> bool:
    """Whether two networks start with the same values, and give the same answers, losses and gradients.

    Raises:
        NetworkError: one of them fails.
    """
    steps = []
    for network in (one, other):
        module = build(network, SEED)
        start = dict(module.state_dict())
        start = {f"value {key}": value.clone() for key, value in start.items() if isinstance(value, Tensor)}
        clips = _clips(network)
        with torch.no_grad():
            evaluated = as_output(_answer(network, module.eval(), clips)).logits
        answer = _answer(network, module.train(), clips)
        targets = F.one_hot(torch.arange(CLIPS) % network.classes, network.classes).float()
        with _told(f"{type(network).__name__}: the loss fails"):
            loss = training_loss(answer, targets, False, training, network.loss)
            torch.autograd.backward(loss)
        gradients = {f"gradient {key}": p.grad for key, p in module.named_parameters() if p.grad is not None}
        trained = {f"trained {key}": torch.tensor(p.requires_grad) for key, p in module.named_parameters()}
        steps.append(start | gradients | trained | {"evaluated": evaluated, "loss": loss.detach()})
    first, second = steps
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def _mixing(network: Network, module: nn.Module) -> list[str]:
    """Whether clips of one batch change each other's answers in training, otherwise than by batch norm."""
    clips = _clips(network).requires_grad_()
    module.train()
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()
    first = as_output(_answer(network, module, clips)).logits[0].sum()
    (gradient,) = torch.autograd.grad(first, clips, allow_unused=True)
    if gradient is None or not bool(gradient[1:].any()):
        return []
    return [
        f"{type(network).__name__}: in training, a clip's answer depends on the clips beside it in the batch; each "
        "worker sees its own share of them, so the number of workers changes results"
    ]


def _check_hints(name: str, output: Output) -> None:
    """Self-distillation also draws each branch's feature to the fused one."""
    wanted = {"fused", *output.branch_logits}
    shapes = {key: list(value.shape) for key, value in output.features.items() if key in wanted}
    if shapes.keys() != wanted or len(set(map(tuple, shapes.values()))) > 1:
        raise NetworkError(
            f"{name}: self-distillation compares features['fused'] with the features of {_some(output.branch_logits)}, "
            f"in one shape; there are {shapes or 'none'}; return them, or set distillation.hint to 0"
        )


@torch.no_grad()
def _evaluate(network: Network, module: nn.Module) -> list[str]:
    name, clips = type(network).__name__, _clips(network)
    module.eval()
    together = as_output(_answer(network, module, clips)).logits
    with _told(f"{name}, in evaluation, fails"):
        again = as_output(module(clips)).logits  # with other random numbers
    if not _close(again, together):
        raise NetworkError(
            f"{name} answers the same clips differently each time in evaluation; make what is random depend on "
            "self.training, as in F.dropout(x, training=self.training)"
        )
    alone = torch.cat([as_output(_answer(network, module, clip[None])).logits for clip in clips])
    if not _close(alone, together):
        return [
            f"{name}: in evaluation, a clip's answer depends on the clips beside it in the batch, so scores depend on "
            "the batch size"
        ]
    return []


@torch.no_grad()
def _read_back(network: Network, module: nn.Module) -> None:
    """The state of a network that was trained for a step makes another one the same, in evaluation and in training."""
    name, clips = type(network).__name__, _clips(network)
    with _told(f"{name}: its weights can't be written and read back"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            checkpoint.save(path, dict(module.state_dict()), {})
            tensors, _ = checkpoint.load(path) or ({}, {})
        other = build(network, OTHER_SEED, load=False)
        other.load_state_dict(tensors)
    for mode in (False, True):
        first, second = (as_output(_answer(network, part.train(mode), clips)).logits for part in (module, other))
        if not _close(first, second):
            raise NetworkError(
                f"{name} answers differently in {'training' if mode else 'evaluation'} when its weights were written "
                "and read back: it keeps values that are neither parameters nor buffers; use register_buffer (and not "
                "persistent=False for what is random or changes)"
            )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def _some(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """An exception of a network's own code in one line, with the place in that code.

    Raises:
        NetworkError: in the place of any other exception.
    """
    try:
        yield
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise NetworkError(f"{what}: {message[:LONGEST]}{place_in_code(error)}") from error
