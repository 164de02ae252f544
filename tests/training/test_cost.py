"""Counted operations, against counting by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sweeper.model.build import build
from sweeper.model.config import SIZES
from sweeper.training.cost import _CountedRNN, count_parameters, gflops_per_clip, training_seconds_per_clip
from tests.studies import ARMS


def test_an_lstms_products_are_counted():
    """Against torch's counter on the real LSTM, unrolled over time on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    with torch.device("meta"):
        lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        for module in (lstm, _CountedRNN(lstm)):
            with FlopCounterMode(display=False) as counter:
                output, _ = module(torch.empty(2, 10, 6))
            assert output.shape == (2, 10, 8)
            counts.append(counter.get_total_flops())
    by_hand = 2 * 10 * 2 * (2 * 6 * 16 + 2 * 4 * 16)  # batch, time, directions, multiply-adds of both products
    assert counts == [by_hand, by_hand]


def test_the_papers_size_costs_what_the_design_expects():
    assert gflops_per_clip(SIZES["paper"], 88_200) == pytest.approx(94.9, rel=0.01)


def test_an_arm_with_fewer_modules_costs_less():
    full, none = (replace(SIZES["tiny"], **ARMS[name].network) for name in ("full", "dual-branch"))
    assert gflops_per_clip(none, 8000) < gflops_per_clip(full, 8000)
    assert count_parameters(build(none, 0)) < count_parameters(build(full, 0))


def test_speed_is_measured_and_threads_are_put_back():
    threads = torch.get_num_threads()
    seconds = training_seconds_per_clip(SIZES["tiny"], 8000)
    assert 3 * gflops_per_clip(SIZES["tiny"], 8000) / seconds > 0.1  # GFLOP/s
    assert torch.get_num_threads() == threads
