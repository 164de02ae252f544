"""Search spaces: a function `space(trial, training)` asks a trial for values and returns the training with them.

Define-by-run: what is not asked for stays as the recipe has it. A trial is anything with Optuna's three `suggest_…`
methods; Optuna itself is not imported here. What a space can ask is found by asking it.
"""

import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweeper.switches import flat_fields
from sweeper.training_config import TrainingConfig

Value = float | int | bool | str


@dataclass(frozen=True)
class SearchScope:
    """What a search goes by, and so what is worth asking for.

    Attributes:
        objective: "accuracy", which a moving average of the weights does not touch, or "accuracy_ema".
        cost: what is also wanted to be small, "gflops" or "seconds"; or None.
    """

    objective: str = "accuracy"
    cost: str | None = None


class Trial(Protocol):
    """What a space asks for values: an Optuna trial, or a stand-in with the same methods; and what the search is for.

    Attributes:
        scope: see `SearchScope`.
    """

    scope: SearchScope

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from `low` to `high`."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from `low` to `high`."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`."""


Space = Callable[[Trial, TrainingConfig], TrainingConfig]


@dataclass(frozen=True)
class Searched:
    """One searched field: its range in words, and the recipe's value; None where the recipe has it off."""

    name: str
    range: str
    recipe: Value | None


def tuned(space: Space, scope: SearchScope, values: Mapping[str, Any], base: TrainingConfig) -> TrainingConfig:
    """The training with values that were chosen before.

    Raises:
        ValueError: a value lies outside of its range.
        KeyError: a value that the space asks for is missing.
    """
    return ask(space, Chosen(values, scope), base)


def ask(space: Space, trial: Trial, base: TrainingConfig) -> TrainingConfig:
    """What a space makes of a trial.

    Raises:
        TypeError: it returns no training. And whatever the space raises.
    """
    made: object = space(trial, base)
    if not isinstance(made, TrainingConfig):
        raise TypeError(
            f"it returned a {type(made).__name__}; expected the training, as dataclasses.replace(training, …) gives it"
        )
    return made


def ask_ends(space: Space, scope: SearchScope, base: TrainingConfig) -> None:
    """Ask for both ends of each range, to see that they can be had.

    Raises:
        ValueError: a range that has no values. And whatever the space raises.
    """
    for last in (False, True):
        ask(space, _Everything(scope, last=last), base)


def recipe_values(space: Space, scope: SearchScope, base: TrainingConfig) -> dict[str, Value]:
    """The values with which the space returns the recipe itself.

    A space may have a method `recipe_values(training)` that returns them. Otherwise each value is read from the field
    of the training that has its name, or else from a field that the space sets to just that value.

    Raises:
        ValueError: the space has no point for the recipe.
    """
    said = getattr(space, "recipe_values", None)
    recipe = Chosen(_found_values(space, scope, base) if said is None else said(base), scope)
    try:
        found = ask(space, recipe, base)
    except KeyError as error:
        raise ValueError(
            f"the search space has no point for this recipe: which {error} gives it is not clear"
        ) from None
    if found != base:
        raise ValueError(f"the search space has no point for this recipe; nearest: {recipe.asked}")
    return recipe.asked


def _found_values(space: Space, scope: SearchScope, base: TrainingConfig) -> dict[str, Any]:
    recipe = flat_fields(base)
    ends = [_Everything(scope), _Everything(scope, last=True)]
    made = [flat_fields(ask(space, trial, base)) for trial in ends]
    found = {}
    for name in ends[0].given.keys() | ends[1].given.keys():
        given = [trial.given.get(name) for trial in ends]
        taking = [key for key in recipe if all(m.get(key) == g for m, g in zip(made, given, strict=True))]
        if name in recipe or taking:
            found[name] = recipe[name if name in recipe else taking[0]]
    return found


def searched_fields(space: Space, scope: SearchScope, base: TrainingConfig) -> tuple[Searched, ...]:
    """Every field that a search may turn, with its range and the recipe's value: None where that has it off."""
    everything = _Everything(scope)
    ask(space, everything, base)
    try:
        values = recipe_values(space, scope, base)
    except ValueError:
        values = {}
    return tuple(Searched(name, words, values.get(name)) for name, words in everything.ranges.items())


def fixed_fields(space: Space, scope: SearchScope, base: TrainingConfig) -> dict[str, Any]:
    """The training fields that neither end of any range changes, as `a.b` and value."""
    least, most = (flat_fields(ask(space, _Everything(scope, last=last), base)) for last in (False, True))
    recipe = flat_fields(base)
    return {name: recipe[name] for name in recipe if recipe[name] == least.get(name) == most.get(name)}


class Chosen:
    """A trial whose values were chosen before; `asked` are those that were asked for.

    Raises, when asked:
        ValueError: the value lies outside of the range.
        KeyError: there is no value of that name.
    """

    def __init__(self, values: Mapping[str, Any], scope: SearchScope = SearchScope()) -> None:  # frozen
        self.scope = scope
        self.asked: dict[str, Value] = {}
        self._values = values

    def has(self, name: str) -> bool:
        """Whether there is a value of that name."""
        return name in self._values

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The value of that name."""
        self.asked[name] = value = float(self._in_range(name, low, high))
        return value

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The value of that name."""
        self.asked[name] = value = int(self._in_range(name, low, high))
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The value of that name."""
        value = self._values[name]
        if value not in choices:
            raise ValueError(f"{name} {value!r} is none of {', '.join(map(repr, choices))}")
        self.asked[name] = value
        return value

    def _in_range(self, name: str, low: float, high: float) -> Any:
        if not low <= self._values[name] <= high:
            raise ValueError(f"{name} {self._values[name]:g} lies outside of the searched range {low:g} to {high:g}")
        return self._values[name]


_RANGE = re.compile(r"(\S+) to (\S+?)(, whole)?(, log)?$")
_WITHIN = 1e-9  # of a range: its ends themselves are hardly ever drawn, and a field may not take them
_ROUNDED = 1e-5  # ranges in words have six digits


def described_space(ranges: Mapping[str, str], tried: Iterable[Mapping[str, Any]]) -> Callable[[Any], None]:
    """A space rebuilt from the words that a plan holds. Called with a trial, it asks for each value the trial has.

    Args:
        ranges: range in words, as `Searched.range`, by name.
        tried: values of earlier trials, which show the type of each choice.
    """
    seen: dict[str, dict[str, Any]] = {}
    for values in tried:
        for name, value in values.items():
            seen.setdefault(name, {})[str(value)] = value

    def ask(trial: Any) -> None:
        for name in [name for name in ranges if trial.has(name)]:
            words = ranges[name]
            if found := _RANGE.match(words):
                low, high, whole, log = found.groups()
                if whole:
                    trial.suggest_int(name, int(low), int(high), log=bool(log))
                else:
                    ends = sorted((float(low), float(high)))
                    low, high = ends[0] - _ROUNDED * abs(ends[0]), ends[1] + _ROUNDED * abs(ends[1])
                    trial.suggest_float(name, low, high, log=bool(log))
            else:
                told = ("False", "True") if words == "on or off" else words.removeprefix("one of ").split(", ")
                flags = {"False": False, "True": True} if words == "on or off" else {}
                trial.suggest_categorical(name, tuple(({**flags, **seen[name]}).get(text, text) for text in told))

    return ask


class ScopedTrial:
    """An Optuna trial, as a space is given it."""

    def __init__(self, trial: Any, scope: SearchScope) -> None:
        self.scope = scope  # that of the search, whatever the trial's
        self.suggest_float = trial.suggest_float
        self.suggest_int = trial.suggest_int
        self.suggest_categorical = trial.suggest_categorical


class _Everything:
    """A trial that switches everything on, and takes the lower end of each range, or the upper one."""

    def __init__(self, scope: SearchScope, *, last: bool = False) -> None:
        self.scope = scope
        self.ranges: dict[str, str] = {}
        self.given: dict[str, Value] = {}
        self._last = last

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self._check(name, low, high, log)
        self.ranges[name] = f"{low:g} to {high:g}{', log' if log else ''}"
        most = high - _WITHIN * (high - low) if step is None else low + step * math.floor((high - low) / step + _WITHIN)
        self.given[name] = value = most if self._last else low + (_WITHIN * (high - low) if step is None else 0.0)
        return value

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self._check(name, low, high, log)
        self.ranges[name] = f"{low} to {high}, whole{', log' if log else ''}"
        self.given[name] = value = high if self._last else low
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        if not len(choices):  # of an array, too
            raise ValueError(f"{name}: there are no choices")
        if odd := [choice for choice in choices if not isinstance(choice, numbers.Number | str | None)]:
            raise ValueError(
                f"{name}: {odd[0]!r} can't be kept as a number, a text or a flag; give names of such choices"
            )
        boolean = tuple(choices) == (False, True)
        self.ranges[name] = "on or off" if boolean else f"one of {', '.join(map(str, choices))}"
        value = True if boolean else choices[-1 if self._last else min(1, len(choices) - 1)]
        self.given[name] = value
        return value

    def _check(self, name: str, low: float, high: float, log: bool) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"{name}: from {low:g} to {high:g} there is nothing; give the lower end first")
        if log and low <= 0:
            raise ValueError(f"{name}: a logarithmic range begins above 0, not at {low:g}")
