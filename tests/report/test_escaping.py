"""What an arm is called, or why a trial failed, is text in every format: no markup, no formula, no cursor movement."""

import csv as csv_files
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.report import escaping


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of a_b & c#d $x", r"50 \% of a\_b \& c\#d \$x"),
        ("C:\\new {a} ^ ~", r"C:\textbackslash{}new \{a\} \textasciicircum{} \textasciitilde{}"),
        ("first\nsecond", "first second"),
        ("[2] of a row's first cell", "{[}2] of a row's first cell"),
    ],
)
def test_latex(text, expected):
    assert escaping.latex(text) == expected


@given(st.text())
def test_no_text_opens_a_group_or_a_comment_in_latex(text):
    escaped = escaping.latex(text)
    assert "\n" not in escaped
    bare = re.sub(r"\\[%&_#${}]|\\[a-z]+", "", escaped)
    assert not set(bare) & set("\\%&_#")
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0


@given(st.text())
def test_a_cell_of_markdown_stays_one_cell_of_one_line(text):
    escaped = escaping.markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[|<`]", escaped)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd", "@SUM(A1)", "\tx", "\rx", "＝1"])
def test_a_formula_is_text_in_csv(text):
    assert escaping.csv(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, 0, None, True, "full", ""])
def test_numbers_and_plain_words_stay_as_they_are_in_csv(value):
    assert escaping.csv(value) is value


@given(st.text())
def test_no_cell_of_csv_is_taken_for_a_formula(text):
    file = io.StringIO()
    csv_files.writer(file).writerow([escaping.csv(text), 1])
    (first, second), *rest = csv_files.reader(io.StringIO(file.getvalue(), newline=""))
    assert not first.startswith(tuple("=+-@\t\r\n"))
    assert (second, rest) == ("1", [])


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "left \u202eright", "a\x00b", "a\nb\tc", "bell\a"])
def test_nothing_moves_the_cursor_or_turns_the_reading_direction(text):
    shown = escaping.plain(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1


def test_no_cell_of_csv_moves_the_cursor():
    assert escaping.csv("=a\x1b[2J\u202eb\nc") == "'=a\\x1b[2J\\u202eb\nc"


def test_json_says_the_same_in_characters_that_a_terminal_shows():
    value = {"a\x9b": "b\u202e\ud800é\n\x1b\U000e0001"}
    shown = escaping.json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(shown) == value
    assert shown.replace("\n", "").isprintable()
    assert "é" in shown
