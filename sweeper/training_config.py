"""How a network is trained, as frozen data. The defaults are the paper's recipe (Sun et al. 2025, Section 4.1.2).

`TrainingConfig` lives here and not under `sweeper/training` because recipes return it, and recipes are data that must
be readable (and hashable into trial ids) without importing torch.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from sweeper.augmentation_config import AugmentationConfig
from sweeper.field_types import check_types


@dataclass(frozen=True)
class EMAConfig:
    """Exponential moving average of weights and batch-norm statistics [49, 50].

    The paper says "EMA decay rate of 0.995" without a unit. Per step, its horizon is 200 steps; EAT's public code
    decays per epoch. `warmup` caps the decay at (1 + n) / (10 + n) after n updates, so that a short run's average is
    not mostly its initialisation.
    """

    decay: float = 0.995
    unit: Literal["step", "epoch"] = "step"
    warmup: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"EMA decay must lie in [0, 1), got {self.decay}")


@dataclass(frozen=True)
class DistillationConfig:
    """Self-distillation "Be Your Own Teacher" [51]: the fused head teaches a head on each branch.

    Branch loss = (1 - alpha) * cross-entropy + alpha * T^2 * KL(fused || branch) + hint * mean squared distance of the
    branch's pooled feature to the fused one. Arms with a single branch have nobody to teach: the term is absent.
    """

    alpha: float = 0.3
    temperature: float = 3.0
    hint: float = 0.03

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 <= self.alpha <= 1 or not self.temperature > 0 or not self.hint >= 0:
            raise ValueError(f"{self}: expected alpha in 0…1, temperature above 0, hint of 0 or more")


# What later versions can say of a training, with what ran before they could: left out of ids, so that ids stay.
_LATER = {"schedule": "one-cycle", "momentum": (0.85, 0.95), "decay_all": False}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run besides the network, the data and the seed.

    `search_spaces/CHOICES.md` says of each value whether it is the paper's, EAT's or ours.
    """

    epochs: int = 1500
    batch_size: int = 64
    max_lr: float = 3e-4
    pct_start: float = 0.1
    weight_decay: float = 1e-5
    # The first one has an effect only where no cycle moves it: see `momentum`.
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float | None = 1.0  # None: gradients are not clipped
    label_smoothing: float = 0.1
    ema: EMAConfig = field(default_factory=EMAConfig)
    distillation: DistillationConfig | None = field(default_factory=DistillationConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    # On a GPU only; a CPU always computes in float32. The algorithm is the same on both.
    precision: Literal["bf16", "float32"] = "bf16"
    # Measured before it was switched on anywhere: see tests/benchmarks.
    compile: bool = False
    # "constant": max_lr in every step, and `pct_start` and `momentum` without effect.
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    # Low and high of AdamW's first beta: the one-cycle schedule takes it from high to low while the rate rises, and
    # back. None: it stays at `betas[0]`. torch cycles it unless told not to, and so did all versions before this field.
    momentum: tuple[float, float] | None = (0.85, 0.95)
    decay_all: bool = False  # weight decay on biases and norms, too

    def __post_init__(self) -> None:
        for name in ("betas", "momentum"):  # JSON gives lists
            object.__setattr__(self, name, tuple(v) if isinstance(v := getattr(self, name), list) else v)
        check_types(self)
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if self.batch_size < 2:
            raise ValueError(f"batch_size must be at least 2 (batch norm), got {self.batch_size}")
        if not self.max_lr > 0:
            raise ValueError(f"max_lr must be positive, got {self.max_lr}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be positive, or None for no clipping, got {self.clip_norm}")
        if self.schedule not in ("one-cycle", "constant"):
            raise ValueError(f"schedule={self.schedule!r} is unknown; choose 'one-cycle' or 'constant'")
        if self.momentum is not None:
            low, high = self.momentum
            if not 0 <= low <= high < 1:
                raise ValueError(f"momentum={self.momentum}: expected a low and a high in 0..1, or None for no cycle")
        if not 0 <= self.label_smoothing <= 1 or not 0 <= self.pct_start <= 1:
            raise ValueError(
                f"label_smoothing and pct_start must lie in 0…1, got {self.label_smoothing} and {self.pct_start}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay}")

    @property
    def first_beta(self) -> tuple[float, ...]:
        """AdamW's first beta as it runs: at the start, at the highest rate and at the end; or one value throughout."""
        if self.schedule == "constant" or self.momentum is None:
            return (self.betas[0],)
        low, high = self.momentum
        return high, low, high

    def effective(self) -> "TrainingConfig":
        """Itself, with one value each for what has no effect: two trainings that differ in no more are one."""
        if self.schedule == "constant":
            return replace(self, pct_start=0.0, momentum=None)
        return self if self.momentum is None else replace(self, betas=(0.0, self.betas[1]))

    def decides(self) -> dict[str, Any]:
        """Its fields, as ids are made of them. One of a later version counts only where it is used, so ids stay.

        So an id without `momentum` says, of a one-cycle training, that the first beta went 0.95, 0.85, 0.95.
        """
        fields = asdict(self)
        if self.schedule == "constant":
            del fields["momentum"]
        return {name: value for name, value in fields.items() if name not in _LATER or value != _LATER[name]}
