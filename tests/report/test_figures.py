"""Numbers on their way into figures."""

import colorsys
import contextlib
import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from sweeper.report import difference_figures, evidence, facts, features, figures
from sweeper.report.map_file import draw_maps
from sweeper.report.page import write_page
from sweeper.results.attempts import attempt, costs
from sweeper.results.leaderboard import derive
from sweeper.results.tables import StudyError
from sweeper.search_spaces.published import CITATION
from tests.report.conftest import EPOCHS
from tests.results.rows import grid, study_of
from tests.studies import ARMS


def test_the_front_is_what_nothing_beats_on_both():
    points = [(2.0, 0.7), (1.0, 0.6), (3.0, 0.65), (1.0, 0.5), (4.0, 0.7), (5.0, 0.9)]
    assert figures.front(points) == [1, 0, 5]


def test_the_forest_shows_each_interval_about_its_mean(board):
    figure = difference_figures.forest(board.summary, board.margin, "full")
    (trace,) = [trace for trace in figure["data"] if "error_x" in trace]
    rows = {row["arm"]: row for row in board.summary if row["diff"] is not None}
    assert trace["y"] == list(rows)
    ends = zip(trace["y"], trace["x"], trace["error_x"]["array"], trace["error_x"]["arrayminus"], strict=True)
    for arm, x, plus, minus in ends:
        assert x == pytest.approx(100 * rows[arm]["diff"], abs=1e-3)
        assert x + plus == pytest.approx(100 * rows[arm]["diff_high"], abs=2e-3)
        assert x - minus == pytest.approx(100 * rows[arm]["diff_low"], abs=2e-3)


def test_the_effects_figure_shows_ours_and_the_published(tmp_path):
    board = derive(study_of(tmp_path / "s", grid(dataset="urbansound8k")))
    ours, theirs = difference_figures.effects(board.effects, board.margin)["data"]
    for trace, source in ((ours, "study"), (theirs, "published")):
        rows = [row for row in board.effects if row["source"] == source]
        assert trace["x"] == pytest.approx([100 * row["estimate"] for row in rows], abs=1e-3)
        ends = [x + plus for x, plus in zip(trace["x"], trace["error_x"]["array"], strict=True)]
        assert ends == pytest.approx([100 * row["high"] for row in rows], abs=2e-3)
    (shade,) = difference_figures.effects(board.effects, 0.02)["layout"]["shapes"]
    assert (shade["x0"], shade["x1"]) == (-2.0, 2.0)


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
    assert curves.epochs.tolist() == list(range(1, EPOCHS + 1))
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


def test_a_file_has_the_pages_colours():
    for shade, colour in zip(figures.class_shades(7), figures.class_colours(7), strict=True):
        hue, saturation, lightness = (int(number) for number in re.findall(r"\d+", colour))
        assert colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100) == shade


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


def test_the_citation_is_the_repositorys():
    paper = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8"))["preferred-citation"]
    for name in ("title", "journal", "doi"):
        assert paper[name] in CITATION
    for name in ("volume", "year", "issue", "start", "end"):
        assert str(paper[name]) in CITATION
    for author in paper["authors"]:
        assert f"{author['given-names'][0]}. {author['family-names']}" in CITATION
