"""Switches in cells: short values as they are, and of long ones what an arm changes."""

from dataclasses import asdict

from sweeper.report.switches import switch_cells, switch_notes
from sweeper.results.study_arms import StudyArms, StudyTable
from sweeper.study import AugmentationConfig

ON, OFF = asdict(AugmentationConfig()), asdict(AugmentationConfig.off())
COLUMNS = {"norm": "norm", "rate": "rate", "sizes": "sizes", "augmentation": "augmentation", "words": "words"}
ARMS = StudyArms(
    name="s",
    argument="",
    reference="full",
    switches={"full": {}, "bare": {"norm": False, "sizes": [8], "augmentation": OFF}, "long": {"words": "y" * 99}},
    values={"norm": True, "rate": 0.1, "sizes": [8, 16], "augmentation": ON, "words": None},
    factors={},
    published={},
    tables={},
)


def test_cells_are_short():
    table = StudyTable("arms", ("full", "bare", "long"), COLUMNS)
    assert switch_cells(ARMS, table, "full") == ("✓", "0.1", "[8, 16]", "", "")
    assert switch_cells(ARMS, table, "bare") == ("", "0.1", "[8]", "other", "")
    assert switch_cells(ARMS, table, "long") == ("✓", "0.1", "[8, 16]", "", "other")


def test_notes_say_what_long_values_change():
    bare, long = switch_notes(ARMS, COLUMNS, ["full", "bare", "long"])
    assert bare.startswith("augmentation of bare: mixing.probability: 1.0 → 0.0, ") and bare.endswith(" more")
    assert long == f"words of long: None → {'y' * 99}"
    assert switch_notes(ARMS, COLUMNS, ["full"]) == []
