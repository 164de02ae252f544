"""What a statement of the paper is, held against its own tables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        key: a short name.
        where: section, table or figure.
        says: the statement, in short.
        holds: whether the statement is right as it stands.
        finding: what a reader should know.
        printed: the number it gives, if any (differences in percentage points).
        recomputed: that number, or the one that the finding rests on, from the paper's own tables or counts.
    """

    key: str
    where: str
    says: str
    holds: bool
    finding: str
    printed: float | None = None
    recomputed: float | None = None
