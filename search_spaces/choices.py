"""Whose is each value that the paper's study trains with: the paper's, EAT's, a default of torch, or ours?

`python -m sweeper.search_spaces.choices` writes the page that `CHOICES.md` beside this file is. The values come from
the configurations, and what the networks' equations leave open from the docstrings of `model/`.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeper.search_spaces.recipes import literal, paper
from sweeper.study import FILLED, HEADS, Recipe
from sweeper.switches import flat_fields

PAPER, EAT, SKD, TORCH, OURS = "paper", "EAT", "[51]", "torch", "ours"
COMMAND = "python -m sweeper.search_spaces.choices"
NETWORK_FILES = ("network", "branches", "macem", "garm", "fusion", "layers", "attention", "transformer")


@dataclass(frozen=True)
class Choice:
    """Whose a value is.

    Attributes:
        source: of the value in the recipe `paper`.
        why: what a reader should know.
        literal: whose it is in the recipe `literal`, where that has another value.
    """

    source: str
    why: str = ""
    literal: str = ""


_SIGNAL = Choice(EAT, "the text names no effect on the signal alone", PAPER)
# By field, or by what its name begins with: the longest match counts.
RECIPE: Mapping[str, Choice] = {
    "sample_rate": Choice(PAPER, "Hz"),
    "seconds": Choice(PAPER, "shorter clips are padded with zeros; longer ones are cut at random to train, in the "
                      "middle to test (ours: EAT cuts at random in tests, too)"),
    "epochs": Choice(PAPER, "“an iteration of 1500”, read as epochs, as in EAT's recipe (3500 there)"),
    "batch_size": Choice(PAPER, "EAT: 128"),
    "crops": Choice(OURS, "of a test clip: one is its middle, several are averaged; not said"),
    "max_lr": Choice(PAPER, "AdamW's"),
    "pct_start": Choice(EAT, "share of the steps in which the rate rises", TORCH),
    "weight_decay": Choice(PAPER),
    "decay_all": Choice(EAT, "EAT spares biases and norms", TORCH),
    "betas": Choice(EAT, "the first has no effect in a one-cycle schedule: `momentum` runs instead", TORCH),
    "momentum": Choice(TORCH, "AdamW's first beta falls from high to low while the rate rises, and returns; EAT's code "
                       "leaves this default, too"),
    "clip_norm": Choice(EAT, "EAT: in mixed precision only; here always, as precision must not change the algorithm",
                        TORCH),
    "label_smoothing": Choice(EAT, literal=TORCH),
    "ema.decay": Choice(PAPER),
    "ema.unit": Choice(OURS, "the paper gives none; EAT decays once per epoch. Both weights are scored: last and mean"),
    "ema.warmup": Choice(OURS, "the first averages would be of initial values, mostly", TORCH),
    "distillation.": Choice(SKD, "the paper names [51] and no value; these are its authors' code's. Each branch gets a "
                            "classifier, which the fused one teaches"),
    "precision": Choice(OURS, "on a GPU; the paper says nothing of mixed precision", TORCH),
    "compile": Choice(OURS),
    "schedule": Choice(PAPER, "[48]; the rate is set after every batch, as in EAT's code"),
    "augmentation.signal.": Choice(EAT),
    **{f"augmentation.signal.{name}_probability": _SIGNAL for name in (
        "gain", "polarity", "time_shift", "time_mask", "segment_gain", "cyclic_shift")},
    "augmentation.noise.": Choice(EAT, "the paper names neither kinds nor levels"),
    "augmentation.noise.probability": Choice(EAT, "paper: one noise type “in each iteration”", PAPER),
    "augmentation.resampling.": Choice(EAT),
    "augmentation.resampling.probability": Choice(EAT, "not in the text", PAPER),
    "augmentation.mixing.": Choice(EAT, "the paper names no mixing"),
    "augmentation.mixing.probability": Choice(PAPER, "one mixing “in each iteration”"),
    "augmentation.mixing.warmup_epochs": Choice(EAT, "not in the text", PAPER),
    "augmentation.stft_sizes": Choice(EAT),
}  # fmt: skip
NETWORK: Mapping[str, Choice] = {
    "semantic": Choice(PAPER),
    "detail": Choice(PAPER),
    "macem_a": Choice(PAPER),
    "macem_b": Choice(PAPER),
    "garm": Choice(PAPER),
    "fusion": Choice(PAPER, "of Table 7. Table 6 does not say how its rows fuse two branches: guided in all of them is "
                     "ours, as its last row prints Table 7's 90.91"),
    "garm_pooling": Choice(PAPER, "Eq. 8's text; over channels, as its purpose asks: the study `readings`"),
    "macem_a_merges": Choice(PAPER, "Eq. 1; Section 4.3 says a sum: the study `readings`"),
    "transformer_norm": Choice(OURS, "torch's default is after each sub-layer: the study `readings`"),
    "patch": Choice(PAPER, "the raw waveform, sample by sample"),
    "semantic_widths": Choice(OURS, "the last is the paper's, the others are not said"),
    "detail_widths": Choice(OURS, "the last is the paper's, the others are not said"),
    "transformer_width": Choice(EAT, "the paper reduces the channels, and does not say to how many"),
    "transformer_layers": Choice(OURS, "not said; EAT has four, and one Transformer"),
    "heads": Choice(EAT, "not said"),
    "feedforward": Choice(EAT, "not said; torch's default is 2048"),
    "dropout": Choice(EAT, "not said; torch's default, too"),
    "attention_reduction": Choice(OURS, "“compression”; the default of CBAM, which the equations follow"),
}  # fmt: skip
# What no configuration holds. `tests/search_spaces/test_choices.py` holds the numbers against the code.
REST: Sequence[tuple[str, str, str, str]] = (
    ("optimiser", "AdamW", PAPER, "[47]"),
    ("level", "each clip's peak is 0.95", EAT, "not said; in `literal` too, as levels decide what noise and mixing do"),
    ("loss", "cross-entropy", OURS, "not said; mixed batches: binary cross-entropy on both labels, as in EAT's code"),
    ("split", "80:20, at random, by class", PAPER, "by class is ours; not leakage-safe, and said wherever it is shown"),
    ("what is scored", "the last epoch's weights, and their average", OURS, "not said; test clips are opened once"),
    ("initial values", "by seed and name", OURS, "so that arms start equal; see `model/initialisation.py`"),
    (
        "semantic branch",
        "32-fold to L/32 frames",
        PAPER,
        "Section 3.3 names two lengths, L1 and L2: both are L/32 here",
    ),
)
_SOURCES = (
    (PAPER, "printed in Sun et al. 2025"),
    (EAT, "the public code of EAT (Gazneli et al. 2022, [17]), whose recipe the paper's four sentences describe"),
    (SKD, "the public code of “Be Your Own Teacher”, which the paper cites for self-distillation"),
    (TORCH, "the default of torch"),
    (OURS, "none of them says; chosen here"),
)


def page() -> str:
    """The page, in Markdown."""
    ours, letter = paper(), literal()
    network = {name: value for name, value in _network(ours).items() if name in NETWORK}
    lines = [
        "# Whose choice is it?",
        "",
        f"<!-- written by {COMMAND} > search_spaces/CHOICES.md -->",
        "",
        "The paper gives its recipe in four sentences, and of its networks the equations. This is every value that its",
        "study trains with (`python -m sweeper run ablations --recipe paper`), and whose it is. `literal` is the other",
        "reading of “default values for all other parameters”: torch's, where `paper` takes EAT's.",
        "",
        *(f"- **{name}**: {meaning}" for name, meaning in _SOURCES),
        "",
        "## Training",
        "",
        "| field | `paper` | whose | `literal` | whose | |",
        "|---|---|---|---|---|---|",
        *_training(_values(ours), _values(letter)),
        "",
        "## Network, of both",
        "",
        "| field | value | whose | |",
        "|---|---|---|---|",
        *(_row(name, _said(value), NETWORK[name].source, NETWORK[name].why) for name, value in network.items()),
        "",
        "## What no field holds, of both",
        "",
        "| what | how | whose | |",
        "|---|---|---|---|",
        *(_row(*row) for row in REST),
        "",
        "## What the equations leave open, of both: ours",
        "",
        *_open(),
    ]
    return "\n".join(lines) + "\n"


def choice_of(name: str, choices: Mapping[str, Choice]) -> Choice:
    """The choice of a field: the longest name, or beginning of one, that matches.

    Raises:
        KeyError: none does.
    """
    found = [key for key in choices if name == key or (key.endswith(".") and name.startswith(key))]
    if not found:
        raise KeyError(name)
    return choices[max(found, key=len)]


def _values(recipe: Recipe) -> dict[str, Any]:
    """What the recipe trains with, by field."""
    return {"sample_rate": recipe.sample_rate, "seconds": recipe.seconds} | flat_fields(recipe.training)


def _network(recipe: Recipe) -> dict[str, Any]:
    assert recipe.network is not None
    return {name: value for name, value in asdict(recipe.network).items() if name not in {*FILLED, HEADS}}


def _training(ours: Mapping[str, Any], letter: Mapping[str, Any]) -> Iterator[str]:
    said = ""
    for name, value in ours.items():
        choice = choice_of(name, RECIPE)
        literally = (_said(letter[name]), choice.literal) if letter[name] != value else ("", "")
        why = choice.why if choice.why != said else ""  # a remark on several fields stands at the first
        said = choice.why
        yield _row(name, _said(value), choice.source, *literally, why)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(map(_said, value))
    return str(value) if isinstance(value, str) else json.dumps(value).replace("null", "none")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _open() -> Iterator[str]:
    """The list under “Choices the paper leaves open” in each file of the network."""
    folder = Path(__file__).parent.parent / "model"
    for name in NETWORK_FILES:
        text = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text("utf-8"))) or ""
        for item in re.findall(r"^Choices the paper.*?\n((?:- .*\n?|  .*\n?)+)", text, re.M):
            for line in re.split(r"^- ", item, flags=re.M)[1:]:
                yield f"- `{name}.py`: {' '.join(line.split())}"


if __name__ == "__main__":
    print(page(), end="")
