"""What the paper leaves open, read both ways. Where a reading moves accuracy more than a module does, Table 6 is about
the reading.

The reference reads as the rest of this project does; each arm reads one passage the other way.
"""

from sweeper.model.config import SIZES
from sweeper.search_spaces.recipes import paper, quick, small
from sweeper.search_spaces.tuning import SPACE
from sweeper.study import Arm, Study, Table

STUDY = Study(
    network=SIZES["paper"],
    arms=(
        Arm("full", "nothing: the readings of the other studies"),
        Arm(
            "garm-over-channels",
            "Eq. 8 pooled over time, for pooling over channels as in CBAM",
            network={"garm_pooling": "channel"},
        ),
        Arm(
            "macem-swapped",
            "MACEM-A that concatenates (Section 3.1.1), for one that adds (Section 4.3); MACEM-B the other",
            network={"macem_a_merges": "sum"},
        ),
        Arm(
            "post-norm",
            "Transformers that normalise before each sub-layer, for after it",
            network={"transformer_norm": "post"},
        ),
        # The smallest of the paper's modules' differences, to hold the readings against.
        Arm("macem-b+garm", "MACEM-A, as in Table 6", network={"macem_a": False}),
        Arm("macem-a+garm", "MACEM-B, as in Table 6", network={"macem_b": False}),
        Arm("macem-a+b", "GARM, as in Table 6", network={"garm": False}),
    ),
    tables=(
        Table("readings", ("full", "garm-over-channels", "macem-swapped", "post-norm"), "Readings", {}, "modules"),
        Table("modules", ("full", "macem-b+garm", "macem-a+garm", "macem-a+b"), "Modules (as in Table 6)", {}),
    ),
    recipes=(quick(), small(), paper()),
    space=SPACE,
)
