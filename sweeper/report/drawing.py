"""Figures as SVG inside the page: matplotlib draws them, the page's style sheet colours them.

A colour is drawn as one that nobody else uses, and written as `var(--name)`: so a figure follows the reader's light or
dark theme, and paper, without being drawn again. What a pointer is on is said by SVG's own `<title>`, without a script.
A figure is drawn twice, for a wide screen and for a phone, since text that shrinks with its figure can't be read.
"""

import contextlib
import io
import itertools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from sweeper.report.escaping import plain

WIDE, NARROW = 640, 344  # pixels
CATEGORIES = 7  # colours that also the colour-blind tell apart
COLOUR = MappingProxyType(
    {
        name: f"#01f0{number:02x}"
        for number, name in enumerate(
            (
                *("ink", "muted", "card", "grid", "band", "heat", "worse", "better", "equivalent"),
                *(f"c{i}" for i in range(CATEGORIES)),
            )
        )
    }
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")

_letters = TextToPath()
_NAME = {value: name for name, value in COLOUR.items()}
_SVG, _LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
_HOVER = "hover: "
_STYLE = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.parse_math": False,  # what an arm is called is no formula
    "font.size": 12,
    "font.family": "DejaVu Sans",  # the one that is always there; a little wider than the page's
    "text.color": COLOUR["ink"],
    "axes.labelcolor": COLOUR["ink"],
    "axes.edgecolor": COLOUR["muted"],
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": COLOUR["grid"],
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "xtick.labelcolor": COLOUR["ink"],
    "ytick.labelcolor": COLOUR["ink"],
}


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: an id, what it shows in words, and SVG for a wide screen and, if need be, for a phone."""

    name: str
    label: str
    wide: str
    narrow: str = ""


def drawing(
    name: str, label: str, draw: Callable[[int], Figure], wide: int = WIDE, narrow: int | None = NARROW
) -> Drawing:
    """Draw a figure for both widths.

    Args:
        name: its id on the page, told apart from all others.
        label: what it shows, for those who don't see it.
        draw: takes a width in pixels.
        wide, narrow: these widths; None where the wide one is narrow enough.
    """
    with matplotlib.style.context(["default", _STYLE]):
        drawn = [None if width is None else to_svg(draw(width), f"{name} {width}") for width in (wide, narrow)]
    return Drawing(name, label, drawn[0] or "", drawn[1] or "")


def sheet(
    width: int, height: int, left: int = 52, right: int = 16, top: int = 10, bottom: int = 44
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and margins around them, all in pixels."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    place = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    axes = figure.add_axes(place)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3)
    return figure, axes


def hover(artist: Artist, text: str) -> None:
    """Say this where the pointer is on the artist."""
    artist.set_gid(_HOVER + plain(text))


def text_width(texts: Sequence[str], size: float = 12) -> int:
    """Pixels that the longest of these needs."""
    return math.ceil(max((_width(text, size) for text in texts), default=0))


def fitted(texts: Sequence[str], room: float, size: float = 12) -> list[str]:
    """The texts on one line each, cut off with … where they are wider than `room` pixels; `size` is the font's.

    Those that would then read the same lose their middle instead.
    """
    whole = list(map(plain, texts))
    shown = []
    for text in whole:
        cut = text
        while cut and _width(cut, size) > room:
            cut = cut[:-2].rstrip("…") + "…" if len(cut) > 2 else ""
        shown.append(cut)
    alike = {
        cut for cut in shown if cut and len({text for text, its in zip(whole, shown, strict=True) if its == cut}) > 1
    }
    return [_without_middle(text, room, size) if cut in alike else cut for text, cut in zip(whole, shown, strict=True)]


def _without_middle(text: str, room: float, size: float) -> str:
    cuts = (f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}" for kept in range(len(text) - 1, 1, -1))
    return next((cut for cut in cuts if _width(cut, size) <= room), "…")


@cache
def _width(text: str, size: float) -> float:
    with _any_letters():
        return float(
            _letters.get_text_width_height_descent(text, FontProperties(family="DejaVu Sans", size=size), False)[0]
        )


@contextlib.contextmanager
def _any_letters() -> Iterator[None]:
    """Without warnings of letters that matplotlib's font lacks: text stays text, which the reader's fonts draw."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ", UserWarning)
        yield


def spaced(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Where labels go so that none lies on another: as near to where they are wanted as an even shift allows.

    Args:
        wanted: places.
        apart: least distance.
        low, high: ends of the room, which is exceeded if it is too small.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    for before, here in itertools.pairwise(order):
        places[here] = max(places[here], places[before] + apart)
    if order and places[order[-1]] > high:
        places[order[-1]] = high
        for after, here in itertools.pairwise(order[::-1]):
            places[here] = min(places[here], places[after] - apart)
        if (lowest := places[order[0]]) < low:
            places = [place + low - lowest for place in places]
    return places


def to_svg(figure: Figure, salt: str) -> str:
    """The figure as an SVG element for a page; `salt` keeps its ids apart from other figures'."""
    sink = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}), _any_letters():
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(sink.getvalue())
    width, height = (round(float(number)) for number in root.attrib["viewBox"].split()[2:])
    root.attrib = {"viewBox": f"0 0 {width} {height}", "width": f"{width}", "height": f"{height}"}
    _tidy(root)
    linked = set(re.findall(r"#([\w-]+)", " ".join(_links(root))))
    for element in root.iter():
        if element.get("id") not in linked:
            element.attrib.pop("id", None)
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s+<", "><", text)


def _tidy(element: ElementTree.Element) -> None:
    """Leave out what a page doesn't need, round, name the colours, and turn hover texts into titles."""
    for child in list(element):
        kind = child.tag.rpartition("}")[2]
        if kind in ("metadata", "style"):
            element.remove(child)
            continue
        _tidy(child)
        if kind in ("defs", "g") and not len(child):
            element.remove(child)
    if (said := element.get("id", "")).startswith(_HOVER):
        title = ElementTree.Element(f"{{{_SVG}}}title")
        title.text = said.removeprefix(_HOVER)
        element.insert(0, title)
        element.set("class", "hover")
    if _LINK in element.attrib:
        element.set("href", element.attrib.pop(_LINK))
    for name in ("d", "x", "y", "transform", "points"):
        if name in element.attrib:
            element.set(name, _rounded(element.attrib[name]))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "style" in element.attrib:
        element.set("style", _styled(element.attrib["style"]))
    _share_style(element)


def _rounded(numbers: str) -> str:
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), numbers)
    return re.sub(r"M (\S+ \S+) L \1", r"M\1h0", " ".join(short.split())).replace("h0 M", "h0M")


def _styled(style: str) -> str:
    style = re.sub(r"font-family:[^;]*;? ?", "", style)
    style = re.sub(r"#[0-9a-f]{6}", lambda found: f"var(--{_NAME[found[0]]})" if found[0] in _NAME else found[0], style)
    return style.replace(": ", ":").replace("; ", ";").strip("; ")


def _share_style(group: ElementTree.Element) -> None:
    """Hundreds of markers of one colour say it once."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and all(child.tag == f"{{{_SVG}}}use" for child in group):
        (style,) = styles
        if style and "style" not in group.attrib:
            group.set("style", style)
            for child in group:
                del child.attrib["style"]


def _links(root: ElementTree.Element) -> list[str]:
    return [value for element in root.iter() for name, value in element.attrib.items() if name in ("href", "clip-path")]
