"""`run benchmark`: what is refused before anything begins, what is left out, what a dry run leaves."""

from pathlib import Path

import pytest

from sweeper.audio.datasets import DatasetError
from sweeper.cli.main import main
from sweeper.plan import PlanError
from sweeper.run import benchmark
from sweeper.run.benchmark import Benchmark, run_benchmark
from sweeper.run.options import AblationOptions, BenchmarkOptions
from sweeper.search_spaces.benchmark import STUDY
from sweeper.search_spaces.peers import PEERS


def ask(tmp_path, datasets=(), folders=None, networks=("full", "sb-cnn"), **options):
    made = BenchmarkOptions(results=str(tmp_path / "results"), dry_run=True, **options)
    lines = []
    return run_benchmark(Benchmark(datasets, folders or {}, networks, made), lines.append), lines


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"datasets": ("esc51",)}, "unknown data set 'esc51'; the data sets are: demo, "),
        ({"folders": {"esc51": Path("x")}}, "unknown data set 'esc51'"),
        ({"datasets": ("demo",), "folders": {"fsdd": Path("x")}}, "--data fsdd=x: add --dataset fsdd, or leave it out"),
        ({"networks": ("ast",)}, "unknown network 'ast'; the networks are: full, eat-s"),
        ({"networks": ("sb-cnn",)}, "--networks sb-cnn: add full, with which the rivals are compared"),
        ({"recipe": "large"}, "unknown recipe 'large'; the recipes are: quick, small, acdnet, envnet-v2, paper"),
        ({"seeds": 0}, "--seeds 0: at least 1"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, asked, message):
    with pytest.raises(PlanError) as raised:
        ask(tmp_path, **asked)
    assert message in str(raised.value)
    assert not (tmp_path / "results").exists()


def test_a_data_set_with_two_folders_is_refused(capsys):
    assert main(["run", "benchmark", "--data", "esc50=A", "fsdd=C", "esc50=B"]) == 2
    assert "--data: esc50 has several folders; name one" in capsys.readouterr().err


def test_a_folder_is_asked_for_as_this_command_takes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match="nowhere: no such folder; pass the data set's folder with --data esc50=DIR"):
        ask(tmp_path, folders={"esc50": tmp_path / "nowhere"})
    with pytest.raises(DatasetError, match="no folder for esc50: pass --data esc50=DIR, or get it with"):
        ask(tmp_path, datasets=("esc50",))
    with pytest.raises(DatasetError, match="demo is synthesised and takes no folder; leave out --data demo=x"):
        ask(tmp_path, folders={"demo": Path("x")})


def test_a_dry_run_says_what_it_costs_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "cache"))
    (code, studies), lines = ask(tmp_path, epochs=1)
    assert (code, studies) == (0, [])
    assert lines[0].startswith("study benchmark-demo-quick-1epochs: 2 arms × 1 fold × 2 seeds = 4 trials")
    assert any(line.startswith("demo: expected cost: ") and "sb-cnn" in line and "full" in line for line in lines)
    assert lines[-1].startswith("expected cost in all: ")
    assert not (tmp_path / "results").exists() and not list(tmp_path.rglob("floor.json"))


def test_without_names_all_networks_run_that_can_take_the_clips(monkeypatch):
    options, notes = benchmark._with_networks(BenchmarkOptions(), ())
    assert options.peers == tuple(PEERS) and notes == []
    short = STUDY.recipes[0].__class__("quick", training=STUDY.recipes[0].training, sample_rate=8000, seconds=0.5)
    monkeypatch.setattr(benchmark, "choose_recipe", lambda *_, **__: short)
    options, notes = benchmark._with_networks(BenchmarkOptions(), ())
    assert set(PEERS) - set(options.peers) == {"sb-cnn"}
    assert len(notes) == 1 and notes[0].startswith("left out: SB-CNN needs clips of")


def test_the_recipes_of_two_rivals_are_their_papers():
    recipes = {recipe.name: recipe for recipe in STUDY.recipes}
    assert (recipes["acdnet"].length, recipes["acdnet"].sample_rate) == (30_225, 20_000)
    assert (recipes["envnet-v2"].length, recipes["envnet-v2"].sample_rate) == (66_150, 44_100)
    for name in ("acdnet", "envnet-v2"):
        assert recipes[name].training.crops == 10 and recipes[name].training.distillation is None
        assert recipes[name].training.decides()["crops"] == 10
    assert "crops" not in recipes["paper"].training.decides(), "ids of before stay"
    assert issubclass(BenchmarkOptions, AblationOptions)
