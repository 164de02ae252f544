"""The live view, told of trials as Tune tells it, without Ray: what it says, and that it fits."""

import io
import signal
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from sweeper import signals
from sweeper.execution.progress import Progress
from sweeper.execution.time_left import Course
from sweeper.plan import build_plan
from tests.studies import ARMS, PAPER, STUDY


def trials(arms=("full", "garm"), replicates=2):
    return build_plan(
        study="s",
        source=PAPER,
        arms=[ARMS[name] for name in arms],
        recipe=STUDY.recipes[0],
        dataset="demo",
        split="official",
        folds=(1,),
        classes=10,
        replicates=replicates,
    ).trials


class Told:
    """A view, and what it printed; `width` makes it a terminal of that width."""

    def __init__(self, specs, monkeypatch, width=None, height=40, **options):
        self.file = io.StringIO()
        console = Console(file=self.file, width=width or 80, height=height, force_terminal=width is not None)
        monkeypatch.setattr("sweeper.execution.progress.Console", lambda: console)
        monkeypatch.setattr("sweeper.execution.progress.Live", lambda *_, **__: SimpleNamespace(start=lambda: None))
        self.console, self.view = console, Progress(specs, options.pop("coming", specs), **options)

    def tell(self, spec, **result):
        trial = SimpleNamespace(config={"trial_id": spec.trial_id, "spec": spec}, last_result=result)
        if result:
            self.view.on_trial_result(0, [], trial, result)
        else:
            self.view.on_trial_start(0, [], trial)

    def epoch(self, spec, epoch):
        self.tell(spec, epoch=epoch, epoch_seconds=2.0, clips_per_second=100.0)

    def printed(self):
        return self.file.getvalue().splitlines()

    def shown(self):
        """The view as a terminal shows it now, line by line."""
        self.file.seek(0)
        self.file.truncate()
        self.console.print(self.view)
        return [line.rstrip() for line in Text.from_ansi(self.file.getvalue()).plain.splitlines()]


@pytest.fixture
def asked(monkeypatch):
    def ask():
        monkeypatch.setattr(signals, "asked", lambda: signals.Asked(signal.SIGINT, 1, 0.0, 0.0))

    return ask


def test_workers_are_counted_as_they_start(monkeypatch):
    specs = trials()
    told = Told(specs, monkeypatch)
    told.view.begin(2)
    for spec in specs[:3]:
        told.tell(spec)
        told.tell(spec, outcome="started")
    assert told.printed() == [
        "4 trials to run; starting 2 workers",
        "worker 1 of 2 has started",
        "worker 2 of 2 has started",
    ]


def test_a_line_per_trial_with_the_time_left(monkeypatch):
    first, *others = specs = trials()
    told = Told(specs, monkeypatch)
    told.view.begin(2)
    told.tell(first)
    told.tell(first, outcome="complete", accuracy=None)
    assert told.printed()[-1].endswith("finished elsewhere  (time left: after the first epoch)")
    for spec in others:
        told.tell(spec)
        told.epoch(spec, spec.training.epochs)
        told.tell(spec, outcome="complete", accuracy=0.5)
    assert told.printed()[2].startswith("[2/4] ") and "accuracy 50.0%  (about " in told.printed()[2]
    assert told.printed()[-1].startswith("[4/4] ") and told.printed()[-1].endswith("accuracy 50.0%")


def test_a_search_counts_all_of_its_stages(monkeypatch):
    specs = trials()
    told = Told(specs, monkeypatch, course=Course("replicate", before=5, later=tuple(specs[:3])))
    told.view.begin(1)
    told.tell(specs[0])
    told.tell(specs[0], outcome="complete", accuracy=0.5)
    assert told.printed()[0] == "12 trials to run; starting 1 worker"
    assert told.printed()[1].startswith("[ 6/12] ")


def test_after_an_interrupt_it_says_what_it_waits_for(monkeypatch, asked):
    one, other, late, _ = specs = trials()
    told = Told(specs, monkeypatch)
    told.view.begin(2)
    for spec in (one, other):
        told.tell(spec)
        told.epoch(spec, 1)
    asked()
    told.tell(late)  # what Tune had taken already, and will be told to stop
    for _ in range(3):
        told.view.on_step_begin(0, [])
    percent = f"{1 / one.training.epochs:.0%}"
    *_, last = told.printed()
    names = sorted([one, other], key=lambda spec: spec.trial_id)
    waited = ", ".join(f"{spec.arm} fold {spec.data.fold} seed {spec.replicate} ({percent})" for spec in names)
    assert last.startswith(f"waiting for {waited} · about ")
    assert len([line for line in told.printed() if line.startswith("waiting")]) == 1


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_view_fits_the_terminal(monkeypatch, asked, width):
    specs = trials(arms=tuple(ARMS), replicates=12)
    told = Told(specs, monkeypatch, width=width, height=12)
    told.view.begin(2)
    assert told.shown()[-1].strip(" ⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") == "starting worker 1 of 2"
    told.tell(specs[-1])
    told.epoch(specs[-1], 1)
    told.tell(specs[0])
    told.tell(specs[0], outcome="complete", accuracy=0.5)
    lines = told.shown()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 12, "the line at the end is seen"
    assert f"1 of {len(specs)} trials" in lines[-1] and "left" in lines[-1]
    assert any(line.startswith(specs[-1].arm) for line in lines), "what runs is shown"
    assert ("Ctrl-C" in lines[-1]) == (width > 60)
    asked()
    assert "waiting for" in told.shown()[-1] and max(map(len, told.shown())) <= width


def together(*specs):
    return SimpleNamespace(
        config={"trial_id": specs[0].trial_id, "spec": specs[0], "others": list(specs[1:])}, last_result={}
    )


def epochs(specs, epoch):
    return {
        "seeds": [
            {"trial": spec.trial_id, "epoch": epoch, "epoch_seconds": 1.0, "clips_per_second": 50.0} for spec in specs
        ]
    }


def test_every_seed_of_a_program_moves_and_ends(monkeypatch):
    specs = trials(arms=("full",), replicates=3)
    told = Told(specs, monkeypatch)
    told.view.begin(1)
    trial = together(*specs)
    told.view.on_trial_start(0, [], trial)
    told.view.on_trial_result(0, [], trial, {"outcome": "started"})
    told.view.on_trial_result(0, [], trial, epochs(specs, specs[0].training.epochs // 2))
    assert [cell.plain for cell in told.view._cell.values()] == ["▶ 50%"] * 3
    ends = ({"outcome": "complete", "accuracy": 0.5}, {"outcome": "failed", "error": "why"}, {"outcome": "left"})
    for spec, end in zip(specs, ends, strict=True):
        told.view.on_trial_result(0, [], trial, {"seeds": [{"trial": spec.trial_id} | end]})
    told.view.on_trial_complete(0, [], trial)
    assert [cell.plain for cell in told.view._cell.values()] == ["50.0%", "failed", "kept"]
    lines = told.printed()
    assert lines[:2] == ["3 trials to run; starting 1 worker", "worker 1 of 1 has started"]
    assert lines[2].startswith("[1/3] full") and "seed 0: accuracy 50.0%" in lines[2]
    assert lines[3].startswith("[2/3] full") and "seed 1: failed: why" in lines[3]
    assert len(lines) == 4


def test_a_program_that_is_begun_anew_does_not_tell_again_what_had_ended(monkeypatch):
    specs = trials(arms=("full",), replicates=2)
    told = Told(specs, monkeypatch)
    told.view.begin(1)
    trial = together(*specs)
    for end in ({"outcome": "complete", "accuracy": 0.5}, {"outcome": "complete"}):
        told.view.on_trial_start(0, [], trial)
        told.view.on_trial_result(0, [], trial, {"seeds": [{"trial": specs[0].trial_id} | end]})
    told.view.on_trial_error(0, [], trial)
    assert [line for line in told.printed() if "seed 0" in line] == [told.printed()[1]]
    assert "seed 1: failed: its worker died" in told.printed()[-1]


def test_a_worker_that_died_is_told(monkeypatch):
    (spec,) = trials(arms=("full",), replicates=1)
    told = Told([spec], monkeypatch)
    told.view.begin(1)
    trial = together(spec)
    told.view.on_trial_start(0, [], trial)
    told.view.on_trial_recover(0, [], trial)
    assert told.printed()[-1] == "full fold 1 seed 0: its worker died; the trial is tried again"


def test_why_seeds_run_one_by_one_is_said_once_for_each_arm(monkeypatch):
    specs = trials(arms=("full",), replicates=4)
    told = Told(specs, monkeypatch)
    told.view.begin(2)
    for pair in (specs[:2], specs[2:]):
        trial = together(*pair)
        told.view.on_trial_start(0, [], trial)
        told.view.on_trial_result(0, [], trial, {"apart": "it is slower"})
    assert told.printed()[1:] == ["full: seeds run one by one: it is slower"]
    assert told.view._running == {specs[0].trial_id, specs[2].trial_id}
