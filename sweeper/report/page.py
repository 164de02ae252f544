"""One HTML page about a study, which needs no network and no other file: figures, style and script are inside."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from sweeper import __version__
from sweeper.named_file import write_named
from sweeper.report import facts, page_figures
from sweeper.report.answer import in_a_sentence
from sweeper.report.beside import Beside
from sweeper.report.cells import PaperTable
from sweeper.report.designs import designs_table, pairs, sibling
from sweeper.report.effect_table import effect_notes
from sweeper.report.features import KnownMaps
from sweeper.report.formats import csv_table, latex_table
from sweeper.report.map_file import check_map_file
from sweeper.report.rerun import rerun_command
from sweeper.report.tables import claim_of, document, rule_notes
from sweeper.results import leaderboard
from sweeper.results.folder import Folder, StorageError
from sweeper.results.leaderboard import Leaderboard
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

if TYPE_CHECKING:
    from sweeper.training.weights import Loader

_HERE = files("sweeper.report")


def write_page(
    study: Study,
    output: Path | None = None,
    data: Path | None = None,
    price: float | None = None,
    against: Study | None = None,
    margin: float | None = None,
    say: Callable[[str], None] = lambda _line: None,
    tsne: Path | None = None,
    code: "Loader | None" = None,
) -> str:
    """Write the report of a study.

    Args:
        study: the study.
        output: the page, None for report.html with the study; an existing one is replaced, at once and whole.
        data: where the data set lies, for the maps of its features.
        price: of a GPU, or without GPUs of a core, for an hour.
        against: the fixed design to show beside a tuned one; None: the one that the plan names, if it is there.
        margin: largest difference that doesn't matter, as a fraction of 1; None: what the study was run with.
        say: takes a line about a study that may be read and not written.
        tsne: also draws the maps of its features there, as PNG, SVG or PDF.
        code: finds the network's class for the maps, where that is the study's own; its code is run.

    Returns:
        where the page lies.

    Raises:
        StudyError: the study has no trial, a damaged file, or `output` or `tsne` can't be written.
    """
    if tsne is not None:
        check_map_file(tsne)
    board = leaderboard.derive(study, margin)
    html = render(board, data, price, against, tsne=tsne, code=code)
    if output is None:
        try:
            study.storage.write("report.html", html.encode())
        except StorageError as error:
            raise StudyError(f"{error}; or use --output FILE") from error
        return f"{study}/report.html"
    if board.unwritten:
        say(f"the study's own tables were not written: {board.unwritten}")
    return save_page(html, output)


def save_page(html: str, output: Path) -> str:
    """Write a page, at once and whole; returns where it lies. Raises StudyError where that is not possible."""
    try:
        write_named(output, html.encode())
    except OSError as error:
        raise StudyError(f"can't write {output}: {error.strerror}; use --output FILE") from error
    return str(output)


def render(
    board: Leaderboard,
    data: Path | None = None,
    price: float | None = None,
    against: Study | None = None,
    *,
    live: int = 0,
    known_maps: KnownMaps | None = None,
    tsne: Path | None = None,
    code: "Loader | None" = None,
) -> str:
    """The page as text; other arguments as for `write_page`.

    Args:
        live: number of this page among those served of the study, from 1; 0 where it is a file.
        known_maps: as for `features.feature_maps`.
    """
    with Beside(_content, board, price, against) as content:
        maps = page_figures.maps(board, data, known_maps, tsne, _begin(content, board, against), code)
        made = content.result()
    made["tables"] += [maps["map_table"]] if maps["map_table"] else []
    return page("page.html", live=live, **made | {"plots": made["plots"] | maps})


def _begin(content: Beside[dict[str, Any]], board: Leaderboard, against: Study | None) -> Callable[[], None]:
    """What begins the content in another process; nothing where studies lie in a store, as connections stay here."""
    studies = (board.study,) if against is None else (board.study, against)
    return content.begin if all(isinstance(study.storage, Folder) for study in studies) else lambda: None


def _content(board: Leaderboard, price: float | None, against: Study | None) -> dict[str, Any]:
    """What the page shows besides the maps."""
    shown = document(board)
    fixed = sibling(board, against)
    both = [] if fixed is None else pairs(board, fixed)
    rows = board.ablation
    designs = None if fixed is None or not both else designs_table(board, fixed)
    header, spent = facts.cost_table(board, price)
    words = frozenset({"arm"})
    cost = PaperTable("What each arm took", header, tuple(spent), words, reference=board.arms.reference)
    claims = tuple(tuple(claim) for claim in board.arms.protocol.get("claims", ()))
    said = PaperTable("Statements of the source", ("where", "it says", "what we find"), claims, frozenset({"where"}))
    tables = [*shown.tables, cost, *([designs] if designs else []), *([said] if claims else [])]
    return dict(
        tables=tables,
        caption=shown.heading,
        notes=(*shown.answer, *shown.notes, *shown.problems),
        document=shown,
        title=board.study.name,
        ablations=bool(rows),
        searched=bool(board.plan.get("searches")),
        designs=designs,
        synthetic=any(board.trials["synthetic"].unique().to_pylist()),
        question=facts.question(board),
        lead=in_a_sentence(board),
        answer=shown.answer,
        data_facts=facts.data_facts(board),
        plots=page_figures.sections(board, both),
        forest_clipped=page_figures.clipped(board),
        recorded=any(row["recordings_low"] is not None for row in rows),
        claim=claim_of(rows),
        rule=rule_notes(board),
        effect_notes=effect_notes(board.effects),
        reference=board.arms.reference,
        published=any(row["published_diff"] is not None for row in rows),
        published_effects=any(row["source"] == "published" for row in board.effects),
        claims=said,
        cost=cost,
        provenance=facts.provenance(board),
        design=json.dumps(board.plan.get("design", {}), indent=1, sort_keys=True),
        rerun=rerun_command(board.plan, margin=board.margin, folder=board.study.name),
        citation=board.arms.protocol.get("citation", ""),
    )


def page(
    template: str,
    *,
    live: int,
    tables: Sequence[PaperTable],
    caption: str,
    notes: Sequence[str],
    **content: Any,
) -> str:
    """A page from a template beside this file.

    Args:
        template: its name.
        live: as for `render`.
        tables: that can be saved.
        caption: of a saved table, after its title.
        notes: of a saved table.
        content: what the template shows.
    """
    script = _text("page.js") + (_text("live.js") if live else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = {table: f"table-{number}" for number, table in enumerate(tables)}
    texts = {
        names[table]: {"csv": csv_table(table), "tex": latex_table(table, f"{table.title}. {caption}", notes)}
        for table in tables
    }
    return (
        environment()
        .get_template(template)
        .render(
            **content,
            live=live,
            table_names=names,
            texts=_script_safe(texts),
            version=__version__,
            style=_text("page.css"),
            script=script,
            script_digest=digest,
        )
    )


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text("utf-8")


def environment() -> jinja2.Environment:
    """Templates of this package, which escape what they are given."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _script_safe(value: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")
