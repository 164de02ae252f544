"""The paper's Fig. 7 as a file of its own: the t-SNE maps side by side, for a paper or a talk."""

import colorsys
import io
from collections.abc import Sequence
from pathlib import Path

from sweeper.audio.drawn_text import as_written
from sweeper.named_file import write_named
from sweeper.report.features import FeatureMaps
from sweeper.results.tables import StudyError

SUFFIXES = (".png", ".svg", ".pdf")
_POINTS = 6000.0  # square points of ink in a panel, shared by its clips
_LEGEND = 18  # classes in a column


def check_map_file(path: Path) -> None:
    """Whether such a file can be drawn, before anything is computed.

    Raises:
        StudyError: another kind of file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"can't draw {path}: expected a name in {', '.join(SUFFIXES)}")


def draw_maps(found: FeatureMaps, classes: Sequence[str], path: Path) -> None:
    """Draw the maps, a panel for each stage, to a PNG, SVG or PDF; an existing file is replaced, at once and whole.

    Args:
        found: the maps.
        classes: names.
        path: of the file; its suffix says which kind.

    Raises:
        StudyError: it can't be written.
    """
    check_map_file(path)
    with as_written():
        drawn = _drawn(found, classes, path.suffix[1:].lower())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_named(path, drawn)
    except OSError as error:
        raise StudyError(f"can't write {path}: {error.strerror or error}; choose another place by --tsne") from error


def _drawn(found: FeatureMaps, classes: Sequence[str], form: str) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shades = _shades(len(classes))
    columns = -(-len(classes) // _LEGEND)
    figure = Figure(figsize=(3.5 * len(found.maps) + 1.9 * columns, 4.2), layout="constrained")
    panels = figure.subplots(1, len(found.maps), squeeze=False)[0]
    colours = [shades[target] for target in found.targets]
    size = min(30.0, max(3.0, _POINTS / len(found.targets)))
    for letter, panel, stage in zip("abcdefgh", panels, found.maps, strict=False):
        panel.scatter(*stage.points.T, s=size, c=colours, linewidths=0)
        panel.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
        panel.set_title(f"({letter}) {stage.title}\nsilhouette {stage.silhouette:+.2f}", fontsize=10)
    dots = [Line2D([], [], linestyle="", marker="o", markersize=5, color=shade) for shade in shades]
    figure.legend(dots, classes, loc="outside right center", frameon=False, fontsize=8, ncols=columns)
    trial = found.trial
    figure.supxlabel(
        f"t-SNE of {trial['arm']}, {trial['dataset']}, {trial['split']} split, fold {trial['fold']}, seed "
        f"{trial['replicate']}: {found.clips}",
        fontsize=9,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=200, format=form)
    return drawn.getvalue()


def _shades(count: int) -> list[tuple[float, float, float]]:
    """Hues around the circle, as red, green and blue in 0..1; alternating lightness tells neighbours apart."""
    return [colorsys.hls_to_rgb(i / count, (0.46, 0.62)[i % 2], 0.65) for i in range(count)]
