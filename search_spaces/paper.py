"""The paper as a study: twelve arms, read by two tables (Sun et al. 2025, Tables 6 and 7), and its recipe.

Table 6 has ten rows and Table 7 three; the last row of each is the same network, so twelve different networks are
trained, each once.
"""

from typing import Any

from sweeper.model.config import SIZES
from sweeper.search_spaces.published import ABLATED, CITATION, DATA_SETS, published_accuracy
from sweeper.search_spaces.published import PROTOCOL as PRINTED
from sweeper.search_spaces.published_claims import CLAIMS
from sweeper.search_spaces.recipes import literal, paper, quick, small, words
from sweeper.search_spaces.tuning import SPACE
from sweeper.study import Arm, Protocol, Study, Table


def _arm(name: str, removes: str, **switches: Any) -> Arm:
    printed = {
        dataset: accuracy for dataset in DATA_SETS if (accuracy := published_accuracy(name, dataset)) is not None
    }
    return Arm(name, removes, network=switches, published=printed)


ARMS = (
    _arm("semantic-only", "detail branch and all modules", detail=False, macem_a=False, macem_b=False, garm=False),
    _arm("detail-only", "semantic branch and all modules", semantic=False, macem_a=False, macem_b=False, garm=False),
    _arm("dual-branch", "all modules", macem_a=False, macem_b=False, garm=False),
    _arm("macem-a", "MACEM-B and GARM", macem_b=False, garm=False),
    _arm("macem-b", "MACEM-A and GARM", macem_a=False, garm=False),
    _arm("garm", "MACEM-A and MACEM-B", macem_a=False, macem_b=False),
    _arm("macem-a+b", "GARM", garm=False),
    _arm("macem-b+garm", "MACEM-A", macem_a=False),
    _arm("macem-a+garm", "MACEM-B", macem_b=False),
    _arm("full", "nothing: the reference"),
    _arm("fusion-sum", "guided fusion, for a sum", fusion="sum"),
    _arm("fusion-concat", "guided fusion, for concatenation", fusion="concat"),
)

STUDY = Study(
    network=SIZES["paper"],
    arms=ARMS,
    recipes=(quick(), words(), small(), literal(), paper()),  # the last is the default beside the demo
    tables=(
        Table(
            "6",
            tuple(arm.name for arm in ARMS[:10]),
            "Table 6 · branches and modules",
            {"semantic": "S", "detail": "D", "macem_a": "A", "macem_b": "B", "garm": "G"},
        ),
        # Rows in the order in which the paper prints them.
        Table("7", ("fusion-sum", "fusion-concat", "full"), "Table 7 · fusion", {"fusion": "fusion"}),
    ),
    space=SPACE,
    protocol=Protocol(
        source="the paper: one random 80:20 split, one run",
        dataset=ABLATED,
        split="paper",
        recipe=("paper", "literal"),  # two readings of the same words
        clips=DATA_SETS,
        test_share=PRINTED.test_share,
        notes=PRINTED.notes,
        citation=CITATION,
        claims=tuple((claim.where, claim.says, claim.finding) for claim in CLAIMS if not claim.holds),
    ),
)
