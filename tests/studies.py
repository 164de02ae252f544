"""The paper's study, as tests ask for it."""

from sweeper.plan import Source
from sweeper.search_spaces.paper import STUDY
from sweeper.search_spaces.recipes import paper, quick, small

PAPER = Source("paper", STUDY)
__all__ = ["ARMS", "PAPER", "RECIPES", "REFERENCE", "STUDY", "TABLES"]
ARMS = STUDY.by_name
RECIPES = {"quick": quick, "small": small, "paper": paper}
TABLES = {table.name: table for table in STUDY.tables}
REFERENCE = STUDY.reference
