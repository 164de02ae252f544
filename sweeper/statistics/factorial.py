"""Find the factorial design that a study's arms contain, from their switches."""

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = tuple[int, ...]


@dataclass(frozen=True)
class Factorial:
    """Arms that form a full or regular fractional two-level factorial.

    Attributes:
        arms: indices into the arms that were given, ascending; `[runs]`.
        factors: name per factor: the switch, or several joined by "+" that are only ever switched together.
        levels: −1 or +1 per run and factor; `[runs, factors]`.
        low, high: what the levels stand for, as text; per factor.
    """

    arms: NDArray[np.intp]
    factors: tuple[str, ...]
    levels: NDArray[np.int8]
    low: tuple[str, ...]
    high: tuple[str, ...]


class _Absent:
    """The value of a switch that an arm leaves alone; above all others."""

    def __repr__(self) -> str:
        return "unchanged"


_ABSENT = _Absent()


def find_factorial(
    settings: Sequence[Mapping[str, Any]], reference: Mapping[str, Any] | None = None, parts: Collection[str] = ()
) -> Factorial | None:
    """The largest two-level factorial among the arms: a full one, or a regular fraction with all main effects apart.

    Of two values, True is higher than False, the larger number is the high one, and None the low one. Of others it is
    the reference's.

    Args:
        settings: each arm's switches and their values.
        reference: the value of a switch that an arm leaves out; where it isn't said, it has a value of its own
            ("unchanged"), the high one.
        parts: switches whose reference value is the high one whatever it is: a part that other arms lack.

    Returns:
        None where no four arms form one. Of two with equally many arms, the one with fewer factors, in which less is
        confounded.
    """
    values = _factors(settings, reference or {}, parts)
    names = list(values)
    best: tuple[int, int, Factorial] | None = None
    for count in range(2, len(names) + 1):
        for chosen in combinations(names, count):
            for arms, pairs in _two_level(values, chosen, len(settings)):
                points = _points(values, chosen, pairs, arms)
                least = 4 if best is None else best[0] + 1
                found = _largest_subspace(points, count, least)
                if found is not None:
                    best = (len(found), count, _describe(values, chosen, pairs, points, found))
    return None if best is None else best[2]


@dataclass(frozen=True)
class _Usual:
    """A value that the reference has, and that is above others where these are of no order."""

    value: Any

    def __repr__(self) -> str:
        return repr(self.value)

    def __str__(self) -> str:
        return str(self.value)


def _factors(
    settings: Sequence[Mapping[str, Any]], reference: Mapping[str, Any], parts: Collection[str]
) -> dict[str, list[Any]]:
    """Each factor's value per arm; switches that split the arms in the same way are one factor."""
    columns = {
        name: [setting.get(name, reference.get(name, _ABSENT)) for setting in settings]
        for name in dict.fromkeys(name for setting in settings for name in setting)
    }
    joined: dict[tuple[int, ...], list[str]] = {}
    for name, column in columns.items():
        labels = list(dict.fromkeys(map(_key, column)))
        if len(labels) > 1:
            joined.setdefault(tuple(labels.index(_key(value)) for value in column), []).append(name)
    factors = {"+".join(group): columns[group[0]] for group in joined.values()}
    for (first, *_), column in zip(joined.values(), factors.values(), strict=True):
        ordered = first not in parts and all(value is None or isinstance(value, int | float) for value in column)
        if first in reference and not ordered and (first in parts or reference[first] is not None):
            usual = _key(reference[first])
            column[:] = [_Usual(value) if _key(value) == usual else value for value in column]
    return factors


def _key(value: Any) -> Hashable:
    return (type(value).__name__, repr(value))


def _rank(value: Any) -> tuple[int, Any]:
    """Order of a switch's values: None, text, then False, True and numbers, then the reference's or "unchanged"."""
    if value is _ABSENT or isinstance(value, _Usual):
        return (3, 0)
    if isinstance(value, int | float):
        return (2, value)
    return (0, "") if value is None else (1, repr(value))


def _two_level(
    values: Mapping[str, Sequence[Any]], chosen: Sequence[str], arms: int
) -> Iterator[tuple[list[int], list[tuple[Any, Any]]]]:
    """Arms that agree in every factor but the chosen, with a low and a high value of each of these."""
    groups: dict[tuple[Hashable, ...], list[int]] = {}
    for arm in range(arms):
        rest = tuple(_key(values[name][arm]) for name in values if name not in chosen)
        groups.setdefault(rest, []).append(arm)
    for group in groups.values():
        if len(group) < 4:
            continue
        choices = []
        for name in chosen:
            distinct = {_key(values[name][arm]): values[name][arm] for arm in group}
            choices.append(list(combinations(sorted(distinct.values(), key=_rank), 2)))
        yield from ((group, list(pairs)) for pairs in product(*choices))


def _points(
    values: Mapping[str, Sequence[Any]], chosen: Sequence[str], pairs: Sequence[tuple[Any, Any]], arms: Sequence[int]
) -> dict[Bits, int]:
    """The arms that have only these values, by their levels as bits; the first of equal ones."""
    points: dict[Bits, int] = {}
    for arm in arms:
        bits = []
        for name, pair in zip(chosen, pairs, strict=True):
            keys = [_key(value) for value in pair]
            if _key(values[name][arm]) not in keys:
                break
            bits.append(keys.index(_key(values[name][arm])))
        else:
            points.setdefault(tuple(bits), arm)
    return points


def _largest_subspace(points: Mapping[Bits, int], count: int, least: int) -> list[Bits] | None:
    """The largest affine subspace of GF(2)^count among the points that keeps all main effects apart."""
    size = 1 << count
    while size > len(points):
        size //= 2
    seen: set[frozenset[Bits]] = set()
    while size >= least:
        for base in points:
            found = _extend(frozenset([base]), points, size, seen)
            if found is not None:
                return sorted(found)
        size //= 2
        seen.clear()
    return None


def _extend(
    space: frozenset[Bits], points: Mapping[Bits, int], size: int, seen: set[frozenset[Bits]]
) -> frozenset[Bits] | None:
    if len(space) == size:
        return space if _main_effects_apart(space) else None
    base = min(space)
    for point in points:
        if point in space:
            continue
        step = tuple(a ^ b for a, b in zip(point, base, strict=True))
        shifted = {tuple(a ^ b for a, b in zip(other, step, strict=True)) for other in space}
        larger = space | shifted
        if larger in seen or not shifted <= points.keys():
            continue
        seen.add(larger)
        found = _extend(larger, points, size, seen)
        if found is not None:
            return found
    return None


def _main_effects_apart(space: frozenset[Bits]) -> bool:
    """No factor is constant, and no two are the same or opposite."""
    columns = {tuple(bit ^ column[0] for bit in column) for column in zip(*sorted(space), strict=True)}
    return len(columns) == len(next(iter(space))) and all(any(column) for column in columns)


def _describe(
    values: Mapping[str, Sequence[Any]],
    chosen: Sequence[str],
    pairs: Sequence[tuple[Any, Any]],
    points: Mapping[Bits, int],
    found: Sequence[Bits],
) -> Factorial:
    runs = sorted(found, key=lambda bits: points[bits])
    return Factorial(
        arms=np.array([points[bits] for bits in runs], dtype=np.intp),
        factors=tuple(chosen),
        levels=np.array([[2 * bit - 1 for bit in bits] for bits in runs], dtype=np.int8),
        low=tuple(str(low) for low, _ in pairs),
        high=tuple(str(high) for _, high in pairs),
    )
