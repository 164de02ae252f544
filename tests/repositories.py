"""A user's git repository with a study's file: a refactoring, a comment, and a bug."""

import subprocess

STUDY = """
from dataclasses import dataclass

from torch import nn

from sweeper.study import Arm, Network, Recipe, Study, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Frames(Network):
    width: int = 32
    norm: bool = True

    def build(self) -> nn.Module:
        norm = nn.BatchNorm1d(self.width) if self.norm else nn.Identity()
        front = nn.Conv1d(1, self.width, 64, stride=32)
        return nn.Sequential(front, norm, nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), head(self))


def head(network):
    return nn.Linear(4 * network.width, network.classes)


STUDY = Study(
    network=Frames(),
    arms=(Arm("full"), Arm("no-norm", network={"norm": False})),
    recipes=(Recipe("quick", training=TrainingConfig(epochs=8, max_lr=3e-3), sample_rate=8_000, seconds=1.0),),
)
"""
REFACTORED = STUDY.replace("front = nn", "first = nn").replace("(front, ", "(first, ")
BROKEN = REFACTORED.replace("nn.ReLU()", "nn.Threshold(0.0, 0.0, inplace=True)").replace(
    "nn.AdaptiveAvgPool1d(4)", "nn.Sequential(nn.AdaptiveAvgPool1d(4), nn.Hardtanh(0.0, 1e-3))"
)


def git(folder, *words):
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, text, message, name="frames.py"):
    """Commit a file; returns the commit's name as an arm has it."""
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")[:10]


def repository(folder):
    """A repository; returns its commits' names: as it was, refactored, with a comment, broken."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    texts = {"Begin": STUDY, "Rename": REFACTORED, "Explain": f"# why\n{REFACTORED}", "Clip": BROKEN}
    return [commit(folder, text, message) for message, text in texts.items()]
