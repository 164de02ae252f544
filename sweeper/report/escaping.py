"""Text as text in every format: what an arm is called, or why a trial failed, must not become markup or a formula."""

import re
import unicodedata
from json import dumps

_LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "%&_#${}"},
        "\\": "\\textbackslash{}",
        "^": "\\textasciicircum{}",
        "~": "\\textasciitilde{}",
        "|": "\\textbar{}",
        "<": "$<$",
        ">": "$>$",
        "±": "$\\pm$",
        "✓": "$\\checkmark$",
        "†": "$\\dagger$",
        "×": "$\\times$",
        "★": "$\\star$",
        "–": "--",
        "·": "$\\cdot$",
        "≤": "$\\le$",
        "τ": "$\\tau$",
        "‡": "$\\ddagger$",
        "−": "$-$",
        "“": "``",
        "”": "''",
        "*": "$^{*}$",
    }
)
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_MARKUP = re.compile(r"([\\|<`])")
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn")
_LINK = re.compile(r"\](?=[(\[])")


def plain(text: str) -> str:
    """One line, without what moves a terminal's cursor, colours it, or turns the reading direction."""
    return _visible(" ".join(text.split()))


def latex(text: str) -> str:
    """Text for LaTeX, also where a row begins with it: there, a bracket would be the row above's."""
    escaped = plain(text).translate(_LATEX)
    return f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped


def markdown(text: str) -> str:
    """Text for GitHub's Markdown, in a table's cell or a list."""
    return _LINK.sub(r"]\\", _MARKUP.sub(r"\\\1", plain(text)))


def csv(value: object) -> object:
    """A cell for spreadsheets, which take text that begins like a formula for one. Numbers stay numbers."""
    if not isinstance(value, str):
        return value
    shown = value if value.isprintable() else "".join(c if c in "\t\r\n" else _visible(c) for c in value)
    return f"'{shown}" if value.startswith(_FORMULA) else shown


def json(text: str) -> str:
    """JSON, which says the same then: such characters are written by their numbers."""
    return "".join(dumps(c)[1:-1] if c != "\n" and unicodedata.category(c) in _UNSEEN else c for c in text)


def _visible(text: str) -> str:
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _UNSEEN else c for c in text)
