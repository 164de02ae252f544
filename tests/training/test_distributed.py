"""Two workers compute what one computes: the sums of each step are the same, up to the order of additions.

In float32 that order alone is enough to drive two runs apart within a few steps (Adam divides by small numbers), which
would hide an error of the same size. So the comparison is made in float64, where it must agree to many digits.
"""

import contextlib
import itertools
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from sweeper.augmentation_config import AugmentationConfig, MixingConfig
from sweeper.training import batches as batches_module
from sweeper.training import checkpoint
from sweeper.training import fit as fit_module
from sweeper.training.distributed import ALONE, Worker, WorkersDisagree
from sweeper.training.fit import NonFiniteLoss, fit
from sweeper.training.trial import run_trial
from tests.training.conftest import make_clips

CPU = torch.device("cpu")
TRAIN, TEST, BATCH, EPOCHS = 29, 11, 9, 3  # odd: the two workers have shares of 4 and 5 rows
STEPS = TRAIN // BATCH * EPOCHS
KILLED_AT = 4


def training_clips():
    clips = make_clips(TRAIN)
    return [clips.take(range(10)), clips.take(range(10, TRAIN))]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def spec(make_spec):
    """Everything that looks at more than one clip: mixing, batch norm, distillation's means, the average per step."""
    mixing = AugmentationConfig(mixing=MixingConfig(warmup_epochs=1))
    return make_spec(epochs=EPOCHS, batch_size=BATCH, augmentation=mixing)


@contextlib.contextmanager
def double_precision():
    """Networks and waveforms in float64; augmentation, which is the same code on each worker, stays in float32."""
    augment, normalise = fit_module.augment, batches_module.normalise

    def in_single(waveforms, targets, *args, **keywords):
        torch.set_default_dtype(torch.float32)
        try:
            augmented = augment(waveforms.float(), targets.float(), *args, **keywords)
        finally:
            torch.set_default_dtype(torch.float64)
        return augmented._replace(waveforms=augmented.waveforms.double(), targets=augmented.targets.double())

    torch.set_default_dtype(torch.float64)
    fit_module.augment, batches_module.normalise = in_single, lambda raw: normalise(raw).double()
    try:
        yield
    finally:
        fit_module.augment, batches_module.normalise = augment, normalise
        torch.set_default_dtype(torch.float32)


def weights(fitted):
    networks = {"raw": fitted.network, "ema": fitted.averaged}
    return {f"{name}.{key}": value for name, n in networks.items() for key, value in n.state_dict().items()}


def with_dropout(spec):
    return replace(spec, model=replace(spec.model, dropout=0.1))


# What the two processes do; the parent looks at what they return.


def compare(worker, folder, spec):
    with double_precision():
        result, fitted = run_trial(
            spec, training_clips(), lambda: [make_clips(TEST, seed=1)], device=CPU, worker=worker
        )
    return {
        "curve": [(point.loss, point.train_accuracy, point.learning_rate) for point in result.curve],
        "metrics": (result.metrics, result.metrics_ema),
        "probabilities": np.stack([result.predictions.probabilities, result.predictions.probabilities_ema]),
        "parameters": result.parameters,
        "weights": weights(fitted),
    }


def batch_norm(worker, folder, spec):
    """Both layers' (torch's on the whole batch, ours on 3 or 4 of its rows) outputs, gradients and statistics."""
    pairs = []
    for layer, shape in ((nn.BatchNorm1d, (7, 3)), (nn.BatchNorm1d, (7, 3, 5)), (nn.BatchNorm2d, (7, 3, 4, 2))):
        batch, factor = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        plain, ours = layer(3).double(), worker.synchronised(nn.Sequential(layer(3).double()))
        whole, mine = (batch + 100).requires_grad_(), (batch + 100)[worker.rows(7)].requires_grad_()
        expected, output = plain(whole), ours(mine)
        (expected * factor).sum().backward()
        (output * factor[worker.rows(7)]).sum().backward()
        pairs += [
            (output, expected[worker.rows(7)]),
            (mine.grad, whole.grad[worker.rows(7)]),
            *((worker.total(p.grad), q.grad) for p, q in zip(ours.parameters(), plain.parameters(), strict=True)),
            *zip(ours.buffers(), plain.buffers(), strict=True),
            (ours.eval()(mine), plain.eval()(whole)[worker.rows(7)]),
        ]
    return [(ours.detach(), expected.detach()) for ours, expected in pairs]


def disagree(worker, folder, spec):
    """The second worker does not see the first one's checkpoint."""
    state = folder / "state-of-the-first.safetensors"
    fit_module.CHECKPOINT_SECONDS = -1.0
    fit(spec, training_clips(), device=CPU, state=state, worker=worker)
    dist.barrier()
    try:
        fit(spec, training_clips(), device=CPU, state=state if worker.rank == 0 else folder / "none", worker=worker)
    except WorkersDisagree as error:
        return str(error)


def diverge(worker, folder, spec):
    """One worker's share of one batch is not finite."""
    original, count = fit_module.training_loss, itertools.count()

    def broken(*args):
        bad = next(count) == KILLED_AT and worker.rank == 1
        return original(*args) * (float("nan") if bad else 1.0)

    fit_module.training_loss = broken
    try:
        fit(spec, training_clips(), device=CPU, worker=worker)
    except NonFiniteLoss as error:
        return [point.epoch for point in error.curve]
    finally:
        fit_module.training_loss = original


def undisturbed(worker, folder, spec):
    return weights(fit(with_dropout(spec), training_clips(), device=CPU, worker=worker))


def die(worker, folder, spec):
    """A kill -9 of the second worker before its fifth step; it does not return."""
    fit_module.CHECKPOINT_SECONDS = -1.0
    step, count = fit_module._Run._step, itertools.count()

    def fatal(run, batch):
        if next(count) == KILLED_AT:
            dist.barrier()  # the first worker has written its checkpoint
            if worker.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        step(run, batch)

    fit_module._Run._step = fatal
    if worker.rank == 1:
        checkpoint.save = None  # writing is for the first one
    fit(with_dropout(spec), training_clips(), device=CPU, state=folder / "state.safetensors", worker=worker)


def resume(worker, folder, spec):
    step, trained = fit_module._Run._step, []
    fit_module._Run._step = lambda run, batch: (trained.append(run.steps_done), step(run, batch))
    state = folder / "state.safetensors"
    fitted = fit(with_dropout(spec), training_clips(), device=CPU, state=state, worker=worker)
    return trained, weights(fitted)


def process(rank, folder, spec, names):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/{names[0]}.rendezvous", rank=rank, world_size=2)
    for name in names:
        torch.save(globals()[name](Worker(rank, 2), folder, spec), folder / f"{name}.{rank}")
    dist.destroy_process_group()


def run_two(folder, spec, *names):
    torch.multiprocessing.spawn(process, (folder, spec, names), nprocs=2)
    return [[torch.load(folder / f"{name}.{rank}", weights_only=False) for rank in (0, 1)] for name in names]


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def test_two_workers_compute_what_one_computes(spec, tmp_path):
    (pair, layers, messages, diverged) = run_two(tmp_path, spec, "compare", "batch_norm", "disagree", "diverge")
    one = compare(ALONE, tmp_path, spec)
    for two in pair:
        np.testing.assert_allclose(two["curve"], one["curve"], rtol=1e-9)
        assert two["metrics"] == one["metrics"]
        assert two["parameters"] == one["parameters"]
        np.testing.assert_allclose(two["probabilities"], one["probabilities"], rtol=1e-7)
        assert two["weights"].keys() == one["weights"].keys()
        for name, value in two["weights"].items():
            torch.testing.assert_close(value, one["weights"][name], rtol=1e-6, atol=1e-7, msg=name)
    assert_equal_bits(pair[0]["weights"], pair[1]["weights"])
    for ours, expected in itertools.chain(*layers):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    assert f"worker 1 of 2 starts from step 0, another one from step {STEPS}" in messages[1]
    assert f"worker 0 of 2 starts from step {STEPS}, another one from step 0" in messages[0]
    assert diverged == [[0], [0]], "one worker's NaN ends the trial of both, in the same epoch"


def test_a_killed_pair_resumes_and_ends_with_the_same_bits(spec, tmp_path):
    with pytest.raises(torch.multiprocessing.ProcessExitedException, match="SIGKILL"):
        run_two(tmp_path, spec, "undisturbed", "die")
    expected = [torch.load(tmp_path / f"undisturbed.{rank}", weights_only=False) for rank in (0, 1)]
    (resumed,) = run_two(tmp_path, spec, "resume")
    for trained, result in resumed:
        assert trained == list(range(KILLED_AT, STEPS)), "a resumed trial repeats nothing"
        assert_equal_bits(result, expected[0])
    assert_equal_bits(expected[0], expected[1])


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 7, 64, 65])
def test_the_shares_are_a_partition(world_size, count):
    shares = [np.arange(count)[Worker(rank, world_size).rows(count)] for rank in range(world_size)]
    np.testing.assert_array_equal(np.concatenate(shares), np.arange(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(ValueError, match="rank 2 of 2 workers: expected 0 to 1"):
        Worker(2, 2)


def test_more_workers_than_clips_in_a_batch_are_refused(spec):
    with pytest.raises(ValueError, match="10 workers can't share a batch of 9 clips"):
        fit(spec, training_clips(), device=CPU, worker=Worker(0, 10))
