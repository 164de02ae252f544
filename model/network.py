"""The dual-branch network of Sun et al. 2025: waveform in, logits out.

    S = semantic branch(x)    D = detail branch(x)    O = fusion(S, D)    logits = linear(mean over time of O)

With one branch, O is that branch's output.

Choices the paper leaves open
- The classifier: mean over time, then one linear layer.
- For self-distillation [51] each branch may have such a classifier of its own (``branch_heads``). Branches
  and fusion have the same width, so a feature hint needs no adapter.
"""

from __future__ import annotations

from torch import Tensor, nn

from sweeper.model.branches import DetailBranch, SemanticBranch
from sweeper.model.config import STRIDE, ModelConfig
from sweeper.model.fusion import ConcatFusion, GuidedFusion, SumFusion
from sweeper.model.layers import fold_samples
from sweeper.study import Output

# Two frames remain at the end: in training, batch normalisation needs more than one value per channel, even
# for a single clip.
MIN_FRAMES = 2 * STRIDE


class DualBranchNet(nn.Module):
    """``[batch, 1, time] -> Output``, for any time of at least 64 patches (in the paper's size, samples).

    Parameters that two configs share have the same names in both; what a config switches off is absent.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.branches = nn.ModuleDict()
        if config.semantic:
            self.branches["semantic"] = SemanticBranch(config)
        if config.detail:
            self.branches["detail"] = DetailBranch(config)
        width = config.transformer_width
        both = config.semantic and config.detail
        self.fusion = _fusion(config) if both else None
        self.head = nn.Linear(width, config.classes)
        self.branch_heads = nn.ModuleDict()
        if both and config.branch_heads:
            self.branch_heads.update({name: nn.Linear(width, config.classes) for name in self.branches})

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips.

        Args:
            waveform: ``[batch, 1, time]``.

        Raises:
            ValueError: if the shape is another one, or the clips are shorter than 64 patches.
        """
        check_waveform(waveform, MIN_FRAMES * self.patch)
        frames = fold_samples(waveform, self.patch)
        outputs = {name: branch(frames) for name, branch in self.branches.items()}
        features = {name: output.mean(1) for name, output in outputs.items()}
        branch_logits = {name: head(features[name]) for name, head in self.branch_heads.items()}
        if self.fusion is None:
            (classified,) = features.values()
        else:
            classified = self.fusion(outputs["semantic"], outputs["detail"]).mean(1)
            features["fused"] = classified
        return Output(self.head(classified), features, branch_logits)


def check_waveform(waveform: Tensor, min_samples: int) -> None:
    """Raise ``ValueError`` unless ``waveform`` is ``[batch, 1, time]`` and time at least ``min_samples``."""
    if waveform.ndim != 3 or waveform.shape[1] != 1:
        raise ValueError(f"expected a waveform of shape [batch, 1, time], got {list(waveform.shape)}")
    if waveform.shape[2] < min_samples:
        raise ValueError(
            f"expected at least {min_samples} samples per clip, got a waveform of shape "
            f"{list(waveform.shape)}; pad the clips with zeros"
        )


def _fusion(config: ModelConfig) -> nn.Module:
    if config.fusion == "guided":
        return GuidedFusion(config.transformer_width)
    if config.fusion == "concat":
        return ConcatFusion(config.transformer_width)
    return SumFusion()
