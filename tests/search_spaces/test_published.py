"""The paper's tables are typed correctly, and what is said about its text can be recomputed from them."""

import ast
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.search_spaces import published, published_claims
from sweeper.search_spaces.published import TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7
from tests.studies import ARMS, TABLES

COMPARISONS = {"ESC-50": TABLE_1, "UrbanSound8K": TABLE_2, "RAVDESS": TABLE_3, "CREMA-D": TABLE_4}
CLAIMS = {claim.key: claim for claim in published_claims.CLAIMS}
US8K_CLIPS = 8732

ESC50_NAMES = """
dogs, chickens, pigs, cows, frogs, cats, hens, flying insects, sheep, crows, rain, waves, fire
crackling, crickets, bird calls, water drops, wind, water pouring, toilet flushing, thunderstorms,
baby crying, sneezing, clapping, breathing, coughing, footsteps, laughter, brushing teeth, snoring,
drinking/drinking, knocking, mouse clicking, keyboard typing, door, wood creaking, opening a can,
washing machine, vacuum cleaner, alarm clock, clock ticking, glass breaking, helicopters, chainsaws,
sirens, car horns, engines, trains, church bells, airplanes, fireworks, handsaws
"""
RAVDESS_LEVELS = "relaxed, happy, sad, angry, scared, disgusted, surprised"


def ours(table):
    return next(row.accuracy for row in table if row.reference is None)


def accuracies(table, reference):
    return [row.accuracy for row in table if row.reference == reference]


def over(table, reference):
    return ours(table) - max(accuracies(table, reference))


def names(listing):
    return [name for name in listing.replace("\n", " ").split(",") if name.strip()]


def printable(percent, clips):
    """Whether k / clips rounds to the printed percentage for some whole k (the GRIM test)."""
    return math.ceil((percent - 0.005) * clips / 100 - 1e-9) <= math.floor((percent + 0.005) * clips / 100 + 1e-9)


def ablation_accuracies():
    return {row.accuracy for table in (TABLE_6, TABLE_7) for row in table.values()}


def test_sizes_consistent_with_all_ablations():
    sizes = [n for n in range(50, 3000) if all(printable(percent, n) for percent in ablation_accuracies())]
    assert sizes == [803, 1606, 2409]
    assert not printable(TABLE_6["full"].accuracy, 1746)
    assert not printable(TABLE_6["full"].accuracy, 1747)


def half_width(percent, clips):
    return 1.96 * math.sqrt(percent * (100 - percent) / clips)


PAIRS = ("macem-a+b", "macem-b+garm", "macem-a+garm")
RECOMPUTE: dict[str, Callable[[], float]] = {
    "all-modules": lambda: TABLE_6["full"].accuracy - TABLE_6["dual-branch"].accuracy,
    "best-pair": lambda: TABLE_6["macem-b+garm"].accuracy - TABLE_6["dual-branch"].accuracy,
    "every-combination-helps": lambda: TABLE_6["macem-a+garm"].accuracy - TABLE_6["garm"].accuracy,
    "full-over-pairs": lambda: TABLE_6["full"].accuracy - max(TABLE_6[pair].accuracy for pair in PAIRS),
    "test-clips": lambda: next(
        n for n in range(50, US8K_CLIPS) if all(printable(percent, n) for percent in ablation_accuracies())
    ),
    "esc50-over-43": lambda: over(TABLE_1, 17),
    "esc50-over-stft": lambda: max(ours(TABLE_1) - r.accuracy for r in TABLE_1 if r.representation == "STFT-spec"),
    "us8k-over-17": lambda: over(TABLE_2, 17),
    "us8k-mel-rows": lambda: sum(r.representation == "Mel-spec" for r in TABLE_2 if r.reference in (18, 27, 63)),
    "us8k-raw-over-fbsp": lambda: max(accuracies(TABLE_2, 17)) - max(accuracies(TABLE_2, 27)),
    "ravdess-over-72": lambda: over(TABLE_3, 72),
    "ravdess-over-68": lambda: over(TABLE_3, 68),
    "rows-repeated": lambda: len(
        {(r.representation, r.pretrained, r.accuracy) for r in TABLE_2}
        & {(r.representation, r.pretrained, r.accuracy) for r in TABLE_3}
    ),
    "cremad-over-78": lambda: over(TABLE_4, 78),
    "cremad-over-17": lambda: over(TABLE_4, 17),
    "one-averaging": lambda: sum(row.recall == row.accuracy for row in TABLE_5.values()),
    "end-to-end": lambda: sum(
        row.end_to_end and row.representation != "Raw" for table in COMPARISONS.values() for row in table
    ),
    "three-data-sets": lambda: len(TABLE_5),
    "ravdess-speakers": lambda: 1440 / 60,
    "ravdess-levels": lambda: len(names(RAVDESS_LEVELS)),
    "esc50-classes": lambda: len(names(ESC50_NAMES)),
}


def test_every_recomputable_claim_has_its_recomputation():
    assert len(CLAIMS) == len(published_claims.CLAIMS)
    assert {key for key, claim in CLAIMS.items() if claim.recomputed is not None} == set(RECOMPUTE)


@pytest.mark.parametrize("key", RECOMPUTE)
def test_recomputed_numbers(key):
    assert round(RECOMPUTE[key](), 2) == pytest.approx(CLAIMS[key].recomputed, abs=1e-9)


@pytest.mark.parametrize("key", [key for key, claim in CLAIMS.items() if claim.holds and claim.printed])
def test_a_claim_that_holds_has_its_number(key):
    assert CLAIMS[key].recomputed == CLAIMS[key].printed


def test_numbers_within_the_findings():
    t6 = {arm: row.accuracy for arm, row in TABLE_6.items()}
    assert t6["macem-a+b"] == t6["macem-b+garm"] == max(t6[pair] for pair in PAIRS)
    assert t6["macem-a+garm"] - t6["macem-a"] == pytest.approx(-0.13)
    assert max(t6[single] for single in ("macem-a", "macem-b", "garm")) - t6["dual-branch"] == pytest.approx(1.62)
    better_member = {"macem-a+b": "macem-b", "macem-b+garm": "garm", "macem-a+garm": "garm"}
    assert max(t6[pair] - t6[single] for pair, single in better_member.items()) == pytest.approx(0.25)
    assert half_width(90.91, 803) == pytest.approx(1.99, abs=0.005)
    assert half_width(90.91, 1746) == pytest.approx(1.35, abs=0.005)
    assert round(0.9091 * 803) - round(0.8929 * 803) == 13
    assert round(100 * 803 / US8K_CLIPS, 1) == 9.2

    stft = [ours(TABLE_1) - row.accuracy for row in TABLE_1 if row.representation == "STFT-spec"]
    assert min(stft) == pytest.approx(4.05)
    not_end_to_end = [ours(TABLE_1) - row.accuracy for row in TABLE_1 if not row.end_to_end]
    assert min(not_end_to_end) == pytest.approx(1.95) == over(TABLE_1, 27)
    assert not accuracies(TABLE_1, 43)
    assert all(round(ours(TABLE_2) - row.accuracy, 2) != 5.28 for row in TABLE_2)
    assert max(accuracies(TABLE_2, 2)) == accuracies(TABLE_2, 18)[0]
    assert accuracies(TABLE_2, 27)[0] - max(accuracies(TABLE_2, 2)) == pytest.approx(1.97)
    assert accuracies(TABLE_2, 17)[0] > max(accuracies(TABLE_2, 18) + accuracies(TABLE_2, 27))
    assert [row.end_to_end for row in TABLE_3 if row.representation == "Raw" and row.reference] == [False]


def test_tables_agree_with_each_other():
    for dataset, table in COMPARISONS.items():
        assert TABLE_5[dataset].accuracy == ours(table) == max(row.accuracy for row in table)
    assert ours(TABLE_2) == TABLE_6["full"].accuracy == TABLE_7["full"].accuracy
    assert [len(table) for table in COMPARISONS.values()] == [18, 15, 14, 11]


def test_accuracies_on_the_other_data_sets_fit_a_fifth_of_the_clips():
    for dataset, clips in {"ESC-50": 400, "RAVDESS": 288, "CREMA-D": 1488}.items():
        assert printable(TABLE_5[dataset].accuracy, clips)


def test_arms_are_keyed_and_ordered_like_the_ablations():
    assert tuple(TABLE_6) == TABLES["6"].arms
    assert tuple(TABLE_7) == TABLES["7"].arms
    for name, row in TABLE_6.items():
        off = {switch for switch, value in ARMS[name].network.items() if value is False}
        assert off == {switch for switch, value in vars(row).items() if value is False}
    for name, row in TABLE_7.items():
        assert ARMS[name].network.get("fusion", "guided") == row.fusion


def test_published_accuracy_is_a_fraction():
    assert published.published_accuracy("full") == pytest.approx(0.9091)
    assert published.published_accuracy("fusion-sum") == pytest.approx(0.8879)
    assert published.published_accuracy("somebody-else") is None


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        TABLE_6["full"] = TABLE_6["garm"]
    with pytest.raises(AttributeError):
        TABLE_6["full"].accuracy = 100.0


@pytest.mark.parametrize("module", [published, published_claims])
def test_imports_only_the_standard_library(module):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
