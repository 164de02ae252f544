"""The paper's tables are typed correctly, and what is said about its text can be recomputed from them."""

import ast
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.audio.datasets import definition
from sweeper.search_spaces import claim, published, published_claims, published_comparisons
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


def margin(table, clips, reference=None):
    """By how many test clips the paper's network is ahead of the best of the others, or of one."""
    best = max(row.accuracy for row in table if row.reference and reference in (None, row.reference))
    return (ours(table) - best) * clips / 100


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def harmonic(row):
    return 2 * row.precision * row.recall / (row.precision + row.recall)


def named(table, *references):
    return [row for row in table if row.reference in references]


TEST_CLIPS = {"ESC-50": 400, "UrbanSound8K": 803, "RAVDESS": 288, "CREMA-D": 1488}
ABSTRACT = {"ESC-50": 93.25, "UrbanSound8K": 90.91, "RAVDESS": 92.36, "CREMA-D": 70.50}
HALVINGS = {"semantic": 5, "detail": 3 + 2}
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
    "experiments": lambda: len(TABLE_6),
    "alone-they-help": lambda: (
        min(TABLE_6[arm].accuracy for arm in ("macem-a", "macem-b")) - TABLE_6["dual-branch"].accuracy
    ),
    "two-lengths": lambda: len({2**halvings for halvings in HALVINGS.values()}),
    "significant-esc50": lambda: margin(TABLE_1, TEST_CLIPS["ESC-50"]),
    "significant-us8k": lambda: margin(TABLE_2, TEST_CLIPS["UrbanSound8K"]),
    "significant-ravdess": lambda: margin(TABLE_3, TEST_CLIPS["RAVDESS"]),
    "significant-cremad": lambda: margin(TABLE_4, TEST_CLIPS["CREMA-D"]),
    "esc50-stft-rows": lambda: sum(row.representation == "STFT-spec" for row in named(TABLE_1, 18, 27, 52)),
    "esc50-stft-over-raw": lambda: (
        mean(row.accuracy for row in named(TABLE_1, 18, 27, 52))
        - mean(row.accuracy for row in named(TABLE_1, 2, 53, 54))
    ),
    "esc50-end-to-end": lambda: sum(
        not row.end_to_end and row.accuracy > min(accuracies(TABLE_1, 2)) for row in TABLE_1
    ),
    "esc50-pretraining": lambda: max(accuracies(TABLE_1, 2)) - min(accuracies(TABLE_1, 2)),
    "us8k-pretrained-2": lambda: (
        next(r.accuracy for r in named(TABLE_2, 2) if r.pretrained) - accuracies(TABLE_2, 63)[0]
    ),
    "ravdess-mfcc": lambda: (
        min(row.accuracy for row in named(TABLE_3, 70, 71, 72))
        - max(row.accuracy for row in named(TABLE_3, 18, 67, 68))
    ),
    "ravdess-end-to-end": lambda: (
        mean(row.accuracy for row in named(TABLE_3, 67, 68, 77))
        - mean(row.accuracy for row in TABLE_3 if row.reference not in (None, 67, 68, 77))
    ),
    "abstract-accuracies": lambda: sum(TABLE_5[name].accuracy == value for name, value in ABSTRACT.items()),
    "highest": lambda: sum(ours(table) == max(row.accuracy for row in table) for table in COMPARISONS.values()),
    "us8k-above-90": lambda: min(vars(TABLE_5["UrbanSound8K"]).values()),
    "esc50-best": lambda: max(TABLE_5.values(), key=lambda row: row.accuracy).f1,
    "harmonic-means": lambda: sum(abs(harmonic(row) - row.f1) < 0.01 for row in TABLE_5.values()),
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


def test_numbers_within_the_findings_on_comparisons():
    assert margin(TABLE_1, 400, 17) == pytest.approx(4.4)
    assert [round(half_width(ABSTRACT[name], clips), 2) for name, clips in TEST_CLIPS.items()] == [
        2.46,
        1.99,
        3.07,
        2.32,
    ]
    for table, clips, reference, expected in ((TABLE_2, 803, 63, 3.11), (TABLE_4, 1488, 78, 3.31)):
        (other,) = accuracies(table, reference)
        both = math.hypot(half_width(ours(table), clips), half_width(other, clips))
        assert both == pytest.approx(expected, abs=0.005)
    assert over(TABLE_2, 63) > 3.11
    assert over(TABLE_4, 78) < 3.31
    leads = [ours(table) - max(r.accuracy for r in table if r.reference) for table in COMPARISONS.values()]
    assert (min(leads), max(leads)) == (pytest.approx(0.43), pytest.approx(4.81))

    stft = [row.accuracy for row in TABLE_1 if row.representation == "STFT-spec"]
    raw = [row.accuracy for row in TABLE_1 if row.representation == "Raw" and row.reference]
    assert round(mean(r.accuracy for r in named(TABLE_1, 18, 27, 52)), 2) == 87.88
    assert mean(r.accuracy for r in named(TABLE_1, 2, 53, 54)) == pytest.approx(83.455)
    assert (len(stft), mean(stft), len(raw), round(mean(raw), 2)) == (2, pytest.approx(86.175), 8, 86.92)
    rest = [row.accuracy for row in TABLE_1 if not row.end_to_end]
    assert (len(rest), min(rest), max(rest)) == (6, 83.15, 91.30)
    assert accuracies(TABLE_2, 2) == [81.05, pytest.approx(81.05 + 2.45)]

    others = [
        row.accuracy for row in TABLE_3 if row.representation.startswith("MFCC") and row.reference not in (70, 71, 72)
    ]
    assert (min(others), max(others), sum(value < 85.47 for value in others)) == (80.42, 86.40, 2)
    assert round(mean(row.accuracy for row in named(TABLE_3, 67, 68, 77)), 2) == 81.80
    assert round(mean(r.accuracy for r in TABLE_3 if r.reference not in (None, 67, 68, 77)), 2) == 85.95
    gaps = {name: harmonic(row) - row.f1 for name, row in TABLE_5.items()}
    apart = sorted(gap for name, gap in gaps.items() if name != "UrbanSound8K")
    assert (round(apart[0], 2), round(apart[-1], 2)) == (0.10, 0.64)
    t6 = {arm: row.accuracy for arm, row in TABLE_6.items()}
    ahead = {arm: t6[arm] - t6["dual-branch"] for arm in ("macem-a", "macem-b", "garm")}
    assert ahead == pytest.approx({"macem-a": 1.12, "macem-b": 1.49, "garm": 1.62})
    assert [round(803 * ahead[arm] / 100) for arm in ("macem-a", "macem-b")] == [9, 12]


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


def test_what_is_published_belongs_to_a_data_set():
    assert list(published.DATA_SETS) == ["esc50", "urbansound8k", "ravdess", "cremad"]
    assert [definition(name).size for name in published.DATA_SETS] == list(published.DATA_SETS.values())
    printed = {name: published.published_accuracy("full", name) for name in (*published.DATA_SETS, "demo")}
    assert printed == pytest.approx(
        {"esc50": 0.9325, "urbansound8k": 0.9091, "ravdess": 0.9236, "cremad": 0.705, "demo": None}
    )
    assert published.published_accuracy("dual-branch", "esc50") is None
    assert ARMS["full"].published == {name: printed[name] for name in ARMS["full"].published}
    assert list(ARMS["dual-branch"].published) == ["urbansound8k"]


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        TABLE_6["full"] = TABLE_6["garm"]
    with pytest.raises(AttributeError):
        TABLE_6["full"].accuracy = 100.0


@pytest.mark.parametrize("module", [claim, published, published_claims, published_comparisons])
def test_imports_only_the_standard_library(module):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    own = {"sweeper.search_spaces.claim", "sweeper.search_spaces.published_comparisons"}
    assert {name.split(".")[0] for name in imported if name not in own} <= sys.stdlib_module_names
