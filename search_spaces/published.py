"""What the paper printed: Tables 1–7, its protocol and costs, as data (percent, as printed).

Z. Sun, Y. Li, H. Liu, H. Li, W. Zhang. End-to-End Audio Pattern Recognition Network for Overcoming Feature
Limitations in Human-Machine Interaction (2025), Section 4. Numbers in brackets are its references. What its
text claims about these numbers, recomputed, is in `published_claims`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

CITATION = (
    "Z. Sun, Y. Li, H. Liu, H. Li, W. Zhang. End-to-End Audio Pattern Recognition Network for Overcoming Feature "
    "Limitations in Human-Machine Interaction. Computers, Materials & Continua 83 (2025), no. 2, 3187–3210. "
    "doi:10.32604/cmc.2025.061920"
)


@dataclass(frozen=True)
class ComparisonRow:
    """A model in Tables 1–4. `reference` is the paper's number for it, None for the paper's own network."""

    model: str
    reference: int | None
    end_to_end: bool
    representation: str
    pretrained: bool
    accuracy: float


@dataclass(frozen=True)
class MetricsRow:
    """A data set in Table 5, percent."""

    accuracy: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class AblationRow:
    """A row of Table 6: which parts were switched on, and the accuracy in percent."""

    semantic: bool
    detail: bool
    macem_a: bool
    macem_b: bool
    garm: bool
    accuracy: float


@dataclass(frozen=True)
class FusionRow:
    """A row of Table 7; the paper's GAM (guided aggregation module) is `"guided"`."""

    fusion: Literal["sum", "concat", "guided"]
    accuracy: float


@dataclass(frozen=True)
class Protocol:
    """How the printed numbers were measured, as far as the paper says."""

    test_share: float
    runs: int
    validation_set: bool
    leakage_safe: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class InferenceCost:
    """Section 4.2.5: one test sample at a time."""

    gpu: str
    memory_gb: float
    seconds: float


_E2E, _NOT_E2E, _PRETRAINED, _SCRATCH = True, False, True, False

TABLE_1: tuple[ComparisonRow, ...] = (
    ComparisonRow("AemNet-DW WM1.0", 2, _E2E, "Raw", _PRETRAINED, 92.32),
    ComparisonRow("ESResNet-Att", 52, _NOT_E2E, "STFT-spec", _SCRATCH, 83.15),
    ComparisonRow("ERANN-1-3", 18, _NOT_E2E, "STFT-spec", _SCRATCH, 89.20),
    ComparisonRow("ESResNeXt-fbsp", 27, _NOT_E2E, "fbsp-spec", _SCRATCH, 91.30),
    ComparisonRow("SimPF", 55, _NOT_E2E, "Mel-spec", _SCRATCH, 85.30),
    ComparisonRow("HalluAudio", 56, _NOT_E2E, "Mel-spec", _SCRATCH, 86.46),
    ComparisonRow("ViT", 57, _E2E, "Mel-spec", _PRETRAINED, 87.25),
    ComparisonRow("ResNet", 58, _E2E, "Mel-spec", _SCRATCH, 81.90),
    ComparisonRow("CNN-Attention", 59, _E2E, "MFCC", _SCRATCH, 88.76),
    ComparisonRow("DBRNet", 60, _NOT_E2E, "Mel-spec", _SCRATCH, 86.30),
    ComparisonRow("Multiresolution 1D-CNN", 53, _E2E, "Raw", _SCRATCH, 75.10),
    ComparisonRow("EnvNet-v2", 54, _E2E, "Raw", _SCRATCH, 84.90),
    ComparisonRow("AemNet WM1.0", 2, _E2E, "Raw", _SCRATCH, 81.50),
    ComparisonRow("EAT-S", 17, _E2E, "Raw", _SCRATCH, 92.15),
    ComparisonRow("ACDNet", 61, _E2E, "Raw", _SCRATCH, 87.10),
    ComparisonRow("MCT", 62, _E2E, "Raw", _SCRATCH, 91.00),
    ComparisonRow("EAT-S-GMME", 38, _E2E, "Raw", _SCRATCH, 91.30),
    ComparisonRow("Ours", None, _E2E, "Raw", _SCRATCH, 93.25),
)
"""ESC-50."""

TABLE_2: tuple[ComparisonRow, ...] = (
    ComparisonRow("ESResNet-Att", 52, _NOT_E2E, "STFT-spec", _SCRATCH, 82.76),
    ComparisonRow("ERANN-1-3", 18, _NOT_E2E, "STFT-spec", _SCRATCH, 83.50),
    ComparisonRow("ESResNeXt-fbsp", 27, _NOT_E2E, "FBSP-spec", _SCRATCH, 85.47),
    ComparisonRow("CNN10", 63, _NOT_E2E, "Mel-spec", _PRETRAINED, 86.10),
    ComparisonRow("DenseNet-201", 64, _NOT_E2E, "Mel-spec", _SCRATCH, 76.32),
    ComparisonRow("DenseNet-201", 64, _NOT_E2E, "Mel-spec", _PRETRAINED, 85.14),
    ComparisonRow("Enhanced LSTM", 65, _NOT_E2E, "Mel-spec", _SCRATCH, 86.00),
    ComparisonRow("NeuProNet+Transformer", 66, _NOT_E2E, "Mel-spec", _SCRATCH, 83.34),
    ComparisonRow("DBRNet", 60, _NOT_E2E, "Mel-spec", _SCRATCH, 82.60),
    ComparisonRow("AemNet WML0", 2, _E2E, "Raw", _SCRATCH, 81.05),
    ComparisonRow("AemNet-DWWML0", 2, _E2E, "Raw", _PRETRAINED, 83.50),
    ComparisonRow("EAT-S", 17, _E2E, "Raw", _SCRATCH, 85.50),
    ComparisonRow("MCT", 62, _E2E, "Raw", _SCRATCH, 79.00),
    ComparisonRow("EAT-S-GMME", 38, _E2E, "Raw", _SCRATCH, 83.64),
    ComparisonRow("Ours", None, _E2E, "Raw", _SCRATCH, 90.91),
)
"""UrbanSound8K."""

TABLE_3: tuple[ComparisonRow, ...] = (
    ComparisonRow("ULFA", 67, _E2E, "Mel-spec", _SCRATCH, 83.35),
    ComparisonRow("ERANN-1-3", 18, _NOT_E2E, "STFT-spec", _SCRATCH, 82.00),
    ComparisonRow("LSTM-DNN", 68, _E2E, "FBSP-spec", _SCRATCH, 85.47),
    ComparisonRow("COMP-CapsNet", 69, _NOT_E2E, "MFCCs", _SCRATCH, 82.10),
    ComparisonRow("CNN-14", 15, _NOT_E2E, "Mel-spec", _PRETRAINED, 85.14),
    ComparisonRow("GM-TCN", 70, _NOT_E2E, "MFCC", _SCRATCH, 87.64),
    ComparisonRow("CPAC", 71, _NOT_E2E, "MFCC", _SCRATCH, 88.41),
    ComparisonRow("TIM-NET", 72, _NOT_E2E, "MFCC", _SCRATCH, 91.93),
    ComparisonRow("MLPs", 73, _NOT_E2E, "MFCC", _SCRATCH, 86.40),
    ComparisonRow("MLPC", 74, _NOT_E2E, "Mel-spec", _SCRATCH, 89.31),
    ComparisonRow("DRS", 75, _NOT_E2E, "MFCC", _SCRATCH, 86.13),
    ComparisonRow("CNN+DNN", 76, _NOT_E2E, "MFCC", _SCRATCH, 80.42),
    ComparisonRow("ATAAU", 77, _NOT_E2E, "Raw", _PRETRAINED, 76.58),
    ComparisonRow("Ours", None, _E2E, "Raw", _SCRATCH, 92.36),
)
"""RAVDESS."""

TABLE_4: tuple[ComparisonRow, ...] = (
    ComparisonRow("ResNet-18 ensemble", 78, _NOT_E2E, "Mel-spec", _PRETRAINED, 68.12),
    ComparisonRow("ViT-P", 30, _E2E, "Mel-spec", _PRETRAINED, 64.12),
    ComparisonRow("ViT-S", 30, _E2E, "Mel-spec", _PRETRAINED, 67.47),
    ComparisonRow("CNN", 79, _NOT_E2E, "MFCC", _SCRATCH, 40.00),
    ComparisonRow("NERCNN", 80, _NOT_E2E, "MFCC", _SCRATCH, 65.77),
    ComparisonRow("SAHNet", 81, _NOT_E2E, "MFCC", _SCRATCH, 63.76),
    ComparisonRow("MLP", 82, _NOT_E2E, "MFCC", _SCRATCH, 61.00),
    ComparisonRow("Light-GBM", 83, _NOT_E2E, "MFCC", _SCRATCH, 61.00),
    ComparisonRow("STPNet", 84, _NOT_E2E, "MFCC", _SCRATCH, 60.00),
    ComparisonRow("EAT-S", 17, _E2E, "Raw", _SCRATCH, 67.37),
    ComparisonRow("Ours", None, _E2E, "Raw", _SCRATCH, 70.50),
)
"""CREMA-D."""

DATA_SETS: Mapping[str, int] = MappingProxyType({"esc50": 2000, "urbansound8k": 8732, "ravdess": 1440, "cremad": 7442})
"""Clips of the paper's data sets (Section 4.1.1), as `--dataset` calls them, in the order of Tables 1 to 5."""

ABLATED = "urbansound8k"
"""The data set of Tables 6 and 7 (Section 4.3)."""

TABLE_5: Mapping[str, MetricsRow] = MappingProxyType(
    {
        "ESC-50": MetricsRow(93.25, 94.08, 93.25, 93.02),
        "UrbanSound8K": MetricsRow(90.91, 90.66, 90.91, 90.78),
        "RAVDESS": MetricsRow(92.36, 92.29, 92.01, 92.05),
        "CREMA-D": MetricsRow(70.50, 70.61, 71.20, 70.80),
    }
)
"""The paper's network on its four data sets."""

TABLE_6: Mapping[str, AblationRow] = MappingProxyType(
    {
        "semantic-only": AblationRow(True, False, False, False, False, 86.80),
        "detail-only": AblationRow(False, True, False, False, False, 86.55),
        "dual-branch": AblationRow(True, True, False, False, False, 87.55),
        "macem-a": AblationRow(True, True, True, False, False, 88.67),
        "macem-b": AblationRow(True, True, False, True, False, 89.04),
        "garm": AblationRow(True, True, False, False, True, 89.17),
        "macem-a+b": AblationRow(True, True, True, True, False, 89.29),
        "macem-b+garm": AblationRow(True, True, False, True, True, 89.29),
        "macem-a+garm": AblationRow(True, True, True, False, True, 88.54),
        "full": AblationRow(True, True, True, True, True, 90.91),
    }
)
"""Ablation on UrbanSound8K, by arm, in the printed order."""

TABLE_7: Mapping[str, FusionRow] = MappingProxyType(
    {
        "fusion-sum": FusionRow("sum", 88.79),
        "fusion-concat": FusionRow("concat", 89.66),
        "full": FusionRow("guided", 90.91),
    }
)
"""Fusion on UrbanSound8K, by arm, in the printed order."""

PROTOCOL = Protocol(
    test_share=0.2,
    runs=1,
    validation_set=False,
    leakage_safe=False,
    notes=(
        "One training and one test set, 80:20; how clips were drawn isn't said, no official folds.",
        "Not leakage-safe: nothing keeps slices of one recording, or clips of one actor, on one side.",
        "One number per row: no repeated seeds, no intervals, no test of significance.",
        "No validation set is mentioned; whether the last or the best epoch counts isn't said.",
        "Whether competitors were run again or quoted isn't said; captions read 'measured on 3090Ti'.",
    ),
)

INFERENCE_COST = InferenceCost(gpu="NVIDIA RTX 3090 Ti", memory_gb=2.3, seconds=0.026)


def published_accuracy(arm: str, dataset: str = ABLATED) -> float | None:
    """The accuracy printed for an arm on a data set, as a fraction of 1, or None.

    Tables 6 and 7 are of UrbanSound8K; Table 5 has the full network on all four.
    """
    row: AblationRow | FusionRow | MetricsRow | None = None
    if dataset == ABLATED:
        row = TABLE_6.get(arm) or TABLE_7.get(arm)
    elif arm == "full" and dataset in DATA_SETS:
        row = dict(zip(DATA_SETS, TABLE_5.values(), strict=True))[dataset]
    return None if row is None else row.accuracy / 100
