"""What a network is made of, as plain data. This file imports no torch: plans are made without it.

The switches are the columns of Tables 6 and 7 of Sun et al. 2025. Three sizes:

    tiny    for tests, and for sweeps on a laptop: 1 s clips at 8 kHz on one core
    small   for training on real recordings at 8-16 kHz without an accelerator
    paper   the paper: 256 channels at 1/32 of the sample rate; the text names no other width

``EATConfig`` and ``ACDNetConfig`` are two peers that the paper compares itself with, as published; more are in
``model.rivals``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from sweeper.model.checks import check_choice, check_dropout, check_heads, check_positive, check_widths, without
from sweeper.study import Network

if TYPE_CHECKING:
    from torch import nn

STAGES = 5
STRIDE = 2**STAGES  # samples, or patches, to a frame of either branch
EAT_SHORTEST = 1024  # samples: one frame of what its Transformer reads


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Network):
    """The dual-branch network: which parts exist, and how wide they are.

    Switches
        semantic, detail: the two branches (Sections 3.1 and 3.2).
        macem_a, macem_b: the modules of the semantic branch (Eq. 1-4). Off: the module is absent, its
            fast-downsampling stage keeps its two convolutions.
        garm: the module of the detail branch (Eq. 5-9). Off: likewise.
        fusion: how two branches become one (Eq. 10-11 for ``"guided"``). No effect on a single branch.
        garm_pooling: what Eq. 8 pools over. ``"time"`` is the paper's wording (and leaves six of the seven
            taps of its f_7 without effect); ``"channel"`` is the spatial attention of CBAM, which the formula
            resembles.
        macem_a_merges: how MACEM-A merges its three scales; MACEM-B does the other. ``"concat"`` is Section 3.1.1,
            ``"sum"`` Section 4.3.
        transformer_norm: the Transformers normalise before each sub-layer, or after it (``"post"``).
        branch_heads: a classifier on each branch, for self-distillation [51]; never on a single branch.

    Sizes
        classes: number of logits.
        patch: so many successive samples become the input channels of one frame, before both branches. 1 is
            the paper; more divides the cost of everything by as much, and the frame rate too.
        semantic_widths: channels after each of the five FD stages; the stem has the first width.
        detail_widths: channels after the three stride-2 layers and the two FD-C.
        transformer_width: channels after both Transformers, so of the fusion and the classifier. Each
            direction of the BiLSTM has half of it.
        transformer_layers, heads, feedforward, dropout: of both Transformers.
        attention_reduction: the channel attentions' bottleneck is this many times narrower than their input.

    Raises:
        ValueError: for a combination that names no network, saying which value and what to change.
    """

    semantic: bool = True
    detail: bool = True
    macem_a: bool = True
    macem_b: bool = True
    garm: bool = True
    fusion: Literal["guided", "sum", "concat"] = "guided"
    garm_pooling: Literal["time", "channel"] = "time"
    macem_a_merges: Literal["concat", "sum"] = "concat"
    transformer_norm: Literal["pre", "post"] = "pre"
    branch_heads: bool = False

    classes: int = 10
    patch: int = 1
    semantic_widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    detail_widths: tuple[int, ...] = (64, 64, 128, 128, 256)
    transformer_width: int = 128
    transformer_layers: int = 2
    heads: int = 8
    feedforward: int = 512
    dropout: float = 0.1
    attention_reduction: int = 16

    def __post_init__(self) -> None:
        self._check_switches()
        self._check_sizes()
        if not (self.semantic and self.detail):
            object.__setattr__(self, "branch_heads", False)

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """See ``Network``."""
        if samples < (least := 2 * STRIDE * self.patch):
            raise ValueError(f"it needs clips of at least {least} samples, this recipe's have {samples}")
        return super().filled(classes, sample_rate, samples)

    def build(self) -> nn.Module:
        """``sweeper.model.network.DualBranchNet``."""
        from sweeper.model.network import DualBranchNet

        return DualBranchNet(self)

    def decides(self) -> dict[str, Any]:
        """Its fields; as they were before networks had a kind, so that trials of that time keep their ids."""
        # What a later version can switch counts only where it is switched.
        later = {"macem_a_merges": "concat", "transformer_norm": "pre"}
        return without(self, ModelConfig, "sample_rate", "samples", **later)

    def _check_switches(self) -> None:
        if not self.semantic and not self.detail:
            raise ValueError("semantic=False and detail=False leave no network; turn at least one branch on")
        if not self.semantic and (self.macem_a or self.macem_b):
            raise ValueError(
                f"macem_a={self.macem_a}, macem_b={self.macem_b} need the semantic branch, but "
                "semantic=False; turn both off or the branch on"
            )
        if not self.detail and self.garm:
            raise ValueError("garm=True needs the detail branch, but detail=False; turn garm off or the branch on")
        check_choice("fusion", self.fusion, ("guided", "sum", "concat"))
        check_choice("garm_pooling", self.garm_pooling, ("time", "channel"))
        check_choice("macem_a_merges", self.macem_a_merges, ("concat", "sum"))
        check_choice("transformer_norm", self.transformer_norm, ("pre", "post"))

    def _check_sizes(self) -> None:
        check_widths("semantic_widths", self.semantic_widths, STAGES)
        check_widths("detail_widths", self.detail_widths, STAGES)
        check_positive(self, "classes", "patch", "transformer_width", "transformer_layers")
        check_positive(self, "heads", "feedforward", "attention_reduction")
        if self.transformer_width % 2:
            raise ValueError(
                f"transformer_width={self.transformer_width} is odd; the BiLSTM and the sine-cosine "
                "positions split it in two, so choose an even number"
            )
        check_heads(self.transformer_width, self.heads)
        check_dropout(self.dropout)


@dataclass(frozen=True, kw_only=True)
class EATConfig(Network):
    """EAT-S (Gazneli et al. 2022), see ``model.eat``.

    Attributes:
        classes: number of logits.
        samples: the longest clip; there is one learned position per 1024 samples.
        stem_width: channels of the first convolution; every downsampling doubles them.
        transformer_width, transformer_layers, heads, feedforward, dropout: of the Transformer.

    Raises:
        ValueError: for a size that names no network.
    """

    classes: int = 50
    samples: int = 90_112
    stem_width: int = 16
    transformer_width: int = 128
    transformer_layers: int = 4
    heads: int = 8
    feedforward: int = 512
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self, "classes", "samples", "stem_width", "transformer_width", "transformer_layers")
        check_positive(self, "heads", "feedforward")
        check_heads(self.transformer_width, self.heads)
        check_dropout(self.dropout)

    def build(self) -> nn.Module:
        """``sweeper.model.eat.EAT``."""
        from sweeper.model.eat import EAT

        return EAT(self)

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """With as many positions as published, or more for longer clips."""
        if samples < EAT_SHORTEST:
            raise ValueError(
                f"EAT-S needs clips of at least {EAT_SHORTEST} samples, this recipe's have {samples} "
                f"({samples / sample_rate:g} s at {sample_rate} Hz); leave out eat-s or take longer clips"
            )
        return replace(self, classes=classes, sample_rate=sample_rate, samples=max(self.samples, samples))

    def decides(self) -> dict[str, Any]:
        """See ``ModelConfig``."""
        return without(self, EATConfig, "sample_rate")


@dataclass(frozen=True, kw_only=True)
class ACDNetConfig(Network):
    """ACDNet (Mohaimenuzzaman et al. 2023), see ``model.acdnet``.

    Attributes:
        classes: number of logits.
        sample_rate: in Hz; the front end's frames are 10 ms, whatever the rate.
        dropout: before the last convolution.

    Raises:
        ValueError: for a value that names no network.
    """

    classes: int = 50
    sample_rate: int = 20_000
    dropout: float = 0.2

    def __post_init__(self) -> None:
        check_positive(self, "classes")
        if self.sample_rate < 400:
            raise ValueError(f"sample_rate={self.sample_rate} leaves 10 ms frames empty; choose at least 400")
        check_dropout(self.dropout)

    def build(self) -> nn.Module:
        """``sweeper.model.acdnet.ACDNet``."""
        from sweeper.model.acdnet import ACDNet

        return ACDNet(self)

    def decides(self) -> dict[str, Any]:
        """See ``ModelConfig``."""
        return without(self, ACDNetConfig, "samples")


SIZES: dict[str, ModelConfig] = {
    # On a CPU, the full rate costs most, so samples are folded; a width under 16 costs as much as 16, so
    # there is none; and only without dropout does torch use its fused attention.
    "tiny": ModelConfig(
        patch=16,
        semantic_widths=(16, 16, 16, 16, 32),
        detail_widths=(16, 16, 16, 16, 32),
        transformer_width=32,
        transformer_layers=1,
        heads=2,
        feedforward=64,
        dropout=0.0,
        attention_reduction=4,
    ),
    "small": ModelConfig(
        patch=4,
        semantic_widths=(8, 16, 32, 32, 64),
        detail_widths=(16, 16, 32, 32, 64),
        transformer_width=64,
        transformer_layers=2,
        heads=4,
        feedforward=256,
        attention_reduction=8,
    ),
    "paper": ModelConfig(),
}
