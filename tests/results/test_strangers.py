"""A study that somebody else made, or a disk spoilt: nothing outside of it is touched, and what is wrong has a name.

Each study is looked at by every command that reads one. None may end in a traceback, in more than a line of error, or
as if nothing were wrong.
"""

import hashlib
import json
import math
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.cli.main import main
from sweeper.results import row_files, schema, store
from sweeper.results.attempts import attempt
from sweeper.results.folder import Folder, StorageError
from sweeper.results.leaderboard import derive
from sweeper.results.merging import merge_studies
from sweeper.results.soundness import unsound
from sweeper.results.store import Study
from sweeper.results.tables import table_bytes
from tests.results.rows import grid, plan_of, prediction, study_of, trial_row

ROWS = grid(("full", "garm"), folds=(1,), replicates=(0, 1, 2))
FIRST = ROWS[0]["trial_id"]
OTHER = trial_row("full", 9)["trial_id"]  # of no trial of the study
HELD = {"device": "cpu", "cpus": 1.0, "gpus": 0.0}


@pytest.fixture
def small_packs(monkeypatch):
    for module in (row_files, store):
        monkeypatch.setattr(module, "PACK_ROWS", 4)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(row_files, "_names_in", {})


@pytest.fixture
def study(tmp_path):
    """Six trials of one split, with predictions and attempts; one row of one trial goes wrong in each test."""
    plan = {"study": "s", "design": {}, "synthetic": True} | plan_of(ROWS)
    study = study_of(tmp_path / "results" / "s", [], plan)
    for row in ROWS:
        with attempt(study, row["trial_id"], **HELD):
            study.commit(row, [], [prediction(row["trial_id"])])
    return study


def path_of(study, name="trials"):
    return study.folder / name / f"{FIRST}.parquet"


def rewrite(path, **changes):
    """Write a table's file again with other values in its first row, whatever its schema says."""
    table = pq.read_table(path)
    row = table.to_pylist()[0] | changes
    arrays = [
        pa.array([row[f.name]], f.type if f.name not in changes or _fits(row[f.name], f.type) else None)
        for f in table.schema
    ]
    pq.write_table(pa.table(arrays, table.column_names).replace_schema_metadata(table.schema.metadata), path)


def _twice(path, column):
    table = pq.read_table(path)
    pq.write_table(pa.table([*table.columns, table[column]], [*table.column_names, column]), path)


def _fits(value, kind):
    try:
        pa.array([value], kind)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def looked_at(study, capsys, *more):
    """What the commands that read a study say of it: exit code, and output and errors together."""
    said = {}
    for command, options in (("leaderboard", ["--strict"]), ("status", []), *more):
        row_files._names_in.clear()
        code = main([command, str(study), *options])
        told = capsys.readouterr()
        assert code in (0, 1, 2), command
        assert len(told.err.splitlines()) <= 1 or code == 1, told.err
        assert all(line.isprintable() for line in (told.out + told.err).splitlines()), told
        said[command] = code, told.out + told.err
    return said


DAMAGED = {
    "an empty file": lambda path: path.write_bytes(b""),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no Parquet": lambda path: path.write_text("trial_id,accuracy\n"),
    "no row": lambda path: pq.write_table(pq.read_table(path).slice(1), path),
    "two rows": lambda path: pq.write_table(pa.concat_tables([pq.read_table(path)] * 2), path),
    "a column twice": lambda path: _twice(path, "arm"),
    "another table": lambda path: pq.write_table(pa.table({"a": [1]}), path),
    "another trial's row": lambda path: shutil.copy(path.parent / f"{ROWS[1]['trial_id']}.parquet", path),
    "an unplanned trial's id": lambda path: rewrite(path, trial_id=OTHER),
    "a path for an id": lambda path: rewrite(path, trial_id="../../../thesis"),
    "an absolute path for an id": lambda path: rewrite(path, trial_id="/etc/passwd"),
    "no id": lambda path: rewrite(path, trial_id=None),
    "a number for an id": lambda path: rewrite(path, trial_id=7),
    "a word for an accuracy": lambda path: rewrite(path, accuracy="high"),
    "no arm": lambda path: rewrite(path, arm=None),
    "no time": lambda path: rewrite(path, finished=None),
    "text that is not UTF-8": lambda path: path.write_bytes(path.read_bytes().replace(b"demo", b"\xff\xfe\xfd\xfc")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to a folder": lambda path: (path.unlink(), path.symlink_to("/")),
    "a newer version": lambda path: pq.write_table(
        pq.read_table(path).replace_schema_metadata({"sweeper.schema": "trial", "sweeper.schema_version": "99"}), path
    ),
    "a version that is none": lambda path: pq.write_table(
        pq.read_table(path).replace_schema_metadata({"sweeper.schema_version": "two"}), path
    ),
}


@pytest.mark.parametrize("spoil", DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_is_no_trials_row_is_named(study, capsys, spoil):
    spoil(path_of(study))
    said = looked_at(study, capsys)
    code, line = said["leaderboard"]
    assert code == 2
    assert f"{FIRST}.parquet" in line
    code, lines = said["status"]
    assert code == 0
    assert "5 of 6 trials finished" in lines
    assert f"{FIRST}.parquet" in lines
    assert sorted(path.name for path in (study.folder / "trials").iterdir()) == sorted(
        f"{r['trial_id']}.parquet" for r in ROWS
    )


IMPOSSIBLE = {
    "accuracy": [17.0, -0.1, math.nan, math.inf, None],
    "accuracy_ema": [1.5, None],
    "f1": [2.0],
    "recall_ema": [-1.0],
    "status": ["finished", "", "COMPLETE", "failed"],
    "kind": ["baseline", ""],
    "arm": ["macem-a", "nobody's", ""],
    "fold": [2, -1],
    "replicate": [5, -1],
    "stage": ["last"],
    "scored_on": ["training"],
    "test_clips": [0, -5, None],
    "train_clips": [None, 0],
    "parameters": [-1, None],
    "gflops_per_clip": [math.nan, -1.0],
    "epochs": [0],
    "seconds": [-5.0, math.nan, None],
    "sample_rate": [0],
    "train_loss": [math.nan],
    "finished": [2**62, -(2**62)],
    "evidence": ["../../x", "x"],
}


@pytest.mark.parametrize(("column", "value"), [(c, v) for c, values in IMPOSSIBLE.items() for v in values])
def test_a_row_that_cannot_be_true_is_left_out_and_named(study, capsys, column, value):
    table = pq.read_table(path_of(study))
    field = table.schema.field(column)
    values = pa.array([value], pa.int64()).cast(field.type) if column == "finished" else pa.array([value], field.type)
    pq.write_table(table.set_column(table.column_names.index(column), field, values), path_of(study))
    said = looked_at(study, capsys)
    code, shown = said["leaderboard"]
    assert code == 1
    assert f"! impossible row: trials/{FIRST}.parquet: {column} is " in shown
    assert "missing: 1 of 6 trials" in shown
    assert "5 of 6 trials finished" in said["status"][1]
    assert f"trials/{FIRST}.parquet" in said["status"][1]
    left = {row["trial_id"] for row in derive(study).trials.to_pylist()}
    assert left == {row["trial_id"] for row in ROWS[1:]}


@pytest.mark.parametrize("column", ["device_seconds", "waste_device_seconds", "evaluation_seconds"])
@pytest.mark.parametrize("value", [-17_946.0, math.nan, math.inf])
def test_a_cost_that_cannot_be_true_is_unknown_and_its_trial_stays(study, capsys, column, value):
    rewrite(path_of(study), **{column: value})
    board = derive(study)
    assert board.problems == ()
    costs = dict(zip(board.trials["trial_id"].to_pylist(), board.trials[column].to_pylist(), strict=True))
    assert (costs[FIRST], len(costs)) == (None, 6)
    assert main(["leaderboard", str(study)]) == 0
    table, _ = capsys.readouterr().out.split(f"{study}/leaderboard.parquet")  # whose path may have any numbers
    assert not re.search("nan|-17", table)


def test_a_row_that_cannot_be_true_is_not_packed(study, small_packs):
    rewrite(path_of(study), accuracy=17.0)
    path = path_of(study).with_name(f"{ROWS[1]['trial_id']}.parquet")
    path.write_bytes(b"")
    for row in grid(("macem-a",), folds=(1,)):
        study.commit(row, [], [])
    study.pack()
    assert len(study.rows.packed()) == 4
    assert path_of(study).exists(), "so that it can be deleted"
    assert path.exists()


def test_a_packed_row_that_contradicts_the_plan_names_its_pack(study, small_packs, capsys):
    for row in ROWS:
        rewrite(study.folder / "trials" / f"{row['trial_id']}.parquet", arm="macem-a")
    assert main(["leaderboard", str(study)]) == 2
    assert "no trial that could be used: trials/" in capsys.readouterr().err
    (pack,) = (study.folder / "trials").glob("pack-*")
    study.commit(trial_row("full", 9), [], [])
    assert main(["leaderboard", str(study), "--strict"]) == 1
    told = f"trials/{pack.name}: arm is 'macem-a', 'full' in the plan (if it was renamed: its old name and the same"
    assert f"{told} command bring the trial back): left out\n" in capsys.readouterr().err


PLANS = {
    "a number": "5",
    "nothing": "",
    "an empty object": "{}",
    "a list": "[]",
    "null": "null",
    "a word": '"plan"',
    "not a number": "NaN",
    "half": '{"trials": [',
    "deep": "[" * 100_000,
    "trials that are no list": '{"trials": 5}',
    "trials that are no objects": '{"trials": [5]}',
    "a trial without an id": '{"trials": [{"arm": "full", "fold": 1, "replicate": 0}]}',
    "a path for an id": '{"trials": [{"trial_id": "../../x", "arm": "full", "fold": 1, "replicate": 0}]}',
    "a list for an id": '{"trials": [{"trial_id": [], "arm": "full", "fold": 1, "replicate": 0}]}',
    "a trial without an arm": f'{{"trials": [{{"trial_id": "{FIRST}", "fold": 1, "replicate": 0}}]}}',
    "a word for a fold": f'{{"trials": [{{"trial_id": "{FIRST}", "arm": "full", "fold": "1", "replicate": 0}}]}}',
    "true for a fold": f'{{"trials": [{{"trial_id": "{FIRST}", "arm": "full", "fold": true, "replicate": 0}}]}}',
    "a design that is none": '{"trials": [], "design": 5}',
    "a number for a recipe": '{"trials": [], "design": {"recipe": 5}}',
    "classes that are none": '{"trials": [], "classes": [1, 2]}',
    "searches that are none": '{"trials": [], "searches": 5}',
    "searches without a goal": '{"trials": [], "searches": [{"arm": "full", "fold": 1, "recipe_params": "{}"}]}',
    "a goal that is none": '{"trials": [], "searches": [{"arm": "full", "fold": 1, "recipe_params": "{}"}], '
    '"search": {"top": 1, "trials": 1, "goal": {"objective": "luck", "cost": null}}}',
    "a search without values": '{"trials": [], "searches": [{"arm": "full", "fold": 1, "recipe_params": "["}], '
    '"search": {"top": 1, "trials": 1, "goal": {"objective": "accuracy", "cost": null}}}',
}


@pytest.mark.parametrize(
    "content",
    [*PLANS.values(), b"\xff\xfe{\x00}\x00", b'{"trials": [], "notes": ["\xff"]}'],
    ids=[*PLANS, "UTF-16", "Latin-1"],
)
def test_a_plan_that_is_none_is_one_line(study, capsys, content):
    (study.folder / "plan.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for code, line in looked_at(study, capsys).values():
        assert code == 2
        assert "plan.json is damaged (" in line
        assert "restore it, or delete it and run the study's command again" in line


@pytest.mark.parametrize(
    "plan",
    [
        {"trials": []},
        {"trials": plan_of(ROWS)["trials"]},
        {"trials": [], "fixed_study": "../../x"},
    ],
)
def test_a_plan_that_says_little_does_for_what_it_says(study, capsys, tmp_path, plan):
    (study.folder / "plan.json").write_text(json.dumps(plan))
    report = ("report", ["--output", str(tmp_path / "page.html")])
    for command, (code, _) in looked_at(study, capsys, report).items():
        assert code in (0, 1) or (command == "report" and "fixed_study" in plan)


STRAYS = [
    "pack-old.parquet",
    "pack-",
    "pack-0123.bak",
    f"pack-{'A' * 16}.parquet",
    "notes.parquet",
    f"{FIRST} (copy).parquet",
    f"{FIRST.upper()}x.parquet",
    "new\nline.parquet",
]
MAKE = {
    "row": lambda study, path: shutil.copy(path_of(study), path),
    "text": lambda study, path: path.write_text("x"),
    "folder": lambda study, path: path.mkdir(),
}


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("folder", ["trials", "attempts", "failures"])
def test_stray_files_are_named_and_spoil_nothing(study, capsys, make, folder):
    before = derive(study)
    for name in STRAYS:
        MAKE[make](study, study.folder / folder / name)
    assert derive(study).trials.equals(before.trials)
    said = looked_at(study, capsys)
    assert "6 of 6 trials finished" in said["status"][1]
    for name in STRAYS:
        assert f"stray file: {f'{folder}/{name}'!a}" in said["status"][1]
        assert (study.folder / folder / name).exists()
    code, shown = said["leaderboard"]
    assert code == (0 if folder == "attempts" else 1), "whose rows the leaderboard does not read"
    assert f"stray file: '{folder}/" in shown or not code
    assert study.finished() == {row["trial_id"] for row in ROWS}


@pytest.mark.parametrize("name", ["trials", "failures", "attempts", "predictions", "curves", "weights", "checkpoints"])
def test_a_file_where_a_folder_should_be_is_named(study, capsys, tmp_path, name):
    shutil.rmtree(study.folder / name)
    (study.folder / name).write_text("x")
    said = looked_at(study, capsys, ("report", ["--output", str(tmp_path / "page.html")]))
    needed = {
        "trials": ["leaderboard", "status", "report"],
        "failures": ["leaderboard", "status", "report"],
        "attempts": ["status", "report"],
        "predictions": ["leaderboard", "report"],
        "curves": ["report"],
    }
    for command in needed.get(name, ()):
        code, line = said[command]
        assert code == 2, command
        assert f"/{name}" in line
        assert "there is a file where a folder should be" in line
    assert main(["run", "ablations", "--study", "s", "--results", str(study.folder.parent), "--epochs", "1"]) == 2
    assert f"/{name}" in capsys.readouterr().err


def test_the_page_says_what_is_wrong(study, tmp_path):
    rewrite(path_of(study), accuracy=17.0)
    (study.folder / "trials" / "pack-<b>.parquet").write_text("x")
    page = tmp_path / "page.html"
    assert main(["report", str(study), "--output", str(page)]) == 0
    assert f"impossible row: trials/{FIRST}.parquet: accuracy is 17" in page.read_text()
    assert "stray file: &#39;trials/pack-&lt;b&gt;.parquet&#39;" in page.read_text()


@pytest.mark.parametrize("name", ["plan.json", "leaderboard.parquet", "summary.parquet"])
def test_a_folder_where_a_file_should_be_is_named(study, capsys, name):
    (study.folder / name).unlink(missing_ok=True)
    (study.folder / name).mkdir()
    said = looked_at(study, capsys)
    assert said["leaderboard"][0] == (2 if name == "plan.json" else 0)
    assert f"/{name}: it is a folder, and should be a file" in said["leaderboard"][1]


@pytest.mark.parametrize("name", ["plan.json", "trials/00000000000000ff.parquet"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_device_where_a_file_should_be_is_named_and_not_waited_for(study, capsys, name, make):
    path = study.folder / name
    path.unlink(missing_ok=True)
    make(path)
    for command in ("leaderboard", "status"):
        main([command, str(study)])
        printed = capsys.readouterr()
        assert f"{path} is a pipe or a device, and should be a file; delete it" in printed.out + printed.err


def test_a_lock_that_is_a_link_out_of_the_study_is_named_and_nothing_is_written_there(study, tmp_path):
    thesis = tmp_path / "thesis"
    thesis.write_text("precious")
    (study.folder / ".plan.json.lock").unlink(missing_ok=True)
    (study.folder / ".plan.json.lock").symlink_to(thesis)
    with pytest.raises(StorageError, match="there is a link where a file should be; delete it"):
        study.write_plan({"trials": []})
    assert thesis.read_text() == "precious"


@pytest.mark.parametrize("thesis", ["../../../x/thesis", "thesis", "0123456789abcdef"])
def test_packing_deletes_nothing_but_what_it_packed(study, small_packs, tmp_path, monkeypatch, thesis):
    """Rows, and a whole pack, that claim to be elsewhere."""
    outside = tmp_path / "x" / "thesis.parquet"
    outside.parent.mkdir()
    for victim in (outside, study.folder / "trials" / "thesis.parquet", study.folder / "thesis.parquet"):
        victim.write_text("years of work")
    for row in ROWS[:5]:
        path = study.folder / "trials" / f"{row['trial_id']}.parquet"
        rewrite(path, trial_id=f"{thesis}")
    names = [thesis, *(row["trial_id"] for row in ROWS[1:4])]
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    forged = pa.Table.from_pylist([ROWS[0] | {"trial_id": name} for name in names], schema=schema.TRIAL)
    (study.folder / "trials" / f"pack-{digest}.parquet").write_bytes(table_bytes(forged, schema.TRIAL))
    for _ in range(2):
        row_files._names_in.clear()
        main(["leaderboard", str(study)])
    assert outside.read_text() == "years of work"
    assert (study.folder / "trials" / "thesis.parquet").read_text() == "years of work"
    assert (study.folder / "thesis.parquet").read_text() == "years of work"


def test_a_pack_under_another_packs_name_is_damage(study, small_packs, capsys):
    study.rows.pack(study.rows.single())
    (pack,) = (study.folder / "trials").glob("pack-*")
    pack.rename(pack.with_name(f"pack-{'0' * 16}.parquet"))
    for command, (code, said) in looked_at(study, capsys).items():
        assert code == (0 if command == "status" else 2)
        assert f"pack-{'0' * 16}.parquet is damaged (it holds other rows than those that it is called by)" in said


@pytest.mark.parametrize(
    "name", ["trials", "attempts", "failures", "weights", "predictions", "curves", "checkpoints", "logs"]
)
def test_no_link_in_a_study_leads_a_write_or_deletion_out_of_it(
    study, small_packs, tmp_path, capsys, monkeypatch, name
):
    """A study whose folder is a link to another study's, which is full of files of the right names."""
    victim = study_of(tmp_path / "victim", ROWS)
    for kind in ("weights", "checkpoints", "logs"):
        (victim.folder / kind).mkdir(exist_ok=True)
        (victim.folder / kind / f"{FIRST}.safetensors").write_text("x")
    state = {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in victim.folder.rglob("*")}
    shutil.rmtree(study.folder / name, ignore_errors=True)
    (study.folder / name).symlink_to(victim.folder / name)
    looked_at(study, capsys)
    row = trial_row("full", 9)
    for write in (
        study.create,
        lambda: study.commit(row, [], [prediction(row["trial_id"])]),
        lambda: study.record_failure(row | {"status": "failed"}, []),
        lambda: study.storage.write(f"logs/tensorboard/{FIRST}", b"x"),
        lambda: study.checkpoint(FIRST).__enter__().path.write_text("x"),
        lambda: attempt(study, FIRST, **HELD).__enter__(),
        lambda: study.storage.delete(f"{name}/{FIRST}.parquet", f"{name}/{FIRST}.safetensors"),
    ):
        try:
            write()
        except StorageError as error:
            assert f"/{name} is a link (to {victim.folder / name})" in str(error)
    assert {
        p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in victim.folder.rglob("*")
    } == state


def test_a_study_may_itself_be_a_link(study, tmp_path):
    (tmp_path / "link").symlink_to(study.folder)
    linked = Study(tmp_path / "link")
    assert linked.commit(trial_row("full", 9), [], [])
    assert derive(linked).trials.num_rows == 7


def test_a_link_to_nothing_hides_no_other_file(study):
    (study.folder / "trials" / f"{OTHER}.parquet").symlink_to(study.folder / "nothing")
    assert study.finished() == {row["trial_id"] for row in ROWS}
    with pytest.raises(StorageError, match="is a link to nothing; delete it"):
        study.commit(trial_row("full", 9), [], [])


@pytest.mark.parametrize("target", ["unmounted", "trials"], ids=["to nothing", "to itself"])
def test_a_folder_that_is_a_link_to_nothing_is_not_taken_for_an_empty_one(study, capsys, tmp_path, target):
    shutil.rmtree(study.folder / "trials")
    (study.folder / "trials").symlink_to(study.folder / target)
    said = looked_at(study, capsys)
    assert said["leaderboard"][0] == said["status"][0] == 2
    assert all("trials is a link to nothing, such as a disk that is not there" in text for _, text in said.values())
    with pytest.raises(StorageError, match="is a link to nothing"):
        merge_studies([study], Study(tmp_path / "merged"))


def test_a_file_that_goes_while_its_folder_is_listed_hides_no_other(study, monkeypatch):
    scandir = os.scandir

    def listed(path):
        entries = list(scandir(path))
        Path(entries[0].path).unlink()
        return iter(entries)

    monkeypatch.setattr(os, "scandir", listed)
    assert len(Folder(study.folder).files("trials")) == 5


def test_what_is_wrong_is_told_in_one_line_each_however_many(study, capsys):
    for row in ROWS[:3]:
        (study.folder / "trials" / f"{row['trial_id']}.parquet").write_bytes(b"")
    said = looked_at(study, capsys)
    assert "(and 2 more files are damaged)" in said["leaderboard"][1]
    assert "3 of 6 trials finished" in said["status"][1]
    assert sum(line.startswith("damaged: ") for line in said["status"][1].splitlines()) == 3


def test_trials_of_searches_that_the_plan_does_not_know_are_told(study, capsys):
    row = trial_row("garm", 3, kind="search", stage="explore", params="{}", trial_id=OTHER, scored_on="validation")
    study.commit(row, [], [])
    assert main(["leaderboard", str(study), "--strict"]) == 1
    assert "unplanned: 1 trial of searches not in plan.json: garm fold 3 seed 0" in capsys.readouterr().err
    rewrite(study.folder / "trials" / f"{OTHER}.parquet", params="[")
    assert main(["leaderboard", str(study), "--strict"]) == 1
    assert "params is '[', no JSON object" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value"), [("dataset", "other"), ("split", "paper"), ("recipe", "paper"), ("sample_rate", 5)]
)
def test_a_trial_of_another_design_is_told(study, capsys, column, value):
    rewrite(path_of(study), **{column: value})
    assert main(["leaderboard", str(study), "--strict"]) == 1
    assert f"mixed design: {column} is " in capsys.readouterr().err


@pytest.mark.parametrize(
    "row",
    [{"accuracy": 17.0}, {"accuracy": math.nan}, {"status": "done"}, {"accuracy_ema": -0.5}, {"trial_id": "../x"}],
)
def test_what_cannot_be_true_is_not_committed(study, row):
    with pytest.raises(ValueError, match=r"can't be committed|no trial's id"):
        study.commit(trial_row("full", 9) | row, [], [])
    assert len(study.finished()) == 6


def test_a_network_whose_operations_can_not_be_counted_is_sound():
    rows = pa.Table.from_pylist([grid()[0] | {"gflops_per_clip": None}], schema.TRIAL)
    assert unsound(rows) == {}
