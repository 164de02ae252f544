"""Augmentation settings: every augmentation a named switch with its strength. Default: the paper's set.

A probability of 0 turns an augmentation off; among noises and mixings, of which one is drawn, the
switch is a weight (relative odds), and a weight of 0 turns that one off. The defaults are the set of
EAT (Gazneli et al. 2022, "End-to-End Audio Strikes Back", arXiv:2204.11479), which the paper's
section 4.1.2 describes in one sentence. All fields are numbers or tuples of numbers, so
``dataclasses.asdict`` gives canonical JSON and ``dataclasses.replace`` turns a single knob.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from sweeper.field_types import check_types


def _check(config: object, ranges: tuple[str, ...] = (), positive: tuple[str, ...] = ()) -> None:
    """Refuse values of another type, probabilities outside 0..1, ranges with low above high, and negative values."""
    check_types(config)
    name = type(config).__name__
    values = {f.name: getattr(config, f.name) for f in fields(config)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key.endswith("probability") and not 0 <= value <= 1:
            raise ValueError(f"{name}.{key} = {value!r}: expected a probability in 0..1")
    for stem in ranges:
        low, high = (next(k for k in values if k.startswith(f"{stem}_{end}")) for end in ("low", "high"))
        if not values[low] <= values[high]:
            raise ValueError(
                f"{name}.{low} = {values[low]!r} is above {name}.{high} = {values[high]!r}: expected a range"
            )
    for key in positive:
        if values[key] < 0:
            raise ValueError(f"{name}.{key} = {values[key]!r}: expected a value of 0 or more")


@dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """Augmentations of the signal itself, each applied to a clip with its own probability.

    The first six are applied in a random order per clip; the last four (off by default) follow them.

    Attributes:
        gain_low, gain_high: range of the factor on the whole clip.
        time_shift_s: largest shift in either direction, in seconds; the vacated end is zero.
        time_mask_s: length of the mask in seconds.
        time_mask_level: standard deviation of the noise that fills the mask.
        segment_gain_s: length of the segment in seconds.
        segment_gain_low, segment_gain_high: range of the factor on the segment.
        cyclic_shift_share: largest cyclic shift as a share of the clip.
        filter_taps: length of the random low- or high-pass FIR filter, odd.
        room_low_s, room_high_s: range of the reverberation time RT60 in seconds.
        room_level_db: energy of the reverberation relative to the direct sound, in dB.
        mu_law_bits: bits of the mu-law quantiser.
    """

    gain_probability: float = 0.5
    gain_low: float = 0.5
    gain_high: float = 1.3
    polarity_probability: float = 0.5
    time_shift_probability: float = 0.5
    time_shift_s: float = 0.1
    time_mask_probability: float = 0.5
    time_mask_s: float = 0.1
    time_mask_level: float = 1e-6
    segment_gain_probability: float = 0.5
    segment_gain_s: float = 0.1
    segment_gain_low: float = 0.5
    segment_gain_high: float = 1.3
    cyclic_shift_probability: float = 0.5
    cyclic_shift_share: float = 1.0
    time_reversal_probability: float = 0.0
    filter_probability: float = 0.0
    filter_taps: int = 15
    room_probability: float = 0.0
    room_low_s: float = 0.1
    room_high_s: float = 0.5
    room_level_db: float = -6.0
    mu_law_probability: float = 0.0
    mu_law_bits: int = 8

    def __post_init__(self) -> None:
        _check(
            self,
            ranges=("gain", "segment_gain", "room"),
            positive=(
                "time_shift_s",
                "time_mask_s",
                "time_mask_level",
                "segment_gain_s",
                "cyclic_shift_share",
            ),
        )
        if self.filter_taps < 1 or self.filter_taps % 2 == 0:
            raise ValueError(f"SignalConfig.filter_taps = {self.filter_taps!r}: expected an odd number of taps")
        if self.room_low_s <= 0:
            raise ValueError(f"SignalConfig.room_low_s = {self.room_low_s!r}: expected more than 0 s")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """One noise drawn per clip, applied with ``probability``.

    Attributes:
        snr_low_db, snr_high_db: range of the signal-to-noise ratio in dB (all kinds but phase noise).
        white ... phase: weights of the eight kinds, relative odds.
        sine_max_hz: highest frequency of the low sine, in Hz.
        phase_low, phase_high: range of the phase noise's standard deviation, in radians.
    """

    probability: float = 0.5
    snr_low_db: float = 30.0
    snr_high_db: float = 35.0
    white: float = 1.0
    pink: float = 1.0
    red: float = 1.0
    blue: float = 1.0
    violet: float = 1.0
    uniform: float = 1.0
    sine: float = 1.0
    phase: float = 1.0
    sine_max_hz: float = 50.0
    phase_low: float = 0.01
    phase_high: float = 0.02

    def __post_init__(self) -> None:
        kinds = ("white", "pink", "red", "blue", "violet", "uniform", "sine", "phase")
        _check(self, ranges=("snr", "phase"), positive=(*kinds, "sine_max_hz"))
        if self.probability > 0 and not any(getattr(self, kind) for kind in kinds):
            raise ValueError(f"{self}: every noise has weight 0; expected probability = 0 to turn noise off")


@dataclass(frozen=True, kw_only=True)
class ResamplingConfig:
    """Resampling of the whole batch by one drawn factor, cut or zero-padded back to its length.

    Attributes:
        factors: new length over old length; 0.8 is faster and higher, 1.2 slower and lower.
    """

    probability: float = 0.5
    factors: tuple[float, ...] = (0.8, 0.9, 1.1, 1.2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))  # JSON gives lists
        _check(self)
        if any(factor <= 0 for factor in self.factors) or (self.probability > 0 and not self.factors):
            raise ValueError(f"ResamplingConfig.factors = {self.factors!r}: expected positive factors, at least one")


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """One mixing of clip pairs drawn per batch, once the warm-up is over.

    Attributes:
        probability: share of the batches that are mixed after the warm-up.
        warmup_epochs: epochs at the start without any mixing.
        mixup, time_mix, frequency_mix, phase_mix: weights of the four mixings, relative odds.
        mixup_lambda_min: lambda is drawn from this value to 1.
        time_mix_max_share, frequency_mix_max_share: largest share taken from the partner clip.
        label_threshold: the partner's label counts where the clip's own label weight is below this.
    """

    probability: float = 1.0
    warmup_epochs: int = 12
    mixup: float = 1.0
    time_mix: float = 1.0
    frequency_mix: float = 1.0
    phase_mix: float = 1.0
    mixup_lambda_min: float = 0.1
    time_mix_max_share: float = 0.5
    frequency_mix_max_share: float = 0.5
    label_threshold: float = 0.9

    def __post_init__(self) -> None:
        kinds = ("mixup", "time_mix", "frequency_mix", "phase_mix")
        _check(self, positive=(*kinds, "warmup_epochs"))
        if self.probability > 0 and not any(getattr(self, kind) for kind in kinds):
            raise ValueError(f"{self}: every mixing has weight 0; expected probability = 0 to turn mixing off")
        for key in ("mixup_lambda_min", "time_mix_max_share", "frequency_mix_max_share", "label_threshold"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"MixingConfig.{key} = {getattr(self, key)!r}: expected a share in 0..1")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """All augmentation of a training run, in the order in which it is applied.

    Attributes:
        stft_sizes: window lengths in samples at 22,050 Hz for phase noise, frequency mix and phase
            mix, one drawn per batch; at another sample rate they keep their duration, rounded down
            to a power of two.
    """

    signal: SignalConfig = field(default_factory=SignalConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    resampling: ResamplingConfig = field(default_factory=ResamplingConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    stft_sizes: tuple[int, ...] = (512, 1024, 2048)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stft_sizes", tuple(self.stft_sizes))
        check_types(self)
        if not self.stft_sizes or any(size < 2 for size in self.stft_sizes):
            raise ValueError(f"AugmentationConfig.stft_sizes = {self.stft_sizes!r}: expected sizes of 2 or more")

    @classmethod
    def signal_only(cls) -> AugmentationConfig:
        """The signal set alone: no noise, no resampling, no mixing."""
        return cls(
            noise=NoiseConfig(probability=0.0),
            resampling=ResamplingConfig(probability=0.0),
            mixing=MixingConfig(probability=0.0),
        )

    @classmethod
    def off(cls) -> AugmentationConfig:
        """No augmentation: clips and labels pass unchanged."""
        signal = SignalConfig(
            gain_probability=0.0,
            polarity_probability=0.0,
            time_shift_probability=0.0,
            time_mask_probability=0.0,
            segment_gain_probability=0.0,
            cyclic_shift_probability=0.0,
        )
        return replace(cls.signal_only(), signal=signal)
