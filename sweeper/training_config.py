"""How a network is trained, as frozen data. The defaults are the paper's recipe (Sun et al. 2025, Section 4.1.2).

`TrainingConfig` lives here and not under `sweeper/training` because recipes return it, and recipes are data that must
be readable (and hashable into trial ids) without importing torch.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sweeper.augmentation_config import AugmentationConfig


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


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides a training run besides the network, the data and the seed."""

    epochs: int = 1500
    batch_size: int = 64
    max_lr: float = 3e-4
    pct_start: float = 0.1
    weight_decay: float = 1e-5
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
    # "constant": max_lr in every step, and `pct_start` without effect.
    schedule: Literal["one-cycle", "constant"] = "one-cycle"

    def __post_init__(self) -> None:
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

    def decides(self) -> dict[str, Any]:
        """Its fields, as ids are made of them. One of a later version counts only where it is used, so ids stay."""
        fields = asdict(self)
        if self.schedule == "one-cycle":
            del fields["schedule"]
        return fields
