"""What a network costs: parameters and floating-point operations, counted; and how fast this machine is at them."""

import functools
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sweeper.model.build import build
from sweeper.model.config import ACDNetConfig, EATConfig, ModelConfig

AnyModelConfig = ModelConfig | EATConfig | ACDNetConfig


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@functools.cache
def gflops_per_clip(config: AnyModelConfig, length: int) -> float:
    """GFLOP of one forward pass over one clip of `length` samples, by torch's own counter, on the meta device."""
    network = meta_network(config)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, length, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def meta_network(config: AnyModelConfig) -> nn.Module:
    """The network on the meta device, where nothing is computed but everything can be counted.

    Its LSTMs are replaced by stand-ins with the same products: torch's counter sees nothing in the fused operator of a
    CPU, and on the meta device an LSTM becomes a Python loop over time, half a minute for a clip of the paper's length.
    """
    network = build(config, seed=0).to("meta")
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.LSTM):
            network.set_submodule(name, _CountedLSTM(module))
    return network


class _CountedLSTM(nn.Module):
    """One layer of an LSTM with its steps of time side by side: other numbers, the same operations and sizes.

    `[batch, time, in] -> [batch, time, directions · hidden]`.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        if lstm.num_layers != 1 or not lstm.batch_first:
            raise ValueError(f"expected one layer, batch first, got {lstm}")
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        outputs = []
        for suffix in ("", "_reverse") if self.lstm.bidirectional else ("",):
            weights = (getattr(self.lstm, f"weight_{kind}_l0{suffix}") for kind in ("ih", "hh"))
            into, recurrent = weights
            gates = F.linear(x, into)
            gates = (gates + F.linear(gates[..., : self.lstm.hidden_size], recurrent)).sigmoid()
            outputs.append(gates[..., : self.lstm.hidden_size].tanh())
        return torch.cat(outputs, dim=-1), None


def training_gflops_per_second(config: AnyModelConfig, length: int) -> float:
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
