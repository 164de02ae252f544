"""What a network costs: parameters and floating-point operations, counted; and how fast this machine is at them."""

import math
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.build import build
from model.config import ModelConfig
from model.network import DualBranchNet


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def gflops_per_clip(config: ModelConfig, length: int) -> float:
    """GFLOP of one forward pass over one clip of `length` samples, by torch's own counter.

    Counted on the meta device, where nothing is computed: there the LSTM decomposes into the matrix products that the
    counter knows (on a CPU it is one fused operator that counts as nothing), and a 4 s clip takes no longer than 1 s.
    """
    with torch.device("meta"):
        network = DualBranchNet(config)
        clip = torch.empty(1, 1, length)
    with FlopCounterMode(display=False) as counter:
        network(clip)
    return float(counter.get_total_flops()) / 1e9


def training_gflops_per_second(config: ModelConfig, length: int) -> float:
    """Measured speed of one training step on one CPU thread or the GPU, in GFLOP/s by the same count.

    Backward is taken as twice the forward pass. The batch is as large as a second or two of a core allows, and at least
    2 for batch norm: a small batch understates a GPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    forward = gflops_per_clip(config, length)
    batch = max(2, min(32, round(20 / forward)))
    network = build(config, seed=0).to(device).train()
    clips = torch.zeros(batch, 1, length, device=device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = math.inf
        for _ in range(2):  # the first one warms up
            begin = time.perf_counter()
            network(clips).logits.sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - begin)
    finally:
        torch.set_num_threads(threads)
    return 3 * forward * batch / best
