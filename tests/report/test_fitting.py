"""Narrow tables, without a study."""

from dataclasses import replace

from sweeper.report.cells import PaperTable, operations, p_value
from sweeper.report.fitting import narrowed, needs, without_repeats

TABLE = PaperTable(
    title="Table 6 · modules",
    header=("arm", "S", "n", "acc %", "at ±1"),
    rows=(("one", "✓", "3", "50.0", "worse"), ("two", "✓", "3", "50.0", "worse"), ("full", "✓", "3", "50.0", "")),
    words=frozenset({"arm", "at ±1"}),
    marks=frozenset({"S"}),
    reference="full",
    repeats=frozenset({"S", "n", "at ±1"}),
    least=("n", "S"),
)


def test_what_every_row_says_becomes_a_note():
    (table,), notes = without_repeats([TABLE])
    assert table.header == ("arm", "acc %"), "scores stay, whatever they are"
    assert table.rows == (("one", "50.0"), ("two", "50.0"), ("full", "50.0"))
    assert notes == ["in every row of Table 6: S ✓; n 3; at ±1 worse"]


def test_tables_that_say_the_same_share_a_note_and_others_do_not():
    other = replace(TABLE, title="Table 7", rows=(*TABLE.rows[:2], ("full", "✓", "2 of 3", "50.0", "")))
    _, notes = without_repeats([TABLE, replace(TABLE, title="Table 8"), other])
    assert notes == [
        "in every row of Table 6, Table 8: S ✓; n 3; at ±1 worse",
        "in every row of Table 7: S ✓; at ±1 worse",
    ]


def test_a_mark_that_the_reference_lacks_differs():
    bare = replace(TABLE, rows=(*TABLE.rows[:2], ("full", "", "3", "50.0", "")))
    (table,), _ = without_repeats([bare])
    assert "S" in table.header


def test_two_rows_are_too_few_to_say_everywhere():
    assert without_repeats([replace(TABLE, rows=TABLE.rows[1:])]) == ([replace(TABLE, rows=TABLE.rows[1:])], [])


def test_columns_go_one_by_one_until_the_table_fits():
    whole = needs(TABLE)
    assert narrowed(TABLE, whole) == (TABLE, [])
    table, gone = narrowed(TABLE, whole - 1)
    assert gone == ["n"] and table.header == ("arm", "S", "acc %", "at ±1")
    table, gone = narrowed(TABLE, 5)
    assert gone == ["n", "S"] and table.header == ("arm", "acc %", "at ±1"), "what is left stays, however narrow"


def test_a_wide_column_goes_before_several_that_are_dispensable():
    wide = replace(TABLE, header=(*TABLE.header, "text"), rows=tuple((*row, "x" * 50) for row in TABLE.rows))
    wide = replace(wide, least=(*TABLE.least, "text"))
    assert narrowed(wide, needs(TABLE)) == (replace(TABLE, least=wide.least), ["text"])


def test_numbers_have_two_decimals_at_most():
    assert operations([0.00438, 0.0248, None]) == ("MFLOP", ["4.38", "24.8", "–"])
    assert operations([94.9, 12.3, 112.0]) == ("GFLOP", ["94.9", "12.3", "112"])
    assert [p_value(p) for p in (None, 0.714, 0.0449, 0.05, 0.0501, 0.0544, 0.009, 1.0)] == [
        *("–", "0.71", "0.04", "0.05", ">0.05", "0.054", "<0.01", "1.00")
    ]
