"""Small networks of every kind that a study may have, each with the modules that a kind of trouble comes from."""

import copy
import threading
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from torch import nn
from torch.nn.utils import parametrizations

from sweeper.model.network import Output
from sweeper.study import Network

WIDTH = 8


@dataclass(frozen=True, kw_only=True)
class Tiny(Network):
    """A frame front end, one body of a kind, and a head."""

    body: str = "linear"
    extra: bool = False  # another module, constructed before all others

    def build(self):
        return Framed(self)


class Framed(nn.Module):
    """Frames of 100 samples, the body on `[batch, frames, WIDTH]`, a mean over time, a head."""

    def __init__(self, config):
        super().__init__()
        if config.extra:
            self.extra = nn.Linear(WIDTH, WIDTH)
        self.frames = nn.Conv1d(1, WIDTH, 100, stride=100)
        self.body = BODIES[config.body]()
        self.head = nn.Linear(WIDTH, config.classes)

    def forward(self, waveform):
        x = self.frames(waveform).transpose(1, 2)
        if hasattr(self, "extra"):
            x = x + self.extra(x).tanh()
        x = self.body(x)
        return self.head((x[0] if isinstance(x, tuple) else x).mean(1))


class Over(nn.Module):
    """A layer of `[batch, channels, time]` on `[batch, time, channels]`."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class Tokens(nn.Module):
    """A class token and learned positions: bare parameters, drawn in the constructor."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.positions = nn.Parameter(torch.zeros(1, 64, WIDTH))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.positions[:, : x.shape[1]]
        return self.attention(x, x, x)[0]


class Fourier(nn.Module):
    """Random features in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("directions", torch.randn(WIDTH, WIDTH))
        self.register_buffer("mask", torch.full((WIDTH,), float("-inf")).diag().triu(1))

    def forward(self, x):
        return (x @ self.directions).cos()


class Spectrogram(nn.Module):
    """Windows and filters in buffers; it takes features as if they were samples."""

    def __init__(self):
        super().__init__()
        self.mel = torchaudio.transforms.MelSpectrogram(8000, n_fft=64, n_mels=WIDTH)

    def forward(self, x):
        return torch.log1p(self.mel(x.flatten(1))).transpose(1, 2)


class Tied(nn.Module):
    """One layer under two names, and one weight in two layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = self.first
        self.third = nn.Linear(WIDTH, WIDTH, bias=False)
        self.third.weight = self.first.weight

    def forward(self, x):
        return self.third(self.second(self.first(x).relu()).relu())


class Quantised(nn.Module):
    """Indices into an embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(16, WIDTH, padding_idx=0)

    def forward(self, x):
        return self.embedding((x[..., 0] * 8).long().clamp(0, 15)) + x


class ByHand(nn.Module):
    """Its law is written in `reset_parameters`, and depends on a child's weights; a `log_scale` starts at zero."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.empty(WIDTH))
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.reset_parameters()

    def reset_parameters(self):
        with torch.no_grad():
            self.scale.copy_(1 / self.linear.weight.norm(dim=1))
        nn.init.orthogonal_(self.linear.weight)

    def forward(self, x):
        return self.linear(x) * self.scale * self.log_scale.exp()


class Applied(nn.Sequential):
    """Initialised by `apply` in the constructor, with a last layer that starts at zero."""

    def __init__(self):
        super().__init__(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.apply(self.draw)
        nn.init.zeros_(self[2].weight)

    def draw(self, module):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


class Moving(nn.Module):
    """A running mean that is another tensor in each step, and a noise that NumPy draws."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running", torch.zeros(WIDTH))

    def forward(self, x):
        if self.training:
            self.running = 0.9 * self.running + 0.1 * x.detach().mean((0, 1))
            return x - self.running + 0.1 * float(np.random.rand())
        return x - self.running


class Frozen(nn.Module):
    """A layer that is not trained, below one that is."""

    def __init__(self):
        super().__init__()
        self.below = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.above = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.above(self.below(x))


def _copies():
    layer = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(layer, nn.Tanh(), copy.deepcopy(layer))


BODIES = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "gru": lambda: nn.GRU(WIDTH, WIDTH, batch_first=True),
    "lstm": lambda: nn.LSTM(WIDTH, WIDTH // 2, 2, batch_first=True, bidirectional=True),
    "group-norm": lambda: Over(nn.GroupNorm(2, WIDTH)),
    "batch-norm": lambda: Over(nn.BatchNorm1d(WIDTH)),
    "plain-batch-norm": lambda: Over(nn.BatchNorm1d(WIDTH, affine=False, momentum=None)),
    "instance-norm": lambda: Over(nn.InstanceNorm1d(WIDTH, affine=True, track_running_stats=True)),
    "embedding": Quantised,
    "prelu": lambda: Over(nn.PReLU(WIDTH)),
    "weight-norm": lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "spectral-norm": lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH)),
    "transformer": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    ),
    "tokens": Tokens,
    "lazy": lambda: nn.Sequential(nn.LazyLinear(WIDTH), Over(nn.LazyBatchNorm1d()), nn.Tanh()),
    "spectrogram": Spectrogram,
    "tied": Tied,
    "fourier": Fourier,
    "by-hand": ByHand,
    "applied": Applied,
    "moving": Moving,
    "frozen": Frozen,
    "copies": _copies,
}


@dataclass(frozen=True, kw_only=True)
class Branched(Network):
    """Two branches with heads, for self-distillation, and a loss of its own on request."""

    own_loss: bool = False

    def build(self):
        return TwoBranches(self)

    def loss(self, output, targets):
        if not self.own_loss:
            return None
        return (output.logits.softmax(1) - targets).square().sum(1)


class TwoBranches(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.low, self.high = (nn.Conv1d(1, WIDTH, 100, stride=100) for _ in range(2))
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, config.classes) for name in ("low", "high")})
        self.head = nn.Linear(WIDTH, config.classes)

    def forward(self, waveform):
        features = {name: getattr(self, name)(waveform).relu().mean(2) for name in ("low", "high")}
        features["fused"] = features["low"] + features["high"]
        return Output(
            self.head(features["fused"]), features, {name: head(features[name]) for name, head in self.heads.items()}
        )


@dataclass(frozen=True, kw_only=True)
class Faulty(Network):
    """A network with one fault, by its name."""

    fault: str

    def build(self):
        return Wrong(self)

    def loss(self, output, targets):
        return F.cross_entropy(output, targets) if self.fault == "scalar loss" else None


class Own(nn.BatchNorm1d):
    """A batch norm of a class of its own."""


SHARED = nn.Linear(WIDTH, WIDTH)
SHARED_AND_FROZEN = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
SHARED_STATISTICS = nn.BatchNorm1d(WIDTH, affine=False)


class Wrong(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fault = config.fault
        self.frames = nn.Conv1d(1, WIDTH, 100, stride=100)
        self.head = nn.Linear(WIDTH, config.classes)
        match self.fault:
            case "numpy values":
                self.scale = nn.Parameter(torch.from_numpy(np.random.rand(WIDTH)).float())
            case "no value":
                self.scale = nn.Parameter(torch.empty(WIDTH))
            case "system values":
                self.scale = nn.Parameter(torch.randn(WIDTH) + float(np.random.default_rng().random()))
            case "unregistered":
                self.scale = torch.randn(WIDTH)
            case "not persistent":
                self.register_buffer("scale", torch.randn(WIDTH), persistent=False)
            case "random shape":
                self.scale = nn.Parameter(torch.ones(1 + int(np.random.randint(1000))))
            case "random draws":
                while torch.rand(()) > 0.2:
                    pass
            case "all frozen":
                self.requires_grad_(False)
            case "unused":
                self.unused = nn.Linear(3, 3)
            case "view":
                self.cached = self.head.weight * 2
            case "late buffer":
                self.register_buffer("late", None)
            case "counter":
                self.count = 0
            case "own norm":
                self.norm = Own(WIDTH)
            case "shared":
                self.norm = SHARED
            case "shared and frozen":
                self.norm = SHARED_AND_FROZEN
            case "shared statistics":
                self.norm = SHARED_STATISTICS
            case "expanded":
                self.scale = nn.Parameter(torch.randn(1).expand(WIDTH))
            case "default":
                torch.set_default_dtype(torch.float64)
            case "no gradients":
                torch.set_grad_enabled(False)
            case "whole numbers":
                self.order = nn.Parameter(torch.arange(WIDTH), requires_grad=False)
            case "lock":
                self.lock = threading.Lock()

    def forward(self, waveform):
        x = self.frames(waveform).relu()
        if self.fault == "own norm":
            x = self.norm(x)
        x = x.mean(2)
        if self.fault.startswith("shared"):
            x = self.norm(x)
        match self.fault:
            case "numpy values" | "no value" | "system values" | "unregistered" | "not persistent":
                x = x * self.scale
            case "shape":
                return self.head(x).mean(1)
            case "squeeze":
                return self.head(x).squeeze()
            case "tuple":
                return self.head(x), x
            case "not finite":
                return self.head(x) / 0
            case "gradient":
                return self.head(torch.sqrt(x * 0))
            case "random evaluation":
                x = F.dropout(x, 0.5)
            case "batch":
                x = x - x.mean(0)
            case "branches":
                return Output(self.head(x), {}, {"low": self.head(x)})
            case "late buffer":
                self.late = x.detach().mean(0)
            case "counter":
                self.count += self.training
                x = x * (1 + self.count)
            case "raises":
                return self.head(x.reshape(7, 13))
        return self.head(x)
