"""The training loss: cross-entropy with label smoothing, and self-distillation of the branches [51].

A network may put a loss of its own in the place of cross-entropy.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sweeper.model.output import as_output
from sweeper.study import Output
from sweeper.training_config import DistillationConfig, TrainingConfig

OwnLoss = Callable[[Any, Tensor], Tensor | None]


def training_loss(
    answer: Tensor | Output, targets: Tensor, mixed: bool, config: TrainingConfig, own: OwnLoss | None = None
) -> Tensor:
    """Scalar loss of a batch.

    It is computed in float32: a log-softmax in bfloat16 has two or three digits, and distillation takes differences.

    Args:
        answer: what the network returned for the batch.
        targets: label weights `[batch, classes]` in 0…1; one-hot unless the batch was mixed.
        mixed: whether clips were mixed: binary cross-entropy on the union of their labels.
        config: label smoothing and distillation.
        own: the network's `loss`, which returns each clip's loss `[batch]`, or None for the classification loss. With
            distillation it is also called for each branch, with an `Output` that has the branch's logits.

    Raises:
        ValueError: `own` returned another shape.
    """
    output = _in_float32(as_output(answer))

    def classified(output: Output) -> Tensor:
        clips = None if own is None else own(output if isinstance(answer, Output) else output.logits, targets)
        if clips is None:
            return classification_loss(output.logits, targets, mixed, config.label_smoothing)
        if clips.shape != targets.shape[:1]:
            raise ValueError(f"loss() returned the shape {list(clips.shape)}; expected [{len(targets)}], one per clip")
        return clips.mean()

    loss = classified(output)
    if config.distillation is not None:
        for branch, logits in output.branch_logits.items():
            hard = classified(output._replace(logits=logits))
            soft, hint = _taught(output, branch, config.distillation)
            alpha = config.distillation.alpha
            loss = loss + (1 - alpha) * hard + alpha * soft + config.distillation.hint * hint
    return loss


def _in_float32(output: Output) -> Output:
    def wide(value: Tensor) -> Tensor:
        return value.to(torch.promote_types(value.dtype, torch.float32))  # float64 stays

    features, branch_logits = ({name: wide(value) for name, value in part.items()} for part in output[1:])
    return Output(wide(output.logits), features, branch_logits)


def classification_loss(logits: Tensor, targets: Tensor, mixed: bool, smoothing: float) -> Tensor:
    """Cross-entropy against smoothed one-hot targets; for mixed batches binary cross-entropy, summed over classes."""
    if mixed:
        smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
        return F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none").sum(dim=1).mean()
    return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def _taught(output: Output, branch: str, config: DistillationConfig) -> tuple[Tensor, Tensor]:
    """The fused head's softened answer and feature, as lessons for a branch: (T² · KL, mean squared hint)."""
    t = config.temperature
    teacher = F.log_softmax(output.logits.detach() / t, dim=1)
    student = F.log_softmax(output.branch_logits[branch] / t, dim=1)
    soft = (teacher.exp() * (teacher - student)).sum() / len(student) * t**2
    if not config.hint:
        return soft, torch.zeros_like(soft)
    fused = output.features["fused"].detach()
    hint = torch.mean((output.features[branch] - fused) ** 2)
    return soft, hint
