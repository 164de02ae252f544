"""What a fold trains on: the same, whichever other folds are cut beside it."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from sweeper.audio.datasets.base import VALIDATION
from sweeper.audio.fold_data import cut
from sweeper.audio.leaks import LeakError
from sweeper.audio.store import prepare
from sweeper.run.checks import check_clips
from sweeper.run.options import AblationOptions, SearchOptions
from sweeper.training.batches import Batches

FOLDS = (1, 2, 3)
COMPANIES = [folds for size in FOLDS for folds in itertools.combinations(FOLDS, size)]


def epoch(parts, number=0):
    """The ids of an epoch's clips, in the order in which it has them, and what they sound like."""
    batches = Batches(parts, 400, torch.device("cpu"))
    ids = np.concatenate([part.ids for part in parts])
    plan = batches.training_epoch(5, number, 2)
    return [ids[rows].tolist() for rows, _ in plan], torch.cat([batches.gather(*each).waveforms for each in plan])


@pytest.mark.parametrize("split", ["official", "grouped"])
@pytest.mark.parametrize("selecting", [False, True])
def test_a_fold_has_the_same_batches_whichever_others_there_are(collection, split, selecting):
    store = prepare(collection(60), 8000, progress=False)
    for fold in FOLDS:
        alone = cut(store, split, [fold], selecting=selecting)[fold]
        for folds in COMPANIES:
            if fold in folds:
                beside = cut(store, split, folds, selecting=selecting)[fold]
                for number in range(2):
                    ids, sounds = epoch(alone.train, number)
                    found, found_sounds = epoch(beside.train, number)
                    assert found == ids
                    assert torch.equal(found_sounds, sounds)
                assert {i for part in beside.scored for i in part.ids} == {i for part in alone.scored for i in part.ids}


def test_clips_that_select_are_not_among_those_that_train(collection):
    dataset = collection(60)
    prescribed = [replace(c, fold=VALIDATION if c.fold == 2 else c.fold) for c in dataset.clips]
    twin = next(clip for clip in prescribed if clip.fold == 3)
    selects = next(number for number, clip in enumerate(prescribed) if clip.fold == VALIDATION)
    shutil.copy(twin.path, prescribed[selects].path)
    store = prepare(replace(dataset, clips=tuple(prescribed), folds=(1, 3)), 8000, progress=False)
    check_clips(store, AblationOptions(split="official"), (1,))  # which selects nothing
    with pytest.raises(LeakError, match=r"fold 1: 1 of 20 validation clips are also in training, so that a search"):
        check_clips(store, SearchOptions(split="official"), (1,))
    check_clips(store, SearchOptions(split="grouped"), (1,))
