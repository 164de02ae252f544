"""How near to this machine's matrix products the network's convolutions come, on one CPU thread, beside torch's own.

    python -m tests.benchmarks.convolutions [--rounds 20]

Each convolution of the paper's full network outside of its Transformers, at `quick` and at `small`, as a training step
calls it: with its bias and activation, forward and backward, as `model/convolution.py` computes it and by torch's
convolution of sequences (channels before time) in turn, the shortest of all rounds.
Operations are those of the convolutions alone, whatever either does beside them; the peak is that of a product of two
matrices of 1024 × 1024, float32.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sweeper.model import convolution, layers
from sweeper.search_spaces import recipes
from tests.benchmarks.step_against import _run, cpu_name

Call = tuple[tuple[int, ...], bool, tuple[tuple[int, ...], ...], tuple[bool, ...], tuple[float, ...], int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{cpu_name()}, one thread\n")
    columns = ("recipe", "convolutions", "GFLOP a step", "torch's, ms", "GFLOP/s", "ours, ms", "GFLOP/s", "faster")
    print(f"| {' | '.join((*columns, 'peak GFLOP/s', 'share'))} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for recipe in (recipes.quick, recipes.small):
        calls = _calls(recipe.__name__)
        flops = sum(times * _operations(call) for call, times in calls.items())
        seconds = [0.0, 0.0]
        peak = math.inf
        for call, times in calls.items():
            theirs, ours = _seconds(call, rounds)
            seconds[0] += times * theirs
            seconds[1] += times * ours
            peak = min(peak, _peak_seconds())
        number = sum(times * len(call[2]) for call, times in calls.items())
        rates = [flops / part / 1e9 for part in seconds]
        best = 2 * 1024**3 / peak / 1e9
        cells = [recipe.__name__, str(number), f"{flops / 1e9:.2f}"]
        for part, rate in zip(seconds, rates, strict=True):
            cells += [f"{1e3 * part:.1f}", f"{rate:.0f}"]
        cells += [f"{seconds[0] / seconds[1]:.2f}", f"{best:.0f}", f"{100 * rates[1] / best:.0f} %"]
        print(f"| {' | '.join(cells)} |", flush=True)


def _calls(recipe: str) -> Counter[Call]:
    """Shapes of what one training step convolves, and how often."""
    calls: Counter[Call] = Counter()
    plain = layers.convolutions

    def noted(
        x: Tensor,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor | None],
        slopes: Sequence[float],
        stride: int = 1,
        dilation: int = 1,
    ) -> object:
        shapes = tuple(tuple(weight.shape) for weight in weights)
        with_bias = tuple(bias is not None for bias in biases)
        calls[tuple(x.shape), x.requires_grad, shapes, with_bias, tuple(slopes), stride, dilation] += 1
        return plain(x, weights, biases, slopes, stride=stride, dilation=dilation)

    run = _run(recipe)
    layers.convolutions = noted  # type: ignore[assignment]
    try:
        plan = run.batches.training_epoch(0, 0, run.spec.training.batch_size)
        run._step(run.batches.gather(*plan[0]))
    finally:
        layers.convolutions = plain
    return calls


def _operations(call: Call) -> int:
    """Of forward, weights' gradients and, if the input has one, its gradient."""
    shape, needs, weights, _, _, stride, _ = call
    frames = math.prod(shape[:-2]) * -(-shape[-2] // stride)
    return (3 if needs else 2) * sum(2 * frames * math.prod(weight) for weight in weights)


def _seconds(call: Call, rounds: int) -> tuple[float, float]:
    """Of torch's convolutions and ours, forward and backward."""
    shape, needs, weights, with_bias, slopes, stride, dilation = call
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).requires_grad_(needs)
    parameters = [torch.randn(weight, generator=generator).mul_(0.1).requires_grad_() for weight in weights]
    biases = [
        torch.zeros(w[0], requires_grad=True) if bias else None for w, bias in zip(weights, with_bias, strict=True)
    ]
    clips = x.detach().flatten(0, -3).transpose(1, 2).contiguous().requires_grad_(needs)

    def theirs() -> list[Tensor]:
        answers = []
        for weight, bias, slope in zip(parameters, biases, slopes, strict=True):
            padding = dilation * (weight.shape[2] // 2)
            y = nn.functional.conv1d(clips, weight, bias, stride, padding, dilation)
            answers.append(y if slope == 1 else nn.functional.leaky_relu_(y, slope))
        return answers

    def ours() -> list[Tensor]:
        return list(convolution.convolutions(x, parameters, biases, slopes, stride=stride, dilation=dilation))

    leaves = [*parameters, *(bias for bias in biases if bias is not None)]
    ways = [(theirs, [clips, *leaves] if needs else leaves), (ours, [x, *leaves] if needs else leaves)]
    gradients = [[torch.randn_like(y) for y in way()] for way, _ in ways]
    best = [math.inf, math.inf]
    for turn in range(rounds + 2):
        for index, ((way, wanted), given) in enumerate(zip(ways, gradients, strict=True)):
            seconds = _timed(lambda way=way, wanted=wanted, given=given: torch.autograd.grad(way(), wanted, given))
            if turn >= 2:
                best[index] = min(best[index], seconds)
    return best[0], best[1]


def _peak_seconds() -> float:
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return min(_timed(lambda: one @ other) for _ in range(5))


def _timed(work: Callable[[], object]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


if __name__ == "__main__":
    main()
