"""The paper's Tables 1-5 as a study: its network and, beside it, the networks of `peers`, on whatever data set.

There is one arm, as rivals are no variants of it. Which rows the paper printed for a data set is told to the results
(`printed`), so that a table made of them needs nothing from here.
"""

from dataclasses import replace
from typing import Any

from sweeper.model.config import SIZES
from sweeper.search_spaces.peers import PEERS
from sweeper.search_spaces.published import (
    CITATION,
    PROTOCOL,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
)
from sweeper.search_spaces.recipes import paper, quick, small
from sweeper.search_spaces.rival_recipes import acdnet, envnet_v2
from sweeper.study import Arm, Study, Table

REFERENCE = "full"
SECONDS = 1.0  # that `small` hears here: SB-CNN needs 0.74 s
NETWORKS = (REFERENCE, *PEERS)

STUDY = Study(
    network=SIZES["paper"],
    arms=(Arm(REFERENCE, "nothing: the paper's network"),),
    recipes=(quick(), replace(small(), seconds=SECONDS), acdnet(), envnet_v2(), paper()),
    tables=(Table("benchmark", (REFERENCE,), "The paper's network", {}),),
)

# By name on the command line: what the paper's tables call it, what it hears; nothing here is pre-trained.
_KNOWN: dict[str, tuple[str, str]] = {
    REFERENCE: ("Ours", "Raw"),
    "eat-s": ("EAT-S", "Raw"),
    "acdnet": ("ACDNet", "Raw"),
    "envnet-v2": ("EnvNet-v2", "Raw"),
    "sb-cnn": ("SB-CNN", "Mel-spec"),
    "cnn10": ("CNN10", "Mel-spec"),
    "tim-net": ("TIM-NET", "MFCC"),
}
# By data set: the table, its caption's data set, the rows, and how many clips its authors publish.
_TABLES = {
    "esc50": ("Table 1", "ESC-50", TABLE_1, 2000),
    "urbansound8k": ("Table 2", "UrbanSound8K", TABLE_2, 8732),
    "ravdess": ("Table 3", "RAVDESS", TABLE_3, 1440),
    "cremad": ("Table 4", "CREMA-D", TABLE_4, 7442),
}


def printed(dataset: str) -> dict[str, Any]:
    """What the results of a data set are shown beside, as JSON values; accuracies in percent, as printed.

    `networks` says how each is called in the tables and what it hears; the rest is there only where the paper has a
    table: its rows, its row of Table 5, and how its numbers were measured.
    """
    known = {
        name: {"model": model, "representation": heard, "end_to_end": heard == "Raw", "pretrained": False}
        for name, (model, heard) in _KNOWN.items()
    }
    if dataset not in _TABLES:
        return {"networks": known, "table": "", "data": dataset, "rows": [], "table_5": None, "protocol": {}}
    table, data, rows, clips = _TABLES[dataset]
    protocol = {
        "dataset": dataset,
        "split": "paper",
        "recipe": "paper",
        "epochs": paper().training.epochs,
        "clips": clips,
        "test_share": PROTOCOL.test_share,
    }
    return {
        "networks": known,
        "table": table,
        "data": data,
        "rows": [vars(row) for row in rows],
        "table_5": vars(TABLE_5[data]),
        "protocol": protocol | {"notes": list(PROTOCOL.notes), "citation": CITATION},
    }
