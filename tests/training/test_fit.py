"""Training is a pure function of its spec: paired across arms, resumable at any step, honest about divergence."""

import contextlib
import functools
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sweeper.augmentation_config import AugmentationConfig
from sweeper.results.store import Study
from sweeper.training import checkpoint
from sweeper.training import fit as fit_module
from sweeper.training import trial as trial_module
from sweeper.training.fit import Diverged, NonFiniteLoss, NonFiniteWeights, fit
from sweeper.training.metrics import Metrics
from sweeper.training.trial import run_trial
from sweeper.training_config import EMAConfig
from tests.studies import ARMS

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def weights(fitted):
    return {
        f"{name}.{key}": value
        for name, network in (("raw", fitted.network), ("ema", fitted.averaged))
        for key, value in network.state_dict().items()
    }


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def timeless(curve):
    return [(point.epoch, point.loss, point.train_accuracy, point.learning_rate) for point in curve]


def test_same_spec_same_bits(make_spec, train):
    torch.manual_seed(1)
    first = fit(make_spec(), train, device=CPU)
    torch.manual_seed(2)
    torch.rand(17)
    second = fit(make_spec(), train, device=CPU)
    assert_equal_bits(weights(first), weights(second))
    assert timeless(first.curve) == timeless(second.curve)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains(arm, make_spec, train, test_clips):
    result, fitted = run_trial(make_spec(arm, epochs=2), train, lambda: [test_clips], device=CPU)
    assert len(result.curve) == 2
    assert np.isfinite([point.loss for point in result.curve]).all()
    assert result.predictions.probabilities.shape == (12, 3)
    np.testing.assert_allclose(result.predictions.probabilities.sum(1), 1.0, rtol=1e-5)
    assert result.parameters == sum(p.numel() for p in fitted.network.parameters())
    assert result.gflops_per_clip > 0


def test_scored_clips_are_the_same_batches_in_the_same_order_however_they_are_parted(make_spec, train, test_clips):
    """Which parts there are depends on the folds that a command has left to run."""
    spec, odd = make_spec("detail-only", epochs=1), test_clips.rows % 3 == 1
    parted = [test_clips.take(np.flatnonzero(odd)), test_clips.take(np.flatnonzero(~odd))]
    found = [run_trial(spec, train, lambda scored=s: scored, device=CPU)[0] for s in ([test_clips], parted)]
    for whole, other in zip(*(vars(result.predictions).values() for result in found), strict=True):
        np.testing.assert_array_equal(other, whole)
    assert found[0].metrics == found[1].metrics


def test_it_learns(make_spec, train, test_clips):
    spec = make_spec(epochs=25, augmentation=AugmentationConfig.off())
    result, _ = run_trial(spec, train, lambda: [test_clips], device=CPU)
    assert result.metrics.accuracy >= 0.9
    assert result.metrics_ema.accuracy >= 0.9
    assert result.curve[-1].loss < result.curve[0].loss


def test_arms_see_the_same_batches_and_draws(make_spec, train, monkeypatch):
    seen = {}
    for arm in ("full", "detail-only", "fusion-sum"):
        spec, original = make_spec(arm), fit_module.augment

        def spy(waveforms, targets, *args, arm=arm, original=original, **keywords):
            augmented = original(waveforms, targets, *args, **keywords)
            seen.setdefault(arm, []).append((waveforms.clone(), augmented.waveforms.clone(), augmented.targets))
            return augmented

        monkeypatch.setattr(fit_module, "augment", spy)
        fit(spec, train, device=CPU)
        monkeypatch.undo()
    assert len(seen["full"]) == 9
    for arm in ("detail-only", "fusion-sum"):
        for ours, theirs in zip(seen[arm], seen["full"], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    raw, augmented, _ = seen["full"][0]
    assert not torch.equal(raw, augmented)


class Killed(Exception):
    """Stands in for a kill: nothing of the process survives it but the checkpoint file."""


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_killed_at_any_step_and_resumed_ends_with_the_same_bits(unit, make_spec, train, tmp_path, monkeypatch):
    spec = make_spec(epochs=3, ema=EMAConfig(0.9, unit=unit))
    undisturbed = fit(spec, train, device=CPU)
    steps = 9
    step = fit_module._Run._step
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)  # after every step
    for kill_at in range(steps):
        state, count = tmp_path / f"{kill_at}.safetensors", iter(range(1000))

        def fatal(run, batch, kill_at=kill_at, count=count):
            if next(count) == kill_at:
                raise Killed
            step(run, batch)

        monkeypatch.setattr(fit_module._Run, "_step", fatal)
        with pytest.raises(Killed):
            fit(spec, train, device=CPU, state=state)
        trained = []
        monkeypatch.setattr(fit_module._Run, "_step", lambda run, batch, t=trained: (t.append(1), step(run, batch)))
        resumed = fit(spec, train, device=CPU, state=state)
        assert len(trained) == steps - kill_at, "a resumed trial repeats nothing"
        assert_equal_bits(weights(resumed), weights(undisturbed))
        assert timeless(resumed.curve) == timeless(undisturbed.curve)


def test_a_trial_goes_on_from_a_checkpoint_in_an_object_store(make_spec, train, s3, monkeypatch):
    spec, study = make_spec(epochs=3), Study(f"{s3.url}/s")
    undisturbed = fit(spec, train, device=CPU)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)  # after every step

    def fatal(point):
        if point.epoch == 1:
            raise Killed

    seen = []
    for on_epoch in (fatal, seen.append):  # each on a machine of its own, so to say: local copies are gone
        with contextlib.suppress(Killed), study.checkpoint("a" * 16) as state:
            fitted = fit(spec, train, device=CPU, state=state.path, on_state=state.save, on_epoch=on_epoch)
    assert [point.epoch for point in seen] == [1, 2], "the second epoch's last step was not kept"
    assert_equal_bits(weights(fitted), weights(undisturbed))


def test_a_torn_or_foreign_checkpoint_is_not_used(make_spec, train, tmp_path, monkeypatch):
    undisturbed = fit(make_spec(), train, device=CPU)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\x00" * 100)
    assert_equal_bits(weights(fit(make_spec(), train, device=CPU, state=torn)), weights(undisturbed))
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    foreign = tmp_path / "foreign.safetensors"
    fit(make_spec(max_lr=1e-3), train, device=CPU, state=foreign)
    assert_equal_bits(weights(fit(make_spec(), train, device=CPU, state=foreign)), weights(undisturbed))


def test_a_checkpoint_holds_no_pickle(make_spec, train, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    state = tmp_path / "s.safetensors"
    fit(make_spec(epochs=1), train, device=CPU, state=state)
    size = int.from_bytes(state.read_bytes()[:8], "little")
    json.loads(state.read_bytes()[8 : 8 + size])
    assert list(tmp_path.iterdir()) == [state], "no temporary file is left"


def test_divergence_ends_the_trial_with_its_curve(make_spec, train, monkeypatch):
    original = fit_module.training_loss
    count = iter(range(1000))
    monkeypatch.setattr(
        fit_module, "training_loss", lambda *args: original(*args) * (float("nan") if next(count) >= 3 else 1.0)
    )
    with pytest.raises(NonFiniteLoss, match="became nan in epoch 1") as caught:
        fit(make_spec(), train, device=CPU)
    assert [point.epoch for point in caught.value.curve] == [0]


def spoiling(monkeypatch, spoil, at):
    """Training whose weights go wrong after a step's loss was computed; steps are counted from 0."""
    step, count = fit_module._Run._step, iter(range(1000))

    def spoiled(run, batch):
        step(run, batch)
        if next(count) == at:
            spoil(run)

    monkeypatch.setattr(fit_module._Run, "_step", spoiled)


def set_one(values, number):
    """Set one number of the last tensor."""
    with torch.no_grad():
        list(values)[-1].view(-1)[0] = number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("whose", "spoil"),
    [
        ("the weights", lambda run, number: set_one(run.network.parameters(), number)),
        ("the weights", lambda run, number: set_one(_floats(run.network.buffers()), number)),
        ("the averaged weights", lambda run, number: set_one(run.ema.averaged.parameters(), number)),
        ("the averaged weights", lambda run, number: set_one(_floats(run.ema.averaged.buffers()), number)),
    ],
    ids=["weights", "statistics", "average", "its statistics"],
)
def test_weights_that_go_wrong_in_the_last_step_are_no_result(
    make_spec, train, test_clips, monkeypatch, number, whose, spoil
):
    spec = make_spec(epochs=2)
    spoiling(monkeypatch, lambda run: spoil(run, number), at=5)
    with pytest.raises(NonFiniteWeights, match=f"{whose} became NaN or infinite by epoch 1 ") as caught:
        run_trial(spec, train, lambda: [test_clips], device=CPU)
    assert [point.epoch for point in caught.value.curve] == [0, 1]
    assert all(np.isfinite(point.loss) for point in caught.value.curve), "no loss shows it"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.curve) == (NonFiniteWeights, str(caught.value), caught.value.curve)


def _floats(tensors):
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def test_infinities_that_a_network_is_made_with_are_no_divergence(make_spec, train, monkeypatch):
    """Such as a mask's."""
    build = fit_module.build

    def masked(*args):
        network = build(*args)
        network.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
        return network

    monkeypatch.setattr(fit_module, "build", masked)
    assert len(fit(make_spec(epochs=1), train, device=CPU).curve) == 1


@pytest.mark.parametrize("follow", [False, True])
def test_answers_that_are_no_numbers_are_no_score(make_spec, train, test_clips, monkeypatch, follow):
    spec = replace(make_spec(epochs=2), stage="explore" if follow else "", kind="search" if follow else "ablation")
    monkeypatch.setattr(trial_module, "predict", lambda *_args: np.full((len(test_clips), 3), np.nan, np.float32))
    with pytest.raises(Diverged, match="the network's answers became NaN"):
        run_trial(spec, train, lambda: [test_clips], device=CPU, follow=follow)


@pytest.mark.parametrize("value", [17.0, -0.1, float("nan"), float("inf")])
def test_a_score_that_is_no_share_is_no_result(make_spec, train, test_clips, monkeypatch, value):
    monkeypatch.setattr(trial_module, "metrics", lambda _matrix: Metrics(value, 0.5, 0.5, 0.5))
    with pytest.raises(Diverged, match=f"accuracy is {value}, which is not between 0 and 1"):
        run_trial(make_spec(epochs=1), train, lambda: [test_clips], device=CPU)


def test_a_bit_that_fell_over_in_a_checkpoint_is_not_trained_on(make_spec, train, tmp_path, monkeypatch):
    """Wherever it lies, a resumed trial ends as one that never stopped."""
    spec = make_spec(epochs=2)
    undisturbed = fit(spec, train, device=CPU)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    state = tmp_path / "s.safetensors"
    with pytest.raises(Killed):
        fit(spec, train, device=CPU, state=state, on_epoch=lambda _point: (_ for _ in ()).throw(Killed))
    good = state.read_bytes()
    assert checkpoint.load(state) is not None
    rng, header = np.random.default_rng(0), int.from_bytes(good[:8], "little")
    places = [*rng.integers(0, 8 + header, 150), *rng.integers(8 + header, len(good), 50)]
    whole = checkpoint.load(state)
    for place in map(int, places):
        state.write_bytes(good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
        found = checkpoint.load(state)
        assert found is None or same(found, whole), place
    state.write_bytes(good[:-5] + bytes([good[-5] ^ 64]) + good[-4:])
    assert_equal_bits(weights(fit(spec, train, device=CPU, state=state)), weights(undisturbed))


def same(one, other):
    """Whether two states hold the same."""
    (tensors, header), (others, other_header) = one, other
    return (
        header == other_header
        and tensors.keys() == others.keys()
        and all(torch.equal(value, others[name]) for name, value in tensors.items())
    )


def test_a_checkpoint_of_an_older_version_has_no_digest_and_is_continued(make_spec, train, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    spec = make_spec(epochs=2)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    state = tmp_path / "s.safetensors"
    with pytest.raises(Killed):
        fit(spec, train, device=CPU, state=state, on_epoch=lambda _point: (_ for _ in ()).throw(Killed))
    tensors, header = checkpoint.load(state)
    save_file(tensors, state, {"sweeper": json.dumps(header)})
    assert same(checkpoint.load(state), (tensors, header)), "it is taken as it is"
    continued = fit(spec, train, device=CPU, state=state)
    assert_equal_bits(weights(continued), weights(fit(spec, train, device=CPU)))
    # And one that lacks what it should hold is no state to go on from, nor the end of the trial.
    del tensors["totals"], header["rates"]
    for tensor_names in (tensors.keys(), [name for name in tensors if not name.startswith("ema.")]):
        save_file({name: tensors[name] for name in tensor_names}, state, {"sweeper": json.dumps(header)})
        seen = []
        fit(spec, train, device=CPU, state=state, on_epoch=seen.append)
        assert [point.epoch for point in seen] == [0, 1]


def test_very_short_runs_have_a_schedule(make_spec, train):
    for epochs in (1, 2):
        fitted = fit(make_spec(epochs=epochs, batch_size=24), train, device=CPU)
        assert all(np.isfinite(point.learning_rate) and point.learning_rate > 0 for point in fitted.curve)


def test_test_clips_are_opened_only_when_training_has_ended(make_spec, train, test_clips):
    events = []

    def open_test():
        events.append("test opened")
        return [test_clips]

    run_trial(make_spec(epochs=2), train, open_test, device=CPU, on_epoch=lambda point: events.append(point.epoch))
    assert events == [0, 1, "test opened"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch):
    path = tmp_path / "s.safetensors"
    checkpoint.save(path, {"x": torch.ones(2)}, {"n": 1})

    def full(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {"x": torch.zeros(2)}, {"n": 2})
    tensors, header = checkpoint.load(path)
    assert torch.equal(tensors["x"], torch.ones(2))
    assert header == {"n": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_search_follows_its_validation_clips_and_trains_as_ever(make_spec, train, test_clips):
    plain = make_spec(epochs=3)
    spec = replace(plain, stage="explore", kind="search")
    points = []
    result, fitted = run_trial(spec, train, lambda: [test_clips], device=CPU, on_epoch=points.append, follow=True)
    assert [point.validation_accuracy for point in points] == [p.validation_accuracy for p in fitted.curve]
    assert points[-1].validation_accuracy == result.metrics.accuracy
    assert all(0 <= point.validation_accuracy <= 1 for point in points)
    _, unwatched = run_trial(plain, train, lambda: [test_clips], device=CPU)
    assert [point.loss for point in unwatched.curve] == [point.loss for point in fitted.curve]
    for ours, theirs in zip(fitted.network.state_dict().values(), unwatched.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_one_that_is_resumed_tells_what_it_was_followed_by_before(make_spec, train, test_clips, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", -1.0)
    spec = replace(make_spec(epochs=3), kind="search", stage="explore")
    seen, again = [], []

    def fatal(point):
        seen.append(point)
        if point.epoch == 2:
            raise Killed

    run = functools.partial(run_trial, spec, train, lambda: [test_clips], device=CPU, state=tmp_path / "s", follow=True)
    with pytest.raises(Killed):
        run(on_epoch=fatal)
    result, _ = run(on_epoch=again.append)
    assert again[:2] == seen[:2]
    assert tuple(again) == result.curve


def test_test_clips_are_never_followed(make_spec, train, test_clips):
    with pytest.raises(ValueError, match="opened after training"):
        run_trial(make_spec(), train, lambda: [test_clips], device=CPU, follow=True)


def test_an_epoch_lasts_until_the_device_is_done(make_spec, train, monkeypatch):
    clock = [0.0]

    class Late(torch.Tensor):
        """Totals on a device that is 5 s behind."""

        def tolist(self):
            clock[0] += 5.0
            return super().tolist()

    real = fit_module._Run.__init__

    def init(run, *arguments):
        real(run, *arguments)
        run._totals = run._totals.as_subclass(Late)

    monkeypatch.setattr(fit_module._Run, "__init__", init)
    monkeypatch.setattr(fit_module.time, "perf_counter", lambda: clock[0])
    assert [point.seconds for point in fit(make_spec(epochs=2), train, device=CPU).curve] == [5.0, 5.0]


def test_each_trial_of_a_process_is_compiled(make_spec, train, monkeypatch):
    compiled = []

    def backend(graph, _inputs):
        compiled[-1] += 1
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    with torch._dynamo.config.patch(recompile_limit=1):  # so that a second network reaches it, not a ninth
        for arm in ("semantic-only", "dual-branch"):
            compiled.append(0)
            fit(make_spec(arm, epochs=1, batch_size=24, compile=True), train, device=CPU)
    assert all(compiled), compiled


def test_a_training_step_needs_torch_and_numpy_alone():
    """So that it can be measured on a machine with a GPU and nothing else."""
    code = "import sys, tests.benchmarks.training_step; print(*{name.split('.')[0] for name in sys.modules})"
    root = Path(__file__).resolve().parents[2]
    output = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    others = {"ray", "optuna", "pyarrow", "pandas", "scipy", "soundfile", "torchaudio", "safetensors", "rich", "loky"}
    assert others & set(output.split()) == set()
