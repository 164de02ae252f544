"""The points of a search space, as far as they can be counted: one whose fields are all choices or stepped has an end.

There is no list of them: which fields a space asks for may depend on the values of others. So it is asked once for each
combination of values, like the wheels of a mileage counter, the field that was asked for last turning first.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from sweeper.plan import TrialSpec
from sweeper.space import Value

DOUBLES = 10  # combinations that are looked through for each point wanted; of fields that set nothing there may be many


def points(make: Callable[[Any], TrialSpec], most: int) -> dict[str, dict[str, Value]] | None:
    """The values of trials that differ, by trial id: of all that there can be, or of `most`.

    None where they can't be counted: a field takes any number of a range, most combinations give the same few trials,
    or the space can't take some, which is told once a search asks for them.
    """
    found: dict[str, dict[str, Value]] = {}
    first: list[int] = []
    for _ in range(DOUBLES * most):
        trial = _Combination(first)
        try:
            spec = make(trial)
        except Exception:  # a user's space may raise anything
            return None
        if trial.endless:
            return None
        found.setdefault(spec.trial_id, trial.values)
        first = trial.following()
        if len(found) == most or not first:
            return found
    return None


class _Combination:
    """A trial that takes the values with these places in their ranges, and the first ones of further fields."""

    def __init__(self, places: Sequence[int]) -> None:
        self.values: dict[str, Value] = {}
        self.endless = False
        self._places = list(places)
        self._sizes: list[int] = []

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number of the range; where that is no grid, there is no end of them."""
        self.endless |= step is None and low < high
        size = 1 if step is None else math.floor((high - low) / step + 1e-8) + 1
        return float(self._value(name, size, lambda place: min(low + place * (step or 0.0), high)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number of the range."""
        return int(self._value(name, (high - low) // step + 1, lambda place: low + place * step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._value(name, len(choices), lambda place: choices[place])

    def following(self) -> list[int]:
        """The places of the next combination; none: this was the last."""
        places = self._places[: len(self._sizes)]
        while places and places[-1] + 1 == self._sizes[len(places) - 1]:
            places.pop()
        return [*places[:-1], places[-1] + 1] if places else []

    def _value(self, name: str, size: int, at: Callable[[int], Any]) -> Any:
        if name not in self.values:  # a field that is asked for again has the value that it had
            if len(self._sizes) == len(self._places):
                self._places.append(0)
            self.values[name] = at(self._places[len(self._sizes)])
            self._sizes.append(size)
        return self.values[name]
