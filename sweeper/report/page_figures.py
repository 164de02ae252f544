"""Which figures the page of a study has, section by section."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.report import difference_figures, evidence, features, figures, search_figures
from sweeper.report.cells import PaperTable
from sweeper.report.drawing import NARROW, Drawing, drawing
from sweeper.report.evidence import search_importances
from sweeper.report.map_file import draw_maps
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.searching import read_searches
from sweeper.results.tables import StudyError

if TYPE_CHECKING:
    from sweeper.training.weights import Loader

Row = dict[str, Any]
Sections = dict[str, Any]

_IN_A_PANEL = 4  # arms, and the reference: more lines can't be told apart
_PANEL, _SMALL, _EFFECTS, _LARGE = 420, 264, 540, 720  # pixels


def sections(board: Leaderboard, both: Sequence[tuple[Row, Row]]) -> Sections:
    """The figures by section, without the maps: a drawing, a list of them, or None where there is nothing to draw.

    Args:
        board: the study.
        both: (fixed, tuned) rows of the arms that two designs have.
    """
    return {
        "forest": _forest(board),
        "effects": _effects(board),
        "pareto": _pareto(board.summary),
        "curves": _curves(evidence.curves(board), board.arms.reference),
        **_answers(board),
        **_searches(board),
        "designs": _designs(both, board.arms.reference),
    }


def clipped(board: Leaderboard) -> bool:
    """Whether an interval of the forest leaves its axis."""
    limit = difference_figures.forest_limit(board.ablation, blocks(board)) / 100
    ends = [row[name] for row in board.ablation for name in ("diff_low", "diff_high")]
    return any(abs(end) > limit for end in ends if end is not None)


def blocks(board: Leaderboard) -> dict[str, list[float]]:
    """By arm, its difference to the reference in every block (fold and seed) that both have."""
    grid = board.grid
    found = grid.scores - grid.scores[grid.reference]
    return {
        arm: values[np.isfinite(values)].tolist()
        for index, (arm, values) in enumerate(zip(grid.arms, found, strict=True))
        if index != grid.reference
    }


def _forest(board: Leaderboard) -> Drawing | None:
    rows, reference = board.ablation, board.arms.reference
    if all(row["diff"] is None for row in rows):
        return None
    label = f"Forest plot of each arm's difference to {reference}; numbers in the tables"
    return drawing("forest", label, partial(difference_figures.forest, rows, board.margin, reference, blocks(board)))


def _effects(board: Leaderboard) -> Drawing | None:
    if not board.effects:
        return None
    label = "Forest plot of what each part is worth; numbers in the tables"
    return drawing("effects", label, partial(difference_figures.effects, board.effects, board.margin), _EFFECTS)


def _designs(both: Sequence[tuple[Row, Row]], reference: str) -> Drawing | None:
    if not any(fixed["diff"] is not None and tuned["diff"] is not None for fixed, tuned in both):
        return None
    label = f"Each arm's difference to {reference} in both designs; numbers in the table"
    return drawing("designs-figure", label, partial(difference_figures.designs, both, reference))


def _searches(board: Leaderboard) -> dict[str, list[Drawing]]:
    """How each search went, which fields mattered, and what accuracy costs where that was asked."""
    plots: dict[str, list[Drawing]] = {"histories": [], "importances": [], "fronts": []}
    for found in read_searches(board.study):
        name, where = f"{found.arm}-{found.fold}", f"{found.arm}, fold {found.fold}"
        if any(row["status"] != "failed" for row in found.explored):
            draw = partial(search_figures.history, found)
            plots["histories"].append(drawing(f"history-{name}", f"Search of {where}", draw))
        if shares := search_importances(found, board.plan):
            draw = partial(search_figures.importance, found, shares)
            plots["importances"].append(drawing(f"importance-{name}", f"Importances, {where}", draw))
        if found.goal.cost is not None and found.leading:
            draw = partial(search_figures.cost_front, found)
            plots["fronts"].append(drawing(f"front-{name}", f"Score against cost, {where}", draw))
    return plots


def _pareto(rows: Sequence[Row]) -> Drawing | None:
    if all(row["mean"] is None or not row["gflops_per_clip"] for row in rows):
        return None
    label = "Accuracy against operations per clip; numbers in the tables"
    return drawing("pareto", label, partial(figures.pareto, rows), _LARGE)


def _curves(found: evidence.Curves | None, reference: str) -> list[Drawing]:
    if found is None:
        return []
    values = np.concatenate([band.ravel() for band in found.bands.values()])
    room = 0.05 * float(np.ptp(values)) or 0.1
    limits = float(values.min()) - room, float(values.max()) + room
    arms = [arm for arm in found.bands if arm != reference] or [reference]
    panels = -(-len(arms) // _IN_A_PANEL)
    shown = [[str(arm) for arm in part] for part in np.array_split(np.array(arms, dtype=object), panels)]
    return [
        drawing(
            f"curves-{number}",
            f"Training loss of {', '.join(part)}",
            partial(figures.learning_curves, part, found.epochs, found.bands, limits, reference),
            _PANEL,
        )
        for number, part in enumerate(shown)
    ]


def _answers(board: Leaderboard) -> Sections:
    matrices = evidence.confusions(board)
    size = max((len(m) for found in matrices.values() for m in found.values()), default=0)
    classes, reference = _classes(board, size), board.arms.reference
    totals = {arm: sum(found.values(), np.zeros((size, size), np.int64)) for arm, found in matrices.items()}

    def matrix(arm: str, large: bool, width: int) -> Drawing:
        draw = partial(figures.confusion, arm, totals[arm], classes, large)
        return drawing(f"confusion-{arm}", f"Confusion matrix of {arm}", draw, width, None)

    differences = evidence.recall_differences(matrices, reference)
    heat = None
    if differences:
        draw = partial(figures.class_differences, list(differences), classes, np.stack(list(differences.values())))
        heat = drawing("classes", f"Recall per class, arm minus {reference}", draw, _LARGE, None)
    return {
        "confusion": matrix(reference, True, _LARGE - 120) if reference in totals else None,
        "numbered": len(classes) <= figures.TEXT_CLASSES,
        "confusions": [matrix(arm, False, _SMALL) for arm in totals if arm != reference],
        "classes": heat,
    }


def _classes(board: Leaderboard, size: int) -> list[str]:
    known = list(board.plan.get("classes", ()))
    return known if len(known) == size else [str(index) for index in range(size)]


def maps(
    board: Leaderboard,
    data: Path | None,
    known: features.KnownMaps | None,
    file: Path | None,
    meanwhile: Callable[[], None],
    code: "Loader | None" = None,
) -> Sections:
    """The section of Fig. 7, or why it is missing.

    Args:
        board: the study.
        data: where the data set lies.
        known, meanwhile, code: as for `features.feature_maps`.
        file: that the maps are also drawn to, if any.

    Raises:
        StudyError: there is to be a file, and there are no maps, or it can't be written.
    """
    try:
        found = features.feature_maps(board, data, known, meanwhile, code)
    except features.Unavailable as reason:
        if file is not None:
            raise StudyError(f"can't draw {file}: {reason}") from None
        return {"maps": [], "maps_missing": str(reason), "map_table": None, "map_legend": [], "map_trial": ""}
    classes = _classes(board, max(len(board.plan.get("classes", ())), int(found.targets.max()) + 1))
    if file is not None:
        draw_maps(found, classes, file)
    plots = []
    for index, stage in enumerate(found.maps):
        title = f"{stage.title} · silhouette {stage.silhouette:+.2f}"
        draw = partial(figures.scatter, title, stage.points, found.targets, classes)
        plots.append(drawing(f"map-{index}", f"t-SNE, {title}", draw, NARROW, None))
    legend = [
        (name, drawing(f"class-{index}", name, partial(figures.legend_mark, index), 12, None).wide)
        for index, name in enumerate(classes)
    ]
    rows = tuple((m.title, f"{m.silhouette:+.3f}", f"{m.silhouette_map:+.3f}") for m in found.maps)
    header = ("stage", "of the features", "of the map")
    return {
        "maps": plots,
        "maps_missing": "",
        "map_table": PaperTable("Silhouette scores", header, rows, frozenset({"stage"})),
        "map_legend": legend,
        "map_trial": _said_of(found.trial, found.clips),
    }


def _said_of(trial: Mapping[str, Any], clips: str) -> str:
    return f"{trial['arm']}, fold {trial['fold']}, seed {trial['replicate']}, {clips}"
