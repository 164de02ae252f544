"""Numbers on their way into figures."""

import contextlib
import os
import re
import time
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from sweeper.report import difference_figures, drawing, evidence, facts, features, figures
from sweeper.report.cells import points
from sweeper.report.drawing import COLOUR
from sweeper.report.map_file import draw_maps
from sweeper.report.page import write_page
from sweeper.report.page_figures import blocks
from sweeper.results.attempts import attempt, costs
from sweeper.results.leaderboard import derive
from sweeper.results.tables import StudyError
from sweeper.search_spaces.published import CITATION
from sweeper.tools.status import status
from tests.report.conftest import EPOCHS
from tests.results.rows import grid, study_of
from tests.studies import ARMS


def test_the_front_is_what_nothing_beats_on_both():
    points = [(2.0, 0.7), (1.0, 0.6), (3.0, 0.65), (1.0, 0.5), (4.0, 0.7), (5.0, 0.9)]
    assert figures.front(points) == [1, 0, 5]


RNG_POINTS = np.random.default_rng(0).normal(size=(20, 2))


def marks(figure):
    """What the pointer is told, and where it is: `{words: (x, y)}`."""
    found = {}
    for line in figure.axes[0].lines:
        if (said := line.get_gid() or "").startswith("hover: "):
            found[said.removeprefix("hover: ")] = float(line.get_xdata()[0]), float(line.get_ydata()[0])
    return found


def whiskers(figure, y):
    """Ends of what is drawn at this height as a line of two points, and the markers at its ends."""
    at = [line for line in figure.axes[0].lines if np.allclose(line.get_ydata(), y) and line.get_linestyle() != ":"]
    ends = next((tuple(map(float, line.get_xdata())) for line in at if len(line.get_xdata()) == 2), None)
    return ends, [line.get_marker() for line in at if line.get_marker() in ("|", "<", ">")]


def test_the_forest_shows_each_interval_about_its_mean(board):
    figure = difference_figures.forest(board.ablation, board.margin, "full", blocks(board), 640)
    limit = difference_figures.forest_limit(board.ablation, blocks(board))
    rows = [row for row in board.ablation if row["diff"] is not None]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [row["arm"] for row in rows]
    for y, row in enumerate(rows):
        (place,) = [at for said, at in marks(figure).items() if said.startswith(f"{row['arm']}: ") and at[1] == y
                    and "published" not in said]  # fmt: skip
        assert place[0] == pytest.approx(100 * row["diff"])
        (low, high), ends = whiskers(figure, y)
        assert low == pytest.approx(max(100 * row["diff_low"], -limit))
        assert high == pytest.approx(min(100 * row["diff_high"], limit))
        assert ends == ["<" if 100 * row["diff_low"] < -limit else "|", ">" if 100 * row["diff_high"] > limit else "|"]


def test_the_forest_shows_every_block(board):
    found = blocks(board)
    rows = [row for row in board.ablation if row["diff"] is not None]
    figure = difference_figures.forest(board.ablation, board.margin, "full", found, 640)
    for y, row in enumerate(rows):
        dots = [line for line in figure.axes[0].lines if np.allclose(line.get_ydata(), y - 0.2)]
        assert sorted(float(dot.get_xdata()[0]) for dot in dots) == pytest.approx(
            sorted(100 * value for value in found[row["arm"]])
        )
        assert len(dots) == 3
        assert np.mean(found[row["arm"]]) == pytest.approx(row["diff"])


def test_an_interval_that_leaves_the_axis_ends_in_an_arrowhead(board):
    rows = [dict(row) for row in board.ablation]
    rows[0] |= {"diff": -0.01, "diff_low": -0.99, "diff_high": 0.97}
    figure = difference_figures.forest(rows, board.margin, "full", {}, 640)
    limit = difference_figures.forest_limit(rows)
    assert limit < 97
    assert whiskers(figure, 0) == (pytest.approx((-limit, limit)), ["<", ">"])


def test_what_the_bootstrap_says_looks_like_no_interval(board):
    rows = [row | {"recordings_low": -0.2, "recordings_high": -0.1} for row in board.ablation]
    figure = difference_figures.forest(rows, board.margin, "full", {}, 640)
    thin = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert len(thin) == sum(row["diff"] is not None for row in rows)
    assert {line.get_color() for line in thin} == {COLOUR["muted"]}, "none of the colours of a verdict"


def test_a_verdict_has_a_shape_and_a_colour_of_its_own(board):
    shapes = set()
    for outcome in ("worse", "better", "equivalent", "undecided"):
        rows = [row | {"outcome": outcome} for row in board.ablation if row["diff"] is not None][:1]
        figure = difference_figures.forest(rows, board.margin, "full", {}, 640)
        (mark,) = [line for line in figure.axes[0].lines if (line.get_gid() or "").endswith(f", {outcome}")]
        shapes.add((mark.get_marker(), mark.get_markerfacecolor()))
    assert len(shapes) == len({shape for shape, _ in shapes}) == len({colour for _, colour in shapes}) == 4


def test_the_effects_figure_shows_ours_and_the_published(tmp_path):
    board = derive(study_of(tmp_path / "s", grid(dataset="urbansound8k")))
    figure = difference_figures.effects(board.effects, 0.02, 540)
    found = marks(figure)
    for row in board.effects:
        said = f"{row['effect']}: {points(row['estimate'])} "
        theirs = row["source"] == "published"
        (place,) = [at for words, at in found.items() if words.startswith(said) and ("(published)" in words) == theirs]
        assert place[0] == pytest.approx(100 * row["estimate"])
    (shade,) = figure.axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((-2.0, 2.0))


def test_accuracy_against_cost_names_every_arm_on_a_log_axis(board):
    figure = figures.pareto(board.ablation, 720)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert len(axes.get_xticks()) >= 2
    assert sorted(text.get_text() for text in axes.texts) == sorted(row["arm"] for row in board.ablation)
    heights = sorted(text.xyann[1] for text in axes.texts)
    unit = (axes.get_ylim()[1] - axes.get_ylim()[0]) / 282
    assert min(np.diff(heights)) >= 14.9 * unit, "no name lies on another"
    for row in board.ablation:
        bar = [line for line in axes.lines if list(line.get_xdata()) == [row["gflops_per_clip"]] * 2]
        assert bar, "each has its interval"


def test_learning_curves_come_a_few_to_a_panel_with_names_on_the_axes(board):
    found = evidence.curves(board)
    figure = figures.learning_curves(["garm", "fusion-sum"], found.epochs, found.bands, (0, 3), "full", 420)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "training loss")
    assert {text.get_text() for text in axes.texts} == {"full", "garm", "fusion-sum"}
    garm = next(line for line in axes.lines if (line.get_gid() or "").startswith("hover: garm"))
    assert garm.get_ydata() == pytest.approx(found.bands["garm"][0])


def test_confusions_print_no_zeros(board):
    (counts, *_) = (sum(found.values()) for found in evidence.confusions(board).values())
    counts = counts.copy()
    counts[0] = 0
    counts[0, 0], counts[0, 1] = 1000, 1  # a tenth of a percent
    figure = figures.confusion("full", counts, [f"class {i}" for i in range(10)], True, 600)
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert "0" not in numbers
    assert len(numbers) == np.count_nonzero(counts) - 1
    assert len(figure.axes[0].patches) == np.count_nonzero(counts)
    small = figures.confusion("garm", counts, [f"class {i}" for i in range(10)], False, 264)
    assert [label.get_text() for label in small.axes[0].get_xticklabels()] == [f"class {i}" for i in range(10)]


def test_classes_are_told_apart_without_colours_too():
    looks = [figures.class_mark(index) for index in range(56)]
    assert len(set(looks)) == 56
    assert len({shape for _, shape in looks[:7]}) == 7


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0.1, 3))
def test_labels_lie_apart_and_in_order(wanted, apart):
    places = drawing.spaced(wanted, apart, 0.0, 100.0)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    steps = np.diff([places[i] for i in order])
    assert (steps >= apart * (1 - 1e-6) - 1e-9).all()
    assert max(places) <= 100 + 1e-9
    assert min(places) >= min(0.0, *wanted) - 1e-9


def test_a_figure_names_its_colours_and_hides_no_markup():
    def draw(width):
        figure, axes = drawing.sheet(width, 100)
        (mark,) = axes.plot([1], [2], "o", color=drawing.COLOUR["worse"])
        drawing.hover(mark, "<script>&$x$\x00")
        axes.set_title("$\\frac{1}{2}$ <b>")
        return figure

    drawn = drawing.drawing("name", "label", draw)
    root = ElementTree.fromstring(drawn.wide)
    said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert said == ["<script>&$x$\\x00"]
    assert "$\\frac{1}{2}$ <b>" in "".join(root.itertext())
    assert "var(--worse)" in drawn.wide
    assert not re.search("#01f0", drawn.wide)
    assert "DejaVu" not in drawn.wide
    assert set(re.findall(r' id="([^"]+)"', drawn.wide)).isdisjoint(re.findall(r' id="([^"]+)"', drawn.narrow))


def test_letters_that_the_font_lacks_are_the_readers_to_draw(recwarn):
    def draw(width):
        figure, axes = drawing.sheet(width, 100)
        axes.set_title(drawing.fitted(["日本"], 100)[0])
        return figure

    assert "日本" in drawing.drawing("name", "label", draw).wide
    assert [str(warning.message) for warning in recwarn] == []


def test_confusions_add_up_to_the_scores(board):
    matrices = evidence.confusions(board)
    for row in board.summary:
        blocks = matrices[row["arm"]].values()
        assert np.mean([np.trace(m) / m.sum() for m in blocks]) == pytest.approx(row["mean"])
    assert list(matrices) == [arm for arm in ARMS if arm in matrices]


def test_recall_differences_are_weighted_into_the_difference(board):
    matrices = evidence.confusions(board)
    differences = evidence.recall_differences(matrices, "full")
    counts = next(iter(matrices["garm"].values())).sum(axis=1)
    garm = next(row for row in board.summary if row["arm"] == "garm")
    assert np.average(differences["garm"], weights=counts) == pytest.approx(100 * garm["diff"])
    assert "full" not in differences


def test_bands_hold_all_blocks(board):
    curves = evidence.curves(board)
    mean, low, high = curves.bands["full"]
    assert curves.epochs["full"].tolist() == list(range(1, EPOCHS + 1))
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert (low < high).any()


def test_maps_of_every_stage_and_their_silhouettes(board, demo_store):
    found = features.feature_maps(board, None)
    assert [stage.title for stage in found.maps] == ["raw audio", "detail branch", "semantic branch", "fused"]
    for stage in found.maps:
        assert stage.points.shape == (120, 2)
        assert -1 <= stage.silhouette <= 1
        assert -1 <= stage.silhouette_map <= 1
    assert len(np.unique(found.targets)) == 10
    assert found.trial["arm"] == "full"
    assert (found.tested, found.clips) == (120, "all 120 test clips"), "the whole test set"


def test_silhouettes_and_components_are_those_of_the_features_themselves(monkeypatch):
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 3
    values = (rng.normal(size=(60, 90)) + targets[:, None]).astype(np.float32)
    monkeypatch.setattr(features, "BLOCK", 32)  # several, the last one smaller
    found = features._map("x", values, targets)
    assert found.silhouette == pytest.approx(silhouette_score(values, targets), abs=1e-5)
    ours = features._principal_components(features._inner_products(values), 5)
    theirs = PCA(5).fit_transform(values.astype(np.float64))
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-6)


def test_a_very_large_test_set_is_shown_in_part_and_says_so(board, demo_store, monkeypatch):
    monkeypatch.setattr(features, "MAX_CLIPS", 50)
    found = features.feature_maps(board, None)
    assert found.clips == "50 of 120 test clips, evenly spaced"
    assert len(found.targets) == len(found.maps[0].points) == 50


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_maps_are_a_file_of_their_own(suffix, tmp_path):
    rng = np.random.default_rng(0)
    stage = features.FeatureMap("fused", rng.normal(size=(30, 2)), 0.5, 0.4)
    trial = {"arm": "full", "dataset": "demo", "split": "official", "fold": 1, "replicate": 0}
    maps = features.FeatureMaps((stage, stage), np.arange(30) % 3, trial, 30)
    path = tmp_path / "new folder" / f"fig7.{suffix}"
    draw_maps(maps, ["a", "b", "c"], path)
    assert path.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    assert list(path.parent.iterdir()) == [path]


def test_a_file_of_maps_that_can_not_be_drawn_is_told(spoiled, tmp_path):
    for path, why in ((tmp_path / "fig7.doc", "expected a name in .png, .svg, .pdf"), (tmp_path / "fig7.png", "gone")):
        with pytest.raises(StudyError, match=re.escape(f"can't draw {path}: ") + f".*{re.escape(why)}"):
            write_page(spoiled, tmp_path / "page.html", tsne=path)
    assert not list(tmp_path.glob("*.png")) and not (tmp_path / "page.html").exists()


def test_why_there_is_no_map(board, spoiled, monkeypatch, demo_store):
    with pytest.raises(features.Unavailable, match="the weights of full, fold 1, seed 0 are gone"):
        features.feature_maps(derive(spoiled), None)
    monkeypatch.setattr(features.datasets, "load", lambda *_: (_ for _ in ()).throw(features.DatasetError("no folder")))
    with pytest.raises(features.Unavailable, match="no folder"):
        features.feature_maps(board, None)


def test_the_cost_of_attempts_is_counted(board):
    header, rows = facts.cost_table(board)
    everything = dict(zip(header, rows[-1], strict=True))
    assert (everything["arm"], everything["trials"], everything["attempts"]) == ("all", "12", "12")
    assert everything["training s"] == "150"


def test_cost_in_money(board):
    held, wasted = (sum(board.trials.column(f"{name}device_seconds").to_pylist()) for name in ("", "waste_"))
    sentence = facts.cost_sentence(board, 36_000.0)
    assert f"cost: {held:,.0f} core-seconds held, {wasted:,.0f} of them" in sentence
    assert sentence.endswith(f"; {held * 10:,.2f} at 36000 per core-hour")
    assert "hour" not in facts.cost_sentence(board)
    header, rows = facts.cost_table(board, 36_000.0)
    everything = dict(zip(header, rows[-1], strict=True))
    assert float(everything["at 36000 per device-hour"]) == pytest.approx(
        10 * sum(cost.device_seconds for cost in costs(board.study).values()), abs=0.01
    )


def test_an_attempt_that_never_became_a_row_still_costs(spoiled):
    last = spoiled.read_plan()["trials"][-1]["trial_id"]
    with contextlib.suppress(OSError), attempt(spoiled, last, device="cpu", cpus=2000.0, gpus=0.0):
        time.sleep(0.01)
        raise OSError
    header, rows = facts.cost_table(derive(spoiled))
    held = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert int(held["fusion-sum"]["of it wasted"]) == int(held["all"]["of it wasted"]) >= 20
    assert held["garm"]["attempts"] == "–"


def test_the_sentence_of_the_cost_counts_attempts_of_trials_that_did_not_finish(spoiled):
    (unfinished,) = {trial["trial_id"] for trial in spoiled.read_plan()["trials"]} - spoiled.finished()
    rows = spoiled.trials().to_pylist()
    without = sum(row["device_seconds"] for row in rows)
    wasted = sum(row["waste_device_seconds"] for row in rows)
    assert f"cost: {without:,.0f} core-seconds held, {wasted:,.0f} of them" in facts.cost_sentence(derive(spoiled))
    explored = "e" * 16  # by a search, which plans no trial
    for trial_id, outcome in ((unfinished, "stopped"), (unfinished, "lost"), (explored, "stopped")):
        with attempt(spoiled, trial_id, device="cpu", cpus=100_000.0, gpus=0.0) as running:
            time.sleep(0.01)
            running.outcome = outcome
    ended = sum(cost.device_seconds for cost in costs(spoiled).values())
    assert ended > 3000
    assert status(spoiled).device_seconds == pytest.approx(ended)
    board = derive(spoiled)
    # The trials with a row have no attempts in this copy: theirs is what their rows say, and nothing is counted twice.
    sentence = facts.cost_sentence(board, 36_000.0)
    assert f"cost: {without + ended:,.0f} core-seconds held, {wasted + ended:,.0f} of them" in sentence
    assert f"; {(without + ended) * 10:,.2f} at 36000 per core-hour" in sentence
    header, table = facts.cost_table(board)
    assert float(dict(zip(header, table[-1], strict=True))["device-s held"]) == pytest.approx(ended, abs=1)


def test_what_runs_has_a_cost_and_is_no_waste(spoiled):
    (unfinished,) = {trial["trial_id"] for trial in spoiled.read_plan()["trials"]} - spoiled.finished()
    with attempt(spoiled, unfinished, device="cpu", cpus=100_000.0, gpus=0.0):
        path = spoiled.folder / "attempts" / next(iter(spoiled.storage.files("attempts")))
        os.utime(path, (time.time() + 1, time.time() + 1))  # its heartbeat
        cost = costs(spoiled)[unfinished]
        assert cost.device_seconds > 90_000 and cost.waste_device_seconds == 0


def test_a_damaged_attempt_does_not_keep_its_cost_from_being_told(spoiled):
    (spoiled.folder / "attempts").mkdir()
    (spoiled.folder / "attempts" / f"{'a' * 16}-{'b' * 12}.parquet").write_bytes(b"?")
    assert facts.cost_sentence(derive(spoiled)).startswith("cost: ")


def test_the_citation_is_the_repositorys():
    paper = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8"))["preferred-citation"]
    for name in ("title", "journal", "doi"):
        assert paper[name] in CITATION
    for name in ("volume", "year", "issue", "start", "end"):
        assert str(paper[name]) in CITATION
    for author in paper["authors"]:
        assert f"{author['given-names'][0]}. {author['family-names']}" in CITATION


def test_a_map_of_thousands_of_clips_stays_light():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(5000, 2)) * 40, rng.integers(0, 10, 5000)
    classes = [f"class {i}" for i in range(10)]
    drawn = drawing.drawing("map", "map", partial(figures.scatter, "fused", points, targets, classes), 344, None)
    assert len(drawn.wide) < 100_000
    dots = re.findall(r"<title>([^<]*)</title><path d=\"([^\"]*)\"", drawn.wide)
    assert {name: path.count("h0") for name, path in dots} == dict(
        zip(classes, np.bincount(targets).tolist(), strict=True)
    )


def test_each_arm_has_its_own_last_epoch(board, monkeypatch):
    losses = {"full": np.arange(8.0, 0.0, -1.0), "garm": np.arange(4.0, 0.0, -1.0)}
    trials = {arm: {0: {"arm": arm}} for arm in losses}
    monkeypatch.setattr(evidence, "complete_trials", lambda _board: trials)
    monkeypatch.setattr(evidence, "_loss", lambda _board, row: losses[row["arm"]])
    found = evidence.curves(board)
    assert {arm: epochs[-1] for arm, epochs in found.epochs.items()} == {"full": 8, "garm": 4}
    figure = figures.learning_curves(["garm"], found.epochs, found.bands, (0.0, 9.0), "full", 460)
    assert {"full: 1.000 in epoch 8", "garm: 1.000 in epoch 4"} <= marks(figure).keys()


@pytest.mark.filterwarnings("error")
def test_names_in_a_file_of_maps_are_no_formulas(board, tmp_path):
    classes = ["$^$ under", "$x_1^2$ 100% #1", "狗", *map(str, range(7))]
    targets = np.arange(20) % 10
    maps = (features.FeatureMap("raw audio", RNG_POINTS, 0.1, 0.1),)
    found = features.FeatureMaps(
        maps, targets, {"arm": "a", "dataset": "d", "split": "s", "fold": 1, "replicate": 0}, 20
    )
    draw_maps(found, classes, tmp_path / "maps.svg")
    draw_maps(found, classes, tmp_path / "maps.png")


def test_clips_that_have_a_class_each_have_no_map(board, monkeypatch):
    plain = features._features

    def alone(*args):
        stages, _, tested = plain(*args)
        return {name: values[:6] for name, values in stages.items()}, np.arange(6), tested

    monkeypatch.setattr(features, "_features", alone)
    with pytest.raises(features.Unavailable, match="6 test clips of 6 classes are too few"):
        features.feature_maps(board, None)


def test_names_that_begin_alike_keep_their_ends():
    names = [f"an arm with quite a long name {letter}" for letter in "abc"]
    shown = drawing.fitted([*names, "another one that is quite as long as these"], 120, 11)
    assert len(set(shown)) == 4 and [name[-1] for name in shown[:3]] == list("abc") and shown[3].endswith("…")
    assert all(drawing.text_width([name], 11) <= 120 for name in shown)
