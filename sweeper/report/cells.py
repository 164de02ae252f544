"""Tables as cells of text, and how numbers are written in them."""

from dataclasses import dataclass

NONE = "–"


@dataclass(frozen=True)
class PaperTable:
    """A table as cells of text; `words` columns read from the left, `marks` hold ✓ or nothing, the rest are numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[str]
    marks: frozenset[str] = frozenset()


def points(difference: float) -> str:
    """A difference of fractions, in percentage points; no -0.0."""
    return f"{100 * difference:+.1f}".replace("-0.0", "+0.0") if abs(difference) < 5e-4 else f"{100 * difference:+.1f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as percent."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f}"
