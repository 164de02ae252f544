"""The training loss, by hand."""

import torch
import torch.nn.functional as F

from sweeper.model.network import Output
from sweeper.training.loss import classification_loss, training_loss
from sweeper.training_config import DistillationConfig, TrainingConfig


def output(branches: bool) -> Output:
    generator = torch.Generator().manual_seed(0)
    logits, semantic, detail = torch.randn(3, 4, 5, generator=generator)
    features = {name: torch.randn(4, 8, generator=generator) for name in ("semantic", "detail", "fused")}
    return Output(logits, features, {"semantic": semantic, "detail": detail} if branches else {})


def test_plain_batches_use_smoothed_cross_entropy():
    out, targets = output(branches=False), F.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    smoothed = 0.9 * targets + 0.1 / 5
    by_hand = -(smoothed * out.logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(classification_loss(out.logits, targets, False, 0.1), by_hand)


def test_mixed_batches_use_binary_cross_entropy_on_the_union():
    logits, targets = output(branches=False).logits, torch.zeros(4, 5)
    targets[:, 0], targets[:, 2] = 1.0, 0.4
    p = torch.sigmoid(logits)
    by_hand = -(targets * p.log() + (1 - targets) * (1 - p).log()).sum(1).mean()
    torch.testing.assert_close(classification_loss(logits, targets, True, 0.0), by_hand)


def test_self_distillation_by_hand():
    config = TrainingConfig(distillation=DistillationConfig(alpha=0.3, temperature=3.0, hint=0.03))
    out, targets = output(branches=True), F.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    expected = F.cross_entropy(out.logits, targets, label_smoothing=0.1)
    teacher = (out.logits / 3).softmax(1)
    for branch, logits in out.branch_logits.items():
        expected += 0.7 * F.cross_entropy(logits, targets, label_smoothing=0.1)
        student = (logits / 3).log_softmax(1)
        expected += 0.3 * 9 * (teacher * (teacher.log() - student)).sum(1).mean()
        expected += 0.03 * ((out.features[branch] - out.features["fused"]) ** 2).mean()
    torch.testing.assert_close(training_loss(out, targets, False, config), expected)


def test_the_teacher_is_not_taught_by_its_branches():
    out = output(branches=True)
    out.logits.requires_grad_()
    targets = F.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    config = TrainingConfig()
    (gradient,) = torch.autograd.grad(training_loss(out, targets, False, config), out.logits, retain_graph=True)
    (alone,) = torch.autograd.grad(classification_loss(out.logits, targets, False, 0.1), out.logits)
    torch.testing.assert_close(gradient, alone)


def test_without_branches_distillation_vanishes():
    out, targets = output(branches=False), F.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    with_, without = TrainingConfig(), TrainingConfig(distillation=None)
    torch.testing.assert_close(training_loss(out, targets, False, with_), training_loss(out, targets, False, without))


def test_what_autocast_made_bfloat16_is_judged_in_float32():
    config = TrainingConfig(distillation=DistillationConfig())
    logits, features, branches = output(branches=True)
    halved, *others = (
        {name: value.bfloat16() for name, value in part.items()} for part in ({"": logits}, features, branches)
    )
    rounded = Output(halved[""], *others)
    widened = Output(rounded.logits.float(), *({k: v.float() for k, v in part.items()} for part in rounded[1:]))
    targets = F.one_hot(torch.tensor([0, 1, 2, 3]), 5).float()
    for mixed in (False, True):
        loss = training_loss(rounded, targets, mixed, config)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, training_loss(widened, targets, mixed, config))
