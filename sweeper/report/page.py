"""One HTML page about a study, which needs no network and no other file: plotly.js, data and style are inside."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import plotly.offline

from sweeper import __version__
from sweeper.report import difference_figures, evidence, facts, features, figures, search_figures
from sweeper.report.cells import count
from sweeper.report.designs import designs_table, pairs, sibling
from sweeper.report.effect_table import effect_notes
from sweeper.report.evidence import search_importances
from sweeper.report.rerun import rerun_command
from sweeper.report.tables import claim_of, document, rule_notes
from sweeper.results import leaderboard
from sweeper.results.folder import StorageError
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.searching import read_searches
from sweeper.results.store import Study
from sweeper.results.summary import MARGIN
from sweeper.results.tables import StudyError

_HERE = files("sweeper.report")


@dataclass(frozen=True)
class Plot:
    """A figure of the page: an id, what it shows in words, and Plotly's JSON."""

    name: str
    label: str
    figure: dict[str, Any]


def write_page(
    study: Study,
    output: Path | None = None,
    data: Path | None = None,
    price: float | None = None,
    against: Study | None = None,
    margin: float = MARGIN,
    say: Callable[[str], None] = lambda _line: None,
) -> str:
    """Write the report of a study.

    Args:
        study: the study.
        output: the page, None for report.html with the study; an existing one is replaced, at once and whole.
        data: where the data set lies, for the maps of its features.
        price: of a GPU, or without GPUs of a core, for an hour.
        against: the fixed design to show beside a tuned one; None: the one that the plan names, if it is there.
        margin: largest difference that doesn't matter, as a fraction of 1.
        say: takes a line about a study that may be read and not written.

    Returns:
        where the page lies.

    Raises:
        StudyError: the study has no trial, a damaged file, or `output` can't be written.
    """
    board = leaderboard.derive(study, margin)
    html = render(board, data, price, against)
    if output is None:
        try:
            study.storage.write("report.html", html.encode())
        except StorageError as error:
            raise StudyError(f"{error}; or use --output FILE") from error
        return f"{study}/report.html"
    if board.unwritten:
        say(f"the study's own tables were not written: {board.unwritten}")
    write_file(output, html)
    return str(output)


def write_file(output: Path, html: str) -> None:
    """Write a page, or replace it, at once and whole; raises StudyError where that can't be."""
    temporary = output.with_name(f".{output.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_text(html, "utf-8")
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StudyError(f"can't write {output}: {error.strerror}; use --output FILE") from error


def render(
    board: Leaderboard, data: Path | None = None, price: float | None = None, against: Study | None = None
) -> str:
    """The page as text; arguments as for `write_page`."""
    shown = document(board)
    fixed = sibling(board, against)
    both = [] if fixed is None else pairs(board, fixed)
    rows = board.ablation
    sections = {
        "forest": _forest(board),
        "effects": _effects(board),
        "pareto": _pareto(board.summary),
        "curves": _curves(evidence.curves(board), board.arms.reference),
        **_answers(board),
        **_features(board, data),
        **_searches(board),
        "designs": _designs(both, board.arms.reference),
    }
    template = environment().get_template("page.html")
    return template.render(
        document=shown,
        study=board.study.name,
        ablations=bool(rows),
        tables_title="Tables",
        searched=bool(board.plan.get("searches")),
        designs=None if fixed is None or not both else designs_table(board, fixed),
        synthetic=any(board.trials["synthetic"].unique().to_pylist()),
        question=facts.question(board),
        answer=shown.answer,
        data_facts=facts.data_facts(board),
        plots=sections,
        forest_clipped=_clipped(rows),
        recorded=any(row["recordings_low"] is not None for row in rows),
        claim=claim_of(rows),
        rule=rule_notes(board),
        effect_notes=effect_notes(board.effects),
        reference=board.arms.reference,
        published=bool(board.arms.published),
        claims=board.arms.protocol.get("claims", ()),
        cost=facts.cost_table(board, price),
        provenance=facts.provenance(board),
        design=json.dumps(board.plan.get("design", {}), indent=1, sort_keys=True),
        rerun=rerun_command(board.plan),
        citation=board.arms.protocol.get("citation", ""),
        version=__version__,
        figures=_script_safe({plot.name: plot.figure for plot in _plots(sections)}),
        plotly=plotly.offline.get_plotlyjs(),
        style=_HERE.joinpath("page.css").read_text("utf-8"),
        script=_HERE.joinpath("page.js").read_text("utf-8"),
    )


def environment() -> jinja2.Environment:
    """Templates of this package, which escape what they are given."""
    loader = jinja2.FunctionLoader(lambda name: _HERE.joinpath(name).read_text("utf-8"))
    return jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )


def _script_safe(value: Any) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _plots(sections: Mapping[str, Any]) -> list[Plot]:
    found = []
    for section in sections.values():
        found += [item for item in (section if isinstance(section, list) else [section]) if isinstance(item, Plot)]
    return found


def _forest(board: Leaderboard) -> Plot | None:
    rows = board.ablation
    if all(row["diff"] is None for row in rows):
        return None
    label = f"Forest plot of each arm's difference to {board.arms.reference}; numbers in the tables"
    return Plot("forest", label, difference_figures.forest(rows, board.margin, board.arms.reference))


def _effects(board: Leaderboard) -> Plot | None:
    if not board.effects:
        return None
    label = "Forest plot of what each part is worth; numbers in the tables"
    return Plot("effects", label, difference_figures.effects(board.effects, board.margin))


def _designs(both: Sequence[tuple[dict[str, Any], dict[str, Any]]], reference: str) -> Plot | None:
    if not any(fixed["diff"] is not None and tuned["diff"] is not None for fixed, tuned in both):
        return None
    label = f"Each arm's difference to {reference} in both designs; numbers in the table"
    return Plot("designs-figure", label, difference_figures.designs(both, reference))


def _searches(board: Leaderboard) -> dict[str, list[Plot]]:
    """How each search went, which fields mattered, and what accuracy costs where that was asked."""
    plots: dict[str, list[Plot]] = {"histories": [], "importances": [], "fronts": []}
    for found in read_searches(board.study):
        name, where = f"{found.arm}-{found.fold}", f"{found.arm}, fold {found.fold}"
        if any(row["status"] != "failed" for row in found.explored):
            plots["histories"].append(Plot(f"history-{name}", f"Search of {where}", search_figures.history(found)))
        if shares := search_importances(found, board.plan):
            drawn = search_figures.importance(found, shares)
            plots["importances"].append(Plot(f"importance-{name}", f"Importances, {where}", drawn))
        if found.goal.cost is not None and found.leading:
            drawn = search_figures.cost_front(found)
            plots["fronts"].append(Plot(f"front-{name}", f"Score against cost, {where}", drawn))
    return plots


def _clipped(rows: Sequence[dict[str, Any]]) -> bool:
    limit = difference_figures.forest_limit(rows) / 100
    return any(abs(row[name]) > limit for row in rows for name in ("diff_low", "diff_high") if row[name] is not None)


def _pareto(rows: Sequence[dict[str, Any]]) -> Plot | None:
    if all(row["mean"] is None or row["gflops_per_clip"] is None for row in rows):
        return None
    return Plot("pareto", "Accuracy against operations per clip; numbers in the tables", figures.pareto(rows))


def _curves(found: evidence.Curves | None, reference: str) -> list[Plot]:
    if found is None:
        return []
    values = np.concatenate([band.ravel() for band in found.bands.values()])
    room = 0.05 * float(np.ptp(values)) or 0.1
    top, bottom = float(values.max()) + room, float(values.min()) - room
    drawn = {arm: figures.learning_curve(arm, found.epochs, found.bands, top, bottom, reference) for arm in found.bands}
    return [Plot(f"curve-{arm}", f"Training loss of {arm}", figure) for arm, figure in drawn.items()]


def _answers(board: Leaderboard) -> dict[str, Any]:
    matrices = evidence.confusions(board)
    size = max((len(m) for blocks in matrices.values() for m in blocks.values()), default=0)
    classes = _classes(board, size)
    totals = {arm: sum(blocks.values(), np.zeros((size, size), np.int64)) for arm, blocks in matrices.items()}
    plots = [
        Plot(
            f"confusion-{arm}",
            f"Confusion matrix of {arm}",
            figures.confusion(arm, counts, classes, large=arm == board.arms.reference),
        )
        for arm, counts in totals.items()
    ]
    differences = evidence.recall_differences(matrices, board.arms.reference)
    heat = (
        Plot(
            "classes",
            f"Recall per class, arm minus {board.arms.reference}",
            figures.class_differences(list(differences), classes, np.stack(list(differences.values()))),
        )
        if differences
        else None
    )
    main = f"confusion-{board.arms.reference}"
    return {
        "confusion": next((plot for plot in plots if plot.name == main), None),
        "confusions": [plot for plot in plots if plot.name != main],
        "classes": heat,
    }


def _classes(board: Leaderboard, size: int) -> list[str]:
    known = list(board.plan.get("classes", ()))
    return known if len(known) == size else [str(index) for index in range(size)]


def _features(board: Leaderboard, data: Path | None) -> dict[str, Any]:
    """Fig. 7, or why it is missing."""
    try:
        found = features.feature_maps(board, data)
    except features.Unavailable as reason:
        return {"maps": [], "maps_missing": str(reason), "map_rows": [], "map_legend": [], "map_trial": ""}
    classes = _classes(board, max(len(board.plan.get("classes", ())), int(found.targets.max()) + 1))
    plots = []
    for index, stage in enumerate(found.maps):
        title = f"{stage.title} · silhouette {stage.silhouette:+.2f}"
        plots.append(
            Plot(f"map-{index}", f"t-SNE, {title}", figures.scatter(title, stage.points, found.targets, classes))
        )
    trial = found.trial
    return {
        "maps": plots,
        "maps_missing": "",
        "map_rows": [(m.title, f"{m.silhouette:+.3f}", f"{m.silhouette_map:+.3f}") for m in found.maps],
        "map_legend": list(zip(classes, figures.class_colours(len(classes)), strict=True)),
        "map_trial": f"{trial['arm']}, fold {trial['fold']}, seed {trial['replicate']}, "
        f"{count(len(found.targets), 'test clip')}",
    }
