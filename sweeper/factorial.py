"""Factorial designs: which combinations of levels are run, and what a fraction of them can't tell apart."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

MOST_FACTORS = 12  # whose aliases are listed: they double with each factor


def combinations(levels: Mapping[str, int], fraction: float | str | None = None) -> list[tuple[int, ...]]:
    """The runs of a design, each a level per factor; the first run has every factor at level 0.

    Args:
        levels: how many levels each factor has.
        fraction: see `sweeper.study.factorial`.

    Raises:
        ValueError: no factor, one with a single level, or no such fraction.
    """
    if not levels:
        raise ValueError("a factorial design needs a switch at least")
    if short := [name for name, count in levels.items() if count < 2]:
        raise ValueError(f"switch {short[0]!r} has {levels[short[0]]} value; a factorial design needs two at least")
    if fraction is None:
        return list(itertools.product(*(range(count) for count in levels.values())))
    if more := [name for name, count in levels.items() if count > 2]:
        raise ValueError(f"switch {more[0]!r} has {levels[more[0]]} values; a fraction is of switches with two")
    from pyDOE3 import fracfact  # SciPy is slow to import

    generators = fraction if isinstance(fraction, str) and "/" not in fraction else _generators(levels, fraction)
    try:
        design = fracfact(generators)
    except ValueError as error:
        raise ValueError(f"fraction={fraction!r}: {error}") from None
    if design.shape[1] != len(levels):
        raise ValueError(f"fraction={fraction!r} is of {design.shape[1]} factors; there are {len(levels)} switches")
    # Level 0, the reference's, is the +1 of all columns, which every fraction of products without signs contains.
    runs = sorted({tuple(int(level < 0) for level in row) for row in design})
    if any(runs[0]):
        raise ValueError(f"fraction={fraction!r} leaves out the reference; use generators without minus signs")
    return runs


def _generators(levels: Mapping[str, int], fraction: float | str) -> str:
    """The generators of the fraction with the least confounding."""
    from pyDOE3 import fracfact_opt

    share = _share(fraction)
    erased = round(-math.log2(share)) if 0 < share < 1 else 0
    if not 0 < erased < len(levels) or share != 0.5**erased:
        most = 2 ** (len(levels) - 1)
        raise ValueError(
            f"fraction={fraction!r} of {len(levels)} switches: expected 1/2 or a power of it, down to 1/{most}"
        )
    try:
        return str(fracfact_opt(len(levels), erased)[0])
    except ValueError as error:
        raise ValueError(f"fraction={fraction!r} of {len(levels)} switches: {error}; choose a larger one") from None


def _share(fraction: float | str) -> float:
    if not isinstance(fraction, str):
        return float(fraction)
    try:
        over, under = map(float, fraction.split("/"))
        return over / under
    except (ValueError, ZeroDivisionError):
        return math.nan


def aliases(arms: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Which effects the arms of a fractional design can't tell apart, as `a = b × c × d`; none for other arms.

    Args:
        arms: what each arm switches, by name, relative to the reference.
        names: of all switches.
    """
    runs = {tuple(name in arm for name in names) for arm in arms}
    two_values = all(len({repr(arm[name]) for arm in arms if name in arm}) == 1 for name in names)
    erased = len(names) - math.log2(len(runs)) if runs else 0
    if not two_values or len(runs) != len(arms) or erased < 1 or erased % 1 or not 2 <= len(names) <= MOST_FACTORS:
        return []
    signs = [[-1 if switched else 1 for switched in run] for run in runs]
    pairs = itertools.combinations(zip(*signs, strict=True), 2)
    if any(sum(column) for column in zip(*signs, strict=True)) or any(
        abs(sum(a * b for a, b in zip(*pair, strict=True))) not in (0, len(runs)) for pair in pairs
    ):
        return []
    import numpy as np
    from pyDOE3 import fracfact_aliasing

    letters = dict(zip("abcdefghijklmnopqrstuvwxyz", names, strict=False))
    told, _ = fracfact_aliasing(np.array(signs))
    lines = [" = ".join(" × ".join(map(letters.__getitem__, effect)) for effect in line.split(" = ")) for line in told]
    return [line for line in lines[:-1] if " = " in line] + [f"mean = {lines[-1]}"]
