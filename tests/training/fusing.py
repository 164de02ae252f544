"""Trials that differ by their seeds, trained one by one and as one program, and what must be the same of them."""

from dataclasses import replace

import pytest
import torch

from sweeper.plan import build_plan
from sweeper.training.batches import Batches
from sweeper.training.fit import fit
from sweeper.training.fused import fit_fused
from tests.studies import ARMS, PAPER
from tests.training import golden
from tests.training.conftest import CLASSES

CPU = torch.device("cpu")
ROUNDING = 2e-4  # of a loss, over two epochs


def trials(arm="full", *, seeds=2, network=None, dropout=0.1, **training):
    """Two epochs of two steps, with everything on: mixing, distillation, dropout."""
    options = {"epochs": 2, "batch_size": golden.CLIPS // 2} | training
    recipe = replace(golden.RECIPE, training=replace(golden.RECIPE.training, **options))
    plan = build_plan(
        study="golden",
        source=PAPER,
        arms=[ARMS[arm]],
        recipe=recipe,
        dataset="squares",
        split="none",
        folds=(1,),
        classes=CLASSES,
        replicates=seeds,
    )
    return [replace(trial, model=network or replace(trial.model, dropout=dropout)) for trial in plan.trials]


def alone(specs, **kwargs):
    return [fit(spec, [golden.clips()], device=CPU, **kwargs) for spec in specs]


def together(specs, **kwargs):
    return fit_fused(specs, [golden.clips()], device=CPU, **kwargs)


def timeless(fitted):
    return [value for point in fitted.curve for value in (point.loss, point.train_accuracy, point.learning_rate)]


def answers(fitted):
    """What the trained network and its average say of all clips."""
    batch = next(Batches([golden.clips()], 2000, CPU).evaluation(golden.CLIPS))
    with torch.no_grad():
        found = [network.eval()(batch.waveforms) for network in (fitted.network, fitted.averaged)]
    return torch.stack([answer if isinstance(answer, torch.Tensor) else answer.logits for answer in found])


def assert_same(expected, found):
    for one, other in zip(expected, found, strict=True):
        assert timeless(other) == pytest.approx(timeless(one), rel=ROUNDING)
        torch.testing.assert_close(answers(other), answers(one), rtol=1e-2, atol=1e-2)
        names = list(one.network.state_dict()), list(one.averaged.state_dict())
        assert (list(other.network.state_dict()), list(other.averaged.state_dict())) == names
