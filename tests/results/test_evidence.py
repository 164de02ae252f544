"""What a row declares is of that row, whoever else trained its trial, and whenever somebody was killed."""

import itertools
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.results import row_files, schema
from sweeper.results.evidence import new_mark
from sweeper.results.leaderboard import derive
from sweeper.results.predictions import read_answers
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.results.rows import grid, plan_of, trial_row

KINDS = ("weights", "predictions", "curves", "trials")


class Killed(BaseException):
    """Stands in for a kill."""


class Contender:
    """A process that trains the trial; what it leaves says so."""

    def __init__(self, place, value):
        self.study, self.value, self.mark = Study(place), value, new_mark()
        self.row = trial_row("full", accuracy=value, test_clips=2, evidence=self.mark)

    def commit(self):
        trial_id = self.row["trial_id"]
        raw = [1 - self.value, self.value]
        answer = {"trial_id": trial_id, "group": "g", "target": 1, "probabilities": raw, "probabilities_ema": raw}
        point = dict.fromkeys(("train_accuracy", "learning_rate", "seconds", "clips_per_second"), 0.5)
        with self.study.draft() as draft:
            draft.write_bytes(f"weights {self.value}".encode())
            return self.study.commit(
                self.row,
                [{"trial_id": trial_id, "epoch": 0, "loss": self.value, **point}],
                [answer | {"clip_id": clip} for clip in ("a", "b")],
                draft,
            )


def values(study):
    """What the row says, and what each of its files says."""
    (row,) = study.trials().to_pylist()
    with study.evidence.weights(row) as path:
        weights = float(path.read_text().split()[1])
    probabilities = study.evidence.predictions(row)["probabilities"].to_pylist()
    return row["accuracy"], round(probabilities[0][1], 6), study.evidence.curve(row)["loss"].to_pylist()[0], weights


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    return tmp_path / "s" if request.param == "folder" else request.getfixturevalue("s3").url + "/s"


def stopping(study, monkeypatch, after):
    """The study, whose process is killed before the write or rename of that number."""
    left = itertools.count()

    def dying(method):
        def call(*args, **kwargs):
            if next(left) == after:
                raise Killed
            return method(*args, **kwargs)

        return call

    for name in ("write", "put", "rename"):
        method = getattr(type(study.storage), name)
        monkeypatch.setattr(study.storage, name, dying(method.__get__(study.storage)), raising=False)


def test_the_second_commit_changes_nothing(place, monkeypatch):
    monkeypatch.setattr(row_files, "PACK_ROWS", 1)
    first, second = Contender(place, 0.25), Contender(place, 0.75)
    assert first.commit()
    before = {kind: first.study.storage.files(kind) for kind in KINDS}
    assert not second.commit()
    assert values(Study(place)) == (0.25, 0.25, 0.25, 0.25)
    assert {kind: first.study.storage.files(kind) for kind in KINDS} == before
    first.study.rows.pack([first.row["trial_id"]])
    assert first.study.rows.packed()
    assert not Contender(place, 0.5).commit()
    assert values(Study(place)) == (0.25, 0.25, 0.25, 0.25)


@pytest.mark.parametrize("killed_after", range(4))
def test_whoever_is_killed_where_the_row_that_stays_has_its_own_evidence(place, monkeypatch, killed_after):
    """One contender is killed after so many of its files; the other one commits."""
    one, other = Contender(place, 0.25), Contender(place, 0.75)
    stopping(one.study, monkeypatch, killed_after)
    if killed_after < 4:
        with pytest.raises(Killed):
            one.commit()
    assert one.study.finished() == set()
    assert other.commit()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)
    names = {kind: list(other.study.storage.files(kind)) for kind in KINDS}
    trial_id = other.row["trial_id"]
    assert {kind: [name.partition(".")[0] for name in found] for kind, found in names.items()} == {
        kind: [trial_id] for kind in KINDS
    }, "under the trial's own name"


@pytest.mark.parametrize("paused_after", range(4))
def test_whoever_is_slow_the_first_row_stays_with_its_own_evidence(place, monkeypatch, paused_after):
    """The other contender commits between two files of the one."""
    one, other = Contender(place, 0.25), Contender(place, 0.75)
    left = itertools.count()
    for name in ("write", "put"):
        method = getattr(one.study.storage, name)

        def call(*args, method=method, **kwargs):
            if next(left) == paused_after:
                assert other.commit()
            return method(*args, **kwargs)

        monkeypatch.setattr(one.study.storage, name, call, raising=False)
    assert not one.commit()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)


def around_the_row(study, monkeypatch, *, before=lambda: None, after=lambda: None):
    """The study, in which something happens right before a row is written, and right after."""
    write = study.storage.write

    def call(name, *args, **kwargs):
        if not name.startswith("trials/"):
            return write(name, *args, **kwargs)
        before()
        written = write(name, *args, **kwargs)
        after()
        return written

    monkeypatch.setattr(study.storage, "write", call, raising=False)


def test_a_row_that_was_packed_while_the_evidence_was_written_stays_with_its_own(place, monkeypatch):
    """Its own file is gone, which would say that somebody was first."""
    monkeypatch.setattr(row_files, "PACK_ROWS", 1)
    one, other = Contender(place, 0.25), Contender(place, 0.75)

    def meanwhile():
        assert other.commit()
        other.study.rows.pack(other.study.rows.single())

    around_the_row(one.study, monkeypatch, before=meanwhile)
    assert not one.commit()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)
    assert other.study.rows.single() == {}
    assert {kind: len(other.study.storage.files(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 1)


@pytest.mark.parametrize("second", [False, True], ids=["alone", "after one that was killed"])
def test_a_row_that_is_packed_as_soon_as_it_is_there_keeps_its_evidence(place, monkeypatch, second):
    monkeypatch.setattr(row_files, "PACK_ROWS", 1)
    dead, one = Contender(place, 0.25), Contender(place, 0.75)
    if second:
        stopping(dead.study, monkeypatch, 3)
        with pytest.raises(Killed):
            dead.commit()
    around_the_row(one.study, monkeypatch, after=lambda: Study(place).rows.pack([one.row["trial_id"]]))
    assert one.commit()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)
    assert {kind: len(one.study.storage.files(kind)) for kind in KINDS} == dict.fromkeys(KINDS, 1)


def test_a_death_between_the_row_and_the_rest_is_made_good(place, monkeypatch):
    dead, one = Contender(place, 0.25), Contender(place, 0.75)
    stopping(dead.study, monkeypatch, 3)  # all but its row
    with pytest.raises(Killed):
        dead.commit()
    monkeypatch.setattr(one.study.storage, "rename", lambda *_: (_ for _ in ()).throw(Killed()), raising=False)
    with pytest.raises(Killed):
        one.commit()
    study = Study(place)
    assert values(study) == (0.75, 0.75, 0.75, 0.75), "its evidence lies aside"
    assert len(study.storage.files("weights")) == 2
    study.create()  # as the next run does
    assert values(study) == (0.75, 0.75, 0.75, 0.75)
    assert study.storage.read(f"weights/{one.row['trial_id']}.safetensors") == [b"weights 0.75"]
    assert study.evidence.left_aside() == {}


def after_one_that_was_killed(place, monkeypatch):
    """Who commits after another was killed before its row, so that its evidence lies aside for a moment."""
    dead, one = Contender(place, 0.25), Contender(place, 0.75)
    stopping(dead.study, monkeypatch, 3)
    with pytest.raises(Killed):
        dead.commit()
    return one


def test_a_run_that_begins_while_another_commits_disturbs_it_not(place, monkeypatch):
    one = after_one_that_was_killed(place, monkeypatch)
    Study(place).record_failure(one.row | {"status": "failed", "accuracy": None, "error": "boom"}, [])
    around_the_row(one.study, monkeypatch, after=Study(place).create)
    assert one.commit()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)
    assert one.study.evidence.left_aside() == {}
    assert one.study.storage.files("failures") == {}


def test_two_runs_that_begin_at_once_make_a_death_good(place, monkeypatch):
    one = after_one_that_was_killed(place, monkeypatch)
    around_the_row(one.study, monkeypatch, after=lambda: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        one.commit()
    first, second = Study(place), Study(place)
    left = first.evidence.left_aside()
    assert left
    monkeypatch.setattr(first.evidence, "left_aside", lambda: second.create() or left)  # as soon as it has looked
    first.create()
    assert values(Study(place)) == (0.75, 0.75, 0.75, 0.75)
    assert Study(place).evidence.left_aside() == {}


def test_evidence_that_takes_its_place_while_it_is_looked_for_is_found(place, monkeypatch):
    one = after_one_that_was_killed(place, monkeypatch)
    around_the_row(one.study, monkeypatch, after=lambda: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        one.commit()
    study = Study(place)
    read = study.storage.read

    def slowly(*names):
        found = read(*names)
        if names[0].startswith("predictions/"):
            Study(place).create()
        return found

    (row,) = study.trials().to_pylist()
    monkeypatch.setattr(study.storage, "read", slowly, raising=False)
    assert study.evidence.predictions(row)["probabilities"].to_pylist()[0][1] == pytest.approx(0.75)


def test_a_failure_takes_nothing_from_a_commit(place):
    point = {"epoch": 0, "train_accuracy": 0.0, "learning_rate": 0.1, "seconds": 1.0, "clips_per_second": 1.0}
    failed, one = Contender(place, 0.9), Contender(place, 0.25)
    curve = [point | {"trial_id": failed.row["trial_id"], "loss": 9.0}]
    for commit_first in (False, True):
        if commit_first:
            assert one.commit()
        failed.study.record_failure(failed.row | {"status": "failed", "accuracy": None, "error": "boom"}, curve)
        if not commit_first:
            row = failed.study.row(failed.row["trial_id"])
            assert failed.study.evidence.curve(row)["loss"].to_pylist() == [9.0]
    assert values(Study(place)) == (0.25, 0.25, 0.25, 0.25)


def answers(trial_id, targets, predicted):
    return [
        {"trial_id": trial_id, "clip_id": f"c{i}", "group": f"g{i // 2}", "target": int(target)}
        | {"probabilities": np.eye(3)[p].tolist(), "probabilities_ema": np.eye(3)[p].tolist()}
        for i, (target, p) in enumerate(zip(targets, predicted, strict=True))
    ]


@pytest.fixture(params=["today's", "of an older version"])
def study(request, tmp_path):
    """Two arms on one split, three seeds."""
    study, rng = Study(tmp_path / "s"), np.random.default_rng(0)
    study.create()
    rows = grid(("full", "garm"), folds=(1,), replicates=(0, 1, 2))
    study.write_plan({"design": {}} | plan_of(rows))
    for row in rows:
        targets, predicted = rng.integers(0, 3, (2, 20))
        row |= {"accuracy": float((targets == predicted).mean()), "accuracy_ema": float((targets == predicted).mean())}
        study.commit(row, [], answers(row["trial_id"], targets, predicted))
    if request.param != "today's":
        for row in rows:
            path = study.folder / "trials" / f"{row['trial_id']}.parquet"
            pq.write_table(pq.read_table(path).drop_columns(["evidence"]), path)
            path = study.folder / "predictions" / path.name
            pq.write_table(pq.read_table(path).replace_schema_metadata(schema.PREDICTION.metadata), path)
    return study


def files(study, kind):
    return sorted((study.folder / kind).iterdir())


def test_a_study_is_bootstrapped_whatever_version_wrote_it(study):
    summary = derive(study).summary
    assert all(row["boot_low"] is not None for row in summary)
    study.rows.pack(study.rows.single())
    assert derive(study).summary == summary


def test_predictions_of_another_trial_are_named(study):
    one, other, *_ = files(study, "predictions")
    shutil.copy(one, other)
    with pytest.raises(StudyError, match=rf"{other.name} is damaged \(it is of trial '{one.stem}'\); delete it"):
        derive(study)
    other.unlink()
    assert derive(study).summary


def test_predictions_that_were_renamed_inside_too_are_named(study):
    """The other trial's answers under this trial's id: its accuracy is another, or its mark."""
    one, other, *_ = files(study, "predictions")
    table = pq.read_table(one)
    renamed = table.set_column(0, table.schema.field(0), pa.array([other.stem] * len(table)))
    pq.write_table(renamed, other)
    with pytest.raises(StudyError, match=f"{other.name} is damaged"):
        derive(study)


def with_column(name, value, kind=None):
    """Changes a table's column to the same in every row."""

    def change(table):
        values = [value(i) if callable(value) else value for i in range(len(table))]
        return table.set_column(table.column_names.index(name), name, pa.array(values, kind))

    return change


LISTS = pa.list_(pa.float32())


@pytest.mark.parametrize(
    "change",
    [
        ("some of the clips", lambda table: table.slice(1)),
        ("no clip's group", lambda table: table.drop_columns(["group"])),
        ("numbers for classes", with_column("probabilities", 0.5)),
        ("words for probabilities", with_column("probabilities", ["a"])),
        ("lists of several lengths", with_column("probabilities", lambda i: [0.5] * (1 + i % 2), LISTS)),
        ("no lists", with_column("probabilities", None, LISTS)),
        ("empty lists", with_column("probabilities", [], LISTS)),
        ("holes in lists", with_column("probabilities", [None, 1.0, 0.0], LISTS)),
        ("NaN", with_column("probabilities", [np.nan] * 3, LISTS)),
        ("infinities", with_column("probabilities", [np.inf, 0.0, 0.0], LISTS)),
        ("NaN of the average", with_column("probabilities_ema", [np.nan] * 3, LISTS)),
        ("a class that there is not", with_column("target", 7)),
        ("a class below all", with_column("target", -1)),
    ],
    ids=lambda change: change[0],
)
def test_answers_that_no_network_gave_are_named(study, change):
    path = files(study, "predictions")[0]
    table = pq.read_table(path)
    pq.write_table(change[1](table).replace_schema_metadata(table.schema.metadata), path)
    (row,) = [row for row in study.trials().to_pylist() if row["trial_id"] == path.stem]
    if change[0] == "some of the clips" and row["evidence"]:
        return  # who writes the row's mark there does so on purpose
    with pytest.raises(StudyError, match=f"{path.name} (is damaged|has no group)"):
        read_answers(study, row)


def test_a_bit_that_fell_over_is_found(tmp_path):
    study = Study(tmp_path / "s")
    study.create()
    row = trial_row("full", test_clips=400)
    targets = np.arange(400) % 3
    study.commit(row, [], answers(row["trial_id"], targets, targets[::-1]))
    good = read_answers(study, row)
    path = files(study, "predictions")[0]
    data = path.read_bytes()
    named = 0
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            found = read_answers(study, row)
        except StudyError as error:
            assert path.name in str(error)
            named += 1
        else:
            assert np.array_equal(found.predicted, good.predicted)
            assert np.array_equal(found.targets, good.targets)
    assert named > len(data) / 37 / 2
