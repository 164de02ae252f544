"""What a search turns: learning rate, weight average, augmentation; the ranges, and why they are what they are.

Define-by-run: `tuned` asks a trial for one value after another and returns the recipe with them. A trial is anything
with Optuna's three `suggest_…` methods; Optuna itself is not imported here. A value that another one switches off is
not asked for, so no sampler wastes trials on it. What is not asked for stays as the recipe has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from sweeper.search_spaces.augmentation import (
    AugmentationConfig,
    MixingConfig,
    NoiseConfig,
    ResamplingConfig,
    SignalConfig,
)
from sweeper.search_spaces.config import TrainingConfig

Value = float | int | bool | str


class Trial(Protocol):
    """What is asked for values: an Optuna trial, or a stand-in with the same methods."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from `low` to `high`."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number from `low` to `high`."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`."""


# The signal set of the paper, and what EAT's code has besides, off by default: each is on or off.
EFFECTS = ("gain", "polarity", "time_shift", "time_mask", "segment_gain", "cyclic_shift")
EXTRA_EFFECTS = ("time_reversal", "filter", "room", "mu_law")
MIXINGS = ("mixup", "time_mix", "frequency_mix", "phase_mix")


@dataclass(frozen=True)
class Turns:
    """Which fields besides augmentation and learning rate a search turns: those that its objectives can hear.

    Attributes:
        ema: the decay of the averaged weights. It does not touch the last epoch's weights, so it is turned only where
            the averaged ones are scored.
        epochs: the training time. More is seldom worse, so it is turned only where cost counts.
    """

    ema: bool
    epochs: bool = False


def tuned(trial: Trial, base: TrainingConfig, turns: Turns) -> TrainingConfig:
    """The recipe's training with the values that the trial suggests; valid whatever they are, and for every arm."""
    # Log scale: rates act by their ratio. Around the paper's 3e-4; 1e-2 is where AdamW with clipping starts to diverge,
    # and below 3e-5 the shortest recipe does not leave its initial values.
    config = replace(base, max_lr=trial.suggest_float("learning_rate", 3e-5, 1e-2, log=True))
    if turns.ema:
        # 1 − decay is one over the average's horizon, and acts by its ratio. The paper's 0.995 has no unit: from
        # 10 to 10,000 steps, or from 1.4 to 200 epochs where the recipe counts epochs.
        low, high = (1e-4, 1e-1) if base.ema.unit == "step" else (5e-3, 7e-1)
        decay = 1 - trial.suggest_float("ema_forgetting", low, high, log=True)
        config = replace(config, ema=replace(base.ema, decay=decay))
    if turns.epochs and base.epochs > 1:
        # Down to an eighth: with fewer, the one-cycle schedule is mostly warm-up.
        epochs = trial.suggest_int("epochs", -(-base.epochs // 8), base.epochs, log=True)
        config = replace(config, epochs=epochs)
    sound = base.augmentation
    return replace(
        config,
        augmentation=replace(
            sound,
            signal=_signal(trial, sound.signal),
            noise=_noise(trial, sound.noise),
            resampling=_resampling(trial, sound.resampling),
            mixing=_mixing(trial, sound.mixing, base.epochs),
        ),
    )


def recipe_values(base: TrainingConfig, turns: Turns) -> dict[str, Value]:
    """The values with which `tuned` returns the recipe itself.

    Raises:
        ValueError: the recipe can't be said in these values.
    """
    recipe = Chosen(_values_of(base))
    if tuned(recipe, base, turns) != base:
        raise ValueError(f"the search space has no point for this recipe; nearest: {recipe.asked}")
    return recipe.asked


@dataclass(frozen=True)
class Searched:
    """One searched field: its range in words, and whether another field can switch it off."""

    name: str
    range: str
    recipe: Value | None


def searched_fields(base: TrainingConfig, turns: Turns) -> tuple[Searched, ...]:
    """Every field that a search may turn, with its range and the recipe's value: None where that has it off."""
    everything = _Everything()
    tuned(everything, base, turns)
    values = recipe_values(base, turns)
    return tuple(Searched(name, words, values.get(name)) for name, words in everything.ranges.items())


def fixed_fields(base: TrainingConfig, turns: Turns) -> dict[str, Any]:
    """The training fields that no value of the search changes, as `a.b` and value."""
    least, most = (flat_fields(tuned(trial, base, turns)) for trial in (_Everything(), _Everything(last=True)))
    recipe = flat_fields(base)
    return {name: recipe[name] for name in recipe if recipe[name] == least[name] == most[name]}


def flat_fields(training: TrainingConfig) -> dict[str, Any]:
    """Every field of a training, those of its parts as `a.b`."""
    return _flat(asdict(training))


def _signal(trial: Trial, base: SignalConfig) -> SignalConfig:
    # On or off each, as the paper gives one probability for all: ten switches say more than ten probabilities.
    on = [effect for effect in (*EFFECTS, *EXTRA_EFFECTS) if trial.suggest_categorical(effect, (False, True))]
    changes: dict[str, Any] = {f"{effect}_probability": 0.0 for effect in (*EFFECTS, *EXTRA_EFFECTS)}
    if on:
        # At 0.1 nine clips in ten pass any one effect untouched; at 0.9 nearly none is heard as it was recorded.
        probability = trial.suggest_float("signal_probability", 0.1, 0.9)
        changes |= {f"{effect}_probability": probability for effect in on}
    if set(on) & {"gain", "segment_gain", "time_shift", "time_mask"}:
        # Times and gains in dB by one factor, log scale: from half of EAT's strength to three times. A mask of 0.3 s is
        # a third of the shortest clips.
        strength = trial.suggest_float("signal_strength", 0.5, 3.0, log=True)
        changes |= {name: getattr(base, name) * strength for name in ("time_shift_s", "time_mask_s", "segment_gain_s")}
        gains = ("gain_low", "gain_high", "segment_gain_low", "segment_gain_high")
        changes |= {name: getattr(base, name) ** strength for name in gains}
    return replace(base, **changes)


def _noise(trial: Trial, base: NoiseConfig) -> NoiseConfig:
    if not trial.suggest_categorical("noise", (False, True)):
        return replace(base, probability=0.0)
    # EAT's 30 to 35 dB is hardly heard; at 5 dB the noise hides the quieter classes. The width of 5 dB stays.
    low = trial.suggest_float("noise_snr_db", 5.0, 40.0)
    probability = trial.suggest_float("noise_probability", 0.1, 1.0)
    width = base.snr_high_db - base.snr_low_db
    return replace(base, probability=probability, snr_low_db=low, snr_high_db=low + width)


def _resampling(trial: Trial, base: ResamplingConfig) -> ResamplingConfig:
    if not trial.suggest_categorical("resampling", (False, True)):
        return replace(base, probability=0.0)
    # The factors stay at up to ±20 %: beyond, a siren becomes a horn, and the label would be wrong.
    return replace(base, probability=trial.suggest_float("resampling_probability", 0.1, 0.9))


def _mixing(trial: Trial, base: MixingConfig, epochs: int) -> MixingConfig:
    if not trial.suggest_categorical("mixing", (False, True)):
        return replace(base, probability=0.0)
    # All four in turn, as the paper has it, or one alone: sixteen subsets would need a search of their own.
    kind = trial.suggest_categorical("mixing_kind", ("all", *MIXINGS))
    weights = {} if kind == "all" else {name: float(name == kind) for name in MIXINGS}
    # The paper mixes every batch; below a quarter, mixing is hardly there.
    probability = trial.suggest_float("mixing_probability", 0.25, 1.0)
    # From none to half of the training; the recipe's own value is always in reach.
    warmup = trial.suggest_int("mixing_warmup_epochs", 0, max(epochs // 2, base.warmup_epochs))
    return replace(base, probability=probability, warmup_epochs=warmup, **weights)


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{path}{name}.") if isinstance(inner, Mapping) else {f"{path}{name}": inner}
    return flat


class Chosen:
    """A trial whose values were chosen before; `asked` are those that were asked for.

    Raises, when asked:
        ValueError: the value lies outside of the range.
        KeyError: there is no value of that name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.asked: dict[str, Value] = {}
        self._values = values

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """The value of that name."""
        self.asked[name] = value = float(self._in_range(name, low, high))
        return value

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """The value of that name."""
        self.asked[name] = value = int(self._in_range(name, low, high))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The value of that name."""
        self.asked[name] = value = self._values[name]
        return value

    def _in_range(self, name: str, low: float, high: float) -> Any:
        if not low <= self._values[name] <= high:
            raise ValueError(f"{name} {self._values[name]:g} lies outside of the searched range {low:g} to {high:g}")
        return self._values[name]


def _values_of(base: TrainingConfig) -> dict[str, Any]:
    sound: AugmentationConfig = base.augmentation
    probabilities = {effect: getattr(sound.signal, f"{effect}_probability") for effect in (*EFFECTS, *EXTRA_EFFECTS)}
    return {effect: probability > 0 for effect, probability in probabilities.items()} | {
        "learning_rate": base.max_lr,
        "ema_forgetting": 1 - base.ema.decay,
        "epochs": base.epochs,
        "signal_probability": max(probabilities.values()),
        "signal_strength": 1.0,
        "noise": sound.noise.probability > 0,
        "noise_snr_db": sound.noise.snr_low_db,
        "noise_probability": sound.noise.probability,
        "resampling": sound.resampling.probability > 0,
        "resampling_probability": sound.resampling.probability,
        "mixing": sound.mixing.probability > 0,
        "mixing_kind": "all",
        "mixing_probability": sound.mixing.probability,
        "mixing_warmup_epochs": sound.mixing.warmup_epochs,
    }


class _Everything:
    """A trial that switches everything on, and takes the lower end of each range, or the upper one."""

    def __init__(self, *, last: bool = False) -> None:
        self.ranges: dict[str, str] = {}
        self._last = last

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = f"{low:g} to {high:g}{', log' if log else ''}"
        return high if self._last else low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.ranges[name] = f"{low} to {high}, whole{', log' if log else ''}"
        return high if self._last else low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        boolean = tuple(choices) == (False, True)
        self.ranges[name] = "on or off" if boolean else f"one of {', '.join(map(str, choices))}"
        return True if boolean else choices[-1 if self._last else 1]
