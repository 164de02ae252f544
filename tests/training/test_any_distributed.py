"""Networks of every kind on two workers: what one computes, and the same state on both after each step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from sweeper.augmentation_config import AugmentationConfig
from sweeper.model.pairing import NetworkError
from sweeper.training.distributed import ALONE, Worker
from sweeper.training.fit import fit
from sweeper.training.trial import run_trial
from tests.networks import Branched, Faulty, Own, Tiny
from tests.training.conftest import CLASSES, RATE, make_clips
from tests.training.test_distributed import double_precision, training_clips, weights

CPU = torch.device("cpu")
CLIP = {"classes": CLASSES, "sample_rate": RATE, "samples": 2000}
NETWORKS = {
    name: Tiny(body=name, **CLIP)
    for name in (
        "batch-norm",
        "plain-batch-norm",
        "instance-norm",
        "spectral-norm",
        "gru",
        "tokens",
        "lazy",
        "tied",
        "frozen",
    )
} | {
    "unused": Faulty(fault="unused", **CLIP),
    "own loss": Branched(own_loss=True, **CLIP),
}


@pytest.fixture
def trials(make_spec):
    spec = make_spec(epochs=2, batch_size=9, augmentation=AugmentationConfig.off())
    return {name: replace(spec, model=network) for name, network in NETWORKS.items()} | {
        # What NumPy draws in it differs between workers, as dropout does.
        "moving": replace(spec, model=Tiny(body="moving", **CLIP)),
        "own norm": replace(spec, model=Faulty(fault="own norm", **CLIP)),
    }


def trained(worker, trials):
    found = {}
    for name in NETWORKS:
        with double_precision():
            result, fitted = run_trial(
                trials[name], training_clips(), lambda: [make_clips(11, seed=1)], device=CPU, worker=worker
            )
        found[name] = {
            "curve": [point.loss for point in result.curve],
            "probabilities": result.predictions.probabilities_ema,
            "weights": weights(fitted),
        }
    return found


def process(rank, folder, trials):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    worker = Worker(rank, 2)
    found = trained(worker, trials)
    found["moving"] = {"weights": weights(fit(trials["moving"], training_clips(), device=CPU, worker=worker))}
    try:
        fit(trials["own norm"], training_clips(), device=CPU, worker=worker)
    except NetworkError as error:
        found["own norm"] = str(error)
    torch.save(found, folder / str(rank))
    dist.destroy_process_group()


def test_two_workers_compute_what_one_computes_in_one_state(trials, tmp_path):
    torch.multiprocessing.spawn(process, (tmp_path, trials), nprocs=2)
    pair = [torch.load(tmp_path / str(rank), weights_only=False) for rank in (0, 1)]
    alone = trained(ALONE, trials)
    for name, expected in alone.items():
        for two in pair:
            np.testing.assert_allclose(two[name]["curve"], expected["curve"], rtol=1e-9, err_msg=name)
            np.testing.assert_allclose(two[name]["probabilities"], expected["probabilities"], rtol=1e-6, err_msg=name)
            assert two[name]["weights"].keys() == expected["weights"].keys()
            for key, value in two[name]["weights"].items():
                torch.testing.assert_close(value, expected["weights"][key], rtol=1e-6, atol=1e-8, msg=f"{name}: {key}")
    for name in (*NETWORKS, "moving"):
        for key, value in pair[0][name]["weights"].items():
            assert torch.equal(value, pair[1][name]["weights"][key]), (name, key)
    assert f"norm is a {Own.__name__}: several workers" in pair[1]["own norm"]
