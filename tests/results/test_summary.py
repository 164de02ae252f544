"""From trial rows to a row per arm."""

import numpy as np
import pyarrow as pa
import pytest

from sweeper.results import schema
from sweeper.results.leaderboard import derive
from sweeper.results.score_grid import score_grid, trial_frame
from sweeper.results.store import Study
from sweeper.results.study_arms import study_arms
from sweeper.results.summary import summarise
from sweeper.statistics import compare_arms, mcnemar_clustered, recordings_interval, verdicts
from tests.results.rows import FAILED, grid, plan_of, study_of, trial_row
from tests.studies import ARMS

NOWHERE = Study("there are no predictions")


def by_arm(trials, plan=None):
    table = pa.Table.from_pylist(trials, schema=schema.TRIAL)
    return {row["arm"]: row for row in summarise(table, plan or {}, NOWHERE)}


def test_a_row_per_arm_in_the_papers_order():
    assert list(by_arm(grid()[::-1])) == list(ARMS)


def test_means_and_paired_differences():
    trials = grid()
    rows = by_arm(trials)
    full = np.array([row["accuracy"] for row in trials if row["arm"] == "full"])
    garm = np.array([row["accuracy"] for row in trials if row["arm"] == "garm"])
    assert (rows["garm"]["n"], rows["garm"]["units"], rows["garm"]["unit"]) == (6, 3, "fold")
    assert rows["garm"]["mean"] == pytest.approx(garm.mean())
    assert rows["garm"]["diff"] == pytest.approx((garm - full).mean())
    assert (rows["full"]["diff"], rows["full"]["outcome"]) == (None, "reference")
    assert rows["garm"]["sd"] == pytest.approx(garm.reshape(3, 2).mean(axis=1).std(ddof=1)), "its own, over folds"


@pytest.mark.parametrize(("folds", "all_folds"), [((1, 2, 3), 5), ((1,), 5), ((1, 2, 3), 10)])
def test_star_p_and_interval_are_those_of_one_comparison_of_all_arms(folds, all_folds):
    trials = grid(folds=folds, replicates=(0, 1, 2))
    for row in trials:
        row["accuracy"] -= 0.3 * (row["arm"] == "garm")
    rows = by_arm(trials, plan_of(trials) | {"all_folds": list(range(1, all_folds + 1))})
    score = {(t["arm"], t["fold"], t["replicate"]): t["accuracy"] for t in trials}
    scores = [[[score[arm, fold, seed] for seed in (0, 1, 2)] for fold in folds] for arm in ARMS]
    reference = list(ARMS).index("full")
    # 20 test clips on 80 training clips.
    found = compare_arms(
        scores, reference, test_train_ratio=0.25, folds_in_all=all_folds, limits=(0, 1), resolution=1 / 20
    )
    for index, arm in enumerate(ARMS):
        if arm != "full":
            ours = (rows[arm]["diff_low"], rows[arm]["diff_high"], rows[arm]["p"], rows[arm]["significant"])
            assert ours == (found.low[index], found.high[index], found.p[index], found.significant[index])
            assert rows[arm]["outcome"] == verdicts(found, 0.01)[index]
            assert rows[arm]["claim"] == found.claim
    assert rows["garm"]["claim"].startswith("on this split" if len(folds) == 1 else "on other data")


def test_a_plan_that_does_not_say_how_many_folds_there_are_has_them_from_the_clips():
    trials = grid(folds=(1, 2))
    frame = trial_frame(pa.Table.from_pylist(trials, schema=schema.TRIAL))
    grids = [score_grid(frame, plan, "ablation", study_arms({})) for plan in ({}, {"all_folds": [1, 2, 3]})]
    assert [grid.folds_in_all for grid in grids] == [5, 3], "20 test clips of 100"


def test_intervals_stay_inside_what_is_possible_and_have_a_width():
    trials = [trial_row(arm, 1, seed, accuracy=a) for arm, pair in PAIRS.items() for seed, a in enumerate(pair)]
    for row in by_arm(trials, plan_of(trials)).values():
        assert 0 <= row["ci_low"] < row["mean"] < row["ci_high"] <= 1
        if row["arm"] != "full":
            assert -1 <= row["diff_low"] < row["diff"] < row["diff_high"] <= 1


# The demo's own scores of two seeds.
PAIRS = {"full": (0.65, 0.80), "macem-a": (0.6333, 0.7667), "macem-b+garm": (0.70, 0.70), "garm": (0.675, 0.7333)}


def test_equal_scores_of_both_weights_have_equal_means_also_where_folds_have_other_numbers_of_seeds():
    seeds = {1: 3, 2: 1}
    trials = [
        trial_row(arm, fold, seed, accuracy=accuracy + 0.01 * seed)
        for arm in ("full", "garm")
        for fold, accuracy in ((1, 0.9), (2, 0.5))
        for seed in range(seeds[fold])
    ]
    assert all(row["accuracy"] == row["accuracy_ema"] for row in trials)
    rows = by_arm(trials)
    for arm in ("full", "garm"):
        assert rows[arm]["mean_ema"] == pytest.approx(rows[arm]["mean"]) == pytest.approx((0.91 + 0.5) / 2)


def test_only_blocks_that_both_arms_finished_are_compared():
    trials = [row for row in grid(("full", "garm")) if (row["arm"], row["fold"]) != ("full", 3)]
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["units"]) == (6, 2)
    paired = {}
    for row in trials:
        paired.setdefault((row["fold"], row["replicate"]), {})[row["arm"]] = row["accuracy"]
    differences = [block["garm"] - block["full"] for block in paired.values() if len(block) == 2]
    assert garm["diff"] == pytest.approx(np.mean(differences))


def test_the_family_is_all_planned_arms_even_those_without_a_trial():
    everything, some = grid(), grid(("full", "garm", "macem-a"))
    rows = by_arm(some, plan_of(everything))
    assert list(rows) == list(ARMS)
    assert (rows["macem-b"]["n"], rows["macem-b"]["planned"], rows["macem-b"]["p"]) == (0, 6, None)
    few = by_arm(some, plan_of(some))
    width = {name: r["garm"]["diff_high"] - r["garm"]["diff_low"] for name, r in (("all", rows), ("few", few))}
    assert width["all"] > width["few"]


def with_differences(differences):
    """Two arms in blocks of one fold each, `garm` better by so much."""
    rows = []
    for fold, difference in enumerate(differences, start=1):
        for arm, accuracy in (("full", 0.5), ("garm", 0.5 + difference)):
            rows.append(trial_row(arm, fold, accuracy=accuracy, train_clips=8000, test_clips=2000))
    return rows


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ([0.10, 0.11, 0.12, 0.10, 0.09, 0.11, 0.10, 0.12], "better"),
        ([-0.10, -0.11, -0.12, -0.10, -0.09, -0.11, -0.10, -0.12], "worse"),
        ([0.001, 0.002, 0.001, 0.002, 0.001, 0.002, 0.001, 0.002], "equivalent"),
        # All of one sign, but the spread leaves the mean uncertain.
        ([0.001, 0.001, 0.002, 0.001, 0.002, 0.001, 0.30, 0.002], "undecided"),
        ([0.10, -0.11, 0.12, -0.10, 0.09, -0.11, 0.10, -0.12], "undecided"),
    ],
)
def test_an_arm_is_worse_better_equivalent_or_undecided(differences, outcome):
    trials = with_differences(differences)
    row = by_arm(trials, plan_of(trials))["garm"]
    assert row["outcome"] == outcome
    assert row["margin"] == 0.01
    excludes = not row["diff_low"] <= 0 <= row["diff_high"]
    assert row["significant"] is excludes is (row["p"] <= 0.05)


def test_the_margin_is_the_users():
    trials = with_differences([0.10, 0.11, 0.12, 0.10, 0.09, 0.11, 0.10, 0.12])
    table = pa.Table.from_pylist(trials, schema=schema.TRIAL)
    outcomes = [summarise(table, plan_of(trials), NOWHERE, margin)[0]["outcome"] for margin in (0.01, 0.1, 0.2)]
    assert outcomes == ["better", "better", "equivalent"]


@pytest.mark.parametrize("arm", ["full", "garm"])
def test_an_arm_with_holes_is_not_called_anything(arm):
    trials = with_differences([0.1, 0.11, 0.12, 0.1, 0.09, 0.11, 0.1, 0.12])
    rest = [row for row in trials if (row["arm"], row["fold"]) != (arm, 1)]
    rows = by_arm(rest, plan_of(trials))
    assert rows["garm"]["units"] == 7
    assert (rows[arm]["n"], rows[arm]["planned"]) == (7, 8)
    assert rows["garm"]["significant"] is None
    assert rows["garm"]["outcome"] == "undecided"


def test_a_failed_trial_is_counted_and_never_a_score():
    trials = grid(("full", "garm"))
    trials[-1] |= FAILED
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["units"], garm["planned"]) == (5, 1, 3, 6)


def test_an_arm_that_only_failed_has_a_row_without_numbers():
    trials = grid(("full", "garm"), folds=(1,), replicates=(0,))
    trials[-1] |= FAILED
    garm = by_arm(trials)["garm"]
    assert (garm["n"], garm["failed"], garm["mean"], garm["diff"]) == (0, 1, None, None)


def test_one_block_gives_no_interval_and_no_crash():
    garm = by_arm(grid(("full", "garm"), folds=(1,), replicates=(0,)))["garm"]
    assert garm["diff"] is not None
    assert (garm["diff_low"], garm["ci_low"], garm["sd"], garm["p"], garm["significant"]) == (None,) * 5
    assert garm["outcome"] == "undecided"


def test_other_kinds_of_trials_follow_and_are_no_part_of_the_family():
    ablations = grid(("full", "garm"))
    peers = [row | {"kind": "peer", "arm": "eat", "trial_id": f"peer{i}"} for i, row in enumerate(grid(("garm",)))]
    search = [row | {"kind": "search", "trial_id": f"search{i}"} for i, row in enumerate(grid(("full",)))]
    trials = [*search, *peers, *ablations]
    rows = summarise(pa.Table.from_pylist(trials, schema=schema.TRIAL), plan_of(trials), NOWHERE)
    assert [(row["kind"], row["arm"]) for row in rows] == [
        ("ablation", "garm"),
        ("ablation", "full"),
        ("peer", "eat"),
        ("search", "full"),
    ]
    assert rows[0]["p"] == pytest.approx(by_arm(ablations, plan_of(ablations))["garm"]["p"])
    assert rows[2]["units"] == 3
    assert rows[2]["diff"] == pytest.approx(rows[0]["diff"] + rows[2]["mean"] - rows[0]["mean"])
    assert rows[2]["published"] is None
    assert rows[3]["mean"] is None, "a search's trials have different settings"


def predictions_of(trials, clips=40):
    """Rows of random answers: two clips per recording, and the share of right ones as the trial's accuracy says."""
    rng = np.random.default_rng(1)
    found = {}
    for trial in trials:
        right = rng.random(clips) < trial["accuracy"]
        found[trial["trial_id"]] = [
            {"trial_id": trial["trial_id"], "clip_id": f"c{i:02}", "group": f"g{i // 2}", "target": i % 2}
            | {"probabilities": [float(i % 2 != hit), float(i % 2 == hit)], "probabilities_ema": [0.5, 0.5]}
            for i, hit in enumerate(right.astype(int))
        ]
    return found


def commit_with_predictions(folder, trials):
    study = study_of(folder, [], plan_of(trials))
    for trial_id, rows in predictions_of(trials).items():
        study.commit(next(t for t in trials if t["trial_id"] == trial_id), [], rows[::-1])
    return study


def test_a_single_split_has_an_interval_for_other_recordings(tmp_path):
    trials = grid(("full", "garm"), folds=(1,))
    study = commit_with_predictions(tmp_path / "s", trials)
    row = {r["arm"]: r for r in derive(study).summary}["garm"]
    answers = predictions_of(trials)

    def right(arm, seed):
        (trial_id,) = [t["trial_id"] for t in trials if (t["arm"], t["replicate"]) == (arm, seed)]
        return np.array([float(np.argmax(a["probabilities"]) == a["target"]) for a in answers[trial_id]])

    groups = [f"g{i // 2}" for i in range(40)]
    correct = [[right(arm, seed) for seed in (0, 1)] for arm in ("garm", "full")]
    expected = recordings_interval(correct, groups, 1)
    assert (row["recordings_low"], row["recordings_high"]) == pytest.approx((expected.low[0], expected.high[0]))
    assert row["boot_low"] < np.mean(correct[0]) < row["boot_high"]
    assert row["mcnemar_p"] == mcnemar_clustered(right("garm", 0), right("full", 0), groups).p_value
    assert row["recordings"] == 20


def test_a_trial_without_predictions_is_a_hole_in_that_interval(tmp_path):
    trials = grid(("full", "garm"), folds=(1,), replicates=(0, 1, 2))
    study = commit_with_predictions(tmp_path / "s", trials)
    (gone,) = [t["trial_id"] for t in trials if (t["arm"], t["replicate"]) == ("garm", 2)]
    (study.folder / "predictions" / f"{gone}.parquet").unlink()
    row = {r["arm"]: r for r in derive(study).summary}["garm"]
    assert row["recordings_low"] < row["recordings_high"]
    assert row["units"] == 3


def test_several_folds_have_no_such_interval(tmp_path):
    study = commit_with_predictions(tmp_path / "s", grid(("full", "garm"), folds=(1, 2)))
    assert all(row["boot_low"] is row["mcnemar_p"] is row["recordings_low"] is None for row in derive(study).summary)


def test_a_study_without_its_reference_has_means_alone():
    rows = by_arm(grid(("garm", "macem-a")))
    assert list(rows) == ["macem-a", "garm"]
    assert all(row["mean"] is not None and row["diff"] is None and row["outcome"] == "" for row in rows.values())


def test_operations_that_could_not_be_counted_are_null():
    trials = grid(("full", "garm"))
    for row in trials:
        if row["arm"] == "garm":
            row["gflops_per_clip"] = None
    rows = by_arm(trials)
    assert rows["garm"]["gflops_per_clip"] is None
    assert rows["garm"]["parameters"] is not None
    assert rows["full"]["gflops_per_clip"] is not None


CALLED = ("mean", "ci_low", "diff", "diff_low", "diff_high", "p", "significant", "mean_ema", "parameters")


def redefined(arm, folds=(1, 2, 3), older=-0.2):
    """A whole study, and the trials of an older definition of one of its arms."""
    trials = grid(("full", "garm", "macem-a"), folds=folds)
    mine = [row for row in trials if row["arm"] == arm]
    changed = {"parameters": 2}
    return trials, [
        row | changed | {"trial_id": f"{i:016}", "accuracy": row["accuracy"] + older} for i, row in enumerate(mine)
    ]


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_an_arm_that_was_defined_anew_is_not_called_anything(seeds):
    trials, older = redefined("garm")
    older = [row for row in older if row["replicate"] in seeds]
    both = [*older, *trials]
    rows, ordered = by_arm(both, plan_of(both)), by_arm(both[::-1], plan_of(both))
    assert [rows["garm"][name] for name in CALLED] == [None] * len(CALLED)
    assert rows["garm"]["outcome"] == "" and rows["garm"]["n"] == rows["garm"]["planned"] == 6 + 3 * len(seeds)
    assert rows["garm"] == ordered["garm"] | {"seconds": rows["garm"]["seconds"]}
    alone = by_arm([row for row in trials if row["arm"] != "garm"], plan_of(both))
    assert rows["macem-a"] == alone["macem-a"], "the others are compared as if it had not been run"


def test_nothing_is_compared_with_a_reference_that_was_defined_anew():
    both = [row | {"dataset": "urbansound8k"} for rows in redefined("full") for row in rows]
    rows = by_arm(both, plan_of(both))
    assert rows["full"]["mean"] is None and rows["garm"]["mean"] is not None
    assert all(row["diff"] is row["p"] is row["diff_low"] is row["significant"] is None for row in rows.values())
    assert rows["garm"]["outcome"] == ""
    assert rows["garm"]["verdict"] == "not comparable: full was defined anew under its name"


def test_a_definition_of_which_nothing_was_run_yet_counts_as_one():
    trials, older = redefined("garm")
    row = by_arm(trials, plan_of([*older, *trials]))["garm"]
    assert (row["outcome"], row["diff"], row["n"], row["planned"]) == ("", None, 6, 12)


@pytest.mark.parametrize("arm", ["full", "garm"])
def test_a_single_split_says_nothing_of_it_either(tmp_path, arm):
    trials, older = redefined(arm, folds=(1,))
    board = derive(commit_with_predictions(tmp_path / "s", [*older, *trials]))
    row = {row["arm"]: row for row in board.summary}["garm"]
    assert row["recordings_low"] is row["mcnemar_p"] is row["diff_low"] is None and row["outcome"] == ""
    assert board.grid.redefined == {arm}
    assert [problem.kind for problem in board.problems] == ["double"]
