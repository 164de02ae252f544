"""Tables as cells of text, and how numbers are written in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NONE = "–"
OWN = "‡"  # marks a spread that stands out


@dataclass(frozen=True)
class PaperTable:
    """A table as cells of text; `words` columns read from the left, `marks` hold ✓ or nothing, the rest are numbers.

    `reference` is the first cell of the row that all others are compared with. Columns of `repeats` become a note where
    all rows say the same; columns of `wraps` hold words that may go on in a further line; those of `least` are left out
    of a terminal that is too narrow, in this order.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[str]
    marks: frozenset[str] = frozenset()
    reference: str = ""
    repeats: frozenset[str] = frozenset()
    wraps: frozenset[str] = frozenset()
    least: tuple[str, ...] = ()


def points(difference: float) -> str:
    """A difference of fractions, in percentage points; no -0.0."""
    return f"{100 * difference:+.1f}".replace("-0.0", "+0.0") if abs(difference) < 5e-4 else f"{100 * difference:+.1f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as percent."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}"


def interval(low: float | None, high: float | None) -> str:
    """An interval of differences, in points."""
    return "[–]" if low is None or high is None else f"[{points(low)}, {points(high)}]"


def number(value: float | None, form: str) -> str:
    """A number, or a dash for none."""
    return NONE if value is None else f"{value:{form}}"


def p_value(p: float | None) -> str:
    """A p value with two decimals, or what tells it from 0.05; the star, not this, says what is significant."""
    if p is None:
        return NONE
    if p > 0.05 and f"{p:.2f}" == "0.05":
        return ">0.05" if f"{p:.3f}" == "0.050" else f"{p:.3f}"
    return "<0.01" if p < 0.01 else f"{p:.2f}"


def operations(gflops: Sequence[float | None]) -> tuple[str, list[str]]:
    """Counted operations in the unit that needs the fewest decimals: its name, and each with three digits."""
    most = max((value for value in gflops if value is not None), default=0.0)
    unit, factor = ("MFLOP", 1e3) if most < 1 else ("GFLOP", 1.0)
    return unit, [NONE if value is None else _digits(factor * value) for value in gflops]


def _digits(value: float) -> str:
    """Three digits, and at most two decimals."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def count(amount: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def planned(row: Mapping[str, Any]) -> str:
    """An arm's complete trials, of how many where some are missing or failed."""
    return f"{row['n']}" if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}"


def accuracy_interval(row: Mapping[str, Any]) -> str:
    """The interval of an arm's mean, percent."""
    return "[–]" if row["ci_low"] is None else f"[{percent(row['ci_low'])}, {percent(row['ci_high'])}]"


def difference(row: Mapping[str, Any]) -> str:
    """An arm's difference to the reference with its interval, in points; * where significant."""
    if row["outcome"] == "reference":
        return "reference"
    if row["diff"] is None:
        return NONE
    star = "*" if row["significant"] else ""
    return f"{points(row['diff'])}{star} {interval(row['diff_low'], row['diff_high'])}"


def own_spread(row: Mapping[str, Any]) -> str:
    """An arm's own standard deviation, in points; ‡ where it stands out."""
    return percent(row["sd"]) + (OWN if row["own_spread"] else "")
