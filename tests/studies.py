"""The paper's study, as tests ask for it."""

from sweeper.plan import Source
from sweeper.search_spaces.paper import STUDY
from sweeper.search_spaces.recipes import RECIPES

PAPER = Source("paper", STUDY)
__all__ = ["ARMS", "PAPER", "RECIPES", "REFERENCE", "STUDY", "TABLES"]
ARMS = STUDY.by_name
TABLES = {table.name: table for table in STUDY.tables}
REFERENCE = STUDY.reference
